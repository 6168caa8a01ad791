//! Descriptors that tell of something else: eventfd, signalfd, timerfd, pidfd and epoll; and terminals,
//! which make something else of what is written to them.
//!
//! What they tell of is not what was written to them; the kernel says it in `/proc/PID/fdinfo`.

use super::{ChannelId, SignalSet, TaskId};

/// The largest count of an eventfd: 2^64 - 2 (eventfd(2)).
pub const EVENTFD_MAX: u64 = u64::MAX - 1;

/// A line of what such a descriptor tells of, as an event says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// An eventfd: its count.
    Count {
        /// How much the writes have added and no read has taken.
        count: u64,
        /// Whether a read takes 1 instead of all (`EFD_SEMAPHORE`).
        semaphore: bool,
    },
    /// A signalfd: the signals that can be read from it while they are pending for the reader.
    Signals(SignalSet),
    /// A timerfd.
    Timer {
        /// Nanoseconds until it expires next; 0 is disarmed.
        left: u64,
        /// Nanoseconds between two further expirations; 0 is none.
        interval: u64,
        /// How often it has expired since it was set or read.
        ticks: u64,
    },
    /// A pidfd: whose it is, if that belongs to the run.
    Task(Option<TaskId>),
    /// A POSIX queue that was there before the run: how many messages are in it that nobody can look into
    /// (`mq_curmsgs`).
    Unseen(u64),
    /// A terminal, both of its ends asked.
    Terminal(Asked),
    /// An epoll instance: a descriptor is in its interest list from now on, or no longer.
    Interest {
        /// The descriptor, as its owner called it.
        fd: i32,
        /// What it leads to, if that is known.
        to: Option<ChannelId>,
        /// For what it is waited for (`EPOLLIN` …); 0 if no longer.
        events: u32,
    },
}

/// What the kernel says of a pseudo-terminal: of what waits there it is asked, because a terminal echoes,
/// translates and edits what is written to it (termios(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// How many bytes wait to be read at the master (`FIONREAD`): what programs wrote, and echo. `None` where
    /// nobody in the run has it.
    pub output: Option<u32>,
    /// How many bytes wait to be read at the slave: in canonical mode those of whole lines.
    pub input: Option<u32>,
    /// Whether the slave is read line by line (`ICANON` of termios(3)).
    pub canonical: bool,
    /// At which ends a read would not sleep: at the master, at the slave (poll(2)). A read that fails or
    /// finds end-of-file does not sleep either.
    pub ready: [bool; 2],
}

/// All that such a descriptor tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Monitor {
    /// An eventfd.
    Counter {
        /// Its count. In free mode a read can be told before its write: then it is below 0 for a while.
        count: i128,
        /// Whether a read takes 1 instead of all.
        semaphore: bool,
    },
    /// A signalfd: its mask.
    Signals(SignalSet),
    /// A timerfd.
    Timer {
        /// When it expires next, in nanoseconds since the start of the run; none if it is disarmed.
        due: Option<u64>,
        /// Nanoseconds between two further expirations; 0 is none.
        interval: u64,
        /// How often it has expired since it was set or read.
        ticks: u64,
    },
    /// A pidfd: whose it is.
    Task(Option<TaskId>),
    /// A POSIX queue: how many messages from before the run are in it.
    Unseen(u64),
    /// A terminal.
    Terminal {
        /// What the kernel said when it was asked last.
        asked: Asked,
        /// Whether nothing has happened there since.
        known: bool,
    },
    /// An epoll instance: its interest list, in the order in which it grew.
    Interests(Vec<Interest>),
}

/// A descriptor in the interest list of an epoll instance (epoll(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// The descriptor, as its owner called it when it was added.
    pub fd: i32,
    /// What it leads to, if that is known.
    pub to: Option<ChannelId>,
    /// Its open file description: with the last descriptor of it the interest goes too.
    pub description: Option<u64>,
    /// For what it is waited for: bits of `EPOLLIN` and so on.
    pub events: u32,
}

impl Interest {
    /// `EPOLLIN` of linux/eventpoll.h.
    pub const IN: u32 = 1;
    /// `EPOLLOUT`.
    pub const OUT: u32 = 4;
    /// `EPOLLET | EPOLLONESHOT`.
    pub const ONCE: u32 = 0xc000_0000;
}

impl Monitor {
    /// Takes what an event says into what was known before.
    pub(super) fn tell(before: Option<Self>, t_ns: u64, told: Told, description: Option<u64>) -> Self {
        match told {
            Told::Count { count, semaphore } => Self::Counter { count: i128::from(count), semaphore },
            Told::Signals(mask) => Self::Signals(mask),
            Told::Timer { left, interval, ticks } => {
                Self::Timer { due: (left > 0).then(|| t_ns.saturating_add(left)), interval, ticks }
            }
            Told::Task(task) => Self::Task(task),
            Told::Unseen(count) => Self::Unseen(count),
            Told::Terminal(asked) => Self::Terminal { asked, known: true },
            Told::Interest { fd, to, events } => {
                let mut list = match before {
                    Some(Self::Interests(list)) => list,
                    _ => Vec::new(),
                };
                let new = Interest { fd, to, description, events };
                // One number can stand there twice: closed, and given to something else.
                match list.iter_mut().find(|old| old.fd == fd && old.description == description) {
                    Some(old) if events != 0 => old.events = events,
                    Some(_) => list.retain(|old| old.fd != fd || old.description != description),
                    None if events != 0 => list.push(new),
                    None => {}
                }
                Self::Interests(list)
            }
        }
    }

    /// Bytes were written to it or read from it: of an eventfd the 8 bytes are a number (eventfd(2)).
    pub(super) fn moved(&mut self, by: TaskId, payload: &[u8], written: bool) {
        match self {
            // The lab says what came out of it as if it had just been put in.
            Self::Unseen(count) if written && by == TaskId::LAB => *count = count.saturating_sub(1),
            Self::Counter { count, .. } => {
                let Some(number) = payload.get(..8).and_then(|bytes| bytes.try_into().ok()) else { return };
                let number = i128::from(u64::from_ne_bytes(number));
                *count = if written { count.saturating_add(number) } else { count.saturating_sub(number) };
            }
            Self::Timer { ticks, .. } if !written => *ticks = 0,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_add_and_reads_take() {
        let mut counter = Monitor::Counter { count: 2, semaphore: false };
        counter.moved(TaskId::LAB, &EVENTFD_MAX.to_ne_bytes(), true);
        counter.moved(TaskId::LAB, &2_u64.to_ne_bytes(), false);
        assert_eq!(counter, Monitor::Counter { count: i128::from(EVENTFD_MAX), semaphore: false });
        counter.moved(TaskId::LAB, b"short", false);
        assert_eq!(counter, Monitor::Counter { count: i128::from(EVENTFD_MAX), semaphore: false });
    }

    #[test]
    fn interests_come_and_go() {
        let told = |events| Told::Interest { fd: 5, to: None, events };
        let first = Monitor::tell(None, 0, told(Interest::IN), Some(1));
        let second = Monitor::tell(Some(first), 0, told(Interest::OUT), Some(2));
        let Monitor::Interests(list) = Monitor::tell(Some(second), 0, told(0), Some(1)) else { panic!("no list") };
        assert_eq!(list, [Interest { fd: 5, to: None, description: Some(2), events: Interest::OUT }]);
    }
}
