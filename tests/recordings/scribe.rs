//! Logs from lists of numbers: every kind of event, about tasks and channels that exist.

use proclab::model::{
    Access, Asked, Batch, Blob, ChannelId, ChannelKind, Disposition, End, Ended, Event, FdFlags, Hold, How, Kind,
    LockKind, LockMode, MaskHow, MessageType, Parties, Pen, Phase, Polled, Queue, Shares, Signal, SignalSet, Status,
    TaskId, Then, TimerChange, TimerKind, Told, Via, Wanted, Weight, Why, Word,
};
use proptest::prelude::*;

use super::{channel, header, task};

/// How many kinds of events there are, some counted twice.
const KINDS: u64 = 49;

const HOLDS: [Hold; 3] = [Hold::Nothing, Hold::Steps, Hold::Deliveries];

struct Scribe {
    pen: Pen,
    batches: Vec<Batch>,
    t_ns: u64,
}

pub const STRINGS: [&str; 8] = ["read", "a\"b\\", "\n\t\0\u{1f}", "ünï 🦀", "", "parent.child#2", "wait4", "\u{2028}"];

impl Scribe {
    fn new() -> Self {
        Self { pen: Pen::new(&header()), batches: Vec::new(), t_ns: 0 }
    }

    fn task(&self, n: u64) -> TaskId {
        task(n as usize % self.pen.world().tasks().len())
    }

    fn channel(&self, n: u64) -> Option<ChannelId> {
        let count = self.pen.world().channels().len();
        (count > 0).then(|| channel(n as usize % count))
    }

    fn kind(&mut self, [what, a, b, c]: [u64; 4], data: &[u8]) -> Kind {
        let signal = Signal::new(1 + (a % 64) as i32).expect("in range");
        let text = self.pen.intern(STRINGS[c as usize % STRINGS.len()]);
        let small = (b % 9) as i32;
        let status = if c.is_multiple_of(2) {
            Status::Code((b % 256) as i32)
        } else {
            Status::Signal { signal, core: b % 2 == 1 }
        };
        let flags = FdFlags { cloexec: c & 1 != 0, nonblock: c & 2 != 0, append: c & 4 != 0 };
        let end = if a.is_multiple_of(2) { End::First } else { End::Second };
        let on = c.is_multiple_of(3).then(|| self.task(b));
        let fallback = Kind::Note { text, label: b % 2 == 1 };
        let some_channel = self.channel(a);
        match (what % KINDS, some_channel) {
            (0, _) => {
                let child = task(self.pen.world().tasks().len());
                let name = self.pen.intern(&format!("t{}\"{}", child.index(), STRINGS[a as usize % 8]));
                let how = [How::Fork, How::Vfork, How::Clone, How::Thread][b as usize % 4];
                let shares = Shares { files: c & 1 != 0, actions: c & 2 != 0, parent: c & 4 != 0 };
                Kind::Spawn { child, pid: child.index() as i32 + 1, name, how, shares }
            }
            (1, _) => {
                let mut argv: Vec<u8> = data.to_vec();
                if !argv.is_empty() {
                    argv.push(0);
                }
                let argv = self.pen.keep(&argv);
                let name = self.pen.intern(&format!("exec{}", self.pen.next_seq()));
                Kind::Exec { path: text, argv, name }
            }
            (2, _) => Kind::Exit { status },
            (3, _) => Kind::Reap { child: self.task(a), status },
            (4, _) => Kind::Reparent { to: self.task(a) },
            (5, _) => Kind::Group { pgid: a as i32, sid: b as i32 },
            (6 | 7, Some(channel)) => {
                let access = [Access::Read, Access::Write, Access::ReadWrite, Access::None][b as usize % 4];
                Kind::Open { fd: (c % 9) as i32, channel, end, access, flags }
            }
            (8, channel) => Kind::Close { fd: small, channel },
            (9, channel) => Kind::Dup { fd: small, to: (c % 9) as i32, channel, cloexec: c.is_multiple_of(2) },
            (10, _) => Kind::Flags { fd: small, flags },
            (11 | 12, _) => {
                let channel = channel(self.pen.world().channels().len());
                // Names repeat now and then: the writer must tell such channels apart.
                let name = self.pen.intern(&format!("ch{}{}", channel.index() / 3, STRINGS[3]));
                let kind = ChannelKind::ALL[a as usize % ChannelKind::ALL.len()];
                Kind::Create {
                    channel,
                    kind,
                    name,
                    capacity: b % 3 * 4096,
                    messages: c.is_multiple_of(2),
                    found: c.is_multiple_of(3),
                }
            }
            (13, Some(channel)) => Kind::Destroy { channel },
            (14, Some(channel)) if c.is_multiple_of(4) => Kind::Copied { channel, bytes: b },
            (14, Some(channel)) => Kind::Capacity { channel, bytes: b },
            (15 | 16, Some(channel)) => {
                let data = self.pen.keep(data);
                let bytes = if c.is_multiple_of(2) { u64::from(data.len) } else { b };
                let via = match a % 6 {
                    5 => Via::At(small),
                    0 => Via::Socket(small, text),
                    1 => Via::Mq(small, c as u32),
                    2 => Via::Msg(MessageType::new(c as i64)),
                    3 => Via::Memory,
                    _ => Via::Fd(small),
                };
                if what % KINDS == 15 {
                    Kind::Write { channel, via, bytes, data }
                } else {
                    Kind::Read { channel, via, bytes, data }
                }
            }
            (17, Some(channel)) => Kind::Seek { fd: small, channel, position: b },
            (18, channel) => self.block(channel, on, [a, b, c]),
            (19, channel) => Kind::Unblock { channel },
            (20..=22 | 44..=46, _) => around_signals(what % KINDS, [a, b, c], on),
            (23, _) if a.is_multiple_of(3) => Kind::Hold { hold: HOLDS[b as usize % 3] },
            (23, _) => Kind::Syscall { args: self.pen.keep(data) },
            (24, _) if a.is_multiple_of(2) => Kind::Line { line: b as u32, text },
            (24, channel) => {
                let parties =
                    Parties { tasks: vec![self.task(a), self.task(b)], channels: channel.into_iter().collect() };
                let weight = [Weight::Fault, Weight::Note][b as usize % 2];
                if b.is_multiple_of(3) {
                    return Kind::Asleep { parties: self.pen.keep(&parties.to_bytes()) };
                }
                Kind::Diagnosis { rule: text, weight, text, parties: self.pen.keep(&parties.to_bytes()) }
            }
            (48, _) if a.is_multiple_of(5) => {
                Kind::End { how: [Ended::Done, Ended::Stuck, Ended::Cut][b as usize % 3], text }
            }
            (48, _) => Kind::Clock { now: b },
            (25.., Some(channel)) => self.meeting(what % KINDS, channel, [a, b, c], data),
            _ => fallback,
        }
    }

