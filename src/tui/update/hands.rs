//! Signals by hand: what can be typed about them, completed word by word, and what the keys do.

use std::time::Duration;

use super::phrase::{Choice, Entry};
use super::{Effect, say};
use crate::control::{Breakpoint, Command, Hand, To};
use crate::model::{DefaultAction, Disposition, Hold, Phase, Signal, State, Task, TaskId};
use crate::tui::app::{App, Origin, Overlay};
use crate::tui::keymap::Verb;
use crate::tui::text;

/// Up to how many tasks are offered.
const OFFERED: usize = 32;

/// What a key does.
pub fn perform(app: &mut App, verb: Verb, now: Duration) -> Vec<Effect> {
    if !in_reach(app, now) {
        return Vec::new();
    }
    let task = if verb == Verb::SuppressSignal { taker(app) } else { app.subject() };
    match (verb, task) {
        (Verb::Kill, _) => app.overlay = Some(Overlay::Palette { input: "kill ".to_owned(), selected: 0 }),
        (Verb::SuppressSignal | Verb::ReplaceSignal, _) if takers(app).is_empty() => {
            say(app, "nobody is about to be delivered a signal".to_owned(), now);
        }
        (Verb::ReplaceSignal, _) => {
            app.overlay = Some(Overlay::Palette { input: "replace ".to_owned(), selected: 0 });
        }
        (_, None) => say(app, "there is no task yet".to_owned(), now),
        (Verb::SuppressSignal, Some(task)) => return vec![Effect::Send(Command::Hand(Hand::Suppress(task)))],
        (_, Some(task)) => {
            let held = app.world().task(task).is_some_and(|task| task.hold != Hold::Nothing);
            let next = if held { Hold::Nothing } else { Hold::Steps };
            return vec![Effect::Send(Command::Hand(Hand::Hold(task, next)))];
        }
    }
    Vec::new()
}

/// Asks the session for it.
pub fn send(app: &mut App, hand: Hand, now: Duration) -> Vec<Effect> {
    if in_reach(app, now) { vec![Effect::Send(Command::Hand(hand))] } else { Vec::new() }
}

/// Whether there are processes to do something to; if not, says why.
fn in_reach(app: &mut App, now: Duration) -> bool {
    let why = match app.origin {
        Origin::Recording => "a recording has no processes: only a run can be sent signals, held or released",
        Origin::Live if !app.started => "the run has not begun",
        Origin::Live if app.ending.is_some() => "the run has ended, and its processes with it: r starts it again",
        Origin::Live if !app.following() => "this is the past: G goes to where the processes stand",
        Origin::Live => return true,
    };
    say(app, why.to_owned(), now);
    false
}

/// The tasks that stand before a delivery.
pub fn takers(app: &App) -> Vec<TaskId> {
    app.status.iter().flat_map(|it| &it.next).filter(|it| it.signal.is_some()).map(|it| it.task).collect()
}

/// The task whose delivery is meant: the one that is looked at, unless another is the only one that stands
/// before a delivery.
fn taker(app: &App) -> Option<TaskId> {
    match (app.subject(), takers(app).as_slice()) {
        (subject, [only]) if subject != Some(*only) => Some(*only),
        (subject, _) => subject,
    }
}

/// The lines of the palette for what was typed, if it is about signals or holding.
pub fn entries(app: &App, typed: &str) -> Vec<Entry> {
    let words: Vec<&str> = typed.split_whitespace().collect();
    let open = typed.ends_with(char::is_whitespace);
    match words.as_slice() {
        ["kill", rest @ ..] if open || !rest.is_empty() => kill(app, rest, open),
        ["replace", rest @ ..] if open || !rest.is_empty() => replace(app, rest, open),
        ["suppress", rest @ ..] if open || !rest.is_empty() => {
            one_task(app, "suppress", rest, "throw away what it is about to be delivered", Hand::Suppress)
        }
        ["hold", name, word] if "deliveries".starts_with(word) => {
            let about = "it goes on until a signal is about to be delivered";
            let mut found = one_task(app, "hold", &[name], about, |task| Hand::Hold(task, Hold::Deliveries));
            for entry in &mut found {
                entry.text.push_str(" deliveries");
            }
            found
        }
        ["hold", rest @ ..] if open || !rest.is_empty() => {
            one_task(app, "hold", rest, "it takes no step until it is released", |task| Hand::Hold(task, Hold::Steps))
        }
        ["ask", rest @ ..] if open || !rest.is_empty() => {
            one_task(app, "ask", rest, "ask the kernel what is queued for it, and compare", Hand::Ask)
        }
        ["release", rest @ ..] if open || !rest.is_empty() => {
            one_task(app, "release", rest, "it goes on", |task| Hand::Hold(task, Hold::Nothing))
        }
        ["break", rest @ ..] => phases(rest, open),
        _ => Vec::new(),
    }
}

