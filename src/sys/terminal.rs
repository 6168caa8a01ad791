//! The lab's side of a pseudoterminal (pty(7)).

use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;
use nix::sys::termios::{LocalFlags, SpecialCharacterIndices, tcgetattr};

use super::error::{Error, Result, check};

/// A pseudoterminal's master, which never waits.
#[derive(Debug)]
pub struct Master(PtyMaster);

/// Makes a pseudoterminal of so many lines and columns: its master, and its slave for whoever is
/// started on it. Neither becomes anybody's controlling terminal by this.
pub fn open(rows: u16, columns: u16) -> Result<(Master, OwnedFd)> {
    let failed = |call: &'static str| move |errno: nix::errno::Errno| Error::new(call, "a terminal", errno as i32);
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags | OFlag::O_NONBLOCK).map_err(failed("posix_openpt"))?;
    grantpt(&master).map_err(failed("grantpt"))?;
    unlockpt(&master).map_err(failed("unlockpt"))?;
    let name = ptsname_r(&master).map_err(failed("ptsname_r"))?;
    let slave = nix::fcntl::open(name.as_str(), flags, Mode::empty()).map_err(failed("open"))?;
    let master = Master(master);
    master.resize(rows, columns)?;
    Ok((master, slave))
}

impl Master {
    /// Gives the window another size; the foreground group gets SIGWINCH if it differs (ioctl_tty(2)).
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the argument is a live `winsize`, which is what TIOCSWINSZ reads.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        check(result, "ioctl", || "TIOCSWINSZ".into()).map(drop)
    }

    /// Takes what the programs have written, at most as much as fits; 0 if there is nothing more.
    ///
    /// Bytes come through a worker of the kernel; poll(2) waits for it when it finds nothing to read
    /// (`n_tty_poll` in drivers/tty/n_tty.c).
    pub fn read(&self, into: &mut [u8]) -> usize {
        let mut entry = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one live entry, and no time to wait.
        let ready = unsafe { libc::poll(&raw mut entry, 1, 0) } == 1 && entry.revents & libc::POLLIN != 0;
        // EIO says that nobody has the slave open now, which may change.
        if ready { nix::unistd::read(&self.0, into).unwrap_or(0) } else { 0 }
    }

    /// Types; returns how many bytes the terminal took. It takes no more while nobody reads.
    pub fn write(&self, bytes: &[u8]) -> usize {
        nix::unistd::write(&self.0, bytes).unwrap_or(0)
    }

    /// The character that means end-of-file, if the terminal is in canonical mode (termios(3)).
    pub fn end_of_file(&self) -> Option<u8> {
        let modes = tcgetattr(&self.0).ok()?;
        let canonical = modes.local_flags.contains(LocalFlags::ICANON);
        canonical.then(|| modes.control_chars[SpecialCharacterIndices::VEOF as usize])
    }
}

/// A pseudo-terminal of the lab's own, to wait for the kernel's workers.
///
/// What is written into one side of a terminal is passed on by a worker (`flush_to_ldisc` in
/// drivers/tty/tty_buffer.c). poll(2) waits for that of its own terminal, but only where there is nothing to
/// read yet. The workers take up their work in the order in which it came; so when a byte has passed through
/// this terminal, what was written into any other before has been taken up too, and a lock that it holds is
/// what is left to wait for (see [`super::peek::deliver_to_terminal`]).
#[derive(Debug)]
pub struct Barrier {
    master: Master,
    slave: OwnedFd,
}

impl Barrier {
    /// A new one.
    pub fn open() -> Result<Self> {
        open(1, 1).map(|(master, slave)| Self { master, slave })
    }

    /// Waits until what was written before has been taken up.
    pub fn pass(&self) {
        if nix::unistd::write(&self.slave, b".").is_ok() {
            self.master.read(&mut [0; 16]);
        }
    }
}

/// Whether the slave of a pseudo-terminal is read line by line (`ICANON` of termios(3)); either side tells.
pub fn is_canonical(side: &OwnedFd) -> bool {
    tcgetattr(side).is_ok_and(|modes| modes.local_flags.contains(LocalFlags::ICANON))
}

/// Whether a read of a terminal ends after some time: it is read byte by byte, and `VTIME` is set (termios(3),
/// "Canonical and noncanonical mode").
pub fn has_timeout(side: &OwnedFd) -> bool {
    tcgetattr(side).is_ok_and(|modes| {
        let canonical = modes.local_flags.contains(LocalFlags::ICANON);
        !canonical && modes.control_chars[SpecialCharacterIndices::VTIME as usize] > 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_at_one_side_comes_out_at_the_other() {
        let (master, slave) = open(24, 80).expect("a terminal");
        assert_eq!(master.end_of_file(), Some(4));
        nix::unistd::write(&slave, b"one\n").expect("write");
        let mut bytes = [0; 64];
        let read = master.read(&mut bytes);
        assert_eq!(&bytes[..read], b"one\r\n");
        assert_eq!(master.write(b"two\n"), 4);
        let read = nix::unistd::read(&slave, &mut bytes).expect("read");
        assert_eq!(&bytes[..read], b"two\n");
        assert_eq!(master.read(&mut bytes), 5, "the echo");
        drop(slave);
        assert_eq!(master.read(&mut bytes), 0);
    }
}
