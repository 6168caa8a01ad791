//! The state of everything, as a pure fold over the log.
//!
//! Panes, diagnoses, expectations and the tracer itself read a [`World`]; only [`World::apply`]
//! changes one. Copies are cheap, because tasks, channels and descriptor tables are shared between
//! them until one changes: that is what makes it affordable to keep one every few thousand events
//! and to seek anywhere in a long log.

mod channels;
mod descriptors;
mod family;
mod signals;
mod terminals;
mod timers;

use std::sync::Arc;

use super::task::{Action, Blocked, Fd, State, Table, Task, Use};
use super::{
    Altstack, Channel, ChannelId, Event, Hold, How, Kind, Parties, Pending, Pendings, Signal, SignalSet, Sym, TaskId,
    Timer, Wanted,
};

/// `SA_NOCLDWAIT` of sigaction(2): children do not become zombies.
const SA_NOCLDWAIT: u32 = 2;

/// All tasks and channels after some number of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    tasks: Vec<Arc<Task>>,
    /// Those that have not ended, without the lab, in the order of birth: among thousands that have, they are
    /// looked for again and again.
    alive: Vec<TaskId>,
    channels: Vec<Arc<Channel>>,
    tables: Vec<Arc<Table>>,
    applied: u64,
    t_ns: u64,
    clock_ns: Option<u64>,
}

impl World {
    /// The world before the first event: only [`TaskId::LAB`], with its name and PID.
    pub fn new(name: Sym, pid: i32) -> Self {
        let lab = Task {
            id: TaskId::LAB,
            name,
            pid,
            process: TaskId::LAB,
            parent: TaskId::LAB,
            how: How::Fork,
            program: None,
            loaded: 0,
            state: State::Running,
            wanted: Wanted::Nothing,
            unwoken: false,
            pgid: 0,
            sid: 0,
            terminal: None,
            table: 0,
            blocked: SignalSet::EMPTY,
            actions: Vec::new(),
            interrupts: 0,
            pending: Pendings::default(),
            shared_pending: Pendings::default(),
            at_hand: None,
            uses: Vec::new(),
            handling: Vec::new(),
            on_altstack: 0,
            altstack: None,
            timers: Vec::new(),
            actions_of: TaskId::LAB,
            line: None,
            hold: Hold::Nothing,
            status: None,
            born: 0,
        };
        Self {
            tasks: vec![Arc::new(lab)],
            alive: Vec::new(),
            channels: Vec::new(),
            tables: vec![Arc::new(Table { users: 1, ..Table::default() })],
            applied: 0,
            t_ns: 0,
            clock_ns: None,
        }
    }

    /// How many events it has seen.
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// The time of the last event, in nanoseconds since the start.
    pub const fn t_ns(&self) -> u64 {
        self.t_ns
    }

    /// What the lab's clock says, in nanoseconds; `None` as long as it has not moved, which it never
    /// does where processes live in real time.
    pub const fn clock_ns(&self) -> Option<u64> {
        self.clock_ns
    }

    /// The time by which the timers of a task run: the lab's clock of a process that executes statements
    /// of a scenario, the time since the start of the run of all others.
    pub fn time_of(&self, id: TaskId) -> u64 {
        let by_clock = self.task(id).is_some_and(|task| task.line.is_some());
        self.clock_ns.filter(|_| by_clock).unwrap_or(self.t_ns)
    }

