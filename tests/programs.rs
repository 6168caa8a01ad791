//! Any program on the bench behaves as it does without the lab: same output, same status, same signals.

#[path = "support/foreign.rs"]
mod foreign;

use std::path::Path;
use std::sync::OnceLock;

#[path = "programs/network.rs"]
mod network;
#[path = "programs/sandbox.rs"]
mod sandbox;

use foreign::{compare, count, sum};

/// The fixture, compiled once.
fn fixture() -> &'static Path {
    static FIXTURE: OnceLock<foreign::Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| foreign::compile("programs")).path()
}

fn role(name: &str) -> String {
    compare(&[fixture().to_str().expect("a path"), name])
}

#[test]
fn threads() {
    let log = role("threads");
    assert_eq!(count(&log, "spawn", "\"how\":\"thread\""), 8);
    assert_eq!(count(&log, "exit", ""), 9);
}

#[test]
fn exec_from_a_thread_that_is_not_the_leader() {
    let log = role("exec-from-thread");
    assert_eq!(count(&log, "exec", "\"done\""), 1);
    assert_eq!(count(&log, "exit", "\"task\":\"programs\""), 1);
}

#[test]
fn posix_spawn_and_its_failure() {
    let log = role("spawn");
    assert_eq!(count(&log, "reap", "\"code\":3"), 1);
    assert_eq!(count(&log, "exec", "ENOENT"), 1);
}

#[test]
fn vfork() {
    let log = role("vfork");
    assert_eq!(count(&log, "spawn", "\"how\":\"vfork\""), 1);
}

#[test]
fn a_thousand_children_at_once() {
    let log = role("thousand");
    assert_eq!(count(&log, "spawn", "\"how\":\"fork\",\"call\""), 1000);
    assert_eq!(count(&log, "reap", ""), 1000);
}

#[test]
fn signals_caught_ignored_queued_and_deadly() {
    let log = role("signals");
    assert_eq!(count(&log, "signal", "\"phase\":\"handler\",\"signal\":\"SIGUSR1\""), 2);
    assert_eq!(count(&log, "signal", "\"phase\":\"handler\",\"signal\":\"SIGRTMIN+3\""), 3);
    assert_eq!(count(&log, "signal", "\"phase\":\"returned\""), 5);
    assert_eq!(count(&log, "signal", "\"phase\":\"ignored\",\"signal\":\"SIGUSR2\""), 1);
    assert_eq!(count(&log, "signal", "\"phase\":\"default\",\"signal\":\"SIGTERM\""), 1);
}

#[test]
fn stopped_and_continued() {
    let log = role("stop-and-continue");
    assert_eq!(count(&log, "signal", "\"phase\":\"default\",\"signal\":\"SIGSTOP\""), 1);
}

#[test]
fn killed_by_a_fault() {
    let log = role("segfault");
    assert_eq!(count(&log, "exit", "\"signal\":\"SIGSEGV\""), 1);
}

#[test]
fn interrupted_and_restarted() {
    let log = role("interrupted");
    assert_eq!(count(&log, "read", "EINTR"), 1);
}

#[test]
fn shells_and_pipelines() {
    let log = compare(&["sh", "-c", "cat /etc/passwd | sort | uniq | wc -l; false || echo done; exit 4"]);
    for name in ["cat", "sort", "uniq", "wc"] {
        assert_eq!(count(&log, "exec", &format!("\"name\":\"{name}\"")), 1, "{name}");
    }
    compare(&["sh", "-c", "kill -KILL $$"]);
    compare(&["sh", "-c", "trap 'echo caught' USR1; kill -USR1 $$; echo after"]);
    compare(&["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do (echo $i) & done | sort; wait; echo all | tr a-z A-Z"]);
}

#[test]
fn what_can_be_seen_of_signals_is_as_it_was() {
    compare(&["sh", "-c", "grep -E '^(SigBlk|SigIgn|SigCgt|SigPnd|ShdPnd)' /proc/self/status"]);
}

#[test]
fn bytes_are_counted_exactly() {
    let log = compare(&["sh", "-c", "head -c 300000 /dev/zero | dd bs=1000 2>/dev/null | wc -c"]);
    let pipe = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|line| line["event"] == "write" && line["task"] == "head")
        .and_then(|line| line["channel"].as_str().map(str::to_owned))
        .expect("head writes");
    assert_eq!(sum(&log, "write", "head", &pipe), 300_000);
    assert_eq!(sum(&log, "read", "dd", &pipe), 300_000);
}

#[test]
fn perl_and_python() {
    compare(&["perl", "-e", "$SIG{USR1} = sub { print qq{usr1\\n} }; kill USR1 => $$; print `echo hi`; exit 6"]);
    compare(&[
        "python3",
        "-c",
        "import subprocess, threading\nt = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\nprint(subprocess.run(['sh', '-c', 'exit 3']).returncode)",
    ]);
}

/// The tracer must not wait for a page that only a task of the run can serve, nor for a lock of somebody who does.
#[test]
fn pages_that_a_thread_serves() {
    let served = foreign::compile("served");
    let directory = tempfile::tempdir().expect("a directory");
    let may = std::process::Command::new(served.path()).current_dir(directory.path()).output().expect("it starts");
    if may.status.code() == Some(77) {
        println!("skipped: {}", String::from_utf8_lossy(&may.stderr));
        return;
    }
    for options in [&[][..], &["--all"], &["--serial"], &["--watch-memory"]] {
        let options: Vec<&str> = options.iter().copied().chain(["--timeout", "60"]).collect();
        let log = foreign::compare_with(&options, &[served.path().to_str().expect("a path")]);
        assert_eq!(count(&log, "write", "\"bytes\":4096"), 1, "what was not looked at is counted");
    }
}

/// Nor may it ask a file system that a process of the run serves: who serves would see it, and the lab may hold it.
#[test]
fn files_that_a_process_serves() {
    let fuse = foreign::compile("fuse");
    let may = std::process::Command::new(fuse.path()).output().expect("it starts");
    if may.status.code() == Some(77) {
        println!("skipped: no file system can be mounted here");
        return;
    }
    for options in [&[][..], &["--all"], &["--serial"], &["--watch-memory"]] {
        let options: Vec<&str> = options.iter().copied().chain(["--timeout", "60"]).collect();
        let log = foreign::compare_with(&options, &[fuse.path().to_str().expect("a path")]);
        assert_eq!(count(&log, "read", "\"bytes\":6,"), 1);
    }
}
