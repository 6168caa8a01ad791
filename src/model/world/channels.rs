//! Channels: made, filled and emptied, connected, locked.

use std::sync::Arc;

use super::World;
use crate::model::channel::set_lock;
use crate::model::task::Use;
use crate::model::{
    Access, Channel, ChannelId, Contents, End, Event, Kind, Lock, LockKind, Monitor, Owner, Socket, Sym, TaskId, Told,
    Via,
};

impl World {
    pub(super) fn create(&mut self, made: Kind) {
        let Kind::Create { channel: id, kind, name, capacity, messages, found } = made else { return };
        // Identities are given in order; a damaged recording may skip some, which are then gone.
        while self.channels.len() < id.index() {
            let gap = ChannelId::from_index(self.channels.len());
            let gap = Channel { alive: false, ..Channel::new(gap, kind, name, 0) };
            self.channels.push(Arc::new(gap));
        }
        if id.index() == self.channels.len() {
            let mut channel = Channel { messages, found, ..Channel::new(id, kind, name, capacity) };
            if let Some(socket) = channel.socket.as_mut().filter(|_| found) {
                socket.outside[End::Second.index()] = true;
            }
            self.channels.push(Arc::new(channel));
        }
    }

    /// Bytes go in, come out, or are thrown away.
    pub(super) fn transfer(&mut self, event: &Event, payload: &[u8]) {
        let task = event.task;
        match event.kind {
            Kind::Write { channel, via, bytes, .. } => {
                let end = self.end_of(task, via, channel);
                self.change_channel(channel, |channel| {
                    channel.written = channel.written.saturating_add(bytes);
                    channel.count_at_terminal(end, bytes, true);
                    if let Some(monitor) = &mut channel.monitor {
                        monitor.moved(task, payload, true);
                    }
                    let Some(arrival) = channel.arrival(end, via) else { return };
                    let messages = channel.messages;
                    let inbox = channel.inbox_mut(arrival);
                    if messages {
                        inbox.put(task, bytes, payload, via.mark());
                    } else {
                        inbox.push(task, bytes, payload);
                    }
                });
                self.advance(event.call, task, via, channel, bytes);
            }
            Kind::Read { channel, via, bytes, .. } => {
                let end = self.end_of(task, via, channel).unwrap_or_default();
                self.change_channel(channel, |channel| {
                    channel.read = channel.read.saturating_add(bytes);
                    channel.count_at_terminal(Some(end), bytes, false);
                    if let Some(monitor) = &mut channel.monitor {
                        monitor.moved(task, payload, false);
                    }
                    if !channel.carries(via) {
                        return;
                    }
                    let outside = channel.is_outside(end.other());
                    let (messages, owing) = (channel.messages, channel.writers > 0 && !outside);
                    let inbox = channel.inbox_mut(end);
                    if !messages {
                        inbox.pop(bytes, owing);
                    } else if outside && inbox.count() == 0 {
                        // It came from where nobody saw it go in.
                    } else if matches!(via, Via::Msg(_) | Via::Mq(..))
                        || bytes > 0
                        || inbox.runs().next().is_some_and(|first| first.len == 0)
                    {
                        inbox.take(via.mark());
                    }
                });
                self.advance(event.call, task, via, channel, bytes);
            }
            Kind::Drop { channel, .. } => {
                self.change_channel(channel, |channel| {
                    channel.lost = channel.lost.saturating_add(1);
                    channel.contents.take_last();
                });
            }
            _ => {}
        }
    }

    /// The end of `channel` that a transfer goes through, if it goes through one.
    fn end_of(&self, task: TaskId, via: Via, channel: ChannelId) -> Option<End> {
        let entry = self.fd(task, via.fd()?)?;
        (entry.channel == channel).then_some(entry.end)
    }

