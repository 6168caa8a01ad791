use super::*;
use crate::model::sketch::Sketch;

/// Which tasks' events `task`'s last change comes after.
fn needed(sketch: &mut Sketch, task: &str) -> Vec<(TaskId, i64)> {
    let log = sketch.log();
    let (mut all, own) = (Semaphores::of(&log), Clock::default());
    let id = sketch.task(task);
    let mut last = Vec::new();
    for (_, event) in log.range(0..log.len()) {
        if let Kind::Sem { channel, index, delta, .. } = event.kind {
            if event.task == id && !sets(&log, event) {
                last = all
                    .known
                    .get(&(channel, index))
                    .map(|it| it.needed(id, i64::from(delta), &own))
                    .unwrap_or_default();
            }
            all.follow(&log, event, &own);
        }
    }
    last.sort_unstable();
    last
}

fn begin() -> Sketch {
    let mut sketch = Sketch::new();
    sketch.fork("init", "parent").create("parent", "s", crate::model::ChannelKind::Sem);
    sketch.fork("parent", "parent.a").fork("parent", "parent.b");
    sketch
}

#[test]
fn who_takes_the_only_one_comes_after_who_gave_it() {
    let mut sketch = begin();
    sketch.sem("parent.a", "s", 0, 1, 1).sem("parent.b", "s", 0, -1, 0);
    let giver = sketch.task("parent.a");
    assert_eq!(needed(&mut sketch, "parent.b"), [(giver, 1)]);
}

#[test]
fn of_two_givers_neither_is_needed() {
    let mut sketch = begin();
    sketch.sem("parent.a", "s", 0, 1, 1).sem("parent.b", "s", 0, -1, 0).sem("parent", "s", 0, 1, 1);
    assert_eq!(needed(&mut sketch, "parent.b"), []);
}

#[test]
fn a_lock_forces_no_order() {
    let mut sketch = begin();
    sketch.sem("parent", "s", 0, 1, 1);
    for task in ["parent.a", "parent.b", "parent.b", "parent.a"] {
        sketch.sem(task, "s", 0, -1, 0).sem(task, "s", 0, 1, 1);
    }
    let parent = sketch.task("parent");
    assert_eq!(needed(&mut sketch, "parent.b"), [], "the other's gives would do");
    assert_ne!(needed(&mut sketch, "parent.a"), [(parent, 1)]);
}
