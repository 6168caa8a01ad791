//! Nothing is left behind: however a run ends, what it made is gone, and nothing else is.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use proclab::model::ChannelKind;
use proclab::sys::call::{posix, sysv};
use proclab::sys::{ipc, procfs};
use proclab::trace::{Journal, Made};

/// Leaves a queue with a key and one without, a POSIX queue, a segment, a semaphore, and FIFOs in its
/// directory and outside. `REST` is what it does then.
const SCENARIO: &str = r#"
title "t"
topic queues
level 1
story "s"
limit seconds=600
process a {
    msgget q key=1
    msgsnd q 1 "left"
    msgget p
    shmget h 4096 key=2
    shmget i 4096
    semget j 2 key=3
    semget k 1
    mq_open m "/m"
    mq_send m "left"
    shm_open s "/s" 64
    sem_open g "/g" 1
    mkfifo "inside"
    mkfifo "OUTSIDE"
    socket u unix
    bind u "OUTSIDE.sock"
    REST
}
"#;

struct Place {
    directory: tempfile::TempDir,
}

/// A System V object: `msg`, `shm` or `sem`, and its identifier.
type Object = (String, i32);

/// Whether the kernel has it (proc(5), `/proc/sysvipc`).
fn is_there((kind, id): &Object) -> bool {
    let table = std::fs::read_to_string(format!("/proc/sysvipc/{kind}")).expect("a table");
    table.lines().any(|line| line.split_whitespace().nth(1) == Some(id.to_string().as_str()))
}

/// Something of the test's own, which no lab may touch.
struct Foreign {
    queue: i32,
    file: PathBuf,
    mq: std::ffi::CString,
}

impl Foreign {
    fn new() -> Self {
        let number = std::process::id();
        let queue = sysv::msgget(libc::IPC_PRIVATE).expect("a queue") as i32;
        let unique = format!("proclab-{number}-foreign-{queue}");
        let file = Path::new("/dev/shm").join(&unique);
        std::fs::write(&file, "foreign").expect("a file in /dev/shm");
        let mq = std::ffi::CString::new(format!("/{unique}")).expect("a name");
        posix::mq_open(&mq, 0, &posix::limits(1, 8)).expect("a POSIX queue");
        Self { queue, file, mq }
    }

    fn is_whole(&self) -> bool {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        ipc::msg_facts(self.queue).is_ok() && text == "foreign" && ipc::mq_exists(&self.mq)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = sysv::msg_remove(self.queue);
        let _ = std::fs::remove_file(&self.file);
        let _ = posix::mq_unlink(&self.mq);
    }
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn proclab(&self, namespaces: bool, rest: &str) -> Command {
        let outside = self.path("outside");
        let text = SCENARIO.replace("OUTSIDE", outside.to_str().expect("text")).replace("REST", rest);
        std::fs::write(self.path("leaves.kdl"), text).expect("written");
        let mut command = self.bare(namespaces);
        command.args(["record", "-o"]).arg(self.path("log")).arg(self.path("leaves.kdl"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn bare(&self, namespaces: bool) -> Command {
        // A shell that runs the tests in the background lets them ignore SIGINT, and the lab too.
        let mut command = Command::new("env");
        command
            .args(["--default-signal", env!("CARGO_BIN_EXE_proclab")])
            .env("XDG_RUNTIME_DIR", self.directory.path())
            .env_remove("PROCLAB_NO_NAMESPACES");
        if !namespaces {
            command.env("PROCLAB_NO_NAMESPACES", "1");
        }
        command
    }

    /// The events of the run, as far as they were written.
    fn log(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.path("log")).expect("a log");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The run's System V objects that the log knows.
    fn objects(&self) -> BTreeSet<Object> {
        let log = self.log();
        let kind = |channel: &serde_json::Value| {
            let made = log.iter().find(|line| line["event"] == "create" && line["channel"] == *channel);
            made.and_then(|line| line["kind"].as_str()).expect("a kind").to_owned()
        };
        let got = log.iter().filter(|line| line["event"] == "get");
        got.map(|line| (kind(&line["channel"]), line["id"].as_i64().expect("a number") as i32)).collect()
    }

    /// What is left of the runs in this place: directories, locks, journals.
    fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("proclab")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// Whether the FIFO and the socket outside of the run's directory are there.
    fn outside(&self) -> [bool; 2] {
        ["outside", "outside.sock"].map(|name| self.path(name).exists())
    }

    /// The file in `/dev/shm` and the POSIX queue of the run whose first process has this PID.
    fn names(pid: i32) -> ([PathBuf; 2], std::ffi::CString) {
        let prefix = proclab::actor::own::prefix(pid);
        let files = [format!("/dev/shm/{prefix}s"), format!("/dev/shm/sem.{prefix}g")];
        (files.map(PathBuf::from), std::ffi::CString::new(format!("/{prefix}m")).expect("a name"))
    }
}

/// Waits until the lab and every process that inherited its standard output are gone: then reading ends.
fn wait_for_all(child: &mut Child, lines: &mut impl BufRead) {
    let _ = child.wait();
    let mut rest = String::new();
    while lines.read_line(&mut rest).is_ok_and(|read| read > 0) {}
}

/// The first process of the run of a lab: its only child.
fn init_of(lab: u32) -> i32 {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |pid: &i32| procfs::family(*pid).is_some_and(|(parent, ..)| parent == lab.cast_signed());
    let children: Vec<i32> = pids.filter(is_child).collect();
    assert_eq!(children.len(), 1, "{children:?}");
    children[0]
}

fn start(place: &Place, namespaces: bool) -> (Child, BufReader<std::process::ChildStdout>, i32) {
    let mut child = place.proclab(namespaces, "write stdout \"ready\\n\"\n exec sleep 600").spawn().expect("proclab");
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n", "namespaces {namespaces}");
    let init = init_of(child.id());
    (child, lines, init)
}

fn kill(pid: i32, signal: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::try_from(signal).expect("one"))
        .expect("kill");
}

#[test]
fn a_run_without_namespaces_ends_and_leaves_nothing() {
    let (place, foreign) = (Place::new(), Foreign::new());
    // Its parent is the first process of the run, whose PID is in the names.
    let output = place.proclab(false, "exec sh -c \"echo $PPID\"").output().expect("proclab");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("cannot"), "{said}");
    let objects = place.objects();
    assert_eq!(objects.len(), 6, "{objects:?}");
    assert!(!objects.iter().any(is_there), "{objects:?}");
    let init: i32 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a PID");
    let ours = |entry: &std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(&proclab::actor::own::prefix(init))
            || name.starts_with(&format!("sem.{}", proclab::actor::own::prefix(init)))
    };
    assert!(!std::fs::read_dir("/dev/shm").expect("/dev/shm").flatten().any(|entry| ours(&entry)));
    assert_eq!((place.left(), place.outside()), (Vec::<PathBuf>::new(), [false, false]));
    assert!(foreign.is_whole());
}

