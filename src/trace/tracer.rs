//! Stops become events here.
//!
//! The tracer knows how; whose turn it is, is decided in `control`. [`Tracer::stopped`] takes what
//! `wait4` brought and carries the task on by itself as long as nothing worth naming lies ahead; then
//! the task *rests*, and [`Tracer::go`] takes its next step.

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use std::collections::VecDeque;
use std::sync::Arc;

use super::calls::{Calls, Family, MARKER};
use super::channels::{CallNames, Channels};
use super::clock::Clock;
use super::copies::Copies;
use super::decode::Unnamed;
use super::launch::{Muster, Output};
use super::real::RealTimer;
use super::recorder::Recorder;
use super::sockets::Sockets;
use super::terminals::LabTerminal;
use super::tracee::{Ahead, Call, Rest, Tracee};
use super::watch::Watch;
use crate::model::{Blocked, ChannelId, Header, Kind, State, Status, TaskId, Then, World};
use crate::scenario::{Scenario, StatementId};
use crate::sys::ptrace::{CallInfo, Resume, Stopped, Why};
use crate::sys::{Error, Pulse, ptrace, seccomp};

/// Anything that goes wrong between a tracee and the tracer, other than its death.
pub type Result<T> = std::result::Result<T, Error>;

/// How the tracer looks.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether every call is an event.
    pub all: bool,
    /// How many bytes of each transfer are kept.
    pub capture: usize,
    /// Whether every access to shared memory is an event.
    pub watch_memory: bool,
    /// Whether sleeps of scenario processes elapse in the lab's own clock.
    pub virtual_time: bool,
}

/// The tracees, and the log that grows from them.
#[derive(Debug)]
pub struct Tracer {
    pub(super) recorder: Recorder,
    pub(super) tracees: HashMap<i32, Tracee>,
    pub(super) tids: HashMap<TaskId, i32>,
    pub(super) channels: Channels,
    pub(super) sockets: Sockets,
    pub(super) calls: Calls,
    pub(super) call_names: CallNames,
    pub(super) clock: Clock,
    /// What waited in the streams of processes when they were forked.
    pub(super) copies: Copies,
    /// Timers that run in real time, where a scenario could wait for one.
    pub(super) real_timers: Vec<RealTimer>,
    pub(super) options: Options,
    pub(super) scenario: Option<Arc<Scenario>>,
    pub(super) buffer: Vec<u8>,
    pub(super) barriers: HashMap<u16, Vec<i32>>,
    /// Signals that were seen at their receiver before the call of their sender had ended.
    pub(super) seen_early: Vec<(TaskId, TaskId, crate::model::Signal)>,
    /// Stopped tasks whose makers have not yet said what they made.
    pub(super) strangers: HashMap<i32, Stopped>,
    /// The process that the root processes of a scenario are forked by; it is not in the log.
    pub(super) init: Option<i32>,
    pub(super) root: Option<i32>,
    pub(super) muster: Muster,
    pub(super) root_status: Option<Status>,
    /// Where the root processes' output is taken from.
    pub(super) outputs: Vec<Output>,
    /// The terminal that the lab gives to the run, if it does.
    pub(super) terminal: Option<LabTerminal>,
    /// What other terminals are waited for with; made when it is needed first.
    pub(super) barrier: std::cell::OnceCell<Option<crate::sys::terminal::Barrier>>,
    /// How many bytes of output may still be kept whole.
    pub(super) output_budget: usize,
    /// Whose accesses to shared memory are watched.
    pub(super) watch: Watch,
    /// Memory that nobody finds by a name.
    pub(super) nameless: HashSet<ChannelId>,
    /// Semaphores that are being made, by process.
    pub(super) unnamed: HashMap<TaskId, Vec<Unnamed>>,
    /// Tasks that stand at the end of a call which the log cannot explain yet, and what it returns.
    pub(super) early: Vec<(i32, Stopped, i64)>,
    /// Stops of threads that were halted while another one was looked at.
    pub(super) backlog: VecDeque<(Stopped, Why)>,
    /// Whether such a one may rest now.
    others_rest: bool,
    /// With what is waited for room in the lab's own standard streams.
    pub(super) pulse: Option<Pulse>,
    /// How many bytes of output could not be passed on because nobody read and the run had to end.
    pub(super) undelivered: usize,
    pub(super) next_task: usize,
    /// What the machine has refused to a scenario, which then shows nothing that it should.
    pub(super) shortage: Option<Error>,
    /// How many of the tracees are threads beside the first of their process.
    pub(super) threads: usize,
    pub(super) names: HashMap<String, u32>,
}

/// Output is kept whole as long as all of it stays below this many bytes.
const OUTPUT_BUDGET: usize = 8 << 20;

