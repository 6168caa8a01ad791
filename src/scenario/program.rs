//! A compiled scenario: names resolved to slots, so that the actor needs no look-up and no
//! allocation while it runs, and so that the tracer can tell a statement by its number.

use crate::model::{Access, Signal, SignalSet};

macro_rules! slot {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u16);

        impl $name {
            /// As an index of the table it belongs to.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

slot! {
    /// A statement, numbered through the whole file in the order of the text.
    StatementId
}
slot! {
    /// A `process` or `fork` name: all processes that bear the same name share one.
    ProcessId
}
slot! {
    /// A descriptor name such as `p.read`, `log` or `stdout`. The first three are the standard ones.
    DescriptorId
}
slot! {
    /// A variable. Each process has its own copy of each.
    VarId
}
slot! {
    /// A `barrier`.
    BarrierId
}

impl DescriptorId {
    /// `stdin`.
    pub const STDIN: Self = Self(0);
    /// `stdout`.
    pub const STDOUT: Self = Self(1);
    /// `stderr`.
    pub const STDERR: Self = Self(2);
}

/// How many descriptor names a scenario may use.
pub const MAX_DESCRIPTORS: usize = 256;
/// How many variables a scenario may use.
pub const MAX_VARIABLES: usize = 64;
/// How many process names a scenario may use.
pub const MAX_PROCESSES: usize = 64;
/// How many bytes a variable can hold.
pub const MAX_TEXT: usize = 4096;

/// Everything that runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// The root processes, in the order of the text.
    pub roots: Vec<Root>,
    /// The statements by [`StatementId`].
    pub statements: Vec<Info>,
    /// Process names by [`ProcessId`]: `parent`, `child`, without the path.
    pub processes: Vec<String>,
    /// Descriptor names by [`DescriptorId`].
    pub descriptors: Vec<String>,
    /// Variable names by [`VarId`].
    pub variables: Vec<String>,
    /// The barriers by [`BarrierId`].
    pub barriers: Vec<Barrier>,
}

/// A `process` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its name.
    pub name: ProcessId,
    /// What it does.
    pub body: Vec<Statement>,
}

/// Where a statement stands and how it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The line in the file, from 1.
    pub line: u32,
    /// The statement as written, without its block, on one line.
    pub text: String,
    /// The word that it begins with: `write`, `fork`.
    pub word: &'static str,
}

/// A rendezvous of the scenario, kept by the lab itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barrier {
    /// Its name.
    pub name: String,
    /// How many processes must come before any goes on: one for each process block that has the
    /// statement, times the count of the `repeat` blocks that its `fork` stands in.
    pub parties: u32,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its number.
    pub id: StatementId,
    /// What it does.
    pub op: Op,
    /// `fails=EPIPE`: this very error is meant, and nothing else is.
    pub fails: Option<i32>,
    /// `errno=VAR`: the error number goes there (0 for none) and the process goes on.
    pub errno: Option<VarId>,
}

/// A number or a text, given in the file or held by a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// Whatever the variable holds.
    Var(VarId),
}

/// A process that a statement names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// By its block: the one that this process itself forked last, else the first that there was;
    /// with `#2`, the second that there was.
    Process(ProcessId, Option<u16>),
    /// `parent`
    Parent,
    /// `self`
    Myself,
    /// `group`
    Group,
    /// A PID in a variable.
    Var(VarId),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Equal; texts byte by byte.
    Eq,
    /// Not equal.
    Ne,
    /// Less, as numbers.
    Lt,
    /// Greater, as numbers.
    Gt,
}

/// A length of time in nanoseconds.
pub type Nanos = u64;

