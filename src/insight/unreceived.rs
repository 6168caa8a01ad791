//! Messages that nobody received.

use super::{Finding, Rule, channel_name, listed, name};
use crate::model::{Channel, ChannelKind, Ended, Event, Kind, Names, TaskId, Weight, World};

/// A queue is removed, or the run ends, with messages of the run inside.
#[derive(Debug, Default)]
pub(super) struct UnreceivedMessage;

impl UnreceivedMessage {
    fn look(&self, channel: &Channel, removed: bool, world: &World, names: &Names) -> Option<Finding> {
        if !matches!(channel.kind, ChannelKind::Msg | ChannelKind::Mq) {
            return None;
        }
        let own = || channel.contents.runs().filter(|run| run.from != TaskId::LAB);
        let (count, bytes) =
            own().fold((0_u64, 0_u64), |(count, bytes), run| (count + 1, bytes.saturating_add(run.len)));
        if count == 0 {
            return None;
        }
        let mut tasks: Vec<TaskId> = own().map(|run| run.from).collect();
        tasks.sort_unstable();
        tasks.dedup();
        let senders: Vec<&str> = tasks.iter().map(|task| name(*task, world, names)).collect();
        let text = format!(
            "{count} {} ({bytes} B) of {} {} in {} {}: nobody received {}; receive until the queue is empty, or agree \
             on a last message",
            if count == 1 { "message" } else { "messages" },
            listed(&senders),
            if count == 1 { "was" } else { "were" },
            channel_name(channel.id, world, names),
            if removed { "when it was removed" } else { "at the end" },
            if count == 1 { "it" } else { "them" },
        );
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks, channels: vec![channel.id] })
    }
}

impl Rule for UnreceivedMessage {
    fn name(&self) -> &'static str {
        "unreceived-message"
    }

    fn about(&self) -> &'static str {
        "A message queue is removed, or the run ends, while messages are inside that nobody received."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        if let Kind::Destroy { channel } = event.kind
            && let Some(channel) = world.channel(channel)
        {
            findings.extend(self.look(channel, true, world, names));
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        // What goes on might still have done its part.
        if ended == Ended::Cut {
            return;
        }
        let left = world.channels().filter(|channel| channel.alive);
        findings.extend(left.filter_map(|channel| self.look(channel, false, world, names)));
    }
}

#[cfg(test)]
mod tests {
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Blob, ChannelId, ChannelKind, Ended, Kind, MessageType, Via};

    fn queue() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "sender").fork("init", "other");
        let (channel, kind, name) = (ChannelId::from_index(0), ChannelKind::Msg, sketch.intern("q"));
        let created = Kind::Create { channel, kind, name, capacity: 16384, messages: true, found: false };
        sketch.event("sender", "msgget", 0, created);
        for (task, number) in [("sender", 1), ("sender", 2), ("other", 2)] {
            let via = Via::Msg(MessageType::new(number));
            sketch.event(task, "msgsnd", 0, Kind::Write { channel, via, bytes: 5, data: Blob::EMPTY });
        }
        sketch
    }

    fn texts(sketch: &mut Sketch) -> Vec<String> {
        let found = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "unreceived-message");
        found.map(|finding| finding.text).collect()
    }

    fn receive(sketch: &mut Sketch, number: i64) {
        let (channel, via) = (sketch.channel("q"), Via::Msg(MessageType::new(number)));
        sketch.event("other", "msgrcv", 5, Kind::Read { channel, via, bytes: 5, data: Blob::EMPTY });
    }

    #[test]
    fn what_is_left_is_counted_and_its_senders_are_named() {
        let mut sketch = queue();
        receive(&mut sketch, 1);
        assert_eq!(texts(&mut sketch).len(), 0, "somebody might still receive them");
        let found = texts(sketch.ended(Ended::Stuck));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("2 messages (10 B) of sender and other were in q at the end: "), "{found:?}");
    }

    #[test]
    fn a_queue_that_is_removed_takes_its_messages_along() {
        let mut sketch = queue();
        receive(&mut sketch, 2);
        receive(&mut sketch, 2);
        let channel = sketch.channel("q");
        sketch.event("other", "msgctl", 0, Kind::Destroy { channel });
        let found = texts(&mut sketch);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("1 message (5 B) of sender was in q when it was removed: nobody received it"));
    }

    #[test]
    fn an_empty_queue_is_well() {
        let mut sketch = queue();
        for number in [1, 2, 2] {
            receive(&mut sketch, number);
        }
        assert_eq!(texts(&mut sketch), Vec::<String>::new());
    }
}
