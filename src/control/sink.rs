//! Who takes the log on the tracer's own thread.

use crate::model::{Batch, Header};
use crate::sys::Pulse;

/// Takes the log where it is written, instead of [`Update::Batch`](super::Update::Batch): what it has taken is
/// not lost should the lab be killed.
pub trait Sink: Send {
    /// The run begins. Whatever has to wait for a reader waits with this pulse, so that the run can be ended
    /// meanwhile. Returns whether it shall go on.
    fn begin(&mut self, header: &Header, pulse: &Pulse) -> bool;

    /// Takes the next part of the log. Returns whether the run shall go on.
    fn take(&mut self, batch: &Batch) -> bool;

    /// The command has ended, and others go on: how many processes, and of a few the names and PIDs. Said again
    /// when that may have changed.
    fn go_on(&mut self, count: usize, some: Vec<(String, i32)>);
}
