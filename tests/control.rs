//! The session: stepping, breakpoints, limits, and what is left of a run.

#[path = "support/foreign.rs"]
mod foreign;
#[path = "control/shell.rs"]
mod shell;
mod support;

use proclab::control::{Breakpoint, Command, Outcome, Pace, Plan, Session, Start, Subject, Update};
use proclab::model::{Kind, Log, Phase, Signal, State};
use support::paused::Paused;

fn scenario(name: &str) -> Subject {
    Subject::Scenario(Box::new(support::scenario(name)))
}

fn text(text: &str) -> Subject {
    Subject::Scenario(Box::new(support::scenario_of(text)))
}

/// A first process that never gets as far as the roots must not keep the lab from ending.
#[test]
fn a_first_process_that_hangs_can_be_ended() {
    let hangs = foreign::compile("hangs");
    let hanging = |start, timeout| {
        let subject = Subject::Scenario(Box::new(support::scenario_of("process a { exit 0 }")));
        Session::start(Plan { lab: hangs.path().into(), start, timeout, ..support::plan(subject) }).expect("it starts")
    };
    let outcome = |session: &Session| loop {
        let update = session.updates().recv_timeout(std::time::Duration::from_secs(30)).expect("it ends");
        if let Update::Ended(ending) = update {
            return ending.outcome;
        }
    };
    let session = hanging(Start::Paused, None);
    session.send(Command::Step(None));
    session.send(Command::End);
    assert_eq!(outcome(&session), Outcome::Stopped);
    let session = hanging(Start::Playing(Pace::Full), Some(1));
    assert_eq!(outcome(&session), Outcome::Limit("the time given by --timeout is over".into()));
}

#[test]
fn a_breakpoint_on_a_call_stops_before_it_and_lets_go_on() {
    let mut run = Paused::start(scenario("pipes/one-pipe"));
    let status = run.play_to(Breakpoint::Call("write".into()));
    assert!(status.paused_by.is_some_and(|why| why.contains("write p.write")));
    assert!(!run.log.range(0..run.log.len()).any(|(_, event)| matches!(event.kind, Kind::Write { .. })));
    run.session.send(Command::Play(Pace::Full));
    assert_eq!(run.until_paused(), None, "it writes only once");
}

#[test]
fn a_breakpoint_on_a_signal_stops_at_its_delivery() {
    let mut run = Paused::start(scenario("signals/graceful-shutdown"));
    let status = run.play_to(Breakpoint::Signal(Signal::TERM));
    assert!(status.next.iter().any(|next| next.text == "about to be delivered SIGTERM (handler)"), "{status:?}");
    let delivered = |log: &Log| {
        log.range(0..log.len())
            .any(|(_, event)| matches!(event.kind, Kind::Signal { phase: Phase::Delivered, signal: Signal::TERM, .. }))
    };
    assert!(!delivered(&run.log));
    run.session.send(Command::Step(None));
    run.until_paused();
    run.session.send(Command::Breakpoints(Vec::new()));
    run.session.send(Command::Play(Pace::Full));
    assert_eq!(run.until_paused(), None);
    assert!(delivered(&run.log));
}

#[test]
fn a_breakpoint_on_a_task_and_one_on_a_channel() {
    let mut run = Paused::start(scenario("pipes/one-pipe"));
    let status = run.play_to(Breakpoint::Task("child".into()));
    assert_eq!(status.paused_by.as_deref(), Some("child is about to move"));
    let mut run = Paused::start(scenario("pipes/one-pipe"));
    let status = run.play_to(Breakpoint::Channel("p".into()));
    assert!(status.paused_by.is_some_and(|why| why.ends_with("at p")));
}

/// The names of the events so far, and of whose they are.
fn course(run: &Paused) -> Vec<(String, &'static str)> {
    let named = |event: &proclab::model::Event| {
        let task = run.log.head().task(event.task).expect("a task");
        (run.log.name(task.name).to_owned(), event.kind.name())
    };
    run.log.range(0..run.log.len()).map(|(_, event)| named(event)).collect()
}

#[test]
fn a_breakpoint_changes_nothing() {
    for seed in 1..=8 {
        let mut plan = support::plan(scenario("signals/graceful-shutdown"));
        plan.seed = seed;
        let mut whole = Paused::start_plan(plan.clone());
        let mut broken = Paused::start_plan(plan);
        let whole_end = whole.finish();
        broken.play_to(Breakpoint::Task("child".into()));
        let broken_end = loop {
            broken.session.send(Command::Play(Pace::Full));
            if let Err(ending) = broken.until_paused_or_over() {
                break ending;
            }
        };
        assert_eq!(whole_end.schedule, broken_end.schedule, "seed {seed}");
        assert_eq!(course(&whole), course(&broken), "seed {seed}");
    }
}

#[test]
fn a_step_by_hand_is_the_turn_that_a_breakpoint_has_held_up() {
    let mut plan = support::plan(scenario("signals/graceful-shutdown"));
    plan.seed = 1;
    let mut whole = Paused::start_plan(plan.clone());
    let mut broken = Paused::start_plan(plan);
    let whole_end = whole.finish();
    broken.play_to(Breakpoint::Task("child".into()));
    broken.session.send(Command::Breakpoints(Vec::new()));
    let child = broken.task("child");
    broken.session.send(Command::Step(Some(child)));
    broken.until_paused();
    assert_eq!(broken.finish().schedule, whole_end.schedule);
}

