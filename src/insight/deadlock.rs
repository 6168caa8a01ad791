//! Tasks that wait for each other, in a circle of any length.
//!
//! Who belongs to one says [`stuck`]; that these really sleep says the kernel, in the event `asleep`.

mod cure;
mod facts;
mod parts;

use std::collections::BTreeSet;

use self::cure::Case;
use self::facts::Facts;
use super::stuck::{Stuck, stuck};
use super::{Finding, Rule};
use crate::model::{Blocked, ChannelId, Ended, Event, Kind, Names, State, TaskId, Weight, Why, World};

/// Tasks wait for each other, and nobody else can help.
#[derive(Debug, Default)]
pub(super) struct Deadlock {
    told: BTreeSet<Vec<TaskId>>,
    sleepers: Sleepers,
    facts: Facts,
}

/// Who sleeps for ever, of those of whom the kernel was asked.
#[derive(Debug, Default)]
pub(super) struct Sleepers {
    /// Whether the log says what the kernel was asked; one of an older version does not.
    asked: bool,
}

impl Sleepers {
    /// Who is found out by this event, unless somebody is awake who could still help.
    pub(super) fn observe(&mut self, event: &Event, world: &World, names: &Names) -> Option<Stuck> {
        match event.kind {
            Kind::Asleep { .. } => among_unwoken(stuck(world, names, false), world).filter(|found| !found.watched),
            Kind::End { .. } => {
                self.asked = true;
                None
            }
            _ => None,
        }
    }

    /// Who is left at the end of the run.
    pub(super) fn at_end(&self, world: &World, names: &Names) -> Option<Stuck> {
        let found = stuck(world, names, true);
        if self.asked { among_unwoken(found, world) } else { Some(found) }
    }
}

/// The same, if the kernel has said so of each.
fn among_unwoken(found: Stuck, world: &World) -> Option<Stuck> {
    let unwoken = |id: &TaskId| world.task(*id).is_some_and(|task| task.unwoken);
    found.circle.keys().all(unwoken).then_some(found)
}

impl Deadlock {
    fn tell(&mut self, found: &Stuck, world: &World, names: &Names) -> Option<Finding> {
        let circle = &found.circle;
        let why = |id: &TaskId| blocked(*id, world).map(|blocked| blocked.why);
        if circle.keys().all(|id| why(id) == Some(Why::Barrier)) {
            return None;
        }
        let tasks: Vec<TaskId> = circle.keys().copied().collect();
        if !self.told.insert(tasks.clone()) {
            return None;
        }
        let case = Case { circle, facts: &self.facts, world, names };
        let text = format!("{}: {}", case.parts(), case.cure());
        let mut channels: Vec<ChannelId> =
            tasks.iter().filter_map(|id| blocked(*id, world).and_then(|it| it.channel)).collect();
        channels.sort_unstable();
        channels.dedup();
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks, channels })
    }
}

pub(super) fn blocked(id: TaskId, world: &World) -> Option<Blocked> {
    match world.task(id)?.state {
        State::Blocked(blocked) => Some(blocked),
        _ => None,
    }
}

impl Rule for Deadlock {
    fn name(&self) -> &'static str {
        "deadlock"
    }

    fn about(&self) -> &'static str {
        "Tasks wait for each other in a circle, and nobody else can help."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        self.facts.observe(event, world, names);
        let found = self.sleepers.observe(event, world, names);
        findings.extend(found.and_then(|found| self.tell(&found, world, names)));
    }

    fn end(&mut self, world: &World, names: &Names, _: Ended, findings: &mut Vec<Finding>) {
        let found = self.sleepers.at_end(world, names);
        findings.extend(found.and_then(|found| self.tell(&found, world, names)));
    }
}

#[cfg(test)]
#[path = "deadlock_tests.rs"]
mod tests;
