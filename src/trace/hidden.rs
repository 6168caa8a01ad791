//! Signals that are thrown away without the lab, and must not be noticed with it.
//!
//! The kernel throws a signal away when it is sent, if the receiver ignores it: nobody wakes. Of a traced
//! receiver it does not, because the tracer may want to know; the receiver stops for it, and the call that it
//! sleeps in is interrupted. What is blocked wakes nobody either (`sig_ignored` in kernel/signal.c). So what a
//! task ignores and does not block by itself is kept blocked by the lab: it is *hidden*.
//!
//! The program must not find it in its mask. The kernel copies the mask to where a program sees it in a few
//! calls only, and into the frame of a handler: before these the mask is the program's own, and what was
//! hidden is *lent* to it. What is queued meanwhile is waste. It is thrown away before the program could take
//! it: when the signal stops being hidden.

mod halt;

use std::time::Instant;

use super::again::Again;
use super::calls::Family;
use super::tracee::Call;
use super::tracer::{Result, Tracer};
use crate::model::{DefaultAction, Disposition, Kind, Queue, Signal, SignalSet, TaskId, Timer, TimerKind};
use crate::sys::detour::{Detour, FAULTS};
use crate::sys::ptrace::{SignalInfo, Stopped};
use crate::sys::{memory, procfs};

/// What of a task is hidden.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and they combine freely")]
pub struct Hidden {
    /// What the kernel has blocked that the program does not block.
    pub applied: SignalSet,
    /// What should be hidden.
    pub wanted: SignalSet,
    /// What was hidden when the program was last given its own mask, and is to be hidden again.
    pub lent: SignalSet,
    /// What is never hidden, because a signalfd tells of it.
    pub shown: SignalSet,
    /// What is queued and in the log already as thrown away: for this thread, and, with a leader, for its
    /// process.
    pub(super) told: [Vec<Signal>; 2],
    /// What has to be thrown away out of the queue of its process because it is not ignored any more.
    spoiled: SignalSet,
    /// Whether the queue may hold many of one number, which has a limit.
    pub crowded: bool,
    /// Whether it has itself changed what is done about signals, just now.
    pub acts: bool,
    /// Whether the lab has interrupted it to change its mask.
    pub asked: bool,
    /// Whether it makes calls about signals that the lab does not see.
    pub(super) unseen: bool,
    /// Whether it slept when the lab has interrupted it.
    slept: bool,
    /// What was applied before the lab has changed the mask at the stop that it stands at.
    before: Option<SignalSet>,
    /// Whether it was woken from its call by nothing that would have woken it without the lab.
    pub continued: bool,
    /// When the call began that may have to be made again.
    pub since: Option<Instant>,
    /// How often it had left the CPU when it was found asleep in a call that does not stop.
    pub naps: Option<u64>,
    /// The call that is made again.
    pub again: Option<Again>,
    /// A page of the lab's own, with the time that is left to such a call.
    pub page: Option<u64>,
}

impl Hidden {
    /// Of a task of which nothing is hidden yet.
    pub const fn nothing() -> Self {
        Self {
            applied: SignalSet::EMPTY,
            wanted: SignalSet::EMPTY,
            lent: SignalSet::EMPTY,
            shown: SignalSet::EMPTY,
            told: [Vec::new(), Vec::new()],
            spoiled: SignalSet::EMPTY,
            crowded: false,
            acts: false,
            asked: false,
            unseen: false,
            slept: false,
            before: None,
            since: None,
            naps: None,
            continued: false,
            again: None,
            page: None,
        }
    }

    /// Of a child, which has the mask that its maker had, and nothing queued.
    pub fn inherited(&self) -> Self {
        let (applied, wanted, shown) = (self.before.unwrap_or(self.applied), self.wanted, self.shown);
        Self { applied, wanted, shown, unseen: self.unseen, ..Self::nothing() }
    }

    /// Whether the mask is not what it should be.
    pub const fn is_due(&self) -> bool {
        self.applied.0 != self.wanted.0 || !self.lent.is_empty() || self.crowded || !self.spoiled.is_empty()
    }

