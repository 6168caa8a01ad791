//! Connections: asked for and accepted (connect(2), accept(2)).
//!
//! A connection is one channel. The connecting socket was there first and gave the channel its name;
//! the accepted one is found to belong to it by what the kernel says: of a Unix socket the one across,
//! of TCP the two addresses. The exits of `connect` and `accept` come in either order.

use super::super::calls::Family;
use super::super::channels::New;
use super::super::recorder::Outcome;
use super::super::sockets::Address;
use super::super::tracer::Tracer;
use super::sockets::address_at;
use super::{Ended, channels};
use crate::model::{ChannelId, ChannelKind, End, Kind, TaskId};
use crate::sys::{memory, procfs, sockets};

impl Tracer {
    pub(super) fn connect(&mut self, ended: &Ended<'_>) {
        let fd = ended.int(0);
        let given = address_at(ended.tid, ended.call.args[1], ended.call.args[2]);
        let Some(entry) = self.world().fd(ended.task, fd).copied().filter(|_| given != Address::Unnamed) else {
            if let Some(channel) = self.world().fd(ended.task, fd).map(|entry| entry.channel) {
                self.sockets.known_mut(channel).peer = None;
            }
            return self.address_call(ended, &given);
        };
        let channel = entry.channel;
        let paired = self.sockets.known(channel).is_some_and(|known| known.paired);
        if ended.failed() {
            self.write_connect(ended.task, channel, Some(ended.tid), &given, Some(ended.outcome()));
            if ended.ret == -i64::from(libc::EINPROGRESS) {
                self.sockets.known_mut(channel).connecting = true;
                self.note_pair(ended.task, fd, channel, &given);
                self.finish_connect(ended.task, fd, channel);
            }
        } else if paired {
            // Who accepted it may have been told of before.
            if !self.is_connected(channel) {
                self.connected(ended.task, fd, channel, Some(ended.tid), &given, Some(ended.outcome()));
            }
        } else {
            self.write_connect(ended.task, channel, Some(ended.tid), &given, Some(ended.outcome()));
            self.learn_address(ended.task, fd, channel);
            self.sockets.known_mut(channel).peer = Some(given);
        }
    }

    fn is_connected(&self, channel: ChannelId) -> bool {
        let socket = self.world().channel(channel).and_then(|channel| channel.socket.as_ref());
        socket.is_some_and(|socket| socket.connected)
    }

    fn write_connect(
        &mut self,
        task: TaskId,
        channel: ChannelId,
        tid: Option<i32>,
        address: &Address,
        outcome: Option<Outcome>,
    ) {
        let tid = tid.or_else(|| self.tids.get(&task).copied()).unwrap_or(0);
        let to = self.socket_at(tid, channel, address);
        let text = self.sockets.text(self.kind_of(channel), address);
        let address = (!text.is_empty()).then(|| self.recorder.intern(&text));
        let kind = Kind::Connect { channel, to, address };
        match outcome {
            Some(outcome) => self.recorder.of_call(task, outcome, kind),
            None => self.recorder.plain(task, kind),
        }
    }

    /// Writes that a socket is connected, and the addresses of both ends.
    fn connected(
        &mut self,
        task: TaskId,
        fd: i32,
        channel: ChannelId,
        tid: Option<i32>,
        peer: &Address,
        outcome: Option<Outcome>,
    ) {
        self.sockets.known_mut(channel).connecting = false;
        self.write_connect(task, channel, tid, peer, outcome);
        self.note_pair(task, fd, channel, peer);
        self.learn_address(task, fd, channel);
        self.write_address(task, channel, End::Second, peer);
    }

    /// Notes the two addresses of a connection, by which the accepted socket will be known.
    fn note_pair(&mut self, task: TaskId, fd: i32, channel: ChannelId, peer: &Address) {
        let own = self.borrow(task, fd).and_then(|fd| sockets::own_address(&fd).ok());
        if let (Some(Address::Inet(own)), Address::Inet(peer)) = (own.map(|raw| Address::parse(&raw)), peer) {
            self.sockets.pair(channel, own, *peer);
        }
    }

    /// A `connect` that did not wait has succeeded if the kernel says whom the socket is connected to.
    pub(super) fn finish_connect(&mut self, task: TaskId, fd: i32, channel: ChannelId) {
        if !self.sockets.known(channel).is_some_and(|known| known.connecting) {
            return;
        }
        let peer = self.borrow(task, fd).and_then(|fd| sockets::peer_address(&fd).ok());
        if let Some(raw) = peer {
            self.connected(task, fd, channel, None, &Address::parse(&raw), None);
        }
    }

