//! The kernel's clocks (clock_gettime(2)).

/// What a clock says, in nanoseconds; `None` for one that this process may not read.
pub fn now(clock: i32) -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is live, and the kernel checks the number.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).ok().filter(|_| result == 0)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(time.tv_nsec as u64)
}
