//! The picker: scenarios by topic, found by typing, with a preview.

mod view;

use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::app::Look;
use super::input::{self, Input};
use super::terminal::Screen;
use crate::scenario::library::Source;

pub use view::render;

/// How the picker begins.
#[derive(Debug, Clone, Default)]
pub struct PickerOptions {
    /// How it looks.
    pub look: Look,
    /// The name of the scenario that is chosen at first: the one that was open last.
    pub selected: Option<String>,
}

/// A scenario to choose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PickerEntry {
    /// `topic/file-stem`; what [`pick`] returns.
    pub name: String,
    /// The group.
    pub topic: String,
    /// One line.
    pub title: String,
    /// 1 first week to 3 last week.
    pub level: u8,
    /// Whose it is.
    pub source: Source,
    /// What else there is to say, once somebody has asked.
    pub details: Option<PickerDetails>,
}

/// What the preview shows of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PickerDetails {
    /// Markdown.
    pub story: String,
    /// Manual pages.
    pub see: Vec<String>,
    /// The text of the file.
    pub source: String,
    /// Why it cannot be run, if it cannot.
    pub problem: Option<String>,
}

/// Something that happened to the picker.
#[derive(Debug, Clone)]
pub enum PickerAction {
    /// A key.
    Key(KeyEvent),
    /// The mouse.
    Mouse(MouseEvent),
    /// The terminal has another size.
    Resize(u16, u16),
}

/// Something for the picker's loop to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PickerEffect {
    /// Open the scenario with this name.
    Open(String),
    /// Leave.
    Quit,
    /// Go into the background.
    Suspend,
}

/// The state of the picker.
#[derive(Debug)]
pub struct Picker {
    /// How it looks.
    pub look: Look,
    /// The scenarios, by topic, level and title; those of this directory at the end.
    pub entries: Vec<PickerEntry>,
    /// What was typed.
    pub filter: String,
    /// Whether letters are for the search even where nothing was typed yet.
    pub searching: bool,
    /// Which of the [`shown`](Self::shown) entries is chosen.
    pub selected: usize,
    /// How far the preview is scrolled.
    pub scroll: usize,
    /// The size of the screen.
    pub area: Rect,
}

impl Picker {
    /// A picker over these scenarios.
    pub fn new(options: &PickerOptions, mut entries: Vec<PickerEntry>) -> Self {
        let key = |entry: &PickerEntry| {
            let here = entry.source == Source::Here;
            (here, entry.topic.clone(), entry.level, entry.title.clone())
        };
        entries.sort_by_cached_key(key);
        let wanted = options.selected.as_ref();
        let selected = entries.iter().position(|entry| Some(&entry.name) == wanted).unwrap_or(0);
        Self {
            look: options.look,
            entries,
            filter: String::new(),
            searching: false,
            selected,
            scroll: 0,
            area: Rect::new(0, 0, 80, 24),
        }
    }

    /// The entries that hold every word that was typed.
    pub fn shown(&self) -> Vec<&PickerEntry> {
        let filter = self.filter.to_lowercase();
        let fits = |entry: &&PickerEntry| {
            let see = entry.details.as_ref().map_or_else(String::new, |details| details.see.join(" "));
            let text = format!("{} {} {} {} {see}", entry.name, entry.topic, entry.title, entry.source.as_str())
                .to_lowercase();
            filter.split_whitespace().all(|word| text.contains(word))
        };
        self.entries.iter().filter(fits).collect()
    }

    /// The chosen entry.
    pub fn current(&self) -> Option<&PickerEntry> {
        self.shown().get(self.selected).copied()
    }

    /// An entry whose details nobody has given yet: the chosen one first.
    pub fn unknown(&self) -> Option<&str> {
        let lacks = |entry: &&PickerEntry| entry.details.is_none();
        let chosen = self.current().filter(lacks);
        chosen.or_else(|| self.entries.iter().find(lacks)).map(|entry| entry.name.as_str())
    }

