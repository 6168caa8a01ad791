//! The directory of a run where the kernel refuses namespaces, and what earlier runs left behind.
//!
//! With namespaces a run lives on a file system of its own that is gone with it. Without, it gets a
//! directory that the lab removes at the end; should the lab be killed, the next start does it. The
//! directory of a living lab is locked, and nothing else is ever touched.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of this run's own. Dropping it removes it with all it holds.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: File,
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

    /// Removes it; says what could not be.
    pub fn remove(self) -> Option<String> {
        remove(&self.path).err().map(|error| format!("cannot remove {}: {error}", self.path.display()))
    }
}

fn remove(directory: &Path) -> io::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    match fs::remove_file(lock_of(directory)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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
    locks.filter_map(|lock| sweep_one(&lock)).collect()
}

fn sweep_one(lock: &Path) -> Option<String> {
    let file = File::open(lock).ok()?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
        Ok(()) => {
            let directory = lock.with_extension("");
            match remove(&directory) {
                Ok(()) => Some(format!("removed {}, left by a run whose lab was killed", directory.display())),
                Err(error) => Some(format!("cannot remove {}: {error}", directory.display())),
            }
        }
    }
}
