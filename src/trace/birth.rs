//! How tasks come into the log: born of one that is known, or met before their maker's event.

use super::hidden::Hidden;
use super::recorder::Outcome;
use super::tracee::Tracee;
use super::tracer::{Result, Tracer, unless_gone};
use crate::model::{How, Kind, Shares, TaskId};
use crate::scenario::StatementId;
use crate::sys::ptrace::{Resume, Stopped, Why};
use crate::sys::{procfs, senders};

/// `CLONE_CLEAR_SIGHAND` of clone(2): the new task catches nothing.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// How a task came to be.
#[derive(Debug)]
pub struct Birth {
    /// Its name, if nobody else has it.
    pub name: String,
    /// By which call.
    pub how: How,
    /// What it shares.
    pub shares: Shares,
    /// The call, if it was one of a task.
    pub outcome: Option<Outcome>,
    /// Whether it interprets a scenario.
    pub actor: bool,
}

impl Tracer {
    /// A name that no task has had yet: `name`, `name#2`, `name#3` …
    pub(super) fn unique_name(&mut self, name: &str) -> String {
        let count = self.names.entry(name.to_owned()).or_insert(0);
        *count += 1;
        match *count {
            1 => name.to_owned(),
            number => format!("{name}#{number}"),
        }
    }

    /// Puts a task in the books and its birth in the log.
    pub(super) fn adopt(&mut self, tid: i32, maker: TaskId, birth: &Birth) -> TaskId {
        let task = TaskId::from_index(self.next_task);
        self.next_task += 1;
        let pid = procfs::status(tid).and_then(|status| status.ns_tids.last().copied()).unwrap_or(tid);
        let name = self.unique_name(&birth.name);
        let name = self.recorder.intern(&name);
        let kind = Kind::Spawn { child: task, pid, name, how: birth.how, shares: birth.shares };
        match birth.outcome {
            Some(outcome) => self.recorder.of_call(maker, Outcome { ret: i64::from(pid), ..outcome }, kind),
            None => self.recorder.plain(maker, kind),
        }
        let thread = birth.how == How::Thread;
        self.threads += usize::from(thread);
        self.tracees.insert(tid, Tracee { thread, ..Tracee::new(task, birth.actor) });
        senders::joined(tid);
        self.tids.insert(task, tid);
        if birth.how != How::Thread {
            self.watch.inherit(self.process_of(maker), task);
        }
        task
    }

    /// A stop of a task that nobody has announced yet: its first one, which can come before the
    /// event of its maker.
    pub(super) fn stranger(&mut self, stopped: Stopped, why: Why) -> Result<()> {
        if let Some(init) = self.init {
            match procfs::status(stopped.pid()) {
                // A thread that the first process uses to read its orders.
                Some(status) if status.tgid == init => return Self::init_stopped(stopped, why),
                Some(status) if status.ppid == init && self.is_mustering() => {
                    return self.root_stopped(stopped, why);
                }
                _ => {}
            }
        }
        self.strangers.insert(stopped.pid(), stopped);
        Ok(())
    }

