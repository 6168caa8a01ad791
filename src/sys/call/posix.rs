//! POSIX queues, shared memory and semaphores by name (mq_overview(7), shm_overview(7),
//! sem_overview(7)). Names are `/name`, as the calls take them.

use std::ffi::CStr;

use super::{Answer, answer};

calls! {
    /// mq_open(3) of a queue that is there or is made with these limits
    fn mq_open(name: &CStr, flags: i32, limits: &libc::mq_attr) =>
        libc::mq_open(name.as_ptr(), libc::O_RDWR | libc::O_CREAT | flags, 0o600, std::ptr::from_ref(limits));
    /// mq_send(3)
    fn mq_send(queue: i32, bytes: &[u8], priority: u32) =>
        libc::mq_send(queue, bytes.as_ptr().cast(), bytes.len(), priority);
    /// mq_receive(3), without asking for the priority
    fn mq_receive(queue: i32, buffer: &mut [u8]) =>
        libc::mq_receive(queue, buffer.as_mut_ptr().cast(), buffer.len(), std::ptr::null_mut()) as i64;
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

/// mq_notify(3): a signal when a message comes to the empty queue.
pub fn mq_notify(queue: i32, signal: i32) -> Answer {
    // SAFETY: an all-zero struct of numbers and a pointer that is not followed is valid.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = signal;
    // SAFETY: the structure is live and only read.
    answer(unsafe { libc::mq_notify(queue, &raw const event) })
}

/// The file of a named semaphore, as sem_open(3) makes it: a descriptor to be mapped. `path` is the
/// file, `draft` one beside it that nobody else uses.
///
/// The C library's own function allocates memory and takes a lock, which a handler must not do. Like
/// it, this one fills a file under another name and then links it, so that nobody ever sees a semaphore
/// without its value.
pub fn sem_file(path: &CStr, draft: &CStr, value: u32) -> Answer {
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    loop {
        // SAFETY: system calls on strings that end with NUL.
        match answer(unsafe { libc::open(path.as_ptr(), flags) }) {
            Err(libc::ENOENT) => {}
            other => return other,
        }
        let fd = draft_of(draft, flags, value)?;
        // SAFETY: as above.
        let linked = answer(unsafe { libc::link(draft.as_ptr(), path.as_ptr()) });
        let _ = super::unlink(draft);
        if linked.is_ok() {
            return Ok(fd);
        }
        let _ = super::close(fd as i32);
        // Somebody else was faster: theirs is the one.
        if linked != Err(libc::EEXIST) {
            return linked;
        }
    }
}

/// A new file that holds a semaphore.
fn draft_of(draft: &CStr, flags: i32, value: u32) -> Answer {
    // SAFETY: an all-zero sem_t is valid memory for sem_init.
    let mut semaphore: libc::sem_t = unsafe { std::mem::zeroed() };
    // SAFETY: the semaphore is live.
    answer(unsafe { libc::sem_init(&raw mut semaphore, 1, value) })?;
    // SAFETY: a system call on a string that ends with NUL.
    let fd = answer(unsafe { libc::open(draft.as_ptr(), flags | libc::O_CREAT | libc::O_EXCL, 0o600) })?;
    // SAFETY: the semaphore is live and all of it is initialised: it was zeroed.
    let written =
        answer(unsafe { libc::write(fd as i32, (&raw const semaphore).cast(), size_of::<libc::sem_t>()) } as i64);
    match written {
        Ok(_) => Ok(fd),
        Err(errno) => {
            let _ = super::close(fd as i32);
            let _ = super::unlink(draft);
            Err(errno)
        }
    }
}
