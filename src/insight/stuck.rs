//! Who will sleep for ever: what `deadlock`, `self-held-write-end` and the end of a stuck run rest on.
//!
//! The question is answered by a greatest fixpoint: take every task that only tasks of the run could wake, and
//! leave out, again and again, whoever could be woken by somebody outside of the set. What remains can never move.
//! A task that waits for itself is the shortest circle.
//!
//! A sleep that ends by itself (a timeout, a running timer) or from outside of the run (a terminal, an inherited
//! pipe, a stranger's socket) keeps a task out of the set, and so does a handler that somebody of the run could still
//! trigger: it may do anything. What people send (kill(1), a key) is counted only where the program may have meant
//! it so: its handler has the means to end the very sleep, as who waits for SIGTERM at a semaphore or at a pipe to
//! itself. Everybody else who catches SIGTERM does so to tidy up. What the log says of sleepers may be older than what the kernel knows; so what is
//! found here is told only of those that the kernel was asked about afterwards (the event `asleep`).

mod signals;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Blocked, ChannelId, Holding, Holdings, Names, State, Task, TaskId, Why, World};

/// Tasks that only each other could wake.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stuck {
    /// Who could wake each of them.
    pub(crate) circle: BTreeMap<TaskId, Vec<TaskId>>,
    /// Whether somebody else of the run is awake, or will be, who could end one of them with a signal. As long as
    /// that is so nobody can say that they sleep for ever.
    pub(crate) watched: bool,
}

/// Whether there is any use in looking: somebody sleeps, and nobody of the run is awake beside him.
pub(crate) fn may_be_stuck(world: &World) -> bool {
    let (mut awake, mut asleep) = (BTreeSet::new(), BTreeSet::new());
    for task in world.living() {
        let set = if matches!(task.state, State::Blocked(_)) { &mut asleep } else { &mut awake };
        set.insert(task.sid);
    }
    asleep.iter().any(|session| !awake.contains(session))
}

/// Who will sleep for ever. `at_end`: nothing moves any more, and what only the lab could answer is answered.
pub(crate) fn stuck(world: &World, names: &Names, at_end: bool) -> Stuck {
    let held = Held::of(world);
    let still = at_end && world.living().all(|task| matches!(task.state, State::Blocked(_)));
    let sleepers: Waits = world
        .living()
        .filter(|task| matches!(task.state, State::Blocked(_)))
        .filter_map(|task| Some((task.id, waits::of(task, world, names, &held, still)?)))
        .collect();
    let quiet = fixpoint(sleepers, world, &BTreeSet::new());
    // Whoever is left out so far moves by itself, or will be moved.
    let active: BTreeSet<TaskId> = world.living().map(|task| task.id).filter(|id| !quiet.contains_key(id)).collect();
    let reached: BTreeSet<TaskId> =
        quiet.keys().copied().filter(|id| signals::tasks_reach(*id, &active, world)).collect();
    let processes: BTreeSet<TaskId> = reached.iter().map(|id| process_of(*id, world)).collect();
    let strained = strained(&quiet, world);
    let gives_up = |id: TaskId| strained.contains(&process_of(id, world));
    let by_hand = quiet.keys().filter(|id| signals::people_reach(**id, gives_up(**id), world, names));
    let by_hand: BTreeSet<TaskId> = by_hand.map(|id| process_of(*id, world)).collect();
    let stays = |(id, wait): &(TaskId, waits::Wait)| {
        let helps_itself = wait.by_own && by_hand.contains(&process_of(*id, world));
        wait.of_thread || !(reached.contains(id) || helps_itself)
    };
    let circle = fixpoint(quiet.into_iter().filter(stays).collect(), world, &processes);
    let sessions: BTreeSet<i32> = circle.keys().filter_map(|id| world.task(*id)).map(|task| task.sid).collect();
    let watched = active.iter().filter_map(|id| world.task(*id)).any(|task| sessions.contains(&task.sid));
    Stuck { circle: circle.into_iter().map(|(id, wait)| (id, wait.wakers)).collect(), watched }
}

/// The processes of which a child waits for room that they alone could make.
fn strained(quiet: &Waits, world: &World) -> BTreeSet<TaskId> {
    let for_parent = |(id, wait): (&TaskId, &waits::Wait)| {
        let task = world.task(*id)?;
        let State::Blocked(Blocked { why: Why::Full, .. }) = task.state else { return None };
        let parent = world.task(task.process)?.parent;
        let mut readers = wait.wakers.iter().map(|waker| process_of(*waker, world)).filter(|it| *it != task.process);
        let first = readers.next().filter(|reader| *reader == parent)?;
        readers.all(|reader| reader == first).then_some(parent)
    };
    quiet.iter().filter_map(for_parent).collect()
}

/// What each sleeper waits for.
type Waits = BTreeMap<TaskId, waits::Wait>;

/// Leaves out whoever could be woken by somebody outside of the set, until nobody is left who could. `reached` are
/// the processes in which a handler may run: these can act although all their threads sleep.
fn fixpoint(mut circle: Waits, world: &World, reached: &BTreeSet<TaskId>) -> Waits {
    // A process can act as long as one of its threads can: by process, how many are free to.
    let mut free: BTreeMap<TaskId, usize> = BTreeMap::new();
    for task in world.living() {
        *free.entry(task.process).or_default() += usize::from(!circle.contains_key(&task.id));
    }
    let mut anybody = free.values().any(|count| *count > 0);
    loop {
        let can_act = |wait: &waits::Wait, waker: &TaskId| {
            if wait.of_thread {
                return !circle.contains_key(waker);
            }
            let process = process_of(*waker, world);
            free.get(&process).is_some_and(|count| *count > 0) || reached.contains(&process)
        };
        let ends =
            |wait: &waits::Wait| (wait.by_name && anybody) || wait.wakers.iter().any(|waker| can_act(wait, waker));
        let freed: Vec<TaskId> = circle.iter().filter(|(_, wait)| ends(wait)).map(|(id, _)| *id).collect();
        if freed.is_empty() {
            return circle;
        }
        anybody = true;
        for id in freed {
            circle.remove(&id);
            *free.entry(process_of(id, world)).or_default() += 1;
        }
    }
}

fn process_of(id: TaskId, world: &World) -> TaskId {
    world.task(id).map_or(id, |task| task.process)
}

/// Who holds and uses what, gathered by one look at every task.
struct Held<'a> {
    world: &'a World,
    holders: BTreeMap<ChannelId, Vec<(TaskId, Holding)>>,
}

impl<'a> Held<'a> {
    fn of(world: &'a World) -> Self {
        let mut holders: BTreeMap<ChannelId, Vec<(TaskId, Holding)>> = BTreeMap::new();
        for task in world.living().filter(|task| task.is_process()) {
            for fd in world.fds(task.id) {
                let holding = Holding { access: fd.access, end: fd.end, description: fd.description };
                holders.entry(fd.channel).or_default().push((task.id, holding));
            }
        }
        Self { world, holders }
    }
}

impl Holdings for Held<'_> {
    fn holders(&self, channel: ChannelId, fits: &dyn Fn(&Holding) -> bool) -> Vec<TaskId> {
        let all = self.holders.get(&channel).into_iter().flatten();
        let mut tasks: Vec<TaskId> = all.filter(|(_, holding)| fits(holding)).map(|(task, _)| *task).collect();
        tasks.dedup();
        tasks
    }

    fn users(&self, channel: ChannelId) -> Vec<TaskId> {
        self.world.users(channel).map(|task: &Task| task.id).collect()
    }
}
