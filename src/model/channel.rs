//! A channel as the fold knows it: totals, what is inside, and what belongs to its kind.

use std::collections::BTreeMap;

use super::{ChannelId, ChannelKind, Contents, End, LockKind, LockMode, Memory, Monitor, Sym, TaskId, Via};

/// Anything that processes can meet at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and they combine freely")]
pub struct Channel {
    /// Its identity.
    pub id: ChannelId,
    /// What it is.
    pub kind: ChannelKind,
    /// Its name.
    pub name: Sym,
    /// How many bytes it holds at most, or, of memory, how many it is; 0 where that means nothing.
    pub capacity: u64,
    /// Whether it keeps messages apart.
    pub messages: bool,
    /// Whether it was there before the run.
    pub found: bool,
    /// Whether it still exists.
    pub alive: bool,
    /// Whether the name under which others find it was removed.
    pub unlinked: bool,
    /// Descriptors in the run through which bytes may come out.
    pub readers: u32,
    /// Descriptors in the run through which bytes may go in.
    pub writers: u32,
    /// Descriptors in the run, those that can do neither included, and mappings and identifiers.
    pub holders: u32,
    /// Bytes that tasks of the run wrote, ever.
    pub written: u64,
    /// Bytes that tasks of the run read, ever.
    pub read: u64,
    /// Messages that the kernel threw away, ever.
    pub lost: u64,
    /// What was written and waits to be read at the first end; only for kinds that queue.
    pub contents: Contents,
    /// What waits to be read at the second end of a connection.
    pub far: Contents,
    /// What is known of the bytes of memory.
    pub memory: Memory,
    /// The semaphores of a set by their number, as far as they are known; all others are 0.
    pub semaphores: BTreeMap<u32, Semaphore>,
    /// The locks on a file.
    pub locks: Vec<Lock>,
    /// What belongs to sockets alone.
    pub socket: Option<Box<Socket>>,
    /// What it tells of, if it is a descriptor that tells of something else.
    pub monitor: Option<Box<Monitor>>,
    /// The epoll instances in whose interest lists it stands.
    pub watchers: Vec<ChannelId>,
    /// What belongs to terminals alone.
    pub tty: Tty,
}

impl Channel {
    /// One that has just been made.
    pub fn new(id: ChannelId, kind: ChannelKind, name: Sym, capacity: u64) -> Self {
        Self {
            id,
            kind,
            name,
            capacity,
            messages: false,
            found: false,
            alive: true,
            unlinked: false,
            readers: 0,
            writers: 0,
            holders: 0,
            written: 0,
            read: 0,
            lost: 0,
            contents: Contents::default(),
            far: Contents::default(),
            memory: Memory::default(),
            semaphores: BTreeMap::new(),
            locks: Vec::new(),
            socket: kind.is_socket().then(Box::default),
            monitor: (kind == ChannelKind::Epoll).then(|| Box::new(Monitor::Interests(Vec::new()))),
            watchers: Vec::new(),
            tty: Tty::default(),
        }
    }

    /// How full it is, from 0 to 1; `None` where it has no bound.
    pub fn fullness(&self) -> Option<f64> {
        let bounded = self.capacity > 0 && !self.kind.is_memory();
        bounded.then(|| (self.filled() as f64 / self.capacity as f64).min(1.0))
    }

    /// Whether its capacity is a number of messages and not of bytes, as that of a POSIX queue is
    /// (`mq_maxmsg`). A System V queue keeps messages apart too, but is full by their bytes
    /// (`msg_qbytes`).
    pub const fn counts_messages(&self) -> bool {
        matches!(self.kind, ChannelKind::Mq)
    }

    /// How much of its capacity is taken, in the same unit: messages where
    /// [`counts_messages`](Self::counts_messages) says so, else bytes.
    pub fn filled(&self) -> u64 {
        if self.counts_messages() {
            (self.contents.count() as u64).saturating_add(self.unseen())
        } else {
            self.contents.len()
        }
    }

