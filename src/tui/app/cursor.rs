//! The cursor: how much of the log the screen shows.
//!
//! It stands between two rows of the timeline, or at the end, where it follows a run that goes on.
//! `line` events are no rows: those that follow the last row shown are already applied, so that the
//! script marks what each process is about to do, as it did when the run itself stood there.

use crate::model::{Event, Kind, Log, TaskId, World};

use super::App;

/// Up to how many events are applied one by one rather than from a kept world.
const NEAR: u64 = 4096;

/// The cursor of an [`App`].
#[derive(Debug, Default)]
pub struct Cursor {
    /// How many rows are shown; none is all of them.
    row: Option<usize>,
    /// The world there; none at the end.
    past: Option<World>,
}

impl Cursor {
    /// How many events of the log lie before it.
    pub fn applied(&self, log: &Log) -> u64 {
        self.past.as_ref().map_or_else(|| log.len(), World::applied)
    }
}

impl App {
    /// Whether the cursor is at the end, so that new events are shown as they come.
    pub const fn following(&self) -> bool {
        self.cursor.row.is_none()
    }

    /// How many rows of the timeline lie before the cursor.
    pub fn row(&self) -> usize {
        self.cursor.row.unwrap_or(self.index.rows().len())
    }

    /// How many events lie before the cursor.
    pub fn applied(&self) -> u64 {
        self.world().applied()
    }

    /// The world at the cursor.
    pub fn world(&self) -> &World {
        self.cursor.past.as_ref().unwrap_or(self.log.head())
    }

    /// The row before the cursor: what happened last.
    pub fn last_row(&self) -> Option<(u64, &Event)> {
        let seq = u64::from(*self.index.rows().get(self.row().checked_sub(1)?)?);
        self.log.get(seq).map(|event| (seq, event))
    }

    /// The number of the last row, as people count: from 1.
    pub fn event_number(&self) -> u64 {
        self.last_row().map_or(0, |(seq, _)| seq + 1)
    }

    /// The number that [`event_number`](Self::event_number) has at the end.
    pub fn event_count(&self) -> u64 {
        self.index.rows().last().map_or(0, |seq| u64::from(*seq) + 1)
    }

    /// Puts the cursor after so many rows.
    pub fn seek_row(&mut self, row: usize) {
        self.scroll.script = None;
        let rows = self.index.rows();
        let Some(&next) = rows.get(row) else {
            self.cursor = Cursor::default();
            return;
        };
        let target = u64::from(next);
        let world =
            self.cursor.past.take().filter(|world| world.applied() <= target && target - world.applied() <= NEAR);
        let world = match world {
            Some(mut world) => {
                for (_, event) in self.log.range(world.applied()..target) {
                    world.apply(event, self.log.payload(event));
                }
                world
            }
            None => self.log.world_at(target),
        };
        self.cursor = Cursor { row: Some(row), past: Some(world) };
    }

    /// Puts the cursor after the event with this number, counted from 1.
    pub fn seek_event(&mut self, number: u64) {
        self.seek_row(self.index.rows_before(number));
    }

    /// Moves the cursor by so many rows.
    pub fn seek_by(&mut self, rows: isize) {
        self.seek_row(self.row().saturating_add_signed(rows));
    }

    /// Puts the cursor after the next row of a task; whether there is one.
    pub fn seek_next_of(&mut self, task: TaskId) -> bool {
        let next = self.index.next_of_task(task, self.applied());
        if let Some(seq) = next {
            self.seek_event(seq + 1);
        }
        next.is_some()
    }

    /// The task that the panes about one task show: the chosen one, else the one that moved last.
    pub fn subject(&self) -> Option<TaskId> {
        self.chosen_task.filter(|task| self.world().task(*task).is_some()).or_else(|| self.mover())
    }

    fn mover(&self) -> Option<TaskId> {
        let rows = self.index.rows().get(..self.row())?;
        let mut recent = rows.iter().rev().take(64).filter_map(|seq| self.log.get(u64::from(*seq)));
        recent.find_map(mover_of).or_else(|| self.world().living().next().map(|task| task.id))
    }
}

fn mover_of(event: &Event) -> Option<TaskId> {
    match event.kind {
        Kind::Spawn { child, .. } if event.task == TaskId::LAB => Some(child),
        _ if event.task == TaskId::LAB => None,
        _ => Some(event.task),
    }
}
