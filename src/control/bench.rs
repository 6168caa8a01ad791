//! Putting a program or a scenario on the bench: streams, place, namespaces.

use std::io::IsTerminal;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock};

use super::run_dir::{self, Outside, RunDir, Shared};
use super::{Plan, Stdio, Subject};
use crate::actor::Orders;
use crate::model::Header;
use crate::sys::seccomp::Filter;
use crate::sys::spawn::{self, Namespaces, Report, Start};
use crate::sys::{Error, Result};
use crate::trace::{Journal, LabTerminal, Output, Tracer, calls};

/// What the lab's terminal understands, as terminfo(5) calls it.
const TERM: &str = "xterm-256color";

/// What keeps a run apart from the rest of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// Namespaces of its own.
    Namespaces,
    /// A directory and a subreaper; why there are no namespaces, as a sentence.
    Directory(String),
    /// Nothing: a foreign program in the user's own surroundings.
    None,
}

/// What must be kept while the run lasts.
#[derive(Debug)]
pub struct Bench {
    /// Why the first process could not be started, if it could not.
    pub report: Option<Report>,
    /// The run's directory, where it has no file system of its own, or makes something outside of it.
    pub outside: Shared,
    /// How the run is kept apart.
    pub isolation: Isolation,
}

/// What a recording of the run begins with.
pub fn header(plan: &Plan, isolation: &Isolation) -> Header {
    let kernel =
        nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    let (scenario, command) = match &plan.subject {
        Subject::Scenario(scenario) => (Some(scenario), None),
        Subject::Command(command) => {
            (None, Some(command.iter().map(|word| word.to_string_lossy().into_owned()).collect()))
        }
    };
    let in_namespace = *isolation == Isolation::Namespaces;
    Header {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: scenario.map(|scenario| scenario.name.clone()),
        source: scenario.map(|scenario| scenario.source.clone()),
        command,
        kernel,
        arch: std::env::consts::ARCH.to_owned(),
        seed: plan.seed,
        mode: if plan.serial { "serial" } else { "free" }.to_owned(),
        lab: if scenario.is_some() || in_namespace { "init" } else { "proclab" }.to_owned(),
        lab_pid: i32::from(in_namespace),
    }
}

/// What [`probe_namespaces`] said: the answer stays the same as long as this process lives, and a lab
/// may run hundreds of scenarios.
static PROBED: OnceLock<Result<()>> = OnceLock::new();
/// The same of namespaces in which the working directory stays.
static PROBED_IN_PLACE: OnceLock<Result<()>> = OnceLock::new();

/// Tries whether the kernel allows the namespaces of a run.
pub fn try_namespaces(plan: &Plan) -> Isolation {
    let isolating = matches!(plan.subject, Subject::Scenario(_)) || plan.isolate;
    if !isolating {
        return Isolation::None;
    }
    if std::env::var_os("PROCLAB_NO_NAMESPACES").is_some() {
        return Isolation::Directory("PROCLAB_NO_NAMESPACES is set".into());
    }
    let probed = match &plan.subject {
        Subject::Scenario(_) => PROBED.get_or_init(probe_namespaces),
        Subject::Command(_) => PROBED_IN_PLACE.get_or_init(|| probe(Namespaces::in_place())),
    };
    match probed {
        Ok(()) => Isolation::Namespaces,
        Err(error) => Isolation::Directory(format!("namespaces are refused: {error}")),
    }
}

/// Makes the namespaces of a run and leaves them again.
pub fn probe_namespaces() -> Result<()> {
    let missing = || Error::new("mount", "/mnt, /srv or /media: there is none of them", libc::ENOENT);
    probe(Namespaces::with_directory().ok_or_else(missing)?)
}

fn probe(namespaces: Namespaces) -> Result<()> {
    let mut start = Start::nothing();
    start.namespaces = Some(namespaces);
    let (gated, report) = start.fork()?;
    let pid = nix::unistd::Pid::from_raw(gated.pid);
    gated.open()?;
    // It ends by itself, whether it could be set up or not.
    let _ = nix::sys::wait::waitpid(pid, None);
    report.failure().map_or(Ok(()), Err)
}

/// The standard streams of the first process, and the lab's ends of them.
#[derive(Debug, Default)]
struct Streams {
    stdio: [Option<i32>; 3],
    /// Closed in the lab once the first process has them.
    given: Vec<OwnedFd>,
    outputs: Vec<Output>,
    terminal: Option<LabTerminal>,
}

