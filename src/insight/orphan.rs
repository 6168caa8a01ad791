//! Children that outlive their parents.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::lineage::{Lineage, process_of};
use super::{Finding, Rule, channel_name, name};
use crate::model::{Channel, ChannelId, ChannelKind, Ended, Event, Kind, Names, Task, TaskId, Weight, World};

/// How many words of command lines are remembered.
const WORDS: usize = 256;

/// A living process got another parent. That by itself is worth knowing and no more: it may end soon, or be meant
/// to go on alone. It is wrong when the process that was started as the run's own has ended, and what it left behind
/// goes on with the work of the run: it writes to the same output, or to a file that others of the run know.
/// Whoever waits for the run takes it for over then.
///
/// A helper that reads from a pipe until it ends with the run, and then tidies up, is right.
#[derive(Debug, Default)]
pub(super) struct Orphan {
    lineage: Lineage,
    parents: BTreeMap<TaskId, TaskId>,
    /// Of each process the ancestor that the lab has started.
    roots: BTreeMap<TaskId, TaskId>,
    /// Those of them that have ended.
    over: BTreeSet<TaskId>,
    /// Where the standard outputs and errors of those lead.
    outputs: BTreeSet<ChannelId>,
    /// The sessions that the run has made.
    sessions: BTreeSet<i32>,
    /// Who has been adopted by init, and whose child it was: nothing has been told of them yet.
    adopted: BTreeMap<TaskId, TaskId>,
    /// Who has written to where after its root had ended.
    late: BTreeMap<TaskId, ChannelId>,
    /// The pipes and sockets that a root has written to, or has had as its output.
    fed: BTreeSet<ChannelId>,
    /// Who reads from pipes and sockets, and so ends when others do.
    helpers: BTreeSet<TaskId>,
    /// Who lived when its root ended, and has done nothing since.
    fresh: BTreeSet<TaskId>,
    /// The first and the last process that opened each file.
    openers: BTreeMap<ChannelId, [TaskId; 2]>,
    /// Files that nobody else has to do with.
    private: BTreeSet<ChannelId>,
    /// What may be names of files in the arguments of programs, and whose.
    words: VecDeque<(TaskId, String)>,
}

impl Orphan {
    fn born(&mut self, child: TaskId, world: &World) {
        let Some(parent) = world.task(child).map(|task| task.parent) else { return };
        self.parents.insert(child, parent);
        let root = if parent == TaskId::LAB { child } else { self.roots.get(&parent).copied().unwrap_or(child) };
        self.roots.insert(child, root);
    }

    fn reparented(&mut self, child: TaskId, to: TaskId, world: &World, names: &Names) -> Option<Finding> {
        let old = self.parents.insert(child, to);
        let parent = old.filter(|old| *old != to && *old != TaskId::LAB)?;
        let task = world.task(child).filter(|task| task.is_alive() && task.is_process())?;
        if to != TaskId::LAB || self.is_meant(task, world) {
            return Some(Self::note(child, parent, to, world, names));
        }
        self.adopted.insert(child, parent);
        // It may have been faster than the news of its new parent.
        let late = self.late.iter().find(|(writer, _)| **writer == child || self.lineage.descends(**writer, child));
        let (writer, channel) = late.map(|(writer, channel)| (*writer, *channel))?;
        self.goes_on(child, Some((writer, channel)), world, names)
    }

    fn note(child: TaskId, parent: TaskId, to: TaskId, world: &World, names: &Names) -> Finding {
        let by = if to == TaskId::LAB { "init" } else { name(to, world, names) };
        let (who, whom) = (name(parent, world, names), name(child, world, names));
        let text = format!("{who} ended before its child {whom}, which {by} has adopted");
        let mut tasks = vec![parent, child];
        tasks.extend(Some(to).filter(|to| *to != TaskId::LAB));
        Finding { rule: "orphan", weight: Weight::Note, text, tasks, channels: Vec::new() }
    }

    /// A daemon has a session of its own, and so has whoever belongs to it; a job that is meant to go on alone has its
    /// output elsewhere.
    fn is_meant(&self, task: &Task, world: &World) -> bool {
        let shares = |fd| world.fd(task.id, fd).is_some_and(|fd| self.outputs.contains(&fd.channel));
        self.sessions.contains(&task.sid) || !(shares(1) || shares(2))
    }

