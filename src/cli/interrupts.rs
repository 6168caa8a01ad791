//! Signals that ask the lab to end while something runs: so that the run is ended, and what was recorded is
//! written, by the ordinary way.

use super::Failure;
use crate::sys::requests::{self, Busy};

/// Who the keys of the terminal are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// The lab: Ctrl-C ends the run.
    Lab,
    /// The program on the bench, which gets the same signal from the terminal: the lab goes on until
    /// that has decided what to do.
    Program,
}

/// Listens as long as it lives; before and after, a signal ends the lab at once.
#[derive(Debug)]
pub struct Interrupts {
    _busy: Busy,
}

impl Interrupts {
    /// Listens from now on. A signal that was ignored when the lab was started, as under nohup(1),
    /// stays ignored. The same signal a second time ends the lab at once.
    pub fn listen(keys: Keys) -> Result<Self, Failure> {
        let busy = Busy::begin();
        requests::listen().map_err(|error| Failure::machine(format!("cannot listen to signals: {error}")))?;
        requests::leave_keys_to_program(keys == Keys::Program);
        Ok(Self { _busy: busy })
    }

    /// The signal that asked for the end, if one did.
    #[expect(clippy::unused_self, reason = "who asks must be listening")]
    pub fn asked(&self) -> Option<i32> {
        requests::asked()
    }

    /// Whose the keys are from now on. Those that were left to the program before are forgotten.
    #[expect(clippy::unused_self, reason = "who says so must be listening")]
    pub fn give_keys(&self, keys: Keys) {
        requests::leave_keys_to_program(keys == Keys::Program);
        requests::key();
    }

    /// The signal of a key that was left to the program since the last time.
    #[expect(clippy::unused_self, reason = "who asks must be listening")]
    pub fn key(&self) -> Option<i32> {
        requests::key()
    }
}
