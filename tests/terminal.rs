//! The lab on a real terminal: what it draws, and that it gives the terminal back.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};

const PATIENCE: Duration = Duration::from_secs(20);

struct Terminal {
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    pid: nix::unistd::Pid,
    ended: Receiver<ExitStatus>,
    screen: Arc<Shown>,
}

/// What the terminal shows, and who waits for it to change.
struct Shown {
    parser: Mutex<vt100::Parser>,
    raw: Mutex<Vec<u8>>,
    changed: Condvar,
}

impl Terminal {
    /// Runs the example program, which shows a recording.
    fn run(arguments: &str) -> Self {
        let mut command = CommandBuilder::new(example());
        command.args(arguments.split(' '));
        command.cwd(env!("CARGO_MANIFEST_DIR"));
        Self::spawn(command)
    }

    fn spawn(mut command: CommandBuilder) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).expect("a terminal");
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env_remove("NO_COLOR");
        command.env("RUST_BACKTRACE", "0");
        let mut child = pty.slave.spawn_command(command).expect("the example program");
        drop(pty.slave);
        let (rows, columns) = (NonZero::new(24).expect("rows"), NonZero::new(80).expect("columns"));
        let parser = Mutex::new(vt100::Parser::new(rows, columns, 0));
        let screen = Arc::new(Shown { parser, raw: Mutex::new(Vec::new()), changed: Condvar::new() });
        let mut reader = pty.master.try_clone_reader().expect("a reader");
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                shown.raw.lock().expect("the bytes").extend_from_slice(&chunk[..n]);
                shown.parser.lock().expect("the screen").process(&chunk[..n]);
                shown.changed.notify_all();
            }
        });
        let pid = nix::unistd::Pid::from_raw(child.process_id().expect("a PID") as i32);
        let (sender, ended) = channel();
        std::thread::spawn(move || child.wait().map(|status| sender.send(status)));
        let writer = pty.master.take_writer().expect("a writer");
        Self { master: pty.master, writer, pid, ended, screen }
    }

    fn send(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).expect("typing");
        self.writer.flush().expect("typing");
    }

    fn contents(&self) -> String {
        self.screen.parser.lock().expect("the screen").screen().contents()
    }

    /// Waits until the screen is as it should be; what is not yet so is said if it never comes.
    fn wait_until(&self, missing: impl Fn(&vt100::Screen) -> Option<String>) {
        let parser = self.screen.parser.lock().expect("the screen");
        let not_yet = |parser: &mut vt100::Parser| missing(parser.screen()).is_some();
        let waited = self.screen.changed.wait_timeout_while(parser, PATIENCE, not_yet);
        let (parser, _) = waited.expect("the screen");
        if let Some(missing) = missing(parser.screen()) {
            panic!("{missing} in\n{}", parser.screen().contents());
        }
    }

    fn wait_for(&self, text: &str) {
        self.wait_until(|screen| (!screen.contents().contains(text)).then(|| format!("no {text:?}")));
    }

    fn wait_for_end(&self) -> ExitStatus {
        self.ended.recv_timeout(PATIENCE).expect("it ends")
    }

    const fn pid(&self) -> nix::unistd::Pid {
        self.pid
    }

    /// Nothing is left of what the lab did to the terminal.
    fn is_restored(&self) {
        self.shows_the_shell();
        let termios = self.master.get_termios().expect("the modes");
        assert_ne!(termios.local_flags.bits() & libc::ICANON, 0, "canonical mode");
        assert_ne!(termios.local_flags.bits() & libc::ECHO, 0, "echo");
    }

    fn shows_the_shell(&self) {
        self.wait_until(|screen| left_on(screen).map(|left| format!("{left} is not as it was")));
    }
}

/// What is not as a shell leaves it.
fn left_on(screen: &vt100::Screen) -> Option<&'static str> {
    let left = [
        (screen.alternate_screen(), "the alternate screen"),
        (screen.hide_cursor(), "the cursor"),
        (screen.bracketed_paste(), "bracketed paste"),
        (screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None, "the mouse"),
    ];
    left.into_iter().find(|(left, _)| *left).map(|(_, what)| what)
}

