//! The sequence diagram: time runs downward, each process has a lane, and what goes from one to
//! the other is an arrow.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::arrows::{Pen, flow};
use super::lanes::{Doing, Lane, Lanes, Life};
use super::put;
use crate::model::{
    Access, ChannelId, ChannelKind, End, Event, Kind, LockKind, LockMode, Mark, Phase, TaskId, Then, TimerChange, Via,
    Weight, Why, errno_name,
};
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::theme::Role;

/// The first row that is shown; a third of the room is for what comes, if anything does.
fn first_row(app: &App, height: usize) -> usize {
    let here = app.row();
    let ahead = if app.following() { 0 } else { height / 3 };
    let last = app.index.rows().len().saturating_sub(height);
    here.saturating_sub(height - ahead).min(last)
}

/// The row of the timeline on a line of the pane.
pub fn row_at(app: &App, area: Rect, line: usize) -> Option<usize> {
    let height = usize::from(area.height.saturating_sub(1));
    let row = first_row(app, height) + line.checked_sub(1)?;
    (row < app.index.rows().len()).then_some(row)
}

/// Columns of the event number and its description.
fn gutter(area: Rect, digits: usize) -> (u16, u16) {
    let words = match area.width {
        0..100 => 28,
        100..160 => 34,
        _ => 44,
    };
    let number = digits.max(3) as u16 + 2;
    (number, words.min(area.width.saturating_sub(number + 14)))
}

/// Draws the pane.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    if area.height < 2 || app.index.rows().is_empty() {
        let text = match (app.is_live(), app.started) {
            (true, true) => "nothing has happened yet: space plays, s makes one step",
            (false, true) => "this log is empty",
            (_, false) => "",
        };
        put(buf, area, area.x + 1, area.y, text, app.style(Role::Faded));
        return;
    }
    let height = usize::from(area.height - 1);
    let first = first_row(app, height);
    let rows = app.index.rows();
    let rows = &rows[first..(first + height).min(rows.len())];
    let events: Vec<(u64, Event)> =
        rows.iter().filter_map(|seq| app.log.get(u64::from(*seq)).map(|event| (u64::from(*seq), *event))).collect();
    let digits = events.last().map_or(1, |(seq, _)| (seq + 1).to_string().len());
    let (number, words) = gutter(area, digits);
    let left = area.x + number + words + 1;
    let lanes = Lanes::of(app, &events, left, area.right().saturating_sub(left));
    let diagram = Diagram { app, area, left, lanes: &lanes, events: &events };
    diagram.header(buf);
    let lives = lanes.lives(app, &events);
    for (n, y) in (area.y + 1..area.bottom()).enumerate().take(events.len()) {
        diagram.lines(&lives[n], y, events[n].0 >= app.applied(), buf);
        diagram.event(n, y, buf);
        diagram.description(n, y, number, words, buf);
    }
}

/// One frame of the diagram.
struct Diagram<'a> {
    app: &'a App,
    area: Rect,
    /// The first column of the lanes.
    left: u16,
    lanes: &'a Lanes,
    events: &'a [(u64, Event)],
}

