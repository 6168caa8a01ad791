//! A lock whose owner has ended: flock(2) locks live as long as any descriptor of the open file description,
//! and a semaphore stays taken (semop(2)).

use std::collections::{BTreeMap, BTreeSet};

use super::lineage::{Lineage, lives, process_of};
use super::{Finding, Rule, channel_name, name};
use crate::model::{
    Blocked, ChannelId, Ended, Event, Kind, Lock, LockKind, LockMode, Names, Owner, State, Status, Task, TaskId,
    Wanted, Weight, Why, World,
};

const EAGAIN: i32 = 11;
/// So long somebody has waited when it can be said that it waits in vain, though the run was cut: in nanoseconds.
const LONG: u64 = 1_000_000_000;

/// Somebody waits for what a process had that has ended.
#[derive(Debug, Default)]
pub(super) struct LockOutlivesOwner {
    lineage: Lineage,
    /// How much each process has taken of each semaphore.
    taken: BTreeMap<(ChannelId, u32), BTreeMap<TaskId, i32>>,
    /// The semaphores that are no locks: they were above 1, or somebody gave who had not taken.
    counting: BTreeSet<(ChannelId, u32)>,
    /// Who sleeps for a lock, since when.
    waits: BTreeMap<TaskId, u64>,
    told: BTreeSet<TaskId>,
    /// Who sleeps for a lock that it had itself and that a program of its own still holds, since when.
    own: BTreeMap<TaskId, (Inherited, u64)>,
    /// Who was refused one.
    refused: BTreeMap<TaskId, Inherited>,
}

/// A lock that is held by who has inherited it.
#[derive(Debug, Clone, Copy)]
struct Inherited {
    channel: ChannelId,
    holder: TaskId,
    fd: i32,
    owner: TaskId,
    /// Whether the holder runs another program than the owner did.
    loaded: bool,
}

impl LockOutlivesOwner {
    /// The lock in the way of `task`, if all who hold it have inherited it from who has ended.
    fn inherited(&self, task: TaskId, channel: ChannelId, mode: LockMode, world: &World) -> Option<Inherited> {
        let excludes = |lock: &&Lock| {
            let both = lock.mode == LockMode::Write || mode == LockMode::Write;
            both && matches!(lock.kind, LockKind::Flock | LockKind::Description)
        };
        let locks = &world.channel(channel)?.locks;
        locks.iter().filter(excludes).find_map(|lock| self.inherits(process_of(task, world), channel, lock, world))
    }

    fn inherits(&self, waiter: TaskId, channel: ChannelId, lock: &Lock, world: &World) -> Option<Inherited> {
        let Owner::Description(description) = lock.owner else { return None };
        let mut found = None;
        for (task, fd) in world.holders(channel).filter(|(_, fd)| fd.description == description) {
            // Who was there when it was opened is its opener; who has locked it is its owner.
            let born_after = |process: TaskId| world.task(process).is_some_and(|task| task.born > description);
            if task.id == waiter || task.id == process_of(lock.by, world) || !born_after(task.id) {
                return None;
            }
            let opener = self.lineage.makers(task.id).find(|maker| !born_after(*maker))?;
            if lives(opener, world) {
                return None;
            }
            let loaded = task.program != world.task(opener).and_then(|opener| opener.program);
            found = found.or(Some(Inherited { channel, holder: task.id, fd: fd.fd, owner: opener, loaded }));
        }
        found
    }

    /// The lock in the way of `task` that it has taken itself, through a descriptor that it has closed and that another
    /// program has inherited.
    fn left_to_a_program(&self, task: TaskId, world: &World) -> Option<Inherited> {
        let waiter = world.task(task)?;
        let (State::Blocked(Blocked { channel: Some(channel), .. }), Wanted::Lock { mode, .. }) =
            (waiter.state, &waiter.wanted)
        else {
            return None;
        };
        let excludes = |lock: &&Lock| {
            let both = lock.mode == LockMode::Write || *mode == LockMode::Write;
            both && lock.kind == LockKind::Flock && process_of(lock.by, world) == waiter.process
        };
        world.channel(channel)?.locks.iter().filter(excludes).find_map(|lock| {
            let Owner::Description(description) = lock.owner else { return None };
            let mut holders = world.holders(channel).filter(|(_, fd)| fd.description == description);
            let (task, fd) = holders.next()?;
            let inherits = |task: &Task| {
                task.loaded > description
                    && task.born > description
                    && self.lineage.maker(task.id) == Some(waiter.process)
                    && task.loaded > task.born
            };
            let all = inherits(task) && holders.all(|(task, _)| inherits(task));
            let owner = waiter.process;
            all.then_some(Inherited { channel, holder: task.id, fd: fd.fd, owner, loaded: true })
        })
    }

