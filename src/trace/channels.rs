//! From descriptors to channels: which two descriptors lead to the same thing, and its name.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;

use super::recorder::{Outcome, Recorder};
use crate::model::{Access, ChannelId, ChannelKind, End, FdFlags, Kind, Sym, TaskId};
use crate::sys::procfs::FdFacts;

/// What the kernel tells one object from another by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Device and inode number, of whatever a descriptor leads to.
    Inode(u64, u64),
    /// IPC namespace and identifier of a System V message queue.
    Msg(u64, i32),
    /// The same of a System V segment.
    Segment(u64, i32),
    /// The same of a System V semaphore set.
    Set(u64, i32),
    /// A process, for its own memory.
    Memory(TaskId),
    /// Both sides of a pseudo-terminal: the device of its devpts, and its number there.
    Pty(u64, u32),
}

impl Identity {
    /// That of whatever a descriptor leads to.
    pub const fn of(facts: &FdFacts) -> Self {
        match facts.pty {
            Some((device, number)) => Self::Pty(device, number),
            None => Self::Inode(facts.identity.0, facts.identity.1),
        }
    }
}

/// A channel that is met for the first time.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// What the kernel tells it by; none for what can only be met once.
    pub identity: Option<Identity>,
    /// What it is.
    pub kind: ChannelKind,
    /// Its name, if nobody else has it.
    pub name: &'a str,
    /// How many bytes it holds at most, or, of memory, how many it is; 0 where that means nothing.
    pub capacity: u64,
    /// Whether it keeps messages apart.
    pub messages: bool,
    /// Whether it was there before the run.
    pub found: bool,
}

/// The channels of the run by what the kernel calls them.
#[derive(Debug, Default)]
pub struct Channels {
    by_identity: HashMap<Identity, ChannelId>,
    identities: HashMap<ChannelId, Identity>,
    names: HashSet<String>,
    /// The number that a name got last, if it was given more than once.
    numbers: HashMap<String, u32>,
    /// The POSIX queues by IPC namespace and name, which need not be in any file system.
    queues: HashMap<(u64, Vec<u8>), ChannelId>,
    /// Whether the call that is being looked at made what it opened.
    made_now: bool,
    count: usize,
}

impl Channels {
    /// The channel that `facts` lead to. A new one is written to the log as `task`'s; it is called
    /// `name` if that is given and free.
    pub fn find(&mut self, recorder: &mut Recorder, task: TaskId, facts: &FdFacts, name: Option<&str>) -> ChannelId {
        let kind = kind(facts);
        let identity = Identity::of(facts);
        if let Some(&channel) = self.by_identity.get(&identity)
            && Self::is_same(recorder, channel, kind, facts)
        {
            return channel;
        }
        let default = default_name(kind, facts);
        // Inodes of anonymous files are shared by all of a kind: such a descriptor is its own identity.
        let identity = (!shares_inode(facts)).then_some(identity);
        let capacity = match kind {
            kind if kind.is_pipe() => 65_536,
            kind if kind.is_memory() => facts.size,
            ChannelKind::Sem => 1,
            _ => 0,
        };
        let name = name.unwrap_or(&default);
        // A FIFO that was made in the run is known since then.
        let found = kind == ChannelKind::Fifo || (kind.outlives() && !self.made_now);
        self.make(recorder, task, New { identity, kind, name, capacity, messages: false, found })
    }

    /// Writes to the log, as `task`'s, that there is a channel which has not been met before.
    pub fn make(&mut self, recorder: &mut Recorder, task: TaskId, new: New<'_>) -> ChannelId {
        self.make_by(recorder, task, None, new)
    }

    /// The same, if it is a call that made it.
    pub fn make_by(
        &mut self,
        recorder: &mut Recorder,
        task: TaskId,
        outcome: Option<Outcome>,
        new: New<'_>,
    ) -> ChannelId {
        let New { identity, kind, name, capacity, messages, found } = new;
        let name = self.unique(name);
        let channel = ChannelId::from_index(self.count);
        self.count += 1;
        if let Some(identity) = identity {
            self.by_identity.insert(identity, channel);
            self.identities.insert(channel, identity);
        }
        let name = recorder.intern(&name);
        let created = Kind::Create { channel, kind, name, capacity, messages, found };
        match outcome {
            Some(outcome) => recorder.of_call(task, outcome, created),
            None => recorder.plain(task, created),
        }
        channel
    }