    pub(super) fn accept(&mut self, ended: &Ended<'_>) {
        let listener = self.world().fd(ended.task, ended.int(0)).map(|entry| entry.channel);
        let (Some(listener), false) = (listener, ended.failed()) else { return self.syscall_event(ended) };
        let fd = ended.ret as i32;
        let Some(facts) = procfs::fd(ended.tid, fd) else { return self.plain_call(ended) };
        let client = self.client_of(ended, listener, facts.identity.1);
        if let Some(client) = client {
            self.connected_before(ended.task, client);
        }
        let connection = client.unwrap_or_else(|| self.outsider(ended, listener));
        self.sockets.put(facts.identity.1, connection, End::Second);
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Accept { channel: listener, connection });
        let (access, flags) = (channels::access(&facts), channels::flags(&facts));
        let open = Kind::Open { fd, channel: connection, end: End::Second, access, flags };
        self.recorder.of_call(ended.task, ended.outcome(), open);
        if client.is_none()
            && let Some(borrowed) = self.borrow(ended.task, fd)
        {
            let ends = [(End::First, sockets::peer_address(&borrowed)), (End::Second, sockets::own_address(&borrowed))];
            for (end, raw) in ends {
                self.write_address(
                    ended.task,
                    connection,
                    end,
                    &raw.map_or(Address::Other, |raw| Address::parse(&raw)),
                );
            }
        }
    }

    /// A connection whose other end lies outside of the run.
    fn outsider(&mut self, ended: &Ended<'_>, listener: ChannelId) -> ChannelId {
        let listening = self.world().channel(listener);
        let (kind, messages) = listening.map_or((ChannelKind::Socket, false), |it| (it.kind, it.messages));
        let new = New { identity: None, kind, name: kind.as_str(), capacity: 0, messages, found: false };
        let channel = self.channels.make(&mut self.recorder, ended.task, new);
        self.sockets.known_mut(channel).paired = true;
        channel
    }

    /// The connection of the run that an accepted socket is the second end of.
    fn client_of(&self, ended: &Ended<'_>, listener: ChannelId, inode: u64) -> Option<ChannelId> {
        if self.kind_of(listener) == ChannelKind::Unix {
            if let Some(peer) = sockets::unix_peer(inode) {
                return self.sockets.place(peer).map(|(channel, _)| channel);
            }
            // Who connected has closed it already, or the kernel does not tell.
            let waiting = &self.world().channel(listener)?.socket.as_ref()?.waiting;
            let closed = |id: &&ChannelId| self.world().channel(**id).is_some_and(|it| it.holders == 0);
            return waiting.iter().find(closed).or_else(|| waiting.first()).copied();
        }
        let borrowed = self.borrow(ended.task, ended.ret as i32)?;
        let own = Address::parse(&sockets::own_address(&borrowed).ok()?);
        let peer = sockets::peer_address(&borrowed).ok().map(|raw| Address::parse(&raw));
        // One that was reset is connected to nobody any more; the call itself may have said to whom.
        let peer = peer.unwrap_or_else(|| Self::filled_address(ended.tid, ended.call.args[1], ended.call.args[2]));
        let (Address::Inet(own), Address::Inet(peer)) = (own, peer) else { return None };
        self.sockets.between(peer, own).or_else(|| {
            let from = Address::Inet(peer);
            self.connecting().map(|(_, task, fd, channel)| (task, fd, channel)).find_map(|(task, fd, channel)| {
                let own = self.borrow(task, fd).and_then(|fd| sockets::own_address(&fd).ok())?;
                (Address::parse(&own) == from).then_some(channel)
            })
        })
    }

    /// The address that a call has filled in, with its length behind a pointer.
    pub(super) fn filled_address(tid: i32, place: u64, length: u64) -> Address {
        if place == 0 || length == 0 {
            return Address::Unnamed;
        }
        let length = memory::read_i32(tid, length).and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        address_at(tid, place, length)
    }

    /// Who is in a `connect`, by which descriptor, of which channel.
    fn connecting(&self) -> impl Iterator<Item = (i32, TaskId, i32, ChannelId)> {
        self.tracees.iter().filter_map(|(tid, tracee)| {
            let call = tracee.call.filter(|call| call.family == Family::Connect)?;
            let fd = call.args[0] as i32;
            Some((*tid, tracee.task, fd, self.world().fd(tracee.task, fd)?.channel))
        })
    }

    /// What is accepted has been connected: so it is written, should the exit of `connect` be still to
    /// come.
    fn connected_before(&mut self, acceptor: TaskId, channel: ChannelId) {
        if self.is_connected(channel) {
            return;
        }
        let Some((tid, task, fd, _)) = self.connecting().find(|(_, _, _, connecting)| *connecting == channel) else {
            let holder = self.world().holders(channel).map(|(task, fd)| (task.id, fd.fd)).next();
            match holder {
                Some((task, fd)) => self.finish_connect(task, fd, channel),
                None => self.write_connect(acceptor, channel, None, &Address::Unnamed, None),
            }
            return;
        };
        self.wake(tid);
        let Some(call) = self.tracees.get(&tid).and_then(|tracee| tracee.call) else { return };
        let given = address_at(tid, call.args[1], call.args[2]);
        self.connected(task, fd, channel, Some(tid), &given, Some(Outcome { call: call.name, ret: 0 }));
    }
}
