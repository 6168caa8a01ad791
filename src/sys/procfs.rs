//! What `/proc` says about a process, for the slow paths: a new task, a new descriptor, a task that
//! has not stopped.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::look;
use crate::model::SignalSet;

/// The state letter of a task (`R`, `S`, `D`, `t`, `Z` …); `None` if it is gone.
///
/// In `/proc/TID/stat` the kernel adds up the times of all threads of the process, every time it is read.
pub fn state(tid: i32) -> Option<u8> {
    let stat = fs::read(format!("/proc/{tid}/task/{tid}/stat")).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(after_name + 2).copied()
}

/// How long a task has had a CPU, in nanoseconds.
pub fn cpu_time(tid: i32) -> Option<u64> {
    fs::read_to_string(format!("/proc/{tid}/schedstat")).ok()?.split(' ').next()?.parse().ok()
}

/// The wait status of a zombie, as far as this process may know it.
pub fn exit_status(tid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{tid}/stat")).ok()?;
    // The last field, the 52nd; two stand before the name's end.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(49)?.parse().ok().filter(|status| *status != 0)
}

/// Parent, process group and session of a process, in the PID namespace of this one.
pub fn family(tid: i32) -> Option<(i32, i32, i32)> {
    let stat = fs::read_to_string(format!("/proc/{tid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(1).map(str::parse::<i32>);
    Some((fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?))
}

/// Whether a task whose state is `S` really sleeps.
///
/// A task sets its state before it looks for a reason not to sleep, and can be preempted in between:
/// `wait4`, for one, buries a child in state `S`. `/proc/PID/syscall` waits until a task has left the
/// CPU or changed its mind, and says `running` then. Where it may not be read, the state has to do.
pub fn has_left_the_cpu(tid: i32) -> bool {
    match fs::read(format!("/proc/{tid}/syscall")) {
        Ok(line) => !line.starts_with(b"running"),
        Err(error) => error.raw_os_error() != Some(libc::ESRCH),
    }
}

/// The call in which a task sleeps: number and arguments. `None` if it runs or is gone.
pub fn sleeping_in(tid: i32) -> Option<(u64, [u64; 6])> {
    let line = fs::read_to_string(format!("/proc/{tid}/syscall")).ok()?;
    let mut words = line.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut args = [0; 6];
    for arg in &mut args {
        *arg = u64::from_str_radix(words.next()?.trim_start_matches("0x"), 16).ok()?;
    }
    Some((number, args))
}

/// How often a task has left the CPU of its own accord (`voluntary_ctxt_switches`): as long as it sleeps, the
/// number stays.
pub fn naps(tid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
}

/// The part of `/proc/PID/status` that the lab needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The thread-group leader, in the PID namespace of this process.
    pub tgid: i32,
    /// The parent, likewise.
    pub ppid: i32,
    /// The TID in each PID namespace, outermost first.
    pub ns_tids: Vec<i32>,
    /// The process group in each PID namespace, outermost first.
    pub ns_pgids: Vec<i32>,
    /// The session in each PID namespace, outermost first.
    pub ns_sids: Vec<i32>,
    /// Signals pending for the thread.
    pub pending: SignalSet,
    /// Signals pending for the process.
    pub shared_pending: SignalSet,
    /// Signals blocked.
    pub blocked: SignalSet,
    /// Signals ignored.
    pub ignored: SignalSet,
    /// Signals caught.
    pub caught: SignalSet,
}

/// The user that a task acts as; `None` if it is gone.
pub fn user(tid: i32) -> Option<u32> {
    fs::metadata(format!("/proc/{tid}")).ok().map(|facts| facts.uid())
}

/// Reads it; `None` if the task is gone.
pub fn status(tid: i32) -> Option<Status> {
    let text = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let mut status = Status::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        let numbers = || value.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        let set = || SignalSet(u64::from_str_radix(value, 16).unwrap_or(0));
        match key {
            "Tgid" => status.tgid = value.parse().ok()?,
            "PPid" => status.ppid = value.parse().ok()?,
            "NSpid" => status.ns_tids = numbers(),
            "NSpgid" => status.ns_pgids = numbers(),
            "NSsid" => status.ns_sids = numbers(),
            "SigPnd" => status.pending = set(),
            "ShdPnd" => status.shared_pending = set(),
            "SigBlk" => status.blocked = set(),
            "SigIgn" => status.ignored = set(),
            "SigCgt" => status.caught = set(),
            _ => {}
        }
    }
    Some(status)
}

/// How many filters of seccomp(2) a task has; `None` if it is gone, or the kernel does not say (before Linux 5.9).
pub fn seccomp_filters(tid: i32) -> Option<usize> {
    let text = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"))?.trim().parse().ok()
}

