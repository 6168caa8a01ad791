//! The names that a file declares anywhere: processes, descriptors, variables, barriers, objects,
//! channels, labels. Collected before anything is compiled, because a process may be named above its `fork`.

use kdl::KdlNode;

use super::Report;
use super::declared::{self, Kind, Socket, declared};
use super::node::{Spanned, children, string};
use crate::scenario::{
    Barrier, BarrierId, DescriptorId, MAX_DESCRIPTORS, MAX_OBJECTS, MAX_PROCESSES, MAX_VARIABLES, Object, ObjectId,
    ObjectKind, ProcessId, VarId,
};

/// How many barriers a scenario may use.
const MAX_BARRIERS: usize = 64;

/// The tables of a program, and what else a file names.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) processes: Vec<String>,
    pub(super) descriptors: Vec<String>,
    pub(super) variables: Vec<String>,
    pub(super) barriers: Vec<Barrier>,
    pub(super) objects: Vec<Object>,
    /// Pipes, sockets, queues … by name, files and FIFOs by path, opened files by their descriptor's
    /// name too.
    pub(super) channels: Vec<String>,
    /// Which of the channels are message queues.
    pub(super) queues: Vec<String>,
    /// The names of sockets that `connect` can mean.
    pub(super) sockets: Vec<String>,
    /// The paths that sockets are bound to.
    pub(super) bound: Vec<String>,
    pub(super) labels: Vec<String>,
    /// `parent`, `parent.child`.
    pub(super) paths: Vec<String>,
}

/// Calls `visit` for each node of `nodes` and of the blocks inside, in the order of the text.
pub(in crate::scenario) fn walk<'a>(nodes: &'a [KdlNode], visit: &mut impl FnMut(&'a KdlNode)) {
    for node in nodes {
        visit(node);
        walk(children(node), visit);
    }
}

/// Whether the block of this node is run by the process that the node itself is run by.
pub(super) fn same_process(node: &KdlNode) -> bool {
    matches!(node.name().value(), "repeat" | "forever" | "if" | "else" | "on")
}

/// How often a process block is run, as far as the text says.
#[derive(Debug, Clone, Copy)]
enum Copies {
    Known(u32),
    /// A `forever`, or a `repeat` of a variable, stands around its `fork`.
    Unknown,
    /// A `fork` without a block made two of one.
    Forked,
}

/// How many processes are at some place of the text, and how many a `fork` there would make.
#[derive(Debug, Clone, Copy)]
struct Run {
    own: Copies,
    forks: Copies,
}

impl Copies {
    fn times(self, node: &KdlNode) -> Self {
        let Self::Known(copies) = self else { return self };
        match node.name().value() {
            "forever" => Self::Unknown,
            "repeat" => {
                let times = node.entries().first().and_then(|entry| entry.value().as_integer());
                match times.and_then(|times| u32::try_from(times).ok()) {
                    Some(times) => Self::Known(copies.saturating_mul(times)),
                    None => Self::Unknown,
                }
            }
            _ => self,
        }
    }
}

impl Names {
    /// Everything that the `process` blocks among `top` declare.
    pub(super) fn collect(report: &mut Report<'_>, top: &[KdlNode]) -> Self {
        let mut names = Self::default();
        names.descriptors.extend(["stdin", "stdout", "stderr"].map(str::to_owned));
        for node in top.iter().filter(|node| node.name().value() == "process") {
            names.process(report, node, "", Copies::Known(1));
        }
        names
    }

    fn process(&mut self, report: &mut Report<'_>, node: &KdlNode, above: &str, copies: Copies) {
        let path = self.process_name(report, node, above);
        let mut met = Vec::new();
        self.block(report, children(node), &path, Run { own: copies, forks: copies }, &mut met);
    }

    fn process_name(&mut self, report: &mut Report<'_>, node: &KdlNode, above: &str) -> String {
        let first = node.entries().iter().find(|entry| entry.name().is_none());
        let Some((entry, name)) = first.and_then(|entry| Some((entry, string(entry)?))) else {
            return above.to_owned();
        };
        if !self.processes.iter().any(|known| known == name) {
            if self.processes.len() == MAX_PROCESSES {
                let said = format!("more than {MAX_PROCESSES} process names");
                report.error(entry.range(), said, Some("let several processes bear one name".to_owned()));
                return above.to_owned();
            }
            self.processes.push(name.to_owned());
        }
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        if !self.paths.contains(&path) {
            self.paths.push(path.clone());
        }
        path
    }

    /// Returns how its process goes on after the block.
    fn block(
        &mut self,
        report: &mut Report<'_>,
        nodes: &[KdlNode],
        path: &str,
        mut run: Run,
        met: &mut Vec<BarrierId>,
    ) -> Run {
        for node in nodes {
            for (kind, name) in declared(node) {
                self.declare(report, node, kind, name);
            }
            self.channels(node);
            let word = node.name().value();
            let first = node.entries().iter().find(|entry| entry.name().is_none());
            match (word, first.and_then(string)) {
                ("fork", _) if node.children().is_some() => self.process(report, node, path, run.forks),
                ("fork", _) => {
                    self.process_name(report, node, path);
                    run = Run { own: Copies::Forked, forks: Copies::Forked };
                }
                ("label", Some(name)) => push(&mut self.labels, name),
                ("barrier", Some(name)) => self.barrier(report, node, name, run.own, met),
                _ => {}
            }
            if same_process(node) {
                let inner = Run { forks: run.forks.times(node), ..run };
                if let Run { own: Copies::Forked, .. } = self.block(report, children(node), path, inner, met) {
                    run = Run { own: Copies::Forked, forks: Copies::Forked };
                }
            }
        }
        run
    }

