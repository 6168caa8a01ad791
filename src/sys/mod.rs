//! Everything that the language cannot check: ptrace, fork, namespaces, signals, other memory.
//!
//! The only module with `unsafe`. Each block says why it is sound; each wrapper gives back an
//! [`Error`] that names the call and its object.
#![allow(unsafe_code, reason = "this is where it lives; every block has its SAFETY sentence")]

mod allocator;
pub mod call;
pub mod clock;
pub mod detour;
pub mod directory;
mod error;
pub mod fdinfo;
pub mod ipc;
pub mod look;
pub mod memory;
pub mod needs;
pub mod peek;
pub mod procfs;
pub mod ptrace;
mod pulse;
pub mod requests;
pub mod seccomp;
pub mod senders;
pub mod served;
pub mod signal;
pub mod sockets;
pub mod spawn;
pub mod standard;
pub mod terminal;

pub use error::{Error, Result};
pub use pulse::Pulse;
