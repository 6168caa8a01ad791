//! What the log says of a task's signals, held against the kernel.

use proclab::model::{DefaultAction, Disposition, Signal, SignalSet, Task, World};
use proclab::sys::detour::FAULTS;
use proclab::sys::procfs;

/// What the lab may keep blocked: what would be thrown away without it, as the kernel says of the dispositions.
fn ignored(kernel: &procfs::Status) -> SignalSet {
    let may_be_blocked = |signal: &Signal| signal.is_catchable() && !FAULTS.contains(&signal.number());
    let by_default =
        |signal: &Signal| matches!(signal.default_action(), DefaultAction::Ignore | DefaultAction::Continue);
    let fits =
        |signal: &Signal| kernel.ignored.contains(*signal) || (by_default(signal) && !kernel.caught.contains(*signal));
    let all = Signal::all().chain(kernel.ignored.iter());
    all.filter(may_be_blocked).filter(fits).collect()
}

fn without(set: SignalSet, other: SignalSet) -> SignalSet {
    SignalSet(set.0 & !other.0)
}

/// Mask, dispositions and queues of a task: the log says what they would be without the lab. In the kernel what
/// is ignored is blocked besides, and may be queued for nothing.
pub fn compare(world: &World, task: &Task, kernel: &procfs::Status, about: &str) {
    let leader = world.task(task.process).expect("a leader");
    let actions = world.actions(task.id).expect("its dispositions");
    let ignored = ignored(kernel);
    assert_eq!(without(task.blocked, kernel.blocked), SignalSet::EMPTY, "{about}: SigBlk lacks");
    let besides = without(kernel.blocked, task.blocked);
    assert_eq!(without(besides, ignored), SignalSet::EMPTY, "{about}: SigBlk has too much");
    assert_eq!(actions.with_disposition(Disposition::Ignore), kernel.ignored, "{about}: SigIgn");
    assert_eq!(actions.with_disposition(Disposition::Handler), kernel.caught, "{about}: SigCgt");
    let wasted = without(ignored, task.blocked);
    assert_eq!(without(task.pending.set(), wasted), without(kernel.pending, wasted), "{about}: SigPnd");
    let wasted = without(ignored, leader.blocked);
    let shared = leader.shared_pending.set();
    assert_eq!(without(shared, wasted), without(kernel.shared_pending, wasted), "{about}: ShdPnd");
}
