//! What a descriptor allows, and what comes along with a transfer through it.

use super::Sym;

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

/// Which end of a channel a descriptor is. A connection has two; everything else has only the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum End {
    /// The end that was there first: the connecting socket, the first of a pair, the only one.
    #[default]
    First,
    /// The accepted socket, the second of a pair.
    Second,
}

impl End {
    /// The one across.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// As an index: 0 or 1.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How bytes got into a channel or out of it: through which descriptor, and what a message carries
/// besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Through a descriptor; -1 where the lab itself took the bytes.
    Fd(i32),
    /// Through a descriptor, at a place of the file that the call names: the file position stays (pread(2)).
    At(i32),
    /// Through a socket, to or from this address.
    Socket(i32, Sym),
    /// Through a POSIX queue, with this priority (mq_send(3)).
    Mq(i32, u32),
    /// Through a System V queue, with this type (msgsnd(2)).
    Msg(MessageType),
    /// Through no descriptor: into or out of the memory of another process, or of a segment.
    Memory,
}

impl Via {
    /// The descriptor, where there is one.
    pub const fn fd(self) -> Option<i32> {
        match self {
            Self::Fd(fd) | Self::At(fd) | Self::Socket(fd, _) | Self::Mq(fd, _) => Some(fd),
            Self::Msg(_) | Self::Memory => None,
        }
    }

    /// What the message carries besides its bytes.
    pub const fn mark(self) -> Mark {
        match self {
            Self::Fd(_) | Self::At(_) | Self::Memory => Mark::None,
            Self::Socket(_, peer) => Mark::Peer(peer),
            Self::Mq(_, priority) => Mark::Priority(priority),
            Self::Msg(kind) => Mark::Type(kind.get()),
        }
    }
}

/// The type of a System V message, in two halves: an event has no room for an aligned number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageType([u32; 2]);

impl MessageType {
    /// The type with this number, of which the kernel wants that it is positive.
    pub const fn new(number: i64) -> Self {
        Self([number as u32, (number >> 32) as u32])
    }

    /// Its number.
    pub const fn get(self) -> i64 {
        (self.0[0] as u64 | (self.0[1] as u64) << 32) as i64
    }
}

/// What a message carries besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Mark {
    /// Nothing.
    #[default]
    None,
    /// The type of a System V message.
    Type(i64),
    /// The priority of a POSIX message; higher ones come out first.
    Priority(u32),
    /// The address of the socket that sent a datagram, or that it is sent to.
    Peer(Sym),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_keeps_all_its_bits() {
        for number in [0, 1, -1, i64::MAX, i64::MIN, 1 << 32] {
            assert_eq!(MessageType::new(number).get(), number);
        }
    }
}
