//! Signals to the lab itself: what asks it to end, to stop, and to come back.
//!
//! They are blocked in every thread, and one thread takes them (rt_sigtimedwait(2)). So no handler interrupts
//! anything, the default action of none is taken behind the lab's back, and it is known who has sent each. What
//! a task of the run has sent was meant for its own process group or for everybody: without the lab nobody
//! would have been there, so the lab does not heed it ([`super::senders`]).

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use super::error::{Error, Result};
use super::{senders, signal};
use crate::model::{Signal, SignalSet};

/// Signals that are left as they are: those that end nobody, that of the lab's own pulse, SIGPIPE, which the Rust
/// runtime ignores, and the two of the C library.
const LEFT_ALONE: [i32; 8] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGCHLD,
    libc::SIGURG,
    libc::SIGWINCH,
    libc::SIGPIPE,
    signal::OF_LIBC[0],
    signal::OF_LIBC[1],
];
/// How long nothing has to come before what is known of senders that are gone is forgotten.
const QUIET: Duration = Duration::from_secs(1);
/// The same signal sooner than this is no second request: timeout(1) sends each to its child and to the group.
const AGAIN: Duration = Duration::from_millis(200);

static LISTENING: Once = Once::new();
/// The signal that asks for the end; 0 if none did.
static ASKED: AtomicI32 = AtomicI32::new(0);
/// The key of the terminal that was pressed and is the program's; 0 if none was.
static KEY: AtomicI32 = AtomicI32::new(0);
/// The signal that asks to stop; 0 if none does.
static STOP: AtomicI32 = AtomicI32::new(0);
static CONTINUED: AtomicBool = AtomicBool::new(false);
/// How much is under way that has to be ended by the ordinary way.
static BUSY: AtomicUsize = AtomicUsize::new(0);
/// Whether the keys of the terminal are for the program on the bench.
static PROGRAMS_KEYS: AtomicBool = AtomicBool::new(false);
/// Gives the terminal back; there is one as long as the screen is open, which stops and comes back by itself.
static RESTORE: Mutex<Option<fn()>> = Mutex::new(None);

/// A signal that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arrived {
    signal: i32,
    code: i32,
    sender: i32,
}

/// Takes the signals to this process from now on, in the calling thread and in all that it starts.
///
/// What the lab was started with ignored, as under nohup(1), or blocked, stays so.
pub fn listen() -> Result<()> {
    let mut result = Ok(());
    LISTENING.call_once(|| {
        let set = taken();
        signal::block(set);
        signal::ignore_those_of_libc();
        let spawned = std::thread::Builder::new().name("signals".into()).spawn(move || take_all(set));
        if let Err(error) = spawned {
            signal::unblock(set);
            result = Err(Error::new("clone", "thread of the lab", error.raw_os_error().unwrap_or(libc::EAGAIN)));
        }
    });
    result
}

/// Which signals those are.
fn taken() -> SignalSet {
    let (ignored, blocked) = signal::at_start();
    let is_taken = |signal: &Signal| {
        !LEFT_ALONE.contains(&signal.number()) && !ignored.contains(*signal) && !blocked.contains(*signal)
    };
    (1..=64).filter_map(Signal::new).filter(is_taken).collect()
}

