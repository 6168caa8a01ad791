//! Into a call and out of it, as far as other tasks and the pages of memory matter there.

use super::calls::Family;
use super::recorder::Outcome;
use super::tracee::Call;
use super::tracer::{Result, Tracer, dying_is_fine};
use crate::sys::ptrace::{Resume, Stopped, Why};
use crate::sys::senders;

impl Tracer {
    /// Lets a task into the call that it stands before.
    pub(super) fn enter(&mut self, tid: i32, stopped: Stopped, call: Call) -> Result<()> {
        self.before_call(tid, &stopped, &call)?;
        self.note_sender(tid, &call);
        self.let_in(tid, stopped, call)
    }

    /// Lets a task into a call, be it for the first time or again.
    pub(super) fn let_in(&mut self, tid: i32, stopped: Stopped, call: Call) -> Result<()> {
        let changed = match call.family {
            Family::Fork => self.trace_child(tid, stopped, &call)?,
            Family::Seccomp => self.enter_strict_mode(tid, stopped, &call)?,
            _ => Some(stopped),
        };
        let Some(stopped) = changed else { return Ok(()) };
        let Some(stopped) = self.open_pages(tid, stopped, &call)? else { return Ok(()) };
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.call = Some(call);
        }
        stopped.resume(Resume::ToCallExit, None)
    }

    /// The signal of a task that has a PID namespace of its own may reach the lab under a number of that namespace.
    fn note_sender(&self, tid: i32, call: &Call) {
        let signal = match call.family {
            Family::Tgkill | Family::Tgsigqueue => call.args[2],
            Family::Kill | Family::Tkill | Family::Sigqueue | Family::PidfdSendSignal => call.args[1],
            _ => return,
        };
        let Some(process) = self.task_of(tid).map(|task| self.process_of(task)) else { return };
        let outside = self.tids.get(&process).copied();
        if let Some(task) = self.world().task(process).filter(|task| Some(task.pid) != outside) {
            senders::sends(task.pid, signal as i32);
        }
    }

    /// Calls that stop only because some of them matter.
    pub(super) fn is_beneath_notice(&self, tid: i32, call: &Call) -> bool {
        if self.options.all {
            return false;
        }
        match call.family {
            Family::Munmap | Family::Mprotect | Family::Mremap => {
                let task = self.task_of(tid);
                !task.is_some_and(|task| self.is_about_shared(task, call.args[0], call.args[1]))
            }
            Family::Mmap => call.args[3] as i32 & libc::MAP_SHARED == 0,
            Family::Seccomp => !super::sandbox::is_about_mode(call),
            Family::Plain | Family::Futex => true,
            _ => false,
        }
    }

    /// Lets tasks go on for whose calls the log has caught up, the oldest first.
    pub(super) fn release_early(&mut self) -> Result<()> {
        while !self.early.is_empty() {
            self.early.sort_by_key(|(tid, ..)| self.tracees.get(tid).map(|tracee| tracee.task));
            let call = |tid: &i32| self.tracees.get(tid).and_then(|tracee| tracee.call);
            let due = self
                .early
                .iter()
                .position(|(tid, _, value)| call(tid).is_none_or(|call| !self.comes_too_early(*tid, &call, *value)));
            let Some(due) = due else { return Ok(()) };
            let (tid, stopped, value) = self.early.remove(due);
            let Some(tracee) = self.tracees.get_mut(&tid) else { continue };
            tracee.held = false;
            if let Some(call) = tracee.call {
                dying_is_fine(self.leave(tid, stopped, call, value))?;
            }
        }
        Ok(())
    }

    pub(super) fn leave(&mut self, tid: i32, stopped: Stopped, call: Call, value: i64) -> Result<()> {
        let Some(stopped) = self.give_back_argument(tid, stopped)? else { return Ok(()) };
        let Some(stopped) = self.goes_back(tid, stopped, &call, value)? else { return Ok(()) };
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        tracee.call = None;
        tracee.hidden.continued = false;
        let (call, value) =
            if is_restart(value) { (call, value) } else { self.end_of_again(tid, &stopped, call, value)? };
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        let task = tracee.task;
        let expired = tracee.expired;
        let (value, reached) = self.reach_closed_pages(tid, task, &stopped, &call, value)?;
        if is_restart(value) && !expired {
            // A signal has interrupted it; what becomes of it depends on the signal.
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.suspended = Some((call, value));
            }
        } else {
            let masked = self.tracees.get_mut(&tid).is_some_and(|tracee| {
                tracee.failed = (value == i64::from(-libc::EINTR)).then_some(call);
                std::mem::take(&mut tracee.masked)
            });
            self.conclude(tid, &stopped, &call, value)?;
            if masked {
                self.write_mask_if_changed(task, self.mask_of(tid, &stopped)?);
            }
            self.note_hidden(tid, &call, value)?;
            let outcome = Outcome { call: call.name, ret: value };
            self.write_reached(task, outcome, reached);
            self.write_changes_by_call(tid, outcome);
        }
        if let Some(task) = self.watched_task(tid) {
            self.note_protection(task, &call, value);
        }
        let Some(stopped) = self.close_pages(tid, stopped)? else { return Ok(()) };
        // What has interrupted a call needs the mask that the call has brought along.
        let interrupted = call.family != Family::Sigreturn && (is_restart(value) || value == i64::from(-libc::EINTR));
        if interrupted {
            let Some(stopped) = self.throw_crowd_away(tid, stopped)? else { return Ok(()) };
            return stopped.resume(Resume::Continue, None);
        }
        let Some(stopped) = self.settle_mask(tid, stopped)? else { return Ok(()) };
        let Some(stopped) = self.take_page_away(tid, stopped)? else { return Ok(()) };
        self.see_off()?;
        self.leave_to_others(tid, &call, value)?;
        stopped.resume(Resume::Continue, None)
    }

    /// A thread that was halted goes on, or what it stopped for is taken in.
    pub(super) fn resume_halted(&mut self, stopped: Stopped, why: Why) -> Result<()> {
        let tid = stopped.pid();
        let asked = self
            .tracees
            .get(&tid)
            .is_some_and(|it| it.asked || it.newborn || it.listening || it.hidden.asked || it.hidden.continued);
        if why == Why::Interrupted && !asked {
            return self.pass(tid, stopped);
        }
        self.known_stopped(tid, stopped, why)
    }
}

/// Whether a call has been interrupted and may be restarted: `ERESTARTSYS`, `ERESTARTNOINTR`,
/// `ERESTARTNOHAND`, `ERESTART_RESTARTBLOCK` of linux/errno.h, which no program ever sees.
const fn is_restart(value: i64) -> bool {
    matches!(value, -512 | -513 | -514 | -516)
}
