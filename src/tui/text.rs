//! Text in columns. Whatever comes from programs and reaches a cell of the screen has gone through
//! [`clean`] or [`clean_bytes`] first.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub use crate::text::{clean, clean_bytes};

/// What stands for the rest of a text that was cut.
pub const ELLIPSIS: char = '…';

/// Nanoseconds as seconds and milliseconds: `5.000 s`.
pub fn seconds(nanos: u64) -> String {
    format!("{}.{:03} s", nanos / 1_000_000_000, nanos % 1_000_000_000 / 1_000_000)
}

/// How many columns the text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The text, cut to `columns` with an ellipsis where it is longer.
pub fn fit(text: &str, columns: usize) -> String {
    if text.len() <= columns || width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w > room {
            break;
        }
        used += w;
        out.push(c);
    }
    out.push(ELLIPSIS);
    out
}

/// [`fit`], filled up with blanks on the right.
pub fn pad(text: &str, columns: usize) -> String {
    let mut out = fit(text, columns);
    let missing = columns.saturating_sub(width(&out));
    out.extend(std::iter::repeat_n(' ', missing));
    out
}

/// The text in lines of at most `columns`, broken at blanks where there are any.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let needed = width(word) + usize::from(!line.is_empty());
        if width(&line) + needed > columns && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        push_long(&mut lines, &mut line, word, columns);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Adds a word that may itself be longer than a line.
fn push_long(lines: &mut Vec<String>, line: &mut String, word: &str, columns: usize) {
    let mut used = width(line);
    for c in word.chars() {
        let w = c.width().unwrap_or(0);
        if used + w > columns && !line.is_empty() {
            lines.push(std::mem::take(line));
            used = 0;
        }
        line.push(c);
        used += w;
    }
}

/// Cuts a line into pieces without looking for blanks: these are bytes, not prose.
pub fn chop(line: &str, room: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in line.chars() {
        let width = c.width().unwrap_or(0);
        if used + width > room {
            pieces.push(String::new());
            used = 0;
        }
        used += width;
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

/// `1 event`, `2 events`.
pub fn count(n: usize, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_counts_columns() {
        assert_eq!(fit("hello", 5), "hello");
        assert_eq!(fit("hello!", 5), "hell…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 6), "日本語");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(pad("日本語", 4), "日… ");
    }

    #[test]
    fn wrapping_keeps_every_character() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
