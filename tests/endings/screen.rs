//! The screen: signals of all kinds, and a terminal that goes away.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::{HARMLESS, Place, end_of, fatal, pid_of, send};

/// How long nothing may be drawn although something is expected, in milliseconds.
const WAIT: u16 = 30_000;
/// A byte that the lab never writes.
const MARK: u8 = 0x05;

/// A lab on a terminal of its own, the leader of its session.
pub struct OnTerminal {
    lab: Child,
    master: File,
    slave: OwnedFd,
    shown: vt100::Parser,
}

impl OnTerminal {
    pub fn start(place: &Place, args: &[&str]) -> Self {
        Self::start_program(place, &[&[env!("CARGO_BIN_EXE_proclab")], args].concat())
    }

    /// Any program, as the leader of a session on a terminal.
    fn start_program(place: &Place, command: &[&str]) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        for side in [&pty.master, &pty.slave] {
            fcntl(side, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("closed in others");
        }
        let terminal = || Stdio::from(pty.slave.try_clone().expect("a copy"));
        let mut starting = place.command("setsid", &[&["-c"], command].concat());
        starting.env("PROCLAB_NO_NAMESPACES", "1");
        starting.stdin(terminal()).stdout(terminal()).stderr(terminal());
        let lab = starting.spawn().expect("started");
        let shown = vt100::Parser::new(24.try_into().expect("rows"), 80.try_into().expect("columns"), 0);
        Self { lab, master: pty.master.into(), slave: pty.slave, shown }
    }

    /// Takes in what is drawn, or nothing if nothing is in so many milliseconds. Returns how much.
    fn take_in(&mut self, wait: u16) -> usize {
        let mut chunk = [0; 4096];
        let mut master = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut master, PollTimeout::from(wait)).expect("poll");
        let count = if ready == 0 { 0 } else { self.master.read(&mut chunk).unwrap_or(0) };
        self.shown.process(&chunk[..count]);
        count
    }

    pub fn wait_for(&mut self, text: &str) {
        while !self.shown.screen().contents().contains(text) {
            let count = self.take_in(WAIT);
            assert_ne!(count, 0, "no {text:?} in\n{}", self.shown.screen().contents());
        }
    }

    pub fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("typed");
    }

    /// The status, once everything that was drawn has been taken in.
    pub fn end(&mut self) -> Option<i32> {
        let mut master = self.master.try_clone().expect("a copy");
        let shown = &mut self.shown;
        let (lab, slave) = (&mut self.lab, &self.slave);
        std::thread::scope(|scope| {
            // The terminal is read meanwhile, so that nobody waits for room. This side has the slave open, so the
            // master does not hang up: a mark says where the end is.
            scope.spawn(move || {
                let mut chunk = [0; 4096];
                loop {
                    let count = master.read(&mut chunk).expect("read");
                    shown.process(&chunk[..count]);
                    if chunk[..count].contains(&MARK) {
                        return;
                    }
                }
            });
            let status = end_of(lab);
            nix::unistd::write(slave, &[MARK]).expect("written");
            status.code()
        })
    }

    pub fn pid(&self) -> nix::unistd::Pid {
        pid_of(&self.lab)
    }

    pub fn text(&self) -> String {
        self.shown.screen().contents()
    }

    #[track_caller]
    fn is_restored(&self, after: &str) {
        let modes = tcgetattr(&self.slave).expect("the modes");
        assert!(modes.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO), "raw after {after}");
        let screen = self.shown.screen();
        assert!(
            !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste(),
            "drawn after {after}"
        );
        let text = screen.contents();
        assert!(!text.contains("panicked") && !text.contains("rror"), "after {after}: {text}");
    }
}

const RUN: [&str; 2] = ["run", "pipes/one-pipe"];

#[test]
fn every_signal_ends_the_screen_as_term_does() {
    let signals: Vec<i32> = fatal().collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(&signal) = signals.get(next.fetch_add(1, Ordering::Relaxed)) {
            let place = Place::new();
            let mut terminal = OnTerminal::start(&place, &RUN);
            terminal.wait_for("paused");
            send(pid_of(&terminal.lab), signal);
            assert_eq!(terminal.end(), Some(128 + signal), "signal {signal}");
            terminal.is_restored(&format!("signal {signal}"));
            assert!(place.left().is_empty(), "signal {signal} leaves {:?}", place.left());
        }
    };
    std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(work))));
}

