//! The log of a recording on its way out: written on the tracer's thread, looked after on this one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::interrupts::Interrupts;
use super::out;
use super::output::{self, Inputs};
use super::{Exit, Failure};
use crate::control::Sink;
use crate::model::{Batch, Header};
use crate::record::Writer;
use crate::sys::Pulse;
use crate::text;

/// How long a signal may wait for an answer.
const TICK: Duration = Duration::from_millis(50);

/// Where the log goes.
#[derive(Debug)]
pub struct Target {
    fd: OwnedFd,
    /// A file, which nobody has to read for there to be room.
    is_file: bool,
    /// A file of this run alone, in which an older recording may stand.
    is_own: bool,
    path: PathBuf,
}

impl Target {
    /// Opens it; `-` is standard output. A FIFO is opened when somebody reads it, unless a signal or the time comes
    /// first.
    pub fn open(
        path: &Path,
        inputs: &Inputs<'_>,
        interrupts: &Interrupts,
        timeout: Option<u64>,
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::file("write", path, &error);
        let fd: OwnedFd = if path.as_os_str() == "-" {
            out::unless_closed()?;
            io::stdout().as_fd().try_clone_to_owned().map_err(failed)?
        } else if std::fs::metadata(path).is_ok_and(|facts| facts.file_type().is_fifo()) {
            open_fifo(path, interrupts, timeout)?.into()
        } else {
            output::open(path, inputs)?.into()
        };
        let file = File::from(fd);
        let is_file = file.metadata().is_ok_and(|facts| facts.is_file());
        let is_own = is_file && path.as_os_str() != "-";
        Ok(Self { fd: file.into(), is_file, is_own, path: path.to_owned() })
    }

    /// Throws away what stands there: the run has begun.
    fn empty(&self) -> io::Result<()> {
        if self.is_own { nix::unistd::ftruncate(&self.fd, 0).map_err(io::Error::from) } else { Ok(()) }
    }
}

fn name(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard output".to_owned() } else { text::path(path) }
}

/// open(2) of a FIFO waits for a reader.
fn open_fifo(path: &Path, interrupts: &Interrupts, timeout: Option<u64>) -> Result<File, Failure> {
    let (opened, waiting) = channel();
    let owned = path.to_owned();
    std::thread::spawn(move || opened.send(OpenOptions::new().write(true).open(owned)));
    let end = timeout.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    let exit = loop {
        match waiting.recv_timeout(TICK) {
            Ok(result) => return result.map_err(|error| Failure::file("write", path, &error)),
            Err(RecvTimeoutError::Disconnected) => break Exit::MACHINE,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(signal) = interrupts.asked() {
            break Exit::interrupted(signal);
        }
        if end.is_some_and(|end| end <= Instant::now()) {
            break Exit::CUT_OFF;
        }
    };
    let message = format!("nothing was run or written: nobody has opened {} for reading", text::path(path));
    Err(Failure { message, exit })
}

/// What both threads know.
#[derive(Debug, Default)]
struct Shared {
    /// How many events there were, and how many lines have gone out whole, the header among them.
    events: u64,
    lines: u64,
    /// Whether nobody has read and the run had to end.
    given_up: bool,
    failure: Option<Failure>,
    others: Option<Others>,
}

/// Who goes on when the command has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Others {
    /// How many processes.
    pub count: usize,
    /// Some of them, by name and PID.
    pub some: Vec<(String, i32)>,
}

/// The log, for the thread that looks after it.
#[derive(Debug)]
pub struct Recording {
    shared: Arc<Mutex<Shared>>,
    name: String,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recording {
    /// A log that goes there, and the side of it that the tracer's thread gets.
    pub fn new(target: Target) -> (Self, Box<dyn Sink>) {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let name = name(&target.path);
        let recording = Self { shared: Arc::clone(&shared), name: name.clone() };
        (recording, Box::new(Log { shared, target: Some(target), writer: None, name }))
    }

    /// Who goes on although the command has ended, if it has.
    pub fn others(&self) -> Option<Others> {
        lock(&self.shared).others.clone()
    }

    /// Why the log could not be written, if so.
    pub fn finish(&self) -> Result<(), Failure> {
        lock(&self.shared).failure.take().map_or(Ok(()), Err)
    }

    /// How much of the log nobody has read, as a sentence, if any.
    pub fn unwritten(&self) -> Option<String> {
        let shared = lock(&self.shared);
        let (events, name) = (shared.events, &self.name);
        let written = shared.lines.saturating_sub(1);
        shared.given_up.then(|| {
            format!(
                "{} of {events} events were not written to {name}: nobody has read them",
                events.saturating_sub(written)
            )
        })
    }
}

/// The log, for the tracer's thread.
struct Log {
    shared: Arc<Mutex<Shared>>,
    target: Option<Target>,
    /// As long as somebody wants it.
    writer: Option<Writer<Out>>,
    name: String,
}

impl Log {
    /// Takes in what came of writing; whether the run shall go on. Should nobody want to read on, it does.
    fn written<T>(&self, result: io::Result<T>) -> (Option<T>, bool) {
        let error = match result {
            Ok(value) => return (Some(value), true),
            Err(error) => error,
        };
        let mut shared = lock(&self.shared);
        match error.kind() {
            io::ErrorKind::BrokenPipe => {}
            io::ErrorKind::TimedOut => shared.given_up = true,
            _ => {
                let why = text::io_error(&error);
                let message = format!("cannot write the log to {}: {why}; the run was ended", self.name);
                shared.failure = Some(Failure::machine(message));
                return (None, false);
            }
        }
        (None, true)
    }
}

impl Sink for Log {
    fn begin(&mut self, header: &Header, pulse: &Pulse) -> bool {
        let Some(target) = self.target.take() else { return true };
        let emptied = target.empty();
        let out = Out { target, pulse: pulse.clone(), shared: Arc::clone(&self.shared) };
        let (writer, goes_on) = self.written(emptied.and_then(|()| Writer::new(out, header)));
        self.writer = writer;
        goes_on
    }

    fn take(&mut self, batch: &Batch) -> bool {
        lock(&self.shared).events += batch.events.len() as u64;
        let Some(mut writer) = self.writer.take() else { return true };
        let result = writer.batch(batch);
        let (written, goes_on) = self.written(result);
        self.writer = written.map(|()| writer);
        goes_on
    }

    fn go_on(&mut self, count: usize, some: Vec<(String, i32)>) {
        lock(&self.shared).others = Some(Others { count, some });
    }
}

/// Writes, and counts whole lines.
#[derive(Debug)]
struct Out {
    target: Target,
    pulse: Pulse,
    shared: Arc<Mutex<Shared>>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fd = self.target.fd.as_fd();
        if self.target.is_file {
            return nix::unistd::write(fd, bytes).map_err(io::Error::from);
        }
        let written = self.pulse.write(fd, bytes)?;
        let whole = bytes.get(..written).map_or(0, |bytes| bytes.split(|byte| *byte == b'\n').count() - 1);
        lock(&self.shared).lines += whole as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
