//! One scenario process: its descriptors, variables, handlers, and the loop over its statements.
//!
//! All state is in cells, because a handler may interrupt anything and then runs on the same state.

use std::cell::Cell;
use std::fmt::Write;

use super::book::Book;
use super::line::Line;
use super::own::Own;
use super::prepared::Prepared;
use super::registry::Registry;
use crate::scenario::{
    DescriptorId, MAX_DESCRIPTORS, MAX_PROCESSES, MAX_TEXT, MAX_VARIABLES, ProcessId, Program, Statement, Target,
    Value, VarId,
};
use crate::sys::call;
use crate::sys::call::region::Region;

/// How many bytes one `read` or `write` can move.
pub const MAX_TRANSFER: usize = 1 << 20;

/// Where a block goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// With the next statement.
    Next,
    /// After the innermost loop.
    Break,
}

/// A variable: a number or a text, whichever was put in last.
#[derive(Debug)]
struct Variable {
    number: Cell<i64>,
    text: Box<[Cell<u8>]>,
    /// The length of the text; `None` while it holds a number.
    length: Cell<Option<usize>>,
}

/// Something without a descriptor.
#[derive(Debug)]
pub(super) struct Object {
    /// The kernel's number of a System V object; -1 as long as there is none.
    pub(super) id: Cell<i32>,
    /// How many bytes of a System V segment the scenario knows of.
    pub(super) bytes: Cell<u32>,
    /// Where the memory is, of what is memory.
    pub(super) region: Region,
}

impl Default for Object {
    fn default() -> Self {
        Self { id: Cell::new(-1), bytes: Cell::new(0), region: Region::default() }
    }
}

/// A scenario process.
#[derive(Debug)]
pub struct Machine {
    pub(super) program: Program,
    pub(super) prepared: Vec<Option<Prepared>>,
    pub(super) registry: Registry,
    pub(super) book: Book,
    pub(super) objects: Box<[Object]>,
    marker: u32,
    fds: Box<[Cell<i32>]>,
    variables: Vec<Variable>,
    pub(super) children: Box<[Cell<i32>]>,
    /// Which `on` statement handles a signal: its number, plus 1.
    pub(super) handling: [Cell<usize>; 65],
    /// How many handlers run, each of which has a buffer of its own.
    depth: Cell<usize>,
    buffers: Vec<Box<[Cell<u8>]>>,
}

/// How deep handlers may interrupt each other before they share a buffer.
const BUFFERS: usize = 4;

fn cells<T: Copy>(value: T, count: usize) -> Box<[Cell<T>]> {
    (0..count).map(|_| Cell::new(value)).collect()
}

impl Machine {
    /// A process that has not begun.
    pub fn new(program: Program, marker: u32, own: &Own) -> Self {
        let variable = |_| Variable { number: Cell::new(0), text: cells(0, MAX_TEXT), length: Cell::new(None) };
        let machine = Self {
            prepared: Prepared::all(&program, own),
            registry: Registry::new(),
            book: Book::new(),
            objects: program.objects.iter().map(|_| Object::default()).collect(),
            marker,
            fds: cells(-1, MAX_DESCRIPTORS),
            variables: (0..program.variables.len().min(MAX_VARIABLES)).map(variable).collect(),
            children: cells(0, MAX_PROCESSES),
            handling: std::array::from_fn(|_| Cell::new(0)),
            depth: Cell::new(0),
            buffers: (0..BUFFERS).map(|_| cells(0, MAX_TRANSFER)).collect(),
            program,
        };
        for fd in 0..3 {
            machine.fds[fd].set(fd as i32);
        }
        machine
    }

    /// How many root processes there are.
    pub fn roots(&self) -> usize {
        self.program.roots.len()
    }

    /// The number of the marker call.
    pub const fn marker(&self) -> u32 {
        self.marker
    }

    /// Makes this process known as a root.
    pub fn register_root(&self, number: usize) {
        if let (Some(root), Ok(pid)) = (self.program.roots.get(number), call::getpid()) {
            self.registry.enter(self.registry.reserve(root.name), pid as i32);
        }
    }

    /// Runs a root process to its end.
    pub fn run_root(&self, number: usize) -> ! {
        if let Some(root) = self.program.roots.get(number) {
            self.run(&root.body);
        }
        Self::exit(0, true)
    }

