//! The signal state that programs on the bench inherit.
//!
//! They shall find what they would find without the lab. The Rust runtime ignores SIGPIPE before
//! `main`, and the tracer's thread blocks and handles signals for its own ends; a child is given
//! back what the lab itself was started with.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::SignalSet;

static IGNORED_AT_START: AtomicU64 = AtomicU64::new(0);
static BLOCKED_AT_START: AtomicU64 = AtomicU64::new(0);

/// The kernel's `struct sigaction`: handler, flags, restorer, mask. The C library's functions refuse
/// the two signals that it keeps for itself, and it catches one of them as soon as there are threads.
type KernelAction = [u64; 4];

/// What is done about `signal`, as the kernel has it.
fn kernel_action(signal: i32) -> KernelAction {
    let mut action: KernelAction = [0; 4];
    let nothing = std::ptr::null::<KernelAction>();
    // SAFETY: no new action; the kernel writes the 32 bytes of its struct. The last argument is the
    // size of its mask.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, nothing, &raw mut action, 8) };
    action
}

/// Sets what is done about `signal`: `SIG_DFL` or `SIG_IGN`.
pub(super) fn set_kernel_action(signal: i32, disposition: libc::sighandler_t) {
    let action: KernelAction = [disposition as u64, 0, 0, 0];
    let nowhere = std::ptr::null_mut::<KernelAction>();
    // SAFETY: the struct is live and all of it is set; no handler is named. SIGKILL and SIGSTOP are
    // refused and need not be set.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, nowhere, 8) };
}

/// Runs before the Rust runtime, which will ignore SIGPIPE, and before any thread.
#[used]
// SAFETY: the loader calls each function in this section once, before main, in the C ABI; this one
// makes system calls and stores what they say.
#[unsafe(link_section = ".init_array")]
static REMEMBER: extern "C" fn() = {
    extern "C" fn remember() {
        let mut ignored = SignalSet::EMPTY;
        for signal in (1..=64).filter_map(crate::model::Signal::new) {
            if kernel_action(signal.number())[0] == libc::SIG_IGN as u64 {
                ignored.insert(signal);
            }
        }
        IGNORED_AT_START.store(ignored.0, Ordering::Relaxed);
        let mut blocked = 0_u64;
        let how = libc::SIG_SETMASK;
        // SAFETY: no new set; the kernel writes 8 bytes, the size that is passed.
        unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, std::ptr::null::<u64>(), &raw mut blocked, 8) };
        BLOCKED_AT_START.store(blocked, Ordering::Relaxed);
    }
    remember
};

/// In a child between fork and exec: mask and dispositions are as the lab found them.
///
/// Handlers need no care: an exec removes them.
pub(super) fn reset_for_child() {
    let ignored = SignalSet(IGNORED_AT_START.load(Ordering::Relaxed));
    set_kernel_action(libc::SIGPIPE, libc::SIG_DFL);
    set_kernel_action(OF_LIBC[0], libc::SIG_DFL);
    for signal in ignored.iter() {
        set_kernel_action(signal.number(), libc::SIG_IGN);
    }
    let blocked = BLOCKED_AT_START.load(Ordering::Relaxed);
    let nowhere = std::ptr::null_mut::<u64>();
    // SAFETY: the mask is live and has the 8 bytes that are passed as its size.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const blocked, nowhere, 8) };
}

/// The two signals that the C library keeps for itself (nptl(7)). It unblocks the first in every new thread, and
/// catches it only where threads are cancelled; the second it catches as soon as there are threads.
pub(super) const OF_LIBC: [i32; 2] = [32, 33];

/// Does nothing about the one that would end this process: none of its threads is ever cancelled.
pub(super) fn ignore_those_of_libc() {
    set_kernel_action(OF_LIBC[0], libc::SIG_IGN);
}

/// Signals that were ignored, and signals that were blocked, when the lab was started.
pub(super) fn at_start() -> (SignalSet, SignalSet) {
    (SignalSet(IGNORED_AT_START.load(Ordering::Relaxed)), SignalSet(BLOCKED_AT_START.load(Ordering::Relaxed)))
}

/// Ends this process by `signal`, as a program on the bench ended: what waits for the lab shall see
/// what it would see of the program itself. Returns if the signal does not end it.
pub fn die_of(signal: i32) {
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is live. A core dump of the lab itself would pass for one of the program, so
    // there is none.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
    set_kernel_action(signal, libc::SIG_DFL);
    if let Some(known) = crate::model::Signal::new(signal) {
        unblock(SignalSet::EMPTY.with(known));
    }
    raise(signal);
}

/// Changes the mask of the calling thread; returns what it was. The C library's functions leave out the two
/// signals that it keeps for itself, of which one ends a process that does nothing about it.
fn change_mask(how: i32, set: SignalSet) -> SignalSet {
    let mut before = 0_u64;
    // SAFETY: both masks are live and have the 8 bytes that are passed as their size.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const set.0, &raw mut before, 8) };
    SignalSet(before)
}

/// Blocks signals in the calling thread, and in those that it starts from now on.
pub(super) fn block(set: SignalSet) {
    change_mask(libc::SIG_BLOCK, set);
}

