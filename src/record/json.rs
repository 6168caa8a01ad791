//! JSON, written by hand into a buffer that is used again and again.
//!
//! A recording of a run with 200,000 one-byte writes must not cost more than the run; building a
//! tree of values for each line would.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::text::{is_unsafe, json_escape};

/// Where the parts of a line are put.
#[derive(Debug, Default)]
pub(super) struct Out {
    bytes: Vec<u8>,
}

impl Out {
    pub(super) fn raw(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(super) fn number(&mut self, number: impl itoa::Integer) {
        self.raw(itoa::Buffer::new().format(number));
    }

    /// `,"key":`, where `key` needs no escape.
    pub(super) fn key(&mut self, key: &str) {
        self.raw(",\"");
        self.raw(key);
        self.raw("\":");
    }

    pub(super) fn number_field(&mut self, key: &str, number: impl itoa::Integer) {
        self.key(key);
        self.number(number);
    }

    pub(super) fn text_field(&mut self, key: &str, text: &str) {
        self.key(key);
        self.text(text);
    }

    pub(super) fn bool_field(&mut self, key: &str, value: bool) {
        self.key(key);
        self.raw(if value { "true" } else { "false" });
    }

    pub(super) fn data_field(&mut self, key: &str, bytes: &[u8]) {
        self.key(key);
        self.data(bytes);
    }

    /// A list of which each item writes itself.
    pub(super) fn list_field<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.key(key);
        self.raw("[");
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]");
    }

    pub(super) fn texts_field<'a>(&mut self, key: &str, texts: impl IntoIterator<Item = Cow<'a, str>>) {
        self.list_field(key, texts, |out, text| out.text(&text));
    }

    /// A string, escaped where RFC 8259 demands it, and where it would not show as itself ([`crate::text`]).
    pub(super) fn text(&mut self, text: &str) {
        self.bytes.push(b'"');
        let mut done = 0;
        for (index, &byte) in text.as_bytes().iter().enumerate() {
            let escape: Cow<'_, str> = match byte {
                b'"' => "\\\"".into(),
                b'\\' => "\\\\".into(),
                b'\n' => "\\n".into(),
                b'\r' => "\\r".into(),
                b'\t' => "\\t".into(),
                // The latter are the rest of a character of several bytes.
                b' '..=b'~' | 0x80..=0xbf => continue,
                _ => match text[index..].chars().next().filter(|c| is_unsafe(*c)) {
                    Some(c) => json_escape(c).into(),
                    None => continue,
                },
            };
            self.bytes.extend_from_slice(&text.as_bytes()[done..index]);
            done = index + text[index..].chars().next().map_or(1, char::len_utf8);
            self.raw(&escape);
        }
        self.bytes.extend_from_slice(&text.as_bytes()[done..]);
        self.bytes.push(b'"');
    }

    /// Bytes: a string where they are UTF-8, else `{"b64":"…"}`.
    pub(super) fn data(&mut self, bytes: &[u8]) {
        if let Ok(text) = std::str::from_utf8(bytes) {
            self.text(text);
        } else {
            self.raw("{\"b64\":\"");
            self.raw(&BASE64.encode(bytes));
            self.raw("\"}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Out)) -> String {
        let mut out = Out::default();
        write(&mut out);
        String::from_utf8(out.bytes).expect("JSON is UTF-8")
    }

    #[test]
    fn strings_are_escaped_as_json_wants_it() {
        for text in
            ["", "plain", "a\"b\\c", "\0\u{1}\u{1f}\n\r\t", "ünï\u{2028}code 🦀", "\u{7f}", "\u{9b}x\u{202e}\u{e0041}é"]
        {
            let json = written(|out| out.text(text));
            assert!(!json.chars().any(is_unsafe), "{json:?}");
            assert_eq!(serde_json::from_str::<String>(&json).expect("valid JSON"), text);
        }
        assert_eq!(written(|out| out.text("a\"\n\u{2}")), r#""a\"\n\u0002""#);
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        assert_eq!(written(|out| out.data(b"ok")), r#""ok""#);
        assert_eq!(written(|out| out.data(&[0xff, 0])), r#"{"b64":"/wA="}"#);
    }
}
