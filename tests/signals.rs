//! Signals of foreign programs: what the recording says of their lives, and that the programs do what they
//! do without the lab.

#[path = "support/foreign.rs"]
mod foreign;

use std::sync::LazyLock;
use std::time::Instant;

use foreign::{Fixture, compare, compile, events};
use serde_json::Value;

static SIGNALS: LazyLock<Fixture> = LazyLock::new(|| compile("signals"));

fn role(words: &[&str]) -> Vec<Value> {
    let path = SIGNALS.path().to_str().expect("a path");
    let words: Vec<&str> = std::iter::once(path).chain(words.iter().copied()).collect();
    events(&compare(&words)).collect()
}

/// The signal events of one signal and phase.
fn phases<'a>(events: &'a [Value], signal: &str, phase: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["signal"] == signal && event["phase"] == phase).collect()
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

#[test]
fn ten_thousand_real_time_signals_are_counted_and_kept_in_order() {
    for kinds in ["1", "5"] {
        let events = role(&["queue", "10000", kinds]);
        let taken: Vec<i64> = events
            .iter()
            .filter(|event| event["phase"] == "handler")
            .map(|event| event["value"].as_i64().expect("a value"))
            .collect();
        let count = |phase: &str| events.iter().filter(|event| event["phase"] == phase).count();
        assert_eq!([count("generated"), count("pending"), count("dequeued"), count("returned")], [10_000; 4]);
        // Unblocked one number after the other: each in the order in which it was sent.
        let kinds: i64 = kinds.parse().expect("a number");
        let order: Vec<i64> = (0..kinds).flat_map(|kind| (0..10_000).filter(move |n| n % kinds == kind)).collect();
        // All that can be delivered is, before the first instruction of a handler: the last is on top.
        let mut sorted = taken.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10_000).collect::<Vec<_>>());
        let dequeued: Vec<i64> =
            events.iter().filter(|event| event["phase"] == "dequeued").filter_map(|it| it["value"].as_i64()).collect();
        assert_eq!(dequeued, order);
    }
}

/// Four times as many take about four times as long, and not sixteen times.
#[test]
fn a_recording_grows_with_the_queue_and_not_with_its_square() {
    let time = |many: &str| {
        let start = Instant::now();
        role(&["queue", many, "3"]);
        start.elapsed()
    };
    let (few, many) = (time("2500"), time("10000"));
    assert!(many < few * 9, "2500 took {few:?}, 10000 took {many:?}");
}

#[test]
fn what_goes_past_the_limit_is_told() {
    let events = role(&["limit"]);
    let limit = named(&events, "limit");
    assert_eq!(limit.len(), 1);
    assert_eq!((&limit[0]["limit"], &limit[0]["value"]), (&"RLIMIT_SIGPENDING".into(), &0.into()));
    let failed: Vec<&Value> = events.iter().filter(|event| event["errno"] == "EAGAIN").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["call"], "rt_sigqueueinfo");
}

#[test]
fn a_standard_signal_that_waits_swallows_the_next() {
    let events = role(&["coalesce"]);
    let count = |phase| phases(&events, "SIGUSR1", phase).len();
    assert_eq!([count("generated"), count("pending"), count("coalesced"), count("handler")], [3, 1, 2, 1]);
}

#[test]
fn a_signal_is_for_a_process_or_for_a_thread() {
    let events = role(&["threads"]);
    let usr1 = phases(&events, "SIGUSR1", "generated");
    let usr2 = phases(&events, "SIGUSR2", "generated");
    assert_eq!(usr1.iter().map(|it| it.get("queue").is_none()).collect::<Vec<_>>(), [true]);
    assert_eq!(usr2.iter().map(|it| it["queue"] == "thread").collect::<Vec<_>>(), [true, true]);
    // The other thread's is not the first one's.
    assert_ne!(usr2[0]["tid"], usr2[1]["tid"]);
    assert_eq!(phases(&events, "SIGUSR2", "handler").len(), 1);
    // What is for the process waits, because both threads block it.
    assert_eq!(phases(&events, "SIGUSR1", "pending").len(), 1);
}

#[test]
fn handlers_are_nested_and_have_a_stack() {
    let events = role(&["altstack"]);
    let stacks = named(&events, "altstack");
    assert!(stacks.iter().any(|it| it["bytes"] == 65_536), "{stacks:?}");
    let inner = phases(&events, "SIGUSR2", "handler");
    assert_eq!(inner[0]["handling"], serde_json::json!(["SIGUSR1"]));
    // What the program found out about the stack of each handler.
    assert_eq!((&inner[0]["stack"], inner[1].get("stack")), (&"alternate".into(), None));
    assert!(inner[1].get("handling").is_none());
    let sends: Vec<&Value> = phases(&events, "SIGUSR2", "generated");
    assert_eq!(sends[0]["handling"], serde_json::json!(["SIGUSR1"]));
    assert_eq!(phases(&events, "SIGUSR1", "returned")[0]["handling"], serde_json::json!(["SIGUSR1"]));
}

#[test]
fn a_handler_that_is_jumped_out_of_is_left() {
    let events = role(&["leave"]);
    assert_eq!(phases(&events, "SIGUSR1", "handler").len(), 1);
    assert_eq!(phases(&events, "SIGUSR1", "returned").len(), 0);
    assert_eq!(phases(&events, "SIGUSR1", "left").len(), 1);
    let write = events.iter().find(|event| event["event"] == "write").expect("a write");
    assert!(write.get("handling").is_none(), "{write}");
}

