//! The signals of one task: what it blocks, what it does about which, what waits, what came last.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::signal_table;
use crate::model::{ChannelKind, Disposition, Kind, Pending, Pendings, Phase, Task, TimerKind};
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
    let width = usize::from(area.width);
    let page = Page::of(app, width);
    let room = usize::from(area.height);
    let top = app.scroll.signals.min(page.height().saturating_sub(room));
    let mut shown: Vec<Line<'_>> = page.lines.iter().skip(top).take(room).cloned().collect();
    shown.extend(page.waiting(app, top.saturating_sub(page.lines.len()), room - shown.len(), width));
    super::lines(buf, area, &shown, 0);
}

/// How many lines there are to scroll through.
pub fn height(app: &App) -> usize {
    Page::of(app, layout::columns_of(app, Pane::Signals)).height()
}

/// What there is to be scrolled through: lines, and then all that waits. Queues can be long: of these
/// only what is on the screen becomes lines.
struct Page<'a> {
    lines: Vec<Line<'static>>,
    queues: Vec<(&'a Task, &'a Pendings)>,
}

impl<'a> Page<'a> {
    fn of(app: &'a App, width: usize) -> Self {
        let Some(task) = app.subject().and_then(|id| app.world().task(id)) else {
            return Self { lines: vec![Line::styled(" no task yet", app.style(Role::Faded))], queues: Vec::new() };
        };
        let queues = queues(app, task);
        let mut lines = state(app, task, &queues, width);
        let zoomed = app.zoomed && app.focus == Pane::Signals;
        if zoomed {
            lines.extend(signal_table::lines(app, task, width));
        }
        // All that waits comes last; the first of it stands at the top in any case.
        let count = queues.iter().map(|(_, queue)| queue.len()).sum::<usize>();
        if !zoomed || count <= PENDING {
            return Self { lines, queues: Vec::new() };
        }
        let heading = format!(" all {count} that wait, in the order of delivery:");
        lines.extend([Line::default(), Line::styled(text::fit(&heading, width), app.style(Role::Strong))]);
        Self { lines, queues }
    }

    fn height(&self) -> usize {
        self.lines.len() + self.queues.iter().map(|(_, queue)| queue.len()).sum::<usize>()
    }

    /// So many of those that wait, from the `start`th on, with their places.
    fn waiting(&self, app: &App, start: usize, count: usize, width: usize) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        let mut passed = 0;
        for (holder, queue) in &self.queues {
            let from = (start + lines.len()).saturating_sub(passed);
            let row = |(n, pending): (usize, &Pending)| {
                let number = Span::styled(format!(" {:>7} ", passed + from + n + 1), app.style(Role::Faded));
                let text = text::fit(&waits(app, holder, pending), width.saturating_sub(9));
                Line::from_iter([number, Span::styled(text, app.style(Role::Signal))])
            };
            lines.extend(queue.from(from).take(count - lines.len()).enumerate().map(row));
            passed += queue.len();
        }
        lines
    }
}

/// The queues that something waits in for a task: its own, which comes first, and that of its process.
fn queues<'a>(app: &'a App, task: &'a Task) -> Vec<(&'a Task, &'a Pendings)> {
    let leader = app.world().task(task.process).unwrap_or(task);
    let both = [(task, &task.pending), (leader, &leader.shared_pending)];
    both.into_iter().filter(|(_, queue)| !queue.is_empty()).collect()
}

fn state(app: &App, task: &Task, queues: &[(&Task, &Pendings)], width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let leader = app.world().actions(task.id).unwrap_or(task);
    let sets = [
        ("blocked", task.blocked),
        ("caught", leader.with_disposition(Disposition::Handler)),
        ("ignored", leader.with_disposition(Disposition::Ignore)),
    ];
    lines.extend(sets.iter().flat_map(|(label, set)| pair(app, label, &words::signals(*set), Role::Text, width)));
    lines.extend(pending(app, task, queues, width));
    if !task.handling.is_empty() {
        let running: Vec<String> = task.handling.iter().map(ToString::to_string).collect();
        lines.extend(pair(app, "handling", &running.join(", in it "), Role::Signal, width));
    }
    lines.extend(stack(app, task, width));
    lines.extend(timers(app, task, width));
    let recent = recent(app, task, width);
    if !recent.is_empty() {
        lines.push(Line::styled(text::fit(" what came, last first:", width), app.style(Role::Faded)));
        lines.extend(recent);
    }
    lines
}

