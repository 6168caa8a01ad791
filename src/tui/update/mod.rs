//! What happens decides what becomes of the screen. Nothing is performed here: effects go back to
//! the loop.

mod hands;
mod mouse;
mod phrase;
mod prompt;
mod typing;
mod verb;

use std::time::Duration;

use crossterm::event::{KeyEvent, KeyEventKind, MouseEvent};
use ratatui::layout::Rect;

pub use hands::takers;
pub use phrase::{Choice, describe, entries};

use super::app::{App, Gone, Origin};
use super::keymap;
use super::options::LabExit;
use crate::control::{self, Ending, Outcome, Pace, Status};
use crate::model::{Batch, Header};

/// How long something is said.
const MESSAGE: Duration = Duration::from_secs(4);
/// How long a replay at full speed takes, in ticks.
const FULL_REPLAY_TICKS: usize = 120;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Action {
    /// A key.
    Key(KeyEvent),
    /// The mouse.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size.
    Resize(u16, u16),
    /// Time has passed.
    Tick,
    /// A run began.
    Started(Header),
    /// A run could not begin; why.
    Failed(String),
    /// The log goes on.
    Batch(Batch),
    /// The session stands otherwise.
    Status(Status),
    /// The run is over.
    Ended(Ending),
    /// The run was judged.
    Verdicts(Vec<(bool, String)>),
    /// Something that the user asked for was done, or could not be: a sentence.
    Said(String),
    /// A signal asks for the end.
    Terminate,
}

/// Something for the loop to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell the session.
    Send(control::Command),
    /// End the session and start another one with this seed.
    Restart(u64),
    /// Write the log into a new file.
    Write(std::path::PathBuf),
    /// Judge the finished run.
    Judge,
    /// Go into the background.
    Suspend,
    /// Leave.
    Quit(LabExit),
}

/// Lets one thing happen, at a time counted from any fixed moment.
pub fn update(app: &mut App, action: Action, now: Duration) -> Vec<Effect> {
    if app.message.as_ref().is_some_and(|(_, until)| now >= *until) {
        app.message = None;
    }
    let mut effects = act(app, action, now);
    effects.extend(typing::follow(app));
    effects
}

fn act(app: &mut App, action: Action, now: Duration) -> Vec<Effect> {
    match action {
        Action::Key(key) if key.kind == KeyEventKind::Release => Vec::new(),
        Action::Key(key) => on_key(app, &key, now),
        Action::Mouse(event) => mouse::on_mouse(app, event, now),
        Action::Paste(text) if app.typing => typing::paste(app, &text),
        Action::Paste(text) => prompt::paste(app, &text),
        Action::Resize(width, height) => {
            app.area = Rect::new(0, 0, width, height);
            Vec::new()
        }
        Action::Tick => tick(app, now),
        Action::Terminate => vec![Effect::Quit(LabExit::Quit)],
        action => on_session(app, action, now),
    }
}

fn on_key(app: &mut App, key: &KeyEvent, now: Duration) -> Vec<Effect> {
    if app.typing && app.overlay.is_none() {
        return typing::on_key(app, key);
    }
    if let Some(verb @ (keymap::Verb::QuitAll | keymap::Verb::Suspend)) = keymap::verb_of(key) {
        return verb::perform(app, verb, now);
    }
    if app.overlay.is_some() {
        return prompt::on_key(app, key, now);
    }
    keymap::verb_of(key).map_or_else(Vec::new, |verb| verb::perform(app, verb, now))
}

