use crate::insight::replay;
use crate::model::sketch::Sketch;
use crate::model::{
    Access, Asked, ChannelKind, Disposition, End, Ended, FdFlags, How, Kind, MaskHow, Phase, Polled, Shares, Signal,
    SignalSet, Told, Wanted, Why, Word,
};

fn found(sketch: &mut Sketch) -> Vec<String> {
    replay(&sketch.log()).into_iter().filter(|finding| finding.rule == "deadlock").map(|it| it.text).collect()
}

/// `parent` with a pipe `p` (3, 4) and `child`, which has both ends too.
fn pipe() -> Sketch {
    let mut sketch = Sketch::new();
    sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "parent.child");
    sketch
}

/// `a` and `b`, each reading what the other writes: `x` from a to b, `y` from b to a.
fn two_pipes() -> Sketch {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").pipe("a", "x", 3).pipe("a", "y", 5).fork("a", "b");
    sketch.close("a", 3).close("a", 6).close("b", 4).close("b", 5);
    sketch
}

#[test]
fn the_forgotten_write_end() {
    let mut sketch = pipe();
    sketch.close("parent", 3).block_at("parent.child", "read", Why::Empty, "p");
    assert_eq!(found(&mut sketch), [""; 0], "the parent may still write");
    sketch.close("parent", 4).block_on("parent", "wait4", Why::Child, "parent.child");
    let both = "parent waits for child to end; child waits for bytes from p, which only it could write: \
                child must close descriptor 4 (the write end of p) before it reads";
    assert_eq!(found(&mut sketch), [both]);
}

#[test]
fn a_parent_that_waits_while_it_holds_the_write_end() {
    let mut sketch = pipe();
    sketch.close("parent.child", 4).block_at("parent.child", "read", Why::Empty, "p");
    sketch.block_on("parent", "wait4", Why::Child, "parent.child");
    let expected = "parent waits for child to end; child waits for bytes from p, which only parent could write: \
                    parent must close descriptor 4 (the write end of p) before it waits for child";
    assert_eq!(found(&mut sketch), [expected]);
}

#[test]
fn two_that_read_before_they_write() {
    let mut sketch = two_pipes();
    sketch.block_at("a", "read", Why::Empty, "y").block_at("b", "read", Why::Empty, "x");
    let expected = "a waits for bytes from y, which only b could write; \
                    b waits for bytes from x, which only a could write: \
                    b must write to y (descriptor 6), or close it, before it reads from x, or \
                    a must write to x (descriptor 4), or close it, before it reads from y";
    assert_eq!(found(&mut sketch), [expected]);
    let finding = replay(&sketch.log()).remove(0);
    assert_eq!(finding.channels, [sketch.channel("x"), sketch.channel("y")]);
}

#[test]
fn two_that_write_more_than_the_pipes_hold() {
    let mut sketch = two_pipes();
    sketch.block_at("a", "write", Why::Full, "x").block_at("b", "write", Why::Full, "y");
    let texts = found(&mut sketch);
    assert_eq!(texts.len(), 1);
    let cure = "b must read from x (descriptor 3) before it writes to y, or \
                a must read from y (descriptor 5) before it writes to x";
    assert!(texts[0].ends_with(cure), "{texts:?}");
}

#[test]
fn a_circle_of_three_through_locks() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").fork("init", "b").fork("init", "c").fork("init", "d");
    sketch.block_on("a", "fcntl", Why::Lock, "b").block_on("b", "fcntl", Why::Lock, "c");
    sketch.block_on("d", "fcntl", Why::Lock, "a");
    assert_eq!(found(&mut sketch), [""; 0]);
    sketch.block_on("c", "fcntl", Why::Lock, "a");
    let texts = found(&mut sketch);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].starts_with("a waits for what b has locked; b waits for what c has locked"), "{texts:?}");
}

#[test]
fn somebody_who_can_still_help_is_enough() {
    let mut sketch = two_pipes();
    sketch.fork("a", "helper").block_at("a", "read", Why::Empty, "y").block_at("b", "read", Why::Empty, "x");
    assert_eq!(found(&mut sketch), [""; 0], "the helper holds x's write end");
    sketch.exit("helper", 0);
    assert_eq!(found(&mut sketch).len(), 1);
}

#[test]
fn a_thread_that_can_still_help_is_enough() {
    let mut sketch = two_pipes();
    let shares = Shares { files: true, actions: true, parent: false };
    sketch.spawn("a", "a.thread", How::Thread, shares);
    sketch.block_at("a", "read", Why::Empty, "y").block_at("b", "read", Why::Empty, "x");
    assert_eq!(found(&mut sketch), [""; 0]);
    sketch.block_at("a.thread", "read", Why::Empty, "y");
    assert_eq!(found(&mut sketch).len(), 1, "no thread of a is left that could");
}

#[test]
fn what_has_already_come_is_no_reason_to_wait() {
    let mut sketch = two_pipes();
    sketch.block_at("a", "read", Why::Empty, "y").write("b", 6, "x").block_at("b", "read", Why::Empty, "x");
    assert_eq!(found(&mut sketch), [""; 0], "a is about to read");

    let mut sketch = two_pipes();
    sketch.block_at("a", "read", Why::Empty, "y").close("b", 6).block_at("b", "read", Why::Empty, "x");
    assert_eq!(found(&mut sketch), [""; 0], "a is about to see end-of-file");

    let mut sketch = pipe();
    sketch.exit("parent.child", 0).block("parent", "wait4", Why::Child);
    assert_eq!(found(&mut sketch), [""; 0], "parent is about to reap");

    let mut sketch = two_pipes();
    sketch.write("a", 4, "x").block_at("a", "write", Why::Full, "x").read("b", 3, 1);
    sketch.block_at("b", "read", Why::Empty, "x").unblock("a");
    assert_eq!(found(&mut sketch), [""; 0], "a may go on writing");
}

