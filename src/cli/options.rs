//! Options that several commands have, and the plan that follows from them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Failure;
use crate::control::{Plan, Start, Stdio, Subject};
use crate::scenario::{Library, Turn, library, parse_schedule};

/// How many bytes of each transfer are kept unless more are asked for.
const CAPTURE: u64 = 256;
/// The most bytes of each transfer that can be kept.
const MAX_CAPTURE: u64 = 1 << 20;

/// How something runs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of the run")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct RunOptions {
    /// Seed of the scheduler: the same seed gives the same run [default: the scenario's, else 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Turns before the seeded scheduler takes over, as a run prints them: parent:3,child@SIGUSR1,clock,all
    #[arg(long, value_name = "S", value_parser = schedule, conflicts_with = "free")]
    pub schedule: Option<Schedule>,
    /// Let everything run at once [default for programs]
    #[arg(long, conflicts_with = "serial")]
    pub free: bool,
    /// Let one task move at a time [default for scenarios]
    #[arg(long)]
    pub serial: bool,
    /// Record every system call, not only the ones that the lab understands
    #[arg(long)]
    pub all: bool,
    /// Record every load and store of shared memory, which is slow; scenarios that use memory always do
    #[arg(long)]
    pub watch_memory: bool,
    /// How many bytes of each transfer are kept
    #[arg(long, value_name = "BYTES", default_value_t = CAPTURE, value_parser = clap::value_parser!(u64).range(..=MAX_CAPTURE))]
    pub capture: u64,
    /// End the run after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// End the run of a program when nothing can move any more: all that is left waits for each other, and nobody
    /// outside of the run could help [always so with --serial]
    #[arg(long)]
    pub stop_when_stuck: bool,
    /// CPUs that the run may use: one is faster to watch, all is for programs that compute
    #[arg(long, value_name = "CPUS", value_enum, default_value_t = Cpus::One)]
    pub cpus: Cpus,
    /// Give a program users, PIDs, IPC objects and mounts of its own; it stays in the directory that it is started
    /// in, with its files, and has a /proc, a /dev/shm and a /dev/mqueue of its own
    #[arg(long)]
    pub isolate: bool,
}

/// What an empty command line says.
impl Default for RunOptions {
    fn default() -> Self {
        Self {
            seed: None,
            schedule: None,
            free: false,
            serial: false,
            all: false,
            watch_memory: false,
            capture: CAPTURE,
            timeout: None,
            cpus: Cpus::One,
            stop_when_stuck: false,
            isolate: false,
        }
    }
}

/// Which CPUs tracer and tracees use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cpus {
    /// All of them.
    All,
    /// They share one.
    One,
}

/// What `--schedule` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Turn>);

fn schedule(text: &str) -> Result<Schedule, String> {
    parse_schedule(text).map(Schedule)
}

impl RunOptions {
    /// The plan of a run of `subject`.
    pub fn plan(&self, subject: Subject, stdio: Stdio, start: Start) -> Plan {
        let scenario = match &subject {
            Subject::Scenario(scenario) => Some(scenario),
            Subject::Command(_) => None,
        };
        let serial_by_default = scenario.map_or(self.schedule.is_some(), |scenario| !scenario.free);
        let seed = self.seed.or(scenario.and_then(|scenario| scenario.seed)).unwrap_or(0);
        let from_file = || scenario.map(|scenario| scenario.schedule.clone()).unwrap_or_default();
        let schedule = self.schedule.as_ref().map_or_else(from_file, |schedule| schedule.0.clone());
        Plan {
            serial: self.serial || self.schedule.is_some() || (serial_by_default && !self.free),
            seed,
            schedule,
            terminal: subject.terminal(),
            subject,
            all: self.all,
            watch_memory: self.watch_memory,
            capture: self.capture as usize,
            timeout: self.timeout,
            stop_when_stuck: self.stop_when_stuck,
            isolate: self.isolate,
            all_cpus: self.cpus == Cpus::All,
            stdio,
            start,
            lab: super::lab(),
        }
    }
}

/// Where scenarios are looked for.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Where scenarios are")]
pub struct LibraryOptions {
    /// Look for scenarios in this folder too, which take the place of others of the same name; may be given several times
    #[arg(long = "dir", value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub dirs: Vec<PathBuf>,
}

impl LibraryOptions {
    /// All scenarios. A folder that was asked for and cannot be read is a failure.
    pub fn library(&self) -> Result<Library, Failure> {
        crate::sys::needs::check_for_files()?;
        let library = Library::load(&library::standard_folders(&self.dirs));
        match library.errors().first() {
            Some(error) => Err(error.clone().into()),
            None => Ok(library),
        }
    }

    /// The scenario that `name` means, and where it was found.
    pub fn find(&self, name: &str) -> Result<library::Found, Failure> {
        self.library()?.look_up(name).map_err(Failure::from)
    }
}

/// How the screen looks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of the screen")]
pub struct ScreenOptions {
    /// Colours [default: default, or mono where NO_COLOR is set]
    #[arg(long, value_enum)]
    pub theme: Option<Theme>,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub ascii: bool,
}

/// A theme of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Theme {
    /// The terminal's own colours.
    Default,
    /// Bright on black, for projectors.
    HighContrast,
    /// No colour at all.
    Mono,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunOptions,
    }

    fn plan(args: &str, subject: Subject) -> Plan {
        let line = Line::try_parse_from(std::iter::once("proclab").chain(args.split_whitespace())).expect(args);
        line.run.plan(subject, Stdio::Captured, Start::Paused)
    }

    fn scenario(text: &str) -> Subject {
        let text = format!("{text}\nprocess a {{ exit 0 }}\n");
        Subject::Scenario(Box::new(crate::scenario::parse("x/y", "y.kdl", &text).expect("parses")))
    }

    #[test]
    fn scenarios_are_serial_and_programs_free_unless_asked_otherwise() {
        let program = || Subject::Command(vec!["true".into()]);
        for (args, subject, serial) in [
            ("", scenario(""), true),
            ("", scenario("free"), false),
            ("--serial", scenario("free"), true),
            ("--free", scenario(""), false),
            ("", program(), false),
            ("--serial", program(), true),
            ("--schedule a:1", program(), true),
            ("--schedule a:1", scenario("free"), true),
        ] {
            assert_eq!(plan(args, subject).serial, serial, "{args}");
        }
    }

    #[test]
    fn the_command_line_weighs_more_than_the_file() {
        let text = "seed 7\nschedule { step a 2 }";
        let of_file = plan("", scenario(text));
        assert_eq!((of_file.seed, of_file.schedule.len()), (7, 1));
        let asked = plan("--seed 0 --schedule a:1,all", scenario(text));
        assert_eq!((asked.seed, asked.schedule.len()), (0, 2));
        assert_eq!(plan("", scenario("")).seed, 0);
    }

    #[test]
    fn an_empty_command_line_is_the_default() {
        let line = Line::try_parse_from(["proclab"]).expect("empty");
        assert_eq!(format!("{:?}", line.run), format!("{:?}", RunOptions::default()));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for args in
            ["--free --serial", "--free --schedule a:1", "--schedule a", "--timeout 0", "--capture 9999999", "--cpus 2"]
        {
            let words = std::iter::once("proclab").chain(args.split_whitespace());
            assert!(Line::try_parse_from(words).is_err(), "{args}");
        }
    }
}
