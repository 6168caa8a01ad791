//! Locks on files: fcntl(2) and flock(2).

use super::{Answer, answer};

/// A lock on bytes of a file, as fcntl(2) takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// `F_RDLCK`, `F_WRLCK` or `F_UNLCK`.
    pub kind: i32,
    /// Where it begins, in bytes from the start of the file.
    pub start: i64,
    /// How many bytes; 0 reaches to the end.
    pub length: i64,
}

impl Lock {
    fn as_flock(self) -> libc::flock {
        // SAFETY: an all-zero struct of numbers is valid; locks of open file descriptions demand a
        // PID of 0.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = self.kind as i16;
        lock.l_whence = libc::SEEK_SET as i16;
        (lock.l_start, lock.l_len) = (self.start, self.length);
        lock
    }
}

/// fcntl(2), `F_SETLK` or with `wait` `F_SETLKW`; with `ofd` the lock belongs to the open file
/// description and not to the process.
pub fn set(fd: i32, lock: Lock, wait: bool, ofd: bool) -> Answer {
    let command = match (ofd, wait) {
        (false, false) => libc::F_SETLK,
        (false, true) => libc::F_SETLKW,
        (true, false) => libc::F_OFD_SETLK,
        (true, true) => libc::F_OFD_SETLKW,
    };
    let lock = lock.as_flock();
    // SAFETY: the structure is live and only read.
    answer(unsafe { libc::fcntl(fd, command, &raw const lock) })
}

/// fcntl(2), `F_GETLK`: the PID of who holds a lock in the way of this one, 0 if nobody does, -1 if an
/// open file description does.
pub fn holder(fd: i32, lock: Lock, ofd: bool) -> Answer {
    let mut lock = lock.as_flock();
    let command = if ofd { libc::F_OFD_GETLK } else { libc::F_GETLK };
    // SAFETY: the structure is live; the kernel writes what it found into it.
    answer(unsafe { libc::fcntl(fd, command, &raw mut lock) })?;
    Ok(if i32::from(lock.l_type) == libc::F_UNLCK { 0 } else { i64::from(lock.l_pid) })
}

calls! {
    /// flock(2)
    fn flock(fd: i32, operation: i32) => libc::flock(fd, operation);
}
