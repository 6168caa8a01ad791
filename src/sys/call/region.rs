//! Memory that processes share: mapped files, anonymous mappings, System V segments; and the accesses
//! to it, each of which is as few instructions as the machine allows, because the lab shows them as
//! steps.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use super::{Answer, answer};

/// How many bytes a cell has.
pub const CELL: i64 = 8;

/// Memory under a name, or nothing so far.
#[derive(Debug, Default)]
pub struct Region {
    start: Cell<usize>,
    length: Cell<usize>,
}

/// Why memory cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// Nothing is mapped.
    NotMapped,
    /// The bytes from the offset on are not all inside; how many bytes there are.
    Outside(usize),
    /// A cell begins at a multiple of 8 only.
    Unaligned,
}

impl Region {
    fn take(&self, start: *mut libc::c_void, length: usize) -> Answer {
        if start == libc::MAP_FAILED {
            return Err(nix::errno::Errno::last_raw());
        }
        self.start.set(start as usize);
        self.length.set(length);
        Ok(0)
    }

    /// mmap(2), shared: an open file, or with -1 no file. What the name led to before stays mapped, but
    /// has no name any more.
    pub fn map(&self, fd: i32, length: usize) -> Answer {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | if fd < 0 { libc::MAP_ANONYMOUS } else { 0 };
        // SAFETY: a new mapping at a place of the kernel's choice: no memory in use is replaced.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, fd, 0) };
        self.take(start, length)
    }

    /// munmap(2). EINVAL if nothing is mapped.
    pub fn unmap(&self) -> Answer {
        let (start, length) = (self.start.get(), self.length.get());
        if start == 0 {
            return Err(libc::EINVAL);
        }
        // SAFETY: the bytes were mapped by `map` or `attach`; no reference to them exists outside of
        // the functions below, and from here on the region leads nowhere.
        let unmapped = answer(unsafe { libc::munmap(start as *mut libc::c_void, length) })?;
        self.start.set(0);
        Ok(unmapped)
    }

    /// shmat(2): a segment of at least `length` bytes.
    pub fn attach(&self, id: i32, length: usize) -> Answer {
        // SAFETY: a new mapping at a place of the kernel's choice: no memory in use is replaced.
        let start = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        self.take(start, length)
    }

    /// shmdt(2). EINVAL if nothing is attached.
    pub fn detach(&self) -> Answer {
        // SAFETY: the kernel refuses an address that is not that of a segment; no reference to its
        // bytes exists outside of the functions below, and from here on the region leads nowhere.
        let detached = answer(unsafe { libc::shmdt(self.start.get() as *const libc::c_void) })?;
        self.start.set(0);
        Ok(detached)
    }

    /// The address of `count` bytes from `offset` on, if all of them are inside.
    fn at(&self, offset: i64, count: usize) -> Result<usize, Unreachable> {
        let (start, length) = (self.start.get(), self.length.get());
        if start == 0 {
            return Err(Unreachable::NotMapped);
        }
        let offset = usize::try_from(offset).map_err(|_| Unreachable::Outside(length))?;
        let end = offset.checked_add(count).filter(|end| *end <= length);
        end.map(|_| start + offset).ok_or(Unreachable::Outside(length))
    }

    fn cell(&self, offset: i64) -> Result<&AtomicI64, Unreachable> {
        let address = self.at(offset, CELL as usize)?;
        if offset % CELL != 0 {
            return Err(Unreachable::Unaligned);
        }
        // SAFETY: the 8 bytes are inside of a mapping, which begins at a page, so they are aligned; all
        // accesses of all processes are atomic. Should a handler unmap them between this and the
        // access, the process gets its SIGSEGV, as the program that it plays would.
        Ok(unsafe { AtomicI64::from_ptr(address as *mut i64) })
    }

    /// The number in a cell, little-endian as both machines are that this runs on: one load.
    pub fn load(&self, offset: i64) -> Result<i64, Unreachable> {
        self.cell(offset).map(|cell| cell.load(Ordering::Relaxed))
    }

    /// Puts a number into a cell: one store.
    pub fn store(&self, offset: i64, value: i64) -> Result<(), Unreachable> {
        self.cell(offset).map(|cell| cell.store(value, Ordering::Relaxed))
    }