#[test]
fn barriers_signals_and_time_are_no_deadlock() {
    let mut sketch = pipe();
    sketch.fork("parent", "parent.other").block("parent", "wait4", Why::Child);
    sketch.block("parent.child", "", Why::Barrier).block("parent.other", "", Why::Barrier);
    sketch.unblock("parent.child").unblock("parent.other").exit("parent.child", 0).exit("parent.other", 0);
    sketch.unblock("parent").reap("parent", "parent.child").reap("parent", "parent.other");
    assert_eq!(found(&mut sketch), [""; 0]);
    sketch.block("parent", "pause", Why::Signal);
    assert_eq!(found(&mut sketch), [""; 0]);
    let mut sketch = pipe();
    sketch.block("parent", "", Why::Barrier).block("parent.child", "", Why::Barrier);
    assert_eq!(found(&mut sketch), [""; 0], "a barrier alone");
}

#[test]
fn a_barrier_that_somebody_never_reaches() {
    let mut sketch = pipe();
    sketch.block("parent", "", Why::Barrier).close("parent.child", 4);
    sketch.block_at("parent.child", "read", Why::Empty, "p");
    let texts = found(&mut sketch);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].starts_with("parent waits at a barrier for the others; child waits for bytes"), "{texts:?}");
}

/// Who polls waits for the others as who reads does, unless time ends it or something has come.
#[test]
fn through_a_poll() {
    for (timeout, written, expected) in [(false, false, 1), (true, false, 0), (false, true, 0)] {
        let mut sketch = two_pipes();
        let polled = vec![Polled { fd: 5, channel: Some(sketch.channel("y")), access: Access::Read }];
        let (channel, wanted) = (Some(sketch.channel("y")), sketch.keep(&Wanted::Ready { polled }.to_bytes()));
        sketch.event("a", "poll", 0, Kind::Block { channel, on: None, why: Why::Poll, timeout, wanted });
        if written {
            sketch.write("b", 6, "x");
        }
        sketch.block_at("b", "read", Why::Empty, "x");
        assert_eq!(found(&mut sketch).len(), expected, "timeout {timeout}, written {written}");
    }
}

#[test]
fn fifos_opened_in_opposite_orders() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").fork("init", "b");
    sketch.create("a", "one", ChannelKind::Fifo).block_at("a", "openat", Why::NoPeer, "one");
    assert_eq!(found(&mut sketch), [""; 0], "b may open it");
    sketch.create("b", "two", ChannelKind::Fifo).block_at("b", "openat", Why::NoPeer, "two");
    let expected = "a waits for somebody to open the other end of one; \
                    b waits for somebody to open the other end of two: open FIFOs in the same order everywhere";
    assert_eq!(found(&mut sketch), [expected]);
}

/// `a` has the first end of the connection `s` (3), `b` the second (4).
fn connection() -> Sketch {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").create("a", "s", ChannelKind::Unix).open("a", 3, "s", Access::ReadWrite);
    let (channel, flags) = (sketch.channel("s"), FdFlags::default());
    let second = Kind::Open { fd: 4, channel, end: End::Second, access: Access::ReadWrite, flags };
    sketch.event("a", "socketpair", 0, second).fork("a", "b").close("b", 3);
    sketch
}

#[test]
fn two_that_wait_for_each_other_at_one_connection() {
    let mut sketch = connection();
    sketch.close("a", 4).block_at("a", "recvfrom", Why::Empty, "s");
    assert_eq!(found(&mut sketch), [""; 0], "b may still write");
    sketch.block_at("b", "recvfrom", Why::Empty, "s");
    let expected = "a waits for bytes from s, which only b could write; \
                    b waits for bytes from s, which only a could write: \
                    b must write to s (descriptor 4), or call shutdown(2), before it reads from s, or \
                    a must write to s (descriptor 3), or call shutdown(2), before it reads from s";
    assert_eq!(found(&mut sketch), [expected]);
}

#[test]
fn who_has_something_to_read_is_about_to_move() {
    let mut sketch = connection();
    sketch.close("a", 4).block_at("a", "recvfrom", Why::Empty, "s").write("b", 4, "hello");
    sketch.block_at("b", "recvfrom", Why::Empty, "s");
    assert_eq!(found(&mut sketch), [""; 0]);
}

#[test]
fn an_end_that_was_not_closed_keeps_its_holder_waiting() {
    let mut sketch = connection();
    sketch.close("b", 4).block_at("a", "recvfrom", Why::Empty, "s");
    let expected = "a waits for bytes from s, which only it could write: \
                    a must close the end of s that it does not use (it holds both: descriptors 3 and 4) before it reads";
    assert_eq!(found(&mut sketch), [expected]);
}

