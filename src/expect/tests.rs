use super::*;
use crate::model::sketch::Sketch;
use crate::model::{ChannelKind, Disposition, Kind, Parties, Phase, Signal, Weight, Why};
use crate::scenario::Expectation;

fn verdict(sketch: &mut Sketch, what: Claim) -> (bool, String) {
    let expect = vec![Expectation { line: 7, text: "as written".into(), what }];
    let scenario = Scenario { expect, ..Scenario::default() };
    let mut verdicts = judge(&scenario, &sketch.log());
    assert_eq!(verdicts.len(), 1);
    let verdict = verdicts.remove(0);
    assert_eq!((verdict.line, verdict.text.as_str()), (Some(7), "as written"));
    (verdict.held, verdict.reason)
}

fn held(sketch: &mut Sketch, claim: Claim) {
    let (held, reason) = verdict(sketch, claim);
    assert!(held, "{reason}");
    assert!(!reason.is_empty());
}

fn fails(sketch: &mut Sketch, claim: Claim, expected: &str) {
    assert_eq!(verdict(sketch, claim), (false, expected.to_owned()));
}

fn exited(name: &str, code: i32) -> Claim {
    Claim::Exited { name: name.into(), code }
}

fn killed(name: &str, signal: Signal) -> Claim {
    Claim::Killed { name: name.into(), signal }
}

fn moved(channel: &str, bytes: u64) -> Claim {
    Claim::Moved { channel: channel.into(), bytes }
}

fn output(name: &str, text: &str) -> Claim {
    Claim::Output { name: name.into(), text: text.into() }
}

fn printed(name: &str, text: &str) -> Claim {
    Claim::Printed { name: name.into(), text: text.into() }
}

fn delivered(name: &str, times: Option<u64>) -> Claim {
    Claim::Delivered { name: name.into(), signal: Signal::TERM, times }
}

fn handled(name: &str, times: Option<u64>) -> Claim {
    Claim::Handled { name: name.into(), signal: Signal::TERM, times }
}

fn errno(name: &str, call: &str, errno: &str) -> Claim {
    Claim::Errno { name: name.into(), call: call.into(), errno: errno.into() }
}

fn blocked(name: &str, call: &str, on: Option<&str>) -> Claim {
    Claim::Blocked { name: name.into(), call: call.into(), on: on.map(Into::into) }
}

/// `parent` (stdout is 1) and `child` with a pipe `p` between them: 4 at the parent, 3 at the child.
fn piped() -> Sketch {
    let mut sketch = Sketch::new();
    sketch.fork("init", "parent").create("parent", "stdout", ChannelKind::Terminal);
    sketch.open("parent", 1, "stdout", crate::model::Access::Write);
    sketch.pipe("parent", "p", 3).fork("parent", "parent.child").close("parent.child", 4).close("parent", 3);
    sketch
}

#[test]
fn how_a_process_ended() {
    let mut sketch = piped();
    fails(&mut sketch, exited("child", 0), "child has not ended");
    fails(&mut sketch, killed("child", Signal::TERM), "child has not ended");
    sketch.exit("parent.child", 1).killed("parent", Signal::KILL);
    held(&mut sketch, exited("child", 1));
    fails(&mut sketch, exited("child", 0), "child exited with 1, not 0");
    fails(&mut sketch, exited("parent", 0), "parent was killed by SIGKILL, it did not exit");
    fails(&mut sketch, exited("nobody", 0), "there was no process nobody");
    held(&mut sketch, killed("parent", Signal::KILL));
    fails(&mut sketch, killed("parent", Signal::TERM), "parent was killed by SIGKILL, not by SIGTERM");
    fails(&mut sketch, killed("child", Signal::TERM), "child exited with 1, it was not killed");
}

#[test]
fn what_moved() {
    let mut sketch = piped();
    sketch.write("parent", 4, "Nature's first green is gold\n").read("parent.child", 3, 28);
    let expected = "28 bytes moved through p, 29 were expected; 1 more were still inside at the end";
    fails(&mut sketch, moved("p", 29), expected);
    sketch.read("parent.child", 3, 1);
    held(&mut sketch, moved("p", 29));
    fails(&mut sketch, moved("p", 1), "29 bytes moved through p, 1 was expected");
    fails(&mut sketch, moved("q", 1), "there was no channel q");
}

