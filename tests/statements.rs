//! Each statement, acted out by real processes: with namespaces and without.

use std::path::Path;
use std::process::Command;

/// Checks the scenario on some seeds. The lab says what does not hold.
fn check(name: &str, namespaces: bool) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/statements/{name}.kdl"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_proclab"));
    command.arg("check").args(["--seeds", "5"]).arg(file);
    if !namespaces {
        command.env("PROCLAB_NO_NAMESPACES", "1");
    }
    let output = command.output().expect("proclab starts");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{name}, namespaces {namespaces}:\n{}", String::from_utf8_lossy(&said));
}

fn in_both_places(name: &str) {
    check(name, true);
    check(name, false);
}

#[test]
fn signals_terminals_and_locks() {
    in_both_places("signals-terminals-locks");
}

#[test]
fn time() {
    in_both_places("time");
}

#[test]
fn sockets() {
    in_both_places("sockets");
}

#[test]
fn system_v() {
    in_both_places("system-v");
}

#[test]
fn posix() {
    in_both_places("posix");
}

#[test]
fn memory() {
    in_both_places("memory");
}
