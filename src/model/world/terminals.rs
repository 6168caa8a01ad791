//! Process groups, sessions, and the terminals that control them (credentials(7)).

use super::World;
use crate::model::task::Task;
use crate::model::{ChannelId, TaskId};

impl World {
    /// A process is in another group; in another session it has no controlling terminal.
    pub(super) fn regroup(&mut self, id: TaskId, pgid: i32, sid: i32) {
        self.change_process(id, |task| {
            if task.sid != sid {
                task.terminal = None;
            }
            (task.pgid, task.sid) = (pgid, sid);
        });
    }

    /// A process gets a controlling terminal, or gives it up; with its leader the whole session does.
    pub(super) fn control(&mut self, id: TaskId, channel: Option<ChannelId>) {
        let Some(task) = self.task(id).cloned() else { return };
        let Some(channel) = channel else {
            if !self.end_session(&task) {
                self.change_process(id, |task| task.terminal = None);
            }
            return;
        };
        // Root may take it away from another session.
        self.free_terminal(channel, |other| other.sid != task.sid);
        self.change_process(id, |task| task.terminal = Some(channel));
        self.change_channel(channel, |channel| {
            if channel.tty.sid != task.sid {
                (channel.tty.sid, channel.tty.foreground) = (task.sid, task.pgid);
            }
        });
    }

    /// With the leader of a session its controlling terminal goes (`disassociate_ctty` in
    /// drivers/tty/tty_jobctrl.c). Returns whether the task was one.
    pub(super) fn end_session(&mut self, leader: &Task) -> bool {
        let is_leader = leader.sid != 0 && self.task(leader.process).is_some_and(|task| task.pid == leader.sid);
        if is_leader && let Some(channel) = leader.terminal {
            self.free_terminal(channel, |task| task.sid == leader.sid);
            self.change_channel(channel, |channel| (channel.tty.sid, channel.tty.foreground) = (0, 0));
        }
        is_leader
    }

    fn free_terminal(&mut self, channel: ChannelId, of: impl Fn(&Task) -> bool) {
        let losers: Vec<TaskId> =
            self.tasks().filter(|task| task.terminal == Some(channel) && of(task)).map(|task| task.id).collect();
        for loser in losers {
            self.change(loser, |task| task.terminal = None);
        }
    }
}
