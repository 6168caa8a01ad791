//! Text from strangers, made safe to show: nothing in it can steer a terminal or turn a line around.
//!
//! A program may write anything and call itself anything, and so may who names files or writes scenarios.
//! Whatever is printed or drawn for people has gone through [`clean`] or its like first; JSON for programs
//! goes through [`json`], which changes nothing for who parses it.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The longest path there is (`PATH_MAX`), in bytes.
const LONGEST_PATH: usize = 4096;

/// Whether a character would not show as itself: control characters (C0, DEL, C1), and those that take no
/// column of their own or turn the direction of the line.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c as u32,
            0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164
            | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0xe0000..=0xe0fff)
}

/// The text with everything escaped that would not show as itself.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_clean(&mut out, c));
    out
}

/// The same of text in several lines, which stay lines.
pub fn clean_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| if c == '\n' { out.push(c) } else { push_clean(&mut out, c) });
    out
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

/// What an error says, without the number that Rust adds.
pub fn io_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// A path, as it is called in messages.
pub fn path(path: &Path) -> String {
    clean_bytes(path.as_os_str().as_bytes(), LONGEST_PATH)
}

fn push_clean(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0' => out.push_str("\\0"),
        c if c.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        c if is_unsafe(c) => {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
        c => out.push(c),
    }
}

/// A character in a JSON string, escaped (RFC 8259, section 7).
pub fn json_escape(c: char) -> String {
    let mut out = String::new();
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(out, "\\u{unit:04x}");
    }
    out
}

/// JSON with everything in its strings escaped that would not show as itself. Between strings it has none
/// of that but line feeds.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_unsafe(c) {
            out.push_str(&json_escape(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character that some terminal or viewer could obey.
    const STEERING: &str = "\u{1b}]0;x\u{7}\u{8}\u{7f}\u{80}\u{9b}2J\u{9d}\u{9f}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\
                            \u{202a}\u{202e}\u{2066}\u{2069}\u{200b}\u{feff}\u{e0041}";

    #[test]
    fn nothing_can_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\n\u{202e}x\u{7f}\u{9b}"), "a\\x1b[2Jb\\n\\u{202e}x\\x7f\\u{9b}");
        assert_eq!(clean_bytes(b"ok\xff\x00", 80), "ok\\xff\\0");
        assert_eq!(clean_lines("a\n\tb\r\n"), "a\n\\tb\\r\n");
        assert!(!clean(STEERING).chars().any(is_unsafe) && !clean_lines(STEERING).chars().any(is_unsafe));
        assert_eq!(clean("Übung 日本 🦀 a\\b"), "Übung 日本 🦀 a\\b");
        assert_eq!(path(Path::new("a\n\u{9b}b")), "a\\n\\u{9b}b");
        assert_eq!(path(Path::new(std::ffi::OsStr::from_bytes(b"a\x9bb"))), "a\\x9bb");
    }

    #[test]
    fn json_stays_what_it_was() {
        let value = serde_json::json!({ STEERING: [STEERING, "é\n\"\\"] });
        let text = json(&serde_json::to_string_pretty(&value).expect("JSON"));
        assert!(!text.chars().any(|c| c != '\n' && is_unsafe(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }
}
