//! Calls that a handler must not make (signal-safety(7)).

use std::collections::BTreeSet;

use super::{Finding, Rule, name};
use crate::model::{Ended, Event, Kind, Names, Signal, TaskId, Weight, Why, World};

/// Of a scenario process the statements are known: one inside a handler uses the buffer of stdio(3). Of a
/// program only what it asks of the kernel is: here that the only thread of a process sleeps in futex(2)
/// inside a handler, for a lock that nobody but the interrupted code can hold.
#[derive(Debug, Default)]
pub(super) struct UnsafeCallInHandler {
    told: BTreeSet<(TaskId, Signal)>,
    /// Who has something in the buffer of its standard output, or had.
    printed: BTreeSet<TaskId>,
}

impl UnsafeCallInHandler {
    fn line(&mut self, event: &Event, text: &str, world: &World, names: &Names) -> Option<Finding> {
        let statement = text.split(' ').next().unwrap_or_default();
        if !matches!(statement, "print" | "fflush" | "exit") {
            return None;
        }
        let task = world.task(event.task)?;
        let Some(signal) = task.handling.last().copied() else {
            if statement == "print" {
                self.printed.insert(event.task);
            }
            return None;
        };
        // exit(3) writes out what has been printed.
        let call = match statement {
            "print" => "printf(3)",
            "fflush" => "fflush(3)",
            _ if self.printed.contains(&event.task) => "exit(3)",
            _ => return None,
        };
        let instead = if statement == "exit" { "_exit(2)" } else { "write(2)" };
        let what = format!("calls {call}, which may find the buffer of stdio(3) half changed: use {instead}");
        self.report(event.task, signal, &what, world, names)
    }

    fn slept(&mut self, event: &Event, world: &World, names: &Names) -> Option<Finding> {
        let task = world.task(event.task)?;
        let signal = task.handling.last().copied()?;
        let alone = world.living().filter(|other| other.process == task.process).count() == 1;
        if !alone || names.get(event.call?) != "futex" {
            return None;
        }
        let what = "waits for a lock that the very code holds which it has interrupted, a deadlock: do not lock, allocate \
                    or use stdio(3) in a handler";
        self.report(event.task, signal, what, world, names)
    }

    fn report(&mut self, task: TaskId, signal: Signal, what: &str, world: &World, names: &Names) -> Option<Finding> {
        if !self.told.insert((task, signal)) {
            return None;
        }
        let text = format!(
            "the handler of {signal} in {} {what}; signal-safety(7) lists what a handler may call",
            name(task, world, names)
        );
        Some(Finding {
            rule: "unsafe-call-in-handler",
            weight: Weight::Fault,
            text,
            tasks: vec![task],
            channels: Vec::new(),
        })
    }
}

impl Rule for UnsafeCallInHandler {
    fn name(&self) -> &'static str {
        "unsafe-call-in-handler"
    }

    fn about(&self) -> &'static str {
        "A handler calls a function that is not async-signal-safe."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let finding = match event.kind {
            Kind::Line { text, .. } => self.line(event, names.get(text), world, names),
            Kind::Block { why: Why::Lock | Why::Futex | Why::Other, channel: None, .. } => {
                self.slept(event, world, names)
            }
            _ => None,
        };
        findings.extend(finding);
    }

    fn end(&mut self, _: &World, _: &Names, _: Ended, _: &mut Vec<Finding>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::Phase;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<String> {
        let findings = replay(&sketch.log()).into_iter();
        findings.filter(|finding| finding.rule == "unsafe-call-in-handler").map(|it| it.text).collect()
    }

    fn in_handler() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "child").line("child", 1, "set x 1");
        sketch.signal("child", Phase::Handler, Signal::HUP, None);
        sketch
    }

    #[test]
    fn a_handler_that_prints() {
        let mut sketch = in_handler();
        sketch.line("child", 2, "print \"(help!) \"").line("child", 2, "print \"again\"");
        let expected = "the handler of SIGHUP in child calls printf(3), which may find the buffer of stdio(3) half \
                        changed: use write(2); signal-safety(7) lists what a handler may call";
        assert_eq!(found(&mut sketch), [expected]);
    }

    #[test]
    fn a_handler_that_leaves_through_the_buffer() {
        let mut sketch = in_handler();
        sketch.line("child", 2, "exit 0");
        assert_eq!(found(&mut sketch), [""; 0], "nothing was printed");
        let mut sketch = Sketch::new();
        sketch.fork("init", "child").line("child", 1, "print \"x\"");
        sketch.signal("child", Phase::Handler, Signal::HUP, None).line("child", 2, "exit 0");
        assert!(found(&mut sketch)[0].contains("calls exit(3)"));
    }

    #[test]
    fn a_lock_that_nobody_else_can_hold() {
        let mut sketch = in_handler();
        sketch.block("child", "futex", Why::Lock);
        assert!(found(&mut sketch)[0].contains("waits for a lock that the very code holds"));
        let mut sketch = Sketch::new();
        sketch.fork("init", "child").line("child", 1, "print \"x\"").block("child", "futex", Why::Lock);
        assert_eq!(found(&mut sketch), [""; 0], "outside of a handler");
    }
}
