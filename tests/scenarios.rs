//! Every scenario of the repository holds what it expects, on every seed that is tried.

mod support;

use proclab::control::{Outcome, Subject};
use proclab::expect;
use proclab::scenario::Library;

const SEEDS: u64 = 20;

fn check(name: &str, seed: u64, serial: bool) -> Result<(), String> {
    let scenario = support::scenario(name);
    let mut plan = support::plan(Subject::Scenario(Box::new(scenario.clone())));
    plan.seed = seed;
    plan.serial = serial;
    plan.schedule.clone_from(&scenario.schedule);
    let (log, ending) = support::run(plan);
    let failed: Vec<_> = expect::judge(&scenario, &log).into_iter().filter(|verdict| !verdict.held).collect();
    if failed.is_empty() && matches!(ending.outcome, Outcome::Done | Outcome::Stuck) {
        return Ok(());
    }
    let reasons: Vec<_> = failed.iter().map(|verdict| format!("{}: {}", verdict.text, verdict.reason)).collect();
    Err(format!(
        "{name} seed {seed} serial {serial}: {:?} {reasons:#?}\nschedule {}\n{}",
        ending.outcome,
        ending.schedule,
        support::lines(&log).join("\n")
    ))
}

fn names() -> Vec<String> {
    Library::embedded().entries().map(|entry| entry.name.clone()).collect()
}

#[test]
fn all_hold_on_twenty_seeds() {
    let only = std::env::var("ONLY").ok();
    let mut bad = Vec::new();
    for name in names().iter().filter(|name| only.as_ref().is_none_or(|only| name.contains(only.as_str()))) {
        for seed in 0..SEEDS {
            if let Err(error) = check(name, seed, true) {
                bad.push(error);
                break;
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

#[test]
fn all_hold_in_free_mode() {
    let only = std::env::var("ONLY").ok();
    let mut bad = Vec::new();
    for name in names().iter().filter(|name| only.as_ref().is_none_or(|only| name.contains(only.as_str()))) {
        if support::scenario(name).schedule.is_empty()
            && let Err(error) = check(name, 0, false)
        {
            bad.push(error);
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}
