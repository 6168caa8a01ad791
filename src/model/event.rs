//! What can happen, as the log keeps it.
//!
//! An [`Event`] is 64 bytes: a log of a million of them must fit beside a browser on a student's
//! laptop. Strings are symbols, payload is a range ([`Blob`]) of the log's bytes. Its number in the
//! log (`seq`) is its position there. `docs/events.md` is the reference for readers of recordings.

use super::{Blob, ChannelId, Signal, SignalSet, Sym, TaskId};

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since the start of the run.
    pub t_ns: u64,
    /// What the system call returned; a failure is `-errno`. 0 where [`call`](Self::call) is none.
    pub ret: i64,
    /// Whose event it is: who made the call, whose signal it is, who ended.
    pub task: TaskId,
    /// The name of the system call that it comes from, if it comes from one.
    pub call: Option<Sym>,
    /// What happened.
    pub kind: Kind,
}

impl Event {
    /// The error number of a failed call.
    pub const fn errno(&self) -> Option<i32> {
        if self.call.is_some() && self.ret < 0 && self.ret >= -4095 { Some(-(self.ret as i32)) } else { None }
    }

    /// Whether it comes from a call that failed.
    pub const fn failed(&self) -> bool {
        self.errno().is_some()
    }
}

/// What happened, with its own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A task came to life.
    Spawn {
        /// The new task.
        child: TaskId,
        /// Its PID (of a thread: its TID) as it sees it itself.
        pid: i32,
        /// Its name.
        name: Sym,
        /// By which kind of call.
        how: How,
        /// What it shares with its parent instead of having a copy.
        shares: Shares,
    },
    /// Another program was loaded.
    Exec {
        /// The path that was given.
        path: Sym,
        /// The arguments, each ended by a NUL byte.
        argv: Blob,
        /// The name that the task bears from now on; its own, if that does not change.
        name: Sym,
    },
    /// The task ended.
    Exit {
        /// How.
        status: Status,
    },
    /// The task learned of the end of a child, which is gone from now on.
    Reap {
        /// The child.
        child: TaskId,
        /// How the child ended.
        status: Status,
    },
    /// The task's parent ended; it has another one now.
    Reparent {
        /// The new parent; [`TaskId::LAB`] also stands for any process outside of the run.
        to: TaskId,
    },
    /// The task is in another process group or session.
    Group {
        /// Process group.
        pgid: i32,
        /// Session.
        sid: i32,
    },
    /// A descriptor was made.
    Open {
        /// The descriptor.
        fd: i32,
        /// What it leads to.
        channel: ChannelId,
        /// In which directions it may be used.
        access: Access,
        /// Its flags.
        flags: FdFlags,
    },
    /// A descriptor was closed: by the task, or by the kernel at an `execve`.
    Close {
        /// The descriptor.
        fd: i32,
        /// What it led to.
        channel: Option<ChannelId>,
    },
    /// A second descriptor of the same open file description.
    Dup {
        /// The first.
        fd: i32,
        /// The new one. What it led to before is closed.
        to: i32,
        /// What both lead to.
        channel: Option<ChannelId>,
        /// Whether the new one is closed by an `execve`.
        cloexec: bool,
    },
    /// A descriptor has other flags now.
    Flags {
        /// The descriptor.
        fd: i32,
        /// All its flags.
        flags: FdFlags,
    },
    /// A channel is there for the first time.
    Create {
        /// It.
        channel: ChannelId,
        /// What it is.
        kind: ChannelKind,
        /// Its name in panes, scenarios and recordings.
        name: Sym,
        /// How many bytes it holds at most; 0 where that means nothing.
        capacity: u64,
    },
    /// A channel is gone: nobody holds it, and it has no name that would keep it.
    Destroy {
        /// It.
        channel: ChannelId,
    },
    /// A channel holds another amount at most (`F_SETPIPE_SZ`).
    Capacity {
        /// It.
        channel: ChannelId,
        /// In bytes.
        bytes: u64,
    },
    /// Bytes went into a channel (or, after a failure, did not).
    Write {
        /// Where to.
        channel: ChannelId,
        /// Through which descriptor.
        fd: i32,
        /// How many, exactly.
        bytes: u64,
        /// The first of them, as many as are kept.
        data: Blob,
    },
    /// Bytes came out of a channel (or, after a failure, did not). 0 bytes is end-of-file.
    Read {
        /// Where from.
        channel: ChannelId,
        /// Through which descriptor.
        fd: i32,
        /// How many, exactly.
        bytes: u64,
        /// The first of them, as many as are kept.
        data: Blob,
    },
    /// The file position of a descriptor was set.
    Seek {
        /// The descriptor.
        fd: i32,
        /// What it leads to.
        channel: ChannelId,
        /// The new position, in bytes from the start.
        position: u64,
    },
    /// The task sleeps in a call, because something is not there yet.
    Block {
        /// Where it waits, if at a channel.
        channel: Option<ChannelId>,
        /// For whom it waits, if for one task.
        on: Option<TaskId>,
        /// For what.
        why: Why,
    },
    /// The task sleeps no more.
    Unblock {
        /// Where it waited.
        channel: Option<ChannelId>,
    },
    /// A disposition was set.
    Action {
        /// Of which signal.
        signal: Signal,
        /// To what.
        disposition: Disposition,
        /// `sa_flags` as given.
        flags: u32,
        /// `sa_mask`: what else is blocked while the handler runs.
        mask: SignalSet,
    },
    /// The signal mask was changed.
    Mask {
        /// In which way.
        how: MaskHow,
        /// By which set.
        set: SignalSet,
        /// The whole mask from now on.
        blocked: SignalSet,
    },
    /// A signal passed through one phase of its life.
    Signal {
        /// Which phase.
        phase: Phase,
        /// Which signal.
        signal: Signal,
        /// Who sent it; none is the kernel or a process outside of the run.
        from: Option<TaskId>,
        /// `si_code`.
        code: i32,
        /// `si_value` of `sigqueue` and timers, else 0.
        value: i64,
        /// The mask from now on, for `handler` and `returned`; else empty.
        blocked: SignalSet,
    },
    /// A call that nothing above describes.
    Syscall {
        /// Its arguments as text.
        args: Blob,
    },
    /// A scenario process is about to execute a statement.
    Line {
        /// The line in the file, from 1.
        line: u32,
        /// The statement as written.
        text: Sym,
    },
    /// Something said by a scenario or by the lab.
    Note {
        /// What.
        text: Sym,
        /// Whether it is a `label` of the scenario.
        label: bool,
    },
    /// A rule found something wrong.
    Diagnosis {
        /// Which rule.
        rule: Sym,
        /// One sentence: what is wrong, with names, and what would cure it.
        text: Sym,
        /// Which tasks and channels are in it; see [`Parties`].
        parties: Blob,
    },
}

