//! Foreign programs that meet at a FIFO or at a locked file: the log says what they count themselves.

#[path = "support/foreign.rs"]
mod foreign;

use std::sync::OnceLock;

use foreign::{Fixture, compare, count, events, sum};

fn role(name: &str) -> String {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    compare(&FIXTURE.get_or_init(|| foreign::compile("files")).role(name))
}

#[test]
fn integers_through_a_fifo() {
    let log = role("fifo");
    let fifo = events(&log)
        .find(|event| event["event"] == "create" && event["kind"] == "fifo")
        .and_then(|event| event["channel"].as_str().map(str::to_owned))
        .expect("a FIFO");
    assert!(fifo.ends_with("/numbers"), "{fifo}");
    assert_eq!(sum(&log, "write", "files#2", &fifo), 3_072_000);
    assert_eq!(sum(&log, "read", "files", &fifo), 3_072_000);
}

#[test]
fn a_producer_and_a_consumer_under_record_locks() {
    let log = role("locks");
    assert_eq!(count(&log, "lock", "\"type\":\"write\",\"start\":0,\"len\":0,\"granted\":true"), 1);
    assert_eq!(count(&log, "lock", "\"type\":\"read\",\"start\":0,\"len\":0,\"granted\":true"), 1);
    assert_eq!(count(&log, "lock", "\"type\":\"unlock\""), 2);
    let file = events(&log)
        .find(|event| event["event"] == "lock")
        .and_then(|event| event["channel"].as_str().map(str::to_owned))
        .expect("a lock");
    assert_eq!(sum(&log, "write", "files", &file), 77);
    assert_eq!(events(&log).filter(|event| event["event"] == "read" && event["channel"] == *file).count(), 1);
    for block in events(&log).filter(|event| event["event"] == "block" && event["why"] == "lock") {
        assert_eq!((&block["channel"], &block["on"]), (&file.clone().into(), &"files".into()));
    }
}

#[test]
fn straight_from_memory_to_memory() {
    let log = role("memories");
    let moved: Vec<_> = events(&log)
        .filter(|event| event["call"].as_str().is_some_and(|call| call.starts_with("process_vm_")))
        .map(|event| {
            let word = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
            (word("event"), word("channel"), event["bytes"].as_u64(), word("data"))
        })
        .collect();
    let text = "straight into memory\0".to_owned();
    let channel = "memory of files#2".to_owned();
    let expected = |event: &str| (event.to_owned(), channel.clone(), Some(21), text.clone());
    assert_eq!(moved, [expected("write"), expected("read")]);
}
