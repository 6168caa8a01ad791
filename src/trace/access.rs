//! One access to watched memory: what the instruction that faulted does, and what is written of it.

use super::calls::Family;
use super::instruction::{self, Shape};
use super::tracee::{Rest, Tracee};
use super::tracer::{Result, Tracer};
use super::watch::{Region, protection};
use crate::model::{Access, ChannelKind, Kind, Signal, TaskId};
use crate::sys::detour::{Detour, Fault, Rounds, Step};
use crate::sys::ptrace::{self, Stopped, Wait};
use crate::sys::{memory, procfs};

/// The longest instruction.
const CODE: usize = 15;
/// How far around an access of unknown size is looked for what it has changed, in bytes.
const UNKNOWN: usize = 64;
/// How many rounds of a repeated string instruction are one access: each is a step of the processor, and
/// nobody else moves meanwhile.
const ROUNDS: u64 = 4096;

/// What one instruction does to one mapping.
#[derive(Debug)]
struct Touch {
    region: Region,
    /// The lowest address that may be touched, and what stood from there on.
    address: u64,
    before: Vec<u8>,
    writes: bool,
    /// Which round of a repeated instruction came here first.
    first: u64,
}

/// What an instruction does that is being executed.
#[derive(Debug)]
struct Doing {
    shape: Shape,
    /// Of a repeated instruction, how it stood before it.
    rounds: Option<Rounds>,
    /// Where it is.
    at: u64,
    touched: Vec<Touch>,
}

impl Doing {
    /// How many rounds a repeated instruction has done; of any other one.
    fn done(&self, stopped: &Stopped) -> Result<u64> {
        let Some(before) = self.rounds else { return Ok(1) };
        Ok(before.left.saturating_sub(stopped.rounds()?.left))
    }

    const fn size(&self) -> usize {
        match self.shape.bytes {
            Some(bytes) => bytes,
            None => UNKNOWN,
        }
    }

    /// What an access at `address` may touch of a region, from which round on: the lowest address and how
    /// many bytes.
    fn reach(&self, address: u64, region: &Region, first: u64) -> (u64, usize) {
        let size = self.size() as u64;
        let rounds = self.rounds.map_or(1, |rounds| rounds.left.saturating_sub(first).clamp(1, ROUNDS));
        let backward = self.rounds.is_some_and(|rounds| rounds.backward);
        let from = if backward { address.saturating_sub((rounds - 1) * size).max(region.address) } else { address };
        let end = if backward { address + size } else { address.saturating_add(rounds * size) };
        (from, (end.min(region.address + region.bytes) - from) as usize)
    }
}

/// A tracee behind an instruction, or before it with the signal that stands in the way.
type Executed = (Stopped, Option<(Signal, Fault)>);

/// What a tracee faulted for.
pub(super) enum Faulted {
    /// An access to watched memory.
    Watched(Stopped, Fault),
    /// Something of the program's own.
    Own(Stopped),
    /// It goes on already, or has been struck.
    Passed,
}

impl Tracer {
    /// A tracee stopped for SIGSEGV: is it about to access watched memory?
    pub(super) fn at_fault(&mut self, tid: i32, stopped: Stopped) -> Result<Faulted> {
        let Some(task) = self.watched_task(tid) else { return Ok(Faulted::Own(stopped)) };
        let Some(fault) = stopped.fault()? else { return self.behind_a_pending_one(tid, task, stopped) };
        if self.is_closed(task, fault.address) {
            return Ok(Faulted::Watched(stopped, fault));
        }
        if self.is_open_by_now(task, &stopped, fault.address)? {
            return self.pass(tid, stopped).map(|()| Faulted::Passed);
        }
        Ok(Faulted::Own(stopped))
    }

    /// Whether another thread was told of the page since this one met it closed: then it only has to try
    /// again.
    fn is_open_by_now(&self, task: TaskId, stopped: &Stopped, address: u64) -> Result<bool> {
        let here = |region: &&Region| region.contains(address) && region.open;
        let room = self.watch.room_of(self.process_of(task));
        let Some(region) = room.and_then(|room| room.regions.iter().find(here)) else { return Ok(false) };
        if region.access.writes() {
            return Ok(true);
        }
        let mut code = [0; CODE];
        let read = memory::read(stopped.pid(), stopped.instruction_pointer()?, &mut code).unwrap_or(0);
        Ok(instruction::stores(&code[..read]) == Some(false))
    }

