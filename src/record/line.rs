//! The shape of a line, before anything in it is looked up.
//!
//! One struct has the fields of all events: `serde_json` fills it without building a tree, strings
//! without escapes are borrowed from the line, and fields that nobody knows are passed over.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::readiness::PolledLine;

/// A string, borrowed where it has no escapes. (`Option<Cow<str>>` would always copy.)
#[derive(Debug)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

/// A string of bytes: UTF-8, or `{"b64":"…"}`.
#[derive(Debug)]
pub(super) struct Data<'a>(pub Cow<'a, [u8]>);

/// A field that is a number in some events and a string in others: `to` is a descriptor in `dup` and a
/// task in `reparent`, `type` belongs to messages and to locks.
#[derive(Debug)]
pub(super) enum To<'a> {
    Number(i64),
    Text(Cow<'a, str>),
}

/// The header line.
#[derive(Debug, Deserialize)]
pub(super) struct HeaderLine {
    #[serde(default)]
    pub version: String,
    pub scenario: Option<String>,
    pub command: Option<Vec<String>>,
    #[serde(default)]
    pub kernel: String,
    #[serde(default)]
    pub arch: String,
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub mode: String,
    pub source: Option<String>,
    pub lab: String,
    #[serde(default)]
    pub lab_pid: i32,
}

/// What even a line of an unknown event has.
#[derive(Debug, Deserialize)]
pub(super) struct Stub<'a> {
    pub seq: u64,
    #[serde(borrow)]
    pub event: Text<'a>,
}

/// Any event.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    pub seq: u64,
    pub t: u64,
    #[serde(borrow)]
    pub task: Text<'a>,
    #[serde(borrow)]
    pub event: Text<'a>,
    #[serde(borrow)]
    pub call: Option<Text<'a>>,
    pub ret: Option<i64>,

    #[serde(borrow)]
    pub access: Option<Text<'a>>,
    #[serde(borrow)]
    pub address: Option<Text<'a>>,
    #[serde(borrow)]
    pub args: Option<Data<'a>>,
    #[serde(borrow)]
    pub argv: Option<Vec<Data<'a>>>,
    pub asked: Option<u64>,
    pub at: Option<u64>,
    pub autodisarm: Option<bool>,
    pub backlog: Option<u32>,
    #[serde(borrow)]
    pub blocked: Option<Vec<Text<'a>>>,
    pub bytes: Option<u64>,
    pub capacity: Option<u64>,
    #[serde(borrow)]
    pub channel: Option<Text<'a>>,
    #[serde(borrow)]
    pub channels: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub child: Option<Text<'a>>,
    #[serde(borrow)]
    pub change: Option<Text<'a>>,
    pub child_pid: Option<i32>,
    pub clock: Option<i32>,
    pub cloexec: Option<bool>,
    pub code: Option<i32>,
    pub columns: Option<u16>,
    #[serde(borrow)]
    pub connection: Option<Text<'a>>,
    pub core: Option<bool>,
    pub count: Option<u64>,
    #[serde(borrow)]
    pub data: Option<Data<'a>>,
    pub delta: Option<i32>,
    pub description: Option<u64>,
    #[serde(borrow)]
    pub disposition: Option<Text<'a>>,
    #[serde(borrow)]
    pub end: Option<Text<'a>>,
    #[serde(borrow)]
    pub events: Option<Vec<Text<'a>>>,
    pub fd: Option<i32>,
    #[serde(borrow)]
    pub flags: Option<Vec<Text<'a>>>,
    pub found: Option<bool>,
    #[serde(borrow)]
    pub from: Option<Text<'a>>,
    #[serde(borrow)]
    pub how: Option<Text<'a>>,
    pub id: Option<i32>,
    pub index: Option<u32>,
    pub interval: Option<u64>,
    #[serde(borrow)]
    pub kind: Option<Text<'a>>,
    pub label: Option<bool>,
    pub left: Option<u64>,
    pub len: Option<u64>,
    #[serde(borrow)]
    pub limit: Option<Text<'a>>,
    #[serde(rename = "line")]
    pub number: Option<u32>,
    #[serde(borrow)]
    pub mask: Option<Vec<Text<'a>>>,
    pub messages: Option<bool>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    pub now: Option<u64>,
    pub offset: Option<u64>,
    #[serde(borrow)]
    pub old: Option<Data<'a>>,
    #[serde(borrow)]
    pub on: Option<Text<'a>>,
    #[serde(borrow)]
    pub path: Option<Text<'a>>,
    #[serde(borrow)]
    pub peer: Option<Text<'a>>,
    pub pgid: Option<i32>,
    #[serde(borrow)]
    pub phase: Option<Text<'a>>,
    #[serde(borrow)]
    pub polled: Option<Vec<PolledLine<'a>>>,
    pub position: Option<u64>,
    pub positioned: Option<bool>,
    pub priority: Option<u32>,
    pub rows: Option<u16>,
    #[serde(borrow)]
    pub queue: Option<Text<'a>>,
    #[serde(borrow)]
    pub ready: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub rule: Option<Text<'a>>,
    #[serde(borrow)]
    pub weight: Option<Text<'a>>,
    pub output: Option<u32>,
    pub input: Option<u32>,
    pub canonical: Option<bool>,
    pub semaphore: Option<bool>,
    #[serde(borrow)]
    pub set: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub shares: Option<Vec<Text<'a>>>,
    pub sid: Option<i32>,
    #[serde(borrow)]
    pub signal: Option<Text<'a>>,
    pub start: Option<u64>,
    #[serde(borrow)]
    pub tasks: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub text: Option<Text<'a>>,
    pub ticks: Option<u64>,
    pub timeout: Option<bool>,
    #[serde(borrow)]
    pub then: Option<Text<'a>>,
    #[serde(borrow)]
    pub to: Option<To<'a>>,
    #[serde(borrow, rename = "type")]
    pub type_: Option<To<'a>>,
    pub undo: Option<bool>,
    pub unseen: Option<u64>,
    pub value: Option<i64>,
    #[serde(borrow)]
    pub why: Option<Text<'a>>,
    #[serde(borrow)]
    pub word: Option<Text<'a>>,
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(TextVisitor).map(Self)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(DataVisitor).map(Self)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or {\"b64\": …}")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text.as_bytes()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.as_bytes().to_vec()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (Some("b64"), coded) = (map.next_key::<Text<'_>>()?.as_deref(), map.next_value::<Text<'_>>()?) else {
            return Err(Error::custom("bytes other than {\"b64\": …}"));
        };
        if map.next_key::<Text<'_>>()?.is_some() {
            return Err(Error::custom("bytes other than {\"b64\": …}"));
        }
        BASE64.decode(coded.as_bytes()).map(Cow::Owned).map_err(|_| Error::custom("bytes that are not base64"))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for To<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ToVisitor)
    }
}

struct ToVisitor;

impl<'de> Visitor<'de> for ToVisitor {
    type Value = To<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a name")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(To::Number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        i64::try_from(number).map(To::Number).map_err(|_| Error::custom("a number that is too large"))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(To::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(To::Text(Cow::Owned(text.to_owned())))
    }
}
