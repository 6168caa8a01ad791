//! `docs/events.md` against the code.

use std::collections::BTreeSet;
use std::io::Cursor;

use proclab::record;

const DOC: &str = include_str!("../docs/events.md");

/// The lines of every block of this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in DOC.lines() {
        match line.strip_prefix("```") {
            Some(tag) => inside = !inside && tag == language,
            None if inside => lines.push(line),
            None => {}
        }
    }
    lines
}

/// All examples together are a recording, and the very one that the writer makes of it.
#[test]
fn the_examples_are_a_recording() {
    let file = blocks("json").join("\n") + "\n";
    let reading = record::read(Cursor::new(&file)).expect("the header is understood");
    assert_eq!(reading.problem, None);
    assert_eq!(reading.skipped, 0);
    assert_eq!(reading.log.len() + 1, file.lines().count() as u64);
    let again = record::write(Vec::new(), &reading.log).expect("memory");
    let again = String::from_utf8(again).expect("UTF-8");
    for (written, example) in again.lines().zip(file.lines()) {
        assert_eq!(written, example);
    }
}

#[test]
fn every_event_has_a_section_with_an_example() {
    let headings: Vec<&str> = DOC.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert_eq!(headings, record::EVENTS);
    let shown: BTreeSet<String> =
        examples().iter().filter_map(|line| Some(line.get("event")?.as_str()?.into())).collect();
    assert_eq!(shown, record::EVENTS.into_iter().map(String::from).collect());
}

/// Every field of an example is described in the section that it stands in, or for all events.
#[test]
fn every_field_is_described() {
    let common = DOC.split("## What every event has").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("it");
    let write = section("write");
    for line in examples() {
        let (name, described) = match line.get("event").and_then(|event| event.as_str()) {
            Some(event) => (event, section(event)),
            None => ("the header", DOC.split("## The header").nth(1).expect("it")),
        };
        for field in line.as_object().expect("an object").keys() {
            let row = format!("`{field}`");
            let found = [described, common, if name == "read" { write } else { "" }];
            let rows = found.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with('|'));
            assert!(
                rows.clone().any(|line| line.split('|').nth(1).is_some_and(|cell| cell.contains(&row))),
                "{name}: {field}"
            );
        }
    }
}

/// Every word that a field can hold is in the reference.
#[test]
fn every_word_is_documented() {
    use proclab::model::{ChannelKind, Phase, Why};
    let has = |event: &str, word: &str| assert!(section(event).contains(&format!("`{word}`")), "{event}: {word}");
    for kind in ChannelKind::ALL {
        has("create", kind.as_str());
    }
    for phase in Phase::ALL {
        has("signal", phase.as_str());
    }
    for why in Why::ALL {
        has("block", why.as_str());
    }
    for rule in proclab::insight::rules() {
        has("diagnosis", rule.name());
    }
}

fn section(event: &str) -> &'static str {
    let rest = DOC.split(&format!("### `{event}`\n")).nth(1).expect("a section");
    rest.split("\n### ").next().expect("it").split("\n## ").next().expect("it")
}

fn examples() -> Vec<serde_json::Value> {
    blocks("json").iter().map(|line| serde_json::from_str(line).expect("valid JSON")).collect()
}

/// The filters parse and run, where jq is at hand.
#[test]
fn the_filters_are_jq() {
    let shell = blocks("sh").join("\n");
    let filters: Vec<&str> = shell.split('\'').skip(1).step_by(2).collect();
    assert_eq!(filters.len(), 5);
    if std::process::Command::new("jq").arg("--version").output().is_err() {
        eprintln!("jq is not installed: the filters were not run");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("run.jsonl");
    std::fs::write(&file, blocks("json").join("\n")).expect("written");
    for command in shell.split("run.jsonl").map(str::trim).filter(|command| !command.is_empty()) {
        let line = format!("{command} '{}'", file.display());
        let output = std::process::Command::new("sh").arg("-c").arg(&line).output().expect("sh runs");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.is_empty(), "{line} prints nothing");
    }
}
