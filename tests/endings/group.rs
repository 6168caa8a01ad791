//! Signals that a program on the bench sends to its own process group, which the lab is in, or to the lab.

use super::{Place, end_of};

/// Runs a Perl program in a session of its own, so that its group holds it and the lab alone; gives what it
/// printed. With nothing in front it runs without the lab.
fn printed(place: &Place, lab: &[&str], program: &str) -> String {
    let command = [&["-w"], lab, &["perl", "-e", program]].concat();
    let mut running = place.command("setsid", &command).stdout(std::process::Stdio::piped()).spawn().expect("started");
    let mut text = String::new();
    std::io::Read::read_to_string(running.stdout.as_mut().expect("piped"), &mut text).expect("read");
    let status = end_of(&mut running);
    assert!(status.success(), "{lab:?}: {status:?}");
    text
}

const RECORD: [&str; 6] = [env!("CARGO_BIN_EXE_proclab"), "record", "-q", "-o", "log", "--"];
const ISOLATED: [&str; 7] = [env!("CARGO_BIN_EXE_proclab"), "record", "-q", "--isolate", "-o", "log", "--"];

/// All signals that can be caught but SIGCHLD are ignored, and then sent.
fn all_to(group: &str) -> String {
    format!(
        "$| = 1; my @all = grep {{ $_ != 9 && $_ != 19 && $_ != 17 && $_ != 32 && $_ != 33 }} 1..64; \
         use POSIX; sigaction($_, POSIX::SigAction->new('IGNORE')) for @all; \
         for my $signal (@all) {{ kill($signal, {group}) or print \"$signal: $!\\n\" }} print \"alive\\n\""
    )
}

#[test]
fn signals_to_its_own_group_do_not_end_the_lab() {
    let place = Place::new();
    for group in ["0", "-getpgrp()"] {
        let program = all_to(group);
        let without = printed(&place, &[], &program);
        assert_eq!(without, "alive\n");
        assert_eq!(printed(&place, &RECORD, &program), without);
        assert!(place.log().iter().any(|event| event["event"] == "exit"));
    }
}

#[test]
fn nor_do_those_of_a_namespace_where_the_sender_has_another_number() {
    let place = Place::new();
    assert_eq!(printed(&place, &ISOLATED, &all_to("0")), "alive\n");
    assert!(place.log().iter().any(|event| event["event"] == "exit"));
}

#[test]
fn nor_do_those_of_a_child_that_is_gone_by_then() {
    let place = Place::new();
    let program = "$SIG{USR1} = $SIG{TERM} = 'IGNORE'; $| = 1; \
                   for (1..200) { unless (fork) { kill USR1 => 0; kill TERM => 0; exit } } 1 while wait > 0; \
                   print \"alive\\n\"";
    assert_eq!(printed(&place, &RECORD, program), "alive\n");
}

#[test]
fn a_program_that_signals_its_parent_finds_that_it_lives() {
    let place = Place::new();
    let program = "$| = 1; kill $_ => getppid for qw(QUIT TERM HUP INT USR1 ABRT ALRM PWR SEGV); print \"alive\\n\"";
    assert_eq!(printed(&place, &RECORD, program), "alive\n");
}
