//! A signal that came before the wait that it should have ended (pause(2), sigsuspend(2)).

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::process_of;
use super::{Finding, Rule, name};
use crate::model::{
    Ended, Event, Kind, MaskHow, Names, Phase, Signal, SignalSet, State, Task, TaskId, Weight, Why, World,
};

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
    /// Which signals of others each process has handled.
    handled: BTreeMap<TaskId, SignalSet>,
    /// Who has waited for signals with sigwait(3) before.
    waited: BTreeSet<TaskId>,
    /// Who sleeps in such a wait, and for which signals.
    in_sigwait: BTreeMap<TaskId, SignalSet>,
}

/// Signals that people send, with a key or with kill(1): who waits for one of these waits for them.
const BY_PEOPLE: [i32; 6] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP, libc::SIGCONT];

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

    fn signal(&mut self, event: &Event, world: &World) {
        let Kind::Signal { phase, signal, from, .. } = event.kind else { return };
        if phase != Phase::Handler {
            return;
        }
        let process = process_of(event.task, world);
        if from.is_some_and(|from| from != TaskId::LAB && process_of(from, world) != process) {
            let handled = self.handled.entry(process).or_default();
            *handled = handled.with(signal);
        }
        self.asleep.remove(&event.task);
        if self.waiting.remove(&event.task) || from == Some(event.task) {
            self.ran.remove(&event.task);
        } else {
            self.ran.insert(event.task, signal);
        }
    }
}

impl LostWakeUp {
    /// The set of a wait in sigwait(3) or sigwaitinfo(2) is what it unblocks.
    fn waits_for(&mut self, task: TaskId, set: SignalSet, world: &World) {
        let endless = |task: &Task| matches!(task.state, State::Blocked(it) if it.why == Why::Signal && !it.timeout);
        let first = self.waited.insert(process_of(task, world));
        if first && world.task(task).is_some_and(endless) {
            self.in_sigwait.insert(task, set);
        }
    }

    /// Of whom nobody is left who could send it the signals that it waits for: its handlers have taken them.
    fn taken_by_handler(&self, task: TaskId, set: SignalSet, world: &World, names: &Names) -> Option<Finding> {
        let still = |task: &Task| matches!(task.state, State::Blocked(it) if it.why == Why::Signal);
        let handled = self.handled.get(&process_of(task, world)).copied().unwrap_or_default();
        let by_people = |signal: Signal| BY_PEOPLE.contains(&signal.number());
        let taken = set.iter().next()?;
        if !set.iter().all(|signal| handled.contains(signal) && !by_people(signal))
            || !world.task(task).is_some_and(still)
        {
            return None;
        }
        let who = name(task, world, names);
        let text = format!(
            "{who} waits in sigwait for {taken}, which its handler took before the wait began, and nobody is left who \
             could send it again: block {taken} before anybody can send it (sigprocmask(2)), then it stays pending until \
             sigwait(3) takes it"
        );
        let (rule, weight) = ("lost-wake-up", Weight::Fault);
        Some(Finding { rule, weight, text, tasks: vec![task], channels: Vec::new() })
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
            Kind::Signal { .. } => self.signal(event, world),
            Kind::Mask { how: MaskHow::Unblock, set, .. }
                if event.call.is_some_and(|call| names.get(call) == "rt_sigtimedwait") =>
            {
                self.waits_for(event.task, set, world);
            }
            Kind::Block { why: Why::Signal, .. } => self.slept(event, world, names),
            // A wait that found a signal pending ends without a sleep.
            Kind::Syscall { .. } if event.failed() && wait_call(names, event).is_some() => {
                self.waiting.insert(event.task);
                self.ran.remove(&event.task);
            }
            Kind::Exec { .. } | Kind::Exit { .. } => {
                self.in_sigwait.remove(&event.task);
                self.handled.remove(&event.task);
                self.asleep.remove(&event.task);
                self.ran.remove(&event.task);
                self.waiting.remove(&event.task);
            }
            // What the mask is set to belongs to the wait, and what a handler has interrupted was before it.
            Kind::Mask { .. } | Kind::Interrupted { .. } | Kind::Block { why: Why::Barrier, .. } => {}
            Kind::Unblock { .. } => {
                self.in_sigwait.remove(&event.task);
            }
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
        for (id, set) in std::mem::take(&mut self.in_sigwait) {
            if alone(id) {
                findings.extend(self.taken_by_handler(id, set, world, names));
            }
        }
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

    fn sigwait(sketch: &mut Sketch, signal: Signal) -> Vec<String> {
        let set = SignalSet::EMPTY.with(signal);
        sketch.event("child", "rt_sigprocmask", 0, Kind::Mask { how: MaskHow::Block, set, blocked: set });
        sketch.block("child", "rt_sigtimedwait", Why::Signal);
        let kind = Kind::Mask { how: MaskHow::Unblock, set, blocked: SignalSet::EMPTY };
        found(sketch.event("child", "rt_sigtimedwait", 0, kind).ended(Ended::Cut))
    }

    #[test]
    fn a_handler_that_took_what_sigwait_waits_for() {
        let handled_by = |from, others_live: bool| {
            let mut sketch = two();
            handled(&mut sketch, from);
            if !others_live {
                sketch.exit("parent", 0);
            }
            sketch
        };
        let mut chld = two();
        for phase in [Phase::Generated, Phase::Delivered, Phase::Handler, Phase::Returned] {
            chld.signal("child", phase, Signal::CHLD, Some("parent"));
        }
        let texts = sigwait(chld.exit("parent", 0), Signal::CHLD);
        assert!(texts.len() == 1 && texts[0].starts_with("child waits in sigwait for SIGCHLD, which its handler took"));
        assert_eq!(sigwait(&mut handled_by(Some("parent"), true), Signal::HUP), [""; 0], "the parent may send another");
        assert_eq!(sigwait(&mut handled_by(Some("parent"), false), Signal::HUP), [""; 0], "and so may people");
        assert_eq!(sigwait(&mut handled_by(Some("child"), false), Signal::ALRM), [""; 0], "it is another signal");
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
