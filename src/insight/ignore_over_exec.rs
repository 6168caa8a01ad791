//! Signals that a program ignores without having said so: execve(2) keeps SIG_IGN.
//!
//! Of SIGPIPE the consequence is that a write whose reader has gone fails, again and again, where the program
//! should have ended. Of SIGCHLD it is a status that is lost, which is a rule of its own. Of a signal that is sent to
//! end a program it is that who has sent it waits for that end in vain.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::process_of;
use super::{Finding, Rule, name};
use crate::model::{
    Blocked, DefaultAction, Disposition, Ended, Event, Kind, Names, Phase, Signal, State, Status, Task, TaskId, Via,
    Weight, Why, World,
};

const EPIPE: i32 = 32;
/// So long somebody has waited when it can be said that it waits in vain: in nanoseconds.
const LONG: u64 = 1_000_000_000;

/// Which programs ignore signals that they have not set themselves.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    /// Who has set a process to ignore a signal, itself or before it was made.
    set_by: BTreeMap<(TaskId, Signal), Setter>,
    /// The programs that were loaded so.
    loaded: BTreeSet<(TaskId, Signal)>,
}

/// Who has set a signal to be ignored.
#[derive(Debug, Clone, Copy)]
struct Setter {
    process: TaskId,
    /// Whether it is a program that was loaded, and does so for the next one that it loads, as nohup(1) does.
    meant: bool,
}

impl Inherited {
    /// Takes an event in.
    pub(super) fn observe(&mut self, event: &Event, world: &World) {
        match event.kind {
            Kind::Action { signal, disposition, .. } if event.call.is_some() && !event.failed() => {
                let process = process_of(event.task, world);
                self.loaded.remove(&(process, signal));
                if disposition == Disposition::Ignore {
                    let meant = world.task(process).is_some_and(|task| task.loaded > task.born);
                    self.set_by.insert((process, signal), Setter { process, meant });
                } else {
                    self.set_by.remove(&(process, signal));
                }
            }
            _ if self.set_by.is_empty() => {}
            Kind::Spawn { child, .. } if world.task(child).is_some_and(Task::is_process) => {
                let maker = process_of(event.task, world);
                for (signal, by) in self.of(maker) {
                    self.set_by.insert((child, signal), by);
                    if self.loaded.contains(&(maker, signal)) {
                        self.loaded.insert((child, signal));
                    }
                }
            }
            Kind::Exec { .. } if !event.failed() => {
                let process = process_of(event.task, world);
                for (signal, _) in self.of(process) {
                    self.loaded.insert((process, signal));
                }
            }
            _ => {}
        }
    }

    /// What a process ignores, and who has set it.
    fn of(&self, process: TaskId) -> Vec<(Signal, Setter)> {
        let own = self.set_by.range((process, Signal::HUP)..).take_while(|((it, _), _)| *it == process);
        own.map(|((_, signal), by)| (*signal, *by)).collect()
    }

    /// Whether a program ignores a signal, and has not said so itself.
    pub(super) fn ignores(&self, process: TaskId, signal: Signal) -> bool {
        self.loaded.contains(&(process, signal))
    }

    fn setter(&self, process: TaskId, signal: Signal) -> Option<Setter> {
        self.set_by.get(&(process, signal)).copied().filter(|_| self.ignores(process, signal))
    }
}

/// A program was loaded with a signal ignored.
#[derive(Debug, Default)]
pub(super) struct IgnoreInheritedOverExec {
    inherited: Inherited,
    /// How many writes of a program have failed since it was loaded.
    failed: BTreeMap<TaskId, usize>,
    /// Of whose writes the last has failed: what it writes next to its standard error is its complaint.
    fails: BTreeSet<TaskId>,
    noted: BTreeSet<(TaskId, Signal)>,
    told: BTreeSet<TaskId>,
    /// Programs that were sent a signal to end them, and ignore it.
    unheeded: BTreeMap<TaskId, Unheeded>,
}

/// A signal that was to end a program.
#[derive(Debug, Clone, Copy)]
struct Unheeded {
    signal: Signal,
    from: TaskId,
    /// When it was sent.
    since: u64,
    /// Whether who has sent it has slept until the program ends.
    waits: bool,
}