    /// Runs a block.
    pub(super) fn run(&self, body: &[Statement]) -> Flow {
        for statement in body {
            // What the marker does to errno is no part of the scenario.
            let errno = call::errno();
            let _ = call::mark(self.marker, u64::from(statement.id.0), 0);
            call::set_errno(errno);
            if self.execute(statement) == Flow::Break {
                return Flow::Break;
            }
        }
        Flow::Next
    }

    /// Runs in the handler of `signal`.
    pub fn handle(&self, signal: i32) {
        let id = usize::try_from(signal).ok().and_then(|index| self.handling.get(index)).map_or(0, Cell::get);
        let statement =
            id.checked_sub(1).and_then(|id| self.program.statement(crate::scenario::StatementId(id as u16)));
        if let Some(Statement { op: crate::scenario::Op::On { body, keep_errno, .. }, .. }) = statement {
            let errno = call::errno();
            self.depth.set(self.depth.get() + 1);
            self.run(body);
            self.depth.set(self.depth.get() - 1);
            if *keep_errno {
                call::set_errno(errno);
            }
        }
    }

    /// Ends the process.
    pub(super) fn exit(code: i32, flush: bool) -> ! {
        if flush {
            let _ = call::flush();
        }
        call::exit(code)
    }

    /// What a call's answer means for the process: it goes on, or it ends as a program does that
    /// calls perror(3) and gives up.
    pub(super) fn settle(&self, statement: &Statement, answer: call::Answer) -> Option<i64> {
        if let Some(var) = statement.errno {
            self.set_number(var, answer.err().map_or(0, i64::from));
        }
        match answer {
            Ok(value) => match statement.fails {
                None => Some(value),
                Some(expected) => self.give_up(statement, "succeeded, which it should not have", Some(expected)),
            },
            Err(errno)
                if statement.fails == Some(errno) || (statement.errno.is_some() && statement.fails.is_none()) =>
            {
                None
            }
            Err(errno) => self.give_up(statement, nix::errno::Errno::from_raw(errno).desc(), None),
        }
    }

    fn give_up(&self, statement: &Statement, what: &str, expected: Option<i32>) -> ! {
        match expected {
            Some(expected) => {
                let expected = nix::errno::Errno::from_raw(expected);
                self.refuse(statement, format_args!("{what} ({expected:?} was expected)"))
            }
            None => self.refuse(statement, format_args!("{what}")),
        }
    }

    /// Ends the process with a message.
    pub(super) fn refuse(&self, statement: &Statement, why: std::fmt::Arguments<'_>) -> ! {
        let word = self.program.statements.get(statement.id.index()).map_or("", |info| info.word);
        let mut line = Line::default();
        // A line that is too long is cut; nothing else can go wrong.
        let _ = writeln!(line, "{word}: {why}");
        let _ = call::write(2, line.bytes());
        Self::exit(1, true)
    }

    /// Writes what perror(3) would, in one call: a text, and what errno says at this moment.
    pub(super) fn perror(&self, text: &Value) -> call::Answer {
        let why = nix::errno::Errno::from_raw(call::errno()).desc();
        let mut line = Line::default();
        self.with_text(text, |text| {
            // A line that is too long is cut; nothing else can go wrong.
            let _ = writeln!(line, "{}: {why}", std::str::from_utf8(text).unwrap_or("?"));
        });
        call::write(2, line.bytes())
    }

    /// Settles a call whose value is a new descriptor.
    pub(super) fn settle_fd(&self, statement: &Statement, answer: call::Answer, id: DescriptorId) {
        if let Some(fd) = self.settle(statement, answer) {
            self.set_fd(id, fd as i32);
        }
    }

    /// Settles a call that makes two descriptors.
    pub(super) fn settle_pair(&self, statement: &Statement, made: Result<[i32; 2], i32>, ids: [DescriptorId; 2]) {
        self.settle(statement, made.map(|_| 0));
        if let Ok(fds) = made {
            ids.into_iter().zip(fds).for_each(|(id, fd)| self.set_fd(id, fd));
        }
    }

    /// The path that a statement passes, or the name of a POSIX object.
    pub(super) fn path(&self, statement: &Statement) -> &std::ffi::CStr {
        let prepared = self.prepared.get(statement.id.index()).and_then(Option::as_ref);
        prepared.map_or(c"", |prepared| prepared.path.as_c_str())
    }