    /// What the process that was started as the run's own has left behind goes on: it has written there, or the run is
    /// over and it has not ended.
    fn goes_on(
        &mut self,
        child: TaskId,
        wrote: Option<(TaskId, ChannelId)>,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        let parent = self.adopted.remove(&child)?;
        let root = *self.roots.get(&child)?;
        if self.is_meant(world.task(child)?, world) {
            return Some(Self::note(child, parent, TaskId::LAB, world, names));
        }
        let called = |task| name(task, world, names);
        let cure = "wait for a child before ending (wait(2); in a shell, wait); one that is meant to go on gets a \
                    session and output of its own (setsid(2), daemon(3))";
        let ended = called(root);
        let (text, mut tasks) = if let Some((writer, channel)) = wrote {
            let (who, p) = (called(writer), channel_name(channel, world, names));
            (format!("{ended} ended before {who} was done, which then wrote to {p}: {cure}"), vec![root, writer])
        } else {
            let who = called(child);
            let text = format!("{who} is still there when {ended} has ended, and has the same output: {cure}");
            (text, vec![root, child])
        };
        tasks.extend(Some(child).filter(|child| !tasks.contains(child)));
        let channels = wrote.into_iter().map(|(_, channel)| channel).collect();
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks, channels })
    }

    fn root_ended(&mut self, root: TaskId, world: &World) {
        self.over.insert(root);
        let living = world.living().filter(|task| task.is_process() && self.roots.get(&task.id) == Some(&root));
        self.fresh.extend(living.map(|task| task.id));
    }

    /// A process does something of its own: what it does first after its root has ended tells whether it has waited
    /// for that.
    fn acts(&mut self, process: TaskId, reads: bool) {
        if self.fresh.remove(&process) && reads {
            self.helpers.insert(process);
        }
    }

    fn feeds(&mut self, channel: ChannelId, world: &World) {
        if world.channel(channel).is_some_and(is_stream) {
            self.fed.insert(channel);
        }
    }

    fn read(&mut self, process: TaskId, channel: ChannelId, world: &World) {
        let reads = world.channel(channel).is_some_and(is_stream);
        let before = || self.roots.get(&process).is_some_and(|root| !self.over.contains(root));
        // What reads from what its root has fed ends after it in any case.
        if reads && (self.fed.contains(&channel) || before()) {
            self.helpers.insert(process);
        }
        self.acts(process, reads);
    }

    fn wrote(&mut self, writer: TaskId, channel: ChannelId, world: &World, names: &Names) -> Option<Finding> {
        let root = *self.roots.get(&writer)?;
        let known = world.channel(channel)?;
        if !self.over.contains(&root) || writer == root || self.helpers.contains(&writer) {
            return None;
        }
        let kin = std::iter::once(writer).chain(self.lineage.makers(writer));
        let child = kin.into_iter().find(|it| self.adopted.contains_key(it));
        if !self.outputs.contains(&channel) && !self.is_awaited(known, child.unwrap_or(writer), world, names) {
            return None;
        }
        let Some(child) = child else {
            self.late.insert(writer, channel);
            return None;
        };
        self.goes_on(child, Some((writer, channel)), world, names)
    }

    /// Whether a file is one that others than `child` and its descendants have opened, or are told of in their arguments; also if it was
    /// removed and made anew since.
    fn is_awaited(&mut self, file: &Channel, child: TaskId, world: &World, names: &Names) -> bool {
        if file.kind != ChannelKind::File || self.private.contains(&file.id) {
            return false;
        }
        let path = path_of(names.get(file.name));
        let is_kin = |process: TaskId| process == child || self.lineage.descends(process, child);
        let of_others =
            |it: &ChannelId| self.openers.get(it).is_some_and(|openers| openers.iter().any(|it| !is_kin(*it)));
        let mut same = world.channels().filter(|it| path_of(names.get(it.name)) == path).map(|it| it.id);
        let last = path.rsplit('/').next().unwrap_or_default();
        let awaited = same.any(|it| of_others(&it)) || self.words.iter().any(|(of, word)| word == last && !is_kin(*of));
        if !awaited {
            self.private.insert(file.id);
        }
        awaited
    }

    /// Remembers what a program is told, without the folders of paths.
    fn loaded(&mut self, process: TaskId, argv: &[u8]) {
        for word in String::from_utf8_lossy(argv).split('\0').skip(1).filter(|word| !word.is_empty()) {
            if self.words.len() >= WORDS {
                self.words.pop_front();
            }
            self.words.push_back((process, word.rsplit('/').next().unwrap_or_default().to_owned()));
        }
    }

    fn ended(&mut self, process: TaskId, world: &World, names: &Names) -> Option<Finding> {
        if self.roots.get(&process) == Some(&process) {
            self.root_ended(process, world);
        }
        self.fresh.remove(&process);
        let parent = self.adopted.remove(&process)?;
        Some(Self::note(process, parent, TaskId::LAB, world, names))
    }
}

/// Whether it is something of the run that ends when others end.
fn is_stream(channel: &Channel) -> bool {
    (channel.kind.is_pipe() || channel.kind.is_socket()) && !channel.found
}

