//! Changes of shared memory that no instruction was seen to make: those that a call made, and those that
//! are found when a task stops.

use super::decode::Ended;
use super::recorder::Outcome;
use super::tracee::Tracee;
use super::tracer::Tracer;
use super::watch::Region;
use crate::model::{ChannelId, ChannelKind, Kind, TaskId, Use};
use crate::sys::memory;

/// How many bytes of a mapping are compared, at most.
const COMPARED: usize = 64 << 10;
/// How many bytes a cell has.
const CELL: usize = 8;

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
        // What stood in a file before the run nobody has read.
        let is_known = |kind: ChannelKind| kind.is_memory() || kind == ChannelKind::Sem;
        let Some(channel) = self.world().channel(region.channel).filter(|it| is_known(it.kind)) else { return };
        let length = usize::try_from(region.bytes).unwrap_or(usize::MAX).min(COMPARED);
        let mut now = vec![0; length];
        let Ok(read) = memory::read(tid, region.address, &mut now) else { return };
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
        let memory = self.world().channel(channel).is_some_and(|channel| channel.kind.is_memory());
        let readable = self.mapped_at(ended.task, address).filter(|used| memory && used.access.reads());
        if let Some(used) = readable {
            self.write_changes(ended.tid, ended.task, &Region::of(&used), Some(ended.outcome()));
        }
    }

    /// Says once of a segment that it is too large to be compared.
    fn note_size(&mut self, task: TaskId, used: &Use) {
        if used.bytes > COMPARED as u64 && self.watch.noted.insert(used.channel) {
            let name = self.world().channel(used.channel).map(|channel| channel.name);
            let name = name.map_or("?", |name| self.recorder.names().get(name));
            let text = format!(
                "{name} has {} bytes: changes are looked for in the first {COMPARED} only; --watch-memory shows all",
                used.bytes
            );
            self.recorder.note(task, &text);
        }
    }
}
