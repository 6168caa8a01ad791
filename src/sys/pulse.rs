//! What wakes the tracer from `wait4`.
//!
//! The tracer has one thing to wait for, the next stop, and must also hear commands, look at tasks
//! that do not stop, and keep appointments. A thread beside it, the pulse, interrupts the wait with
//! a signal to just that thread. A signal that comes a moment too early is lost; so the pulse
//! repeats itself until the tracer has been seen awake.

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::{Result, check};

/// How often the pulse looks while the tracer expects a stop at any moment.
const BEAT: Duration = Duration::from_millis(1);

/// How long to wait for room once the run has to end: a reader that lives takes what is left sooner.
const GRACE: Duration = Duration::from_secs(1);
/// What can be written without waiting when poll(2) says that something can be written to a pipe (pipe(7)).
const PIECE: usize = libc::PIPE_BUF;

/// The tracer's side, and everybody else's.
#[derive(Debug, Clone)]
pub struct Pulse {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tid: i32,
    /// How often the tracer has begun to wait.
    waits: AtomicU64,
    /// Whether the tracer is in its wait.
    waiting: AtomicBool,
    /// Whether somebody has called and the tracer has not yet answered.
    called: AtomicBool,
    /// Whether the run shall end, so that nothing is waited for any more.
    hurry: AtomicBool,
    /// When it has to end by itself.
    deadline: Mutex<Option<Instant>>,
    /// Whether the tracer waits for somebody to read what it writes.
    full: AtomicBool,
    plan: Mutex<Plan>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// Wake the tracer whenever it has waited for a beat.
    Beat,
    /// Wake it at this time, if at all.
    At(Option<Instant>),
    /// Stop.
    End,
}

impl Pulse {
    /// Starts the pulse of the calling thread. It ends with [`end`](Self::end).
    pub fn of_this_thread() -> Result<Self> {
        handle_quietly(libc::SIGURG)?;
        stops_need_no_signal()?;
        // SAFETY: gettid takes nothing and cannot fail.
        let tid = unsafe { libc::gettid() };
        let shared = Arc::new(Shared {
            tid,
            waits: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            called: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
            deadline: Mutex::new(None),
            full: AtomicBool::new(false),
            plan: Mutex::new(Plan::Beat),
            changed: Condvar::new(),
        });
        let pulse = Self { shared };
        let beating = pulse.clone();
        let spawned = std::thread::Builder::new().name("pulse".into()).spawn(move || beating.run());
        match spawned {
            Ok(_) => Ok(pulse),
            Err(error) => Err(super::needs::no_thread("a thread of the lab", &error)),
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, plan: Plan) {
        let mut current = self.plan();
        if *current != plan {
            *current = plan;
            self.shared.changed.notify_one();
        }
    }

    /// From any thread: the tracer shall come out of its wait.
    pub fn call(&self) {
        self.shared.called.store(true, Ordering::SeqCst);
        drop(self.plan());
        self.shared.changed.notify_one();
    }

    /// By the tracer: it has come, and will now look at what it was called for.
    pub fn answer(&self) -> bool {
        self.shared.called.swap(false, Ordering::SeqCst)
    }

    /// By the tracer: whether somebody has called.
    pub fn is_called(&self) -> bool {
        self.shared.called.load(Ordering::Relaxed)
    }

    /// By the tracer: a stop is expected at any moment; wake me if none comes within a beat.
    pub fn beat(&self) {
        self.set(Plan::Beat);
    }

    /// By the tracer: nothing is expected; wake me at this time, if at all.
    pub fn rest_until(&self, time: Option<Instant>) {
        self.set(Plan::At(time));
    }

    /// By the tracer: marks the wait in `waits` as one that may be interrupted.
    pub fn during<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.shared.waits.fetch_add(1, Ordering::Relaxed);
        self.shared.waiting.store(true, Ordering::SeqCst);
        let result = wait();
        self.shared.waiting.store(false, Ordering::SeqCst);
        result
    }

    /// From any thread: the run shall end, and waits for no reader any more.
    pub fn hurry(&self) {
        self.shared.hurry.store(true, Ordering::SeqCst);
        self.call();
    }

