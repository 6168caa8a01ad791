//! Somebody waits for the end of a pipe whose writer has ended, and a process that this one has left behind
//! still holds it (pipe(7): end-of-file comes when the last write end is closed).
//!
//! Whether the one who is left will write is known only when it is over: so the rule waits until the reader
//! has seen end-of-file, or the run is over.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::{Lineage, lives, process_of};
use super::{Finding, Rule, channel_name, name};
use crate::model::{
    Access, Blocked, Channel, ChannelId, ChannelKind, End, Ended, Event, Fd, Kind, Names, Phase, Signal, State, Status,
    Task, TaskId, Wanted, Weight, Why, World,
};

/// So long a reader has waited when it can be said that it waits in vain, though the run was cut: in nanoseconds.
const LONG: u64 = 1_000_000_000;

/// A process that nobody waits for any more keeps a pipe open.
#[derive(Debug, Default)]
pub(super) struct PipeKeptOpen {
    lineage: Lineage,
    /// The living processes whose maker has ended.
    left: BTreeSet<TaskId>,
    /// Which processes have written to which channels.
    wrote: BTreeSet<(TaskId, ChannelId)>,
    /// Which processes have loaded a program.
    loaded: BTreeSet<TaskId>,
    /// Who has killed whom, or tried to.
    killers: BTreeSet<(TaskId, TaskId)>,
    waits: BTreeMap<(TaskId, ChannelId), Wait>,
    told: BTreeSet<(TaskId, TaskId)>,
}

/// A reader waits for the end of a channel that only processes which were left behind hold.
#[derive(Debug, Clone)]
struct Wait {
    reader: TaskId,
    since: u64,
    keepers: Vec<Keeper>,
    /// Whether one of them has slept meanwhile.
    slept: bool,
    /// Whether each sleep had a time limit: then it is told only of who has waited for long.
    limited: bool,
}

/// Who keeps the channel open, and through which descriptor.
#[derive(Debug, Clone, Copy)]
struct Keeper {
    process: TaskId,
    fd: i32,
    /// Who had it before, and has ended.
    from: TaskId,
}

impl PipeKeptOpen {
    /// Everybody across, if they are all left behind, got the channel from who has ended, and never wrote.
    fn keepers(&self, reader: TaskId, channel: &Channel, world: &World) -> Option<Vec<Keeper>> {
        let mut keepers: Vec<Keeper> = Vec::new();
        for (task, fd) in across(reader, channel, world) {
            if task.id == reader
                || self.wrote.contains(&(task.id, channel.id))
                || self.lineage.descends(reader, task.id)
            {
                return None;
            }
            let inherited = fd.description < task.born;
            let from = self.lineage.makers(task.id).take_while(|maker| *maker != reader);
            let from = from.filter(|maker| !lives(*maker, world)).last().filter(|_| inherited)?;
            if keepers.last().is_none_or(|last| last.process != task.id) {
                keepers.push(Keeper { process: task.id, fd: fd.fd, from });
            }
        }
        // Whoever is killed by the reader itself is another rule's.
        let by_signal = |id| matches!(world.task(id).and_then(|task| task.status), Some(Status::Signal { .. }));
        let killed = keepers.iter().any(|it| self.killers.contains(&(reader, it.from)) && by_signal(it.from));
        (!keepers.is_empty() && !killed).then_some(keepers)
    }

    /// Looks at where a task sleeps.
    fn asleep(&mut self, task: &Task, world: &World) {
        let mut channels: Vec<ChannelId> = Vec::new();
        for id in &self.left {
            channels.extend(world.fds(*id).map(|fd| fd.channel));
        }
        channels.sort_unstable();
        channels.dedup();
        channels.retain(|channel| sleeps_at(task, *channel));
        for id in channels {
            let Some(channel) = world.channel(id).filter(|channel| is_stream(channel)) else { continue };
            let Some(keepers) = self.keepers(task.process, channel, world) else { continue };
            let sleeps = |keeper: &Keeper| {
                world.task(keeper.process).is_some_and(|task| matches!(task.state, State::Blocked(_)))
            };
            let slept = keepers.iter().any(sleeps);
            let limited = !waits_at(task, id);
            let wait = Wait { reader: task.id, since: world.t_ns(), keepers: keepers.clone(), slept, limited };
            let wait = self.waits.entry((task.process, id)).or_insert(wait);
            wait.limited &= limited;
            wait.reader = task.id;
            wait.keepers = keepers;
            wait.slept |= slept;
        }
    }

