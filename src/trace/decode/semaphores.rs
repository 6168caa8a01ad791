//! Semaphores: System V sets by their calls, POSIX ones by what stands in their memory.

use super::super::channels::Identity;
use super::super::recorder::Outcome;
use super::super::tracee::{Ahead, Call};
use super::super::tracer::Tracer;
use super::shared::{ipc_command, key_name};
use super::{Ended, Family};
use crate::model::{ChannelId, ChannelKind, Kind, TaskId};
use crate::sys::{ipc, memory};

/// The largest value of a semaphore (linux/sem.h).
const SEMVMX: i32 = 32_767;
/// How many operations one call can have (`SEMOPM`).
const SEMOPM: u64 = 500;

/// `struct sembuf` of semop(2).
#[derive(Debug, Clone, Copy)]
struct Operation {
    index: u32,
    delta: i32,
    undo: bool,
}

/// The operations of a semop.
fn operations(tid: i32, call: &Call) -> Vec<Operation> {
    const SIZE: usize = 6;
    let mut bytes = vec![0; call.args[2].min(SEMOPM) as usize * SIZE];
    let read = memory::read(tid, call.args[1], &mut bytes).unwrap_or(0);
    let half = |chunk: &[u8], at: usize| i16::from_ne_bytes([chunk[at], chunk[at + 1]]);
    let operation = |chunk: &[u8]| Operation {
        index: u32::from(half(chunk, 0) as u16),
        delta: i32::from(half(chunk, 2)),
        undo: i32::from(half(chunk, 4)) & libc::SEM_UNDO != 0,
    };
    bytes[..read].chunks_exact(SIZE).map(operation).collect()
}

