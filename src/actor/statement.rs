//! What each statement does.

use super::machine::{Flow, MAX_TRANSFER, Machine};
use crate::model::{Access, SignalSet};
use crate::scenario::{Compare, DescriptorId, Op, ProcessId, Statement, Target, Value, VarId};
use crate::sys::call::{self, Answer, Handling};

/// How many bytes a `read` asks for that does not say.
const READ: usize = 4096;

impl Machine {
    /// Executes one statement.
    pub(super) fn execute(&self, statement: &Statement) -> Flow {
        match &statement.op {
            Op::Repeat { times, body } => return self.repeat(Some(self.number(times)), body),
            Op::Forever { body } => return self.repeat(None, body),
            Op::If { var, compare, value, then, otherwise } => {
                let holds = self.compare(*var, *compare, value);
                return self.run(if holds { then } else { otherwise });
            }
            Op::Break => return Flow::Break,
            Op::Set { var, value } => self.set(*var, value),
            Op::Add { var, value } => {
                let sum = self.number(&Value::Var(*var)).wrapping_add(self.number(value));
                self.set_number(*var, sum);
            }
            Op::Exit { code, flush } => Self::exit(self.number(code) as i32, *flush),
            Op::Print { text } => self.with_text(text, call::print),
            // The lab does these, at the marker.
            Op::Note { .. } | Op::Label { .. } | Op::Barrier { .. } => {}
            Op::Fork { name, body, into } => self.fork(statement, *name, body.as_deref(), *into),
            Op::Read { fd, bytes, until_eof, into } => {
                let read = |buffer: &mut [u8]| call::read(self.fd(*fd), buffer);
                self.receive(statement, bytes.as_ref(), *until_eof, *into, read);
            }
            Op::Pipe { read, write, .. } => self.settle_pair(statement, call::pipe(), [*read, *write]),
            Op::Open { fd, .. } => self.settle_fd(statement, self.open(statement), *fd),
            Op::Close { fd } => {
                if self.settle(statement, call::close(self.fd(*fd))).is_some() {
                    self.set_fd(*fd, -1);
                }
            }
            Op::Dup2 { from, to } => self.dup2(statement, *from, *to),
            Op::Sigwait { signals, into, value } => self.sigwait(statement, *signals, *into, *value),
            _ => self.family(statement),
        }
        Flow::Next
    }

    /// The statements that are acted out in files of their own, and the rest.
    fn family(&self, statement: &Statement) {
        match &statement.op {
            Op::Signalfd { .. } | Op::Pty { .. } | Op::Tcsetpgrp { .. } | Op::Ctty { .. } => {
                self.terminal_statement(statement);
            }
            Op::Socketpair { .. }
            | Op::Socket { .. }
            | Op::Bind { .. }
            | Op::Listen { .. }
            | Op::Accept { .. }
            | Op::Connect { .. }
            | Op::Send { .. }
            | Op::Recv { .. }
            | Op::Shutdown { .. }
            | Op::SendFd { .. }
            | Op::RecvFd { .. } => self.socket_statement(statement),
            Op::Msgget { .. }
            | Op::Msgsnd { .. }
            | Op::Msgrcv { .. }
            | Op::MsgctlRemove { .. }
            | Op::MsgctlSet { .. }
            | Op::Shmget { .. }
            | Op::Shmat { .. }
            | Op::Shmdt { .. }
            | Op::ShmctlRemove { .. }
            | Op::Semget { .. }
            | Op::SemctlSet { .. }
            | Op::SemctlRemove { .. }
            | Op::Semop { .. } => self.system_v_statement(statement),
            Op::MqOpen { .. }
            | Op::MqSend { .. }
            | Op::MqReceive { .. }
            | Op::MqNotify { .. }
            | Op::MqUnlink { .. }
            | Op::ShmOpen { .. }
            | Op::ShmUnlink { .. }
            | Op::Mmap { .. }
            | Op::Munmap { .. }
            | Op::SemOpen { .. }
            | Op::SemWait { .. }
            | Op::SemTimedwait { .. }
            | Op::SemPost { .. }
            | Op::SemUnlink { .. } => self.posix_statement(statement),
            Op::Load { .. } | Op::Store { .. } | Op::StoreText { .. } | Op::AtomicAdd { .. } => {
                self.memory_statement(statement);
            }
            Op::FcntlLock { .. } | Op::FcntlGetlk { .. } | Op::Flock { .. } => self.lock_statement(statement),
            op => {
                let answer = self.answer(statement, op);
                self.settle(statement, answer);
            }
        }
    }

