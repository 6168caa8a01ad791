//! Everything that the screen shows, and nothing else: no terminal, no session, no clock.

mod cursor;
mod emulator;
mod find;
mod index;
mod jobs;
mod scene;

use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;

pub use cursor::Cursor;
pub use emulator::Emulator;
pub use find::Find;
pub use index::{Index, Stream};
pub use jobs::{Opens, is_orphaned, session_terminal};
pub use scene::{Channels, Holder, TaskRow, Tree, Waiter};

use super::theme::{Role, Theme};
use super::words::Words;
use crate::control::{Breakpoint, Ending, Pace, Status};
use crate::model::{ChannelId, Header, Log, State, TaskId};
use crate::scenario::Scenario;

/// A part of the screen that can be focused and zoomed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    /// The tree of tasks.
    Processes,
    /// Pipes, sockets and files.
    Channels,
    /// The signals of one task.
    Signals,
    /// The sequence diagram.
    Timeline,
    /// The scenario file, or the calls of one task.
    Script,
    /// Story, output, diagnoses and the event list.
    Story,
}

impl Pane {
    /// Every pane, in the order of its keys.
    pub const ALL: [Self; 6] =
        [Self::Processes, Self::Channels, Self::Signals, Self::Timeline, Self::Script, Self::Story];

    /// Its place, from 0.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The pane so many places further on.
    #[must_use]
    pub fn step(self, by: usize) -> Self {
        Self::ALL[(self.index() + by) % Self::ALL.len()]
    }
}

/// A tab of the last pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// What the scenario tells.
    Story,
    /// What the run printed.
    Output,
    /// What is wrong, and how the run ended.
    Diagnosis,
    /// Every event, a line each.
    Log,
}

impl Tab {
    /// Every tab, from the left.
    pub const ALL: [Self; 4] = [Self::Story, Self::Output, Self::Diagnosis, Self::Log];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Story => "Story",
            Self::Output => "Output",
            Self::Diagnosis => "Diagnosis",
            Self::Log => "Log",
        }
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }
}

/// Which of the tasks that are gone are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The last few.
    Recent,
    /// All.
    All,
    /// None.
    Hidden,
}

/// What lies over the panes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlay {
    /// Help for the focused pane, and the keys; scrolled by so many lines.
    Help(usize),
    /// Commands by name.
    Palette {
        /// What was typed.
        input: String,
        /// Which of the entries that fit is chosen.
        selected: usize,
    },
    /// The search prompt, with what was typed.
    Find(String),
    /// The breakpoints, and which of them is chosen.
    Breakpoints(usize),
}

/// Where the events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A run that goes on, or did.
    Live,
    /// A recording.
    Recording,
}

/// How far each pane is scrolled, in its own rows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scroll {
    /// The first row of the tree.
    pub processes: usize,
    /// The first channel.
    pub channels: usize,
    /// The first line of the contents of a channel.
    pub contents: usize,
    /// The first line.
    pub signals: usize,
    /// The first line of the script, where it does not follow the cursor.
    pub script: Option<usize>,
    /// The first line of the story and of the diagnoses; of the output, lines from its end.
    pub tabs: [usize; 4],
}

/// How it all looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// The styles.
    pub theme: Theme,
    /// Whether nothing but ASCII may be drawn.
    pub ascii: bool,
}

/// The state of the lab's screen.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "switches that the user turns one by one")]
pub struct App {
    /// How it looks.
    pub look: Look,
    /// Where the events come from.
    pub origin: Origin,
    /// The scenario, if one runs.
    pub scenario: Option<Scenario>,
    /// The lines of the scenario file.
    pub script: Vec<String>,
    /// All events.
    pub log: Log,
    /// Where things stand in the log.
    pub index: Index,
    pub(in crate::tui) cursor: Cursor,
    /// Whether the run has begun; before, there is nothing but a title.
    pub started: bool,
    /// How the session stands, as it said last.
    pub status: Option<Status>,
    /// How the run ended.
    pub ending: Option<Ending>,
    /// What became of each expectation.
    pub verdicts: Vec<(bool, String)>,
    /// What is wrong with the recording.
    pub damage: Option<String>,
    /// The pane that takes the keys.
    pub focus: Pane,
    /// Whether it fills the screen.
    pub zoomed: bool,
    /// The tab of the last pane.
    pub tab: Tab,
    /// How far each pane is scrolled.
    pub scroll: Scroll,
    /// The task that the user chose.
    pub chosen_task: Option<TaskId>,
    /// The channel that the user chose.
    pub chosen_channel: Option<ChannelId>,
    /// Whether contents are shown as hexadecimal numbers.
    pub hex: bool,
    /// Which of the tasks that are gone are shown.
    pub gone: Gone,
    /// Whether files and devices are shown.
    pub show_files: bool,
    /// Whether tasks are shown by session and process group; none as long as the user has not said.
    pub jobs: Option<bool>,
    /// The run's terminal.
    pub emulator: Emulator,
    /// Whether keys go to the run's terminal.
    pub typing: bool,
    /// The lines and columns that the run's terminal was started with, or that the session was told last.
    pub window: (u16, u16),
    /// How many hints were asked for.
    pub hints: usize,
    /// What lies over the panes.
    pub overlay: Option<Overlay>,
    /// Something to say, and until when.
    pub message: Option<(String, Duration)>,
    /// Where the run stops by itself.
    pub breakpoints: Vec<Breakpoint>,
    /// How fast to play.
    pub pace: Pace,
    /// When the next event of the log is due, while the cursor plays through it.
    pub replay: Option<Duration>,
    /// The search.
    pub find: Find,
    /// The size of the screen.
    pub area: Rect,
    /// Where and when the mouse was pressed last.
    pub(in crate::tui) click: Option<(u16, u16, Duration)>,
}

