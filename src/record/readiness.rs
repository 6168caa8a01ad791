//! What sleepers want and what descriptors tell of: fields out, fields in.

use std::io;

use serde::Deserialize;

use super::line::{Line, Text, To};
use super::resolve::{Resolver, need, parse, signal, unknown};
use super::words;
use super::writer::Writer;
use crate::model::{Access, Asked, Blob, ChannelId, End, LockKind, LockMode, Polled, Told, Wanted, Word};

/// The side of a terminal that an end is.
const fn terminal_end(end: End) -> &'static str {
    match end {
        End::First => "master",
        End::Second => "slave",
    }
}

/// One of several descriptors that are waited for.
#[derive(Debug, Deserialize)]
pub(super) struct PolledLine<'a> {
    pub fd: i32,
    #[serde(borrow)]
    pub channel: Option<Text<'a>>,
    #[serde(borrow)]
    pub access: Text<'a>,
}

impl<W: io::Write> Writer<W> {
    /// What exactly a sleeper wants.
    pub(super) fn wanted_fields(&mut self, payload: &[u8]) {
        match Wanted::from_bytes(payload) {
            Wanted::Nothing => {}
            Wanted::Operation { index, delta } => {
                self.lines.number_field("index", index);
                self.lines.number_field("delta", delta);
            }
            Wanted::Lock { fd, kind, mode, start, len } => {
                self.lines.number_field("fd", fd);
                self.lines.text_field("kind", kind.as_str());
                self.lines.text_field("type", mode.as_str());
                self.lines.number_field("start", start);
                self.lines.number_field("len", len);
            }
            Wanted::Message(kind) => self.lines.number_field("type", kind),
            Wanted::Word { of, at } => {
                self.lines.text_field("word", of.as_str());
                self.lines.number_field("at", at);
            }
            Wanted::Ready { polled } => {
                let channels = &self.channels;
                self.lines.list_field("polled", polled, |out, one| {
                    out.raw("{\"fd\":");
                    out.number(one.fd);
                    if let Some(channel) = one.channel {
                        out.key("channel");
                        out.raw(channels.get(channel.index()).map_or("\"?\"", |name| name));
                    }
                    out.text_field("access", one.access.as_str());
                    out.raw("}");
                });
            }
        }
    }

    /// What a descriptor tells of.
    pub(super) fn monitor_fields(&mut self, channel: ChannelId, told: Told) {
        self.channel(Some(channel));
        match told {
            Told::Count { count, semaphore } => {
                self.lines.number_field("count", count);
                if semaphore {
                    self.lines.bool_field("semaphore", true);
                }
            }
            Told::Signals(mask) => self.set("mask", mask),
            Told::Timer { left, interval, ticks } => {
                self.lines.number_field("left", left);
                self.lines.number_field("interval", interval);
                self.lines.number_field("ticks", ticks);
            }
            Told::Task(task) => {
                if let Some(task) = task {
                    self.task("on", task);
                }
            }
            Told::Unseen(count) => self.lines.number_field("unseen", count),
            Told::Terminal(asked) => {
                for (key, count) in [("output", asked.output), ("input", asked.input)] {
                    if let Some(count) = count {
                        self.lines.number_field(key, count);
                    }
                }
                if asked.canonical {
                    self.lines.bool_field("canonical", true);
                }
                let ends = [End::First, End::Second].into_iter().filter(|end| asked.ready[end.index()]);
                self.lines.texts_field("ready", ends.map(|end| terminal_end(end).into()));
            }
            Told::Interest { fd, to, events } => {
                self.lines.number_field("fd", fd);
                if let Some(to) = to {
                    self.channel_field("to", to);
                }
                self.lines.texts_field("events", words::poll_events(events));
            }
        }
    }
}

impl Resolver {
    /// What exactly a sleeper wants.
    pub(super) fn wanted(&mut self, line: &Line<'_>) -> Result<Blob, String> {
        let wanted = if let Some(list) = &line.polled {
            let polled = list.iter().map(|one| self.polled(one)).collect::<Result<_, _>>()?;
            Wanted::Ready { polled }
        } else if let Some(word) = &line.word {
            Wanted::Word {
                of: parse(Some(word), "word", |word| Some(Word::parse(word).unwrap_or(Word::Unknown)))?,
                at: need(line.at, "at")?,
            }
        } else if let Some(kind) = &line.kind {
            let mode = match &line.type_ {
                Some(To::Text(mode)) => LockMode::parse(mode).ok_or_else(|| unknown("type of lock", mode))?,
                _ => return Err("the field `type` is missing".to_owned()),
            };
            Wanted::Lock {
                fd: need(line.fd, "fd")?,
                kind: parse(Some(kind), "kind", LockKind::parse)?,
                mode,
                start: need(line.start, "start")?,
                len: need(line.len, "len")?,
            }
        } else if let Some(To::Number(kind)) = line.type_ {
            Wanted::Message(kind)
        } else if let Some((index, delta)) = line.index.zip(line.delta) {
            Wanted::Operation { index, delta }
        } else {
            return Ok(Blob::EMPTY);
        };
        Ok(self.pen.keep(&wanted.to_bytes()))
    }

    fn polled(&self, one: &PolledLine<'_>) -> Result<Polled, String> {
        let channel = one.channel.as_ref().map(|name| self.channel_called(name)).transpose()?;
        Ok(Polled { fd: one.fd, channel, access: parse(Some(&one.access), "access", Access::parse)? })
    }

    /// What a descriptor tells of.
    pub(super) fn told(&self, line: &Line<'_>) -> Result<Told, String> {
        Ok(if let Some(count) = line.count {
            Told::Count { count, semaphore: line.semaphore.unwrap_or_default() }
        } else if let Some(unseen) = line.unseen {
            Told::Unseen(unseen)
        } else if let Some(ready) = &line.ready {
            let ends = [End::First, End::Second];
            if let Some(word) = ready.iter().find(|word| !ends.map(terminal_end).contains(&&***word)) {
                return Err(unknown("end of a terminal", word));
            }
            let is_ready = |end| ready.iter().any(|word| **word == *terminal_end(end));
            let canonical = line.canonical.unwrap_or_default();
            Told::Terminal(Asked { output: line.output, input: line.input, canonical, ready: ends.map(is_ready) })
        } else if let Some(mask) = &line.mask {
            Told::Signals(mask.iter().map(|word| signal(word)).collect::<Result<_, _>>()?)
        } else if let Some(left) = line.left {
            Told::Timer { left, interval: line.interval.unwrap_or(0), ticks: line.ticks.unwrap_or(0) }
        } else if let Some(words) = &line.events {
            let mut events = 0;
            for word in words {
                events |= words::poll_event(word).ok_or_else(|| unknown("event", word))?;
            }
            let to = match &line.to {
                Some(To::Text(to)) => Some(self.channel_called(to)?),
                Some(To::Number(_)) => return Err("`to` is not the name of a channel".to_owned()),
                None => None,
            };
            Told::Interest { fd: need(line.fd, "fd")?, to, events }
        } else {
            Told::Task(line.on.as_ref().map(|on| self.task(on)).transpose()?)
        })
    }
}
