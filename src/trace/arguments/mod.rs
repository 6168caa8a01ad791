//! What a call was given, as text: flags by their names, paths in quotes, sets of signals spelt out.
//!
//! The shapes are those of the manual pages, in the kernel's order of arguments. Nothing is guessed: a
//! call without a shape is shown by its numbers, and bits without a name stay numbers.

mod names;
mod shapes;

use names::Names;
use shapes::{Shape, shapes};

use super::calls;
use super::tracee::Call;
use crate::model::{Signal, SignalSet};
use crate::sys::memory;

/// How many arguments are shown of a call that has no shape here; more than most have.
const SHOWN: usize = 4;

/// How long a path is read.
const PATH: usize = 256;

/// The arguments of a call.
pub fn text(tid: i32, call: &Call) -> String {
    let texts: Vec<String> = match shapes(&calls::name(call.number)) {
        Some(shapes) => {
            call.args.iter().zip(shapes).filter_map(|(value, shape)| shape.text(tid, *value, call)).collect()
        }
        None => call.args.iter().take(SHOWN).map(|value| number(*value)).collect(),
    };
    texts.join(", ")
}

impl Shape {
    /// An argument of this shape; `None` if the call does not look at it.
    fn text(self, tid: i32, value: u64, call: &Call) -> Option<String> {
        let bits = value as u32;
        Some(match self {
            Self::Size => (value as i64).to_string(),
            Self::Address if value == 0 => "NULL".into(),
            Self::Address => format!("{value:#x}"),
            Self::Directory if value as i32 == libc::AT_FDCWD => "AT_FDCWD".into(),
            Self::Int | Self::Directory => (value as i32).to_string(),
            Self::Path => quoted(tid, value, ""),
            Self::Queue => quoted(tid, value, "/"),
            Self::ModeIfCreated | Self::QueueLimits if !creates(call) => return None,
            Self::Mode | Self::ModeIfCreated => format!("0{bits:o}"),
            Self::Node => {
                let kind = one(bits & libc::S_IFMT, names::NODE).map_or_else(String::new, |kind| format!("{kind}|"));
                format!("{kind}0{:o}", bits & !libc::S_IFMT)
            }
            Self::Open => {
                let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][(bits & libc::O_ACCMODE as u32) as usize];
                match bits & !(libc::O_ACCMODE as u32) {
                    0 => access.into(),
                    rest => format!("{access}|{}", flags(rest, names::OPEN)),
                }
            }
            Self::Signal => Signal::new(value as i32).map_or_else(|| (value as i32).to_string(), |it| it.to_string()),
            Self::SignalSet => followed(value, memory::read_u64(tid, value), |bits| {
                let all: Vec<String> = SignalSet(bits).iter().map(|signal| signal.to_string()).collect();
                format!("[{}]", all.join(" "))
            }),
            Self::Timespec => {
                let time = memory::read_u64(tid, value).zip(memory::read_u64(tid, value.wrapping_add(8)));
                followed(value, time, |(s, ns)| format!("{{{}.{:09} s}}", s as i64, ns))
            }
            Self::Event => {
                let how =
                    memory::read_i32(tid, value.wrapping_add(8)).zip(memory::read_i32(tid, value.wrapping_add(12)));
                followed(value, how, |(signal, how)| match how {
                    libc::SIGEV_SIGNAL => {
                        format!(
                            "SIGEV_SIGNAL {}",
                            Signal::new(signal).map_or_else(|| signal.to_string(), |it| it.to_string())
                        )
                    }
                    libc::SIGEV_NONE => "SIGEV_NONE".into(),
                    libc::SIGEV_THREAD_ID => "SIGEV_THREAD_ID".into(),
                    _ => "SIGEV_THREAD".into(),
                })
            }
            Self::QueueLimits => {
                let limits =
                    memory::read_u64(tid, value.wrapping_add(8)).zip(memory::read_u64(tid, value.wrapping_add(16)));
                followed(value, limits, |(messages, bytes)| format!("{{mq_maxmsg={messages}, mq_msgsize={bytes}}}"))
            }
            Self::Key if bits == libc::IPC_PRIVATE as u32 => "IPC_PRIVATE".into(),
            Self::Key => format!("{bits:#x}"),
            Self::One(names) => one(bits, names).map_or_else(|| number(value), str::to_owned),
            Self::Flags(names) => flags(bits, names),
            Self::Permitting(names) => match bits & !0o777 {
                0 => format!("0{bits:o}"),
                rest => format!("{}|0{:o}", flags(rest, names), bits & 0o777),
            },
            Self::With(kinds, more) => {
                let all = more.iter().fold(0, |all, (bit, _)| all | bit);
                let kind = one(bits & !all, kinds).map_or_else(|| number(u64::from(bits & !all)), str::to_owned);
                match bits & all {
                    0 => kind,
                    rest => format!("{kind}|{}", flags(rest, more)),
                }
            }
        })
    }
}

