//! A process is stopped because it uses the terminal from the background (termios(3), setpgid(2)), or by a signal of
//! who then waits for its end, and nobody continues it.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::{lives, process_of};
use super::{Finding, Rule, all_blocked, channel_name, listed, name};
use crate::model::{
    Blocked, ChannelKind, Ended, Event, Kind, Names, Phase, Signal, State, Status, Task, TaskId, Weight, World,
};

/// `SIGTTIN` and `SIGTTOU` of signal(7): the same on every architecture that the lab knows.
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;

/// SIGTTIN or SIGTTOU has stopped a process for good, or SIGSTOP has.
#[derive(Debug, Default)]
pub(super) struct StoppedByTerminal {
    /// Who was stopped by the terminal and has done nothing since.
    stopped: BTreeMap<TaskId, Signal>,
    /// Who was stopped by a signal of which other process.
    halted: BTreeMap<TaskId, (Signal, TaskId)>,
    /// Who has read from a terminal: a user is there who may go on with a job.
    readers: BTreeSet<TaskId>,
}

fn is_stopped(task: TaskId, world: &World) -> bool {
    world.task(task).is_some_and(|task| matches!(task.state, State::Stopped(_)))
}

/// Who sleeps until `process` goes on, ends or writes.
fn waiters(process: TaskId, world: &World) -> Vec<(TaskId, Blocked)> {
    let waits = |task: &Task| {
        let State::Blocked(blocked) = task.state else { return None };
        let wakers = world.wakers(task.id)?;
        (task.process != process && wakers.tasks.contains(&process)).then_some((task.id, blocked, wakers.outside))
    };
    let all: Vec<_> = world.living().filter_map(waits).collect();
    // The one at the other end of the terminal waits for whatever is typed or drawn.
    all.into_iter().filter(|(_, _, outside)| !outside).map(|(task, blocked, _)| (task, blocked)).collect()
}

impl Rule for StoppedByTerminal {
    fn name(&self) -> &'static str {
        "stopped-by-terminal"
    }

    fn about(&self) -> &'static str {
        "A process is stopped, mostly for using the terminal from the background, and nobody continues it."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Signal { phase: Phase::Default, signal, from, .. } => {
                let process = process_of(event.task, world);
                if matches!(signal.number(), SIGTTIN | SIGTTOU) {
                    self.stopped.insert(process, signal);
                } else if signal == Signal::STOP
                    && let Some(from) = from.filter(|from| *from != TaskId::LAB)
                {
                    self.halted.insert(process, (signal, process_of(from, world)));
                }
            }
            Kind::Exit { status } if !self.stopped.is_empty() => {
                let process = process_of(event.task, world);
                if !lives(process, world)
                    && let Some(signal) = self.stopped.remove(&process)
                    && let Status::Signal { signal: by, .. } = status
                {
                    findings.push(self.never_went_on(process, signal, by, world, names));
                }
            }
            Kind::Signal { .. } | Kind::Unblock { .. } => {}
            Kind::Read { channel, bytes: 1.., .. }
                if world.channel(channel).is_some_and(|it| it.kind == ChannelKind::Terminal) =>
            {
                let process = process_of(event.task, world);
                self.readers.insert(process);
                self.stopped.remove(&process);
            }
            // What another one does to it, as setpgid(2), it has not done itself.
            _ if event.call.is_some() && !self.stopped.is_empty() && !is_stopped(event.task, world) => {
                self.stopped.remove(&process_of(event.task, world));
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        let is_stopped = |process: TaskId, by: Signal| world.task(process).filter(|it| it.state == State::Stopped(by));
        for (process, signal) in std::mem::take(&mut self.stopped) {
            if let Some(task) = is_stopped(process, signal) {
                findings.push(self.still_stopped(task, signal, ended, world, names));
            }
        }
        for (process, (signal, by)) in std::mem::take(&mut self.halted) {
            if let Some(task) = is_stopped(process, signal) {
                findings.extend(self.halted(task, signal, by, ended, world, names));
            }
        }
    }
}

