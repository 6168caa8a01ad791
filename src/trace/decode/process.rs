//! Processes: made, loaded with another program, waited for, grouped.

use super::super::calls::Family;
use super::super::recorder::Outcome;
use super::super::tracee::Call;
use super::super::tracer::{Result, Tracer};
use super::Ended;
use crate::model::{Kind, Signal, State, Status, Task, TaskId};
use crate::sys::ptrace::{Resume, Stopped};
use crate::sys::{Error, memory, procfs, served};

/// How many bytes of a path and of all arguments are kept.
const MAX_PATH: usize = 4096;
const MAX_ARGUMENTS: usize = 16 << 10;

/// The flags of a `clone`, wherever this kind of it keeps them; none for `fork`.
pub(in crate::trace) fn clone_flags(tid: i32, call: &Call) -> u64 {
    match super::super::calls::name(call.number).as_str() {
        "clone" => call.args[0],
        "clone3" => memory::read_u64(tid, call.args[0]).unwrap_or(0),
        _ => 0,
    }
}

impl Tracer {
    /// At the entry of an exec, while the old program's memory is there to be read.
    pub(in crate::trace) fn before_exec(&mut self, tid: i32, call: &Call) {
        let Family::Exec { path } = call.family else { return };
        let path = usize::from(path);
        let text = memory::read_string(tid, call.args[path], MAX_PATH).unwrap_or_default();
        let mut argv = Vec::new();
        for index in 0.. {
            let Some(address @ 1..) = memory::read_u64(tid, call.args[path + 1] + index * 8) else { break };
            let Some(argument) = memory::read_string(tid, address, MAX_ARGUMENTS - argv.len()) else { break };
            argv.extend_from_slice(&argument);
            argv.push(0);
            if argv.len() >= MAX_ARGUMENTS {
                break;
            }
        }
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.exec = Some((String::from_utf8_lossy(&text).into_owned(), argv));
        }
    }

    /// Another program is loaded. If another thread than the leader did it, that thread has become
    /// the leader, and all others are gone.
    pub(in crate::trace) fn at_exec(&mut self, tid: i32, stopped: Stopped) -> Result<()> {
        served::note_program(tid);
        let old = stopped.message()? as i32;
        let exec = if old == tid { self.tracees.get_mut(&tid) } else { self.tracees.get_mut(&old) }
            .and_then(|tracee| tracee.exec.take().zip(tracee.call.take()));
        self.end_other_threads(tid, old);
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        self.copies.forget(tid);
        tracee.call = None;
        tracee.suspended = None;
        tracee.rest = None;
        tracee.blocked = false;
        tracee.ended = false;
        tracee.left = None;
        let was_actor = std::mem::replace(&mut tracee.actor, false);
        tracee.fresh = false;
        tracee.statement = None;
        tracee.frames.clear();
        tracee.then = None;
        tracee.stopped_by = None;
        tracee.masked = false;
        tracee.held = false;
        tracee.hidden.page = None;
        tracee.hidden.again = None;
        let (task, named) = (tracee.task, std::mem::replace(&mut tracee.named, true));
        if was_actor {
            self.clock_ends_for(tid);
        }
        if let Some(((path, argv), call)) = exec {
            let first = Some(tid) == self.root && self.world().fds(task).next().is_none();
            if first {
                self.write_inheritance(tid, task, &[]);
            }
            let used: Vec<_> = self.world().uses(task).iter().map(|used| used.channel).collect();
            let process = self.process_of(task);
            self.watch.forget(process);
            self.write_exec(task, named, &path, &argv, Outcome { call: call.name, ret: 0 });
            self.write_mask_if_changed(task, self.mask_of(tid, &stopped)?);
            self.look_at_program(tid);
            self.decide_hidden(tid);
            self.hide_at_stop(tid, &stopped)?;
            self.write_memory_destroyed(task, &used);
            if !first {
                self.write_closed_by_exec(task, Outcome { call: call.name, ret: 0 });
            }
        }
        stopped.resume(Resume::Continue, None)
    }

    fn write_exec(&mut self, task: TaskId, named: bool, path: &str, argv: &[u8], outcome: Outcome) {
        let name = if named {
            self.world().task(task).map(|task| task.name)
        } else {
            let base = path.rsplit('/').next().unwrap_or(path).to_owned();
            let unique = self.unique_name(&base);
            Some(self.recorder.intern(&unique))
        };
        let path = self.recorder.intern(path);
        let argv = self.recorder.keep(argv);
        self.recorder.of_call(task, outcome, Kind::Exec { path, argv, name: name.unwrap_or(path) });
    }

    fn write_closed_by_exec(&mut self, task: TaskId, outcome: Outcome) {
        let closed: Vec<_> = self.world().fds(task).filter(|entry| entry.flags.cloexec).copied().collect();
        for entry in closed {
            self.recorder.of_call(task, outcome, Kind::Close { fd: entry.fd, channel: Some(entry.channel) });
            self.write_destroyed(task, &[entry.channel]);
        }
    }

    fn end_other_threads(&mut self, tid: i32, old: i32) {
        let Some(process) = self.task_of(tid).and_then(|task| self.world().task(task)).map(|task| task.process) else {
            return;
        };
        let others: Vec<(i32, TaskId)> = self
            .tracees
            .iter()
            .map(|(tid, tracee)| (*tid, tracee.task))
            .filter(|(other, task)| {
                *other != tid && self.world().task(*task).is_some_and(|task| task.process == process)
            })
            .collect();
        for (other, task) in others {
            // The thread that called exec goes on under the leader's name; the others die of it.
            let status =
                if other == old { Status::Code(0) } else { Status::Signal { signal: Signal::KILL, core: false } };
            let ended = self.tracees.get(&other).is_some_and(|tracee| tracee.ended);
            if !ended {
                self.recorder.plain(task, Kind::Exit { status });
            }
            if other == old {
                let gone = self.tracees.remove(&other);
                self.threads -= usize::from(gone.is_some_and(|gone| gone.thread));
                crate::sys::senders::left(other);
                self.tids.remove(&task);
            } else if let Some(tracee) = self.tracees.get_mut(&other) {
                tracee.ended = true;
            }
        }
    }

    /// What a root process starts with: descriptors, signals, groups. `names` are for descriptors 0
    /// to 2, where they are not called after what they lead to.
    pub(in crate::trace) fn write_inheritance(&mut self, tid: i32, task: TaskId, names: &[&str]) {
        for facts in procfs::fds(tid) {
            let standard = ["stdin", "stdout", "stderr"].get(facts.fd as usize).copied();
            let kind = super::super::channels::kind(&facts);
            let is_terminal = self.is_lab_terminal(&facts);
            let name = match names.get(facts.fd as usize) {
                _ if is_terminal => Some(super::super::terminals::NAME),
                Some(name) => Some(*name),
                None => standard.filter(|_| kind.is_meeting_point()),
            };
            let channel = self.write_open(None, task, &facts, name);
            if is_terminal {
                self.claim_terminal(channel);
            }
        }
        self.claim_outputs(task);
        let Some(status) = procfs::status(tid) else { return };
        let group = status.ns_pgids.last().copied().zip(status.ns_sids.last().copied());
        if let Some((pgid, sid)) = group {
            self.recorder.plain(task, Kind::Group { pgid, sid });
        }
        self.write_terminal_of(tid, task);
        for signal in status.ignored.iter() {
            let disposition = crate::model::Disposition::Ignore;
            let mask = crate::model::SignalSet::EMPTY;
            self.recorder.plain(task, Kind::Action { signal, disposition, flags: 0, mask });
        }
        if !status.blocked.is_empty() {
            let how = crate::model::MaskHow::Set;
            self.recorder.plain(task, Kind::Mask { how, set: status.blocked, blocked: status.blocked });
        }
    }

    /// A scenario has no limit on its processes but the lab's: what fails here is the machine.
    pub(super) fn fork_failed(&mut self, ended: &Ended<'_>) {
        if ended.ret == -i64::from(libc::EAGAIN) && self.tracees.get(&ended.tid).is_some_and(|tracee| tracee.actor) {
            self.shortage = Some(Error::new("fork", "a process of the scenario", libc::EAGAIN));
        }
        self.plain_call(ended);
    }

    pub(super) fn exec_failed(&mut self, ended: &Ended<'_>) {
        let exec = self.tracees.get_mut(&ended.tid).and_then(|tracee| tracee.exec.take());
        let (path, argv) = exec.unwrap_or_default();
        // A root that has not been loaded yet looks for its program along PATH by itself.
        self.write_exec(ended.task, true, &path, &argv, ended.outcome());
    }

    /// Someone waited for children.
    pub(super) fn waited(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.syscall_event(ended);
        }
        self.look_at_reaped(ended);
        match self.reaped(ended) {
            Some((child, status)) => {
                self.recorder.of_call(ended.task, ended.outcome(), Kind::Reap { child, status });
            }
            None => self.plain_call(ended),
        }
    }

    /// The parent of a task that the lab has let go may be the first to know of its end.
    fn look_at_reaped(&mut self, ended: &Ended<'_>) {
        const SIGINFO_CODE: u64 = 8;
        const SIGINFO_PID: u64 = 16;
        const SIGINFO_STATUS: u64 = 24;
        let process = self.process_of(ended.task);
        let child_of_it = |tid: &i32| {
            let task = self.task_of(*tid).and_then(|task| self.world().task(task));
            task.is_some_and(|task| task.parent == process)
        };
        let mut released = self.released();
        released.retain(child_of_it);
        if released.is_empty() {
            return;
        }
        let address = ended.call.args[if ended.call.family == Family::Wait4 { 1 } else { 2 }];
        let word = |at: u64| memory::read_i32(ended.tid, address + at).filter(|_| address != 0);
        let (pid, status) = if ended.call.family == Family::Wait4 {
            (Some(ended.ret as i32), word(0).filter(|status| libc::WIFSIGNALED(*status)))
        } else {
            let core = if word(SIGINFO_CODE) == Some(libc::CLD_DUMPED) { 0x80 } else { 0 };
            (word(SIGINFO_PID), word(SIGINFO_STATUS).map(|signal| signal | core))
        };
        // Its parent knows it by another PID than it does itself; mostly by that which the lab uses.
        let it = released.iter().find(|tid| Some(**tid) == pid).or(released.first().filter(|_| released.len() == 1));
        if let Some(tid) = it.copied().filter(|tid| procfs::state(*tid).is_none_or(|state| state == b'Z')) {
            self.released_ended(tid, status.map(super::super::ending::decode_status));
        }
    }

    /// Which child is gone now, if one is: not when it only stopped, continued or was looked at.
    fn reaped(&self, ended: &Ended<'_>) -> Option<(TaskId, Status)> {
        const SIGINFO_PID: u64 = 16;
        let pid = if ended.call.family == Family::Wait4 {
            ended.ret as i32
        } else if ended.int(3) & libc::WNOWAIT == 0 && ended.call.args[2] != 0 {
            memory::read_i32(ended.tid, ended.call.args[2] + SIGINFO_PID)?
        } else {
            0
        };
        if pid <= 0 {
            return None;
        }
        let process = self.world().task(ended.task)?.process;
        let gone = |child: &&Task| child.state == State::Zombie || child.status.is_some();
        let named = self.world().children(process).filter(gone).find(|child| child.pid == pid);
        // Process 1 of a namespace goes by another PID outside.
        let first = || self.world().children(process).filter(gone).find(|child| child.pid == 1);
        let child = named.or_else(first)?;
        Some((child.id, child.status?))
    }

    pub(super) fn group(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.syscall_event(ended);
        }
        let target = match ended.int(0) {
            _ if ended.call.family == Family::Setsid => Some(ended.task),
            0 => Some(ended.task),
            pid => self.world().by_pid(pid).map(|task| task.id),
        };
        let Some(task) = target.and_then(|target| self.world().task(target)) else { return };
        let (id, leader_pid, sid) = (task.id, self.world().task(task.process).map_or(0, |leader| leader.pid), task.sid);
        let kind = match (ended.call.family, ended.int(1)) {
            (Family::Setsid, _) => Kind::Group { pgid: leader_pid, sid: leader_pid },
            (_, 0) => Kind::Group { pgid: leader_pid, sid },
            (_, pgid) => Kind::Group { pgid, sid },
        };
        self.recorder.of_call(id, ended.outcome(), kind);
    }
}
