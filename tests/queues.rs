//! Message queues against the kernel: what is inside after every step, and what foreign programs move.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use proclab::control::{Command, Session, Start, Subject, Update};
use proclab::model::{ChannelId, ChannelKind, Kind, Log, Mark, Via, World};
use proclab::scenario::Scenario;
use proclab::sys::call::sysv;
use proclab::sys::{ipc, peek, procfs};

/// Processes are found by what they are to this one, so there is one run at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a scenario with this seed to its end.
fn run(scenario: &Scenario, seed: u64) -> Log {
    let _alone = alone();
    let mut plan = support::plan(Subject::Scenario(Box::new(scenario.clone())));
    plan.seed = seed;
    support::run(plan).0
}

/// The programs of `fixtures/queues.c`, compiled once.
fn fixture() -> &'static str {
    static FIXTURE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = FIXTURE.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("queues");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/queues.c");
        let status = Process::new("cc").arg("-O1").arg("-o").arg(&program).arg(source).arg("-lrt").status();
        assert!(status.expect("cc").success());
        (directory, program)
    });
    path.to_str().expect("a path")
}

/// The PIDs here of the processes of a run, by their PIDs there.
fn pids() -> BTreeMap<i32, i32> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
            && let Some(status) = procfs::status(pid)
        {
            parents.insert(pid, status);
        }
    }
    let own = std::process::id().cast_signed();
    let below = |pid: i32| {
        std::iter::successors(parents.get(&pid), |status| parents.get(&status.ppid)).any(|status| status.ppid == own)
    };
    let inner = |(pid, status): (&i32, &procfs::Status)| Some((*status.ns_tids.last()?, *pid));
    parents.iter().filter(|(pid, _)| below(**pid)).filter_map(inner).collect()
}

/// A queue: capacity, bytes, and its messages, each a type and its bytes.
type Queue = (u64, u64, Vec<(i64, Vec<u8>)>);

/// The System V queues of the IPC namespace of a process, by their identifiers, as the kernel has them.
fn kernel_queues(pid: i32) -> BTreeMap<i32, Queue> {
    let pid = pid.to_string();
    let output = Process::new("nsenter")
        .args(["--preserve-credentials", "-U", "-i", "-m", "-t", &pid, fixture(), "look"])
        .output()
        .expect("nsenter of util-linux");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut queues = BTreeMap::new();
    let text = String::from_utf8(output.stdout).expect("text");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [id, capacity, count, bytes] = numbers[..] else { panic!("{line}") };
        let messages = (0..count).map(|_| message(lines.next().expect("a message"))).collect();
        queues.insert(id as i32, (capacity, bytes, messages));
    }
    queues
}

fn message(line: &str) -> (i64, Vec<u8>) {
    let (kind, text) = line.split_once(' ').expect("type and text");
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (kind.parse().expect("a type"), (0..text.len()).step_by(2).map(byte).collect())
}

/// The same, as the log has them.
fn known_queues(log: &Log) -> BTreeMap<i32, Queue> {
    let mut queues = BTreeMap::new();
    for (_, event) in log.range(0..log.len()) {
        let Kind::Get { channel, id } = event.kind else { continue };
        let channel = log.head().channel(channel).expect("it was made");
        if channel.kind != ChannelKind::Msg || !channel.alive {
            continue;
        }
        let kind = |mark| match mark {
            Mark::Type(kind) => kind,
            other => panic!("{other:?}"),
        };
        let messages = channel.contents.messages().map(|(run, text)| (kind(run.mark), text)).collect();
        queues.insert(id, (channel.capacity, channel.contents.len(), messages));
    }
    queues
}

