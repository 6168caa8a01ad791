//! What a sleeper waits for, if only tasks of the run could end its sleep.

use std::collections::BTreeSet;

use super::Held;
use super::signals::waits_for_children;
use crate::model::{
    Access, Blocked, Channel, ChannelId, ChannelKind, End, Fd, Names, Polled, State, Task, TaskId, Wakers, Wanted, Why,
    World,
};

/// Who could end a sleep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wait {
    /// The tasks that could; never none, and all alive.
    pub(super) wakers: Vec<TaskId>,
    /// Whether that very thread has to act, and not any of its process: it holds a mutex, or has to end. Such a
    /// wait goes on when a handler has returned.
    pub(super) of_thread: bool,
    /// Whether anybody else of the run could too, because the thing has a name.
    pub(super) by_name: bool,
    /// Whether a handler of its own process has the means to end it.
    pub(super) by_own: bool,
}

/// What `task` waits for; nothing if it does not sleep, if its sleep ends by itself or from outside, or if what
/// it waits for has come and the log has not heard of its waking yet.
pub(super) fn of(task: &Task, world: &World, names: &Names, held: &Held<'_>, still: bool) -> Option<Wait> {
    let State::Blocked(blocked) = task.state else { return None };
    if blocked.timeout || world.will_be_interrupted(task.id) || world.is_under_way(task) {
        return None;
    }
    if blocked.why == Why::Signal {
        return for_children(task, blocked, world, names);
    }
    let Wakers { tasks, outside } = world.possible_wakers_among(task.id, held)?;
    let channel = blocked.channel.and_then(|channel| world.channel(channel));
    if outside || has_come(task, blocked, channel, world, still) {
        return None;
    }
    let is_word = matches!(task.wanted, Wanted::Word { .. });
    let of_mutex = blocked.why == Why::Lock && is_word;
    let wakers = match blocked.why {
        // Only the lab knows how many are missing; when nothing moves any more, too many are.
        Why::Barrier => others(task, world),
        // Whoever knows the name may open the other end. That somebody outside does not is certain of the
        // processes of a scenario, and likely where two wait for each other so.
        Why::NoPeer if is_fifo(channel) && (task.line.is_some() || many_wait_for_a_peer(world)) => others(task, world),
        Why::NoPeer => return None,
        Why::Futex if blocked.channel.is_none() && tasks.is_empty() => vec![task.id],
        Why::Futex | Why::Value | Why::Empty | Why::Full => among_own(task, blocked, channel, tasks, world, names)?,
        _ => tasks,
    };
    let all_alive = wakers.iter().all(|waker| world.task(*waker).is_some_and(Task::is_alive));
    (!wakers.is_empty() && all_alive).then_some(Wait {
        wakers,
        of_thread: of_mutex || blocked.why == Why::Join,
        by_name: blocked.why == Why::NoPeer || channel.is_some_and(|channel| has_name(channel, blocked, names)),
        by_own: has_own_means(task, blocked, world),
    })
}

/// A wait for signals that only the end of a child ends.
fn for_children(task: &Task, blocked: Blocked, world: &World, names: &Names) -> Option<Wait> {
    let by_handler = blocked.call.is_some_and(|call| matches!(names.get(call), "rt_sigsuspend" | "pause"));
    let mut children = world.children(task.process);
    if !by_handler || !waits_for_children(task.id, world, names) || children.any(|child| !child.is_alive()) {
        return None;
    }
    let wakers: Vec<TaskId> = world.children(task.process).map(|child| child.id).collect();
    (!wakers.is_empty()).then_some(Wait { wakers, of_thread: false, by_name: false, by_own: false })
}

fn is_fifo(channel: Option<&Channel>) -> bool {
    channel.is_some_and(|channel| channel.kind == ChannelKind::Fifo)
}

fn others(task: &Task, world: &World) -> Vec<TaskId> {
    world.living().map(|other| other.id).filter(|other| *other != task.id).collect()
}

/// Whether tasks sleep for the other ends of two FIFOs or more that the run has made.
fn many_wait_for_a_peer(world: &World) -> bool {
    let at = |task: &Task| match task.state {
        State::Blocked(Blocked { why: Why::NoPeer, channel: Some(channel), .. }) => Some(channel),
        _ => None,
    };
    let ours = |id: &ChannelId| world.channel(*id).is_some_and(|it| it.kind == ChannelKind::Fifo && !it.found);
    world.living().filter_map(at).filter(ours).collect::<BTreeSet<_>>().len() > 1
}

/// What processes meet at by a name, others of the run can find too.
fn has_name(channel: &Channel, blocked: Blocked, names: &Names) -> bool {
    let has_one = match channel.kind {
        ChannelKind::Fifo | ChannelKind::Mq | ChannelKind::Msg | ChannelKind::Sem => true,
        // A mapping of nothing (`MAP_ANONYMOUS` of mmap(2)) nobody can find.
        ChannelKind::Shm => !names.get(channel.name).starts_with("mmap"),
        _ => false,
    };
    has_one && !channel.unlinked && blocked.on.is_none()
}

