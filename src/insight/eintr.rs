//! Programs that give up because a call was interrupted (signal(7), "Interruption of system calls and
//! library functions by signal handlers").

use std::collections::BTreeMap;

use super::{Finding, Rule, name};
use crate::model::{Ended, Event, Kind, Names, Phase, Signal, Status, Sym, TaskId, Weight, World};

/// A call failed with EINTR, and all that the process did afterwards was to say so and to end with a
/// status that is not 0. Who says nothing may have been asked to end: that is worth a note.
///
/// Signals that are sent to end a program, and alarms, which are set to end a wait, mean just that.
#[derive(Debug, Default)]
pub(super) struct EintrNotHandled {
    interrupted: BTreeMap<TaskId, Interrupted>,
}

/// A call that failed so.
#[derive(Debug, Clone, Copy)]
struct Interrupted {
    call: Sym,
    by: Option<Signal>,
    /// Whether the process has written to its standard error since.
    said: bool,
}

/// Calls whose normal end is EINTR.
fn is_wait(call: &str) -> bool {
    matches!(call, "pause" | "rt_sigsuspend" | "rt_sigtimedwait" | "nanosleep" | "clock_nanosleep")
}

fn is_meant_to_end(signal: Signal) -> bool {
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGALRM].contains(&signal.number())
}

impl Rule for EintrNotHandled {
    fn name(&self) -> &'static str {
        "eintr-not-handled"
    }

    fn about(&self) -> &'static str {
        "A call was interrupted by a handler, and the process took that for an error and gave up."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let task = event.task;
        if event.errno() == Some(libc::EINTR) {
            let Some(call) = event.call.filter(|call| !is_wait(names.get(*call))) else { return };
            if world.task(task).is_some_and(|task| task.handling.is_empty()) {
                self.interrupted.insert(task, Interrupted { call, by: None, said: false });
            }
            return;
        }
        if self.interrupted.is_empty() {
            return;
        }
        match event.kind {
            Kind::Signal { phase: Phase::Handler, signal, .. } => {
                if let Some(interrupted) = self.interrupted.get_mut(&task) {
                    interrupted.by.get_or_insert(signal);
                }
            }
            Kind::Exit { status } => {
                let Some(interrupted) = self.interrupted.remove(&task) else { return };
                let Interrupted { call, by: Some(signal), said } = interrupted else { return };
                if matches!(status, Status::Code(0) | Status::Signal { .. }) || is_meant_to_end(signal) {
                    return;
                }
                let (who, call) = (name(task, world, names), names.get(call));
                let text = format!(
                    "{who} gave up because its {call} failed with EINTR, but nothing was wrong: the handler of \
                     {signal} had run; call {call} again, or install the handler with SA_RESTART (signal(7))"
                );
                findings.push(Finding {
                    rule: "eintr-not-handled",
                    weight: if said { Weight::Fault } else { Weight::Note },
                    text,
                    tasks: vec![task],
                    channels: Vec::new(),
                });
            }
            // To say something of the error is not to go on, nor is to tidy up. perror(3) writes to a duplicate
            // of the standard error.
            Kind::Signal { .. }
            | Kind::Interrupted { .. }
            | Kind::Line { .. }
            | Kind::Unblock { .. }
            | Kind::Note { .. }
            | Kind::Dup { .. }
            | Kind::Flags { .. }
            | Kind::Close { .. } => {}
            Kind::Syscall { .. } if event.call.is_some_and(|call| names.get(call) == "fcntl") => {}
            Kind::Write { channel, .. } if world.fd(task, 2).is_some_and(|error| error.channel == channel) => {
                if let Some(interrupted) = self.interrupted.get_mut(&task) {
                    interrupted.said = true;
                }
            }
            _ if event.call.is_none() => {}
            _ => {
                // It goes on, apart from what its handler does.
                if world.task(task).is_some_and(|task| task.handling.is_empty())
                    && event.call.is_none_or(|call| names.get(call) != "rt_sigreturn")
                {
                    self.interrupted.remove(&task);
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
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<String> {
        let findings = replay(&sketch.log()).into_iter();
        findings.filter(|finding| finding.rule == "eintr-not-handled").map(|it| it.text).collect()
    }

    fn interrupted(signal: Signal) -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "server").fork("server", "child");
        sketch.create("server", "err", crate::model::ChannelKind::File);
        sketch.open("server", 2, "err", crate::model::Access::Write);
        sketch.syscall("server", "accept", -4, "");
        for phase in [Phase::Delivered, Phase::Handler, Phase::Returned] {
            sketch.signal("server", phase, signal, None);
        }
        sketch
    }

    #[test]
    fn a_server_that_dies_with_its_child() {
        let mut sketch = interrupted(Signal::CHLD);
        sketch.write("server", 2, "accept: Interrupted system call\n").exit("server", 1);
        let expected = "server gave up because its accept failed with EINTR, but nothing was wrong: the handler of \
                        SIGCHLD had run; call accept again, or install the handler with SA_RESTART (signal(7))";
        assert_eq!(found(&mut sketch), [expected]);
    }

    #[test]
    fn programs_that_know_what_they_do() {
        let mut sketch = interrupted(Signal::CHLD);
        sketch.syscall("server", "accept", 5, "").exit("server", 1);
        assert_eq!(found(&mut sketch), [""; 0], "it called again");

        let mut sketch = interrupted(Signal::CHLD);
        sketch.exit("server", 0);
        assert_eq!(found(&mut sketch), [""; 0], "it is content");

        let mut sketch = interrupted(Signal::TERM);
        sketch.exit("server", 1);
        assert_eq!(found(&mut sketch), [""; 0], "it was asked to end");
    }
}
