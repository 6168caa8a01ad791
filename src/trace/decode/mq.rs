//! POSIX message queues (mq_overview(7)): a descriptor, and messages that have a priority.

use super::super::calls::Family;
use super::super::channels::{Identity, New};
use super::super::tracee::{Ahead, Call};
use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{ChannelId, ChannelKind, FdFlags, Kind, Mark, TaskId, Told, Via};
use crate::sys::{ipc, memory, procfs};

/// The longest name of a queue, in bytes (`NAME_MAX`).
const MAX_NAME: usize = 256;

impl Tracer {
    pub(super) fn mq_open(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.syscall_event(ended);
        }
        let Some(facts) = procfs::fd(ended.tid, ended.ret as i32) else { return self.plain_call(ended) };
        let identity = Identity::Inode(facts.identity.0, facts.identity.1);
        if self.channels.known(identity).is_none() {
            self.new_mq(ended, identity);
        }
        self.write_open(Some(ended), ended.task, &facts, None);
    }

    fn new_mq(&mut self, ended: &Ended<'_>, identity: Identity) {
        let asked = self.borrow(ended.task, ended.ret as i32).and_then(|queue| ipc::mq_facts(&queue).ok());
        let flags = ended.int(1);
        let found = flags & libc::O_CREAT == 0 || self.ahead(ended.tid) == Ahead::Found;
        // The C library takes the slash away; the kernel takes names without one.
        let bare = memory::read_string(ended.tid, ended.call.args[0], MAX_NAME).unwrap_or_default();
        let declared = self.declared_name(ended);
        let name = declared.unwrap_or_else(|| format!("/{}", String::from_utf8_lossy(&bare)));
        let new = New {
            identity: Some(identity),
            kind: ChannelKind::Mq,
            name: &name,
            capacity: asked.map_or(0, |facts| facts.capacity),
            messages: true,
            found,
        };
        let channel = self.channels.make_by(&mut self.recorder, ended.task, Some(ended.outcome()), new);
        self.channels.name_queue(bare, channel);
        if let Some(count @ 1..) = asked.map(|facts| facts.count).filter(|_| found) {
            let text = format!(
                "{name} holds {count} {} from before the run; the kernel shows them to their receivers only",
                if count == 1 { "message" } else { "messages" }
            );
            self.recorder.note(TaskId::LAB, &text);
            self.recorder.plain(TaskId::LAB, Kind::Monitor { channel, told: Told::Unseen(count) });
        }
    }

    fn mq_of(&self, ended: &Ended<'_>) -> Option<ChannelId> {
        self.world().fd(ended.task, ended.int(0)).map(|entry| entry.channel)
    }

    pub(super) fn mq_send(&mut self, ended: &Ended<'_>) {
        let Some(channel) = self.mq_of(ended) else { return self.syscall_event(ended) };
        let [_, message, length, priority, ..] = ended.call.args;
        let (bytes, data) = self.moved(ended, message, length);
        let via = Via::Mq(ended.int(0), priority as u32);
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Write { channel, via, bytes, data });
    }

    pub(super) fn mq_receive(&mut self, ended: &Ended<'_>) {
        let Some(channel) = self.mq_of(ended) else { return self.syscall_event(ended) };
        let [_, buffer, _, priority, ..] = ended.call.args;
        let (bytes, data) = self.moved(ended, buffer, ended.ret.max(0) as u64);
        let told = (priority != 0 && !ended.failed()).then(|| memory::read_i32(ended.tid, priority)).flatten();
        let priority = told.map_or_else(|| self.first_priority(channel), i32::cast_unsigned);
        let via = Via::Mq(ended.int(0), priority);
        if !ended.failed() {
            self.write_stray(channel, via, bytes, data);
        }
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Read { channel, via, bytes, data });
    }

    /// The priority of the message that comes out next, for a receiver that did not ask for it.
    fn first_priority(&self, channel: ChannelId) -> u32 {
        let first = self.world().channel(channel).and_then(|channel| channel.contents.runs().next());
        match first.map(|run| run.mark) {
            Some(Mark::Priority(priority)) => priority,
            _ => self.sender_to(channel).map_or(0, |call| call.args[3] as u32),
        }
    }

    pub(super) fn mq_attributes(&mut self, ended: &Ended<'_>) {
        let new = ended.call.args[1];
        let Some(entry) = self.world().fd(ended.task, ended.int(0)).copied().filter(|_| new != 0 && !ended.failed())
        else {
            return self.plain_call(ended);
        };
        let nonblock = memory::read_u64(ended.tid, new).is_some_and(|flags| flags as i32 & libc::O_NONBLOCK != 0);
        if nonblock == entry.flags.nonblock {
            return self.plain_call(ended);
        }
        let kind = Kind::Flags { fd: entry.fd, flags: FdFlags { nonblock, ..entry.flags } };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
    }

    pub(super) fn mq_unlink(&mut self, ended: &Ended<'_>) {
        let name = memory::read_string(ended.tid, ended.call.args[0], MAX_NAME).unwrap_or_default();
        match self.channels.queue_named(&name).filter(|_| !ended.failed()) {
            Some(channel) => self.write_unlinked(ended, channel),
            None => self.syscall_event(ended),
        }
    }

    /// The name of a channel is gone, and so is the channel if nobody holds it.
    pub(super) fn write_unlinked(&mut self, ended: &Ended<'_>, channel: ChannelId) {
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Unlink { channel });
        self.channels.unname_queue(channel);
        self.write_destroyed(ended.task, &[channel]);
    }

    /// The calls that tasks of the run are in at the moment.
    pub(super) fn calls_under_way(&self) -> impl Iterator<Item = (TaskId, Call)> {
        self.tracees.values().filter_map(|tracee| Some((tracee.task, tracee.call?)))
    }

    /// A call that is about to put a message into this queue, or has done so and is still to be told of.
    pub(super) fn sender_to(&self, channel: ChannelId) -> Option<Call> {
        let sends = |task: TaskId, call: &Call| match call.family {
            Family::Msgsnd => self.msg_queue(call.args[0] as i32) == Some(channel),
            Family::MqSend => self.world().fd(task, call.args[0] as i32).is_some_and(|fd| fd.channel == channel),
            _ => false,
        };
        self.calls_under_way().find(|(task, call)| sends(*task, call)).map(|(_, call)| call)
    }
}
