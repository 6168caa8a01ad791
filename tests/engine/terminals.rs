//! Groups, sessions, controlling terminals and foreground groups against `/proc/PID/stat`.

use std::collections::BTreeMap;
use std::time::Duration;

use proclab::control::{Command, Session, Start, Terminal, Update};
use proclab::model::{Log, World};
use proclab::sys::procfs;

use super::{ALONE, family, support};

/// What the kernel says of each process is what the world says.
pub fn compare(world: &World, pids: &BTreeMap<i32, i32>, when: &str) {
    // The kernel's device numbers by the log's channels.
    let mut devices = BTreeMap::new();
    // Before its first exec nothing is known of a program.
    for task in world.living().filter(|task| task.is_process() && task.is_alive() && task.pgid != 0) {
        let about = format!("{when}: process {}", task.pid);
        let Some(status) = pids.get(&task.pid).and_then(|pid| procfs::status(*pid)) else {
            panic!("{about} is not there")
        };
        assert_eq!(Some(&task.pgid), status.ns_pgids.last(), "{about}: pgrp");
        assert_eq!(Some(&task.sid), status.ns_sids.last(), "{about}: session");
        let kernel = procfs::terminal(pids[&task.pid]);
        assert_eq!(task.terminal.is_some(), kernel.is_some(), "{about}: tty_nr");
        let (Some(channel), Some((device, foreground))) = (task.terminal, kernel) else { continue };
        assert_eq!(*devices.entry(channel).or_insert(device), device, "{about}: tty_nr");
        let known = world.channel(channel).map(|terminal| terminal.tty.foreground).expect("a terminal");
        match inside(pids, foreground) {
            Some(foreground) => assert_eq!(known, foreground, "{about}: tpgid"),
            // Outside of its namespace a group that nobody is left in has another number.
            None if pids[&task.pid] != task.pid => {
                assert!(world.living().all(|task| task.pgid != known), "{about}: group {known} is not gone");
            }
            None => assert_eq!(known, foreground, "{about}: tpgid"),
        }
    }
}

/// A process group as the run itself sees it.
fn inside(pids: &BTreeMap<i32, i32>, pgid: i32) -> Option<i32> {
    let mut groups = pids.values().filter_map(|pid| procfs::status(*pid)).map(|status| status.ns_pgids);
    groups.find(|groups| groups.first() == Some(&pgid))?.last().copied()
}

/// A shell with job control on the lab's terminal, key by key: each is typed when nobody can move.
#[test]
fn a_shell_and_its_jobs() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let keys = [
        "sleep 100\n",
        "\x1a",
        "bg\n",
        "sleep 200 | cat &\n",
        "fg %1\n",
        "\x03",
        "fg %2\n",
        "\x1a",
        "kill %2\n",
        "cat &\n",
        "fg\n",
        "word\n",
        "\x04",
        "(setsid sleep 300 &)\n",
        "exit\n",
    ];
    let mut keys = keys.iter();
    let mut plan = support::plan(support::command(&["bash", "--norc", "--noprofile", "--noediting"]));
    plan.serial = true;
    plan.start = Start::Paused;
    plan.terminal = Some(Terminal { attended: true, ..Terminal::default() });
    let session = Session::start(plan).expect("the run starts");
    let mut log = Log::new(session.header().clone());
    let (mut steps, mut last) = (0, "");
    loop {
        match session.updates().recv_timeout(Duration::from_mins(1)).expect("the session goes on") {
            Update::Batch(batch) => log.append(&batch),
            Update::Status(status) => {
                steps += 1;
                let pids = family(std::process::id() as i32);
                compare(log.head(), &pids, &format!("step {steps}, after {last:?}"));
                if status.next.is_empty() {
                    let Some(next) = keys.next() else { break };
                    last = next;
                    session.send(Command::Type(next.as_bytes().to_vec()));
                } else {
                    session.send(Command::Step(None));
                }
            }
            Update::Ended(ending) => panic!("{ending:?} after {last:?}"),
        }
    }
    assert!(last.starts_with("exit"), "{last}");
}
