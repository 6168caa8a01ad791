//! The fields of each event.

use std::io;

use super::json::Out;
use super::words;
use super::writer::Writer;
use crate::model::{ChannelId, Event, FdFlags, Kind, Parties, Phase, Shares, SignalSet, Status, Sym, TaskId};

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
            Kind::Open { fd, channel, access, flags } => {
                self.lines.number_field("fd", fd);
                self.channel(Some(channel));
                self.lines.text_field("access", access.as_str());
                if flags != FdFlags::default() {
                    self.lines.texts_field("flags", words::fd_flags(flags));
                }
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
            Kind::Write { channel, fd, bytes, .. } | Kind::Read { channel, fd, bytes, .. } => {
                self.channel(Some(channel));
                self.lines.number_field("fd", fd);
                self.lines.number_field("bytes", bytes);
                self.lines.data_field("data", payload);
            }
            Kind::Seek { fd, channel, position } => {
                self.lines.number_field("fd", fd);
                self.channel(Some(channel));
                self.lines.number_field("position", position);
            }
            Kind::Create { .. }
            | Kind::Destroy { .. }
            | Kind::Capacity { .. }
            | Kind::Block { .. }
            | Kind::Unblock { .. } => self.channel_fields(event),
            Kind::Action { .. } | Kind::Mask { .. } | Kind::Signal { .. } => self.signal_fields(event.kind),
            Kind::Syscall { .. } => self.lines.data_field("args", payload),
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
            Kind::Diagnosis { rule, text, .. } => {
                self.sym("rule", rule);
                self.sym("text", text);
                self.parties(payload);
            }
        }
    }

    fn channel_fields(&mut self, event: &Event) {
        match event.kind {
            Kind::Create { channel, kind, name, capacity } => {
                self.channel(Some(channel));
                self.lines.text_field("kind", kind.as_str());
                self.sym("name", name);
                if capacity > 0 {
                    self.lines.number_field("capacity", capacity);
                }
            }
            Kind::Capacity { channel, bytes } => {
                self.channel(Some(channel));
                self.lines.number_field("bytes", bytes);
            }
            Kind::Block { channel, on, why } => {
                self.channel(channel);
                if let Some(on) = on {
                    self.task("on", on);
                }
                self.lines.text_field("why", why.as_str());
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

    fn signal_fields(&mut self, kind: Kind) {
        match kind {
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
            Kind::Signal { phase, signal, from, code, value, blocked } => {
                self.lines.text_field("phase", phase.as_str());
                self.lines.text_field("signal", &signal.to_string());
                if let Some(from) = from {
                    self.task("from", from);
                }
                self.lines.number_field("code", code);
                self.lines.number_field("value", value);
                if matches!(phase, Phase::Handler | Phase::Returned) || !blocked.is_empty() {
                    self.set("blocked", blocked);
                }
            }
            _ => {}
        }
    }

    fn sym(&mut self, key: &str, sym: Sym) {
        self.lines.text_field(key, self.names.get(sym));
    }

    fn task(&mut self, key: &str, id: TaskId) {
        let name = self.world.task(id).map_or("?", |task| self.names.get(task.name));
        self.lines.text_field(key, name);
    }

    fn channel(&mut self, id: Option<ChannelId>) {
        let Some(id) = id else { return };
        self.lines.key("channel");
        self.lines.raw(self.channels.get(id.index()).map_or("\"?\"", |name| name));
    }

    fn set(&mut self, key: &str, set: SignalSet) {
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
