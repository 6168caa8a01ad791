//! What is wrong with a scenario file, where, and what would cure it.
//!
//! Students write these files by hand, so a message points at the word, says what would fit there,
//! and comes together with all others that can be found in one go.

use std::fmt::Write as _;
use std::ops::Range;

use unicode_width::UnicodeWidthChar;

use crate::text::{self, is_unsafe};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be run.
    Error,
    /// The file runs, but something about it is not as it should be.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Something wrong with a scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The bytes of the text that it is about.
    pub span: Range<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// What would cure it.
    pub help: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

/// How many columns of a source line are shown.
const SHOWN: usize = 240;
/// How many columns of a message are kept; it may quote a very long word.
const LONGEST: usize = 400;

impl Problem {
    /// An error about the bytes `span` of `text`.
    pub fn error(text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(text, span, &message.into(), Severity::Error)
    }

    /// A warning about the bytes `span` of `text`.
    pub fn warning(text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(text, span, &message.into(), Severity::Warning)
    }

    fn new(text: &str, span: Range<usize>, message: &str, severity: Severity) -> Self {
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() as u32 + 1;
        let column = text[line_start..start].chars().count() as u32 + 1;
        Self { line, column, span: start..end, message: clean(message), help: None, severity }
    }

    /// The same, with what would cure it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(clean(&help.into()));
        self
    }

    /// The same, with what would cure it if that is known.
    #[must_use]
    pub fn maybe_help(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// The message as it is shown to people: with the line of `text` that it is about, and a mark
    /// under the word. Ends with a line feed. Control characters of the file and of its name are not passed on.
    pub fn render(&self, file: &str, text: &str) -> String {
        let file = text::clean(file);
        let start = floor(text, self.span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor(text, self.span.end).clamp(start, line_end.max(start));

        let mut shown = String::new();
        let indent = push_visible(&mut shown, &text[line_start..start], SHOWN / 2);
        let marked = push_visible(&mut shown, &text[start..end], SHOWN / 2).max(1);
        push_visible(&mut shown, &text[end..line_end], SHOWN.saturating_sub(indent + marked));

        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        let mut out = format!("{}: {}\n", self.severity.as_str(), self.message);
        let _ = writeln!(out, "{gutter}--> {file}:{}:{}", self.line, self.column);
        let _ = writeln!(out, "{gutter} |");
        let _ = writeln!(out, "{}", format!("{number} | {shown}").trim_end());
        let _ = writeln!(out, "{gutter} | {}{}", " ".repeat(indent), "^".repeat(marked));
        if let Some(help) = &self.help {
            let _ = writeln!(out, "{gutter} = help: {help}");
        }
        out
    }
}

/// Several problems as they are shown to people, with an empty line between them.
pub fn render_all(problems: &[Problem], file: &str, text: &str) -> String {
    problems.iter().map(|problem| problem.render(file, text)).collect::<Vec<_>>().join("\n")
}

/// The nearest place at or before `at` where `text` may be cut.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A sentence that may quote the file: without control characters, and not without end.
fn clean(sentence: &str) -> String {
    let mut out = String::new();
    push_visible(&mut out, sentence, LONGEST);
    out
}

/// Appends `text` without control characters and in at most `columns`; how many it took.
fn push_visible(out: &mut String, text: &str, columns: usize) -> usize {
    let mut used = 0;
    for c in text.chars() {
        let (c, repeat) = match c {
            '\t' => (' ', 4),
            '\r' => continue,
            c if is_unsafe(c) => ('\u{fffd}', 1),
            c => (c, 1),
        };
        let width = c.width().unwrap_or(1) * repeat;
        if used + width > columns.saturating_sub(1) {
            out.push('…');
            return used + 1;
        }
        used += width;
        (0..repeat).for_each(|_| out.push(c));
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_under_the_word() {
        let text = "pipe p\n\t界 wirte x\n";
        let at = text.find("wirte").expect("there");
        let problem = Problem::error(text, at..at + 5, "unknown statement `wirte`").help("did you mean `write`?");
        assert_eq!((problem.line, problem.column), (2, 4));
        insta::assert_snapshot!(problem.render("a.kdl", text), @r"
        error: unknown statement `wirte`
         --> a.kdl:2:4
          |
        2 |     界 wirte x
          |        ^^^^^
          = help: did you mean `write`?
        ");
    }

    #[test]
    fn what_a_message_quotes_does_no_harm() {
        let problem = Problem::error("", 0..0, "unknown `\u{1b}[2J\u{202e}`").help("x".repeat(1 << 20));
        assert_eq!(problem.message, "unknown `\u{fffd}[2J\u{fffd}`");
        assert!(problem.help.is_some_and(|help| help.chars().count() == LONGEST));
    }

    #[test]
    fn any_span_of_any_text_can_be_shown() {
        for text in ["", "é", "a\r\nb\u{1b}[31m", &"x".repeat(1000)] {
            for start in 0..=text.len().min(8) + 2 {
                for end in 0..=text.len().min(8) + 2 {
                    let shown = Problem::error(text, start..end, "m").render("f", text);
                    assert!(shown.contains('^') && !shown.contains('\u{1b}'));
                }
            }
        }
    }
}
