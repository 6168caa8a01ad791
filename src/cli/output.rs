//! The file that a log is written to: nothing that the run reads, and nobody else's log.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Failure;
use crate::sys::spawn;
use crate::text;

/// How many interpreters are followed, one the script of another, as execve(2) does.
const INTERPRETERS: usize = 4;
/// The longest first line of a script (`BINPRM_BUF_SIZE`).
const FIRST_LINE: u64 = 256;

/// How long the files that a run reads are looked for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a run reads.
#[derive(Debug, Default)]
pub struct Inputs<'a> {
    /// The file of the scenario.
    pub scenario: Option<&'a Path>,
    /// The program and its arguments.
    pub command: &'a [OsString],
}

/// Opens a file for a log. What is in it stays, until the run has begun; only an older recording may be in it. An
/// ordinary file is locked as long as it is open; devices and FIFOs are everybody's.
pub fn open(path: &Path, inputs: &Inputs<'_>) -> Result<File, Failure> {
    let failed = |error: std::io::Error| Failure::file("write", path, &error);
    let refused = |why: &str| {
        Failure::usage(format!("cannot write the log to {}: {why}; give -o another name", text::path(path)))
    };
    if let Some(owner) = foreign_link(path) {
        return Err(refused(&format!("it is a symbolic link of user {owner}")));
    }
    let with = |read: bool| OpenOptions::new().read(read).write(true).create(true).truncate(false).open(path);
    let file = with(true).or_else(|_| with(false)).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() {
        return Ok(file);
    }
    if let Some(what) = inputs.what_is_in_time(&facts) {
        return Err(refused(&format!("it is {what}, which would be lost")));
    }
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(refused("another run is being recorded there")),
        // Not every file system has locks.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    if facts.len() > 0 && !is_recording(&file) {
        return Err(refused("it is there already and is no recording of proclab, and would be lost"));
    }
    Ok(file)
}

/// Whose symbolic link it is, if it is one of somebody else, who wants the log to take the place of a file of this
/// user's: in `/tmp`, say.
fn foreign_link(path: &Path) -> Option<u32> {
    let facts = path.symlink_metadata().ok().filter(Metadata::is_symlink)?;
    let own = [0, nix::unistd::geteuid().as_raw()];
    (!own.contains(&facts.uid())).then(|| facts.uid())
}

/// Whether a file begins as every recording does.
fn is_recording(file: &File) -> bool {
    const START: &[u8] = b"{\"proclab\":";
    let mut start = [0; START.len()];
    file.read_exact_at(&mut start, 0).is_ok() && start == START
}

impl Inputs<'_> {
    /// The same as `what_is`. A file system that does not answer is not where the log has been opened just now.
    fn what_is_in_time(&self, file: &Metadata) -> Option<&'static str> {
        let (scenario, command) = (self.scenario.map(Path::to_owned), self.command.to_vec());
        let (file, (found, waiting)) = (file.clone(), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            let inputs = Inputs { scenario: scenario.as_deref(), command: &command };
            found.send(inputs.what_is(&file))
        });
        waiting.recv_timeout(PATIENCE).ok().flatten()
    }

    /// What of the run's the file is, if it is something.
    fn what_is(&self, file: &Metadata) -> Option<&'static str> {
        let is = |path: &Path| path.metadata().is_ok_and(|it| (it.dev(), it.ino()) == (file.dev(), file.ino()));
        if self.scenario.is_some_and(is) {
            return Some("the scenario");
        }
        // Whatever the path of a symbolic link says, this is what standard input leads to.
        if is(Path::new("/proc/self/fd/0")) {
            return Some("standard input");
        }
        let (program, arguments) = self.command.split_first()?;
        let mut image = spawn::find(program).ok();
        for _ in 0..=INTERPRETERS {
            let Some(path) = image else { break };
            if is(&path) {
                return Some("the program");
            }
            image = interpreter(&path);
        }
        arguments
            .iter()
            .any(|argument| names(argument).any(|name| is(Path::new(name))))
            .then_some("an argument of the program")
    }
}

/// What an argument may name: itself, or what stands behind its equals sign (`--file=x`, `if=x`).
fn names(argument: &OsStr) -> impl Iterator<Item = &OsStr> {
    let bytes = argument.as_bytes();
    let value = bytes.iter().position(|byte| *byte == b'=').map(|at| OsStr::from_bytes(&bytes[at + 1..]));
    std::iter::once(argument).chain(value).filter(|name| !name.is_empty())
}

/// The interpreter that the first line of a script names.
fn interpreter(script: &Path) -> Option<PathBuf> {
    let mut line = Vec::new();
    BufReader::new(File::open(script).ok()?.take(FIRST_LINE)).read_until(b'\n', &mut line).ok()?;
    let rest = line.strip_prefix(b"#!")?.trim_ascii();
    let name = rest.split(u8::is_ascii_whitespace).next().filter(|name| !name.is_empty())?;
    Some(OsStr::from_bytes(name).into())
}
