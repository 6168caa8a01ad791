//! Timers, and stacks for handlers.

use super::World;
use crate::model::{Altstack, TaskId, Timer, TimerChange, TimerKind};

impl World {
    pub(super) fn set_timer(&mut self, id: TaskId, change: TimerChange, timer: Timer) {
        let Some(leader) = self.task(id).map(|task| task.process) else { return };
        self.change(leader, |task| {
            let known = task.timers.iter().position(|known| (known.kind, known.id) == (timer.kind, timer.id));
            // A POSIX timer is there until it is deleted; the others exist only while they run.
            let stays = timer.kind == TimerKind::Posix || timer.left > 0;
            match (change, known) {
                (TimerChange::Delete, Some(index)) => drop(task.timers.remove(index)),
                (TimerChange::Set | TimerChange::Expire, Some(index)) if !stays => drop(task.timers.remove(index)),
                (TimerChange::Set | TimerChange::Expire, Some(index)) => task.timers[index] = timer,
                (TimerChange::Set, None) if stays => task.timers.push(timer),
                (_, None) => {}
            }
        });
    }

    pub(super) fn set_altstack(&mut self, id: TaskId, altstack: Altstack) {
        self.change(id, |task| task.altstack = Some(altstack).filter(|stack| stack.bytes > 0));
    }

    /// The timers of the process of a task.
    pub fn timers(&self, id: TaskId) -> &[Timer] {
        let leader = self.task(id).map_or(id, |task| task.process);
        self.task(leader).map_or(&[], |leader| &leader.timers)
    }
}
