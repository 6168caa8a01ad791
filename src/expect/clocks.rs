//! `before "a" "b"`: on every schedule, not by chance.
//!
//! A log shows one order; the question is which part of it the program forces. Vector clocks answer
//! it: every task counts its own events, and takes over the counts of another task where something
//! makes it come after. What does so: `fork`; a connection being asked for; waiting for a child; getting
//! the bytes or the message that somebody wrote, and the room that somebody made; end-of-file and EPIPE,
//! which need every other end closed;
//! the other end of a FIFO being opened; a semaphore's value; a barrier; and a signal. Turns of a scheduler do not.

mod mail;

use std::collections::{HashMap, VecDeque};

use mail::Mail;

use super::flow::{Clock, Flow};
use super::names::{Cast, walk};
use super::semaphores::Semaphores;
use super::{Judged, judged};
use crate::model::{Access, ChannelId, ChannelKind, End, Event, Kind, Log, Phase, Signal, State, TaskId, Why, World};
use crate::scenario::{BarrierId, Op, Program};

const EPIPE: i32 = 32;

/// A passing of a label.
#[derive(Debug)]
struct Passing {
    seq: u64,
    task: TaskId,
    clock: Clock,
}

/// The causes in a log, followed event by event.
#[derive(Debug)]
struct Causes<'a> {
    log: &'a Log,
    world: World,
    clocks: Vec<Clock>,
    mail: HashMap<ChannelId, Mail>,
    /// What flows to an end of a channel; of all but connections the first.
    flows: HashMap<(ChannelId, End), Flow>,
    /// When each connection was asked for.
    connected: HashMap<ChannelId, Clock>,
    semaphores: Semaphores,
    barriers: HashMap<(u32, &'a str), BarrierId>,
    /// Who waits at which barrier.
    arrived: HashMap<Option<BarrierId>, Vec<TaskId>>,
    /// Who may leave a barrier, and after what.
    released: HashMap<TaskId, Clock>,
    /// Signals on their way, and when each was sent.
    sent: HashMap<(TaskId, Signal), VecDeque<Clock>>,
}

/// Judges that every passing of the label `first` comes before every passing of `second`.
pub(super) fn before(log: &Log, program: &Program, cast: &Cast<'_>, first: &str, second: &str) -> Judged {
    let mut causes = Causes::new(log, program);
    let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
    for (seq, event) in log.range(0..log.len()) {
        causes.follow(event);
        let Kind::Note { text, label: true } = event.kind else { continue };
        let mut passing = || Passing { seq, task: event.task, clock: causes.clock(event.task).clone() };
        if log.name(text) == first {
            firsts.push(passing());
        }
        if log.name(text) == second {
            seconds.push(passing());
        }
    }
    for (label, passings) in [(first, &firsts), (second, &seconds)] {
        if passings.is_empty() {
            return Err(format!("the label {label} was never passed"));
        }
    }
    let pairs = || firsts.iter().flat_map(|a| seconds.iter().map(move |b| (a, b)));
    if pairs().any(|(a, b)| a.seq >= b.seq) {
        return Err(format!("{second} came before {first} in this run"));
    }
    let chance = pairs().find(|(a, b)| b.clock.of(a.task) < a.clock.of(a.task));
    judged(
        chance.is_none(),
        chance.map_or_else(
            || format!("{first} comes before {second} on every schedule"),
            |(a, b)| {
                let (a, b) = (cast.name_of(a.task), cast.name_of(b.task));
                format!("{first} came before {second} only by chance: nothing makes {b} wait for {a} there")
            },
        ),
    )
}

impl<'a> Causes<'a> {
    fn new(log: &'a Log, program: &'a Program) -> Self {
        let mut barriers = HashMap::new();
        for root in &program.roots {
            walk(&root.body, &mut |statement| {
                let info = program.statements.get(statement.id.index());
                if let (Op::Barrier { barrier }, Some(info)) = (&statement.op, info) {
                    barriers.insert((info.line, info.text.as_str()), *barrier);
                }
            });
        }
        Self {
            log,
            world: log.world_at(0),
            clocks: Vec::new(),
            flows: HashMap::new(),
            mail: HashMap::new(),
            connected: HashMap::new(),
            semaphores: Semaphores::of(log),
            barriers,
            arrived: HashMap::new(),
            released: HashMap::new(),
            sent: HashMap::new(),
        }
    }

