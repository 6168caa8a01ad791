//! Logs as the engine would write them, made by hand.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod meetings;

use proclab::model::{
    Access, Blob, ChannelId, ChannelKind, Disposition, End, Event, FdFlags, Header, How, Kind, Log, MaskHow, Parties,
    Pen, Phase, Queue, Shares, Signal, SignalSet, Status, TaskId, Via, Weight, Why,
};
use proclab::scenario::Scenario;

/// Writes events one after the other.
pub struct Writer {
    pen: Pen,
    log: Log,
    time: u64,
    tasks: usize,
    channels: usize,
}

impl Writer {
    pub fn new(header: Header) -> Self {
        Self { pen: Pen::new(&header), log: Log::new(header), time: 0, tasks: 1, channels: 0 }
    }

    pub fn event(&mut self, task: TaskId, call: &str, ret: i64, kind: Kind) {
        self.time += 21_500;
        let call = (!call.is_empty()).then(|| self.pen.intern(call));
        self.pen.write(Event { t_ns: self.time, ret, task, call, kind });
        if self.pen.next_seq().is_multiple_of(1000) {
            self.log.append(&self.pen.take());
        }
    }

    /// What was written since the last time, as the session would send it.
    pub fn take(&mut self) -> proclab::model::Batch {
        self.pen.take()
    }

    pub fn finish(mut self) -> Log {
        self.log.append(&self.pen.take());
        self.log
    }

    /// Payload for the next event.
    pub fn keep(&mut self, bytes: &[u8]) -> Blob {
        self.pen.keep(bytes)
    }

    pub fn start(&mut self, name: &str, pid: i32) -> TaskId {
        self.spawn(TaskId::LAB, name, pid)
    }

    fn spawn(&mut self, maker: TaskId, name: &str, pid: i32) -> TaskId {
        let child = TaskId::from_index(self.tasks);
        self.tasks += 1;
        let name = self.pen.intern(name);
        let call = if maker == TaskId::LAB { "" } else { "clone" };
        let kind = Kind::Spawn { child, pid, name, how: How::Fork, shares: Shares::default() };
        self.event(maker, call, i64::from(pid), kind);
        child
    }

    pub fn fork(&mut self, maker: TaskId, name: &str, pid: i32) -> TaskId {
        self.spawn(maker, name, pid)
    }

    pub fn thread(&mut self, maker: TaskId, name: &str, pid: i32) -> TaskId {
        let child = TaskId::from_index(self.tasks);
        self.tasks += 1;
        let name = self.pen.intern(name);
        let shares = Shares { files: true, actions: true, parent: true };
        self.event(maker, "clone", i64::from(pid), Kind::Spawn { child, pid, name, how: How::Thread, shares });
        child
    }

    pub fn create(&mut self, task: TaskId, call: &str, kind: ChannelKind, name: &str, capacity: u64) -> ChannelId {
        let channel = ChannelId::from_index(self.channels);
        self.channels += 1;
        let name = self.pen.intern(name);
        self.event(task, call, 0, Kind::Create { channel, kind, name, capacity, messages: false, found: false });
        channel
    }

    pub fn open(&mut self, task: TaskId, call: &str, fd: i32, channel: ChannelId, access: Access) {
        self.event(task, call, 0, Kind::Open { fd, channel, end: End::First, access, flags: FdFlags::default() });
    }

    /// The three standard streams of a root process.
    pub fn streams(&mut self, task: TaskId) -> [ChannelId; 3] {
        let stdin = self.create(task, "", ChannelKind::Device, "stdin", 0);
        self.open(task, "", 0, stdin, Access::Read);
        let stdout = self.create(task, "", ChannelKind::Pipe, "stdout", 65536);
        self.open(task, "", 1, stdout, Access::Write);
        let stderr = self.create(task, "", ChannelKind::Pipe, "stderr", 65536);
        self.open(task, "", 2, stderr, Access::Write);
        [stdin, stdout, stderr]
    }

