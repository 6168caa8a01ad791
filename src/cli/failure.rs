//! Why a command could not do what it was asked for.

use super::Exit;
use crate::scenario::library;
use crate::sys;
use crate::text;

/// A sentence for the user, and the exit status that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What failed, on what, and what to do next.
    pub message: String,
    /// How the program ends.
    pub exit: Exit,
}

impl Failure {
    /// Usage, or an invalid file.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: Exit::INVALID }
    }

    /// The machine cannot do it.
    pub fn machine(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: Exit::MACHINE }
    }

    /// There is no such program, or it is none: what was asked for cannot be meant.
    pub fn no_program(program: &str, errno: i32) -> Self {
        let error = sys::Error::new("execve", program, errno);
        Self::usage(format!("cannot run {}", with_hint(&error)))
    }

    /// A file cannot be read or written.
    pub fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::usage(format!("cannot {doing} {}: {}", text::path(path), text::io_error(error)))
    }

    /// The lab reports how it failed as a sentence; where that is about a program that could not be
    /// loaded, the user asked for something that is not there.
    pub fn of_run(sentence: &str) -> Self {
        match sentence.strip_prefix("execve ") {
            Some(rest) => Self::usage(format!("cannot run {rest}")),
            None => Self::machine(format!("the run failed: {sentence}")),
        }
    }
}

/// `nosuch: ENOENT (No such file or directory); there is no such program …`
fn with_hint(error: &sys::Error) -> String {
    let text = error.with_hint();
    text.strip_prefix("execve ").unwrap_or(&text).to_owned()
}

impl From<sys::Error> for Failure {
    fn from(error: sys::Error) -> Self {
        if error.call == "execve" {
            return Self::no_program(&error.target, error.errno);
        }
        Self::machine(format!("cannot start the run: {}", with_hint(&error)))
    }
}

impl From<library::Error> for Failure {
    fn from(error: library::Error) -> Self {
        Self::usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_cannot_be_run_are_the_users_mistake() {
        let missing = Failure::no_program("nosuch", libc::ENOENT);
        assert_eq!(missing.exit, Exit::INVALID);
        assert!(missing.message.starts_with("cannot run nosuch: ENOENT (No such file or directory); there is no such"));
        assert_eq!(Failure::from(sys::Error::new("execve", "x", libc::EACCES)).exit, Exit::INVALID);
        let late = Failure::of_run("execve ./a: ENOENT (No such file or directory); hint");
        assert_eq!(late.exit, Exit::INVALID);
        assert_eq!(Failure::of_run("execve ./a: ENOEXEC (Exec format error)").exit, Exit::INVALID);
        assert_eq!(Failure::of_run("ptrace process 1: EPERM (…)").exit, Exit::MACHINE);
    }

    #[test]
    fn errors_of_the_machine_come_with_their_hint() {
        let failure = Failure::from(sys::Error::new("ptrace", "process 17", libc::EPERM));
        assert_eq!(failure.exit, Exit::MACHINE);
        assert!(failure.message.contains("ptrace_scope"), "{}", failure.message);
    }
}