    fn clock(&mut self, task: TaskId) -> &mut Clock {
        let index = task.index();
        self.clocks.resize_with(self.clocks.len().max(index + 1), Clock::default);
        &mut self.clocks[index]
    }

    fn join(&mut self, task: TaskId, other: &Clock) {
        self.clock(task).join(other);
    }

    /// The clock of a task now, as others may take it over.
    fn snapshot(&mut self, task: TaskId) -> Clock {
        self.clock(task).clone()
    }

    fn follow(&mut self, event: &Event) {
        let task = event.task;
        // Being sent a signal is not a deed of the one that it is sent to.
        if let Kind::Signal { phase: Phase::Generated, signal, from, .. } = event.kind {
            let sent = from.map(|from| self.snapshot(from)).unwrap_or_default();
            self.sent.entry((task, signal)).or_default().push_back(sent);
        } else {
            if let Some(causes) = self.causes_of(event) {
                self.join(task, &causes);
            }
            self.clock(task).tick(task);
            self.effects_of(event);
        }
        self.world.apply(event, self.log.payload(event));
    }

    /// What an event comes after, besides the earlier events of its task.
    fn causes_of(&mut self, event: &Event) -> Option<Clock> {
        let task = event.task;
        match event.kind {
            Kind::Write { channel, via, .. } if event.errno() == Some(EPIPE) => {
                let across = self.own_end(task, via.fd(), channel).map(End::other).filter(|_| self.is_socket(channel));
                Some(self.flows.get(&(channel, across.unwrap_or_default()))?.read_ends_closed.clone())
            }
            _ if event.failed() => None,
            Kind::Reap { child, .. } => Some(self.snapshot(child)),
            Kind::Read { channel, via, bytes, .. } if self.is_flow(channel) => {
                let end = self.own_end(task, via.fd(), channel).unwrap_or_default();
                Some(self.bytes_read(task, channel, end, bytes))
            }
            Kind::Sem { .. } => {
                let own = self.snapshot(task);
                self.semaphores.causes(self.log, event, &own)
            }
            Kind::Write { channel, bytes, .. } if self.is_pipe(channel) => Some(self.room_for(channel, bytes)),
            Kind::Accept { connection, .. } => self.connected.get(&connection).cloned(),
            Kind::Read { .. } | Kind::Write { .. } => self.before_message(event),
            Kind::Open { channel, access, flags, .. } if !flags.nonblock && self.is_fifo(channel) => {
                self.flows.get(&(channel, End::First))?.peers(task, access)
            }
            Kind::Unblock { .. } => self.leave_barrier(task),
            Kind::Signal { phase: Phase::Delivered, signal, .. } => self.deliver(task, signal),
            _ => None,
        }
    }