impl Tracer {
    pub(super) fn semget(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.syscall_event(ended);
        }
        let id = ended.ret as i32;
        let channel = self.channels.known(Identity::Set(id)).unwrap_or_else(|| {
            let name = self.declared_name(ended).unwrap_or_else(|| key_name("sem", ended.int(0)));
            // Who finds a set need not say how many semaphores it has.
            let found = self.ahead(ended.tid) == Ahead::Found && Self::shares_ipc(ended.tid);
            let values = if found { ipc::sem_values(id).unwrap_or_default() } else { Vec::new() };
            let count = ended.call.args[1].max(values.len() as u64);
            let channel = self.make_ipc(ended, Identity::Set(id), ChannelKind::Sem, &name, count);
            self.write_found_values(channel, &values);
            channel
        });
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Get { channel, id });
    }

    /// What the values of a set were before the run: somebody outside has set them.
    fn write_found_values(&mut self, channel: ChannelId, values: &[u16]) {
        for (index, value) in (0..).zip(values).filter(|(_, value)| **value > 0) {
            let value = i32::from(*value);
            self.recorder.plain(TaskId::LAB, Kind::Sem { channel, index, delta: value, value, undo: false });
        }
    }

    /// The semaphore set with this identifier.
    pub(in crate::trace) fn set(&self, id: u64) -> Option<ChannelId> {
        self.channels.known(Identity::Set(id as i32))
    }

    pub(super) fn semop(&mut self, ended: &Ended<'_>) {
        let Some(channel) = self.set(ended.call.args[0]).filter(|_| !ended.failed()) else {
            return self.syscall_event(ended);
        };
        for operation in operations(ended.tid, ended.call) {
            self.write_sem(ended.task, Some(ended.outcome()), channel, operation);
        }
    }

    fn write_sem(&mut self, task: TaskId, outcome: Option<Outcome>, channel: ChannelId, operation: Operation) {
        let Operation { index, delta, undo } = operation;
        let value = self.world().channel(channel).map_or(0, |known| known.value(index));
        let value = (value + delta).clamp(0, SEMVMX);
        let kind = Kind::Sem { channel, index, delta, value, undo };
        match outcome {
            Some(outcome) => self.recorder.of_call(task, outcome, kind),
            None => self.recorder.plain(task, kind),
        }
    }

    /// Whether a semop that has ended cannot have been granted by what the log says so far: the call
    /// that made way for it has happened, and is about to be reported.
    pub(in crate::trace) fn comes_too_early(&self, tid: i32, call: &Call, value: i64) -> bool {
        if call.family != Family::Semop {
            return false;
        }
        let Some(channel) = self.set(call.args[0]) else { return false };
        let removed = value == i64::from(-libc::EIDRM);
        if value != 0 && !removed {
            return false;
        }
        if !self.world().channel(channel).is_some_and(|known| known.alive) {
            return false;
        }
        if !removed && self.refused(tid, call, channel).is_none() {
            return false;
        }
        let may_follow = |other: &super::super::tracee::Tracee| {
            let same = |call: Call| {
                matches!(call.family, Family::Semop | Family::Semctl) && self.set(call.args[0]) == Some(channel)
            };
            !other.held && !other.blocked && other.call.is_some_and(same)
        };
        self.tracees.iter().any(|(other, tracee)| *other != tid && may_follow(tracee))
    }

    /// The first operation of a semop that the value of its semaphore does not allow: which semaphore, and
    /// what is to be added; none if all may be done.
    pub(in crate::trace) fn refused(&self, tid: i32, call: &Call, channel: ChannelId) -> Option<(u32, i32)> {
        let known = self.world().channel(channel)?;
        let mut values = std::collections::BTreeMap::new();
        let refused = operations(tid, call).into_iter().find(|operation| {
            let value = values.entry(operation.index).or_insert_with(|| known.value(operation.index));
            *value += operation.delta;
            *value < 0 || (operation.delta == 0 && *value != 0)
        });
        refused.map(|operation| (operation.index, operation.delta))
    }

    pub(super) fn semctl(&mut self, ended: &Ended<'_>) {
        let Some(channel) = self.set(ended.call.args[0]).filter(|_| !ended.failed()) else {
            return self.plain_call(ended);
        };
        let argument = ended.call.args[3];
        match ipc_command(ended.int(2)) {
            libc::SETVAL => self.write_set(ended, channel, ended.call.args[1] as u32, argument as i32),
            libc::SETALL => {
                let count = self.world().channel(channel).map_or(0, |known| known.capacity.min(32_000));
                let mut bytes = vec![0; count as usize * 2];
                let read = memory::read(ended.tid, argument, &mut bytes).unwrap_or(0);
                for (index, value) in bytes[..read].chunks_exact(2).enumerate() {
                    let value = u16::from_ne_bytes([value[0], value[1]]);
                    self.write_set(ended, channel, index as u32, i32::from(value));
                }
            }
            libc::IPC_RMID => {
                self.recorder.of_call(ended.task, ended.outcome(), Kind::Destroy { channel });
                self.channels.forget(channel);
            }
            _ => self.plain_call(ended),
        }
    }

    fn write_set(&mut self, ended: &Ended<'_>, channel: ChannelId, index: u32, value: i32) {
        let delta = value - self.world().channel(channel).map_or(0, |known| known.value(index));
        let kind = Kind::Sem { channel, index, delta, value, undo: false };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
    }

    /// At the end of a process the kernel takes back what was done with `SEM_UNDO`.
    pub(in crate::trace) fn write_undone(&mut self, task: TaskId) {
        let process = self.process_of(task);
        let mut undone = Vec::new();
        for channel in self.world().channels().filter(|channel| channel.alive && channel.kind == ChannelKind::Sem) {
            for (index, semaphore) in &channel.semaphores {
                let held = semaphore.undo.iter().find(|held| held.by == process);
                undone
                    .extend(held.map(|held| (channel.id, Operation { index: *index, delta: held.count, undo: true })));
            }
        }
        for (channel, operation) in undone {
            self.write_sem(task, None, channel, operation);
        }
    }

    /// The value with which a POSIX semaphore is met: it stands in the first four bytes (nptl, `sem_t`).
    pub(in crate::trace) fn write_found_value(&mut self, ended: &Ended<'_>, channel: ChannelId, address: u64) {
        let Some(known) = self.world().channel(channel).filter(|known| known.kind == ChannelKind::Sem) else { return };
        let Some(value) = memory::read_i32(ended.tid, address) else { return };
        if known.semaphores.contains_key(&0) && known.value(0) == value {
            return;
        }
        let delta = value - known.value(0);
        let kind = Kind::Sem { channel, index: 0, delta, value, undo: false };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
    }

    /// The memory of a POSIX semaphore was changed: does it have another value?
    pub(in crate::trace) fn write_posix_value(&mut self, task: TaskId, channel: ChannelId, value: i32) {
        let before = self.world().channel(channel).map_or(0, |known| known.value(0));
        if value != before {
            let kind = Kind::Sem { channel, index: 0, delta: value - before, value, undo: false };
            self.recorder.plain(task, kind);
        }
    }
}
