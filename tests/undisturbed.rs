//! A signal that is thrown away without the lab is thrown away with it, and nobody notices: no call is
//! interrupted, no mask shows it, no queue holds it. Process 1 of a PID namespace dies of a fault and of nothing
//! that it has no handler for.

#[path = "support/foreign.rs"]
mod foreign;

use std::sync::LazyLock;

use foreign::{Fixture, compare, compare_with, compile, count, events};

static CALLS: LazyLock<Fixture> = LazyLock::new(|| compile("undisturbed"));
static PROCESS_ONE: LazyLock<Fixture> = LazyLock::new(|| compile("process_one"));

#[test]
fn forty_seven_calls_and_six_signals() {
    let log = compare(&[CALLS.path().to_str().expect("a path")]);
    assert!(count(&log, "signal", "\"phase\":\"ignored\",\"signal\":\"SIGUSR1\"") >= 47);
    assert_eq!(
        count(&log, "syscall", "EINTR"),
        count(&log, "syscall", "\"call\":\"pause\"") + count(&log, "syscall", "\"call\":\"rt_sigsuspend\"")
    );
}

#[test]
fn masks_and_queues_are_the_programs_own() {
    let log = compare(&CALLS.role("masks"));
    let hidden = count(&log, "signal", "\"phase\":\"ignored\",\"signal\":\"SIGRTMIN+1\"");
    assert!(hidden >= 25, "{hidden}");
}

#[test]
fn a_handler_that_another_thread_sets_is_entered() {
    let log = compare(&CALLS.role("threads"));
    assert_eq!(count(&log, "signal", "\"phase\":\"handler\",\"signal\":\"SIGURG\""), 1);
    assert_eq!(count(&log, "signal", "\"phase\":\"ignored\",\"signal\":\"SIGUSR1\""), 2000);
}

/// 20,000 are more than some may have in their queues, and a timer of 1 us is faster than any tracer.
#[test]
fn queues_do_not_fill_and_timers_do_not_hinder() {
    let log = compare(&CALLS.role("many"));
    assert_eq!(count(&log, "signal", "\"phase\":\"ignored\",\"signal\":\"SIGRTMIN\""), 20_000);
    assert!(log.lines().count() < 41_000, "{} lines", log.lines().count());
}

#[test]
fn a_handler_without_room_for_its_frame_is_not_entered() {
    let path = CALLS.path().to_str().expect("a path");
    let log = compare(&[path, "frames", "300"]);
    assert_eq!(count(&log, "signal", "\"phase\":\"no-frame\",\"signal\":\"SIGHUP\""), 300);
    assert_eq!(count(&log, "signal", "\"phase\":\"handler\",\"signal\":\"SIGHUP\""), 0);
    assert_eq!(count(&log, "signal", "\"phase\":\"handler\",\"signal\":\"SIGSEGV\""), 300);
    assert!(log.len() < 1_000_000, "{} bytes", log.len());
    let log = compare(&CALLS.role("own-frame"));
    assert_eq!(count(&log, "signal", "\"phase\":\"no-frame\",\"signal\":\"SIGSEGV\""), 1);
}

/// What process 1 dies of, as its parent and the log have it.
fn process_one(role: &str, signal: Option<&str>) -> String {
    let log = compare(&PROCESS_ONE.role(role));
    let ends: Vec<_> = events(&log).filter(|event| event["event"] == "exit" && event["tid"] == 1).collect();
    let [end] = &ends[..] else { panic!("{role}: {ends:#?}") };
    match signal {
        Some(signal) => assert_eq!(end["signal"], signal, "{role}"),
        None => assert_eq!(end["code"], 7, "{role}"),
    }
    assert_eq!(count(&log, "reap", "\"child_pid\":1"), 1, "{role}");
    assert!(log.lines().count() < 2000, "{role}: {} lines", log.lines().count());
    log
}

/// In each mode that lets tasks run as they like.
fn compare_freely(words: &[&str]) {
    for options in [&[][..], &["--all"], &["--watch-memory"], &["--isolate"]] {
        compare_with(options, words);
    }
}

#[test]
fn the_mask_of_the_leader_decides() {
    compare_freely(&CALLS.role("leader"));
    compare_with(&["--serial"], &CALLS.role("leader"));
}

#[test]
fn no_call_waits_longer_for_ignored_signals() {
    let path = CALLS.path().to_str().expect("a path");
    for signal in [libc::SIGUSR1, libc::SIGCONT].map(|signal| signal.to_string()) {
        compare_freely(&[path, "lengths", &signal]);
    }
}

#[test]
fn dispositions_are_shared_by_more_than_threads() {
    compare_freely(&CALLS.role("table"));
    compare_with(&["--serial"], &CALLS.role("table"));
}

#[test]
fn the_own_mask_is_read_in_many_ways() {
    compare_freely(&CALLS.role("status"));
    compare_with(&["--serial"], &CALLS.role("status"));
}

#[test]
fn the_thread_that_sleeps_takes_a_signal_to_the_process() {
    compare_freely(&CALLS.role("chosen"));
}

#[test]
fn handlers_that_are_set_unseen_are_entered() {
    for role in ["supervised", "foreign"] {
        compare_freely(&CALLS.role(role));
        compare_with(&["--serial"], &CALLS.role(role));
    }
}

#[test]
fn an_ignored_timer_counts_on() {
    compare_freely(&CALLS.role("overrun"));
}

#[test]
fn ignored_real_time_signals_take_no_room() {
    compare_freely(&CALLS.role("room"));
}

#[test]
fn children_of_process_one_die_of_what_it_throws_away() {
    for options in [&[][..], &["--all"], &["--watch-memory"], &["--serial"]] {
        compare_with(options, &PROCESS_ONE.role("children"));
    }
}

#[test]
fn process_one_dies_of_a_fault() {
    for role in ["fault", "abort", "blocked", "ignored", "thread"] {
        process_one(role, Some("SIGSEGV"));
    }
    process_one("trap", Some("SIGILL"));
    process_one("breakpoint", Some("SIGTRAP"));
    if cfg!(target_arch = "x86_64") {
        process_one("divide", Some("SIGFPE"));
    }
}

#[test]
fn the_namespace_goes_with_process_one() {
    let log = process_one("others", Some("SIGSEGV"));
    assert_eq!(count(&log, "exit", "\"signal\":\"SIGKILL\""), 5);
}

#[test]
fn process_one_throws_away_what_it_has_no_handler_for() {
    let log = process_one("discards", None);
    // SIGKILL and SIGSTOP from inside are thrown away too.
    for signal in ["SIGTERM", "SIGINT", "SIGUSR1", "SIGTSTP", "SIGSTOP", "SIGKILL", "SIGSEGV", "SIGRTMIN+30"] {
        let phase = format!("\"phase\":\"discarded\",\"signal\":\"{signal}\"");
        assert_eq!(count(&log, "signal", &phase), 2, "{signal}");
        assert_eq!(count(&log, "signal", &format!("\"phase\":\"default\",\"signal\":\"{signal}\"")), 0, "{signal}");
    }
}
