//! Output that nobody reads: the lab hears what asks it to end, and says what was not written.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Place, end_of, pid_of, send};

/// Waits until the lab takes its signals itself.
fn until_it_listens(lab: &Child) {
    let pid = lab.id();
    let listens = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
        let comm = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        tasks.flatten().any(|task| comm(task) == "signals\n")
    };
    while !listens() {
        std::thread::yield_now();
    }
}

/// A pipe, closed in others.
fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe")
}

fn has_room(write: &OwnedFd) -> bool {
    let mut entry = [PollFd::new(write.as_fd(), PollFlags::POLLOUT)];
    poll(&mut entry, PollTimeout::ZERO).expect("poll") == 1
}

fn until_full(write: &OwnedFd) {
    while has_room(write) {
        std::thread::yield_now();
    }
}

/// Waits until the pipe is full and the lab waits for room in it.
fn until_it_waits(lab: &Child, write: &OwnedFd) {
    until_full(write);
    let pid = lab.id();
    let waits = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
        let text = |task: &std::fs::DirEntry, name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let in_poll = |call: &str| {
            let number = call.split(' ').next().and_then(|number| number.parse::<libc::c_long>().ok());
            number == Some(POLL) || number == Some(libc::SYS_ppoll)
        };
        tasks.flatten().any(|task| text(&task, "comm") == "tracer\n" && in_poll(&text(&task, "syscall")))
    };
    while !waits() {
        std::thread::yield_now();
    }
}

#[cfg(target_arch = "x86_64")]
const POLL: libc::c_long = libc::SYS_poll;
/// There is only the other.
#[cfg(not(target_arch = "x86_64"))]
const POLL: libc::c_long = libc::SYS_ppoll;

fn said_by(lab: &mut Child) -> String {
    let mut said = String::new();
    lab.stderr.take().expect("piped").read_to_string(&mut said).expect("read");
    said
}

