//! What stood in a buffer at the fork is written by parent and child (fork(2), stdio(3)).
//!
//! That both write the same proves nothing: both may have come to it after the fork. The log says of what a
//! child writes how much of it waited in a buffer at the fork (`copied`).

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::process_of;
use super::{Finding, Rule, channel_name, name};
use crate::model::{ChannelId, Ended, Event, Kind, Names, TaskId, Weight, World};

/// How many writes of a process are remembered.
const WRITES: usize = 8;
/// How many of their bytes.
const BYTES: usize = 48;

/// Two processes have written what one buffer held.
#[derive(Debug, Default)]
pub(super) struct BufferCopied {
    recent: BTreeMap<TaskId, Recent>,
    makers: BTreeMap<TaskId, TaskId>,
    parents: BTreeSet<TaskId>,
    /// What a child has written and its maker may still write.
    expected: BTreeMap<(TaskId, ChannelId), (TaskId, Start)>,
    told: BTreeSet<(ChannelId, Start)>,
}

/// The first bytes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Start {
    bytes: [u8; BYTES],
    length: usize,
}

impl Start {
    fn of(payload: &[u8]) -> Self {
        let length = payload.len().min(BYTES);
        let mut bytes = [0; BYTES];
        bytes[..length].copy_from_slice(&payload[..length]);
        Self { bytes, length }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The last writes of a process.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    writes: [Option<(u64, ChannelId, Start)>; WRITES],
    next: usize,
}

impl Recent {
    fn push(&mut self, seq: u64, channel: ChannelId, start: Start) {
        self.writes[self.next] = Some((seq, channel, start));
        self.next = (self.next + 1) % WRITES;
    }

    /// Oldest first.
    fn iter(&self) -> impl Iterator<Item = (u64, ChannelId, Start)> {
        let (new, old) = self.writes.split_at(self.next);
        old.iter().chain(new).filter_map(|write| *write)
    }

    /// The first write to `channel` after event `since`, if it is still known.
    fn first_after(&self, since: u64, channel: ChannelId) -> Option<Start> {
        self.iter().find(|(seq, at, _)| *seq > since && *at == channel).map(|(_, _, start)| start)
    }
}

impl BufferCopied {
    fn wrote(
        &mut self,
        event: &Event,
        payload: &[u8],
        channel: ChannelId,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        let process = process_of(event.task, world);
        let start = Start::of(payload);
        self.recent.entry(process).or_default().push(world.applied() - 1, channel, start);
        if self.expected.is_empty() {
            return None;
        }
        let (child, copied) = self.expected.remove(&(process, channel))?;
        start.get().starts_with(copied.get()).then(|| self.report([child, process], channel, copied, world, names))?
    }

    fn copied(
        &mut self,
        task: TaskId,
        channel: ChannelId,
        bytes: u64,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        let child = process_of(task, world);
        let maker = self.makers.get(&child).copied()?;
        let born = world.task(child)?.born;
        let written = self.recent.get(&child)?.iter().last().filter(|(_, at, _)| *at == channel)?.2;
        let copied = Start::of(&written.get()[..written.length.min(usize::try_from(bytes).unwrap_or(BYTES))]);
        if copied.length == 0 {
            return None;
        }
        let before = self.recent.get(&maker).and_then(|recent| recent.first_after(born, channel));
        match before {
            Some(start) if start.get().starts_with(copied.get()) => {
                self.report([child, maker], channel, copied, world, names)
            }
            Some(_) => None,
            None => {
                let sibling = self.expected.get(&(maker, channel)).copied();
                self.expected.entry((maker, channel)).or_insert((child, copied));
                let (sibling, of_sibling) = sibling?;
                let same = of_sibling.get().starts_with(copied.get()) || copied.get().starts_with(of_sibling.get());
                same.then(|| self.report([sibling, child], channel, copied, world, names))?
            }
        }
    }

