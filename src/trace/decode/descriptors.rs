//! Descriptors: made, doubled, flagged, closed.

use super::super::calls::Family;
use super::super::channels;
use super::super::tracee::Ahead;
use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{ChannelId, ChannelKind, End, FdFlags, Kind, TaskId};
use crate::sys::procfs::FdFacts;
use crate::sys::{memory, procfs};

/// `FIOCLEX`, `FIONCLEX`, `FIONBIO` of asm-generic/ioctls.h, on both architectures.
const FIOCLEX: u64 = 0x5451;
const FIONCLEX: u64 = 0x5450;
const FIONBIO: u64 = 0x5421;
/// `TIOCGPTPEER` there: opens the slave of a master (ioctl_tty(2)).
const TIOCGPTPEER: u64 = 0x5441;

impl Tracer {
    /// Writes that `fd` leads where `facts` say; returns the channel.
    pub(in crate::trace) fn write_open(
        &mut self,
        ended: Option<&Ended<'_>>,
        task: TaskId,
        facts: &FdFacts,
        name: Option<&str>,
    ) -> ChannelId {
        let met = self.world().channels().len();
        // A number that the kernel chose is no name in a scenario.
        let unnamed = facts.pty.is_some() && self.scenario.is_some();
        let name = name.or_else(|| unnamed.then_some("pty"));
        let (channel, end) = if channels::kind(facts).is_socket() {
            self.meet_socket(task, facts, name, ended.is_none())
        } else if let Some(terminal) = self.own_terminal(task, facts) {
            (terminal, End::Second)
        } else {
            (self.channels.find(&mut self.recorder, task, facts, name), channels::end(facts))
        };
        let kind =
            Kind::Open { fd: facts.fd, channel, end, access: channels::access(facts), flags: channels::flags(facts) };
        match ended {
            Some(ended) => self.recorder.of_call(task, ended.outcome(), kind),
            None => self.recorder.plain(task, kind),
        }
        if self.world().channels().len() > met {
            self.write_monitor(ended.map(Ended::outcome), task, facts.fd);
        }
        channel
    }

