//! One KDL node against the vocabulary: how many arguments, which options, a block or none.

use std::ops::Range;

use kdl::{KdlEntry, KdlIdentifier, KdlNode, KdlValue};

use super::Report;
use crate::scenario::words::{self, Block, Word};

/// A node that has the shape that its word asks for.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) kdl: &'a KdlNode,
    pub(super) word: &'static Word,
    /// As many as the word asks for.
    pub(super) args: Vec<&'a KdlEntry>,
}

/// What stands somewhere in the text.
pub(in crate::scenario) trait Spanned {
    /// Its bytes.
    fn range(&self) -> Range<usize>;
}

macro_rules! spanned {
    ($($name:ty),*) => {
        $(impl Spanned for $name {
            fn range(&self) -> Range<usize> {
                let span = self.span();
                span.offset()..span.offset() + span.len()
            }
        })*
    };
}

spanned!(KdlIdentifier, KdlNode);

impl Spanned for KdlEntry {
    /// Of the value alone where the entry is an option.
    fn range(&self) -> Range<usize> {
        let whole = entry_range(self);
        let value =
            self.format().filter(|_| self.name().is_some()).map_or(whole.len(), |format| format.value_repr.len());
        whole.end - value.min(whole.len())..whole.end
    }
}

fn entry_range(entry: &KdlEntry) -> Range<usize> {
    let span = entry.span();
    span.offset()..span.offset() + span.len()
}

/// The bytes of an option's name, or of all of an argument.
pub(super) fn key_range(entry: &KdlEntry) -> Range<usize> {
    entry.name().map_or_else(|| entry_range(entry), Spanned::range)
}

/// The text that an entry holds, if it holds text.
pub(in crate::scenario) fn string(entry: &KdlEntry) -> Option<&str> {
    entry.value().as_string()
}

/// Whether a text is written without quotes.
pub(super) fn is_bare(entry: &KdlEntry) -> bool {
    entry.format().is_none_or(|format| !format.value_repr.starts_with(['"', '#']))
}

/// How the value of an entry is written.
pub(super) fn written(entry: &KdlEntry) -> String {
    entry.format().map_or_else(|| entry.value().to_string(), |format| format.value_repr.clone())
}

/// The nodes inside a node.
pub(super) fn children(node: &KdlNode) -> &[KdlNode] {
    node.children().map_or(&[], |document| document.nodes())
}

/// Whether it is a name: letters, digits, `_` and `-`, and a letter first.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

impl<'a> Node<'a> {
    /// The option with this name.
    pub(super) fn option(&self, name: &str) -> Option<&'a KdlEntry> {
        self.kdl.entries().iter().rfind(|entry| entry.name().is_some_and(|key| key.value() == name))
    }

    /// The bytes of its word.
    pub(super) fn span(&self) -> Range<usize> {
        self.kdl.name().range()
    }

    pub(super) fn children(&self) -> &'a [KdlNode] {
        children(self.kdl)
    }
}

