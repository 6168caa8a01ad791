use crate::insight::replay;
use crate::model::sketch::Sketch;
use crate::model::{
    Access, Asked, ChannelKind, Disposition, End, FdFlags, How, Kind, MaskHow, Phase, Polled, Shares, Signal,
    SignalSet, Told, Wanted, Why,
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
    sketch.close("parent", 4);
    let alone = "child waits for bytes from p, which only itself could write: \
                 child must close its write end of p before it reads";
    assert_eq!(found(&mut sketch), [alone]);
    sketch.block_on("parent", "wait4", Why::Child, "parent.child");
    let both = "parent waits for child to end; child waits for bytes from p, which only itself could write: \
                child must close its write end of p before it reads";
    assert_eq!(found(&mut sketch), [alone, both]);
}

#[test]
fn a_parent_that_waits_while_it_holds_the_write_end() {
    let mut sketch = pipe();
    sketch.close("parent.child", 4).block_at("parent.child", "read", Why::Empty, "p");
    sketch.block_on("parent", "wait4", Why::Child, "parent.child");
    let expected = "parent waits for child to end; child waits for bytes from p, which only parent could write: \
                    somebody must write to p or close it before waiting";
    assert_eq!(found(&mut sketch), [expected]);
}

#[test]
fn two_that_read_before_they_write() {
    let mut sketch = two_pipes();
    sketch.block_at("a", "read", Why::Empty, "y").block_at("b", "read", Why::Empty, "x");
    let expected = "a waits for bytes from y, which only b could write; \
                    b waits for bytes from x, which only a could write: \
                    somebody must write to y or close it before waiting";
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
    assert!(texts[0].ends_with("somebody must read from x before more is written than it holds"), "{texts:?}");
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
    assert_eq!(found(&mut sketch).len(), 1);
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
        sketch.wants("a", "poll", Why::Poll, "y", &Wanted::Ready { polled });
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
                    somebody must write to s or close it before waiting";
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
    let expected = "a waits for bytes from s, which only itself could write: \
                    a must close the other end of s before it reads";
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
                    somebody must accept at l before more connect than may wait";
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
                value of s, which only a could change: take semaphores in the same order everywhere, and give each back";
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
    let expected = "a waits for bytes from t, which only itself could write: \
                    somebody must write to t or close it before waiting";
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
