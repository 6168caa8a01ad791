//! Sockets: made, bound, shut, gone (socket(7), unix(7), ip(7)).

use std::os::fd::OwnedFd;

use super::super::channels::New;
use super::super::sockets::{Address, Spot};
use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{Access, ChannelId, ChannelKind, End, Kind, TaskId};
use crate::sys::procfs::FdFacts;
use crate::sys::{memory, peek, procfs, sockets};

impl Tracer {
    pub(super) fn is_socket(&self, channel: ChannelId) -> bool {
        self.world().channel(channel).is_some_and(|channel| channel.kind.is_socket())
    }

    pub(super) fn kind_of(&self, channel: ChannelId) -> ChannelKind {
        self.world().channel(channel).map_or(ChannelKind::Socket, |channel| channel.kind)
    }

    /// A descriptor of a task, to be looked at and closed at once.
    pub(in crate::trace) fn borrow(&self, task: TaskId, fd: i32) -> Option<OwnedFd> {
        let leader = self.world().task(task)?.process;
        let tid = self.tids.get(&leader).or_else(|| self.tids.get(&task))?;
        peek::borrow(*tid, fd).ok()
    }

    /// The same of anybody who holds that end of a channel.
    pub(in crate::trace) fn borrow_end(&self, channel: ChannelId, end: End) -> Option<OwnedFd> {
        let mut holders = self.world().holders(channel).filter(|(_, fd)| fd.end == end);
        holders.find_map(|(task, fd)| self.borrow(task.id, fd.fd))
    }

    /// Which end of which channel a descriptor is that leads to a socket. One that nobody has met is
    /// looked at once.
    pub(super) fn meet_socket(
        &mut self,
        task: TaskId,
        facts: &FdFacts,
        name: Option<&str>,
        found: bool,
    ) -> (ChannelId, End) {
        let inode = facts.identity.1;
        if let Some(place) = self.sockets.place(inode) {
            return place;
        }
        let borrowed = self.borrow(task, facts.fd);
        let ask = |option| borrowed.as_ref().and_then(|fd| sockets::option(fd, option).ok()).unwrap_or(-1);
        let (domain, sort, protocol) = (ask(libc::SO_DOMAIN), ask(libc::SO_TYPE), ask(libc::SO_PROTOCOL));
        let kind = match (domain, protocol) {
            (libc::AF_UNIX, _) => ChannelKind::Unix,
            (libc::AF_INET | libc::AF_INET6, libc::IPPROTO_TCP | libc::IPPROTO_MPTCP) => ChannelKind::Tcp,
            (libc::AF_INET | libc::AF_INET6, libc::IPPROTO_UDP) => ChannelKind::Udp,
            _ => ChannelKind::Socket,
        };
        let across = (found && kind == ChannelKind::Unix).then(|| sockets::unix_peer(inode)).flatten();
        if let Some((channel, end)) = across.and_then(|inode| self.sockets.place(inode)) {
            self.sockets.put(inode, channel, end.other());
            return (channel, end.other());
        }
        let (name, messages) = (name.unwrap_or(kind.as_str()), sort != libc::SOCK_STREAM);
        let new = New { identity: None, kind, name, capacity: 0, messages, found };
        let channel = self.channels.make(&mut self.recorder, task, new);
        self.sockets.put(inode, channel, End::First);
        let drops = borrowed.as_ref().filter(|_| kind == ChannelKind::Udp).and_then(|fd| sockets::drops(fd).ok());
        let known = self.sockets.known_mut(channel);
        known.paired = sort != libc::SOCK_DGRAM;
        known.drops = drops.unwrap_or(0);
        (channel, End::First)
    }

    /// The address that a task passes to a call, as text.
    pub(in crate::trace) fn given_address(&self, task: TaskId, tid: i32, fd: i32, place: u64, length: u64) -> String {
        let kind = self.world().fd(task, fd).map_or(ChannelKind::Socket, |entry| self.kind_of(entry.channel));
        self.sockets.text(kind, &address_at(tid, place, length))
    }

    /// The socket of the run at an address that somebody passes to the socket `own`.
    pub(in crate::trace) fn socket_at(&self, tid: i32, own: ChannelId, address: &Address) -> Option<ChannelId> {
        self.sockets.at(&spot(tid, self.kind_of(own), address)?)
    }

    pub(super) fn bind(&mut self, ended: &Ended<'_>) {
        let fd = ended.int(0);
        let given = address_at(ended.tid, ended.call.args[1], ended.call.args[2]);
        let Some(entry) = self.world().fd(ended.task, fd).copied().filter(|_| !ended.failed()) else {
            return self.address_call(ended, &given);
        };
        // Which port or name the kernel chose, only the kernel knows.
        let asked = given.asks_for_a_port() || given == Address::Unnamed;
        let own = self.borrow(ended.task, fd).filter(|_| asked).and_then(|fd| sockets::own_address(&fd).ok());
        let address = own.map_or(given, |raw| Address::parse(&raw));
        if asked {
            self.name_port(entry.channel, &address);
        }
        let kind = self.kind_of(entry.channel);
        if let Some(spot) = spot(ended.tid, kind, &address) {
            self.sockets.bind(entry.channel, spot);
        }
        let address = self.recorder.intern(&self.sockets.text(kind, &address));
        let kind = Kind::Address { channel: entry.channel, end: entry.end, address };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
    }

    /// In a scenario a port that the kernel chose goes by the socket's name.
    fn name_port(&mut self, channel: ChannelId, address: &Address) {
        if let (Address::Inet(address), true) = (address, self.scenario.is_some())
            && let Some(known) = self.world().channel(channel)
        {
            let (kind, name) = (known.kind, self.recorder.names().get(known.name).to_owned());
            self.sockets.name_port(kind, address.port(), &name);
        }
    }

