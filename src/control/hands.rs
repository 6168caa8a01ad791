//! What the user does by hand: signals sent, suppressed and replaced, tasks held.
//!
//! All of it is done while everybody stands still, so that the log can say what came of it; then the run
//! goes on as it did.

use super::engine::Engine;
use super::{Answer, Hand, To};
use crate::model::{Hold, Pending, Signal, State, TaskId};
use crate::sys;

/// How many receivers an answer names.
const NAMED: usize = 4;

impl Engine {
    /// Does it, lets what it wakes come to rest, and answers.
    pub(super) fn by_hand(&mut self, hand: Hand) -> sys::Result<()> {
        self.stop_everybody()?;
        let text = match hand {
            Hand::Send { signal, to, value } => self.send_by_hand(signal, to, value),
            Hand::Suppress(task) => self.suppress(task)?,
            Hand::Replace(task, by) => self.replace(task, by)?,
            Hand::Hold(task, hold) => self.hold(task, hold),
            Hand::Ask(task) => self.ask(task)?,
        };
        self.settle()?;
        self.after_step();
        self.say(text);
        // The run may be over now.
        self.tell(true);
        Ok(())
    }

    /// Answers the user.
    pub(super) fn say(&mut self, text: String) {
        let number = self.answer.as_ref().map_or(0, |answer| answer.number + 1);
        self.answer = Some(Answer { number, text });
        self.told = None;
    }

    /// The user has done something that a schedule has no words for. What is held is not among that: the
    /// steps that others took meanwhile are in the schedule.
    pub(super) fn not_in_schedule(&mut self, what: &'static str) {
        if !self.unscheduled.contains(&what) {
            self.unscheduled.push(what);
        }
    }

    fn send_by_hand(&mut self, signal: Option<Signal>, to: To, value: Option<i32>) -> String {
        let (alone, receivers) = match to {
            To::Thread(task) => (true, vec![task]),
            To::Process(task) => (false, vec![self.process(task)]),
            To::Group(task) => (false, self.group(task)),
            To::All => (false, self.processes(|_| true)),
        };
        let mut sent = Vec::new();
        let mut refused = Vec::new();
        for task in receivers {
            match self.tracer.send_by_hand(task, alone, signal, value) {
                Ok(()) => sent.push(self.short(task)),
                Err(error) if error.is_gone() => refused.push(self.gone(task)),
                Err(error) => refused.push(format!("not sent: {error}")),
            }
        }
        if signal.is_some() && !sent.is_empty() {
            self.not_in_schedule("a signal sent");
        }
        let done = match (signal, sent.len()) {
            (_, 0) if refused.is_empty() => Some("there is nobody to send to".to_owned()),
            (_, 0) => None,
            (None, _) => Some(format!("a signal could be sent to {}", list(&sent))),
            (Some(signal), _) => Some(format!("you sent {signal} to {}{}", list(&sent), rule(signal))),
        };
        let texts: Vec<String> = done.into_iter().chain(refused.into_iter().take(NAMED)).collect();
        texts.join("; ")
    }

    fn suppress(&mut self, task: TaskId) -> sys::Result<String> {
        let name = self.short(task);
        let Some(stopped) = self.tracer.suppress(task)? else { return Ok(self.takes_none(task)) };
        self.not_in_schedule("a signal suppressed");
        let signal = stopped.signal;
        Ok(match (stopped.again, signal) {
            (_, Signal::CONT) => {
                format!("SIGCONT suppressed: {name} goes on all the same, because SIGCONT wakes when it is sent")
            }
            (Some(call), _) => format!("{signal} suppressed: {name} makes {call} again, as the kernel decides"),
            (None, _) => format!("{signal} suppressed: {name} goes on without it"),
        })
    }

    fn replace(&mut self, task: TaskId, by: Signal) -> sys::Result<String> {
        let name = self.short(task);
        let Some(stopped) = self.tracer.replace(task, by)? else { return Ok(self.takes_none(task)) };
        let signal = stopped.signal;
        if by != signal {
            self.not_in_schedule("a signal replaced");
        }
        Ok(match self.tracer.about_to_take(task) {
            Some(next) if next == signal => format!("{name} is about to be delivered {signal} already"),
            Some(next) => format!("{signal} replaced: {name} is about to be delivered {next}"),
            None => format!("{signal} replaced: {by} is blocked or ignored by {name}, which goes on"),
        })
    }

