//! The terminal that the lab itself gives to a run.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use super::tracer::Tracer;
use crate::model::{ChannelId, Kind, Monitor, Signal, TaskId, Via};
use crate::sys::procfs::FdFacts;
use crate::sys::ptrace::SignalInfo;
use crate::sys::terminal::Master;
use crate::sys::{Result, procfs, terminal};

/// What the lab's terminal is called.
pub const NAME: &str = "terminal";
/// How many bytes are taken out of it at once.
const CHUNK: usize = 16_384;

/// The terminal that the lab gives to a run, on the lab's side.
#[derive(Debug)]
pub struct LabTerminal {
    /// None once the terminal has hung up.
    master: Option<Master>,
    /// Device and inode of the slave.
    identity: (u64, u64),
    window: (u16, u16),
    /// The descriptor of the lab that gets a copy of what is written, if any.
    forward: Option<i32>,
    /// The channel, once it is in the log.
    channel: Option<ChannelId>,
    /// What was typed and has found no room yet.
    typed: VecDeque<u8>,
    /// Whether end-of-file was typed because nobody types any more.
    left: bool,
}

impl LabTerminal {
    /// A new terminal of so many lines and columns, and the slave for those who are started on it.
    pub fn open(rows: u16, columns: u16, forward: Option<i32>) -> Result<(Self, OwnedFd)> {
        let (master, slave) = terminal::open(rows, columns)?;
        let identity = procfs::identity(&slave)?;
        let typed = VecDeque::new();
        let window = (rows, columns);
        Ok((Self { master: Some(master), identity, window, forward, channel: None, typed, left: false }, slave))
    }
}

impl Tracer {
    /// Keeps the terminal that the run is about to be started on.
    pub fn keep_terminal(&mut self, terminal: LabTerminal) {
        self.terminal = Some(terminal);
    }

    /// Whether a descriptor leads to the lab's terminal.
    pub(super) fn is_lab_terminal(&self, facts: &FdFacts) -> bool {
        self.terminal.as_ref().is_some_and(|terminal| terminal.identity == facts.identity)
    }

    /// Whether this is the channel of the lab's terminal.
    pub(super) fn is_lab_terminal_channel(&self, channel: ChannelId) -> bool {
        self.lab_terminal() == Some(channel)
    }

    /// The channel of the lab's terminal, once it is in the log.
    pub fn lab_terminal(&self) -> Option<ChannelId> {
        self.terminal.as_ref()?.channel
    }

    /// Whether the lab's terminal is there and has not hung up.
    pub fn has_terminal(&self) -> bool {
        self.terminal.as_ref().is_some_and(|terminal| terminal.master.is_some())
    }

    /// The lab's terminal is in the log from here on.
    pub(super) fn claim_terminal(&mut self, channel: ChannelId) {
        let Some(terminal) = self.terminal.as_mut().filter(|terminal| terminal.channel.is_none()) else { return };
        terminal.channel = Some(channel);
        let (rows, columns) = terminal.window;
        self.recorder.plain(TaskId::LAB, Kind::Window { channel, rows, columns });
    }

    /// The channel of the lab's terminal, if the log does not know yet whether it is read line by line.
    pub(super) fn lab_terminal_with_new_mode(&self) -> Option<ChannelId> {
        let terminal = self.terminal.as_ref()?;
        let (id, canonical) = (terminal.channel?, terminal.master.as_ref()?.end_of_file().is_some());
        let known = match self.world().channel(id)?.monitor.as_deref() {
            Some(Monitor::Terminal { asked, .. }) => Some(asked.canonical),
            _ => None,
        };
        (known != Some(canonical)).then_some(id)
    }

    /// Takes everything out of the lab's terminal that programs have written. Returns whether there was
    /// anything: who waited for room goes on then.
    pub fn read_terminal(&mut self) -> bool {
        self.type_on();
        let mut any = false;
        // A read that finds nothing waits for the kernel's worker (`n_tty_read` in drivers/tty/n_tty.c): one
        // that finds something may find a part. So the pieces are put together until there are no more,
        // and what the log has does not depend on when the worker ran.
        while let Some((channel, bytes, forward)) = self.read_chunk() {
            any = true;
            if let Some(forward) = forward {
                self.forward(forward, &bytes);
            }
            // All of it: what the screen shows is made of nothing else.
            let data = self.recorder.keep(&bytes);
            let kind = Kind::Read { channel, via: Via::Fd(-1), bytes: bytes.len() as u64, data };
            self.recorder.plain(TaskId::LAB, kind);
        }
        any
    }

