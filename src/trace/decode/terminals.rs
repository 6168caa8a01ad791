//! Controlling terminals and their foreground groups (credentials(7), ioctl_tty(2)).

use super::super::calls::Family;
use super::super::channels::{self, Identity, New};
use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{ChannelId, ChannelKind, End, Kind, TaskId};
use crate::sys::procfs::FdFacts;
use crate::sys::{memory, procfs};

/// `TIOCSCTTY`, `TIOCSPGRP`, `TIOCSWINSZ` and `TIOCNOTTY` of asm-generic/ioctls.h.
const TIOCSCTTY: u64 = 0x540e;
const TIOCSPGRP: u64 = 0x5410;
const TIOCSWINSZ: u64 = 0x5414;
const TIOCNOTTY: u64 = 0x5422;

impl Tracer {
    /// What a call did to a terminal; whether it did anything that concerns groups or windows.
    pub(super) fn terminal_ioctl(&mut self, ended: &Ended<'_>, channel: ChannelId) -> bool {
        let argument = ended.call.args[2];
        let kind = match ended.call.args[1] {
            TIOCSCTTY => Kind::Control { channel: Some(channel) },
            TIOCNOTTY => Kind::Control { channel: None },
            TIOCSPGRP => {
                let Some(pgid) = memory::read_i32(ended.tid, argument) else { return true };
                let terminal = self.world().task(ended.task).and_then(|task| task.terminal);
                Kind::Foreground { channel: terminal.unwrap_or(channel), pgid }
            }
            TIOCSWINSZ => {
                let Some(size) = memory::read_array::<4>(ended.tid, argument) else { return true };
                let [rows, columns] = [[size[0], size[1]], [size[2], size[3]]].map(u16::from_ne_bytes);
                Kind::Window { channel, rows, columns }
            }
            _ => return false,
        };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
        true
    }

    /// A terminal that the leader of a session opens without `O_NOCTTY` becomes its controlling terminal,
    /// if it has none and nobody else has this one. The kernel says whether.
    pub(super) fn opened_terminal(&mut self, ended: &Ended<'_>, channel: ChannelId) {
        let Some(task) = self.world().task(ended.task) else { return };
        let leader = self.world().task(task.process).is_some_and(|leader| leader.pid == task.sid);
        if leader && task.terminal.is_none() && procfs::terminal(ended.tid).is_some() {
            self.recorder.of_call(ended.task, ended.outcome(), Kind::Control { channel: Some(channel) });
        }
    }

    /// A master that a call has opened is a new pseudo-terminal, whatever had its number before.
    pub(super) fn made_terminal(&mut self, ended: &Ended<'_>, facts: &FdFacts) {
        let opened = matches!(ended.call.family, Family::Open { .. });
        let is_master = facts.pty.is_some() && channels::end(facts) == End::First;
        let old = self.channels.known(Identity::of(facts)).filter(|_| opened && is_master);
        if let Some(old) = old {
            self.channels.forget(old);
        }
    }

    /// `/dev/tty` leads to the controlling terminal of whoever opens it (tty(4)).
    pub(super) fn own_terminal(&self, task: TaskId, facts: &FdFacts) -> Option<ChannelId> {
        let is_alias = (libc::major(facts.rdev), libc::minor(facts.rdev)) == (5, 0);
        let is_device = facts.mode & libc::S_IFMT == libc::S_IFCHR;
        self.world().task(task).filter(|_| is_alias && is_device)?.terminal
    }

    /// The controlling terminal that a root process is started with.
    pub(super) fn write_terminal_of(&mut self, tid: i32, task: TaskId) {
        let Some((device, foreground)) = procfs::terminal(tid) else { return };
        let channel = self.terminal_called(tid, task, device);
        self.recorder.plain(task, Kind::Control { channel: Some(channel) });
        let pgid = self.group_inside(foreground);
        if self.world().channel(channel).is_some_and(|terminal| terminal.tty.foreground != pgid) {
            self.recorder.plain(task, Kind::Foreground { channel, pgid });
        }
    }

    /// The terminal with this device number: one that the process holds, or one it must look for.
    fn terminal_called(&mut self, tid: i32, task: TaskId, device: u64) -> ChannelId {
        let held = procfs::fds(tid)
            .into_iter()
            .find(|facts| facts.rdev == device && facts.mode & libc::S_IFMT == libc::S_IFCHR);
        if let Some(channel) = held.and_then(|facts| self.world().fd(task, facts.fd)).map(|entry| entry.channel) {
            return channel;
        }
        let (major, minor) = (libc::major(device), libc::minor(device));
        let is_pty = (136..144).contains(&major);
        let name = if is_pty { format!("pts/{minor}") } else { format!("/dev/tty{minor}") };
        let place = if is_pty { "/dev/pts" } else { &name };
        let identity = procfs::file_at(tid, place.as_bytes())
            .map(|(device, inode)| if is_pty { Identity::Pty(device, minor) } else { Identity::Inode(device, inode) });
        if let Some(channel) = identity.and_then(|identity| self.channels.known(identity)) {
            return channel;
        }
        let new =
            New { identity, kind: ChannelKind::Terminal, name: &name, capacity: 0, messages: false, found: false };
        self.channels.make(&mut self.recorder, task, new)
    }

    /// A process group of this PID namespace as the run's own sees it.
    fn group_inside(&self, pgid: i32) -> i32 {
        let of = |tid: &i32| procfs::status(*tid).filter(|status| status.ns_pgids.first() == Some(&pgid));
        self.tracees.keys().find_map(of).and_then(|status| status.ns_pgids.last().copied()).unwrap_or(pgid)
    }
}
