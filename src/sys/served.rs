//! Pages that a process has to serve before anybody can read them: of userfaultfd(2), and of files whose file system
//! is a process (FUSE).
//!
//! process_vm_readv(2) sleeps at such a page like the program itself, and only a fatal signal wakes it. Who serves may
//! be a task that the lab holds; then both would wait for ever. So from the moment that a run has anything to serve
//! with, the page map is asked before memory is reached: a page that is there can be read, and of others the mapping
//! says whether somebody serves it. Then it counts as not there.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::look;

/// Bits of `/proc/PID/pagemap` (Documentation/admin-guide/mm/pagemap.rst).
const PRESENT: u64 = 1 << 63;
const WRITE_PROTECTED: u64 = 1 << 57;
const PAGE: u64 = 4096;

/// Whether pages may have to be served. One lab has one run at a time, and looking once too often does no harm.
static EXPECTED: AtomicBool = AtomicBool::new(false);

/// Notes where a descriptor of the run leads, by its link and the type of its file system.
pub(super) fn note(link: &[u8], filesystem: i64) {
    if link == b"/dev/fuse" {
        look::note_server();
    }
    let serves = matches!(link, b"anon_inode:[userfaultfd]" | b"/dev/userfaultfd" | b"/dev/fuse");
    if serves || look::is_user_space(filesystem) {
        EXPECTED.store(true, Ordering::Relaxed);
    }
}

/// Notes which program a task runs: its pages are mapped without a descriptor.
pub fn note_program(tid: i32) {
    if look::is_program_served(tid) {
        EXPECTED.store(true, Ordering::Relaxed);
    }
}

/// Whether pages may have to be served. Then nothing is asked of the kernel either for which it takes a lock that a
/// task holds while it waits for a page: that of a pipe, of a socket, of a file position.
pub(super) fn are_expected() -> bool {
    EXPECTED.load(Ordering::Relaxed)
}

/// How many of the bytes from `address` on can be reached without waiting for somebody to serve them; all of them,
/// where the kernel does not say.
pub(super) fn reachable(pid: i32, address: u64, bytes: usize, writes: bool) -> usize {
    if !are_expected() || bytes == 0 {
        return bytes;
    }
    let Ok(map) = File::open(format!("/proc/{pid}/pagemap")) else { return bytes };
    let (first, last) = (address / PAGE, address.saturating_add(bytes as u64 - 1) / PAGE);
    let mut checked = 0..0;
    for page in first..=last {
        let mut entry = [0; 8];
        if map.read_exact_at(&mut entry, page.saturating_mul(8)).is_err() {
            return bytes;
        }
        let entry = u64::from_ne_bytes(entry);
        let there = entry & PRESENT != 0 && !(writes && entry & WRITE_PROTECTED != 0);
        if there || checked.contains(&(page * PAGE)) {
            continue;
        }
        match mapping(pid, page * PAGE, writes) {
            Some((range, false)) => checked = range,
            Some((_, true)) => return (page * PAGE).saturating_sub(address) as usize,
            // Nothing is mapped there, which the kernel says at once.
            None => return bytes,
        }
    }
    bytes
}

/// The mapping at an address, and whether its pages are served.
fn mapping(pid: i32, address: u64, writes: bool) -> Option<(std::ops::Range<u64>, bool)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?;
    let mut found = None;
    for line in maps.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            if let Some((range, device)) = found.take() {
                let tracked = |flag: &str| matches!(flag, "um" | "ui") || (writes && flag == "uw");
                return Some((range, flags.split_ascii_whitespace().any(tracked) || look::is_fuse(pid, device)));
            }
        } else if let Some((range, device)) = heading(line).filter(|(range, _)| range.contains(&address)) {
            found = Some((range, device));
        }
    }
    None
}

/// Range and device of a mapping: `55e0-55f0 r--p 00000000 fd:01 1234 /bin/true`.
fn heading(line: &str) -> Option<(std::ops::Range<u64>, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (major, minor) = words.nth(2)?.split_once(':')?;
    let hex = |word| u64::from_str_radix(word, 16).ok();
    Some((hex(start)?..hex(end)?, libc::makedev(hex(major)? as u32, hex(minor)? as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_found() {
        let line = "7f00-7f10 r--p 00000000 fd:1f 1234       /bin/true";
        assert_eq!(heading(line), Some((0x7f00..0x7f10, libc::makedev(0xfd, 0x1f))));
        assert_eq!(heading("Size:                  4 kB"), None);
        let here = std::ptr::from_ref(&EXPECTED) as u64;
        let (range, served) = mapping(std::process::id() as i32, here, true).expect("this program's own");
        assert!(range.contains(&here) && !served);
    }
}
