//! Time that is the lab's, and signals that are placed between any two steps.

#[path = "support/foreign.rs"]
mod foreign;
mod support;

use std::time::{Duration, Instant};

use proclab::control::{Ending, Outcome, Subject};
use proclab::model::{Kind, Log, Phase, Signal, Status, TaskId};
use proclab::scenario::parse_schedule;

const SEEDS: u64 = 20;

fn run(text: &str, seed: u64, schedule: &str) -> (Log, Ending) {
    let mut plan = support::plan(Subject::Scenario(Box::new(support::scenario_of(text))));
    plan.seed = seed;
    plan.schedule = parse_schedule(schedule).expect("a schedule");
    support::run(plan)
}

fn run_free(text: &str) -> (Log, Ending) {
    let mut plan = support::plan(Subject::Scenario(Box::new(support::scenario_of(text))));
    plan.serial = false;
    support::run(plan)
}

/// What the lab's clock said, in order, in milliseconds.
fn clocks(log: &Log) -> Vec<u64> {
    let now = |(_, event): (u64, &proclab::model::Event)| match event.kind {
        // It is 0 where a timer is set before it has moved.
        Kind::Clock { now } => Some(now / 1_000_000).filter(|now| *now > 0),
        _ => None,
    };
    log.range(0..log.len()).filter_map(now).collect()
}

/// The status of each task by its name.
fn ended(log: &Log) -> Vec<(String, Option<Status>)> {
    let tasks = log.head().tasks().skip(1);
    tasks.map(|task| (log.name(task.name).to_owned(), task.status)).collect()
}

fn all_exited_with_0(log: &Log) -> bool {
    ended(log).iter().all(|(_, status)| *status == Some(Status::Code(0)))
}

fn phases(log: &Log, signal: Signal) -> Vec<(TaskId, Phase, i32, bool)> {
    let phase = |(_, event): (u64, &proclab::model::Event)| match event.kind {
        Kind::Signal { phase, signal: which, from, code, .. } if which == signal => {
            Some((event.task, phase, code, from.is_some()))
        }
        _ => None,
    };
    log.range(0..log.len()).filter_map(phase).collect()
}

fn usr1() -> Signal {
    Signal::new(libc::SIGUSR1).expect("a signal")
}

fn handled(log: &Log, signal: Signal) -> usize {
    phases(log, signal).iter().filter(|(_, phase, ..)| *phase == Phase::Handler).count()
}

/// Every statement that takes time, one after the other; it exits with 1 if it sees anything wrong.
const TIMES: &str = r#"
limit seconds=4000
process parent {
    sleep 3.5
    pipe p
    poll p.read timeout=1.25
    sem_open gate "/gate" 0
    sem_timedwait gate 0.5 fails=ETIMEDOUT
    sem_unlink "/gate"
    on SIGALRM { note "rings" }
    alarm 2
    pause
    setitimer 0.5 every=0.25
    pause; pause; pause
    setitimer 0
    block SIGALRM
    alarm 7
    sigwait SIGALRM into=signal
    if signal ne 14 { exit 1 }
    signalfd inbox SIGALRM
    alarm 1
    read inbox bytes=128
    alarm 100
    sleep 2.5
    alarm 0 into=left
    if left ne 98 { exit 1 }
    setitimer 2.4
    alarm 0 into=left
    if left ne 2 { exit 1 }
    exit 0
}
"#;

#[test]
fn every_wait_elapses_in_the_labs_clock() {
    // What the clock says at the end of each wait is the sum of all before.
    let expected = [3500, 4750, 5250, 7250, 7750, 8000, 8250, 15250, 16250, 18750];
    for seed in 0..SEEDS {
        let (log, ending) = run(TIMES, seed, "");
        assert_eq!(ending.outcome, Outcome::Done, "seed {seed}");
        assert!(all_exited_with_0(&log), "seed {seed}: {:?}", ended(&log));
        assert_eq!(clocks(&log), expected, "seed {seed}");
    }
    let (log, ending) = run_free(TIMES);
    assert_eq!((ending.outcome, clocks(&log)), (Outcome::Done, expected.to_vec()));
}

#[test]
fn the_clocks_signals_are_the_kernels_own() {
    let (log, _) = run(TIMES, 3, "");
    let seen = phases(&log, Signal::ALRM);
    assert_eq!(handled(&log, Signal::ALRM), 4);
    assert!(seen.iter().any(|(_, phase, ..)| *phase == Phase::Accepted));
    let own = |phase: Phase| phase == Phase::Returned;
    for (_, phase, code, from) in seen.into_iter().filter(|(_, phase, ..)| !own(*phase)) {
        assert_eq!((code, from), (libc::SI_KERNEL, false), "{phase:?}");
    }
    // What the program has read from its signalfd: ssi_signo and ssi_code of signalfd(2).
    let read = log.range(0..log.len()).find(|(_, event)| matches!(event.kind, Kind::Read { bytes: 128, .. }));
    let data = log.payload(read.expect("it reads").1);
    assert_eq!((&data[0..4], &data[8..12]), (&14_i32.to_ne_bytes()[..], &libc::SI_KERNEL.to_ne_bytes()[..]));
}