    /// How many messages from before the run are in a POSIX queue; nobody can look into them.
    pub fn unseen(&self) -> u64 {
        match self.monitor.as_deref() {
            Some(Monitor::Unseen(count)) => *count,
            _ => 0,
        }
    }

    /// Whether what moves by this way goes through its contents. Reading the file of a POSIX queue in
    /// `/dev/mqueue`, for one, takes no message out (mq_overview(7)).
    pub const fn carries(&self, via: Via) -> bool {
        match self.kind {
            ChannelKind::Mq => matches!(via, Via::Mq(..)),
            ChannelKind::Msg => matches!(via, Via::Msg(_)),
            kind => kind.is_queue() && !matches!(via, Via::Memory),
        }
    }

    /// What waits to be read at an end.
    pub const fn inbox(&self, end: End) -> &Contents {
        match end {
            End::First => &self.contents,
            End::Second => &self.far,
        }
    }

    pub(super) const fn inbox_mut(&mut self, end: End) -> &mut Contents {
        match end {
            End::First => &mut self.contents,
            End::Second => &mut self.far,
        }
    }

    /// Counts what moved at an end of a terminal. What the lab moves goes through the master.
    pub(super) fn count_at_terminal(&mut self, end: Option<End>, bytes: u64, written: bool) {
        if self.kind == ChannelKind::Terminal {
            let counts = if written { &mut self.tty.written } else { &mut self.tty.read };
            let count = &mut counts[end.unwrap_or_default().index()];
            *count = count.saturating_add(bytes);
            self.forget_readiness();
        }
    }

    /// Something has happened at a terminal: which of its ends are ready has to be asked again.
    pub(super) fn forget_readiness(&mut self) {
        if let Some(Monitor::Terminal { known, .. }) = self.monitor.as_deref_mut() {
            *known = false;
        }
    }

    /// How many bytes wait inside, in both directions together.
    pub const fn waiting(&self) -> u64 {
        self.contents.len().saturating_add(self.far.len())
    }

    /// The end where what is written through `end` waits to be read. What comes in through another
    /// socket (`None`) waits at the first.
    pub fn destination(&self, end: Option<End>) -> End {
        match end {
            Some(end) if self.kind.is_socket() => end.other(),
            _ => End::First,
        }
    }

    /// The same for what is written by the way `via`, if it waits anywhere in the run: a datagram may
    /// go to a socket outside, and what is written to an end that is gone is lost.
    pub fn arrival(&self, end: Option<End>, via: Via) -> Option<End> {
        if !self.carries(via) {
            return None;
        }
        let Some(socket) = &self.socket else { return Some(End::First) };
        let arrival = match (end, via) {
            // A datagram to the socket itself.
            (Some(_), Via::Socket(_, peer)) => (socket.addresses[0] == Some(peer)).then_some(End::First),
            _ => Some(self.destination(end)),
        };
        arrival.filter(|end| !socket.outside[end.index()] && !socket.closed[end.index()])
    }

    /// Whether it is a socket without a second end, into which anybody may send datagrams.
    pub fn takes_from_all(&self) -> bool {
        let second = End::Second.index();
        let single = |socket: &Socket| socket.held[second] == 0 && !socket.closed[second];
        self.messages && self.socket.as_ref().is_some_and(|socket| single(socket))
    }

    /// Whether an end lies outside of the run.
    pub fn is_outside(&self, end: End) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.outside[end.index()])
    }

    /// Whether it listens, and if so how many connections may wait.
    pub fn backlog(&self) -> Option<u32> {
        self.socket.as_ref().and_then(|socket| socket.backlog)
    }

    /// Who holds one of its semaphores, if that is used as a lock: one was taken, and none is left. Of
    /// others nobody can say who will give: whoever took from a count of free places is mostly not the
    /// one who frees a place.
    pub fn holder(&self, index: u32) -> Option<TaskId> {
        let semaphore = self.semaphores.get(&index).filter(|semaphore| semaphore.value == 0)?;
        if let [Held { by, count: 1 }] = semaphore.taken[..] { Some(by) } else { None }
    }

    /// The value of one of its semaphores.
    pub fn value(&self, index: u32) -> i32 {
        self.semaphores.get(&index).map_or(0, |semaphore| semaphore.value)
    }
}