impl App {
    /// The screen of a run that is about to begin.
    pub fn live(look: Look, pace: Pace, scenario: Option<Scenario>) -> Self {
        let header = Header {
            scenario: scenario.as_ref().map(|scenario| scenario.name.clone()),
            source: scenario.as_ref().map(|scenario| scenario.source.clone()),
            seed: scenario.as_ref().and_then(|scenario| scenario.seed).unwrap_or(0),
            mode: if scenario.as_ref().is_some_and(|it| !it.free) { "serial" } else { "free" }.into(),
            ..Header::default()
        };
        let mut app = Self::new(look, pace, Origin::Live, Log::new(header), scenario);
        app.started = false;
        app
    }

    /// The screen of a recording, at its beginning.
    pub fn recording(look: Look, pace: Pace, log: Log, damage: Option<String>) -> Self {
        let mut app = Self::new(look, pace, Origin::Recording, log, None);
        app.damage = damage;
        app.seek_row(0);
        if app.emulator.is_there() && app.log.header().scenario.is_none() {
            app.tab = Tab::Output;
        }
        app.emulator.seek(&app.log, app.cursor.applied(&app.log));
        app
    }

    fn new(look: Look, pace: Pace, origin: Origin, log: Log, scenario: Option<Scenario>) -> Self {
        let mut app = Self {
            look,
            origin,
            script: Vec::new(),
            index: index_of(&log),
            cursor: Cursor::default(),
            log,
            started: true,
            status: None,
            ending: None,
            verdicts: Vec::new(),
            damage: None,
            focus: Pane::Timeline,
            zoomed: false,
            tab: Tab::Story,
            scroll: Scroll::default(),
            chosen_task: None,
            chosen_channel: None,
            hex: false,
            gone: Gone::Recent,
            show_files: false,
            jobs: None,
            emulator: Emulator::default(),
            typing: false,
            window: (0, 0),
            hints: 0,
            overlay: None,
            message: None,
            breakpoints: Vec::new(),
            pace,
            replay: None,
            find: Find::default(),
            area: Rect::new(0, 0, 80, 24),
            click: None,
            scenario,
        };
        app.emulator.append(&app.log, 0);
        app.read_script();
        app
    }

    /// Begins again with an empty log; what the user set stays.
    pub(in crate::tui) fn begin(&mut self, header: Header) {
        self.index = Index::new(&header);
        self.log = Log::new(header);
        self.cursor = Cursor::default();
        self.emulator = Emulator::default();
        self.window = super::layout::window(self.area, self.zoomed);
        self.typing = false;
        self.started = true;
        self.status = None;
        self.ending = None;
        self.verdicts.clear();
        self.replay = None;
        self.chosen_task = None;
        self.chosen_channel = None;
        self.scroll = Scroll { tabs: [self.scroll.tabs[0], 0, 0, 0], ..Scroll::default() };
        self.find.cancel();
        self.read_script();
    }

    fn read_script(&mut self) {
        let source = self.log.header().source.as_deref();
        let source = source.or(self.scenario.as_ref().map(|scenario| scenario.source.as_str())).unwrap_or("");
        // Whoever reads the script before answering must not find the answer in it.
        let shown = |line: &str| super::text::clean(&line.replace('\t', "    ")).replace(" right=#true", "");
        self.script = source.lines().map(shown).collect();
    }

    /// Names and sentences for the world at the cursor.
    pub fn words(&self) -> Words<'_> {
        Words::new(&self.log, &self.index, self.world())
    }

    /// How a part of the screen looks.
    pub const fn style(&self, role: Role) -> Style {
        self.look.theme.style(role)
    }

    /// Whether processes may still move.
    pub const fn is_live(&self) -> bool {
        matches!(self.origin, Origin::Live) && self.ending.is_none() && self.started
    }

    /// Whether time passes by itself: the run plays, or the cursor plays through the log.
    pub fn playing(&self) -> bool {
        self.replay.is_some() || (self.is_live() && self.status.as_ref().is_some_and(|it| it.playing.is_some()))
    }

    /// Whether one task moves at a time.
    pub fn serial(&self) -> bool {
        self.status.as_ref().map_or_else(|| self.log.header().mode == "serial", |status| status.serial)
    }

    /// Whether a running task waits for its turn.
    pub fn is_ready(&self, task: TaskId) -> bool {
        match &self.status {
            Some(status) if self.is_live() && self.following() => status.next.iter().any(|next| next.task == task),
            _ => self.log.header().mode == "serial",
        }
    }

    /// What a task does next: as the session says, or as the log shows it did.
    pub fn next_step(&self, task: TaskId) -> Option<String> {
        if self.world().task(task)?.state != State::Running || task == TaskId::LAB {
            return None;
        }
        if self.following() {
            let next = self.status.as_ref().filter(|_| self.is_live())?.next.iter().find(|next| next.task == task)?;
            return Some(super::text::clean(&next.text));
        }
        let seq = self.index.next_of_task(task, self.applied())?;
        self.log.get(seq).map(|event| self.words().next(seq, event))
    }

    /// The channel whose contents are shown: the chosen one, else the first.
    pub fn shown_channel(&self, channels: &Channels) -> Option<ChannelId> {
        self.chosen_channel.filter(|id| channels.shown.contains(id)).or_else(|| channels.shown.first().copied())
    }
}

fn index_of(log: &Log) -> Index {
    let mut index = Index::new(log.header());
    index.read(log);
    index
}

/// A pace in words.
pub fn pace_name(pace: Pace) -> String {
    match pace {
        Pace::Full => "full speed".to_owned(),
        Pace::PerSecond(n) => format!("{n} ev/s"),
    }
}
