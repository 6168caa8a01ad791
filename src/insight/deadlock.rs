//! Tasks that wait for each other, in a circle of any length.
//!
//! Who belongs to one says [`stuck`]; that these really sleep says the kernel, in the event `asleep`.

mod cure;

use std::collections::{BTreeMap, BTreeSet};

use super::stuck::{Stuck, stuck};
use super::{Finding, Rule, channel_name, name};
use crate::model::{Blocked, ChannelId, Ended, Event, How, Kind, Names, State, TaskId, Weight, Why, World};

/// How many members of a deadlock have a clause of their own in the sentence.
const MOST_PARTS: usize = 8;

/// Tasks wait for each other, and nobody else can help.
#[derive(Debug, Default)]
pub(super) struct Deadlock {
    told: BTreeSet<Vec<TaskId>>,
    sleepers: Sleepers,
    /// Processes that were forked by one that had several threads, and by whom. A lock that another thread held
    /// then is never given back in them.
    forked: Forked,
}

/// By process, who forked it.
type Forked = BTreeMap<TaskId, TaskId>;

/// Who sleeps for ever, of those of whom the kernel was asked.
#[derive(Debug, Default)]
pub(super) struct Sleepers {
    /// Whether the log says what the kernel was asked; one of an older version does not.
    asked: bool,
}

impl Sleepers {
    /// Who is found out by this event, unless somebody is awake who could still help.
    pub(super) fn observe(&mut self, event: &Event, world: &World, names: &Names) -> Option<Stuck> {
        match event.kind {
            Kind::Asleep { .. } => among_unwoken(stuck(world, names, false), world).filter(|found| !found.watched),
            Kind::End { .. } => {
                self.asked = true;
                None
            }
            _ => None,
        }
    }

    /// Who is left at the end of the run.
    pub(super) fn at_end(&self, world: &World, names: &Names) -> Option<Stuck> {
        let found = stuck(world, names, true);
        if self.asked { among_unwoken(found, world) } else { Some(found) }
    }
}

/// The same, if the kernel has said so of each.
fn among_unwoken(found: Stuck, world: &World) -> Option<Stuck> {
    let unwoken = |id: &TaskId| world.task(*id).is_some_and(|task| task.unwoken);
    found.circle.keys().all(unwoken).then_some(found)
}