/// What a process does at its terminal for which it is stopped.
fn misuse(task: &Task, signal: Signal, past: bool, world: &World, names: &Names) -> String {
    let terminal = task.terminal.map_or("its terminal", |terminal| channel_name(terminal, world, names));
    match (signal.number() == SIGTTIN, past) {
        (true, false) => format!("it reads from {terminal}"),
        (true, true) => format!("it read from {terminal}"),
        (false, false) => format!("it writes to {terminal} or changes its settings"),
        (false, true) => format!("it wrote to {terminal} or changed its settings"),
    }
}

fn cure(who: &str, shell: &str, signal: Signal) -> String {
    if signal.number() == SIGTTIN {
        format!(
            "{shell} must put the group of {who} into the foreground (tcsetpgrp(3)) before {who} reads, and wait \
             with WUNTRACED to learn of a stop (waitpid(2))"
        )
    } else {
        "block or ignore SIGTTOU around tcsetpgrp(3) and tcsetattr(3), or put its group in the foreground first"
            .to_owned()
    }
}

impl StoppedByTerminal {
    /// A process that was stopped has been ended before it did anything more.
    fn never_went_on(&self, process: TaskId, signal: Signal, by: Signal, world: &World, names: &Names) -> Finding {
        let who = name(process, world, names);
        let task = world.task(process);
        let does = task.map_or_else(String::new, |task| misuse(task, signal, true, world, names));
        let advice = if signal.number() == SIGTTIN {
            format!(
                "give {who} another standard input (</dev/null), or put its group into the foreground (fg, tcsetpgrp(3))"
            )
        } else {
            format!("send the output of {who} elsewhere, or turn TOSTOP off (stty -tostop, termios(3))")
        };
        let text = format!(
            "{who} was stopped by {signal}, because {does} while its process group was in the background; nobody \
             continued it, and {by} ended it before it did anything more: {advice}"
        );
        // With a user at the terminal it may have been meant.
        let parent = task.map_or(TaskId::LAB, |task| task.parent);
        let weight = if self.readers.contains(&parent) { Weight::Note } else { Weight::Fault };
        let channels = task.and_then(|task| task.terminal).into_iter().collect();
        Finding { rule: self.name(), weight, text, tasks: vec![process], channels }
    }

    fn still_stopped(&self, task: &Task, signal: Signal, ended: Ended, world: &World, names: &Names) -> Finding {
        let who = name(task.id, world, names);
        let does = misuse(task, signal, false, world, names);
        let foreground = task.terminal.and_then(|terminal| world.channel(terminal)).map(|it| it.tty.foreground);
        let owner = foreground.filter(|pgid| *pgid > 0).and_then(|pgid| world.by_pid(pgid));
        let owner = owner.map_or_else(String::new, |owner| {
            format!(" (that of {} is in the foreground)", name(owner.id, world, names))
        });
        let waiting = waiters(task.id, world);
        let called: Vec<&str> = waiting.iter().map(|(task, _)| name(*task, world, names)).collect();
        let waits = match called.len() {
            0 => ", and nobody continues it".to_owned(),
            1 => format!(", and {} waits for it", called[0]),
            _ => format!(", and {} wait for it", listed(&called)),
        };
        let cure = cure(who, called.first().copied().unwrap_or("its shell"), signal);
        let text = format!(
            "{who} is stopped by {signal}, because {does} while its process group is in the background{owner}{waits}: \
             {cure}"
        );
        // A shell leaves a job stopped until it is told to go on with it.
        let weight = if !waiting.is_empty() || ended == Ended::Stuck { Weight::Fault } else { Weight::Note };
        let mut tasks = vec![task.id];
        tasks.extend(waiting.iter().map(|(task, _)| *task));
        Finding { rule: self.name(), weight, text, tasks, channels: task.terminal.into_iter().collect() }
    }

