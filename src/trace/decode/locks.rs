//! Locks on files: `fcntl` and `flock`.

use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{ChannelId, Kind, Lock, LockKind, LockMode, Owner, TaskId};
use crate::sys::{memory, procfs};

/// A lock that a call asks for.
#[derive(Debug, Clone, Copy)]
pub(in crate::trace) struct Wanted {
    channel: ChannelId,
    fd: i32,
    kind: LockKind,
    mode: LockMode,
    start: u64,
    len: u64,
}

impl Wanted {
    /// The same as what a sleeper wants.
    pub(in crate::trace) const fn asked(self) -> crate::model::Wanted {
        let Self { fd, kind, mode, start, len, .. } = self;
        crate::model::Wanted::Lock { fd, kind, mode, start, len }
    }

    const fn event(self) -> Kind {
        let Self { channel, fd, kind, mode, start, len } = self;
        Kind::Lock { channel, fd, kind, mode, start, len }
    }
}

impl Tracer {
    /// An `fcntl` that sets or removes a lock.
    pub(super) fn fcntl_lock(&mut self, ended: &Ended<'_>) {
        match self.wanted_by_fcntl(ended.tid, ended.task, ended.int(0), ended.int(1), ended.call.args[2]) {
            Some(wanted) => self.recorder.of_call(ended.task, ended.outcome(), wanted.event()),
            None => self.plain_call(ended),
        }
    }

    pub(super) fn flock(&mut self, ended: &Ended<'_>) {
        match self.wanted_by_flock(ended.task, ended.int(0), ended.int(1)) {
            Some(wanted) => self.recorder.of_call(ended.task, ended.outcome(), wanted.event()),
            None => self.plain_call(ended),
        }
    }

    /// What an `fcntl` asks for, if it asks for a lock.
    pub(in crate::trace) fn wanted_by_fcntl(
        &self,
        tid: i32,
        task: TaskId,
        fd: i32,
        command: i32,
        lock: u64,
    ) -> Option<Wanted> {
        let kind = match command {
            libc::F_SETLK | libc::F_SETLKW => LockKind::Process,
            libc::F_OFD_SETLK | libc::F_OFD_SETLKW => LockKind::Description,
            _ => return None,
        };
        let entry = self.world().fd(task, fd)?;
        // struct flock of fcntl(2) on 64-bit machines: type, whence, 4 bytes of nothing, start, length.
        let words = memory::read_u64(tid, lock)?;
        let mode = match i32::from(words as i16) {
            libc::F_RDLCK => LockMode::Read,
            libc::F_WRLCK => LockMode::Write,
            libc::F_UNLCK => LockMode::Unlock,
            _ => return None,
        };
        let (offset, len) = (memory::read_u64(tid, lock + 8)? as i64, memory::read_u64(tid, lock + 16)? as i64);
        let base = match i32::from((words >> 16) as i16) {
            libc::SEEK_SET => 0,
            libc::SEEK_CUR => entry.position as i64,
            _ => procfs::size_of_fd(tid, fd).unwrap_or(0) as i64,
        };
        let from = base.saturating_add(offset);
        // A negative length covers what lies before the start (`fcntl_locking(2)`).
        let (start, len) = if len < 0 { (from.saturating_add(len), len.saturating_neg()) } else { (from, len) };
        Some(Wanted { channel: entry.channel, fd, kind, mode, start: start.max(0) as u64, len: len as u64 })
    }

    /// What a `flock` asks for.
    pub(in crate::trace) fn wanted_by_flock(&self, task: TaskId, fd: i32, operation: i32) -> Option<Wanted> {
        let entry = self.world().fd(task, fd)?;
        let mode = match operation & !libc::LOCK_NB {
            libc::LOCK_SH => LockMode::Read,
            libc::LOCK_EX => LockMode::Write,
            libc::LOCK_UN => LockMode::Unlock,
            _ => return None,
        };
        Some(Wanted { channel: entry.channel, fd, kind: LockKind::Flock, mode, start: 0, len: 0 })
    }

    /// Where a task waits that wants this lock, and for whom if it is one process only.
    pub(in crate::trace) fn in_the_way(&self, task: TaskId, wanted: Wanted) -> (ChannelId, Option<TaskId>) {
        let process = self.world().task(task).map_or(task, |task| task.process);
        let owner = match wanted.kind {
            LockKind::Process => Owner::Process(process),
            LockKind::Description | LockKind::Flock => {
                Owner::Description(self.world().fd(task, wanted.fd).map_or(0, |entry| entry.description))
            }
        };
        let end = if wanted.len == 0 { u64::MAX } else { wanted.start.saturating_add(wanted.len) };
        let lock = Lock { kind: wanted.kind, mode: wanted.mode, start: wanted.start, end, owner, by: task };
        let locks = self.world().channel(wanted.channel).map_or(&[][..], |channel| &channel.locks);
        let mut holders = locks.iter().filter(|held| held.excludes(&lock)).map(|held| match held.owner {
            Owner::Process(process) => Some(process),
            Owner::Description(description) => self.world().only_holder(wanted.channel, description),
        });
        let first = holders.next().flatten();
        (wanted.channel, first.filter(|first| holders.all(|other| other == Some(*first))))
    }
}
