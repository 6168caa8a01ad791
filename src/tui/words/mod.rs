//! Events in words: short for the timeline, longer for the event list, the search and the panes.
//!
//! Everything that comes out of here is safe to show; see [`super::text`].

mod meeting;
mod signal;
pub mod terminal;
mod waiting;

use crate::model::{
    Access, Blocked, ChannelId, ChannelKind, Disposition, End, Event, Hold, How, Kind, Log, MaskHow, Parties, Phase,
    Signal, SignalSet, State, Status, TaskId, Via, Wanted, Weight, World,
};

use super::app::Index;
use super::text;
pub use signal::action_flags;

/// How many columns of payload a line quotes.
const QUOTE: usize = 60;

/// Names things of one log, as they were called at one point of it.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    log: &'a Log,
    index: &'a Index,
    world: &'a World,
    scenario: bool,
}

impl<'a> Words<'a> {
    /// Words over a log; names are taken from `world` where it already has them.
    pub fn new(log: &'a Log, index: &'a Index, world: &'a World) -> Self {
        Self { log, index, world, scenario: log.header().scenario.is_some() }
    }

    /// A task's name: the last part of the path of its blocks, for a scenario process.
    pub fn task(&self, id: TaskId) -> String {
        let Some(task) = self.world.task(id).or_else(|| self.log.head().task(id)) else { return "?".to_owned() };
        let name = self.log.name(task.name);
        let short = if self.scenario { name.rsplit('.').next().unwrap_or(name) } else { name };
        text::clean(if short.is_empty() { name } else { short })
    }

    /// A channel's name.
    pub fn channel(&self, id: ChannelId) -> String {
        self.log.head().channel(id).map_or_else(|| "?".to_owned(), |channel| text::clean(self.log.name(channel.name)))
    }

    /// Whether a channel keeps messages apart.
    pub fn keeps_messages(&self, id: ChannelId) -> bool {
        self.log.head().channel(id).is_some_and(|channel| channel.messages)
    }

    /// What one end of a channel is called: `p.read`, `p.write`; the channel's name where it has no ends.
    pub fn end(&self, id: ChannelId, access: Access) -> String {
        let name = self.channel(id);
        let is_pipe = self.log.head().channel(id).is_some_and(|channel| channel.kind.is_pipe());
        match access {
            Access::Read if is_pipe => format!("{name}.read"),
            Access::Write if is_pipe => format!("{name}.write"),
            _ => name,
        }
    }

    /// Whether both sides of a terminal belong to the run.
    pub(super) fn is_pty(&self, id: ChannelId) -> bool {
        self.log.head().channel(id).is_some_and(|channel| channel.tty.master)
    }

    /// A side of a pseudo-terminal: `t.master`, `t.slave`.
    fn side(&self, id: ChannelId, end: End) -> String {
        format!("{}.{}", self.channel(id), if end == End::First { "master" } else { "slave" })
    }

    /// A string of the log.
    pub fn sym(&self, sym: crate::model::Sym) -> String {
        text::clean(self.log.name(sym))
    }

