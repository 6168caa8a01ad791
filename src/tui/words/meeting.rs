//! Events at sockets, queues, semaphores, locks and shared memory in words.

use super::Words;
use crate::model::{Access, ChannelId, End, Event, Kind, LockMode, Mark, Via};

impl Words<'_> {
    /// The event in as few words as will do; empty for one of another kind.
    pub(super) fn brief_meeting(&self, event: &Event) -> String {
        match event.kind {
            Kind::Pass { fd, channel, from, .. } => {
                let from = from.map_or_else(String::new, |from| format!(" from {}", self.task(from)));
                format!("gets {}{from} as {fd}", self.channel(channel))
            }
            Kind::Unlink { channel } => format!("removes {}", self.channel(channel)),
            Kind::Get { channel, id } => format!("{} {} is id {id}", self.call(event, "get"), self.channel(channel)),
            Kind::Attach { channel, bytes, .. } => format!("maps {bytes} B of {}", self.channel(channel)),
            Kind::Detach { channel, bytes, .. } => format!("unmaps {bytes} B of {}", self.channel(channel)),
            Kind::Drop { channel, bytes } => format!("{bytes} B for {} are lost", self.channel(channel)),
            Kind::Address { channel, end, address } => {
                format!("{} is {}", self.socket_end(channel, end), self.sym(address))
            }
            Kind::Listen { channel, backlog } => format!("listen {}: {backlog} may wait", self.channel(channel)),
            Kind::Connect { channel, to, address } => {
                let address = || address.map_or_else(String::new, |address| format!(" to {}", self.sym(address)));
                let to = to.map_or_else(address, |to| format!(" to {}", self.channel(to)));
                format!("connect {}{to}", self.channel(channel))
            }
            Kind::Accept { channel, connection } => {
                format!("accept {} at {}", self.channel(connection), self.channel(channel))
            }
            Kind::Shutdown { channel, end, how } => {
                let what = match how {
                    Access::Read => "reading",
                    Access::Write => "writing",
                    _ => "both ways",
                };
                format!("shutdown {}: {what}", self.socket_end(channel, end))
            }
            Kind::Sem { channel, index, delta, value, undo } => {
                let undo = if undo { ", undone at exit" } else { "" };
                format!("{} {} {delta:+} is {value}{undo}", self.call(event, "sem"), self.semaphore(channel, index))
            }
            Kind::Lock { channel, mode, start, len, .. } => {
                let what = match mode {
                    LockMode::Read => "read lock",
                    LockMode::Write => "write lock",
                    LockMode::Unlock => "unlock",
                };
                format!("{what} {}{}", self.channel(channel), range(start, len))
            }
            Kind::Load { channel, offset, data } => {
                format!("load {}[{offset}] = {}", self.channel(channel), number(self.log.bytes(data)))
            }
            Kind::Store { channel, offset, data } => {
                let bytes = self.log.bytes(data);
                let (old, new) = bytes.split_at(bytes.len() / 2);
                format!("store {}[{offset}] {} → {}", self.channel(channel), number(old), number(new))
            }
            Kind::Limit { limit, value, .. } => format!("past {}, which is {value}", self.sym(limit)),
            _ => String::new(),
        }
    }

    /// A semaphore: the name of its set, with its number where the set has several.
    pub fn semaphore(&self, channel: ChannelId, index: u32) -> String {
        let several = self.log.head().channel(channel).is_some_and(|channel| channel.semaphores.len() > 1);
        let name = self.channel(channel);
        if several || index > 0 { format!("{name}[{index}]") } else { name }
    }

    fn socket_end(&self, channel: ChannelId, end: End) -> String {
        let name = self.channel(channel);
        if end == End::Second { format!("{name} (second end)") } else { name }
    }

    /// What a message carries besides its bytes, in front of a blank; nothing for bytes in a row.
    pub fn mark(&self, via: Via) -> String {
        match via.mark() {
            Mark::None => String::new(),
            Mark::Type(kind) => format!(" type {kind}"),
            Mark::Priority(priority) => format!(" priority {priority}"),
            Mark::Peer(peer) => format!(" from {}", self.sym(peer)),
        }
    }
}

/// ` 0 to the end`, ` 10 to 19`: the bytes that a lock covers.
pub fn range(start: u64, len: u64) -> String {
    match len {
        0 if start == 0 => String::new(),
        0 => format!(" from {start}"),
        1 => format!(" {start}"),
        _ => format!(" {start} to {}", start.saturating_add(len - 1)),
    }
}

/// Bytes that one instruction moves: a number where they are as long as one, else what they are.
fn number(bytes: &[u8]) -> String {
    if matches!(bytes.len(), 1 | 2 | 4 | 8) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        return i64::from_le_bytes(whole).to_string();
    }
    format!("\"{}\"", super::super::text::clean_bytes(bytes, 40))
}
