//! What a sleeper wants, as exactly as its call says: which semaphore, which bytes of a file, which type
//! of message, which descriptors.

use super::{Access, ChannelId, LockKind, LockMode};

/// What a call that sleeps waits for, besides where and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Wanted {
    /// Nothing more than that.
    #[default]
    Nothing,
    /// An operation on a semaphore of a set that its value does not allow (semop(2)).
    Operation {
        /// Which semaphore, from 0.
        index: u32,
        /// What is to be added; 0 waits until the value is 0.
        delta: i32,
    },
    /// A lock on a file (`fcntl_locking(2)`, flock(2)).
    Lock {
        /// Through which descriptor.
        fd: i32,
        /// Which kind.
        kind: LockKind,
        /// What it would let others do.
        mode: LockMode,
        /// The first byte.
        start: u64,
        /// How many bytes; 0 is up to the end of the file.
        len: u64,
    },
    /// A message of a type, as msgrcv(2) takes it: 0 is any, a negative number any up to its amount.
    Message(i64),
    /// One of several descriptors (poll(2), select(2), epoll(7)).
    Ready {
        /// Which ones.
        polled: Vec<Polled>,
    },
    /// To be woken at a word of memory (futex(2)).
    Word {
        /// What the word belongs to.
        of: Word,
        /// Its address, or, in shared memory, the byte of that memory.
        at: u64,
    },
}

/// What a word of memory belongs to at which a task sleeps, as far as the words around it tell (nptl of glibc).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Nobody can say: a condition variable, a barrier, a lock of another library.
    Unknown,
    /// A `pthread_mutex_t`.
    Mutex,
    /// A `sem_t`.
    Semaphore,
}

impl Word {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Unknown, Self::Mutex, Self::Semaphore];

    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Mutex => "mutex",
            Self::Semaphore => "semaphore",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str() == text)
    }
}

/// A descriptor that is waited for together with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polled {
    /// Its number.
    pub fd: i32,
    /// What it leads to, if it is open.
    pub channel: Option<ChannelId>,
    /// What it is to be ready for; neither where only its end or an error counts.
    pub access: Access,
}

impl Wanted {
    /// As the payload of an event: a byte that says which, then the fields, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Nothing => {}
            Self::Operation { index, delta } => {
                bytes.push(1);
                bytes.extend(index.to_le_bytes());
                bytes.extend(delta.to_le_bytes());
            }
            Self::Lock { fd, kind, mode, start, len } => {
                bytes.extend([2, *kind as u8, *mode as u8]);
                bytes.extend(fd.to_le_bytes());
                bytes.extend(start.to_le_bytes());
                bytes.extend(len.to_le_bytes());
            }
            Self::Message(kind) => {
                bytes.push(3);
                bytes.extend(kind.to_le_bytes());
            }
            Self::Word { of, at } => {
                bytes.extend([5, *of as u8]);
                bytes.extend(at.to_le_bytes());
            }
            Self::Ready { polled } => {
                bytes.push(4);
                for one in polled {
                    bytes.extend(one.fd.to_le_bytes());
                    bytes.extend(one.channel.map_or(u32::MAX, |channel| channel.index() as u32).to_le_bytes());
                    bytes.push(u8::from(one.access.reads()) | u8::from(one.access.writes()) << 1);
                }
            }
        }
        bytes
    }

    /// Back from [`to_bytes`](Self::to_bytes); what does not fit is nothing.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::parse(bytes).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (which, rest) = bytes.split_first()?;
        match which {
            1 => Some(Self::Operation { index: u32::from_le_bytes(four(rest, 0)?), delta: number(rest, 4)? }),
            2 => Some(Self::Lock {
                kind: match rest.first()? {
                    0 => LockKind::Process,
                    1 => LockKind::Description,
                    _ => LockKind::Flock,
                },
                mode: match rest.get(1)? {
                    0 => LockMode::Read,
                    1 => LockMode::Write,
                    _ => LockMode::Unlock,
                },
                fd: number(rest, 2)?,
                start: u64::from_le_bytes(eight(rest, 6)?),
                len: u64::from_le_bytes(eight(rest, 14)?),
            }),
            3 => Some(Self::Message(i64::from_le_bytes(eight(rest, 0)?))),
            4 => {
                let polled = rest.chunks_exact(9).filter_map(polled).collect();
                Some(Self::Ready { polled })
            }
            5 => {
                let (of, rest) = rest.split_first()?;
                let of = Word::ALL.get(usize::from(*of)).copied()?;
                Some(Self::Word { of, at: u64::from_le_bytes(eight(rest, 0)?) })
            }
            _ => None,
        }
    }
}

fn polled(bytes: &[u8]) -> Option<Polled> {
    let index = u32::from_le_bytes(four(bytes, 4)?);
    Some(Polled {
        fd: number(bytes, 0)?,
        channel: (index != u32::MAX).then(|| ChannelId::from_index(index as usize)),
        access: match bytes.get(8)? {
            1 => Access::Read,
            2 => Access::Write,
            3 => Access::ReadWrite,
            _ => Access::None,
        },
    })
}

fn four(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at + 4)?.try_into().ok()
}

fn eight(bytes: &[u8], at: usize) -> Option<[u8; 8]> {
    bytes.get(at..at + 8)?.try_into().ok()
}

fn number(bytes: &[u8], at: usize) -> Option<i32> {
    four(bytes, at).map(i32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_comes_back() {
        let polled = vec![
            Polled { fd: 3, channel: Some(ChannelId::from_index(7)), access: Access::Read },
            Polled { fd: -1, channel: None, access: Access::None },
        ];
        for wanted in [
            Wanted::Nothing,
            Wanted::Operation { index: 4, delta: -2 },
            Wanted::Lock { fd: 5, kind: LockKind::Flock, mode: LockMode::Write, start: 10, len: u64::MAX },
            Wanted::Message(-3),
            Wanted::Ready { polled },
            Wanted::Word { of: Word::Semaphore, at: 0x7fff_0000_1234 },
        ] {
            assert_eq!(Wanted::from_bytes(&wanted.to_bytes()), wanted);
        }
        assert_eq!(Wanted::from_bytes(&[2, 0, 0, 1]), Wanted::Nothing, "cut off");
    }
}
