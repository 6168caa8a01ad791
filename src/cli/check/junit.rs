//! Results as JUnit XML: a test suite a run, a test case an expectation, and one for the end of the
//! run itself.

use std::fmt::Write as _;

use super::{Ended, Report};
use crate::text::is_unsafe;

pub fn render(reports: &[Report]) -> String {
    let tests: usize = reports.iter().map(|report| report.verdicts.len() + 1).sum();
    let failures: usize = reports.iter().map(failures).sum();
    let errors = reports.iter().filter(|report| is_error(report)).count();
    let time: f64 = reports.iter().map(|report| report.took.as_secs_f64()).sum();
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let _ = writeln!(
        text,
        "<testsuites name=\"proclab\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{time:.3}\">"
    );
    for report in reports {
        suite(&mut text, report);
    }
    text.push_str("</testsuites>\n");
    text
}

/// Expectations that failed, and a run that was cut off.
fn failures(report: &Report) -> usize {
    let cut_off = matches!(report.ended, Ended::Limit(_));
    report.verdicts.iter().filter(|verdict| !verdict.held).count() + usize::from(cut_off)
}

/// Whether the run could not be made at all.
const fn is_error(report: &Report) -> bool {
    matches!(report.ended, Ended::Failed(_) | Ended::Invalid(_))
}

fn suite(text: &mut String, report: &Report) {
    let (name, seed) = (escaped(&report.name), report.seed);
    let (tests, failures) = (report.verdicts.len() + 1, failures(report));
    let (errors, time) = (usize::from(is_error(report)), report.took.as_secs_f64());
    let _ = writeln!(
        text,
        "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{time:.3}\">"
    );
    let _ = writeln!(text, "    <properties>");
    for (key, value) in [
        ("title", report.title.as_str()),
        ("source", report.source),
        ("seed", &seed.to_string()),
        ("schedule", &report.schedule),
    ] {
        let _ = writeln!(text, "      <property name=\"{key}\" value=\"{}\"/>", escaped(value));
    }
    let _ = writeln!(text, "    </properties>");
    let element = match report.ended {
        Ended::Done | Ended::Stuck => None,
        Ended::Limit(_) => Some("failure"),
        Ended::Failed(_) | Ended::Invalid(_) => Some("error"),
    };
    case(text, &name, "the end of the run", element, report.ended.sentence());
    for verdict in &report.verdicts {
        let line = verdict.line.map_or_else(String::new, |line| format!("line {line}: "));
        let title = format!("{line}{}", verdict.text);
        case(text, &name, &title, (!verdict.held).then_some("failure"), &verdict.reason);
    }
    text.push_str("  </testsuite>\n");
}

/// One test case; `suite` is escaped already.
fn case(text: &mut String, suite: &str, title: &str, wrong: Option<&str>, reason: &str) {
    let title = escaped(title);
    let _ = write!(text, "    <testcase classname=\"{suite}\" name=\"{title}\"");
    let _ = match wrong {
        None => writeln!(text, "/>"),
        Some(element) => {
            let reason = escaped(reason);
            writeln!(text, ">\n      <{element} message=\"{reason}\"/>\n    </testcase>")
        }
    };
}

/// As the value of an attribute. What XML cannot hold at all is shown as a replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            // It is what it was for who reads the file as XML.
            c if is_unsafe(c) => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::samples::{invalid, report};
    use super::*;

    #[test]
    fn whatever_a_reason_holds_is_an_attribute() {
        assert_eq!(escaped("a<b>&\"c'\n\u{1}\u{fffe}é"), "a&lt;b&gt;&amp;&quot;c&apos;&#10;\u{fffd}\u{fffd}é");
        assert_eq!(escaped("\u{7f}\u{9b}\u{202e}x\u{2069}"), "&#127;&#155;&#8238;x&#8297;");
    }

    #[test]
    fn runs_are_suites_and_expectations_cases() {
        let text = render(&[report("p/x", false), invalid()]);
        assert!(text.contains("<testsuites name=\"proclab\" tests=\"4\" failures=\"1\" errors=\"1\""), "{text}");
        assert!(text.contains("<testcase classname=\"p/x\" name=\"line 9: clean\"/>"), "{text}");
        assert!(text.contains("<failure message=\"it wrote &quot;\u{fffd}]]&gt;&quot;\"/>"), "{text}");
        assert!(text.contains("<error message=\"there is no scenario `nosuch`\"/>"), "{text}");
    }
}