/// What the kernel says of each POSIX queue that a process holds is what the log says.
fn compare_posix(world: &World, pids: &BTreeMap<i32, i32>, when: &str) -> usize {
    let mut compared = 0;
    for channel in world.channels().filter(|channel| channel.kind == ChannelKind::Mq && channel.alive) {
        let Some((task, fd)) = world.holders(channel.id).next() else { continue };
        let Some(pid) = pids.get(&task.pid) else { continue };
        let queue = peek::borrow(*pid, fd.fd).expect("pidfd_getfd");
        let facts = ipc::mq_facts(&queue).expect("mq_getattr");
        assert_eq!((facts.capacity, facts.count), (channel.capacity, channel.filled()), "{when}");
        let status = std::fs::read_to_string(format!("/proc/{pid}/fd/{}", fd.fd)).expect("the queue's file");
        let bytes = status.strip_prefix("QSIZE:").and_then(|rest| rest.split_ascii_whitespace().next());
        assert_eq!(bytes, Some(channel.contents.len().to_string().as_str()), "{when}: {status}");
        compared += 1;
    }
    compared
}

/// Steps until the run is over, and compares after each step.
fn compare_every_step(name: &str, seed: u64) {
    let _alone = alone();
    let mut plan = support::plan(Subject::Scenario(Box::new(support::scenario(name))));
    plan.seed = seed;
    plan.start = Start::Paused;
    let session = Session::start(plan).expect("the run starts");
    let mut log = Log::new(session.header().clone());
    let (mut steps, mut compared) = (0, 0);
    loop {
        match session.updates().recv().expect("the session goes on") {
            Update::Batch(batch) => log.append(&batch),
            Update::Status(_) => {
                let when = format!("{name}, seed {seed}, after {steps} steps");
                let pids = pids();
                let alive = log.head().living().find_map(|task| pids.get(&task.pid));
                if let Some(pid) = alive {
                    let known = known_queues(&log);
                    assert_eq!(known, kernel_queues(*pid), "{when}");
                    compared += known.len() + compare_posix(log.head(), &pids, &when);
                }
                steps += 1;
                session.send(Command::Step(None));
            }
            Update::Ended(_) => break,
        }
    }
    assert!(compared > 3, "{name}: {compared} looks at queues in {steps} steps");
    compare_order(&log);
}

/// What came out is what the log said would come out next.
fn compare_order(log: &Log) {
    let mut world = log.world_at(0);
    for (seq, event) in log.range(0..log.len()) {
        if let Kind::Read { channel, via: via @ (Via::Msg(_) | Via::Mq(..)), .. } = event.kind
            && !event.failed()
        {
            assert_eq!(next(&world, channel, via.mark()).as_deref(), Some(log.payload(event)), "event {seq}");
        }
        world.apply(event, log.payload(event));
    }
}

fn next(world: &World, channel: ChannelId, mark: Mark) -> Option<Vec<u8>> {
    let mut messages = world.channel(channel)?.contents.messages();
    match mark {
        Mark::Type(_) => messages.find(|(run, _)| run.mark == mark),
        _ => messages.next().filter(|(run, _)| run.mark == mark),
    }
    .map(|(_, text)| text)
}

macro_rules! compare {
    ($($test:ident: $name:literal;)*) => {
        $(
            #[test]
            fn $test() {
                for seed in 0..4 {
                    compare_every_step($name, seed);
                }
            }
        )*
    };
}

compare! {
    message_types: "queues/message-types";
    queue_outlives: "queues/queue-outlives";
    left_behind: "queues/left-behind";
    queue_full: "queues/queue-full";
    mq_priority: "queues/mq-priority";
    mq_notify: "queues/mq-notify";
    mq_limits: "queues/mq-limits";
}

/// Runs a role of the fixture with and without the lab; returns what it printed and the recording.
fn role(words: &[&str]) -> (String, Vec<serde_json::Value>) {
    let plain = Process::new(fixture()).args(words).output().expect("it starts");
    let (traced, log) = recorded(words);
    assert_eq!(String::from_utf8_lossy(&plain.stdout), traced);
    assert!(plain.status.success(), "{words:?}");
    (traced, log)
}

