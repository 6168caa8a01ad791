//! The tracer's thread: takes commands, lets tasks move, tells what happened.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::time::{Duration, Instant};

use super::bench::{self, Bench};
use super::scheduler::Scheduler;
use super::settle::Settling;
use super::telling::Output;
use super::typing::Typing;
use super::{Answer, Breakpoint, Command, Outcome, Pace, Plan, Sink, Start, Status, Subject, Update};
use crate::model::{Header, TaskId};
use crate::scenario::Limit;
use crate::sys::{self, Pulse, ptrace};
use crate::trace::{Options, Tracer};

/// How many processes a foreign program may have at the same time before the lab ends it.
const FOREIGN_PROCESSES: u32 = 10_000;

/// What the thread reports once it has started, or could not.
type Started = sys::Result<(Header, Pulse)>;

/// The body of the tracer's thread.
pub fn run(
    plan: Plan,
    commands: Receiver<Command>,
    updates: SyncSender<Update>,
    sink: Option<Box<dyn Sink>>,
    started: &Sender<Started>,
) {
    let engine = Engine::start(plan, commands, updates);
    match engine {
        Ok(mut engine) => {
            drop(started.send(Ok((engine.header.clone(), engine.pulse.clone()))));
            engine.sink = sink.map(Output::new);
            engine.run();
        }
        Err(error) => drop(started.send(Err(error))),
    }
}

/// How the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Paused,
    Playing(Pace),
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and they combine freely")]
pub(super) struct Engine {
    pub(super) tracer: Tracer,
    pub(super) pulse: Pulse,
    pub(super) settling: Settling,
    pub(super) header: Header,
    pub(super) bench: Bench,
    pub(super) scheduler: Scheduler,
    commands: Receiver<Command>,
    /// Commands that came before there was anybody to do something with.
    early: VecDeque<Command>,
    pub(super) updates: SyncSender<Update>,
    /// Who takes the log here and now, if somebody does.
    pub(super) sink: Option<Output>,
    /// When it was said last who goes on after the command.
    pub(super) told_others: Option<Instant>,
    pub(super) mode: Mode,
    pub(super) serial: bool,
    pub(super) scenario: bool,
    /// Whether a run of a command in free mode ends when nobody can move any more.
    pub(super) stop_when_stuck: bool,
    pub(super) breakpoints: Vec<Breakpoint>,
    /// The task that stopped at a breakpoint, which must not stop it again.
    pub(super) passing: Option<TaskId>,
    /// The task that the scheduler has chosen, if a breakpoint has kept it from its step.
    pub(super) postponed: Option<TaskId>,
    /// Whether it was said that the kernel asks for connections again by itself.
    pub(super) told_retry: bool,
    /// When the kernel is asked once more who sleeps, if it could not be told for somebody was on the move.
    pub(super) ask_again: Option<Instant>,
    pub(super) paused_by: Option<String>,
    pub(super) answer: Option<Answer>,
    pub(super) limit: Limit,
    pub(super) timeout: Option<Duration>,
    /// How long the run has played, apart from the present stretch.
    pub(super) played: Duration,
    pub(super) playing_since: Option<Instant>,
    next_step_at: Option<Instant>,
    pub(super) flushed: Instant,
    pub(super) told: Option<Status>,
    /// Somebody listens no more, or wants the end.
    pub(super) ending: Option<Outcome>,
    pub(super) looked_at: usize,
    pub(super) labels: Vec<(TaskId, String)>,
    pub(super) typing: Typing,
    /// What the user has done that is not in the schedule, once each.
    pub(super) unscheduled: Vec<&'static str>,
}

impl Engine {
    fn start(plan: Plan, commands: Receiver<Command>, updates: SyncSender<Update>) -> sys::Result<Self> {
        if !plan.all_cpus {
            share_one_cpu();
        }
        let pulse = Pulse::of_this_thread()?;
        let isolation = bench::try_namespaces(&plan);
        let header = bench::header(&plan, &isolation);
        let scenario = match &plan.subject {
            Subject::Scenario(scenario) => Some(std::sync::Arc::new(scenario.as_ref().clone())),
            Subject::Command(_) => None,
        };
        let limit = scenario
            .as_ref()
            .map_or(Limit { seconds: u64::MAX, processes: FOREIGN_PROCESSES, events: u64::MAX }, |scenario| {
                scenario.limit
            });
        let options = Options {
            all: plan.all,
            capture: plan.capture,
            watch_memory: plan.watch_memory,
            virtual_time: scenario.as_ref().is_some_and(|scenario| !scenario.real_time),
        };
        let is_scenario = scenario.is_some();
        let mut tracer = Tracer::new(&header, options, scenario);
        tracer.write_with(pulse.clone());
        let bench = match bench::start(&plan, isolation, &mut tracer) {
            Ok(bench) => bench,
            Err(error) => {
                tracer.kill_all();
                pulse.end();
                return Err(error);
            }
        };
        // Only now: what was forked keeps the slack that it would have without the lab.
        sys::spawn::sharpen_timers();
        let mode = match plan.start {
            Start::Paused => Mode::Paused,
            Start::Playing(pace) => Mode::Playing(pace),
        };
        Ok(Self {
            tracer,
            pulse,
            settling: Settling::default(),
            header,
            bench,
            scheduler: Scheduler::new(plan.seed, plan.schedule),
            commands,
            early: VecDeque::new(),
            updates,
            sink: None,
            told_others: None,
            mode,
            serial: plan.serial,
            scenario: is_scenario,
            stop_when_stuck: plan.stop_when_stuck,
            breakpoints: Vec::new(),
            passing: None,
            postponed: None,
            told_retry: false,
            ask_again: None,
            paused_by: None,
            answer: None,
            limit,
            timeout: plan.timeout.map(Duration::from_secs),
            played: Duration::ZERO,
            playing_since: None,
            next_step_at: None,
            flushed: Instant::now(),
            told: None,
            ending: None,
            looked_at: 0,
            labels: Vec::new(),
            typing: Typing::of(plan.terminal.as_ref()),
            unscheduled: Vec::new(),
        })
    }

