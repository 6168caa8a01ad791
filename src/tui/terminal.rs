//! The terminal, borrowed: whatever ends the lab, the user gets it back as it was.
//!
//! Drop restores it. A panic restores it before anything is printed. Signals ([`requests`]) only raise a flag, so
//! that the loop leaves by the ordinary way and destructors run: the session's kills what it runs. A panic of
//! another thread must not be printed over the screen; it is kept and printed at the end. To a terminal that is
//! gone nothing is printed at all ([`tty`]).

use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal};

use super::input;
use super::options::NotATerminal;
use super::tty::{self, Tty};
use crate::sys::requests::{self, Busy};

/// A whole frame goes out in one write.
const FRAME_BYTES: usize = 64 * 1024;

/// Whether the screen is ours now.
static OPEN: AtomicBool = AtomicBool::new(false);
/// What other threads said when they panicked.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();
/// Whether there has been a screen, which a signal may have ended.
static OPENED: AtomicBool = AtomicBool::new(false);
/// How often the lab stops in the background for having no right to the terminal, before it takes it all the same.
const STOPS_IN_BACKGROUND: usize = 16;

/// The screen, in raw mode.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Tty>>>,
    _busy: Busy,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// [`NotATerminal`] if standard input or output leads elsewhere; what the system said, if it
    /// refused something.
    pub fn open() -> color_eyre::Result<Self> {
        if !io::stdin().is_terminal() {
            return Err(NotATerminal("standard input").into());
        }
        if !io::stdout().is_terminal() {
            return Err(NotATerminal("standard output").into());
        }
        install_hook();
        let busy = Busy::begin();
        requests::listen()?;
        requests::leave_keys_to_program(false);
        OPENED.store(true, Ordering::SeqCst);
        let writer = BufWriter::with_capacity(FRAME_BYTES, Tty::open());
        let terminal = Terminal::new(CrosstermBackend::new(writer))?;
        let screen = Self { terminal, _busy: busy };
        requests::set_restore(Some(leave));
        enter()?;
        input::open();
        Ok(screen)
    }

    /// Whether a signal asked for the end, or the terminal is gone.
    pub fn terminated(&self) -> bool {
        ended_by().is_some()
    }

    /// Whether the terminal is gone, now that something about it has failed: the end is asked for then.
    pub fn is_gone(&self) -> bool {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            tty::note_gone();
        }
        tty::is_gone()
    }

    /// Does what a signal asks for that is not the end: stops, or takes the terminal again after somebody has
    /// stopped the lab in a way that it could not prepare for. Returns whether everything has to be drawn anew.
    pub fn heed_job_control(&mut self) -> color_eyre::Result<bool> {
        if let Some(signal) = requests::stop_asked() {
            self.stop(signal)?;
            return Ok(true);
        }
        if requests::was_continued() {
            self.take()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Its size in columns and rows.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    /// Draws one frame.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        crossterm::queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(render)?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// Gives the terminal back, stops this process as the shell's Ctrl-Z would, and takes the
    /// terminal again when the user comes back.
    pub fn suspend(&mut self) -> color_eyre::Result<()> {
        self.stop(libc::SIGTSTP)
    }

    fn stop(&mut self, signal: i32) -> color_eyre::Result<()> {
        leave();
        requests::stop_by(signal);
        self.take()
    }

    /// Takes the terminal once it is this process group's, and draws on it anew.
    fn take(&mut self) -> color_eyre::Result<()> {
        for _ in 0..STOPS_IN_BACKGROUND {
            if !tty::is_in_background() || self.terminated() {
                break;
            }
            // As the kernel stops whoever changes the modes of a terminal that belongs to another group.
            requests::stop_by(libc::SIGTTOU);
        }
        if self.terminated() {
            return Ok(());
        }
        enter()?;
        // `Terminal::clear` would ask the terminal where its cursor is, and the answer would come as keys.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::new(0, 0, size.width, size.height))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        input::close();
        leave();
        requests::set_restore(None);
        for panic in PANICS.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(writeln!(io::stderr(), "{panic}"));
        }
    }
}

fn enter() -> io::Result<()> {
    // Whoever stopped the lab with SIGSTOP may have changed the modes meanwhile, and crossterm believes that they
    // are its own.
    drop(disable_raw_mode());
    enable_raw_mode()?;
    OPEN.store(true, Ordering::SeqCst);
    execute!(Tty::open(), EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste, cursor::Hide)
}

/// Every step is tried, whatever became of the one before: there is nobody left to tell.
fn leave() {
    if OPEN.swap(false, Ordering::SeqCst) {
        let mut out = Tty::open();
        drop(execute!(out, EndSynchronizedUpdate, DisableBracketedPaste, DisableMouseCapture));
        drop(execute!(out, LeaveAlternateScreen, cursor::Show));
        drop(disable_raw_mode());
    }
}

/// The signal that asked for the end of the screen, if one did.
pub fn ended_by() -> Option<i32> {
    requests::asked().filter(|_| OPENED.load(Ordering::SeqCst))
}

/// Puts ourselves before whatever hook there is (color-eyre's, if the program installed it).
fn install_hook() {
    HOOK.call_once(|| {
        let main = std::thread::current().id();
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if OPEN.load(Ordering::SeqCst) && std::thread::current().id() != main {
                PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
                return;
            }
            leave();
            // Whoever prints to a terminal that is gone panics once more.
            if !tty::is_gone() {
                next(info);
            }
        }));
    });
}
