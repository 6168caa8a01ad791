//! A compiled scenario: names resolved to slots, so that the actor needs no look-up and no
//! allocation while it runs, and so that the tracer can tell a statement by its number.

use super::Op;

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
slot! {
    /// A name of something that is no descriptor: a System V object, a mapping, a named semaphore.
    /// Each process has its own idea of what the name leads to, inherited over `fork`.
    ObjectId
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
/// How many names of objects without descriptors a scenario may use.
pub const MAX_OBJECTS: usize = 64;
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
    /// The objects without descriptors by [`ObjectId`].
    pub objects: Vec<Object>,
}

/// A name of something that is no descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The name.
    pub name: String,
    /// What it leads to.
    pub kind: ObjectKind,
}

/// What a name without a descriptor leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A System V message queue (`msgget`).
    Queue,
    /// Memory: `shmget`, `shm_open`, `mmap`.
    Segment,
    /// A set of System V semaphores (`semget`).
    SemaphoreSet,
    /// A POSIX semaphore (`sem_open`).
    Semaphore,
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

impl Program {
    /// Whether it has memory that processes share, POSIX semaphores included.
    pub fn uses_memory(&self) -> bool {
        self.objects.iter().any(|object| matches!(object.kind, ObjectKind::Segment | ObjectKind::Semaphore))
    }

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