/// Records a role of the fixture.
fn recorded(words: &[&str]) -> (String, Vec<serde_json::Value>) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("log");
    let mut traced = Process::new(env!("CARGO_BIN_EXE_proclab"));
    traced.args(["record", "-o"]).arg(&file).arg("--").arg(fixture()).args(words).stdin(Stdio::null());
    let alone = alone();
    let output = traced.output().expect("proclab");
    drop(alone);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&file).expect("a recording");
    let lines = text.lines().skip(1).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (String::from_utf8(output.stdout).expect("text"), lines)
}

fn sum(log: &[serde_json::Value], event: &str, kind: u64) -> u64 {
    let fits = |line: &&serde_json::Value| line["event"] == event && line["type"] == kind;
    log.iter().filter(fits).filter_map(|line| line["bytes"].as_u64()).sum()
}

#[test]
fn a_foreign_receiver_takes_messages_by_their_types() {
    for count in ["300", "3000"] {
        let (printed, log) = role(&["by-type", count]);
        let totals: Vec<u64> =
            printed.lines().next().expect("totals").split(' ').map(|word| word.parse().expect("a number")).collect();
        for (kind, total) in (1..).zip(totals) {
            assert_eq!((sum(&log, "write", kind), sum(&log, "read", kind)), (total, total), "type {kind} of {count}");
        }
        // What was cut off is gone.
        assert_eq!((sum(&log, "write", 7), sum(&log, "read", 7)), (100, 10));
        let limit = log.iter().find(|line| line["event"] == "limit").expect("E2BIG");
        assert_eq!((&limit["limit"], &limit["value"], &limit["asked"]), (&"msgsz".into(), &10.into(), &100.into()));
        let rules: Vec<_> = log.iter().filter(|line| line["event"] == "diagnosis").map(|line| &line["rule"]).collect();
        assert!(!rules.iter().any(|rule| *rule == "unreceived-message" || *rule == "leaked-ipc-object"), "{rules:?}");
    }
}

#[test]
fn a_sleeper_learns_that_its_queue_is_removed() {
    let (_, log) = role(&["removed"]);
    let find = |event: &str| log.iter().find(|line| line["event"] == event && line["channel"] == "queue");
    assert_eq!(find("read").map(|line| &line["errno"]), Some(&"EIDRM".into()));
    assert_eq!(log.iter().filter(|line| line["event"] == "destroy" && line["channel"] == "queue").count(), 1);
}

