//! Shared memory and semaphores against the kernel: in scenarios after every step, in foreign programs by
//! what they count themselves.

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};

use proclab::control::{Session, Start, Subject, Update};
use proclab::model::{ChannelId, ChannelKind, Kind, Log, Task};
use proclab::sys::procfs;

/// Processes are found by what they are to this one, so there is one run at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Every process below this one, by its PID as it sees it itself.
fn family() -> BTreeMap<i32, i32> {
    let own = std::process::id() as i32;
    let list = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = list.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    let known: BTreeMap<i32, procfs::Status> = pids.filter_map(|pid| Some((pid, procfs::status(pid)?))).collect();
    let below = |pid: &i32| {
        let mut at = *pid;
        while let Some(status) = known.get(&at) {
            if status.ppid == own {
                return true;
            }
            at = status.ppid;
        }
        false
    };
    known
        .iter()
        .filter(|(pid, _)| below(pid))
        .filter_map(|(pid, status)| Some((*status.ns_tids.last()?, *pid)))
        .collect()
}

/// Steps until the run is over, and compares after each step.
fn compare_every_step(name: &str, seed: u64) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let scenario = support::scenario(name);
    let mut plan = support::plan(Subject::Scenario(Box::new(scenario.clone())));
    plan.seed = seed;
    plan.schedule = scenario.schedule;
    plan.start = Start::Paused;
    let session = Session::start(plan).expect("the run starts");
    let mut log = Log::new(session.header().clone());
    let mut compared = 0;
    loop {
        match session.updates().recv().expect("the session goes on") {
            Update::Batch(batch) => log.append(&batch),
            Update::Status(_) => {
                compared += compare(&log, &format!("{name}, seed {seed}, event {}", log.len()));
                session.send(proclab::control::Command::Step(None));
            }
            Update::Ended(_) => break,
        }
    }
    assert!(compared > 5, "{name}: {compared} places compared only");
}

/// Compares what the log says with the kernel; returns how many places it compared.
fn compare(log: &Log, when: &str) -> usize {
    let world = log.head();
    let pids = family();
    let mut compared = 0;
    for task in world.living() {
        let pid = *pids.get(&task.pid).unwrap_or_else(|| panic!("{when}: {} is not there", log.name(task.name)));
        compared += compare_mappings(log, task, pid, when);
    }
    let Some(pid) = world.living().next().and_then(|task| pids.get(&task.pid)) else { return compared };
    for (channel, id) in identifiers(log) {
        let known = world.channel(channel).expect("it was made");
        let about = format!("{when}: {}", log.name(known.name));
        match (known.kind, known.alive) {
            (ChannelKind::Sem, true) => {
                let kernel = ipcs(*pid, &["-s", "-i", &id.to_string()]);
                let values: Vec<i32> = (0..known.capacity).map(|index| known.value(index as u32)).collect();
                assert_eq!(values, set_values(&kernel), "{about}: GETALL");
            }
            (ChannelKind::Shm, true) => {
                let attached = world.users(channel).flat_map(|task| &task.uses);
                let attached = attached.filter(|used| used.channel == channel && used.bytes > 0).count();
                let kernel = ipcs(*pid, &["-m", "-i", &id.to_string()]);
                let nattch =
                    kernel.split("nattch=").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
                assert_eq!(Some(attached), nattch, "{about}: nattch in {kernel}");
            }
            _ => continue,
        }
        compared += 1;
    }
    compared
}

/// What is mapped, where, and what stands in it.
fn compare_mappings(log: &Log, task: &Task, pid: i32, when: &str) -> usize {
    let mapped: Vec<_> = log.head().uses(task.id).iter().filter(|used| used.bytes > 0).copied().collect();
    if mapped.is_empty() {
        return 0;
    }
    // The file goes past the protection of pages, which the lab has taken away.
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("its memory");
    for used in &mapped {
        let channel = log.head().channel(used.channel).expect("a channel");
        let about = format!("{when}: {} of {}", log.name(channel.name), log.name(task.name));
        assert!(procfs::mapping(pid, used.address).is_some(), "{about}: nothing is mapped there");
        let mut kernel = vec![0; used.bytes.min(4096) as usize];
        memory.read_exact_at(&mut kernel, used.address).unwrap_or_else(|error| panic!("{about}: {error}"));
        if channel.kind == ChannelKind::Sem {
            let value = i32::from_le_bytes(kernel[..4].try_into().expect("four bytes"));
            assert_eq!(channel.value(0), value, "{about}: value");
        } else {
            assert_eq!(channel.memory.read(used.offset, kernel.len()), kernel, "{about}: bytes");
        }
    }
    mapped.len()
}