    /// Adds to a cell and returns what was in it: one atomic instruction where the machine has it.
    pub fn add(&self, offset: i64, value: i64) -> Result<i64, Unreachable> {
        self.cell(offset).map(|cell| cell.fetch_add(value, Ordering::SeqCst))
    }

    /// Puts bytes into the memory: one store for each, in order.
    pub fn store_bytes(&self, offset: i64, bytes: &[u8]) -> Result<(), Unreachable> {
        let address = self.at(offset, bytes.len())?;
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: as in `cell`; a byte is always aligned.
            let place = unsafe { AtomicU8::from_ptr((address + index) as *mut u8) };
            place.store(*byte, Ordering::Relaxed);
        }
        Ok(())
    }

    fn semaphore(&self) -> Result<*mut libc::sem_t, i32> {
        let address = self.at(0, size_of::<libc::sem_t>()).map_err(|_| libc::EINVAL)?;
        Ok(address as *mut libc::sem_t)
    }

    /// sem_init(3), for all processes that share the memory. EINVAL if nothing is mapped.
    pub fn sem_init(&self, value: u32) -> Answer {
        let semaphore = self.semaphore()?;
        // SAFETY: the memory is mapped and has the size and alignment of a semaphore.
        answer(unsafe { libc::sem_init(semaphore, 1, value) })
    }

    /// sem_wait(3) on the semaphore that the memory holds. EINVAL if nothing is mapped.
    pub fn sem_wait(&self) -> Answer {
        let semaphore = self.semaphore()?;
        // SAFETY: the memory is mapped and has the size and alignment of a semaphore; the C library
        // only makes atomic accesses to it, and waits in the kernel.
        answer(unsafe { libc::sem_wait(semaphore) })
    }

    /// sem_timedwait(3) for so many nanoseconds. EINVAL if nothing is mapped.
    pub fn sem_timedwait(&self, nanos: u64) -> Answer {
        let semaphore = self.semaphore()?;
        let mut end = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the structure is live.
        answer(unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut end) })?;
        // The call takes a time of day and no length of time; there is no variant that does.
        let nanos = (end.tv_nsec as u64).saturating_add(nanos);
        end.tv_sec = end.tv_sec.saturating_add((nanos / 1_000_000_000) as i64);
        end.tv_nsec = (nanos % 1_000_000_000) as i64;
        let end = std::hint::black_box(&raw mut end);
        // SAFETY: as in `sem_wait`; the time is live.
        answer(unsafe { libc::sem_timedwait(semaphore, end) })
    }

    /// sem_post(3). EINVAL if nothing is mapped.
    pub fn sem_post(&self) -> Answer {
        let semaphore = self.semaphore()?;
        // SAFETY: as in `sem_wait`.
        answer(unsafe { libc::sem_post(semaphore) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_inside_or_refused() {
        let region = Region::default();
        assert_eq!(region.load(0), Err(Unreachable::NotMapped));
        assert_eq!(region.map(-1, 24), Ok(0));
        assert_eq!(region.store(16, -7), Ok(()));
        assert_eq!(region.add(16, 10), Ok(-7));
        assert_eq!(region.load(16), Ok(3));
        for offset in [24, 32, -8, i64::MAX, i64::MIN] {
            assert_eq!(region.load(offset), Err(Unreachable::Outside(24)), "{offset}");
        }
        assert_eq!(region.load(4), Err(Unreachable::Unaligned));
        assert_eq!(region.store_bytes(20, b"abcd"), Ok(()));
        assert_eq!(region.store_bytes(21, b"abcd"), Err(Unreachable::Outside(24)));
        assert_eq!(region.load(16).map(i64::to_le_bytes), Ok(*b"\x03\0\0\0abcd"));
        assert_eq!(region.unmap(), Ok(0));
        assert_eq!(region.unmap(), Err(libc::EINVAL));
        assert_eq!(region.load(0), Err(Unreachable::NotMapped));
        assert_eq!((region.sem_wait(), region.sem_post()), (Err(libc::EINVAL), Err(libc::EINVAL)));
    }
}
