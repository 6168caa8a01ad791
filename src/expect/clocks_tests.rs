use super::*;
use crate::model::sketch::Sketch;
use crate::scenario::{Barrier, Info, ProcessId, Root, Statement, StatementId};

fn judge(sketch: &mut Sketch) -> Judged {
    judge_in(sketch, &Program::default())
}

fn judge_in(sketch: &mut Sketch, program: &Program) -> Judged {
    let log = sketch.log();
    before(&log, program, &Cast::new(&log, program), "a", "b")
}

fn chance(first: &str, second: &str) -> Judged {
    Err(format!("a came before b only by chance: nothing makes {second} wait for {first} there"))
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with a verdict")]
fn always() -> Judged {
    Ok("a comes before b on every schedule".into())
}

/// `parent` and `child` with a pipe `p` between them: 4 at the parent, 3 at the child.
fn piped() -> Sketch {
    let mut sketch = Sketch::new();
    sketch.fork("init", "parent").pipe("parent", "p", 3).fork("parent", "parent.child");
    sketch.close("parent.child", 4).close("parent", 3);
    sketch
}

#[test]
fn one_after_the_other_in_one_process() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "x").label("x", "a").label("x", "b");
    assert_eq!(judge(&mut sketch), always());
    sketch.label("x", "a");
    assert_eq!(judge(&mut sketch), Err("b came before a in this run".into()));
}

#[test]
fn labels_that_were_never_passed() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "x").label("x", "b");
    assert_eq!(judge(&mut sketch), Err("the label a was never passed".into()));
    let mut sketch = Sketch::new();
    sketch.fork("init", "x").label("x", "a");
    assert_eq!(judge(&mut sketch), Err("the label b was never passed".into()));
}

#[test]
fn side_by_side_is_chance() {
    let mut sketch = piped();
    sketch.label("parent", "a").label("parent.child", "b");
    assert_eq!(judge(&mut sketch), chance("parent", "child"));
}

#[test]
fn a_fork_and_a_wait() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "parent").label("parent", "a").fork("parent", "parent.child").label("parent.child", "b");
    assert_eq!(judge(&mut sketch), always());
    let mut sketch = Sketch::new();
    sketch.fork("init", "parent").fork("parent", "parent.child").label("parent.child", "a");
    sketch.exit("parent.child", 0).label("parent", "b");
    assert_eq!(judge(&mut sketch), chance("child", "parent"), "not waited for");
    let mut sketch = Sketch::new();
    sketch.fork("init", "parent").fork("parent", "parent.child").label("parent.child", "a");
    sketch.exit("parent.child", 0).reap("parent", "parent.child").label("parent", "b");
    assert_eq!(judge(&mut sketch), always());
}

#[test]
fn bytes_through_a_pipe() {
    let mut sketch = piped();
    sketch.label("parent", "a").write("parent", 4, "xy").read("parent.child", 3, 1).label("parent.child", "b");
    assert_eq!(judge(&mut sketch), always());
    let mut sketch = piped();
    sketch.write("parent", 4, "xy").label("parent", "a").write("parent", 4, "z");
    sketch.read("parent.child", 3, 2).label("parent.child", "b");
    assert_eq!(judge(&mut sketch), chance("parent", "child"), "the first write is enough");
    let mut sketch = piped();
    sketch.write("parent", 4, "xy").label("parent", "a").write("parent", 4, "z");
    sketch.read("parent.child", 3, 2).read("parent.child", 3, 1).label("parent.child", "b");
    assert_eq!(judge(&mut sketch), always());
}

#[test]
fn bytes_of_a_write_that_has_not_returned() {
    let mut sketch = piped();
    sketch.label("parent", "a").block_at("parent", "write", Why::Full, "p").read("parent.child", 3, 65536);
    sketch.label("parent.child", "b").unblock("parent");
    assert_eq!(judge(&mut sketch), always());
}

#[test]
fn room_in_a_pipe() {
    let mut sketch = piped();
    sketch.block_at("parent", "write", Why::Full, "p").label("parent.child", "a").read("parent.child", 3, 65536);
    sketch.unblock("parent").write_kept("parent", 4, 100_000, "").label("parent", "b");
    assert_eq!(judge(&mut sketch), always(), "100000 bytes do not fit");
    let mut sketch = piped();
    sketch.write_kept("parent", 4, 100, "").label("parent.child", "a").read("parent.child", 3, 100);
    sketch.write_kept("parent", 4, 65536, "").label("parent", "b");
    assert_eq!(judge(&mut sketch), always(), "nor 65536 after 100");
    let mut sketch = piped();
    sketch.write_kept("parent", 4, 100, "").label("parent.child", "a").read("parent.child", 3, 100);
    sketch.write_kept("parent", 4, 65436, "").label("parent", "b");
    assert_eq!(judge(&mut sketch), chance("child", "parent"), "it would have fitted");
}

