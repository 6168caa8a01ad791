//! `record`: signals of all kinds.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::{HARMLESS, Place, STOPS, end_of, fatal, pid_of, send};

/// Starts `record -o log -- sh -c SCRIPT` in a group of its own and waits for the first line of the script.
fn start(place: &Place, script: &str) -> (Child, String) {
    let mut command = place.lab(&["record", "-q", "-o", "log", "--", "sh", "-c", script]);
    command.process_group(0).stdout(Stdio::piped());
    let mut lab = command.spawn().expect("started");
    let mut line = String::new();
    BufReader::new(lab.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    (lab, line.trim().to_owned())
}

const SLEEPER: &str = "echo $$; exec sleep 1000";

#[test]
fn every_signal_ends_a_recording_and_its_log_is_whole() {
    // SIGINT and SIGQUIT are the program's, as long as there is one.
    let signals: Vec<i32> = fatal().filter(|number| ![libc::SIGINT, libc::SIGQUIT].contains(number)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(&signal) = signals.get(next.fetch_add(1, Ordering::Relaxed)) {
            let place = Place::new();
            let (mut lab, pid) = start(&place, SLEEPER);
            send(pid_of(&lab), signal);
            assert_eq!(end_of(&mut lab).code(), Some(128 + signal), "signal {signal}");
            assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "signal {signal} leaves the program");
            assert!(place.log().iter().any(|event| event["event"] == "exec"), "signal {signal}");
        }
    };
    std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(work))));
}

#[test]
fn what_ends_nobody_does_not_end_a_recording() {
    let place = Place::new();
    let (mut lab, _) = start(&place, SLEEPER);
    for signal in HARMLESS.into_iter().chain([libc::SIGINT, libc::SIGQUIT]).filter(|it| *it != libc::SIGKILL) {
        send(pid_of(&lab), signal);
    }
    for signal in STOPS {
        send(pid_of(&lab), signal);
        let stopped = waitpid(pid_of(&lab), Some(WaitPidFlag::WUNTRACED)).expect("waiting");
        assert!(matches!(stopped, WaitStatus::Stopped(_, by) if by as i32 == signal), "{stopped:?}");
        send(pid_of(&lab), libc::SIGCONT);
    }
    send(pid_of(&lab), libc::SIGTERM);
    assert_eq!(end_of(&mut lab).code(), Some(128 + libc::SIGTERM));
}

#[test]
fn a_program_that_ignores_everything_is_ended_all_the_same() {
    let place = Place::new();
    let script = "$SIG{$_} = 'IGNORE' for grep { !/KILL|STOP|CHLD|NUM/ } keys %SIG; $| = 1; print \"ready\\n\"; \
                  fork; fork; 1 while 1";
    let mut command = place.lab(&["record", "-q", "-o", "log", "--", "perl", "-e", script]);
    let mut lab = command.stdout(Stdio::piped()).spawn().expect("started");
    BufReader::new(lab.stdout.as_mut().expect("piped")).read_line(&mut String::new()).expect("a line");
    send(pid_of(&lab), libc::SIGTERM);
    assert_eq!(end_of(&mut lab).code(), Some(128 + libc::SIGTERM));
}

#[test]
fn a_log_that_may_not_grow_is_a_failure_that_is_said() {
    let place = Place::new();
    // RLIMIT_FSIZE is counted in blocks of 512 bytes by dash and of 1024 by bash.
    let script = format!(
        "ulimit -f 4; exec {} record -o log -- sh -c ': | : | : | : | : | : | : | :'",
        env!("CARGO_BIN_EXE_proclab")
    );
    let output = place.command("sh", &["-c", &script]).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot write the log to log: File too large"), "{said}");
}
