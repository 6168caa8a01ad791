//! Waiting until a step is over: nobody moves any more.
//!
//! A step of one task can wake others; what they then do is part of the step. It is over when every
//! task has stopped or sleeps, as the kernel says it. Of stops that came together that of the task
//! whose step it is comes first, because it is what woke the others; these follow by age, not in the
//! order in which the kernel happened to report them, so that the same run writes the same log.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::engine::Engine;
use crate::model::{Status, TaskId};
use crate::sys::ptrace::{self, Stopped, Wait, Why};
use crate::sys::{self, look, procfs};

/// How long a step may compute before the others go on without it: time that it had a CPU, because on
/// a busy machine nothing can be said of any other.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long a step waits for a task that sleeps uninterruptibly or on its way out. That passes by itself on a disk;
/// but who serves a file system may be a task of the run, which makes no step meanwhile.
const DISK: Duration = Duration::from_secs(10);
const SERVED: Duration = Duration::from_millis(20);
/// How long a step waits for the kernel to bring a sleeper what was sent to it: on a busy machine that is left to
/// a thread of the kernel.
const DELIVERY: Duration = Duration::from_millis(500);
/// The first and the longest nap between two looks. A nap gives the CPU that tracer and tracees share
/// to whoever can use it; sched_yield(2) would mostly come straight back.
const NAP: Duration = Duration::from_micros(1);
const LONGEST_NAP: Duration = Duration::from_micros(250);

/// What has been reported and not yet been taken in.
#[derive(Debug, Default)]
pub struct Settling {
    seen: Vec<Seen>,
    /// The task whose step it is, if it is one task's.
    pub(super) mover: Option<TaskId>,
}

#[derive(Debug)]
enum Seen {
    Stopped(Stopped, Why),
    Ended(i32, Status),
}

impl Seen {
    const fn tid(&self) -> i32 {
        match self {
            Self::Stopped(stopped, _) => stopped.pid(),
            Self::Ended(tid, _) => *tid,
        }
    }
}

/// How long the tasks that run have had a CPU since the step began.
#[derive(Debug, Default)]
struct Patience {
    began: HashMap<i32, u64>,
    since: Option<Instant>,
}

impl Patience {
    fn is_over(&mut self, tid: i32) -> bool {
        // Asking is dear; before this much time has passed the answer is no.
        let waited = self.since.get_or_insert_with(Instant::now).elapsed();
        if waited >= SERVED {
            let limit = if look::may_be_served() { SERVED } else { DISK };
            if waited >= limit && matches!(procfs::state(tid), Some(b'S' | b'D')) && procfs::has_left_the_cpu(tid) {
                return true;
            }
        }
        if waited < PATIENCE && self.began.contains_key(&tid) {
            return false;
        }
        let had = procfs::cpu_time(tid).unwrap_or(0);
        let began = *self.began.entry(tid).or_insert(had);
        Duration::from_nanos(had.saturating_sub(began)) >= PATIENCE
    }
}

impl Engine {
    /// Waits until every task has stopped or sleeps, or has computed for longer than a step may take.
    pub(super) fn settle(&mut self) -> sys::Result<()> {
        let mut patience = Patience::default();
        let mut delivered = false;
        let mut waits = None;
        loop {
            let mut in_time = self.collect(&mut patience)?;
            // Whom a write into a terminal wakes stops a little later than the writer: not by chance before or
            // after that is taken in.
            if in_time && !self.settling.seen.is_empty() && self.tracer.deliver_to_terminals() {
                in_time = self.collect(&mut patience)?;
            }
            let seen = std::mem::take(&mut self.settling.seen);
            if seen.is_empty() {
                // Whoever waited for room at the lab's terminal goes on.
                if self.tracer.read_terminal() {
                    continue;
                }
                // What was written into a terminal may be on its way still.
                if !delivered && self.tracer.deliver_to_terminals() {
                    delivered = true;
                    continue;
                }
                self.write_sleepers();
                // What was sent through a socket arrives when the kernel comes to it.
                if self.something_comes() && waits.get_or_insert_with(Instant::now).elapsed() < DELIVERY {
                    std::thread::sleep(LONGEST_NAP);
                    continue;
                }
                return Ok(());
            }
            (delivered, waits) = (false, None);
            self.take_in(seen)?;
            if !in_time {
                return Ok(());
            }
        }
    }

