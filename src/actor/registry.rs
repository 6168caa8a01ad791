//! Who is who: the PIDs of the scenario's processes by name, shared between all of them.
//!
//! A process can only name its own children by what `fork` told it; a scenario names any. The table is
//! written by maker and child alike, whoever runs first, with the same number.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::scenario::{MAX_PROCESSES, ProcessId};
use crate::sys::call;

/// How many processes of one name are remembered.
const INSTANCES: usize = 256;

/// The table, in memory that all processes of the scenario share.
#[derive(Debug)]
pub struct Registry {
    counts: &'static [AtomicI32],
    pids: &'static [AtomicI32],
}

/// A place in the table that waits for its PID.
#[derive(Debug, Clone, Copy)]
pub struct Place(Option<usize>);

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        let table = call::shared_table(MAX_PROCESSES * (INSTANCES + 1));
        let (counts, pids) = table.split_at(table.len().min(MAX_PROCESSES));
        Self { counts, pids }
    }

    /// The place of the next process with this name; to be taken before it is forked.
    pub fn reserve(&self, name: ProcessId) -> Place {
        let instance = self.counts.get(name.index()).map(|count| count.fetch_add(1, Ordering::SeqCst) as usize);
        Place(instance.filter(|instance| *instance < INSTANCES).map(|instance| name.index() * INSTANCES + instance))
    }

    /// Fills a place.
    pub fn enter(&self, place: Place, pid: i32) {
        if let Some(slot) = place.0.and_then(|place| self.pids.get(place)) {
            slot.store(pid, Ordering::SeqCst);
        }
    }

    /// The PID of the `instance`th process with this name, from 1; `None` if there was none yet.
    pub fn pid(&self, name: ProcessId, instance: usize) -> Option<i32> {
        let place = name.index() * INSTANCES + instance.checked_sub(1).filter(|place| *place < INSTANCES)?;
        self.pids.get(place).map(|slot| slot.load(Ordering::SeqCst)).filter(|pid| *pid > 0)
    }
}
