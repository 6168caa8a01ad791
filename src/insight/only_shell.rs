//! Who kills a shell kills nobody but the shell (kill(2): a signal to one process).

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::{Lineage, lives, process_of};
use super::pipe_kept::{across, waits_at};
use super::{Finding, Rule, channel_name, name};
use crate::model::{
    ChannelId, DefaultAction, Ended, Event, Kind, Names, Phase, Signal, State, Status, Task, TaskId, Weight, Why, World,
};

/// A process that waited for its child was killed, and the child goes on.
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
}

impl OnlyShellKilled {
    fn exit(&mut self, task: TaskId, status: Status, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let process = process_of(task, world);
        if lives(process, world) {
            return;
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
            self.survivors.extend(left.into_iter().map(|child| (child, Survivor { killer, killed: process, signal })));
        }
        self.report_all(|survivor| survivor.killer == process, world, names, findings);
    }

    fn report_all(
        &mut self,
        of: impl Fn(&Survivor) -> bool,
        world: &World,
        names: &Names,
        findings: &mut Vec<Finding>,
    ) {
        let found: Vec<TaskId> = self.survivors.iter().filter(|(_, it)| of(it)).map(|(child, _)| *child).collect();
        for child in found {
            findings.extend(self.report(child, None, world, names));
        }
    }

    fn report(&mut self, child: TaskId, at: Option<ChannelId>, world: &World, names: &Names) -> Option<Finding> {
        let Survivor { killer, killed, signal } = self.survivors.remove(&child)?;
        let called = |task| name(task, world, names);
        let (by, shell, child_name) = (called(killer), called(killed), called(child));
        let what = match at.and_then(|id| world.channel(id)) {
            Some(channel) => {
                let fd = across(killer, channel, world).find(|(task, _)| task.id == child).map_or(-1, |(_, fd)| fd.fd);
                let p = channel_name(channel.id, world, names);
                let end = if channel.kind.is_pipe() { "write end" } else { "other end" };
                format!("lives on and holds the {end} of {p} as descriptor {fd}, so that {by} waits for {child_name}")
            }
            None => format!("lives on, and is still there when {by} has ended"),
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

    fn end(&mut self, world: &World, names: &Names, _: Ended, findings: &mut Vec<Finding>) {
        let sleeps = |id: TaskId| world.task(id).is_some_and(|task| matches!(task.state, State::Blocked(_)));
        let asleep: BTreeSet<TaskId> = self.survivors.keys().copied().filter(|child| sleeps(*child)).collect();
        self.survivors.retain(|child, _| asleep.contains(child));
        self.report_all(|_| true, world, names, findings);
    }
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
        let mut sketch = family();
        sketch.signal("sh", Phase::Generated, Signal::TERM, Some("parent")).unblock("sh").killed("sh", Signal::TERM);
        sketch.reparent("sleep", "init").reap("parent", "sh").exit("parent", 0);
        assert_eq!(found(&mut sketch).len(), 1);
        sketch.exit("sleep", 0);
        assert_eq!(found(&mut sketch).len(), 1);
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