impl Kind {
    /// The payload that belongs to it.
    pub const fn blob(&self) -> Blob {
        match *self {
            Self::Exec { argv, .. } => argv,
            Self::Write { data, .. } | Self::Read { data, .. } => data,
            Self::Syscall { args } => args,
            Self::Diagnosis { parties, .. } => parties,
            _ => Blob::EMPTY,
        }
    }

    /// The channel that it is about, if it is about one.
    pub const fn channel(&self) -> Option<ChannelId> {
        match *self {
            Self::Open { channel, .. }
            | Self::Create { channel, .. }
            | Self::Destroy { channel }
            | Self::Capacity { channel, .. }
            | Self::Write { channel, .. }
            | Self::Read { channel, .. }
            | Self::Seek { channel, .. } => Some(channel),
            Self::Close { channel, .. }
            | Self::Dup { channel, .. }
            | Self::Block { channel, .. }
            | Self::Unblock { channel } => channel,
            _ => None,
        }
    }

    /// Its name in a recording.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Spawn { .. } => "spawn",
            Self::Exec { .. } => "exec",
            Self::Exit { .. } => "exit",
            Self::Reap { .. } => "reap",
            Self::Reparent { .. } => "reparent",
            Self::Group { .. } => "group",
            Self::Open { .. } => "open",
            Self::Close { .. } => "close",
            Self::Dup { .. } => "dup",
            Self::Flags { .. } => "flags",
            Self::Create { .. } => "create",
            Self::Destroy { .. } => "destroy",
            Self::Capacity { .. } => "capacity",
            Self::Write { .. } => "write",
            Self::Read { .. } => "read",
            Self::Seek { .. } => "seek",
            Self::Block { .. } => "block",
            Self::Unblock { .. } => "unblock",
            Self::Action { .. } => "action",
            Self::Mask { .. } => "mask",
            Self::Signal { .. } => "signal",
            Self::Syscall { .. } => "syscall",
            Self::Line { .. } => "line",
            Self::Note { .. } => "note",
            Self::Diagnosis { .. } => "diagnosis",
        }
    }
}

