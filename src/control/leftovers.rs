//! Removing what a run has made and its programs did not remove.

use std::ffi::CString;
use std::io;
use std::path::Path;

use crate::model::{ChannelKind, errno_name};
use crate::sys::call::{Answer, posix, sysv};
use crate::sys::directory::Directory;
use crate::sys::ipc;
use crate::text;
use crate::trace::{Journal, Made};

/// Removes what stands in a journal, as far as it is still there. Returns what it was, and what could not
/// be removed, as sentences without a full stop.
pub fn remove(journal: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut removed, mut left) = (Vec::new(), Vec::new());
    for made in Journal::parse(journal) {
        let what = describe(&made);
        match remove_one(&made) {
            Ok(()) => removed.push(what),
            // The programs have removed it themselves.
            Err(libc::ENOENT | libc::EINVAL | libc::EIDRM) => {}
            Err(errno) => left.push(format!("cannot remove {what}: {}", errno_name(errno))),
        }
    }
    (removed, left)
}

fn describe(made: &Made) -> String {
    match made {
        Made::Object(ChannelKind::Msg, id) => format!("message queue {id}"),
        Made::Object(ChannelKind::Shm, id) => format!("shared memory segment {id}"),
        Made::Object(_, id) => format!("semaphore set {id}"),
        Made::Queue(name, ..) => format!("message queue /{}", text::clean(&String::from_utf8_lossy(name))),
        Made::File(path, ..) => text::path(path),
    }
}

fn remove_one(made: &Made) -> Result<(), i32> {
    let done = |answer: Answer| answer.map(drop);
    match made {
        // An identifier is not used again before the kernel has given out tens of thousands of others.
        Made::Object(ChannelKind::Msg, id) => done(sysv::msg_remove(*id)),
        Made::Object(ChannelKind::Shm, id) => done(sysv::shm_remove(*id)),
        Made::Object(ChannelKind::Sem, id) => done(sysv::sem_remove(*id)),
        Made::Object(..) => Err(libc::EINVAL),
        Made::Queue(name, device, inode) => {
            let name = CString::new([b"/", name.as_slice()].concat()).map_err(|_| libc::EINVAL)?;
            // Another one may bear its name by now.
            if ipc::mq_identity(&name) != Some((*device, *inode)) {
                return Err(libc::ENOENT);
            }
            done(posix::mq_unlink(&name))
        }
        Made::File(path, device, inode) => remove_file(path, (*device, *inode)),
    }
}

/// Only the very file: another one may bear its name by now. Who may write to a directory on its path could
/// lead the two looks to different places; so both are made from the directory that it is in.
fn remove_file(path: &Path, identity: (u64, u64)) -> Result<(), i32> {
    let number = |error: io::Error| error.raw_os_error().unwrap_or(libc::EIO);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(libc::ENOENT) };
    let parent = Directory::open(parent, true).map_err(number)?;
    let facts = parent.facts_of(name).map_err(number)?;
    // The number of a file that is gone may be another one's by now.
    if facts.identity != identity || !Made::is_of_interest(facts.kind, path) {
        return Err(libc::ENOENT);
    }
    parent.unlink(name).map_err(number)
}
