//! `proclab doctor`: what this machine can do, and what to change where it cannot.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal as _};

use etcetera::BaseStrategy as _;

use super::out::{Mark, Marks, print_marked, speaks_utf8};
use super::{Exit, Failure};
use crate::control::{self, Outcome, Pace, Plan, Session, Start, Stdio, Subject, Update};
use crate::model::Status;
use crate::scenario::library;
use crate::text;

/// Say what this machine can do, and what to change where it cannot
#[derive(Debug, clap::Args)]
pub struct Args {}

/// One line of the report.
#[derive(Debug)]
struct Line {
    mark: Mark,
    what: &'static str,
    /// What was found, and what to change.
    said: String,
}

impl Line {
    fn new(mark: impl Into<Mark>, what: &'static str, said: impl Into<String>) -> Self {
        Self { mark: mark.into(), what, said: said.into() }
    }
}

/// Runs the command. What the lab cannot do without decides the exit status.
pub fn doctor(_args: &Args) -> Result<Exit, Failure> {
    let mut lines = vec![kernel()];
    lines.extend(tracing());
    lines.extend([yama(), namespaces(), machine()]);
    lines.extend(terminal());
    lines.extend(directories());
    lines.push(leftovers());
    let marks = Marks::of_stdout();
    let mut text = String::new();
    for line in &lines {
        let _ = writeln!(text, "{} {}: {}", marks.show(line.mark), line.what, line.said);
    }
    print_marked(&text, marks)?;
    let sick = lines.iter().any(|line| line.mark == Mark::Bad);
    Ok(if sick { Exit::MACHINE } else { Exit::DONE })
}

fn kernel() -> Line {
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let said = format!("Linux {release} on {}", std::env::consts::ARCH);
    if is_new_enough(&release) {
        Line::new(true, "kernel", said)
    } else {
        Line::new(false, "kernel", format!("{said}; pidfd_getfd needs Linux 5.6 or later"))
    }
}

/// Whether a release such as `6.18.5-generic` is 5.6 or later.
fn is_new_enough(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 6)
}

/// Puts this very program on the bench: a process is seized, filtered, and followed to its end.
fn tracing() -> [Line; 2] {
    let (ptrace, seccomp) = ("ptrace", "seccomp");
    match trace_something() {
        Ok(()) => [
            Line::new(true, ptrace, "a process was seized and followed to its end"),
            Line::new(true, seccomp, "calls that are of no interest run at full speed"),
        ],
        Err((call, why)) if call == seccomp => {
            [Line::new(Mark::Neutral, ptrace, "not tried, because seccomp failed"), Line::new(false, seccomp, why)]
        }
        Err((call, why)) if call == ptrace => {
            [Line::new(false, ptrace, why), Line::new(Mark::Neutral, seccomp, "not tried")]
        }
        Err((call, why)) => [
            Line::new(false, call, why),
            Line::new(Mark::Neutral, "ptrace and seccomp", format!("not tried, because {call} failed")),
        ],
    }
}

/// The call that failed, and the sentence that says so.
fn trace_something() -> Result<(), (&'static str, String)> {
    let plan = Plan {
        subject: Subject::Command(vec![super::lab().into(), "--version".into()]),
        serial: false,
        seed: 0,
        schedule: Vec::new(),
        all: false,
        watch_memory: false,
        capture: 0,
        timeout: Some(10),
        stop_when_stuck: false,
        isolate: false,
        all_cpus: false,
        terminal: None,
        stdio: Stdio::Captured,
        start: Start::Playing(Pace::Full),
        lab: super::lab(),
    };
    let session = Session::start(plan).map_err(|error| (error.call, error.with_hint()))?;
    for update in session.updates() {
        if let Update::Ended(ending) = update {
            return match ending.outcome {
                Outcome::Failed(why) if why.starts_with("seccomp") => Err(("seccomp", why)),
                Outcome::Failed(why) | Outcome::Limit(why) => Err(("ptrace", why)),
                _ if ending.root == Some(Status::Code(0)) => Ok(()),
                _ => Err(("ptrace", "the process on the bench did not end as it should".to_owned())),
            };
        }
    }
    Err(("ptrace", "the tracer's thread ended early".to_owned()))
}

