//! Signals beyond kill(2): values, waiting for them, timers.
//!
//! Sets are the kernel's 8 bytes, because the C library leaves out the two signals that it uses itself.

use super::{Answer, answer};
use crate::model::SignalSet;

/// How many bytes a set of signals has.
const SET: usize = 8;

/// sigqueue(3): `value` is the `sival_int` that travels with the signal.
pub fn sigqueue(pid: i32, signal: i32, value: i32) -> Answer {
    // The integer is the lower half of the union on the little-endian machines that this runs on.
    let value = libc::sigval { sival_ptr: value as u32 as usize as *mut libc::c_void };
    // SAFETY: a system call on numbers; the pointer is never followed.
    answer(unsafe { libc::sigqueue(pid, signal, value) })
}

/// The signals that are blocked now (sigprocmask(2) without a change).
pub fn blocked() -> SignalSet {
    let mut set = 0_u64;
    let nothing = std::ptr::null::<u64>();
    // SAFETY: no new set; the kernel writes the 8 bytes whose size is passed.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, nothing, &raw mut set, SET) };
    SignalSet(set)
}

/// sigsuspend(2): waits with this mask. It always fails, with EINTR.
pub fn sigsuspend(mask: SignalSet) -> Answer {
    // SAFETY: the set is live and has the 8 bytes that are passed as its size.
    answer(unsafe { libc::syscall(libc::SYS_rt_sigsuspend, &raw const mask.0, SET) })
}

/// sigwait(3): takes one of the signals from what is pending, or waits for one. Returns its number and
/// the value that came with it (0 if none did). Handlers of other signals do not end it.
pub fn sigwait(signals: SignalSet) -> Result<(i64, i64), i32> {
    // SAFETY: an all-zero siginfo_t is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let nothing = std::ptr::null::<libc::timespec>();
    loop {
        // SAFETY: the set is live and has the 8 bytes that are passed as its size; the kernel writes a
        // siginfo_t; there is no timeout.
        let signal =
            unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const signals.0, &raw mut info, nothing, SET) };
        match answer(signal) {
            Err(libc::EINTR) => {}
            Ok(signal) => {
                // SAFETY: the kernel has filled the union; for a signal without a value it is zero or
                // the numbers of another member, all of which are plain bytes.
                let value = unsafe { info.si_value().sival_ptr } as usize as u32 as i32;
                let queued = matches!(info.si_code, libc::SI_QUEUE | libc::SI_MESGQ | libc::SI_TIMER);
                return Ok((signal, if queued { i64::from(value) } else { 0 }));
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// signalfd(2): a new descriptor that these signals can be read from.
pub fn signalfd(signals: SignalSet, nonblock: bool) -> Answer {
    let flags = if nonblock { libc::SFD_NONBLOCK } else { 0 };
    // SAFETY: the set is live and has the 8 bytes that are passed as its size.
    answer(unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const signals.0, SET, flags) })
}

/// setitimer(2), `ITIMER_REAL`; both times in nanoseconds, rounded up to microseconds. A first time of
/// 0 stops the timer.
pub fn setitimer(first: u64, every: u64) -> Answer {
    let time = |nanos: u64| {
        let micros = nanos.div_ceil(1000);
        libc::timeval { tv_sec: (micros / 1_000_000) as i64, tv_usec: (micros % 1_000_000) as i64 }
    };
    let timer = libc::itimerval { it_value: time(first), it_interval: time(every) };
    // The lab may take the time over; the memory that says how long is written to then.
    let timer = std::hint::black_box(timer);
    // SAFETY: the structure is live; what was set before is not asked for.
    answer(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) })
}