    fn advance(&mut self, call: Option<Sym>, task: TaskId, via: Via, channel: ChannelId, bytes: u64) {
        let stays = matches!(via, Via::At(_)) || call.is_some_and(Sym::is_positioned);
        if let Some(fd) = via.fd().filter(|_| !stays) {
            self.advance_position(task, fd, channel, bytes);
        }
    }

    /// Identifiers and mappings.
    pub(super) fn attach(&mut self, task: TaskId, kind: Kind) {
        let Some(leader) = self.task(task).map(|task| task.process) else { return };
        match kind {
            Kind::Get { channel, .. } if self.has_got(leader, channel) => {}
            Kind::Get { channel, .. } => {
                let access = Access::ReadWrite;
                self.add_use(leader, Use { channel, address: 0, bytes: 0, offset: 0, access });
            }
            Kind::Attach { channel, address, bytes, offset, access } => {
                self.add_use(leader, Use { channel, address, bytes, offset, access });
            }
            Kind::Detach { channel, address, bytes } => self.detach(leader, channel, address, bytes),
            _ => {}
        }
    }

    fn has_got(&self, leader: TaskId, channel: ChannelId) -> bool {
        self.uses(leader).iter().any(|used| used.channel == channel && used.bytes == 0)
    }

    fn add_use(&mut self, leader: TaskId, used: Use) {
        self.change(leader, |task| task.uses.push(used));
        self.count_use(used.channel, true);
    }

    pub(super) fn count_use(&mut self, channel: ChannelId, held: bool) {
        self.change_channel(channel, |channel| {
            channel.holders = if held { channel.holders + 1 } else { channel.holders.saturating_sub(1) };
        });
    }

    /// What is unmapped need not be all that was mapped: what is left on either side stays.
    fn detach(&mut self, leader: TaskId, channel: ChannelId, address: u64, bytes: u64) {
        let end = address.saturating_add(bytes);
        let touched = |used: &Use| {
            used.channel == channel
                && used.bytes > 0
                && used.address < end
                && address < used.address.saturating_add(used.bytes)
        };
        let gone: Vec<Use> = self.uses(leader).iter().copied().filter(touched).collect();
        self.change(leader, |task| task.uses.retain(|used| !touched(used)));
        for used in gone {
            self.count_use(channel, false);
            let last = used.address.saturating_add(used.bytes);
            let before = Use { bytes: address.saturating_sub(used.address), ..used };
            let skipped = end.saturating_sub(used.address);
            let after = Use {
                address: end,
                bytes: last.saturating_sub(end),
                offset: used.offset.saturating_add(skipped),
                ..used
            };
            for part in [before, after] {
                if part.bytes > 0 {
                    self.add_use(leader, part);
                }
            }
        }
    }

    /// A program that is replaced or ends has nothing mapped any more.
    pub(super) fn drop_uses(&mut self, leader: TaskId) {
        let uses = self.task(leader).map(|task| task.uses.clone()).unwrap_or_default();
        if uses.is_empty() {
            return;
        }
        self.change(leader, |task| task.uses.clear());
        for used in uses {
            self.count_use(used.channel, false);
        }
    }