    /// The statements that are one call, whose value nobody needs.
    fn answer(&self, statement: &Statement, op: &Op) -> Answer {
        let prepared = self.prepared.get(statement.id.index()).and_then(Option::as_ref);
        let path = self.path(statement);
        match op {
            Op::Exec { .. } => Err(prepared.map_or(libc::ENOENT, |prepared| call::exec(path, &prepared.pointers))),
            Op::Wait { who, nohang } => {
                let pid = match who {
                    None => -1,
                    Some(target) => self.pid(*target).ok_or(libc::ECHILD)?,
                };
                call::waitpid(pid, if *nohang { libc::WNOHANG } else { 0 })
            }
            Op::Setpgid { target, group } => {
                let pid = |target: Target| match target {
                    Target::Myself => Ok(0),
                    other => self.pid(other).ok_or(libc::ESRCH),
                };
                call::setpgid(pid(*target)?, pid(*group)?)
            }
            Op::Setsid => call::setsid(),
            Op::Subreaper => call::subreaper(),
            Op::Chdir { .. } => call::chdir(path),
            Op::Umask { mask } => call::umask(*mask),
            Op::Nice { by } => call::nice(*by),
            Op::On { .. } | Op::Ignore { .. } | Op::Default { .. } => self.dispose(statement),
            Op::Block { signals } => call::sigprocmask(libc::SIG_BLOCK, *signals),
            Op::Unblock { signals } => call::sigprocmask(libc::SIG_UNBLOCK, *signals),
            Op::Kill { target, signal, group } => {
                let pid = self.pid(*target).ok_or(libc::ESRCH)?;
                call::kill(if *group { -pid } else { pid }, signal.map_or(0, crate::model::Signal::number))
            }
            Op::Raise { signal } => call::raise(signal.number()),
            Op::Fault { signal } => call::faults::fault(signal.number()),
            Op::Sigqueue { target, signal, value } => self.sigqueue(*target, *signal, self.number(value)),
            Op::Sigsuspend { block, unblock } => Self::sigsuspend(*block, *unblock),
            Op::Setitimer { time, every } => call::signals::setitimer(*time, *every),
            Op::Pause => interrupted_is_fine(call::pause()),
            Op::Alarm { seconds, into } => {
                let left = call::alarm(u32::try_from(self.number(seconds)).unwrap_or(0));
                if let (Ok(left), Some(var)) = (left, into) {
                    self.set_number(*var, left);
                }
                left
            }
            Op::Mkfifo { .. } => call::mkfifo(path),
            Op::Write { fd, text, bytes } => {
                self.with_padded(text, bytes.as_ref(), |bytes| call::write(self.fd(*fd), bytes))
            }
            Op::Perror { text } => self.perror(text),
            Op::Fflush => call::flush(),
            Op::Cloexec { fd } => call::fcntl(self.fd(*fd), libc::F_SETFD, libc::FD_CLOEXEC),
            Op::Nonblock { fd } => {
                let flags = call::fcntl(self.fd(*fd), libc::F_GETFL, 0)?;
                call::fcntl(self.fd(*fd), libc::F_SETFL, flags as i32 | libc::O_NONBLOCK)
            }
            Op::PipeSize { fd, bytes } => {
                call::fcntl(self.fd(*fd), libc::F_SETPIPE_SZ, i32::try_from(self.number(bytes)).unwrap_or(i32::MAX))
            }
            Op::Lseek { fd, offset } => call::lseek(self.fd(*fd), self.number(offset)),
            Op::Unlink { .. } => call::unlink(path),
            Op::Poll { fds, timeout } => self.poll(fds, *timeout),
            Op::Sleep { time } => interrupted_is_fine(call::sleep(*time)),
            _ => Ok(0),
        }
    }

    fn repeat(&self, times: Option<i64>, body: &[Statement]) -> Flow {
        let mut left = times.unwrap_or(1);
        while left > 0 {
            if self.run(body) == Flow::Break {
                break;
            }
            if times.is_some() {
                left -= 1;
            }
        }
        Flow::Next
    }

    fn compare(&self, var: VarId, compare: Compare, value: &Value) -> bool {
        let var = Value::Var(var);
        let equal = || {
            if self.is_text(&var) && self.is_text(value) {
                self.with_text(&var, |left| self.with_text(value, |right| left == right))
            } else {
                self.number(&var) == self.number(value)
            }
        };
        match compare {
            Compare::Eq => equal(),
            Compare::Ne => !equal(),
            Compare::Lt => self.number(&var) < self.number(value),
            Compare::Gt => self.number(&var) > self.number(value),
        }
    }

    fn set(&self, var: VarId, value: &Value) {
        if self.is_text(value) {
            self.with_text(value, |text| self.set_text(var, text));
        } else {
            self.set_number(var, self.number(value));
        }
    }

    fn fork(&self, statement: &Statement, name: ProcessId, body: Option<&[Statement]>, into: Option<VarId>) {
        let place = self.registry.reserve(name);
        let Some(pid) = self.settle(statement, call::fork()) else { return };
        if pid > 0 {
            self.registry.enter(place, pid as i32);
            if let Some(slot) = self.children.get(name.index()) {
                slot.set(pid as i32);
            }
        } else {
            if let Ok(own) = call::getpid() {
                self.registry.enter(place, own as i32);
            }
            self.children.iter().for_each(|slot| slot.set(0));
        }
        if let Some(var) = into {
            self.set_number(var, pid);
        }
        if let Some(body) = body.filter(|_| pid == 0) {
            self.run(body);
            Self::exit(0, true);
        }
    }