/// What a descriptor of another process leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdFacts {
    /// Its number.
    pub fd: i32,
    /// Device and inode: the identity of what it leads to.
    pub identity: (u64, u64),
    /// `st_mode`: the kind.
    pub mode: u32,
    /// `st_size`, in bytes.
    pub size: u64,
    /// `st_rdev`: which device, if it is one.
    pub rdev: u64,
    /// What the link in `/proc/PID/fd` says: a path, `pipe:[4711]`, `anon_inode:[eventfd]`.
    pub link: PathBuf,
    /// The flags of open(2) and `O_CLOEXEC`.
    pub flags: i32,
    /// The file position.
    pub position: u64,
    /// Of a regular file, the type of its file system (statfs(2)); else 0.
    pub filesystem: i64,
    /// Of either side of a pseudo-terminal (pty(7)): the device of its devpts, and its number there.
    pub pty: Option<(u64, u32)>,
}

/// Device and inode of what a descriptor of this process leads to.
pub fn identity(fd: &impl std::os::fd::AsFd) -> super::Result<(u64, u64)> {
    let facts = nix::sys::stat::fstat(fd).map_err(|errno| super::Error::new("fstat", "a descriptor", errno as i32))?;
    Ok((facts.st_dev, facts.st_ino))
}

/// The controlling terminal of a process, as a device, and the process group in its foreground, in the
/// PID namespace of this process; `None` if it has none.
pub fn terminal(tid: i32) -> Option<(u64, i32)> {
    let stat = fs::read_to_string(format!("/proc/{tid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(4);
    let device: u32 = fields.next()?.parse::<i64>().ok()? as u32;
    let foreground = fields.next()?.parse().ok()?;
    // `new_encode_dev` of linux/kdev_t.h.
    let (major, minor) = ((device & 0xfff00) >> 8, (device & 0xff) | ((device >> 12) & 0xfff00));
    (device != 0).then_some((libc::makedev(major, minor), foreground))
}

/// Looks at one descriptor; `None` if it is not there.
pub fn fd(tid: i32, fd: i32) -> Option<FdFacts> {
    let path = format!("/proc/{tid}/fd/{fd}");
    let link = fs::read_link(&path).ok()?;
    let facts = look::at_fd(tid, fd)?;
    let info = fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).ok()?;
    let field = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let is_regular = facts.mode & libc::S_IFMT == libc::S_IFREG;
    let filesystem = if is_regular { look::filesystem(tid, fd, &facts) } else { 0 };
    super::served::note(link.as_os_str().as_bytes(), filesystem);
    Some(FdFacts {
        fd,
        identity: facts.identity,
        mode: facts.mode,
        size: facts.size,
        rdev: facts.rdev,
        flags: field("flags:").and_then(|text| i32::from_str_radix(text, 8).ok()).unwrap_or(0),
        position: field("pos:").and_then(|text| text.parse().ok()).unwrap_or(0),
        filesystem,
        pty: pty(tid, &facts, &link, field("tty-index:")),
        link,
    })
}

/// Which pseudo-terminal a descriptor is a side of: the kernel says the number of a master in
/// `/proc/PID/fdinfo`; that of a slave is its minor number.
fn pty(tid: i32, facts: &look::Facts, link: &Path, index: Option<&str>) -> Option<(u64, u32)> {
    /// `UNIX98_PTY_SLAVE_MAJOR` of linux/major.h.
    const SLAVE: u32 = 136;
    if facts.mode & libc::S_IFMT != libc::S_IFCHR {
        return None;
    }
    let (major, minor) = (libc::major(facts.rdev), libc::minor(facts.rdev));
    if major == SLAVE {
        return Some((facts.identity.0, minor));
    }
    let index = index?.parse().ok()?;
    // The kernel finds the slaves of a master in `pts` beside it (`devpts_acquire` in fs/devpts/inode.c);
    // the node `ptmx` in a devpts itself belongs to that.
    let slaves = link.parent().map(|parent| parent.join("pts"));
    let beside = slaves.and_then(|path| file_at(tid, path.as_os_str().as_bytes()));
    Some((beside.map_or(facts.identity.0, |(device, _)| device), index))
}

/// What a pidfd refers to (pidfd_open(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pidfd {
    /// The process, or the thread, as this process sees it.
    pub pid: i32,
    /// Whether it was opened with `PIDFD_THREAD`.
    pub thread: bool,
}

/// Looks at a pidfd; `None` if it is none, or if what it referred to is gone.
pub fn pidfd(tid: i32, fd: i32) -> Option<Pidfd> {
    let info = fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).ok()?;
    let field = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let pid = field("Pid:")?.parse().ok().filter(|pid| *pid > 0)?;
    let flags = field("flags:").and_then(|text| i32::from_str_radix(text, 8).ok()).unwrap_or(0);
    Some(Pidfd { pid, thread: flags & libc::O_EXCL != 0 })
}

/// How a timerfd is set (timerfd_create(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timerfd {
    /// Its clock.
    pub clock: i32,
    /// How long until it runs out, in nanoseconds; 0 where it does not run.
    pub left: u64,
    /// After how long it runs out again, in nanoseconds; 0 for never.
    pub interval: u64,
}

