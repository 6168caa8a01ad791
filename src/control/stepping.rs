//! One step: whose turn it is, what stands in the way, and what to do when nobody can move.

use std::time::{Duration, Instant};

use super::engine::{Engine, Mode};
use super::scheduler::{Choice, Tasks};
use super::telling::FLUSH;
use super::{Outcome, breakpoints};
use crate::model::{Blocked, ChannelKind, Kind, Phase, State, TaskId, Why, World};
use crate::scenario::RETURNED;
use crate::sys;
use crate::trace::Tracer;

/// How long a step waits for what is on its way before the next command cuts it short.
const MOMENT: Duration = Duration::from_millis(100);

impl Engine {
    /// Lets one task take one step: the given one, or the scheduler's choice. If nobody can move, the
    /// lab's clock does; if that has nothing to wait for either, the run is over or waits for what lies
    /// outside. Returns whether that was a step, or only a wait for what is on its way.
    pub(super) fn one_step(&mut self, task: Option<TaskId>) -> sys::Result<bool> {
        let ready = self.tracer.ready();
        // A step that the user asks for is taken by a task that the user holds, too.
        let may_move = |task: TaskId| ready.contains(&task) || self.tracer.held_back().contains(&task);
        let asked = task.filter(|task| may_move(*task));
        if ready.is_empty() && asked.is_none() {
            return self.nobody_is_ready();
        }
        // Whose turn it was when a breakpoint came in between; a step by hand of the same task is that turn.
        let chosen = match task {
            Some(_) => {
                self.postponed = self.postponed.filter(|postponed| asked != Some(*postponed));
                asked
            }
            None => self.postponed.take().filter(|task| ready.contains(task)),
        };
        let chosen = match chosen {
            None if task.is_none() => {
                let tasks = Bystanders { tracer: &self.tracer, labels: &self.labels };
                match self.scheduler.choose(&ready, &tasks) {
                    Some(Choice::Task(task)) => Some(task),
                    Some(Choice::Clock) => return self.move_clock().map(|()| true),
                    None => None,
                }
            }
            chosen => chosen,
        };
        let Some(chosen) = chosen else { return Ok(true) };
        if self.mode != Mode::Paused && self.breaks_before(chosen) {
            self.postponed = Some(chosen);
            return Ok(true);
        }
        let name = self.name(chosen);
        self.scheduler.follow(&name);
        self.passing = None;
        self.labels.retain(|(task, _)| *task != chosen);
        self.settling.mover = Some(chosen);
        self.tracer.go(chosen)?;
        self.settle()?;
        self.settling.mover = None;
        self.look_for_stuck();
        self.after_step();
        Ok(true)
    }

    /// A step that the user asks for. What the kernel is still bringing is waited for first; what may take
    /// long, only until the next command comes.
    pub(super) fn step_by_hand(&mut self, task: Option<TaskId>) -> sys::Result<()> {
        self.mode = Mode::Paused;
        self.paused_by = None;
        self.stop_everybody()?;
        let began = Instant::now();
        while !self.one_step(task)? && self.ending.is_none() && !self.tracer.is_over() {
            if self.pulse.is_called() && began.elapsed() > MOMENT {
                break;
            }
            self.tell(true);
        }
        self.told = None;
        Ok(())
    }

    pub(super) fn breaks_before(&mut self, task: TaskId) -> bool {
        if self.breakpoints.is_empty() || self.passing == Some(task) {
            return false;
        }
        let Some(why) = breakpoints::before_step(&self.breakpoints, &self.tracer, task) else { return false };
        self.pause_by(why);
        self.passing = Some(task);
        true
    }

    pub(super) fn pause_by(&mut self, why: String) {
        self.paused_by = Some(why);
        self.mode = Mode::Paused;
        self.told = None;
    }

    /// Looks at what has been written since the last time: labels passed, breakpoints reached.
    pub(super) fn after_step(&mut self) {
        let recorder = self.tracer.recorder();
        for event in recorder.untaken().iter().skip(self.looked_at) {
            match event.kind {
                Kind::Note { text, label: true } => {
                    self.labels.push((event.task, recorder.names().get(text).to_owned()));
                }
                Kind::Signal { phase: Phase::Returned, .. } if self.serial => {
                    self.labels.push((event.task, RETURNED.to_owned()));
                }
                _ => {}
            }
        }
        if !self.breakpoints.is_empty()
            && let Some(why) = breakpoints::after_events(&self.breakpoints, &self.tracer, self.looked_at)
        {
            self.pause_by(why);
        }
        self.looked_at = self.tracer.recorder().untaken().len();
    }

