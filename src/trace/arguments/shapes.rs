//! The table of calls and what their arguments are (section 2 of the manual).

use super::names::Names;

/// What an argument is.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// `int`.
    Int,
    /// A number of bytes or a position.
    Size,
    /// A pointer that is not followed.
    Address,
    /// The descriptor of a directory, or `AT_FDCWD`.
    Directory,
    /// A pointer to a path.
    Path,
    /// A pointer to the path of a POSIX queue, which the kernel is given without its slash.
    Queue,
    /// Permissions.
    Mode,
    /// The type of a file with its permissions.
    Node,
    /// Permissions that are given only with `O_CREAT` among the flags that stand before.
    ModeIfCreated,
    /// The flags of an open.
    Open,
    /// A signal.
    Signal,
    /// A pointer to a set of signals.
    SignalSet,
    /// A pointer to a `timespec`.
    Timespec,
    /// A pointer to a `sigevent`.
    Event,
    /// A pointer to a `mq_attr`.
    QueueLimits,
    /// A key of System V.
    Key,
    /// One of these.
    One(Names),
    /// Some of these.
    Flags(Names),
    /// One of the first with some of the second.
    With(Names, Names),
    /// Some of these with permissions.
    Permitting(Names),
}

/// What the arguments of a call are, in the kernel's order; `None` for a call that is not here.
#[rustfmt::skip] // One line a shape reads as a table.
#[expect(
    clippy::too_many_lines, clippy::match_same_arms,
    reason = "a table, in the order of the manual's topics, of nothing but these words"
)]
pub fn shapes(name: &str) -> Option<&'static [Shape]> {
    #[allow(clippy::enum_glob_use, clippy::wildcard_imports, reason = "the table consists of them")]
    use {Shape::*, super::names::*};
    Some(match name {
        "fork" | "vfork" | "pause" | "getpid" | "getppid" | "getuid" | "geteuid" | "getgid" | "getegid" | "gettid"
        | "getpgrp" | "setsid" | "sync" | "sched_yield" | "inotify_init" | "munlockall" | "rt_sigreturn"
        | "restart_syscall" | "vhangup" => &[],
        "close" | "dup" | "fchdir" | "fsync" | "fdatasync" | "syncfs" | "exit" | "exit_group" | "getpgid" | "getsid"
        | "setuid" | "setgid" | "setfsuid" | "setfsgid" | "epoll_create" | "timer_delete" | "timer_getoverrun"
        | "sched_getscheduler" => &[Int],
        "alarm" => &[Size],
        "brk" | "set_tid_address" | "pipe" | "time" | "times" | "uname" | "sysinfo" | "shmdt" => &[Address],
        "umask" => &[Mode],
        "open" => &[Path, Open, ModeIfCreated],
        "openat" => &[Directory, Path, Open, ModeIfCreated],
        "openat2" => &[Directory, Path, Address, Size],
        "creat" | "mkdir" | "chmod" => &[Path, Mode],
        "stat" | "lstat" | "statfs" | "utime" => &[Path, Address],
        "unlink" | "rmdir" | "chdir" | "chroot" | "swapoff" => &[Path],
        "access" => &[Path, Flags(ACCESS)],
        "truncate" => &[Path, Size],
        "rename" | "link" | "symlink" | "pivot_root" => &[Path, Path],
        "readlink" => &[Path, Address, Size],
        "chown" | "lchown" => &[Path, Int, Int],
        "mknod" => &[Path, Node, Size],
        "execve" => &[Path, Address, Address],
        "execveat" => &[Directory, Path, Address, Address, Flags(AT)],
        "newfstatat" => &[Directory, Path, Address, Flags(AT)],
        "statx" => &[Directory, Path, Flags(AT), Size, Address],
        "faccessat" => &[Directory, Path, Flags(ACCESS)],
        "faccessat2" => &[Directory, Path, Flags(ACCESS), Flags(AT)],
        "unlinkat" => &[Directory, Path, Flags(AT)],
        "mkdirat" | "fchmodat" => &[Directory, Path, Mode],
        "mknodat" => &[Directory, Path, Node, Size],
        "fchownat" => &[Directory, Path, Int, Int, Flags(AT)],
        "readlinkat" => &[Directory, Path, Address, Size],
        "symlinkat" => &[Path, Directory, Path],
        "linkat" => &[Directory, Path, Directory, Path, Flags(AT)],
        "renameat" => &[Directory, Path, Directory, Path],
        "renameat2" => &[Directory, Path, Directory, Path, Flags(RENAMING)],
        "utimensat" => &[Directory, Path, Address, Flags(AT)],
        "fchmod" => &[Int, Mode],
        "fchown" => &[Int, Int, Int],
        "fstat" | "fstatfs" => &[Int, Address],
        "ftruncate" => &[Int, Size],
        "fallocate" => &[Int, Int, Size, Size],
        "getcwd" => &[Address, Size],
        "getdents64" | "getdents" | "read" | "write" => &[Int, Address, Size],
        "pread64" | "pwrite64" => &[Int, Address, Size, Size],
        "readv" | "writev" => &[Int, Address, Int],
        "preadv" | "pwritev" => &[Int, Address, Int, Size],
        "lseek" => &[Int, Size, One(WHENCE)],
        "sendfile" => &[Int, Int, Address, Size],
        "splice" => &[Int, Address, Int, Address, Size, Flags(SPLICING)],
        "tee" => &[Int, Int, Size, Flags(SPLICING)],
        "vmsplice" => &[Int, Address, Size, Flags(SPLICING)],
        "copy_file_range" => &[Int, Address, Int, Address, Size, Int],
        "dup2" => &[Int, Int],
        "dup3" => &[Int, Int, Flags(CLOSE_ON_EXEC)],
        "pipe2" => &[Address, Flags(CLOSE_ON_EXEC)],
        "close_range" => &[Int, Int, Int],
        "fcntl" => &[Int, One(FCNTL), Size],
        "flock" => &[Int, With(FLOCK, FLOCK_FLAGS)],
        "ioctl" => &[Int, One(IOCTL), Address],
        "mmap" => &[Address, Size, Flags(PROTECTION), Flags(MAPPING), Int, Size],
        "munmap" | "mlock" | "munlock" => &[Address, Size],
        "mprotect" => &[Address, Size, Flags(PROTECTION)],
        "mremap" => &[Address, Size, Size, Flags(REMAPPING), Address],
        "msync" => &[Address, Size, Flags(SYNCHRONISING)],
        "madvise" => &[Address, Size, One(ADVICE)],
        "clone" => &[Flags(CLONING), Address, Address, Address, Address],
        "clone3" => &[Address, Size],
        "unshare" => &[Flags(CLONING)],
        "setns" => &[Int, Flags(CLONING)],
        "wait4" => &[Int, Address, Flags(WAITING), Address],
        "waitid" => &[One(WAIT_FOR), Int, Address, Flags(WAITING), Address],
        "kill" | "tkill" => &[Int, Signal],
        "tgkill" => &[Int, Int, Signal],
        "rt_sigqueueinfo" => &[Int, Signal, Address],
        "rt_tgsigqueueinfo" => &[Int, Int, Signal, Address],
        "pidfd_send_signal" => &[Int, Signal, Address, Int],
        "pidfd_open" => &[Int, Flags(CLOSE_ON_EXEC)],
        "rt_sigaction" => &[Signal, Address, Address, Size],
        "rt_sigprocmask" => &[One(MASKING), SignalSet, Address, Size],
        "rt_sigsuspend" => &[SignalSet, Size],
        "rt_sigtimedwait" => &[SignalSet, Address, Timespec, Size],
        "rt_sigpending" => &[Address, Size],
        "sigaltstack" => &[Address, Address],
        "signalfd4" => &[Int, SignalSet, Size, Flags(CLOSE_ON_EXEC)],
        "setpgid" => &[Int, Int],
        "socket" => &[One(FAMILY), With(SOCKET_TYPE, SOCKET_FLAGS), Int],
        "socketpair" => &[One(FAMILY), With(SOCKET_TYPE, SOCKET_FLAGS), Int, Address],
        "connect" | "bind" => &[Int, Address, Int],
        "accept" | "getsockname" | "getpeername" => &[Int, Address, Address],
        "accept4" => &[Int, Address, Address, Flags(SOCKET_FLAGS)],
        "listen" => &[Int, Int],
        "shutdown" => &[Int, One(SHUTTING)],
        "sendto" | "recvfrom" => &[Int, Address, Size, Flags(MESSAGE), Address, Address],
        "sendmsg" | "recvmsg" => &[Int, Address, Flags(MESSAGE)],
        "sendmmsg" => &[Int, Address, Int, Flags(MESSAGE)],
        "recvmmsg" => &[Int, Address, Int, Flags(MESSAGE), Timespec],
        "setsockopt" | "getsockopt" => &[Int, One(SOCKET_LEVEL), Int, Address, Size],
        "msgget" => &[Key, Permitting(IPC)],
        "msgsnd" => &[Int, Address, Size, Flags(IPC)],
        "msgrcv" => &[Int, Address, Size, Size, Flags(IPC)],
        "msgctl" | "shmctl" => &[Int, Int, Address],
        "shmget" => &[Key, Size, Permitting(IPC)],
        "shmat" => &[Int, Address, Int],
        "semget" => &[Key, Int, Permitting(IPC)],
        "semop" => &[Int, Address, Size],
        "semtimedop" => &[Int, Address, Size, Timespec],
        "semctl" => &[Int, Int, Int, Address],
        "mq_open" => &[Queue, Open, ModeIfCreated, QueueLimits],
        "mq_unlink" => &[Queue],
        "mq_timedsend" => &[Int, Address, Size, Int, Timespec],
        "mq_timedreceive" => &[Int, Address, Size, Address, Timespec],
        "mq_notify" => &[Int, Event],
        "mq_getsetattr" => &[Int, Address, Address],
        "futex" => &[Address, With(FUTEX, FUTEX_FLAGS), Int, Address, Address, Size],
        "nanosleep" => &[Timespec, Address],
        "clock_nanosleep" => &[One(CLOCK), Flags(TIMER), Timespec, Address],
        "clock_gettime" | "clock_getres" => &[One(CLOCK), Address],
        "gettimeofday" => &[Address, Address],
        "setitimer" => &[One(INTERVAL), Address, Address],
        "getitimer" => &[One(INTERVAL), Address],
        "timer_create" => &[One(CLOCK), Event, Address],
        "timer_settime" => &[Int, Flags(TIMER), Address, Address],
        "timerfd_create" => &[One(CLOCK), Flags(CLOSE_ON_EXEC)],
        "timerfd_settime" => &[Int, Flags(TIMER), Address, Address],
        "eventfd2" => &[Int, Flags(EVENTFD)],
        "epoll_create1" => &[Flags(CLOSE_ON_EXEC)],
        "epoll_ctl" => &[Int, One(EPOLL), Int, Address],
        "epoll_wait" => &[Int, Address, Int, Int],
        "epoll_pwait" => &[Int, Address, Int, Int, SignalSet, Size],
        "poll" => &[Address, Int, Int],
        "ppoll" => &[Address, Int, Timespec, SignalSet, Size],
        "select" => &[Int, Address, Address, Address, Address],
        "pselect6" => &[Int, Address, Address, Address, Timespec, Address],
        "getrandom" => &[Address, Size, Flags(RANDOM)],
        "memfd_create" => &[Path, Flags(MEMORY_FILE)],
        "getrlimit" | "setrlimit" => &[One(LIMIT), Address],
        "prlimit64" => &[Int, One(LIMIT), Address, Address],
        "prctl" => &[One(PROCESS_CONTROL), Address, Address, Address, Address],
        "arch_prctl" => &[Address, Address],
        "set_robust_list" => &[Address, Size],
        "sched_getaffinity" | "sched_setaffinity" => &[Int, Size, Address],
        "setresuid" | "setresgid" => &[Int, Int, Int],
        "getresuid" | "getresgid" => &[Address, Address, Address],
        "setreuid" | "setregid" => &[Int, Int],
        "getpriority" => &[Int, Int],
        "setpriority" => &[Int, Int, Int],
        "rseq" => &[Address, Size, Int, Address],
        _ => return None,
    })
}
