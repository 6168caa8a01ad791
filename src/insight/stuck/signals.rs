//! Whether somebody could still make a handler run in a task that sleeps.

use std::collections::BTreeSet;

use crate::model::{Blocked, Disposition, Names, Signal, State, Task, TaskId, Why, World};

/// Programs that handle SIGINT for themselves, whatever the program that they run wants: shells, while they wait.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox"];

/// Whether a signal that is neither blocked nor ignored could make a handler run in `id`: sent by one of those who
/// are awake, by a child that ends, or by somebody outside of the run.
pub(super) fn may_reach(id: TaskId, active: &BTreeSet<TaskId>, world: &World, names: &Names) -> bool {
    let Some(task) = world.task(id) else { return false };
    // vfork(2) is left for nothing but death.
    if matches!(task.state, State::Blocked(Blocked { why: Why::Vfork, .. })) {
        return false;
    }
    let Some(keeper) = world.actions(id) else { return false };
    let mut handlers = keeper.with_disposition(Disposition::Handler).iter().filter(|it| !task.blocked.contains(*it));
    handlers.any(|signal| match signal {
        Signal::CHLD => children(task.process, world).any(|child| active.contains(&child)),
        _ if is_own(signal) => false,
        _ => !active.is_empty() || people_send(signal, task, keeper, world, names),
    })
}

/// Whether people would send that to a process that waits: by kill(1), or with a key. Nobody outside knows the
/// processes of a scenario.
fn people_send(signal: Signal, task: &Task, keeper: &Task, world: &World, names: &Names) -> bool {
    const TIMERS: [i32; 3] = [libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF];
    let of_scenario = task.line.is_some();
    // The end of a timer that does not run will not come.
    let by_hand = !TIMERS.contains(&signal.number()) && signal.number() != libc::SIGURG;
    by_hand && !of_scenario && !(signal == Signal::INT && is_the_interpreters(keeper, world, names))
}

/// Whether the handler for SIGINT is only what an interpreter always has: Python sets one when it starts.
fn is_the_interpreters(keeper: &Task, world: &World, names: &Names) -> bool {
    let program = world.task(keeper.process).and_then(|leader| leader.program).map(|path| names.get(path));
    let Some(program) = program.and_then(|path| path.rsplit('/').next()) else { return false };
    SHELLS.contains(&program) || (program.starts_with("python") && keeper.interrupts < 2)
}

/// Signals that a task causes itself.
const fn is_own(signal: Signal) -> bool {
    signal.is_synchronous() || matches!(signal.number(), libc::SIGPIPE | libc::SIGABRT | libc::SIGXCPU | libc::SIGXFSZ)
}

/// The threads of the children of a process.
fn children(process: TaskId, world: &World) -> impl Iterator<Item = TaskId> {
    let is_child = move |task: &&Task| world.task(task.process).is_some_and(|leader| leader.parent == process);
    world.living().filter(is_child).map(|task| task.id)
}
