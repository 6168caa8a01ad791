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