/// The path of a file, without the number that tells it from another one that had the same path.
fn path_of(name: &str) -> &str {
    let number = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    name.rsplit_once('#').filter(|(_, rest)| number(rest)).map_or(name, |(path, _)| path)
}

impl Rule for Orphan {
    fn name(&self) -> &'static str {
        "orphan"
    }

    fn about(&self) -> &'static str {
        "A process ends before its child, which init or a subreaper adopts."
    }

    fn observe(&mut self, event: &Event, payload: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        self.lineage.observe(event, world);
        match event.kind {
            Kind::Spawn { child, .. } => {
                self.born(child, world);
                self.acts(process_of(event.task, world), false);
            }
            Kind::Open { fd: 1 | 2, channel, .. }
                if event.call.is_none() && self.roots.get(&event.task) == Some(&event.task) =>
            {
                self.outputs.insert(channel);
            }
            Kind::Open { channel, .. } if world.channel(channel).is_some_and(|it| it.kind == ChannelKind::File) => {
                let process = process_of(event.task, world);
                self.openers.entry(channel).or_insert([process; 2])[1] = process;
                self.acts(process, false);
            }
            Kind::Group { sid, .. } if event.call.is_some_and(|call| names.get(call) == "setsid") => {
                self.sessions.insert(sid);
            }
            Kind::Read { channel, .. } if !event.failed() => self.read(process_of(event.task, world), channel, world),
            Kind::Write { channel, bytes: 1.., .. } if !event.failed() => {
                let process = process_of(event.task, world);
                if self.roots.get(&process) == Some(&process) {
                    self.feeds(channel, world);
                } else if !self.over.is_empty() {
                    self.acts(process, false);
                    findings.extend(self.wrote(process, channel, world, names));
                }
            }
            Kind::Dup { to: 1 | 2, channel: Some(channel), .. }
                if self.roots.get(&event.task) == Some(&event.task) && !event.failed() =>
            {
                self.feeds(channel, world);
            }
            Kind::Reparent { to } => findings.extend(self.reparented(event.task, to, world, names)),
            Kind::Exec { .. } if !event.failed() => {
                let process = process_of(event.task, world);
                self.loaded(process, payload);
                self.acts(process, false);
            }
            Kind::Reap { .. } => self.acts(process_of(event.task, world), false),
            Kind::Exit { .. } => {
                let process = process_of(event.task, world);
                if !super::lineage::lives(process, world) {
                    findings.extend(self.ended(process, world, names));
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        for (child, parent) in self.adopted.clone() {
            let over = self.roots.get(&child).is_some_and(|root| self.over.contains(root));
            let goes_on = over && ended == Ended::Stuck;
            let finding = if goes_on { self.goes_on(child, None, world, names) } else { None };
            findings.push(finding.unwrap_or_else(|| Self::note(child, parent, TaskId::LAB, world, names)));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Access, ChannelKind, End, Ended, FdFlags, Kind, Weight, Why};

    /// What is said of a family whose parent has `out` as its standard output.
    fn found(tell: impl FnOnce(&mut Sketch)) -> Vec<(Weight, String)> {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").create("parent", "out", ChannelKind::File);
        let channel = sketch.channel("out");
        let inherited =
            Kind::Open { fd: 1, channel, end: End::First, access: Access::Write, flags: FdFlags::default() };
        sketch.event("parent", "", 0, inherited).fork("parent", "parent.child");
        tell(&mut sketch);
        let found = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "orphan");
        found.map(|finding| (finding.weight, finding.text)).collect()
    }

    #[test]
    fn a_child_that_goes_on_with_the_output_of_the_run() {
        let expected = "parent ended before child was done, which then wrote to out: wait for a child before \
                        ending (wait(2); in a shell, wait); one that is meant to go on gets a session and output of \
                        its own (setsid(2), daemon(3))";
        for faster in [false, true] {
            let found = found(|sketch| {
                sketch.exit("parent", 0);
                if faster {
                    sketch.write("parent.child", 1, "x").reparent("parent.child", "init");
                } else {
                    sketch.reparent("parent.child", "init").write("parent.child", 1, "x");
                }
                sketch.exit("parent.child", 0);
            });
            assert_eq!(found, [(Weight::Fault, expected.to_owned())]);
        }
    }

    #[test]
    fn a_file_that_others_know_is_written_too_late() {
        let late = |known: bool| {
            found(|sketch| {
                sketch.create("parent", "f", ChannelKind::File).exit("parent", 0).reparent("parent.child", "init");
                sketch.fork("parent.child", "wc");
                if known {
                    sketch.fork("init", "other").open("other", 3, "f", Access::Read);
                }
                sketch.open("wc", 3, "f", Access::Write).write("wc", 3, "5").exit("wc", 0).exit("parent.child", 0);
            })
        };
        let text = "parent ended before its child child, which init has adopted";
        assert_eq!(late(false), [(Weight::Note, text.to_owned())]);
        let found = late(true);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, Weight::Fault);
        assert!(found[0].1.starts_with("parent ended before wc was done, which then wrote to f: "), "{found:?}");
    }

    #[test]
    fn a_helper_that_ends_with_the_run_is_right() {
        for before in [false, true] {
            let found = found(|sketch| {
                sketch.pipe("parent", "p", 4);
                let channel = sketch.channel("p");
                let access = Access::Read;
                let end = Kind::Open { fd: 5, channel, end: End::First, access, flags: FdFlags::default() };
                sketch.event("parent.child", "open", 5, end);
                if before {
                    sketch.read("parent.child", 5, 3);
                }
                sketch.exit("parent", 0).reparent("parent.child", "init");
                if !before {
                    sketch.read("parent.child", 5, 0);
                }
                sketch.write("parent.child", 1, "x").block("parent.child", "nanosleep", Why::Time);
                sketch.unblock("parent.child").exit("parent.child", 0);
            });
            let text = "parent ended before its child child, which init has adopted";
            assert_eq!(found, [(Weight::Note, text.to_owned())]);
        }
    }

    #[test]
    fn a_dead_child_is_none() {
        let found = found(|sketch| {
            sketch.exit("parent.child", 0).exit("parent", 0).reparent("parent.child", "init");
        });
        assert_eq!(found, []);
    }

    #[test]
    fn who_has_a_session_or_an_output_of_its_own_is_meant_to_go_on_and_who_ends_does_not() {
        let daemon = found(|sketch| {
            sketch.event("parent.child", "setsid", 7, Kind::Group { pgid: 7, sid: 7 });
            sketch.exit("parent", 0).reparent("parent.child", "init");
        });
        let job = found(|sketch| {
            sketch.close("parent.child", 1).create("parent.child", "log", ChannelKind::File);
            sketch.open("parent.child", 1, "log", Access::Write).exit("parent", 0).reparent("parent.child", "init");
        });
        let text = "parent ended before its child child, which init has adopted";
        let ends = found(|sketch| {
            sketch.exit("parent", 0).reparent("parent.child", "init").exit("parent.child", 0);
        });
        for found in [daemon, job, ends] {
            assert_eq!(found, [(Weight::Note, text.to_owned())]);
        }
    }

    #[test]
    fn the_reader_of_what_the_run_prints_ends_after_it() {
        let found = found(|sketch| {
            sketch.pipe("parent", "p", 4).write("parent", 5, "one").exit("parent", 0);
            sketch.reparent("parent.child", "init").open("parent.child", 0, "p", Access::Read);
            sketch.read("parent.child", 0, 3).write("parent.child", 1, "one").exit("parent.child", 0);
        });
        let text = "parent ended before its child child, which init has adopted";
        assert_eq!(found, [(Weight::Note, text.to_owned())]);
    }

    #[test]
    fn what_passes_by_itself_is_worth_a_note() {
        let tell = |sketch: &mut Sketch| {
            sketch.fork("parent.child", "parent.child.job").exit("parent.child", 0);
            sketch.reparent("parent.child.job", "init").reap("parent", "parent.child");
        };
        let text = "child ended before its child job, which init has adopted";
        let before = found(|sketch| {
            tell(sketch);
            sketch.exit("parent.child.job", 0).exit("parent", 0);
        });
        let after = found(|sketch| {
            tell(sketch);
            sketch.block("parent.child.job", "nanosleep", Why::Time).exit("parent", 0).unblock("parent.child.job");
            sketch.exit("parent.child.job", 0);
        });
        let cut = found(|sketch| {
            tell(sketch);
            sketch.block("parent.child.job", "nanosleep", Why::Time).exit("parent", 0).ended(Ended::Cut);
        });
        for found in [before, after, cut] {
            assert_eq!(found, [(Weight::Note, text.to_owned())]);
        }
        let stays = found(|sketch| {
            tell(sketch);
            sketch.block("parent.child.job", "pause", Why::Signal).exit("parent", 0).ended(Ended::Stuck);
        });
        assert_eq!(stays.len(), 1, "{stays:?}");
        assert_eq!(stays[0].0, Weight::Fault);
        assert!(
            stays[0].1.starts_with("job is still there when parent has ended, and has the same output"),
            "{stays:?}"
        );
    }

    #[test]
    fn who_is_adopted_in_the_run_has_somebody_to_wait_for_it() {
        let found = found(|sketch| {
            sketch.fork("parent.child", "parent.child.job").exit("parent.child", 0);
            sketch.reparent("parent.child.job", "parent").exit("parent", 0);
        });
        assert_eq!(found, [(Weight::Note, "child ended before its child job, which parent has adopted".to_owned())]);
    }
}