    /// Gathers stops until nobody is about to make another. Returns whether that was in time.
    fn collect(&mut self, patience: &mut Patience) -> sys::Result<bool> {
        let mut nap = NAP;
        loop {
            if self.collect_one()? {
                continue;
            }
            self.tracer.look_at_released();
            let running = self.running();
            if running.is_empty() {
                return Ok(true);
            }
            if running.iter().all(|tid| patience.is_over(*tid)) {
                return Ok(false);
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(LONGEST_NAP);
        }
    }

    fn collect_one(&mut self) -> sys::Result<bool> {
        let seen = match ptrace::wait(false)? {
            Wait::Stopped(stopped, why) => Seen::Stopped(stopped, why),
            Wait::Ended(tid, status) => Seen::Ended(tid, status),
            Wait::Nothing | Wait::Interrupted | Wait::Nobody => return Ok(false),
        };
        self.settling.seen.push(seen);
        Ok(true)
    }

    /// The task that a reported stop says to have been made, if it has not stopped itself yet. Its first
    /// stop must not be a matter of luck.
    fn newborn(&self, seen: &Seen) -> Option<i32> {
        let Seen::Stopped(stopped, Why::Made(_)) = seen else { return None };
        let child = stopped.message().ok()? as i32;
        let known = self.tracer.has_met(child) || procfs::state(child).is_none();
        (!known).then_some(child)
    }

    /// Who is about to stop, or to fall asleep, or has been woken.
    fn running(&self) -> Vec<i32> {
        let reported = |tid: &i32| self.settling.seen.iter().any(|seen| seen.tid() == *tid);
        let mut running = self.tracer.moving();
        running.retain(|tid| !reported(tid) && !self.tracer.is_asleep(*tid) && !self.waits_for_us(*tid));
        running.extend(self.tracer.released().into_iter().filter(|tid| self.tracer.is_about_to_end(*tid)));
        let woken = self.tracer.sleeping();
        running.extend(self.settling.seen.iter().filter_map(|seen| self.newborn(seen)).filter(|tid| !reported(tid)));
        running.extend(woken.iter().filter(|tid| !reported(tid) && self.tracer.is_waking(**tid)));
        running
    }

    /// Whether a thread cannot stop before what was reported is taken in. It waits for the end of another one of
    /// its process: exec does, and so does who dumps core. Or it has become that other one by its exec.
    fn waits_for_us(&self, tid: i32) -> bool {
        let process = |tid: i32| self.tracer.world().task(self.tracer.task_of(tid)?).map(|task| task.process);
        let concerns = |seen: &Seen| {
            matches!(seen, Seen::Stopped(_, Why::Exit | Why::Exec)) && process(seen.tid()) == process(tid)
        };
        self.settling.seen.iter().any(concerns) && matches!(procfs::state(tid), None | Some(b'D'))
    }

    fn take_in(&mut self, mut seen: Vec<Seen>) -> sys::Result<()> {
        // A task that is not in the books yet is younger than all that are.
        let rank = |seen: &Seen| {
            let task = self.tracer.task_of(seen.tid());
            (task != self.settling.mover, task.map_or(usize::MAX, TaskId::index))
        };
        seen.sort_by_key(rank);
        for seen in seen {
            match seen {
                Seen::Stopped(stopped, why) => self.tracer.stopped(stopped, why)?,
                Seen::Ended(tid, status) => self.tracer.ended(tid, status),
            }
        }
        Ok(())
    }

    fn write_sleepers(&mut self) {
        let mut sleepers = self.tracer.moving();
        sleepers.sort_by_key(|tid| self.tracer.task_of(*tid));
        for tid in sleepers {
            if self.tracer.is_asleep(tid) {
                self.tracer.fell_asleep(tid);
            }
        }
        self.tracer.write_progress();
        self.tracer.look_at_timers();
        self.tracer.look_at_terminals();
        self.tracer.look_at_queues();
    }
}
