//! Directories by descriptor: what is done in one is done in the directory that was looked at, whatever
//! becomes of its path, and no symbolic link is followed (openat(2), `O_NOFOLLOW`).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// What statfs(2) calls FUSE (`FUSE_SUPER_MAGIC`).
const FUSE: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0x6573_5546);

/// How deep a tree may be that is removed.
const DEEPEST: usize = 1 << 16;

/// A directory that is open.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
}

/// What stat(2) says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The user that it belongs to.
    pub owner: u32,
    /// The group that it belongs to.
    pub group: u32,
    /// Its permissions: the lower twelve bits.
    pub mode: u32,
    /// What it is: `S_IFDIR`, `S_IFREG`, `S_IFLNK` …
    pub kind: u32,
    /// How many names it has.
    pub links: u64,
    /// Device and inode.
    pub identity: (u64, u64),
}

impl From<FileStat> for Facts {
    fn from(stat: FileStat) -> Self {
        Self {
            owner: stat.st_uid,
            group: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            kind: stat.st_mode & libc::S_IFMT,
            links: stat.st_nlink as _,
            identity: (stat.st_dev, stat.st_ino),
        }
    }
}

impl Facts {
    /// Those of an open file.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(fstat(file)?.into())
    }

    /// Whether it belongs to the user that this process acts for.
    pub fn is_own(&self) -> bool {
        self.owner == nix::unistd::geteuid().as_raw()
    }

    /// Whether somebody else may write to it.
    pub const fn others_may_write(&self) -> bool {
        self.mode & 0o022 != 0
    }

    /// Whether nobody but the user and the administrator can have written what is there. A group of the user's own
    /// number is the user.
    pub fn is_safe(&self) -> bool {
        let user = nix::unistd::geteuid().as_raw();
        let others = if self.group == user { 0o002 } else { 0o022 };
        (self.owner == user || self.owner == 0) && self.mode & others == 0
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Directory> for OwnedFd {
    fn from(directory: Directory) -> Self {
        directory.fd
    }
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

impl Directory {
    /// Opens the directory at `path`. Symbolic links on the way are followed, the last one only with
    /// `follow`.
    pub fn open(path: &Path, follow: bool) -> io::Result<Self> {
        let flags = if follow { DIRECTORY } else { DIRECTORY | OFlag::O_NOFOLLOW };
        Ok(Self { fd: nix::fcntl::open(path, flags, Mode::empty())? })
    }

    /// Opens the directory of this name. A symbolic link is ENOTDIR, unless it is to be followed.
    pub fn enter(&self, name: &OsStr, follow: bool) -> io::Result<Self> {
        let flags = if follow { DIRECTORY } else { DIRECTORY | OFlag::O_NOFOLLOW };
        Ok(Self { fd: openat(self, name, flags, Mode::empty())? })
    }

    /// What is known of the directory itself.
    pub fn facts(&self) -> io::Result<Facts> {
        Facts::of(self)
    }

    /// Whether a process serves its file system (FUSE): that may say of owners and permissions whatever it likes.
    pub fn is_served(&self) -> io::Result<bool> {
        Ok(nix::sys::statfs::fstatfs(self)?.filesystem_type() == FUSE)
    }

    /// What is known of an entry: of a symbolic link itself.
    pub fn facts_of(&self, name: &OsStr) -> io::Result<Facts> {
        Ok(fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW)?.into())
    }

    /// Leaves rights in the directory to its owner only.
    pub fn close_to_others(&self) -> io::Result<()> {
        Ok(fchmod(self, Mode::S_IRWXU)?)
    }

    /// Makes a directory that is its owner's only.
    pub fn make(&self, name: &OsStr) -> io::Result<()> {
        Ok(mkdirat(self, name, Mode::S_IRWXU)?)
    }

    /// Makes a file that is its owner's only, to write to. One that is there already is EEXIST.
    pub fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(self, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Opens a file to read, if it is an ordinary one of this user's, has no other name, and nobody else
    /// may write to it; else EPERM.
    pub fn own_file(&self, name: &OsStr) -> io::Result<File> {
        // Whatever else it is, opening it must not wait.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = openat(self, name, flags, Mode::empty())?;
        let facts = Facts::of(&file)?;
        let trusted = facts.kind == libc::S_IFREG && facts.is_own() && facts.links == 1 && !facts.others_may_write();
        if trusted { Ok(file.into()) } else { Err(Errno::EPERM.into()) }
    }

    /// Opens a file to read, whatever it is and whoever's; a symbolic link is followed.
    pub fn file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        Ok(openat(self, name, flags, Mode::empty())?.into())
    }

    /// The names of its entries.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        // A descriptor of its own has a position of its own.
        let mut reader = Dir::from_fd(self.enter(OsStr::new("."), false)?.fd)?;
        let names = reader.iter().map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()));
        names
            .filter(|name: &io::Result<OsString>| name.as_ref().is_ok_and(|name| name != "." && name != ".."))
            .collect()
    }

    /// Removes an entry that is no directory.
    pub fn unlink(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(self, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Removes an entry and everything below it: links themselves, and nothing that is mounted there.
    ///
    /// `aside` is a name that nobody else uses: what has to be emptied is moved there first. That tells what
    /// is a mount (EBUSY) before anybody looks into it. For the same reason, and because a tree may be deeper
    /// than there are descriptors, directories are moved up before they are emptied.
    pub fn remove_tree(&self, name: &OsStr, aside: &OsStr) -> io::Result<()> {
        // This may have been interrupted before.
        for left in [aside, name] {
            if self.remove_entry(left)? {
                continue;
            }
            if left == name {
                self.rename(name, self, aside)?;
            }
            self.enter_anyway(aside)?.empty()?;
            unlinkat(self, aside, UnlinkatFlags::RemoveDir)?;
        }
        Ok(())
    }

    /// Removes an entry; whether it is gone. A directory that is not empty is not.
    fn remove_entry(&self, name: &OsStr) -> io::Result<bool> {
        let removed = match unlinkat(self, name, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOTDIR) => unlinkat(self, name, UnlinkatFlags::NoRemoveDir),
            other => other,
        };
        match removed {
            Ok(()) | Err(Errno::ENOENT) => Ok(true),
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes everything in it. What cannot be removed keeps nothing else from being.
    fn empty(&self) -> io::Result<()> {
        let mut failed = None;
        let mut aside = 0;
        for _ in 0..DEEPEST {
            let names = self.names()?;
            if names.is_empty() {
                return Ok(());
            }
            for name in &names {
                if let Err(error) = self.lift(name, &mut aside) {
                    failed = Some(error);
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Err(Errno::ENOTEMPTY.into())
    }

    /// Removes an entry, and moves the directories in it, as far as they are not empty, up to this one.
    fn lift(&self, name: &OsStr, aside: &mut u64) -> io::Result<()> {
        if self.remove_entry(name)? {
            return Ok(());
        }
        let inner = self.enter_anyway(name)?;
        for below in inner.names()? {
            if !inner.remove_entry(&below)? {
                inner.move_up(&below, self, aside)?;
            }
        }
        Ok(unlinkat(self, name, UnlinkatFlags::RemoveDir)?)
    }

    /// Moves a directory to `to`, under a name that is free there.
    fn move_up(&self, name: &OsStr, to: &Self, aside: &mut u64) -> io::Result<()> {
        loop {
            *aside += 1;
            let free = OsString::from(format!("aside-{aside}"));
            match self.rename(name, to, &free) {
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST | libc::ENOTDIR)) => {}
                other => return other,
            }
        }
    }

    /// Renames a directory: into another one only who may write to it can.
    fn rename(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        match renameat(self, name, to, new) {
            Err(Errno::EACCES) => {
                self.open_up(name)?;
                Ok(renameat(self, name, to, new)?)
            }
            other => Ok(other?),
        }
    }

    /// Opens a directory of this user's whatever its permissions are.
    fn enter_anyway(&self, name: &OsStr) -> io::Result<Self> {
        let entered = match self.enter(name, false) {
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                self.open_up(name)?;
                self.enter(name, false)?
            }
            other => other?,
        };
        // Root may do without, and who does not own it cannot.
        if entered.facts()?.is_own() {
            entered.close_to_others()?;
        }
        Ok(entered)
    }

    /// Gives the owner of a directory all rights in it.
    fn open_up(&self, name: &OsStr) -> io::Result<()> {
        let facts = self.facts_of(name)?;
        if facts.kind != libc::S_IFDIR || !facts.is_own() {
            return Err(Errno::EACCES.into());
        }
        // Not every kernel can do that without following links; what is here is this user's alone.
        Ok(fchmodat(self, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn remove(place: &Path, name: &str) -> io::Result<()> {
        Directory::open(place, true)?.remove_tree(OsStr::new(name), OsStr::new("gone"))
    }

    #[test]
    fn a_tree_goes_and_what_its_links_lead_to_stays() {
        let place = tempfile::tempdir().expect("a directory");
        let (tree, victim) = (place.path().join("tree"), place.path().join("victim"));
        fs::create_dir_all(tree.join("a/b/c")).expect("made");
        fs::create_dir_all(tree.join("aside-1/full")).expect("made");
        fs::create_dir(&victim).expect("made");
        fs::write(victim.join("file"), "kept").expect("written");
        fs::write(tree.join("a/b/c/file"), "").expect("written");
        for (target, link) in [(&victim, "a/link"), (&victim, "a/b/link"), (&victim.join("file"), "a/b/c/link")] {
            symlink(target, tree.join(link)).expect("a link");
        }
        // Closed even to its owner.
        fs::create_dir_all(tree.join("closed/inner/most")).expect("made");
        for closed in ["closed/inner/most", "closed/inner", "closed"] {
            fs::set_permissions(tree.join(closed), fs::Permissions::from_mode(0o000)).expect("chmod");
        }
        remove(place.path(), "tree").expect("removed");
        assert!(!tree.exists() && !place.path().join("gone").exists());
        assert_eq!(fs::read_to_string(victim.join("file")).expect("there"), "kept");
        // A link in its place goes itself.
        symlink(&victim, &tree).expect("a link");
        remove(place.path(), "tree").expect("removed");
        assert!(tree.symlink_metadata().is_err() && victim.join("file").exists());
        remove(place.path(), "tree").expect("nothing to remove");
    }

    #[test]
    fn a_tree_may_be_deeper_than_there_are_descriptors_and_longer_than_a_path() {
        let place = tempfile::tempdir().expect("a directory");
        let mut at = Directory::open(place.path(), true).expect("open");
        for _ in 0..3000 {
            at.make(OsStr::new("deep")).expect("made");
            at = at.enter(OsStr::new("deep"), false).expect("entered");
        }
        drop(at.create(OsStr::new("file")).expect("made"));
        remove(place.path(), "deep").expect("removed");
        assert_eq!(fs::read_dir(place.path()).expect("readable").count(), 0);
    }

    #[test]
    fn only_files_of_ones_own_are_read() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(place.path(), false).expect("open");
        let at = |name: &str| place.path().join(name);
        drop(directory.create(OsStr::new("file")).expect("made"));
        assert_eq!(fs::metadata(at("file")).expect("there").permissions().mode() & 0o7777, 0o600);
        assert_eq!(
            directory.create(OsStr::new("file")).map(drop).expect_err("there").raw_os_error(),
            Some(libc::EEXIST)
        );
        let refusal =
            |name: &str| directory.own_file(OsStr::new(name)).map(drop).err().and_then(|it| it.raw_os_error());
        assert_eq!(refusal("file"), None);
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o660)).expect("chmod");
        assert_eq!(refusal("file"), Some(libc::EPERM));
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o600)).expect("chmod");
        fs::hard_link(at("file"), at("second")).expect("a name");
        assert_eq!(refusal("file"), Some(libc::EPERM));
        symlink(at("file"), at("link")).expect("a link");
        assert_eq!(refusal("link"), Some(libc::ELOOP));
        nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).expect("a FIFO");
        assert_eq!(refusal("fifo"), Some(libc::EPERM));
        // What is made does not go through a link that leads nowhere.
        symlink(at("nowhere"), at("dangling")).expect("a link");
        assert!(directory.create(OsStr::new("dangling")).is_err() && !at("nowhere").exists());
    }
}