/// What belongs to terminals alone (ioctl_tty(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tty {
    /// The session whose controlling terminal it is; 0 for none, or one that is not known.
    pub sid: i32,
    /// The process group in its foreground; 0 for none, or one that is not known.
    pub foreground: i32,
    /// Lines and columns of its window; 0 where they are not known.
    pub window: (u16, u16),
    /// Whether its master is, or was, in the run: the first of its ends.
    pub master: bool,
    /// How many descriptors of the run lead to each end.
    pub held: [u32; 2],
    /// How many bytes were written at each end, ever.
    pub written: [u64; 2],
    /// How many bytes were read at each end, ever. They are not those that were written at the other: a
    /// terminal echoes, translates and edits (termios(3)).
    pub read: [u64; 2],
}

/// A semaphore of a set; a POSIX one is a set of one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Semaphore {
    /// Its value.
    pub value: i32,
    /// Who changed it last.
    pub last: Option<TaskId>,
    /// Who took it and has not given it back: processes, with how much.
    pub taken: Vec<Held>,
    /// What the kernel adds when a process ends (`SEM_UNDO`).
    pub undo: Vec<Held>,
    /// The processes that have raised it, in the order in which they first did.
    pub raised: Vec<TaskId>,
    /// Those that have lowered it.
    pub lowered: Vec<TaskId>,
}

/// How much of a semaphore a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The process.
    pub by: TaskId,
    /// How much.
    pub count: i32,
}

impl Semaphore {
    /// Gives it a value: nobody holds it any more, and the kernel takes nothing back (semctl(2)).
    pub(super) fn set(&mut self, by: TaskId, value: i32) {
        let (raised, lowered) = (std::mem::take(&mut self.raised), std::mem::take(&mut self.lowered));
        *self = Self { value, last: Some(by), raised, lowered, ..Self::default() };
    }

    /// Takes one change in: who takes something holds it until somebody gives it back.
    pub(super) fn change(&mut self, process: TaskId, delta: i32, value: i32, undo: bool) {
        self.value = value;
        // What the lab says comes from outside of the run.
        self.last = (process != TaskId::LAB).then_some(process);
        let side = if delta > 0 { &mut self.raised } else { &mut self.lowered };
        if delta != 0 && !side.contains(&process) {
            side.push(process);
        }
        add(&mut self.taken, process, delta.saturating_neg());
        self.taken.retain(|held| held.count > 0);
        if undo {
            add(&mut self.undo, process, delta.saturating_neg());
            self.undo.retain(|held| held.count != 0);
        }
    }
}

fn add(list: &mut Vec<Held>, by: TaskId, count: i32) {
    match list.iter_mut().find(|held| held.by == by) {
        Some(held) => held.count = held.count.saturating_add(count),
        None => list.push(Held { by, count }),
    }
}

/// Whose a lock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A process.
    Process(TaskId),
    /// An open file description, by the event that opened it.
    Description(u64),
}

/// A lock that is held on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Which kind.
    pub kind: LockKind,
    /// What it lets others do; never [`LockMode::Unlock`].
    pub mode: LockMode,
    /// The first byte.
    pub start: u64,
    /// The byte after the last; `u64::MAX` where it reaches to the end of the file.
    pub end: u64,
    /// Whose it is.
    pub owner: Owner,
    /// Who set it.
    pub by: TaskId,
}

impl Lock {
    /// Whether two locks cannot both be held.
    pub fn excludes(&self, other: &Self) -> bool {
        let same_world = (self.kind == LockKind::Flock) == (other.kind == LockKind::Flock);
        let overlap = self.start < other.end && other.start < self.end;
        let exclusive = self.mode == LockMode::Write || other.mode == LockMode::Write;
        same_world && overlap && exclusive && self.owner != other.owner
    }
}