    pub fn pipe(&mut self, task: TaskId, name: &str, fds: [i32; 2]) -> ChannelId {
        let channel = self.create(task, "", ChannelKind::Pipe, name, 65536);
        self.open(task, "pipe2", fds[0], channel, Access::Read);
        self.open(task, "pipe2", fds[1], channel, Access::Write);
        channel
    }

    pub fn line(&mut self, task: TaskId, line: u32, text: &str) {
        let text = self.pen.intern(text);
        self.event(task, "", 0, Kind::Line { line, text });
    }

    pub fn close(&mut self, task: TaskId, fd: i32, channel: ChannelId) {
        self.event(task, "close", 0, Kind::Close { fd, channel: Some(channel) });
    }

    pub fn write(&mut self, task: TaskId, fd: i32, channel: ChannelId, bytes: &[u8]) {
        let data = self.pen.keep(&bytes[..bytes.len().min(256)]);
        let n = bytes.len() as u64;
        self.event(task, "write", n as i64, Kind::Write { channel, via: Via::Fd(fd), bytes: n, data });
    }

    pub fn read(&mut self, task: TaskId, fd: i32, channel: ChannelId, bytes: &[u8]) {
        let data = self.pen.keep(&bytes[..bytes.len().min(256)]);
        let n = bytes.len() as u64;
        self.event(task, "read", n as i64, Kind::Read { channel, via: Via::Fd(fd), bytes: n, data });
    }

    pub fn block(&mut self, task: TaskId, call: &str, channel: Option<ChannelId>, on: Option<TaskId>, why: Why) {
        self.event(task, call, 0, Kind::Block { channel, on, why, timeout: false, wanted: Blob::EMPTY });
    }

    pub fn unblock(&mut self, task: TaskId, call: &str, channel: Option<ChannelId>) {
        self.event(task, call, 0, Kind::Unblock { channel });
    }

    pub fn exit(&mut self, task: TaskId, code: i32) {
        self.event(task, "", 0, Kind::Exit { status: Status::Code(code) });
    }

    pub fn reap(&mut self, task: TaskId, child: TaskId, code: i32) {
        self.event(task, "wait4", 1, Kind::Reap { child, status: Status::Code(code) });
    }

    pub fn signal(&mut self, task: TaskId, phase: Phase, signal: Signal, from: Option<TaskId>, blocked: SignalSet) {
        self.event(
            task,
            "",
            0,
            Kind::Signal { phase, signal, queue: Queue::Process, from, code: 0, value: 0, blocked },
        );
    }

    pub fn catch(&mut self, task: TaskId, signal: Signal) {
        let kind =
            Kind::Action { signal, disposition: Disposition::Handler, flags: 0x1000_0000, mask: SignalSet::EMPTY };
        self.event(task, "rt_sigaction", 0, kind);
    }

    pub fn mask(&mut self, task: TaskId, how: MaskHow, set: SignalSet, blocked: SignalSet) {
        self.event(task, "rt_sigprocmask", 0, Kind::Mask { how, set, blocked });
    }

    pub fn diagnosis(&mut self, rule: &str, text: &str, tasks: &[TaskId], channels: &[ChannelId]) {
        let parties = Parties { tasks: tasks.to_vec(), channels: channels.to_vec() }.to_bytes();
        let parties = self.pen.keep(&parties);
        let (rule, text) = (self.pen.intern(rule), self.pen.intern(text));
        self.event(TaskId::LAB, "", 0, Kind::Diagnosis { rule, weight: Weight::Fault, text, parties });
    }

    pub fn note(&mut self, task: TaskId, text: &str) {
        let text = self.pen.intern(text);
        self.event(task, "", 0, Kind::Note { text, label: false });
    }

    pub fn exec(&mut self, task: TaskId, path: &str, name: &str, argv: &[u8]) {
        let argv = self.pen.keep(argv);
        let (path, name) = (self.pen.intern(path), self.pen.intern(name));
        self.event(task, "execve", 0, Kind::Exec { path, argv, name });
    }

