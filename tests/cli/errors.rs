//! What cannot be done is said in a sentence, with the exit status that belongs to it.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

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

/// What `words` print of the arguments and the environment that they find, with proclab and from execvp(3), which
/// perl calls where there is more than one word.
#[track_caller]
fn same_as_execvp(place: &Place, words: &[&str], set: &dyn Fn(&mut Command)) {
    let mut plain = Command::new("perl");
    plain.args(["-e", "exec { $ARGV[0] } @ARGV or exit 88"]).args(words);
    let mut traced = place.proclab(&["record", "-q", "-o", "log", "--"]);
    traced.args(words);
    place.settle(&mut plain);
    set(&mut plain);
    set(&mut traced);
    let (plain, traced) = (plain.output().expect("perl"), traced.output().expect("proclab"));
    let said = String::from_utf8_lossy(&traced.stderr);
    assert_eq!(String::from_utf8_lossy(&plain.stdout), String::from_utf8_lossy(&traced.stdout), "{words:?}: {said}");
    assert_eq!(plain.status.code(), traced.status.code(), "{words:?}: {said}");
}

#[test]
fn a_program_finds_the_arguments_that_execvp_gives() {
    let place = Place::new();
    let executable = || std::fs::Permissions::from_mode(0o755);
    // The interpreter says which words it was called with.
    let shown = "tr '\\0' '\\n' < /proc/$$/cmdline; echo \"$0 $*\"; exit 7\n";
    std::fs::set_permissions(place.write("dir/script", shown), executable()).expect("set");
    std::fs::set_permissions(place.write("dir/empty", ""), executable()).expect("set");
    std::fs::set_permissions(place.write("dir/colon", format!(": nothing\n{shown}")), executable()).expect("set");
    place.write("refused/script", shown);
    let nothing = |_: &mut Command| {};
    same_as_execvp(&place, &["dir/script"], &nothing);
    same_as_execvp(&place, &["dir/script", "a", "", "b c"], &nothing);
    same_as_execvp(&place, &["./dir/colon", "a"], &nothing);
    same_as_execvp(&place, &["dir/empty", "a"], &nothing);
    let path = std::env::var("PATH").unwrap_or_default();
    // What may not be executed is passed over.
    let search = format!("/nonexistent:/etc/passwd:refused:dir:{path}");
    same_as_execvp(&place, &["script", "x"], &|command| {
        command.env("PATH", &search);
    });
    let here = format!(":{path}");
    std::fs::copy(place.path("dir/script"), place.path("local")).expect("copied");
    same_as_execvp(&place, &["local", "x"], &|command| {
        command.env("PATH", &here);
    });
}

#[test]
fn a_program_finds_the_environment_that_the_lab_was_given() {
    let place = Place::new();
    // Only execve(2) itself can hand over such entries.
    let script = place.write(
        "give.py",
        "import ctypes, sys\n\
         c = ctypes.CDLL(None)\n\
         def row(words): return (ctypes.c_char_p * (len(words) + 1))(*words, None)\n\
         env = [b'A=1', b'no-equals-sign', b'', b'=', b'=x=y', b'A=2', b'B=\\xff\\xfe', b'C=', b'PATH=' + sys.argv[1].encode()]\n\
         argv = [word.encode() for word in sys.argv[2:]]\n\
         c.execve(argv[0], row(argv), row(env))\n\
         sys.exit(88)\n",
    );
    let path = std::env::var("PATH").unwrap_or_default();
    let cat = proclab::sys::spawn::find("cat".as_ref()).expect("cat");
    let cat = cat.to_str().expect("a path");
    let run = |words: &[&str]| {
        let mut command = Command::new("python3");
        command.arg(&script).arg(&path).args(words);
        place.settle(&mut command);
        let output = command.output().expect("python3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let plain = run(&[cat, "/proc/self/environ"]);
    assert!(plain.starts_with(b"A=1\0no-equals-sign\0\0"), "{plain:?}");
    let lab = env!("CARGO_BIN_EXE_proclab");
    assert_eq!(run(&[lab, "record", "-q", "-o", "log", "--", cat, "/proc/self/environ"]), plain);
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
