//! Shared memory: System V segments, and mappings of files, of POSIX segments and of nothing.

use super::super::channels::{self, Identity, New};
use super::super::tracee::Ahead;
use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{Access, ChannelId, ChannelKind, End, Kind, Task, TaskId, Use};
use crate::sys::{memory, procfs};

/// Bytes a page: what is mapped and unmapped are whole ones, as shmat(2) and mmap(2) have it. (On a
/// machine with larger pages it is the unit in which the lab rounds.)
pub(in crate::trace) const PAGE: u64 = 4096;

/// `bytes` up to the end of the last page.
pub(in crate::trace) const fn whole_pages(bytes: u64) -> u64 {
    bytes.saturating_add(PAGE - 1) & !(PAGE - 1)
}

const fn access_of(protection: i32) -> Access {
    match (protection & libc::PROT_READ != 0, protection & libc::PROT_WRITE != 0) {
        (false, false) => Access::None,
        (true, false) => Access::Read,
        // No machine can write what it cannot read.
        (_, true) => Access::ReadWrite,
    }
}

/// A semaphore that the C library makes: it gets its name only when it is complete, and until then
/// nobody else can find it.
#[derive(Debug, Clone, Default)]
pub(in crate::trace) struct Unnamed {
    pub descriptor: i32,
    pub address: u64,
    pub bytes: u64,
}

