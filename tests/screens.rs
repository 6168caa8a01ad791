//! The whole screen as a student sees it: keys in, screen out.

mod common;
#[path = "screens/meetings.rs"]
mod meetings;
#[path = "screens/numbers.rs"]
mod numbers;
#[path = "screens/picker.rs"]
mod picker;
#[path = "screens/terminal.rs"]
mod terminal;

use std::time::Duration;

use common::Writer;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use insta::assert_snapshot;
use proclab::control::{self, Ending, Next, Outcome, Pace, Status};
use proclab::model::{ChannelKind, Log, Phase, Signal, SignalSet, TaskId, Why};
use proclab::tui::app::{Pane, Tab};
use proclab::tui::update::{Action, Effect, update};
use proclab::tui::{App, LabExit, Look, Theme, view};
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

const NOW: Duration = Duration::ZERO;

fn key(name: &str) -> KeyEvent {
    let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
    match name {
        "space" => plain(KeyCode::Char(' ')),
        "enter" => plain(KeyCode::Enter),
        "esc" => plain(KeyCode::Esc),
        "tab" => plain(KeyCode::Tab),
        "backtab" => plain(KeyCode::BackTab),
        "left" => plain(KeyCode::Left),
        "right" => plain(KeyCode::Right),
        "up" => plain(KeyCode::Up),
        "down" => plain(KeyCode::Down),
        "home" => plain(KeyCode::Home),
        "end" => plain(KeyCode::End),
        "pgup" => plain(KeyCode::PageUp),
        "pgdn" => plain(KeyCode::PageDown),
        "backspace" => plain(KeyCode::Backspace),
        "ctrl-c" => KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL),
        name => plain(KeyCode::Char(name.chars().next().expect("a key"))),
    }
}

/// A letter of a text; `_` is a blank.
fn typed(c: char) -> KeyEvent {
    KeyEvent::new(KeyCode::Char(if c == '_' { ' ' } else { c }), KeyModifiers::NONE)
}

/// Presses keys, separated by blanks; `'text` types every letter of a text.
fn press(app: &mut App, keys: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for name in keys.split(' ').filter(|name| !name.is_empty()) {
        let events: Vec<KeyEvent> = match name.strip_prefix('\'') {
            Some(text) => text.chars().map(typed).collect(),
            None => vec![key(name)],
        };
        for event in events {
            effects.extend(update(app, Action::Key(event), NOW));
        }
    }
    effects
}

fn recording(log: Log, width: u16, height: u16) -> App {
    let mut app = App::recording(Look::default(), Pace::PerSecond(5), log, None);
    update(&mut app, Action::Resize(width, height), NOW);
    app
}

fn one_pipe(width: u16, height: u16) -> App {
    let mut app = recording(common::one_pipe(), width, height);
    app.scenario = Some(common::one_pipe_scenario());
    app
}

fn buffer(app: &App) -> Buffer {
    let mut buffer = Buffer::empty(app.area);
    view::render(app, app.area, &mut buffer);
    buffer
}

