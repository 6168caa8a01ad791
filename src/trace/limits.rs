//! Which limit a call went past, asked of the kernel when the call has failed.

use super::calls::Family;
use super::decode::Ended;
use super::tracer::Tracer;
use crate::model::{Kind, Mark};
use crate::sys::{ipc, memory, peek, procfs};

/// `MSGMAX` of linux/msg.h: the longest message of a System V queue unless the system says otherwise.
pub const MSGMAX: u64 = 8192;
/// `MSGMNB`: how many bytes a queue holds.
pub const MSGMNB: u64 = 16_384;
/// `SHMMAX` and `SHMALL` of linux/shm.h.
const UNLIMITED: u64 = u64::MAX - (1 << 24);
/// `HARD_MSGMAX` and `HARD_MSGSIZEMAX` of linux/ipc_namespace.h: what limits those who have
/// `CAP_SYS_RESOURCE`.
const HARD: [u64; 2] = [65_536, 16_777_216];

/// A limit, its value, and what the call asked for; 0 where it asked for one more.
type Past = (&'static str, u64, u64);

/// A number of a file below `/proc/sys`. Those of IPC objects belong to the IPC namespace of the
/// reader; where the task has another one, which was made for the run, it is the kernel's `default`.
pub(super) fn system(tid: i32, path: &str, word: usize, default: u64) -> u64 {
    let number = || {
        let text = std::fs::read_to_string(format!("/proc/sys/{path}")).ok()?;
        text.split_ascii_whitespace().nth(word)?.parse().ok()
    };
    if Tracer::shares_ipc(tid) { number().unwrap_or(default) } else { default }
}

impl Tracer {
    /// Writes which limit a failed call went past, if it was one.
    pub(super) fn write_limit(&mut self, ended: &Ended<'_>) {
        let errno = i32::try_from(-ended.ret).unwrap_or(0);
        if errno == libc::EAGAIN
            && matches!(ended.call.family, Family::Sigqueue | Family::Tgsigqueue | Family::TimerCreate)
        {
            if let Some(value) = procfs::soft_limit(ended.tid, "Max pending signals") {
                let limit = self.recorder.intern("RLIMIT_SIGPENDING");
                let kind = Kind::Limit { limit, value: value.min(i64::MAX as u64), asked: 0 };
                self.recorder.plain(ended.task, kind);
            }
            return;
        }
        if !matches!(errno, libc::E2BIG | libc::EINVAL | libc::EMSGSIZE | libc::ENOSPC | libc::EMFILE | libc::EPERM) {
            return;
        }
        let name = self.recorder.names().get(ended.call.name).to_owned();
        let Some((limit, value, asked)) = self.past(ended, &name, errno) else { return };
        let limit = self.recorder.intern(limit);
        // Recordings keep numbers of 63 bits; nothing that could be asked for is larger.
        let bounded = |number: u64| number.min(i64::MAX as u64);
        let kind = Kind::Limit { limit, value: bounded(value), asked: bounded(asked) };
        self.recorder.plain(ended.task, kind);
    }

    fn past(&self, ended: &Ended<'_>, name: &str, errno: i32) -> Option<Past> {
        let (tid, args) = (ended.tid, &ended.call.args);
        let over = |limit, value, asked| (asked > value).then_some((limit, value, asked));
        match (name, errno) {
            ("msgsnd", libc::EINVAL) => over("msgmax", system(tid, "kernel/msgmax", 0, MSGMAX), args[2]),
            ("msgget", libc::ENOSPC) => Some(("msgmni", system(tid, "kernel/msgmni", 0, 32_000), 0)),
            ("msgrcv", libc::E2BIG) => Some(("msgsz", args[2], self.longest_wanted(ended))),
            ("msgctl", libc::EPERM) => {
                let asked = memory::read_u64(tid, args[2].wrapping_add(ipc::CAPACITY_OFFSET))?;
                over("msgmnb", system(tid, "kernel/msgmnb", 0, MSGMNB), asked)
            }
            ("mq_open", libc::EINVAL) => mq_attributes(tid, args[3]),
            ("mq_open", libc::ENOSPC) => Some(("queues_max", system(tid, "fs/mqueue/queues_max", 0, 256), 0)),
            ("mq_timedsend", libc::EMSGSIZE) => Some(("mq_msgsize", self.message_size(ended)?, args[2])),
            ("mq_timedreceive", libc::EMSGSIZE) => Some(("msg_len", args[2], self.message_size(ended)?)),
            ("shmget", libc::EINVAL) => over("shmmax", system(tid, "kernel/shmmax", 0, UNLIMITED), args[1]),
            ("shmget", libc::ENOSPC) => Some(("shmmni", system(tid, "kernel/shmmni", 0, 4096), 0)),
            ("semget", libc::EINVAL) => over("semmsl", system(tid, "kernel/sem", 0, 32_000), u64::from(args[1] as u32)),
            ("semget", libc::ENOSPC) => Some(("semmni", system(tid, "kernel/sem", 3, 32_000), 0)),
            ("semop" | "semtimedop", libc::E2BIG) => over("semopm", system(tid, "kernel/sem", 2, 500), args[2]),
            ("fcntl", libc::EPERM) if ended.int(1) == libc::F_SETPIPE_SZ => {
                over("pipe-max-size", number("/proc/sys/fs/pipe-max-size")?, args[2])
            }
            (_, libc::EMFILE) => self.descriptors(ended, name),
            _ => None,
        }
    }

    /// EMFILE: too many descriptors; or, of `mq_open`, too many bytes in the queues of the user.
    fn descriptors(&self, ended: &Ended<'_>, name: &str) -> Option<Past> {
        let limit = procfs::soft_limit(ended.tid, "Max open files")?;
        let open = self.world().fds(ended.task).count() as u64;
        match name {
            // These have limits of their own, which nothing else here shares.
            _ if name.starts_with("inotify") || name.starts_with("fanotify") => None,
            "mq_open" if open < limit => {
                Some(("RLIMIT_MSGQUEUE", procfs::soft_limit(ended.tid, "Max msgqueue size")?, 0))
            }
            _ => Some(("RLIMIT_NOFILE", limit, 0)),
        }
    }

    fn message_size(&self, ended: &Ended<'_>) -> Option<u64> {
        let process = self.world().task(ended.task)?.process;
        let queue = peek::borrow(*self.tids.get(&process)?, ended.int(0)).ok()?;
        ipc::mq_facts(&queue).ok().map(|facts| facts.message_size)
    }

    /// The length of the message that a receiver without enough room would have got.
    fn longest_wanted(&self, ended: &Ended<'_>) -> u64 {
        let wanted = ended.call.args[3].cast_signed();
        let runs = self.msg_queue(ended.tid, ended.int(0)).and_then(|queue| self.world().channel(queue));
        let fits = |mark: Mark| matches!(mark, Mark::Type(kind) if wanted <= 0 || kind == wanted);
        let room = ended.call.args[2];
        let mut runs = runs.into_iter().flat_map(|queue| queue.contents.runs());
        runs.find(|run| fits(run.mark) && run.len > room).map_or(0, |run| run.len)
    }
}

/// `struct mq_attr` begins with flags, `mq_maxmsg` and `mq_msgsize`.
fn mq_attributes(tid: i32, attributes: u64) -> Option<Past> {
    let messages = memory::read_u64(tid, attributes.wrapping_add(8)).filter(|_| attributes != 0)?;
    let bytes = memory::read_u64(tid, attributes.wrapping_add(16))?;
    let limits = if procfs::may_exceed_limits(tid) {
        [("HARD_MSGMAX", HARD[0], messages), ("HARD_MSGSIZEMAX", HARD[1], bytes)]
    } else {
        [
            ("msg_max", system(tid, "fs/mqueue/msg_max", 0, 10), messages),
            ("msgsize_max", system(tid, "fs/mqueue/msgsize_max", 0, 8192), bytes),
        ]
    };
    limits.into_iter().find(|(_, value, asked)| asked > value && asked.cast_signed() > 0)
}

fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