impl Diagram<'_> {
    fn header(&self, buf: &mut Buffer) {
        let Rect { x, y, .. } = self.area;
        let start = if self.app.row() == 0 { "▶ before the first event" } else { " event" };
        put(buf, self.area, x, y, start, self.app.style(Role::Faded));
        for lane in &self.lanes.shown {
            let (x, name) = self.lanes.header(lane, self.left);
            let chosen = self.app.chosen_task == Some(lane.task);
            put(buf, self.area, x, y, &name, self.app.style(if chosen { Role::Selected } else { Role::Strong }));
        }
        if self.lanes.more > 0 {
            let note = format!(" +{} more", self.lanes.more);
            let x = self.area.right().saturating_sub(text::width(&note) as u16);
            put(buf, self.area, x, y, &note, self.app.style(Role::Signal));
        }
    }

    fn description(&self, n: usize, y: u16, number: u16, words: u16, buf: &mut Buffer) {
        let (seq, event) = &self.events[n];
        let here = self.app.last_row().is_some_and(|(last, _)| last == *seq);
        let role = self.role(n);
        let label = format!("{:>width$}", seq + 1, width = usize::from(number) - 2);
        put(buf, self.area, self.area.x, y, if here { "▶" } else { " " }, self.app.style(Role::Cursor));
        let label_role = if here { Role::Cursor } else { Role::Faded };
        put(buf, self.area, self.area.x + 1, y, &label, self.app.style(label_role));
        // What the lab itself says has no lane, and may be a whole sentence.
        let says = event.task == TaskId::LAB && matches!(event.kind, Kind::Note { .. } | Kind::Clock { .. });
        let room = if says { self.area.width.saturating_sub(number) } else { words };
        let text = text::fit(&self.app.words().brief(*seq, event), usize::from(room));
        let role = if here { Role::Cursor } else { role };
        put(buf, self.area, self.area.x + number, y, &text, self.app.style(role));
    }

    fn role(&self, n: usize) -> Role {
        let (seq, event) = &self.events[n];
        if *seq >= self.app.applied() {
            return Role::Faded;
        }
        if event.failed() {
            return Role::Bad;
        }
        match event.kind {
            Kind::Spawn { .. }
            | Kind::Exit { .. }
            | Kind::Reap { .. }
            | Kind::Exec { .. }
            | Kind::Connect { .. }
            | Kind::Accept { .. } => Role::Life,
            Kind::Write { .. } | Kind::Read { .. } | Kind::Load { .. } | Kind::Store { .. } | Kind::Pass { .. } => {
                Role::Bytes
            }
            Kind::Signal { .. } | Kind::Interrupted { .. } | Kind::Timer { .. } | Kind::Hold { .. } => Role::Signal,
            Kind::Block { .. } => Role::Blocked,
            Kind::Unblock { .. } => Role::Ready,
            Kind::Diagnosis { weight: Weight::Fault, .. } | Kind::Drop { .. } | Kind::Limit { .. } => Role::Bad,
            _ => Role::Text,
        }
    }

    /// The vertical lines of all lanes.
    fn lines(&self, lives: &[Life], y: u16, future: bool, buf: &mut Buffer) {
        for (lane, life) in self.lanes.shown.iter().zip(lives) {
            let (symbol, role) = match life.doing {
                Doing::Absent => continue,
                Doing::Blocked => ("┊", Role::Blocked),
                Doing::Stopped => ("‖", Role::Stopped),
                Doing::Zombie => ("·", Role::Stopped),
                Doing::Moving if life.handlers > 0 => ("┃", Role::Signal),
                Doing::Moving => ("│", Role::Text),
            };
            put(buf, self.area, lane.x, y, symbol, self.app.style(if future { Role::Faded } else { role }));
        }
    }

    fn event(&self, n: usize, y: u16, buf: &mut Buffer) {
        let (_, event) = &self.events[n];
        let style = self.app.style(self.role(n));
        let mut pen = Pen { area: self.area, left: self.left, y, style, buf };
        match event.kind {
            Kind::Diagnosis { parties, .. } => self.diagnosis(parties, "⚠", &mut pen),
            Kind::Asleep { parties } => self.diagnosis(parties, "◌", &mut pen),
            Kind::Spawn { child, .. } if event.task == TaskId::LAB => {
                let Some(x) = self.lanes.x(child) else { return };
                pen.text(x.saturating_sub(3).max(self.left), "──▶");
                pen.text(x, "●");
            }
            _ => {
                let Some(lane) = self.lanes.shown.iter().find(|lane| lane.task == event.task) else { return };
                self.on_lane(n, lane, &mut pen);
            }
        }
    }

    /// A finding concerns several tasks at once, and so does what the kernel says of sleepers.
    fn diagnosis(&self, parties: crate::model::Blob, mark: &str, pen: &mut Pen<'_>) {
        let parties = crate::model::Parties::from_bytes(self.app.log.bytes(parties));
        for task in parties.tasks {
            if let Some(x) = self.lanes.x(task) {
                pen.text(x, mark);
            }
        }
    }

    fn on_lane(&self, n: usize, lane: &Lane, pen: &mut Pen<'_>) {
        let (_, event) = &self.events[n];
        if let Some(errno) = event.errno() {
            self.mark(lane, "✗", &errno_name(errno), pen);
            return;
        }
        match event.kind {
            Kind::Spawn { child, .. } => match self.lanes.x(child) {
                Some(x) => pen.arrow(lane.x, x, '─', "", true),
                None => pen.text(lane.x, "●"),
            },
            Kind::Reap { child, .. } => match self.lanes.x(child) {
                Some(x) => {
                    pen.arrow(x, lane.x, '─', "", false);
                    pen.text(x, if x > lane.x { "┘" } else { "└" });
                }
                None => pen.text(lane.x, "●"),
            },
            Kind::Exit { .. } => pen.text(lane.x, "✗"),
            Kind::Block { why, channel, .. } => {
                let label = match why {
                    Why::Lock if channel.is_some() => "lock",
                    Why::Value => "value",
                    Why::Backlog => "backlog",
                    _ => "",
                };
                self.mark(lane, "◌", label, pen);
            }
            Kind::Write { .. } | Kind::Read { .. } => self.transfer(n, lane, pen),
            Kind::Signal { phase: Phase::Generated, signal, from, .. } => {
                let name = signal.to_string();
                let name = name.trim_start_matches("SIG");
                match from.filter(|from| *from != event.task).and_then(|from| self.lanes.x(from)) {
                    Some(x) => pen.arrow(x, lane.x, '╌', name, true),
                    None => pen.outside(lane.x, name),
                }
            }
            Kind::Signal { phase: Phase::Handler, signal, .. } => {
                self.mark(lane, "◆", &format!("in {}", signal.to_string().trim_start_matches("SIG")), pen);
            }
            Kind::Signal { .. } | Kind::Hold { .. } => pen.text(lane.x, "◆"),
            Kind::Interrupted { then, .. } => {
                let label = match then {
                    Then::Restart => "restarts",
                    Then::Continue => "goes on",
                    Then::Eintr | Then::EintrAlways => "EINTR",
                };
                self.mark(lane, "↺", label, pen);
            }
            Kind::Timer { change: TimerChange::Expire, .. } => self.mark(lane, "◷", "timer", pen),
            Kind::Unblock { .. } | Kind::Exec { .. } | Kind::Create { .. } | Kind::Note { .. } => {
                pen.text(lane.x, "●");
            }
            _ => self.meeting(n, lane, pen),
        }
    }

    /// What processes do where they meet, other than to move bytes.
    fn meeting(&self, n: usize, lane: &Lane, pen: &mut Pen<'_>) {
        let (seq, event) = &self.events[n];
        let words = self.app.words();
        let other = || self.app.index.other(*seq).filter(|task| *task != lane.task).and_then(|task| self.lanes.x(task));
        match event.kind {
            Kind::Connect { .. } => match other() {
                Some(x) => pen.arrow(lane.x, x, '─', "connect", true),
                None => pen.text(lane.x, "●"),
            },
            Kind::Accept { .. } => match other() {
                Some(x) => pen.arrow(x, lane.x, '─', "accept", false),
                None => pen.text(lane.x, "●"),
            },
            Kind::Pass { fd, from, .. } => {
                match from.filter(|from| *from != lane.task).and_then(|from| self.lanes.x(from)) {
                    Some(x) => pen.arrow(x, lane.x, '─', &format!("fd {fd}"), false),
                    None => self.mark(lane, "●", &format!("fd {fd}"), pen),
                }
            }
            Kind::Drop { .. } => self.mark(lane, "✗", "lost", pen),
            Kind::Limit { .. } => self.mark(lane, "✗", "limit", pen),
            Kind::Sem { channel, index, delta, value, .. } => {
                let symbol = match delta.signum() {
                    -1 => "▼",
                    0 => "●",
                    _ => "▲",
                };
                let named = format!("{} = {value}", words.semaphore(channel, index));
                let room = usize::from(self.lanes.width.saturating_sub(3));
                let label = if text::width(&named) <= room { named } else { value.to_string() };
                self.mark(lane, symbol, &label, pen);
            }
            Kind::Lock { kind, mode, .. } => match (kind, mode) {
                (_, LockMode::Unlock) => self.mark(lane, "□", "unlock", pen),
                (LockKind::Flock, LockMode::Read) => self.mark(lane, "■", "shared", pen),
                (LockKind::Flock, LockMode::Write) => self.mark(lane, "■", "exclusive", pen),
                (_, LockMode::Read) => self.mark(lane, "■", "read", pen),
                (_, LockMode::Write) => self.mark(lane, "■", "write", pen),
            },
            Kind::Load { .. } => self.mark(lane, "◂", &words.value(*seq, event), pen),
            Kind::Store { .. } => self.mark(lane, "▸", &words.value(*seq, event), pen),
            _ => pen.text(lane.x, "•"),
        }
    }

    /// A symbol on a lane, and as much of a word as the lane has room for.
    fn mark(&self, lane: &Lane, symbol: &str, label: &str, pen: &mut Pen<'_>) {
        pen.text(lane.x, symbol);
        pen.text(lane.x + 2, &text::fit(label, usize::from(self.lanes.width.saturating_sub(3))));
    }

    /// Bytes go into a channel toward whoever reads it, or come out from the side of who wrote.
    fn transfer(&self, n: usize, lane: &Lane, pen: &mut Pen<'_>) {
        let (channel, via, bytes, write) = match self.events[n].1.kind {
            Kind::Write { channel, via, bytes, .. } => (channel, via, bytes, true),
            Kind::Read { channel, via, bytes, .. } => (channel, via, bytes, false),
            _ => return,
        };
        let words = self.app.words();
        let name = words.channel(channel);
        let short = if bytes == 0 && !write && !words.keeps_messages(channel) {
            "EOF".to_owned()
        } else {
            format!("{bytes} B")
        };
        let label = match via.mark() {
            Mark::None | Mark::Peer(_) => String::new(),
            mark => format!("{short} {}", words.mark(mark)),
        };
        let peer = self.peer(n, lane, channel, via, write);
        let right = peer.is_none_or(|x| x > lane.x);
        let (from, to) = match (peer, right) {
            (Some(x), true) => (lane.x + 1, x),
            (Some(x), false) => (x + 1, lane.x),
            (None, _) => (lane.x + 1, (lane.x + self.lanes.width).min(self.area.right())),
        };
        pen.text(lane.x, "●");
        let columns = usize::from(to.saturating_sub(from));
        pen.text(from, &flow(columns, &name, &[label.as_str(), short.as_str()], right, write));
    }

    /// The lane of the task at the other end: who reads what was written, who wrote what is read.
    fn peer(&self, n: usize, lane: &Lane, channel: ChannelId, via: Via, write: bool) -> Option<u16> {
        let kind = self.app.world().channel(channel).or(self.app.log.head().channel(channel))?.kind;
        // Who wrote what is read here is known.
        if let Some(writer) = self.app.index.other(self.events[n].0).filter(|_| !write) {
            return if writer == lane.task { None } else { self.lanes.x(writer) };
        }
        // What is written to a device or a terminal is for nobody in the run.
        if !kind.is_meeting_point() && kind != ChannelKind::File {
            return None;
        }
        let takes = |seq: u64, read: Via| {
            let marks = matches!(via, Via::Mq(..) | Via::Msg(_));
            let ours = self.app.index.other(seq).is_none_or(|writer| writer == lane.task);
            ours && (!marks || read.mark() == via.mark())
        };
        let partner = |(seq, event): &(u64, Event)| match event.kind {
            Kind::Read { channel: at, via, .. } if write && at == channel && takes(*seq, via) => Some(event.task),
            Kind::Write { channel: at, .. } if !write && at == channel => Some(event.task),
            // Who waits for bytes gets them, who waits for room has some.
            Kind::Block { channel: Some(at), why, .. } if at == channel => {
                let waits = if write { why != Why::Full } else { why != Why::Empty };
                waits.then_some(event.task)
            }
            _ => None,
        };
        let others = |task: &TaskId| *task != lane.task && self.lanes.x(*task).is_some();
        let (before, after) = self.events.split_at(n);
        let after = after.iter().skip(1);
        let before = before.iter().rev();
        let seen = if write {
            after.filter_map(partner).find(others).or_else(|| before.filter_map(partner).find(others))
        } else {
            before.filter_map(partner).find(others).or_else(|| after.filter_map(partner).find(others))
        };
        let fits = |access: Access| if write { access.reads() } else { access.writes() };
        let world = self.app.world();
        let own = via.fd().and_then(|fd| world.fd(lane.task, fd)).filter(|fd| fd.channel == channel).map(|fd| fd.end);
        let across = |end: End| !kind.is_socket() || own.is_none_or(|own| own != end);
        let holder = || {
            let holds = |task: TaskId| {
                let through = world.fds(task).any(|fd| fd.channel == channel && fits(fd.access) && across(fd.end));
                through || world.uses(task).iter().any(|used| used.channel == channel)
            };
            let mut tasks = self.lanes.shown.iter().map(|lane| lane.task);
            tasks.find(|task| kind.is_meeting_point() && others(task) && holds(*task))
        };
        let ever = || self.app.index.users(channel, !write).iter().copied().find(|task| others(task));
        seen.or_else(ever).or_else(holder).and_then(|task| self.lanes.x(task))
    }
}
