//! What a run is made of: identities, events, the log of them, and the world they fold to.
//!
//! Pure: nothing here asks the system for anything, and time comes in as a number. The engine
//! writes events with a [`Pen`]; everybody else reads a [`Log`].

mod channel;
mod errno;
mod event;
mod ids;
mod log;
mod signal;
#[cfg(test)]
pub(crate) mod sketch;
mod task;
mod waiting;
mod world;

pub use channel::{Channel, Contents, Run};
pub use errno::{errno_name, errno_number};
pub use event::{
    Access, ChannelKind, Disposition, Event, FdFlags, How, Kind, MaskHow, Parties, Phase, Shares, Status, Why,
};
pub use ids::{Blob, ChannelId, Names, Sym, TaskId};
pub use log::{Batch, Header, Log, Pen};
pub use signal::{DefaultAction, Signal, SignalSet};
pub use task::{Action, Blocked, Fd, Pending, State, Table, Task};
pub use waiting::Wakers;
pub use world::World;
