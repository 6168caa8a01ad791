//! The session: who moves next, and who says so.
//!
//! A [`Session`] runs the engine on a thread of its own, because ptrace(2) ties tracees to the thread
//! that started them. Commands go in, updates come out; the screen, `record` and `check` are three
//! users of the same interface.

mod bench;
mod breakpoints;
mod ending;
mod engine;
mod hands;
mod home;
mod leftovers;
mod plan;
mod quiet;
mod run_dir;
mod scheduler;
mod settle;
mod sink;
mod stepping;
mod telling;
mod typing;

use std::sync::mpsc;

pub use bench::{Isolation, probe_namespaces};
pub use plan::{
    Answer, Breakpoint, Command, Ending, Hand, Next, Outcome, Pace, Plan, Start, Status, Stdio, Subject, Terminal, To,
    Update,
};
pub use run_dir::{place, sweep};
pub use sink::Sink;

use crate::model::Header;
use crate::sys;

/// How many updates may wait before the run waits for its user.
const UPDATES: usize = 64;

/// A run, under control. Dropping it ends the run and waits until nothing of it is left.
#[derive(Debug)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    updates: Option<mpsc::Receiver<Update>>,
    pulse: sys::Pulse,
    thread: Option<std::thread::JoinHandle<()>>,
    header: Header,
}

impl Session {
    /// Starts a run.
    pub fn start(plan: Plan) -> sys::Result<Self> {
        Self::start_into(plan, None)
    }

    /// Starts a run whose log goes into a sink, if there is one, and else comes with the updates.
    pub fn start_into(plan: Plan, sink: Option<Box<dyn Sink>>) -> sys::Result<Self> {
        sys::needs::check_all()?;
        let (commands, received) = mpsc::channel();
        let (sender, updates) = mpsc::sync_channel(UPDATES);
        let (report, started) = mpsc::channel();
        let thread = std::thread::Builder::new().name("tracer".into()).spawn(move || {
            engine::run(plan, received, sender, sink, &report);
        });
        let thread = thread.map_err(|error| sys::needs::no_thread("the tracer's thread", &error))?;
        let failed = || sys::Error::new("ptrace", "the tracer's thread ended early", libc::ECHILD);
        let (header, pulse) = started.recv().map_err(|_| failed())??;
        Ok(Self { commands, updates: Some(updates), pulse, thread: Some(thread), header })
    }

    /// What a recording of it begins with.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Asks for something. A run that has ended ignores it.
    pub fn send(&self, command: Command) {
        let ends = command == Command::End;
        drop(self.commands.send(command));
        if ends { self.pulse.hurry() } else { self.pulse.call() }
    }

    /// Whether the run waits for somebody to read what it writes.
    pub fn waits_for_reader(&self) -> bool {
        self.pulse.is_full()
    }

    /// What the session tells; `try_recv` never waits.
    ///
    /// # Panics
    /// Never: the receiver is there until the session is dropped.
    pub fn updates(&self) -> &mpsc::Receiver<Update> {
        #[expect(clippy::unwrap_used, reason = "it is taken in drop only")]
        self.updates.as_ref().unwrap()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.send(Command::End);
        // A run that waits for room to tell something must not wait for ever.
        drop(self.updates.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
