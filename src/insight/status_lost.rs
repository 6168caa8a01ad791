//! An exit status that nobody can get any more (wait(2), ECHILD): because SIGCHLD was ignored when the child
//! ended, or because somebody else in the process has waited for it.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::process_of;
use super::{Finding, Rule, name};
use crate::model::{Disposition, Ended, Event, Kind, Names, Signal, State, TaskId, Weight, World};

const ECHILD: i32 = 10;
/// `SA_NOCLDWAIT` of sigaction(2).
const SA_NOCLDWAIT: u32 = 2;

/// A wait failed, because the status it asked for is gone.
#[derive(Debug, Default)]
pub(super) struct StatusLost {
    /// The children of each process by PID.
    children: BTreeMap<(TaskId, i32), TaskId>,
    /// Who has it that SIGCHLD is ignored in a process.
    ignores: BTreeMap<TaskId, Cause>,
    /// Why the status of a child is gone.
    lost: BTreeMap<TaskId, Loss>,
    /// Processes that have got the status of a child.
    reaped: BTreeSet<TaskId>,
    told: BTreeSet<TaskId>,
}

/// Why a process ignores SIGCHLD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It has said so itself, since it was loaded.
    Itself,
    /// This process had said so before the program was loaded.
    Before(TaskId),
    /// It was so when the run began.
    Outside,
}

#[derive(Debug, Clone, Copy)]
enum Loss {
    Ignored(Cause),
    /// This task has got it, inside of a handler or not.
    Taken(TaskId, bool),
}

/// What a wait was for: the PID (none for any child), and whether it asked for the status.
fn wanted(call: &str, args: &str) -> Option<(Option<i32>, bool)> {
    let words: Vec<&str> = args.split(", ").collect();
    let (who, status) = match call {
        "wait4" | "waitpid" => (words.first()?.parse().ok().filter(|pid| *pid > 0), words.get(1)?),
        "waitid" => {
            let by_pid = matches!(*words.first()?, "P_PID" | "1");
            (words.get(1)?.parse().ok().filter(|pid| by_pid && *pid > 0), words.get(2)?)
        }
        _ => return None,
    };
    Some((who, !matches!(*status, "NULL" | "0" | "0x0")))
}

impl StatusLost {
    fn no_child(&mut self, event: &Event, payload: &[u8], world: &World, names: &Names) -> Option<Finding> {
        let process = process_of(event.task, world);
        let call = names.get(event.call?);
        let args = String::from_utf8_lossy(payload);
        let (pid, asks) = wanted(call, &args)?;
        let child = match pid {
            Some(pid) => *self.children.get(&(process, pid))?,
            // A loop that waits until nobody is left always ends so.
            None if self.reaped.contains(&process) => return None,
            None => {
                let mut own = self.children.range((process, i32::MIN)..=(process, i32::MAX)).map(|(_, child)| *child);
                own.rfind(|child| matches!(self.lost.get(child), Some(Loss::Ignored(_))))?
            }
        };
        let loss = *self.lost.get(&child)?;
        if !self.told.insert(child) {
            return None;
        }
        let (who, of) = (name(event.task, world, names), name(child, world, names));
        let by = |cause: Cause| match cause {
            Cause::Itself => format!("{who} ignores SIGCHLD (SIG_IGN or SA_NOCLDWAIT)"),
            Cause::Before(other) if other == process => {
                format!("{who} had SIGCHLD ignored before it loaded its program, and execve(2) keeps that")
            }
            Cause::Before(other) => {
                format!(
                    "SIGCHLD was ignored by {} before the exec, and execve(2) keeps that",
                    name(other, world, names)
                )
            }
            Cause::Outside => "SIGCHLD was ignored when the run began, and execve(2) keeps that".to_owned(),
        };
        let handles = world.action(process, Signal::CHLD).is_some_and(|it| it.disposition == Disposition::Handler);
        let (why, cure) = match loss {
            Loss::Ignored(cause) => {
                let cure = "set SIGCHLD to SIG_DFL before the child is made (sigaction(2))";
                (format!("{}, so the kernel keeps no status", by(cause)), cure.to_owned())
            }
            Loss::Taken(_, true) => (
                "the handler of SIGCHLD has waited for it already".to_owned(),
                "let the handler keep the status of each child, or block SIGCHLD until the wait is over \
                 (sigprocmask(2))"
                    .to_owned(),
            ),
            Loss::Taken(other, false) if other == event.task => (
                format!(
                    "{who} has waited for it before{}",
                    if handles { ", and has a handler of SIGCHLD, which may be where" } else { "" }
                ),
                "wait for each child in one place (waitpid(2)), and keep its status".to_owned(),
            ),
            Loss::Taken(other, false) => (
                format!("{} has waited for it already", name(other, world, names)),
                "wait for each child in one place, and by its PID (waitpid(2))".to_owned(),
            ),
        };
        // Waiting for whoever ends is the way to wait for all of them, and works then too.
        let own_wish = pid.is_none() && matches!(loss, Loss::Ignored(Cause::Itself));
        // So is to wait a second time, unless a handler was to do the first.
        let twice = matches!(loss, Loss::Taken(other, false) if other == event.task && !handles);
        // A scenario has no variable for it: who waits for one by name is meant to learn how it has ended.
        let asks = asks || (pid.is_some() && world.task(event.task).is_some_and(|task| task.line.is_some()));
        let weight = if asks && !own_wish && !twice { Weight::Fault } else { Weight::Note };
        let text = format!("{who} gets no exit status of {of} ({call}: ECHILD): {why}; {cure}");
        let mut tasks = vec![event.task, child];
        match loss {
            Loss::Ignored(Cause::Before(other)) | Loss::Taken(other, _) if other != event.task => tasks.push(other),
            _ => {}
        }
        Some(Finding { rule: self.name(), weight, text, tasks, channels: Vec::new() })
    }

