//! A semaphore or a mutex in memory that each of two processes has for itself (sem_init(3), `pshared`; mmap(2),
//! `MAP_PRIVATE`): what one does there the other never sees. Or it lies in memory that they share, and was not said to be
//! shared (pthread_mutexattr_setpshared(3)): then the other sees it, and its wake finds nobody.
//!
//! That memory is private is no fault. It is one when somebody waits there without end, for whom only a thread
//! of its own process could do anything, and it has none.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::{lives, process_of};
use super::{Finding, Rule, channel_name, name};
use crate::model::{
    Blocked, ChannelId, Disposition, Ended, Event, How, Kind, Names, State, TaskId, Use, Wanted, Weight, Why, Word,
    World,
};

/// So long somebody has waited when it can be said that it waits in vain, though the run was cut: in nanoseconds.
const LONG: u64 = 1_000_000_000;

/// The only thread of a process waits for a futex that no other process has.
#[derive(Debug, Default)]
pub(super) struct PrivateMemory {
    /// Processes that have loaded no program since they were forked, and by whom.
    forked: BTreeMap<TaskId, TaskId>,
    /// Processes that have or had threads.
    threaded: BTreeSet<TaskId>,
    /// Who sleeps so, since when.
    waits: BTreeMap<TaskId, u64>,
    told: BTreeSet<(TaskId, TaskId)>,
}

/// Whether a task waits for a word of memory: for which, its `wanted` says.
const fn waits_in_futex(why: Why) -> bool {
    matches!(why, Why::Futex | Why::Lock)
}

impl PrivateMemory {
    /// The process with which another one has its code and once had its memory in common.
    fn relative(&self, process: TaskId) -> Option<TaskId> {
        let child = || self.forked.iter().find(|(_, maker)| **maker == process).map(|(child, _)| *child);
        self.forked.get(&process).copied().or_else(child)
    }

    /// Whether a task waits where those who should wake it do not reach it: the only thread of its process, which
    /// no signal could help.
    pub(super) fn apart(&self, task: TaskId, world: &World) -> Option<Apart> {
        let known = world.task(task)?;
        let process = known.process;
        let State::Blocked(blocked) = known.state else { return None };
        let sleeps =
            waits_in_futex(blocked.why) && blocked.channel.is_none() && blocked.on.is_none() && !blocked.timeout;
        let alone = world.living().filter(|other| other.process == process).count() == 1;
        let handles = world.actions(task).is_some_and(|it| !it.with_disposition(Disposition::Handler).is_empty());
        if !sleeps || !alone || handles {
            return None;
        }
        if let Some((channel, byte)) = shared_word(task, world) {
            let mut users = world.users(channel).map(|user| user.id).filter(|user| *user != process);
            let other = users.next().or_else(|| self.relative(process))?;
            return Some(Apart { task, other, shared: Some((channel, byte)) });
        }
        // Of a mutex its memory says who has it. A thread may have had the lock at the fork: then the memory is not
        // to blame.
        let is_mutex = matches!(known.wanted, Wanted::Word { of: Word::Mutex, .. });
        let other = self.relative(process)?;
        let threads = self.threaded.contains(&process) || self.threaded.contains(&other);
        (!is_mutex && !threads).then_some(Apart { task, other, shared: None })
    }
}

/// Who waits at a word of memory where nobody reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Apart {
    task: TaskId,
    /// The process that was meant to wake it, or its nearest relative.
    other: TaskId,
    /// The shared memory that it lies in, and which byte of it, where only the wait is a private one.
    shared: Option<(ChannelId, u64)>,
}

impl Apart {
    /// What it waits for, and what helps.
    pub(super) fn text(&self, world: &World, names: &Names) -> (String, String) {
        let (who, by) = (name(self.task, world, names), name(self.other, world, names));
        let Some((channel, byte)) = self.shared else {
            let wait = format!("waits in futex for a semaphore or a lock in memory that only {who} has");
            let cure = format!(
                "after the fork {who} and {by} have a copy each, and neither sees what the other does there; put it into \
                 shared memory (mmap(2) with MAP_SHARED and MAP_ANONYMOUS before the fork) and say that processes share \
                 it (pshared of sem_init(3), PTHREAD_PROCESS_SHARED)"
            );
            return (wait, cure);
        };
        let p = channel_name(channel, world, names);
        let has = if lives(self.other, world) { "has" } else { "had" };
        let wait = format!(
            "waits at byte {byte} of {p}, which {by} {has} too, as if only its own threads used it (FUTEX_PRIVATE_FLAG of \
             futex(2))"
        );
        let cure = "no wake by another process reaches it; say that processes share it (PTHREAD_PROCESS_SHARED of \
                    pthread_mutexattr_setpshared(3) and pthread_condattr_setpshared(3), pshared of sem_init(3)), or \
                    leave FUTEX_PRIVATE_FLAG out";
        (wait, cure.to_owned())
    }
}

