//! The vocabulary: every word of the language, what follows it, and the nearest word to a wrong one.
//!
//! One table feeds the parser, its messages and the test that keeps `docs/scenario-language.md`
//! complete.

use super::RULES;

/// Whether a block follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// It must.
    Required,
    /// It may.
    Optional,
    /// It must not.
    None,
}

/// A statement, an expectation or a node at the top of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The word itself.
    pub name: &'static str,
    /// How it is used, in one line.
    pub usage: &'static str,
    /// The fewest and the most arguments that it takes.
    pub args: (usize, usize),
    /// The options that it takes, without those that all calls take.
    pub options: &'static [&'static str],
    /// Whether a block follows.
    pub block: Block,
    /// Whether `fails=` and `errno=` make sense: it makes a call, and the call can fail.
    pub can_fail: bool,
}

const MANY: usize = usize::MAX;

const fn word(name: &'static str, usage: &'static str, args: (usize, usize)) -> Word {
    Word { name, usage, args, options: &[], block: Block::None, can_fail: false }
}

const fn call(name: &'static str, usage: &'static str, args: (usize, usize)) -> Word {
    Word { can_fail: true, ..word(name, usage, args) }
}

impl Word {
    const fn options(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }

    const fn block(self, block: Block) -> Self {
        Self { block, ..self }
    }
}