    fn ended(&mut self, task: TaskId, world: &World) {
        let Some(known) = world.task(task).filter(|task| task.is_process() && task.state == State::Dead) else {
            return;
        };
        if known.parent == TaskId::LAB {
            return;
        }
        let cause = self.ignores.get(&known.parent).copied();
        let action = world.action(known.parent, Signal::CHLD);
        let ignored = action.is_some_and(|it| it.disposition == Disposition::Ignore || it.flags & SA_NOCLDWAIT != 0);
        if ignored {
            self.lost.insert(task, Loss::Ignored(cause.unwrap_or(Cause::Outside)));
        }
    }
}

impl Rule for StatusLost {
    fn name(&self) -> &'static str {
        "status-lost"
    }

    fn about(&self) -> &'static str {
        "A process waits for a child whose exit status is gone: SIGCHLD was ignored, or another wait took it."
    }

    fn observe(&mut self, event: &Event, payload: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Spawn { child, pid, .. } if world.task(child).is_some_and(crate::model::Task::is_process) => {
                let maker = process_of(event.task, world);
                self.children.insert((maker, pid), child);
                if let Some(cause) = self.ignores.get(&maker) {
                    let cause = if *cause == Cause::Itself { Cause::Before(maker) } else { *cause };
                    self.ignores.insert(child, cause);
                }
            }
            Kind::Exec { .. } if !event.failed() => {
                let process = process_of(event.task, world);
                if let Some(cause) = self.ignores.get_mut(&process).filter(|cause| **cause == Cause::Itself) {
                    *cause = Cause::Before(process);
                }
            }
            Kind::Action { signal: Signal::CHLD, disposition, flags, .. } => {
                let process = process_of(event.task, world);
                let cause = if event.call.is_some() { Cause::Itself } else { Cause::Outside };
                if disposition == Disposition::Ignore || flags & SA_NOCLDWAIT != 0 {
                    self.ignores.insert(process, cause);
                } else {
                    self.ignores.remove(&process);
                }
            }
            Kind::Exit { .. } => self.ended(event.task, world),
            Kind::Reap { child, .. } => {
                let handler = world.task(event.task).is_some_and(|task| task.handling.contains(&Signal::CHLD));
                self.reaped.insert(process_of(event.task, world));
                self.lost.insert(child, Loss::Taken(event.task, handler));
            }
            Kind::Syscall { .. } if event.errno() == Some(ECHILD) => {
                findings.extend(self.no_child(event, payload, world, names));
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
    use crate::model::Phase;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<(Weight, String)> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "status-lost");
        findings.map(|it| (it.weight, it.text)).collect()
    }

    fn wait_fails(sketch: &mut Sketch, args: &str) {
        sketch.syscall("parent", "wait4", -10, args);
    }

    fn exec(sketch: &mut Sketch, task: &str) {
        let (path, argv, name) = (sketch.intern("/bin/x"), sketch.keep(b"x\0"), sketch.intern(task));
        sketch.event(task, "execve", 0, Kind::Exec { path, argv, name });
    }

    #[test]
    fn who_ignores_sigchld_gets_no_status() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").action("parent", Signal::CHLD, Disposition::Ignore).fork("parent", "child");
        sketch.exit("child", 3);
        wait_fails(&mut sketch, "3, 0x7f00, 0, NULL");
        let expected = "parent gets no exit status of child (wait4: ECHILD): parent ignores SIGCHLD (SIG_IGN or \
                        SA_NOCLDWAIT), so the kernel keeps no status; set SIGCHLD to SIG_DFL before the child is made \
                        (sigaction(2))";
        assert_eq!(found(&mut sketch), [(Weight::Fault, expected.to_owned())]);
    }

    #[test]
    fn an_ignored_signal_is_inherited() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "shell").action("shell", Signal::CHLD, Disposition::Ignore).fork("shell", "parent");
        exec(&mut sketch, "parent");
        sketch.fork("parent", "child").exit("child", 3);
        wait_fails(&mut sketch, "-1, 0x7f00, 0, NULL");
        let texts = found(&mut sketch);
        assert_eq!(texts[0].0, Weight::Fault);
        assert!(texts[0].1.contains("SIGCHLD was ignored by shell before the exec"), "{texts:?}");
    }

    #[test]
    fn waiting_for_all_is_no_fault() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").action("parent", Signal::CHLD, Disposition::Ignore).fork("parent", "child");
        sketch.exit("child", 3);
        wait_fails(&mut sketch, "-1, NULL, 0, NULL");
        assert_eq!(found(&mut sketch).iter().map(|it| it.0).collect::<Vec<_>>(), [Weight::Note]);
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "child").exit("child", 3).reap("parent", "child");
        wait_fails(&mut sketch, "-1, 0x7f00, 0, NULL");
        assert_eq!(found(&mut sketch), []);
    }

    #[test]
    fn the_handler_was_faster() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").action("parent", Signal::CHLD, Disposition::Handler).fork("parent", "child");
        sketch.exit("child", 3).signal("parent", Phase::Handler, Signal::CHLD, None).reap("parent", "child");
        sketch.signal("parent", Phase::Returned, Signal::CHLD, None);
        wait_fails(&mut sketch, "3, 0x7f00, 0, NULL");
        let texts = found(&mut sketch);
        assert_eq!(texts[0].0, Weight::Fault);
        assert!(texts[0].1.contains("the handler of SIGCHLD has waited for it already"), "{texts:?}");
    }
}
