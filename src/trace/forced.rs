//! What the kernel changes about a signal that it has to force on somebody, and what the lab changes back.
//!
//! A fault cannot be blocked or ignored: if SIGSEGV is, the kernel unblocks it and takes the handler away
//! (force_sig(9)). For the lab's own faults that must be undone, and for those that the program would
//! have had without it, done. The lab's single steps end in SIGTRAP, for which the same holds.

use std::collections::HashMap;

use super::access::Faulted;
use super::tracer::{Result, Tracer};
use crate::model::{Disposition, Signal, SignalSet, TaskId};
use crate::sys::detour::{Detour, Fault, Step};
use crate::sys::memory;
use crate::sys::ptrace::{Resume, Stopped};

/// The kernel's `struct sigaction`: handler, flags, restorer, mask.
const SIGACTION: usize = 32;

/// What processes do about the signals that the lab makes, as they told the kernel.
#[derive(Debug, Default)]
pub(super) struct FaultActions(HashMap<(TaskId, Signal), [u8; SIGACTION]>);

impl FaultActions {
    /// A child has what its maker has.
    pub(super) fn inherit(&mut self, maker: TaskId, child: TaskId) {
        for signal in [Signal::SEGV, Signal::TRAP] {
            if let Some(action) = self.0.get(&(maker, signal)).copied() {
                self.0.insert((child, signal), action);
            }
        }
    }

    /// At an exec and at the end.
    pub(super) fn forget(&mut self, process: TaskId) {
        self.0.retain(|(other, _), _| *other != process);
    }
}

/// The structure of a signal with the default action, or ignored.
fn simple(handler: usize) -> [u8; SIGACTION] {
    let mut action = [0; SIGACTION];
    action[..8].copy_from_slice(&handler.to_ne_bytes());
    action
}

impl Tracer {
    /// Keeps what a process wants to be done about a signal.
    pub(super) fn keep_fault_action(&mut self, tid: i32, task: TaskId, signal: Signal, action: &[u8; SIGACTION]) {
        if matches!(signal, Signal::SEGV | Signal::TRAP) && self.is_watched(tid) {
            self.watch.fault_actions.0.insert((self.process_of(task), signal), *action);
        }
    }

    fn is_disposed(&self, task: TaskId, signal: Signal, disposition: Disposition) -> bool {
        self.world().action(task, signal).is_some_and(|action| action.disposition == disposition)
    }

    /// Which of the signals that the lab made have lost what the program had set.
    fn lost_actions(&self, task: TaskId, blocked: SignalSet) -> Vec<(Signal, [u8; SIGACTION])> {
        let process = self.process_of(task);
        let ignored = |signal: &Signal| self.is_disposed(task, *signal, Disposition::Ignore);
        let handled = |signal: &Signal| {
            *signal == Signal::SEGV
                && blocked.contains(*signal)
                && self.is_disposed(task, *signal, Disposition::Handler)
        };
        // What was ignored before an exec is ignored after it, and nobody has said so again.
        let action = |signal: &Signal| {
            self.watch.fault_actions.0.get(&(process, *signal)).copied().unwrap_or_else(|| simple(libc::SIG_IGN))
        };
        let lost = [Signal::SEGV, Signal::TRAP].into_iter().filter(|signal| ignored(signal) || handled(signal));
        lost.map(|signal| (signal, action(&signal))).collect()
    }

    /// Makes a signal have an action.
    fn set_action(
        &mut self,
        tid: i32,
        task: TaskId,
        stopped: Stopped,
        signal: Signal,
        action: &[u8; SIGACTION],
    ) -> Result<Option<Stopped>> {
        let process = self.process_of(task);
        let Some(gate) = self.watch.room_of(process).map(|room| room.gate) else { return Ok(Some(stopped)) };
        let place = stopped.scratch()?;
        let mut kept = [0; SIGACTION];
        let read = memory::read(tid, place, &mut kept).unwrap_or(0);
        memory::write(tid, place, action)?;
        let args = [signal.number() as u64, place, 0, size_of::<u64>() as u64, 0, 0];
        // A single step would make a SIGTRAP, and take its action away again.
        let done = if signal == Signal::TRAP {
            stopped.call_at_without_steps(gate, libc::SYS_rt_sigaction, args)?
        } else {
            stopped.call_at(gate, libc::SYS_rt_sigaction, args)?
        };
        match done {
            Detour::Back(stopped, _) => {
                memory::write(tid, place, &kept[..read])?;
                Ok(Some(stopped))
            }
            Detour::Gone(wait) => self.struck(tid, wait).map(|()| None),
        }
    }

