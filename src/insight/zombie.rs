//! Children that ended and were not waited for (wait(2), "NOTES").

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule, all_blocked, name};
use crate::model::{
    Blocked, ChannelKind, Disposition, Ended, Event, Kind, Names, Phase, Signal, State, Status, Task, TaskId, Weight,
    Why, World,
};

/// A dead child stays unreaped. As long as its parent can still wait for it that is worth a note; it is wrong when the
/// parent ends by itself without having done so, or the run is over. Who is killed cannot tidy up, nor can who waits for
/// its children and ends before it comes to this one.
#[derive(Debug, Default)]
pub(super) struct Zombie {
    told: BTreeSet<(TaskId, Weight)>,
    /// What is known of processes that handle SIGCHLD.
    handling: BTreeMap<TaskId, Handling>,
    /// Who has waited for a child, or begun to.
    waits: BTreeSet<TaskId>,
    /// By process: the children that have ended while it has called nothing since.
    unseen: BTreeMap<TaskId, BTreeSet<TaskId>>,
}

/// A process with a handler for SIGCHLD, since it was loaded.
#[derive(Debug, Clone, Copy, Default)]
struct Handling {
    /// How many children have ended.
    ended: usize,
    /// How often the handler has run.
    runs: usize,
    /// Whether it waits in the handler.
    reaps: bool,
}

impl Zombie {
    fn report(
        &mut self,
        weight: Weight,
        parent: TaskId,
        world: &World,
        names: &Names,
        why: impl Fn(&str, &str) -> String,
    ) -> Vec<Finding> {
        let zombies: Vec<_> = world
            .children(parent)
            .filter(|child| child.state == State::Zombie)
            .map(|child| (child.id, child.status))
            .collect();
        let mut findings = Vec::new();
        for (child, status) in zombies {
            if self.told.contains(&(child, Weight::Fault)) || !self.told.insert((child, weight)) {
                continue;
            }
            let child_name = format!("{}{}", name(child, world, names), ending(status));
            let parent_name = name(parent, world, names);
            let text = self.merged(parent, world).map_or_else(
                || why(parent_name, &child_name),
                |merged| {
                    format!("{child_name} stays a zombie: {parent_name} waits in its handler of SIGCHLD, {merged}")
                },
            );
            findings.push(Finding { rule: "zombie", weight, text, tasks: vec![parent, child], channels: Vec::new() });
        }
        findings
    }
}

impl Zombie {
    /// A process that makes a call could have waited instead; the return from a handler and the end are no choice.
    fn calls(&mut self, event: &Event, world: &World, names: &Names) {
        let chosen = event.call.is_some_and(|call| names.get(call) != "rt_sigreturn");
        if chosen && !matches!(event.kind, Kind::Exit { .. } | Kind::Unblock { .. } | Kind::Signal { .. }) {
            let process = world.task(event.task).map_or(event.task, |task| task.process);
            self.unseen.remove(&process);
        }
    }

    /// Whether fewer signals came than children have ended, in words, and what to do about it.
    fn merged(&self, parent: TaskId, world: &World) -> Option<String> {
        let Handling { ended, runs, reaps } = *self.handling.get(&parent)?;
        (reaps && runs < ended && handles(parent, world)).then(|| {
            let times = if runs == 1 { "once".to_owned() } else { format!("{runs} times") };
            format!(
                "which ran {times} while {ended} children ended, because a signal that is pending already is not \
                 queued again; there, call waitpid(2) with WNOHANG until it returns 0 or fails with ECHILD"
            )
        })
    }
}

fn handles(process: TaskId, world: &World) -> bool {
    world.action(process, Signal::CHLD).is_some_and(|it| it.disposition == Disposition::Handler)
}

fn ending(status: Option<Status>) -> String {
    match status {
        Some(Status::Code(code)) => format!(" (exit status {code})"),
        Some(Status::Signal { signal, .. }) => format!(" (killed by {signal})"),
        None => String::new(),
    }
}

/// Whether a process waits for what another one must do.
fn is_held_up(process: TaskId, world: &World) -> bool {
    let by_others = |task: &Task| match task.state {
        State::Blocked(Blocked { why, .. }) => !matches!(why, Why::Signal | Why::Time),
        _ => false,
    };
    all_blocked(process, world) && world.living().any(|task| task.process == process && by_others(task))
}

/// Whether the process of `task` sleeps in something that has nothing to do with its children.
fn sleeps_elsewhere(task: &Task, world: &World) -> bool {
    let State::Blocked(blocked) = task.state else { return false };
    let waits = |task: &Task| matches!(task.state, State::Blocked(Blocked { why: Why::Child | Why::Vfork, .. }));
    let learns_otherwise = || {
        let handled = handles(task.id, world);
        // A blocked SIGCHLD is fetched with sigwait or a signalfd, and a pidfd tells of the end too.
        let fetched = task.blocked.contains(Signal::CHLD);
        let watched = world.fds(task.id).any(|fd| {
            let kind = world.channel(fd.channel).map(|channel| channel.kind);
            matches!(kind, Some(ChannelKind::Pidfd | ChannelKind::Signalfd))
        });
        handled || fetched || watched
    };
    // The barrier is the lab's own, not something that the program sleeps in.
    !matches!(blocked.why, Why::Child | Why::Vfork | Why::Barrier)
        && all_blocked(task.process, world)
        && !world.living().any(|other| other.process == task.process && waits(other))
        && !learns_otherwise()
}

