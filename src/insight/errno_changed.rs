//! Handlers that change errno(3) under the program that they interrupt (signal-safety(7)).

use std::collections::BTreeMap;

use super::{Finding, Rule, name};
use crate::model::{Ended, Event, Kind, Names, Signal, SignalSet, Sym, TaskId, Weight, World, errno_name};

/// A scenario process says by `perror` why a call has failed, but a handler has run since in which another
/// call failed, and has not put back what it found.
///
/// Of a program it cannot be seen whether it looks at errno, nor whether its handlers put it back: nothing
/// is said of those.
#[derive(Debug, Default)]
pub(super) struct ErrnoChangedByHandler {
    tasks: BTreeMap<TaskId, Errors>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    /// The call of the program that has failed last, and how.
    own: Option<(Sym, i32)>,
    /// What has failed in a handler since: whose handler, which call, how.
    changed: Option<(Signal, Sym, i32)>,
    /// The signals whose handlers put errno back.
    kept: SignalSet,
}

impl ErrnoChangedByHandler {
    fn failed(&mut self, event: &Event, errno: i32, world: &World) {
        let (Some(task), Some(call)) = (world.task(event.task), event.call) else { return };
        let errors = self.tasks.entry(event.task).or_default();
        match task.handling.last() {
            None => (errors.own, errors.changed) = (Some((call, errno)), None),
            Some(signal) => {
                if !task.handling.iter().any(|signal| errors.kept.contains(*signal)) {
                    errors.changed = Some((*signal, call, errno));
                }
            }
        }
    }

    fn line(&mut self, event: &Event, text: &str, world: &World, names: &Names) -> Option<Finding> {
        if let Some(rest) = text.strip_prefix("on ") {
            let signal = rest.split(' ').next().and_then(Signal::parse)?;
            let kept = &mut self.tasks.entry(event.task).or_default().kept;
            if rest.contains("keep-errno=#true") {
                kept.insert(signal);
            } else {
                kept.remove(signal);
            }
            return None;
        }
        if !text.starts_with("perror ") || world.task(event.task).is_none_or(|task| !task.handling.is_empty()) {
            return None;
        }
        let errors = self.tasks.get_mut(&event.task)?;
        let ((call, errno), (signal, other, wrong)) = (errors.own?, errors.changed.take()?);
        if errno == wrong {
            return None;
        }
        let who = name(event.task, world, names);
        let text = format!(
            "{who} asks why its {} has failed ({}), but errno(3) says {}: the handler of {signal} ran in between, and \
             its {} failed; a handler must save errno and put it back (signal-safety(7)), in a scenario by \
             keep-errno=#true",
            names.get(call),
            errno_name(errno),
            errno_name(wrong),
            names.get(other),
        );
        let rule = "errno-changed-by-handler";
        Some(Finding { rule, weight: Weight::Fault, text, tasks: vec![event.task], channels: Vec::new() })
    }
}

impl Rule for ErrnoChangedByHandler {
    fn name(&self) -> &'static str {
        "errno-changed-by-handler"
    }

    fn about(&self) -> &'static str {
        "A handler changed errno between a call that failed and the look at why it did."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Line { text, .. } => findings.extend(self.line(event, names.get(text), world, names)),
            Kind::Spawn { child, .. } => {
                if let Some(errors) = self.tasks.get(&event.task).copied() {
                    self.tasks.insert(child, errors);
                }
            }
            Kind::Exec { .. } | Kind::Exit { .. } if !event.failed() => {
                self.tasks.remove(&event.task);
            }
            _ => {
                if let Some(errno) = event.errno() {
                    self.failed(event, errno, world);
                }
            }
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

    fn found(on: &str, in_handler: i64) -> Vec<String> {
        let mut sketch = Sketch::new();
        sketch.fork("init", "child").line("child", 1, on).syscall("child", "openat", -2, "");
        sketch.signal("child", Phase::Handler, Signal::CHLD, None).syscall("child", "wait4", in_handler, "");
        sketch.signal("child", Phase::Returned, Signal::CHLD, None).line("child", 4, "perror open");
        let findings = replay(&sketch.log()).into_iter();
        findings.filter(|finding| finding.rule == "errno-changed-by-handler").map(|it| it.text).collect()
    }

    #[test]
    fn a_handler_that_fails_in_between() {
        let expected = "child asks why its openat has failed (ENOENT), but errno(3) says ECHILD: the handler of SIGCHLD \
                        ran in between, and its wait4 failed; a handler must save errno and put it back \
                        (signal-safety(7)), in a scenario by keep-errno=#true";
        assert_eq!(found("on SIGCHLD {", -10), [expected]);
    }

    #[test]
    fn handlers_that_change_nothing() {
        assert_eq!(found("on SIGCHLD {", 5), [""; 0], "it succeeded");
        assert_eq!(found("on SIGCHLD {", -2), [""; 0], "it is the same");
        assert_eq!(found("on SIGCHLD keep-errno=#true {", -10), [""; 0], "it was put back");
    }
}