fn entry(text: &str, about: impl Into<String>, choice: Choice) -> Entry {
    Entry { text: text::clean(text), key: None, about: text::clean(&about.into()), choice }
}

/// Why a line cannot be run.
fn refusal(words: &[&str], why: impl Into<String>) -> Vec<Entry> {
    vec![entry(&words.join(" "), why, Choice::Nothing)]
}

fn kill(app: &App, words: &[&str], open: bool) -> Vec<Entry> {
    let [name, rest @ ..] = words else { return signals(app, "kill", "") };
    if rest.is_empty() && !open {
        return signals(app, "kill", name);
    }
    let asks = *name == "0";
    let signal = Signal::parse(name);
    if signal.is_none() && !asks {
        return refusal(&[&["kill"], words].concat(), no_signal(name));
    }
    let (value, rest) = match rest {
        [rest @ .., last] if last.starts_with("value=") => (Some(&last[6..]), rest),
        rest => (None, rest),
    };
    let Ok(number) = value.map(str::parse::<i32>).transpose() else {
        return refusal(&[&["kill"], words].concat(), "the value is a number of 32 bits, as in value=7");
    };
    let mut found = Vec::new();
    for (text, to, who) in receivers(app, rest) {
        let value = number.map_or_else(String::new, |number| format!(" value={number}"));
        let about = match signal {
            Some(signal) => format!("{who}{}", fate(app, to, signal)),
            None => format!("{who}: could a signal be sent?"),
        };
        let hand = Hand::Send { signal, to, value: number };
        found.push(entry(&format!("kill {name} {text}{value}"), about, Choice::Hand(hand)));
    }
    if found.is_empty() {
        return refusal(&[&["kill"], words].concat(), nobody(app, rest.last().copied().unwrap_or("")));
    }
    found
}

fn replace(app: &App, words: &[&str], open: bool) -> Vec<Entry> {
    let [name, rest @ ..] = words else { return signals(app, "replace", "") };
    let Some(signal) = Signal::parse(name).filter(|_| open || !rest.is_empty()) else {
        return if rest.is_empty() {
            signals(app, "replace", name)
        } else {
            refusal(&[&["replace"], words].concat(), no_signal(name))
        };
    };
    let begin = format!("replace {name}");
    match (rest, taker(app)) {
        ([], Some(task)) => {
            let about = format!("{signal} instead of what it is about to be delivered");
            let text = format!("{begin} {}", app.words().task(task));
            vec![entry(&text, about, Choice::Hand(Hand::Replace(task, signal)))]
        }
        _ => one_task(app, &begin, rest, "instead of what it is about to be delivered", |task| {
            Hand::Replace(task, signal)
        }),
    }
}

/// The signals whose names begin so. A name that is whole leads on to the receivers.
fn signals(app: &App, verb: &str, typed: &str) -> Vec<Entry> {
    let upper = typed.to_ascii_uppercase();
    let exact = Signal::parse(typed);
    let begins = |signal: &Signal| {
        let name = signal.to_string();
        name.starts_with(&upper) || name.trim_start_matches("SIG").starts_with(&upper)
    };
    // What people send most stands first.
    let first = ["TERM", "INT", "HUP", "USR1", "USR2", "STOP", "CONT", "KILL", "CHLD", "ALRM"];
    let common = first.iter().filter_map(|name| Signal::parse(name)).filter(begins);
    let others = Signal::all().filter(begins);
    let mut seen = Vec::new();
    for signal in exact.into_iter().chain(common).chain(others) {
        if !seen.contains(&signal) {
            seen.push(signal);
        }
    }
    let subject = app.subject().filter(|_| verb == "kill");
    let subject = subject.map(|task| (app.words().task(task), To::Process(task)));
    let takers = takers(app);
    let only = takers.first().copied().filter(|_| verb == "replace" && takers.len() == 1);
    let mut found: Vec<Entry> = seen
        .into_iter()
        .map(|signal| {
            let name = signal.to_string();
            let name = name.trim_start_matches("SIG");
            let number = signal.number();
            let fate =
                subject.as_ref().map_or_else(String::new, |(name, to)| format!(": {name}{}", fate(app, *to, signal)));
            let text = format!("{verb} {name}");
            match only {
                // Nobody else can be meant: nothing is left to ask.
                Some(task) => {
                    let about = format!("signal {number}, for {}", app.words().task(task));
                    entry(&text, about, Choice::Hand(Hand::Replace(task, signal)))
                }
                None => entry(&text, format!("signal {number}{fate}"), Choice::Complete(format!("{text} "))),
            }
        })
        .collect();
    if typed == "0" && verb == "kill" {
        found.push(entry("kill 0", "only ask", Choice::Complete("kill 0 ".to_owned())));
    }
    if found.is_empty() { refusal(&[verb, typed], no_signal(typed)) } else { found }
}

