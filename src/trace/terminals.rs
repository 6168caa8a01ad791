//! Terminals, which work on what they are given a little later than everything else.

use super::tracer::Tracer;
use crate::model::{Channel, ChannelKind};
use crate::sys::peek;

impl Tracer {
    /// Lets every terminal of a scenario take in what was written into its other side. Returns whether
    /// there is one at all.
    pub fn deliver_to_terminals(&self) -> bool {
        if self.scenario.is_none() {
            return false;
        }
        let is_open =
            |channel: &&Channel| channel.alive && channel.holders > 0 && channel.kind == ChannelKind::Terminal;
        let mut any = false;
        for channel in self.world().channels().filter(is_open) {
            let holder = self.world().holders(channel.id).next();
            let borrowed = holder.and_then(|(task, fd)| peek::borrow(*self.tids.get(&task.id)?, fd.fd).ok());
            any |= borrowed.is_some_and(|fd| {
                peek::deliver_to_terminal(&fd);
                true
            });
        }
        any
    }
}