    /// The task, if this world has it yet.
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(id.index()).map(AsRef::as_ref)
    }

    /// Every task that ever was, the lab first, then in the order of birth.
    pub fn tasks(&self) -> impl DoubleEndedIterator<Item = &Task> + ExactSizeIterator {
        self.tasks.iter().map(AsRef::as_ref)
    }

    /// The tasks that have not ended, without the lab.
    pub fn living(&self) -> impl Iterator<Item = &Task> {
        self.alive.iter().filter_map(|id| self.task(*id))
    }

    /// The tasks whose parent `id` is, zombies included, the gone ones not.
    pub fn children(&self, id: TaskId) -> impl Iterator<Item = &Task> {
        self.tasks().skip(1).filter(move |task| task.parent == id && task.is_process() && task.state != State::Dead)
    }

    /// The youngest task with this PID (or TID) that is not gone.
    pub fn by_pid(&self, pid: i32) -> Option<&Task> {
        self.tasks().rev().find(|task| task.pid == pid && task.state != State::Dead)
    }

    /// The channel, if this world has it yet.
    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.channels.get(id.index()).map(AsRef::as_ref)
    }

    /// Every channel that ever was, in the order of its first mention.
    pub fn channels(&self) -> impl DoubleEndedIterator<Item = &Channel> + ExactSizeIterator {
        self.channels.iter().map(AsRef::as_ref)
    }

    /// The descriptors of a task, lowest number first; none for one that has ended.
    pub fn fds(&self, id: TaskId) -> impl Iterator<Item = &Fd> {
        let table = self.task(id).filter(|task| task.is_alive()).and_then(|task| self.tables.get(task.table));
        table.into_iter().flat_map(|table| table.iter())
    }

    /// One descriptor of a task.
    pub fn fd(&self, id: TaskId, fd: i32) -> Option<&Fd> {
        let task = self.task(id).filter(|task| task.is_alive())?;
        self.tables.get(task.table)?.get(fd)
    }

    /// Who holds `channel`, and through which descriptor: processes only, in the order of birth.
    pub fn holders(&self, channel: ChannelId) -> impl Iterator<Item = (&Task, &Fd)> {
        self.living()
            .filter(|task| task.is_process())
            .flat_map(move |task| self.fds(task.id).filter(move |fd| fd.channel == channel).map(move |fd| (task, fd)))
    }

    /// The process that has descriptors of an open file description of `channel`, if it is one only.
    pub fn only_holder(&self, channel: ChannelId, description: u64) -> Option<TaskId> {
        let mut holders =
            self.holders(channel).filter(|(_, fd)| fd.description == description).map(|(task, _)| task.id);
        let first = holders.next()?;
        holders.all(|other| other == first).then_some(first)
    }

    /// The System V objects and the shared memory of a task's process.
    pub fn uses(&self, id: TaskId) -> &[Use] {
        let leader = self.task(id).map_or(id, |task| task.process);
        self.task(leader).map_or(&[], |leader| &leader.uses)
    }

    /// Which processes have got or mapped `channel`, in the order of birth.
    pub fn users(&self, channel: ChannelId) -> impl Iterator<Item = &Task> {
        self.living().filter(move |task| task.is_process() && task.uses.iter().any(|used| used.channel == channel))
    }

    /// What the process of `id` does about `signal`.
    pub fn action(&self, id: TaskId, signal: Signal) -> Option<Action> {
        Some(self.actions(id)?.action(signal))
    }

    /// The task that keeps what the process of `id` does about signals.
    pub fn actions(&self, id: TaskId) -> Option<&Task> {
        let leader = self.task(id)?.process;
        self.task(self.task(leader)?.actions_of)
    }

    /// A measure of how much memory a copy takes once everything in it has changed, in bytes.
    pub fn weight(&self) -> usize {
        let inside =
            |channel: &Arc<Channel>| channel.contents.weight() + channel.far.weight() + channel.memory.weight();
        let contents: usize = self.channels.iter().map(inside).sum();
        let pending: usize = self.tasks.iter().map(|task| task.pending.len() + task.shared_pending.len()).sum();
        pending * size_of::<Pending>()
            + (self.tasks.len() + self.channels.len() + self.tables.len()) * size_of::<Arc<Task>>()
            + self.alive.len() * size_of::<TaskId>()
            + contents
    }

    /// Takes one event in. `payload` are the bytes of the event's [`Blob`](super::Blob). A call
    /// that failed changes nothing, except that whoever slept in it does so no more.
    pub fn apply(&mut self, event: &Event, payload: &[u8]) {
        let seq = self.applied;
        self.applied += 1;
        self.t_ns = event.t_ns;
        if event.failed() {
            self.wake(event.task);
            return;
        }
        let task = event.task;
        match event.kind {
            Kind::Spawn { child, pid, name, how, shares } => self.spawn(seq, task, child, pid, name, how, shares),
            Kind::Exec { path, name, .. } => self.exec(seq, task, path, name),
            Kind::Exit { status } => self.exit(task, status),
            Kind::Reap { child, status } => self.reap(child, status),
            Kind::Reparent { to } => self.reparent(task, to),
            Kind::Group { pgid, sid } => self.regroup(task, pgid, sid),
            Kind::Control { channel } => self.control(task, channel),
            Kind::Foreground { channel, pgid } => {
                self.change_channel(channel, |channel| channel.tty.foreground = pgid);
            }
            Kind::Window { channel, rows, columns } => {
                self.change_channel(channel, |channel| channel.tty.window = (rows, columns));
            }
            Kind::Open { fd, channel, end, access, flags } => {
                self.insert_fd(task, Fd { fd, channel, end, access, flags, description: seq, position: 0 });
            }
            Kind::Pass { fd, channel, description, end, access, flags, .. } => {
                let position = self.position_of(description);
                self.insert_fd(task, Fd { fd, channel, end, access, flags, description, position });
            }
            Kind::Close { fd, .. } => self.close(task, fd),
            Kind::Dup { fd, to, cloexec, .. } => self.dup(task, fd, to, cloexec),
            Kind::Flags { fd, flags } => self.set_flags(task, fd, flags),
            Kind::Create { .. } => self.create(event.kind),
            Kind::Destroy { channel } => self.change_channel(channel, |channel| channel.alive = false),
            Kind::Unlink { channel } => self.change_channel(channel, |channel| channel.unlinked = true),
            Kind::Capacity { channel, bytes } => self.change_channel(channel, |channel| channel.capacity = bytes),
            Kind::Write { .. } | Kind::Read { .. } | Kind::Drop { .. } => self.transfer(event, payload),
            Kind::Get { .. } | Kind::Attach { .. } | Kind::Detach { .. } => self.attach(task, event.kind),
            Kind::Address { .. }
            | Kind::Listen { .. }
            | Kind::Connect { .. }
            | Kind::Accept { .. }
            | Kind::Shutdown { .. } => self.socket(event.kind),
            Kind::Sem { channel, index, value, .. } if event.call.is_some_and(Sym::is_semctl) => {
                self.change_channel(channel, |channel| channel.semaphores.entry(index).or_default().set(task, value));
            }
            Kind::Sem { .. } | Kind::Lock { .. } | Kind::Store { .. } => self.shared(seq, task, event.kind, payload),
            Kind::Seek { fd, position, .. } => self.seek(task, fd, position),
            Kind::Block { channel, on, why, timeout, .. } => {
                let state = State::Blocked(Blocked { call: event.call, channel, on, why, timeout });
                let wanted = Wanted::from_bytes(payload);
                self.change(task, |task| (task.state, task.wanted, task.unwoken) = (state, wanted, false));
            }
            Kind::Monitor { channel, told } => self.monitor(task, event.t_ns, channel, told),
            Kind::Unblock { .. } => self.wake(task),
            Kind::Action { signal, disposition, flags, mask } => {
                self.set_action(task, Action { signal, disposition, flags, mask });
            }
            Kind::Mask { blocked, .. } => self.change(task, |task| task.blocked = blocked),
            Kind::Signal { phase, signal, queue, from, code, value, blocked } => {
                let pending = Pending { signal, from, code, value, coalesced: 0 };
                self.signal(task, phase, queue, pending, blocked);
            }
            Kind::Altstack { base, bytes, autodisarm } => {
                self.set_altstack(task, Altstack { base, bytes, autodisarm });
            }
            Kind::Timer { kind, change, id, signal, clock, left, interval } => {
                self.set_timer(
                    task,
                    change,
                    Timer { kind, id, signal, clock, left, interval, since: self.time_of(task) },
                );
            }
            Kind::Clock { now } => self.clock_ns = Some(now),
            Kind::Line { line, text } => self.change(task, |task| task.line = Some((line, text))),
            Kind::Hold { hold } => self.change(task, |task| task.hold = hold),
            Kind::Load { .. }
            | Kind::Interrupted { .. }
            | Kind::Syscall { .. }
            | Kind::Note { .. }
            | Kind::Limit { .. }
            | Kind::Copied { .. }
            | Kind::Diagnosis { .. }
            | Kind::End { .. } => {}
            Kind::Asleep { .. } => {
                for task in Parties::from_bytes(payload).tasks {
                    self.change(task, |task| task.unwoken = matches!(task.state, State::Blocked(_)));
                }
            }
        }
    }

    fn change(&mut self, id: TaskId, change: impl FnOnce(&mut Task)) {
        let Some(task) = self.tasks.get_mut(id.index()) else { return };
        let task = Arc::make_mut(task);
        let was_alive = task.is_alive();
        change(task);
        let is_alive = task.is_alive();
        if was_alive != is_alive && id != TaskId::LAB {
            self.note_life(id, is_alive);
        }
    }

    /// Puts a task among the living, or takes it out.
    fn note_life(&mut self, id: TaskId, alive: bool) {
        match self.alive.binary_search(&id) {
            Ok(place) if !alive => drop(self.alive.remove(place)),
            Err(place) if alive => self.alive.insert(place, id),
            _ => {}
        }
    }

    fn change_process(&mut self, id: TaskId, change: impl Fn(&mut Task)) {
        let Some(process) = self.task(id).map(|task| task.process) else { return };
        for task in self.tasks.iter_mut().filter(|task| task.process == process) {
            change(Arc::make_mut(task));
        }
    }

    fn change_channel(&mut self, id: ChannelId, change: impl FnOnce(&mut Channel)) {
        if let Some(channel) = self.channels.get_mut(id.index()) {
            change(Arc::make_mut(channel));
        }
    }

    fn change_table(&mut self, task: TaskId) -> Option<&mut Table> {
        let index = self.task(task)?.table;
        self.tables.get_mut(index).map(Arc::make_mut)
    }

    fn wake(&mut self, id: TaskId) {
        if self.task(id).is_some_and(|task| matches!(task.state, State::Blocked(_))) {
            self.change(id, |task| {
                (task.state, task.wanted, task.unwoken) = (State::Running, Wanted::Nothing, false);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Why;
    use super::super::sketch::Sketch;
    use super::*;

    #[test]
    fn a_failed_call_changes_nothing_but_wakes() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").pipe("a", "p", 3).block_at("a", "write", Why::Full, "p").write_fails("a", 4, 4);
        let world = sketch.world();
        assert_eq!(world.task(sketch.task("a")).map(|task| task.state), Some(State::Running));
        assert_eq!(world.channel(sketch.channel("p")).map(|channel| channel.written), Some(0));
    }

    #[test]
    fn totals_beyond_all_bounds_do_not_wrap() {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").pipe("a", "p", 3);
        for _ in 0..3 {
            sketch.write_kept("a", 4, i64::MAX as u64, "x").read("a", 3, i64::MAX as u64);
        }
        let channel = sketch.world().channel(sketch.channel("p")).cloned();
        assert_eq!(channel.map(|it| (it.written, it.read)), Some((u64::MAX, u64::MAX)));
    }
}
