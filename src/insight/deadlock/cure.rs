//! What would have helped: who must do what, with which descriptor, call and object.

use std::collections::{BTreeMap, BTreeSet};

use super::{Forked, blocked};
use crate::insight::{channel_name, listed, name};
use crate::model::{Access, Channel, ChannelId, ChannelKind, Fd, Names, Task, TaskId, Wanted, Why, Word, World};

/// A deadlock, and all that its cures are made of.
struct Case<'a> {
    circle: &'a BTreeMap<TaskId, Vec<TaskId>>,
    world: &'a World,
    names: &'a Names,
}

/// The cure, in one clause. What is certainly wrong comes first; where any one of several would do, it says so.
pub(super) fn of(circle: &BTreeMap<TaskId, Vec<TaskId>>, forked: &Forked, world: &World, names: &Names) -> String {
    let case = Case { circle, world, names };
    if let Some(cure) = case.lost_at_fork(forked) {
        return cure;
    }
    let (clauses, closed) = case.forgotten_ends();
    let left = case.without(&closed);
    let rest = || Case { circle: &left, world, names }.any_other();
    match (clauses.is_empty(), left.is_empty()) {
        (true, _) => rest(),
        (false, true) => listed(&clauses),
        (false, false) => format!("{}; and {}", listed(&clauses), rest()),
    }
}

/// A process that holds an end of a channel which it must close.
type Closed = BTreeSet<(TaskId, ChannelId)>;

/// Whether a task waits for a mutex whose owner is known.
pub(super) fn is_mutex(id: TaskId, world: &World) -> bool {
    world.task(id).is_some_and(|task| matches!(task.wanted, Wanted::Word { of: Word::Mutex, .. }))
}

/// What a task waits for at a word of memory, and where that is.
pub(super) fn word(id: TaskId, world: &World, names: &Names) -> (String, String) {
    let at = blocked(id, world).and_then(|blocked| blocked.channel);
    let (of, byte) = match world.task(id).map(|task| &task.wanted) {
        Some(Wanted::Word { of, at }) => (*of, *at),
        _ => (Word::Unknown, 0),
    };
    let place = match at {
        Some(channel) => format!("at byte {byte} of {}", channel_name(channel, world, names)),
        None => "in the memory of its process".to_owned(),
    };
    let what = match of {
        Word::Semaphore => format!("for a post of the semaphore {place}"),
        Word::Mutex => format!("for a mutex {place}"),
        Word::Unknown => format!("to be woken {place} (futex(2): a lock, a condition or a semaphore)"),
    };
    (what, place)
}

