//! How a run ended.

/// What the end of a run means for whatever is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ended {
    /// Every task is gone.
    #[default]
    Done,
    /// Nobody can move any more, and nothing outside of the run will help.
    Stuck,
    /// It was cut off: by a limit, by the user, by a failure of the lab. What was left would have gone on.
    Cut,
}

impl Ended {
    const ALL: [Self; 3] = [Self::Done, Self::Stuck, Self::Cut];

    /// Its name in recordings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stuck => "stuck",
            Self::Cut => "cut",
        }
    }

    /// Back from [`as_str`](Self::as_str).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}
