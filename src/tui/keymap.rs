//! The one table of commands: dispatch, footer, help, palette and the manual page read it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::Pane;

/// What a key, a palette entry or a click on the footer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Play or pause.
    Play,
    /// One step of the scheduler's choice.
    Step,
    /// One step of the chosen task.
    StepTask,
    /// One event back.
    Back,
    /// One event forward.
    Forward,
    /// Before the first event.
    First,
    /// After the last event.
    Last,
    /// Slower.
    Slower,
    /// Faster.
    Faster,
    /// Serial or free.
    Serial,
    /// The same run again.
    Restart,
    /// Another run of the same thing.
    Reseed,
    /// The next task.
    NextTask,
    /// The task before.
    PreviousTask,
    /// No chosen task any more, or away with what lies over the screen.
    Escape,
    /// Search.
    Find,
    /// The next match.
    FindNext,
    /// The match before.
    FindPrevious,
    /// Any command by name.
    Palette,
    /// The breakpoints.
    Breakpoints,
    /// Send a signal.
    Kill,
    /// Throw away the signal that a task is about to be delivered.
    SuppressSignal,
    /// Put another signal in its place.
    ReplaceSignal,
    /// Keep the chosen task from its next step, or let it go.
    Hold,
    /// The next pane.
    NextPane,
    /// The pane before.
    PreviousPane,
    /// That pane.
    Focus(Pane),
    /// The pane fills the screen, or no more.
    Zoom,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One screen up.
    PageUp,
    /// One screen down.
    PageDown,
    /// Bytes as hexadecimal numbers, or as text.
    Hex,
    /// Whether tasks that are gone are shown.
    Gone,
    /// Whether files, devices and standard streams are shown.
    Files,
    /// Tasks by family, or by session and process group.
    Jobs,
    /// Type at the run's terminal.
    Type,
    /// The next hint.
    Hint,
    /// The next theme.
    Theme,
    /// Help for the focused pane.
    Help,
    /// Into the background of the shell.
    Suspend,
    /// Out, to where one came from.
    Quit,
    /// Out of the program.
    QuitAll,
}

/// Under which heading a command stands in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What moves the run.
    Run,
    /// What moves the cursor through the log.
    Time,
    /// What is done by hand.
    Hand,
    /// What changes the view.
    View,
    /// Everything else.
    Lab,
}

impl Group {
    /// Every group, in the order of the help.
    pub const ALL: [Self; 5] = [Self::Run, Self::Hand, Self::Time, Self::View, Self::Lab];

    /// Its heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Run => "The run",
            Self::Hand => "By hand",
            Self::Time => "Time",
            Self::View => "The view",
            Self::Lab => "The lab",
        }
    }
}

/// One command.
#[derive(Debug, Clone, Copy)]
pub struct CommandInfo {
    /// What it does.
    pub verb: Verb,
    /// Its name in the palette and in the manual page.
    pub id: &'static str,
    /// The keys that give it, as [`key_name`] writes them; the first is the one to show.
    pub keys: &'static [&'static str],
    /// One or two words for the footer.
    pub label: &'static str,
    /// One sentence, without a full stop.
    pub about: &'static str,
    /// Its heading.
    pub group: Group,
    /// Its place in the footer, from 1; 0 is not there.
    pub footer: u8,
}

const fn row(
    verb: Verb,
    id: &'static str,
    keys: &'static [&'static str],
    label: &'static str,
    about: &'static str,
    group: Group,
    footer: u8,
) -> CommandInfo {
    CommandInfo { verb, id, keys, label, about, group, footer }
}

