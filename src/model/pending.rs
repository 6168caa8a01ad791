//! What was sent and not yet delivered, in the order in which the kernel will deliver it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Signal, SignalSet, TaskId};

/// Where a signal waits (signal(7), "Process-directed and thread-directed signals").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Queue {
    /// For the process: any of its threads that does not block it may take it.
    #[default]
    Process,
    /// For one thread: sent by `tgkill` and its kin, or by what the thread itself did.
    Thread,
}

impl Queue {
    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Thread => "thread",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Process, Self::Thread].into_iter().find(|queue| queue.as_str() == text)
    }
}

/// A signal that was sent and not yet delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Which.
    pub signal: Signal,
    /// Who sent it; none is the kernel or a process outside of the run.
    pub from: Option<TaskId>,
    /// `si_code` (sigaction(2)).
    pub code: i32,
    /// What it carries: its `sigqueue` value, the status of a child, the address of a fault.
    pub value: i64,
    /// How many more of the same were sent while it waited, and are lost in it.
    pub coalesced: u32,
}

/// A queue of pending signals. Copies share what is in it until one changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pendings {
    waiting: Arc<BTreeMap<Rank, VecDeque<Pending>>>,
    set: SignalSet,
    len: usize,
}

/// Faults come first, then the lowest number (`next_signal` in kernel/signal.c).
type Rank = (bool, Signal);

const fn rank(signal: Signal) -> Rank {
    (!signal.is_synchronous(), signal)
}

impl Pendings {
    /// The signals in it: `SigPnd` or `ShdPnd` of `/proc/PID/status`.
    pub const fn set(&self) -> SignalSet {
        self.set
    }

    /// How many instances wait.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none does.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many instances of `signal` wait.
    pub fn count(&self, signal: Signal) -> usize {
        self.waiting.get(&rank(signal)).map_or(0, VecDeque::len)
    }

    /// The instance of `signal` that will be taken first.
    pub fn first(&self, signal: Signal) -> Option<&Pending> {
        self.waiting.get(&rank(signal))?.front()
    }

    /// How many were lost in those that wait.
    pub fn coalesced(&self) -> u64 {
        let standard = self.waiting.iter().filter(|((_, signal), _)| !signal.is_realtime());
        standard.flat_map(|(_, queue)| queue).map(|pending| u64::from(pending.coalesced)).sum()
    }

    /// All of them in the order of delivery, from the `start`th on.
    pub fn from(&self, start: usize) -> impl Iterator<Item = &Pending> {
        let mut skip = start;
        self.waiting.values().flat_map(move |queue| {
            let passed = skip.min(queue.len());
            skip -= passed;
            queue.range(passed..)
        })
    }

    /// Puts one in. A standard signal that is there already stays what it is.
    pub fn push(&mut self, pending: Pending) {
        if !pending.signal.is_realtime() && self.set.contains(pending.signal) {
            return;
        }
        Arc::make_mut(&mut self.waiting).entry(rank(pending.signal)).or_default().push_back(pending);
        self.set.insert(pending.signal);
        self.len += 1;
    }

    /// One more of a signal was sent and is lost in the one that waits.
    pub(super) fn coalesce(&mut self, signal: Signal) {
        if let Some(pending) = Arc::make_mut(&mut self.waiting).get_mut(&rank(signal)).and_then(VecDeque::back_mut) {
            pending.coalesced = pending.coalesced.saturating_add(1);
        }
    }

    /// Takes the oldest instance of `signal` out, if there is one.
    pub(super) fn remove(&mut self, signal: Signal) {
        if !self.set.contains(signal) {
            return;
        }
        let waiting = Arc::make_mut(&mut self.waiting);
        let Some(queue) = waiting.get_mut(&rank(signal)) else { return };
        queue.pop_front();
        if queue.is_empty() {
            waiting.remove(&rank(signal));
            self.set.remove(signal);
        }
        self.len -= 1;
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(name: &str, value: i64) -> Pending {
        Pending { signal: Signal::parse(name).expect("a signal"), from: None, code: -1, value, coalesced: 0 }
    }

    fn queue(list: &[(&str, i64)]) -> Pendings {
        let mut queue = Pendings::default();
        for (name, value) in list {
            queue.push(pending(name, *value));
        }
        queue
    }

    #[test]
    fn signals_stand_as_they_will_be_delivered() {
        let queue = queue(&[("RTMIN+1", 1), ("RTMIN", 2), ("TERM", 0), ("RTMIN", 3), ("SEGV", 0), ("HUP", 0)]);
        let order = |start| -> Vec<(String, i64)> {
            queue.from(start).map(|pending| (pending.signal.to_string(), pending.value)).collect()
        };
        let all = [("SIGSEGV", 0), ("SIGHUP", 0), ("SIGTERM", 0), ("SIGRTMIN", 2), ("SIGRTMIN", 3), ("SIGRTMIN+1", 1)];
        let all: Vec<(String, i64)> = all.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        for start in 0..8 {
            assert_eq!(order(start), all.get(start..).unwrap_or(&[]), "from {start}");
        }
        assert_eq!(queue.len(), 6);
    }

    #[test]
    fn standard_signals_are_a_bit_and_real_time_signals_queue() {
        let usr1 = Signal::parse("USR1").expect("a signal");
        let rtmin = Signal::parse("RTMIN").expect("a signal");
        let mut queue = queue(&[("USR1", 1), ("USR1", 2), ("RTMIN", 3), ("RTMIN", 4)]);
        queue.coalesce(usr1);
        assert_eq!((queue.len(), queue.count(rtmin), queue.coalesced()), (3, 2, 1));
        assert_eq!(queue.first(usr1).map(|it| (it.value, it.coalesced)), Some((1, 1)));
        queue.remove(usr1);
        assert_eq!(queue.first(usr1), None);
        queue.remove(usr1);
        assert_eq!(queue.first(rtmin).map(|it| it.value), Some(3));
        queue.remove(rtmin);
        assert_eq!(queue.set(), SignalSet::EMPTY.with(rtmin));
        assert_eq!(queue.first(rtmin).map(|it| it.value), Some(4));
        queue.remove(rtmin);
        assert_eq!(queue, Pendings::default());
    }
}
