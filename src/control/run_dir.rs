//! The directory of a run where the kernel refuses namespaces, and what earlier runs left behind.
//!
//! With namespaces a run lives on a file system of its own that is gone with it, and so are its IPC
//! objects. Without, it gets a directory that the lab removes at the end. What it makes elsewhere is
//! written into a journal beside the directory (`trace::Journal`) and removed too; should the lab be killed,
//! the next start does all that. The directory of a living lab is locked, and nothing else is ever touched:
//! no name that no lab gives, no file that is not the user's.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::home::Home;
use super::leftovers;
use crate::sys;
use crate::sys::directory::Facts;
use crate::sys::procfs;
use crate::text;

/// A directory of this run's own. Dropping it removes it with all it holds, and what stands in its
/// journal.
#[derive(Debug)]
pub struct RunDir {
    home: Home,
    name: Name,
    _lock: File,
}

/// What the directory of a run is called: `run-PID-N`, after its lab. Its lock and its journal stand beside
/// it: inside, scenario processes could meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name {
    lab: u32,
    number: u32,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run-{}-{}", self.lab, self.number)
    }
}

impl Name {
    /// The run whose lock bears this name; `None` for whatever no lab writes.
    fn of_lock(lock: &str) -> Option<Self> {
        let (lab, number) = lock.strip_suffix(".lock")?.strip_prefix("run-")?.split_once('-')?;
        let name = Self { lab: lab.parse().ok()?, number: number.parse().ok()? };
        (name.lock() == lock).then_some(name)
    }

    fn directory(self) -> OsString {
        self.to_string().into()
    }

    fn lock(self) -> OsString {
        format!("{self}.lock").into()
    }

    fn journal(self) -> OsString {
        format!("{self}.journal").into()
    }

    /// Where the directory is while it is being removed.
    fn aside(self) -> OsString {
        format!("{self}.gone").into()
    }
}

/// What a run has of its own outside of its namespaces.
#[derive(Debug, Default)]
pub struct Outside {
    /// Its directory, if it has one by now: where there are namespaces, only who makes something outside of
    /// them needs one.
    directory: Option<RunDir>,
    /// Why there is no journal, although there is something to write down.
    refused: Option<String>,
}

/// The same, for the tracer and for the end of the run.
pub type Shared = Arc<Mutex<Outside>>;

impl Outside {
    /// With a directory, or without one as yet.
    pub const fn new(directory: Option<RunDir>) -> Self {
        Self { directory, refused: None }
    }

    fn journal(&mut self) -> io::Result<File> {
        let directory = match &mut self.directory {
            Some(directory) => directory,
            missing => missing.insert(RunDir::create().map_err(|error| io::Error::other(error.to_string()))?),
        };
        directory.journal()
    }

    /// Removes it all; says what could not be.
    pub fn remove(&mut self) -> Vec<String> {
        let why = |why| format!("what the run has made outside of its directory was left where it is: {why}");
        let refused = self.refused.take().map(why);
        refused.into_iter().chain(self.directory.take().map(RunDir::remove).unwrap_or_default()).collect()
    }
}

/// The file of the journal of a run, whose directory is made if there is none.
pub fn open_journal(shared: &Shared) -> io::Result<File> {
    let mut outside = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let opened = outside.journal();
    outside.refused = opened.as_ref().err().map(ToString::to_string);
    opened
}

/// Where identifiers mean what they meant when they were written down: this boot, this IPC namespace.
fn realm() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = procfs::ipc_namespace(std::process::id().cast_signed()).unwrap_or(0);
    format!("{} {namespace}", boot.trim())
}

impl RunDir {
    /// Makes one.
    pub fn create() -> sys::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let home = Home::make()?;
        loop {
            let name = Name { lab: std::process::id(), number: COUNT.fetch_add(1, Ordering::Relaxed) };
            match claim(&home, name) {
                Ok(Some(lock)) => return Ok(Self { home, name, _lock: lock }),
                Ok(None) => {}
                Err(error) => {
                    let target = text::path(&home.path.join(name.directory()));
                    return Err(sys::Error::new("mkdirat", target, error.raw_os_error().unwrap_or(libc::EIO)));
                }
            }
        }
    }

    /// Where it is, for a process that is to work there.
    pub fn open(&self) -> sys::Result<OwnedFd> {
        let opened = self.home.directory.enter(&self.name.directory(), false);
        let failed = |error: io::Error| {
            let target = text::path(&self.path());
            sys::Error::new("openat", target, error.raw_os_error().unwrap_or(libc::EIO))
        };
        opened.map(OwnedFd::from).map_err(failed)
    }

    fn path(&self) -> PathBuf {
        self.home.path.join(self.name.directory())
    }

    /// Begins a journal of what the run makes outside of the directory.
    fn journal(&self) -> io::Result<File> {
        let mut file = self.home.directory.create(&self.name.journal())?;
        io::Write::write_all(&mut file, format!("{}\n", realm()).as_bytes())?;
        Ok(file)
    }

    /// Removes it and what the run has left elsewhere; says what could not be.
    fn remove(self) -> Vec<String> {
        remove(&self.home, self.name).1
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Whoever wants to know whether it worked calls `remove`.
        drop(remove(&self.home, self.name));
    }
}

