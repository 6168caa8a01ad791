//! In words: what a task would do next.

use super::arguments;
use super::calls::Family;
use super::tracee::{Call, Rest};
use super::tracer::Tracer;
use crate::model::{Disposition, TaskId};
use crate::sys::memory;

impl Tracer {
    /// What a task that rests would do next: `write p 29 B`.
    pub fn next_step(&self, task: TaskId) -> Option<String> {
        Some(match self.rest(task)? {
            Rest::Statement(_, id) => {
                let info = self.scenario.as_ref()?.program.statements.get(id.index())?;
                info.text.clone()
            }
            Rest::Call(stopped, call) => self.call_text(task, stopped.pid(), call),
            Rest::Signal(_, signal, _) => {
                let what = match self.world().action(task, *signal).map(|action| action.disposition) {
                    Some(Disposition::Handler) => "handler",
                    Some(Disposition::Ignore) => "ignored",
                    _ => signal.default_action().as_str(),
                };
                format!("about to be delivered {signal} ({what})")
            }
            Rest::Handler(_) => {
                let handling = self.world().task(task).and_then(|task| task.handling.last().copied());
                handling.map_or_else(|| "the handler".to_owned(), |signal| format!("the handler of {signal}"))
            }
            Rest::Anywhere(_) => "compute".to_owned(),
        })
    }

    fn call_text(&self, task: TaskId, tid: i32, call: &Call) -> String {
        let name = self.recorder.names().get(call.name);
        let channel = |fd: u64| {
            let known = self.world().fd(task, fd as i32).and_then(|entry| self.world().channel(entry.channel));
            known.map_or_else(|| format!("{}", fd as i32), |channel| self.recorder.names().get(channel.name).to_owned())
        };
        match call.family {
            Family::Read | Family::Write | Family::Recvfrom | Family::Sendto => {
                format!("{name} {} {} B", channel(call.args[0]), call.args[2])
            }
            Family::Readv
            | Family::Writev
            | Family::Recvmsg { .. }
            | Family::Sendmsg { .. }
            | Family::Lseek
            | Family::Accept
            | Family::Listen
            | Family::Close => format!("{name} {}", channel(call.args[0])),
            Family::Connect | Family::Bind => {
                let address = self.given_address(task, tid, call.args[0] as i32, call.args[1], call.args[2]);
                format!("{name} {} {address}", channel(call.args[0]))
            }
            Family::Exec { path } => {
                let path = memory::read_string(tid, call.args[usize::from(path)], 256).unwrap_or_default();
                format!("{name} {}", String::from_utf8_lossy(&path))
            }
            Family::Fork | Family::Setsid | Family::SignalWait | Family::Wait4 | Family::Waitid | Family::Sigreturn => {
                name.to_owned()
            }
            _ => format!("{name} {}", arguments::text(tid, call)),
        }
    }
}
