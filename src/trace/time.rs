//! Scenario processes live by the lab's clock: here their waits and timers are taken over.
//!
//! A wait of a scenario process is made endless on its way into the kernel, and ended by the lab when
//! its clock has come so far; the clock moves only when nobody else can. So a scenario that sleeps for
//! five seconds takes milliseconds, and always the same course. What an alarm sends is made to look as
//! if the kernel had sent it.

use super::calls::Family;
use super::clock::What;
use super::decode::object_kind;
use super::tracee::{Call, TimerAnswer};
use super::tracer::{Result, Tracer, unless_gone};
use crate::model::{Kind, Signal, TaskId};
use crate::scenario::Op;
use crate::sys::ptrace::{SignalInfo, Stopped};
use crate::sys::{memory, ptrace, signal};

const SECOND: u64 = 1_000_000_000;
/// Longer than any run: the `tv_sec` of an endless sleep.
const FOR_EVER: i64 = 1 << 30;
/// Later than any run: a time of day, in the 23rd century.
const NEVER: i64 = 1 << 33;

/// `struct itimerval` of setitimer(2): the interval and then the first time, each as seconds and
/// microseconds.
type RawTimer = [u8; 32];

impl Tracer {
    /// The lab's clock in nanoseconds since the start, where scenario processes live by it.
    pub fn clock_ns(&self) -> Option<u64> {
        (self.options.virtual_time && self.scenario.is_some()).then(|| self.clock.now())
    }

    /// When the lab's clock has something due, if anything.
    pub fn next_due(&self) -> Option<u64> {
        self.clock.next()
    }

    /// Moves the clock on to what is due next, and makes that happen. Returns whose it was.
    pub fn advance_clock(&mut self) -> Result<Option<TaskId>> {
        let before = self.clock.now();
        let Some(timer) = self.clock.take_next() else { return Ok(None) };
        let now = self.clock.now();
        if now > before {
            self.recorder.plain(TaskId::LAB, Kind::Clock { now });
        }
        let Some(tracee) = self.tracees.get_mut(&timer.tid) else { return Ok(None) };
        let task = tracee.task;
        match timer.what {
            What::Wake => {
                tracee.expired = true;
                self.wake(timer.tid);
                ptrace::interrupt(timer.tid).or_else(unless_gone)?;
            }
            What::Alarm => {
                signal::queue(timer.tid, libc::SIGALRM, signal::OF_THE_LAB).or_else(unless_gone)?;
            }
        }
        Ok(Some(task))
    }

    /// On the way into a call: reads what will be gone at its end, and takes waits and timers over.
    pub(super) fn before_call(&mut self, tid: i32, stopped: &Stopped, call: &Call) -> Result<()> {
        match call.family {
            Family::Exec { .. } => self.before_exec(tid, call),
            Family::MqOpen | Family::Open { .. } | Family::Unlink { .. } => self.look_ahead(tid, call),
            _ if object_kind(call).is_some() => self.look_ahead(tid, call),
            _ => {}
        }
        self.show_mask(tid, stopped, call)?;
        if let (Family::SignalWait | Family::Ppoll | Family::Select, Some(task)) = (call.family, self.task_of(tid)) {
            self.write_mask_of_wait(tid, task, call);
        }
        if !self.options.virtual_time || !self.tracees.get(&tid).is_some_and(|tracee| tracee.actor) {
            return Ok(());
        }
        match call.family {
            Family::Sleep { time } => self.take_over(tid, call.args[usize::from(time)]),
            Family::Ppoll if call.args[2] != 0 => self.take_over(tid, call.args[2]),
            Family::Poll if call.args[2] as i32 > 0 => {
                let delay = u64::from(call.args[2] as u32) * 1_000_000;
                stopped.set_argument(2, u64::MAX)?;
                self.clock.wake_at(tid, self.clock.now().saturating_add(delay));
                Ok(())
            }
            Family::Futex if call.args[3] != 0 => self.take_over_deadline(tid, call.args[3]),
            Family::Alarm => {
                self.begin_clock();
                let left = self.clock.set_alarm(tid, call.args[0].saturating_mul(SECOND), 0);
                self.answer(tid, TimerAnswer::Seconds(left.seconds()));
                stopped.set_argument(0, 0)
            }
            Family::Setitimer if call.args[0] as i32 == libc::ITIMER_REAL => self.take_over_timer(tid, call),
            _ => Ok(()),
        }
    }

    /// Makes the time at `address` endless, and keeps its length for the lab's clock.
    fn take_over(&mut self, tid: i32, address: u64) -> Result<()> {
        let Some(seconds) = memory::read_u64(tid, address) else { return Ok(()) };
        let nanos = memory::read_u64(tid, address + 8).unwrap_or(0);
        if nanos >= SECOND || seconds > FOR_EVER as u64 || seconds + nanos == 0 {
            return Ok(());
        }
        self.lengthen(tid, address, seconds, FOR_EVER)?;
        self.clock.wake_at(tid, self.clock.now().saturating_add(seconds * SECOND + nanos));
        Ok(())
    }

