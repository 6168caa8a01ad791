//! Tasks that wait for each other, in a circle of any length.
//!
//! The rule is a greatest fixpoint: take every task that only tasks of the run could wake, and leave
//! out, again and again, whoever could be woken by somebody outside of the set. What remains can
//! never move. A task that waits for itself is the shortest circle.
//!
//! The log is ordered, the processes are not: a task may still stand as blocked in the world although
//! what it waited for has already happened. Such a task is about to move and belongs to no deadlock; nor does
//! one that a running timer will interrupt or end.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule, channel_name, listed, name};
use crate::model::{
    Access, Blocked, Channel, ChannelId, ChannelKind, End, Ended, Event, Kind, Names, Polled, State, TaskId, Told,
    Wanted, Weight, Why, World,
};

/// Tasks wait for each other, and nobody else can help.
#[derive(Debug, Default)]
pub(super) struct Deadlock {
    told: BTreeSet<Vec<TaskId>>,
    /// Of each task that waits for room: how much had been read from the channel when it fell asleep.
    /// A read since then may have made room, which only the kernel knows.
    read_before: BTreeMap<TaskId, u64>,
    /// The tasks that wait for a semaphore which has changed since they fell asleep: only the kernel
    /// knows whether they may go on.
    hopeful: BTreeSet<TaskId>,
}

/// Who could wake each member of a deadlock.
type Circle = BTreeMap<TaskId, Vec<TaskId>>;

impl Deadlock {
    /// Who could wake `id`, if only tasks of the run could and none has done so already.
    fn waits_for(&self, id: TaskId, world: &World, at_end: bool) -> Option<Vec<TaskId>> {
        let State::Blocked(blocked) = world.task(id)?.state else { return None };
        if world.will_be_interrupted(id) {
            return None;
        }
        let others = || world.living().map(|task| task.id).filter(|other| *other != id).collect();
        let wakers = world.possible_wakers(id).filter(|wakers| !wakers.outside)?.tasks;
        let channel = blocked.channel.and_then(|channel| world.channel(channel));
        let wakers: Vec<TaskId> = match blocked.why {
            // A queue may hold messages of other types than the one that is waited for.
            Why::Empty => {
                let own = blocked.channel.and_then(|channel| world.end_held(id, channel));
                // What is in a terminal only the kernel knows.
                let is_quiet = |channel: &Channel| {
                    let mut ends =
                        [End::First, End::Second].into_iter().filter(|end| own.is_none_or(|own| own == *end));
                    ends.all(|end| world.channel_is_readable(id, channel.id, end) == Some(false))
                };
                let is_empty = |channel: &Channel, end| channel.inbox(end).count() == 0;
                let may_hold = |channel: &&Channel| match channel.kind {
                    kind if kind.is_socket() => match own {
                        Some(end) => is_empty(channel, end),
                        None => is_empty(channel, End::First) && is_empty(channel, End::Second),
                    },
                    ChannelKind::Terminal => is_quiet(channel),
                    kind => channel.messages || channel.waiting() == 0 || !kind.is_pipe(),
                };
                channel.filter(may_hold).map(|_| wakers)?
            }
            // Output may be stopped by a key (termios(3), "IXON").
            Why::Full if channel.is_some_and(|channel| channel.kind == ChannelKind::Terminal) => return None,
            Why::Full => {
                let read = self.read_before.get(&id).copied();
                channel.filter(|channel| at_end || read == Some(channel.read)).map(|_| wakers)?
            }
            // Whoever knows the name may open the other end.
            Why::NoPeer => others(),
            Why::Child => {
                let process = world.task(id)?.process;
                let mut children = world.children(process);
                let over = match blocked.on {
                    Some(child) => world.task(child).is_none_or(|child| !child.is_alive()),
                    None => children.any(|child| !child.is_alive()),
                };
                (!over).then_some(wakers)?
            }
            // Only the lab knows how many are missing; when nothing moves any more, too many are.
            Why::Barrier if at_end => others(),
            // Whoever has accepted since has made room, and the sleeper is about to move.
            Why::Backlog => {
                let socket = channel.and_then(|channel| channel.socket.as_ref())?;
                let full = socket.backlog.is_some_and(|backlog| socket.waiting.len() > backlog as usize);
                full.then_some(wakers)?
            }
            Why::Value if !at_end && self.hopeful.contains(&id) => return None,
            Why::Vfork | Why::Lock | Why::Value => wakers,
            Why::Poll if is_quiet(id, world) => wakers,
            Why::Barrier | Why::Signal | Why::Time | Why::Poll | Why::Other => return None,
        };
        let all_alive = wakers.iter().all(|waker| world.task(*waker).is_some_and(crate::model::Task::is_alive));
        (!wakers.is_empty() && all_alive).then_some(wakers)
    }

