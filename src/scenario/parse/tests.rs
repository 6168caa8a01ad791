use proptest::prelude::*;

use super::{MAX_FILE, parse};
use crate::model::{Access, Signal, SignalSet};
use crate::scenario::{
    BarrierId, Claim, Compare, DescriptorId, Op, ProcessId, Scenario, Statement, StatementId, Target, Turn, Until,
    Value, VarId, render_all,
};

mod families;

fn good(text: &str) -> Scenario {
    parse("topic/name", "test.kdl", text).unwrap_or_else(|problems| panic!("{}", render_all(&problems, "test", text)))
}

/// The statements of a process with this body.
fn body(text: &str) -> Vec<Statement> {
    good(&format!("process demo {{\n{text}\n}}")).program.roots.remove(0).body
}

fn ops(text: &str) -> Vec<Op> {
    body(text).into_iter().map(|statement| statement.op).collect()
}

/// What is said about a process with this body.
fn bad(text: &str) -> String {
    bad_file(&format!("process demo {{\n{text}\n}}\n"))
}

fn bad_file(text: &str) -> String {
    render_all(&parse("topic/name", "test.kdl", text).expect_err(text), "test.kdl", text)
}

#[test]
fn statements_are_numbered_in_the_order_of_the_text() {
    let scenario = good(
        r#"process a {
            fork b { note "1"; if x eq 1 { note "3" }
                else { note "4" }; }
            set x 0
        }
        process c { note """
            two
            lines
            """ }"#
            .replace("fork b { ", "set x 1; fork b { ")
            .as_str(),
    );
    let infos = &scenario.program.statements;
    let words: Vec<&str> = infos.iter().map(|info| info.word).collect();
    assert_eq!(words, ["set", "fork", "note", "if", "note", "note", "set", "note"]);
    let texts: Vec<&str> = infos.iter().map(|info| info.text.as_str()).collect();
    assert_eq!(texts[1..4], ["fork b", "note \"1\"", "if x eq 1"]);
    assert_eq!(texts[7], "note \"two\\nlines\"");
    assert_eq!(infos.iter().map(|info| info.line).collect::<Vec<_>>(), [2, 2, 2, 2, 2, 3, 4, 6]);
    for (index, info) in infos.iter().enumerate() {
        let found = scenario.program.statement(StatementId(index as u16)).expect("each is there");
        assert_eq!(found.id.index(), index, "{}", info.text);
    }
}

#[test]
fn names_become_slots() {
    let scenario = good("process parent { pipe p; fork child { close p.read; kill parent TERM }; open log \"l\" w }");
    assert_eq!(scenario.program.processes, ["parent", "child"]);
    assert_eq!(scenario.program.descriptors, ["stdin", "stdout", "stderr", "p.read", "p.write", "log"]);
    let Op::Fork { name, body: Some(child), into: None } = &scenario.program.roots[0].body[1].op else {
        panic!("a fork")
    };
    assert_eq!(*name, ProcessId(1));
    assert_eq!(child[0].op, Op::Close { fd: DescriptorId(3) });
    let term = Signal::parse("TERM");
    // The block's name wins over the word `parent`.
    let target = Target::Process(ProcessId(0), None);
    assert_eq!(child[1].op, Op::Kill { target, signal: term, group: false });
}

#[test]
fn targets() {
    let kill = |target: &str| {
        let text = format!("process a {{ set v 1; fork b {{ fork c {{ }}; kill {target} 0 }} }}");
        let scenario = good(&text);
        let Op::Fork { body: Some(body), .. } = &scenario.program.roots[0].body[1].op else { panic!("a fork") };
        let Op::Kill { target, signal: None, .. } = body[1].op else { panic!("a kill") };
        target
    };
    assert_eq!(kill("parent"), Target::Parent);
    assert_eq!(kill("self"), Target::Myself);
    assert_eq!(kill("group"), Target::Group);
    assert_eq!(kill("v"), Target::Var(VarId(0)));
    assert_eq!(kill("\"c#2\""), Target::Process(ProcessId(2), Some(2)));
    assert_eq!(kill("a.b.c"), Target::Process(ProcessId(2), None));
    assert_eq!(kill("b.c"), Target::Process(ProcessId(2), None));
}

#[test]
fn a_bare_word_is_a_variable_and_a_quoted_one_is_text() {
    let found = ops("set x 0\nwrite stdout x\nwrite stdout \"x\"\nwrite stdout y\nexit x");
    let text = |text: &str| Value::Text(text.to_owned());
    let write = |text: Value| Op::Write { fd: DescriptorId::STDOUT, text, bytes: None };
    assert_eq!(found[1..4], [write(Value::Var(VarId(0))), write(text("x")), write(text("y"))]);
    assert_eq!(found[4], Op::Exit { code: Value::Var(VarId(0)), flush: true });
}

