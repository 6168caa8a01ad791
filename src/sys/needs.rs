//! What the lab cannot do without, tried before anything is started: a sandbox or a limit that is in the way is named
//! by the call that it refuses, and not found out in the middle of a run, or never.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use super::error::{Error, Result, check};
use super::{memory, peek};

/// How many descriptors the lab opens at the same time, with some to spare.
const DESCRIPTORS: usize = 24;
/// How many bytes of addresses it needs beyond those that it has: for the stacks of its threads, and for the log of a
/// short run.
const ADDRESSES: usize = 96 << 20;

/// Tries all of it on this process.
///
/// # Errors
/// The first call that failed.
pub fn check_all() -> Result<()> {
    proc_is_there()?;
    filters_are_allowed()?;
    memory_can_be_reached()?;
    descriptors_can_be_looked_at()?;
    descriptors_are_left()?;
    addresses_are_left()?;
    thread_can_be_started()
}

/// What it takes to read a scenario: a thread with a deep stack.
///
/// # Errors
/// The first call that failed.
pub fn check_for_files() -> Result<()> {
    addresses_are_left()?;
    thread_can_be_started()
}

/// Whether a thread can be started.
///
/// # Errors
/// As of the clone3(2) that makes it.
fn thread_can_be_started() -> Result<()> {
    match std::thread::Builder::new().stack_size(64 << 10).spawn(|| ()) {
        Ok(thread) => {
            drop(thread.join());
            Ok(())
        }
        Err(error) => Err(no_thread("a thread of the lab", &error)),
    }
}

/// That a thread could not be started.
pub fn no_thread(which: &str, error: &std::io::Error) -> Error {
    Error::new("clone3", which, error.raw_os_error().unwrap_or(libc::EAGAIN))
}

fn proc_is_there() -> Result<()> {
    // A /proc of another PID namespace has no entry for this process.
    let path = "/proc/self/stat";
    fs::read(path).map(drop).map_err(|error| Error::new("open", path, error.raw_os_error().unwrap_or(libc::ENOENT)))
}

fn filters_are_allowed() -> Result<()> {
    let action = libc::SECCOMP_RET_TRACE;
    // SAFETY: the kernel reads one live number.
    let asked = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    check(asked, "seccomp", || "SECCOMP_RET_TRACE".into()).map(drop)
}

fn memory_can_be_reached() -> Result<()> {
    let (own, word) = (std::process::id() as i32, [7_u8; 8]);
    let mut copy = [0_u8; 8];
    memory::read(own, word.as_ptr() as u64, &mut copy)?;
    memory::write(own, copy.as_mut_ptr() as u64, &word)
}

fn descriptors_can_be_looked_at() -> Result<()> {
    let (read, _write) = super::spawn::pipe()?;
    peek::borrow(std::process::id() as i32, read.as_raw_fd()).map(drop)
}

fn descriptors_are_left() -> Result<()> {
    let (first, _write) = super::spawn::pipe()?;
    let copies: std::result::Result<Vec<_>, _> = (0..DESCRIPTORS).map(|_| first.as_fd().try_clone_to_owned()).collect();
    let failed = |error: std::io::Error| {
        Error::new(
            "dup",
            format!("(the lab needs {DESCRIPTORS} descriptors)"),
            error.raw_os_error().unwrap_or(libc::EMFILE),
        )
    };
    copies.map(drop).map_err(failed)
}

fn addresses_are_left() -> Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a mapping at a place of the kernel's choice, which nobody uses; it is taken away again at once.
    unsafe {
        let place = libc::mmap(std::ptr::null_mut(), ADDRESSES, libc::PROT_NONE, flags, -1, 0);
        if place == libc::MAP_FAILED {
            return Err(Error::last("mmap", format!("{} MiB", ADDRESSES >> 20)));
        }
        libc::munmap(place, ADDRESSES);
    }
    Ok(())
}
