//! An address that somebody has already (bind(2), listen(2), EADDRINUSE): who, and how they came to it.
//!
//! Whoever tries another address, or tries again until it works, has handled it: so the rule speaks when the
//! process ends, or the run.

use std::collections::BTreeMap;

use super::lineage::{lives, process_of};
use super::{Finding, Rule, name};
use crate::model::{
    Channel, ChannelId, ChannelKind, Ended, Event, Kind, Names, State, Status, Sym, TaskId, Weight, World,
};

const EADDRINUSE: i32 = 98;

/// `bind` or `listen` failed, because the address is in use.
#[derive(Debug, Default)]
pub(super) struct AddressInUse {
    /// Who gave each socket its address, and which it was; sockets that are gone included.
    bound: BTreeMap<ChannelId, (TaskId, Sym)>,
    failed: BTreeMap<TaskId, Failure>,
}

/// What a process could not bind to, as it was when it tried first.
#[derive(Debug)]
struct Failure {
    /// What it could not do there.
    does: &'static str,
    address: String,
    tries: usize,
    /// Who has it, and what would help.
    why: String,
    tasks: Vec<TaskId>,
    channels: Vec<ChannelId>,
}

/// Whether who has one of two addresses keeps the other from being bound.
fn clash(kind: ChannelKind, wanted: &str, other: &str) -> bool {
    if kind == ChannelKind::Unix {
        return wanted == other;
    }
    let (Some((host, port)), Some((other_host, other_port))) = (wanted.rsplit_once(':'), other.rsplit_once(':')) else {
        return false;
    };
    let any = |host: &str| matches!(host, "0.0.0.0" | "[::]" | "*");
    port == other_port && (host == other_host || any(host) || any(other_host))
}

impl AddressInUse {
    fn failed(&mut self, event: &Event, payload: &[u8], world: &World, names: &Names) {
        let text = String::from_utf8_lossy(payload);
        let Some((fd, rest)) = text.split_once(", ") else { return };
        let Some(entry) = fd.parse().ok().and_then(|fd| world.fd(event.task, fd)) else { return };
        let Some(channel) = world.channel(entry.channel) else { return };
        // Two sockets may be bound to one port (SO_REUSEADDR), but only one listens.
        let listens = event.call.is_some_and(|call| names.get(call) == "listen");
        let own = channel.socket.as_ref().and_then(|socket| socket.addresses[0]).map(|address| names.get(address));
        let Some(address) = (if listens { own } else { Some(rest) }) else { return };
        let process = process_of(event.task, world);
        let does = if listens { "listen" } else { "bind" };
        if let Some(known) = self.failed.get_mut(&process).filter(|it| it.address == address && it.does == does) {
            known.tries = known.tries.saturating_add(1);
            return;
        }
        let (why, tasks, channels) = self.explain(event.task, entry.channel, channel.kind, address, world, names);
        self.failed.insert(process, Failure { does, address: address.to_owned(), tries: 1, why, tasks, channels });
    }

    /// Who has the address, and what would help.
    fn explain(
        &self,
        task: TaskId,
        own: ChannelId,
        kind: ChannelKind,
        address: &str,
        world: &World,
        names: &Names,
    ) -> (String, Vec<TaskId>, Vec<ChannelId>) {
        let has = |channel: &&Channel| {
            let clashes = |address_of: &Sym| clash(kind, address, names.get(*address_of));
            channel.id != own
                && channel.kind == kind
                && channel.socket.as_ref().is_some_and(|socket| socket.addresses.iter().flatten().any(clashes))
        };
        let mut living: Vec<&Channel> = world.channels().filter(has).filter(|it| it.alive && it.holders > 0).collect();
        living.sort_by_key(|channel| (channel.backlog().is_none(), channel.id));
        if let Some(channel) = living.first() {
            return self.held(task, channel, world, names);
        }
        let before =
            self.bound.iter().rev().find(|(id, (_, bound))| **id != own && clash(kind, address, names.get(*bound)));
        let before = before.filter(|(id, _)| world.channel(**id).is_some_and(|channel| channel.kind == kind));
        let (tasks, channels) = before.map_or_else(Default::default, |(id, (by, _))| (vec![*by], vec![*id]));
        let by = before.map(|(_, (by, _))| name(*by, world, names));
        let why = match (kind, by) {
            (ChannelKind::Unix, Some(by)) => format!(
                "{by} has left the socket file behind, where nobody listens any more: call unlink(2) on it before \
                 bind, and when the server ends"
            ),
            (ChannelKind::Unix, None) if address.starts_with('@') => {
                "a process outside of the run has it (ss -xlp says \
                 which): end that process, or choose another name"
                    .to_owned()
            }
            (ChannelKind::Udp, _) => "a process outside of the run has it (ss -ulpn says which): end that process, or \
                 choose another port"
                .to_owned(),
            (ChannelKind::Unix, None) => "the file has been there since before the run: if connect(2) to it fails \
                 with ECONNREFUSED nobody listens there any more, and it is to be removed with unlink(2) before bind"
                .to_owned(),
            (ChannelKind::Tcp, Some(by)) => format!(
                "a connection of {by} has been closed here first and is probably in TIME_WAIT for a minute \
                 (tcp(7)): set SO_REUSEADDR with setsockopt(2) before bind, in every program that binds the port"
            ),
            _ => "a process outside of the run has it, or a connection from before it is in TIME_WAIT (ss -tulpan \
                 says which): end that process, choose another port, or set SO_REUSEADDR before bind"
                .to_owned(),
        };
        (why, tasks, channels)
    }

