//! The statements about System V and POSIX objects.

use kdl::KdlEntry;

use super::node::{Node, Spanned, key_range};
use super::ops::TRANSFER;
use super::scope::{Reported, Resolver};
use crate::scenario::{ObjectKind, Op, Value};

/// The largest segment, in bytes.
const MAX_SEGMENT: i64 = 64 << 20;
/// The longest name of a POSIX object without its `/`, so that there is room to make it the run's own.
const MAX_NAME: usize = 200;
/// The limits of a POSIX queue that does not say (mq_overview(7)).
const MAXMSG: i64 = 10;
const MSGSIZE: i64 = 8192;
const I32: std::ops::Range<i64> = i32::MIN as i64..i32::MAX as i64 + 1;

impl Resolver<'_, '_> {
    /// The operation of a statement about System V objects.
    pub(super) fn system_v_op(&mut self, node: &Node<'_>) -> Option<Op> {
        let first = node.args[0];
        Some(match node.word.name {
            "msgget" => {
                let key = self.key(node).ok()?;
                let (name, queue) = self.new_object(first)?;
                Op::Msgget { name, queue, key }
            }
            "msgsnd" => {
                let queue = self.object(first, ObjectKind::Queue);
                let kind = self.number(node.args[1], "the type of a message", 1..i64::MAX);
                let (text, bytes) = self.padded(node, node.args[2])?;
                Op::Msgsnd { queue: queue?, kind: kind?, text, bytes, nowait: self.report.flag(node, "nowait") }
            }
            "msgrcv" => {
                let queue = self.object(first, ObjectKind::Queue);
                let kind = self.number(node.args[1], "the type of a message", i64::MIN + 1..i64::MAX);
                let into = self.assigned_option(node, "into").ok()?;
                Op::Msgrcv { queue: queue?, kind: kind?, nowait: self.report.flag(node, "nowait"), into }
            }
            "msgctl" => self.msgctl(node)?,
            "shmget" => {
                let (bytes, key) = (self.size(node.args[1]), self.key(node).ok()?);
                let (name, segment) = self.new_object(first)?;
                Op::Shmget { name, segment, bytes: bytes?, key }
            }
            "shmat" => Op::Shmat { segment: self.object(first, ObjectKind::Segment)? },
            "shmdt" => Op::Shmdt { segment: self.object(first, ObjectKind::Segment)? },
            "shmctl" => {
                let segment = self.object(first, ObjectKind::Segment);
                self.choice(node.args[1], "command", &[("remove", ())])?;
                Op::ShmctlRemove { segment: segment? }
            }
            "semget" => {
                let (count, key) = (self.number(node.args[1], "how many", 0..32_001), self.key(node).ok()?);
                let (name, set) = self.new_object(first)?;
                Op::Semget { name, set, count: count?, key }
            }
            "semctl" => self.semctl(node)?,
            _ => {
                let set = self.object(first, ObjectKind::SemaphoreSet);
                let index = self.number(node.args[1], "which of the set", 0..65_536);
                let delta = self.number(node.args[2], "what is added", -32_768..32_768);
                let (undo, nowait) = (self.report.flag(node, "undo"), self.report.flag(node, "nowait"));
                Op::Semop { set: set?, index: index?, delta: delta?, undo, nowait }
            }
        })
    }

    fn msgctl(&mut self, node: &Node<'_>) -> Option<Op> {
        let queue = self.object(node.args[0], ObjectKind::Queue);
        let set = self.choice(node.args[1], "command", &[("remove", false), ("set", true)])?;
        let bytes = self.number_option(node, "bytes", 0..i64::from(u32::MAX)).ok()?;
        match (set, bytes) {
            (true, Some(bytes)) => Some(Op::MsgctlSet { queue: queue?, bytes }),
            (false, None) => Some(Op::MsgctlRemove { queue: queue? }),
            (set, _) => {
                let span = node.option("bytes").map_or_else(|| node.args[1].range(), key_range);
                let said = if set { "`msgctl … set` lacks `bytes=`" } else { "`remove` has no `bytes`" };
                self.report.error(span, said, Some(format!("it is used as: {}", node.word.usage)));
                None
            }
        }
    }

    fn semctl(&mut self, node: &Node<'_>) -> Option<Op> {
        let set = self.object(node.args[0], ObjectKind::SemaphoreSet);
        let sets = self.choice(node.args[1], "command", &[("remove", false), ("set", true)])?;
        match (sets, node.args.as_slice()) {
            (true, [_, _, index, value]) => {
                let index = self.number(index, "which of the set", 0..65_536);
                Some(Op::SemctlSet { value: self.number(value, "the value", I32)?, set: set?, index: index? })
            }
            (false, [_, _]) => Some(Op::SemctlRemove { set: set? }),
            (_, args) => {
                let at = args[args.len() - 1].range();
                let said = "`remove` takes no more, `set` takes which of the set and its value";
                self.report.error(at, said, Some(format!("it is used as: {}", node.word.usage)));
                None
            }
        }
    }

