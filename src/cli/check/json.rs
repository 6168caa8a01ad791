//! Results as an array of objects, one a run.

use serde::Serialize;

use super::Report;

#[derive(Debug, Serialize)]
struct Run<'a> {
    scenario: &'a str,
    title: &'a str,
    /// Whose it is.
    source: &'static str,
    seed: u64,
    mode: &'static str,
    held: bool,
    ending: &'static str,
    why: &'a str,
    events: u64,
    seconds: f64,
    schedule: &'a str,
    expectations: Vec<Expectation<'a>>,
}

#[derive(Debug, Serialize)]
struct Expectation<'a> {
    line: Option<u32>,
    text: &'a str,
    held: bool,
    reason: &'a str,
}

pub fn render(reports: &[Report]) -> String {
    let runs: Vec<Run<'_>> = reports.iter().map(run).collect();
    // Plain data of strings and finite numbers: this cannot fail.
    serde_json::to_string_pretty(&runs).unwrap_or_default() + "\n"
}

fn run(report: &Report) -> Run<'_> {
    let expectations = report.verdicts.iter().map(|verdict| Expectation {
        line: verdict.line,
        text: &verdict.text,
        held: verdict.held,
        reason: &verdict.reason,
    });
    Run {
        scenario: &report.name,
        title: &report.title,
        source: report.source,
        seed: report.seed,
        mode: if report.serial { "serial" } else { "free" },
        held: report.held(),
        ending: report.ended.word(),
        why: report.ended.sentence(),
        events: report.events,
        seconds: report.took.as_secs_f64(),
        schedule: &report.schedule,
        expectations: expectations.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{invalid, report};

    #[test]
    fn every_run_is_an_object() {
        let text = super::render(&[report("p/x", false), invalid()]);
        let runs: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(runs[0]["expectations"][1]["reason"], "it wrote \"\u{1}]]>\"");
        assert_eq!((&runs[0]["held"], &runs[0]["ending"]), (&false.into(), &"done".into()));
        assert_eq!(runs[1]["ending"], "invalid");
    }
}
