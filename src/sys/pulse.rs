//! What wakes the tracer from `wait4`.
//!
//! The tracer has one thing to wait for, the next stop, and must also hear commands, look at tasks
//! that do not stop, and keep appointments. A thread beside it, the pulse, interrupts the wait with
//! a signal to just that thread. A signal that comes a moment too early is lost; so the pulse
//! repeats itself until the tracer has been seen awake.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::{Result, check};

/// How often the pulse looks while the tracer expects a stop at any moment.
const BEAT: Duration = Duration::from_millis(1);

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
    fn a_stale_wait_is_interrupted_and_an_appointment_kept() {
        let pulse = Pulse::of_this_thread().expect("pulse");
        pulse.beat();
        assert!(interrupted(&pulse));
        pulse.rest_until(Some(Instant::now() + Duration::from_millis(3)));
        assert!(interrupted(&pulse));
        pulse.end();
    }
}
