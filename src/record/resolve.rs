//! From a line to an event: names are looked up, and what does not fit is refused with a reason.

use std::collections::HashMap;

use super::line::{Data, Line, Text, To};
use super::words;
use crate::model::{
    Access, Blob, ChannelId, ChannelKind, Disposition, End, Ended, Event, Hold, How, Kind, LockKind, LockMode, MaskHow,
    MessageType, Parties, Pen, Phase, Queue, Signal, SignalSet, Status, Sym, TaskId, Then, TimerChange, TimerKind, Via,
    Weight, Why,
};

/// Descriptors and the like that a recording may make copies of by spawning tasks. It lies far
/// beyond what a machine runs; a forged recording must not fill the memory.
const MAX_COPIES: usize = 1 << 22;

/// Who bears which name, and the pen that writes the log.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) pen: Pen,
    tasks: HashMap<Box<str>, TaskId>,
    channels: HashMap<Box<str>, ChannelId>,
    copies: usize,
}

impl Resolver {
    pub(super) fn new(pen: Pen, lab: &str) -> Self {
        Self { pen, tasks: HashMap::from([(lab.into(), TaskId::LAB)]), channels: HashMap::new(), copies: 0 }
    }

    /// Writes the event of a line.
    pub(super) fn write(&mut self, line: &Line<'_>) -> Result<(), String> {
        let task = self.task(&line.task)?;
        let kind = self.kind(task, line)?;
        let call = line.call.as_ref().map(|call| self.pen.intern(call));
        let ret = if call.is_some() { line.ret.unwrap_or(0) } else { 0 };
        let event = Event { t_ns: line.t, ret, task, call, kind };
        if let Kind::Spawn { .. } = kind {
            self.bound_copies(task)?;
        }
        self.pen.write(event);
        if !event.failed() {
            self.learn(task, line, kind);
        }
        Ok(())
    }

    /// Who bears which name after the event.
    fn learn(&mut self, task: TaskId, line: &Line<'_>, kind: Kind) {
        match (kind, &line.child, &line.channel, &line.name) {
            (Kind::Spawn { child, .. }, Some(name), ..) => {
                self.tasks.insert(name.0.as_ref().into(), child);
            }
            (Kind::Create { channel, .. }, _, Some(name), _) => {
                self.channels.insert(name.0.as_ref().into(), channel);
            }
            (Kind::Exec { .. }, _, _, Some(name)) => {
                if self.tasks.get(&*line.task.0) == Some(&task) {
                    self.tasks.remove(&*line.task.0);
                }
                self.tasks.insert(name.0.as_ref().into(), task);
            }
            _ => {}
        }
    }

    /// A new task gets copies of what its maker has; counted again only after many.
    fn bound_copies(&mut self, maker: TaskId) -> Result<(), String> {
        let world = self.pen.world();
        let size =
            |id: TaskId| world.fds(id).count() + world.task(id).map_or(0, |task| task.handling.len() + task.uses.len());
        self.copies += size(maker);
        if self.copies > MAX_COPIES {
            self.copies = world.living().map(|task| size(task.id)).sum::<usize>() + size(maker);
            if self.copies > MAX_COPIES / 2 {
                return Err("more descriptors are open at once than any machine has".to_owned());
            }
        }
        Ok(())
    }

