//! Objects that outlive their processes: somebody has to remove them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule, channel_name, name};
use crate::model::{Channel, ChannelId, ChannelKind, Ended, Event, Kind, Names, TaskId, Weight, World};

/// What the run has made, nobody has removed and nobody holds any more.
pub(crate) fn left_behind(world: &World) -> impl Iterator<Item = &Channel> {
    world.channels().filter(|channel| {
        let stays = channel.kind.outlives() && !channel.found && channel.alive && !channel.unlinked;
        stays && channel.holders == 0
    })
}

/// At the end an object is left that the run has made. Who makes one and does no more with it (mkfifo(1), ipcmk(1))
/// means it to stay.
#[derive(Debug, Default)]
pub(super) struct LeakedIpcObject {
    makers: BTreeMap<ChannelId, TaskId>,
    /// Those that have an identifier, System V's, and no name.
    identified: BTreeSet<ChannelId>,
    /// Those that somebody has used, beyond making them.
    used: BTreeSet<ChannelId>,
}

impl LeakedIpcObject {
    fn cure(&self, channel: &Channel) -> (&'static str, &'static str) {
        let identified = self.identified.contains(&channel.id);
        match channel.kind {
            ChannelKind::Fifo => ("the FIFO", "unlink(2)"),
            ChannelKind::Mq => ("the message queue", "mq_unlink(3)"),
            ChannelKind::Msg => ("the message queue", "msgctl(2) with IPC_RMID"),
            ChannelKind::Sem if identified => ("the semaphore set", "semctl(2) with IPC_RMID"),
            ChannelKind::Sem => ("the semaphore", "sem_unlink(3)"),
            _ if identified => ("the segment", "shmctl(2) with IPC_RMID"),
            _ => ("the segment", "shm_unlink(3)"),
        }
    }
}

impl Rule for LeakedIpcObject {
    fn name(&self) -> &'static str {
        "leaked-ipc-object"
    }

    fn about(&self) -> &'static str {
        "A queue, segment, semaphore or FIFO outlives the run that made it, because nobody removed it."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, _: &Names, _: &mut Vec<Finding>) {
        if self.makers.is_empty() && !matches!(event.kind, Kind::Create { .. }) {
            return;
        }
        let by_another = |channel| self.makers.get(&channel).is_some_and(|maker| *maker != event.task);
        match event.kind {
            Kind::Write { channel, .. }
            | Kind::Read { channel, .. }
            | Kind::Attach { channel, .. }
            | Kind::Sem { channel, .. } => {
                self.used.insert(channel);
            }
            Kind::Open { channel, .. } | Kind::Get { channel, .. }
                if by_another(channel) || world.channel(channel).is_some_and(|it| it.kind == ChannelKind::Fifo) =>
            {
                self.used.insert(channel);
            }
            Kind::Create { channel, kind, .. } if kind.outlives() => {
                self.makers.insert(channel, event.task);
            }
            Kind::Get { channel, .. } => {
                self.identified.insert(channel);
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        // What goes on might still have done its part.
        if ended == Ended::Cut {
            return;
        }
        for channel in left_behind(world) {
            let maker = self.makers.get(&channel.id).copied().unwrap_or(TaskId::LAB);
            let (what, call) = self.cure(channel);
            let text = format!(
                "{} made {what} {}, and nobody has removed it: it stays when all processes are gone, until {call}",
                name(maker, world, names),
                channel_name(channel.id, world, names),
            );
            findings.push(Finding {
                rule: self.name(),
                weight: if self.used.contains(&channel.id) { Weight::Fault } else { Weight::Note },
                text,
                tasks: vec![maker],
                channels: vec![channel.id],
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Access, ChannelId, ChannelKind, Kind};

    fn leaked(sketch: &mut Sketch) -> Vec<String> {
        let found = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "leaked-ipc-object");
        found.map(|finding| finding.text).collect()
    }

    #[test]
    fn what_is_not_removed_is_named_with_its_maker() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").fork("a", "a.b").create("a.b", "q", ChannelKind::Msg);
        let channel = sketch.channel("q");
        sketch.event("a.b", "msgget", 0, Kind::Get { channel, id: 0 }).create("a", "f", ChannelKind::Fifo);
        sketch.exit("a.b", 0).reap("a", "a.b").exit("a", 0);
        let found = leaked(&mut sketch);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("b made the message queue q, and nobody has removed it"), "{found:?}");
        assert!(found[0].ends_with("until msgctl(2) with IPC_RMID") && found[1].ends_with("until unlink(2)"));
    }

    #[test]
    fn what_was_there_before_or_was_removed_is_not_the_runs_to_remove() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "q", ChannelKind::Msg).create("a", "m", ChannelKind::Mq);
        sketch.open("a", 3, "m", Access::ReadWrite);
        let (q, m) = (sketch.channel("q"), sketch.channel("m"));
        sketch.event("a", "msgctl", 0, Kind::Destroy { channel: q });
        sketch.event("a", "mq_unlink", 0, Kind::Unlink { channel: m });
        let name = sketch.intern("old");
        let channel = ChannelId::from_index(2);
        let kind = ChannelKind::Fifo;
        sketch.event("a", "", 0, Kind::Create { channel, kind, name, capacity: 0, messages: false, found: true });
        sketch.exit("a", 0);
        assert_eq!(leaked(&mut sketch), Vec::<String>::new());
    }
}
