//! The engine against the kernel: after every step the world is what `/proc`, `FIONREAD` and `tee` say.

#[path = "engine/locks.rs"]
mod locks;
#[path = "engine/readiness.rs"]
mod readiness;
#[path = "engine/sockets.rs"]
mod sockets;
mod support;
#[path = "engine/terminals.rs"]
mod terminals;

use std::collections::BTreeMap;
use std::sync::Mutex;

use proclab::control::{Command, Session, Start, Subject, Update};
use proclab::model::{Access, ChannelId, Log, State, Task, World};
use proclab::scenario::Scenario;
use proclab::sys::{peek, procfs};

/// Processes are found by what they are to this one, so there is one run at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What the kernel calls each end of a channel: device and inode.
type Links = BTreeMap<(ChannelId, usize), (u64, u64)>;

/// Every process below `root`, by its PID as it sees it itself.
fn family(root: i32) -> BTreeMap<i32, i32> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
            && let Some(status) = procfs::status(pid)
        {
            parents.insert(pid, status);
        }
    }
    let below = |pid: i32| {
        let mut at = pid;
        while let Some(status) = parents.get(&at) {
            if status.ppid == root {
                return true;
            }
            at = status.ppid;
        }
        false
    };
    parents
        .iter()
        .filter(|(pid, _)| below(**pid))
        .filter_map(|(pid, status)| Some((*status.ns_tids.last()?, *pid)))
        .collect()
}

/// Steps until the run is over, and compares after each step.
fn compare_every_step(name: &str, seed: u64) {
    compare_steps_of(&support::scenario(name), name, seed);
}

fn compare_steps_of(scenario: &Scenario, name: &str, seed: u64) {
    compare_steps(Subject::Scenario(Box::new(scenario.clone())), name, seed);
}

/// The same of any run; returns its log.
fn compare_steps(subject: Subject, name: &str, seed: u64) -> Log {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut plan = support::plan(subject);
    plan.serial = true;
    plan.seed = seed;
    plan.start = Start::Paused;
    let session = Session::start(plan).expect("the run starts");
    let mut log = Log::new(session.header().clone());
    let mut steps = 0;
    loop {
        match session.updates().recv().expect("the session goes on") {
            Update::Batch(batch) => log.append(&batch),
            Update::Status(_) => {
                compare(&log, &format!("{name}, seed {seed}, after {steps} steps"));
                steps += 1;
                session.send(Command::Step(None));
            }
            Update::Ended(_) => break,
        }
    }
    assert!(steps > 5, "{name} took {steps} steps only");
    log
}

fn compare(log: &Log, when: &str) {
    let world = log.head();
    let pids = family(std::process::id() as i32);
    let mut links = BTreeMap::new();
    // Before a program is loaded, its process is the lab's.
    let foreign = log.header().scenario.is_none();
    for task in world.living().filter(|task| !foreign || task.program.is_some()) {
        let Some(pid) = pids.get(&task.pid) else { panic!("{when}: {} is not there", log.name(task.name)) };
        let about = format!("{when}: {}", log.name(task.name));
        compare_state(task, *pid, &about);
        // Programs have inherited what whoever runs the tests ignores, real-time signals of his C library, say.
        if !foreign {
            compare_signals(world, task, *pid, &about);
        }
        compare_descriptors(world, task, *pid, &mut links, &about);
    }
    terminals::compare(world, &pids, when);
    locks::compare(world, &pids, &links, when);
    for channel in world.channels().filter(|channel| channel.alive && channel.tty.master && channel.holders > 0) {
        terminals::compare_pty(world, channel, &pids, &format!("{when}: channel {}", log.name(channel.name)));
    }
    for channel in
        world.channels().filter(|channel| channel.alive && (channel.kind.is_pipe() || channel.kind.is_socket()))
    {
        let about = format!("{when}: channel {}", log.name(channel.name));
        if channel.kind.is_socket() {
            sockets::compare(world, channel, &pids, &about);
        } else {
            compare_contents(world, channel.id, &pids, &about);
        }
    }
}

fn compare_state(task: &Task, pid: i32, about: &str) {
    let state = procfs::state(pid).map(char::from);
    match task.state {
        State::Blocked(_) => assert!(matches!(state, Some('S' | 't')), "{about} is blocked, but {state:?}"),
        State::Running | State::Stopped(_) => assert_eq!(state, Some('t'), "{about}"),
        State::Zombie => assert_eq!(state, Some('Z'), "{about}"),
        State::Dead => panic!("{about} is dead, but {state:?}"),
    }
}

fn compare_signals(world: &World, task: &Task, pid: i32, about: &str) {
    support::masks::compare(world, task, &procfs::status(pid).expect("it lives"), about);
}

fn compare_descriptors(world: &World, task: &Task, pid: i32, links: &mut Links, about: &str) {
    let kernel = procfs::fds(pid);
    let known: Vec<_> = world.fds(task.id).copied().collect();
    let numbers = |list: Vec<i32>| list;
    assert_eq!(
        numbers(known.iter().map(|fd| fd.fd).collect()),
        numbers(kernel.iter().map(|facts| facts.fd).collect()),
        "{about}: descriptors"
    );
    for (fd, facts) in known.iter().zip(&kernel) {
        let about = format!("{about}: descriptor {} ({})", fd.fd, facts.link.display());
        // `/dev/tty` is another name for a terminal, with an inode of its own.
        if facts.rdev != libc::makedev(5, 0) {
            let identity = *links.entry((fd.channel, fd.end.index())).or_insert(facts.identity);
            assert_eq!(identity, facts.identity, "{about}: leads elsewhere");
        }
        assert_eq!(fd.flags.cloexec, facts.flags & libc::O_CLOEXEC != 0, "{about}: close-on-exec");
        assert_eq!(fd.flags.nonblock, facts.flags & libc::O_NONBLOCK != 0, "{about}: O_NONBLOCK");
        let access = match facts.flags & libc::O_ACCMODE {
            libc::O_RDONLY => Access::Read,
            libc::O_WRONLY => Access::Write,
            _ => Access::ReadWrite,
        };
        assert_eq!(fd.access, access, "{about}: access");
        readiness::compare(world, task, fd, pid, &about);
        if facts.mode & libc::S_IFMT == libc::S_IFREG {
            assert_eq!(fd.position, facts.position, "{about}: position");
        }
    }
}

