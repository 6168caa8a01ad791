//! Every scenario of the repository holds what it expects, on every seed that is tried.

mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proclab::control::{Outcome, Subject};
use proclab::model::{Kind, Log};
use proclab::scenario::Library;
use proclab::{expect, insight};

const SEEDS: u64 = 20;

fn check(name: &str, seed: u64, serial: bool) -> Result<(), String> {
    let scenario = support::scenario(name);
    let mut plan = support::plan(Subject::Scenario(Box::new(scenario.clone())));
    plan.seed = seed;
    plan.serial = serial;
    plan.schedule.clone_from(&scenario.schedule);
    let (log, ending) = support::run(plan);
    if seed == 0 {
        same_diagnoses(name, &log);
    }
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

/// The rules find the same again in the same log, however often they are asked.
fn same_diagnoses(name: &str, log: &Log) {
    let told: Vec<(String, String)> = log
        .range(0..log.len())
        .filter_map(|(_, event)| match event.kind {
            Kind::Diagnosis { rule, text, .. } => Some((log.name(rule).to_owned(), log.name(text).to_owned())),
            _ => None,
        })
        .collect();
    for _ in 0..100 {
        let found = insight::replay(log).into_iter().map(|finding| (finding.rule.to_owned(), finding.text));
        assert_eq!(found.collect::<Vec<_>>(), told, "{name}");
    }
}

fn names() -> Vec<String> {
    Library::embedded().entries().map(|entry| entry.name.clone()).collect()
}

/// Checks every scenario (of those whose names hold `ONLY`, if that is set) on every seed, as many at a
/// time as there are CPUs; of each that fails, the first failure.
fn all_hold(serial: bool) {
    let only = std::env::var("ONLY").unwrap_or_default();
    let names: Vec<String> = names().into_iter().filter(|name| name.contains(&only)).collect();
    let next = AtomicUsize::new(0);
    let bad = Mutex::new(Vec::new());
    let work = || {
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            // A schedule is of one task at a time.
            if serial || support::scenario(name).schedule.is_empty() {
                let failed = (0..SEEDS).find_map(|seed| check(name, seed, serial).err());
                bad.lock().expect("no thread panics with it").extend(failed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let bad = bad.into_inner().expect("no thread panics with it");
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

#[test]
fn all_hold_on_twenty_seeds() {
    all_hold(true);
}

#[test]
fn all_hold_twenty_times_in_free_mode() {
    all_hold(false);
}