/// Sets a lock, or removes with [`LockMode::Unlock`]: what the owner had there before is replaced, and
/// what touches becomes one, as fcntl(2) has it.
pub(super) fn set_lock(locks: &mut Vec<Lock>, new: Lock) {
    let mut kept = Vec::with_capacity(locks.len() + 2);
    let mut merged = new;
    for lock in locks.drain(..) {
        if lock.owner != new.owner || lock.kind != new.kind {
            kept.push(lock);
        } else if lock.mode == merged.mode && lock.start <= merged.end && merged.start <= lock.end {
            merged.start = merged.start.min(lock.start);
            merged.end = merged.end.max(lock.end);
        } else {
            let before = Lock { end: lock.end.min(new.start), ..lock };
            let after = Lock { start: lock.start.max(new.end), ..lock };
            kept.extend([before, after].into_iter().filter(|part| part.start < part.end));
        }
    }
    if merged.mode != LockMode::Unlock {
        kept.push(merged);
    }
    kept.sort_unstable_by_key(|lock| lock.start);
    *locks = kept;
}

/// What belongs to sockets alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Socket {
    /// The addresses of its ends, as far as they have any.
    pub addresses: [Option<Sym>; 2],
    /// How many connections may wait, if it listens.
    pub backlog: Option<u32>,
    /// The connections that wait to be accepted, oldest first.
    pub waiting: Vec<ChannelId>,
    /// The other socket, of one that is connected to another channel: datagrams, or a connection that is
    /// not accepted yet.
    pub peer: Option<ChannelId>,
    /// Whether it is connected.
    pub connected: bool,
    /// Which ends lie outside of the run: nobody sees what waits there.
    pub outside: [bool; 2],
    /// How many descriptors of the run lead to each end.
    pub held: [u32; 2],
    /// Which ends are gone: nobody will ever read what is written to them.
    pub closed: [bool; 2],
    /// Which ends will not read any more.
    pub shut_read: [bool; 2],
    /// Which ends will not write any more.
    pub shut_write: [bool; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(owner: usize, mode: LockMode, start: u64, end: u64) -> Lock {
        let by = TaskId::from_index(owner);
        Lock { kind: LockKind::Process, mode, start, end, owner: Owner::Process(by), by }
    }

    fn ranges(locks: &[Lock]) -> Vec<(u64, u64)> {
        locks.iter().map(|lock| (lock.start, lock.end)).collect()
    }

    #[test]
    fn unlocking_the_middle_leaves_two_and_locking_it_again_one() {
        let mut locks = Vec::new();
        set_lock(&mut locks, lock(1, LockMode::Write, 0, u64::MAX));
        set_lock(&mut locks, lock(1, LockMode::Unlock, 10, 20));
        assert_eq!(ranges(&locks), [(0, 10), (20, u64::MAX)]);
        set_lock(&mut locks, lock(1, LockMode::Write, 10, 20));
        assert_eq!(ranges(&locks), [(0, u64::MAX)]);
    }

    #[test]
    fn another_mode_replaces_and_another_owner_does_not() {
        let mut locks = Vec::new();
        set_lock(&mut locks, lock(1, LockMode::Read, 0, 100));
        set_lock(&mut locks, lock(2, LockMode::Read, 50, 150));
        set_lock(&mut locks, lock(1, LockMode::Write, 0, 10));
        assert_eq!(ranges(&locks), [(0, 10), (10, 100), (50, 150)]);
        assert!(!lock(1, LockMode::Write, 0, 10).excludes(&locks[0]));
        assert!(lock(2, LockMode::Read, 5, 6).excludes(&locks[0]));
        assert!(!lock(3, LockMode::Read, 60, 70).excludes(&locks[2]));
    }
}
