//! Tasks by session and process group (credentials(7)), as a shell with job control makes them.

use std::collections::HashMap;

use super::{App, TaskRow};
use crate::model::{ChannelId, State, Task, TaskId, World};

/// What begins with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Opens {
    /// Nothing.
    #[default]
    Nothing,
    /// A process group.
    Group,
    /// A session, and its first process group.
    Session,
}

impl App {
    /// Whether tasks are shown by session and process group: as the user said, else where there is a
    /// terminal with jobs, more than one session, or a group apart from that of the parent.
    pub fn shows_jobs(&self) -> bool {
        self.jobs.unwrap_or_else(|| has_jobs(self.world()))
    }

    /// Whether nothing moves until a key is typed.
    pub fn waits_for_keys(&self) -> bool {
        let terminal = self.emulator.channel();
        let mut reads = false;
        terminal.is_some()
            && self.world().living().all(|task| match task.state {
                State::Blocked(blocked) => {
                    reads |= blocked.channel == terminal;
                    true
                }
                State::Stopped(_) => true,
                _ => task.id == TaskId::LAB,
            })
            && reads
    }
}

fn has_jobs(world: &World) -> bool {
    let mut sid = 0;
    world.living().filter(|task| task.is_process() && task.sid != 0).any(|task| {
        let another = sid != 0 && sid != task.sid;
        sid = task.sid;
        let parent = world.task(task.parent).filter(|parent| parent.id != TaskId::LAB && parent.pgid != 0);
        another || task.terminal.is_some() || parent.is_some_and(|parent| parent.pgid != task.pgid)
    })
}

/// The rows: the lab, and below it the sessions, groups and processes in the order of their oldest task.
pub(super) fn arrange(visible: &[&Task]) -> Vec<TaskRow> {
    let root = TaskRow { task: TaskId::LAB, depth: 0, last: true, opens: Opens::Nothing, guides: 0 };
    let mut tasks: Vec<&Task> = visible.iter().copied().filter(|task| task.id != TaskId::LAB).collect();
    let (mut sessions, mut groups) = (HashMap::new(), HashMap::new());
    let keys: Vec<_> = tasks
        .iter()
        .map(|task| {
            let session = *sessions.entry(task.sid).or_insert(task.id);
            let group = *groups.entry((task.sid, task.pgid)).or_insert(task.id);
            (session, group, task.process, task.id)
        })
        .collect();
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|at| keys[*at]);
    tasks = order.iter().map(|at| tasks[*at]).collect();
    let mut rows = vec![root];
    for (n, task) in tasks.iter().enumerate() {
        let before = n.checked_sub(1).map(|n| tasks[n]);
        let same = |other: Option<&Task>| other.is_some_and(|other| (other.sid, other.pgid) == (task.sid, task.pgid));
        let opens = match before {
            Some(before) if before.sid == task.sid && before.pgid == task.pgid => Opens::Nothing,
            Some(before) if before.sid == task.sid => Opens::Group,
            _ => Opens::Session,
        };
        let depth = if task.is_process() { 3 } else { 4 };
        let last = !same(tasks.get(n + 1).copied());
        rows.push(TaskRow { task: task.id, depth, last, opens, guides: 0 });
    }
    rows
}

/// What is known of a session.
pub fn session_terminal(world: &World, sid: i32) -> Option<ChannelId> {
    world.living().find(|task| task.sid == sid && task.terminal.is_some())?.terminal
}

/// Whether nobody is left in the session who could continue the group when it has stopped: no member has
/// a parent in the same session and in another group (setpgid(2), "orphaned process group").
pub fn is_orphaned(world: &World, sid: i32, pgid: i32) -> bool {
    let mut members =
        world.living().filter(|task| task.is_process() && (task.sid, task.pgid) == (sid, pgid)).peekable();
    if members.peek().is_none() {
        return false;
    }
    let led_inside = world.living().any(|task| task.is_process() && task.pid == sid);
    members.all(|task| match world.task(task.parent) {
        // The lab's first process leads the session of a scenario; a program's parent is outside of it.
        Some(parent) if parent.id == TaskId::LAB => {
            led_inside || world.task(TaskId::LAB).is_none_or(|lab| lab.pid != sid)
        }
        Some(parent) => !parent.is_alive() || parent.sid != sid || parent.pgid == pgid,
        None => true,
    })
}
