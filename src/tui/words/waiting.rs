//! What a sleeper waits for, in words.

use super::Words;
use super::meeting::range;
use crate::model::{
    Access, Blocked, ChannelId, ChannelKind, End, LockKind, LockMode, Monitor, Polled, Task, Wanted, Why, Word,
};

/// How many of several descriptors are named.
const NAMED: usize = 4;

impl Words<'_> {
    /// `read p: empty`, `wait: no child has ended`, `semop s[1] -2: its value does not allow it`.
    pub fn waiting(&self, blocked: &Blocked, wanted: &Wanted) -> String {
        let call = self.call_of(blocked);
        let place = self.place(blocked, wanted);
        match (blocked.why, blocked.on) {
            (Why::Child | Why::Vfork | Why::Join, Some(child)) => format!("{call} for {}", self.task(child)),
            (Why::Lock | Why::Value, Some(holder)) => format!("{call}{place}: held by {}", self.task(holder)),
            (Why::Other, _) => format!("{call}{place}"),
            (Why::Empty | Why::NoPeer, _) if self.listens(blocked.channel) => {
                format!("{call}{place}: nobody has connected")
            }
            (Why::Empty, _) if blocked.channel.is_some_and(|id| self.is_terminal(id)) => {
                format!("{call}{place}: nothing to read yet")
            }
            (Why::Lock | Why::Futex, _) if blocked.channel.is_none() => format!("{call}: {}", woken(wanted)),
            (why, _) => format!("{call}{place}: {}", reason(why, blocked.timeout, wanted)),
        }
    }

    fn is_terminal(&self, id: ChannelId) -> bool {
        self.log.head().channel(id).is_some_and(|channel| channel.kind == ChannelKind::Terminal)
    }

    /// Whether a task reads the slave of a terminal that is in canonical mode (termios(3)).
    fn waits_for_line(&self, task: &Task, blocked: &Blocked) -> bool {
        let Some(channel) = blocked.channel.filter(|_| blocked.why == Why::Empty) else { return false };
        let monitor = self.world.channel(channel).and_then(|channel| channel.monitor.as_deref());
        matches!(monitor, Some(Monitor::Terminal { asked, .. }) if asked.canonical)
            && self.world.end_held(task.id, channel) == Some(End::Second)
    }

    /// The same of a task that sleeps now, when more is known: the value of the semaphore, the mode of the
    /// terminal.
    pub fn waiting_now(&self, task: &Task, blocked: &Blocked) -> String {
        let wanted = &task.wanted;
        if self.waits_for_line(task, blocked) {
            return format!("{}{}: no whole line has come", self.call_of(blocked), self.place(blocked, wanted));
        }
        let channel = blocked.channel.and_then(|id| self.world.channel(id));
        let index = match wanted {
            Wanted::Operation { index, .. } => *index,
            _ => 0,
        };
        match (blocked.why, channel.filter(|it| it.kind == ChannelKind::Sem)) {
            (Why::Value, Some(semaphore)) => {
                let holder = blocked.on.map_or_else(String::new, |on| format!("; held by {}", self.task(on)));
                let (call, place) = (self.call_of(blocked), self.place(blocked, wanted));
                format!("{call}{place}: its value is {}{holder}", semaphore.value(index))
            }
            _ => self.waiting(blocked, wanted),
        }
    }

    /// What exactly a sleeper at a channel wants, for a card: ` to read type 3`, ` [1] -2`, ` write lock 0 to 9`;
    /// nothing where the channel and the reason say it all.
    pub fn wish(&self, channel: ChannelId, wanted: &Wanted) -> String {
        match wanted {
            Wanted::Operation { index, delta } => {
                let name = self.semaphore(channel, *index);
                let index = name.strip_prefix(&self.channel(channel)).unwrap_or_default();
                match (index.is_empty(), *delta) {
                    (true, -1) => String::new(),
                    (true, delta) => format!(" {delta:+}"),
                    (false, delta) => format!(" {index} {delta:+}"),
                }
            }
            Wanted::Lock { kind, mode, start, len, .. } => lock(*kind, *mode, *start, *len).replacen(',', "", 1),
            Wanted::Message(kind) if *kind != 0 => format!(" {}", message(*kind)),
            _ => String::new(),
        }
    }

    fn call_of(&self, blocked: &Blocked) -> String {
        blocked.call.map_or_else(|| "a call".to_owned(), |call| self.sym(call))
    }

    /// At what it sleeps: ` p.read`, ` s[1] -2`, ` f, write lock on bytes 0–9`, ` p, q`.
    fn place(&self, blocked: &Blocked, wanted: &Wanted) -> String {
        match (blocked.channel, blocked.why, wanted) {
            (Some(channel), Why::Empty, Wanted::Message(kind)) if *kind != 0 => {
                format!(" {} {}", self.channel(channel), message(*kind))
            }
            (Some(channel), Why::Empty, _) => format!(" {}", self.end(channel, Access::Read)),
            (Some(channel), Why::Full, _) => format!(" {}", self.end(channel, Access::Write)),
            (Some(channel), _, Wanted::Operation { index, delta }) => {
                let name = self.semaphore(channel, *index);
                // Mostly it is one that is taken.
                if *delta == -1 { format!(" {name}") } else { format!(" {name} {delta:+}") }
            }
            (Some(channel), _, Wanted::Lock { kind, mode, start, len, .. }) => {
                format!(" {}{}", self.channel(channel), lock(*kind, *mode, *start, *len))
            }
            (Some(channel), _, Wanted::Word { at, .. }) => format!(" {} byte {at}", self.channel(channel)),
            (instance, _, Wanted::Ready { polled }) => self.several(instance, polled),
            (Some(channel), ..) => format!(" {}", self.channel(channel)),
            (None, ..) => String::new(),
        }
    }

    /// The descriptors of a poll by what they lead to; those of an epoll instance after its name.
    fn several(&self, instance: Option<ChannelId>, polled: &[Polled]) -> String {
        let is_epoll = |id| self.log.head().channel(id).is_some_and(|it| it.kind == ChannelKind::Epoll);
        let name = |one: &Polled| match one.channel {
            Some(channel) => self.end(channel, one.access),
            None => format!("descriptor {}", one.fd),
        };
        let mut names: Vec<String> = polled.iter().take(NAMED).map(name).collect();
        if polled.len() > NAMED {
            names.push("…".to_owned());
        }
        match instance.filter(|id| is_epoll(*id)) {
            Some(instance) if names.is_empty() => format!(" {}", self.channel(instance)),
            Some(instance) => format!(" {} for {}", self.channel(instance), names.join(", ")),
            None if names.is_empty() => String::new(),
            None => format!(" {}", names.join(", ")),
        }
    }
}