    /// The wait for such a lock is over, or the run. What passes within a moment is told of no one.
    fn had_itself(&mut self, waiter: TaskId, over: bool, world: &World, names: &Names) -> Option<Finding> {
        let (Inherited { channel, holder, fd, .. }, since) = self.own.remove(&waiter)?;
        if world.t_ns().saturating_sub(since) < LONG || !self.told.insert(waiter) {
            return None;
        }
        let called = |task| name(task, world, names);
        let (who, by, file) = (called(waiter), called(holder), channel_name(channel, world, names));
        let waits = if over { "waited" } else { "waits" };
        let text = format!(
            "{who} {waits} for the lock on {file} that it had itself: it has closed its descriptor, but {by} has inherited \
             the lock with descriptor {fd}, and the lock belongs to the open file description: it is held until the last \
             descriptor is closed; open it with O_CLOEXEC in {who}, or unlock it before the close (flock(2), LOCK_UN)"
        );
        let (rule, tasks) = ("lock-outlives-owner", vec![waiter, holder]);
        Some(Finding { rule, weight: Weight::Fault, text, tasks, channels: vec![channel] })
    }

    fn report(waiter: TaskId, lock: Inherited, refused: bool, weight: Weight, world: &World, names: &Names) -> Finding {
        let Inherited { channel, holder, fd, owner, loaded } = lock;
        let called = |task| name(task, world, names);
        let (who, by, from, file) =
            (called(waiter), called(holder), called(owner), channel_name(channel, world, names));
        let does = if refused { "is refused" } else { "waits for" };
        let cure = if loaded {
            format!(
                "open it with O_CLOEXEC in {from}, or close descriptor {fd} for {by} when it is started ({fd}>&- in a shell)"
            )
        } else {
            format!("close descriptor {fd} in {by} after the fork (close(2)), or unlock in {from} before it ends")
        };
        let text = format!(
            "{who} {does} the lock on {file} that {from} had, which has ended: {by} has inherited it with descriptor {fd}, \
             and the lock belongs to the open file description: it is held until the last descriptor is closed; \
             {cure}"
        );
        Finding {
            rule: "lock-outlives-owner",
            weight,
            text,
            tasks: vec![waiter, holder, owner],
            channels: vec![channel],
        }
    }

    /// Looks at what a task sleeps for: whether another program has inherited it, or anybody.
    fn asleep(
        &mut self,
        waiter: TaskId,
        loaded: bool,
        weight: Weight,
        world: &World,
        names: &Names,
    ) -> Option<Finding> {
        let task = world.task(waiter)?;
        let (State::Blocked(Blocked { channel: Some(channel), .. }), Wanted::Lock { mode, .. }) =
            (task.state, &task.wanted)
        else {
            return None;
        };
        let lock = self.inherited(waiter, channel, *mode, world).filter(|lock| lock.loaded || !loaded)?;
        self.told.insert(waiter).then(|| Self::report(waiter, lock, false, weight, world, names))
    }

    fn changed(&mut self, event: &Event, world: &World, names: &Names) {
        let Kind::Sem { channel, index, delta, value, .. } = event.kind else { return };
        let process = process_of(event.task, world);
        let taken = self.taken.entry((channel, index)).or_default();
        // What it is given at the start, or what the kernel takes back.
        let set =
            event.call.is_none_or(|call| !names.get(call).starts_with("semop") && names.get(call) != "semtimedop");
        if set && event.call.is_some_and(|call| names.get(call) == "semctl") {
            taken.clear();
        }
        if delta < 0 {
            let count = taken.entry(process).or_default();
            *count = i32::saturating_sub(*count, delta);
        } else if let Some(count) = taken.get_mut(&process).filter(|count| **count > 0) {
            *count -= delta.min(*count);
        } else if delta > 0 && !set && process != TaskId::LAB {
            self.counting.insert((channel, index));
        }
        if value > 1 {
            self.counting.insert((channel, index));
        }
    }

