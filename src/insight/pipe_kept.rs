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

/// A process that nobody waits for any more keeps a pipe open; or a program does that was loaded with a descriptor that it
/// knows nothing of.
#[derive(Debug, Default)]
pub(super) struct PipeKeptOpen {
    lineage: Lineage,
    /// The living processes whose maker has ended.
    left: BTreeSet<TaskId>,
    /// Which processes have written to which channels.
    wrote: BTreeSet<(TaskId, ChannelId)>,
    /// Which processes have loaded a program.
    loaded: BTreeSet<TaskId>,
    /// The descriptors above the standard ones through which these programs could write into a pipe. They were loaded
    /// with them, were not told of them in their arguments, and have never used them.
    unused: BTreeMap<TaskId, BTreeSet<i32>>,
    /// What is to be said if the reader takes a program for living whose end it has just seen.
    synced: BTreeMap<TaskId, (TaskId, Finding)>,
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
    /// Whether nothing has ever been written, and so the end is all that can come.
    empty: bool,
}

/// Who keeps the channel open, and through which descriptor.
#[derive(Debug, Clone, Copy)]
struct Keeper {
    process: TaskId,
    fd: i32,
    /// Who had it before, and has ended; none if it is a program that has never used it.
    from: Option<TaskId>,
}

impl PipeKeptOpen {
    /// Everybody across, if they never wrote and are all left behind, having got the channel from who has ended, or are
    /// programs that know nothing of it.
    fn keepers(&self, reader: &Task, channel: &Channel, world: &World) -> Option<Vec<Keeper>> {
        let mut keepers: Vec<Keeper> = Vec::new();
        let process = reader.process;
        for (task, fd) in across(process, channel, world) {
            if task.id == process
                || self.wrote.contains(&(task.id, channel.id))
                || self.lineage.descends(process, task.id)
            {
                return None;
            }
            let inherited = fd.description < task.born;
            let from = self.lineage.makers(task.id).take_while(|maker| *maker != process);
            let from = from.filter(|maker| !lives(*maker, world)).last().filter(|_| inherited);
            if from.is_none() && !(fd.description < task.loaded && self.is_unused(task.id, fd.fd)) {
                return None;
            }
            if keepers.last().is_none_or(|last| last.process != task.id) {
                keepers.push(Keeper { process: task.id, fd: fd.fd, from });
            }
        }
        // Whoever is killed by the reader itself is another rule's.
        let by_signal = |id| matches!(world.task(id).and_then(|task| task.status), Some(Status::Signal { .. }));
        let killed = |from: TaskId| self.killers.contains(&(process, from)) && by_signal(from);
        let killed = keepers.iter().filter_map(|it| it.from).any(killed);
        // A child that its parent gives a pipe which carries nothing shows with it that it lives, or has loaded its program.
        let child = |it: &Keeper| self.lineage.maker(it.process) == Some(process) && keepers.len() == 1;
        let plain = matches!(reader.state, State::Blocked(Blocked { why: Why::Empty, .. }));
        let known = |it: &Keeper| it.from.is_some() || channel.written > 0 || child(it) && plain;
        (!keepers.is_empty() && !killed && keepers.iter().all(known)).then_some(keepers)
    }

    fn is_unused(&self, process: TaskId, fd: i32) -> bool {
        self.unused.get(&process).is_some_and(|unused| unused.contains(&fd))
    }

    /// A program was loaded: what it has got without knowing.
    fn exec(&mut self, process: TaskId, argv: &[u8], world: &World) {
        self.loaded.insert(process);
        let leads = |fd: &&Fd| {
            // What comes through a pair of sockets may be an answer that is due.
            let stream = world.channel(fd.channel).is_some_and(|channel| channel.kind.is_pipe());
            fd.fd > 2 && fd.access.writes() && !fd.flags.cloexec && stream && !is_told(argv, fd.fd)
        };
        let unused: BTreeSet<i32> = world.fds(process).filter(leads).map(|fd| fd.fd).collect();
        if unused.is_empty() {
            self.unused.remove(&process);
        } else {
            self.unused.insert(process, unused);
        }
    }

    /// A program does something with a descriptor, so it knows of it.
    fn uses(&mut self, process: TaskId, fd: i32) {
        let Some(unused) = self.unused.get_mut(&process) else { return };
        if unused.remove(&fd) {
            self.waits
                .retain(|_, wait| wait.keepers.iter().all(|it| (it.process, it.fd, it.from) != (process, fd, None)));
        }
    }

