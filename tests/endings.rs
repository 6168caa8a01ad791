//! However the lab ends: by any signal, with its terminal, or killed. Nothing is left behind, no terminal is left
//! raw, no log is lost, and what a program sends to its own group does not end it.

#[path = "endings/blocked.rs"]
mod blocked;
#[path = "endings/group.rs"]
mod group;
#[path = "endings/left.rs"]
mod left;
#[path = "endings/screen.rs"]
mod screen;
#[path = "endings/unseen.rs"]
mod unseen;

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Signals that end nobody by default, that nobody can send usefully, or that are ignored by every Rust program;
/// 32 and 33 are the C library's own.
const HARMLESS: [i32; 8] =
    [libc::SIGCHLD, libc::SIGURG, libc::SIGWINCH, libc::SIGPIPE, libc::SIGCONT, libc::SIGKILL, 32, 33];
const STOPS: [i32; 4] = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// Every signal whose default action ends a process and that can be caught.
fn fatal() -> impl Iterator<Item = i32> {
    (1..=64).filter(|number| !HARMLESS.contains(number) && !STOPS.contains(number))
}

/// A directory of its own, in which the lab also keeps what it has to clean up.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A program in these surroundings.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        use std::os::unix::fs::PermissionsExt;
        let runtime = self.path("runtime");
        std::fs::create_dir_all(&runtime).expect("made");
        std::fs::set_permissions(&runtime, PermissionsExt::from_mode(0o700)).expect("private");
        let mut command = Command::new(program);
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("HOME", self.dir.path()).env("XDG_RUNTIME_DIR", &runtime);
        command.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
        command
    }

    fn lab(&self, args: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_proclab"), args)
    }

    fn log(&self) -> Vec<serde_json::Value> {
        let log = std::fs::read_to_string(self.path("log")).expect("the log");
        assert!(log.ends_with('\n'), "the last line is whole");
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// What the lab keeps for the next start; nothing after a proper end.
    fn left(&self) -> Vec<PathBuf> {
        let runs = self.path("runtime/proclab");
        std::fs::read_dir(runs).map_or_else(|_| Vec::new(), |list| list.flatten().map(|entry| entry.path()).collect())
    }
}

/// Sends by number: real-time signals have no name in `nix`.
fn send(pid: Pid, signal: i32) {
    let pid = pid.as_raw().to_string();
    let status = Command::new("/bin/kill").args([format!("-{signal}"), pid]).status().expect("kill");
    assert!(status.success());
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

/// The end of a child; it is killed and the test fails if that takes too long.
#[track_caller]
fn end_of(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("waiting") {
            return status;
        }
        if began.elapsed() > PATIENCE {
            nix::sys::signal::kill(pid_of(child), Signal::SIGKILL).expect("killed");
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