/// Unblocks signals in the calling thread.
pub(super) fn unblock(set: SignalSet) {
    change_mask(libc::SIG_UNBLOCK, set);
}

/// Whether the calling thread blocks a signal.
pub(super) fn is_blocked(signal: i32) -> bool {
    let blocked = change_mask(libc::SIG_BLOCK, SignalSet::EMPTY);
    crate::model::Signal::new(signal).is_some_and(|signal| blocked.contains(signal))
}

/// Sends a signal to the calling thread.
pub(super) fn raise(signal: i32) {
    // SAFETY: system calls on numbers.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal) };
}

/// Takes one of these signals, which must be blocked: its number, its `si_code`, and who sent it if its code
/// says that somebody did (sigaction(2)). `None` if none came in that time.
pub(super) fn wait_for(set: SignalSet, time: std::time::Duration) -> Option<(i32, i32, i32)> {
    let time = libc::timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos().into() };
    // SAFETY: an all-zero siginfo_t is valid: every member is a number.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: set and time are live, the set has the 8 bytes that are passed as its size, and the kernel fills
    // the structure.
    let taken =
        unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set.0, &raw mut info, &raw const time, 8) };
    // SAFETY: with a code that is not above 0 the kernel has filled this member; else it is not looked at.
    (taken > 0).then(|| (info.si_signo, info.si_code, if info.si_code > 0 { 0 } else { unsafe { info.si_pid() } }))
}

/// The lab's own PID.
pub(super) fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Ends the lab here and now.
pub(super) fn end_now(status: i32) -> ! {
    // SAFETY: it takes a number, and runs nothing of this process any more.
    unsafe { libc::_exit(status) }
}

/// Kills a process that this one has made. One that is gone already is no failure.
pub fn kill(pid: i32) {
    // SAFETY: a system call on numbers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Who gets a signal, by the numbers that this process sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// A process, whichever of its threads takes it (kill(2)).
    Process(i32),
    /// One thread of a process (tgkill(2)). That it is one of this process the kernel makes sure.
    Thread {
        /// The process.
        process: i32,
        /// The thread.
        thread: i32,
    },
}

/// Sends `signal`, or with 0 only asks whether it could be sent; with a value, as sigqueue(3) does.
///
/// # Errors
/// `EPERM` if this process may not, `ESRCH` if the receiver is gone, `EAGAIN` if too many are queued.
pub fn send_to(receiver: Receiver, signal: i32, value: Option<i32>) -> super::Result<()> {
    let (process, thread) = match receiver {
        Receiver::Process(process) => (process, process),
        Receiver::Thread { process, thread } => (process, thread),
    };
    let (call, result) = match (receiver, value) {
        // SAFETY: a system call on numbers.
        (Receiver::Process(_), None) => ("kill", unsafe { libc::syscall(libc::SYS_kill, process, signal) }),
        (Receiver::Thread { .. }, None) => {
            // SAFETY: a system call on numbers.
            ("tgkill", unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) })
        }
        (Receiver::Process(_), Some(value)) => {
            let info = queued_info(signal, value);
            // SAFETY: the structure is live and as large as the kernel's `siginfo_t`.
            let result = unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, process, signal, &raw const info) };
            ("rt_sigqueueinfo", result)
        }
        (Receiver::Thread { .. }, Some(value)) => {
            let info = queued_info(signal, value);
            // SAFETY: the structure is live and as large as the kernel's `siginfo_t`.
            let result =
                unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, signal, &raw const info) };
            ("rt_tgsigqueueinfo", result)
        }
    };
    super::error::check(result, call, || format!("process {process}")).map(drop)
}

/// The beginning of the kernel's `siginfo_t` as sigqueue(3) fills it, and nothing after it.
#[repr(C)]
struct QueuedInfo {
    signal: i32,
    errno: i32,
    code: i32,
    padding: i32,
    pid: i32,
    uid: u32,
    value: i64,
    rest: [u64; 12],
}

const _: () = assert!(size_of::<QueuedInfo>() == size_of::<libc::siginfo_t>());

fn queued_info(signal: i32, value: i32) -> QueuedInfo {
    QueuedInfo {
        signal,
        errno: 0,
        code: libc::SI_QUEUE,
        padding: 0,
        pid: nix::unistd::getpid().as_raw(),
        uid: nix::unistd::getuid().as_raw(),
        value: i64::from(value),
        rest: [0; 12],
    }
}

/// The `si_code` of signals that the lab sends in place of the kernel, by which it knows them again: one
/// that no program uses. (sigaction(2): codes of processes are negative.)
pub const OF_THE_LAB: i32 = -0x5052;

/// Queues `signal` for a process, with a code below 0 (rt_sigqueueinfo(2)); no sender is named.
pub fn queue(pid: i32, signal: i32, code: i32) -> super::Result<()> {
    // SAFETY: an all-zero siginfo_t is valid: every member is a number.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    info.si_signo = signal;
    info.si_code = code;
    // SAFETY: the structure is live, and the kernel only reads it.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, &raw const info) };
    super::error::check(result, "rt_sigqueueinfo", || format!("process {pid}")).map(drop)
}
