//! `record`: whole logs, and programs that do not notice.

use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use super::{GOOD, Place, finish, read_events};

fn named<'a>(events: &'a [serde_json::Value], event: &str) -> Vec<&'a serde_json::Value> {
    events.iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn the_exit_status_is_the_programs() {
    let place = Place::new();
    for code in [0, 1, 7, 255] {
        let ran = place.run(&["record", "--", "sh", "-c", &format!("exit {code}")]).code(code);
        let events = ran.events();
        assert_eq!(events[0]["command"][0], "sh");
        assert_eq!(events[0]["mode"], "free");
        assert_eq!(named(&events, "exit").last().expect("an exit")["code"], code);
        assert_eq!(ran.stderr, "", "nothing to say");
    }
}

#[test]
fn proclab_dies_of_the_signal_that_killed_the_program() {
    let place = Place::new();
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("USR1", 10)] {
        let ran = place.run(&["record", "-o", "log", "--", "sh", "-c", &format!("kill -{name} $$")]);
        assert_eq!(ran.status.signal(), Some(number), "{}", ran.stderr);
        assert!(!ran.status.core_dumped(), "the core is the program's");
        let events = read_events(&place.path("log"));
        assert_eq!(named(&events, "exit").last().expect("an exit")["signal"], format!("SIG{name}"));
    }
}

#[test]
fn with_the_log_on_standard_output_the_program_has_standard_error() {
    let place = Place::new();
    let ran = place.run(&["record", "--", "sh", "-c", "echo out; echo err >&2"]).code(0);
    assert_eq!(ran.stderr, "out\nerr\n");
    assert!(ran.events().len() > 3);
    let ran = place.run(&["record", "-o", "-", "--", "echo", "x"]).code(0);
    assert_eq!(ran.stderr, "x\n");
}

#[test]
fn with_the_log_in_a_file_bytes_pass_through_untouched() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut command = place.proclab(&["record", "-o", "log", "--", "cat"]);
    let mut lab = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    let mut input = lab.stdin.take().expect("piped");
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent).expect("written"));
    let mut received = Vec::new();
    lab.stdout.take().expect("piped").read_to_end(&mut received).expect("read");
    writer.join().expect("joined");
    assert!(lab.wait().expect("ended").success());
    assert!(received == bytes, "{} bytes of {}", received.len(), bytes.len());
    let events = read_events(&place.path("log"));
    let written: u64 = named(&events, "write").iter().filter_map(|event| event["bytes"].as_u64()).sum();
    assert_eq!(written, 300_000);
}

#[test]
fn a_program_is_found_where_the_shell_finds_it() {
    let place = Place::new();
    let ran = place.run(&["record", "-o", "log", "--", "sh", "-c", "pwd; echo $0 $1", "name", "-x y"]).code(0);
    let here = place.dir.path().canonicalize().expect("there");
    assert_eq!(ran.text(), format!("{}\nname -x y\n", here.display()));
}

#[test]
fn a_scenario_tells_its_schedule_and_follows_it_again() {
    let place = Place::new();
    let ran = place.run(&["record", "pipes/one-pipe", "--seed", "5"]).code(0);
    let schedule = ran.stderr.trim_end().strip_prefix("schedule: ").expect("a schedule").to_owned();
    let events = ran.events();
    assert_eq!((&events[0]["scenario"], &events[0]["seed"]), (&"pipes/one-pipe".into(), &5.into()));
    assert_eq!(events[0]["mode"], "serial");
    let again = place.run(&["record", "pipes/one-pipe", "--schedule", &schedule]).code(0);
    assert_eq!(again.stderr, ran.stderr);
    let story = |ran: &super::Ran| -> Vec<String> {
        ran.events()[1..]
            .iter()
            .map(|event| format!("{} {} {}", event["task"], event["event"], event["call"]))
            .collect()
    };
    assert_eq!(story(&again), story(&ran));
}

