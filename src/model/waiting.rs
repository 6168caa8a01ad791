//! Who waits for whom: the question behind every blocked call.
//!
//! Panes answer it with names, recordings as `holders`, and the deadlock rule follows it in circles.

use super::{Access, Channel, ChannelId, ChannelKind, End, Owner, State, TaskId, Why, World};

/// Who could end a task's sleep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wakers {
    /// The tasks of the run that could, the sleeper itself included if nobody else holds the end
    /// that matters.
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
        let State::Blocked(blocked) = self.task(id)?.state else { return None };
        let mut wakers = Wakers::default();
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
            Why::Vfork => wakers.tasks.extend(blocked.on),
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
            Why::Signal | Why::Time | Why::Poll | Why::Other => wakers.outside = true,
        }
        Some(wakers)
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
            }
            // A place in the queue of a listening socket becomes free when somebody accepts.
            kind if kind.is_socket() && why == Why::Backlog && channel.backlog().is_some() => {
                wakers.tasks = held.holders(id, &|_| true);
                wakers.outside = wakers.tasks.is_empty();
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
                let listener = channel.socket.as_ref().and_then(|socket| socket.peer);
                if let Some(listener) = listener.filter(|_| wakers.tasks.is_empty()) {
                    wakers.tasks = held.holders(listener, &|_| true);
                }
                wakers.outside = wakers.tasks.is_empty();
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

    /// Who holds a lock that the sleeper could want: everybody else who has one on the file.
    fn lockers(&self, sleeper: TaskId, channel: ChannelId, held: &dyn Holdings) -> Vec<TaskId> {
        let process = self.task(sleeper).map_or(sleeper, |task| task.process);
        let locks = self.channel(channel).map_or(&[][..], |channel| &channel.locks);
        let mut tasks: Vec<TaskId> = locks
            .iter()
            .filter(|lock| lock.owner != Owner::Process(process))
            .flat_map(|lock| match lock.owner {
                Owner::Process(process) => vec![process],
                Owner::Description(description) => held.holders(channel, &|fd| fd.description == description),
            })
            .filter(|task| *task != process)
            .collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
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
}
