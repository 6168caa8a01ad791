//! What children inherit, and what outlives its owner: mistakes that programs really make, and their right twins.

#[path = "support/foreign.rs"]
mod foreign;

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use foreign::{Fixture, compare, events};

/// The rules about what is inherited.
const RULES: [&str; 15] = [
    "address-in-use",
    "broken-pipe",
    "buffer-copied-by-fork",
    "goes-on-after-failed-exec",
    "ignore-inherited-over-exec",
    "lock-outlives-owner",
    "message-of-another-type",
    "only-shell-killed",
    "orphan",
    "pipe-kept-open",
    "private-memory",
    "process-one",
    "signal-before-handler",
    "status-lost",
    "stopped-by-terminal",
];

/// The faults that these rules found: rule and sentence.
fn faults(log: &str) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    events(log)
        .filter(|event| event["event"] == "diagnosis" && event["weight"] == "fault")
        .map(|event| (text(&event["rule"]), text(&event["text"])))
        .filter(|(rule, _)| RULES.contains(&rule.as_str()))
        .collect()
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| foreign::compile("inherited"))
}

/// The one fault of `role`, and none of its right twin.
fn wrong_and_right(role: &str) -> (String, String) {
    let path = fixture().role(role);
    assert_eq!(faults(&compare(&[path[0], role, "right"])), [], "{role}, done right");
    let found = faults(&compare(&path));
    assert_eq!(found.len(), 1, "{role}: {found:?}");
    found.into_iter().next().expect("one")
}

/// Records what never ends by itself.
fn cut(words: &[&str], options: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_proclab"));
    command.arg("record").arg("-o").arg(&file).args(options).arg("--").args(words).current_dir(directory.path());
    command.stdin(Stdio::null()).output().expect("it starts");
    let log = std::fs::read_to_string(&file).expect("a recording");
    remove_objects(&log);
    log
}

/// Removes the queues and semaphores that a program did not come to remove.
fn remove_objects(log: &str) {
    for got in events(log).filter(|event| event["event"] == "get") {
        let option = if got["call"] == "msgget" { "-q" } else { "-s" };
        // The lab may have done so.
        let removed = Command::new("ipcrm").args([option, &got["id"].to_string()]).stderr(Stdio::null()).status();
        assert!(removed.is_ok(), "ipcrm(1) of util-linux");
    }
}

fn assert_says(found: &(String, String), rule: &str, parts: &[&str]) {
    assert_eq!(found.0, rule);
    for part in parts {
        assert!(found.1.contains(part), "{part}: {}", found.1);
    }
}

#[test]
fn a_pipe_that_a_grandchild_keeps() {
    let found = wrong_and_right("pipe-kept");
    assert_says(
        &found,
        "pipe-kept-open",
        &["inherited waited for the end of pipe", "held by inherited#3 as descriptor 4"],
    );
    assert_eq!(faults(&compare(&fixture().role("pipe-used"))), []);
}