    /// Whether nobody of them will ever write: the rest of a run that was cut need not be waited for.
    fn are_silent(&self, keepers: &[Keeper], world: &World, names: &Names) -> bool {
        // sleep(1) has no output.
        let sleeps = |process: TaskId| {
            let program = world.task(process).and_then(|task| task.program).map(|program| names.get(program));
            program.is_some_and(|program| program.rsplit('/').next() == Some("sleep"))
        };
        keepers.iter().all(|it| sleeps(it.process) || self.is_unused(it.process, it.fd))
    }

    /// Looks at where a task sleeps.
    fn asleep(&mut self, task: &Task, world: &World) {
        let mut channels: Vec<ChannelId> = Vec::new();
        for id in self.left.iter().chain(self.unused.keys()) {
            channels.extend(world.fds(*id).map(|fd| fd.channel));
        }
        channels.sort_unstable();
        channels.dedup();
        channels.retain(|channel| sleeps_at(task, *channel));
        for id in channels {
            let Some(channel) = world.channel(id).filter(|channel| is_stream(channel)) else { continue };
            let Some(keepers) = self.keepers(task, channel, world) else { continue };
            let sleeps = |keeper: &Keeper| {
                world.task(keeper.process).is_some_and(|task| matches!(task.state, State::Blocked(_)))
            };
            let slept = keepers.iter().any(sleeps);
            let limited = !waits_at(task, id);
            let wait = Wait {
                reader: task.id,
                since: world.t_ns(),
                keepers: keepers.clone(),
                slept,
                limited,
                empty: channel.written == 0,
            };
            let wait = self.waits.entry((task.process, id)).or_insert(wait);
            wait.limited &= limited;
            wait.reader = task.id;
            wait.keepers = keepers;
            wait.slept |= slept;
        }
    }

    /// What is wrong about a wait that is over, or will not end; `certain` unless somebody might still write.
    fn report(
        &mut self,
        key: (TaskId, ChannelId),
        over: bool,
        certain: bool,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        let wait = self.waits.remove(&key)?;
        let (process, id) = key;
        let keeper = *wait.keepers.first()?;
        let short = world.t_ns().saturating_sub(wait.since) < LONG;
        if short && (wait.limited || keeper.from.is_none()) {
            return None;
        }
        // Its standard output and its standard error are one finding.
        if !wait.slept || !self.told.insert((process, keeper.process)) {
            return None;
        }
        let channel = world.channel(id)?;
        let of_output = (1..=2).contains(&keeper.fd) && self.loaded.contains(&keeper.process);
        let carries = channel.written > 0;
        let waits = if over { "waited" } else { "waits" };
        let who = name(wait.reader, world, names);
        let text = keeper.from.map_or_else(
            || Self::unknowing(who, waits, &wait, keeper, channel, world, names),
            |from| self.left_behind(who, waits, &wait, keeper, from, channel, world, names),
        );
        let mut tasks = vec![wait.reader, keeper.process];
        tasks.extend(keeper.from);
        debug_assert_eq!(process_of(wait.reader, world), process);
        let weight = if certain && (of_output || carries) { Weight::Fault } else { Weight::Note };
        let finding = Finding { rule: "pipe-kept-open", weight, text, tasks, channels: vec![id] };
        if keeper.from.is_none() && wait.empty && !carries {
            // A child that shows by it that it lives is right. Of one that has shown so that it had loaded its program
            // the parent believes that it lives.
            self.synced.insert(keeper.process, (process, finding));
            return None;
        }
        Some(finding)
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of one sentence")]
    fn left_behind(
        &self,
        who: &str,
        waits: &str,
        wait: &Wait,
        keeper: Keeper,
        from: TaskId,
        channel: &Channel,
        world: &World,
        names: &Names,
    ) -> String {
        let p = channel_name(channel.id, world, names);
        let (by, from, fd) = (name(keeper.process, world, names), name(from, world, names), keeper.fd);
        let end = end_name(channel);
        let cure = if self.loaded.contains(&keeper.process) {
            format!("send the output of {by} elsewhere when it is started (>/dev/null 2>&1)")
        } else {
            format!("close descriptor {fd} in {by} after the fork (close(2))")
        };
        let others = others(&wait.keepers);
        format!(
            "{who} {waits} for the end of {p} although {from} has ended, because its {end} is held by {by} as \
             descriptor {fd}{others}, inherited from {from} and never written to: {cure}, or stop reading once \
             {from} has ended"
        )
    }

    fn unknowing(
        who: &str,
        waits: &str,
        wait: &Wait,
        keeper: Keeper,
        channel: &Channel,
        world: &World,
        names: &Names,
    ) -> String {
        let p = channel_name(channel.id, world, names);
        let (by, fd) = (name(keeper.process, world, names), keeper.fd);
        let (end, others) = (end_name(channel), others(&wait.keepers));
        let still = if wait.empty { "" } else { " although all who wrote to it have closed it" };
        format!(
            "{who} {waits} for the end of {p}{still}, because its {end} is held by {by} as descriptor {fd}{others}, \
             inherited over fork and exec and never used: open it with O_CLOEXEC (pipe2(2)), or close descriptor {fd} \
             for {by} when it is started ({fd}>&- in a shell)"
        )
    }
}

fn end_name(channel: &Channel) -> &'static str {
    if channel.kind.is_pipe() { "write end" } else { "other end" }
}

