//! The lab's clock: where scenario processes sleep without anybody having to wait.
//!
//! A sleep of a scenario process is made endless on its way into the kernel, and ended by the lab
//! when its clock has come so far; the clock moves only when nobody else can. So a scenario that
//! sleeps for five seconds takes milliseconds, and always the same course.

use super::calls::Family;
use super::decode::object_kind;
use super::tracee::Call;
use super::tracer::{Result, Tracer};
use crate::model::TaskId;
use crate::sys::ptrace::Stopped;
use crate::sys::{memory, ptrace, signal};

const SECOND: u64 = 1_000_000_000;
/// Longer than any run: the `tv_sec` of an endless sleep.
const FOR_EVER: i64 = 1 << 30;

/// What happens when the clock reaches a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A sleep or a poll ends.
    Wake,
    /// An alarm rings.
    Alarm,
}

#[derive(Debug, Clone, Copy)]
struct Timer {
    at: u64,
    order: u64,
    tid: i32,
    what: What,
}

/// The time, and what is due at some later one.
#[derive(Debug, Default)]
pub struct Clock {
    now: u64,
    timers: Vec<Timer>,
    order: u64,
}

impl Clock {
    /// Nanoseconds since the start of the run.
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// When something is due next.
    pub fn next(&self) -> Option<u64> {
        self.timers.iter().map(|timer| timer.at).min()
    }

    /// A task is gone, and with it all that is due for it.
    pub fn forget(&mut self, tid: i32) {
        self.timers.retain(|timer| timer.tid != tid);
    }

    fn set(&mut self, tid: i32, what: What, delay: u64) {
        self.cancel(tid, what);
        self.order += 1;
        self.timers.push(Timer { at: self.now.saturating_add(delay), order: self.order, tid, what });
    }

    /// Takes a timer back; returns how long it still had.
    fn cancel(&mut self, tid: i32, what: What) -> Option<u64> {
        let index = self.timers.iter().position(|timer| timer.tid == tid && timer.what == what)?;
        Some(self.timers.swap_remove(index).at.saturating_sub(self.now))
    }

    fn take_next(&mut self) -> Option<Timer> {
        let index = (0..self.timers.len()).min_by_key(|index| (self.timers[*index].at, self.timers[*index].order))?;
        let timer = self.timers.swap_remove(index);
        self.now = self.now.max(timer.at);
        Some(timer)
    }
}

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
        let Some(timer) = self.clock.take_next() else { return Ok(None) };
        let Some(tracee) = self.tracees.get_mut(&timer.tid) else { return Ok(None) };
        let task = tracee.task;
        match timer.what {
            What::Wake => {
                tracee.expired = true;
                self.wake(timer.tid);
                ptrace::interrupt(timer.tid).or_else(super::tracer::unless_gone)?;
            }
            What::Alarm => {
                tracee.alarm_sent = true;
                signal::send(timer.tid, libc::SIGALRM).or_else(super::tracer::unless_gone)?;
            }
        }
        Ok(Some(task))
    }

    /// On the way into a call: reads what will be gone at its end, and takes sleeps over.
    pub(super) fn before_call(&mut self, tid: i32, stopped: &Stopped, call: &Call) -> Result<()> {
        match call.family {
            Family::Exec { .. } => self.before_exec(tid, call),
            Family::MqOpen | Family::Open { .. } | Family::Unlink { .. } => self.look_ahead(tid, call),
            _ if object_kind(call).is_some() => self.look_ahead(tid, call),
            _ => {}
        }
        if let (Family::SignalWait | Family::Ppoll | Family::Select, Some(task)) = (call.family, self.task_of(tid)) {
            self.write_mask_of_wait(tid, task, call);
        }
        let actor = self.tracees.get(&tid).is_some_and(|tracee| tracee.actor);
        if !actor || !self.options.virtual_time {
            return Ok(());
        }
        match call.family {
            Family::Sleep { time } => self.take_over(tid, call.args[usize::from(time)])?,
            Family::Ppoll if call.args[2] != 0 => self.take_over(tid, call.args[2])?,
            Family::Poll if call.args[2] as i32 > 0 => {
                let delay = u64::from(call.args[2] as u32) * 1_000_000;
                stopped.set_argument(2, u64::MAX)?;
                self.clock.set(tid, What::Wake, delay);
            }
            Family::Alarm => {
                let seconds = call.args[0];
                let left = self.clock.cancel(tid, What::Alarm);
                if seconds > 0 {
                    self.clock.set(tid, What::Alarm, seconds.saturating_mul(SECOND));
                }
                stopped.set_argument(0, 0)?;
                if let Some(tracee) = self.tracees.get_mut(&tid) {
                    tracee.alarm_left = Some(left.map_or(0, |left| left.div_ceil(SECOND)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes the time at `address` endless, and keeps its length for the lab's clock.
    fn take_over(&mut self, tid: i32, address: u64) -> Result<()> {
        let Some(seconds) = memory::read_u64(tid, address) else { return Ok(()) };
        let nanos = memory::read_u64(tid, address + 8).unwrap_or(0);
        if nanos >= SECOND || seconds > FOR_EVER as u64 || seconds + nanos == 0 {
            return Ok(());
        }
        memory::write(tid, address, &FOR_EVER.to_ne_bytes())?;
        self.clock.set(tid, What::Wake, seconds * SECOND + nanos);
        Ok(())
    }

    /// On the way out of a call: what the lab's clock has decided becomes what the call returns.
    pub(super) fn after_call(&mut self, tid: i32, stopped: &Stopped, call: &Call, value: i64) -> Result<i64> {
        if let Family::Sleep { .. } | Family::Poll | Family::Ppoll = call.family {
            self.clock.cancel(tid, What::Wake);
        }
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(value) };
        let decided = match call.family {
            Family::Alarm => tracee.alarm_left.take().map(|left| left as i64),
            // The interruption that ended it is still to be reported; the flag is taken there.
            Family::Sleep { .. } | Family::Poll | Family::Ppoll if tracee.expired => Some(0),
            _ => None,
        };
        let Some(decided) = decided.filter(|decided| *decided != value) else { return Ok(value) };
        stopped.set_return(decided)?;
        Ok(decided)
    }
}