/// Whom the words may mean, as one could type it, and in words.
fn receivers(app: &App, words: &[&str]) -> Vec<(String, To, String)> {
    let offer = |text: String, to: To| {
        let who = who(app, to);
        (text, to, who)
    };
    match words {
        [] => {
            let subject = app.subject().filter(|task| app.world().task(*task).is_some_and(Task::is_alive));
            let mut found = Vec::new();
            if let Some(task) = subject {
                let name = app.words().task(task);
                let thread = app.world().task(task).is_some_and(|task| !task.is_process());
                let to = if thread { To::Thread(task) } else { To::Process(task) };
                found.push(offer(name.clone(), to));
                found.push(offer(format!("thread {name}"), To::Thread(task)));
                found.push(offer(format!("group {name}"), To::Group(task)));
            }
            found.push(offer("all".to_owned(), To::All));
            for task in app.world().living().filter(|task| Some(task.id) != subject).take(OFFERED) {
                let to = if task.is_process() { To::Process(task.id) } else { To::Thread(task.id) };
                found.push(offer(app.words().task(task.id), to));
            }
            found
        }
        ["thread" | "task"] => every(app, words[0], To::Thread),
        ["process"] => every(app, "process", To::Process),
        ["group"] => every(app, "group", To::Group),
        [kind @ ("thread" | "task"), name] => {
            named(app, name).map(|(n, t)| offer(format!("{kind} {n}"), To::Thread(t))).collect()
        }
        ["process", name] => named(app, name).map(|(n, t)| offer(format!("process {n}"), To::Process(t))).collect(),
        ["group", name] => named(app, name).map(|(n, t)| offer(format!("group {n}"), To::Group(t))).collect(),
        [name] => {
            let one = |(n, task): (String, TaskId)| {
                let thread = app.world().task(task).is_some_and(|task| !task.is_process());
                offer(n, if thread { To::Thread(task) } else { To::Process(task) })
            };
            let mut found: Vec<_> = named(app, name).map(one).collect();
            found.extend("all".starts_with(name).then(|| offer("all".to_owned(), To::All)));
            let kinds = [("thread", To::Thread as fn(TaskId) -> To), ("group", To::Group)];
            for (kind, to) in kinds.into_iter().filter(|(kind, _)| kind.starts_with(name)) {
                found.extend(every(app, kind, to));
            }
            found
        }
        _ => Vec::new(),
    }
}

fn every(app: &App, kind: &str, to: impl Fn(TaskId) -> To) -> Vec<(String, To, String)> {
    let one = |(name, task): (String, TaskId)| (format!("{kind} {name}"), to(task), who(app, to(task)));
    named(app, "").map(one).collect()
}

/// The living tasks whose names begin so, those that are called so first; a number is a PID.
fn named<'a>(app: &'a App, typed: &'a str) -> impl Iterator<Item = (String, TaskId)> + 'a {
    let words = app.words();
    let mut found: Vec<(bool, String, TaskId)> = app
        .world()
        .living()
        .filter_map(|task| {
            let (short, full) = (words.task(task.id), app.log.name(task.name));
            let exact = short == typed || full == typed || task.pid.to_string() == typed;
            let begins = short.starts_with(typed) || full.starts_with(typed);
            (exact || begins).then_some((exact, short, task.id))
        })
        .collect();
    let any_exact = found.iter().any(|(exact, ..)| *exact);
    found.sort_by_key(|(exact, _, task)| (!exact, *task));
    found.into_iter().filter(move |(exact, ..)| *exact || !any_exact).take(OFFERED).map(|(_, name, task)| (name, task))
}

fn one_task(app: &App, begin: &str, rest: &[&str], about: &str, hand: impl Fn(TaskId) -> Hand) -> Vec<Entry> {
    let typed = match rest {
        [] => "",
        [name] => name,
        _ => return refusal(&[&[begin], rest].concat(), format!("one task, as in {begin} parent")),
    };
    let mut found: Vec<(String, TaskId)> = named(app, typed).collect();
    if typed.is_empty() {
        let subject = app.subject();
        found.sort_by_key(|(_, task)| Some(*task) != subject);
    }
    if found.is_empty() {
        return refusal(&[begin, typed], nobody(app, typed));
    }
    let line = |(name, task): (String, TaskId)| entry(&format!("{begin} {name}"), about, Choice::Hand(hand(task)));
    found.into_iter().map(line).collect()
}

fn no_signal(name: &str) -> String {
    format!("no signal is called {name}: as in TERM, RTMIN+3 or 9")
}