    /// The event in as few words as will do, without its task.
    pub fn brief(&self, seq: u64, event: &Event) -> String {
        if let Some(errno) = event.errno() {
            return self.failure(event, errno);
        }
        match event.kind {
            Kind::Spawn { child, how, .. } => self.spawn(event.task, child, how),
            Kind::Exec { path, .. } => format!("exec {}", self.sym(path)),
            Kind::Exit { status } => ended(status),
            Kind::Reap { child, status } => format!("reaps {}: {}", self.task(child), ended(status)),
            Kind::Reparent { to } => format!("parent is now {}", self.task(to)),
            Kind::Group { pgid, sid } => format!("group {pgid}, session {sid}"),
            Kind::Control { channel: Some(channel) } => format!("controlling terminal {}", self.channel(channel)),
            Kind::Control { channel: None } => "has no controlling terminal any more".to_owned(),
            Kind::Foreground { channel, pgid } => {
                format!("group {pgid} in the foreground of {}", self.channel(channel))
            }
            Kind::Window { channel, rows, columns } => format!("window of {}: {columns}×{rows}", self.channel(channel)),
            Kind::Open { fd, channel, end, .. } if self.is_pty(channel) => {
                format!("fd {fd} is {}", self.side(channel, end))
            }
            Kind::Open { fd, channel, access, .. } => format!("fd {fd} is {}", self.end(channel, access)),
            Kind::Close { fd, channel } => self.close(seq, fd, channel),
            Kind::Dup { fd, to, channel, .. } => {
                let what = channel.map_or_else(|| fd.to_string(), |channel| self.end_at(seq, channel));
                format!("{} {what} as {to}", self.call(event, "dup"))
            }
            Kind::Flags { fd, flags } => self::flags(fd, flags),
            Kind::Create { channel, kind, found, .. } => self.create(seq, event, channel, kind, found),
            Kind::Destroy { channel } => format!("{} is gone", self.channel(channel)),
            Kind::Capacity { channel, bytes } => format!("{} holds {bytes} B", self.channel(channel)),
            Kind::Write { data, bytes, via: Via::Fd(-1), .. } if event.task == TaskId::LAB => {
                format!("typed {}", self.quote(data, bytes))
            }
            Kind::Write { channel, bytes, via, .. } => {
                format!(
                    "{} {} {bytes} B{}",
                    self.call(event, "write"),
                    self.channel(channel),
                    self.mark_after(event, via)
                )
            }
            Kind::Read { channel, bytes: 0, .. } if !self.keeps_messages(channel) => {
                format!("{} {}: end of file", self.call(event, "read"), self.channel(channel))
            }
            Kind::Read { channel, bytes, via, .. } => {
                format!(
                    "{} {} {bytes} B{}",
                    self.call(event, "read"),
                    self.channel(channel),
                    self.mark_after(event, via)
                )
            }
            Kind::Seek { channel, position, .. } => format!("lseek {} to {position}", self.channel(channel)),
            Kind::Block { .. } => format!("waits in {}", self.next(seq, event)),
            Kind::Unblock { .. } => "wakes".to_owned(),
            _ => self.brief_signal(seq, event),
        }
    }

    fn brief_signal(&self, seq: u64, event: &Event) -> String {
        match event.kind {
            Kind::Action { signal, disposition, .. } => match disposition {
                Disposition::Default => format!("{signal} back to default"),
                Disposition::Ignore => format!("ignores {signal}"),
                Disposition::Handler => format!("catches {signal}"),
            },
            Kind::Mask { how, set, blocked } => mask(how, set, blocked),
            Kind::Signal { .. } => self.phase(seq, event),
            Kind::Interrupted { .. } | Kind::Altstack { .. } | Kind::Timer { .. } => {
                self.around_signals(event).unwrap_or_default()
            }
            Kind::Syscall { args } => {
                let call = self.call(event, "syscall");
                format!("{call}({}) = {}", text::clean_bytes(self.log.bytes(args), QUOTE), event.ret)
            }
            Kind::Line { line, text } => format!("line {line}: {}", self.sym(text)),
            Kind::Clock { now } => format!("clock {}", text::seconds(now)),
            Kind::Note { text, label: true } => format!("label {}", self.sym(text)),
            Kind::Note { text, label: false } => format!("note: {}", self.sym(text)),
            Kind::Diagnosis { rule, weight: Weight::Fault, .. } => format!("⚠ {}", self.sym(rule)),
            Kind::Diagnosis { rule, weight: Weight::Note, .. } => format!("note: {}", self.sym(rule)),
            Kind::End { .. } => "end of the run".to_owned(),
            Kind::Hold { hold } => held(hold).to_owned(),
            Kind::Asleep { parties } => format!("still asleep: {}", self.parties(parties).join(", ")),
            _ => self.brief_meeting(seq, event),
        }
    }

