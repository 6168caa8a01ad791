//! The system calls that scenario processes make, each as the statement of its name means it.
//!
//! They run in a single-threaded process between other statements or inside a signal handler, so they
//! allocate nothing and take no lock. A failure is the error number.

use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::model::SignalSet;

/// What a call returns, or its error number.
pub type Answer = Result<i64, i32>;

fn answer(result: impl Into<i64>) -> Answer {
    match result.into() {
        -1 => Err(nix::errno::Errno::last_raw()),
        value => Ok(value),
    }
}

macro_rules! calls {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) => $call:expr;)*) => {
        $(
            $(#[$doc])*
            pub fn $name($($arg: $type),*) -> Answer {
                // SAFETY: a system call on numbers, on strings that end with NUL, or on slices and
                // structures that are borrowed for its whole length.
                answer(unsafe { $call })
            }
        )*
    };
}

pub mod faults;
pub mod locks;
pub mod posix;
pub mod region;
pub mod signals;
pub mod sockets;
pub mod sysv;
pub mod terminal;

calls! {
    /// The marker before a statement; no kernel knows it.
    fn mark(number: u32, first: u64, second: u64) => libc::syscall(i64::from(number), first, second);
    /// fork(2)
    fn fork() => libc::fork();
    /// getpid(2)
    fn getpid() => libc::getpid();
    /// getppid(2)
    fn getppid() => libc::getppid();
    /// waitpid(2)
    fn waitpid(pid: i32, options: i32) => libc::waitpid(pid, std::ptr::null_mut(), options);
    /// setpgid(2)
    fn setpgid(pid: i32, group: i32) => libc::setpgid(pid, group);
    /// setsid(2)
    fn setsid() => libc::setsid();
    /// prctl(2), `PR_SET_CHILD_SUBREAPER`
    fn subreaper() => libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    /// chdir(2)
    fn chdir(path: &CStr) => libc::chdir(path.as_ptr());
    /// kill(2)
    fn kill(pid: i32, signal: i32) => libc::kill(pid, signal);
    /// raise(3), to this process
    fn raise(signal: i32) => libc::kill(libc::getpid(), signal);
    /// pause(2)
    fn pause() => libc::pause();
    /// mkfifo(3)
    fn mkfifo(path: &CStr) => libc::mkfifo(path.as_ptr(), 0o666);
    /// open(2)
    fn open(path: &CStr, flags: i32) => libc::open(path.as_ptr(), flags, 0o666);
    /// read(2)
    fn read(fd: i32, buffer: &mut [u8]) => libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) as i64;
    /// write(2)
    fn write(fd: i32, bytes: &[u8]) => libc::write(fd, bytes.as_ptr().cast(), bytes.len()) as i64;
    /// close(2)
    fn close(fd: i32) => libc::close(fd);
    /// dup(2)
    fn dup(fd: i32) => libc::dup(fd);
    /// dup2(2)
    fn dup2(from: i32, to: i32) => libc::dup2(from, to);
    /// fcntl(2) with a number
    fn fcntl(fd: i32, command: i32, argument: i32) => libc::fcntl(fd, command, argument);
    /// lseek(2), from the start
    fn lseek(fd: i32, offset: i64) => libc::lseek(fd, offset, libc::SEEK_SET);
    /// unlink(2)
    fn unlink(path: &CStr) => libc::unlink(path.as_ptr());
    /// poll(2); the timeout is in milliseconds, -1 for none
    fn poll(fds: &mut [libc::pollfd], timeout: i32) => libc::poll(fds.as_mut_ptr(), fds.len() as u64, timeout);
    /// Closes every descriptor from `first` on.
    fn close_from(first: u32) => libc::syscall(libc::SYS_close_range, first, u32::MAX, 0);
}

/// pipe(2): the read end and the write end.
pub fn pipe() -> Result<[i32; 2], i32> {
    let mut ends = [0; 2];
    // SAFETY: the array is live and has the two elements that are written.
    answer(unsafe { libc::pipe(ends.as_mut_ptr()) }).map(|_| ends)
}

/// umask(2)
pub fn umask(mask: u32) -> Answer {
    // SAFETY: a system call on a number, which cannot fail.
    Ok(i64::from(unsafe { libc::umask(mask) }))
}

/// alarm(2)
pub fn alarm(seconds: u32) -> Answer {
    // SAFETY: a system call on a number, which cannot fail.
    Ok(i64::from(unsafe { libc::alarm(seconds) }))
}

/// nice(2), which may return -1 without having failed.
pub fn nice(by: i32) -> Answer {
    nix::errno::Errno::clear();
    // SAFETY: a system call on a number.
    let value = unsafe { libc::nice(by) };
    match nix::errno::Errno::last_raw() {
        0 => Ok(i64::from(value)),
        errno => Err(errno),
    }
}

/// `clock_nanosleep(2)` on the monotonic clock. The lab may take the time over; the memory that says
/// how long is written to then, so it is this call's own.
pub fn sleep(nanos: u64) -> Answer {
    let mut time = libc::timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as i64 };
    let time = std::hint::black_box(&raw mut time);
    // SAFETY: `time` is live; the remaining time is not asked for.
    let errno = unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, time, std::ptr::null_mut()) };
    if errno == 0 { Ok(0) } else { Err(errno) }
}

