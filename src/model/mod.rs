//! What a run is made of: identities, events, the log of them, and the world they fold to.
//!
//! Pure: nothing here asks the system for anything, and time comes in as a number. The engine
//! writes events with a [`Pen`]; everybody else reads a [`Log`].

mod channel;
mod contents;
mod descriptor;
mod ended;
mod errno;
mod event;
mod ids;
mod kind;
mod log;
mod memory;
mod monitor;
mod parties;
mod pending;
mod phase;
mod process;
mod readiness;
mod signal;
#[cfg(test)]
pub(crate) mod sketch;
mod task;
mod timer;
mod waiting;
mod wanted;
mod world;

pub use channel::{Channel, Held, Lock, Owner, Semaphore, Socket, Tty};
pub use contents::{Contents, Run};
pub use descriptor::{Access, End, FdFlags, Mark, MessageType, Via};
pub use ended::Ended;
pub use errno::{errno_name, errno_number};
pub use event::{Event, Kind};
pub use ids::{Blob, ChannelId, Names, Sym, TaskId};
pub use kind::{ChannelKind, LockKind, LockMode, Why};
pub use log::{Batch, Header, Log, Pen};
pub use memory::{Change, Memory};
pub use monitor::{Asked, EVENTFD_MAX, Interest, Monitor, Told};
pub use parties::{Parties, Weight};
pub use pending::{Pending, Pendings, Queue};
pub use phase::{Disposition, Hold, MaskHow, Phase, Then};
pub use process::{How, Shares, Status};
pub use signal::{Carries, DefaultAction, Signal, SignalSet};
pub use task::{Action, Blocked, Fd, State, Table, Task, Use};
pub use timer::{Altstack, Timer, TimerChange, TimerKind};
pub use waiting::{Holding, Holdings, Wakers};
pub use wanted::{Polled, Wanted, Word};
pub use world::World;
