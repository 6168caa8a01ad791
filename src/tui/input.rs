//! The keyboard, on a thread of its own.
//!
//! crossterm's own waiting never returns once the terminal is gone, so it is only asked for what is
//! there already; the waiting is done here, where a hang-up can be seen. There is one such thread
//! for the whole program, because two would take each other's keys; while no screen is open it
//! leaves the terminal alone.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crossterm::event::{self, Event};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long to wait for a key before looking whether the window has another size.
const WAIT: u16 = 50;

/// What the keyboard says.
#[derive(Debug)]
pub enum Input {
    /// A key, the mouse, a paste or another size.
    Event(Event),
    /// The terminal is gone.
    Hangup,
}

static INPUTS: OnceLock<Mutex<Receiver<Input>>> = OnceLock::new();
static LISTEN: AtomicBool = AtomicBool::new(false);

/// Begins to listen, and forgets what was typed before.
pub fn open() {
    let inputs = INPUTS.get_or_init(|| {
        let (sender, receiver) = channel();
        // Without the thread there are no keys; the signals still end the lab.
        drop(thread::Builder::new().name("keyboard".into()).spawn(move || listen(&sender)));
        Mutex::new(receiver)
    });
    let receiver = inputs.lock().unwrap_or_else(PoisonError::into_inner);
    while receiver.try_recv().is_ok() {}
    LISTEN.store(true, Ordering::SeqCst);
}

/// Leaves the terminal to others.
pub fn close() {
    LISTEN.store(false, Ordering::SeqCst);
}

/// The next input, if there is one within this time.
pub fn next(wait: Duration) -> Option<Input> {
    let inputs = INPUTS.get()?;
    let receiver = inputs.lock().unwrap_or_else(PoisonError::into_inner);
    match receiver.recv_timeout(wait) {
        Ok(input) => Some(input),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Input::Hangup),
    }
}

fn listen(sender: &Sender<Input>) {
    loop {
        if !LISTEN.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(u64::from(WAIT)));
            continue;
        }
        let input = match turn() {
            Ok(Some(event)) => Input::Event(event),
            Ok(None) => continue,
            // Who may not read now is told what one is told whose terminal is gone (read(2), EIO).
            Err(_) if super::tty::is_in_background() => {
                thread::sleep(Duration::from_millis(u64::from(WAIT)));
                continue;
            }
            Err(_) => {
                super::tty::note_gone();
                Input::Hangup
            }
        };
        let last = matches!(input, Input::Hangup);
        if sender.send(input).is_err() || last {
            return;
        }
    }
}

/// One event, if there is one soon. An error is the end of the terminal.
fn turn() -> io::Result<Option<Event>> {
    // crossterm would read for ever from a terminal that has hung up.
    look(0)?;
    // What came in one piece is with crossterm already, and no more to be seen on the terminal.
    if event::poll(Duration::ZERO)? {
        return event::read().map(Some);
    }
    look(WAIT)?;
    Ok(None)
}

/// Waits until something comes from the terminal, at most so many milliseconds.
fn look(wait: u16) -> io::Result<()> {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(wait)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    if fds[0].revents().is_some_and(|events| events.intersects(gone)) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