    /// A call with an address that failed or that no other event describes.
    pub(super) fn address_call(&mut self, ended: &Ended<'_>, address: &Address) {
        let kind = self.world().fd(ended.task, ended.int(0)).map_or(ChannelKind::Socket, |it| self.kind_of(it.channel));
        let text = format!("{}, {}", ended.int(0), self.sockets.text(kind, address));
        let args = self.recorder.keep(text.as_bytes());
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Syscall { args });
    }

    pub(super) fn listen(&mut self, ended: &Ended<'_>) {
        let Some(entry) = self.world().fd(ended.task, ended.int(0)).copied().filter(|_| !ended.failed()) else {
            return self.syscall_event(ended);
        };
        // Who did not bind gets a port now.
        self.learn_address(ended.task, entry.fd, entry.channel);
        let kind = Kind::Listen { channel: entry.channel, backlog: ended.call.args[1] as u32 };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
    }

    /// Writes where the kernel bound a socket that nobody has bound.
    pub(super) fn learn_address(&mut self, task: TaskId, fd: i32, channel: ChannelId) {
        let Some(known) = self.world().channel(channel) else { return };
        let kind = known.kind;
        let bound = known.socket.as_ref().is_some_and(|socket| socket.addresses[0].is_some());
        if bound || !matches!(kind, ChannelKind::Tcp | ChannelKind::Udp) {
            return;
        }
        let Some(raw) = self.borrow(task, fd).and_then(|fd| sockets::own_address(&fd).ok()) else { return };
        let address = Address::parse(&raw);
        let Address::Inet(inet) = address else { return };
        if inet.port() == 0 {
            return;
        }
        self.name_port(channel, &address);
        self.sockets.bind(channel, Spot::inet(kind, inet));
        self.write_address(task, channel, End::First, &address);
    }

    pub(super) fn write_address(&mut self, task: TaskId, channel: ChannelId, end: End, address: &Address) {
        let text = self.sockets.text(self.kind_of(channel), address);
        if !text.is_empty() {
            let address = self.recorder.intern(&text);
            self.recorder.plain(task, Kind::Address { channel, end, address });
        }
    }

    pub(super) fn shutdown(&mut self, ended: &Ended<'_>) {
        let Some(entry) = self.world().fd(ended.task, ended.int(0)).copied().filter(|_| !ended.failed()) else {
            return self.syscall_event(ended);
        };
        let how = match ended.int(1) {
            libc::SHUT_RD => Access::Read,
            libc::SHUT_WR => Access::Write,
            _ => Access::ReadWrite,
        };
        let kind = Kind::Shutdown { channel: entry.channel, end: entry.end, how };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
    }

    /// Whether something that nobody holds may still come back: a descriptor is under way, or a
    /// connection waits to be accepted.
    pub(in crate::trace) fn is_reachable(&self, channel: ChannelId) -> bool {
        if self.sockets.is_under_way(channel, None) {
            return true;
        }
        let socket = self.world().channel(channel).and_then(|channel| channel.socket.as_ref());
        let listener = socket.and_then(|socket| socket.peer).and_then(|listener| self.world().channel(listener));
        let waiting = listener.filter(|listener| listener.alive).and_then(|listener| listener.socket.as_ref());
        waiting.is_some_and(|listener| listener.waiting.contains(&channel))
    }

    /// Writes which ends of a connection nobody holds any more, as long as somebody holds the other.
    pub(in crate::trace) fn write_closed_ends(&mut self, task: TaskId, channel: ChannelId) {
        for end in [End::First, End::Second] {
            let Some(socket) = self.world().channel(channel).and_then(|channel| channel.socket.as_ref()) else {
                return;
            };
            let was_there = self.sockets.known(channel).is_some_and(|known| known.inodes[end.index()].is_some());
            let gone = socket.held[end.index()] == 0 && !socket.closed[end.index()] && was_there;
            if gone && socket.held[end.other().index()] > 0 && !self.sockets.is_under_way(channel, Some(end)) {
                self.recorder.plain(task, Kind::Shutdown { channel, end, how: Access::ReadWrite });
            }
        }
    }

    /// A socket is gone: so is what was under way to it, and what waited to be accepted by it.
    pub(in crate::trace) fn forget_socket(&mut self, task: TaskId, channel: ChannelId) {
        let mut lost = self.sockets.forget(channel);
        let socket = self.world().channel(channel).and_then(|channel| channel.socket.as_ref());
        lost.extend(socket.map(|socket| socket.waiting.clone()).unwrap_or_default());
        self.write_destroyed(task, &lost);
    }
}

/// The address that a task passes to a call.
pub(in crate::trace) fn address_at(tid: i32, place: u64, length: u64) -> Address {
    let mut raw = [0; sockets::MAX_ADDRESS];
    let length = usize::try_from(length).unwrap_or(0).min(raw.len());
    let read = if place == 0 { 0 } else { memory::read(tid, place, &mut raw[..length]).unwrap_or(0) };
    Address::parse(&raw[..read])
}

/// Where others find what is bound to an address.
fn spot(tid: i32, kind: ChannelKind, address: &Address) -> Option<Spot> {
    match address {
        Address::Inet(address) => Some(Spot::inet(kind, *address)),
        Address::Abstract(name) => Some(Spot::Abstract(name.clone())),
        Address::Path(path) => procfs::file_at(tid, path).map(|(device, inode)| Spot::File(device, inode)),
        Address::Unnamed | Address::Other => None,
    }
}