fn others(keepers: &[Keeper]) -> String {
    match keepers.len() {
        0 | 1 => String::new(),
        2 => " and one more".to_owned(),
        many => format!(" and {} more", many.saturating_sub(1)),
    }
}

/// Whether a program is told of a descriptor in its arguments: `--status-fd 3`, `--auth=3,4`, `/dev/fd/3`, `>&3`.
fn is_told(argv: &[u8], fd: i32) -> bool {
    let number = fd.to_string();
    let text = String::from_utf8_lossy(argv);
    let mut words = text.split('\0').skip(1);
    let mut before = "";
    words.any(|word| {
        let after_option = word == number && before.contains("fd");
        before = word;
        let inside = word.match_indices(number.as_str()).any(|(at, _)| {
            let rest = word[at..].strip_prefix(number.as_str()).unwrap_or_default();
            let whole = !rest.starts_with(|next: char| next.is_ascii_digit());
            whole && (word[..at].ends_with(['=', ',', '/', '&', ':', '(', '[']) || word[..at].ends_with("fd"))
        });
        after_option || inside
    })
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

    fn observe(&mut self, event: &Event, payload: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        self.lineage.observe(event, world);
        match event.kind {
            Kind::Exec { .. } if !event.failed() => self.exec(process_of(event.task, world), payload, world),
            Kind::Write { channel, bytes: 1.., .. } if world.channel(channel).is_some_and(is_stream) => {
                let process = process_of(event.task, world);
                self.wrote.insert((process, channel));
                self.waits.retain(|(_, at), wait| {
                    *at != channel || wait.keepers.iter().all(|keeper| keeper.process != process)
                });
            }
            Kind::Read { channel, bytes: 0, .. } if !self.waits.is_empty() && !event.failed() => {
                let process = process_of(event.task, world);
                findings.extend(self.report((process, channel), true, true, world, names));
            }
            Kind::Dup { fd, .. } | Kind::Flags { fd, .. } if !self.unused.is_empty() => {
                self.uses(process_of(event.task, world), fd);
            }
            Kind::Close { fd, channel } => self.closed(event, fd, channel, world, names, findings),
            Kind::Signal { phase: Phase::Generated, signal, from: Some(from), .. } if signal != Signal::CHLD => {
                let (to, from) = (process_of(event.task, world), process_of(from, world));
                self.killers.insert((from, to));
                if !self.synced.is_empty() && !lives(to, world) {
                    let finding = self.synced.remove(&to).filter(|(reader, _)| *reader == from);
                    findings.extend(finding.map(|(_, finding)| Finding { weight: Weight::Fault, ..finding }));
                }
            }
            Kind::Exit { status } => self.ended(event.task, status, world, names, findings),
            Kind::Block { .. } if !self.left.is_empty() || !self.unused.is_empty() => {
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
                let silent = self.waits.get(&key).is_some_and(|wait| self.are_silent(&wait.keepers, world, names));
                findings.extend(self.report(key, false, silent || ended == Ended::Stuck, world, names));
            }
        }
        // Nobody will come to take it for living.
        findings.extend(std::mem::take(&mut self.synced).into_values().map(|(_, finding)| finding));
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

    /// Whoever closes it before the end has given up, or has never meant to wait for long.
    fn closed(
        &mut self,
        event: &Event,
        fd: i32,
        channel: Option<ChannelId>,
        world: &World,
        names: &Names,
        findings: &mut Vec<Finding>,
    ) {
        let process = process_of(event.task, world);
        if !self.unused.is_empty() {
            self.uses(process, fd);
        }
        if let Some(key) = channel.map(|channel| (process, channel))
            && self.waits.get(&key).is_some_and(|wait| wait.limited)
        {
            findings.extend(self.report(key, true, true, world, names));
        }
    }

    fn ended(&mut self, task: TaskId, status: Status, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let process = process_of(task, world);
        if lives(process, world) {
            return;
        }
        self.left.remove(&process);
        self.unused.remove(&process);
        // A reader that is killed while it waits has waited in vain.
        if let Status::Signal { .. } = status {
            let keys: Vec<_> = self.waits.keys().copied().filter(|(reader, _)| *reader == process).collect();
            for key in keys {
                let long = self.waits.get(&key).is_some_and(|wait| world.t_ns().saturating_sub(wait.since) >= LONG);
                if long {
                    let silent = self.waits.get(&key).is_some_and(|wait| self.are_silent(&wait.keepers, world, names));
                    findings.extend(self.report(key, true, silent, world, names));
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

    fn exec(sketch: &mut Sketch, task: &str, path: &str, argv: &[u8]) {
        let (path, argv, name) = (sketch.intern(path), sketch.keep(argv), sketch.intern(task));
        sketch.event(task, "execve", 0, Kind::Exec { path, argv, name });
    }

    /// `parent` reads what `sh` prints, and has started `helper` with the same write end before.
    fn helped(argv: &[u8], prints: bool, seconds: u64, then: impl FnOnce(&mut Sketch)) -> Vec<(Weight, String)> {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "helper").close("helper", 3);
        exec(&mut sketch, "helper", "/bin/helper", argv);
        if prints {
            sketch.fork("parent", "sh").write("sh", 4, "data\n").exit("sh", 0).reap("parent", "sh");
        }
        sketch.close("parent", 4).block("helper", "nanosleep", Why::Time).block_at("parent", "read", Why::Empty, "p");
        sketch.passes(seconds * 1_000_000_000);
        then(&mut sketch);
        found(&mut sketch)
    }

    fn ends(sketch: &mut Sketch) {
        sketch.unblock("helper").exit("helper", 0).unblock("parent").read("parent", 3, 0);
    }

    #[test]
    fn a_program_that_was_loaded_with_a_write_end() {
        let expected = "parent waited for the end of p although all who wrote to it have closed it, because its write \
                        end is held by helper as descriptor 4, inherited over fork and exec and never used: open it \
                        with O_CLOEXEC (pipe2(2)), or close descriptor 4 for helper when it is started (4>&- in a \
                        shell)";
        assert_eq!(helped(b"helper\x004\0", true, 2, ends), [(Weight::Fault, expected.to_owned())]);
        let cut = helped(b"helper\0", true, 2, |sketch| {
            sketch.ended(Ended::Cut);
        });
        assert_eq!(cut.iter().map(|it| it.0).collect::<Vec<_>>(), [Weight::Fault]);
        assert_eq!(helped(b"helper\0", true, 0, ends), [], "a moment");
    }

    #[test]
    fn a_program_that_knows_of_its_descriptor() {
        for argv in [&b"x\0--status-fd\x004\0"[..], b"x\0--auth=3,4\0", b"sh\0-c\0echo >&4\0", b"x\0/dev/fd/4\0"] {
            assert_eq!(helped(argv, true, 2, ends), [], "{}", String::from_utf8_lossy(argv));
        }
        let uses = |sketch: &mut Sketch| {
            let flags = crate::model::FdFlags { cloexec: true, ..Default::default() };
            sketch.unblock("helper").event("helper", "fcntl", 0, Kind::Flags { fd: 4, flags });
            ends(sketch);
        };
        assert_eq!(helped(b"helper\0", true, 2, uses), []);
    }

    #[test]
    fn a_pipe_that_was_to_tell_that_a_program_was_loaded() {
        let lives = helped(b"helper\0", false, 2, |sketch| {
            ends(sketch);
            sketch.reap("parent", "helper");
        });
        assert_eq!(lives.iter().map(|it| it.0).collect::<Vec<_>>(), [Weight::Note], "the end of a child may be meant");
        let believed = helped(b"helper\0", false, 2, |sketch| {
            ends(sketch);
            sketch.signal("helper", Phase::Generated, Signal::TERM, Some("parent")).reap("parent", "helper");
        });
        assert_eq!(believed.len(), 1, "{believed:?}");
        assert_eq!(believed[0].0, Weight::Fault);
        let start = "parent waited for the end of p, because its write end is held by helper as descriptor 4";
        assert!(believed[0].1.starts_with(start), "{believed:?}");
    }

    #[test]
    fn a_run_that_was_cut_is_told_of_only_if_nobody_would_have_written() {
        for (path, weight) in [("/usr/bin/sleep", Weight::Fault), ("/usr/bin/other", Weight::Note)] {
            let mut sketch = family();
            exec(&mut sketch, "sleep", path, b"x\0/dev/fd/4\0");
            sketch.read("parent", 3, 3).block_at("parent", "read", Why::Empty, "p").block(
                "sleep",
                "pause",
                Why::Signal,
            );
            sketch.passes(2_000_000_000).ended(Ended::Cut);
            assert_eq!(found(&mut sketch).iter().map(|it| it.0).collect::<Vec<_>>(), [weight]);
        }
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