#[test]
fn a_thread_takes_its_mask_and_its_queue_along() {
    // What the program that it loads says of both is what it says without the lab.
    let events = role(&["thread-exec"]);
    assert_eq!(named(&events, "exec").len(), 2);
}

#[test]
fn jumps_off_the_alternate_stack() {
    let events = role(&["leave-alternate"]);
    let of = |signal| -> Vec<(String, bool)> {
        let own = events.iter().filter(|it| it["event"] == "signal" && it["signal"] == signal);
        let ends = own.filter(|it| matches!(it["phase"].as_str(), Some("handler" | "returned" | "left")));
        ends.map(|it| (it["phase"].as_str().unwrap_or("").to_owned(), it["stack"] == "alternate")).collect()
    };
    let seen =
        |list: &[(&str, bool)]| list.iter().map(|(phase, alternate)| ((*phase).to_owned(), *alternate)).collect();
    let twice: Vec<_> = seen(&[("handler", true), ("left", false), ("handler", true), ("left", false)]);
    assert_eq!(of("SIGUSR1"), twice);
    // The first interrupts a handler there; the second comes when that stack is free again.
    let seen: Vec<_> = seen(&[("handler", true), ("left", false), ("handler", false), ("returned", false)]);
    assert_eq!(of("SIGUSR2"), seen);
    assert_eq!(of("SIGHUP"), [("handler".to_owned(), true), ("returned".to_owned(), false)]);
    assert!(events.iter().filter(|it| it["event"] == "write").all(|it| it.get("handling").is_none()));
}

#[test]
fn what_becomes_of_an_interrupted_call_is_told_once() {
    for (name, then, signal) in [("restart", "restart", "SIGUSR1"), ("eintr", "eintr", "SIGUSR1")] {
        let events = role(&[name]);
        let told: Vec<&Value> = named(&events, "interrupted").into_iter().filter(|it| it["call"] == "read").collect();
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert_eq!((&told[0]["then"], &told[0]["signal"]), (&then.into(), &signal.into()), "{name}");
    }
}

#[test]
fn timers_are_told_when_they_are_set_and_when_they_run_out() {
    let events = role(&["timers"]);
    let timers: Vec<(String, String, i64)> = named(&events, "timer")
        .into_iter()
        .map(|it| {
            let text = |key: &str| it[key].as_str().unwrap_or("").to_owned();
            (text("kind"), text("change"), it["left"].as_i64().unwrap_or(-1))
        })
        .collect();
    let timers: Vec<(&str, &str, i64)> = timers.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), *c)).collect();
    assert_eq!(
        timers[..7],
        [
            ("real", "set", 1_000_000),
            ("real", "expire", 0),
            ("real", "set", 1_000_000_000_000),
            ("posix", "set", 0),
            ("posix", "set", 1_000_000),
            ("posix", "expire", 0),
            ("fd", "set", timers[6].2),
        ]
    );
    // Of a timerfd the kernel has said it a moment later.
    assert!((499_000_000_000..=500_000_000_000).contains(&timers[6].2), "{timers:?}");
    assert_eq!(timers[7..], [("posix", "delete", 0)]);
    let ring = phases(&events, "SIGRTMIN+3", "handler");
    assert_eq!((&ring[0]["code"], &ring[0]["value"]), (&libc::SI_TIMER.into(), &7.into()));
    // Both calls were waiting for just that, and sigsuspend is never restarted.
    let told = named(&events, "interrupted");
    assert!(told.iter().all(|it| it["call"] == "rt_sigsuspend" && it["then"] == "eintr-always"), "{told:?}");
    assert_eq!(told.len(), 2);
}

#[test]
fn calls_bring_masks_along_and_take_them_back() {
    let events = role(&["masks"]);
    for call in ["pselect6", "ppoll", "epoll_pwait"] {
        let at = events
            .iter()
            .position(|it| it["event"] == "mask" && it["call"] == call)
            .unwrap_or_else(|| panic!("{call}"));
        let back = events[at + 1..].iter().find(|it| it["event"] == "mask").expect("it ends");
        assert_eq!(back["blocked"], serde_json::json!(["SIGUSR1"]), "{call}");
    }
}

#[test]
fn what_a_signal_carries_is_told() {
    let events = role(&["facts"]);
    let child = phases(&events, "SIGCHLD", "generated");
    assert_eq!((&child[0]["code"], &child[0]["value"]), (&libc::CLD_EXITED.into(), &3.into()));
    let fault = phases(&events, "SIGSEGV", "generated");
    assert_eq!((&fault[0]["value"], &fault[0]["queue"]), (&8.into(), &"thread".into()));
}

#[test]
fn dispositions_are_shared_and_a_pidfd_leads_to_a_process() {
    let events = role(&["shares"]);
    let made = named(&events, "spawn").into_iter().find(|it| it.get("shares").is_some()).expect("a clone");
    assert_eq!(made["shares"], serde_json::json!(["actions"]));
    let sent = phases(&events, "SIGUSR1", "generated");
    assert_eq!((sent.len(), &sent[0]["call"]), (1, &"pidfd_send_signal".into()));
}