    fn kind(&mut self, task: TaskId, line: &Line<'_>) -> Result<Kind, String> {
        Ok(match &*line.event {
            "spawn" => Kind::Spawn {
                child: self.next_task(),
                pid: need(line.child_pid, "child_pid")?,
                name: self.sym(line.child.as_ref(), "child")?,
                how: parse(line.how.as_ref(), "how", How::parse)?,
                shares: words::parse_shares(line.shares.iter().flatten().map(|word| &**word)),
            },
            "exec" => self.exec(task, line)?,
            "exit" => Kind::Exit { status: status(line)? },
            "reap" => Kind::Reap { child: self.task(need(line.child.as_ref(), "child")?)?, status: status(line)? },
            "reparent" => match need(line.to.as_ref(), "to")? {
                To::Text(to) => Kind::Reparent { to: self.task(to)? },
                To::Number(_) => return Err("`to` is not the name of a task".to_owned()),
            },
            "group" => Kind::Group { pgid: need(line.pgid, "pgid")?, sid: need(line.sid, "sid")? },
            "terminal" => Kind::Control { channel: self.any_channel(line)? },
            "foreground" => Kind::Foreground { channel: self.channel(line)?, pgid: need(line.pgid, "pgid")? },
            "window" => Kind::Window {
                channel: self.channel(line)?,
                rows: need(line.rows, "rows")?,
                columns: need(line.columns, "columns")?,
            },
            "open" | "pass" | "close" | "dup" | "flags" | "seek" => self.descriptor(line)?,
            "create" | "destroy" | "unlink" | "capacity" | "block" | "unblock" => self.at_channel(line)?,
            "write" | "read" => self.transfer(line)?,
            "copied" => Kind::Copied { channel: self.channel(line)?, bytes: need(line.bytes, "bytes")? },
            "drop" => Kind::Drop { channel: self.channel(line)?, bytes: need(line.bytes, "bytes")? },
            "get" | "attach" | "detach" => self.attachment(line)?,
            "address" | "listen" | "connect" | "accept" | "shutdown" => self.socket(line)?,
            "sem" | "lock" | "load" | "store" => self.shared(line)?,
            "monitor" => Kind::Monitor { channel: self.channel(line)?, told: self.told(line)? },
            "action" | "mask" | "signal" => self.signal(line)?,
            "interrupted" | "altstack" | "timer" => around_signals(line)?,
            "syscall" => Kind::Syscall { args: self.keep(need(line.args.as_ref(), "args")?) },
            "line" => Kind::Line { line: need(line.number, "line")?, text: self.sym(line.text.as_ref(), "text")? },
            "note" => Kind::Note { text: self.sym(line.text.as_ref(), "text")?, label: line.label.unwrap_or_default() },
            "clock" => Kind::Clock { now: need(line.now, "now")? },
            "limit" => Kind::Limit {
                limit: self.sym(line.limit.as_ref(), "limit")?,
                value: need(line.value.and_then(|value| u64::try_from(value).ok()), "value")?,
                asked: line.asked.unwrap_or(0),
            },
            "diagnosis" => Kind::Diagnosis {
                rule: self.sym(line.rule.as_ref(), "rule")?,
                weight: optional(line.weight.as_ref(), "weight", Weight::parse)?.unwrap_or_default(),
                text: self.sym(line.text.as_ref(), "text")?,
                parties: self.parties(line)?,
            },
            "end" => Kind::End {
                how: parse(line.how.as_ref(), "how", Ended::parse)?,
                text: self.sym(line.text.as_ref(), "text")?,
            },
            "asleep" => Kind::Asleep { parties: self.parties(line)? },
            "hold" => Kind::Hold { hold: parse(line.how.as_ref(), "how", Hold::parse)? },
            other => return Err(unknown("event", other)),
        })
    }

    fn exec(&mut self, task: TaskId, line: &Line<'_>) -> Result<Kind, String> {
        let mut argv = Vec::new();
        for word in need(line.argv.as_ref(), "argv")? {
            argv.extend_from_slice(&word.0);
            argv.push(0);
        }
        let old = self.pen.world().task(task).map(|task| task.name);
        let name = match (&line.name, old) {
            (None, Some(old)) => old,
            (name, _) => self.sym(name.as_ref().or(Some(&line.task)), "name")?,
        };
        Ok(Kind::Exec { path: self.sym(line.path.as_ref(), "path")?, argv: self.pen.keep(&argv), name })
    }

    fn descriptor(&mut self, line: &Line<'_>) -> Result<Kind, String> {
        let fd = need(line.fd, "fd")?;
        let flags = words::parse_fd_flags(line.flags.iter().flatten().map(|word| &**word));
        Ok(match &*line.event {
            "open" => {
                let access = parse(line.access.as_ref(), "access", Access::parse)?;
                Kind::Open { fd, channel: self.channel(line)?, end: end(line)?, access, flags }
            }
            "pass" => Kind::Pass {
                fd,
                channel: self.channel(line)?,
                from: line.from.as_ref().map(|from| self.task(from)).transpose()?,
                description: need(line.description, "description")?,
                end: end(line)?,
                access: parse(line.access.as_ref(), "access", Access::parse)?,
                flags,
            },
            "close" => Kind::Close { fd, channel: self.any_channel(line)? },
            "dup" => {
                let to = match line.to {
                    Some(To::Number(to)) => i32::try_from(to).map_err(|_| "`to` is too large".to_owned())?,
                    _ => return Err("`to` is not a descriptor number".to_owned()),
                };
                Kind::Dup { fd, to, channel: self.any_channel(line)?, cloexec: line.cloexec.unwrap_or_default() }
            }
            "flags" => Kind::Flags { fd, flags },
            _ => Kind::Seek { fd, channel: self.channel(line)?, position: need(line.position, "position")? },
        })
    }

