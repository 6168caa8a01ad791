//! Groups, sessions, controlling terminals and foreground groups against `/proc/PID/stat`.

use std::collections::BTreeMap;
use std::time::Duration;

use proclab::control::Subject;
use proclab::control::{Command, Session, Start, Terminal, Update};
use proclab::model::{Channel, ChannelKind, End, Event, Kind, Log, Monitor, Status, Why, World};
use proclab::sys::{peek, procfs, terminal};

use super::{ALONE, compare_steps, compare_steps_of, support};

/// What the kernel says of each process is what the world says.
pub fn compare(world: &World, pids: &BTreeMap<i32, i32>, when: &str) {
    // The kernel's device numbers by the log's channels.
    let mut devices = BTreeMap::new();
    // Before its first exec nothing is known of a program.
    for task in world.living().filter(|task| task.is_process() && task.is_alive() && task.pgid != 0) {
        let about = format!("{when}: process {}", task.pid);
        let Some(status) = pids.get(&task.pid).and_then(|pid| procfs::status(*pid)) else {
            panic!("{about} is not there")
        };
        assert_eq!(Some(&task.pgid), status.ns_pgids.last(), "{about}: pgrp");
        assert_eq!(Some(&task.sid), status.ns_sids.last(), "{about}: session");
        let kernel = procfs::terminal(pids[&task.pid]);
        assert_eq!(task.terminal.is_some(), kernel.is_some(), "{about}: tty_nr");
        let (Some(channel), Some((device, foreground))) = (task.terminal, kernel) else { continue };
        assert_eq!(*devices.entry(channel).or_insert(device), device, "{about}: tty_nr");
        let known = world.channel(channel).map(|terminal| terminal.tty.foreground).expect("a terminal");
        match inside(pids, foreground) {
            Some(foreground) => assert_eq!(known, foreground, "{about}: tpgid"),
            // Outside of its namespace a group that nobody is left in has another number.
            None if pids[&task.pid] != task.pid => {
                assert!(world.living().all(|task| task.pgid != known), "{about}: group {known} is not gone");
            }
            None => assert_eq!(known, foreground, "{about}: tpgid"),
        }
    }
}

/// What waits in a pseudo-terminal of the run, and its mode.
pub fn compare_pty(world: &World, channel: &Channel, pids: &BTreeMap<i32, i32>, about: &str) {
    let end = |end: End| {
        let (task, fd) = world.holders(channel.id).find(|(_, fd)| fd.end == end)?;
        Some(peek::borrow(*pids.get(&task.pid)?, fd.fd).expect("pidfd_getfd"))
    };
    let Some(Monitor::Terminal { asked, known: true }) = channel.monitor.as_deref() else {
        panic!("{about}: nothing is known: {:?}", channel.monitor)
    };
    for (which, known) in [(End::First, asked.output), (End::Second, asked.input)] {
        let Some(fd) = end(which) else { continue };
        assert_eq!(known, peek::waiting(&fd).ok().map(|count| count as u32), "{about}: FIONREAD of {which:?}");
        assert_eq!(asked.ready[which.index()], peek::is_readable(&fd), "{about}: POLLIN of {which:?}");
        assert_eq!(asked.canonical, terminal::is_canonical(&fd), "{about}: ICANON at {which:?}");
    }
}

/// A process group as the run itself sees it.
fn inside(pids: &BTreeMap<i32, i32>, pgid: i32) -> Option<i32> {
    let mut groups = pids.values().filter_map(|pid| procfs::status(*pid)).map(|status| status.ns_pgids);
    groups.find(|groups| groups.first() == Some(&pgid))?.last().copied()
}

