//! What makes keys and names the run's own.
//!
//! A run with namespaces has System V objects, `/dev/shm` and `/dev/mqueue` to itself, and there a
//! scenario's keys and names are used as they are. Without, they are made unique by the PID of the
//! run's first process. Abstract sockets are shared with the machine in both cases, because a run has
//! no network namespace.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt;

use crate::scenario::{Op, Program, Statement};
use crate::sys::call::{self, sysv};

/// How many different keys a scenario may use where it has no namespaces.
const KEYS: usize = 64;
/// How often other keys are tried if there are objects of somebody else with these.
const ATTEMPTS: i32 = 4;

/// The run's own keys and names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The PID of the first process, where there are no namespaces.
    pid: Option<i32>,
    /// What no other run has while this one lives.
    run: u64,
    /// The scenario's keys, each with what stands for it.
    keys: Vec<(i32, i32)>,
}

/// What the POSIX names of the run without namespaces whose first process has this PID begin with,
/// after the `/`.
pub fn prefix(pid: i32) -> String {
    format!("proclab-{pid}-")
}

/// Whether `key` is a System V key of the run without namespaces whose first process has this PID.
/// PIDs have at most 22 bits (proc(5), `pid_max`).
pub const fn is_key_of(pid: i32, key: i32) -> bool {
    key >> 8 == pid | 1 << 22
}

/// The key number `index` of such a run: a 1, the 22 bits of the PID, 2 of the attempt, 6 of the index.
const fn key_of(pid: i32, attempt: i32, index: usize) -> i32 {
    (pid | 1 << 22) << 8 | attempt << 6 | index as i32
}

impl Own {
    /// For the run whose first process this is. What failed is a sentence.
    pub fn of_this_run(program: &Program) -> Result<Self, String> {
        let pid = call::getpid().unwrap_or(0) as i32;
        let mut used = keys(program);
        used.dedup();
        // Only the first process of a PID namespace has this PID, and the lab makes all the namespaces
        // of a run or none. The namespace's number is the machine's, and in use as long as the run is.
        if pid == 1 {
            let run = std::fs::metadata("/proc/self/ns/pid").map_or(1, |facts| facts.ino());
            return Ok(Self { pid: None, run, keys: used.into_iter().map(|key| (key, key)).collect() });
        }
        if used.len() > KEYS {
            return Err(format!("without namespaces a scenario can use {KEYS} keys, not {}", used.len()));
        }
        for attempt in 0..ATTEMPTS {
            let keys: Vec<_> =
                used.iter().enumerate().map(|(index, key)| (*key, key_of(pid, attempt, index))).collect();
            if keys.iter().all(|(_, key)| sysv::is_free(*key)) {
                return Ok(Self { pid: Some(pid), run: u64::from(pid.unsigned_abs()), keys });
            }
        }
        Err("the System V keys of this run are in use: see ipcs(1)".to_owned())
    }

    /// What stands for the scenario's key.
    pub fn key(&self, key: Option<i32>) -> i32 {
        let own = key.and_then(|key| self.keys.iter().find(|(known, _)| *known == key));
        own.map_or(libc::IPC_PRIVATE, |(_, own)| *own)
    }

    /// What stands for the scenario's `/name`.
    pub fn name(&self, name: &str) -> CString {
        let inner = name.trim_start_matches('/');
        CString::new(format!("/{}{inner}", self.pid.map(prefix).unwrap_or_default())).unwrap_or_default()
    }

    /// The file of the semaphore that the scenario calls `/name` (sem_overview(7)).
    pub fn semaphore(&self, name: &str) -> CString {
        let inner = name.trim_start_matches('/');
        let prefix = self.pid.map(prefix).unwrap_or_default();
        CString::new(format!("/dev/shm/sem.{prefix}{inner}")).unwrap_or_default()
    }

    /// What stands for the scenario's `@name`.
    pub fn hidden(&self, name: &str) -> Vec<u8> {
        format!("proclab/{}/{name}", self.run).into_bytes()
    }
}

/// The keys that a program uses, in order.
fn keys(program: &Program) -> Vec<i32> {
    fn collect(body: &[Statement], found: &mut Vec<i32>) {
        for statement in body {
            if let Op::Msgget { key, .. } | Op::Shmget { key, .. } | Op::Semget { key, .. } = &statement.op {
                found.extend(key);
            }
            statement.op.bodies().for_each(|inner| collect(inner, found));
        }
    }
    let mut found = Vec::new();
    program.roots.iter().for_each(|root| collect(&root.body, &mut found));
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    fn program(text: &str) -> Program {
        parse("a/b", "test.kdl", text).expect("a scenario").program
    }

    #[test]
    fn keys_and_names_are_those_of_one_process() {
        let program = program("process a { msgget q key=7; semget s 1 key=9; fork b { shmget m 8 key=7 } }");
        let own = Own::of_this_run(&program).expect("free keys");
        let pid = std::process::id() as i32;
        assert!(own.keys.len() == 2 && own.key(Some(7)) != own.key(Some(9)), "{own:?}");
        assert!(is_key_of(pid, own.key(Some(7))) && !is_key_of(pid + 1, own.key(Some(7))));
        assert_eq!((own.key(None), own.key(Some(8))), (libc::IPC_PRIVATE, libc::IPC_PRIVATE));
        assert_eq!(own.name("/x").to_str(), Ok(format!("/proclab-{pid}-x").as_str()));
        assert_eq!(own.semaphore("/x").to_str(), Ok(format!("/dev/shm/sem.proclab-{pid}-x").as_str()));
        assert_eq!(own.hidden("x"), format!("proclab/{pid}/x").into_bytes());
    }

    #[test]
    fn no_two_keys_are_alike() {
        let largest = (1 << 22) - 1;
        assert_eq!(key_of(largest, ATTEMPTS - 1, KEYS - 1), i32::MAX);
        assert!(key_of(1, 0, 0) > 0 && is_key_of(largest, i32::MAX) && is_key_of(1, key_of(1, 3, 63)));
        assert!(!is_key_of(1, key_of(2, 0, 0)));
    }
}