/// Whether `O_CREAT` (or a file without a name) is asked for, in the call's second or third argument.
fn creates(call: &Call) -> bool {
    let at = if calls::name(call.number) == "openat" { 2 } else { 1 };
    call.args[at] as i32 & (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) != 0
}

/// What stands where a pointer leads.
fn followed<T>(pointer: u64, there: Option<T>, text: impl FnOnce(T) -> String) -> String {
    match there {
        _ if pointer == 0 => "NULL".into(),
        Some(there) => text(there),
        None => format!("{pointer:#x}"),
    }
}

fn quoted(tid: i32, pointer: u64, before: &str) -> String {
    let bytes = memory::read_string(tid, pointer, PATH);
    followed(pointer, bytes, |bytes| format!("{:?}", format!("{before}{}", String::from_utf8_lossy(&bytes))))
}

fn one(value: u32, names: Names) -> Option<&'static str> {
    names.iter().find(|(known, _)| *known == value).map(|(_, name)| *name)
}

fn flags(bits: u32, names: Names) -> String {
    let mut rest = bits;
    let mut texts = Vec::new();
    for (flag, name) in names {
        if rest & flag == *flag && *flag != 0 {
            rest &= !flag;
            texts.push((*name).to_owned());
        }
    }
    match rest {
        0 if texts.is_empty() => "0".into(),
        0 => texts.join("|"),
        rest => {
            texts.push(format!("{rest:#x}"));
            texts.join("|")
        }
    }
}

/// A number of which nothing is known: small ones as they are, others in hexadecimal.
fn number(value: u64) -> String {
    match value as i64 {
        small @ -4096..=0xffff => small.to_string(),
        _ if value >> 32 == 0xffff_ffff || (value >> 31 == 1 && value >> 32 == 0) => (value as i32).to_string(),
        _ => format!("{value:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a call of this process, which the kernel lets look at itself.
    fn of(name: &str, args: [u64; 6]) -> String {
        let number: syscalls::Sysno = name.parse().expect("a name of the kernel's table");
        let call = Call {
            number: number.id() as u64,
            name: crate::model::Sym::from_index(0),
            family: calls::Family::Plain,
            args,
        };
        text(std::process::id() as i32, &call)
    }

    const HERE: u64 = libc::AT_FDCWD as u64;

    #[test]
    fn paths_flags_and_modes() {
        let path = c"/tmp/a \"b\"".as_ptr() as u64;
        let flags = (libc::O_RDWR | libc::O_CLOEXEC) as u64;
        assert_eq!(of("openat", [HERE, path, flags, 0o600, 0, 0]), r#"AT_FDCWD, "/tmp/a \"b\"", O_RDWR|O_CLOEXEC"#);
        let flags = (libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC) as u64;
        assert_eq!(of("openat", [3, path, flags, 0o644, 0, 0]), r#"3, "/tmp/a \"b\"", O_WRONLY|O_CREAT|O_TRUNC, 0644"#);
        let fifo = u64::from(libc::S_IFIFO | 0o600);
        assert_eq!(of("mknodat", [HERE, path, fifo, 0, 0, 0]), r#"AT_FDCWD, "/tmp/a \"b\"", S_IFIFO|0600, 0"#);
        assert_eq!(of("openat", [3, 8, 0, 0, 0, 0]), "3, 0x8, O_RDONLY", "a pointer that leads nowhere");
    }

    #[test]
    fn kinds_with_flags_and_bits_without_a_name() {
        assert_eq!(of("socket", [1, 2 | libc::SOCK_CLOEXEC as u64, 0, 0, 0, 0]), "AF_UNIX, SOCK_DGRAM|SOCK_CLOEXEC, 0");
        assert_eq!(of("futex", [0x1000, 128, 2, 0, 0, 0]), "0x1000, FUTEX_WAIT|FUTEX_PRIVATE_FLAG, 2, NULL, NULL, 0");
        assert_eq!(of("msgget", [7, 0o1600, 0, 0, 0, 0]), "0x7, IPC_CREAT|0600");
        assert_eq!(of("wait4", [u64::MAX, 0, 0x1_0001, 0, 0, 0]), "-1, NULL, WNOHANG|0x10000, NULL");
        assert_eq!(of("lseek", [4, 10, 77, 0, 0, 0]), "4, 10, 77");
    }

    #[test]
    fn signals_sets_and_times() {
        let set = [1_u64 << 14 | 1 << 33];
        assert_eq!(
            of("rt_sigprocmask", [0, set.as_ptr() as u64, 0, 8, 0, 0]),
            "SIG_BLOCK, [SIGTERM SIGRTMIN], NULL, 8"
        );
        assert_eq!(of("kill", [5, 9, 0, 0, 0, 0]), "5, SIGKILL");
        assert_eq!(of("kill", [u64::MAX, 0, 0, 0, 0, 0]), "-1, 0");
        let time = [1_u64, 500];
        assert_eq!(of("nanosleep", [time.as_ptr() as u64, 0, 0, 0, 0, 0]), "{1.000000500 s}, NULL");
    }
}
