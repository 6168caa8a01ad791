//! Programs whose every access to shared memory is watched must not notice it: what they print and how they
//! end is held against a run without the lab.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The fixtures, compiled once.
fn fixture(name: &str) -> &'static Path {
    static FIXTURES: OnceLock<(tempfile::TempDir, [(&str, PathBuf); 2])> = OnceLock::new();
    let (_, fixtures) = FIXTURES.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let compiled = ["watched", "detours"].map(|name| {
            let program = directory.path().join(name);
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.c"));
            let mut compiler = Command::new("cc");
            let status = compiler.args(["-O1", "-pthread", "-o"]).arg(&program).arg(source).arg("-lrt").status();
            assert!(status.expect("cc").success());
            (name, program)
        });
        (directory, compiled)
    });
    fixtures.iter().find(|(known, _)| *known == name).map(|(_, program)| program).expect("a fixture")
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("it starts")
}

/// Runs a role alone, and watched in each mode; returns the last recording.
fn role(name: &str) -> Vec<Value> {
    role_of("watched", name)
}

fn role_of(program: &str, name: &str) -> Vec<Value> {
    let alone = run(Command::new(fixture(program)).arg(name));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(alone.status.code(), Some(0), "{name} without the lab: {alone:?}");
    let mut recording = String::new();
    for options in [&["--cpus", "all"][..], &["--serial"], &[]] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("log");
        let mut watched = Command::new(env!("CARGO_BIN_EXE_proclab"));
        watched.args(["record", "--watch-memory", "--timeout", "100"]).args(options);
        let watched = run(watched.arg("-o").arg(&file).arg("--").arg(fixture(program)).arg(name));
        let error = text(&watched.stderr);
        assert_eq!(text(&alone.stdout), text(&watched.stdout), "{name} {options:?}: output; {error}");
        assert_eq!(alone.status.code(), watched.status.code(), "{name} {options:?}: exit status; {error}");
        recording = std::fs::read_to_string(&file).expect("a recording");
    }
    recording.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The numbers that were stored at an offset, in order.
fn stored(log: &[Value], offset: u64) -> Vec<i64> {
    let stores = log.iter().filter(|line| line["event"] == "store" && line["offset"] == offset);
    stores.filter_map(|line| line["value"].as_i64()).collect()
}

#[test]
fn what_is_ignored_or_blocked_or_pending_stays_so() {
    let log = role("ignored");
    assert_eq!([0, 4, 8, 12].map(|offset| stored(&log, offset)), [[1], [2], [3], [4]]);
}

#[test]
fn what_was_ignored_before_an_exec_stays_so() {
    role("inherited");
}

#[test]
fn a_fault_of_its_own_is_forced_as_without_the_lab() {
    role("forced");
}

#[test]
fn instructions_of_every_kind() {
    let log = role("kinds");
    let bytes = |event: &str| -> Vec<u64> {
        let lines = log.iter().filter(|line| line["event"] == event);
        lines.filter_map(|line| line["bytes"].as_u64()).collect()
    };
    let stores = bytes("store");
    let count = |bytes: u64| stores.iter().filter(|it| **it == bytes).count();
    // cmpxchg16b; rep movsb of 40, rep movsq of 24, rep stosb of 50; each of them one store. The copy onto
    // itself goes backward, and the x87 stores 10 bytes.
    assert!(count(16) >= 5, "{stores:?}");
    assert_eq!((count(40), count(24), count(50)), (1, 1, 1), "{stores:?}");
    assert!(count(10) >= 3, "{stores:?}");
    assert!(stores.contains(&8), "{stores:?}");
}

#[test]
fn handlers_on_an_alternate_stack_of_shared_memory() {
    role("alternate");
}

#[test]
fn children_that_share_the_pages_until_their_exec() {
    let log = role("spawned");
    assert_eq!((stored(&log, 0), stored(&log, 4)), (vec![1, 2, 3, 4], vec![77]));
}

#[test]
fn pages_that_the_program_protects_moves_and_replaces() {
    let log = role("remapped");
    let stores = log.iter().filter(|line| line["event"] == "store").count();
    assert_eq!(stores, 8);
}

