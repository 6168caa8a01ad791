//! Descriptors that tell of something else: eventfd, signalfd, timerfd, pidfd, epoll.

use super::super::recorder::Outcome;
use super::super::tracer::Tracer;
use super::Ended;
use crate::model::{ChannelId, Interest, Kind, Monitor, TaskId, Told};
use crate::sys::fdinfo::{FdInfo, fdinfo};
use crate::sys::memory;

/// What epoll always waits for (`EPOLLERR | EPOLLHUP`, `epoll_ctl(2)`).
const ALWAYS: u32 = 0x18;

impl Tracer {
    /// Asks the kernel what a descriptor tells of, and writes it, if it is of a kind that does.
    pub(in crate::trace) fn write_monitor(&mut self, outcome: Option<Outcome>, task: TaskId, fd: i32) {
        let Some(channel) = self.world().fd(task, fd).map(|entry| entry.channel) else { return };
        if !self.world().channel(channel).is_some_and(|channel| channel.kind.tells()) {
            return;
        }
        let Some(info) = self.tids.get(&task).and_then(|tid| fdinfo(*tid, fd)) else { return };
        match info {
            FdInfo::Eventfd(count, semaphore) => self.tell(outcome, task, channel, Told::Count { count, semaphore }),
            FdInfo::Signalfd(mask) => self.tell(outcome, task, channel, Told::Signals(mask)),
            FdInfo::Timerfd { left, interval, ticks } => {
                self.tell(outcome, task, channel, Told::Timer { left, interval, ticks });
            }
            FdInfo::Pidfd(tid) => {
                let process = self.task_of(tid);
                self.tell(outcome, task, channel, Told::Task(process));
            }
            FdInfo::Epoll(interests) => {
                for (fd, events) in interests {
                    let to = self.world().fd(task, fd).map(|entry| entry.channel);
                    self.tell(outcome, task, channel, Told::Interest { fd, to, events });
                }
            }
        }
    }

    fn tell(&mut self, outcome: Option<Outcome>, task: TaskId, channel: ChannelId, told: Told) {
        let kind = Kind::Monitor { channel, told };
        match outcome {
            Some(outcome) => self.recorder.of_call(task, outcome, kind),
            None => self.recorder.plain(task, kind),
        }
    }

    pub(super) fn timerfd_settime(&mut self, ended: &Ended<'_>) {
        if ended.failed() || self.world().fd(ended.task, ended.int(0)).is_none() {
            return self.plain_call(ended);
        }
        self.write_monitor(Some(ended.outcome()), ended.task, ended.int(0));
    }

    pub(super) fn epoll_ctl(&mut self, ended: &Ended<'_>) {
        let known = self.world().fd(ended.task, ended.int(0)).map(|entry| entry.channel);
        let Some(channel) = known.filter(|_| !ended.failed()) else { return self.plain_call(ended) };
        let fd = ended.int(2);
        let to = self.world().fd(ended.task, fd).map(|entry| entry.channel);
        let events = match ended.int(1) {
            libc::EPOLL_CTL_DEL => 0,
            // `struct epoll_event`: the events come first.
            _ => memory::read_i32(ended.tid, ended.call.args[3]).unwrap_or(0).cast_unsigned() | ALWAYS,
        };
        self.tell(Some(ended.outcome()), ended.task, channel, Told::Interest { fd, to, events });
    }

    /// Timers expire without anybody making a call: asks those that are set.
    pub fn look_at_timers(&mut self) {
        let is_set = |monitor: &Monitor| matches!(monitor, Monitor::Timer { due: Some(_), .. });
        let set = self.world().channels().filter(|it| it.alive && it.monitor.as_deref().is_some_and(is_set));
        let holder = |channel: ChannelId| self.world().holders(channel).next().map(|(task, fd)| (task.id, fd.fd));
        let set: Vec<_> = set.filter_map(|channel| Some((channel.id, holder(channel.id)?))).collect();
        for (channel, (task, fd)) in set {
            let Some(tid) = self.tids.get(&task) else { continue };
            let Some(FdInfo::Timerfd { left, interval, ticks }) = fdinfo(*tid, fd) else { continue };
            let known = self.world().channel(channel).and_then(|channel| channel.monitor.as_deref());
            let Some(Monitor::Timer { due, ticks: before, .. }) = known else { continue };
            if *before != ticks || due.is_some() != (left > 0) {
                self.tell(None, task, channel, Told::Timer { left, interval, ticks });
            }
        }
    }

    /// The interest list of an epoll instance.
    pub(in crate::trace) fn interests(&self, channel: ChannelId) -> &[Interest] {
        match self.world().channel(channel).and_then(|channel| channel.monitor.as_deref()) {
            Some(Monitor::Interests(list)) => list,
            _ => &[],
        }
    }
}
