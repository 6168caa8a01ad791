//! A lock that went with a descriptor that had nothing to do with it (`fcntl_locking(2)`, "BUGS").

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule, channel_name, name};
use crate::model::{ChannelId, Ended, Event, Kind, LockKind, LockMode, Names, Owner, TaskId, Weight, World};

/// A process closes a descriptor of a file on which it holds locks through another.
#[derive(Debug, Default)]
pub(super) struct LockDroppedByClose {
    /// Through which descriptors each process has set the locks that it holds on a file.
    set_through: BTreeMap<(TaskId, ChannelId), BTreeSet<i32>>,
}

impl LockDroppedByClose {
    fn locked(&mut self, process: TaskId, channel: ChannelId, fd: i32, mode: LockMode, world: &World) {
        let holds = world
            .channel(channel)
            .is_some_and(|channel| channel.locks.iter().any(|lock| lock.owner == Owner::Process(process)));
        if !holds {
            self.set_through.remove(&(process, channel));
        } else if mode != LockMode::Unlock {
            self.set_through.entry((process, channel)).or_default().insert(fd);
        }
    }

    fn closed(&mut self, task: TaskId, fd: i32, channel: ChannelId, world: &World, names: &Names) -> Option<Finding> {
        let process = world.task(task)?.process;
        let set_through = self.set_through.remove(&(process, channel))?;
        let own = *set_through.iter().min()?;
        let still_open = world.fds(task).any(|entry| entry.channel == channel);
        if set_through.contains(&fd) || !still_open {
            return None;
        }
        let (who, file) = (name(process, world, names), channel_name(channel, world, names));
        let text = format!(
            "{who} closes descriptor {fd} of {file} and so loses the locks on it that it set through descriptor \
             {own}: open a file once while it is locked, or use open file description locks (F_OFD_SETLK)"
        );
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks: vec![process], channels: vec![channel] })
    }
}

impl Rule for LockDroppedByClose {
    fn name(&self) -> &'static str {
        "lock-dropped-by-close"
    }

    fn about(&self) -> &'static str {
        "A process closes another descriptor of a file that it has locked, and its locks are gone."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Lock { channel, fd, kind: LockKind::Process, mode, .. } if !event.failed() => {
                let process = world.task(event.task).map_or(event.task, |task| task.process);
                self.locked(process, channel, fd, mode, world);
            }
            Kind::Close { fd, channel: Some(channel) } if !self.set_through.is_empty() => {
                findings.extend(self.closed(event.task, fd, channel, world, names));
            }
            _ => {}
        }
    }

    fn end(&mut self, _: &World, _: &Names, _: Ended, _: &mut Vec<Finding>) {}
}

#[cfg(test)]
mod tests {
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Access, ChannelKind, Kind, LockKind, LockMode};

    fn texts(sketch: &mut Sketch) -> Vec<String> {
        replay(&sketch.log()).into_iter().map(|finding| finding.text).collect()
    }

    fn lock(sketch: &mut Sketch, fd: i32, kind: LockKind, mode: LockMode) {
        let channel = sketch.at("a", fd);
        sketch.event("a", "fcntl", 0, Kind::Lock { channel, fd, kind, mode, start: 0, len: 0 });
    }

    fn opened_twice() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "data", ChannelKind::File);
        sketch.open("a", 3, "data", Access::ReadWrite).open("a", 4, "data", Access::Read);
        sketch
    }

    #[test]
    fn closing_the_other_descriptor_loses_the_lock() {
        let mut sketch = opened_twice();
        lock(&mut sketch, 3, LockKind::Process, LockMode::Write);
        sketch.close("a", 4);
        let expected = "a closes descriptor 4 of data and so loses the locks on it that it set through descriptor 3: \
                        open a file once while it is locked, or use open file description locks (F_OFD_SETLK)";
        assert_eq!(texts(&mut sketch), [expected]);
        let data = sketch.channel("data");
        assert!(sketch.world().channel(data).is_some_and(|channel| channel.locks.is_empty()));
    }

    #[test]
    fn closing_what_locked_or_what_is_unlocked_or_another_kind_is_fine() {
        let mut sketch = opened_twice();
        lock(&mut sketch, 3, LockKind::Process, LockMode::Write);
        lock(&mut sketch, 3, LockKind::Process, LockMode::Unlock);
        sketch.close("a", 4).open("a", 4, "data", Access::Read);
        lock(&mut sketch, 3, LockKind::Description, LockMode::Write);
        sketch.close("a", 4).open("a", 4, "data", Access::Read);
        lock(&mut sketch, 3, LockKind::Process, LockMode::Read);
        sketch.close("a", 3);
        assert_eq!(texts(&mut sketch), [""; 0]);
    }
}