#[test]
fn a_scenario_says_nothing_when_it_shall_be_quiet() {
    let place = Place::new();
    place.write("mine/good.kdl", GOOD);
    let ran = place.run(&["record", "-q", "-o", "log", "mine/good.kdl"]).code(0);
    assert_eq!((ran.text(), ran.stderr.as_str()), ("hello\n", ""));
    let ran = place.run(&["record", "--free", "mine/good.kdl"]).code(0);
    assert_eq!(ran.stderr, "hello\n", "a free run has no schedule");
    assert_eq!(ran.events()[0]["mode"], "free");
}

#[test]
fn a_run_that_is_stuck_is_done_and_said() {
    let place = Place::new();
    let ran = place.run(&["record", "pipes/two-way-deadlock"]).code(0);
    assert!(ran.stderr.starts_with("proclab: the run is stuck"), "{}", ran.stderr);
    assert!(!named(&ran.events(), "diagnosis").is_empty());
}

#[test]
fn a_program_that_gets_stuck_ends_where_that_is_asked_for() {
    let place = Place::new();
    // The child waits for the end of what only itself could write, its parent for the child.
    let program = "pipe(my $r, my $w); if (!fork) { <$r>; exit } wait";
    for options in [&["--stop-when-stuck"][..], &["--serial"]] {
        let mut words = vec!["record", "-o", "log"];
        words.extend(options);
        words.extend(["--", "perl", "-e", program]);
        let ran = place.run(&words).code(1);
        assert_eq!(ran.stderr, "proclab: the run is stuck: all that is left waits for each other\n");
    }
}

#[test]
fn a_limit_cuts_off_and_is_said() {
    let place = Place::new();
    let ran = place.run(&["record", "--timeout", "1", "--", "sleep", "1000"]).code(1);
    assert!(ran.stderr.contains("--timeout is over"), "{}", ran.stderr);
    assert!(ran.events().len() > 2);
    place.write("mine/long.kdl", "limit events=50\nprocess a { forever { note \"x\" } }\n");
    let ran = place.run(&["record", "mine/long.kdl"]).code(1);
    assert!(ran.stderr.contains("limit of 50 events"), "{}", ran.stderr);
}

#[test]
fn options_of_the_run_reach_it() {
    let place = Place::new();
    let script = "printf 0123456789; exit 0";
    let ran = place.run(&["record", "--capture", "4", "--all", "--serial", "--", "sh", "-c", script]).code(0);
    let events = ran.events();
    assert_eq!(events[0]["mode"], "serial");
    assert!(!named(&events, "syscall").is_empty(), "--all shows every call");
    let writes = named(&events, "write");
    assert_eq!((&writes[0]["data"], &writes[0]["bytes"]), (&"0123".into(), &10.into()));
    let none = place.run(&["record", "--", "sh", "-c", script]).code(0);
    let none = none.events();
    assert!(named(&none, "syscall").is_empty(), "{:?}", named(&none, "syscall"));
}

#[test]
fn a_program_can_be_isolated() {
    let place = Place::new();
    let ran = place.run(&["record", "--isolate", "-o", "log", "--", "sh", "-c", "echo $$"]).code(0);
    let pid: i32 = ran.text().trim().parse().expect("a PID");
    let probed = proclab::control::probe_namespaces().is_ok();
    assert!(pid <= 2 || !probed, "PID {pid} in a namespace of its own");
}

#[test]
fn an_isolated_program_stays_where_it_is() {
    let place = Place::new();
    let program = place.write("prog", "#!/bin/sh\npwd; ls; cat here; echo made > made\n");
    std::fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    place.write("here", "it is\n");
    let ran = place.run(&["record", "--isolate", "-o", "log", "--", "./prog"]).code(0);
    let directory = place.dir.path().canonicalize().expect("a path");
    assert_eq!(ran.text(), format!("{}\nhere\nlog\nprog\nit is\n", directory.display()));
    assert_eq!(std::fs::read_to_string(place.path("made")).expect("made"), "made\n");
    // Below a directory that a scenario would have as its own, and in one that the namespaces hide.
    for parent in ["/mnt", "/srv", "/media", "/dev/shm"] {
        let Ok(below) = tempfile::tempdir_in(parent) else {
            println!("skipped: nothing can be made in {parent}");
            continue;
        };
        let copy = below.path().join("prog");
        std::fs::copy(place.path("prog"), &copy).expect("copied");
        std::fs::write(below.path().join("here"), "it is\n").expect("written");
        let log = place.path("log");
        let log = log.to_str().expect("a path");
        let mut command = place.proclab(&["record", "--isolate", "-o", log, "--", "./prog"]);
        let ran = finish(command.current_dir(below.path())).code(0);
        assert_eq!(ran.text(), format!("{}\nhere\nprog\nit is\n", below.path().display()));
    }
}

