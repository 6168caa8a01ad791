//! What statements are about: values, processes, addresses, kinds.

use super::{DescriptorId, ProcessId, VarId};

/// A number or a text, given in the file or held by a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// Whatever the variable holds.
    Var(VarId),
}

/// A process that a statement names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// By its block: the one that this process itself forked last, else the first that there was;
    /// with `#2`, the second that there was.
    Process(ProcessId, Option<u16>),
    /// `parent`
    Parent,
    /// `self`
    Myself,
    /// `group`
    Group,
    /// A PID in a variable.
    Var(VarId),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Equal; texts byte by byte.
    Eq,
    /// Not equal.
    Ne,
    /// Less, as numbers.
    Lt,
    /// Greater, as numbers.
    Gt,
}

/// What a socket talks over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// `AF_UNIX` (unix(7)).
    Unix,
    /// `AF_INET` (ip(7)), the loopback device only.
    Inet,
}

/// How a socket carries what is sent (socket(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// Bytes in order, without records.
    Stream,
    /// Single messages.
    Dgram,
    /// Messages over a connection, in order.
    Seqpacket,
}

/// Where a socket is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A path, at most 107 bytes.
    Path(String),
    /// A name in the abstract namespace, without the `@`; at most 80 bytes.
    Abstract(String),
    /// A port of 127.0.0.1; 0 lets the kernel choose.
    Inet(u16),
    /// Where the socket of this name was bound last, whoever did it.
    Name(DescriptorId),
}

/// What a lock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Shared with others of its kind.
    Read,
    /// Exclusive.
    Write,
    /// None: the lock is given up.
    Unlock,
}

/// A length of time in nanoseconds.
pub type Nanos = u64;