    /// What comes after an event that has just been counted.
    fn effects_of(&mut self, event: &Event) {
        if event.failed() {
            return;
        }
        let task = event.task;
        let now = self.snapshot(task);
        match event.kind {
            Kind::Spawn { child, .. } => *self.clock(child) = now,
            Kind::Write { channel, via, bytes, .. } if self.is_flow(channel) => {
                let end = self.own_end(task, via.fd(), channel);
                let Some(end) = self.world.channel(channel).and_then(|it| it.arrival(end, via)) else { return };
                let flow = self.flows.entry((channel, end)).or_default();
                flow.written = flow.written.saturating_add(bytes);
                if flow.written > flow.read {
                    flow.writes.push_back((flow.written, now));
                }
            }
            Kind::Read { channel, via, bytes, .. } if bytes > 0 && self.is_flow(channel) => {
                let end = self.own_end(task, via.fd(), channel).unwrap_or_default();
                let flow = self.flows.entry((channel, end)).or_default();
                flow.reads.push_back((flow.read, now));
                flow.read = flow.read.saturating_add(bytes);
            }
            Kind::Sem { .. } => self.semaphores.follow(self.log, event, &now),
            Kind::Connect { channel, .. } => {
                self.connected.insert(channel, now);
            }
            Kind::Drop { channel, bytes } => {
                let flow = self.flows.entry((channel, End::First)).or_default();
                flow.written = flow.written.saturating_sub(bytes);
                flow.writes.pop_back();
            }
            Kind::Shutdown { channel, end, how } => self.end_shut(channel, end, how, &now),
            Kind::Read { .. } | Kind::Write { .. } => self.message_moved(event, now),
            Kind::Close { fd, .. } => self.end_closed(task, fd, &now),
            Kind::Dup { fd, to, .. } if fd != to => self.end_closed(task, to, &now),
            Kind::Exit { .. } if !self.shares_table(task) => {
                let fds: Vec<i32> = self.world.fds(task).map(|fd| fd.fd).collect();
                for fd in fds {
                    self.end_closed(task, fd, &now);
                }
            }
            Kind::Open { channel, access, .. } if self.is_fifo(channel) => {
                self.flows.entry((channel, End::First)).or_default().opened(task, access, now);
            }
            Kind::Block { why: Why::NoPeer, channel: Some(channel), .. } => {
                self.flows.entry((channel, End::First)).or_default().openings.push((task, None, now));
            }
            Kind::Block { why: Why::Barrier, .. } => {
                let barrier = self.barrier_of(task);
                self.arrived.entry(barrier).or_default().push(task);
            }
            _ => {}
        }
    }

    fn is_pipe(&self, id: ChannelId) -> bool {
        self.world.channel(id).is_some_and(|channel| channel.kind.is_pipe())
    }

    fn is_socket(&self, id: ChannelId) -> bool {
        self.world.channel(id).is_some_and(|channel| channel.kind.is_socket())
    }

    /// Whether what comes out of it first went in first.
    fn is_flow(&self, id: ChannelId) -> bool {
        self.is_pipe(id) || self.is_socket(id)
    }

    /// The end of a channel that a descriptor of a task is.
    fn own_end(&self, task: TaskId, fd: Option<i32>, channel: ChannelId) -> Option<End> {
        let entry = self.world.fd(task, fd?)?;
        (entry.channel == channel).then_some(entry.end)
    }

    /// An end of a connection will not write, and so the other comes to the end, or not read.
    fn end_shut(&mut self, channel: ChannelId, end: End, how: Access, now: &Clock) {
        if how.writes() {
            self.flows.entry((channel, end.other())).or_default().write_ends_closed.join(now);
        }
        if how.reads() {
            self.flows.entry((channel, end)).or_default().read_ends_closed.join(now);
        }
    }

    fn is_fifo(&self, id: ChannelId) -> bool {
        self.world.channel(id).is_some_and(|channel| channel.kind == ChannelKind::Fifo)
    }

    fn shares_table(&self, id: TaskId) -> bool {
        let Some(table) = self.world.task(id).map(|task| task.table) else { return false };
        self.world.living().any(|task| task.id != id && task.table == table)
    }

    fn end_closed(&mut self, task: TaskId, fd: i32, now: &Clock) {
        let Some(fd) = self.world.fd(task, fd).copied().filter(|fd| self.is_flow(fd.channel)) else { return };
        if self.is_socket(fd.channel) {
            return self.end_shut(fd.channel, fd.end, Access::ReadWrite, now);
        }
        let flow = self.flows.entry((fd.channel, End::First)).or_default();
        if fd.access.writes() {
            flow.write_ends_closed.join(now);
        }
        if fd.access.reads() {
            flow.read_ends_closed.join(now);
        }
    }

    /// After the writes whose bytes a read gets; for end-of-file, after the last write end was closed.
    fn bytes_read(&mut self, reader: TaskId, id: ChannelId, reading: End, bytes: u64) -> Clock {
        let mut after = Clock::default();
        if bytes == 0 && self.is_socket(id) {
            return self.end_of_stream(id, reading);
        }
        let flow = self.flows.entry((id, reading)).or_default();
        if bytes == 0 {
            let ended = self.world.channel(id).is_some_and(|it| it.writers == 0 && it.contents.is_empty());
            return if ended { flow.write_ends_closed.clone() } else { after };
        }
        let end = flow.read.saturating_add(bytes);
        while let Some((write_end, clock)) = flow.writes.front() {
            after.join(clock);
            if *write_end > end {
                break;
            }
            let reached = *write_end == end;
            flow.writes.pop_front();
            if reached {
                break;
            }
        }
        if end > flow.written
            && let Some(writer) = self.unfinished_writer(reader, id, reading)
        {
            after.join(&self.snapshot(writer));
        }
        after
    }

