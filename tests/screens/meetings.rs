//! Sockets, queues, shared memory, semaphores and locks, as every pane shows them.

use insta::assert_snapshot;
use proclab::model::Log;
use proclab::tui::app::Pane;

use super::{common, press, recording, screen};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

/// The end of a log on every size of screen.
fn ends(name: &str, log: impl Fn() -> Log, keys: &str) {
    for (width, height) in SIZES {
        let mut app = recording(log(), width, height);
        press(&mut app, keys);
        assert_snapshot!(format!("{name}_{width}x{height}"), screen(&app));
    }
}

#[test]
fn sockets() {
    ends("sockets", common::meetings::sockets, "end 2");
}

#[test]
fn queues() {
    ends("queues", common::meetings::queues, "end 2");
}

#[test]
fn shared_memory_semaphores_and_locks() {
    ends("shared", common::meetings::shared, "end 2");
}

#[test]
fn pseudo_terminals() {
    ends("ptys", common::meetings::ptys, "end 2");
    let shown = contents(common::meetings::ptys(), "t", 80, 24);
    assert!(shown.contains("a terminal echoes, translates and edits"), "{shown}");
}

#[test]
fn a_queue_from_before_the_run_says_what_nobody_can_see() {
    for (width, height) in SIZES {
        let mut app = recording(common::meetings::found(), width, height);
        press(&mut app, "end 2");
        let shown = screen(&app);
        for text in ["3 / 10 messages, 3 B", "\"new\"", "2 messages from before the run:", "was there before"] {
            assert!(shown.contains(text), "{text}:\n{shown}");
        }
    }
}

/// The contents of the channel with this name.
fn contents(log: Log, name: &str, width: u16, height: u16) -> String {
    let mut app = recording(log, width, height);
    press(&mut app, "end 2");
    let found = app.world().channels().find(|it| app.log.name(it.name) == name).map(|it| it.id);
    app.chosen_channel = found;
    press(&mut app, "z");
    screen(&app)
}

#[test]
fn contents_of_everything() {
    assert_snapshot!("contents_connection", contents(common::meetings::sockets(), "conn", 80, 24));
    assert_snapshot!("contents_listener", contents(common::meetings::sockets(), "srv", 80, 24));
    assert_snapshot!("contents_datagrams", contents(common::meetings::sockets(), "ask", 80, 24));
    assert_snapshot!("contents_queue", contents(common::meetings::queues(), "q", 80, 24));
    assert_snapshot!("contents_priorities", contents(common::meetings::queues(), "/jobs", 80, 24));
    assert_snapshot!("contents_memory", contents(common::meetings::shared(), "counter", 100, 40));
    assert_snapshot!("contents_semaphores", contents(common::meetings::shared(), "forks", 80, 24));
    assert_snapshot!("contents_locks", contents(common::meetings::shared(), "accounts.txt", 80, 24));
}

#[test]
fn the_log_of_every_meeting_reads_as_sentences() {
    for (name, log) in [
        ("sockets", common::meetings::sockets()),
        ("queues", common::meetings::queues()),
        ("shared", common::meetings::shared()),
        ("ptys", common::meetings::ptys()),
    ] {
        let mut app = recording(log, 120, 60);
        press(&mut app, "end 6 6 6 6 z");
        assert_snapshot!(format!("log_{name}"), screen(&app));
    }
}

#[test]
fn meetings_in_ascii() {
    for (name, log) in [("sockets", common::meetings::sockets()), ("shared", common::meetings::shared())] {
        let mut app = recording(log, 120, 40);
        app.look.ascii = true;
        press(&mut app, "end");
        let screen = screen(&app);
        assert!(screen.is_ascii());
        assert_snapshot!(format!("ascii_{name}"), screen);
    }
}

#[test]
fn help_for_channels_and_the_timeline() {
    let mut app = recording(common::meetings::sockets(), 80, 60);
    press(&mut app, "2 ?");
    assert_snapshot!("help_channels", screen(&app));
    press(&mut app, "esc 4 ?");
    assert_snapshot!("help_timeline", screen(&app));
}

#[test]
fn a_loop_that_looks_at_a_flag_is_one_row() {
    let mut app = recording(common::meetings::watched(4_000), 80, 24);
    press(&mut app, "end");
    assert_snapshot!("watched", screen(&app));
}

#[test]
fn contents_scroll_to_their_last_line() {
    let mut app = recording(common::meetings::shared(), 80, 24);
    press(&mut app, "end 2 j z pgdn pgdn pgdn pgdn pgdn");
    assert_eq!(app.focus, Pane::Channels);
    let last = screen(&app);
    press(&mut app, "pgdn");
    assert_eq!(last, screen(&app));
}

#[test]
fn processes_meet_in_a_mapped_file_where_somebody_may_write() {
    let mut app = recording(common::meetings::mapped_files(), 120, 40);
    press(&mut app, "end");
    let screen = screen(&app);
    let channels: Vec<&str> = screen.lines().skip(2).take(9).collect();
    assert!(channels.iter().any(|line| line.contains("file table")), "{screen}");
    assert!(!channels.iter().any(|line| line.contains("file library")), "{screen}");
}
