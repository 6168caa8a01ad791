//! What being watched costs, next to strace and to running alone: ratios taken in one run.
//!
//! `cargo bench --bench overhead`. strace must be installed. The bounds are those of the design; a
//! ratio beyond them is printed as such and fails the bench.

use std::fs::File;
use std::io::BufReader;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One-byte reads and writes: 200,000 calls in one program.
const ALONE: &str = "exec dd if=/dev/zero of=/dev/null bs=1 count=100000";
/// The same through a pipe into a second program: 400,000 calls.
const PIPED: &str = "dd if=/dev/zero bs=1 count=100000 | dd bs=1 of=/dev/null";
/// How often each side runs; the median counts. The fastest run would flatter strace: when other work
/// crowds tracer and tracee onto one CPU, it is four times as fast as when each has its own.
const ROUNDS: usize = 3;

fn main() {
    let mut failed = false;
    failed |= compare("dd bs=1, 200,000 calls", ALONE, 5.0);
    failed |= compare("dd bs=1 | dd bs=1, 400,000 calls", PIPED, 2.5);
    failed |= check_one_pipe();
    failed |= memory();
    assert!(!failed, "beyond a bound of the design");
}

fn time(program: &str, args: &[&str]) -> Duration {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status();
    let time = start.elapsed();
    assert!(status.is_ok_and(|status| status.success()), "{program} {args:?} failed");
    time
}

fn compare(what: &str, script: &str, bound: f64) -> bool {
    let lab = env!("CARGO_BIN_EXE_proclab");
    let (mut native, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    // Taken in turns, so that a busy moment of the machine hits all sides alike.
    for _ in 0..ROUNDS {
        native.push(time("sh", &["-c", script]));
        ours.push(time(lab, &["record", "-o", "/dev/null", "--", "sh", "-c", script]));
        theirs.push(time("strace", &["-f", "-o", "/dev/null", "sh", "-c", script]));
    }
    let [native, ours, theirs] = [native, ours, theirs].map(median);
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    let native_ratio = ours.as_secs_f64() / native.as_secs_f64();
    println!(
        "{what}: alone {native:.2?}, proclab {ours:.2?} ({native_ratio:.1} times alone), strace -f {theirs:.2?}: \
         {ratio:.1} times faster than strace (bound {bound})"
    );
    ratio < bound
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn check_one_pipe() -> bool {
    let bound = Duration::from_millis(60);
    let best = (0..20).map(|_| time(env!("CARGO_BIN_EXE_proclab"), &["check", "one-pipe"])).min();
    let best = best.unwrap_or(Duration::MAX);
    println!("check one-pipe, whole: {best:.1?} (bound {bound:?})");
    best >= bound
}

/// What a log of the first benchmark takes in memory, an event.
fn memory() -> bool {
    const BOUND: u64 = 120;
    let file = std::env::temp_dir().join(format!("proclab-bench-{}.jsonl", std::process::id()));
    time(env!("CARGO_BIN_EXE_proclab"), &["record", "-o", &file.to_string_lossy(), "--", "sh", "-c", PIPED]);
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
    };
    let before = resident();
    let reading = File::open(&file).map(BufReader::new).map(proclab::record::read);
    let log = reading.ok().and_then(Result::ok).map(|reading| reading.log);
    let grown = resident().saturating_sub(before);
    let events = log.as_ref().map_or(1, |log| log.len().max(1));
    let each = grown / events;
    println!("memory: {events} events in {} MiB, {each} bytes an event (bound {BOUND})", grown >> 20);
    // The file was the bench's own; should it be gone, all the better.
    let _ = std::fs::remove_file(&file);
    each >= BOUND
}
