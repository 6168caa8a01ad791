//! The fields of each event.

use std::io;

use super::json::Out;
use super::words;
use super::writer::Writer;
use crate::model::{
    ChannelId, Disposition, End, Event, FdFlags, Kind, Parties, Phase, Queue, Shares, Signal, SignalSet, Status, Sym,
    TaskId, Via,
};

impl<W: io::Write> Writer<W> {
    /// The event's own fields, in the order of `docs/events.md`.
    pub(super) fn fields(&mut self, event: &Event, payload: &[u8]) {
        match event.kind {
            Kind::Spawn { child: _, pid, name, how, shares } => {
                self.sym("child", name);
                self.lines.number_field("child_pid", pid);
                self.lines.text_field("how", how.as_str());
                if shares != Shares::default() {
                    self.lines.texts_field("shares", words::shares(shares));
                }
            }
            Kind::Exec { path, name, .. } => {
                self.sym("path", path);
                let argv = payload.strip_suffix(&[0]).unwrap_or(payload);
                let count = if payload.is_empty() { 0 } else { usize::MAX };
                self.lines.list_field("argv", argv.split(|byte| *byte == 0).take(count), Out::data);
                if self.world.task(event.task).is_none_or(|task| task.name != name) {
                    self.sym("name", name);
                }
            }
            Kind::Exit { status } => self.status(status),
            Kind::Reap { child, status } => {
                self.task("child", child);
                self.lines.number_field("child_pid", self.world.task(child).map_or(0, |child| child.pid));
                self.status(status);
            }
            Kind::Reparent { to } => self.task("to", to),
            Kind::Group { pgid, sid } => {
                self.lines.number_field("pgid", pgid);
                self.lines.number_field("sid", sid);
            }
            Kind::Control { .. } | Kind::Foreground { .. } | Kind::Window { .. } => self.terminal_fields(event.kind),
            Kind::Open { .. }
            | Kind::Pass { .. }
            | Kind::Close { .. }
            | Kind::Dup { .. }
            | Kind::Flags { .. }
            | Kind::Seek { .. } => self.descriptor_fields(event.kind),
            Kind::Write { channel, via, bytes, .. } | Kind::Read { channel, via, bytes, .. } => {
                self.transfer_fields(channel, via, bytes, payload);
            }
            Kind::Create { .. }
            | Kind::Destroy { .. }
            | Kind::Unlink { .. }
            | Kind::Get { .. }
            | Kind::Attach { .. }
            | Kind::Detach { .. }
            | Kind::Capacity { .. }
            | Kind::Copied { .. }
            | Kind::Drop { .. }
            | Kind::Block { .. }
            | Kind::Unblock { .. } => self.channel_fields(event, payload),
            Kind::Monitor { channel, told } => self.monitor_fields(channel, told),
            Kind::Address { .. }
            | Kind::Listen { .. }
            | Kind::Connect { .. }
            | Kind::Accept { .. }
            | Kind::Shutdown { .. } => self.socket_fields(event.kind),
            Kind::Sem { .. } | Kind::Lock { .. } | Kind::Load { .. } | Kind::Store { .. } => {
                self.shared_fields(event, payload);
            }
            Kind::Action { .. }
            | Kind::Mask { .. }
            | Kind::Signal { .. }
            | Kind::Interrupted { .. }
            | Kind::Altstack { .. }
            | Kind::Timer { .. } => self.signal_fields(event),
            Kind::Syscall { .. } => self.lines.data_field("args", payload),
            Kind::Line { .. } | Kind::Note { .. } | Kind::Clock { .. } | Kind::Limit { .. } => {
                self.said_fields(event.kind);
            }
            Kind::Diagnosis { rule, weight, text, .. } => {
                self.sym("rule", rule);
                self.lines.text_field("weight", weight.as_str());
                self.sym("text", text);
                self.parties(payload);
            }
            Kind::Asleep { .. } => self.parties(payload),
            Kind::End { how, text } => {
                self.lines.text_field("how", how.as_str());
                self.sym("text", text);
            }
            Kind::Hold { hold } => self.lines.text_field("how", hold.as_str()),
        }
    }

