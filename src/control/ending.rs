//! When a run is over, how it ended, and what is done then.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::{Ending, Outcome, Update};
use crate::sys::{self, ptrace};

impl Engine {
    /// How the run ends, if it does so now.
    pub(super) fn is_over(&mut self) -> Option<Outcome> {
        if let Some(outcome) = self.ending.take() {
            return Some(outcome);
        }
        if let Some(error) = self.tracer.take_shortage() {
            return Some(Outcome::Failed(error.with_hint()));
        }
        if self.tracer.is_over() {
            return Some(Outcome::Done);
        }
        self.tell_who_goes_on(false);
        if self.tracer.recorder().count() >= self.limit.events {
            return Some(Outcome::Limit(format!("the run has reached its limit of {} events", self.limit.events)));
        }
        if self.tracer.processes() > self.limit.processes as usize {
            let text = format!("more than {} processes are alive, the run's limit", self.limit.processes);
            return Some(Outcome::Limit(text));
        }
        self.is_out_of_time()
    }

    /// The limit of time that the run has reached, if it has.
    pub(super) fn is_out_of_time(&self) -> Option<Outcome> {
        let played = self.played + self.playing_since.map_or(Duration::ZERO, |since| since.elapsed());
        let clock = Duration::from_nanos(self.tracer.clock_ns().unwrap_or(0));
        if played.max(clock).as_secs() >= self.limit.seconds {
            return Some(Outcome::Limit(format!("the run has reached its limit of {} seconds", self.limit.seconds)));
        }
        if self.timeout.is_some_and(|timeout| played >= timeout) {
            return Some(Outcome::Limit("the time given by --timeout is over".into()));
        }
        None
    }

    /// When the run has to be looked at again at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let since = self.playing_since?;
        let bound = Duration::from_secs(self.limit.seconds.min(1 << 30));
        let bound = self.timeout.map_or(bound, |timeout| timeout.min(bound));
        since.checked_add(bound.saturating_sub(self.played))
    }

    /// The run is over: what is left is killed, and told.
    pub(super) fn finish(&mut self, outcome: Outcome) {
        let outcome = self.explain(outcome);
        if outcome != Outcome::Done {
            self.look_for_stuck_at_end();
        }
        let (how, why) = outcome.in_the_log();
        self.tracer.recorder_mut().end(how, why);
        self.tell_rest();
        let root = self.tracer.root_status();
        self.bury();
        self.pulse.end();
        let mut left = self.bench.outside.lock().unwrap_or_else(PoisonError::into_inner).remove();
        left.extend(self.tracer.undelivered());
        let schedule = if self.serial { self.scheduler.followed() } else { String::new() };
        let unscheduled = if schedule.is_empty() { Vec::new() } else { std::mem::take(&mut self.unscheduled) };
        self.send(Update::Ended(Ending { outcome, root, schedule, unscheduled, left }));
    }

    /// A program that ended before it was loaded has said why.
    fn explain(&mut self, outcome: Outcome) -> Outcome {
        if outcome != Outcome::Done || self.scenario {
            return outcome;
        }
        match self.bench.report.take().and_then(sys::spawn::Report::failure) {
            Some(error) => Outcome::Failed(error.with_hint()),
            None => outcome,
        }
    }

    /// Kills everything that is left, and reaps it.
    fn bury(&mut self) {
        self.pulse.beat();
        self.tracer.kill_all();
        loop {
            match self.pulse.during(|| ptrace::wait(true)) {
                Ok(ptrace::Wait::Nobody) | Err(_) => return,
                Ok(ptrace::Wait::Stopped(stopped, _)) => {
                    // It may have been made since.
                    sys::signal::kill(stopped.pid());
                    drop(stopped.resume(ptrace::Resume::Continue, None));
                }
                Ok(ptrace::Wait::Ended(tid, _)) => sys::senders::left(tid),
                Ok(ptrace::Wait::Nothing | ptrace::Wait::Interrupted) => self.tracer.kill_all(),
            }
        }
    }
}
