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
use super::recorder::Outcome;
use super::tracee::Call;
use super::tracer::{Result, Tracer};
use crate::model::{Access, ChannelId, ChannelKind, Kind, Signal, TaskId};
use crate::sys::detour::{self, Detour, Fault, Step};
use crate::sys::memory;
use crate::sys::ptrace::{Stopped, Wait};

/// The longest instruction.
const CODE: usize = 15;
/// How far around an access of unknown size is looked for what it has changed, in bytes.
const UNKNOWN: usize = 64;
/// How many bytes of a segment are looked at for changes that no instruction of the program made.
const COMPARED: usize = 64 << 10;

/// What is watched.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Scenario processes, because the scenario uses memory.
    actors: bool,
    /// Everybody, because the user asks for it.
    all: bool,
    rooms: HashMap<TaskId, Room>,
    /// Mappings that hold instructions: fetching one is no access.
    executable: HashSet<(TaskId, u64)>,
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
struct Region {
    channel: ChannelId,
    address: u64,
    bytes: u64,
    offset: u64,
    access: Access,
    /// Whether the program can reach it now.
    open: bool,
}

impl Region {
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
        if let Some(room) = self.rooms.get(&maker).cloned() {
            self.rooms.insert(child, room);
        }
    }

    /// A process has another program, or none any more.
    pub(super) fn forget(&mut self, process: TaskId) {
        self.rooms.remove(&process);
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
        let actor = || self.tracees.get(&tid).is_some_and(|tracee| tracee.actor);
        detour::POSSIBLE && (self.watch.all || (self.watch.actors && actor()))
    }

    /// What the process has mapped now; what was closed stays closed.
    fn room(&mut self, process: TaskId) -> &mut Room {
        let uses = self.recorder.world().uses(process);
        let room = self.watch.rooms.entry(process).or_default();
        let before = std::mem::take(&mut room.regions);
        for used in uses.iter().filter(|used| used.bytes > 0 && used.access != Access::None) {
            if self.watch.executable.contains(&(process, used.address)) {
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
        let Some(task) = self.task_of(tid).filter(|_| self.is_watched(tid)) else { return Ok(Some(stopped)) };
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
        let Some(task) = self.task_of(tid).filter(|_| self.is_watched(tid)) else { return Ok(Some(stopped)) };
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

    /// A call has changed memory that it was told of.
    pub(super) fn write_changes_by_call(&mut self, tid: i32, outcome: Outcome) {
        let Some(task) = self.task_of(tid).filter(|_| self.is_watched(tid)) else { return };
        let process = self.process_of(task);
        let Some(room) = self.watch.rooms.get(&process) else { return };
        let open: Vec<Region> =
            room.regions.iter().copied().filter(|region| region.open && region.access.writes()).collect();
        for region in open {
            self.write_changes(tid, task, &region, Some(outcome));
        }
    }

    /// Writes what differs from what is known of a mapping.
    fn write_changes(&mut self, tid: i32, task: TaskId, region: &Region, outcome: Option<Outcome>) {
        let Some(channel) = self.world().channel(region.channel) else { return };
        let length = usize::try_from(region.bytes).unwrap_or(usize::MAX).min(COMPARED);
        let mut now = vec![0; length];
        let Ok(read) = memory::read(tid, region.address, &mut now) else { return };
        now.truncate(read);
        if channel.kind == ChannelKind::Sem {
            if let Some(value) = now.first_chunk().filter(|_| region.offset == 0) {
                self.write_posix_value(task, region.channel, i32::from_ne_bytes(*value));
            }
            return;
        }
        let before = channel.memory.read(region.offset, now.len());
        let mut at = 0;
        while let Some(start) = (at..now.len()).find(|index| now[*index] != before[*index]) {
            // What lies within eight bytes is one change.
            let end = (start..now.len())
                .rev()
                .find(|end| *end < start + self.options.capture.max(8) && now[*end] != before[*end]);
            let end = end.map_or(start + 1, |end| end + 1);
            let data = self.recorder.keep(&[&before[start..end], &now[start..end]].concat());
            let kind = Kind::Store { channel: region.channel, offset: region.offset + start as u64, data };
            match outcome {
                Some(outcome) => self.recorder.of_call(task, outcome, kind),
                None => self.recorder.plain(task, kind),
            }
            at = end;
        }
    }

    /// A tracee stopped for SIGSEGV: is it an access to watched memory?
    pub(super) fn at_fault(&mut self, tid: i32, stopped: Stopped) -> Result<Faulted> {
        let own = |stopped| Ok(Faulted::Own(stopped, Signal::SEGV));
        let Some(task) = self.task_of(tid).filter(|_| self.is_watched(tid)) else { return own(stopped) };
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
        let Some((stopped, refused)) = self.let_it(tid, process, stopped, fault, &shape, &mut touched)? else {
            return Ok(Faulted::Seen);
        };
        if refused.is_none() {
            for touch in &touched {
                self.write_touch(tid, task, touch, &shape);
            }
        }
        let Some(stopped) = self.shut(tid, process, stopped)? else { return Ok(Faulted::Seen) };
        // The kernel unblocks a signal that it has to force on somebody.
        if let Some(mask) = mask.filter(|mask| mask.contains(Signal::SEGV)) {
            stopped.set_signal_mask(mask)?;
        }
        if let Some((signal, fault)) = refused {
            stopped.set_fault(&fault)?;
            return Ok(Faulted::Own(stopped, signal));
        }
        self.pass(tid, stopped)?;
        Ok(Faulted::Seen)
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
