//! From lines to a log, whatever the file holds.
//!
//! A recording may come from a colleague, from a crashed lab or from a later version. Reading stops
//! at the first line that does not fit and keeps what came before: the first half of a run is worth
//! looking at, and a fold over a log with a hole in it would be wrong without saying so.

use std::io::{BufRead, Read};

use super::line::{HeaderLine, Line, Stub};
use super::resolve::Resolver;
use super::{FORMAT, MAX_LINE};
use crate::model::{Header, Log, Pen};

/// Events a batch.
const BATCH: usize = 4096;

/// What was read.
#[derive(Debug)]
pub struct Reading {
    /// The log, up to the end or to the damage.
    pub log: Log,
    /// Why reading ended before the end, if it did.
    pub problem: Option<Damage>,
    /// How many events were passed over, because only a later version knows them.
    pub skipped: u64,
}

/// Where and why a recording cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Damage {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong, as a sentence without a full stop.
    pub reason: String,
}

/// Reads a recording.
///
/// # Errors
/// If the first line is no header that this version understands. Damage further down is part of the
/// [`Reading`].
pub fn read(mut input: impl BufRead) -> Result<Reading, Damage> {
    let first = |reason: String| Damage { line: 1, reason };
    let mut line = Vec::new();
    if !next_line(&mut input, &mut line).map_err(first)? {
        return Err(first("not a proclab recording: the file is empty".to_owned()));
    }
    let header = parse_header(&line).map_err(first)?;
    let pen = Pen::new(&header);
    let mut resolver = Resolver::new(pen, &header.lab);
    let mut reading = Reading { log: Log::new(header), problem: None, skipped: 0 };
    let mut number = 1;
    let ended = loop {
        number += 1;
        match next_line(&mut input, &mut line) {
            Ok(true) if line.iter().all(u8::is_ascii_whitespace) => {}
            Ok(true) => {
                if let Err(reason) = read_event(&line, &mut resolver, &mut reading.skipped) {
                    break Some(reason);
                }
                if resolver.pen.untaken().len() >= BATCH {
                    reading.log.append(&resolver.pen.take());
                }
            }
            Ok(false) => break None,
            Err(reason) => break Some(reason),
        }
    };
    reading.log.append(&resolver.pen.take());
    reading.problem = ended.map(|reason| Damage { line: number, reason });
    Ok(reading)
}

/// Reads the next line into `line`; `false` at the end of the input.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, String> {
    line.clear();
    line.shrink_to(BATCH * 16);
    let read = input.by_ref().take(MAX_LINE + 1).read_until(b'\n', line);
    let read = read.map_err(|error| format!("the file cannot be read: {error}"))?;
    if line.len() as u64 > MAX_LINE {
        return Err(format!("the line is longer than {} MiB", MAX_LINE >> 20));
    }
    Ok(read > 0)
}

fn read_event(bytes: &[u8], resolver: &mut Resolver, skipped: &mut u64) -> Result<(), String> {
    // Without this, serde would take a list for a struct.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err("the line is no JSON object".to_owned());
    }
    let line: Line<'_> = match serde_json::from_slice(bytes) {
        Ok(line) => line,
        // A later version may give a known field another type in an event of its own.
        Err(error) => match serde_json::from_slice::<Stub<'_>>(bytes) {
            Ok(stub) if !is_known(&stub.event) => {
                in_order(stub.seq, resolver, *skipped)?;
                *skipped += 1;
                return Ok(());
            }
            _ => return Err(explain(&error)),
        },
    };
    in_order(line.seq, resolver, *skipped)?;
    if is_known(&line.event) {
        resolver.write(&line)?;
    } else {
        *skipped += 1;
    }
    Ok(())
}

fn in_order(seq: u64, resolver: &Resolver, skipped: u64) -> Result<(), String> {
    let expected = resolver.pen.next_seq() + skipped;
    if seq == expected { Ok(()) } else { Err(format!("event {seq} stands where event {expected} should")) }
}

fn is_known(event: &str) -> bool {
    super::EVENTS.contains(&event)
}

fn parse_header(bytes: &[u8]) -> Result<Header, String> {
    const FOREIGN: &str = "not a proclab recording";
    #[derive(serde::Deserialize)]
    struct Version {
        proclab: u64,
    }
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(format!("{FOREIGN}: the first line is no header"));
    }
    match serde_json::from_slice::<Version>(bytes) {
        Ok(Version { proclab: FORMAT }) => {}
        Ok(Version { proclab: newer }) if newer > FORMAT => {
            return Err(format!(
                "made by a newer proclab: format {newer}, and this version reads up to {FORMAT}; a newer proclab reads it"
            ));
        }
        Ok(Version { proclab }) => return Err(format!("{FOREIGN}: there is no format {proclab}")),
        Err(_) => return Err(format!("{FOREIGN}: the first line is no header")),
    }
    let line: HeaderLine =
        serde_json::from_slice(bytes).map_err(|error| format!("the header is damaged: {}", explain(&error)))?;
    Ok(Header {
        version: line.version,
        scenario: line.scenario,
        source: line.source,
        command: line.command,
        kernel: line.kernel,
        arch: line.arch,
        seed: line.seed,
        mode: line.mode,
        lab: line.lab,
        lab_pid: line.lab_pid,
    })
}

/// What the JSON parser says, with the column only: the line number is not the file's.
fn explain(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "the line is cut off".to_owned();
    }
    let text = error.to_string();
    let said = text.rsplit_once(" at line ").map_or(text.as_str(), |(said, _)| said);
    let short: String = said.chars().take(200).collect();
    format!("{short} (column {})", error.column())
}