    fn is_closed(&self, task: TaskId, address: u64) -> bool {
        let is_ours = |region: &Region| region.contains(address) && !region.open;
        self.watch.room_of(self.process_of(task)).is_some_and(|room| room.regions.iter().any(is_ours))
    }

    /// Lets a task make the access that it stands before.
    pub(super) fn take_access(&mut self, tid: i32, task: TaskId, stopped: Stopped, fault: Fault) -> Result<()> {
        // Another thread may have been told of the pages meanwhile, or have removed them.
        if !self.is_closed(task, fault.address) {
            return self.pass(tid, stopped);
        }
        let process = self.process_of(task);
        let at = stopped.instruction_pointer()?;
        let mut code = [0; CODE];
        let read = memory::read(tid, at, &mut code).unwrap_or(0);
        let shape = instruction::shape(&code[..read]);
        let rounds = if shape.repeats { Some(stopped.rounds()?) } else { None };
        let mut doing = Doing { shape, rounds, at, touched: Vec::new() };
        self.halt_siblings(tid, process)?;
        let Some((stopped, refused)) = self.let_it(tid, process, stopped, fault, &mut doing)? else { return Ok(()) };
        if refused.is_none() {
            let done = doing.done(&stopped)?;
            for touch in &doing.touched {
                self.write_touch(tid, task, touch, &doing, done);
            }
        }
        let Some(stopped) = self.shut(tid, process, stopped)? else { return Ok(()) };
        match refused {
            Some((signal, fault)) => self.at_refusal(tid, task, stopped, signal, &fault),
            None => self.pass_unforced(tid, task, stopped),
        }
    }