#[test]
fn a_signal_that_ends_the_lab_leaves_nothing() {
    let place = Place::new();
    let (mut child, mut lines, init) = start(&place, false);
    kill(child.id().cast_signed(), libc::SIGTERM);
    wait_for_all(&mut child, &mut lines);
    let (files, mq) = Place::names(init);
    assert!(files.iter().all(|file| !file.exists()) && !ipc::mq_exists(&mq));
    assert!(!place.objects().iter().any(is_there));
    assert_eq!((place.left(), place.outside()), (Vec::<PathBuf>::new(), [false, false]));
}

/// Whether anything of the run is left that the test can name, with namespaces or without.
fn nothing_is_left(place: &Place, init: i32, namespaces: bool, how: &str) {
    assert_eq!((place.left(), place.outside()), (Vec::<PathBuf>::new(), [false, false]), "{how}");
    if !namespaces {
        let (files, mq) = Place::names(init);
        assert!(files.iter().all(|file| !file.exists()) && !ipc::mq_exists(&mq), "{how}");
        let objects = place.objects();
        assert!(objects.len() == 6 && !objects.iter().any(is_there), "{how}: {objects:?}");
    }
}

/// Every other way in which a run ends, with namespaces and without.
#[test]
fn however_a_run_ends_nothing_is_left() {
    let foreign = Foreign::new();
    for namespaces in [false, true] {
        for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGTERM] {
            let place = Place::new();
            let (mut child, mut lines, init) = start(&place, namespaces);
            kill(child.id().cast_signed(), signal);
            wait_for_all(&mut child, &mut lines);
            nothing_is_left(&place, init, namespaces, &format!("signal {signal}, namespaces {namespaces}"));
        }
        let say = r#"fork said { exec sh -c "echo $PPID" }; wait said"#;
        // Without namespaces the PID of the root is one of this machine, and what the child says is that.
        let endings = [
            ("stuck", "pause", &[][..], 600, 1_000_000),
            ("out of time", "exec sleep 600", &["--timeout", "1"], 600, 1_000_000),
            ("at the limit of events", "forever { note \"again\" }", &[], 600, 400),
            ("at the limit of seconds", "exec sleep 600", &[], 1, 1_000_000),
            ("killed", "raise SIGKILL", &[], 600, 1_000_000),
        ];
        for (how, rest, options, seconds, events) in endings {
            let place = Place::new();
            let mut command = place.proclab(namespaces, &format!("{say}\n{rest}"));
            let file = place.path("leaves.kdl");
            let text = std::fs::read_to_string(&file).expect("the scenario");
            let limit = format!("limit seconds={seconds} events={events}");
            std::fs::write(&file, text.replace("limit seconds=600", &limit)).expect("written");
            let output = command.args(options).output().expect("proclab");
            let root: i32 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a PID");
            let made = place.log().iter().filter(|line| line["event"] == "create").count();
            assert!(made > 10, "{how}: {}", String::from_utf8_lossy(&output.stderr));
            assert_eq!((place.left(), place.outside()), (Vec::<PathBuf>::new(), [false, false]), "{how}, root {root}");
            if !namespaces {
                let objects = place.objects();
                assert!(objects.len() == 6 && !objects.iter().any(is_there), "{how}: {objects:?}");
            }
        }
    }
    assert!(foreign.is_whole());
}