/// The statements of this version.
pub const STATEMENTS: &[Word] = &[
    call("fork", "fork NAME { … }   or   fork NAME into=VAR", (1, 1)).options(&["into"]).block(Block::Optional),
    call("exec", "exec PROG ARG …", (1, MANY)),
    call("wait", "wait [NAME] [nohang=#true]", (0, 1)).options(&["nohang"]),
    word("exit", "exit N", (1, 1)),
    word("_exit", "_exit N", (1, 1)),
    call("setpgid", "setpgid TARGET GROUP", (2, 2)),
    call("setsid", "setsid", (0, 0)),
    call("subreaper", "subreaper", (0, 0)),
    call("chdir", "chdir PATH", (1, 1)),
    word("umask", "umask MASK", (1, 1)),
    call("nice", "nice N", (1, 1)),
    call(
        "on",
        "on SIG [restart=#true] [nodefer=#true] [resethand=#true] [keep-errno=#true] [mask=\"USR1 USR2\"] { … }",
        (1, 1),
    )
    .options(&["restart", "nodefer", "resethand", "keep-errno", "mask"])
    .block(Block::Required),
    call("ignore", "ignore SIG …", (1, MANY)),
    call("default", "default SIG …", (1, MANY)),
    word("block", "block SIG …", (1, MANY)),
    word("unblock", "unblock SIG …", (1, MANY)),
    call("kill", "kill TARGET SIG [group=#true]", (2, 2)).options(&["group"]),
    call("raise", "raise SIG", (1, 1)),
    word("fault", "fault SIGSEGV|SIGBUS|SIGFPE|SIGILL", (1, 1)),
    call("sigqueue", "sigqueue TARGET SIG [value=N]", (2, 2)).options(&["value"]),
    word("pause", "pause", (0, 0)),
    word("sigsuspend", "sigsuspend { unblock SIG …; block SIG … }", (0, 0)).block(Block::Required),
    word("sigwait", "sigwait SIG … [into=VAR] [value=VAR]", (1, MANY)).options(&["into", "value"]),
    call("signalfd", "signalfd F SIG … [nonblock=#true]", (2, MANY)).options(&["nonblock"]),
    word("alarm", "alarm SECONDS [into=VAR]", (1, 1)).options(&["into"]),
    word("setitimer", "setitimer SECONDS [every=SECONDS]", (1, 1)).options(&["every"]),
    call("pipe", "pipe P", (1, 1)),
    call("mkfifo", "mkfifo PATH", (1, 1)),
    call("open", "open F PATH r|w|rw [create=#true] [truncate=#true] [append=#true] [nonblock=#true]", (3, 3))
        .options(&["create", "truncate", "append", "nonblock"]),
    call("read", "read F [bytes=N] [until=eof] [into=VAR]", (1, 1)).options(&["bytes", "until", "into"]),
    call("write", "write F \"…\" [bytes=N]", (2, 2)).options(&["bytes"]),
    call("print", "print \"…\"", (1, 1)),
    word("perror", "perror \"…\"", (1, 1)),
    call("fflush", "fflush", (0, 0)),
    call("close", "close F", (1, 1)),
    call("dup2", "dup2 F G", (2, 2)),
    call("cloexec", "cloexec F", (1, 1)),
    call("nonblock", "nonblock F", (1, 1)),
    call("pipe-size", "pipe-size F BYTES", (2, 2)),
    call("lseek", "lseek F OFFSET", (2, 2)),
    call("unlink", "unlink PATH", (1, 1)),
    call("poll", "poll F … [timeout=SECONDS]", (1, MANY)).options(&["timeout"]),
    call("pty", "pty T", (1, 1)),
    call("tcsetpgrp", "tcsetpgrp F GROUP", (2, 2)),
    call("ctty", "ctty F", (1, 1)),
    call("socketpair", "socketpair S [stream|dgram|seqpacket]", (1, 2)),
    call(
        "socket",
        "socket S unix|inet [stream|dgram|seqpacket] [rcvbuf=N] [sndbuf=N] [reuseaddr=#true] [nonblock=#true]",
        (2, 3),
    )
    .options(&["rcvbuf", "sndbuf", "reuseaddr", "nonblock"]),
    call("bind", "bind S PATH|@NAME|PORT", (2, 2)),
    call("listen", "listen S N", (2, 2)),
    call("accept", "accept S CONN", (2, 2)),
    call("connect", "connect S NAME|PATH|@NAME|PORT", (2, 2)),
    call("send", "send S \"…\" [bytes=N] [nowait=#true] [nosignal=#true]", (2, 2))
        .options(&["bytes", "nowait", "nosignal"]),
    call("recv", "recv S [bytes=N] [until=eof] [into=VAR] [nowait=#true]", (1, 1))
        .options(&["bytes", "until", "into", "nowait"]),
    call("sendto", "sendto S NAME|PATH|@NAME|PORT \"…\" [bytes=N] [nowait=#true] [nosignal=#true]", (3, 3))
        .options(&["bytes", "nowait", "nosignal"]),
    call("recvfrom", "recvfrom S [bytes=N] [into=VAR] [nowait=#true]", (1, 1)).options(&["bytes", "into", "nowait"]),
    call("shutdown", "shutdown S r|w|rw", (2, 2)),
    call("send-fd", "send-fd S F", (2, 2)),
    call("recv-fd", "recv-fd S F", (2, 2)),
    call("msgget", "msgget Q [key=N]", (1, 1)).options(&["key"]),
    call("msgsnd", "msgsnd Q TYPE \"…\" [bytes=N] [nowait=#true]", (3, 3)).options(&["bytes", "nowait"]),
    call("msgrcv", "msgrcv Q TYPE [into=VAR] [nowait=#true]", (2, 2)).options(&["into", "nowait"]),
    call("msgctl", "msgctl Q remove   or   msgctl Q set bytes=N", (2, 2)).options(&["bytes"]),
    call("shmget", "shmget M BYTES [key=N]", (2, 2)).options(&["key"]),
    call("shmat", "shmat M", (1, 1)),
    call("shmdt", "shmdt M", (1, 1)),
    call("shmctl", "shmctl M remove", (2, 2)),
    call("semget", "semget S N [key=N]", (2, 2)).options(&["key"]),
    call("semctl", "semctl S remove   or   semctl S set INDEX VALUE", (2, 4)),
    call("semop", "semop S INDEX DELTA [undo=#true] [nowait=#true]", (3, 3)).options(&["undo", "nowait"]),
    call("mq_open", "mq_open Q \"/name\" [maxmsg=10] [msgsize=8192] [nonblock=#true]", (2, 2))
        .options(&["maxmsg", "msgsize", "nonblock"]),
    call("mq_send", "mq_send Q \"…\" [bytes=N] [priority=N]", (2, 2)).options(&["bytes", "priority"]),
    call("mq_receive", "mq_receive Q [into=VAR]", (1, 1)).options(&["into"]),
    call("mq_notify", "mq_notify Q SIG", (2, 2)),
    call("mq_unlink", "mq_unlink \"/name\"", (1, 1)),
    call("shm_open", "shm_open M \"/name\" BYTES", (3, 3)),
    call("shm_unlink", "shm_unlink \"/name\"", (1, 1)),
    call("mmap", "mmap M BYTES", (2, 2)),
    call("munmap", "munmap M", (1, 1)),
    call("sem_open", "sem_open S \"/name\" N", (3, 3)),
    call("sem_wait", "sem_wait S", (1, 1)),
    call("sem_timedwait", "sem_timedwait S SECONDS", (2, 2)),
    call("sem_post", "sem_post S", (1, 1)),
    call("sem_unlink", "sem_unlink \"/name\"", (1, 1)),
    word("load", "load VAR M OFFSET", (3, 3)),
    word("store", "store M OFFSET VALUE", (3, 3)),
    word("store-text", "store-text M OFFSET \"…\"", (3, 3)),
    word("atomic-add", "atomic-add M OFFSET N [into=VAR]", (3, 3)).options(&["into"]),
    call("fcntl-lock", "fcntl-lock F read|write|unlock [start=N] [len=N] [wait=#true] [ofd=#true]", (2, 2))
        .options(&["start", "len", "wait", "ofd"]),
    call("fcntl-getlk", "fcntl-getlk F read|write [start=N] [len=N] [ofd=#true] [into=VAR]", (2, 2))
        .options(&["start", "len", "ofd", "into"]),
    call("flock", "flock F shared|exclusive|unlock [nonblock=#true]", (2, 2)).options(&["nonblock"]),
    word("set", "set VAR VALUE", (2, 2)),
    word("add", "add VAR N", (2, 2)),
    word("repeat", "repeat N { … }", (1, 1)).block(Block::Required),
    word("forever", "forever { … }", (0, 0)).block(Block::Required),
    word("if", "if VAR eq|ne|lt|gt VALUE { … }", (3, 3)).block(Block::Required),
    word("else", "else { … }", (0, 0)).block(Block::Required),
    word("break", "break", (0, 0)),
    word("sleep", "sleep SECONDS", (1, 1)),
    word("note", "note \"…\"", (1, 1)),
    word("label", "label NAME", (1, 1)),
    word("barrier", "barrier NAME", (1, 1)),
];

