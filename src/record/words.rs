//! Lists of words in recordings that stand for bits.

use std::borrow::Cow;

use crate::model::{FdFlags, Shares};

/// `sa_flags` by name (sigaction(2); `include/uapi/asm-generic/signal-defs.h`).
const ACTION_FLAGS: [(u32, &str); 10] = [
    (0x0000_0001, "SA_NOCLDSTOP"),
    (0x0000_0002, "SA_NOCLDWAIT"),
    (0x0000_0004, "SA_SIGINFO"),
    (0x0000_0400, "SA_UNSUPPORTED"),
    (0x0000_0800, "SA_EXPOSE_TAGBITS"),
    (0x0400_0000, "SA_RESTORER"),
    (0x0800_0000, "SA_ONSTACK"),
    (0x1000_0000, "SA_RESTART"),
    (0x4000_0000, "SA_NODEFER"),
    (0x8000_0000, "SA_RESETHAND"),
];

/// `events` of epoll_ctl(2) by name (linux/eventpoll.h).
const POLL_EVENTS: [(u32, &str); 11] = [
    (0x0000_0001, "EPOLLIN"),
    (0x0000_0002, "EPOLLPRI"),
    (0x0000_0004, "EPOLLOUT"),
    (0x0000_0008, "EPOLLERR"),
    (0x0000_0010, "EPOLLHUP"),
    (0x0000_0040, "EPOLLRDNORM"),
    (0x0000_2000, "EPOLLRDHUP"),
    (0x1000_0000, "EPOLLEXCLUSIVE"),
    (0x2000_0000, "EPOLLWAKEUP"),
    (0x4000_0000, "EPOLLONESHOT"),
    (0x8000_0000, "EPOLLET"),
];

/// The names of the bits of `sa_flags`; bits without a name come last, as one hexadecimal number.
pub(super) fn action_flags(flags: u32) -> impl Iterator<Item = Cow<'static, str>> {
    bits(&ACTION_FLAGS, flags)
}

/// The same of what an epoll instance waits for.
pub(super) fn poll_events(events: u32) -> impl Iterator<Item = Cow<'static, str>> {
    bits(&POLL_EVENTS, events)
}

/// The bit behind one of the words of [`poll_events`].
pub(super) fn poll_event(word: &str) -> Option<u32> {
    bit(&POLL_EVENTS, word)
}

fn bits(table: &'static [(u32, &'static str)], flags: u32) -> impl Iterator<Item = Cow<'static, str>> {
    let known: u32 = table.iter().fold(0, |all, (bit, _)| all | bit);
    let rest = flags & !known;
    table
        .iter()
        .filter(move |(bit, _)| flags & bit != 0)
        .map(|(_, name)| Cow::Borrowed(*name))
        .chain((rest != 0).then(|| Cow::Owned(format!("{rest:#x}"))))
}

/// The bit behind one of the words of [`action_flags`].
pub(super) fn action_flag(word: &str) -> Option<u32> {
    bit(&ACTION_FLAGS, word)
}

fn bit(table: &[(u32, &str)], word: &str) -> Option<u32> {
    if let Some(hex) = word.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16).ok();
    }
    table.iter().find(|(_, name)| *name == word).map(|(bit, _)| *bit)
}

/// The flags of a descriptor that are set.
pub(super) fn fd_flags(flags: FdFlags) -> impl Iterator<Item = Cow<'static, str>> {
    set([(flags.cloexec, "cloexec"), (flags.nonblock, "nonblock"), (flags.append, "append")])
}

/// Back from [`fd_flags`]; words of later versions are passed over.
pub(super) fn parse_fd_flags<'a>(words: impl Iterator<Item = &'a str>) -> FdFlags {
    let mut flags = FdFlags::default();
    for word in words {
        match word {
            "cloexec" => flags.cloexec = true,
            "nonblock" => flags.nonblock = true,
            "append" => flags.append = true,
            _ => {}
        }
    }
    flags
}

/// What a new task shares.
pub(super) fn shares(shares: Shares) -> impl Iterator<Item = Cow<'static, str>> {
    set([(shares.files, "files"), (shares.actions, "actions"), (shares.parent, "parent")])
}

/// Back from [`shares`]; words of later versions are passed over.
pub(super) fn parse_shares<'a>(words: impl Iterator<Item = &'a str>) -> Shares {
    let mut shares = Shares::default();
    for word in words {
        match word {
            "files" => shares.files = true,
            "actions" => shares.actions = true,
            "parent" => shares.parent = true,
            _ => {}
        }
    }
    shares
}

fn set<const N: usize>(words: [(bool, &'static str); N]) -> impl Iterator<Item = Cow<'static, str>> {
    words.into_iter().filter(|(set, _)| *set).map(|(_, word)| Cow::Borrowed(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn action_flags_are_those_of_the_c_library() {
        let flags = (libc::SA_RESTART | libc::SA_NODEFER | libc::SA_SIGINFO) as u32;
        let words: Vec<_> = action_flags(flags).collect();
        assert_eq!(words, ["SA_SIGINFO", "SA_RESTART", "SA_NODEFER"]);
    }

    #[test]
    fn every_bit_comes_back() {
        for flags in [0, 1, 0x1400_0000, 0xffff_ffff, 0x1000, 0x8000_0001] {
            let back = action_flags(flags).fold(0, |all, word| all | action_flag(&word).expect("a known word"));
            assert_eq!(back, flags);
        }
        assert_eq!(action_flag("SA_FOO"), None);
        assert_eq!(action_flag("0x"), None);
    }
}
