//! Dispositions and the life of a signal.

use super::{SA_NOCLDWAIT, World};
use crate::model::task::{Action, Pending, State, Task};
use crate::model::{DefaultAction, Disposition, Phase, Signal, SignalSet, TaskId};

impl World {
    pub(super) fn set_action(&mut self, id: TaskId, action: Action) {
        let Some(leader) = self.task(id).map(|task| task.process) else { return };
        self.change(leader, |task| {
            task.actions.retain(|known| known.signal != action.signal);
            if action.disposition != Disposition::Default || action.flags & SA_NOCLDWAIT != 0 {
                task.actions.push(action);
                task.actions.sort_unstable_by_key(|action| action.signal);
            }
        });
    }

    pub(super) fn signal(&mut self, id: TaskId, phase: Phase, pending: Pending, blocked: SignalSet) {
        let signal = pending.signal;
        match phase {
            Phase::Generated => {
                self.change(id, |task| {
                    if !task.is_alive() {
                        return;
                    }
                    if signal.is_realtime() || !task.pending.iter().any(|known| known.signal == signal) {
                        task.pending.push(pending);
                    }
                });
                if signal == Signal::CONT {
                    self.continue_process(id);
                }
            }
            Phase::Pending | Phase::Coalesced => {}
            Phase::Delivered
            | Phase::Ignored
            | Phase::Suppressed
            | Phase::Replaced
            | Phase::Accepted
            | Phase::Discarded => {
                self.dequeue(id, signal);
            }
            Phase::Handler => self.change(id, |task| {
                task.handling.push(signal);
                task.blocked = blocked;
            }),
            Phase::Returned => self.change(id, |task| {
                task.handling.pop();
                task.blocked = blocked;
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

    /// A signal to a process may be delivered to any of its threads.
    pub(super) fn dequeue(&mut self, id: TaskId, signal: Signal) {
        let Some(process) = self.task(id).map(|task| task.process) else { return };
        let holds = |task: &Task| task.pending.iter().any(|pending| pending.signal == signal);
        let own = self.task(id).filter(|task| holds(task)).map(|task| task.id);
        let holder =
            own.or_else(|| self.tasks().find(|task| task.process == process && holds(task)).map(|task| task.id));
        if let Some(holder) = holder {
            self.change(holder, |task| {
                if let Some(index) = task.pending.iter().position(|pending| pending.signal == signal) {
                    task.pending.remove(index);
                }
            });
        }
    }
}
