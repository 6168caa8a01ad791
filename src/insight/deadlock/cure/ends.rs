//! Ends of channels that somebody should have closed.

use std::collections::BTreeSet;

use super::{Case, Closed, descriptors, ends};
use crate::insight::deadlock::blocked;
use crate::model::{Access, Channel, ChannelKind, Fd, TaskId, Why};

impl Case<'_> {
    /// Write ends that somebody holds who does not use them: the reader itself, or others who wait for something
    /// else, through descriptors that they have got at fork.
    pub(super) fn forgotten_ends(&self) -> (Vec<String>, Closed) {
        let mut clauses = Vec::new();
        let mut named = BTreeSet::new();
        for (reader, channel) in self.waiting(Why::Empty) {
            let Some(channel) = channel.and_then(|id| self.world.channel(id)).filter(|it| has_ends(it)) else {
                continue;
            };
            let process = self.process(reader);
            let Some(wakers) = self.circle.get(&reader) else { continue };
            let own = self.writing(process, channel.id, reader);
            if !own.is_empty() && named.insert((process, channel.id)) {
                clauses.push(self.close_own(reader, channel, &own));
            }
            if is_for_both(channel, &own) {
                // Who opens it so does not wait for its end: what the others hold is right.
                named.extend(wakers.iter().map(|waker| (self.process(*waker), channel.id)));
                continue;
            }
            for other in wakers.iter().filter(|other| self.process(**other) != process) {
                let fds = self.writing(*other, channel.id, reader);
                let deliberate = fds.iter().any(|fd| fd.fd <= 2);
                // Of what nobody has written to yet, one may be the writer.
                let crowded = (!own.is_empty() && channel.written > 0) || wakers.len() > 2;
                let forgets = if self.does_transfer(*other) { crowded && !deliberate } else { true };
                let waits_for_writers = self.waits_for_those(*other, wakers, process);
                if forgets && !waits_for_writers && !fds.is_empty() && named.insert((*other, channel.id)) {
                    clauses.push(self.close(*other, channel, &fds));
                }
            }
        }
        (clauses, named)
    }

    /// Whether a process only waits for the end of others of those who hold the end too: as a shell for its
    /// pipeline. It is none that has forgotten anything.
    fn waits_for_those(&self, process: TaskId, wakers: &[TaskId], reader: TaskId) -> bool {
        let mut threads = self.circle.iter().filter(|(id, _)| self.process(**id) == process).peekable();
        threads.peek().is_some()
            && threads.all(|(id, awaited)| {
                let for_child = blocked(*id, self.world).is_some_and(|it| matches!(it.why, Why::Child | Why::Signal));
                for_child
                    && awaited.iter().all(|child| {
                        self.process(*child) != reader && wakers.iter().any(|waker| self.process(*waker) == *child)
                    })
            })
    }

    /// Whether a process waits to read or to write, and so may be about to use what it holds.
    fn does_transfer(&self, process: TaskId) -> bool {
        let mut waits = self.circle.keys().filter(|id| self.process(**id) == process);
        waits.any(|id| {
            blocked(*id, self.world)
                .is_some_and(|it| matches!(it.why, Why::Empty | Why::Full | Why::Poll | Why::NoPeer))
        })
    }

    fn close_own(&self, reader: TaskId, channel: &Channel, fds: &[Fd]) -> String {
        let (who, p) = (self.name(reader), self.channel(channel.id));
        if channel.kind.is_socket() {
            return if self.world.end_held(reader, channel.id).is_some() {
                format!("{who} must close {} (the other end of {p}) before it reads", descriptors(fds))
            } else {
                format!(
                    "{who} must close the end of {p} that it does not use (it holds both: {}) before it reads",
                    descriptors(fds)
                )
            };
        }
        if is_for_both(channel, fds) && channel.written > 0 {
            return format!(
                "somebody must write to {p} before {who} reads once more ({} of {who} is open for both): whoever takes \
                 a byte or a line from it must put one back",
                descriptors(fds)
            );
        }
        if is_for_both(channel, fds) {
            return format!(
                "somebody must write to {p} before {who} reads, or, if {who} waits for end-of-file, it must open {p} for \
                 reading only ({} can write too)",
                descriptors(fds)
            );
        }
        let only: Vec<Fd> = fds.iter().filter(|fd| fd.access == Access::Write).copied().collect();
        let only = if only.is_empty() { fds.to_vec() } else { only };
        format!("{who} must close {} ({}) before it reads", descriptors(&only), ends(&only, p))
    }

    fn close(&self, process: TaskId, channel: &Channel, fds: &[Fd]) -> String {
        let (who, p, before) = (self.name(process), self.channel(channel.id), self.before(process));
        if channel.kind.is_socket() {
            return format!(
                "{who} must say with shutdown(2) on {} that no more comes through {p}, or close it, {before}",
                descriptors(fds)
            );
        }
        format!("{who} must close {} ({}) {before}", descriptors(fds), ends(fds, p))
    }
}

/// Whether a FIFO is open for reading and for writing at once (fifo(7)), and not for writing alone.
fn is_for_both(channel: &Channel, own: &[Fd]) -> bool {
    !own.is_empty() && channel.kind.is_pipe() && own.iter().all(|fd| fd.access == Access::ReadWrite)
}

/// Whether it has ends of which somebody may have forgotten one.
pub(super) fn has_ends(channel: &Channel) -> bool {
    channel.kind.is_pipe()
        || (matches!(channel.kind, ChannelKind::Unix | ChannelKind::Tcp) && !channel.takes_from_all())
}
