//! Changes of shared memory that no instruction was seen to make: those that a call made, and those that
//! are found when a task stops.

use super::decode::Ended;
use super::recorder::Outcome;
use super::tracee::Tracee;
use super::tracer::Tracer;
use super::watch::Region;
use crate::model::{Channel, ChannelId, ChannelKind, Kind, Task, TaskId, Use};
use crate::sys::memory;

/// How many bytes of a mapping are compared, at most.
const COMPARED: usize = 1 << 20;
/// The same of a file: what stands in it before the run has to be written into the log first.
const COMPARED_OF_FILE: usize = 64 << 10;
/// How many bytes a cell has.
const CELL: usize = 8;

/// How many bytes of a mapping are compared.
const fn compared(kind: ChannelKind) -> usize {
    match kind {
        ChannelKind::File => COMPARED_OF_FILE,
        _ => COMPARED,
    }
}

/// The first place from `at` on where two stretches of the same length differ. Most are equal, and whole
/// stretches are compared fast.
fn first_difference(before: &[u8], now: &[u8], at: usize) -> Option<usize> {
    const STRETCH: usize = 4096;
    let mut from = at;
    while from < now.len() {
        let to = (from + STRETCH).min(now.len());
        if now[from..to] != before[from..to] {
            return (from..to).find(|index| now[*index] != before[*index]);
        }
        from = to;
    }
    None
}

impl Tracer {
    /// A call has changed memory that it was told of.
    pub(super) fn write_changes_by_call(&mut self, tid: i32, outcome: Outcome) {
        let Some(task) = self.watched_task(tid) else { return };
        let process = self.process_of(task);
        for region in self.watch.lent_regions(process, tid) {
            self.write_changes(tid, task, &region, Some(outcome));
        }
    }

    /// Writes what differs from what is known of a mapping.
    fn write_changes(&mut self, tid: i32, task: TaskId, region: &Region, outcome: Option<Outcome>) {
        let Some(channel) = self.world().channel(region.channel).filter(|it| self.is_compared(it)) else { return };
        let beyond = (compared(channel.kind) as u64).saturating_sub(region.offset);
        let length = usize::try_from(region.bytes.min(beyond)).unwrap_or(usize::MAX);
        let mut now = channel.memory.read(region.offset, length);
        now.resize(length, 0);
        // What stands in a file has to be found out; other memory holds what the run has put there.
        let is_known = channel.kind != ChannelKind::File;
        let read = memory::read_untouched(tid, region.address, region.offset, is_known, &mut now);
        let Some(read) = read else { return };
        now.truncate(read);
        if channel.kind == ChannelKind::Sem {
            if let Some(value) = now.first_chunk().filter(|_| region.offset == 0) {
                self.write_posix_value(task, region.channel, i32::from_ne_bytes(*value));
            }
            return;
        }
        let before = channel.memory.read(region.offset, now.len());
        let mut at = 0;
        while let Some(start) = first_difference(&before, &now, at) {
            let end = self.end_of_change(&before, &now, start);
            let data = self.recorder.keep(&[&before[start..end], &now[start..end]].concat());
            let kind = Kind::Store { channel: region.channel, offset: region.offset + start as u64, data };
            match outcome {
                Some(outcome) => self.recorder.of_call(task, outcome, kind),
                None => self.recorder.plain(task, kind),
            }
            at = end;
        }
    }

    /// Whether it is known what stands in a piece of memory; in a file, from its first mapping on that may
    /// be written to.
    fn is_compared(&self, channel: &Channel) -> bool {
        match channel.kind {
            ChannelKind::File => self.watch.files.contains(&channel.id),
            kind => kind.is_memory() || kind == ChannelKind::Sem,
        }
    }

    /// A call has written to a file, which changes the memory of all who have mapped it.
    pub(super) fn write_changes_of_file(&mut self, task: TaskId, outcome: Outcome, file: ChannelId) {
        if self.watch.files.is_empty() || !self.watch.files.contains(&file) {
            return;
        }
        let mapping = |user: &Task| user.uses.iter().find(|used| used.channel == file && used.access.reads()).copied();
        let known = self.world().users(file).find_map(|user| Some((user.id, mapping(user)?)));
        let Some((holder, mapped)) = known else { return };
        if let Some(tid) = self.tracees.iter().find(|(_, tracee)| tracee.task == holder).map(|(tid, _)| *tid) {
            self.write_changes(tid, task, &Region::of(&mapped), Some(outcome));
        }
    }

    /// Where a change ends that begins at `start`: what lies within a cell of it belongs to it.
    fn end_of_change(&self, before: &[u8], now: &[u8], start: usize) -> usize {
        let limit = start.saturating_add(self.options.capture.max(CELL)).min(now.len());
        let mut end = start + 1;
        let mut index = end;
        while index < limit && index < end + CELL {
            if now[index] != before[index] {
                end = index + 1;
            }
            index += 1;
        }
        end
    }

    /// Whether changes of memory that nobody watches are looked for at every stop: only where one task
    /// moves at a time can be said whose they are.
    pub const fn compare_memory(&mut self, compare: bool) {
        self.watch.compare = compare;
    }

    /// Writes what a task has changed since it was seen last.
    pub(super) fn write_changes_since(&mut self, tid: i32) {
        if !self.watch.compare || self.is_watched(tid) {
            return;
        }
        let Some(task) = self.task_of(tid) else { return };
        let shared = |used: &&Use| used.bytes > 0 && used.access.writes();
        if !self.world().uses(task).iter().any(|used| shared(&used)) {
            return;
        }
        let uses: Vec<Use> = self.world().uses(task).iter().filter(shared).copied().collect();
        for used in uses {
            self.note_size(task, &used);
            let by = if self.may_be_others(tid, used.channel) { TaskId::LAB } else { task };
            self.write_changes(tid, by, &Region::of(&used), None);
        }
    }

    /// Whether somebody else has moved too and could have changed this memory.
    fn may_be_others(&self, tid: i32, channel: ChannelId) -> bool {
        let could =
            |task: TaskId| self.world().uses(task).iter().any(|used| used.channel == channel && used.access.writes());
        let moves = |other: i32, tracee: &Tracee| tracee.is_moving() || (tracee.blocked && self.is_waking(other));
        self.tracees.iter().any(|(other, tracee)| *other != tid && could(tracee.task) && moves(*other, tracee))
    }

    /// What stands in memory that is mapped for the first time.
    pub(super) fn write_found_bytes(&mut self, ended: &Ended<'_>, channel: ChannelId, address: u64) {
        let Some(kind) = self.world().channel(channel).map(|channel| channel.kind) else { return };
        let Some(used) = self.mapped_at(ended.task, address).filter(|used| used.access.reads()) else { return };
        if kind == ChannelKind::File && used.access.writes() {
            self.watch.files.insert(channel);
        }
        if kind.is_memory() || self.watch.files.contains(&channel) {
            self.write_changes(ended.tid, ended.task, &Region::of(&used), Some(ended.outcome()));
        }
    }

    /// Says once of a segment that it is too large to be compared.
    fn note_size(&mut self, task: TaskId, used: &Use) {
        let Some(channel) = self.world().channel(used.channel) else { return };
        let (compared, name) = (compared(channel.kind), channel.name);
        if used.bytes > compared as u64 && self.watch.noted.insert(used.channel) {
            let text = format!(
                "{} has {} bytes: changes are looked for in the first {compared} only; --watch-memory shows all",
                self.recorder.names().get(name),
                used.bytes
            );
            self.recorder.note(task, &text);
        }
    }
}
