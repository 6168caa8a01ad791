//! Events at sockets, queues, semaphores, locks and shared memory in words.

use super::Words;
use crate::model::{Access, ChannelId, End, Event, Kind, LockKind, LockMode, Mark, Told, Via};

impl Words<'_> {
    /// The event in as few words as will do; empty for one of another kind.
    pub(super) fn brief_meeting(&self, seq: u64, event: &Event) -> String {
        match event.kind {
            Kind::Pass { fd, channel, from, access, .. } => {
                let from = from.map_or_else(String::new, |from| format!(" from {}", self.task(from)));
                format!("gets {}{from} as {fd}", self.end(channel, access))
            }
            Kind::Unlink { channel } => format!("removes the name {}", self.channel(channel)),
            Kind::Get { channel, id } => format!("{} {}: id {id}", self.call(event, "get"), self.channel(channel)),
            Kind::Attach { channel, bytes, access, .. } => {
                let only = if access == Access::Read { " to read" } else { "" };
                format!("maps {bytes} B of {}{only}", self.channel(channel))
            }
            Kind::Detach { channel, bytes, .. } => format!("unmaps {bytes} B of {}", self.channel(channel)),
            Kind::Copied { channel, bytes } => {
                format!("{bytes} B of what it wrote to {} waited in a buffer at the fork", self.channel(channel))
            }
            Kind::Drop { channel, bytes } => format!("{bytes} B for {} lost: no room", self.channel(channel)),
            Kind::Lock { channel, kind, mode, start, len, .. } => {
                let what = match (kind, mode) {
                    (_, LockMode::Unlock) => "unlocks",
                    (LockKind::Flock, LockMode::Read) => "shared flock on",
                    (LockKind::Flock, LockMode::Write) => "exclusive flock on",
                    (_, LockMode::Read) => "read lock on",
                    (_, LockMode::Write) => "write lock on",
                };
                let bytes = if kind == LockKind::Flock { String::new() } else { range(start, len) };
                let ofd = if kind == LockKind::Description { " (OFD)" } else { "" };
                format!("{what} {}{bytes}{ofd}", self.channel(channel))
            }
            Kind::Monitor { channel, told } => self.told(channel, told),
            Kind::Load { .. } | Kind::Store { .. } => match self.index.burst(seq) {
                Some(last) => self.burst(seq, last, event),
                None => self.access(event),
            },
            _ => self.brief_socket(event),
        }
    }

    /// What a descriptor tells of that tells of something else.
    fn told(&self, channel: ChannelId, told: Told) -> String {
        let name = self.channel(channel);
        match told {
            Told::Count { count, .. } => format!("{name}: count {count}"),
            Told::Signals(mask) => {
                let signals: Vec<String> = mask.iter().map(|signal| signal.to_string()).collect();
                format!("{name} takes {}", signals.join(" "))
            }
            Told::Timer { left: 0, ticks: 0, .. } => format!("{name} is disarmed"),
            Told::Timer { ticks: 0, .. } => format!("{name} is armed"),
            Told::Timer { ticks, .. } => format!("{name} has expired: {ticks}"),
            Told::Task(Some(task)) => format!("{name} is of {}", self.task(task)),
            Told::Unseen(count) => format!("{name} holds {count} from before the run"),
            Told::Terminal(asked) => {
                // Of the lab's own terminal only its mode is told.
                if !self.is_pty(channel) {
                    let mode = if asked.canonical { "line by line" } else { "byte by byte" };
                    return format!("{name} is read {mode}");
                }
                let sides = [("master", asked.output), ("slave", asked.input)];
                let waits = sides.iter().filter_map(|(side, count)| Some((side, count.filter(|count| *count > 0)?)));
                let waits: Vec<String> = waits.map(|(side, count)| format!("{count} B for the {side}")).collect();
                if waits.is_empty() {
                    format!("{name}: nothing waits")
                } else {
                    format!("{name}: {}", waits.join(", "))
                }
            }
            Told::Task(None) => format!("{name} is of a process outside"),
            Told::Interest { fd, to, events } => {
                let of = to.map_or_else(|| format!("descriptor {fd}"), |to| self.channel(to));
                if events == 0 { format!("{name} forgets {of}") } else { format!("{name} watches {of}") }
            }
        }
    }

    fn brief_socket(&self, event: &Event) -> String {
        match event.kind {
            Kind::Address { channel, end, address } => {
                let verb = if self.calls(event, "bind") { "bind" } else { "address of" };
                format!("{verb} {}: {}", self.socket_end(channel, end), self.sym(address))
            }
            Kind::Limit { limit, value, asked: 0 } => format!("past the limit {}: {value}", self.sym(limit)),
            Kind::Limit { limit, value, asked } => {
                format!("past the limit {}: {value}, wanted {asked}", self.sym(limit))
            }
            Kind::Listen { channel, backlog } => format!("listen {}: {backlog} may wait", self.channel(channel)),
            Kind::Connect { channel, to, address } => {
                let address = || address.map_or_else(String::new, |address| format!(" to {}", self.sym(address)));
                let to = to.map_or_else(address, |to| format!(" to {}", self.channel(to)));
                format!("connect {}{to}", self.channel(channel))
            }
            Kind::Accept { channel, connection } => {
                format!("accept {} from {}", self.channel(connection), self.channel(channel))
            }
            // Nobody holds that end any more.
            Kind::Shutdown { channel, end, how: Access::ReadWrite } if !self.calls(event, "shutdown") => {
                format!("{} is closed", self.socket_end(channel, end))
            }
            Kind::Shutdown { channel, end, how } => {
                let what = match how {
                    Access::Read => "no more reading",
                    Access::Write => "no more writing",
                    _ => "neither reading nor writing",
                };
                format!("shutdown {}: {what}", self.socket_end(channel, end))
            }
            Kind::Sem { channel, index, delta, value, undo } => {
                let name = self.semaphore(channel, index);
                let was = i64::from(value) - i64::from(delta);
                let call = event.call.map(|call| self.sym(call));
                match call.as_deref() {
                    // Without a call: a POSIX semaphore, or the kernel takes back what was done.
                    None if undo => format!("undo of {name} {delta:+}: {was} → {value}"),
                    None => format!("{name} {delta:+}: {was} → {value}"),
                    Some(call @ ("semop" | "semtimedop")) if delta == 0 => format!("{call} {name}: it is 0"),
                    Some(call @ ("semop" | "semtimedop")) => {
                        let undo = if undo { ", undone at exit" } else { "" };
                        format!("{call} {name} {delta:+}: {was} → {value}{undo}")
                    }
                    Some(call) => format!("{call} {name}: set to {value}"),
                }
            }
            _ => String::new(),
        }
    }

    fn calls(&self, event: &Event, name: &str) -> bool {
        event.call.is_some_and(|call| self.log.name(call) == name)
    }

    /// One access to memory; empty for anything else.
    pub fn access(&self, event: &Event) -> String {
        match event.kind {
            Kind::Load { channel, offset, data } => {
                format!("load {}[{offset}] = {}", self.channel(channel), number(self.log.bytes(data)))
            }
            Kind::Store { channel, .. } => format!("store {}{}", self.channel(channel), self.change(event)),
            _ => String::new(),
        }
    }

    /// What a store changed, without the name of the memory: `[0] 4 → 5`.
    pub fn change(&self, event: &Event) -> String {
        let Kind::Store { offset, data, .. } = event.kind else { return String::new() };
        let bytes = self.log.bytes(data);
        let (old, new) = bytes.split_at(bytes.len() / 2);
        format!("[{offset}] {} → {}", number(old), number(new))
    }

    /// What an access found or left in memory; of several in one row, how many they are.
    pub fn value(&self, seq: u64, event: &Event) -> String {
        if let Some(last) = self.index.burst(seq) {
            return format!("×{}", last - seq + 1);
        }
        match event.kind {
            Kind::Load { data, .. } => number(self.log.bytes(data)),
            Kind::Store { data, .. } => {
                let bytes = self.log.bytes(data);
                number(&bytes[bytes.len() / 2..])
            }
            _ => String::new(),
        }
    }

    /// Several accesses in one row: a copy, or somebody who looks again and again.
    fn burst(&self, first: u64, last: u64, event: &Event) -> String {
        let times = last - first + 1;
        let place = |event: &Event| match event.kind {
            Kind::Load { offset, data, .. } => Some((offset, u64::from(data.len))),
            Kind::Store { offset, data, .. } => Some((offset, u64::from(data.len / 2))),
            _ => None,
        };
        let (from, to) = (place(event), self.log.get(last).and_then(place));
        match (from, to, event.kind.channel()) {
            (Some((from, _)), Some((to, len)), Some(channel)) if to > from => {
                let end = to.saturating_add(len).saturating_sub(1);
                format!("{} {}[{from} to {end}] in {times} steps", event.kind.name(), self.channel(channel))
            }
            _ => format!("{}, {times} times", self.access(event)),
        }
    }

    /// A semaphore: the name of its set, with its number where the set has several.
    pub fn semaphore(&self, channel: ChannelId, index: u32) -> String {
        let several = self
            .log
            .head()
            .channel(channel)
            .is_some_and(|channel| channel.semaphores.len() > 1 || channel.capacity > 1);
        let name = self.channel(channel);
        if several || index > 0 { format!("{name}[{index}]") } else { name }
    }

    fn socket_end(&self, channel: ChannelId, end: End) -> String {
        let name = self.channel(channel);
        if end == End::Second { format!("{name} (second end)") } else { name }
    }

    /// What a message carries besides its bytes: `type 3`; nothing for bytes in a row.
    pub fn mark(&self, mark: Mark) -> String {
        match mark {
            Mark::None => String::new(),
            Mark::Type(kind) => format!("type {kind}"),
            Mark::Priority(priority) => format!("priority {priority}"),
            Mark::Peer(peer) => format!("from {}", self.sym(peer)),
        }
    }

    /// The mark of a transfer, in front of a blank. Who writes a datagram needs not be told its own
    /// address.
    pub(super) fn mark_after(&self, event: &Event, via: Via) -> String {
        match (event.kind, via.mark()) {
            (_, Mark::None) | (Kind::Write { .. }, Mark::Peer(_)) => String::new(),
            (_, mark) => format!(" {}", self.mark(mark)),
        }
    }
}

/// ` from 10`, ` 10 to 19`: the bytes that a lock covers; nothing for all of them.
pub(super) fn range(start: u64, len: u64) -> String {
    match len {
        0 if start == 0 => String::new(),
        0 => format!(" from {start}"),
        1 => format!(" byte {start}"),
        _ => format!(" {start} to {}", start.saturating_add(len - 1)),
    }
}

/// Bytes that one instruction moves: a number where they are as long as one, else what they are.
fn number(bytes: &[u8]) -> String {
    let is_text = bytes.len() > 2 && bytes.iter().all(|byte| (0x20..0x7f).contains(byte));
    if !is_text && matches!(bytes.len(), 1 | 2 | 4 | 8) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        return i64::from_le_bytes(whole).to_string();
    }
    format!("\"{}\"", super::super::text::clean_bytes(bytes, 40))
}