impl Case<'_> {
    /// What helps those of whom nobody has forgotten anything.
    fn any_other(&self) -> String {
        let all = [self.room(), self.places(), self.locks(), self.words(), self.values(), self.peers(), self.bytes()];
        all.into_iter().flatten().next().unwrap_or_else(|| "somebody must go on before waiting".to_owned())
    }

    /// Who would still be stuck if these ends were closed.
    fn without(&self, closed: &Closed) -> BTreeMap<TaskId, Vec<TaskId>> {
        let mut left = self.circle.clone();
        for (reader, channel) in self.waiting(Why::Empty) {
            if let (Some(channel), Some(wakers)) = (channel, left.get_mut(&reader)) {
                wakers.retain(|waker| !closed.contains(&(self.process(*waker), channel)));
            }
        }
        loop {
            let goes_on = |wakers: &Vec<TaskId>| {
                let acts = |waker: &TaskId| {
                    let process = self.process(*waker);
                    let mut threads = self.circle.keys().filter(|id| self.process(**id) == process);
                    threads.any(|thread| !left.contains_key(thread))
                };
                wakers.is_empty() || wakers.iter().any(acts)
            };
            let freed: Vec<TaskId> = left.iter().filter(|(_, wakers)| goes_on(wakers)).map(|(id, _)| *id).collect();
            if freed.is_empty() {
                return left;
            }
            left.retain(|id, _| !freed.contains(id));
        }
    }

    fn name(&self, id: TaskId) -> &str {
        name(id, self.world, self.names)
    }

    fn channel(&self, id: ChannelId) -> &str {
        channel_name(id, self.world, self.names)
    }

    /// Those who wait for bytes, and where: in a read, or in a poll of which they want to read.
    fn readers(&self) -> Vec<(TaskId, Option<ChannelId>)> {
        let polls = |id: &TaskId| {
            let polled = match self.world.task(*id).map(|task| &task.wanted) {
                Some(Wanted::Ready { polled }) => polled.clone(),
                _ => Vec::new(),
            };
            let id = *id;
            polled.into_iter().filter(|one| one.access.reads()).map(move |one| (id, one.channel))
        };
        self.waiting(Why::Empty).chain(self.circle.keys().flat_map(polls)).collect()
    }

    /// Those who wait so, and where.
    fn waiting(&self, why: Why) -> impl Iterator<Item = (TaskId, Option<ChannelId>)> {
        self.circle.keys().filter_map(move |id| {
            blocked(*id, self.world).filter(|blocked| blocked.why == why).map(|blocked| (*id, blocked.channel))
        })
    }

    fn process(&self, id: TaskId) -> TaskId {
        self.world.task(id).map_or(id, |task| task.process)
    }

    /// What a process does instead of what is waited for: the sleep of one of its threads.
    fn before(&self, process: TaskId) -> String {
        let sleeper = self.circle.keys().find(|id| self.process(**id) == process);
        let Some(blocked) = sleeper.and_then(|id| blocked(*id, self.world)) else {
            return "before it waits".to_owned();
        };
        let at = blocked.channel.map(|channel| self.channel(channel).to_owned());
        match (blocked.why, blocked.on, at) {
            (Why::Child | Why::Join, Some(on), _) => format!("before it waits for {}", self.name(on)),
            (Why::Child | Why::Signal, None, _) => "before it waits for its children".to_owned(),
            (Why::Empty, _, Some(at)) => format!("before it reads from {at}"),
            (Why::Full, _, Some(at)) => format!("before it writes to {at}"),
            (Why::Poll, ..) => "before it polls".to_owned(),
            _ => "before it waits".to_owned(),
        }
    }

    /// Through which descriptors a process could write to a channel (or, of a socket, to the end across from
    /// the one at which `reader` waits).
    fn writing(&self, process: TaskId, channel: ChannelId, reader: TaskId) -> Vec<Fd> {
        let is_socket = self.world.channel(channel).is_some_and(|channel| channel.kind.is_socket());
        let own = self.world.end_held(reader, channel);
        let fits = |fd: &&Fd| {
            fd.channel == channel && fd.access.writes() && (!is_socket || own.is_none_or(|own| own != fd.end))
        };
        self.world.fds(process).filter(fits).copied().collect()
    }

    /// Write ends that somebody holds who does not use them: the reader itself, or others who wait for something
    /// else, through descriptors that they have got at fork.
    fn forgotten_ends(&self) -> (Vec<String>, Closed) {
        let mut clauses = Vec::new();
        let mut named = BTreeSet::new();
        for (reader, channel) in self.waiting(Why::Empty) {
            let Some(channel) = channel.and_then(|id| self.world.channel(id)).filter(|it| has_ends(it)) else {
                continue;
            };
            let process = self.process(reader);
            let wakers = &self.circle[&reader];
            let own = self.writing(process, channel.id, reader);
            if !own.is_empty() && named.insert((process, channel.id)) {
                clauses.push(self.close_own(reader, channel, &own));
            }
            for other in wakers.iter().filter(|other| self.process(**other) != process) {
                let fds = self.writing(*other, channel.id, reader);
                let deliberate = fds.iter().any(|fd| fd.fd <= 2);
                // Of what nobody has written to yet, one may be the writer.
                let crowded = (!own.is_empty() && channel.written > 0) || wakers.len() > 2;
                let forgets = if self.does_transfer(*other) { crowded && !deliberate } else { true };
                if forgets && !fds.is_empty() && named.insert((*other, channel.id)) {
                    clauses.push(self.close(*other, channel, &fds));
                }
            }
        }
        (clauses, named)
    }

    /// Whether a process waits to read or to write, and so may be about to use what it holds.
    fn does_transfer(&self, process: TaskId) -> bool {
        let mut waits = self.circle.keys().filter(|id| self.process(**id) == process);
        waits.any(|id| {
            blocked(*id, self.world)
                .is_some_and(|it| matches!(it.why, Why::Empty | Why::Full | Why::Poll | Why::NoPeer))
        })
    }

    fn close_own(&self, reader: TaskId, channel: &Channel, fds: &[Fd]) -> String {
        let (who, p) = (self.name(reader), self.channel(channel.id));
        if channel.kind.is_socket() {
            return if self.world.end_held(reader, channel.id).is_some() {
                format!("{who} must close {} (the other end of {p}) before it reads", descriptors(fds))
            } else {
                format!(
                    "{who} must close the end of {p} that it does not use (it holds both: {}) before it reads",
                    descriptors(fds)
                )
            };
        }
        let only: Vec<Fd> = fds.iter().filter(|fd| fd.access == Access::Write).copied().collect();
        if only.is_empty() {
            return format!("{who} must open {p} for reading only ({} can write too)", descriptors(fds));
        }
        format!("{who} must close {} ({}) before it reads", descriptors(&only), ends(&only, p))
    }

    fn close(&self, process: TaskId, channel: &Channel, fds: &[Fd]) -> String {
        let (who, p, before) = (self.name(process), self.channel(channel.id), self.before(process));
        if channel.kind.is_socket() {
            return format!(
                "{who} must say with shutdown(2) on {} that no more comes through {p}, or close it, {before}",
                descriptors(fds)
            );
        }
        format!("{who} must close {} ({}) {before}", descriptors(fds), ends(fds, p))
    }

    /// Somebody waits for room.
    fn room(&self) -> Option<String> {
        let clause = |(writer, channel): (TaskId, Option<ChannelId>)| {
            let channel = self.world.channel(channel?)?;
            let p = self.channel(channel.id);
            let readers: Vec<String> = self.circle[&writer]
                .iter()
                .filter(|reader| self.process(**reader) != self.process(writer))
                .map(|reader| {
                    let fds: Vec<Fd> = self
                        .world
                        .fds(*reader)
                        .filter(|fd| fd.channel == channel.id && fd.access.reads())
                        .copied()
                        .collect();
                    let through = if fds.is_empty() { String::new() } else { format!(" ({})", descriptors(&fds)) };
                    format!("{} must read from {p}{through} {}", self.name(*reader), self.before(*reader))
                })
                .collect();
            Some(if readers.is_empty() {
                let (who, capacity) = (self.name(writer), channel.capacity);
                format!("another task must read from {p} while {who} writes more than it holds ({capacity} B)")
            } else {
                listed(&readers)
            })
        };
        any_of(self.waiting(Why::Full).filter_map(clause))
    }

    /// Somebody waits to be accepted.
    fn places(&self) -> Option<String> {
        let clause = |(client, channel): (TaskId, Option<ChannelId>)| {
            let channel = channel?;
            let servers: Vec<&str> = self.circle[&client].iter().map(|server| self.name(*server)).collect();
            Some(format!(
                "{} must accept at {} before more connect than may wait",
                few(&servers),
                self.channel(channel)
            ))
        };
        any_of(self.waiting(Why::Backlog).filter_map(clause))
    }

    /// Locks whose holders are known: taken crosswise, or kept by somebody who waits for something else.
    fn locks(&self) -> Option<String> {
        let wait: Vec<_> = self.waiting(Why::Lock).collect();
        let (id, channel) = *wait.first()?;
        let own = self.circle[&id].iter().all(|holder| *holder == id);
        let mutex = is_mutex(id, self.world);
        if own && mutex {
            return Some(format!(
                "{} must unlock a mutex before it locks it again, or make it recursive (pthread_mutexattr_settype(3))",
                self.name(id)
            ));
        }
        if own {
            let what = channel.map_or("it", |channel| self.channel(channel));
            let who = self.name(id);
            return Some(format!("{who} must unlock {what} before it locks it through another open file description"));
        }
        if wait.len() > 1 {
            let what = if mutex { "lock mutexes" } else { "take locks" };
            return Some(format!("{what} in the same order everywhere"));
        }
        let holder = *self.circle[&id].first()?;
        let what = if mutex { "the mutex" } else { channel.map_or("the lock", |channel| self.channel(channel)) };
        Some(format!("{} must unlock {what} {}", self.name(holder), self.before(self.process(holder))))
    }

    /// Words of memory at which nobody is known to hold anything.
    fn words(&self) -> Option<String> {
        let clause = |(id, _): (TaskId, Option<ChannelId>)| {
            let (_, place) = word(id, self.world, self.names);
            let others: Vec<&str> =
                self.circle[&id].iter().filter(|other| **other != id).map(|other| self.name(*other)).collect();
            let of = match self.world.task(id).map(|task| &task.wanted) {
                Some(Wanted::Word { of, .. }) => *of,
                _ => Word::Unknown,
            };
            Some(match (of, others.is_empty()) {
                (_, true) => format!("another thread must be there to wake {} when it waits", self.name(id)),
                (Word::Semaphore, _) => {
                    let before = self.before(self.process(*self.circle[&id].iter().find(|other| **other != id)?));
                    format!("{} must call sem_post(3) on the semaphore {place} {before}", few(&others))
                }
                _ => format!("{} must wake {} before waiting", few(&others), self.name(id)),
            })
        };
        let (own, shared): (Vec<_>, Vec<_>) = self.waiting(Why::Futex).partition(|(_, channel)| channel.is_none());
        if own.len() > 1 {
            let whom = own.iter().map(|(id, _)| self.name(*id)).collect::<Vec<_>>();
            return Some(format!(
                "one of {} must wake another before it waits itself; if these are locks, take them in the same order \
                 everywhere",
                few(&whom)
            ));
        }
        any_of(own.into_iter().chain(shared).filter_map(clause))
    }

    fn values(&self) -> Option<String> {
        let wait: Vec<_> = self.waiting(Why::Value).collect();
        let held = |id: &TaskId| blocked(*id, self.world).is_some_and(|blocked| blocked.on.is_some());
        let (id, channel) = *wait.first()?;
        if wait.len() > 1 && wait.iter().all(|(id, _)| held(id)) {
            return Some("take semaphores in the same order everywhere, and give each back".to_owned());
        }
        let others: Vec<&str> = self.circle[&id].iter().map(|other| self.name(*other)).collect();
        let s = channel.map_or("it", |channel| self.channel(channel));
        let (verb, first) = (if held(&id) { "give back" } else { "change" }, self.circle[&id].first().copied()?);
        let before = if others.len() == 1 { self.before(self.process(first)) } else { "before waiting".to_owned() };
        Some(format!("{} must {verb} {s} {before}", few(&others)))
    }

    fn peers(&self) -> Option<String> {
        self.waiting(Why::NoPeer).next().map(|_| "open FIFOs in the same order everywhere".to_owned())
    }

    /// Each reads before it writes what the other waits for.
    fn bytes(&self) -> Option<String> {
        // Who has written something and still holds the end has mostly forgotten to close it.
        let begun = |(_, channel): &(TaskId, Option<ChannelId>)| {
            let channel = channel.and_then(|channel| self.world.channel(channel));
            channel.is_some_and(|channel| channel.kind.is_pipe() && channel.written > 0)
        };
        let readers = self.readers();
        let any_begun = readers.iter().any(begun);
        let clause = |(reader, channel): (TaskId, Option<ChannelId>)| {
            let channel = self.world.channel(channel?)?;
            let p = self.channel(channel.id);
            // Who sleeps cannot help itself, unless nobody else is there.
            let wakers = &self.circle[&reader];
            let is_other = |waker: &&TaskId| self.process(**waker) != self.process(reader);
            let alone = !wakers.iter().any(|waker| is_other(&waker));
            let writers: Vec<String> = wakers
                .iter()
                .filter(|waker| alone || is_other(waker))
                .map(|writer| (writer, self.writing(*writer, channel.id, reader)))
                .filter(|(_, fds)| !fds.is_empty() || channel.kind == ChannelKind::Msg)
                .map(|(writer, fds)| {
                    let through = if fds.is_empty() { String::new() } else { format!(" ({})", descriptors(&fds)) };
                    let (who, before) = (self.name(*writer), self.before(*writer));
                    if any_begun && !fds.is_empty() {
                        return format!(
                            "{who} must close {} ({}), or write more, {before}",
                            descriptors(&fds),
                            ends(&fds, p)
                        );
                    }
                    format!("{who} must write to {p}{through}{} {before}", or_end(channel))
                })
                .collect();
            (!writers.is_empty()).then(|| listed(&writers))
        };
        any_of(readers.into_iter().filter(|wait| !any_begun || begun(wait)).filter_map(clause))
    }

    fn lost_at_fork(&self, forked: &Forked) -> Option<String> {
        let lost = self.waiting(Why::Futex).find(|(id, channel)| {
            let process = self.process(*id);
            let alone = self.world.living().filter(|task: &&Task| task.process == process).count() == 1;
            channel.is_none() && alone && forked.contains_key(&process)
        })?;
        Some(format!(
            "a lock that another thread held at the fork stays locked in {}: fork before threads are started, or call \
             only what signal-safety(7) lists until exec or _exit",
            self.name(lost.0)
        ))
    }
}