    /// A semaphore has another value. Who waits for one that is held as a lock waits until it is raised.
    fn changed(&mut self, id: ChannelId, delta: i32, world: &World) {
        let waits = |task: &&crate::model::Task| match task.state {
            State::Blocked(it) => it.why == Why::Value && it.channel == Some(id) && (delta > 0 || it.on.is_none()),
            _ => false,
        };
        self.hopeful.extend(world.living().filter(waits).map(|task| task.id));
    }

    fn circle(&self, world: &World, at_end: bool) -> Circle {
        let at_end = at_end && world.living().all(|task| matches!(task.state, State::Blocked(_)));
        let blocked = world.living().filter(|task| matches!(task.state, State::Blocked(_)));
        let mut circle: Circle =
            blocked.filter_map(|task| Some((task.id, self.waits_for(task.id, world, at_end)?))).collect();
        // A process can act as long as one of its threads can: by process, how many are free to.
        let mut free: BTreeMap<TaskId, usize> = BTreeMap::new();
        for task in world.living() {
            *free.entry(task.process).or_default() += usize::from(!circle.contains_key(&task.id));
        }
        let process_of = |id: &TaskId| world.task(*id).map_or(*id, |task| task.process);
        loop {
            let can_act = |waker: &TaskId| free.get(&process_of(waker)).is_some_and(|count| *count > 0);
            let freed: Vec<TaskId> =
                circle.iter().filter(|(_, wakers)| wakers.iter().any(can_act)).map(|(id, _)| *id).collect();
            if freed.is_empty() {
                return circle;
            }
            for id in freed {
                circle.remove(&id);
                *free.entry(process_of(&id)).or_default() += 1;
            }
        }
    }

    fn check(&mut self, world: &World, names: &Names, at_end: bool) -> Option<Finding> {
        let circle = self.circle(world, at_end);
        let why = |id: &TaskId| blocked(*id, world).map(|blocked| blocked.why);
        if circle.keys().all(|id| why(id) == Some(Why::Barrier)) {
            return None;
        }
        let tasks: Vec<TaskId> = circle.keys().copied().collect();
        if !self.told.insert(tasks.clone()) {
            return None;
        }
        let parts: Vec<String> = circle.iter().filter_map(|(id, wakers)| part(*id, wakers, world, names)).collect();
        let text = format!("{}: {}", parts.join("; "), cure(&tasks, world, names));
        let mut channels: Vec<ChannelId> =
            tasks.iter().filter_map(|id| blocked(*id, world).and_then(|it| it.channel)).collect();
        channels.sort_unstable();
        channels.dedup();
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks, channels })
    }
}

/// Whether nothing that a poll waits for has come since: only of queues that are read from can that be said.
fn is_quiet(id: TaskId, world: &World) -> bool {
    let Some(Wanted::Ready { polled, .. }) = world.task(id).map(|task| &task.wanted) else { return false };
    let quiet = |one: &Polled| {
        let channel = one.channel.and_then(|channel| world.channel(channel));
        one.access == Access::Read && channel.is_some_and(|it| it.kind.is_queue() && it.waiting() == 0 && it.alive)
    };
    !polled.is_empty() && polled.iter().all(quiet)
}

fn blocked(id: TaskId, world: &World) -> Option<Blocked> {
    match world.task(id)?.state {
        State::Blocked(blocked) => Some(blocked),
        _ => None,
    }
}

