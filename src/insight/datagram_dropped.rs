//! The datagram that never arrives (udp(7); socket(7), `SO_RCVBUF`).

use std::collections::BTreeSet;

use super::{Finding, Rule, channel_name, name};
use crate::model::{ChannelId, Ended, Event, Kind, Names, Weight, World};

/// The kernel threw a datagram away, because the receiver had no room for it.
#[derive(Debug, Default)]
pub(super) struct DatagramDropped {
    told: BTreeSet<ChannelId>,
}

impl Rule for DatagramDropped {
    fn name(&self) -> &'static str {
        "datagram-dropped"
    }

    fn about(&self) -> &'static str {
        "A datagram is thrown away, because its receiver has no room, and nobody is told."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let Kind::Drop { channel, bytes } = event.kind else { return };
        if !self.told.insert(channel) {
            return;
        }
        let (who, to) = (name(event.task, world, names), channel_name(channel, world, names));
        let text = format!(
            "{who} sent {bytes} B to {to}, which had no room: the kernel threw them away, and nobody is told; \
             let the receiver read faster or have more room (SO_RCVBUF), or send again what is not answered"
        );
        findings.push(Finding {
            rule: self.name(),
            weight: Weight::Fault,
            text,
            tasks: vec![event.task],
            channels: vec![channel],
        });
    }

    fn end(&mut self, _: &World, _: &Names, _: Ended, _: &mut Vec<Finding>) {}
}

#[cfg(test)]
mod tests {
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Blob, ChannelKind, Kind, Via};

    #[test]
    fn it_is_told_once_for_each_receiver() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "sender").create("sender", "inbox", ChannelKind::Udp);
        let channel = sketch.channel("inbox");
        for _ in 0..3 {
            let kind = Kind::Write { channel, via: Via::Fd(3), bytes: 500, data: Blob::EMPTY };
            sketch.event("sender", "sendto", 500, kind);
            sketch.event("sender", "sendto", 500, Kind::Drop { channel, bytes: 500 });
        }
        let found = replay(&sketch.log());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].text.starts_with("sender sent 500 B to inbox, which had no room"), "{}", found[0].text);
        assert_eq!(found[0].tasks, [sketch.task("sender")]);
    }
}