#[test]
fn a_queue_of_connections_that_nobody_takes_from() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "server").create("server", "l", ChannelKind::Unix);
    sketch.open("server", 3, "l", Access::ReadWrite);
    let channel = sketch.channel("l");
    sketch.event("server", "listen", 0, Kind::Listen { channel, backlog: 0 }).fork("server", "client");
    sketch.close("client", 3);
    for name in ["s", "t"] {
        sketch.create("client", name, ChannelKind::Unix);
        let fd = if name == "s" { 3 } else { 4 };
        sketch.open("client", fd, name, Access::ReadWrite);
    }
    let connect = Kind::Connect { channel: sketch.channel("s"), to: Some(channel), address: None };
    sketch.event("client", "connect", 0, connect).block_at("client", "connect", Why::Backlog, "l");
    assert_eq!(found(&mut sketch), [""; 0], "the server may still accept");
    sketch.block_on("server", "wait4", Why::Child, "client");
    let expected = "server waits for client to end; \
                    client waits for a place in the queue of l, which only server could make by accepting: \
                    server must accept at l before more connect than may wait";
    assert_eq!(found(&mut sketch), [expected]);
}

#[test]
fn semaphores_held_crosswise() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "parent").create("parent", "s", ChannelKind::Sem).get("parent", "s");
    sketch.fork("parent", "parent.a").fork("parent", "parent.b").block_on("parent", "wait4", Why::Child, "parent.a");
    sketch.sem("parent.a", "s", 0, -1, 0).sem("parent.b", "s", 1, -1, 0);
    sketch.wait_for_value("parent.a", "s", "parent.b").wait_for_value("parent.b", "s", "parent.a");
    let found = replay(&sketch.log());
    let text = "parent waits for a to end; a waits for the value of s, which only b could change; b waits for the \
                value of s, which only a could change: take semaphores in the same order everywhere, \
                for example by their numbers, and give each back";
    assert_eq!(found.iter().map(|finding| finding.text.as_str()).collect::<Vec<_>>(), [text]);
}

#[test]
fn a_semaphore_that_was_raised_may_have_woken_its_waiter() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").fork("init", "b").create("a", "s", ChannelKind::Sem).get("a", "s").get("b", "s");
    sketch.sem("a", "s", 0, -1, 0).sem("b", "s", 1, -1, 0).wait_for_value("b", "s", "a");
    // The log has not heard of the waking yet.
    sketch.sem("a", "s", 0, 1, 1).wait_for_value("a", "s", "b").unblock("b").sem("b", "s", 1, 1, 1).unblock("a");
    assert_eq!(replay(&sketch.log()), []);
}

#[test]
fn at_a_terminal_only_what_the_kernel_says_counts() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").create("a", "t", ChannelKind::Terminal).open("a", 3, "t", Access::ReadWrite);
    let (channel, access, flags) = (sketch.channel("t"), Access::ReadWrite, FdFlags::default());
    sketch.event("a", "open", 4, Kind::Open { fd: 4, channel, end: End::Second, access, flags });
    let told = |output, ready| {
        let asked = Asked { output: Some(output), input: Some(0), canonical: true, ready };
        Kind::Monitor { channel, told: Told::Terminal(asked) }
    };
    sketch.block_at("a", "read", Why::Empty, "t");
    assert_eq!(found(&mut sketch), [""; 0], "nobody has asked");
    sketch.event("a", "", 0, told(3, [true, false]));
    assert_eq!(found(&mut sketch), [""; 0], "it may be the master that is read, and there is an echo");
    sketch.event("a", "", 0, told(0, [false, false]));
    let expected = "a waits for bytes from t, which only it could write: \
                    a must write to t (descriptors 3 and 4) before it reads from t";
    assert_eq!(found(&mut sketch), [expected]);
}

/// Who has set a timer whose signal ends its sleep will move by itself.
#[test]
fn a_timer_wakes_one_of_them() {
    let stuck = |before: &dyn Fn(&mut Sketch)| {
        let mut sketch = two_pipes();
        before(&mut sketch);
        sketch.block_at("a", "read", Why::Empty, "y").block_at("b", "read", Why::Empty, "x");
        sketch
    };
    let handled = |sketch: &mut Sketch| {
        sketch.action("a", Signal::ALRM, Disposition::Handler).alarm("a", 5);
    };
    let mut sketch = stuck(&handled);
    assert_eq!(found(&mut sketch), [""; 0], "a handler can do anything");
    sketch.alarm_expires("a").signal("a", Phase::Generated, Signal::ALRM, None).exit("init", 0);
    assert_eq!(found(&mut sketch), [""; 0], "the signal is on its way");

    let deadly = |sketch: &mut Sketch| {
        sketch.alarm("a", 5);
    };
    assert_eq!(found(&mut stuck(&deadly)), [""; 0], "it ends the task, and with that the sleep of the other");
    let stopped = |sketch: &mut Sketch| {
        sketch.alarm("a", 5).alarm("a", 0);
    };
    assert_eq!(found(&mut stuck(&stopped)).len(), 1, "it was stopped");
    let ignored = |sketch: &mut Sketch| {
        sketch.action("a", Signal::ALRM, Disposition::Ignore).alarm("a", 5);
    };
    assert_eq!(found(&mut stuck(&ignored)).len(), 1, "it is ignored");
    let blocked = |sketch: &mut Sketch| {
        let set = SignalSet::EMPTY.with(Signal::ALRM);
        sketch.event("a", "rt_sigprocmask", 0, Kind::Mask { how: MaskHow::Block, set, blocked: set }).alarm("a", 5);
    };
    assert_eq!(found(&mut stuck(&blocked)).len(), 1, "it is blocked");
}

