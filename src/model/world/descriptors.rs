//! Descriptor tables and open file descriptions.

use std::sync::Arc;

use super::World;
use crate::model::task::{Fd, Table};
use crate::model::{ChannelId, ChannelKind, End, FdFlags, Owner, TaskId};

impl World {
    pub(super) fn count_fd(&mut self, fd: &Fd, held: bool) {
        let access = fd.access;
        self.change_channel(fd.channel, |channel| {
            let step = |count: &mut u32| *count = if held { *count + 1 } else { count.saturating_sub(1) };
            step(&mut channel.holders);
            if let Some(socket) = &mut channel.socket {
                step(&mut socket.held[fd.end.index()]);
            }
            if channel.kind == ChannelKind::Terminal {
                step(&mut channel.tty.held[fd.end.index()]);
                channel.tty.master |= fd.end == End::First;
                channel.forget_readiness();
            }
            if access.reads() {
                step(&mut channel.readers);
            }
            if access.writes() {
                step(&mut channel.writers);
            }
        });
        if !held {
            self.drop_what_closes(fd);
        }
    }

    pub(super) fn insert_fd(&mut self, id: TaskId, fd: Fd) {
        let Some(table) = self.change_table(id) else { return };
        let replaced = table.insert(fd);
        self.count_fd(&fd, true);
        if let Some(replaced) = replaced {
            self.count_fd(&replaced, false);
        }
    }

    pub(super) fn remove_fd(&mut self, id: TaskId, fd: i32) {
        if let Some(removed) = self.change_table(id).and_then(|table| table.remove(fd)) {
            self.count_fd(&removed, false);
        }
    }

    pub(super) fn dup(&mut self, id: TaskId, fd: i32, to: i32, cloexec: bool) {
        let Some(mut entry) = self.fd(id, fd).copied() else { return };
        if fd == to {
            return;
        }
        entry.fd = to;
        entry.flags.cloexec = cloexec;
        self.close(id, to);
        self.insert_fd(id, entry);
    }

    pub(super) fn set_flags(&mut self, id: TaskId, fd: i32, flags: FdFlags) {
        let Some(description) = self.fd(id, fd).map(|entry| entry.description) else { return };
        self.change_description(description, |entry| {
            entry.flags.nonblock = flags.nonblock;
            entry.flags.append = flags.append;
        });
        if let Some(table) = self.change_table(id) {
            table.iter_mut().filter(|entry| entry.fd == fd).for_each(|entry| entry.flags.cloexec = flags.cloexec);
        }
    }

    /// Changes every descriptor that shares an open file description, whoever holds it.
    pub(super) fn change_description(&mut self, description: u64, change: impl Fn(&mut Fd)) {
        for table in &mut self.tables {
            if table.iter().any(|entry| entry.description == description) {
                Arc::make_mut(table).iter_mut().filter(|entry| entry.description == description).for_each(&change);
            }
        }
    }

    pub(super) fn advance_position(&mut self, id: TaskId, fd: i32, channel: ChannelId, bytes: u64) {
        let is_file = self.channel(channel).is_some_and(|channel| channel.kind == ChannelKind::File);
        if is_file && let Some(entry) = self.fd(id, fd).copied() {
            self.change_description(entry.description, |entry| {
                entry.position = entry.position.saturating_add(bytes);
            });
        }
    }

    /// The file position of an open file description, if any descriptor of it is open.
    pub(super) fn position_of(&self, description: u64) -> u64 {
        let mut entries = self.tables.iter().flat_map(|table| table.iter());
        entries.find(|entry| entry.description == description).map_or(0, |entry| entry.position)
    }

    /// A task closes a descriptor: the locks of its process on that file are gone, whichever descriptor
    /// they were set through (`fcntl_locking(2)`).
    pub(super) fn close(&mut self, id: TaskId, fd: i32) {
        let Some(entry) = self.fd(id, fd).copied() else { return };
        let process = self.task(id).map_or(id, |task| task.process);
        self.remove_fd(id, fd);
        self.drop_locks(entry.channel, Owner::Process(process));
    }

    pub(super) fn drop_locks(&mut self, channel: ChannelId, owner: Owner) {
        if self.channel(channel).is_some_and(|channel| channel.locks.iter().any(|lock| lock.owner == owner)) {
            self.change_channel(channel, |channel| channel.locks.retain(|lock| lock.owner != owner));
        }
    }

    /// Locks of an open file description and interests in it go with its last descriptor.
    fn drop_what_closes(&mut self, fd: &Fd) {
        let owner = Owner::Description(fd.description);
        let locked = self.channel(fd.channel).is_some_and(|it| it.locks.iter().any(|lock| lock.owner == owner));
        let is_open = |table: &Arc<Table>| table.iter().any(|entry| entry.description == fd.description);
        let watched = self.channel(fd.channel).is_some_and(|it| !it.watchers.is_empty());
        if (locked || watched) && !self.tables.iter().any(is_open) {
            self.drop_locks(fd.channel, owner);
            self.drop_interests(fd.channel, fd.description);
        }
    }

    pub(super) fn seek(&mut self, id: TaskId, fd: i32, position: u64) {
        if let Some(entry) = self.fd(id, fd).copied() {
            self.change_description(entry.description, |entry| entry.position = position);
        }
    }
}
