//! Whatever somebody has written into names, titles and arguments: no terminal obeys it.

use std::os::unix::ffi::OsStrExt as _;

use super::{Place, finish};

/// Sets the title of a window, clears the screen in seven bits and in eight, turns the line around.
const STEERING: &str = "x\u{1b}]0;y\u{7}\u{1b}[2J\u{9b}2J\u{9d}0;z\u{9c}\u{7f}\u{202e}\u{2066}\u{200f}\u{61c}";

/// Whether a terminal or a viewer would obey a character of the text.
fn steers(text: &str) -> bool {
    text.chars().any(|c| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

/// A scenario whose every text steers, as KDL escapes allow it, and an expectation that fails.
fn scenario() -> String {
    let escaped: String =
        STEERING.chars().map(|c| if c == 'x' { "x".to_owned() } else { format!("\\u{{{:x}}}", c as u32) }).collect();
    format!(
        "title \"{escaped}\"\nlevel 1\nstory \"{escaped}\"\nprocess a {{ write stdout \"{escaped}\" }}\n\
         expect {{ output a \"{escaped}{escaped}\" }}\n"
    )
}

#[test]
fn nothing_that_is_printed_steers_a_terminal() {
    let place = Place::new();
    let named = format!("{STEERING}\n");
    let folder = format!("scenarios/{named}");
    place.write(&format!("{folder}/{named}.kdl"), scenario());
    place.write(&format!("{folder}/bad{named}.kdl"), format!("process a {{ {STEERING} \"x\" }}"));
    let good = format!("{folder}/{named}.kdl");
    let bad = format!("{folder}/bad{named}.kdl");
    let lines: [&[&str]; 21] = [
        &["list"],
        &["list", "--format", "json"],
        &["lint"],
        &["lint", &bad],
        &["lint", &named],
        &["check", &good],
        &["check", &bad],
        &["check", &named],
        &["check", &format!("./{named}")],
        &["check", "--dir", &named],
        &["check", "--format", "json", &good, &bad],
        &["check", "--format", "junit", &good, &bad],
        &["run", &named],
        &["replay", &named],
        &["replay", &good],
        &["record", &format!("no{named}")],
        &["record", "--", &named],
        &["record", "-o", &format!("{named}/{named}"), "--", "true"],
        &["new", &format!("{named}.kdl")],
        &[&named],
        &[&format!("--{named}")],
    ];
    for line in lines {
        let ran = place.run(line);
        let text = String::from_utf8_lossy(&ran.stdout);
        assert!(!steers(&text), "{line:?}: {text:?}");
        assert!(!steers(&ran.stderr), "{line:?}: {:?}", ran.stderr);
        assert!(text.len() + ran.stderr.len() > 0, "{line:?} says nothing");
    }
    for option in ["--schedule", "--seed", "--theme"] {
        let ran = place.run(&["run", "one-pipe", option, &named]).code(2);
        assert!(!steers(&ran.stderr) && !ran.stderr.is_empty(), "{option}: {:?}", ran.stderr);
    }
}

/// The name of the program is the user's of the shell, but a link can bear any.
#[test]
fn the_name_of_the_program_steers_nothing() {
    let place = Place::new();
    let link = place.path(STEERING);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_proclab"), &link).expect("a link");
    let mut command = std::process::Command::new(&link);
    command.arg("--nosuch");
    place.settle(&mut command);
    let ran = finish(&mut command).code(2);
    assert!(!steers(&ran.stderr) && ran.stderr.contains("--nosuch"), "{:?}", ran.stderr);
}

/// What a program does is in the log as it was, and in the summary as it can be shown.
#[test]
fn recordings_escape_what_they_hold() {
    let place = Place::new();
    let script = format!("printf %s '{STEERING}'; cp /bin/true './{STEERING}'; './{STEERING}' '{STEERING}'");
    let ran = place.run(&["record", "-o", "log", "--serial", "--", "sh", "-c", &script]).code(0);
    assert!(!steers(&ran.stderr), "{:?}", ran.stderr);
    let log = std::fs::read_to_string(place.path("log")).expect("text");
    assert!(!steers(&log), "{log:?}");
    let events = super::read_events(&place.path("log"));
    let exec = events.iter().rfind(|line| line["event"] == "exec").expect("an exec");
    assert_eq!(exec["argv"][1], STEERING);
    assert!(events.iter().any(|line| line["event"] == "write" && line["data"] == STEERING), "{log}");
    // A scenario says its schedule, in which the names of programs stand.
    place.write(
        "a.kdl",
        format!("process a {{\n fork b {{ exec \"{}/{STEERING}\" }}\n wait b\n}}\n", place.dir.path().display())
            .replace(STEERING, "\\u{1b}"),
    );
    let odd = place.path(std::str::from_utf8(b"\x1b").expect("text"));
    std::fs::copy("/bin/true", &odd).expect("a program");
    let ran = place.run(&["record", "-o", "log", "a.kdl"]).code(0);
    assert!(ran.stderr.starts_with("schedule: ") && !steers(&ran.stderr), "{:?}", ran.stderr);
    let raw = std::ffi::OsStr::from_bytes(b"\x9b2J");
    let ran = finish(&mut place.proclab(&[std::ffi::OsStr::new("replay"), raw])).code(2);
    assert!(!steers(&ran.stderr), "{:?}", ran.stderr);
}
