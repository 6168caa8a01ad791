//! Results for people.

use std::fmt::Write as _;

use super::{Ended, Report};
use crate::cli::out::{Mark, Marks};
use crate::text::clean;

/// What came of one scenario, run once or with several seeds. Of several runs that held, only their
/// number is said. `tell_source` is for scenarios that nobody has named: whose are they?
pub fn of_scenario(reports: &[Report], marks: Marks, tell_source: bool) -> String {
    let failed: Vec<&Report> = reports.iter().filter(|report| !report.held()).collect();
    match (reports, failed.as_slice()) {
        ([one], _) => of_run(one, marks, tell_source),
        ([first, ..], []) => {
            let good = marks.show(Mark::Good);
            let (name, title) = (clean(&first.name), clean(&first.title));
            format!("{good} {name}  {title}  ({} seeds){}\n", reports.len(), source(first, tell_source))
        }
        (_, failed) => {
            let mut text: String = failed.iter().map(|report| of_run(report, marks, tell_source)).collect();
            let _ = writeln!(text, "  {} of {} seeds failed", failed.len(), reports.len());
            text
        }
    }
}

fn source(report: &Report, tell: bool) -> String {
    if tell { format!(", {}", report.source) } else { String::new() }
}

fn of_run(report: &Report, marks: Marks, tell_source: bool) -> String {
    let mark = marks.show(report.held().into());
    if let Ended::Invalid(_) = report.ended {
        return format!("{mark} {}  cannot be run\n", clean(&report.name));
    }
    let mode = if report.serial { "" } else { ", free" };
    let (name, title) = (clean(&report.name), clean(&report.title));
    let mut text = format!("{mark} {name}  {title}  (seed {}{mode}){}\n", report.seed, source(report, tell_source));
    // What could not happen need not be judged.
    let judged = report.verdicts.iter().filter(|_| !matches!(report.ended, Ended::Failed(_)));
    for verdict in judged {
        let mark = marks.show(verdict.held.into());
        let _ = writeln!(text, "  {mark} {}", clean(&verdict.text));
        if !verdict.held {
            let line = verdict.line.map_or_else(String::new, |line| format!("line {line}: "));
            let _ = writeln!(text, "      {line}{}", clean(&verdict.reason));
        }
    }
    if report.verdicts.is_empty() {
        let _ = writeln!(text, "  {} it expects nothing", marks.show(Mark::Neutral));
    }
    if !report.held() {
        let mark = if report.is_judged() { Mark::Neutral } else { Mark::Bad };
        let _ = writeln!(text, "  {} the end: {}", marks.show(mark), clean(report.ended.sentence()));
        if report.has_short_schedule() {
            let _ = writeln!(text, "    schedule: {}", clean(&report.schedule));
        }
        let _ = writeln!(text, "    again: {}", clean(&report.again()));
    }
    text
}

/// The last line.
pub fn summary(reports: &[Report]) -> String {
    let failed = reports.iter().filter(|report| !report.held()).count();
    let runs = if reports.len() == 1 { "1 run".to_owned() } else { format!("{} runs", reports.len()) };
    match failed {
        0 => format!("\n{runs}, every expectation held\n"),
        _ => format!("\n{runs}, {failed} failed\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{invalid, report};
    use super::*;

    #[test]
    fn failures_say_why_and_how_to_see_them_again() {
        let marks = Marks::plain(true);
        let text = of_scenario(&[report("p/x", false)], marks, true);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "✗ p/x  Bytes & \"ends\"  (seed 7), built in");
        assert_eq!(lines[1], "  ✓ clean");
        assert!(lines[2].starts_with("  ✗ output a"));
        assert!(lines[3].starts_with("      line 10: it wrote"));
        assert_eq!(lines[4], "  – the end: every process has ended");
        assert_eq!(lines[5], "    schedule: parent:3,child:1");
        assert_eq!(lines[6], "    again: proclab run p/x --seed 7 --schedule 'parent:3,child:1'");
        assert_eq!(of_scenario(&[invalid()], Marks::plain(false), true), "NO nosuch  cannot be run\n");
    }

    #[test]
    fn many_seeds_are_short_while_they_hold() {
        let marks = Marks::plain(true);
        let held = [report("p/x", true), report("p/x", true)];
        assert_eq!(of_scenario(&held, marks, true), "✓ p/x  Bytes & \"ends\"  (2 seeds), built in\n");
        let mixed = [report("p/x", true), report("p/x", false)];
        let text = of_scenario(&mixed, marks, false);
        assert!(text.ends_with("  1 of 2 seeds failed\n") && text.matches("again:").count() == 1, "{text}");
        assert_eq!(summary(&mixed), "\n2 runs, 1 failed\n");
    }
}
