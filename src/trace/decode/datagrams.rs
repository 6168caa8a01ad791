//! What goes through sockets: streams, records, and datagrams to whomever they are addressed.

use super::super::calls::Family;
use super::super::sockets::Address;
use super::super::tracee::Call;
use super::super::tracer::Tracer;
use super::Ended;
use super::sockets::address_at;
use crate::model::{Blob, ChannelId, ChannelKind, Kind, Sym, TaskId, Via};
use crate::sys::{memory, peek, sockets};

/// `struct mmsghdr` is a `struct msghdr` of 56 bytes and its length, padded to 64.
const MMSGHDR: u64 = 64;
const MSG_LEN: u64 = 56;

/// One message of a call.
#[derive(Debug, Clone, Copy)]
struct Message {
    bytes: u64,
    data: Blob,
    /// Its `struct msghdr`; 0 where the call has none.
    header: u64,
}

impl Tracer {
    /// `flags` of a call that has them.
    fn message_flags(call: &Call) -> i32 {
        match call.family {
            Family::Recvfrom | Family::Sendto | Family::Recvmsg { many: true } | Family::Sendmsg { many: true } => {
                call.args[3] as i32
            }
            Family::Recvmsg { many: false } | Family::Sendmsg { many: false } => call.args[2] as i32,
            _ => 0,
        }
    }

    /// Bytes came out of a socket.
    pub(super) fn received(&mut self, ended: &Ended<'_>, fd: i32) {
        let Some(entry) = self.world().fd(ended.task, fd).copied() else { return };
        let (channel, flags) = (entry.channel, Self::message_flags(ended.call));
        if flags & (libc::MSG_PEEK | libc::MSG_ERRQUEUE) != 0 {
            // Nothing was taken out.
            let what = if flags & libc::MSG_PEEK != 0 { "MSG_PEEK" } else { "MSG_ERRQUEUE" };
            let args = self.recorder.keep(format!("{fd}, {what}").as_bytes());
            return self.recorder.of_call(ended.task, ended.outcome(), Kind::Syscall { args });
        }
        self.finish_connect(ended.task, fd, channel);
        if ended.failed() {
            let kind = Kind::Read { channel, via: Via::Fd(fd), bytes: 0, data: Blob::EMPTY };
            return self.recorder.of_call(ended.task, ended.outcome(), kind);
        }
        for index in 0..Self::message_count(ended) {
            let message = self.datagram(ended, channel, index);
            let via = self.came_by(ended, channel, fd, message);
            let Message { bytes, data, header } = message;
            self.recorder.of_call(ended.task, ended.outcome(), Kind::Read { channel, via, bytes, data });
            if header != 0 {
                self.take_descriptors(ended, entry, header);
            }
        }
        let empty = self.world().channel(channel).is_some_and(|it| it.inbox(entry.end).count() == 0);
        if empty && self.sockets.awaits_descriptors() {
            let lost = self.sockets.discard(channel, entry.end);
            self.write_destroyed(ended.task, &lost);
        }
    }

    fn has_many(call: &Call) -> bool {
        matches!(call.family, Family::Recvmsg { many: true } | Family::Sendmsg { many: true })
    }

    /// How many messages a successful call has moved.
    fn message_count(ended: &Ended<'_>) -> u64 {
        if Self::has_many(ended.call) { ended.ret.max(0) as u64 } else { 1 }
    }

    /// One of them.
    fn datagram(&mut self, ended: &Ended<'_>, channel: ChannelId, index: u64) -> Message {
        if !Self::has_many(ended.call) {
            let (bytes, data) = self.payload(ended, channel);
            let has_header = matches!(ended.call.family, Family::Recvmsg { .. } | Family::Sendmsg { .. });
            return Message { bytes, data, header: if has_header { ended.call.args[1] } else { 0 } };
        }
        let header = ended.call.args[1].wrapping_add(index * MMSGHDR);
        let bytes = memory::read_i32(ended.tid, header.wrapping_add(MSG_LEN)).map_or(0, |it| u64::from(it as u32));
        let limit = self.limit(channel, bytes);
        Message { bytes, data: self.keep_message(ended.tid, header, limit), header }
    }