/// vfork(2) is left for nothing but death.
#[test]
fn a_handler_does_not_wake_who_lent_its_memory() {
    let vfork = |disposition| {
        let mut sketch = pipe();
        sketch.action("parent", Signal::ALRM, disposition).alarm("parent", 5).close("parent.child", 4);
        sketch.block_at("parent.child", "read", Why::Empty, "p").block_on(
            "parent",
            "vfork",
            Why::Vfork,
            "parent.child",
        );
        found(&mut sketch).len()
    };
    assert_eq!((vfork(Disposition::Handler), vfork(Disposition::Default)), (1, 0));
}

/// A wait of a while is no endless one, whatever it waits for.
#[test]
fn a_timeout_ends_it() {
    for why in [Why::Empty, Why::Full] {
        let mut sketch = two_pipes();
        let (own, other) = if why == Why::Empty { ("y", "x") } else { ("x", "y") };
        sketch.block_for_a_while("a", "read", why, own).block_at("b", "read", why, other);
        assert_eq!(found(&mut sketch), [""; 0]);
    }
}

/// A run of which the log says what the kernel was asked.
fn confirmed(sketch: &mut Sketch, tasks: &[&str]) -> Vec<String> {
    let text = sketch.intern("why");
    sketch.asleep(tasks).event("init", "", 0, Kind::End { how: Ended::Cut, text });
    found(sketch)
}

#[test]
fn it_is_told_of_those_whom_nobody_has_woken() {
    let stuck = || {
        let mut sketch = two_pipes();
        sketch.block_at("a", "read", Why::Empty, "y").block_at("b", "read", Why::Empty, "x");
        sketch
    };
    assert_eq!(confirmed(&mut stuck(), &["a", "b"]).len(), 1);
    assert_eq!(confirmed(&mut stuck(), &["a"]), [""; 0], "the kernel does not say so of b");
    let mut sketch = stuck();
    sketch.asleep(&["a", "b"]).unblock("a").block_at("a", "read", Why::Empty, "y");
    assert_eq!(confirmed(&mut sketch, &[]).len(), 1, "it was true when the kernel was asked");
    let mut sketch = stuck();
    sketch.unblock("a").block_at("a", "read", Why::Empty, "y");
    assert_eq!(confirmed(&mut sketch, &["b"]), [""; 0], "a has moved");
}

/// As long as somebody is awake who could end one of them with a signal, it waits for the end of the run.
#[test]
fn who_is_watched_is_told_at_the_end_only() {
    let mut sketch = two_pipes();
    sketch.fork("init", "c").block_at("a", "read", Why::Empty, "y").block_at("b", "read", Why::Empty, "x");
    sketch.asleep(&["a", "b"]);
    let live = |sketch: &mut Sketch| {
        let log = sketch.log();
        let (mut rule, mut world, mut findings) = (super::Deadlock::default(), log.world_at(0), Vec::new());
        for (_, event) in log.range(0..log.len()) {
            world.apply(event, log.payload(event));
            crate::insight::Rule::observe(&mut rule, event, &[], &world, log.names(), &mut findings);
        }
        findings.len()
    };
    assert_eq!((live(&mut sketch), found(&mut sketch).len()), (0, 1));
    sketch.exit("c", 0).asleep(&["a", "b"]);
    assert_eq!(live(&mut sketch), 1);
}

/// `p` with two threads `p` and `p.t`.
fn threads() -> Sketch {
    let mut sketch = Sketch::new();
    sketch.fork("init", "p").spawn("p", "p.t", How::Thread, Shares { files: true, actions: true, parent: false });
    sketch
}

/// Sleeps at a word of its own memory.
fn at_word(sketch: &mut Sketch, task: &str, of: Word, owner: Option<&str>) {
    let (wanted, on) = (sketch.keep(&Wanted::Word { of, at: 64 }.to_bytes()), owner.map(|owner| sketch.task(owner)));
    let why = if owner.is_some() { Why::Lock } else { Why::Futex };
    sketch.event(task, "futex", 0, Kind::Block { channel: None, on, why, timeout: false, wanted });
}

#[test]
fn a_word_of_its_own_memory_only_its_threads_could_wake() {
    let mut sketch = threads();
    at_word(&mut sketch, "p.t", Word::Semaphore, None);
    assert_eq!(found(&mut sketch), [""; 0], "p may still post it");
    sketch.block_on("p", "futex", Why::Join, "p.t");
    let expected = "p waits for the thread t to end; t waits for a post of a semaphore in the memory of its \
                    process, which only p could do: p must call sem_post(3) on the semaphore before it waits for t";
    assert_eq!(found(&mut sketch), [expected]);
}

#[test]
fn a_handler_that_people_could_trigger_may_post_it() {
    for (signal, awaited) in [(Signal::TERM, true), (Signal::PIPE, false), (Signal::ALRM, false)] {
        let mut sketch = threads();
        sketch.action("p", signal, Disposition::Handler);
        at_word(&mut sketch, "p.t", Word::Unknown, None);
        sketch.block_on("p", "futex", Why::Join, "p.t");
        assert_eq!(found(&mut sketch).is_empty(), awaited, "{signal}");
    }
}

