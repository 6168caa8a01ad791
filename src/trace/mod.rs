//! Stops become events: the tracer, its tables, and one decoder for each family of calls.
//!
//! [`Tracer`] knows how to see and how to let go; whose turn it is, `control` decides. What it holds
//! besides the log's own world is only what cannot be logged: proofs of being stopped, and calls
//! between their entry and their exit.

mod access;
mod again;
mod arguments;
mod birth;
mod block;
pub mod calls;
mod changes;
mod channels;
mod clock;
mod copies;
mod decode;
mod delivery;
mod describe;
mod ending;
mod forced;
mod frames;
mod futex;
mod hands;
mod hidden;
mod instruction;
mod journal;
mod launch;
mod limits;
mod missed;
mod page;
mod passage;
mod pending;
mod process_one;
mod ptys;
mod reach;
mod real;
mod recorder;
mod sandbox;
mod sleep;
mod sockets;
mod terminals;
mod time;
mod tracee;
mod tracer;
mod untraced;
mod waste;
mod watch;

pub use journal::{Journal, Made};
pub use launch::Output;
pub use recorder::Recorder;
pub use terminals::LabTerminal;
pub use tracee::{Call, Rest};
pub use tracer::{Options, Tracer};