#[test]
fn a_shell_that_is_killed_alone() {
    let script = |group: &str| {
        format!(
            "import subprocess, os, signal\n\
             p = subprocess.Popen('sleep 60; true', shell=True, stdout=subprocess.PIPE, start_new_session={group})\n\
             while not any(open(f'/proc/{{c}}/comm').read() == 'sleep\\n' for c in \
             open(f'/proc/{{p.pid}}/task/{{p.pid}}/children').read().split()): pass\n\
             os.killpg(p.pid, signal.SIGKILL) if {group} else p.kill()\n\
             print(p.wait())\n"
        )
    };
    assert_eq!(faults(&cut(&["python3", "-c", &script("True")], &["--timeout", "60"])), []);
    let found = faults(&cut(&["python3", "-c", &script("False")], &["--timeout", "5"]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_says(&found[0], "only-shell-killed", &["python3 sent SIGKILL to sh alone", "its child sleep lives on"]);
}

#[test]
fn an_address_that_somebody_has() {
    let found = wrong_and_right("address-kept");
    let parts = ["EADDRINUSE", "held by inherited#3, which has inherited the listening socket as descriptor"];
    assert_says(&found, "address-in-use", &parts);
    assert_says(&wrong_and_right("address-left"), "address-in-use", &["inherited#2 has left the socket file behind"]);
    assert_eq!(faults(&compare(&fixture().role("address-next"))), []);
}

#[test]
fn a_status_that_is_lost() {
    assert_says(&wrong_and_right("status"), "status-lost", &["ECHILD", "ignores SIGCHLD"]);
    assert_says(&wrong_and_right("status-taken"), "status-lost", &["the handler of SIGCHLD has waited for it"]);
    assert_eq!(faults(&compare(&fixture().role("all-over"))), []);
}

#[test]
fn signals_that_are_ignored_over_an_exec() {
    // Perl itself sets SIGCHLD back when it is loaded.
    let (path, lost) = (fixture().role("status"), "$SIG{CHLD} = 'IGNORE'; exec @ARGV or die");
    let found = faults(&compare(&["perl", "-e", lost, path[0], "status", "right"]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_says(
        &found[0],
        "status-lost",
        &["had SIGCHLD ignored before it loaded its program, and execve(2) keeps that"],
    );
    let script = |signal: &str, then: &str| format!("$SIG{{{signal}}} = 'IGNORE'; exec 'perl', '-e', '{then}' or die");
    let pipe = "pipe(R, W); close R; syswrite(W, \"x\") // exit 1";
    let found = faults(&compare(&["perl", "-e", &script("PIPE", pipe)]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_says(&found[0], "ignore-inherited-over-exec", &["EPIPE instead of SIGPIPE"]);
    let own = format!("$SIG{{PIPE}} = \"IGNORE\"; {pipe}");
    assert_eq!(faults(&compare(&["perl", "-e", &script("PIPE", &own)])), []);
}

#[test]
fn what_stands_in_a_buffer_at_the_fork() {
    assert_says(&wrong_and_right("buffer"), "buffer-copied-by-fork", &["both write \"begin\\n\" to stdout"]);
    for role in ["buffer-same", "buffer-left"] {
        assert_eq!(faults(&compare(&fixture().role(role))), [], "{role}");
    }
}

#[test]
fn a_child_that_goes_on() {
    let found = wrong_and_right("exec");
    let parts = ["goes on in the code of inherited", "/nonexistent has failed (ENOENT)", "waits for children"];
    assert_says(&found, "goes-on-after-failed-exec", &parts);
    for shell in ["sh", "bash"] {
        assert_eq!(faults(&compare(&[shell, "-c", "/nonexistent; nosuchcommand | cat; exit 3"])), [], "{shell}");
    }
}

#[test]
fn a_message_that_nobody_waits_for() {
    let path = fixture().role("message");
    assert_eq!(faults(&compare(&[path[0], "message", "right"])), []);
    let found = faults(&cut(&path, &["--timeout", "2"]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_says(
        &found[0],
        "message-of-another-type",
        &["for a message of type 2", "one of type 1 from inherited waits"],
    );
}

#[test]
fn a_signal_that_is_too_early() {
    let found = wrong_and_right("early");
    assert_says(
        &found,
        "signal-before-handler",
        &["inherited#3 was ended by SIGUSR1 from inherited before it had set"],
    );
}

#[test]
fn locks_that_outlive_their_owner() {
    let found = wrong_and_right("lock");
    assert_says(&found, "lock-outlives-owner", &["is refused the lock on", "cat has inherited it with descriptor"]);
    let path = fixture().role("semaphore");
    assert_eq!(faults(&compare(&[path[0], "semaphore", "right"])), []);
    let found = faults(&cut(&path, &["--timeout", "2"]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_says(&found[0], "lock-outlives-owner", &["which inherited#2 took and did not give back before it ended"]);
}

#[test]
fn memory_of_which_each_has_a_copy() {
    let path = fixture().role("private");
    assert_eq!(faults(&compare(&[path[0], "private", "right"])), []);
    let found = faults(&cut(&path, &["--timeout", "2"]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_says(&found[0], "private-memory", &["in memory that only inherited has", "inherited and inherited#2"]);
}

#[test]
fn a_reader_that_has_had_enough() {
    for role in ["cut-write", "raises"] {
        assert_eq!(faults(&compare(&fixture().role(role))), [], "{role}");
    }
    let log = compare(&fixture().role("cut-write"));
    let is_it = |event: &serde_json::Value| event["event"] == "diagnosis" && event["rule"] == "broken-pipe";
    let noted: Vec<_> = events(&log).filter(is_it).collect();
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert_eq!(noted[0]["channels"].as_array().map(Vec::len), Some(1), "{noted:?}");
    for words in
        ["cat /dev/zero | head -c 10000 | wc -c", "yes 2>&1 | head -1; dd if=/dev/zero bs=1M | head -c 1 | wc -c"]
    {
        assert_eq!(faults(&compare(&["sh", "-c", words])), [], "{words}");
    }
}

#[test]
fn children_that_are_left_behind() {
    assert_eq!(faults(&compare(&fixture().role("helper"))), []);
    let found = wrong_and_right("late");
    assert_says(&found, "orphan", &["inherited ended before inherited#2 was done, which then wrote to stdout"]);
    let passes =
        "(while sleep 0.2; do :; done) & k=$!; trap 'kill $k; wait $k 2>/dev/null' EXIT; sleep 0.5; echo worked";
    assert_eq!(faults(&compare(&["bash", "-c", passes])), []);
}

#[test]
fn programs_that_do_not_know_what_they_have() {
    let found = wrong_and_right("pipe-unknown");
    let parts = ["inherited waited for the end of pipe", "held by sleep as descriptor 4", "never used", "O_CLOEXEC"];
    assert_says(&found, "pipe-kept-open", &parts);
    let found = wrong_and_right("lock-again");
    assert_says(
        &found,
        "lock-outlives-owner",
        &["that it had itself", "sleep has inherited the lock with descriptor 3"],
    );
    let found = wrong_and_right("unheeded");
    let parts = ["inherited sent SIGTERM to sleep and waited for its end", "inherited has set SIGTERM to SIG_IGN"];
    assert_says(&found, "ignore-inherited-over-exec", &parts);
    assert_eq!(faults(&compare(&["sh", "-c", "nohup sleep 0.1 & kill -HUP $!; wait"])), []);
}

#[test]
fn a_child_that_its_parent_has_stopped() {
    let path = fixture().role("halted");
    assert_eq!(faults(&compare(&[path[0], "halted", "right"])), []);
    let found = faults(&cut(&path, &["--timeout", "2"]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_says(&found[0], "stopped-by-terminal", &["stopped by SIGSTOP from inherited, which waits for the end"]);
}

#[test]
fn ordinary_commands_are_right() {
    for words in [
        "ls / | sort | head -2 >/dev/null; echo done",
        "(echo a; echo b) | while read x; do echo $x; done; x=$(echo out; (exit 3) & wait $!); echo $x $?",
        "trap : CHLD; for i in 1 2 3; do (exit 0) & done; wait; exit 2",
    ] {
        for shell in ["sh", "bash"] {
            assert_eq!(faults(&compare(&[shell, "-c", words])), [], "{shell} -c {words}");
        }
    }
}