#[test]
fn values_and_options() {
    let found = ops("set v 1
        read stdin bytes=v until=eof into=w
        write stdout \"ab\" bytes=1048576
        sleep 0.1
        sleep 2
        alarm 3.0
        poll stdin timeout=1.5
        umask 022
        umask 0o27
        if v lt -5 { break_is_no_word }"
        .replace("break_is_no_word", "note \"x\"")
        .as_str());
    let into = Some(VarId(1));
    assert_eq!(
        found[1],
        Op::Read { fd: DescriptorId::STDIN, bytes: Some(Value::Var(VarId(0))), until_eof: true, into }
    );
    assert!(matches!(&found[2], Op::Write { bytes: Some(Value::Number(1_048_576)), .. }));
    assert_eq!(found[3], Op::Sleep { time: 100_000_000 });
    assert_eq!(found[4], Op::Sleep { time: 2_000_000_000 });
    assert_eq!(found[5], Op::Alarm { seconds: Value::Number(3), into: None });
    assert_eq!(found[6], Op::Poll { fds: vec![DescriptorId::STDIN], timeout: Some(1_500_000_000) });
    assert_eq!(found[7], Op::Umask { mask: 0o22 });
    assert_eq!(found[8], Op::Umask { mask: 0o27 });
    assert!(matches!(&found[9], Op::If { compare: Compare::Lt, value: Value::Number(-5), .. }));
}

#[test]
fn flags_signals_and_failures() {
    let found = body(
        "on USR1 restart=#true mask=\"USR2 TERM\" { pause }
        open f \"x\" rw create=#true append=#false
        write f \"x\" fails=EPIPE
        close f errno=e
        exec sleep 5 \"x y\" -1
        on KILL fails=EINVAL { pause }",
    );
    let signal = |name: &str| Signal::parse(name).expect("a signal");
    let Op::On { signal: one, restart: true, nodefer: false, resethand: false, mask, body, .. } = &found[0].op else {
        panic!("{:?}", found[0])
    };
    assert_eq!(*one, signal("USR1"));
    assert_eq!(*mask, SignalSet::from_iter([signal("USR2"), signal("TERM")]));
    assert_eq!(body[0].op, Op::Pause);
    let Op::Open { access: Access::ReadWrite, create: true, append: false, truncate: false, .. } = found[1].op else {
        panic!("{:?}", found[1])
    };
    assert_eq!((found[2].fails, found[2].errno), (Some(libc::EPIPE), None));
    assert_eq!((found[3].fails, found[3].errno), (None, Some(VarId(0))));
    assert_eq!(found[4].op, Op::Exec { argv: ["sleep", "5", "x y", "-1"].map(str::to_owned).to_vec() });
    assert_eq!(found[5].fails, Some(libc::EINVAL));
}

#[test]
fn barriers_count_process_blocks() {
    let parties = |text: &str| good(text).program.barriers[BarrierId(0).index()].parties;
    assert_eq!(parties("process a { barrier b; barrier b }"), 1);
    assert_eq!(parties("process a { fork c { barrier b }; barrier b }\nprocess d { barrier b }"), 3);
    assert_eq!(parties("process a { repeat 3 { fork c { repeat 2 { fork d { barrier b } }; barrier b } } }"), 9);
    assert_eq!(parties("process a { repeat 5 { barrier b } }"), 1);
    assert!(bad("forever { fork c { barrier b } }").contains("cannot be told"));
    assert!(bad("set n 2; repeat n { fork c { barrier b } }").contains("cannot be told"));
    assert!(bad("fork c into=x; barrier b").contains("cannot be told"));
    assert!(bad("if x eq 0 { fork c into=x }; barrier b").contains("cannot be told"));
}

