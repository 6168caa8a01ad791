//! A process is stopped because it uses the terminal from the background (termios(3), setpgid(2)), and nobody
//! continues it.

use std::collections::BTreeMap;

use super::{Finding, Rule, channel_name, listed, name};
use crate::model::{Blocked, Ended, Event, Kind, Names, Phase, Signal, State, TaskId, Weight, World};

/// `SIGTTIN` and `SIGTTOU` of signal(7): the same on every architecture that the lab knows.
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;

/// SIGTTIN or SIGTTOU has stopped a process for good.
#[derive(Debug, Default)]
pub(super) struct StoppedByTerminal {
    stopped: BTreeMap<TaskId, Signal>,
}

/// Who sleeps until `process` goes on, ends or writes.
fn waiters(process: TaskId, world: &World) -> Vec<(TaskId, Blocked)> {
    let waits = |task: &crate::model::Task| {
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
        "A process in the background uses the terminal, is stopped for it, and nobody continues it."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, _: &Names, _: &mut Vec<Finding>) {
        if let Kind::Signal { phase: Phase::Default, signal, .. } = event.kind
            && matches!(signal.number(), SIGTTIN | SIGTTOU)
        {
            let process = super::lineage::process_of(event.task, world);
            self.stopped.insert(process, signal);
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        for (process, signal) in std::mem::take(&mut self.stopped) {
            let Some(task) = world.task(process).filter(|task| task.state == State::Stopped(signal)) else { continue };
            let who = name(process, world, names);
            let terminal = task.terminal.map_or("its terminal", |terminal| channel_name(terminal, world, names));
            let does = if signal.number() == SIGTTIN {
                format!("it reads from {terminal}")
            } else {
                format!("it writes to {terminal} or changes its settings")
            };
            let foreground = task.terminal.and_then(|terminal| world.channel(terminal)).map(|it| it.tty.foreground);
            let owner = foreground.filter(|pgid| *pgid > 0).and_then(|pgid| world.by_pid(pgid));
            let owner = owner.map_or_else(String::new, |owner| {
                format!(" (that of {} is in the foreground)", name(owner.id, world, names))
            });
            let waiting = waiters(process, world);
            let called: Vec<&str> = waiting.iter().map(|(task, _)| name(*task, world, names)).collect();
            let waits = match called.len() {
                0 => ", and nobody continues it".to_owned(),
                1 => format!(", and {} waits for it", called[0]),
                _ => format!(", and {} wait for it", listed(&called)),
            };
            let shell = called.first().copied().unwrap_or("its shell");
            let cure = if signal.number() == SIGTTIN {
                format!(
                    "{shell} must put the group of {who} into the foreground (tcsetpgrp(3)) before {who} reads, and wait \
                     with WUNTRACED to learn of a stop (waitpid(2))"
                )
            } else {
                "block or ignore SIGTTOU around tcsetpgrp(3) and tcsetattr(3), or put its group in the foreground first"
                    .to_owned()
            };
            let text = format!(
                "{who} is stopped by {signal}, because {does} while its process group is in the background{owner}{waits}: \
                 {cure}"
            );
            // A shell leaves a job stopped until it is told to go on with it.
            let weight = if !waiting.is_empty() || ended == Ended::Stuck { Weight::Fault } else { Weight::Note };
            let mut tasks = vec![process];
            tasks.extend(waiting.iter().map(|(task, _)| *task));
            findings.push(Finding {
                rule: self.name(),
                weight,
                text,
                tasks,
                channels: task.terminal.into_iter().collect(),
            });
        }
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

    #[test]
    fn one_that_is_continued_is_all_right() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "shell").fork("shell", "job").signal("job", Phase::Default, ttin(), None);
        sketch.signal("job", Phase::Generated, Signal::CONT, Some("shell")).exit("job", 0).reap("shell", "job");
        sketch.exit("shell", 0);
        assert_eq!(found(&mut sketch), []);
    }
}