/// The stack that handlers run on that were set with `SA_ONSTACK`, if there is one.
fn stack(app: &App, task: &Task, width: usize) -> Vec<Line<'static>> {
    let Some(stack) = task.altstack else { return Vec::new() };
    let used = task.handling.get(task.on_altstack.wrapping_sub(1));
    let used = used.map_or_else(String::new, |signal| format!(": {signal} runs on it"));
    let end = stack.base.saturating_add(stack.bytes);
    let text = format!("{} B for SA_ONSTACK, {:#x} to {end:#x}{used}", stack.bytes, stack.base);
    pair(app, "stack", &text, Role::Text, width)
}

/// The timers of its process. A timerfd counts as long as the descriptor leads to it.
fn timers(app: &App, task: &Task, width: usize) -> Vec<Line<'static>> {
    let world = app.world();
    let is_timerfd = |fd: i32| {
        let channel = world.fd(task.id, fd).and_then(|fd| world.channel(fd.channel));
        channel.is_some_and(|channel| channel.kind == ChannelKind::Timerfd)
    };
    let there = world.timers(task.id).iter().filter(|timer| timer.kind != TimerKind::Fd || is_timerfd(timer.id));
    let labels = std::iter::once("timers").chain(std::iter::repeat(""));
    there
        .zip(labels)
        .flat_map(|(timer, label)| pair(app, label, &app.words().timer(task.id, timer), Role::Text, width))
        .collect()
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
fn pending(app: &App, task: &Task, queues: &[(&Task, &Pendings)], width: usize) -> Vec<Line<'static>> {
    let mut texts = Vec::new();
    if let Some(at_hand) = &task.at_hand {
        texts.push(format!("{} {} is next", at_hand.signal, app.words().origin(at_hand, task.id)));
    }
    let several = app.world().living().any(|other| other.process == task.process && other.id != task.process);
    for (holder, queue) in queues {
        let all: usize = queues.iter().map(|(_, queue)| queue.len()).sum();
        let whose = if std::ptr::eq(*queue, &raw const holder.pending) { "this thread" } else { "the process" };
        if several || all > PENDING || whose == "this thread" || queue.coalesced() > 0 {
            let lost = queue.coalesced();
            let lost = if lost == 0 { String::new() } else { format!(", {lost} more lost in them") };
            texts.push(format!("{} for {whose}{lost}:", queue.len()));
        }
        let room = PENDING / queues.len();
        texts.extend(queue.from(0).take(room).map(|pending| waits(app, holder, pending)));
        let more = queue.len().saturating_sub(room);
        texts.extend((more > 0).then(|| format!("and {more} more")));
    }
    if texts.is_empty() {
        return pair(app, "pending", "none", Role::Text, width);
    }
    let labels = std::iter::once("pending").chain(std::iter::repeat(""));
    texts.iter().zip(labels).flat_map(|(text, label)| pair(app, label, text, Role::Signal, width)).collect()
}

/// `SIGRTMIN from parent, value 3`.
fn waits(app: &App, holder: &Task, pending: &Pending) -> String {
    let lost = if pending.coalesced == 0 { String::new() } else { format!(" (and {} coalesced)", pending.coalesced) };
    format!("{} {}{lost}", pending.signal, app.words().origin(pending, holder.id))
}

/// The last phases as sentences, newest first.
fn recent(app: &App, task: &Task, width: usize) -> Vec<Line<'static>> {
    let events = app.index.signals_before(task.id, app.applied()).iter().rev().take(RECENT);
    let mut lines = Vec::new();
    for (seq, depth) in events {
        let Some(event) = app.log.get(u64::from(*seq)) else { continue };
        let (role, depth) = match event.kind {
            Kind::Signal { phase: Phase::Default, .. } => (Role::Bad, *depth),
            // The end of a handler stands where its beginning does.
            Kind::Signal { phase: Phase::Returned | Phase::Left, .. } => (Role::Signal, depth.saturating_sub(1)),
            Kind::Signal { .. } | Kind::Interrupted { .. } => (Role::Signal, *depth),
            _ if event.failed() => (Role::Bad, *depth),
            _ => (Role::Text, *depth),
        };
        // What happened inside of a handler is indented, once for each that was entered.
        let number = format!(" {} {}", seq + 1, "│ ".repeat(usize::from(depth).min(4)));
        let hang = text::width(&number);
        let wrapped = text::wrap(&app.words().brief(u64::from(*seq), event), width.saturating_sub(hang));
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
