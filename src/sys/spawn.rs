//! Starting a process that waits at a gate until it is traced.
//!
//! Between fork and exec the child of a threaded process may only make system calls: everything it
//! needs is prepared before, and a failing step is reported through a pipe that closes at the exec.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::error::{Error, Result, check};
use super::seccomp::Filter;
use super::standard;

/// What execvp(3) gives a file to whose format the kernel does not know (`_PATH_BSHELL` of paths.h).
const SHELL: &CStr = c"/bin/sh";

/// The environment of this process as it stands, entries without a `=` included.
fn environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: the C library keeps `environ` at null or at an array of strings that ends with a null pointer; nothing
    // in this program changes it.
    unsafe {
        let mut at = environ;
        while !at.is_null() && !(*at).is_null() {
            entries.push(CStr::from_ptr(*at).to_owned());
            at = at.add(1);
        }
    }
    entries
}

/// Everything about a program that is to be started.
#[derive(Debug)]
pub struct Start {
    /// The file.
    program: Image,
    argv: Vec<CString>,
    envp: Vec<CString>,
    /// The arguments of the shell that gets the program if the kernel does not know its format; none if no shell
    /// could read it either.
    shell: Vec<CString>,
    /// What becomes descriptors 0, 1 and 2; else they are this program's own, or closed if those were.
    pub stdio: [Option<RawFd>; 3],
    /// Installed just before the exec.
    pub filter: Option<Filter>,
    /// Whether it leads a session of its own.
    pub new_session: bool,
    /// Whether its standard input becomes the controlling terminal of that session.
    pub terminal: bool,
    /// Whether its memory is laid out the same way every time (personality(2)).
    pub fixed_layout: bool,
    /// Its working directory.
    pub directory: Option<OwnedFd>,
    /// Its namespaces.
    pub namespaces: Option<Namespaces>,
}

/// What is loaded.
#[derive(Debug)]
enum Image {
    /// A path.
    Path(CString),
    /// An open file (`execveat` with `AT_EMPTY_PATH`).
    Open(OwnedFd),
    /// Nothing: the process ends where it would load a program.
    Nothing,
}

/// Namespaces of its own: user, PID, IPC and mount (namespaces(7)).
#[derive(Debug)]
pub struct Namespaces {
    uid_map: CString,
    gid_map: CString,
    /// The directory that a fresh tmpfs is mounted on, to become the working directory; with none, that stays what
    /// it is, and so do the files.
    place: Option<CString>,
}

/// The directories that may serve as the place of a run: they stand on every system and nobody
/// works in them. What they hold is hidden inside the run only.
const PLACES: [&CStr; 3] = [c"/mnt", c"/srv", c"/media"];

impl Namespaces {
    /// Namespaces in which the user is who they are outside, and in which the run has an empty directory
    /// of its own; `None` if the machine has no place to put that.
    pub fn with_directory() -> Option<Self> {
        let place = PLACES.into_iter().find(|place| Path::new(OsStr::from_bytes(place.to_bytes())).is_dir())?;
        Some(Self { place: Some(place.to_owned()), ..Self::in_place() })
    }

    /// The same, but the run stays in the working directory that it is started in.
    pub fn in_place() -> Self {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        let map = |id: u32| CString::new(format!("{id} {id} 1\n")).unwrap_or_default();
        Self { uid_map: map(uid.as_raw()), gid_map: map(gid.as_raw()), place: None }
    }
}

/// A child that waits at its gate.
#[derive(Debug)]
pub struct Gated {
    /// Its PID.
    pub pid: i32,
    gate: OwnedFd,
    report: OwnedFd,
}

/// Where a failure before the exec is told.
#[derive(Debug)]
pub struct Report {
    pipe: OwnedFd,
    program: String,
}

/// The steps of a child before its exec, as they are reported.
const STEPS: [&str; 11] = [
    "gate",
    "uid_map",
    "mount /proc",
    "mount /dev/shm",
    "mount /dev/mqueue",
    "mount",
    "chdir",
    "dup2",
    "seccomp",
    "execve",
    "controlling terminal",
];

