//! The loop: it asks the keyboard, the session and the clock what happened, lets
//! [`update`] decide, performs what comes of it, and draws.
//!
//! Input goes first. A busy run is read in slices of a few milliseconds, so that a key is answered
//! at once whatever the processes do; a frame is drawn sixty times a second at most.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant};

use color_eyre::eyre::eyre;
use crossterm::event::Event;

use super::app::App;
use super::input::{self, Input};
use super::layout;
use super::options::{Beginning, Judge, LabExit, LabOptions, Source, Starter};
use super::terminal::Screen;
use super::update::{Action, Effect, update};
use super::view;
use crate::control::{Ending, Outcome, Session, Update};
use crate::model::Log;
use crate::record;
use crate::text;

/// Time for the session between two looks at the keyboard.
const SLICE: Duration = Duration::from_millis(8);
/// Time between two frames.
const FRAME: Duration = Duration::from_millis(16);
/// How long to wait for a key while a run may say something.
const LIVE: Duration = Duration::from_millis(10);
/// How long to wait for a key while nothing happens by itself.
const IDLE: Duration = Duration::from_millis(200);
/// Keys that are taken before anything else gets a turn.
const BURST: usize = 64;

/// Shows a run or a recording until the user leaves it.
///
/// # Errors
/// [`super::NotATerminal`] where there is no screen; why the run could not start; what the terminal
/// refused.
pub fn lab(options: LabOptions, source: Source) -> color_eyre::Result<LabExit> {
    let mut screen = Screen::open()?;
    let (app, start) = match source {
        Source::Live { start, scenario } => {
            (App::live(options.look, options.pace, scenario.map(|scenario| *scenario)), Some(start))
        }
        Source::Recording { log, damage, scenario } => {
            let mut app = App::recording(options.look, options.pace, *log, damage);
            app.scenario = scenario.map(|scenario| *scenario);
            (app, None)
        }
    };
    let mut lab =
        Lab { app, judge: options.judge, start, session: None, clock: Instant::now(), first: None, dirty: true };
    match lab.live(&mut screen) {
        // What failed was about a terminal that is gone.
        Err(_) if screen.is_gone() => Ok(LabExit::Quit),
        result => result,
    }
}

struct Lab {
    app: App,
    judge: Option<Judge>,
    start: Option<Starter>,
    session: Option<Session>,
    clock: Instant,
    /// The input that ended the last wait.
    first: Option<Input>,
    dirty: bool,
}

impl Lab {
    fn live(&mut self, screen: &mut Screen) -> color_eyre::Result<LabExit> {
        self.resize(screen)?;
        // The frame and the title stand before the first process does.
        self.draw(screen)?;
        self.begin()?;
        self.run(screen)
    }

    fn begin(&mut self) -> color_eyre::Result<()> {
        let beginning = self.beginning(None);
        if let Some(start) = &mut self.start {
            let session = start(beginning).map_err(|why| eyre!(why))?;
            self.adopt(session);
        } else if let Some(judge) = self.judge.take() {
            self.app.verdicts = judge(&self.app.log);
        }
        Ok(())
    }

    fn beginning(&self, seed: Option<u64>) -> Beginning {
        Beginning { seed, window: layout::window(self.app.area, self.app.zoomed) }
    }

    fn adopt(&mut self, session: Session) {
        let header = session.header().clone();
        let effects = update(&mut self.app, Action::Started(header), self.clock.elapsed());
        for effect in effects {
            if let Effect::Send(command) = effect {
                session.send(command);
            }
        }
        self.session = Some(session);
    }

    fn run(&mut self, screen: &mut Screen) -> color_eyre::Result<LabExit> {
        let mut drawn = Instant::now();
        loop {
            if let Some(exit) = self.input(screen)? {
                return Ok(exit);
            }
            let more = self.listen(screen)?;
            // The frame after the last one with a message is one without it.
            self.dirty |= self.app.message.is_some();
            self.act(screen, Action::Tick)?;
            let moving = self.app.replay.is_some() || self.app.find.is_busy() || self.app.message.is_some();
            self.dirty |= moving;
            if self.dirty && drawn.elapsed() >= FRAME {
                self.resize(screen)?;
                self.draw(screen)?;
                drawn = Instant::now();
            }
            let wait = match (more, self.dirty || moving, self.app.is_live()) {
                (true, _, _) => Duration::ZERO,
                (false, true, _) => FRAME.saturating_sub(drawn.elapsed()),
                (false, false, true) => LIVE,
                (false, false, false) => IDLE,
            };
            self.first = input::next(wait);
        }
    }