    /// Who has stopped a process waits for its end.
    fn halted(
        &self,
        task: &Task,
        signal: Signal,
        by: TaskId,
        ended: Ended,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        let waits = waiters(task.id, world).iter().any(|(waiter, _)| process_of(*waiter, world) == by);
        // As long as anybody else is awake it might be continued.
        let others = world.living().filter(|other| other.process != task.process);
        let asleep = others.map(|other| other.process).all(|process| all_blocked(process, world));
        if !waits || ended != Ended::Stuck && !asleep {
            return None;
        }
        let (who, sender) = (name(task.id, world, names), name(by, world, names));
        let text = format!(
            "{who} is stopped by {signal} from {sender}, which waits for the end of {who}, and nobody continues it: send \
             SIGCONT first (kill(2)), or wait with WUNTRACED to learn of the stop (waitpid(2))"
        );
        let (rule, tasks) = (self.name(), vec![task.id, by]);
        Some(Finding { rule, weight: Weight::Fault, text, tasks, channels: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::Why;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<(Weight, String)> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "stopped-by-terminal");
        findings.map(|it| (it.weight, it.text)).collect()
    }

    fn ttin() -> Signal {
        Signal::new(SIGTTIN).expect("a signal")
    }

    #[test]
    fn the_parent_waits_for_who_is_stopped() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "shell").fork("shell", "job").signal("job", Phase::Default, ttin(), None);
        sketch.block_on("shell", "wait4", Why::Child, "job");
        let texts = found(&mut sketch);
        assert_eq!(texts[0].0, Weight::Fault);
        assert!(
            texts[0].1.starts_with(
                "job is stopped by SIGTTIN, because it reads from its terminal while its process group is in the \
             background, and shell waits for it: shell must put"
            ),
            "{texts:?}"
        );
    }

    /// As a shell does it, in case the child has not come to it.
    #[test]
    fn a_parent_that_sets_the_group_of_who_is_stopped_continues_nobody() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "shell").fork("shell", "job").signal("job", Phase::Default, ttin(), None);
        sketch.event("job", "setpgid", 0, Kind::Group { pgid: 3, sid: 2 });
        sketch.block_on("shell", "wait4", Why::Child, "job");
        assert_eq!(found(&mut sketch).iter().map(|it| it.0).collect::<Vec<_>>(), [Weight::Fault]);
    }

    #[test]
    fn one_that_is_continued_is_all_right() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "shell").fork("shell", "job").signal("job", Phase::Default, ttin(), None);
        sketch.signal("job", Phase::Generated, Signal::CONT, Some("shell")).exit("job", 0).reap("shell", "job");
        sketch.exit("shell", 0);
        assert_eq!(found(&mut sketch), []);
    }

    #[test]
    fn who_is_ended_without_having_gone_on() {
        let tell = |reads: bool, goes_on: bool| {
            let mut sketch = Sketch::new();
            sketch.fork("init", "shell").create("shell", "tty", ChannelKind::Terminal);
            sketch.open("shell", 0, "tty", crate::model::Access::ReadWrite).fork("shell", "job");
            if reads {
                sketch.read("shell", 0, 5);
            }
            sketch.signal("job", Phase::Default, ttin(), None);
            sketch.signal("job", Phase::Generated, Signal::CONT, Some("shell"));
            if goes_on {
                sketch.block_at("job", "read", Why::Empty, "tty");
            }
            sketch.signal("job", Phase::Default, Signal::TERM, Some("shell")).killed("job", Signal::TERM);
            found(&mut sketch)
        };
        let found = tell(false, false);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, Weight::Fault);
        let start = "job was stopped by SIGTTIN, because it read from its terminal while its process group was in the \
                     background; nobody continued it, and SIGTERM ended it";
        assert!(found[0].1.starts_with(start), "{found:?}");
        assert_eq!(tell(true, false)[0].0, Weight::Note, "a user is there");
        assert_eq!(tell(false, true), [], "it went on");
    }

    #[test]
    fn who_has_stopped_a_child_waits_for_its_end() {
        let tell = |awake: bool| {
            let mut sketch = Sketch::new();
            sketch.fork("init", "parent").fork("parent", "child").fork("init", "other");
            sketch.signal("child", Phase::Default, Signal::STOP, Some("parent"));
            sketch.block_on("parent", "wait4", Why::Child, "child");
            if !awake {
                sketch.block("other", "pause", Why::Signal);
            }
            sketch.ended(Ended::Cut);
            found(&mut sketch)
        };
        let found = tell(false);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].1.starts_with("child is stopped by SIGSTOP from parent, which waits for the end"),
            "{found:?}"
        );
        assert_eq!(tell(true), [], "another one might continue it");
    }
}
