//! Children that outlive their parents.

use std::collections::BTreeMap;

use super::{Finding, Rule, name};
use crate::model::{Ended, Event, Kind, Names, TaskId, Weight, World};

/// A living process got another parent.
#[derive(Debug, Default)]
pub(super) struct Orphan {
    parents: BTreeMap<TaskId, TaskId>,
}

impl Rule for Orphan {
    fn name(&self) -> &'static str {
        "orphan"
    }

    fn about(&self) -> &'static str {
        "A process ends before its child, which init or a subreaper adopts."
    }

    fn observe(&mut self, event: &Event, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Spawn { child, .. } => {
                self.parents.extend(world.task(child).map(|task| (child, task.parent)));
            }
            Kind::Reparent { to } => {
                let child = event.task;
                let old = self.parents.insert(child, to);
                let Some(parent) = old.filter(|old| *old != to && *old != TaskId::LAB) else { return };
                if !world.task(child).is_some_and(|task| task.is_alive() && task.is_process()) {
                    return;
                }
                let text = format!(
                    "{} ended before its child {}, which {} has adopted: \
                     wait for a child before ending, unless it is meant to go on alone",
                    name(parent, world, names),
                    name(child, world, names),
                    name(to, world, names),
                );
                findings.push(Finding {
                    rule: self.name(),
                    weight: Weight::Fault,
                    text,
                    tasks: vec![parent, child, to],
                    channels: vec![],
                });
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

    #[test]
    fn a_living_child_is_an_orphan() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "parent.child").exit("parent", 0).reparent("parent.child", "init");
        sketch.exit("parent.child", 0);
        let found = replay(&sketch.log());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].rule, "orphan");
        assert!(found[0].text.starts_with("parent ended before its child child, which init has adopted"));
    }

    #[test]
    fn a_dead_child_is_none() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "parent.child").exit("parent.child", 0).exit("parent", 0);
        sketch.reparent("parent.child", "init");
        assert!(replay(&sketch.log()).iter().all(|finding| finding.rule != "orphan"));
    }
}