/// What an `expect` block may say.
pub const EXPECTATIONS: &[Word] = &[
    word("exited", "exited NAME code=N", (1, 1)).options(&["code"]),
    word("killed", "killed NAME SIG", (2, 2)),
    word("moved", "moved CHANNEL bytes=N", (1, 1)).options(&["bytes"]),
    word("output", "output NAME \"…\"", (2, 2)),
    word("printed", "printed NAME \"…\"", (2, 2)),
    word("received", "received QUEUE \"…\" …", (2, MANY)),
    word("delivered", "delivered NAME SIG [times=N]", (2, 2)).options(&["times"]),
    word("handled", "handled NAME SIG [times=N]", (2, 2)).options(&["times"]),
    word("errno", "errno NAME CALL EPIPE", (3, 3)),
    word("blocked", "blocked NAME CALL [CHANNEL]", (2, 3)),
    word("value", "value SEGMENT OFFSET N", (3, 3)),
    word("before", "before \"LABEL\" \"LABEL\"", (2, 2)),
    word("diagnosed", "diagnosed RULE", (1, 1)),
    word("not-diagnosed", "not-diagnosed RULE", (1, 1)),
    word("noted", "noted RULE", (1, 1)),
    word("clean", "clean", (0, 0)),
];

/// The nodes at the top of a file.
pub const TOP: &[Word] = &[
    word("title", "title \"…\"", (1, 1)),
    word("topic", "topic NAME", (1, 1)),
    word("level", "level 1|2|3", (1, 1)),
    word("story", "story \"…\"", (1, 1)),
    word("see", "see \"pipe(7)\" …", (1, MANY)),
    word("hint", "hint \"…\"", (1, 1)),
    word("seed", "seed N", (1, 1)),
    word("free", "free", (0, 0)),
    word("real-time", "real-time", (0, 0)),
    word("schedule", "schedule { … }", (0, 0)).block(Block::Required),
    word("predict", "predict \"…?\" [at=LABEL] { choice \"…\" [right=#true]; because \"…\" }", (1, 1))
        .options(&["at"])
        .block(Block::Required),
    word("limit", "limit [seconds=10] [processes=32] [events=100000]", (0, 0)).options(&[
        "seconds",
        "processes",
        "events",
    ]),
    word("terminal", "terminal [rows=24] [columns=80] [input=\"…\"]", (0, 0)).options(&["rows", "columns", "input"]),
    word("expect", "expect { … }", (0, 0)).block(Block::Required),
    word("process", "process NAME { … }", (1, 1)).block(Block::Required),
];

