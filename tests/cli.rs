//! The command line as its users meet it: the real binary, its output and its exit status.

#[path = "cli/check.rs"]
mod check;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/hostile.rs"]
mod hostile;
#[path = "cli/record.rs"]
mod record;
#[path = "cli/refusals.rs"]
mod refusals;
#[path = "cli/screen.rs"]
mod screen;
#[path = "cli/signals.rs"]
mod signals;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// A place without scenarios and without settings of the user's.
struct Place {
    dir: tempfile::TempDir,
}

/// What came of a command.
struct Ran {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    /// proclab, ready to be started here.
    fn proclab<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proclab"));
        command.args(args);
        self.settle(&mut command);
        command
    }

    /// Another program, in the same surroundings.
    fn settle(&self, command: &mut Command) {
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("HOME", self.dir.path()).env("RUST_BACKTRACE", "1");
        for name in ["XDG_DATA_HOME", "NO_COLOR", "LC_ALL", "LC_CTYPE", "LANG", "COLUMNS", "LD_LIBRARY_PATH"] {
            command.env_remove(name);
        }
    }

    fn run(&self, args: &[&str]) -> Ran {
        finish(&mut self.proclab(args))
    }
}

/// Runs a command to its end. Whatever went wrong, users see sentences.
fn finish(command: &mut Command) -> Ran {
    let output = command.output().expect("the binary");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    for noise in ["panicked", "RUST_BACKTRACE", "Location:", "backtrace", ".rs:"] {
        assert!(!stderr.contains(noise), "{noise} in: {stderr}");
    }
    Ran { status: output.status, stdout: output.stdout, stderr }
}

impl Ran {
    #[track_caller]
    fn code(self, expected: i32) -> Self {
        assert_eq!(self.status.code(), Some(expected), "{}\n--\n{}", self.text(), self.stderr);
        self
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("UTF-8")
    }

    /// The lines of standard output, each of which is a JSON object.
    #[track_caller]
    fn events(&self) -> Vec<serde_json::Value> {
        events(&self.stdout)
    }
}

#[track_caller]
fn events(log: &[u8]) -> Vec<serde_json::Value> {
    assert!(log.ends_with(b"\n"), "the last line is whole");
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let values: Vec<serde_json::Value> = lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect();
    assert!(values.iter().all(serde_json::Value::is_object));
    assert_eq!(values[0]["proclab"], 1);
    values
}

fn read_events(path: &Path) -> Vec<serde_json::Value> {
    events(&std::fs::read(path).expect("the log"))
}

/// A scenario that is as it should be.
const GOOD: &str = r#"title "Good"
topic mine
level 1
story "One process."
see "fork(2)"
process parent {
    fork child { exit 3 }
    print "hello\n"
    wait child
}
expect {
    exited child code=3
    output parent "hello\n"
}
"#;

/// The same, with an expectation that cannot hold.
fn bad() -> String {
    GOOD.replace("exited child code=3", "exited child code=4")
}
