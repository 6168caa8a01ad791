//! The run's terminal, as it would look in a window of its own.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::put;
use crate::tui::app::App;
use crate::tui::theme::{Role, Theme};

/// Draws the part of the screen that has the cursor in it.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    let Some(screen) = app.emulator.screen() else {
        put(buf, area, area.x + 1, area.y, "the terminal is not there yet", app.style(Role::Faded));
        return;
    };
    let (row, column) = screen.cursor_position();
    // After the last column it stands beyond the edge until the next character.
    let column = column.min(screen.size().1.get() - 1);
    let top = (row + 1).saturating_sub(area.height);
    let left = (column + 1).saturating_sub(area.width);
    for y in 0..area.height {
        for x in 0..area.width {
            let Some(cell) = screen.cell(top + y, left + x) else { break };
            let at = (area.x + x, area.y + y);
            if cell.is_wide_continuation() {
                continue;
            }
            let wide = cell.is_wide() && x + 1 >= area.width;
            let symbol = if cell.has_contents() && !wide { cell.contents() } else { " " };
            // Widths of single characters can be disputed; what would reach over the edge is left out.
            buf.set_stringn(at.0, at.1, symbol, usize::from(area.width - x), style(app.look.theme, cell));
        }
    }
    if !screen.hide_cursor() || app.typing {
        let (x, y) = (area.x + (column - left).min(area.width.saturating_sub(1)), area.y + row - top);
        if let Some(cell) = buf.cell_mut((x, y)) {
            // While nobody types the cursor is only hinted at.
            let mark = if app.typing { Modifier::REVERSED } else { Modifier::UNDERLINED };
            cell.modifier.toggle(mark);
        }
    }
}

fn style(theme: Theme, cell: &vt100::Cell) -> Style {
    let mut style = Style::new();
    if theme != Theme::Mono {
        style = style.fg(colour(cell.fgcolor())).bg(colour(cell.bgcolor()));
    }
    let modifiers = [
        (cell.bold(), Modifier::BOLD),
        (cell.dim(), Modifier::DIM),
        (cell.italic(), Modifier::ITALIC),
        (cell.underline(), Modifier::UNDERLINED),
        (cell.inverse(), Modifier::REVERSED),
    ];
    for (_, modifier) in modifiers.into_iter().filter(|(set, _)| *set) {
        style = style.add_modifier(modifier);
    }
    style
}

const fn colour(colour: vt100::Color) -> Color {
    match colour {
        vt100::Color::Default => Color::Reset,
        vt100::Color::Idx(index) => Color::Indexed(index),
        vt100::Color::Rgb(red, green, blue) => Color::Rgb(red, green, blue),
    }
}
