//! Programs that filter their own calls (seccomp(2)) find what they would find without the lab's filter.
//!
//! A filter of the program that asks for a tracer gets none: the call fails with ENOSYS. The mode is 0 as long as the
//! lab's filter is the only one. Strict mode, which the kernel refuses to who has a filter, becomes one.

use super::calls::{self, Family};
use super::page::Attempt;
use super::tracee::Call;
use super::tracer::{Result, Tracer};
use crate::model::{Signal, Status};
use crate::sys::ptrace::{Resume, Stopped};
use crate::sys::seccomp::{self, Filter};
use crate::sys::{procfs, signal};

const ENOSYS: i64 = -(libc::ENOSYS as i64);

impl Tracer {
    /// A call for which a filter of the program wants a tracer.
    pub(super) fn refuse(&mut self, tid: i32, stopped: Stopped, call: Call) -> Result<()> {
        if matches!(call.family, Family::Exec { .. }) {
            self.before_exec(tid, &call);
        }
        stopped.refuse_call(ENOSYS)?;
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.call = Some(call);
        }
        stopped.resume(Resume::ToCallExit, None)
    }

    /// The same of a call that the lab does not decode.
    pub(super) fn refuse_unseen(&mut self, tid: i32, stopped: Stopped) -> Result<()> {
        stopped.refuse_call(ENOSYS)?;
        self.pass(tid, stopped)
    }

    /// A call that is forbidden in strict mode. The kernel ends the thread that makes it, and no other, as if by
    /// SIGKILL.
    pub(super) fn forbid(&mut self, tid: i32, stopped: Stopped, number: Option<u64>) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        tracee.forbidden = true;
        let task = tracee.task;
        self.wake(tid);
        let name = number.map_or_else(|| "a call of another architecture".to_owned(), calls::name);
        let text = format!("{name} is forbidden in strict mode (seccomp(2)): SIGKILL");
        self.recorder.note(task, &text);
        let process = self.process_of(task);
        if self.world().living().any(|other| other.process == process && other.id != task) {
            stopped.replace_call(libc::SYS_exit, Signal::KILL.number() as u64)?;
            return stopped.resume(Resume::Continue, None);
        }
        // Its stop ends by that.
        signal::kill(tid);
        Ok(())
    }

    /// How a task ended, which the lab may have brought about in place of the kernel.
    pub(super) fn status_of_end(&self, tid: i32, status: Status) -> Status {
        let forbidden = self.tracees.get(&tid).is_some_and(|tracee| tracee.forbidden);
        if forbidden { Status::Signal { signal: Signal::KILL, core: false } } else { status }
    }

    /// Whether a task has no filter but the lab's: without the lab its mode would be 0.
    fn is_unfiltered(tid: i32) -> bool {
        seccomp::mode() == 0 && procfs::seccomp_filters(tid) == Some(1)
    }

    /// What the mode of seccomp is without the lab.
    pub(super) fn after_seccomp_call(tid: i32, stopped: &Stopped, call: &Call, value: i64) -> Result<i64> {
        if value != i64::from(libc::SECCOMP_MODE_FILTER) || !is_prctl(call, libc::PR_GET_SECCOMP) {
            return Ok(value);
        }
        if !Self::is_unfiltered(tid) {
            return Ok(value);
        }
        stopped.set_return(0)?;
        Ok(0)
    }

    /// Lets a task into strict mode, if it asks for that and could have it without the lab. `None` if it has been
    /// struck by SIGKILL.
    pub(super) fn enter_strict_mode(&mut self, tid: i32, stopped: Stopped, call: &Call) -> Result<Option<Stopped>> {
        if !asks_for_strict_mode(call) || !Self::is_unfiltered(tid) {
            return Ok(Some(stopped));
        }
        let laid = self.lay_page(tid, stopped, |page| Filter::strict().at(page))?;
        let (mut at, page) = match laid {
            Attempt::Done(stopped, page) => (stopped, page),
            Attempt::Refused(stopped, errno) => {
                stopped.refuse_call(i64::from(-errno))?;
                return Ok(Some(stopped));
            }
            Attempt::Struck => return Ok(None),
        };
        // Who may not administrate the machine needs the first; no program can be loaded afterwards. The second the
        // kernel does itself in strict mode (`disable_TSC` in kernel/seccomp.c).
        let mut before = vec![[libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0, 0]];
        if cfg!(target_arch = "x86_64") {
            before.push([libc::PR_SET_TSC as u64, libc::PR_TSC_SIGSEGV as u64, 0, 0, 0, 0]);
        }
        for args in before {
            at = match self.call_ahead(tid, at, libc::SYS_prctl, args)? {
                Attempt::Done(stopped, _) | Attempt::Refused(stopped, _) => stopped,
                Attempt::Struck => return Ok(None),
            };
        }
        let args = [u64::from(libc::SECCOMP_SET_MODE_FILTER), 0, page, 0, 0, 0];
        let (at, value) = match self.call_ahead(tid, at, libc::SYS_seccomp, args)? {
            Attempt::Done(stopped, _) => (stopped, 0),
            Attempt::Refused(stopped, errno) => (stopped, -errno),
            Attempt::Struck => return Ok(None),
        };
        let Some(stopped) = self.clear_page(tid, at, page)? else { return Ok(None) };
        stopped.refuse_call(i64::from(value))?;
        Ok(Some(stopped))
    }
}

fn is_prctl(call: &Call, option: i32) -> bool {
    call.number == libc::SYS_prctl as u64 && call.args[0] as i32 == option
}

fn asks_for_strict_mode(call: &Call) -> bool {
    let [first, second, third, ..] = call.args;
    if call.number == libc::SYS_seccomp as u64 {
        return first as u32 == libc::SECCOMP_SET_MODE_STRICT && second as u32 == 0 && third == 0;
    }
    is_prctl(call, libc::PR_SET_SECCOMP) && second == u64::from(libc::SECCOMP_MODE_STRICT)
}

/// Whether a call makes a filter that hands calls to a supervisor, who may let them be made: the lab does not see
/// them (`SECCOMP_RET_USER_NOTIF` of seccomp(2)).
pub(super) fn has_supervisor(call: &Call) -> bool {
    let [operation, flags, ..] = call.args;
    call.number == libc::SYS_seccomp as u64
        && operation as u32 == libc::SECCOMP_SET_MODE_FILTER
        && flags & u64::from(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32) != 0
}

/// Whether a call is about a mode of seccomp, and not only another one of its name.
pub(super) fn is_about_mode(call: &Call) -> bool {
    debug_assert_eq!(call.family, Family::Seccomp);
    if call.number == libc::SYS_seccomp as u64 {
        return call.args[0] as u32 == libc::SECCOMP_SET_MODE_STRICT || has_supervisor(call);
    }
    is_prctl(call, libc::PR_GET_SECCOMP) || is_prctl(call, libc::PR_SET_SECCOMP)
}
