//! Each signal, sent to a process that blocks, ignores, catches (with each flag) or defaults it, while it
//! runs, sleeps in a call that is restarted or not, is stopped, waits for a vforked child, or is a zombie:
//! outcome by outcome as without the lab.

#[path = "support/foreign.rs"]
mod foreign;

use std::sync::LazyLock;

use foreign::{Fixture, compare, compile};

static MATRIX: LazyLock<Fixture> = LazyLock::new(|| compile("matrix"));

/// The signals from `first` to `last`. `compare` asserts that the two outputs are the same, line by line.
fn cells(first: i32, last: i32) {
    let path = MATRIX.path().to_str().expect("a path");
    let log = compare(&[path, &first.to_string(), &last.to_string()]);
    assert!(log.lines().count() > 1000, "{log}");
}

#[test]
fn signals_1_to_8() {
    cells(1, 8);
}

#[test]
fn signals_9_to_16() {
    cells(9, 16);
}

#[test]
fn signals_17_to_24() {
    cells(17, 24);
}

#[test]
fn signals_25_to_32() {
    cells(25, 32);
}

#[test]
fn real_time_signals_33_to_48() {
    cells(33, 48);
}

#[test]
fn real_time_signals_49_to_64() {
    cells(49, 64);
}
