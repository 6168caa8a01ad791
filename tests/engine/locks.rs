//! Locks on files: the world against `/proc/locks`.

use std::collections::{BTreeMap, BTreeSet};

use proclab::model::{ChannelId, ChannelKind, LockKind, LockMode, Owner, World};

/// A lock as `proc_locks(5)` shows it: kind, mode, process (of those that belong to one), first and last
/// byte, where `None` is the end of the file.
type Shown = (String, String, Option<i32>, u64, Option<u64>);

/// Every file's locks are those that the kernel has, and nobody waits for one whom the log does not know.
pub fn compare(world: &World, pids: &BTreeMap<i32, i32>, files: &BTreeMap<(ChannelId, usize), (u64, u64)>, when: &str) {
    let table = std::fs::read_to_string("/proc/locks").expect("/proc/locks");
    for ((channel, _), identity) in files {
        let channel = world.channel(*channel).expect("it is there");
        // Strangers may have a lock on /dev/null.
        if channel.kind == ChannelKind::Device {
            continue;
        }
        let known: BTreeSet<Shown> = channel
            .locks
            .iter()
            .map(|lock| {
                let kind = match lock.kind {
                    LockKind::Process => "POSIX",
                    LockKind::Description => "OFDLCK",
                    LockKind::Flock => "FLOCK",
                };
                let mode = if lock.mode == LockMode::Write { "WRITE" } else { "READ" };
                let process = match lock.owner {
                    Owner::Process(task) => pids.get(&world.task(task).expect("it is there").pid).copied(),
                    Owner::Description(_) => None,
                };
                let last = (lock.end != u64::MAX).then(|| lock.end - 1);
                (kind.to_owned(), mode.to_owned(), process, lock.start, last)
            })
            .collect();
        let kernel: BTreeSet<Shown> = table.lines().filter_map(|line| shown(line, *identity)).collect();
        assert_eq!(known, kernel, "{when}: locks");
    }
}

/// A line of the table, if it is a lock that is held on this file.
fn shown(line: &str, (device, inode): (u64, u64)) -> Option<Shown> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, kind, _, mode, process, file, first, last] = words.as_slice() else { return None };
    let own = format!("{:02x}:{:02x}:{inode}", libc::major(device), libc::minor(device));
    if *file != own {
        return None;
    }
    let process = (*kind == "POSIX").then(|| process.parse().expect("a PID"));
    let last = (*last != "EOF").then(|| last.parse().expect("a byte"));
    Some(((*kind).to_owned(), (*mode).to_owned(), process, first.parse().expect("a byte"), last))
}