#[rustfmt::skip]
static COMMANDS: &[CommandInfo] = &[
    row(Verb::Play, "play", &["space"], "play", "play or pause", Group::Run, 1),
    row(Verb::Step, "step", &["s"], "step", "one step of the scheduler's choice", Group::Run, 2),
    row(Verb::StepTask, "step-task", &["S"], "step task", "one step of the chosen task", Group::Run, 9),
    row(Verb::Slower, "slower", &["["], "slower", "fewer events a second", Group::Run, 12),
    row(Verb::Faster, "faster", &["]"], "faster", "more events a second", Group::Run, 13),
    row(Verb::Serial, "serial", &["f"], "serial/free", "one task at a time, or all at once", Group::Run, 14),
    row(Verb::Type, "type", &["i", "enter"], "type", "type at the run's terminal; Ctrl-] ends that", Group::Run, 0),
    row(Verb::Breakpoints, "breakpoints", &["B"], "breakpoints", "list and clear the breakpoints", Group::Run, 0),
    row(Verb::Restart, "restart", &["r"], "restart", "start again with the same seed", Group::Run, 11),
    row(Verb::Reseed, "reseed", &["R"], "new seed", "start again with another seed", Group::Run, 15),
    row(Verb::Kill, "kill", &["K"], "signal", "send a signal to a process, a thread, a group or everybody", Group::Hand, 8),
    row(Verb::SuppressSignal, "suppress", &["d"], "suppress", "throw away the signal that a task is about to be delivered", Group::Hand, 15),
    row(Verb::ReplaceSignal, "replace", &["e"], "replace", "put another signal in its place", Group::Hand, 15),
    row(Verb::Hold, "hold", &["H"], "hold", "keep the chosen task from its next step, or let it go", Group::Hand, 15),
    row(Verb::Back, "back", &["b", "left"], "back", "one event back in the log", Group::Time, 3),
    row(Verb::Forward, "forward", &["right"], "forward", "one event forward in the log", Group::Time, 4),
    row(Verb::First, "first", &["g", "home"], "first", "to before the first event", Group::Time, 0),
    row(Verb::Last, "last", &["G", "end"], "last", "to the last event, and follow the run", Group::Time, 11),
    row(Verb::Find, "find", &["/"], "find", "search the events", Group::Time, 7),
    row(Verb::FindNext, "find-next", &["n"], "next match", "to the next match", Group::Time, 0),
    row(Verb::FindPrevious, "find-previous", &["N"], "match before", "to the match before", Group::Time, 0),
    row(Verb::NextPane, "next-pane", &["tab"], "pane", "focus the next pane", Group::View, 5),
    row(Verb::PreviousPane, "previous-pane", &["backtab"], "pane before", "focus the pane before", Group::View, 0),
    row(Verb::Focus(Pane::Processes), "processes", &["1"], "processes", "focus Processes", Group::View, 0),
    row(Verb::Focus(Pane::Channels), "channels", &["2"], "channels", "focus Channels", Group::View, 0),
    row(Verb::Focus(Pane::Signals), "signals", &["3"], "signals", "focus Signals", Group::View, 0),
    row(Verb::Focus(Pane::Timeline), "timeline", &["4"], "timeline", "focus Timeline", Group::View, 0),
    row(Verb::Focus(Pane::Script), "script", &["5"], "script", "focus Script", Group::View, 0),
    row(Verb::Focus(Pane::Story), "story", &["6"], "story", "focus Story, Output, Diagnosis, Log; again: its next tab", Group::View, 0),
    row(Verb::Zoom, "zoom", &["z"], "zoom", "the focused pane fills the screen, or no more", Group::View, 6),
    row(Verb::Up, "up", &["up", "k"], "up", "one row up in the focused pane", Group::View, 0),
    row(Verb::Down, "down", &["down", "j"], "down", "one row down in the focused pane", Group::View, 0),
    row(Verb::PageUp, "page-up", &["pgup"], "page up", "one screen up in the focused pane", Group::View, 0),
    row(Verb::PageDown, "page-down", &["pgdn"], "page down", "one screen down in the focused pane", Group::View, 0),
    row(Verb::NextTask, "next-task", &["t"], "task", "choose the next task", Group::View, 10),
    row(Verb::PreviousTask, "previous-task", &["T"], "task before", "choose the task before", Group::View, 0),
    row(Verb::Escape, "any-task", &["esc"], "any task", "choose no task: follow the one that moved last", Group::View, 0),
    row(Verb::Hex, "hex", &["x"], "hex", "contents of a channel as text, or as hexadecimal numbers", Group::View, 0),
    row(Verb::Gone, "gone", &["."], "gone", "show or hide tasks that are gone", Group::View, 0),
    row(Verb::Jobs, "jobs", &["J"], "jobs", "tasks by family, or by session and process group", Group::View, 0),
    row(Verb::Files, "files", &["F"], "files", "show or hide files, devices and standard streams", Group::View, 0),
    row(Verb::Hint, "hint", &["h"], "hint", "the next hint", Group::Lab, 16),
    row(Verb::Theme, "theme", &["c"], "theme", "the next theme", Group::Lab, 0),
    row(Verb::Palette, "palette", &[":"], "command", "run any command by name", Group::Lab, 17),
    row(Verb::Help, "help", &["?"], "help", "help for the focused pane", Group::Lab, 18),
    row(Verb::Suspend, "suspend", &["ctrl-z"], "suspend", "into the background of the shell", Group::Lab, 0),
    row(Verb::Quit, "quit", &["q"], "quit", "leave this run; its processes are killed", Group::Lab, 19),
    row(Verb::QuitAll, "quit-all", &["ctrl-c"], "quit all", "leave proclab", Group::Lab, 0),
];

