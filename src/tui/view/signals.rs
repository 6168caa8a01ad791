//! The signals of one task: what it blocks, what it does about which, what waits, what came last.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::signal_table;
use crate::model::{Disposition, Kind, Pending, Phase, Task, World};
use crate::tui::app::{App, Pane};
use crate::tui::theme::Role;
use crate::tui::{layout, text, words};

/// Up to how many of the last events are listed.
const RECENT: usize = 64;
/// Up to how many pending signals are listed.
const PENDING: usize = 16;
/// Columns of the words at the left.
const LABEL: usize = 9;

/// Draws the pane.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    super::lines(buf, area, &lines(app, usize::from(area.width)), app.scroll.signals);
}

/// How many lines there are to scroll through.
pub fn height(app: &App) -> usize {
    lines(app, layout::columns_of(app, Pane::Signals)).len()
}

fn lines(app: &App, width: usize) -> Vec<Line<'static>> {
    let Some(task) = app.subject().and_then(|id| app.world().task(id)) else {
        return vec![Line::styled(" no task yet", app.style(Role::Faded))];
    };
    let mut lines = Vec::new();
    let leader = app.world().task(task.process).unwrap_or(task);
    lines.extend(pair(app, "blocked", &words::signals(task.blocked), Role::Text, width));
    lines.extend(pair(
        app,
        "caught",
        &words::signals(leader.with_disposition(Disposition::Handler)),
        Role::Text,
        width,
    ));
    lines.extend(pair(
        app,
        "ignored",
        &words::signals(leader.with_disposition(Disposition::Ignore)),
        Role::Text,
        width,
    ));
    lines.extend(pending(app, app.world(), task, width));
    if !task.handling.is_empty() {
        let running: Vec<String> = task.handling.iter().map(ToString::to_string).collect();
        lines.extend(pair(app, "handling", &running.join(", in it "), Role::Signal, width));
    }
    let recent = recent(app, task, width);
    if !recent.is_empty() {
        lines.push(Line::styled(text::fit(" what came, last first:", width), app.style(Role::Faded)));
        lines.extend(recent);
    }
    if app.zoomed && app.focus == Pane::Signals {
        lines.extend(signal_table::lines(app, task, width));
    }
    lines
}

fn pair(app: &App, label: &str, value: &str, role: Role, width: usize) -> Vec<Line<'static>> {
    let none = value == "none";
    let style = app.style(if none { Role::Faded } else { role });
    let wrapped = text::wrap(value, width.saturating_sub(LABEL + 2));
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    wrapped
        .into_iter()
        .zip(labels)
        .map(|(value, label)| {
            Line::from_iter([
                Span::styled(format!(" {label:LABEL$} "), app.style(Role::Faded)),
                Span::styled(value, style),
            ])
        })
        .collect()
}

/// What waits, for the task itself and then for its process, each in the order in which the kernel
/// would deliver it: faults first, then the lowest number, instances of one signal as they came
/// (signal(7), "Queueing and delivery semantics for real-time signals").
fn pending(app: &App, world: &World, task: &Task, width: usize) -> Vec<Line<'static>> {
    let leader = world.task(task.process).filter(|leader| leader.id != task.id);
    let mut all = in_order(&task.pending);
    all.extend(leader.map(|leader| in_order(&leader.pending)).unwrap_or_default());
    let texts: Vec<String> = all
        .iter()
        .take(PENDING)
        .map(|pending| {
            let value = if pending.value == 0 { String::new() } else { format!(" value {}", pending.value) };
            format!("{} from {}{value}", pending.signal, app.words().sender(pending.from))
        })
        .chain((all.len() > PENDING).then(|| format!("and {} more", all.len() - PENDING)))
        .collect();
    if texts.is_empty() {
        return pair(app, "pending", "none", Role::Text, width);
    }
    let labels = std::iter::once("pending").chain(std::iter::repeat(""));
    texts.iter().zip(labels).flat_map(|(text, label)| pair(app, label, text, Role::Signal, width)).collect()
}

fn in_order(pending: &[Pending]) -> Vec<Pending> {
    let faults = [4, 5, 7, 8, 11, 31];
    let mut all = pending.to_vec();
    all.sort_by_key(|pending| (!faults.contains(&pending.signal.number()), pending.signal));
    all
}

/// The last phases as sentences, newest first.
fn recent(app: &App, task: &Task, width: usize) -> Vec<Line<'static>> {
    let events = app.index.signals_before(task.id, app.applied()).iter().rev().take(RECENT);
    let mut lines = Vec::new();
    for seq in events {
        let Some(event) = app.log.get(u64::from(*seq)) else { continue };
        let Kind::Signal { phase, signal, from, code, .. } = event.kind else { continue };
        let role = if phase == Phase::Default { Role::Bad } else { Role::Signal };
        let number = format!(" {} ", seq + 1);
        let hang = text::width(&number);
        let cause = words::terminal::cause(phase, signal, from, code);
        let sentence = cause.unwrap_or_else(|| app.words().phase(phase, signal, from));
        let wrapped = text::wrap(&sentence, width.saturating_sub(hang));
        let mut label = Some(number);
        for piece in wrapped {
            let label = label.take().unwrap_or_else(|| " ".repeat(hang));
            lines.push(Line::from_iter([
                Span::styled(label, app.style(Role::Faded)),
                Span::styled(piece, app.style(role)),
            ]));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Signal;

    #[test]
    fn pending_signals_stand_as_they_will_be_delivered() {
        let pending =
            |name: &str, value| Pending { signal: Signal::parse(name).unwrap_or(Signal::HUP), from: None, value };
        let queue =
            [pending("RTMIN+1", 1), pending("RTMIN", 2), pending("TERM", 0), pending("RTMIN", 3), pending("SEGV", 0)];
        let order: Vec<(String, i64)> =
            in_order(&queue).iter().map(|pending| (pending.signal.to_string(), pending.value)).collect();
        let order: Vec<(&str, i64)> = order.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(order, [("SIGSEGV", 0), ("SIGTERM", 0), ("SIGRTMIN", 2), ("SIGRTMIN", 3), ("SIGRTMIN+1", 1)]);
    }
}
