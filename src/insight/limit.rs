//! Calls that ask for more than the system, the user's limits or the object allow.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule, channel_name, name};
use crate::model::{ChannelId, Ended, Event, Kind, Names, Status, Sym, TaskId, Weight, World, errno_name};

/// A limit, what it bounds, and what can be done about it.
type About = (&'static str, &'static str, &'static str);

const LIMITS: &[About] = &[
    ("msgmax", "bytes of a message", "send less at a time, or raise kernel.msgmax (sysctl(8))"),
    ("msgmnb", "bytes of a queue", "ask for less, or raise kernel.msgmnb (sysctl(8))"),
    ("msgmni", "System V queues", "remove those that nobody uses (ipcs(1), ipcrm(1)), or raise kernel.msgmni"),
    ("msgsz", "bytes that the receiver has room for", "make room, or let MSG_NOERROR cut the message off"),
    ("msg_max", "messages of a POSIX queue", "ask for less, or raise fs.mqueue.msg_max (mq_overview(7))"),
    ("msgsize_max", "bytes of a message", "ask for less, or raise fs.mqueue.msgsize_max (mq_overview(7))"),
    ("HARD_MSGMAX", "messages of a POSIX queue, even for root", "ask for less"),
    ("HARD_MSGSIZEMAX", "bytes of a message, even for root", "ask for less"),
    ("queues_max", "POSIX queues", "remove those that nobody uses, or raise fs.mqueue.queues_max (mq_overview(7))"),
    ("mq_msgsize", "bytes of a message, as the queue was made", "send less, or make the queue with a larger one"),
    ("msg_len", "bytes that the receiver has room for", "make room for the longest message: mq_getattr(3) tells"),
    ("shmmax", "bytes of a segment", "ask for less, or raise kernel.shmmax (sysctl(8))"),
    ("shmmni", "System V segments", "remove those that nobody uses (ipcs(1), ipcrm(1)), or raise kernel.shmmni"),
    ("semmsl", "semaphores of a set", "make more sets, or raise the first number of kernel.sem (sysctl(8))"),
    (
        "semmni",
        "semaphore sets",
        "remove those that nobody uses (ipcs(1), ipcrm(1)), or raise the fourth number of kernel.sem",
    ),
    ("semopm", "operations of one semop", "do less at a time, or raise the third number of kernel.sem"),
    ("pipe-max-size", "bytes of a pipe", "ask for less, or raise fs.pipe-max-size (pipe(7))"),
    ("RLIMIT_MSGQUEUE", "bytes of all POSIX queues of the user", "make them smaller, or raise it (ulimit -q)"),
    ("RLIMIT_NOFILE", "descriptors of a process", "close what is not needed any more, or raise it (ulimit -n)"),
];

/// The last call of a task that failed.
#[derive(Debug, Clone, Copy)]
struct Failure {
    call: Sym,
    errno: i32,
    channel: Option<ChannelId>,
}

/// A call failed, and the lab says because of which limit. A program may ask how far it can go; it is wrong when the
/// process fails because of it.
#[derive(Debug, Default)]
pub(super) struct PastALimit {
    failures: BTreeMap<TaskId, Failure>,
    told: BTreeSet<(TaskId, Sym)>,
    /// What was told of processes that still live.
    pending: BTreeMap<TaskId, Vec<Finding>>,
}

impl PastALimit {
    /// A process has ended: if it failed, the limits that it met are to blame.
    fn ended(&mut self, process: TaskId, status: Status, findings: &mut Vec<Finding>) {
        let Some(pending) = self.pending.remove(&process) else { return };
        if status != Status::Code(0) {
            let fault = |note: Finding| {
                let text = format!("{}; it has failed", note.text);
                Finding { weight: Weight::Fault, text, ..note }
            };
            findings.extend(pending.into_iter().map(fault));
        }
    }
}

impl Rule for PastALimit {
    fn name(&self) -> &'static str {
        "past-a-limit"
    }

    fn about(&self) -> &'static str {
        "A call asks for more than a limit of the system, of the user or of the object allows."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        if let (Some(errno), Some(call)) = (event.errno(), event.call) {
            self.failures.insert(event.task, Failure { call, errno, channel: event.kind.channel() });
            return;
        }
        if let Kind::Exit { status } = event.kind {
            self.ended(event.task, status, findings);
            return;
        }
        let Kind::Limit { limit, value, asked } = event.kind else { return };
        let Some(failure) = self.failures.get(&event.task).filter(|_| self.told.insert((event.task, limit))) else {
            return;
        };
        let limit = names.get(limit);
        let about = LIMITS.iter().find(|(known, ..)| *known == limit);
        let at = failure.channel.map_or_else(String::new, |at| format!(" {}", channel_name(at, world, names)));
        let text = format!(
            "{} goes past a limit in {}{at} ({}): {limit}, {}, is {value}{}: {}",
            name(event.task, world, names),
            names.get(failure.call),
            errno_name(failure.errno),
            about.map_or("which bounds it", |(_, what, _)| what),
            if asked > 0 { format!(", and {asked} were asked for") } else { String::new() },
            about.map_or("ask for less", |(.., cure)| cure),
        );
        let channels = failure.channel.into_iter().collect();
        let note = Finding { rule: self.name(), weight: Weight::Note, text, tasks: vec![event.task], channels };
        let process = world.task(event.task).map_or(event.task, |task| task.process);
        self.pending.entry(process).or_default().push(note.clone());
        findings.push(note);
    }

    fn end(&mut self, _: &World, _: &Names, _: Ended, _: &mut Vec<Finding>) {}
}

#[cfg(test)]
mod tests {
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{ChannelKind, Kind};

    #[test]
    fn the_limit_is_named_with_its_value_once() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "q", ChannelKind::Mq);
        for _ in 0..2 {
            sketch.syscall("a", "mq_open", -22, "/big");
            let limit = sketch.intern("msg_max");
            sketch.event("a", "", 0, Kind::Limit { limit, value: 10, asked: 11 });
        }
        sketch.syscall("a", "mq_open", -24, "/more");
        let limit = sketch.intern("RLIMIT_MSGQUEUE");
        sketch.event("a", "", 0, Kind::Limit { limit, value: 819_200, asked: 0 });
        let found: Vec<_> =
            replay(&sketch.log()).into_iter().filter(|found| found.rule == "past-a-limit").map(|it| it.text).collect();
        assert_eq!(
            found,
            [
                "a goes past a limit in mq_open (EINVAL): msg_max, messages of a POSIX queue, is 10, and 11 were asked \
                 for: ask for less, or raise fs.mqueue.msg_max (mq_overview(7))",
                "a goes past a limit in mq_open (EMFILE): RLIMIT_MSGQUEUE, bytes of all POSIX queues of the user, is \
                 819200: make them smaller, or raise it (ulimit -q)",
            ]
        );
    }

    #[test]
    fn other_failures_are_none() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").syscall("a", "mq_open", -2, "/big");
        assert!(replay(&sketch.log()).iter().all(|found| found.rule != "past-a-limit"));
    }
}
