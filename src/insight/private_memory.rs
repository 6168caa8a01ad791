//! A semaphore or a mutex in memory that each of two processes has for itself (sem_init(3), `pshared`; mmap(2),
//! `MAP_PRIVATE`): what one does there the other never sees.
//!
//! That memory is private is no fault. It is one when somebody waits there without end, for whom only a thread
//! of its own process could do anything, and it has none.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::process_of;
use super::{Finding, Rule, name};
use crate::model::{Disposition, Ended, Event, How, Kind, Names, State, TaskId, Wanted, Weight, Why, Word, World};

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

    fn report(&self, task: TaskId, world: &World, names: &Names) -> Option<Finding> {
        let known = world.task(task)?;
        let process = known.process;
        let State::Blocked(blocked) = known.state else { return None };
        let sleeps =
            waits_in_futex(blocked.why) && blocked.channel.is_none() && blocked.on.is_none() && !blocked.timeout;
        // Of a mutex its memory says who has it.
        let sleeps = sleeps && !matches!(known.wanted, Wanted::Word { of: Word::Mutex, .. });
        let other = self.relative(process)?;
        // A thread may have had the lock at the fork: then the memory is not to blame. A handler may post.
        let threads = self.threaded.contains(&process) || self.threaded.contains(&other);
        let handles = world.actions(task).is_some_and(|it| !it.with_disposition(Disposition::Handler).is_empty());
        if !sleeps || threads || handles {
            return None;
        }
        let (who, by) = (name(task, world, names), name(other, world, names));
        let text = format!(
            "{who} waits in futex for a semaphore or a lock in memory that only {who} has: after the fork {who} and {by} \
             have a copy each, and neither sees what the other does there; put it into shared memory (mmap(2) with \
             MAP_SHARED and MAP_ANONYMOUS before the fork) and say that processes share it (pshared of sem_init(3), \
             PTHREAD_PROCESS_SHARED)"
        );
        let tasks = vec![task, other];
        Some(Finding { rule: "private-memory", weight: Weight::Fault, text, tasks, channels: Vec::new() })
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
    use crate::model::{Shares, Signal};

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
        assert!(texts[0].starts_with("parent waits in futex for a semaphore or a lock in memory that only parent has"));
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
