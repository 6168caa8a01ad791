//! What the statements about System V and POSIX objects do.

use super::machine::Machine;
use crate::scenario::{ObjectId, Op, Statement, Value, VarId};
use crate::sys::call::{self, Answer, posix, sysv};

/// The longest message that is received, in bytes: more than a system allows that was not told to.
const MESSAGE: usize = 1 << 16;

impl Machine {
    fn id(&self, object: ObjectId) -> i32 {
        self.objects.get(object.index()).map_or(-1, |object| object.id.get())
    }

    fn settle_id(&self, statement: &Statement, answer: Answer, object: ObjectId) {
        if let (Some(id), Some(object)) = (self.settle(statement, answer), self.objects.get(object.index())) {
            object.id.set(id as i32);
        }
    }

    fn i32(&self, value: &Value) -> i32 {
        let number = self.number(value);
        i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
    }

    /// The statements about System V objects.
    pub(super) fn system_v_statement(&self, statement: &Statement) {
        let prepared = self.prepared.get(statement.id.index()).and_then(Option::as_ref);
        let key = prepared.map_or(libc::IPC_PRIVATE, |prepared| prepared.key);
        match &statement.op {
            Op::Msgget { queue, .. } => self.settle_id(statement, sysv::msgget(key), *queue),
            Op::Semget { set, count, .. } => {
                self.settle_id(statement, sysv::semget(key, self.i32(count)), *set);
            }
            Op::Shmget { segment, bytes, .. } => {
                self.settle_id(statement, sysv::shmget(key, *bytes as usize), *segment);
                if let Some(object) = self.objects.get(segment.index()) {
                    object.bytes.set(*bytes);
                }
            }
            Op::Msgrcv { queue, kind, nowait, into } => self.msgrcv(statement, *queue, kind, *nowait, *into),
            _ => {
                let answer = self.system_v_answer(statement);
                self.settle(statement, answer);
            }
        }
    }

    fn system_v_answer(&self, statement: &Statement) -> Answer {
        match &statement.op {
            Op::Msgsnd { queue, kind, text, bytes, nowait } => {
                let flags = if *nowait { libc::IPC_NOWAIT } else { 0 };
                let kind = self.number(kind).to_ne_bytes();
                self.with_message(&kind, text, bytes.as_ref(), |message| sysv::msgsnd(self.id(*queue), message, flags))
            }
            Op::MsgctlRemove { queue } => sysv::msg_remove(self.id(*queue)),
            Op::MsgctlSet { queue, bytes } => {
                sysv::msg_capacity(self.id(*queue), u64::try_from(self.number(bytes)).unwrap_or(0))
            }
            Op::Shmat { segment } => {
                let Some(object) = self.objects.get(segment.index()) else { return Err(libc::EINVAL) };
                object.region.attach(object.id.get(), object.bytes.get() as usize)
            }
            Op::Shmdt { segment } => {
                self.objects.get(segment.index()).map_or(Err(libc::EINVAL), |object| object.region.detach())
            }
            Op::ShmctlRemove { segment } => sysv::shm_remove(self.id(*segment)),
            Op::SemctlSet { set, index, value } => sysv::sem_set(self.id(*set), self.i32(index), self.i32(value)),
            Op::SemctlRemove { set } => sysv::sem_remove(self.id(*set)),
            Op::Semop { set, index, delta, undo, nowait } => {
                let flags = if *undo { libc::SEM_UNDO } else { 0 } | if *nowait { libc::IPC_NOWAIT } else { 0 };
                let index = u16::try_from(self.number(index)).map_err(|_| libc::EFBIG)?;
                let delta = i16::try_from(self.number(delta)).map_err(|_| libc::ERANGE)?;
                sysv::semop(self.id(*set), index, delta, flags)
            }
            _ => Ok(0),
        }
    }

    fn msgrcv(&self, statement: &Statement, queue: ObjectId, kind: &Value, nowait: bool, into: Option<VarId>) {
        let flags = if nowait { libc::IPC_NOWAIT } else { 0 };
        let answer = self.with_buffer(sysv::PREFIX + MESSAGE, |buffer| {
            let answer = sysv::msgrcv(self.id(queue), buffer, self.number(kind), flags)?;
            if let Some(var) = into {
                self.set_text(var, buffer.get(sysv::PREFIX..sysv::PREFIX + answer as usize).unwrap_or_default());
            }
            Ok(answer)
        });
        self.settle(statement, answer);
    }

    /// The statements about POSIX objects.
    pub(super) fn posix_statement(&self, statement: &Statement) {
        if let Op::MqOpen { fd, maxmsg, msgsize, nonblock, .. } = &statement.op {
            let flags = if *nonblock { libc::O_NONBLOCK } else { 0 };
            let limits = posix::limits(self.number(maxmsg), self.number(msgsize));
            return self.settle_fd(statement, posix::mq_open(self.path(statement), flags, &limits), *fd);
        }
        let answer = self.posix_answer(statement);
        self.settle(statement, answer);
    }

    fn posix_answer(&self, statement: &Statement) -> Answer {
        let path = self.path(statement);
        let region =
            |object: ObjectId| self.objects.get(object.index()).map(|object| &object.region).ok_or(libc::EINVAL);
        match &statement.op {
            Op::MqSend { fd, text, bytes, priority } => {
                let priority = u32::try_from(self.number(priority)).unwrap_or(u32::MAX);
                self.with_padded(text, bytes.as_ref(), |bytes| posix::mq_send(self.fd(*fd), bytes, priority))
            }
            Op::MqReceive { fd, into } => self.with_buffer(super::machine::MAX_TRANSFER, |buffer| {
                let answer = posix::mq_receive(self.fd(*fd), buffer)?;
                if let Some(var) = into {
                    self.set_text(*var, buffer.get(..answer as usize).unwrap_or_default());
                }
                Ok(answer)
            }),
            Op::MqNotify { fd, signal } => posix::mq_notify(self.fd(*fd), signal.number()),
            Op::MqUnlink { .. } => posix::mq_unlink(path),
            Op::ShmOpen { segment, bytes, .. } => {
                let fd = posix::shm_open(path)? as i32;
                let mapped =
                    posix::ftruncate(fd, i64::from(*bytes)).and_then(|_| region(*segment)?.map(fd, *bytes as usize));
                let _ = call::close(fd);
                mapped
            }
            Op::ShmUnlink { .. } => posix::shm_unlink(path),
            Op::Mmap { segment, bytes, .. } => region(*segment)?.map(-1, *bytes as usize),
            Op::Munmap { segment } => region(*segment)?.unmap(),
            Op::SemOpen { semaphore, value, .. } => {
                let value = u32::try_from(self.number(value)).unwrap_or(u32::MAX);
                posix::sem_open(region(*semaphore)?, path, value)
            }
            Op::SemWait { semaphore } => region(*semaphore)?.sem_wait(),
            Op::SemTimedwait { semaphore, time } => region(*semaphore)?.sem_timedwait(*time),
            Op::SemPost { semaphore } => region(*semaphore)?.sem_post(),
            Op::SemUnlink { .. } => posix::sem_unlink(path),
            _ => Ok(0),
        }
    }
}
