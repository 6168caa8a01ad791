//! What has happened before somebody falls asleep for ever.

use std::collections::{BTreeMap, BTreeSet};

use crate::insight::private_memory::{Apart, PrivateMemory};
use crate::insight::{Rule, lineage};
use crate::model::{ChannelId, Event, How, Kind, Names, Signal, TaskId, Then, World};

/// Remembered as the log grows.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Processes that were forked by one that had several threads, and by whom. A lock that another thread held
    /// then is never given back in them.
    forked: BTreeMap<TaskId, TaskId>,
    /// Who has a copy of memory that it should share.
    private: PrivateMemory,
    /// Which processes have written to which channels.
    wrote: BTreeSet<(TaskId, ChannelId)>,
    /// Whose sleep a handler has interrupted, and begins anew because of `SA_RESTART`.
    restarted: BTreeMap<TaskId, Signal>,
}

impl Facts {
    /// Takes an event in.
    pub(super) fn observe(&mut self, event: &Event, world: &World, names: &Names) {
        self.private.observe(event, &[], world, names, &mut Vec::new());
        match event.kind {
            Kind::Spawn { child, how: How::Fork, .. } if !event.failed() => self.spawned(event.task, child, world),
            Kind::Exec { .. } if !event.failed() => {
                self.forked.remove(&event.task);
                self.restarted.remove(&event.task);
            }
            Kind::Write { channel, bytes: 1.., .. } => {
                self.wrote.insert((lineage::process_of(event.task, world), channel));
            }
            Kind::Interrupted { signal, then: Then::Restart } => {
                self.restarted.insert(event.task, signal);
            }
            Kind::Unblock { .. } | Kind::Exit { .. } if !self.restarted.is_empty() => {
                self.restarted.remove(&event.task);
            }
            _ => {}
        }
    }

    /// Remembers who was forked by a process with several threads.
    fn spawned(&mut self, maker: TaskId, child: TaskId, world: &World) {
        let process = lineage::process_of(maker, world);
        let threads = world.living().filter(|task| task.process == process).count();
        if threads > 1 {
            self.forked.insert(child, maker);
        } else if let Some(first) = self.forked.get(&process).copied() {
            self.forked.insert(child, first);
        }
    }

    /// By whom a process was forked that had several threads.
    pub(super) fn forked_by(&self, process: TaskId) -> Option<TaskId> {
        self.forked.get(&process).copied()
    }

    /// Whether a process has written to a channel.
    pub(super) fn has_written(&self, process: TaskId, channel: ChannelId) -> bool {
        self.wrote.contains(&(process, channel))
    }

    /// Whose handler has run in the sleep of a task without ending it.
    pub(super) fn restarted_by(&self, task: TaskId) -> Option<Signal> {
        self.restarted.get(&task).copied()
    }

    /// Whether a task waits at memory that those who should wake it do not see.
    pub(super) fn apart(&self, task: TaskId, world: &World) -> Option<Apart> {
        self.private.apart(task, world)
    }
}