    fn open(&self, statement: &Statement) -> Answer {
        let Op::Open { access, create, truncate, append, nonblock, .. } = &statement.op else { return Ok(-1) };
        let access = match access {
            Access::Read => libc::O_RDONLY,
            Access::Write => libc::O_WRONLY,
            Access::ReadWrite | Access::None => libc::O_RDWR,
        };
        let options = [
            (*create, libc::O_CREAT),
            (*truncate, libc::O_TRUNC),
            (*append, libc::O_APPEND),
            (*nonblock, libc::O_NONBLOCK),
        ];
        let flags = options.iter().filter(|(given, _)| *given).fold(access, |flags, (_, flag)| flags | flag);
        call::open(self.path(statement), flags)
    }

    fn dup2(&self, statement: &Statement, from: DescriptorId, to: DescriptorId) {
        let target = self.fd(to);
        let answer = if target < 0 { call::dup(self.fd(from)) } else { call::dup2(self.fd(from), target) };
        if let Some(fd) = self.settle(statement, answer) {
            self.set_fd(to, fd as i32);
        }
    }

    /// Receives bytes by `call`: once, or until there are no more.
    pub(super) fn receive(
        &self,
        statement: &Statement,
        bytes: Option<&Value>,
        until_eof: bool,
        into: Option<VarId>,
        call: impl Fn(&mut [u8]) -> Answer,
    ) {
        let length = bytes.map_or(READ, |bytes| usize::try_from(self.number(bytes)).unwrap_or(0)).min(MAX_TRANSFER);
        if let Some(var) = into {
            self.set_text(var, &[]);
        }
        loop {
            let answer = self.with_buffer(length, |buffer| {
                let answer = call(buffer);
                if let (Ok(read), Some(var)) = (answer, into) {
                    self.add_text(var, buffer.get(..read as usize).unwrap_or_default());
                }
                answer
            });
            match self.settle(statement, answer) {
                Some(1..) if until_eof => {}
                _ => return,
            }
        }
    }

    /// A text, with `bytes` cut or repeated to that length.
    pub(super) fn with_padded(&self, text: &Value, bytes: Option<&Value>, call: impl Fn(&[u8]) -> Answer) -> Answer {
        let Some(bytes) = bytes else { return self.with_text(text, call) };
        self.with_message(&[], text, Some(bytes), call)
    }

    /// The same behind a prefix.
    pub(super) fn with_message(
        &self,
        prefix: &[u8],
        text: &Value,
        bytes: Option<&Value>,
        call: impl Fn(&[u8]) -> Answer,
    ) -> Answer {
        self.with_text(text, |text| {
            let length = bytes.map_or(text.len(), |bytes| usize::try_from(self.number(bytes)).unwrap_or(0));
            self.with_buffer(prefix.len() + length.min(MAX_TRANSFER), |buffer| {
                let source = prefix.iter().chain(text.iter().cycle());
                buffer.iter_mut().zip(source).for_each(|(byte, source)| *byte = *source);
                call(buffer)
            })
        })
    }

    fn dispose(&self, statement: &Statement) -> Answer {
        let all = |signals: SignalSet, handling: Handling| {
            for signal in signals.iter() {
                call::sigaction(signal.number(), handling)?;
            }
            Ok(0)
        };
        match &statement.op {
            Op::Ignore { signals } => all(*signals, Handling::Ignore),
            Op::Default { signals } => all(*signals, Handling::Default),
            Op::On { signal, restart, nodefer, resethand, mask, .. } => {
                let options =
                    [(*restart, libc::SA_RESTART), (*nodefer, libc::SA_NODEFER), (*resethand, libc::SA_RESETHAND)];
                let flags = options.iter().filter(|(given, _)| *given).fold(0, |flags, (_, flag)| flags | flag);
                let place = self.handling.get(signal.number() as usize);
                let before = place.map(|place| place.replace(usize::from(statement.id.0) + 1));
                let answer = call::sigaction(signal.number(), Handling::Run(flags, *mask));
                if let (Err(_), Some(place), Some(before)) = (answer, place, before) {
                    place.set(before);
                }
                answer
            }
            _ => Ok(0),
        }
    }

    fn poll(&self, fds: &[DescriptorId], timeout: Option<u64>) -> Answer {
        const MOST: usize = 16;
        let empty = libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 };
        let mut list = [empty; MOST];
        let count = fds.len().min(MOST);
        list.iter_mut().zip(fds).for_each(|(slot, id)| slot.fd = self.fd(*id));
        let timeout = timeout.map_or(-1, |nanos| i32::try_from(nanos.div_ceil(1_000_000)).unwrap_or(i32::MAX));
        call::poll(&mut list[..count], timeout)
    }
}

/// `pause` and `sleep` end early when a handler has run; that is how they are used.
pub(super) fn interrupted_is_fine(answer: Answer) -> Answer {
    match answer {
        Err(libc::EINTR) => Ok(0),
        other => other,
    }
}
