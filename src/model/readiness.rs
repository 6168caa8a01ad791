//! Whether a descriptor is ready to be read, as poll(2) says it with `POLLIN` or `POLLHUP`.

use super::{Blocked, Channel, ChannelKind, End, Monitor, State, Task, TaskId, Why, World};

impl World {
    /// Whether a `read` through descriptor `fd` of `task` would not sleep; `None` where the log does not say
    /// enough: of files, terminals whose master is not in the run, sockets that lead out of it.
    pub fn is_readable(&self, task: TaskId, fd: i32) -> Option<bool> {
        let entry = self.fd(task, fd)?;
        self.channel_is_readable(task, entry.channel, entry.end)
    }

    /// The same of an end of a channel, for a task.
    pub fn channel_is_readable(&self, task: TaskId, channel: super::ChannelId, end: End) -> Option<bool> {
        let channel = self.channel(channel)?;
        match channel.kind {
            ChannelKind::Pipe => Some(!channel.contents.is_empty() || channel.writers == 0),
            // One that nobody has opened for writing yet is not at its end (fifo(7)).
            ChannelKind::Fifo if channel.contents.is_empty() && channel.writers == 0 => None,
            ChannelKind::Fifo => Some(!channel.contents.is_empty()),
            ChannelKind::Mq => Some(channel.filled() > 0),
            kind if kind.is_socket() => Self::socket_is_readable(channel, end),
            _ => self.tells_something(task, channel.monitor.as_deref()?, end),
        }
    }

    /// Whether a task sleeps until something comes through TCP or UDP that has been sent already, bytes or
    /// the end of them: the kernel is about to bring it, which on a busy machine takes a thread of its own
    /// some time.
    pub fn is_under_way(&self, task: &Task) -> bool {
        let State::Blocked(Blocked { channel: Some(id), why: Why::Empty, .. }) = task.state else { return false };
        let Some(channel) = self.channel(id) else { return false };
        let mut ends = self.fds(task.id).filter(|fd| fd.channel == id).map(|fd| fd.end);
        let Some((end, socket)) = ends.next().zip(channel.socket.as_ref()) else { return false };
        if ends.any(|other| other != end) || !matches!(channel.kind, ChannelKind::Tcp | ChannelKind::Udp) {
            return false;
        }
        let other = end.other().index();
        let over = channel.kind == ChannelKind::Tcp && (socket.shut_write[other] || socket.closed[other]);
        channel.inbox(end).count() > 0 || over
    }

    /// Whether a task sleeps in a read of an empty pipe to which nobody can write any more: its end is about to
    /// be told. A process that is being made elsewhere in the lab has copies of what the lab has borrowed, the
    /// end of the pipe among them, until it loads its program.
    pub fn is_about_to_end(&self, task: &Task) -> bool {
        let State::Blocked(Blocked { channel: Some(id), why: Why::Empty, .. }) = task.state else { return false };
        let is_pipe = self.channel(id).is_some_and(|channel| channel.kind.is_pipe());
        is_pipe && self.wakers(task.id).is_some_and(|wakers| wakers.tasks.is_empty() && !wakers.outside)
    }

    fn socket_is_readable(channel: &Channel, end: End) -> Option<bool> {
        let socket = channel.socket.as_ref()?;
        if socket.backlog.is_some() {
            return (!socket.waiting.is_empty()).then_some(true);
        }
        let (own, other) = (end.index(), end.other().index());
        if channel.inbox(end).count() > 0 {
            // What was written to TCP, and its end, may still wait at the sender (`TCP_NODELAY` of tcp(7)).
            return (channel.kind != ChannelKind::Tcp).then_some(true);
        }
        let paired = socket.connected || socket.held[other] > 0;
        let over = socket.shut_write[other] || socket.shut_read[own] || (paired && socket.closed[other]);
        if over && !channel.takes_from_all() {
            // A socket for datagrams is not told that the one across is gone, one for packets in a row is; the
            // log does not tell one from the other.
            let told = !channel.messages || socket.shut_read[own];
            return (told && channel.kind != ChannelKind::Tcp).then_some(true);
        }
        // The end across may be under way to somebody, or may have been closed before it was accepted.
        let held = socket.held[other] > 0 && !socket.outside[other];
        (held && !channel.takes_from_all()).then_some(false)
    }