    /// By which way a message came: from whom, if it is a datagram and the call told. What somebody
    /// outside of the run sent was never seen going in; it is written now.
    fn came_by(&mut self, ended: &Ended<'_>, channel: ChannelId, fd: i32, message: Message) -> Via {
        if self.sockets.known(channel).is_none_or(|known| known.paired || known.inodes[1].is_some()) {
            return Via::Fd(fd);
        }
        let from = match (ended.call.family, message.header) {
            (Family::Recvfrom, _) => Self::filled_address(ended.tid, ended.call.args[4], ended.call.args[5]),
            (_, header @ 1..) => Self::header_address(ended.tid, header),
            _ => Address::Unnamed,
        };
        if matches!(from, Address::Unnamed | Address::Other) {
            return Via::Fd(fd);
        }
        let kind = self.world().channel(channel).map_or(ChannelKind::Socket, |channel| channel.kind);
        let mut sender = self.socket_at(ended.tid, channel, &from);
        if sender.is_none() && kind == ChannelKind::Udp {
            // The end of its call may be still to come.
            self.learn_all();
            sender = self.socket_at(ended.tid, channel, &from);
        }
        if let Some(address) = sender.and_then(|sender| self.own_name(sender)) {
            return Via::Socket(fd, address);
        }
        let text = self.sockets.text(kind, &from);
        let address = self.recorder.intern(&text);
        let Message { bytes, data, .. } = message;
        let via = Via::Socket(-1, address);
        self.recorder.plain(TaskId::LAB, Kind::Write { channel, via, bytes, data });
        Via::Socket(fd, address)
    }

    /// `msg_name` of a `struct msghdr`.
    fn header_address(tid: i32, header: u64) -> Address {
        let place = memory::read_u64(tid, header).unwrap_or(0);
        let length = memory::read_i32(tid, header.wrapping_add(8)).and_then(|it| u64::try_from(it).ok()).unwrap_or(0);
        address_at(tid, place, length)
    }

    /// The address that the log knows of a socket.
    fn own_name(&self, channel: ChannelId) -> Option<Sym> {
        self.world().channel(channel)?.socket.as_ref()?.addresses[0]
    }

    /// Asks where all sockets for datagrams are bound of which nobody knows it yet.
    fn learn_all(&mut self) {
        let nameless: Vec<_> = self
            .world()
            .living()
            .filter(|task| task.is_process())
            .flat_map(|task| self.world().fds(task.id).map(move |fd| (task.id, fd.fd, fd.channel)))
            .filter(|(_, _, channel)| {
                let known = self.world().channel(*channel).filter(|known| known.kind == ChannelKind::Udp);
                known.is_some() && self.own_name(*channel).is_none()
            })
            .collect();
        for (task, fd, channel) in nameless {
            self.learn_address(task, fd, channel);
        }
    }

    /// Bytes went into a socket.
    pub(super) fn sent(&mut self, ended: &Ended<'_>, fd: i32) {
        let Some(entry) = self.world().fd(ended.task, fd).copied() else { return };
        let channel = entry.channel;
        self.finish_connect(ended.task, fd, channel);
        let paired = self.is_paired(channel);
        if ended.failed() {
            let to = self.receiver(ended, channel, ended.call.args[1]).filter(|_| !paired);
            let via = to.map_or(Via::Fd(fd), |to| self.via_to(fd, channel, &to));
            let kind = Kind::Write { channel, via, bytes: 0, data: Blob::EMPTY };
            return self.recorder.of_call(ended.task, ended.outcome(), kind);
        }
        for index in 0..Self::message_count(ended) {
            let message = self.datagram(ended, channel, index);
            if paired && !Self::has_many(ended.call) {
                self.write_rest(ended, channel, fd, message.bytes, message.data);
            } else if paired {
                let Message { bytes, data, .. } = message;
                let kind = Kind::Write { channel, via: Via::Fd(fd), bytes, data };
                self.recorder.of_call(ended.task, ended.outcome(), kind);
            } else {
                self.write_datagram(ended, channel, fd, message);
            }
            if message.header != 0 {
                let target = if paired { None } else { self.target_of(ended.tid, channel, ended.call) };
                self.send_descriptors(ended, entry, target, message.header);
            }
        }
    }

    /// Bytes went into a socket that the program never had in its hands (sendfile(2), splice(2)).
    pub(super) fn sent_from_within(&mut self, ended: &Ended<'_>, fd: i32, bytes: u64, data: Blob) {
        let Some(channel) = self.world().fd(ended.task, fd).map(|entry| entry.channel) else { return };
        self.finish_connect(ended.task, fd, channel);
        if ended.failed() || self.is_paired(channel) {
            let told = self.tracees.get_mut(&ended.tid).map_or(0, |tracee| std::mem::take(&mut tracee.progress));
            let kind = Kind::Write { channel, via: Via::Fd(fd), bytes: bytes.saturating_sub(told), data };
            return self.recorder.of_call(ended.task, ended.outcome(), kind);
        }
        self.write_datagram(ended, channel, fd, Message { bytes, data, header: 0 });
    }