/// `target/debug/examples/screen`, which cargo builds together with the tests.
fn example() -> PathBuf {
    let mut path = std::env::current_exe().expect("the path of the test");
    path.pop();
    path.pop();
    path.join("examples").join("screen")
}

#[test]
fn it_draws_answers_keys_and_leaves() {
    let mut terminal = Terminal::run("one-pipe");
    terminal.wait_for("event 0 of 36");
    terminal.send("\x1b[C\x1b[C");
    terminal.wait_for("event 9 of 36");
    terminal.master.resize(PtySize { rows: 10, cols: 40, pixel_width: 0, pixel_height: 0 }).expect("resizing");
    terminal.wait_for("needs 80×24");
    terminal.send("q");
    assert!(terminal.wait_for_end().success());
    terminal.is_restored();
}

#[test]
fn real_processes_are_stepped_rewound_restarted_and_left() {
    let mut terminal = Terminal::run("live scenarios/pipes/one-pipe.kdl");
    terminal.wait_for("paused");
    terminal.wait_for("seed 7");
    terminal.send("ss");
    terminal.wait_for("▸ close p");
    terminal.send("b");
    terminal.wait_for("back in the log");
    terminal.send("G]]]] ");
    terminal.wait_for("ended");
    terminal.send("R");
    terminal.wait_for("seed 8");
    terminal.wait_for("paused");
    terminal.send("s");
    terminal.wait_for("2 parent");
    terminal.send("q");
    assert!(terminal.wait_for_end().success());
    terminal.is_restored();
}

#[test]
fn signals_are_sent_suppressed_replaced_and_held_by_keys() {
    let mut terminal = Terminal::run("live scenarios/signals/graceful-shutdown.kdl");
    terminal.wait_for("paused");
    terminal.send(":break task child\r");
    terminal.wait_for("stop when child");
    terminal.send("]]]] ");
    terminal.wait_for("paused: child is about to move");
    terminal.send(":break clear\rsss");
    terminal.wait_for("event 16 of 16");
    terminal.send("K");
    terminal.wait_for("kill TERM");
    terminal.send("usr1\r");
    terminal.wait_for("kill USR1 thread child");
    terminal.send("\r");
    terminal.wait_for("you sent SIGUSR1 to child");
    terminal.send("1zs");
    terminal.wait_for("about to be delivered SIGUSR1 (Term)");
    terminal.send("e");
    terminal.send("INT\r");
    terminal.wait_for("SIGUSR1 replaced");
    terminal.wait_for("about to be delivered SIGINT (Term)");
    terminal.send("d");
    terminal.wait_for("SIGINT suppressed");
    terminal.send("H");
    terminal.wait_for("you hold child");
    terminal.wait_for("held by you");
    terminal.send("H");
    terminal.wait_for("child goes on");
    terminal.send("b");
    terminal.wait_for("back in the log");
    terminal.send("K");
    terminal.wait_for("this is the past");
    terminal.send("G:kill NOPE x\r");
    terminal.wait_for("no signal is called NOPE");
    terminal.send("\x1b");
    terminal.wait_until(|screen| screen.contents().contains("Esc closes").then(|| "the palette".to_owned()));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("r");
    terminal.send(&format!(":write {}\r", file.display()));
    terminal.wait_for("events written");
    let reading = proclab::record::read(std::io::BufReader::new(std::fs::File::open(&file).expect("a file")));
    assert_eq!(reading.expect("a recording").problem, None);
    terminal.send("q");
    assert!(terminal.wait_for_end().success());
    terminal.is_restored();
}

#[test]
fn a_recording_says_why_nothing_can_be_sent() {
    let mut terminal = Terminal::run("signals");
    terminal.wait_for("event 0 of");
    for key in ["K", "d", "e", "H"] {
        terminal.send(key);
        terminal.wait_for("a recording has no processes");
    }
    terminal.send("q");
    assert!(terminal.wait_for_end().success());
}

