//! What one statement declares in the process that makes it, and which channels it names.

use kdl::KdlNode;

use super::node::{is_name, string};
use crate::scenario::ObjectKind;

/// What a name is declared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Descriptor,
    Variable,
    Object(ObjectKind),
}

/// The two ends that each of these words makes of one name.
const PAIRS: [(&str, [&str; 2]); 3] =
    [("pipe", ["read", "write"]), ("socketpair", ["a", "b"]), ("pty", ["master", "slave"])];

/// The ends that `name` would have if it were a pipe, a socketpair or a terminal.
pub(super) fn ends(name: &str) -> impl Iterator<Item = (&'static str, [String; 2])> {
    PAIRS.into_iter().map(move |(word, ends)| (word, ends.map(|end| format!("{name}.{end}"))))
}

/// The arguments of a statement that are text; an empty text stands for each other one.
fn words(node: &KdlNode) -> Vec<&str> {
    let arguments = node.entries().iter().filter(|entry| entry.name().is_none());
    arguments.map(|entry| string(entry).unwrap_or_default()).collect()
}

/// The names that one statement declares in the process that makes it.
pub(super) fn declared(node: &KdlNode) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    let word = node.name().value();
    let args = words(node);
    let (first, second) = (args.first().copied().unwrap_or_default(), args.get(1).copied().unwrap_or_default());
    let single = match word {
        "open" | "socket" | "signalfd" | "mq_open" => Some((Kind::Descriptor, first)),
        "dup2" | "accept" | "recv-fd" => Some((Kind::Descriptor, second)),
        "set" | "load" => Some((Kind::Variable, first)),
        _ => object(word).map(|kind| (Kind::Object(kind), first)),
    };
    found.extend(single.filter(|(_, name)| is_name(name)).map(|(kind, name)| (kind, name.to_owned())));
    if is_name(first) {
        let both = ends(first).filter(|(pair, _)| *pair == word).flat_map(|(_, ends)| ends);
        found.extend(both.map(|end| (Kind::Descriptor, end)));
    }
    for option in node.entries() {
        let Some(key) = option.name() else { continue };
        let assigns = matches!(key.value(), "into" | "errno") || (word == "sigwait" && key.value() == "value");
        if let Some(name) = string(option).filter(|name| assigns && is_name(name)) {
            found.push((Kind::Variable, name.to_owned()));
        }
    }
    found
}

/// What a statement makes that has no descriptor.
fn object(word: &str) -> Option<ObjectKind> {
    match word {
        "msgget" => Some(ObjectKind::Queue),
        "shmget" | "shm_open" | "mmap" => Some(ObjectKind::Segment),
        "semget" => Some(ObjectKind::SemaphoreSet),
        "sem_open" => Some(ObjectKind::Semaphore),
        _ => None,
    }
}

/// The names of the channels that a statement makes or leads to: by their own name, and files and
/// FIFOs by their path too.
pub(super) fn channels(node: &KdlNode) -> Vec<&str> {
    let args = words(node);
    let named = match node.name().value() {
        "open" | "mq_open" | "shm_open" | "sem_open" => args.get(..2),
        "pipe" | "mkfifo" | "socketpair" | "pty" | "socket" | "signalfd" | "msgget" | "shmget" | "mmap" | "semget" => {
            args.get(..1)
        }
        "accept" => args.get(1..2),
        _ => None,
    };
    named.unwrap_or_default().iter().copied().filter(|name| !name.is_empty()).collect()
}

/// The name of the queue that a statement leads to.
pub(super) fn queue(node: &KdlNode) -> Option<&str> {
    let makes = matches!(node.name().value(), "msgget" | "mq_open");
    words(node).into_iter().next().filter(|name| makes && !name.is_empty())
}

/// What `connect` may mean by a bare word: the name of a socket, or a path that one is bound to.
pub(super) fn socket(node: &KdlNode) -> Option<Socket<'_>> {
    let args = words(node);
    match node.name().value() {
        "socket" => args.first().copied().map(Socket::Name),
        "bind" => args.get(1).copied().filter(|path| !path.is_empty() && !path.starts_with('@')).map(Socket::Path),
        _ => None,
    }
}

/// How a socket can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Socket<'a> {
    Name(&'a str),
    Path(&'a str),
}