    /// The event as a line of its own, with its task and what it carried.
    pub fn full(&self, seq: u64, event: &Event) -> String {
        let who = self.task(event.task);
        match event.kind {
            Kind::Diagnosis { rule, weight: Weight::Fault, text, .. } => {
                format!("⚠ {}: {}", self.sym(rule), self.sym(text))
            }
            Kind::Diagnosis { rule, weight: Weight::Note, text, .. } => {
                format!("note: {}: {}", self.sym(rule), self.sym(text))
            }
            Kind::End { text, .. } => format!("end of the run: {}", self.sym(text)),
            Kind::Asleep { parties } => {
                format!("the kernel says that nobody has woken {}", self.parties(parties).join(", "))
            }
            Kind::Exec { argv, .. } => format!("{who}: exec {}", self.argv(argv)),
            Kind::Spawn { .. } if event.task == TaskId::LAB => format!("the lab {}", self.brief(seq, event)),
            Kind::Clock { now } => format!("the lab's clock: {}", text::seconds(now)),
            Kind::Write { data, bytes, .. } | Kind::Read { data, bytes, .. }
                if !data.is_empty() && event.task != TaskId::LAB =>
            {
                format!("{who}: {} {}", self.brief(seq, event), self.quote(data, bytes))
            }
            Kind::Load { .. } | Kind::Store { .. } => format!("{who}: {}", self.access(event)),
            Kind::Signal { phase: Phase::Generated, signal, from: Some(TaskId::LAB), code, value, .. }
                if terminal::cause(Phase::Generated, signal, Some(TaskId::LAB), code).is_none() =>
            {
                let value = if value == 0 { String::new() } else { format!(" with the value {value}") };
                format!("you sent {signal} to {who}{value}")
            }
            _ => format!("{who}: {}", self.brief(seq, event)),
        }
    }

    /// The event as something that is about to happen.
    pub fn next(&self, seq: u64, event: &Event) -> String {
        match event.kind {
            Kind::Block { channel, on, why, timeout, wanted } => {
                let wanted = Wanted::from_bytes(self.log.bytes(wanted));
                self.waiting(&Blocked { call: event.call, channel, on, why, timeout }, &wanted)
            }
            Kind::Signal { phase: Phase::Delivered, signal, .. } => format!("about to be delivered {signal}"),
            _ => self.brief(seq, event),
        }
    }

    /// The start of a payload between quotation marks.
    pub fn quote(&self, data: crate::model::Blob, bytes: u64) -> String {
        let shown = text::clean_bytes(self.log.bytes(data), QUOTE);
        let cut = u64::from(data.len) < bytes || text::width(&shown) > QUOTE;
        format!("\"{}{}\"", text::fit(&shown, QUOTE).trim_end_matches('…'), if cut { "…" } else { "" })
    }

    fn argv(&self, argv: crate::model::Blob) -> String {
        let bytes = self.log.bytes(argv);
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        let words = bytes.split(|byte| *byte == 0).take(32).map(|word| text::clean_bytes(word, QUOTE));
        words.collect::<Vec<_>>().join(" ")
    }

    fn call(&self, event: &Event, otherwise: &str) -> String {
        event.call.map_or_else(|| otherwise.to_owned(), |call| self.sym(call))
    }

    fn failure(&self, event: &Event, errno: i32) -> String {
        let what = match event.kind {
            Kind::Syscall { args } => format!("({})", text::clean_bytes(self.log.bytes(args), QUOTE)),
            Kind::Connect { channel, to: None, address: Some(address) } => {
                format!(" {} to {}", self.channel(channel), self.sym(address))
            }
            kind => kind.channel().map_or_else(String::new, |channel| format!(" {}", self.channel(channel))),
        };
        format!("{}{what}: {}", self.call(event, event.kind.name()), crate::model::errno_name(errno))
    }

    fn spawn(&self, maker: TaskId, child: TaskId, how: How) -> String {
        let verb = if maker == TaskId::LAB { "starts" } else { how.as_str() };
        format!("{verb} {}", self.task(child))
    }

    fn close(&self, seq: u64, fd: i32, channel: Option<ChannelId>) -> String {
        let Some(channel) = channel else { return format!("close {fd}") };
        format!("close {}", self.end_at(seq, channel))
    }

    /// The end of a channel that a descriptor led to when the event happened.
    fn end_at(&self, seq: u64, channel: ChannelId) -> String {
        self.index.access_at(seq).map_or_else(|| self.channel(channel), |access| self.end(channel, access))
    }

    fn create(&self, seq: u64, event: &Event, channel: ChannelId, kind: ChannelKind, found: bool) -> String {
        let name = self.channel(channel);
        let what = match kind {
            ChannelKind::Fifo => format!("FIFO {name}"),
            ChannelKind::Unix | ChannelKind::Tcp | ChannelKind::Udp => format!("{} socket {name}", kind.as_str()),
            ChannelKind::Mq | ChannelKind::Msg => format!("message queue {name}"),
            ChannelKind::Shm => format!("shared memory {name}"),
            ChannelKind::Memfd => format!("memory file {name}"),
            ChannelKind::Sem => format!("semaphore {name}"),
            ChannelKind::Terminal => format!("terminal {name}"),
            ChannelKind::Directory => format!("directory {name}"),
            ChannelKind::Device => format!("device {name}"),
            kind => format!("{} {name}", kind.as_str()),
        };
        let what = if found { format!("finds {what}") } else { what };
        let ends = self.ends_made(seq, event, channel);
        if ends.is_empty() { what } else { format!("{what}: {}", ends.join(", ")) }
    }

