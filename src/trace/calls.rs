//! Which calls stop, and which decoder reads them.
//!
//! A call that is not here runs at full speed and leaves no trace, unless `--all` asks for every
//! one. Names are those of the kernel; a name that this architecture lacks is passed over.

use std::str::FromStr;

use syscalls::Sysno;

/// The decoder of a call: calls with the same shape share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `read`, `pread64`: descriptor, buffer, length.
    Read,
    /// `readv`: descriptor, vector, count.
    Readv,
    /// `write`, `pwrite64`.
    Write,
    /// `writev`.
    Writev,
    /// `recvmsg`, `recvmmsg`: descriptor, header(s).
    Recvmsg {
        /// Whether it takes an array of headers.
        many: bool,
    },
    /// `sendmsg`, `sendmmsg`.
    Sendmsg {
        /// Whether it takes an array of headers.
        many: bool,
    },
    /// `sendfile`: out, in.
    Sendfile,
    /// `splice`, `copy_file_range`: in, offset, out, offset.
    Splice,
    /// `tee`: in, out; nothing is taken from in.
    Tee,
    /// `vmsplice`.
    Vmsplice,
    /// A call that returns a new descriptor.
    NewFd,
    /// `open` and its kin, which may wait for the other end of a FIFO.
    Open {
        /// Which argument holds the path.
        path: u8,
    },
    /// `accept`: waits for a connection.
    Accept,
    /// `connect`.
    Connect,
    /// `bind`.
    Bind,
    /// `listen`.
    Listen,
    /// `shutdown`.
    Shutdown,
    /// `recvfrom`: descriptor, buffer, length, flags, address.
    Recvfrom,
    /// `sendto`.
    Sendto,
    /// `pipe`, `pipe2`: two descriptors in an array, the first argument.
    Pipe,
    /// `socketpair`: two descriptors in an array, the fourth argument.
    Socketpair,
    /// `dup`.
    Dup,
    /// `dup2`, `dup3`.
    Dup2,
    /// `fcntl`.
    Fcntl,
    /// `ioctl`: only what sets flags of a descriptor.
    Ioctl,
    /// `close`.
    Close,
    /// `close_range`.
    CloseRange,
    /// `lseek`.
    Lseek,
    /// `fork`, `vfork`, `clone`, `clone3`.
    Fork,
    /// `execve`, `execveat`.
    Exec {
        /// Which argument holds the path.
        path: u8,
    },
    /// `exit`, `exit_group`.
    Exit,
    /// `wait4`.
    Wait4,
    /// `waitid`.
    Waitid,
    /// `setpgid`.
    Setpgid,
    /// `setsid`.
    Setsid,
    /// `kill`.
    Kill,
    /// `tkill`.
    Tkill,
    /// `tgkill`.
    Tgkill,
    /// `rt_sigqueueinfo`.
    Sigqueue,
    /// `rt_tgsigqueueinfo`.
    Tgsigqueue,
    /// `pidfd_send_signal`.
    PidfdSendSignal,
    /// `rt_sigaction`.
    Sigaction,
    /// `rt_sigprocmask`.
    Sigprocmask,
    /// `rt_sigpending`.
    Sigpending,
    /// `rt_sigreturn`.
    Sigreturn,
    /// Waits for a signal: `pause`, `rt_sigsuspend`, `rt_sigtimedwait`.
    SignalWait,
    /// Waits for time to pass.
    Sleep {
        /// Which argument points to the length.
        time: u8,
    },
    /// `alarm`.
    Alarm,
    /// `setitimer`: which, new value.
    Setitimer,
    /// `timer_create`: clock, event, where its number goes.
    TimerCreate,
    /// `timer_settime`: number, flags, new value.
    TimerSettime,
    /// `timer_delete`: number.
    TimerDelete,
    /// `timerfd_settime`: descriptor, flags, new value.
    TimerfdSettime,
    /// `sigaltstack`: new stack.
    Sigaltstack,
    /// `poll`: timeout in milliseconds, third argument.
    Poll,
    /// `ppoll`.
    Ppoll,
    /// `select`, `epoll_wait` and their kin.
    Select,
    /// `epoll_ctl`: instance, operation, descriptor, event.
    EpollCtl,
    /// `msgget`: key, flags.
    Msgget,
    /// `msgsnd`: queue, message, length.
    Msgsnd,
    /// `msgrcv`: queue, buffer, room, type, flags.
    Msgrcv,
    /// `msgctl`: queue, command, structure.
    Msgctl,
    /// `mq_open`: name, flags.
    MqOpen,
    /// `mq_timedsend`: descriptor, message, length, priority.
    MqSend,
    /// `mq_timedreceive`: descriptor, buffer, room, priority.
    MqReceive,
    /// `mq_notify`: descriptor, event.
    MqNotify,
    /// `mq_getsetattr`: descriptor, new attributes.
    MqAttributes,
    /// `mq_unlink`: name.
    MqUnlink,
    /// `process_vm_readv`: process, own vector, its length.
    VmRead,
    /// `process_vm_writev`.
    VmWrite,
    /// `mknod` and its kin.
    Mknod {
        /// Which argument holds the path.
        path: u8,
    },
    /// `unlink` and its kin.
    Unlink {
        /// Which argument holds the path.
        path: u8,
    },
    /// `mmap`: address, length, protection, flags, descriptor, offset. Only shared mappings stop.
    Mmap,
    /// `munmap`: address, length.
    Munmap,
    /// `mremap`: old address, old length, new length, flags.
    Mremap,
    /// `mprotect`: address, length, protection.
    Mprotect,
    /// `shmget`: key, size, flags.
    Shmget,
    /// `shmat`: identifier, address, flags.
    Shmat,
    /// `shmdt`: address.
    Shmdt,
    /// `shmctl`: identifier, command.
    Shmctl,
    /// `semget`: key, count, flags.
    Semget,
    /// `semop`, `semtimedop`: identifier, operations, count.
    Semop,
    /// `semctl`: identifier, index, command, value.
    Semctl,
    /// `ftruncate`: descriptor, length.
    Ftruncate,
    /// `link`, `linkat`.
    Link {
        /// Which argument holds the old path.
        old: u8,
        /// Which argument holds the new path.
        new: u8,
    },
    /// `flock`.
    Flock,
    /// `futex`.
    Futex,
    /// `prctl`, `seccomp`: only what asks for a mode of seccomp or sets strict mode.
    Seccomp,
    /// `restart_syscall`: goes on with a sleep that was interrupted.
    Restart,
    /// Only a name, with `--all`; and for the reason of a block.
    Plain,
}

