//! From events to lines.

use std::io;

use super::FORMAT;
use super::json::Out;
use crate::model::{Batch, Blob, Event, Header, Kind, Log, Names, TaskId, World, errno_name};

/// How many bytes are gathered before they are handed on in the middle of a batch.
const CHUNK: usize = 1 << 16;

/// Writes a recording, batch by batch.
///
/// It folds the events itself, because a line names tasks, PIDs and holders that the event only
/// points at. Nothing is written after an error; a broken pipe is an error like any other.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    pub(super) lines: Out,
    pub(super) names: Names,
    pub(super) world: World,
    /// By task: the part of a line from `task` to `event`.
    heads: Vec<Box<str>>,
    /// By channel: its name as JSON.
    pub(super) channels: Vec<Box<str>>,
    /// The names of channels that are taken.
    taken: std::collections::HashSet<Box<str>>,
}

/// Writes a whole log.
///
/// # Errors
/// Those of `out`.
pub fn write<W: io::Write>(out: W, log: &Log) -> io::Result<W> {
    let mut writer = Writer::new(out, log.header())?;
    for name in log.names().since(0) {
        writer.names.intern(name);
    }
    for (_, event) in log.range(0..log.len()) {
        writer.event(event, log.payload(event))?;
    }
    writer.finish()
}

impl<W: io::Write> Writer<W> {
    /// Begins a recording with its header.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut names = Names::default();
        let world = World::new(names.intern(&header.lab), header.lab_pid);
        let mut lines = Out::default();
        write_header(&mut lines, header);
        let mut writer = Self {
            out,
            lines,
            names,
            world,
            heads: Vec::new(),
            channels: Vec::new(),
            taken: std::collections::HashSet::new(),
        };
        writer.remember(TaskId::LAB);
        writer.hand_on()?;
        Ok(writer)
    }

    /// Writes the events of a batch, which must be the next one of its log, and hands them on.
    ///
    /// # Errors
    /// Those of the output.
    pub fn batch(&mut self, batch: &Batch) -> io::Result<()> {
        for name in &batch.names {
            self.names.intern(name);
        }
        for event in &batch.events {
            self.event(event, payload(batch, event.kind.blob()))?;
        }
        self.hand_on()
    }

    /// Ends the recording and gives the output back, flushed.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.hand_on()?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.out.write_all(self.lines.bytes())?;
        self.lines.clear();
        Ok(())
    }

    fn event(&mut self, event: &Event, payload: &[u8]) -> io::Result<()> {
        self.lines.raw("{\"seq\":");
        self.lines.number(self.world.applied());
        self.lines.number_field("t", event.t_ns);
        let head = self.heads.get(event.task.index());
        self.lines.raw(head.map_or(",\"task\":\"?\",\"pid\":0,\"tid\":0,\"event\":\"", |head| head));
        self.lines.raw(event.kind.name());
        self.lines.raw("\"");
        self.name_channel(event);
        self.inside(event);
        // Who could end a sleep is read off the world in which the task sleeps; everything else off
        // the world in which the event finds it.
        if let Kind::Block { .. } = event.kind {
            self.world.apply(event, payload);
            self.fields(event, payload);
        } else {
            self.fields(event, payload);
            self.world.apply(event, payload);
        }
        self.call(event);
        self.lines.raw("}\n");
        match event.kind {
            Kind::Spawn { child, .. } if !event.failed() => self.remember(child),
            Kind::Exec { .. } if !event.failed() => self.remember(event.task),
            _ => {}
        }
        if self.lines.len() >= CHUNK { self.hand_on() } else { Ok(()) }
    }

    /// Inside of which handlers the task is, outermost first.
    fn inside(&mut self, event: &Event) {
        if let Some(task) = self.world.task(event.task).filter(|task| !task.handling.is_empty()) {
            self.lines.texts_field("handling", task.handling.iter().map(|signal| signal.to_string().into()));
        }
    }

    fn call(&mut self, event: &Event) {
        let Some(call) = event.call else { return };
        self.lines.text_field("call", self.names.get(call));
        // A call that has not returned yet, or never does, has no result.
        let returns = !matches!(
            event.kind,
            Kind::Block { .. } | Kind::Unblock { .. } | Kind::Exit { .. } | Kind::Interrupted { .. }
        );
        if returns || event.ret != 0 {
            self.lines.number_field("ret", event.ret);
        }
        if let Some(errno) = event.errno() {
            self.lines.text_field("errno", &errno_name(errno));
        }
    }

    /// Prepares what every line of a task begins with.
    fn remember(&mut self, id: TaskId) {
        let Some(task) = self.world.task(id) else { return };
        let pid = self.world.task(task.process).map_or(task.pid, |leader| leader.pid);
        let mut head = Out::default();
        head.text_field("task", self.names.get(task.name));
        head.number_field("pid", pid);
        head.number_field("tid", task.pid);
        head.raw(",\"event\":\"");
        self.heads.resize_with(self.heads.len().max(id.index() + 1), Box::default);
        self.heads[id.index()] = boxed(&head);
    }

    /// Prepares a new channel's name. Should two bear the same, the later is told apart by its number.
    fn name_channel(&mut self, event: &Event) {
        let Kind::Create { channel, name, .. } = event.kind else { return };
        if event.failed() || channel.index() != self.channels.len() {
            return;
        }
        let mut key: Box<str> = self.names.get(name).into();
        while self.taken.contains(&key) {
            key = format!("{key}@{}", channel.index()).into();
        }
        let mut json = Out::default();
        json.text(&key);
        self.channels.push(boxed(&json));
        self.taken.insert(key);
    }
}

fn boxed(out: &Out) -> Box<str> {
    String::from_utf8_lossy(out.bytes()).into()
}

fn payload(batch: &Batch, blob: Blob) -> &[u8] {
    let Some(from) = blob.at.checked_sub(batch.bytes_at).filter(|_| !blob.is_empty()) else { return &[] };
    let from = from as usize;
    batch.bytes.get(from..from.saturating_add(blob.len as usize)).unwrap_or(&[])
}

fn write_header(out: &mut Out, header: &Header) {
    let optional = |out: &mut Out, key: &str, text: Option<&str>| {
        if let Some(text) = text {
            out.text_field(key, text);
        } else {
            out.key(key);
            out.raw("null");
        }
    };
    out.raw("{\"proclab\":");
    out.number(FORMAT);
    out.text_field("version", &header.version);
    optional(out, "scenario", header.scenario.as_deref());
    match &header.command {
        Some(command) => out.texts_field("command", command.iter().map(|word| word.as_str().into())),
        None => optional(out, "command", None),
    }
    out.text_field("kernel", &header.kernel);
    out.text_field("arch", &header.arch);
    out.number_field("seed", header.seed);
    out.text_field("mode", &header.mode);
    optional(out, "source", header.source.as_deref());
    out.text_field("lab", &header.lab);
    out.number_field("lab_pid", header.lab_pid);
    out.raw("}\n");
}
