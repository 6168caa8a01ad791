//! The causes that messages make: who receives one comes after its sender, and who sends one into a full
//! queue after those who made room.

use super::{Causes, Clock};
use crate::model::{ChannelId, Event, Kind, Mark, TaskId, Via};

/// The messages that went through a queue.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Those inside, oldest first.
    inside: Vec<(Mark, Clock)>,
    /// All that were sent: how much of the capacity each took, who sent it, and when.
    sent: Vec<(u64, TaskId, Clock)>,
    /// All that were received.
    taken: Vec<(u64, TaskId, Clock)>,
}

impl Mail {
    fn send(&mut self, task: TaskId, size: u64, mark: Mark, now: Clock) {
        self.inside.push((mark, now.clone()));
        self.sent.push((size, task, now));
    }

    /// After the sending of the message that comes out: the oldest of its type or priority.
    fn sender(&self, mark: Mark) -> Option<Clock> {
        self.inside.iter().find(|(known, _)| *known == mark).map(|(_, clock)| clock.clone())
    }

    fn take(&mut self, task: TaskId, size: u64, mark: Mark, now: Clock) {
        if let Some(at) = self.inside.iter().position(|(known, _)| *known == mark) {
            self.inside.remove(at);
        }
        self.taken.push((size, task, now));
    }

    /// After what had to be received before a message of this size could go in, for a sender that comes
    /// after `now`. Of what several have received nobody knows what was needed.
    fn room(&self, capacity: u64, size: u64, now: &Clock) -> Option<Clock> {
        if in_all(self.sent.iter()).saturating_add(size) <= capacity {
            return None;
        }
        let receiver = self.taken.first()?.1;
        if self.taken.iter().any(|(_, task, _)| *task != receiver) {
            return None;
        }
        // Only what went in before on every schedule has taken room on every schedule.
        let before = self.sent.iter().filter(|(_, task, clock)| clock.of(*task) <= now.of(*task));
        let needed = in_all(before).saturating_add(size).saturating_sub(capacity);
        let mut made = 0_u64;
        let enough = self.taken.iter().find(|(size, ..)| {
            made = made.saturating_add(*size);
            made >= needed
        });
        enough.filter(|_| needed > 0).map(|(.., clock)| clock.clone())
    }
}

/// How much of the capacity messages take together. A damaged recording can say any number.
fn in_all<'a>(messages: impl Iterator<Item = &'a (u64, TaskId, Clock)>) -> u64 {
    messages.fold(0, |sum, (size, ..)| sum.saturating_add(*size))
}

/// What moved where, if it was a message of a queue.
const fn message(event: &Event) -> Option<(ChannelId, Mark, u64)> {
    match event.kind {
        Kind::Read { channel, via: via @ (Via::Msg(_) | Via::Mq(..)), bytes, .. }
        | Kind::Write { channel, via: via @ (Via::Msg(_) | Via::Mq(..)), bytes, .. } => {
            Some((channel, via.mark(), bytes))
        }
        _ => None,
    }
}

impl Causes<'_> {
    /// What the moving of a message comes after.
    pub(super) fn before_message(&mut self, event: &Event) -> Option<Clock> {
        let (channel, mark, bytes) = message(event)?;
        let now = self.snapshot(event.task);
        let mail = self.mail.get(&channel)?;
        if matches!(event.kind, Kind::Read { .. }) {
            return mail.sender(mark);
        }
        let (capacity, size) = self.size(channel, bytes)?;
        mail.room(capacity, size, &now)
    }

    /// A message has moved.
    pub(super) fn message_moved(&mut self, event: &Event, now: Clock) {
        let Some((channel, mark, bytes)) = message(event) else { return };
        let size = self.size(channel, bytes).map_or(bytes, |(_, size)| size);
        let mail = self.mail.entry(channel).or_default();
        if matches!(event.kind, Kind::Read { .. }) {
            mail.take(event.task, size, mark, now);
        } else {
            mail.send(event.task, size, mark, now);
        }
    }

    /// The capacity of a queue, and how much of it a message takes.
    fn size(&self, id: ChannelId, bytes: u64) -> Option<(u64, u64)> {
        let queue = self.world.channel(id)?;
        Some((queue.capacity, if queue.counts_messages() { 1 } else { bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::names::Cast;
    use super::super::before;
    use super::{Clock, Mail, Mark, TaskId};
    use crate::model::sketch::Sketch;
    use crate::model::{Blob, ChannelKind, Kind, MessageType, Via};
    use crate::scenario::Program;

    fn judge(sketch: &mut Sketch) -> bool {
        let (log, program) = (sketch.log(), Program::default());
        before(&log, &program, &Cast::new(&log, &program), "a", "b").is_ok()
    }

    fn queue(capacity: u64) -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "x").fork("init", "y").fork("init", "z").create("x", "q", ChannelKind::Msg);
        let channel = sketch.channel("q");
        sketch.event("x", "msgctl", 0, Kind::Capacity { channel, bytes: capacity });
        sketch
    }

    fn send(sketch: &mut Sketch, task: &str, number: i64, bytes: u64) {
        let (channel, via) = (sketch.channel("q"), Via::Msg(MessageType::new(number)));
        sketch.event(task, "msgsnd", 0, Kind::Write { channel, via, bytes, data: Blob::EMPTY });
    }

    fn receive(sketch: &mut Sketch, task: &str, number: i64, bytes: u64) {
        let (channel, via) = (sketch.channel("q"), Via::Msg(MessageType::new(number)));
        sketch.event(task, "msgrcv", bytes as i64, Kind::Read { channel, via, bytes, data: Blob::EMPTY });
    }

    #[test]
    fn a_receiver_comes_after_the_sender_of_that_message() {
        let mut sketch = queue(1000);
        send(&mut sketch, "x", 1, 5);
        sketch.label("y", "a");
        send(&mut sketch, "y", 2, 5);
        receive(&mut sketch, "z", 2, 5);
        sketch.label("z", "b");
        assert!(judge(&mut sketch));
        let mut sketch = queue(1000);
        sketch.label("y", "a");
        send(&mut sketch, "y", 2, 5);
        send(&mut sketch, "x", 1, 5);
        receive(&mut sketch, "z", 1, 5);
        sketch.label("z", "b");
        assert!(!judge(&mut sketch));
    }

    #[test]
    fn who_needs_room_comes_after_who_makes_it() {
        for (first, held) in [(60, true), (40, false)] {
            let mut sketch = queue(100);
            send(&mut sketch, "x", 1, first);
            sketch.label("y", "a");
            receive(&mut sketch, "y", 1, first);
            send(&mut sketch, "x", 1, 60);
            sketch.label("x", "b");
            assert_eq!(judge(&mut sketch), held, "{first}");
        }
    }

    #[test]
    fn sizes_that_no_queue_could_have_do_not_overflow() {
        let mut mail = Mail::default();
        for size in [u64::MAX, u64::MAX - 1] {
            mail.send(TaskId::LAB, size, Mark::default(), Clock::default());
            mail.take(TaskId::LAB, size, Mark::default(), Clock::default());
        }
        assert!(mail.room(u64::MAX - 2, u64::MAX, &Clock::default()).is_some());
    }
}