impl Report<'_> {
    /// The word of `node` among `words`, if the node has the shape that the word asks for.
    pub(super) fn shape<'a>(&mut self, node: &'a KdlNode, words: &'static [Word], kind: &str) -> Option<Node<'a>> {
        let name = node.name().value();
        let Some(word) = words::find(words, name) else {
            let help = words::suggest(name, words.iter().map(|word| word.name));
            self.error(node.name().range(), format!("unknown {kind} `{name}`"), help);
            return None;
        };
        self.shape_as(node, word)
    }

    /// The same where the word is known.
    pub(super) fn shape_as<'a>(&mut self, node: &'a KdlNode, word: &'static Word) -> Option<Node<'a>> {
        let before = self.problems.len();
        let usage = || Some(format!("it is used as: {}", word.usage));
        let annotations = node.ty().into_iter().chain(node.entries().iter().filter_map(KdlEntry::ty));
        for annotation in annotations {
            self.error(annotation.range(), "type annotations mean nothing here", None);
        }
        self.options(node, word);
        let args: Vec<&KdlEntry> = node.entries().iter().filter(|entry| entry.name().is_none()).collect();
        let (fewest, most) = word.args;
        if args.len() < fewest {
            let missing = if args.is_empty() { "lacks its argument" } else { "lacks an argument" };
            self.error(node.name().range(), format!("`{}` {missing}", word.name), usage());
        } else if let Some(extra) = args.get(most) {
            let takes = match most {
                0 => "no argument".to_owned(),
                1 => "one argument".to_owned(),
                more => format!("{more} arguments"),
            };
            self.error(extra.range(), format!("`{}` takes {takes}", word.name), usage());
        }
        match (word.block, node.children()) {
            (Block::Required, None) => {
                self.error(node.name().range(), format!("`{}` lacks its block", word.name), usage());
            }
            (Block::None, Some(_)) => {
                self.error(node.name().range(), format!("`{}` takes no block", word.name), usage());
            }
            _ => {}
        }
        (self.problems.len() == before).then_some(Node { kdl: node, word, args })
    }

    fn options(&mut self, node: &KdlNode, word: &'static Word) {
        const COMMON: [&str; 2] = ["fails", "errno"];
        let mut seen: Vec<&str> = Vec::new();
        for key in node.entries().iter().filter_map(KdlEntry::name) {
            let name = key.value();
            let span = key.range();
            if seen.contains(&name) {
                self.error(span, format!("`{name}` is given twice"), None);
                continue;
            }
            seen.push(name);
            let common = COMMON.contains(&name);
            if word.options.contains(&name) || (common && word.can_fail) {
                continue;
            }
            if common && words::find(words::STATEMENTS, word.name) == Some(word) {
                let help = format!("it is used as: {}", word.usage);
                self.error(span, format!("`{name}` makes no sense here: `{}` cannot fail", word.name), Some(help));
                continue;
            }
            let known = word.options.iter().copied().chain(COMMON.into_iter().filter(|_| word.can_fail));
            let help = words::suggest(name, known).unwrap_or_else(|| format!("it is used as: {}", word.usage));
            self.error(span, format!("`{}` has no option `{name}`", word.name), Some(help));
        }
    }

    /// The text of an argument.
    pub(super) fn text<'a>(&mut self, entry: &'a KdlEntry, what: &str) -> Option<&'a str> {
        let text = string(entry);
        if text.is_none() {
            let said = format!("{what} is a text, not `{}`", written(entry));
            self.error(entry.range(), said, Some(format!("write \"{}\"", written(entry))));
        }
        text
    }

    /// A text that is not empty and holds no zero byte, as the kernel takes for a path.
    pub(super) fn path(&mut self, entry: &KdlEntry, what: &str) -> Option<String> {
        let text = self.text(entry, what)?;
        if text.is_empty() || text.contains('\0') {
            let wrong = if text.is_empty() { "is empty" } else { "holds a zero byte" };
            self.error(entry.range(), format!("{what} {wrong}"), None);
            return None;
        }
        Some(text.to_owned())
    }

    /// A name that the file gives to something.
    pub(super) fn name<'a>(&mut self, entry: &'a KdlEntry, what: &str) -> Option<&'a str> {
        let text = self.text(entry, what)?;
        if !is_name(text) {
            let help = "a name is made of letters, digits, `_` and `-`, and begins with a letter".to_owned();
            self.error(entry.range(), format!("`{text}` cannot be {what}"), Some(help));
            return None;
        }
        Some(text)
    }

    /// A whole number within bounds.
    pub(super) fn integer(&mut self, entry: &KdlEntry, what: &str, bounds: Range<i64>) -> Option<i64> {
        let KdlValue::Integer(number) = entry.value() else {
            let said = format!("{what} is a whole number, not `{}`", written(entry));
            self.error(entry.range(), said, None);
            return None;
        };
        let number = i64::try_from(*number).ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            let Range { start, end } = bounds;
            self.error(entry.range(), format!("{what} is a number from {start} to {}", end - 1), None);
        }
        number
    }

    /// `name=#true`.
    pub(super) fn flag(&mut self, node: &Node<'_>, name: &str) -> bool {
        let Some(entry) = node.option(name) else {
            return false;
        };
        if let KdlValue::Bool(value) = entry.value() {
            return *value;
        }
        self.error(entry.range(), format!("`{name}` is a flag"), Some(format!("write `{name}=#true`")));
        false
    }

    /// A length of time in seconds, whole or decimal, as nanoseconds.
    pub(super) fn seconds(&mut self, entry: &KdlEntry, what: &str) -> Option<u64> {
        const MOST: f64 = 1e6;
        let seconds = match entry.value() {
            KdlValue::Integer(number) => *number as f64,
            KdlValue::Float(number) => *number,
            _ => f64::NAN,
        };
        if (0.0..=MOST).contains(&seconds) {
            return Some((seconds * 1e9).round() as u64);
        }
        let said = format!("{what} is a number of seconds from 0 to 1000000, such as 2 or 0.5");
        self.error(entry.range(), said, None);
        None
    }
}

/// A node as written, without its block, on one line.
pub(super) fn one_line(text: &str, node: &KdlNode) -> String {
    let mut line = text.get(node.name().range()).unwrap_or_default().to_owned();
    for entry in node.entries() {
        let piece = text.get(entry_range(entry)).unwrap_or_default();
        line.push(' ');
        if piece.contains(['\n', '\r']) {
            if let Some(name) = entry.name() {
                line.push_str(name.value());
                line.push('=');
            }
            match string(entry) {
                Some(value) => line.push_str(&quoted(value)),
                None => line.push_str(&written(entry)),
            }
        } else {
            line.push_str(piece);
        }
    }
    line
}

fn quoted(value: &str) -> String {
    let mut out = String::from('"');
    for c in value.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
