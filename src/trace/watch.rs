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
use super::decode::{Ended, whole_pages};
use super::instruction::{self, Shape};
use super::recorder::Outcome;
use super::tracee::{Call, Tracee};
use super::tracer::{Result, Tracer};
use crate::model::{Access, ChannelId, ChannelKind, Kind, Signal, TaskId, Use};
use crate::sys::detour::{self, Detour, Fault, Step};
use crate::sys::ptrace::{self, Stopped, Wait};
use crate::sys::{memory, procfs};

/// The longest instruction.
const CODE: usize = 15;
/// How far around an access of unknown size is looked for what it has changed, in bytes.
const UNKNOWN: usize = 64;
/// How many bytes a cell has.
const CELL: usize = 8;
/// How many bytes of a segment are looked at for changes that no instruction of the program made.
const COMPARED: usize = 64 << 10;

/// What is watched.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Scenario processes, because the scenario uses memory.
    actors: bool,
    /// Everybody, because the user asks for it.
    all: bool,
    /// Whether changes are looked for where nobody is watched.
    compare: bool,
    /// Memory of which was said that it is too large for that.
    noted: HashSet<ChannelId>,
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
    const fn of(used: &Use) -> Self {
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
        // What stood in a file before the run nobody has read.
        let is_known = |kind: ChannelKind| kind.is_memory() || kind == ChannelKind::Sem;
        let Some(channel) = self.world().channel(region.channel).filter(|it| is_known(it.kind)) else { return };
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
            let end = self.end_of_change(&before, &now, start);
            let data = self.recorder.keep(&[&before[start..end], &now[start..end]].concat());
            let kind = Kind::Store { channel: region.channel, offset: region.offset + start as u64, data };
            match outcome {
                Some(outcome) => self.recorder.of_call(task, outcome, kind),
                None => self.recorder.plain(task, kind),
            }
            at = end;
        }
    }

    /// Where a change ends that begins at `start`: what lies within a cell of it belongs to it.
    fn end_of_change(&self, before: &[u8], now: &[u8], start: usize) -> usize {
        let limit = start.saturating_add(self.options.capture.max(CELL)).min(now.len());
        let mut end = start + 1;
        let mut index = end;
        while index < limit && index < end + CELL {
            if now[index] != before[index] {
                end = index + 1;
            }
            index += 1;
        }
        end
    }

    /// Whether changes of memory that nobody watches are looked for at every stop: only where one task
    /// moves at a time can be said whose they are.
    pub const fn compare_memory(&mut self, compare: bool) {
        self.watch.compare = compare;
    }

    /// Writes what a task has changed since it was seen last.
    pub(super) fn write_changes_since(&mut self, tid: i32) {
        let Some(task) = self.task_of(tid).filter(|_| self.watch.compare && !self.is_watched(tid)) else { return };
        let shared = |used: &&Use| used.bytes > 0 && used.access.writes();
        if !self.world().uses(task).iter().any(|used| shared(&used)) {
            return;
        }
        let uses: Vec<Use> = self.world().uses(task).iter().filter(shared).copied().collect();
        for used in uses {
            self.note_size(task, &used);
            let by = if self.may_be_others(tid, used.channel) { TaskId::LAB } else { task };
            self.write_changes(tid, by, &Region::of(&used), None);
        }
    }

    /// Whether somebody else has moved too and could have changed this memory.
    fn may_be_others(&self, tid: i32, channel: ChannelId) -> bool {
        let could =
            |task: TaskId| self.world().uses(task).iter().any(|used| used.channel == channel && used.access.writes());
        let moves = |other: i32, tracee: &Tracee| tracee.is_moving() || (tracee.blocked && self.is_waking(other));
        self.tracees.iter().any(|(other, tracee)| *other != tid && could(tracee.task) && moves(*other, tracee))
    }

    /// What stands in memory that is mapped for the first time.
    pub(super) fn write_found_bytes(&mut self, ended: &Ended<'_>, channel: ChannelId, address: u64) {
        let memory = self.world().channel(channel).is_some_and(|channel| channel.kind.is_memory());
        let readable = self.mapped_at(ended.task, address).filter(|used| memory && used.access.reads());
        if let Some(used) = readable {
            self.write_changes(ended.tid, ended.task, &Region::of(&used), Some(ended.outcome()));
        }
    }

    /// Says once of a segment that it is too large to be compared.
    fn note_size(&mut self, task: TaskId, used: &Use) {
        if used.bytes > COMPARED as u64 && self.watch.noted.insert(used.channel) {
            let name = self.world().channel(used.channel).map(|channel| channel.name);
            let name = name.map_or("?", |name| self.recorder.names().get(name));
            let text = format!(
                "{name} has {} bytes: changes are looked for in the first {COMPARED} only; --watch-memory shows all",
                used.bytes
            );
            self.recorder.note(task, &text);
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