/// The calls that stop.
const TRACED: &[(&str, Family)] = &[
    ("read", Family::Read),
    ("pread64", Family::Read),
    ("readv", Family::Readv),
    ("preadv", Family::Readv),
    ("preadv2", Family::Readv),
    ("recvfrom", Family::Recvfrom),
    ("recvmsg", Family::Recvmsg { many: false }),
    ("recvmmsg", Family::Recvmsg { many: true }),
    ("write", Family::Write),
    ("pwrite64", Family::Write),
    ("writev", Family::Writev),
    ("pwritev", Family::Writev),
    ("pwritev2", Family::Writev),
    ("sendto", Family::Sendto),
    ("sendmsg", Family::Sendmsg { many: false }),
    ("sendmmsg", Family::Sendmsg { many: true }),
    ("sendfile", Family::Sendfile),
    ("splice", Family::Splice),
    ("copy_file_range", Family::Splice),
    ("tee", Family::Tee),
    ("vmsplice", Family::Vmsplice),
    ("open", Family::Open { path: 0 }),
    ("creat", Family::Open { path: 0 }),
    ("openat", Family::Open { path: 1 }),
    ("openat2", Family::Open { path: 1 }),
    ("open_by_handle_at", Family::NewFd),
    ("open_tree", Family::NewFd),
    ("socket", Family::NewFd),
    ("accept", Family::Accept),
    ("accept4", Family::Accept),
    ("connect", Family::Connect),
    ("bind", Family::Bind),
    ("listen", Family::Listen),
    ("shutdown", Family::Shutdown),
    ("eventfd", Family::NewFd),
    ("eventfd2", Family::NewFd),
    ("signalfd", Family::NewFd),
    ("signalfd4", Family::NewFd),
    ("timerfd_create", Family::NewFd),
    ("epoll_ctl", Family::EpollCtl),
    ("epoll_create", Family::NewFd),
    ("epoll_create1", Family::NewFd),
    ("inotify_init", Family::NewFd),
    ("inotify_init1", Family::NewFd),
    ("fanotify_init", Family::NewFd),
    ("memfd_create", Family::NewFd),
    ("memfd_secret", Family::NewFd),
    ("pidfd_open", Family::NewFd),
    ("pidfd_getfd", Family::NewFd),
    ("userfaultfd", Family::NewFd),
    ("perf_event_open", Family::NewFd),
    ("io_uring_setup", Family::NewFd),
    ("landlock_create_ruleset", Family::NewFd),
    ("fsopen", Family::NewFd),
    ("fsmount", Family::NewFd),
    ("fspick", Family::NewFd),
    ("bpf", Family::NewFd),
    ("pipe", Family::Pipe),
    ("pipe2", Family::Pipe),
    ("socketpair", Family::Socketpair),
    ("dup", Family::Dup),
    ("dup2", Family::Dup2),
    ("dup3", Family::Dup2),
    ("fcntl", Family::Fcntl),
    ("flock", Family::Flock),
    ("ioctl", Family::Ioctl),
    ("close", Family::Close),
    ("close_range", Family::CloseRange),
    ("lseek", Family::Lseek),
    ("fork", Family::Fork),
    ("vfork", Family::Fork),
    ("clone", Family::Fork),
    ("clone3", Family::Fork),
    ("execve", Family::Exec { path: 0 }),
    ("execveat", Family::Exec { path: 1 }),
    ("exit", Family::Exit),
    ("exit_group", Family::Exit),
    ("wait4", Family::Wait4),
    ("waitid", Family::Waitid),
    ("setpgid", Family::Setpgid),
    ("setsid", Family::Setsid),
    ("kill", Family::Kill),
    ("tkill", Family::Tkill),
    ("tgkill", Family::Tgkill),
    ("rt_sigqueueinfo", Family::Sigqueue),
    ("rt_tgsigqueueinfo", Family::Tgsigqueue),
    ("pidfd_send_signal", Family::PidfdSendSignal),
    ("rt_sigaction", Family::Sigaction),
    ("rt_sigprocmask", Family::Sigprocmask),
    ("rt_sigpending", Family::Sigpending),
    ("rt_sigreturn", Family::Sigreturn),
    ("pause", Family::SignalWait),
    ("rt_sigsuspend", Family::SignalWait),
    ("rt_sigtimedwait", Family::SignalWait),
    ("restart_syscall", Family::Restart),
    ("nanosleep", Family::Sleep { time: 0 }),
    ("clock_nanosleep", Family::Sleep { time: 2 }),
    ("alarm", Family::Alarm),
    ("setitimer", Family::Setitimer),
    ("timer_create", Family::TimerCreate),
    ("timer_settime", Family::TimerSettime),
    ("timer_delete", Family::TimerDelete),
    ("timerfd_settime", Family::TimerfdSettime),
    ("sigaltstack", Family::Sigaltstack),
    ("msgget", Family::Msgget),
    ("msgsnd", Family::Msgsnd),
    ("msgrcv", Family::Msgrcv),
    ("msgctl", Family::Msgctl),
    ("mq_open", Family::MqOpen),
    ("mq_timedsend", Family::MqSend),
    ("mq_timedreceive", Family::MqReceive),
    ("mq_notify", Family::MqNotify),
    ("mq_getsetattr", Family::MqAttributes),
    ("mq_unlink", Family::MqUnlink),
    ("process_vm_readv", Family::VmRead),
    ("process_vm_writev", Family::VmWrite),
    ("mknod", Family::Mknod { path: 0 }),
    ("mknodat", Family::Mknod { path: 1 }),
    ("unlink", Family::Unlink { path: 0 }),
    ("unlinkat", Family::Unlink { path: 1 }),
    ("mmap", Family::Mmap),
    ("munmap", Family::Munmap),
    ("mremap", Family::Mremap),
    ("shmget", Family::Shmget),
    ("shmat", Family::Shmat),
    ("shmdt", Family::Shmdt),
    ("shmctl", Family::Shmctl),
    ("semget", Family::Semget),
    ("semop", Family::Semop),
    ("semtimedop", Family::Semop),
    ("semctl", Family::Semctl),
    ("ftruncate", Family::Ftruncate),
    ("link", Family::Link { old: 0, new: 1 }),
    ("linkat", Family::Link { old: 1, new: 3 }),
    // These stop only for what concerns a mode of seccomp.
    ("prctl", Family::Seccomp),
    ("seccomp", Family::Seccomp),
    ("poll", Family::Poll),
    ("ppoll", Family::Ppoll),
    // These stop only where they bring a mask along.
    ("pselect6", Family::Select),
    ("epoll_pwait", Family::Select),
    ("epoll_pwait2", Family::Select),
];

