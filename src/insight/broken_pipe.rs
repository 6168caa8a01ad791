//! Writing to somebody who is gone (pipe(7), "I/O on pipes and FIFOs").

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule, channel_name, name};
use crate::model::{
    ChannelId, ChannelKind, Disposition, Ended, Event, Kind, Names, Phase, Signal, Status, TaskId, Via, Weight, World,
};

const EPIPE: i32 = 32;

/// After so many writes that failed nobody can say that the program looks at their results.
const DEAF: u32 = 3;

/// A write failed with EPIPE, or SIGPIPE came. The signal belongs to the write before it: the two
/// are one finding.
///
/// That a reader has had enough is how pipelines end: a filter that SIGPIPE ends at its standard output, as under
/// head(1), has done its work, and so has a program that ignores SIGPIPE and looks at the error. Wrong is what dies of
/// a reader that it did not count on, or does not look.
#[derive(Debug, Default)]
pub(super) struct BrokenPipe {
    /// The failed writes of each task to each channel.
    writes: BTreeMap<(TaskId, ChannelId), u32>,
    /// Where each task has failed to write last, and through which descriptor.
    last: BTreeMap<TaskId, (ChannelId, Via)>,
    /// Whose signal was told.
    signalled: BTreeSet<TaskId>,
    /// Whose write has failed so that SIGPIPE should follow: not after `MSG_NOSIGNAL`.
    expected: BTreeMap<TaskId, ChannelId>,
}

impl BrokenPipe {
    fn write_failed(
        &mut self,
        task: TaskId,
        channel: ChannelId,
        via: Via,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        self.last.insert(task, (channel, via));
        let times = self.writes.entry((task, channel)).or_default();
        *times += 1;
        let (who, p) = (name(task, world, names), channel_name(channel, world, names));
        let (weight, text) = match *times {
            // What becomes of it, the signal tells.
            1 if dies_of_it(task, world) => {
                self.expected.insert(task, channel);
                return None;
            }
            1 => return Some(Self::lives_on(task, channel, world, names)),
            DEAF => (
                Weight::Fault,
                format!(
                    "{who} goes on writing to {p}, but nobody can read from it any more: {DEAF} writes have failed with \
                     EPIPE; look at what write(2) returns, and stop"
                ),
            ),
            _ => return None,
        };
        Some(Finding { rule: self.name(), weight, text, tasks: vec![task], channels: vec![channel] })
    }

    /// A write has failed, and the program knows.
    fn lives_on(task: TaskId, channel: ChannelId, world: &World, names: &Names) -> Finding {
        let text = format!("{}: the write fails with EPIPE", in_vain(task, channel, world, names));
        Finding { rule: "broken-pipe", weight: Weight::Note, text, tasks: vec![task], channels: vec![channel] }
    }

    /// SIGPIPE has ended a task.
    fn died(&mut self, task: TaskId, world: &World, names: &Names) -> Option<Finding> {
        self.expected.remove(&task);
        if !self.signalled.insert(task) {
            return None;
        }
        let who = name(task, world, names);
        let Some((channel, via)) = self.last.get(&task).copied() else {
            let text = format!(
                "{who} was killed by SIGPIPE, because it wrote where nobody can read any more: keep a reader until all \
                 is written, or ignore SIGPIPE and check for EPIPE"
            );
            let (weight, tasks) = (Weight::Fault, vec![task]);
            return Some(Finding { rule: self.name(), weight, text, tasks, channels: Vec::new() });
        };
        let p = channel_name(channel, world, names);
        let is_pipe = world.channel(channel).is_some_and(|channel| channel.kind == ChannelKind::Pipe);
        let (weight, text) = if is_pipe && via == Via::Fd(1) {
            (Weight::Note, format!("{who} writes to {p}, whose reader closed it early: SIGPIPE ends {who}"))
        } else {
            let cure = if is_shut(task, channel, world) {
                "write all before that"
            } else {
                "keep a reader until all is written, or ignore SIGPIPE and stop when write(2) fails with EPIPE"
            };
            let text = format!("{}: SIGPIPE kills {who}; {cure}", in_vain(task, channel, world, names));
            (Weight::Fault, text)
        };
        Some(Finding { rule: self.name(), weight, text, tasks: vec![task], channels: vec![channel] })
    }
}

/// Whether SIGPIPE, which comes with a write that fails so, ends the process.
fn dies_of_it(task: TaskId, world: &World) -> bool {
    let default = world.action(task, Signal::PIPE).is_none_or(|action| action.disposition == Disposition::Default);
    default && world.task(task).is_some_and(|task| !task.blocked.contains(Signal::PIPE))
}

