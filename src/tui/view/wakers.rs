//! Who could end a sleep, by name.

use crate::model::{Blocked, Channel, ChannelKind, State, Task, TaskId, Wakers, Why};
use crate::tui::app::{App, Channels, Holder};

/// Up to how many are named.
const NAMED: usize = 4;

/// Who could end a task's sleep, as the end of the sentence that says what it waits for.
pub fn who(app: &App, channels: &Channels, task: &Task) -> String {
    let State::Blocked(blocked) = task.state else { return String::new() };
    // Nobody is named for these, and looking would cost.
    if matches!(blocked.why, Why::Signal | Why::Time | Why::Other | Why::Vfork | Why::Barrier) {
        return String::new();
    }
    let world = app.world();
    let Some(wakers) = world.wakers_among(task.id, channels).filter(|wakers| !wakers.outside) else {
        return String::new();
    };
    if wakers.tasks.is_empty() {
        return "; nobody can wake it".to_owned();
    }
    let channel = blocked.channel.and_then(|id| world.channel(id));
    match blocked.why {
        Why::Poll => format!("; {} could make one ready", named(app, task.id, &wakers.tasks)),
        Why::Empty | Why::Full | Why::NoPeer | Why::Backlog => {
            at_channel(app, channels, task, blocked, channel, &wakers)
        }
        // Only of one that is used as a lock can be said who will give it back.
        Why::Value if blocked.on.is_none() => format!("; {} could change it", named(app, task.id, &wakers.tasks)),
        Why::Futex => format!("; {} could", named(app, task.id, &wakers.tasks)),
        Why::Lock if blocked.on.is_none() => format!("; held by {}", named(app, task.id, &wakers.tasks)),
        Why::Child if blocked.on.is_none() => format!(": {}", named(app, task.id, &wakers.tasks)),
        _ => String::new(),
    }
}

fn named(app: &App, sleeper: TaskId, tasks: &[TaskId]) -> String {
    let name = |id: &TaskId| if *id == sleeper { "itself".to_owned() } else { app.words().task(*id) };
    let mut list = tasks.iter().take(NAMED).map(name).collect::<Vec<_>>().join(", ");
    if tasks.len() > NAMED {
        list.push_str(", …");
    }
    list
}

/// Who is at the end that matters, through which descriptors.
fn at_channel(
    app: &App,
    channels: &Channels,
    task: &Task,
    blocked: Blocked,
    channel: Option<&Channel>,
    wakers: &Wakers,
) -> String {
    let Some(channel) = channel else { return String::new() };
    // Of a connection, the end across; of a pipe, the one that can end the wait.
    let own = channels.holders(channel.id).iter().find(|it| it.task == task.process).map(|it| it.end);
    let fits = |holder: &Holder| match blocked.why {
        _ if channel.kind.is_socket() => own.is_none_or(|own| own != holder.end) || channel.backlog().is_some(),
        Why::Empty => holder.access.writes(),
        Why::Full => holder.access.reads(),
        _ => true,
    };
    let person = |id: &TaskId| {
        let mut name = if *id == task.id { "itself".to_owned() } else { app.words().task(*id) };
        let held = channels.holders(channel.id).iter().filter(|holder| holder.task == *id && fits(holder));
        for holder in held.take(NAMED) {
            name.push(' ');
            name.push_str(&holder.fd.to_string());
        }
        name
    };
    let mut list = wakers.tasks.iter().take(NAMED).map(person).collect::<Vec<_>>().join(", ");
    if wakers.tasks.len() > NAMED {
        list.push_str(", …");
    }
    match channel.kind {
        ChannelKind::Unix | ChannelKind::Tcp if blocked.why != Why::NoPeer && channel.backlog().is_none() => {
            format!("; at the other end: {list}")
        }
        ChannelKind::Msg => format!("; {list} {} its id", if wakers.tasks.len() == 1 { "has" } else { "have" }),
        _ if blocked.why == Why::NoPeer && !channel.kind.is_pipe() => String::new(),
        _ if wakers.tasks == [task.id] => format!("; held only by {list}"),
        _ => format!("; held by {list}"),
    }
}