    fn said_fields(&mut self, kind: Kind) {
        match kind {
            Kind::Line { line, text } => {
                self.lines.number_field("line", line);
                self.sym("text", text);
            }
            Kind::Note { text, label } => {
                self.sym("text", text);
                if label {
                    self.lines.bool_field("label", true);
                }
            }
            Kind::Clock { now } => self.lines.number_field("now", now),
            Kind::Limit { limit, value, asked } => {
                self.sym("limit", limit);
                self.lines.number_field("value", value);
                if asked > 0 {
                    self.lines.number_field("asked", asked);
                }
            }
            _ => {}
        }
    }

    fn transfer_fields(&mut self, channel: ChannelId, via: Via, bytes: u64, payload: &[u8]) {
        self.channel(Some(channel));
        if let Some(fd) = via.fd() {
            self.lines.number_field("fd", fd);
        }
        self.lines.number_field("bytes", bytes);
        self.lines.data_field("data", payload);
        match via {
            Via::Fd(_) | Via::Memory => {}
            Via::At(_) => self.lines.bool_field("positioned", true),
            Via::Socket(_, peer) => self.sym("peer", peer),
            Via::Mq(_, priority) => self.lines.number_field("priority", priority),
            Via::Msg(kind) => self.lines.number_field("type", kind.get()),
        }
    }

    fn terminal_fields(&mut self, kind: Kind) {
        self.channel(kind.channel());
        match kind {
            Kind::Foreground { pgid, .. } => self.lines.number_field("pgid", pgid),
            Kind::Window { rows, columns, .. } => {
                self.lines.number_field("rows", rows);
                self.lines.number_field("columns", columns);
            }
            _ => {}
        }
    }

    fn descriptor_fields(&mut self, kind: Kind) {
        match kind {
            Kind::Open { fd, channel, end, access, flags } => {
                self.lines.number_field("fd", fd);
                self.channel(Some(channel));
                self.end(end);
                self.lines.text_field("access", access.as_str());
                self.fd_flags(flags);
            }
            Kind::Pass { fd, channel, from, description, end, access, flags } => {
                self.lines.number_field("fd", fd);
                self.channel(Some(channel));
                if let Some(from) = from {
                    self.task("from", from);
                }
                self.lines.number_field("description", description);
                self.end(end);
                self.lines.text_field("access", access.as_str());
                self.fd_flags(flags);
            }
            Kind::Close { fd, channel } => {
                self.lines.number_field("fd", fd);
                self.channel(channel);
            }
            Kind::Dup { fd, to, channel, cloexec } => {
                self.lines.number_field("fd", fd);
                self.lines.number_field("to", to);
                self.channel(channel);
                if cloexec {
                    self.lines.bool_field("cloexec", true);
                }
            }
            Kind::Flags { fd, flags } => {
                self.lines.number_field("fd", fd);
                self.lines.texts_field("flags", words::fd_flags(flags));
            }
            Kind::Seek { fd, channel, position } => {
                self.lines.number_field("fd", fd);
                self.channel(Some(channel));
                self.lines.number_field("position", position);
            }
            _ => {}
        }
    }