/// The System V objects of the run.
fn identifiers(log: &Log) -> BTreeMap<ChannelId, i32> {
    let got = |event: &proclab::model::Event| match event.kind {
        Kind::Get { channel, id } => Some((channel, id)),
        _ => None,
    };
    log.range(0..log.len()).filter_map(|(_, event)| got(event)).collect()
}

/// What ipcs(1) says in the namespaces of a process.
fn ipcs(pid: i32, args: &[&str]) -> String {
    let mut command = Command::new("nsenter");
    command.args(["--preserve-credentials", "-U", "-i", "-t", &pid.to_string(), "ipcs"]).args(args);
    let output = command.env("LC_ALL", "C").stdin(Stdio::null()).output().expect("nsenter of util-linux");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The second column of its table: `semnum value ncount zcount pid`.
fn set_values(text: &str) -> Vec<i32> {
    let rows = text.lines().skip_while(|line| !line.starts_with("semnum")).skip(1);
    rows.filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect()
}

macro_rules! compare {
    ($($test:ident: $name:literal;)*) => {
        $(
            #[test]
            fn $test() {
                for seed in 0..3 {
                    compare_every_step($name, seed);
                }
            }
        )*
    };
}

compare! {
    writer_and_reader: "shared-memory/writer-and-reader";
    sysv_segment: "shared-memory/sysv-segment";
    lost_update: "shared-memory/lost-update";
    saved_by_a_semaphore: "shared-memory/saved-by-a-semaphore";
    torn_read: "shared-memory/torn-read";
    take_and_give: "shared-memory/take-and-give";
    sem_undo: "shared-memory/sem-undo";
    bounded_buffer: "shared-memory/bounded-buffer";
    memory_is_private: "shared-memory/memory-is-private";
    dining_philosophers: "classics/dining-philosophers";
    readers_writers: "classics/readers-writers";
}

/// The fixture, compiled once.
fn fixture() -> &'static Path {
    static FIXTURE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = FIXTURE.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("memory");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/memory.c");
        let status = Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(&program).arg(source).status();
        assert!(status.expect("cc").success());
        (directory, program)
    });
    path
}

/// Runs a role of the fixture alone, on the bench, and watched; returns the last recording.
fn role(name: &str) -> Vec<serde_json::Value> {
    let start = |mut command: Command| -> Output { command.stdin(Stdio::null()).output().expect("it starts") };
    let mut alone = Command::new(fixture());
    alone.arg(name);
    let alone = start(alone);
    let mut recording = String::new();
    for options in [&[][..], &["--watch-memory"], &["--watch-memory", "--all"]] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("log");
        let mut watched = Command::new(env!("CARGO_BIN_EXE_proclab"));
        watched.arg("record").args(options).arg("-o").arg(&file).arg("--").arg(fixture()).arg(name);
        let watched = start(watched);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let error = text(&watched.stderr);
        assert_eq!(text(&alone.stdout), text(&watched.stdout), "{name} {options:?}: output; {error}");
        assert_eq!(alone.status.code(), watched.status.code(), "{name} {options:?}: exit status; {error}");
        if options.len() == 1 {
            recording = std::fs::read_to_string(&file).expect("a recording");
        }
    }
    assert!(matches!(alone.status.code(), Some(0 | 3)), "{name}: {alone:?}");
    recording.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn count(log: &[serde_json::Value], event: &str, bytes: u64) -> usize {
    log.iter().filter(|line| line["event"] == event && line["bytes"] == bytes).count()
}

#[test]
fn every_load_and_store_of_a_program() {
    let log = role("stores");
    for (bytes, times) in [(1, 10), (2, 20), (4, 30), (8, 45)] {
        assert_eq!(count(&log, "store", bytes), times, "stores of {bytes}");
    }
    assert_eq!(count(&log, "load", 8), 50);
    assert_eq!(log.iter().filter(|line| line["event"] == "store").count(), 105);
}