/// The signal that has asked for the end, if one has.
pub fn asked() -> Option<i32> {
    Some(ASKED.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
}

/// Asks for the end as this signal would.
pub fn ask(signal: i32) {
    // The first one is what is reported.
    let _ = ASKED.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
}

/// The key of the terminal that has sent a signal which was left to the program, since the last time.
pub fn key() -> Option<i32> {
    Some(KEY.swap(0, Ordering::SeqCst)).filter(|signal| *signal != 0)
}

/// Leaves SIGINT and SIGQUIT, which the terminal sends to lab and program alike, to the program.
pub fn leave_keys_to_program(leave: bool) {
    PROGRAMS_KEYS.store(leave, Ordering::SeqCst);
}

/// The signal that has asked the screen to stop, since the last time.
pub fn stop_asked() -> Option<i32> {
    Some(STOP.swap(0, Ordering::SeqCst)).filter(|signal| *signal != 0)
}

/// Whether the lab was continued since the last time.
pub fn was_continued() -> bool {
    CONTINUED.swap(false, Ordering::SeqCst)
}

/// As long as this lives, something is under way that only the ordinary way ends properly: a run, or the
/// screen. At all other times a signal ends the lab at once.
#[derive(Debug)]
pub struct Busy(());

impl Busy {
    /// Something begins.
    pub fn begin() -> Self {
        BUSY.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.fetch_sub(1, Ordering::SeqCst);
    }
}

/// As long as the screen is open: what gives the terminal back should the lab have to end at once.
pub fn set_restore(restore: Option<fn()>) {
    *RESTORE.lock().unwrap_or_else(PoisonError::into_inner) = restore;
}

/// Stops this process as `signal` does by default, and returns when it is continued. In an orphaned process
/// group nobody could continue it, and the kernel stops nobody.
pub fn stop_by(signal: i32) {
    let Some(set) = Signal::new(signal).map(|signal| SignalSet::EMPTY.with(signal)) else { return };
    let was_blocked = signal::is_blocked(signal);
    signal::unblock(set);
    signal::raise(signal);
    if was_blocked {
        signal::block(set);
    }
}

fn take_all(set: SignalSet) {
    let mut last = None;
    loop {
        match signal::wait_for(set, QUIET) {
            Some((signal, code, sender)) => heed(Arrived { signal, code, sender }, &mut last),
            None => senders::forget_those_gone(),
        }
    }
}

fn heed(arrived: Arrived, last: &mut Option<(i32, Instant)>) {
    let Arrived { signal, code, sender } = arrived;
    if is_notice(arrived) || senders::is_of_a_run(sender, code, signal) {
        return;
    }
    match signal {
        libc::SIGCONT => CONTINUED.store(true, Ordering::SeqCst),
        libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
            if RESTORE.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                STOP.store(signal, Ordering::SeqCst);
            } else {
                stop_by(signal);
            }
        }
        libc::SIGINT | libc::SIGQUIT if PROGRAMS_KEYS.load(Ordering::SeqCst) => KEY.store(signal, Ordering::SeqCst),
        _ => {
            ask(signal);
            // A hangup can come twice, from the terminal and from the shell; it is not meant twice.
            let again = signal != libc::SIGHUP
                && last.is_some_and(|(before, at): (i32, Instant)| before == signal && at.elapsed() >= AGAIN);
            if again || BUSY.load(Ordering::SeqCst) == 0 {
                end_at_once(signal);
            }
            if last.is_none_or(|(before, _)| before != signal) {
                *last = Some((signal, Instant::now()));
            }
        }
    }
}

/// Whether this only tells something that the lab has not asked for: of a descriptor whose owner a program has
/// named (`F_SETOWN` of fcntl(2)), or of the lab's own file that may not grow (the write fails with EFBIG).
fn is_notice(arrived: Arrived) -> bool {
    let Arrived { signal, code, sender } = arrived;
    let of_descriptor = (1..=6).contains(&code) || (signal == libc::SIGIO && code == libc::SI_KERNEL);
    let own_file = signal == libc::SIGXFSZ && sender == signal::own_pid();
    of_descriptor || own_file
}

fn end_at_once(signal: i32) -> ! {
    if let Ok(restore) = RESTORE.try_lock()
        && let Some(restore) = *restore
    {
        restore();
    }
    signal::end_now(128 + signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_no_request() {
        let arrived = |signal, code, sender| Arrived { signal, code, sender };
        // POLL_IN of a descriptor with F_SETSIG, and the plain SIGIO of one without.
        assert!(is_notice(arrived(libc::SIGTERM, 1, 0)));
        assert!(is_notice(arrived(libc::SIGIO, libc::SI_KERNEL, 0)));
        assert!(is_notice(arrived(libc::SIGXFSZ, libc::SI_USER, std::process::id() as i32)));
        // The same sent by kill(2); a key of the terminal.
        assert!(!is_notice(arrived(libc::SIGIO, libc::SI_USER, 1)));
        assert!(!is_notice(arrived(libc::SIGXFSZ, libc::SI_USER, 1)));
        assert!(!is_notice(arrived(libc::SIGINT, libc::SI_KERNEL, 0)));
    }
}
