//! What each statement does: one node to one [`Op`]. Blocks are compiled by the caller.

use std::ops::Range;

use kdl::{KdlEntry, KdlValue};

use super::node::{Node, Spanned, key_range, string, written};
use super::scope::Resolver;
use crate::scenario::{Compare, HANDLER, MAX_TEXT, Op, RETURNED, Statement, Value, errno, words};

/// The most bytes that one `read` or `write` moves.
const MAX_TRANSFER: i64 = 1 << 20;
pub(super) const TRANSFER: Range<i64> = 0..MAX_TRANSFER + 1;
const I32: Range<i64> = i32::MIN as i64..i32::MAX as i64 + 1;

impl Resolver<'_, '_> {
    /// The operation of a statement that has no block.
    pub(super) fn simple(&mut self, node: &Node<'_>) -> Option<Op> {
        match node.word.name {
            "exec" | "wait" | "exit" | "_exit" | "setpgid" | "setsid" | "subreaper" | "chdir" | "umask" | "nice" => {
                self.process_op(node)
            }
            "ignore" | "default" | "block" | "unblock" | "kill" | "raise" | "fault" | "pause" | "alarm"
            | "sigqueue" | "sigwait" | "signalfd" | "setitimer" => self.signal_op(node),
            "set" | "add" | "sleep" | "note" | "label" | "barrier" => self.control_op(node),
            "read" | "write" | "print" | "perror" | "open" | "poll" => self.transfer_op(node),
            "socketpair" | "socket" | "bind" | "listen" | "accept" | "connect" | "send" | "recv" | "sendto"
            | "recvfrom" | "shutdown" | "send-fd" | "recv-fd" => self.socket_op(node),
            "msgget" | "msgsnd" | "msgrcv" | "msgctl" | "shmget" | "shmat" | "shmdt" | "shmctl" | "semget"
            | "semctl" | "semop" => self.system_v_op(node),
            "mq_open" | "mq_send" | "mq_receive" | "mq_notify" | "mq_unlink" | "shm_open" | "shm_unlink" | "mmap"
            | "munmap" | "sem_open" | "sem_wait" | "sem_timedwait" | "sem_post" | "sem_unlink" => self.posix_op(node),
            "load" | "store" | "store-text" | "atomic-add" => self.memory_op(node),
            "fcntl-lock" | "fcntl-getlk" | "flock" => self.lock_op(node),
            _ => self.descriptor_op(node),
        }
    }

    fn process_op(&mut self, node: &Node<'_>) -> Option<Op> {
        let first = node.args.first().copied();
        Some(match node.word.name {
            "exec" => Op::Exec { argv: self.argv(node)? },
            "wait" => {
                let nohang = self.report.flag(node, "nohang");
                let who = match first {
                    Some(entry) => Some(self.target(entry)?),
                    None => None,
                };
                Op::Wait { who, nohang }
            }
            word @ ("exit" | "_exit") => {
                Op::Exit { code: self.number(first?, "the exit status", I32)?, flush: word == "exit" }
            }
            "setpgid" => {
                let (target, group) = (self.target(first?), self.target(node.args[1]));
                Op::Setpgid { target: target?, group: group? }
            }
            "setsid" => Op::Setsid,
            "subreaper" => Op::Subreaper,
            "chdir" => Op::Chdir { path: self.report.path(first?, "the path")? },
            "umask" => Op::Umask { mask: self.umask(first?)? },
            _ => Op::Nice { by: self.report.integer(first?, "the change", -40..41)? as i32 },
        })
    }

    fn argv(&mut self, node: &Node<'_>) -> Option<Vec<String>> {
        let before = self.report.problems.len();
        let mut argv = Vec::with_capacity(node.args.len());
        for (index, entry) in node.args.iter().enumerate() {
            let text = string(entry).map_or_else(|| written(entry), str::to_owned);
            if text.contains('\0') {
                self.report.error(entry.range(), "an argument cannot hold a zero byte", None);
            } else if index == 0 && text.is_empty() {
                self.report.error(entry.range(), "the program's name is empty", None);
            }
            argv.push(text);
        }
        (self.report.problems.len() == before).then_some(argv)
    }

