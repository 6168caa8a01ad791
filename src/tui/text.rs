//! Text from programs, made safe to show: one column is one column, and nothing in it can steer
//! the terminal.
//!
//! A traced program may write anything, name its files anything and call itself anything. Whatever
//! reaches a cell of the screen has gone through [`clean`] or [`clean_bytes`] first.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What stands for the rest of a text that was cut.
pub const ELLIPSIS: char = '…';

/// The text with everything escaped that would not show as itself.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_clean(&mut out, c));
    out
}

/// Nanoseconds as seconds and milliseconds: `5.000 s`.
pub fn seconds(nanos: u64) -> String {
    format!("{}.{:03} s", nanos / 1_000_000_000, nanos % 1_000_000_000 / 1_000_000)
}

/// At most about `limit` columns of the bytes as text; bytes that are not UTF-8 show as `\xff`.
pub fn clean_bytes(bytes: &[u8], limit: usize) -> String {
    let bytes = &bytes[..bytes.len().min(limit.saturating_mul(4))];
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_clean(&mut out, c);
            if out.len() > limit.saturating_mul(4) {
                return out;
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn push_clean(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0' => out.push_str("\\0"),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        c if c.is_control() || is_invisible(c) => {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
        c => out.push(c),
    }
}

/// Characters that take no column of their own or turn the direction of the line.
fn is_invisible(c: char) -> bool {
    matches!(c as u32,
        0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
        | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164
        | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0xe0000..=0xe0fff)
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
    fn nothing_can_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\n\u{202e}x\u{7f}\u{9b}"), "a\\x1b[2Jb\\n\\u{202e}x\\x7f\\u{9b}");
        assert_eq!(clean_bytes(b"ok\xff\x00", 80), "ok\\xff\\0");
    }

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
