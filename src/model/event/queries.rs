//! What can be asked of an event whatever it tells of.

use super::Kind;
use crate::model::{Blob, ChannelId};

impl Kind {
    /// The payload that belongs to it.
    pub const fn blob(&self) -> Blob {
        match *self {
            Self::Exec { argv, .. } => argv,
            Self::Write { data, .. } | Self::Read { data, .. } | Self::Load { data, .. } | Self::Store { data, .. } => {
                data
            }
            Self::Syscall { args } => args,
            Self::Block { wanted, .. } => wanted,
            Self::Diagnosis { parties, .. } | Self::Asleep { parties } => parties,
            _ => Blob::EMPTY,
        }
    }

    /// The channel that it is about, if it is about one.
    pub const fn channel(&self) -> Option<ChannelId> {
        match *self {
            Self::Open { channel, .. }
            | Self::Pass { channel, .. }
            | Self::Create { channel, .. }
            | Self::Destroy { channel }
            | Self::Unlink { channel }
            | Self::Get { channel, .. }
            | Self::Attach { channel, .. }
            | Self::Detach { channel, .. }
            | Self::Capacity { channel, .. }
            | Self::Write { channel, .. }
            | Self::Read { channel, .. }
            | Self::Copied { channel, .. }
            | Self::Drop { channel, .. }
            | Self::Address { channel, .. }
            | Self::Listen { channel, .. }
            | Self::Connect { channel, .. }
            | Self::Accept { channel, .. }
            | Self::Shutdown { channel, .. }
            | Self::Sem { channel, .. }
            | Self::Lock { channel, .. }
            | Self::Load { channel, .. }
            | Self::Store { channel, .. }
            | Self::Monitor { channel, .. }
            | Self::Foreground { channel, .. }
            | Self::Window { channel, .. }
            | Self::Seek { channel, .. } => Some(channel),
            Self::Control { channel }
            | Self::Close { channel, .. }
            | Self::Dup { channel, .. }
            | Self::Block { channel, .. }
            | Self::Unblock { channel } => channel,
            _ => None,
        }
    }

    /// Its name in a recording.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Spawn { .. } => "spawn",
            Self::Exec { .. } => "exec",
            Self::Exit { .. } => "exit",
            Self::Reap { .. } => "reap",
            Self::Reparent { .. } => "reparent",
            Self::Group { .. } => "group",
            Self::Control { .. } => "terminal",
            Self::Foreground { .. } => "foreground",
            Self::Window { .. } => "window",
            Self::Open { .. } => "open",
            Self::Pass { .. } => "pass",
            Self::Close { .. } => "close",
            Self::Dup { .. } => "dup",
            Self::Flags { .. } => "flags",
            Self::Create { .. } => "create",
            Self::Destroy { .. } => "destroy",
            Self::Unlink { .. } => "unlink",
            Self::Get { .. } => "get",
            Self::Attach { .. } => "attach",
            Self::Detach { .. } => "detach",
            Self::Capacity { .. } => "capacity",
            Self::Write { .. } => "write",
            Self::Read { .. } => "read",
            Self::Copied { .. } => "copied",
            Self::Drop { .. } => "drop",
            Self::Address { .. } => "address",
            Self::Listen { .. } => "listen",
            Self::Connect { .. } => "connect",
            Self::Accept { .. } => "accept",
            Self::Shutdown { .. } => "shutdown",
            Self::Sem { .. } => "sem",
            Self::Lock { .. } => "lock",
            Self::Load { .. } => "load",
            Self::Store { .. } => "store",
            Self::Seek { .. } => "seek",
            Self::Block { .. } => "block",
            Self::Unblock { .. } => "unblock",
            Self::Asleep { .. } => "asleep",
            Self::Monitor { .. } => "monitor",
            Self::Action { .. } => "action",
            Self::Mask { .. } => "mask",
            Self::Signal { .. } => "signal",
            Self::Interrupted { .. } => "interrupted",
            Self::Altstack { .. } => "altstack",
            Self::Timer { .. } => "timer",
            Self::Syscall { .. } => "syscall",
            Self::Line { .. } => "line",
            Self::Note { .. } => "note",
            Self::Clock { .. } => "clock",
            Self::Limit { .. } => "limit",
            Self::Diagnosis { .. } => "diagnosis",
            Self::End { .. } => "end",
            Self::Hold { .. } => "hold",
        }
    }
}
