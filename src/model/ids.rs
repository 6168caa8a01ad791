//! Identities that the kernel does not reuse.
//!
//! A PID or a descriptor number means one thing now and another in a moment; a recording that is
//! read next year must not care. Tasks and channels therefore get numbers of their own, in the
//! order in which the log first names them. Strings and payload bytes live beside the events, in
//! tables that the events point into, so that an event stays small and of fixed size.

use std::num::NonZeroU32;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The identity that stands at `index` (from 0) of its table.
            ///
            /// # Panics
            /// If `index` is `u32::MAX`; no table grows that far.
            pub const fn from_index(index: usize) -> Self {
                assert!(index < u32::MAX as usize, "table full");
                match NonZeroU32::new(index as u32 + 1) {
                    Some(n) => Self(n),
                    None => unreachable!(),
                }
            }

            /// Where it stands in its table, from 0.
            pub const fn index(self) -> usize {
                self.0.get() as usize - 1
            }
        }
    };
}

id! {
    /// A task: one thread as the kernel schedules it. A process is its thread-group leader.
    TaskId
}
id! {
    /// Anything that two processes can meet at: a pipe, a file, a terminal, a socket, a queue.
    ChannelId
}
id! {
    /// An interned string of a log's [`Names`](super::Names).
    Sym
}

impl TaskId {
    /// The task that stands for the lab itself: the parent of every root process, `init` where the
    /// run has a PID namespace of its own.
    pub const LAB: Self = Self::from_index(0);
}

/// Bytes kept beside an event: a range of the log's payload bytes.
///
/// Packed to 12 bytes, so that what else an event says fits beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C, packed(4))]
pub struct Blob {
    /// Offset from the start of all payload bytes of the log.
    pub at: u64,
    /// Length in bytes.
    pub len: u32,
}

impl Blob {
    /// No bytes at all.
    pub const EMPTY: Self = Self { at: 0, len: 0 };

    /// Whether it holds no byte.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// The interned strings of a log: names of tasks, channels, programs and calls.
#[derive(Debug, Clone)]
pub struct Names {
    list: Vec<std::sync::Arc<str>>,
    index: std::collections::HashMap<std::sync::Arc<str>, Sym>,
}

/// The calls that leave the file position alone, whose symbols every log begins with.
const POSITIONED: [&str; 4] = ["pread64", "pwrite64", "preadv", "pwritev"];

impl Sym {
    /// Whether it names semctl(2).
    pub const fn is_semctl(self) -> bool {
        self.index() == POSITIONED.len()
    }

    /// Whether it names a call that says where in the file it reads or writes (pread(2)).
    pub const fn is_positioned(self) -> bool {
        self.index() < POSITIONED.len()
    }
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Self { list: Vec::new(), index: std::collections::HashMap::new() };
        for call in POSITIONED.iter().chain(&["semctl"]) {
            names.intern(call);
        }
        names
    }
}

impl Names {
    /// The symbol of `text`, made if it is new.
    pub fn intern(&mut self, text: &str) -> Sym {
        if let Some(&sym) = self.index.get(text) {
            return sym;
        }
        let sym = Sym::from_index(self.list.len());
        let shared: std::sync::Arc<str> = text.into();
        self.list.push(shared.clone());
        self.index.insert(shared, sym);
        sym
    }

    /// The string of `sym`, or `"?"` for a symbol of another log.
    pub fn get(&self, sym: Sym) -> &str {
        self.list.get(sym.index()).map_or("?", |text| text)
    }

    /// The symbol of `text`, if it has one.
    pub fn find(&self, text: &str) -> Option<Sym> {
        self.index.get(text).copied()
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The strings from the `from`th on, in the order in which they were interned.
    pub fn since(&self, from: usize) -> &[std::sync::Arc<str>] {
        self.list.get(from..).unwrap_or(&[])
    }
}
