//! Names under which processes find channels: in the file system, and of IPC objects.

use std::ffi::CString;
use std::path::Path;

use super::super::calls::Family;
use super::super::channels::{Identity, New};
use super::super::journal::Made;
use super::super::tracee::{Ahead, Call};
use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{ChannelId, ChannelKind};
use crate::sys::look::{self, Facts, Links};
use crate::sys::{ipc, memory, procfs};

const MAX_PATH: usize = 4096;
/// Where the C library keeps segments and semaphores that have a name (shm_overview(7)).
const SHARED: &[u8] = b"/dev/shm/";

/// The path that is argument number `path` of a call, and what the task finds there; the argument before it is the
/// directory.
fn file_of(tid: i32, call: &Call, path: usize, links: Links) -> Option<(Vec<u8>, Option<Facts>)> {
    let text = memory::read_string(tid, call.args[path], MAX_PATH)?;
    let directory = path.checked_sub(1).map(|before| call.args[before] as i32);
    let facts = look::at(tid, directory, &text, links);
    Some((text, facts))
}

fn inode(facts: &Facts) -> Identity {
    let (device, inode) = facts.identity;
    Identity::Inode(device, inode)
}

impl Tracer {
    /// On the way into a call that makes or removes a name: what can no longer be seen at its end.
    pub(in crate::trace) fn look_ahead(&mut self, tid: i32, call: &Call) {
        let ahead = match call.family {
            Family::MqOpen => Self::is_mq_there(tid, call),
            Family::Open { path } => is_file_there(tid, call, usize::from(path)),
            Family::Unlink { path } => self.last_name(tid, call, usize::from(path)),
            _ => object_kind(call).map_or(Ahead::Nothing, |kind| is_object_there(tid, call, kind)),
        };
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.ahead = ahead;
        }
    }

    fn is_mq_there(tid: i32, call: &Call) -> Ahead {
        let flags = call.args[1] as i32;
        let could = flags & libc::O_CREAT != 0 && flags & libc::O_EXCL == 0;
        if !could || !Self::shares_ipc(tid) {
            return Ahead::Nothing;
        }
        let name = memory::read_string(tid, call.args[0], MAX_PATH).unwrap_or_default();
        let name = CString::new([b"/", name.as_slice()].concat()).unwrap_or_default();
        if ipc::mq_exists(&name) { Ahead::Found } else { Ahead::Nothing }
    }

    /// The channel whose last name the call removes, if it does.
    fn last_name(&self, tid: i32, call: &Call, path: usize) -> Ahead {
        let facts = file_of(tid, call, path, Links::Keep).and_then(|(_, facts)| facts);
        let Some(facts) = facts.filter(|facts| facts.links == 1) else { return Ahead::Nothing };
        let known = self.channels.known(inode(&facts));
        let alive = known.filter(|known| self.world().channel(*known).is_some_and(|channel| channel.alive));
        alive.map_or(Ahead::Nothing, Ahead::LastName)
    }

    pub(super) fn unlink(&mut self, ended: &Ended<'_>) {
        match self.ahead(ended.tid) {
            Ahead::LastName(channel) if !ended.failed() => self.write_unlinked(ended, channel),
            _ => self.plain_call(ended),
        }
    }

    /// A FIFO is there from now on; other kinds of nodes are no channels yet.
    pub(super) fn mknod(&mut self, ended: &Ended<'_>, path: usize) {
        let is_fifo = ended.call.args[path + 1] as u32 & libc::S_IFMT == libc::S_IFIFO;
        let made = (is_fifo && !ended.failed()).then(|| file_of(ended.tid, ended.call, path, Links::Keep)).flatten();
        let Some((text, Some(facts))) = made else { return self.plain_call(ended) };
        let identity = inode(&facts);
        if self.channels.known(identity).and_then(|known| self.world().channel(known)).is_some_and(|it| it.alive) {
            return self.plain_call(ended);
        }
        let name = self.declared_name(ended).unwrap_or_else(|| full_name(ended.tid, &text));
        let identity = Some(identity);
        let new =
            New { identity, kind: ChannelKind::Fifo, name: &name, capacity: 65_536, messages: false, found: false };
        self.channels.make_by(&mut self.recorder, ended.task, Some(ended.outcome()), new);
    }

    /// Writes down what a call has made that outlives the run, where somebody wants to know.
    pub(super) fn keep_made(&mut self, ended: &Ended<'_>) {
        if self.recorder.journal().is_none() {
            return;
        }
        let system_v = object_kind(ended.call);
        let foreign = (system_v.is_some() || ended.call.family == Family::MqOpen) && !Self::shares_ipc(ended.tid);
        let made = match ended.call.family {
            // What it is called in another namespace is something else in the lab's, and goes with it.
            _ if foreign => None,
            Family::Mknod { path } | Family::Link { new: path, .. } => made_at(ended, usize::from(path)),
            Family::Open { path } if self.ahead(ended.tid) == Ahead::Nothing => made_at(ended, usize::from(path)),
            Family::MqOpen if self.ahead(ended.tid) == Ahead::Nothing && ended.int(1) & libc::O_CREAT != 0 => {
                let name = memory::read_string(ended.tid, ended.call.args[0], MAX_PATH);
                let queue = procfs::fd(ended.tid, ended.ret as i32).map(|facts| facts.identity);
                name.zip(queue).map(|(name, (device, inode))| Made::Queue(name, device, inode))
            }
            Family::Bind => bound(ended),
            _ => system_v
                .filter(|_| self.ahead(ended.tid) == Ahead::Nothing)
                .map(|kind| Made::Object(kind, ended.ret as i32)),
        };
        if let (Some(made), Some(journal)) = (made, self.recorder.journal()) {
            journal.write(&made);
        }
    }

    /// What was seen on the way into the call.
    pub(super) fn ahead(&self, tid: i32) -> Ahead {
        self.tracees.get(&tid).map_or(Ahead::Nothing, |tracee| tracee.ahead)
    }

    /// The channel that a task finds at a path, if it is one that is known.
    pub(in crate::trace) fn channel_at(&self, tid: i32, call: &Call, path: usize) -> Option<ChannelId> {
        let (_, facts) = file_of(tid, call, path, Links::Follow)?;
        self.channels.known(inode(&facts?))
    }
}

