//! From the text of a file to a [`Scenario`], with every problem that can be found on the way.
//!
//! First the names that the whole file declares are collected, because a process may be named above
//! its `fork`; then the nodes are compiled, each on its own, so that one mistake hides no other.

mod declared;
mod document;
mod expect;
mod ipc;
mod memory;
mod names;
mod node;
mod ops;
mod scope;
mod signals;
mod sockets;
mod statement;
mod syntax;

use std::ops::Range;

use kdl::KdlDocument;

use super::{Problem, Scenario};

pub(super) use names::walk;
pub(super) use node::{Spanned, string};

/// The largest file that is read, in bytes.
pub const MAX_FILE: usize = 32 << 10;
/// How deep blocks may nest.
pub(super) const MAX_DEPTH: usize = 64;
/// How many problems of one file are kept.
const MAX_PROBLEMS: usize = 100;

/// Understands the text of a scenario file. `name` is `topic/stem`, `file` what messages call it.
/// The problems are in the order of the text. No text makes it panic.
pub fn parse(name: &str, file: &str, text: &str) -> Result<Scenario, Vec<Problem>> {
    if text.len() > MAX_FILE {
        return Err(vec![Problem::error("", 0..0, format!("{file} is larger than {MAX_FILE} bytes"))]);
    }
    let result = with_document(text, |document| document::compile(name, text, document));
    match result {
        Ok((scenario, problems)) if problems.is_empty() => Ok(scenario),
        Ok((_, problems)) | Err(problems) => Err(sorted(problems)),
    }
}

/// The same for a text that has been understood before, on the calling thread: the deep stack is for
/// mistakes only.
pub fn parse_again(name: &str, text: &str) -> Result<Scenario, Vec<Problem>> {
    let (scenario, problems) = syntax::document(text).map(|document| document::compile(name, text, &document))?;
    if problems.is_empty() { Ok(scenario) } else { Err(problems) }
}

/// Hands the KDL document of `text` to `then`, on a thread with a stack to match: the KDL parser calls
/// itself for every block that opens and, in a file with mistakes, for every byte that it skips.
pub(super) fn with_document<T: Send>(
    text: &str,
    then: impl FnOnce(&KdlDocument) -> T + Send,
) -> Result<T, Vec<Problem>> {
    /// Several times the most that was measured. Only what is used of it takes memory.
    const STACK_PER_BYTE: usize = 32 << 10;
    const STACK: usize = 1 << 20;

    let stack = STACK + text.len().min(MAX_FILE) * STACK_PER_BYTE;
    let failed = || {
        let mib = stack >> 20;
        let why = format!("there is no memory for a stack of {mib} MiB, to read the file on: see `ulimit -v`");
        Err(vec![Problem::error(text, 0..0, why)])
    };
    if text.len() > MAX_FILE {
        return failed();
    }
    let run = || syntax::document(text).map(|document| then(&document));
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(stack);
        thread.spawn_scoped(scope, run).map_or_else(|_| failed(), |handle| handle.join().unwrap_or_else(|_| failed()))
    })
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
    problems.dedup();
    problems
}

/// The text, and what is wrong with it so far.
#[derive(Debug)]
struct Report<'t> {
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
    problems: Vec<Problem>,
}

impl<'t> Report<'t> {
    fn new(text: &'t str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines, problems: Vec::new() }
    }

    /// An error about `span`, with what would cure it if that is known.
    fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::error(self.text, span, message).maybe_help(help));
        }
    }

    /// The line, from 1, in which the byte `at` stands.
    fn line(&self, at: usize) -> u32 {
        self.lines.partition_point(|start| *start <= at) as u32
    }
}

#[cfg(test)]
mod tests;