#[test]
fn python_has_a_handler_for_the_key_in_any_case() {
    let python = |path: &str, times: usize| {
        let mut sketch = Sketch::new();
        let (path, name) = (sketch.intern(path), sketch.intern("p"));
        sketch.fork("init", "p").event("p", "execve", 0, Kind::Exec { path, argv: crate::model::Blob::EMPTY, name });
        for _ in 0..times {
            sketch.action("p", Signal::INT, Disposition::Handler);
        }
        at_word(&mut sketch, "p", Word::Semaphore, None);
        found(&mut sketch).len()
    };
    assert_eq!((python("/usr/bin/python3", 1), python("/usr/bin/python3", 2)), (1, 0));
    assert_eq!((python("/usr/bin/bash", 2), python("./a.out", 1)), (1, 0));
}

/// Who tidies up at SIGTERM is as stuck as everybody else; who writes to a pipe of its own waits for the signal.
#[test]
fn a_handler_needs_the_means_that_its_program_knows_of() {
    let own_pipe = |loads: bool| {
        let mut sketch = Sketch::new();
        sketch.fork("init", "p").pipe("p", "x", 3);
        if loads {
            let (path, name) = (sketch.intern("/usr/bin/sort"), sketch.intern("p"));
            sketch.event("p", "execve", 0, Kind::Exec { path, argv: crate::model::Blob::EMPTY, name });
        }
        sketch.action("p", Signal::TERM, Disposition::Handler).block_at("p", "read", Why::Empty, "x");
        found(&mut sketch).len()
    };
    assert_eq!((own_pipe(false), own_pipe(true)), (0, 1));
}

#[test]
fn mutexes_crosswise_no_handler_unlocks() {
    let mut sketch = threads();
    sketch.action("p", Signal::TERM, Disposition::Handler);
    at_word(&mut sketch, "p", Word::Mutex, Some("p.t"));
    assert_eq!(found(&mut sketch), [""; 0]);
    at_word(&mut sketch, "p.t", Word::Mutex, Some("p"));
    let expected = "p waits for a mutex that t has locked; t waits for a mutex that p has locked: \
                    lock mutexes in the same order everywhere";
    assert_eq!(found(&mut sketch), [expected]);
    let mut sketch = threads();
    sketch.exit("p.t", 0);
    at_word(&mut sketch, "p", Word::Mutex, Some("p"));
    let expected = "p waits for a mutex that it has locked itself: p must unlock a mutex before it locks it again, \
                    or make it recursive (pthread_mutexattr_settype(3))";
    assert_eq!(found(&mut sketch), [expected]);
}

#[test]
fn a_lock_that_was_held_when_a_thread_forked() {
    let mut sketch = threads();
    sketch.fork("p", "c").block_on("p", "wait4", Why::Child, "c").exit("p.t", 0);
    at_word(&mut sketch, "c", Word::Mutex, None);
    let texts = found(&mut sketch);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].contains("when p forked it, only the thread that called fork was copied"), "{texts:?}");
    assert!(texts[0].contains("a lock that another thread held at the fork stays locked in c"), "{texts:?}");
}

#[test]
fn a_semaphore_that_nobody_holds_is_not_said_to_be_locked() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "p").create("p", "m", ChannelKind::Shm);
    let (channel, access) = (sketch.channel("m"), Access::ReadWrite);
    sketch.event("p", "mmap", 0, Kind::Attach { channel, address: 4096, bytes: 4096, offset: 0, access });
    sketch.fork("p", "c").block_on("p", "wait4", Why::Child, "c");
    sketch.wants("c", "futex", Why::Futex, "m", &Wanted::Word { of: Word::Semaphore, at: 32 });
    let expected = "p waits for c to end; c waits for a post of the semaphore at byte 32 of m, which only p could do: \
                    p must call sem_post(3) on the semaphore at byte 32 of m before it waits for c";
    assert_eq!(found(&mut sketch), [expected]);
}

/// The shell of a pipeline of three has closed its ends, its children have not: each must.
#[test]
fn every_forgotten_end_is_named() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "sh").pipe("sh", "p", 3).pipe("sh", "q", 5);
    sketch.fork("sh", "first").write("first", 4, "x").fork("sh", "sort").fork("sh", "wc").exit("first", 0);
    for fd in 3..=6 {
        sketch.close("sh", fd);
    }
    // What sort writes to goes by the number of its standard output.
    let dup = Kind::Dup { fd: 6, to: 1, channel: Some(sketch.channel("q")), cloexec: false };
    sketch.event("sort", "dup2", 1, dup).close("sort", 6).close("sort", 5).read("sort", 3, 1);
    sketch.block_at("sort", "read", Why::Empty, "p").block_at("wc", "read", Why::Empty, "q");
    sketch.reap("sh", "first").block("sh", "wait4", Why::Child);
    let texts = found(&mut sketch);
    let cure = "sort must close descriptor 4 (the write end of p) before it reads, \
                wc must close descriptor 4 (the write end of p) before it reads from q and \
                wc must close descriptor 6 (the write end of q) before it reads";
    assert!(texts.len() == 1 && texts[0].ends_with(cure), "{texts:?}");
}

/// What people can find by a name they may use; what is left of the run can too.
#[test]
fn who_is_alone_at_something_with_a_name_waits_for_strangers() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "daemon").create("daemon", "f", ChannelKind::Fifo).open("daemon", 3, "f", Access::ReadWrite);
    sketch.block_at("daemon", "read", Why::Empty, "f");
    assert_eq!(found(&mut sketch), [""; 0]);
}

