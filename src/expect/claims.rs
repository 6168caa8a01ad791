//! The claims that are read straight off the log.

use super::names::Cast;
use super::{Judged, calls, judged};
use crate::model::{
    Blocked, ChannelId, Event, Kind, Log, Phase, Signal, State, Status, TaskId, Via, Weight, Why, errno_name,
    errno_number,
};

pub(super) fn exited(log: &Log, cast: &Cast<'_>, name: &str, code: i32) -> Judged {
    match status(log, cast.task(name)?) {
        Some(Status::Code(found)) if found == code => Ok(format!("{name} exited with {found}")),
        Some(Status::Code(found)) => Err(format!("{name} exited with {found}, not {code}")),
        Some(Status::Signal { signal, .. }) => Err(format!("{name} was killed by {signal}, it did not exit")),
        None => Err(format!("{name} has not ended")),
    }
}

pub(super) fn killed(log: &Log, cast: &Cast<'_>, name: &str, signal: Signal) -> Judged {
    match status(log, cast.task(name)?) {
        Some(Status::Signal { signal: found, .. }) if found == signal => Ok(format!("{name} was killed by {found}")),
        Some(Status::Signal { signal: found, .. }) => Err(format!("{name} was killed by {found}, not by {signal}")),
        Some(Status::Code(code)) => Err(format!("{name} exited with {code}, it was not killed")),
        None => Err(format!("{name} has not ended")),
    }
}

fn status(log: &Log, id: TaskId) -> Option<Status> {
    log.head().task(id)?.status
}

pub(super) fn moved(log: &Log, cast: &Cast<'_>, name: &str, bytes: u64) -> Judged {
    let channel = log.head().channel(cast.channel(name)?).ok_or("the channel is not in the log")?;
    let found = channel.read;
    let left = channel.contents.len();
    let inside = if left > 0 { format!("; {left} more were still inside at the end") } else { String::new() };
    if found == bytes {
        return Ok(format!("{} moved through {name}{inside}", bytes_word(found)));
    }
    let were = if bytes == 1 { "was" } else { "were" };
    Err(format!("{} moved through {name}, {bytes} {were} expected{inside}", bytes_word(found)))
}

pub(super) fn value(log: &Log, cast: &Cast<'_>, segment: &str, offset: u64, value: i64) -> Judged {
    let channel = log.head().channel(cast.channel(segment)?).ok_or("the segment is not in the log")?;
    if !channel.kind.is_memory() {
        return Err(format!("{segment} is no shared memory"));
    }
    let bytes = channel.memory.read(offset, size_of::<i64>());
    let found = bytes.try_into().map_or(0, i64::from_le_bytes);
    if found == value {
        return Ok(format!("{found} stood at offset {offset} of {segment} at the end"));
    }
    Err(format!("{found} stood at offset {offset} of {segment} at the end, {value} was expected"))
}

fn bytes_word(count: u64) -> String {
    format!("{count} {}", if count == 1 { "byte" } else { "bytes" })
}

/// What a process wrote through descriptor 1.
struct Output {
    /// What is known, up to the first gap.
    text: Vec<u8>,
    /// How much there was.
    bytes: u64,
}

impl Output {
    fn of(log: &Log, id: TaskId) -> Self {
        let mut output = Self { text: Vec::new(), bytes: 0 };
        for event in own_events(log, id).filter(|event| !event.failed()) {
            let Kind::Write { via: Via::Fd(1), bytes, .. } = event.kind else { continue };
            if output.is_whole() {
                output.text.extend_from_slice(log.payload(event));
            }
            output.bytes = output.bytes.saturating_add(bytes);
        }
        output
    }

    fn is_whole(&self) -> bool {
        self.text.len() as u64 == self.bytes
    }

    fn cut(&self) -> String {
        format!("only the first {} of {} were kept (see --capture)", self.text.len(), bytes_word(self.bytes))
    }
}