impl IgnoreInheritedOverExec {
    fn exec(&mut self, process: TaskId, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        self.failed.remove(&process);
        for signal in [Signal::PIPE, Signal::CHLD] {
            let Some(Setter { process: by, .. }) = self.inherited.setter(process, signal) else { continue };
            if !self.noted.insert((by, signal)) {
                continue;
            }
            let who = name(process, world, names);
            let what = if signal == Signal::PIPE {
                "its writes fail with EPIPE where they would have ended it"
            } else {
                "it gets no exit status of its children"
            };
            let loaded = if by == process {
                let program = world.task(process).and_then(|task| task.program).map_or("a program", |it| names.get(it));
                format!("{who} had set {signal} to SIG_IGN when it loaded {program}, which inherits that (execve(2))")
            } else {
                let setter = name(by, world, names);
                format!("{who} was loaded with {signal} ignored, which {setter} had set and execve(2) keeps")
            };
            let text = format!(
                "{loaded}: {what}; set {signal} to SIG_DFL between fork and exec, if that is not meant (sigaction(2))"
            );
            let tasks = parties(process, by);
            findings.push(Finding { rule: self.name(), weight: Weight::Note, text, tasks, channels: Vec::new() });
        }
    }

    fn report(&mut self, process: TaskId, failed: usize, world: &World, names: &Names) -> Option<Finding> {
        let by = self.inherited.setter(process, Signal::PIPE)?.process;
        if !self.told.insert(process) {
            return None;
        }
        let (who, setter) = (name(process, world, names), setter_name(process, by, world, names));
        let times = if failed == 1 { String::new() } else { format!(" {failed} times") };
        let text = format!(
            "{who} writes where nobody reads any more and gets EPIPE{times} instead of SIGPIPE, which {setter} had set \
             to SIG_IGN before the exec, and execve(2) keeps that: set SIGPIPE to SIG_DFL between fork and exec \
             (sigaction(2))"
        );
        let tasks = parties(process, by);
        Some(Finding { rule: "ignore-inherited-over-exec", weight: Weight::Fault, text, tasks, channels: Vec::new() })
    }

    fn write_failed(&mut self, process: TaskId, world: &World, names: &Names) -> Option<Finding> {
        if !self.inherited.ignores(process, Signal::PIPE) {
            return None;
        }
        let failed = self.failed.entry(process).or_default();
        *failed = failed.saturating_add(1);
        self.fails.insert(process);
        // One that goes on as if nothing had been.
        if *failed == 3 { self.report(process, 3, world, names) } else { None }
    }

    /// A signal was ignored. Who sets a signal to be ignored for the program that it loads itself means it.
    fn ignored(&mut self, process: TaskId, signal: Signal, from: TaskId, world: &World) {
        let since = world.t_ns();
        let from = process_of(from, world);
        let ends = matches!(signal.default_action(), DefaultAction::Terminate | DefaultAction::Core);
        let meant = |by: Setter| by.meant && by.process == process;
        if ends
            && signal != Signal::PIPE
            && from != process
            && from != TaskId::LAB
            // The signal may be faster than the news of the exec.
            && self.inherited.set_by.get(&(process, signal)).is_some_and(|by| !meant(*by))
        {
            self.unheeded.insert(process, Unheeded { signal, from, since, waits: false });
        }
    }

    /// A process sleeps until a child ends.
    fn waits(&mut self, event: &Event, on: Option<TaskId>, world: &World) {
        let sleeper = process_of(event.task, world);
        for (process, it) in self.unheeded.iter_mut().filter(|(_, it)| it.from == sleeper) {
            let child = world.task(*process).is_some_and(|child| child.parent == sleeper);
            if child && on.is_none_or(|on| on == *process) {
                it.waits = true;
            }
        }
    }

    /// The program has ended after all, or the run.
    fn unheeded(&mut self, process: TaskId, over: bool, world: &World, names: &Names) -> Option<Finding> {
        let Unheeded { signal, from, .. } = self.unheeded.remove(&process)?;
        let by = self.inherited.setter(process, signal)?.process;
        let (who, sender) = (name(process, world, names), name(from, world, names));
        let how = if by == process {
            let shell = if matches!(signal, Signal::INT | QUIT) {
                " (a shell without job control sets SIGINT and SIGQUIT so for what it starts with &)"
            } else {
                ""
            };
            format!(
                "{signal} was set to SIG_IGN before the program of {who} was loaded{shell}, and execve(2) keeps that"
            )
        } else {
            format!("{} has set {signal} to SIG_IGN, and fork(2) and execve(2) keep that", name(by, world, names))
        };
        let waits = if over { "waited" } else { "waits" };
        let text = format!(
            "{sender} sent {signal} to {who} and {waits} for its end, but {who} ignores {signal}: {how}; set {signal} to \
             SIG_DFL between fork and exec (sigaction(2)), or send a signal that {who} does not ignore"
        );
        let mut tasks = vec![from, process];
        tasks.extend(Some(by).filter(|by| !tasks.contains(by)));
        Some(Finding { rule: "ignore-inherited-over-exec", weight: Weight::Fault, text, tasks, channels: Vec::new() })
    }

