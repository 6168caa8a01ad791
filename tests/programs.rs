//! Any program on the bench behaves as it does without the lab: same output, same status, same signals.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

#[path = "programs/network.rs"]
mod network;

/// A fixture, compiled once.
type Fixture = OnceLock<(tempfile::TempDir, PathBuf)>;

/// The C compiler is the one that links Rust programs.
fn compiled<'a>(fixture: &'a Fixture, name: &str) -> &'a Path {
    let (_, path) = fixture.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join(name);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.c"));
        let status = Command::new("cc").arg("-O1").arg("-pthread").arg("-o").arg(&program).arg(source).status();
        assert!(status.expect("cc").success());
        (directory, program)
    });
    path
}

fn fixture() -> &'static Path {
    static FIXTURE: Fixture = OnceLock::new();
    compiled(&FIXTURE, "programs")
}

fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().expect("it starts")
}

/// Runs `words` with and without the lab; returns the recording.
fn compare(words: &[&str]) -> String {
    let mut plain = Command::new(words[0]);
    plain.args(&words[1..]);
    let plain = run(plain);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("log");
    let mut traced = Command::new(env!("CARGO_BIN_EXE_proclab"));
    traced.arg("record").arg("-o").arg(&file).arg("--").args(words);
    let traced = run(traced);
    let log = std::fs::read_to_string(&file).expect("a recording");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&plain.stdout), text(&traced.stdout), "{words:?}: output; {}", text(&traced.stderr));
    assert_eq!(plain.status.code(), traced.status.code(), "{words:?}: exit status; {}", text(&traced.stderr));
    assert_eq!(plain.status.signal(), traced.status.signal(), "{words:?}: signal; {}", text(&traced.stderr));
    log
}

fn role(name: &str) -> String {
    compare(&[fixture().to_str().expect("a path"), name])
}

fn count(log: &str, event: &str, also: &str) -> usize {
    let event = format!("\"event\":\"{event}\"");
    log.lines().filter(|line| line.contains(&event) && line.contains(also)).count()
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
    let sum = |event: &str, task: &str, channel: &str| -> u64 {
        log.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|line| line["event"] == event && line["task"] == task && line["channel"] == channel)
            .filter_map(|line| line["bytes"].as_u64())
            .sum()
    };
    let pipe = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|line| line["event"] == "write" && line["task"] == "head")
        .and_then(|line| line["channel"].as_str().map(str::to_owned))
        .expect("head writes");
    assert_eq!(sum("write", "head", &pipe), 300_000);
    assert_eq!(sum("read", "dd", &pipe), 300_000);
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
