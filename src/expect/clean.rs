//! `clean`: the programs reaped every child and removed every FIFO, queue, segment and semaphore themselves.

use std::collections::BTreeSet;

use super::Judged;
use super::names::Cast;
use crate::insight;
use crate::model::{Kind, Log, State, TaskId};

pub(super) fn clean(log: &Log, cast: &Cast<'_>) -> Judged {
    let left: Vec<String> = [living(log, cast), zombies(log, cast), objects(log, cast)].into_iter().flatten().collect();
    if left.is_empty() {
        return Ok("every child was reaped and every object removed".to_owned());
    }
    Err(left.join("; "))
}

fn living(log: &Log, cast: &Cast<'_>) -> Option<String> {
    let names: Vec<_> =
        log.head().living().filter(|task| task.is_process()).map(|task| cast.name_of(task.id)).collect();
    let have = if names.len() == 1 { "has" } else { "have" };
    (!names.is_empty()).then(|| format!("{} {have} not ended", insight::listed(&names)))
}

/// Children that the lab or `init` had to reap, or nobody did. Who has no parent in the run when it
/// ends (a root, an orphan) is reaped by `init` as it should be, and who is ignored by its parent is
/// not reaped at all: neither is ever a zombie.
fn zombies(log: &Log, cast: &Cast<'_>) -> Option<String> {
    let mut zombies = BTreeSet::new();
    let mut world = log.world_at(0);
    for (_, event) in log.range(0..log.len()) {
        world.apply(event, log.payload(event));
        match event.kind {
            Kind::Exit { .. } if world.task(event.task).is_some_and(|task| task.state == State::Zombie) => {
                zombies.insert(event.task);
            }
            Kind::Reap { child, .. } if event.task != TaskId::LAB => {
                zombies.remove(&child);
            }
            _ => {}
        }
    }
    let names: Vec<_> = zombies.iter().map(|id| cast.name_of(*id)).collect();
    (!names.is_empty()).then(|| format!("nobody waited for {}", insight::listed(&names)))
}

/// Objects that were made and not removed.
fn objects(log: &Log, cast: &Cast<'_>) -> Option<String> {
    let names: Vec<_> = insight::left_behind(log.head()).map(|channel| cast.channel_name(channel.id)).collect();
    let were = if names.len() == 1 { "was" } else { "were" };
    (!names.is_empty()).then(|| format!("{} {were} made and not removed", insight::listed(&names)))
}
