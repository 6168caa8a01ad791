//! The little Markdown that stories and help texts use: paragraphs, lists, headings, indented code,
//! **bold** and `code`.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::text;
use super::theme::{Role, Theme};

/// The text as lines of at most `columns`.
pub fn render(source: &str, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut paragraph = String::new();
    let mut fenced = false;
    let indent = common_indent(source);
    for raw in source.lines() {
        let raw = raw.get(indent..).unwrap_or_else(|| raw.trim_start());
        let line = raw.trim();
        if line.starts_with("```") {
            flush(&mut lines, &mut paragraph, columns, theme);
            fenced = !fenced;
        } else if fenced || raw.starts_with("    ") {
            flush(&mut lines, &mut paragraph, columns, theme);
            let code = text::fit(&text::clean(raw), columns);
            lines.push(Line::styled(code, theme.style(Role::Code)));
        } else if line.is_empty() {
            flush(&mut lines, &mut paragraph, columns, theme);
            if lines.last().is_some_and(|last| last.width() > 0) {
                lines.push(Line::default());
            }
        } else if let Some(heading) = line.strip_prefix('#') {
            flush(&mut lines, &mut paragraph, columns, theme);
            let heading = text::clean(heading.trim_start_matches('#').trim());
            lines.push(Line::styled(text::fit(&heading, columns), theme.style(Role::Strong)));
        } else {
            let is_item = line.starts_with("- ") || line.starts_with("* ");
            if is_item {
                flush(&mut lines, &mut paragraph, columns, theme);
            }
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(line);
        }
    }
    flush(&mut lines, &mut paragraph, columns, theme);
    while lines.last().is_some_and(|last| last.width() == 0) {
        lines.pop();
    }
    lines
}

fn common_indent(source: &str) -> usize {
    let indents = source.lines().filter(|line| !line.trim().is_empty());
    indents.map(|line| line.len() - line.trim_start_matches(' ').len()).min().unwrap_or(0)
}

fn flush(lines: &mut Vec<Line<'static>>, paragraph: &mut String, columns: usize, theme: Theme) {
    let source = std::mem::take(paragraph);
    if source.is_empty() {
        return;
    }
    let (bullet, body) = match source.strip_prefix("- ").or_else(|| source.strip_prefix("* ")) {
        Some(item) => ("• ", item),
        None => ("", source.as_str()),
    };
    let hang = text::width(bullet);
    let mut first = true;
    for spans in fill(&pieces(&text::clean(body)), columns.saturating_sub(hang).max(1), theme) {
        let mark = if first { bullet.to_owned() } else { " ".repeat(hang) };
        first = false;
        lines.push(std::iter::once(Span::raw(mark)).chain(spans).collect());
    }
}

/// A paragraph as words with their roles. A word may consist of several pieces (`**a**,`).
fn pieces(source: &str) -> Vec<Vec<(String, Role)>> {
    let mut words: Vec<Vec<(String, Role)>> = vec![Vec::new()];
    let mut role = Role::Text;
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**").filter(|_| role != Role::Code) {
            role = if role == Role::Strong { Role::Text } else { Role::Strong };
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '`' => role = if role == Role::Code { Role::Text } else { Role::Code },
            ' ' => words.push(Vec::new()),
            c => push_char(&mut words, c, role),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn push_char(words: &mut [Vec<(String, Role)>], c: char, role: Role) {
    let Some(word) = words.last_mut() else { return };
    match word.last_mut() {
        Some((text, known)) if *known == role => text.push(c),
        _ => word.push((c.to_string(), role)),
    }
}

fn fill(words: &[Vec<(String, Role)>], columns: usize, theme: Theme) -> Vec<Vec<Span<'static>>> {
    let mut lines: Vec<Vec<Span<'static>>> = vec![Vec::new()];
    let mut used = 0;
    let mut before = Role::Text;
    for word in words {
        let needed: usize = word.iter().map(|(text, _)| text::width(text)).sum();
        if used > 0 && used + 1 + needed > columns {
            lines.push(Vec::new());
            used = 0;
        }
        let Some(line) = lines.last_mut() else { break };
        if used > 0 {
            let same = word.first().is_some_and(|(_, role)| *role == before);
            line.push(Span::styled(" ", if same { theme.style(before) } else { Style::new() }));
            used += 1;
        }
        for (piece, role) in word {
            line.push(Span::styled(text::fit(piece, columns), theme.style(*role)));
            before = *role;
        }
        used += needed;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(source: &str, columns: usize) -> Vec<String> {
        render(source, columns, Theme::Mono).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn paragraphs_are_filled_and_lists_hang() {
        let source = "    One **two** `three`\n    four.\n\n    - a b c d\n    - e\n";
        assert_eq!(plain(source, 12), ["One two", "three four.", "", "• a b c d", "• e"]);
        assert_eq!(plain("- aa bb cc", 7), ["• aa bb", "  cc"]);
    }

    #[test]
    fn code_is_left_as_it_is() {
        assert_eq!(plain("a\n```\nx  =  1\n```\nb", 20), ["a", "x  =  1", "b"]);
    }

    #[test]
    fn escapes_are_shown() {
        assert_eq!(plain("a\x1b[2J", 20), ["a\\x1b[2J"]);
    }
}
