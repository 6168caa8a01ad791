//! Typing at the run's terminal: every key goes to the program, as the bytes that a terminal sends.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use vt100::{MouseProtocolEncoding, MouseProtocolMode, Screen};

use super::{Effect, say};
use crate::control::Command;
use crate::tui::app::{App, Origin, Pane, Tab};
use crate::tui::layout;

/// The user wants to type.
pub fn begin(app: &mut App, now: Duration) {
    let why = match (app.emulator.is_there(), app.origin) {
        (false, _) => "the run has no terminal",
        (true, Origin::Recording) => "nobody can type at a recording",
        (true, Origin::Live) if !app.is_live() => "the run has ended: nobody reads the terminal any more",
        (true, Origin::Live) => {
            app.replay = None;
            app.seek_row(usize::MAX);
            show(app);
            app.typing = true;
            return;
        }
    };
    say(app, why.to_owned(), now);
}

/// Brings the terminal to the front.
pub fn show(app: &mut App) {
    app.focus = Pane::Story;
    app.tab = Tab::Output;
}

/// Whether it is the key that ends typing: `Ctrl-]`, as in telnet(1). Terminals send the same for
/// Ctrl-5.
fn leaves(key: &KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char(']' | '5'))
}

/// A key while typing.
pub fn on_key(app: &mut App, key: &KeyEvent) -> Vec<Effect> {
    if leaves(key) {
        app.typing = false;
        return Vec::new();
    }
    let application = app.emulator.screen().is_some_and(Screen::application_cursor);
    send(bytes_of(key, application))
}

/// Pasted text, bracketed if the program asked for that.
pub fn paste(app: &App, text: &str) -> Vec<Effect> {
    let text = text.replace("\r\n", "\r").replace('\n', "\r");
    // What is pasted must not end the brackets itself.
    let text = text.replace("\x1b[201~", "");
    let bracketed = app.emulator.screen().is_some_and(Screen::bracketed_paste);
    send(if bracketed { format!("\x1b[200~{text}\x1b[201~") } else { text }.into_bytes())
}

/// The mouse over the terminal; `None` if the program has not asked for it.
pub fn on_mouse(app: &App, event: MouseEvent) -> Option<Vec<Effect>> {
    let screen = app.emulator.screen()?;
    let inner = layout::inner(layout::pane(app, app.area, Pane::Story)?);
    if screen.mouse_protocol_mode() == MouseProtocolMode::None || !inner.contains((event.column, event.row).into()) {
        return None;
    }
    let button = |button| match button {
        MouseButton::Left => 0,
        MouseButton::Middle => 1,
        MouseButton::Right => 2,
    };
    let (code, pressed) = match event.kind {
        MouseEventKind::Down(which) => (button(which), true),
        MouseEventKind::Up(which) => (button(which), false),
        MouseEventKind::ScrollUp => (64, true),
        MouseEventKind::ScrollDown => (65, true),
        _ => return Some(Vec::new()),
    };
    let (x, y) = (event.column - inner.x + 1, event.row - inner.y + 1);
    if screen.mouse_protocol_encoding() == MouseProtocolEncoding::Sgr {
        let end = if pressed { 'M' } else { 'm' };
        return Some(send(format!("\x1b[<{code};{x};{y}{end}").into_bytes()));
    }
    let byte = |n: u16| u8::try_from(n + 32).unwrap_or(255);
    Some(send(vec![0x1b, b'[', b'M', if pressed { code } else { 3 } + 32, byte(x), byte(y)]))
}

fn send(bytes: Vec<u8>) -> Vec<Effect> {
    if bytes.is_empty() { Vec::new() } else { vec![Effect::Send(Command::Type(bytes))] }
}

/// After every action: the emulator stands at the cursor, and the window is as large as the pane.
pub fn follow(app: &mut App) -> Vec<Effect> {
    if !app.emulator.is_there() {
        return Vec::new();
    }
    let applied = app.applied();
    app.emulator.seek(&app.log, applied);
    if !app.is_live() {
        app.typing = false;
        return Vec::new();
    }
    // A scenario says itself how large its terminal is. Every other change is a SIGWINCH for the program; so
    // there is one only where the terminal that the user looks at gets more room or less.
    let elsewhere = app.zoomed && (app.focus, app.tab) != (Pane::Story, Tab::Output);
    if app.scenario.is_some() || elsewhere || !layout::fits(app.area) {
        return Vec::new();
    }
    let size = layout::window(app.area, app.zoomed);
    if app.window == size {
        return Vec::new();
    }
    app.window = size;
    vec![Effect::Send(Command::Resize { rows: size.0, columns: size.1 })]
}

