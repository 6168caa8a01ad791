//! Writing to somebody who is gone (pipe(7), "I/O on pipes and FIFOs").

use std::collections::BTreeSet;

use super::{Finding, Rule, channel_name, name};
use crate::model::{ChannelId, Ended, Event, Kind, Names, Phase, Signal, TaskId, Weight, World};

const EPIPE: i32 = 32;

/// A write failed with EPIPE, or SIGPIPE came. The signal belongs to the write before it: the two
/// are one finding.
#[derive(Debug, Default)]
pub(super) struct BrokenPipe {
    writes: BTreeSet<(TaskId, ChannelId)>,
    /// Whose failed writes were told.
    wrote: BTreeSet<TaskId>,
    /// Whose signal was told, without a write.
    signalled: BTreeSet<TaskId>,
}

impl BrokenPipe {
    fn write_failed(&mut self, task: TaskId, channel: ChannelId, world: &World, names: &Names) -> Option<Finding> {
        self.wrote.insert(task);
        let is_new = self.writes.insert((task, channel));
        if !is_new || self.signalled.remove(&task) {
            return None;
        }
        let (who, p) = (name(task, world, names), channel_name(channel, world, names));
        let text = if is_shut(task, channel, world) {
            format!(
                "{who} writes to {p}, although it has said with shutdown(2) that nothing more comes (EPIPE): \
                 write all before that"
            )
        } else {
            format!(
                "{who} writes to {p}, but nobody can read from it any more (EPIPE): \
                 keep a reader until all is written, or stop writing when the reader has gone"
            )
        };
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks: vec![task], channels: vec![channel] })
    }

    fn signalled(&mut self, task: TaskId, world: &World, names: &Names) -> Option<Finding> {
        if self.wrote.contains(&task) || !self.signalled.insert(task) {
            return None;
        }
        let who = name(task, world, names);
        let text = format!(
            "{who} got SIGPIPE, because it wrote where nobody can read any more: \
             keep a reader until all is written, or ignore SIGPIPE and check for EPIPE"
        );
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks: vec![task], channels: Vec::new() })
    }
}

/// Whether the end that a task holds is one that will not write any more.
fn is_shut(task: TaskId, channel: ChannelId, world: &World) -> bool {
    let end = world.end_held(task, channel);
    let socket = world.channel(channel).and_then(|channel| channel.socket.as_ref());
    end.zip(socket).is_some_and(|(end, socket)| socket.shut_write[end.index()])
}

impl Rule for BrokenPipe {
    fn name(&self) -> &'static str {
        "broken-pipe"
    }

    fn about(&self) -> &'static str {
        "A process writes to a pipe or socket that nobody can read from any more."
    }

    fn observe(&mut self, event: &Event, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Write { channel, .. } if event.errno() == Some(EPIPE) => {
                findings.extend(self.write_failed(event.task, channel, world, names));
            }
            // The kernel sends SIGPIPE in the writer's own name; anybody else's was sent with kill.
            Kind::Signal { phase: Phase::Delivered | Phase::Default, signal: Signal::PIPE, from, .. }
                if from.is_none_or(|from| from == event.task) =>
            {
                findings.extend(self.signalled(event.task, world, names));
            }
            _ => {}
        }
    }

    fn end(&mut self, _: &World, _: &Names, _: Ended, _: &mut Vec<Finding>) {}
}

#[cfg(test)]
mod tests {
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Access, ChannelKind, End, Kind, Phase, Signal};

    #[test]
    fn the_write_and_its_signal_are_one_finding() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).close("parent", 3).write_fails("parent", 4, 32);
        sketch.signal("parent", Phase::Generated, Signal::PIPE, None);
        sketch.signal("parent", Phase::Delivered, Signal::PIPE, None);
        sketch.signal("parent", Phase::Default, Signal::PIPE, None).killed("parent", Signal::PIPE);
        let found = replay(&sketch.log());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].text.starts_with("parent writes to p, but nobody can read from it any more (EPIPE)"));
        assert_eq!((&found[0].tasks, &found[0].channels), (&vec![sketch.task("parent")], &vec![sketch.channel("p")]));
    }

    #[test]
    fn who_has_shut_its_own_end_is_told_so() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "client").create("client", "s", ChannelKind::Tcp).open("client", 3, "s", Access::ReadWrite);
        let shut = Kind::Shutdown { channel: sketch.channel("s"), end: End::First, how: Access::Write };
        sketch.event("client", "shutdown", 0, shut).write_fails("client", 3, 32);
        let found = replay(&sketch.log());
        let expected = "client writes to s, although it has said with shutdown(2) that nothing more comes (EPIPE): \
                        write all before that";
        assert_eq!(found.iter().map(|finding| finding.text.as_str()).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn the_signal_alone_is_enough() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").signal("parent", Phase::Default, Signal::PIPE, Some("parent"));
        assert_eq!(replay(&sketch.log())[0].rule, "broken-pipe");
    }

    #[test]
    fn other_failures_and_other_senders_are_not_it() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("init", "other").pipe("parent", "p", 3).write_fails("parent", 4, 11);
        sketch.signal("parent", Phase::Delivered, Signal::PIPE, Some("other"));
        assert_eq!(replay(&sketch.log()), []);
    }
}
