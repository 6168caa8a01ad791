//! System V queues and semaphores (sysvipc(7)); the segments are in [`region`](super::region).

use super::{Answer, answer};

/// What stands before the text of a message: its type.
pub const PREFIX: usize = size_of::<i64>();

calls! {
    /// msgget(2); makes the queue if there is none
    fn msgget(key: i32) => libc::msgget(key, libc::IPC_CREAT | 0o600);
    /// msgctl(2), `IPC_RMID`
    fn msg_remove(id: i32) => libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut());
    /// shmget(2); makes the segment if there is none
    fn shmget(key: i32, bytes: usize) => libc::shmget(key, bytes, libc::IPC_CREAT | 0o600);
    /// shmctl(2), `IPC_RMID`
    fn shm_remove(id: i32) => libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut());
    /// semget(2); makes the set if there is none
    fn semget(key: i32, count: i32) => libc::semget(key, count, libc::IPC_CREAT | 0o600);
    /// semctl(2), `IPC_RMID`
    fn sem_remove(id: i32) => libc::semctl(id, 0, libc::IPC_RMID);
    /// semctl(2), `SETVAL`
    fn sem_set(id: i32, index: i32, value: i32) => libc::semctl(id, index, libc::SETVAL, value);
}

/// Whether no queue, segment or set of anybody has this key.
pub fn is_free(key: i32) -> bool {
    let found =
        |call: &dyn Fn() -> i32| call() >= 0 || !matches!(nix::errno::Errno::last_raw(), libc::ENOENT | libc::ENOSYS);
    // SAFETY: system calls on numbers that make nothing. An error such as EACCES means that there is one.
    unsafe {
        !(found(&|| libc::msgget(key, 0)) || found(&|| libc::shmget(key, 0, 0)) || found(&|| libc::semget(key, 0, 0)))
    }
}

/// msgsnd(2): `message` is the type in [`PREFIX`] bytes, then the text.
pub fn msgsnd(id: i32, message: &[u8], flags: i32) -> Answer {
    let length = message.len().saturating_sub(PREFIX);
    // SAFETY: the message is live and has the type and `length` bytes more; the kernel reads it byte by
    // byte, aligned or not.
    answer(unsafe { libc::msgsnd(id, message.as_ptr().cast(), length, flags) })
}

/// msgrcv(2): fills `buffer` with the type and the text; returns the length of the text.
pub fn msgrcv(id: i32, buffer: &mut [u8], kind: i64, flags: i32) -> Answer {
    let Some(room) = buffer.len().checked_sub(PREFIX) else { return Err(libc::EINVAL) };
    // SAFETY: the buffer is live and has room for the type and `room` bytes more.
    answer(unsafe { libc::msgrcv(id, buffer.as_mut_ptr().cast(), room, kind, flags) as i64 })
}

/// msgctl(2), `IPC_SET`: how many bytes the queue holds.
pub fn msg_capacity(id: i32, bytes: u64) -> Answer {
    // SAFETY: an all-zero struct of numbers is valid.
    let mut facts: libc::msqid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is live; the kernel fills it, then reads it.
    unsafe {
        answer(libc::msgctl(id, libc::IPC_STAT, &raw mut facts))?;
        facts.msg_qbytes = bytes;
        answer(libc::msgctl(id, libc::IPC_SET, &raw mut facts))
    }
}

/// semop(2) with one operation.
pub fn semop(id: i32, index: u16, delta: i16, flags: i32) -> Answer {
    let mut operation = libc::sembuf { sem_num: index, sem_op: delta, sem_flg: flags as i16 };
    // SAFETY: one operation is live and said to be one.
    answer(unsafe { libc::semop(id, &raw mut operation, 1) })
}
