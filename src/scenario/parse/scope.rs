//! Which names a process may use at some place of the text, and what they mean there.
//!
//! Descriptors and variables are inherited over `fork` as the kernel does it: what the parent had
//! declared above the `fork` is there below it. Loops may have run before, and handlers run at any
//! time, so a name counts as declared as soon as it can have been.

use std::collections::HashSet;

use kdl::{KdlEntry, KdlNode, KdlValue};

use super::Report;
use super::declared::{Kind, declared, ends};
use super::names::{Names, same_process, what_is};
use super::node::{Node, Spanned, children, is_bare, string, written};
use crate::scenario::{DescriptorId, MAX_TEXT, ObjectId, ObjectKind, Target, Value, VarId, words};

/// The names that can have been declared.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    descriptors: HashSet<DescriptorId>,
    variables: HashSet<VarId>,
    objects: HashSet<ObjectId>,
    /// What the process declares at all, sooner or later.
    later: (HashSet<DescriptorId>, HashSet<VarId>, HashSet<ObjectId>),
}

impl Scope {
    /// What a root process begins with.
    pub(super) fn root() -> Self {
        let standard = HashSet::from([DescriptorId::STDIN, DescriptorId::STDOUT, DescriptorId::STDERR]);
        Self { descriptors: standard, ..Self::default() }
    }

    /// The scope at the start of a process with this body.
    pub(super) fn enter(mut self, names: &Names, body: &[KdlNode]) -> Self {
        let mut whole = self.clone();
        whole.declare_all(names, body);
        self.later = (whole.descriptors, whole.variables, whole.objects);
        self
    }

    /// Every name of the file, for a place of which nothing is known.
    pub(super) fn everything(names: &Names) -> Self {
        let descriptors = (0..names.descriptors.len()).map(|at| DescriptorId(at as u16)).collect();
        let variables = (0..names.variables.len()).map(|at| VarId(at as u16)).collect();
        let objects = (0..names.objects.len()).map(|at| ObjectId(at as u16)).collect();
        Self { descriptors, variables, objects, ..Self::default() }
    }

    /// The scope of a handler, which runs at any time.
    pub(super) fn at_any_time(mut self) -> Self {
        self.descriptors.extend(&self.later.0);
        self.variables.extend(&self.later.1);
        self.objects.extend(&self.later.2);
        self
    }

    /// Adds what one statement declares.
    pub(super) fn declare(&mut self, names: &Names, node: &KdlNode) {
        for (kind, name) in declared(node) {
            match kind {
                Kind::Descriptor => self.descriptors.extend(names.descriptor_id(&name)),
                Kind::Variable => self.variables.extend(names.var_id(&name)),
                Kind::Object(_) => self.objects.extend(names.object_id(&name)),
            }
        }
    }

    /// Adds what the statements of a block declare, wherever they stand in it.
    pub(super) fn declare_all(&mut self, names: &Names, nodes: &[KdlNode]) {
        for node in nodes {
            self.declare(names, node);
            if same_process(node) {
                self.declare_all(names, children(node));
            }
        }
    }

    fn descriptor_names<'n>(&'n self, names: &'n Names) -> impl Iterator<Item = &'n str> + Clone {
        let all = names.descriptors.iter().enumerate();
        all.filter(|(at, _)| self.descriptors.contains(&DescriptorId(*at as u16))).map(|(_, name)| name.as_str())
    }

    fn variable_names<'n>(&'n self, names: &'n Names) -> impl Iterator<Item = &'n str> + Clone {
        let all = names.variables.iter().enumerate();
        all.filter(|(at, _)| self.variables.contains(&VarId(*at as u16))).map(|(_, name)| name.as_str())
    }
}

/// An option was wrong, which has been said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reported;

/// Resolves the names of one statement.
#[derive(Debug)]
pub(super) struct Resolver<'r, 't> {
    pub(super) report: &'r mut Report<'t>,
    pub(super) names: &'r Names,
    pub(super) scope: &'r Scope,
}

