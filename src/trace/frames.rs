//! Handlers that run: what each has interrupted, and whether it is still the one that runs.

use super::tracee::Call;
use super::tracer::{Result, Tracer};
use crate::model::{Kind, Phase, Queue, Signal, SignalSet, Then};
use crate::scenario::StatementId;
use crate::sys::procfs;
use crate::sys::ptrace::Stopped;

/// A handler that was entered and has not returned.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Of which signal.
    pub signal: Signal,
    /// The scenario statement that it has interrupted.
    pub statement: Option<StatementId>,
    /// The stack pointer before its first instruction: nothing of it lies above.
    pub sp: u64,
    /// The call that it has interrupted, and what becomes of that.
    pub call: Option<(Call, Then)>,
}

impl Tracer {
    /// Notes that a handler is about to execute its first instruction.
    pub(super) fn push_frame(&mut self, tid: i32, stopped: &Stopped, signal: Signal) -> Result<()> {
        let sp = stopped.stack_pointer()?;
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
        let call = tracee.then.take();
        tracee.frames.push(Frame { signal, statement: tracee.statement, sp, call });
        Ok(())
    }

    /// The innermost handler has returned: the statement that it interrupted is the current one again, and
    /// the call begins anew or has failed.
    pub(super) fn pop_frame(&mut self, tid: i32) {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        let Some(frame) = tracee.frames.pop() else { return };
        tracee.statement = frame.statement;
        let task = tracee.task;
        let statement = frame.statement.filter(|_| tracee.actor);
        if let Some((call, then)) = frame.call {
            self.recorder.in_call(task, call.name, Kind::Interrupted { signal: frame.signal, then });
        }
        if let Some(statement) = statement {
            self.write_line(task, statement);
        }
    }

    /// A call from above the frame of a handler, on the same stack, shows that the handler was left by a
    /// jump: what lies below the stack pointer is no longer anybody's (siglongjmp(3)). One whose handler
    /// ran on the alternate stack was left when a call comes from the stack that it had interrupted.
    pub(super) fn write_left(&mut self, tid: i32, sp: u64) {
        loop {
            let Some(tracee) = self.tracees.get(&tid) else { return };
            let (task, Some(frame)) = (tracee.task, tracee.frames.last()) else { return };
            let (signal, frame_sp) = (frame.signal, frame.sp);
            let known = self.world().task(task);
            let altstack = known.and_then(|known| known.altstack).map(|it| it.base..it.base.saturating_add(it.bytes));
            let left = match altstack {
                Some(range) if range.contains(&frame_sp) => {
                    !range.contains(&sp)
                        && procfs::mapped_range(tid, sp)
                            .is_some_and(|stack| tracee.stack.is_some_and(|it| stack.contains(&it)))
                }
                _ => sp > frame_sp && procfs::mapped_range(tid, sp).is_some_and(|stack| stack.contains(&frame_sp)),
            };
            if !left {
                return;
            }
            let (queue, from, blocked) = (Queue::Process, None, SignalSet::EMPTY);
            let kind = Kind::Signal { phase: Phase::Left, signal, queue, from, code: 0, value: 0, blocked };
            self.recorder.plain(task, kind);
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.frames.pop();
            }
        }
    }
}