impl Start {
    /// Finds `command[0]` as execvp(3) would.
    pub fn command(command: &[OsString]) -> Result<Self> {
        let program = command.first().ok_or_else(|| Error::new("execve", "no program", libc::ENOENT))?;
        let name = program.to_string_lossy().into_owned();
        let path = find(program).map_err(|errno| Error::new("execve", name.clone(), errno))?;
        let argv: Vec<CString> = command.iter().map(|arg| c_string(arg.as_bytes())).collect::<Result<_>>()?;
        let image = c_string(path.as_os_str().as_bytes())?;
        let shell = if is_text(&path) {
            [SHELL.to_owned(), image.clone()].into_iter().chain(argv.iter().skip(1).cloned()).collect()
        } else {
            Vec::new()
        };
        Ok(Self { shell, ..Self::new(Image::Path(image), argv) })
    }

    /// This very program, with other arguments.
    pub fn image(path: &Path, args: &[&str]) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(|error| {
            Error::new("open", path.display().to_string(), error.raw_os_error().unwrap_or(libc::ENOENT))
        })?;
        let list = args.iter().map(|arg| c_string(arg.as_bytes())).collect::<Result<_>>()?;
        Ok(Self::new(Image::Open(of_three_digits(file.into())), list))
    }

    /// No program: what comes before one is tried.
    pub fn nothing() -> Self {
        Self::new(Image::Nothing, Vec::new())
    }

    fn new(program: Image, argv: Vec<CString>) -> Self {
        Self {
            program,
            argv,
            envp: environment(),
            shell: Vec::new(),
            stdio: [None; 3],
            filter: None,
            new_session: false,
            terminal: false,
            fixed_layout: false,
            directory: None,
            namespaces: None,
        }
    }

    /// Gives it an environment variable in place of the one with that name (environ(7)).
    pub fn set_variable(&mut self, name: &str, value: &str) -> Result<()> {
        let start = format!("{name}=");
        self.envp.retain(|known| !known.as_bytes().starts_with(start.as_bytes()));
        self.envp.push(c_string(format!("{start}{value}").as_bytes())?);
        Ok(())
    }

    /// Forks. The child waits at its gate until [`Gated::open`], or ends if that is dropped.
    pub fn fork(self) -> Result<(Gated, Report)> {
        let (gate_read, gate) = pipe()?;
        let (report, report_write) = pipe()?;
        let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
            list.iter().map(|text| text.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
        };
        let child = Child {
            start: &self,
            argv: &pointers(&self.argv),
            envp: &pointers(&self.envp),
            shell: &pointers(&self.shell),
            gate: gate_read.as_raw_fd(),
            other_gate: gate.as_raw_fd(),
            report: report_write.as_raw_fd(),
        };
        let flags = if self.namespaces.is_some() {
            libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWNS
        } else {
            0
        };
        let flags = (flags | libc::SIGCHLD) as usize;
        // SAFETY: without CLONE_VM this is fork(2): the child has a copy of this thread's stack, and
        // until its exec `Child::run` only makes system calls on memory that was prepared here.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
        if pid == 0 {
            child.run();
        }
        let pid = check(pid, "clone", || "the first process".into())? as i32;
        let program = self.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok((Gated { pid, gate, report: report_write }, Report { pipe: report, program }))
    }
}

impl Gated {
    /// Lets the child go.
    pub fn open(self) -> Result<()> {
        drop(self.report);
        let written = nix::unistd::write(&self.gate, b"!");
        written.map(drop).map_err(|errno| Error::new("write", "the gate of the first process", errno as i32))
    }
}

impl Report {
    /// Why the child could not be started, once it has ended without an exec.
    pub fn failure(self) -> Option<Error> {
        let mut message = [0_u8; 5];
        let read = nix::unistd::read(&self.pipe, &mut message).ok()?;
        let step = STEPS.get(message[0] as usize).copied().filter(|_| read == message.len())?;
        let errno = i32::from_ne_bytes([message[1], message[2], message[3], message[4]]);
        Some(Error::new(step, self.program, errno))
    }
}

/// What the child has at hand.
struct Child<'a> {
    start: &'a Start,
    argv: &'a [*const libc::c_char],
    envp: &'a [*const libc::c_char],
    shell: &'a [*const libc::c_char],
    gate: RawFd,
    other_gate: RawFd,
    report: RawFd,
}

