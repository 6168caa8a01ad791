//! Pseudoterminals (pty(7)) and who reads from a terminal (credentials(7)).

use super::{Answer, answer};

/// A new pseudoterminal: its master and its slave (posix_openpt(3), grantpt(3), unlockpt(3),
/// ptsname(3), open(2)).
///
/// The slave is opened without `O_NOCTTY`: it becomes the controlling terminal of a process that leads
/// a session and has none.
pub fn pty() -> Result<[i32; 2], i32> {
    let mut path = [0; 64];
    // SAFETY: system calls on numbers.
    let master = answer(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) })? as i32;
    // SAFETY: the descriptor is the master; the buffer is live and its length is passed. The C library
    // takes no lock for these and allocates nothing.
    let named = unsafe {
        match answer(libc::grantpt(master)).and_then(|_| answer(libc::unlockpt(master))) {
            Ok(_) => libc::ptsname_r(master, path.as_mut_ptr(), path.len()),
            Err(errno) => errno,
        }
    };
    let slave = match named {
        // SAFETY: ptsname_r has written a string that ends with NUL.
        0 => answer(unsafe { libc::open(path.as_ptr(), libc::O_RDWR) }),
        errno => Err(errno),
    };
    slave.map(|slave| [master, slave as i32]).inspect_err(|_| {
        let _ = super::close(master);
    })
}

calls! {
    /// tcsetpgrp(3)
    fn tcsetpgrp(fd: i32, group: i32) => libc::tcsetpgrp(fd, group);
    /// ioctl_tty(2), `TIOCSCTTY`
    fn ctty(fd: i32) => libc::ioctl(fd, libc::TIOCSCTTY, 0);
}

/// getpgid(2) of a process; 0 is this one.
pub fn group_of(pid: i32) -> Answer {
    // SAFETY: a system call on a number.
    answer(unsafe { libc::getpgid(pid) })
}
