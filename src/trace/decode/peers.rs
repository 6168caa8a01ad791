//! From the memory of one process into that of another: `process_vm_readv(2)` and `process_vm_writev`.
//!
//! No descriptor and no mapping leads there, so the memory of each process that is reached into is a
//! channel of its own, named after the process.

use super::super::calls::Family;
use super::super::channels::{Identity, New};
use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{Blob, ChannelId, ChannelKind, Kind, Via};

impl Tracer {
    pub(super) fn between_processes(&mut self, ended: &Ended<'_>) {
        let Some(channel) = self.memory_of(ended) else { return self.syscall_event(ended) };
        let bytes = ended.ret.max(0) as u64;
        let data = if ended.failed() {
            Blob::EMPTY
        } else {
            let length = self.limit(channel, bytes);
            self.keep_vector(ended.tid, ended.call.args[1], ended.call.args[2], length)
        };
        let via = Via::Memory;
        let kind = match ended.call.family {
            Family::VmRead => Kind::Read { channel, via, bytes, data },
            _ => Kind::Write { channel, via, bytes, data },
        };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
    }

    /// The channel that stands for the memory of the process that a call reaches into, if that belongs to
    /// the run.
    fn memory_of(&mut self, ended: &Ended<'_>) -> Option<ChannelId> {
        let target = self.world().by_pid(ended.int(0)).map(|task| task.process)?;
        let identity = Identity::Memory(target);
        if let Some(known) = self.channels.known(identity) {
            return Some(known);
        }
        let name = self.world().task(target).map_or("?", |task| self.recorder.names().get(task.name));
        let name = format!("memory of {name}");
        let new = New {
            identity: Some(identity),
            kind: ChannelKind::Anonymous,
            name: &name,
            capacity: 0,
            messages: false,
            found: false,
        };
        Some(self.channels.make(&mut self.recorder, ended.task, new))
    }
}
