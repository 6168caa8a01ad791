//! Searching the events, a slice at a time: a long log must not hold up the keys.

use super::App;

/// How many events are looked at between two looks at the keyboard.
const SLICE: usize = 10_000;

/// A search through the rows of the timeline.
#[derive(Debug, Default)]
pub struct Find {
    /// What is sought, in lower case.
    pub needle: String,
    /// What came of it, for the message line.
    pub missed: bool,
    scan: Option<Scan>,
}

/// A search that is not over.
#[derive(Debug, Clone, Copy)]
struct Scan {
    /// The row to look at next.
    at: usize,
    forward: bool,
    left: usize,
}

impl Find {
    /// Whether it is still at it.
    pub const fn is_busy(&self) -> bool {
        self.scan.is_some()
    }

    /// Gives up.
    pub fn cancel(&mut self) {
        self.scan = None;
    }
}

impl App {
    /// Begins to look for the next match after the cursor, or for the last one before it.
    pub(in crate::tui) fn find(&mut self, forward: bool) {
        let rows = self.index.rows().len();
        if self.find.needle.is_empty() || rows == 0 {
            return;
        }
        let last = self.row().checked_sub(1);
        let at = match (last, forward) {
            (None, true) => 0,
            (None, false) => rows - 1,
            (Some(last), true) => (last + 1) % rows,
            (Some(last), false) => last.checked_sub(1).unwrap_or(rows - 1),
        };
        self.find.missed = false;
        self.find.scan = Some(Scan { at, forward, left: rows });
        self.find_on();
    }

    /// Goes on looking.
    pub(in crate::tui) fn find_on(&mut self) {
        let Some(mut scan) = self.find.scan.take() else { return };
        let rows = self.index.rows();
        if rows.is_empty() {
            return;
        }
        for _ in 0..SLICE.min(scan.left) {
            let seq = u64::from(rows[scan.at % rows.len()]);
            if self.matches(seq) {
                self.seek_event(seq + 1);
                return;
            }
            let step = if scan.forward { 1 } else { rows.len() - 1 };
            scan.at = (scan.at + step) % rows.len();
            scan.left -= 1;
        }
        if scan.left == 0 {
            self.find.missed = true;
        } else {
            self.find.scan = Some(scan);
        }
    }

    /// Whether an event's line holds what is sought.
    pub fn matches(&self, seq: u64) -> bool {
        !self.find.needle.is_empty()
            && self
                .log
                .get(seq)
                .is_some_and(|event| self.words().full(seq, event).to_lowercase().contains(&self.find.needle))
    }
}
