//! The terminal, borrowed: whatever ends the lab, the user gets it back as it was.
//!
//! Drop restores it. A panic restores it before anything is printed. SIGTERM, SIGHUP and SIGINT
//! only raise a flag, so that the loop leaves by the ordinary way and destructors run: the session's
//! kills what it runs. A panic of another thread must not be printed over the screen; it is kept and
//! printed at the end.

use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};

use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{cursor, execute};
use nix::sys::signal::{Signal, raise};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal};

use super::input;
use super::options::NotATerminal;

/// A whole frame goes out in one write.
const FRAME_BYTES: usize = 64 * 1024;

/// Whether the screen is ours now.
static OPEN: AtomicBool = AtomicBool::new(false);
/// What other threads said when they panicked.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();
/// The number of the signal that asks for the end. It outlives a screen: one that comes between two of them,
/// from the picker to the lab, is seen by the second.
static ENDED_BY: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);
static LISTENING: AtomicBool = AtomicBool::new(false);

/// The screen, in raw mode.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<io::Stdout>>>,
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
        listen_to_signals()?;
        let writer = BufWriter::with_capacity(FRAME_BYTES, io::stdout());
        let terminal = Terminal::new(CrosstermBackend::new(writer))?;
        let screen = Self { terminal };
        enter()?;
        input::open();
        Ok(screen)
    }

    /// Whether a signal asked for the end.
    pub fn terminated(&self) -> bool {
        ended_by().is_some()
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
        leave();
        raise(Signal::SIGTSTP)?;
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
        for panic in PANICS.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            eprintln!("{panic}");
        }
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    OPEN.store(true, Ordering::SeqCst);
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste, cursor::Hide)
}

/// Every step is tried, whatever became of the one before: there is nobody left to tell.
fn leave() {
    if OPEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        drop(execute!(out, EndSynchronizedUpdate, DisableBracketedPaste, DisableMouseCapture));
        drop(execute!(out, LeaveAlternateScreen, cursor::Show));
        drop(out.flush());
        drop(disable_raw_mode());
    }
}

/// The signal that asked for the end of the screen, if one did.
pub fn ended_by() -> Option<i32> {
    i32::try_from(ENDED_BY.load(Ordering::Relaxed)).ok().filter(|signal| *signal > 0)
}

fn listen_to_signals() -> io::Result<()> {
    if LISTENING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP, signal_hook::consts::SIGINT] {
        signal_hook::flag::register_usize(signal, Arc::clone(&ENDED_BY), signal as usize)?;
    }
    Ok(())
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
            next(info);
        }));
    });
}
