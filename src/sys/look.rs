//! Looks at files of a run without asking anybody but the kernel.
//!
//! Who serves a file system may be a process (FUSE): of the run, which the lab holds just then, or another that never
//! answers. Whoever waits for its answer can be woken by a fatal signal only, and the program would see that it was
//! asked. So what the kernel knows already is taken as it is (`AT_STATX_DONT_SYNC` of statx(2), `RESOLVE_CACHED` of
//! openat2(2)), and where it would have to ask, nothing is known.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, openat, openat2, statx};
use rustix::io::Errno;

/// `FUSE_SUPER_MAGIC` of linux/magic.h.
const FUSE: i64 = 0x6573_5546;

/// Whether a task of the run has opened `/dev/fuse`: it can mount what it serves in a namespace of its own.
static SERVER_SEEN: AtomicBool = AtomicBool::new(false);
/// The mounts that this process sees.
static MOUNTS: Mutex<Option<Mounts>> = Mutex::new(None);

/// What the kernel knows of a file (statx(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Device and inode.
    pub identity: (u64, u64),
    /// `st_mode`: the kind and the rights.
    pub mode: u32,
    /// `st_size`, in bytes.
    pub size: u64,
    /// `st_rdev`: which device, if it is one.
    pub rdev: u64,
    /// How many names it has.
    pub links: u32,
}

/// Whether a symbolic link at the end of a path is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// What it leads to is looked at.
    Follow,
    /// The link itself is looked at.
    Keep,
}

/// What a descriptor of a task leads to; `None` if there is none.
pub fn at_fd(tid: i32, fd: i32) -> Option<Facts> {
    known_of(CWD, format!("/proc/{tid}/fd/{fd}").as_ref(), AtFlags::empty())
}

/// What a descriptor of this process leads to.
pub fn of(fd: &impl AsFd) -> Option<Facts> {
    known_of(fd.as_fd(), Path::new(""), AtFlags::EMPTY_PATH)
}

