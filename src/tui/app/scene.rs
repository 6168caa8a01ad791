//! What the world at the cursor looks like as a whole: the tree of tasks, and who holds what.
//!
//! Made anew for a frame, in one pass over the tasks and one over the channels.

use std::collections::HashMap;

use crate::model::{
    Access, Blocked, Channel, ChannelId, End, Fd, Holding, Holdings, State, Task, TaskId, Wanted, Why, World,
};

use super::{App, Gone, Opens};

/// How many tasks that are gone stay in the tree for a while.
const RECENT: usize = 8;

/// A row of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskRow {
    /// The task.
    pub task: TaskId,
    /// How deep it stands below the lab.
    pub depth: usize,
    /// Whether it is the last of its siblings.
    pub last: bool,
    /// Whether a session or a process group begins with it, where tasks are shown by these.
    pub opens: Opens,
    /// Bit `n`: the ancestor at depth `n` has younger siblings, so its line goes on.
    pub guides: u64,
}

/// Somebody who holds a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub task: TaskId,
    /// Its descriptor.
    pub fd: i32,
    /// What the descriptor may be used for.
    pub access: Access,
    /// Which end of the channel it is.
    pub end: End,
    /// Its open file description.
    pub description: u64,
}

/// Somebody who has the identifier of a System V object, or has mapped memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The process.
    pub task: TaskId,
    /// How many bytes are mapped; 0 for an identifier.
    pub bytes: u64,
    /// What may be done there.
    pub access: Access,
}

/// Somebody who sleeps at a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// The task.
    pub task: TaskId,
    /// For what it waits.
    pub why: Why,
}

/// The tree.
#[derive(Debug, Default)]
pub struct Tree {
    /// Its rows from the top.
    pub rows: Vec<TaskRow>,
    /// How many tasks are gone and not in it.
    pub hidden: usize,
}

impl Tree {
    /// The tree of the world at the cursor.
    pub fn of(app: &App) -> Self {
        let world = app.world();
        let gone = world.tasks().filter(|task| task.state == State::Dead).count();
        let shown_gone = match app.gone {
            Gone::Recent => RECENT.min(gone),
            Gone::All => gone,
            Gone::Hidden => 0,
        };
        let mut skip = gone - shown_gone;
        let hidden = skip;
        let visible = world.tasks().filter(|task| {
            let is_gone = task.state == State::Dead;
            let skipped = is_gone && skip > 0;
            skip -= usize::from(skipped);
            !skipped
        });
        let visible: Vec<&Task> = visible.collect();
        let rows = if app.shows_jobs() { super::jobs::arrange(&visible) } else { arrange(world, &visible) };
        Self { rows, hidden }
    }

    /// Where a task stands.
    pub fn position(&self, task: TaskId) -> Option<usize> {
        self.rows.iter().position(|row| row.task == task)
    }
}

fn arrange(world: &World, visible: &[&Task]) -> Vec<TaskRow> {
    let mut shown = vec![false; world.tasks().len()];
    for task in visible {
        shown[task.id.index()] = true;
    }
    let mut children: Vec<(TaskId, TaskId)> = Vec::with_capacity(visible.len());
    for task in visible.iter().filter(|task| task.id != TaskId::LAB) {
        let above = if task.is_process() { task.parent } else { task.process };
        let is_shown = shown.get(above.index()).copied().unwrap_or(false);
        children.push((if is_shown { above } else { TaskId::LAB }, task.id));
    }
    children.sort_unstable();
    walk(&children)
}

/// Depth first, without recursion: a chain of forks may be as long as the process table.
fn walk(children: &[(TaskId, TaskId)]) -> Vec<TaskRow> {
    let of = |parent: TaskId| {
        let from = children.partition_point(|(p, _)| *p < parent);
        let to = children.partition_point(|(p, _)| *p <= parent);
        &children[from..to]
    };
    let mut rows = Vec::with_capacity(children.len() + 1);
    let mut stack = vec![TaskRow { task: TaskId::LAB, depth: 0, last: true, opens: Opens::Nothing, guides: 0 }];
    while let Some(row) = stack.pop() {
        rows.push(row);
        let below = row.guides | if row.last { 0 } else { 1_u64.checked_shl(row.depth as u32).unwrap_or(0) };
        let family = of(row.task);
        for (n, (_, child)) in family.iter().enumerate().rev() {
            let last = n + 1 == family.len();
            stack.push(TaskRow { task: *child, depth: row.depth + 1, last, opens: Opens::Nothing, guides: below });
        }
    }
    rows
}