/// Takes a name: its lock, if nobody else has it, and then its directory.
fn claim(home: &Home, name: Name) -> io::Result<Option<File>> {
    let lock = match home.directory.create(&name.lock()) {
        // A lab that bore the same PID has left it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        other => other?,
    };
    // Another lab that starts now may take the new lock for one that was left behind.
    if !lock_is_ours(home, name, &lock)? {
        return Ok(None);
    }
    match home.directory.make(&name.directory()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            home.directory.unlink(&name.lock())?;
            Ok(None)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(Some(lock)),
    }
}

/// Locks the file, if nobody else has; whether that is done and it still is the lock of that name.
fn lock_is_ours(home: &Home, name: Name, lock: &File) -> io::Result<bool> {
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    let there = home.directory.facts_of(&name.lock());
    let opened = Facts::of(lock)?;
    Ok(there.is_ok_and(|there| there.identity == opened.identity))
}

/// Removes a run's directory and what stands in its journal: says what that was, and what could not be
/// removed. The lock goes last, so that whatever interrupts this, the next start goes on with it.
fn remove(home: &Home, name: Name) -> (Vec<String>, Vec<String>) {
    let (removed, mut left) = remove_journaled(home, name);
    let absent_is_fine = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let gone = absent_is_fine(home.directory.remove_tree(&name.directory(), &name.aside()))
        .and_then(|()| absent_is_fine(home.directory.unlink(&name.journal())))
        .and_then(|()| absent_is_fine(home.directory.unlink(&name.lock())));
    if let Err(error) = gone {
        left.push(format!("cannot remove {}: {error}", text::path(&home.path.join(name.directory()))));
    }
    (removed, left)
}

fn remove_journaled(home: &Home, name: Name) -> (Vec<String>, Vec<String>) {
    let mut text = Vec::new();
    let read = home.directory.own_file(&name.journal()).and_then(|mut file| file.read_to_end(&mut text));
    if read.is_err() {
        return <_>::default();
    }
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    if text[..end] == *realm().as_bytes() { leftovers::remove(&text[end..]) } else { <_>::default() }
}

/// Where the directory of a run would be made; why nowhere, as a sentence.
pub fn place() -> sys::Result<PathBuf> {
    Home::make().map(|home| home.path)
}

/// Removes what runs left behind whose lab was killed; returns a sentence for each.
pub fn sweep() -> Vec<String> {
    let of_home = |home: &Home| {
        let names = home.directory.names().unwrap_or_default();
        let runs = names.iter().filter_map(|name| Name::of_lock(name.to_str()?));
        runs.flat_map(|name| sweep_one(home, name)).collect::<Vec<_>>()
    };
    Home::existing().iter().flat_map(of_home).collect()
}

fn sweep_one(home: &Home, name: Name) -> Vec<String> {
    let Ok(lock) = home.directory.own_file(&name.lock()) else { return Vec::new() };
    if !lock_is_ours(home, name, &lock).unwrap_or(false) {
        return Vec::new();
    }
    let (mut removed, left) = remove(home, name);
    if left.is_empty() {
        removed.insert(0, text::path(&home.path.join(name.directory())));
    }
    if removed.is_empty() {
        return left;
    }
    let said = format!("removed {}, left by a run whose lab was killed", crate::insight::listed(&removed));
    [vec![said], left].concat()
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn only_names_that_a_lab_gives_are_taken_for_runs() {
        assert_eq!(Name::of_lock("run-17-0.lock"), Some(Name { lab: 17, number: 0 }));
        let odd = [
            "...lock",
            ".lock",
            "run-1-0",
            "run--0.lock",
            "run-1-.lock",
            "run-01-0.lock",
            "run-1-00.lock",
            "run-+1-0.lock",
            "run-1-0.lock.lock",
            "run-1-0/.lock",
            "run-1-0-0.lock",
            "run-../x-0.lock",
            "run-1-4294967296.lock",
            "x.lock",
        ];
        for name in odd {
            assert_eq!(Name::of_lock(name), None, "{name}");
        }
    }
}