    /// The descriptors that came with a channel: the events right after its creation.
    fn ends_made(&self, seq: u64, made: &Event, channel: ChannelId) -> Vec<String> {
        let after = self.log.range(seq + 1..seq + 3).map(|(_, event)| event);
        let after = after.take_while(|event| event.task == made.task).map(|event| event.kind).enumerate();
        let end = |(n, kind)| match kind {
            Kind::Open { fd, channel: opened, access, .. } if opened == channel => Some(match access {
                Access::Read => format!("read {fd}"),
                Access::Write => format!("write {fd}"),
                _ => format!("fd {fd}"),
            }),
            Kind::Get { channel: got, id } if n == 0 && got == channel => Some(format!("id {id}")),
            Kind::Attach { channel: mapped, bytes, .. } if n == 0 && mapped == channel => Some(format!("{bytes} B")),
            _ => None,
        };
        after.map_while(end).collect()
    }

    fn listens(&self, channel: Option<ChannelId>) -> bool {
        channel.and_then(|id| self.log.head().channel(id)).is_some_and(|channel| channel.backlog().is_some())
    }

    /// The tasks of a diagnosis, by name.
    pub fn parties(&self, parties: crate::model::Blob) -> Vec<String> {
        let parties = Parties::from_bytes(self.log.bytes(parties));
        parties.tasks.iter().map(|task| self.task(*task)).collect()
    }
}

/// What the user keeps a task from.
const fn held(hold: Hold) -> &'static str {
    match hold {
        Hold::Nothing => "released by you",
        Hold::Steps => "held by you",
        Hold::Deliveries => "held by you before deliveries",
    }
}

/// How a task ended.
pub fn ended(status: Status) -> String {
    match status {
        Status::Code(code) => format!("exit {code}"),
        Status::Signal { signal, core: false } => format!("killed by {signal}"),
        Status::Signal { signal, core: true } => format!("killed by {signal}, core dumped"),
    }
}

/// A state as a symbol and a word; `ready` is a task that may move and does not.
pub const fn state(state: State, ready: bool) -> (&'static str, &'static str) {
    match state {
        State::Running if ready => ("●", "ready"),
        State::Running => ("▸", "running"),
        State::Blocked(_) => ("◌", "blocked"),
        State::Stopped(_) => ("⏸", "stopped"),
        State::Zombie => ("☠", "zombie"),
        State::Dead => ("✗", "gone"),
    }
}

fn flags(fd: i32, flags: crate::model::FdFlags) -> String {
    let all = [(flags.cloexec, "close-on-exec"), (flags.nonblock, "nonblocking"), (flags.append, "append")];
    let names: Vec<&str> = all.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    if names.is_empty() { format!("fd {fd}: no flags") } else { format!("fd {fd}: {}", names.join(", ")) }
}

fn mask(how: MaskHow, set: SignalSet, blocked: SignalSet) -> String {
    match how {
        MaskHow::Block if set.is_empty() => "blocks no more signals".to_owned(),
        MaskHow::Block => format!("blocks {}", signals(set)),
        MaskHow::Unblock if set.is_empty() => "unblocks no signal".to_owned(),
        MaskHow::Unblock => format!("unblocks {}", signals(set)),
        MaskHow::Set if blocked.is_empty() => "blocks no signal".to_owned(),
        MaskHow::Set => format!("mask is {}", signals(blocked)),
    }
}

/// A set of signals without the `SIG` of their names.
pub fn signals(set: SignalSet) -> String {
    let short = |signal: Signal| signal.to_string().trim_start_matches("SIG").to_owned();
    let inside: Vec<String> = Signal::all().filter(|signal| set.contains(*signal)).map(short).collect();
    let outside: Vec<String> = Signal::all().filter(|signal| !set.contains(*signal)).map(short).collect();
    match (inside.len(), outside.len()) {
        (0, _) => "none".to_owned(),
        (_, 0) => "all".to_owned(),
        (n, m) if n > 12 && m <= 6 => format!("all but {}", outside.join(" ")),
        _ => inside.join(" "),
    }
}
