//! What one channel looks like: its name, how full it is, what is inside, who is at it.
//!
//! A file a family of kinds. Cards are as short as they can be: the pane has five lines on the
//! smallest screen. Everything that waits inside is shown by [`super::contents`].

mod locks;
mod memory;
mod monitor;
mod pipe;
mod queue;
mod semaphores;
mod socket;
mod terminal;

use ratatui::text::{Line, Span};

pub use locks::list as lock_list;
pub use memory::{accesses, changed, hex_row};
pub use semaphores::list as semaphore_list;
pub use socket::Ends;

use crate::model::{Channel, ChannelKind, Contents, TaskId, Why};
use crate::tui::app::{App, Channels, Holder};
use crate::tui::text;
use crate::tui::theme::Role;

/// Columns of the bar that shows how full something is.
const BAR: usize = 10;
/// Up to how many people are named.
const NAMED: usize = 8;

/// Everything about one meeting point.
pub fn card(app: &App, channels: &Channels, channel: &Channel, width: usize) -> Vec<Line<'static>> {
    Card { app, channels, channel, width, inside: true }.lines()
}

/// A card above the contents: without what is said there.
pub fn heading(app: &App, channels: &Channels, channel: &Channel, width: usize) -> Vec<Line<'static>> {
    Card { app, channels, channel, width, inside: false }.lines()
}

/// A channel in two lines: its name, and what went through it.
pub fn brief(app: &App, channels: &Channels, channel: &Channel, width: usize) -> Vec<Line<'static>> {
    let card = Card { app, channels, channel, width, inside: true };
    let held = card.held_by().map(|held| format!(" · {held}")).unwrap_or_default();
    let totals = format!("   {} B in, {} B out{held}", channel.written, channel.read);
    let right = if channel.kind.is_pipe() { vec![pipe::amount(channel)] } else { Vec::new() };
    vec![card.head(&right), Line::styled(text::fit(&totals, width), app.style(Role::Faded))]
}

/// One channel, as wide as there is room.
struct Card<'a> {
    app: &'a App,
    channels: &'a Channels,
    channel: &'a Channel,
    width: usize,
    /// Whether what is inside is to be shown too.
    inside: bool,
}