impl Tracer {
    pub(super) fn shmget(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.syscall_event(ended);
        }
        let (space, id) = (Self::ipc_space(ended.tid), ended.ret as i32);
        let channel = self.channels.known(Identity::Segment(space, id)).unwrap_or_else(|| {
            let name = self.declared_name(ended).unwrap_or_else(|| key_name("shm", ended.int(0)));
            self.make_ipc(ended, Identity::Segment(space, id), ChannelKind::Shm, &name, ended.call.args[1])
        });
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Get { channel, id });
    }

    pub(super) fn make_ipc(
        &mut self,
        ended: &Ended<'_>,
        identity: Identity,
        kind: ChannelKind,
        name: &str,
        capacity: u64,
    ) -> ChannelId {
        let found = self.ahead(ended.tid) == Ahead::Found;
        let new = New { identity: Some(identity), kind, name, capacity, messages: false, found };
        self.channels.make(&mut self.recorder, ended.task, new)
    }

    pub(super) fn shmat(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.syscall_event(ended);
        }
        let (id, address) = (ended.int(0), ended.ret as u64);
        let mapped = || procfs::mapping(ended.tid, address).map_or(PAGE, |(_, bytes)| bytes);
        let identity = Identity::Segment(Self::ipc_space(ended.tid), id);
        let known = self.channels.known(identity);
        let capacity = known.and_then(|known| self.world().channel(known)).map_or(0, |channel| channel.capacity);
        let bytes = if capacity == 0 { mapped() } else { capacity };
        let channel = known.unwrap_or_else(|| {
            let new = New {
                identity: Some(identity),
                kind: ChannelKind::Shm,
                name: "shm",
                capacity: bytes,
                messages: false,
                found: true,
            };
            self.channels.make(&mut self.recorder, ended.task, new)
        });
        if ended.int(2) & libc::SHM_REMAP != 0 {
            self.write_unmapped(ended, address, bytes);
        }
        let access = if ended.int(2) & libc::SHM_RDONLY == 0 { Access::ReadWrite } else { Access::Read };
        let kind = Kind::Attach { channel, address, bytes, offset: 0, access };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
        self.write_found_bytes(ended, channel, address);
    }

    pub(super) fn shmdt(&mut self, ended: &Ended<'_>) {
        let address = ended.call.args[0];
        let used = self.world().uses(ended.task).iter().copied().find(|used| used.bytes > 0 && used.address == address);
        match used {
            Some(used) if !ended.failed() => self.write_unmapped(ended, address, used.bytes),
            _ => self.syscall_event(ended),
        }
    }

    pub(super) fn shmctl(&mut self, ended: &Ended<'_>) {
        let channel = self.channels.known(Identity::Segment(Self::ipc_space(ended.tid), ended.int(0)));
        match channel {
            Some(channel) if !ended.failed() && ipc_command(ended.int(1)) == libc::IPC_RMID => {
                self.recorder.of_call(ended.task, ended.outcome(), Kind::Unlink { channel });
                self.write_memory_destroyed(ended.task, &[channel]);
            }
            _ => self.plain_call(ended),
        }
    }

    pub(super) fn mmap(&mut self, ended: &Ended<'_>) {
        let (flags, descriptor) = (ended.int(3), ended.int(4));
        if ended.failed() || flags & libc::MAP_SHARED == 0 {
            return self.plain_call(ended);
        }
        let (address, bytes) = (ended.ret as u64, ended.call.args[1]);
        if let Some(unnamed) = self.unnamed_mut(ended.task, descriptor) {
            (unnamed.address, unnamed.bytes) = (address, bytes);
            return;
        }
        self.write_unmapped(ended, address, whole_pages(bytes));
        let (channel, offset) = if flags & libc::MAP_ANONYMOUS == 0 {
            (self.mapped_file(ended.task, descriptor), ended.call.args[5])
        } else {
            (self.anonymous(ended, address, bytes), 0)
        };
        let Some(channel) = channel else { return self.plain_call(ended) };
        let access = access_of(ended.int(2));
        if ended.int(2) & libc::PROT_EXEC != 0 {
            self.watch.executes(self.process_of(ended.task), address);
        }
        let kind = Kind::Attach { channel, address, bytes, offset, access };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
        self.write_found_value(ended, channel, address);
        self.write_found_bytes(ended, channel, address);
    }

    /// What a shared mapping of a descriptor leads to, if others could meet there.
    fn mapped_file(&self, task: TaskId, descriptor: i32) -> Option<ChannelId> {
        let channel = self.world().channel(self.world().fd(task, descriptor)?.channel)?;
        let shares = channel.kind.is_memory() || matches!(channel.kind, ChannelKind::Sem | ChannelKind::File);
        shares.then_some(channel.id)
    }

    /// Memory without a name is a deleted file of the kernel's own, with an inode.
    fn anonymous(&mut self, ended: &Ended<'_>, address: u64, bytes: u64) -> Option<ChannelId> {
        let ((device, inode), _) = procfs::mapping(ended.tid, address)?;
        let identity = Identity::Inode(device, inode);
        if let Some(known) = self.channels.known(identity).filter(|known| self.is_alive(*known)) {
            return Some(known);
        }
        let name = self.declared_name(ended).unwrap_or_else(|| "mmap".to_owned());
        let new = New {
            identity: Some(identity),
            kind: ChannelKind::Shm,
            name: &name,
            capacity: bytes,
            messages: false,
            found: false,
        };
        let channel = self.channels.make(&mut self.recorder, ended.task, new);
        self.nameless.insert(channel);
        Some(channel)
    }

    fn is_alive(&self, channel: ChannelId) -> bool {
        self.world().channel(channel).is_some_and(|channel| channel.alive)
    }

    pub(super) fn munmap(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.plain_call(ended);
        }
        self.write_unmapped(ended, ended.call.args[0], whole_pages(ended.call.args[1]));
    }

    pub(super) fn mremap(&mut self, ended: &Ended<'_>) {
        let (old, old_bytes, bytes) = (ended.call.args[0], ended.call.args[1], ended.call.args[2]);
        let moved = self.mapped_at(ended.task, old);
        let Some(moved) = moved.filter(|_| !ended.failed()) else { return self.plain_call(ended) };
        // With an old length of 0 it makes a second mapping (mremap(2)).
        if old_bytes > 0 {
            self.write_unmapped(ended, old, whole_pages(old_bytes));
        }
        let address = ended.ret as u64;
        self.write_unmapped(ended, address, whole_pages(bytes));
        let Use { channel, access, .. } = moved;
        let offset = moved.offset + (old - moved.address);
        self.recorder.of_call(ended.task, ended.outcome(), Kind::Attach { channel, address, bytes, offset, access });
    }

    /// Other access to a mapping is another mapping.
    pub(super) fn mprotect(&mut self, ended: &Ended<'_>) {
        if ended.failed() {
            return self.plain_call(ended);
        }
        let (from, to) = (ended.call.args[0], ended.call.args[0] + whole_pages(ended.call.args[1]));
        let access = access_of(ended.int(2));
        let uses = self.world().uses(ended.task).to_vec();
        for used in uses.into_iter().filter(|used| used.bytes > 0 && used.access != access) {
            let (start, end) = (used.address.max(from), (used.address + used.bytes).min(to));
            if start >= end {
                continue;
            }
            let (channel, address, bytes) = (used.channel, start, end - start);
            self.recorder.of_call(ended.task, ended.outcome(), Kind::Detach { channel, address, bytes });
            let offset = used.offset + (start - used.address);
            let kind = Kind::Attach { channel, address, bytes, offset, access };
            self.recorder.of_call(ended.task, ended.outcome(), kind);
            if ended.int(2) & libc::PROT_EXEC != 0 {
                self.watch.executes(self.process_of(ended.task), address);
            }
        }
    }

    /// Writes that what was mapped there is not any more.
    fn write_unmapped(&mut self, ended: &Ended<'_>, address: u64, bytes: u64) {
        if self.world().uses(ended.task).is_empty() {
            return;
        }
        let end = address.saturating_add(bytes);
        let uses = self.world().uses(ended.task).to_vec();
        for used in uses.into_iter().filter(|used| used.bytes > 0) {
            let (start, end) = (used.address.max(address), (used.address + used.bytes).min(end));
            if start < end {
                let kind = Kind::Detach { channel: used.channel, address: start, bytes: end - start };
                self.recorder.of_call(ended.task, ended.outcome(), kind);
                self.write_memory_destroyed(ended.task, &[used.channel]);
            }
        }
    }

    /// The memory in use that an address lies in.
    pub(in crate::trace) fn mapped_at(&self, task: TaskId, address: u64) -> Option<Use> {
        let inside =
            |used: &&Use| used.bytes > 0 && (used.address..used.address + whole_pages(used.bytes)).contains(&address);
        self.world().uses(task).iter().find(inside).copied()
    }

    /// Whether a call about a stretch of addresses is about shared memory. Most are about the C
    /// library's own.
    pub(in crate::trace) fn is_about_shared(&self, task: TaskId, address: u64, bytes: u64) -> bool {
        let end = address.saturating_add(whole_pages(bytes));
        let touches = |used: &Use| used.bytes > 0 && used.address < end && address < used.address + used.bytes;
        self.world().uses(task).iter().any(touches)
    }

    pub(super) fn ftruncate(&mut self, ended: &Ended<'_>) {
        if self.unnamed_mut(ended.task, ended.int(0)).is_some() {
            return;
        }
        let known = self.world().fd(ended.task, ended.int(0)).and_then(|entry| self.world().channel(entry.channel));
        match known {
            Some(channel) if !ended.failed() && channel.kind.is_memory() => {
                let kind = Kind::Capacity { channel: channel.id, bytes: ended.call.args[1] };
                self.recorder.of_call(ended.task, ended.outcome(), kind);
            }
            _ => self.plain_call(ended),
        }
    }

    /// Writes which memory of `used` is gone: removed, or without a name from the beginning, and mapped
    /// by nobody any more.
    pub(in crate::trace) fn write_memory_destroyed(&mut self, task: TaskId, used: &[ChannelId]) {
        for &channel in used {
            let nameless = self.nameless.contains(&channel);
            let may_go = self.world().channel(channel).is_some_and(|known| {
                let shared = matches!(known.kind, ChannelKind::Shm | ChannelKind::Sem) && known.capacity > 0;
                known.alive && shared && (known.unlinked || nameless)
            });
            if !may_go {
                continue;
            }
            let maps = |user: &Task| user.uses.iter().any(|used| used.channel == channel && used.bytes > 0);
            let mapped = self.world().users(channel).any(maps);
            if !mapped && self.world().holders(channel).next().is_none() {
                self.recorder.plain(task, Kind::Destroy { channel });
                self.channels.forget(channel);
            }
        }
    }

    /// Whether a descriptor that has just been opened leads to a semaphore that has no name yet.
    pub(in crate::trace) fn is_unnamed(&mut self, ended: &Ended<'_>, facts: &procfs::FdFacts) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let link = facts.link.as_os_str().as_bytes();
        let shared = link.starts_with(b"/dev/shm/");
        // The GNU library makes `sem.` with six letters of its own and renames it; this one opens with O_TMPFILE.
        let temporary = facts.flags & libc::O_TMPFILE == libc::O_TMPFILE || link.ends_with(b" (deleted)");
        let exclusive = libc::O_CREAT | libc::O_EXCL;
        let flags = ended.int(usize::from(matches!(ended.call.family, super::Family::Open { path: 1 })) + 1);
        let drafted = link.starts_with(b"/dev/shm/sem.") && flags & exclusive == exclusive;
        if !shared || !(temporary || drafted) || facts.size > 0 {
            return false;
        }
        let process = self.process_of(ended.task);
        self.unnamed.entry(process).or_default().push(Unnamed { descriptor: facts.fd, ..Unnamed::default() });
        true
    }

    fn unnamed_mut(&mut self, task: TaskId, descriptor: i32) -> Option<&mut Unnamed> {
        let process = self.process_of(task);
        self.unnamed.get_mut(&process)?.iter_mut().find(|unnamed| unnamed.descriptor == descriptor)
    }

    /// The descriptor of a semaphore without a name is closed: nobody will ever see it.
    pub(in crate::trace) fn forget_unnamed(&mut self, task: TaskId, descriptor: i32) -> bool {
        let process = self.process_of(task);
        let Some(list) = self.unnamed.get_mut(&process) else { return false };
        let count = list.len();
        list.retain(|unnamed| unnamed.descriptor != descriptor);
        list.len() < count
    }

    /// A semaphore has got its name: from here on others can find it.
    pub(super) fn link(&mut self, ended: &Ended<'_>, new: usize) {
        let path = memory::read_string(ended.tid, ended.call.args[new], 4096).unwrap_or_default();
        let path = String::from_utf8_lossy(&path).into_owned();
        let process = self.process_of(ended.task);
        let drafts = self.unnamed.get_mut(&process).filter(|_| path.starts_with("/dev/shm/sem."));
        let Some(unnamed) = drafts.and_then(|list| if ended.failed() { None } else { list.pop() }) else {
            return self.plain_call(ended);
        };
        let Some(facts) = procfs::fd(ended.tid, unnamed.descriptor) else { return self.plain_call(ended) };
        let name = self.declared_name(ended).unwrap_or_else(|| channels::posix_name(&path));
        let identity = Identity::Inode(facts.identity.0, facts.identity.1);
        // Somebody else may have found it by its name before this call was seen to end.
        let is_there = |channel: &ChannelId| self.world().channel(*channel).is_some_and(|channel| channel.alive);
        let channel = if let Some(known) = self.channels.known(identity).filter(is_there) {
            known
        } else {
            let (kind, name) = (ChannelKind::Sem, name.as_str());
            let identity = Some(identity);
            let new = New { identity, kind, name, capacity: 1, messages: false, found: false };
            self.channels.make(&mut self.recorder, ended.task, new)
        };
        let (access, flags) = (channels::access(&facts), channels::flags(&facts));
        let kind = Kind::Open { fd: facts.fd, channel, end: End::First, access, flags };
        self.recorder.of_call(ended.task, ended.outcome(), kind);
        if unnamed.address > 0 {
            let (address, bytes, access) = (unnamed.address, unnamed.bytes, Access::ReadWrite);
            let kind = Kind::Attach { channel, address, bytes, offset: 0, access };
            self.recorder.of_call(ended.task, ended.outcome(), kind);
            self.write_found_value(ended, channel, address);
        }
    }

    /// Which process a task belongs to.
    pub(in crate::trace) fn process_of(&self, task: TaskId) -> TaskId {
        self.world().task(task).map_or(task, |task| task.process)
    }
}

/// `IPC_64` says which structure is meant, where there are two.
pub(super) const fn ipc_command(command: i32) -> i32 {
    command & !0x100
}

/// What a System V object is called that the scenario has no name for.
pub(super) fn key_name(kind: &str, key: i32) -> String {
    if key == libc::IPC_PRIVATE { kind.to_owned() } else { format!("{kind} {key:#x}") }
}