#[test]
fn an_hour_is_over_at_once() {
    let began = Instant::now();
    let (log, ending) = run("limit seconds=4000\nprocess a { sleep 3600 }", 0, "");
    assert_eq!((ending.outcome, clocks(&log)), (Outcome::Done, vec![3_600_000]));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_sleep_is_shown_as_the_program_asked_for_it() {
    let (log, _) = run("process p { sleep 90 }", 1, "");
    let asked = log.range(0..log.len()).find_map(|(_, event)| match event.kind {
        Kind::Syscall { args } => Some(String::from_utf8_lossy(log.bytes(args)).into_owned()),
        _ => None,
    });
    assert_eq!(asked.as_deref(), Some("CLOCK_MONOTONIC, 0, {90.000000000 s}, NULL"));
}

#[test]
fn real_time_is_as_long_as_it_is() {
    let text = r#"
        real-time
        process parent {
            fork other { on SIGALRM { note "rings" }; alarm 1; pause }
            sleep 0.2
            pipe p
            poll p.read timeout=0.1
            sem_open gate "/gate" 0
            sem_timedwait gate 0.1 fails=ETIMEDOUT
            sem_unlink "/gate"
            wait
        }
    "#;
    let began = Instant::now();
    let (log, ending) = run(text, 0, "");
    assert_eq!(ending.outcome, Outcome::Done);
    assert!(all_exited_with_0(&log), "{:?}", ended(&log));
    assert_eq!((clocks(&log), handled(&log, Signal::ALRM)), (Vec::new(), 1));
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    let (log, ending) = run_free(text);
    assert_eq!((ending.outcome, all_exited_with_0(&log)), (Outcome::Done, true));
    // Nobody could wake it, and no timer runs.
    let (_, ending) = run("real-time\nprocess a { alarm 5; alarm 0; pause }", 0, "");
    assert_eq!(ending.outcome, Outcome::Stuck);
}

#[test]
fn an_alarm_survives_exec_and_not_fork() {
    let text = r"
        process parent {
            alarm 3
            fork child { alarm 0 into=left; if left ne 0 { exit 1 } }
            wait child
            alarm 0
            fork late { alarm 1; exec sleep 30 }
            fork soon { alarm 30; exec sleep 0.05 }
            wait late
            wait soon
        }
    ";
    let began = Instant::now();
    let (log, ending) = run(text, 0, "");
    assert_eq!(ending.outcome, Outcome::Done);
    let status = |name: &str| ended(&log).into_iter().find(|(known, _)| known == name).and_then(|(_, status)| status);
    assert_eq!(status("parent.child"), Some(Status::Code(0)));
    assert_eq!(status("parent.late"), Some(Status::Signal { signal: Signal::ALRM, core: false }));
    assert_eq!(status("parent.soon"), Some(Status::Code(0)));
    assert!(began.elapsed() >= Duration::from_secs(1), "a program lives in real time");
}

/// As the kernel does it: setitimer(2) every 10 ms with SIGALRM blocked for 55 ms leaves one signal
/// pending, and the timer stands still until it is taken; an ignored one never rings again.
#[test]
fn intervals_wait_for_their_signal() {
    let text = r"
        process blocked { block SIGALRM; setitimer 1 every=1; sleep 5.5; sigwait SIGALRM; sigwait SIGALRM }
    ";
    assert_eq!(clocks(&run(text, 0, "").0), [1000, 5500, 6000]);
    let (log, ending) = run("process ignored { ignore SIGALRM; setitimer 1 every=1; pause }", 0, "");
    assert_eq!((ending.outcome, clocks(&log)), (Outcome::Stuck, vec![1000]));
}

const PAUSE: &str = r"
process parent {
    fork child {
        on SIGUSR1 { note handled }
        pause
        exit 0
    }
    kill child SIGUSR1
    kill child SIGUSR1
    wait
}
";

#[test]
fn a_signal_before_the_pause_runs_its_handler_before_it() {
    for seed in 0..SEEDS {
        let (log, ending) = run(PAUSE, seed, "parent@kill,child@pause,parent:2,parent@blocked,child@blocked,all");
        assert_eq!((ending.outcome, handled(&log, usr1())), (Outcome::Stuck, 1), "seed {seed}: two became one");
    }
}

#[test]
fn a_signal_at_the_pause_ends_it() {
    for seed in 0..SEEDS {
        // Asleep: the first wakes it, and has left the queue when the second comes.
        let (log, ending) = run(PAUSE, seed, "parent@kill,child@blocked,parent@blocked,all");
        assert_eq!((ending.outcome, handled(&log, usr1())), (Outcome::Done, 2), "seed {seed}");
        // About to make the call itself: the statement has begun, the handler of the first signal has run.
        let (log, ending) = run(PAUSE, seed, "parent@kill,child@pause,parent:1,child@returned,parent:1,all");
        assert_eq!((ending.outcome, handled(&log, usr1())), (Outcome::Done, 2), "seed {seed}");
    }
}

#[test]
fn a_signal_can_be_held_before_its_delivery() {
    for seed in 0..SEEDS {
        // It has left the queue, so that the second is no duplicate; both run their handlers before the pause.
        let (log, ending) =
            run(PAUSE, seed, "parent@kill,child@pause,parent:1,child@SIGUSR1,child@SIGUSR1,parent:1,all");
        assert_eq!((ending.outcome, handled(&log, usr1())), (Outcome::Stuck, 2), "seed {seed}");
    }
}

#[test]
fn values_that_merge_are_lost() {
    let text = r#"
        process parent {
            on SIGUSR1 { write stdout "x" }
            block SIGUSR1
            sigqueue self SIGUSR1 value=1
            sigqueue self SIGUSR1 value=2
            unblock SIGUSR1
        }
    "#;
    let (log, _) = run(text, 0, "");
    let said = support::lines(&log).into_iter().find(|line| line.contains("coalesced-signals")).expect("it is found");
    assert!(said.contains("was sent SIGUSR1 2 times and has taken 1: of those that were merged the values are lost"));
}

#[test]
fn turns_end_before_and_after_a_delivery() {
    for (place, handlers, returns) in [("SIGUSR1", 0, 0), ("handler", 1, 0), ("returned", 1, 1)] {
        let schedule = format!("parent@kill,child@pause,parent:1,child@{place},parent:1,all");
        let (log, _) = run(PAUSE, 0, &schedule);
        // The second kill comes right after.
        let signals = phases(&log, usr1());
        let sent = signals.iter().enumerate().filter(|(_, (_, phase, _, from))| *phase == Phase::Generated && *from);
        let second = sent.map(|(index, _)| index).nth(1).expect("two kills");
        let before = |wanted: Phase| signals[..second].iter().filter(|(_, phase, ..)| *phase == wanted).count();
        assert_eq!((before(Phase::Handler), before(Phase::Returned)), (handlers, returns), "{place}");
    }
}

const ALARM: &str = r#"
process parent {
    fork careless {
        on SIGALRM { note "rings" }
        alarm 1
        pause
    }
    fork careful {
        on SIGALRM { note "rings" }
        block SIGALRM
        alarm 1
        sigsuspend { unblock SIGALRM }
    }
    wait; wait
}
"#;

#[test]
fn the_clock_can_have_the_turn() {
    let race = "parent@blocked,careless@pause,careful@sigsuspend,clock,clock,all";
    for seed in 0..SEEDS {
        let (log, ending) = run(ALARM, seed, race);
        let sleeps = log.head().living().map(|task| log.name(task.name).to_owned()).collect::<Vec<_>>();
        assert_eq!((ending.outcome, sleeps), (Outcome::Stuck, vec!["parent".to_owned(), "parent.careless".to_owned()]));
        let (log, ending) = run(ALARM, seed, "");
        assert_eq!((ending.outcome, handled(&log, Signal::ALRM)), (Outcome::Done, 2), "seed {seed}");
    }
}

#[test]
fn what_was_printed_gives_the_same_run_again() {
    let race = "parent@blocked,careless@pause,careful@sigsuspend,clock,clock,all";
    for (text, schedule) in [(TIMES, ""), (ALARM, ""), (ALARM, race), (PAUSE, "parent@kill,child@pause,parent:1,all")] {
        for seed in 0..5 {
            let (log, ending) = run(text, seed, schedule);
            let (again, followed) = run(text, seed + 100, &ending.schedule);
            assert_eq!(support::stream(&log), support::stream(&again), "{}", ending.schedule);
            assert_eq!(ending.schedule, followed.schedule);
        }
    }
}

/// The rules about signals.
const RULES: [&str; 6] = [
    "lost-wake-up",
    "coalesced-signals",
    "unsafe-call-in-handler",
    "errno-changed-by-handler",
    "eintr-not-handled",
    "mask-inherited-over-exec",
];

fn found(log: &str) -> Vec<&'static str> {
    RULES.into_iter().filter(|rule| foreign::count(log, "diagnosis", &format!("\"rule\":\"{rule}\"")) > 0).collect()
}

#[test]
fn mistakes_of_programs_are_found() {
    let fixture = foreign::compile("mistakes");
    let of = |role| found(&foreign::compare(&fixture.role(role)));
    assert_eq!(of("eintr"), ["eintr-not-handled"]);
    assert_eq!(of("again"), [""; 0]);
    assert_eq!(of("mask"), ["mask-inherited-over-exec"]);
    assert_eq!(of("lock"), ["unsafe-call-in-handler"]);
}

#[test]
fn shells_make_no_such_mistakes() {
    for words in [
        "trap 'echo usr1' USR1; kill -USR1 $$; (exit 3) & wait $!; ls / | sort | head -2 >/dev/null; exit 1",
        "trap 'exit 4' TERM; kill -TERM $$; read line; exit 5",
        "trap : CHLD; for i in 1 2 3 4 5; do (exit 0) & done; wait; exit 2",
    ] {
        for shell in ["sh", "bash"] {
            let log = foreign::compare(&[shell, "-c", words]);
            assert_eq!(found(&log), [""; 0], "{shell} -c {words}");
        }
    }
}
