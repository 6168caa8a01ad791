//! Names that are declared and not used, or used and never made.

use super::{Linter, statements};
use crate::scenario::{Address, DescriptorId, Op};

impl Linter<'_> {
    /// Complains of ends of pipes, socketpairs and terminals that no statement names.
    pub(super) fn ends(&mut self) {
        let mut pairs = Vec::new();
        let mut used = Vec::new();
        for statement in statements(self.scenario) {
            match &statement.op {
                Op::Pipe { name, read, write } => {
                    pairs.push((statement.id, name, [(*read, "read"), (*write, "write")]));
                }
                Op::Socketpair { name, a, b, .. } => {
                    pairs.push((statement.id, name, [(*a, "a"), (*b, "b")]));
                }
                Op::Pty { name, master, slave } => {
                    pairs.push((statement.id, name, [(*master, "master"), (*slave, "slave")]));
                }
                _ => {}
            }
            used.extend(descriptors(&statement.op));
        }
        for (id, name, ends) in pairs {
            for (end, which) in ends {
                if !used.contains(&end) {
                    let help = format!("use `{name}.{which}`, or close it to show that it is not needed");
                    self.at(id, format!("nothing ever uses `{name}.{which}`"), Some(help));
                }
            }
        }
    }

    /// Complains of segments that are used and attached nowhere, and of sockets that others are to
    /// reach and that are bound nowhere.
    pub(super) fn never_made(&mut self) {
        let all = statements(self.scenario);
        let (mut segments, mut attached, mut used) = (Vec::new(), Vec::new(), Vec::new());
        let (mut sought, mut bound) = (Vec::new(), Vec::new());
        for statement in &all {
            match &statement.op {
                Op::Shmget { name, segment, .. } => segments.push((statement.id, name, *segment)),
                Op::Shmat { segment } | Op::ShmOpen { segment, .. } | Op::Mmap { segment, .. } => {
                    attached.push(*segment);
                }
                Op::Load { segment, .. }
                | Op::Store { segment, .. }
                | Op::StoreText { segment, .. }
                | Op::AtomicAdd { segment, .. } => used.push(*segment),
                Op::Bind { fd, .. } => bound.push(*fd),
                Op::Connect { address: Address::Name(name), .. }
                | Op::Send { address: Some(Address::Name(name)), .. }
                    if statement.fails.is_none() && statement.errno.is_none() =>
                {
                    sought.push((statement.id, *name));
                }
                _ => {}
            }
        }
        for (id, name, segment) in segments {
            if used.contains(&segment) && !attached.contains(&segment) {
                self.at(id, format!("nothing ever attaches `{name}`"), Some(format!("attach it with `shmat {name}`")));
            }
        }
        for (id, name) in sought {
            if !bound.contains(&name) {
                let name = self.scenario.program.descriptors.get(name.index()).map_or("", String::as_str);
                let help = format!("give it an address with `bind {name} 0`, or a path");
                self.at(id, format!("nothing ever binds `{name}`"), Some(help));
            }
        }
    }
}

/// The descriptors that an operation uses.
fn descriptors(op: &Op) -> Vec<DescriptorId> {
    match op {
        Op::Read { fd, .. }
        | Op::Write { fd, .. }
        | Op::Close { fd }
        | Op::Cloexec { fd }
        | Op::Nonblock { fd }
        | Op::PipeSize { fd, .. }
        | Op::Lseek { fd, .. }
        | Op::Bind { fd, .. }
        | Op::Listen { fd, .. }
        | Op::Accept { fd, .. }
        | Op::Connect { fd, .. }
        | Op::Send { fd, .. }
        | Op::Recv { fd, .. }
        | Op::RecvFd { fd, .. }
        | Op::Shutdown { fd, .. }
        | Op::Tcsetpgrp { fd, .. }
        | Op::Ctty { fd }
        | Op::MqSend { fd, .. }
        | Op::MqReceive { fd, .. }
        | Op::MqNotify { fd, .. }
        | Op::FcntlLock { fd, .. }
        | Op::FcntlGetlk { fd, .. }
        | Op::Flock { fd, .. } => vec![*fd],
        Op::Dup2 { from, to } => vec![*from, *to],
        Op::SendFd { fd, sent } => vec![*fd, *sent],
        Op::Poll { fds, .. } => fds.clone(),
        _ => Vec::new(),
    }
}
