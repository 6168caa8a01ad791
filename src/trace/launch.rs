//! The beginning of a run: a foreign program, or the root processes of a scenario.
//!
//! A scenario's roots are forked by a first process, `init`: the PID 1 of the run's own namespace, or
//! where there is none its subreaper. It is traced, so that everything it forks is, but it is not in
//! the log. The roots say that they are ready with a marker of their own; only when all are there
//! does the log begin, so that it begins the same way every time.

use std::os::fd::{AsFd as _, OwnedFd};

use super::birth::Birth;
use super::calls::MARKER;
use super::tracee::Rest;
use super::tracer::{Result, Tracer};
use crate::actor::ROOT_READY;
use crate::model::{Blob, ChannelId, How, Kind, Shares, TaskId};
use crate::scenario::{Op, StatementId};
use crate::sys::ptrace::{CallInfo, Resume, Stopped, Why};
use crate::sys::spawn::{Gated, Start};
use crate::sys::{Pulse, ptrace, senders, spawn};

/// A pipe that the run's output goes into, on the lab's side.
#[derive(Debug)]
pub struct Output {
    /// Which descriptor of the root processes leads into it.
    pub fd: i32,
    /// The end to read from, which never waits.
    pub pipe: OwnedFd,
    /// The descriptor of the lab that gets a copy, if any.
    pub forward: Option<i32>,
    /// The channel, once it is in the log.
    pub channel: Option<ChannelId>,
}

/// Root processes that are not all ready yet.
#[derive(Debug, Default)]
pub struct Muster {
    expected: usize,
    arrived: Vec<(u64, i32, Stopped)>,
    outputs: Vec<Output>,
    /// Whether a root has ended before it was ready.
    lost: bool,
}

impl Tracer {
    /// Starts a foreign program; its first step will be the `execve`. `outputs` are the pipes that
    /// its standard streams lead into.
    pub fn start_command(&mut self, start: Start, name: &str, outputs: Vec<Output>) -> Result<spawn::Report> {
        let (gated, report) = start.fork()?;
        self.open_gate(gated, |tracer, pid| {
            let birth =
                Birth { name: name.to_owned(), how: How::Fork, shares: Shares::default(), outcome: None, actor: false };
            tracer.adopt(pid, TaskId::LAB, &birth);
            if let Some(tracee) = tracer.tracees.get_mut(&pid) {
                tracee.named = true;
                tracee.newborn = false;
            }
            tracer.root = Some(pid);
            tracer.muster.outputs = outputs;
        })?;
        Ok(report)
    }

    /// Starts the first process of a scenario, which forks the root processes.
    pub fn start_scenario(&mut self, start: Start, outputs: Vec<Output>) -> Result<spawn::Report> {
        let (gated, report) = start.fork()?;
        let expected = self.scenario.as_ref().map_or(0, |scenario| scenario.program.roots.len());
        self.open_gate(gated, |tracer, pid| {
            tracer.init = Some(pid);
            tracer.muster = Muster { expected, outputs, ..Muster::default() };
        })?;
        Ok(report)
    }

    fn open_gate(&mut self, gated: Gated, keep: impl FnOnce(&mut Self, i32)) -> Result<()> {
        ptrace::seize(gated.pid)?;
        senders::joined(gated.pid);
        keep(self, gated.pid);
        gated.open()
    }

    /// Waits for room in the lab's own standard streams with this pulse, so that the run can be ended meanwhile.
    pub fn write_with(&mut self, pulse: Pulse) {
        self.pulse = Some(pulse);
    }

    /// Passes output on to one of the lab's own standard streams. Should nobody want it any more, the run is not
    /// the one to suffer.
    pub(super) fn forward(&mut self, stream: i32, bytes: &[u8]) {
        let Some(pulse) = self.pulse.as_ref().filter(|_| self.undelivered == 0) else {
            self.undelivered += bytes.len();
            return;
        };
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let stream = if stream == 1 { stdout.as_fd() } else { stderr.as_fd() };
        self.undelivered += pulse.write_all(stream, bytes).unwrap_or(0);
    }

