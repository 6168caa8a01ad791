//! A store that overwrites another one without having seen it.
//!
//! Exactly: a task stores to a place that it has loaded before and not stored to since, and between that
//! load and this store another process stored there. A task that stores without having loaded meant to
//! overwrite, and one that loads again has seen the other's store.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule, channel_name, name};
use crate::model::{ChannelId, Ended, Event, Kind, Names, TaskId, Weight, World};

/// How many places of a task are remembered, at most: programs can touch any number of them.
const PLACES: usize = 4096;

/// Two tasks load the same place, both store.
#[derive(Debug, Default)]
pub(super) struct LostUpdate {
    /// What each task has loaded and not stored to since: the number of the event.
    loaded: BTreeMap<TaskId, BTreeMap<Place, u64>>,
    /// Who stored last.
    stored: BTreeMap<Place, (TaskId, u64)>,
    told: BTreeSet<ChannelId>,
}

/// A stretch of a segment: channel, offset, length.
type Place = (ChannelId, u64, u32);

impl LostUpdate {
    /// A load of part of a place is none of the place: a counter is loaded and stored as a whole.
    fn store(&mut self, task: TaskId, place: Place, world: &World, names: &Names) -> Option<Finding> {
        let now = world.applied();
        let loaded = self.loaded.get_mut(&task).and_then(|places| places.remove(&place));
        let before = if self.stored.len() < PLACES * 16 || self.stored.contains_key(&place) {
            self.stored.insert(place, (task, now))
        } else {
            None
        };
        let (other, stored) = before?;
        let process = |id: TaskId| world.task(id).map_or(id, |task| task.process);
        if loaded? > stored || process(other) == process(task) || !self.told.insert(place.0) {
            return None;
        }
        let (who, by, p) = (name(task, world, names), name(other, world, names), channel_name(place.0, world, names));
        let text = format!(
            "{who} stores at offset {} of {p} what it computed from an old value: the store of {by} is lost; load and \
             store under one lock, or add in one atomic instruction",
            place.1
        );
        Some(Finding {
            rule: self.name(),
            weight: Weight::Fault,
            text,
            tasks: vec![task, other],
            channels: vec![place.0],
        })
    }
}

impl Rule for LostUpdate {
    fn name(&self) -> &'static str {
        "lost-update"
    }

    fn about(&self) -> &'static str {
        "A store to shared memory overwrites another one without having seen it."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Load { channel, offset, data } => {
                let places = self.loaded.entry(event.task).or_default();
                if places.len() < PLACES {
                    places.insert((channel, offset, data.len), world.applied());
                }
            }
            Kind::Store { channel, offset, data } if !event.failed() => {
                findings.extend(self.store(event.task, (channel, offset, data.len / 2), world, names));
            }
            Kind::Exit { .. } => {
                self.loaded.remove(&event.task);
            }
            _ => {}
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
        sketch.fork("parent", "parent.a").fork("parent", "parent.b");
        tell(&mut sketch);
        let found = replay(&sketch.log());
        found.into_iter().filter(|finding| finding.rule == "lost-update").map(|finding| finding.text).collect()
    }

    #[test]
    fn both_load_then_both_store() {
        let texts = found(|sketch| {
            sketch.load("parent.a", "m", 0, 0).load("parent.b", "m", 0, 0);
            sketch.store("parent.b", "m", 0, 0, 1).store("parent.a", "m", 0, 1, 1);
        });
        assert_eq!(
            texts,
            ["a stores at offset 0 of m what it computed from an old value: the store of b is lost; load and store \
              under one lock, or add in one atomic instruction"]
        );
    }

    #[test]
    fn one_after_the_other_loses_nothing() {
        let texts = found(|sketch| {
            sketch.load("parent.a", "m", 0, 0).store("parent.a", "m", 0, 0, 1);
            sketch.load("parent.b", "m", 0, 1).store("parent.b", "m", 0, 1, 2);
        });
        assert!(texts.is_empty(), "{texts:?}");
    }

    #[test]
    fn other_places_and_blind_stores_lose_nothing() {
        let texts = found(|sketch| {
            sketch.load("parent.a", "m", 0, 0).store("parent.b", "m", 8, 0, 1).store("parent.a", "m", 0, 0, 1);
            sketch.store("parent.b", "m", 0, 1, 5);
        });
        assert!(texts.is_empty(), "{texts:?}");
    }
}
