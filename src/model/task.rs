//! A task as the fold knows it: its place in the family, its state, its signals, its descriptors.

use super::{
    Access, Altstack, ChannelId, Disposition, End, FdFlags, Hold, How, Pending, Pendings, Queue, Signal, SignalSet,
    Status, Sym, TaskId, Timer, Wanted, Why,
};

/// One thread, as the kernel schedules it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its identity.
    pub id: TaskId,
    /// Its name: for a scenario process the path of its blocks (`parent.child`).
    pub name: Sym,
    /// Its PID (of a thread: its TID) as it sees it itself.
    pub pid: i32,
    /// The leader of its thread group; itself, for a process.
    pub process: TaskId,
    /// Who is its parent now; the lab's own parent is itself.
    pub parent: TaskId,
    /// By which kind of call it was made.
    pub how: How,
    /// The program it runs, once one was loaded.
    pub program: Option<Sym>,
    /// The number of the event that loaded that program, here or in whom it was forked from.
    pub loaded: u64,
    /// What it is doing.
    pub state: State,
    /// While it sleeps: what exactly it waits for.
    pub wanted: Wanted,
    /// Whether the kernel has said since it fell asleep that nobody has woken it.
    pub unwoken: bool,
    /// Its process group; 0 as long as nothing is known.
    pub pgid: i32,
    /// Its session; 0 as long as nothing is known.
    pub sid: i32,
    /// The controlling terminal of its process.
    pub terminal: Option<ChannelId>,
    /// Which descriptor table it uses.
    pub table: usize,
    /// Which signals it blocks.
    pub blocked: SignalSet,
    /// What its process does about signals; kept where [`actions_of`](Self::actions_of) says.
    pub actions: Vec<Action>,
    /// How often a handler for SIGINT was set since the program was loaded; kept where
    /// [`actions_of`](Self::actions_of) says.
    pub interrupts: u8,
    /// What was sent to this thread alone and not yet delivered.
    pub pending: Pendings,
    /// What was sent to its process and not yet delivered; kept at the thread-group leader.
    pub shared_pending: Pendings,
    /// The signal that was taken out of a queue for it and has not been delivered yet.
    pub at_hand: Option<Pending>,
    /// The System V identifiers it has and the shared memory mapped into it; kept at the thread-group
    /// leader.
    pub uses: Vec<Use>,
    /// The signals whose handlers run now, innermost last.
    pub handling: Vec<Signal>,
    /// From which of these on handlers run on the alternate stack: 1 is the outermost; 0 for none.
    pub on_altstack: usize,
    /// The stack that it has given its handlers.
    pub altstack: Option<Altstack>,
    /// The timers of its process that run or could; kept at the thread-group leader.
    pub timers: Vec<Timer>,
    /// Who keeps the dispositions: itself, for a process that shares them with nobody (clone(2),
    /// `CLONE_SIGHAND`).
    pub actions_of: TaskId,
    /// The scenario statement that it executes or is about to execute: line (from 1) and text.
    pub line: Option<(u32, Sym)>,
    /// What the user keeps it from.
    pub hold: Hold,
    /// How it ended.
    pub status: Option<Status>,
    /// The number of the event that made it.
    pub born: u64,
}

impl Task {
    /// Whether it is a process and not a further thread of one.
    pub fn is_process(&self) -> bool {
        self.process == self.id
    }

    /// Whether it has not ended.
    pub const fn is_alive(&self) -> bool {
        !matches!(self.state, State::Zombie | State::Dead)
    }

    /// What it does about `signal`.
    pub fn action(&self, signal: Signal) -> Action {
        self.actions.iter().copied().find(|action| action.signal == signal).unwrap_or(Action {
            signal,
            disposition: Disposition::Default,
            flags: 0,
            mask: SignalSet::EMPTY,
        })
    }

    /// The signals with this disposition.
    pub fn with_disposition(&self, disposition: Disposition) -> SignalSet {
        self.actions.iter().filter(|action| action.disposition == disposition).map(|action| action.signal).collect()
    }

    /// One of its two queues; that of the process only a thread-group leader has.
    pub const fn queue(&self, queue: Queue) -> &Pendings {
        match queue {
            Queue::Thread => &self.pending,
            Queue::Process => &self.shared_pending,
        }
    }
}

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs, or is ready to.
    Running,
    /// It sleeps in a call.
    Blocked(Blocked),
    /// Job control has stopped it, by this signal.
    Stopped(Signal),
    /// It has ended and waits to be reaped.
    Zombie,
    /// It is gone.
    Dead,
}

/// Where and why a task sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// In which call.
    pub call: Option<Sym>,
    /// At which channel.
    pub channel: Option<ChannelId>,
    /// Waiting for which task.
    pub on: Option<TaskId>,
    /// For what.
    pub why: Why,
    /// Whether the sleep ends by itself after some time.
    pub timeout: bool,
}

/// A disposition other than the default one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// Of which signal.
    pub signal: Signal,
    /// What is done.
    pub disposition: Disposition,
    /// `sa_flags`.
    pub flags: u32,
    /// `sa_mask`.
    pub mask: SignalSet,
}

/// A System V object that a process has got, or a stretch of shared memory that is mapped into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// What it leads to.
    pub channel: ChannelId,
    /// Where it is mapped; 0 for an identifier.
    pub address: u64,
    /// How many bytes are mapped; 0 for an identifier.
    pub bytes: u64,
    /// From which byte of the memory on.
    pub offset: u64,
    /// What may be done there.
    pub access: Access,
}

/// A descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fd {
    /// Its number.
    pub fd: i32,
    /// What it leads to.
    pub channel: ChannelId,
    /// Which end of it.
    pub end: End,
    /// In which directions it may be used.
    pub access: Access,
    /// Its flags.
    pub flags: FdFlags,
    /// Its open file description: two descriptors with the same number share position and flags.
    /// It is the number of the event that opened it.
    pub description: u64,
    /// The file position that the transfers amount to, in bytes.
    pub position: u64,
}

/// A descriptor table; threads share one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// How many tasks use it.
    pub users: u32,
    pub(super) entries: Vec<Fd>,
}

impl Table {
    /// The descriptor with this number.
    pub fn get(&self, fd: i32) -> Option<&Fd> {
        self.entries.binary_search_by_key(&fd, |entry| entry.fd).ok().map(|index| &self.entries[index])
    }

    /// All descriptors, lowest number first.
    pub fn iter(&self) -> impl Iterator<Item = &Fd> {
        self.entries.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Fd> {
        self.entries.iter_mut()
    }

    pub(super) fn insert(&mut self, entry: Fd) -> Option<Fd> {
        match self.entries.binary_search_by_key(&entry.fd, |known| known.fd) {
            Ok(index) => Some(std::mem::replace(&mut self.entries[index], entry)),
            Err(index) => {
                self.entries.insert(index, entry);
                None
            }
        }
    }

    pub(super) fn remove(&mut self, fd: i32) -> Option<Fd> {
        let index = self.entries.binary_search_by_key(&fd, |entry| entry.fd).ok()?;
        Some(self.entries.remove(index))
    }

    pub(super) fn take(&mut self) -> Vec<Fd> {
        std::mem::take(&mut self.entries)
    }
}
