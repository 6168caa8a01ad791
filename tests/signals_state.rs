//! Foreign programs with threads, handlers, stacks and timers, step by step: masks, dispositions and queues
//! are what `/proc` says after every step.

#[path = "support/foreign.rs"]
mod foreign;
mod support;

use std::sync::{LazyLock, Mutex, PoisonError};

use foreign::{Fixture, compile};
use proclab::control::{Command, Hand, Plan, Session, Start, Subject, Update};
use proclab::model::{Log, Signal, TaskId, TimerKind, World};
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
    step_on(plan, &format!("{words:?}"), compare).0
}

/// Steps until the run is over. After each step the world is compared, and the kernel is asked what it has
/// queued for each task that stands still. Returns how many steps there were, and how many signals were queued
/// at most.
fn step_on(mut plan: Plan, what: &str, compare: impl Fn(&Log, &str)) -> (usize, usize) {
    plan.start = Start::Paused;
    let session = Session::start(plan).expect("the run starts");
    let mut log = Log::new(session.header().clone());
    let (mut steps, mut most, mut answered) = (0, 0, None);
    let mut asked: Vec<TaskId> = Vec::new();
    for update in session.updates() {
        match update {
            Update::Batch(batch) => log.append(&batch),
            Update::Status(status) => {
                let new = status.answer.filter(|answer| answered.is_none_or(|number| answer.number > number));
                if let Some(answer) = new {
                    answered = Some(answer.number);
                    let same = answer.text.strip_prefix("the kernel has the same ");
                    let count = same.and_then(|rest| rest.split(' ').next()?.parse().ok());
                    most = most.max(count.unwrap_or_else(|| panic!("{what}, after {steps}: {}", answer.text)));
                } else {
                    compare(&log, &format!("{what}, after {steps} steps"));
                    steps += 1;
                    asked = status.next.iter().map(|next| next.task).collect();
                }
                session.send(asked.pop().map_or(Command::Step(None), |task| Command::Hand(Hand::Ask(task))));
            }
            Update::Ended(_) => {
                assert!(answered.is_some(), "{what}: nobody could be asked");
                return (steps, most);
            }
        }
    }
    panic!("the session broke off");
}

/// The queues of scenario processes, some of whose signals come from the lab's clock.
#[test]
fn the_kernel_has_queued_what_the_log_says() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scenarios = [
        ("real-time-order", 4),
        ("signals-do-not-queue", 1),
        ("long-handler", 1),
        ("sigchld-loop", 1),
        ("alarm-pause-race", 1),
        ("signalfd", 1),
    ];
    for (name, queued) in scenarios {
        for seed in 0..4 {
            let scenario = support::scenario(&format!("signals/{name}"));
            let schedule = scenario.schedule.clone();
            let mut plan = support::plan(Subject::Scenario(Box::new(scenario)));
            plan.schedule = schedule;
            plan.seed = seed;
            let (_, most) = step_on(plan, name, |_, _| {});
            assert!(most >= queued, "{name}: at most {most} were queued");
        }
    }
}

fn compare(log: &Log, when: &str) {
    let world = log.head();
    for task in world.living() {
        // Before its first program a task is a piece of the lab.
        let Some(kernel) = procfs::status(task.pid).filter(|_| task.program.is_some()) else { continue };
        let about = format!("{when}: {} ({})", log.name(task.name), task.pid);
        support::masks::compare(world, task, &kernel, &about);
        if task.is_process() {
            compare_timers(world, task.id, task.pid, &about);
        }
    }
}

fn compare_timers(world: &World, task: TaskId, pid: i32, about: &str) {
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
    a_thread_that_loads_a_program: "thread-exec", 10;
    a_crash_that_takes_other_threads_along: "crash", 10;
    jumps_off_another_stack: "leave-alternate", 10;
    a_read_that_begins_again: "restart", 10;
    a_read_that_fails: "eintr", 10;
    timers_that_do_not_run_out: "armed", 10;
    faults_children_and_pipes: "facts", 10;
    dispositions_that_are_shared: "shares", 10;
}
