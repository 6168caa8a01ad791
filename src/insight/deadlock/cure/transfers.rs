//! Somebody waits for bytes or messages, for room, or for a connection.

use super::ends::has_ends;
use super::{Case, any_of, call_of, descriptors, ends, few};
use crate::insight::deadlock::blocked;
use crate::insight::deadlock::parts::is_mail;
use crate::insight::listed;
use crate::model::{Channel, ChannelId, ChannelKind, Fd, TaskId, Why};

impl Case<'_> {
    /// Somebody waits for room.
    pub(super) fn room(&self) -> Option<String> {
        let clause = |(writer, channel): (TaskId, Option<ChannelId>)| {
            let channel = self.world.channel(channel?)?;
            let others = self.circle.get(&writer)?;
            let readers: Vec<TaskId> =
                others.iter().copied().filter(|reader| self.process(*reader) != self.process(writer)).collect();
            let clauses: Vec<String> = readers.iter().map(|reader| self.makes_room(*reader, channel)).collect();
            Some(match clauses.len() {
                0 => self.nobody_reads(writer, channel),
                1 | 2 => clauses.join(" or "),
                _ => format!(
                    "one of {} must read from {} while the others wait",
                    self.few(&readers),
                    self.channel(channel.id)
                ),
            })
        };
        any_of(self.waiting(Why::Full).filter_map(clause))
    }

    fn nobody_reads(&self, writer: TaskId, channel: &Channel) -> String {
        let (p, who, capacity) = (self.channel(channel.id), self.name(writer), channel.capacity);
        if is_mail(channel) {
            return format!("another task must receive from {p} ({}) while {who} sends", call_of(channel.kind, false));
        }
        format!("another task must read from {p} while {who} writes more than it holds ({capacity} B)")
    }

    fn makes_room(&self, reader: TaskId, channel: &Channel) -> String {
        let (who, p, before) = (self.name(reader), self.channel(channel.id), self.before(reader));
        if is_mail(channel) {
            return format!("{who} must receive from {p} ({}) {before}", call_of(channel.kind, false));
        }
        let reads = |fd: &&Fd| fd.channel == channel.id && fd.access.reads();
        let fds: Vec<Fd> = self.world.fds(reader).filter(reads).copied().collect();
        let through = if fds.is_empty() { String::new() } else { format!(" ({})", descriptors(&fds)) };
        let polls = self
            .circle
            .keys()
            .find(|id| self.process(**id) == reader && blocked(**id, self.world).is_some_and(|it| it.why == Why::Poll));
        match polls {
            Some(thread) if self.polled(*thread).iter().all(|one| one.channel != Some(channel.id)) => {
                format!("{who} must read from {p}{through} too, which it does not poll")
            }
            _ => format!("{who} must read from {p}{through} {before}"),
        }
    }

    /// Somebody waits to be accepted.
    pub(super) fn places(&self) -> Option<String> {
        let clause = |(client, channel): (TaskId, Option<ChannelId>)| {
            let channel = channel?;
            let servers: Vec<&str> = self.circle.get(&client)?.iter().map(|server| self.name(*server)).collect();
            Some(format!(
                "{} must accept at {} before more connect than may wait",
                few(&servers),
                self.channel(channel)
            ))
        };
        any_of(self.waiting(Why::Backlog).filter_map(clause))
    }

    /// Each reads before it writes what the other waits for. Who has sent something and still could send more has
    /// mostly forgotten to say that there is no more; who waits to be accepted has nothing to say yet.
    pub(super) fn bytes(&self) -> Option<String> {
        let mut clauses: Vec<(u8, String)> =
            self.readers().into_iter().filter_map(|(reader, channel)| self.sends(reader, channel?)).collect();
        clauses.sort_by_key(|(rank, _)| *rank);
        let first = clauses.first().map(|(rank, _)| *rank)?;
        // Where somebody has begun, the others are in the right.
        any_of(clauses.into_iter().filter(|(rank, _)| first > 0 || *rank == 0).map(|(_, clause)| clause))
    }

    /// Who must send what `reader` waits for, and how likely it is that this was meant: 0 is the likeliest.
    fn sends(&self, reader: TaskId, channel: ChannelId) -> Option<(u8, String)> {
        let channel = self.world.channel(channel)?;
        let p = self.channel(channel.id);
        // Who sleeps cannot help itself, unless nobody else is there.
        let wakers = self.circle.get(&reader)?;
        let is_other = |waker: &TaskId| self.process(*waker) != self.process(reader);
        let others: Vec<TaskId> = wakers.iter().copied().filter(is_other).collect();
        match channel.kind {
            ChannelKind::Timerfd => return Some((2, self.arms(reader, channel.id))),
            ChannelKind::Mq | ChannelKind::Msg => return Some((2, self.mails(reader, channel))),
            ChannelKind::Eventfd if others.is_empty() => return Some((2, self.counts(reader, channel.id))),
            _ => {}
        }
        if others.is_empty() && channel.kind.is_pipe() && !self.polled(reader).is_empty() {
            return Some((2, self.by_hand(reader, channel.id)));
        }
        let actors = if others.is_empty() { wakers.clone() } else { others };
        let actors: Vec<(TaskId, Vec<Fd>)> = actors
            .into_iter()
            .map(|actor| (actor, self.writing(actor, channel.id, reader)))
            .filter(|(_, fds)| !fds.is_empty())
            .collect();
        if actors.is_empty() {
            return self.serves(reader, channel).map(|clause| (1, clause));
        }
        let wrote = |actor: TaskId| self.facts.has_written(self.process(actor), channel.id);
        let begun = has_ends(channel)
            && if channel.kind.is_pipe() { channel.written > 0 } else { actors.iter().any(|(actor, _)| wrote(*actor)) };
        let does = |(actor, fds): &(TaskId, Vec<Fd>)| {
            let (who, before, which) = (self.name(*actor), self.before(*actor), descriptors(fds));
            match (begun, channel.kind.is_socket()) {
                (true, true) => format!("{who} must call shutdown(2) on {which} of {p}, or write more, {before}"),
                (true, false) => format!("{who} must close {which} ({}), or write more, {before}", ends(fds, p)),
                _ => format!("{who} must write to {p} ({which}){} {before}", or_end(channel)),
            }
        };
        let clauses: Vec<String> = actors.iter().map(does).collect();
        // All must close it, one must write.
        let clause = match (begun, clauses.len()) {
            (true, _) => listed(&clauses),
            (false, 1 | 2) => clauses.join(" or "),
            _ => {
                let names: Vec<TaskId> = actors.iter().map(|(actor, _)| *actor).collect();
                format!("one of {} must write to {p} before it waits itself", self.few(&names))
            }
        };
        let rank = match (begun, channel.kind.is_socket()) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 3,
        };
        Some((rank, clause))
    }

    fn arms(&self, reader: TaskId, timer: ChannelId) -> String {
        format!(
            "{} must arm {} before it waits: with 0 in it_value timerfd_settime(2) disarms it, whatever it_interval says",
            self.name(reader),
            self.channel(timer)
        )
    }

    fn counts(&self, reader: TaskId, counter: ChannelId) -> String {
        let fds: Vec<Fd> = self.world.fds(reader).filter(|fd| fd.channel == counter).copied().collect();
        format!(
            "another task must write to {} ({}) while {} waits: to have it too, a child must be forked after it was made \
             (eventfd(2))",
            self.channel(counter),
            descriptors(&fds),
            self.name(reader)
        )
    }

    /// Who polls a pipe to itself means a handler or a thread to write to it.
    fn by_hand(&self, reader: TaskId, pipe: ChannelId) -> String {
        let (who, p) = (self.name(reader), self.channel(pipe));
        let fds = self.writing(self.process(reader), pipe, reader);
        format!(
            "somebody must write to {p} ({}) while {who} polls, a signal handler for one, or {who} must close it",
            descriptors(&fds)
        )
    }

    /// Of a queue it does not matter who sends, so one clause is enough for all who wait there.
    fn mails(&self, reader: TaskId, channel: &Channel) -> String {
        let (q, call) = (self.channel(channel.id), call_of(channel.kind, true));
        let mut senders: Vec<TaskId> = Vec::new();
        for (id, _) in self.readers().into_iter().filter(|(_, at)| *at == Some(channel.id)) {
            senders.extend(self.others(id).iter().map(|sender| self.process(*sender)));
        }
        senders.sort_unstable();
        senders.dedup();
        match senders[..] {
            [] => format!(
                "somebody must send a message to {q} ({call}) for each that {} receives, or say which is the last",
                self.name(reader)
            ),
            [one] => format!("{} must send a message to {q} ({call}) {}", self.name(one), self.before(one)),
            _ => format!("one of {} must send a message to {q} ({call}) before it waits itself", self.few(&senders)),
        }
    }

    /// Who waits for what comes through a connection that nobody has accepted.
    fn serves(&self, client: TaskId, channel: &Channel) -> Option<String> {
        let listener = channel.socket.as_ref()?.peer?;
        let servers = self.others(client);
        let server = *servers.first()?;
        Some(format!(
            "{} must accept {} at {} {}, so that no client has to wait for another (poll(2), or a process or a thread \
             for each)",
            self.few(&servers),
            self.channel(channel.id),
            self.channel(listener),
            self.before(self.process(server))
        ))
    }
}

/// What else ends the wait for bytes.
fn or_end(channel: &Channel) -> &'static str {
    match channel.kind {
        kind if kind.is_pipe() => ", or close it,",
        ChannelKind::Unix | ChannelKind::Tcp => ", or call shutdown(2),",
        _ => "",
    }
}
