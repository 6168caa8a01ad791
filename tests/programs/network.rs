//! Programs that talk over sockets: what they count is what the log says.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::foreign::{Fixture, compare, compile, count};

fn role(name: &str) -> String {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    compare(&FIXTURE.get_or_init(|| compile("network")).role(name))
}

/// How many bytes were moved by events of this name through channels of this kind.
fn moved(log: &str, event: &str, kind: &str) -> u64 {
    let events = || log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let kinds: HashMap<String, String> = events()
        .filter(|line| line["event"] == "create")
        .map(|line| (line["name"].to_string(), line["kind"].as_str().unwrap_or_default().to_owned()))
        .collect();
    events()
        .filter(|line| line["event"] == event && kinds.get(&line["channel"].to_string()).is_some_and(|it| it == kind))
        .filter_map(|line| line["bytes"].as_u64())
        .sum()
}

#[test]
fn a_megabyte_out_and_back() {
    let log = role("echo");
    assert_eq!((moved(&log, "write", "tcp"), moved(&log, "read", "tcp")), (2 << 20, 2 << 20));
    assert_eq!(count(&log, "accept", "\"connection\":\"tcp#2\""), 1);
    assert_eq!(count(&log, "connect", "\"channel\":\"tcp#2\",\"to\":\"tcp\""), 1);
    assert_eq!(count(&log, "open", "\"channel\":\"tcp#2\",\"end\":\"second\""), 1);
}

#[test]
fn five_questions_four_answers_and_a_timeout() {
    let log = role("udp");
    assert_eq!((moved(&log, "write", "udp"), moved(&log, "read", "udp")), (45, 45));
    assert_eq!(count(&log, "write", "\"channel\":\"udp#2\""), 5);
    assert_eq!(count(&log, "read", "\"channel\":\"udp\",\"fd\":3,\"bytes\":5"), 4);
    assert_eq!(count(&log, "read", "EAGAIN"), 1);
}

#[test]
fn a_forking_server_under_two_hundred_connections() {
    let log = role("fork-server");
    assert_eq!(count(&log, "connect", "\"to\":\"tcp\""), 200);
    assert_eq!(count(&log, "accept", "\"channel\":\"tcp\""), 200);
    // One listening socket, and one channel for each connection.
    assert_eq!(count(&log, "create", "\"kind\":\"tcp\""), 201);
    assert_eq!(count(&log, "destroy", "\"channel\":\"tcp"), 201);
    // `client C call N`, for 8 clients and 25 calls, there and back.
    let bytes = 8 * (10 * 15 + 15 * 16);
    assert_eq!((moved(&log, "write", "tcp"), moved(&log, "read", "tcp")), (2 * bytes, 2 * bytes));
}

#[test]
fn messages_descriptors_and_failures() {
    let log = role("messages");
    assert_eq!(count(&log, "write", "\"call\":\"sendmmsg\""), 3);
    assert_eq!(count(&log, "read", "\"call\":\"recvmmsg\""), 2);
    assert_eq!(count(&log, "syscall", "MSG_PEEK"), 1);
    assert_eq!(count(&log, "read", "\"bytes\":2,\"data\":\"on\",\"call\":\"recvfrom\",\"ret\":3"), 1);
    assert_eq!(count(&log, "pass", "\"access\":\"w\",\"flags\":[\"cloexec\"]"), 1);
    assert_eq!(count(&log, "write", "\"data\":\"through the pipe\""), 1);
    assert_eq!(count(&log, "read", "errno\":\"ECONNRESET") + count(&log, "write", "errno\":\"EPIPE"), 2);
    assert_eq!(count(&log, "connect", "errno\":\"ECONNREFUSED"), 1);
    assert_eq!(count(&log, "connect", "EINPROGRESS"), 1);
    assert_eq!(count(&log, "diagnosis", "\"connection-refused\""), 1);
    // Connected by a call that did not wait, and accepted as what it is.
    assert_eq!(count(&log, "accept", "\"channel\":\"tcp\",\"connection\":\"tcp#2\""), 1);
}

#[test]
fn what_is_out_of_sight_is_said() {
    let log = role("uring");
    let was_made = log.lines().any(|line| line.contains("io_uring_setup") && !line.contains("errno"));
    assert_eq!(count(&log, "note", "io_uring"), usize::from(was_made));
}