    fn exit(&mut self, event: &Event, status: Status, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let process = process_of(event.task, world);
        let failed = self.failed.remove(&process).unwrap_or(0);
        self.fails.remove(&process);
        if failed > 0 && status != Status::Code(0) {
            findings.extend(self.report(process, failed, world, names));
        }
        let long = |it: &Unheeded| it.waits && event.t_ns.saturating_sub(it.since) >= LONG;
        if self.unheeded.get(&process).is_some_and(long) {
            findings.extend(self.unheeded(process, true, world, names));
        }
        self.unheeded.retain(|to, it| *to != process && it.from != process);
    }
}

/// `SIGQUIT` of signal(7): the same on every architecture that the lab knows.
const QUIT: Signal = match Signal::new(3) {
    Some(signal) => signal,
    None => Signal::INT,
};

/// Whether a task that sleeps for this waits for the end of a child: shells do so until SIGCHLD comes to its handler.
fn waits_for_children(task: TaskId, why: Why, world: &World) -> bool {
    let handles = || world.action(task, Signal::CHLD).is_some_and(|it| it.disposition == Disposition::Handler);
    why == Why::Child || why == Why::Signal && handles()
}

fn parties(process: TaskId, by: TaskId) -> Vec<TaskId> {
    if by == process { vec![process] } else { vec![process, by] }
}

fn setter_name<'a>(process: TaskId, by: TaskId, world: &World, names: &'a Names) -> &'a str {
    if by == process { "it" } else { name(by, world, names) }
}

