//! Who of all processes belongs to a run of this lab, as far as signals to the lab are concerned.
//!
//! The kernel says who has sent a signal by the number that the sender knows itself by, which in a PID namespace
//! of its own is another one than the lab's for it (pid_namespaces(7)). So the numbers of tasks are kept as long
//! as they live, and of tasks in another namespace which signal they are about to send. Who has sent a signal may
//! be gone when it is looked at: those are kept until no signal has waited for a while.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

static SENDERS: LazyLock<Mutex<Senders>> = LazyLock::new(Mutex::default);

#[derive(Debug, Default)]
struct Senders {
    /// The TIDs of all tasks, among which are the PIDs of all processes.
    alive: HashSet<i32>,
    /// Those that have gone since the last time nothing came, and before.
    gone: [HashSet<i32>; 2],
    /// Under which number a task of another namespace is sending which signal; likewise.
    sending: [HashSet<(i32, i32)>; 2],
}

fn senders() -> MutexGuard<'static, Senders> {
    SENDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A task belongs to a run from now on.
pub fn joined(tid: i32) {
    let mut senders = senders();
    senders.alive.insert(tid);
    for gone in &mut senders.gone {
        gone.remove(&tid);
    }
}

/// A task is gone.
pub fn left(tid: i32) {
    let mut senders = senders();
    if senders.alive.remove(&tid) {
        senders.gone[0].insert(tid);
    }
}

/// A process that has this number in a namespace of its own is about to send a signal.
pub fn sends(pid: i32, signal: i32) {
    senders().sending[0].insert((pid, signal));
}

/// No signal waits: what was kept only for one that might is forgotten the next time.
pub(super) fn forget_those_gone() {
    let mut senders = senders();
    senders.gone[1] = std::mem::take(&mut senders.gone[0]);
    senders.sending[1] = std::mem::take(&mut senders.sending[0]);
}

/// Whether a task of a run has sent this signal.
pub(super) fn is_of_a_run(pid: i32, code: i32, signal: i32) -> bool {
    // Codes above 0 are the kernel's, and name no sender (sigaction(2)).
    if code > 0 || pid == 0 {
        return false;
    }
    let senders = senders();
    senders.alive.contains(&pid)
        || senders.gone.iter().any(|gone| gone.contains(&pid))
        || senders.sending.iter().any(|sending| sending.contains(&(pid, signal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_known_a_while_beyond_their_end() {
        // Numbers that no process has: other tests have runs of their own in this process.
        let (pid, inner) = (1 << 30, (1 << 30) + 1);
        let user = libc::SI_USER;
        assert!(!is_of_a_run(pid, user, 10));
        joined(pid);
        assert!(is_of_a_run(pid, user, 10) && is_of_a_run(pid, libc::SI_QUEUE, 10));
        assert!(!is_of_a_run(pid, libc::SI_KERNEL, 2), "a key of the terminal has no sender");
        left(pid);
        sends(inner, 10);
        assert!(is_of_a_run(pid, user, 10) && is_of_a_run(inner, user, 10));
        assert!(!is_of_a_run(inner, user, 15));
        forget_those_gone();
        assert!(is_of_a_run(pid, user, 10) && is_of_a_run(inner, user, 10));
        forget_those_gone();
        assert!(!is_of_a_run(pid, user, 10) && !is_of_a_run(inner, user, 10));
    }
}
