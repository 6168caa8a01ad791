//! Where things stand in the log, kept up to date as it grows.
//!
//! A frame may not cost more on a long log than on a short one. Whatever a pane would have to look
//! for event by event is noted here once, when the event comes in.

use crate::model::{
    Access, Action, Batch, ChannelId, ChannelKind, Disposition, Event, Header, Kind, Log, Names, Phase, Signal, TaskId,
    Via, Weight, World,
};

/// Which of the standard streams something went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// `stdout`.
    Out,
    /// `stderr`.
    Error,
}

/// How many of the tasks that used a channel are remembered, on each side.
const USERS: usize = 4;

/// Who wrote to a channel and who read from it, in the order in which they first did; of sockets, who
/// connected and who listened last.
#[derive(Debug, Clone, Default)]
struct Users {
    writers: Vec<TaskId>,
    readers: Vec<TaskId>,
    connected: Option<TaskId>,
    listens: Option<TaskId>,
}

/// How a signal was met when a phase of its life was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reception {
    /// What was done about it.
    pub disposition: Disposition,
    /// `sa_flags` of its handler (sigaction(2)).
    pub flags: u32,
    /// Whether its handler got the stack of sigaltstack(2).
    pub alternate: bool,
    /// In the handler of which signal, whose action blocks it.
    pub within: Option<Signal>,
}

/// Numbers of events, by what one wants to find.
#[derive(Debug)]
pub struct Index {
    rows: Vec<u32>,
    of_task: Vec<Vec<u32>>,
    signals: Vec<Vec<(u32, u8)>>,
    receptions: Vec<(u32, Reception)>,
    faults: Vec<u32>,
    notes: Vec<u32>,
    output: Vec<u32>,
    ends: Vec<(u32, Access)>,
    streams: Vec<Option<Stream>>,
    users: Vec<Users>,
    others: Vec<(u32, TaskId)>,
    bursts: Vec<(u32, u32)>,
    last: Option<Event>,
    names: Names,
    world: World,
}

impl Index {
    /// The index of an empty log with this header.
    pub fn new(header: &Header) -> Self {
        let mut names = Names::default();
        let world = World::new(names.intern(&header.lab), header.lab_pid);
        Self {
            rows: Vec::new(),
            of_task: Vec::new(),
            signals: Vec::new(),
            receptions: Vec::new(),
            faults: Vec::new(),
            notes: Vec::new(),
            output: Vec::new(),
            ends: Vec::new(),
            streams: Vec::new(),
            users: Vec::new(),
            others: Vec::new(),
            bursts: Vec::new(),
            last: None,
            names,
            world,
        }
    }

    /// Takes the next batch of the log in.
    pub fn append(&mut self, batch: &Batch) {
        for name in &batch.names {
            self.names.intern(name);
        }
        for event in &batch.events {
            self.observe(event);
        }
    }

    /// Takes a whole log in, which must be this index's own.
    pub fn read(&mut self, log: &Log) {
        for name in log.names().since(self.names.len()) {
            self.names.intern(name);
        }
        for (_, event) in log.range(self.world.applied()..log.len()) {
            self.observe(event);
        }
    }

    fn observe(&mut self, event: &Event) {
        let seq = self.world.applied() as u32;
        match event.kind {
            Kind::Close { fd, .. } | Kind::Dup { fd, .. } => {
                if let Some(entry) = self.world.fd(event.task, fd) {
                    self.ends.push((seq, entry.access));
                }
            }
            Kind::Create { channel, name, .. } => {
                let stream = match self.names.get(name) {
                    "stdout" => Some(Stream::Out),
                    "stderr" => Some(Stream::Error),
                    _ => None,
                };
                self.note_stream(channel, stream);
            }
            Kind::Open { fd, channel, .. } if event.call.is_none() => self.note_inherited(event.task, fd, channel),
            Kind::Write { channel, .. } if !event.failed() => {
                if self.stream(channel).is_some() {
                    self.output.push(seq);
                }
                note_user(&mut at(&mut self.users, channel.index()).writers, event.task);
            }
            Kind::Read { channel, via, .. } if !event.failed() => {
                note_user(&mut at(&mut self.users, channel.index()).readers, event.task);
                self.note_other(seq, self.source(event.task, channel, via));
            }
            Kind::Listen { .. } | Kind::Connect { .. } | Kind::Accept { .. } if !event.failed() => {
                self.meet(seq, event);
            }
            Kind::Diagnosis { weight: Weight::Fault, .. } => self.faults.push(seq),
            Kind::Diagnosis { weight: Weight::Note, .. } => self.notes.push(seq),
            Kind::Signal { phase, signal, .. } => {
                self.note_life(seq, event.task);
                self.note_reception(seq, event.task, phase, signal);
            }
            Kind::Interrupted { .. } => self.note_life(seq, event.task),
            _ if self.is_handling(event.task) && self.is_row(event) => self.note_life(seq, event.task),
            _ => {}
        }
        if self.rows.is_empty() || self.is_row(event) {
            self.rows.push(seq);
            push_at(&mut self.of_task, event.task, seq);
        } else if self.goes_on_in_memory(event) {
            self.lengthen(seq);
        }
        self.last = Some(*event);
        self.world.apply(event, &[]);
    }

