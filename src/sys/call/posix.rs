//! POSIX queues, shared memory and semaphores by name (mq_overview(7), shm_overview(7),
//! sem_overview(7)). Names are `/name`, as the calls take them.

use std::ffi::CStr;
use std::io::Write;

use super::region::Region;
use super::{Answer, answer};

calls! {
    /// mq_open(3) of a queue that is there or is made with these limits
    fn mq_open(name: &CStr, flags: i32, limits: &libc::mq_attr) =>
        libc::mq_open(name.as_ptr(), libc::O_RDWR | libc::O_CREAT | flags, 0o600, std::ptr::from_ref(limits));
    /// mq_send(3)
    fn mq_send(queue: i32, bytes: &[u8], priority: u32) =>
        libc::mq_send(queue, bytes.as_ptr().cast(), bytes.len(), priority);
    /// mq_unlink(3)
    fn mq_unlink(name: &CStr) => libc::mq_unlink(name.as_ptr());
    /// shm_open(3) of an object that is there or is made
    fn shm_open(name: &CStr) => libc::shm_open(name.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600);
    /// shm_unlink(3)
    fn shm_unlink(name: &CStr) => libc::shm_unlink(name.as_ptr());
    /// sem_unlink(3)
    fn sem_unlink(name: &CStr) => libc::sem_unlink(name.as_ptr());
    /// ftruncate(2)
    fn ftruncate(fd: i32, bytes: i64) => libc::ftruncate(fd, bytes);
}

/// The limits of a new queue: how many messages, of how many bytes each.
pub fn limits(messages: i64, bytes: i64) -> libc::mq_attr {
    // SAFETY: an all-zero struct of numbers is valid.
    let mut limits: libc::mq_attr = unsafe { std::mem::zeroed() };
    (limits.mq_maxmsg, limits.mq_msgsize) = (messages, bytes);
    limits
}

/// mq_receive(3)
pub fn mq_receive(queue: i32, buffer: &mut [u8]) -> Answer {
    // Nobody wants the priority here, but whoever watches learns it from there.
    let mut priority = 0_u32;
    // SAFETY: the buffer is live and as long as is said, the number is live.
    answer(unsafe { libc::mq_receive(queue, buffer.as_mut_ptr().cast(), buffer.len(), &raw mut priority) } as i64)
}

/// mq_notify(3): a signal when a message comes to the empty queue.
pub fn mq_notify(queue: i32, signal: i32) -> Answer {
    // SAFETY: an all-zero struct of numbers and a pointer that is not followed is valid.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = signal;
    // SAFETY: the structure is live and only read.
    answer(unsafe { libc::mq_notify(queue, &raw const event) })
}

/// sem_open(3) of a semaphore that is there or is made with this value: maps it into `region`. `path`
/// is its file, `/dev/shm/sem.name`, where the C library looks for it too.
///
/// The C library's own function allocates memory and takes a lock, which a handler must not do. Like
/// it, this one links the file only when it is filled, so that nobody ever sees a semaphore without its
/// value; until then the file has no name (open(2), `O_TMPFILE`).
pub fn sem_open(region: &Region, path: &CStr, value: u32) -> Answer {
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    loop {
        // SAFETY: a system call on a string that ends with NUL.
        let fd = match answer(unsafe { libc::open(path.as_ptr(), flags) }) {
            Ok(fd) => fd as i32,
            Err(libc::ENOENT) => match sem_make(region, path, value) {
                // Somebody else was faster: theirs is the one.
                Err(libc::EEXIST) => continue,
                made => return made,
            },
            Err(errno) => return Err(errno),
        };
        let mapped = region.map(fd, SEMAPHORE);
        let _ = super::close(fd);
        return mapped;
    }
}

/// How many bytes a semaphore has.
const SEMAPHORE: usize = size_of::<libc::sem_t>();

fn sem_make(region: &Region, path: &CStr, value: u32) -> Answer {
    let flags = libc::O_RDWR | libc::O_TMPFILE | libc::O_CLOEXEC;
    // SAFETY: a system call on a string that ends with NUL.
    let fd = answer(unsafe { libc::open(c"/dev/shm".as_ptr(), flags, 0o600) })? as i32;
    let made = ftruncate(fd, SEMAPHORE as i64).and_then(|_| region.map(fd, SEMAPHORE)).and_then(|_| {
        let linked = region.sem_init(value).and_then(|_| link(fd, path));
        if linked.is_err() {
            let _ = region.unmap();
        }
        linked
    });
    let _ = super::close(fd);
    made
}

/// Gives an open file without a name a name (open(2), at `O_TMPFILE`).
fn link(fd: i32, path: &CStr) -> Answer {
    let mut text = [0_u8; 32];
    // It fits: a descriptor has at most ten digits.
    let _ = write!(&mut text[..], "/proc/self/fd/{fd}\0");
    let source = CStr::from_bytes_until_nul(&text).unwrap_or(c"");
    let (here, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: a system call on strings that end with NUL.
    answer(unsafe { libc::linkat(here, source.as_ptr(), here, path.as_ptr(), follow) })
}