    fn at_channel(&mut self, line: &Line<'_>) -> Result<Kind, String> {
        Ok(match &*line.event {
            "create" => {
                need(line.channel.as_ref(), "channel")?;
                Kind::Create {
                    channel: self.next_channel(),
                    // A kind that only a later version knows is still something to meet at.
                    kind: parse(line.kind.as_ref(), "kind", |kind| {
                        Some(ChannelKind::parse(kind).unwrap_or(ChannelKind::Anonymous))
                    })?,
                    name: self.sym(line.name.as_ref().or(line.channel.as_ref()), "name")?,
                    capacity: line.capacity.unwrap_or(0),
                    messages: line.messages.unwrap_or_default(),
                    found: line.found.unwrap_or_default(),
                }
            }
            "destroy" => Kind::Destroy { channel: self.channel(line)? },
            "unlink" => Kind::Unlink { channel: self.channel(line)? },
            "capacity" => Kind::Capacity { channel: self.channel(line)?, bytes: need(line.bytes, "bytes")? },
            "block" => Kind::Block {
                channel: self.any_channel(line)?,
                on: line.on.as_ref().map(|on| self.task(on)).transpose()?,
                why: parse(line.why.as_ref(), "why", |why| Some(Why::parse(why).unwrap_or(Why::Other)))?,
                timeout: line.timeout.unwrap_or_default(),
                wanted: self.wanted(line)?,
            },
            _ => Kind::Unblock { channel: self.any_channel(line)? },
        })
    }

    fn transfer(&mut self, line: &Line<'_>) -> Result<Kind, String> {
        let channel = self.channel(line)?;
        let bytes = need(line.bytes, "bytes")?;
        let via = match (line.fd, &line.type_) {
            (_, Some(To::Number(number))) => Via::Msg(MessageType::new(*number)),
            (_, Some(To::Text(_))) => return Err("`type` is not a number".to_owned()),
            (None, None) => Via::Memory,
            (Some(fd), None) => match (line.priority, &line.peer) {
                (Some(priority), _) => Via::Mq(fd, priority),
                (None, Some(_)) => Via::Socket(fd, self.sym(line.peer.as_ref(), "peer")?),
                (None, None) if line.positioned == Some(true) => Via::At(fd),
                (None, None) => Via::Fd(fd),
            },
        };
        let data = line.data.as_ref().map_or(Blob::EMPTY, |data| self.keep(data));
        Ok(if &*line.event == "write" {
            Kind::Write { channel, via, bytes, data }
        } else {
            Kind::Read { channel, via, bytes, data }
        })
    }

    fn attachment(&self, line: &Line<'_>) -> Result<Kind, String> {
        let channel = self.channel(line)?;
        Ok(match &*line.event {
            "get" => Kind::Get { channel, id: need(line.id, "id")? },
            "attach" => Kind::Attach {
                channel,
                address: need(line.at, "at")?,
                bytes: need(line.bytes, "bytes")?,
                offset: line.offset.unwrap_or(0),
                access: parse(line.access.as_ref(), "access", Access::parse)?,
            },
            _ => Kind::Detach { channel, address: need(line.at, "at")?, bytes: need(line.bytes, "bytes")? },
        })
    }

