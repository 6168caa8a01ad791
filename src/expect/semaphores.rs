//! Which changes of a semaphore another one cannot have come before.
//!
//! A task that takes something comes after those who gave it. Who that was need not be forced: of two
//! who gave, either would have done. But if the value with which the semaphore began and all that the
//! others give in the whole run are too little, then some of what the one gave was needed. In the same
//! way a wait for zero comes after the one without whom too little would have been taken.

use std::collections::HashMap;

use super::flow::Clock;
use crate::model::{ChannelId, Event, Kind, Log, TaskId};

/// One semaphore of a set.
type Place = (ChannelId, u32);

/// What is known of one.
#[derive(Debug, Default)]
struct Semaphore {
    /// The value that it was made with or set to; which task did it, and when.
    initial: i64,
    sets: u32,
    set: Option<(TaskId, u64)>,
    /// What each task gives and takes in the whole run.
    totals: HashMap<TaskId, Sums>,
    /// What each has given and taken so far.
    so_far: HashMap<TaskId, Sums>,
    /// When a task had given, and taken, so much.
    gives: HashMap<TaskId, Vec<(i64, Clock)>>,
    takes: HashMap<TaskId, Vec<(i64, Clock)>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    given: i64,
    taken: i64,
}

impl Sums {
    const fn add(&mut self, delta: i64) {
        if delta > 0 {
            self.given = self.given.saturating_add(delta);
        } else {
            self.taken = self.taken.saturating_sub(delta);
        }
    }
}

/// All semaphores of a log.
#[derive(Debug, Default)]
pub(super) struct Semaphores {
    known: HashMap<Place, Semaphore>,
}

/// Whether an event gives a semaphore a value and does not add to it: `semctl`, and the making of a
/// POSIX one.
fn sets(log: &Log, event: &Event) -> bool {
    event.call.is_some_and(|call| !matches!(log.name(call), "semop" | "semtimedop"))
}

impl Semaphores {
    pub(super) fn of(log: &Log) -> Self {
        let mut known: HashMap<Place, Semaphore> = HashMap::new();
        for (_, event) in log.range(0..log.len()) {
            let Kind::Sem { channel, index, delta, value, .. } = event.kind else { continue };
            let semaphore = known.entry((channel, index)).or_default();
            if sets(log, event) {
                semaphore.sets += 1;
                semaphore.initial = i64::from(value);
            } else {
                semaphore.totals.entry(event.task).or_default().add(i64::from(delta));
            }
        }
        // One that is set again begins anew, and nothing can be said.
        known.retain(|_, semaphore| semaphore.sets < 2);
        Self { known }
    }

    /// What a change comes after, besides the earlier events of its task, whose clock is `own`.
    pub(super) fn causes(&self, log: &Log, event: &Event, own: &Clock) -> Option<Clock> {
        let Kind::Sem { channel, index, delta, .. } = event.kind else { return None };
        let semaphore = self.known.get(&(channel, index)).filter(|_| !sets(log, event))?;
        let mut after = Clock::default();
        for (other, reached) in semaphore.needed(event.task, i64::from(delta), own) {
            let steps = if delta == 0 { semaphore.takes.get(&other) } else { semaphore.gives.get(&other) };
            if let Some((_, clock)) = steps.into_iter().flatten().find(|(sum, _)| *sum >= reached) {
                after.join(clock);
            }
        }
        Some(after)
    }

    /// Takes a change in, after which the clock of its task is `now`.
    pub(super) fn follow(&mut self, log: &Log, event: &Event, now: &Clock) {
        let Kind::Sem { channel, index, delta, .. } = event.kind else { return };
        let Some(semaphore) = self.known.get_mut(&(channel, index)) else { return };
        if sets(log, event) {
            semaphore.set = Some((event.task, now.of(event.task)));
            return;
        }
        let sums = semaphore.so_far.entry(event.task).or_default();
        sums.add(i64::from(delta));
        let (steps, sum) =
            if delta > 0 { (&mut semaphore.gives, sums.given) } else { (&mut semaphore.takes, sums.taken) };
        if delta != 0 {
            steps.entry(event.task).or_default().push((sum, now.clone()));
        }
    }
}

impl Semaphore {
    /// Of whom how much was needed for this change of `task`.
    fn needed(&self, task: TaskId, delta: i64, own: &Clock) -> Vec<(TaskId, i64)> {
        let mine = self.so_far.get(&task).copied().unwrap_or_default();
        let side = |sums: &Sums| if delta == 0 { sums.taken } else { sums.given };
        let missing = match delta {
            1.. => return Vec::new(),
            // Zero it was, too, before it got its value.
            0 if self.set.is_none_or(|(setter, at)| own.of(setter) < at) => return Vec::new(),
            0 => self.initial + mine.given - mine.taken,
            _ => mine.taken - delta - mine.given - self.initial,
        };
        let others = |without: TaskId| -> i64 {
            self.totals
                .iter()
                .filter(|(other, _)| **other != task && **other != without)
                .map(|(_, sums)| side(sums))
                .sum()
        };
        let others: Vec<(TaskId, i64)> = self
            .totals
            .keys()
            .filter(|other| **other != task)
            .map(|other| (*other, missing - others(*other)))
            .collect();
        others.into_iter().filter(|(_, needed)| *needed > 0).collect()
    }
}

#[cfg(test)]
#[path = "semaphores_tests.rs"]
mod tests;
