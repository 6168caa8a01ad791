//! The end of a task: its status, what is gone with it, and who its children belong to now.

use super::tracer::{Result, Tracer};
use crate::model::{ChannelId, Kind, Status, TaskId};
use crate::sys::ptrace::{Resume, Stopped};
use crate::sys::{procfs, senders};

impl Tracer {
    /// Takes the end of a tracee in, which `wait4` has reaped.
    pub fn ended(&mut self, tid: i32, status: Status) {
        senders::left(tid);
        self.strangers.remove(&tid);
        self.early.retain(|(other, ..)| *other != tid);
        if Some(tid) == self.init {
            self.init = None;
        }
        let Some(tracee) = self.tracees.remove(&tid) else { return self.note_lost_root() };
        self.threads -= usize::from(tracee.thread);
        self.tids.remove(&tracee.task);
        self.clock.forget(tid);
        self.copies.forget(tid);
        self.forget_timers(tid);
        if Some(tid) == self.root {
            self.root_status = Some(status);
        }
        if !tracee.ended || tracee.left.is_some() {
            self.write_end(tracee.task, status);
        }
        self.tell_parent(tracee.task);
        self.write_reparenting(tracee.task);
    }

    pub(super) fn at_end(&mut self, tid: i32, stopped: Stopped) -> Result<()> {
        let status = self.status_of_end(tid, decode_status(stopped.message()? as i32));
        self.look_at_waste(tid, &stopped)?;
        self.wake(tid);
        if let Some(tracee) = self.tracees.get_mut(&tid)
            && !std::mem::replace(&mut tracee.ended, true)
        {
            tracee.call = None;
            let task = tracee.task;
            // The process goes on without its leader, or under another one's program.
            if self.has_living_threads(tid) {
                if let Some(tracee) = self.tracees.get_mut(&tid) {
                    tracee.left = Some(status);
                }
            } else {
                self.write_end(task, status);
            }
        }
        stopped.resume(Resume::Continue, None)
    }

    fn write_end(&mut self, task: TaskId, status: Status) {
        let held: Vec<ChannelId> = self.world().fds(task).map(|fd| fd.channel).collect();
        let process = self.process_of(task);
        let last = task == process || !self.has_living_threads_of(process);
        if last {
            self.write_undone(task);
        }
        let used: Vec<ChannelId> = self.world().uses(task).iter().map(|used| used.channel).collect();
        self.recorder.plain(task, Kind::Exit { status });
        self.write_destroyed(task, &held);
        if last {
            self.write_memory_destroyed(task, &used);
            self.write_memory_destroyed(task, &held);
            self.watch.forget(process);
            self.unnamed.remove(&process);
        }
    }

    /// Writes which of `held` nobody holds any more.
    pub(super) fn write_destroyed(&mut self, task: TaskId, held: &[ChannelId]) {
        for &channel in held {
            let Some(known) = self.world().channel(channel).filter(|known| known.alive) else { continue };
            // A terminal is gone with both of its sides; one that came from outside stays there.
            let is_pty = known.tty.master;
            if !known.kind.is_anonymous() && !known.unlinked && !is_pty {
                continue;
            }
            if is_pty && known.tty.held[0] == 0 && !self.is_reachable(channel) {
                self.hang_up(channel);
            }
            let Some(known) = self.world().channel(channel) else { continue };
            let (is_socket, held) = (known.kind.is_socket(), known.holders > 0);
            if is_socket {
                self.write_closed_ends(task, channel);
            }
            if held || self.is_output(channel) || self.is_reachable(channel) {
                continue;
            }
            self.recorder.plain(task, Kind::Destroy { channel });
            self.channels.forget(channel);
            if is_socket {
                self.forget_socket(task, channel);
            }
        }
    }

    /// The children of a process that is gone have another parent now; `/proc` says which.
    fn write_reparenting(&mut self, task: TaskId) {
        let children: Vec<TaskId> = self.world().children(task).map(|child| child.id).collect();
        for child in children {
            let parent = self.tids.get(&child).and_then(|tid| procfs::status(*tid)).map_or(0, |status| status.ppid);
            let to = self.task_of(parent).unwrap_or(TaskId::LAB);
            self.recorder.plain(child, Kind::Reparent { to });
        }
    }
}

/// Decodes a wait status, also as `PTRACE_GETEVENTMSG` gives it at an exit.
pub(super) fn decode_status(status: i32) -> Status {
    if libc::WIFSIGNALED(status) {
        let signal = crate::model::Signal::new(libc::WTERMSIG(status)).unwrap_or(crate::model::Signal::KILL);
        Status::Signal { signal, core: libc::WCOREDUMP(status) }
    } else {
        Status::Code(libc::WEXITSTATUS(status))
    }
}