/// Where a process itself can help, by another thread, it belongs to those who could. Who is alone with something
/// that has a name waits for strangers.
fn among_own(
    task: &Task,
    blocked: Blocked,
    channel: Option<&Channel>,
    mut tasks: Vec<TaskId>,
    world: &World,
    names: &Names,
) -> Option<Vec<TaskId>> {
    let Some(channel) = channel else { return Some(tasks) };
    // Who opens a FIFO for both never sees its end, and means strangers to come and go (fifo(7)).
    let for_both = |fd: &Fd| fd.channel == channel.id && fd.access == Access::ReadWrite;
    let open_to_all = channel.kind == ChannelKind::Fifo && tasks.iter().any(|other| world.fds(*other).any(for_both));
    if open_to_all && has_name(channel, blocked, names) && task.line.is_none() {
        return None;
    }
    let alone = tasks.iter().all(|other| world.task(*other).is_none_or(|other| other.process == task.process));
    if alone && has_name(channel, blocked, names) && task.line.is_none() {
        return None;
    }
    // Everybody else who had it has ended, or has let it go.
    let lost = matches!(channel.kind, ChannelKind::Mq | ChannelKind::Sem | ChannelKind::Shm | ChannelKind::Memfd);
    if tasks.is_empty() && lost && !channel.found && task.line.is_none() {
        return Some(vec![task.process]);
    }
    let threads = world.living().filter(|other| other.process == task.process).count();
    if !channel.kind.is_pipe() && !channel.kind.is_socket() && threads > 1 && !tasks.contains(&task.process) {
        tasks.push(task.process);
        tasks.sort_unstable();
    }
    Some(tasks)
}

/// Whether the program of a sleeper could end the sleep itself, through memory or a descriptor that it knows of.
fn has_own_means(task: &Task, blocked: Blocked, world: &World) -> bool {
    let at = |channel: ChannelId, reads: bool| {
        let Some(kind) = world.channel(channel).map(|channel| channel.kind) else { return false };
        let own = world.end_held(task.id, channel);
        // What was there before the program was loaded, and is not one of its standard streams, it knows nothing of.
        let known = |fd: &Fd| fd.description >= task.loaded || fd.fd <= 2;
        let fits = |fd: &Fd| {
            let way = if reads { fd.access.writes() } else { fd.access.reads() };
            way && (!kind.is_socket() || own.is_none_or(|own| own != fd.end))
        };
        world.fds(task.id).any(|fd| fd.channel == channel && known(fd) && fits(fd))
    };
    match (blocked.why, blocked.channel, &task.wanted) {
        (Why::Futex, ..) => true,
        (Why::Value, ..) => blocked.on.is_none(),
        (Why::Poll, _, Wanted::Ready { polled }) => {
            polled.iter().any(|one| one.channel.is_some_and(|channel| at(channel, one.access.reads())))
        }
        (Why::Empty, Some(channel), _) => {
            world.uses(task.id).iter().any(|used| used.channel == channel) || at(channel, true)
        }
        (Why::Full, Some(channel), _) => at(channel, false),
        _ => false,
    }
}

/// Whether the log says that what is waited for is there already, or does not say enough.
fn has_come(task: &Task, blocked: Blocked, channel: Option<&Channel>, world: &World, still: bool) -> bool {
    match blocked.why {
        Why::Empty => channel.is_none_or(|channel| !may_be_empty(task, channel, world)),
        // Output may be stopped by a key (termios(3), "IXON").
        Why::Full => channel.is_none_or(|channel| channel.kind == ChannelKind::Terminal),
        Why::Child => match blocked.on {
            Some(child) => world.task(child).is_none_or(|child| !child.is_alive()),
            None => world.children(task.process).any(|child| !child.is_alive()),
        },
        Why::Barrier => !still,
        // Whoever has accepted since has made room, and the sleeper is about to move.
        Why::Backlog => {
            let socket = channel.and_then(|channel| channel.socket.as_ref());
            socket.is_none_or(|it| it.backlog.is_none_or(|backlog| it.waiting.len() <= backlog as usize))
        }
        Why::Poll => !nothing_is_ready(task, world),
        Why::Vfork | Why::Lock | Why::Futex | Why::Join | Why::Value | Why::NoPeer => false,
        Why::Signal | Why::Time | Why::Other => true,
    }
}

fn may_be_empty(task: &Task, channel: &Channel, world: &World) -> bool {
    let own = world.end_held(task.id, channel.id);
    let mut ends = [End::First, End::Second].into_iter().filter(|end| own.is_none_or(|own| own == *end));
    match channel.kind {
        // What is in a terminal only the kernel knows.
        ChannelKind::Terminal => ends.all(|end| world.channel_is_readable(task.id, channel.id, end) == Some(false)),
        kind if kind.is_socket() => ends.all(|end| {
            channel.inbox(end).count() == 0 && world.channel_is_readable(task.id, channel.id, end) != Some(true)
        }),
        // A queue may hold messages of other types than the one that is waited for.
        kind => channel.messages || channel.waiting() == 0 || !kind.is_pipe(),
    }
}

/// Whether nothing that a poll waits for is there, as far as the log says.
fn nothing_is_ready(task: &Task, world: &World) -> bool {
    let Wanted::Ready { polled } = &task.wanted else { return false };
    let quiet = |one: &Polled| {
        let Some(channel) = one.channel.and_then(|channel| world.channel(channel)) else { return false };
        let end = world.fd(task.id, one.fd).map(|fd| fd.end).unwrap_or_default();
        let empty = !channel.kind.is_queue() || channel.waiting() == 0;
        one.access == Access::Read
            && channel.alive
            && empty
            && world.channel_is_readable(task.id, channel.id, end) != Some(true)
    };
    !polled.is_empty() && polled.iter().all(quiet)
}
