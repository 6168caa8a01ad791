//! From a call that has ended to events: one decoder for each family of calls.

mod connections;
mod datagrams;
mod descriptors;
mod locks;
mod mq;
mod names;
mod peers;
mod process;
mod queues;
mod readiness;
mod rights;
mod semaphores;
mod shared;
mod signals;
mod sockets;
mod terminals;
mod timers;
mod transfer;

pub(super) use locks::Wanted;
pub(super) use names::object_kind;
pub(super) use process::clone_flags;
pub(super) use shared::{Unnamed, whole_pages};
pub(super) use sockets::address_at;

use super::calls::Family;
use super::channels;
use super::recorder::Outcome;
use super::tracee::Call;
use super::tracer::{Result, Tracer};
use crate::model::{Kind, TaskId};
use crate::scenario::Op;
use crate::sys::ptrace::Stopped;

/// A call that has ended, as its decoder sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended<'a> {
    pub tid: i32,
    pub task: TaskId,
    pub call: &'a Call,
    pub ret: i64,
}

impl Ended<'_> {
    pub const fn outcome(&self) -> Outcome {
        Outcome { call: self.call.name, ret: self.ret }
    }

    /// An argument that is a descriptor or another `int`.
    pub const fn int(&self, index: usize) -> i32 {
        self.call.args[index] as i32
    }

    pub const fn failed(&self) -> bool {
        self.ret < 0
    }
}

impl Tracer {
    /// Writes what a call that has ended amounts to.
    pub(super) fn decode(&mut self, tid: i32, stopped: &Stopped, call: &Call, ret: i64) -> Result<()> {
        let Some(task) = self.task_of(tid) else { return Ok(()) };
        let ended = Ended { tid, task, call, ret };
        match call.family {
            Family::Read | Family::Readv | Family::Recvfrom | Family::Recvmsg { .. } => self.read(&ended),
            Family::Write | Family::Writev | Family::Sendto | Family::Sendmsg { .. } | Family::Vmsplice => {
                self.write(&ended);
            }
            Family::Sendfile | Family::Splice | Family::Tee => self.between(&ended),
            Family::NewFd | Family::Open { .. } => self.new_fd(&ended),
            Family::Bind => self.bind(&ended),
            Family::Listen => self.listen(&ended),
            Family::Connect => self.connect(&ended),
            Family::Accept => self.accept(&ended),
            Family::Shutdown => self.shutdown(&ended),
            Family::Pipe | Family::Socketpair => self.two_fds(&ended),
            Family::Dup | Family::Dup2 => self.dup(&ended),
            Family::Fcntl => self.fcntl(&ended),
            Family::Flock => self.flock(&ended),
            Family::Ioctl => self.ioctl(&ended),
            Family::Close => self.close(&ended),
            Family::CloseRange => self.close_range(&ended),
            Family::Lseek => self.lseek(&ended),
            Family::Exec { .. } => self.exec_failed(&ended),
            Family::Wait4 | Family::Waitid => self.waited(&ended),
            Family::Setpgid | Family::Setsid => self.group(&ended),
            Family::Kill
            | Family::Tkill
            | Family::Tgkill
            | Family::Sigqueue
            | Family::Tgsigqueue
            | Family::PidfdSendSignal => self.killed(&ended)?,
            Family::Sigaltstack => self.sigaltstack(&ended),
            Family::Alarm | Family::Setitimer | Family::TimerCreate | Family::TimerSettime | Family::TimerDelete => {
                self.timer(&ended);
            }
            Family::Sigaction => self.sigaction(&ended),
            Family::SignalWait => self.waited_for_signal(&ended),
            Family::Sigprocmask => self.sigprocmask(&ended, stopped)?,
            Family::Sigreturn => self.sigreturn(&ended, stopped)?,
            Family::TimerfdSettime => {
                self.timer(&ended);
                self.timerfd_settime(&ended);
            }
            Family::EpollCtl => self.epoll_ctl(&ended),
            Family::Msgget => self.msgget(&ended),
            Family::Msgsnd => self.msgsnd(&ended),
            Family::Msgrcv => self.msgrcv(&ended),
            Family::Msgctl => self.msgctl(&ended),
            Family::MqOpen => self.mq_open(&ended),
            Family::MqSend => self.mq_send(&ended),
            Family::MqReceive => self.mq_receive(&ended),
            Family::MqAttributes => self.mq_attributes(&ended),
            Family::MqUnlink => self.mq_unlink(&ended),
            Family::VmRead | Family::VmWrite => self.between_processes(&ended),
            Family::Mknod { path } => self.mknod(&ended, usize::from(path)),
            Family::Unlink { .. } => self.unlink(&ended),
            Family::Mmap => self.mmap(&ended),
            Family::Munmap => self.munmap(&ended),
            Family::Mremap => self.mremap(&ended),
            Family::Mprotect => self.mprotect(&ended),
            Family::Shmget => self.shmget(&ended),
            Family::Shmat => self.shmat(&ended),
            Family::Shmdt => self.shmdt(&ended),
            Family::Shmctl => self.shmctl(&ended),
            Family::Semget => self.semget(&ended),
            Family::Semop => self.semop(&ended),
            Family::Semctl => self.semctl(&ended),
            Family::Ftruncate => self.ftruncate(&ended),
            Family::Link { new, .. } => self.link(&ended, usize::from(new)),
            // How semaphores and locks of the C library wait; what they are shows in memory.
            Family::Futex if !self.options.all => {}
            Family::Fork if !ended.failed() => {}
            Family::Fork => self.fork_failed(&ended),
            Family::Sleep { .. }
            | Family::Poll
            | Family::Ppoll
            | Family::Select
            | Family::MqNotify
            | Family::Futex
            | Family::Exit
            | Family::Restart
            | Family::Seccomp
            | Family::Sigpending
            | Family::Plain => self.plain_call(&ended),
        }
        if ended.failed() {
            self.write_limit(&ended);
        } else {
            self.keep_made(&ended);
        }
        Ok(())
    }

