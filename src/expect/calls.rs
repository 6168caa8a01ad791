//! Which system calls a statement of the scenario language can become.
//!
//! A scenario says `open`, as the manual page does; the C library makes `openat` of it, and which
//! one is made differs between architectures and versions.

/// The words of the language that become another call than the one they name.
const CALLS: [(&str, &[&str]); 26] = [
    ("open", &["open", "openat", "openat2", "creat"]),
    ("wait", &["wait4", "waitid", "waitpid"]),
    ("fork", &["fork", "vfork", "clone", "clone3"]),
    ("sleep", &["nanosleep", "clock_nanosleep"]),
    ("exec", &["execve", "execveat"]),
    ("pipe", &["pipe", "pipe2"]),
    ("dup2", &["dup2", "dup3"]),
    ("poll", &["poll", "ppoll"]),
    ("pause", &["pause", "ppoll", "rt_sigsuspend"]),
    ("mkfifo", &["mknod", "mknodat"]),
    ("unlink", &["unlink", "unlinkat"]),
    ("read", &["read", "readv", "pread64", "preadv", "preadv2"]),
    ("write", &["write", "writev", "pwrite64", "pwritev", "pwritev2"]),
    ("print", &["write", "writev"]),
    ("fflush", &["write", "writev"]),
    ("lseek", &["lseek", "_llseek"]),
    ("cloexec", &["fcntl"]),
    ("nonblock", &["fcntl"]),
    ("pipe-size", &["fcntl"]),
    ("fcntl-lock", &["fcntl"]),
    ("fcntl-getlk", &["fcntl"]),
    ("exit", &["exit_group", "exit"]),
    ("_exit", &["exit_group", "exit"]),
    ("alarm", &["alarm", "setitimer"]),
    ("raise", &["tgkill", "tkill", "kill"]),
    ("kill", &["kill", "tgkill", "tkill", "pidfd_send_signal"]),
];

/// More of them: those whose call only bears another name.
const RENAMED: [(&str, &[&str]); 12] = [
    ("block", &["rt_sigprocmask"]),
    ("unblock", &["rt_sigprocmask"]),
    ("on", &["rt_sigaction"]),
    ("ignore", &["rt_sigaction"]),
    ("default", &["rt_sigaction"]),
    ("semop", &["semop", "semtimedop"]),
    ("sem_wait", &["futex"]),
    ("sem_timedwait", &["futex"]),
    ("shm_open", &["open", "openat", "openat2"]),
    ("nice", &["nice", "setpriority"]),
    ("mq_send", &["mq_timedsend"]),
    ("mq_receive", &["mq_timedreceive"]),
];

/// The system calls that `word` can stand for: a statement of the language, a manual page, or a
/// system call, which stands for itself (and is not in the answer).
pub fn call_names(word: &str) -> &'static [&'static str] {
    let mut known = CALLS.iter().chain(&RENAMED);
    known.find(|(name, _)| *name == word).map_or(&[], |(_, calls)| calls)
}

/// Whether the system call `call` is one that `word` can stand for.
pub(super) fn is_call(word: &str, call: &str) -> bool {
    word == call || call_names(word).contains(&call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_calls() {
        assert!(is_call("open", "openat") && is_call("wait", "waitid") && is_call("exit", "exit_group"));
        assert!(is_call("fcntl", "fcntl") && is_call("wait4", "wait4"));
        assert!(!is_call("open", "read") && !is_call("pause", "read"));
        assert_eq!(call_names("pipe"), ["pipe", "pipe2"]);
        assert_eq!(call_names("chdir"), [""; 0]);
    }

    #[test]
    fn every_call_is_one_of_linux() {
        let elsewhere = ["waitpid", "_llseek", "nice"];
        for call in CALLS.iter().chain(&RENAMED).flat_map(|(_, calls)| *calls) {
            let known = call.parse::<syscalls::x86_64::Sysno>().is_ok();
            assert!(known || elsewhere.contains(call), "{call}");
        }
    }
}