    fn report(&mut self, key: (TaskId, ChannelId), over: bool, world: &World, names: &Names) -> Option<Finding> {
        let wait = self.waits.remove(&key)?;
        let (process, id) = key;
        let keeper = *wait.keepers.first()?;
        if wait.limited && world.t_ns().saturating_sub(wait.since) < LONG {
            return None;
        }
        // Its standard output and its standard error are one finding.
        if !wait.slept || !self.told.insert((process, keeper.process)) {
            return None;
        }
        let channel = world.channel(id)?;
        let of_output = (1..=2).contains(&keeper.fd) && self.loaded.contains(&keeper.process);
        let carries = channel.written > 0;
        let weight = if of_output || carries { Weight::Fault } else { Weight::Note };
        let (who, p) = (name(wait.reader, world, names), channel_name(id, world, names));
        let (by, from, fd) = (name(keeper.process, world, names), name(keeper.from, world, names), keeper.fd);
        let waits = if over { "waited" } else { "waits" };
        let end = if channel.kind.is_pipe() { "write end" } else { "other end" };
        let cure = if self.loaded.contains(&keeper.process) {
            format!("send the output of {by} elsewhere when it is started (>/dev/null 2>&1)")
        } else {
            format!("close descriptor {fd} in {by} after the fork (close(2))")
        };
        let others = match wait.keepers.len() {
            1 => String::new(),
            2 => " and one more".to_owned(),
            many => format!(" and {} more", many - 1),
        };
        let text = format!(
            "{who} {waits} for the end of {p} although {from} has ended, because its {end} is held by {by} as \
             descriptor {fd}{others}, inherited from {from} and never written to: {cure}, or stop reading once \
             {from} has ended"
        );
        let tasks = vec![wait.reader, keeper.process, keeper.from];
        debug_assert_eq!(process_of(wait.reader, world), process);
        Some(Finding { rule: "pipe-kept-open", weight, text, tasks, channels: vec![id] })
    }
}

/// Whether it is a stream that ends when the last who could write is gone.
fn is_stream(channel: &Channel) -> bool {
    let pair = channel.kind == ChannelKind::Unix && !channel.messages && channel.backlog().is_none();
    channel.alive && (channel.kind.is_pipe() || pair)
}

/// Whoever could write to what `reader` reads from, in the order of birth.
pub(super) fn across<'a>(
    reader: TaskId,
    channel: &'a Channel,
    world: &'a World,
) -> impl Iterator<Item = (&'a Task, &'a Fd)> {
    let own: Option<End> = world.end_held(reader, channel.id).filter(|_| !channel.kind.is_pipe());
    let writes = move |access: Access, end: End| match own {
        Some(own) => end != own,
        None => access.writes(),
    };
    world.holders(channel.id).filter(move |(_, fd)| writes(fd.access, fd.end))
}

/// Whether a task sleeps until something comes from a channel, or its end, and for no time limit.
pub(super) fn waits_at(task: &Task, channel: ChannelId) -> bool {
    sleeps_at(task, channel) && matches!(task.state, State::Blocked(Blocked { timeout: false, .. }))
}

/// Whether a task sleeps until something comes from a channel, or its end, or for a time.
fn sleeps_at(task: &Task, channel: ChannelId) -> bool {
    let State::Blocked(Blocked { why, channel: at, .. }) = task.state else { return false };
    match (&task.wanted, why) {
        (Wanted::Ready { polled, .. }, Why::Poll) => {
            polled.iter().any(|one| one.channel == Some(channel) && one.access.reads())
        }
        (_, Why::Empty) => at == Some(channel),
        _ => false,
    }
}

impl Rule for PipeKeptOpen {
    fn name(&self) -> &'static str {
        "pipe-kept-open"
    }

    fn about(&self) -> &'static str {
        "Somebody waits for the end of a pipe that a process left behind by its writer still holds."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        self.lineage.observe(event, world);
        match event.kind {
            Kind::Exec { .. } if !event.failed() => {
                self.loaded.insert(process_of(event.task, world));
            }
            Kind::Write { channel, bytes: 1.., .. } if world.channel(channel).is_some_and(is_stream) => {
                let process = process_of(event.task, world);
                self.wrote.insert((process, channel));
                self.waits.retain(|(_, at), wait| {
                    *at != channel || wait.keepers.iter().all(|keeper| keeper.process != process)
                });
            }
            Kind::Read { channel, bytes: 0, .. } if !self.waits.is_empty() && !event.failed() => {
                let process = process_of(event.task, world);
                findings.extend(self.report((process, channel), true, world, names));
            }
            // Whoever closes it before the end has given up, or has never meant to wait for long.
            Kind::Close { channel: Some(channel), .. } if !self.waits.is_empty() => {
                let key = (process_of(event.task, world), channel);
                if self.waits.get(&key).is_some_and(|wait| wait.limited) {
                    findings.extend(self.report(key, true, world, names));
                }
            }
            Kind::Signal { phase: Phase::Generated, signal, from: Some(from), .. } if signal != Signal::CHLD => {
                self.killers.insert((process_of(from, world), process_of(event.task, world)));
            }
            Kind::Exit { status } => self.ended(event.task, status, world, names, findings),
            Kind::Block { .. } if !self.left.is_empty() => {
                let Some(task) = world.task(event.task) else { return };
                for wait in self.waits.values_mut() {
                    wait.slept |= wait.keepers.iter().any(|keeper| keeper.process == task.process);
                }
                self.asleep(task, world);
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        let keys: Vec<_> = self.waits.keys().copied().collect();
        for key in keys {
            if self.still_waits(key, ended != Ended::Stuck, world) {
                findings.extend(self.report(key, false, world, names));
            }
        }
    }
}