#[test]
fn a_connection_whose_client_has_ended_is_about_to_end_too() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "server").create("server", "l", ChannelKind::Tcp).open("server", 3, "l", Access::ReadWrite);
    let listener = sketch.channel("l");
    sketch.event("server", "listen", 0, Kind::Listen { channel: listener, backlog: 5 }).fork("server", "client");
    sketch.create("client", "c", ChannelKind::Tcp).open("client", 4, "c", Access::ReadWrite);
    let (channel, access, flags) = (sketch.channel("c"), Access::ReadWrite, FdFlags::default());
    sketch.event("client", "connect", 0, Kind::Connect { channel, to: Some(listener), address: None });
    sketch.event("server", "accept", 4, Kind::Accept { channel: listener, connection: channel });
    sketch.event("server", "accept", 4, Kind::Open { fd: 4, channel, end: End::Second, access, flags });
    sketch.exit("client", 0).block_at("server", "read", Why::Empty, "c");
    assert_eq!(found(&mut sketch), [""; 0]);
}

/// Of many threads the first are named; what a poll waits for is named as what a read does.
#[test]
fn sentences_stay_short_and_polls_are_cured_too() {
    let mut sketch = threads();
    for n in 2..15 {
        let shares = Shares { files: true, actions: true, parent: false };
        sketch.spawn("p", &format!("p.t{n}"), How::Thread, shares);
        at_word(&mut sketch, &format!("p.t{n}"), Word::Unknown, None);
    }
    at_word(&mut sketch, "p.t", Word::Unknown, None);
    sketch.block_on("p", "futex", Why::Join, "p.t");
    let texts = found(&mut sketch);
    assert_eq!(texts.len(), 1);
    let expected = "p waits for the thread t to end; t, t2, t3, t4 and 10 others wait to be woken in the memory of their \
                    process (futex(2): a lock, a condition or a barrier), which only another thread of their process \
                    could do: whoever is to wake them";
    assert!(texts[0].starts_with(expected) && texts[0].contains("here 14 "), "{texts:?}");

    let mut sketch = two_pipes();
    for (task, fd, channel) in [("a", 5, "y"), ("b", 3, "x")] {
        let polled = vec![Polled { fd, channel: Some(sketch.channel(channel)), access: Access::Read }];
        sketch.wants(task, "poll", Why::Poll, channel, &Wanted::Ready { polled });
    }
    let cure = "b must write to y (descriptor 6), or close it, before it polls, or \
                a must write to x (descriptor 4), or close it, before it polls";
    let texts = found(&mut sketch);
    assert!(texts.len() == 1 && texts[0].ends_with(cure), "{texts:?}");
}

/// A shell's `wait` sleeps until the handler of SIGCHLD has run; who has another handler may be woken by others.
#[test]
fn who_waits_for_the_signal_of_a_child_waits_for_the_child() {
    let told = |call: &str, other: Option<Signal>| {
        let mut sketch = pipe();
        sketch.close("parent", 4).action("parent", Signal::CHLD, Disposition::Handler);
        if let Some(signal) = other {
            sketch.action("parent", signal, Disposition::Handler);
        }
        sketch.block("parent", call, Why::Signal).block_at("parent.child", "read", Why::Empty, "p");
        found(&mut sketch).iter().filter(|text| text.starts_with("parent waits for the SIGCHLD of a child")).count()
    };
    assert_eq!((told("rt_sigsuspend", None), told("rt_sigtimedwait", None)), (1, 0));
    assert_eq!(told("rt_sigsuspend", Some(Signal::TERM)), 0);
}

/// A FIFO that is open for both holds tokens: nobody waits for its end.
#[test]
fn who_takes_tokens_needs_one_put_back() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").create("a", "f", ChannelKind::Fifo).open("a", 8, "f", Access::ReadWrite);
    sketch.write("a", 8, "\n").line("a", 3, "read f").read("a", 8, 1).block_at("a", "read", Why::Empty, "f");
    let expected = "a waits for bytes from f, which only it could write: somebody must write to f before a reads once \
                    more (descriptor 8 of a is open for both): whoever takes a byte or a line from it must put one back";
    assert_eq!(found(&mut sketch), [expected]);
}

/// Who has sent something, and waits for the answer, should have said that there is no more.
#[test]
fn the_one_that_has_sent_must_shut_its_half() {
    let mut sketch = connection();
    sketch.close("a", 4).write("a", 3, "text").read("b", 4, 4);
    sketch.block_at("a", "read", Why::Empty, "s").block_at("b", "read", Why::Empty, "s");
    let texts = found(&mut sketch);
    let cure = ": a must call shutdown(2) on descriptor 3 of s, or write more, before it reads from s";
    assert!(texts.len() == 1 && texts[0].ends_with(cure), "{texts:?}");
}

