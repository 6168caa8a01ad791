//! Foreign programs in tests: compiled, run with and without the lab, and what the log says of them.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A program of `tests/fixtures`, compiled.
#[derive(Debug)]
pub struct Fixture {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Fixture {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path and the role that it shall play, as words of a command.
    pub fn role<'a>(&'a self, role: &'a str) -> [&'a str; 2] {
        [self.path.to_str().expect("a path"), role]
    }
}

/// Compiles `tests/fixtures/NAME.c` with the C compiler that links Rust programs.
pub fn compile(name: &str) -> Fixture {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).with_extension("c");
    let status = Command::new("cc").arg("-O1").arg("-pthread").arg("-o").arg(&path).arg(source).status();
    assert!(status.expect("cc").success());
    Fixture { _directory: directory, path }
}

fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().expect("it starts")
}

/// Runs `words` with and without the lab, each in an empty directory: output and end must be the same.
/// Returns the recording.
pub fn compare(words: &[&str]) -> String {
    compare_with(&[], words)
}

/// The same with options of `record`.
pub fn compare_with(options: &[&str], words: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let mut plain = Command::new(words[0]);
    plain.args(&words[1..]).current_dir(directory.path());
    let plain = run(plain);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("log");
    let mut traced = Command::new(env!("CARGO_BIN_EXE_proclab"));
    traced.arg("record").arg("-o").arg(&file).args(options).arg("--").args(words).current_dir(directory.path());
    let traced = run(traced);
    let log = std::fs::read_to_string(&file).expect("a recording");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    same_lines(&text(&plain.stdout), &text(&traced.stdout), &format!("{words:?}: {}", text(&traced.stderr)));
    assert_eq!(plain.status.code(), traced.status.code(), "{words:?}: exit status; {}", text(&traced.stderr));
    assert_eq!(plain.status.signal(), traced.status.signal(), "{words:?}: signal; {}", text(&traced.stderr));
    log
}

/// Fails with the lines that differ, where outputs of thousands of lines would drown them.
fn same_lines(plain: &str, traced: &str, of: &str) {
    let pairs = plain
        .lines()
        .map(Some)
        .chain(std::iter::repeat(None))
        .zip(traced.lines().map(Some).chain(std::iter::repeat(None)));
    let differing: Vec<_> =
        pairs.take(plain.lines().count().max(traced.lines().count())).filter(|(a, b)| a != b).take(10).collect();
    assert!(differing.is_empty() && plain == traced, "output, without the lab and with it: {differing:#?} {of}");
}

/// How many events of this name there are that also hold `also`.
pub fn count(log: &str, event: &str, also: &str) -> usize {
    let event = format!("\"event\":\"{event}\"");
    log.lines().filter(|line| line.contains(&event) && line.contains(also)).count()
}

/// The events as JSON.
pub fn events(log: &str) -> impl Iterator<Item = serde_json::Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// How many bytes `task` wrote to or read from `channel`.
pub fn sum(log: &str, event: &str, task: &str, channel: &str) -> u64 {
    let fits = |line: &serde_json::Value| line["event"] == event && line["task"] == task && line["channel"] == channel;
    events(log).filter(fits).filter_map(|line| line["bytes"].as_u64()).sum()
}