/// A shell with job control on the lab's terminal, key by key: each is typed when nobody can move.
#[test]
fn a_shell_and_its_jobs() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let keys = [
        "sleep 100\n",
        "\x1a",
        "bg\n",
        "sleep 200 | cat &\n",
        "fg %1\n",
        "\x03",
        "fg %2\n",
        "\x1a",
        "kill %2\n",
        "cat &\n",
        "fg\n",
        "word\n",
        "\x04",
        "(setsid sleep 300 &)\n",
        "exit\n",
    ];
    let mut keys = keys.iter();
    let mut plan = support::plan(support::command(&["bash", "--norc", "--noprofile", "--noediting"]));
    plan.serial = true;
    plan.start = Start::Paused;
    plan.terminal = Some(Terminal { attended: true, ..Terminal::default() });
    let session = Session::start(plan).expect("the run starts");
    let mut log = Log::new(session.header().clone());
    let (mut steps, mut last) = (0, "");
    loop {
        match session.updates().recv_timeout(Duration::from_mins(1)).expect("the session goes on") {
            Update::Batch(batch) => log.append(&batch),
            Update::Status(status) => {
                steps += 1;
                // There is no namespace; orphans are no longer below this process.
                let pids = log.head().living().map(|task| (task.pid, task.pid)).collect();
                compare(log.head(), &pids, &format!("step {steps}, after {last:?}"));
                if status.next.is_empty() {
                    let Some(next) = keys.next() else { break };
                    last = next;
                    session.send(Command::Type(next.as_bytes().to_vec()));
                } else {
                    session.send(Command::Step(None));
                }
            }
            Update::Ended(ending) => panic!("{ending:?} after {last:?}"),
        }
    }
    assert!(last.starts_with("exit"), "{last}");
}

/// A scenario whose only subject is one terminal: lines, echo, erasing, end-of-file, hanging up.
#[test]
fn what_waits_in_a_terminal_is_what_the_kernel_says() {
    let scenario = support::scenario_of(
        r#"
process user {
    pty t
    fork program {
        close t.master
        read t.slave bytes=64 into=line
        write t.slave line
        read t.slave bytes=64
        sleep 1
        write t.slave "bye\n"
        exit 0
    }
    close t.slave
    sleep 1
    write t.master "wrodx\u{7f}\u{7f}\u{7f}ord"
    sleep 1
    write t.master "\n"
    read t.master bytes=64
    sleep 1
    write t.master "\u{4}"
    read t.master bytes=64
    wait program
    read t.master fails=EIO
}
expect { exited user code=0 }
"#,
    );
    for seed in 0..5 {
        compare_steps_of(&scenario, "one terminal", seed);
    }
}

/// A role of `fixtures/ptys.c`, step by step.
fn steps_of(role: &str, seed: u64) -> Log {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("ptys");
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ptys.c");
    let built = std::process::Command::new("cc").arg("-O1").arg("-o").arg(&program).arg(source).status();
    assert!(built.expect("cc").success());
    let log = compare_steps(Subject::Command(vec![program.into(), role.into()]), role, seed);
    let failed = |event: &Event| matches!(event.kind, Kind::Exit { status } if status != Status::Code(0));
    assert!(!log.range(0..log.len()).any(|(_, event)| failed(event)), "it failed");
    log
}

/// The descriptors that led to each terminal with a master in the run: number and end, in the order in
/// which they were opened.
fn ends(log: &Log) -> Vec<Vec<(i32, End)>> {
    let is_pty = |channel: &&Channel| channel.kind == ChannelKind::Terminal && channel.tty.master;
    let ptys = log.head().channels().filter(is_pty).map(|channel| channel.id);
    let opened = |id| {
        let opens = log.range(0..log.len()).filter_map(|(_, event)| match event.kind {
            Kind::Open { fd, channel, end, .. } if channel == id => Some((fd, end)),
            _ => None,
        });
        opens.collect()
    };
    ptys.map(opened).collect()
}

