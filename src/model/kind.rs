//! The kinds of channels, and the reasons to wait at one.

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
    /// A System V message queue (`sysvipc(7)`).
    Msg,
    /// Memory that processes share: a System V or POSIX segment, or an anonymous shared mapping.
    Shm,
    /// A System V semaphore set or a POSIX semaphore.
    Sem,
    /// Anything else that a descriptor can lead to.
    Anonymous,
}

impl ChannelKind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
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
        Self::Msg,
        Self::Shm,
        Self::Sem,
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
            Self::Msg => "msg",
            Self::Shm => "shm",
            Self::Sem => "sem",
            Self::Anonymous => "anon",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether what is written waits inside until it is read.
    pub const fn is_queue(self) -> bool {
        matches!(self, Self::Pipe | Self::Fifo | Self::Unix | Self::Tcp | Self::Udp | Self::Mq | Self::Msg)
    }

    /// Whether it has a read end and a write end, and end-of-file when no write end is open.
    pub const fn is_pipe(self) -> bool {
        matches!(self, Self::Pipe | Self::Fifo)
    }

    /// Whether it is a socket.
    pub const fn is_socket(self) -> bool {
        matches!(self, Self::Unix | Self::Tcp | Self::Udp | Self::Socket)
    }

    /// Whether it is memory that is read and written without a call.
    pub const fn is_memory(self) -> bool {
        matches!(self, Self::Shm | Self::Memfd)
    }

    /// Whether it tells of something else: of a count, of signals, of time, of a process, of descriptors.
    pub const fn tells(self) -> bool {
        matches!(self, Self::Eventfd | Self::Signalfd | Self::Timerfd | Self::Pidfd | Self::Epoll)
    }

    /// Whether processes meet at it, so that it deserves a row of its own; files and devices are
    /// shown too, but after these.
    pub const fn is_meeting_point(self) -> bool {
        self.is_queue() || self.tells() || matches!(self, Self::Socket | Self::Shm | Self::Sem)
    }

    /// Whether it is gone when the last descriptor is closed.
    pub const fn is_anonymous(self) -> bool {
        !matches!(
            self,
            Self::Fifo
                | Self::File
                | Self::Directory
                | Self::Device
                | Self::Terminal
                | Self::Mq
                | Self::Msg
                | Self::Shm
                | Self::Sem
        )
    }

    /// Whether it outlives the processes that use it until somebody removes it.
    pub const fn outlives(self) -> bool {
        matches!(self, Self::Fifo | Self::Mq | Self::Msg | Self::Shm | Self::Sem)
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
    /// Another task holds the lock.
    Lock,
    /// Nobody has woken it at a word of memory (futex(2)): a semaphore, a condition variable, a lock whose owner
    /// is not known.
    Futex,
    /// The thread has not ended (`pthread_join(3)`).
    Join,
    /// A semaphore's value is too low (or, where zero is waited for, too high).
    Value,
    /// The listening socket has as many connections waiting as it takes.
    Backlog,
    /// A `vfork`ed child has neither exec'd nor ended.
    Vfork,
    /// Not every party has come to the scenario's `barrier`.
    Barrier,
    /// Something that the lab does not look into.
    Other,
}

impl Why {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::Empty,
        Self::Full,
        Self::NoPeer,
        Self::Child,
        Self::Signal,
        Self::Time,
        Self::Poll,
        Self::Lock,
        Self::Futex,
        Self::Join,
        Self::Value,
        Self::Backlog,
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
            Self::Futex => "futex",
            Self::Join => "join",
            Self::Value => "value",
            Self::Backlog => "backlog",
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

/// Which kind of lock on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// `fcntl` with `F_SETLK`: it belongs to the process, and goes when that closes any descriptor of
    /// the file.
    Process,
    /// `fcntl` with `F_OFD_SETLK`: it belongs to the open file description.
    Description,
    /// `flock`: it belongs to the open file description and covers the whole file.
    Flock,
}

impl LockKind {
    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "fcntl",
            Self::Description => "ofd",
            Self::Flock => "flock",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Process, Self::Description, Self::Flock].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What a lock lets others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockMode {
    /// Others may have the same: `F_RDLCK`, `LOCK_SH`.
    Read,
    /// Nobody else may have any: `F_WRLCK`, `LOCK_EX`.
    Write,
    /// No lock any more: `F_UNLCK`, `LOCK_UN`.
    Unlock,
}

impl LockMode {
    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Unlock => "unlock",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Unlock].into_iter().find(|mode| mode.as_str() == text)
    }
}
