//! The reader that never sees end-of-file, because it holds a write end itself (pipe(7)).

use std::collections::BTreeSet;

use super::deadlock::Sleepers;
use super::stuck::Stuck;
use super::{Finding, Rule, channel_name, listed, name};
use crate::model::{Access, Blocked, ChannelId, Ended, Event, Names, State, TaskId, Weight, Why, World};

/// A task waits for bytes from a pipe or FIFO that only it could write.
#[derive(Debug, Default)]
pub(super) struct SelfHeldWriteEnd {
    told: BTreeSet<(TaskId, ChannelId)>,
    sleepers: Sleepers,
}

impl SelfHeldWriteEnd {
    fn check(&mut self, task: TaskId, world: &World, names: &Names) -> Option<Finding> {
        let sleeper = world.task(task)?;
        let State::Blocked(Blocked { why: Why::Empty, channel: Some(id), .. }) = sleeper.state else { return None };
        let channel = world.channel(id).filter(|channel| channel.kind.is_pipe() && channel.contents.is_empty())?;
        let writers = || world.holders(channel.id).filter(|(_, fd)| fd.access.writes());
        let held: Vec<_> = writers().map(|(_, fd)| fd).collect();
        if held.is_empty() || writers().any(|(holder, _)| holder.id != sleeper.process) || !self.told.insert((task, id))
        {
            return None;
        }
        let (who, p) = (name(task, world, names), channel_name(id, world, names));
        let only_writes: Vec<_> =
            held.iter().filter(|fd| fd.access == Access::Write).map(|fd| fd.fd.to_string()).collect();
        let text = if only_writes.is_empty() {
            // What was written to it before is taken and put back, as the tokens of a limiter are.
            if channel.written > 0 {
                return None;
            }
            let fds: Vec<_> = held.iter().map(|fd| fd.fd.to_string()).collect();
            format!(
                "{who} has {p} open for reading and writing ({}), and nobody else can write: no end-of-file comes; open \
                 it for reading only",
                descriptors(&fds)
            )
        } else {
            format!(
                "{who} reads {p}, of which only {who} itself holds a write end ({}): nobody else can write, and no \
                 end-of-file comes; close it before reading",
                descriptors(&only_writes)
            )
        };
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks: vec![task], channels: vec![id] })
    }
}

fn descriptors(fds: &[String]) -> String {
    format!("{} {}", if fds.len() == 1 { "descriptor" } else { "descriptors" }, listed(fds))
}

impl Rule for SelfHeldWriteEnd {
    fn name(&self) -> &'static str {
        "self-held-write-end"
    }

    fn about(&self) -> &'static str {
        "A process waits for the end of a pipe of which it holds the last write end itself."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let found = self.sleepers.observe(event, world, names);
        findings.extend(found.into_iter().flat_map(|found| self.check_all(&found, world, names)));
    }

    fn end(&mut self, world: &World, names: &Names, _: Ended, findings: &mut Vec<Finding>) {
        let found = self.sleepers.at_end(world, names);
        findings.extend(found.into_iter().flat_map(|found| self.check_all(&found, world, names)));
    }
}

impl SelfHeldWriteEnd {
    fn check_all(&mut self, found: &Stuck, world: &World, names: &Names) -> Vec<Finding> {
        found.circle.keys().filter_map(|task| self.check(*task, world, names)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::ChannelKind;
    use crate::model::sketch::Sketch;

    const RULE: &str = "self-held-write-end";

    fn found(sketch: &mut Sketch) -> Vec<String> {
        replay(&sketch.log()).into_iter().filter(|finding| finding.rule == RULE).map(|finding| finding.text).collect()
    }

    #[test]
    fn it_is_found_when_the_last_other_writer_closes() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "parent.child").close("parent", 3);
        sketch.block_at("parent.child", "read", Why::Empty, "p");
        assert_eq!(found(&mut sketch), [""; 0], "the parent may still write");
        sketch.write("parent", 4, "hello").unblock("parent.child").read("parent.child", 3, 5);
        sketch.block_at("parent.child", "read", Why::Empty, "p").close("parent", 4);
        let expected = "child reads p, of which only child itself holds a write end (descriptor 4): nobody else can \
                        write, and no end-of-file comes; close it before reading";
        assert_eq!(found(&mut sketch), [expected]);
        sketch.block_on("parent", "wait4", Why::Child, "parent.child");
        assert_eq!(found(&mut sketch).len(), 1, "once is enough");
    }

    #[test]
    fn a_fifo_opened_both_ways_is_told_otherwise() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "fifo", ChannelKind::Fifo).open("a", 5, "fifo", Access::ReadWrite);
        // Nobody outside knows the FIFOs of a scenario.
        sketch.line("a", 3, "read fifo").block_at("a", "read", Why::Empty, "fifo");
        let expected = "a has fifo open for reading and writing (descriptor 5), and nobody else can write: no \
                        end-of-file comes; open it for reading only";
        assert_eq!(found(&mut sketch), [expected]);
    }

    /// Who has put something into such a FIFO takes it out and puts it back: it does not wait for an end.
    #[test]
    fn tokens_in_a_fifo_are_no_file_that_ends() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "fifo", ChannelKind::Fifo).open("a", 5, "fifo", Access::ReadWrite);
        sketch.write("a", 5, "\n").read("a", 5, 1).line("a", 3, "read fifo").block_at("a", "read", Why::Empty, "fifo");
        assert_eq!(found(&mut sketch), [""; 0]);
    }

    #[test]
    fn an_alarm_that_ends_the_read_is_no_endless_wait() {
        use crate::model::{Disposition, Signal};
        let alone = |disposition, left| {
            let mut sketch = Sketch::new();
            sketch.fork("init", "a").pipe("a", "p", 3).action("a", Signal::ALRM, disposition).alarm("a", left);
            sketch.block_at("a", "read", Why::Empty, "p");
            found(&mut sketch).len()
        };
        assert_eq!((alone(Disposition::Handler, 5), alone(Disposition::Default, 5)), (0, 0));
        assert_eq!((alone(Disposition::Handler, 0), alone(Disposition::Ignore, 5)), (1, 1));
    }

    #[test]
    fn a_reader_that_closed_its_write_end_is_fine() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "parent.child");
        sketch.close("parent.child", 4).block_at("parent.child", "read", Why::Empty, "p").close("parent", 3);
        sketch.write("parent", 4, "x").unblock("parent.child").read("parent.child", 3, 1);
        sketch.block_at("parent.child", "read", Why::Empty, "p").close("parent", 4);
        assert_eq!(found(&mut sketch), [""; 0]);
    }
}
