//! Tasks come, load programs, end, and change parents.

use std::sync::Arc;

use super::{SA_NOCLDWAIT, World};
use crate::model::task::{Fd, State, Table, Task};
use crate::model::{Disposition, Hold, How, Owner, Pendings, Shares, Signal, Status, Sym, TaskId, TimerKind, Wanted};

impl World {
    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    pub(super) fn spawn(&mut self, seq: u64, maker: TaskId, id: TaskId, pid: i32, name: Sym, how: How, shares: Shares) {
        // Identities are given in order; a damaged recording may skip some, which are then dead.
        while self.tasks.len() < id.index() {
            let mut gap = self.tasks[0].as_ref().clone();
            gap.id = TaskId::from_index(self.tasks.len());
            gap.process = gap.id;
            gap.actions_of = gap.id;
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
        let keeper = self.task(maker.process).map_or(maker.id, |leader| leader.actions_of);
        let (actions, interrupts) =
            self.task(keeper).map(|keeper| (keeper.actions.clone(), keeper.interrupts)).unwrap_or_default();
        self.tasks.push(Arc::new(Task {
            id,
            name,
            pid,
            process: if thread { maker.process } else { id },
            parent: if thread || shares.parent { maker.parent } else { maker.id },
            how,
            program: maker.program,
            loaded: maker.loaded,
            state: State::Running,
            wanted: Wanted::Nothing,
            unwoken: false,
            pgid: maker.pgid,
            sid: maker.sid,
            terminal: maker.terminal,
            table,
            blocked: maker.blocked,
            actions: if thread || shares.actions { Vec::new() } else { actions },
            interrupts: if thread || shares.actions { 0 } else { interrupts },
            pending: Pendings::default(),
            shared_pending: Pendings::default(),
            at_hand: None,
            uses: Vec::new(),
            // A new thread starts in a function of its own, and without a stack for handlers.
            handling: if thread { Vec::new() } else { maker.handling.clone() },
            on_altstack: if thread { 0 } else { maker.on_altstack },
            altstack: maker.altstack.filter(|_| !thread),
            timers: Vec::new(),
            actions_of: if thread || shares.actions { keeper } else { id },
            line: maker.line,
            hold: Hold::Nothing,
            status: None,
            born: seq,
        }));
        self.note_life(id, true);
        if !thread {
            self.inherit_uses(maker.process, id);
        }
        if !shares.files {
            let inherited: Vec<Fd> = self.tables[maker.table].iter().copied().collect();
            for fd in inherited {
                self.insert_fd(id, fd);
            }
        }
        Arc::make_mut(&mut self.tables[table]).users += 1;
    }

    /// After a fork the same memory is mapped in the child.
    fn inherit_uses(&mut self, maker: TaskId, child: TaskId) {
        let uses = self.uses(maker).to_vec();
        if uses.is_empty() {
            return;
        }
        for used in &uses {
            self.count_use(used.channel, true);
        }
        self.change(child, |task| task.uses = uses);
    }

    pub(super) fn exec(&mut self, seq: u64, id: TaskId, path: Sym, name: Sym) {
        self.unshare_table(id);
        self.drop_uses(id);
        let actions = self.actions(id).map(|keeper| keeper.actions.clone()).unwrap_or_default();
        // What is left of its timers is left in real time, whichever clock they ran by so far.
        let (now, t_ns) = (self.time_of(id), self.t_ns);
        self.change(id, |task| {
            for timer in &mut task.timers {
                timer.since = t_ns.saturating_add(timer.since).saturating_sub(now);
            }
            // What it has shared is its own from now on.
            task.actions = actions;
            task.interrupts = 0;
            task.actions_of = id;
            task.on_altstack = 0;
            task.altstack = None;
            task.timers.retain(|timer| timer.kind != TimerKind::Posix);
            (task.program, task.loaded) = (Some(path), seq);
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
    pub(super) fn unshare_table(&mut self, id: TaskId) {
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

    pub(super) fn exit(&mut self, id: TaskId, status: Status) {
        let Some(task) = self.task(id).cloned() else { return };
        let reaped_at_once = !task.is_process() || task.parent == TaskId::LAB || self.ignores_children(task.parent);
        self.change(id, |task| {
            task.state = if reaped_at_once { State::Dead } else { State::Zombie };
            task.status = Some(status);
            task.pending.clear();
            task.shared_pending.clear();
            task.at_hand = None;
            task.timers.clear();
        });
        let table = Arc::make_mut(&mut self.tables[task.table]);
        table.users = table.users.saturating_sub(1);
        if table.users == 0 {
            for fd in table.take() {
                self.count_fd(&fd, false);
                self.drop_locks(fd.channel, Owner::Process(task.process));
            }
        }
        if task.is_process() {
            self.drop_uses(id);
            self.end_session(&task);
        }
    }

    /// Whether children of `id` vanish without being reaped (wait(2), "NOTES").
    pub(super) fn ignores_children(&self, id: TaskId) -> bool {
        self.action(id, Signal::CHLD)
            .is_some_and(|action| action.disposition == Disposition::Ignore || action.flags & SA_NOCLDWAIT != 0)
    }

    pub(super) fn reap(&mut self, child: TaskId, status: Status) {
        self.change(child, |task| {
            task.state = State::Dead;
            task.status = Some(status);
        });
    }

    /// The lab's side reaps at once whatever it is given.
    pub(super) fn reparent(&mut self, id: TaskId, to: TaskId) {
        let reaped_at_once = to == TaskId::LAB || self.ignores_children(to);
        self.change(id, |task| {
            task.parent = to;
            if reaped_at_once && task.state == State::Zombie {
                task.state = State::Dead;
            }
        });
    }
}