/// Who waits for what.
fn part(id: TaskId, wakers: &[TaskId], world: &World, names: &Names) -> Option<String> {
    let blocked = blocked(id, world)?;
    let who = name(id, world, names);
    let p = blocked.channel.map_or("a channel", |channel| channel_name(channel, world, names));
    let call = |waker: &TaskId| if *waker == id { "itself" } else { name(*waker, world, names) };
    let by = listed(&wakers.iter().map(call).collect::<Vec<_>>());
    Some(match blocked.why {
        Why::Empty => format!("{who} waits for bytes from {p}, which only {by} could write"),
        Why::Full => format!("{who} waits for room in {p}, which only {by} could make by reading"),
        Why::Backlog => format!("{who} waits for a place in the queue of {p}, which only {by} could make by accepting"),
        Why::NoPeer => format!("{who} waits for somebody to open the other end of {p}"),
        Why::Child if blocked.on.is_none() => format!("{who} waits for a child to end: {by}"),
        Why::Child => format!("{who} waits for {by} to end"),
        Why::Vfork => format!("{who} waits for {by} to exec or to end"),
        Why::Lock => format!("{who} waits for what {by} has locked"),
        Why::Poll => format!("{who} waits for one of several descriptors, which only {by} could make ready"),
        Why::Value => format!("{who} waits for the value of {p}, which only {by} could change"),
        _ => format!("{who} waits at a barrier for the others"),
    })
}

/// What would have helped; the most particular advice first.
fn cure(tasks: &[TaskId], world: &World, names: &Names) -> String {
    let waiting = |wanted: Why| {
        move |id: &&TaskId| blocked(**id, world).filter(|blocked| blocked.why == wanted).map(|blocked| (**id, blocked))
    };
    let find = |wanted: Why| tasks.iter().find_map(|id| waiting(wanted)(&id));
    let own_write_end = tasks.iter().find_map(|id| {
        let (id, blocked) = waiting(Why::Empty)(&id)?;
        let channel = blocked.channel?;
        let kind = world.channel(channel)?.kind;
        let one_end = kind == ChannelKind::Terminal || (kind.is_socket() && world.end_held(id, channel).is_some());
        let writes = world.fds(id).any(|fd| fd.channel == channel && fd.access.writes());
        (writes && !one_end).then_some((id, channel))
    });
    let channel = |blocked: Blocked| blocked.channel.map_or("it", |channel| channel_name(channel, world, names));
    if let Some((id, p)) = own_write_end {
        let is_socket = world.channel(p).is_some_and(|channel| channel.kind.is_socket());
        let p = channel_name(p, world, names);
        let end = if is_socket { "the other end" } else { "its write end" };
        return format!("{} must close {end} of {p} before it reads", name(id, world, names));
    }
    if let Some((_, blocked)) = find(Why::Full) {
        return format!("somebody must read from {} before more is written than it holds", channel(blocked));
    }
    if let Some((_, blocked)) = find(Why::Backlog) {
        return format!("somebody must accept at {} before more connect than may wait", channel(blocked));
    }
    if find(Why::Lock).is_some() {
        return "take locks in the same order everywhere".to_owned();
    }
    if find(Why::Value).is_some() {
        return "take semaphores in the same order everywhere, and give each back".to_owned();
    }
    if find(Why::NoPeer).is_some() {
        return "open FIFOs in the same order everywhere".to_owned();
    }
    if let Some((_, blocked)) = find(Why::Empty) {
        return format!("somebody must write to {} or close it before waiting", channel(blocked));
    }
    "somebody must go on before waiting".to_owned()
}

impl Rule for Deadlock {
    fn name(&self) -> &'static str {
        "deadlock"
    }

    fn about(&self) -> &'static str {
        "Tasks wait for each other in a circle, and nobody else can help."
    }

    fn observe(&mut self, event: &Event, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let is_queue = |id| world.channel(id).is_some_and(|channel| channel.kind.is_queue());
        match event.kind {
            Kind::Block { channel, why, .. } => {
                self.hopeful.remove(&event.task);
                if let (Why::Full, Some(channel)) = (why, channel.and_then(|id| world.channel(id))) {
                    self.read_before.insert(event.task, channel.read);
                }
                if self.waits_for(event.task, world, false).is_none() {
                    return;
                }
            }
            Kind::Sem { channel, delta, .. } => return self.changed(channel, delta, world),
            // One who could have helped is gone, or has given the means away.
            Kind::Close { channel: Some(channel), .. } if is_queue(channel) => {}
            Kind::Exit { .. } | Kind::Dup { .. } | Kind::Monitor { told: Told::Terminal(_), .. } => {}
            Kind::Unblock { .. } => {
                self.read_before.remove(&event.task);
                return;
            }
            _ => return,
        }
        findings.extend(self.check(world, names, false));
    }

    fn end(&mut self, world: &World, names: &Names, _: Ended, findings: &mut Vec<Finding>) {
        findings.extend(self.check(world, names, true));
    }
}

#[cfg(test)]
#[path = "deadlock_tests.rs"]
mod tests;
