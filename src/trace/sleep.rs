//! Whether a task that has been resumed sleeps, or is about to stop: read off the kernel.

use super::calls::Family;
use super::tracer::Tracer;
use crate::model::{How, State, Task, TaskId, Why};
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

    /// Whether the kernel says of each of these tasks that it sleeps in the call that the log says, and that none
    /// of them has been woken in between. Who no longer does, or sleeps in another call by now, is looked at
    /// anew.
    pub fn still_sleep(&mut self, tasks: &[TaskId]) -> bool {
        if self.is_anybody_ending() {
            return false;
        }
        let first: Vec<Option<u64>> = tasks.iter().map(|task| self.sleeps_on(*task)).collect();
        if first.contains(&None) {
            for (task, _) in tasks.iter().zip(first).filter(|(_, naps)| naps.is_none()) {
                self.look_anew(*task);
            }
            return false;
        }
        // Between the two looks at one of them another one could have been woken by it; then it has slept
        // once more.
        tasks.iter().map(|task| self.sleeps_on(*task)).eq(first)
    }

    /// Who sleeps for some time only, as the log says, in a call that does not stop: when it is over it may go to
    /// sleep without end, and nobody hears of it.
    fn timed(&self) -> Vec<i32> {
        let for_a_while = |task: &&Task| matches!(task.state, State::Blocked(blocked) if blocked.timeout);
        let tids = self.world().living().filter(for_a_while).filter_map(|task| self.tids.get(&task.id).copied());
        let unseen = |tid: &i32| {
            self.tracees.get(tid).is_some_and(|tracee| tracee.call.is_none() && tracee.blocked && !tracee.ended)
        };
        tids.filter(unseen).collect()
    }

    /// Whether there is anybody of whom that has to be asked.
    pub fn has_timed(&self) -> bool {
        !self.timed().is_empty()
    }

    /// Writes of those who sleep without end by now.
    pub fn look_at_timed(&mut self) {
        for tid in self.timed() {
            if self.is_asleep(tid) && self.sleeps_without_end(tid) {
                self.wake(tid);
                self.fell_asleep(tid);
            }
        }
    }

    /// Whether a task is on its way out: the log has its end, and the kernel has not told its parent yet (SIGCHLD).
    fn is_anybody_ending(&self) -> bool {
        let leaves = |tid: &i32, ended: bool, task: TaskId| {
            ended && !self.is_process_one(task) && !self.has_living_threads(*tid)
        };
        self.tracees.iter().any(|(tid, tracee)| leaves(tid, tracee.ended, tracee.task))
    }

    /// How often a task has gone to sleep, if it sleeps in the call that the log says.
    fn sleeps_on(&self, task: TaskId) -> Option<u64> {
        if self.blocked(task)?.why == Why::Barrier {
            return Some(0);
        }
        let tid = *self.tids.get(&task)?;
        let tracee = self.tracees.get(&tid)?;
        let (number, args) = tracee.sleeps_in?;
        if !matches!(procfs::state(tid), Some(b'S' | b'D')) {
            return None;
        }
        let (now_in, now) = procfs::sleeping_in(tid)?;
        let goes_on = self.calls.family(now_in) == Family::Restart;
        // Of a call that does not stop only its arguments tell whether it is another one by now, with a timeout.
        let same = if tracee.call.is_some() { now[0] == args[0] } else { now == args };
        (goes_on || (now_in == number && same)).then(|| procfs::naps(tid)).flatten()
    }

    /// Somebody who was woken in a call that does not stop has not been heard of since.
    fn look_anew(&mut self, task: TaskId) {
        let Some(tid) = self.tids.get(&task).copied() else { return };
        let is_blocked = self.world().task(task).is_some_and(|task| matches!(task.state, State::Blocked(_)));
        let unseen = self.tracees.get(&tid).is_some_and(|tracee| tracee.call.is_none());
        if is_blocked && unseen {
            self.wake(tid);
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