    /// The operation of a statement about POSIX objects.
    pub(super) fn posix_op(&mut self, node: &Node<'_>) -> Option<Op> {
        let first = node.args[0];
        Some(match node.word.name {
            "mq_open" => self.mq_open(node)?,
            "mq_send" => {
                let fd = self.descriptor(first);
                let (text, bytes) = self.padded(node, node.args[1])?;
                let priority = self.number_option(node, "priority", 0..i64::from(i32::MAX)).ok()?;
                Op::MqSend { fd: fd?, text, bytes, priority: priority.unwrap_or(Value::Number(0)) }
            }
            "mq_receive" => {
                let fd = self.descriptor(first);
                Op::MqReceive { into: self.assigned_option(node, "into").ok()?, fd: fd? }
            }
            "mq_notify" => {
                let fd = self.descriptor(first);
                Op::MqNotify { signal: self.signal(node.args[1])?, fd: fd? }
            }
            "mq_unlink" => Op::MqUnlink { path: self.posix_name(first)? },
            "shm_open" => {
                let (path, bytes) = (self.posix_name(node.args[1]), self.size(node.args[2]));
                let (name, segment) = self.new_object(first)?;
                Op::ShmOpen { name, segment, path: path?, bytes: bytes? }
            }
            "shm_unlink" => Op::ShmUnlink { path: self.posix_name(first)? },
            "mmap" => {
                let bytes = self.size(node.args[1]);
                let (name, segment) = self.new_object(first)?;
                Op::Mmap { name, segment, bytes: bytes? }
            }
            "munmap" => Op::Munmap { segment: self.object(first, ObjectKind::Segment)? },
            "sem_open" => {
                let path = self.posix_name(node.args[1]);
                let value = self.number(node.args[2], "the value", 0..i64::from(u32::MAX));
                let (name, semaphore) = self.new_object(first)?;
                Op::SemOpen { name, semaphore, path: path?, value: value? }
            }
            "sem_wait" => Op::SemWait { semaphore: self.object(first, ObjectKind::Semaphore)? },
            "sem_timedwait" => {
                let semaphore = self.object(first, ObjectKind::Semaphore);
                Op::SemTimedwait { time: self.report.seconds(node.args[1], "the time")?, semaphore: semaphore? }
            }
            "sem_post" => Op::SemPost { semaphore: self.object(first, ObjectKind::Semaphore)? },
            _ => Op::SemUnlink { path: self.posix_name(first)? },
        })
    }

    fn mq_open(&mut self, node: &Node<'_>) -> Option<Op> {
        let path = self.posix_name(node.args[1]);
        // Beyond the limits of the system too: which error that is can be the lesson.
        let maxmsg = self.number_option(node, "maxmsg", 0..1 << 20).ok()?;
        let msgsize = self.number_option(node, "msgsize", TRANSFER).ok()?;
        let nonblock = self.report.flag(node, "nonblock");
        let (name, fd) = self.new_descriptor(node.args[0])?;
        Some(Op::MqOpen {
            name,
            fd,
            path: path?,
            maxmsg: maxmsg.unwrap_or(Value::Number(MAXMSG)),
            msgsize: msgsize.unwrap_or(Value::Number(MSGSIZE)),
            nonblock,
        })
    }

    /// The key of a System V object, if it has one.
    fn key(&mut self, node: &Node<'_>) -> Result<Option<i32>, Reported> {
        match node.option("key") {
            Some(entry) => {
                self.report.integer(entry, "the key", 1..I32.end).map(|key| Some(key as i32)).ok_or(Reported)
            }
            None => Ok(None),
        }
    }

    /// How large a segment is.
    fn size(&mut self, entry: &KdlEntry) -> Option<u32> {
        self.report.integer(entry, "the size", 1..MAX_SEGMENT + 1).map(|bytes| bytes as u32)
    }

    /// `"/name"`, as the manual pages demand it (shm_overview(7)).
    fn posix_name(&mut self, entry: &KdlEntry) -> Option<String> {
        let text = self.report.path(entry, "the name")?;
        let inner = text.strip_prefix('/').unwrap_or(&text);
        let good = !inner.is_empty() && inner.len() <= MAX_NAME && !inner.contains('/') && !matches!(inner, "." | "..");
        if good && inner.len() < text.len() {
            return Some(text);
        }
        let help = if good {
            format!("write \"/{inner}\"")
        } else {
            format!("it is a `/` and 1 to {MAX_NAME} bytes without another")
        };
        self.report.error(entry.range(), format!("`{text}` cannot be the name of a POSIX object"), Some(help));
        None
    }
}
