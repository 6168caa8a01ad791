//! A receiver waits for a type of message, and messages of other types wait for it (msgrcv(2)).

use std::collections::BTreeMap;

use super::{Finding, Rule, channel_name, listed, name};
use crate::model::{Blocked, Ended, Event, Mark, Names, State, Task, TaskId, Wanted, Weight, Why, World};

/// At the end of the run somebody waits for another type than there is.
#[derive(Debug, Default)]
pub(super) struct MessageOfAnotherType;

/// Whether somebody could still put a message in: of a run that was cut, who does not sleep or whose sleep ends.
fn may_come(receiver: TaskId, world: &World) -> bool {
    let sleeps = |task: &Task| match task.state {
        State::Blocked(Blocked { why, .. }) => !matches!(why, Why::Time | Why::Other | Why::Poll),
        _ => false,
    };
    world.possible_wakers(receiver).is_none_or(|wakers| {
        wakers.outside || wakers.tasks.iter().any(|id| world.living().any(|it| it.process == *id && !sleeps(it)))
    })
}

impl Rule for MessageOfAnotherType {
    fn name(&self) -> &'static str {
        "message-of-another-type"
    }

    fn about(&self) -> &'static str {
        "A receiver waits for a type of message, while messages of other types wait in the queue."
    }

    fn observe(&mut self, _: &Event, _: &[u8], _: &World, _: &Names, _: &mut Vec<Finding>) {}

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        for task in world.living() {
            let (Wanted::Message(wanted), State::Blocked(Blocked { why: Why::Empty, channel: Some(id), .. })) =
                (&task.wanted, task.state)
            else {
                continue;
            };
            let Some(channel) = world.channel(id) else { continue };
            let mut types: BTreeMap<i64, usize> = BTreeMap::new();
            let mut senders: Vec<TaskId> = Vec::new();
            for run in channel.contents.runs() {
                let Mark::Type(kind) = run.mark else { continue };
                *types.entry(kind).or_default() += 1;
                if run.from != TaskId::LAB && !senders.contains(&run.from) {
                    senders.push(run.from);
                }
            }
            let matches = |kind: &i64| match wanted {
                0 => true,
                1.. => kind == wanted,
                _ => *kind <= wanted.saturating_neg(),
            };
            if types.is_empty() || types.keys().any(matches) {
                continue;
            }
            let who = name(task.id, world, names);
            let q = channel_name(id, world, names);
            let asked = if *wanted > 0 { format!("of type {wanted}") } else { format!("of type {} or lower", -wanted) };
            let there: Vec<String> = types
                .iter()
                .map(
                    |(kind, count)| {
                        if *count == 1 { format!("one of type {kind}") } else { format!("{count} of type {kind}") }
                    },
                )
                .collect();
            let by: Vec<&str> = senders.iter().map(|sender| name(*sender, world, names)).collect();
            let by = if by.is_empty() { String::new() } else { format!(" from {}", listed(&by)) };
            let text = format!(
                "{who} waits in msgrcv for a message {asked} at {q}, where {}{by} {}: send with the mtype that is \
                 received, or receive with type 0, which takes any (msgrcv(2))",
                listed(&there),
                if types.values().sum::<usize>() == 1 { "waits" } else { "wait" },
            );
            let sure = ended == Ended::Stuck || !may_come(task.id, world);
            let mut tasks = vec![task.id];
            tasks.extend(senders.into_iter().filter(|sender| *sender != task.id));
            findings.push(Finding {
                rule: self.name(),
                weight: if sure { Weight::Fault } else { Weight::Note },
                text,
                tasks,
                channels: vec![id],
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Blob, ChannelId, ChannelKind, Kind, MessageType, Via};

    fn found(sketch: &mut Sketch) -> Vec<String> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "message-of-another-type");
        findings.map(|it| it.text).collect()
    }

    fn queue(types: &[i64], wanted: i64) -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").fork("init", "b");
        let (channel, name) = (ChannelId::from_index(0), sketch.intern("q"));
        let kind = ChannelKind::Msg;
        sketch.event("a", "msgget", 1, Kind::Create { channel, kind, name, capacity: 0, messages: true, found: false });
        sketch.get("a", "q").get("b", "q");
        for kind in types {
            let via = Via::Msg(MessageType::new(*kind));
            sketch.event("a", "msgsnd", 0, Kind::Write { channel, via, bytes: 4, data: Blob::EMPTY });
        }
        sketch.exit("a", 0).wants("b", "msgrcv", Why::Empty, "q", &Wanted::Message(wanted));
        sketch
    }

    #[test]
    fn another_type_waits() {
        let expected = "b waits in msgrcv for a message of type 2 at q, where one of type 1 and 2 of type 3 from a wait: \
                        send with the mtype that is received, or receive with type 0, which takes any (msgrcv(2))";
        assert_eq!(found(&mut queue(&[3, 1, 3], 2)), [expected]);
        assert_eq!(found(&mut queue(&[3], -2)).len(), 1);
    }

    #[test]
    fn an_empty_queue_is_another_matter() {
        assert_eq!(found(&mut queue(&[], 2)), [""; 0]);
        assert_eq!(found(&mut queue(&[2], 2)), [""; 0], "it is about to come");
        assert_eq!(found(&mut queue(&[1], -2)), [""; 0]);
    }
}