#[test]
fn a_program_with_a_fault_handler_of_its_own() {
    let log = role("handler");
    let handled = log.iter().filter(|line| line["phase"] == "handler" && line["signal"] == "SIGSEGV").count();
    assert_eq!(handled, 3);
}

#[test]
fn atomic_additions_of_two_processes() {
    let log = role("atomics");
    assert_eq!(count(&log, "store", 8), 400);
    let lost = log.iter().any(|line| line["rule"] == "lost-update");
    assert!(!lost, "nothing was lost");
}

#[test]
fn accesses_while_faults_are_blocked() {
    let log = role("blocked");
    assert_eq!(log.iter().filter(|line| line["event"] == "store").count(), 2);
}

#[test]
fn a_wait_that_ignored_signals_interrupt() {
    let log = role("restarted");
    let told = log.iter().filter(|line| line["event"] == "store" && line["value"] == 7).count();
    assert_eq!(told, 1);
}

#[test]
fn threads_on_one_page() {
    let log = role("threads");
    assert_eq!(log.iter().filter(|line| line["event"] == "store").count(), 600);
}

#[test]
fn whole_stretches() {
    let log = role("copies");
    // `rep movsb` is one access, to each of its places.
    assert_eq!((count(&log, "store", 50), count(&log, "load", 50)), (1, 1));
    let kernel = log.iter().filter(|line| line["event"] == "store" && line["call"] == "read").count();
    assert!(kernel > 0, "what `read` puts there is a store of that call");
}

#[test]
fn two_processes_on_one_page() {
    let log = role("pages");
    let stores: Vec<_> = log.iter().filter(|line| line["event"] == "store").map(|line| line["value"].clone()).collect();
    assert_eq!(stores, [1, 2, 3]);
}

#[test]
fn a_segment_and_a_semaphore_with_names() {
    let log = role("named");
    let values: Vec<_> = log.iter().filter(|line| line["event"] == "sem").map(|line| line["value"].clone()).collect();
    assert_eq!(values.first(), Some(&serde_json::json!(0)));
    assert_eq!(values.last(), Some(&serde_json::json!(1)));
    let made = log.iter().filter(|line| line["event"] == "create" && line["kind"] == "sem").count();
    assert_eq!(made, 1);
}

/// The stores to the one piece of memory: whose, where, what.
fn stores_of(log: &[serde_json::Value]) -> Vec<(&str, u64, &str)> {
    let stores = log.iter().filter(|line| line["event"] == "store");
    let parts = |line| -> Option<(&str, u64, &str)> {
        let line: &serde_json::Value = line;
        Some((line["task"].as_str()?, line["offset"].as_u64()?, line["data"].as_str()?))
    };
    stores.filter_map(parts).collect()
}

#[test]
fn a_file_that_is_mapped_and_written_to() {
    let expected = [
        ("memory", 0, "before"),
        ("memory", 0, "B"),
        ("memory#2", 100, "c"),
        ("memory#2", 200, "call"),
        ("memory", 300, "p"),
    ];
    let watched = role("mapped");
    assert_eq!(stores_of(&watched), expected, "each of them seen");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("log");
    let mut stepped = Command::new(env!("CARGO_BIN_EXE_proclab"));
    stepped.args(["record", "--serial", "-o"]).arg(&file).arg("--").arg(fixture()).arg("mapped");
    assert!(stepped.stdin(Stdio::null()).output().expect("it starts").status.success());
    let text = std::fs::read_to_string(&file).expect("a recording");
    let log: Vec<_> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(stores_of(&log), expected, "found between two stops");
}

#[test]
fn system_v() {
    let log = role("system-v");
    let values: Vec<_> = log
        .iter()
        .filter(|line| line["event"] == "sem")
        .map(|line| (line["index"].clone(), line["delta"].clone(), line["value"].clone()))
        .collect();
    let expected = [(0, 1, 1), (1, 3, 3), (0, -1, 0), (1, -2, 1), (0, 1, 1)];
    assert_eq!(values, expected.map(|(index, delta, value)| (index.into(), delta.into(), value.into())));
}
