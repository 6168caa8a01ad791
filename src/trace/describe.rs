//! In words: what a task would do next, and what a call was given.

use super::calls::{self, Family};
use super::tracee::{Call, Rest};
use super::tracer::Tracer;
use crate::model::{Disposition, TaskId};
use crate::sys::memory;

/// How many arguments a call takes that is shown by its numbers; more than most.
const SHOWN: usize = 4;

/// The arguments of a call as text: paths in quotes, small numbers as they are, others in hexadecimal.
pub fn arguments(tid: i32, call: &Call) -> String {
    let name = calls::name(call.number);
    let path = path_argument(&name);
    let count = argument_count(&name);
    if let Some(text) = queue_arguments(tid, &name, &call.args) {
        return text;
    }
    let texts = (0..count).map(|index| {
        if path == Some(index) {
            let text = memory::read_string(tid, call.args[index], 256).unwrap_or_default();
            return format!("{:?}", String::from_utf8_lossy(&text));
        }
        number(call.args[index])
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// Those that stand in structures, of the calls about POSIX queues.
fn queue_arguments(tid: i32, name: &str, args: &[u64; 6]) -> Option<String> {
    let queue = || Some(String::from_utf8_lossy(&memory::read_string(tid, args[0], 256)?).into_owned());
    match name {
        "mq_unlink" => Some(format!("\"/{}\"", queue()?)),
        "mq_open" => {
            let limits =
                memory::read_u64(tid, args[3].wrapping_add(8)).zip(memory::read_u64(tid, args[3].wrapping_add(16)));
            let limits = limits
                .filter(|_| args[3] != 0)
                .map(|(messages, bytes)| format!(", {{mq_maxmsg={messages}, mq_msgsize={bytes}}}"));
            let mode = if args[1] as i32 & libc::O_CREAT == 0 { String::new() } else { format!(", 0{:o}", args[2]) };
            Some(format!("\"/{}\", {}{mode}{}", queue()?, open_flags(args[1] as i32), limits.unwrap_or_default()))
        }
        // `struct sigevent`: a value of 8 bytes, the signal, how to notify.
        "mq_notify" if args[1] != 0 => {
            let (signal, how) = (memory::read_i32(tid, args[1] + 8)?, memory::read_i32(tid, args[1] + 12)?);
            let signal = crate::model::Signal::new(signal).map_or_else(|| signal.to_string(), |it| it.to_string());
            Some(match how {
                libc::SIGEV_SIGNAL => format!("{}, SIGEV_SIGNAL {signal}", args[0] as i32),
                libc::SIGEV_NONE => format!("{}, SIGEV_NONE", args[0] as i32),
                _ => format!("{}, SIGEV_THREAD", args[0] as i32),
            })
        }
        "mq_notify" => Some(format!("{}, NULL", args[0] as i32)),
        _ => None,
    }
}

/// The flags of an open of a queue by their names.
fn open_flags(flags: i32) -> String {
    let access = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => "O_RDONLY",
        libc::O_WRONLY => "O_WRONLY",
        _ => "O_RDWR",
    };
    let others = [(libc::O_CREAT, "|O_CREAT"), (libc::O_EXCL, "|O_EXCL"), (libc::O_NONBLOCK, "|O_NONBLOCK")];
    let set = others.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name);
    [access].into_iter().chain(set).collect()
}

fn number(value: u64) -> String {
    match value as i64 {
        small @ -4096..=0xffff => small.to_string(),
        _ if value >> 32 == 0xffff_ffff || (value >> 31 == 1 && value >> 32 == 0) => (value as i32).to_string(),
        _ => format!("{value:#x}"),
    }
}

/// Which argument is a path, for the calls where one is.
fn path_argument(name: &str) -> Option<usize> {
    match name {
        "open" | "creat" | "stat" | "lstat" | "access" | "chdir" | "unlink" | "mkdir" | "rmdir" | "readlink"
        | "chmod" | "chown" | "lchown" | "truncate" | "rename" | "link" | "symlink" | "mknod" | "statfs" | "execve"
        | "chroot" => Some(0),
        "openat" | "openat2" | "newfstatat" | "faccessat" | "faccessat2" | "unlinkat" | "mkdirat" | "readlinkat"
        | "fchmodat" | "fchownat" | "mknodat" | "statx" | "execveat" | "renameat" | "renameat2" => Some(1),
        _ => None,
    }
}

fn argument_count(name: &str) -> usize {
    match name {
        "fork" | "vfork" | "pause" | "getpid" | "getppid" | "getuid" | "geteuid" | "getgid" | "getegid" | "gettid"
        | "getpgrp" | "setsid" | "sync" | "sched_yield" | "inotify_init" | "munlockall" => 0,
        "close" | "dup" | "alarm" | "umask" | "exit" | "exit_group" | "brk" | "unlink" | "chdir" | "rmdir" | "pipe"
        | "nice" | "getpgid" | "getsid" | "fchdir" | "fsync" | "set_tid_address" | "times" | "uname" | "sysinfo" => 1,
        "kill" | "tkill" | "dup2" | "setpgid" | "munmap" | "stat" | "fstat" | "lstat" | "access" | "mkdir"
        | "nanosleep" | "pipe2" | "listen" | "clone3" | "getrlimit" | "setrlimit" | "flock" | "rename" | "link"
        | "symlink" | "chmod" | "fchmod" | "msgget" | "truncate" | "ftruncate" | "set_robust_list" | "arch_prctl"
        | "rt_sigpending" | "sigaltstack" | "statfs" | "gettimeofday" | "clock_gettime" => 2,
        "read" | "write" | "lseek" | "dup3" | "tgkill" | "mprotect" | "ioctl" | "fcntl" | "poll" | "socket"
        | "connect" | "bind" | "accept" | "execve" | "unlinkat" | "mknod" | "getdents64" | "getrandom" | "msgctl"
        | "setresuid" | "setresgid" | "chown" | "readlink" | "madvise" | "close_range" | "sched_getaffinity" => 3,
        "mmap" | "futex" | "sendto" | "recvfrom" | "splice" | "pselect6" => 6,
        "clone" | "prctl" | "select" | "statx" | "mremap" | "waitid" | "execveat" => 5,
        _ => SHOWN,
    }
}

impl Tracer {
    /// What a task that rests would do next: `write p 29 B`.
    pub fn next_step(&self, task: TaskId) -> Option<String> {
        Some(match self.rest(task)? {
            Rest::Statement(_, id) => {
                let info = self.scenario.as_ref()?.program.statements.get(id.index())?;
                info.text.clone()
            }
            Rest::Call(stopped, call) => self.call_text(task, stopped.pid(), call),
            Rest::Signal(_, signal, _) => {
                let what = match self.world().action(task, *signal).map(|action| action.disposition) {
                    Some(Disposition::Handler) => "its handler",
                    Some(Disposition::Ignore) => "ignored",
                    _ => signal.default_action().as_str(),
                };
                format!("take {signal}: {what}")
            }
            Rest::Handler(_) => {
                let handling = self.world().task(task).and_then(|task| task.handling.last().copied());
                handling.map_or_else(|| "the handler".to_owned(), |signal| format!("the handler of {signal}"))
            }
            Rest::Access(stopped, fault) => self.access_text(task, stopped, fault),
            Rest::Anywhere(_) => "compute".to_owned(),
        })
    }

    fn call_text(&self, task: TaskId, tid: i32, call: &Call) -> String {
        let name = self.recorder.names().get(call.name);
        let channel = |fd: u64| {
            let known = self.world().fd(task, fd as i32).and_then(|entry| self.world().channel(entry.channel));
            known.map_or_else(|| format!("{}", fd as i32), |channel| self.recorder.names().get(channel.name).to_owned())
        };
        match call.family {
            Family::Read | Family::Write | Family::Recvfrom | Family::Sendto => {
                format!("{name} {} {} B", channel(call.args[0]), call.args[2])
            }
            Family::Readv
            | Family::Writev
            | Family::Recvmsg { .. }
            | Family::Sendmsg { .. }
            | Family::Lseek
            | Family::Accept
            | Family::Listen
            | Family::Close => format!("{name} {}", channel(call.args[0])),
            Family::Connect | Family::Bind => {
                let address = self.given_address(task, tid, call.args[0] as i32, call.args[1], call.args[2]);
                format!("{name} {} {address}", channel(call.args[0]))
            }
            Family::Exec { path } => {
                let path = memory::read_string(tid, call.args[usize::from(path)], 256).unwrap_or_default();
                format!("{name} {}", String::from_utf8_lossy(&path))
            }
            Family::Fork | Family::Setsid | Family::SignalWait | Family::Wait4 | Family::Waitid | Family::Sigreturn => {
                name.to_owned()
            }
            _ => format!("{name} {}", arguments(tid, call)),
        }
    }
}
