//! What the statements about signals and terminals do that are more than one call.

use super::machine::Machine;
use super::statement::interrupted_is_fine;
use crate::model::{Signal, SignalSet};
use crate::scenario::{DescriptorId, Op, Statement, Target, VarId};
use crate::sys::call::{Answer, signals, terminal};

impl Machine {
    /// sigsuspend(2) with the present mask, changed.
    pub(super) fn sigsuspend(block: SignalSet, unblock: SignalSet) -> Answer {
        let mut mask = signals::blocked();
        block.iter().for_each(|signal| mask.insert(signal));
        unblock.iter().for_each(|signal| mask.remove(signal));
        interrupted_is_fine(signals::sigsuspend(mask))
    }

    pub(super) fn sigwait(&self, statement: &Statement, set: SignalSet, into: Option<VarId>, value: Option<VarId>) {
        let taken = signals::sigwait(set);
        self.settle(statement, taken.map(|(signal, _)| signal));
        if let Ok((signal, carried)) = taken {
            for (var, number) in [(into, signal), (value, carried)] {
                if let Some(var) = var {
                    self.set_number(var, number);
                }
            }
        }
    }

    pub(super) fn sigqueue(&self, target: Target, signal: Signal, value: i64) -> Answer {
        let pid = self.pid(target).ok_or(libc::ESRCH)?;
        signals::sigqueue(pid, signal.number(), value as i32)
    }

    /// The statements about terminals, and `signalfd`.
    pub(super) fn terminal_statement(&self, statement: &Statement) {
        match &statement.op {
            Op::Signalfd { fd, signals, nonblock, .. } => {
                self.settle_fd(statement, signals::signalfd(*signals, *nonblock), *fd);
            }
            Op::Pty { master, slave, .. } => self.settle_pair(statement, terminal::pty(), [*master, *slave]),
            Op::Tcsetpgrp { fd, group } => {
                let answer = self.foreground(*fd, *group);
                self.settle(statement, answer);
            }
            Op::Ctty { fd } => {
                self.settle(statement, terminal::ctty(self.fd(*fd)));
            }
            _ => {}
        }
    }

    /// The group of a process, unless the process is named by the number of its group.
    fn foreground(&self, fd: DescriptorId, group: Target) -> Answer {
        let group = match group {
            Target::Var(_) => self.pid(group).ok_or(libc::ESRCH)?,
            Target::Group | Target::Myself => terminal::group_of(0)? as i32,
            other => terminal::group_of(self.pid(other).ok_or(libc::ESRCH)?)? as i32,
        };
        terminal::tcsetpgrp(self.fd(fd), group)
    }
}
