//! Who is in a diagnosis, and how much it weighs.

use super::{ChannelId, TaskId};

/// How much a diagnosis weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Weight {
    /// Something is wrong.
    #[default]
    Fault,
    /// Nothing is wrong, but it is worth knowing.
    Note,
}

impl Weight {
    /// Its name in recordings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Note => "note",
        }
    }

    /// Back from [`as_str`](Self::as_str).
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Fault, Self::Note].into_iter().find(|weight| weight.as_str() == name)
    }
}

/// The tasks and channels that a diagnosis is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parties {
    /// The tasks, in the order in which the sentence names them.
    pub tasks: Vec<TaskId>,
    /// The channels, likewise.
    pub channels: Vec<ChannelId>,
}

impl Parties {
    /// As the payload of an event: the number of tasks, the tasks, the channels, each a
    /// little-endian `u32`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = std::iter::once(self.tasks.len());
        let tasks = self.tasks.iter().map(|task| task.index());
        let channels = self.channels.iter().map(|channel| channel.index());
        count.chain(tasks).chain(channels).flat_map(|n| (n as u32).to_le_bytes()).collect()
    }

    /// Back from [`to_bytes`](Self::to_bytes); what does not fit is left out.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut numbers = bytes
            .chunks_exact(4)
            .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
            .filter(|n| *n < u32::MAX as usize);
        let count = numbers.next().unwrap_or(0);
        let tasks = numbers.by_ref().take(count).map(TaskId::from_index).collect();
        Self { tasks, channels: numbers.map(ChannelId::from_index).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_come_back() {
        let parties = Parties {
            tasks: vec![TaskId::from_index(3), TaskId::from_index(0)],
            channels: vec![ChannelId::from_index(9)],
        };
        assert_eq!(Parties::from_bytes(&parties.to_bytes()), parties);
        assert_eq!(Parties::from_bytes(&[]), Parties::default());
    }
}