    /// What is hidden and is to be: what another thread wants to handle from now on is kept.
    const fn in_effect(&self) -> SignalSet {
        both(self.applied, self.wanted)
    }

    pub(super) const fn queue(&mut self, queue: Queue) -> &mut Vec<Signal> {
        match queue {
            Queue::Thread => &mut self.told[0],
            Queue::Process => &mut self.told[1],
        }
    }
}

/// A set without what is in another.
pub(super) const fn without(set: SignalSet, other: SignalSet) -> SignalSet {
    SignalSet(set.0 & !other.0)
}

pub(super) const fn both(set: SignalSet, other: SignalSet) -> SignalSet {
    SignalSet(set.0 & other.0)
}

const fn either(set: SignalSet, other: SignalSet) -> SignalSet {
    SignalSet(set.0 | other.0)
}

/// Lets a stopped task have what is not to be hidden any more. Returns what still is.
fn show_leaving(stopped: &Stopped, hidden: &Hidden) -> Result<SignalSet> {
    let kept = hidden.in_effect();
    if kept != hidden.applied {
        let mask = stopped.signal_mask()?;
        stopped.set_signal_mask(either(without(mask, hidden.applied), kept))?;
    }
    Ok(kept)
}

/// What is never hidden: what cannot be blocked, and what an instruction causes. Of process 1, also what
/// stops it by default: whoever reads from a terminal in the background is told by the mask.
fn never(process_one: bool) -> SignalSet {
    let mut set: SignalSet = FAULTS.into_iter().filter_map(Signal::new).collect();
    set.insert(Signal::KILL);
    set.insert(Signal::STOP);
    if process_one {
        let stops = Signal::all().filter(|signal| signal.default_action() == DefaultAction::Stop);
        stops.for_each(|signal| set.insert(signal));
    }
    set
}

impl Tracer {
    /// The signals that the kernel throws away when they are sent to this process, unless they are blocked.
    pub(super) fn thrown_away(&self, task: TaskId) -> SignalSet {
        let Some(keeper) = self.world().actions(task) else { return SignalSet::EMPTY };
        let handled = keeper.with_disposition(Disposition::Handler);
        let ignored = keeper.with_disposition(Disposition::Ignore);
        let process_one = self.is_process_one(task);
        let by_default = Signal::all().filter(|signal| {
            process_one || matches!(signal.default_action(), DefaultAction::Ignore | DefaultAction::Continue)
        });
        let by_default = without(by_default.collect(), never(process_one));
        without(either(without(by_default, handled), ignored), never(false))
    }

    /// Whether this is process 1 of a PID namespace: a signal that it has no handler for is thrown away, unless
    /// the kernel itself forces it (pid_namespaces(7), `SIGNAL_UNKILLABLE`).
    pub(super) fn is_process_one(&self, task: TaskId) -> bool {
        self.world().task(self.process_of(task)).is_some_and(|process| process.pid == 1)
    }

    /// The mask of a stopped task as the program has set it.
    pub(super) fn mask_of(&self, tid: i32, stopped: &Stopped) -> Result<SignalSet> {
        let applied = self.tracees.get(&tid).map_or(SignalSet::EMPTY, |tracee| tracee.hidden.applied);
        Ok(without(stopped.signal_mask()?, applied))
    }

    /// Gives a stopped task a mask, and hides what is hidden of it.
    pub(super) fn set_mask_of(&self, tid: i32, stopped: &Stopped, mask: SignalSet) -> Result<()> {
        let applied = self.tracees.get(&tid).map_or(SignalSet::EMPTY, |tracee| tracee.hidden.applied);
        stopped.set_signal_mask(either(mask, applied))
    }

