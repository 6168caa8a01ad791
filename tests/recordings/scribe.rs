//! Logs from lists of numbers: every kind of event, about tasks and channels that exist.

use proclab::model::{
    Access, Batch, ChannelId, ChannelKind, Disposition, Event, FdFlags, How, Kind, MaskHow, Parties, Pen, Phase,
    Shares, Signal, SignalSet, Status, TaskId, Why,
};
use proptest::prelude::*;

use super::{channel, header, task};

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
        let set = SignalSet(b);
        let text = self.pen.intern(STRINGS[c as usize % STRINGS.len()]);
        let small = (b % 9) as i32;
        let status = if c.is_multiple_of(2) {
            Status::Code((b % 256) as i32)
        } else {
            Status::Signal { signal, core: b % 2 == 1 }
        };
        let flags = FdFlags { cloexec: c & 1 != 0, nonblock: c & 2 != 0, append: c & 4 != 0 };
        let on = c.is_multiple_of(3).then(|| self.task(b));
        let fallback = Kind::Note { text, label: b % 2 == 1 };
        let some_channel = self.channel(a);
        match (what % 25, some_channel) {
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
                Kind::Open { fd: (c % 9) as i32, channel, access, flags }
            }
            (8, channel) => Kind::Close { fd: small, channel },
            (9, channel) => Kind::Dup { fd: small, to: (c % 9) as i32, channel, cloexec: c.is_multiple_of(2) },
            (10, _) => Kind::Flags { fd: small, flags },
            (11 | 12, _) => {
                let channel = channel(self.pen.world().channels().len());
                // Names repeat now and then: the writer must tell such channels apart.
                let name = self.pen.intern(&format!("ch{}{}", channel.index() / 3, STRINGS[3]));
                let kind = ChannelKind::ALL[a as usize % ChannelKind::ALL.len()];
                Kind::Create { channel, kind, name, capacity: b % 3 * 4096 }
            }
            (13, Some(channel)) => Kind::Destroy { channel },
            (14, Some(channel)) => Kind::Capacity { channel, bytes: b },
            (15 | 16, Some(channel)) => {
                let data = self.pen.keep(data);
                let bytes = if c.is_multiple_of(2) { u64::from(data.len) } else { b };
                if what % 25 == 15 {
                    Kind::Write { channel, fd: small, bytes, data }
                } else {
                    Kind::Read { channel, fd: small, bytes, data }
                }
            }
            (17, Some(channel)) => Kind::Seek { fd: small, channel, position: b },
            (18, channel) => Kind::Block { channel, on, why: Why::ALL[b as usize % Why::ALL.len()] },
            (19, channel) => Kind::Unblock { channel },
            (20, _) => {
                let disposition = [Disposition::Default, Disposition::Ignore, Disposition::Handler][b as usize % 3];
                Kind::Action { signal, disposition, flags: b as u32, mask: set }
            }
            (21, _) => {
                let how = [MaskHow::Block, MaskHow::Unblock, MaskHow::Set][a as usize % 3];
                Kind::Mask { how, set, blocked: SignalSet(a) }
            }
            (22, _) => {
                let phase = Phase::ALL[b as usize % Phase::ALL.len()];
                Kind::Signal { phase, signal, from: on, code: a as i32, value: b as i64, blocked: set }
            }
            (23, _) => Kind::Syscall { args: self.pen.keep(data) },
            (24, _) if a.is_multiple_of(2) => Kind::Line { line: b as u32, text },
            (24, channel) => {
                let parties =
                    Parties { tasks: vec![self.task(a), self.task(b)], channels: channel.into_iter().collect() };
                Kind::Diagnosis { rule: text, text, parties: self.pen.keep(&parties.to_bytes()) }
            }
            _ => fallback,
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
