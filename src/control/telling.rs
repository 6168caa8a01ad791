//! What the session tells: what was written, and how things stand.

use std::time::{Duration, Instant};

use super::engine::{Engine, Mode};
use super::{Next, Outcome, Pace, Status, Update};

/// How long events may wait before they are told.
pub(super) const FLUSH: Duration = Duration::from_millis(8);
/// How many events may wait before they are told.
const FLUSH_EVENTS: usize = 2048;

impl Engine {
    /// Tells what was written, if it is time; and how things stand, if that has changed. Returns
    /// whether anything was told.
    pub(super) fn tell(&mut self, now: bool) -> bool {
        let waiting = self.tracer.recorder().untaken().len();
        let due = waiting > 0 && (now || waiting >= FLUSH_EVENTS || self.flushed.elapsed() >= FLUSH);
        if due {
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
