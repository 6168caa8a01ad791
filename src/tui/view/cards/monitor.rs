//! Descriptors that tell of something else: what they tell of, and whether they can be read.

use ratatui::text::Line;

use super::Card;
use crate::model::{EVENTFD_MAX, Interest, Monitor, State, TaskId};
use crate::tui::app::Holder;
use crate::tui::theme::Role;

/// How many descriptors of an interest list a card shows.
const SHOWN: usize = 4;

pub(super) fn lines(card: &Card<'_>) -> Vec<Line<'static>> {
    let Some(monitor) = card.channel.monitor.as_deref() else { return vec![card.head(&[]), card.people()] };
    let (right, details) = match monitor {
        Monitor::Counter { count, semaphore } => (format!("count {}", (*count).max(0)), counter(*count, *semaphore)),
        Monitor::Signals(mask) => {
            let signals: Vec<String> = mask.iter().map(|signal| signal.to_string()).collect();
            (ready(card), vec![format!("takes {}", signals.join(" "))])
        }
        Monitor::Timer { due, interval, ticks } => (ready(card), vec![timer(card, *due, *interval, *ticks)]),
        Monitor::Unseen(count) => (format!("{count} unseen"), Vec::new()),
        Monitor::Task(task) => (ready(card), vec![process(card, *task)]),
        Monitor::Interests(list) => (ready(card), interests(card, list)),
        // Terminals have a card of their own.
        Monitor::Terminal { .. } => (String::new(), Vec::new()),
    };
    let mut lines = vec![card.head(&[right])];
    lines.extend(details.iter().filter(|text| !text.is_empty()).map(|text| card.line(text, Role::Bytes)));
    lines.extend(card.waiting());
    lines.push(card.people());
    lines
}

/// What a read takes, and how near the count is to its end.
fn counter(count: i128, semaphore: bool) -> Vec<String> {
    let takes = if semaphore { "a read takes 1 (EFD_SEMAPHORE)" } else { "a read takes all" };
    let full = if count >= i128::from(EVENTFD_MAX) { " · full: 2^64 - 2" } else { "" };
    vec![format!("{takes}{full}")]
}

/// `readable`, for those who hold it; signals are pending for each of them by itself. What the log does not
/// say is not denied.
fn ready(card: &Card<'_>) -> String {
    let world = card.app.world();
    let holders = card.channels.holders(card.channel.id);
    let known = |holder: &Holder| world.is_readable(holder.task, holder.fd);
    match holders.iter().find(|holder| known(holder) == Some(true)) {
        Some(holder) if matches!(card.channel.monitor.as_deref(), Some(Monitor::Signals(_))) => {
            format!("readable for {}", card.task(holder.task))
        }
        Some(_) => "readable".to_owned(),
        None if holders.iter().any(|holder| known(holder).is_none()) => "readable? not known".to_owned(),
        None => "not readable".to_owned(),
    }
}

fn timer(card: &Card<'_>, due: Option<u64>, interval: u64, ticks: u64) -> String {
    let now = card.app.world().t_ns();
    let next = match due {
        None if ticks == 0 => "disarmed".to_owned(),
        None => "expires no more".to_owned(),
        Some(due) if due <= now => "about to expire".to_owned(),
        Some(due) => format!("expires in {}", duration(due - now)),
    };
    let again =
        if interval > 0 && due.is_some() { format!(", then every {}", duration(interval)) } else { String::new() };
    let expired = match ticks {
        0 => String::new(),
        1 => " · has expired once".to_owned(),
        _ => format!(" · has expired {ticks} times"),
    };
    format!("{next}{again}{expired}")
}

/// `1.5 s`, `20 ms`, `3 µs`.
fn duration(nanos: u64) -> String {
    let (unit, size) = match nanos {
        1_000_000_000.. => ("s", 1e9),
        1_000_000.. => ("ms", 1e6),
        _ => ("µs", 1e3),
    };
    let number = format!("{:.1}", nanos as f64 / size);
    format!("{} {unit}", number.strip_suffix(".0").unwrap_or(&number))
}

fn process(card: &Card<'_>, task: Option<TaskId>) -> String {
    let Some(task) = task else { return "a process outside of the run".to_owned() };
    let state = card.app.world().task(task).map(|task| task.state);
    let ended = match state {
        Some(State::Zombie) => "has ended",
        Some(State::Dead) => "has ended and was reaped",
        _ => "lives",
    };
    format!("{} {ended}", card.task(task))
}

/// What is waited for: `5 p.read: in, readable`.
fn interests(card: &Card<'_>, list: &[Interest]) -> Vec<String> {
    let shown = if card.inside { SHOWN } else { list.len() };
    let world = card.app.world();
    let holder = card.channels.holders(card.channel.id).first().map(|holder| holder.task);
    let line = |interest: &Interest| {
        let words = [(1, "in"), (2, "pri"), (4, "out"), (0x2000, "rdhup"), (1 << 30, "oneshot"), (1 << 31, "et")];
        let set: Vec<&str> =
            words.iter().filter(|(bit, _)| interest.events & bit != 0).map(|(_, word)| *word).collect();
        let name = interest.to.map_or_else(|| "?".to_owned(), |to| card.app.words().channel(to));
        let held = holder.and_then(|task| {
            let fd = world.fds(task).find(|fd| Some(fd.description) == interest.description)?;
            Some(world.is_readable(task, fd.fd))
        });
        let ready = match held {
            Some(Some(true)) if interest.events & Interest::IN != 0 => ", readable",
            Some(None) if interest.events & Interest::IN != 0 => ", not known whether readable",
            _ => "",
        };
        format!("{} {name}: {}{ready}", interest.fd, set.join(" "))
    };
    let mut lines: Vec<String> = list.iter().take(shown).map(line).collect();
    if list.len() > shown {
        lines.push(format!("and {} more", list.len() - shown));
    }
    if list.is_empty() {
        lines.push("waits for nothing".to_owned());
    }
    lines
}