    fn block(&mut self, channel: Option<ChannelId>, on: Option<TaskId>, numbers: [u64; 3]) -> Kind {
        let wanted = self.wanted(numbers);
        let timeout = numbers[2].is_multiple_of(2);
        Kind::Block { channel, on, why: Why::ALL[numbers[1] as usize % Why::ALL.len()], timeout, wanted }
    }

    fn wanted(&mut self, [a, b, c]: [u64; 3]) -> Blob {
        let kind = [LockKind::Process, LockKind::Description, LockKind::Flock][a as usize % 3];
        let mode = [LockMode::Read, LockMode::Write, LockMode::Unlock][b as usize % 3];
        let access = [Access::Read, Access::Write, Access::ReadWrite, Access::None][b as usize % 4];
        let wanted = match c % 6 {
            0 => return Blob::EMPTY,
            1 => Wanted::Operation { index: a as u32, delta: b as i32 },
            2 => Wanted::Lock { fd: (b % 9) as i32, kind, mode, start: a % 100, len: b % 100 },
            3 => Wanted::Message(a as i64),
            4 => Wanted::Word { of: Word::ALL[b as usize % Word::ALL.len()], at: a },
            _ => {
                let one = |n: u64| Polled { fd: (b % 9) as i32, channel: self.channel(n), access };
                Wanted::Ready { polled: (0..a % 4).map(one).collect() }
            }
        };
        self.pen.keep(&wanted.to_bytes())
    }

    fn told(&self, [a, b, c]: [u64; 3]) -> Told {
        match a % 7 {
            6 => Told::Terminal(Asked {
                output: (b % 3 > 0).then_some(c as u32),
                input: (c % 3 > 0).then_some(b as u32),
                canonical: a.is_multiple_of(2),
                ready: [b.is_multiple_of(2), c.is_multiple_of(2)],
            }),
            5 => Told::Unseen(b),
            0 => Told::Count { count: b, semaphore: c.is_multiple_of(2) },
            1 => Told::Signals(SignalSet(b)),
            2 => Told::Timer { left: b, interval: c, ticks: a },
            3 => Told::Task(c.is_multiple_of(2).then(|| self.task(b))),
            _ => Told::Interest { fd: (b % 9) as i32, to: self.channel(b).filter(|_| c > 9), events: c as u32 },
        }
    }

