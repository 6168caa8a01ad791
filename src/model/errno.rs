//! The names of error numbers.
//!
//! errno(3) names those that programs see. A tracer also sees the kernel's own four, which say how
//! an interrupted call is to be restarted (`include/linux/errno.h`) and never reach the program.

use std::borrow::Cow;

use nix::errno::Errno;

/// The kernel's own, as `strace` names them.
const RESTART: [(i32, &str); 4] =
    [(512, "ERESTARTSYS"), (513, "ERESTARTNOINTR"), (514, "ERESTARTNOHAND"), (516, "ERESTART_RESTARTBLOCK")];

/// The name of an error number, as `EPIPE`; `E4000` for one that has none.
pub fn errno_name(errno: i32) -> Cow<'static, str> {
    if let Some((_, name)) = RESTART.iter().find(|(number, _)| *number == errno) {
        return Cow::Borrowed(name);
    }
    match Errno::from_raw(errno) {
        Errno::UnknownErrno => Cow::Owned(format!("E{errno}")),
        known => Cow::Owned(format!("{known:?}")),
    }
}

/// The error number with this name, in capitals or not; names that share a number (`EWOULDBLOCK`) and
/// plain numbers are understood.
pub fn errno_number(name: &str) -> Option<i32> {
    let name = name.to_ascii_uppercase();
    match name.as_str() {
        "EWOULDBLOCK" => return Some(libc::EWOULDBLOCK),
        "EDEADLOCK" => return Some(libc::EDEADLOCK),
        "ENOTSUP" => return Some(libc::ENOTSUP),
        _ => {}
    }
    let number = (1..=4095).find(|number| errno_name(*number) == name);
    number.or_else(|| name.parse().ok().filter(|number| (1..=4095).contains(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_errno_3() {
        assert_eq!(errno_name(32), "EPIPE");
        assert_eq!(errno_name(11), "EAGAIN");
        assert_eq!(errno_name(512), "ERESTARTSYS");
        assert_eq!(errno_name(516), "ERESTART_RESTARTBLOCK");
        assert_eq!(errno_name(4000), "E4000");
    }

    #[test]
    fn names_are_read_back() {
        for number in [1, 4, 10, 11, 32, 95, 512, 4000] {
            assert_eq!(errno_number(&errno_name(number)), Some(number));
        }
        assert_eq!(errno_number("EWOULDBLOCK"), Some(11));
        assert_eq!(errno_number("epipe"), Some(32));
        assert_eq!(errno_number("EFOO"), None);
    }
}
