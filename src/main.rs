//! The binary: parse, run, exit status.

use std::process::ExitCode;

use proclab::cli::{self, Exit};

fn main() -> ExitCode {
    // A scenario process is this binary too. It must find nothing but what the kernel gave it.
    if let Some(exit) = cli::scenario_process() {
        return exit;
    }
    cli::install_hooks();
    match cli::main() {
        Exit::Code(code) => ExitCode::from(code),
        Exit::Signal(signal) => {
            proclab::sys::signal::die_of(signal);
            // Only if that signal ends nobody.
            ExitCode::from(128_u8.saturating_add(signal as u8))
        }
    }
}
