//! A run without a screen, from its start to its end.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use super::Failure;
use super::interrupts::Interrupts;
use crate::control::{Command, Ending, Session, Update};
use crate::model::Batch;

/// How long a signal may wait for an answer.
const TICK: Duration = Duration::from_millis(50);

/// How it went.
#[derive(Debug)]
pub struct Driven {
    /// How the run ended.
    pub ending: Ending,
    /// The signal that ended it, if one did.
    pub interrupted: Option<i32>,
}

/// Hands every batch to `take` until the run has ended; ends it when a signal asks for that.
pub fn drive(
    session: &Session,
    interrupts: &Interrupts,
    take: impl FnMut(&Batch) -> Result<(), Failure>,
) -> Result<Driven, Failure> {
    drive_on(session, interrupts, take, || None)
}

/// The same; `look` is asked again and again for another signal that shall end the run.
pub fn drive_on(
    session: &Session,
    interrupts: &Interrupts,
    mut take: impl FnMut(&Batch) -> Result<(), Failure>,
    mut look: impl FnMut() -> Option<i32>,
) -> Result<Driven, Failure> {
    let mut interrupted = None;
    loop {
        if interrupted.is_none() {
            interrupted = interrupts.asked().or_else(&mut look);
            if interrupted.is_some() {
                session.send(Command::End);
            }
        }
        match session.updates().recv_timeout(TICK) {
            Ok(Update::Batch(batch)) => take(&batch)?,
            Ok(Update::Ended(ending)) => return Ok(Driven { ending, interrupted }),
            Ok(Update::Status(_)) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::machine("the run failed: the tracer's thread ended early; please report it"));
            }
        }
    }
}
