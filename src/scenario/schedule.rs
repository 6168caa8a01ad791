//! Schedules as text: what `--schedule` takes and what a run prints so that it can be replayed.
//!
//! `parent:3,child:1,child@blocked,child@exit,child@write,clock,all`: steps are counted after a colon, and
//! after an at sign stands until what a task runs. Names of foreign programs may hold anything, so
//! the characters with a meaning are written `%2C` as in a URL.

use std::fmt;
use std::fmt::Write as _;

use super::{Turn, Until};

const ALL: &str = "all";
const CLOCK: &str = "clock";
const BLOCKED: &str = "blocked";
const EXIT: &str = "exit";

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { name, count } => {
                escape(f, name)?;
                write!(f, ":{count}")
            }
            Self::Run { name, until } => {
                escape(f, name)?;
                f.write_char('@')?;
                match until {
                    Until::Blocked => f.write_str(BLOCKED),
                    Until::Exit => f.write_str(EXIT),
                    Until::Reaches(place) if place == BLOCKED || place == EXIT => {
                        write!(f, "%{:02X}{}", place.as_bytes()[0], &place[1..])
                    }
                    Until::Reaches(place) => escape(f, place),
                }
            }
            Self::Clock => f.write_str(CLOCK),
            Self::All => f.write_str(ALL),
        }
    }
}

/// A schedule as `--schedule` takes it.
pub fn schedule_text(turns: &[Turn]) -> String {
    let mut text = String::new();
    for (index, turn) in turns.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let _ = write!(text, "{turn}");
    }
    text
}

/// Reads a schedule as `--schedule` takes it. Blanks around the commas are allowed, and so is an
/// empty text, which is no turn at all. The error is a sentence that names the item.
pub fn parse_schedule(text: &str) -> Result<Vec<Turn>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .enumerate()
        .map(|(index, item)| {
            let item = item.trim();
            parse_turn(item).map_err(|why| format!("item {} of the schedule, `{}`: {why}", index + 1, excerpt(item)))
        })
        .collect()
}

fn parse_turn(item: &str) -> Result<Turn, String> {
    if item == ALL {
        return Ok(Turn::All);
    }
    if item == CLOCK {
        return Ok(Turn::Clock);
    }
    if let Some((name, until)) = item.split_once('@') {
        let until = match until {
            BLOCKED => Until::Blocked,
            EXIT => Until::Exit,
            "" => return Err("until what? `@blocked`, `@exit`, `@` and a label, a call or a signal".to_owned()),
            place => Until::reaches(&unescape(place)?),
        };
        return Ok(Turn::Run { name: named(name)?, until });
    }
    if let Some((name, count)) = item.rsplit_once(':') {
        let count = count.parse().map_err(|_| format!("`{}` is no number of steps", excerpt(count)))?;
        return Ok(Turn::Step { name: named(name)?, count });
    }
    Err("write `NAME:3` for three steps, `NAME@blocked` to run until it blocks, `clock` or `all`".to_owned())
}

fn named(name: &str) -> Result<String, String> {
    if name.is_empty() { Err("the name of a process is missing".to_owned()) } else { unescape(name) }
}

fn excerpt(item: &str) -> String {
    let mut chars = item.chars().filter(|c| !c.is_control());
    let start: String = chars.by_ref().take(40).collect();
    if chars.next().is_some() { start + "…" } else { start }
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() || matches!(c, ',' | ':' | '@' | '%') {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                write!(f, "%{byte:02X}")?;
            }
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}

fn unescape(text: &str) -> Result<String, String> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
            let byte = digits.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let byte = byte.and_then(|two| u8::from_str_radix(two, 16).ok());
            bytes.push(byte.ok_or("`%` is followed by two hexadecimal digits")?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).map_err(|_| "the name is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step(name: &str, count: u32) -> Turn {
        Turn::Step { name: name.to_owned(), count }
    }

    fn run(name: &str, until: Until) -> Turn {
        Turn::Run { name: name.to_owned(), until }
    }

    #[test]
    fn the_form_of_the_command_line() {
        let text = "parent:3,child:1,child#2@blocked,parent.child@exit,child@write,all";
        let turns = vec![
            step("parent", 3),
            step("child", 1),
            run("child#2", Until::Blocked),
            run("parent.child", Until::Exit),
            run("child", Until::Reaches("write".to_owned())),
            Turn::All,
        ];
        assert_eq!(parse_schedule(text), Ok(turns.clone()));
        assert_eq!(schedule_text(&turns), text);
        assert_eq!(parse_schedule(" parent:3 , all ").map(|turns| turns.len()), Ok(2));
        assert_eq!(parse_schedule(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("parent:3,child", "item 2 of the schedule, `child`: write `NAME:3`"),
            ("parent:x", "`x` is no number of steps"),
            ("parent:-1", "`-1` is no number of steps"),
            (":1", "the name of a process is missing"),
            ("a@", "until what?"),
            ("a%2:1", "two hexadecimal digits"),
            ("%FF:1", "not UTF-8"),
            ("a:1,,b:1", "item 2"),
        ] {
            let error = parse_schedule(text).expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_long_schedule_is_read_at_once() {
        let turns: Vec<Turn> = (0..100_000).map(|n| step(if n % 2 == 0 { "parent" } else { "child" }, n)).collect();
        let text = schedule_text(&turns);
        let start = std::time::Instant::now();
        assert_eq!(parse_schedule(&text), Ok(turns));
        assert!(start.elapsed() < std::time::Duration::from_secs(2), "{:?}", start.elapsed());
    }

    fn turn() -> impl Strategy<Value = Turn> {
        let name = prop_oneof!["[a-z][a-z0-9.#_-]{0,8}", ".{1,6}", Just("all".to_owned())];
        let until = prop_oneof![
            Just(Until::Blocked),
            Just(Until::Exit),
            prop_oneof!["[a-z0-9_-]{1,8}", ".{1,6}", Just("blocked".to_owned()), Just("exit".to_owned())]
                .prop_map(Until::Reaches),
        ];
        prop_oneof![
            (name.clone(), any::<u32>()).prop_map(|(name, count)| Turn::Step { name, count }),
            (name, until).prop_map(|(name, until)| Turn::Run { name, until }),
            Just(Turn::All),
            Just(Turn::Clock),
        ]
    }

    proptest! {
        #[test]
        fn every_schedule_is_read_back(turns in proptest::collection::vec(turn(), 0..20)) {
            prop_assert_eq!(parse_schedule(&schedule_text(&turns)), Ok(turns));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[a-z:@,%0-9]{0,20}") {
            let _ = parse_schedule(&text);
        }
    }
}
