//! `clean`: the programs reaped every child and removed every FIFO themselves.

use std::collections::BTreeSet;

use super::Judged;
use super::names::Cast;
use crate::insight;
use crate::model::{Kind, Log, State, TaskId};

pub(super) fn clean(log: &Log, cast: &Cast<'_>) -> Judged {
    let left: Vec<String> = [living(log, cast), zombies(log, cast), fifos(log)].into_iter().flatten().collect();
    if left.is_empty() {
        return Ok("every child was reaped and every FIFO removed".to_owned());
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

/// FIFOs that were made and not removed.
fn fifos(log: &Log) -> Option<String> {
    let mut paths: Vec<String> = Vec::new();
    for (_, event) in log.range(0..log.len()) {
        let (Kind::Syscall { .. }, Some(call), false) = (event.kind, event.call, event.failed()) else { continue };
        let Some(path) = path(log.payload(event)) else { continue };
        match log.name(call) {
            "mknod" | "mknodat" => paths.push(path),
            "unlink" | "unlinkat" => paths.retain(|known| !same_file(known, &path)),
            _ => {}
        }
    }
    let were = if paths.len() == 1 { "was" } else { "were" };
    (!paths.is_empty()).then(|| format!("{} {were} made and not removed", insight::listed(&paths)))
}

/// The path among the arguments of a call, which are text: what stands between the first quotes,
/// else the first word.
fn path(args: &[u8]) -> Option<String> {
    let args = String::from_utf8_lossy(args);
    let quoted = args.split('"').nth(1);
    let first = || args.split([',', ' ']).find(|word| !word.is_empty() && *word != "AT_FDCWD");
    quoted.or_else(first).map(str::to_owned)
}

/// Whether two paths mean one file, as far as paths tell: a relative one is the end of an absolute.
fn same_file(a: &str, b: &str) -> bool {
    let plain = |path: &str| path.trim_start_matches("./").to_owned();
    let (a, b) = (plain(a), plain(b));
    a == b || a.ends_with(&format!("/{b}")) || b.ends_with(&format!("/{a}"))
}
