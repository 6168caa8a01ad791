//! The lab's clock: what is due when. What it does to processes is in [`time`](super::time).

const SECOND: u64 = 1_000_000_000;

/// What happens when the clock reaches a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A wait ends.
    Wake,
    /// SIGALRM is sent.
    Alarm,
}

/// Something due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timer {
    at: u64,
    order: u64,
    /// For whom.
    pub(super) tid: i32,
    /// What.
    pub(super) what: What,
    /// After how long again; 0 is never.
    every: u64,
}

/// What is left of a timer, in nanoseconds: as getitimer(2) would say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Left {
    /// Until it rings; 0 if it will not.
    pub(super) first: u64,
    /// After how long it rings again; 0 is never.
    pub(super) every: u64,
}

impl Left {
    /// In whole seconds, as alarm(2) returns it: rounded to the nearest, but never to 0 (`alarm_setitimer`
    /// in kernel/time/itimer.c).
    pub(super) const fn seconds(self) -> u64 {
        let (whole, rest) = (self.first / SECOND, self.first % SECOND);
        if rest >= SECOND / 2 || (whole == 0 && rest > 0) { whole + 1 } else { whole }
    }
}

/// The time, and what is due at some later one.
#[derive(Debug, Default)]
pub struct Clock {
    now: u64,
    timers: Vec<Timer>,
    /// Timers that have rung and begin anew when their signal is taken.
    rung: Vec<Timer>,
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
        self.rung.retain(|timer| timer.tid != tid);
    }

    /// Ends a wait at `at`.
    pub(super) fn wake_at(&mut self, tid: i32, at: u64) {
        self.stay_asleep(tid);
        self.push(at, tid, What::Wake, 0);
    }

    /// The wait has ended, or nothing ends it.
    pub(super) fn stay_asleep(&mut self, tid: i32) {
        self.timers.retain(|timer| (timer.tid, timer.what) != (tid, What::Wake));
    }

    /// Sets the one timer of alarm(2) and setitimer(2); 0 stops it. Returns what was left of it.
    pub(super) fn set_alarm(&mut self, tid: i32, first: u64, every: u64) -> Left {
        let is_it = |timer: &Timer| (timer.tid, timer.what) == (tid, What::Alarm);
        let running = self.timers.iter().find(|timer| is_it(timer));
        let left = Left {
            first: running.map_or(0, |timer| timer.at.saturating_sub(self.now)),
            every: running.or_else(|| self.rung.iter().find(|timer| is_it(timer))).map_or(0, |timer| timer.every),
        };
        self.timers.retain(|timer| !is_it(timer));
        self.rung.retain(|timer| !is_it(timer));
        if first > 0 {
            self.push(self.now.saturating_add(first), tid, What::Alarm, every);
        }
        left
    }

    /// SIGALRM has been taken out of the queue: a timer that rings again counts from its last time on, in
    /// whole intervals (`dequeue_signal` in kernel/signal.c). Until then it stands still.
    pub(super) fn alarm_taken(&mut self, tid: i32) {
        let Some(index) = self.rung.iter().position(|timer| timer.tid == tid) else { return };
        let Timer { at, what, every, .. } = self.rung.swap_remove(index);
        let intervals = self.now.saturating_sub(at) / every + 1;
        self.push(at.saturating_add(intervals.saturating_mul(every)), tid, what, every);
    }

    /// Moves on to what is due next, and takes it.
    pub(super) fn take_next(&mut self) -> Option<Timer> {
        let index = (0..self.timers.len()).min_by_key(|index| (self.timers[*index].at, self.timers[*index].order))?;
        let timer = self.timers.swap_remove(index);
        self.now = self.now.max(timer.at);
        if timer.every > 0 {
            self.rung.push(timer);
        }
        Some(timer)
    }

    fn push(&mut self, at: u64, tid: i32, what: What, every: u64) {
        self.order += 1;
        self.timers.push(Timer { at, order: self.order, tid, what, every });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_is_taken_first() {
        let mut clock = Clock::default();
        clock.wake_at(1, 30);
        clock.set_alarm(2, 10, 0);
        clock.wake_at(3, 30);
        clock.wake_at(4, 30);
        clock.stay_asleep(3);
        let taken: Vec<_> = std::iter::from_fn(|| clock.take_next().map(|timer| (timer.tid, clock.now()))).collect();
        assert_eq!(taken, [(2, 10), (1, 30), (4, 30)]);
    }

    #[test]
    fn what_is_left_is_rounded_as_the_kernel_does() {
        // Printed by alarm(0) after setitimer(2) with 2.4 s, 2.6 s, 0.001 s, 0.5 s, and none.
        let seconds = |first| Left { first, every: 0 }.seconds();
        let times = [2_400_000_000, 2_600_000_000, 1_000_000, 500_000_000, 0];
        assert_eq!(times.map(seconds), [2, 3, 1, 1, 0]);
    }

    #[test]
    fn an_interval_waits_until_the_signal_is_taken() {
        let mut clock = Clock::default();
        assert_eq!(clock.set_alarm(1, 10, 4), Left::default());
        assert!(clock.take_next().is_some());
        assert_eq!(clock.next(), None, "it is pending");
        clock.wake_at(1, 19);
        clock.take_next();
        clock.alarm_taken(1);
        assert_eq!(clock.next(), Some(22), "the grid is kept");
        assert_eq!(clock.set_alarm(1, 0, 0), Left { first: 3, every: 4 });
        clock.alarm_taken(1);
        assert_eq!(clock.next(), None);
    }
}
