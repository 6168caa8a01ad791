//! Writing events: the pen, the clock, and the rules that watch.

use std::time::Instant;

use super::journal::Journal;
use crate::insight::{Finding, Watch};
use crate::model::{Batch, Blob, Ended, Event, Header, Kind, Names, Parties, Pen, Sym, TaskId, World};

/// The end of a system call, as far as an event is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The name of the call.
    pub call: Sym,
    /// What it returned.
    pub ret: i64,
}

/// Appends events to the log, and the diagnoses that follow from them.
pub struct Recorder {
    pen: Pen,
    start: Instant,
    watch: Watch,
    findings: Vec<Finding>,
    found: Vec<&'static str>,
    /// Whether somebody has fallen asleep, or lost the means to wake others, since the last time.
    stirred: bool,
    journal: Option<Journal>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("seq", &self.pen.next_seq()).finish_non_exhaustive()
    }
}

impl Recorder {
    /// A recorder whose time starts now.
    pub fn new(header: &Header) -> Self {
        Self {
            pen: Pen::new(header),
            start: Instant::now(),
            watch: Watch::default(),
            findings: Vec::new(),
            found: Vec::new(),
            stirred: false,
            journal: None,
        }
    }

    /// The world after the last event.
    pub const fn world(&self) -> &World {
        self.pen.world()
    }

    /// All strings.
    pub const fn names(&self) -> &Names {
        self.pen.names()
    }

    /// The symbol of a string.
    pub fn intern(&mut self, text: &str) -> Sym {
        self.pen.intern(text)
    }

    /// Keeps payload for an event that is about to be written.
    pub fn keep(&mut self, bytes: &[u8]) -> Blob {
        self.pen.keep(bytes)
    }

    /// The events that wait to be taken.
    pub fn untaken(&self) -> &[Event] {
        self.pen.untaken()
    }

    /// How many events there are.
    pub const fn count(&self) -> u64 {
        self.pen.next_seq()
    }

    /// Takes what was written since the last time.
    pub fn take(&mut self) -> Batch {
        self.pen.take()
    }

    /// The rules that found something since the last time.
    pub fn take_found(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.found)
    }

    /// Writes an event that comes from a call.
    pub fn of_call(&mut self, task: TaskId, outcome: Outcome, kind: Kind) {
        self.write(task, Some(outcome.call), outcome.ret, kind);
    }

    /// Writes an event that comes from no call.
    pub fn plain(&mut self, task: TaskId, kind: Kind) {
        self.write(task, None, 0, kind);
    }

    /// Writes that a task is in `call` but has not come back.
    pub fn in_call(&mut self, task: TaskId, call: Sym, kind: Kind) {
        self.write(task, Some(call), 0, kind);
    }

    /// Writes a remark of the lab.
    pub fn note(&mut self, task: TaskId, text: &str) {
        let text = self.pen.intern(text);
        self.plain(task, Kind::Note { text, label: false });
    }

    /// Writes down from now on what the run makes that outlives it.
    pub fn keep_journal(&mut self, journal: Journal) {
        self.journal = Some(journal);
    }

    /// Where that is written down, if it is.
    pub const fn journal(&mut self) -> Option<&mut Journal> {
        self.journal.as_mut()
    }

    /// Writes that these tasks sleep, as the kernel was asked to say.
    pub fn asleep(&mut self, tasks: &[TaskId]) {
        let parties = Parties { tasks: tasks.to_vec(), channels: Vec::new() };
        let parties = self.pen.keep(&parties.to_bytes());
        self.plain(TaskId::LAB, Kind::Asleep { parties });
    }

    /// Whether since the last time anything has happened after which nobody might be left who could wake
    /// those who sleep.
    pub const fn has_stirred(&mut self) -> bool {
        std::mem::replace(&mut self.stirred, false)
    }

    /// What stirred has not been settled.
    pub const fn stir(&mut self) {
        self.stirred = true;
    }

    fn write(&mut self, task: TaskId, call: Option<Sym>, ret: i64, kind: Kind) {
        self.stirred |= matches!(
            kind,
            Kind::Block { .. }
                | Kind::Close { .. }
                | Kind::Dup { .. }
                | Kind::Exec { .. }
                | Kind::Exit { .. }
                | Kind::Detach { .. }
                | Kind::Timer { .. }
                | Kind::Signal { .. }
                | Kind::Monitor { .. }
        );
        let event = Event { t_ns: self.start.elapsed().as_nanos() as u64, ret, task, call, kind };
        self.pen.write(event);
        let payload = self.pen.bytes(kind.blob());
        self.watch.observe(&event, payload, self.pen.world(), self.pen.names(), &mut self.findings);
        if !self.findings.is_empty() {
            self.write_findings(event.t_ns);
        }
    }

    /// The run is over: writes how it ended and why, and what the rules say of what is left.
    pub fn end(&mut self, how: Ended, why: &str) {
        let text = self.pen.intern(why);
        self.plain(TaskId::LAB, Kind::End { how, text });
        self.watch.end(self.pen.world(), self.pen.names(), how, &mut self.findings);
        self.write_findings(self.start.elapsed().as_nanos() as u64);
    }

    fn write_findings(&mut self, t_ns: u64) {
        for finding in std::mem::take(&mut self.findings) {
            let task = finding.tasks.first().copied().unwrap_or(TaskId::LAB);
            let kind = finding.kind(&mut self.pen);
            self.pen.write(Event { t_ns, ret: 0, task, call: None, kind });
            self.found.push(finding.rule);
        }
    }
}
