//! The blocks of a process: statement after statement, numbered in the order of the text.

use kdl::KdlNode;

use super::Report;
use super::names::Names;
use super::node::{Node, Spanned, children, one_line};
use super::scope::{Resolver, Scope};
use crate::model::SignalSet;
use crate::scenario::words::{self, STATEMENTS};
use crate::scenario::{Info, Op, ProcessId, Root, Statement, StatementId};

/// Compiles the `process` blocks.
#[derive(Debug)]
pub(super) struct Compiler<'r, 't> {
    pub(super) report: &'r mut Report<'t>,
    pub(super) names: &'r Names,
    pub(super) statements: Vec<Info>,
}

/// What stands around a statement.
#[derive(Debug, Clone, Copy, Default)]
struct Around {
    in_loop: bool,
    in_handler: bool,
}

impl<'t> Compiler<'_, 't> {
    /// A `process` block.
    pub(super) fn root(&mut self, node: &Node<'_>) -> Option<Root> {
        let name = self.process_name(node);
        let mut scope = Scope::root().enter(self.names, node.children());
        let body = self.block(node.children(), &mut scope, Around::default());
        Some(Root { name: name?, body })
    }

    fn process_name(&mut self, node: &Node<'_>) -> Option<ProcessId> {
        let entry = *node.args.first()?;
        let name = self.report.name(entry, "a process's name")?;
        if name == "all" {
            let help = Some("in a schedule `run all` has a meaning of its own".to_owned());
            self.report.error(entry.range(), "`all` cannot be a process's name", help);
            return None;
        }
        self.names.process_id(name)
    }

    fn resolver<'s>(&'s mut self, scope: &'s Scope) -> Resolver<'s, 't> {
        Resolver { report: &mut *self.report, names: self.names, scope }
    }

    fn block(&mut self, nodes: &[KdlNode], scope: &mut Scope, around: Around) -> Vec<Statement> {
        let mut body = Vec::new();
        let mut previous = "";
        for (index, node) in nodes.iter().enumerate() {
            let word = node.name().value();
            if word == "else" {
                if previous != "if" {
                    let help = Some("`else { … }` directly follows the block of an `if`".to_owned());
                    self.report.error(node.name().range(), "this `else` belongs to no `if`", help);
                }
            } else {
                let otherwise = nodes.get(index + 1).filter(|next| word == "if" && next.name().value() == "else");
                body.extend(self.statement(node, otherwise, scope, around));
            }
            previous = word;
        }
        body
    }

    fn statement(
        &mut self,
        kdl: &KdlNode,
        otherwise: Option<&KdlNode>,
        scope: &mut Scope,
        around: Around,
    ) -> Option<Statement> {
        let Some(node) = self.shape(kdl) else {
            scope.declare(self.names, kdl);
            return None;
        };
        let id = StatementId(self.statements.len() as u16);
        let line = self.report.line(node.span().start);
        let text = one_line(self.report.text, kdl);
        self.statements.push(Info { line, text, word: node.word.name });

        let mut statement = Statement { id, op: Op::Break, fails: None, errno: None };
        self.resolver(scope).failure(&node, &mut statement);
        let op = self.op(&node, otherwise, scope, around);
        scope.declare(self.names, kdl);
        statement.op = op?;
        Some(statement)
    }

    fn shape<'a>(&mut self, node: &'a KdlNode) -> Option<Node<'a>> {
        let (name, span) = (node.name().value(), node.name().range());
        if words::find(STATEMENTS, name).is_none() && words::find(words::TOP, name).is_some() {
            self.report.error(span, format!("`{name}` stands at the top of the file, not in a process"), None);
            return None;
        }
        let shaped = self.report.shape(node, STATEMENTS, "statement");
        if shaped.is_none() {
            // What is wrong inside its block is said as well.
            let mut scope = Scope::everything(self.names);
            self.block(children(node), &mut scope, Around { in_loop: true, in_handler: false });
        }
        shaped
    }

    fn op(&mut self, node: &Node<'_>, otherwise: Option<&KdlNode>, scope: &mut Scope, around: Around) -> Option<Op> {
        match node.word.name {
            "fork" => self.fork(node, scope),
            "on" => self.handler(node, scope),
            "sigsuspend" => self.sigsuspend(node, scope),
            "repeat" | "forever" => self.repetition(node, scope, around),
            "if" => self.condition(node, otherwise, scope, around),
            "break" => {
                if !around.in_loop {
                    let help = if around.in_handler {
                        "a handler cannot leave the loop that it interrupts"
                    } else {
                        "`break` leaves a `repeat` or a `forever`"
                    };
                    self.report.error(node.span(), "there is no loop to break out of", Some(help.to_owned()));
                }
                Some(Op::Break)
            }
            _ => self.resolver(scope).simple(node),
        }
    }

    fn fork(&mut self, node: &Node<'_>, scope: &Scope) -> Option<Op> {
        let name = self.process_name(node);
        let into = match node.option("into") {
            Some(entry) => Some(self.resolver(scope).assigned(entry)?),
            None => None,
        };
        let has_block = node.kdl.children().is_some();
        if has_block == into.is_some() {
            let said = if has_block { "`fork` takes a block or `into`, not both" } else { "`fork` lacks its block" };
            let help = "`fork NAME { … }` runs the block in the child; after `fork NAME into=VAR` both go on, \
                        and VAR is 0 in the child";
            self.report.error(node.span(), said, Some(help.to_owned()));
        }
        let mut scope = scope.clone().enter(self.names, node.children());
        let body = has_block.then(|| self.block(node.children(), &mut scope, Around::default()));
        Some(Op::Fork { name: name?, body, into })
    }

    fn handler(&mut self, node: &Node<'_>, scope: &mut Scope) -> Option<Op> {
        let mut op = self.resolver(scope).on(node);
        scope.declare_all(self.names, node.children());
        let around = Around { in_loop: false, in_handler: true };
        let block = self.block(node.children(), &mut scope.clone().at_any_time(), around);
        if let Some(Op::On { body, .. }) = &mut op {
            *body = block;
        }
        op
    }

    /// The block of a `sigsuspend` holds no statements: it says what the mask is meanwhile.
    fn sigsuspend(&mut self, node: &Node<'_>, scope: &Scope) -> Option<Op> {
        let (mut block, mut unblock) = (SignalSet::EMPTY, SignalSet::EMPTY);
        for child in node.children() {
            let Some(change) = self.report.shape(child, words::SUSPEND, "part of a sigsuspend") else { continue };
            let signals = self.resolver(scope).signals(&change.args)?;
            let set = if change.word.name == "block" { &mut block } else { &mut unblock };
            signals.iter().for_each(|signal| set.insert(signal));
        }
        Some(Op::Sigsuspend { block, unblock })
    }

    fn repetition(&mut self, node: &Node<'_>, scope: &mut Scope, around: Around) -> Option<Op> {
        let times = if node.word.name == "repeat" { Some(self.resolver(scope).times(node)) } else { None };
        scope.declare_all(self.names, node.children());
        let body = self.block(node.children(), scope, Around { in_loop: true, ..around });
        Some(match times {
            Some(times) => Op::Repeat { times: times?, body },
            None => Op::Forever { body },
        })
    }

    fn condition(
        &mut self,
        node: &Node<'_>,
        otherwise: Option<&KdlNode>,
        scope: &mut Scope,
        around: Around,
    ) -> Option<Op> {
        let mut op = self.resolver(scope).condition(node);
        let block = self.block(node.children(), scope, around);
        let other = otherwise.and_then(|other| self.report.shape(other, STATEMENTS, "statement"));
        let other = other.map_or_else(Vec::new, |other| self.block(other.children(), scope, around));
        if let Some(Op::If { then, otherwise, .. }) = &mut op {
            *then = block;
            *otherwise = other;
        }
        op
    }
}
