//! Every load and every store of shared memory, one by one.
//!
//! The pages are taken away from the program: mprotect(2), made inside the stopped tracee. An access
//! then ends in SIGSEGV, which the program never sees: the lab lets it read, and lets it execute that
//! one instruction; if it faults again it wants to write, and the lab lets it. Then the pages are taken
//! away again. All of that happens at one stop, while nobody else moves through this thread; so what
//! differs before and after is what the instruction did.
//!
//! The kernel meets closed pages as the program does, and would say EFAULT. So they are given back
//! before a call that is told of them, and taken away when it returns.

use std::collections::{HashMap, HashSet};

use super::calls::Family;
use super::decode::whole_pages;
use super::instruction::{self, Shape};
use super::tracee::{Call, Tracee};
use super::tracer::{Result, Tracer};
use crate::model::{Access, ChannelId, ChannelKind, Disposition, Kind, Signal, SignalSet, TaskId, Use};
use crate::sys::detour::{self, Detour, Fault, Step};
use crate::sys::ptrace::{self, Stopped, Wait};
use crate::sys::{memory, procfs};

/// The longest instruction.
const CODE: usize = 15;
/// How far around an access of unknown size is looked for what it has changed, in bytes.
const UNKNOWN: usize = 64;

/// The kernel's `struct sigaction`: handler, flags, restorer, mask.
const SIGACTION: usize = 32;

/// What is watched.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Scenario processes, because the scenario uses memory.
    actors: bool,
    /// Everybody, because the user asks for it.
    all: bool,
    /// Whether changes are looked for where nobody is watched.
    pub compare: bool,
    /// Memory of which was said that it is too large for that.
    pub noted: HashSet<ChannelId>,
    rooms: HashMap<TaskId, Room>,
    /// Mappings that hold instructions: fetching one is no access.
    executable: HashSet<(TaskId, u64)>,
    /// What each process does about SIGSEGV, as it told the kernel (`struct sigaction`).
    fault_actions: HashMap<TaskId, [u8; SIGACTION]>,
}

/// What a process has mapped.
#[derive(Debug, Clone, Default)]
struct Room {
    /// Where in it a system call instruction is.
    gate: u64,
    regions: Vec<Region>,
}

/// One mapping.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    pub channel: ChannelId,
    pub address: u64,
    pub bytes: u64,
    pub offset: u64,
    pub access: Access,
    /// Whether the program can reach it now.
    open: bool,
}

impl Region {
    pub(super) const fn of(used: &Use) -> Self {
        let Use { channel, address, bytes, offset, access } = *used;
        Self { channel, address, bytes, offset, access, open: true }
    }

    const fn contains(&self, address: u64) -> bool {
        self.address <= address && address < self.address + self.bytes
    }

    const fn overlaps(&self, from: u64, bytes: u64) -> bool {
        from < self.address + self.bytes && self.address < from.saturating_add(bytes)
    }
}

/// What one instruction does to one mapping.
#[derive(Debug)]
struct Touch {
    region: Region,
    address: u64,
    before: Vec<u8>,
    writes: bool,
}

/// A tracee behind an instruction, or before it with the signal that stands in the way.
type Executed = (Stopped, Option<(Signal, Fault)>);

/// What became of a tracee that faulted.
pub(super) enum Faulted {
    /// It was an access to watched memory, and the program goes on.
    Seen,
    /// It is a fault of the program's own, with this signal.
    Own(Stopped, Signal),
}

impl Watch {
    /// The mappings of a process that the program can reach and change now.
    pub(super) fn open_regions(&self, process: TaskId) -> Vec<Region> {
        let regions = self.rooms.get(&process).map_or(&[][..], |room| &room.regions);
        regions.iter().copied().filter(|region| region.open && region.access.writes()).collect()
    }

    /// Of scenario processes, of everybody, or of nobody.
    pub(super) fn of(actors: bool, all: bool) -> Self {
        Self { actors, all, ..Self::default() }
    }

    /// A mapping that must stay as it is.
    pub(super) fn leave_alone(&mut self, process: TaskId, address: u64) {
        self.executable.insert((process, address));
    }

    /// After a fork the child finds the pages as its maker has them.
    pub(super) fn inherit(&mut self, maker: TaskId, child: TaskId) {
        if let Some(action) = self.fault_actions.get(&maker).copied() {
            self.fault_actions.insert(child, action);
        }
        if let Some(room) = self.rooms.get(&maker).cloned() {
            self.rooms.insert(child, room);
        }
    }

