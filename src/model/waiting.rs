//! Who waits for whom: the question behind every blocked call.
//!
//! Panes answer it with names, recordings as `holders`, and the deadlock rule follows it in circles.

use super::{
    Access, Blocked, Channel, ChannelId, ChannelKind, End, Lock, LockKind, Monitor, Owner, Polled, State, Task, TaskId,
    Wanted, Why, World,
};

/// Who could end a task's sleep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wakers {
    /// The tasks of the run that could: not the sleeper itself, unless it is its only hope, because nobody
    /// else holds the end that matters.
    pub tasks: Vec<TaskId>,
    /// Whether something outside of the run could: time, a user, another program.
    pub outside: bool,
}

/// What matters of a descriptor when one asks who holds a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// In which directions it may be used.
    pub access: Access,
    /// Which end it is.
    pub end: End,
    /// Its open file description.
    pub description: u64,
}

/// Who holds what. A world answers by looking at every task; who asks about many sleepers at once,
/// as a frame of the screen does, looks at every task once and answers from that.
pub trait Holdings {
    /// The processes that hold a channel through a descriptor that fits, in the order of birth.
    fn holders(&self, channel: ChannelId, fits: &dyn Fn(&Holding) -> bool) -> Vec<TaskId>;

    /// The processes that have got or mapped a channel, in the order of birth.
    fn users(&self, channel: ChannelId) -> Vec<TaskId>;
}

impl Holdings for World {
    fn holders(&self, channel: ChannelId, fits: &dyn Fn(&Holding) -> bool) -> Vec<TaskId> {
        let fitting = Self::holders(self, channel)
            .filter(|(_, fd)| fits(&Holding { access: fd.access, end: fd.end, description: fd.description }));
        let mut tasks: Vec<TaskId> = fitting.map(|(task, _)| task.id).collect();
        tasks.dedup();
        tasks
    }

    fn users(&self, channel: ChannelId) -> Vec<TaskId> {
        Self::users(self, channel).map(|task| task.id).collect()
    }
}

impl World {
    /// Who could end the sleep of `id`; `None` if it does not sleep.
    pub fn wakers(&self, id: TaskId) -> Option<Wakers> {
        self.wakers_among(id, self)
    }

    /// The same as [`wakers`](Self::wakers), with somebody else who knows who holds what.
    pub fn wakers_among(&self, id: TaskId, held: &dyn Holdings) -> Option<Wakers> {
        let mut wakers = self.possible_wakers_among(id, held)?;
        let sleeper = self.task(id)?;
        if let (State::Blocked(Blocked { why: Why::Value, channel: Some(channel), on: None, .. }), false) =
            (sleeper.state, wakers.outside)
        {
            self.keep_likely(sleeper, channel, &mut wakers);
        }
        if let State::Blocked(Blocked { why: Why::Empty | Why::Full, channel: Some(channel), .. }) = sleeper.state
            && self.channel(channel).is_some_and(|channel| channel.kind == ChannelKind::Terminal)
        {
            // That a leader ends is not what one waits for.
            let own = self.end_held(id, channel);
            let across = held.holders(channel, &|fd| Some(fd.end) != own);
            wakers.tasks.retain(|task| across.contains(task));
        }
        // A process that sleeps cannot help itself, as long as it has no other thread.
        let process = sleeper.process;
        let alone = || self.living().filter(|task| task.process == process).count() == 1;
        if wakers.tasks.len() > 1 && wakers.tasks.contains(&process) && alone() {
            wakers.tasks.retain(|task| *task != process);
        }
        Some(wakers)
    }

    /// Of those who could change a semaphore the ones who have done what is wanted before, or hold it; all,
    /// if there is none.
    fn keep_likely(&self, sleeper: &Task, channel: ChannelId, wakers: &mut Wakers) {
        let Wanted::Operation { index, delta } = sleeper.wanted else { return };
        let Some(semaphore) = self.channel(channel).and_then(|channel| channel.semaphores.get(&index)) else { return };
        let side = if delta < 0 { &semaphore.raised } else { &semaphore.lowered };
        let holds = |task: &TaskId| {
            let gives_back = |list: &[super::Held]| list.iter().any(|held| held.by == *task && held.count > 0);
            delta < 0 && (gives_back(&semaphore.taken) || gives_back(&semaphore.undo))
        };
        let likely = |task: &TaskId| side.contains(task) || holds(task);
        if wakers.tasks.iter().any(likely) {
            wakers.tasks.retain(likely);
        }
    }

