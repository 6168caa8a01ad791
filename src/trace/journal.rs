//! What a run makes outside of its directory, written down as it is made.
//!
//! A lab that is killed cannot clean up any more; the next one reads the journal and does it. A line
//! says what the kernel calls the object, so that nothing else can be meant.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::model::ChannelKind;
use crate::sys::look::{self, Facts, Links};

/// Something that outlives its processes until somebody removes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// A System V queue, segment or set, by its identifier.
    Object(ChannelKind, i32),
    /// A POSIX queue, by its name in the kernel, without a slash, and by device and inode.
    Queue(Vec<u8>, u64, u64),
    /// A file, by its path, and by device and inode.
    File(PathBuf, u64, u64),
}

impl Made {
    /// The file that the run finds at `path` now; nothing else than a FIFO, a socket, or a segment or semaphore in
    /// `/dev/shm` is of interest.
    pub fn file(facts: &Facts, path: &Path) -> Option<Self> {
        let wanted = Self::is_of_interest(facts.mode & libc::S_IFMT, path);
        let (device, inode) = facts.identity;
        wanted.then(|| Self::File(path.to_owned(), device, inode))
    }

    /// Whether a file of this kind (`S_IFMT`) at that path is one that a run has to remove.
    pub fn is_of_interest(kind: u32, path: &Path) -> bool {
        match kind {
            libc::S_IFIFO | libc::S_IFSOCK => true,
            // The C library makes them in the directory itself; a longer path could lead elsewhere.
            libc::S_IFREG => path.parent() == Some(Path::new("/dev/shm")),
            _ => false,
        }
    }

    fn to_line(&self) -> Vec<u8> {
        let (head, tail) = match self {
            Self::Object(kind, id) => (format!("{} {id}", kind.as_str()), &[][..]),
            Self::Queue(name, device, inode) => (format!("mq {device} {inode} "), name.as_slice()),
            Self::File(path, device, inode) => (format!("file {device} {inode} "), path.as_os_str().as_bytes()),
        };
        [head.as_bytes(), tail, b"\0\n"].concat()
    }

    fn from_line(line: &[u8]) -> Option<Self> {
        let mut words = line.splitn(4, |byte| *byte == b' ');
        let kind = std::str::from_utf8(words.next()?).ok()?;
        let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<u64>().ok();
        match kind {
            "mq" => {
                let (device, inode) = (number()?, number()?);
                Some(Self::Queue(words.next()?.to_owned(), device, inode))
            }
            "file" => {
                let (device, inode) = (number()?, number()?);
                Some(Self::File(OsStr::from_bytes(words.next()?).into(), device, inode))
            }
            "msg" | "shm" | "sem" => Some(Self::Object(ChannelKind::parse(kind)?, i32::try_from(number()?).ok()?)),
            _ => None,
        }
    }
}

/// Makes the file of a journal.
type Opener = Box<dyn FnOnce() -> io::Result<File> + Send>;

/// Where it is written down: in a file that is made when there is something to write.
pub struct Journal {
    file: Option<File>,
    open: Option<Opener>,
    /// Whether IPC objects of the run outlive it, too: it has no namespace for them.
    ipc: bool,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("ipc", &self.ipc).finish_non_exhaustive()
    }
}

impl Journal {
    /// A journal in the file that `open` makes; of files only, or with `ipc` of IPC objects too.
    pub fn new(ipc: bool, open: impl FnOnce() -> io::Result<File> + Send + 'static) -> Self {
        Self { file: None, open: Some(Box::new(open)), ipc }
    }

    /// Writes down that something was made, if it can outlive the run.
    pub fn write(&mut self, made: &Made) {
        let outlives = match made {
            Made::Object(..) | Made::Queue(..) => self.ipc,
            // What lies on a file system of the run's own is not found at that path here.
            Made::File(path, device, inode) => {
                let here = look::at(std::process::id() as i32, None, path.as_os_str().as_bytes(), Links::Keep);
                here.is_some_and(|facts| facts.identity == (*device, *inode))
            }
        };
        if !outlives {
            return;
        }
        if let Some(open) = self.open.take() {
            self.file = open().ok();
        }
        if let Some(file) = &mut self.file {
            // A full disk is no reason to end a run.
            drop(file.write_all(&made.to_line()));
        }
    }

    /// What stands in a journal, as far as it is whole; the last that was made first.
    pub fn parse(text: &[u8]) -> Vec<Made> {
        // A name can hold any byte but NUL. Behind the last one stands what was cut off.
        let mut lines: Vec<&[u8]> = text.split(|byte| *byte == 0).collect();
        lines.pop();
        let lines = lines.into_iter().map(|line| line.strip_prefix(b"\n").unwrap_or(line));
        let mut made: Vec<Made> = lines.filter_map(Made::from_line).collect();
        made.reverse();
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_up_to_the_damage() {
        let made = [
            Made::Object(ChannelKind::Msg, 32_769),
            Made::Queue(b"a name".to_vec(), 19, 4712),
            Made::File("/dev/shm/a b".into(), 25, 4711),
        ];
        let mut text: Vec<u8> = made.iter().flat_map(Made::to_line).collect();
        text.extend_from_slice(b"sem 12");
        let mut read = Journal::parse(&text);
        read.reverse();
        assert_eq!(read, made);
        assert_eq!(Journal::parse(b"\0\nwhat\0\nmsg x\0\nfile 1\0\n"), []);
    }

    #[test]
    fn a_name_cannot_add_a_line() {
        let made = Made::File("/tmp/x\nfile 1 2 /dev/shm/victim".into(), 25, 4711);
        let queue = Made::Queue(b"q\nfile 1 2 /dev/shm/victim".to_vec(), 19, 4712);
        let text = [made.to_line(), queue.to_line()].concat();
        assert_eq!(Journal::parse(&text), [queue, made]);
    }

    #[test]
    fn ordinary_files_are_removed_in_one_directory_only() {
        let is = |path: &str| Made::is_of_interest(libc::S_IFREG, Path::new(path));
        assert!(is("/dev/shm/segment") && is("/dev/shm/sem.a"));
        assert!(!is("/dev/shm/../../etc/passwd") && !is("/dev/shm/a/b") && !is("/dev/shm") && !is("/tmp/a"));
    }
}