/// Who writes where, and why it is in vain.
fn in_vain(task: TaskId, channel: ChannelId, world: &World, names: &Names) -> String {
    let why = if is_shut(task, channel, world) {
        "although it has said with shutdown(2) that nothing more comes"
    } else {
        "but nobody can read from it any more"
    };
    format!("{} writes to {}, {why}", name(task, world, names), channel_name(channel, world, names))
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

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Write { channel, via, .. } if event.errno() == Some(EPIPE) => {
                findings.extend(self.write_failed(event.task, channel, via, world, names));
            }
            // The kernel sends SIGPIPE in the writer's own name; anybody else's was sent with kill.
            Kind::Signal { phase: Phase::Default, signal: Signal::PIPE, from, .. }
                if from.is_none_or(|from| from == event.task) =>
            {
                findings.extend(self.died(event.task, world, names));
            }
            Kind::Exit { status: Status::Signal { signal: Signal::PIPE, .. } }
                if self.last.contains_key(&event.task) =>
            {
                findings.extend(self.died(event.task, world, names));
            }
            Kind::Signal { signal: Signal::PIPE, .. } => {}
            _ if event.call.is_some() && !self.expected.is_empty() => {
                let task = event.task;
                findings.extend(self.expected.remove(&task).map(|at| Self::lives_on(task, at, world, names)));
            }
            _ => {}
        }
    }

    fn end(&mut self, _: &World, _: &Names, _: Ended, _: &mut Vec<Finding>) {}
}

#[cfg(test)]
mod tests {
    use crate::insight::{Finding, replay};
    use crate::model::sketch::Sketch;
    use crate::model::{Access, ChannelKind, Disposition, End, Kind, Phase, Signal, Weight};

    fn found(sketch: &mut Sketch) -> Vec<Finding> {
        replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "broken-pipe").collect()
    }

    fn killed(sketch: &mut Sketch, task: &str) {
        for phase in [Phase::Generated, Phase::Delivered, Phase::Default] {
            sketch.signal(task, phase, Signal::PIPE, None);
        }
        sketch.killed(task, Signal::PIPE);
    }

    #[test]
    fn the_write_and_its_signal_are_one_finding() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).close("parent", 3).write_fails("parent", 4, 32);
        killed(&mut sketch, "parent");
        let found = found(&mut sketch);
        assert_eq!(found.len(), 1, "{found:?}");
        let start = "parent writes to p, but nobody can read from it any more: SIGPIPE kills parent";
        assert!(found[0].text.starts_with(start), "{found:?}");
        assert_eq!(found[0].weight, Weight::Fault);
        assert_eq!((&found[0].tasks, &found[0].channels), (&vec![sketch.task("parent")], &vec![sketch.channel("p")]));
    }

    #[test]
    fn a_filter_whose_reader_has_had_enough() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "yes").create("yes", "p", ChannelKind::Pipe).open("yes", 1, "p", Access::Write);
        sketch.write("yes", 1, "y\n").write_fails("yes", 1, 32);
        killed(&mut sketch, "yes");
        let found = found(&mut sketch);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].weight, Weight::Note);
    }

    #[test]
    fn a_failure_that_is_looked_at_and_one_that_is_not() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").action("parent", Signal::PIPE, Disposition::Ignore);
        sketch.pipe("parent", "p", 3).close("parent", 3).write_fails("parent", 4, 32);
        let weights = |sketch: &mut Sketch| found(sketch).iter().map(|it| it.weight).collect::<Vec<_>>();
        assert_eq!(weights(&mut sketch), [Weight::Note]);
        for _ in 0..4 {
            sketch.write_fails("parent", 4, 32);
        }
        assert_eq!(weights(&mut sketch), [Weight::Note, Weight::Fault]);
    }

    #[test]
    fn who_has_shut_its_own_end_is_told_so() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "client").create("client", "s", ChannelKind::Tcp).open("client", 3, "s", Access::ReadWrite);
        let shut = Kind::Shutdown { channel: sketch.channel("s"), end: End::First, how: Access::Write };
        sketch.event("client", "shutdown", 0, shut).write_fails("client", 3, 32);
        killed(&mut sketch, "client");
        let expected = "client writes to s, although it has said with shutdown(2) that nothing more comes: SIGPIPE kills \
                        client; write all before that";
        let found = found(&mut sketch);
        assert_eq!(found.iter().map(|finding| finding.text.as_str()).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn the_signal_alone_is_enough() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").signal("parent", Phase::Default, Signal::PIPE, Some("parent"));
        let found = found(&mut sketch);
        assert_eq!((found.len(), found[0].weight), (1, Weight::Fault));
    }

    #[test]
    fn other_failures_and_other_senders_are_not_it() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("init", "other").pipe("parent", "p", 3).write_fails("parent", 4, 11);
        sketch.signal("parent", Phase::Default, Signal::PIPE, Some("other"));
        assert_eq!(found(&mut sketch), []);
    }
}