    /// Whoever has the means to end the sleep of `id`, be it ever so unlikely, the sleeper itself among them if
    /// it has: what has to be ruled out before one may say that nobody will.
    pub fn possible_wakers(&self, id: TaskId) -> Option<Wakers> {
        self.possible_wakers_among(id, self)
    }

    pub(crate) fn possible_wakers_among(&self, id: TaskId, held: &dyn Holdings) -> Option<Wakers> {
        let State::Blocked(blocked) = self.task(id)?.state else { return None };
        let mut wakers = Wakers { outside: blocked.timeout, ..Wakers::default() };
        match blocked.why {
            // A semaphore that is used as a lock, whose holder is known.
            Why::Value if blocked.on.is_some() => wakers.tasks.extend(blocked.on),
            Why::Empty | Why::Full | Why::NoPeer | Why::Backlog | Why::Value => match blocked.channel {
                Some(channel) => self.wakers_at(id, channel, blocked.why, held, &mut wakers),
                None => wakers.outside = true,
            },
            Why::Child => {
                if let Some(child) = blocked.on {
                    wakers.tasks.push(child);
                } else {
                    let process = self.task(id)?.process;
                    wakers.tasks = self.children(process).filter(|task| task.is_alive()).map(|task| task.id).collect();
                }
            }
            Why::Vfork | Why::Join => wakers.tasks.extend(blocked.on),
            Why::Futex => self.wakers_at_word(id, blocked.channel, held, &mut wakers),
            Why::Lock => match (blocked.on, blocked.channel) {
                (Some(holder), _) => wakers.tasks.push(holder),
                // A lock in shared memory: the kernel does not know whose it is.
                (None, Some(channel)) if self.channel(channel).is_some_and(|it| it.kind.is_memory()) => {
                    self.wakers_at(id, channel, Why::Value, held, &mut wakers);
                }
                (None, Some(channel)) => wakers.tasks = self.lockers(id, channel, held),
                (None, None) => wakers.outside = true,
            },
            Why::Barrier => {
                wakers.tasks = self.living().map(|task| task.id).filter(|task| *task != id).collect();
            }
            Why::Poll => self.wakers_of_poll(id, held, &mut wakers),
            Why::Signal | Why::Time | Why::Other => wakers.outside = true,
        }
        Some(wakers)
    }

    /// Who has the memory that a word lies in: of shared memory the processes that have it mapped, of a process's
    /// own memory its threads. Memory that was there before the run others have too.
    fn wakers_at_word(&self, id: TaskId, channel: Option<ChannelId>, held: &dyn Holdings, wakers: &mut Wakers) {
        let process = self.task(id).map_or(id, |task| task.process);
        let threads = self.living().filter(|task| task.process == process && task.id != id).map(|task| task.id);
        wakers.tasks.extend(threads);
        if let Some(channel) = channel {
            wakers.tasks.extend(held.users(channel).into_iter().filter(|user| *user != process));
            wakers.outside |= self.channel(channel).is_none_or(|channel| channel.found);
        }
        wakers.tasks.sort_unstable();
    }

