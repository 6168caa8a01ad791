//! What the run's terminal shows: a terminal emulator, fed with everything that the lab has read from it.
//!
//! The screen is a function of the log like every other pane. Copies of it are kept every so often, so
//! that going back to any point of a long log feeds little again.

use std::num::NonZeroU16;

use vt100::{Callbacks, Parser, Screen};

use crate::model::{ChannelId, Event, Kind, Log, TaskId};

/// Bytes between two kept screens, at least, and events.
const SPACING: usize = 256 << 10;
const EVENTS: usize = 16_384;
/// The largest window that is drawn; a recording could ask for any.
const LARGEST: (u16, u16) = (500, 1000);

/// The terminal of a run at the end of the log and at the cursor.
#[derive(Default)]
pub struct Emulator {
    channel: Option<ChannelId>,
    /// What has changed the screen, by the numbers of the events.
    events: Vec<u32>,
    kept: Vec<Kept>,
    head: Option<Parser<Answers>>,
    state: State,
    /// What the head was fed with since the last kept screen: bytes, events.
    since: (usize, usize),
    past: Option<Past>,
}

struct Kept {
    /// How many of the events it has seen.
    count: usize,
    screen: Box<Screen>,
}

/// The screen at a cursor that is not at the end.
struct Past {
    count: usize,
    parser: Parser,
}

/// What programs ask a terminal, and what it answers (`man 4 console_codes`, "Device Status Report").
#[derive(Debug, Default)]
pub struct Answers(Vec<u8>);

impl Callbacks for Answers {
    fn unhandled_csi(&mut self, screen: &mut Screen, first: Option<u8>, _: Option<u8>, params: &[&[u16]], c: char) {
        let number = params.first().and_then(|param| param.first()).copied().unwrap_or(0);
        match (first, c, number) {
            (None, 'n', 5) => self.0.extend(b"\x1b[0n"),
            (None, 'n', 6) => {
                let (row, column) = screen.cursor_position();
                self.0.extend(format!("\x1b[{};{}R", row + 1, column + 1).as_bytes());
            }
            (None, 'c', 0) => self.0.extend(b"\x1b[?62;22c"),
            _ => {}
        }
    }
}

/// Whether an emulator is between two characters or sequences: only there can its screen be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Ground,
    Escape,
    Sequence,
    Text,
    TextEscape,
    /// So many bytes of a character are to come.
    Character(u8),
}

impl State {
    const fn after(self, byte: u8) -> Self {
        let escaped = matches!(self, Self::Escape | Self::TextEscape);
        let text = matches!(self, Self::Text | Self::TextEscape);
        match byte {
            0x18 | 0x1a => Self::Ground,
            0x07 if text => Self::Ground,
            0x1b if matches!(self, Self::Text) => Self::TextEscape,
            0x1b => Self::Escape,
            _ if matches!(self, Self::Text) => Self::Text,
            b'[' if escaped => Self::Sequence,
            b']' | b'P' | b'X' | b'^' | b'_' if escaped => Self::Text,
            0x20..=0x2f if escaped => Self::Escape,
            _ if escaped => Self::Ground,
            0x40..=0x7e if matches!(self, Self::Sequence) => Self::Ground,
            _ if matches!(self, Self::Sequence) => Self::Sequence,
            0xc2..=0xdf => Self::Character(1),
            0xe0..=0xef => Self::Character(2),
            0xf0..=0xf4 => Self::Character(3),
            0x80..=0xbf => match self {
                Self::Character(left) if left > 1 => Self::Character(left - 1),
                _ => Self::Ground,
            },
            _ => Self::Ground,
        }
    }
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator")
            .field("channel", &self.channel)
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}

impl Emulator {
    /// Whether the run has a terminal.
    pub const fn is_there(&self) -> bool {
        self.channel.is_some()
    }

    /// The channel that it is.
    pub const fn channel(&self) -> Option<ChannelId> {
        self.channel
    }

    /// Takes the events from `from` to the end of the log in. Returns what the terminal answers to the
    /// programs, who may have asked it something.
    pub fn append(&mut self, log: &Log, from: u64) -> Vec<u8> {
        for (seq, event) in log.range(from..log.len()) {
            self.observe(seq, event, log);
        }
        self.head.as_mut().map(|head| std::mem::take(&mut head.callbacks_mut().0)).unwrap_or_default()
    }

    fn observe(&mut self, seq: u64, event: &Event, log: &Log) {
        match event.kind {
            Kind::Window { channel, rows, columns } if self.channel.is_none() && event.task == TaskId::LAB => {
                let (rows, columns) = size(rows, columns);
                self.channel = Some(channel);
                self.head = Some(Parser::new_with_callbacks(rows, columns, 0, Answers::default()));
                self.keep();
            }
            Kind::Window { channel, .. } if self.channel == Some(channel) => {}
            Kind::Read { channel, data, .. } if event.task == TaskId::LAB && self.channel == Some(channel) => {
                let bytes = log.bytes(data);
                self.state = bytes.iter().fold(self.state, |state, byte| state.after(*byte));
                self.since.0 += bytes.len();
            }
            _ => return,
        }
        self.events.push(seq as u32);
        self.since.1 += 1;
        if let Some(head) = &mut self.head {
            feed(head, event, log);
        }
        if self.state == State::Ground && (self.since.0 >= SPACING || self.since.1 >= EVENTS) {
            self.keep();
        }
    }

