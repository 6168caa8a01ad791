//! Who kills a shell kills nobody but the shell (kill(2): a signal to one process).

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::{Lineage, lives, process_of};
use super::pipe_kept::{across, waits_at};
use super::{Finding, Rule, channel_name, name};
use crate::model::{
    ChannelId, DefaultAction, Ended, Event, Kind, Names, Phase, Signal, State, Status, Task, TaskId, Weight, Why, World,
};

/// So long the child has outlived who has killed its parent when it can be said that it does not pass by itself: in
/// nanoseconds.
const LONG: u64 = 1_000_000_000;

/// A process that waited for its child was killed, and the child goes on. It is wrong when somebody waits for the child
/// all the same, or it is a program's that was started to be ended so: of a part of its own, as the loop that a script
/// has put into the background, a program knows what remains, and that it passes.
#[derive(Debug, Default)]
pub(super) struct OnlyShellKilled {
    lineage: Lineage,
    /// The processes that sleep in a wait for a child, or have done nothing else since they made one: that
    /// somebody sleeps is noticed a moment later.
    waiting: BTreeSet<TaskId>,
    /// Who was sent a signal that ends it, by whom.
    sent: BTreeMap<TaskId, (TaskId, Signal)>,
    survivors: BTreeMap<TaskId, Survivor>,
}

#[derive(Debug, Clone, Copy)]
struct Survivor {
    killer: TaskId,
    killed: TaskId,
    signal: Signal,
    /// When the killer has ended.
    since: Option<u64>,
}

impl OnlyShellKilled {
    fn exit(&mut self, task: TaskId, status: Status, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let process = process_of(task, world);
        if lives(process, world) {
            return;
        }
        if self.survivors.get(&process).is_some_and(|it| outlives(it, world)) {
            findings.extend(self.report(process, None, world, names));
        }
        self.survivors.remove(&process);
        let waited = self.waiting.remove(&process);
        if let (Status::Signal { signal, .. }, Some((killer, sent))) = (status, self.sent.remove(&process))
            && waited
            && signal == sent
        {
            let session = world.task(process).map_or(0, |task| task.sid);
            let goes_on = |child: &&Task| {
                child.is_process()
                    && self.lineage.maker(child.id) == Some(process)
                    && child.sid == session
                    && !self.sent.contains_key(&child.id)
            };
            let left: Vec<TaskId> = world.living().filter(goes_on).map(|child| child.id).collect();
            self.survivors.extend(
                left.into_iter().map(|child| (child, Survivor { killer, killed: process, signal, since: None })),
            );
        }
        for survivor in self.survivors.values_mut().filter(|it| it.killer == process) {
            survivor.since = Some(world.t_ns());
        }
    }

    fn report(&mut self, child: TaskId, at: Option<ChannelId>, world: &World, names: &Names) -> Option<Finding> {
        let Survivor { killer, killed, signal, .. } = self.survivors.remove(&child)?;
        let called = |task| name(task, world, names);
        let (by, shell, child_name) = (called(killer), called(killed), called(child));
        let what = match at.and_then(|id| world.channel(id)) {
            Some(channel) => {
                let fd = across(killer, channel, world).find(|(task, _)| task.id == child).map_or(-1, |(_, fd)| fd.fd);
                let p = channel_name(channel.id, world, names);
                let end = if channel.kind.is_pipe() { "write end" } else { "other end" };
                format!("lives on and holds the {end} of {p} as descriptor {fd}, so that {by} waits for {child_name}")
            }
            None => format!("lives on, also after {by} has ended"),
        };
        let text = format!(
            "{by} sent {signal} to {shell} alone, and its child {child_name} {what}: start {shell} in a process group \
             of its own (setsid(2); start_new_session=True, detached: true) and signal the whole group (kill(2) with \
             -PGID, os.killpg), or let {shell} exec the program"
        );
        let tasks = vec![killer, killed, child];
        Some(Finding {
            rule: "only-shell-killed",
            weight: Weight::Fault,
            text,
            tasks,
            channels: at.into_iter().collect(),
        })
    }
}