    /// A living process of the run has it.
    fn held(
        &self,
        task: TaskId,
        channel: &Channel,
        world: &World,
        names: &Names,
    ) -> (String, Vec<TaskId>, Vec<ChannelId>) {
        let Some((holder, fd)) = world.holders(channel.id).next().map(|(task, fd)| (task.id, fd.fd)) else {
            return ("a descriptor of it is on its way to another process".to_owned(), vec![], vec![channel.id]);
        };
        let by = name(holder, world, names);
        let binder = self.bound.get(&channel.id).map(|(binder, _)| *binder).filter(|binder| *binder != holder);
        let listens = if channel.backlog().is_some() { "listening socket" } else { "socket" };
        let why = match binder {
            _ if holder == process_of(task, world) => {
                format!(
                    "{by} holds it itself, with the {listens} that is its descriptor {fd}: close that one first, or go on \
                     with it instead of another"
                )
            }
            Some(binder) => {
                let from = name(binder, world, names);
                let ended = if lives(binder, world) { "" } else { ", which has ended" };
                let loaded = world.task(holder).map(|task| task.program) != world.task(binder).map(|task| task.program);
                let cure = if loaded {
                    format!("open it with SOCK_CLOEXEC in {from}")
                } else {
                    format!("close descriptor {fd} in {by} after the fork (close(2)), or end {by} first")
                };
                format!(
                    "it is held by {by}, which has inherited the {listens} as descriptor {fd} from {from}{ended}: {cure}"
                )
            }
            None if channel.connected_only() => format!(
                "it is held by a connection of {by}, descriptor {fd}: set SO_REUSEADDR with setsockopt(2) before bind"
            ),
            None => format!(
                "it is held by {by}, which has bound it as descriptor {fd}: end {by} first, or choose another address"
            ),
        };
        (why, vec![holder], vec![channel.id])
    }

    fn report(&mut self, process: TaskId, weight: Weight, world: &World, names: &Names) -> Option<Finding> {
        let Failure { does, address, tries, why, tasks, channels } = self.failed.remove(&process)?;
        let who = name(process, world, names);
        let times = if tries == 1 { String::new() } else { format!(", {tries} times") };
        let does = if does == "listen" { "listen at" } else { "bind to" };
        let text = format!("{who} cannot {does} {address} (EADDRINUSE{times}), because the address is in use: {why}");
        let mut all = vec![process];
        all.extend(tasks.into_iter().filter(|task| *task != process));
        Some(Finding { rule: "address-in-use", weight, text, tasks: all, channels })
    }
}