/// What a statement does. The names are those of the language, see `docs/scenario-language.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields bear the names of the language's own reference")]
pub enum Op {
    // processes
    Fork {
        name: ProcessId,
        body: Option<Vec<Statement>>,
        into: Option<VarId>,
    },
    Exec {
        argv: Vec<String>,
    },
    Wait {
        who: Option<Target>,
        nohang: bool,
    },
    /// `exit` flushes stdio first, `_exit` does not.
    Exit {
        code: Value,
        flush: bool,
    },
    Setpgid {
        target: Target,
        group: Target,
    },
    Setsid,
    Subreaper,
    Chdir {
        path: String,
    },
    Umask {
        mask: u32,
    },
    Nice {
        by: i32,
    },
    // signals
    On {
        signal: Signal,
        restart: bool,
        nodefer: bool,
        resethand: bool,
        mask: SignalSet,
        body: Vec<Statement>,
    },
    Ignore {
        signals: SignalSet,
    },
    Default {
        signals: SignalSet,
    },
    Block {
        signals: SignalSet,
    },
    Unblock {
        signals: SignalSet,
    },
    /// Signal 0 only asks whether the target is there. `group` makes the PID negative.
    Kill {
        target: Target,
        signal: Option<Signal>,
        group: bool,
    },
    Raise {
        signal: Signal,
    },
    Pause,
    Alarm {
        seconds: Value,
    },
    // descriptors
    Pipe {
        name: String,
        read: DescriptorId,
        write: DescriptorId,
    },
    Mkfifo {
        path: String,
    },
    Open {
        fd: DescriptorId,
        path: String,
        access: Access,
        create: bool,
        truncate: bool,
        append: bool,
        nonblock: bool,
    },
    /// One `read`, or with `until_eof` as many as it takes.
    Read {
        fd: DescriptorId,
        bytes: Option<Value>,
        until_eof: bool,
        into: Option<VarId>,
    },
    /// `bytes` cuts or repeats the text to that length.
    Write {
        fd: DescriptorId,
        text: Value,
        bytes: Option<Value>,
    },
    Print {
        text: Value,
    },
    Fflush,
    Close {
        fd: DescriptorId,
    },
    Dup2 {
        from: DescriptorId,
        to: DescriptorId,
    },
    Cloexec {
        fd: DescriptorId,
    },
    Nonblock {
        fd: DescriptorId,
    },
    PipeSize {
        fd: DescriptorId,
        bytes: Value,
    },
    Lseek {
        fd: DescriptorId,
        offset: Value,
    },
    Unlink {
        path: String,
    },
    Poll {
        fds: Vec<DescriptorId>,
        timeout: Option<Nanos>,
    },
    // control
    Set {
        var: VarId,
        value: Value,
    },
    Add {
        var: VarId,
        value: Value,
    },
    Repeat {
        times: Value,
        body: Vec<Statement>,
    },
    Forever {
        body: Vec<Statement>,
    },
    If {
        var: VarId,
        compare: Compare,
        value: Value,
        then: Vec<Statement>,
        otherwise: Vec<Statement>,
    },
    Break,
    Sleep {
        time: Nanos,
    },
    Note {
        text: String,
    },
    Label {
        name: String,
    },
    Barrier {
        barrier: BarrierId,
    },
}

impl Op {
    /// The blocks inside it, in the order of the text.
    pub fn bodies(&self) -> impl Iterator<Item = &[Statement]> {
        let (first, second): (&[Statement], &[Statement]) = match self {
            Self::Fork { body: Some(body), .. }
            | Self::On { body, .. }
            | Self::Repeat { body, .. }
            | Self::Forever { body } => (body, &[]),
            Self::If { then, otherwise, .. } => (then, otherwise),
            _ => (&[], &[]),
        };
        [first, second].into_iter().filter(|body| !body.is_empty())
    }
}

impl Program {
    /// The statement with this number, wherever it stands.
    pub fn statement(&self, id: StatementId) -> Option<&Statement> {
        fn find(body: &[Statement], id: StatementId) -> Option<&Statement> {
            body.iter().find_map(|statement| {
                if statement.id == id {
                    return Some(statement);
                }
                statement.op.bodies().find_map(|inner| find(inner, id))
            })
        }
        self.roots.iter().find_map(|root| find(&root.body, id))
    }
}
