//! The pseudo-terminals of a run (pty(7)): what waits in them is asked, because the line discipline
//! echoes, translates and edits what is written (termios(3)).

use std::os::fd::OwnedFd;

use super::tracer::Tracer;
use crate::model::{Asked, Channel, ChannelId, ChannelKind, End, Kind, Monitor, TaskId, Told};
use crate::sys::peek;
use crate::sys::terminal::{self, Barrier};

impl Tracer {
    /// Lets every terminal of a scenario take in what was written into its other side. Returns whether
    /// there is one at all.
    pub fn deliver_to_terminals(&self) -> bool {
        if self.scenario.is_none() {
            return false;
        }
        let is_open =
            |channel: &&Channel| channel.alive && channel.holders > 0 && channel.kind == ChannelKind::Terminal;
        let mut any = false;
        for channel in self.world().channels().filter(is_open) {
            any |= self.deliver_to(channel.id);
        }
        any
    }

    /// The slave takes in what was typed, and then its master the echo.
    pub(super) fn deliver_to(&self, channel: ChannelId) -> bool {
        let mut any = false;
        for end in [End::Second, End::First] {
            if let Some(fd) = self.borrow_end(channel, end) {
                self.take_in(&fd);
                any = true;
            }
        }
        any
    }

    /// Lets a side take in what was written into the other, and says whether a read would not sleep.
    fn take_in(&self, side: &OwnedFd) -> bool {
        if !peek::deliver_to_terminal(side) {
            return false;
        }
        if let Some(barrier) = self.barrier.get_or_init(|| Barrier::open().ok()) {
            barrier.pass();
        }
        peek::deliver_to_terminal(side)
    }

    /// Asks the terminals whose masters are in the run what waits in them, and writes what is new; the lab's
    /// only when its mode is another one.
    pub fn look_at_terminals(&mut self) {
        let lab = self.lab_terminal_with_new_mode();
        let is_ours = |channel: &&Channel| {
            channel.alive && channel.holders > 0 && (channel.tty.master || lab == Some(channel.id))
        };
        let ours: Vec<ChannelId> = self.world().channels().filter(is_ours).map(|channel| channel.id).collect();
        for channel in ours {
            let holder = self.world().holders(channel).next().map(|(task, _)| task.id);
            let Some((task, asked)) = holder.zip(self.ask(channel)) else { continue };
            let before = self.world().channel(channel).and_then(|channel| channel.monitor.as_deref());
            if before != Some(&Monitor::Terminal { asked, known: true }) {
                self.recorder.plain(task, Kind::Monitor { channel, told: Told::Terminal(asked) });
            }
        }
    }

    /// What the kernel says of a terminal, through whoever holds its ends.
    fn ask(&self, channel: ChannelId) -> Option<Asked> {
        let mut asked = Asked::default();
        let monitor = self.world().channel(channel).and_then(|channel| channel.monitor.as_deref());
        // Where nothing has happened since it was asked, nothing is on its way.
        let still = matches!(monitor, Some(Monitor::Terminal { known: true, .. }));
        // The slave first: what it takes in may make an echo.
        for end in [End::Second, End::First] {
            let Some(fd) = self.borrow_end(channel, end) else { continue };
            asked.ready[end.index()] = if still { peek::deliver_to_terminal(&fd) } else { self.take_in(&fd) };
            let waiting = peek::waiting(&fd).ok().map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            match end {
                End::First => asked.output = waiting,
                End::Second => asked.input = waiting,
            }
            // Either end tells the modes of the slave.
            asked.canonical = terminal::is_canonical(&fd);
        }
        (asked.output.is_some() || asked.input.is_some()).then_some(asked)
    }

    /// With its last master a terminal hangs up: the session that it controlled has none any more
    /// (`pty_close` in drivers/tty/pty.c).
    pub(super) fn hang_up(&mut self, channel: ChannelId) {
        let users: Vec<TaskId> =
            self.world().living().filter(|task| task.terminal == Some(channel)).map(|task| task.id).collect();
        for user in users {
            // With the leader of a session all of it has lost the terminal.
            if self.world().task(user).is_some_and(|task| task.terminal == Some(channel)) {
                self.recorder.plain(user, Kind::Control { channel: None });
            }
        }
    }
}