#[test]
fn what_ends_nobody_does_not_end_the_screen() {
    let place = Place::new();
    let mut terminal = OnTerminal::start(&place, &RUN);
    terminal.wait_for("paused");
    // The leader of a session has nobody who could continue it, so that the kernel stops it for none of these.
    for signal in HARMLESS.into_iter().chain([libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU]) {
        if signal != libc::SIGKILL {
            send(pid_of(&terminal.lab), signal);
        }
    }
    terminal.type_in("?");
    terminal.wait_for("any other key closes");
    terminal.type_in("qq");
    assert_eq!(terminal.end(), Some(0));
    terminal.is_restored("q");
}

#[test]
fn a_terminal_that_is_closed_ends_every_screen_quietly() {
    let place = Place::new();
    let recorded = place.lab(&["record", "-o", "log", "pipes/one-pipe"]).output().expect("recorded");
    assert!(recorded.status.success());
    let screens: [(&[&str], &str); 4] = [
        (&RUN, "paused"),
        (&[], "a laboratory for processes"),
        (&["replay", "log"], "event 0 of"),
        (&["trace", "sh", "-c", "echo here; exec sleep 1000"], "here"),
    ];
    for (args, prompt) in screens {
        let mut terminal = OnTerminal::start(&place, args);
        terminal.wait_for(prompt);
        let OnTerminal { mut lab, master, slave, .. } = terminal;
        drop((master, slave));
        let status = end_of(&mut lab);
        assert_eq!(status.code(), Some(128 + libc::SIGHUP), "{args:?}: {status:?}");
        assert!(place.left().is_empty(), "{args:?} leaves {:?}", place.left());
    }
}

#[test]
fn a_terminal_that_nobody_reads_does_not_keep_the_lab() {
    let place = Place::new();
    let mut terminal = OnTerminal::start(&place, &["trace", "sh", "-c", "while :; do echo here $((x+=1)); done"]);
    terminal.wait_for("here");
    // Nobody reads the master any more, so that sooner or later there is no room for the next frame.
    let has_room = || {
        let mut slave = [PollFd::new(terminal.slave.as_fd(), PollFlags::POLLOUT)];
        poll(&mut slave, PollTimeout::ZERO).expect("poll") == 1
    };
    while has_room() {
        std::thread::yield_now();
    }
    send(pid_of(&terminal.lab), libc::SIGTERM);
    assert_eq!(end_of(&mut terminal.lab).code(), Some(128 + libc::SIGTERM));
}

#[test]
fn the_shell_stops_the_screen_and_brings_it_back() {
    // An interactive shell: its jobs are groups of their own, which can be stopped.
    for stop in ["TSTP", "TTIN", "STOP"] {
        let place = Place::new();
        let lab = env!("CARGO_BIN_EXE_proclab");
        let mut terminal = OnTerminal::start_program(&place, &["sh", "-i"]);
        terminal.type_in(&format!("{lab} run pipes/one-pipe\r"));
        terminal.wait_for("paused");
        let lab = child_of(pid_of(&terminal.lab).as_raw());
        send(nix::unistd::Pid::from_raw(lab), nix_number(stop));
        terminal.wait_for("Stopped");
        if stop != "STOP" {
            let modes = tcgetattr(&terminal.slave).expect("the modes");
            assert!(modes.local_flags.contains(LocalFlags::ICANON), "cooked after {stop}");
            assert!(!terminal.shown.screen().alternate_screen(), "the shell's screen after {stop}");
        }
        // Nobody translates a carriage return where the modes are still those of the screen.
        terminal.type_in("fg\n");
        // What the shell has written over the screen is gone when that is drawn anew.
        while terminal.text().contains("Stopped") {
            assert_ne!(terminal.take_in(WAIT), 0, "{}", terminal.text());
        }
        terminal.wait_for("paused");
        terminal.type_in("?");
        terminal.wait_for("any other key closes");
        terminal.type_in("qq");
        // As long as the lab lives, what is typed is for it.
        while std::path::Path::new(&format!("/proc/{lab}")).exists() {
            terminal.take_in(10);
        }
        terminal.type_in("exit\n");
        terminal.end();
    }
}

fn nix_number(name: &str) -> i32 {
    use std::str::FromStr as _;
    nix::sys::signal::Signal::from_str(&format!("SIG{name}")).expect("a signal") as i32
}

/// The child of a process that has one.
fn child_of(pid: i32) -> i32 {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("the children");
    list.split_whitespace().next().expect("a child").parse().expect("a PID")
}