    /// A semaphore that is used as a lock, and that who had it last has not given back.
    fn semaphore(&self, waiter: TaskId, world: &World, names: &Names) -> Option<Finding> {
        let task = world.task(waiter)?;
        let (
            State::Blocked(Blocked { why: Why::Value, channel: Some(id), .. }),
            Wanted::Operation { index, delta: ..0 },
        ) = (task.state, &task.wanted)
        else {
            return None;
        };
        let key = (id, *index);
        let channel = world.channel(id)?;
        if self.counting.contains(&key) || channel.value(*index) != 0 {
            return None;
        }
        let mut holders = self.taken.get(&key)?.iter().filter(|(_, count)| **count > 0).map(|(process, _)| *process);
        let owner = holders.next().filter(|owner| !lives(*owner, world))?;
        if holders.next().is_some() {
            return None;
        }
        let (who, by, s) = (name(waiter, world, names), name(owner, world, names), channel_name(id, world, names));
        let which =
            if channel.semaphores.len() > 1 { format!("semaphore {index} of {s}") } else { format!("semaphore {s}") };
        let text = format!(
            "{who} waits for {which}, which {by} took and did not give back before it ended: take it with SEM_UNDO \
             (semop(2)), which gives it back whatever happens, or give it back on every way out; in shared \
             memory use a robust mutex, whose next owner gets EOWNERDEAD (pthread_mutexattr_setrobust(3))"
        );
        let (rule, weight) = ("lock-outlives-owner", Weight::Fault);
        Some(Finding { rule, weight, text, tasks: vec![waiter, owner], channels: vec![id] })
    }
}

