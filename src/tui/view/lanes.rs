//! The lanes of the timeline: which tasks have one, where, and what each is doing at each row.

use crate::model::{DefaultAction, Event, Kind, Phase, Signal, State, TaskId};
use crate::tui::app::App;
use crate::tui::text;

/// Columns of a lane, at least and at most.
const NARROW: usize = 13;
const BROAD: usize = 30;

/// A task's lane.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Whose.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// The column of its line.
    pub x: u16,
}

/// All lanes that fit.
#[derive(Debug, Default)]
pub struct Lanes {
    /// From the left, in the order of birth.
    pub shown: Vec<Lane>,
    /// How many columns each has.
    pub width: u16,
    /// How many tasks with events on the screen found no room.
    pub more: usize,
}

/// What a lane's task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It is not there yet, or no more.
    Absent,
    /// It runs, or could.
    Moving,
    /// It sleeps in a call.
    Blocked,
    /// Job control has stopped it.
    Stopped,
    /// It has ended and was not waited for.
    Zombie,
}

/// What a lane's task is doing, and in how many signal handlers it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// What it does.
    pub doing: Doing,
    /// How many handlers are running.
    pub handlers: usize,
}

/// The tasks that an event is about.
pub fn parties(event: &Event) -> [Option<TaskId>; 2] {
    let own = Some(event.task);
    match event.kind {
        Kind::Spawn { child, .. } | Kind::Reap { child, .. } => [own, Some(child)],
        Kind::Signal { phase: Phase::Generated, from, .. } | Kind::Pass { from, .. } => [own, from],
        Kind::Diagnosis { .. } | Kind::End { .. } | Kind::Asleep { .. } => [None, None],
        _ => [own, None],
    }
    .map(|task| task.filter(|task| *task != TaskId::LAB))
}

impl Lanes {
    /// The lanes for these events, in `columns` columns from `x` on.
    pub fn of(app: &App, events: &[(u64, Event)], x: u16, columns: u16) -> Self {
        let columns = usize::from(columns);
        let capacity = (columns / NARROW).max(1);
        let mut tasks: Vec<TaskId> = events.iter().flat_map(|(_, event)| parties(event)).flatten().collect();
        let meets = |event: &Event| matches!(event.kind, Kind::Connect { .. } | Kind::Accept { .. });
        tasks.extend(events.iter().filter(|(_, it)| meets(it)).filter_map(|(seq, _)| app.index.other(*seq)));
        tasks.extend(app.subject());
        tasks.sort_unstable();
        tasks.dedup();
        if tasks.len() < capacity {
            let idle = app.world().living().map(|task| task.id).filter(|id| tasks.binary_search(id).is_err());
            let idle: Vec<TaskId> = idle.take(capacity - tasks.len()).collect();
            tasks.extend(idle);
            tasks.sort_unstable();
        }
        let more = tasks.len().saturating_sub(capacity);
        let around = app.subject().and_then(|task| tasks.binary_search(&task).ok()).unwrap_or(0);
        let first = around.saturating_sub(capacity / 2).min(more);
        let shown = &tasks[first..(first + capacity).min(tasks.len())];
        let width = (columns / shown.len().max(1)).clamp(NARROW.min(columns.max(1)), BROAD);
        let lane = |(n, task): (usize, &TaskId)| Lane {
            task: *task,
            name: app.words().task(*task),
            x: x + (n * width + width.min(NARROW) / 2) as u16,
        };
        Self { shown: shown.iter().enumerate().map(lane).collect(), width: width as u16, more }
    }

    /// The column of a task's lane.
    pub fn x(&self, task: TaskId) -> Option<u16> {
        self.shown.iter().find(|lane| lane.task == task).map(|lane| lane.x)
    }

    /// The name over a lane, and the column where it begins.
    pub fn header(&self, lane: &Lane, left: u16) -> (u16, String) {
        let name = text::fit(&lane.name, usize::from(self.width.saturating_sub(1)));
        ((lane.x.saturating_sub(text::width(&name) as u16 / 2)).max(left), name)
    }

    /// What each lane's task does after each event. Only the world at the cursor is known; from
    /// there the events are taken back one by one, or followed.
    pub fn lives(&self, app: &App, events: &[(u64, Event)]) -> Vec<Vec<Life>> {
        let here = app.applied();
        let now: Vec<Life> = self.shown.iter().map(|lane| at_cursor(app, lane.task)).collect();
        let past = events.partition_point(|(seq, _)| *seq < here);
        let mut lives = vec![now.clone(); events.len()];
        let mut state = now.clone();
        for n in (0..past).rev() {
            lives[n].clone_from(&state);
            for (lane, life) in self.shown.iter().zip(&mut state) {
                *life = step(lane.task, &events[n].1, *life, false);
            }
        }
        state = now;
        for n in past..events.len() {
            for (lane, life) in self.shown.iter().zip(&mut state) {
                *life = step(lane.task, &events[n].1, *life, true);
            }
            lives[n].clone_from(&state);
        }
        lives
    }
}

fn at_cursor(app: &App, task: TaskId) -> Life {
    let Some(task) = app.world().task(task) else { return Life { doing: Doing::Absent, handlers: 0 } };
    let doing = match task.state {
        State::Running => Doing::Moving,
        State::Blocked(_) => Doing::Blocked,
        State::Stopped(_) => Doing::Stopped,
        State::Zombie => Doing::Zombie,
        State::Dead => Doing::Absent,
    };
    Life { doing, handlers: task.handling.len() }
}

/// A task's life after an event, or (not `forward`) before it.
fn step(task: TaskId, event: &Event, life: Life, forward: bool) -> Life {
    let own = event.task == task;
    if event.failed() {
        // Whoever slept in the call does so no more.
        let wakes = own && forward && life.doing == Doing::Blocked;
        return if wakes { Life { doing: Doing::Moving, ..life } } else { life };
    }
    let to = |before, after| Life { doing: if forward { after } else { before }, ..life };
    match event.kind {
        Kind::Spawn { child, .. } if child == task => to(Doing::Absent, Doing::Moving),
        Kind::Reap { child, .. } if child == task => to(Doing::Zombie, Doing::Absent),
        Kind::Exit { .. } if own => to(Doing::Moving, Doing::Zombie),
        Kind::Block { .. } if own => to(Doing::Moving, Doing::Blocked),
        Kind::Unblock { .. } if own => to(Doing::Blocked, Doing::Moving),
        Kind::Signal { phase, signal, .. } if own => on_signal(phase, signal, life, forward),
        _ => life,
    }
}

fn on_signal(phase: Phase, signal: Signal, life: Life, forward: bool) -> Life {
    let up = Life { handlers: life.handlers + 1, ..life };
    let down = Life { handlers: life.handlers.saturating_sub(1), ..life };
    match (phase, forward) {
        (Phase::Handler, true) | (Phase::Returned | Phase::Left, false) => up,
        (Phase::Handler, false) | (Phase::Returned | Phase::Left, true) => down,
        (Phase::Default, _) if signal.default_action() == DefaultAction::Stop => {
            Life { doing: if forward { Doing::Stopped } else { Doing::Moving }, ..life }
        }
        (Phase::Generated, true) if signal == Signal::CONT && life.doing == Doing::Stopped => {
            Life { doing: Doing::Moving, ..life }
        }
        _ => life,
    }
}
