//! Signals that ask the lab to end: they raise a flag, so that the run is ended, and what was
//! recorded is written, by the ordinary way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;

use super::Failure;
use crate::model::{Signal, SignalSet};
use crate::sys::procfs;

/// Who the keys of the terminal are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// The lab: Ctrl-C ends the run.
    Lab,
    /// The program on the bench, which gets the same signal from the terminal: the lab goes on until
    /// that has decided what to do.
    Program,
}

/// The flags.
#[derive(Debug)]
pub struct Interrupts {
    asked: Vec<(i32, Arc<AtomicBool>)>,
}

impl Interrupts {
    /// Listens from now on. A signal that was ignored when the lab was started, as under nohup(1),
    /// stays ignored. A second SIGINT or SIGTERM ends the lab at once.
    pub fn listen(keys: Keys) -> Result<Self, Failure> {
        let ignored = procfs::status(std::process::id() as i32).map_or(SignalSet(0), |status| status.ignored);
        let is_ignored = |number: i32| Signal::new(number).is_some_and(|signal| ignored.contains(signal));
        let failed = |error| Failure::machine(format!("cannot handle signals: {error}"));
        let mut asked = Vec::new();
        for number in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] {
            if is_ignored(number) {
                continue;
            }
            let seen = Arc::new(AtomicBool::new(false));
            if keys == Keys::Lab || matches!(number, SIGTERM | SIGHUP) {
                asked.push((number, Arc::clone(&seen)));
                // A hangup can come twice, from the terminal and from the shell; it is not meant twice.
                if matches!(number, SIGTERM | SIGINT) {
                    flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&seen)).map_err(failed)?;
                }
            }
            flag::register(number, seen).map_err(failed)?;
        }
        Ok(Self { asked })
    }

    /// The signal that asked for the end, if one did.
    pub fn asked(&self) -> Option<i32> {
        self.asked.iter().find(|(_, seen)| seen.load(Ordering::Relaxed)).map(|(number, _)| *number)
    }
}