/// What waits to be accepted has nothing to say yet.
#[test]
fn a_server_that_serves_one_client_at_a_time() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "server").create("server", "l", ChannelKind::Unix).open("server", 3, "l", Access::ReadWrite);
    let listener = sketch.channel("l");
    sketch.event("server", "listen", 0, Kind::Listen { channel: listener, backlog: 5 }).pipe("server", "p", 8);
    for (client, own) in [("one", "c"), ("two", "d")] {
        sketch.fork("server", client).close(client, 3).create(client, own, ChannelKind::Unix);
        sketch.open(client, 4, own, Access::ReadWrite);
        let connect = Kind::Connect { channel: sketch.channel(own), to: Some(listener), address: None };
        sketch.event(client, "connect", 0, connect);
    }
    let (channel, access, flags) = (sketch.channel("c"), Access::ReadWrite, FdFlags::default());
    sketch.event("server", "accept", 4, Kind::Accept { channel: listener, connection: channel });
    sketch.event("server", "accept", 4, Kind::Open { fd: 4, channel, end: End::Second, access, flags });
    sketch.close("server", 8).close("server", 9).close("one", 9).close("two", 8);
    sketch.block_at("server", "read", Why::Empty, "c").block_at("one", "read", Why::Empty, "p");
    sketch.block_at("two", "read", Why::Empty, "d");
    let texts = found(&mut sketch);
    assert_eq!(texts.len(), 1, "{texts:?}");
    let cure = ": server must accept d at l before it reads from c, so that no client has to wait for another (poll(2), or \
                a process or a thread for each), or one must write to c (descriptor 4), or call shutdown(2), before it \
                reads from p";
    assert!(texts[0].ends_with(cure), "{texts:?}");
}

/// A shell that waits for its pipeline has forgotten nothing, though it has a write end.
#[test]
fn who_only_waits_for_the_writers_is_not_told_to_close() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "bash").pipe("bash", "p", 3).pipe("bash", "q", 5).fork("bash", "sub").fork("sub", "sort");
    for (task, fds) in [("bash", [4, 5]), ("sub", [3, 6]), ("sort", [3, 6])] {
        for fd in fds {
            sketch.close(task, fd);
        }
    }
    sketch.close("sub", 5).write("bash", 6, "b\n").read("sort", 5, 2);
    sketch.block_at("sort", "read", Why::Empty, "q").block("sub", "wait4", Why::Child);
    sketch.block_at("bash", "read", Why::Empty, "p");
    let texts = found(&mut sketch);
    let cure = ": bash must close descriptor 6 (the write end of q), or write more, before it reads from p";
    assert!(texts.len() == 1 && texts[0].ends_with(cure), "{texts:?}");
}

/// Of locks on files the bytes are named, and who has set the one in the way, not who has inherited it.
#[test]
fn locks_are_named_with_their_bytes_and_owners() {
    use crate::model::{LockKind, LockMode};
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").create("a", "f", ChannelKind::File).open("a", 3, "f", Access::ReadWrite).fork("a", "b");
    let (channel, mode, kind) = (sketch.channel("f"), LockMode::Write, LockKind::Process);
    for (task, start) in [("a", 0), ("b", 10)] {
        sketch.event(task, "fcntl", 0, Kind::Lock { channel, fd: 3, kind, mode, start, len: 10 });
    }
    for (task, start) in [("a", 10), ("b", 0)] {
        sketch.wants(task, "fcntl", Why::Lock, "f", &Wanted::Lock { fd: 3, kind, mode, start, len: 10 });
    }
    let expected = "a waits to lock bytes 10 to 19 of f, which b has locked; b waits to lock bytes 0 to 9 of f, which a \
                    has locked: lock them in the same order everywhere, for example bytes 0 to 9 of f before bytes 10 \
                    to 19 of f";
    assert_eq!(found(&mut sketch), [expected]);

    let mut sketch = Sketch::new();
    sketch.fork("init", "sh").create("sh", "f", ChannelKind::File).open("sh", 3, "f", Access::ReadWrite);
    let channel = sketch.channel("f");
    let lock = |fd| Kind::Lock { channel, fd, kind: LockKind::Flock, mode, start: 0, len: 0 };
    sketch.event("sh", "flock", 0, lock(3)).fork("sh", "child").open("child", 4, "f", Access::ReadWrite);
    sketch.wants(
        "child",
        "flock",
        Why::Lock,
        "f",
        &Wanted::Lock { fd: 4, kind: LockKind::Flock, mode, start: 0, len: 0 },
    );
    sketch.block_on("sh", "wait4", Why::Child, "child");
    let expected = "sh waits for child to end; child waits to lock f, which sh has locked: sh must unlock f before it waits \
                    for child";
    assert_eq!(found(&mut sketch), [expected]);
}

/// Any one of many can send, and messages are no bytes.
#[test]
fn who_waits_for_messages() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").create("a", "q", ChannelKind::Msg).get("a", "q").fork("a", "b").fork("a", "c");
    sketch.wants("b", "msgrcv", Why::Empty, "q", &Wanted::Message(0));
    sketch.wants("c", "msgrcv", Why::Empty, "q", &Wanted::Message(0)).block("a", "wait4", Why::Child);
    let texts = found(&mut sketch);
    let cure = "one of a, b and c must send a message to q (msgsnd(2)) before it waits itself";
    assert!(texts.len() == 1 && texts[0].ends_with(cure), "{texts:?}");
    assert!(texts[0].contains("b waits for a message from q, which only a and c could send"), "{texts:?}");
}

