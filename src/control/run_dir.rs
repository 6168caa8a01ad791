//! The directory of a run where the kernel refuses namespaces, and what earlier runs left behind.
//!
//! With namespaces a run lives on a file system of its own that is gone with it, and so are its IPC
//! objects. Without, it gets a directory that the lab removes at the end. What it makes elsewhere is
//! written into a journal beside the directory (`trace::Journal`) and removed too; should the lab be killed,
//! the next start does all that. The directory of a living lab is locked, and nothing else is ever touched.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::leftovers;
use crate::sys::procfs;

/// A directory of this run's own. Dropping it removes it with all it holds, and what stands in its
/// journal.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: File,
}

/// The directory of a run, if it has one by now: where there are namespaces, only who makes something
/// outside of them needs one.
pub type Shared = Arc<Mutex<Option<RunDir>>>;

/// The file of the journal of a run, whose directory is made if there is none.
pub fn open_journal(shared: &Shared) -> io::Result<File> {
    let mut directory = shared.lock().unwrap_or_else(PoisonError::into_inner);
    match &mut *directory {
        Some(directory) => directory.journal(),
        missing => missing.insert(RunDir::create()?).journal(),
    }
}

/// Where the directories of this user's runs stand.
fn home() -> PathBuf {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
    let user = nix::unistd::geteuid();
    base.map_or_else(|| std::env::temp_dir().join(format!("proclab-{user}")), |base| base.join("proclab"))
}

/// The lock of a run stands beside its directory: inside, scenario processes could meet it.
fn lock_of(directory: &Path) -> PathBuf {
    directory.with_extension("lock")
}

fn journal_of(directory: &Path) -> PathBuf {
    directory.with_extension("journal")
}

/// Where identifiers mean what they meant when they were written down: this boot, this IPC namespace.
fn realm() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = procfs::ipc_namespace(std::process::id().cast_signed()).unwrap_or(0);
    format!("{} {namespace}", boot.trim())
}

impl RunDir {
    /// Makes one.
    pub fn create() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let home = home();
        fs::create_dir_all(&home)?;
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = home.join(format!("run-{}-{number}", std::process::id()));
            let lock = File::create(lock_of(&path))?;
            // Another lab that starts now may take the new lock for one that was left behind.
            match lock.try_lock() {
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) if lock_of(&path).exists() => {
                    fs::create_dir_all(&path)?;
                    return Ok(Self { path, _lock: lock });
                }
                Ok(()) | Err(TryLockError::WouldBlock) => {}
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a journal of what the run makes outside of the directory.
    pub fn journal(&self) -> io::Result<File> {
        let mut file = File::create(journal_of(&self.path))?;
        io::Write::write_all(&mut file, format!("{}\n", realm()).as_bytes())?;
        Ok(file)
    }

    /// Removes it and what the run has left elsewhere; says what could not be.
    pub fn remove(self) -> Vec<String> {
        remove(&self.path).1
    }
}

/// Removes a run's directory and what stands in its journal: says what that was, and what could not be
/// removed. The lock goes last, so that whatever interrupts this, the next start goes on with it.
fn remove(directory: &Path) -> (Vec<String>, Vec<String>) {
    let (removed, mut left) = remove_journaled(directory);
    let absent_is_fine = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let gone = absent_is_fine(fs::remove_dir_all(directory))
        .and_then(|()| absent_is_fine(fs::remove_file(journal_of(directory))))
        .and_then(|()| absent_is_fine(fs::remove_file(lock_of(directory))));
    if let Err(error) = gone {
        left.push(format!("cannot remove {}: {error}", directory.display()));
    }
    (removed, left)
}

fn remove_journaled(directory: &Path) -> (Vec<String>, Vec<String>) {
    let Ok(text) = fs::read(journal_of(directory)) else { return <_>::default() };
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    if text[..end] == *realm().as_bytes() { leftovers::remove(&text[end..]) } else { <_>::default() }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Whoever wants to know whether it worked calls `remove`.
        drop(remove(&self.path));
    }
}

/// Removes what runs left behind whose lab was killed; returns a sentence for each.
pub fn sweep() -> Vec<String> {
    let Ok(entries) = fs::read_dir(home()) else { return Vec::new() };
    let locks = entries.flatten().map(|entry| entry.path());
    let locks = locks.filter(|path| path.extension().is_some_and(|extension| extension == "lock"));
    locks.flat_map(|lock| sweep_one(&lock)).collect()
}

fn sweep_one(lock: &Path) -> Vec<String> {
    let Ok(file) = File::open(lock) else { return Vec::new() };
    if file.try_lock().is_err() {
        return Vec::new();
    }
    let directory = lock.with_extension("");
    let (mut removed, left) = remove(&directory);
    if left.is_empty() {
        removed.insert(0, directory.display().to_string());
    }
    if removed.is_empty() {
        return left;
    }
    let said = format!("removed {}, left by a run whose lab was killed", crate::insight::listed(&removed));
    [vec![said], left].concat()
}
