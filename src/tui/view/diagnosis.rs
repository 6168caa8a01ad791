//! How the run ended, what became of each expectation, and what the rules found.

use ratatui::text::{Line, Span};

use crate::control::{Ending, Outcome};
use crate::model::{Kind, Weight};
use crate::tui::app::App;
use crate::tui::theme::Role;
use crate::tui::{text, words};

/// Up to how many findings are listed, the last ones.
const LIMIT: usize = 200;

/// The lines of the tab.
pub fn lines(app: &App, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width).saturating_sub(1).max(10);
    let mut lines = Vec::new();
    if app.following() {
        if let Some(ending) = &app.ending {
            lines.extend(ended(app, ending, width));
        }
        for (held, sentence) in &app.verdicts {
            let (mark, role) = if *held { ("✓ ", Role::Good) } else { ("✗ ", Role::Bad) };
            lines.extend(item(app, mark, &text::clean(sentence), role, width));
        }
    }
    let faults = findings(app, Weight::Fault, width);
    let notes = findings(app, Weight::Note, width);
    if lines.is_empty() && faults.is_empty() {
        lines.push(Line::styled(" nothing wrong has been found so far", app.style(Role::Faded)));
    }
    for part in [faults, notes].into_iter().filter(|part| !part.is_empty()) {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.extend(part);
    }
    lines
}

/// The findings of one weight. What is only worth knowing stands apart and is no alarm.
fn findings(app: &App, weight: Weight, width: usize) -> Vec<Line<'static>> {
    let all = app.index.diagnoses_before(weight, app.applied());
    let (mark, role) = match weight {
        Weight::Fault => ("⚠", Role::Bad),
        Weight::Note => ("note:", Role::Strong),
    };
    let mut lines = Vec::new();
    for seq in &all[all.len().saturating_sub(LIMIT)..] {
        let Some(event) = app.log.get(u64::from(*seq)) else { continue };
        let Kind::Diagnosis { rule, text, parties, .. } = event.kind else { continue };
        let head = format!(" {mark} {} at event {}", app.words().sym(rule), seq + 1);
        lines.push(Line::styled(text::fit(&head, width), app.style(role)));
        lines.extend(item(app, "  ", &app.words().sym(text), Role::Text, width));
        let tasks = app.words().parties(parties);
        if !tasks.is_empty() {
            let tasks = format!("   tasks: {}", tasks.join(", "));
            lines.push(Line::styled(text::fit(&tasks, width), app.style(Role::Faded)));
        }
    }
    lines
}

fn ended(app: &App, ending: &Ending, width: usize) -> Vec<Line<'static>> {
    let (text, role) = match &ending.outcome {
        Outcome::Done => ("The run has ended: every task is gone.".to_owned(), Role::Strong),
        Outcome::Stuck => ("The run has ended: nothing can move any more.".to_owned(), Role::Bad),
        Outcome::Limit(which) => (format!("The run was ended: {}", text::clean(which)), Role::Bad),
        Outcome::Stopped => ("You ended the run.".to_owned(), Role::Strong),
        Outcome::Failed(why) => (format!("The lab failed: {}", text::clean(why)), Role::Bad),
    };
    let mut lines = item(app, "■ ", &text, role, width);
    if let Some(root) = ending.root {
        lines.extend(item(app, "  ", &format!("first process: {}", words::ended(root)), Role::Text, width));
    }
    if !ending.schedule.is_empty() {
        let schedule = format!("schedule: {}", text::clean(&ending.schedule));
        lines.extend(item(app, "  ", &schedule, Role::Faded, width));
    }
    if let Some(sentence) = ending.beyond_schedule() {
        lines.extend(item(app, "  ", &sentence, Role::Text, width));
    }
    for left in &ending.left {
        lines.extend(item(app, "⚠ ", &text::clean(left), Role::Bad, width));
    }
    lines
}

/// A sentence with a mark before its first line.
fn item(app: &App, mark: &str, sentence: &str, role: Role, width: usize) -> Vec<Line<'static>> {
    let wrapped = text::wrap(sentence, width.saturating_sub(3));
    let marks = std::iter::once(mark).chain(std::iter::repeat("  "));
    let line = |(text, mark): (String, &str)| {
        Line::from_iter([Span::styled(format!(" {mark}"), app.style(role)), Span::styled(text, app.style(role))])
    };
    wrapped.into_iter().zip(marks).map(line).collect()
}
