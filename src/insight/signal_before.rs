//! A signal that came before the handler that it was meant for (sigaction(2)): its default action has ended the
//! process, or it was ignored.
//!
//! That somebody meant to handle it is not in the log of a process that is dead. It is known where the same code
//! sets a handler in another process, or where the sender waits for an answer to the end; else it is a note.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::process_of;
use super::{Finding, Rule, name};
use crate::model::{
    Blocked, Disposition, Ended, Event, How, Kind, Names, Phase, Signal, State, Status, TaskId, Weight, Why, World,
};

/// `SIGUSR1` and `SIGUSR2` of signal(7): the same on every architecture that the lab knows.
const SIGUSR1: i32 = 10;
const SIGUSR2: i32 = 12;

/// A signal was delivered before its handler was set.
#[derive(Debug, Default)]
pub(super) struct SignalBeforeHandler {
    /// The process whose code a process runs: the first that was forked, or that has loaded a program.
    code: BTreeMap<TaskId, TaskId>,
    /// For which signals some process of a code has set a handler.
    handled: BTreeSet<(TaskId, Signal)>,
    /// For which a process has.
    own: BTreeSet<(TaskId, Signal)>,
    /// Who was ended by which signal of whom.
    deaths: BTreeMap<TaskId, (Signal, TaskId)>,
    /// Signals that were ignored.
    ignored: BTreeMap<(TaskId, Signal), Option<TaskId>>,
    /// Of these the ones for which a handler was set afterwards, and which have not come again.
    late: BTreeMap<(TaskId, Signal), Option<TaskId>>,
}

/// Whether nobody sends the signal to end somebody.
fn is_a_message(signal: Signal) -> bool {
    matches!(signal.number(), SIGUSR1 | SIGUSR2) || signal.is_realtime()
}

/// Whether a process waits for a signal.
fn waits_for_signal(process: TaskId, world: &World) -> bool {
    world
        .living()
        .any(|task| task.process == process && matches!(task.state, State::Blocked(Blocked { why: Why::Signal, .. })))
}

impl SignalBeforeHandler {
    fn code_of(&self, process: TaskId) -> TaskId {
        self.code.get(&process).copied().unwrap_or(process)
    }

    fn report(&mut self, process: TaskId, weight: Weight, world: &World, names: &Names) -> Option<Finding> {
        let (signal, from) = self.deaths.remove(&process)?;
        let (who, by) = (name(process, world, names), name(from, world, names));
        let text = format!(
            "{who} was ended by {signal} from {by} before it had set a handler for it: set the handler before the fork \
             (sigaction(2)), or block {signal} until it is set (sigprocmask(2)), or let {by} wait until {who} says \
             that it is ready"
        );
        let tasks = vec![process, from];
        Some(Finding { rule: "signal-before-handler", weight, text, tasks, channels: Vec::new() })
    }

    fn handler_set(&mut self, process: TaskId, signal: Signal, world: &World, names: &Names) -> Vec<Finding> {
        self.own.insert((process, signal));
        let code = self.code_of(process);
        if let Some(from) = self.ignored.remove(&(process, signal)) {
            self.late.insert((process, signal), from);
        }
        if !self.handled.insert((code, signal)) {
            return Vec::new();
        }
        let dead: Vec<TaskId> =
            self.deaths.iter().filter(|(_, (it, _))| *it == signal).map(|(dead, _)| *dead).collect();
        let same = dead.into_iter().filter(|dead| self.code_of(*dead) == code).collect::<Vec<_>>();
        same.into_iter().filter_map(|dead| self.report(dead, Weight::Fault, world, names)).collect()
    }
}

