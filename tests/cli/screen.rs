//! The commands that open the screen, on a real terminal.

use std::io::{Read as _, Write as _};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use super::Place;

/// How long a lab may draw nothing although something is expected.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// An answer that is no text: the signal.
const TERM: &str = "SIGTERM";

/// Runs proclab on a terminal, types each answer as soon as its prompt has been drawn, and returns
/// the exit status.
fn converse(place: &Place, args: &[&str], script: &[(&str, &str)]) -> u32 {
    converse_at((24, 80), place, args, script)
}

/// The same on a terminal of so many lines and columns.
fn converse_at((rows, cols): (u16, u16), place: &Place, args: &[&str], script: &[(&str, &str)]) -> u32 {
    let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
    let pty = native_pty_system().openpty(size).expect("a terminal");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_proclab"));
    command.args(args);
    command.cwd(place.dir.path());
    for (name, value) in [("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8"), ("HOME", "/nonexistent")] {
        command.env(name, value);
    }
    let mut lab = pty.slave.spawn_command(command).expect("started");
    drop(pty.slave);
    let mut reader = pty.master.try_clone_reader().expect("a reader");
    let mut writer = pty.master.take_writer().expect("a writer");
    let (drawn, shown) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut chunk) {
            if drawn.send(chunk[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut parser = vt100::Parser::new(rows.try_into().expect("rows"), cols.try_into().expect("columns"), 0);
    for (prompt, answer) in script {
        while !parser.screen().contents().contains(prompt) {
            let Ok(bytes) = shown.recv_timeout(PATIENCE) else {
                lab.kill().expect("killed");
                panic!("no {prompt:?} in\n{}", parser.screen().contents());
            };
            parser.process(&bytes);
        }
        if *answer == TERM {
            let pid = nix::unistd::Pid::from_raw(lab.process_id().expect("a PID") as i32);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("kill");
            continue;
        }
        writer.write_all(answer.as_bytes()).expect("typed");
    }
    while shown.recv_timeout(PATIENCE).is_ok() {}
    lab.wait().expect("ended").exit_code()
}

#[test]
fn the_picker_opens_a_scenario_and_takes_the_user_back() {
    let place = Place::new();
    let script = [
        ("a laboratory for processes", "/one-pipe"),
        ("› One pipe", "\r"),
        ("paused", "q"),
        ("a laboratory for processes", "\x03"),
    ];
    assert_eq!(converse(&place, &[], &script), 0);
}

#[test]
fn a_signal_ends_the_screen_and_the_status_says_which() {
    let place = Place::new();
    assert_eq!(converse(&place, &["run", "pipes/one-pipe"], &[("paused", TERM)]), 128 + 15);
    assert_eq!(converse(&place, &[], &[("a laboratory for processes", TERM)]), 128 + 15);
    let through = [("a laboratory for processes", "/one-pipe"), ("› One pipe", "\r"), ("paused", TERM)];
    assert_eq!(converse(&place, &[], &through), 128 + 15, "the picker is not shown again");
}

#[test]
fn a_scenario_runs_to_its_end_and_is_judged() {
    let place = Place::new();
    place.write("mine/bad.kdl", super::bad());
    let script = [("paused", "]]]]]]]] "), ("ended", "666"), ("exited child code=4", "q")];
    assert_eq!(converse(&place, &["run", "mine/bad.kdl"], &script), 0);
}

#[test]
fn programs_and_recordings_open_too() {
    let place = Place::new();
    assert_eq!(converse(&place, &["trace", "sh", "-c", "exit 7"], &[("ended", "q")]), 0);
    place.write("log", place.run(&["record", "pipes/one-pipe"]).code(0).stdout);
    assert_eq!(converse(&place, &["replay", "log"], &[("event 0 of", "q")]), 0);
}

/// Says the size of its terminal and how often it was told that it has changed, whenever a line is typed.
const COUNTS: &str = r#"
    $SIG{WINCH} = sub { $told++ };
    $| = 1;
    print "line? ";
    while (<STDIN>) {
        chomp;
        print "$_ is " . (0 + $told) . " times, " . `stty size`;
    }
"#;

/// A program starts with the size of the pane, so it never hears of another. What the user opens and chooses is
/// none of its business; a larger pane is, and a terminal that has itself another size.
#[test]
fn a_program_is_told_of_its_window_only_when_it_has_changed() {
    for (size, pane, zoomed) in
        [((24, 80), "8 43", "20 78"), ((40, 120), "11 65", "36 118"), ((60, 200), "17 109", "56 198")]
    {
        let place = Place::new();
        let first = format!("one is 0 times, {pane}");
        let second = format!("two is 0 times, {pane}");
        let third = format!("three is 1 times, {zoomed}");
        let fourth = format!("four is 2 times, {pane}");
        let script = [
            ("line? ", "ione\r"),
            (first.as_str(), "\u{1d}?"),
            ("any other key closes", "q\t\t4zz6itwo\r"),
            (second.as_str(), "\u{1d}zithree\r"),
            (third.as_str(), "\u{1d}zifour\r"),
            (fourth.as_str(), "\u{1d}66z/the window has changed\r"),
            ("SIGWINCH from the terminal: the window has changed", "q"),
        ];
        assert_eq!(converse_at(size, &place, &["trace", "perl", "-e", COUNTS], &script), 0, "{size:?}");
    }
}

/// A scenario says itself how large its terminal is, whatever is done on the screen.
#[test]
fn a_scenario_is_never_told_of_another_window() {
    for size in [(24, 80), (60, 200)] {
        let place = Place::new();
        let program = place.write("counts.pl", COUNTS);
        let program = program.display();
        let scenario = format!(
            "title \"Counts\"\nlimit seconds=100\nterminal rows=10 columns=33\nprocess p {{\n    exec perl \"{program}\"\n}}\n"
        );
        place.write("mine/counts.kdl", scenario);
        let script = [
            ("paused", "66]]]]]]]] "),
            ("line? ", "ione\r"),
            ("one is 0 times, 10 33", "\u{1d}\tzz6zz6z6zitwo\r"),
            ("two is 0 times, 10 33", "\u{1d}q"),
        ];
        assert_eq!(converse_at(size, &place, &["run", "mine/counts.kdl"], &script), 0, "{size:?}");
    }
}
