//! Dispositions and the life of a signal.

use super::{SA_NOCLDWAIT, World};
use crate::model::task::{Action, State, Task};
use crate::model::{DefaultAction, Disposition, Pending, Pendings, Phase, Queue, Signal, SignalSet, TaskId};

/// `SA_ONSTACK` of sigaction(2): the handler runs on the alternate stack.
const SA_ONSTACK: u32 = 0x0800_0000;

impl World {
    pub(super) fn set_action(&mut self, id: TaskId, action: Action) {
        let Some(keeper) = self.actions(id).map(|keeper| keeper.id) else { return };
        self.change(keeper, |task| {
            if action.signal == Signal::INT && action.disposition == Disposition::Handler {
                task.interrupts = task.interrupts.saturating_add(1);
            }
            task.actions.retain(|known| known.signal != action.signal);
            if action.disposition != Disposition::Default || action.flags & SA_NOCLDWAIT != 0 {
                task.actions.push(action);
                task.actions.sort_unstable_by_key(|action| action.signal);
            }
        });
    }

    pub(super) fn signal(&mut self, id: TaskId, phase: Phase, queue: Queue, pending: Pending, blocked: SignalSet) {
        let signal = pending.signal;
        match phase {
            Phase::Generated => {
                self.change_queue(id, queue, |waiting| waiting.push(pending));
                if signal == Signal::CONT {
                    self.continue_process(id);
                }
            }
            Phase::Pending | Phase::NoFrame => {}
            Phase::Coalesced => self.change_queue(id, queue, |waiting| waiting.coalesce(signal)),
            Phase::Dequeued => {
                self.change_queue(id, queue, |waiting| waiting.remove(signal));
                self.change(id, |task| task.at_hand = Some(pending));
            }
            Phase::Delivered | Phase::Suppressed | Phase::Replaced | Phase::Discarded
                if self.is_at_hand(id, signal) =>
            {
                self.change(id, |task| task.at_hand = None);
            }
            Phase::Delivered
            | Phase::Ignored
            | Phase::Suppressed
            | Phase::Replaced
            | Phase::Accepted
            | Phase::Discarded => {
                self.change_queue(id, queue, |waiting| waiting.remove(signal));
            }
            Phase::Handler => {
                let alternate = self.handles_on_altstack(id, signal);
                self.change(id, |task| {
                    task.handling.push(signal);
                    if task.on_altstack == 0 && alternate {
                        task.on_altstack = task.handling.len();
                    }
                    task.blocked = blocked;
                });
            }
            Phase::Returned | Phase::Left => self.change(id, |task| {
                task.handling.pop();
                if task.handling.len() < task.on_altstack {
                    task.on_altstack = 0;
                }
                if phase == Phase::Returned {
                    task.blocked = blocked;
                }
            }),
            Phase::Default => match signal.default_action() {
                DefaultAction::Stop => self.change_process(id, |task| {
                    if task.is_alive() {
                        task.state = State::Stopped(signal);
                    }
                }),
                DefaultAction::Continue => self.continue_process(id),
                DefaultAction::Terminate | DefaultAction::Core | DefaultAction::Ignore => {}
            },
        }
    }

    pub(super) fn continue_process(&mut self, id: TaskId) {
        self.change_process(id, |task| {
            if let State::Stopped(_) = task.state {
                task.state = State::Running;
            }
        });
    }

    /// Whether a handler of `signal` would run on the alternate stack: it was set with `SA_ONSTACK`, or the
    /// task is there already (sigaltstack(2)).
    pub fn handles_on_altstack(&self, id: TaskId, signal: Signal) -> bool {
        let Some(task) = self.task(id) else { return false };
        let asks = self.action(id, signal).is_some_and(|action| action.flags & SA_ONSTACK != 0);
        task.on_altstack > 0 || (asks && task.altstack.is_some())
    }

    fn is_at_hand(&self, id: TaskId, signal: Signal) -> bool {
        self.task(id).and_then(|task| task.at_hand).is_some_and(|at_hand| at_hand.signal == signal)
    }

    /// What was sent to a process waits with its leader, whichever of the threads it concerns.
    fn change_queue(&mut self, id: TaskId, queue: Queue, change: impl FnOnce(&mut Pendings)) {
        let Some(task) = self.task(id) else { return };
        let (holder, alive) = match queue {
            Queue::Thread => (id, task.is_alive()),
            Queue::Process => (task.process, self.task(task.process).is_some_and(Task::is_alive)),
        };
        if alive {
            self.change(holder, |task| match queue {
                Queue::Thread => change(&mut task.pending),
                Queue::Process => change(&mut task.shared_pending),
            });
        }
    }
}