impl Rule for LockOutlivesOwner {
    fn name(&self) -> &'static str {
        "lock-outlives-owner"
    }

    fn about(&self) -> &'static str {
        "Somebody waits for a lock or a semaphore of a process that has ended."
    }

    fn observe(&mut self, event: &Event, _: &[u8], world: &World, names: &Names, findings: &mut Vec<Finding>) {
        self.lineage.observe(event, world);
        match event.kind {
            Kind::Block { why: Why::Lock, channel: Some(_), .. } => {
                self.waits.insert(event.task, event.t_ns);
                findings.extend(self.asleep(event.task, true, Weight::Fault, world, names));
                let own = self.left_to_a_program(event.task, world);
                self.own.extend(own.map(|lock| (event.task, (lock, event.t_ns))));
            }
            Kind::Unblock { .. } if !self.waits.is_empty() => {
                self.waits.remove(&event.task);
                findings.extend(self.had_itself(event.task, true, world, names));
            }
            Kind::Lock { channel, mode, .. } if event.errno() == Some(EAGAIN) => {
                let lock = self.inherited(event.task, channel, mode, world);
                self.refused.extend(lock.map(|lock| (process_of(event.task, world), lock)));
            }
            Kind::Sem { .. } => self.changed(event, world, names),
            Kind::Exit { status } => {
                let waiting: Vec<TaskId> = self.waits.keys().copied().collect();
                for waiter in waiting {
                    findings.extend(self.asleep(waiter, true, Weight::Fault, world, names));
                }
                let process = process_of(event.task, world);
                self.waits.remove(&event.task);
                self.own.remove(&event.task);
                let Some(lock) = self.refused.remove(&process) else { return };
                // A daemon keeps the lock of who has started it to be the only one; another program cannot know.
                let weight = if lock.loaded && status != Status::Code(0) { Weight::Fault } else { Weight::Note };
                findings.push(Self::report(process, lock, true, weight, world, names));
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, names: &Names, ended: Ended, findings: &mut Vec<Finding>) {
        for (waiter, since) in self.waits.clone() {
            let weight = match ended {
                Ended::Cut if world.t_ns().saturating_sub(since) < LONG => Weight::Note,
                _ => Weight::Fault,
            };
            findings.extend(self.asleep(waiter, false, weight, world, names));
        }
        let own: Vec<TaskId> = self.own.keys().copied().collect();
        findings.extend(own.into_iter().filter_map(|waiter| self.had_itself(waiter, false, world, names)));
        let sleepers: Vec<TaskId> = world.living().map(|task| task.id).collect();
        findings.extend(sleepers.into_iter().filter_map(|waiter| self.semaphore(waiter, world, names)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::replay;
    use crate::model::sketch::Sketch;
    use crate::model::{Access, ChannelKind};

    fn found(sketch: &mut Sketch) -> Vec<(Weight, String)> {
        let findings = replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "lock-outlives-owner");
        findings.map(|it| (it.weight, it.text)).collect()
    }

    fn flock(sketch: &mut Sketch, task: &str) {
        let (channel, kind, mode) = (sketch.channel("f"), LockKind::Flock, LockMode::Write);
        sketch.event(task, "flock", 0, Kind::Lock { channel, fd: 9, kind, mode, start: 0, len: 0 });
    }

    fn wants(sketch: &mut Sketch) {
        let wanted = Wanted::Lock { fd: 9, kind: LockKind::Flock, mode: LockMode::Write, start: 0, len: 0 };
        sketch.fork("init", "next").open("next", 9, "f", Access::Write).wants("next", "flock", Why::Lock, "f", &wanted);
    }

    fn locked() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fork("init", "script").create("script", "f", ChannelKind::File).open("script", 9, "f", Access::Write);
        flock(&mut sketch, "script");
        sketch.fork("script", "daemon");
        sketch
    }

    fn exec(sketch: &mut Sketch, task: &str) {
        let (path, argv, name) = (sketch.intern("/bin/x"), sketch.keep(b"x\0"), sketch.intern(task));
        sketch.event(task, "execve", 0, Kind::Exec { path, argv, name });
    }

    #[test]
    fn a_daemon_has_inherited_the_lock() {
        let mut sketch = locked();
        exec(&mut sketch, "daemon");
        sketch.exit("script", 0);
        wants(&mut sketch);
        let expected = "next waits for the lock on f that script had, which has ended: daemon has inherited it with \
                        descriptor 9, and the lock belongs to the open file description: it is held until the last \
                        descriptor is closed; open it with O_CLOEXEC in script, or close descriptor 9 for daemon when it is started (9>&- in a shell)";
        assert_eq!(found(&mut sketch), [(Weight::Fault, expected.to_owned())]);
    }

    #[test]
    fn a_lock_that_its_owner_holds_is_waited_for() {
        let mut sketch = locked();
        wants(&mut sketch);
        sketch.exit("script", 0).exit("daemon", 0).unblock("next").exit("next", 0);
        assert_eq!(found(&mut sketch), []);
    }

    #[test]
    fn the_owner_waits_for_what_its_own_program_holds() {
        let again = |unlocks: bool, program: bool, seconds: u64| {
            let mut sketch = locked();
            if program {
                exec(&mut sketch, "daemon");
            }
            if unlocks {
                let (channel, kind, mode) = (sketch.channel("f"), LockKind::Flock, LockMode::Unlock);
                sketch.event("script", "flock", 0, Kind::Lock { channel, fd: 9, kind, mode, start: 0, len: 0 });
            }
            let wanted = Wanted::Lock { fd: 8, kind: LockKind::Flock, mode: LockMode::Write, start: 0, len: 0 };
            sketch.close("script", 9).open("script", 8, "f", Access::Write);
            sketch.wants("script", "flock", Why::Lock, "f", &wanted).passes(seconds * LONG).exit("daemon", 0);
            sketch.unblock("script").exit("script", 0);
            found(&mut sketch)
        };
        let found = again(false, true, 2);
        let start = "script waited for the lock on f that it had itself: it has closed its descriptor, but daemon has \
                     inherited the lock with descriptor 9";
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0 == Weight::Fault && found[0].1.starts_with(start), "{found:?}");
        assert_eq!(again(true, true, 2), [], "it has unlocked it");
        assert_eq!(again(false, false, 2), [], "the child knows that it has it");
        assert_eq!(again(false, true, 0), [], "a moment");
    }

    #[test]
    fn a_child_may_lock_for_its_parent() {
        // The shell opens the file, flock(1) locks it, and the shell holds it.
        let mut sketch = Sketch::new();
        sketch.fork("init", "shell").create("shell", "f", ChannelKind::File).open("shell", 9, "f", Access::Write);
        sketch.fork("shell", "flock");
        exec(&mut sketch, "flock");
        flock(&mut sketch, "flock");
        sketch.exit("flock", 0).reap("shell", "flock");
        wants(&mut sketch);
        assert_eq!(found(&mut sketch), []);
    }

    #[test]
    fn a_semaphore_of_who_is_dead() {
        for counts in [false, true] {
            let mut sketch = Sketch::new();
            sketch.fork("init", "a").create("a", "s", ChannelKind::Sem).get("a", "s").fork("init", "b").get("b", "s");
            let channel = sketch.channel("s");
            sketch.event("a", "semctl", 0, Kind::Sem { channel, index: 0, delta: 1, value: 1, undo: false });
            if counts {
                sketch.sem("b", "s", 0, 1, 2).sem("b", "s", 0, -1, 1);
            }
            sketch.sem("a", "s", 0, -1, 0).killed("a", crate::model::Signal::KILL);
            sketch.wants("b", "semop", Why::Value, "s", &Wanted::Operation { index: 0, delta: -1 });
            assert_eq!(found(&mut sketch).len(), usize::from(!counts));
        }
    }
}
