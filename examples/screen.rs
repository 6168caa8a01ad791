//! The lab's screen without the command line: `cargo run --example screen -- signals` shows a
//! made-up recording, `… live FILE` runs a scenario, `… trace CMD …` a program.

#[path = "../tests/common/mod.rs"]
mod common;

use std::ffi::OsString;
use std::path::Path;

use color_eyre::eyre::eyre;
use proclab::control::{Pace, Plan, Session, Start, Stdio, Subject};
use proclab::scenario::{Scenario, library};
use proclab::tui::{LabOptions, Look, Source, Starter, lab};

fn main() -> color_eyre::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [init, fd] = args.as_slice()
        && init == "__init"
    {
        return Err(eyre!(proclab::actor::init(fd.parse()?)));
    }
    color_eyre::install()?;
    let options = LabOptions { look: Look::from_env(None, false), ..LabOptions::default() };
    let source = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        // Two ways in which a start can go wrong, for the tests of the terminal.
        ["panic"] => live(Box::new(|_| panic!("the engine is broken")), None),
        ["refused"] => live(Box::new(|_| Err("cannot start ./a.out: execve: ENOENT".to_owned())), None),
        ["live", file] => {
            let scenario = library::load_file(Path::new(file)).map_err(|error| eyre!("{error}"))?;
            live(starter(Subject::Scenario(Box::new(scenario.clone()))), Some(scenario))
        }
        ["trace", command @ ..] => live(starter(Subject::Command(command.iter().map(OsString::from).collect())), None),
        rest => recording(rest.first().unwrap_or(&"")),
    };
    println!("{:?}", lab(options, source)?);
    Ok(())
}

fn live(start: Starter, scenario: Option<Scenario>) -> Source {
    Source::Live { start, scenario: scenario.map(Box::new) }
}

fn starter(subject: Subject) -> Starter {
    Box::new(move |beginning| {
        let plan = Plan {
            serial: matches!(subject, Subject::Scenario(_)),
            subject: subject.clone(),
            seed: beginning.seed.unwrap_or(7),
            schedule: Vec::new(),
            all: false,
            watch_memory: false,
            capture: 256,
            timeout: None,
            stop_when_stuck: false,
            isolate: false,
            all_cpus: false,
            terminal: None,
            stdio: Stdio::Captured,
            start: match subject {
                Subject::Scenario(_) => Start::Paused,
                Subject::Command(_) => Start::Playing(Pace::Full),
            },
            lab: std::env::current_exe().map_err(|error| error.to_string())?,
        };
        Session::start(plan).map_err(|error| error.to_string())
    })
}

fn recording(name: &str) -> Source {
    let (log, scenario) = match name {
        "signals" => (common::graceful(), None),
        "forgotten" => (common::forgotten(), None),
        "foreign" => (common::foreign(), None),
        "crowd" => (common::crowd(1000), None),
        "long" => (common::long(1_000_000), None),
        "hostile" => (common::hostile(), None),
        _ => (common::one_pipe(), Some(Box::new(common::one_pipe_scenario()))),
    };
    Source::Recording { log: Box::new(log), damage: None, scenario }
}
