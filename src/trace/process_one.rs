//! Process 1 of a PID namespace (pid_namespaces(7)).
//!
//! A signal that it has no handler for is thrown away, whoever sends it; only SIGKILL and SIGSTOP from outside
//! of the namespace are not. What the kernel itself forces, a fault, ends it nevertheless: the kernel takes its
//! protection away (`force_sig_info_to_task` in kernel/signal.c), but not from one that is traced. That one
//! would go back to the instruction that has failed, and fail again, for ever. So the lab lets it go: untraced
//! it fails once more and dies of it. With it goes its namespace; the others in it are killed by the kernel, and
//! they are traced.

use super::hands::BY_HAND;
use super::tracer::{Result, Tracer};
use crate::model::{Phase, Signal, Status, TaskId};
use crate::sys::procfs;
use crate::sys::ptrace::{Resume, SignalInfo, Stopped};

impl Tracer {
    /// Delivers a signal for which process 1 has no handler.
    pub(super) fn deliver_to_process_one(
        &mut self,
        tid: i32,
        task: TaskId,
        stopped: Stopped,
        signal: Signal,
        info: SignalInfo,
    ) -> Result<()> {
        // What a process sends has no positive code, and what the kernel sends to an instruction has one.
        if signal.is_synchronous() && info.code > 0 {
            self.phase(task, Phase::Delivered, signal, info);
            self.phase(task, Phase::Default, signal, info);
            return self.release(tid, stopped, signal);
        }
        // Whoever is outside of the namespace has no PID in it. The kernel throws SIGSTOP from inside away when
        // it is sent, but not of a traced receiver.
        if signal == Signal::STOP && (info.pid == 0 || info.pid == BY_HAND) {
            self.phase(task, Phase::Delivered, signal, info);
            self.phase(task, Phase::Default, signal, info);
            return stopped.resume(Resume::Continue, Some(signal));
        }
        self.phase(task, Phase::Discarded, signal, info);
        stopped.resume(Resume::Continue, None)
    }

    /// Lets a task go that is to fail once more, and dies of it.
    fn release(&mut self, tid: i32, stopped: Stopped, signal: Signal) -> Result<()> {
        stopped.fail_again(signal)?;
        stopped.detach()?;
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.released = true;
            tracee.dies_of = Some(signal);
        }
        Ok(())
    }

    /// Whether a task that was let go is about to end: it neither has ended nor sleeps until others have.
    pub fn is_about_to_end(&self, tid: i32) -> bool {
        matches!(procfs::state(tid), Some(b'R' | b'D' | b't'))
    }

    /// The tasks that were let go, by TID.
    pub fn released(&self) -> Vec<i32> {
        self.tracees.iter().filter(|(_, tracee)| tracee.released).map(|(tid, _)| *tid).collect()
    }

    /// Writes the ends of those tasks that were let go. Whoever is not their parent is not told of them.
    /// Returns whether there were any.
    pub fn look_at_released(&mut self) -> bool {
        let mut any = false;
        for tid in self.released() {
            // A leader that has ended before its threads is no end of the process.
            if matches!(procfs::state(tid), None | Some(b'Z' | b'X')) && !self.has_living_threads(tid) {
                any = true;
                let known = procfs::exit_status(tid).filter(|status| libc::WIFSIGNALED(*status));
                self.released_ended(tid, known.map(super::ending::decode_status));
            }
        }
        any
    }

    /// The parent of a task that was let go has learned of its end.
    pub(super) fn released_ended(&mut self, tid: i32, status: Option<Status>) {
        let Some(signal) = self.tracees.get(&tid).and_then(|tracee| tracee.dies_of) else { return };
        self.ended(tid, status.unwrap_or(Status::Signal { signal, core: false }));
    }
}
