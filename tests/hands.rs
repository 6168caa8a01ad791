//! Signals by hand: sent, suppressed, replaced, held; and what the kernel makes of it.

mod support;

use proclab::control::{Breakpoint, Command, Ending, Hand, Outcome, Pace, Plan, Start, Subject, To};
use proclab::model::{Event, Hold, Kind, Log, Phase, Signal, State, Status, TaskId};
use support::paused::Paused;

/// Three processes of one group that catch SIGUSR1 and SIGTERM and say so; `pause` ends with a handler.
const CATCHERS: &str = "process parent {
    on SIGTERM { write stdout \"term\\n\" }
    on SIGUSR1 { write stdout \"usr1\\n\" }
    fork one { pause; exit 3 }
    fork two { pause; exit 4 }
    label made
    pause
    exit 5
}";

fn text(text: &str) -> Subject {
    Subject::Scenario(Box::new(support::scenario_of(text)))
}

/// A scenario in serial or free mode, stepped until everybody sleeps.
fn asleep(source: &str, serial: bool) -> Paused {
    let mut run = Paused::start_plan(Plan { serial, ..support::plan(text(source)) });
    loop {
        let (_, status) = run.by_hand(Hand::Send { signal: None, to: To::All, value: None });
        if status.next.is_empty() {
            return run;
        }
        run.session.send(Command::Step(None));
        run.until_paused().expect("it goes on");
    }
}

fn signal(name: &str) -> Signal {
    Signal::parse(name).expect("a signal")
}

fn send(name: &str, to: To) -> Hand {
    Hand::Send { signal: Some(signal(name)), to, value: None }
}

/// The phases of a signal of one task, with who is said to have sent it.
fn life(log: &Log, task: TaskId, name: &str) -> Vec<(Phase, Option<TaskId>)> {
    let wanted = signal(name);
    let phase = |event: &Event| match event.kind {
        // What stands before its delivery has been taken out of its queue.
        Kind::Signal { phase: Phase::Dequeued, .. } => None,
        Kind::Signal { phase, signal, from, .. } if signal == wanted && event.task == task => Some((phase, from)),
        _ => None,
    };
    log.range(0..log.len()).filter_map(|(_, event)| phase(event)).collect()
}

fn phases(log: &Log, task: TaskId, name: &str) -> Vec<Phase> {
    life(log, task, name).into_iter().map(|(phase, _)| phase).collect()
}

/// How a task ended.
fn end(log: &Log, task: TaskId) -> Option<Status> {
    log.head().task(task).and_then(|task| task.status)
}

fn printed(log: &Log) -> String {
    let mut text = Vec::new();
    for (_, event) in log.range(0..log.len()) {
        if let Kind::Write { data, .. } = event.kind {
            text.extend_from_slice(log.bytes(data));
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

const CAUGHT: [Phase; 4] = [Phase::Generated, Phase::Delivered, Phase::Handler, Phase::Returned];

#[test]
fn a_process_a_thread_a_group_and_all_are_sent_signals() {
    for serial in [true, false] {
        let mut run = asleep(CATCHERS, serial);
        let (one, two, parent) = (run.task("one"), run.task("two"), run.task("parent"));
        let (said, status) = run.by_hand(send("TERM", To::Process(one)));
        assert_eq!(said, "you sent SIGTERM to one");
        let next: Vec<_> = status.next.iter().map(|next| (next.task, next.text.as_str(), next.signal)).collect();
        assert_eq!(next, [(one, "about to be delivered SIGTERM (handler)", Some(Signal::TERM))]);
        assert_eq!(life(&run.log, one, "TERM"), [(Phase::Generated, Some(TaskId::LAB))]);
        run.by_hand(send("USR1", To::Thread(two)));
        run.by_hand(send("USR1", To::Group(one)));
        run.by_hand(send("HUP", To::All));
        let code = |task, name| {
            run.log.range(0..run.log.len()).find_map(|(_, event)| match event.kind {
                Kind::Signal { signal: which, code, .. } if event.task == task && which == signal(name) => Some(code),
                _ => None,
            })
        };
        assert_eq!((code(one, "TERM"), code(two, "USR1"), code(parent, "USR1")), (Some(0), Some(-6), Some(0)));
        let ending = run.finish();
        assert_eq!(ending.outcome, Outcome::Done, "{serial}");
        for task in [one, two, parent] {
            assert_eq!(end(&run.log, task), Some(Status::Signal { signal: Signal::HUP, core: false }), "{serial}");
            assert!(life(&run.log, task, "HUP").iter().all(|(_, from)| *from == Some(TaskId::LAB)));
            assert!(phases(&run.log, task, "USR1").contains(&Phase::Generated));
        }
    }
}

#[test]
fn the_handler_runs_and_the_program_ends_as_it_says_itself() {
    for serial in [true, false] {
        let mut run = asleep(CATCHERS, serial);
        let (one, two, parent) = (run.task("one"), run.task("two"), run.task("parent"));
        run.by_hand(send("TERM", To::Process(one)));
        run.by_hand(send("USR1", To::Thread(two)));
        run.by_hand(send("TERM", To::Process(parent)));
        assert_eq!(run.finish().outcome, Outcome::Done);
        assert_eq!([one, two, parent].map(|task| end(&run.log, task)), [3, 4, 5].map(|code| Some(Status::Code(code))));
        assert_eq!(phases(&run.log, one, "TERM"), CAUGHT);
        let mut lines: Vec<String> = printed(&run.log).lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["term", "term", "usr1"]);
    }
}

#[test]
fn a_blocked_signal_waits_and_its_value_arrives() {
    let source = "process p {
        block SIGRTMIN+1 SIGUSR1
        fork other { pause }
        sigwait SIGRTMIN+1 value=v
        exit v
    }";
    let mut run = Paused::start(text(source));
    run.play_to(Breakpoint::Call("sigwait".into()));
    let p = run.task("p");
    let value = |value| Hand::Send { signal: Some(signal("RTMIN+1")), to: To::Process(p), value: Some(value) };
    run.by_hand(value(7));
    run.by_hand(send("USR1", To::Process(p)));
    run.by_hand(send("USR1", To::Process(p)));
    let waits = [Phase::Generated, Phase::Pending];
    assert_eq!(phases(&run.log, p, "RTMIN+1"), waits);
    assert_eq!(phases(&run.log, p, "USR1"), [&waits[..], &[Phase::Generated, Phase::Coalesced]].concat());
    let other = run.task("other");
    run.finish();
    assert_eq!(end(&run.log, p), Some(Status::Code(7)), "the kernel gave the program the value");
    assert_eq!(end(&run.log, other), None);
}

#[test]
fn foreign_programs_are_sent_signals_while_they_play_and_while_they_are_paused() {
    let program =
        "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(5))\nwhile True: signal.pause()";
    for (playing, isolate) in [(true, false), (false, false), (true, true)] {
        let mut plan = support::plan(support::command(&["python3", "-c", program]));
        plan.isolate = isolate;
        plan.start = Start::Playing(Pace::Full);
        let session = proclab::control::Session::start(plan).expect("the run starts");
        let log = Log::new(session.header().clone());
        let mut run = Paused { session, log, answers: None };
        let pauses = |event: &Event, log: &Log| event.call.is_some_and(|call| log.name(call) == "pause");
        run.until(|log| log.range(0..log.len()).any(|(_, event)| pauses(event, log)));
        let task = run.task("python3");
        if !playing {
            run.session.send(Command::Pause);
            run.until_paused();
        }
        let (said, _) = run.by_hand(send("TERM", To::Process(task)));
        assert!(said.starts_with("you sent SIGTERM to python3"), "{said}");
        let ending = run.finish();
        assert_eq!((ending.outcome, ending.root), (Outcome::Done, Some(Status::Code(5))), "{playing} {isolate}");
        assert!(
            life(&run.log, task, "TERM")
                .iter()
                .all(|(phase, from)| { *phase == Phase::Returned || *from == Some(TaskId::LAB) })
        );
    }
}

#[test]
fn nothing_is_sent_to_who_has_ended() {
    let source = "process p { fork child { exit 0 }\n label made\n pause\n wait child\n pause }";
    let mut run = asleep(source, true);
    let (p, child) = (run.task("p"), run.task("child"));
    assert_eq!(run.log.head().task(child).map(|task| task.state), Some(State::Zombie));
    let before = run.log.len();
    assert_eq!(run.by_hand(send("TERM", To::Process(child))).0, "child has ended: a zombie takes no signals");
    assert_eq!(run.log.len(), before);
    let ask = |to| Hand::Send { signal: None, to, value: None };
    assert_eq!(run.by_hand(ask(To::Process(p))).0, "a signal could be sent to p");
    assert_eq!(run.by_hand(ask(To::Process(child))).0, "child has ended: a zombie takes no signals");
    assert_eq!(run.log.len(), before, "asking leaves no trace");
    assert!(run.by_hand(Hand::Suppress(child)).0.contains("has ended"));
    assert!(run.by_hand(Hand::Hold(child, Hold::Steps)).0.contains("has ended"));
}

#[test]
fn a_suppressed_signal_does_nothing_but_the_call_is_made_again() {
    for serial in [true, false] {
        let mut run = asleep(CATCHERS, serial);
        let one = run.task("one");
        run.by_hand(send("TERM", To::Process(one)));
        let (said, status) = run.by_hand(Hand::Suppress(one));
        assert_eq!(said, "SIGTERM suppressed: one makes pause again, as the kernel decides");
        assert!(status.next.is_empty());
        assert_eq!(phases(&run.log, one, "TERM"), [Phase::Generated, Phase::Suppressed]);
        let state = run.log.head().task(one).map(|task| task.state);
        assert!(matches!(state, Some(State::Blocked(_))), "{state:?}");
        assert!(run.by_hand(Hand::Suppress(one)).0.starts_with("one is not about to be delivered a signal"));
        // The next one goes through.
        run.by_hand(send("TERM", To::Process(one)));
        run.session.send(Command::Step(Some(one)));
        run.until_paused();
        assert_eq!(phases(&run.log, one, "TERM")[2..], CAUGHT[..3]);
    }
}

#[test]
fn a_suppressed_signal_still_interrupts_a_call_that_is_never_restarted() {
    let source = "process p { semget s 1 key=1\n semop s 0 -1 fails=EINTR\n semctl s remove\n exit 6 }";
    let mut run = asleep(source, true);
    let p = run.task("p");
    run.by_hand(send("TERM", To::Process(p)));
    let (said, _) = run.by_hand(Hand::Suppress(p));
    assert_eq!(said, "SIGTERM suppressed: p goes on without it");
    run.finish();
    assert_eq!(end(&run.log, p), Some(Status::Code(6)), "semop(2) failed with EINTR, and the program saw it");
}

#[test]
fn a_signal_is_replaced_by_another() {
    let source = "process p {
        on SIGUSR1 { write stdout \"usr1\\n\" }
        ignore SIGHUP
        block SIGUSR2
        label ready
        pause
        exit 9
    }";
    let replaced = |by: &str| {
        let mut run = asleep(source, true);
        let p = run.task("p");
        run.by_hand(send("TERM", To::Process(p)));
        let (said, status) = run.by_hand(Hand::Replace(p, signal(by)));
        assert_eq!(phases(&run.log, p, "TERM"), [Phase::Generated, Phase::Replaced]);
        assert_eq!(life(&run.log, p, by).first(), Some(&(Phase::Generated, Some(TaskId::LAB))), "{by}");
        (run, p, said, status)
    };
    let (mut run, p, said, status) = replaced("USR1");
    assert_eq!(said, "SIGTERM replaced: p is about to be delivered SIGUSR1");
    assert_eq!(status.next[0].text, "about to be delivered SIGUSR1 (handler)");
    run.finish();
    assert_eq!((end(&run.log, p), printed(&run.log)), (Some(Status::Code(9)), "usr1\n".to_owned()));
    let (mut run, p, ..) = replaced("KILL");
    run.finish();
    assert_eq!(end(&run.log, p), Some(Status::Signal { signal: Signal::KILL, core: false }));
    for (by, phase) in [("HUP", Phase::Ignored), ("USR2", Phase::Pending)] {
        let (run, p, said, status) = replaced(by);
        assert!(said.contains("is blocked or ignored by p"), "{said}");
        assert_eq!(phases(&run.log, p, by), [Phase::Generated, phase]);
        assert!(status.next.is_empty(), "{by}: pause is made again");
        assert!(matches!(run.log.head().task(p).map(|task| task.state), Some(State::Blocked(_))));
    }
    let (mut run, p, ..) = replaced("STOP");
    run.session.send(Command::Step(Some(p)));
    run.until_paused();
    assert_eq!(run.log.head().task(p).map(|task| task.state), Some(State::Stopped(Signal::STOP)));
}

#[test]
fn kill_stop_and_cont_follow_the_rules_of_the_kernel() {
    let source = "process p { fork child { label ready\n pause }\n wait child\n exit 8 }";
    // SIGSTOP stops for its delivery, and can be suppressed there.
    let mut run = asleep(source, true);
    let child = run.task("child");
    let (said, status) = run.by_hand(send("STOP", To::Process(child)));
    assert_eq!(said, "you sent SIGSTOP to child: it cannot be caught or blocked, only suppressed here");
    assert_eq!(status.next[0].text, "about to be delivered SIGSTOP (Stop)");
    run.by_hand(Hand::Suppress(child));
    assert!(matches!(run.log.head().task(child).map(|task| task.state), Some(State::Blocked(_))));
    // Let through, it stops; SIGCONT wakes when it is sent, whatever becomes of its delivery.
    run.by_hand(send("STOP", To::Process(child)));
    run.session.send(Command::Step(Some(child)));
    run.until_paused();
    assert_eq!(run.log.head().task(child).map(|task| task.state), Some(State::Stopped(Signal::STOP)));
    let (said, _) = run.by_hand(send("CONT", To::Process(child)));
    assert!(said.ends_with("who is stopped goes on now, before it is delivered"), "{said}");
    assert_ne!(run.log.head().task(child).map(|task| task.state), Some(State::Stopped(Signal::STOP)));
    // SIGKILL is not held by anything.
    run.by_hand(Hand::Hold(child, Hold::Steps));
    let (said, _) = run.by_hand(send("KILL", To::Process(child)));
    assert_eq!(said, "you sent SIGKILL to child: it cannot be caught, blocked, held or suppressed");
    assert_eq!(end(&run.log, child), Some(Status::Signal { signal: Signal::KILL, core: false }));
    assert!(run.by_hand(Hand::Suppress(child)).0.starts_with("child "));
    assert_eq!(run.finish().outcome, Outcome::Done);
    assert_eq!(end(&run.log, run.task("p")), Some(Status::Code(8)));
}

#[test]
fn a_held_task_moves_only_by_hand_and_the_run_waits_for_it() {
    let source = "process p { fork child { label a\n label b\n exit 2 }\n label mine\n wait child\n exit 1 }";
    for serial in [true, false] {
        let mut run = Paused::start_plan(Plan { serial, ..support::plan(text(source)) });
        run.play_to(Breakpoint::Task("child".into()));
        run.session.send(Command::Breakpoints(Vec::new()));
        let (p, child) = (run.task("p"), run.task("child"));
        let (said, _) = run.by_hand(Hand::Hold(child, Hold::Steps));
        assert_eq!(said, "you hold child: it takes no step until you release it, SIGKILL apart");
        run.session.send(Command::Play(Pace::Full));
        let (said, status) = run.answer().expect("the run is not over");
        assert_eq!(said, "nobody else can move, and you hold child: H releases, S steps one task", "{serial}");
        assert_eq!((status.playing, status.paused_by), (None, Some(said)));
        let next: Vec<TaskId> = status.next.iter().map(|next| next.task).collect();
        assert_eq!(next, [child]);
        assert!(matches!(run.log.head().task(p).map(|task| task.state), Some(State::Blocked(_))));
        let steps = |log: &Log| {
            log.range(0..log.len()).filter(|(_, it)| it.task == child && matches!(it.kind, Kind::Note { .. })).count()
        };
        let before = steps(&run.log);
        run.session.send(Command::Step(Some(child)));
        run.until_paused();
        assert_eq!(steps(&run.log), before + 1, "{serial}");
        assert_eq!(run.by_hand(Hand::Hold(child, Hold::Nothing)).0, "child goes on");
        assert_eq!(run.finish().outcome, Outcome::Done);
        assert_eq!((end(&run.log, p), end(&run.log, child)), (Some(Status::Code(1)), Some(Status::Code(2))));
        let holds: Vec<Hold> = run
            .log
            .range(0..run.log.len())
            .filter_map(|(_, event)| match event.kind {
                Kind::Hold { hold } => Some(hold),
                _ => None,
            })
            .collect();
        assert_eq!(holds, [Hold::Steps, Hold::Nothing]);
    }
}

#[test]
fn a_task_is_held_before_a_delivery_while_others_run() {
    for serial in [true, false] {
        let mut run = asleep(CATCHERS, serial);
        let (one, two, parent) = (run.task("one"), run.task("two"), run.task("parent"));
        run.by_hand(Hand::Hold(one, Hold::Deliveries));
        run.by_hand(send("TERM", To::All));
        run.session.send(Command::Play(Pace::Full));
        let (said, status) = run.answer().expect("the run is not over");
        assert!(said.contains("you hold one"), "{said}");
        assert_eq!(status.next[0].signal, Some(Signal::TERM));
        assert_eq!([two, parent].map(|it| end(&run.log, it)), [4, 5].map(|code| Some(Status::Code(code))), "{serial}");
        assert_eq!(phases(&run.log, one, "TERM"), [Phase::Generated]);
        run.by_hand(Hand::Hold(one, Hold::Nothing));
        run.finish();
        assert_eq!(end(&run.log, one), Some(Status::Code(3)), "{serial}");
    }
}

#[test]
fn a_run_stops_at_every_phase_of_a_signal() {
    let source = "process parent {
        on SIGUSR1 { write stdout \"usr1\\n\" }
        ignore SIGHUP
        block SIGUSR2
        raise SIGUSR1
        raise SIGHUP
        raise SIGUSR2
        raise SIGUSR2
        sigwait SIGUSR2
        raise SIGTERM
    }
    process other { pause }";
    let at = |signal: Option<&str>, phase, task: Option<&str>| {
        let signal = signal.map(|name| Signal::parse(name).expect("a signal"));
        let mut run = Paused::start(text(source));
        let status = run.play_to(Breakpoint::Phase { task: task.map(str::to_owned), signal, phase });
        status.paused_by.expect("it stops by itself")
    };
    assert_eq!(at(None, Phase::Generated, None), "SIGUSR1 of parent: generated");
    assert_eq!(at(Some("TERM"), Phase::Delivered, Some("parent")), "SIGTERM is about to be delivered to parent");
    assert_eq!(at(Some("USR1"), Phase::Handler, Some("parent")), "SIGUSR1 of parent: handler");
    assert_eq!(at(Some("USR1"), Phase::Returned, None), "SIGUSR1 of parent: returned");
    assert_eq!(at(None, Phase::Ignored, None), "SIGHUP of parent: ignored");
    assert_eq!(at(None, Phase::Pending, None), "SIGUSR2 of parent: pending");
    assert_eq!(at(None, Phase::Coalesced, None), "SIGUSR2 of parent: coalesced");
    assert_eq!(at(Some("USR2"), Phase::Accepted, None), "SIGUSR2 of parent: accepted");
    assert_eq!(at(Some("TERM"), Phase::Default, None), "SIGTERM of parent: default");
    let mut run = Paused::start(text(source));
    let elsewhere = Breakpoint::Phase { task: Some("child".into()), signal: None, phase: Phase::Generated };
    run.session.send(Command::Breakpoints(vec![elsewhere]));
    run.session.send(Command::Play(Pace::Full));
    assert_eq!(run.until_paused(), None);
}

#[test]
fn what_was_done_by_hand_is_in_the_recording() {
    let mut run = asleep(CATCHERS, true);
    let one = run.task("one");
    run.by_hand(Hand::Hold(one, Hold::Deliveries));
    run.by_hand(send("TERM", To::Process(one)));
    run.by_hand(Hand::Replace(one, signal("USR1")));
    run.by_hand(Hand::Suppress(one));
    run.by_hand(send("KILL", To::All));
    let Ending { outcome, .. } = run.finish();
    assert_eq!(outcome, Outcome::Done);
    let bytes = proclab::record::write(Vec::new(), &run.log).expect("memory");
    let reading = proclab::record::read(std::io::Cursor::new(&bytes)).expect("a recording");
    assert_eq!(reading.problem, None);
    let again = proclab::record::write(Vec::new(), &reading.log).expect("memory");
    assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&bytes));
    assert_eq!(phases(&reading.log, one, "TERM"), [Phase::Generated, Phase::Replaced]);
    assert_eq!(phases(&reading.log, one, "USR1"), [Phase::Generated, Phase::Suppressed]);
}