#[test]
fn a_thread_in_a_call_that_was_told_of_the_page() {
    let log = role("told");
    let called = log.iter().filter(|line| line["event"] == "store" && line["call"] == "read");
    assert!(called.count() > 0, "what `read` puts there is a store of that call");
}

#[test]
fn calls_that_are_told_of_pages() {
    let log = role("calls");
    let reached = log.iter().filter(|line| line["event"] == "read" && line["call"] == "process_vm_readv");
    let reached: Vec<_> = reached.map(|line| line["data"].clone()).collect();
    assert_eq!(reached, ["hello", "child"]);
    let stored = log.iter().filter(|line| line["event"] == "store" && line["call"] == "process_vm_writev");
    let stored: Vec<_> = stored.map(|line| line["bytes"].as_u64()).collect();
    assert_eq!(stored, [Some(10), Some(6), Some(10)], "of the call that put it there, once each");
}

/// The lab reaches memory that the caller has not mapped with `CAP_CHECKPOINT_RESTORE` only (proc(5)).
#[test]
fn a_call_reaches_memory_that_another_has_alone() {
    let mapped = std::fs::read_dir("/proc/self/map_files").into_iter().flatten().flatten().next();
    if mapped.is_none_or(|entry| std::fs::File::open(entry.path()).is_err_and(|error| error.raw_os_error() == Some(1)))
    {
        return;
    }
    let log = role("alone");
    let stored = log.iter().filter(|line| line["event"] == "store" && line["call"] == "process_vm_writev");
    let stored: Vec<_> = stored.map(|line| line["bytes"].as_u64()).collect();
    assert_eq!(stored, [Some(10), Some(6), Some(10)]);
}

#[test]
fn the_owner_of_a_robust_mutex_dies() {
    role("robust");
}

#[test]
fn memory_that_nobody_touches() {
    let log = role("untouched");
    assert_eq!(stored(&log, 8192), [1]);
}

#[test]
fn mappings_that_are_only_read_or_executed() {
    let log = role("readonly");
    let seen = log.iter().any(|line| line["event"] == "load" && line["value"] == 42);
    assert!(seen, "the reader may only read, and that is seen");
    // `lea 1(%rdi,%rdi),%eax; ret`, byte by byte.
    assert_eq!(log.iter().filter(|line| line["event"] == "store" && line["bytes"] == 1).count(), 4);
}

#[test]
fn one_segment_at_two_addresses() {
    let log = role("twice");
    assert_eq!([0, 8, 16, 40, 56].map(|offset| stored(&log, offset)), [[1], [2], [3], [3], [3]]);
    let channels = log.iter().filter(|line| line["event"] == "create" && line["kind"] == "shm").count();
    assert_eq!(channels, 1);
}

#[test]
fn long_copies_are_few_accesses() {
    let log = role("much");
    let repeated = log.iter().filter(|line| line["event"] == "store" && line["bytes"] == 4096).count();
    assert!(repeated >= 2, "8192 rounds are two accesses");
}

/// How often a phase of a signal stands in the log.
fn phases(log: &[Value], signal: &str, phase: &str) -> usize {
    log.iter().filter(|line| line["event"] == "signal" && line["signal"] == signal && line["phase"] == phase).count()
}

#[test]
fn a_hundred_stops_while_memory_is_used() {
    let log = role_of("detours", "stops");
    for phase in ["generated", "dequeued", "delivered", "default"] {
        assert_eq!(phases(&log, "SIGSTOP", phase), 100, "{phase}");
    }
}

#[test]
fn every_signal_finds_its_handler_while_memory_is_used() {
    let log = role_of("detours", "handled");
    assert_eq!(phases(&log, "SIGTRAP", "handler"), phases(&log, "SIGUSR1", "handler"));
}

#[test]
fn every_signal_waits_blocked_while_memory_is_used() {
    role_of("detours", "blocked");
}

#[test]
fn every_signal_by_default_and_ignored_while_memory_is_used() {
    role_of("detours", "defaults");
}

#[test]
fn a_thread_sends_every_signal_while_memory_is_used() {
    role_of("detours", "threads");
}

#[test]
fn a_process_with_threads_stops_while_memory_is_used() {
    role_of("detours", "group");
}

#[test]
fn an_exec_of_another_thread_and_the_end_come_while_memory_is_used() {
    role_of("detours", "ends");
}
