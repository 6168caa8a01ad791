//! Calling somebody who is not there (connect(2), ECONNREFUSED; udp(7)).

use std::collections::BTreeSet;

use super::{Finding, Rule, channel_name, name};
use crate::model::{ChannelId, Ended, Event, Kind, Names, Sym, TaskId, Via, Weight, World};

const ECONNREFUSED: i32 = 111;

/// A `connect` was refused, or a datagram came back: nobody has a socket at that address, or the one
/// who has does not listen.
#[derive(Debug, Default)]
pub(super) struct ConnectionRefused {
    told: BTreeSet<(TaskId, ChannelId)>,
}

/// The socket that is bound to an address and still there.
fn bound_to(address: Sym, world: &World) -> Option<ChannelId> {
    let is_bound = |channel: &&crate::model::Channel| {
        channel.alive && channel.socket.as_ref().is_some_and(|socket| socket.addresses[0] == Some(address))
    };
    world.channels().find(is_bound).map(|channel| channel.id)
}

/// Whether somebody had that address and is gone.
fn was_there(address: Sym, own: ChannelId, world: &World) -> bool {
    world.channels().any(|channel| {
        let socket = channel.socket.as_ref();
        channel.id != own && socket.is_some_and(|socket| socket.addresses[0] == Some(address))
    })
}

impl ConnectionRefused {
    fn refused(
        &mut self,
        event: &Event,
        channel: ChannelId,
        address: Option<Sym>,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        if !self.told.insert((event.task, channel)) {
            return None;
        }
        let who = name(event.task, world, names);
        let place = address.map_or("the address", |address| names.get(address));
        let bound = address.and_then(|address| bound_to(address, world)).filter(|bound| *bound != channel);
        let text = if let Some(bound) = bound {
            let server = channel_name(bound, world, names);
            format!(
                "{who} connects to {place}, but {server}, which is bound there, does not listen (ECONNREFUSED): \
                 call listen before anybody connects"
            )
        } else if address.is_some_and(|address| was_there(address, channel, world)) {
            format!(
                "{who} connects to {place}, but whoever listened there has gone (ECONNREFUSED): \
                 keep the listening socket open as long as clients come"
            )
        } else {
            format!(
                "{who} connects to {place}, but nobody listens there (ECONNREFUSED): \
                 start the server first and let it bind and listen, or try again later"
            )
        };
        let channels = [channel].into_iter().chain(bound).collect();
        Some(Finding { rule: self.name(), weight: Weight::Fault, text, tasks: vec![event.task], channels })
    }

    fn returned(
        &mut self,
        event: &Event,
        channel: ChannelId,
        via: Via,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        if !self.told.insert((event.task, channel)) {
            return None;
        }
        let who = name(event.task, world, names);
        let place = match via {
            Via::Socket(_, peer) => names.get(peer),
            _ => "where it sends to",
        };
        let text = format!(
            "{who} has sent a datagram, but nobody has a socket at {place} (ECONNREFUSED): \
             start the receiver first and let it bind, or try again later"
        );
        Some(Finding {
            rule: self.name(),
            weight: Weight::Fault,
            text,
            tasks: vec![event.task],
            channels: vec![channel],
        })
    }
}

impl Rule for ConnectionRefused {
    fn name(&self) -> &'static str {
        "connection-refused"
    }

    fn about(&self) -> &'static str {
        "A process connects or sends to an address where nobody listens."
    }

    fn observe(&mut self, event: &Event, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Connect { channel, address, .. } if event.errno() == Some(ECONNREFUSED) => {
                findings.extend(self.refused(event, channel, address, world, names));
            }
            Kind::Write { channel, via, .. } | Kind::Read { channel, via, .. }
                if event.errno() == Some(ECONNREFUSED) =>
            {
                findings.extend(self.returned(event, channel, via, world, names));
            }
            _ => {}
        }
    }

    fn end(&mut self, _: &World, _: &Names, _: Ended, _: &mut Vec<Finding>) {}
}

#[cfg(test)]
mod tests {
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Access, ChannelKind, End, Kind};

    fn client() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "client").create("client", "mine", ChannelKind::Tcp);
        sketch.open("client", 3, "mine", Access::ReadWrite);
        sketch
    }

    fn connect(sketch: &mut Sketch, ret: i64) {
        let (channel, address) = (sketch.channel("mine"), Some(sketch.intern("127.0.0.1:7")));
        sketch.event("client", "connect", ret, Kind::Connect { channel, to: None, address });
    }

    #[test]
    fn nobody_listens() {
        let mut sketch = client();
        connect(&mut sketch, -111);
        connect(&mut sketch, -111);
        let found = replay(&sketch.log());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].text.starts_with("client connects to 127.0.0.1:7, but nobody listens there (ECONNREFUSED)"));
        assert_eq!(found[0].channels, [sketch.channel("mine")]);
    }

    #[test]
    fn bound_and_not_listening_or_gone() {
        for (gone, what) in [(false, "but server, which is bound there, does not listen"), (true, "has gone")] {
            let mut sketch = client();
            sketch.fork("init", "other").create("other", "server", ChannelKind::Tcp);
            let (channel, address) = (sketch.channel("server"), sketch.intern("127.0.0.1:7"));
            sketch.event("other", "bind", 0, Kind::Address { channel, end: End::First, address });
            if gone {
                sketch.event("other", "", 0, Kind::Destroy { channel });
            }
            connect(&mut sketch, -111);
            assert!(replay(&sketch.log())[0].text.contains(what));
        }
    }

    #[test]
    fn other_failures_are_not_it() {
        let mut sketch = client();
        connect(&mut sketch, -115);
        connect(&mut sketch, 0);
        assert_eq!(replay(&sketch.log()), []);
    }
}