    /// Digits alone are octal, as in the shell and in umask(2).
    fn umask(&mut self, entry: &KdlEntry) -> Option<u32> {
        let text = string(entry).map_or_else(|| written(entry), str::to_owned);
        let mask = match entry.value() {
            KdlValue::Integer(number) if !text.bytes().all(|byte| byte.is_ascii_digit()) => u32::try_from(*number).ok(),
            _ => u32::from_str_radix(&text, 8).ok(),
        };
        let mask = mask.filter(|mask| *mask <= 0o777);
        if mask.is_none() {
            let help = Some("it is octal, from 000 to 777".to_owned());
            self.report.error(entry.range(), format!("`{text}` is no mask of permissions"), help);
        }
        mask
    }

    fn transfer_op(&mut self, node: &Node<'_>) -> Option<Op> {
        let first = node.args[0];
        Some(match node.word.name {
            "read" => self.read(node)?,
            "write" => {
                let fd = self.descriptor(first);
                let (text, bytes) = self.padded(node, node.args[1])?;
                Op::Write { fd: fd?, text, bytes }
            }
            "print" => Op::Print { text: self.value(first)? },
            "perror" => Op::Perror { text: self.value(first)? },
            "open" => self.open(node)?,
            _ => {
                let fds: Vec<_> = node.args.iter().map(|entry| self.descriptor(entry)).collect();
                let timeout = match node.option("timeout") {
                    Some(entry) => Some(self.report.seconds(entry, "the timeout")?),
                    None => None,
                };
                Op::Poll { fds: fds.into_iter().collect::<Option<_>>()?, timeout }
            }
        })
    }

    /// The operation of `read`; the others that receive bytes take the same.
    pub(super) fn read(&mut self, node: &Node<'_>) -> Option<Op> {
        let fd = self.descriptor(node.args[0]);
        let into = self.assigned_option(node, "into").ok()?;
        let bytes = self.number_option(node, "bytes", TRANSFER).ok()?;
        if let (Some(_), Some(Value::Number(count)), Some(entry)) = (into, &bytes, node.option("bytes"))
            && *count > MAX_TEXT as i64
        {
            self.report.error(entry.range(), format!("a variable holds at most {MAX_TEXT} bytes"), None);
        }
        let until_eof = match node.option("until") {
            Some(entry) if string(entry) != Some("eof") => {
                let said = format!("a read ends at end-of-file, not at `{}`", written(entry));
                self.report.error(entry.range(), said, Some("write `until=eof`".to_owned()));
                return None;
            }
            until => until.is_some(),
        };
        Some(Op::Read { fd: fd?, bytes, until_eof, into })
    }

    fn open(&mut self, node: &Node<'_>) -> Option<Op> {
        let path = self.report.path(node.args[1], "the path");
        let access = self.access(node.args[2]);
        let (_, fd) = self.new_descriptor(node.args[0])?;
        Some(Op::Open {
            fd,
            path: path?,
            access: access?,
            create: self.report.flag(node, "create"),
            truncate: self.report.flag(node, "truncate"),
            append: self.report.flag(node, "append"),
            nonblock: self.report.flag(node, "nonblock"),
        })
    }

    fn descriptor_op(&mut self, node: &Node<'_>) -> Option<Op> {
        let first = node.args.first().copied();
        Some(match node.word.name {
            "pipe" => {
                let (name, [read, write]) = self.new_pair(first?, ["read", "write"])?;
                Op::Pipe { name, read, write }
            }
            "pty" => {
                let (name, [master, slave]) = self.new_pair(first?, ["master", "slave"])?;
                Op::Pty { name, master, slave }
            }
            "tcsetpgrp" => {
                let (fd, group) = (self.descriptor(first?), self.target(node.args[1]));
                Op::Tcsetpgrp { fd: fd?, group: group? }
            }
            "ctty" => Op::Ctty { fd: self.descriptor(first?)? },
            "mkfifo" => Op::Mkfifo { path: self.report.path(first?, "the path")? },
            "unlink" => Op::Unlink { path: self.report.path(first?, "the path")? },
            "fflush" => Op::Fflush,
            "close" => Op::Close { fd: self.descriptor(first?)? },
            "cloexec" => Op::Cloexec { fd: self.descriptor(first?)? },
            "nonblock" => Op::Nonblock { fd: self.descriptor(first?)? },
            "dup2" => {
                let from = self.descriptor(first?);
                let to = self.dup2_target(node.args[1]);
                Op::Dup2 { from: from?, to: to? }
            }
            "pipe-size" => {
                let fd = self.descriptor(first?);
                Op::PipeSize { bytes: self.number(node.args[1], "the size", 0..I32.end)?, fd: fd? }
            }
            _ => {
                let fd = self.descriptor(first?);
                Op::Lseek { offset: self.number(node.args[1], "the offset", i64::MIN..i64::MAX)?, fd: fd? }
            }
        })
    }