    fn barrier(&mut self, report: &mut Report<'_>, node: &KdlNode, name: &str, own: Copies, met: &mut Vec<BarrierId>) {
        let at = match self.barrier_id(name) {
            Some(id) => id.index(),
            None if self.barriers.len() == MAX_BARRIERS => {
                report.error(node.range(), format!("more than {MAX_BARRIERS} barriers"), None);
                return;
            }
            None => {
                self.barriers.push(Barrier { name: name.to_owned(), parties: 0 });
                self.barriers.len() - 1
            }
        };
        let id = BarrierId(at as u16);
        if met.contains(&id) {
            return;
        }
        met.push(id);
        match own {
            Copies::Known(copies) => {
                self.barriers[at].parties = self.barriers[at].parties.saturating_add(copies);
            }
            Copies::Unknown => report.error(
                node.range(),
                format!("how many processes come to the barrier `{name}` cannot be told"),
                Some("repeat the `fork` around it a fixed number of times".to_owned()),
            ),
            Copies::Forked => report.error(
                node.range(),
                format!("how many processes come to the barrier `{name}` cannot be told"),
                Some("give the `fork` above it a block, so that each process has its own statements".to_owned()),
            ),
        }
    }

    fn channels(&mut self, node: &KdlNode) {
        for name in declared::channels(node) {
            push(&mut self.channels, name);
        }
        if let Some(name) = declared::queue(node) {
            push(&mut self.queues, name);
        }
        match declared::socket(node) {
            Some(Socket::Name(name)) => push(&mut self.sockets, name),
            Some(Socket::Path(path)) => push(&mut self.bound, path),
            None => {}
        }
    }

    fn declare(&mut self, report: &mut Report<'_>, node: &KdlNode, kind: Kind, name: String) {
        let (table, most, what) = match kind {
            Kind::Descriptor => (&mut self.descriptors, MAX_DESCRIPTORS, "descriptor"),
            Kind::Variable => (&mut self.variables, MAX_VARIABLES, "variable"),
            Kind::Object(kind) => return self.declare_object(report, node, kind, name),
        };
        if table.contains(&name) {
            return;
        }
        if table.len() == most {
            report.error(node.range(), format!("more than {most} {what} names"), None);
            return;
        }
        table.push(name);
    }

    fn declare_object(&mut self, report: &mut Report<'_>, node: &KdlNode, kind: ObjectKind, name: String) {
        match self.objects.iter().find(|known| known.name == name) {
            Some(known) if known.kind != kind => {
                let said = format!("`{name}` is {} already", what_is(known.kind));
                report.error(node.range(), said, Some("choose another name".to_owned()));
            }
            Some(_) => {}
            None if self.objects.len() == MAX_OBJECTS => {
                let said = format!("more than {MAX_OBJECTS} names of queues, segments and semaphores");
                report.error(node.range(), said, None);
            }
            None => self.objects.push(Object { name, kind }),
        }
    }

    /// The process with this name.
    pub(super) fn process_id(&self, name: &str) -> Option<ProcessId> {
        index(&self.processes, name).map(ProcessId)
    }

    /// The descriptor with this name, declared anywhere.
    pub(super) fn descriptor_id(&self, name: &str) -> Option<DescriptorId> {
        index(&self.descriptors, name).map(DescriptorId)
    }

    /// The variable with this name, declared anywhere.
    pub(super) fn var_id(&self, name: &str) -> Option<VarId> {
        index(&self.variables, name).map(VarId)
    }

    /// The queue, segment or semaphore with this name, declared anywhere.
    pub(super) fn object_id(&self, name: &str) -> Option<ObjectId> {
        self.objects.iter().position(|object| object.name == name).map(|at| ObjectId(at as u16))
    }

    /// The names of the objects of one kind.
    pub(super) fn objects_of(&self, kind: ObjectKind) -> impl Iterator<Item = &str> + Clone {
        self.objects.iter().filter(move |object| object.kind == kind).map(|object| object.name.as_str())
    }

    /// The barrier with this name.
    pub(super) fn barrier_id(&self, name: &str) -> Option<BarrierId> {
        self.barriers.iter().position(|barrier| barrier.name == name).map(|at| BarrierId(at as u16))
    }

    /// The process that `child`, `child#2` or `parent.child` means, and which of its name.
    pub(super) fn resolve_process(&self, text: &str) -> Option<(ProcessId, Option<u16>)> {
        let (path, instance) = match text.split_once('#') {
            Some((path, number)) => (path, Some(number.parse::<u16>().ok().filter(|number| *number > 0)?)),
            None => (text, None),
        };
        if let Some((_, last)) = path.rsplit_once('.') {
            let tail = format!(".{path}");
            let known = self.paths.iter().any(|known| known == path || known.ends_with(&tail));
            return known.then(|| self.process_id(last)).flatten().map(|id| (id, instance));
        }
        self.process_id(path).map(|id| (id, instance))
    }
}

/// What to call an object of this kind.
pub(super) const fn what_is(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Queue => "a message queue",
        ObjectKind::Segment => "a segment of memory",
        ObjectKind::SemaphoreSet => "a set of System V semaphores",
        ObjectKind::Semaphore => "a POSIX semaphore",
    }
}

fn index(table: &[String], name: &str) -> Option<u16> {
    table.iter().position(|known| known == name).and_then(|at| u16::try_from(at).ok())
}

fn push(table: &mut Vec<String>, name: &str) {
    if !table.iter().any(|known| known == name) {
        table.push(name.to_owned());
    }
}