/// Whether it has ends of which somebody may have forgotten one.
fn has_ends(channel: &Channel) -> bool {
    channel.kind.is_pipe()
        || (matches!(channel.kind, ChannelKind::Unix | ChannelKind::Tcp) && !channel.takes_from_all())
}

/// What else ends the wait for bytes.
fn or_end(channel: &Channel) -> &'static str {
    match channel.kind {
        kind if kind.is_pipe() => ", or close it,",
        ChannelKind::Unix | ChannelKind::Tcp => ", or call shutdown(2),",
        _ => "",
    }
}

/// The first of many names, and how many more there are.
pub(super) fn few(names: &[&str]) -> String {
    const SHOWN: usize = 4;
    if names.len() <= SHOWN + 1 {
        return listed(names);
    }
    format!("{} and {} others", names[..SHOWN].join(", "), names.len() - SHOWN)
}

/// Where any one would do.
fn any_of(clauses: impl Iterator<Item = String>) -> Option<String> {
    let clauses: Vec<String> = clauses.collect();
    (!clauses.is_empty()).then(|| clauses.join(", or "))
}

fn descriptors(fds: &[Fd]) -> String {
    let numbers: Vec<String> = fds.iter().map(|fd| fd.fd.to_string()).collect();
    format!("{} {}", if fds.len() == 1 { "descriptor" } else { "descriptors" }, listed(&numbers))
}

fn ends(fds: &[Fd], p: &str) -> String {
    if fds.len() == 1 { format!("the write end of {p}") } else { format!("write ends of {p}") }
}