    /// Says whether what is opened from now on is made by its opener, as far as it can be met at all
    /// before the run.
    pub const fn set_made_now(&mut self, made_now: bool) {
        self.made_now = made_now;
    }

    /// A POSIX queue is called so in the kernel, until that name is removed.
    pub fn name_queue(&mut self, space: u64, name: Vec<u8>, channel: ChannelId) {
        self.queues.insert((space, name), channel);
    }

    /// The POSIX queue of this name.
    pub fn queue_named(&self, space: u64, name: Vec<u8>) -> Option<ChannelId> {
        self.queues.get(&(space, name)).copied()
    }

    /// The name of a POSIX queue is free again.
    pub fn unname_queue(&mut self, channel: ChannelId) {
        self.queues.retain(|_, named| *named != channel);
    }

    /// An inode number is used again after a file is deleted: then kind or name differ, and nobody
    /// holds the old one.
    fn is_same(recorder: &Recorder, channel: ChannelId, kind: ChannelKind, facts: &FdFacts) -> bool {
        recorder.world().channel(channel).is_some_and(|known| {
            known.kind == kind
                && known.alive
                && (known.holders > 0
                    || !matches!(kind, ChannelKind::File | ChannelKind::Fifo)
                    || same_file(recorder.names().get(known.name), facts))
        })
    }

    /// What the log calls a channel whose identity is known, if it has met it.
    pub fn known(&self, identity: Identity) -> Option<ChannelId> {
        self.by_identity.get(&identity).copied()
    }

    /// Forgets a channel that is gone: its inode number may come back as another.
    pub fn forget(&mut self, channel: ChannelId) {
        if let Some(identity) = self.identities.remove(&channel) {
            self.by_identity.remove(&identity);
        }
    }

    fn unique(&mut self, name: &str) -> String {
        if self.names.insert(name.to_owned()) {
            return name.to_owned();
        }
        // Where there are thousands of pipes, the numbers that are taken must not be tried again.
        let number = self.numbers.entry(name.to_owned()).or_insert(1);
        loop {
            *number += 1;
            let unique = format!("{name}#{number}");
            if self.names.insert(unique.clone()) {
                return unique;
            }
        }
    }
}

fn same_file(name: &str, facts: &FdFacts) -> bool {
    let path = facts.link.to_string_lossy();
    name.split('#').next() == Some(&path) || path.ends_with(name)
}

fn shares_inode(facts: &FdFacts) -> bool {
    facts.link.as_os_str().as_bytes().starts_with(b"anon_inode:")
}

/// `MQUEUE_MAGIC` of ipc/mqueue.c: a descriptor of `mq_open` leads to such a file, mounted or not.
const MQUEUE: i64 = 0x1980_0202;
/// Where the C library keeps POSIX segments (shm_overview(7)).
const SEGMENTS: &[u8] = b"/dev/shm/";
/// And what the names of POSIX semaphores begin with there (sem_overview(7)).
const SEMAPHORES: &[u8] = b"/dev/shm/sem.";

/// What kind of thing a descriptor leads to.
pub fn kind(facts: &FdFacts) -> ChannelKind {
    let link = facts.link.as_os_str().as_bytes();
    match facts.mode & libc::S_IFMT {
        libc::S_IFIFO if link.starts_with(b"pipe:") => ChannelKind::Pipe,
        libc::S_IFIFO => ChannelKind::Fifo,
        libc::S_IFREG if link.starts_with(b"/memfd:") => ChannelKind::Memfd,
        libc::S_IFREG if facts.filesystem == MQUEUE => ChannelKind::Mq,
        libc::S_IFREG if link.starts_with(SEMAPHORES) => ChannelKind::Sem,
        libc::S_IFREG if link.starts_with(SEGMENTS) => ChannelKind::Shm,
        libc::S_IFREG => ChannelKind::File,
        libc::S_IFDIR => ChannelKind::Directory,
        libc::S_IFSOCK => ChannelKind::Socket,
        libc::S_IFCHR if is_terminal(facts.rdev) => ChannelKind::Terminal,
        libc::S_IFCHR | libc::S_IFBLK => ChannelKind::Device,
        _ => anonymous(link),
    }
}

