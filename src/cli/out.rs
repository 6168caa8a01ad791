//! What commands print. A reader who has enough is no error; anything else that goes wrong is.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Failure;
use crate::sys::standard;
use crate::text;

/// How long a sentence waits for a reader of standard error.
const PATIENCE: Duration = Duration::from_secs(2);
/// Nobody reads standard error: one sentence has waited for it in vain.
static DEAF: AtomicBool = AtomicBool::new(false);

/// Prints for people, to standard output. Nothing in it can steer the terminal.
pub fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text::clean_lines(text).as_bytes())
}

/// The same, with its marks coloured where that is wanted.
pub fn print_marked(text: &str, marks: Marks) -> Result<(), Failure> {
    print_bytes(marks.paint(&text::clean_lines(text)).as_bytes())
}

/// Prints JSON to standard output.
pub fn print_json(text: &str) -> Result<(), Failure> {
    print_bytes(text::json(text).as_bytes())
}

/// Prints to standard output what is made for a program.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    unless_closed()?;
    let mut out = io::stdout().lock();
    unless_broken(out.write_all(bytes).and_then(|()| out.flush()))
}

/// What is written to a standard output that is closed would be lost without a word: see [`standard`].
pub fn unless_closed() -> Result<(), Failure> {
    if standard::was_closed(1) {
        return Err(Failure::machine("cannot write to standard output: it is closed"));
    }
    Ok(())
}

/// A broken pipe on standard output is no error.
pub fn unless_broken(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::machine(format!("cannot write to standard output: {}", text::io_error(&error))))
        }
        _ => Ok(()),
    }
}

/// Says one sentence on standard error. If nobody can hear it there is nobody to tell.
pub fn say(sentence: &str) {
    tell(&format!("proclab: {}\n", text::clean(sentence)));
}

/// Says a sentence, or shows what is made of several lines as it is.
pub fn say_lines(text: &str) {
    if text.contains('\n') {
        tell(&format!("{}\n", text::clean_lines(text.trim_end())));
    } else {
        say(text);
    }
}

/// Shows a line on standard error as it is, but for what could steer the terminal.
pub fn show(line: &str) {
    tell(&format!("{}\n", text::clean(line)));
}

/// Writes to standard error as long as somebody reads there: a run has to end, and to hear its signals, also where
/// nobody does.
fn tell(text: &str) {
    let error = io::stderr();
    for part in text.as_bytes().chunks(libc::PIPE_BUF) {
        // Where poll(2) finds room, a pipe takes as much as this at once.
        if !has_room(&error) || (&error).write_all(part).is_err() {
            return;
        }
    }
}

fn has_room(to: &impl AsFd) -> bool {
    let patience = if DEAF.load(Ordering::Relaxed) { Duration::ZERO } else { PATIENCE };
    let until = Instant::now() + patience;
    loop {
        let left = PollTimeout::try_from(until.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(to.as_fd(), PollFlags::POLLOUT)], left) {
            Err(Errno::EINTR) => {}
            Ok(0) => {
                DEAF.store(true, Ordering::Relaxed);
                return false;
            }
            _ => return true,
        }
    }
}

/// How lines of results are marked: by a sign, never by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    unicode: bool,
    colour: bool,
}

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Neither: it can be done without.
    Neutral,
}

impl From<bool> for Mark {
    fn from(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }
}

impl Marks {
    /// The marks that fit standard output.
    pub fn of_stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { unicode: speaks_utf8(), colour: io::stdout().is_terminal() && !set("NO_COLOR") && !dumb }
    }

    /// Marks without colour.
    #[cfg(test)]
    pub const fn plain(unicode: bool) -> Self {
        Self { unicode, colour: false }
    }

    /// One of them.
    pub const fn show(self, mark: Mark) -> &'static str {
        match (mark, self.unicode) {
            (Mark::Good, true) => GOOD,
            (Mark::Good, false) => "ok",
            (Mark::Bad, true) => BAD,
            (Mark::Bad, false) => "NO",
            (Mark::Neutral, true) => "–",
            (Mark::Neutral, false) => "--",
        }
    }

    /// Colours the marks at the beginnings of lines: after the text has been cleaned, so that no other
    /// escape sequence gets through.
    fn paint(self, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let painted = text.split_inclusive('\n').map(|line| {
            let indent = line.len() - line.trim_start_matches(' ').len();
            let marked = |mark| line[indent..].strip_prefix(mark).filter(|rest| rest.starts_with(' '));
            match (marked(GOOD), marked(BAD)) {
                (Some(rest), _) => format!("{}\x1b[32m{GOOD}\x1b[0m{rest}", &line[..indent]),
                (_, Some(rest)) => format!("{}\x1b[31m{BAD}\x1b[0m{rest}", &line[..indent]),
                _ => line.to_owned(),
            }
        });
        painted.collect()
    }
}

const GOOD: &str = "✓";
const BAD: &str = "✗";

/// Whether the locale has more than ASCII. No locale at all is left alone: most readers do.
pub fn speaks_utf8() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