    pub fn fails(&mut self, task: TaskId, fd: i32, channel: ChannelId, errno: i32) {
        let kind = Kind::Write { channel, via: Via::Fd(fd), bytes: 0, data: Blob::EMPTY };
        self.event(task, "write", i64::from(-errno), kind);
    }
}

pub fn header(scenario: &str, source: &str) -> Header {
    Header {
        version: "0.1.0".into(),
        scenario: Some(scenario.into()),
        source: Some(source.into()),
        kernel: "6.18.0".into(),
        arch: "x86_64".into(),
        seed: 7,
        mode: "serial".into(),
        lab: "init".into(),
        lab_pid: 1,
        ..Header::default()
    }
}

pub const ONE_PIPE: &str = include_str!("one-pipe.kdl");
pub const GRACEFUL: &str = include_str!("graceful-shutdown.kdl");

/// What the parser would make of the one-pipe example, as far as the screen looks at it.
pub fn one_pipe_scenario() -> Scenario {
    Scenario {
        name: "pipes/one-pipe".into(),
        title: "One pipe, two processes".into(),
        topic: "pipes".into(),
        level: 1,
        story: "    `pipe` makes one channel with two ends. After `fork` both processes hold both ends,\n    \
                so each closes the one it does not need. The reader sees end-of-file only when\n    \
                **every** write end is closed.\n"
            .into(),
        see: vec!["pipe(2)".into(), "pipe(7)".into(), "fork(2)".into()],
        hints: vec!["Count the write ends.".into(), "The newline counts.".into()],
        seed: Some(7),
        source: ONE_PIPE.into(),
        ..Scenario::default()
    }
}

const POEM: &[u8] = b"Nature's first green is gold\n";

/// The one-pipe example, run to its end.
pub fn one_pipe() -> Log {
    let mut w = Writer::new(header("pipes/one-pipe", ONE_PIPE));
    let parent = w.start("parent", 2);
    w.streams(parent);
    w.line(parent, 12, "pipe p");
    let p = w.pipe(parent, "p", [3, 4]);
    w.line(parent, 13, "fork child");
    let child = w.fork(parent, "parent.child", 3);
    w.line(parent, 18, "close p.read");
    w.line(child, 14, "close p.write");
    w.close(child, 4, p);
    w.line(child, 15, "read p.read until=eof");
    w.block(child, "read", Some(p), None, Why::Empty);
    w.close(parent, 3, p);
    w.line(parent, 19, "write p.write \"Nature's first green is gold\\n\"");
    w.write(parent, 4, p, POEM);
    w.unblock(child, "read", Some(p));
    w.line(parent, 20, "close p.write");
    w.read(child, 3, p, POEM);
    w.block(child, "read", Some(p), None, Why::Empty);
    w.close(parent, 4, p);
    w.unblock(child, "read", Some(p));
    w.line(parent, 21, "wait child");
    w.read(child, 3, p, b"");
    w.line(child, 16, "exit 0");
    w.block(parent, "wait4", None, Some(child), Why::Child);
    w.exit(child, 0);
    w.event(child, "", 0, Kind::Destroy { channel: p });
    w.unblock(parent, "wait4", None);
    w.reap(parent, child, 0);
    w.exit(parent, 0);
    w.finish()
}

