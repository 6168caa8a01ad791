//! What waits in a stream of the C library when a process forks: the child has a copy of the buffer, and both
//! will write it (fork(2), stdio(3)).
//!
//! Of what a child writes nobody could say later whether it stood in a buffer at the fork. So the streams are
//! looked for then, in the data of the program and of the C library and in the heap. A stream of glibc begins
//! with a number that nothing else begins with.

use rustc_hash::FxHashMap as HashMap;

use crate::sys::{memory, procfs};

/// How many bytes of one stretch of memory are looked through.
const STRETCH: u64 = 1 << 20;
/// So many at once; where so many are zero, nothing has ever stood behind them.
const CHUNK: usize = 8 << 10;
/// How many streams of one process are kept.
const STREAMS: usize = 16;
/// How many bytes of what waits are kept, to be compared.
const COMPARED: usize = 256;
/// `_IO_MAGIC` of the C library's `libio.h`, in the upper half of the flags with which a `FILE` begins.
const MAGIC: u32 = 0xfbad_0000;
/// `_IO_CURRENTLY_PUTTING`: it is being written to.
const PUTTING: u32 = 0x800;
/// Where the fields of a `FILE` stand: its flags, `_IO_write_base`, `_IO_write_ptr`, `_IO_buf_base`, `_IO_buf_end`.
const FIELDS: [usize; 5] = [0, 32, 40, 56, 64];
const FILE: usize = 72;

/// What waited in the streams of all processes at their fork, by TID.
#[derive(Debug, Default)]
pub struct Copies {
    of: HashMap<i32, Vec<Waiting>>,
}

/// What waits in one stream.
#[derive(Debug)]
struct Waiting {
    address: u64,
    length: u64,
    start: Vec<u8>,
}

impl Copies {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Looks for streams in `maker`, which stands at its fork of `child`.
    pub fn take(&mut self, maker: i32, child: i32) {
        let mut found = Vec::new();
        for range in procfs::data_and_heap(maker) {
            look_through(maker, range.start..range.end.min(range.start.saturating_add(STRETCH)), &mut found);
        }
        if !found.is_empty() {
            self.of.insert(child, found);
        }
    }

    /// The process has another program, or has ended.
    pub fn forget(&mut self, tid: i32) {
        self.of.remove(&tid);
    }

    /// `tid` has written `length` bytes from `address`: how many of them, from the first on, waited there when it
    /// was forked, if they are what it has written now.
    pub fn written(&mut self, tid: i32, address: u64, length: u64) -> Option<u64> {
        let all = self.of.get_mut(&tid)?;
        let at = all.iter().position(|waiting| waiting.address == address)?;
        let waiting = all.swap_remove(at);
        if all.is_empty() {
            self.forget(tid);
        }
        let mut now = [0; COMPARED];
        let now = &mut now[..waiting.start.len()];
        let read = memory::read(tid, address, now).unwrap_or(0);
        (length >= waiting.length && now[..read] == waiting.start[..]).then_some(waiting.length)
    }
}

fn look_through(tid: i32, range: std::ops::Range<u64>, found: &mut Vec<Waiting>) {
    // A stream that begins in one chunk may end in the next.
    let mut chunk = [0; CHUNK + FILE];
    for address in range.clone().step_by(CHUNK) {
        let room = (range.end - address).min(chunk.len() as u64) as usize;
        let read = memory::read(tid, address, &mut chunk[..room]).unwrap_or(0);
        let known = &chunk[..read];
        if known.iter().all(|byte| *byte == 0) {
            return;
        }
        for at in (0..read.min(CHUNK)).step_by(8) {
            let is_stream = known.get(at + 2..at + 4).is_some_and(|magic| magic == [0xad, 0xfb]);
            if is_stream && found.len() < STREAMS {
                found.extend(known.get(at..at + FILE).and_then(|file| waiting(tid, file)));
            }
        }
    }
}

/// What waits in a stream that is written to.
fn waiting(tid: i32, file: &[u8]) -> Option<Waiting> {
    let word = |at: usize| file.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
    let [flags, base, next, buffer, end] = FIELDS.map(word);
    let (flags, base, next, buffer, end) = (flags? as u32, base?, next?, buffer?, end?);
    let is_written = flags & 0xffff_0000 == MAGIC && flags & PUTTING != 0;
    if !is_written || base == 0 || base != buffer || next <= base || next > end {
        return None;
    }
    let mut start = vec![0; ((next - base) as usize).min(COMPARED)];
    let read = memory::read(tid, base, &mut start).ok()?;
    (read == start.len()).then_some(Waiting { address: base, length: next - base, start })
}
