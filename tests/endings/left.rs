//! Processes that go on when the command has ended.

use std::process::Stdio;

use super::screen::OnTerminal;
use super::{Place, end_of, pid_of, send};

/// Leaves a process of another session behind, whose PID it prints.
const LEAVES: &str = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo left $!; exit 3";

#[test]
fn on_a_terminal_it_is_said_who_goes_on_and_control_c_ends_it() {
    for end in ["\x03", "TERM"] {
        let place = Place::new();
        let mut terminal = OnTerminal::start(&place, &["record", "-o", "log", "--", "sh", "-c", LEAVES]);
        // A task is called after the first program that it has loaded.
        terminal.wait_for("the command has ended; setsid (PID ");
        terminal.wait_for("goes on");
        if end == "TERM" {
            send(terminal.pid(), libc::SIGTERM);
        } else {
            terminal.type_in(end);
        }
        assert_eq!(terminal.end(), Some(3), "the status is the command's");
        assert!(place.log().iter().any(|event| event["event"] == "exit" && event["code"] == 3));
    }
}

#[test]
fn elsewhere_nothing_is_said_and_term_and_the_time_end_it() {
    for args in [&[][..], &["--timeout", "1"], &["--wait=no"]] {
        let place = Place::new();
        let args = [&["record", "-q", "-o", "log"], args, &["--", "sh", "-c", LEAVES]].concat();
        let mut lab = place.lab(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        if args.len() == 8 {
            // The end of the command is in the log before it is waited for anything else.
            let ended = || std::fs::read_to_string(place.path("log")).is_ok_and(|log| log.contains("\"code\":3}"));
            while !ended() {
                std::thread::yield_now();
            }
            send(pid_of(&lab), libc::SIGTERM);
        }
        let status = end_of(&mut lab);
        assert_eq!(status.code(), Some(3), "{args:?}");
        let (mut said, mut printed) = (String::new(), String::new());
        std::io::Read::read_to_string(&mut lab.stderr.take().expect("piped"), &mut said).expect("read");
        std::io::Read::read_to_string(&mut lab.stdout.take().expect("piped"), &mut printed).expect("read");
        assert_eq!(said, "", "{args:?}");
        let pid = printed.trim().strip_prefix("left ").expect("a PID");
        // Whoever has inherited it may not have reaped it yet.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_else(|_| ") Z ".to_owned());
        assert!(stat.contains(") Z "), "{args:?} leaves {stat}");
    }
}

#[test]
fn a_daemon_does_what_it_does_without_the_lab() {
    let place = Place::new();
    let daemon = "use POSIX; fork and exit 0; POSIX::setsid(); fork and POSIX::_exit(0); close $_ for *STDIN, *STDOUT, *STDERR; \
                  select undef, undef, undef, 0.3; open F, '>', 'late'; print F 'x'; close F";
    let mut lab = place.lab(&["record", "-q", "-o", "log", "--", "perl", "-e", daemon]).spawn().expect("started");
    assert!(end_of(&mut lab).success());
    assert_eq!(std::fs::read(place.path("late")).expect("the file"), b"x");
}

#[test]
fn what_ends_by_itself_at_once_is_not_worth_a_word() {
    let place = Place::new();
    let mut terminal = OnTerminal::start(&place, &["record", "-o", "log", "--", "sh", "-c", "true & exit 0"]);
    assert_eq!(terminal.end(), Some(0));
    assert!(!terminal.text().contains("the command has ended"));
}
