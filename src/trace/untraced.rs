//! `CLONE_UNTRACED` of clone(2): the flag keeps a tracer from following the child, and nothing else.
//!
//! It is taken away on the way into the call. That of `clone` stands in a register, which parent and child get back
//! afterwards. That of `clone3` stands in memory that others may look at: the call reads a copy.

use super::decode::clone_flags;
use super::page::{Attempt, PAGE};
use super::tracee::{Borrowed, Call};
use super::tracer::{Result, Tracer};
use crate::sys::detour::Detour;
use crate::sys::ptrace::Stopped;
use crate::sys::{memory, seccomp};

const UNTRACED: u64 = libc::CLONE_UNTRACED as u64;

impl Tracer {
    /// Takes the flag away from a call that a task is about to make. `None` if the task has been struck by SIGKILL.
    pub(super) fn trace_child(&mut self, tid: i32, stopped: Stopped, call: &Call) -> Result<Option<Stopped>> {
        if clone_flags(tid, call) & UNTRACED == 0 {
            return Ok(Some(stopped));
        }
        let argument = call.args[0];
        if call.number == libc::SYS_clone as u64 {
            stopped.set_argument(0, argument & !UNTRACED)?;
            self.borrow_argument(tid, argument, None);
            return Ok(Some(stopped));
        }
        let mut copy = vec![0; usize::try_from(call.args[1]).unwrap_or(usize::MAX).min(PAGE)];
        let read = memory::read(tid, argument, &mut copy).unwrap_or(0);
        if read < copy.len() || copy.len() < size_of::<u64>() {
            // The kernel will say what is wrong with it.
            return Ok(Some(stopped));
        }
        // Its first member are the flags.
        for (byte, flag) in copy.iter_mut().zip(UNTRACED.to_ne_bytes()) {
            *byte &= !flag;
        }
        match self.lay_page(tid, stopped, |_| copy)? {
            Attempt::Done(stopped, page) => {
                stopped.set_argument(0, page)?;
                self.borrow_argument(tid, argument, Some(page));
                Ok(Some(stopped))
            }
            Attempt::Refused(stopped, _) => {
                // As on a kernel that has no clone3(2): programs then use clone(2).
                stopped.refuse_call(i64::from(-libc::ENOSYS))?;
                Ok(Some(stopped))
            }
            Attempt::Struck => Ok(None),
        }
    }

    /// The same of a call of the other architecture, which is not decoded: there the register keeps what the lab has
    /// put into it.
    pub(super) fn trace_foreign_child(&mut self, tid: i32, stopped: Stopped, number: u64, argument: u64) -> Result<()> {
        let flag = UNTRACED as u32;
        if number == u64::from(seccomp::FOREIGN_CLONE) {
            stopped.set_foreign_first_argument(argument as u32 & !flag)?;
        } else if memory::read_i32(tid, argument & u64::from(u32::MAX)).is_some_and(|flags| flags as u32 & flag != 0) {
            return self.refuse_unseen(tid, stopped);
        }
        self.pass(tid, stopped)
    }

    fn borrow_argument(&mut self, tid: i32, argument: u64, page: Option<u64>) {
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.borrowed = Some(Borrowed { argument, page });
        }
    }

    /// Gives back what the lab has changed, at the end of the call. `None` if the task has been struck by SIGKILL.
    pub(super) fn give_back_argument(&mut self, tid: i32, stopped: Stopped) -> Result<Option<Stopped>> {
        let Some(borrowed) = self.tracees.get_mut(&tid).and_then(|tracee| tracee.borrowed.take()) else {
            return Ok(Some(stopped));
        };
        stopped.restore_first_argument(borrowed.argument)?;
        let Some(page) = borrowed.page else { return Ok(Some(stopped)) };
        let Some(gate) = stopped.gate()? else { return Ok(Some(stopped)) };
        match stopped.call_at(gate, libc::SYS_munmap, [page, PAGE as u64, 0, 0, 0, 0])? {
            Detour::Back(stopped, _) => Ok(Some(stopped)),
            Detour::Gone(wait) => self.struck(tid, wait).map(|()| None),
        }
    }

    /// The same for the new task, which has a copy of the registers but not of the page.
    pub(super) fn give_back_to_child(&mut self, tid: i32, stopped: &Stopped) -> Result<()> {
        let borrowed = self.tracees.get_mut(&tid).and_then(|tracee| tracee.borrowed.take());
        borrowed.map_or(Ok(()), |borrowed| stopped.restore_first_argument(borrowed.argument))
    }
}