    pub(super) fn at_made(&mut self, tid: i32, stopped: Stopped, event: i32) -> Result<()> {
        let child = stopped.message()? as i32;
        let call = self.tracees.get(&tid).and_then(|tracee| tracee.call);
        let flags = call.map_or(0, |call| super::decode::clone_flags(tid, &call));
        let how = match event {
            _ if flags & libc::CLONE_THREAD as u64 != 0 => How::Thread,
            libc::PTRACE_EVENT_VFORK => How::Vfork,
            libc::PTRACE_EVENT_FORK => How::Fork,
            _ => How::Clone,
        };
        let shares = Shares {
            files: flags & libc::CLONE_FILES as u64 != 0,
            actions: flags & libc::CLONE_SIGHAND as u64 != 0,
            parent: flags & libc::CLONE_PARENT as u64 != 0,
        };
        let outcome = call.map(|call| Outcome { call: call.name, ret: 0 });
        let Some(maker) = self.tracees.get(&tid) else { return Ok(()) };
        let (maker_task, actor, statement) = (maker.task, maker.actor, maker.statement);
        let name = self.child_name(maker_task, actor, statement, how);
        let task = self.adopt(child, maker_task, &Birth { name, how, shares, outcome, actor });
        // A vfork has no flags to say so.
        let same_memory = flags & libc::CLONE_VM as u64 != 0 || (how == How::Vfork && flags == 0);
        if same_memory && how != How::Thread {
            self.watch.share(self.process_of(maker_task), task);
        }
        if let Some(newborn) = self.tracees.get_mut(&child) {
            newborn.statement = statement;
        }
        if how != How::Thread && !same_memory {
            self.copies.take(tid, child);
        }
        // A handler that forks leaves the child in the handler too.
        let frames = self.tracees.get(&tid).map(|maker| maker.frames.clone()).unwrap_or_default();
        let hidden = self.tracees.get_mut(&tid).map(|maker| maker.hidden.inherited());
        if let Some(newborn) = self.tracees.get_mut(&child) {
            newborn.hidden = hidden.unwrap_or(Hidden::nothing());
        }
        if let Some(newborn) = self.tracees.get_mut(&child).filter(|_| how != How::Thread) {
            newborn.frames = frames;
        }
        if flags & CLONE_CLEAR_SIGHAND != 0 {
            self.write_handlers_cleared(task);
        }
        // Its maker may be process 1, which throws away what it does not.
        self.decide_hidden(child);
        debug_assert_eq!(self.task_of(child), Some(task));
        let borrowed = self.tracees.get(&tid).and_then(|maker| maker.borrowed);
        if let Some(newborn) = self.tracees.get_mut(&child) {
            newborn.borrowed = borrowed;
        }
        if let Some(waiting) = self.strangers.remove(&child) {
            if let Some(newborn) = self.tracees.get_mut(&child) {
                newborn.newborn = false;
            }
            self.begin_life(child, waiting).or_else(unless_gone)?;
        }
        self.pass(tid, stopped)
    }

    /// Lets a new task go on from its first stop.
    pub(super) fn begin_life(&mut self, tid: i32, stopped: Stopped) -> Result<()> {
        self.give_back_to_child(tid, &stopped)?;
        self.hide_from_birth(tid, &stopped)?;
        self.look_at_waste(tid, &stopped)?;
        stopped.resume(Resume::Continue, None)
    }

    /// What a new task is called: a scenario's process by its block, a foreign one by its maker until
    /// it loads a program.
    fn child_name(&self, maker: TaskId, actor: bool, statement: Option<StatementId>, how: How) -> String {
        let name_of = |task: TaskId| self.world().task(task).map_or("?", |task| self.recorder.names().get(task.name));
        let leader = self.world().task(maker).map_or(maker, |task| task.process);
        let base = name_of(leader).split('#').next().unwrap_or("?");
        if how == How::Thread {
            return format!("{}/thread", name_of(leader));
        }
        match statement.filter(|_| actor).and_then(|id| self.scenario.as_ref()?.program.statement(id)) {
            Some(statement) => match statement.op {
                crate::scenario::Op::Fork { name, .. } => {
                    let program = self.scenario.as_ref().map(|scenario| &scenario.program);
                    let child = program.and_then(|program| program.processes.get(name.index()));
                    format!("{}.{}", name_of(leader), child.map_or("?", String::as_str))
                }
                _ => base.to_owned(),
            },
            None => base.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Header, Status};
    use crate::trace::Options;

    #[test]
    fn threads_are_no_processes() {
        let options = Options { all: false, capture: 0, watch_memory: false, virtual_time: false };
        let mut tracer = Tracer::new(&Header::default(), options, None);
        let birth = |how| Birth { name: "a".to_owned(), how, shares: Shares::default(), outcome: None, actor: false };
        // No process has such numbers.
        let first = tracer.adopt(-10, TaskId::LAB, &birth(How::Fork));
        for tid in -30..-10 {
            tracer.adopt(tid, first, &birth(How::Thread));
        }
        tracer.adopt(-31, first, &birth(How::Clone));
        assert_eq!(tracer.processes(), 2);
        tracer.ended(-11, Status::Code(0));
        tracer.ended(-31, Status::Code(0));
        assert_eq!(tracer.processes(), 1);
    }
}
