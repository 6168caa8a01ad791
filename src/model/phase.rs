//! What is done about signals: dispositions, changes of masks, the phases of a signal's life, and what
//! the user keeps back.

/// What a process does about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Disposition {
    /// What the signal does by itself.
    #[default]
    Default,
    /// Nothing.
    Ignore,
    /// A function of the program.
    Handler,
}

impl Disposition {
    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Ignore => "ignore",
            Self::Handler => "handler",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Default, Self::Ignore, Self::Handler].into_iter().find(|it| it.as_str() == text)
    }
}

/// In which way a mask was changed (sigprocmask(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MaskHow {
    /// `SIG_BLOCK`.
    Block,
    /// `SIG_UNBLOCK`.
    Unblock,
    /// `SIG_SETMASK`.
    Set,
}

impl MaskHow {
    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::Set => "set",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Block, Self::Unblock, Self::Set].into_iter().find(|how| how.as_str() == text)
    }
}

/// What becomes of a call that a signal has interrupted (signal(7), "Interruption of system calls and
/// library functions by signal handlers").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Then {
    /// It begins again.
    Restart,
    /// It goes on where it was: after a stop, with the time that was left.
    Continue,
    /// It fails with EINTR, because `SA_RESTART` was not set.
    Eintr,
    /// It fails with EINTR, because it is a call that is never restarted after a handler.
    EintrAlways,
}

impl Then {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Restart, Self::Continue, Self::Eintr, Self::EintrAlways];

    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Continue => "continue",
            Self::Eintr => "eintr",
            Self::EintrAlways => "eintr-always",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|then| then.as_str() == text)
    }
}

/// The phases of a signal's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It was sent.
    Generated,
    /// It waits, because it is blocked.
    Pending,
    /// It was taken out of the queue; what will be done about it is still open.
    Dequeued,
    /// It is delivered: what its disposition says is done now.
    Delivered,
    /// The handler is about to execute its first instruction.
    Handler,
    /// The handler has returned.
    Returned,
    /// The handler was left without returning: by `siglongjmp` or the like.
    Left,
    /// It was thrown away, because it is ignored.
    Ignored,
    /// Its default action was taken.
    Default,
    /// The user of the lab threw it away.
    Suppressed,
    /// The user of the lab put another signal in its place, which is generated next.
    Replaced,
    /// It was sent while one of the same number was pending already: a standard signal is a bit, not a
    /// counter.
    Coalesced,
    /// It was taken out of the queue by a call that waits for signals, or read from a signalfd: nothing
    /// else is done about it.
    Accepted,
    /// It was thrown away because another signal undoes it: a stop before SIGCONT, SIGCONT before a stop;
    /// because nobody was left to take it; or because it was sent to process 1 of a PID namespace, which has
    /// no handler for it (pid_namespaces(7)).
    Discarded,
    /// It was delivered, but its handler could not be entered: the frame could not be written where its stack
    /// is. The kernel forces SIGSEGV instead.
    NoFrame,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 15] = [
        Self::Generated,
        Self::Pending,
        Self::Dequeued,
        Self::Delivered,
        Self::Handler,
        Self::Returned,
        Self::Left,
        Self::Ignored,
        Self::Default,
        Self::Suppressed,
        Self::Replaced,
        Self::Coalesced,
        Self::Accepted,
        Self::Discarded,
        Self::NoFrame,
    ];

    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Pending => "pending",
            Self::Dequeued => "dequeued",
            Self::Delivered => "delivered",
            Self::Handler => "handler",
            Self::Returned => "returned",
            Self::Left => "left",
            Self::Ignored => "ignored",
            Self::Default => "default",
            Self::Suppressed => "suppressed",
            Self::Replaced => "replaced",
            Self::Coalesced => "coalesced",
            Self::Accepted => "accepted",
            Self::Discarded => "discarded",
            Self::NoFrame => "no-frame",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

/// What the user of the lab keeps a task from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Hold {
    /// Nothing.
    #[default]
    Nothing,
    /// Its next step.
    Steps,
    /// Taking a signal; it does everything else.
    Deliveries,
}

impl Hold {
    /// Its name in a recording.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Steps => "steps",
            Self::Deliveries => "deliveries",
        }
    }

    /// The one with that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Nothing, Self::Steps, Self::Deliveries].into_iter().find(|hold| hold.as_str() == text)
    }
}
