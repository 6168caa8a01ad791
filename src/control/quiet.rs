//! Whether those who sleep will ever wake: asked of the kernel when the log says that they will not.

use std::time::{Duration, Instant};

use super::engine::Engine;
use crate::insight::{may_be_stuck, stuck};
use crate::model::TaskId;

/// How often the kernel is asked, should somebody have been woken and have gone to sleep once more meanwhile.
const TRIES: usize = 3;
/// When it is asked once more, where all of these found somebody on the move.
const ONCE_MORE: Duration = Duration::from_millis(20);

/// How long after it has found everybody asleep, some for a while only, the lab looks whether those sleep without end
/// by now.
const TIMED: Duration = Duration::from_millis(200);

impl Engine {
    /// Sees to it that somebody who now sleeps for a while in a call that does not stop is looked at again.
    pub(super) fn look_again_at_timed(&mut self) {
        if self.ask_again.is_none() && may_be_stuck(self.tracer.world()) && self.tracer.has_timed() {
            self.ask_again = Some(Instant::now() + TIMED);
        }
    }

    /// The time to ask again has come.
    pub(super) fn ask_once_more(&mut self) {
        self.ask_again = None;
        self.tracer.look_at_timed();
        self.look_for_stuck();
    }

    /// Writes who sleeps for ever, if there is somebody new: everybody beside them sleeps too.
    pub(super) fn look_for_stuck(&mut self) {
        if self.tracer.recorder_mut().has_stirred() && may_be_stuck(self.tracer.world()) {
            self.confirm_stuck(false);
        }
    }

    /// The same when the run is over; then somebody else may be awake.
    pub(super) fn look_for_stuck_at_end(&mut self) {
        self.confirm_stuck(true);
    }

    fn confirm_stuck(&mut self, at_end: bool) {
        self.ask_again = None;
        for _ in 0..TRIES {
            let found = stuck(self.tracer.world(), self.tracer.recorder().names(), at_end);
            let tasks: Vec<TaskId> = found.circle.into_keys().collect();
            let known = |id: &TaskId| self.tracer.world().task(*id).is_some_and(|task| task.unwoken);
            if tasks.is_empty() || tasks.iter().all(known) || (found.watched && !at_end) {
                return;
            }
            if self.tracer.still_sleep(&tasks) {
                self.tracer.recorder_mut().asleep(&tasks);
                return;
            }
        }
        self.tracer.recorder_mut().stir();
        self.ask_again = Some(Instant::now() + ONCE_MORE);
    }

    /// Whether everybody that is left sleeps for ever, as the kernel has said.
    pub(super) fn is_stuck(&self) -> bool {
        let world = self.tracer.world();
        let unwoken = || world.living().all(|task| task.unwoken);
        world.living().next().is_some() && unwoken() && {
            let found = stuck(world, self.tracer.recorder().names(), false);
            world.living().all(|task| found.circle.contains_key(&task.id))
        }
    }
}