#[test]
fn what_describes_a_scenario() {
    let scenario = good(
        r#"
        title "T"; topic pipes; level 3; see "pipe(7)"; see "kill(2)" "fork(2)"
        story """
            one
              two
            """
        hint "a"; hint "b"; seed 18446744073709551615; free
        limit seconds=5
        schedule { step a; step a 2; run a until=blocked; run a until=exit; run a until=here; run all }
        predict "?" at=here { choice "x"; choice "y" right=#true; because "z" }
        process a { label here }
        expect { exited a code=3; errno a write EWOULDBLOCK; before here here; clean }
        "#,
    );
    assert_eq!((scenario.title.as_str(), scenario.topic.as_str(), scenario.level), ("T", "pipes", 3));
    assert_eq!(scenario.story, "one\n  two");
    assert_eq!(scenario.see, ["pipe(7)", "kill(2)", "fork(2)"]);
    assert_eq!((scenario.hints.len(), scenario.seed, scenario.free), (2, Some(u64::MAX), true));
    assert_eq!((scenario.limit.seconds, scenario.limit.processes, scenario.limit.events), (5, 32, 100_000));
    let run = |until| Turn::Run { name: "a".to_owned(), until };
    let step = |count| Turn::Step { name: "a".to_owned(), count };
    let here = Until::Reaches("here".to_owned());
    assert_eq!(scenario.schedule, [step(1), step(2), run(Until::Blocked), run(Until::Exit), run(here), Turn::All]);
    let prediction = &scenario.predictions[0];
    assert_eq!((prediction.at.as_deref(), prediction.because.as_str()), (Some("here"), "z"));
    assert_eq!(prediction.choices, [("x".to_owned(), false), ("y".to_owned(), true)]);
    assert_eq!(scenario.expect[0].text, "exited a code=3");
    assert_eq!(scenario.expect[0].what, Claim::Exited { name: "a".to_owned(), code: 3 });
    assert!(matches!(&scenario.expect[1].what, Claim::Errno { errno, .. } if errno == "EAGAIN"));
    assert_eq!(scenario.expect.len(), 4);
}

#[test]
fn misspelt_words() {
    insta::assert_snapshot!(bad("pipe p
    wirte p.write \"x\"
    write p.wirte \"x\"
    read p until=eof
    read p.read until=end byts=3
    fork child { exti 0 }
    wait chidl
    kill child SIGTREM
    kill child 99
    close p.read fails=EPIP
    write stdout \"x\" bytes=count
    title \"no\""));
}

#[test]
fn wrong_shapes() {
    insta::assert_snapshot!(bad("fork a
    fork b into=x { }
    fork c fails=EAGAIN errno=x { }
    wait a b
    exit
    pipe p { }
    repeat 3
    sleep soon
    alarm 0.5
    exit \"three\"
    label two words
    open f file q
    open stdout \"file\" w
    nice 2 3
    read stdin until=eof until=eof
    pause fails=EINTR
    on SIGTERM fails=EINVAL { pause }
    on SIGKILL { pause }
    ignore SIGSTOP
    else { }
    break
    on SIGUSR1 { break }
    (u8)pause
    if x eq 1 { exit 0 }
    chdir \"\"
    write stdout \"\" bytes=3
    dup2 stdout p.wirte
    set y 5.5
    kill 17 SIGTERM"));
}

#[test]
fn names_out_of_reach() {
    insta::assert_snapshot!(bad("close p.read
    fork early { close p.write; close q.read; set own 1 }
    pipe p
    fork late { close p.write; pipe q }
    close q.write
    add own 1
    add never 1"));
}

#[test]
fn syntax_errors() {
    let texts = [
        "process a {\n    note \"x\"\n",
        "process a {\n}\n}\n",
        "process a {\n    if x eq 1 { note \"1\" } else { note \"2\" }\n}\n",
        "see pipe(7)\nprocess a { }\n",
        "process a {\n    open f /tmp/x r\n    wait nohang=true\n}\n",
        "title \"no end\nprocess a { }\n",
        "process a { sleep 5s; kill child#2 TERM }\n",
    ];
    insta::assert_snapshot!(texts.map(bad_file).join("\n"));
}

#[test]
fn wrong_descriptions() {
    insta::assert_snapshot!(bad_file(
        "titel \"x\"
title \"a\"
title \"b\"
topic 7
level 9
see pipe
seed -1
limit seconds=0 minutes=3
pipe p
schedule { step nobody; run a; run all until=exit; walk a; step a 0 }
predict \"?\" { choice \"a\" right=yes; answer \"b\" }
process all { }
process a { pipe p; label here }
process a.b { }
expect {
    exited nobody code=0
    exited a
    exited a code=256
    moved p.read bytes=1
    moved q bytes=1
    errno a wirte EPIPE
    errno a write EPIP
    before here there
    diagnosed deadlok
    killed a SIGTREM
    blocked a wait p
    perfect
}
"
    ));
    assert!(bad_file("").contains("the scenario has no process"));
}

#[test]
fn limits_are_enforced() {
    let many = |count: usize, each: &dyn Fn(usize) -> String| (0..count).map(each).collect::<String>();
    assert!(bad(&many(65, &|n| format!("set v{n} 0\n"))).contains("more than 64 variable names"));
    assert!(bad(&many(127, &|n| format!("pipe p{n}\n"))).contains("more than 256 descriptor names"));
    assert!(bad(&many(64, &|n| format!("fork c{n} {{ }}\n"))).contains("more than 64 process names"));
    assert!(bad(&many(65, &|n| format!("barrier b{n}\n"))).contains("more than 64 barriers"));
    assert!(bad(&format!("set x \"{}\"", "x".repeat(4097))).contains("at most 4096 bytes"));
    assert!(bad("read stdin bytes=4097 into=x").contains("at most 4096 bytes"));
    assert!(bad("write stdout \"x\" bytes=1048577").contains("from 0 to 1048576"));
    assert!(bad(&many(10_001, &|_| "a;".to_owned())).contains("more than 10000 statements"));
    assert!(bad(&"x".repeat(MAX_FILE)).contains("larger than 32768 bytes"));
    // At the limit nothing is wrong.
    assert_eq!(ops(&many(64, &|n| format!("set v{n} 0\n"))).len(), 64);
    let scenario = good(&format!("process demo {{ {} }}", many(126, &|n| format!("pipe p{n}\n"))));
    assert_eq!(scenario.program.descriptors.len(), 255);
}

#[test]
fn deep_nesting_is_refused() {
    for count in [65, 500, 3000] {
        let text = format!("process a {{ {}{} }}", "forever {".repeat(count - 1), "}".repeat(count - 1));
        assert!(bad_file(&text).contains("nest more than 64 deep"), "{count}");
    }
    good(&format!("process a {{ {} pause {} }}", "forever { ".repeat(60), "}".repeat(60)));
}

#[test]
fn no_repetition_is_too_much() {
    let start = std::time::Instant::now();
    for piece in [
        "{",
        "}",
        "a{",
        "\"",
        "/*",
        "/-",
        "/-{",
        "a /-{",
        "(",
        ")",
        "#",
        "\\",
        "=",
        "a=",
        "x",
        "é ",
        "pause;",
        "pipe p;",
        "a{}\n",
        "fork a into=x;",
        "close p.read;",
        "set v 1;",
        "label l;",
        "wirte x;",
        "fork a {};",
        "forever {",
        "\"\"\"\n",
        "#\"",
        "a;}",
        "}{",
    ] {
        for (before, after) in [("", ""), ("process a { ", " }")] {
            // The stack grows with the text, so what holds for this length holds for any.
            let count = 4096 / piece.len();
            let text = format!("{before}{}{after}", piece.repeat(count));
            let _ = parse("a/b", "f", &text);
        }
    }
    assert!(start.elapsed() < std::time::Duration::from_mins(1), "{:?}", start.elapsed());
}

const SOURCES: [&str; 4] = [
    include_str!("../../../scenarios/pipes/one-pipe.kdl"),
    include_str!("../../../scenarios/signals/eintr-or-restart.kdl"),
    include_str!("../../../scenarios/processes/fork-tree.kdl"),
    include_str!("../../../scenarios/queues/message-types.kdl"),
];

/// What a problem says must point into the text and be showable.
fn parses_or_explains(text: &str) {
    if let Err(problems) = parse("a/b", "f", text) {
        assert!(!problems.is_empty());
        for problem in &problems {
            assert!(problem.span.end <= text.len() && text.get(problem.span.clone()).is_some());
        }
        assert!(!render_all(&problems, "f", text).is_empty());
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}|[a-z\"{}#/;=\\\\\n .0-9()-]{0,60}") {
        parses_or_explains(&text);
    }

    #[test]
    fn no_mutation_panics(
        source in 0..SOURCES.len(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..12_usize, any::<prop::sample::Index>()), 1..4),
    ) {
        let mut text = SOURCES[source].to_owned();
        for (place, what, other) in edits {
            let words: Vec<String> = text.split_inclusive([' ', '\n']).map(str::to_owned).collect();
            let at = place.index(words.len());
            let mut words = words;
            match what {
                0 => drop(words.remove(at)),
                1 => words.insert(at, words[other.index(words.len())].clone()),
                2 => { let other = other.index(words.len()); words.swap(at, other); }
                3 => words[at] = words[at].chars().rev().collect(),
                4 => words.insert(at, "{ ".to_owned()),
                5 => words.insert(at, "} ".to_owned()),
                6 => words.insert(at, "\"".to_owned()),
                7 => words.insert(at, "x=1 ".to_owned()),
                8 => words.insert(at, "-9223372036854775809 ".to_owned()),
                9 => words.insert(at, "é\u{202e}\u{7f} ".to_owned()),
                10 => words.insert(at, "(t)#null ".to_owned()),
                _ => words.truncate(at + 1),
            }
            text = words.concat();
            if text.is_empty() { break; }
        }
        parses_or_explains(&text);
    }
}