/// Every command, in the order of the help.
pub fn commands() -> &'static [CommandInfo] {
    COMMANDS
}

/// The command that a key gives.
pub fn verb_of(key: &KeyEvent) -> Option<Verb> {
    let name = key_name(key)?;
    COMMANDS.iter().find(|info| info.keys.contains(&name.as_str())).map(|info| info.verb)
}

/// The row of a command.
pub fn info(verb: Verb) -> Option<&'static CommandInfo> {
    COMMANDS.iter().find(|info| info.verb == verb)
}

/// What the palette understands besides the commands: how it begins, what follows, what it does.
pub const PHRASES: &[(&str, &str, &str)] = &[
    ("break call ", "NAME", "stop before a task makes this call"),
    ("break signal ", "SIGNAL", "stop when this signal is delivered"),
    ("break task ", "NAME", "stop when this task is about to move"),
    ("break channel ", "NAME", "stop when an event concerns this channel"),
    ("break diagnosis ", "[RULE]", "stop when a rule finds something"),
    ("break clear", "", "forget all breakpoints"),
    ("break ", "[TASK] SIGNAL|signal PHASE", "stop at a phase of a signal: generated, delivered, handler …"),
    ("kill ", "SIGNAL [[thread|group] TASK | all] [value=N]", "send a signal; 0 only asks whether one could be sent"),
    ("suppress ", "TASK", "throw away the signal that this task is about to be delivered"),
    ("replace ", "SIGNAL [TASK]", "put this signal in its place"),
    ("hold ", "TASK [deliveries]", "keep a task from its next step, or only from taking signals"),
    ("release ", "TASK", "let a task go that is held"),
    ("ask ", "TASK", "ask the kernel which signals it has queued, and compare with what is shown"),
    ("write ", "FILE", "write the log so far into a new file, for proclab replay"),
    ("seek ", "EVENT", "to this event of the log"),
    ("seed ", "N", "start again with this seed"),
];

/// A key as the table writes it: `a`, `A`, `space`, `pgdn`, `ctrl-c`.
pub fn key_name(key: &KeyEvent) -> Option<String> {
    let name = match key.code {
        KeyCode::Char(' ') => "space".to_owned(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "enter".to_owned(),
        KeyCode::Esc => "esc".to_owned(),
        KeyCode::Tab => "tab".to_owned(),
        KeyCode::BackTab => "backtab".to_owned(),
        KeyCode::Backspace => "backspace".to_owned(),
        KeyCode::Up => "up".to_owned(),
        KeyCode::Down => "down".to_owned(),
        KeyCode::Left => "left".to_owned(),
        KeyCode::Right => "right".to_owned(),
        KeyCode::Home => "home".to_owned(),
        KeyCode::End => "end".to_owned(),
        KeyCode::PageUp => "pgup".to_owned(),
        KeyCode::PageDown => "pgdn".to_owned(),
        KeyCode::Delete => "del".to_owned(),
        KeyCode::F(n) => format!("f{n}"),
        _ => return None,
    };
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return Some(format!("ctrl-{}", name.to_lowercase()));
    }
    (!key.modifiers.contains(KeyModifiers::ALT)).then_some(name)
}

/// A key as a person reads it.
pub fn key_label(name: &str) -> &str {
    match name {
        "left" => "←",
        "right" => "→",
        "up" => "↑",
        "down" => "↓",
        "backtab" => "shift-tab",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_and_no_name_is_given_twice() {
        let mut keys = std::collections::HashSet::new();
        let mut ids = std::collections::HashSet::new();
        for info in commands() {
            assert!(ids.insert(info.id), "{}", info.id);
            for key in info.keys {
                assert!(keys.insert(key), "{key}");
            }
        }
    }

    #[test]
    fn keys_find_their_commands() {
        let key = |code, modifiers| verb_of(&KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char(' '), KeyModifiers::NONE), Some(Verb::Play));
        assert_eq!(key(KeyCode::Char('S'), KeyModifiers::SHIFT), Some(Verb::StepTask));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Verb::QuitAll));
        assert_eq!(key(KeyCode::Char('s'), KeyModifiers::ALT), None);
    }
}