fn setting(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn yama() -> Line {
    let scope = setting("/proc/sys/kernel/yama/ptrace_scope");
    let (mark, said) = match scope {
        None => (Mark::Good, "not there: every user may trace their own processes"),
        Some(0) => (Mark::Good, "ptrace_scope is 0: every user may trace their own processes"),
        Some(1) => (Mark::Good, "ptrace_scope is 1: a tracer may trace what it started, as the lab does"),
        Some(2) => {
            (Mark::Neutral, "ptrace_scope is 2: only administrators may trace; sysctl -w kernel.yama.ptrace_scope=1")
        }
        Some(_) => (
            Mark::Neutral,
            "ptrace_scope is 3: nobody may trace until the next start of the machine with another value",
        ),
    };
    Line::new(mark, "yama", said)
}

/// Settings that forbid unprivileged user namespaces, what they forbid them with, and what to set.
const FORBIDDING: [(&str, i64, &str); 3] = [
    ("/proc/sys/user/max_user_namespaces", 0, "sysctl -w user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", 0, "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        1,
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

fn namespaces() -> Line {
    const WITHOUT: &str = "scenarios run without, with a directory of their own and the PIDs of this machine";
    if std::env::var_os("PROCLAB_NO_NAMESPACES").is_some() {
        return Line::new(Mark::Neutral, "namespaces", format!("PROCLAB_NO_NAMESPACES is set; {WITHOUT}"));
    }
    let Err(error) = control::probe_namespaces() else {
        return Line::new(true, "namespaces", "each scenario gets its own users, PIDs, IPC objects and mounts");
    };
    let cures: Vec<&str> = FORBIDDING
        .iter()
        .filter(|(path, forbidding, _)| setting(path) == Some(*forbidding))
        .map(|(_, _, cure)| *cure)
        .collect();
    let cure = if cures.is_empty() {
        "in a container, allow unprivileged user namespaces and mounts of proc and tmpfs in them".to_owned()
    } else {
        format!("to allow them: {}", cures.join("; "))
    };
    Line::new(Mark::Neutral, "namespaces", format!("refused: {error}; {WITHOUT}; {cure}"))
}

fn machine() -> Line {
    const GIB: f64 = (1_u64 << 30) as f64;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let plural = if cpus == 1 { "" } else { "s" };
    let Ok(mut system) = sysinfo::System::new() else {
        return Line::new(Mark::Neutral, "machine", format!("{cpus} CPU{plural}; its memory cannot be asked for"));
    };
    system.refresh_memory();
    let (total, free) = (system.total_memory() as f64 / GIB, system.available_memory() as f64 / GIB);
    Line::new(true, "machine", format!("{cpus} CPU{plural}, {total:.1} GiB of memory, {free:.1} GiB of it available"))
}

fn terminal() -> [Line; 3] {
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    // Where there is none, the size would be asked of a program in PATH.
    let screen = match is_terminal.then(crossterm::terminal::size) {
        Some(Ok((columns, rows))) if columns >= 80 && rows >= 24 => {
            Line::new(true, "terminal", format!("{columns} columns, {rows} rows"))
        }
        Some(Ok((columns, rows))) => Line::new(
            Mark::Neutral,
            "terminal",
            format!("{columns} columns, {rows} rows; the lab's screen wants 80 and 24 or more"),
        ),
        _ => Line::new(Mark::Neutral, "terminal", "standard input or output is none: `check` and `record` do without"),
    };
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let colours = match (variable("NO_COLOR"), variable("TERM"), variable("COLORTERM")) {
        (Some(_), ..) => Line::new(Mark::Neutral, "colours", "NO_COLOR is set: the lab draws without"),
        (_, None, _) => Line::new(Mark::Neutral, "colours", "TERM is not set"),
        (_, Some(term), Some(more)) => Line::new(true, "colours", format!("TERM is {term}, COLORTERM is {more}")),
        (_, Some(term), None) => Line::new(true, "colours", format!("TERM is {term}: sixteen colours are enough")),
    };
    let utf8 = if speaks_utf8() {
        Line::new(true, "UTF-8", "the locale has it, or there is none")
    } else {
        Line::new(Mark::Neutral, "UTF-8", "the locale has ASCII only, and so has the screen; LC_ALL=C.UTF-8 changes it")
    };
    [screen, colours, utf8]
}

fn directories() -> [Line; 2] {
    let own = etcetera::choose_base_strategy().map(|base| base.data_dir().join("proclab/scenarios"));
    let scenarios = match own {
        Ok(path) if library::is_yours(&path) => Line::new(true, "your scenarios", text::path(&path)),
        Ok(path) if path.is_dir() => Line::new(
            Mark::Neutral,
            "your scenarios",
            format!("{} is left out: it belongs to somebody else, or everybody may write to it", text::path(&path)),
        ),
        Ok(path) => Line::new(
            Mark::Neutral,
            "your scenarios",
            format!("{} is not there; what it holds would be listed everywhere", text::path(&path)),
        ),
        Err(_) => {
            Line::new(Mark::Neutral, "your scenarios", "HOME is not set: only ./scenarios and --dir are looked at")
        }
    };
    let place = match control::place() {
        Ok(path) => {
            Line::new(true, "runs", format!("runs without namespaces have their directory in {}", text::path(&path)))
        }
        Err(error) => {
            let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            Line::new(Mark::Neutral, "runs", format!("runs without namespaces are refused: {error}{hint}"))
        }
    };
    [scenarios, place]
}

fn leftovers() -> Line {
    let swept = control::sweep();
    if swept.is_empty() {
        Line::new(true, "leftovers", "none of earlier runs")
    } else {
        Line::new(Mark::Neutral, "leftovers", swept.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn releases_are_read_as_numbers() {
        for release in ["5.6.0", "5.10", "6.18.5-generic", "10.0"] {
            assert!(is_new_enough(release), "{release}");
        }
        for release in ["5.5.99", "4.19", "", "x"] {
            assert!(!is_new_enough(release), "{release}");
        }
    }
}