    /// The end of a stream comes after everybody has closed the end across, or somebody has shut it. If
    /// that is not in the log yet, only who alone holds it can have done so.
    fn end_of_stream(&mut self, id: ChannelId, reading: End) -> Clock {
        let across = reading.other();
        let socket = self.world.channel(id).and_then(|channel| channel.socket.as_ref());
        if socket.is_some_and(|socket| socket.shut_write[across.index()]) {
            return self.flows.entry((id, reading)).or_default().write_ends_closed.clone();
        }
        let holders = self.world.holders(id).filter(|(_, fd)| fd.end == across).map(|(task, _)| task.id);
        let mut holders: Vec<TaskId> = holders.collect();
        holders.dedup();
        if let [only] = holders[..] { self.snapshot(only) } else { Clock::default() }
    }

    /// Who must have written bytes that are read before their write has returned: who sleeps in one,
    /// or else who alone could. Several candidates prove nothing about any of them.
    fn unfinished_writer(&self, reader: TaskId, id: ChannelId, reading: End) -> Option<TaskId> {
        let sleeps = |state| matches!(state, State::Blocked(it) if it.why == Why::Full && it.channel == Some(id));
        let mut sleepers: Vec<TaskId> =
            self.world.living().filter(|task| sleeps(task.state)).map(|task| task.id).collect();
        if sleepers.is_empty() {
            let is_socket = self.is_socket(id);
            let across = |end| !is_socket || end != reading;
            let holders =
                self.world.holders(id).filter(|(task, fd)| task.id != reader && fd.access.writes() && across(fd.end));
            sleepers = holders.map(|(task, _)| task.id).collect();
            sleepers.dedup();
        }
        if let [only] = sleepers[..] { Some(only) } else { None }
    }

    /// After the reads without which what is written could not have fitted in.
    fn room_for(&mut self, id: ChannelId, bytes: u64) -> Clock {
        let capacity = self.world.channel(id).map_or(0, |channel| channel.capacity);
        let flow = self.flows.entry((id, End::First)).or_default();
        let gone = flow.written.saturating_add(bytes).saturating_sub(capacity);
        while capacity > 0
            && let Some((_, clock)) = flow.reads.pop_front_if(|(start, _)| *start < gone)
        {
            flow.room.join(&clock);
        }
        flow.room.clone()
    }

    fn barrier_of(&self, task: TaskId) -> Option<BarrierId> {
        let (line, text) = self.world.task(task)?.line?;
        self.barriers.get(&(line, self.log.name(text))).copied()
    }

    /// Who leaves a barrier first has seen everybody arrive; those who follow belong to the same round.
    fn leave_barrier(&mut self, task: TaskId) -> Option<Clock> {
        if let Some(clock) = self.released.remove(&task) {
            return Some(clock);
        }
        let (barrier, _) = self.arrived.iter().find(|(_, tasks)| tasks.contains(&task))?;
        let round = self.arrived.remove(&barrier.to_owned())?;
        let mut after = Clock::default();
        for party in &round {
            after.join(&self.snapshot(*party));
        }
        self.released.extend(round.into_iter().filter(|party| *party != task).map(|party| (party, after.clone())));
        Some(after)
    }

    /// A standard signal comes after at least one of those that were sent, nobody knows which; of a
    /// real-time signal every one comes.
    fn deliver(&mut self, task: TaskId, signal: Signal) -> Option<Clock> {
        let sent = self.sent.get_mut(&(task, signal))?;
        let mut after = sent.pop_front()?;
        if !signal.is_realtime() {
            for other in sent.drain(..) {
                after.meet(&other);
            }
        }
        Some(after)
    }
}

#[cfg(test)]
#[path = "clocks_tests.rs"]
mod tests;
