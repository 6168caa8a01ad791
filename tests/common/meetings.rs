//! Logs of runs that meet at sockets, queues, memory, semaphores and locks.

use proclab::model::{
    Access, Asked, ChannelId, ChannelKind, End, FdFlags, Kind, LockKind, LockMode, Log, MessageType, TaskId, Told, Via,
    Why,
};

use super::{Writer, header};

impl Writer {
    fn made(&mut self, task: TaskId, call: &str, kind: ChannelKind, name: &str, capacity: u64) -> ChannelId {
        let channel = ChannelId::from_index(self.channels);
        self.channels += 1;
        let name = self.pen.intern(name);
        let messages = matches!(kind, ChannelKind::Udp | ChannelKind::Mq | ChannelKind::Msg);
        self.event(task, call, 0, Kind::Create { channel, kind, name, capacity, messages, found: false });
        channel
    }

    pub fn open_end(&mut self, task: TaskId, call: &str, fd: i32, channel: ChannelId, end: End) {
        let flags = FdFlags::default();
        self.event(task, call, i64::from(fd), Kind::Open { fd, channel, end, access: Access::ReadWrite, flags });
    }

    fn socket(&mut self, task: TaskId, kind: ChannelKind, name: &str, fd: i32) -> ChannelId {
        let channel = self.made(task, "socket", kind, name, 0);
        self.open_end(task, "socket", fd, channel, End::First);
        channel
    }

    fn send(&mut self, task: TaskId, call: &str, channel: ChannelId, via: Via, text: &str) {
        let data = self.pen.keep(text.as_bytes());
        let bytes = text.len() as u64;
        self.event(task, call, bytes as i64, Kind::Write { channel, via, bytes, data });
    }

    fn receive(&mut self, task: TaskId, call: &str, channel: ChannelId, via: Via, text: &str) {
        let data = self.pen.keep(text.as_bytes());
        let bytes = text.len() as u64;
        self.event(task, call, bytes as i64, Kind::Read { channel, via, bytes, data });
    }

    fn address(&mut self, task: TaskId, call: &str, channel: ChannelId, end: End, address: &str) {
        let address = self.pen.intern(address);
        self.event(task, call, 0, Kind::Address { channel, end, address });
    }

    fn get(&mut self, task: TaskId, call: &str, channel: ChannelId, id: i32) {
        self.event(task, call, i64::from(id), Kind::Get { channel, id });
    }

    fn attach(&mut self, task: TaskId, call: &str, channel: ChannelId, bytes: u64, access: Access) {
        self.event(task, call, 0, Kind::Attach { channel, address: 0x7000_0000, bytes, offset: 0, access });
    }

    fn sem(&mut self, task: TaskId, channel: ChannelId, index: u32, delta: i32, value: i32) {
        self.event(task, "semop", 0, Kind::Sem { channel, index, delta, value, undo: index == 1 });
    }

    fn lock(&mut self, task: TaskId, channel: ChannelId, kind: LockKind, mode: LockMode, start: u64, len: u64) {
        let call = if kind == LockKind::Flock { "flock" } else { "fcntl" };
        self.event(task, call, 0, Kind::Lock { channel, fd: 3, kind, mode, start, len });
    }

    pub fn load(&mut self, task: TaskId, channel: ChannelId, offset: u64, value: u64) {
        let data = self.pen.keep(&value.to_le_bytes());
        self.event(task, "", 0, Kind::Load { channel, offset, data });
    }

    pub fn store(&mut self, task: TaskId, channel: ChannelId, offset: u64, old: u64, new: u64) {
        let data = self.pen.keep(&[old.to_le_bytes(), new.to_le_bytes()].concat());
        self.event(task, "", 0, Kind::Store { channel, offset, data });
    }

    /// A segment that is mapped where it is made.
    pub fn segment(&mut self, task: TaskId, name: &str) -> ChannelId {
        let channel = self.made(task, "mmap", ChannelKind::Shm, name, 4096);
        self.attach(task, "mmap", channel, 4096, Access::ReadWrite);
        channel
    }
}

