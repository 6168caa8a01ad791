//! Who made whom. The parent of a process changes when that ends; its maker does not.

use std::collections::BTreeMap;

use crate::model::{Event, How, Kind, TaskId, World};

/// The makers of all processes.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    makers: BTreeMap<TaskId, TaskId>,
}

impl Lineage {
    /// Takes an event in.
    pub(super) fn observe(&mut self, event: &Event, world: &World) {
        if let Kind::Spawn { child, how, .. } = event.kind
            && how != How::Thread
        {
            self.makers.insert(child, process_of(event.task, world));
        }
    }

    /// The process that made `process`; none for a root process.
    pub(super) fn maker(&self, process: TaskId) -> Option<TaskId> {
        self.makers.get(&process).copied().filter(|maker| *maker != TaskId::LAB)
    }

    /// The maker of `process`, the maker of that, and so on.
    pub(super) fn makers(&self, process: TaskId) -> impl Iterator<Item = TaskId> {
        std::iter::successors(self.maker(process), |maker| self.maker(*maker))
    }

    /// Whether `process` was made by `other`, or by somebody whom that made.
    pub(super) fn descends(&self, process: TaskId, other: TaskId) -> bool {
        self.makers(process).any(|maker| maker == other)
    }
}

/// The process of a task.
pub(super) fn process_of(task: TaskId, world: &World) -> TaskId {
    world.task(task).map_or(task, |task| task.process)
}

/// Whether a process has a task that has not ended.
pub(super) fn lives(process: TaskId, world: &World) -> bool {
    world.task(process).is_some_and(crate::model::Task::is_alive) || world.living().any(|task| task.process == process)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sketch::Sketch;

    #[test]
    fn makers_stay_when_parents_change() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").fork("a", "b").fork("b", "c").exit("b", 0).reparent("c", "init");
        let log = sketch.log();
        let mut lineage = Lineage::default();
        log.range(0..log.len()).for_each(|(_, event)| lineage.observe(event, log.head()));
        let [a, b, c] = ["a", "b", "c"].map(|name| sketch.task(name));
        assert_eq!(lineage.makers(c).collect::<Vec<_>>(), [b, a]);
        assert!(lineage.descends(c, a) && !lineage.descends(a, c));
        assert_eq!(lineage.maker(a), None);
    }
}
