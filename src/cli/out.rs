//! What commands print. A reader who has enough is no error; anything else that goes wrong is.

use std::io::{self, IsTerminal as _, Write as _};

use super::Failure;
use super::failure::out_of;

/// Prints to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Prints to standard output.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    unless_broken(out.write_all(bytes).and_then(|()| out.flush()))
}

/// A broken pipe on standard output is no error.
pub fn unless_broken(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::machine(format!("cannot write to standard output: {}", out_of(&error))))
        }
        _ => Ok(()),
    }
}

/// Says one sentence on standard error. If nobody can hear it there is nobody to tell.
pub fn say(sentence: &str) {
    drop(writeln!(io::stderr(), "proclab: {sentence}"));
}

/// Says a sentence, or shows what is made of several lines as it is.
pub fn say_lines(text: &str) {
    if text.contains('\n') {
        drop(writeln!(io::stderr(), "{}", text.trim_end()));
    } else {
        say(text);
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
        match (mark, self.unicode, self.colour) {
            (Mark::Good, true, false) => "✓",
            (Mark::Good, true, true) => "\x1b[32m✓\x1b[0m",
            (Mark::Good, false, _) => "ok",
            (Mark::Bad, true, false) => "✗",
            (Mark::Bad, true, true) => "\x1b[31m✗\x1b[0m",
            (Mark::Bad, false, _) => "NO",
            (Mark::Neutral, true, _) => "–",
            (Mark::Neutral, false, _) => "--",
        }
    }
}

/// Whether the locale has more than ASCII. No locale at all is left alone: most readers do.
pub fn speaks_utf8() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
