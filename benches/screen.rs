//! What a frame and a seek cost, on logs that nobody would want to read, and how soon the lab answers.
//!
//! `cargo bench --bench screen`. The bounds are those of the design: a frame at 200×60 over a
//! million events under 8 ms, a seek under 10 ms, the first frame within 30 ms, a key's frame within
//! 50 ms while a busy program is watched. Beyond them the bench fails.

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{Read, Write};
use std::num::NonZero;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use proclab::control::Pace;
use proclab::model::Log;
use proclab::tui::app::{Pane, Tab};
use proclab::tui::update::{Action, update};
use proclab::tui::{App, Look, view};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

const SCREEN: Rect = Rect::new(0, 0, 200, 60);
const FRAME: Duration = Duration::from_millis(8);
const SEEK: Duration = Duration::from_millis(10);

fn main() {
    let mut failed = false;
    failed |= measure("1,000,000 events, 2 tasks", common::long(1_000_000));
    failed |= measure("1,000 tasks asleep", common::crowd(1_000));
    failed |= measure("10,000 clients asleep at 1,000 connections", common::meetings::clients(10_000, 1_000));
    failed |= measure("200,000 accesses to memory", common::meetings::watched(200_000));
    // Shown, not judged: the log keeps a crowded world less often, so a seek takes longer.
    measure("100,000 tasks that are gone", common::churn(100_000));
    failed |= stream();
    failed |= first_frame("the picker", &[], "scenarios");
    failed |= first_frame("run one-pipe", &["run", "one-pipe"], "Channels");
    failed |= key_to_frame();
    assert!(!failed, "slower than the design allows");
}

fn measure(name: &str, log: Log) -> bool {
    let events = log.len();
    let began = Instant::now();
    let mut app = App::recording(Look::default(), Pace::Full, log, None);
    println!("{name}: {events} events");
    println!("  opened in            {:>9.3} ms", ms(began.elapsed()));
    update(&mut app, Action::Resize(SCREEN.width, SCREEN.height), Duration::ZERO);
    let mut worst_frame = Duration::ZERO;
    let mut worst_seek = Duration::ZERO;
    for tenth in 0..=10 {
        let began = Instant::now();
        app.seek_event(events * tenth / 10);
        worst_seek = worst_seek.max(began.elapsed());
        worst_frame = worst_frame.max(frame(&app));
    }
    for tab in Tab::ALL {
        app.tab = tab;
        worst_frame = worst_frame.max(frame(&app));
    }
    app.zoomed = true;
    for pane in Pane::ALL {
        app.focus = pane;
        worst_frame = worst_frame.max(frame(&app));
    }
    let mut worst_step = Duration::ZERO;
    for _ in 0..50 {
        let began = Instant::now();
        app.seek_by(-1);
        worst_step = worst_step.max(began.elapsed());
    }
    println!("  slowest seek         {:>9.3} ms", ms(worst_seek));
    println!("  slowest step back    {:>9.3} ms", ms(worst_step));
    println!("  slowest frame        {:>9.3} ms", ms(worst_frame));
    worst_frame > FRAME || worst_seek > SEEK
}

/// The median of some frames: the machine has other things to do.
fn frame(app: &App) -> Duration {
    let mut times: Vec<Duration> = (0..9)
        .map(|_| {
            let mut buffer = Buffer::empty(SCREEN);
            let began = Instant::now();
            view::render(app, SCREEN, &mut buffer);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// How long the screen takes to take in what a busy run says in a second.
fn stream() -> bool {
    let header = common::header("pipes/long", "");
    let mut app = App::live(Look::default(), Pace::Full, None);
    update(&mut app, Action::Started(header.clone()), Duration::ZERO);
    let batches = common::stream(header, 50_000, 100);
    let began = Instant::now();
    for batch in batches {
        update(&mut app, Action::Batch(batch), Duration::ZERO);
    }
    let took = began.elapsed();
    println!("50,000 events in batches of 100: {:.3} ms", ms(took));
    took > Duration::from_millis(250)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A lab on a terminal of its own.
struct Lab {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    screen: vt100::Parser,
}

impl Lab {
    fn start(arguments: &[&str]) -> Self {
        let size = PtySize { rows: 60, cols: 200, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).expect("a terminal");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_proclab"));
        command.args(arguments);
        command.cwd(env!("CARGO_MANIFEST_DIR"));
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        let child = pty.slave.spawn_command(command).expect("the lab");
        let (rows, columns) = (NonZero::new(60).expect("rows"), NonZero::new(200).expect("columns"));
        Self { master: pty.master, child, screen: vt100::Parser::new(rows, columns, 0) }
    }

    /// Reads until the screen shows this, or no longer does.
    fn until(&mut self, text: &str, shown: bool) {
        let mut reader = self.master.try_clone_reader().expect("a reader");
        let mut chunk = vec![0; 1 << 16];
        while self.screen.screen().contents().contains(text) != shown {
            let n = reader.read(&mut chunk).expect("the screen");
            self.screen.process(&chunk[..n]);
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // It takes what it runs with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_frame(what: &str, arguments: &[&str], text: &str) -> bool {
    const BOUND: Duration = Duration::from_millis(30);
    let best = (0..10).map(|_| {
        let began = Instant::now();
        let mut lab = Lab::start(arguments);
        lab.until(text, true);
        began.elapsed()
    });
    let best = best.min().unwrap_or(Duration::MAX);
    println!("first frame of {what}: {:.1} ms", ms(best));
    best > BOUND
}

/// Help is opened and closed while a program is watched that does nothing but calls.
fn key_to_frame() -> bool {
    const BOUND: Duration = Duration::from_millis(50);
    let busy = "dd if=/dev/zero bs=1 count=10000000 | dd bs=1 of=/dev/null";
    let mut lab = Lab::start(&["trace", "--", "sh", "-c", busy]);
    let mut writer = lab.master.take_writer().expect("a writer");
    let mut press = |lab: &mut Lab, keys: &str, text: &str, shown| {
        let began = Instant::now();
        writer.write_all(keys.as_bytes()).expect("a key");
        lab.until(text, shown);
        began.elapsed()
    };
    lab.until("Channels", true);
    press(&mut lab, "]]]]]]]]", "full speed", true);
    press(&mut lab, " ", "dd#2", true);
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        times.push(press(&mut lab, "?", "any other key closes", true));
        press(&mut lab, "x", "any other key closes", false);
    }
    times.sort_unstable();
    let median = times[times.len() / 2];
    println!("a key to its frame while dd | dd is watched: {:.1} ms, at worst {:.1} ms", ms(median), ms(times[19]));
    median > BOUND
}
