//! The way to the screen: what `run`, `trace`, `replay` and the picker have in common.

use std::io::{self, IsTerminal as _};

use super::Failure;
use super::options::{ScreenOptions, Theme};
use crate::control::Pace;
use crate::expect;
use crate::scenario::Scenario;
use crate::tui::{self, Judge, LabExit, LabOptions, Look, Source};

/// Says so where there is no terminal to draw on.
pub fn require_terminal() -> Result<(), Failure> {
    let missing = if !io::stdin().is_terminal() {
        "input"
    } else if !io::stdout().is_terminal() {
        "output"
    } else {
        return Ok(());
    };
    Err(Failure::usage(format!(
        "the lab's screen needs a terminal, and standard {missing} is none; without one, `proclab check` judges \
         scenarios and `proclab record` writes the log of a run"
    )))
}

/// Opens the lab; it plays at the given pace at first, or at its own.
pub fn lab(options: &ScreenOptions, source: Source, pace: Option<Pace>) -> Result<LabExit, Failure> {
    let scenario = match &source {
        Source::Live { scenario, .. } | Source::Recording { scenario, .. } => scenario.clone(),
    };
    let usual = LabOptions::default();
    let judge = scenario.map(|scenario| judge(*scenario));
    let options = LabOptions { look: look(options), judge, pace: pace.unwrap_or(usual.pace) };
    tui::lab(options, source).map_err(|report| failure(&report))
}

/// How the screen looks.
pub fn look(options: &ScreenOptions) -> Look {
    let theme = options.theme.map(|theme| match theme {
        Theme::Default => tui::Theme::Default,
        Theme::HighContrast => tui::Theme::HighContrast,
        Theme::Mono => tui::Theme::Mono,
    });
    Look::from_env(theme, options.ascii)
}

/// What the screen reports, as a sentence.
pub fn failure(report: &color_eyre::Report) -> Failure {
    Failure::machine(format!("{report:#}"))
}

/// Judges finished runs of a scenario: whether each expectation held, and its sentence.
fn judge(scenario: Scenario) -> Judge {
    Box::new(move |log| {
        let verdicts = expect::judge(&scenario, log);
        verdicts.into_iter().map(|verdict| (verdict.held, format!("{}: {}", verdict.text, verdict.reason))).collect()
    })
}