/// What a task finds at a path, relative to `directory` as the `…at` calls take it; `None` if nothing is there, and
/// if only a file system in user space could tell.
pub fn at(tid: i32, directory: Option<i32>, path: &[u8], links: Links) -> Option<Facts> {
    let base = match directory {
        _ if path.starts_with(b"/") => format!("/proc/{tid}/root"),
        None | Some(libc::AT_FDCWD) => format!("/proc/{tid}/cwd"),
        Some(fd) => format!("/proc/{tid}/fd/{fd}"),
    };
    let relative = path.iter().position(|byte| *byte != b'/').map_or(&b"."[..], |start| &path[start..]);
    let base = openat(CWD, base, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let flags = if links == Links::Keep { OFlags::NOFOLLOW } else { OFlags::empty() };
    let flags = OFlags::PATH | OFlags::CLOEXEC | flags;
    let relative = Path::new(OsStr::from_bytes(relative));
    let found = match openat2(&base, relative, flags, Mode::empty(), ResolveFlags::CACHED) {
        // Not looked up before; or before Linux 5.12, which does not know the flag.
        Err(Errno::AGAIN | Errno::INVAL) if !may_be_served() => openat(&base, relative, flags, Mode::empty()),
        found => found,
    };
    of(&found.ok()?)
}

/// What kind of file system the file of a descriptor is on (`f_type` of statfs(2)); 0 if the kernel does not say.
pub fn filesystem(tid: i32, fd: i32, facts: &Facts) -> i64 {
    if may_be_served() && is_fuse(tid, facts.identity.0) {
        return FUSE;
    }
    let facts = nix::sys::statfs::statfs(format!("/proc/{tid}/fd/{fd}").as_str());
    facts.map_or(0, |facts| facts.filesystem_type().0)
}

/// Whether a process serves what a descriptor of a task leads to. Even closing such a descriptor asks it.
pub(super) fn is_served(tid: i32, fd: i32) -> bool {
    may_be_served() && at_fd(tid, fd).is_some_and(|facts| is_fuse(tid, facts.identity.0))
}

/// Whether a process serves the program that a task runs.
pub(super) fn is_program_served(tid: i32) -> bool {
    let program = || known_of(CWD, format!("/proc/{tid}/exe").as_ref(), AtFlags::empty());
    may_be_served() && program().is_some_and(|facts| is_fuse(tid, facts.identity.0))
}

/// Whether a file system of this type is in user space.
pub(super) const fn is_user_space(filesystem: i64) -> bool {
    filesystem == FUSE
}

/// Notes that a task of the run can serve a file system.
pub(super) fn note_server() {
    SERVER_SEEN.store(true, Ordering::Relaxed);
}

/// Whether a device is a file system in user space, as a task sees its mounts.
pub(super) fn is_fuse(tid: i32, device: u64) -> bool {
    let device = format!("{}:{}", libc::major(device), libc::minor(device));
    let mounts = fs::read_to_string(format!("/proc/{tid}/mountinfo")).unwrap_or_default();
    mounts.lines().any(|line| line.split_ascii_whitespace().nth(2) == Some(&device) && mounts_fuse(line))
}

fn known_of(directory: impl AsFd, path: &Path, flags: AtFlags) -> Option<Facts> {
    let facts = statx(directory, path, flags | AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS).ok()?;
    Some(Facts {
        identity: (libc::makedev(facts.stx_dev_major, facts.stx_dev_minor), facts.stx_ino),
        mode: facts.stx_mode.into(),
        size: facts.stx_size,
        rdev: libc::makedev(facts.stx_rdev_major, facts.stx_rdev_minor),
        links: facts.stx_nlink,
    })
}

/// A table of mounts, which the kernel tells of when it changes (proc_pid_mountinfo(5)).
struct Mounts {
    table: File,
    has_fuse: bool,
}

impl Mounts {
    fn read() -> Option<Self> {
        let table = File::open("/proc/thread-self/mountinfo").ok()?;
        let mut mounts = Self { table, has_fuse: false };
        mounts.look();
        Some(mounts)
    }

    fn look(&mut self) {
        let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        self.has_fuse = text.lines().any(mounts_fuse);
    }

    fn have_changed(&self) -> bool {
        let mut table = [PollFd::new(self.table.as_fd(), PollFlags::POLLPRI)];
        let changed = PollFlags::POLLPRI | PollFlags::POLLERR;
        poll(&mut table, PollTimeout::ZERO).is_ok()
            && table[0].revents().is_some_and(|revents| revents.intersects(changed))
    }
}

/// Whether any file system is in sight that a process serves.
pub fn may_be_served() -> bool {
    if SERVER_SEEN.load(Ordering::Relaxed) {
        return true;
    }
    let mut mounts = MOUNTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match mounts.as_mut() {
        Some(mounts) if mounts.have_changed() => mounts.look(),
        Some(_) => {}
        None => *mounts = Mounts::read(),
    }
    mounts.as_ref().is_some_and(|mounts| mounts.has_fuse)
}

/// Whether a line of the table of mounts is of a file system in user space.
fn mounts_fuse(line: &str) -> bool {
    let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next());
    kind.is_some_and(|kind| matches!(kind, "fuse" | "fuseblk") || kind.starts_with("fuse."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_as_a_task_would() {
        use std::os::unix::fs::MetadataExt;
        let here = std::process::id() as i32;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        fs::write(&file, "text").expect("written");
        std::os::unix::fs::symlink(&file, directory.path().join("link")).expect("linked");
        let open = File::open(directory.path()).expect("open");
        let expected = fs::metadata(&file).expect("there");
        let identity = Some((expected.dev(), expected.ino()));
        let within = |path: &[u8], links| {
            at(here, Some(std::os::fd::AsRawFd::as_raw_fd(&open)), path, links).map(|facts| facts.identity)
        };
        assert_eq!(within(b"file", Links::Keep), identity);
        assert_eq!(within(b"link", Links::Follow), identity);
        assert_ne!(within(b"link", Links::Keep), identity);
        assert_eq!(within(b"nothing", Links::Follow), None);
        assert_eq!(at(here, None, file.as_os_str().as_bytes(), Links::Keep).map(|it| it.identity), identity);
        let facts = of(&File::open(&file).expect("open")).expect("facts");
        assert_eq!((facts.size, facts.links, facts.mode), (4, 1, expected.mode()));
        let root = at(here, None, b"/", Links::Follow).expect("the root");
        assert_eq!(root.identity, fs::metadata("/").map(|facts| (facts.dev(), facts.ino())).expect("the root"));
    }

    #[test]
    fn mounts_of_file_systems_in_user_space() {
        assert!(mounts_fuse("36 35 0:46 / /mnt rw,nosuid shared:1 - fuse.sshfs host:/ rw,user_id=0"));
        assert!(mounts_fuse("36 35 0:46 / /mnt rw - fuse served rw") && mounts_fuse("1 2 8:1 / /c rw - fuseblk d rw"));
        assert!(!mounts_fuse("36 35 0:46 / /sys/fs/fuse rw - fusectl fusectl rw"));
        assert!(!mounts_fuse("36 35 0:46 / /mnt rw - tmpfs fuse rw"));
    }
}