fn compare_contents(world: &World, channel: ChannelId, pids: &BTreeMap<i32, i32>, about: &str) {
    let known = world.channel(channel).expect("it is there");
    let Some((pid, fd)) = world
        .holders(channel)
        .find(|(_, fd)| fd.access.reads())
        .and_then(|(task, fd)| Some((*pids.get(&task.pid)?, fd.fd)))
    else {
        return;
    };
    let end = peek::borrow(pid, fd).expect("pidfd_getfd");
    assert_eq!(known.contents.len(), peek::waiting(&end).expect("FIONREAD"), "{about}: fill");
    let (prefix, _) = known.contents.prefix(65_536);
    let kernel = peek::pipe_contents(&end, prefix.len().max(1)).expect("tee");
    assert_eq!(prefix, kernel.get(..prefix.len()).unwrap_or(&kernel), "{about}: contents");
}

macro_rules! compare {
    ($($test:ident: $name:literal;)*) => {
        $(
            #[test]
            fn $test() {
                for seed in 0..2 {
                    compare_every_step($name, seed);
                }
            }
        )*
    };
}

compare! {
    one_pipe: "pipes/one-pipe";
    forgotten_write_end: "pipes/forgotten-write-end";
    shell_pipeline: "pipes/shell-pipeline";
    pipe_capacity: "pipes/pipe-capacity";
    pipe_buf_atomic: "pipes/pipe-buf-atomic";
    two_way_deadlock: "pipes/two-way-deadlock";
    sigpipe: "pipes/sigpipe";
    unrelated_rendezvous: "pipes/unrelated-rendezvous";
    fork_tree: "processes/fork-tree";
    exec_keeps_the_process: "processes/exec-keeps-the-process";
    shared_offset: "processes/shared-offset";
    zombie: "processes/zombie";
    daemon: "processes/daemon";
    graceful_shutdown: "signals/graceful-shutdown";
    handler_reentered: "signals/handler-reentered";
    long_handler: "signals/long-handler";
    mask_inherited: "signals/mask-inherited";
    whole_group: "signals/whole-group";
    self_pipe: "signals/self-pipe";
    real_time_order: "signals/real-time-order";
    mask_and_suspend: "signals/mask-and-suspend";
    alarm_pause_race: "signals/alarm-pause-race";
    alarm_timeout: "signals/alarm-timeout";
    sigchld_loop: "signals/sigchld-loop";
    reaper_race: "signals/reaper-race";
    fault_signals: "signals/fault-signals";
    signalfd: "signals/signalfd";
    names_and_numbers: "signals/names-and-numbers";
    signals_do_not_queue: "signals/signals-do-not-queue";
    not_safe_here: "signals/not-safe-here";
    eintr_or_restart: "signals/eintr-or-restart";
    ctrl_c: "jobs/ctrl-c";
    background_read: "jobs/background-read";
    orphaned_group: "jobs/orphaned-group";
    stop_and_continue: "jobs/stop-and-continue";
    type_at_it: "jobs/type-at-it";
    into_the_foreground: "jobs/into-the-foreground";
    coprocess_buffering: "pipes/coprocess-buffering";
    waits_inside_close: "pipes/waits-inside-close";
    safe_pipe_open: "pipes/safe-pipe-open";
    signature_fifo: "pipes/signature-fifo";
    two_way_pipes: "pipes/two-way-pipes";
    sleep_then_echo: "pipes/sleep-then-echo";
    byte_by_byte: "pipes/splice-byte-by-byte";
    sighup_reload: "signals/sighup-reload";
    kill_zero: "signals/kill-zero";
    catch_one: "signals/catch-one";
    ignore_and_default: "signals/ignore-and-default";
    master_and_workers: "signals/master-and-workers";
    producer_consumer_file: "locks/producer-consumer-file";
    record_locks: "locks/record-locks";
    try_or_wait: "locks/try-or-wait";
    lost_by_close: "locks/lost-by-close";
    flock_is_shared: "locks/flock-is-shared";
    kernel_finds_deadlock: "locks/kernel-finds-deadlock";
    accept_interrupted: "signals/accept-interrupted";
    socketpair: "sockets/socketpair";
    unix_sessions: "sockets/unix-sessions";
    tcp_echo: "sockets/tcp-echo";
    tcp_one_at_a_time: "sockets/tcp-one-at-a-time";
    tcp_fork_server: "sockets/tcp-fork-server";
    tcp_line_protocol: "sockets/tcp-line-protocol";
    interactive_split: "sockets/interactive-split";
    stream_has_no_records: "sockets/stream-has-no-records";
    udp_lost: "sockets/udp-lost";
    udp_poll_timeout: "sockets/udp-poll-timeout";
    refused_and_reset: "sockets/refused-and-reset";
    half_close: "sockets/half-close";
    pass_a_descriptor: "sockets/pass-a-descriptor";
}
