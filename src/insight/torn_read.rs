//! A reader that gets part of an old record and part of a new one.
//!
//! A record is what a task stores one after the other, each place once, with no call and no load of its
//! own in between; a reading of it is what a task of another process loads so. The read is torn if one
//! place of it was loaded after the writer had stored there, and another one before: whichever came first.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule, channel_name, name};
use crate::model::{ChannelId, Ended, Event, Kind, Names, TaskId, Weight, World};

/// How many accesses of a stretch are remembered.
const MOST: usize = 256;

/// Loads of a task, stores of another, mixed.
#[derive(Debug, Default)]
pub(super) struct TornRead {
    /// The loads that each task makes without anything in between, or made last.
    reading: BTreeMap<TaskId, Stretch>,
    /// Its stores, likewise.
    writing: BTreeMap<TaskId, Stretch>,
    told: BTreeSet<ChannelId>,
}

#[derive(Debug, Clone, Copy)]
struct Access {
    channel: ChannelId,
    offset: u64,
    bytes: u64,
    at: u64,
}

impl Access {
    fn touches(&self, other: &Self) -> bool {
        self.channel == other.channel
            && self.offset < other.offset.saturating_add(other.bytes)
            && other.offset < self.offset.saturating_add(self.bytes)
    }
}

#[derive(Debug, Default)]
struct Stretch {
    accesses: Vec<Access>,
    /// Something else came after them: the next one begins anew.
    over: bool,
}

impl Stretch {
    fn add(&mut self, access: Access) {
        if std::mem::take(&mut self.over) || self.accesses.iter().any(|known| known.touches(&access)) {
            self.accesses.clear();
        }
        if self.accesses.len() < MOST {
            self.accesses.push(access);
        }
    }
}

/// Whether `reads` saw part of `stores` and missed another part: the reader loaded one place before the
/// writer stored there, and another one after.
fn torn(reads: &[Access], stores: &[Access]) -> Option<(Access, Access)> {
    let seen = reads.iter().find(|read| stores.iter().any(|store| store.touches(read) && store.at < read.at));
    let missed = reads.iter().find(|read| stores.iter().any(|store| store.touches(read) && store.at > read.at));
    seen.zip(missed).filter(|(seen, missed)| !seen.touches(missed)).map(|(seen, missed)| (*seen, *missed))
}

impl TornRead {
    fn check(&mut self, reader: TaskId, writer: TaskId, world: &World, names: &Names) -> Option<Finding> {
        let process = |id: TaskId| world.task(id).map_or(id, |task| task.process);
        if process(reader) == process(writer) {
            return None;
        }
        let (seen, missed) = torn(&self.reading.get(&reader)?.accesses, &self.writing.get(&writer)?.accesses)?;
        if !self.told.insert(seen.channel) {
            return None;
        }
        let (who, by) = (name(reader, world, names), name(writer, world, names));
        let text = format!(
            "{who} read half of a record in {}: at offset {} what {by} has just stored, at offset {} what was there \
             before; write and read the record under one lock",
            channel_name(seen.channel, world, names),
            seen.offset,
            missed.offset
        );
        Some(Finding {
            rule: self.name(),
            weight: Weight::Fault,
            text,
            tasks: vec![reader, writer],
            channels: vec![seen.channel],
        })
    }

    fn load(&mut self, task: TaskId, load: Access) {
        self.reading.entry(task).or_default().add(load);
        if let Some(stretch) = self.writing.get_mut(&task) {
            stretch.over = true;
        }
    }

    fn store(&mut self, task: TaskId, store: Access) {
        self.writing.entry(task).or_default().add(store);
        if let Some(stretch) = self.reading.get_mut(&task) {
            stretch.over = true;
        }
    }
}

impl Rule for TornRead {
    fn name(&self) -> &'static str {
        "torn-read"
    }

    fn about(&self) -> &'static str {
        "A reader of shared memory got part of an old record and part of a new one."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let at = world.applied();
        match event.kind {
            Kind::Load { channel, offset, data } => {
                self.load(event.task, Access { channel, offset, bytes: u64::from(data.len), at });
                let writers: Vec<TaskId> = self.writing.keys().copied().filter(|task| *task != event.task).collect();
                for writer in writers {
                    findings.extend(self.check(event.task, writer, world, names));
                }
            }
            Kind::Store { channel, offset, data } if !event.failed() => {
                self.store(event.task, Access { channel, offset, bytes: u64::from(data.len / 2), at });
                let readers: Vec<TaskId> = self.reading.keys().copied().filter(|task| *task != event.task).collect();
                for reader in readers {
                    findings.extend(self.check(reader, event.task, world, names));
                }
            }
            // Whatever else a task does ends its record, except that the lab says where it is.
            Kind::Line { .. } | Kind::Note { .. } | Kind::Diagnosis { .. } => {}
            _ if self.reading.is_empty() && self.writing.is_empty() => {}
            _ => {
                let stretches = [self.reading.get_mut(&event.task), self.writing.get_mut(&event.task)];
                stretches.into_iter().flatten().for_each(|stretch| stretch.over = true);
            }
        }
    }

    fn end(&mut self, _: &World, _: &Names, _: Ended, _: &mut Vec<Finding>) {}
}

#[cfg(test)]
mod tests {
    use crate::insight::replay;
    use crate::model::ChannelKind;
    use crate::model::sketch::Sketch;

    fn found(tell: impl FnOnce(&mut Sketch)) -> Vec<String> {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").create("parent", "m", ChannelKind::Shm);
        sketch.fork("parent", "parent.writer").fork("parent", "parent.reader");
        tell(&mut sketch);
        let found = replay(&sketch.log());
        found.into_iter().filter(|finding| finding.rule == "torn-read").map(|finding| finding.text).collect()
    }

    #[test]
    fn half_new_half_old() {
        let texts = found(|sketch| {
            sketch.store("parent.writer", "m", 0, 0, 1).load("parent.reader", "m", 0, 1);
            sketch.load("parent.reader", "m", 8, 0).store("parent.writer", "m", 8, 0, 1);
        });
        assert_eq!(
            texts,
            ["reader read half of a record in m: at offset 0 what writer has just stored, at offset 8 what was there \
              before; write and read the record under one lock"]
        );
    }

    #[test]
    fn half_old_half_new() {
        let texts = found(|sketch| {
            sketch.load("parent.reader", "m", 0, 0);
            sketch.store("parent.writer", "m", 0, 0, 1).store("parent.writer", "m", 8, 0, 1);
            sketch.load("parent.reader", "m", 8, 1);
        });
        assert_eq!(texts.len(), 1, "{texts:?}");
    }

    #[test]
    fn whole_records_are_whole() {
        let texts = found(|sketch| {
            sketch.load("parent.reader", "m", 0, 0).load("parent.reader", "m", 8, 0);
            sketch.store("parent.writer", "m", 0, 0, 1).store("parent.writer", "m", 8, 0, 1);
            sketch.syscall("parent.reader", "futex", 0, "").load("parent.reader", "m", 0, 1);
            sketch.load("parent.reader", "m", 8, 1).syscall("parent.writer", "futex", 0, "");
            sketch.syscall("parent.reader", "futex", 0, "").store("parent.writer", "m", 0, 1, 2);
            sketch.store("parent.writer", "m", 8, 1, 2);
        });
        assert!(texts.is_empty(), "{texts:?}");
    }
}
