//! Judging the `expect` block of a scenario over the log of a finished run. Pure.
//!
//! Every claim gets a verdict and a reason, in one sentence: what was seen, and where it fails, what
//! should have been seen. What the log cannot tell is never counted as held.

mod calls;
mod claims;
mod clean;
mod clocks;
mod flow;
mod names;
mod received;
mod semaphores;

pub use calls::call_names;

use crate::insight;
use crate::model::{Ended, Log};
use crate::scenario::{Claim, Scenario};
use names::Cast;

/// What became of one expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The line of the expectation in the scenario file, from 1; none of what every scenario has to hold.
    pub line: Option<u32>,
    /// The expectation as written.
    pub text: String,
    /// Whether it held.
    pub held: bool,
    /// What was seen, as a sentence without a full stop.
    pub reason: String,
}

/// Judges every expectation of a scenario, in the order of the file. Behind them stands what a run did wrong that the
/// scenario does not expect: one that comes to its end must show no other fault.
pub fn judge(scenario: &Scenario, log: &Log) -> Vec<Verdict> {
    let cast = Cast::new(log, &scenario.program);
    let verdict = |expectation: &crate::scenario::Expectation| {
        let judged = judge_claim(&expectation.what, scenario, log, &cast);
        let (held, reason) = match judged {
            Ok(reason) => (true, reason),
            Err(reason) => (false, reason),
        };
        Verdict { line: Some(expectation.line), text: expectation.text.clone(), held, reason }
    };
    scenario.expect.iter().map(verdict).chain(unexpected(scenario, log)).collect()
}

/// The faults that a run shows though the scenario does not expect them.
fn unexpected(scenario: &Scenario, log: &Log) -> Vec<Verdict> {
    // Of a run that is stuck, the expectations say what it is stuck in.
    if insight::ended(log) != Ended::Done {
        return Vec::new();
    }
    let expected = scenario.expect.iter().filter_map(|expectation| match &expectation.what {
        Claim::Diagnosed { rule } => Some(rule.as_str()),
        _ => None,
    });
    let found = claims::unexpected(log, &expected.collect::<Vec<_>>());
    let verdict = |(rule, text): (&str, &str)| Verdict {
        line: None,
        text: "no other fault".to_owned(),
        held: false,
        reason: format!("{rule} was diagnosed: {text}"),
    };
    found.into_iter().map(verdict).collect()
}

/// What was seen: `Ok` if it is what was claimed.
type Judged = Result<String, String>;

/// `held` or not, with the reason.
fn judged(held: bool, reason: String) -> Judged {
    if held { Ok(reason) } else { Err(reason) }
}

fn judge_claim(claim: &Claim, scenario: &Scenario, log: &Log, cast: &Cast<'_>) -> Judged {
    match claim {
        Claim::Exited { name, code } => claims::exited(log, cast, name, *code),
        Claim::Killed { name, signal } => claims::killed(log, cast, name, *signal),
        Claim::Moved { channel, bytes } => claims::moved(log, cast, channel, *bytes),
        Claim::Output { name, text } => claims::output(log, cast, name, text),
        Claim::Printed { name, text } => claims::printed(log, cast, name, text),
        Claim::Received { channel, messages } => received::received(log, cast, channel, messages),
        Claim::Delivered { name, signal, times } => claims::delivered(log, cast, name, *signal, *times),
        Claim::Handled { name, signal, times } => claims::handled(log, cast, name, *signal, *times),
        Claim::Errno { name, call, errno } => claims::errno(log, cast, name, call, errno),
        Claim::Blocked { name, call, on } => claims::blocked(log, cast, name, call, on.as_deref()),
        Claim::Value { segment, offset, value } => claims::value(log, cast, segment, *offset, *value),
        Claim::Before { first, second } => clocks::before(log, &scenario.program, cast, first, second),
        Claim::Diagnosed { rule } => claims::diagnosed(log, rule),
        Claim::NotDiagnosed { rule } => claims::not_diagnosed(log, rule),
        Claim::Noted { rule } => claims::noted(log, rule),
        Claim::Clean => clean::clean(log, cast),
    }
}

#[cfg(test)]
mod tests;