/// By which kind of call a task was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `fork`, or a `clone` that amounts to it.
    Fork,
    /// `vfork`: the parent waits until the child execs or exits.
    Vfork,
    /// A `clone` that shares something but makes a process.
    Clone,
    /// A `clone` that makes a thread.
    Thread,
}

impl How {
    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Vfork => "vfork",
            Self::Clone => "clone",
            Self::Thread => "thread",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Fork, Self::Vfork, Self::Clone, Self::Thread].into_iter().find(|how| how.as_str() == text)
    }
}

/// What a new task shares with its parent (clone(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shares {
    /// The descriptor table (`CLONE_FILES`).
    pub files: bool,
    /// The signal dispositions (`CLONE_SIGHAND`).
    pub actions: bool,
    /// The parent (`CLONE_PARENT`): the new task is a sibling of its maker.
    pub parent: bool,
}

/// How a task ended (wait(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By `exit`, with this code, 0 to 255.
    Code(i32),
    /// By a signal.
    Signal {
        /// Which.
        signal: Signal,
        /// Whether a core dump was made.
        core: bool,
    },
}

/// In which directions a descriptor may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `O_RDONLY`, or the read end.
    Read,
    /// `O_WRONLY`, or the write end.
    Write,
    /// `O_RDWR`.
    ReadWrite,
    /// Neither: `O_PATH`, an epoll instance.
    None,
}

impl Access {
    /// Whether bytes may come out through it.
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Whether bytes may go in through it.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }

    /// `r`, `w`, `rw` or `-`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Write => "w",
            Self::ReadWrite => "rw",
            Self::None => "-",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::ReadWrite, Self::None].into_iter().find(|access| access.as_str() == text)
    }
}

/// The flags of a descriptor and of its open file description that the lab follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct FdFlags {
    /// Closed by an `execve` (of the descriptor).
    pub cloexec: bool,
    /// Calls fail with EAGAIN instead of waiting (of the open file description).
    pub nonblock: bool,
    /// Writes go to the end (of the open file description).
    pub append: bool,
}

/// What kind of thing a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// pipe(7), without a name.
    Pipe,
    /// fifo(7), with a name.
    Fifo,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A character or block device other than a terminal.
    Device,
    /// A terminal, or one side of a pseudo-terminal.
    Terminal,
    /// unix(7).
    Unix,
    /// tcp(7).
    Tcp,
    /// udp(7).
    Udp,
    /// A socket of another family.
    Socket,
    /// eventfd(2).
    Eventfd,
    /// signalfd(2).
    Signalfd,
    /// `timerfd_create(2)`.
    Timerfd,
    /// epoll(7).
    Epoll,
    /// inotify(7) and fanotify(7).
    Inotify,
    /// `pidfd_open(2)`.
    Pidfd,
    /// `mq_overview(7)`.
    Mq,
    /// `memfd_create(2)`.
    Memfd,
    /// Anything else that a descriptor can lead to.
    Anonymous,
}

impl ChannelKind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::Pipe,
        Self::Fifo,
        Self::File,
        Self::Directory,
        Self::Device,
        Self::Terminal,
        Self::Unix,
        Self::Tcp,
        Self::Udp,
        Self::Socket,
        Self::Eventfd,
        Self::Signalfd,
        Self::Timerfd,
        Self::Epoll,
        Self::Inotify,
        Self::Pidfd,
        Self::Mq,
        Self::Memfd,
        Self::Anonymous,
    ];

    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Fifo => "fifo",
            Self::File => "file",
            Self::Directory => "dir",
            Self::Device => "dev",
            Self::Terminal => "pty",
            Self::Unix => "unix",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Socket => "socket",
            Self::Eventfd => "eventfd",
            Self::Signalfd => "signalfd",
            Self::Timerfd => "timerfd",
            Self::Epoll => "epoll",
            Self::Inotify => "inotify",
            Self::Pidfd => "pidfd",
            Self::Mq => "mq",
            Self::Memfd => "memfd",
            Self::Anonymous => "anon",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether what is written waits inside until it is read.
    pub const fn is_queue(self) -> bool {
        matches!(self, Self::Pipe | Self::Fifo)
    }

    /// Whether processes meet at it, so that it deserves a row of its own; files and devices are
    /// shown too, but after these.
    pub const fn is_meeting_point(self) -> bool {
        matches!(
            self,
            Self::Pipe | Self::Fifo | Self::Unix | Self::Tcp | Self::Udp | Self::Socket | Self::Eventfd | Self::Mq
        )
    }

    /// Whether it is gone when the last descriptor is closed.
    pub const fn is_anonymous(self) -> bool {
        !matches!(self, Self::Fifo | Self::File | Self::Directory | Self::Device | Self::Terminal | Self::Mq)
    }
}