/// Who sleeps in which call, at which queue, why, and who could end it.
#[test]
fn sleepers_are_at_their_queues() {
    let scenario = support::scenario_of(
        "process a { msgget q key=1; mq_open m \"/m\" maxmsg=1; mq_send m \"first\"
         fork empty { msgrcv q 7 fails=EIDRM }
         fork full { mq_send m \"second\" }
         sleep 1; msgctl q remove; mq_receive m; wait; wait; mq_receive m; mq_unlink \"/m\" }",
    );
    let log = run(&scenario, 0);
    let mut world = log.world_at(0);
    let mut told = Vec::new();
    for (_, event) in log.range(0..log.len()) {
        world.apply(event, log.payload(event));
        if let Kind::Block { channel: Some(channel), why, .. } = event.kind {
            let channel = world.channel(channel).expect("it is there");
            let wakers = world.wakers(event.task).expect("it sleeps").tasks;
            let names = wakers.iter().map(|task| log.name(world.task(*task).expect("a task").name)).collect::<Vec<_>>();
            told.push((log.name(event.call.expect("a call")), log.name(channel.name), why.as_str(), names.join(" ")));
        }
    }
    told.sort_unstable();
    assert_eq!(told, [("mq_timedsend", "m", "full", "a a.empty".into()), ("msgrcv", "q", "empty", "a a.full".into())]);
    let failed = log.range(0..log.len()).find(|(_, event)| matches!(event.kind, Kind::Read { .. }) && event.failed());
    assert_eq!(failed.and_then(|(_, event)| event.errno()), Some(libc::EIDRM));
}

#[test]
fn foreign_posix_messages_come_by_priority() {
    let name = format!("/proclab-test-{}", std::process::id());
    let (printed, log) = role(&["posix", &name]);
    assert_eq!(printed, ",bb,eeeee,a,dddd,\n");
    let reads: Vec<_> = log.iter().filter(|line| line["event"] == "read" && line["channel"] == *name).collect();
    let told: Vec<_> =
        reads.iter().map(|line| (line["priority"].as_u64(), line["data"].as_str().expect("text"))).collect();
    assert_eq!(told, [(Some(2), ""), (Some(1), "bb"), (Some(1), "eeeee"), (Some(0), "a"), (Some(0), "dddd")]);
    let created = log.iter().find(|line| line["event"] == "create" && line["kind"] == "mq").expect("created");
    assert_eq!((&created["capacity"], created.get("found")), (&5.into(), None));
}

/// A key of a kind of object that nobody had when the test began.
fn free_key(kind: ChannelKind) -> i32 {
    (0..256)
        .map(|number| (std::process::id().cast_signed() << 8) | number)
        .find(|key| !ipc::object_exists(kind, *key))
        .expect("one")
}

#[test]
fn what_was_in_a_queue_before_is_known_and_what_is_left_is_said() {
    let key = free_key(ChannelKind::Msg).to_string();
    let (printed, log) = recorded(&["leave", &key]);
    let leaked = log.iter().find(|line| line["rule"] == "leaked-ipc-object").expect("a diagnosis");
    assert!(leaked["text"].as_str().is_some_and(|text| text.contains("until msgctl(2) with IPC_RMID")), "{leaked}");
    assert!(log.iter().any(|line| line["rule"] == "unreceived-message"));
    // The lab has left it alone, and nothing in it is taken by looking at it.
    let id: i32 = printed.trim().parse().expect("an identifier");
    assert_eq!(ipc::msg_facts(id).map(|facts| facts.count), Ok(1));
    let (printed, log) = recorded(&["drain", &key]);
    assert_eq!(printed, "5 left behind\n");
    let events: Vec<_> =
        log.iter().filter(|line| line["channel"].as_str().is_some_and(|it| it.starts_with("queue "))).collect();
    let names: Vec<_> = events.iter().take(4).map(|line| line["event"].as_str().expect("a name")).collect();
    assert_eq!(names, ["create", "write", "get", "read"]);
    assert_eq!((&events[0]["found"], &events[1]["task"]), (&true.into(), &"proclab".into()));
    assert_eq!((&events[1]["data"], &events[3]["data"]), (&"left behind".into(), &"left behind".into()));
    assert!(log.iter().all(|line| line["rule"] != "leaked-ipc-object"), "it was there before");
    assert_eq!(sysv::msg_remove(id), Ok(0));
}

#[test]
fn the_values_of_a_set_from_before_the_run_are_what_semctl_says() {
    let key = free_key(ChannelKind::Sem);
    let id = sysv::semget(key, 3).expect("a set") as i32;
    assert_eq!((sysv::sem_set(id, 1, 7), sysv::sem_set(id, 2, 2)), (Ok(0), Ok(0)));
    let (printed, log) = recorded(&["take", &key.to_string()]);
    let kernel = ipc::sem_values(id);
    assert_eq!(sysv::sem_remove(id), Ok(0));
    let created = log.iter().find(|line| line["event"] == "create" && line["kind"] == "sem").expect("created");
    assert_eq!((&created["found"], &created["capacity"]), (&true.into(), &3.into()));
    let told = log.iter().filter(|line| line["event"] == "sem").map(|line| {
        let number = |field: &str| line[field].as_i64().expect("a number");
        (line["task"].as_str().expect("a task"), number("index"), number("delta"), number("value"))
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, [("proclab", 1, 7, 7), ("proclab", 2, 2, 2), ("queues", 1, -2, 5), ("queues", 2, 3, 5)]);
    assert_eq!((kernel, printed.as_str()), (Ok(vec![0, 5, 5]), "0 5 5\n"));
}

/// The limits that a run went past, with their values and what was asked for.
fn limits_of(statements: &str) -> Vec<(String, u64, u64)> {
    let scenario = support::scenario_of(&format!("process a {{ {statements} }}"));
    let log = run(&scenario, 0);
    let limits = log.range(0..log.len()).filter_map(|(_, event)| match event.kind {
        Kind::Limit { limit, value, asked } => Some((log.name(limit).to_owned(), value, asked)),
        _ => None,
    });
    limits.collect()
}

/// What stands in a file below `/proc/sys` for the processes of a run.
fn in_a_run(path: &str) -> u64 {
    let scenario = support::scenario_of(&format!("process a {{ exec cat \"/proc/sys/{path}\" }}"));
    let log = run(&scenario, 0);
    let written = log.range(0..log.len()).find(|(_, event)| matches!(event.kind, Kind::Write { via: Via::Fd(1), .. }));
    let text = written.map(|(_, event)| String::from_utf8_lossy(log.payload(event)).into_owned()).expect("output");
    text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// What the lab takes for the limits of a new IPC namespace is what the kernel says there.
#[test]
fn the_limit_that_a_call_went_past_is_the_kernels() {
    let one = |limit: &str, value: u64, asked: u64| vec![(limit.to_owned(), value, asked)];
    assert_eq!(
        limits_of("msgget q; msgsnd q 1 \"x\" bytes=8193 fails=EINVAL; msgctl q remove"),
        one("msgmax", in_a_run("kernel/msgmax"), 8193)
    );
    assert_eq!(
        limits_of("msgget q; msgctl q set bytes=100000 errno=e; msgctl q remove"),
        one("msgmnb", in_a_run("kernel/msgmnb"), 100_000)
    );
    assert_eq!(
        limits_of("mq_open q \"/q\" maxmsg=100000 fails=EINVAL"),
        one("msg_max", in_a_run("fs/mqueue/msg_max"), 100_000)
    );
    assert_eq!(
        limits_of("mq_open q \"/q\" msgsize=1048576 fails=EINVAL"),
        one("msgsize_max", in_a_run("fs/mqueue/msgsize_max"), 1 << 20)
    );
    assert_eq!(
        limits_of("mq_open q \"/q\" msgsize=20; mq_send q \"more than twenty bytes\" fails=EMSGSIZE; mq_unlink \"/q\""),
        one("mq_msgsize", 20, 22)
    );
    assert_eq!(
        limits_of("pipe p; pipe-size p.write 2147483647 errno=e"),
        one("pipe-max-size", in_a_run("fs/pipe-max-size"), 2_147_483_647)
    );
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MSGQUEUE).expect("getrlimit");
    let many = (0..20).map(|number| format!("mq_open q{number} \"/q{number}\" errno=e")).collect::<Vec<_>>().join(";");
    let met = limits_of(&many);
    assert!(!met.is_empty() && met.iter().all(|limit| *limit == ("RLIMIT_MSGQUEUE".to_owned(), soft, 0)), "{met:?}");
    assert_eq!(
        limits_of("exec sh -c \"ulimit -n 5; exec 3</dev/null 4</dev/null; (exec 9</dev/null); cat /dev/null; true\"")
            .first(),
        one("RLIMIT_NOFILE", 5, 0).first()
    );
}

/// Processes may call a queue what they like.
#[test]
fn what_is_received_can_be_told_under_any_name() {
    let scenario = support::scenario_of(
        "process a { msgget mine key=1; msgsnd mine 1 \"x\"; barrier sent }
         process b { msgget yours key=1; barrier sent; msgrcv yours 1; msgctl yours remove }
         expect { received mine \"x\"; received yours \"x\"; clean }",
    );
    for seed in 0..10 {
        let log = run(&scenario, seed);
        for verdict in proclab::expect::judge(&scenario, &log) {
            assert!(verdict.held, "seed {seed}: {}: {}", verdict.text, verdict.reason);
        }
    }
}
