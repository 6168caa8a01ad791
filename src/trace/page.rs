//! A page of the lab's own in a tracee, for what a call is to read.
//!
//! Nothing that the program could look at is written to. The page is there only while the tracee stands before a call
//! or is in it; it is mapped and unmapped by calls that the tracee is made to make, and no child inherits it.

use super::tracer::{Result, Tracer};
use crate::sys::detour::{self, Detour};
use crate::sys::memory;
use crate::sys::ptrace::Stopped;

/// How many bytes fit: a page on every machine that the lab runs on.
pub(super) const PAGE: usize = 4096;

/// What came of an attempt to do something in a tracee.
#[derive(Debug)]
pub(super) enum Attempt<T> {
    /// It is back before its call.
    Done(Stopped, T),
    /// The kernel refused, with this error number.
    Refused(Stopped, i32),
    /// It has been struck by SIGKILL.
    Struck,
}

impl Tracer {
    /// Makes a call in a tracee that stands before one of its own.
    pub(super) fn call_ahead(
        &mut self,
        tid: i32,
        stopped: Stopped,
        number: i64,
        args: [u64; 6],
    ) -> Result<Attempt<u64>> {
        if !detour::POSSIBLE {
            return Ok(Attempt::Refused(stopped, libc::ENOSYS));
        }
        Ok(match stopped.call_before_call(number, args)? {
            Detour::Back(stopped, value @ -4095..=-1) => Attempt::Refused(stopped, -value as i32),
            Detour::Back(stopped, value) => Attempt::Done(stopped, value as u64),
            Detour::Gone(wait) => {
                self.struck(tid, wait)?;
                Attempt::Struck
            }
        })
    }

    /// Maps a page in a tracee that stands before a call, and puts there what `fill` makes of its address.
    pub(super) fn lay_page(
        &mut self,
        tid: i32,
        stopped: Stopped,
        fill: impl FnOnce(u64) -> Vec<u8>,
    ) -> Result<Attempt<u64>> {
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
        let mapping = [0, PAGE as u64, protection, flags, u64::MAX, 0];
        let (stopped, page) = match self.call_ahead(tid, stopped, libc::SYS_mmap, mapping)? {
            Attempt::Done(stopped, page) => (stopped, page),
            other => return Ok(other),
        };
        memory::write(tid, page, &fill(page))?;
        let advice = [page, PAGE as u64, libc::MADV_DONTFORK as u64, 0, 0, 0];
        Ok(match self.call_ahead(tid, stopped, libc::SYS_madvise, advice)? {
            Attempt::Struck => Attempt::Struck,
            Attempt::Done(stopped, _) | Attempt::Refused(stopped, _) => Attempt::Done(stopped, page),
        })
    }

    /// Takes a page away again from a tracee that stands before a call. `None` if it has been struck.
    pub(super) fn clear_page(&mut self, tid: i32, stopped: Stopped, page: u64) -> Result<Option<Stopped>> {
        let args = [page, PAGE as u64, 0, 0, 0, 0];
        Ok(match self.call_ahead(tid, stopped, libc::SYS_munmap, args)? {
            Attempt::Done(stopped, _) | Attempt::Refused(stopped, _) => Some(stopped),
            Attempt::Struck => None,
        })
    }
}
