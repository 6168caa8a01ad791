//! Bytes that move: how many, exactly, and the first of them.

use super::super::calls::Family;
use super::super::recorder::Outcome;
use super::super::tracee::Call;
use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{Blob, ChannelId, ChannelKind, Kind, TaskId, Via};
use crate::sys::{memory, peek};

/// How many entries of a vector are looked at.
const MAX_VECTOR: u64 = 64;

impl Tracer {
    pub(super) fn read(&mut self, ended: &Ended<'_>) {
        let fd = ended.int(0);
        let Some(channel) = self.channel_of(ended, fd) else { return self.plain_call(ended) };
        if self.is_socket(channel) {
            return self.received(ended, fd);
        }
        let signals = self.world().channel(channel).is_some_and(|channel| channel.kind == ChannelKind::Signalfd);
        if signals {
            // ssi_code of each structure (signalfd(2)).
            (0..ended.ret.max(0) as u64)
                .step_by(128)
                .for_each(|at| Self::hide_the_lab(ended.tid, ended.call.args[1] + at + 8));
        }
        let (bytes, data) = self.payload(ended, channel);
        let via = self.via_of(ended, fd);
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Read { channel, via, bytes, data });
        if signals {
            self.read_signals(ended);
        }
    }

    pub(super) fn write(&mut self, ended: &Ended<'_>) {
        let fd = ended.int(0);
        let Some(channel) = self.channel_of(ended, fd) else { return self.plain_call(ended) };
        if self.is_socket(channel) {
            return self.sent(ended, fd);
        }
        let (bytes, data) = self.payload(ended, channel);
        self.write_rest(ended, channel, fd, bytes, data);
        self.write_copied(ended, channel);
        self.drain_output(channel);
    }

    /// Writes how much of what was written waited in a stream already when the process was forked.
    fn write_copied(&mut self, ended: &Ended<'_>, channel: ChannelId) {
        if self.copies.is_empty() || ended.failed() || ended.ret == 0 {
            return;
        }
        let address = match ended.call.family {
            Family::Write => Some(ended.call.args[1]),
            Family::Writev => memory::read_u64(ended.tid, ended.call.args[1]),
            _ => None,
        };
        if let Some(bytes) = address.and_then(|address| self.copies.written(ended.tid, address, ended.ret as u64)) {
            self.recorder.plain(ended.task, Kind::Copied { channel, bytes });
        }
    }

    /// Writes what of a transfer is not in the log yet.
    pub(super) fn write_rest(&mut self, ended: &Ended<'_>, channel: ChannelId, fd: i32, bytes: u64, data: Blob) {
        let told = self.tracees.get_mut(&ended.tid).map_or(0, |tracee| std::mem::take(&mut tracee.progress));
        let (bytes, data) = if told == 0 {
            (bytes, data)
        } else {
            let bytes = bytes.saturating_sub(told);
            (bytes, self.keep_part(ended.tid, ended.call, told, bytes))
        };
        let via = self.via_of(ended, fd);
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Write { channel, via, bytes, data });
        self.write_changes_of_file(ended.task, ended.outcome(), channel);
    }

    /// By which way a transfer through `fd` goes: `preadv2` and `pwritev2` go by the file position if they name
    /// -1 as the place, and leave it alone otherwise (readv(2)).
    fn via_of(&self, ended: &Ended<'_>, fd: i32) -> Via {
        let vector = matches!(ended.call.family, Family::Readv | Family::Writev);
        let names_place = vector
            && ended.call.args[3] != u64::MAX
            && matches!(self.recorder.names().get(ended.call.name), "preadv2" | "pwritev2");
        if names_place { Via::At(fd) } else { Via::Fd(fd) }
    }

    /// The bytes of a `write` or `writev` from `skip` on.
    fn keep_part(&mut self, tid: i32, call: &Call, skip: u64, bytes: u64) -> Blob {
        let length = self.options.capture.min(usize::try_from(bytes).unwrap_or(usize::MAX));
        match call.family {
            Family::Write | Family::Sendto => self.keep_from(tid, call.args[1].wrapping_add(skip), length),
            _ => Blob::EMPTY,
        }
    }

    /// A write that waits for room has put some of its bytes in already: the pipe says how many.
    pub fn write_progress(&mut self) {
        let mut waiting: Vec<i32> = self.sleeping();
        waiting.sort_by_key(|tid| self.task_of(*tid));
        for tid in waiting {
            self.write_progress_of(tid);
        }
    }

    fn write_progress_of(&mut self, tid: i32) {
        let Some(tracee) = self.tracees.get(&tid) else { return };
        let Some(call) = tracee.call.filter(|call| {
            matches!(call.family, Family::Write | Family::Writev | Family::Sendto | Family::Sendmsg { many: false })
        }) else {
            return;
        };
        let (task, fd) = (tracee.task, call.args[0] as i32);
        let Some(channel) = self.world().fd(task, fd).and_then(|entry| self.world().channel(entry.channel)) else {
            return;
        };
        let entered = match channel.kind {
            kind if kind.is_pipe() => {
                let (task, known) = (task, channel.contents.len());
                self.borrow(task, fd).and_then(|end| peek::waiting(&end).ok()?.checked_sub(known))
            }
            kind if kind.is_socket() && !channel.messages => self.entered(task, fd),
            _ => return,
        };
        let channel = channel.id;
        let Some(entered @ 1..) = entered else { return };
        let told = self.tracees.get(&tid).map_or(0, |tracee| tracee.progress);
        let data = self.keep_part(tid, &call, told, entered);
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.progress += entered;
        }
        let outcome = Outcome { call: call.name, ret: (told + entered) as i64 };
        self.recorder.of_call(task, outcome, Kind::Write { channel, via: Via::Fd(fd), bytes: entered, data });
    }

    /// From one descriptor to another without passing through the program.
    pub(super) fn between(&mut self, ended: &Ended<'_>) {
        let (from, to) = match ended.call.family {
            Family::Sendfile => (ended.int(1), ended.int(0)),
            Family::Tee => (ended.int(0), ended.int(1)),
            _ => (ended.int(0), ended.int(2)),
        };
        let bytes = ended.ret.max(0) as u64;
        let (source, sink) = (self.channel_of(ended, from), self.channel_of(ended, to));
        let (from_place, to_place) = match ended.call.family {
            Family::Sendfile => (ended.call.args[2], 0),
            Family::Tee => (0, 0),
            _ => (ended.call.args[1], ended.call.args[3]),
        };
        let limit = match sink.or(source) {
            Some(channel) => self.limit(channel, bytes),
            None => return,
        };
        let moved = self.moved_within(ended, from, from_place, limit);
        let data = self.recorder.keep(&moved);
        let via = |fd, place| if place == 0 { Via::Fd(fd) } else { Via::At(fd) };
        if let Some(channel) = source.filter(|_| ended.call.family != Family::Tee) {
            let kind = Kind::Read { channel, via: via(from, from_place), bytes, data };
            self.recorder.of_call(ended.task, ended.outcome(), kind);
        }
        let Some(channel) = sink else { return };
        if self.is_socket(channel) {
            return self.sent_from_within(ended, to, bytes, data);
        }
        let via = via(to, to_place);
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Write { channel, via, bytes, data });
        self.write_changes_of_file(ended.task, ended.outcome(), channel);
        self.drain_output(channel);
    }

    /// The first of the bytes that came out of a descriptor without passing through the program: of a queue
    /// known from what went in, of a file read again where they stood.
    fn moved_within(&self, ended: &Ended<'_>, from: i32, place: u64, limit: usize) -> Vec<u8> {
        let Some(entry) = self.world().fd(ended.task, from) else { return Vec::new() };
        let Some(channel) = self.world().channel(entry.channel) else { return Vec::new() };
        if !matches!(channel.kind, ChannelKind::File | ChannelKind::Memfd | ChannelKind::Shm) {
            return channel.inbox(entry.end).prefix(limit).0;
        }
        let Some(file) = self.borrow(ended.task, from).filter(|_| limit > 0) else { return Vec::new() };
        // The kernel has moved the offset that was given, or the file position, past what it read
        // (sendfile(2), splice(2)).
        let after = if place == 0 { peek::position(&file) } else { memory::read_u64(ended.tid, place) };
        let start = after.and_then(|after| after.checked_sub(ended.ret.max(0) as u64));
        start.map_or_else(Vec::new, |start| peek::file_contents(&file, start, limit))
    }

    fn channel_of(&self, ended: &Ended<'_>, fd: i32) -> Option<ChannelId> {
        self.world().fd(ended.task, fd).map(|entry| entry.channel)
    }

    /// How many bytes moved, and the first of them.
    pub(super) fn payload(&mut self, ended: &Ended<'_>, channel: ChannelId) -> (u64, Blob) {
        if ended.failed() {
            return (0, Blob::EMPTY);
        }
        let args = &ended.call.args;
        match ended.call.family {
            Family::Read | Family::Write | Family::Recvfrom | Family::Sendto => {
                // With MSG_TRUNC more is told than fits.
                let bytes = (ended.ret as u64).min(args[2]);
                let limit = self.limit(channel, bytes);
                (bytes, self.keep_from(ended.tid, args[1], limit))
            }
            Family::Readv | Family::Writev | Family::Vmsplice => {
                let bytes = ended.ret as u64;
                let limit = self.limit(channel, bytes);
                (bytes, self.keep_vector(ended.tid, args[1], args[2], limit))
            }
            Family::Recvmsg { many: false } | Family::Sendmsg { many: false } => {
                let bytes = ended.ret as u64;
                let limit = self.limit(channel, bytes);
                (bytes, self.keep_message(ended.tid, args[1], limit))
            }
            // Several messages are told one by one.
            _ => (0, Blob::EMPTY),
        }
    }

    /// How many bytes of a transfer are kept: of the run's own output all, within reason.
    pub(super) fn limit(&mut self, channel: ChannelId, bytes: u64) -> usize {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if self.is_output(channel) && bytes > self.options.capture && bytes <= self.output_budget {
            self.output_budget -= bytes;
            return bytes;
        }
        // What moves through an eventfd is a number, and its count is the sum of these.
        let is_number = self.world().channel(channel).is_some_and(|channel| channel.kind == ChannelKind::Eventfd);
        bytes.min(self.options.capture.max(if is_number { size_of::<u64>() } else { 0 }))
    }

    pub(super) fn keep_from(&mut self, tid: i32, address: u64, length: usize) -> Blob {
        if length == 0 {
            return Blob::EMPTY;
        }
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        let read = memory::read(tid, address, &mut self.buffer[..length]).unwrap_or(0);
        self.recorder.keep(&self.buffer[..read])
    }

    pub(super) fn keep_vector(&mut self, tid: i32, vector: u64, count: u64, length: usize) -> Blob {
        let mut kept = Vec::new();
        for entry in 0..count.min(MAX_VECTOR) {
            if kept.len() == length {
                break;
            }
            let Some((address, size)) =
                memory::read_u64(tid, vector + entry * 16).zip(memory::read_u64(tid, vector + entry * 16 + 8))
            else {
                break;
            };
            let room = usize::try_from(size).unwrap_or(usize::MAX).min(length - kept.len());
            let from = kept.len();
            kept.resize(from + room, 0);
            let read = memory::read(tid, address, &mut kept[from..]).unwrap_or(0);
            kept.truncate(from + read);
            if read < room {
                break;
            }
        }
        self.recorder.keep(&kept)
    }

    /// `struct msghdr`: the vector stands at 16, its count at 24.
    pub(super) fn keep_message(&mut self, tid: i32, header: u64, length: usize) -> Blob {
        match memory::read_u64(tid, header + 16).zip(memory::read_u64(tid, header + 24)) {
            Some((vector, count)) => self.keep_vector(tid, vector, count, length),
            None => Blob::EMPTY,
        }
    }

    /// Whether the run's output goes into this channel.
    pub(in crate::trace) fn is_output(&self, channel: ChannelId) -> bool {
        self.outputs.iter().any(|output| output.channel == Some(channel))
    }

    /// Empties a pipe that the run's output goes into: the log has the bytes already. As long as the
    /// lab reads after each write, nobody ever waits for it.
    pub(in crate::trace) fn drain_output(&mut self, channel: ChannelId) {
        if self.is_lab_terminal_channel(channel) {
            self.read_terminal();
            return;
        }
        let Some(output) = self.outputs.iter().find(|output| output.channel == Some(channel)) else { return };
        let forward = output.forward;
        let mut bytes = [0; 16_384];
        let mut drained = 0;
        while let Some(output) = self.outputs.iter().find(|output| output.channel == Some(channel))
            && let Ok(read @ 1..) = nix::unistd::read(&output.pipe, &mut bytes)
        {
            drained += read as u64;
            if let Some(forward) = forward {
                self.forward(forward, &bytes[..read]);
            }
        }
        if drained > 0 {
            let kind = Kind::Read { channel, via: Via::Fd(-1), bytes: drained, data: Blob::EMPTY };
            self.recorder.plain(TaskId::LAB, kind);
        }
    }

    /// Whether a task that sleeps in a write waits for the lab itself to read; then it has read now.
    pub(in crate::trace) fn relieve_output(&mut self, channel: Option<ChannelId>) {
        if let Some(channel) = channel
            && self
                .world()
                .channel(channel)
                .is_some_and(|channel| matches!(channel.kind, ChannelKind::Pipe | ChannelKind::Terminal))
        {
            self.drain_output(channel);
        }
    }
}