impl Tracer {
    /// A tracer without tracees.
    pub fn new(header: &Header, options: Options, scenario: Option<Arc<Scenario>>) -> Self {
        let actors = scenario.as_ref().is_some_and(|scenario| scenario.program.uses_memory());
        Self {
            watch: Watch::of(actors, options.watch_memory),
            nameless: HashSet::default(),
            unnamed: HashMap::default(),
            early: Vec::new(),
            backlog: VecDeque::new(),
            others_rest: false,
            recorder: Recorder::new(header),
            tracees: HashMap::default(),
            tids: HashMap::default(),
            channels: Channels::default(),
            sockets: Sockets::default(),
            calls: Calls::default(),
            call_names: CallNames::default(),
            clock: Clock::default(),
            copies: Copies::default(),
            real_timers: Vec::new(),
            options,
            scenario,
            buffer: Vec::new(),
            barriers: HashMap::default(),
            seen_early: Vec::new(),
            strangers: HashMap::default(),
            init: None,
            root: None,
            muster: Muster::default(),
            root_status: None,
            outputs: Vec::new(),
            terminal: None,
            barrier: std::cell::OnceCell::new(),
            output_budget: OUTPUT_BUDGET,
            pulse: None,
            undelivered: 0,
            next_task: 1,
            threads: 0,
            shortage: None,
            names: HashMap::default(),
        }
    }

    /// The world after the last event.
    pub const fn world(&self) -> &World {
        self.recorder.world()
    }

