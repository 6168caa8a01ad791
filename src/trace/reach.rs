//! `process_vm_readv(2)` from watched memory of another process, and `process_vm_writev` into it.
//!
//! The kernel respects the protection that the lab has given the pages, and stops there. What it has left
//! the lab does in its place: reading `/proc/PID/mem` goes past the protection. Writing to shared pages does
//! not; but they are shared, so they can be reached elsewhere: where the caller has them mapped too, or
//! through `/proc/PID/map_files`, for which the lab needs `CAP_CHECKPOINT_RESTORE`. The other process is left
//! alone: to have it give its pages back would interrupt the call that it sleeps in.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use super::calls::Family;
use super::recorder::Outcome;
use super::tracee::Call;
use super::tracer::{Result, Tracer};
use super::watch::Region;
use crate::model::{ChannelId, ChannelKind, Kind, TaskId, Use};
use crate::sys::ptrace::Stopped;
use crate::sys::{memory, procfs};

/// The most elements that such a call takes (`IOV_MAX`).
const ELEMENTS: u64 = 1024;
/// How much is moved at once, in bytes.
const CHUNK: u64 = 64 << 10;

/// One piece of memory: address and length.
type Piece = (u64, u64);

/// The other process, as the lab reaches it.
struct Target {
    tid: i32,
    memory: File,
    regions: Vec<Region>,
    /// What the caller has mapped.
    shared: Vec<Use>,
}

/// Bytes that came into memory, with what stood there before.
pub(super) struct Reached {
    channel: ChannelId,
    offset: u64,
    before: Vec<u8>,
    now: Vec<u8>,
}

impl Target {
    /// Reads what stands at an address into a buffer, closed or not, as the program itself might.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Option<usize> {
        let closed = || self.regions.iter().filter(|region| !region.open && region.access.reads());
        if let Some(region) = closed().find(|region| region.contains(address)) {
            let room = (region.address + region.bytes - address) as usize;
            let length = buffer.len().min(room);
            return self.memory.read_at(&mut buffer[..length], address).ok();
        }
        // Up to the first page that is closed the kernel says what can be read.
        memory::read(self.tid, address, buffer).ok()
    }

    /// Writes at an address, closed or not, as the program itself might. Returns how many bytes, and what came
    /// into a closed region.
    fn write(&self, caller: i32, address: u64, bytes: &[u8]) -> Option<(usize, Option<Reached>)> {
        let closed = || self.regions.iter().filter(|region| !region.open && region.access.writes());
        let Some(region) = closed().find(|region| region.contains(address)) else {
            return memory::write_some(self.tid, address, bytes).ok().map(|written| (written, None));
        };
        let room = (region.address + region.bytes - address) as usize;
        let mut before = vec![0; bytes.len().min(room)];
        let known = self.memory.read_at(&mut before, address).ok()?;
        let bytes = &bytes[..known];
        let offset = region.offset + (address - region.address);
        let written = self
            .through_caller(caller, region.channel, offset, bytes)
            .or_else(|| self.through_file(address, offset, bytes))?;
        before.truncate(written);
        let now = bytes[..written].to_vec();
        Some((written, Some(Reached { channel: region.channel, offset, before, now })))
    }

    /// Where the caller has the same memory mapped, which is open during its call.
    fn through_caller(&self, caller: i32, channel: ChannelId, offset: u64, bytes: &[u8]) -> Option<usize> {
        let there = |used: &&Use| {
            let end = used.offset.saturating_add(used.bytes);
            used.channel == channel && used.access.writes() && (used.offset..end).contains(&offset)
        };
        let used = self.shared.iter().find(there)?;
        let room = (used.offset + used.bytes - offset) as usize;
        let bytes = &bytes[..bytes.len().min(room)];
        memory::write_some(caller, used.address + (offset - used.offset), bytes).ok().filter(|written| *written > 0)
    }

    /// Through the file that is mapped there, whether it has a name or not.
    fn through_file(&self, address: u64, offset: u64, bytes: &[u8]) -> Option<usize> {
        let range = procfs::mapped_range(self.tid, address)?;
        let path = format!("/proc/{}/map_files/{:x}-{:x}", self.tid, range.start, range.end);
        let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
        let room = (range.end - address) as usize;
        file.write_at(&bytes[..bytes.len().min(room)], offset).ok().filter(|written| *written > 0)
    }
}

