//! The interpreter that runs in scenario processes.
//!
//! A scenario process is this binary, re-executed. Its first process, *init*, reads its orders, forks
//! the root processes and then only reaps; each root interprets its block. Everything an interpreter
//! needs is made before the first statement: from then on it allocates nothing and takes no lock, so
//! that a `fork` is a real fork and a handler's block can run inside the real handler.

mod book;
mod ipc;
mod line;
mod machine;
mod memory;
pub mod own;
mod prepared;
mod registry;
mod signals;
mod sockets;
mod statement;

use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::scenario;
use crate::sys::seccomp::Filter;
use crate::sys::{Error, call};

pub use machine::Machine;

/// The hidden argument that makes this binary the first process of a scenario.
pub const COMMAND: &str = "__init";

/// The marker that a root process makes when it is ready: first argument.
pub const ROOT_READY: u64 = 0xffff;

/// What the first process of a scenario is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// The scenario's name.
    pub name: String,
    /// The text of its file.
    pub source: String,
    /// The numbers of the calls that stop.
    pub filter: Vec<u32>,
    /// The number of the marker.
    pub marker: u32,
    /// Whether it leads a session that has a terminal: the root processes are its foreground group.
    pub terminal: bool,
}

impl Orders {
    /// As text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The whole life of the first process of a scenario. `fd` leads to its orders. It ends with the run,
/// by being killed; it returns only if that cannot begin, and says why.
pub fn init(fd: i32) -> String {
    let mut text = String::new();
    if let Err(error) = call::inherited_file(fd).read_to_string(&mut text) {
        return format!("cannot read the orders: {error}");
    }
    let orders: Orders = match serde_json::from_str(&text) {
        Ok(orders) => orders,
        Err(error) => return format!("cannot understand the orders: {error}"),
    };
    // A thread here would take the PID that the first root shall have.
    let Ok(scenario) = scenario::parse_again(&orders.name, &orders.source) else {
        return format!("{} is no longer a scenario", orders.name);
    };
    let filter = Filter::stopping(orders.filter.iter().copied());
    let own = match own::Own::of_this_run(&scenario.program) {
        Ok(own) => own,
        Err(error) => return error,
    };
    // Everything that interpreters use lives for ever: no destructor runs in them.
    let machine: &'static Machine = Box::leak(Box::new(Machine::new(scenario.program, orders.marker, &own)));
    call::set_runner(Box::new(move |signal| machine.handle(signal)));
    let _ = call::close_from(3);
    let _ = call::subreaper();
    call::reset_signals();
    let mut foreground = None;
    for number in 0..machine.roots() {
        match call::fork() {
            Ok(0) => run_root(machine, number, orders.terminal.then_some(foreground.unwrap_or(0)), &filter),
            Ok(first) => foreground = foreground.or(Some(first as i32)),
            Err(errno) => return Error::new("fork", "a process of the scenario", errno).with_hint(),
        }
    }
    // The end of the terminal is not the end of the run.
    let _ = call::sigaction(libc::SIGHUP, call::Handling::Ignore);
    // Orphans end here; with SIGCHLD ignored the kernel reaps them.
    let _ = call::sigaction(libc::SIGCHLD, call::Handling::Ignore);
    loop {
        let _ = call::pause();
    }
}

/// `foreground` is the process group in the foreground of the terminal, if there is one: 0 before the
/// first root has made it.
fn run_root(machine: &'static Machine, number: usize, foreground: Option<i32>, filter: &Filter) -> ! {
    // As a shell does it: each root is a job of its own, or on a terminal all of them one in its foreground.
    let _ = call::setpgid(0, foreground.unwrap_or(0));
    if foreground == Some(0) {
        // Who is not in the foreground yet may only ask for it without SIGTTOU (tcsetpgrp(3)).
        let _ = call::sigaction(libc::SIGTTOU, call::Handling::Ignore);
        let _ = call::terminal::group_of(0).and_then(|group| call::terminal::tcsetpgrp(0, group as i32));
        let _ = call::sigaction(libc::SIGTTOU, call::Handling::Default);
    }
    machine.register_root(number);
    if let Err(error) = filter.install() {
        let error = Error { target: "a process of the scenario".to_owned(), ..error };
        let _ = nix::unistd::write(std::io::stderr(), format!("proclab: {}\n", error.with_hint()).as_bytes());
        call::exit(126);
    }
    let _ = call::mark(machine.marker(), ROOT_READY, number as u64);
    machine.run_root(number)
}