/// What a `schedule` block may say.
pub const TURNS: &[Word] = &[
    word("step", "step NAME [N]", (1, 2)),
    word("run", "run NAME until=blocked|exit|LABEL|CALL|SIG|handler|returned   or   run all", (1, 1))
        .options(&["until"]),
    word("clock", "clock", (0, 0)),
];

/// What a `predict` block may say.
pub const PREDICT: &[Word] = &[
    word("choice", "choice \"…\" [right=#true]", (1, 1)).options(&["right"]),
    word("because", "because \"…\"", (1, 1)),
];

/// What the block of a `sigsuspend` may say.
pub const SUSPEND: &[Word] = &[word("unblock", "unblock SIG …", (1, MANY)), word("block", "block SIG …", (1, MANY))];

/// Statements that cannot fail and are still places where a process can be stopped or wait.
const SURE: &[&str] = &[
    "pause",
    "alarm",
    "umask",
    "sleep",
    "sigsuspend",
    "sigwait",
    "setitimer",
    "load",
    "store",
    "store-text",
    "atomic-add",
];

/// Calls that a schedule or an expectation may name although no statement bears their name.
const OTHER_CALLS: &[&str] = &["waitpid", "signal", "sigaction", "sigprocmask", "exec", "prctl"];

/// The entry of `words` for `name`.
pub fn find(words: &'static [Word], name: &str) -> Option<&'static Word> {
    words.iter().find(|word| word.name == name)
}

/// The word of the given ones that is most like `wrong`, if one is like it at all.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase();
    let length = wrong.chars().count();
    known
        .into_iter()
        .filter_map(|word| {
            let distance = strsim::damerau_levenshtein(&lower, &word.to_lowercase());
            let part = length >= 3 && (word.starts_with(wrong) || word.ends_with(wrong));
            let bound = (length.max(word.chars().count()) / 3).max(1);
            (distance <= bound && distance < length || part)
                .then_some((if part { distance.min(1) } else { distance }, word))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `did you mean …?`, or the list of what there is if nothing is near and the list is short.
pub fn suggest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    // Words longer than any name are not compared: the distance takes time in the square of the length.
    if wrong.len() <= 100
        && let Some(word) = nearest(wrong, known.clone())
    {
        return Some(format!("did you mean `{word}`?"));
    }
    let all: Vec<&str> = known.into_iter().take(17).collect();
    match all.as_slice() {
        [one] => Some(format!("there is `{one}`")),
        [first @ .., last] if all.len() <= 16 => {
            let first: Vec<String> = first.iter().map(|word| format!("`{word}`")).collect();
            Some(format!("there are {} and `{last}`", first.join(", ")))
        }
        _ => None,
    }
}

/// Whether a system call, a C library call or a statement bears this name.
pub fn is_call(name: &str) -> bool {
    find(STATEMENTS, name).is_some_and(|word| word.can_fail || SURE.contains(&name))
        || matches!(name, "exit" | "_exit" | "block" | "unblock")
        || OTHER_CALLS.contains(&name)
        || name.parse::<syscalls::Sysno>().is_ok()
}

/// The names of calls that a scenario of this version can make, for suggestions.
pub fn call_names() -> impl Iterator<Item = &'static str> + Clone {
    STATEMENTS.iter().filter(|word| word.can_fail || SURE.contains(&word.name)).map(|word| word.name)
}

/// Whether a diagnosis bears this name.
pub fn is_rule(name: &str) -> bool {
    RULES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word() {
        let names = || STATEMENTS.iter().map(|word| word.name);
        for (wrong, right) in [
            ("wirte", Some("write")),
            ("Fork", Some("fork")),
            ("exti", Some("exit")),
            ("unblok", Some("unblock")),
            ("xyzzy", None),
            ("q", None),
        ] {
            assert_eq!(nearest(wrong, names()), right, "{wrong}");
        }
        assert_eq!(nearest("write", ["p.read", "p.write"]), Some("p.write"));
    }

    #[test]
    fn no_word_is_listed_twice() {
        let mut names: Vec<&str> = STATEMENTS.iter().map(|word| word.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn calls_are_known() {
        for call in ["write", "wait", "wait4", "read", "clone", "pipe2", "pause", "msgrcv", "store"] {
            assert!(is_call(call), "{call}");
        }
        for other in ["note", "label", "wirte", ""] {
            assert!(!is_call(other), "{other}");
        }
    }
}
