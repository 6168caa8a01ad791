//! Logs for tests, written the way one would tell them.

use super::{
    Access, Blob, ChannelId, ChannelKind, Disposition, End, Ended, Event, FdFlags, Header, How, Kind, Log, Pen, Phase,
    Queue, Shares, Signal, SignalSet, Status, TaskId, TimerChange, TimerKind, Via, Wanted, Why, World,
};

/// A log in the making. Tasks and channels go by name; names must exist.
#[derive(Debug)]
pub(crate) struct Sketch {
    pen: Pen,
    log: Log,
    /// Nanoseconds that have passed besides the time that each event takes.
    passed: u64,
}

/// One phase of a signal that was sent to a process by kill(2).
const fn signal_kind(phase: Phase, signal: Signal, from: Option<TaskId>) -> Kind {
    Kind::Signal { phase, signal, queue: Queue::Process, from, code: 0, value: 0, blocked: SignalSet::EMPTY }
}

impl Sketch {
    /// A run whose lab is called `init`.
    pub(crate) fn new() -> Self {
        Self::with(Header { lab: "init".into(), lab_pid: 1, ..Header::default() })
    }

    /// A run with that header.
    pub(crate) fn with(header: Header) -> Self {
        Self { pen: Pen::new(&header), log: Log::new(header), passed: 0 }
    }

    pub(crate) fn world(&self) -> &World {
        self.pen.world()
    }

    pub(crate) fn task(&self, name: &str) -> TaskId {
        let named = |task: &&super::Task| self.pen.names().get(task.name) == name;
        self.world().tasks().find(named).map_or_else(|| panic!("no task {name}"), |task| task.id)
    }

    pub(crate) fn channel(&self, name: &str) -> ChannelId {
        let named = |channel: &&super::Channel| self.pen.names().get(channel.name) == name;
        self.world().channels().find(named).map_or_else(|| panic!("no channel {name}"), |it| it.id)
    }

    /// The log so far.
    pub(crate) fn log(&mut self) -> Log {
        self.log.append(&self.pen.take());
        self.log.clone()
    }

    pub(crate) fn event(&mut self, task: &str, call: &str, ret: i64, kind: Kind) -> &mut Self {
        let task = self.task(task);
        let call = (!call.is_empty()).then(|| self.pen.intern(call));
        let t_ns = self.pen.next_seq() * 1000 + self.passed;
        self.pen.write(Event { t_ns, ret, task, call, kind });
        self
    }

    pub(crate) fn intern(&mut self, text: &str) -> super::Sym {
        self.pen.intern(text)
    }

    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Blob {
        self.pen.keep(bytes)
    }

    pub(crate) fn fork(&mut self, parent: &str, child: &str) -> &mut Self {
        self.spawn(parent, child, How::Fork, Shares::default())
    }

    pub(crate) fn spawn(&mut self, parent: &str, child: &str, how: How, shares: Shares) -> &mut Self {
        let index = self.world().tasks().len();
        let (name, pid) = (self.pen.intern(child), index as i32 + 1);
        let spawn = Kind::Spawn { child: TaskId::from_index(index), pid, name, how, shares };
        self.event(parent, if parent == "init" { "" } else { "fork" }, i64::from(pid), spawn)
    }

    pub(crate) fn create(&mut self, task: &str, name: &str, kind: ChannelKind) -> &mut Self {
        let channel = ChannelId::from_index(self.world().channels().len());
        let name = self.pen.intern(name);
        let capacity = if kind.is_queue() { 65536 } else { 0 };
        self.event(task, "", 0, Kind::Create { channel, kind, name, capacity, messages: false, found: false })
    }

    pub(crate) fn open(&mut self, task: &str, fd: i32, channel: &str, access: Access) -> &mut Self {
        let channel = self.channel(channel);
        self.event(
            task,
            "openat",
            i64::from(fd),
            Kind::Open { fd, channel, end: End::First, access, flags: FdFlags::default() },
        )
    }

    /// `pipe`: the read end is `fd`, the write end the next.
    pub(crate) fn pipe(&mut self, task: &str, name: &str, fd: i32) -> &mut Self {
        self.create(task, name, ChannelKind::Pipe);
        self.open(task, fd, name, Access::Read).open(task, fd + 1, name, Access::Write)
    }

