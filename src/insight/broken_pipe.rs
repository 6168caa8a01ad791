//! Writing to somebody who is gone (pipe(7), "I/O on pipes and FIFOs").

use std::collections::{BTreeMap, BTreeSet};

use super::ignore_over_exec::Inherited;
use super::lineage::process_of;
use super::{Finding, Rule, channel_name, name};
use crate::model::{
    ChannelId, ChannelKind, Disposition, Ended, Event, Kind, Names, Phase, Signal, Status, TaskId, Via, Weight, World,
};

const EPIPE: i32 = 32;
/// `si_code` of what the kernel sends a writer, which it shares with kill(2), and of all else that it sends.
const SI_USER: i32 = 0;
const SI_KERNEL: i32 = 128;

/// After so many writes that failed nobody can say that the program looks at their results.
const DEAF: u32 = 3;

/// A write failed with EPIPE, or SIGPIPE came. The signal belongs to the write before it: the two
/// are one finding. A write that slept when its reader left does not fail but returns what it had written, and
/// SIGPIPE comes all the same (`pipe_write` in fs/pipe.c). What a process sends itself, or another sends it, comes from
/// no write.
///
/// That a reader has had enough is how pipelines end: a filter that SIGPIPE ends at its standard output, as under
/// head(1), has done its work, and so has a program that ignores SIGPIPE and looks at the error, and who writes into
/// what others have made for it. Wrong is what dies of a reader that it did not count on, or does not look.
#[derive(Debug, Default)]
pub(super) struct BrokenPipe {
    /// The failed writes of each task to each channel.
    writes: BTreeMap<(TaskId, ChannelId), u32>,
    /// Where each task has written last, and through which descriptor.
    last: BTreeMap<TaskId, (ChannelId, Via)>,
    /// The processes that the kernel has sent SIGPIPE for a write.
    sent: BTreeSet<TaskId>,
    /// Whose signal was told.
    signalled: BTreeSet<TaskId>,
    /// Whose write has failed so that SIGPIPE should follow: not after `MSG_NOSIGNAL`.
    expected: BTreeMap<TaskId, ChannelId>,
    /// Who has not chosen to ignore SIGPIPE: that it goes on writing is told of whoever has set it so.
    inherited: Inherited,
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
        *times = times.saturating_add(1);
        let (who, p) = (name(task, world, names), channel_name(channel, world, names));
        let (weight, text) = match *times {
            // What becomes of it, the signal tells.
            1 if dies_of_it(task, world) => {
                self.expected.insert(task, channel);
                return None;
            }
            1 => return Some(Self::lives_on(task, channel, "the write fails with EPIPE", world, names)),
            DEAF => (
                if self.inherited.ignores(process_of(task, world), Signal::PIPE) {
                    Weight::Note
                } else {
                    Weight::Fault
                },
                format!(
                    "{who} goes on writing to {p}, but nobody can read from it any more: {DEAF} writes have failed with \
                     EPIPE; look at what write(2) returns, and stop"
                ),
            ),
            _ => return None,
        };
        Some(Finding { rule: self.name(), weight, text, tasks: vec![task], channels: vec![channel] })
    }

    /// A write has failed, or was cut short, and the program knows.
    fn lives_on(task: TaskId, channel: ChannelId, how: &str, world: &World, names: &Names) -> Finding {
        let text = format!("{}: {how}", in_vain(task, channel, world, names));
        Finding { rule: "broken-pipe", weight: Weight::Note, text, tasks: vec![task], channels: vec![channel] }
    }

    /// SIGPIPE has come to a handler: if the write did not fail, nobody has told yet.
    fn handled(&self, task: TaskId, world: &World, names: &Names) -> Option<Finding> {
        let (channel, _) = *self.last.get(&task)?;
        let how = "the write is cut short, and SIGPIPE comes to a handler";
        let told = self.writes.contains_key(&(task, channel));
        (!told).then(|| Self::lives_on(task, channel, how, world, names))
    }

    /// SIGPIPE has ended a task.
    fn died(&mut self, task: TaskId, world: &World, names: &Names) -> Option<Finding> {
        self.expected.remove(&task);
        let (channel, via) = *self.last.get(&task)?;
        if !self.signalled.insert(task) {
            return None;
        }
        let (who, p) = (name(task, world, names), channel_name(channel, world, names));
        let (weight, text) = if is_done(task, channel, via, world) {
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

/// Whether who is ended by SIGPIPE has done its work: it writes its output, or into what it was given by who has made
/// it, and a reader has taken from there what it wanted.
fn is_done(task: TaskId, channel: ChannelId, via: Via, world: &World) -> bool {
    let Some(at) = world.channel(channel) else { return false };
    if at.kind == ChannelKind::Pipe && matches!(via, Via::Fd(1 | 2)) {
        return true;
    }
    let born = world.task(process_of(task, world)).map_or(0, |process| process.born);
    let given = via.fd().and_then(|fd| world.fd(task, fd)).is_some_and(|fd| fd.description < born);
    given && at.read > 0 && !is_shut(task, channel, world)
}

/// Whether it is something that ends with its last reader.
fn can_break(channel: ChannelId, world: &World) -> bool {
    world.channel(channel).is_some_and(|channel| channel.kind.is_pipe() || channel.kind.is_socket())
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
        self.inherited.observe(event, world);
        match event.kind {
            Kind::Write { channel, via, .. } if event.errno() == Some(EPIPE) => {
                findings.extend(self.write_failed(event.task, channel, via, world, names));
            }
            Kind::Write { channel, via, .. } if !event.failed() && can_break(channel, world) => {
                self.last.insert(event.task, (channel, via));
            }
            // The kernel sends SIGPIPE in the writer's own name, and in no call of it.
            Kind::Signal { phase: Phase::Generated, signal: Signal::PIPE, from, code: SI_USER | SI_KERNEL, .. }
                if event.call.is_none() =>
            {
                let process = process_of(event.task, world);
                if from.is_none_or(|from| process_of(from, world) == process) {
                    self.sent.insert(process);
                }
            }
            Kind::Signal { phase: Phase::Default, signal: Signal::PIPE, .. } => {
                if self.sent.remove(&process_of(event.task, world)) {
                    findings.extend(self.died(event.task, world, names));
                }
                self.expected.remove(&event.task);
            }
            Kind::Signal { phase: Phase::Handler, signal: Signal::PIPE, .. }
                if self.sent.remove(&process_of(event.task, world)) =>
            {
                findings.extend(self.handled(event.task, world, names));
            }
            Kind::Exit { status: Status::Signal { signal: Signal::PIPE, .. } }
                if self.expected.contains_key(&event.task) =>
            {
                findings.extend(self.died(event.task, world, names));
            }
            Kind::Signal { signal: Signal::PIPE, .. } => {}
            _ if event.call.is_some() && !self.expected.is_empty() => {
                let task = event.task;
                let fails = "the write fails with EPIPE";
                findings.extend(self.expected.remove(&task).map(|at| Self::lives_on(task, at, fails, world, names)));
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

    /// A child writes into what its parent has made, and another one reads from it.
    fn given() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "writer").fork("parent", "reader");
        sketch.close("parent", 3).close("parent", 4).close("writer", 3).close("reader", 4);
        sketch
    }

    #[test]
    fn a_write_that_is_cut_short_when_its_reader_leaves() {
        for fd in [1, 4] {
            let mut sketch = given();
            if fd == 1 {
                sketch.open("writer", 1, "p", Access::Write).close("writer", 4);
            }
            sketch.block_at("writer", "write", crate::model::Why::Full, "p").read("reader", 3, 5000);
            sketch.exit("reader", 0).unblock("writer").write_kept("writer", fd, 69632, "");
            killed(&mut sketch, "writer");
            let found = found(&mut sketch);
            let expected = "writer writes to p, whose reader closed it early: SIGPIPE ends writer";
            assert_eq!(
                found.iter().map(|it| (it.weight, it.text.as_str())).collect::<Vec<_>>(),
                [(Weight::Note, expected)]
            );
            assert_eq!(found[0].channels, [sketch.channel("p")]);
        }
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "reader").close("parent", 3);
        sketch.read("reader", 3, 5000).exit("reader", 0).write_kept("parent", 4, 69632, "");
        killed(&mut sketch, "parent");
        assert_eq!(found(&mut sketch)[0].weight, Weight::Fault, "it has made the pipe itself");
    }

    #[test]
    fn a_handler_that_ends_the_process_with_the_same_signal() {
        let mut sketch = given();
        sketch.action("writer", Signal::PIPE, Disposition::Handler).exit("reader", 0).write_kept("writer", 4, 9, "");
        for phase in [Phase::Generated, Phase::Delivered, Phase::Handler] {
            sketch.signal("writer", phase, Signal::PIPE, Some("writer"));
        }
        sketch.action("writer", Signal::PIPE, Disposition::Default);
        raises(&mut sketch);
        assert_eq!(found(&mut sketch).iter().map(|it| it.weight).collect::<Vec<_>>(), [Weight::Note]);
    }

    /// `raise(SIGPIPE)`.
    fn raises(sketch: &mut Sketch) {
        let (signal, from) = (Signal::PIPE, Some(sketch.task("writer")));
        let (queue, blocked) = (crate::model::Queue::Thread, crate::model::SignalSet::EMPTY);
        let kind = |phase| Kind::Signal { phase, signal, queue, from, code: -6, value: 0, blocked };
        sketch.event("writer", "tgkill", 0, kind(Phase::Generated)).event("writer", "", 0, kind(Phase::Default));
        sketch.killed("writer", Signal::PIPE);
    }

    #[test]
    fn what_a_process_sends_itself_comes_from_no_write() {
        let mut sketch = given();
        sketch.write("writer", 4, "line\n").read("reader", 3, 5).exit("reader", 0);
        raises(&mut sketch);
        assert_eq!(found(&mut sketch), []);
    }

    #[test]
    fn who_has_not_chosen_to_ignore_it() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "shell").action("shell", Signal::PIPE, Disposition::Ignore).fork("shell", "yes");
        let (path, argv, name) = (sketch.intern("/bin/yes"), sketch.keep(b"yes\0"), sketch.intern("yes"));
        sketch.event("yes", "execve", 0, Kind::Exec { path, argv, name }).pipe("yes", "p", 3).close("yes", 3);
        sketch.write_fails("yes", 4, 32).write_fails("yes", 4, 32).write_fails("yes", 4, 32);
        assert!(found(&mut sketch).iter().all(|it| it.weight == Weight::Note), "another rule tells who has");
    }

    #[test]
    fn other_failures_and_other_senders_are_not_it() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("init", "other").pipe("parent", "p", 3).write_fails("parent", 4, 11);
        sketch.signal("parent", Phase::Default, Signal::PIPE, Some("other"));
        assert_eq!(found(&mut sketch), []);
    }
}
