//! The run's terminal: what is drawn there, and keys on their way to it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use insta::assert_snapshot;
use proclab::control::{Command, Pace, Status};
use proclab::model::{
    Asked, Batch, ChannelId, ChannelKind, End, Header, Kind, Phase, Queue, Signal, SignalSet, TaskId, Told, Via, Why,
};
use proclab::tui::app::{Pane, Tab};
use proclab::tui::update::{Action, Effect, update};
use proclab::tui::{App, Look};

use super::common::Writer;
use super::{NOW, press, screen};

fn header() -> Header {
    Header { lab: "proclab".into(), command: Some(vec!["sh".into()]), mode: "free".into(), ..Header::default() }
}

fn draw(w: &mut Writer, channel: ChannelId, text: &str) {
    let data = w.keep(text.as_bytes());
    let bytes = text.len() as u64;
    w.event(TaskId::LAB, "", 0, Kind::Read { channel, via: Via::Fd(-1), bytes, data });
}

/// A shell with one job that Ctrl-Z has stopped and one in the foreground.
fn jobs() -> Batch {
    let mut w = Writer::new(header());
    let shell = w.start("sh", 100);
    let terminal = w.create(shell, "", ChannelKind::Terminal, "terminal", 0);
    w.open_end(shell, "", 0, terminal, End::Second);
    w.event(TaskId::LAB, "", 0, Kind::Window { channel: terminal, rows: 24, columns: 60 });
    w.event(shell, "", 0, Kind::Group { pgid: 100, sid: 100 });
    w.event(shell, "", 0, Kind::Control { channel: Some(terminal) });
    draw(&mut w, terminal, "$ \x1b[1;31mred\x1b[0m \u{65e5}\u{672c} \x1b[7mback\x1b[0m\r\n$ sleep 9\r\n");
    let sleep = w.fork(shell, "sleep", 101);
    w.event(sleep, "setpgid", 0, Kind::Group { pgid: 101, sid: 100 });
    w.event(shell, "ioctl", 0, Kind::Foreground { channel: terminal, pgid: 101 });
    let data = w.keep(b"\x1a");
    w.event(TaskId::LAB, "", 0, Kind::Write { channel: terminal, via: Via::Fd(-1), bytes: 1, data });
    draw(&mut w, terminal, "^Z");
    let stop = Signal::parse("SIGTSTP").expect("a signal");
    for phase in [Phase::Generated, Phase::Delivered, Phase::Default] {
        let from = (phase == Phase::Generated).then_some(TaskId::LAB);
        let blocked = SignalSet::EMPTY;
        w.event(
            sleep,
            "",
            0,
            Kind::Signal { phase, signal: stop, queue: Queue::Process, from, code: 128, value: 0, blocked },
        );
    }
    w.event(shell, "ioctl", 0, Kind::Foreground { channel: terminal, pgid: 100 });
    draw(&mut w, terminal, "\r\n[1]+  Stopped  sleep 9\r\n$ ");
    w.take()
}

fn live(width: u16, height: u16) -> App {
    let mut app = App::live(Look::default(), Pace::Full, None);
    update(&mut app, Action::Resize(width, height), NOW);
    update(&mut app, Action::Started(header()), NOW);
    update(&mut app, Action::Batch(jobs()), NOW);
    let playing = Some(Pace::Full);
    let status = Status { playing, serial: false, next: Vec::new(), paused_by: None, clock_ns: None, answer: None };
    update(&mut app, Action::Status(status), NOW);
    app
}

#[test]
fn jobs_and_what_they_draw() {
    let mut app = live(120, 40);
    assert_eq!((app.focus, app.tab), (Pane::Story, Tab::Output));
    assert_snapshot!("terminal", screen(&app));
    press(&mut app, "b b b b b b b b J");
    assert!(!screen(&app).contains("Stopped"));
    assert_snapshot!("terminal_earlier", screen(&app));
}