/// Why nobody can be meant by a name.
fn nobody(app: &App, typed: &str) -> String {
    let words = app.words();
    let ended = |task: &&Task| !task.is_alive() && (words.task(task.id) == typed || app.log.name(task.name) == typed);
    match app.world().tasks().rev().find(ended).map(|task| task.state) {
        Some(State::Zombie) => format!("{typed} has ended: a zombie takes no signals"),
        Some(_) => format!("{typed} is gone"),
        None if app.is_live() && !app.following() => {
            format!("no task is called {typed} at this event: G goes to where the processes stand")
        }
        None => {
            let names: Vec<String> = app.world().living().take(4).map(|task| words.task(task.id)).collect();
            format!("no task is called {typed}: there are {}", names.join(", "))
        }
    }
}

/// A receiver in words.
fn who(app: &App, to: To) -> String {
    let world = app.world();
    let name = |task: TaskId| app.words().task(task);
    match to {
        To::All => match world.living().filter(|it| it.is_process()).count() {
            1 => "the only process of the run".to_owned(),
            count => format!("all {count} processes of the run"),
        },
        To::Thread(task) => format!("the thread {} alone", name(task)),
        To::Process(task) => format!("the process {}", name(world.task(task).map_or(task, |task| task.process))),
        To::Group(task) => {
            let pgid = world.task(task).map_or(0, |task| task.pgid);
            let members = world.living().filter(|it| it.is_process() && it.pgid == pgid).take(4);
            let members: Vec<String> = members.map(|it| name(it.id)).collect();
            format!("the process group {pgid}: {}", members.join(", "))
        }
    }
}

/// What a receiver does about a signal as things stand, after its name; nothing of several.
fn fate(app: &App, to: To, signal: Signal) -> &'static str {
    let (To::Thread(task) | To::Process(task)) = to else { return "" };
    let Some(known) = app.world().task(task) else { return "" };
    if signal.is_catchable() && known.blocked.contains(signal) {
        return " blocks it";
    }
    match app.world().action(task, signal).map(|action| action.disposition) {
        Some(Disposition::Handler) => " catches it",
        Some(Disposition::Ignore) => " ignores it",
        _ => match signal.default_action() {
            DefaultAction::Terminate | DefaultAction::Core => " is ended by it",
            DefaultAction::Stop => " is stopped by it",
            DefaultAction::Continue => " is continued by it",
            DefaultAction::Ignore => " does nothing about it",
        },
    }
}

/// Whether a phase is called so.
pub fn is_phase(name: &str) -> bool {
    Phase::parse(name).is_some() || Phase::ALL.iter().any(|phase| phase.as_str().starts_with(name))
}

/// `break [TASK] SIGNAL|signal PHASE`, completed.
fn phases(words: &[&str], open: bool) -> Vec<Entry> {
    let (begun, last) = match words {
        [begun @ .., last] if !open => (begun, *last),
        begun => (begun, ""),
    };
    let (task, which) = match begun {
        [which] => (None, *which),
        [task, which] => (Some((*task).to_owned()), *which),
        _ => return Vec::new(),
    };
    let kinds = ["call", "task", "channel", "diagnosis", "clear"];
    let signal = Signal::parse(which);
    if signal.is_none() && which != "signal" {
        let meant = is_phase(last) && !last.is_empty() && !kinds.contains(&which);
        return if meant { refusal(&[&["break"], words].concat(), no_signal(which)) } else { Vec::new() };
    }
    let fitting: Vec<Phase> = Phase::ALL.into_iter().filter(|phase| phase.as_str().starts_with(last)).collect();
    if fitting.is_empty() && which != "signal" {
        let names: Vec<&str> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
        return refusal(&[&["break"], words].concat(), format!("no phase is called {last}: {}", names.join(", ")));
    }
    let prefix = format!("break {}", begun.join(" "));
    let line = |phase: Phase| {
        let text = format!("{prefix} {}", phase.as_str());
        if let Some(why) = signal.and_then(|signal| never(signal, phase)) {
            return entry(&text, why, Choice::Nothing);
        }
        let breakpoint = Breakpoint::Phase { task: task.clone(), signal, phase };
        entry(&text, super::describe(&breakpoint), Choice::Break(breakpoint))
    };
    fitting.into_iter().map(line).collect()
}

/// Why a signal never comes to a phase (signal(7)).
const fn never(signal: Signal, phase: Phase) -> Option<&'static str> {
    match (signal, phase) {
        (Signal::KILL, Phase::Generated) => None,
        (Signal::KILL, _) => Some("SIGKILL ends a process where it stands: there is only its generation to stop at"),
        (
            Signal::STOP,
            Phase::Handler | Phase::Returned | Phase::Left | Phase::Ignored | Phase::Pending | Phase::Accepted,
        ) => Some("SIGSTOP cannot be caught, blocked or ignored"),
        _ => None,
    }
}
