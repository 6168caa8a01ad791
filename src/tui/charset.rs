//! The screen in plain ASCII, for terminals and locales that have nothing else.
//!
//! Views draw one set of symbols. Where only ASCII may go out, the finished screen is translated
//! cell by cell, so that no view can forget it and no character of a program slips through.

use ratatui::buffer::Buffer;
use unicode_width::UnicodeWidthStr;

/// Translates every cell that is not ASCII.
pub fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let wide = cell.symbol().width() > 1;
            let first = cell.symbol().chars().next().unwrap_or(' ');
            let ascii = ascii(first);
            // The second column of a wide character is a cell of its own, which already is blank.
            cell.set_char(if wide { '?' } else { ascii });
        }
    }
}

/// Symbols, and the character that stands for each of them.
const TABLE: &[(&str, char)] = &[
    ("─╌┄—–", '-'),
    ("━═⏸⇄", '='),
    ("│╎▕▏▮‖", '|'),
    ("┃■█", '#'),
    ("┊┆", ':'),
    ("·░▫", '.'),
    ("…", '~'),
    ("▶▸→›≥", '>'),
    ("◀◂←≤", '<'),
    ("▲↑", '^'),
    ("▼↓", 'v'),
    ("●", '@'),
    ("◌", 'o'),
    ("◆•", '*'),
    ("↺", '&'),
    ("◷", '%'),
    ("◇✓", '+'),
    ("☠", 'Z'),
    ("□", 'u'),
    ("✗×", 'x'),
    ("⚠", '!'),
    ("“”", '"'),
    ("‘’", '\''),
];

fn ascii(c: char) -> char {
    match TABLE.iter().find(|(symbols, _)| symbols.contains(c)) {
        Some((_, ascii)) => *ascii,
        None if ('\u{2500}'..='\u{257f}').contains(&c) => '+',
        None if ('\u{2580}'..='\u{259f}').contains(&c) => '#',
        None => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    #[test]
    fn nothing_but_ascii_is_left() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 1));
        buffer.set_string(0, 0, "┌─┐│●▶ 日本 é …", Style::new());
        to_ascii(&mut buffer);
        let line: String = buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert_eq!(line.trim_end(), "+-+|@> ? ?  ? ~");
    }
}