    /// At most `CHUNK` bytes, and less only if there are no more.
    fn read_chunk(&self) -> Option<(ChannelId, Vec<u8>, Option<i32>)> {
        let terminal = self.terminal.as_ref()?;
        let (channel, master) = (terminal.channel?, terminal.master.as_ref()?);
        let mut bytes = vec![0; CHUNK];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match master.read(rest) {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        (filled > 0).then_some((channel, bytes, terminal.forward))
    }

    /// Types at the lab's terminal. What finds no room there now follows later.
    pub fn type_at_terminal(&mut self, bytes: &[u8]) {
        if let Some(terminal) = self.terminal.as_mut().filter(|terminal| terminal.master.is_some()) {
            terminal.typed.extend(bytes);
        }
        self.read_terminal();
    }

    /// Types what waits, as far as there is room, and lets the terminal work on it.
    fn type_on(&mut self) {
        let Some(terminal) = self.terminal.as_mut().filter(|terminal| !terminal.typed.is_empty()) else { return };
        let (Some(channel), Some(master)) = (terminal.channel, &terminal.master) else { return };
        let taken = master.write(terminal.typed.make_contiguous());
        let bytes: Vec<u8> = terminal.typed.drain(..taken).collect();
        if bytes.is_empty() {
            return;
        }
        let data = self.recorder.keep(&bytes);
        let kind = Kind::Write { channel, via: Via::Fd(-1), bytes: bytes.len() as u64, data };
        self.recorder.plain(TaskId::LAB, kind);
        self.deliver_to(channel);
    }

    /// Gives the window of the lab's terminal another size.
    pub fn resize_terminal(&mut self, rows: u16, columns: u16) -> Result<()> {
        let Some(terminal) = self.terminal.as_mut().filter(|terminal| terminal.window != (rows, columns)) else {
            return Ok(());
        };
        let Some(master) = &terminal.master else { return Ok(()) };
        master.resize(rows, columns)?;
        terminal.window = (rows, columns);
        if let Some(channel) = terminal.channel {
            self.recorder.plain(TaskId::LAB, Kind::Window { channel, rows, columns });
        }
        Ok(())
    }

    /// Nobody types any more: end-of-file for who reads lines, the first time; else the terminal hangs up.
    pub fn leave_terminal(&mut self) {
        let Some(terminal) = &mut self.terminal else { return };
        let end = terminal.master.as_ref().and_then(Master::end_of_file).filter(|_| !terminal.left);
        terminal.left = true;
        if let Some(end) = end {
            self.type_at_terminal(&[end]);
            return;
        }
        self.read_terminal();
        if let Some(terminal) = &mut self.terminal {
            terminal.master = None;
        }
        self.recorder.note(TaskId::LAB, "nobody types any more: the terminal hangs up");
        if let Some(channel) = self.lab_terminal() {
            self.hang_up(channel);
        }
    }

    /// Whether some task sleeps until something is typed.
    pub fn somebody_reads_terminal(&self) -> bool {
        use crate::model::{Blocked, State, Why};
        let terminal = self.lab_terminal();
        self.has_terminal()
            && self.world().living().any(|task| match task.state {
                State::Blocked(Blocked { channel, why: Why::Empty | Why::Poll, .. }) => channel == terminal,
                _ => false,
            })
    }

    /// The lab, if a signal comes from a key or the window of its terminal (`isig` in
    /// drivers/tty/n_tty.c), or from its end.
    pub(super) fn terminal_sender(&self, task: TaskId, signal: Signal, info: SignalInfo) -> Option<TaskId> {
        let from_keys = matches!(signal.number(), libc::SIGINT | libc::SIGQUIT | libc::SIGTSTP | libc::SIGWINCH);
        let hung_up = matches!(signal.number(), libc::SIGHUP | libc::SIGCONT) && !self.has_terminal();
        let terminal = self.lab_terminal()?;
        let at_it = hung_up || self.world().task(task).is_some_and(|task| task.terminal == Some(terminal));
        (info.code == libc::SI_KERNEL && at_it && (from_keys || hung_up)).then_some(TaskId::LAB)
    }
}