/// What a terminal sends for a key (`infocmp xterm-256color`).
fn bytes_of(key: &KeyEvent, application: bool) -> Vec<u8> {
    let (ctrl, alt) = (key.modifiers.contains(KeyModifiers::CONTROL), key.modifiers.contains(KeyModifiers::ALT));
    let shift = key.modifiers.contains(KeyModifiers::SHIFT);
    let mut bytes = Vec::new();
    let modifier = 1 + u8::from(shift) + 2 * u8::from(alt) + 4 * u8::from(ctrl);
    let cursor = |letter: char| match (modifier, application) {
        (1, true) => format!("\x1bO{letter}"),
        (1, false) => format!("\x1b[{letter}"),
        _ => format!("\x1b[1;{modifier}{letter}"),
    };
    let tilde =
        |number: u8| if modifier == 1 { format!("\x1b[{number}~") } else { format!("\x1b[{number};{modifier}~") };
    let sequence = match key.code {
        KeyCode::Up => cursor('A'),
        KeyCode::Down => cursor('B'),
        KeyCode::Right => cursor('C'),
        KeyCode::Left => cursor('D'),
        KeyCode::Home => cursor('H'),
        KeyCode::End => cursor('F'),
        KeyCode::BackTab => "\x1b[Z".to_owned(),
        KeyCode::Insert => tilde(2),
        KeyCode::Delete => tilde(3),
        KeyCode::PageUp => tilde(5),
        KeyCode::PageDown => tilde(6),
        KeyCode::F(n @ 1..=4) if modifier == 1 => format!("\x1bO{}", char::from(b'O' + n)),
        KeyCode::F(n @ 1..=4) => format!("\x1b[1;{modifier}{}", char::from(b'O' + n)),
        KeyCode::F(n @ 5..=12) => tilde([15, 17, 18, 19, 20, 21, 23, 24][usize::from(n) - 5]),
        code => {
            if alt {
                bytes.push(0x1b);
            }
            match code {
                KeyCode::Char(c) if ctrl => bytes.extend(control(c)),
                KeyCode::Char(c) => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
                KeyCode::Enter => bytes.push(b'\r'),
                KeyCode::Tab => bytes.push(b'\t'),
                KeyCode::Backspace => bytes.push(if ctrl { 8 } else { 0x7f }),
                KeyCode::Esc => bytes.push(0x1b),
                _ => bytes.clear(),
            }
            return bytes;
        }
    };
    sequence.into_bytes()
}

/// The control character of a key, under the names too by which the keyboard reports some of them.
fn control(c: char) -> Option<u8> {
    match c {
        ' ' | '2' | '@' => Some(0),
        'a'..='z' | 'A'..='Z' => Some(c.to_ascii_lowercase() as u8 & 0x1f),
        '3' | '[' => Some(0x1b),
        '4' | '\\' => Some(0x1c),
        '5' | ']' => Some(0x1d),
        '6' | '^' => Some(0x1e),
        '7' | '_' | '/' => Some(0x1f),
        '8' | '?' => Some(0x7f),
        _ => u8::try_from(c).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_terminfo_says() {
        let plain = KeyModifiers::NONE;
        for (code, modifiers, application, bytes) in [
            (KeyCode::Char('a'), plain, false, "a"),
            (KeyCode::Char('\u{e9}'), plain, false, "\u{e9}"),
            (KeyCode::Char('c'), KeyModifiers::CONTROL, false, "\x03"),
            (KeyCode::Char('4'), KeyModifiers::CONTROL, false, "\x1c"),
            (KeyCode::Char('x'), KeyModifiers::ALT, false, "\x1bx"),
            (KeyCode::Enter, plain, false, "\r"),
            (KeyCode::Backspace, plain, false, "\x7f"),
            (KeyCode::Up, plain, false, "\x1b[A"),
            (KeyCode::Up, plain, true, "\x1bOA"),
            (KeyCode::Left, KeyModifiers::CONTROL, true, "\x1b[1;5D"),
            (KeyCode::PageDown, plain, false, "\x1b[6~"),
            (KeyCode::F(1), plain, false, "\x1bOP"),
            (KeyCode::F(5), plain, false, "\x1b[15~"),
            (KeyCode::F(12), KeyModifiers::SHIFT, false, "\x1b[24;2~"),
            (KeyCode::CapsLock, plain, false, ""),
        ] {
            let key = KeyEvent::new(code, modifiers);
            assert_eq!(String::from_utf8_lossy(&bytes_of(&key, application)), bytes, "{key:?}");
        }
        assert!(leaves(&KeyEvent::new(KeyCode::Char('5'), KeyModifiers::CONTROL)));
    }
}
