//! Why a task sleeps: read off the call that it is in, and nothing else.

use super::calls::Family;
use super::decode::{Wanted, address_at};
use super::futex::{Waits, is_private};
use super::tracee::Call;
use super::tracer::Tracer;
use crate::model::{
    Access, Blob, ChannelId, ChannelKind, Interest, Kind, Monitor, Polled, TaskId, Wanted as Exactly, Why,
};
use crate::sys::{memory, procfs};

/// How many descriptors of a poll are looked at.
const MAX_POLLED: u64 = 1024;
/// `POLLIN`, `POLLPRI`, `POLLRDNORM`, `POLLRDBAND` of poll(2), and `POLLOUT`, `POLLWRNORM`, `POLLWRBAND`.
const READING: u32 = 0x0c3;
const WRITING: u32 = 0x304;

/// What a sleeping task waits for.
#[derive(Debug, Clone, Default)]
struct Cause {
    channel: Option<ChannelId>,
    on: Option<TaskId>,
    why: Option<Why>,
    timeout: bool,
    wanted: Exactly,
}

impl Tracer {
    /// Writes that a task sleeps, and why.
    pub(super) fn write_block(&mut self, tid: i32) {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return };
        let task = tracee.task;
        let call = match tracee.call {
            Some(call) => call,
            // Asleep in a call that does not stop: the kernel says which.
            None => match procfs::sleeping_in(tid) {
                Some((number, args)) => {
                    let name = self.call_names.sym(&mut self.recorder, number);
                    Call { number, name, family: self.calls.family(number), args }
                }
                None => return,
            },
        };
        let naps = if self.length_of(call.name).is_some() { procfs::naps(tid) } else { None };
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.blocked = true;
            tracee.sleeps_in = Some((call.number, call.args));
            if tracee.call.is_none() {
                tracee.hidden.since = Some(std::time::Instant::now());
                tracee.hidden.naps = naps;
            }
        }
        let cause = self.cause(tid, task, &call);
        let wanted = match cause.wanted {
            Exactly::Nothing => Blob::EMPTY,
            wanted => self.recorder.keep(&wanted.to_bytes()),
        };
        let why = cause.why.unwrap_or(Why::Other);
        let timeout = cause.timeout || self.ends_by_itself(task, &call);
        let kind = Kind::Block { channel: cause.channel, on: cause.on, why, timeout, wanted };
        self.recorder.in_call(task, call.name, kind);
        if call.family == Family::SignalWait {
            self.write_mask_of_sleep(tid, task, &call);
        }
        if cause.why == Some(Why::Full) {
            self.relieve_output(cause.channel);
        }
    }

    /// Whether a task sleeps in a call that does not stop, and that does not end by itself.
    pub(super) fn sleeps_without_end(&mut self, tid: i32) -> bool {
        let Some((number, args)) = procfs::sleeping_in(tid) else { return false };
        let family = self.calls.family(number);
        let Some(task) = self
            .task_of(tid)
            .filter(|_| matches!(family, Family::Futex | Family::Poll | Family::Ppoll | Family::Select))
        else {
            return false;
        };
        let name = self.call_names.sym(&mut self.recorder, number);
        let call = Call { number, name, family, args };
        !self.cause(tid, task, &call).timeout && !self.ends_by_itself(task, &call)
    }

    fn cause(&self, tid: i32, task: TaskId, call: &Call) -> Cause {
        let at = |fd: u64, why| {
            let channel = self.world().fd(task, fd as i32).map(|entry| entry.channel);
            Cause { channel, why: Some(why), ..Cause::default() }
        };
        let by_id =
            |id: u64, why| Cause { channel: self.msg_queue(tid, id as i32), why: Some(why), ..Cause::default() };
        let only = |why| Cause { why: Some(why), ..Cause::default() };
        let args = &call.args;
        match call.family {
            Family::Read | Family::Readv | Family::Recvfrom | Family::Recvmsg { .. } | Family::MqReceive => {
                at(args[0], Why::Empty)
            }
            Family::Write
            | Family::Writev
            | Family::Sendto
            | Family::Sendmsg { .. }
            | Family::Vmsplice
            | Family::Sendfile => self.full_cause(tid, task, call),
            Family::MqSend => at(args[0], Why::Full),
            Family::Msgrcv => Cause { wanted: Exactly::Message(args[3].cast_signed()), ..by_id(args[0], Why::Empty) },
            Family::Msgsnd => by_id(args[0], Why::Full),
            Family::Splice | Family::Tee => self.between_cause(task, call),
            Family::Accept => at(args[0], Why::NoPeer),
            Family::Connect => self.connect_cause(tid, task, call),
            Family::Open { path } => self.open_cause(tid, call, path),
            Family::Wait4 => self.wait_cause(task, (args[0] as i32 > 0).then_some(args[0] as i32)),
            Family::Waitid if args[0] as u32 == libc::P_PIDFD => self.pidfd_cause(task, args[1] as i32),
            Family::Waitid => self.wait_cause(task, (args[0] as u32 == libc::P_PID).then_some(args[1] as i32)),
            Family::Fork => {
                let child = self.world().children(task).filter(|child| child.is_alive()).last().map(|child| child.id);
                Cause { on: child, why: Some(Why::Vfork), ..Cause::default() }
            }
            Family::SignalWait => only(Why::Signal),
            Family::Sleep { .. } => only(Why::Time),
            Family::Poll | Family::Ppoll => self.poll_cause(tid, task, call),
            Family::Select => self.select_cause(tid, task, call),
            Family::Futex => self.futex_cause(tid, task, args),
            Family::Semop => self.semop_cause(tid, task, call),
            Family::Flock => self.lock_cause(task, self.wanted_by_flock(task, args[0] as i32, args[1] as i32)),
            Family::Fcntl => {
                let (fd, command) = (args[0] as i32, args[1] as i32);
                self.lock_cause(task, self.wanted_by_fcntl(tid, task, fd, command, args[2]))
            }
            _ => only(Why::Other),
        }
    }

    fn lock_cause(&self, task: TaskId, wanted: Option<Wanted>) -> Cause {
        let place = wanted.map(|wanted| self.in_the_way(task, wanted));
        Cause {
            channel: place.map(|(channel, _)| channel),
            on: place.and_then(|(_, on)| on),
            why: Some(Why::Lock),
            wanted: wanted.map(Wanted::asked).unwrap_or_default(),
            ..Cause::default()
        }
    }

    /// A datagram waits for room at the socket that it goes to; all else where it is written.
    fn full_cause(&self, tid: i32, task: TaskId, call: &Call) -> Cause {
        let own = self.world().fd(task, call.args[0] as i32).map(|entry| entry.channel);
        let channel = own.and_then(|own| self.target_of(tid, own, call)).or(own);
        Cause { channel, why: Some(Why::Full), ..Cause::default() }
    }

    /// A connect sleeps because the queue of the listening socket is full, or because nobody answers.
    fn connect_cause(&self, tid: i32, task: TaskId, call: &Call) -> Cause {
        let own = self.world().fd(task, call.args[0] as i32).map(|entry| entry.channel);
        let address = address_at(tid, call.args[1], call.args[2]);
        let listener = own.and_then(|own| self.socket_at(tid, own, &address));
        match listener.filter(|id| self.world().channel(*id).is_some_and(|it| it.backlog().is_some())) {
            Some(listener) => Cause { channel: Some(listener), why: Some(Why::Backlog), ..Cause::default() },
            None => Cause { channel: own, why: Some(Why::NoPeer), ..Cause::default() },
        }
    }

    /// A word of memory: of a semaphore, of a lock in a segment or in memory of the process's own, of a thread.
    fn futex_cause(&self, tid: i32, task: TaskId, args: &[u64; 6]) -> Cause {
        let used = self.mapped_at(task, args[0]);
        let channel = used.map(|used| used.channel);
        let kind = channel.and_then(|channel| self.world().channel(channel)).map(|channel| channel.kind);
        if kind == Some(ChannelKind::Sem) {
            let on = channel.and_then(|channel| self.semaphore_holder(task, channel, 0));
            let wanted = Exactly::Operation { index: 0, delta: -1 };
            return Cause { channel, why: Some(Why::Value), on, wanted, ..Cause::default() };
        }
        let waits = self.futex_waits(tid, task, args, used.is_some());
        // Whom `FUTEX_PRIVATE_FLAG` has wait, only threads of its own process wake, wherever the word lies.
        if used.is_some() && is_private(args) {
            let own = |thread: &TaskId| self.process_of(*thread) == self.process_of(task);
            return match waits {
                Waits::At(of, owner) => {
                    let on = owner.filter(own);
                    let why = if on.is_some() { Why::Lock } else { Why::Futex };
                    Cause { on, why: Some(why), wanted: Exactly::Word { of, at: args[0] }, ..Cause::default() }
                }
                _ => Cause { why: Some(Why::Other), ..Cause::default() },
            };
        }
        let at = used.map_or(args[0], |used| args[0].saturating_sub(used.address).saturating_add(used.offset));
        match waits {
            Waits::For(thread) => Cause { on: Some(thread), why: Some(Why::Join), ..Cause::default() },
            Waits::At(of, owner) => {
                let why = if owner.is_some() { Why::Lock } else { Why::Futex };
                Cause { channel, on: owner, why: Some(why), wanted: Exactly::Word { of, at }, ..Cause::default() }
            }
            Waits::Otherwise => Cause { why: Some(Why::Other), ..Cause::default() },
        }
    }

    fn semop_cause(&self, tid: i32, task: TaskId, call: &Call) -> Cause {
        let channel = self.set(tid, call.args[0]);
        let refused = channel.and_then(|channel| self.refused(tid, call, channel));
        let on = channel.zip(refused).and_then(|(channel, (index, _))| self.semaphore_holder(task, channel, index));
        let wanted = refused.map(|(index, delta)| Exactly::Operation { index, delta }).unwrap_or_default();
        Cause { channel, why: Some(Why::Value), on, wanted, ..Cause::default() }
    }

    /// Who else holds a semaphore that is used as a lock.
    fn semaphore_holder(&self, task: TaskId, channel: ChannelId, index: u32) -> Option<TaskId> {
        let holder = self.world().channel(channel)?.holder(index)?;
        let lives = self.world().task(holder).is_some_and(crate::model::Task::is_alive);
        (lives && holder != self.process_of(task)).then_some(holder)
    }

    fn wait_cause(&self, task: TaskId, pid: Option<i32>) -> Cause {
        let process = self.world().task(task).map_or(task, |task| task.process);
        let on =
            pid.and_then(|pid| self.world().children(process).find(|child| child.pid == pid)).map(|child| child.id);
        Cause { on, why: Some(Why::Child), ..Cause::default() }
    }

    /// The process that a pidfd stands for.
    fn pidfd_cause(&self, task: TaskId, fd: i32) -> Cause {
        let channel = self.world().fd(task, fd).and_then(|entry| self.world().channel(entry.channel));
        let on = match channel.and_then(|channel| channel.monitor.as_deref()) {
            Some(Monitor::Task(process)) => *process,
            _ => None,
        };
        Cause { on, why: Some(Why::Child), ..Cause::default() }
    }

    /// A splice sleeps at its source if that is empty, else at its sink.
    fn between_cause(&self, task: TaskId, call: &Call) -> Cause {
        let sink = if call.family == Family::Tee { 1 } else { 2 };
        let channel = |fd: u64| self.world().fd(task, fd as i32).and_then(|entry| self.world().channel(entry.channel));
        let (source, sink) = (channel(call.args[0]), channel(call.args[sink]));
        match source {
            Some(source) if source.kind.is_queue() && source.contents.is_empty() => {
                Cause { channel: Some(source.id), why: Some(Why::Empty), ..Cause::default() }
            }
            _ => Cause { channel: sink.map(|sink| sink.id), why: Some(Why::Full), ..Cause::default() },
        }
    }

    /// An open that sleeps is that of a FIFO whose other end nobody has opened.
    fn open_cause(&self, tid: i32, call: &Call, path: u8) -> Cause {
        Cause { channel: self.channel_at(tid, call, usize::from(path)), why: Some(Why::NoPeer), ..Cause::default() }
    }

    /// epoll_wait(2) waits at its instance for what is in its interest list, select(2) for what is in its sets.
    fn select_cause(&self, tid: i32, task: TaskId, call: &Call) -> Cause {
        let args = &call.args;
        let name = self.recorder.names().get(call.name);
        if !name.starts_with("epoll") {
            return Self::ready_cause(self.selected(tid, task, args), args[4] != 0, None);
        }
        let timeout = if name == "epoll_pwait2" { args[3] != 0 } else { !(args[3] as i32).is_negative() };
        let instance = self.world().fd(task, args[0] as i32).map(|entry| entry.channel);
        let polled = |interest: &Interest| Polled {
            fd: interest.fd,
            channel: interest.to,
            access: access(interest.events & Interest::IN != 0, interest.events & Interest::OUT != 0),
        };
        let list = instance.map_or(&[][..], |instance| self.interests(instance));
        Self::ready_cause(list.iter().map(polled).collect(), timeout, instance)
    }

    /// The descriptors in the sets of a select: for reading, for writing, for exceptions.
    fn selected(&self, tid: i32, task: TaskId, args: &[u64; 6]) -> Vec<Polled> {
        let count = args[0].min(MAX_POLLED);
        let set = |at: u64| {
            let mut bytes = vec![0; count.div_ceil(64) as usize * 8];
            let read = if at == 0 { 0 } else { memory::read(tid, at, &mut bytes).unwrap_or(0) };
            bytes.truncate(read);
            bytes
        };
        let (reading, writing, other) = (set(args[1]), set(args[2]), set(args[3]));
        let has = |set: &[u8], fd: u64| set.get(fd as usize / 8).is_some_and(|byte| byte >> (fd % 8) & 1 == 1);
        let chosen = (0..count).filter(|fd| [&reading, &writing, &other].iter().any(|set| has(set, *fd)));
        chosen.map(|fd| self.polled(task, fd as i32, access(has(&reading, fd), has(&writing, fd)))).collect()
    }

    /// The descriptors of a poll; a negative one is passed over (poll(2)).
    fn poll_cause(&self, tid: i32, task: TaskId, call: &Call) -> Cause {
        let timeout =
            if call.family == Family::Ppoll { call.args[2] != 0 } else { !(call.args[2] as i32).is_negative() };
        let mut bytes = vec![0; call.args[1].min(MAX_POLLED) as usize * 8];
        let read = memory::read(tid, call.args[0], &mut bytes).unwrap_or(0);
        let entry = |entry: &[u8]| {
            let fd = i32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let events = u32::from(u16::from_ne_bytes([entry[4], entry[5]]));
            let access = access(events & READING != 0, events & WRITING != 0);
            (fd >= 0).then(|| self.polled(task, fd, access))
        };
        let polled = bytes[..read].chunks_exact(8).filter_map(entry).collect();
        Self::ready_cause(polled, timeout, None)
    }

    fn polled(&self, task: TaskId, fd: i32, access: Access) -> Polled {
        Polled { fd, channel: self.world().fd(task, fd).map(|entry| entry.channel), access }
    }

    /// Who waits for one descriptor only waits at that one, who waits for none waits for time to pass.
    fn ready_cause(polled: Vec<Polled>, timeout: bool, instance: Option<ChannelId>) -> Cause {
        let why = if polled.is_empty() && instance.is_none() && timeout { Why::Time } else { Why::Poll };
        let only = match polled[..] {
            [Polled { channel, .. }] => channel,
            _ => None,
        };
        let wanted = if why == Why::Time { Exactly::Nothing } else { Exactly::Ready { polled } };
        Cause { channel: instance.or(only), on: None, why: Some(why), timeout, wanted }
    }
}

const fn access(reads: bool, writes: bool) -> Access {
    match (reads, writes) {
        (true, true) => Access::ReadWrite,
        (true, false) => Access::Read,
        (false, true) => Access::Write,
        (false, false) => Access::None,
    }
}