fn text_of(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let mut out = String::new();
    for row in buffer.content.chunks(width.max(1)) {
        let mut skip = 0;
        let mut line = String::new();
        for cell in row {
            if skip == 0 {
                line.push_str(cell.symbol());
                skip = unicode_width::UnicodeWidthStr::width(cell.symbol()).saturating_sub(1);
            } else {
                skip -= 1;
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn screen(app: &App) -> String {
    text_of(&buffer(app))
}

#[test]
fn one_pipe_at_the_write() {
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        let mut app = one_pipe(width, height);
        press(&mut app, ": 'seek_21 enter");
        assert_snapshot!(format!("one_pipe_write_{width}x{height}"), screen(&app));
    }
}

#[test]
fn one_pipe_before_and_after() {
    let mut app = one_pipe(80, 24);
    assert_snapshot!("one_pipe_begin", screen(&app));
    press(&mut app, "end");
    assert_snapshot!("one_pipe_end", screen(&app));
}

#[test]
fn stepping_shows_something_new_each_time() {
    let mut app = one_pipe(120, 40);
    let mut seen = Vec::new();
    for _ in 0..30 {
        press(&mut app, "right");
        seen.push(app.event_number());
    }
    assert_eq!(seen[..6], [1, 9, 13, 16, 18, 19]);
    assert!(app.following());
    let last = app.event_number();
    press(&mut app, "b");
    assert!(app.event_number() < last);
    press(&mut app, "s");
    assert_eq!(app.event_number(), last);
    press(&mut app, "home");
    assert_eq!((app.event_number(), app.following()), (0, false));
    press(&mut app, "left left");
    assert_eq!(app.event_number(), 0);
    press(&mut app, "right right S");
    assert_eq!(app.event_number(), 13, "the next event of the task that moved last");
}

#[test]
fn signals() {
    let mut app = recording(common::graceful(), 120, 40);
    press(&mut app, ": 'seek_22 enter");
    assert_snapshot!("signals_120x40", screen(&app));
    update(&mut app, Action::Resize(80, 24), NOW);
    press(&mut app, "3 t");
    assert_snapshot!("signals_80x24", screen(&app));
    press(&mut app, "z");
    assert_snapshot!("signals_table", screen(&app));
    press(&mut app, "pgdn pgdn pgdn pgdn pgdn");
    assert!(screen(&app).contains("64  SIGRTMIN+30"), "{}", screen(&app));
}

#[test]
fn signals_that_come_to_nothing() {
    let mut writer = Writer::new(common::header("signals/lost", ""));
    let one = writer.start("one", 1);
    let other = writer.start("other", 2);
    for (task, phase, signal) in [
        (one, Phase::Discarded, Signal::TERM),
        (other, Phase::Discarded, Signal::STOP),
        (other, Phase::NoFrame, Signal::ALRM),
    ] {
        writer.signal(task, phase, signal, None, SignalSet::EMPTY);
    }
    let mut app = recording(writer.finish(), 160, 40);
    // The calls of each task, over the whole screen.
    press(&mut app, "end 5 z");
    let mut shown = screen(&app);
    press(&mut app, ": 'seek_3 enter");
    shown += &screen(&app);
    for words in [
        "SIGTERM discarded: process 1 has no handler for it",
        "SIGSTOP discarded: undone by another signal",
        "SIGALRM: no room for the handler's frame; the kernel forces SIGSEGV",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn a_foreign_program() {
    let mut app = recording(common::foreign(), 120, 40);
    press(&mut app, "end 6 6");
    assert_eq!((app.focus, app.tab), (Pane::Story, Tab::Output));
    assert_snapshot!("foreign_output", screen(&app));
    press(&mut app, "6 6 F");
    assert_snapshot!("foreign_log_and_files", screen(&app));
}

#[test]
fn a_deadlock_is_explained() {
    let mut app = recording(common::forgotten(), 120, 40);
    press(&mut app, "end 6 6 6");
    assert_snapshot!("deadlock", screen(&app));
}

#[test]
fn contents_of_a_pipe() {
    let mut app = one_pipe(80, 24);
    press(&mut app, ": 'seek_21 enter 2 z");
    assert_snapshot!("contents_text", screen(&app));
    press(&mut app, "x");
    assert_snapshot!("contents_hex", screen(&app));
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    assert_snapshot!("too_small", screen(&one_pipe(60, 10)));
    for (width, height) in [(0, 0), (1, 1), (5, 2), (79, 24), (80, 23)] {
        assert!(!screen(&one_pipe(width, height)).contains("Timeline"), "{width}x{height}");
    }
}

#[test]
fn ascii_is_ascii() {
    let mut app = one_pipe(120, 40);
    app.look.ascii = true;
    press(&mut app, ": 'seek_21 enter");
    let screen = screen(&app);
    assert!(screen.is_ascii());
    assert_snapshot!("ascii", screen);
}

#[test]
fn mono_has_no_colour_and_loses_nothing() {
    use common::meetings::{queues, shared, sockets};
    for log in [common::one_pipe(), common::graceful(), sockets(), queues(), shared()] {
        let mut app = recording(log, 120, 40);
        for keys in [": 'seek_21 enter 6 6", "end 2 z", "3"] {
            press(&mut app, keys);
            app.look.theme = Theme::Default;
            let coloured = screen(&app);
            app.look.theme = Theme::Mono;
            let buffer = buffer(&app);
            assert_eq!(coloured, text_of(&buffer));
            for cell in &buffer.content {
                assert_eq!((cell.fg, cell.bg), (ratatui::style::Color::Reset, ratatui::style::Color::Reset));
            }
        }
    }
}

#[test]
fn finding() {
    let mut app = one_pipe(80, 24);
    press(&mut app, "/ 'gold");
    assert_snapshot!("find_prompt", screen(&app));
    press(&mut app, "enter");
    assert_eq!(app.event_number(), 21);
    press(&mut app, "n");
    assert_eq!(app.event_number(), 24);
    press(&mut app, "n");
    assert_eq!(app.event_number(), 21, "the search goes round");
    press(&mut app, "N");
    assert_eq!(app.event_number(), 24);
    press(&mut app, "/ 'nowhere enter");
    update(&mut app, Action::Tick, NOW);
    assert!(screen(&app).contains("no event matches \"nowhere\""));
    assert_eq!(app.event_number(), 24);
}

#[test]
fn palette_help_and_breakpoints() {
    let mut app = one_pipe(80, 24);
    press(&mut app, ": 'ser");
    assert_snapshot!("palette", screen(&app));
    press(&mut app, "esc ?");
    assert_snapshot!("help", screen(&app));
    press(&mut app, "pgdn pgdn pgdn pgdn");
    assert_snapshot!("help_end", screen(&app));
    press(&mut app, "esc : 'break_call_write enter : 'break_signal_TERM enter B j");
    assert_snapshot!("breakpoints", screen(&app));
    press(&mut app, "d esc");
    assert_eq!(app.breakpoints, [control::Breakpoint::Call("write".into())]);
}

#[test]
fn every_pane_and_tab_has_help_that_names_manual_pages() {
    let mut app = one_pipe(120, 40);
    for pane in Pane::ALL {
        app.focus = pane;
        press(&mut app, "?");
        assert!(screen(&app).contains("Help"), "{pane:?}");
        press(&mut app, "esc");
    }
}

#[test]
fn a_crowd() {
    let mut app = recording(common::crowd(1000), 120, 40);
    press(&mut app, "end");
    assert_snapshot!("crowd", screen(&app));
    press(&mut app, "1 pgdn pgdn");
    assert_snapshot!("crowd_further_down", screen(&app));
}

#[test]
fn hostile_text_is_harmless() {
    let mut app = recording(common::hostile(), 120, 40);
    press(&mut app, "end 6 6");
    assert_snapshot!("hostile", screen(&app));
    for pane in Pane::ALL {
        app.focus = pane;
        app.zoomed = true;
        for tab in Tab::ALL {
            app.tab = tab;
            harmless(&buffer(&app));
        }
    }
}

fn harmless(buffer: &Buffer) {
    for cell in &buffer.content {
        assert!(!cell.symbol().chars().any(char::is_control), "{:?}", cell.symbol());
        assert!(cell.symbol().len() < 16, "{:?}", cell.symbol());
    }
}

fn playing(app: &mut App, now_ms: u64) -> u64 {
    update(app, Action::Tick, Duration::from_millis(now_ms));
    app.event_number()
}

#[test]
fn a_recording_plays_by_time() {
    let mut app = one_pipe(80, 24);
    press(&mut app, "space");
    assert!(app.playing());
    assert_eq!(playing(&mut app, 0), 1);
    assert_eq!(playing(&mut app, 100), 1);
    assert_eq!(playing(&mut app, 200), 9);
    assert_eq!(playing(&mut app, 400), 13);
    press(&mut app, "space");
    assert_eq!(playing(&mut app, 5000), 13);
    press(&mut app, "] ] ] space");
    for n in 0..200 {
        playing(&mut app, 6000 + n * 16);
    }
    assert!(app.following() && !app.playing());
}

fn live(width: u16, height: u16) -> (App, Writer) {
    let mut app = App::live(Look::default(), Pace::PerSecond(5), Some(common::one_pipe_scenario()));
    update(&mut app, Action::Resize(width, height), NOW);
    assert_snapshot!("live_starting", screen(&app));
    let header = common::header("pipes/one-pipe", common::ONE_PIPE);
    update(&mut app, Action::Started(header.clone()), NOW);
    (app, Writer::new(header))
}

fn status(next: &[(usize, &str)]) -> Status {
    let next = next.iter().map(|(task, text)| Next {
        task: TaskId::from_index(*task),
        text: (*text).to_owned(),
        signal: None,
    });
    Status { playing: None, serial: true, next: next.collect(), paused_by: None, clock_ns: None, answer: None }
}

#[test]
fn a_live_run() {
    let (mut app, mut writer) = live(80, 24);
    assert_eq!(press(&mut app, "s"), [Effect::Send(control::Command::Step(None))]);
    let parent = writer.start("parent", 2);
    writer.streams(parent);
    writer.line(parent, 12, "pipe p");
    let p = writer.pipe(parent, "p", [3, 4]);
    writer.line(parent, 13, "fork child");
    let child = writer.fork(parent, "parent.child", 3);
    update(&mut app, Action::Batch(writer.take()), NOW);
    let ready = status(&[(1, "close p.read"), (2, "close p.write")]);
    update(&mut app, Action::Status(ready), NOW);
    assert_snapshot!("live_paused", screen(&app));
    // Back in the log the processes stay where they are.
    press(&mut app, "b");
    assert!(screen(&app).contains("back in the log"));
    assert_eq!(press(&mut app, "s"), []);
    assert!(app.following());
    assert_eq!(press(&mut app, "t t S"), [Effect::Send(control::Command::Step(Some(child)))]);
    assert_eq!(press(&mut app, "space"), [Effect::Send(control::Command::Play(Pace::PerSecond(5)))]);
    let fast = Status { playing: Some(Pace::PerSecond(5)), ..status(&[]) };
    update(&mut app, Action::Status(fast), NOW);
    assert_eq!(press(&mut app, "]"), [Effect::Send(control::Command::Play(Pace::PerSecond(20)))]);
    assert_eq!(press(&mut app, "b"), [Effect::Send(control::Command::Pause)]);
    assert_eq!(press(&mut app, "G f"), [Effect::Send(control::Command::Serial(false))]);
    writer.block(child, "read", Some(p), None, Why::Empty);
    update(&mut app, Action::Batch(writer.take()), NOW);
    let ending = Ending {
        outcome: Outcome::Stuck,
        root: None,
        schedule: "step parent 2; run all".into(),
        unscheduled: vec!["a signal sent", "a signal suppressed"],
        left: vec!["the directory /tmp/run could not be removed".into()],
    };
    assert_eq!(update(&mut app, Action::Ended(ending), NOW), [Effect::Judge]);
    let verdicts = vec![(true, "exited child code=0".to_owned()), (false, "moved p bytes=29: it moved 0".to_owned())];
    update(&mut app, Action::Verdicts(verdicts), NOW);
    press(&mut app, "6 6 6 z");
    assert_snapshot!("live_ended", screen(&app));
    assert_eq!(press(&mut app, "s"), []);
    assert_eq!(press(&mut app, "r R"), [Effect::Restart(7), Effect::Restart(8)]);
    assert_eq!(press(&mut app, ": 'seed_42 enter"), [Effect::Restart(42)]);
    assert_eq!(press(&mut app, "q ctrl-c"), [Effect::Quit(LabExit::Back), Effect::Quit(LabExit::Quit)]);
}

#[test]
fn breakpoints_are_sent_and_sent_again() {
    let (mut app, _) = live(80, 24);
    let write = vec![control::Breakpoint::Call("write".into())];
    let sent = Effect::Send(control::Command::Breakpoints(write));
    assert_eq!(press(&mut app, ": 'break_call_write enter"), std::slice::from_ref(&sent));
    let header = common::header("pipes/one-pipe", common::ONE_PIPE);
    assert_eq!(update(&mut app, Action::Started(header), NOW), [sent]);
    let paused = Status { paused_by: Some("parent is about to call write".into()), ..status(&[]) };
    update(&mut app, Action::Status(paused), NOW);
    assert!(screen(&app).contains("paused: parent is about to call write"));
}

fn mouse(app: &mut App, kind: MouseEventKind, column: u16, row: u16, at: Duration) -> Vec<Effect> {
    update(app, Action::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }), at)
}

#[test]
fn the_mouse() {
    let mut app = one_pipe(120, 40);
    press(&mut app, ": 'seek_21 enter");
    let down = MouseEventKind::Down(MouseButton::Left);
    mouse(&mut app, down, 6, 5, NOW);
    assert_eq!((app.focus, app.chosen_task), (Pane::Processes, Some(TaskId::from_index(2))));
    mouse(&mut app, down, 6, 5, Duration::from_millis(200));
    assert!(app.zoomed);
    press(&mut app, "z");
    let screen = screen(&app);
    let (y, line) = screen.lines().enumerate().find(|(_, line)| line.contains("[Story]")).expect("tabs");
    let x = unicode_width::UnicodeWidthStr::width(&line[..line.find("Output").expect("a tab")]);
    mouse(&mut app, down, x as u16, y as u16, NOW);
    assert_eq!((app.focus, app.tab), (Pane::Story, Tab::Output));
    let (y, _) = screen.lines().enumerate().find(|(_, line)| line.contains("13 fork child")).expect("a row");
    mouse(&mut app, down, 8, y as u16, NOW);
    assert_eq!((app.focus, app.event_number()), (Pane::Timeline, 13));
    mouse(&mut app, MouseEventKind::ScrollDown, 8, y as u16, NOW);
    assert_eq!(app.event_number(), 19);
    mouse(&mut app, down, 2, 39, NOW);
    assert!(app.playing(), "a click on the footer");
}

fn any_action() -> impl Strategy<Value = Action> {
    let names = proclab::tui::commands().iter().flat_map(|info| info.keys.iter().copied());
    let names: Vec<&str> =
        names.filter(|name| !name.starts_with("ctrl")).chain(["enter", "backspace", "d", "D"]).collect();
    prop_oneof![
        8 => proptest::sample::select(names).prop_map(|name| Action::Key(key(name))),
        2 => any::<char>().prop_map(|c| Action::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))),
        2 => (0..4_usize, 0..220_u16, 0..70_u16).prop_map(|(kind, column, row)| {
            let kinds = [
                MouseEventKind::Down(MouseButton::Left),
                MouseEventKind::ScrollUp,
                MouseEventKind::ScrollDown,
                MouseEventKind::Moved,
            ];
            Action::Mouse(MouseEvent { kind: kinds[kind], column, row, modifiers: KeyModifiers::NONE })
        }),
        1 => (0..220_u16, 0..70_u16).prop_map(|(width, height)| Action::Resize(width, height)),
        1 => (80..220_u16, 24..70_u16).prop_map(|(width, height)| Action::Resize(width, height)),
        1 => Just(Action::Tick),
        1 => Just(Action::Started(common::header("pipes/one-pipe", common::ONE_PIPE))),
        1 => Just(Action::Status(status(&[(1, "close p.read"), (99, "\u{1b}[2J")]))),
        1 => Just(Action::Verdicts(vec![(true, "held".into()), (false, "\u{1b}[2J".into())])),
        1 => ".{0,20}".prop_map(Action::Paste),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(which in 0..9_usize, ascii: bool, actions in proptest::collection::vec(any_action(), 1..60)) {
        let log = match which {
            0 => common::one_pipe(),
            1 => common::graceful(),
            2 => common::foreign(),
            3 => common::crowd(40),
            4 => common::forgotten(),
            5 => common::meetings::sockets(),
            6 => common::meetings::queues(),
            7 => common::meetings::shared(),
            _ => common::hostile(),
        };
        let mut app = recording(log, 100, 30);
        app.look.ascii = ascii;
        for (n, action) in actions.into_iter().enumerate() {
            update(&mut app, action, Duration::from_millis(n as u64 * 100));
            let buffer = buffer(&app);
            harmless(&buffer);
            prop_assert!(!ascii || buffer.content.iter().all(|cell| cell.symbol().is_ascii()));
        }
    }
}

#[test]
fn a_smaller_area_than_the_screen_is_not_left() {
    let app = one_pipe(120, 40);
    let mut buffer = Buffer::empty(Rect::new(0, 0, 90, 30));
    view::render(&app, app.area, &mut buffer);
    assert!(text_of(&buffer).contains("Timeline"));
}

#[test]
fn kinds_of_channels_are_told_apart() {
    let header = common::header("channels/kinds", "");
    let mut writer = Writer::new(header);
    let task = writer.start("parent", 2);
    writer.line(task, 1, "socket");
    for (n, kind) in ChannelKind::ALL.into_iter().enumerate() {
        let channel = writer.create(task, "", kind, &format!("c{n}"), 0);
        writer.open(task, "socket", n as i32, channel, proclab::model::Access::ReadWrite);
    }
    let mut app = recording(writer.finish(), 120, 60);
    press(&mut app, "end 2 F z z");
    assert_snapshot!("channel_kinds", screen(&app));
}
