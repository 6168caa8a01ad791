//! What would have helped: who must do what, with which descriptor, call and object.

mod ends;
mod held;
mod transfers;

use std::collections::{BTreeMap, BTreeSet};

use super::blocked;
use super::facts::Facts;
use super::parts::is_mail;
use crate::insight::private_memory::shared_word;
use crate::insight::{channel_name, listed, name};
use crate::model::{ChannelId, ChannelKind, Fd, Names, Polled, TaskId, Wanted, Why, Word, World};

/// A deadlock, and all that its sentence is made of.
pub(super) struct Case<'a> {
    pub(super) circle: &'a BTreeMap<TaskId, Vec<TaskId>>,
    pub(super) facts: &'a Facts,
    pub(super) world: &'a World,
    pub(super) names: &'a Names,
}

/// A process that holds an end of a channel which it must close.
type Closed = BTreeSet<(TaskId, ChannelId)>;

impl Case<'_> {
    /// The cure, in one clause. What is certainly wrong comes first; where any one of several would do, it says so.
    pub(super) fn cure(&self) -> String {
        if let Some(cure) = self.lost_at_fork().or_else(|| self.apart()) {
            return cure;
        }
        let (clauses, closed) = self.forgotten_ends();
        let left = self.without(&closed);
        let rest = || Case { circle: &left, ..*self }.any_other();
        let cure = match (clauses.is_empty(), left.is_empty()) {
            (true, _) => rest(),
            (false, true) => listed(&clauses),
            (false, false) => format!("{}; and {}", listed(&clauses), rest()),
        };
        match self.restarted() {
            Some(other) => format!("{cure}; or, {other}"),
            None => cure,
        }
    }

    /// What helps those of whom nobody has forgotten anything.
    fn any_other(&self) -> String {
        let all = [self.room(), self.places(), self.locks(), self.words(), self.values(), self.peers(), self.bytes()];
        all.into_iter().flatten().next().unwrap_or_else(|| {
            let names: Vec<&str> = self.circle.keys().map(|id| self.name(*id)).collect();
            format!("one of {} must go on without waiting for the others", few(&names))
        })
    }

    /// What another rule says as well: the memory is to blame.
    fn apart(&self) -> Option<String> {
        let apart = self.circle.keys().find_map(|id| self.facts.apart(*id, self.world))?;
        Some(apart.text(self.world, self.names).1)
    }

    /// A handler has run in the sleep of one of them, and the call has begun anew.
    fn restarted(&self) -> Option<String> {
        let alarm = |signal: &crate::model::Signal| {
            !matches!(signal.number(), libc::SIGCHLD | libc::SIGWINCH | libc::SIGCONT | libc::SIGURG)
        };
        let (id, signal) =
            self.circle.keys().find_map(|id| Some((*id, self.facts.restarted_by(*id).filter(alarm)?)))?;
        let call = blocked(id, self.world)?.call.map_or("the call", |call| self.names.get(call));
        Some(format!(
            "if the handler of {signal} is to end the {call} of {}, set it without SA_RESTART (sigaction(2)), with which the \
             call begins anew",
            self.name(id)
        ))
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

    pub(super) fn name(&self, id: TaskId) -> &str {
        name(id, self.world, self.names)
    }

    pub(super) fn channel(&self, id: ChannelId) -> &str {
        channel_name(id, self.world, self.names)
    }

    pub(super) fn few(&self, tasks: &[TaskId]) -> String {
        few(&tasks.iter().map(|task| self.name(*task)).collect::<Vec<_>>())
    }

    pub(super) fn process(&self, id: TaskId) -> TaskId {
        self.world.task(id).map_or(id, |task| task.process)
    }

    /// Who else could end the sleep of `id`.
    pub(super) fn others(&self, id: TaskId) -> Vec<TaskId> {
        self.circle.get(&id).into_iter().flatten().copied().filter(|waker| *waker != id).collect()
    }

    /// Whether a task waits for a mutex whose owner is known.
    pub(super) fn is_mutex(&self, id: TaskId) -> bool {
        self.word(id).0 == Word::Mutex
    }

    /// The word of memory at which a task waits: of what, and where.
    pub(super) fn word(&self, id: TaskId) -> (Word, u64) {
        match self.world.task(id).map(|task| &task.wanted) {
            Some(Wanted::Word { of, at }) => (*of, *at),
            _ => (Word::Unknown, 0),
        }
    }

    /// Where it is in memory that processes share.
    pub(super) fn place_of_word(&self, id: TaskId) -> Option<String> {
        let place = match blocked(id, self.world)?.channel {
            Some(channel) => Some((channel, self.word(id).1)),
            None => shared_word(id, self.world),
        };
        place.map(|(channel, byte)| format!("byte {byte} of {}", self.channel(channel)))
    }

    /// What a task polls for reading.
    fn polled(&self, id: TaskId) -> &[Polled] {
        match self.world.task(id).map(|task| &task.wanted) {
            Some(Wanted::Ready { polled }) => polled,
            _ => &[],
        }
    }

    /// Those who wait for bytes, and where: in a read, or in a poll of which they want to read.
    fn readers(&self) -> Vec<(TaskId, Option<ChannelId>)> {
        let polls = |id: &TaskId| {
            let id = *id;
            self.polled(id).iter().filter(|one| one.access.reads()).map(move |one| (id, one.channel))
        };
        self.waiting(Why::Empty).chain(self.circle.keys().flat_map(polls)).collect()
    }

    /// Those who wait so, and where.
    fn waiting(&self, why: Why) -> impl Iterator<Item = (TaskId, Option<ChannelId>)> {
        self.circle.keys().filter_map(move |id| {
            blocked(*id, self.world).filter(|blocked| blocked.why == why).map(|blocked| (*id, blocked.channel))
        })
    }

    /// What a process does instead of what is waited for: the sleep of one of its threads.
    fn before(&self, process: TaskId) -> String {
        let sleeper = self.circle.keys().find(|id| self.process(**id) == process);
        let Some(blocked) = sleeper.and_then(|id| blocked(*id, self.world)) else {
            return "before it waits".to_owned();
        };
        let mail = blocked.channel.and_then(|channel| self.world.channel(channel)).is_some_and(is_mail);
        let at = blocked.channel.map(|channel| self.channel(channel).to_owned());
        match (blocked.why, blocked.on, at) {
            (Why::Child | Why::Join, Some(on), _) => format!("before it waits for {}", self.name(on)),
            (Why::Child | Why::Signal, None, _) => "before it waits for its children".to_owned(),
            (Why::Empty, _, Some(at)) if mail => format!("before it receives from {at}"),
            (Why::Full, _, Some(at)) if mail => format!("before it sends to {at}"),
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

    fn peers(&self) -> Option<String> {
        self.waiting(Why::NoPeer).next().map(|_| "open FIFOs in the same order everywhere".to_owned())
    }

    fn lost_at_fork(&self) -> Option<String> {
        let lost = self.waiting(Why::Futex).find(|(id, channel)| {
            let process = self.process(*id);
            let alone = self.world.living().filter(|task| task.process == process).count() == 1;
            channel.is_none()
                && alone
                && self.facts.forked_by(process).is_some()
                && shared_word(*id, self.world).is_none()
        })?;
        Some(format!(
            "a lock that another thread held at the fork stays locked in {}: fork before threads are started, or call \
             only what signal-safety(7) lists until exec or _exit",
            self.name(lost.0)
        ))
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

/// Where any one would do: two are named, at most.
fn any_of(clauses: impl Iterator<Item = String>) -> Option<String> {
    let mut named: Vec<String> = Vec::new();
    for clause in clauses {
        if named.len() < 2 && !named.contains(&clause) {
            named.push(clause);
        }
    }
    (!named.is_empty()).then(|| named.join(", or "))
}

fn descriptors(fds: &[Fd]) -> String {
    let numbers: Vec<String> = fds.iter().map(|fd| fd.fd.to_string()).collect();
    format!("{} {}", if fds.len() == 1 { "descriptor" } else { "descriptors" }, listed(&numbers))
}

fn ends(fds: &[Fd], p: &str) -> String {
    if fds.len() == 1 { format!("the write end of {p}") } else { format!("write ends of {p}") }
}

/// Which call moves a message.
fn call_of(kind: ChannelKind, sends: bool) -> &'static str {
    match (kind, sends) {
        (ChannelKind::Mq, true) => "mq_send(3)",
        (ChannelKind::Mq, false) => "mq_receive(3)",
        (_, true) => "msgsnd(2)",
        (_, false) => "msgrcv(2)",
    }
}