/// The channels in the order in which they are shown, who holds them, and who waits at them.
#[derive(Debug, Default)]
pub struct Channels {
    /// What is shown.
    pub shown: Vec<ChannelId>,
    /// How many of them are meeting points; they stand first.
    pub meeting_points: usize,
    /// How many files, devices and standard streams there are, shown or not.
    pub others: usize,
    /// By channel, so that one pass over the tasks finds them all.
    holders: Vec<Vec<Holder>>,
    users: Vec<Vec<User>>,
    waiters: HashMap<ChannelId, Vec<Waiter>>,
}

impl Channels {
    /// The channels of the world at the cursor.
    pub fn of(app: &App) -> Self {
        let world = app.world();
        let mut channels = Self::default();
        channels.find_people(world);
        let (mut meeting, mut others) = (Vec::new(), Vec::new());
        for channel in world.channels().filter(|channel| channel.alive) {
            let is_stream = matches!(app.log.name(channel.name), "stdin" | "stdout" | "stderr");
            let list = if channels.meets(channel) && !is_stream { &mut meeting } else { &mut others };
            list.push(channel.id);
        }
        channels.meeting_points = meeting.len();
        channels.others = others.len();
        channels.shown = meeting;
        if app.show_files {
            channels.shown.append(&mut others);
        }
        channels
    }

    /// Whether processes meet at it. A file is a meeting point as long as somebody holds or wants a
    /// lock on it, or has mapped it where somebody may write; a library that many have mapped is none.
    fn meets(&self, channel: &Channel) -> bool {
        let locked = || {
            let wanted = self.waiters(channel.id).iter().any(|waiter| waiter.why == Why::Lock);
            wanted || !channel.locks.is_empty()
        };
        let users = self.users(channel.id);
        let shared = || {
            let written = users.iter().any(|user| user.access.writes());
            !users.is_empty() && (written || self.holders(channel.id).iter().any(|holder| holder.access.writes()))
        };
        channel.kind.is_meeting_point() || channel.tty.master || shared() || locked()
    }

    fn find_people(&mut self, world: &World) {
        let count = world.channels().len();
        self.holders.resize_with(count, Vec::new);
        self.users.resize_with(count, Vec::new);
        for task in world.living() {
            if let State::Blocked(Blocked { channel: Some(channel), why, .. }) = task.state {
                self.waiters.entry(channel).or_default().push(Waiter { task: task.id, why });
            }
            self.find_polled(task);
            if !task.is_process() {
                continue;
            }
            for fd in world.fds(task.id) {
                let Some(holders) = self.holders.get_mut(fd.channel.index()) else { continue };
                let Fd { fd, access, end, description, .. } = *fd;
                holders.push(Holder { task: task.id, fd, access, end, description });
            }
            for used in &task.uses {
                let Some(users) = self.users.get_mut(used.channel.index()) else { continue };
                users.push(User { task: task.id, bytes: used.bytes, access: used.access });
            }
        }
    }

    /// Who waits for one of several descriptors waits at each.
    fn find_polled(&mut self, task: &Task) {
        let Wanted::Ready { polled } = &task.wanted else { return };
        for channel in polled.iter().filter_map(|one| one.channel) {
            let waiters = self.waiters.entry(channel).or_default();
            if waiters.last().is_none_or(|last| last.task != task.id) {
                waiters.push(Waiter { task: task.id, why: Why::Poll });
            }
        }
    }

    /// Who holds a channel through a descriptor, in the order of birth.
    pub fn holders(&self, channel: ChannelId) -> &[Holder] {
        self.holders.get(channel.index()).map_or(&[], Vec::as_slice)
    }

    /// Who has its identifier or has mapped it, in the order of birth.
    pub fn users(&self, channel: ChannelId) -> &[User] {
        self.users.get(channel.index()).map_or(&[], Vec::as_slice)
    }

    /// Who sleeps at it, in the order of birth.
    pub fn waiters(&self, channel: ChannelId) -> &[Waiter] {
        self.waiters.get(&channel).map_or(&[], Vec::as_slice)
    }
}

impl Holdings for Channels {
    fn holders(&self, channel: ChannelId, fits: &dyn Fn(&Holding) -> bool) -> Vec<TaskId> {
        let holding = |holder: &&Holder| {
            fits(&Holding { access: holder.access, end: holder.end, description: holder.description })
        };
        let mut tasks: Vec<TaskId> = Self::holders(self, channel).iter().filter(holding).map(|it| it.task).collect();
        tasks.dedup();
        tasks
    }

    fn users(&self, channel: ChannelId) -> Vec<TaskId> {
        let mut tasks: Vec<TaskId> = Self::users(self, channel).iter().map(|it| it.task).collect();
        tasks.dedup();
        tasks
    }
}