    /// The second name of `dup2` may be new; one with a dot is the end of a pipe and is not.
    fn dup2_target(&mut self, entry: &KdlEntry) -> Option<crate::scenario::DescriptorId> {
        let name = self.report.text(entry, "a descriptor")?;
        if name.contains('.') {
            return self.descriptor(entry);
        }
        let name = self.report.name(entry, "a descriptor's name")?;
        self.names.descriptor_id(name)
    }

    fn control_op(&mut self, node: &Node<'_>) -> Option<Op> {
        let first = node.args[0];
        Some(match node.word.name {
            "set" => {
                let var = self.assigned(first);
                let value = self.storable(node.args[1]);
                Op::Set { var: var?, value: value? }
            }
            "add" => {
                let var = self.variable(first);
                let value = self.number(node.args[1], "what is added", i64::MIN..i64::MAX);
                Op::Add { var: var?, value: value? }
            }
            "sleep" => Op::Sleep { time: self.report.seconds(first, "the time")? },
            "note" => Op::Note { text: self.report.text(first, "a note")?.to_owned() },
            "label" => {
                let name = self.report.name(first, "a label")?.to_owned();
                if matches!(name.as_str(), "blocked" | "exit" | HANDLER | RETURNED) {
                    let help = Some("in a schedule `until` gives it another meaning".to_owned());
                    self.report.error(first.range(), format!("`{name}` cannot be a label"), help);
                    return None;
                }
                Op::Label { name }
            }
            _ => {
                let name = self.report.name(first, "a barrier's name")?;
                Op::Barrier { barrier: self.names.barrier_id(name)? }
            }
        })
    }

    /// The operation of `if`, without its blocks.
    pub(super) fn condition(&mut self, node: &Node<'_>) -> Option<Op> {
        let var = self.variable(node.args[0]);
        let compare = match string(node.args[1]) {
            Some("eq") => Some(Compare::Eq),
            Some("ne") => Some(Compare::Ne),
            Some("lt") => Some(Compare::Lt),
            Some("gt") => Some(Compare::Gt),
            _ => {
                let said = format!("unknown comparison `{}`", written(node.args[1]));
                self.report.error(node.args[1].range(), said, Some("it is `eq`, `ne`, `lt` or `gt`".to_owned()));
                None
            }
        };
        let value = self.value(node.args[2]);
        if let (Some(Compare::Lt | Compare::Gt), Some(Value::Text(_))) = (compare, &value) {
            let said = format!("`{}` compares numbers", written(node.args[1]));
            self.report.error(node.args[2].range(), said, Some("texts are compared with `eq` and `ne`".to_owned()));
            return None;
        }
        Some(Op::If { var: var?, compare: compare?, value: value?, then: Vec::new(), otherwise: Vec::new() })
    }

    /// How often a `repeat` runs its block.
    pub(super) fn times(&mut self, node: &Node<'_>) -> Option<Value> {
        self.number(node.args[0], "how often", 0..i64::from(u32::MAX) + 1)
    }

    /// `fails=` and `errno=`.
    pub(super) fn failure(&mut self, node: &Node<'_>, statement: &mut Statement) {
        if !node.word.can_fail {
            return;
        }
        let (fails, errno) = (node.option("fails"), node.option("errno"));
        if let Some(entry) = fails {
            statement.fails = self.errno(entry);
        }
        if let Some(entry) = errno {
            statement.errno = self.assigned(entry);
        }
        if let (Some(_), Some(entry)) = (fails, errno) {
            let help = Some("`fails` means one error, `errno` takes any".to_owned());
            self.report.error(key_range(entry), "`fails` and `errno` exclude each other", help);
        }
    }

    fn errno(&mut self, entry: &KdlEntry) -> Option<i32> {
        let name = string(entry).map_or_else(|| written(entry), str::to_owned);
        let number = errno::number(&name);
        if number.is_none() {
            let help = errno_help(&name);
            self.report.error(entry.range(), format!("unknown error `{name}`"), Some(help));
        }
        number
    }
}

/// What to say to a name that is no error's.
pub(super) fn errno_help(name: &str) -> String {
    let names: Vec<String> = errno::names().map(|(_, name)| name).collect();
    let upper = name.to_uppercase();
    words::suggest(&upper, names.iter().map(String::as_str)).unwrap_or_else(|| "errno(3) lists the names".to_owned())
}