impl Rule for Zombie {
    fn name(&self) -> &'static str {
        "zombie"
    }

    fn about(&self) -> &'static str {
        "A process has ended, but its parent does not wait for it."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        if !self.unseen.is_empty() {
            self.calls(event, world, names);
        }
        match event.kind {
            Kind::Signal { phase: Phase::Handler, signal: Signal::CHLD, .. } => {
                let process = world.task(event.task).map_or(event.task, |task| task.process);
                self.handling.entry(process).or_default().runs += 1;
            }
            // Who sleeps until a signal comes and has a handler for SIGCHLD waits for its children too.
            Kind::Block { why: why @ (Why::Child | Why::Signal), .. }
                if why == Why::Child || handles(event.task, world) =>
            {
                self.waits.extend(world.task(event.task).map(|task| task.process));
            }
            Kind::Reap { .. } => {
                let Some(task) = world.task(event.task) else { return };
                self.waits.insert(task.process);
                if task.handling.contains(&Signal::CHLD) {
                    self.handling.entry(task.process).or_default().reaps = true;
                }
            }
            Kind::Exec { .. } if !event.failed() => {
                self.handling.remove(&event.task);
            }
            Kind::Exit { status } => {
                let Some(process) = world.task(event.task).map(|task| task.process) else { return };
                if world.living().any(|task| task.process == process) {
                    return;
                }
                let parent = world.task(process).map_or(TaskId::LAB, |task| task.parent);
                if handles(parent, world) {
                    self.handling.entry(parent).or_default().ended += 1;
                }
                if world.task(process).is_some_and(|task| task.state == State::Zombie) {
                    self.unseen.entry(parent).or_default().insert(process);
                }
                if matches!(status, Status::Signal { .. }) {
                    return;
                }
                let slept = |child: TaskId| self.told.contains(&(child, Weight::Note));
                let zombies = || world.children(process).filter(|child| child.state == State::Zombie);
                // Who was about to end anyway had no time to wait.
                let unseen = self.unseen.remove(&process).unwrap_or_default();
                if zombies().all(|child| unseen.contains(&child.id)) {
                    return;
                }
                if self.waits.contains(&process)
                    && self.merged(process, world).is_none()
                    && !zombies().any(|child| slept(child.id))
                {
                    return;
                }
                findings.extend(self.report(Weight::Fault, process, world, names, |parent, child| {
                    format!(
                        "{parent} ended without waiting for {child}, which stayed a zombie: wait for it before ending"
                    )
                }));
            }
            Kind::Block { why, .. } if !matches!(why, Why::Child | Why::Vfork | Why::Barrier) => {
                let Some(task) = world.task(event.task) else { return };
                let has_zombie = || world.children(task.process).any(|child| child.state == State::Zombie);
                if !has_zombie() || !sleeps_elsewhere(task, world) {
                    return;
                }
                let call = event.call.map_or("a call", |call| names.get(call));
                findings.extend(self.report(Weight::Note, task.process, world, names, |parent, child| {
                    format!(
                        "{child} has ended, and {parent} sleeps in {call} without having waited for it: \
                         it stays a zombie until {parent} waits"
                    )
                }));
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        // Who goes on might still have waited.
        if ended == Ended::Cut {
            return;
        }
        let parents: BTreeSet<TaskId> =
            world.tasks().filter(|task| task.state == State::Zombie).map(|task| task.parent).collect();
        for parent in parents.into_iter().filter(|parent| *parent != TaskId::LAB) {
            // Who waits in vain for something else cannot come to it: that is what is wrong then.
            let held_up = ended == Ended::Stuck && is_held_up(parent, world) && self.merged(parent, world).is_none();
            let weight = if held_up { Weight::Note } else { Weight::Fault };
            findings.extend(self.report(weight, parent, world, names, |parent, child| {
                format!("nobody waited for {child}, which is a zombie at the end of the run: {parent} must wait for it")
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<String> {
        replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "zombie").map(|it| it.text).collect()
    }

    fn weights(sketch: &mut Sketch) -> Vec<Weight> {
        let found = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "zombie");
        found.map(|finding| finding.weight).collect()
    }

    #[test]
    fn who_was_about_to_end_anyway_had_no_time_to_wait() {
        let mut sketch = family();
        sketch.exit("parent.child", 0).exit("parent", 3).reparent("parent.child", "init");
        assert_eq!(weights(&mut sketch), []);
    }

    #[test]
    fn who_is_killed_cannot_tidy_up_and_a_run_that_is_cut_neither() {
        let mut sketch = family();
        sketch.exit("parent.child", 0).killed("parent", Signal::PIPE).reparent("parent.child", "init");
        assert_eq!(weights(&mut sketch), []);
        let mut sketch = family();
        sketch.exit("parent.child", 0).ended(Ended::Cut);
        assert_eq!(weights(&mut sketch), []);
    }

    #[test]
    fn who_ends_while_it_waits_for_another_child_has_not_forgotten_this_one() {
        let mut sketch = family();
        sketch.fork("parent", "parent.other").block_on("parent", "wait4", Why::Child, "parent.other");
        sketch.exit("parent.child", 0).unblock("parent").exit("parent", 0);
        assert_eq!(weights(&mut sketch), []);
        let mut sketch = family();
        sketch.fork("parent", "parent.other").exit("parent.other", 0).reap("parent", "parent.other");
        sketch.exit("parent.child", 0).block("parent", "nanosleep", Why::Time).unblock("parent").exit("parent", 0);
        assert_eq!(weights(&mut sketch), [Weight::Note, Weight::Fault], "it went to sleep without having waited");
    }

    fn family() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "parent.child");
        sketch
    }

    #[test]
    fn a_parent_that_ends_without_waiting() {
        let mut sketch = family();
        sketch.exit("parent.child", 3).syscall("parent", "getpid", 2, "").exit("parent", 0);
        sketch.reparent("parent.child", "init").reap("init", "parent.child");
        let expected = "parent ended without waiting for child (exit status 3), which stayed a zombie: \
                        wait for it before ending";
        assert_eq!(found(&mut sketch), [expected]);
    }

    #[test]
    fn a_parent_that_sleeps_elsewhere() {
        let mut sketch = family();
        sketch.exit("parent.child", 0).block("parent", "clock_nanosleep", Why::Time);
        let texts = found(&mut sketch);
        assert!(texts[0].starts_with("child (exit status 0) has ended, and parent sleeps in clock_nanosleep"));
        sketch.unblock("parent");
        assert_eq!(weights(&mut sketch), [Weight::Note], "it may still wait");
        sketch.block("parent", "clock_nanosleep", Why::Time).unblock("parent");
        sketch.exit("parent", 0);
        assert_eq!(weights(&mut sketch), [Weight::Note, Weight::Fault], "each child once");
    }

    #[test]
    fn a_parent_that_never_comes_to_it() {
        let mut sketch = family();
        sketch.block("parent", "pause", Why::Signal).killed("parent.child", Signal::KILL);
        let expected = "nobody waited for child (killed by SIGKILL), which is a zombie at the end of the run: \
                        parent must wait for it";
        assert_eq!(found(&mut sketch), [expected]);
    }

    #[test]
    fn a_parent_that_is_held_up_cannot_come_to_it() {
        let mut sketch = family();
        sketch.pipe("parent", "p", 3).exit("parent.child", 0).block_at("parent", "read", Why::Empty, "p");
        sketch.ended(Ended::Stuck);
        assert!(weights(&mut sketch).iter().all(|weight| *weight == Weight::Note), "{:?}", found(&mut sketch));
    }

    #[test]
    fn a_handler_that_waits_once_for_several() {
        let mut sketch = family();
        sketch.fork("parent", "parent.other").action("parent", Signal::CHLD, Disposition::Handler);
        sketch.exit("parent.child", 0).exit("parent.other", 0);
        sketch.signal("parent", Phase::Handler, Signal::CHLD, None).reap("parent", "parent.child");
        sketch.signal("parent", Phase::Returned, Signal::CHLD, None).exit("parent", 0);
        let expected = "other (exit status 0) stays a zombie: parent waits in its handler of SIGCHLD, which ran once \
                        while 2 children ended, because a signal that is pending already is not queued again; there, \
                        call waitpid(2) with WNOHANG until it returns 0 or fails with ECHILD";
        assert_eq!(found(&mut sketch), [expected]);
    }

    #[test]
    fn well_behaved_parents() {
        let mut sketch = family();
        sketch.exit("parent.child", 0).block("parent", "", Why::Barrier).unblock("parent");
        sketch.reap("parent", "parent.child").exit("parent", 0);
        assert_eq!(found(&mut sketch), [""; 0], "waits later");

        let mut sketch = family();
        sketch.action("parent", Signal::CHLD, Disposition::Handler).exit("parent.child", 0);
        sketch.block("parent", "pause", Why::Signal).unblock("parent").reap("parent", "parent.child");
        assert_eq!(found(&mut sketch), [""; 0], "has a handler");

        let mut sketch = family();
        sketch.action("parent", Signal::CHLD, Disposition::Ignore).exit("parent.child", 0).exit("parent", 0);
        assert_eq!(found(&mut sketch), [""; 0], "wants none");

        let mut sketch = family();
        sketch.exit("parent.child", 0).block("parent", "wait4", Why::Child).unblock("parent");
        sketch.reap("parent", "parent.child").exit("parent", 0);
        assert_eq!(found(&mut sketch), [""; 0], "waits");
    }
}
