//! Recordings: what is written, what is read back, and what happens to files that are not ours.

use std::fmt::Write as _;
use std::io::Cursor;

use std::time::Duration;

use proclab::model::{
    Access, Batch, Blob, ChannelId, ChannelKind, End, Event, FdFlags, Header, How, Kind, Log, Mark, Names, Parties,
    Pen, Phase, Queue, Shares, Signal, SignalSet, State, Status, TaskId, Via, Weight, Why, World,
};
use proclab::record::{self, Reading, Writer};
use proclab::scenario::{Claim, Expectation, Scenario};
use proclab::sys::procfs::cpu_time;
use proptest::prelude::*;
use scribe::{STRINGS, scribble, steps};

#[path = "recordings/damage.rs"]
mod damage;
#[path = "recordings/scribe.rs"]
mod scribe;

fn header() -> Header {
    Header {
        version: "0.1.0".into(),
        scenario: Some("pipes/one-pipe".into()),
        kernel: "6.18.0".into(),
        arch: "x86_64".into(),
        seed: 7,
        mode: "serial".into(),
        lab: "init".into(),
        lab_pid: 1,
        ..Header::default()
    }
}

const HEADER: &str = r#"{"proclab":1,"version":"0.1.0","scenario":"pipes/one-pipe","command":null,"kernel":"6.18.0","arch":"x86_64","seed":7,"mode":"serial","source":null,"lab":"init","lab_pid":1}
"#;

fn task(index: usize) -> TaskId {
    TaskId::from_index(index)
}

fn channel(index: usize) -> ChannelId {
    ChannelId::from_index(index)
}

/// Writes batches as the engine sends them.
fn written(header: &Header, batches: &[Batch]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), header).expect("memory");
    for batch in batches {
        writer.batch(batch).expect("memory");
    }
    writer.finish().expect("memory")
}

fn read(bytes: &[u8]) -> Reading {
    record::read(Cursor::new(bytes)).expect("a header")
}

fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("recordings are UTF-8")
}

/// A world with names instead of symbols, so that worlds of two logs can be compared.
fn describe(world: &World, names: &Names) -> String {
    let mut text = format!("{} events, {} ns\n", world.applied(), world.t_ns());
    for task in world.tasks() {
        let mut plain = task.clone();
        let (program, line) = (plain.program.take(), plain.line.take());
        plain.name = world.task(TaskId::LAB).expect("the lab").name;
        let call = match &mut plain.state {
            State::Blocked(blocked) => blocked.call.take(),
            _ => None,
        };
        let name = |sym| names.get(sym);
        let line = line.map(|(number, text)| (number, name(text)));
        let (call, program) = (call.map(name), program.map(name));
        let fds: Vec<_> = world.fds(task.id).collect();
        writeln!(text, "{} {call:?} {program:?} {line:?} {plain:?} {fds:?}", name(task.name)).expect("memory");
    }
    for channel in world.channels() {
        let mut plain = channel.clone();
        plain.name = world.task(TaskId::LAB).expect("the lab").name;
        let addresses = plain.socket.as_mut().map(|socket| std::mem::take(&mut socket.addresses));
        let addresses = addresses.map(|all| all.map(|address| address.map(|sym| names.get(sym))));
        for inbox in [std::mem::take(&mut plain.contents), std::mem::take(&mut plain.far)] {
            for (run, known) in inbox.messages() {
                let mark = match run.mark {
                    Mark::Peer(peer) => names.get(peer).to_owned(),
                    mark => format!("{mark:?}"),
                };
                write!(text, "{} {:?} {mark} {known:?}; ", run.len, run.from).expect("memory");
            }
        }
        writeln!(text, "{} {addresses:?} {plain:?}", names.get(channel.name)).expect("memory");
    }
    text
}