impl PipeKeptOpen {
    /// Whether it is as it was, and, of a run that was cut, has been for long, and by nobody who might yet write.
    fn still_waits(&self, key: (TaskId, ChannelId), cut: bool, world: &World) -> bool {
        let Some(wait) = self.waits.get(&key) else { return false };
        let goes_on = |keeper: &Keeper| match world.task(keeper.process).map(|task| task.state) {
            Some(State::Blocked(blocked)) => blocked.why == Why::Child,
            _ => true,
        };
        let waits = world.task(wait.reader).is_some_and(|task| waits_at(task, key.1));
        let long = world.t_ns().saturating_sub(wait.since) >= LONG && !wait.keepers.iter().any(goes_on);
        waits && (!cut || long)
    }

    fn ended(&mut self, task: TaskId, status: Status, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let process = process_of(task, world);
        if lives(process, world) {
            return;
        }
        self.left.remove(&process);
        // A reader that is killed while it waits has waited in vain.
        if let Status::Signal { .. } = status {
            let keys: Vec<_> = self.waits.keys().copied().filter(|(reader, _)| *reader == process).collect();
            for key in keys {
                let long = self.waits.get(&key).is_some_and(|wait| world.t_ns().saturating_sub(wait.since) >= LONG);
                if long {
                    findings.extend(self.report(key, true, world, names));
                }
            }
        }
        self.waits.retain(|(reader, _), _| *reader != process);
        let made = |other: &&Task| other.is_process() && self.lineage.maker(other.id) == Some(process);
        let left: Vec<TaskId> = world.living().filter(made).map(|task| task.id).collect();
        if left.is_empty() {
            return;
        }
        self.left.extend(left);
        let sleepers: Vec<TaskId> = world.living().map(|task| task.id).collect();
        for sleeper in sleepers {
            let Some(task) = world.task(sleeper).filter(|task| matches!(task.state, State::Blocked(_))) else {
                continue;
            };
            self.asleep(task, world);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<(Weight, String)> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "pipe-kept-open");
        findings.map(|it| (it.weight, it.text)).collect()
    }

    /// `parent` reads what `sh` prints, and `sh` has left `sleep` behind.
    fn family() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "sh").close("parent", 4).close("sh", 3);
        sketch.fork("sh", "sleep").write("sh", 4, "out").exit("sh", 0).reparent("sleep", "init").reap("parent", "sh");
        sketch
    }

    #[test]
    fn a_grandchild_keeps_the_pipe() {
        let mut sketch = family();
        sketch.read("parent", 3, 3).block_at("parent", "read", Why::Empty, "p").block("sleep", "pause", Why::Signal);
        sketch.unblock("sleep").exit("sleep", 0).unblock("parent").read("parent", 3, 0).exit("parent", 0);
        let expected = "parent waited for the end of p although sh has ended, because its write end is held by sleep \
                        as descriptor 4, inherited from sh and never written to: close descriptor 4 in sleep after \
                        the fork (close(2)), or stop reading once sh has ended";
        assert_eq!(found(&mut sketch), [(Weight::Fault, expected.to_owned())]);
    }

    #[test]
    fn a_reader_that_slept_before_the_child_ended() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "sh").close("parent", 4).close("sh", 3);
        sketch.fork("sh", "sleep").write("sh", 4, "out").read("parent", 3, 3);
        sketch.block_at("parent", "read", Why::Empty, "p").block("sleep", "pause", Why::Signal).exit("sh", 0);
        assert_eq!(found(&mut sketch).len(), 1, "nobody can move any more");
    }

    #[test]
    fn a_grandchild_that_writes_is_meant() {
        let mut sketch = family();
        sketch.block_at("parent", "read", Why::Empty, "p").block("sleep", "pause", Why::Signal).unblock("sleep");
        sketch.write("sleep", 4, "late").exit("sleep", 0).unblock("parent").read("parent", 3, 7).read("parent", 3, 0);
        assert_eq!(found(&mut sketch), []);
    }

    #[test]
    fn a_pipe_that_carries_nothing_may_be_meant_to_tell_of_the_end() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "sh").close("parent", 4).close("sh", 3);
        sketch.fork("sh", "daemon").exit("sh", 0).block_at("parent", "read", Why::Empty, "p");
        sketch.block("daemon", "pause", Why::Signal).unblock("daemon").exit("daemon", 0).unblock("parent");
        sketch.read("parent", 3, 0).exit("parent", 0);
        assert_eq!(found(&mut sketch).iter().map(|it| it.0).collect::<Vec<_>>(), [Weight::Note]);
    }

    #[test]
    fn a_living_child_is_waited_for() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "sh").close("parent", 4).close("sh", 3);
        sketch.fork("sh", "sleep").write("sh", 4, "out").read("parent", 3, 3);
        sketch.block_at("parent", "read", Why::Empty, "p").block("sleep", "pause", Why::Signal);
        sketch.block("sh", "wait4", Why::Child).exit("sleep", 0).reap("sh", "sleep").exit("sh", 0).unblock("parent");
        sketch.read("parent", 3, 0).exit("parent", 0);
        assert_eq!(found(&mut sketch), []);
    }
}
