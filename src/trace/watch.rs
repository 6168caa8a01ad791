//! Every load and every store of shared memory, one by one.
//!
//! The pages are taken away from the program: mprotect(2), made inside the stopped tracee. An access
//! then ends in SIGSEGV, which the program never sees: the lab lets it read, and lets it execute that
//! one instruction; if it faults again it wants to write, and the lab lets it. Then the pages are taken
//! away again. All of that happens at one stop, while nobody else moves through this thread; so what
//! differs before and after is what the instruction did.
//!
//! The kernel meets closed pages as the program does, and would say EFAULT. So they are given back
//! before a call that is told of them, and taken away when it returns; and before a signal frame is put on
//! them or taken off, and before the end of a task, which lets go of robust mutexes (get_robust_list(2)).

use std::collections::{HashMap, HashSet};

use super::calls::Family;
use super::decode::whole_pages;
use super::forced::FaultActions;
use super::tracee::Call;
use super::tracer::{Result, Tracer};
use crate::model::{Access, ChannelId, ChannelKind, Task, TaskId, Use, World};
use crate::sys::detour::{self, Detour};
use crate::sys::ptrace::{Stopped, Wait};

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
    /// Files that are mapped to be written to: what stands in them is in the log.
    pub files: HashSet<ChannelId>,
    /// What is mapped, by the process whose memory it is.
    rooms: HashMap<TaskId, Room>,
    /// Whose memory a process uses that has none of its own before its exec (vfork(2)).
    guests: HashMap<TaskId, TaskId>,
    /// Mappings that hold instructions.
    executable: HashSet<(TaskId, u64)>,
    pub fault_actions: FaultActions,
}

/// What a process has mapped.
#[derive(Debug, Clone, Default)]
pub(super) struct Room {
    /// Where in it a system call instruction is.
    pub gate: u64,
    pub regions: Vec<Region>,
    /// Which threads are in calls that were told of which regions, by address.
    lent: Vec<(i32, u64)>,
}

/// One mapping.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    pub channel: ChannelId,
    pub address: u64,
    pub bytes: u64,
    pub offset: u64,
    pub access: Access,
    /// Whether instructions are fetched from it; that is no access.
    pub executes: bool,
    /// Whether the program can reach it now.
    pub open: bool,
}

impl Region {
    pub(super) const fn of(used: &Use) -> Self {
        let Use { channel, address, bytes, offset, access } = *used;
        Self { channel, address, bytes, offset, access, executes: false, open: true }
    }

    pub(super) const fn contains(&self, address: u64) -> bool {
        self.address <= address && address < self.address + self.bytes
    }

    const fn overlaps(&self, from: u64, bytes: u64) -> bool {
        from < self.address + self.bytes && self.address < from.saturating_add(bytes)
    }
}

impl Watch {
    /// The mappings of a process that a thread's call was told of, and can change.
    pub(super) fn lent_regions(&self, process: TaskId, tid: i32) -> Vec<Region> {
        let Some(room) = self.room_of(process) else { return Vec::new() };
        let lent = |region: &Region| room.lent.contains(&(tid, region.address));
        room.regions.iter().copied().filter(|it| it.open && it.access.writes() && lent(it)).collect()
    }

    /// Of scenario processes, of everybody, or of nobody.
    pub(super) fn of(actors: bool, all: bool) -> Self {
        Self { actors, all, ..Self::default() }
    }

    /// Whether a process uses the memory of another one.
    pub(super) fn is_guest(&self, process: TaskId) -> bool {
        self.guests.contains_key(&process)
    }

    /// The process whose memory a process uses.
    pub(super) fn host(&self, process: TaskId) -> TaskId {
        self.guests.get(&process).copied().unwrap_or(process)
    }

    /// What a process has mapped, if it was looked at before.
    pub(super) fn room_of(&self, process: TaskId) -> Option<&Room> {
        self.rooms.get(&self.host(process))
    }

    /// The same, to change it.
    pub(super) fn room_of_mut(&mut self, process: TaskId) -> Option<&mut Room> {
        let host = self.host(process);
        self.rooms.get_mut(&host)
    }

