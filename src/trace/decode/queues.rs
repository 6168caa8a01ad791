//! System V message queues (sysvipc(7)): an identifier, and messages that have a type.

use super::super::calls::Family;
use super::super::channels::{Identity, New};
use super::super::limits;
use super::super::tracee::{Ahead, Call};
use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{Blob, Channel, ChannelId, ChannelKind, Kind, Mark, MessageType, TaskId, Via};
use crate::sys::{ipc, memory, procfs};

/// Where the text of a message begins: after its type.
const TEXT: u64 = 8;
/// How many messages of a queue that was there before are looked at.
const LOOKED_AT: i64 = 10_000;

impl Tracer {
    /// Whether identifiers and names of IPC objects mean to a task what they mean to the lab.
    pub(in crate::trace) fn shares_ipc(tid: i32) -> bool {
        let own = procfs::ipc_namespace(std::process::id().cast_signed());
        own.is_some() && own == procfs::ipc_namespace(tid)
    }

    /// Which IPC namespace a task is in: identifiers and names mean something there only. It can change
    /// with every call (unshare(2), setns(2)), so it is asked anew; 0 if nobody knows.
    pub(in crate::trace) fn ipc_space(tid: i32) -> u64 {
        procfs::ipc_namespace(tid).unwrap_or(0)
    }

    /// The channel of a queue's identifier, as a task means it. One that was removed keeps it, so that calls which fail for
    /// that reason still name it.
    pub(in crate::trace) fn msg_queue(&self, tid: i32, id: i32) -> Option<ChannelId> {
        self.channels.known(Identity::Msg(Self::ipc_space(tid), id))
    }

