//! Diagnoses: what is wrong with a run, in one sentence, and what would cure it. Pure.
//!
//! A rule watches the log as it grows. It sees each event together with the world after it, keeps
//! what it needs to remember in itself, and returns what it found; each finding becomes a
//! `diagnosis` event. One rule a file.

mod address_in_use;
mod broken_pipe;
mod buffer_copied;
mod coalesced;
mod connection_refused;
mod datagram_dropped;
mod deadlock;
mod eintr;
mod errno_changed;
mod goes_on;
mod ignore_over_exec;
mod leaked;
mod limit;
mod lineage;
mod lock_dropped;
mod lock_outlives;
mod lost_update;
mod lost_wake_up;
mod mask_over_exec;
mod message_type;
mod only_shell;
mod orphan;
mod pipe_kept;
mod private_memory;
mod process_one;
mod self_held;
mod signal_before;
mod status_lost;
mod stopped_by_terminal;
mod stuck;
mod torn_read;
mod unreceived;
mod unsafe_call;
mod zombie;

use std::collections::BTreeMap;

pub(crate) use leaked::left_behind;
pub(crate) use stuck::{may_be_stuck, stuck};

use crate::model::{ChannelId, Ended, Event, Kind, Log, Names, Parties, Pen, State, TaskId, Weight, World};

/// Something wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule found it.
    pub rule: &'static str,
    /// Whether something is wrong, or only worth knowing.
    pub weight: Weight,
    /// One sentence: what is wrong, with names, and what would cure it.
    pub text: String,
    /// The tasks in it, in the order in which the sentence names them.
    pub tasks: Vec<TaskId>,
    /// The channels in it.
    pub channels: Vec<ChannelId>,
}

impl Finding {
    /// As what the log keeps of it, ready to be written with the same pen.
    pub fn kind(&self, pen: &mut Pen) -> Kind {
        let parties = Parties { tasks: self.tasks.clone(), channels: self.channels.clone() };
        Kind::Diagnosis {
            rule: pen.intern(self.rule),
            weight: self.weight,
            text: pen.intern(&self.text),
            parties: pen.keep(&parties.to_bytes()),
        }
    }
}

/// A rule.
pub trait Rule: Send {
    /// Its name in recordings and in `diagnosed NAME`.
    fn name(&self) -> &'static str;

    /// What it is about, in one sentence for the help.
    fn about(&self) -> &'static str;

    /// Looks at one event, its payload (the arguments of a call, the bytes of a transfer) and the world after it.
    /// Called for every event, so an event that does not concern the rule must cost no more than a `match`.
    fn observe(&mut self, event: &Event, payload: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>);

    /// Looks at the world at the end of the run. Of one that was cut off it does not count what is left: it
    /// might still have been tidied up.
    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>);
}

/// Every rule, in the order of their names.
pub fn rules() -> Vec<Box<dyn Rule>> {
    vec![
        Box::new(address_in_use::AddressInUse::default()),
        Box::new(broken_pipe::BrokenPipe::default()),
        Box::new(buffer_copied::BufferCopied::default()),
        Box::new(coalesced::CoalescedSignals::default()),
        Box::new(connection_refused::ConnectionRefused::default()),
        Box::new(datagram_dropped::DatagramDropped::default()),
        Box::new(deadlock::Deadlock::default()),
        Box::new(eintr::EintrNotHandled::default()),
        Box::new(errno_changed::ErrnoChangedByHandler::default()),
        Box::new(goes_on::GoesOn::default()),
        Box::new(ignore_over_exec::IgnoreInheritedOverExec::default()),
        Box::new(leaked::LeakedIpcObject::default()),
        Box::new(lock_dropped::LockDroppedByClose::default()),
        Box::new(lock_outlives::LockOutlivesOwner::default()),
        Box::new(lost_update::LostUpdate::default()),
        Box::new(lost_wake_up::LostWakeUp::default()),
        Box::new(mask_over_exec::MaskInheritedOverExec::default()),
        Box::new(message_type::MessageOfAnotherType),
        Box::new(only_shell::OnlyShellKilled::default()),
        Box::new(orphan::Orphan::default()),
        Box::new(limit::PastALimit::default()),
        Box::new(pipe_kept::PipeKeptOpen::default()),
        Box::new(private_memory::PrivateMemory::default()),
        Box::new(process_one::ProcessOne::default()),
        Box::new(self_held::SelfHeldWriteEnd::default()),
        Box::new(signal_before::SignalBeforeHandler::default()),
        Box::new(status_lost::StatusLost::default()),
        Box::new(stopped_by_terminal::StoppedByTerminal::default()),
        Box::new(torn_read::TornRead::default()),
        Box::new(unreceived::UnreceivedMessage),
        Box::new(unsafe_call::UnsafeCallInHandler::default()),
        Box::new(zombie::Zombie::default()),
    ]
}

/// All rules together. What is found again, to the word, is told once; how often, at the end.
pub struct Watch {
    rules: Vec<Box<dyn Rule>>,
    /// How often each finding was made.
    seen: BTreeMap<(&'static str, String), u64>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self { rules: rules(), seen: BTreeMap::new() }
    }
}

impl Watch {
    /// Shows an event, what it carried, and the world after it to every rule.
    pub fn observe(
        &mut self,
        event: &Event,
        payload: &[u8],
        world: &World,
        names: &Names,
        findings: &mut Vec<Finding>,
    ) {
        let from = findings.len();
        for rule in &mut self.rules {
            rule.observe(event, payload, world, names, findings);
        }
        if findings.len() > from {
            self.keep_new(findings, from);
        }
    }