    /// A mapping that holds instructions.
    pub(super) fn executes(&mut self, process: TaskId, address: u64) {
        self.executable.insert((process, address));
    }

    /// After a fork the child finds the pages as its maker has them.
    pub(super) fn inherit(&mut self, maker: TaskId, child: TaskId) {
        self.fault_actions.inherit(maker, child);
        let marked: Vec<u64> =
            self.executable.iter().filter(|(process, _)| *process == maker).map(|(_, address)| *address).collect();
        self.executable.extend(marked.into_iter().map(|address| (child, address)));
        if let Some(room) = self.room_of(maker).cloned() {
            self.rooms.insert(child, Room { lent: Vec::new(), ..room });
        }
    }

    /// A child uses the very memory of its maker (`CLONE_VM`), until it loads a program or ends.
    pub(super) fn share(&mut self, maker: TaskId, child: TaskId) {
        self.rooms.remove(&child);
        self.guests.insert(child, self.host(maker));
    }

    /// A process has another program, or none any more.
    pub(super) fn forget(&mut self, process: TaskId) {
        self.rooms.remove(&process);
        self.guests.remove(&process);
        self.fault_actions.forget(process);
        self.executable.retain(|(other, _)| *other != process);
    }
}

/// What may be done with a mapping, as mprotect(2) takes it.
pub(super) const fn protection(access: Access, executes: bool) -> u64 {
    let code = if executes { libc::PROT_EXEC } else { 0 };
    let bits = code
        | match access {
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
        let host = self.watch.host(process);
        let room = self.watch.rooms.entry(host).or_default();
        let before = std::mem::take(&mut room.regions);
        for used in uses.iter().filter(|used| used.bytes > 0 && used.access != Access::None) {
            let executes = self.watch.executable.contains(&(process, used.address));
            // Where nothing is stored there is nothing to see but the fetching of instructions.
            if !used.access.writes() && (executes || is_table(world, used.channel)) {
                continue;
            }
            let bytes = whole_pages(used.bytes);
            let was_closed = before.iter().any(|old| old.overlaps(used.address, bytes) && !old.open);
            let same = before.iter().any(|old| old.contains(used.address) && old.access == used.access);
            let open = !(was_closed && same);
            room.regions.push(Region { bytes, executes, open, ..Region::of(used) });
        }
        room
    }

    /// The program has given pages a protection of its own, or has others there now.
    pub(super) fn note_protection(&mut self, task: TaskId, call: &Call, value: i64) {
        if value < 0 || !manages_memory(call.family) {
            return;
        }
        let (from, bytes) = match call.family {
            Family::Mmap => (value as u64, call.args[1]),
            Family::Mremap => (value as u64, call.args[2]),
            Family::Mprotect => (call.args[0], call.args[1]),
            _ => return,
        };
        let process = self.process_of(task);
        let Some(room) = self.watch.room_of_mut(process) else { return };
        for region in room.regions.iter_mut().filter(|region| region.overlaps(from, whole_pages(bytes))) {
            region.open = true;
        }
    }

    /// Takes away what is open, of a task that is leaving a call. `None` if the task has been struck.
    pub(super) fn close_pages(&mut self, tid: i32, stopped: Stopped) -> Result<Option<Stopped>> {
        let Some(task) = self.watched_task(tid) else { return Ok(Some(stopped)) };
        let process = self.process_of(task);
        if let Some(room) = self.watch.room_of_mut(process) {
            room.lent.retain(|(borrower, _)| *borrower != tid);
        }
        if self.world().uses(task).iter().all(|used| used.bytes == 0) {
            return Ok(Some(stopped));
        }
        let gate = stopped.gate()?;
        let room = self.room(process);
        // What a handler has interrupted stands anywhere.
        room.gate = gate.unwrap_or(room.gate);
        let Some(stopped) = self.shut(tid, process, stopped)? else { return Ok(None) };
        self.give_back(tid, stopped, false)
    }

    /// Takes away what is open, except from calls of other threads that are told of it.
    pub(super) fn shut(&mut self, tid: i32, process: TaskId, stopped: Stopped) -> Result<Option<Stopped>> {
        let Some(room) = self.watch.room_of(process) else { return Ok(Some(stopped)) };
        if room.gate == 0 || room.regions.iter().all(|region| !region.open) {
            return Ok(Some(stopped));
        }
        let host = self.watch.host(process);
        let needs = |borrower: i32| {
            let other = self.tracees.get(&borrower).filter(|it| borrower != tid && !it.ended);
            // One that has left for memory of its own may still be on its way out of the exec.
            let other = other.filter(|it| self.watch.host(self.process_of(it.task)) == host);
            other.is_some_and(|it| {
                it.call.is_some_and(|call| match call.family {
                    // Who sleeps there has been told already what stands in memory.
                    Family::Futex => !it.blocked,
                    // Who shares the memory with a guest goes on only when that has its own.
                    Family::Exec { .. } => !self.watch.is_guest(self.process_of(it.task)),
                    _ => true,
                })
            })
        };
        let needed: Vec<u64> = room.lent.iter().filter(|(it, _)| needs(*it)).map(|(_, address)| *address).collect();
        let shut = |region: &Region| region.open && !needed.contains(&region.address);
        self.protect(tid, process, stopped, shut, |_| None, Stopped::call_at)
    }

    /// Gives everything back, of a task that stands at a signal, and leaves it with that signal.
    pub(super) fn open_for_signal(&mut self, tid: i32, stopped: Stopped) -> Result<Option<Stopped>> {
        let Some(task) = self.watched_task(tid) else { return Ok(Some(stopped)) };
        let process = self.process_of(task);
        if !self.watch.room_of(process).is_some_and(|room| room.regions.iter().any(|region| !region.open)) {
            return Ok(Some(stopped));
        }
        let signal = stopped.carried()?;
        let own = |region: &Region| Some(region.access);
        let stopped = self.protect(tid, process, stopped, |region| !region.open, own, Stopped::call_at)?;
        if let Some(stopped) = &stopped {
            stopped.set_fault(&signal)?;
        }
        Ok(stopped)
    }

    /// Takes away what a signal frame needed.
    pub(super) fn shut_after_signal(&mut self, tid: i32, stopped: Stopped) -> Result<Option<Stopped>> {
        match self.watched_task(tid) {
            Some(task) => match self.shut(tid, self.process_of(task), stopped)? {
                Some(stopped) => self.give_back(tid, stopped, false),
                None => Ok(None),
            },
            None => Ok(Some(stopped)),
        }
    }

    /// Gives back what a call is about to be told of.
    pub(super) fn open_pages(&mut self, tid: i32, stopped: Stopped, call: &Call) -> Result<Option<Stopped>> {
        let Some(task) = self.watched_task(tid) else { return Ok(Some(stopped)) };
        if manages_memory(call.family) {
            return Ok(Some(stopped));
        }
        let process = self.process_of(task);
        let ends = (call.family == Family::Exit || self.kills_itself(task, call)) && self.holds_robust_mutexes(tid);
        let Some(room) = self.watch.room_of_mut(process) else { return Ok(Some(stopped)) };
        // These are told of lists of addresses, or of places that stand in no argument.
        let nested = matches!(
            call.family,
            Family::Readv
                | Family::Writev
                | Family::Recvmsg { .. }
                | Family::Sendmsg { .. }
                | Family::Vmsplice
                | Family::VmRead
                | Family::VmWrite
                | Family::Sigreturn
                | Family::Exec { .. }
        ) || ends;
        let buffer = matches!(call.family, Family::Read | Family::Write);
        let told = |region: &Region| {
            nested
                || call.args.iter().any(|argument| region.contains(*argument))
                || (buffer && region.overlaps(call.args[1], call.args[2]))
        };
        let lent = room.regions.iter().filter(|region| told(region)).map(|region| (tid, region.address));
        room.lent.extend(lent);
        let own = |region: &Region| Some(region.access);
        // The gate is of no use before a call.
        let before = |stopped: Stopped, _: u64, number, args| stopped.call_before_call(number, args);
        let chosen = |region: &Region| !region.open && told(region);
        let Some(stopped) = self.protect(tid, process, stopped, chosen, own, before)? else { return Ok(None) };
        self.give_back(tid, stopped, true)
    }

    /// Whether the kernel will look at robust mutexes of a process of which no memory is open, should it end.
    pub(super) fn holds_robust_mutexes(&self, tid: i32) -> bool {
        let Some(process) = self.watched_task(tid).map(|task| self.process_of(task)) else { return false };
        let any_closed = |room: &Room| room.regions.iter().any(|region| !region.open);
        self.watch.room_of(process).is_some_and(any_closed)
            && self.threads_of(process).into_iter().any(detour::holds_robust_mutexes)
    }

    /// Whether a call is about to end the caller's own process by SIGKILL, which makes no stop.
    fn kills_itself(&self, task: TaskId, call: &Call) -> bool {
        let process = self.process_of(task);
        let own = |pid: u64| self.world().by_pid(pid as i32).is_some_and(|named| named.process == process);
        let (signal, meant) = match call.family {
            Family::Kill => (call.args[1], call.args[0] as i32 <= 0 || own(call.args[0])),
            Family::Tkill | Family::Sigqueue => (call.args[1], own(call.args[0])),
            Family::Tgkill | Family::Tgsigqueue => (call.args[2], own(call.args[1])),
            Family::PidfdSendSignal => (call.args[1], true),
            _ => return false,
        };
        signal as i32 == libc::SIGKILL && meant
    }

    /// Has the task give the `chosen` regions of its process a protection: none at all, or one that
    /// makes them count as open. `None` if the task has been struck.
    pub(super) fn protect(
        &mut self,
        tid: i32,
        process: TaskId,
        stopped: Stopped,
        chosen: impl Fn(&Region) -> bool,
        wanted: impl Fn(&Region) -> Option<Access>,
        call: impl Fn(Stopped, u64, i64, [u64; 6]) -> crate::sys::Result<Detour<i64>>,
    ) -> Result<Option<Stopped>> {
        let Some(room) = self.watch.room_of_mut(process) else { return Ok(Some(stopped)) };
        let gate = room.gate;
        let mut at = stopped;
        for region in room.regions.iter_mut().filter(|region| chosen(region)) {
            let access = wanted(region);
            region.open = access.is_some();
            let bits = access.map_or(libc::PROT_NONE as u64, |access| protection(access, region.executes));
            match call(at, gate, libc::SYS_mprotect, [region.address, region.bytes, bits, 0, 0, 0])? {
                Detour::Back(stopped, _) => at = stopped,
                Detour::Gone(wait) => return self.struck(tid, wait).map(|()| None),
            }
        }
        self.note_missed(tid, &mut at)?;
        Ok(Some(at))
    }

    /// A tracee did not come back: SIGKILL has struck.
    pub(super) fn struck(&mut self, tid: i32, wait: Wait) -> Result<()> {
        match wait {
            Wait::Stopped(stopped, why) => self.stopped(stopped, why),
            Wait::Ended(_, status) => {
                self.ended(tid, status);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Whether memory is a file that nobody in the run could change: libraries keep tables in such.
fn is_table(world: &World, channel: ChannelId) -> bool {
    let file = world.channel(channel).is_some_and(|channel| channel.kind == ChannelKind::File);
    let stores = |user: &Task| user.uses.iter().any(|used| used.channel == channel && used.access.writes());
    file && !world.users(channel).any(stores) && !world.holders(channel).any(|(_, fd)| fd.access.writes())
}

/// Calls whose addresses are places, not contents.
const fn manages_memory(family: Family) -> bool {
    matches!(family, Family::Mmap | Family::Munmap | Family::Mremap | Family::Mprotect | Family::Shmat | Family::Shmdt)
}
