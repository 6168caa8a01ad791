//! Whether a task that has been resumed sleeps, or is about to stop: read off the kernel.

use super::calls::Family;
use super::tracer::Tracer;
use crate::model::{How, TaskId};
use crate::sys::procfs;

impl Tracer {
    /// Whether a task that has been resumed and has not stopped sleeps in a call: it will not stop
    /// before something happens elsewhere.
    pub fn is_asleep(&self, tid: i32) -> bool {
        let Some(tracee) = self.tracees.get(&tid) else { return true };
        let vforking = tracee.call.is_some_and(|call| call.family == Family::Fork);
        match procfs::state(tid) {
            // On its way out a task may sleep for a moment; its end comes by itself. Process 1 waits there until
            // all others of its namespace are gone.
            Some(b'S') => (!tracee.ended || self.is_process_one(tracee.task)) && procfs::has_left_the_cpu(tid),
            // A vfork's parent sleeps uninterruptibly until the child lets it go.
            Some(b'D') => vforking && self.has_vforked(tid),
            // The leader of a process whose other threads still live.
            Some(b'Z') => tracee.ended && self.has_living_threads(tid),
            _ => false,
        }
    }

    /// Whether a task that the log says to sleep, or that job control has stopped, is coming back.
    pub fn is_waking(&self, tid: i32) -> bool {
        let listening = self.tracees.get(&tid).is_some_and(|tracee| tracee.listening);
        match procfs::state(tid) {
            Some(b'S' | b'D') => !procfs::has_left_the_cpu(tid),
            // Of a sleeper this is a stop that has not been taken in yet.
            Some(b't' | b'T') => !listening,
            _ => true,
        }
    }

    /// Writes that a task sleeps and why, unless the log says so already.
    pub fn fell_asleep(&mut self, tid: i32) {
        if self.tracees.get(&tid).is_some_and(|tracee| tracee.is_moving() && !tracee.ended) {
            self.write_block(tid);
        }
    }

    fn has_vforked(&self, tid: i32) -> bool {
        self.task_of(tid).is_some_and(|task| self.world().children(task).any(|child| child.how == How::Vfork))
    }

    pub(super) fn has_living_threads(&self, tid: i32) -> bool {
        self.task_of(tid).is_some_and(|task| self.has_living_threads_of(task))
    }

    pub(super) fn has_living_threads_of(&self, process: TaskId) -> bool {
        self.world().living().any(|other| other.process == process && other.id != process)
    }
}