    fn report(
        &mut self,
        [child, other]: [TaskId; 2],
        channel: ChannelId,
        copied: Start,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        if !self.told.insert((channel, copied)) {
            return None;
        }
        let (one, two, p) = (name(child, world, names), name(other, world, names), channel_name(channel, world, names));
        let maker = self.makers.get(&child).map_or(two, |maker| name(*maker, world, names));
        let text = String::from_utf8_lossy(copied.get());
        let mut quoted: String = text.chars().take(24).collect();
        if quoted.len() < text.len() || copied.length == BYTES {
            quoted.push('…');
        }
        let text = format!(
            "{one} and {two} both write {quoted:?} to {p}: it was still in a stdio buffer of {maker} at the fork, \
             and fork(2) copies the buffer; call fflush(3) before fork, or end {one} with _exit(2)"
        );
        let tasks = vec![child, other];
        Some(Finding { rule: "buffer-copied-by-fork", weight: Weight::Fault, text, tasks, channels: vec![channel] })
    }
}

impl Rule for BufferCopied {
    fn name(&self) -> &'static str {
        "buffer-copied-by-fork"
    }

    fn about(&self) -> &'static str {
        "What stood in a buffer at the fork is written by parent and child."
    }

    fn observe(&mut self, event: &Event, payload: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Write { channel, bytes: 1.., .. } if event.task != TaskId::LAB => {
                findings.extend(self.wrote(event, payload, channel, world, names));
            }
            Kind::Copied { channel, bytes } => {
                findings.extend(self.copied(event.task, channel, bytes, world, names));
            }
            Kind::Spawn { child, .. } if world.task(child).is_some_and(crate::model::Task::is_process) => {
                let maker = process_of(event.task, world);
                self.makers.insert(child, maker);
                self.parents.insert(maker);
            }
            Kind::Exec { .. } if !event.failed() => {
                let process = process_of(event.task, world);
                self.recent.remove(&process);
                self.expected.retain(|(maker, _), _| *maker != process);
            }
            // What a maker wrote counts as long as its children may write.
            Kind::Exit { .. } if !self.parents.contains(&event.task) => {
                self.recent.remove(&event.task);
            }
            _ => {}
        }
    }

    fn end(&mut self, _: &World, _: &Names, _: Ended, _: &mut Vec<Finding>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::Access;
    use crate::model::ChannelKind;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<String> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "buffer-copied-by-fork");
        findings.map(|it| it.text).collect()
    }

    fn parent() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").create("parent", "out", ChannelKind::File);
        sketch.open("parent", 1, "out", Access::Write);
        sketch
    }

    fn copied(sketch: &mut Sketch, task: &str, bytes: u64) {
        let channel = sketch.channel("out");
        sketch.event(task, "", 0, Kind::Copied { channel, bytes });
    }

    #[test]
    fn both_write_what_stood_in_the_buffer() {
        for parent_first in [false, true] {
            let mut sketch = parent();
            sketch.fork("parent", "child");
            if parent_first {
                sketch.write("parent", 1, "starting\nparent\n").exit("parent", 0);
            }
            sketch.write("child", 1, "starting\nchild\n");
            copied(&mut sketch, "child", 9);
            sketch.exit("child", 0);
            if !parent_first {
                sketch.write("parent", 1, "starting\nparent\n").exit("parent", 0);
            }
            let expected = "child and parent both write \"starting\\n\" to out: it was still in a stdio buffer of \
                            parent at the fork, and fork(2) copies the buffer; call fflush(3) before fork, or end \
                            child with _exit(2)";
            assert_eq!(found(&mut sketch), [expected]);
        }
    }

    #[test]
    fn the_same_words_after_the_fork_are_right() {
        let mut sketch = parent();
        sketch.fork("parent", "child").write("child", 1, "hello\n").exit("child", 0).write("parent", 1, "hello\n");
        assert_eq!(found(&mut sketch), [""; 0]);
    }

    #[test]
    fn a_parent_that_leaves_it_to_the_child_is_right() {
        let mut sketch = parent();
        sketch.fork("parent", "child").exit("parent", 0).write("child", 1, "starting\n");
        copied(&mut sketch, "child", 9);
        sketch.exit("child", 0);
        assert_eq!(found(&mut sketch), [""; 0]);
    }

    #[test]
    fn two_children_of_one_buffer() {
        let mut sketch = parent();
        sketch.fork("parent", "a").fork("parent", "b").write("a", 1, "starting\n");
        copied(&mut sketch, "a", 9);
        sketch.write("b", 1, "starting\n");
        copied(&mut sketch, "b", 9);
        sketch.exit("a", 0).exit("b", 0).exit("parent", 0);
        assert_eq!(found(&mut sketch).len(), 1);
    }
}