/// A server, two clients of which one still waits, datagrams of which one is lost, and a descriptor
/// that travels.
pub fn sockets() -> Log {
    let mut w = Writer::new(header("sockets/all", ""));
    let server = w.start("server", 2);
    let client = w.start("client", 3);
    let late = w.start("late", 4);
    let srv = w.socket(server, ChannelKind::Tcp, "srv", 3);
    w.address(server, "bind", srv, End::First, "127.0.0.1:5000");
    w.event(server, "listen", 0, Kind::Listen { channel: srv, backlog: 1 });
    w.block(server, "accept4", Some(srv), None, Why::NoPeer);
    let conn = w.socket(client, ChannelKind::Tcp, "conn", 3);
    w.event(client, "connect", 0, Kind::Connect { channel: conn, to: Some(srv), address: None });
    w.unblock(server, "accept4", Some(srv));
    w.event(server, "accept4", 4, Kind::Accept { channel: srv, connection: conn });
    w.open_end(server, "accept4", 4, conn, End::Second);
    w.address(server, "accept4", conn, End::Second, "127.0.0.1:5000");
    let wants = w.socket(late, ChannelKind::Tcp, "conn#2", 3);
    w.event(late, "connect", 0, Kind::Connect { channel: wants, to: Some(srv), address: None });
    let third = w.start("third", 5);
    w.socket(third, ChannelKind::Tcp, "conn#3", 3);
    w.block(third, "connect", Some(srv), None, Why::Backlog);
    w.send(client, "write", conn, Via::Fd(3), "GET / HTTP/1.0\r\n\r\n");
    w.receive(server, "read", conn, Via::Fd(4), "GET / ");
    w.send(server, "write", conn, Via::Fd(4), "200 OK\r\n");
    w.event(client, "shutdown", 0, Kind::Shutdown { channel: conn, end: End::First, how: Access::Write });
    let ask = w.socket(server, ChannelKind::Udp, "ask", 5);
    w.address(server, "bind", ask, End::First, "127.0.0.1:5001");
    let from = w.pen.intern("127.0.0.1:40000");
    w.send(client, "sendto", ask, Via::Socket(4, from), "what time is it?");
    w.send(client, "sendto", ask, Via::Socket(4, from), "and the date?");
    w.send(client, "sendto", ask, Via::Socket(4, from), "hello?");
    w.event(client, "sendto", 6, Kind::Drop { channel: ask, bytes: 6 });
    w.receive(server, "recvfrom", ask, Via::Socket(5, from), "what time is it?");
    let pair = w.made(server, "socketpair", ChannelKind::Unix, "pair", 0);
    w.open_end(server, "socketpair", 6, pair, End::First);
    w.open_end(server, "socketpair", 7, pair, End::Second);
    let child = w.fork(server, "server.child", 6);
    w.send(server, "write", pair, Via::Fd(6), "ping");
    let description = w.pen.next_seq() - 3;
    let pass = Kind::Pass {
        fd: 9,
        channel: conn,
        from: Some(server),
        description,
        end: End::Second,
        access: Access::ReadWrite,
        flags: FdFlags::default(),
    };
    w.event(child, "recvmsg", 4, pass);
    w.block(client, "read", Some(pair), None, Why::Empty);
    w.finish()
}

/// A System V queue from whose middle is read, and a POSIX queue with priorities.
pub fn queues() -> Log {
    let mut w = Writer::new(header("queues/all", ""));
    let sender = w.start("sender", 2);
    let receiver = w.start("receiver", 3);
    let q = w.made(sender, "msgget", ChannelKind::Msg, "q", 16384);
    w.get(sender, "msgget", q, 0);
    w.get(receiver, "msgget", q, 0);
    for (kind, text) in [(1, "msg1"), (1, "msg2"), (2, "msg3"), (2, "msg4"), (3, "msg5\n"), (1, "msg6")] {
        w.send(sender, "msgsnd", q, Via::Msg(MessageType::new(kind)), text);
    }
    w.receive(receiver, "msgrcv", q, Via::Msg(MessageType::new(2)), "msg3");
    let jobs = w.made(sender, "mq_open", ChannelKind::Mq, "/jobs", 10);
    w.open(sender, "mq_open", 3, jobs, Access::Write);
    w.open(receiver, "mq_open", 3, jobs, Access::Read);
    w.block(receiver, "mq_timedreceive", Some(jobs), None, Why::Empty);
    for (priority, text) in [(1, "low"), (9, "high"), (1, "low too")] {
        w.send(sender, "mq_timedsend", jobs, Via::Mq(3, priority), text);
    }
    w.unblock(receiver, "mq_timedreceive", Some(jobs));
    w.receive(receiver, "mq_timedreceive", jobs, Via::Mq(3, 9), "high");
    w.event(sender, "mq_unlink", 0, Kind::Unlink { channel: jobs });
    w.block(receiver, "msgrcv", Some(q), None, Why::Empty);
    w.exit(sender, 0);
    w.finish()
}

/// A POSIX queue from before the run, with two messages in it and one more since, of which one was taken.
pub fn found() -> Log {
    let mut w = Writer::new(header("queues/found", ""));
    let reader = w.start("reader", 2);
    let channel = ChannelId::from_index(w.channels);
    w.channels += 1;
    let (kind, name) = (ChannelKind::Mq, w.pen.intern("/mail"));
    let made = Kind::Create { channel, kind, name, capacity: 10, messages: true, found: true };
    w.event(reader, "mq_open", 3, made);
    w.event(TaskId::LAB, "", 0, Kind::Monitor { channel, told: Told::Unseen(2) });
    w.open(reader, "mq_open", 3, channel, Access::ReadWrite);
    w.send(reader, "mq_timedsend", channel, Via::Mq(3, 4), "new");
    w.finish()
}

