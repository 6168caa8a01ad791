//! `process_vm_readv(2)` from watched memory of another process.
//!
//! The kernel respects the protection that the lab has given the pages, and stops there. What it has left
//! the lab does in its place: `/proc/PID/mem` goes past the protection. Writing to shared pages does not,
//! so `process_vm_writev` into such memory still fails with EFAULT.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::calls::Family;
use super::tracee::Call;
use super::tracer::{Result, Tracer};
use super::watch::Region;
use crate::model::TaskId;
use crate::sys::memory;
use crate::sys::ptrace::Stopped;

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
    /// Finishes a call of this kind that closed pages have cut short. Returns what it returns.
    pub(super) fn reach_closed_pages(
        &mut self,
        tid: i32,
        task: TaskId,
        stopped: &Stopped,
        call: &Call,
        value: i64,
    ) -> Result<i64> {
        if call.family != Family::VmRead || (value < 0 && value != i64::from(-libc::EFAULT)) {
            return Ok(value);
        }
        let Some(target) = self.reached_by(task, call) else { return Ok(value) };
        let list = |first: usize| -> Option<Vec<Piece>> {
            let element = |index: u64| {
                let address = call.args[first].wrapping_add(16 * index);
                Some((memory::read_u64(tid, address)?, memory::read_u64(tid, address.wrapping_add(8))?))
            };
            (0..call.args[first + 1].min(ELEMENTS)).map(element).collect()
        };
        let (Some(near), Some(far)) = (list(1), list(3)) else { return Ok(value) };
        let mut done = value.max(0) as u64;
        let mut buffer = vec![0; CHUNK as usize];
        while let (Some(near), Some(far)) = (at(&near, done), at(&far, done)) {
            let length = near.1.min(far.1).min(CHUNK) as usize;
            let Some(read) = target.read(far.0, &mut buffer[..length]).filter(|read| *read > 0) else { break };
            if memory::write(tid, near.0, &buffer[..read]).is_err() {
                break;
            }
            done += read as u64;
        }
        if done == value.max(0) as u64 {
            return Ok(value);
        }
        stopped.set_return(done as i64)?;
        Ok(done as i64)
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
        Some(Target { tid, memory, regions })
    }
}