    /// Puts other seconds where a call will read them; the program gets its own back when the call returns.
    fn lengthen(&mut self, tid: i32, address: u64, own: u64, other: i64) -> Result<()> {
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.lengthened = Some((address, own));
        }
        memory::write(tid, address, &other.to_ne_bytes())
    }

    /// A `sem_timedwait` gives the kernel a time of day; how long it is from now says the statement. The C
    /// library may wait again and again until that time, which then is still the same.
    fn take_over_deadline(&mut self, tid: i32, address: u64) -> Result<()> {
        let now = self.clock.now();
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        let statement = tracee.statement.and_then(|id| self.scenario.as_ref()?.program.statement(id));
        let Some(Op::SemTimedwait { time, .. }) = statement.map(|statement| &statement.op) else { return Ok(()) };
        let at = *tracee.deadline.get_or_insert(now.saturating_add(*time));
        if let Some(own) = memory::read_u64(tid, address).filter(|_| at > now) {
            self.lengthen(tid, address, own, NEVER)?;
            self.clock.wake_at(tid, at);
        }
        Ok(())
    }

    /// The kernel is told to stop the timer that the lab's clock has instead; the program gets its own
    /// words back when the call has returned.
    fn take_over_timer(&mut self, tid: i32, call: &Call) -> Result<()> {
        let address = call.args[1];
        let given = memory::read_array::<32>(tid, address).filter(|_| address != 0);
        let Some((given, [first, every])) = given.and_then(|given| Some((given, times(&given)?))) else {
            return Ok(());
        };
        self.begin_clock();
        self.clock.set_alarm(tid, first, every);
        memory::write(tid, address, &[0; 32])?;
        self.answer(tid, TimerAnswer::Given(given));
        Ok(())
    }

    /// Who reads what a timer has left needs the clock that it runs by, even if that has not moved yet.
    fn begin_clock(&mut self) {
        if self.world().clock_ns().is_none() {
            self.recorder.plain(TaskId::LAB, Kind::Clock { now: self.clock.now() });
        }
    }

    fn answer(&mut self, tid: i32, answer: TimerAnswer) {
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.timer_answer = Some(answer);
        }
    }

    /// On the way out of a call: what the lab's clock has decided becomes what the call returns.
    pub(super) fn after_call(&mut self, tid: i32, stopped: &Stopped, call: &Call, value: i64) -> Result<i64> {
        match call.family {
            Family::Sleep { .. } | Family::Poll | Family::Ppoll | Family::Futex => self.clock.stay_asleep(tid),
            Family::Seccomp => return Self::after_seccomp_call(tid, stopped, call, value),
            Family::Alarm | Family::Setitimer if value >= 0 && self.scenario.is_some() => {
                return self.after_timer_call(tid, stopped, call, value);
            }
            _ => {}
        }
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(value) };
        if let Some((address, own)) = tracee.lengthened.take() {
            memory::write(tid, address, &own.to_ne_bytes())?;
        }
        let decided = match call.family {
            // The interruption that ended it is still to be reported; the flag is taken there.
            Family::Sleep { .. } | Family::Poll | Family::Ppoll if tracee.expired => Some(0),
            Family::Futex if tracee.expired && value != 0 => Some(i64::from(-libc::ETIMEDOUT)),
            _ => None,
        };
        let Some(decided) = decided.filter(|decided| *decided != value) else { return Ok(value) };
        stopped.set_return(decided)?;
        Ok(decided)
    }

    fn after_timer_call(&mut self, tid: i32, stopped: &Stopped, call: &Call, value: i64) -> Result<i64> {
        let answer = self.tracees.get_mut(&tid).and_then(|tracee| tracee.timer_answer.take());
        let decided = match answer {
            Some(TimerAnswer::Seconds(seconds)) => seconds as i64,
            Some(TimerAnswer::Given(given)) => {
                memory::write(tid, call.args[1], &given)?;
                value
            }
            None => match self.note_timer(tid, call) {
                Some(left) if call.family == Family::Alarm => left.seconds() as i64,
                _ => value,
            },
        };
        if decided != value {
            stopped.set_return(decided)?;
        }
        Ok(decided)
    }

    /// A signal has been taken out of the queue: the timer behind it may go on.
    pub(super) fn signal_taken(&mut self, tid: i32, signal: Signal) {
        if signal == Signal::ALRM {
            self.clock.alarm_taken(tid);
        }
    }

    /// What the signal carries that a task has stopped for. One of the lab's clock comes from the kernel,
    /// as far as the program can see.
    pub(super) fn signal_at(stopped: &Stopped) -> Result<SignalInfo> {
        let info = stopped.signal_info()?;
        if info.code != signal::OF_THE_LAB {
            return Ok(info);
        }
        stopped.set_signal_from_kernel()?;
        stopped.signal_info()
    }

    /// A call has put a signal's description into memory, with its `si_code` there. One of the lab's clock
    /// comes from the kernel, as far as the program can see.
    pub(super) fn hide_the_lab(tid: i32, code_at: u64) {
        if memory::read_i32(tid, code_at) == Some(signal::OF_THE_LAB) {
            // One that has been killed meanwhile will not look.
            drop(memory::write(tid, code_at, &libc::SI_KERNEL.to_ne_bytes()));
        }
    }
}

/// First time and interval in nanoseconds, if the kernel would take them.
pub(super) fn times(raw: &RawTimer) -> Option<[u64; 2]> {
    let word = |index: usize| Some(u64::from_ne_bytes(*raw[index * 8..].first_chunk::<8>()?));
    let time = |seconds: u64, micros: u64| {
        (micros < 1_000_000 && seconds <= FOR_EVER as u64).then(|| seconds * SECOND + micros * 1000)
    };
    Some([time(word(2)?, word(3)?)?, time(word(0)?, word(1)?)?])
}
