//! Timers, and stacks for handlers.

use super::World;
use crate::model::{
    Altstack, Blocked, DefaultAction, Disposition, Signal, State, Task, TaskId, Timer, TimerChange, TimerKind, Why,
};

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

    /// Whether a signal that is on its way to a sleeper, or that a running timer of its process will send, ends
    /// its sleep, be it for a handler that returns to it (signal(7), "Interruption of system calls"). Timers
    /// that count CPU time stand still while nobody runs.
    pub fn will_be_interrupted(&self, id: TaskId) -> bool {
        let Some(task) = self.task(id) else { return false };
        let sent = self.timers(id).iter().filter(|timer| timer.due().is_some()).filter_map(|timer| timer.signal);
        let shared = self.task(task.process).map_or(task.pending.set(), |leader| leader.shared_pending.set());
        let at_hand = task.at_hand.map(|pending| pending.signal);
        at_hand.is_some()
            || sent.chain(task.pending.set().iter()).chain(shared.iter()).any(|signal| self.ends_sleep(task, signal))
    }

    fn ends_sleep(&self, task: &Task, signal: Signal) -> bool {
        let State::Blocked(Blocked { why, .. }) = task.state else { return false };
        let action = self.task(task.actions_of).unwrap_or(task).action(signal);
        let ends = match action.disposition {
            Disposition::Ignore => false,
            // vfork(2) is left for nothing but death.
            Disposition::Handler => why != Why::Vfork,
            Disposition::Default => matches!(signal.default_action(), DefaultAction::Terminate | DefaultAction::Core),
        };
        ends && !task.blocked.contains(signal)
    }
}
