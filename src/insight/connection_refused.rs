//! Calling somebody who is not there (connect(2), ECONNREFUSED; udp(7)).

use std::collections::BTreeMap;

use super::{Finding, Rule, channel_name, name};
use crate::model::{ChannelId, Ended, Event, Kind, Names, Status, Sym, TaskId, Via, Weight, World};

const ECONNREFUSED: i32 = 111;

/// A `connect` was refused, or a datagram came back: nobody has a socket at that address, or the one
/// who has does not listen. Whoever tries again until it works, or does without, has nothing to mend; wrong is a
/// process that fails because of it.
#[derive(Debug, Default)]
pub(super) struct ConnectionRefused {
    /// By process and port (of a Unix socket its path): what was refused and has not worked since.
    refused: BTreeMap<(TaskId, String), Refused>,
}

/// Attempts that failed.
#[derive(Debug)]
struct Refused {
    times: u32,
    channels: Vec<ChannelId>,
    /// What is wrong and what would help.
    text: String,
}

/// What tells one service of a machine from another: the host may have several addresses.
fn service(address: &str) -> String {
    address.rsplit(':').next().unwrap_or(address).to_owned()
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

/// What is wrong at an address where nobody answered, and whose socket it is.
fn why(channel: ChannelId, address: Option<Sym>, world: &World, names: &Names) -> (String, Option<ChannelId>) {
    let place = address.map_or("the address", |address| names.get(address));
    let bound = address.and_then(|address| bound_to(address, world)).filter(|bound| *bound != channel);
    let text = if let Some(bound) = bound {
        let server = channel_name(bound, world, names);
        format!(
            "connects to {place}, but {server}, which is bound there, does not listen (ECONNREFUSED): \
             call listen before anybody connects"
        )
    } else if address.is_some_and(|address| was_there(address, channel, world)) {
        format!(
            "connects to {place}, but whoever listened there has gone (ECONNREFUSED): \
             keep the listening socket open as long as clients come"
        )
    } else {
        format!(
            "connects to {place}, but nobody listens there (ECONNREFUSED): \
             start the server first and let it bind and listen, or try again later"
        )
    };
    (text, bound)
}

impl ConnectionRefused {
    fn note(
        &mut self,
        event: &Event,
        service: String,
        text: &str,
        channels: Vec<ChannelId>,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        let process = world.task(event.task)?.process;
        let new = || Refused { times: 0, channels: channels.clone(), text: text.to_owned() };
        let refused = self.refused.entry((process, service)).or_insert_with(new);
        refused.times += 1;
        if refused.times > 1 {
            return None;
        }
        let text = format!("{} {text}", name(event.task, world, names));
        Some(Finding { rule: self.name(), weight: Weight::Note, text, tasks: vec![event.task], channels })
    }

    fn refused(
        &mut self,
        event: &Event,
        channel: ChannelId,
        address: Option<Sym>,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        let (text, bound) = why(channel, address, world, names);
        let channels = [channel].into_iter().chain(bound).collect();
        let service = service(address.map_or("", |address| names.get(address)));
        self.note(event, service, &text, channels, world, names)
    }

    fn returned(
        &mut self,
        event: &Event,
        channel: ChannelId,
        via: Via,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        let place = match via {
            Via::Socket(_, peer) => names.get(peer),
            _ => "where it sends to",
        };
        let text = format!(
            "has sent a datagram, but nobody has a socket at {place} (ECONNREFUSED): start the receiver first and let \
             it bind, or try again later"
        );
        self.note(event, service(place), &text, vec![channel], world, names)
    }

    /// A process has ended: if it failed, so did what it was refused.
    fn gave_up(&mut self, process: TaskId, failed: bool, world: &World, names: &Names, findings: &mut Vec<Finding>) {
        let of_process: Vec<_> = self.refused.keys().filter(|(task, _)| *task == process).cloned().collect();
        for key in of_process {
            let Some(Refused { times, channels, text }) = self.refused.remove(&key) else { continue };
            if failed {
                let often = if times == 1 { String::new() } else { format!("; it has tried {times} times") };
                let text = format!("{} fails: it {text}{often}", name(process, world, names));
                findings.push(Finding {
                    rule: "connection-refused",
                    weight: Weight::Fault,
                    text,
                    tasks: vec![process],
                    channels,
                });
            }
        }
    }
}

impl Rule for ConnectionRefused {
    fn name(&self) -> &'static str {
        "connection-refused"
    }

    fn about(&self) -> &'static str {
        "A process connects or sends to an address where nobody listens."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Connect { channel, address, .. } if event.errno() == Some(ECONNREFUSED) => {
                findings.extend(self.refused(event, channel, address, world, names));
            }
            Kind::Write { channel, via, .. } | Kind::Read { channel, via, .. }
                if event.errno() == Some(ECONNREFUSED) =>
            {
                findings.extend(self.returned(event, channel, via, world, names));
            }
            _ if self.refused.is_empty() => {}
            Kind::Connect { address: Some(address), .. } if !event.failed() => {
                let process = world.task(event.task).map_or(event.task, |task| task.process);
                self.refused.remove(&(process, service(names.get(address))));
            }
            Kind::Exit { status } if world.task(event.task).is_some_and(crate::model::Task::is_process) => {
                let failed = !matches!(status, Status::Code(0));
                self.gave_up(event.task, failed, world, names, findings);
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
    use crate::model::{Access, ChannelKind, End, Kind, Weight};

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

    fn found(sketch: &mut Sketch) -> Vec<(Weight, String)> {
        let found = replay(&sketch.log()).into_iter().filter(|found| found.rule == "connection-refused");
        found.map(|found| (found.weight, found.text)).collect()
    }

    #[test]
    fn nobody_listens_and_the_client_fails() {
        let mut sketch = client();
        connect(&mut sketch, -111);
        connect(&mut sketch, -111);
        let note = "client connects to 127.0.0.1:7, but nobody listens there (ECONNREFUSED): start the server first \
                    and let it bind and listen, or try again later";
        assert_eq!(found(&mut sketch), [(Weight::Note, note.to_owned())]);
        sketch.exit("client", 1);
        let found = found(&mut sketch);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[1].0, Weight::Fault);
        assert!(found[1].1.starts_with("client fails: it connects to 127.0.0.1:7, but nobody listens there"));
        assert!(found[1].1.ends_with("; it has tried 2 times"), "{found:?}");
    }

    #[test]
    fn who_tries_until_it_works_or_does_without_has_nothing_to_mend() {
        let faults = |ret, code| {
            let mut sketch = client();
            connect(&mut sketch, -111);
            connect(&mut sketch, ret);
            sketch.exit("client", code);
            found(&mut sketch).iter().filter(|(weight, _)| *weight == Weight::Fault).count()
        };
        assert_eq!((faults(0, 1), faults(-111, 0), faults(-111, 1)), (0, 0, 1));
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
            assert!(found(&mut sketch)[0].1.contains(what));
        }
    }

    #[test]
    fn other_failures_are_not_it() {
        let mut sketch = client();
        connect(&mut sketch, -115);
        connect(&mut sketch, 0);
        assert_eq!(found(&mut sketch), []);
    }
}