/// A terminal in canonical mode gives whole lines only, and the process pane says so.
#[test]
fn who_reads_lines_waits_for_a_whole_one() {
    let waiting = |canonical: Option<bool>| {
        let mut w = Writer::new(header());
        let cat = w.start("cat", 100);
        let terminal = w.create(cat, "", ChannelKind::Terminal, "terminal", 0);
        w.open_end(cat, "", 0, terminal, End::Second);
        w.block(cat, "read", Some(terminal), None, Why::Empty);
        if let Some(canonical) = canonical {
            let asked = Asked { output: None, input: Some(0), canonical, ready: [false; 2] };
            w.event(cat, "", 0, Kind::Monitor { channel: terminal, told: Told::Terminal(asked) });
        }
        let mut app = App::live(Look::default(), Pace::Full, None);
        update(&mut app, Action::Resize(200, 60), NOW);
        update(&mut app, Action::Started(header()), NOW);
        update(&mut app, Action::Batch(w.take()), NOW);
        screen(&app).contains("in read terminal: no whole line has come")
    };
    assert_eq!([None, Some(false), Some(true)].map(waiting), [false, false, true]);
}

#[test]
fn keys_go_to_the_program_until_the_way_out() {
    let mut app = live(80, 24);
    let typed = |effects: Vec<Effect>| -> Vec<u8> {
        let bytes = effects.into_iter().filter_map(|effect| match effect {
            Effect::Send(Command::Type(bytes)) => Some(bytes),
            _ => None,
        });
        bytes.flatten().collect()
    };
    press(&mut app, "i");
    assert!(app.typing);
    assert_eq!(typed(press(&mut app, "'q?:z ctrl-c up enter")), b"q?:z\x03\x1b[A\r");
    assert_eq!(typed(update(&mut app, Action::Paste("a\nb".into()), NOW)), b"a\rb");
    assert!(screen(&app).contains("Ctrl-] stop typing"));
    let status =
        Status { playing: None, serial: false, next: Vec::new(), paused_by: None, clock_ns: None, answer: None };
    update(&mut app, Action::Status(status), NOW);
    assert_snapshot!("terminal_typing_80x24", screen(&app));
    // As a terminal reports Ctrl-].
    let way_out = KeyEvent::new(KeyCode::Char('5'), KeyModifiers::CONTROL);
    assert_eq!(update(&mut app, Action::Key(way_out), NOW), Vec::new());
    assert!(!app.typing);
    assert_eq!(typed(press(&mut app, "z")), b"");
    assert!(app.zoomed);
}

#[test]
fn the_window_is_as_large_as_the_pane() {
    let mut app = live(120, 40);
    let resized = update(&mut app, Action::Resize(200, 60), NOW);
    assert!(matches!(resized[..], [Effect::Send(Command::Resize { rows: 17, columns: 109 })]), "{resized:?}");
    assert_eq!(update(&mut app, Action::Resize(200, 60), NOW), Vec::new());
}

/// Every other size is a SIGWINCH: none for what the user opens and chooses, one when the terminal fills the screen.
#[test]
fn the_window_changes_only_with_the_terminal_that_is_looked_at() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        let mut app = live(size.0, size.1);
        let started = app.window;
        for keys in
            ["1", "2", "3", "4", "z", "z", "5 tab", "6", "6", "6", "z z", "?", "esc", ":", "esc", "b b", "G", "J"]
        {
            let resized =
                press(&mut app, keys).into_iter().find(|effect| matches!(effect, Effect::Send(Command::Resize { .. })));
            assert_eq!(resized, None, "{keys} at {size:?}");
        }
        assert_eq!(app.window, started);
        while (app.focus, app.tab) != (Pane::Story, Tab::Output) {
            press(&mut app, "6");
        }
        let (rows, columns) = (size.1 - 4, size.0 - 2);
        assert_eq!(press(&mut app, "z"), [Effect::Send(Command::Resize { rows, columns })]);
        assert_eq!(press(&mut app, "z"), [Effect::Send(Command::Resize { rows: started.0, columns: started.1 })]);
    }
}