impl Resolver<'_, '_> {
    /// A descriptor that this process can have.
    pub(super) fn descriptor(&mut self, entry: &KdlEntry) -> Option<DescriptorId> {
        let name = self.report.text(entry, "a descriptor")?;
        let id = self.names.descriptor_id(name);
        if let Some(id) = id.filter(|id| self.scope.descriptors.contains(id)) {
            return Some(id);
        }
        let (said, help) = if let Some(id) = id {
            Self::out_of_reach(name, self.scope.later.0.contains(&id))
        } else {
            let pair = ends(name).find(|(_, ends)| self.names.descriptors.contains(&ends[0]));
            let help = match pair {
                Some((word, [one, other])) => {
                    Some(format!("a {word} has two ends: did you mean `{one}` or `{other}`?"))
                }
                None => words::suggest(name, self.scope.descriptor_names(self.names)),
            };
            (format!("unknown descriptor `{name}`"), help)
        };
        self.report.error(entry.range(), said, help);
        None
    }

    /// What is wrong with a name that is declared somewhere, but not here.
    fn out_of_reach(name: &str, later: bool) -> (String, Option<String>) {
        if later {
            return (format!("`{name}` is used before it is declared"), Some("declare it further up".to_owned()));
        }
        let help = "it is declared elsewhere, and a process inherits only what its parent had at the `fork`";
        (format!("this process has no `{name}`"), Some(help.to_owned()))
    }

    /// A queue, segment or semaphore that this process can have.
    pub(super) fn object(&mut self, entry: &KdlEntry, kind: ObjectKind) -> Option<ObjectId> {
        let name = self.report.text(entry, what_is(kind))?;
        let id = self.names.object_id(name);
        let known = id.and_then(|id| self.names.objects.get(id.index()));
        let (said, help) = match (id, known) {
            (Some(id), Some(known)) if known.kind == kind => {
                if self.scope.objects.contains(&id) {
                    return Some(id);
                }
                Self::out_of_reach(name, self.scope.later.2.contains(&id))
            }
            (_, Some(known)) => (format!("`{name}` is {}, not {}", what_is(known.kind), what_is(kind)), None),
            _ => {
                let help = words::suggest(name, self.names.objects_of(kind)).unwrap_or_else(|| {
                    let made_by = match kind {
                        ObjectKind::Queue => "msgget",
                        ObjectKind::Segment => "shmget`, `shm_open` or `mmap",
                        ObjectKind::SemaphoreSet => "semget",
                        ObjectKind::Semaphore => "sem_open",
                    };
                    format!("declare it with `{made_by}`")
                });
                (format!("`{name}` is not {}", what_is(kind)), Some(help))
            }
        };
        self.report.error(entry.range(), said, help);
        None
    }

    /// A name that this statement declares, and its slot.
    pub(super) fn new_object(&mut self, entry: &KdlEntry) -> Option<(String, ObjectId)> {
        let name = self.report.name(entry, "a name")?;
        Some((name.to_owned(), self.names.object_id(name)?))
    }

    /// The name of a descriptor that this statement declares, and its slot.
    pub(super) fn new_descriptor(&mut self, entry: &KdlEntry) -> Option<(String, DescriptorId)> {
        let name = self.report.name(entry, "a descriptor's name")?;
        if matches!(name, "stdin" | "stdout" | "stderr") {
            let help = Some(format!("choose another name, then `dup2` that to {name}"));
            self.report.error(entry.range(), format!("`{name}` is open already"), help);
            return None;
        }
        Some((name.to_owned(), self.names.descriptor_id(name)?))
    }

    /// The descriptor names of the two ends that this statement declares.
    pub(super) fn new_pair(&mut self, entry: &KdlEntry, ends: [&str; 2]) -> Option<(String, [DescriptorId; 2])> {
        let name = self.report.name(entry, "a name")?;
        let [one, other] = ends.map(|end| self.names.descriptor_id(&format!("{name}.{end}")));
        Some((name.to_owned(), [one?, other?]))
    }

    /// The variable that an option names, if the option is given; declared by that.
    pub(super) fn assigned_option(&mut self, node: &Node<'_>, option: &str) -> Result<Option<VarId>, Reported> {
        match node.option(option) {
            Some(entry) => self.assigned(entry).map(Some).ok_or(Reported),
            None => Ok(None),
        }
    }

