//! Writing to the terminal. One that is gone, or that nobody reads when the lab has to end, takes everything and
//! shows nothing: there is nobody to tell, and nothing must wait for it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::requests;

/// How long to wait for room before looking whether the lab has to end.
const WAIT: u16 = 50;
/// How often that is done once it has to.
const LAST_LOOKS: u32 = 20;

/// Whether the terminal was seen to be gone. It never comes back.
static GONE: AtomicBool = AtomicBool::new(false);

/// Standard output, which is a terminal.
#[derive(Debug)]
pub struct Tty {
    /// The same terminal, opened once more so that writing never waits: other processes share the descriptor
    /// that the lab was started with. `None` where it cannot be opened.
    own: Option<File>,
    /// Looks that were in vain since the lab has to end.
    in_vain: u32,
}

impl Tty {
    /// The terminal that standard output leads to.
    pub fn open() -> Self {
        let mut options = File::options();
        options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        Self { own: options.open("/proc/self/fd/1").ok(), in_vain: 0 }
    }

    fn write_once(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.own {
            Some(own) => nix::unistd::write(own, bytes).map_err(io::Error::from),
            None => nix::unistd::write(io::stdout(), bytes).map_err(io::Error::from),
        }
    }

    fn wait_for_room(&self) {
        let stdout = io::stdout();
        let terminal = self.own.as_ref().map_or(stdout.as_fd(), |own| own.as_fd());
        // Should it fail, the next write says why.
        let _ = poll(&mut [PollFd::new(terminal, PollFlags::POLLOUT)], PollTimeout::from(WAIT));
    }
}

impl Write for Tty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if is_gone() || self.in_vain >= LAST_LOOKS {
                return Ok(bytes.len());
            }
            let error = match self.write_once(bytes) {
                Ok(count) => return Ok(count),
                Err(error) => error,
            };
            match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EAGAIN) => {
                    self.wait_for_room();
                    self.in_vain += u32::from(requests::asked().is_some());
                }
                Some(Errno::EINTR) => {}
                Some(Errno::EIO | Errno::ENXIO | Errno::EBADF | Errno::EPIPE) => note_gone(),
                _ => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The terminal is gone: the lab ends as by the signal that says so, should that not come.
pub fn note_gone() {
    GONE.store(true, Ordering::SeqCst);
    requests::ask(libc::SIGHUP);
}

/// Whether the terminal is gone.
pub fn is_gone() -> bool {
    GONE.load(Ordering::SeqCst)
}

/// Whether another process group has the terminal now (tcgetpgrp(3)).
pub fn is_in_background() -> bool {
    nix::unistd::tcgetpgrp(io::stdin()).is_ok_and(|group| group != nix::unistd::getpgrp())
}