    /// Threads have their pages in common: the others must stand still while they are open. Those that
    /// sleep in the kernel do.
    fn halt_siblings(&mut self, tid: i32, process: TaskId) -> Result<()> {
        let host = self.watch.host(process);
        let is_sibling = |tracee: &Tracee| self.watch.host(self.process_of(tracee.task)) == host && tracee.is_moving();
        let siblings: Vec<i32> = self
            .tracees
            .iter()
            .filter(|(other, it)| **other != tid && is_sibling(it))
            .map(|(other, _)| *other)
            .collect();
        for sibling in siblings {
            // One that has lent its memory in a vfork stands still, and cannot be halted.
            if self.waits_for_guest(sibling) {
                continue;
            }
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

    fn waits_for_guest(&self, tid: i32) -> bool {
        let Some(tracee) = self.tracees.get(&tid) else { return false };
        let forks = tracee.call.is_some_and(|call| call.family == Family::Fork);
        forks && self.world().children(tracee.task).any(|child| self.watch.is_guest(child.id))
    }

    /// Lets a task execute the instruction that faulted, with as little as it needs. Returns the signal
    /// that stands in the way even then; `None` if the task has been struck.
    fn let_it(
        &mut self,
        tid: i32,
        process: TaskId,
        stopped: Stopped,
        fault: Fault,
        doing: &mut Doing,
    ) -> Result<Option<Executed>> {
        let (mut at, mut fault) = (stopped, fault);
        loop {
            let Some(opened) = self.open_for(tid, process, at, &fault, doing)? else { return Ok(None) };
            match opened {
                Ok(stopped) => at = stopped,
                Err(stopped) => return Ok(Some((stopped, Some((Signal::SEGV, fault))))),
            }
            loop {
                match at.step_alone()? {
                    Detour::Back(stopped, Step::Done) => {
                        let again = doing.rounds.is_some() && stopped.instruction_pointer()? == doing.at;
                        if !again || doing.done(&stopped)? >= ROUNDS {
                            return Ok(Some((stopped, None)));
                        }
                        at = stopped;
                    }
                    Detour::Back(stopped, Step::Fault(again)) => {
                        (at, fault) = (stopped, again);
                        break;
                    }
                    Detour::Back(stopped, Step::Signal(signal, info)) => {
                        return Ok(Some((stopped, Some((signal, info)))));
                    }
                    Detour::Gone(wait) => return self.struck(tid, wait).map(|()| None),
                }
            }
        }
    }

    /// Opens a region as far as the instruction has shown that it needs it: first for reading. Gives the
    /// task back as an error if that cannot be all.
    fn open_for(
        &mut self,
        tid: i32,
        process: TaskId,
        stopped: Stopped,
        fault: &Fault,
        doing: &mut Doing,
    ) -> Result<Option<std::result::Result<Stopped, Stopped>>> {
        let find = |region: &&mut Region| region.contains(fault.address);
        let Some(room) = self.watch.room_of_mut(process) else { return Ok(Some(Err(stopped))) };
        let gate = room.gate;
        let Some(region) = room.regions.iter_mut().find(find) else { return Ok(Some(Err(stopped))) };
        let fetches = region.executes && fault.address == doing.at;
        let known = doing.touched.iter_mut().find(|touch| touch.region.address == region.address);
        let (wanted, is_new) = match known {
            None => (Access::Read, true),
            Some(touch) if !touch.writes && region.access.writes() => {
                touch.writes = true;
                (Access::ReadWrite, false)
            }
            Some(_) => return Ok(Some(Err(stopped))),
        };
        region.open = true;
        let region = *region;
        let args = [region.address, region.bytes, protection(wanted, region.executes), 0, 0, 0];
        let stopped = match stopped.call_at(gate, libc::SYS_mprotect, args)? {
            Detour::Back(stopped, _) => stopped,
            Detour::Gone(wait) => return self.struck(tid, wait).map(|()| None),
        };
        if is_new && !fetches {
            let first = if doing.rounds.is_some() { doing.done(&stopped)? } else { 0 };
            let (address, bytes) = doing.reach(fault.address, &region, first);
            let mut before = vec![0; bytes];
            let read = memory::read(tid, address, &mut before).unwrap_or(0);
            before.truncate(read);
            doing.touched.push(Touch { region, address, before, writes: false, first });
        }
        Ok(Some(Ok(stopped)))
    }

    /// Writes what an instruction did to one mapping.
    fn write_touch(&mut self, tid: i32, task: TaskId, touch: &Touch, doing: &Doing, done: u64) {
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
        let shape = &doing.shape;
        let bytes = match (shape.bytes, doing.rounds) {
            (Some(size), Some(_)) => size.saturating_mul(done.saturating_sub(touch.first) as usize),
            (Some(size), None) => size,
            (None, _) => (0..now.len()).rev().find(changed).map_or(8, |last| last + 1),
        };
        let bytes = bytes.min(now.len());
        // Backward, the last round was at the lowest address.
        let skipped = if doing.rounds.is_some_and(|rounds| rounds.backward) { now.len() - bytes } else { 0 };
        let (before, now) = (&touch.before[skipped..skipped + bytes], &now[skipped..skipped + bytes]);
        let offset = touch.region.offset + (touch.address - touch.region.address) + skipped as u64;
        if !touch.writes || shape.reads {
            let data = self.recorder.keep(before);
            self.recorder.plain(task, Kind::Load { channel, offset, data });
        }
        let stored = touch.writes && !(shape.conditional && now == before);
        if stored {
            let data = self.recorder.keep(&[before, now].concat());
            self.recorder.plain(task, Kind::Store { channel, offset, data });
        }
    }

    /// What the access is that a task rests before: `store 4 B at counter+0`.
    pub(super) fn access_text(&self, task: TaskId, stopped: &Stopped, fault: &Fault) -> String {
        let mut code = [0; CODE];
        let at = stopped.instruction_pointer().unwrap_or(0);
        let read = memory::read(stopped.pid(), at, &mut code).unwrap_or(0);
        let shape = instruction::shape(&code[..read]);
        let word = match instruction::stores(&code[..read]) {
            _ if shape.reads => "load and store",
            Some(true) => "store",
            Some(false) => "load",
            None => "access",
        };
        let bytes = match shape.bytes {
            Some(bytes) if shape.repeats => format!(" {bytes} B again and again"),
            Some(bytes) => format!(" {bytes} B"),
            None => String::new(),
        };
        let room = self.watch.room_of(self.process_of(task));
        let region = room.and_then(|room| room.regions.iter().find(|region| region.contains(fault.address)));
        let place = region.map_or_else(String::new, |region| {
            let name = self.world().channel(region.channel).map(|channel| channel.name);
            let name = name.map_or("?", |name| self.recorder.names().get(name));
            format!(" at {name}+{}", region.offset + (fault.address - region.address))
        });
        format!("{word}{bytes}{place}")
    }

    /// Whether an access is a step of its own: of scenario processes it belongs to its statement.
    pub(super) fn rest_before_access(&mut self, tid: i32, stopped: Stopped, fault: Fault) -> Result<()> {
        let Some(tracee) = self.tracees.get(&tid) else { return Ok(()) };
        if tracee.actor {
            return self.take_access(tid, tracee.task, stopped, fault);
        }
        self.set_rest(tid, Rest::Access(stopped, fault));
        Ok(())
    }
}