    /// A process has another program, or none any more.
    pub(super) fn forget(&mut self, process: TaskId) {
        self.rooms.remove(&process);
        self.fault_actions.remove(&process);
        self.executable.retain(|(other, _)| *other != process);
    }
}

const fn protection(access: Access) -> u64 {
    let bits = match access {
        Access::None => libc::PROT_NONE,
        Access::Read => libc::PROT_READ,
        Access::Write | Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
    };
    bits as u64
}

impl Tracer {
    /// Whether the accesses of a task are watched.
    pub(super) fn is_watched(&self, tid: i32) -> bool {
        if !self.watch.actors && !self.watch.all {
            return false;
        }
        let actor = || self.tracees.get(&tid).is_some_and(|tracee| tracee.actor);
        detour::POSSIBLE && (self.watch.all || (self.watch.actors && actor()))
    }

    /// Which task it is, if its accesses are watched.
    pub(super) fn watched_task(&self, tid: i32) -> Option<TaskId> {
        if self.is_watched(tid) { self.task_of(tid) } else { None }
    }

    /// What the process has mapped now; what was closed stays closed.
    fn room(&mut self, process: TaskId) -> &mut Room {
        let world = self.recorder.world();
        let uses = world.uses(process);
        let room = self.watch.rooms.entry(process).or_default();
        let before = std::mem::take(&mut room.regions);
        for used in uses.iter().filter(|used| used.bytes > 0 && used.access != Access::None) {
            // Libraries keep tables in files that nobody writes to.
            let file = world.channel(used.channel).is_some_and(|channel| channel.kind == ChannelKind::File);
            let table = file && !used.access.writes();
            if table || self.watch.executable.contains(&(process, used.address)) {
                continue;
            }
            let bytes = whole_pages(used.bytes);
            let was_closed = before.iter().any(|old| old.overlaps(used.address, bytes) && !old.open);
            let same = before.iter().any(|old| old.contains(used.address) && old.access == used.access);
            room.regions.push(Region {
                channel: used.channel,
                address: used.address,
                bytes,
                offset: used.offset,
                access: used.access,
                open: !(was_closed && same),
            });
        }
        room
    }

    /// Takes away what is open, of a task that is leaving a call. `None` if the task has been struck.
    pub(super) fn close_pages(&mut self, tid: i32, stopped: Stopped) -> Result<Option<Stopped>> {
        let Some(task) = self.watched_task(tid) else { return Ok(Some(stopped)) };
        if self.world().uses(task).iter().all(|used| used.bytes == 0) {
            return Ok(Some(stopped));
        }
        let process = self.process_of(task);
        let gate = stopped.gate()?;
        let room = self.room(process);
        room.gate = gate;
        self.shut(tid, process, stopped)
    }

    fn shut(&mut self, tid: i32, process: TaskId, stopped: Stopped) -> Result<Option<Stopped>> {
        let Some(room) = self.watch.rooms.get_mut(&process) else { return Ok(Some(stopped)) };
        let gate = room.gate;
        let mut at = Some(stopped);
        for region in room.regions.iter_mut().filter(|region| region.open) {
            let Some(stopped) = at.take() else { break };
            region.open = false;
            let args = [region.address, region.bytes, libc::PROT_NONE as u64, 0, 0, 0];
            match stopped.call_at(gate, libc::SYS_mprotect, args)? {
                Detour::Back(stopped, _) => at = Some(stopped),
                Detour::Gone(wait) => {
                    self.struck(tid, wait)?;
                    return Ok(None);
                }
            }
        }
        Ok(at)
    }