    /// Returns whether something was done about it.
    pub(super) fn nobody_is_ready(&mut self) -> sys::Result<bool> {
        let anybody_wakes = || self.tracer.sleeping().iter().any(|tid| self.tracer.is_waking(*tid));
        // What was written into a terminal may be on its way still.
        if !self.tracer.moving().is_empty()
            || anybody_wakes()
            || (self.tracer.deliver_to_terminals() && anybody_wakes())
            || self.kernel_delivers()
        {
            return self.wait_for_anything(Some(Instant::now() + FLUSH)).map(|()| false);
        }
        if self.type_next()? {
            return Ok(true);
        }
        if self.tracer.next_due().is_some() {
            self.scheduler.clock_moves();
            return self.move_clock().map(|()| true);
        }
        if self.is_up_to_the_user() || self.leave_terminal()? {
            return Ok(true);
        }
        if self.scenario && !self.typing.is_attended(&self.tracer) && !self.waits_for_outside() {
            self.ending = Some(Outcome::Stuck);
            return Ok(true);
        }
        if (self.serial || self.stop_when_stuck) && !self.scenario && self.is_stuck() {
            self.ending = Some(Outcome::Stuck);
            return Ok(true);
        }
        let world = self.tracer.world();
        let retries = world.living().any(|it| matches!(it.state, State::Blocked(it) if connects_again(world, it)));
        if self.scenario && retries && !std::mem::replace(&mut self.told_retry, true) {
            let text = "the kernel asks for a connection again after some time of its own; the run waits for it";
            self.tracer.recorder_mut().note(TaskId::LAB, text);
        }
        // It may last: whoever looks on has to know by then what has happened.
        self.tell(true);
        let deadline = self.deadline();
        self.wait_for_anything(deadline).map(|()| false)
    }

    /// Whether the kernel is still bringing a scenario's process what was sent to it: time must not pass, and
    /// nobody is stuck, before it has.
    fn kernel_delivers(&self) -> bool {
        let world = self.tracer.world();
        self.scenario && world.living().any(|task| self.tracer.is_actor(task.id) && world.is_under_way(task))
    }

    /// The same, or that a pipe has ended: what a step waits for, for a while.
    pub(super) fn something_comes(&self) -> bool {
        let world = self.tracer.world();
        let ends = || world.living().any(|task| self.tracer.is_actor(task.id) && world.is_about_to_end(task));
        self.kernel_delivers() || (self.scenario && ends())
    }

    fn move_clock(&mut self) -> sys::Result<()> {
        self.tracer.advance_clock()?;
        self.settle()?;
        self.look_for_stuck();
        self.after_step();
        Ok(())
    }

    /// Whether some task sleeps until real time has passed, or until somebody outside acts.
    pub(super) fn waits_for_outside(&self) -> bool {
        let world = self.tracer.world();
        self.tracer.waits_for_real_time()
            || world.living().any(|task| match task.state {
                State::Blocked(blocked) if connects_again(world, blocked) => true,
                State::Blocked(blocked) => {
                    let foreign = !self.tracer.is_actor(task.id);
                    foreign && matches!(blocked.why, Why::Time | Why::Poll | Why::Other | Why::Lock)
                }
                _ => false,
            })
    }
}

/// Whether a task waits for a connection that the kernel will ask for again by itself (tcp(7),
/// `tcp_syn_retries`), and that there is room for by now. Where there is none, nothing will come of asking.
fn connects_again(world: &World, blocked: Blocked) -> bool {
    let listener = blocked.channel.and_then(|channel| world.channel(channel));
    let Some(listener) = listener.filter(|it| blocked.why == Why::Backlog && it.kind == ChannelKind::Tcp) else {
        return false;
    };
    let waiting = listener.socket.as_ref().map_or(0, |socket| socket.waiting.len());
    listener.alive && listener.backlog().is_some_and(|backlog| waiting <= backlog as usize)
}

/// The tasks as the scheduler sees them.
pub(super) struct Bystanders<'a> {
    pub(super) tracer: &'a Tracer,
    pub(super) labels: &'a [(TaskId, String)],
}

impl Tasks for Bystanders<'_> {
    fn find(&self, name: &str) -> Option<TaskId> {
        let names = self.tracer.recorder().names();
        let fits = |full: &str| full == name || full.rsplit('.').next() == Some(name);
        self.tracer.world().living().find(|task| fits(names.get(task.name))).map(|task| task.id)
    }

    fn reached(&self, task: TaskId, word: &str, begun: bool) -> bool {
        // Who stands before a phase of a signal when the turn begins has reached it.
        if self.tracer.next_phase(task).as_deref() == Some(word) {
            return true;
        }
        begun
            && (self.tracer.next_word(task).as_deref() == Some(word)
                || self.labels.iter().any(|(passed, label)| *passed == task && label == word))
    }

    fn clock_can_move(&self) -> bool {
        self.tracer.next_due().is_some()
    }
}
