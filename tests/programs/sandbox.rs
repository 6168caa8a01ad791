//! Programs that filter their own calls, or would keep a tracer from their children, do as they do without the lab.

use std::path::Path;
use std::sync::OnceLock;

use super::foreign::{self, compare_with, count, events};

fn fixture() -> &'static Path {
    static FIXTURE: OnceLock<foreign::Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| foreign::compile("sandbox")).path()
}

/// The role with and without the lab, in each way of looking; returns the last recording.
fn role(name: &str) -> String {
    let words = [fixture().to_str().expect("a path"), name];
    let ways: [&[&str]; 4] = [&["--all"], &["--serial"], &["--watch-memory"], &[]];
    ways.map(|options| compare_with(options, &words)).into_iter().next_back().unwrap_or_default()
}

#[test]
fn strict_mode() {
    let log = role("strict");
    let forbidden = |name: &str| count(&log, "note", &format!("\"{name} is forbidden in strict mode"));
    // One in a process, one in a thread.
    assert_eq!((forbidden("getppid"), forbidden("close"), forbidden("mmap")), (2, 2, 1));
    assert_eq!(forbidden("a call of another architecture"), usize::from(cfg!(target_arch = "x86_64")));
}

#[test]
fn filters_of_its_own() {
    let log = role("filters");
    // What the lab's filter would have stopped at is in the log all the same.
    for call in ["dup", "pipe2", "nanosleep", "execve"] {
        let refused = |line: &serde_json::Value| line["call"] == call && line["errno"] == "ENOSYS";
        assert!(events(&log).any(|line| refused(&line)), "{call}");
    }
    role("together");
}

#[test]
fn children_that_ask_not_to_be_traced() {
    let log = role("untraced");
    let ended = |code: u32| events(&log).filter(|line| line["event"] == "exit" && line["code"] == code).count();
    // Each is in the log from its beginning to its end.
    assert_eq!((ended(9), ended(8), ended(4)), (1, 1, 1));
    assert_eq!(ended(7), usize::from(cfg!(target_arch = "x86_64")));
    assert_eq!(count(&log, "spawn", "\"how\":\"vfork\""), 1);
    assert_eq!(count(&log, "spawn", "\"how\":\"thread\""), 1);
    assert_eq!(events(&log).filter(|line| line["event"] == "spawn").count(), 7 + ended(7));
}

#[test]
fn many_threads_at_once() {
    let words = [fixture().to_str().expect("a path"), "many", "2000"];
    let log = compare_with(&[], &words);
    assert_eq!(count(&log, "spawn", "\"how\":\"thread\""), 2000);
    assert_eq!(count(&log, "exit", ""), 2001);
}