/// Why a task sleeps in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The channel holds nothing to read.
    Empty,
    /// The channel has no room.
    Full,
    /// Nobody has opened the other end.
    NoPeer,
    /// No child has ended (or, with `on`, that child).
    Child,
    /// No signal has come.
    Signal,
    /// The time is not over.
    Time,
    /// None of several descriptors is ready.
    Poll,
    /// Another task holds the lock, or has not woken the futex.
    Lock,
    /// A `vfork`ed child has neither exec'd nor ended.
    Vfork,
    /// Not every party has come to the scenario's `barrier`.
    Barrier,
    /// Something that the lab does not look into.
    Other,
}

impl Why {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Empty,
        Self::Full,
        Self::NoPeer,
        Self::Child,
        Self::Signal,
        Self::Time,
        Self::Poll,
        Self::Lock,
        Self::Vfork,
        Self::Barrier,
        Self::Other,
    ];

    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Full => "full",
            Self::NoPeer => "no-peer",
            Self::Child => "child",
            Self::Signal => "signal",
            Self::Time => "time",
            Self::Poll => "poll",
            Self::Lock => "lock",
            Self::Vfork => "vfork",
            Self::Barrier => "barrier",
            Self::Other => "other",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == text)
    }
}

/// What a process does about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Disposition {
    /// What the signal does by itself.
    #[default]
    Default,
    /// Nothing.
    Ignore,
    /// A function of the program.
    Handler,
}

impl Disposition {
    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Ignore => "ignore",
            Self::Handler => "handler",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Default, Self::Ignore, Self::Handler].into_iter().find(|it| it.as_str() == text)
    }
}

/// In which way a mask was changed (sigprocmask(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MaskHow {
    /// `SIG_BLOCK`.
    Block,
    /// `SIG_UNBLOCK`.
    Unblock,
    /// `SIG_SETMASK`.
    Set,
}

impl MaskHow {
    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::Set => "set",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Block, Self::Unblock, Self::Set].into_iter().find(|how| how.as_str() == text)
    }
}

/// The phases of a signal's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It was sent.
    Generated,
    /// It waits, because it is blocked.
    Pending,
    /// It was taken out of the queue to be acted on.
    Delivered,
    /// The handler is about to execute its first instruction.
    Handler,
    /// The handler has returned.
    Returned,
    /// It was thrown away, because it is ignored.
    Ignored,
    /// Its default action was taken.
    Default,
    /// The user of the lab threw it away.
    Suppressed,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 8] = [
        Self::Generated,
        Self::Pending,
        Self::Delivered,
        Self::Handler,
        Self::Returned,
        Self::Ignored,
        Self::Default,
        Self::Suppressed,
    ];

    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Handler => "handler",
            Self::Returned => "returned",
            Self::Ignored => "ignored",
            Self::Default => "default",
            Self::Suppressed => "suppressed",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

/// The tasks and channels that a diagnosis is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parties {
    /// The tasks, in the order in which the sentence names them.
    pub tasks: Vec<TaskId>,
    /// The channels, likewise.
    pub channels: Vec<ChannelId>,
}

impl Parties {
    /// As the payload of an event: the number of tasks, the tasks, the channels, each a
    /// little-endian `u32`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = std::iter::once(self.tasks.len());
        let tasks = self.tasks.iter().map(|task| task.index());
        let channels = self.channels.iter().map(|channel| channel.index());
        count.chain(tasks).chain(channels).flat_map(|n| (n as u32).to_le_bytes()).collect()
    }

    /// Back from [`to_bytes`](Self::to_bytes); what does not fit is left out.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut numbers = bytes
            .chunks_exact(4)
            .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
            .filter(|n| *n < u32::MAX as usize);
        let count = numbers.next().unwrap_or(0);
        let tasks = numbers.by_ref().take(count).map(TaskId::from_index).collect();
        Self { tasks, channels: numbers.map(ChannelId::from_index).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_64_bytes() {
        assert_eq!(size_of::<Event>(), 64);
    }

    #[test]
    fn parties_come_back() {
        let parties = Parties {
            tasks: vec![TaskId::from_index(3), TaskId::from_index(0)],
            channels: vec![ChannelId::from_index(9)],
        };
        assert_eq!(Parties::from_bytes(&parties.to_bytes()), parties);
        assert_eq!(Parties::from_bytes(&[]), Parties::default());
    }
}
