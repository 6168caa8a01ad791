//! From text to a KDL document, and what the KDL parser complains of in words that help.

use std::ops::Range;

use kdl::{KdlDiagnostic, KdlDocument};

use super::Problem;

/// How many blocks may be taken out with `/-`: the KDL parser reads each of them twice, and those that
/// are nested twice as often for every level.
const MAX_OUT: usize = 6;

/// How many complaints of the KDL parser are looked at.
const MAX_DIAGNOSTICS: usize = 200;

/// The document, or what is wrong with the syntax.
pub(super) fn document(text: &str) -> Result<KdlDocument, Vec<Problem>> {
    if let Some((at, _)) = text.match_indices("/-").filter(|(at, _)| opens_block(&text[at + 2..])).nth(MAX_OUT) {
        let said = format!("more than {MAX_OUT} blocks are taken out with `/-`");
        return Err(vec![Problem::error(text, at..at + 2, said).help("take them out with `/* … */`")]);
    }
    let problems = match KdlDocument::parse_v2(text) {
        Ok(document) => return Ok(document),
        Err(error) => error
            .diagnostics
            .iter()
            .take(MAX_DIAGNOSTICS)
            .map(|diagnostic| understood(text, diagnostic))
            .collect::<Vec<_>>(),
    };
    Err(causes(text, &problems))
}

/// Whether a block is the next thing in `text`, blanks and comments aside.
fn opens_block(text: &str) -> bool {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\\' || c == '\u{feff}');
        let end = match rest.get(..2) {
            Some("//") => "\n",
            Some("/*") => "*/",
            _ => return rest.starts_with('{'),
        };
        let Some((_, after)) = rest[2..].split_once(end) else { return false };
        rest = after;
    }
}

/// How a diagnostic relates to the others.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Kind {
    /// Something is misspelt.
    Word,
    /// A block has no end.
    Unclosed,
    /// What follows from any of the others.
    Consequence,
}

/// Drops what only follows from something else: after a bad string nothing matches.
fn causes(text: &str, found: &[(Kind, Problem)]) -> Vec<Problem> {
    let elses = misplaced_else(text);
    if !elses.is_empty() {
        return elses;
    }
    for kind in [Kind::Word, Kind::Unclosed, Kind::Consequence] {
        let mut these: Vec<Problem> = Vec::new();
        for (_, problem) in found.iter().filter(|(other, _)| *other == kind) {
            if !these.contains(problem) {
                these.push(problem.clone());
            }
        }
        if kind == Kind::Consequence {
            these.truncate(1);
        }
        if !these.is_empty() {
            return these;
        }
    }
    vec![Problem::error(text, 0..0, "the file is not a KDL document")]
}

fn understood(text: &str, diagnostic: &KdlDiagnostic) -> (Kind, Problem) {
    let start = diagnostic.span.offset();
    let span = start..start.saturating_add(diagnostic.span.len());
    let word = text.get(span.clone()).unwrap_or_default();
    let message = diagnostic.message.clone().unwrap_or_else(|| "this is not KDL".to_owned());
    let problem = |message: &str, help: &str| Problem::error(text, span.clone(), message).help(help);

    if matches!(word, "true" | "false") {
        return (Kind::Word, problem(&format!("`{word}` is a reserved word"), &format!("write `#{word}`")));
    }
    if matches!(word, "null" | "inf" | "-inf" | "nan") {
        return (Kind::Word, problem(&format!("`{word}` is a reserved word"), "choose another name"));
    }
    if message.starts_with("No closing '}'") {
        return (Kind::Unclosed, problem("this block is not closed", "a `}` is missing further down"));
    }
    if message.starts_with("Closing '}' was not found") {
        return (Kind::Consequence, problem("a block is not closed", "a `}` is missing"));
    }
    if message.starts_with("Expected end of document") {
        if word.starts_with('}') {
            return (Kind::Unclosed, problem("this `}` closes no block", "remove it, or see which `{` is missing"));
        }
        return (Kind::Consequence, problem("this is not KDL", "see what stands before it"));
    }
    let whole = whole_word(text, &span);
    let word = text.get(whole.clone()).unwrap_or_default();
    if must_be_quoted(word) {
        let said = format!("`{word}` must be quoted");
        return (Kind::Word, Problem::error(text, whole, said).help(format!("write \"{word}\"")));
    }
    if !word.is_empty() && matches!(message.as_str(), "Expected identifier string" | "Expected integer") {
        let help = "text with blanks or special characters is quoted, numbers stand alone";
        let said = format!("`{word}` is neither a word nor a number");
        return (Kind::Word, Problem::error(text, whole, said).help(help));
    }
    let help = diagnostic.help.as_deref().map(lower_first);
    (Kind::Word, Problem::error(text, span.clone(), lower_first(&message)).maybe_help(help))
}

/// Whether a word holds what KDL keeps for itself; one with quotes is wrong in another way.
fn must_be_quoted(word: &str) -> bool {
    !word.contains('"') && word.contains(['(', ')', '[', ']', '/', '\\', '#', '=']) && !word.starts_with(['#', '='])
}

fn lower_first(message: &str) -> String {
    let mut chars = message.trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// The bytes between the blanks around the start of `span`; only `span` if there are very many.
fn whole_word(text: &str, span: &Range<usize>) -> Range<usize> {
    const LONGEST: usize = 80;
    let (Some(before), Some(after)) = (text.get(..span.start), text.get(span.start..)) else {
        return span.clone();
    };
    let blank = |c: char| c.is_whitespace() || matches!(c, ';' | '{' | '}');
    let start = before.len() - before.chars().rev().take_while(|c| !blank(*c)).map(char::len_utf8).sum::<usize>();
    let end = span.start + after.find(blank).unwrap_or(after.len());
    if end - start > LONGEST { span.clone() } else { start..end }
}

/// KDL ends a node at its block, so `} else {` on one line is no KDL; nothing else says so.
fn misplaced_else(text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some(at) = line.find('}') {
            let rest = line[at + 1..].trim_start();
            if rest.strip_prefix("else").is_some_and(|after| after.trim_start().starts_with('{')) {
                let from = start + line.len() - rest.len();
                let problem = Problem::error(text, from..from + 4, "`else` must begin a line");
                problems.push(problem.help("put it on a line of its own, or write `}; else {`"));
            }
        }
        start += line.len();
    }
    problems
}
