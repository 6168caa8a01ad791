//! Looking at message queues without taking anything out. System V identifiers and POSIX names mean
//! something only in the IPC namespace that they come from (ipc_namespaces(7)): here, in that of the lab.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

use super::error::{Result, check};
use crate::model::ChannelKind;

/// What msgctl(2) `IPC_STAT` says of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsgFacts {
    /// Its key; `IPC_PRIVATE` for none.
    pub key: i32,
    /// How many messages wait.
    pub count: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// `msg_qbytes`: how many bytes it holds at most.
    pub capacity: u64,
}

/// Asks for them.
pub fn msg_facts(id: i32) -> Result<MsgFacts> {
    // SAFETY: an all-zero struct of numbers is valid.
    let mut facts: libc::msqid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is live and as large as the kernel's, which fills it.
    let asked = unsafe { libc::msgctl(id, libc::IPC_STAT, &raw mut facts) };
    check(asked, "msgctl", || format!("queue {id}"))?;
    Ok(MsgFacts {
        key: facts.msg_perm.__key,
        count: facts.msg_qnum,
        bytes: facts.__msg_cbytes,
        capacity: facts.msg_qbytes,
    })
}

/// Where the number of bytes that a queue holds at most stands in what `IPC_SET` is given.
pub const CAPACITY_OFFSET: u64 = std::mem::offset_of!(libc::msqid_ds, msg_qbytes) as u64;

/// Copies the `index`th message, from 0, into `buffer` and leaves it where it is (`MSG_COPY` of msgrcv(2)).
/// Returns its type and how many bytes it has. One that is longer than the buffer is E2BIG, and ENOMSG
/// says that there are no more.
pub fn msg_copy(id: i32, index: i64, buffer: &mut [u8]) -> Result<(i64, usize)> {
    const TYPE: usize = size_of::<i64>();
    let mut message = vec![0_u8; TYPE + buffer.len()];
    let flags = libc::MSG_COPY | libc::IPC_NOWAIT;
    // SAFETY: the message is live and has room for the type and as many bytes as are said.
    let copied = unsafe { libc::msgrcv(id, message.as_mut_ptr().cast(), buffer.len(), index, flags) };
    let copied = check(copied as i64, "msgrcv", || format!("queue {id}"))? as usize;
    let (kind, text) = message.split_at(TYPE);
    buffer[..copied].copy_from_slice(&text[..copied]);
    let mut number = [0; TYPE];
    number.copy_from_slice(kind);
    Ok((i64::from_ne_bytes(number), copied))
}

/// The values of all semaphores of a set, first to last (semctl(2), `GETALL`).
pub fn sem_values(id: i32) -> Result<Vec<u16>> {
    let target = || format!("semaphore set {id}");
    // SAFETY: an all-zero struct of numbers is valid.
    let mut facts: libc::semid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is live and as large as the kernel's, which fills it.
    let asked = unsafe { libc::semctl(id, 0, libc::IPC_STAT, &raw mut facts) };
    check(asked, "semctl", target)?;
    // A set keeps its size for as long as it lives.
    let mut values = vec![0; usize::try_from(facts.sem_nsems).unwrap_or(0)];
    // SAFETY: the array is live and has room for as many values as the set has semaphores.
    let asked = unsafe { libc::semctl(id, 0, libc::GETALL, values.as_mut_ptr()) };
    check(asked, "semctl", target)?;
    Ok(values)
}

/// Whether there is a System V object of this kind with this key, of whoever.
pub fn object_exists(kind: ChannelKind, key: i32) -> bool {
    // SAFETY: system calls on numbers, which make nothing.
    let found = unsafe {
        match kind {
            ChannelKind::Msg => libc::msgget(key, 0),
            ChannelKind::Shm => libc::shmget(key, 0, 0),
            ChannelKind::Sem => libc::semget(key, 0, 0),
            _ => return false,
        }
    };
    // One that may not be used is there too.
    found >= 0 || nix::errno::Errno::last_raw() == libc::EACCES
}

/// Whether there is a POSIX queue with this name, `/name` as mq_open(3) takes it.
pub fn mq_exists(name: &CStr) -> bool {
    // SAFETY: a system call on a string that ends with NUL; what it opens is closed at once.
    unsafe {
        let queue = libc::mq_open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if queue >= 0 {
            libc::mq_close(queue);
            return true;
        }
    }
    nix::errno::Errno::last_raw() == libc::EACCES
}

/// What mq_getattr(3) says of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MqFacts {
    /// `mq_maxmsg`: how many messages it holds at most.
    pub capacity: u64,
    /// `mq_msgsize`: how many bytes a message has at most.
    pub message_size: u64,
    /// `mq_curmsgs`: how many messages wait.
    pub count: u64,
}

/// Asks for them.
pub fn mq_facts(queue: &OwnedFd) -> Result<MqFacts> {
    // SAFETY: an all-zero struct of numbers is valid.
    let mut facts: libc::mq_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is live; the kernel fills it.
    let asked = unsafe { libc::mq_getattr(queue.as_raw_fd(), &raw mut facts) };
    check(asked, "mq_getattr", || "a queue".into())?;
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(MqFacts {
        capacity: number(facts.mq_maxmsg),
        message_size: number(facts.mq_msgsize),
        count: number(facts.mq_curmsgs),
    })
}

#[cfg(test)]
mod tests {
    use super::super::call::sysv;
    use super::*;

    #[test]
    fn the_values_of_a_set_are_read() {
        let id = sysv::semget(libc::IPC_PRIVATE, 3).expect("a set") as i32;
        let set = sysv::sem_set(id, 1, 7);
        let values = sem_values(id);
        assert_eq!(sysv::sem_remove(id), Ok(0));
        assert_eq!((set, values), (Ok(0), Ok(vec![0, 7, 0])));
        assert!(sem_values(id).is_err());
    }

    #[test]
    fn a_queue_is_looked_into_and_left_as_it_was() {
        let id = sysv::msgget(libc::IPC_PRIVATE).expect("a queue") as i32;
        for (kind, text) in [(3_i64, "three"), (1, "a longer one")] {
            sysv::msgsnd(id, &[&kind.to_ne_bytes()[..], text.as_bytes()].concat(), 0).expect("room");
        }
        let mut buffer = [0; 12];
        let short = msg_copy(id, 1, &mut buffer[..11]);
        let first = msg_copy(id, 0, &mut buffer);
        let second = msg_copy(id, 1, &mut buffer);
        let third = msg_copy(id, 2, &mut buffer);
        let facts = msg_facts(id);
        let removed = sysv::msg_remove(id);
        assert_eq!((first, second, &buffer), (Ok((3, 5)), Ok((1, 12)), b"a longer one"));
        assert_eq!(short.map_err(|error| error.errno), Err(libc::E2BIG));
        assert_eq!(third.map_err(|error| error.errno), Err(libc::ENOMSG));
        let facts = facts.expect("facts");
        assert_eq!((facts.key, facts.count, facts.bytes), (libc::IPC_PRIVATE, 2, 17));
        assert_eq!(removed, Ok(0));
        assert!(msg_facts(id).is_err());
    }
}
