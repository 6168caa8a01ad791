//! The border of a pane and what its title says.

use crate::model::Weight;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::symbols::merge::MergeStrategy;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Widget};

use crate::tui::app::{App, Pane, Tab};
use crate::tui::text;
use crate::tui::theme::Role;

/// Draws border and title.
pub fn render(app: &App, pane: Pane, rect: Rect, buf: &mut Buffer) {
    let focused = app.focus == pane;
    let (border, role) = if focused { (BorderType::Thick, Role::Focus) } else { (BorderType::Plain, Role::Border) };
    let title = if pane == Pane::Story { tabs(app, focused) } else { Line::from(title(app, pane, rect, focused)) };
    // Inside the border nothing of an earlier frame or of a neighbour may be left.
    Block::bordered()
        .border_type(border)
        .border_style(app.style(role))
        .merge_borders(MergeStrategy::Exact)
        .title(title)
        .render(rect, buf);
}

fn title(app: &App, pane: Pane, rect: Rect, focused: bool) -> Span<'static> {
    let subject = || app.subject().map(|task| app.words().task(task));
    let of = |name: &str| subject().map_or_else(|| name.to_owned(), |task| format!("{name}: {task}"));
    let name = match pane {
        Pane::Processes if app.shows_jobs() => "Processes by group".to_owned(),
        Pane::Processes => "Processes".to_owned(),
        Pane::Channels if app.zoomed && app.hex => "Channels: contents in hex".to_owned(),
        Pane::Channels if app.zoomed => "Channels: contents".to_owned(),
        Pane::Channels => "Channels".to_owned(),
        Pane::Signals => of("Signals"),
        Pane::Timeline => "Timeline".to_owned(),
        Pane::Script if app.script.is_empty() => of("Calls"),
        Pane::Script => of("Script"),
        Pane::Story => String::new(),
    };
    let text = text::fit(&format!(" {} {name} ", pane.index() + 1), usize::from(rect.width.saturating_sub(4)));
    Span::styled(text, app.style(if focused { Role::Focus } else { Role::Text }))
}

/// The tabs as text, each with its columns counted from the corner of the pane.
fn labels(app: &App) -> Vec<(Tab, String)> {
    let found = app.index.diagnoses_before(Weight::Fault, app.applied()).len();
    Tab::ALL
        .into_iter()
        .map(|tab| {
            let title = match tab {
                Tab::Diagnosis if found > 0 => format!("Diagnosis {found}"),
                Tab::Output if app.typing => "Terminal: typing".to_owned(),
                Tab::Output if app.emulator.is_there() => "Terminal".to_owned(),
                tab => tab.title().to_owned(),
            };
            (tab, if tab == app.tab { format!("[{title}]") } else { format!(" {title} ") })
        })
        .collect()
}

fn tabs(app: &App, focused: bool) -> Line<'static> {
    let number = Span::styled(" 6 ", app.style(if focused { Role::Focus } else { Role::Text }));
    let tabs = labels(app).into_iter().map(|(tab, label)| {
        let found = tab == Tab::Diagnosis && !app.index.diagnoses_before(Weight::Fault, app.applied()).is_empty();
        let role = match (tab == app.tab, found) {
            (true, _) if focused => Role::Focus,
            (true, _) => Role::Strong,
            (false, true) => Role::Bad,
            (false, false) => Role::Text,
        };
        Span::styled(label, app.style(role))
    });
    std::iter::once(number).chain(tabs).collect()
}

/// The tab whose title is at a column of the screen.
pub fn tab_at(app: &App, rect: Rect, column: u16) -> Option<Tab> {
    let mut x = usize::from(rect.x) + 1 + 3;
    for (tab, label) in labels(app) {
        let end = x + text::width(&label);
        if (x..end).contains(&usize::from(column)) {
            return Some(tab);
        }
        x = end;
    }
    None
}