#[test]
fn end_of_file_comes_after_every_close() {
    let mut sketch = piped();
    sketch.label("parent", "a").close("parent", 4).read("parent.child", 3, 0).label("parent.child", "b");
    assert_eq!(judge(&mut sketch), always());
    let mut sketch = piped();
    sketch.label("parent", "a").exit("parent", 0).read("parent.child", 3, 0).label("parent.child", "b");
    assert_eq!(judge(&mut sketch), always());
    let mut sketch = piped();
    sketch.close("parent", 4).label("parent", "a").read("parent.child", 3, 0).label("parent.child", "b");
    assert_eq!(judge(&mut sketch), chance("parent", "child"));
}

#[test]
fn a_broken_pipe_comes_after_every_close() {
    let mut sketch = piped();
    sketch.label("parent.child", "a").close("parent.child", 3).write_fails("parent", 4, 32).label("parent", "b");
    assert_eq!(judge(&mut sketch), always());
}

#[test]
fn both_ends_of_a_fifo() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "x").fork("init", "y").create("x", "f", ChannelKind::Fifo);
    sketch.block_at("x", "openat", Why::NoPeer, "f").label("y", "a").open("y", 3, "f", Access::Write);
    sketch.unblock("x").open("x", 3, "f", Access::Read).label("x", "b");
    assert_eq!(judge(&mut sketch), always(), "who came first waits");
    let mut sketch = Sketch::new();
    sketch.fork("init", "x").fork("init", "y").create("x", "f", ChannelKind::Fifo).label("x", "a");
    sketch.block_at("x", "openat", Why::NoPeer, "f").open("y", 3, "f", Access::Write).label("y", "b");
    assert_eq!(judge(&mut sketch), always(), "and who comes second would have waited");
    let mut sketch = Sketch::new();
    sketch.fork("init", "x").fork("init", "y").create("x", "f", ChannelKind::Fifo).label("x", "a");
    sketch.open("x", 3, "f", Access::ReadWrite).open("y", 3, "f", Access::ReadWrite).label("y", "b");
    assert_eq!(judge(&mut sketch), chance("x", "y"), "for both ends nobody waits");
}

#[test]
fn a_barrier() {
    let mut sketch = piped();
    sketch.label("parent", "a").block("parent", "", Why::Barrier).block("parent.child", "", Why::Barrier);
    sketch.unblock("parent").unblock("parent.child").label("parent.child", "b");
    assert_eq!(judge(&mut sketch), always());
    let mut sketch = piped();
    sketch.block("parent", "", Why::Barrier).block("parent.child", "", Why::Barrier).unblock("parent");
    sketch.label("parent", "a").unblock("parent.child").label("parent.child", "b");
    assert_eq!(judge(&mut sketch), chance("parent", "child"), "after the barrier");
}

#[test]
fn two_barriers_are_two() {
    let statement = |id, barrier| Statement {
        id: StatementId(id),
        op: Op::Barrier { barrier: BarrierId(barrier) },
        fails: None,
        errno: None,
    };
    let info = |line, text: &str| Info { line, text: text.into(), word: "barrier" };
    let program = Program {
        roots: vec![Root { name: ProcessId(0), body: vec![statement(0, 0), statement(1, 1)] }],
        statements: vec![info(3, "barrier one"), info(9, "barrier two")],
        barriers: vec![Barrier { name: "one".into(), parties: 2 }, Barrier { name: "two".into(), parties: 2 }],
        ..Program::default()
    };
    let mut sketch = Sketch::new();
    sketch.fork("init", "x").fork("init", "y").fork("init", "z").label("z", "a");
    sketch.line("z", 9, "barrier two").block("z", "", Why::Barrier);
    for task in ["x", "y"] {
        sketch.line(task, 3, "barrier one").block(task, "", Why::Barrier);
    }
    sketch.unblock("x").unblock("y").label("x", "b");
    assert_eq!(judge_in(&mut sketch, &program), chance("z", "x"));
}

#[test]
fn a_signal() {
    let mut sketch = piped();
    sketch.label("parent", "a").signal("parent.child", Phase::Generated, Signal::TERM, Some("parent"));
    sketch.signal("parent.child", Phase::Delivered, Signal::TERM, Some("parent")).label("parent.child", "b");
    assert_eq!(judge(&mut sketch), always());
    let mut sketch = piped();
    sketch.label("parent", "a").signal("parent.child", Phase::Generated, Signal::TERM, Some("parent"));
    sketch.label("parent.child", "b");
    assert_eq!(judge(&mut sketch), chance("parent", "child"), "sent, not delivered");
    let mut sketch = piped();
    sketch.fork("init", "other").label("parent", "a");
    sketch.signal("parent.child", Phase::Generated, Signal::TERM, Some("parent"));
    sketch.signal("parent.child", Phase::Generated, Signal::TERM, Some("other"));
    sketch.signal("parent.child", Phase::Delivered, Signal::TERM, Some("parent")).label("parent.child", "b");
    assert_eq!(judge(&mut sketch), chance("parent", "child"), "the other's would do");
}