impl Rule for OnlyShellKilled {
    fn name(&self) -> &'static str {
        "only-shell-killed"
    }

    fn about(&self) -> &'static str {
        "A process that waited for its child is killed, and the child goes on."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        self.lineage.observe(event, world);
        match event.kind {
            Kind::Block { why: Why::Child, .. } | Kind::Spawn { .. } => {
                self.waiting.insert(process_of(event.task, world));
            }
            Kind::Read { .. } | Kind::Write { .. } | Kind::Open { .. } | Kind::Exec { .. }
                if !self.waiting.is_empty() =>
            {
                self.waiting.remove(&process_of(event.task, world));
            }
            Kind::Block { .. } if !self.survivors.is_empty() => {
                let Some(task) = world.task(event.task) else { return };
                let held = |(child, it): (&TaskId, &Survivor)| {
                    let mut fds =
                        world.fds(*child).filter(|fd| it.killer == task.process && waits_at(task, fd.channel));
                    fds.next().map(|fd| (*child, fd.channel))
                };
                let holds = |(child, id): &(TaskId, ChannelId)| {
                    let channel = world.channel(*id);
                    channel.is_some_and(|it| across(task.process, it, world).any(|(holder, _)| holder.id == *child))
                };
                let kept: Vec<_> = self.survivors.iter().filter_map(held).filter(holds).collect();
                for (child, channel) in kept {
                    findings.extend(self.report(child, Some(channel), world, names));
                }
            }
            Kind::Reap { .. } => {
                self.waiting.remove(&process_of(event.task, world));
            }
            Kind::Signal { phase: Phase::Generated, signal, from: Some(from), .. } if from != TaskId::LAB => {
                let (to, from) = (process_of(event.task, world), process_of(from, world));
                let ends = matches!(signal.default_action(), DefaultAction::Terminate | DefaultAction::Core);
                if ends && to != from {
                    self.sent.insert(to, (from, signal));
                    self.survivors.remove(&to);
                }
            }
            Kind::Exit { status } => self.exit(event.task, status, world, names, findings),
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        let sleeps = |id: TaskId| world.task(id).is_some_and(|task| matches!(task.state, State::Blocked(_)));
        let stays = |(child, it): (&TaskId, &Survivor)| {
            (sleeps(*child) && (ended == Ended::Stuck || outlives(it, world))).then_some(*child)
        };
        let found: Vec<TaskId> = self.survivors.iter().filter_map(stays).collect();
        for child in found {
            findings.extend(self.report(child, None, world, names));
        }
    }
}

/// Whether the child of a program that was killed has outlived the killer for long.
fn outlives(survivor: &Survivor, world: &World) -> bool {
    let program = world.task(survivor.killed).is_some_and(|task| task.loaded > task.born);
    program && survivor.since.is_some_and(|since| world.t_ns().saturating_sub(since) >= LONG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<String> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "only-shell-killed");
        findings.map(|it| it.text).collect()
    }

    fn family() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "sh").close("parent", 4).close("sh", 3);
        sketch.fork("sh", "sleep").block("sh", "wait4", Why::Child).block("sleep", "clock_nanosleep", Why::Time);
        sketch
    }

    #[test]
    fn the_child_keeps_the_pipe() {
        let mut sketch = family();
        sketch.signal("sh", Phase::Generated, Signal::KILL, Some("parent")).unblock("sh").killed("sh", Signal::KILL);
        sketch.reparent("sleep", "init").block_at("parent", "read", Why::Empty, "p");
        let texts = found(&mut sketch);
        assert_eq!(texts.len(), 1);
        assert!(texts[0].starts_with(
            "parent sent SIGKILL to sh alone, and its child sleep lives on and holds the write end of p as descriptor \
             4, so that parent waits for sleep"
        ));
    }

    #[test]
    fn the_child_outlives_who_has_killed() {
        let outlived = |program: bool, seconds: u64| {
            let mut sketch = family();
            if program {
                let (path, argv, name) = (sketch.intern("/bin/sh"), sketch.keep(b"sh\0"), sketch.intern("sh"));
                sketch.unblock("sh").event("sh", "execve", 0, Kind::Exec { path, argv, name });
                sketch.block("sh", "wait4", Why::Child);
            }
            sketch.signal("sh", Phase::Generated, Signal::TERM, Some("parent")).unblock("sh");
            sketch.killed("sh", Signal::TERM).reparent("sleep", "init").reap("parent", "sh").exit("parent", 0);
            sketch.passes(seconds * 1_000_000_000).exit("sleep", 0);
            found(&mut sketch).len()
        };
        assert_eq!(outlived(true, 2), 1);
        assert_eq!(outlived(true, 0), 0, "it passes by itself");
        assert_eq!(outlived(false, 2), 0, "a part of the program itself");
        let mut sketch = family();
        sketch.signal("sh", Phase::Generated, Signal::TERM, Some("parent")).unblock("sh").killed("sh", Signal::TERM);
        sketch.reparent("sleep", "init").reap("parent", "sh").exit("parent", 0).ended(Ended::Stuck);
        assert_eq!(found(&mut sketch).len(), 1, "it will never end");
    }

    #[test]
    fn whole_groups_and_handlers_are_right() {
        let mut sketch = family();
        sketch.signal("sh", Phase::Generated, Signal::KILL, Some("parent"));
        sketch.signal("sleep", Phase::Generated, Signal::KILL, Some("parent"));
        sketch.killed("sh", Signal::KILL).killed("sleep", Signal::KILL).reap("parent", "sh").exit("parent", 0);
        assert_eq!(found(&mut sketch), [""; 0]);
        let mut sketch = family();
        sketch.signal("sh", Phase::Generated, Signal::TERM, Some("parent")).unblock("sh").exit("sh", 0);
        sketch.reparent("sleep", "init").exit("parent", 0);
        assert_eq!(found(&mut sketch), [""; 0], "it ended by itself");
        let mut sketch = family();
        sketch.signal("sh", Phase::Generated, Signal::KILL, Some("parent")).killed("sh", Signal::KILL);
        sketch.exit("sleep", 0).exit("parent", 0);
        assert_eq!(found(&mut sketch), [""; 0], "it has ended soon");
    }
}