    fn ask(&self, task: TaskId) -> sys::Result<String> {
        let name = self.short(task);
        if !self.is_alive(task) {
            return Ok(self.gone(task));
        }
        let compared = match self.tracer.compare_queues(task) {
            Err(error) if error.is_gone() => return Ok(format!("{name} has just been killed")),
            compared => compared?,
        };
        let Some((known, queued)) = compared else {
            return Ok(format!("{name} is in a call: the kernel tells only of a stopped task what is queued"));
        };
        if known == queued {
            return Ok(format!("the kernel has the same {} in the queues of {name}", known.len()));
        }
        let text = |list: &[Pending]| -> Vec<String> {
            list.iter().map(|it| format!("{} code {} value {}", it.signal, it.code, it.value)).collect()
        };
        let (known, queued) = (list(&text(&known)), list(&text(&queued)));
        Ok(format!("the kernel has something else in the queues of {name}: {queued}; the log has: {known}"))
    }

    fn hold(&mut self, task: TaskId, hold: Hold) -> String {
        let name = self.short(task);
        if self.tracer.rest(task).is_none() && !self.is_alive(task) {
            return self.gone(task);
        }
        match (self.tracer.hold(task, hold), hold) {
            (false, Hold::Nothing) => format!("you do not hold {name}"),
            (false, _) => format!("you hold {name} already"),
            (true, Hold::Nothing) => format!("{name} goes on"),
            (true, Hold::Steps) => format!("you hold {name}: it takes no step until you release it, SIGKILL apart"),
            (true, Hold::Deliveries) => {
                format!("you hold {name} before deliveries: it stops before it takes a signal, SIGKILL apart")
            }
        }
    }

    /// Whether nobody can move but those that the user holds; then the run pauses, and says so.
    pub(super) fn is_up_to_the_user(&mut self) -> bool {
        let held = self.tracer.held_back();
        if held.is_empty() || (!self.scenario && self.waits_for_outside()) {
            return false;
        }
        let names: Vec<String> = held.into_iter().map(|task| self.short(task)).collect();
        let text = format!("nobody else can move, and you hold {}: H releases, S steps one task", list(&names));
        self.pause_by(text.clone());
        self.say(text);
        true
    }

    fn takes_none(&self, task: TaskId) -> String {
        if !self.is_alive(task) {
            return self.gone(task);
        }
        let name = self.short(task);
        format!("{name} is not about to be delivered a signal; \"break {name} signal delivered\" stops there")
    }

    /// Why a task gets no signal any more.
    fn gone(&self, task: TaskId) -> String {
        let name = self.short(task);
        match self.tracer.world().task(task).map(|task| task.state) {
            Some(State::Zombie) => format!("{name} has ended: a zombie takes no signals"),
            _ => format!("{name} is gone: its PID may be somebody else's by now, so nothing was sent"),
        }
    }

    fn is_alive(&self, task: TaskId) -> bool {
        task != TaskId::LAB && self.tracer.world().task(task).is_some_and(crate::model::Task::is_alive)
    }

    fn process(&self, task: TaskId) -> TaskId {
        self.tracer.world().task(task).map_or(task, |task| task.process)
    }

    fn group(&self, task: TaskId) -> Vec<TaskId> {
        let Some(pgid) = self.tracer.world().task(task).map(|task| task.pgid) else { return Vec::new() };
        self.processes(|task| task.pgid == pgid)
    }

    /// The processes of the run that fit and have not ended, in the order of their birth.
    fn processes(&self, fits: impl Fn(&crate::model::Task) -> bool) -> Vec<TaskId> {
        let living = self.tracer.world().living();
        living.filter(|task| task.is_process() && fits(task)).map(|task| task.id).collect()
    }

    fn short(&self, task: TaskId) -> String {
        let name = self.name(task);
        if self.scenario { name.rsplit('.').next().unwrap_or(&name).to_owned() } else { name }
    }
}

/// What the kernel does not let anybody change about a signal (signal(7)).
const fn rule(signal: Signal) -> &'static str {
    match signal {
        Signal::KILL => ": it cannot be caught, blocked, held or suppressed",
        Signal::STOP => ": it cannot be caught or blocked, only suppressed here",
        Signal::CONT => ": who is stopped goes on now, before it is delivered",
        _ => "",
    }
}

fn list(names: &[String]) -> String {
    match names.len() {
        0..=NAMED => names.join(", "),
        more => format!("{} and {} more", names[..NAMED].join(", "), more - NAMED),
    }
}
