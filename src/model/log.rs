//! The log: events in the order in which they happened, and the way to any point of it.
//!
//! The engine sends [`Batch`]es; a [`Log`] keeps them, folds them, and keeps a copy of the world
//! every few thousand events. A seek folds at most that many: with about 0.1 µs an event it stays
//! far below what a person can notice.

use std::sync::Arc;

use super::{Blob, Event, Names, Sym, World};

/// What a recording says before its first event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The version of proclab that made it.
    pub version: String,
    /// The scenario's name (`pipes/one-pipe`), if one was run.
    pub scenario: Option<String>,
    /// The text of the scenario file, so that a recording can be read without it.
    pub source: Option<String>,
    /// The command line, if a foreign program was run.
    pub command: Option<Vec<String>>,
    /// The kernel's release.
    pub kernel: String,
    /// The machine's architecture.
    pub arch: String,
    /// The scheduler's seed.
    pub seed: u64,
    /// `serial` or `free`.
    pub mode: String,
    /// The name of [`TaskId::LAB`](super::TaskId::LAB).
    pub lab: String,
    /// Its PID as the processes of the run see it; 0 where they cannot see it.
    pub lab_pid: i32,
}

/// Events on their way from the engine to a log.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The events.
    pub events: Vec<Event>,
    /// Their payload; the first byte stands at [`bytes_at`](Self::bytes_at) of the log.
    pub bytes: Vec<u8>,
    /// See [`bytes`](Self::bytes).
    pub bytes_at: u64,
    /// The strings that are new since the last batch, in order.
    pub names: Vec<Arc<str>>,
}

impl Batch {
    /// Whether it brings nothing.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.names.is_empty()
    }
}

/// Events a chunk. Chunks never move, so a growing log is never copied.
const CHUNK: usize = 4096;
/// Payload bytes a chunk.
const BYTES: usize = 1 << 20;
/// Events between two kept worlds, at least.
const SNAPSHOT: u64 = 4096;

/// All events of a run, and the world after the last of them.
#[derive(Debug, Clone)]
pub struct Log {
    header: Header,
    events: Vec<Vec<Event>>,
    bytes: Vec<(u64, Vec<u8>)>,
    names: Names,
    snapshots: Vec<World>,
    head: World,
    start: World,
}

impl Log {
    /// A log without events.
    pub fn new(header: Header) -> Self {
        let mut names = Names::default();
        let start = World::new(names.intern(&header.lab), header.lab_pid);
        Self { header, events: Vec::new(), bytes: Vec::new(), names, snapshots: Vec::new(), head: start.clone(), start }
    }

    /// What the recording says before its first event.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// How many events there are.
    pub const fn len(&self) -> u64 {
        self.head.applied()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `seq`th event, from 0.
    pub fn get(&self, seq: u64) -> Option<&Event> {
        let index = usize::try_from(seq).ok()?;
        self.events.get(index / CHUNK)?.get(index % CHUNK)
    }

    /// The events from `range.start` to `range.end`, with their numbers; both ends may lie outside.
    pub fn range(&self, range: std::ops::Range<u64>) -> impl DoubleEndedIterator<Item = (u64, &Event)> {
        (range.start..range.end.min(self.len())).filter_map(|seq| self.get(seq).map(|event| (seq, event)))
    }

    /// The string of a symbol.
    pub fn name(&self, sym: Sym) -> &str {
        self.names.get(sym)
    }

    /// All strings.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// The bytes of a blob; none for one of another log.
    pub fn bytes(&self, blob: Blob) -> &[u8] {
        if blob.is_empty() {
            return &[];
        }
        let chunk = self.bytes.partition_point(|(at, _)| *at <= blob.at);
        let Some((at, bytes)) = chunk.checked_sub(1).and_then(|index| self.bytes.get(index)) else { return &[] };
        let from = (blob.at - at) as usize;
        bytes.get(from..from + blob.len as usize).unwrap_or(&[])
    }

    /// The payload of an event.
    pub fn payload(&self, event: &Event) -> &[u8] {
        self.bytes(event.kind.blob())
    }

    /// The world after the last event.
    pub const fn head(&self) -> &World {
        &self.head
    }

    /// The world after the first `count` events; after all of them, if there are fewer.
    pub fn world_at(&self, count: u64) -> World {
        if count >= self.len() {
            return self.head.clone();
        }
        let after = self.snapshots.partition_point(|world| world.applied() <= count);
        let from = after.checked_sub(1).map_or(&self.start, |index| &self.snapshots[index]);
        let mut world = from.clone();
        for (_, event) in self.range(world.applied()..count) {
            world.apply(event, self.payload(event));
        }
        world
    }

    /// Adds a batch, which must be the next one.
    pub fn append(&mut self, batch: &Batch) {
        for name in &batch.names {
            self.names.intern(name);
        }
        if !batch.bytes.is_empty() {
            self.append_bytes(batch.bytes_at, &batch.bytes);
        }
        for event in &batch.events {
            if self.events.last().is_none_or(|chunk| chunk.len() == CHUNK) {
                self.events.push(Vec::with_capacity(CHUNK));
            }
            if let Some(chunk) = self.events.last_mut() {
                chunk.push(*event);
            }
            self.fold(event);
        }
    }

    /// A batch's bytes stay together, so that a blob never spans two chunks.
    fn append_bytes(&mut self, at: u64, bytes: &[u8]) {
        let fits = self.bytes.last().is_some_and(|(start, chunk)| {
            start + chunk.len() as u64 == at && chunk.len() + bytes.len() <= chunk.capacity()
        });
        if !fits {
            self.bytes.push((at, Vec::with_capacity(bytes.len().max(BYTES))));
        }
        if let Some((_, chunk)) = self.bytes.last_mut() {
            chunk.extend_from_slice(bytes);
        }
    }

    fn fold(&mut self, event: &Event) {
        let blob = event.kind.blob();
        let chunk = self.bytes.last().filter(|(at, _)| *at <= blob.at && !blob.is_empty());
        let payload = chunk.and_then(|(at, bytes)| {
            let from = (blob.at - at) as usize;
            bytes.get(from..from + blob.len as usize)
        });
        self.head.apply(event, payload.unwrap_or(&[]));
        // A crowded world is kept less often: copies stay below 16 bytes an event.
        let spacing = SNAPSHOT.max(self.head.weight() as u64 / 16);
        let last = self.snapshots.last().map_or(0, World::applied);
        if self.head.applied() - last >= spacing {
            self.snapshots.push(self.head.clone());
        }
    }
}

/// Makes batches: what the engine and the reader of recordings write with.
#[derive(Debug)]
pub struct Pen {
    names: Names,
    sent_names: usize,
    batch: Batch,
    world: World,
}

impl Pen {
    /// A pen for a log with this header. The lab's name is the first symbol of both.
    pub fn new(header: &Header) -> Self {
        let mut names = Names::default();
        let world = World::new(names.intern(&header.lab), header.lab_pid);
        Self { sent_names: names.len(), names, batch: Batch::default(), world }
    }

