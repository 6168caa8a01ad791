//! Signals to the lab: nothing recorded is lost, and no process stays behind.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Place, finish, read_events};

/// Starts `record -o log -- sh -c SCRIPT` and waits for the first line that the script prints.
fn start(place: &Place, script: &str) -> (Child, String) {
    let mut command = place.proclab(&["record", "-o", "log", "--", "sh", "-c", script]);
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut lab = command.spawn().expect("started");
    let mut line = String::new();
    BufReader::new(lab.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    (lab, line.trim().to_owned())
}

fn pid_of(lab: &Child) -> Pid {
    Pid::from_raw(lab.id() as i32)
}

#[test]
fn term_and_hup_end_the_run_and_finish_the_file() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let place = Place::new();
        let (mut lab, pid) = start(&place, "echo $$; exec sleep 1000");
        kill(pid_of(&lab), signal).expect("sent");
        assert_eq!(lab.wait().expect("ended").code(), Some(code));
        let mut said = String::new();
        lab.stderr.take().expect("piped").read_to_string(&mut said).expect("read");
        assert_eq!(said, "proclab: the run was ended before it was over\n");
        let events = read_events(&place.path("log"));
        assert!(events.iter().any(|event| event["event"] == "write" && event["bytes"] == pid.len() + 1));
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "nothing is left behind");
    }
}

#[test]
fn the_interrupt_of_the_terminal_is_the_programs() {
    let place = Place::new();
    let (mut lab, _) = start(&place, "trap 'exit 5' INT; echo ready; while :; do :; done");
    // As the terminal does it: to the whole group.
    kill(Pid::from_raw(-pid_of(&lab).as_raw()), Signal::SIGINT).expect("sent");
    assert_eq!(lab.wait().expect("ended").code(), Some(5));
    let events = read_events(&place.path("log"));
    assert!(events.iter().any(|event| event["event"] == "signal" && event["signal"] == "SIGINT"));
}

#[test]
fn a_killed_lab_takes_its_tracees_along_and_the_log_is_readable() {
    let place = Place::new();
    let (mut lab, pid) = start(&place, "echo $$; exec sleep 1000");
    let process = Pid::from_raw(pid.parse().expect("a PID"));
    let pidfd = std::fs::File::open(format!("/proc/{process}/stat")).expect("alive");
    kill(pid_of(&lab), Signal::SIGKILL).expect("sent");
    lab.wait().expect("ended");
    // PTRACE_O_EXITKILL: reading its /proc file fails from the moment it is reaped, by whoever has
    // inherited it; until then it is dying or a zombie.
    loop {
        let mut text = String::new();
        let mut file = &pidfd;
        if file.rewind().and_then(|()| file.read_to_string(&mut text)).is_err() || text.contains(") Z ") {
            break;
        }
        std::thread::yield_now();
    }
    // What was handed on before is there; the last line may be cut off.
    let log = std::fs::read(place.path("log")).expect("the log");
    let lines = log.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    for line in lines {
        serde_json::from_slice::<serde_json::Value>(line).expect("JSON");
    }
}

#[test]
fn programs_find_their_signals_as_without_the_lab() {
    let place = Place::new();
    let lab = env!("CARGO_BIN_EXE_proclab");
    let status = "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status";
    for setting in ["", "trap '' HUP INT QUIT; ", "trap '' PIPE; "] {
        let shell = |line: String| {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", &line]);
            place.settle(&mut command);
            finish(&mut command).code(0).text().to_owned()
        };
        let without = shell(format!("{setting}exec {status}"));
        let with = shell(format!("{setting}exec {lab} record -o log -- {status}"));
        assert_eq!(masks(&with), masks(&without), "after `{setting}`");
        assert!(without.contains("SigIgn"));
    }
}

/// The masks of `/proc/self/status`, without the two signals that the C library keeps for itself: it
/// handles them in every program with threads, so that an exec resets them.
fn masks(text: &str) -> Vec<u64> {
    let own = 1 << 31 | 1 << 32;
    let mask = |line: &str| Some(u64::from_str_radix(line.split_once('\t')?.1, 16).ok()? & !own);
    text.lines().filter_map(mask).collect()
}