    /// After an access of the lab's doing: undoes what the kernel has forced, and goes on.
    pub(super) fn pass_unforced(&mut self, tid: i32, task: TaskId, stopped: Stopped) -> Result<()> {
        let blocked = self.world().task(task).map_or(SignalSet::EMPTY, |task| task.blocked);
        if blocked.contains(Signal::SEGV) {
            self.set_mask_of(tid, &stopped, blocked)?;
        }
        let pending = self.tracees.get_mut(&tid).and_then(|tracee| tracee.overtaken.take());
        let mut at = stopped;
        self.note_missed(tid, &mut at)?;
        for (signal, action) in self.lost_actions(task, blocked) {
            // The signal that was overtaken can be given back at the stop for one only.
            if pending.is_some() && signal == Signal::TRAP {
                continue;
            }
            let Some(stopped) = self.set_action(tid, task, at, signal, &action)? else { return Ok(()) };
            at = stopped;
        }
        let Some(pending) = pending else {
            let Some(at) = self.give_back(tid, at, false)? else { return Ok(()) };
            return self.pass(tid, at);
        };
        // It is blocked, so the kernel puts it back into the queue.
        at.set_fault(&pending)?;
        at.resume(Resume::Continue, Some(Signal::SEGV))
    }

    /// An access that the program may not make even without the lab.
    pub(super) fn at_refusal(
        &mut self,
        tid: i32,
        task: TaskId,
        stopped: Stopped,
        signal: Signal,
        fault: &Fault,
    ) -> Result<()> {
        let mut at = stopped;
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.overtaken = None;
        }
        // The kernel has forced SIGSEGV already, as it would have done.
        if signal != Signal::SEGV {
            let blocked = self.world().task(task).map_or(SignalSet::EMPTY, |task| task.blocked);
            self.set_mask_of(tid, &at, SignalSet(blocked.0 & !SignalSet::EMPTY.with(signal).0))?;
            let lost = self.lost_actions(task, blocked).into_iter().find(|(lost, _)| *lost == Signal::SEGV);
            let ignored = self.is_disposed(task, signal, Disposition::Ignore);
            let forced = (blocked.contains(signal) || ignored).then(|| (signal, simple(libc::SIG_DFL)));
            for (signal, action) in lost.into_iter().chain(forced) {
                let Some(stopped) = self.set_action(tid, task, at, signal, &action)? else { return Ok(()) };
                at = stopped;
            }
        }
        self.note_missed(tid, &mut at)?;
        at.set_fault(fault)?;
        self.at_own_signal(tid, at, signal)
    }

    /// A SIGSEGV that somebody has sent is pending, blocked, when the lab's own comes: the kernel then
    /// delivers the one that is in the queue. What it was about is found out by trying again.
    pub(super) fn behind_a_pending_one(&mut self, tid: i32, task: TaskId, stopped: Stopped) -> Result<Faulted> {
        let blocked = self.world().task(task).is_some_and(|task| task.blocked.contains(Signal::SEGV));
        if !blocked {
            return Ok(Faulted::Own(stopped));
        }
        let pending = stopped.carried()?;
        match stopped.step_alone()? {
            Detour::Back(mut stopped, Step::Fault(fault)) => {
                self.note_missed(tid, &mut stopped)?;
                if let Some(tracee) = self.tracees.get_mut(&tid) {
                    tracee.overtaken = Some(pending);
                }
                Ok(Faulted::Watched(stopped, fault))
            }
            Detour::Back(mut stopped, _) => {
                self.note_missed(tid, &mut stopped)?;
                stopped.set_fault(&pending)?;
                Ok(Faulted::Own(stopped))
            }
            Detour::Gone(wait) => self.struck(tid, wait).map(|()| Faulted::Passed),
        }
    }
}