    /// Time passes.
    pub(crate) fn passes(&mut self, nanoseconds: u64) -> &mut Self {
        self.passed += nanoseconds;
        self
    }

    /// How the run ended.
    pub(crate) fn ended(&mut self, how: Ended) -> &mut Self {
        let text = self.intern("");
        self.event("init", "", 0, Kind::End { how, text })
    }

    pub(crate) fn close(&mut self, task: &str, fd: i32) -> &mut Self {
        let channel = Some(self.at(task, fd));
        self.event(task, "close", 0, Kind::Close { fd, channel })
    }

    pub(crate) fn at(&self, task: &str, fd: i32) -> ChannelId {
        self.world().fd(self.task(task), fd).map_or_else(|| panic!("{task} has no {fd}"), |fd| fd.channel)
    }

    pub(crate) fn write(&mut self, task: &str, fd: i32, text: &str) -> &mut Self {
        self.write_kept(task, fd, text.len() as u64, text)
    }

    /// A write of which only the start was kept.
    pub(crate) fn write_kept(&mut self, task: &str, fd: i32, bytes: u64, kept: &str) -> &mut Self {
        let (channel, data) = (self.at(task, fd), self.pen.keep(kept.as_bytes()));
        self.event(task, "write", bytes as i64, Kind::Write { channel, via: Via::Fd(fd), bytes, data })
    }

    pub(crate) fn write_fails(&mut self, task: &str, fd: i32, errno: i32) -> &mut Self {
        let channel = self.at(task, fd);
        self.event(
            task,
            "write",
            -i64::from(errno),
            Kind::Write { channel, via: Via::Fd(fd), bytes: 0, data: Blob::EMPTY },
        )
    }

    pub(crate) fn read(&mut self, task: &str, fd: i32, bytes: u64) -> &mut Self {
        let channel = self.at(task, fd);
        self.event(task, "read", bytes as i64, Kind::Read { channel, via: Via::Fd(fd), bytes, data: Blob::EMPTY })
    }

    /// A load of a cell of eight bytes.
    pub(crate) fn load(&mut self, task: &str, channel: &str, offset: u64, value: i64) -> &mut Self {
        let (channel, data) = (self.channel(channel), self.pen.keep(&value.to_le_bytes()));
        self.event(task, "", 0, Kind::Load { channel, offset, data })
    }

    /// A store to a cell of eight bytes.
    pub(crate) fn store(&mut self, task: &str, channel: &str, offset: u64, old: i64, new: i64) -> &mut Self {
        let channel = self.channel(channel);
        let data = self.pen.keep(&[old.to_le_bytes(), new.to_le_bytes()].concat());
        self.event(task, "", 0, Kind::Store { channel, offset, data })
    }

    /// The identifier of a System V object.
    pub(crate) fn get(&mut self, task: &str, channel: &str) -> &mut Self {
        let channel = self.channel(channel);
        self.event(task, "semget", 1, Kind::Get { channel, id: 1 })
    }

    pub(crate) fn sem(&mut self, task: &str, channel: &str, index: u32, delta: i32, value: i32) -> &mut Self {
        let channel = self.channel(channel);
        self.event(task, "semop", 0, Kind::Sem { channel, index, delta, value, undo: false })
    }

    /// Sleeps for a semaphore that `on` holds.
    pub(crate) fn wait_for_value(&mut self, task: &str, channel: &str, on: &str) -> &mut Self {
        let (channel, on) = (Some(self.channel(channel)), Some(self.task(on)));
        self.event(task, "semop", 0, Kind::Block { channel, on, why: Why::Value, timeout: false, wanted: Blob::EMPTY })
    }

    /// Sleeps at a channel for exactly this.
    pub(crate) fn wants(&mut self, task: &str, call: &str, why: Why, channel: &str, wanted: &Wanted) -> &mut Self {
        let (channel, wanted) = (Some(self.channel(channel)), self.pen.keep(&wanted.to_bytes()));
        self.event(task, call, 0, Kind::Block { channel, on: None, why, timeout: false, wanted })
    }

    pub(crate) fn block(&mut self, task: &str, call: &str, why: Why) -> &mut Self {
        self.event(task, call, 0, Kind::Block { channel: None, on: None, why, timeout: false, wanted: Blob::EMPTY })
    }