#[test]
fn a_busy_run_does_not_hold_up_the_keys() {
    let mut terminal = Terminal::run("trace dd if=/dev/zero of=/dev/null bs=1 count=200000000 status=none");
    terminal.wait_for("write /dev/null");
    for _ in 0..5 {
        let began = Instant::now();
        terminal.send("?");
        terminal.wait_for("any other key closes");
        // 50 ms is promised; a test machine may be slow and this is not an optimised build.
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        terminal.send("q");
        terminal.wait_until(|screen| screen.contents().contains("any other key closes").then(|| "help".to_owned()));
    }
    terminal.send("q");
    assert!(terminal.wait_for_end().success());
    terminal.is_restored();
}

#[test]
fn keys_are_answered_at_once() {
    let mut terminal = Terminal::run("one-pipe");
    terminal.wait_for("event 0 of 36");
    let began = Instant::now();
    terminal.send("/by a person who types very fast, faster than anybody could");
    terminal.wait_for("faster than anybody could");
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    terminal.send("\r");
    terminal.wait_for("no event matches");
    terminal.send("q");
    terminal.wait_for_end();
}

#[test]
fn signals_end_it_properly() {
    for signal in
        [nix::sys::signal::Signal::SIGTERM, nix::sys::signal::Signal::SIGHUP, nix::sys::signal::Signal::SIGINT]
    {
        let terminal = Terminal::run("one-pipe");
        terminal.wait_for("event 0 of 36");
        nix::sys::signal::kill(terminal.pid(), signal).expect("kill");
        assert!(terminal.wait_for_end().success(), "{signal}");
        terminal.is_restored();
    }
}

#[test]
fn a_panic_is_readable() {
    let terminal = Terminal::run("panic");
    assert!(!terminal.wait_for_end().success());
    terminal.wait_for("the engine is broken");
    terminal.is_restored();
}

#[test]
fn a_run_that_cannot_start_says_why() {
    let terminal = Terminal::run("refused");
    assert!(!terminal.wait_for_end().success());
    terminal.wait_for("cannot start ./a.out: execve: ENOENT");
    terminal.is_restored();
}

#[test]
fn the_terminal_may_vanish() {
    let terminal = Terminal::run("one-pipe");
    terminal.wait_for("event 0 of 36");
    let Terminal { master, writer, pid, ended, .. } = terminal;
    drop(writer);
    drop(master);
    // The reader's copy of the descriptor keeps the terminal; SIGHUP is what a shell would send.
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).expect("kill");
    ended.recv_timeout(PATIENCE).expect("it ends");
}

#[test]
fn control_z_gives_the_terminal_back_for_a_while() {
    let mut shell = CommandBuilder::new("sh");
    shell.args(["-i"]);
    let mut terminal = Terminal::spawn(shell);
    terminal.send(&format!("{} one-pipe\r", example().display()));
    terminal.wait_for("event 0 of 36");
    terminal.send("\x1a");
    terminal.wait_for("Stopped");
    terminal.shows_the_shell();
    terminal.send("fg\r");
    terminal.wait_for("event 0 of 36");
    terminal.send("\x1b[C");
    terminal.wait_for("event 1 of 36");
    terminal.send("q");
    terminal.wait_for("Back");
    terminal.send("exit\r");
    terminal.wait_for_end();
}

#[test]
fn no_program_can_steer_the_terminal() {
    let mut terminal = Terminal::run("hostile");
    terminal.wait_for("event 0 of");
    for keys in ["\x1b[F", "6", "6", "6", "6", "2z", "x", "z1z", "z5z"] {
        let before = terminal.contents();
        terminal.send(keys);
        terminal.wait_until(|screen| (screen.contents() == before).then(|| format!("nothing new after {keys:?}")));
    }
    terminal.send("q");
    assert!(terminal.wait_for_end().success());
    terminal.is_restored();
    let raw = terminal.screen.raw.lock().expect("the bytes");
    let holds = |needle: &[u8]| raw.windows(needle.len()).any(|window| window == needle);
    assert!(!holds(b"\x1b]0;"), "a title");
    assert!(!holds(b"\x07"), "a bell");
    assert!(!holds("\u{202e}".as_bytes()), "a change of direction");
}

#[test]
fn without_a_terminal_it_says_so() {
    let output = std::process::Command::new(example()).stdin(std::process::Stdio::null()).output().expect("running");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("is not a terminal"), "{said}");
}