    /// The log as it is written.
    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The same, to take from it and to add remarks.
    pub const fn recorder_mut(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    /// How the first root process ended, if it did.
    pub const fn root_status(&self) -> Option<Status> {
        self.root_status
    }

    /// The tasks that rest and could move, in the order of their birth.
    pub fn ready(&self) -> Vec<TaskId> {
        let mut ready: Vec<TaskId> = self
            .tracees
            .values()
            .filter(|tracee| tracee.rests() && !tracee.is_held_back())
            .map(|tracee| tracee.task)
            .collect();
        ready.sort_unstable();
        ready
    }

    /// Whether others than the task whose stop was taken in last may have come to rest since the last
    /// time.
    pub const fn do_others_rest(&mut self) -> bool {
        std::mem::replace(&mut self.others_rest, false)
    }

    pub(super) const fn note_others_rest(&mut self) {
        self.others_rest = true;
    }

    /// The task with this TID, if it rests and could move.
    pub fn ready_at(&self, tid: i32) -> Option<TaskId> {
        let tracee = self.tracees.get(&tid)?;
        (tracee.rests() && !tracee.is_held_back()).then_some(tracee.task)
    }

    /// Whether any task of the run is left.
    pub fn is_over(&self) -> bool {
        self.tracees.is_empty() && self.strangers.is_empty()
    }

    /// Whether a task has stopped before, be it announced or not.
    pub fn has_met(&self, tid: i32) -> bool {
        self.tracees.contains_key(&tid) || self.strangers.contains_key(&tid)
    }

    /// What the machine has refused to a scenario, if it has.
    pub const fn take_shortage(&mut self) -> Option<Error> {
        self.shortage.take()
    }

    /// How many processes of the run are left.
    pub fn processes(&self) -> usize {
        self.tracees.len().saturating_sub(self.threads)
    }

    /// The tasks that may stop at any moment, by TID.
    pub fn moving(&self) -> Vec<i32> {
        self.tracees.iter().filter(|(_, tracee)| tracee.is_moving()).map(|(tid, _)| *tid).collect()
    }

    /// The tasks that the log says to sleep in a call, or that job control has stopped, by TID.
    pub fn sleeping(&self) -> Vec<i32> {
        let sleeps = |tracee: &Tracee| (tracee.blocked || tracee.listening) && tracee.rest.is_none() && !tracee.held;
        self.tracees.iter().filter(|(_, tracee)| sleeps(tracee)).map(|(tid, _)| *tid).collect()
    }

    /// Whether a task interprets a scenario.
    pub fn is_actor(&self, task: TaskId) -> bool {
        self.tids.get(&task).and_then(|tid| self.tracees.get(tid)).is_some_and(|tracee| tracee.actor)
    }

    /// The statement before which a task rests, and the call before which it does.
    pub fn next_word(&self, task: TaskId) -> Option<String> {
        match self.rest(task)? {
            Rest::Statement(_, id) => {
                self.scenario.as_ref()?.program.statements.get(id.index()).map(|info| info.word.to_owned())
            }
            Rest::Call(_, call) => Some(self.recorder.names().get(call.name).to_owned()),
            _ => None,
        }
    }

    /// The phase of a signal that is a task's next step: the signal's name before its delivery, `handler`
    /// before the first instruction of its handler.
    pub fn next_phase(&self, task: TaskId) -> Option<String> {
        match self.rest(task)? {
            Rest::Signal(_, signal, _) => Some(signal.to_string()),
            Rest::Handler(_) => Some("handler".to_owned()),
            _ => None,
        }
    }

    /// The task of a TID.
    pub fn task_of(&self, tid: i32) -> Option<TaskId> {
        self.tracees.get(&tid).map(|tracee| tracee.task)
    }

    /// Where the task rests.
    pub fn rest(&self, task: TaskId) -> Option<&Rest> {
        self.tracees.get(self.tids.get(&task)?)?.rest.as_ref()
    }

    /// Where a task sleeps, if it does.
    pub fn blocked(&self, task: TaskId) -> Option<Blocked> {
        match self.world().task(task)?.state {
            State::Blocked(blocked) => Some(blocked),
            _ => None,
        }
    }

    /// Takes a stop in. An `ESRCH` on the way means that SIGKILL has struck: the end is coming.
    pub fn stopped(&mut self, stopped: Stopped, why: Why) -> Result<()> {
        let tid = stopped.pid();
        if Some(tid) == self.init {
            return dying_is_fine(Self::init_stopped(stopped, why));
        }
        if !self.tracees.contains_key(&tid) {
            return dying_is_fine(self.stranger(stopped, why));
        }
        dying_is_fine(self.known_stopped(tid, stopped, why))?;
        self.take_in_halted()?;
        self.release_early()?;
        self.take_in_halted()
    }

    /// Takes in the stops of threads that were halted for the sake of another one's access to memory.
    pub(super) fn take_in_halted(&mut self) -> Result<()> {
        while let Some((halted, why)) = self.backlog.pop_front() {
            self.others_rest = true;
            dying_is_fine(self.resume_halted(halted, why))?;
        }
        Ok(())
    }

    pub(super) fn known_stopped(&mut self, tid: i32, stopped: Stopped, why: Why) -> Result<()> {
        self.write_changes_since(tid);
        self.look_for_sent(tid, &stopped, why)?;
        self.answer_for_mask(tid, &stopped)?;
        if !matches!(why, Why::Made(_)) {
            self.forget_answer(tid);
        }
        match why {
            Why::Seccomp => self.at_entry(tid, stopped),
            Why::Call => self.at_exit(tid, stopped),
            Why::Signal(signal) => self.at_signal(tid, stopped, signal),
            Why::GroupStop(signal) => {
                self.wake(tid);
                if let Some(tracee) = self.tracees.get_mut(&tid) {
                    tracee.listening = true;
                    tracee.stopped_by = tracee.suspended.map(|_| signal);
                }
                stopped.listen()
            }
            Why::Interrupted => self.at_interruption(tid, stopped),
            Why::Made(event) => self.at_made(tid, stopped, event),
            Why::VforkDone => self.pass(tid, stopped),
            Why::Exec => self.at_exec(tid, stopped),
            Why::Exit => self.at_end(tid, stopped),
        }
    }

    /// Goes on without a step: nothing worth naming has happened. A task in the middle of a call
    /// goes on to the end of that call.
    pub(super) fn pass(&mut self, tid: i32, stopped: Stopped) -> Result<()> {
        let in_call = self.tracees.get(&tid).is_some_and(|tracee| tracee.call.is_some());
        stopped.resume(if in_call { Resume::ToCallExit } else { Resume::Continue }, None)
    }

    pub(super) fn set_rest(&mut self, tid: i32, rest: Rest) {
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.rest = Some(rest);
        }
    }

