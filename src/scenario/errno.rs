//! Error numbers by name, as `fails=EPIPE` and `errno NAME CALL EPIPE` spell them (errno(3)).

use nix::errno::Errno;

/// The highest error number of Linux, EHWPOISON.
const LAST: i32 = 133;

/// The number of an error: 32 for `EPIPE`.
pub fn number(name: &str) -> Option<i32> {
    let name = match name {
        "EWOULDBLOCK" => "EAGAIN",
        "EDEADLOCK" => "EDEADLK",
        "ENOTSUP" => "EOPNOTSUPP",
        name => name,
    };
    names().find(|(_, known)| known == name).map(|(number, _)| number)
}

/// The name of an error: `EPIPE` for 32.
pub fn name(number: i32) -> Option<String> {
    names().find(|(known, _)| *known == number).map(|(_, name)| name)
}

/// Every error number and its name.
pub fn names() -> impl Iterator<Item = (i32, String)> {
    (1..=LAST)
        .map(|number| (number, Errno::from_raw(number)))
        .filter(|(_, errno)| *errno != Errno::UnknownErrno)
        .map(|(number, errno)| (number, format!("{errno:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_manual() {
        assert_eq!(number("EPIPE"), Some(libc::EPIPE));
        assert_eq!(number("EWOULDBLOCK"), Some(libc::EAGAIN));
        assert_eq!(number("ENOTSUP"), Some(libc::ENOTSUP));
        assert_eq!(number("ECHILD"), Some(libc::ECHILD));
        assert_eq!(number("EHWPOISON"), Some(libc::EHWPOISON));
        assert_eq!(number("EFOO"), None);
        assert_eq!(number("UnknownErrno"), None);
        assert!(names().count() > 120);
    }
}