    /// How much output could not be passed on, as a sentence, if any.
    pub fn undelivered(&self) -> Option<String> {
        let bytes = self.undelivered;
        (bytes > 0).then(|| format!("{bytes} bytes of what the run printed were not passed on: nobody has read them"))
    }

    /// Whether the roots of a scenario are not all there yet.
    pub const fn is_mustering(&self) -> bool {
        self.muster.expected > 0
    }

    /// Whether the first process of a scenario, or one of its roots, has ended before all roots were ready.
    pub const fn is_muster_lost(&self) -> bool {
        self.init.is_none() || self.muster.lost
    }

    /// A task has ended that is not in the books.
    pub(super) const fn note_lost_root(&mut self) {
        self.muster.lost |= self.is_mustering();
    }

    /// What the processes of a scenario have said last, on standard error, before the run began.
    pub fn last_words(&self) -> Option<String> {
        let output = self.muster.outputs.iter().find(|output| output.fd == 2)?;
        let mut said = vec![0; 4096];
        // The pipe is never waited for.
        let length = nix::unistd::read(&output.pipe, &mut said).ok()?;
        let said = String::from_utf8_lossy(&said[..length]).into_owned();
        let line = said.lines().rfind(|line| !line.trim().is_empty())?;
        Some(line.strip_prefix("proclab: ").unwrap_or(line).to_owned())
    }

    pub(super) fn init_stopped(stopped: Stopped, why: Why) -> Result<()> {
        let signal = match why {
            Why::Signal(signal) => Some(signal),
            _ => None,
        };
        stopped.resume(Resume::Continue, signal)
    }

    pub(super) fn root_stopped(&mut self, stopped: Stopped, why: Why) -> Result<()> {
        if why == Why::Seccomp
            && let CallInfo::Entry { number, args, .. } = stopped.call_info()?
            && number == u64::from(MARKER)
            && args[0] == ROOT_READY
        {
            self.muster.arrived.push((args[1], stopped.pid(), stopped));
            if self.muster.arrived.len() == self.muster.expected {
                return self.begin();
            }
            return Ok(());
        }
        stopped.resume(Resume::Continue, None)
    }