    fn meeting(&mut self, what: u64, channel: ChannelId, [a, b, c]: [u64; 3], data: &[u8]) -> Kind {
        let text = self.pen.intern(STRINGS[c as usize % STRINGS.len()]);
        let end = if c.is_multiple_of(2) { End::First } else { End::Second };
        let access = [Access::Read, Access::Write, Access::ReadWrite][b as usize % 3];
        let other = self.channel(b);
        let fd = (c % 9) as i32;
        match what {
            25 => Kind::Unlink { channel },
            26 => Kind::Get { channel, id: b as i32 },
            27 => Kind::Attach { channel, address: a, bytes: b % 9000, offset: c % 9000, access },
            28 => Kind::Detach { channel, address: a, bytes: c },
            29 => Kind::Drop { channel, bytes: b },
            30 => Kind::Address { channel, end, address: text },
            31 => Kind::Listen { channel, backlog: b as u32 },
            32 => {
                let address = c.is_multiple_of(3).then_some(text);
                Kind::Connect { channel, to: other.filter(|_| c.is_multiple_of(2)), address }
            }
            33 => Kind::Accept { channel, connection: other.unwrap_or(channel) },
            34 => Kind::Shutdown { channel, end, how: access },
            35 => Kind::Sem { channel, index: a as u32, delta: b as i32, value: c as i32, undo: a.is_multiple_of(2) },
            36 => {
                let kind = [LockKind::Process, LockKind::Description, LockKind::Flock][a as usize % 3];
                let mode = [LockMode::Read, LockMode::Write, LockMode::Unlock][b as usize % 3];
                Kind::Lock { channel, fd, kind, mode, start: b % 100, len: c % 100 }
            }
            47 => Kind::Monitor { channel, told: self.told([a, b, c]) },
            37 => Kind::Load { channel, offset: b, data: self.pen.keep(data) },
            41 => Kind::Control { channel: c.is_multiple_of(2).then_some(channel) },
            42 => Kind::Foreground { channel, pgid: b as i32 },
            43 => Kind::Window { channel, rows: b as u16, columns: c as u16 },
            40 => Kind::Limit { limit: text, value: b >> 1, asked: c >> 1 },
            38 => Kind::Store { channel, offset: b % 5000, data: self.pen.keep(&[data, data].concat()) },
            _ => {
                let (from, flags) = (c.is_multiple_of(3).then(|| self.task(b)), FdFlags::default());
                Kind::Pass { fd, channel, from, description: b, end, access, flags }
            }
        }
    }

    fn put(&mut self, numbers: [u64; 4], who: u64, data: &[u8]) {
        let kind = self.kind(numbers, data);
        let call = who.is_multiple_of(3).then(|| self.pen.intern(STRINGS[who as usize / 3 % STRINGS.len()]));
        let ret = match (call, who % 5) {
            (None, _) => 0,
            (Some(_), 0) => -((who % 600) as i64),
            (Some(_), _) => who as i64,
        };
        // Names of tasks must stay unique, and the lab's own task neither ends nor execs.
        let task = match kind {
            Kind::Exec { .. } | Kind::Exit { .. } => {
                if self.pen.world().tasks().len() < 2 {
                    return;
                }
                task(1 + who as usize % (self.pen.world().tasks().len() - 1))
            }
            _ => self.task(who),
        };
        self.t_ns += numbers[3] % 1_000_000;
        self.pen.write(Event { t_ns: self.t_ns, ret, task, call, kind });
        if who.is_multiple_of(11) {
            self.batches.push(self.pen.take());
        }
    }

    fn finish(mut self) -> (Vec<Batch>, Pen) {
        self.batches.push(self.pen.take());
        (self.batches, self.pen)
    }
}

/// Signals, what is set about them, and what goes with them.
fn around_signals(what: u64, [a, b, c]: [u64; 3], from: Option<TaskId>) -> Kind {
    let signal = Signal::new(1 + (a % 64) as i32).expect("in range");
    let set = SignalSet(b);
    match what {
        20 => {
            let disposition = [Disposition::Default, Disposition::Ignore, Disposition::Handler][b as usize % 3];
            Kind::Action { signal, disposition, flags: b as u32, mask: set }
        }
        21 => {
            let how = [MaskHow::Block, MaskHow::Unblock, MaskHow::Set][a as usize % 3];
            Kind::Mask { how, set, blocked: SignalSet(a) }
        }
        22 => {
            let phase = Phase::ALL[b as usize % Phase::ALL.len()];
            let queue = if a.is_multiple_of(2) { Queue::Process } else { Queue::Thread };
            Kind::Signal { phase, signal, queue, from, code: a as i32, value: b as i64, blocked: set }
        }
        44 => Kind::Interrupted { signal, then: Then::ALL[b as usize % Then::ALL.len()] },
        45 => Kind::Altstack { base: b >> 1, bytes: c >> 1, autodisarm: c.is_multiple_of(2) },
        _ => Kind::Timer {
            kind: TimerKind::ALL[a as usize % TimerKind::ALL.len()],
            change: TimerChange::ALL[b as usize % TimerChange::ALL.len()],
            id: (b % 9) as i32,
            signal: c.is_multiple_of(2).then_some(signal),
            clock: b as i32,
            left: b >> 1,
            interval: c >> 1,
        },
    }
}

pub type Step = ([u64; 4], u64, Vec<u8>);

pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let number = || prop_oneof![3 => 0..100_u64, 1 => any::<u64>()];
    let numbers = [number().boxed(), number().boxed(), number().boxed(), number().boxed()];
    let data = prop_oneof![
        2 => proptest::collection::vec(any::<u8>(), 0..20),
        1 => ".{0,12}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec((numbers, number(), data), 0..most)
}

pub fn scribble(steps: &[Step]) -> (Vec<Batch>, Pen) {
    let mut scribe = Scribe::new();
    for (numbers, who, data) in steps {
        scribe.put(*numbers, *who, data);
    }
    scribe.finish()
}
