//! `proclab record`: a run without a screen, written down.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::drive::{Driven, drive_on};
use super::interrupts::{Interrupts, Keys};
use super::options::{LibraryOptions, RunOptions};
use super::out::show;
use super::output::Inputs;
use super::recording::{Others, Recording, Target};
use super::{Exit, Failure, begin, find_program, say};
use crate::control::{Command, Outcome, Pace, Session, Start, Stdio, Subject};
use crate::model::Status;
use crate::scenario::library::Found;

/// Run without a screen and write the log
///
/// The log is JSON Lines: a header, then one event a line. With the log on standard output, what the
/// program prints there goes to standard error instead. Records of programs end as the program did:
/// with its exit status, or by the same signal; with status 1 if it got stuck and was ended
/// (--stop-when-stuck, --serial) or reached a limit.
///
/// When the command has ended and processes that it has started go on, they are waited for; on a terminal it is
/// said which. Ctrl-C, SIGTERM and --timeout end them, and --wait=no does so at once; the exit status is that of the
/// command all the same.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name or file of a scenario
    #[arg(value_name = "NAME", required_unless_present = "command", conflicts_with = "command")]
    name: Option<String>,
    /// A program and its arguments
    #[arg(value_name = "CMD", last = true)]
    command: Vec<OsString>,
    /// Where the log goes; - is standard output. A file that is neither empty nor an older recording is refused, and so is one that another run is being recorded into
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Print neither the schedule, nor how the run ended, nor who goes on after the command
    #[arg(short, long)]
    quiet: bool,
    /// Whether processes that the command leaves behind are waited for, or ended when it ends
    #[arg(long, value_name = "YES|NO", value_enum, default_value_t = Wait::Yes, conflicts_with = "name")]
    wait: Wait,
    #[command(flatten)]
    run: RunOptions,
    #[command(flatten)]
    library: LibraryOptions,
}

/// What becomes of processes that go on when the command has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wait {
    /// They are waited for.
    Yes,
    /// They are ended.
    No,
}

/// How long processes may go on after the command before it is said: most end of themselves by then.
const MOMENT: Duration = Duration::from_millis(500);

/// Runs the command.
pub fn record(args: &Args) -> Result<Exit, Failure> {
    let (subject, scenario_file) = if let Some(name) = &args.name {
        let found = scenario(name, &args.library)?;
        (Subject::Scenario(Box::new(found.scenario)), found.file)
    } else {
        find_program(&args.command)?;
        (Subject::Command(args.command.clone()), None)
    };
    let is_scenario = args.name.is_some();
    // Before an old recording is overwritten.
    crate::sys::needs::check_all()?;
    let stdio = if args.output.as_os_str() == "-" { Stdio::OutputToError } else { Stdio::Inherited };
    begin();
    let interrupts = Interrupts::listen(Keys::Lab)?;
    let inputs = Inputs { scenario: scenario_file.as_deref(), command: &args.command };
    let target = Target::open(&args.output, &inputs, &interrupts, args.run.timeout)?;
    interrupts.give_keys(if is_scenario { Keys::Lab } else { Keys::Program });
    let (log, sink) = Recording::new(target);
    let session = Session::start_into(args.run.plan(subject, stdio, Start::Playing(Pace::Full)), Some(sink))?;
    let mut after = After { args, log: &log, session: &session, interrupts: &interrupts, since: None, said: false };
    let driven = drive_on(&session, &interrupts, |_| Ok(()), || after.look())?;
    // Whatever is left of the run goes before the lab does.
    drop(session);
    log.finish()?;
    if !args.quiet {
        tell(&driven, is_scenario);
    }
    if let Some(sentence) = log.unwritten() {
        say(&sentence);
    }
    exit(&driven, is_scenario)
}

/// What is left when the command itself has ended.
struct After<'a> {
    args: &'a Args,
    log: &'a Recording,
    session: &'a Session,
    interrupts: &'a Interrupts,
    /// Since when.
    since: Option<Instant>,
    said: bool,
}

impl After<'_> {
    /// The key that ends the run although it was the program's at first: nobody reads what is written, so that it
    /// cannot go on.
    fn look(&mut self) -> Option<i32> {
        let key = self.interrupts.key().filter(|_| self.session.waits_for_reader());
        if self.said {
            return key;
        }
        let Some(others) = self.log.others() else { return key };
        let since = *self.since.get_or_insert_with(|| {
            self.interrupts.give_keys(Keys::Lab);
            if self.args.wait == Wait::No {
                self.session.send(Command::End);
            }
            Instant::now()
        });
        if since.elapsed() >= MOMENT {
            self.said = true;
            if !self.args.quiet && self.args.wait == Wait::Yes && io::stderr().is_terminal() {
                say(&who_goes_on(&others));
            }
        }
        key
    }
}

/// `the command has ended; sleep (PID 17) and 2 more go on …`
fn who_goes_on(others: &Others) -> String {
    let some: Vec<String> = others.some.iter().map(|(name, pid)| format!("{name} (PID {pid})")).collect();
    let more = others.count.saturating_sub(some.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let verb = if others.count == 1 { "goes" } else { "go" };
    format!("the command has ended; {}{more} {verb} on, and proclab waits. Ctrl-C ends what is left", some.join(", "))
}

/// The scenario that `name` means. A program's name in its place is a likely slip.
fn scenario(name: &str, library: &LibraryOptions) -> Result<Found, Failure> {
    library.find(name).map_err(|mut failure| {
        if !name.contains('/') && crate::sys::spawn::find(name.as_ref()).is_ok() {
            failure.message = format!("there is no scenario `{name}`; for the program: proclab record -- {name}");
        }
        failure
    })
}

/// Says what the log does not.
fn tell(driven: &Driven, is_scenario: bool) {
    match &driven.ending.outcome {
        Outcome::Stuck => say("the run is stuck: all that is left waits for each other"),
        Outcome::Limit(why) => say(why),
        // Whoever asks for it knows it.
        Outcome::Stopped if driven.interrupted.is_none() && driven.ending.root.is_some() => {}
        Outcome::Stopped => say("the run was ended before it was over"),
        Outcome::Done | Outcome::Failed(_) => {}
    }
    if is_scenario && !driven.ending.schedule.is_empty() {
        show(&format!("schedule: {}", driven.ending.schedule));
    }
    if is_scenario && let Some(sentence) = driven.ending.beyond_schedule() {
        say(&sentence);
    }
    driven.ending.left.iter().for_each(|sentence| say(sentence));
}

fn exit(driven: &Driven, is_scenario: bool) -> Result<Exit, Failure> {
    // A command that has ended by itself has its status, whatever became of those that it has left behind.
    let of_command = driven.ending.root.filter(|_| !is_scenario);
    if let (Some(status), Outcome::Stopped | Outcome::Limit(_)) = (of_command, &driven.ending.outcome) {
        return Ok(of_status(status));
    }
    if let Some(signal) = driven.interrupted {
        return Ok(Exit::interrupted(signal));
    }
    match &driven.ending.outcome {
        Outcome::Failed(why) => Err(Failure::of_run(why)),
        Outcome::Limit(_) => Ok(Exit::CUT_OFF),
        Outcome::Done | Outcome::Stuck | Outcome::Stopped if is_scenario => Ok(Exit::DONE),
        Outcome::Done | Outcome::Stuck | Outcome::Stopped => Ok(driven.ending.root.map_or(Exit::CUT_OFF, of_status)),
    }
}

const fn of_status(status: Status) -> Exit {
    match status {
        Status::Code(code) => Exit::Code(code as u8),
        Status::Signal { signal, .. } => Exit::Signal(signal.number()),
    }
}
