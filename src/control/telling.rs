//! What the session tells: what was written, and how things stand.

use std::time::{Duration, Instant};

use super::engine::{Engine, Mode};
use super::{Next, Outcome, Pace, Sink, Status, Update};
use crate::model::Batch;

/// How long events may wait before they are told.
pub(super) const FLUSH: Duration = Duration::from_millis(8);
/// How many events may wait before they are told.
const FLUSH_EVENTS: usize = 2048;
/// How many may wait before a sink takes them.
const SINK_EVENTS: usize = 256;
/// The part of the time that handing events to the sink one by one may take: one in so many.
const SHARE: u32 = 4;

/// How often it is said who goes on when the command has ended, and how many are named.
const OTHERS: Duration = Duration::from_millis(100);
const NAMED: usize = 3;

/// A sink, and what handing something to it costs.
pub(super) struct Output {
    sink: Box<dyn Sink>,
    cost: Duration,
    last: Instant,
}

impl Output {
    pub(super) fn new(sink: Box<dyn Sink>) -> Self {
        Self { sink, cost: Duration::ZERO, last: Instant::now() }
    }

    /// Whether it has been left alone for long enough.
    fn may_take(&self) -> bool {
        self.cost.is_zero() || self.last.elapsed() >= self.cost * SHARE
    }

    fn take(&mut self, batch: &Batch) -> bool {
        let began = Instant::now();
        let goes_on = self.sink.take(batch);
        self.last = Instant::now();
        let took = self.last - began;
        // A moment without the CPU says nothing of what it costs; what is cheaper than was believed does.
        self.cost = if took < self.cost || self.cost.is_zero() { took } else { (self.cost * 15 + took) / 16 };
        goes_on
    }
}

impl Engine {
    /// Tells what was written, if it is time; and how things stand, if that has changed. Returns
    /// whether anything was told.
    pub(super) fn tell(&mut self, now: bool) -> bool {
        let waiting = self.tracer.recorder().untaken().len();
        let due = if self.sink.is_some() {
            now || self.flushed.elapsed() >= FLUSH
        } else {
            waiting > 0 && (now || waiting >= FLUSH_EVENTS || self.flushed.elapsed() >= FLUSH)
        };
        if due && self.sink.is_some() {
            self.flushed = Instant::now();
            self.hand_over();
        } else if due {
            let batch = self.tracer.recorder_mut().take();
            self.looked_at = 0;
            self.flushed = Instant::now();
            self.send(Update::Batch(batch));
        }
        if now || due {
            let status = self.status();
            if self.told.as_ref() != Some(&status) {
                self.told = Some(status.clone());
                self.send(Update::Status(status));
            }
        }
        due
    }

    /// Begins to write the log, if it is written here. Returns whether the run shall go on.
    pub(super) fn begin_output(&mut self) -> bool {
        let (header, pulse) = (&self.header, &self.pulse);
        self.sink.as_mut().is_none_or(|output| output.sink.begin(header, pulse))
    }

    /// The tracer is about to sleep: the log is written first. Where writing is so slow that it would take most
    /// of the time, some events wait for each other: [`SINK_EVENTS`] at most, and none once nothing happens for
    /// a beat of the pulse.
    pub(super) fn write_out(&mut self) {
        let Some(output) = &self.sink else { return };
        let waiting = self.tracer.recorder().untaken().len();
        if waiting >= SINK_EVENTS || (waiting > 0 && output.may_take()) {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let Some(output) = &mut self.sink else { return };
        if self.tracer.recorder().untaken().is_empty() {
            return;
        }
        let batch = self.tracer.recorder_mut().take();
        self.looked_at = 0;
        if !output.take(&batch) {
            self.ending.get_or_insert(Outcome::Stopped);
        }
    }

    /// Hands the rest of the log over.
    pub(super) fn tell_rest(&mut self) {
        if self.sink.is_some() {
            self.hand_over();
        } else {
            let batch = self.tracer.recorder_mut().take();
            self.send(Update::Batch(batch));
        }
    }

    /// Says who goes on when the command itself has ended: at once, and then from time to time and whenever
    /// nothing happens.
    pub(super) fn tell_who_goes_on(&mut self, now: bool) {
        if self.scenario || self.sink.is_none() || self.tracer.root_status().is_none() {
            return;
        }
        if self.told_others.is_some_and(|told| !now && told.elapsed() < OTHERS) {
            return;
        }
        self.told_others = Some(Instant::now());
        let Some(output) = &mut self.sink else { return };
        let names = self.tracer.recorder().names();
        let processes = || self.tracer.world().living().filter(|task| task.is_process());
        let some = processes().take(NAMED).map(|task| (names.get(task.name).to_owned(), task.pid)).collect();
        output.sink.go_on(processes().count(), some);
    }

    pub(super) fn send(&mut self, update: Update) {
        if self.updates.send(update).is_err() {
            self.ending.get_or_insert(Outcome::Stopped);
        }
    }

    fn status(&self) -> Status {
        let next =
            |task| Some(Next { task, text: self.tracer.next_step(task)?, signal: self.tracer.about_to_take(task) });
        // At full speed nobody else stands still for long enough to be read.
        let mut standing = if self.mode == Mode::Playing(Pace::Full) { Vec::new() } else { self.tracer.ready() };
        standing.extend(self.tracer.held_back());
        standing.sort_unstable();
        Status {
            playing: match self.mode {
                Mode::Paused => None,
                Mode::Playing(pace) => Some(pace),
            },
            serial: self.serial,
            next: standing.into_iter().filter_map(next).collect(),
            paused_by: self.paused_by.clone(),
            clock_ns: self.tracer.clock_ns(),
            answer: self.answer.clone(),
        }
    }
}