impl Child<'_> {
    /// Runs in the child and never returns. Only system calls, no allocation.
    fn run(&self) -> ! {
        super::signal::reset_for_child();
        let step = self.prepare();
        // The step that failed; the last one if the exec itself did.
        let failed = step.err().unwrap_or_else(|| self.exec());
        let errno = nix::errno::Errno::last_raw().to_ne_bytes();
        let message = [failed, errno[0], errno[1], errno[2], errno[3]];
        // SAFETY: the message is live; the process then ends without running anything else.
        unsafe {
            libc::write(self.report, message.as_ptr().cast(), message.len());
            libc::_exit(127)
        }
    }

    fn prepare(&self) -> std::result::Result<(), u8> {
        let start = self.start;
        // SAFETY: system calls on numbers and on NUL-terminated strings that
        // `start` keeps alive; none allocates or takes a lock, as fork(2) asks in a threaded process.
        unsafe {
            libc::close(self.other_gate);
            let mut byte = 0_u8;
            ok(libc::read(self.gate, (&raw mut byte).cast(), 1) == 1, 0)?;
            if let Some(namespaces) = &start.namespaces {
                enter(namespaces)?;
            }
            if let Some(directory) = &start.directory {
                ok(libc::fchdir(directory.as_raw_fd()) == 0, 6)?;
            }
            if start.new_session {
                libc::setsid();
            }
            if start.fixed_layout {
                libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
            }
            for (target, source) in start.stdio.iter().enumerate() {
                match source {
                    Some(source) => ok(place(*source, target as i32), 7)?,
                    None if standard::was_closed(target) => {
                        libc::close(target as i32);
                    }
                    None => {}
                }
            }
            if start.terminal {
                ok(libc::ioctl(0, libc::TIOCSCTTY, 0) == 0, 10)?;
            }
            if let Some(filter) = &start.filter {
                ok(filter.install().is_ok(), 8)?;
            }
        }
        Ok(())
    }

    fn exec(&self) -> u8 {
        let (argv, envp) = (self.argv.as_ptr(), self.envp.as_ptr());
        // SAFETY: argv and envp end with a null pointer and point to strings that the parent keeps
        // alive in the memory that this child has a copy of.
        unsafe {
            match &self.start.program {
                Image::Path(path) => {
                    libc::execve(path.as_ptr(), argv, envp);
                    if nix::errno::Errno::last_raw() == libc::ENOEXEC && !self.start.shell.is_empty() {
                        libc::execve(SHELL.as_ptr(), self.shell.as_ptr(), envp);
                    }
                }
                Image::Open(file) => {
                    libc::execveat(file.as_raw_fd(), c"".as_ptr(), argv.cast(), envp.cast(), libc::AT_EMPTY_PATH);
                }
                Image::Nothing => libc::_exit(0),
            }
        }
        9
    }
}

fn ok(succeeded: bool, step: u8) -> std::result::Result<(), u8> {
    if succeeded { Ok(()) } else { Err(step) }
}

/// Makes `source` descriptor `target`, without close-on-exec.
unsafe fn place(source: RawFd, target: RawFd) -> bool {
    // SAFETY: system calls on numbers.
    unsafe {
        if source == target { libc::fcntl(source, libc::F_SETFD, 0) == 0 } else { libc::dup2(source, target) == target }
    }
}

/// Fills the new namespaces: who the user is, and file systems that show only the run.
unsafe fn enter(namespaces: &Namespaces) -> std::result::Result<(), u8> {
    let mount = |kind: &CStr, place: &CStr, data: &CStr| {
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        // SAFETY: all strings are NUL-terminated and live.
        unsafe { libc::mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) == 0 }
    };
    // SAFETY: as above; the path and the file contents are NUL-terminated.
    unsafe {
        put(c"/proc/self/setgroups", c"deny");
        ok(put(c"/proc/self/uid_map", &namespaces.uid_map) && put(c"/proc/self/gid_map", &namespaces.gid_map), 1)?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let none = std::ptr::null();
        ok(libc::mount(none, c"/".as_ptr(), none, private, none.cast()) == 0, 5)?;
    }
    ok(mount(c"proc", c"/proc", c""), 2)?;
    ok(mount(c"tmpfs", c"/dev/shm", c"mode=1777"), 3)?;
    // A kernel without POSIX queues has no such directory.
    if !mount(c"mqueue", c"/dev/mqueue", c"") {
        let missing = matches!(nix::errno::Errno::last_raw(), libc::ENOENT | libc::ENODEV);
        ok(missing, 4)?;
    }
    let Some(place) = &namespaces.place else { return Ok(()) };
    ok(mount(c"tmpfs", place, c"mode=0700"), 5)?;
    // SAFETY: the string is NUL-terminated and live.
    ok(unsafe { libc::chdir(place.as_ptr()) } == 0, 6)
}

