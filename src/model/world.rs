//! The state of everything, as a pure fold over the log.
//!
//! Panes, diagnoses, expectations and the tracer itself read a [`World`]; only [`World::apply`]
//! changes one. Copies are cheap, because tasks, channels and descriptor tables are shared between
//! them until one changes: that is what makes it affordable to keep one every few thousand events
//! and to seek anywhere in a long log.

use std::sync::Arc;

use super::task::{Action, Blocked, Fd, Pending, State, Table, Task};
use super::{
    Channel, ChannelId, Contents, DefaultAction, Disposition, Event, FdFlags, How, Kind, Phase, Shares, Signal,
    SignalSet, Status, Sym, TaskId,
};

/// `SA_NOCLDWAIT` of sigaction(2): children do not become zombies.
const SA_NOCLDWAIT: u32 = 2;

/// All tasks and channels after some number of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    tasks: Vec<Arc<Task>>,
    channels: Vec<Arc<Channel>>,
    tables: Vec<Arc<Table>>,
    applied: u64,
    t_ns: u64,
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
            state: State::Running,
            pgid: 0,
            sid: 0,
            table: 0,
            blocked: SignalSet::EMPTY,
            actions: Vec::new(),
            pending: Vec::new(),
            handling: Vec::new(),
            line: None,
            status: None,
            born: 0,
        };
        Self {
            tasks: vec![Arc::new(lab)],
            channels: Vec::new(),
            tables: vec![Arc::new(Table { users: 1, ..Table::default() })],
            applied: 0,
            t_ns: 0,
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
        self.tasks().skip(1).filter(|task| task.is_alive())
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

    /// What the process of `id` does about `signal`.
    pub fn action(&self, id: TaskId, signal: Signal) -> Option<Action> {
        let leader = self.task(id)?.process;
        Some(self.task(leader)?.action(signal))
    }

    /// A measure of how much memory a copy takes once everything in it has changed, in bytes.
    pub fn weight(&self) -> usize {
        let contents: usize = self.channels.iter().map(|channel| channel.contents.weight()).sum();
        (self.tasks.len() + self.channels.len() + self.tables.len()) * size_of::<Arc<Task>>() + contents
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
            Kind::Exec { path, name, .. } => self.exec(task, path, name),
            Kind::Exit { status } => self.exit(task, status),
            Kind::Reap { child, status } => self.reap(child, status),
            Kind::Reparent { to } => self.reparent(task, to),
            Kind::Group { pgid, sid } => self.change_process(task, |task| (task.pgid, task.sid) = (pgid, sid)),
            Kind::Open { fd, channel, access, flags } => {
                self.insert_fd(task, Fd { fd, channel, access, flags, description: seq, position: 0 });
            }
            Kind::Close { fd, .. } => self.remove_fd(task, fd),
            Kind::Dup { fd, to, cloexec, .. } => self.dup(task, fd, to, cloexec),
            Kind::Flags { fd, flags } => self.set_flags(task, fd, flags),
            Kind::Create { channel, kind, name, capacity } => self.create(channel, kind, name, capacity),
            Kind::Destroy { channel } => self.change_channel(channel, |channel| channel.alive = false),
            Kind::Capacity { channel, bytes } => self.change_channel(channel, |channel| channel.capacity = bytes),
            Kind::Write { channel, fd, bytes, .. } => {
                self.change_channel(channel, |channel| {
                    channel.written = channel.written.saturating_add(bytes);
                    if channel.kind.is_queue() {
                        channel.contents.push(task, bytes, payload);
                    }
                });
                if !event.call.is_some_and(Sym::is_positioned) {
                    self.advance(task, fd, channel, bytes);
                }
            }
            Kind::Read { channel, fd, bytes, .. } => {
                self.change_channel(channel, |channel| {
                    let owing = channel.writers > 0;
                    channel.read = channel.read.saturating_add(bytes);
                    if channel.kind.is_queue() {
                        channel.contents.pop(bytes, owing);
                    }
                });
                if !event.call.is_some_and(Sym::is_positioned) {
                    self.advance(task, fd, channel, bytes);
                }
            }
            Kind::Seek { fd, position, .. } => self.seek(task, fd, position),
            Kind::Block { channel, on, why } => {
                let state = State::Blocked(Blocked { call: event.call, channel, on, why });
                self.change(task, |task| task.state = state);
            }
            Kind::Unblock { .. } => self.wake(task),
            Kind::Action { signal, disposition, flags, mask } => {
                self.set_action(task, Action { signal, disposition, flags, mask });
            }
            Kind::Mask { blocked, .. } => self.change(task, |task| task.blocked = blocked),
            Kind::Signal { phase, signal, from, value, blocked, .. } => {
                self.signal(task, phase, Pending { signal, from, value }, blocked);
            }
            Kind::Line { line, text } => self.change(task, |task| task.line = Some((line, text))),
            Kind::Syscall { .. } | Kind::Note { .. } | Kind::Diagnosis { .. } => {}
        }
    }

    fn change(&mut self, id: TaskId, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.tasks.get_mut(id.index()) {
            change(Arc::make_mut(task));
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

    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    fn spawn(&mut self, seq: u64, maker: TaskId, id: TaskId, pid: i32, name: Sym, how: How, shares: Shares) {
        // Identities are given in order; a damaged recording may skip some, which are then dead.
        while self.tasks.len() < id.index() {
            let mut gap = self.tasks[0].as_ref().clone();
            gap.id = TaskId::from_index(self.tasks.len());
            gap.process = gap.id;
            gap.state = State::Dead;
            self.tasks.push(Arc::new(gap));
        }
        let Some(maker) = self.task(maker).cloned() else { return };
        if id.index() != self.tasks.len() {
            return;
        }
        let thread = how == How::Thread;
        let table = if shares.files {
            maker.table
        } else {
            self.tables.push(Arc::new(Table::default()));
            self.tables.len() - 1
        };
        let leader_actions = self.task(maker.process).map(|leader| leader.actions.clone()).unwrap_or_default();
        self.tasks.push(Arc::new(Task {
            id,
            name,
            pid,
            process: if thread { maker.process } else { id },
            parent: if thread || shares.parent { maker.parent } else { maker.id },
            how,
            program: maker.program,
            state: State::Running,
            pgid: maker.pgid,
            sid: maker.sid,
            table,
            blocked: maker.blocked,
            actions: if thread { Vec::new() } else { leader_actions },
            pending: Vec::new(),
            handling: maker.handling.clone(),
            line: maker.line,
            status: None,
            born: seq,
        }));
        if !shares.files {
            let inherited: Vec<Fd> = self.tables[maker.table].iter().copied().collect();
            for fd in inherited {
                self.insert_fd(id, fd);
            }
        }
        Arc::make_mut(&mut self.tables[table]).users += 1;
    }

    fn exec(&mut self, id: TaskId, path: Sym, name: Sym) {
        self.unshare_table(id);
        self.change(id, |task| {
            task.program = Some(path);
            task.name = name;
            task.line = None;
            // A thread that loads a program takes the place of a leader that may have ended before.
            task.state = State::Running;
            task.status = None;
            task.handling.clear();
            task.actions.retain(|action| action.disposition == Disposition::Ignore);
        });
    }

    /// At an `execve` a task that shares its descriptor table gets a copy (execve(2)).
    fn unshare_table(&mut self, id: TaskId) {
        let Some(old) = self.task(id).map(|task| task.table) else { return };
        if self.tables[old].users < 2 {
            return;
        }
        Arc::make_mut(&mut self.tables[old]).users -= 1;
        let entries: Vec<Fd> = self.tables[old].iter().copied().collect();
        self.tables.push(Arc::new(Table { users: 1, ..Table::default() }));
        let table = self.tables.len() - 1;
        self.change(id, |task| task.table = table);
        for entry in entries {
            self.insert_fd(id, entry);
        }
    }

    fn exit(&mut self, id: TaskId, status: Status) {
        let Some(task) = self.task(id).cloned() else { return };
        let reaped_at_once = !task.is_process() || task.parent == TaskId::LAB || self.ignores_children(task.parent);
        self.change(id, |task| {
            task.state = if reaped_at_once { State::Dead } else { State::Zombie };
            task.status = Some(status);
            task.pending.clear();
        });
        let table = Arc::make_mut(&mut self.tables[task.table]);
        table.users = table.users.saturating_sub(1);
        if table.users == 0 {
            for fd in table.take() {
                self.count_fd(&fd, false);
            }
        }
    }

    /// Whether children of `id` vanish without being reaped (wait(2), "NOTES").
    fn ignores_children(&self, id: TaskId) -> bool {
        self.action(id, Signal::CHLD)
            .is_some_and(|action| action.disposition == Disposition::Ignore || action.flags & SA_NOCLDWAIT != 0)
    }

    fn reap(&mut self, child: TaskId, status: Status) {
        self.change(child, |task| {
            task.state = State::Dead;
            task.status = Some(status);
        });
    }

    /// The lab's side reaps at once whatever it is given.
    fn reparent(&mut self, id: TaskId, to: TaskId) {
        let reaped_at_once = to == TaskId::LAB || self.ignores_children(to);
        self.change(id, |task| {
            task.parent = to;
            if reaped_at_once && task.state == State::Zombie {
                task.state = State::Dead;
            }
        });
    }

    fn count_fd(&mut self, fd: &Fd, held: bool) {
        let access = fd.access;
        self.change_channel(fd.channel, |channel| {
            let step = |count: &mut u32| *count = if held { *count + 1 } else { count.saturating_sub(1) };
            step(&mut channel.holders);
            if access.reads() {
                step(&mut channel.readers);
            }
            if access.writes() {
                step(&mut channel.writers);
            }
        });
    }

    fn insert_fd(&mut self, id: TaskId, fd: Fd) {
        let Some(table) = self.change_table(id) else { return };
        let replaced = table.insert(fd);
        self.count_fd(&fd, true);
        if let Some(replaced) = replaced {
            self.count_fd(&replaced, false);
        }
    }

    fn remove_fd(&mut self, id: TaskId, fd: i32) {
        if let Some(removed) = self.change_table(id).and_then(|table| table.remove(fd)) {
            self.count_fd(&removed, false);
        }
    }

    fn dup(&mut self, id: TaskId, fd: i32, to: i32, cloexec: bool) {
        let Some(mut entry) = self.fd(id, fd).copied() else { return };
        if fd == to {
            return;
        }
        entry.fd = to;
        entry.flags.cloexec = cloexec;
        self.insert_fd(id, entry);
    }

    fn set_flags(&mut self, id: TaskId, fd: i32, flags: FdFlags) {
        let Some(description) = self.fd(id, fd).map(|entry| entry.description) else { return };
        self.change_description(description, |entry| {
            entry.flags.nonblock = flags.nonblock;
            entry.flags.append = flags.append;
        });
        if let Some(table) = self.change_table(id) {
            table.iter_mut().filter(|entry| entry.fd == fd).for_each(|entry| entry.flags.cloexec = flags.cloexec);
        }
    }

    /// Changes every descriptor that shares an open file description, whoever holds it.
    fn change_description(&mut self, description: u64, change: impl Fn(&mut Fd)) {
        for table in &mut self.tables {
            if table.iter().any(|entry| entry.description == description) {
                Arc::make_mut(table).iter_mut().filter(|entry| entry.description == description).for_each(&change);
            }
        }
    }

    fn advance(&mut self, id: TaskId, fd: i32, channel: ChannelId, bytes: u64) {
        let is_file = self.channel(channel).is_some_and(|channel| matches!(channel.kind, super::ChannelKind::File));
        if is_file && let Some(entry) = self.fd(id, fd).copied() {
            self.change_description(entry.description, |entry| {
                entry.position = entry.position.saturating_add(bytes);
            });
        }
    }

    fn seek(&mut self, id: TaskId, fd: i32, position: u64) {
        if let Some(entry) = self.fd(id, fd).copied() {
            self.change_description(entry.description, |entry| entry.position = position);
        }
    }

    fn create(&mut self, id: ChannelId, kind: super::ChannelKind, name: Sym, capacity: u64) {
        while self.channels.len() < id.index() {
            let gap = ChannelId::from_index(self.channels.len());
            self.channels.push(Arc::new(Self::new_channel(gap, kind, name, 0)));
            self.change_channel(gap, |channel| channel.alive = false);
        }
        if id.index() == self.channels.len() {
            self.channels.push(Arc::new(Self::new_channel(id, kind, name, capacity)));
        }
    }

    fn new_channel(id: ChannelId, kind: super::ChannelKind, name: Sym, capacity: u64) -> Channel {
        Channel {
            id,
            kind,
            name,
            capacity,
            alive: true,
            readers: 0,
            writers: 0,
            holders: 0,
            written: 0,
            read: 0,
            contents: Contents::default(),
        }
    }

    fn wake(&mut self, id: TaskId) {
        if self.task(id).is_some_and(|task| matches!(task.state, State::Blocked(_))) {
            self.change(id, |task| task.state = State::Running);
        }
    }

    fn set_action(&mut self, id: TaskId, action: Action) {
        let Some(leader) = self.task(id).map(|task| task.process) else { return };
        self.change(leader, |task| {
            task.actions.retain(|known| known.signal != action.signal);
            if action.disposition != Disposition::Default || action.flags & SA_NOCLDWAIT != 0 {
                task.actions.push(action);
                task.actions.sort_unstable_by_key(|action| action.signal);
            }
        });
    }

    fn signal(&mut self, id: TaskId, phase: Phase, pending: Pending, blocked: SignalSet) {
        let signal = pending.signal;
        match phase {
            Phase::Generated => {
                self.change(id, |task| {
                    if !task.is_alive() {
                        return;
                    }
                    if signal.is_realtime() || !task.pending.iter().any(|known| known.signal == signal) {
                        task.pending.push(pending);
                    }
                });
                if signal == Signal::CONT {
                    self.continue_process(id);
                }
            }
            Phase::Pending => {}
            Phase::Delivered | Phase::Ignored | Phase::Suppressed => self.dequeue(id, signal),
            Phase::Handler => self.change(id, |task| {
                task.handling.push(signal);
                task.blocked = blocked;
            }),
            Phase::Returned => self.change(id, |task| {
                task.handling.pop();
                task.blocked = blocked;
            }),
            Phase::Default => match signal.default_action() {
                DefaultAction::Stop => self.change_process(id, |task| {
                    if task.is_alive() {
                        task.state = State::Stopped(signal);
                    }
                }),
                DefaultAction::Continue => self.continue_process(id),
                DefaultAction::Terminate | DefaultAction::Core | DefaultAction::Ignore => {}
            },
        }
    }

    fn continue_process(&mut self, id: TaskId) {
        self.change_process(id, |task| {
            if let State::Stopped(_) = task.state {
                task.state = State::Running;
            }
        });
    }

    /// A signal to a process may be delivered to any of its threads.
    fn dequeue(&mut self, id: TaskId, signal: Signal) {
        let Some(process) = self.task(id).map(|task| task.process) else { return };
        let holds = |task: &Task| task.pending.iter().any(|pending| pending.signal == signal);
        let own = self.task(id).filter(|task| holds(task)).map(|task| task.id);
        let holder =
            own.or_else(|| self.tasks().find(|task| task.process == process && holds(task)).map(|task| task.id));
        if let Some(holder) = holder {
            self.change(holder, |task| {
                if let Some(index) = task.pending.iter().position(|pending| pending.signal == signal) {
                    task.pending.remove(index);
                }
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
