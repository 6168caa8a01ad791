//! Descriptors that tell of something else against the kernel: what `fdinfo` says, and what poll(2) does.

use std::path::Path;
use std::process::Command;

use proclab::control::Subject;
use proclab::model::{ChannelKind, Event, Fd, Kind, Log, Monitor, Task, Why, World};
use proclab::sys::fdinfo::{FdInfo, fdinfo};
use proclab::sys::{peek, procfs};

use super::compare_steps;

pub fn compare(world: &World, task: &Task, fd: &Fd, pid: i32, about: &str) {
    let channel = world.channel(fd.channel).expect("it is there");
    if let Some(kernel) = fdinfo(pid, fd.fd) {
        compare_told(world, task, channel.monitor.as_deref(), &kernel, about);
    }
    // A signalfd is ready for whoever asks, and that would be this process.
    if channel.kind == ChannelKind::Signalfd {
        return;
    }
    if let Some(known) = world.is_readable(task.id, fd.fd).filter(|_| fd.access.reads()) {
        let end = peek::borrow(pid, fd.fd).expect("pidfd_getfd");
        assert_eq!(known, peek::is_readable(&end), "{about}: readable");
    }
}

fn compare_told(world: &World, task: &Task, known: Option<&Monitor>, kernel: &FdInfo, about: &str) {
    match (known.unwrap_or_else(|| panic!("{about}: nothing is known")), kernel) {
        (Monitor::Counter { count, semaphore }, FdInfo::Eventfd(kernel, takes_one)) => {
            assert_eq!((*count, semaphore), (i128::from(*kernel), takes_one), "{about}: count");
        }
        (Monitor::Signals(known), FdInfo::Signalfd(kernel)) => assert_eq!(known, kernel, "{about}: mask"),
        (Monitor::Timer { due, interval, ticks }, FdInfo::Timerfd { left, interval: kernel, ticks: expired }) => {
            assert_eq!((interval, ticks), (kernel, expired), "{about}: timer");
            assert_eq!(due.is_some(), *left > 0, "{about}: armed");
        }
        (Monitor::Task(known), FdInfo::Pidfd(kernel)) => {
            // One that was reaped has no PID any more.
            let known = known.and_then(|known| world.task(known)).expect("a task of the run");
            let pid = procfs::status(*kernel).and_then(|status| status.ns_tids.last().copied());
            assert_eq!(pid.unwrap_or(-1), if *kernel == -1 { -1 } else { known.pid }, "{about}: process");
        }
        (Monitor::Interests(known), FdInfo::Epoll(kernel)) => {
            let mut known: Vec<_> = known.iter().map(|interest| (interest.fd, interest.events)).collect();
            let mut kernel = kernel.clone();
            known.sort_unstable();
            kernel.sort_unstable();
            assert_eq!(known, kernel, "{about}: interest list of {:?}", task.id);
        }
        (known, kernel) => panic!("{about}: {known:?} is not {kernel:?}"),
    }
}

/// A role of `fixtures/readiness.c`, step by step.
fn steps_of(role: &str) -> Log {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("readiness");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/readiness.c");
    assert!(Command::new("cc").arg("-O1").arg("-o").arg(&program).arg(source).status().expect("cc").success());
    compare_steps(Subject::Command(vec![program.into(), role.into()]), role, 0)
}

#[test]
fn what_descriptors_tell_of_is_what_fdinfo_says() {
    let log = steps_of("tell");
    let told = log.range(0..log.len()).filter(|(_, event)| matches!(event.kind, Kind::Monitor { .. })).count();
    assert!(told > 8, "{told}");
}

#[test]
fn positions_are_those_of_lseek() {
    let log = steps_of("positions");
    let moved = |name: &str| {
        let mut sums = (0, 0);
        for (_, event) in log.range(0..log.len()) {
            match event.kind {
                Kind::Read { bytes, .. } if event.call.is_some_and(|call| log.name(call) == name) => sums.0 += bytes,
                Kind::Write { bytes, .. } if event.call.is_some_and(|call| log.name(call) == name) => sums.1 += bytes,
                _ => {}
            }
        }
        sums
    };
    // What moves without passing through the program is in the log all the same, where it comes out and
    // where it goes in.
    let within = |event: &&Event| {
        let call = event.call.map_or("", |call| log.name(call));
        matches!(call, "sendfile" | "copy_file_range" | "splice")
    };
    let data = |event: &Event| match event.kind {
        Kind::Read { data, .. } => Some((false, String::from_utf8_lossy(log.bytes(data)).into_owned())),
        Kind::Write { data, .. } => Some((true, String::from_utf8_lossy(log.bytes(data)).into_owned())),
        _ => None,
    };
    let all: Vec<_> = log.range(0..log.len()).map(|(_, event)| event).filter(within).filter_map(data).collect();
    let parts = ["abcd", "012", "kl", "34567", "012", "bcd", "012", "efghi", "jk"];
    assert_eq!(
        all,
        parts.iter().flat_map(|part| [false, true].map(|way| (way, (*part).to_owned()))).collect::<Vec<_>>()
    );
    assert_eq!(moved("sendfile"), (14, 14));
    assert_eq!(moved("copy_file_range"), (7, 7));
    assert_eq!(moved("splice"), (9, 9));
    assert_eq!(moved("preadv2"), (7, 0));
    assert_eq!(moved("pwritev2"), (0, 7));
}

#[test]
fn sleepers_say_what_they_want() {
    let log = steps_of("blocked");
    let mut world = log.world_at(0);
    let mut told = Vec::new();
    for (_, event) in log.range(0..log.len()) {
        world.apply(event, log.payload(event));
        if let Kind::Block { why, .. } = event.kind
            && let Some(call) = event.call
            && !matches!(why, Why::Child)
        {
            let wakers = world.wakers(event.task).expect("it sleeps");
            let names: Vec<_> = wakers.tasks.iter().map(|id| log.name(world.task(*id).expect("it").name)).collect();
            told.push(format!("{} {} {} {}", log.name(call), why.as_str(), names.join(" "), wakers.outside));
        }
    }
    assert_eq!(
        told,
        [
            "read empty readiness false",
            "write full readiness false",
            "epoll_wait poll readiness false",
            "poll poll readiness false",
            "select poll readiness false",
        ]
    );
}