/// Writes `text` to a file, in a child that must not allocate.
unsafe fn put(path: &CStr, text: &CStr) -> bool {
    // SAFETY: both strings are NUL-terminated and live.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file < 0 {
            return false;
        }
        let length = text.to_bytes().len();
        let written = libc::write(file, text.as_ptr().cast(), length);
        libc::close(file);
        written == length as isize
    }
}

/// A pipe whose ends close at an exec.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|errno| Error::new("pipe2", "the lab", errno as i32))
}

/// Makes the calling thread wake from naps of microseconds in microseconds (prctl(2),
/// `PR_SET_TIMERSLACK`). What it forks later inherits that.
pub fn sharpen_timers() {
    // SAFETY: this prctl takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
}

/// A file in memory that holds `bytes`, positioned at their start. It survives an exec.
pub fn memory_file(bytes: &[u8]) -> Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated; the result is checked before it is owned.
    let fd = unsafe { libc::memfd_create(c"proclab".as_ptr(), 0) };
    let fd = check(fd, "memfd_create", || "the scenario".into())? as RawFd;
    // SAFETY: it was just made and nobody else owns it.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut file = std::fs::File::from(file);
    let failed = |error: std::io::Error| Error::new("write", "the scenario", error.raw_os_error().unwrap_or(libc::EIO));
    std::io::Write::write_all(&mut file, bytes).map_err(failed)?;
    std::io::Seek::rewind(&mut file).map_err(failed)?;
    Ok(file.into())
}

fn c_string(bytes: &[u8]) -> Result<CString> {
    let refused = || Error::new("execve", "an argument with a NUL byte", libc::EINVAL);
    CString::new(bytes).map_err(|_| refused())
}

/// Where execvp(3) would find `program`; else the error number it would fail with.
pub fn find(program: &OsStr) -> std::result::Result<PathBuf, i32> {
    let usable = |path: &Path| -> std::result::Result<(), i32> {
        let facts = std::fs::metadata(path).map_err(|error| error.raw_os_error().unwrap_or(libc::ENOENT))?;
        let executable = nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok();
        if facts.is_file() && executable { Ok(()) } else { Err(libc::EACCES) }
    };
    if program.as_bytes().contains(&b'/') {
        let path = PathBuf::from(program);
        return usable(&path).map(|()| path);
    }
    if program.is_empty() {
        return Err(libc::ENOENT);
    }
    let search = std::env::var_os("PATH").unwrap_or_else(|| OsString::from_vec(b"/bin:/usr/bin".to_vec()));
    let mut refusal = libc::ENOENT;
    for directory in std::env::split_paths(&search) {
        let path = directory.join(program);
        match usable(&path) {
            Ok(()) => return Ok(path),
            // A directory that may not be searched hides nothing that could be run.
            Err(libc::EACCES) if path.exists() => refusal = libc::EACCES,
            Err(_) => {}
        }
    }
    Err(refusal)
}

/// The same file under a number of three digits, where there is one: execveat(2) puts the number on the
/// stack of the new program (as `/dev/fd/N`), whose addresses can be seen in the log.
fn of_three_digits(file: OwnedFd) -> OwnedFd {
    let copy = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(100));
    // SAFETY: the kernel has just made this descriptor, and nobody else knows its number.
    copy.map_or(file, |fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a file could be a script; the kernel is asked first, whatever it begins with.
fn is_text(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 128];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start));
    read.is_ok_and(|read| !start[..read].contains(&0))
}