#[test]
fn a_fifo_that_nobody_opens_is_not_waited_for() {
    let place = Place::new();
    nix::unistd::mkfifo(&place.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    for (args, signal, code) in
        [(&[][..], Some(libc::SIGTERM), 143), (&[], Some(libc::SIGINT), 130), (&["--timeout", "1"], None, 1)]
    {
        let args = [&["record", "-o", "fifo"], args, &["--", "touch", "ran"]].concat();
        let mut lab = place.lab(&args).stderr(Stdio::piped()).spawn().expect("started");
        until_it_listens(&lab);
        if let Some(signal) = signal {
            send(pid_of(&lab), signal);
        }
        assert_eq!(end_of(&mut lab).code(), Some(code), "{args:?}");
        let said = said_by(&mut lab);
        assert!(said.contains("nobody has opened fifo for reading"), "{said}");
        assert!(!place.path("ran").exists());
    }
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_the_lab() {
    let busy = "x=0; while :; do x=$((x+1)); kill -0 $$; done";
    for (args, signal, code) in [
        (&[][..], Some(libc::SIGTERM), 143),
        (&[], Some(libc::SIGHUP), 129),
        (&[], Some(libc::SIGINT), 130),
        (&["--timeout", "2"], None, 1),
    ] {
        let place = Place::new();
        let (read, write) = pipe();
        let args = [&["record"], args, &["--", "sh", "-c", busy]].concat();
        let mut command = place.lab(&args);
        command.stdout(write.try_clone().expect("a copy")).stderr(Stdio::piped());
        let mut lab = command.spawn().expect("started");
        drop(command);
        if let Some(signal) = signal {
            until_it_waits(&lab, &write);
            send(pid_of(&lab), signal);
        }
        assert_eq!(end_of(&mut lab).code(), Some(code), "{args:?}");
        drop(write);
        let said = said_by(&mut lab);
        let counts = said.split("proclab: ").find_map(|text| text.split_once(" events were not written to standard"));
        let (lost, all) = counts.and_then(|(counts, _)| counts.split_once(" of ")).expect(&said);
        let [lost, all] = [lost, all].map(|text| text.parse::<usize>().expect("a number"));
        let mut log = String::new();
        File::from(read).read_to_string(&mut log).expect("read");
        let whole = log.matches('\n').count();
        assert_eq!(whole - 1 + lost, all, "{said}");
        assert!(lost > 0 && whole > 100);
    }
}

#[test]
fn sentences_that_nobody_reads_do_not_keep_the_lab() {
    for (args, signal, code) in [(&["--timeout", "1"][..], None, 1), (&[], Some(libc::SIGTERM), 143)] {
        let place = Place::new();
        let (_read, write) = pipe();
        let full = write.try_clone().expect("a copy");
        nix::fcntl::fcntl(&full, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).expect("set");
        while nix::unistd::write(&full, &[b'x'; 4096]).is_ok() {}
        nix::fcntl::fcntl(&full, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).expect("set");
        let args = [&["record", "-o", "log"], args, &["--", "sleep", "60"]].concat();
        let mut lab = place.lab(&args).stderr(write).spawn().expect("started");
        if let Some(signal) = signal {
            until_it_listens(&lab);
            send(pid_of(&lab), signal);
        }
        assert_eq!(end_of(&mut lab).code(), Some(code), "{args:?}");
    }
}

#[test]
fn a_reader_that_is_only_slow_gets_the_whole_log() {
    let place = Place::new();
    let (read, write) = pipe();
    let mut command = place.lab(&["record", "--", "sh", "-c", "while :; do kill -0 $$; done"]);
    command.stdout(write.try_clone().expect("a copy")).stderr(Stdio::piped());
    let mut lab = command.spawn().expect("started");
    drop(command);
    until_full(&write);
    drop(write);
    send(pid_of(&lab), libc::SIGTERM);
    let mut lines = BufReader::new(File::from(read)).lines();
    let last = lines.by_ref().map(|line| line.expect("text")).last().expect("lines");
    serde_json::from_str::<serde_json::Value>(&last).expect("a whole line");
    assert_eq!(end_of(&mut lab).code(), Some(143));
    let said = said_by(&mut lab);
    assert!(!said.contains("not written"), "{said}");
}

#[test]
fn output_that_nobody_reads_does_not_keep_the_lab() {
    let place = Place::new();
    let text = "x".repeat(200);
    std::fs::write(place.path("loud.kdl"), format!("process a {{ forever {{ print \"{text}\" }} }}\n"))
        .expect("written");
    let (read, write) = pipe();
    let mut command = place.lab(&["record", "-o", "log", "./loud.kdl"]);
    command.stdout(write.try_clone().expect("a copy")).stderr(Stdio::piped());
    let mut lab = command.spawn().expect("started");
    drop(command);
    until_it_waits(&lab, &write);
    send(pid_of(&lab), libc::SIGTERM);
    assert_eq!(end_of(&mut lab).code(), Some(143));
    let said = said_by(&mut lab);
    assert!(said.contains(" bytes of what the run printed were not passed on"), "{said}");
    drop(read);
}

#[test]
fn results_that_nobody_reads_do_not_keep_the_lab() {
    let place = Place::new();
    let (read, write) = pipe();
    while has_room(&write) {
        nix::unistd::write(&write, &[0; 4096]).expect("written");
    }
    let mut command = place.lab(&["check", "pipes/one-pipe"]);
    command.stdout(write.try_clone().expect("a copy"));
    let mut lab = command.spawn().expect("started");
    drop(command);
    until_it_listens(&lab);
    send(pid_of(&lab), libc::SIGTERM);
    assert_eq!(end_of(&mut lab).code(), Some(143));
    drop(read);
}

#[test]
fn the_log_of_a_killed_lab_lacks_256_events_at_most() {
    for count in [1, 30, 700, 3000] {
        let place = Place::new();
        let program = format!("open F, '>', 'out'; syswrite F, '.' for 1..{count}; kill 9 => getppid; sleep 1000");
        let mut lab = place.lab(&["record", "-q", "-o", "log", "--", "perl", "-e", &program]).spawn().expect("started");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&end_of(&mut lab)), Some(libc::SIGKILL));
        let log = std::fs::read_to_string(place.path("log")).expect("the log");
        let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let written = whole.filter(|line| line.contains("\"event\":\"write\"") && line.contains("/out\"")).count();
        assert!(written + 256 >= count && written <= count, "{written} of {count}");
        assert!(log.lines().count() > 5, "more than the header");
    }
}
