//! `proclab record`: a run without a screen, written down.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::drive::{Driven, drive};
use super::failure::out_of;
use super::interrupts::{Interrupts, Keys};
use super::options::{LibraryOptions, RunOptions};
use super::{Exit, Failure, begin, find_program, say};
use crate::control::{Outcome, Pace, Session, Start, Stdio, Subject};
use crate::model::Status;
use crate::record::Writer;

/// Run without a screen and write the log
///
/// The log is JSON Lines: a header, then one event a line. With the log on standard output, what the
/// program prints there goes to standard error instead. Records of programs end as the program did:
/// with its exit status, or by the same signal; with status 1 if it got stuck and was ended
/// (--stop-when-stuck, --serial) or reached a limit.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name or file of a scenario
    #[arg(value_name = "NAME", required_unless_present = "command", conflicts_with = "command")]
    name: Option<String>,
    /// A program and its arguments
    #[arg(value_name = "CMD", last = true)]
    command: Vec<OsString>,
    /// Where the log goes; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Print neither the schedule nor how the run ended
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    run: RunOptions,
    #[command(flatten)]
    library: LibraryOptions,
}

/// Runs the command.
pub fn record(args: &Args) -> Result<Exit, Failure> {
    let subject = if let Some(name) = &args.name {
        Subject::Scenario(Box::new(scenario(name, &args.library)?))
    } else {
        find_program(&args.command)?;
        Subject::Command(args.command.clone())
    };
    let is_scenario = args.name.is_some();
    let to_stdout = args.output.as_os_str() == "-";
    let (out, stdio): (Box<dyn Write>, Stdio) = if to_stdout {
        (Box::new(io::stdout()), Stdio::OutputToError)
    } else {
        let file = File::create(&args.output).map_err(|error| Failure::file("write", &args.output, &error))?;
        (Box::new(file), Stdio::Inherited)
    };
    begin();
    let interrupts = Interrupts::listen(if is_scenario { Keys::Lab } else { Keys::Program })?;
    let session = Session::start(args.run.plan(subject, stdio, Start::Playing(Pace::Full)))?;
    let mut log = Recording::new(out, &session, &args.output)?;
    let driven = drive(&session, &interrupts, |batch| log.keep(|writer| writer.batch(batch)))?;
    log.finish()?;
    // Whatever is left of the run goes before the lab does.
    drop(session);
    if !args.quiet {
        tell(&driven, is_scenario);
    }
    exit(&driven, is_scenario)
}

/// The scenario that `name` means. A program's name in its place is a likely slip.
fn scenario(name: &str, library: &LibraryOptions) -> Result<crate::scenario::Scenario, Failure> {
    library.find(name).map_err(|mut failure| {
        if !name.contains('/') && crate::sys::spawn::find(name.as_ref()).is_ok() {
            failure.message = format!("there is no scenario `{name}`; for the program: proclab record -- {name}");
        }
        failure
    })
}

/// The log on its way out, as long as somebody wants it.
struct Recording<'a> {
    writer: Option<Writer<Box<dyn Write>>>,
    path: &'a Path,
}

impl<'a> Recording<'a> {
    fn new(out: Box<dyn Write>, session: &Session, path: &'a Path) -> Result<Self, Failure> {
        let mut recording = Self { writer: None, path };
        recording.writer = recording.unless_broken(Writer::new(out, session.header()))?;
        Ok(recording)
    }

    fn keep(&mut self, write: impl FnOnce(&mut Writer<Box<dyn Write>>) -> io::Result<()>) -> Result<(), Failure> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let written = write(writer);
        if self.unless_broken(written)?.is_none() {
            self.writer = None;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Failure> {
        let finished = self.writer.take().map(Writer::finish).transpose();
        self.unless_broken(finished).map(drop)
    }

    /// Should nobody want to read on, the run goes on all the same.
    fn unless_broken<T>(&self, result: io::Result<T>) -> Result<Option<T>, Failure> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
            Err(error) => {
                let path = if self.path.as_os_str() == "-" { Path::new("standard output") } else { self.path };
                let path = path.display();
                Err(Failure::machine(format!("cannot write the log to {path}: {}; the run was ended", out_of(&error))))
            }
        }
    }
}

/// Says what the log does not.
fn tell(driven: &Driven, is_scenario: bool) {
    match &driven.ending.outcome {
        Outcome::Stuck => say("the run is stuck: all that is left waits for each other"),
        Outcome::Limit(why) => say(why),
        Outcome::Stopped => say("the run was ended before it was over"),
        Outcome::Done | Outcome::Failed(_) => {}
    }
    if is_scenario && !driven.ending.schedule.is_empty() {
        drop(writeln!(io::stderr(), "schedule: {}", driven.ending.schedule));
    }
    if is_scenario && let Some(sentence) = driven.ending.beyond_schedule() {
        say(&sentence);
    }
    driven.ending.left.iter().for_each(|sentence| say(sentence));
}

fn exit(driven: &Driven, is_scenario: bool) -> Result<Exit, Failure> {
    if let Some(signal) = driven.interrupted {
        return Ok(Exit::interrupted(signal));
    }
    match &driven.ending.outcome {
        Outcome::Failed(why) => Err(Failure::of_run(why)),
        Outcome::Limit(_) => Ok(Exit::CUT_OFF),
        Outcome::Done | Outcome::Stuck | Outcome::Stopped if is_scenario => Ok(Exit::DONE),
        Outcome::Done | Outcome::Stuck | Outcome::Stopped => Ok(match driven.ending.root {
            Some(Status::Code(code)) => Exit::Code(code as u8),
            Some(Status::Signal { signal, .. }) => Exit::Signal(signal.number()),
            None => Exit::CUT_OFF,
        }),
    }
}
