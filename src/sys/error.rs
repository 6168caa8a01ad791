//! Errors of the operating system that name the call and what it was applied to.

use std::fmt;
use std::path::Path;

/// A system call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The call, by its name in the manual.
    pub call: &'static str,
    /// What it was applied to, for a person: a path, `process 17`.
    pub target: String,
    /// The error number.
    pub errno: i32,
}

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The failure that `errno` reports now, of `call` on `target`.
    pub fn last(call: &'static str, target: impl Into<String>) -> Self {
        // First of all: the allocator sets the number too, where memory is short.
        let errno = nix::errno::Errno::last_raw();
        Self { call, target: target.into(), errno }
    }

    /// A failure with a known number.
    pub fn new(call: &'static str, target: impl Into<String>, errno: i32) -> Self {
        Self { call, target: target.into(), errno }
    }

    /// Whether a stopped tracee turned out to be dying: its end is about to be reported.
    pub const fn is_gone(&self) -> bool {
        self.errno == libc::ESRCH
    }

    /// The error, and what to try where that is known.
    pub fn with_hint(&self) -> String {
        self.hint().map_or_else(|| self.to_string(), |hint| format!("{self}; {hint}"))
    }

    /// What to try, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match (self.call, self.errno) {
            ("ptrace", libc::EPERM) => Some(
                "the kernel refuses tracing: see /proc/sys/kernel/yama/ptrace_scope (ptrace(2)); in a container, allow \
                 SYS_PTRACE; a set-user-ID program can only be traced by its owner",
            ),
            ("seccomp", _) => Some("the kernel must have CONFIG_SECCOMP_FILTER; in a sandbox, seccomp must be allowed"),
            ("clone3", libc::EAGAIN) => {
                Some("the limit on processes, or on memory, is reached: see `ulimit -u` and `ulimit -v`")
            }
            ("clone3", _) => {
                Some("a sandbox that refuses clone3 has to allow it, or to answer ENOSYS: then clone is used")
            }
            ("clone" | "fork", libc::EAGAIN) => Some("the limit on processes is reached: see `ulimit -u`"),
            ("mmap", libc::ENOMEM) => Some("the limit on memory is too low: see `ulimit -v`"),
            (_, libc::EFBIG) => Some("the limit on the size of files is too low: see `ulimit -f`"),
            (_, libc::EMFILE) => Some("the limit on open files is too low: see `ulimit -n`"),
            ("open", libc::ENOENT) if self.target.starts_with("/proc") => {
                Some("/proc has to be there: mount -t proc proc /proc")
            }
            ("pidfd_open" | "pidfd_getfd", libc::ENOSYS) => {
                Some("it needs Linux 5.6 or later; in a sandbox, it must be allowed")
            }
            (
                "ptrace" | "clone" | "fork" | "process_vm_readv" | "process_vm_writev" | "pidfd_open" | "pidfd_getfd",
                _,
            ) => Some("in a sandbox or a container, it must be allowed"),
            ("execve", libc::ENOENT) if Path::new(&self.target).is_file() => {
                Some("what it names as its interpreter is not there: see its first line, or `file` of it")
            }
            ("execve", libc::ENOENT) => Some("there is no such program; is its name spelled as in PATH?"),
            ("execve", libc::EACCES) if Path::new(&self.target).is_dir() => Some("it is a directory"),
            ("execve", libc::EACCES) => Some("the file is not executable: `chmod +x` it"),
            ("mkdirat", libc::EPERM) => Some(
                "set XDG_RUNTIME_DIR to a directory that belongs to you and that nobody else may write to (mode 0700)",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = nix::errno::Errno::from_raw(self.errno);
        write!(f, "{} {}: {:?} ({})", self.call, crate::text::clean(&self.target), errno, errno.desc())
    }
}

impl std::error::Error for Error {}

/// Turns the -1 of a C call into an error.
pub(super) fn check(result: impl Into<i64>, call: &'static str, target: impl FnOnce() -> String) -> Result<i64> {
    let result = result.into();
    if result != -1 {
        return Ok(result);
    }
    let errno = nix::errno::Errno::last_raw();
    Err(Error::new(call, target(), errno))
}