    /// Who could make one of several descriptors ready.
    fn wakers_of_poll(&self, id: TaskId, held: &dyn Holdings, wakers: &mut Wakers) {
        let Some(Wanted::Ready { polled }) = self.task(id).map(|task| &task.wanted) else {
            wakers.outside = true;
            return;
        };
        for Polled { channel, access, .. } in polled {
            let Some(channel) = channel else { continue };
            let wanted = [(access.writes(), Why::Full), (access.reads() || !access.writes(), Why::Empty)];
            for (_, why) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
                let mut some = Wakers::default();
                self.wakers_at(id, *channel, why, held, &mut some);
                wakers.tasks.append(&mut some.tasks);
                wakers.outside |= some.outside;
            }
        }
        wakers.tasks.sort_unstable();
        wakers.tasks.dedup();
    }

    /// Who could do what a sleeper at a channel waits for.
    fn wakers_at(&self, sleeper: TaskId, id: ChannelId, why: Why, held: &dyn Holdings, wakers: &mut Wakers) {
        let Some(channel) = self.channel(id) else { return };
        let process = self.task(sleeper).map_or(sleeper, |task| task.process);
        match channel.kind {
            ChannelKind::Pipe | ChannelKind::Fifo => {
                wakers.tasks = held.holders(id, &|fd| match why {
                    Why::NoPeer => true,
                    Why::Empty => fd.access.writes(),
                    _ => fd.access.reads(),
                });
                // Who started the run may hold the other end of what it was given.
                wakers.outside |= channel.found;
            }
            // A place in the queue of a listening socket becomes free when somebody accepts.
            kind if kind.is_socket() && why == Why::Backlog && channel.backlog().is_some() => {
                wakers.tasks = held.holders(id, &|_| true);
                wakers.outside |= wakers.tasks.is_empty();
            }
            // Whoever has a socket of that kind may connect, and so may anybody on the machine.
            kind if kind.is_socket() && channel.backlog().is_some() => {
                let could = |other: &Channel| {
                    let socket = other.socket.as_ref().filter(|_| other.alive && other.kind == kind);
                    socket.is_some_and(|it| !it.connected && it.backlog.is_none() && it.held == [1, 0])
                };
                let unconnected = self.channels().filter(|other| could(other));
                wakers.tasks = unconnected.flat_map(|other| held.holders(other.id, &|_| true)).collect();
                wakers.tasks.sort_unstable();
                wakers.tasks.dedup();
                wakers.outside = true;
            }
            // The other end of a connection; who is across is not known of one that nobody has accepted.
            ChannelKind::Unix | ChannelKind::Tcp => {
                let own = self.end_held(sleeper, id).filter(|_| !channel.takes_from_all());
                wakers.tasks = held.holders(id, &|fd| Some(fd.end) != own);
                // As long as it waits to be accepted, whoever accepts it.
                let listener = channel.socket.as_ref().and_then(|socket| socket.peer).filter(|listener| {
                    let listener = self.channel(*listener).and_then(|listener| listener.socket.as_ref());
                    listener.is_some_and(|listener| listener.waiting.contains(&id))
                });
                if let Some(listener) = listener.filter(|_| wakers.tasks.is_empty()) {
                    wakers.tasks = held.holders(listener, &|_| true);
                }
                // A socket with an address takes datagrams from strangers too.
                let open =
                    channel.takes_from_all() && channel.socket.as_ref().is_some_and(|it| it.addresses[0].is_some());
                wakers.outside |= wakers.tasks.is_empty() || open;
            }
            ChannelKind::Mq => {
                wakers.tasks = held.holders(id, &|fd| match why {
                    Why::Empty => fd.access.writes(),
                    _ => fd.access.reads(),
                });
                wakers.tasks.retain(|task| *task != process);
            }
            ChannelKind::Msg | ChannelKind::Sem => {
                wakers.tasks = held.users(id);
                wakers.tasks.retain(|task| *task != process);
            }
            // Who plays the user, or who runs on it. Its master may lie outside, and a slave that nobody has
            // can be opened by anybody.
            ChannelKind::Terminal => {
                let own = self.end_held(sleeper, id);
                wakers.tasks = held.holders(id, &|fd| Some(fd.end) != own);
                wakers.outside |= wakers.tasks.is_empty() || !channel.tty.master;
                // With the leader of its session a terminal hangs up.
                let leader = self.by_pid(channel.tty.sid).filter(|leader| channel.tty.sid != 0 && leader.id != process);
                wakers.tasks.extend(leader.map(|leader| leader.id));
                wakers.tasks.sort_unstable();
                wakers.tasks.dedup();
            }
            ChannelKind::Eventfd => {
                wakers.tasks = held.holders(id, &|_| true);
                // The kernel itself counts there for who has asked it to (io_uring(7)).
                let is_other = |fd: &super::Fd| {
                    self.channel(fd.channel).is_some_and(|channel| channel.kind == ChannelKind::Anonymous)
                };
                wakers.outside |= self.fds(sleeper).any(is_other);
            }
            // One that is not armed never expires until somebody arms it (timerfd_create(2)).
            ChannelKind::Timerfd => match channel.monitor.as_deref() {
                Some(Monitor::Timer { due: None, ticks: 0, .. }) => wakers.tasks = held.holders(id, &|_| true),
                _ => wakers.outside = true,
            },
            ChannelKind::Pidfd => match channel.monitor.as_deref() {
                Some(Monitor::Task(Some(task))) => wakers.tasks.push(*task),
                _ => wakers.outside = true,
            },
            ChannelKind::Shm | ChannelKind::Memfd => {
                wakers.tasks = held.users(id);
                wakers.tasks.retain(|task| *task != process);
            }
            _ => wakers.outside = true,
        }
    }

    /// Which end of a channel a task holds; none if it holds both or neither.
    pub(crate) fn end_held(&self, id: TaskId, channel: ChannelId) -> Option<End> {
        let mut ends = self.fds(id).filter(|fd| fd.channel == channel).map(|fd| fd.end);
        let first = ends.next()?;
        ends.all(|end| end == first).then_some(first)
    }

    /// Who holds a lock that is in the way of the one that the sleeper wants; as long as nobody knows which
    /// that is, everybody else who has one on the file.
    fn lockers(&self, sleeper: TaskId, channel: ChannelId, held: &dyn Holdings) -> Vec<TaskId> {
        let process = self.task(sleeper).map_or(sleeper, |task| task.process);
        let locks = self.channel(channel).map_or(&[][..], |channel| &channel.locks);
        let wanted = self.task(sleeper).and_then(|task| self.lock_wanted(task));
        let mut tasks: Vec<TaskId> = locks
            .iter()
            .filter(|lock| wanted.map_or(lock.owner != Owner::Process(process), |wanted| lock.excludes(&wanted)))
            .flat_map(|lock| match lock.owner {
                Owner::Process(process) => vec![process],
                Owner::Description(description) => held.holders(channel, &|fd| fd.description == description),
            })
            .filter(|task| *task != process || wanted.is_some())
            .collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }

    /// The lock that a task sleeps for.
    fn lock_wanted(&self, task: &Task) -> Option<Lock> {
        let Wanted::Lock { fd, kind, mode, start, len } = task.wanted else { return None };
        let owner = match kind {
            LockKind::Process => Owner::Process(task.process),
            LockKind::Description | LockKind::Flock => Owner::Description(self.fd(task.id, fd)?.description),
        };
        let end = if len == 0 { u64::MAX } else { start.saturating_add(len) };
        Some(Lock { kind, mode, start, end, owner, by: task.id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sketch::Sketch;
    use crate::model::{Access, Kind};

    #[test]
    fn whoever_has_a_socket_may_connect() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "server").create("server", "l", ChannelKind::Tcp);
        sketch.open("server", 3, "l", Access::ReadWrite);
        let channel = sketch.channel("l");
        sketch.event("server", "listen", 0, Kind::Listen { channel, backlog: 5 });
        sketch.fork("init", "client").create("client", "mine", ChannelKind::Tcp);
        sketch.open("client", 3, "mine", Access::ReadWrite);
        sketch.fork("init", "other").create("other", "mail", ChannelKind::Unix);
        sketch.open("other", 3, "mail", Access::ReadWrite).block_at("server", "accept", Why::NoPeer, "l");
        let wakers = sketch.world().wakers(sketch.task("server"));
        assert_eq!(wakers, Some(Wakers { tasks: vec![sketch.task("client")], outside: true }));
    }

    fn names(sketch: &Sketch, of: &str) -> (Vec<String>, bool) {
        let wakers = sketch.world().wakers(sketch.task(of)).expect("it sleeps");
        let all = ["a", "b", "c"];
        let named = all.into_iter().filter(|name| {
            let known = sketch.world().tasks().len() > all.iter().position(|it| it == name).unwrap_or(0) + 1;
            known && wakers.tasks.contains(&sketch.task(name))
        });
        (named.map(str::to_owned).collect(), wakers.outside)
    }

    #[test]
    fn at_a_terminal_the_other_side_is_waited_for() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "t", ChannelKind::Terminal).open("a", 3, "t", Access::ReadWrite);
        let (channel, access) = (sketch.channel("t"), Access::ReadWrite);
        let slave = |fd| Kind::Open { fd, channel, end: End::Second, access, flags: crate::model::FdFlags::default() };
        sketch.fork("a", "b").close("b", 3);
        sketch.event("b", "open", 3, slave(3)).block_at("b", "read", Why::Empty, "t");
        assert_eq!(names(&sketch, "b"), (vec!["a".into()], false));
        sketch.block_at("a", "read", Why::Empty, "t");
        assert_eq!(names(&sketch, "a"), (vec!["b".into()], false));
        // Nobody has the slave: anybody may open it.
        sketch.exit("b", 0);
        assert_eq!(names(&sketch, "a"), (vec![], true));
    }

    #[test]
    fn a_sleeper_counts_only_if_it_is_its_only_hope() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").pipe("a", "p", 3).fork("a", "b").block_at("b", "read", Why::Empty, "p");
        assert_eq!(names(&sketch, "b"), (vec!["a".into()], false));
        sketch.close("a", 4);
        assert_eq!(names(&sketch, "b"), (vec!["b".into()], false));
    }

    #[test]
    fn a_pair_whose_ends_everybody_holds_is_waited_for_by_the_others() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "s", ChannelKind::Unix).open("a", 3, "s", Access::ReadWrite);
        let channel = sketch.channel("s");
        let second = Kind::Open {
            fd: 4,
            channel,
            end: End::Second,
            access: Access::ReadWrite,
            flags: crate::model::FdFlags::default(),
        };
        sketch.event("a", "socketpair", 0, second).fork("a", "b").block_at("b", "read", Why::Empty, "s");
        assert_eq!(names(&sketch, "b"), (vec!["a".into()], false));
        sketch.close("a", 3).close("a", 4);
        assert_eq!(names(&sketch, "b"), (vec!["b".into()], false));
    }

    #[test]
    fn only_locks_in_the_way_count() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "f", ChannelKind::File).open("a", 3, "f", Access::ReadWrite);
        sketch.fork("a", "b").fork("a", "c");
        let (channel, mode) = (sketch.channel("f"), crate::model::LockMode::Write);
        let lock = |start| Kind::Lock { channel, fd: 3, kind: LockKind::Process, mode, start, len: 10 };
        sketch.event("a", "fcntl", 0, lock(0)).event("b", "fcntl", 0, lock(10));
        let wanted = Wanted::Lock { fd: 3, kind: LockKind::Process, mode, start: 5, len: 2 };
        sketch.wants("c", "fcntl", Why::Lock, "f", &wanted);
        assert_eq!(names(&sketch, "c"), (vec!["a".into()], false));
    }

    #[test]
    fn of_a_semaphore_those_count_who_raised_that_very_one() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "s", ChannelKind::Sem).get("a", "s");
        sketch.fork("init", "b").get("b", "s").fork("init", "c").get("c", "s");
        sketch.wants("c", "semop", Why::Value, "s", &Wanted::Operation { index: 1, delta: -1 });
        assert_eq!(names(&sketch, "c"), (vec!["a".into(), "b".into()], false), "nobody has ever done so");
        sketch.sem("b", "s", 1, 1, 1).sem("a", "s", 0, 1, 1).unblock("c");
        sketch.wants("c", "semop", Why::Value, "s", &Wanted::Operation { index: 1, delta: -2 });
        assert_eq!(names(&sketch, "c"), (vec!["b".into()], false));
        let possible = sketch.world().possible_wakers(sketch.task("c")).map(|wakers| wakers.tasks.len());
        assert_eq!(possible, Some(2), "others may still do it");
    }

    #[test]
    fn a_poll_waits_for_whoever_could_make_one_ready() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").pipe("a", "p", 3).fork("init", "b").pipe("b", "q", 5).fork("init", "c");
        let one = |channel, access| Polled { fd: 9, channel: Some(channel), access };
        let (p, q) = (sketch.channel("p"), sketch.channel("q"));
        let polled = vec![one(p, Access::Read), one(q, Access::Write)];
        sketch.wants("c", "poll", Why::Poll, "p", &Wanted::Ready { polled: polled.clone() });
        assert_eq!(names(&sketch, "c"), (vec!["a".into(), "b".into()], false));
        let wanted = sketch.keep(&Wanted::Ready { polled }.to_bytes());
        let block = Kind::Block { channel: Some(p), on: None, why: Why::Poll, timeout: true, wanted };
        sketch.unblock("c").event("c", "poll", 0, block);
        assert_eq!(names(&sketch, "c"), (vec!["a".into(), "b".into()], true));
    }
}
