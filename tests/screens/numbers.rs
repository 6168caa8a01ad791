//! Recordings can hold numbers that no kernel writes: they are shown, or refused, and nothing panics.

use std::collections::BTreeSet;
use std::io::Cursor;

use proclab::model::Log;
use proclab::record;
use serde_json::Value;

use super::{buffer, common, press, recording};

/// Numbers at which a sum or a difference goes wrong.
const EXTREMES: [u64; 5] = [0, 1, i64::MAX as u64, u64::MAX - 7, u64::MAX];
/// What every line has. The rest is the event's own.
const COMMON: [&str; 6] = ["seq", "t", "pid", "tid", "task", "event"];

fn lines(log: &Log) -> Vec<Value> {
    let bytes = record::write(Vec::new(), log).expect("written");
    let text = String::from_utf8(bytes).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Every number of every kind of event, as `event` and field.
fn fields(lines: &[Value]) -> BTreeSet<(String, String)> {
    let of = |line: &Value| -> Vec<(String, String)> {
        let event = line["event"].as_str().expect("an event").to_owned();
        let object = line.as_object().expect("an object");
        let numbers = object.iter().filter(|(name, value)| value.is_number() && !COMMON.contains(&name.as_str()));
        numbers.map(|(name, _)| (event.clone(), name.clone())).collect()
    };
    lines[1..].iter().flat_map(of).collect()
}

/// Reads it, and looks at its end in every pane.
fn look_at(lines: &[Value], what: &str) {
    let text = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n") + "\n";
    let Ok(reading) = record::read(Cursor::new(text.as_bytes())) else { return };
    let mut app = recording(reading.log, 100, 30);
    for key in ["end", "1", "2", "3", "4", "5", "6", "z", "x", "tab", "z", "x", "2", "z", "x", "home", "end"] {
        press(&mut app, key);
        assert!(buffer(&app).area.height > 0, "{what}");
    }
}

#[test]
fn numbers_of_any_size_do_no_harm() {
    let logs = [
        common::one_pipe(),
        common::graceful(),
        common::foreign(),
        common::meetings::sockets(),
        common::meetings::queues(),
        common::meetings::shared(),
    ];
    for log in logs {
        let lines = lines(&log);
        for (event, field) in fields(&lines) {
            for number in EXTREMES {
                let mut changed = lines.clone();
                for line in changed[1..].iter_mut().filter(|line| line["event"] == *event && line[&field].is_number()) {
                    line[&field] = number.into();
                }
                look_at(&changed, &format!("{event}: {field} = {number}"));
            }
        }
    }
}