/// The graceful-shutdown example, run to its end.
pub fn graceful() -> Log {
    let mut w = Writer::new(header("signals/graceful-shutdown", GRACEFUL));
    let term = SignalSet::from_iter([Signal::TERM]);
    let usr1 = SignalSet::from_iter(Signal::parse("USR1"));
    let parent = w.start("parent", 2);
    let [_, stdout, _] = w.streams(parent);
    w.line(parent, 11, "fork child");
    let child = w.fork(parent, "parent.child", 3);
    w.line(parent, 19, "sleep 5");
    w.block(parent, "clock_nanosleep", None, None, Why::Time);
    w.line(child, 12, "on SIGTERM");
    w.catch(child, Signal::TERM);
    w.mask(child, MaskHow::Block, usr1, usr1);
    w.line(child, 17, "sleep 1");
    w.block(child, "clock_nanosleep", None, None, Why::Time);
    w.unblock(parent, "clock_nanosleep", None);
    w.line(parent, 20, "kill child SIGTERM");
    w.signal(child, Phase::Generated, Signal::TERM, Some(parent), SignalSet::EMPTY);
    w.unblock(child, "clock_nanosleep", None);
    w.signal(child, Phase::Delivered, Signal::TERM, Some(parent), SignalSet::EMPTY);
    let inside = SignalSet(term.0 | usr1.0);
    w.signal(child, Phase::Handler, Signal::TERM, Some(parent), inside);
    w.line(child, 13, "write stdout \"finishing up\\n\"");
    w.line(parent, 21, "wait child");
    w.block(parent, "wait4", None, Some(child), Why::Child);
    w.write(child, 1, stdout, b"finishing up\n");
    w.line(child, 14, "_exit 0");
    w.exit(child, 0);
    w.signal(parent, Phase::Generated, Signal::CHLD, None, SignalSet::EMPTY);
    w.signal(parent, Phase::Ignored, Signal::CHLD, None, SignalSet::EMPTY);
    w.unblock(parent, "wait4", None);
    w.reap(parent, child, 0);
    w.line(parent, 22, "write stdout \"my child is gone\\n\"");
    w.write(parent, 1, stdout, b"my child is gone\n");
    w.exit(parent, 0);
    w.finish()
}

/// A reader that holds the write end itself.
pub fn forgotten() -> Log {
    let mut w = Writer::new(header("pipes/forgotten-write-end", ""));
    let parent = w.start("parent", 2);
    w.streams(parent);
    w.line(parent, 11, "pipe p");
    let p = w.pipe(parent, "p", [3, 4]);
    let child = w.fork(parent, "parent.child", 3);
    w.close(parent, 3, p);
    w.write(parent, 4, p, b"hello");
    w.close(parent, 4, p);
    w.read(child, 3, p, b"hello");
    w.block(child, "read", Some(p), None, Why::Empty);
    w.block(parent, "wait4", None, Some(child), Why::Child);
    w.diagnosis(
        "self-held-write-end",
        "child waits for end-of-file on p, but holds its only write end itself (4): close it before reading",
        &[child],
        &[p],
    );
    w.diagnosis("deadlock", "parent waits for child, child waits for itself: nobody can move", &[parent, child], &[p]);
    w.finish()
}

/// A foreign pipeline with threads, failures and output that would like to disturb the screen.
pub fn foreign() -> Log {
    let mut w = Writer::new(Header {
        command: Some(vec!["sh".into(), "-c".into(), "sort words | uniq".into()]),
        scenario: None,
        source: None,
        mode: "free".into(),
        lab: "proclab".into(),
        lab_pid: 0,
        ..header("", "")
    });
    let sh = w.start("sh", 4711);
    let [_, stdout, stderr] = w.streams(sh);
    w.exec(sh, "/bin/sh", "sh", b"sh\0-c\0sort words | uniq\0");
    let p = w.pipe(sh, "pipe:1", [3, 4]);
    let sort = w.fork(sh, "sort", 4712);
    w.exec(sort, "/usr/bin/sort", "sort", b"sort\0words\0");
    let uniq = w.fork(sh, "uniq", 4713);
    let worker = w.thread(sort, "sort.t1", 4714);
    let words = w.create(sort, "", ChannelKind::File, "words", 0);
    w.open(sort, "openat", 5, words, Access::Read);
    w.read(sort, 5, words, b"the\nway\n");
    w.block(worker, "futex", None, None, Why::Lock);
    w.write(sort, 4, p, b"the\nway\n");
    w.read(uniq, 3, p, b"the\nway\n");
    w.write(uniq, 1, stdout, b"the\n\x1b[31mway\x1b[0m\n\x1b[2J\x1b]0;owned\x07");
    w.write(uniq, 2, stderr, "w\u{e4}rnung: \u{65e5}\u{672c}\u{8a9e}\n".as_bytes());
    w.fails(sort, 4, p, 32);
    w.event(
        sort,
        "",
        0,
        Kind::Signal {
            phase: Phase::Default,
            signal: Signal::PIPE,
            queue: Queue::Process,
            from: None,
            code: 0,
            value: 0,
            blocked: SignalSet::EMPTY,
        },
    );
    w.event(sort, "", 0, Kind::Exit { status: Status::Signal { signal: Signal::PIPE, core: false } });
    w.finish()
}