    /// Whether an event has a row of its own. What a process is born with belongs to its birth, and
    /// the descriptors that a call returns belong to the channel that it made.
    fn is_row(&self, event: &Event) -> bool {
        let newborn = || {
            let started = self.world.task(event.task).is_some_and(|task| task.line.is_some());
            event.call.is_none() && !started && self.of_task(event.task).is_empty()
        };
        match event.kind {
            Kind::Line { .. } => false,
            // The lab takes away what it captures; that is no step of the run.
            Kind::Read { .. } => event.task != TaskId::LAB,
            Kind::Create { .. } | Kind::Group { .. } | Kind::Control { .. } | Kind::Foreground { .. } => !newborn(),
            // The window that a terminal is made with.
            Kind::Window { channel, .. } => !self
                .last
                .is_some_and(|last| matches!(last.kind, Kind::Open { channel: opened, .. } if opened == channel)),
            Kind::Open { channel, .. } => !self.goes_on(event, channel) && !newborn(),
            Kind::Get { channel, .. } | Kind::Attach { channel, .. } => !self.goes_on(event, channel),
            // An address that became known by the way.
            Kind::Address { .. } => !self.last.is_some_and(|last| {
                let met = matches!(last.kind, Kind::Connect { .. } | Kind::Accept { .. } | Kind::Address { .. });
                let same = last.task == event.task && (event.call.is_none() || event.call == last.call);
                same && (met || matches!(last.kind, Kind::Open { .. }))
            }),
            Kind::Load { .. } | Kind::Store { .. } => !self.goes_on_in_memory(event),
            _ => true,
        }
    }

    /// Whether what a call returns belongs to the event before: the channel that it made, the
    /// connection that it accepted.
    fn goes_on(&self, event: &Event, channel: ChannelId) -> bool {
        self.last.is_some_and(|last| {
            let about = match last.kind {
                Kind::Accept { connection, .. } => Some(connection),
                kind => kind.channel(),
            };
            let made = matches!(last.kind, Kind::Create { .. } | Kind::Accept { .. });
            let more = last.call == event.call
                && matches!((last.kind, event.kind), (Kind::Open { .. } | Kind::Address { .. }, Kind::Open { .. }));
            last.task == event.task && about == Some(channel) && (made || more)
        })
    }

    /// Whether an access to memory belongs to the one before: the next bytes of a copy, or another
    /// look at the same ones by somebody who waits for them to change.
    fn goes_on_in_memory(&self, event: &Event) -> bool {
        let Some(last) = self.last.filter(|last| last.task == event.task) else { return false };
        match (last.kind, event.kind) {
            (Kind::Load { channel: before, offset: was, data: old }, Kind::Load { channel, offset, data }) => {
                let again = offset == was && data.len == old.len;
                before == channel && (again || offset == was.saturating_add(u64::from(old.len)))
            }
            (Kind::Store { channel: before, offset: was, data: old }, Kind::Store { channel, offset, .. }) => {
                before == channel && offset == was.saturating_add(u64::from(old.len / 2))
            }
            _ => false,
        }
    }

    /// One more access in the row of the last.
    fn lengthen(&mut self, seq: u32) {
        match self.bursts.last_mut() {
            Some((_, last)) if *last + 1 == seq => *last = seq,
            _ => self.bursts.push((seq.saturating_sub(1), seq)),
        }
    }

