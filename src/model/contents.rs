//! What waits inside a channel: bytes in a row, or messages.

use std::collections::VecDeque;

use super::{Mark, TaskId};

/// A stretch of a channel's contents that came from one task; of a channel that keeps them apart, one
/// message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// How many bytes.
    pub len: u64,
    /// Of how many, from its start, the value is known.
    pub known: u32,
    /// Who wrote them.
    pub from: TaskId,
    /// What a message carries besides its bytes.
    pub mark: Mark,
}

/// Bytes that wait in a channel: how many is exact; of long transfers only the start is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    len: u64,
    /// Bytes that were taken out before the log says that they were put in: two processes that run
    /// freely are reported in no certain order.
    owed: u64,
    /// The same, message by message.
    early: Vec<Mark>,
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
        let run = Run { len, known: known.len() as u32, from, mark: Mark::None };
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

    /// Adds a message, which may be empty, behind all others: or, of those with priorities, behind all
    /// that have at least the same.
    pub fn put(&mut self, from: TaskId, len: u64, known: &[u8], mark: Mark) {
        if let Some(at) = self.early.iter().position(|early| *early == mark || *early == Mark::None) {
            self.early.remove(at);
            return;
        }
        let known = &known[..known.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
        let at = match mark {
            Mark::Priority(_) => self.runs.iter().position(|run| run.mark < mark).unwrap_or(self.runs.len()),
            _ => self.runs.len(),
        };
        let before = self.known_before(at);
        self.known.extend(known);
        // A message in the middle goes there with its bytes.
        let moved = self.known.len() - known.len() - before;
        if moved > 0 {
            let tail = &mut self.known.make_contiguous()[before..];
            tail.rotate_left(moved);
        }
        self.len = self.len.saturating_add(len);
        self.runs.insert(at, Run { len, known: known.len() as u32, from, mark });
    }

    /// Takes the first message with this mark out; without one, the first. If there is none, its writer's
    /// event is still to come.
    pub fn take(&mut self, mark: Mark) {
        match self.find(mark) {
            Some(at) => self.remove(at),
            None => self.early.push(mark),
        }
    }

    fn find(&self, mark: Mark) -> Option<usize> {
        match mark {
            Mark::Type(_) | Mark::Priority(_) | Mark::Peer(_) => self.runs.iter().position(|run| run.mark == mark),
            Mark::None => (!self.runs.is_empty()).then_some(0),
        }
    }

    /// Who wrote what comes out next, of messages with marks the next with this one.
    pub fn source(&self, mark: Mark) -> Option<TaskId> {
        self.runs.get(self.find(mark)?).map(|run| run.from)
    }

    /// Takes the last message out, if there is one: it was put in and then thrown away.
    pub fn take_last(&mut self) {
        if let Some(last) = self.runs.len().checked_sub(1) {
            self.remove(last);
        }
    }

    fn remove(&mut self, at: usize) {
        let before = self.known_before(at);
        if let Some(run) = self.runs.remove(at) {
            self.known.drain(before..before + run.known as usize);
            // What was said to be written may be more than can be counted.
            self.len = self.len.saturating_sub(run.len);
        }
    }

    fn known_before(&self, at: usize) -> usize {
        self.runs.iter().take(at).map(|run| run.known as usize).sum()
    }

    /// How many messages or stretches wait.
    pub fn count(&self) -> usize {
        self.runs.len()
    }

    /// The messages or stretches with what is known of their bytes, oldest first.
    pub fn messages(&self) -> impl Iterator<Item = (Run, Vec<u8>)> {
        let mut at = 0;
        self.runs.iter().map(move |run| {
            let known = self.known.iter().skip(at).take(run.known as usize).copied().collect();
            at += run.known as usize;
            (*run, known)
        })
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
    fn more_than_can_be_counted_is_no_harm() {
        let mut queue = Contents::default();
        for _ in 0..2 {
            queue.put(A, u64::MAX, b"x", Mark::Type(1));
        }
        queue.take(Mark::Type(1));
        queue.take(Mark::Type(1));
        assert_eq!(queue, Contents::default());
    }

    #[test]
    fn messages_come_out_by_their_marks() {
        let mut queue = Contents::default();
        for (kind, text) in [(1, "a"), (2, "bb"), (1, "ccc")] {
            queue.put(A, text.len() as u64, text.as_bytes(), Mark::Type(kind));
        }
        queue.take(Mark::Type(2));
        let left: Vec<_> = queue.messages().map(|(_, text)| text).collect();
        assert_eq!((left, queue.len()), (vec![b"a".to_vec(), b"ccc".to_vec()], 4));
        queue.take(Mark::Type(1));
        queue.take(Mark::Type(1));
        assert_eq!(queue, Contents::default());
        queue.take(Mark::Type(9));
        queue.put(A, 1, b"x", Mark::Type(9));
        assert_eq!(queue, Contents::default());
    }

    #[test]
    fn datagrams_come_out_by_their_senders_in_order() {
        let sym = |index| Mark::Peer(crate::model::Sym::from_index(index));
        let mut inbox = Contents::default();
        inbox.put(A, 1, b"a", sym(1));
        inbox.put(B, 0, b"", sym(2));
        inbox.put(A, 1, b"c", sym(1));
        inbox.take(sym(2));
        inbox.take(Mark::None);
        assert_eq!(inbox.prefix(9), (b"c".to_vec(), false));
        // Taken out before it was seen going in: from whom, only its sender says.
        inbox.take(sym(1));
        inbox.take(Mark::None);
        inbox.put(B, 1, b"x", sym(2));
        assert_eq!(inbox, Contents::default());
    }

    #[test]
    fn higher_priorities_stand_first_and_equal_ones_in_order() {
        let mut queue = Contents::default();
        for (priority, text) in [(1, "low"), (9, "high"), (1, "later"), (5, ""), (9, "second")] {
            queue.put(A, text.len() as u64, text.as_bytes(), Mark::Priority(priority));
        }
        let texts = |queue: &Contents| queue.messages().map(|(_, text)| text).collect::<Vec<_>>().join(&b'|');
        assert_eq!(texts(&queue), b"high|second||low|later");
        queue.take(Mark::Priority(5));
        queue.take_last();
        assert_eq!(texts(&queue), b"high|second|low");
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
