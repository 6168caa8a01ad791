//! Running things in tests: a plan, a session, the log and the ending.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod masks;
pub mod paused;

use std::path::PathBuf;

use proclab::control::{Ending, Pace, Plan, Session, Start, Stdio, Subject, Update};
use proclab::model::Log;
use proclab::scenario::{self, Scenario};

/// A scenario of the repository.
pub fn scenario(name: &str) -> Scenario {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.kdl"));
    scenario::library::load_file(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A scenario from its text.
pub fn scenario_of(text: &str) -> Scenario {
    let text = format!("title \"t\"\ntopic pipes\nlevel 1\nstory \"s\"\n{text}\n");
    scenario::parse("pipes/test", "test.kdl", &text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// How a scenario runs by default.
pub fn plan(subject: Subject) -> Plan {
    Plan {
        serial: matches!(subject, Subject::Scenario(_)),
        terminal: subject.terminal(),
        subject,
        seed: 0,
        schedule: Vec::new(),
        all: false,
        watch_memory: false,
        capture: 256,
        timeout: Some(60),
        stop_when_stuck: false,
        isolate: false,
        all_cpus: false,
        stdio: Stdio::Captured,
        start: Start::Playing(Pace::Full),
        lab: PathBuf::from(env!("CARGO_BIN_EXE_proclab")),
    }
}

/// A foreign program.
pub fn command(words: &[&str]) -> Subject {
    Subject::Command(words.iter().map(Into::into).collect())
}

/// Runs to the end.
pub fn run(plan: Plan) -> (Log, Ending) {
    let session = Session::start(plan).expect("the run starts");
    finish(&session, Log::new(session.header().clone()))
}

/// Takes in what a session tells until it ends.
pub fn finish(session: &Session, mut log: Log) -> (Log, Ending) {
    for update in session.updates() {
        match update {
            Update::Batch(batch) => log.append(&batch),
            Update::Status(_) => {}
            Update::Ended(ending) => return (log, ending),
        }
    }
    panic!("the session broke off");
}

/// The log as recorded lines, without the header.
pub fn lines(log: &Log) -> Vec<String> {
    let bytes = proclab::record::write(Vec::new(), log).expect("writing to memory");
    String::from_utf8(bytes).expect("UTF-8").lines().skip(1).map(str::to_owned).collect()
}

/// The same without times, to be compared.
pub fn stream(log: &Log) -> String {
    let mut text = String::new();
    for line in lines(log) {
        let from = line.find("\"t\":").expect("a time");
        let to = from + line[from..].find(',').expect("more fields");
        text.push_str(&line[..from]);
        text.push_str(&line[to..]);
        text.push('\n');
    }
    text
}