    pub(super) fn fd(&self, id: DescriptorId) -> i32 {
        self.fds.get(id.index()).map_or(-1, Cell::get)
    }

    pub(super) fn set_fd(&self, id: DescriptorId, fd: i32) {
        if let Some(slot) = self.fds.get(id.index()) {
            slot.set(fd);
        }
    }

    /// The PID of a target; `None` if there is no such process yet.
    pub(super) fn pid(&self, target: Target) -> Option<i32> {
        match target {
            Target::Process(name, None) => {
                let own = self.child(name);
                own.or_else(|| self.registry.pid(name, 1))
            }
            Target::Process(name, Some(instance)) => self.registry.pid(name, usize::from(instance)),
            Target::Parent => call::getppid().ok().map(|pid| pid as i32),
            Target::Myself => call::getpid().ok().map(|pid| pid as i32),
            Target::Group => Some(0),
            Target::Var(var) => i32::try_from(self.number_of(var)).ok(),
        }
    }

    fn child(&self, name: ProcessId) -> Option<i32> {
        self.children.get(name.index()).map(Cell::get).filter(|pid| *pid > 0)
    }

    /// A value as a number: a text is read as one, or is 0.
    pub(super) fn number(&self, value: &Value) -> i64 {
        match value {
            Value::Number(number) => *number,
            Value::Text(text) => text.trim().parse().unwrap_or(0),
            Value::Var(var) => self.number_of(*var),
        }
    }

    fn number_of(&self, var: VarId) -> i64 {
        let Some(variable) = self.variables.get(var.index()) else { return 0 };
        match variable.length.get() {
            None => variable.number.get(),
            Some(_) => self.with_text(&Value::Var(var), |text| {
                std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
            }),
        }
    }

    /// A value as text: a number in decimal.
    pub(super) fn with_text<T>(&self, value: &Value, with: impl FnOnce(&[u8]) -> T) -> T {
        let mut line = Line::default();
        match value {
            Value::Text(text) => return with(text.as_bytes()),
            Value::Number(number) => {
                let _ = write!(line, "{number}");
            }
            Value::Var(var) => {
                let Some(variable) = self.variables.get(var.index()) else { return with(&[]) };
                if let Some(length) = variable.length.get() {
                    let mut text = [0; MAX_TEXT];
                    let text = &mut text[..length];
                    text.iter_mut().zip(&variable.text).for_each(|(byte, cell)| *byte = cell.get());
                    return with(text);
                }
                let _ = write!(line, "{}", variable.number.get());
            }
        }
        with(line.bytes())
    }

    pub(super) fn is_text(&self, value: &Value) -> bool {
        match value {
            Value::Text(_) => true,
            Value::Number(_) => false,
            Value::Var(var) => self.variables.get(var.index()).is_some_and(|variable| variable.length.get().is_some()),
        }
    }

    pub(super) fn set_number(&self, var: VarId, number: i64) {
        if let Some(variable) = self.variables.get(var.index()) {
            variable.number.set(number);
            variable.length.set(None);
        }
    }

    pub(super) fn set_text(&self, var: VarId, text: &[u8]) {
        if let Some(variable) = self.variables.get(var.index()) {
            let length = text.len().min(MAX_TEXT);
            variable.text.iter().zip(text).for_each(|(cell, byte)| cell.set(*byte));
            variable.length.set(Some(length));
        }
    }

    /// Adds to the text of a variable, as far as there is room.
    pub(super) fn add_text(&self, var: VarId, text: &[u8]) {
        if let Some(variable) = self.variables.get(var.index()) {
            let from = variable.length.get().unwrap_or(0);
            variable.text.iter().skip(from).zip(text).for_each(|(cell, byte)| cell.set(*byte));
            variable.length.set(Some((from + text.len()).min(MAX_TEXT)));
        }
    }

    /// The buffer of the handler that runs, or of the process itself.
    pub(super) fn with_buffer<T>(&self, length: usize, with: impl FnOnce(&mut [u8]) -> T) -> T {
        let buffer = &self.buffers[self.depth.get().min(BUFFERS - 1)];
        call::with_bytes(&buffer[..length.min(MAX_TRANSFER)], with)
    }
}
