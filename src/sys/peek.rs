//! Looking into channels of another process without taking anything out.
//!
//! A borrowed descriptor is closed before anybody resumes: held longer, it would itself keep a pipe
//! open.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::error::{Error, Result, check};
use super::{look, served};

/// Borrows descriptor `fd` of process `pid` (pidfd_getfd(2)); EBUSY where a process serves the file, which would be
/// told when it is closed.
pub fn borrow(pid: i32, fd: i32) -> Result<OwnedFd> {
    let target = || format!("descriptor {fd} of process {pid}");
    if look::is_served(pid, fd) {
        return Err(Error::new("pidfd_getfd", target(), libc::EBUSY));
    }
    // SAFETY: system calls on numbers; each result is checked before it is owned.
    unsafe {
        let process = check(libc::syscall(libc::SYS_pidfd_open, pid, 0), "pidfd_open", target)?;
        let process = OwnedFd::from_raw_fd(process as i32);
        let borrowed = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0);
        Ok(OwnedFd::from_raw_fd(check(borrowed, "pidfd_getfd", target)? as i32))
    }
}

/// How many bytes wait to be read (`FIONREAD`); EBUSY where the kernel could keep the lab waiting for a lock of
/// somebody who waits for a page.
pub fn waiting(fd: &OwnedFd) -> Result<u64> {
    if served::are_expected() {
        return Err(Error::new("ioctl", "FIONREAD", libc::EBUSY));
    }
    let mut count: libc::c_int = 0;
    // SAFETY: the argument is a live int, which is what FIONREAD writes.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    check(result, "ioctl", || "FIONREAD".into()).map(|_| u64::try_from(count).unwrap_or(0))
}

/// Lets a terminal take in what was written into its other side, and says whether anything can be read.
///
/// Bytes pass from one side of a pseudo-terminal to the other in a worker of the kernel, some time after
/// the write. poll(2) waits for that worker when it finds nothing to read (`n_tty_poll` in
/// drivers/tty/n_tty.c): afterwards whoever sleeps at the terminal has been woken, and signals of its
/// keys have been sent.
pub fn deliver_to_terminal(fd: &OwnedFd) -> bool {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live entry, and no time to wait.
    let readable = unsafe { libc::poll(&raw mut entry, 1, 0) == 1 };
    // Where there is something to read already the worker may not be done: its echo is still to come.
    // FIONREAD takes the lock that it holds meanwhile (`n_tty_ioctl` in drivers/tty/n_tty.c).
    let _ = waiting(fd);
    readable
}

/// Whether a read would not sleep (poll(2): `POLLIN`, or the other end is gone).
pub fn is_readable(fd: &OwnedFd) -> bool {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live entry, and no time to wait.
    unsafe { libc::poll(&raw mut entry, 1, 0) == 1 }
}

/// A copy of what waits in a pipe, at most `limit` bytes, by tee(2); the pipe keeps it.
pub fn pipe_contents(read_end: &OwnedFd, limit: usize) -> Result<Vec<u8>> {
    if served::are_expected() {
        return Err(Error::new("tee", "a pipe", libc::EBUSY));
    }
    let (copy_read, copy_write) = super::spawn::pipe()?;
    // SAFETY: system calls on numbers. The copy gets as many buffers as the pipe has, because what was spliced
    // into it may not fill its own; a pipe that cannot grow holds less, and less is copied.
    let copied = unsafe {
        let size = libc::fcntl(read_end.as_raw_fd(), libc::F_GETPIPE_SZ);
        libc::fcntl(copy_write.as_raw_fd(), libc::F_SETPIPE_SZ, size);
        libc::tee(read_end.as_raw_fd(), copy_write.as_raw_fd(), limit, libc::SPLICE_F_NONBLOCK)
    };
    let copied = match check(copied as i64, "tee", || "a pipe".into()) {
        Ok(copied) => copied as usize,
        Err(error) if error.errno == libc::EAGAIN => 0,
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; copied];
    let mut filled = 0;
    while filled < copied {
        let read = nix::unistd::read(&copy_read, &mut bytes[filled..])
            .map_err(|errno| Error::new("read", "a copy of a pipe", errno as i32))?;
        filled += read;
    }
    Ok(bytes)
}

/// The file position (lseek(2)).
pub fn position(fd: &OwnedFd) -> Option<u64> {
    if served::are_expected() {
        return None;
    }
    let position = nix::unistd::lseek(fd, 0, nix::unistd::Whence::SeekCur).ok()?;
    u64::try_from(position).ok()
}

/// What stands in a regular file from `offset` on, at most `limit` bytes; nothing of any other file, and
/// nothing where asking could change something (files without a size, as those of `/proc`). The file position stays.
pub fn file_contents(fd: &OwnedFd, offset: u64, limit: usize) -> Vec<u8> {
    let is_regular = |facts: &look::Facts| facts.mode & libc::S_IFMT == libc::S_IFREG;
    let size = look::of(fd).filter(is_regular).map_or(0, |facts| facts.size);
    let (left, offset) = (size.saturating_sub(offset), libc::off_t::try_from(offset).unwrap_or(libc::off_t::MAX));
    if left == 0 {
        return Vec::new();
    }
    let mut bytes = vec![0; limit.min(usize::try_from(left).unwrap_or(usize::MAX))];
    let read = nix::sys::uio::pread(fd, &mut bytes, offset).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_at_a_place_and_its_position_stays() {
        use std::io::{Seek as _, Write as _};
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"Nature's first green").expect("write");
        let mut same = file.try_clone().expect("dup");
        let fd = OwnedFd::from(file);
        assert_eq!(file_contents(&fd, 9, 5), b"first");
        assert_eq!(file_contents(&fd, 15, 100), b"green");
        assert_eq!(file_contents(&fd, 20, 100), b"");
        assert_eq!(same.stream_position().expect("lseek"), 20);
        let proc = OwnedFd::from(std::fs::File::open("/proc/self/status").expect("/proc"));
        assert_eq!(file_contents(&proc, 0, 100), b"");
    }

    #[test]
    fn a_pipe_is_looked_into_and_left_as_it_was() {
        let (read, write) = super::super::spawn::pipe().expect("pipe");
        nix::unistd::write(&write, b"hello").expect("write");
        let borrowed = borrow(std::process::id() as i32, read.as_raw_fd()).expect("borrow");
        assert_eq!(waiting(&borrowed), Ok(5));
        assert_eq!(pipe_contents(&borrowed, 65_536), Ok(b"hello".to_vec()));
        assert_eq!(pipe_contents(&borrowed, 2), Ok(b"he".to_vec()));
        assert_eq!(waiting(&read), Ok(5));
    }
}
