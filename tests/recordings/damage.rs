//! Files that are not ours, or not any more.

use std::fmt::Write as _;
use std::io::Cursor;

use proclab::model::ChannelKind;
use proclab::record::{self, Damage};

use super::{HEADER, read};

fn damage(file: impl AsRef<[u8]>) -> Damage {
    match record::read(Cursor::new(file.as_ref())) {
        Err(damage) => damage,
        Ok(reading) => reading.problem.expect("damage"),
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    let reason = |file: &str| {
        let damage = record::read(Cursor::new(file)).expect_err("refused");
        assert_eq!(damage.line, 1);
        damage.reason
    };
    assert_eq!(reason(""), "not a proclab recording: the file is empty");
    assert_eq!(reason("\x7fELF"), "not a proclab recording: the first line is no header");
    assert_eq!(reason("{\"seq\":0}\n"), "not a proclab recording: the first line is no header");
    assert_eq!(reason("{\"proclab\":0}\n"), "not a proclab recording: there is no format 0");
    assert!(reason("{\"proclab\":2,\"other\":true}\n").starts_with("made by a newer proclab: format 2"));
    assert!(reason("{\"proclab\":1}\n").starts_with("the header is damaged: missing field `lab`"));
    assert!(reason(&"[".repeat(1 << 20)).starts_with("not a proclab recording"));
}

#[test]
fn damage_says_where_and_why_and_keeps_the_rest() {
    let small = include_str!("small.jsonl");
    let lines: Vec<&str> = small.split_inclusive('\n').collect();
    let with = |from: usize, line: &str| format!("{}{line}\n{}", lines[..from].concat(), lines[from..].concat());
    let head = |seq: u32| format!(r#"{{"seq":{seq},"t":1,"task":"parent","pid":2,"tid":2,"event":"#);
    for (line, reason) in [
        (head(3), "the line is cut off"),
        (format!("{}\"read\"}}", head(3)), "the field `channel` is missing"),
        (format!("{}\"read\",\"channel\":\"q\",\"fd\":3,\"bytes\":1}}", head(3)), "no channel is called \"q\" yet"),
        (format!("{}\"reparent\",\"to\":\"nobody\"}}", head(3)), "no task is called \"nobody\" yet"),
        (format!("{}\"exit\"}}", head(3)), "neither `code` nor `signal` says how it ended"),
        (format!("{}\"exit\",\"signal\":\"SIGFOO\"}}", head(3)), "\"SIGFOO\" is no signal"),
        (format!("{}\"note\",\"text\":\"\"}}", head(9)), "event 9 stands where event 3 should"),
        (format!("{}\"note\",\"text\":5}}", head(3)), "invalid type: integer `5`, expected a string (column 70)"),
        ("[]".to_owned(), "the line is no JSON object"),
    ] {
        let file = with(4, &line);
        let found = damage(&file);
        assert_eq!((found.line, found.reason.as_str()), (5, reason), "{line}");
        assert_eq!(read(file.as_bytes()).log.len(), 3);
    }
    let cut = &small[..small.len() - 9];
    assert_eq!(damage(cut), Damage { line: 20, reason: "the line is cut off".into() });
    assert_eq!(read(cut.as_bytes()).log.len(), 18);
}

#[test]
fn endless_lines_are_not_kept() {
    let endless = std::io::BufReader::new(std::io::Read::chain(HEADER.as_bytes(), std::io::repeat(b'x')));
    let problem = record::read(endless).expect("a header").problem;
    assert_eq!(problem, Some(Damage { line: 2, reason: "the line is longer than 16 MiB".into() }));
    assert!(record::read(std::io::BufReader::new(std::io::repeat(b'{'))).is_err());
}

#[test]
fn forged_copies_are_bounded() {
    let mut file = HEADER.to_owned();
    let mut seq = 0;
    let mut put = |rest: String| {
        writeln!(file, r#"{{"seq":{seq},"t":0,"task":"init","pid":1,"tid":1,"event":{rest}}}"#).expect("memory");
        seq += 1;
    };
    put(r#""create","channel":"p","kind":"pipe","name":"p""#.to_owned());
    for fd in 0..3000 {
        put(format!(r#""open","fd":{fd},"channel":"p","access":"rw""#));
    }
    for n in 0..3000 {
        put(format!(r#""spawn","child":"t{n}","child_pid":1,"how":"fork""#));
    }
    assert_eq!(damage(&file).reason, "more descriptors are open at once than any machine has");
}

#[test]
fn later_versions_may_know_more() {
    let mut file = HEADER.to_owned();
    for line in [
        r#"{"seq":0,"t":0,"task":"init","pid":1,"tid":1,"event":"teleport","to":{"x":1},"data":7}"#,
        r#"{"seq":1,"t":0,"task":"init","pid":1,"tid":1,"event":"wormhole"}"#,
        "",
        r#"{"seq":2,"t":0,"task":"init","pid":1,"tid":1,"event":"create","channel":"q","kind":"quantum","colour":"red"}"#,
    ] {
        writeln!(file, "{line}").expect("memory");
    }
    let reading = read(file.as_bytes());
    assert_eq!((reading.problem, reading.skipped, reading.log.len()), (None, 2, 1));
    let channels: Vec<_> = reading.log.head().channels().map(|channel| channel.kind).collect();
    assert_eq!(channels, [ChannelKind::Anonymous]);
}
