//! `proclab check`: scenarios are run without a screen, and their `expect` blocks judged.

mod human;
mod json;
mod junit;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::drive::drive;
use super::interrupts::{Interrupts, Keys};
use super::options::{LibraryOptions, RunOptions};
use super::out::{Marks, print, print_bytes, print_json, print_marked, say_lines};
use super::{Exit, Failure, begin, say};
use crate::control::{Outcome, Pace, Session, Start, Stdio, Subject};
use crate::expect::{self, Verdict};
use crate::model::Log;
use crate::scenario::Scenario;
use crate::scenario::library::{self, Entry, Source};

/// Run scenarios without a screen and judge their expectations
///
/// Without a name, every scenario that is built in or yours is checked, and those of each `--dir`; with `--free`, every
/// one that does not show a schedule, which nobody follows there. What lies in ./scenarios may be anybody's, and a
/// scenario can run any program: it is checked when it is named (`./NAME`), or with `--dir scenarios`. A run that
/// reaches its limit fails whatever its expectations say.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names or files of scenarios [default: all that are built in or yours]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// How the results are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Run each scenario with the seeds 0 to N-1
    #[arg(long, value_name = "N", conflicts_with_all = ["seed", "schedule"], value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    #[command(flatten)]
    run: RunOptions,
    #[command(flatten)]
    library: LibraryOptions,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// An array of objects, one a run.
    Json,
    /// A test suite a run, as continuous integration reads it.
    Junit,
}

/// The longest schedule that is shown to people, in bytes.
const SHORT_SCHEDULE: usize = 300;

/// A scenario to be run; for what cannot be, its name and why.
type Found = Result<Chosen, (String, String)>;

/// A scenario that is to be run.
struct Chosen {
    /// What finds it again.
    again: String,
    /// Whose it is, in words.
    source: &'static str,
    scenario: Scenario,
}

/// What is to be checked.
struct Selected {
    scenarios: Vec<Found>,
    /// How many were left out because they show a schedule.
    scheduled: usize,
    /// How many were left out because they lie in this directory.
    here: usize,
}

/// What came of one run, or of a file that cannot be run.
#[derive(Debug)]
struct Report {
    /// The scenario's name, or what was asked for.
    name: String,
    /// What finds it again: its name, or the path of its file.
    asked: String,
    title: String,
    /// Whose it is: `built in`, `yours` …
    source: &'static str,
    seed: u64,
    serial: bool,
    took: Duration,
    events: u64,
    ended: Ended,
    /// The schedule that was followed; empty for a free run.
    schedule: String,
    verdicts: Vec<Verdict>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    /// Every task has ended.
    Done,
    /// All that is left waits for each other. Whether that is right, the expectations say.
    Stuck,
    /// It was cut off; why, as a sentence.
    Limit(String),
    /// The lab failed; how, as a sentence.
    Failed(String),
    /// It never began: the file is no scenario, or there is none.
    Invalid(String),
}

impl Ended {
    const fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stuck => "stuck",
            Self::Limit(_) => "limit",
            Self::Failed(_) => "failed",
            Self::Invalid(_) => "invalid",
        }
    }

    /// As a sentence without a full stop.
    fn sentence(&self) -> &str {
        match self {
            Self::Done => "every process has ended",
            Self::Stuck => "nothing can move any more: all that is left waits for each other",
            Self::Limit(why) | Self::Failed(why) | Self::Invalid(why) => why,
        }
    }
}

impl Report {
    /// Whether the run ended in a way that can be judged.
    const fn is_judged(&self) -> bool {
        matches!(self.ended, Ended::Done | Ended::Stuck)
    }

    fn held(&self) -> bool {
        self.is_judged() && self.verdicts.iter().all(|verdict| verdict.held)
    }

    fn exit(&self) -> u8 {
        match self.ended {
            Ended::Failed(_) => 3,
            Ended::Invalid(_) => 2,
            _ => u8::from(!self.held()),
        }
    }

    fn invalid(name: &str, why: String) -> Self {
        Self {
            name: name.to_owned(),
            asked: name.to_owned(),
            title: String::new(),
            source: "",
            seed: 0,
            serial: true,
            took: Duration::ZERO,
            events: 0,
            ended: Ended::Invalid(why),
            schedule: String::new(),
            verdicts: Vec::new(),
        }
    }