/// Skips the first `bytes` of a list and returns the piece that is next.
fn at(pieces: &[Piece], bytes: u64) -> Option<Piece> {
    let mut left = bytes;
    for (address, length) in pieces {
        if left < *length {
            return Some((address + left, length - left));
        }
        left -= length;
    }
    None
}

impl Tracer {
    /// Finishes a call of this kind that closed pages have cut short. Returns what it returns, and what it has
    /// changed there.
    pub(super) fn reach_closed_pages(
        &mut self,
        tid: i32,
        task: TaskId,
        stopped: &Stopped,
        call: &Call,
        value: i64,
    ) -> Result<(i64, Vec<Reached>)> {
        let mut changes = Vec::new();
        let goes_there = matches!(call.family, Family::VmRead | Family::VmWrite);
        if !goes_there || (value < 0 && value != i64::from(-libc::EFAULT)) {
            return Ok((value, changes));
        }
        let Some(target) = self.reached_by(task, call) else { return Ok((value, changes)) };
        let list = |first: usize| -> Option<Vec<Piece>> {
            let element = |index: u64| {
                let address = call.args[first].wrapping_add(16 * index);
                Some((memory::read_u64(tid, address)?, memory::read_u64(tid, address.wrapping_add(8))?))
            };
            (0..call.args[first + 1].min(ELEMENTS)).map(element).collect()
        };
        let (Some(near), Some(far)) = (list(1), list(3)) else { return Ok((value, changes)) };
        let mut done = value.max(0) as u64;
        let mut buffer = vec![0; CHUNK as usize];
        while let (Some(near), Some(far)) = (at(&near, done), at(&far, done)) {
            let length = near.1.min(far.1).min(CHUNK) as usize;
            let moved = if call.family == Family::VmRead {
                let read = target.read(far.0, &mut buffer[..length]);
                read.filter(|read| memory::write(tid, near.0, &buffer[..*read]).is_ok())
            } else {
                let read = memory::read(tid, near.0, &mut buffer[..length]).ok().filter(|read| *read > 0);
                read.and_then(|read| target.write(tid, far.0, &buffer[..read])).map(|(written, change)| {
                    changes.extend(change);
                    written
                })
            };
            let Some(moved) = moved.filter(|moved| *moved > 0) else { break };
            done += moved as u64;
        }
        if done == value.max(0) as u64 {
            return Ok((value, changes));
        }
        stopped.set_return(done as i64)?;
        Ok((done as i64, changes))
    }

    /// Writes what a call has changed in closed pages of another process.
    pub(super) fn write_reached(&mut self, task: TaskId, outcome: Outcome, changes: Vec<Reached>) {
        for Reached { channel, offset, before, now } in changes {
            if self.world().channel(channel).is_some_and(|channel| channel.kind == ChannelKind::Sem) {
                if let Some(value) = now.first_chunk().filter(|_| offset == 0) {
                    self.write_posix_value(task, channel, i32::from_ne_bytes(*value));
                }
                continue;
            }
            let data = self.recorder.keep(&[before, now].concat());
            self.recorder.of_call(task, outcome, Kind::Store { channel, offset, data });
        }
    }

    /// The process that a call reaches into, if it is another one with closed pages.
    fn reached_by(&self, task: TaskId, call: &Call) -> Option<Target> {
        let process = self.world().by_pid(call.args[0] as i32)?.process;
        let regions = self.watch.room_of(process)?.regions.clone();
        if process == self.process_of(task) || regions.iter().all(|region| region.open) {
            return None;
        }
        let tid = *self.tids.get(&process)?;
        let memory = File::open(format!("/proc/{tid}/mem")).ok()?;
        Some(Target { tid, memory, regions, shared: self.world().uses(task).to_vec() })
    }
}