    /// The last of the accesses to memory that share the row of this event, if there are several.
    pub fn burst(&self, seq: u64) -> Option<u64> {
        let at = self.bursts.binary_search_by_key(&seq, |(first, _)| u64::from(*first)).ok()?;
        Some(u64::from(self.bursts[at].1))
    }

    /// Who wrote what is about to be read.
    fn source(&self, task: TaskId, channel: ChannelId, via: Via) -> Option<TaskId> {
        let end = via.fd().and_then(|fd| self.world.fd(task, fd)).filter(|fd| fd.channel == channel);
        let channel = self.world.channel(channel).filter(|it| it.carries(via))?;
        channel.inbox(end.map(|fd| fd.end).unwrap_or_default()).source(via.mark())
    }

    /// Who is at the other end of a call that brings sockets together.
    fn meet(&mut self, seq: u32, event: &Event) {
        let other = match event.kind {
            Kind::Listen { channel, .. } => {
                at(&mut self.users, channel.index()).listens = Some(event.task);
                None
            }
            Kind::Connect { channel, to, .. } => {
                at(&mut self.users, channel.index()).connected = Some(event.task);
                to.and_then(|to| self.users.get(to.index())?.listens)
            }
            Kind::Accept { connection, .. } => self.users.get(connection.index()).and_then(|users| users.connected),
            _ => None,
        };
        self.note_other(seq, other);
    }

    fn note_other(&mut self, seq: u32, other: Option<TaskId>) {
        if let Some(other) = other {
            self.others.push((seq, other));
        }
    }

    /// The task at the other end of an event: who wrote what is read, who listens where one connects,
    /// who connected what is accepted.
    pub fn other(&self, seq: u64) -> Option<TaskId> {
        let at = self.others.binary_search_by_key(&seq, |(at, _)| u64::from(*at)).ok()?;
        Some(self.others[at].1)
    }

    fn note_stream(&mut self, channel: ChannelId, stream: Option<Stream>) {
        if stream.is_some() {
            *at(&mut self.streams, channel.index()) = stream;
        }
    }

    /// A command that is recorded prints to what the lab has as its standard streams.
    fn note_inherited(&mut self, task: TaskId, fd: i32, channel: ChannelId) {
        let stream = match fd {
            1 => Stream::Out,
            2 => Stream::Error,
            _ => return,
        };
        let is_first = self.world.task(task).is_some_and(|task| task.parent == TaskId::LAB);
        let keeps = self.world.channel(channel).is_some_and(|channel| channel.kind != ChannelKind::Device);
        if is_first && keeps && self.stream(channel).is_none() {
            self.note_stream(channel, Some(stream));
        }
    }

    /// Which standard stream a channel is.
    pub fn stream(&self, channel: ChannelId) -> Option<Stream> {
        self.streams.get(channel.index()).copied().flatten()
    }

    /// Who wrote to a channel (or read from it): the first few who did.
    pub fn users(&self, channel: ChannelId, writers: bool) -> &[TaskId] {
        let users = self.users.get(channel.index());
        users.map_or(&[], |users| if writers { &users.writers } else { &users.readers })
    }

    /// The events that have a row in the timeline.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// How many rows stand before this event.
    pub fn rows_before(&self, seq: u64) -> usize {
        self.rows.partition_point(|row| u64::from(*row) < seq)
    }

    /// The rows of one task.
    pub fn of_task(&self, task: TaskId) -> &[u32] {
        self.of_task.get(task.index()).map_or(&[], Vec::as_slice)
    }

    /// The first row of a task at or after an event.
    pub fn next_of_task(&self, task: TaskId, seq: u64) -> Option<u64> {
        let rows = self.of_task(task);
        rows.get(rows.partition_point(|row| u64::from(*row) < seq)).map(|row| u64::from(*row))
    }

    /// The signal events of a task before an event, and what it did inside of handlers; with the number
    /// of handlers that it was in.
    pub fn signals_before(&self, task: TaskId, seq: u64) -> &[(u32, u8)] {
        let all = self.signals.get(task.index()).map_or(&[][..], Vec::as_slice);
        &all[..all.partition_point(|(known, _)| u64::from(*known) < seq)]
    }

