//! Reading and writing the memory of a stopped tracee (process_vm_readv(2)).

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::error::{Error, Result, check};
use super::served;

/// Reads up to `buffer.len()` bytes at `address`; returns how many were there before the first
/// unmapped page, or one that somebody would have to serve first.
pub fn read(pid: i32, address: u64, buffer: &mut [u8]) -> Result<usize> {
    if buffer.is_empty() {
        return Ok(0);
    }
    let reachable = served::reachable(pid, address, buffer.len(), false);
    if reachable == 0 {
        return Err(Error::new("process_vm_readv", format!("process {pid}"), libc::EFAULT));
    }
    let buffer = &mut buffer[..reachable];
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
    // SAFETY: `local` describes `buffer`, which is live and exclusively borrowed; the remote address
    // is checked by the kernel.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    check(read as i64, "process_vm_readv", || format!("process {pid}")).map(|n| n as usize)
}

/// The same from pages that the process itself may not read at the moment: through `/proc/PID/mem`.
pub fn read_closed(pid: i32, address: u64, buffer: &mut [u8]) -> Option<usize> {
    let reachable = served::reachable(pid, address, buffer.len(), false);
    File::open(format!("/proc/{pid}/mem")).ok()?.read_at(&mut buffer[..reachable], address).ok()
}

/// The same without having a page mapped that the process has not touched yet: that would take up room, and be seen
/// by who counts pages. What stands there is read from the mapped file, from `offset` on, if it may be opened;
/// otherwise it is read as ever if the `buffer` does not hold already what is known of it.
pub fn read_untouched(pid: i32, address: u64, offset: u64, is_known: bool, buffer: &mut [u8]) -> Option<usize> {
    const PAGE: u64 = 4096;
    /// Present or swapped out (Documentation/admin-guide/mm/pagemap.rst).
    const THERE: u64 = 3 << 62;
    let plain = |at: u64, buffer: &mut [u8]| read(pid, at, buffer).ok().or_else(|| read_closed(pid, at, buffer));
    let length = served::reachable(pid, address, buffer.len(), false);
    let buffer = &mut buffer[..length];
    let first = address / PAGE;
    let pages = address.checked_add(length as u64)?.div_ceil(PAGE).checked_sub(first)?;
    let mut entries = vec![0; usize::try_from(pages).ok()?.checked_mul(8)?];
    let map = File::open(format!("/proc/{pid}/pagemap")).ok();
    if !address.is_multiple_of(PAGE) || map.is_none_or(|map| map.read_exact_at(&mut entries, first * 8).is_err()) {
        return plain(address, buffer);
    }
    let there: Vec<bool> = entries
        .chunks_exact(8)
        .map(|entry| entry.first_chunk::<8>().is_some_and(|entry| u64::from_ne_bytes(*entry) & THERE != 0))
        .collect();
    let mut file = None;
    let mut page = 0;
    while page < there.len() {
        let end = (page..there.len()).find(|next| there[*next] != there[page]).unwrap_or(there.len());
        let (from, to) = (page * PAGE as usize, (end * PAGE as usize).min(length));
        let (at, part) = (address + from as u64, &mut buffer[from..to]);
        let read = if there[page] {
            plain(at, part)?
        } else {
            match file.get_or_insert_with(|| mapped_file(pid, address)) {
                Some(file) => {
                    let mut done = 0;
                    while let Ok(more @ 1..) = file.read_at(&mut part[done..], offset + (from + done) as u64) {
                        done += more;
                    }
                    // A mapping goes on with zeros to the end of a page.
                    let whole = done.next_multiple_of(PAGE as usize).min(part.len());
                    part[done..whole].fill(0);
                    whole
                }
                None if is_known => part.len(),
                None => plain(at, part)?,
            }
        };
        if read < to - from {
            return Some(from + read);
        }
        page = end;
    }
    Some(length)
}

/// The file that is mapped at an address (`/proc/PID/map_files`, for which `CAP_CHECKPOINT_RESTORE` is needed).
fn mapped_file(pid: i32, address: u64) -> Option<File> {
    let range = super::procfs::mapped_range(pid, address)?;
    File::open(format!("/proc/{pid}/map_files/{:x}-{:x}", range.start, range.end)).ok()
}

/// Reads exactly `N` bytes.
pub fn read_array<const N: usize>(pid: i32, address: u64) -> Option<[u8; N]> {
    let mut buffer = [0; N];
    (read(pid, address, &mut buffer).ok()? == N).then_some(buffer)
}

/// Reads a number of 64 bits.
pub fn read_u64(pid: i32, address: u64) -> Option<u64> {
    read_array(pid, address).map(u64::from_ne_bytes)
}

/// Reads a number of 32 bits.
pub fn read_i32(pid: i32, address: u64) -> Option<i32> {
    read_array(pid, address).map(i32::from_ne_bytes)
}

/// Reads up to the first NUL byte, at most `limit` bytes.
pub fn read_string(pid: i32, address: u64, limit: usize) -> Option<Vec<u8>> {
    const PAGE: u64 = 4096;
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < limit {
        // A read that stays within a page cannot fail for what lies behind the string.
        let mut chunk = [0; 256];
        let room = ((PAGE - at % PAGE) as usize).min(chunk.len()).min(limit - text.len());
        let read = read(pid, at, &mut chunk[..room]).ok().filter(|n| *n > 0)?;
        if let Some(end) = chunk[..read].iter().position(|byte| *byte == 0) {
            text.extend_from_slice(&chunk[..end]);
            return Some(text);
        }
        text.extend_from_slice(&chunk[..read]);
        at += read as u64;
    }
    Some(text)
}

/// Writes all of `bytes` at `address`.
pub fn write(pid: i32, address: u64, bytes: &[u8]) -> Result<()> {
    write_some(pid, address, bytes).map(drop)
}

/// Writes `bytes` at `address`; returns how many went there before the first page that cannot be written.
pub fn write_some(pid: i32, address: u64, bytes: &[u8]) -> Result<usize> {
    let reachable = served::reachable(pid, address, bytes.len(), true);
    if reachable == 0 && !bytes.is_empty() {
        return Err(Error::new("process_vm_writev", format!("process {pid}"), libc::EFAULT));
    }
    let bytes = &bytes[..reachable];
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: `local` describes `bytes`, which is only read; the remote address is checked by the
    // kernel and is memory of another process.
    let written = unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) };
    check(written as i64, "process_vm_writev", || format!("process {pid}")).map(|n| n as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_read_up_to_its_end_or_the_limit() {
        let text = [b"x".repeat(600), vec![0], b"never".to_vec()].concat();
        let pid = std::process::id() as i32;
        let address = text.as_ptr() as u64;
        assert_eq!(read_string(pid, address, 4096), Some(b"x".repeat(600)));
        assert_eq!(read_string(pid, address, 300), Some(b"x".repeat(300)));
        assert_eq!(read_string(pid, 8, 300), None);
    }
}
