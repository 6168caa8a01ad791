//! Where the directories of runs stand: a directory that is the user's alone.
//!
//! `$XDG_RUNTIME_DIR/proclab`, and where that is not to be trusted `$XDG_STATE_HOME/proclab/run`; nowhere
//! else, because what a killed lab has left is looked for in the same places. Who could write there could
//! have the lab remove or overwrite files in the name of its user. So each directory is opened without
//! following links and looked at before it is used, and everything after that is done by descriptor.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use etcetera::BaseStrategy as _;

use crate::sys;
use crate::sys::directory::{Directory, Facts};
use crate::text;

/// Such a directory.
#[derive(Debug)]
pub struct Home {
    /// It, open.
    pub directory: Directory,
    /// What messages call it.
    pub path: PathBuf,
}

impl Home {
    /// The first that can be used; made if it is not there. The error says what to change.
    pub fn make() -> sys::Result<Self> {
        let mut why = Vec::new();
        for place in places() {
            match place.reach(true) {
                Ok(home) => return Ok(home),
                Err(refusal) => why.push(refusal),
            }
        }
        if why.is_empty() {
            why.push("neither XDG_RUNTIME_DIR nor HOME is set".to_owned());
        }
        let target = format!("a directory for the run that is yours alone ({})", why.join("; "));
        Err(sys::Error::new("mkdirat", target, libc::EPERM))
    }

    /// All that are there.
    pub fn existing() -> Vec<Self> {
        places().iter().filter_map(|place| place.reach(false).ok()).collect()
    }
}

/// A place for it.
struct Place {
    /// Where the way begins that is looked at.
    base: PathBuf,
    /// What `base` has to be.
    rule: fn(&Facts) -> Option<String>,
    /// Whether `base` may be a symbolic link.
    follow: bool,
    /// The directories from there on, of which the lab makes its own.
    foreign: Vec<OsString>,
    own: &'static [&'static str],
}

/// In the order in which they are tried.
fn places() -> Vec<Place> {
    runtime().into_iter().chain(state()).collect()
}

/// The directory of the session (XDG Base Directory Specification). A relative path is to be ignored.
fn runtime() -> Option<Place> {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|base| base.is_absolute())?;
    // A slash at the end would have a symbolic link followed.
    let base = base.components().collect();
    Some(Place { base, rule: not_private, follow: false, foreign: Vec::new(), own: &["proclab"] })
}

/// The directory of state in the user's home.
fn state() -> Option<Place> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    let path = strategy.state_dir()?;
    // As far as it is there, it is as the user wants it.
    let base = if path.starts_with(strategy.home_dir()) {
        strategy.home_dir()
    } else {
        path.ancestors().find(|ancestor| ancestor.exists())?
    };
    let foreign = path.strip_prefix(base).ok()?.iter().map(OsStr::to_owned).collect();
    Some(Place { base: base.to_owned(), rule: not_safe, follow: true, foreign, own: &["proclab", "run"] })
}

/// Why a directory is not the user's alone to write to.
fn not_private(facts: &Facts) -> Option<String> {
    if !facts.is_own() {
        return Some(format!("belongs to user {}", facts.owner));
    }
    facts.others_may_write().then(|| "can be written to by others".to_owned())
}

/// Why others could move the user's directories in this one: it is not theirs, or others may write to it
/// and it has no sticky bit. Where each user has a group of the same number, the group is the user.
fn not_safe(facts: &Facts) -> Option<String> {
    let sticky = facts.mode & libc::S_ISVTX != 0;
    if sticky && (facts.is_own() || facts.owner == 0) {
        return None;
    }
    let user = nix::unistd::geteuid().as_raw();
    let group_is_user = facts.group == user && nix::unistd::getegid().as_raw() == user;
    let mode = if group_is_user { facts.mode & !0o020 } else { facts.mode };
    not_private(&Facts { mode, ..*facts })
}

impl Place {
    fn path(&self) -> PathBuf {
        let base = self.foreign.iter().fold(self.base.clone(), |path, name| path.join(name));
        self.own.iter().fold(base, |path, name| path.join(name))
    }

    /// Goes there; why that cannot be done, or is not safe, as a part of a sentence.
    fn reach(&self, make: bool) -> Result<Home, String> {
        let mut path = self.base.clone();
        let opened = walk(&path, self.follow).map_err(|error| refused(&path, &error))?;
        let mut directory = checked(opened, &path, self.rule)?;
        for name in &self.foreign {
            path.push(name);
            let opened = step(&directory, name, make, true).map_err(|error| refused(&path, &error))?;
            directory = checked(opened, &path, not_safe)?;
        }
        for name in self.own {
            path.push(name);
            let opened = step(&directory, OsStr::new(name), make, false).map_err(|error| refused(&path, &error))?;
            directory = checked(opened, &path, not_private)?;
            // Others could not write to it, so what is in it is the user's.
            directory.close_to_others().map_err(|error| refused(&path, &error))?;
        }
        debug_assert_eq!(path, self.path(), "the path is the way");
        Ok(Home { directory, path })
    }
}

/// Opens the directory at a path. A symbolic link on the way must be the user's or the administrator's: another one
/// leads where its owner wants. The last one is followed only with `follow`.
fn walk(path: &Path, follow: bool) -> io::Result<Directory> {
    let mut parts = path.components().peekable();
    let first = parts.next().map_or(OsStr::new("."), Component::as_os_str);
    let mut directory = Directory::open(Path::new(first), follow || parts.peek().is_some())?;
    while let Some(part) = parts.next() {
        directory = step(&directory, part.as_os_str(), false, follow || parts.peek().is_some())?;
    }
    Ok(directory)
}

/// The next directory on the way. With `follow` it may be a symbolic link that the user or the administrator has made.
fn step(from: &Directory, name: &OsStr, make: bool, follow: bool) -> io::Result<Directory> {
    if make {
        match from.make(name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let facts = from.facts_of(name)?;
    from.enter(name, follow && facts.kind == libc::S_IFLNK && (facts.is_own() || facts.owner == 0))
}

fn checked(directory: Directory, path: &Path, rule: fn(&Facts) -> Option<String>) -> Result<Directory, String> {
    let facts = directory.facts().map_err(|error| refused(path, &error))?;
    if directory.is_served().map_err(|error| refused(path, &error))? {
        return Err(format!("{} is on a file system in user space (FUSE)", text::path(path)));
    }
    rule(&facts).map_or(Ok(directory), |why| Err(format!("{} {why}", text::path(path))))
}

fn refused(path: &Path, error: &io::Error) -> String {
    let path = text::path(path);
    match error.raw_os_error() {
        Some(libc::ENOTDIR | libc::ELOOP) => format!("{path} is no directory, or a symbolic link"),
        Some(errno) => format!("{path}: {}", crate::model::errno_name(errno)),
        None => format!("{path}: {error}"),
    }
}