/// Terminals by their major numbers (Documentation/admin-guide/devices.txt).
fn is_terminal(rdev: u64) -> bool {
    let (major, minor) = (libc::major(rdev), libc::minor(rdev));
    matches!(major, 4 | 136..=143) || (major == 5 && minor < 3)
}

/// Which end of a channel that is no socket a descriptor leads to. The first end of a terminal is the side
/// that plays the user, a descriptor of `/dev/ptmx` (pty(7)); the second is what programs run on.
pub fn end(facts: &FdFacts) -> End {
    let is_master = (libc::major(facts.rdev), libc::minor(facts.rdev)) == (5, 2);
    if kind(facts) == ChannelKind::Terminal && !is_master { End::Second } else { End::First }
}

fn anonymous(link: &[u8]) -> ChannelKind {
    let kinds: [(&[u8], ChannelKind); 7] = [
        (b"anon_inode:[eventfd", ChannelKind::Eventfd),
        (b"anon_inode:[eventpoll", ChannelKind::Epoll),
        (b"anon_inode:[signalfd", ChannelKind::Signalfd),
        (b"anon_inode:[timerfd", ChannelKind::Timerfd),
        (b"anon_inode:inotify", ChannelKind::Inotify),
        (b"anon_inode:[pidfd", ChannelKind::Pidfd),
        (b"pidfd:", ChannelKind::Pidfd),
    ];
    kinds.iter().find(|(prefix, _)| link.starts_with(prefix)).map_or(ChannelKind::Anonymous, |(_, kind)| *kind)
}

fn default_name(kind: ChannelKind, facts: &FdFacts) -> String {
    match kind {
        ChannelKind::Fifo | ChannelKind::File | ChannelKind::Directory | ChannelKind::Device | ChannelKind::Mq => {
            facts.link.to_string_lossy().into_owned()
        }
        ChannelKind::Shm | ChannelKind::Sem => posix_name(&facts.link.to_string_lossy()),
        ChannelKind::Terminal => match facts.pty {
            Some((_, number)) => format!("pts/{number}"),
            None => facts.link.to_string_lossy().into_owned(),
        },
        ChannelKind::Memfd => {
            let link = facts.link.to_string_lossy();
            link.trim_start_matches('/').trim_end_matches(" (deleted)").to_owned()
        }
        kind => kind.as_str().to_owned(),
    }
}

/// The name of a POSIX segment or semaphore, as the program that opens it says it: `/name`.
pub fn posix_name(path: &str) -> String {
    let path = path.trim_end_matches(" (deleted)");
    let inner = path.strip_prefix("/dev/shm/").unwrap_or(path);
    format!("/{}", inner.strip_prefix("sem.").unwrap_or(inner))
}

/// In which directions a descriptor may be used.
pub fn access(facts: &FdFacts) -> Access {
    if facts.flags & libc::O_PATH != 0 {
        return Access::None;
    }
    match facts.flags & libc::O_ACCMODE {
        libc::O_RDONLY => Access::Read,
        libc::O_WRONLY => Access::Write,
        _ => Access::ReadWrite,
    }
}

/// The flags that the lab follows.
pub const fn flags(facts: &FdFacts) -> FdFlags {
    FdFlags {
        cloexec: facts.flags & libc::O_CLOEXEC != 0,
        nonblock: facts.flags & libc::O_NONBLOCK != 0,
        append: facts.flags & libc::O_APPEND != 0,
    }
}

/// The name of a call's symbol, for calls made so often that a look-up would show.
#[derive(Debug, Default)]
pub struct CallNames {
    syms: Vec<Option<Sym>>,
}

impl CallNames {
    /// The symbol of a call's name.
    pub fn sym(&mut self, recorder: &mut Recorder, number: u64) -> Sym {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(Some(sym)) = self.syms.get(index) {
            return *sym;
        }
        let sym = recorder.intern(&super::calls::name(number));
        if index < 1024 {
            self.syms.resize(self.syms.len().max(index + 1), None);
            self.syms[index] = Some(sym);
        }
        sym
    }
}
