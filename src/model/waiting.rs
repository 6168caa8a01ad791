//! Who waits for whom: the question behind every blocked call.
//!
//! Panes answer it with names, recordings as `holders`, and the deadlock rule follows it in circles.

use super::{Access, ChannelId, State, TaskId, Why, World};

/// Who could end a task's sleep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wakers {
    /// The tasks of the run that could, the sleeper itself included if nobody else holds the end
    /// that matters.
    pub tasks: Vec<TaskId>,
    /// Whether something outside of the run could: time, a user, another program.
    pub outside: bool,
}

impl World {
    /// Who could end the sleep of `id`; `None` if it does not sleep.
    pub fn wakers(&self, id: TaskId) -> Option<Wakers> {
        let State::Blocked(blocked) = self.task(id)?.state else { return None };
        let mut wakers = Wakers::default();
        match blocked.why {
            Why::Empty | Why::Full | Why::NoPeer => match blocked.channel.and_then(|channel| self.channel(channel)) {
                Some(channel) if channel.kind.is_queue() => {
                    let wants_writer = blocked.why == Why::Empty;
                    wakers.tasks = self.holders_with(channel.id, |access| match blocked.why {
                        Why::NoPeer => true,
                        _ if wants_writer => access.writes(),
                        _ => access.reads(),
                    });
                }
                _ => wakers.outside = true,
            },
            Why::Child => {
                if let Some(child) = blocked.on {
                    wakers.tasks.push(child);
                } else {
                    let process = self.task(id)?.process;
                    wakers.tasks = self.children(process).filter(|task| task.is_alive()).map(|task| task.id).collect();
                }
            }
            Why::Vfork => wakers.tasks.extend(blocked.on),
            Why::Lock => match blocked.on {
                Some(holder) => wakers.tasks.push(holder),
                None => wakers.outside = true,
            },
            Why::Barrier => {
                wakers.tasks = self.living().map(|task| task.id).filter(|task| *task != id).collect();
            }
            Why::Signal | Why::Time | Why::Poll | Why::Other => wakers.outside = true,
        }
        Some(wakers)
    }

    fn holders_with(&self, channel: ChannelId, fits: impl Fn(Access) -> bool) -> Vec<TaskId> {
        let mut tasks: Vec<TaskId> =
            self.holders(channel).filter(|(_, fd)| fits(fd.access)).map(|(task, _)| task.id).collect();
        tasks.dedup();
        tasks
    }
}