#[test]
fn programs_see_one_cpu_unless_all_are_asked_for() {
    let place = Place::new();
    let cpus = |args: &[&str]| -> usize {
        let args = [&["record", "-o", "log"], args, &["--", "nproc"]].concat();
        place.run(&args).code(0).text().trim().parse().expect("a number")
    };
    assert_eq!(cpus(&[]), 1);
    let own: usize = String::from_utf8_lossy(&finish(&mut std::process::Command::new("nproc")).stdout)
        .trim()
        .parse()
        .expect("a number");
    assert_eq!(cpus(&["--cpus", "all"]), own);
}

/// What the run reads is not emptied for its log, whatever it is called by.
#[test]
fn the_log_takes_the_place_of_nothing_that_the_run_reads() {
    let place = Place::new();
    place.write("mine/good.kdl", GOOD);
    place.write("prog", "#!/bin/sh\ntrue\n");
    place.write("interpreted", format!("#!{}\nx\n", place.path("prog").display()));
    place.write("data", "data\n");
    let executable = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    };
    for name in ["prog", "interpreted"] {
        executable(name);
    }
    for name in ["mine/good.kdl", "prog", "data"] {
        std::os::unix::fs::symlink(place.path(name), place.path(&format!("{}-link", name.replace('/', "-"))))
            .expect("a link");
        std::fs::hard_link(place.path(name), place.path(&format!("{}-name", name.replace('/', "-")))).expect("a name");
    }
    let path = std::env::join_paths([place.dir.path().to_owned(), "/usr/bin".into(), "/bin".into()]).expect("a PATH");
    let refuses = |what: &str, output: &str, rest: &[&str]| {
        let mut line = vec!["record", "-o", output];
        line.extend(rest);
        let ran = finish(place.proclab(&line).env("PATH", &path)).code(2);
        assert!(ran.stderr.contains(&format!("it is {what}, which would be lost")), "{line:?}: {}", ran.stderr);
        assert_eq!(std::fs::read_to_string(place.path("mine/good.kdl")).expect("there"), GOOD, "{line:?}");
        assert_eq!(std::fs::read_to_string(place.path("prog")).expect("there"), "#!/bin/sh\ntrue\n", "{line:?}");
        assert_eq!(std::fs::read_to_string(place.path("data")).expect("there"), "data\n", "{line:?}");
    };
    for output in ["mine/good.kdl", "mine-good.kdl-link", "mine-good.kdl-name"] {
        refuses("the scenario", output, &["mine/good.kdl"]);
    }
    for output in ["./prog", "prog-link", "prog-name"] {
        refuses("the program", output, &["--", "prog"]);
        refuses("the program", output, &["--", "./prog-link"]);
        refuses("the program", output, &["--", "./interpreted"]);
        refuses("an argument of the program", output, &["--", "sh", "prog"]);
    }
    for output in ["data", "data-link", "data-name"] {
        refuses("an argument of the program", output, &["--", "cat", "/dev/null", "data"]);
        refuses("an argument of the program", output, &["--", "dd", "if=data"]);
        let input = std::fs::File::open(place.path("data")).expect("there");
        let ran = finish(place.proclab(&["record", "-o", output, "--", "cat"]).stdin(input)).code(2);
        assert!(ran.stderr.contains("it is standard input, which would be lost"), "{}", ran.stderr);
        assert_eq!(std::fs::read_to_string(place.path("data")).expect("there"), "data\n");
    }
    // Of a scenario that is the user's the library knows the file.
    place.write(".local/share/proclab/scenarios/mine/own.kdl", GOOD);
    refuses("the scenario", ".local/share/proclab/scenarios/mine/own.kdl", &["own"]);
    // Nobody can know what a program reads without being told: so what is no recording stays.
    for command in [&["true"][..], &["sh", "-c", "cat <data"]] {
        let ran = place.run(&[&["record", "-o", "data-name", "--"], command].concat()).code(2);
        assert!(ran.stderr.contains("it is there already and is no recording of proclab"), "{}", ran.stderr);
        assert_eq!(std::fs::read_to_string(place.path("data")).expect("there"), "data\n");
    }
    // An empty file and an older recording are what -o is for.
    place.write("log", "");
    for command in ["true", "ls"] {
        place.run(&["record", "-o", "log", "--", command]).code(0);
        assert_eq!(read_events(&place.path("log"))[0]["command"][0], command);
    }
}