    fn socket(&mut self, line: &Line<'_>) -> Result<Kind, String> {
        let channel = self.channel(line)?;
        Ok(match &*line.event {
            "address" => {
                Kind::Address { channel, end: end(line)?, address: self.sym(line.address.as_ref(), "address")? }
            }
            "listen" => Kind::Listen { channel, backlog: need(line.backlog, "backlog")? },
            "connect" => {
                let to = match &line.to {
                    Some(To::Text(to)) => Some(self.channel_called(to)?),
                    Some(To::Number(_)) => return Err("`to` is not the name of a channel".to_owned()),
                    None => None,
                };
                let address = line.address.is_some().then(|| self.sym(line.address.as_ref(), "address")).transpose()?;
                Kind::Connect { channel, to, address }
            }
            "accept" => {
                let connection = self.channel_called(need(line.connection.as_ref(), "connection")?)?;
                Kind::Accept { channel, connection }
            }
            _ => {
                let how = parse(line.access.as_ref(), "access", Access::parse)?;
                Kind::Shutdown { channel, end: end(line)?, how }
            }
        })
    }

    fn shared(&mut self, line: &Line<'_>) -> Result<Kind, String> {
        let channel = self.channel(line)?;
        Ok(match &*line.event {
            "sem" => Kind::Sem {
                channel,
                index: need(line.index, "index")?,
                delta: need(line.delta, "delta")?,
                value: need(line.value.and_then(|value| i32::try_from(value).ok()), "value")?,
                undo: line.undo.unwrap_or_default(),
            },
            "lock" => {
                let mode = match &line.type_ {
                    Some(To::Text(mode)) => LockMode::parse(mode).ok_or_else(|| unknown("type of lock", mode))?,
                    _ => return Err("the field `type` is missing".to_owned()),
                };
                let kind = parse(line.kind.as_ref(), "kind", LockKind::parse)?;
                let (start, len) = (need(line.start, "start")?, need(line.len, "len")?);
                Kind::Lock { channel, fd: need(line.fd, "fd")?, kind, mode, start, len }
            }
            "load" => {
                let data = self.keep(need(line.data.as_ref(), "data")?);
                Kind::Load { channel, offset: need(line.offset, "offset")?, data }
            }
            _ => {
                let (old, new) = (need(line.old.as_ref(), "old")?, need(line.data.as_ref(), "data")?);
                if old.0.len() != new.0.len() {
                    return Err("`old` and `data` differ in length".to_owned());
                }
                let data = self.pen.keep(&[&*old.0, &*new.0].concat());
                Kind::Store { channel, offset: need(line.offset, "offset")?, data }
            }
        })
    }

    fn signal(&self, line: &Line<'_>) -> Result<Kind, String> {
        let set = |words: Option<&Vec<Text<'_>>>| -> Result<SignalSet, String> {
            words.into_iter().flatten().map(|word| signal(word)).collect()
        };
        Ok(match &*line.event {
            "action" => {
                let mut flags = 0;
                for word in line.flags.iter().flatten() {
                    flags |= words::action_flag(word).ok_or_else(|| unknown("flag", word))?;
                }
                Kind::Action {
                    signal: signal(need(line.signal.as_ref(), "signal")?)?,
                    disposition: parse(line.disposition.as_ref(), "disposition", Disposition::parse)?,
                    flags,
                    mask: set(line.mask.as_ref())?,
                }
            }
            "mask" => Kind::Mask {
                how: parse(line.how.as_ref(), "how", MaskHow::parse)?,
                set: set(line.set.as_ref())?,
                blocked: set(Some(need(line.blocked.as_ref(), "blocked")?))?,
            },
            _ => Kind::Signal {
                phase: parse(line.phase.as_ref(), "phase", Phase::parse)?,
                signal: signal(need(line.signal.as_ref(), "signal")?)?,
                queue: line
                    .queue
                    .as_ref()
                    .map_or(Ok(Queue::Process), |word| Queue::parse(word).ok_or_else(|| unknown("queue", word)))?,
                from: line.from.as_ref().map(|from| self.task(from)).transpose()?,
                code: line.code.unwrap_or(0),
                value: line.value.unwrap_or(0),
                blocked: set(line.blocked.as_ref())?,
            },
        })
    }

    fn parties(&mut self, line: &Line<'_>) -> Result<Blob, String> {
        let tasks = line.tasks.iter().flatten().map(|name| self.task(name)).collect::<Result<_, _>>()?;
        let channels = line.channels.iter().flatten().map(|name| self.channel_called(name));
        let parties = Parties { tasks, channels: channels.collect::<Result<_, _>>()? };
        Ok(self.pen.keep(&parties.to_bytes()))
    }

    /// Identities are given in the order of the lines.
    fn next_task(&self) -> TaskId {
        TaskId::from_index(self.pen.world().tasks().len())
    }

    fn next_channel(&self) -> ChannelId {
        ChannelId::from_index(self.pen.world().channels().len())
    }

    fn keep(&mut self, data: &Data<'_>) -> Blob {
        self.pen.keep(&data.0)
    }

    fn sym(&mut self, text: Option<&Text<'_>>, field: &str) -> Result<Sym, String> {
        Ok(self.pen.intern(need(text, field)?))
    }

    pub(super) fn task(&self, name: &str) -> Result<TaskId, String> {
        self.tasks.get(name).copied().ok_or_else(|| format!("no task is called {} yet", quoted(name)))
    }

    pub(super) fn channel_called(&self, name: &str) -> Result<ChannelId, String> {
        self.channels.get(name).copied().ok_or_else(|| format!("no channel is called {} yet", quoted(name)))
    }

    fn channel(&self, line: &Line<'_>) -> Result<ChannelId, String> {
        self.channel_called(need(line.channel.as_ref(), "channel")?)
    }

    fn any_channel(&self, line: &Line<'_>) -> Result<Option<ChannelId>, String> {
        line.channel.as_ref().map(|name| self.channel_called(name)).transpose()
    }
}