    /// The number that an option gives, if it is given.
    pub(super) fn number_option(
        &mut self,
        node: &Node<'_>,
        option: &str,
        bounds: std::ops::Range<i64>,
    ) -> Result<Option<Value>, Reported> {
        match node.option(option) {
            Some(entry) => self.number(entry, &format!("`{option}`"), bounds).map(Some).ok_or(Reported),
            None => Ok(None),
        }
    }

    /// A variable that a statement puts something into; declared by that.
    pub(super) fn assigned(&mut self, entry: &KdlEntry) -> Option<VarId> {
        let name = self.report.name(entry, "a variable")?;
        self.names.var_id(name)
    }

    /// A variable that has been declared.
    pub(super) fn variable(&mut self, entry: &KdlEntry) -> Option<VarId> {
        let name = self.report.name(entry, "a variable")?;
        let id = self.names.var_id(name).filter(|id| self.scope.variables.contains(id));
        if id.is_none() {
            let help = words::suggest(name, self.scope.variable_names(self.names))
                .unwrap_or_else(|| format!("declare it with `set {name} 0`"));
            self.report.error(entry.range(), format!("unknown variable `{name}`"), Some(help));
        }
        id
    }

    fn bare_variable(&self, entry: &KdlEntry) -> Option<VarId> {
        let name = string(entry).filter(|_| is_bare(entry))?;
        self.names.var_id(name).filter(|id| self.scope.variables.contains(id))
    }

    /// A number within bounds or a variable.
    pub(super) fn number(&mut self, entry: &KdlEntry, what: &str, bounds: std::ops::Range<i64>) -> Option<Value> {
        match entry.value() {
            KdlValue::Integer(_) => self.report.integer(entry, what, bounds).map(Value::Number),
            KdlValue::String(_) if is_bare(entry) => self.variable(entry).map(Value::Var),
            _ => {
                let said = format!("{what} is a whole number or a variable, not `{}`", written(entry));
                self.report.error(entry.range(), said, None);
                None
            }
        }
    }

    /// A number, a text or, written bare, a variable.
    pub(super) fn value(&mut self, entry: &KdlEntry) -> Option<Value> {
        if let Some(id) = self.bare_variable(entry) {
            return Some(Value::Var(id));
        }
        match entry.value() {
            KdlValue::String(text) => Some(Value::Text(text.clone())),
            KdlValue::Integer(_) => self.report.integer(entry, "it", i64::MIN..i64::MAX).map(Value::Number),
            _ => {
                let said = format!("`{}` is neither a whole number nor a text", written(entry));
                self.report.error(entry.range(), said, Some(format!("write \"{}\"", written(entry))));
                None
            }
        }
    }

    /// The same, if a variable has room for it.
    pub(super) fn storable(&mut self, entry: &KdlEntry) -> Option<Value> {
        let value = self.value(entry)?;
        if let Value::Text(text) = &value
            && text.len() > MAX_TEXT
        {
            self.report.error(entry.range(), format!("a variable holds at most {MAX_TEXT} bytes"), None);
            return None;
        }
        Some(value)
    }

    /// A process, as `child`, `child#2`, `parent.child`, `parent`, `self`, `group` or a variable.
    pub(super) fn target(&mut self, entry: &KdlEntry) -> Option<Target> {
        let Some(name) = string(entry) else {
            let help = "a PID is not known before the run: name the block, or a variable that holds it".to_owned();
            self.report.error(entry.range(), format!("`{}` is no process", written(entry)), Some(help));
            return None;
        };
        if let Some((id, instance)) = self.names.resolve_process(name) {
            return Some(Target::Process(id, instance));
        }
        match name {
            "parent" => return Some(Target::Parent),
            "self" => return Some(Target::Myself),
            "group" => return Some(Target::Group),
            _ => {}
        }
        if let Some(id) = self.bare_variable(entry) {
            return Some(Target::Var(id));
        }
        let known = self.names.processes.iter().map(String::as_str).chain(["parent", "self", "group"]);
        self.report.error(entry.range(), format!("unknown process `{name}`"), words::suggest(name, known));
        None
    }
}