/// `sigprocmask(2)`, with all 64 signals.
pub fn sigprocmask(how: i32, set: SignalSet) -> Answer {
    let nowhere = std::ptr::null_mut::<u64>();
    // SAFETY: the set is live and has the 8 bytes that are passed as its size.
    answer(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const set.0, nowhere, 8) })
}

/// What a scenario process does when a signal is caught.
type Runner = Box<dyn Fn(i32)>;

static RUNNER: AtomicPtr<Runner> = AtomicPtr::new(std::ptr::null_mut());

/// Sets what is called when a signal is caught. It stays for the life of the process.
pub fn set_runner(runner: Runner) {
    RUNNER.store(Box::into_raw(Box::new(runner)), Ordering::SeqCst);
}

extern "C" fn caught(signal: i32) {
    // A handler must not change errno for the code that it interrupts.
    let errno = nix::errno::Errno::last_raw();
    let runner = RUNNER.load(Ordering::SeqCst);
    if !runner.is_null() {
        // SAFETY: it came from `Box::into_raw` and is never freed; a process has one thread, and the
        // runner only uses cells and system calls, so it may interrupt itself.
        unsafe { (*runner)(signal) };
    }
    nix::errno::Errno::set_raw(errno);
}

/// What a signal shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// Its default action.
    Default,
    /// Nothing.
    Ignore,
    /// The runner, with these `sa_flags` and `sa_mask`.
    Run(i32, SignalSet),
}

/// sigaction(2)
pub fn sigaction(signal: i32, handling: Handling) -> Answer {
    // SAFETY: an all-zero sigaction is valid: the default action, no flags, empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = match handling {
        Handling::Default => libc::SIG_DFL,
        Handling::Ignore => libc::SIG_IGN,
        Handling::Run(flags, mask) => {
            action.sa_flags = flags;
            for signal in mask.iter() {
                // SAFETY: the set is live and the number is one of a signal.
                unsafe { libc::sigaddset(&raw mut action.sa_mask, signal.number()) };
            }
            caught as *const () as usize
        }
    };
    // SAFETY: the structure is live; the handler lives as long as the program.
    answer(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) })
}

/// Gives every signal its default action and no other stack, as a new program has them.
pub fn reset_signals() {
    for signal in 1..=64 {
        super::signal::set_kernel_action(signal, libc::SIG_DFL);
    }
    let stack = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    // SAFETY: the structure is live; no handler runs now that could need the old stack.
    unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
}

/// execve(2) with the present environment. Returns only on failure, with the error number.
pub fn exec(path: &CStr, argv: &[*const libc::c_char]) -> i32 {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    debug_assert!(argv.last().is_some_and(|last| last.is_null()));
    // SAFETY: the path ends with NUL; argv ends with a null pointer and its strings are kept by the
    // caller; environ is the C library's own.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), environ) };
    nix::errno::Errno::last_raw()
}

/// `_exit(2)`: ends the process at once.
pub fn exit(code: i32) -> ! {
    // SAFETY: nothing of this process is used afterwards.
    unsafe { libc::_exit(code) }
}

/// What errno(3) holds in this thread.
pub fn errno() -> i32 {
    nix::errno::Errno::last_raw()
}

/// Sets errno(3).
pub fn set_errno(errno: i32) {
    nix::errno::Errno::set_raw(errno);
}

/// fwrite(3) to the C library's stdout: buffered, and not safe in a handler. That is the lesson.
pub fn print(bytes: &[u8]) {
    unsafe extern "C" {
        static stdout: *mut libc::FILE;
    }
    // SAFETY: the bytes are live; the stream is the C library's own.
    unsafe { libc::fwrite(bytes.as_ptr().cast(), 1, bytes.len(), stdout) };
}

/// fflush(3) of all streams.
pub fn flush() -> Answer {
    // SAFETY: a null stream means all of them.
    answer(unsafe { libc::fflush(std::ptr::null_mut()) })
}

/// Memory that forked processes share: a zeroed table of numbers.
pub fn shared_table(length: usize) -> &'static [std::sync::atomic::AtomicI32] {
    let bytes = length * size_of::<std::sync::atomic::AtomicI32>();
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping that nothing else knows of.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return &[];
    }
    // SAFETY: the mapping is `bytes` long, zeroed (a valid atomic), page-aligned and never unmapped.
    unsafe { std::slice::from_raw_parts(memory.cast(), length) }
}

/// Takes over a descriptor that was inherited under this number, as a file.
pub fn inherited_file(fd: i32) -> std::fs::File {
    use std::os::fd::FromRawFd;
    // SAFETY: the caller was told the number by whoever started this process, and nobody else here
    // uses it; should it not be open, reading from it fails.
    unsafe { std::fs::File::from_raw_fd(fd) }
}

/// Lends a buffer of cells as plain bytes.
pub fn with_bytes<T>(cells: &[std::cell::Cell<u8>], with: impl FnOnce(&mut [u8]) -> T) -> T {
    let start = cells.as_ptr().cast_mut().cast::<u8>();
    // SAFETY: a cell has the layout of what it holds, and cells may be written through a shared
    // reference. Nobody else has a reference to these bytes meanwhile: each depth of handlers has a
    // buffer of its own, and beyond the last depth an interrupted transfer has left the program for
    // the kernel.
    with(unsafe { std::slice::from_raw_parts_mut(start, cells.len()) })
}