    /// The symbol of a string.
    pub fn intern(&mut self, text: &str) -> Sym {
        self.names.intern(text)
    }

    /// All strings so far.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// The world after the last event written.
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// The number that the next event will have.
    pub const fn next_seq(&self) -> u64 {
        self.world.applied()
    }

    /// The events that wait to be taken.
    pub fn untaken(&self) -> &[Event] {
        &self.batch.events
    }

    /// Keeps payload bytes for an event that is about to be written.
    pub fn keep(&mut self, bytes: &[u8]) -> Blob {
        if bytes.is_empty() {
            return Blob::EMPTY;
        }
        let at = self.batch.bytes_at + self.batch.bytes.len() as u64;
        self.batch.bytes.extend_from_slice(bytes);
        Blob { at, len: bytes.len() as u32 }
    }

    /// The bytes of a blob that was kept since the last [`take`](Self::take).
    pub fn bytes(&self, blob: Blob) -> &[u8] {
        let Some(from) = blob.at.checked_sub(self.batch.bytes_at) else { return &[] };
        self.batch.bytes.get(from as usize..from as usize + blob.len as usize).unwrap_or(&[])
    }

    /// Writes an event, and returns its number.
    pub fn write(&mut self, event: Event) -> u64 {
        let seq = self.world.applied();
        let blob = event.kind.blob();
        let from = blob.at.saturating_sub(self.batch.bytes_at) as usize;
        let payload = self.batch.bytes.get(from..from + blob.len as usize).unwrap_or(&[]);
        self.world.apply(&event, payload);
        self.batch.events.push(event);
        seq
    }

    /// Takes what was written since the last time.
    pub fn take(&mut self) -> Batch {
        let names = self.names.since(self.sent_names).to_vec();
        self.sent_names = self.names.len();
        let bytes_at = self.batch.bytes_at + self.batch.bytes.len() as u64;
        let mut batch = std::mem::replace(&mut self.batch, Batch { bytes_at, ..Batch::default() });
        batch.names = names;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Access, ChannelId, ChannelKind, End, FdFlags, How, Kind, Shares, TaskId, Via};
    use super::*;

    fn pipe_log(writes: u64) -> Log {
        let header = Header { lab: "init".into(), lab_pid: 1, ..Header::default() };
        let mut pen = Pen::new(&header);
        let mut log = Log::new(header);
        let name = pen.intern("a");
        let task = TaskId::from_index(1);
        let channel = ChannelId::from_index(0);
        let at = |task, kind| Event { t_ns: 0, ret: 0, task, call: None, kind };
        let shares = Shares::default();
        pen.write(at(TaskId::LAB, Kind::Spawn { child: task, pid: 2, name, how: How::Fork, shares }));
        pen.write(at(
            task,
            Kind::Create { channel, kind: ChannelKind::Pipe, name, capacity: 65536, messages: false, found: false },
        ));
        let flags = FdFlags::default();
        pen.write(at(task, Kind::Open { fd: 3, channel, end: End::First, access: Access::ReadWrite, flags }));
        for n in 0..writes {
            let data = pen.keep(&n.to_le_bytes());
            pen.write(at(task, Kind::Write { channel, via: Via::Fd(3), bytes: 8, data }));
            if n % 2 == 1 {
                pen.write(at(task, Kind::Read { channel, via: Via::Fd(3), bytes: 16, data: Blob::EMPTY }));
            }
            if n % 7 == 0 {
                log.append(&pen.take());
            }
        }
        log.append(&pen.take());
        assert_eq!(log.head(), pen.world());
        log
    }

    #[test]
    fn every_prefix_folds_to_the_same_world_as_seeking() {
        let log = pipe_log(20_000);
        assert!(log.snapshots.len() > 3, "the test must cross snapshots");
        let mut world = log.start.clone();
        for (seq, event) in log.range(0..log.len()) {
            if seq % 997 == 0 || seq > log.len() - 5 {
                assert_eq!(world, log.world_at(seq), "at {seq}");
            }
            world.apply(event, log.payload(event));
        }
        assert_eq!(&world, log.head());
    }

    #[test]
    fn payload_is_found_again() {
        let log = pipe_log(300_000);
        let mut expected = 0_u64;
        for (_, event) in log.range(0..log.len()) {
            if let Kind::Write { data, .. } = event.kind {
                assert_eq!(log.bytes(data), expected.to_le_bytes());
                expected += 1;
            }
        }
        assert_eq!(expected, 300_000);
    }
}