/// The terminal of the lab is closed: its screen is gone, and so is the run.
#[test]
fn a_terminal_that_is_closed_ends_the_run() {
    for namespaces in [false, true] {
        let place = Place::new();
        // Only written; `run` is what is started on the terminal.
        drop(place.proclab(namespaces, "write stdout \"ready\\n\"\n exec sleep 600"));
        let mut bare = place.bare(namespaces);
        bare.arg("run").arg(place.path("leaves.kdl"));
        let arguments: Vec<_> = [bare.get_program()].into_iter().chain(bare.get_args()).collect();
        let line = arguments.iter().map(|it| it.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let mut script = Command::new("script");
        script.args(["-qfc", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        script.envs(bare.get_envs().filter_map(|(key, value)| Some((key, value?))));
        if namespaces {
            script.env_remove("PROCLAB_NO_NAMESPACES");
        }
        let mut child = script.spawn().expect("script of util-linux");
        let mut shown = BufReader::new(child.stdout.take().expect("piped"));
        // The socket is the last that the scenario makes before it sleeps.
        let mut keys = child.stdin.take().expect("piped");
        keys.write_all(b" ").expect("a key");
        let reader = std::thread::spawn(move || std::io::copy(&mut shown, &mut std::io::sink()));
        while !place.outside()[1] {
            assert!(child.try_wait().expect("script").is_none(), "namespaces {namespaces}: it has ended");
            std::thread::yield_now();
        }
        kill(child.id().cast_signed(), libc::SIGKILL);
        let _ = child.wait();
        drop(keys);
        let _ = reader.join();
        // The lab is no child of this process: it has ended when nothing of it is left.
        while !place.left().is_empty() || place.outside() != [false, false] {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_lab_that_is_killed_is_cleaned_up_after_by_the_next() {
    let (place, foreign) = (Place::new(), Foreign::new());
    let (mut child, mut lines, init) = start(&place, false);
    kill(child.id().cast_signed(), libc::SIGKILL);
    wait_for_all(&mut child, &mut lines);
    let (files, mq) = Place::names(init);
    // It is all still there, for nobody was there to remove it.
    assert!(files.iter().all(|file| file.exists()) && ipc::mq_exists(&mq));
    assert_eq!(place.outside(), [true, true]);
    let journal = place.left().into_iter().find(|path| path.extension().is_some_and(|it| it == "journal"));
    let journal = std::fs::read(journal.expect("a journal")).expect("readable");
    // The first line says where it was written.
    let entries = journal.iter().position(|byte| *byte == b'\n').expect("a line");
    let objects: Vec<Object> = Journal::parse(&journal[entries..])
        .into_iter()
        .filter_map(|made| match made {
            Made::Object(kind, id) => Some((kind.as_str().to_owned(), id)),
            _ => None,
        })
        .collect();
    assert!(objects.len() == 6 && objects.iter().all(is_there), "{objects:?}");
    // Somebody else's queue bears the queue's name by now, and somebody else's file the segment's.
    posix::mq_unlink(&mq).expect("removed");
    posix::mq_open(&mq, 0, &posix::limits(1, 8)).expect("another");
    std::fs::remove_file(&files[0]).expect("removed");
    std::fs::write(&files[0], "another").expect("written");
    let output = place.bare(false).args(["check", "pipes/one-pipe"]).output().expect("proclab");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("left by a run whose lab was killed") && said.contains("message queue"), "{said}");
    assert!(!objects.iter().any(is_there), "{objects:?}");
    assert!(!files[1].exists() && ipc::mq_exists(&mq), "the queue is not the run's");
    posix::mq_unlink(&mq).expect("removed");
    assert_eq!((place.left(), place.outside()), (Vec::<PathBuf>::new(), [false, false]));
    assert_eq!(std::fs::read_to_string(&files[0]).expect("it is not the run's"), "another");
    std::fs::remove_file(&files[0]).expect("removed");
    assert!(foreign.is_whole());
}

#[test]
fn a_lab_with_namespaces_that_is_killed_takes_all_along() {
    let (place, foreign) = (Place::new(), Foreign::new());
    let (mut child, mut lines, init) = start(&place, true);
    assert_ne!(std::fs::read_link(format!("/proc/{init}/ns/ipc")).ok(), std::fs::read_link("/proc/self/ns/ipc").ok());
    kill(child.id().cast_signed(), libc::SIGKILL);
    wait_for_all(&mut child, &mut lines);
    // On its way out it has closed its descriptors before it leaves its namespaces.
    while Path::new(&format!("/proc/{init}/ns/ipc")).exists() {
        std::thread::yield_now();
    }
    assert!(foreign.is_whole());
    // A FIFO outside of the run's file systems has no namespace to go with: that is the next one's.
    assert_eq!(place.outside(), [true, true]);
    let output = place.bare(true).args(["check", "pipes/one-pipe"]).output().expect("proclab");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("outside.sock") && said.contains("left by a run whose lab was killed"),
        "{said}"
    );
    assert_eq!((place.left(), place.outside()), (Vec::<PathBuf>::new(), [false, false]));
}

#[test]
fn a_run_with_namespaces_ends_and_leaves_nothing() {
    let place = Place::new();
    let output = place.proclab(true, "exit 0").output().expect("proclab");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((place.left(), place.outside()), (Vec::<PathBuf>::new(), [false, false]));
}

/// What a program of the run only finds, although it would have made it, is somebody else's.
#[test]
fn what_a_run_finds_stays() {
    let kinds = [ChannelKind::Msg, ChannelKind::Shm, ChannelKind::Sem];
    let mut keys = (0..256).map(|number| (std::process::id().cast_signed() << 8) | number);
    let key = keys.find(|key| !kinds.iter().any(|kind| ipc::object_exists(*kind, *key))).expect("a free key");
    let made = [sysv::msgget(key), sysv::shmget(key, 100), sysv::semget(key, 1)].map(|made| made.expect("made") as i32);
    let objects: Vec<Object> = kinds.iter().map(|kind| kind.as_str().to_owned()).zip(made).collect();
    let place = Place::new();
    let gets = format!("msgget({key}, 01600); shmget({key}, 100, 01600); semget({key}, 1, 01600)");
    let output = place.proclab(false, &format!("exec perl -e \"{gets}\"")).output().expect("proclab");
    let (known, there) = (place.objects(), objects.iter().all(is_there));
    let removed = [sysv::msg_remove(made[0]), sysv::shm_remove(made[1]), sysv::sem_remove(made[2])];
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(objects.iter().all(|object| known.contains(object)), "{objects:?} {known:?}");
    assert!(there && removed == [Ok(0); 3], "{removed:?}");
    // The log says so too.
    let found = |line: &&serde_json::Value| line["event"] == "create" && line["found"] == true;
    let found: BTreeSet<String> =
        place.log().iter().filter(found).filter_map(|line| Some(line["kind"].as_str()?.to_owned())).collect();
    assert_eq!(found, kinds.iter().map(|kind| kind.as_str().to_owned()).collect());
    assert_eq!((place.left(), place.outside()), (Vec::<PathBuf>::new(), [false, false]));
}

/// Objects of another IPC namespace bear the same identifiers as those of this one, and are others.
#[test]
fn objects_of_two_namespaces_are_told_apart() {
    let own = sysv::msgget(libc::IPC_PRIVATE).expect("a queue") as i32;
    let place = Place::new();
    // As many queues as it takes in a new namespace to come to the identifier of ours.
    let inner = "my @made = map { msgget(0x7000 + $_, 01600) } 1 .. 2; msgsnd($made[0], pack(q(l!a*), 1, q(in)), 0);";
    let outer = "my $id = msgget(0x7001, 01600); msgsnd($id, pack(q(l! a*), 1, q(outer)), 0); msgctl($id, 0, 0);";
    let line = format!("unshare -ri perl -e '{inner}' && perl -e '{outer}'");
    let mut command = place.bare(false);
    command.args(["record", "-o"]).arg(place.path("log")).args(["--", "sh", "-c", &line]);
    let output = command.stdin(Stdio::null()).output().expect("proclab");
    let whole = is_there(&("msg".to_owned(), own));
    let removed = sysv::msg_remove(own);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(whole && removed == Ok(0), "what bears the identifier here is not the run's");
    let log = place.log();
    let of = |event: &str| log.iter().filter(|line| line["event"] == event).cloned().collect::<Vec<_>>();
    let made: Vec<_> = of("create").into_iter().filter(|line| line["kind"] == "msg").collect();
    assert_eq!(made.len(), 3, "{made:?}");
    let written: BTreeSet<String> =
        of("write").iter().filter(|line| line["call"] == "msgsnd").map(|line| line["channel"].to_string()).collect();
    assert_eq!(written.len(), 2, "{written:?}");
}