    pub(crate) fn block_at(&mut self, task: &str, call: &str, why: Why, channel: &str) -> &mut Self {
        let channel = Some(self.channel(channel));
        self.event(task, call, 0, Kind::Block { channel, on: None, why, timeout: false, wanted: Blob::EMPTY })
    }

    pub(crate) fn block_on(&mut self, task: &str, call: &str, why: Why, on: &str) -> &mut Self {
        let on = Some(self.task(on));
        self.event(task, call, 0, Kind::Block { channel: None, on, why, timeout: false, wanted: Blob::EMPTY })
    }

    /// Sleeps at a channel for some time only.
    pub(crate) fn block_for_a_while(&mut self, task: &str, call: &str, why: Why, channel: &str) -> &mut Self {
        let channel = Some(self.channel(channel));
        self.event(task, call, 0, Kind::Block { channel, on: None, why, timeout: true, wanted: Blob::EMPTY })
    }

    /// The kernel says that these sleep.
    pub(crate) fn asleep(&mut self, tasks: &[&str]) -> &mut Self {
        let tasks = tasks.iter().map(|task| self.task(task)).collect();
        let parties = self.pen.keep(&super::Parties { tasks, channels: Vec::new() }.to_bytes());
        self.event("init", "", 0, Kind::Asleep { parties })
    }

    pub(crate) fn unblock(&mut self, task: &str) -> &mut Self {
        self.event(task, "", 0, Kind::Unblock { channel: None })
    }

    pub(crate) fn exit(&mut self, task: &str, code: i32) -> &mut Self {
        self.event(task, "exit_group", 0, Kind::Exit { status: Status::Code(code) })
    }

    pub(crate) fn killed(&mut self, task: &str, signal: Signal) -> &mut Self {
        self.event(task, "", 0, Kind::Exit { status: Status::Signal { signal, core: false } })
    }

    pub(crate) fn reap(&mut self, task: &str, child: &str) -> &mut Self {
        let child = self.task(child);
        let status = self.world().task(child).and_then(|child| child.status).unwrap_or(Status::Code(0));
        self.event(task, "wait4", i64::from(child.index() as i32), Kind::Reap { child, status })
    }

    pub(crate) fn reparent(&mut self, task: &str, to: &str) -> &mut Self {
        let to = self.task(to);
        self.event(task, "", 0, Kind::Reparent { to })
    }

    pub(crate) fn signal(&mut self, task: &str, phase: Phase, signal: Signal, from: Option<&str>) -> &mut Self {
        let from = from.map(|from| self.task(from));
        self.event(task, "", 0, signal_kind(phase, signal, from))
    }

    pub(crate) fn action(&mut self, task: &str, signal: Signal, disposition: Disposition) -> &mut Self {
        self.event(task, "rt_sigaction", 0, Kind::Action { signal, disposition, flags: 0, mask: SignalSet::EMPTY })
    }

    /// `alarm(2)` with that many nanoseconds; 0 stops it.
    pub(crate) fn alarm(&mut self, task: &str, left: u64) -> &mut Self {
        self.alarm_event(task, TimerChange::Set, left)
    }

    pub(crate) fn alarm_expires(&mut self, task: &str) -> &mut Self {
        self.alarm_event(task, TimerChange::Expire, 0)
    }

    fn alarm_event(&mut self, task: &str, change: TimerChange, left: u64) -> &mut Self {
        let (kind, signal) = (TimerKind::Real, Some(Signal::ALRM));
        self.event(task, "alarm", 0, Kind::Timer { kind, change, id: 0, signal, clock: 0, left, interval: 0 })
    }

    pub(crate) fn line(&mut self, task: &str, line: u32, text: &str) -> &mut Self {
        let text = self.pen.intern(text);
        self.event(task, "", 0, Kind::Line { line, text })
    }

    pub(crate) fn label(&mut self, task: &str, text: &str) -> &mut Self {
        let text = self.pen.intern(text);
        self.event(task, "", 0, Kind::Note { text, label: true })
    }

    pub(crate) fn syscall(&mut self, task: &str, call: &str, ret: i64, args: &str) -> &mut Self {
        let args = self.pen.keep(args.as_bytes());
        self.event(task, call, ret, Kind::Syscall { args })
    }
}