    fn run(&mut self) {
        let outcome = match self.play() {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error.with_hint()),
        };
        self.finish(outcome);
    }

    fn play(&mut self) -> sys::Result<Outcome> {
        self.keep_time();
        if !self.begin_output() {
            return Ok(Outcome::Stopped);
        }
        if let Some(outcome) = self.muster()? {
            return Ok(outcome);
        }
        if let bench::Isolation::Directory(why) = &self.bench.isolation {
            let has =
                if self.scenario { "the run has its directory and" } else { "the program has the surroundings and" };
            let text = format!("{why}; {has} the PIDs of this machine");
            self.tracer.recorder_mut().note(TaskId::LAB, &text);
        }
        self.settle()?;
        loop {
            self.take_commands();
            self.tracer.ring()?;
            if let Some(outcome) = self.is_over() {
                return Ok(outcome);
            }
            self.tracer.compare_memory(self.serial || self.mode != Mode::Playing(Pace::Full));
            match self.mode {
                Mode::Paused => {
                    self.stop_everybody()?;
                    self.tell(true);
                    self.wait_for_anything(None)?;
                }
                Mode::Playing(Pace::PerSecond(rate)) => self.play_paced(rate)?,
                Mode::Playing(Pace::Full) if self.serial => {
                    self.one_step(None)?;
                    self.tell(false);
                }
                Mode::Playing(Pace::Full) => self.play_freely()?,
            }
        }
    }

    /// Waits until all root processes are there. Returns how the run ends if that is before.
    fn muster(&mut self) -> sys::Result<Option<Outcome>> {
        self.keep_time();
        while self.tracer.is_mustering() {
            self.pulse.rest_until(self.deadline());
            self.take_stop()?;
            if self.tracer.is_muster_lost() {
                return Ok(Some(Outcome::Failed(self.why_it_never_began())));
            }
            self.pulse.answer();
            self.early.extend(self.commands.try_iter());
            if self.early.contains(&Command::End) {
                return Ok(Some(Outcome::Stopped));
            }
            if let Some(outcome) = self.is_out_of_time() {
                return Ok(Some(outcome));
            }
        }
        self.pulse.beat();
        Ok(None)
    }

    /// Why the processes of a scenario have ended before the run could begin, as a sentence.
    fn why_it_never_began(&mut self) -> String {
        let failure = self.bench.report.take().and_then(sys::spawn::Report::failure);
        let before_exec = || failure.map(|error| format!("the first process of the scenario: {}", error.with_hint()));
        let said = self.tracer.last_words().or_else(before_exec);
        said.unwrap_or_else(|| "a process of the scenario has ended before the run began; see `proclab doctor`".into())
    }

    /// Waits for a stop or an end and takes it in. Returns whose it was, if one came.
    fn take_stop(&mut self) -> sys::Result<Option<i32>> {
        self.write_out();
        match self.pulse.during(|| ptrace::wait(true))? {
            ptrace::Wait::Stopped(stopped, why) => {
                let tid = stopped.pid();
                self.tracer.stopped(stopped, why)?;
                Ok(Some(tid))
            }
            ptrace::Wait::Ended(tid, status) => {
                self.tracer.ended(tid, status);
                Ok(Some(tid))
            }
            ptrace::Wait::Nothing | ptrace::Wait::Interrupted | ptrace::Wait::Nobody => Ok(None),
        }
    }

    fn take_commands(&mut self) {
        self.pulse.answer();
        while let Some(command) = self.early.pop_front().or_else(|| self.commands.try_recv().ok()) {
            match command {
                Command::Play(pace) => {
                    self.mode = Mode::Playing(pace);
                    self.paused_by = None;
                    self.passing = self.tracer.ready().first().copied().filter(|_| !self.serial).or(self.passing);
                    self.next_step_at = None;
                }
                Command::Pause => self.mode = Mode::Paused,
                Command::Step(task) => {
                    if let Err(error) = self.step_by_hand(task) {
                        self.ending = Some(Outcome::Failed(error.to_string()));
                    }
                }
                Command::Breakpoints(list) => self.breakpoints = list,
                Command::Serial(serial) => self.serial = serial,
                Command::Hand(hand) => {
                    if let Err(error) = self.by_hand(hand) {
                        self.ending = Some(Outcome::Failed(error.to_string()));
                    }
                }
                Command::Type(bytes) => self.type_by_hand(&bytes),
                Command::Resize { rows, columns } => self.resize(rows, columns),
                Command::End => self.ending = Some(Outcome::Stopped),
            }
        }
        self.keep_time();
    }

    fn keep_time(&mut self) {
        let playing = self.mode != Mode::Paused;
        match self.playing_since {
            None if playing => self.playing_since = Some(Instant::now()),
            Some(since) if !playing => {
                self.played += since.elapsed();
                self.playing_since = None;
            }
            _ => return,
        }
        self.pulse.set_deadline(self.deadline());
    }

    /// Makes the tasks that run stop where they are, and waits until they have.
    pub(super) fn stop_everybody(&mut self) -> sys::Result<()> {
        self.settle()?;
        if !self.tracer.moving().is_empty() {
            self.tracer.interrupt_all();
            self.settle()?;
        }
        Ok(())
    }

    fn play_paced(&mut self, rate: u32) -> sys::Result<()> {
        let now = Instant::now();
        match self.next_step_at {
            Some(at) if now < at => {
                self.tell(true);
                self.wait_for_anything(Some(at))
            }
            _ => {
                self.next_step_at = Some(now + Duration::from_secs(1) / rate.max(1));
                self.stop_everybody()?;
                self.one_step(None)?;
                self.tell(true);
                Ok(())
            }
        }
    }

    /// Lets everybody move, and takes in what comes.
    fn play_freely(&mut self) -> sys::Result<()> {
        self.not_in_schedule("a stretch in free mode");
        for task in self.tracer.ready() {
            if !self.goes_on(task)? {
                return Ok(());
            }
        }
        self.pulse.beat();
        // Who waits for room at the terminal must not wait for another one's pause.
        self.tracer.read_terminal();
        // As long as stops keep coming only the one that stopped can be ready.
        while !self.tracer.is_over() {
            let Some(tid) = self.take_stop()? else { return self.who_sleeps() };
            self.after_step();
            if self.mode == Mode::Paused {
                return Ok(());
            }
            if let Some(task) = self.tracer.ready_at(tid)
                && !self.goes_on(task)?
            {
                return Ok(());
            }
            if self.tell(false) || self.pulse.is_called() || self.tracer.do_others_rest() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Lets a task take its next step, unless a breakpoint is in the way.
    fn goes_on(&mut self, task: TaskId) -> sys::Result<bool> {
        if self.breaks_before(task) {
            return Ok(false);
        }
        self.passing = None;
        self.tracer.go(task)?;
        Ok(true)
    }

    fn who_sleeps(&mut self) -> sys::Result<()> {
        self.tracer.look_at_released();
        // Nothing stopped for a beat: who sleeps?
        for tid in self.tracer.moving() {
            if self.tracer.is_asleep(tid) {
                self.tracer.fell_asleep(tid);
            }
        }
        self.tracer.write_progress();
        self.tracer.look_at_timers();
        self.tracer.look_at_terminals();
        self.look_for_stuck();
        self.after_step();
        self.tell(true);
        if self.tracer.moving().is_empty() && self.tracer.ready().is_empty() && !self.tracer.is_over() {
            self.nobody_is_ready()?;
        }
        Ok(())
    }

    /// Waits until a stop comes, a command, or the time.
    pub(super) fn wait_for_anything(&mut self, until: Option<Instant>) -> sys::Result<()> {
        self.look_again_at_timed();
        let until = [until, self.deadline(), self.tracer.rings_at(), self.ask_again].into_iter().flatten().min();
        self.pulse.rest_until(until);
        self.tell_who_goes_on(true);
        if self.take_stop()?.is_some() {
            self.settle()?;
            self.look_for_stuck();
            self.after_step();
        } else if self.ask_again.is_some_and(|time| time <= Instant::now()) {
            self.ask_once_more();
            self.after_step();
        }
        self.pulse.beat();
        Ok(())
    }

    pub(super) fn name(&self, task: TaskId) -> String {
        let names = self.tracer.recorder().names();
        self.tracer.world().task(task).map_or_else(String::new, |task| names.get(task.name).to_owned())
    }
}

/// A stop costs a sixth when tracer and tracee share a CPU, so this thread and all that it starts do.
fn share_one_cpu() {
    use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
    let Ok(cpu) = sched_getcpu() else { return };
    let mut set = CpuSet::new();
    if set.set(cpu).is_ok() {
        // Where it is refused everything still works, only slower.
        let _ = sched_setaffinity(nix::unistd::Pid::from_raw(0), &set);
    }
}
