//! What the statements of a program do: one variant for each word of the language.

use crate::model::{Access, Signal, SignalSet};

use super::{
    Address, BarrierId, Compare, DescriptorId, Domain, LockKind, Nanos, ObjectId, ProcessId, SocketKind, Statement,
    Target, Value, VarId,
};

/// What a statement does. The names are those of the language, see `docs/scenario-language.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields bear the names of the language's own reference")]
pub enum Op {
    // processes
    Fork {
        name: ProcessId,
        body: Option<Vec<Statement>>,
        into: Option<VarId>,
    },
    Exec {
        argv: Vec<String>,
    },
    Wait {
        who: Option<Target>,
        nohang: bool,
    },
    /// `exit` flushes stdio first, `_exit` does not.
    Exit {
        code: Value,
        flush: bool,
    },
    Setpgid {
        target: Target,
        group: Target,
    },
    Setsid,
    Subreaper,
    Chdir {
        path: String,
    },
    Umask {
        mask: u32,
    },
    Nice {
        by: i32,
    },
    // signals
    On {
        signal: Signal,
        restart: bool,
        nodefer: bool,
        resethand: bool,
        /// Whether the handler puts errno(3) back.
        keep_errno: bool,
        mask: SignalSet,
        body: Vec<Statement>,
    },
    Ignore {
        signals: SignalSet,
    },
    Default {
        signals: SignalSet,
    },
    Block {
        signals: SignalSet,
    },
    Unblock {
        signals: SignalSet,
    },
    /// Signal 0 only asks whether the target is there. `group` makes the PID negative.
    Kill {
        target: Target,
        signal: Option<Signal>,
        group: bool,
    },
    Raise {
        signal: Signal,
    },
    /// An instruction that the processor refuses, so that the kernel sends this signal.
    Fault {
        signal: Signal,
    },
    Pause,
    /// `into` gets the seconds that were left.
    Alarm {
        seconds: Value,
        into: Option<VarId>,
    },
    /// `value` travels with the signal (sigqueue(3)).
    Sigqueue {
        target: Target,
        signal: Signal,
        value: Value,
    },
    /// Waits with the present mask, less `unblock` and plus `block`.
    Sigsuspend {
        block: SignalSet,
        unblock: SignalSet,
    },
    /// `into` gets the signal's number, `value` what was sent with it.
    Sigwait {
        signals: SignalSet,
        into: Option<VarId>,
        value: Option<VarId>,
    },
    Signalfd {
        name: String,
        fd: DescriptorId,
        signals: SignalSet,
        nonblock: bool,
    },
    /// `ITIMER_REAL`: the first SIGALRM after `time`, then one `every` so often if that is not 0.
    Setitimer {
        time: Nanos,
        every: Nanos,
    },
    // descriptors
    Pipe {
        name: String,
        read: DescriptorId,
        write: DescriptorId,
    },
    Mkfifo {
        path: String,
    },
    Open {
        fd: DescriptorId,
        path: String,
        access: Access,
        create: bool,
        truncate: bool,
        append: bool,
        nonblock: bool,
    },
    /// One `read`, or with `until_eof` as many as it takes.
    Read {
        fd: DescriptorId,
        bytes: Option<Value>,
        until_eof: bool,
        into: Option<VarId>,
    },
    /// `bytes` cuts or repeats the text to that length.
    Write {
        fd: DescriptorId,
        text: Value,
        bytes: Option<Value>,
    },
    /// Says what errno(3) is.
    Perror {
        text: Value,
    },
    Print {
        text: Value,
    },
    Fflush,
    Close {
        fd: DescriptorId,
    },
    Dup2 {
        from: DescriptorId,
        to: DescriptorId,
    },
    Cloexec {
        fd: DescriptorId,
    },
    Nonblock {
        fd: DescriptorId,
    },
    PipeSize {
        fd: DescriptorId,
        bytes: Value,
    },
    Lseek {
        fd: DescriptorId,
        offset: Value,
    },
    Unlink {
        path: String,
    },
    Poll {
        fds: Vec<DescriptorId>,
        timeout: Option<Nanos>,
    },
    // terminals
    Pty {
        name: String,
        master: DescriptorId,
        slave: DescriptorId,
    },
    Tcsetpgrp {
        fd: DescriptorId,
        group: Target,
    },
    /// `TIOCSCTTY`: the terminal becomes the one that controls this session.
    Ctty {
        fd: DescriptorId,
    },
    // sockets
    Socketpair {
        name: String,
        a: DescriptorId,
        b: DescriptorId,
        kind: SocketKind,
    },
    /// `rcvbuf` and `sndbuf` are `SO_RCVBUF` and `SO_SNDBUF` in bytes, before the kernel doubles them.
    Socket {
        name: String,
        fd: DescriptorId,
        domain: Domain,
        kind: SocketKind,
        rcvbuf: Option<Value>,
        sndbuf: Option<Value>,
        reuseaddr: bool,
        nonblock: bool,
    },
    Bind {
        fd: DescriptorId,
        address: Address,
    },
    Listen {
        fd: DescriptorId,
        backlog: Value,
    },
    /// `name` and `conn` are the new socket's.
    Accept {
        fd: DescriptorId,
        name: String,
        conn: DescriptorId,
    },
    Connect {
        fd: DescriptorId,
        address: Address,
    },
    /// `send`, or with an address `sendto`.
    Send {
        fd: DescriptorId,
        address: Option<Address>,
        text: Value,
        bytes: Option<Value>,
        nowait: bool,
        nosignal: bool,
    },
    /// `recv` and `recvfrom`. One call, or with `until_eof` as many as it takes.
    Recv {
        fd: DescriptorId,
        bytes: Option<Value>,
        until_eof: bool,
        into: Option<VarId>,
        nowait: bool,
    },
    Shutdown {
        fd: DescriptorId,
        access: Access,
    },
    /// One byte, and `sent` with it as `SCM_RIGHTS` (unix(7)).
    SendFd {
        fd: DescriptorId,
        sent: DescriptorId,
    },
    /// `name` is that of the descriptor that arrives.
    RecvFd {
        fd: DescriptorId,
        name: String,
        into: DescriptorId,
    },
    // System V; `key` is that of the scenario, `None` is IPC_PRIVATE
    Msgget {
        name: String,
        queue: ObjectId,
        key: Option<i32>,
    },
    Msgsnd {
        queue: ObjectId,
        kind: Value,
        text: Value,
        bytes: Option<Value>,
        nowait: bool,
    },
    Msgrcv {
        queue: ObjectId,
        kind: Value,
        nowait: bool,
        into: Option<VarId>,
    },
    MsgctlRemove {
        queue: ObjectId,
    },
    /// `msg_qbytes`: how many bytes the queue holds.
    MsgctlSet {
        queue: ObjectId,
        bytes: Value,
    },
    Shmget {
        name: String,
        segment: ObjectId,
        bytes: u32,
        key: Option<i32>,
    },
    Shmat {
        segment: ObjectId,
    },
    Shmdt {
        segment: ObjectId,
    },
    ShmctlRemove {
        segment: ObjectId,
    },
    Semget {
        name: String,
        set: ObjectId,
        count: Value,
        key: Option<i32>,
    },
    SemctlSet {
        set: ObjectId,
        index: Value,
        value: Value,
    },
    SemctlRemove {
        set: ObjectId,
    },
    Semop {
        set: ObjectId,
        index: Value,
        delta: Value,
        undo: bool,
        nowait: bool,
    },
    // POSIX; `path` is the scenario's own "/name"
    /// `maxmsg` and `msgsize` matter when the queue is made.
    MqOpen {
        name: String,
        fd: DescriptorId,
        path: String,
        maxmsg: Value,
        msgsize: Value,
        nonblock: bool,
    },
    MqSend {
        fd: DescriptorId,
        text: Value,
        bytes: Option<Value>,
        priority: Value,
    },
    MqReceive {
        fd: DescriptorId,
        into: Option<VarId>,
    },
    MqNotify {
        fd: DescriptorId,
        signal: Signal,
    },
    MqUnlink {
        path: String,
    },
    /// shm_open, ftruncate, mmap, close.
    ShmOpen {
        name: String,
        segment: ObjectId,
        path: String,
        bytes: u32,
    },
    ShmUnlink {
        path: String,
    },
    /// Anonymous and shared.
    Mmap {
        name: String,
        segment: ObjectId,
        bytes: u32,
    },
    Munmap {
        segment: ObjectId,
    },
    SemOpen {
        name: String,
        semaphore: ObjectId,
        path: String,
        value: Value,
    },
    SemWait {
        semaphore: ObjectId,
    },
    SemTimedwait {
        semaphore: ObjectId,
        time: Nanos,
    },
    SemPost {
        semaphore: ObjectId,
    },
    SemUnlink {
        path: String,
    },
    // memory: cells of 64 bits; offsets in bytes
    /// One load instruction.
    Load {
        var: VarId,
        segment: ObjectId,
        offset: Value,
    },
    /// One store instruction.
    Store {
        segment: ObjectId,
        offset: Value,
        value: Value,
    },
    /// One store instruction for each byte, in order.
    StoreText {
        segment: ObjectId,
        offset: Value,
        text: Value,
    },
    /// One atomic addition; `into` gets what was there before.
    AtomicAdd {
        segment: ObjectId,
        offset: Value,
        value: Value,
        into: Option<VarId>,
    },
    // locks
    /// `start` and `len` in bytes; a `len` of 0 reaches to the end, wherever that comes to be.
    FcntlLock {
        fd: DescriptorId,
        kind: LockKind,
        start: Value,
        len: Value,
        wait: bool,
        ofd: bool,
    },
    /// `into` gets the PID of who holds a lock in the way: 0 if nobody does, -1 if it belongs to an
    /// open file description.
    FcntlGetlk {
        fd: DescriptorId,
        kind: LockKind,
        start: Value,
        len: Value,
        ofd: bool,
        into: Option<VarId>,
    },
    /// The whole file (flock(2)).
    Flock {
        fd: DescriptorId,
        kind: LockKind,
        nonblock: bool,
    },
    // control
    Set {
        var: VarId,
        value: Value,
    },
    Add {
        var: VarId,
        value: Value,
    },
    Repeat {
        times: Value,
        body: Vec<Statement>,
    },
    Forever {
        body: Vec<Statement>,
    },
    If {
        var: VarId,
        compare: Compare,
        value: Value,
        then: Vec<Statement>,
        otherwise: Vec<Statement>,
    },
    Break,
    Sleep {
        time: Nanos,
    },
    Note {
        text: String,
    },
    Label {
        name: String,
    },
    Barrier {
        barrier: BarrierId,
    },
}

impl Op {
    /// The blocks inside it, in the order of the text.
    pub fn bodies(&self) -> impl Iterator<Item = &[Statement]> {
        let (first, second): (&[Statement], &[Statement]) = match self {
            Self::Fork { body: Some(body), .. }
            | Self::On { body, .. }
            | Self::Repeat { body, .. }
            | Self::Forever { body } => (body, &[]),
            Self::If { then, otherwise, .. } => (then, otherwise),
            _ => (&[], &[]),
        };
        [first, second].into_iter().filter(|body| !body.is_empty())
    }
}