#[test]
fn what_was_written_to_stdout() {
    let mut sketch = piped();
    fails(&mut sketch, printed("parent", "x"), "parent wrote nothing to its standard output");
    held(&mut sketch, output("parent", ""));
    sketch.write("parent", 1, "hello ").write("parent", 4, "elsewhere").write("parent", 1, "world\n");
    held(&mut sketch, output("parent", "hello world\n"));
    held(&mut sketch, printed("parent", "lo wo"));
    fails(&mut sketch, printed("parent", "else"), "parent wrote \"hello world\\n\", which does not contain it");
    let expected = "parent wrote \"world\\n\" after 6 bytes, where \"there\\n\" was expected";
    fails(&mut sketch, output("parent", "hello there\n"), expected);
    fails(&mut sketch, output("parent", "hello"), "parent wrote more than that: \" world\\n\" follows");
    fails(&mut sketch, output("parent", "hello world\n!"), "parent wrote only 12 bytes, \"!\" is missing");
    fails(&mut sketch, output("child", "x"), "child wrote only 0 bytes, \"x\" is missing");
}

#[test]
fn what_was_not_kept_is_not_judged() {
    let mut sketch = piped();
    sketch.write_kept("parent", 1, 10, "hello").write("parent", 1, "!");
    let kept = "only the first 5 of 11 bytes were kept (see --capture)";
    fails(&mut sketch, output("parent", "helloworld!"), &format!("what parent wrote cannot be compared: {kept}"));
    fails(&mut sketch, output("parent", "hello"), "parent wrote 11 bytes, 5 were expected");
    fails(&mut sketch, printed("parent", "world"), &format!("\"world\" is not in what is known: {kept}"));
    held(&mut sketch, printed("parent", "ell"));
}

#[test]
fn signals() {
    let mut sketch = piped();
    fails(&mut sketch, delivered("child", None), "SIGTERM was never delivered to child");
    for _ in 0..2 {
        sketch.signal("parent.child", Phase::Generated, Signal::TERM, Some("parent"));
        sketch.signal("parent.child", Phase::Delivered, Signal::TERM, Some("parent"));
    }
    sketch.signal("parent.child", Phase::Handler, Signal::TERM, Some("parent"));
    held(&mut sketch, delivered("child", None));
    held(&mut sketch, delivered("child", Some(2)));
    fails(&mut sketch, delivered("child", Some(1)), "SIGTERM was delivered to child 2 times, not 1 times");
    held(&mut sketch, handled("child", Some(1)));
    fails(&mut sketch, handled("child", Some(2)), "SIGTERM was handled by child once, not 2 times");
    fails(&mut sketch, handled("parent", None), "SIGTERM was never handled by parent");
    held(&mut sketch, handled("parent", Some(0)));
}

#[test]
fn failed_calls() {
    let mut sketch = piped();
    fails(&mut sketch, errno("parent", "write", "EPIPE"), "parent never called write");
    sketch.write("parent", 4, "x");
    fails(&mut sketch, errno("parent", "print", "EPIPE"), "print by parent never failed");
    sketch.write_fails("parent", 4, 11);
    fails(&mut sketch, errno("parent", "write", "EPIPE"), "write by parent failed with EAGAIN, not EPIPE");
    held(&mut sketch, errno("parent", "write", "EWOULDBLOCK"));
    sketch.syscall("parent", "openat", -2, "AT_FDCWD, \"x\", O_RDONLY");
    held(&mut sketch, errno("parent", "open", "ENOENT"));
    fails(&mut sketch, errno("child", "open", "ENOENT"), "child never called open");
    fails(&mut sketch, errno("child", "open", "EFOO"), "EFOO is no error number");
}

#[test]
fn who_is_still_blocked() {
    let mut sketch = piped();
    fails(&mut sketch, blocked("child", "read", None), "child was not blocked at the end");
    sketch.block_at("parent.child", "read", Why::Empty, "p").block_on("parent", "wait4", Why::Child, "parent.child");
    held(&mut sketch, blocked("child", "read", Some("p")));
    held(&mut sketch, blocked("child", "read", Some("p.read")));
    held(&mut sketch, blocked("parent", "wait", Some("child")));
    held(&mut sketch, blocked("parent", "wait", None));
    fails(&mut sketch, blocked("child", "write", Some("p")), "child was blocked in read on p at the end, not in write");
    let expected = "child was blocked in read on p at the end, not on stdout";
    fails(&mut sketch, blocked("child", "read", Some("stdout")), expected);
    let expected = "parent was blocked in wait4 on child at the end, not on parent";
    fails(&mut sketch, blocked("parent", "wait", Some("parent")), expected);
    sketch.block("parent", "wait4", Why::Child);
    held(&mut sketch, blocked("parent", "wait", Some("child")));
    sketch.block("parent", "", Why::Barrier);
    held(&mut sketch, blocked("parent", "barrier", None));
    sketch.exit("parent", 3);
    fails(&mut sketch, blocked("parent", "wait", None), "parent was not blocked at the end: it exited with 3");
}