    fn tells_something(&self, task: TaskId, monitor: &Monitor, end: End) -> Option<bool> {
        match monitor {
            Monitor::Counter { count, .. } => Some(*count > 0),
            // Signals of the process wait with its leader.
            Monitor::Signals(mask) => {
                let leader = self.task(task)?.process;
                let own = self.task(task).map_or(0, |task| task.pending.set().0);
                let shared = self.task(leader).map_or(0, |leader| leader.shared_pending.set().0);
                Some((own | shared) & mask.0 != 0)
            }
            Monitor::Timer { ticks, .. } => Some(*ticks > 0),
            Monitor::Unseen(count) => Some(*count > 0),
            Monitor::Terminal { asked, known } => known.then_some(asked.ready[end.index()]),
            Monitor::Task(task) => {
                let leader = self.task((*task)?)?;
                let process = leader.process;
                Some(self.tasks().filter(|it| it.process == process).all(|it| !it.is_alive()))
            }
            Monitor::Interests(list) => {
                let ready = list.iter().map(|interest| {
                    // What was told once is not told again (`EPOLLET`, `EPOLLONESHOT`).
                    let plain = interest.events & super::Interest::ONCE == 0;
                    let to = interest.to.filter(|_| plain && interest.events & super::Interest::IN != 0)?;
                    let held = self.fds(task).find(|fd| Some(fd.description) == interest.description);
                    self.channel_is_readable(task, to, held.map(|fd| fd.end).unwrap_or_default())
                });
                let ready: Vec<Option<bool>> = ready.collect();
                if ready.contains(&Some(true)) {
                    return Some(true);
                }
                ready.iter().all(Option::is_some).then_some(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::sketch::Sketch;
    use crate::model::{Access, ChannelKind, End, FdFlags, Kind, Phase, Signal, SignalSet, Told, Why};

    #[test]
    fn a_signalfd_is_ready_for_whom_a_signal_of_its_mask_is_pending() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "s", ChannelKind::Signalfd).open("a", 3, "s", Access::ReadWrite);
        let (channel, mask) = (sketch.channel("s"), SignalSet::EMPTY.with(Signal::CHLD));
        sketch.event("a", "signalfd4", 3, Kind::Monitor { channel, told: Told::Signals(mask) });
        sketch.fork("a", "b").signal("a", Phase::Pending, Signal::ALRM, None);
        let ready = |sketch: &Sketch, task| sketch.world().is_readable(sketch.task(task), 3);
        assert_eq!(ready(&sketch, "a"), Some(false));
        sketch.signal("a", Phase::Generated, Signal::CHLD, None).signal("a", Phase::Pending, Signal::CHLD, None);
        assert_eq!((ready(&sketch, "a"), ready(&sketch, "b")), (Some(true), Some(false)));
    }

    #[test]
    fn a_pipe_without_writers_is_about_to_end_and_one_that_its_reader_holds_is_not() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").pipe("a", "p", 3).block_at("a", "read", Why::Empty, "p");
        let ends = |sketch: &Sketch| {
            let world = sketch.world();
            world.task(sketch.task("a")).is_some_and(|task| world.is_about_to_end(task))
        };
        assert!(!ends(&sketch));
        sketch.close("a", 4).block_at("a", "read", Why::Empty, "p");
        assert!(ends(&sketch));
    }

    #[test]
    fn a_pidfd_is_ready_when_its_process_has_ended() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").fork("a", "b").create("a", "fd", ChannelKind::Pidfd);
        sketch.open("a", 3, "fd", Access::ReadWrite);
        let (channel, told) = (sketch.channel("fd"), Told::Task(Some(sketch.task("b"))));
        sketch.event("a", "pidfd_open", 3, Kind::Monitor { channel, told });
        assert_eq!(sketch.world().is_readable(sketch.task("a"), 3), Some(false));
        sketch.exit("b", 0);
        assert_eq!(sketch.world().is_readable(sketch.task("a"), 3), Some(true));
    }

    #[test]
    fn what_tcp_has_been_given_is_under_way_to_who_sleeps_for_it() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").fork("init", "b").create("a", "c", ChannelKind::Tcp);
        let (channel, access, flags) = (sketch.channel("c"), Access::ReadWrite, FdFlags::default());
        for (task, end) in [("a", End::First), ("b", End::Second)] {
            sketch.event(task, "socket", 3, Kind::Open { fd: 3, channel, end, access, flags });
        }
        sketch.block_at("a", "recvfrom", Why::Empty, "c");
        let under_way = |sketch: &Sketch| {
            let world = sketch.world();
            world.task(sketch.task("a")).is_some_and(|task| world.is_under_way(task))
        };
        assert!(!under_way(&sketch));
        sketch.event("b", "shutdown", 0, Kind::Shutdown { channel, end: End::Second, how: Access::Write });
        assert!(under_way(&sketch), "the end of what comes is");
    }
}