    fn is_handling(&self, task: TaskId) -> bool {
        self.world.task(task).is_some_and(|task| !task.handling.is_empty())
    }

    fn note_life(&mut self, seq: u32, task: TaskId) {
        let depth = self.world.task(task).map_or(0, |task| task.handling.len()).min(usize::from(u8::MAX)) as u8;
        at(&mut self.signals, task.index()).push((seq, depth));
    }

    /// What only the world at this point tells about a phase. Ordinary receptions are not kept.
    fn note_reception(&mut self, seq: u32, task: TaskId, phase: Phase, signal: Signal) {
        let Some(keeper) = self.world.actions(task) else { return };
        let action = |signal| keeper.action(signal);
        let reception = match phase {
            Phase::Delivered | Phase::Ignored => {
                let Action { disposition, flags, .. } = action(signal);
                Reception { disposition, flags, ..Reception::default() }
            }
            Phase::Handler => {
                Reception { alternate: self.world.handles_on_altstack(task, signal), ..Reception::default() }
            }
            Phase::Pending | Phase::Coalesced => {
                let inner = self.world.task(task).and_then(|task| task.handling.last().copied());
                let blocks = |inner: &Signal| {
                    let Action { flags, mask, .. } = action(*inner);
                    mask.contains(signal) || (*inner == signal && flags & libc::SA_NODEFER.cast_unsigned() == 0)
                };
                Reception { within: inner.filter(blocks), ..Reception::default() }
            }
            _ => return,
        };
        if reception != Reception::default() {
            self.receptions.push((seq, reception));
        }
    }

    /// How a signal was met in this event.
    pub fn reception(&self, seq: u64) -> Reception {
        let at = self.receptions.binary_search_by_key(&seq, |(at, _)| u64::from(*at));
        at.map_or_else(|_| Reception::default(), |at| self.receptions[at].1)
    }

    /// The rows of a task before an event.
    pub fn of_task_before(&self, task: TaskId, seq: u64) -> &[u32] {
        before(self.of_task(task), seq)
    }

    /// The diagnoses of one weight before an event.
    pub fn diagnoses_before(&self, weight: Weight, seq: u64) -> &[u32] {
        match weight {
            Weight::Fault => before(&self.faults, seq),
            Weight::Note => before(&self.notes, seq),
        }
    }

    /// The writes to standard streams before an event.
    pub fn output_before(&self, seq: u64) -> &[u32] {
        before(&self.output, seq)
    }

    /// What the descriptor of a `close` or `dup` could be used for.
    pub fn access_at(&self, seq: u64) -> Option<Access> {
        let at = self.ends.binary_search_by_key(&seq, |(at, _)| u64::from(*at)).ok()?;
        Some(self.ends[at].1)
    }
}

fn push_at(lists: &mut Vec<Vec<u32>>, task: TaskId, seq: u32) {
    at(lists, task.index()).push(seq);
}

/// The place at an index, made if it is not there.
fn at<T: Clone + Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize(index + 1, T::default());
    }
    &mut list[index]
}

fn note_user(users: &mut Vec<TaskId>, task: TaskId) {
    if users.len() < USERS && !users.contains(&task) {
        users.push(task);
    }
}