    /// The mask or a disposition has changed: what is to be hidden of a task?
    pub(super) fn decide_hidden(&mut self, tid: i32) {
        let Some(task) = self.task_of(tid) else { return };
        let blocked = self.world().task(task).map_or(SignalSet::EMPTY, |task| task.blocked);
        let thrown_away = without(self.thrown_away(task), blocked);
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            let unseen = tracee.hidden.unseen;
            tracee.hidden.wanted = if unseen { SignalSet::EMPTY } else { without(thrown_away, tracee.hidden.shown) };
        }
    }

    /// What is hidden of those who could take a signal from this queue.
    pub(super) fn hidden_from(&self, task: TaskId, queue: Queue) -> SignalSet {
        if queue == Queue::Thread {
            let tracee = self.tids.get(&task).and_then(|tid| self.tracees.get(tid));
            return tracee.map_or(SignalSet::EMPTY, |tracee| tracee.hidden.in_effect());
        }
        let process = self.process_of(task);
        // Whether a signal is thrown away says the mask of the leader (`sig_ignored` in kernel/signal.c).
        let leader = self.tids.get(&process).and_then(|tid| self.tracees.get(tid));
        leader.map_or(SignalSet::EMPTY, |leader| leader.hidden.in_effect())
    }

    /// Before a call that shows the mask to the program or depends on it, and before a handler's frame is
    /// made: the program's own mask. (`PTRACE_SETSIGMASK` gives up a mask that a call has brought along; before
    /// such a call nothing is hidden, so that this does not happen.)
    pub(super) fn lend_mask(&mut self, tid: i32, stopped: &Stopped) -> Result<()> {
        let mask = self.mask_of(tid, stopped)?;
        let Some(tracee) = self.tracees.get_mut(&tid).filter(|tracee| !tracee.hidden.applied.is_empty()) else {
            return Ok(());
        };
        tracee.hidden.lent = std::mem::take(&mut tracee.hidden.applied);
        stopped.set_signal_mask(mask)
    }

    /// On the way into a call.
    pub(super) fn show_mask(&mut self, tid: i32, stopped: &Stopped, call: &Call) -> Result<()> {
        if self.length_of(call.name).is_some()
            && let Some(tracee) = self.tracees.get_mut(&tid)
        {
            tracee.hidden.since = Some(Instant::now());
        }
        let shows = match call.family {
            Family::Sigprocmask | Family::Sigpending => true,
            Family::SignalWait | Family::Ppoll | Family::Select => self.brings_mask(tid, call),
            Family::Read | Family::Readv | Family::Splice => self.tells_of_own_mask(tid, call.args[0] as i32),
            Family::Sendfile => self.tells_of_own_mask(tid, call.args[1] as i32),
            Family::Sigreturn => {
                // Its mask comes from the frame.
                if let Some(tracee) = self.tracees.get_mut(&tid) {
                    tracee.hidden.lent = std::mem::take(&mut tracee.hidden.applied);
                }
                false
            }
            _ => false,
        };
        if shows { self.lend_mask(tid, stopped) } else { Ok(()) }
    }

    /// Whether a call brings a mask along for as long as it waits.
    pub(super) fn brings_mask(&self, tid: i32, call: &Call) -> bool {
        match self.recorder.names().get(call.name) {
            "rt_sigsuspend" => true,
            "ppoll" => call.args[3] != 0,
            "epoll_pwait" | "epoll_pwait2" => call.args[4] != 0,
            // A structure of two words: where the set is, and how large.
            "pselect6" => call.args[5] != 0 && memory::read_u64(tid, call.args[5]) != Some(0),
            _ => false,
        }
    }

    /// Whether a descriptor leads to where `/proc` says what the task itself blocks.
    fn tells_of_own_mask(&self, tid: i32, fd: i32) -> bool {
        let Some(task) = self.task_of(tid) else { return false };
        let Some(entry) = self.world().fd(task, fd) else { return false };
        let Some(channel) = self.world().channel(entry.channel) else { return false };
        let name = self.recorder.names().get(channel.name);
        let Some((pid, file)) = name.strip_prefix("/proc/").and_then(|rest| rest.rsplit_once('/')) else {
            return false;
        };
        let pid: Option<i32> = pid.rsplit('/').next().and_then(|pid| pid.parse().ok());
        let own = self.world().task(task).map_or(tid, |task| task.pid);
        matches!(file, "status" | "stat") && pid.is_some_and(|pid| pid == tid || pid == own)
    }

    /// After a call that may have changed what is to be hidden.
    pub(super) fn note_hidden(&mut self, tid: i32, call: &Call, value: i64) -> Result<()> {
        if value < 0 && call.family != Family::Sigreturn {
            return Ok(());
        }
        match call.family {
            Family::Sigprocmask | Family::Sigreturn => self.decide_hidden(tid),
            Family::Seccomp if super::sandbox::has_supervisor(call) => return self.lose_sight(tid, None),
            Family::Sigaction if call.args[1] != 0 => return self.dispositions_changed(tid, call.args[0] as i32),
            Family::NewFd if self.recorder.names().get(call.name).starts_with("signalfd") => {
                let set = memory::read_u64(tid, call.args[1]).map_or(SignalSet::EMPTY, SignalSet);
                let Some(process) = self.task_of(tid).map(|task| self.process_of(task)) else { return Ok(()) };
                for other in self.threads_of(process) {
                    if let Some(tracee) = self.tracees.get_mut(&other) {
                        tracee.hidden.shown = either(tracee.hidden.shown, set);
                    }
                    self.decide_hidden(other);
                }
                return self.ask_others(tid, self.threads_of(process));
            }
            _ => {}
        }
        Ok(())
    }

    /// All whose dispositions are those of a task (`CLONE_SIGHAND` of clone(2)), its process or another one.
    fn sharers_of(&self, task: TaskId) -> Vec<i32> {
        let table = |task: TaskId| self.world().actions(task).map(|keeper| keeper.id);
        let shared = table(task);
        self.tracees.iter().filter(|(_, tracee)| table(tracee.task) == shared).map(|(tid, _)| *tid).collect()
    }

    pub(super) fn threads_of(&self, process: TaskId) -> Vec<i32> {
        let of_it = |tracee: &super::tracee::Tracee| self.process_of(tracee.task) == process;
        self.tracees.iter().filter(|(_, tracee)| of_it(tracee)).map(|(tid, _)| *tid).collect()
    }

    /// A process makes calls about signals that the lab does not see: nothing of it is hidden any more, lest it miss
    /// what it has come to handle. At the entry of such a call its mask is its own at once.
    pub(super) fn lose_sight(&mut self, tid: i32, entry: Option<&Stopped>) -> Result<()> {
        let Some(task) = self.task_of(tid) else { return Ok(()) };
        let sharers = self.sharers_of(task);
        for other in &sharers {
            if let Some(tracee) = self.tracees.get_mut(other) {
                tracee.hidden.unseen = true;
            }
            self.decide_hidden(*other);
        }
        if let Some(stopped) = entry
            && let Some(tracee) = self.tracees.get_mut(&tid)
        {
            tracee.hidden.applied = show_leaving(stopped, &tracee.hidden)?;
        }
        self.ask_others(tid, sharers)
    }

    /// What a process that the lab does not see all calls of does about signals, as the kernel says.
    pub(super) fn look_at_actions(&mut self, tid: i32) {
        let Some(tracee) = self.tracees.get(&tid).filter(|tracee| tracee.hidden.unseen) else { return };
        let (task, Some(status)) = (tracee.task, procfs::status(tid)) else { return };
        for signal in Signal::all().filter(|signal| signal.is_catchable()) {
            let disposition = match signal {
                signal if status.caught.contains(signal) => Disposition::Handler,
                signal if status.ignored.contains(signal) => Disposition::Ignore,
                _ => Disposition::Default,
            };
            if self.disposition(task, signal) != disposition {
                let kind = Kind::Action { signal, disposition, flags: 0, mask: SignalSet::EMPTY };
                self.recorder.plain(task, kind);
            }
        }
    }

    /// A process that has loaded another program is seen again, unless a filter of its own goes on with it.
    pub(super) fn look_at_program(&mut self, tid: i32) {
        self.look_at_actions(tid);
        if let Some(tracee) = self.tracees.get_mut(&tid).filter(|tracee| tracee.hidden.unseen) {
            tracee.hidden.unseen = procfs::seccomp_filters(tid) != Some(1);
        }
    }

    /// A process that sleeps has many real-time signals in its queue that are thrown away without the lab: they are,
    /// before its limit is reached (`RLIMIT_SIGPENDING` of getrlimit(2)).
    pub(super) fn relieve(&mut self, tid: i32, target: TaskId, queue: Queue) -> Result<()> {
        /// How many may wait where the limit is high.
        const MANY: u64 = 1000;
        const OFTEN: usize = 8;
        let Some(other) = self.tids.get(&target).copied().filter(|other| *other != tid) else { return Ok(()) };
        let Some(tracee) = self.tracees.get_mut(&other) else { return Ok(()) };
        let waiting = tracee.hidden.queue(queue).iter().filter(|signal| signal.is_realtime()).count();
        if waiting == 0 || (waiting > OFTEN && waiting % OFTEN != 0) {
            return Ok(());
        }
        let stands = tracee.rest.is_some() || tracee.ended || tracee.listening || tracee.held;
        let limit = procfs::soft_limit(other, "Max pending signals").unwrap_or(u64::MAX);
        if stands || self.is_halted(other) || (waiting as u64) < (limit / 4).min(MANY) {
            return Ok(());
        }
        self.halt_for_mask(other)
    }

    fn dispositions_changed(&mut self, tid: i32, signal: i32) -> Result<()> {
        let Some(process) = self.task_of(tid).map(|task| self.process_of(task)) else { return Ok(()) };
        let changed = Signal::new(signal).map_or(SignalSet::EMPTY, |signal| SignalSet::EMPTY.with(signal));
        let spoiled = without(both(changed, self.hidden_from(process, Queue::Process)), self.thrown_away(process));
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.hidden.acts = true;
            tracee.hidden.spoiled = either(tracee.hidden.spoiled, spoiled);
        }
        let ignores = Signal::new(signal).filter(|signal| self.thrown_away(process).contains(*signal));
        // The kernel empties the queues of what is ignored from now on (sigaction(2)).
        for other in self.threads_of(process) {
            if let (Some(signal), Some(tracee)) = (ignores, self.tracees.get_mut(&other)) {
                tracee.hidden.told.iter_mut().for_each(|told| told.retain(|known| *known != signal));
            }
        }
        let sharers = self.sharers_of(process);
        for other in &sharers {
            self.decide_hidden(*other);
        }
        self.ask_others(tid, sharers)
    }

    /// A new task has the mask of its maker, and may hide something else.
    pub(super) fn hide_from_birth(&mut self, tid: i32, stopped: &Stopped) -> Result<()> {
        let Some(tracee) = self.tracees.get(&tid).filter(|it| it.hidden.applied != it.hidden.wanted) else {
            return Ok(());
        };
        let (applied, wanted) = (tracee.hidden.applied, tracee.hidden.wanted);
        let waits: SignalSet = Self::queued(stopped)?.iter().map(|(signal, _)| *signal).collect();
        let arriving = without(without(wanted, applied), waits);
        let hides = either(both(applied, wanted), arriving);
        let mask = without(stopped.signal_mask()?, applied);
        stopped.set_signal_mask(either(mask, hides))?;
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.hidden.applied = hides;
        }
        Ok(())
    }

    /// Brings the mask of a task up to date that is on its way back into its own code, and throws away what was
    /// queued of signals that are not hidden any more. `None` if it did not come back from there.
    pub(super) fn settle_mask(&mut self, tid: i32, stopped: Stopped) -> Result<Option<Stopped>> {
        let Some(tracee) = self.tracees.get_mut(&tid).filter(|tracee| tracee.hidden.is_due()) else {
            return Ok(Some(stopped));
        };
        let task = tracee.task;
        let hidden = &mut tracee.hidden;
        let before = either(hidden.applied, hidden.lent);
        let (leaving, arriving) = (without(before, hidden.wanted), without(hidden.wanted, before));
        let mask = without(stopped.signal_mask()?, hidden.applied);
        let crowded = std::mem::take(&mut hidden.crowded);
        let acts = std::mem::take(&mut hidden.acts);
        hidden.lent = SignalSet::EMPTY;
        let spoiled = std::mem::take(&mut hidden.spoiled);
        let mut waste = either(if crowded { before } else { leaving }, spoiled);
        // What waits and is not blocked is about to be delivered: that comes first.
        let queued = if either(arriving, waste).is_empty() { Vec::new() } else { Self::queued(&stopped)? };
        let waits: SignalSet = queued.iter().map(|(signal, _)| *signal).collect();
        waste = both(waste, waits);
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Ok(None) };
        tracee.hidden.applied = either(both(before, tracee.hidden.wanted), without(arriving, waits));
        let mask = either(mask, tracee.hidden.applied);
        if waste.is_empty() {
            self.forget_told(task, spoiled);
            stopped.set_signal_mask(mask)?;
            return Ok(Some(stopped));
        }
        // When another thread has changed what is done about a signal, what is queued may have come after that.
        let certain = if acts { waste } else { both(waste, self.thrown_away(task)) };
        // The kernel keeps what a periodic timer sends until there is a handler, and counts meanwhile
        // (`posixtimer_sig_ignore` in kernel/signal.c).
        let timers = self.world().timers(task);
        let rings = |info: &SignalInfo| {
            let own = |timer: &Timer| timer.kind == TimerKind::Posix && timer.id == info.timer && timer.interval > 0;
            info.code == libc::SI_TIMER && timers.iter().any(own)
        };
        let hides = self.tracees.get(&tid).map_or(SignalSet::EMPTY, |tracee| tracee.hidden.wanted);
        let handled = |it: Signal| spoiled.contains(it) && self.disposition(task, it) == Disposition::Handler;
        let kept = certain.iter().filter(|it| hides.contains(*it) || handled(*it));
        let kept = kept.filter(|kept| queued.iter().all(|(signal, info)| signal != kept || rings(info)));
        let certain = without(certain, kept.collect());
        let wasted: Vec<_> = queued.into_iter().filter(|(signal, _)| certain.contains(*signal)).collect();
        if wasted.is_empty() {
            self.forget_told(task, spoiled);
            stopped.set_signal_mask(mask)?;
            return Ok(Some(stopped));
        }
        for (signal, info) in &wasted {
            self.write_waste(task, *signal, *info);
        }
        self.forget_told(task, either(certain, spoiled));
        match stopped.throw_away(certain, wasted.len(), mask)? {
            Detour::Back(stopped, ()) => Ok(Some(stopped)),
            Detour::Gone(wait) => self.struck(tid, wait).map(|()| None),
        }
    }

    /// At a stop for a signal that is thrown away.
    pub(super) fn hide_at_stop(&mut self, tid: i32, stopped: &Stopped) -> Result<()> {
        let Some(tracee) = self.tracees.get(&tid) else { return Ok(()) };
        // A mask that a call has brought along is not to be lost.
        if !tracee.hidden.lent.is_empty() || tracee.hidden.applied == tracee.hidden.wanted {
            return Ok(());
        }
        let arriving = without(tracee.hidden.wanted, tracee.hidden.applied);
        let waits: SignalSet = Self::queued(stopped)?.iter().map(|(signal, _)| *signal).collect();
        let mask = stopped.signal_mask()?;
        let arriving = without(arriving, waits);
        if let Some(tracee) = self.tracees.get_mut(&tid).filter(|_| !arriving.is_empty()) {
            tracee.hidden.applied = either(tracee.hidden.applied, arriving);
            stopped.set_signal_mask(either(mask, arriving))?;
        }
        Ok(())
    }

    pub(super) fn queued(stopped: &Stopped) -> Result<Vec<(Signal, SignalInfo)>> {
        let mut queued = stopped.queued_signals(false)?;
        queued.extend(stopped.queued_signals(true)?);
        Ok(queued)
    }
}
