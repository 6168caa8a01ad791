//! The keys of the run's terminal: those of a user, and those that the plan says where there is none.

use std::collections::VecDeque;

use super::engine::{Engine, Mode};
use super::{Outcome, Pace, Terminal};
use crate::sys;
use crate::trace::Tracer;

/// What is still to be typed, and whether somebody is there.
#[derive(Debug, Default)]
pub(super) struct Typing {
    attended: bool,
    pieces: VecDeque<Vec<u8>>,
}

impl Typing {
    pub(super) fn of(terminal: Option<&Terminal>) -> Self {
        terminal.map_or_else(Self::default, |terminal| Self {
            attended: terminal.attended,
            pieces: if terminal.attended { VecDeque::new() } else { pieces(&terminal.input) },
        })
    }

    /// Whether the run can always go on, because there is a terminal that a user can type at.
    pub(super) fn is_attended(&self, tracer: &Tracer) -> bool {
        self.attended && tracer.has_terminal()
    }
}

/// A line at a time, or a key that makes a signal or ends the input: what it does must have been done
/// before the next is typed.
fn pieces(input: &str) -> VecDeque<Vec<u8>> {
    let ends = |c: char| c != '\t' && c.is_control();
    input.split_inclusive(ends).map(|piece| piece.as_bytes().to_vec()).collect()
}

impl Engine {
    /// The user types.
    pub(super) fn type_by_hand(&mut self, bytes: &[u8]) {
        self.not_in_schedule("what was typed");
        self.tracer.type_at_terminal(bytes);
        self.after_typing();
        // Whoever typed is told how things stand, even if they stand as before.
        self.told = None;
    }

    pub(super) fn resize(&mut self, rows: u16, columns: u16) {
        match self.tracer.resize_terminal(rows, columns) {
            Ok(()) => self.after_typing(),
            Err(error) => self.ending = Some(Outcome::Failed(error.to_string())),
        }
    }

    /// Who was woken by it stops soon. Where everybody may run anyway nothing waits for that.
    fn after_typing(&mut self) {
        if self.serial || self.mode != Mode::Playing(Pace::Full) {
            match self.settle() {
                Ok(()) => self.after_step(),
                Err(error) => self.ending = Some(Outcome::Failed(error.to_string())),
            }
        }
    }

    /// Types the next piece of what the plan says. Returns whether there was one.
    pub(super) fn type_next(&mut self) -> sys::Result<bool> {
        if !self.tracer.has_terminal() {
            return Ok(false);
        }
        let Some(piece) = self.typing.pieces.pop_front() else { return Ok(false) };
        self.tracer.type_at_terminal(&piece);
        self.settle()?;
        self.after_step();
        Ok(true)
    }

    /// Where nobody types any more, whoever reads the terminal learns of it. Returns whether somebody did.
    pub(super) fn leave_terminal(&mut self) -> sys::Result<bool> {
        if self.typing.attended || !self.tracer.somebody_reads_terminal() {
            return Ok(false);
        }
        self.tracer.leave_terminal();
        self.settle()?;
        self.after_step();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_and_keys_are_typed_apart() {
        let pieces: Vec<_> = super::pieces("cat\nhe\tllo\n\u{3}x\u{4}").into();
        let texts: Vec<_> = pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect();
        assert_eq!(texts, ["cat\n", "he\tllo\n", "\u{3}", "x\u{4}"]);
    }
}
