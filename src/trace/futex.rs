//! What a task sleeps for in futex(2), as far as its arguments and the words around the address tell.
//!
//! The kernel knows an address and no more. What glibc keeps there (`nptl`) says whether it is a mutex and whose,
//! a semaphore, or the word that the kernel clears at the end of a thread. What fits none of these is left open.

use super::tracer::Tracer;
use crate::model::{Task, TaskId, Word};
use crate::sys::memory;

/// Operations of futex(2), without their flags.
const WAIT: u64 = 0;
const LOCK_PI: u64 = 6;
const WAIT_BITSET: u64 = 9;
const WAIT_REQUEUE_PI: u64 = 11;
const LOCK_PI2: u64 = 13;
const PRIVATE: u64 = 128;
const CLOCK_REALTIME: u64 = 256;
/// The part of a word that is the owner's TID (`FUTEX_TID_MASK`).
const OWNER: u32 = 0x3fff_ffff;
/// The value of a lock of glibc with others waiting (`lll_lock`).
const CONTENDED: u64 = 2;
/// What stands in `__private` of a semaphore that processes share (`sem_init(3)`).
const SHARED: u32 = 128;

/// What a task sleeps for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// The end of a thread.
    For(TaskId),
    /// A word of memory: what it belongs to, and who owns it, if that is known.
    At(Word, Option<TaskId>),
    /// Nothing that the lab knows.
    Otherwise,
}

/// Whether a call of futex(2) is only about the threads of its own process.
pub(super) const fn is_private(args: &[u64; 6]) -> bool {
    args[1] & PRIVATE != 0
}

impl Tracer {
    /// What a task waits for with these arguments; `shared` if the address lies in shared memory.
    pub(super) fn futex_waits(&self, tid: i32, task: TaskId, args: &[u64; 6], shared: bool) -> Waits {
        let [address, operation, value, ..] = *args;
        let around = |offset: u64| memory::read_i32(tid, address + offset).map(|word| word as u32);
        match operation & !(PRIVATE | CLOCK_REALTIME) {
            WAIT | WAIT_BITSET => {}
            LOCK_PI | LOCK_PI2 => {
                let owner = around(0).and_then(|word| self.owner(task, word & OWNER, shared));
                return Waits::At(Word::Mutex, owner);
            }
            WAIT_REQUEUE_PI => return Waits::At(Word::Unknown, None),
            _ => return Waits::Otherwise,
        }
        // The kernel clears and wakes that word at the end of the thread (set_tid_address(2)), and the wake is
        // not a private one.
        let thread = self.owner(task, value as u32, false).filter(|thread| *thread != task);
        if let Some(thread) = thread.filter(|_| operation & PRIVATE == 0 && !shared && value > CONTENDED) {
            return Waits::For(thread);
        }
        if value == CONTENDED {
            // `__lock`, `__count`, `__owner` of `struct __pthread_mutex_s`.
            let owner = around(8).filter(|owner| *owner != 0);
            if let Some(owner) = owner.filter(|owner| self.anybody(*owner)) {
                return Waits::At(Word::Mutex, self.owner(task, owner, shared));
            }
        }
        // A robust one has its owner in the lock itself.
        if let Some(owner) = self.owner(task, value as u32 & OWNER, shared).filter(|_| value > CONTENDED) {
            return Waits::At(Word::Mutex, Some(owner));
        }
        // `value`, `nwaiters`, `private` of `struct new_sem`, which begins with a number of 8 bytes.
        let sleepers = self.world().living().count();
        let aligned = address.is_multiple_of(8);
        if value == 0 && aligned && around(4).is_some_and(|count| (1..=sleepers).contains(&(count as usize))) {
            let private = around(8);
            if private == Some(if operation & PRIVATE == 0 { SHARED } else { 0 }) {
                return Waits::At(Word::Semaphore, None);
            }
        }
        Waits::At(Word::Unknown, None)
    }

    /// The living task with this TID, of the same process where the memory is its own.
    fn owner(&self, task: TaskId, tid: u32, shared: bool) -> Option<TaskId> {
        let world = self.world();
        let process = self.process_of(task);
        let is_it = |other: &&Task| other.pid as u32 == tid && (shared || other.process == process);
        (tid != 0).then(|| world.living().find(is_it).map(|owner| owner.id)).flatten()
    }

    /// Whether any task of the run has, or had, this TID.
    fn anybody(&self, tid: u32) -> bool {
        self.world().tasks().any(|task| task.pid as u32 == tid)
    }
}