/// One pipe, two processes, byte by byte as the reference says it.
#[test]
fn a_small_log_is_written_as_documented() {
    let mut pen = Pen::new(&header());
    let (parent, child, p) = (task(1), task(2), channel(0));
    let mut t_ns = 0;
    let mut put = |pen: &mut Pen, task, call: Option<(&str, i64)>, kind| {
        t_ns += 10;
        let (call, ret) = call.map_or((None, 0), |(call, ret)| (Some(pen.intern(call)), ret));
        pen.write(Event { t_ns, ret, task, call, kind });
    };
    let name = pen.intern("parent");
    let shares = Shares::default();
    put(&mut pen, TaskId::LAB, None, Kind::Spawn { child: parent, pid: 2, name, how: How::Fork, shares });
    let text = pen.intern("pipe p");
    put(&mut pen, parent, None, Kind::Line { line: 12, text });
    let name = pen.intern("p");
    let create =
        Kind::Create { channel: p, kind: ChannelKind::Pipe, name, capacity: 65536, messages: false, found: false };
    put(&mut pen, parent, Some(("pipe2", 0)), create);
    let flags = FdFlags { cloexec: true, ..FdFlags::default() };
    put(
        &mut pen,
        parent,
        Some(("pipe2", 0)),
        Kind::Open { fd: 3, channel: p, end: End::First, access: Access::Read, flags },
    );
    let flags = FdFlags::default();
    put(
        &mut pen,
        parent,
        Some(("pipe2", 0)),
        Kind::Open { fd: 4, channel: p, end: End::First, access: Access::Write, flags },
    );
    let name = pen.intern("parent.child");
    put(&mut pen, parent, Some(("fork", 3)), Kind::Spawn { child, pid: 3, name, how: How::Fork, shares });
    put(&mut pen, child, Some(("close", 0)), Kind::Close { fd: 4, channel: Some(p) });
    put(
        &mut pen,
        child,
        Some(("read", 0)),
        Kind::Block { channel: Some(p), on: None, why: Why::Empty, timeout: false, wanted: Blob::EMPTY },
    );
    let data = pen.keep("gold\n\"ü\"".as_bytes());
    put(&mut pen, parent, Some(("write", 9)), Kind::Write { channel: p, via: Via::Fd(4), bytes: 9, data });
    put(&mut pen, child, Some(("read", 0)), Kind::Unblock { channel: Some(p) });
    let data = pen.keep(b"gold\n\"\xc3");
    put(&mut pen, child, Some(("read", 7)), Kind::Read { channel: p, via: Via::Fd(3), bytes: 7, data });
    let from = Some(parent);
    let phase = |phase| {
        let (signal, queue, blocked) = (Signal::TERM, Queue::Process, SignalSet::EMPTY);
        Kind::Signal { phase, signal, queue, from, code: 0, value: 0, blocked }
    };
    put(&mut pen, child, None, phase(Phase::Generated));
    put(&mut pen, child, None, phase(Phase::Delivered));
    put(&mut pen, child, None, phase(Phase::Default));
    let status = Status::Signal { signal: Signal::TERM, core: false };
    put(&mut pen, child, None, Kind::Exit { status });
    put(&mut pen, parent, Some(("wait4", 3)), Kind::Reap { child, status });
    let data = pen.keep(b"");
    put(&mut pen, parent, Some(("write", -32)), Kind::Write { channel: p, via: Via::Fd(4), bytes: 0, data });
    let (rule, text) = (pen.intern("broken-pipe"), pen.intern("nobody reads p"));
    let parties = pen.keep(&Parties { tasks: vec![parent], channels: vec![p] }.to_bytes());
    put(&mut pen, parent, None, Kind::Diagnosis { rule, weight: Weight::Fault, text, parties });
    put(&mut pen, parent, Some(("exit_group", 0)), Kind::Exit { status: Status::Code(0) });

    let bytes = written(&header(), &[pen.take()]);
    let expected = include_str!("recordings/small.jsonl");
    assert_eq!(text_of(&bytes), expected);
    let reading = read(expected.as_bytes());
    assert_eq!(reading.problem, None);
    assert_eq!(describe(reading.log.head(), reading.log.names()), describe(pen.world(), pen.names()));
    assert_eq!(text_of(&record::write(Vec::new(), &reading.log).expect("memory")), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read_back(steps in steps(120)) {
        let (batches, pen) = scribble(&steps);
        let bytes = written(&header(), &batches);
        let reading = read(&bytes);
        prop_assert_eq!(&reading.problem, &None, "{}", text_of(&bytes));
        prop_assert_eq!(reading.skipped, 0);
        prop_assert_eq!(describe(reading.log.head(), reading.log.names()), describe(pen.world(), pen.names()));
        let again = record::write(Vec::new(), &reading.log).expect("memory");
        prop_assert_eq!(text_of(&again), text_of(&bytes));
        let twice = read(&again);
        prop_assert_eq!(twice.log.head(), reading.log.head());
    }

    #[test]
    fn every_prefix_folds_to_the_world_there(steps in steps(60), cut in 0..60_usize) {
        let (batches, _) = scribble(&steps);
        let bytes = written(&header(), &batches);
        let whole = read(&bytes).log;
        let lines: Vec<&str> = text_of(&bytes).split_inclusive('\n').collect();
        let count = cut.min(lines.len() - 1);
        let part = read(lines[..=count].concat().as_bytes()).log;
        prop_assert_eq!(part.len(), count as u64);
        prop_assert_eq!(
            describe(part.head(), part.names()),
            describe(&whole.world_at(count as u64), whole.names())
        );
    }

    /// Whatever a log says, rules and judges have an answer, and the same one for the recording.
    #[test]
    fn rules_and_judges_take_any_log(steps in steps(120)) {
        let (batches, pen) = scribble(&steps);
        let mut log = Log::new(header());
        for batch in &batches {
            log.append(batch);
        }
        let recorded = read(&written(&header(), &batches)).log;
        prop_assert_eq!(proclab::insight::replay(&log), proclab::insight::replay(&recorded));
        let claims = [
            Claim::Clean,
            Claim::Before { first: STRINGS[0].into(), second: STRINGS[1].into() },
            Claim::Output { name: "t1".into(), text: "x".into() },
            Claim::Blocked { name: pen.names().get(pen.world().tasks().last().expect("the lab").name).into(),
                call: "read".into(), on: Some("ch0".into()) },
        ];
        let expect = claims.map(|what| Expectation { line: 1, text: String::new(), what }).to_vec();
        let scenario = Scenario { expect, ..Scenario::default() };
        prop_assert_eq!(proclab::expect::judge(&scenario, &log), proclab::expect::judge(&scenario, &recorded));
    }

    #[test]
    fn damage_is_survived(steps in steps(60), cuts in proptest::collection::vec((any::<usize>(), any::<u8>(), 0..4_u8), 1..6)) {
        let (batches, _) = scribble(&steps);
        let mut bytes = written(&header(), &batches);
        for (at, byte, how) in cuts {
            if bytes.is_empty() {
                break;
            }
            let at = at % bytes.len();
            match how {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(reading) = record::read(Cursor::new(&bytes)) {
            let kept = record::write(Vec::new(), &reading.log).expect("memory");
            prop_assert_eq!(read(&kept).log.len(), reading.log.len());
        }
    }

    #[test]
    fn fields_that_do_not_fit_are_survived(steps in steps(40), swaps in proptest::collection::vec((any::<usize>(), 0..WRONG.len()), 1..4)) {
        let (batches, _) = scribble(&steps);
        let bytes = written(&header(), &batches);
        let mut lines: Vec<String> = text_of(&bytes).lines().map(str::to_owned).collect();
        for (at, wrong) in swaps {
            let count = lines.len();
            let line = &mut lines[at % count];
            let mut value: serde_json::Value = serde_json::from_str(line).expect("valid JSON");
            let object = value.as_object_mut().expect("an object");
            let keys: Vec<String> = object.keys().cloned().collect();
            let wrong = serde_json::from_str(WRONG[wrong]).expect("valid JSON");
            object.insert(keys[at / count % keys.len()].clone(), wrong);
            *line = value.to_string();
        }
        drop(record::read(Cursor::new(lines.join("\n"))));
    }
}

/// What no field expects.
const WRONG: [&str; 10] = [
    "null",
    "-1",
    "18446744073709551615",
    "1e300",
    "9223372036854775807",
    "\"nobody\"",
    "[]",
    "{\"b64\":\"!\"}",
    "[[[]]]",
    "true",
];

#[test]
fn the_header_comes_back() {
    let header = Header {
        source: Some("title \"x\"\nprocess a { }\n".into()),
        command: Some(vec!["./a.out".into(), "two words".into()]),
        seed: u64::MAX,
        scenario: None,
        ..header()
    };
    let bytes = written(&header, &[]);
    let reading = read(&bytes);
    assert_eq!(reading.log.header(), &header);
    assert_eq!(written(reading.log.header(), &[]), bytes);
    assert_eq!(text_of(&written(&self::header(), &[])), HEADER);
}

#[test]
fn a_broken_pipe_comes_back_as_an_error() {
    #[derive(Debug)]
    struct Broken;
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = Writer::new(Broken, &header()).expect_err("broken");
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

fn long_log(pairs: u64) -> Vec<Batch> {
    let mut pen = Pen::new(&header());
    let (name, p, call) = (pen.intern("parent.child"), pen.intern("p"), pen.intern("write"));
    let at = |task, call, ret, kind| Event { t_ns: 1_234_567, ret, task, call, kind };
    let shares = Shares::default();
    pen.write(at(TaskId::LAB, None, 0, Kind::Spawn { child: task(1), pid: 2, name, how: How::Fork, shares }));
    let create = Kind::Create {
        channel: channel(0),
        kind: ChannelKind::Pipe,
        name: p,
        capacity: 65536,
        messages: false,
        found: false,
    };
    pen.write(at(task(1), None, 0, create));
    let mut batches = Vec::new();
    for _ in 0..pairs {
        let data = pen.keep(b"Nature's first green is gold\n");
        pen.write(at(task(1), Some(call), 29, Kind::Write { channel: channel(0), via: Via::Fd(4), bytes: 29, data }));
        let data = pen.keep(b"Nature's first green is gold\n");
        pen.write(at(task(1), Some(call), 29, Kind::Read { channel: channel(0), via: Via::Fd(3), bytes: 29, data }));
        if pen.untaken().len() > 1000 {
            batches.push(pen.take());
        }
    }
    batches.push(pen.take());
    batches
}

/// The budget of the design, ten times over for debug builds.
#[test]
fn long_recordings_are_quick() {
    // The time that this thread has had a CPU: how busy the machine is must not matter.
    let had = || Duration::from_nanos(cpu_time(nix::unistd::gettid().as_raw()).expect("the thread's own time"));
    let batches = long_log(50_000);
    let before = had();
    let bytes = written(&header(), &batches);
    let writing = had().saturating_sub(before);
    let before = had();
    let log: Log = read(&bytes).log;
    let reading = had().saturating_sub(before);
    assert_eq!(log.len(), 100_002);
    println!("writing {} ns an event, reading {}", writing.as_nanos() / 100_000, reading.as_nanos() / 100_000);
    assert!(writing.as_nanos() / 100_000 < 10_000, "{writing:?}");
    assert!(reading.as_nanos() / 100_000 < 30_000, "{reading:?}");
}
