//! Same input, same run.

mod support;

use proclab::control::{Outcome, Subject};
use proclab::scenario::{Scenario, parse_schedule, schedule_text};

fn run(scenario: &Scenario, seed: u64, schedule: &str) -> (String, String) {
    let mut plan = support::plan(Subject::Scenario(Box::new(scenario.clone())));
    plan.seed = seed;
    plan.schedule = if schedule.is_empty() { Vec::new() } else { parse_schedule(schedule).expect("a schedule") };
    let (log, ending) = support::run(plan);
    assert!(matches!(ending.outcome, Outcome::Done | Outcome::Stuck), "{:?}", ending.outcome);
    (support::stream(&log), ending.schedule)
}

/// A hundred runs of `name` write the same, apart from the time.
fn hundred(name: &str) {
    let scenario = support::scenario(name);
    let (first, _) = run(&scenario, 7, "");
    for count in 1..100 {
        let (stream, _) = run(&scenario, 7, "");
        if let Some((line, (one, other))) =
            first.lines().zip(stream.lines()).enumerate().find(|(_, (one, other))| one != other)
        {
            panic!("{name}, run {count}, event {line}:\n{one}\n{other}");
        }
        assert_eq!(first.len(), stream.len(), "{name}, run {count}");
    }
}

#[test]
fn a_hundred_runs_of_signals_and_timers_are_the_same() {
    hundred("signals/graceful-shutdown");
}

#[test]
fn a_hundred_runs_of_workers_are_the_same() {
    hundred("signals/master-and-workers");
}

#[test]
fn a_hundred_runs_of_queues_are_the_same() {
    hundred("queues/mq-notify");
    hundred("queues/queue-full");
}

#[test]
fn a_hundred_runs_at_a_terminal_are_the_same() {
    hundred("jobs/type-at-it");
    hundred("jobs/into-the-foreground");
}

/// A worker of the kernel passes on what is written into a terminal, in its own time.
#[test]
fn a_hundred_runs_with_pseudo_terminals_are_the_same() {
    hundred("jobs/background-read");
    hundred("jobs/ctrl-c");
    hundred("pipes/coprocess-buffering");
}

#[test]
fn a_hundred_runs_with_ordinary_programs_are_the_same() {
    hundred("pipes/shell-pipeline");
}

#[test]
fn a_hundred_runs_of_servers_and_clients_are_the_same() {
    hundred("sockets/tcp-fork-server");
    hundred("sockets/unix-sessions");
}

#[test]
fn a_hundred_runs_that_lose_datagrams_are_the_same() {
    hundred("sockets/udp-lost");
}

#[test]
fn a_hundred_runs_of_semaphores_and_memory_are_the_same() {
    hundred("shared-memory/saved-by-a-semaphore");
    hundred("shared-memory/bounded-buffer");
}

#[test]
fn the_schedule_that_was_followed_replays_exactly() {
    for (name, seed) in [("processes/fork-tree", 3), ("pipes/two-way-pipes", 11), ("signals/whole-group", 5)] {
        let scenario = support::scenario(name);
        let (stream, schedule) = run(&scenario, seed, "");
        // Another seed would choose differently; the schedule leaves it nothing to choose.
        let (again, followed) = run(&scenario, seed + 100, &schedule);
        assert_eq!(stream, again, "{name}");
        assert_eq!(schedule, followed, "{name}");
        assert_eq!(schedule, schedule_text(&parse_schedule(&schedule).expect("a schedule")));
    }
}

#[test]
fn two_seeds_show_two_orders() {
    let scenario = support::scenario("processes/first-fork");
    let streams: std::collections::HashSet<String> = (0..12).map(|seed| run(&scenario, seed, "").0).collect();
    assert!(streams.len() > 1, "twelve seeds, one order");
}
