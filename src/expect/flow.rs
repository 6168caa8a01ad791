//! What `before` is judged by: who has seen how much of whom, and what went where.

use std::collections::VecDeque;

use crate::model::{Access, TaskId};

/// How many events of each task come before, by task.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock(Vec<u64>);

impl Clock {
    pub(super) fn of(&self, task: TaskId) -> u64 {
        self.0.get(task.index()).copied().unwrap_or(0)
    }

    pub(super) fn tick(&mut self, task: TaskId) {
        let index = task.index();
        self.0.resize(self.0.len().max(index + 1), 0);
        self.0[index] += 1;
    }

    /// After both.
    pub(super) fn join(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own = (*own).max(*other);
        }
    }

    /// After what both come after.
    pub(super) fn meet(&mut self, other: &Self) {
        self.0.truncate(other.0.len());
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own = (*own).min(*other);
        }
    }
}

/// The bytes that went through a pipe or FIFO, and who sent them.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) written: u64,
    pub(super) read: u64,
    /// Where each write that was not read to its end ends, and when it was made.
    pub(super) writes: VecDeque<(u64, Clock)>,
    /// Where each read begins that no write has needed yet, and when it was made.
    pub(super) reads: VecDeque<(u64, Clock)>,
    /// After every read that had to make room for what has been written.
    pub(super) room: Clock,
    pub(super) write_ends_closed: Clock,
    pub(super) read_ends_closed: Clock,
    /// Who came to open a FIFO, for what (unknown as long as the call sleeps), and when.
    pub(super) openings: Vec<(TaskId, Option<Access>, Clock)>,
}

impl Flow {
    /// After somebody came to open the other end: of several, nobody knows which one was needed.
    pub(super) fn peers(&self, task: TaskId, access: Access) -> Option<Clock> {
        let is_peer = |other: &Option<Access>| match (access, other) {
            (Access::Read, other) => other.is_none_or(Access::writes),
            (Access::Write, other) => other.is_none_or(Access::reads),
            // Linux does not let an opening for both wait (fifo(7)).
            _ => false,
        };
        let mut peers = self.openings.iter().filter(|(peer, other, _)| *peer != task && is_peer(other));
        let mut after = peers.next()?.2.clone();
        for (_, _, clock) in peers {
            after.meet(clock);
        }
        Some(after)
    }

    pub(super) fn opened(&mut self, task: TaskId, access: Access, now: Clock) {
        let asleep = self.openings.iter_mut().find(|(known, access, _)| *known == task && access.is_none());
        match asleep {
            Some((_, unknown, _)) => *unknown = Some(access),
            None => self.openings.push((task, Some(access), now)),
        }
    }
}
