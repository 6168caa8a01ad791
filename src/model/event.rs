//! What can happen, as the log keeps it.
//!
//! An [`Event`] is 64 bytes: a log of a million of them must fit beside a browser on a student's
//! laptop. Strings are symbols, payload is a range ([`Blob`]) of the log's bytes. Its number in the
//! log (`seq`) is its position there. `docs/events.md` is the reference for readers of recordings.

mod queries;

use super::{
    Access, Blob, ChannelId, ChannelKind, Disposition, End, Ended, FdFlags, Hold, How, LockKind, LockMode, MaskHow,
    Phase, Queue, Shares, Signal, SignalSet, Status, Sym, TaskId, Then, TimerChange, TimerKind, Told, Via, Weight, Why,
};

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
    /// The task's process has a controlling terminal now, or none any more (credentials(7)).
    Control {
        /// The terminal.
        channel: Option<ChannelId>,
    },
    /// Another process group may read from a terminal and gets the signals of its keys (tcsetpgrp(3)).
    Foreground {
        /// The terminal.
        channel: ChannelId,
        /// The process group.
        pgid: i32,
    },
    /// The window of a terminal has another size (`TIOCSWINSZ`).
    Window {
        /// The terminal.
        channel: ChannelId,
        /// Lines of text.
        rows: u16,
        /// Columns of text.
        columns: u16,
    },
    /// A descriptor was made.
    Open {
        /// The descriptor.
        fd: i32,
        /// What it leads to.
        channel: ChannelId,
        /// Which end of it.
        end: End,
        /// In which directions it may be used.
        access: Access,
        /// Its flags.
        flags: FdFlags,
    },
    /// A descriptor came over a socket (`SCM_RIGHTS`, unix(7)): another one of an open file
    /// description that somebody else has or had.
    Pass {
        /// The descriptor.
        fd: i32,
        /// What it leads to.
        channel: ChannelId,
        /// Who sent it, if it is known.
        from: Option<TaskId>,
        /// The open file description: the number of the event that opened it.
        description: u64,
        /// Which end of the channel.
        end: End,
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
        /// How many bytes it holds at most, or, of memory, how many it is; 0 where that means nothing.
        capacity: u64,
        /// Whether it keeps messages apart.
        messages: bool,
        /// Whether it was there before the run.
        found: bool,
    },
    /// A channel is gone: nobody holds it, and it has no name that would keep it.
    Destroy {
        /// It.
        channel: ChannelId,
    },
    /// The name under which others could find a channel was removed; who holds it still does.
    Unlink {
        /// It.
        channel: ChannelId,
    },
    /// A task got the identifier of a System V object (`msgget`, `shmget`, `semget`).
    Get {
        /// The object.
        channel: ChannelId,
        /// Its identifier.
        id: i32,
    },
    /// Shared memory is mapped into a process.
    Attach {
        /// Which.
        channel: ChannelId,
        /// Where, in the process.
        address: u64,
        /// How many bytes of it.
        bytes: u64,
        /// From which byte of it on.
        offset: u64,
        /// What may be done there.
        access: Access,
    },
    /// Shared memory is no longer mapped there.
    Detach {
        /// Which.
        channel: ChannelId,
        /// Where it was.
        address: u64,
        /// How many bytes are gone.
        bytes: u64,
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
        /// By which way.
        via: Via,
        /// How many, exactly.
        bytes: u64,
        /// The first of them, as many as are kept.
        data: Blob,
    },
    /// Bytes came out of a channel (or, after a failure, did not). 0 bytes is end-of-file.
    Read {
        /// Where from.
        channel: ChannelId,
        /// By which way.
        via: Via,
        /// How many, exactly.
        bytes: u64,
        /// The first of them, as many as are kept.
        data: Blob,
    },
    /// What the task has just written began with what waited in a stream of the C library when it was forked.
    Copied {
        /// Where it went to.
        channel: ChannelId,
        /// How many bytes waited.
        bytes: u64,
    },
    /// The kernel threw a message away that had been sent: the receiver had no room.
    Drop {
        /// Where it was sent to.
        channel: ChannelId,
        /// How many bytes it had.
        bytes: u64,
    },
    /// An end of a socket has an address.
    Address {
        /// The socket.
        channel: ChannelId,
        /// Which end.
        end: End,
        /// The address: a path, `@name`, or host and port.
        address: Sym,
    },
    /// A socket takes connections.
    Listen {
        /// The socket.
        channel: ChannelId,
        /// How many may wait, as given.
        backlog: u32,
    },
    /// A socket is connected, or waits in the backlog of the one that it wants.
    Connect {
        /// The socket.
        channel: ChannelId,
        /// The listening socket, or of datagrams the other socket, if it belongs to the run.
        to: Option<ChannelId>,
        /// The address that was asked for, if it is known.
        address: Option<Sym>,
    },
    /// A connection was taken out of a backlog; its descriptor follows.
    Accept {
        /// The listening socket.
        channel: ChannelId,
        /// The connection.
        connection: ChannelId,
    },
    /// One end of a connection will not read or not write any more (shutdown(2)).
    Shutdown {
        /// The connection.
        channel: ChannelId,
        /// Which end.
        end: End,
        /// What it will not do any more.
        how: Access,
    },
    /// A semaphore has another value.
    Sem {
        /// The set.
        channel: ChannelId,
        /// Which semaphore of it, from 0.
        index: u32,
        /// What was added.
        delta: i32,
        /// Its value from now on.
        value: i32,
        /// Whether the kernel takes it back when the process ends (`SEM_UNDO`).
        undo: bool,
    },
    /// A lock was set or removed.
    Lock {
        /// The file.
        channel: ChannelId,
        /// Through which descriptor.
        fd: i32,
        /// Which kind of lock.
        kind: LockKind,
        /// What it lets others do.
        mode: LockMode,
        /// The first byte.
        start: u64,
        /// How many bytes; 0 is up to the end of the file, however far that moves.
        len: u64,
    },
    /// Shared memory was read by an instruction.
    Load {
        /// Which.
        channel: ChannelId,
        /// Where in it, in bytes.
        offset: u64,
        /// What stood there.
        data: Blob,
    },
    /// Shared memory was changed, by an instruction or behind a call.
    Store {
        /// Which.
        channel: ChannelId,
        /// Where in it, in bytes.
        offset: u64,
        /// What stood there, and then, as long, what stands there now.
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
        /// Whether the sleep ends by itself after some time.
        timeout: bool,
        /// What exactly, where the call says more; see [`Wanted`](super::Wanted).
        wanted: Blob,
    },
    /// The task sleeps no more.
    Unblock {
        /// Where it waited.
        channel: Option<ChannelId>,
    },
    /// The kernel was asked about tasks that only each other could wake: each of them still sleeps in the call
    /// that the log says, and none has been woken.
    Asleep {
        /// Which ones; see [`Parties`](super::Parties).
        parties: Blob,
    },
    /// A descriptor that tells of something else tells something new.
    Monitor {
        /// What it leads to.
        channel: ChannelId,
        /// What it tells.
        told: Told,
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
        /// Where it waits or has waited.
        queue: Queue,
        /// Who sent it; none is the kernel or a process outside of the run.
        from: Option<TaskId>,
        /// `si_code`.
        code: i32,
        /// What it carries: `si_value` of `sigqueue`, timers and queues, `si_status` of SIGCHLD, `si_addr`
        /// of a fault (see [`Signal::carries`]); else 0.
        value: i64,
        /// The mask from now on, for `handler` and `returned`; else empty.
        blocked: SignalSet,
    },
    /// What becomes of a call that a signal has interrupted, once that is settled.
    Interrupted {
        /// Which signal.
        signal: Signal,
        /// What becomes of the call.
        then: Then,
    },
    /// A task has given its handlers another stack (sigaltstack(2)).
    Altstack {
        /// Its lowest address.
        base: u64,
        /// How many bytes it has; 0 where there is none any more.
        bytes: u64,
        /// Whether the kernel forgets it while a handler runs there.
        autodisarm: bool,
    },
    /// A timer was set, ran out, or is gone.
    Timer {
        /// Which kind.
        kind: TimerKind,
        /// What became of it.
        change: TimerChange,
        /// Of timer_create(2) the kernel's number, of a timerfd its descriptor; else 0.
        id: i32,
        /// What it sends, if it sends a signal.
        signal: Option<Signal>,
        /// Its clock (clock_gettime(2)).
        clock: i32,
        /// In how many nanoseconds it runs out; 0 where it does not run.
        left: u64,
        /// After how many nanoseconds it runs out again; 0 for never.
        interval: u64,
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
    /// The lab's clock has moved on: nobody could move before it did.
    Clock {
        /// What it says now, in nanoseconds.
        now: u64,
    },
    /// The task's last call failed because of a limit.
    Limit {
        /// Which: as sysctl(8) or setrlimit(2) call it, or the argument that bounds a transfer.
        limit: Sym,
        /// Its value.
        value: u64,
        /// What the call wanted; 0 where it was one more of something.
        asked: u64,
    },
    /// A rule found something wrong.
    Diagnosis {
        /// Which rule.
        rule: Sym,
        /// Whether something is wrong, or only worth knowing.
        weight: Weight,
        /// One sentence: what is wrong, with names, and what would cure it.
        text: Sym,
        /// Which tasks and channels are in it; see [`Parties`].
        parties: Blob,
    },
    /// The run is over. Diagnoses of what is left follow.
    End {
        /// How it ended.
        how: Ended,
        /// Why, in one sentence.
        text: Sym,
    },
    /// The user of the lab keeps the task from something, or no more.
    Hold {
        /// From what.
        hold: Hold,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_64_bytes() {
        assert_eq!(size_of::<Event>(), 64);
    }
}
