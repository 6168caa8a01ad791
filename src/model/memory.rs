//! What is known of the bytes of a segment, and who changed them last.
//!
//! Segments can be large, and copies of a world must be cheap: bytes are kept in small pages that are
//! shared between copies, and only where something was ever seen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::TaskId;

/// Bytes a page.
const PAGE: u64 = 256;
/// How many changes are remembered.
const CHANGES: usize = 16;
/// How many pages are kept, at most: 1 MiB of a segment.
const PAGES: usize = 4096;

type Page = [u8; PAGE as usize];

/// The bytes of a segment. What was never seen is zero, as a new segment is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    pages: BTreeMap<u64, Arc<Page>>,
    changes: VecDeque<Change>,
}

/// One change of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Where, in bytes from the start of the segment.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Who did it.
    pub by: TaskId,
    /// The number of the event.
    pub seq: u64,
}

impl Memory {
    /// Takes a change in.
    pub(super) fn store(&mut self, by: TaskId, seq: u64, offset: u64, bytes: &[u8]) {
        for (at, byte) in (offset..u64::MAX).zip(bytes) {
            let page = at / PAGE;
            if self.pages.len() >= PAGES && !self.pages.contains_key(&page) {
                continue;
            }
            let page = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE as usize]));
            Arc::make_mut(page)[(at % PAGE) as usize] = *byte;
        }
        if self.changes.len() == CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { offset, bytes: bytes.len() as u64, by, seq });
    }

    /// The bytes from `offset` on.
    pub fn read(&self, offset: u64, bytes: usize) -> Vec<u8> {
        let mut out = vec![0; bytes];
        let mut at = offset;
        let mut rest = out.as_mut_slice();
        while !rest.is_empty() {
            let from = (at % PAGE) as usize;
            let (part, after) = rest.split_at_mut((PAGE as usize - from).min(rest.len()));
            if let Some(page) = self.pages.get(&(at / PAGE)) {
                part.copy_from_slice(&page[from..from + part.len()]);
            }
            at = at.saturating_add(part.len() as u64);
            rest = after;
        }
        out
    }

    /// The last changes, oldest first.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = &Change> + ExactSizeIterator {
        self.changes.iter()
    }

    /// Where anything was ever seen: the first byte of each page of 256, in order.
    pub fn known(&self) -> impl Iterator<Item = u64> {
        self.pages.keys().map(|page| page * PAGE)
    }

    /// A measure of how much memory a copy takes, in bytes.
    pub fn weight(&self) -> usize {
        self.pages.len() * size_of::<(u64, Arc<Page>)>() + self.changes.len() * size_of::<Change>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_across_pages() {
        let mut memory = Memory::default();
        let by = TaskId::from_index(1);
        memory.store(by, 7, 254, b"abcd");
        assert_eq!(memory.read(252, 8), b"\0\0abcd\0\0");
        assert_eq!(memory.known().collect::<Vec<_>>(), [0, 256]);
        assert_eq!(memory.changes().next(), Some(&Change { offset: 254, bytes: 4, by, seq: 7 }));
    }

    #[test]
    fn only_the_last_changes_are_remembered() {
        let mut memory = Memory::default();
        for seq in 0..100 {
            memory.store(TaskId::from_index(1), seq, seq * 8, &seq.to_le_bytes());
        }
        assert_eq!((memory.changes().len(), memory.changes().next().map(|change| change.seq)), (16, Some(84)));
        assert_eq!(memory.read(8 * 50, 8), 50_u64.to_le_bytes());
    }
}
