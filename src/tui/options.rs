//! What the command line hands to the screen.

use std::fmt;

use super::app::Look;
use super::theme::Theme;
use crate::control::{Pace, Session};
use crate::model::Log;
use crate::scenario::Scenario;

/// Judges a finished run: whether each expectation held, and its sentence.
pub type Judge = Box<dyn Fn(&Log) -> Vec<(bool, String)>>;
/// Starts a run, and starts it again.
pub type Starter = Box<dyn FnMut(Beginning) -> Result<Session, String>>;

/// What the screen says of a run that is about to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// The seed, if it is not the one that was asked for on the command line.
    pub seed: Option<u64>,
    /// Lines and columns of the pane in which a terminal will be shown: a program that starts with them is
    /// never told that they have changed.
    pub window: (u16, u16),
}

/// How the lab's screen begins.
pub struct LabOptions {
    /// How it looks.
    pub look: Look,
    /// How fast it plays at first.
    pub pace: Pace,
    /// Judges the run when it has ended.
    pub judge: Option<Judge>,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self { look: Look::default(), pace: Pace::PerSecond(5), judge: None }
    }
}

impl fmt::Debug for LabOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabOptions").field("look", &self.look).field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Look {
    /// The look that was asked for, or else fits the surroundings: no colour where `NO_COLOR` is
    /// set, ASCII where the locale has nothing else.
    pub fn from_env(theme: Option<Theme>, ascii: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let no_colour = set("NO_COLOR").is_some() || std::env::var("TERM").is_ok_and(|term| term.ends_with("-m"));
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let fallback = if no_colour { Theme::Mono } else { Theme::Default };
        Self { theme: theme.unwrap_or(fallback), ascii: ascii || locale.is_some_and(|it| !is_utf8(&it)) }
    }
}

/// Whether a locale's name says UTF-8. `C` and `POSIX` do not; no locale at all is left alone,
/// because terminals without one show UTF-8 more often than not.
fn is_utf8(locale: &std::ffi::OsStr) -> bool {
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// What the lab shows.
pub enum Source {
    /// A run.
    Live {
        /// Starts it, and starts it again.
        start: Starter,
        /// The scenario that runs, if it is one.
        scenario: Option<Box<Scenario>>,
    },
    /// A recording.
    Recording {
        /// Its events.
        log: Box<Log>,
        /// What is wrong with it, if something is.
        damage: Option<String>,
        /// The scenario that was recorded, read from its header: for the story.
        scenario: Option<Box<Scenario>>,
    },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live { .. } => "Live",
            Self::Recording { .. } => "Recording",
        })
    }
}

/// How the user left the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabExit {
    /// To where they came from: the picker, if there was one.
    Back,
    /// Out of the program.
    Quit,
}

/// Standard input or output is no terminal, so there is no screen to draw on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a terminal, so the lab's screen cannot be shown")]
pub struct NotATerminal(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales() {
        assert!(is_utf8("en_GB.UTF-8".as_ref()) && is_utf8("C.utf8".as_ref()));
        assert!(!is_utf8("C".as_ref()) && !is_utf8("de_DE.ISO-8859-1".as_ref()));
    }
}