    fn channel_fields(&mut self, event: &Event, payload: &[u8]) {
        match event.kind {
            Kind::Create { channel, kind, name, capacity, messages, found } => {
                self.channel(Some(channel));
                self.lines.text_field("kind", kind.as_str());
                self.sym("name", name);
                if capacity > 0 {
                    self.lines.number_field("capacity", capacity);
                }
                if messages {
                    self.lines.bool_field("messages", true);
                }
                if found {
                    self.lines.bool_field("found", true);
                }
            }
            Kind::Get { channel, id } => {
                self.channel(Some(channel));
                self.lines.number_field("id", id);
            }
            Kind::Attach { channel, address, bytes, offset, access } => {
                self.channel(Some(channel));
                self.lines.number_field("at", address);
                self.lines.number_field("bytes", bytes);
                self.lines.number_field("offset", offset);
                self.lines.text_field("access", access.as_str());
            }
            Kind::Detach { channel, address, bytes } => {
                self.channel(Some(channel));
                self.lines.number_field("at", address);
                self.lines.number_field("bytes", bytes);
            }
            Kind::Capacity { channel, bytes } | Kind::Copied { channel, bytes } | Kind::Drop { channel, bytes } => {
                self.channel(Some(channel));
                self.lines.number_field("bytes", bytes);
            }
            Kind::Block { channel, on, why, timeout, .. } => {
                self.channel(channel);
                if let Some(on) = on {
                    self.task("on", on);
                }
                self.lines.text_field("why", why.as_str());
                self.wanted_fields(payload);
                if timeout {
                    self.lines.bool_field("timeout", true);
                }
                let wakers = self.world.wakers(event.task).unwrap_or_default();
                let names = wakers.tasks.iter().filter_map(|id| self.world.task(*id));
                self.lines.list_field("holders", names, |out, task| out.text(self.names.get(task.name)));
                if wakers.outside {
                    self.lines.bool_field("outside", true);
                }
            }
            kind => self.channel(kind.channel()),
        }
    }

    fn socket_fields(&mut self, kind: Kind) {
        self.channel(kind.channel());
        match kind {
            Kind::Address { end, address, .. } => {
                self.end(end);
                self.sym("address", address);
            }
            Kind::Listen { backlog, .. } => self.lines.number_field("backlog", backlog),
            Kind::Connect { to, address, .. } => {
                if let Some(to) = to {
                    self.channel_field("to", to);
                }
                if let Some(address) = address {
                    self.sym("address", address);
                }
            }
            Kind::Accept { connection, .. } => self.channel_field("connection", connection),
            Kind::Shutdown { end, how, .. } => {
                self.end(end);
                self.lines.text_field("access", how.as_str());
            }
            _ => {}
        }
    }

    fn shared_fields(&mut self, event: &Event, payload: &[u8]) {
        self.channel(event.kind.channel());
        match event.kind {
            Kind::Sem { index, delta, value, undo, .. } => {
                self.lines.number_field("index", index);
                self.lines.number_field("delta", delta);
                self.lines.number_field("value", value);
                if undo {
                    self.lines.bool_field("undo", true);
                }
            }
            Kind::Lock { fd, kind, mode, start, len, .. } => {
                self.lines.number_field("fd", fd);
                self.lines.text_field("kind", kind.as_str());
                self.lines.text_field("type", mode.as_str());
                self.lines.number_field("start", start);
                self.lines.number_field("len", len);
                self.lines.bool_field("granted", !event.failed());
            }
            Kind::Load { offset, .. } => {
                self.lines.number_field("offset", offset);
                self.lines.number_field("bytes", payload.len());
                self.lines.data_field("data", payload);
                self.memory_value(payload);
            }
            Kind::Store { offset, .. } => {
                let (old, new) = payload.split_at(payload.len() / 2);
                self.lines.number_field("offset", offset);
                self.lines.number_field("bytes", new.len());
                self.lines.data_field("old", old);
                self.lines.data_field("data", new);
                self.memory_value(new);
            }
            _ => {}
        }
    }

