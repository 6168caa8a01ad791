//! Recordings: a log as JSON Lines, out and in again. Pure but for the reader and the writer that
//! it is given.
//!
//! The first line is the header, every further line is one event, and the whole is made to be read
//! with `jq`: tasks and channels go by name, signals and errors too. `docs/events.md` is the
//! reference. What a line says beyond its event (PIDs, `holders`) follows from the lines before it,
//! so that a recording that was read and written again is the same to the byte.

mod fields;
mod json;
mod line;
mod reader;
mod readiness;
mod resolve;
mod words;
mod writer;

pub use reader::{Damage, Reading, read};
pub use writer::{Writer, write};

/// The version of the format that this module writes, and the newest that it reads.
pub const FORMAT: u64 = 1;

/// The longest line that is read, in bytes. A longer one is damage.
pub const MAX_LINE: u64 = 16 << 20;

/// The names of all events, in the order of `docs/events.md`.
pub const EVENTS: [&str; 53] = [
    "spawn",
    "exec",
    "exit",
    "reap",
    "reparent",
    "group",
    "create",
    "open",
    "pass",
    "dup",
    "flags",
    "seek",
    "close",
    "capacity",
    "unlink",
    "destroy",
    "write",
    "read",
    "drop",
    "address",
    "listen",
    "connect",
    "accept",
    "shutdown",
    "get",
    "attach",
    "load",
    "store",
    "detach",
    "sem",
    "lock",
    "block",
    "unblock",
    "monitor",
    "action",
    "mask",
    "signal",
    "interrupted",
    "altstack",
    "timer",
    "syscall",
    "line",
    "note",
    "clock",
    "limit",
    "diagnosis",
    "hold",
    "terminal",
    "foreground",
    "window",
    "copied",
    "asleep",
    "end",
];