    /// Whether the schedule is short enough to be read, and typed. The seed gives the same run.
    fn has_short_schedule(&self) -> bool {
        (1..=SHORT_SCHEDULE).contains(&self.schedule.len())
    }

    /// The command that gives the same run again.
    fn again(&self) -> String {
        let mut text = format!("proclab run {} --seed {}", quoted(&self.asked), self.seed);
        if !self.serial {
            text.push_str(" --free");
        } else if self.has_short_schedule() {
            let _ = write!(text, " --schedule {}", in_quotes(&self.schedule));
        }
        text
    }
}

/// A word as a shell reads it, in quotes where it needs them.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | ',' | ':' | '@');
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { in_quotes(word) }
}

fn in_quotes(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Runs the command.
pub fn check(args: &Args) -> Result<Exit, Failure> {
    let Selected { scenarios, scheduled, here } = args.scenarios()?;
    begin();
    let marks = Marks::of_stdout();
    let mut reports = Vec::new();
    for scenario in scenarios {
        let from = reports.len();
        match scenario {
            Ok(chosen) => {
                for seed in args.all_seeds() {
                    let options = RunOptions { seed, ..args.run.clone() };
                    match judge(&chosen, &options)? {
                        Ok(report) => reports.push(report),
                        Err(signal) => return Ok(Exit::interrupted(signal)),
                    }
                }
            }
            Err((name, why)) => reports.push(Report::invalid(&name, why)),
        }
        if args.format == Format::Human {
            print_marked(&human::of_scenario(&reports[from..], marks, args.names.is_empty()), marks)?;
        }
    }
    match args.format {
        Format::Human => print(&human::summary(&reports))?,
        Format::Json => print_json(&json::render(&reports))?,
        Format::Junit => print_bytes(junit::render(&reports).as_bytes())?,
    }
    tell_left_out(scheduled, here);
    // With these formats standard output is for a program; a person should see it all the same.
    for report in reports.iter().filter(|report| matches!(report.ended, Ended::Invalid(_))) {
        say_lines(report.ended.sentence());
    }
    Ok(Exit::Code(reports.iter().map(Report::exit).max().unwrap_or(0)))
}

/// Says what a bare `check` has not run, and how to do it.
fn tell_left_out(scheduled: usize, here: usize) {
    if scheduled > 0 {
        say(&format!(
            "{scheduled} scenarios show a schedule, which free mode does not follow, and were left out; a name runs one"
        ));
    }
    if here > 0 {
        let scenarios = if here == 1 { "1 scenario was".to_owned() } else { format!("{here} scenarios were") };
        say(&format!(
            "{scenarios} left out that this directory holds in scenarios/, because a scenario can run any program; \
             `proclab check --dir scenarios` runs them, `proclab check ./NAME` one"
        ));
    }
}

impl Args {
    /// What is to be checked.
    fn scenarios(&self) -> Result<Selected, Failure> {
        let library = self.library.library()?;
        if !self.names.is_empty() {
            let find = |name: &String| match library.look_up(name) {
                Ok(found) => {
                    let source = found.source.map_or("a file", Source::as_str);
                    Ok(Chosen { again: again(name, &found), source, scenario: found.scenario })
                }
                Err(why) => Err((name.clone(), why.to_string())),
            };
            return Ok(Selected { scenarios: self.names.iter().map(find).collect(), scheduled: 0, here: 0 });
        }
        let (here, known): (Vec<&Entry>, Vec<&Entry>) =
            library.entries().partition(|entry| entry.source == Source::Here);
        let choose = |entry: &Entry| match entry.scenario() {
            Ok(scenario) => {
                Ok(Chosen { again: entry.name.clone(), source: entry.source.as_str(), scenario: scenario.clone() })
            }
            Err(why) => Err((entry.name.clone(), why.to_string())),
        };
        let shows = |found: &Found| found.as_ref().is_ok_and(|chosen| !chosen.scenario.schedule.is_empty());
        let all = known.into_iter().map(choose);
        let (scheduled, scenarios): (Vec<Found>, Vec<Found>) = all.partition(|found| self.run.free && shows(found));
        Ok(Selected { scenarios, scheduled: scheduled.len(), here: here.len() })
    }

    fn all_seeds(&self) -> Vec<Option<u64>> {
        self.seeds.map_or_else(|| vec![self.run.seed], |count| (0..count).map(Some).collect())
    }
}

/// The name that a scenario has in the library, by which it is found again; its path where it is a file.
fn again(asked: &str, found: &library::Found) -> String {
    if found.source.is_some() { found.scenario.name.clone() } else { asked.to_owned() }
}

/// Runs a scenario and judges what happened; the signal if one ended it.
fn judge(chosen: &Chosen, options: &RunOptions) -> Result<Result<Report, i32>, Failure> {
    // For as long as the run lasts: a signal while results are printed ends the lab at once.
    let interrupts = Interrupts::listen(Keys::Lab)?;
    let scenario = &chosen.scenario;
    let began = Instant::now();
    let subject = Subject::Scenario(Box::new(scenario.clone()));
    let plan = options.plan(subject, Stdio::Captured, Start::Playing(Pace::Full));
    let (seed, serial) = (plan.seed, plan.serial);
    let session = Session::start(plan)?;
    let mut log = Log::new(session.header().clone());
    let driven = drive(&session, &interrupts, |batch| {
        log.append(batch);
        Ok(())
    })?;
    drop(session);
    if let Some(signal) = driven.interrupted {
        return Ok(Err(signal));
    }
    let ending = driven.ending;
    if let (Outcome::Failed(why), true) = (&ending.outcome, log.is_empty()) {
        return Err(Failure::of_run(why));
    }
    ending.left.iter().for_each(|sentence| say(sentence));
    let ended = match ending.outcome {
        Outcome::Done => Ended::Done,
        Outcome::Stuck => Ended::Stuck,
        Outcome::Limit(why) => Ended::Limit(why),
        Outcome::Stopped => Ended::Limit("the run was ended before it was over".to_owned()),
        Outcome::Failed(why) => Ended::Failed(why),
    };
    Ok(Ok(Report {
        name: scenario.name.clone(),
        asked: chosen.again.clone(),
        title: scenario.title.clone(),
        source: chosen.source,
        seed,
        serial,
        took: began.elapsed(),
        events: log.len(),
        ended,
        schedule: ending.schedule,
        verdicts: expect::judge(scenario, &log),
    }))
}

#[cfg(test)]
mod samples {
    use super::*;

    /// A report with one expectation that held and one that did not.
    pub fn report(name: &str, held: bool) -> Report {
        let verdict = |line, text: &str, held, reason: &str| Verdict {
            line: Some(line),
            text: text.to_owned(),
            held,
            reason: reason.to_owned(),
        };
        Report {
            name: name.to_owned(),
            asked: name.to_owned(),
            title: "Bytes & \"ends\"".to_owned(),
            source: "built in",
            seed: 7,
            serial: true,
            took: Duration::from_millis(20),
            events: 12,
            ended: Ended::Done,
            schedule: "parent:3,child:1".to_owned(),
            verdicts: vec![
                verdict(9, "clean", true, "every child was reaped"),
                verdict(10, "output a \"<\\u{1}>\"", held, "it wrote \"\u{1}]]>\""),
            ],
        }
    }

    pub fn invalid() -> Report {
        Report::invalid("nosuch", "there is no scenario `nosuch`".to_owned())
    }

    #[test]
    fn the_worst_run_decides() {
        assert_eq!([report("a", true).exit(), report("a", false).exit(), invalid().exit()], [0, 1, 2]);
        let failed = Report { ended: Ended::Failed("ptrace".to_owned()), ..report("a", true) };
        assert_eq!((failed.exit(), failed.held()), (3, false));
        let cut_off = Report { ended: Ended::Limit("too long".to_owned()), ..report("a", true) };
        assert_eq!((cut_off.exit(), cut_off.held()), (1, false));
        let stuck = Report { ended: Ended::Stuck, ..report("a", true) };
        assert_eq!(stuck.exit(), 0);
    }

    #[test]
    fn the_same_run_again() {
        assert_eq!(report("p/x", false).again(), "proclab run p/x --seed 7 --schedule 'parent:3,child:1'");
        let free = Report { serial: false, schedule: String::new(), ..report("p/x", false) };
        assert_eq!(free.again(), "proclab run p/x --seed 7 --free");
        let odd = Report { asked: "./it's; rm/x".to_owned(), ..free };
        assert_eq!(odd.again(), "proclab run './it'\\''s; rm/x' --seed 7 --free");
    }
}
