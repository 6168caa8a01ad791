//! An exec that fails returns (exec(3)): who does not end then goes on in its parent's code, beside the parent.

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::process_of;
use super::{Finding, Rule, channel_name, name};
use crate::model::{
    ChannelId, Ended, Event, How, Kind, Names, Status, Sym, TaskId, Via, Weight, Why, World, errno_name,
};

const ECHILD: i32 = 10;
/// A script without `#!`: whoever gets this runs it with a shell (execvp(3)).
const ENOEXEC: i32 = 8;

/// A child whose exec has failed does what its parent does.
#[derive(Debug, Default)]
pub(super) struct GoesOn {
    /// Processes that run the code of who has forked them, and who that is.
    forked: BTreeMap<TaskId, TaskId>,
    failed: BTreeMap<TaskId, Failure>,
    told: BTreeSet<(TaskId, Sym)>,
    /// Who has read from what through descriptor 0.
    read: BTreeSet<(TaskId, ChannelId)>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    path: Sym,
    errno: i32,
}

impl GoesOn {
    fn report(&mut self, process: TaskId, what: &str, weight: Weight, world: &World, names: &Names) -> Option<Finding> {
        let Failure { path, errno } = self.failed.remove(&process)?;
        let maker = self.forked.get(&process).copied()?;
        if !self.told.insert((maker, path)) {
            return None;
        }
        let (who, of) = (name(process, world, names), name(maker, world, names));
        let text = format!(
            "{who} goes on in the code of {of} after its exec of {} has failed ({}), and {what}: call _exit(127) \
             right after exec, which returns only if it has failed",
            names.get(path),
            errno_name(errno),
        );
        let tasks = vec![process, maker];
        Some(Finding { rule: "goes-on-after-failed-exec", weight, text, tasks, channels: Vec::new() })
    }

    /// Reads what its parent reads from, through the same open file description.
    fn reads(&mut self, task: TaskId, channel: ChannelId, world: &World, names: &Names) -> Option<Finding> {
        let process = process_of(task, world);
        self.failed.get(&process)?;
        let maker = self.forked.get(&process).copied()?;
        let description = |id| world.fd(id, 0).filter(|fd| fd.channel == channel).map(|fd| fd.description);
        let same = description(process).is_some() && description(process) == description(maker);
        if !same || !self.read.contains(&(maker, channel)) {
            return None;
        }
        let what = format!("reads from {} as its parent does", channel_name(channel, world, names));
        self.report(process, &what, Weight::Fault, world, names)
    }
}

impl Rule for GoesOn {
    fn name(&self) -> &'static str {
        "goes-on-after-failed-exec"
    }

    fn about(&self) -> &'static str {
        "A child whose exec has failed does not end, but does what its parent does."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Read { channel, via: Via::Fd(0), .. } => {
                findings.extend(self.reads(event.task, channel, world, names));
                if event.task != TaskId::LAB {
                    self.read.insert((process_of(event.task, world), channel));
                }
            }
            Kind::Spawn { child, how, .. } if how != How::Thread => {
                let maker = process_of(event.task, world);
                findings.extend(self.report(maker, "forks again", Weight::Fault, world, names));
                if how != How::Vfork && maker != TaskId::LAB {
                    self.forked.insert(child, maker);
                }
            }
            Kind::Exec { path, .. } => {
                let process = process_of(event.task, world);
                match event.errno() {
                    None => {
                        self.forked.remove(&process);
                        self.failed.remove(&process);
                    }
                    Some(errno) if errno != ENOEXEC && self.forked.contains_key(&process) => {
                        self.failed.insert(process, Failure { path, errno });
                    }
                    Some(_) => {}
                }
            }
            _ if self.failed.is_empty() => {}
            Kind::Block { channel: Some(channel), why: Why::Empty, .. } => {
                findings.extend(self.reads(event.task, channel, world, names));
            }
            Kind::Syscall { .. } if event.errno() == Some(ECHILD) => {
                let what = "waits for children that it does not have";
                findings.extend(self.report(process_of(event.task, world), what, Weight::Fault, world, names));
            }
            Kind::Exit { status } => {
                let process = process_of(event.task, world);
                if status == Status::Code(0) {
                    let what = "ends with 0, as if it had worked";
                    findings.extend(self.report(process, what, Weight::Note, world, names));
                }
                self.failed.remove(&process);
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
    use crate::model::{Access, ChannelKind};

    fn found(sketch: &mut Sketch) -> Vec<(Weight, String)> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "goes-on-after-failed-exec");
        findings.map(|it| (it.weight, it.text)).collect()
    }

    fn family() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "shell").create("shell", "in", ChannelKind::Terminal).open("shell", 0, "in", Access::Read);
        sketch.read("shell", 0, 4).fork("shell", "child");
        let (path, argv, name) = (sketch.intern("nosuch"), sketch.keep(b"nosuch\0"), sketch.intern("child"));
        sketch.event("child", "execve", -2, Kind::Exec { path, argv, name });
        sketch
    }

    #[test]
    fn a_child_that_reads_beside_its_parent() {
        let mut sketch = family();
        sketch.read("child", 0, 4).exit("child", 0);
        let expected = "child goes on in the code of shell after its exec of nosuch has failed (ENOENT), and reads from \
                        in as its parent does: call _exit(127) right after exec, which returns only if it has failed";
        assert_eq!(found(&mut sketch), [(Weight::Fault, expected.to_owned())]);
    }

    #[test]
    fn a_child_that_forks_or_waits() {
        let mut sketch = family();
        sketch.fork("child", "grandchild");
        assert_eq!(found(&mut sketch).len(), 1);
        let mut sketch = family();
        sketch.syscall("child", "wait4", -10, "-1, NULL, 0, NULL");
        assert_eq!(found(&mut sketch).len(), 1);
    }

    #[test]
    fn a_child_that_ends_is_right() {
        let mut sketch = family();
        sketch.exit("child", 127);
        assert_eq!(found(&mut sketch), []);
        let mut sketch = family();
        let (path, argv, name) = (sketch.intern("/bin/ls"), sketch.keep(b"ls\0"), sketch.intern("ls"));
        sketch.event("child", "execve", 0, Kind::Exec { path, argv, name });
        sketch.fork("ls", "other").read("ls", 0, 1).exit("ls", 0);
        assert_eq!(found(&mut sketch), [], "another path did");
    }
}
