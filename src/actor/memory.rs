//! What the statements about shared memory and about locks do.

use super::machine::Machine;
use crate::scenario::{LockKind, ObjectId, Op, Statement, Value, VarId};
use crate::sys::call::locks::{self, Lock};
use crate::sys::call::region::{CELL, Region, Unreachable};

impl Machine {
    /// The statements about memory. They make no call and have no errno: what cannot be reached ends
    /// the process with a message.
    pub(super) fn memory_statement(&self, statement: &Statement) {
        match &statement.op {
            Op::Load { var, segment, offset } => {
                let loaded = self.access(statement, *segment, offset, Region::load);
                self.set_number(*var, loaded);
            }
            Op::Store { segment, offset, value } => {
                let value = self.number(value);
                self.access(statement, *segment, offset, |region, offset| region.store(offset, value));
            }
            Op::StoreText { segment, offset, text } => self.with_text(text, |text| {
                self.access(statement, *segment, offset, |region, offset| region.store_bytes(offset, text));
            }),
            Op::AtomicAdd { segment, offset, value, into } => {
                let value = self.number(value);
                let before = self.access(statement, *segment, offset, |region, offset| region.add(offset, value));
                if let Some(var) = into {
                    self.set_number(*var, before);
                }
            }
            _ => {}
        }
    }

    fn access<T>(
        &self,
        statement: &Statement,
        segment: ObjectId,
        offset: &Value,
        with: impl FnOnce(&Region, i64) -> Result<T, Unreachable>,
    ) -> T {
        let offset = self.number(offset);
        let object = self.objects.get(segment.index());
        let name = self.program.objects.get(segment.index()).map_or("", |object| object.name.as_str());
        match object.map_or(Err(Unreachable::NotMapped), |object| with(&object.region, offset)) {
            Ok(value) => value,
            Err(Unreachable::NotMapped) => self.refuse(statement, format_args!("{name} is not mapped")),
            Err(Unreachable::Outside(bytes)) => {
                self.refuse(statement, format_args!("offset {offset} is outside of {name}, which has {bytes} bytes"))
            }
            Err(Unreachable::Unaligned) => {
                self.refuse(statement, format_args!("offset {offset} is no multiple of {CELL}"))
            }
        }
    }

    /// The statements about locks.
    pub(super) fn lock_statement(&self, statement: &Statement) {
        let record = |kind: LockKind, start: &Value, len: &Value| Lock {
            kind: match kind {
                LockKind::Read => libc::F_RDLCK,
                LockKind::Write => libc::F_WRLCK,
                LockKind::Unlock => libc::F_UNLCK,
            },
            start: self.number(start),
            length: self.number(len),
        };
        let (answer, into): (_, Option<VarId>) = match &statement.op {
            Op::FcntlLock { fd, kind, start, len, wait, ofd } => {
                (locks::set(self.fd(*fd), record(*kind, start, len), *wait, *ofd), None)
            }
            Op::FcntlGetlk { fd, kind, start, len, ofd, into } => {
                (locks::holder(self.fd(*fd), record(*kind, start, len), *ofd), *into)
            }
            Op::Flock { fd, kind, nonblock } => {
                let operation = match kind {
                    LockKind::Read => libc::LOCK_SH,
                    LockKind::Write => libc::LOCK_EX,
                    LockKind::Unlock => libc::LOCK_UN,
                };
                let nonblock = if *nonblock { libc::LOCK_NB } else { 0 };
                (locks::flock(self.fd(*fd), operation | nonblock), None)
            }
            _ => return,
        };
        if let (Some(holder), Some(var)) = (self.settle(statement, answer), into) {
            self.set_number(var, holder);
        }
    }
}