    pub(super) fn new_fd(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.syscall_event(ended);
        }
        // Some calls of the family return something else for some commands (bpf).
        let Some(facts) = procfs::fd(ended.tid, ended.ret as i32) else { return self.plain_call(ended) };
        if self.world().fd(ended.task, facts.fd).is_some() {
            // signalfd(2) of an instance that is there gives it another mask.
            self.write_monitor(Some(ended.outcome()), ended.task, facts.fd);
            return self.plain_call(ended);
        }
        if self.is_unnamed(ended, &facts) {
            return;
        }
        self.channels.set_made_now(self.ahead(ended.tid) == Ahead::Nothing);
        let name = self.declared_name(ended).or_else(|| self.pidfd_name(ended));
        self.made_terminal(ended, &facts);
        let channel = self.write_open(Some(ended), ended.task, &facts, name.as_deref());
        if channels::kind(&facts) == ChannelKind::Terminal {
            self.opened_terminal(ended, channel);
        }
        if self.recorder.names().get(ended.call.name) == "io_uring_setup" {
            let note = "what goes through io_uring is out of sight: the kernel does it without a call";
            self.recorder.note(ended.task, note);
        }
    }

    /// What the descriptor of a process is called: after the process.
    fn pidfd_name(&self, ended: &Ended<'_>) -> Option<String> {
        let opens = self.recorder.names().get(ended.call.name) == "pidfd_open";
        let process = opens.then(|| self.world().by_pid(ended.int(0))).flatten()?;
        Some(format!("pidfd of {}", self.recorder.names().get(process.name)))
    }

    pub(super) fn two_fds(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.syscall_event(ended);
        }
        let array = if ended.call.family == Family::Pipe { ended.call.args[0] } else { ended.call.args[3] };
        let Some(pair) = memory::read_u64(ended.tid, array).map(u64::to_ne_bytes) else { return };
        let fds = [
            i32::from_ne_bytes([pair[0], pair[1], pair[2], pair[3]]),
            i32::from_ne_bytes([pair[4], pair[5], pair[6], pair[7]]),
        ];
        let name = self.declared_name(ended);
        let mut first = None;
        for fd in fds {
            let Some(facts) = procfs::fd(ended.tid, fd) else { continue };
            if let Some(channel) = first.filter(|_| ended.call.family == Family::Socketpair) {
                self.sockets.put(facts.identity.1, channel, End::Second);
            }
            first = Some(self.write_open(Some(ended), ended.task, &facts, name.as_deref()));
        }
    }

    pub(super) fn dup(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.syscall_event(ended);
        }
        let cloexec = ended.call.family == Family::Dup2 && ended.int(2) & libc::O_CLOEXEC != 0 && {
            // dup2 has no third argument; what is in the register means nothing.
            self.recorder.names().get(ended.call.name) == "dup3"
        };
        self.write_dup(ended, ended.int(0), ended.ret as i32, cloexec);
    }

    fn write_dup(&mut self, ended: &Ended<'_>, fd: i32, to: i32, cloexec: bool) {
        let channel = self.world().fd(ended.task, fd).map(|entry| entry.channel);
        let replaced = self.world().fd(ended.task, to).map(|entry| entry.channel);
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Dup { fd, to, channel, cloexec });
        self.write_destroyed(ended.task, replaced.as_slice());
    }

    pub(super) fn close(&mut self, ended: &Ended<'_>) {
        // close(2): Linux frees the descriptor even when it says EINTR or EIO.
        let fd = ended.int(0);
        let channel = self.world().fd(ended.task, fd).map(|entry| entry.channel);
        if channel.is_none() && self.forget_unnamed(ended.task, fd) {
            return;
        }
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Close { fd, channel });
        self.write_destroyed(ended.task, channel.as_slice());
    }

    pub(super) fn close_range(&mut self, ended: &Ended<'_>) {
        const CLOEXEC: i32 = 4;
        if ended.failed() {
            return self.syscall_event(ended);
        }
        let (first, last) = (ended.call.args[0] as u32, ended.call.args[1] as u32);
        let covered: Vec<_> =
            self.world().fds(ended.task).filter(|entry| (first..=last).contains(&(entry.fd as u32))).copied().collect();
        for entry in covered {
            if ended.int(2) & CLOEXEC != 0 {
                let flags = FdFlags { cloexec: true, ..entry.flags };
                self.recorder.of_call(ended.task, ended.outcome(), Kind::Flags { fd: entry.fd, flags });
            } else {
                let kind = Kind::Close { fd: entry.fd, channel: Some(entry.channel) };
                self.recorder.of_call(ended.task, ended.outcome(), kind);
                self.write_destroyed(ended.task, &[entry.channel]);
            }
        }
    }

    pub(super) fn fcntl(&mut self, ended: &Ended<'_>) {
        let (fd, command, argument) = (ended.int(0), ended.int(1), ended.int(2));
        if matches!(command, libc::F_SETLK | libc::F_SETLKW | libc::F_OFD_SETLK | libc::F_OFD_SETLKW) {
            return self.fcntl_lock(ended);
        }
        if ended.failed() {
            return self.plain_call(ended);
        }
        let Some(entry) = self.world().fd(ended.task, fd).copied() else { return };
        match command {
            libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => {
                self.write_dup(ended, fd, ended.ret as i32, command == libc::F_DUPFD_CLOEXEC);
            }
            libc::F_SETFD => {
                let flags = FdFlags { cloexec: argument & libc::FD_CLOEXEC != 0, ..entry.flags };
                self.write_flags(ended, fd, entry.flags, flags);
            }
            libc::F_SETFL => {
                let (nonblock, append) = (argument & libc::O_NONBLOCK != 0, argument & libc::O_APPEND != 0);
                self.write_flags(ended, fd, entry.flags, FdFlags { nonblock, append, ..entry.flags });
            }
            libc::F_SETPIPE_SZ => {
                let kind = Kind::Capacity { channel: entry.channel, bytes: ended.ret as u64 };
                self.recorder.of_call(ended.task, ended.outcome(), kind);
            }
            _ => self.plain_call(ended),
        }
    }

    fn write_flags(&mut self, ended: &Ended<'_>, fd: i32, old: FdFlags, flags: FdFlags) {
        if old != flags {
            self.recorder.of_call(ended.task, ended.outcome(), Kind::Flags { fd, flags });
        }
    }

    pub(super) fn ioctl(&mut self, ended: &Ended<'_>) {
        let Some(entry) = self.world().fd(ended.task, ended.int(0)).copied() else { return };
        if ended.failed() {
            return;
        }
        let flags = match ended.call.args[1] {
            FIOCLEX => FdFlags { cloexec: true, ..entry.flags },
            FIONCLEX => FdFlags { cloexec: false, ..entry.flags },
            FIONBIO => {
                let on = memory::read_i32(ended.tid, ended.call.args[2]).unwrap_or(0) != 0;
                FdFlags { nonblock: on, ..entry.flags }
            }
            TIOCGPTPEER => return self.new_fd(ended),
            _ if self.terminal_ioctl(ended, entry.channel) => return,
            _ if self.options.all => return self.syscall_event(ended),
            _ => return,
        };
        self.write_flags(ended, entry.fd, entry.flags, flags);
    }

    pub(super) fn lseek(&mut self, ended: &Ended<'_>) {
        let fd = ended.int(0);
        let Some(channel) = self.world().fd(ended.task, fd).map(|entry| entry.channel) else {
            return self.plain_call(ended);
        };
        let position = ended.ret.max(0) as u64;
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Seek { fd, channel, position });
    }
}