    /// A tracee did not come back: SIGKILL has struck.
    fn struck(&mut self, tid: i32, wait: Wait) -> Result<()> {
        match wait {
            Wait::Stopped(stopped, why) => self.stopped(stopped, why),
            Wait::Ended(_, status) => {
                self.ended(tid, status);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Gives back what a call is about to be told of.
    pub(super) fn open_pages(&mut self, tid: i32, stopped: Stopped, call: &Call) -> Result<Option<Stopped>> {
        let Some(task) = self.watched_task(tid) else { return Ok(Some(stopped)) };
        let process = self.process_of(task);
        let Some(room) = self.watch.rooms.get_mut(&process) else { return Ok(Some(stopped)) };
        // These are told of lists of addresses.
        let nested = matches!(
            call.family,
            Family::Readv
                | Family::Writev
                | Family::Recvmsg { .. }
                | Family::Sendmsg { .. }
                | Family::Vmsplice
                | Family::Exec { .. }
        );
        let buffer = matches!(call.family, Family::Read | Family::Write);
        let mut at = Some(stopped);
        for region in room.regions.iter_mut().filter(|region| !region.open) {
            let told = nested
                || call.args.iter().any(|argument| region.contains(*argument))
                || (buffer && region.overlaps(call.args[1], call.args[2]));
            if !told || manages_memory(call.family) {
                continue;
            }
            let Some(stopped) = at.take() else { break };
            region.open = true;
            let args = [region.address, region.bytes, protection(region.access), 0, 0, 0];
            match stopped.call_before_call(libc::SYS_mprotect, args)? {
                Detour::Back(stopped, _) => at = Some(stopped),
                Detour::Gone(wait) => {
                    self.struck(tid, wait)?;
                    return Ok(None);
                }
            }
        }
        Ok(at)
    }

    /// A tracee stopped for SIGSEGV: is it an access to watched memory?
    pub(super) fn at_fault(&mut self, tid: i32, stopped: Stopped) -> Result<Faulted> {
        let own = |stopped| Ok(Faulted::Own(stopped, Signal::SEGV));
        let Some(task) = self.watched_task(tid) else { return own(stopped) };
        let Some(fault) = stopped.fault()? else { return own(stopped) };
        let process = self.process_of(task);
        let is_ours = |region: &Region| region.contains(fault.address) && !region.open;
        if !self.watch.rooms.get(&process).is_some_and(|room| room.regions.iter().any(is_ours)) {
            return own(stopped);
        }
        let mut code = [0; CODE];
        let read = memory::read(tid, stopped.instruction_pointer()?, &mut code).unwrap_or(0);
        let shape = instruction::shape(&code[..read]);
        let mask = self.world().task(task).map(|task| task.blocked);
        let mut touched = Vec::new();
        self.halt_siblings(tid, process)?;
        let Some((stopped, refused)) = self.let_it(tid, process, stopped, fault, &shape, &mut touched)? else {
            return Ok(Faulted::Seen);
        };
        if refused.is_none() {
            for touch in &touched {
                self.write_touch(tid, task, touch, &shape);
            }
        }
        let Some(stopped) = self.shut(tid, process, stopped)? else { return Ok(Faulted::Seen) };
        let Some(stopped) = self.restore_blocked_fault(tid, process, stopped, mask)? else { return Ok(Faulted::Seen) };
        if let Some((signal, fault)) = refused {
            stopped.set_fault(&fault)?;
            return Ok(Faulted::Own(stopped, signal));
        }
        self.pass(tid, stopped)?;
        Ok(Faulted::Seen)
    }

    /// The kernel unblocks a signal that it has to force on somebody, and takes its handler away.
    fn restore_blocked_fault(
        &mut self,
        tid: i32,
        process: TaskId,
        stopped: Stopped,
        mask: Option<SignalSet>,
    ) -> Result<Option<Stopped>> {
        let Some(mask) = mask.filter(|mask| mask.contains(Signal::SEGV)) else { return Ok(Some(stopped)) };
        stopped.set_signal_mask(mask)?;
        let handled = self.world().action(process, Signal::SEGV).map(|action| action.disposition);
        let action = self.watch.fault_actions.get(&process).filter(|_| handled == Some(Disposition::Handler));
        let gate = self.watch.rooms.get(&process).map(|room| room.gate);
        let Some((action, gate)) = action.zip(gate) else { return Ok(Some(stopped)) };
        let place = stopped.scratch()?;
        memory::write(tid, place, action)?;
        let args = [Signal::SEGV.number() as u64, place, 0, size_of::<u64>() as u64, 0, 0];
        match stopped.call_at(gate, libc::SYS_rt_sigaction, args)? {
            Detour::Back(stopped, _) => Ok(Some(stopped)),
            Detour::Gone(wait) => self.struck(tid, wait).map(|()| None),
        }
    }

    /// Keeps what a process wants to be done about SIGSEGV.
    pub(super) fn keep_fault_action(&mut self, tid: i32, task: TaskId, action: &[u8; SIGACTION]) {
        if self.is_watched(tid) {
            self.watch.fault_actions.insert(self.process_of(task), *action);
        }
    }

    /// Threads have their pages in common: the others must stand still while they are open. Those that
    /// sleep in the kernel do.
    fn halt_siblings(&mut self, tid: i32, process: TaskId) -> Result<()> {
        let is_sibling = |tracee: &Tracee| self.process_of(tracee.task) == process && tracee.is_moving();
        let siblings: Vec<i32> = self
            .tracees
            .iter()
            .filter(|(other, it)| **other != tid && is_sibling(it))
            .map(|(other, _)| *other)
            .collect();
        for sibling in siblings {
            // Whoever has stopped already, or sleeps, or is on its way out needs no halting.
            if procfs::state(sibling) != Some(b'R') || ptrace::interrupt(sibling).is_err() {
                continue;
            }
            match ptrace::wait_for(sibling, true)? {
                Wait::Stopped(stopped, why) => self.backlog.push_back((stopped, why)),
                Wait::Ended(_, status) => self.ended(sibling, status),
                Wait::Nothing | Wait::Interrupted | Wait::Nobody => {}
            }
        }
        Ok(())
    }

    /// Lets a task execute the instruction that faulted, with as little as it needs. Returns the signal
    /// that stands in the way even then; `None` if the task has been struck.
    fn let_it(
        &mut self,
        tid: i32,
        process: TaskId,
        stopped: Stopped,
        fault: Fault,
        shape: &Shape,
        touched: &mut Vec<Touch>,
    ) -> Result<Option<Executed>> {
        let (mut at, mut fault) = (stopped, fault);
        loop {
            let Some(room) = self.watch.rooms.get_mut(&process) else {
                return Ok(Some((at, Some((Signal::SEGV, fault)))));
            };
            let gate = room.gate;
            let Some(region) = room.regions.iter_mut().find(|region| region.contains(fault.address)) else {
                return Ok(Some((at, Some((Signal::SEGV, fault)))));
            };
            let known = touched.iter_mut().find(|touch| touch.region.address == region.address);
            let wanted = match known {
                None => Access::Read,
                Some(touch) if !touch.writes && region.access.writes() => {
                    touch.writes = true;
                    Access::ReadWrite
                }
                Some(_) => return Ok(Some((at, Some((Signal::SEGV, fault))))),
            };
            region.open = true;
            let region = *region;
            let args = [region.address, region.bytes, protection(wanted), 0, 0, 0];
            at = match at.call_at(gate, libc::SYS_mprotect, args)? {
                Detour::Back(stopped, _) => stopped,
                Detour::Gone(wait) => return self.struck(tid, wait).map(|()| None),
            };
            if wanted == Access::Read {
                let room = (region.address + region.bytes - fault.address) as usize;
                let mut before = vec![0; shape.bytes.unwrap_or(UNKNOWN).min(room)];
                let read = memory::read(tid, fault.address, &mut before).unwrap_or(0);
                before.truncate(read);
                touched.push(Touch { region, address: fault.address, before, writes: false });
            }
            match at.step_alone()? {
                Detour::Back(stopped, Step::Done) => return Ok(Some((stopped, None))),
                Detour::Back(stopped, Step::Fault(again)) => (at, fault) = (stopped, again),
                Detour::Back(stopped, Step::Signal(signal, info)) => return Ok(Some((stopped, Some((signal, info))))),
                Detour::Gone(wait) => return self.struck(tid, wait).map(|()| None),
            }
        }
    }

    /// Writes what an instruction did to one mapping.
    fn write_touch(&mut self, tid: i32, task: TaskId, touch: &Touch, shape: &Shape) {
        let channel = touch.region.channel;
        if self.world().channel(channel).is_some_and(|channel| channel.kind == ChannelKind::Sem) {
            if let Some(value) = memory::read_i32(tid, touch.region.address).filter(|_| touch.region.offset == 0) {
                self.write_posix_value(task, channel, value);
            }
            return;
        }
        let mut now = vec![0; touch.before.len()];
        let read = memory::read(tid, touch.address, &mut now).unwrap_or(0);
        now.truncate(read);
        let changed = |index: &usize| touch.before.get(*index) != now.get(*index);
        let bytes = shape.bytes.unwrap_or_else(|| match (0..now.len()).rev().find(changed) {
            Some(last) => last + 1,
            None => 8,
        });
        let bytes = bytes.min(now.len());
        let offset = touch.region.offset + (touch.address - touch.region.address);
        if !touch.writes || shape.reads {
            let data = self.recorder.keep(&touch.before[..bytes]);
            self.recorder.plain(task, Kind::Load { channel, offset, data });
        }
        let stored = touch.writes && !(shape.conditional && now == touch.before);
        if stored {
            let data = self.recorder.keep(&[&touch.before[..bytes], &now[..bytes]].concat());
            self.recorder.plain(task, Kind::Store { channel, offset, data });
        }
    }
}

/// Calls whose addresses are places, not contents.
const fn manages_memory(family: Family) -> bool {
    matches!(family, Family::Mmap | Family::Munmap | Family::Mremap | Family::Mprotect | Family::Shmat | Family::Shmdt)
}
