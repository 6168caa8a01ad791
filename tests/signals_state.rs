//! Foreign programs with threads, handlers, stacks and timers, step by step: masks, dispositions and queues
//! are what `/proc` says after every step.

#[path = "support/foreign.rs"]
mod foreign;
mod support;

use std::sync::{LazyLock, Mutex, PoisonError};

use foreign::{Fixture, compile};
use proclab::control::{Command, Session, Start, Update};
use proclab::model::{DefaultAction, Disposition, Log, Signal, SignalSet, TimerKind, World};
use proclab::sys::procfs;

static SIGNALS: LazyLock<Fixture> = LazyLock::new(|| compile("signals"));
/// One run at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Steps through a role until it is over, and compares after each step. Returns how many steps there were.
fn step_through(words: &[&str]) -> usize {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = SIGNALS.path().to_str().expect("a path");
    let words: Vec<&str> = std::iter::once(path).chain(words.iter().copied()).collect();
    let mut plan = support::plan(support::command(&words));
    plan.serial = true;
    plan.start = Start::Paused;
    let session = Session::start(plan).expect("the run starts");
    let mut log = Log::new(session.header().clone());
    let mut steps = 0;
    for update in session.updates() {
        match update {
            Update::Batch(batch) => log.append(&batch),
            Update::Status(_) => {
                compare(&log, &format!("{words:?}, after {steps} steps"));
                steps += 1;
                session.send(Command::Step(None));
            }
            Update::Ended(_) => return steps,
        }
    }
    panic!("the session broke off");
}

fn compare(log: &Log, when: &str) {
    let world = log.head();
    for task in world.living() {
        // Before its first program a task is a piece of the lab.
        let Some(kernel) = procfs::status(task.pid).filter(|_| task.program.is_some()) else { continue };
        let about = format!("{when}: {} ({})", log.name(task.name), task.pid);
        let actions = world.actions(task.id).expect("its dispositions");
        let leader = world.task(task.process).expect("a leader");
        assert_eq!(task.blocked, kernel.blocked, "{about}: SigBlk");
        assert_eq!(actions.with_disposition(Disposition::Ignore), kernel.ignored, "{about}: SigIgn");
        assert_eq!(actions.with_disposition(Disposition::Handler), kernel.caught, "{about}: SigCgt");
        assert_eq!(kept(world, task.id, task.pending.set()), kept(world, task.id, kernel.pending), "{about}: SigPnd");
        let shared = kept(world, task.id, leader.shared_pending.set());
        assert_eq!(shared, kept(world, task.id, kernel.shared_pending), "{about}: ShdPnd");
        if task.is_process() {
            compare_timers(world, task.id, task.pid, &about);
        }
    }
}

/// What is ignored is queued all the same, because the task is traced.
fn kept(world: &World, task: proclab::model::TaskId, set: SignalSet) -> SignalSet {
    let ignored = |signal: Signal| match world.action(task, signal).map(|action| action.disposition) {
        Some(Disposition::Ignore) => true,
        Some(Disposition::Default) => signal.default_action() == DefaultAction::Ignore,
        _ => false,
    };
    set.iter().filter(|signal| !ignored(*signal)).collect()
}

fn compare_timers(world: &World, task: proclab::model::TaskId, pid: i32, about: &str) {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/timers")) else { return };
    let number = |key: &str| -> Vec<i32> {
        let values = text.lines().filter_map(|line| line.strip_prefix(key));
        let mut all: Vec<i32> = values.filter_map(|value| value.trim().split('/').next()?.parse().ok()).collect();
        all.sort_unstable();
        all
    };
    let posix = || world.timers(task).iter().filter(|timer| timer.kind == TimerKind::Posix);
    let sorted = |mut all: Vec<i32>| {
        all.sort_unstable();
        all
    };
    assert_eq!(sorted(posix().map(|timer| timer.id).collect()), number("ID:"), "{about}: timers");
    let signals = posix().map(|timer| timer.signal.map_or(0, Signal::number)).collect();
    assert_eq!(sorted(signals), number("signal:"), "{about}: signals of timers");
    assert_eq!(sorted(posix().map(|timer| timer.clock).collect()), number("ClockID:"), "{about}: clocks of timers");
}

macro_rules! steps {
    ($($test:ident: $($word:literal)*, $least:literal;)*) => {
        $(
            #[test]
            fn $test() {
                let steps = step_through(&[$($word),*]);
                assert!(steps > $least, "{steps} steps");
            }
        )*
    };
}

// Roles in which real time passes are not here: a timer may run out between the step and the look.
steps! {
    threads_and_their_queues: "threads", 10;
    queues_of_real_time_signals: "queue" "40" "3", 10;
    standard_signals_that_coalesce: "coalesce", 10;
    a_limit_that_is_reached: "limit", 10;
    handlers_on_another_stack: "altstack", 10;
    a_jump_out_of_a_handler: "leave", 10;
    a_read_that_begins_again: "restart", 10;
    a_read_that_fails: "eintr", 10;
    timers_that_do_not_run_out: "armed", 10;
    faults_children_and_pipes: "facts", 10;
    dispositions_that_are_shared: "shares", 10;
}