    /// Addresses, connections, ends that are shut.
    pub(super) fn socket(&mut self, kind: Kind) {
        match kind {
            Kind::Address { channel, end, address } => {
                self.change_socket(channel, |socket| socket.addresses[end.index()] = Some(address));
            }
            Kind::Listen { channel, backlog } => {
                self.change_socket(channel, |socket| socket.backlog = Some(backlog));
            }
            Kind::Connect { channel, to, .. } => {
                let listens = to.and_then(|to| self.channel(to)).is_some_and(|to| to.backlog().is_some());
                self.change_socket(channel, |socket| {
                    (socket.connected, socket.peer) = (true, to);
                    // Datagrams go by their address; a connection to nobody of the run leads out of it.
                    socket.outside[End::Second.index()] |= to.is_none();
                });
                if let Some(to) = to.filter(|_| listens) {
                    self.change_socket(to, |socket| socket.waiting.push(channel));
                }
            }
            Kind::Accept { channel, connection } => {
                let asked = self.channel(connection).and_then(|it| it.socket.as_ref()?.peer);
                for listener in asked.into_iter().chain([channel]) {
                    self.change_socket(listener, |socket| socket.waiting.retain(|waiting| *waiting != connection));
                }
                self.change_socket(connection, |socket| {
                    // Who connects does so before it is accepted, if it belongs to the run.
                    socket.outside[End::First.index()] |= !socket.connected;
                    socket.outside[End::Second.index()] = false;
                    socket.connected = true;
                });
            }
            Kind::Shutdown { channel, end, how } => self.change_channel(channel, |channel| {
                let socket = channel.socket.get_or_insert_default();
                socket.shut_read[end.index()] |= how.reads();
                socket.shut_write[end.index()] |= how.writes();
                // An end that nobody holds any more is gone, and with it what waits there.
                if how == Access::ReadWrite && socket.held[end.index()] == 0 {
                    socket.closed[end.index()] = true;
                    *channel.inbox_mut(end) = Contents::default();
                }
            }),
            _ => {}
        }
    }

    fn change_socket(&mut self, id: ChannelId, change: impl FnOnce(&mut Socket)) {
        self.change_channel(id, |channel| change(channel.socket.get_or_insert_default()));
    }

    /// A descriptor that tells of something else.
    pub(super) fn monitor(&mut self, task: TaskId, t_ns: u64, id: ChannelId, told: Told) {
        let entry = match told {
            Told::Interest { fd, to, .. } => {
                self.fd(task, fd).filter(|entry| to.is_none_or(|to| to == entry.channel)).copied()
            }
            _ => None,
        };
        self.change_channel(id, |channel| {
            let before = channel.monitor.take().map(|before| *before);
            let description = entry.map(|entry| entry.description);
            channel.monitor = Some(Box::new(Monitor::tell(before, t_ns, told, description)));
        });
        if let Some(entry) = entry {
            self.change_channel(entry.channel, |channel| {
                if !channel.watchers.contains(&id) {
                    channel.watchers.push(id);
                }
            });
        }
    }

    /// The last descriptor of an open file description is closed: with it go the interests in it
    /// (epoll(7)).
    pub(super) fn drop_interests(&mut self, channel: ChannelId, description: u64) {
        let watchers = self.channel(channel).map(|channel| channel.watchers.clone()).unwrap_or_default();
        for watcher in watchers {
            self.change_channel(watcher, |channel| {
                if let Some(Monitor::Interests(list)) = channel.monitor.as_deref_mut() {
                    list.retain(|interest| interest.description != Some(description));
                }
            });
        }
    }

    /// Semaphores, locks, and memory.
    pub(super) fn shared(&mut self, seq: u64, task: TaskId, kind: Kind, payload: &[u8]) {
        let process = self.task(task).map_or(task, |task| task.process);
        match kind {
            Kind::Sem { channel, index, delta, value, undo } => self.change_channel(channel, |channel| {
                channel.semaphores.entry(index).or_default().change(process, delta, value, undo);
            }),
            Kind::Lock { channel, fd, kind, mode, start, len } => {
                let owner = match kind {
                    LockKind::Process => Owner::Process(process),
                    LockKind::Description | LockKind::Flock => {
                        let Some(entry) = self.fd(task, fd) else { return };
                        Owner::Description(entry.description)
                    }
                };
                let end = if len == 0 { u64::MAX } else { start.saturating_add(len) };
                let lock = Lock { kind, mode, start, end, owner, by: task };
                self.change_channel(channel, |channel| set_lock(&mut channel.locks, lock));
            }
            Kind::Store { channel, offset, .. } => {
                let new = &payload[payload.len() / 2..];
                self.change_channel(channel, |channel| channel.memory.store(task, seq, offset, new));
            }
            _ => {}
        }
    }
}