/// So many processes, each asleep on a pipe of its parent.
pub fn crowd(count: usize) -> Log {
    let mut w = Writer::new(header("processes/crowd", ""));
    let parent = w.start("parent", 2);
    let p = w.pipe(parent, "p", [3, 4]);
    for n in 0..count {
        let child = w.fork(parent, &format!("parent.child#{}", n + 1), 3 + n as i32);
        w.block(child, "read", Some(p), None, Why::Empty);
    }
    w.write(parent, 4, p, b"x");
    w.finish()
}

/// Two processes that pass bytes for so many events.
pub fn long(events: u64) -> Log {
    let mut w = Writer::new(header("pipes/long", ONE_PIPE));
    let parent = w.start("parent", 2);
    let [_, stdout, _] = w.streams(parent);
    let p = w.pipe(parent, "p", [3, 4]);
    let child = w.fork(parent, "parent.child", 3);
    for n in 0..events / 5 {
        w.line(parent, 19, "write p.write \"x\"");
        w.write(parent, 4, p, format!("message {n}\n").as_bytes());
        w.read(child, 3, p, format!("message {n}\n").as_bytes());
        w.write(child, 1, stdout, format!("line {n}\n").as_bytes());
        w.block(child, "read", Some(p), None, Why::Empty);
        w.unblock(child, "read", Some(p));
    }
    w.finish()
}

/// Names and payload as an enemy would choose them.
pub fn hostile() -> Log {
    let long = "\u{65e5}\u{1b}[2J\u{202e}x".repeat(1000);
    let mut w = Writer::new(Header { scenario: None, mode: "free".into(), ..header("", "") });
    let a = w.start(&long, 2);
    let [_, stdout, _] = w.streams(a);
    let p = w.create(a, "", ChannelKind::Pipe, &long, 65536);
    w.open(a, "pipe2", 3, p, Access::Read);
    w.open(a, "pipe2", 4, p, Access::Write);
    let b = w.fork(a, "\u{1b}]0;title\u{7}\n\r\t\u{0}", 3);
    let all: Vec<u8> = (0..=255).collect();
    w.write(a, 4, p, &all);
    w.write(b, 1, stdout, &all);
    w.line(a, 1, &long);
    w.note(b, &long);
    w.exec(b, &long, "x", long.as_bytes());
    w.diagnosis(&long, &long, &[a, b], &[p]);
    w.block(b, &long, Some(p), Some(a), Why::Full);
    w.finish()
}

/// A shell loop that forks, waits, and forks again.
pub fn churn(count: usize) -> Log {
    let mut w = Writer::new(header("processes/churn", ""));
    let parent = w.start("parent", 2);
    let [_, stdout, _] = w.streams(parent);
    for n in 0..count {
        let child = w.fork(parent, &format!("parent.child#{n}"), 3 + n as i32 % 30_000);
        w.write(child, 1, stdout, b"hello\n");
        w.exit(child, 0);
        w.reap(parent, child, 0);
    }
    w.finish()
}

/// The same as [`long`], as a session sends it.
pub fn stream(header: Header, events: u64, batch: u64) -> Vec<proclab::model::Batch> {
    let mut w = Writer::new(header);
    let parent = w.start("parent", 2);
    let p = w.pipe(parent, "p", [3, 4]);
    let mut batches = Vec::new();
    for n in 0..events / 2 {
        w.write(parent, 4, p, b"message");
        w.read(parent, 3, p, b"message");
        if n % (batch / 2) == 0 {
            batches.push(w.take());
        }
    }
    batches.push(w.take());
    batches
}