/// A schedule gives a run again in which tasks were held, and not one into which signals were sent: then the
/// end says so.
#[test]
fn what_a_schedule_does_not_give_again_is_said() {
    const TWO: &str = "process parent {
    fork one { write stdout \"1\"; write stdout \"2\" }
    fork two { write stdout \"a\"; write stdout \"b\" }
    wait one
    wait two
}";
    let steps = |log: &Log| -> Vec<String> {
        let events = log.range(0..log.len()).filter(|(_, event)| !matches!(event.kind, Kind::Hold { .. }));
        events.map(|(_, event)| format!("{:?} {}", event.task, event.kind.name())).collect()
    };
    let start = |schedule: &str| {
        let schedule = proclab::scenario::parse_schedule(schedule).expect("a schedule");
        Paused::start_plan(Plan { serial: true, schedule, ..support::plan(text(TWO)) })
    };
    let mut held = start("");
    while held.log.head().tasks().filter(|task| task.is_process()).count() < 4 {
        held.session.send(Command::Step(None));
        held.until_paused().expect("it goes on");
    }
    let one = held.task("one");
    held.by_hand(Hand::Hold(one, Hold::Steps));
    held.session.send(Command::Play(Pace::Full));
    held.until_paused().expect("nobody else can move");
    held.by_hand(Hand::Hold(one, Hold::Nothing));
    let ending = held.finish();
    assert_eq!((ending.outcome.clone(), ending.beyond_schedule()), (Outcome::Done, None));
    let mut again = start(&ending.schedule);
    assert_eq!(again.finish().schedule, ending.schedule);
    assert_eq!(steps(&again.log), steps(&held.log));

    let mut sent = start("");
    sent.session.send(Command::Step(None));
    sent.until_paused().expect("it goes on");
    let parent = sent.task("parent");
    sent.by_hand(Hand::Send { signal: None, to: To::All, value: None });
    sent.by_hand(send("USR1", To::Process(parent)));
    sent.by_hand(send("USR2", To::Process(parent)));
    let ending = sent.finish();
    let expected = "by hand: a signal sent: not in the schedule, which alone does not give this run again";
    assert_eq!(ending.beyond_schedule().as_deref(), Some(expected));
    assert_ne!(ending.schedule, "");
}
