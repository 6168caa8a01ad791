//! Where each pane stands. Neighbours share a border line.

use ratatui::layout::{Margin, Rect};

use super::app::{App, Pane};

/// The smallest screen on which the lab can be used.
pub const SMALLEST: (u16, u16) = (80, 24);
/// From this width on all three upper panes stand side by side.
const WIDE: u16 = 100;
/// From this height on no pane needs to make room for the focused one.
const TALL: u16 = 30;

/// Whether there is room for anything at all.
pub const fn fits(area: Rect) -> bool {
    area.width >= SMALLEST.0 && area.height >= SMALLEST.1
}

/// The line at the top.
pub fn title(area: Rect) -> Rect {
    Rect { height: area.height.min(1), ..area }
}

/// The line at the bottom.
pub fn footer(area: Rect) -> Rect {
    Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..area }
}

/// What is between title and footer.
pub fn body(area: Rect) -> Rect {
    Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area }
}

/// The panes that are seen, with their borders.
pub fn panes(app: &App, area: Rect) -> Vec<(Pane, Rect)> {
    let body = body(area);
    if app.zoomed {
        return vec![(app.focus, body)];
    }
    let [top, middle, bottom] = rows(app.focus, body);
    let mut panes = upper(app.focus, top);
    panes.push((Pane::Timeline, middle));
    let [left, right] = lower(bottom);
    panes.push((Pane::Script, left));
    panes.push((Pane::Story, right));
    panes
}

fn lower(bottom: Rect) -> [Rect; 2] {
    columns(bottom, [bottom.width * 45 / 100])
}

/// Where a pane stands, if it is seen.
pub fn pane(app: &App, area: Rect, wanted: Pane) -> Option<Rect> {
    panes(app, area).into_iter().find(|(pane, _)| *pane == wanted).map(|(_, rect)| rect)
}

/// Lines and columns of the pane in which a run's terminal is shown, while it has the focus. Where another pane
/// makes it smaller, a part of the terminal is shown: the program need not know.
pub fn window(area: Rect, zoomed: bool) -> (u16, u16) {
    let area = if fits(area) { area } else { Rect { width: SMALLEST.0, height: SMALLEST.1, ..area } };
    let inner = inner(if zoomed { body(area) } else { lower(rows(Pane::Story, body(area))[2])[1] });
    (inner.height.max(1), inner.width.max(1))
}

/// The inside of a pane.
pub fn inner(rect: Rect) -> Rect {
    rect.inner(Margin::new(1, 1))
}

/// How many rows a pane has inside; a screenful.
pub fn page(app: &App, wanted: Pane) -> usize {
    pane(app, app.area, wanted).map_or(1, |rect| usize::from(inner(rect).height).max(1))
}

/// How many columns a pane has inside.
pub fn columns_of(app: &App, wanted: Pane) -> usize {
    pane(app, app.area, wanted).map_or(1, |rect| usize::from(inner(rect).width).max(1))
}

/// The first row that may stand at the top of a list of `height` lines for the row `at` to be seen
/// as a whole; `lines` says how many lines a row takes.
pub fn top_showing(at: usize, height: usize, lines: impl Fn(usize) -> usize) -> usize {
    let mut top = at;
    let mut used = lines(at);
    while let Some(above) = top.checked_sub(1) {
        used += lines(above);
        if used > height {
            break;
        }
        top = above;
    }
    top
}

fn upper(focus: Pane, top: Rect) -> Vec<(Pane, Rect)> {
    if top.width >= WIDE {
        let signals = (top.width * 24 / 100).max(28);
        let processes = top.width * 30 / 100;
        let [left, middle, right] = columns(top, [processes, top.width - processes - signals]);
        return vec![(Pane::Processes, left), (Pane::Channels, middle), (Pane::Signals, right)];
    }
    let [left, right] = columns(top, [top.width * 44 / 100]);
    let second = if focus == Pane::Signals { Pane::Signals } else { Pane::Channels };
    vec![(Pane::Processes, left), (second, right)]
}

fn rows(focus: Pane, body: Rect) -> [Rect; 3] {
    // Two lines are shared by two rows each.
    let total = body.height + 2;
    let weights = if body.height + 2 >= TALL {
        [total * 32 / 100, total * 38 / 100]
    } else {
        let large = total * 42 / 100;
        let small = (total - large) / 2;
        match focus {
            Pane::Processes | Pane::Channels | Pane::Signals => [large, small],
            Pane::Timeline => [small, large],
            Pane::Script | Pane::Story => [small, small],
        }
    };
    let top = Rect { height: weights[0], ..body };
    let middle = Rect { y: top.bottom() - 1, height: weights[1], ..body };
    let y = middle.bottom() - 1;
    [top, middle, Rect { y, height: body.bottom() - y, ..body }]
}

/// Columns that share their borders; the widths of all but the last are given.
fn columns<const N: usize, const M: usize>(area: Rect, widths: [u16; M]) -> [Rect; N] {
    let mut x = area.x;
    std::array::from_fn(|n| {
        let from = x;
        let end = widths.get(n).map_or(area.right(), |width| from + width);
        x = end.saturating_sub(1);
        Rect { x: from, width: end - from, ..area }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_exactly_one_line() {
        for focus in Pane::ALL {
            for (width, height) in [(80, 24), (99, 50), (120, 40), (200, 60)] {
                let body = body(Rect::new(0, 0, width, height));
                let [top, middle, bottom] = rows(focus, body);
                assert_eq!(top.y, body.y);
                assert_eq!(middle.y, top.bottom() - 1);
                assert_eq!(bottom.y, middle.bottom() - 1);
                assert_eq!(bottom.bottom(), body.bottom());
                assert!(top.height >= 7 && middle.height >= 7 && bottom.height >= 7, "{top} {middle} {bottom}");
                let upper = upper(focus, top);
                assert_eq!(upper.last().map(|(_, rect)| rect.right()), Some(width));
            }
        }
    }
}