impl Rule for AddressInUse {
    fn name(&self) -> &'static str {
        "address-in-use"
    }

    fn about(&self) -> &'static str {
        "A socket gets no address, because somebody has it already."
    }

    fn observe(&mut self, event: &Event, payload: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        match event.kind {
            Kind::Address { channel, address, .. } if event.call.is_some_and(|call| names.get(call) == "bind") => {
                let process = process_of(event.task, world);
                self.bound.insert(channel, (process, address));
                findings.extend(self.report(process, Weight::Note, world, names));
            }
            Kind::Listen { .. } if !event.failed() => {
                let process = process_of(event.task, world);
                if self.failed.get(&process).is_some_and(|failure| failure.does == "listen") {
                    findings.extend(self.report(process, Weight::Note, world, names));
                }
            }
            Kind::Syscall { .. }
                if event.errno() == Some(EADDRINUSE)
                    && event.call.is_some_and(|call| matches!(names.get(call), "bind" | "listen")) =>
            {
                self.failed(event, payload, world, names);
            }
            Kind::Exit { status } if !self.failed.is_empty() => {
                let process = process_of(event.task, world);
                if !world.living().any(|task| task.process == process) {
                    let weight = if status == Status::Code(0) { Weight::Note } else { Weight::Fault };
                    findings.extend(self.report(process, weight, world, names));
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        let processes: Vec<TaskId> = self.failed.keys().copied().collect();
        for process in processes {
            let tries = self.failed.get(&process).map_or(0, |failure| failure.tries);
            let sleeps = world.task(process).is_some_and(|task| matches!(task.state, State::Blocked(_)));
            let weight = if ended != Ended::Cut || tries > 1 || sleeps { Weight::Fault } else { Weight::Note };
            findings.extend(self.report(process, weight, world, names));
        }
    }
}

impl Channel {
    /// Whether it is a connection and no listening socket.
    fn connected_only(&self) -> bool {
        self.backlog().is_none() && self.socket.as_ref().is_some_and(|socket| socket.connected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Access, End};

    fn found(sketch: &mut Sketch) -> Vec<(Weight, String)> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "address-in-use");
        findings.map(|it| (it.weight, it.text)).collect()
    }

    fn bind(sketch: &mut Sketch, task: &str, socket: &str, kind: ChannelKind, address: &str) {
        sketch.create(task, socket, kind).open(task, 3, socket, Access::ReadWrite);
        let (channel, address) = (sketch.channel(socket), sketch.intern(address));
        sketch.event(task, "bind", 0, Kind::Address { channel, end: End::First, address });
    }

    fn bind_fails(sketch: &mut Sketch, task: &str, socket: &str, kind: ChannelKind, address: &str) {
        sketch.create(task, socket, kind).open(task, 4, socket, Access::ReadWrite);
        sketch.syscall(task, "bind", -98, &format!("4, {address}"));
    }

    #[test]
    fn an_inherited_listener() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "old");
        bind(&mut sketch, "old", "s", ChannelKind::Tcp, "127.0.0.1:80");
        let channel = sketch.channel("s");
        sketch.event("old", "listen", 0, Kind::Listen { channel, backlog: 5 });
        sketch.fork("old", "worker").exit("old", 0).fork("init", "new");
        bind_fails(&mut sketch, "new", "t", ChannelKind::Tcp, "0.0.0.0:80");
        sketch.exit("new", 1);
        let expected = "new cannot bind to 0.0.0.0:80 (EADDRINUSE), because the address is in use: it is held by worker, \
                        which has inherited the listening socket as descriptor 3 from old, which has ended: close \
                        descriptor 3 in worker after the fork (close(2)), or end worker first";
        assert_eq!(found(&mut sketch), [(Weight::Fault, expected.to_owned())]);
    }

    #[test]
    fn two_that_are_bound_and_one_that_listens() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "old").fork("init", "new");
        bind(&mut sketch, "old", "s", ChannelKind::Tcp, "127.0.0.1:80");
        bind(&mut sketch, "new", "t", ChannelKind::Tcp, "127.0.0.1:80");
        let channel = sketch.channel("s");
        sketch.event("old", "listen", 0, Kind::Listen { channel, backlog: 5 });
        sketch.syscall("new", "listen", -98, "3, 5").exit("new", 1);
        let expected = "new cannot listen at 127.0.0.1:80 (EADDRINUSE), because the address is in use: it is held by old, \
                        which has bound it as descriptor 3: end old first, or choose another address";
        assert_eq!(found(&mut sketch), [(Weight::Fault, expected.to_owned())]);
    }

    #[test]
    fn a_socket_file_that_was_left() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "old");
        bind(&mut sketch, "old", "s", ChannelKind::Unix, "/tmp/s");
        sketch.exit("old", 0);
        let channel = sketch.channel("s");
        sketch.event("old", "", 0, Kind::Destroy { channel }).fork("init", "new");
        bind_fails(&mut sketch, "new", "t", ChannelKind::Unix, "/tmp/s");
        sketch.exit("new", 1);
        let texts = found(&mut sketch);
        assert!(texts[0].1.contains("old has left the socket file behind"), "{texts:?}");
    }

    #[test]
    fn whoever_takes_another_one_has_handled_it() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "new");
        bind_fails(&mut sketch, "new", "t", ChannelKind::Tcp, "127.0.0.1:80");
        sketch.syscall("new", "bind", -98, "4, 127.0.0.1:80");
        bind(&mut sketch, "new", "u", ChannelKind::Tcp, "127.0.0.1:81");
        sketch.exit("new", 0);
        let texts = found(&mut sketch);
        assert_eq!(texts.len(), 1);
        assert_eq!(texts[0].0, Weight::Note);
        assert!(texts[0].1.contains("(EADDRINUSE, 2 times)"));
        assert!(texts[0].1.contains("a process outside of the run has it"));
    }

    #[test]
    fn which_addresses_clash() {
        let clashes = |wanted, other| clash(ChannelKind::Tcp, wanted, other);
        assert!(clashes("127.0.0.1:80", "0.0.0.0:80") && clashes("[::]:80", "127.0.0.1:80"));
        assert!(!clashes("127.0.0.1:80", "127.0.0.2:80") && !clashes("127.0.0.1:80", "127.0.0.1:81"));
    }
}
