//! What descriptors tell of that tell of something else, as `/proc/PID/fdinfo` says it (proc_pid_fdinfo(5)).

use std::fs;

use crate::model::SignalSet;

/// What the kernel says of such a descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FdInfo {
    /// eventfd(2): its count, and whether a read takes 1 only.
    Eventfd(u64, bool),
    /// signalfd(2): its mask.
    Signalfd(SignalSet),
    /// `timerfd_create(2)`, in nanoseconds: until it expires next (0 if it is disarmed), between two
    /// expirations; and how often it has expired.
    Timerfd {
        /// Until it expires next.
        left: u64,
        /// Between two further expirations.
        interval: u64,
        /// How often it has expired since it was set or read.
        ticks: u64,
    },
    /// `pidfd_open(2)`: the process, by its PID in the namespace of this process; -1 if it has ended and was
    /// reaped, 0 if it has no PID here.
    Pidfd(i32),
    /// epoll(7): the descriptors in its interest list, and what each is waited for.
    Epoll(Vec<(i32, u32)>),
}

/// Asks the kernel about a descriptor of a task; `None` for any other kind.
pub fn fdinfo(tid: i32, fd: i32) -> Option<FdInfo> {
    parse(&fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).ok()?, fd, tid)
}

fn parse(text: &str, fd: i32, tid: i32) -> Option<FdInfo> {
    let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let hex = |key: &str| u64::from_str_radix(field(key)?, 16).ok();
    if let Some(count) = hex("eventfd-count:") {
        return Some(FdInfo::Eventfd(count, field("eventfd-semaphore:") == Some("1")));
    }
    if let Some(mask) = hex("sigmask:") {
        return Some(FdInfo::Signalfd(SignalSet(mask)));
    }
    if let Some(ticks) = field("ticks:") {
        let (left, interval) = (nanoseconds(field("it_value:")?)?, nanoseconds(field("it_interval:")?)?);
        return Some(FdInfo::Timerfd { left, interval, ticks: ticks.parse().ok()? });
    }
    if let Some(pid) = field("Pid:") {
        return pid.parse().ok().map(FdInfo::Pidfd);
    }
    let interests: Vec<_> = text.lines().filter_map(interest).collect();
    let link = || fs::read_link(format!("/proc/{tid}/fd/{fd}")).ok();
    let is_epoll = || link().is_some_and(|link| link.as_os_str() == "anon_inode:[eventpoll]");
    (!interests.is_empty() || is_epoll()).then_some(FdInfo::Epoll(interests))
}

/// `(1, 500)`: seconds and nanoseconds.
fn nanoseconds(text: &str) -> Option<u64> {
    let (seconds, nanos) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    let (seconds, nanos): (u64, u64) = (seconds.trim().parse().ok()?, nanos.trim().parse().ok()?);
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// `tfd:        5 events:       1d data: …`.
fn interest(line: &str) -> Option<(i32, u32)> {
    let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
    let fd = words.next()?.parse().ok()?;
    let events = words.find(|word| *word == "events:").and_then(|_| words.next())?;
    Some((fd, u32::from_str_radix(events, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_prints_is_read() {
        let read = |text: &str| parse(text, -1, -1);
        let head = "pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1057\n";
        let of = |rest: &str| read(&format!("{head}{rest}"));
        assert_eq!(
            of("eventfd-count:                1f\neventfd-id: 3\neventfd-semaphore: 1\n"),
            Some(FdInfo::Eventfd(31, true))
        );
        let timer = "clockid: 1\nticks: 2\nsettime flags: 00\nit_value: (0, 49406829)\nit_interval: (1, 5)\n";
        let known = FdInfo::Timerfd { left: 49_406_829, interval: 1_000_000_005, ticks: 2 };
        assert_eq!(of(timer), Some(known));
        assert_eq!(of("sigmask:\t0000000000000200\n"), Some(FdInfo::Signalfd(SignalSet(0x200))));
        assert_eq!(of("Pid:\t-1\nNSpid:\t-1\n"), Some(FdInfo::Pidfd(-1)));
        let epoll = "tfd:        5 events:       1d data: ffffffffffffffff  pos:0 ino:61af sdev:7\n";
        assert_eq!(of(epoll), Some(FdInfo::Epoll(vec![(5, 0x1d)])));
        assert_eq!(of(""), None);
    }
}
