//! Standard signals that became one, though the program counts on each (signal(7), "Queueing and
//! delivery semantics for standard signals").

use std::collections::BTreeMap;

use super::{Finding, Rule, name};
use crate::model::{Ended, Event, Kind, Names, Phase, Signal, State, TaskId, Weight, Why, World};

/// A signal was sent more often than it was taken, and there is evidence that this matters: the handler
/// counts, the signals carried different values, or the receiver waits for more of them in vain.
///
/// Coalescing by itself is nothing wrong: most programs only want to be told.
#[derive(Debug, Default)]
pub(super) struct CoalescedSignals {
    seen: BTreeMap<(TaskId, Signal), Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    sent: u32,
    taken: u32,
    merged: u32,
    value: Option<i64>,
    values_differ: bool,
    counts: bool,
}

impl CoalescedSignals {
    fn signal(&mut self, event: &Event, world: &World) {
        let Kind::Signal { phase, signal, from, value, .. } = event.kind else { return };
        if signal.is_realtime() || signal == Signal::CHLD {
            return;
        }
        let process = world.task(event.task).map_or(event.task, |task| task.process);
        match phase {
            Phase::Generated => {
                let seen = self.seen.entry((process, signal)).or_default();
                seen.sent += 1;
                seen.values_differ |= from.is_some() && seen.value.is_some_and(|before| before != value);
                seen.value = Some(value);
            }
            Phase::Coalesced if from.is_some() => self.seen.entry((process, signal)).or_default().merged += 1,
            Phase::Handler | Phase::Accepted => self.seen.entry((process, signal)).or_default().taken += 1,
            _ => {}
        }
    }

    /// In a handler of a scenario, `add` counts.
    fn line(&mut self, event: &Event, text: &str, world: &World) {
        if !text.starts_with("add ") || self.seen.is_empty() {
            return;
        }
        let Some(task) = world.task(event.task) else { return };
        if let Some(signal) = task.handling.last() {
            self.seen.entry((task.process, *signal)).or_default().counts = true;
        }
    }

    fn report(process: TaskId, signal: Signal, seen: &Seen, world: &World, names: &Names) -> Option<Finding> {
        let waits = || {
            let waits = |task: &crate::model::Task| matches!(task.state, State::Blocked(it) if it.why == Why::Signal);
            world.living().any(|task| task.process == process && waits(task))
        };
        let why = if seen.merged == 0 || seen.taken == 0 {
            return None;
        } else if seen.values_differ {
            "of those that were merged the values are lost"
        } else if seen.counts {
            "its handler counts its runs, so it counts wrong"
        } else if waits() {
            "now it waits for more, in vain"
        } else {
            return None;
        };
        let text = format!(
            "{} was sent {signal} {} times and has taken {}: {why}; a standard signal that is pending already is not \
             queued again (signal(7)), so use a real-time signal with sigqueue(3), or a pipe",
            name(process, world, names),
            seen.sent,
            seen.taken,
        );
        Some(Finding {
            rule: "coalesced-signals",
            weight: Weight::Fault,
            text,
            tasks: vec![process],
            channels: Vec::new(),
        })
    }
}

impl Rule for CoalescedSignals {
    fn name(&self) -> &'static str {
        "coalesced-signals"
    }

    fn about(&self) -> &'static str {
        "Several signals became one while it was pending, though the program counts on each of them."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Signal { .. } => self.signal(event, world),
            Kind::Line { text, .. } => self.line(event, names.get(text), world),
            Kind::Exit { .. } if !self.seen.is_empty() => {
                for signal in Signal::all() {
                    let Some(seen) = self.seen.remove(&(event.task, signal)) else { continue };
                    findings.extend(Self::report(event.task, signal, &seen, world, names));
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        // What goes on might still have done its part.
        if ended == Ended::Cut {
            return;
        }
        for ((process, signal), seen) in std::mem::take(&mut self.seen) {
            findings.extend(Self::report(process, signal, &seen, world, names));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;

    fn found(sketch: &mut Sketch) -> Vec<String> {
        let findings = replay(&sketch.log()).into_iter();
        findings.filter(|finding| finding.rule == "coalesced-signals").map(|it| it.text).collect()
    }

    /// Three are sent, the last two become one.
    fn three(line: &str) -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "child");
        let sent = |sketch: &mut Sketch, phase| {
            sketch.signal("child", phase, Signal::HUP, Some("parent"));
        };
        sent(&mut sketch, Phase::Generated);
        sent(&mut sketch, Phase::Handler);
        sketch.line("child", 2, line);
        for phase in [Phase::Generated, Phase::Pending, Phase::Generated, Phase::Coalesced] {
            sent(&mut sketch, phase);
        }
        sent(&mut sketch, Phase::Returned);
        sent(&mut sketch, Phase::Handler);
        sent(&mut sketch, Phase::Returned);
        sketch
    }

    #[test]
    fn a_handler_that_counts() {
        let mut sketch = three("add runs 1");
        sketch.exit("child", 0);
        let texts = found(&mut sketch);
        assert_eq!(texts.len(), 1);
        assert!(texts[0].starts_with("child was sent SIGHUP 3 times and has taken 2: its handler counts its runs"));
    }

    #[test]
    fn who_waits_for_more() {
        let mut sketch = three("note \"again\"");
        sketch.block("child", "pause", Why::Signal).ended(Ended::Stuck);
        assert!(found(&mut sketch)[0].contains("2: now it waits for more, in vain"));
    }

    #[test]
    fn to_be_told_is_enough() {
        let mut sketch = three("write stdout \"again\"");
        sketch.exit("child", 0);
        assert_eq!(found(&mut sketch), [""; 0]);
    }
}