impl Rule for SignalBeforeHandler {
    fn name(&self) -> &'static str {
        "signal-before-handler"
    }

    fn about(&self) -> &'static str {
        "A signal was delivered before the process had set the handler for it."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Spawn { child, how, .. } if how != How::Thread => {
                let maker = process_of(event.task, world);
                if maker != TaskId::LAB {
                    self.code.insert(child, self.code_of(maker));
                    let own: Vec<_> =
                        self.own.range((maker, Signal::HUP)..).take_while(|(it, _)| *it == maker).collect();
                    let own: Vec<_> = own.into_iter().map(|(_, signal)| (child, *signal)).collect();
                    self.own.extend(own);
                }
            }
            Kind::Exec { .. } if !event.failed() => {
                let process = process_of(event.task, world);
                self.code.insert(process, process);
                self.own.retain(|(it, _)| *it != process);
            }
            Kind::Action { signal, disposition: Disposition::Handler, .. } if !event.failed() => {
                findings.extend(self.handler_set(process_of(event.task, world), signal, world, names));
            }
            Kind::Signal { phase: Phase::Default, signal, from: Some(from), .. } if is_a_message(signal) => {
                let (process, from) = (process_of(event.task, world), process_of(from, world));
                if from != process && from != TaskId::LAB && !self.own.contains(&(process, signal)) {
                    self.deaths.insert(process, (signal, from));
                }
            }
            Kind::Signal { phase: Phase::Ignored, signal, from, .. } => {
                let process = process_of(event.task, world);
                if !self.own.contains(&(process, signal)) {
                    self.ignored.insert((process, signal), from);
                }
            }
            Kind::Signal { phase: Phase::Handler | Phase::Accepted, signal, .. } if !self.late.is_empty() => {
                self.late.remove(&(process_of(event.task, world), signal));
            }
            Kind::Exit { status } => {
                let process = process_of(event.task, world);
                let killed = |by: Signal| matches!(status, Status::Signal { signal, .. } if signal == by);
                self.late.retain(|(it, _), _| *it != process);
                self.ignored.retain(|(it, _), _| *it != process);
                match self.deaths.get(&process).copied() {
                    Some((signal, _)) if !killed(signal) => {
                        self.deaths.remove(&process);
                    }
                    Some((signal, _)) if self.handled.contains(&(self.code_of(process), signal)) => {
                        findings.extend(self.report(process, Weight::Fault, world, names));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, _: Ended, findings: &mut Vec<Finding>) {
        for (dead, (_, from)) in self.deaths.clone() {
            let weight = if waits_for_signal(from, world) { Weight::Fault } else { Weight::Note };
            findings.extend(self.report(dead, weight, world, names));
        }
        for ((process, signal), from) in std::mem::take(&mut self.late) {
            // A child that was waited for, or a signal that nobody sends on purpose, is not missed.
            let missed = match from {
                Some(child) if signal == Signal::CHLD => {
                    world.task(child).is_some_and(|child| child.state == State::Zombie && child.parent == process)
                }
                from => from.is_some() && is_a_message(signal),
            };
            if !missed || !waits_for_signal(process, world) {
                continue;
            }
            let who = name(process, world, names);
            let by = from.map_or_else(String::new, |from| format!(" from {}", name(from, world, names)));
            let text = format!(
                "{who} still waits for a signal at the end of the run, but {signal}{by} came while it was ignored, \
                 before its handler was set: set the handler first (sigaction(2)), before anybody can send {signal}"
            );
            let mut tasks = vec![process];
            tasks.extend(from);
            findings.push(Finding { rule: self.name(), weight: Weight::Fault, text, tasks, channels: Vec::new() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<(Weight, String)> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "signal-before-handler");
        findings.map(|it| (it.weight, it.text)).collect()
    }

    fn usr1() -> Signal {
        Signal::new(SIGUSR1).expect("a signal")
    }

    fn killed() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "child");
        sketch.signal("child", Phase::Default, usr1(), Some("parent")).killed("child", usr1());
        sketch
    }

    #[test]
    fn the_same_code_handles_it_elsewhere() {
        let mut sketch = killed();
        sketch.fork("parent", "other").action("other", usr1(), Disposition::Handler).exit("other", 0).exit("parent", 0);
        let texts = found(&mut sketch);
        assert_eq!(texts.len(), 1);
        assert_eq!(texts[0].0, Weight::Fault);
        assert!(texts[0].1.starts_with("child was ended by SIGUSR1 from parent before it had set a handler"));
    }

    #[test]
    fn the_sender_waits_for_an_answer() {
        let mut sketch = killed();
        sketch.block("parent", "pause", Why::Signal);
        assert_eq!(found(&mut sketch)[0].0, Weight::Fault);
    }

    #[test]
    fn it_may_have_been_meant_to_end_it() {
        let mut sketch = killed();
        sketch.reap("parent", "child").exit("parent", 0);
        assert_eq!(found(&mut sketch)[0].0, Weight::Note);
    }

    #[test]
    fn ignored_before_the_handler_was_set() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "child").exit("child", 0);
        sketch.signal("parent", Phase::Ignored, Signal::CHLD, Some("child"));
        sketch.action("parent", Signal::CHLD, Disposition::Handler).block("parent", "pause", Why::Signal);
        let texts = found(&mut sketch);
        assert_eq!(texts.len(), 1);
        assert!(
            texts[0]
                .1
                .starts_with("parent still waits for a signal at the end of the run, but SIGCHLD from child came")
        );
        sketch.unblock("parent").signal("parent", Phase::Handler, Signal::CHLD, None).block(
            "parent",
            "pause",
            Why::Signal,
        );
        assert_eq!(found(&mut sketch), [], "it came again");
    }
}