    /// Whether what goes into a socket comes out at one other end only.
    fn is_paired(&self, channel: ChannelId) -> bool {
        let known = self.sockets.known(channel);
        known.is_none_or(|known| known.paired || (known.inodes[1].is_some() && known.peer.is_none()))
    }

    /// To whom a datagram goes: the address that it bears, or whom the socket is connected to.
    fn receiver(&self, ended: &Ended<'_>, channel: ChannelId, header: u64) -> Option<Address> {
        let given = match ended.call.family {
            Family::Sendto => address_at(ended.tid, ended.call.args[4], ended.call.args[5]),
            Family::Sendmsg { .. } => Self::header_address(ended.tid, header),
            _ => Address::Unnamed,
        };
        match given {
            Address::Unnamed => self.sockets.known(channel)?.peer.clone(),
            given => Some(given),
        }
    }

    /// The socket of the run that a call on the socket `own` sends a datagram to.
    pub(in crate::trace) fn target_of(&self, tid: i32, own: ChannelId, call: &Call) -> Option<ChannelId> {
        let known = self.sockets.known(own).filter(|known| !known.paired)?;
        let given = match call.family {
            Family::Sendto => address_at(tid, call.args[4], call.args[5]),
            Family::Sendmsg { .. } => Self::header_address(tid, call.args[1]),
            _ => Address::Unnamed,
        };
        let address = if given == Address::Unnamed { known.peer.clone()? } else { given };
        self.socket_at(tid, own, &address)
    }

    fn via_to(&mut self, fd: i32, channel: ChannelId, to: &Address) -> Via {
        let kind = self.world().channel(channel).map_or(ChannelKind::Socket, |channel| channel.kind);
        let text = self.sockets.text(kind, to);
        Via::Socket(fd, self.recorder.intern(&text))
    }

    /// A datagram goes into the socket that it is addressed to, if that is one of the run.
    fn write_datagram(&mut self, ended: &Ended<'_>, own: ChannelId, fd: i32, message: Message) {
        self.learn_address(ended.task, fd, own);
        let Message { bytes, data, header } = message;
        let to = self.receiver(ended, own, header).unwrap_or(Address::Unnamed);
        let Some(target) = self.socket_at(ended.tid, own, &to) else {
            let via = self.via_to(fd, own, &to);
            let kind = Kind::Write { channel: own, via, bytes, data };
            return self.recorder.of_call(ended.task, ended.outcome(), kind);
        };
        let via = self.own_name(own).map_or(Via::Fd(fd), |address| Via::Socket(fd, address));
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Write { channel: target, via, bytes, data });
        self.write_drop(ended, target, bytes);
    }

    /// Writes that the kernel threw a datagram away, if it counts one more at the receiver.
    fn write_drop(&mut self, ended: &Ended<'_>, target: ChannelId, bytes: u64) {
        let is_udp = self.world().channel(target).is_some_and(|target| target.kind == ChannelKind::Udp);
        let receiver = is_udp.then(|| self.borrow_end(target, crate::model::End::First)).flatten();
        let Some(drops) = receiver.and_then(|fd| sockets::drops(&fd).ok()) else { return };
        let known = self.sockets.known_mut(target);
        if drops > known.drops {
            // Others that are counted already belong to sends that are still to be reported.
            known.drops += 1;
            self.recorder.of_call(ended.task, ended.outcome(), Kind::Drop { channel: target, bytes });
        }
    }

    /// How many bytes of a write that waits for room have gone into a stream and are not in the log.
    pub(super) fn entered(&self, task: TaskId, fd: i32) -> Option<u64> {
        let entry = self.world().fd(task, fd)?;
        let channel = self.world().channel(entry.channel)?;
        let across = channel.arrival(Some(entry.end), Via::Fd(fd))?;
        let reader = self.borrow_end(channel.id, across);
        let unread = reader.as_ref().and_then(|fd| peek::waiting(fd).ok());
        let inside = match channel.kind {
            ChannelKind::Unix => unread?,
            ChannelKind::Tcp => {
                let arrived = reader.as_ref().and_then(|fd| sockets::passed(fd).ok()).unwrap_or_default().arrived;
                let taken = arrived.saturating_sub(unread.unwrap_or(0));
                sockets::passed(&self.borrow(task, fd)?).ok()?.written.checked_sub(taken)?
            }
            _ => return None,
        };
        inside.checked_sub(channel.inbox(across).len())
    }
}