pub(super) fn output(log: &Log, cast: &Cast<'_>, name: &str, text: &str) -> Judged {
    let output = Output::of(log, cast.task(name)?);
    let (found, wanted) = (output.text.as_slice(), text.as_bytes());
    if output.is_whole() && found == wanted {
        return Ok(format!("{name} wrote exactly that, {}", bytes_word(output.bytes)));
    }
    let same = found.iter().zip(wanted).take_while(|(a, b)| a == b).count();
    if !output.is_whole() && same == found.len() && output.bytes == wanted.len() as u64 {
        return Err(format!("what {name} wrote cannot be compared: {}", output.cut()));
    }
    if same == found.len() && output.is_whole() {
        let missing = excerpt(&wanted[same..]);
        return Err(format!("{name} wrote only {}, {missing} is missing", bytes_word(output.bytes)));
    }
    if same == found.len() {
        return Err(format!("{name} wrote {}, {} were expected", bytes_word(output.bytes), wanted.len()));
    }
    let instead = excerpt(&found[same..]);
    if same == wanted.len() {
        return Err(format!("{name} wrote more than that: {instead} follows"));
    }
    let expected = excerpt(&wanted[same..]);
    Err(format!("{name} wrote {instead} after {}, where {expected} was expected", bytes_word(same as u64)))
}

pub(super) fn printed(log: &Log, cast: &Cast<'_>, name: &str, text: &str) -> Judged {
    let output = Output::of(log, cast.task(name)?);
    let wanted = text.as_bytes();
    if wanted.is_empty() || output.text.windows(wanted.len()).any(|window| window == wanted) {
        return Ok(format!("{name} wrote it"));
    }
    if !output.is_whole() {
        return Err(format!("{} is not in what is known: {}", excerpt(wanted), output.cut()));
    }
    if output.bytes == 0 {
        return Err(format!("{name} wrote nothing to its standard output"));
    }
    Err(format!("{name} wrote {}, which does not contain it", excerpt(&output.text)))
}

/// The beginning of some bytes, quoted.
fn excerpt(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MOST)]);
    let short: String = text.chars().take(MOST).collect();
    let more = if short.len() < bytes.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

/// The events of a process, those of its threads included.
fn own_events(log: &Log, id: TaskId) -> impl Iterator<Item = &Event> {
    let is_own = move |task: TaskId| task == id || log.head().task(task).is_some_and(|task| task.process == id);
    log.range(0..log.len()).map(|(_, event)| event).filter(move |event| is_own(event.task))
}

pub(super) fn delivered(log: &Log, cast: &Cast<'_>, name: &str, signal: Signal, times: Option<u64>) -> Judged {
    phases(log, cast, name, signal, times, Phase::Delivered, "was delivered to")
}

pub(super) fn handled(log: &Log, cast: &Cast<'_>, name: &str, signal: Signal, times: Option<u64>) -> Judged {
    phases(log, cast, name, signal, times, Phase::Handler, "was handled by")
}

fn phases(
    log: &Log,
    cast: &Cast<'_>,
    name: &str,
    signal: Signal,
    times: Option<u64>,
    wanted: Phase,
    verb: &str,
) -> Judged {
    let is_it = |event: &&Event| matches!(event.kind, Kind::Signal { phase, signal: found, .. } if phase == wanted && found == signal);
    let count = own_events(log, cast.task(name)?).filter(is_it).count() as u64;
    let seen = match count {
        0 => format!("{signal} never {verb} {name}"),
        1 => format!("{signal} {verb} {name} once"),
        _ => format!("{signal} {verb} {name} {count} times"),
    }
    .replace("never was", "was never");
    match times {
        Some(times) if times != count => Err(format!("{seen}, not {times} times")),
        None if count == 0 => Err(seen),
        _ => Ok(seen),
    }
}

pub(super) fn errno(log: &Log, cast: &Cast<'_>, name: &str, word: &str, errno: &str) -> Judged {
    let wanted = errno_number(errno).ok_or_else(|| format!("{errno} is no error number"))?;
    let is_it = |event: &&Event| event.call.is_some_and(|call| calls::is_call(word, log.name(call)));
    let calls: Vec<_> = own_events(log, cast.task(name)?).filter(is_it).collect();
    let failures: Vec<i32> = calls.iter().filter_map(|event| event.errno()).collect();
    if failures.contains(&wanted) {
        return Ok(format!("{word} by {name} failed with {}", errno_name(wanted)));
    }
    Err(match (calls.is_empty(), failures.last()) {
        (true, _) => format!("{name} never called {word}"),
        (_, None) => format!("{word} by {name} never failed"),
        (_, Some(other)) => format!("{word} by {name} failed with {}, not {errno}", errno_name(*other)),
    })
}

