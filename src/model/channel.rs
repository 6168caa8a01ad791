//! A channel as the fold knows it: totals, and what is inside.

use std::collections::VecDeque;

use super::{ChannelId, ChannelKind, Sym, TaskId};

/// Anything that processes can meet at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its identity.
    pub id: ChannelId,
    /// What it is.
    pub kind: ChannelKind,
    /// Its name.
    pub name: Sym,
    /// How many bytes it holds at most; 0 where that means nothing.
    pub capacity: u64,
    /// Whether it still exists.
    pub alive: bool,
    /// Descriptors in the run through which bytes may come out.
    pub readers: u32,
    /// Descriptors in the run through which bytes may go in.
    pub writers: u32,
    /// Descriptors in the run, those that can do neither included.
    pub holders: u32,
    /// Bytes that tasks of the run wrote, ever.
    pub written: u64,
    /// Bytes that tasks of the run read, ever.
    pub read: u64,
    /// What was written and not yet read; only for kinds that queue.
    pub contents: Contents,
}

impl Channel {
    /// How full it is, from 0 to 1; `None` where it has no bound.
    pub fn fullness(&self) -> Option<f64> {
        (self.capacity > 0).then(|| (self.contents.len() as f64 / self.capacity as f64).min(1.0))
    }
}

/// A stretch of a channel's contents that came from one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// How many bytes.
    pub len: u64,
    /// Of how many, from its start, the value is known.
    pub known: u32,
    /// Who wrote them.
    pub from: TaskId,
}

/// Bytes that wait in a channel: how many is exact; of long transfers only the start is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    len: u64,
    /// Bytes that were taken out before the log says that they were put in: two processes that run
    /// freely are reported in no certain order.
    owed: u64,
    runs: VecDeque<Run>,
    known: VecDeque<u8>,
}

impl Contents {
    /// How many bytes wait.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds `len` bytes that `from` wrote, of which the first are `known`.
    pub fn push(&mut self, from: TaskId, len: u64, known: &[u8]) {
        if len == 0 {
            return;
        }
        let known = &known[..known.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
        let paid = self.owed.min(len);
        self.owed -= paid;
        let len = len - paid;
        if len == 0 {
            return;
        }
        let known = known.get(usize::try_from(paid).unwrap_or(usize::MAX)..).unwrap_or(&[]);
        self.len = self.len.saturating_add(len);
        self.known.extend(known);
        let run = Run { len, known: known.len() as u32, from };
        match self.runs.back_mut() {
            Some(last) if last.from == from && u64::from(last.known) == last.len => {
                last.len += run.len;
                last.known += run.known;
            }
            _ => self.runs.push_back(run),
        }
    }

    /// Takes the `len` oldest bytes out. If there are fewer, the rest is `owing` from a writer whose
    /// event is still to come, or else was written by somebody outside of the run.
    pub fn pop(&mut self, len: u64, owing: bool) {
        let mut left = len.min(self.len);
        if owing {
            self.owed = self.owed.saturating_add(len - left);
        }
        self.len -= left;
        while left > 0 {
            let Some(first) = self.runs.front_mut() else { break };
            let taken = left.min(first.len);
            let known = u64::from(first.known).min(taken) as usize;
            self.known.drain(..known.min(self.known.len()));
            first.len -= taken;
            first.known -= known as u32;
            left -= taken;
            if first.len == 0 {
                self.runs.pop_front();
            }
        }
    }

    /// The stretches, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        self.runs.iter().copied()
    }

    /// At most `limit` known bytes from the start, and whether a byte before the end of what was
    /// returned is not known.
    pub fn prefix(&self, limit: usize) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let mut source = self.known.iter();
        for run in &self.runs {
            let room = limit - bytes.len();
            bytes.extend(source.by_ref().take((run.known as usize).min(room)));
            if bytes.len() == limit {
                return (bytes, false);
            }
            if u64::from(run.known) < run.len {
                return (bytes, true);
            }
        }
        (bytes, false)
    }

    /// A measure of how much memory a copy takes, in bytes.
    pub fn weight(&self) -> usize {
        self.known.len() + self.runs.len() * size_of::<Run>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TaskId = TaskId::from_index(1);
    const B: TaskId = TaskId::from_index(2);

    #[test]
    fn bytes_come_out_in_order() {
        let mut contents = Contents::default();
        contents.push(A, 3, b"abc");
        contents.push(B, 2, b"de");
        contents.pop(2, false);
        assert_eq!(contents.prefix(10), (b"cde".to_vec(), false));
        assert_eq!(contents.len(), 3);
        contents.pop(100, false);
        assert!(contents.is_empty());
        assert_eq!(contents, Contents::default());
    }

    #[test]
    fn what_was_read_before_its_write_is_reported_is_made_good() {
        let mut contents = Contents::default();
        contents.pop(3, true);
        contents.push(A, 5, b"hello");
        assert_eq!(contents.prefix(10), (b"lo".to_vec(), false));
        contents.pop(2, true);
        assert_eq!(contents, Contents::default());
    }

    #[test]
    fn a_gap_is_said() {
        let mut contents = Contents::default();
        contents.push(A, 1000, b"start");
        contents.push(A, 2, b"xy");
        assert_eq!(contents.prefix(10), (b"start".to_vec(), true));
        contents.pop(999, false);
        assert_eq!(contents.prefix(10), (Vec::new(), true));
        contents.pop(1, false);
        assert_eq!(contents.prefix(10), (b"xy".to_vec(), false));
    }

    #[test]
    fn many_small_writes_are_one_run() {
        let mut contents = Contents::default();
        for _ in 0..1000 {
            contents.push(A, 1, b"x");
        }
        assert_eq!(contents.runs().count(), 1);
    }
}
