//! Children that outlive their parents.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule, name};
use crate::model::{ChannelId, Ended, Event, Kind, Names, State, Task, TaskId, Weight, World};

/// A living process got another parent. That by itself is worth knowing and no more: it may end soon, or be meant
/// to go on alone. It is wrong when the process that was started as the run's own ends and leaves it behind with the same
/// output: whoever waits for the run takes it for over then.
#[derive(Debug, Default)]
pub(super) struct Orphan {
    parents: BTreeMap<TaskId, TaskId>,
    /// Of each process the ancestor that the lab has started.
    roots: BTreeMap<TaskId, TaskId>,
    /// Where the standard outputs and errors of those lead.
    outputs: BTreeSet<ChannelId>,
    /// The sessions that the run has made.
    sessions: BTreeSet<i32>,
    /// Who has been adopted by init, and whose child it was.
    adopted: BTreeMap<TaskId, TaskId>,
    /// Who was left behind by which process, and may be about to end or to become a daemon.
    left: BTreeMap<TaskId, TaskId>,
}

impl Orphan {
    fn born(&mut self, child: TaskId, world: &World) {
        let Some(parent) = world.task(child).map(|task| task.parent) else { return };
        self.parents.insert(child, parent);
        let root = if parent == TaskId::LAB { child } else { self.roots.get(&parent).copied().unwrap_or(child) };
        self.roots.insert(child, root);
    }

    fn reparented(&mut self, child: TaskId, to: TaskId, world: &World, names: &Names) -> Option<Finding> {
        let old = self.parents.insert(child, to);
        let parent = old.filter(|old| *old != to && *old != TaskId::LAB)?;
        let task = world.task(child).filter(|task| task.is_alive() && task.is_process())?;
        if to == TaskId::LAB && !self.is_meant(task, world) {
            self.adopted.insert(child, parent);
            if self.roots.get(&child) == Some(&parent)
                && let Some(finding) = self.left_behind(child, parent, world, names)
            {
                return Some(finding);
            }
        }
        let by = if to == TaskId::LAB { "init" } else { name(to, world, names) };
        let (who, whom) = (name(parent, world, names), name(child, world, names));
        let text = format!("{who} ended before its child {whom}, which {by} has adopted");
        let mut tasks = vec![parent, child];
        tasks.extend(Some(to).filter(|to| *to != TaskId::LAB));
        let weight = Weight::Note;
        Some(Finding { rule: self.name(), weight, text, tasks, channels: Vec::new() })
    }

    /// A daemon has a session of its own, and so has whoever belongs to it; a job that is meant to go on alone has its
    /// output elsewhere.
    fn is_meant(&self, task: &Task, world: &World) -> bool {
        let shares = |fd| world.fd(task.id, fd).is_some_and(|fd| self.outputs.contains(&fd.channel));
        self.sessions.contains(&task.sid) || !(shares(1) || shares(2))
    }

    /// The run's own process has ended before `child`. If that sleeps it goes on for some time.
    fn left_behind(&mut self, child: TaskId, root: TaskId, world: &World, names: &Names) -> Option<Finding> {
        if matches!(world.task(child)?.state, State::Blocked(_)) {
            return self.goes_on(child, root, world, names);
        }
        self.left.insert(child, root);
        None
    }

    fn goes_on(&mut self, child: TaskId, root: TaskId, world: &World, names: &Names) -> Option<Finding> {
        self.left.remove(&child);
        let parent = self.adopted.remove(&child)?;
        if self.is_meant(world.task(child)?, world) {
            return None;
        }
        let (who, whom) = (name(parent, world, names), name(child, world, names));
        let after = if parent == root { String::new() } else { format!(" after {}", name(root, world, names)) };
        let text = format!(
            "{who} ended before its child {whom}, which init has adopted and which goes on{after} with the same \
             output: wait for a child before ending; one that is meant to go on gets a session and output of its own \
             (setsid(2), daemon(3))"
        );
        let tasks = vec![parent, child];
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks, channels: Vec::new() })
    }

    fn root_ended(&mut self, root: TaskId, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let of_root = |child: &TaskId| self.roots.get(child) == Some(&root);
        let left: Vec<TaskId> = self.adopted.keys().copied().filter(of_root).collect();
        for child in left {
            if world.task(child).is_some_and(|task| task.is_alive() && !self.is_meant(task, world)) {
                findings.extend(self.left_behind(child, root, world, names));
            }
        }
    }
}

