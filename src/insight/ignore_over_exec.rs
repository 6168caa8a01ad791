//! Signals that a program ignores without having said so: execve(2) keeps SIG_IGN.
//!
//! Of SIGPIPE the consequence is that a write whose reader has gone fails, again and again, where the program
//! should have ended. Of SIGCHLD it is a status that is lost, which is a rule of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::process_of;
use super::{Finding, Rule, name};
use crate::model::{Disposition, Ended, Event, Kind, Names, Signal, Status, TaskId, Weight, World};

const EPIPE: i32 = 32;

/// A program was loaded with SIGPIPE or SIGCHLD ignored.
#[derive(Debug, Default)]
pub(super) struct IgnoreInheritedOverExec {
    /// Who has set a process to ignore a signal, itself or before it was made.
    set_by: BTreeMap<(TaskId, Signal), TaskId>,
    /// Programs that were loaded so, and how many of their writes have failed since.
    loaded: BTreeMap<(TaskId, Signal), usize>,
    noted: BTreeSet<(TaskId, Signal)>,
    told: BTreeSet<TaskId>,
}

impl IgnoreInheritedOverExec {
    fn exec(&mut self, process: TaskId, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        for signal in [Signal::PIPE, Signal::CHLD] {
            let Some(by) = self.set_by.get(&(process, signal)).copied() else { continue };
            self.loaded.insert((process, signal), 0);
            if !self.noted.insert((by, signal)) {
                continue;
            }
            let (who, setter) = (name(process, world, names), name(by, world, names));
            let what = if signal == Signal::PIPE {
                "its writes fail with EPIPE where they would have ended it"
            } else {
                "it gets no exit status of its children"
            };
            let text = format!(
                "{who} was loaded with {signal} ignored, which {setter} had set and execve(2) keeps: {what}; set \
                 {signal} to SIG_DFL between fork and exec, if that is not meant (sigaction(2))"
            );
            let tasks = if by == process { vec![process] } else { vec![process, by] };
            findings.push(Finding { rule: self.name(), weight: Weight::Note, text, tasks, channels: Vec::new() });
        }
    }

    fn report(&mut self, process: TaskId, failed: usize, world: &World, names: &Names) -> Option<Finding> {
        let by = *self.set_by.get(&(process, Signal::PIPE))?;
        if !self.told.insert(process) {
            return None;
        }
        let (who, setter) = (name(process, world, names), name(by, world, names));
        let times = if failed == 1 { String::new() } else { format!(" {failed} times") };
        let text = format!(
            "{who} writes where nobody reads any more and gets EPIPE{times} instead of SIGPIPE, which {setter} had set \
             to SIG_IGN before the exec, and execve(2) keeps that: set SIGPIPE to SIG_DFL between fork and exec \
             (sigaction(2))"
        );
        let tasks = if by == process { vec![process] } else { vec![process, by] };
        Some(Finding { rule: "ignore-inherited-over-exec", weight: Weight::Fault, text, tasks, channels: Vec::new() })
    }
}

impl Rule for IgnoreInheritedOverExec {
    fn name(&self) -> &'static str {
        "ignore-inherited-over-exec"
    }

    fn about(&self) -> &'static str {
        "A program was loaded with SIGPIPE or SIGCHLD ignored, without having said so."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Action { signal: signal @ (Signal::PIPE | Signal::CHLD), disposition, .. }
                if event.call.is_some() && !event.failed() =>
            {
                let process = process_of(event.task, world);
                self.loaded.remove(&(process, signal));
                if disposition == Disposition::Ignore {
                    self.set_by.insert((process, signal), process);
                } else {
                    self.set_by.remove(&(process, signal));
                }
            }
            _ if self.set_by.is_empty() => {}
            Kind::Spawn { child, .. } if world.task(child).is_some_and(crate::model::Task::is_process) => {
                let maker = process_of(event.task, world);
                for signal in [Signal::PIPE, Signal::CHLD] {
                    if let Some(by) = self.set_by.get(&(maker, signal)).copied() {
                        self.set_by.insert((child, signal), by);
                    }
                    if self.loaded.contains_key(&(maker, signal)) {
                        self.loaded.insert((child, signal), 0);
                    }
                }
            }
            Kind::Exec { .. } if !event.failed() => self.exec(process_of(event.task, world), world, names, findings),
            Kind::Write { .. } if event.errno() == Some(EPIPE) => {
                let process = process_of(event.task, world);
                let Some(failed) = self.loaded.get_mut(&(process, Signal::PIPE)) else { return };
                *failed += 1;
                // One that goes on as if nothing had been.
                if *failed == 3 {
                    findings.extend(self.report(process, 3, world, names));
                }
            }
            Kind::Exit { status } => {
                let process = process_of(event.task, world);
                let failed = self.loaded.remove(&(process, Signal::PIPE)).unwrap_or(0);
                if failed > 0 && status != Status::Code(0) {
                    findings.extend(self.report(process, failed, world, names));
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, _: &World, _: &Names, _: Ended, _: &mut Vec<Finding>) {}
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