fn end(line: &Line<'_>) -> Result<End, String> {
    match line.end.as_deref() {
        None => Ok(End::First),
        Some("second") => Ok(End::Second),
        Some(other) => Err(unknown("end", other)),
    }
}

pub(super) fn need<T>(field: Option<T>, name: &str) -> Result<T, String> {
    field.ok_or_else(|| format!("the field `{name}` is missing"))
}

pub(super) fn parse<T>(word: Option<&Text<'_>>, field: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    let word = need(word, field)?;
    parse(word).ok_or_else(|| unknown(field, word))
}

/// The same of a field that may be missing.
fn optional<T>(word: Option<&Text<'_>>, field: &str, known: impl Fn(&str) -> Option<T>) -> Result<Option<T>, String> {
    word.map(|_| parse(word, field, known)).transpose()
}

pub(super) fn signal(name: &str) -> Result<Signal, String> {
    Signal::parse(name).ok_or_else(|| unknown("signal", name))
}

/// What has to do with signals and is none: calls they interrupt, stacks for handlers, timers.
fn around_signals(line: &Line<'_>) -> Result<Kind, String> {
    Ok(match &*line.event {
        "interrupted" => Kind::Interrupted {
            signal: signal(need(line.signal.as_ref(), "signal")?)?,
            then: parse(line.then.as_ref(), "then", Then::parse)?,
        },
        "altstack" => Kind::Altstack {
            base: need(line.at, "at")?,
            bytes: need(line.bytes, "bytes")?,
            autodisarm: line.autodisarm.unwrap_or_default(),
        },
        _ => Kind::Timer {
            kind: parse(line.kind.as_ref(), "kind", TimerKind::parse)?,
            change: parse(line.change.as_ref(), "change", TimerChange::parse)?,
            id: line.id.unwrap_or(0),
            signal: line.signal.as_ref().map(|name| signal(name)).transpose()?,
            clock: line.clock.unwrap_or(0),
            left: need(line.left, "left")?,
            interval: line.interval.unwrap_or(0),
        },
    })
}

fn status(line: &Line<'_>) -> Result<Status, String> {
    match (&line.signal, line.code) {
        (Some(name), _) => Ok(Status::Signal { signal: signal(name)?, core: line.core.unwrap_or_default() }),
        (None, Some(code)) => Ok(Status::Code(code)),
        (None, None) => Err("neither `code` nor `signal` says how it ended".to_owned()),
    }
}

pub(super) fn unknown(what: &str, word: &str) -> String {
    format!("{} is no {what}", quoted(word))
}

/// A word from the file, short enough for a message.
fn quoted(word: &str) -> String {
    let short: String = word.chars().take(40).collect();
    if short.len() < word.len() { format!("{short:?}…") } else { format!("{short:?}") }
}