    /// Takes the details of an entry in.
    pub fn learn(&mut self, name: &str, details: PickerDetails) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.name == name) {
            entry.details = Some(details);
        }
    }

    /// Lets one thing happen.
    pub fn update(&mut self, action: &PickerAction) -> Option<PickerEffect> {
        match action {
            PickerAction::Key(key) if key.kind == KeyEventKind::Release => None,
            PickerAction::Key(key) => self.on_key(key),
            PickerAction::Mouse(mouse) => self.on_mouse(*mouse),
            PickerAction::Resize(width, height) => {
                self.area = Rect::new(0, 0, *width, *height);
                None
            }
        }
    }

    fn on_key(&mut self, key: &KeyEvent) -> Option<PickerEffect> {
        let typing = self.searching || !self.filter.is_empty();
        let page = usize::from(self.area.height / 2).max(1) as isize;
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Some(PickerEffect::Quit),
            KeyCode::Char('z') if key.modifiers.contains(KeyModifiers::CONTROL) => return Some(PickerEffect::Suspend),
            KeyCode::Char('u' | 'w') if key.modifiers.contains(KeyModifiers::CONTROL) => self.search(""),
            KeyCode::Char(_) if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {}
            KeyCode::Char('q') if !typing => return Some(PickerEffect::Quit),
            KeyCode::Char('/') if !typing => self.searching = true,
            KeyCode::Char(c) if !c.is_control() => self.search(&format!("{}{c}", self.filter)),
            KeyCode::Backspace => {
                let mut filter = self.filter.clone();
                filter.pop();
                self.search(&filter);
            }
            KeyCode::Esc if typing => {
                self.searching = false;
                self.search("");
            }
            KeyCode::Esc => return Some(PickerEffect::Quit),
            KeyCode::Enter => return self.open(),
            KeyCode::Up => self.select_by(-1),
            KeyCode::Down => self.select_by(1),
            KeyCode::Home => self.select_by(isize::MIN),
            KeyCode::End => self.select_by(isize::MAX),
            KeyCode::PageUp => self.scroll_by(-page),
            KeyCode::PageDown => self.scroll_by(page),
            _ => {}
        }
        None
    }

    fn open(&self) -> Option<PickerEffect> {
        let entry = self.current()?;
        let valid = entry.details.as_ref().is_some_and(|details| details.problem.is_none());
        valid.then(|| PickerEffect::Open(entry.name.clone()))
    }

    fn search(&mut self, filter: &str) {
        let current = self.current().map(|entry| entry.name.clone());
        self.filter = filter.chars().take(60).collect();
        let kept = self.shown().iter().position(|entry| Some(&entry.name) == current.as_ref());
        self.selected = kept.unwrap_or(0);
        self.scroll = 0;
    }

    fn select_by(&mut self, by: isize) {
        let last = self.shown().len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
        self.scroll = 0;
    }

    fn scroll_by(&mut self, by: isize) {
        self.scroll = self.scroll.saturating_add_signed(by).min(view::scroll_limit(self));
    }

    fn on_mouse(&mut self, mouse: MouseEvent) -> Option<PickerEffect> {
        let at = Position::new(mouse.column, mouse.row);
        let in_list = view::list_area(self.area).contains(at);
        match mouse.kind {
            MouseEventKind::ScrollUp if in_list => self.select_by(-1),
            MouseEventKind::ScrollDown if in_list => self.select_by(1),
            MouseEventKind::ScrollUp => self.scroll_by(-3),
            MouseEventKind::ScrollDown => self.scroll_by(3),
            MouseEventKind::Down(MouseButton::Left) => {
                let hit = view::entry_at(self, at)?;
                if hit == self.selected {
                    return self.open();
                }
                self.selected = hit;
                self.scroll = 0;
            }
            _ => {}
        }
        None
    }
}

/// How long details are looked up before the screen is drawn again and keys are heard.
const SLICE: Duration = Duration::from_millis(15);

/// Lets the user pick a scenario; `None` if they leave without one. What `details` says of an entry is
/// asked for when it is chosen, and of all others while nothing else is to be done.
///
/// # Errors
/// [`super::NotATerminal`] where there is no screen; what the terminal refused.
pub fn pick(
    options: &PickerOptions,
    entries: Vec<PickerEntry>,
    details: impl Fn(&str) -> Option<PickerDetails>,
) -> color_eyre::Result<Option<String>> {
    let mut screen = Screen::open()?;
    match choose(&mut screen, Picker::new(options, entries), details) {
        // What failed was about a terminal that is gone.
        Err(_) if screen.is_gone() => Ok(None),
        result => result,
    }
}

fn choose(
    screen: &mut Screen,
    mut picker: Picker,
    details: impl Fn(&str) -> Option<PickerDetails>,
) -> color_eyre::Result<Option<String>> {
    let mut slice = Duration::ZERO;
    loop {
        let (width, height) = screen.size()?;
        picker.update(&PickerAction::Resize(width, height));
        let all_known = learn(&mut picker, &details, slice);
        slice = SLICE;
        screen.draw(|frame| render(&picker, frame.area(), frame.buffer_mut()))?;
        let input = loop {
            if screen.terminated() {
                return Ok(None);
            }
            if screen.heed_job_control()? {
                break None;
            }
            let patience = if all_known { Duration::from_millis(200) } else { Duration::ZERO };
            match input::next(patience) {
                Some(input) => break Some(input),
                None if all_known => {}
                None => break None,
            }
        };
        let Some(input) = input else { continue };
        let action = match input {
            Input::Event(Event::Key(key)) => PickerAction::Key(key),
            Input::Event(Event::Mouse(mouse)) => PickerAction::Mouse(mouse),
            Input::Event(_) => continue,
            Input::Hangup => return Ok(None),
        };
        match picker.update(&action) {
            Some(PickerEffect::Open(name)) => return Ok(Some(name)),
            Some(PickerEffect::Quit) => return Ok(None),
            Some(PickerEffect::Suspend) => screen.suspend()?,
            None => {}
        }
    }
}

/// Looks details up for about as long as `slice`, of one entry at least; returns whether all are known.
fn learn(picker: &mut Picker, details: impl Fn(&str) -> Option<PickerDetails>, slice: Duration) -> bool {
    let began = Instant::now();
    while let Some(name) = picker.unknown().map(str::to_owned) {
        picker.learn(&name, details(&name).unwrap_or_default());
        if began.elapsed() >= slice {
            return false;
        }
    }
    true
}