impl Card<'_> {
    fn lines(&self) -> Vec<Line<'static>> {
        let (card, channel) = (self, self.channel);
        let mut lines = match channel.kind {
            ChannelKind::Pipe | ChannelKind::Fifo => pipe::lines(card),
            ChannelKind::Unix | ChannelKind::Tcp | ChannelKind::Udp => socket::lines(card),
            ChannelKind::Mq | ChannelKind::Msg => queue::lines(card),
            ChannelKind::Shm | ChannelKind::Memfd => memory::lines(card),
            ChannelKind::Sem => semaphores::lines(card),
            ChannelKind::Terminal if channel.tty.master => terminal::lines(card),
            kind if kind.tells() => monitor::lines(card),
            _ => vec![card.head(&[]), card.people()],
        };
        if card.is_locked() && channel.kind != ChannelKind::Sem {
            lines.extend(locks::lines(card));
        }
        lines.extend(card.foot());
        lines
    }

    /// Kind and name, and at the right how much is inside: the first of these that leaves the name
    /// half of its room.
    fn head(&self, right: &[String]) -> Line<'static> {
        let name = self.app.words().channel(self.channel.id);
        let kind = format!(" {} ", self.channel.kind.as_str());
        let free = self.width.saturating_sub(text::width(&kind) + 1);
        let wanted = text::width(&name).min(free / 2);
        let fits = right.iter().find(|right| text::width(right) + wanted <= free).or(right.last());
        let right = fits.cloned().unwrap_or_default();
        let room = free.saturating_sub(text::width(&right));
        Line::from_iter([
            Span::raw(kind),
            Span::styled(text::pad(&name, room), self.app.style(Role::Strong)),
            Span::raw(" "),
            Span::styled(right, self.app.style(Role::Bytes)),
        ])
    }

    /// A line below the head.
    fn line(&self, text: &str, role: Role) -> Line<'static> {
        Line::styled(text::fit(&format!("   {text}"), self.width), self.app.style(role))
    }

    /// What went through, and what is special about it.
    fn foot(&self) -> Option<Line<'static>> {
        let Channel { written, read, lost, kind, found, unlinked, .. } = *self.channel;
        let mut parts = Vec::new();
        let moves = kind.is_pipe() || written > 0 || read > 0;
        if self.channel.tty.master {
            parts.push(terminal::moved(self.channel));
        } else if moves && self.channel.backlog().is_none() {
            parts.push(format!("{written} B in, {read} B out so far"));
        }
        if lost > 0 {
            parts.push(format!("{lost} lost"));
        }
        if let Some(socket) = self.channel.socket.as_deref().filter(|it| it.backlog.is_none() && !self.channel.messages)
        {
            let known = socket.addresses.iter().flatten().map(|it| self.app.words().sym(*it));
            let known: Vec<String> = known.collect();
            if !known.is_empty() {
                parts.push(known.join(" ⇄ "));
            }
        }
        if found {
            parts.push("was there before".to_owned());
        }
        if unlinked {
            parts.push("its name is removed".to_owned());
        } else if kind.outlives() && self.channel.holders == 0 {
            parts.push("nobody has it; it stays until it is removed".to_owned());
        }
        let role = if lost > 0 { Role::Text } else { Role::Faded };
        (!parts.is_empty()).then(|| self.line(&parts.join(" · "), role))
    }

    /// Whether somebody holds or wants a lock on it.
    fn is_locked(&self) -> bool {
        let wanted = self.channels.waiters(self.channel.id).iter().any(|waiter| waiter.why == Why::Lock);
        wanted || !self.channel.locks.is_empty()
    }

    fn task(&self, task: TaskId) -> String {
        self.app.words().task(task)
    }

    /// `parent 3 4, child 4`: the processes with their descriptors that fit.
    fn named(&self, fits: impl Fn(&Holder) -> bool) -> String {
        let mut people: Vec<(TaskId, String)> = Vec::new();
        let mut more = false;
        for holder in self.channels.holders(self.channel.id).iter().filter(|holder| fits(holder)) {
            let count = people.len();
            match people.last_mut() {
                Some((task, named)) if *task == holder.task => {
                    named.push(' ');
                    named.push_str(&holder.fd.to_string());
                }
                _ if count == NAMED => more = true,
                _ => people.push((holder.task, format!("{} {}", self.task(holder.task), holder.fd))),
            }
        }
        let mut named: Vec<String> = people.into_iter().map(|(_, named)| named).collect();
        if more {
            named.push("…".to_owned());
        }
        named.join(", ")
    }

    /// `held by: parent 3`, where anybody holds it through a descriptor.
    fn held_by(&self) -> Option<String> {
        let named = self.named(|_| true);
        (!named.is_empty()).then(|| format!("held by: {named}"))
    }

    /// Who has it, by descriptor, by identifier or in its memory.
    fn people(&self) -> Line<'static> {
        let used = names(self.app, self.channels.users(self.channel.id).iter().map(|user| user.task));
        let mut parts: Vec<String> = self.held_by().into_iter().collect();
        if !used.is_empty() {
            parts.push(format!("used by: {used}"));
        }
        if parts.is_empty() {
            return self.line("held by: none", Role::Faded);
        }
        self.line(&parts.join(" · "), Role::Text)
    }

    /// What exactly somebody who sleeps at it wants.
    fn wish(&self, task: TaskId) -> String {
        let sleeper = self.app.world().task(task);
        sleeper.map_or_else(String::new, |task| self.app.words().wish(self.channel.id, &task.wanted))
    }

    /// `waits: child`, where anybody sleeps at it.
    fn waiting(&self) -> Option<Line<'static>> {
        let waiters = self.channels.waiters(self.channel.id);
        (!waiters.is_empty()).then(|| {
            let named = waiters.iter().take(NAMED).map(|waiter| {
                let what = match waiter.why {
                    Why::Empty => " to read",
                    Why::Full => " to write",
                    Why::Poll => " among others",
                    _ => "",
                };
                format!("{}{what}{}", self.task(waiter.task), self.wish(waiter.task))
            });
            let mut named = named.collect::<Vec<_>>().join(", ");
            if waiters.len() > NAMED {
                named.push_str(", …");
            }
            self.line(&format!("◌ {}: {named}", if waiters.len() == 1 { "waits" } else { "wait" }), Role::Blocked)
        })
    }
}

/// The names of the first few tasks, each once.
pub fn names(app: &App, tasks: impl Iterator<Item = TaskId>) -> String {
    let mut seen: Vec<TaskId> = Vec::new();
    for task in tasks {
        if seen.last() != Some(&task) && !seen.contains(&task) {
            if seen.len() == NAMED {
                let named: Vec<String> = seen.iter().map(|task| app.words().task(*task)).collect();
                return format!("{}, …", named.join(", "));
            }
            seen.push(task);
        }
    }
    seen.iter().map(|task| app.words().task(*task)).collect::<Vec<_>>().join(", ")
}

/// `▕██░░░▏`. What holds anything shows at least one block, what is not full lacks one.
fn bar(inside: u64, capacity: u64) -> String {
    if capacity == 0 {
        return String::new();
    }
    let fullness = (inside as f64 / capacity as f64).min(1.0);
    let blocks = match (fullness * BAR as f64).round() as usize {
        0 if inside > 0 => 1,
        BAR if inside < capacity => BAR - 1,
        n => n,
    };
    format!("▕{}{}▏", "█".repeat(blocks), "░".repeat(BAR - blocks))
}

/// `12 / 65536 B`, or `12 B` where there is no bound.
fn fill(inside: u64, capacity: u64) -> String {
    if capacity == 0 { format!("{inside} B") } else { format!("{inside} / {capacity} B") }
}

/// The start of what is inside, between quotation marks.
pub fn excerpt(contents: &Contents, room: usize) -> String {
    if contents.is_empty() {
        return text::fit("(empty)", room);
    }
    let (bytes, gap) = contents.prefix(room.max(1));
    quoted(&bytes, gap || (bytes.len() as u64) < contents.len(), room)
}

/// Bytes between quotation marks; `cut` says that there are more.
pub fn quoted(bytes: &[u8], cut: bool, room: usize) -> String {
    let shown = text::clean_bytes(bytes, room);
    let room = room.saturating_sub(2);
    let fitted = if cut && text::width(&shown) < room { format!("{shown}…") } else { text::fit(&shown, room) };
    format!("\"{fitted}\"")
}