fn streams(plan: &Plan) -> Result<Streams> {
    let mut streams = Streams::default();
    if let Some(terminal) = &plan.terminal {
        let (terminal, slave) = LabTerminal::open(terminal.rows, terminal.columns, forward(plan.stdio, 1))?;
        streams.stdio = [Some(slave.as_raw_fd()); 3];
        streams.given.push(slave);
        streams.terminal = Some(terminal);
        return Ok(streams);
    }
    let scenario = matches!(plan.subject, Subject::Scenario(_));
    if scenario || (plan.stdio == Stdio::Captured && std::io::stdin().is_terminal()) {
        let null = std::fs::File::open("/dev/null")
            .map_err(|error| Error::new("open", "/dev/null", error.raw_os_error().unwrap_or(libc::ENOENT)))?;
        streams.stdio[0] = Some(null.as_raw_fd());
        streams.given.push(null.into());
    }
    if plan.stdio == Stdio::Captured || scenario {
        for fd in [1, 2] {
            let (read, write) = spawn::pipe()?;
            nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
                .map_err(|errno| Error::new("fcntl", "a pipe of the lab", errno as i32))?;
            streams.stdio[fd as usize] = Some(write.as_raw_fd());
            streams.given.push(write);
            streams.outputs.push(Output { fd, pipe: read, forward: forward(plan.stdio, fd), channel: None });
        }
    } else if plan.stdio == Stdio::OutputToError {
        streams.stdio[1] = Some(2);
    }
    Ok(streams)
}

/// The lab's own descriptor that gets a copy of what goes to descriptor `fd` of the run.
const fn forward(stdio: Stdio, fd: i32) -> Option<i32> {
    match stdio {
        Stdio::Captured => None,
        Stdio::Inherited => Some(fd),
        Stdio::OutputToError => Some(2),
    }
}

/// The calls that stop in scenario processes. Where memory is watched, the calls that could be told of
/// it are among them: of scenario processes only the waiting of a semaphore.
fn filter(plan: &Plan, scenario: &crate::scenario::Scenario) -> Vec<u32> {
    if plan.watch_memory {
        return calls::every().chain([calls::MARKER]).collect();
    }
    let futex = scenario.program.uses_memory().then(|| calls::number("futex")).flatten();
    calls::traced().chain([calls::MARKER]).chain(futex).collect()
}

/// Starts the first process of a run.
pub fn start(plan: &Plan, isolation: Isolation, tracer: &mut Tracer) -> Result<Bench> {
    let streams = streams(plan)?;
    let directory = match isolation {
        Isolation::Directory(_) => Some(RunDir::create()?),
        _ => None,
    };
    let orders; // Kept until the first process has a copy.
    let mut start = match &plan.subject {
        Subject::Scenario(scenario) => {
            let filter = filter(plan, scenario);
            let text = Orders {
                name: scenario.name.clone(),
                source: scenario.source.clone(),
                filter,
                marker: calls::MARKER,
                terminal: plan.terminal.is_some(),
            }
            .to_json();
            orders = spawn::memory_file(text.as_bytes())?;
            // Always as long, because arguments move the stack, and addresses can be seen in the log.
            let number = format!("{:010}", orders.as_raw_fd());
            Start::image(&plan.lab, &["proclab", crate::actor::COMMAND, &number])?
        }
        Subject::Command(command) => {
            let mut start = Start::command(command)?;
            let filter = if plan.all || plan.watch_memory {
                Filter::stopping_at_all()
            } else {
                Filter::stopping(calls::traced())
            };
            start.filter = Some(filter);
            start
        }
    };
    start.stdio = streams.stdio;
    if let Some(terminal) = streams.terminal {
        start.terminal = true;
        start.set_variable("TERM", TERM)?;
        tracer.keep_terminal(terminal);
    }
    // Addresses can be seen in arguments, and the same seed shall give the same log.
    start.fixed_layout = matches!(plan.subject, Subject::Scenario(_));
    start.new_session =
        plan.terminal.is_some() || plan.stdio == Stdio::Captured || matches!(plan.subject, Subject::Scenario(_));
    if isolation == Isolation::Namespaces {
        start.namespaces = match &plan.subject {
            Subject::Scenario(_) => Namespaces::with_directory(),
            // It was started where it is for a reason: its files are there.
            Subject::Command(_) => Some(Namespaces::in_place()),
        };
    } else if let (Some(directory), Subject::Scenario(_)) = (&directory, &plan.subject) {
        start.directory = Some(directory.open()?);
    }
    let outside: Shared = Arc::new(Mutex::new(Outside::new(directory)));
    // What a foreign program leaves is its own business.
    if let Subject::Scenario(_) = &plan.subject {
        let shared = outside.clone();
        let open = move || run_dir::open_journal(&shared);
        tracer.recorder_mut().keep_journal(Journal::new(isolation != Isolation::Namespaces, open));
    }
    let report = match &plan.subject {
        Subject::Scenario(_) => tracer.start_scenario(start, streams.outputs)?,
        Subject::Command(command) => {
            let name = command.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
            let base = name.rsplit('/').next().unwrap_or(&name).to_owned();
            tracer.start_command(start, &base, streams.outputs)?
        }
    };
    Ok(Bench { report: Some(report), outside, isolation })
}
