use std::path::Path;

use super::lint;
use crate::scenario::{Severity, parse, render_all};

const HEAD: &str = "title \"T\"\ntopic pipes\nlevel 1\nstory \"S\"\nsee \"pipe(7)\"\nexpect { clean }\n";

/// What is said about a file with nothing else to complain of.
fn said(text: &str) -> String {
    let text = format!("{HEAD}{text}");
    let scenario = parse("pipes/mine", "mine.kdl", &text).unwrap_or_else(|p| panic!("{}", render_all(&p, "m", &text)));
    let problems = lint(&scenario, Some(Path::new("scenarios/pipes/mine.kdl")));
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning));
    render_all(&problems, "mine.kdl", &text)
}

/// The messages alone, for a process with this body.
fn messages(body: &str) -> Vec<String> {
    let text = format!("process a {{\n{body}\n}}");
    said(&text).lines().filter_map(|line| line.strip_prefix("warning: ")).map(str::to_owned).collect()
}

#[test]
fn a_complete_file_is_without_fault() {
    assert_eq!(said("process a { exit 0 }"), "");
}

#[test]
fn what_is_missing() {
    let text = "title \"\"\nprocess a { }\nexpect { }\n";
    let scenario = parse("pipes/mine", "mine.kdl", text).expect("parses");
    insta::assert_snapshot!(render_all(&lint(&scenario, None), "mine.kdl", text));
}

#[test]
fn the_folder_is_the_topic() {
    let text = format!("{HEAD}process a {{ }}");
    let scenario = parse("signals/mine", "mine.kdl", &text).expect("parses");
    for path in [None, Some(Path::new("x/signals/mine.kdl"))] {
        let problems = lint(&scenario, path);
        assert_eq!(problems[0].message, "the topic is `pipes` but the folder is `signals`");
        assert_eq!(problems[0].line, 2);
    }
    assert_eq!(lint(&scenario, Some(Path::new("pipes/mine.kdl"))), []);
}

#[test]
fn stories_pages_and_questions() {
    let story =
        format!("story \"\"\"\n{}{}\n    \"\"\"\n", "    line\n".repeat(8), "    ".to_owned() + &"x".repeat(89));
    let text = format!(
        "{}{story}see \"pipe(9)\" \"sh(1)\" \"open(3p)\"
predict \"?\" {{ choice \"a\"; choice \"b\" }}
predict \"?\" at=nowhere {{ choice \"a\" right=#true; because \"c\" }}
process a {{ label here; repeat 2 {{ label here }} }}
schedule {{ run a until=wirte; run a until=write; run all; step a }}
",
        HEAD.replace("story \"S\"\n", "")
    );
    let scenario = parse("pipes/mine", "mine.kdl", &text).unwrap_or_else(|p| panic!("{}", render_all(&p, "m", &text)));
    insta::assert_snapshot!(render_all(&lint(&scenario, None), "mine.kdl", &text));
}

#[test]
fn statements_that_are_never_reached() {
    insta::assert_snapshot!(said("process a {\n    fork b { exec ls; pause; note \"x\" }\n    exit 0\n    wait b\n}"));
    for (body, count) in [
        ("exec ls fails=ENOENT\npause", 0),
        ("exec ls errno=e\npause", 0),
        ("_exit 0\npause", 1),
        ("forever { pause }\npause", 1),
        ("forever { break }\npause", 0),
        ("set x 1\nforever { if x eq 1 { break } }\npause", 0),
        ("forever { repeat 2 { break } }\npause", 1),
        ("repeat 2 { exit 0 }\npause", 1),
        ("repeat 0 { exit 0 }\npause", 0),
        ("set x 1\nif x eq 1 { exit 0 }\npause", 0),
        ("set x 1\nif x eq 1 { exit 0 }\nelse { exit 1 }\npause", 1),
        ("forever { break; pause }\npause", 1),
        ("on SIGTERM { exit 0; pause }\npause", 1),
        ("forever { on SIGTERM { exit 0 } }\npause", 1),
    ] {
        let found = messages(body);
        assert_eq!(found.len(), count, "{body}: {found:?}");
        assert!(found.iter().all(|message| message.starts_with("this is never reached")));
    }
}

#[test]
fn pipes_and_barriers_without_use() {
    assert_eq!(messages("pipe p\nclose p.read\nwrite p.write \"x\""), [""; 0]);
    assert_eq!(messages("pipe p\nread p.read"), ["nothing ever uses `p.write`"]);
    assert_eq!(messages("pipe p"), ["nothing ever uses `p.read`", "nothing ever uses `p.write`"]);
    assert_eq!(messages("barrier b"), ["only one process comes to the barrier `b`"]);
    assert_eq!(messages("fork c { barrier b }\nbarrier b"), [""; 0]);
}

#[test]
fn ends_segments_and_sockets_without_use() {
    assert_eq!(messages("socketpair s\nsend s.a \"x\""), ["nothing ever uses `s.b`"]);
    assert_eq!(messages("pty t\nread t.master"), ["nothing ever uses `t.slave`"]);
    assert_eq!(messages("shmget m 8\nload x m 0"), ["nothing ever attaches `m`"]);
    assert_eq!(messages("shmget m 8\nshmat m\nload x m 0\nmmap n 8\nload y n 0"), [""; 0]);
    assert_eq!(messages("socket s inet\nsocket c inet\nconnect c s"), ["nothing ever binds `s`"]);
    assert_eq!(messages("socket s inet\nconnect s s fails=ECONNREFUSED"), [""; 0]);
    assert_eq!(messages("socket s inet\nsocket c inet\nfork d { bind s 0 }\nconnect c s"), [""; 0]);
}