    /// Takes the keys that wait.
    fn input(&mut self, screen: &mut Screen) -> color_eyre::Result<Option<LabExit>> {
        if screen.terminated() {
            return self.act(screen, Action::Terminate);
        }
        self.dirty |= screen.heed_job_control()?;
        for _ in 0..BURST {
            let Some(input) = self.first.take().or_else(|| input::next(Duration::ZERO)) else { break };
            let action = match input {
                Input::Event(Event::Key(key)) => Action::Key(key),
                Input::Event(Event::Mouse(mouse)) => Action::Mouse(mouse),
                Input::Event(Event::Paste(text)) => Action::Paste(text),
                Input::Event(Event::Resize(width, height)) => Action::Resize(width, height),
                Input::Event(Event::FocusGained | Event::FocusLost) => continue,
                Input::Hangup => Action::Terminate,
            };
            self.dirty = true;
            if let Some(exit) = self.act(screen, action)? {
                return Ok(Some(exit));
            }
        }
        Ok(None)
    }

    /// Hears what the session says, for one slice of time; whether it may have more to say.
    fn listen(&mut self, screen: &mut Screen) -> color_eyre::Result<bool> {
        let began = Instant::now();
        while began.elapsed() < SLICE {
            let Some(session) = &self.session else { return Ok(false) };
            let action = match session.updates().try_recv() {
                Ok(Update::Batch(batch)) => Action::Batch(batch),
                Ok(Update::Status(status)) => Action::Status(status),
                Ok(Update::Ended(ending)) => Action::Ended(ending),
                Err(std::sync::mpsc::TryRecvError::Empty) => return Ok(false),
                Err(std::sync::mpsc::TryRecvError::Disconnected) if self.app.ending.is_some() => return Ok(false),
                Err(std::sync::mpsc::TryRecvError::Disconnected) => Action::Ended(vanished()),
            };
            self.dirty = true;
            self.act(screen, action)?;
        }
        Ok(true)
    }

    /// Lets one thing happen and performs what comes of it.
    fn act(&mut self, screen: &mut Screen, action: Action) -> color_eyre::Result<Option<LabExit>> {
        for effect in update(&mut self.app, action, self.clock.elapsed()) {
            match effect {
                Effect::Send(command) => {
                    if let Some(session) = &self.session {
                        session.send(command);
                    }
                }
                Effect::Restart(seed) => self.restart(seed),
                Effect::Write(path) => {
                    let said = Action::Said(write(&self.app.log, &path));
                    update(&mut self.app, said, self.clock.elapsed());
                }
                Effect::Judge => {
                    if let Some(judge) = &self.judge {
                        let verdicts = Action::Verdicts(judge(&self.app.log));
                        update(&mut self.app, verdicts, self.clock.elapsed());
                    }
                }
                Effect::Suspend => {
                    screen.suspend()?;
                    self.dirty = true;
                }
                Effect::Quit(exit) => return Ok(Some(exit)),
            }
        }
        Ok(None)
    }

    fn restart(&mut self, seed: u64) {
        // The old run is gone, with everything it had, before the new one begins.
        drop(self.session.take());
        let beginning = self.beginning(Some(seed));
        let Some(start) = &mut self.start else { return };
        match start(beginning) {
            Ok(session) => self.adopt(session),
            Err(why) => {
                update(&mut self.app, Action::Failed(why), self.clock.elapsed());
            }
        }
    }

    fn resize(&mut self, screen: &Screen) -> color_eyre::Result<()> {
        let (width, height) = screen.size()?;
        if (self.app.area.width, self.app.area.height) != (width, height) {
            update(&mut self.app, Action::Resize(width, height), self.clock.elapsed());
        }
        Ok(())
    }

    fn draw(&mut self, screen: &mut Screen) -> color_eyre::Result<()> {
        let app = &self.app;
        screen.draw(|frame| view::render(app, frame.area(), frame.buffer_mut()))?;
        self.dirty = false;
        Ok(())
    }
}

/// Writes a recording where nothing is yet; says what came of it.
fn write(log: &Log, path: &Path) -> String {
    let file = match File::create_new(path) {
        Ok(file) => file,
        Err(error) => return format!("cannot write {}: {}", text::path(path), text::io_error(&error)),
    };
    match record::write(BufWriter::new(file), log) {
        Ok(_) => format!("{} events written; proclab replay {}", log.len(), text::path(path)),
        Err(error) => format!("cannot write {}: {}", text::path(path), text::io_error(&error)),
    }
}

/// The session's thread is gone without a word.
fn vanished() -> Ending {
    Ending {
        outcome: Outcome::Failed("the engine stopped without saying why".to_owned()),
        root: None,
        schedule: String::new(),
        unscheduled: Vec::new(),
        left: Vec::new(),
    }
}