/// Nobody else has it any more, and nobody can find it.
#[test]
fn what_only_the_dead_had() {
    let alone = |kind, name: &str, unlinked: bool, found_before: bool| {
        let mut sketch = Sketch::new();
        let (channel, sym) = (crate::model::ChannelId::from_index(0), sketch.intern(name));
        let create = Kind::Create { channel, kind, name: sym, capacity: 4096, messages: false, found: found_before };
        let attach = Kind::Attach { channel, address: 4096, bytes: 4096, offset: 0, access: Access::ReadWrite };
        sketch.fork("init", "p").event("p", "", 0, create).event("p", "mmap", 0, attach);
        if unlinked {
            sketch.event("p", "unlink", 0, Kind::Unlink { channel });
        }
        sketch.fork("p", "c").exit("c", 1);
        let wanted = Wanted::Word { of: Word::Mutex, at: 0 };
        let (why, wanted) = match kind {
            ChannelKind::Sem => (Why::Value, Wanted::Operation { index: 0, delta: -1 }),
            _ => (Why::Futex, wanted),
        };
        let wanted = sketch.keep(&wanted.to_bytes());
        sketch.event("p", "futex", 0, Kind::Block { channel: Some(channel), on: None, why, timeout: false, wanted });
        found(&mut sketch)
    };
    let texts = alone(ChannelKind::Shm, "mmap#2", false, false);
    let expected =
        "p waits for a mutex at byte 0 of mmap#2, and no other process is left that has mmap#2: whoever locks";
    assert!(texts.len() == 1 && texts[0].starts_with(expected), "{texts:?}");
    assert_eq!(alone(ChannelKind::Sem, "/s", true, false).len(), 1);
    assert_eq!(alone(ChannelKind::Sem, "/s", false, false), [""; 0], "strangers may open it");
    assert_eq!(alone(ChannelKind::Sem, "/s", true, true), [""; 0], "strangers may have opened it");
    assert_eq!(alone(ChannelKind::Shm, "/m", false, false), [""; 0], "strangers may open it");
}

#[test]
fn a_timer_that_is_not_armed_never_expires() {
    let armed = |left| {
        let mut sketch = Sketch::new();
        sketch.fork("init", "a").create("a", "t", ChannelKind::Timerfd).open("a", 3, "t", Access::ReadWrite);
        let channel = sketch.channel("t");
        sketch.event(
            "a",
            "timerfd_settime",
            0,
            Kind::Monitor { channel, told: Told::Timer { left, interval: 9, ticks: 0 } },
        );
        found(sketch.block_at("a", "read", Why::Empty, "t")).len()
    };
    assert_eq!((armed(0), armed(5)), (1, 0));
}

/// An event loop waits for the end of a child that waits for it to read: the key that gives it up is no help.
#[test]
fn a_child_whose_output_the_loop_does_not_poll() {
    let told = |signals: &[Signal]| {
        let mut sketch = Sketch::new();
        sketch.fork("init", "loop").pipe("loop", "own", 3).pipe("loop", "out", 5).fork("loop", "child");
        sketch.close("loop", 6).close("child", 3).close("child", 4);
        for signal in signals {
            sketch.action("loop", *signal, Disposition::Handler);
        }
        let polled = vec![Polled { fd: 3, channel: Some(sketch.channel("own")), access: Access::Read }];
        sketch.wants("loop", "epoll_wait", Why::Poll, "own", &Wanted::Ready { polled });
        found(sketch.block_at("child", "write", Why::Full, "out"))
    };
    let texts = told(&[Signal::CHLD, Signal::INT]);
    let cure = ": loop must read from out (descriptor 5) too, which it does not poll";
    assert!(texts.len() == 1 && texts[0].ends_with(cure), "{texts:?}");
    assert_eq!(told(&[Signal::TERM]), [""; 0], "it may wait for that signal");
}

/// Node has handlers of its own; what a script asks for comes with `SA_RESTART`.
#[test]
fn node_has_handlers_in_any_case() {
    let node = |flags: u32| {
        let mut sketch = Sketch::new();
        let (path, name) = (sketch.intern("/usr/bin/node"), sketch.intern("p"));
        sketch.fork("init", "p").event("p", "execve", 0, Kind::Exec { path, argv: crate::model::Blob::EMPTY, name });
        let (signal, disposition, mask) = (Signal::TERM, Disposition::Handler, SignalSet::EMPTY);
        sketch.event("p", "rt_sigaction", 0, Kind::Action { signal, disposition, flags, mask });
        at_word(&mut sketch, "p", Word::Unknown, None);
        found(&mut sketch).len()
    };
    assert_eq!((node(libc::SA_RESETHAND as u32), node(libc::SA_RESTART as u32)), (1, 0));
}

/// A read that a handler has interrupted, and that goes on.
#[test]
fn a_handler_that_was_to_end_the_read() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").pipe("a", "p", 3).action("a", Signal::ALRM, Disposition::Handler);
    sketch.block_at("a", "read", Why::Empty, "p").unblock("a");
    let then = crate::model::Then::Restart;
    sketch.event("a", "read", 0, Kind::Interrupted { signal: Signal::ALRM, then });
    sketch.block_at("a", "read", Why::Empty, "p");
    let cure = "; or, if the handler of SIGALRM is to end the read of a, set it without SA_RESTART (sigaction(2)), with which \
                the call begins anew";
    let texts = found(&mut sketch);
    assert!(texts.len() == 1 && texts[0].ends_with(cure), "{texts:?}");
}

/// What one rule says of copied memory the other says too.
#[test]
fn memory_that_each_has_for_itself() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").fork("a", "b");
    at_word(&mut sketch, "a", Word::Semaphore, None);
    at_word(&mut sketch, "b", Word::Semaphore, None);
    let all = replay(&sketch.asleep(&["a", "b"]).ended(Ended::Stuck).log());
    let cures: Vec<_> = all.iter().filter_map(|it| it.text.split_once(": ")).map(|(_, cure)| cure).collect();
    assert!(cures.len() == 2 && cures[0] == cures[1] && cures[0].contains("MAP_SHARED"), "{all:?}");
}