/// Which messages a msgrcv(2) takes.
fn message(kind: i64) -> String {
    if kind < 0 { format!("type 1 to {}", kind.unsigned_abs()) } else { format!("type {kind}") }
}

/// Which lock is wanted.
fn lock(kind: LockKind, mode: LockMode, start: u64, len: u64) -> String {
    let what = match (kind, mode) {
        (LockKind::Flock, LockMode::Read) => "shared flock",
        (LockKind::Flock, _) => "exclusive flock",
        (_, LockMode::Read) => "read lock",
        _ => "write lock",
    };
    let bytes = if kind == LockKind::Flock { String::new() } else { range(start, len) };
    format!(", {what}{bytes}")
}

/// What has to happen at a word of memory.
const fn woken(wanted: &Wanted) -> &'static str {
    match wanted {
        Wanted::Word { of: Word::Semaphore, .. } => "nobody has posted the semaphore",
        Wanted::Word { of: Word::Mutex, .. } => "somebody holds the mutex",
        _ => "until it is woken",
    }
}

/// Why a task sleeps.
const fn reason(why: Why, timeout: bool, wanted: &Wanted) -> &'static str {
    match why {
        Why::Empty if matches!(wanted, Wanted::Message(kind) if *kind != 0) => "no such message",
        Why::Empty => "empty",
        Why::Full => "full",
        Why::NoPeer => "nobody at the other end",
        Why::Child => "no child has ended",
        Why::Signal => "no signal has come",
        Why::Time => "time is not up",
        Why::Poll if timeout => "nothing is ready, and time is not up",
        Why::Poll => "nothing is ready",
        Why::Lock => "somebody holds the lock",
        Why::Futex => woken(wanted),
        Why::Join => "the thread has not ended",
        Why::Value => "its value does not allow it",
        Why::Backlog => "the backlog is full",
        Why::Vfork => "until the child execs or ends",
        Why::Barrier => "not everybody has come",
        Why::Other => "asleep",
    }
}