impl Rule for Orphan {
    fn name(&self) -> &'static str {
        "orphan"
    }

    fn about(&self) -> &'static str {
        "A process ends before its child, which init or a subreaper adopts."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Spawn { child, .. } => self.born(child, world),
            Kind::Open { fd: 1 | 2, channel, .. }
                if event.call.is_none() && self.roots.get(&event.task) == Some(&event.task) =>
            {
                self.outputs.insert(channel);
            }
            Kind::Group { sid, .. } if event.call.is_some_and(|call| names.get(call) == "setsid") => {
                self.sessions.insert(sid);
            }
            Kind::Write { .. } | Kind::Block { .. } if self.left.contains_key(&event.task) => {
                let root = self.left.get(&event.task).copied().unwrap_or(TaskId::LAB);
                findings.extend(self.goes_on(event.task, root, world, names));
            }
            Kind::Reparent { to } => findings.extend(self.reparented(event.task, to, world, names)),
            Kind::Exit { .. } if self.roots.get(&event.task) == Some(&event.task) => {
                self.root_ended(event.task, world, names, findings);
            }
            _ => {}
        }
    }

    fn end(&mut self, _: &World, _: &Names, _: Ended, _: &mut Vec<Finding>) {}
}

#[cfg(test)]
mod tests {
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Access, ChannelKind, End, FdFlags, Kind, Weight, Why};

    /// What is said of a family whose parent has `out` as its standard output.
    fn found(tell: impl FnOnce(&mut Sketch)) -> Vec<(Weight, String)> {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").create("parent", "out", ChannelKind::File);
        let channel = sketch.channel("out");
        let inherited =
            Kind::Open { fd: 1, channel, end: End::First, access: Access::Write, flags: FdFlags::default() };
        sketch.event("parent", "", 0, inherited).fork("parent", "parent.child");
        tell(&mut sketch);
        let found = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "orphan");
        found.map(|finding| (finding.weight, finding.text)).collect()
    }

    #[test]
    fn a_child_that_goes_on_with_the_output_of_the_run() {
        let found = found(|sketch| {
            sketch.exit("parent", 0).reparent("parent.child", "init").write("parent.child", 1, "x");
            sketch.exit("parent.child", 0);
        });
        assert_eq!(found.len(), 2, "{found:?}");
        let found = &found[1..];
        assert_eq!(found[0].0, Weight::Fault);
        let start =
            "parent ended before its child child, which init has adopted and which goes on with the same output";
        assert!(found[0].1.starts_with(start), "{found:?}");
    }

    #[test]
    fn a_dead_child_is_none() {
        let found = found(|sketch| {
            sketch.exit("parent.child", 0).exit("parent", 0).reparent("parent.child", "init");
        });
        assert_eq!(found, []);
    }

    #[test]
    fn who_has_a_session_or_an_output_of_its_own_is_meant_to_go_on_and_who_ends_does_not() {
        let daemon = found(|sketch| {
            sketch.event("parent.child", "setsid", 7, Kind::Group { pgid: 7, sid: 7 });
            sketch.exit("parent", 0).reparent("parent.child", "init");
        });
        let job = found(|sketch| {
            sketch.close("parent.child", 1).create("parent.child", "log", ChannelKind::File);
            sketch.open("parent.child", 1, "log", Access::Write).exit("parent", 0).reparent("parent.child", "init");
        });
        let text = "parent ended before its child child, which init has adopted";
        let ends = found(|sketch| {
            sketch.exit("parent", 0).reparent("parent.child", "init").exit("parent.child", 0);
        });
        for found in [daemon, job, ends] {
            assert_eq!(found, [(Weight::Note, text.to_owned())]);
        }
    }

    #[test]
    fn an_orphan_that_ends_before_the_run_does_is_worth_a_note() {
        let tell = |sketch: &mut Sketch| {
            sketch.fork("parent.child", "parent.child.job").exit("parent.child", 0);
            sketch.reparent("parent.child.job", "init").reap("parent", "parent.child");
        };
        let ends = found(|sketch| {
            tell(sketch);
            sketch.exit("parent.child.job", 0).exit("parent", 0);
        });
        assert_eq!(ends, [(Weight::Note, "child ended before its child job, which init has adopted".to_owned())]);
        let stays = found(|sketch| {
            tell(sketch);
            sketch.block("parent.child.job", "nanosleep", Why::Time).exit("parent", 0);
        });
        assert_eq!(stays.len(), 2, "{stays:?}");
        assert_eq!(stays[1].0, Weight::Fault);
        assert!(stays[1].1.contains("which goes on after parent with the same output"), "{stays:?}");
    }

    #[test]
    fn who_is_adopted_in_the_run_has_somebody_to_wait_for_it() {
        let found = found(|sketch| {
            sketch.fork("parent.child", "parent.child.job").exit("parent.child", 0);
            sketch.reparent("parent.child.job", "parent").exit("parent", 0);
        });
        assert_eq!(found, [(Weight::Note, "child ended before its child job, which parent has adopted".to_owned())]);
    }
}
