//! Signals that a program never gets because it was loaded with them blocked (execve(2): the mask is
//! kept).

use std::collections::BTreeMap;

use super::{Finding, Rule, name};
use crate::model::{
    DefaultAction, Disposition, Ended, Event, Kind, Names, Phase, Signal, SignalSet, TaskId, Weight, World,
};

/// A signal was sent to a program that inherited it blocked, has not touched its mask since, and never
/// took it.
#[derive(Debug, Default)]
pub(super) struct MaskInheritedOverExec {
    /// The signals that a program was loaded with blocked, and which of them are pending since.
    inherited: BTreeMap<TaskId, (SignalSet, Vec<Signal>)>,
}

/// Whether anything would happen if the signal were delivered.
fn acts(task: TaskId, signal: Signal, world: &World) -> bool {
    match world.action(task, signal).map_or(Disposition::Default, |action| action.disposition) {
        Disposition::Ignore => false,
        Disposition::Default => signal.default_action() != DefaultAction::Ignore,
        Disposition::Handler => true,
    }
}

impl MaskInheritedOverExec {
    fn report(&mut self, task: TaskId, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let Some((_, pending)) = self.inherited.remove(&task) else { return };
        for signal in pending {
            let who = name(task, world, names);
            let text = format!(
                "{who} was sent {signal} and never got it: {signal} was blocked when the program was loaded, and \
                 execve(2) keeps the mask; unblock it before the exec, or first thing after (sigprocmask(2))"
            );
            let rule = "mask-inherited-over-exec";
            findings.push(Finding { rule, weight: Weight::Fault, text, tasks: vec![task], channels: Vec::new() });
        }
    }
}

impl Rule for MaskInheritedOverExec {
    fn name(&self) -> &'static str {
        "mask-inherited-over-exec"
    }

    fn about(&self) -> &'static str {
        "A program was loaded with signals blocked and never gets one that was sent to it."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let task = event.task;
        match event.kind {
            Kind::Exec { .. } if !event.failed() => {
                self.inherited.remove(&task);
                let Some(known) = world.task(task) else { return };
                if !known.blocked.is_empty() {
                    self.inherited.insert(task, (known.blocked, Vec::new()));
                }
            }
            _ if self.inherited.is_empty() => {}
            // From here on the mask is the program's own.
            Kind::Mask { .. } => {
                self.inherited.remove(&task);
            }
            Kind::Signal { phase: Phase::Generated | Phase::Pending, signal, .. } => {
                let Some((blocked, pending)) = self.inherited.get_mut(&task) else { return };
                if blocked.contains(signal) && acts(task, signal, world) && !pending.contains(&signal) {
                    pending.push(signal);
                }
            }
            Kind::Signal { phase: Phase::Accepted | Phase::Delivered | Phase::Discarded, signal, .. } => {
                if let Some((_, pending)) = self.inherited.get_mut(&task) {
                    pending.retain(|other| *other != signal);
                }
            }
            Kind::Exit { .. } => self.report(task, world, names, findings),
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        // What goes on might still have done its part.
        if ended == Ended::Cut {
            return;
        }
        let mut tasks: Vec<TaskId> = self.inherited.keys().copied().collect();
        tasks.sort_unstable();
        for task in tasks {
            self.report(task, world, names, findings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::MaskHow;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<String> {
        let findings = replay(&sketch.log()).into_iter();
        findings.filter(|finding| finding.rule == "mask-inherited-over-exec").map(|it| it.text).collect()
    }

    fn mask(sketch: &mut Sketch, how: MaskHow, blocked: SignalSet) {
        sketch.event("child", "rt_sigprocmask", 0, Kind::Mask { how, set: blocked, blocked });
    }

    fn loaded(blocked: SignalSet) -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "child");
        mask(&mut sketch, MaskHow::Block, blocked);
        let (path, argv, name) = (sketch.intern("/bin/x"), sketch.keep(b"x\0"), sketch.intern("child"));
        sketch.event("child", "execve", 0, Kind::Exec { path, argv, name });
        sketch
    }

    #[test]
    fn a_signal_that_never_comes() {
        let mut sketch = loaded(SignalSet::EMPTY.with(Signal::TERM));
        sketch.signal("child", Phase::Generated, Signal::TERM, Some("parent"));
        sketch.signal("child", Phase::Pending, Signal::TERM, Some("parent")).exit("child", 0);
        let texts = found(&mut sketch);
        assert_eq!(texts.len(), 1);
        assert!(texts[0].starts_with("child was sent SIGTERM and never got it: SIGTERM was blocked when"));
    }

    #[test]
    fn masks_that_do_no_harm() {
        let blocked = SignalSet::EMPTY.with(Signal::TERM).with(Signal::CHLD);
        let mut sketch = loaded(blocked);
        mask(&mut sketch, MaskHow::Set, blocked);
        sketch.signal("child", Phase::Generated, Signal::TERM, Some("parent")).exit("child", 0);
        assert_eq!(found(&mut sketch), [""; 0], "the program wants it so");

        let mut sketch = loaded(blocked);
        sketch.signal("child", Phase::Generated, Signal::CHLD, None).exit("child", 0);
        assert_eq!(found(&mut sketch), [""; 0], "it would be ignored");

        let mut sketch = loaded(blocked);
        sketch.signal("child", Phase::Generated, Signal::TERM, Some("parent"));
        sketch.signal("child", Phase::Accepted, Signal::TERM, Some("parent")).exit("child", 0);
        assert_eq!(found(&mut sketch), [""; 0], "it was taken");
    }
}