/// Calls that do not stop, but in which a task may be found asleep.
const WAITING: &[(&str, Family)] = &[
    ("select", Family::Select),
    ("epoll_wait", Family::Select),
    ("futex", Family::Futex),
    ("mprotect", Family::Mprotect),
    ("pkey_mprotect", Family::Mprotect),
];

/// The marker that scenario processes make before each statement: a number no kernel has. The call
/// fails with ENOSYS, which the actor does not look at.
pub const MARKER: u32 = 0x5052;

/// How many numbers the tables cover.
const NUMBERS: usize = 1024;

/// The decoders by call number.
#[derive(Debug)]
pub struct Calls {
    families: Vec<Family>,
}

impl Default for Calls {
    fn default() -> Self {
        let mut families = vec![Family::Plain; NUMBERS];
        for (name, family) in TRACED.iter().chain(WAITING) {
            if let Some(slot) = Sysno::from_str(name).ok().and_then(|call| families.get_mut(call.id() as usize)) {
                *slot = *family;
            }
        }
        Self { families }
    }
}

impl Calls {
    /// The decoder of a call.
    pub fn family(&self, number: u64) -> Family {
        usize::try_from(number).ok().and_then(|index| self.families.get(index)).copied().unwrap_or(Family::Plain)
    }
}