#[test]
fn each_pair_is_a_channel_whatever_path_leads_to_it() {
    let log = steps_of("paths", 0);
    // The master, its slave by name, by TIOCGPTPEER and as /dev/tty; the second pair by way of devpts.
    let (first, second) = (End::First, End::Second);
    assert_eq!(
        ends(&log),
        [
            vec![(10, first), (11, second), (12, second), (13, second)],
            vec![(20, first), (21, second)],
            // With the number of the one before, which is gone.
            vec![(20, first), (21, second)],
        ]
    );
    let counts: Vec<_> =
        log.head().channels().filter(|it| it.tty.master).map(|it| (it.tty.written, it.tty.read, it.alive)).collect();
    assert_eq!(counts, [([6, 4], [12, 6], false), ([0, 5], [0, 0], false), ([3, 0], [0, 3], false)]);
}

#[test]
fn sleepers_at_a_terminal_say_who_could_wake_them() {
    let mut told = Vec::new();
    // Who is first differs, so both sleep sooner or later.
    for seed in 0..6 {
        sleepers(&steps_of("sleepers", seed), &mut told);
    }
    told.sort();
    told.dedup();
    assert_eq!(told, ["ptys empty pty ptys#2 false", "ptys#2 empty pty ptys false"]);
}

fn sleepers(log: &Log, told: &mut Vec<String>) {
    let mut world = log.world_at(0);
    for (_, event) in log.range(0..log.len()) {
        world.apply(event, log.payload(event));
        if let Kind::Block { why: why @ Why::Empty, channel: Some(channel), .. } = event.kind {
            let wakers = world.wakers(event.task).expect("it sleeps");
            let names: Vec<_> = wakers.tasks.iter().map(|id| log.name(world.task(*id).expect("it").name)).collect();
            let sleeper = log.name(world.task(event.task).expect("it").name);
            let kind = world.channel(channel).expect("it").kind.as_str();
            told.push(format!("{sleeper} {} {kind} {} {}", why.as_str(), names.join(" "), wakers.outside));
        }
    }
}

/// A program that makes a terminal for another, with everything that the C library does for that.
#[test]
fn script_of_util_linux_and_its_shell_meet_at_one_terminal() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let subject = support::command(&["script", "-qec", "printf 'one\\ntwo\\n' > /dev/tty", "/dev/null"]);
    let (log, ending) = support::run(support::plan(subject));
    assert_eq!(ending.outcome, proclab::control::Outcome::Done);
    let mut ptys = log.head().channels().filter(|channel| channel.tty.master);
    let pty = ptys.next().expect("a terminal");
    assert!(ptys.next().is_none() && !pty.alive);
    let controls = |event: &Event| matches!(event.kind, Kind::Control { channel } if channel == Some(pty.id));
    assert!(log.range(0..log.len()).any(|(_, event)| controls(event)), "it controls the session of the shell");
    assert_eq!((pty.tty.written[1], pty.tty.read[0]), (8, 10), "the terminal makes CR NL of NL");
    let ends: Vec<End> = ends(&log).into_iter().flatten().map(|(_, end)| end).collect();
    // `ptmx`, the slave, and `/dev/tty`, which bash opens for itself too.
    assert!(ends.len() > 2 && ends[0] == End::First && ends[1..].iter().all(|end| *end == End::Second), "{ends:?}");
}

/// Of the lab's own terminal the log says whether it is read line by line, as `stty` sets it.
#[test]
fn the_mode_of_the_labs_terminal() {
    let mut plan = support::plan(support::command(&["sh", "-c", "stty -icanon; stty icanon; stty -icanon"]));
    plan.serial = true;
    plan.terminal = Some(Terminal { attended: true, ..Terminal::default() });
    let (log, _) = support::run(plan);
    let mode = |event: &Event| match event.kind {
        Kind::Monitor { told: proclab::model::Told::Terminal(asked), .. } => Some(asked.canonical),
        _ => None,
    };
    let modes: Vec<bool> = log.range(0..log.len()).filter_map(|(_, event)| mode(event)).collect();
    assert_eq!(modes, [true, false, true, false]);
}