    /// How the scenario names what the statement that made this call makes or opens. A file of the run's
    /// own directory goes by the path that the scenario gives it.
    fn declared_name(&self, ended: &Ended<'_>) -> Option<String> {
        let tracee = self.tracees.get(&ended.tid).filter(|tracee| tracee.actor)?;
        match &self.scenario.as_ref()?.program.statement(tracee.statement?)?.op {
            Op::Open { path, .. } | Op::Mkfifo { path } if !path.starts_with('/') => Some(path.clone()),
            Op::Pipe { name, .. }
            | Op::Pty { name, .. }
            | Op::Socketpair { name, .. }
            | Op::Socket { name, .. }
            | Op::Msgget { name, .. }
            | Op::Shmget { name, .. }
            | Op::Semget { name, .. }
            | Op::MqOpen { name, .. }
            | Op::ShmOpen { name, .. }
            | Op::Mmap { name, .. }
            | Op::SemOpen { name, .. } => Some(name.clone()),
            _ => None,
        }
    }

    /// A call that no event describes: said under `--all`, in scenarios, and when it failed in a way
    /// that the program will have to deal with.
    fn plain_call(&mut self, ended: &Ended<'_>) {
        let actor = self.tracees.get(&ended.tid).is_some_and(|tracee| tracee.actor);
        let telling = ended.failed() && ended.call.family != Family::Plain;
        if self.options.all || actor || telling {
            self.syscall_event(ended);
        }
    }

    /// Writes a call with its arguments as text.
    fn syscall_event(&mut self, ended: &Ended<'_>) {
        let text = crate::trace::arguments::text(ended.tid, ended.call);
        let args = self.recorder.keep(text.as_bytes());
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Syscall { args });
    }
}