/// The kind of System V object that a call gets.
pub(in crate::trace) fn object_kind(call: &Call) -> Option<ChannelKind> {
    match i64::try_from(call.number).ok()? {
        libc::SYS_msgget => Some(ChannelKind::Msg),
        libc::SYS_shmget => Some(ChannelKind::Shm),
        libc::SYS_semget => Some(ChannelKind::Sem),
        _ => None,
    }
}

/// Whether a call will find the object that it gets, and not make it.
fn is_object_there(tid: i32, call: &Call, kind: ChannelKind) -> Ahead {
    let flags = call.args[if kind == ChannelKind::Msg { 1 } else { 2 }] as i32;
    let key = call.args[0] as i32;
    if key == libc::IPC_PRIVATE {
        return Ahead::Nothing;
    }
    let (makes, only) = (flags & libc::IPC_CREAT != 0, flags & libc::IPC_EXCL != 0);
    // In a namespace of its own the run has made whatever is there.
    let found = !makes || (!only && Tracer::shares_ipc(tid) && ipc::object_exists(kind, key));
    if found { Ahead::Found } else { Ahead::Nothing }
}

/// The file that a call has made at the path that is its argument number `path`.
fn made_at(ended: &Ended<'_>, path: usize) -> Option<Made> {
    let (text, facts) = file_of(ended.tid, ended.call, path, Links::Keep)?;
    Made::file(&facts?, Path::new(&full_name(ended.tid, &text)))
}

/// The file of a Unix socket that got an address: `struct sockaddr_un` is a family and a path.
fn bound(ended: &Ended<'_>) -> Option<Made> {
    let family = memory::read_array::<2>(ended.tid, ended.call.args[1]).map(u16::from_ne_bytes)?;
    if i32::from(family) != libc::AF_UNIX {
        return None;
    }
    let length = usize::try_from(ended.call.args[2]).ok()?.checked_sub(2)?;
    let text = memory::read_string(ended.tid, ended.call.args[1] + 2, length.min(108))?;
    let facts = look::at(ended.tid, None, &text, Links::Keep)?;
    Made::file(&facts, Path::new(&full_name(ended.tid, &text)))
}

/// Whether a call will find what it opens. Only of what lies under `/dev/shm` it matters if it makes it.
fn is_file_there(tid: i32, call: &Call, path: usize) -> Ahead {
    // openat2 keeps its flags in a structure; no C library opens segments with it.
    let makes = call.args[path + 1] as i32 & libc::O_CREAT != 0
        && memory::read_string(tid, call.args[path], SHARED.len()).is_some_and(|text| text == SHARED)
        && file_of(tid, call, path, Links::Follow).is_some_and(|(_, facts)| facts.is_none());
    if makes { Ahead::Nothing } else { Ahead::Found }
}

/// A path as panes show it: from the root on.
fn full_name(tid: i32, path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    if text.starts_with('/') {
        return text.into_owned();
    }
    let base = procfs::working_directory(tid).unwrap_or_default();
    base.join(text.trim_start_matches("./")).to_string_lossy().into_owned()
}