impl Deadlock {
    fn tell(&mut self, found: &Stuck, world: &World, names: &Names) -> Option<Finding> {
        let circle = &found.circle;
        let why = |id: &TaskId| blocked(*id, world).map(|blocked| blocked.why);
        if circle.keys().all(|id| why(id) == Some(Why::Barrier)) {
            return None;
        }
        let tasks: Vec<TaskId> = circle.keys().copied().collect();
        if !self.told.insert(tasks.clone()) {
            return None;
        }
        let part = |(id, wakers): (&TaskId, &Vec<TaskId>)| self.part(*id, wakers, world, names);
        let mut parts: Vec<String> = circle.iter().filter_map(part).collect();
        if parts.len() > MOST_PARTS {
            let more = parts.len() - MOST_PARTS;
            parts.truncate(MOST_PARTS);
            parts.push(format!("{more} more wait for each other likewise"));
        }
        let text = format!("{}: {}", parts.join("; "), cure::of(circle, &self.forked, world, names));
        let mut channels: Vec<ChannelId> =
            tasks.iter().filter_map(|id| blocked(*id, world).and_then(|it| it.channel)).collect();
        channels.sort_unstable();
        channels.dedup();
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks, channels })
    }

    /// Who waits for what.
    fn part(&self, id: TaskId, wakers: &[TaskId], world: &World, names: &Names) -> Option<String> {
        let blocked = blocked(id, world)?;
        let who = name(id, world, names);
        let p = blocked.channel.map_or("a channel", |channel| channel_name(channel, world, names));
        let call = |waker: &TaskId| if *waker == id { "itself" } else { name(*waker, world, names) };
        let by = cure::few(&wakers.iter().map(call).collect::<Vec<_>>());
        Some(match blocked.why {
            Why::Empty => format!("{who} waits for bytes from {p}, which only {by} could write"),
            Why::Full => format!("{who} waits for room in {p}, which only {by} could make by reading"),
            Why::Backlog => {
                format!("{who} waits for a place in the queue of {p}, which only {by} could make by accepting")
            }
            Why::NoPeer => format!("{who} waits for somebody to open the other end of {p}"),
            Why::Child if blocked.on.is_none() => format!("{who} waits for a child to end: {by}"),
            Why::Signal => format!("{who} waits for the SIGCHLD of a child that ends: {by}"),
            Why::Child => format!("{who} waits for {by} to end"),
            Why::Vfork => format!("{who} waits for {by} to exec or to end"),
            Why::Join => format!("{who} waits for the thread {by} to end"),
            Why::Lock if cure::is_mutex(id, world) && by == "itself" => {
                format!("{who} waits for a mutex that it has locked itself")
            }
            Why::Lock if cure::is_mutex(id, world) => format!("{who} waits for a mutex that {by} has locked"),
            Why::Lock => format!("{who} waits for what {by} has locked"),
            Why::Poll => format!("{who} waits for one of several descriptors, which only {by} could make ready"),
            Why::Value => format!("{who} waits for the value of {p}, which only {by} could change"),
            Why::Futex => self.at_word(id, wakers, world, names),
            _ => format!("{who} waits at a barrier for the others"),
        })
    }

    /// A word of memory, and who could wake whoever sleeps there.
    fn at_word(&self, id: TaskId, wakers: &[TaskId], world: &World, names: &Names) -> String {
        let who = name(id, world, names);
        let (what, _) = cure::word(id, world, names);
        let others: Vec<&str> = wakers.iter().filter(|it| **it != id).map(|it| name(*it, world, names)).collect();
        if !others.is_empty() {
            return format!("{who} waits {what}, which only {} could do", cure::few(&others));
        }
        let process = world.task(id).map_or(id, |task| task.process);
        match self.forked.get(&process) {
            Some(maker) => {
                let maker = name(*maker, world, names);
                format!(
                    "{who} waits {what}, but is the only thread of its process: when {maker} forked it, only \
                         the thread that called fork was copied, and nobody is left who could wake it"
                )
            }
            None => format!("{who} waits {what}, and no other thread is left that could do it"),
        }
    }

    /// Remembers who was forked by a process with several threads.
    fn spawned(&mut self, maker: TaskId, child: TaskId, world: &World) {
        let process = world.task(maker).map_or(maker, |task| task.process);
        let threads = world.living().filter(|task| task.process == process).count();
        if threads > 1 {
            self.forked.insert(child, maker);
        } else if let Some(first) = self.forked.get(&process).copied() {
            self.forked.insert(child, first);
        }
    }
}

pub(super) fn blocked(id: TaskId, world: &World) -> Option<Blocked> {
    match world.task(id)?.state {
        State::Blocked(blocked) => Some(blocked),
        _ => None,
    }
}

impl Rule for Deadlock {
    fn name(&self) -> &'static str {
        "deadlock"
    }

    fn about(&self) -> &'static str {
        "Tasks wait for each other in a circle, and nobody else can help."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Spawn { child, how: How::Fork, .. } if !event.failed() => self.spawned(event.task, child, world),
            Kind::Exec { .. } if !event.failed() => {
                self.forked.remove(&event.task);
            }
            _ => {
                let found = self.sleepers.observe(event, world, names);
                findings.extend(found.and_then(|found| self.tell(&found, world, names)));
            }
        }
    }

    fn end(&mut self, world: &World, names: &Names, _: Ended, findings: &mut Vec<Finding>) {
        let found = self.sleepers.at_end(world, names);
        findings.extend(found.and_then(|found| self.tell(&found, world, names)));
    }
}

#[cfg(test)]
#[path = "deadlock_tests.rs"]
mod tests;
