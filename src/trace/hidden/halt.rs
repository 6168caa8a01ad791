//! Making a task stop so that its mask can be changed, and letting it go on.
//!
//! A mask can be changed at a stop only. Who sends a signal next may mean one of those whose masks are to be changed,
//! so the lab does not wait until they stop by themselves. The kernel gives a signal to nobody who is stopped: so they
//! are back in their calls before the sender goes on.

use std::time::{Duration, Instant};

use super::super::tracee::Rest;
use super::super::tracer::{Result, Tracer, dying_is_fine, unless_gone};
use super::{show_leaving, without};
use crate::sys::ptrace::{Stopped, Wait, Why};
use crate::sys::{procfs, ptrace};

/// What the kernel reports of a task.
enum Heard {
    Stopped(Stopped, Why),
    Gone,
    Nothing,
}

impl Tracer {
    /// Others must not block what is no longer ignored, and must not do so from now on: what `tid` sends next may
    /// be meant for them. Who does not stand still is interrupted for it. Who is in a group-stop has its turn when
    /// it goes on.
    pub(in crate::trace) fn ask_others(&mut self, tid: i32, others: Vec<i32>) -> Result<()> {
        for other in others.into_iter().filter(|other| *other != tid) {
            let Some(tracee) = self.tracees.get_mut(&other) else { continue };
            let leaving = without(tracee.hidden.applied, tracee.hidden.wanted);
            if leaving.is_empty() || tracee.ended || tracee.listening || tracee.hidden.asked {
                continue;
            }
            let early = self.early.iter().find(|(tid, ..)| *tid == other).map(|(_, stopped, _)| stopped);
            let halted = self.backlog.iter().find(|(halted, _)| halted.pid() == other);
            let makes = halted.is_some_and(|(_, why)| matches!(why, Why::Made(_)));
            let halted = halted.map(|(stopped, _)| stopped);
            if let Some(stopped) = tracee.rest.as_ref().map(Rest::stopped).or(early).or(halted) {
                // One that has been killed meanwhile needs no mask.
                if let Ok(kept) = show_leaving(stopped, &tracee.hidden) {
                    tracee.hidden.before = Some(tracee.hidden.applied).filter(|_| makes);
                    tracee.hidden.applied = kept;
                }
                continue;
            }
            self.halt_for_mask(other)?;
        }
        Ok(())
    }

