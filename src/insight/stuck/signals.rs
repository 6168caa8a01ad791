//! Whether somebody could still make a handler run in a task that sleeps.

use std::collections::BTreeSet;

use crate::model::{Blocked, Disposition, Names, Signal, SignalSet, State, Task, TaskId, Why, World};

/// Programs that handle SIGINT for themselves, whatever the program that they run wants: shells, while they wait.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox"];

/// Whether a signal could make a handler run in `id` that one of those sends who are awake, or a child that ends.
pub(super) fn tasks_reach(id: TaskId, active: &BTreeSet<TaskId>, world: &World) -> bool {
    handlers(id, world).any(|signal| match signal {
        Signal::CHLD => children(id, world).any(|child| active.contains(&child)),
        _ => !is_own(signal) && !active.is_empty(),
    })
}

/// Whether people would send it a signal for which it has a handler: with kill(1), or with a key. Nobody outside
/// knows the processes of a scenario. With the key they give up a program that keeps a child waiting (`gives_up`).
pub(super) fn people_reach(id: TaskId, gives_up: bool, world: &World, names: &Names) -> bool {
    // The end of a timer that does not run will not come.
    const UNSENT: [i32; 5] = [libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF, libc::SIGURG, libc::SIGCHLD];
    let of_scenario = world.task(id).is_some_and(|task| task.line.is_some());
    let sent = |signal: Signal| !is_own(signal) && !UNSENT.contains(&signal.number());
    let gives_up = |signal: Signal| gives_up && signal == Signal::INT;
    let meant = |signal: Signal| !gives_up(signal) && !is_the_interpreters(id, signal, world, names);
    !of_scenario && handlers(id, world).any(|signal| sent(signal) && meant(signal))
}

/// Whether of all handlers only that of SIGCHLD could run in `id`, as in a shell's `wait`: what else ends a wait for
/// signals ends the process.
pub(super) fn waits_for_children(id: TaskId, world: &World, names: &Names) -> bool {
    let mut any = false;
    handlers(id, world).all(|signal| {
        any |= signal == Signal::CHLD;
        signal == Signal::CHLD || is_own(signal) || is_the_interpreters(id, signal, world, names)
    }) && any
}

/// The signals that `id` has handlers for and does not block.
fn handlers(id: TaskId, world: &World) -> impl Iterator<Item = Signal> {
    // vfork(2) is left for nothing but death.
    let vforks = |task: &&Task| matches!(task.state, State::Blocked(Blocked { why: Why::Vfork, .. }));
    let task = world.task(id).filter(|task| !vforks(task));
    let caught = world.actions(id).map_or(SignalSet::EMPTY, |keeper| keeper.with_disposition(Disposition::Handler));
    let blocked = task.map_or(SignalSet(u64::MAX), |task| task.blocked);
    caught.iter().filter(move |signal| !blocked.contains(*signal))
}

/// Whether the handler is only what an interpreter always has: Python sets one for SIGINT when it starts. Node has some
/// to give the terminal back and to wait for a debugger; those that a script asks for come with `SA_RESTART` (libuv).
fn is_the_interpreters(id: TaskId, signal: Signal, world: &World, names: &Names) -> bool {
    let Some(keeper) = world.actions(id) else { return false };
    let program = world.task(keeper.process).and_then(|leader| leader.program).map(|path| names.get(path));
    let Some(program) = program.and_then(|path| path.rsplit('/').next()) else { return false };
    match signal.number() {
        libc::SIGINT if SHELLS.contains(&program) => true,
        libc::SIGINT if program.starts_with("python") => keeper.interrupts < 2,
        libc::SIGINT | libc::SIGTERM | libc::SIGUSR1 if matches!(program, "node" | "nodejs") => {
            keeper.action(signal).flags & libc::SA_RESTART as u32 == 0
        }
        _ => false,
    }
}

/// Signals that a task causes itself, and those that glibc keeps for its threads (nptl(7)).
const fn is_own(signal: Signal) -> bool {
    signal.is_synchronous()
        || matches!(signal.number(), 32 | 33)
        || matches!(signal.number(), libc::SIGPIPE | libc::SIGABRT | libc::SIGXCPU | libc::SIGXFSZ)
}

/// The threads of the children of a process.
fn children(id: TaskId, world: &World) -> impl Iterator<Item = TaskId> {
    let process = world.task(id).map_or(id, |task| task.process);
    let is_child = move |task: &&Task| world.task(task.process).is_some_and(|leader| leader.parent == process);
    world.living().filter(is_child).map(|task| task.id)
}
