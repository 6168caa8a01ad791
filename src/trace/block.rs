//! Why a task sleeps: read off the call that it is in, and nothing else.

use super::calls::Family;
use super::decode::{Wanted, address_at};
use super::tracee::Call;
use super::tracer::Tracer;
use crate::model::{ChannelId, ChannelKind, Kind, TaskId, Why};
use crate::sys::{memory, procfs};

/// What a sleeping task waits for.
#[derive(Debug, Clone, Copy, Default)]
struct Cause {
    channel: Option<ChannelId>,
    on: Option<TaskId>,
    why: Option<Why>,
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
        if let Some(tracee) = self.tracees.get_mut(&tid) {
            tracee.blocked = true;
        }
        let cause = self.cause(tid, task, &call);
        let kind = Kind::Block { channel: cause.channel, on: cause.on, why: cause.why.unwrap_or(Why::Other) };
        self.recorder.in_call(task, call.name, kind);
        if cause.why == Some(Why::Full) {
            self.relieve_output(cause.channel);
        }
    }

    fn cause(&self, tid: i32, task: TaskId, call: &Call) -> Cause {
        let at = |fd: u64, why| {
            let channel = self.world().fd(task, fd as i32).map(|entry| entry.channel);
            Cause { channel, why: Some(why), on: None }
        };
        let by_id = |id: u64, why| Cause { channel: self.msg_queue(tid, id as i32), why: Some(why), on: None };
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
            Family::Msgrcv => by_id(args[0], Why::Empty),
            Family::Msgsnd => by_id(args[0], Why::Full),
            Family::Splice | Family::Tee => self.between_cause(task, call),
            Family::Accept => at(args[0], Why::NoPeer),
            Family::Connect => self.connect_cause(tid, task, call),
            Family::Open { path } => self.open_cause(tid, call, path),
            Family::Wait4 => self.wait_cause(task, (args[0] as i32 > 0).then_some(args[0] as i32)),
            Family::Waitid => self.wait_cause(task, (args[0] as u32 == libc::P_PID).then_some(args[1] as i32)),
            Family::Fork => {
                let child = self.world().children(task).filter(|child| child.is_alive()).last().map(|child| child.id);
                Cause { on: child, why: Some(Why::Vfork), channel: None }
            }
            Family::SignalWait => only(Why::Signal),
            Family::Sleep { .. } => only(Why::Time),
            Family::Poll | Family::Ppoll => self.poll_cause(tid, task, args[0], args[1]),
            Family::Select => self.epoll_cause(task, args[0]),
            Family::Futex => self.futex_cause(task, args[0]),
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
        Cause { channel: place.map(|(channel, _)| channel), on: place.and_then(|(_, on)| on), why: Some(Why::Lock) }
    }

    /// A datagram waits for room at the socket that it goes to; all else where it is written.
    fn full_cause(&self, tid: i32, task: TaskId, call: &Call) -> Cause {
        let own = self.world().fd(task, call.args[0] as i32).map(|entry| entry.channel);
        let channel = own.and_then(|own| self.target_of(tid, own, call)).or(own);
        Cause { channel, why: Some(Why::Full), on: None }
    }

    /// A connect sleeps because the queue of the listening socket is full, or because nobody answers.
    fn connect_cause(&self, tid: i32, task: TaskId, call: &Call) -> Cause {
        let own = self.world().fd(task, call.args[0] as i32).map(|entry| entry.channel);
        let address = address_at(tid, call.args[1], call.args[2]);
        let listener = own.and_then(|own| self.socket_at(tid, own, &address));
        match listener.filter(|id| self.world().channel(*id).is_some_and(|it| it.backlog().is_some())) {
            Some(listener) => Cause { channel: Some(listener), why: Some(Why::Backlog), on: None },
            None => Cause { channel: own, why: Some(Why::NoPeer), on: None },
        }
    }

    /// A futex in shared memory: of a semaphore, or of a lock in a segment.
    fn futex_cause(&self, task: TaskId, address: u64) -> Cause {
        let channel = self.mapped_at(task, address).map(|used| used.channel);
        let kind = channel.and_then(|channel| self.world().channel(channel)).map(|channel| channel.kind);
        if kind == Some(ChannelKind::Sem) {
            let on = channel.and_then(|channel| self.semaphore_holder(task, channel, 0));
            return Cause { channel, why: Some(Why::Value), on };
        }
        Cause { channel, why: Some(Why::Lock), on: None }
    }

    fn semop_cause(&self, tid: i32, task: TaskId, call: &Call) -> Cause {
        let channel = self.set(tid, call.args[0]);
        let index = channel.and_then(|channel| self.refused(tid, call, channel));
        let on = channel.zip(index).and_then(|(channel, index)| self.semaphore_holder(task, channel, index));
        Cause { channel, why: Some(Why::Value), on }
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
        Cause { on, why: Some(Why::Child), channel: None }
    }

    /// A splice sleeps at its source if that is empty, else at its sink.
    fn between_cause(&self, task: TaskId, call: &Call) -> Cause {
        let sink = if call.family == Family::Tee { 1 } else { 2 };
        let channel = |fd: u64| self.world().fd(task, fd as i32).and_then(|entry| self.world().channel(entry.channel));
        let (source, sink) = (channel(call.args[0]), channel(call.args[sink]));
        match source {
            Some(source) if source.kind.is_queue() && source.contents.is_empty() => {
                Cause { channel: Some(source.id), why: Some(Why::Empty), on: None }
            }
            _ => Cause { channel: sink.map(|sink| sink.id), why: Some(Why::Full), on: None },
        }
    }

    /// An open that sleeps is that of a FIFO whose other end nobody has opened.
    fn open_cause(&self, tid: i32, call: &Call, path: u8) -> Cause {
        Cause { channel: self.channel_at(tid, call, usize::from(path)), why: Some(Why::NoPeer), on: None }
    }

    /// epoll_wait(2) waits at its instance; select(2) has a number there that means something else.
    fn epoll_cause(&self, task: TaskId, fd: u64) -> Cause {
        let channel = self.world().fd(task, fd as i32).and_then(|entry| self.world().channel(entry.channel));
        let instance = channel.filter(|channel| channel.kind == ChannelKind::Epoll);
        Cause { channel: instance.map(|channel| channel.id), why: Some(Why::Poll), on: None }
    }

    /// A poll of one descriptor waits for that one.
    fn poll_cause(&self, tid: i32, task: TaskId, list: u64, count: u64) -> Cause {
        if count == 0 {
            return Cause { why: Some(Why::Time), ..Cause::default() };
        }
        let fd = (count == 1).then(|| memory::read_i32(tid, list)).flatten();
        let channel = fd.and_then(|fd| self.world().fd(task, fd)).map(|entry| entry.channel);
        Cause { channel, why: Some(Why::Poll), on: None }
    }
}
