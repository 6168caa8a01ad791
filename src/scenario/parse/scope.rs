//! Which names a process may use at some place of the text, and what they mean there.
//!
//! Descriptors and variables are inherited over `fork` as the kernel does it: what the parent had
//! declared above the `fork` is there below it. Loops may have run before, and handlers run at any
//! time, so a name counts as declared as soon as it can have been.

use std::collections::HashSet;

use kdl::{KdlEntry, KdlNode, KdlValue};

use super::Report;
use super::names::{Kind, Names, declared, same_process};
use super::node::{Spanned, children, is_bare, string, written};
use crate::scenario::{DescriptorId, MAX_TEXT, Target, Value, VarId, words};

/// The names that can have been declared.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    descriptors: HashSet<DescriptorId>,
    variables: HashSet<VarId>,
    /// What the process declares at all, sooner or later.
    later: (HashSet<DescriptorId>, HashSet<VarId>),
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
        self.later = (whole.descriptors, whole.variables);
        self
    }

    /// Every name of the file, for a place of which nothing is known.
    pub(super) fn everything(names: &Names) -> Self {
        let descriptors = (0..names.descriptors.len()).map(|at| DescriptorId(at as u16)).collect();
        let variables = (0..names.variables.len()).map(|at| VarId(at as u16)).collect();
        Self { descriptors, variables, ..Self::default() }
    }

    /// The scope of a handler, which runs at any time.
    pub(super) fn at_any_time(mut self) -> Self {
        self.descriptors.extend(&self.later.0);
        self.variables.extend(&self.later.1);
        self
    }

    /// Adds what one statement declares.
    pub(super) fn declare(&mut self, names: &Names, node: &KdlNode) {
        for (kind, name) in declared(node) {
            match kind {
                Kind::Descriptor => self.descriptors.extend(names.descriptor_id(&name)),
                Kind::Variable => self.variables.extend(names.var_id(&name)),
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
        let (said, help) = match id {
            Some(id) if self.scope.later.0.contains(&id) => {
                (format!("`{name}` is used before it is declared"), Some("declare it further up".to_owned()))
            }
            Some(_) => (
                format!("this process has no `{name}`"),
                Some("it is declared elsewhere, and a process inherits only what its parent had at the `fork`".into()),
            ),
            None => {
                let ends = [format!("{name}.read"), format!("{name}.write")];
                let help = if ends.iter().any(|end| self.names.descriptors.contains(end)) {
                    Some(format!("a pipe has two ends: did you mean `{}` or `{}`?", ends[0], ends[1]))
                } else {
                    words::suggest(name, self.scope.descriptor_names(self.names))
                };
                (format!("unknown descriptor `{name}`"), help)
            }
        };
        self.report.error(entry.range(), said, help);
        None
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