/// Until the run has begun an older recording stays.
#[test]
fn a_run_that_does_not_begin_takes_the_place_of_no_recording() {
    let place = Place::new();
    place.run(&["record", "-o", "log", "--", "true"]).code(0);
    let before = std::fs::read(place.path("log")).expect("there");
    let wrapped = std::process::Command::new(super::refusals::deny())
        .args([&libc::SYS_ptrace.to_string(), "1", env!("CARGO_BIN_EXE_proclab"), "record", "-o"])
        .arg(place.path("log"))
        .args(["--", "true"])
        .output()
        .expect("it starts");
    assert_eq!(wrapped.status.code(), Some(3), "{wrapped:?}");
    assert_eq!(std::fs::read(place.path("log")).expect("there"), before);
}

/// A command gets its standard streams as they are, also where they are closed.
#[test]
fn closed_streams_stay_closed() {
    let place = Place::new();
    let look = "n=0; for i in 0 1 2; do n=$((2*n)); [ -e /proc/$$/fd/$i ] && n=$((n+1)); done; exit $n";
    for (closed, open) in [("<&-", 3), (">&-", 5), ("2>&-", 6), ("<&- >&- 2>&-", 0), ("", 7)] {
        let script = format!("exec \"$0\" record -q -o log -- sh -c '{look}' {closed}");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_proclab")]);
        place.settle(&mut command);
        assert_eq!(command.stdin(Stdio::null()).status().expect("it starts").code(), Some(open), "{closed}");
    }
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$0\" record -- true >&-", env!("CARGO_BIN_EXE_proclab")]);
    place.settle(&mut command);
    let ran = finish(&mut command).code(3);
    assert!(ran.stderr.contains("cannot write to standard output: it is closed"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_loaded_is_told_apart() {
    let place = Place::new();
    place.write("script", "#!/nonexistent/interpreter\n");
    std::fs::set_permissions(place.path("script"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    for (what, why) in [
        ("./script", "what it names as its interpreter is not there"),
        ("./none", "there is no such program"),
        (".", "it is a directory"),
    ] {
        let ran = place.run(&["record", "-o", "log", "--", what]).code(2);
        assert!(ran.stderr.contains(why), "{what}: {}", ran.stderr);
    }
}

/// Two labs do not write into one file; devices are everybody's.
#[test]
fn a_file_belongs_to_one_recording_at_a_time() {
    let place = Place::new();
    let start = |output: &str| {
        let mut command = place.proclab(&["record", "-o", output, "--", "sh", "-c", "echo ready; read line"]);
        let mut lab = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
        let mut said = [0; 6];
        lab.stdout.as_mut().expect("piped").read_exact(&mut said).expect("it is ready");
        lab
    };
    let mut lab = start("log");
    std::os::unix::fs::symlink("log", place.path("link")).expect("a link");
    for output in ["log", "link"] {
        let ran = place.run(&["record", "-o", output, "--", "true"]).code(2);
        assert!(ran.stderr.contains("another run is being recorded there"), "{}", ran.stderr);
    }
    drop(lab.stdin.take());
    lab.wait().expect("it ends");
    let events = read_events(&place.path("log"));
    assert!(named(&events, "exec").iter().any(|event| event["argv"][2] == "echo ready; read line"));
    place.run(&["record", "-o", "log", "--", "true"]).code(0);
    assert_eq!(read_events(&place.path("log"))[0]["command"][0], "true", "it is free again");
    let mut lab = start("/dev/null");
    place.run(&["record", "-o", "/dev/null", "--", "true"]).code(0);
    drop(lab.stdin.take());
    lab.wait().expect("it ends");
}