fn before(list: &[u32], seq: u64) -> &[u32] {
    &list[..list.partition_point(|at| u64::from(*at) < seq)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sketch::Sketch;
    use crate::model::{Header, MessageType, Queue, SignalSet};

    fn index(sketch: &mut Sketch) -> Index {
        let log = sketch.log();
        let mut index = Index::new(&Header { lab: "init".into(), lab_pid: 1, ..Header::default() });
        index.read(&log);
        index
    }

    #[test]
    fn who_wrote_what_is_read_is_known_byte_by_byte() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").pipe("a", "p", 3).fork("a", "b").fork("a", "c");
        sketch.write("b", 4, "one").write("a", 4, "two");
        sketch.read("c", 3, 2).read("c", 3, 1).read("c", 3, 3);
        let index = index(&mut sketch);
        let others: Vec<_> = (7..10).map(|seq| index.other(seq + 1)).collect();
        let (a, b) = (Some(sketch.task("a")), Some(sketch.task("b")));
        assert_eq!((index.other(7), others), (None, vec![b, b, a]));
    }

    #[test]
    fn what_a_command_prints_goes_to_the_streams_that_it_was_given() {
        use crate::model::{End, FdFlags};
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "pts/0", ChannelKind::Terminal).create("a", "file", ChannelKind::File);
        for (fd, name) in [(0, "pts/0"), (1, "pts/0"), (2, "file")] {
            let channel = sketch.channel(name);
            let (access, flags) = (Access::ReadWrite, FdFlags::default());
            sketch.event("a", "", 0, Kind::Open { fd, channel, end: End::First, access, flags });
        }
        sketch.fork("a", "b").create("b", "other", ChannelKind::File).open("b", 1, "other", Access::Write);
        sketch.write("a", 1, "out").write("a", 2, "err").write("b", 1, "x");
        let index = index(&mut sketch);
        let stream = |name| index.stream(sketch.channel(name));
        assert_eq!([stream("pts/0"), stream("file"), stream("other")], [Some(Stream::Out), Some(Stream::Error), None]);
        assert_eq!(index.output_before(u64::MAX).len(), 2);
    }

    #[test]
    fn a_signal_is_met_as_it_was_then_not_as_it_would_be_now() {
        let mut sketch = Sketch::new();
        let (signal, mask) = (Signal::TERM, SignalSet::EMPTY);
        let handler = |flags| Kind::Action { signal, disposition: Disposition::Handler, flags, mask };
        let phase = |phase| Kind::Signal {
            phase,
            signal,
            queue: Queue::Process,
            from: None,
            code: 0,
            value: 0,
            blocked: SignalSet::EMPTY,
        };
        sketch.fork("init", "a").event("a", "", 0, handler(libc::SA_RESTART.cast_unsigned()));
        for reached in [Phase::Delivered, Phase::Handler, Phase::Pending] {
            sketch.event("a", "", 0, phase(reached));
        }
        let default = Kind::Action { signal, disposition: Disposition::Default, flags: 0, mask };
        sketch.event("a", "", 0, default).event("a", "", 0, phase(Phase::Delivered));
        let index = index(&mut sketch);
        let at = |seq| (index.reception(seq).disposition, index.reception(seq).flags, index.reception(seq).within);
        assert_eq!(at(2), (Disposition::Handler, 0x1000_0000, None));
        assert_eq!(at(4), (Disposition::Default, 0, Some(signal)));
        assert_eq!(at(6), (Disposition::Default, 0, None));
    }

    #[test]
    fn messages_are_taken_from_whoever_sent_that_type() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").fork("init", "b").fork("init", "c");
        let (channel, name) = (ChannelId::from_index(0), sketch.intern("q"));
        let (kind, capacity) = (ChannelKind::Msg, 16384);
        let made = Kind::Create { channel, kind, name, capacity, messages: true, found: false };
        sketch.event("a", "msgget", 0, made);
        let via = |kind| Via::Msg(MessageType::new(kind));
        for (task, kind) in [("a", 1), ("b", 2)] {
            let data = sketch.keep(b"x");
            sketch.event(task, "msgsnd", 0, Kind::Write { channel, via: via(kind), bytes: 1, data });
        }
        for kind in [2, 1] {
            let data = sketch.keep(b"x");
            sketch.event("c", "msgrcv", 1, Kind::Read { channel, via: via(kind), bytes: 1, data });
        }
        let index = index(&mut sketch);
        assert_eq!((index.other(6), index.other(7)), (Some(sketch.task("b")), Some(sketch.task("a"))));
    }

    #[test]
    fn a_copy_and_a_wait_in_memory_are_one_row_each() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "m", ChannelKind::Shm);
        let channel = sketch.channel("m");
        for n in 0..4 {
            let data = sketch.keep(&[0; 16]);
            sketch.event("a", "", 0, Kind::Store { channel, offset: 8 * n, data });
        }
        for _ in 0..3 {
            let data = sketch.keep(&[0; 8]);
            sketch.event("a", "", 0, Kind::Load { channel, offset: 64, data });
        }
        let data = sketch.keep(&[0; 16]);
        sketch.event("a", "", 0, Kind::Store { channel, offset: 0, data });
        let index = index(&mut sketch);
        assert_eq!(index.rows(), [0, 2, 6, 9]);
        assert_eq!((index.burst(2), index.burst(6), index.burst(9)), (Some(5), Some(8), None));
    }
}