fn on_session(app: &mut App, action: Action, now: Duration) -> Vec<Effect> {
    match action {
        Action::Started(header) => {
            app.begin(header);
            if app.breakpoints.is_empty() {
                return Vec::new();
            }
            return vec![Effect::Send(control::Command::Breakpoints(app.breakpoints.clone()))];
        }
        Action::Said(text) => say(app, super::text::clean(&text), now),
        Action::Failed(why) => say(app, format!("could not start: {}", super::text::clean(&why)), now),
        Action::Batch(batch) => {
            let (before, had_terminal) = (app.log.len(), app.emulator.is_there());
            app.index.append(&batch);
            app.log.append(&batch);
            let answers = app.emulator.append(&app.log, before);
            if !had_terminal && app.emulator.is_there() && app.scenario.is_none() {
                typing::show(app);
            }
            if !answers.is_empty() {
                return vec![Effect::Send(control::Command::Type(answers))];
            }
        }
        Action::Status(status) => {
            app.pace = status.playing.unwrap_or(app.pace);
            let news = status.paused_by.clone().filter(|why| {
                app.status.as_ref().is_none_or(|old| old.paused_by.as_ref() != Some(why) || old.playing.is_some())
            });
            if let Some(why) = news {
                say(app, format!("paused: {}", super::text::clean(&why)), now);
            }
            let known = app.status.as_ref().and_then(|old| old.answer.as_ref());
            if let Some(answer) = status.answer.as_ref().filter(|answer| known != Some(*answer)) {
                say(app, super::text::clean(&answer.text), now);
            }
            app.status = Some(status);
        }
        Action::Ended(ending) => {
            if ending.outcome != Outcome::Done {
                say(app, "the run has ended: 6, Diagnosis says how".to_owned(), now);
            }
            app.ending = Some(ending);
            return vec![Effect::Judge];
        }
        Action::Verdicts(verdicts) => {
            if let Some(sentence) = judged(&verdicts) {
                say(app, sentence, now);
            }
            app.verdicts = verdicts;
        }
        _ => {}
    }
    Vec::new()
}

fn tick(app: &mut App, now: Duration) -> Vec<Effect> {
    app.find_on();
    if app.find.missed {
        app.find.missed = false;
        let needle = super::text::clean(&app.find.needle);
        say(app, format!("no event matches \"{needle}\""), now);
    }
    let Some(due) = app.replay.filter(|due| *due <= now) else { return Vec::new() };
    let (rows, wait) = match app.pace {
        Pace::Full => (app.index.rows().len() / FULL_REPLAY_TICKS + 1, Duration::ZERO),
        Pace::PerSecond(n) => (1, Duration::from_secs(1) / n.max(1)),
    };
    app.seek_row(app.row().saturating_add(rows));
    // A late tick does not make the next one early.
    app.replay = Some((due + wait).max(now.saturating_sub(wait)));
    if !app.following() {
        return Vec::new();
    }
    app.replay = None;
    if app.is_live() { vec![Effect::Send(control::Command::Play(app.pace))] } else { Vec::new() }
}

/// What became of the expectations, in one sentence.
fn judged(verdicts: &[(bool, String)]) -> Option<String> {
    let missed = verdicts.iter().filter(|(held, _)| !held).count();
    match (verdicts.len(), missed) {
        (0, _) => None,
        (all, 0) => Some(format!("the run has ended: all {} held", super::text::count(all, "expectation"))),
        (all, missed) => Some(format!("the run has ended: {missed} of {all} expectations did not hold, see Diagnosis")),
    }
}

/// Says something for a while.
fn say(app: &mut App, text: String, now: Duration) {
    app.message = Some((text, now + MESSAGE));
}

/// The next of the three ways to show tasks that are gone.
const fn next_gone(gone: Gone) -> Gone {
    match gone {
        Gone::Recent => Gone::All,
        Gone::All => Gone::Hidden,
        Gone::Hidden => Gone::Recent,
    }
}

/// Whether a live run could go on.
fn can_move(app: &mut App, now: Duration) -> bool {
    if app.is_live() {
        return true;
    }
    let why = match app.origin {
        Origin::Live if !app.started => "the run has not begun",
        Origin::Live => "the run has ended: r starts it again, b goes back",
        Origin::Recording => "this is the end of the recording",
    };
    say(app, why.to_owned(), now);
    false
}