    /// Makes a task stop that does not stand still, and changes its mask there. What it has stopped for is taken in
    /// by `see_off`. One that sleeps uninterruptibly changes its mask when it wakes.
    pub(in crate::trace) fn halt_for_mask(&mut self, tid: i32) -> Result<()> {
        /// How long a task may take that a CPU or a device keeps waiting.
        const PATIENCE: Duration = Duration::from_secs(1);
        const UNINTERRUPTIBLE: Duration = Duration::from_millis(10);
        let began = Instant::now();
        let mut interrupted = false;
        let slept = procfs::state(tid) == Some(b'S');
        loop {
            match self.hear_of(tid)? {
                Heard::Stopped(stopped, why) => {
                    if let Some(tracee) = self.tracees.get_mut(&tid) {
                        tracee.hidden.asked = true;
                        tracee.hidden.slept = slept;
                    }
                    self.answer_for_mask(tid, &stopped).or_else(unless_gone)?;
                    self.backlog.push_back((stopped, why));
                    return Ok(());
                }
                Heard::Gone => return Ok(()),
                Heard::Nothing => {}
            }
            let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(()) };
            if !std::mem::replace(&mut interrupted, true) {
                tracee.hidden.asked = ptrace::interrupt(tid).is_ok();
                if !tracee.hidden.asked {
                    return Ok(());
                }
                continue;
            }
            let patience = match procfs::state(tid) {
                Some(b'D') => UNINTERRUPTIBLE,
                Some(_) => PATIENCE,
                None => return Ok(()),
            };
            if began.elapsed() > patience {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(20));
        }
    }

    /// Whether what a task has stopped for is still to be taken in.
    pub(in crate::trace) fn is_halted(&self, tid: i32) -> bool {
        self.backlog.iter().any(|(stopped, _)| stopped.pid() == tid)
    }

    /// Lets those go on that were halted for their masks, and waits until they do: a signal that is sent to a process
    /// goes to nobody who is stopped or is about to leave its call (`wants_signal` in kernel/signal.c).
    pub(in crate::trace) fn see_off(&mut self) -> Result<()> {
        let is_meant = |tracer: &Self, (stopped, _): &(Stopped, Why)| {
            tracer.tracees.get(&stopped.pid()).is_some_and(|tracee| tracee.hidden.continued)
        };
        while let Some(index) = self.backlog.iter().position(|halted| is_meant(self, halted)) {
            let Some((stopped, why)) = self.backlog.remove(index) else { return Ok(()) };
            let tid = stopped.pid();
            self.note_others_rest();
            dying_is_fine(self.resume_halted(stopped, why))?;
            self.wait_until_gone_on(tid)?;
        }
        Ok(())
    }

    /// Waits until a task that has been resumed sleeps in its call again, or runs.
    fn wait_until_gone_on(&mut self, tid: i32) -> Result<()> {
        const TO_SLEEP: Duration = Duration::from_secs(1);
        const TO_RUN: Duration = Duration::from_millis(2);
        let (began, time) = (Instant::now(), procfs::cpu_time(tid));
        loop {
            let Some(tracee) = self.tracees.get(&tid) else { return Ok(()) };
            let goes_back = tracee.suspended.is_some() || tracee.hidden.again.is_some();
            let slept = tracee.hidden.slept;
            if tracee.rest.is_some() || tracee.held || tracee.listening || tracee.ended {
                return Ok(());
            }
            match self.hear_of(tid)? {
                Heard::Stopped(stopped, why @ (Why::Seccomp | Why::Call | Why::Signal(_))) if goes_back => {
                    dying_is_fine(self.known_stopped(tid, stopped, why))?;
                    continue;
                }
                Heard::Stopped(stopped, why) => {
                    self.backlog.push_back((stopped, why));
                    return Ok(());
                }
                Heard::Gone => return Ok(()),
                Heard::Nothing => {}
            }
            let gone_on = match procfs::state(tid) {
                Some(b'S') => procfs::has_left_the_cpu(tid),
                Some(b'R' | b't') => !slept && procfs::cpu_time(tid) != time,
                _ => true,
            };
            if gone_on || began.elapsed() > if slept { TO_SLEEP } else { TO_RUN } {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(20));
        }
    }

    /// At the first stop of a task that was interrupted for its mask, whatever the stop is for: any stop answers
    /// `PTRACE_INTERRUPT`.
    pub(in crate::trace) fn answer_for_mask(&mut self, tid: i32, stopped: &Stopped) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&tid).filter(|tracee| tracee.hidden.asked) else { return Ok(()) };
        tracee.hidden.asked = false;
        tracee.hidden.continued = true;
        let before = tracee.hidden.applied;
        tracee.hidden.applied = show_leaving(stopped, &tracee.hidden)?;
        tracee.hidden.before = Some(before);
        Ok(())
    }

    /// What a child inherits is asked for at one stop only.
    pub(in crate::trace) fn forget_answer(&mut self, tid: i32) {
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.hidden.before = None;
        }
    }

    /// What the kernel reports of a task just now.
    fn hear_of(&mut self, tid: i32) -> Result<Heard> {
        Ok(match ptrace::wait_for(tid, false)? {
            Wait::Stopped(stopped, why) => Heard::Stopped(stopped, why),
            Wait::Ended(_, status) => {
                self.ended(tid, status);
                Heard::Gone
            }
            Wait::Nobody => Heard::Gone,
            Wait::Nothing | Wait::Interrupted => Heard::Nothing,
        })
    }
}
