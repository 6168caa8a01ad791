//! Process 1 of a PID namespace (pid_namespaces(7)): a signal that it does not handle is dropped, and orphans
//! become its children, which it has to wait for.

use std::collections::BTreeSet;

use super::lineage::Lineage;
use super::{Finding, Rule, listed, name};
use crate::model::{
    DefaultAction, Disposition, Ended, Event, Kind, Names, Phase, Signal, State, Task, TaskId, Weight, World,
};

/// Process 1 does not do what process 1 has to do.
#[derive(Debug, Default)]
pub(super) struct ProcessOne {
    lineage: Lineage,
    dropped: BTreeSet<(TaskId, Signal)>,
    told: bool,
}

/// Whether a task is process 1 of the run, and not the lab's own.
fn is_process_one(task: &Task) -> bool {
    task.pid == 1 && task.is_process() && task.id != TaskId::LAB
}

/// Its name, and what it runs by now if that is called otherwise.
fn called(id: TaskId, world: &World, names: &Names) -> String {
    let who = name(id, world, names);
    let program = world.task(id).and_then(|task| task.program).map(|path| names.get(path));
    let program = program.and_then(|path| path.rsplit('/').next());
    match program.filter(|program| *program != who) {
        Some(program) => format!("{program} (process 1, started as {who})"),
        None => format!("{who} (process 1)"),
    }
}

impl ProcessOne {
    fn dropped(
        &mut self,
        task: &Task,
        signal: Signal,
        from: Option<TaskId>,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        if !self.dropped.insert((task.id, signal)) {
            return None;
        }
        let by = from.map_or_else(|| "somebody outside".to_owned(), |from| name(from, world, names).to_owned());
        let who = called(task.id, world, names);
        let cure = if signal.is_catchable() {
            format!("let it handle {signal} (sigaction(2)), or start it under an init that passes signals on")
        } else {
            "send it from outside of its namespace, or end the namespace there".to_owned()
        };
        let text = format!(
            "{who} was sent {signal} by {by}, and the kernel discarded it: process 1 of a PID namespace gets only \
             signals that it has a handler for, and from outside of its namespace SIGKILL and SIGSTOP \
             (pid_namespaces(7)); {cure}"
        );
        let mut tasks = vec![task.id];
        tasks.extend(from);
        let weight = if from == Some(TaskId::LAB) { Weight::Note } else { Weight::Fault };
        Some(Finding { rule: self.name(), weight, text, tasks, channels: Vec::new() })
    }

    /// The orphans that it has left as zombies.
    fn unreaped(&mut self, one: &Task, world: &World, names: &Names) -> Option<Finding> {
        let adopted = |child: &&Task| {
            child.state == State::Zombie && self.lineage.maker(child.id).is_some_and(|maker| maker != one.id)
        };
        let zombies: Vec<TaskId> = world.children(one.id).filter(adopted).map(|child| child.id).collect();
        if zombies.is_empty() || std::mem::replace(&mut self.told, true) {
            return None;
        }
        let all: Vec<&str> = zombies.iter().map(|child| name(*child, world, names)).collect();
        let (stays, makers) =
            if all.len() == 1 { ("stays a zombie", "its maker") } else { ("stay zombies", "their makers") };
        let text = format!(
            "{} {stays}: {} has adopted {} when {makers} ended, and never waits for children that it did not make; call \
             waitpid(2) with -1 and WNOHANG until it returns 0 or fails with ECHILD, or start it under an init that reaps",
            listed(&all),
            called(one.id, world, names),
            if all.len() == 1 { "it" } else { "them" },
        );
        let mut tasks = vec![one.id];
        tasks.extend(zombies);
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks, channels: Vec::new() })
    }
}

impl Rule for ProcessOne {
    fn name(&self) -> &'static str {
        "process-one"
    }

    fn about(&self) -> &'static str {
        "Process 1 of a PID namespace was sent a signal that it has no handler for, or does not wait for orphans."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        self.lineage.observe(event, world);
        match event.kind {
            Kind::Signal { phase: Phase::Discarded, signal, from, .. } => {
                let process = super::lineage::process_of(event.task, world);
                let Some(task) = world.task(process).filter(|task| is_process_one(task) && task.is_alive()) else {
                    return;
                };
                let action = world.action(process, signal).map_or(Disposition::Default, |action| action.disposition);
                let would_end = matches!(signal.default_action(), DefaultAction::Terminate | DefaultAction::Core);
                if action == Disposition::Default && would_end {
                    findings.extend(self.dropped(task, signal, from, world, names));
                }
            }
            Kind::Exit { .. } => {
                let Some(task) = world.task(event.task).filter(|task| is_process_one(task)) else { return };
                findings.extend(self.unreaped(task, world, names));
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        if ended == Ended::Stuck
            && let Some(task) = world.living().find(|task| is_process_one(task))
        {
            findings.extend(self.unreaped(task, world, names));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Header, How, Shares};

    fn found(sketch: &mut Sketch) -> Vec<String> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "process-one");
        findings.map(|it| it.text).collect()
    }

    /// A run in which the program is process 1.
    fn sketch() -> Sketch {
        let mut sketch = Sketch::with(Header { lab: "proclab".into(), ..Header::default() });
        let name = sketch.intern("one");
        let (child, how, shares) = (TaskId::from_index(1), How::Fork, Shares::default());
        sketch.event("proclab", "", 0, Kind::Spawn { child, pid: 1, name, how, shares });
        sketch
    }

    #[test]
    fn a_signal_that_was_dropped() {
        let mut sketch = sketch();
        sketch.fork("one", "kill").signal("one", Phase::Generated, Signal::TERM, Some("kill"));
        sketch.signal("one", Phase::Discarded, Signal::TERM, Some("kill")).exit("one", 0);
        let texts = found(&mut sketch);
        assert_eq!(texts.len(), 1);
        assert!(texts[0].starts_with("one (process 1) was sent SIGTERM by kill, and the kernel discarded it"));
    }

    #[test]
    fn signals_that_undo_each_other_are_not_dropped() {
        let mut sketch = sketch();
        sketch.signal("one", Phase::Discarded, Signal::CONT, None).action("one", Signal::TERM, Disposition::Handler);
        sketch.signal("one", Phase::Discarded, Signal::TERM, None).exit("one", 0);
        assert_eq!(found(&mut sketch), [""; 0]);
    }

    #[test]
    fn orphans_that_nobody_waits_for() {
        let mut sketch = sketch();
        sketch.fork("one", "a").fork("a", "b").exit("a", 0).reparent("b", "one").reap("one", "a").exit("b", 0);
        sketch.exit("one", 0);
        let texts = found(&mut sketch);
        assert_eq!(texts.len(), 1);
        assert!(texts[0].starts_with("b stays a zombie: one (process 1) has adopted it when its maker ended"));
    }

    #[test]
    fn an_init_that_reaps() {
        let mut sketch = sketch();
        sketch.fork("one", "a").fork("a", "b").exit("a", 0).reparent("b", "one").reap("one", "a").exit("b", 0);
        sketch.reap("one", "b").exit("one", 0);
        assert_eq!(found(&mut sketch), [""; 0]);
    }
}