    pub(super) fn msgget(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.syscall_event(ended);
        }
        let id = ended.ret as i32;
        let channel = self.meet_queue(ended, id);
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Get { channel, id });
    }

    /// The channel of a queue that exists; a new one if it was not met before.
    fn meet_queue(&mut self, ended: &Ended<'_>, id: i32) -> ChannelId {
        let known = self.msg_queue(ended.tid, id).and_then(|channel| self.world().channel(channel));
        if let Some(Channel { id, alive: true, .. }) = known {
            return *id;
        }
        let is_get = ended.call.family == Family::Msgget;
        let made = is_get && self.ahead(ended.tid) == Ahead::Nothing;
        let facts = Self::shares_ipc(ended.tid).then(|| ipc::msg_facts(id).ok()).flatten();
        let key = facts.map(|facts| facts.key).or_else(|| is_get.then(|| ended.int(0))).unwrap_or(libc::IPC_PRIVATE);
        let name = self.declared_name(ended).unwrap_or_else(|| match key {
            libc::IPC_PRIVATE => "queue".to_owned(),
            key => format!("queue {key:#x}"),
        });
        let new = New {
            identity: Some(Identity::Msg(Self::ipc_space(ended.tid), id)),
            kind: ChannelKind::Msg,
            name: &name,
            capacity: facts.map_or(limits::MSGMNB, |facts| facts.capacity),
            messages: true,
            found: !made,
        };
        let channel = self.channels.make_by(&mut self.recorder, ended.task, Some(ended.outcome()), new);
        if !made && facts.is_some() {
            self.write_found_messages(channel, id);
        }
        channel
    }

    /// What was in a queue before the run met it: put in by somebody outside.
    fn write_found_messages(&mut self, channel: ChannelId, id: i32) {
        let longest = limits::system(std::process::id().cast_signed(), "kernel/msgmax", 0, limits::MSGMAX);
        let mut text = vec![0; usize::try_from(longest).unwrap_or(0)];
        for index in 0..LOOKED_AT {
            let Ok((kind, length)) = ipc::msg_copy(id, index, &mut text) else { return };
            let data = self.recorder.keep(&text[..length.min(self.options.capture)]);
            let via = Via::Msg(MessageType::new(kind));
            self.recorder.plain(TaskId::LAB, Kind::Write { channel, via, bytes: length as u64, data });
        }
    }

    /// The queue that a call names by its identifier, which may have come from anywhere.
    fn used_queue(&mut self, ended: &Ended<'_>) -> Option<ChannelId> {
        let id = ended.int(0);
        self.msg_queue(ended.tid, id).or_else(|| (!ended.failed()).then(|| self.meet_queue(ended, id)))
    }

    pub(super) fn msgsnd(&mut self, ended: &Ended<'_>) {
        let Some(channel) = self.used_queue(ended) else { return self.syscall_event(ended) };
        let [_, message, length, ..] = ended.call.args;
        let (bytes, data) = self.moved(ended, message + TEXT, length);
        let via = type_at(ended.tid, message);
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Write { channel, via, bytes, data });
        self.note_removal(ended, channel);
    }

    pub(super) fn msgrcv(&mut self, ended: &Ended<'_>) {
        let Some(channel) = self.used_queue(ended) else { return self.syscall_event(ended) };
        let [_, buffer, _, wanted, flags, _] = ended.call.args;
        if flags as i32 & libc::MSG_COPY != 0 {
            return self.plain_call(ended);
        }
        let (bytes, data) = self.moved(ended, buffer + TEXT, ended.ret.max(0) as u64);
        let via =
            if ended.failed() { Via::Msg(MessageType::new(wanted.cast_signed())) } else { type_at(ended.tid, buffer) };
        if !ended.failed() {
            self.write_stray(channel, via, bytes, data);
        }
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Read { channel, via, bytes, data });
        self.note_removal(ended, channel);
    }

    pub(super) fn msgctl(&mut self, ended: &Ended<'_>) {
        const VERSION_64: i32 = 0x100;
        let Some(channel) = self.msg_queue(ended.tid, ended.int(0)).filter(|_| !ended.failed()) else {
            return self.plain_call(ended);
        };
        match ended.int(1) & !VERSION_64 {
            libc::IPC_RMID => self.recorder.of_call(ended.task, ended.outcome(), Kind::Destroy { channel }),
            libc::IPC_SET => {
                let bytes = memory::read_u64(ended.tid, ended.call.args[2] + ipc::CAPACITY_OFFSET);
                let old = self.world().channel(channel).map(|channel| channel.capacity);
                match bytes.filter(|bytes| Some(*bytes) != old) {
                    Some(bytes) => {
                        self.recorder.of_call(ended.task, ended.outcome(), Kind::Capacity { channel, bytes });
                    }
                    None => self.plain_call(ended),
                }
            }
            _ => self.plain_call(ended),
        }
    }

    /// Somebody outside of the run has removed the queue.
    fn note_removal(&mut self, ended: &Ended<'_>, channel: ChannelId) {
        let removed = ended.ret == -i64::from(libc::EIDRM);
        if removed && self.world().channel(channel).is_some_and(|channel| channel.alive) && self.removers(channel) == 0
        {
            self.recorder.plain(TaskId::LAB, Kind::Destroy { channel });
        }
    }

    /// How many tasks are in a msgctl on this queue: in free mode its end may be told later.
    fn removers(&self, channel: ChannelId) -> usize {
        let is_it = |task: TaskId, id: u64| {
            self.tids.get(&task).is_some_and(|tid| self.msg_queue(*tid, id as i32) == Some(channel))
        };
        let removes = |task: TaskId, call: &Call| call.family == Family::Msgctl && is_it(task, call.args[0]);
        self.calls_under_way().filter(|(task, call)| removes(*task, call)).count()
    }

    /// The bytes of a message, as far as the call moved any.
    pub(super) fn moved(&mut self, ended: &Ended<'_>, text: u64, length: u64) -> (u64, Blob) {
        if ended.failed() {
            return (0, Blob::EMPTY);
        }
        let kept = self.options.capture.min(usize::try_from(length).unwrap_or(usize::MAX));
        (length, self.keep_from(ended.tid, text, kept))
    }

    /// A message came out that nobody in the run is known to have put in. Where none of its tasks is in
    /// the middle of sending, somebody outside did, and the lab says so in its place.
    pub(super) fn write_stray(&mut self, channel: ChannelId, via: Via, bytes: u64, data: Blob) {
        let known = self.world().channel(channel).is_some_and(|channel| {
            channel.contents.runs().any(|run| run.mark == via.mark() || via.mark() == Mark::None)
        });
        if !known && self.sender_to(channel).is_none() {
            self.recorder.plain(TaskId::LAB, Kind::Write { channel, via, bytes, data });
        }
    }
}

fn type_at(tid: i32, message: u64) -> Via {
    let kind = memory::read_u64(tid, message).map_or(0, u64::cast_signed);
    Via::Msg(MessageType::new(kind))
}