    fn at_entry(&mut self, tid: i32, stopped: Stopped) -> Result<()> {
        let CallInfo::Entry { number, args, arch, sp, data } = stopped.call_info()? else {
            return self.pass(tid, stopped);
        };
        let is_native = arch == seccomp::NATIVE_ARCH;
        if data == seccomp::STRICT {
            return self.forbid(tid, stopped, is_native.then_some(number));
        }
        let refused = data != seccomp::OF_THE_LAB;
        if !is_native {
            if refused {
                return self.refuse_unseen(tid, stopped);
            }
            if seccomp::is_about_signals(number) {
                self.lose_sight(tid, Some(&stopped))?;
                self.see_off()?;
                return self.pass(tid, stopped);
            }
            return self.trace_foreign_child(tid, stopped, number, args[0]);
        }
        let family = self.calls.family(number);
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        tracee.failed = None;
        if !tracee.frames.is_empty() && family != Family::Sigreturn {
            self.write_left(tid, sp);
        }
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        let stopped_by = tracee.stopped_by.take();
        if let Some((call, value)) = tracee.suspended.take() {
            if !refused && (family == Family::Restart || (call.number == number && call.args == args)) {
                // It goes on as if nothing had been; after a stop that is worth saying.
                if let (Some(signal), Some(task)) = (stopped_by, self.task_of(tid)) {
                    let then = if family == Family::Restart { Then::Continue } else { Then::Restart };
                    self.recorder.in_call(task, call.name, Kind::Interrupted { signal, then });
                }
                return self.let_in(tid, stopped, call);
            }
            self.conclude(tid, &stopped, &call, value)?;
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.hidden.again = None;
            }
        }
        self.wake(tid);
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        tracee.progress = 0;
        tracee.ahead = Ahead::Nothing;
        if tracee.actor && number == u64::from(MARKER) {
            self.at_marker(tid, stopped, StatementId(args[0] as u16));
            return Ok(());
        }
        let name = self.call_names.sym(&mut self.recorder, number);
        let call = Call { number, name, family, args };
        if refused {
            return self.refuse(tid, stopped, call);
        }
        // The first call of a statement belongs to the step that the statement's name announced, and so
        // does the waiting of a semaphore in memory.
        let waits = family == Family::Futex;
        // That a call stops only for the mask that it shows is no step either.
        let shows = family == Family::Sigpending && !self.options.all;
        if shows || (tracee.actor && (std::mem::take(&mut tracee.fresh) || waits)) {
            return self.enter(tid, stopped, call);
        }
        if self.is_beneath_notice(tid, &call) {
            if self.is_watched(tid) {
                return self.enter(tid, stopped, call);
            }
            return stopped.resume(Resume::Continue, None);
        }
        self.set_rest(tid, Rest::Call(stopped, call));
        Ok(())
    }

    fn at_exit(&mut self, tid: i32, stopped: Stopped) -> Result<()> {
        let CallInfo::Exit { value } = stopped.call_info()? else { return self.pass(tid, stopped) };
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        let Some(call) = tracee.call else { return stopped.resume(Resume::Continue, None) };
        if self.comes_too_early(tid, &call, value) {
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.held = true;
            }
            self.early.push((tid, stopped, value));
            return Ok(());
        }
        self.leave(tid, stopped, call, value)
    }

    /// Writes what has come of a call.
    pub(super) fn conclude(&mut self, tid: i32, stopped: &Stopped, call: &Call, value: i64) -> Result<()> {
        self.wake(tid);
        let value = self.after_call(tid, stopped, call, value)?;
        self.decode(tid, stopped, call, value)
    }

    /// Writes that a task sleeps no more, if the log says it does.
    pub(super) fn wake(&mut self, tid: i32) {
        let Some(tracee) = self.tracees.get_mut(&tid).filter(|tracee| tracee.blocked) else { return };
        tracee.blocked = false;
        let task = tracee.task;
        let blocked = self.blocked(task);
        let channel = blocked.and_then(|blocked| blocked.channel);
        let kind = Kind::Unblock { channel };
        match blocked.and_then(|blocked| blocked.call) {
            Some(call) => self.recorder.in_call(task, call, kind),
            None => self.recorder.plain(task, kind),
        }
    }

    fn at_interruption(&mut self, tid: i32, stopped: Stopped) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        let asked = std::mem::take(&mut tracee.asked);
        if std::mem::take(&mut tracee.newborn) {
            return self.begin_life(tid, stopped);
        }
        if std::mem::take(&mut tracee.listening) {
            self.look_at_waste(tid, &stopped)?;
            return stopped.resume(Resume::Continue, None);
        }
        if !asked && !tracee.expired {
            return self.woken_for_nothing(tid, stopped);
        }
        self.at_rest_anywhere(tid, stopped)
    }

    fn at_rest_anywhere(&mut self, tid: i32, stopped: Stopped) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        if tracee.call.is_some() {
            return stopped.resume(Resume::ToCallExit, None);
        }
        if std::mem::take(&mut tracee.expired) {
            return stopped.resume(Resume::Continue, None);
        }
        self.set_rest(tid, Rest::Anywhere(stopped));
        Ok(())
    }

    /// Ends the life of everything that is left.
    pub fn kill_all(&self) {
        for tid in self.tracees.keys().chain(self.strangers.keys()).chain(self.init.iter()) {
            crate::sys::signal::kill(*tid);
        }
    }

    /// Makes every task that runs stop where it is.
    pub fn interrupt_all(&mut self) {
        for tid in self.moving() {
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.asked = true;
            }
            // One that has gone meanwhile will be reported as such.
            drop(ptrace::interrupt(tid));
        }
    }
}

/// `ESRCH` at a stop means that SIGKILL has struck; the end of the task is about to be reported.
pub(super) fn dying_is_fine(result: Result<()>) -> Result<()> {
    result.or_else(unless_gone)
}

pub(super) fn unless_gone(error: Error) -> Result<()> {
    if error.is_gone() { Ok(()) } else { Err(error) }
}