/// Looks at a timerfd; `None` if it is none.
pub fn timerfd(tid: i32, fd: i32) -> Option<Timerfd> {
    let info = fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).ok()?;
    let field = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let time = |text: &str| {
        let (seconds, nanos) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
        let (seconds, nanos): (u64, u64) = (seconds.trim().parse().ok()?, nanos.trim().parse().ok()?);
        Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanos).min(i64::MAX as u64))
    };
    let (left, interval) = (time(field("it_value:")?)?, time(field("it_interval:")?)?);
    Some(Timerfd { clock: field("clockid:")?.parse().ok()?, left, interval })
}

/// The addresses of the mapping that `address` lies in; `None` if nothing is mapped there.
pub fn mapped_range(tid: i32, address: u64) -> Option<std::ops::Range<u64>> {
    let maps = fs::read_to_string(format!("/proc/{tid}/maps")).ok()?;
    let range = |line: &str| {
        let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
        Some(u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?)
    };
    maps.lines().filter_map(range).find(|range| range.contains(&address))
}

/// Where a program keeps what it changes (`/proc/PID/maps`): its data, the heap behind it, and the data of the C
/// library.
pub fn data_and_heap(tid: i32) -> Vec<std::ops::Range<u64>> {
    let Ok(maps) = fs::read_to_string(format!("/proc/{tid}/maps")) else { return Vec::new() };
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let (mut ranges, mut program, mut elsewhere) = (Vec::new(), None, false);
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let range = words.next().and_then(|range| range.split_once('-'));
        let Some((start, end)) = range.and_then(|(start, end)| hex(start).zip(hex(end))) else { continue };
        let writable = words.next() == Some("rw-p");
        let path = words.nth(3);
        // The program comes first, and its heap next; then the libraries.
        let file = path.unwrap_or_default();
        let own = (path.is_none() && !elsewhere) || file == "[heap]" || file == *program.get_or_insert(file);
        elsewhere |= !own;
        let libc = file.rsplit('/').next().is_some_and(|name| name.starts_with("libc.so") || name.starts_with("libc-"));
        if writable && (own || libc) {
            ranges.push(start..end);
        }
    }
    ranges
}

/// All descriptors, lowest number first.
pub fn fds(tid: i32) -> Vec<FdFacts> {
    let Ok(entries) = fs::read_dir(format!("/proc/{tid}/fd")) else { return Vec::new() };
    let mut numbers: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
    numbers.sort_unstable();
    numbers.into_iter().filter_map(|number| fd(tid, number)).collect()
}

/// A soft limit of a process by its name in `/proc/PID/limits` (getrlimit(2)); `u64::MAX` for none.
pub fn soft_limit(tid: i32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{tid}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        value => value.parse().ok(),
    }
}

/// Whether a process has `CAP_SYS_RESOURCE` over the machine: in the first user namespace, whose inode
/// is `PROC_USER_INIT_INO` of linux/proc_ns.h.
pub fn may_exceed_limits(tid: i32) -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    const FIRST: u64 = 0xefff_fffd;
    let first = fs::metadata(format!("/proc/{tid}/ns/user")).is_ok_and(|facts| facts.ino() == FIRST);
    let text = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let set = text.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    first && set >> CAP_SYS_RESOURCE & 1 == 1
}

/// The IPC namespace of a process, by its inode (namespaces(7)); `None` if it is gone.
pub fn ipc_namespace(tid: i32) -> Option<u64> {
    fs::metadata(format!("/proc/{tid}/ns/ipc")).ok().map(|facts| facts.ino())
}

/// The working directory of a process; `None` if it is gone or not ours.
pub fn working_directory(tid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{tid}/cwd")).ok()
}

/// Device and inode of the file that a path leads a process to; `None` if there is none.
pub fn file_at(tid: i32, path: &[u8]) -> Option<(u64, u64)> {
    look::at(tid, None, path, look::Links::Follow).map(|facts| facts.identity)
}

/// What is mapped at `address` (`/proc/PID/maps`): device and inode, and how many bytes.
pub fn mapping(tid: i32, address: u64) -> Option<((u64, u64), u64)> {
    let maps = fs::read_to_string(format!("/proc/{tid}/maps")).ok()?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    maps.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let (start, end) = (hex(start)?, hex(end)?);
        if !(start..end).contains(&address) {
            return None;
        }
        let (major, minor) = words.nth(2)?.split_once(':')?;
        let device = libc::makedev(hex(major)? as u32, hex(minor)? as u32);
        Some(((device, words.next()?.parse().ok()?), end - start))
    })
}

/// How many bytes the file behind a descriptor has; `None` if it is not there.
pub fn size_of_fd(tid: i32, fd: i32) -> Option<u64> {
    look::at_fd(tid, fd).map(|facts| facts.size)
}
