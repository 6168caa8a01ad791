//! What a frame and a seek cost, on logs that nobody would want to read.
//!
//! `cargo bench --bench screen`. The bounds are those of the design: a frame at 200×60 over a
//! million events under 8 ms, a seek under 10 ms. Beyond them the bench fails.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

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
    // Shown, not judged: the log keeps a crowded world less often, so a seek takes longer.
    measure("100,000 tasks that are gone", common::churn(100_000));
    failed |= stream();
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