    fn keep(&mut self) {
        if let Some(head) = &self.head {
            self.kept.push(Kept { count: self.events.len(), screen: Box::new(head.screen().clone()) });
            self.since = (0, 0);
        }
    }

    /// Goes to where so many events of the log have been applied.
    pub fn seek(&mut self, log: &Log, applied: u64) {
        let count = self.events.partition_point(|seq| u64::from(*seq) < applied);
        if count == self.events.len() {
            self.past = None;
            return;
        }
        if self.past.as_ref().is_some_and(|past| past.count == count) {
            return;
        }
        let after = self.kept.partition_point(|kept| kept.count <= count);
        let Some(kept) = after.checked_sub(1).and_then(|at| self.kept.get(at)) else {
            // Before the terminal there is nothing to show.
            self.past = Some(Past { count, parser: Parser::new(Parser::DEFAULT_ROWS, Parser::DEFAULT_COLS, 0) });
            return;
        };
        let near = self.past.take().filter(|past| (kept.count..=count).contains(&past.count));
        let mut past = near.unwrap_or_else(|| {
            let mut parser = Parser::new(Parser::DEFAULT_ROWS, Parser::DEFAULT_COLS, 0);
            *parser.screen_mut() = kept.screen.as_ref().clone();
            Past { count: kept.count, parser }
        });
        for seq in &self.events[past.count..count] {
            if let Some(event) = log.get(u64::from(*seq)) {
                feed(&mut past.parser, event, log);
            }
        }
        past.count = count;
        self.past = Some(past);
    }

    /// What it shows at the cursor; none if the run has no terminal.
    pub fn screen(&self) -> Option<&Screen> {
        let past = self.past.as_ref().map(|past| past.parser.screen());
        past.or_else(|| self.head.as_ref().map(Parser::screen))
    }
}

fn feed<C: Callbacks>(parser: &mut Parser<C>, event: &Event, log: &Log) {
    match event.kind {
        Kind::Window { rows, columns, .. } => {
            let (rows, columns) = size(rows, columns);
            parser.set_size(rows, columns);
        }
        Kind::Read { data, .. } => parser.process(log.bytes(data)),
        _ => {}
    }
}

fn size(rows: u16, columns: u16) -> (NonZeroU16, NonZeroU16) {
    let within = |n: u16, most: u16| NonZeroU16::new(n.min(most)).unwrap_or(NonZeroU16::MIN);
    (within(rows, LARGEST.0), within(columns, LARGEST.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChannelKind, Header, Pen, Via};

    /// A log in which the lab reads these pieces, two columns of window for each size.
    fn log(pieces: &[&[u8]]) -> Log {
        let header = Header { lab: "init".into(), lab_pid: 1, ..Header::default() };
        let mut pen = Pen::new(&header);
        let name = pen.intern("terminal");
        let channel = ChannelId::from_index(0);
        let lab = |kind| Event { t_ns: 0, ret: 0, task: TaskId::LAB, call: None, kind };
        let kind = ChannelKind::Terminal;
        pen.write(lab(Kind::Create { channel, kind, name, capacity: 0, messages: false, found: false }));
        pen.write(lab(Kind::Window { channel, rows: 24, columns: 80 }));
        for (n, piece) in pieces.iter().enumerate() {
            let data = pen.keep(piece);
            pen.write(lab(Kind::Read { channel, via: Via::Fd(-1), bytes: piece.len() as u64, data }));
            if n == 20_000 {
                pen.write(lab(Kind::Window { channel, rows: 30, columns: 100 }));
            }
        }
        let mut log = Log::new(header);
        log.append(&pen.take());
        log
    }

    #[test]
    fn any_point_shows_what_an_emulator_shows_that_was_fed_up_to_there() {
        // Sequences and characters are cut anywhere.
        let text: Vec<u8> = (0..9_000)
            .flat_map(|n| format!("\x1b[3{}mline {n} \u{65e5}\u{e9}\x1b[0m\x1b]0;t{n}\x07\r\n", n % 8).into_bytes())
            .collect();
        let pieces: Vec<&[u8]> = text.chunks(7).collect();
        let log = log(&pieces);
        let mut emulator = Emulator::default();
        emulator.append(&log, 0);
        assert!(emulator.kept.len() > 2, "the test must cross kept screens");
        for applied in [2, 3, 100, 40_000, 39_999, 16_390, 16_386, 16_384, 25_000, 25_001, log.len()] {
            let mut plain = Parser::new(Parser::DEFAULT_ROWS, Parser::DEFAULT_COLS, 0);
            for (_, event) in log.range(0..applied) {
                feed(&mut plain, event, &log);
            }
            emulator.seek(&log, applied);
            let shown = emulator.screen().expect("a screen");
            assert_eq!(shown.contents_formatted(), plain.screen().contents_formatted(), "at {applied}");
            assert_eq!(shown.size(), plain.screen().size());
        }
    }

    #[test]
    fn questions_are_answered() {
        let log = log(&[b"ab\x1b[6n\x1b[c"]);
        let mut emulator = Emulator::default();
        assert_eq!(emulator.append(&log, 0), b"\x1b[1;3R\x1b[?62;22c");
        assert_eq!(emulator.append(&log, log.len()), b"");
    }
}