impl Rule for IgnoreInheritedOverExec {
    fn name(&self) -> &'static str {
        "ignore-inherited-over-exec"
    }

    fn about(&self) -> &'static str {
        "A program was loaded with a signal ignored, without having said so."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        self.inherited.observe(event, world);
        match event.kind {
            Kind::Exec { .. } if !event.failed() => self.exec(process_of(event.task, world), world, names, findings),
            Kind::Write { .. } if event.errno() == Some(EPIPE) => {
                findings.extend(self.write_failed(process_of(event.task, world), world, names));
            }
            Kind::Write { via, .. } if !self.fails.is_empty() => {
                let process = process_of(event.task, world);
                if self.fails.remove(&process) && via == Via::Fd(2) {
                    let failed = self.failed.get(&process).copied().unwrap_or(1);
                    findings.extend(self.report(process, failed, world, names));
                }
            }
            Kind::Signal { phase: Phase::Ignored, signal, from: Some(from), .. } => {
                self.ignored(process_of(event.task, world), signal, from, world);
            }
            Kind::Signal { phase: Phase::Generated, signal, .. } if !self.unheeded.is_empty() => {
                let process = process_of(event.task, world);
                // What comes after it may end the program.
                if !self.inherited.set_by.contains_key(&(process, signal)) {
                    self.unheeded.remove(&process);
                }
            }
            Kind::Block { why, on, .. } if !self.unheeded.is_empty() && waits_for_children(event.task, why, world) => {
                self.waits(event, on, world);
            }
            Kind::Exit { status } => self.exit(event, status, world, names, findings),
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        let sleeps = |of: TaskId| {
            let waits = |task: &Task| match task.state {
                State::Blocked(Blocked { why, .. }) => waits_for_children(task.id, why, world),
                _ => false,
            };
            world.living().any(|task| task.process == of && waits(task))
        };
        for (process, it) in self.unheeded.clone() {
            let long = ended == Ended::Stuck || world.t_ns().saturating_sub(it.since) >= LONG;
            if it.waits && long && sleeps(it.from) {
                findings.extend(self.unheeded(process, false, world, names));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<(Weight, String)> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "ignore-inherited-over-exec");
        findings.map(|it| (it.weight, it.text)).collect()
    }

    fn loaded(signal: Signal) -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "shell").action("shell", signal, Disposition::Ignore).pipe("shell", "p", 3);
        sketch.fork("shell", "yes");
        let (path, argv, name) = (sketch.intern("/bin/yes"), sketch.keep(b"yes\0"), sketch.intern("yes"));
        sketch.event("yes", "execve", 0, Kind::Exec { path, argv, name });
        sketch
    }

    #[test]
    fn a_writer_that_does_not_end() {
        let mut sketch = loaded(Signal::PIPE);
        sketch.write_fails("yes", 4, 32).exit("yes", 1);
        let texts = found(&mut sketch);
        assert_eq!(texts.iter().map(|it| it.0).collect::<Vec<_>>(), [Weight::Note, Weight::Fault]);
        assert!(
            texts[1]
                .1
                .starts_with("yes writes where nobody reads any more and gets EPIPE instead of SIGPIPE, which shell")
        );
    }

    #[test]
    fn a_program_that_loads_another_is_told_so() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "sh").action("sh", Signal::PIPE, Disposition::Ignore);
        let (path, argv, name) = (sketch.intern("/bin/sh"), sketch.keep(b"sh\0"), sketch.intern("sh"));
        sketch.event("sh", "execve", 0, Kind::Exec { path, argv, name });
        let start = "sh had set SIGPIPE to SIG_IGN when it loaded /bin/sh, which inherits that (execve(2)): its writes";
        assert!(found(&mut sketch)[0].1.starts_with(start), "{:?}", found(&mut sketch));
    }

    /// A shell sends what is ignored, and waits.
    fn sent(own: bool, then: impl FnOnce(&mut Sketch)) -> Vec<(Weight, String)> {
        let mut sketch = Sketch::new();
        sketch.fork("init", "shell").fork("shell", "job").action("job", Signal::INT, Disposition::Ignore);
        let (path, argv, name) = (sketch.intern("/bin/sleep"), sketch.keep(b"sleep\0"), sketch.intern("job"));
        sketch.event("job", "execve", 0, Kind::Exec { path, argv, name });
        if own {
            sketch.action("job", Signal::INT, Disposition::Ignore);
        }
        sketch.signal("job", Phase::Generated, Signal::INT, Some("shell"));
        sketch.signal("job", Phase::Ignored, Signal::INT, Some("shell"));
        then(&mut sketch);
        found(&mut sketch)
    }

    #[test]
    fn who_has_sent_a_signal_that_is_ignored_waits_in_vain() {
        let texts = sent(false, |sketch| {
            sketch.block("job", "nanosleep", Why::Time).block_on("shell", "wait4", Why::Child, "job");
            sketch.ended(Ended::Stuck);
        });
        let start = "shell sent SIGINT to job and waits for its end, but job ignores SIGINT: SIGINT was set to SIG_IGN \
                     before the program of job was loaded (a shell without job control";
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert_eq!(texts[0].0, Weight::Fault);
        assert!(texts[0].1.starts_with(start), "{texts:?}");
    }

    #[test]
    fn a_signal_that_is_faster_than_the_news_of_the_exec() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").action("parent", Signal::TERM, Disposition::Ignore).fork("parent", "job");
        sketch.signal("job", Phase::Generated, Signal::TERM, Some("parent"));
        sketch.signal("job", Phase::Ignored, Signal::TERM, Some("parent"));
        let waits = |sketch: &mut Sketch| {
            sketch.block_on("parent", "wait4", Why::Child, "job").ended(Ended::Stuck);
        };
        waits(&mut sketch);
        assert_eq!(found(&mut sketch), [], "its own code");
        let (path, argv, name) = (sketch.intern("/bin/sleep"), sketch.keep(b"sleep\0"), sketch.intern("job"));
        sketch.event("job", "execve", 0, Kind::Exec { path, argv, name });
        waits(&mut sketch);
        assert_eq!(found(&mut sketch).len(), 1);
    }

    #[test]
    fn who_does_not_wait_or_not_for_long_or_means_it_is_not_accused() {
        let not_waited = sent(false, |sketch| {
            sketch.exit("shell", 0).exit("job", 0);
        });
        let soon = sent(false, |sketch| {
            sketch.block_on("shell", "wait4", Why::Child, "job").exit("job", 0).unblock("shell");
        });
        let ended = sent(false, |sketch| {
            sketch.signal("job", Phase::Generated, Signal::TERM, Some("shell"));
            sketch.block_on("shell", "wait4", Why::Child, "job").ended(Ended::Stuck);
        });
        let own = sent(true, |sketch| {
            sketch.block_on("shell", "wait4", Why::Child, "job").ended(Ended::Stuck);
        });
        for found in [not_waited, soon, ended, own] {
            assert_eq!(found, []);
        }
    }

    #[test]
    fn a_writer_that_complains() {
        let mut sketch = loaded(Signal::PIPE);
        sketch.open("yes", 2, "p", crate::model::Access::Write).write_fails("yes", 4, 32);
        sketch.write("yes", 2, "cannot write\n").exit("yes", 0);
        assert_eq!(found(&mut sketch).iter().map(|it| it.0).collect::<Vec<_>>(), [Weight::Note, Weight::Fault]);
    }

    #[test]
    fn the_means_alone_is_no_fault() {
        for signal in [Signal::PIPE, Signal::CHLD] {
            let mut sketch = loaded(signal);
            sketch.exit("yes", 0);
            assert_eq!(found(&mut sketch).iter().map(|it| it.0).collect::<Vec<_>>(), [Weight::Note]);
        }
        let mut sketch = loaded(Signal::PIPE);
        sketch.action("yes", Signal::PIPE, Disposition::Ignore).write_fails("yes", 4, 32).exit("yes", 1);
        assert_eq!(found(&mut sketch).len(), 1, "the program wants it so");
    }
}
