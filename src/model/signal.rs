//! Signals by number and name, what they do by default, and sets of them.
//!
//! Numbers are those of x86-64 and aarch64, which agree. Real-time signals are named as the C
//! library counts them: `SIGRTMIN` is 34, because glibc keeps 32 and 33 for itself.

use std::fmt;

/// A signal number, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// What a signal does when nothing else was asked for (signal(7), "Signal dispositions").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultAction {
    /// The process ends.
    Terminate,
    /// The process ends and a core dump is made where the limits allow.
    Core,
    /// Nothing happens.
    Ignore,
    /// The process stops.
    Stop,
    /// The process continues if it is stopped.
    Continue,
}

/// What travels with a signal, as [`Signal::carries`] tells from its `si_code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Nothing but its number.
    Nothing,
    /// `si_value`: the number that `sigqueue`, a timer or a message queue was given.
    Value,
    /// `si_status`: the exit status of a child, or the signal that ended, stopped or continued it.
    Status,
    /// `si_addr`: the address of a fault.
    Address,
}

impl DefaultAction {
    /// The word that signal(7) uses: `Term`, `Core`, `Ign`, `Stop` or `Cont`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "Term",
            Self::Core => "Core",
            Self::Ignore => "Ign",
            Self::Stop => "Stop",
            Self::Continue => "Cont",
        }
    }
}

const STANDARD: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The first real-time signal that a program may use, as glibc counts.
const RTMIN: u8 = 34;
/// The last signal.
const MAX: u8 = 64;

impl Signal {
    /// SIGHUP.
    pub const HUP: Self = Self(1);
    /// SIGINT.
    pub const INT: Self = Self(2);
    /// SIGTRAP.
    pub const TRAP: Self = Self(5);
    /// SIGKILL.
    pub const KILL: Self = Self(9);
    /// SIGSEGV.
    pub const SEGV: Self = Self(11);
    /// SIGPIPE.
    pub const PIPE: Self = Self(13);
    /// SIGALRM.
    pub const ALRM: Self = Self(14);
    /// SIGTERM.
    pub const TERM: Self = Self(15);
    /// SIGCHLD.
    pub const CHLD: Self = Self(17);
    /// SIGCONT.
    pub const CONT: Self = Self(18);
    /// SIGSTOP.
    pub const STOP: Self = Self(19);

    /// The signal with this number; `None` outside of 1 to 64.
    pub const fn new(number: i32) -> Option<Self> {
        if number >= 1 && number <= MAX as i32 { Some(Self(number as u8)) } else { None }
    }

    /// Its number, 1 to 64.
    pub const fn number(self) -> i32 {
        self.0 as i32
    }

    /// Every signal that has a name in signal(7), real-time signals included.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=MAX).filter(|n| *n <= 31 || *n >= RTMIN).map(Self)
    }

    /// Reads `SIGTERM`, `TERM`, `SIGRTMIN+1`, `RTMAX-2`, `SIGCLD`, `SIGPOLL` or a number.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<i32>() {
            return Self::new(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        match name {
            "CLD" => return Some(Self::CHLD),
            "POLL" => return Self::parse("IO"),
            "IOT" => return Self::parse("ABRT"),
            "32" | "33" => return name.parse().ok().and_then(Self::new),
            _ => {}
        }
        if let Some(rest) = name.strip_prefix("RTMIN") {
            let offset = if rest.is_empty() { 0 } else { rest.strip_prefix('+')?.parse::<u8>().ok()? };
            return RTMIN.checked_add(offset).filter(|n| *n <= MAX).map(Self);
        }
        if let Some(rest) = name.strip_prefix("RTMAX") {
            let offset = if rest.is_empty() { 0 } else { rest.strip_prefix('-')?.parse::<u8>().ok()? };
            return MAX.checked_sub(offset).filter(|n| *n >= RTMIN).map(Self);
        }
        STANDARD.iter().position(|known| &known[3..] == name).map(|index| Self(index as u8 + 1))
    }

    /// What it does by default.
    pub const fn default_action(self) -> DefaultAction {
        match self.0 {
            3 | 4 | 5 | 6 | 7 | 8 | 11 | 24 | 25 | 31 => DefaultAction::Core,
            17 | 23 | 28 => DefaultAction::Ignore,
            18 => DefaultAction::Continue,
            19..=22 => DefaultAction::Stop,
            _ => DefaultAction::Terminate,
        }
    }

    /// Whether it is a real-time signal, which queues instead of being a bit.
    pub const fn is_realtime(self) -> bool {
        self.0 > 31
    }

    /// Whether it is one of those that an instruction causes, which are delivered before all others
    /// (`SYNCHRONOUS_MASK` in kernel/signal.c).
    pub const fn is_synchronous(self) -> bool {
        matches!(self.0, 4 | 5 | 7 | 8 | 11 | 31)
    }

    /// What its `siginfo_t` carries besides who sent it (sigaction(2), "The `siginfo_t` argument to a
    /// SA_SIGINFO handler").
    pub const fn carries(self, code: i32) -> Carries {
        match code {
            libc::SI_QUEUE | libc::SI_TIMER | libc::SI_MESGQ => Carries::Value,
            1.. if self.0 == Self::CHLD.0 => Carries::Status,
            1.. if self.is_synchronous() => Carries::Address,
            _ => Carries::Nothing,
        }
    }

    /// Whether a program may catch, block or ignore it: not SIGKILL and not SIGSTOP.
    pub const fn is_catchable(self) -> bool {
        self.0 != 9 && self.0 != 19
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n @ 1..=31 => f.write_str(STANDARD[n as usize - 1]),
            32 | 33 => write!(f, "SIG{}", self.0),
            RTMIN => f.write_str("SIGRTMIN"),
            n => write!(f, "SIGRTMIN+{}", n - RTMIN),
        }
    }
}

/// A set of signals: bit `n - 1` stands for signal `n`, as in `/proc/PID/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);

    /// Whether `signal` is in it.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & (1 << (signal.0 - 1)) != 0
    }

    /// The same with one more.
    #[must_use]
    pub const fn with(mut self, signal: Signal) -> Self {
        self.insert(signal);
        self
    }

    /// Puts `signal` in.
    pub const fn insert(&mut self, signal: Signal) {
        self.0 |= 1 << (signal.0 - 1);
    }

    /// Takes `signal` out.
    pub const fn remove(&mut self, signal: Signal) {
        self.0 &= !(1 << (signal.0 - 1));
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its signals, lowest number first.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let lowest = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            (lowest < u64::BITS).then(|| Signal(lowest as u8 + 1))
        })
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        let mut set = Self::EMPTY;
        for signal in signals {
            set.insert(signal);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for number in 1..=64 {
            let signal = Signal::new(number).expect("in range");
            assert_eq!(Signal::parse(&signal.to_string()), Some(signal), "{signal}");
        }
    }

    #[test]
    fn names_agree_with_the_c_library() {
        for signal in Signal::all().filter(|signal| !signal.is_realtime()) {
            let theirs = nix::sys::signal::Signal::try_from(signal.number()).expect("standard");
            assert_eq!(signal.to_string(), theirs.as_str());
        }
        assert_eq!(Signal::parse("SIGRTMIN").map(Signal::number), Some(libc::SIGRTMIN()));
        assert_eq!(Signal::parse("SIGRTMAX").map(Signal::number), Some(libc::SIGRTMAX()));
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in ["", "SIG", "SIGFOO", "0", "65", "-1", "SIGRTMIN+31", "SIGRTMAX-31", "RTMIN1"] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
    }
}
