//! JSON, written by hand into a buffer that is used again and again.
//!
//! A recording of a run with 200,000 one-byte writes must not cost more than the run; building a
//! tree of values for each line would.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

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

    /// A string, escaped where RFC 8259 demands it and nowhere else.
    pub(super) fn text(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.bytes.push(b'"');
        let source = text.as_bytes();
        let mut done = 0;
        for (index, &byte) in source.iter().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.bytes.extend_from_slice(&source[done..index]);
            done = index + 1;
            match byte {
                b'"' => self.raw("\\\""),
                b'\\' => self.raw("\\\\"),
                b'\n' => self.raw("\\n"),
                b'\r' => self.raw("\\r"),
                b'\t' => self.raw("\\t"),
                _ => {
                    self.raw("\\u00");
                    self.bytes.push(HEX[usize::from(byte >> 4)]);
                    self.bytes.push(HEX[usize::from(byte & 15)]);
                }
            }
        }
        self.bytes.extend_from_slice(&source[done..]);
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
        for text in ["", "plain", "a\"b\\c", "\0\u{1}\u{1f}\n\r\t", "ünï\u{2028}code 🦀", "\u{7f}"] {
            let json = written(|out| out.text(text));
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