    /// Asks every rule about the end of the run.
    pub fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        let from = findings.len();
        for rule in &mut self.rules {
            rule.end(world, names, ended, findings);
        }
        self.keep_new(findings, from);
        for ((rule, text), times) in std::mem::take(&mut self.seen) {
            if times > 1 {
                let text = format!("{times} times: {text}");
                findings.push(Finding { rule, weight: Weight::Note, text, tasks: Vec::new(), channels: Vec::new() });
            }
        }
    }

    fn keep_new(&mut self, findings: &mut Vec<Finding>, from: usize) {
        for finding in findings.split_off(from) {
            let times = self.seen.entry((finding.rule, finding.text.clone())).or_default();
            *times += 1;
            if *times == 1 {
                findings.push(finding);
            }
        }
    }
}

/// What all rules find in a finished log, in the order in which they find it. `diagnosis` events
/// that the log already has are not looked at.
pub fn replay(log: &Log) -> Vec<Finding> {
    let mut watch = Watch::default();
    let mut findings = Vec::new();
    let mut world = log.world_at(0);
    for (_, event) in log.range(0..log.len()) {
        let payload = log.payload(event);
        world.apply(event, payload);
        watch.observe(event, payload, &world, log.names(), &mut findings);
    }
    watch.end(&world, log.names(), ended(log), &mut findings);
    findings
}

/// How a run has ended: as its log says, or, if it is older than that event or damaged, as it looks.
pub fn ended(log: &Log) -> Ended {
    let mut told = log.range(0..log.len()).filter_map(|(_, event)| match event.kind {
        Kind::End { how, .. } => Some(how),
        _ => None,
    });
    told.next_back().unwrap_or_else(|| as_it_looks(log.head()))
}

fn as_it_looks(world: &World) -> Ended {
    if world.living().next().is_none() {
        Ended::Done
    } else if world.living().all(|task| matches!(task.state, State::Blocked(_) | State::Zombie)) {
        Ended::Stuck
    } else {
        Ended::Cut
    }
}

/// What to call a task in a sentence: the last part of its name (`child` for `parent.child`), or
/// the whole where that could mean another task too.
pub fn name<'a>(id: TaskId, world: &World, names: &'a Names) -> &'a str {
    let full = world.task(id).map_or("?", |task| names.get(task.name));
    let short = short_name(full, world, names);
    let is_it = |other: &str| {
        other == short || other.strip_suffix(short).is_some_and(|before| before.ends_with('.') && before.len() > 1)
    };
    let others = || world.tasks().filter(|task| task.id != id).map(|task| names.get(task.name));
    if short.len() == full.len() || others().any(is_it) { full } else { short }
}

/// What follows the longest start of `full` that is itself the name of a task: the dots of `a.out`
/// are no path.
fn short_name<'a>(full: &'a str, world: &World, names: &Names) -> &'a str {
    let is_task = |name: &str| names.find(name).is_some_and(|sym| world.tasks().any(|task| task.name == sym));
    let mut dots = full.rmatch_indices('.');
    dots.find(|(at, _)| *at + 1 < full.len() && is_task(&full[..*at])).map_or(full, |(at, _)| &full[at + 1..])
}

/// The name of a channel in a sentence.
fn channel_name<'a>(id: ChannelId, world: &World, names: &'a Names) -> &'a str {
    world.channel(id).map_or("a channel", |channel| names.get(channel.name))
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn listed<S: AsRef<str>>(items: &[S]) -> String {
    let mut text = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(if index + 1 == items.len() { " and " } else { ", " });
        }
        text.push_str(item.as_ref());
    }
    text
}

/// Whether no thread of the process could do anything about the sleep of one of them.
fn all_blocked(process: TaskId, world: &World) -> bool {
    world.living().filter(|task| task.process == process).all(|task| matches!(task.state, State::Blocked(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sketch::Sketch;

    #[test]
    fn rules_have_names_in_order() {
        let names: Vec<_> = rules().iter().map(|rule| rule.name()).collect();
        assert_eq!(names, crate::scenario::RULES);
        assert!(names.is_sorted());
        assert!(rules().iter().all(|rule| rule.about().len() > 20));
    }

    #[test]
    fn a_finding_is_kept_whole() {
        let header = crate::model::Header::default();
        let mut pen = Pen::new(&header);
        let (tasks, channels) = (vec![TaskId::from_index(2)], vec![ChannelId::from_index(1)]);
        let finding = Finding {
            rule: "zombie",
            weight: Weight::Fault,
            text: "why".into(),
            tasks: tasks.clone(),
            channels: channels.clone(),
        };
        let Kind::Diagnosis { rule, weight: Weight::Fault, text, parties } = finding.kind(&mut pen) else {
            panic!("another kind")
        };
        assert_eq!((pen.names().get(rule), pen.names().get(text)), ("zombie", "why"));
        assert_eq!(Parties::from_bytes(pen.bytes(parties)), Parties { tasks, channels });
    }

    #[test]
    fn names_are_short_where_they_can_be() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "parent").fork("parent", "parent.child").fork("parent", "parent.a");
        sketch.fork("parent.a", "parent.a.x").fork("parent.child", "parent.child.x").fork("init", "a.out");
        let log = sketch.log();
        let called = |full: &str| name(sketch.task(full), log.head(), log.names()).to_owned();
        assert_eq!(called("parent"), "parent");
        assert_eq!(called("parent.child"), "child");
        assert_eq!(called("parent.a.x"), "parent.a.x", "there are two");
        assert_eq!(called("a.out"), "a.out");
    }

    #[test]
    fn lists_read_as_english() {
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b"]), "a and b");
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
    }
}
