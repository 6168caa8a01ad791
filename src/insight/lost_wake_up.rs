//! A signal that came before the wait that it should have ended (pause(2), sigsuspend(2)).

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule, name};
use crate::model::{Ended, Event, Kind, Names, Phase, Signal, State, TaskId, Weight, Why, World};

/// A task sleeps for ever in a wait for signals, and the last thing before was the handler of one.
///
/// A handler that has ended a wait is no evidence: that is what waits are for. One that ran between two
/// calls, the second of which is the wait, has come after whatever the program looked at before it
/// decided to wait. What a task sends to itself is meant to run where it does.
#[derive(Debug, Default)]
pub(super) struct LostWakeUp {
    /// Who sleeps, or has just been woken from, a wait for signals.
    waiting: BTreeSet<TaskId>,
    /// Whose handler has run outside of a wait, for which signal, and nothing has been called since.
    ran: BTreeMap<TaskId, Signal>,
    /// Who has gone to sleep so: in which call.
    asleep: BTreeMap<TaskId, (Signal, &'static str)>,
}

/// The calls that sleep until a handler has run.
fn wait_call(names: &Names, event: &Event) -> Option<&'static str> {
    match names.get(event.call?) {
        "pause" => Some("pause"),
        "rt_sigsuspend" => Some("sigsuspend"),
        _ => None,
    }
}

impl LostWakeUp {
    fn slept(&mut self, event: &Event, world: &World, names: &Names) {
        let Some(call) = wait_call(names, event) else { return };
        self.waiting.insert(event.task);
        let in_handler = world.task(event.task).is_some_and(|task| !task.handling.is_empty());
        if let Some(signal) = self.ran.remove(&event.task).filter(|_| !in_handler) {
            self.asleep.insert(event.task, (signal, call));
        }
    }

    fn signal(&mut self, event: &Event) {
        let Kind::Signal { phase, signal, from, .. } = event.kind else { return };
        if phase != Phase::Handler {
            return;
        }
        self.asleep.remove(&event.task);
        if self.waiting.remove(&event.task) || from == Some(event.task) {
            self.ran.remove(&event.task);
        } else {
            self.ran.insert(event.task, signal);
        }
    }
}

impl Rule for LostWakeUp {
    fn name(&self) -> &'static str {
        "lost-wake-up"
    }

    fn about(&self) -> &'static str {
        "A process waits for a signal that has already been delivered: its handler ran before the wait began."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, _: &mut Vec<Finding>) {
        match event.kind {
            Kind::Signal { .. } => self.signal(event),
            Kind::Block { why: Why::Signal, .. } => self.slept(event, world, names),
            // A wait that found a signal pending ends without a sleep.
            Kind::Syscall { .. } if event.failed() && wait_call(names, event).is_some() => {
                self.waiting.insert(event.task);
                self.ran.remove(&event.task);
            }
            Kind::Exec { .. } | Kind::Exit { .. } => {
                self.asleep.remove(&event.task);
                self.ran.remove(&event.task);
                self.waiting.remove(&event.task);
            }
            // What the mask is set to belongs to the wait, and what a handler has interrupted was before it.
            Kind::Mask { .. }
            | Kind::Interrupted { .. }
            | Kind::Block { why: Why::Barrier, .. }
            | Kind::Unblock { .. } => {}
            _ if self.ran.is_empty() || event.call.is_none() => {}
            _ => {
                if world.task(event.task).is_some_and(|task| task.handling.is_empty()) {
                    self.ran.remove(&event.task);
                    self.waiting.remove(&event.task);
                }
            }
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        // What goes on might still have sent another.
        let alone = |id| world.living().all(|task| task.id == id) && !world.will_be_interrupted(id);
        for (id, (signal, call)) in std::mem::take(&mut self.asleep) {
            if ended == Ended::Cut && !alone(id) {
                continue;
            }
            let still =
                world.task(id).is_some_and(|task| matches!(task.state, State::Blocked(it) if it.why == Why::Signal));
            if !still {
                continue;
            }
            let who = name(id, world, names);
            let text = format!(
                "{who} sleeps in {call} for a signal that has already been delivered: the handler of {signal} ran just before \
                 {call} began, so nothing wakes it; block {signal} before testing whether to wait, and wait with \
                 sigsuspend(2), which unblocks it and sleeps in one step"
            );
            findings.push(Finding {
                rule: "lost-wake-up",
                weight: Weight::Fault,
                text,
                tasks: vec![id],
                channels: Vec::new(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<String> {
        replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "lost-wake-up").map(|it| it.text).collect()
    }

    fn handled(sketch: &mut Sketch, from: Option<&str>) {
        for phase in [Phase::Generated, Phase::Delivered, Phase::Handler, Phase::Returned] {
            sketch.signal("child", phase, Signal::HUP, from);
        }
    }

    fn two() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "child");
        sketch
    }

    #[test]
    fn a_handler_right_before_the_pause() {
        let mut sketch = two();
        handled(&mut sketch, Some("parent"));
        sketch.line("child", 3, "pause").block("child", "pause", Why::Signal);
        assert_eq!(found(&mut sketch), [""; 0], "it might have gone on");
        let texts = found(sketch.ended(Ended::Stuck));
        assert_eq!(texts.len(), 1);
        assert!(texts[0].starts_with(
            "child sleeps in pause for a signal that has already been delivered: the handler of SIGHUP ran just before"
        ));
    }

    #[test]
    fn waits_that_are_all_right() {
        let mut sketch = two();
        sketch.block("child", "pause", Why::Signal).unblock("child");
        handled(&mut sketch, Some("parent"));
        sketch.block("child", "pause", Why::Signal);
        assert_eq!(found(&mut sketch), [""; 0], "a loop around a pause");

        let mut sketch = two();
        handled(&mut sketch, Some("parent"));
        sketch.syscall("child", "getpid", 3, "").block("child", "pause", Why::Signal);
        assert_eq!(found(&mut sketch), [""; 0], "something was done in between");

        let mut sketch = two();
        handled(&mut sketch, Some("child"));
        sketch.block("child", "pause", Why::Signal);
        assert_eq!(found(&mut sketch), [""; 0], "its own");

        let mut sketch = two();
        handled(&mut sketch, Some("parent"));
        sketch.block("child", "pause", Why::Signal).unblock("child").exit("child", 0);
        assert_eq!(found(&mut sketch), [""; 0], "it was woken after all");

        let mut sketch = two();
        sketch.syscall("child", "pause", -4, "");
        handled(&mut sketch, Some("parent"));
        sketch.block("child", "pause", Why::Signal);
        assert_eq!(found(&mut sketch), [""; 0], "it was pending when the first pause began");
    }
}