    /// By the tracer: from when on the run waits for no reader any more.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        *self.shared.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    fn deadline(&self) -> Option<Instant> {
        *self.shared.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From any thread: whether the tracer waits for somebody to read what it writes.
    pub fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::SeqCst)
    }

    /// By the tracer: writes at least something of `bytes`, as soon as there is room.
    ///
    /// # Errors
    /// `TimedOut` if there is none and the run has to end; else those of write(2).
    pub fn write(&self, to: BorrowedFd<'_>, bytes: &[u8]) -> std::io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        loop {
            if !self.wait_for_room(to) {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            match self.during(|| nix::unistd::write(to, piece)) {
                Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
                result => return result.map_err(std::io::Error::from),
            }
        }
    }

    /// Writes all of `bytes`; returns how many could not be because the run has to end.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn write_all(&self, to: BorrowedFd<'_>, bytes: &[u8]) -> std::io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.write(to, rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => return Ok(rest.len()),
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }

    fn wait_for_room(&self, to: BorrowedFd<'_>) -> bool {
        let mut entry = libc::pollfd { fd: to.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        let mut look = |wait: Duration| {
            let wait = libc::c_int::try_from(wait.as_millis()).unwrap_or(libc::c_int::MAX);
            // SAFETY: one live entry; a descriptor that is none is said so in it.
            unsafe { libc::poll(&raw mut entry, 1, wait) }
        };
        if look(Duration::ZERO) == 1 {
            return true;
        }
        self.shared.full.store(true, Ordering::SeqCst);
        let before = *self.plan();
        let mut last = None;
        let room = loop {
            let deadline = self.deadline();
            self.rest_until(deadline);
            let now = Instant::now();
            let hurried = self.shared.hurry.load(Ordering::SeqCst) || deadline.is_some_and(|deadline| deadline <= now);
            // What interrupts the wait may do so again and again, so the last moment is fixed.
            let wait =
                if hurried { last.get_or_insert(now + GRACE).saturating_duration_since(now) } else { Duration::MAX };
            if self.during(|| look(wait)) == 1 {
                break true;
            }
            if wait.is_zero() {
                break false;
            }
        };
        self.set(before);
        self.shared.full.store(false, Ordering::SeqCst);
        room
    }

    /// By the tracer: no more signals come after this.
    pub fn end(&self) {
        self.set(Plan::End);
    }

    fn run(&self) {
        let mut seen = 0;
        let mut plan = self.plan();
        loop {
            let called = self.shared.called.load(Ordering::SeqCst);
            let pause = match *plan {
                Plan::End => return,
                _ if called => Some(BEAT),
                Plan::Beat => Some(BEAT),
                Plan::At(time) => time.map(|time| time.saturating_duration_since(Instant::now()).max(BEAT / 4)),
            };
            let waits = self.shared.waits.load(Ordering::Relaxed);
            let stale = waits == seen;
            seen = waits;
            let due = match *plan {
                Plan::At(Some(time)) => Instant::now() >= time,
                Plan::Beat => stale,
                _ => false,
            };
            if (called || due) && self.shared.waiting.load(Ordering::SeqCst) {
                self.interrupt();
            }
            plan = match pause {
                Some(pause) => self.shared.changed.wait_timeout(plan, pause).unwrap_or_else(PoisonError::into_inner).0,
                None => self.shared.changed.wait(plan).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn interrupt(&self) {
        // SAFETY: a signal to a thread of this process, whose handler does nothing; should the thread
        // be gone, the call fails.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.shared.tid, libc::SIGURG) };
    }
}

/// Gives `signal` a handler that does nothing, so that it interrupts a sleep and no more.
fn handle_quietly(signal: i32) -> Result<()> {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: an all-zero sigaction is valid: no flags, empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    // SAFETY: the handler is a function that lives for ever and touches nothing.
    let result = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    check(result, "sigaction", || format!("signal {signal}")).map(drop)
}

/// The tracer waits for stops; a SIGCHLD for each of them, which nobody handles, would only cost time.
fn stops_need_no_signal() -> Result<()> {
    // SAFETY: an all-zero sigaction is valid: the default action, empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_flags = libc::SA_NOCLDSTOP;
    // SAFETY: the structure is live; SIGCHLD keeps its default action.
    let result = unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut()) };
    check(result, "sigaction", || "SIGCHLD".into()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sleeps until a signal comes; returns whether one came within five seconds.
    fn interrupted(pulse: &Pulse) -> bool {
        let time = libc::timespec { tv_sec: 5, tv_nsec: 0 };
        // SAFETY: `time` is live; the second argument may be null.
        pulse.during(|| unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) }) == -1
    }

    #[test]
    fn a_call_interrupts_a_wait_without_end() {
        let pulse = Pulse::of_this_thread().expect("pulse");
        pulse.rest_until(None);
        let caller = pulse.clone();
        let thread = std::thread::spawn(move || caller.call());
        assert!(interrupted(&pulse));
        assert!(pulse.answer());
        assert!(!pulse.answer());
        thread.join().expect("caller");
        pulse.end();
    }

    #[test]
    fn nobody_waits_for_a_reader_when_the_run_has_to_end() {
        use std::os::fd::AsFd as _;
        for by_deadline in [true, false] {
            let pulse = Pulse::of_this_thread().expect("pulse");
            let (_read, write) = nix::unistd::pipe().expect("a pipe");
            assert_eq!(pulse.write_all(write.as_fd(), b"there is room").expect("written"), 0);
            let other = pulse.clone();
            let caller = std::thread::spawn(move || {
                while !other.is_full() {
                    std::thread::yield_now();
                }
                if !by_deadline {
                    other.hurry();
                }
            });
            if by_deadline {
                pulse.set_deadline(Some(Instant::now() + Duration::from_millis(2)));
            }
            let left = pulse.write_all(write.as_fd(), &vec![0; 100_000]).expect("written");
            // The capacity of a pipe is 65536 bytes, in pages that are not all full.
            assert!((100_000 - 65_536..100_000).contains(&left), "{left}");
            caller.join().expect("caller");
            pulse.end();
        }
    }

    #[test]
    fn a_stale_wait_is_interrupted_and_an_appointment_kept() {
        let pulse = Pulse::of_this_thread().expect("pulse");
        pulse.beat();
        assert!(interrupted(&pulse));
        pulse.rest_until(Some(Instant::now() + Duration::from_millis(3)));
        assert!(interrupted(&pulse));
        pulse.end();
    }
}
