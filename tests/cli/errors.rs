//! What cannot be done is said in a sentence, with the exit status that belongs to it.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;

use super::{Place, finish};

#[test]
fn without_a_terminal_the_screen_names_what_does_without() {
    let place = Place::new();
    place.write("run.jsonl", place.run(&["record", "--", "true"]).code(0).stdout);
    for args in [&[][..], &["run", "pipes/one-pipe"], &["trace", "true"], &["replay", "run.jsonl"]] {
        let ran = place.run(args).code(2);
        assert!(ran.stdout.is_empty());
        assert!(ran.stderr.contains("`proclab check`") && ran.stderr.contains("`proclab record`"), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
}

#[test]
fn usage_is_explained() {
    let place = Place::new();
    for args in [
        &["bogus"][..],
        &["record"],
        &["record", "pipes/one-pipe", "--", "true"],
        &["check", "--format", "yaml"],
        &["check", "--seeds", "0"],
        &["run", "--free", "--serial", "pipes/one-pipe"],
        &["record", "--schedule", "parent", "pipes/one-pipe"],
        &["trace"],
        &["completions", "csh"],
    ] {
        let ran = place.run(args).code(2);
        assert!(ran.stderr.contains("error:") && ran.stderr.contains("--help"), "{args:?}: {}", ran.stderr);
    }
    let ran = place.run(&["record", "--schedule", "parent", "pipes/one-pipe"]);
    assert!(ran.stderr.contains("item 1 of the schedule, `parent`: write `NAME:3`"), "{}", ran.stderr);
}

#[test]
fn help_and_version_are_no_errors() {
    let place = Place::new();
    for args in [&["--help"][..], &["help", "record"], &["check", "-h"], &["--version"]] {
        let ran = place.run(args).code(0);
        assert!(!ran.stdout.is_empty() && ran.stderr.is_empty());
    }
}

#[test]
fn programs_that_cannot_be_run_are_a_matter_of_usage() {
    let place = Place::new();
    let executable = std::fs::Permissions::from_mode(0o755);
    place.write("plain", "no program");
    std::fs::set_permissions(place.write("garbage", b"\0\x01\x02\0"), executable.clone()).expect("set");
    std::fs::set_permissions(place.write("orphan", "#!/nonexistent/shell\n"), executable).expect("set");
    for (program, code, said) in [
        ("nosuch-program", 2, "nosuch-program: ENOENT"),
        ("./nosuch", 2, "./nosuch: ENOENT"),
        ("./plain", 2, "chmod +x"),
        (".", 2, "EACCES"),
        ("./garbage", 2, "ENOEXEC"),
        ("./orphan", 2, "ENOENT"),
    ] {
        let ran = place.run(&["record", "-o", "log", "--", program]).code(code);
        assert!(ran.stderr.contains(said), "{program}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
    place.run(&["trace", "nosuch-program"]).code(2);
}

#[test]
fn a_missing_program_leaves_an_old_recording_alone() {
    let place = Place::new();
    let old = place.write("log", "precious");
    place.run(&["record", "-o", "log", "--", "nosuch-program"]).code(2);
    assert_eq!(std::fs::read(old).expect("there"), b"precious");
}

#[test]
fn a_script_without_an_interpreter_line_runs_as_in_a_shell() {
    let place = Place::new();
    let script = place.write("script", "exit 9\n");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).expect("set");
    place.run(&["record", "-o", "log", "--", "./script"]).code(9);
}

#[test]
fn scenarios_that_are_not_there() {
    let place = Place::new();
    for command in ["run", "record", "check"] {
        let ran = place.run(&[command, "pipes/one-pip"]).code(2);
        assert!(ran.stderr.contains("did you mean `pipes/one-pipe`?"), "{}", ran.stderr);
    }
    let ran = place.run(&["record", "sh"]).code(2);
    assert!(ran.stderr.contains("proclab record -- sh"), "{}", ran.stderr);
    let ran = place.run(&["run", "./none.kdl"]).code(2);
    assert!(ran.stderr.contains("cannot read ./none.kdl: No such file or directory"), "{}", ran.stderr);
    let ran = place.run(&["list", "--dir", "none"]).code(2);
    assert!(ran.stderr.contains("cannot read none: No such file or directory"), "{}", ran.stderr);
}

#[test]
fn an_invalid_scenario_is_pointed_at() {
    let place = Place::new();
    place.write("mine/bad.kdl", "process a {\n    wirte stdout \"x\"\n}\n");
    for command in ["run", "record", "check"] {
        let ran = place.run(&[command, "mine/bad.kdl"]).code(2);
        assert!(ran.stderr.contains("--> mine/bad.kdl:2:5"), "{}", ran.stderr);
        assert!(ran.stderr.contains("did you mean `write`?"), "{}", ran.stderr);
    }
}

#[test]
fn files_that_cannot_be_read_or_written() {
    let place = Place::new();
    for (args, said) in [
        (&["replay", "none"][..], "cannot read none: No such file or directory"),
        (&["replay", "."], "cannot read .: line 1"),
        (&["record", "-o", "none/log", "--", "touch", "ran"], "cannot write none/log: No such file or directory"),
        (&["record", "-o", ".", "--", "touch", "ran"], "cannot write .: Is a directory"),
    ] {
        let ran = place.run(args).code(2);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    assert!(!place.path("ran").exists(), "a run that cannot be recorded does not begin");
    place.write("foreign", "{\"a\":1}\n");
    let ran = place.run(&["replay", "foreign"]).code(2);
    assert!(ran.stderr.contains("cannot read foreign: line 1: not a proclab recording"), "{}", ran.stderr);
}

#[test]
fn nobody_reads_on_and_nothing_is_wrong() {
    let place = Place::new();
    for args in [
        &["list"][..],
        &["man"],
        &["completions", "bash"],
        &["doctor"],
        &["--help"],
        &["lint"],
        &["record", "pipes/one-pipe"],
        &["check", "pipes/one-pipe"],
        &["record", "--", "sh", "-c", "exit 7"],
    ] {
        place.write("scenarios/mine/good.kdl", super::GOOD);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ran = finish(place.proclab(args).stdout(writer));
        let expected = if args.contains(&"exit 7") { 7 } else { 0 };
        let ran = ran.code(expected);
        assert!(!ran.stderr.to_lowercase().contains("pipe ("), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_full_disk_is_said() {
    let place = Place::new();
    let full = || File::options().write(true).open("/dev/full").expect("/dev/full");
    for args in [&["list"][..], &["man"], &["record", "pipes/one-pipe"], &["record", "--", "true"]] {
        let mut command = place.proclab(args);
        // `output` would replace what standard output leads to, if it were not set.
        let ran = finish(command.stdout(full())).code(3);
        assert!(ran.stderr.contains("standard output: No space left on device"), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn the_hidden_command_is_not_for_people() {
    let place = Place::new();
    for args in [&["__init"][..], &["__init", "x"], &["__init", "1"], &["__init", "77"]] {
        assert_eq!(place.run(args).code(126).stderr.lines().count(), 1);
    }
}