    /// Bytes that an instruction moves at once are a number, too: unsigned, except of 8 bytes, of which
    /// readers of JSON could not hold the largest.
    fn memory_value(&mut self, bytes: &[u8]) {
        if matches!(bytes.len(), 1 | 2 | 4 | 8) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            self.lines.number_field("value", i64::from_le_bytes(whole));
        }
    }

    fn end(&mut self, end: End) {
        if end == End::Second {
            self.lines.text_field("end", "second");
        }
    }

    fn fd_flags(&mut self, flags: FdFlags) {
        if flags != FdFlags::default() {
            self.lines.texts_field("flags", words::fd_flags(flags));
        }
    }

    fn signal_fields(&mut self, event: &Event) {
        match event.kind {
            Kind::Action { signal, disposition, flags, mask } => {
                self.lines.text_field("signal", &signal.to_string());
                self.lines.text_field("disposition", disposition.as_str());
                self.lines.texts_field("flags", words::action_flags(flags));
                self.set("mask", mask);
            }
            Kind::Mask { how, set, blocked } => {
                self.lines.text_field("how", how.as_str());
                self.set("set", set);
                self.set("blocked", blocked);
            }
            Kind::Signal { phase, signal, queue, from, code, value, blocked } => {
                self.lines.text_field("phase", phase.as_str());
                self.lines.text_field("signal", &signal.to_string());
                if queue == Queue::Thread {
                    self.lines.text_field("queue", queue.as_str());
                }
                if let Some(from) = from {
                    self.task("from", from);
                }
                self.lines.number_field("code", code);
                self.lines.number_field("value", value);
                if matches!(phase, Phase::Handler | Phase::Returned) || !blocked.is_empty() {
                    self.set("blocked", blocked);
                }
                if phase == Phase::Delivered {
                    self.reception(event.task, signal);
                }
                if phase == Phase::Handler && self.world.handles_on_altstack(event.task, signal) {
                    self.lines.text_field("stack", "alternate");
                }
            }
            Kind::Interrupted { signal, then } => {
                self.lines.text_field("signal", &signal.to_string());
                self.lines.text_field("then", then.as_str());
            }
            Kind::Altstack { base, bytes, autodisarm } => {
                self.lines.number_field("at", base);
                self.lines.number_field("bytes", bytes);
                if autodisarm {
                    self.lines.bool_field("autodisarm", true);
                }
            }
            Kind::Timer { kind, change, id, signal, clock, left, interval } => {
                self.lines.text_field("kind", kind.as_str());
                self.lines.text_field("change", change.as_str());
                self.lines.number_field("id", id);
                if let Some(signal) = signal {
                    self.lines.text_field("signal", &signal.to_string());
                }
                self.lines.number_field("clock", clock);
                self.lines.number_field("left", left);
                self.lines.number_field("interval", interval);
            }
            _ => {}
        }
    }

    fn sym(&mut self, key: &str, sym: Sym) {
        self.lines.text_field(key, self.names.get(sym));
    }

    pub(super) fn task(&mut self, key: &str, id: TaskId) {
        let name = self.world.task(id).map_or("?", |task| self.names.get(task.name));
        self.lines.text_field(key, name);
    }

    pub(super) fn channel(&mut self, id: Option<ChannelId>) {
        if let Some(id) = id {
            self.channel_field("channel", id);
        }
    }

    pub(super) fn channel_field(&mut self, key: &str, id: ChannelId) {
        self.lines.key(key);
        self.lines.raw(self.channels.get(id.index()).map_or("\"?\"", |name| name));
    }

    /// What the process does about a signal that is delivered.
    fn reception(&mut self, task: TaskId, signal: Signal) {
        let action = self.world.action(task, signal);
        let disposition = action.map_or(Disposition::Default, |action| action.disposition);
        self.lines.text_field("disposition", disposition.as_str());
        if let Some(action) = action.filter(|_| disposition == Disposition::Handler) {
            self.lines.texts_field("flags", words::action_flags(action.flags));
        }
    }

    pub(super) fn set(&mut self, key: &str, set: SignalSet) {
        self.lines.texts_field(key, set.iter().map(|signal| signal.to_string().into()));
    }

    fn status(&mut self, status: Status) {
        match status {
            Status::Code(code) => self.lines.number_field("code", code),
            Status::Signal { signal, core } => {
                self.lines.text_field("signal", &signal.to_string());
                self.lines.bool_field("core", core);
            }
        }
    }

    fn parties(&mut self, payload: &[u8]) {
        let parties = Parties::from_bytes(payload);
        let tasks = parties.tasks.iter().filter_map(|id| self.world.task(*id));
        self.lines.list_field("tasks", tasks, |out, task| out.text(self.names.get(task.name)));
        let channels = parties.channels.iter().filter_map(|id| self.channels.get(id.index()));
        self.lines.list_field("channels", channels, |out, name| out.raw(name));
    }
}