#[test]
fn steps_that_are_asked_for_at_once_are_all_taken() {
    let course_of = |waits: bool| {
        let mut run = Paused::start(scenario("signals/graceful-shutdown"));
        run.play_to(Breakpoint::Task("child".into()));
        run.session.send(Command::Breakpoints(Vec::new()));
        for _ in 0..4 {
            run.session.send(Command::Step(None));
            if waits {
                run.until_paused();
            }
        }
        let child = run.task("child");
        run.by_hand(proclab::control::Hand::Hold(child, proclab::model::Hold::Steps));
        course(&run)
    };
    for _ in 0..20 {
        assert_eq!(course_of(false), course_of(true));
    }
}

#[test]
fn a_breakpoint_on_a_diagnosis() {
    let mut run = Paused::start(scenario("pipes/forgotten-write-end"));
    let status = run.play_to(Breakpoint::Diagnosis(Some("self-held-write-end".into())));
    assert!(status.paused_by.is_some_and(|why| why.starts_with("self-held-write-end: ")));
}

#[test]
fn a_chosen_task_steps_alone_and_a_blocked_one_stalls_nobody() {
    let mut run = Paused::start(text(
        "process reader { pipe p\nfork writer { write p.write \"x\"\nexit 3 }\nclose p.write\nread p.read until=eof\nwait writer }",
    ));
    let name = |run: &Paused, name: &str| {
        let log = &run.log;
        log.head().tasks().find(|task| log.name(task.name).ends_with(name)).map(|task| task.id)
    };
    let reader = name(&run, "reader").expect("the reader");
    for _ in 0..4 {
        run.session.send(Command::Step(Some(reader)));
        run.until_paused();
    }
    assert!(matches!(run.log.head().task(reader).map(|task| task.state), Some(State::Blocked(_))));
    let writer = name(&run, "writer").expect("the writer");
    run.session.send(Command::Step(Some(writer)));
    run.until_paused();
    let moved = run.log.range(0..run.log.len()).any(|(_, event)| matches!(event.kind, Kind::Read { bytes: 1, .. }));
    assert!(moved, "the write woke the reader, whose read is part of the step");
    run.session.send(Command::Play(Pace::Full));
    assert_eq!(run.until_paused(), None);
}

#[test]
fn everything_of_a_foreign_program_can_be_stopped_and_stepped() {
    let mut run = Paused::start(support::command(&["sh", "-c", "echo one | cat; echo two"]));
    let before = run.log.len();
    run.session.send(Command::Step(None));
    run.until_paused();
    assert!(run.log.len() > before);
    assert_ne!(run.last_event_name(), None);
    let status = run.play_to(Breakpoint::Call("write".into()));
    assert!(status.paused_by.is_some_and(|why| why.contains("write")));
}

#[test]
fn a_program_without_end_can_be_paused_and_ended() {
    for script in ["while :; do :; done", "yes", "sleep 1000", "cat", "sleep 1000 & sleep 1000 & wait"] {
        let mut plan = support::plan(support::command(&["sh", "-c", script]));
        plan.serial = false;
        let session = Session::start(plan).expect("the run starts");
        let log = Log::new(session.header().clone());
        let mut run = Paused { session, log, answers: None };
        run.session.send(Command::Pause);
        // There is nothing to read: it may have ended already.
        if run.until_paused().is_none() {
            assert_eq!(script, "cat");
            continue;
        }
        run.session.send(Command::End);
        assert_eq!(run.until_paused(), None, "{script}");
    }
}

fn outcome(text: &str) -> Outcome {
    let mut plan = support::plan(Subject::Scenario(Box::new(support::scenario_of(text))));
    plan.seed = 1;
    support::run(plan).1.outcome
}

#[test]
fn at_full_speed_the_session_says_that_it_plays_and_can_be_paused() {
    for subject in [
        support::command(&["sh", "-c", "while :; do :; done < /dev/null"]),
        text("process p { forever { write stdout \"x\" } }"),
    ] {
        let mut run = Paused::start(subject);
        run.session.send(Command::Play(Pace::Full));
        let playing = run.session.updates().iter().find_map(|update| match update {
            Update::Status(status) => Some(status),
            _ => None,
        });
        let playing = playing.expect("a status");
        assert_eq!((playing.playing, playing.next.len()), (Some(Pace::Full), 0));
        run.session.send(Command::Pause);
        assert!(!run.until_paused().expect("it is paused").next.is_empty());
    }
}

#[test]
fn limits_end_a_run_and_say_which() {
    let limit = |text| match outcome(text) {
        Outcome::Limit(why) => why,
        other => panic!("{text}: {other:?}"),
    };
    assert!(limit("process p { forever { sleep 1 } }").contains("10 seconds"));
    assert!(limit("limit events=500\nprocess p { forever { write stdout \"x\" } }").contains("500 events"));
    assert!(limit("limit processes=8\nprocess p { forever { fork c { pause } } }").contains("processes"));
    assert!(limit("limit seconds=1\nprocess p { set x 0\nforever { add x 1 } }").contains("1 second"));
}

#[test]
fn a_run_in_which_nothing_can_move_is_over() {
    assert_eq!(outcome("process p { pipe q\nread q.read }"), Outcome::Stuck);
    assert_eq!(outcome("process p { pause }"), Outcome::Stuck);
}

#[test]
fn a_run_without_namespaces_leaves_nothing_either() {
    let home = tempfile::tempdir().expect("a directory");
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_proclab"))
        .args(["check", "one-pipe", "orphan", "unrelated-rendezvous", "daemon"])
        .env("PROCLAB_NO_NAMESPACES", "1")
        .env("XDG_RUNTIME_DIR", home.path())
        .output()
        .expect("it runs");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    let left = std::fs::read_dir(home.path().join("proclab")).expect("it was used").count();
    assert_eq!(left, 0, "directories of runs are left");
}