/// Where in shared memory a word lies at which a task waits as if the memory were its own.
pub(super) fn shared_word(task: TaskId, world: &World) -> Option<(ChannelId, u64)> {
    let Wanted::Word { at, .. } = world.task(task)?.wanted else { return None };
    let State::Blocked(Blocked { channel: None, .. }) = world.task(task)?.state else { return None };
    let inside = |used: &&Use| used.bytes > 0 && at.checked_sub(used.address).is_some_and(|byte| byte < used.bytes);
    let used = world.uses(task).iter().find(inside)?;
    let is_memory = world.channel(used.channel).is_some_and(|channel| channel.kind.is_memory());
    is_memory.then_some((used.channel, (at - used.address).saturating_add(used.offset)))
}

impl PrivateMemory {
    /// Two that wait for each other so are told of once.
    fn report(&mut self, task: TaskId, world: &World, names: &Names) -> Option<Finding> {
        let apart = self.apart(task, world)?;
        let (low, high) = (apart.other.min(task), apart.other.max(task));
        if !self.told.insert((low, high)) {
            return None;
        }
        let (wait, cure) = apart.text(world, names);
        Some(Finding {
            rule: "private-memory",
            weight: Weight::Fault,
            text: format!("{} {wait}: {cure}", name(task, world, names)),
            tasks: vec![task, apart.other],
            channels: apart.shared.map(|(channel, _)| channel).into_iter().collect(),
        })
    }
}

impl Rule for PrivateMemory {
    fn name(&self) -> &'static str {
        "private-memory"
    }

    fn about(&self) -> &'static str {
        "A process waits for a semaphore or a lock in memory that no other process shares with it."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, _: &mut Vec<Finding>) {
        match event.kind {
            Kind::Spawn { how: How::Thread, .. } => {
                self.threaded.insert(process_of(event.task, world));
            }
            Kind::Spawn { child, how: How::Fork, .. } => {
                let maker = process_of(event.task, world);
                if maker != TaskId::LAB {
                    self.forked.insert(child, maker);
                }
            }
            Kind::Exec { .. } if !event.failed() => {
                self.forked.remove(&process_of(event.task, world));
            }
            Kind::Block { channel: None, on: None, .. }
                if event.call.is_some_and(|call| names.get(call) == "futex") =>
            {
                self.waits.insert(event.task, event.t_ns);
            }
            Kind::Unblock { .. } | Kind::Exit { .. } if !self.waits.is_empty() => {
                self.waits.remove(&event.task);
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        for (task, since) in std::mem::take(&mut self.waits) {
            if ended != Ended::Cut || world.t_ns().saturating_sub(since) >= LONG {
                findings.extend(self.report(task, world, names));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Access, ChannelKind, Shares, Signal};

    fn found(sketch: &mut Sketch) -> Vec<String> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "private-memory");
        findings.map(|it| it.text).collect()
    }

    #[test]
    fn a_semaphore_that_was_copied() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "child").block("parent", "futex", Why::Lock).exit("child", 0);
        let texts = found(&mut sketch);
        assert_eq!(texts.len(), 1);
        assert!(texts[0].starts_with(
            "parent waits in futex for a semaphore or a lock in memory that only parent has: after the fork"
        ));
    }

    /// The memory is shared, but the wait is one of a single process.
    #[test]
    fn a_private_wait_in_shared_memory() {
        let waits = |at: u64, private: bool| {
            let mut sketch = Sketch::new();
            sketch.fork("init", "parent").create("parent", "m", ChannelKind::Shm);
            let (channel, access) = (sketch.channel("m"), Access::ReadWrite);
            sketch.event("parent", "mmap", 0, Kind::Attach { channel, address: 4096, bytes: 4096, offset: 0, access });
            sketch.fork("parent", "child").block_on("parent", "wait4", Why::Child, "child");
            let wanted = sketch.keep(&Wanted::Word { of: Word::Mutex, at }.to_bytes());
            let channel = (!private).then_some(channel);
            let block = Kind::Block { channel, on: None, why: Why::Futex, timeout: false, wanted };
            found(sketch.event("child", "futex", 0, block).ended(Ended::Stuck))
        };
        let texts = waits(4096 + 40, true);
        let expected = "child waits at byte 40 of m, which parent has too, as if only its own threads used it";
        assert!(texts.len() == 1 && texts[0].starts_with(expected), "{texts:?}");
        assert_eq!(waits(40, false), [""; 0], "it is not a private one");
        assert_eq!(waits(4096 * 4, true), [""; 0], "of its own mutex its memory says who has it");
    }

    #[test]
    fn threads_and_handlers_may_help() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "child").action("parent", Signal::CHLD, Disposition::Handler);
        sketch.block("parent", "futex", Why::Lock).exit("child", 0);
        assert_eq!(found(&mut sketch), [""; 0]);
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").spawn("parent", "thread", How::Thread, Shares::default());
        sketch.fork("parent", "child").block("child", "futex", Why::Lock).exit("parent", 0);
        assert_eq!(found(&mut sketch), [""; 0]);
        let mut sketch = Sketch::new();
        sketch.fork("init", "alone").block("alone", "futex", Why::Lock);
        assert_eq!(found(&mut sketch), [""; 0]);
    }
}
