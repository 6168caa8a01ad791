//! The command line: one file a command.
//!
//! Every command returns how the program ends, or a [`Failure`]: one clear sentence and an exit
//! status. Nothing here panics on a broken pipe, and nothing prints but through [`out`].

mod check;
mod completions;
mod doctor;
mod drive;
mod failure;
mod interrupts;
mod lint;
mod list;
mod man;
mod new;
mod options;
mod out;
mod output;
mod pick;
mod record;
mod recording;
mod replay;
mod run;
mod screen;
mod trace;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::text;

pub use failure::Failure;
pub use out::say;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(u8),
    /// By this signal, as the program on the bench did.
    Signal(i32),
}

impl Exit {
    /// All is well.
    pub const DONE: Self = Self::Code(0);
    /// An expectation failed.
    pub const FAILED: Self = Self::Code(1);
    /// Usage, or an invalid file.
    pub const INVALID: Self = Self::Code(2);
    /// The machine cannot do it.
    pub const MACHINE: Self = Self::Code(3);
    /// A limit cut the run off.
    pub const CUT_OFF: Self = Self::Code(1);

    /// What a shell says of a program that a signal ended.
    pub const fn interrupted(signal: i32) -> Self {
        Self::Code(128_u8.saturating_add(signal as u8))
    }
}

/// A laboratory for processes: watch, stop, step, rewind and explain what real processes do
///
/// Without a command, proclab shows its scenarios to choose from.
#[derive(Debug, Parser)]
#[command(name = "proclab", version, args_conflicts_with_subcommands = true, subcommand_help_heading = "Commands")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    pick: pick::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Trace(trace::Args),
    Record(record::Args),
    Replay(replay::Args),
    Check(check::Args),
    List(list::Args),
    Lint(lint::Args),
    New(new::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Parses the command line and does what it says.
pub fn main() -> Exit {
    let result = match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => return usage(&error),
    };
    let exit = result.unwrap_or_else(|failure| {
        out::say_lines(&failure.message);
        failure.exit
    });
    // The screen leaves by the ordinary way when a signal asks for it; whoever waits for it is told.
    match crate::tui::terminal::ended_by() {
        Some(signal) if exit == Exit::DONE => Exit::interrupted(signal),
        _ => exit,
    }
}

/// Lets panics and reports be printed for people. Where nobody can hear them, nothing is: the usual way to print
/// would panic a second time, which aborts.
pub fn install_hooks() {
    let (panics, reports) = color_eyre::config::HookBuilder::default().into_hooks();
    if let Err(error) = reports.install() {
        say(&format!("{error}"));
    }
    std::panic::set_hook(Box::new(move |info| {
        drop(writeln!(std::io::stderr(), "{}", panics.panic_report(info)));
    }));
}

impl Cli {
    fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            None => pick::pick(&self.pick),
            Some(Command::Run(args)) => run::run(args),
            Some(Command::Trace(args)) => trace::trace(args),
            Some(Command::Record(args)) => record::record(args),
            Some(Command::Replay(args)) => replay::replay(args),
            Some(Command::Check(args)) => check::check(args),
            Some(Command::List(args)) => list::list(args),
            Some(Command::Lint(args)) => lint::lint(args),
            Some(Command::New(args)) => new::new(args),
            Some(Command::Doctor(args)) => doctor::doctor(args),
            Some(Command::Completions(args)) => completions::completions(args),
            Some(Command::Man(args)) => man::man(args),
        }
    }
}

/// Help and the version are what was asked for; everything else is a mistake of usage.
fn usage(error: &clap::Error) -> Exit {
    // It quotes the command line, which may come from anywhere: from a file's name, say.
    if error.use_stderr() && std::env::args_os().any(|arg| arg.to_string_lossy().chars().any(text::is_unsafe)) {
        out::say_lines(&format!("{}", error.render()));
        return Exit::INVALID;
    }
    let printed = error.print();
    if error.use_stderr() {
        return Exit::INVALID;
    }
    match out::unless_broken(printed) {
        Ok(()) => Exit::DONE,
        Err(failure) => {
            say(&failure.message);
            failure.exit
        }
    }
}

/// What clap knows about the commands: for completions and the manual page.
fn command() -> clap::Command {
    Cli::command()
}

/// If this process was started as one of a scenario: its whole life, and its exit status if it could
/// not begin.
pub fn scenario_process() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    args.next().filter(|first| first == crate::actor::COMMAND)?;
    let fd = args.next().as_deref().and_then(|fd: &std::ffi::OsStr| fd.to_str()?.parse().ok());
    let why = match fd {
        Some(fd) if fd > 2 && is_open(fd) => crate::actor::init(fd),
        _ => format!("`{}` is how proclab starts scenario processes; it is not for people", crate::actor::COMMAND),
    };
    say(&why);
    Some(ExitCode::from(126))
}

fn is_open(fd: i32) -> bool {
    std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok()
}

/// What begins a command that runs something: what killed labs left behind is removed.
fn begin() {
    for sentence in crate::control::sweep() {
        say(&sentence);
    }
}

/// The proclab binary, which scenario processes are: by this name even if its file was replaced.
fn lab() -> std::path::PathBuf {
    "/proc/self/exe".into()
}

/// Says early and clearly that there is no such program, or that it cannot be executed.
fn find_program(command: &[OsString]) -> Result<(), Failure> {
    let Some(program) = command.first() else { return Err(Failure::usage("no program was given")) };
    let found = crate::sys::spawn::find(program);
    found.map(drop).map_err(|errno| Failure::no_program(&program.to_string_lossy(), errno))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