/// A pseudo-terminal between a user and a program that reads lines.
pub fn ptys() -> Log {
    let mut w = Writer::new(header("jobs/pty", ""));
    let user = w.start("user", 2);
    let t = w.create(user, "openat", ChannelKind::Terminal, "t", 0);
    w.open(user, "openat", 3, t, Access::ReadWrite);
    w.open_end(user, "openat", 4, t, End::Second);
    let program = w.fork(user, "user.program", 3);
    w.event(user, "close", 0, Kind::Close { fd: 4, channel: Some(t) });
    w.event(program, "close", 0, Kind::Close { fd: 3, channel: Some(t) });
    w.send(user, "write", t, Via::Fd(3), "wor");
    w.block(program, "read", Some(t), None, Why::Empty);
    let asked = Asked { output: Some(3), input: Some(0), canonical: true, ready: [true, false] };
    w.event(user, "", 0, Kind::Monitor { channel: t, told: Told::Terminal(asked) });
    w.finish()
}

/// A lost update, a semaphore that is waited for, a set, and locks on a file.
pub fn shared() -> Log {
    let mut w = Writer::new(header("shared-memory/all", ""));
    let parent = w.start("parent", 2);
    let counter = w.segment(parent, "counter");
    let free = w.made(parent, "semget", ChannelKind::Sem, "free", 1);
    w.get(parent, "semget", free, 0);
    let set = w.made(parent, "semget", ChannelKind::Sem, "forks", 3);
    w.get(parent, "semget", set, 1);
    w.sem(parent, free, 0, 1, 1);
    w.sem(parent, set, 2, 5, 5);
    let a = w.fork(parent, "parent.a", 3);
    let b = w.fork(parent, "parent.b", 4);
    w.get(a, "semget", free, 0);
    w.get(b, "semget", free, 0);
    w.load(a, counter, 0, 4);
    w.load(b, counter, 0, 4);
    w.store(a, counter, 0, 4, 5);
    w.store(b, counter, 0, 4, 5);
    for n in 0..4 {
        w.store(b, counter, 256 + 8 * n, 0, 0x2065_7265_6877_796e);
    }
    for _ in 0..9 {
        w.load(a, counter, 8, 0);
    }
    w.sem(a, free, 0, -1, 0);
    w.sem(a, set, 1, 2, 2);
    w.sem(a, set, 1, -1, 1);
    w.block(b, "semop", Some(free), Some(a), Why::Value);
    let file = w.create(parent, "", ChannelKind::File, "accounts.txt", 0);
    w.open(parent, "openat", 3, file, Access::ReadWrite);
    w.open(a, "openat", 3, file, Access::ReadWrite);
    w.lock(parent, file, LockKind::Process, LockMode::Write, 0, 100);
    w.lock(parent, file, LockKind::Flock, LockMode::Read, 0, 0);
    w.lock(a, file, LockKind::Process, LockMode::Read, 200, 0);
    w.lock(parent, file, LockKind::Process, LockMode::Unlock, 50, 1);
    w.block(a, "fcntl", Some(file), Some(parent), Why::Lock);
    w.finish()
}

/// So many clients that sleep on connections of their own to one server, and one that is ready.
pub fn clients(count: usize, connections: usize) -> Log {
    let mut w = Writer::new(header("sockets/clients", ""));
    let server = w.start("server", 2);
    let mut conns = Vec::new();
    for n in 0..connections {
        let conn = w.socket(server, ChannelKind::Tcp, &format!("conn#{n}"), 3 + n as i32);
        w.event(server, "connect", 0, Kind::Connect { channel: conn, to: None, address: None });
        conns.push(conn);
    }
    for n in 0..count {
        let client = w.start(&format!("client#{n}"), 3 + n as i32);
        let conn = conns[n % connections.max(1)];
        w.open_end(client, "socket", 3, conn, End::Second);
        w.send(client, "write", conn, Via::Fd(3), "hello");
        w.block(client, "read", Some(conn), None, Why::Empty);
    }
    w.finish()
}

/// Two processes that count in shared memory, one access at a time, for so many events.
pub fn watched(events: usize) -> Log {
    let mut w = Writer::new(header("shared-memory/long", ""));
    let parent = w.start("parent", 2);
    let counter = w.segment(parent, "counter");
    let child = w.fork(parent, "parent.child", 3);
    for n in 0..events as u64 / 4 {
        for task in [parent, child] {
            w.load(task, counter, 8 * (n % 64), n);
            w.store(task, counter, 8 * (n % 64), n, n + 1);
        }
    }
    w.finish()
}

/// Two processes that have mapped two files: one that both may only read, and one that `b` may write.
pub fn mapped_files() -> Log {
    let mut w = Writer::new(header("shared-memory/files", ""));
    let a = w.start("a", 2);
    let b = w.start("b", 3);
    for (name, access) in [("library", Access::Read), ("table", Access::ReadWrite)] {
        let file = w.made(a, "mmap", ChannelKind::File, name, 4096);
        w.attach(a, "mmap", file, 4096, Access::Read);
        w.attach(b, "mmap", file, 4096, access);
    }
    w.finish()
}