#[test]
fn diagnoses() {
    let mut sketch = piped();
    let diagnosed = || Claim::Diagnosed { rule: "zombie".into() };
    let not_diagnosed = || Claim::NotDiagnosed { rule: "zombie".into() };
    fails(&mut sketch, diagnosed(), "zombie was not diagnosed");
    held(&mut sketch, not_diagnosed());
    let (rule, text) = (sketch.intern("zombie"), sketch.intern("nobody waited for child"));
    let parties = sketch.keep(&Parties::default().to_bytes());
    sketch.event("parent", "", 0, Kind::Diagnosis { rule, weight: Weight::Fault, text, parties });
    held(&mut sketch, diagnosed());
    fails(&mut sketch, not_diagnosed(), "zombie was diagnosed: nobody waited for child");
}

#[test]
fn labels() {
    let mut sketch = piped();
    sketch.label("parent", "a").label("parent", "b");
    held(&mut sketch, Claim::Before { first: "a".into(), second: "b".into() });
    let (held, _) = verdict(&mut sketch, Claim::Before { first: "b".into(), second: "a".into() });
    assert!(!held);
}

#[test]
fn clean_means_reaped() {
    let mut sketch = piped();
    fails(&mut sketch, Claim::Clean, "parent and child have not ended");
    sketch.exit("parent.child", 0);
    fails(&mut sketch, Claim::Clean, "parent has not ended; nobody waited for child");
    sketch.reap("parent", "parent.child").exit("parent", 0);
    held(&mut sketch, Claim::Clean);
}

#[test]
fn clean_knows_zombies_from_orphans() {
    let mut sketch = piped();
    sketch.exit("parent.child", 0).exit("parent", 0).reparent("parent.child", "init").reap("init", "parent.child");
    fails(&mut sketch, Claim::Clean, "nobody waited for child");
    let mut sketch = piped();
    sketch.exit("parent", 0).reparent("parent.child", "init").exit("parent.child", 0).reap("init", "parent.child");
    held(&mut sketch, Claim::Clean);
    let mut sketch = piped();
    sketch.action("parent", Signal::CHLD, Disposition::Ignore).exit("parent.child", 0).exit("parent", 0);
    held(&mut sketch, Claim::Clean);
}

#[test]
fn clean_means_that_fifos_are_removed() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").create("a", "fifo", ChannelKind::Fifo).syscall("a", "unlink", -2, "\"fifo\"").exit("a", 0);
    fails(&mut sketch, Claim::Clean, "fifo was made and not removed");
    let channel = sketch.channel("fifo");
    sketch.event("init", "unlink", 0, Kind::Unlink { channel });
    held(&mut sketch, Claim::Clean);
}

#[test]
fn clean_means_that_queues_are_removed() {
    let mut sketch = Sketch::new();
    sketch.fork("init", "a").create("a", "q", ChannelKind::Msg).create("a", "m", ChannelKind::Mq).exit("a", 0);
    fails(&mut sketch, Claim::Clean, "q and m were made and not removed");
    let (q, m) = (sketch.channel("q"), sketch.channel("m"));
    sketch.event("init", "msgctl", 0, Kind::Destroy { channel: q });
    sketch.event("init", "mq_unlink", 0, Kind::Unlink { channel: m });
    held(&mut sketch, Claim::Clean);
}

#[test]
fn what_stands_in_memory() {
    let mut sketch = piped();
    let value = |value| Claim::Value { segment: "m".into(), offset: 8, value };
    fails(&mut sketch, value(1), "there was no channel m");
    sketch.create("parent", "m", ChannelKind::Shm).store("parent", "m", 8, 0, -7);
    held(&mut sketch, value(-7));
    fails(&mut sketch, value(1), "-7 stood at offset 8 of m at the end, 1 was expected");
    let value = Claim::Value { segment: "p".into(), offset: 0, value: 0 };
    fails(&mut sketch, value, "p is no shared memory");
}