/// The name of a call; of one that this program does not know, its number.
pub fn name(number: u64) -> String {
    let known = usize::try_from(number).ok().and_then(Sysno::new);
    known.map_or_else(|| format!("syscall_{number}"), |call| call.name().to_owned())
}

/// The number of a call on this architecture.
pub fn number(name: &str) -> Option<u32> {
    Sysno::from_str(name).ok().map(|call| call.id() as u32)
}

/// The numbers of all calls.
pub fn every() -> impl Iterator<Item = u32> {
    (0..NUMBERS).filter_map(Sysno::new).map(|call| call.id() as u32)
}

/// The numbers of the calls that stop in every program.
pub fn traced() -> impl Iterator<Item = u32> {
    TRACED.iter().filter_map(|(name, _)| Sysno::from_str(name).ok()).map(|call| call.id() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_the_kernels_unless_another_architecture_has_it() {
        let missing: Vec<_> =
            TRACED.iter().chain(WAITING).map(|(name, _)| *name).filter(|name| Sysno::from_str(name).is_err()).collect();
        if cfg!(target_arch = "x86_64") {
            assert_eq!(missing, Vec::<&str>::new());
        }
    }

    #[test]
    fn numbers_are_those_of_the_c_library() {
        assert!(traced().any(|number| i64::from(number) == libc::SYS_read));
        assert_eq!(name(libc::SYS_write as u64), "write");
        assert_eq!(name(99_999), "syscall_99999");
        assert_eq!(Calls::default().family(libc::SYS_execve as u64), Family::Exec { path: 0 });
        assert_eq!(Calls::default().family(u64::MAX), Family::Plain);
    }
}