    /// All roots are there: the log begins.
    fn begin(&mut self) -> Result<()> {
        let muster = std::mem::take(&mut self.muster);
        let Some(scenario) = self.scenario.clone() else { return Ok(()) };
        let mut arrived = muster.arrived;
        arrived.sort_by_key(|(number, ..)| *number);
        self.muster.outputs = muster.outputs;
        let mut ready = Vec::new();
        for (number, tid, stopped) in arrived {
            let root = scenario.program.roots.get(number as usize);
            let name = root.and_then(|root| scenario.program.processes.get(root.name.index()));
            let birth = Birth {
                name: name.cloned().unwrap_or_default(),
                how: How::Fork,
                shares: Shares::default(),
                outcome: None,
                actor: true,
            };
            let task = self.adopt(tid, TaskId::LAB, &birth);
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.newborn = false;
            }
            self.root.get_or_insert(tid);
            self.write_inheritance(tid, task, &["stdin", "stdout", "stderr"]);
            self.decide_hidden(tid);
            self.hide_at_stop(tid, &stopped)?;
            ready.push(stopped);
        }
        for stopped in ready {
            stopped.resume(Resume::Continue, None)?;
        }
        Ok(())
    }

    /// The standard streams of the first root process are in the log: which of them does the lab read?
    pub(super) fn claim_outputs(&mut self, task: TaskId) {
        for mut output in std::mem::take(&mut self.muster.outputs) {
            output.channel = self.world().fd(task, output.fd).map(|entry| entry.channel);
            self.outputs.push(output);
        }
    }

    /// A scenario process is about to execute a statement.
    pub(super) fn at_marker(&mut self, tid: i32, stopped: Stopped, id: StatementId) {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        tracee.statement = Some(id);
        tracee.fresh = false;
        tracee.deadline = None;
        let task = tracee.task;
        self.write_line(task, id);
        self.set_rest(tid, Rest::Statement(stopped, id));
    }

    pub(super) fn write_line(&mut self, task: TaskId, id: StatementId) {
        let Some(scenario) = self.scenario.clone() else { return };
        if let Some(info) = scenario.program.statements.get(id.index()) {
            let text = self.recorder.intern(&info.text);
            self.recorder.plain(task, Kind::Line { line: info.line, text });
        }
    }

    /// Lets a task take its next step. One that does not rest is left alone.
    pub fn go(&mut self, task: TaskId) -> Result<()> {
        let Some(tid) = self.tids.get(&task).copied() else { return Ok(()) };
        let Some(tracee) = self.tracees.get_mut(&tid).filter(|tracee| !tracee.at_barrier) else { return Ok(()) };
        let Some(rest) = tracee.rest.take() else { return Ok(()) };
        let result = match rest {
            Rest::Call(stopped, call) => self.enter(tid, stopped, call),
            Rest::Statement(stopped, id) => self.execute(tid, task, stopped, id),
            Rest::Signal(stopped, signal, info) => self.deliver(tid, stopped, signal, info),
            Rest::Access(stopped, fault) => self.take_access(tid, task, stopped, fault),
            Rest::Handler(stopped) | Rest::Anywhere(stopped) => stopped.resume(Resume::Continue, None),
        };
        result.or_else(super::tracer::unless_gone)?;
        self.take_in_halted()
    }

    fn execute(&mut self, tid: i32, task: TaskId, stopped: Stopped, id: StatementId) -> Result<()> {
        let scenario = self.scenario.clone();
        let op = scenario.as_ref().and_then(|scenario| scenario.program.statement(id)).map(|statement| &statement.op);
        match op {
            Some(Op::Note { text }) => self.say(task, text, false),
            Some(Op::Label { name }) => self.say(task, name, true),
            Some(Op::Barrier { barrier }) => return self.arrive(tid, task, stopped, id, barrier.0),
            _ => {}
        }
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.fresh = true;
        }
        stopped.resume(Resume::Continue, None)
    }

    fn say(&mut self, task: TaskId, text: &str, label: bool) {
        let text = self.recorder.intern(text);
        self.recorder.plain(task, Kind::Note { text, label });
    }

    /// A task has come to a barrier; the last one opens it for all.
    fn arrive(&mut self, tid: i32, task: TaskId, stopped: Stopped, id: StatementId, barrier: u16) -> Result<()> {
        self.set_rest(tid, Rest::Statement(stopped, id));
        let call = self.recorder.intern("barrier");
        let why = crate::model::Why::Barrier;
        self.recorder.in_call(
            task,
            call,
            Kind::Block { channel: None, on: None, why, timeout: false, wanted: Blob::EMPTY },
        );
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.at_barrier = true;
        }
        let arrived = self.barriers.entry(barrier).or_default();
        arrived.push(tid);
        let parties = self.scenario.as_ref().and_then(|scenario| scenario.program.barriers.get(usize::from(barrier)));
        if arrived.len() < parties.map_or(1, |barrier| barrier.parties as usize) {
            return Ok(());
        }
        for tid in self.barriers.remove(&barrier).unwrap_or_default() {
            let Some(tracee) = self.tracees.get_mut(&tid) else { continue };
            tracee.at_barrier = false;
            let (task, rest) = (tracee.task, tracee.rest.take());
            self.recorder.in_call(task, call, Kind::Unblock { channel: None });
            if let Some(rest) = rest {
                rest.into_stopped().resume(Resume::Continue, None).or_else(super::tracer::unless_gone)?;
            }
        }
        Ok(())
    }
}
