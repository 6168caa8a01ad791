//! A shell with job control at the lab's terminal and at an ordinary one: what one sees is the same.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use proclab::control::{Command, Session, Terminal, Update};
use proclab::model::{Event, Kind, Log, Phase, Status, TaskId};

use super::support;

const PATIENCE: Duration = Duration::from_mins(1);
const SHELL: [&str; 6] = ["env", "PS1=<\\#>", "bash", "--norc", "--noprofile", "--noediting"];

/// What is typed, and what must be seen before the next.
const SCRIPT: [(&str, &str); 14] = [
    ("cat\n", "cat"),
    ("x\n", "x\nx"),
    ("\x1a", "<2>"),
    ("fg\n", "fg\ncat"),
    ("y\n", "y\ny"),
    ("\x03", "<3>"),
    ("echo is $?\n", "is 130\n<4>"),
    ("cat &\n", "<5>"),
    ("until jobs -s | grep -q cat; do :; done\n", "<6>"),
    ("stty tostop\n", "<7>"),
    ("echo hi &\n", "<8>"),
    ("until jobs -s | grep -q echo; do :; done\n", "<9>"),
    ("exit\n", "There are stopped jobs."),
    ("exit\n", ""),
];

/// A screen, where its bytes come from (none when it is over), and where keys go.
struct Shown<'a> {
    parser: vt100::Parser,
    next: Box<dyn FnMut() -> Option<Vec<u8>> + 'a>,
    put: Box<dyn FnMut(&str) + 'a>,
}

impl Shown<'_> {
    fn play(&mut self) -> Vec<String> {
        self.wait("<1>");
        for (keys, seen) in SCRIPT {
            (self.put)(keys);
            if !seen.is_empty() {
                self.wait(seen);
            }
        }
        while let Some(bytes) = (self.next)() {
            self.parser.process(&bytes);
        }
        // When a shell speaks of a job that stopped is a matter of luck; what it says is not.
        let mut lines: Vec<String> = self.parser.screen().contents().lines().map(without_numbers).collect();
        lines.sort();
        lines
    }

    fn wait(&mut self, seen: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.parser.screen().contents().contains(seen) {
            assert!(Instant::now() < until, "no {seen:?} in\n{}", self.parser.screen().contents());
            let Some(bytes) = (self.next)() else { panic!("over before {seen:?}") };
            self.parser.process(&bytes);
        }
    }
}

/// PIDs differ.
fn without_numbers(line: &str) -> String {
    match line.trim_end().split_once("] ") {
        Some((job, pid)) if pid.parse::<u32>().is_ok() => format!("{job}] PID"),
        _ => line.trim_end().to_owned(),
    }
}

fn parser() -> vt100::Parser {
    vt100::Parser::new(40.try_into().expect("rows"), 80.try_into().expect("columns"), 0)
}

fn on_an_ordinary_terminal() -> (Vec<String>, u32) {
    let size = PtySize { rows: 40, cols: 80, pixel_width: 0, pixel_height: 0 };
    let pty = native_pty_system().openpty(size).expect("a terminal");
    let mut command = CommandBuilder::new(SHELL[0]);
    command.args(&SHELL[1..]);
    command.env("TERM", "xterm-256color");
    let mut shell = pty.slave.spawn_command(command).expect("a shell");
    drop(pty.slave);
    let mut reader = pty.master.try_clone_reader().expect("a reader");
    let mut writer = pty.master.take_writer().expect("a writer");
    let next = Box::new(move || {
        let mut bytes = vec![0; 4096];
        let read = reader.read(&mut bytes).ok().filter(|read| *read > 0)?;
        bytes.truncate(read);
        Some(bytes)
    });
    let put = Box::new(|keys: &str| writer.write_all(keys.as_bytes()).expect("typing"));
    let lines = Shown { parser: parser(), next, put }.play();
    (lines, shell.wait().expect("its end").exit_code())
}

fn at_the_lab() -> (Vec<String>, Status, Log) {
    let mut plan = support::plan(support::command(&SHELL));
    plan.terminal = Some(Terminal { rows: 40, columns: 80, attended: true, ..Terminal::default() });
    let session = Session::start(plan).expect("the run starts");
    let mut log = Log::new(session.header().clone());
    let mut ended = None;
    let next = Box::new(|| {
        loop {
            match session.updates().recv_timeout(PATIENCE).expect("the session goes on") {
                Update::Batch(batch) => {
                    let from = log.len();
                    log.append(&batch);
                    let read = |event: &Event| match event.kind {
                        Kind::Read { data, .. } if event.task == TaskId::LAB => log.bytes(data).to_vec(),
                        _ => Vec::new(),
                    };
                    return Some(log.range(from..log.len()).flat_map(|(_, event)| read(event)).collect());
                }
                Update::Status(_) => {}
                Update::Ended(ending) => {
                    ended = ending.root;
                    return None;
                }
            }
        }
    });
    let put = Box::new(|keys: &str| session.send(Command::Type(keys.as_bytes().to_vec())));
    let lines = Shown { parser: parser(), next, put }.play();
    (lines, ended.expect("an exit status"), log)
}

#[test]
fn job_control_is_what_it_is_without_the_lab() {
    let (expected, code) = on_an_ordinary_terminal();
    let (found, status, log) = at_the_lab();
    assert_eq!(found, expected);
    assert_eq!(status, Status::Code(code as i32));
    let sent = |name: &str, by_key: bool| {
        log.range(0..log.len()).any(|(_, event)| match event.kind {
            Kind::Signal { phase: Phase::Generated, signal, from, .. } => {
                signal.to_string() == name && from == by_key.then_some(TaskId::LAB)
            }
            _ => false,
        })
    };
    for (name, by_key) in [("SIGTSTP", true), ("SIGINT", true), ("SIGTTIN", false), ("SIGTTOU", false)] {
        assert!(sent(name, by_key), "{name}");
    }
    assert!(log.head().living().all(|task| task.id == TaskId::LAB), "somebody is left");
}

/// More than any buffer of the kernel holds, at once: nobody waits for ever, and nothing is lost.
#[test]
fn a_flood_is_taken_in_whole() {
    for serial in [true, false] {
        let mut plan = support::plan(support::command(&["head", "-c", "1000000", "/dev/zero"]));
        plan.serial = serial;
        plan.terminal = Some(Terminal::default());
        let (log, ending) = support::run(plan);
        assert_eq!(ending.root, Some(Status::Code(0)), "{ending:?}");
        let bytes = |event: &Event| match event.kind {
            Kind::Read { bytes, .. } if event.task == TaskId::LAB => bytes,
            _ => 0,
        };
        assert_eq!(log.range(0..log.len()).map(|(_, event)| bytes(event)).sum::<u64>(), 1_000_000, "serial {serial}");
    }
}

/// Where nobody types, who reads learns of it.
#[test]
fn without_anybody_to_type_there_is_an_end() {
    let run = |script: &str| {
        let mut plan = support::plan(support::command(&["sh", "-c", script]));
        plan.terminal = Some(Terminal { input: "one\n".into(), ..Terminal::default() });
        support::run(plan).1.root
    };
    assert_eq!(run("read a; test $a = one; exit $?"), Some(Status::Code(0)));
    assert_eq!(run("cat; exit 7"), Some(Status::Code(7)), "end-of-file");
    let hangup = proclab::model::Signal::HUP;
    assert_eq!(run("cat; cat; exit 7"), Some(Status::Signal { signal: hangup, core: false }), "a hangup");
}