pub(super) fn blocked(log: &Log, cast: &Cast<'_>, name: &str, word: &str, on: Option<&str>) -> Judged {
    let id = cast.task(name)?;
    let task = log.head().task(id).ok_or("the process is not in the log")?;
    let State::Blocked(blocked) = task.state else {
        return Err(match (task.status, task.state) {
            (Some(Status::Code(code)), _) => format!("{name} was not blocked at the end: it exited with {code}"),
            (Some(Status::Signal { signal, .. }), _) => {
                format!("{name} was not blocked at the end: it was killed by {signal}")
            }
            (None, State::Stopped(signal)) => format!("{name} was stopped by {signal} at the end"),
            (None, _) => format!("{name} was not blocked at the end"),
        });
    };
    let call = blocked.call.map(|call| log.name(call));
    let where_at = place(cast, blocked);
    let seen = format!("{name} was blocked in {}{where_at} at the end", call.unwrap_or(blocked.why.as_str()));
    let in_call =
        call.is_some_and(|call| calls::is_call(word, call)) || (word == "barrier" && blocked.why == Why::Barrier);
    if !in_call {
        return Err(format!("{seen}, not in {word}"));
    }
    match on {
        Some(on) => {
            let held = on_channel(cast, blocked, on) || on_task(log, cast, id, blocked, on);
            judged(held, if held { seen } else { format!("{seen}, not on {on}") })
        }
        None => Ok(seen),
    }
}

/// ` on p`, if it is known.
fn place(cast: &Cast<'_>, blocked: Blocked) -> String {
    let channel = blocked.channel.map(|channel: ChannelId| cast.channel_name(channel));
    let task = blocked.on.map(|task| cast.name_of(task));
    channel.or(task).map_or_else(String::new, |place| format!(" on {place}"))
}

fn on_channel(cast: &Cast<'_>, blocked: Blocked, on: &str) -> bool {
    blocked.channel.is_some() && blocked.channel == cast.channel(on).ok()
}

/// Whether it waits for that very process; who waits for any child waits for the only one too.
fn on_task(log: &Log, cast: &Cast<'_>, id: TaskId, blocked: Blocked, on: &str) -> bool {
    let Ok(on) = cast.task(on) else { return false };
    match blocked.on {
        Some(task) => task == on,
        None => blocked.why == Why::Child && log.head().wakers(id).is_some_and(|wakers| wakers.tasks == [on]),
    }
}

/// What was found in a run: the rules of one weight and their sentences.
fn findings(log: &Log, wanted: Weight) -> impl Iterator<Item = (&str, &str)> {
    log.range(0..log.len()).filter_map(move |(_, event)| match event.kind {
        Kind::Diagnosis { rule, weight, text, .. } if weight == wanted => Some((log.name(rule), log.name(text))),
        _ => None,
    })
}

fn finding<'a>(log: &'a Log, weight: Weight, rule: &str) -> Option<&'a str> {
    findings(log, weight).find(|(found, _)| *found == rule).map(|(_, text)| text)
}

/// The first fault of each rule that is not among `expected`.
pub(super) fn unexpected<'a>(log: &'a Log, expected: &[&str]) -> Vec<(&'a str, &'a str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for (rule, text) in findings(log, Weight::Fault) {
        if !expected.contains(&rule) && found.iter().all(|(known, _)| *known != rule) {
            found.push((rule, text));
        }
    }
    found
}

pub(super) fn diagnosed(log: &Log, rule: &str) -> Judged {
    match finding(log, Weight::Fault, rule) {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("{rule} was not diagnosed")),
    }
}

pub(super) fn not_diagnosed(log: &Log, rule: &str) -> Judged {
    match finding(log, Weight::Fault, rule) {
        Some(text) => Err(format!("{rule} was diagnosed: {text}")),
        None => Ok(format!("{rule} was not diagnosed")),
    }
}

pub(super) fn noted(log: &Log, rule: &str) -> Judged {
    match (finding(log, Weight::Note, rule), finding(log, Weight::Fault, rule)) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, Some(text)) => Err(format!("{rule} was diagnosed as a fault: {text}")),
        (None, None) => Err(format!("{rule} was not noted")),
    }
}
