//! `proclab new`: a scenario file to start from.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::out::print;
use super::{Exit, Failure};
use crate::scenario::template;
use crate::text;

/// The folder of scenarios that nobody gave a topic.
const TOPIC: &str = "mine";

/// Write a scenario file to start from
#[derive(Debug, clap::Args)]
pub struct Args {
    /// NAME, TOPIC/NAME, or the path of a .kdl file
    #[arg(value_name = "NAME")]
    name: String,
    /// The folder that holds the folders of topics
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    dir: PathBuf,
}

/// Runs the command.
pub fn new(args: &Args) -> Result<Exit, Failure> {
    let New { path, topic, stem } = place(&args.name, &args.dir)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Failure::usage(format!("{} is there already; choose another name", text::path(&path))));
        }
        Err(error) => return Err(Failure::file("write", &path, &error)),
    };
    let written = file.write_all(template(&stem, &topic).as_bytes());
    written.map_err(|error| Failure::file("write", &path, &error))?;
    let shown = text::path(&path);
    print(&format!("wrote {shown}\nnext: edit it, then `proclab lint {shown}` and `proclab run {shown}`\n"))?;
    Ok(Exit::DONE)
}

#[derive(Debug, PartialEq, Eq)]
struct New {
    path: PathBuf,
    topic: String,
    stem: String,
}

/// Where a new scenario goes.
fn place(name: &str, dir: &Path) -> Result<New, Failure> {
    let refused = || {
        Failure::usage(format!(
            "`{name}` is no name for a scenario: use letters, digits, - and _, as in pipes/two-pipes"
        ))
    };
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    if let Some(path) = name.strip_suffix(".kdl") {
        let stem = path.rsplit('/').next().filter(|stem| is_word(stem)).ok_or_else(refused)?.to_owned();
        let path = PathBuf::from(name);
        let absolute = std::path::absolute(&path).map_err(|error| Failure::file("find", &path, &error))?;
        let folder = absolute.parent().and_then(Path::file_name).map(|folder| folder.to_string_lossy().into_owned());
        return Ok(New { path, topic: folder.unwrap_or_else(|| TOPIC.to_owned()), stem });
    }
    let (topic, stem) = name.split_once('/').unwrap_or((TOPIC, name));
    if !is_word(topic) || !is_word(stem) {
        return Err(refused());
    }
    Ok(New { path: dir.join(topic).join(format!("{stem}.kdl")), topic: topic.to_owned(), stem: stem.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_where() {
        let at = |name: &str| place(name, Path::new("scenarios")).map(|new| (new.path, new.topic, new.stem));
        let expected = |path: &str, topic: &str, stem: &str| Ok((path.into(), topic.to_owned(), stem.to_owned()));
        assert_eq!(at("two-pipes"), expected("scenarios/mine/two-pipes.kdl", "mine", "two-pipes"));
        assert_eq!(at("pipes/two"), expected("scenarios/pipes/two.kdl", "pipes", "two"));
        assert_eq!(at("a/b/c.kdl"), expected("a/b/c.kdl", "b", "c"));
        for wrong in ["", "../x", "a/b/c", "/x", ".hidden", "a b", "x/.kdl", "-x"] {
            assert_eq!(at(wrong).expect_err(wrong).exit, Exit::INVALID);
        }
    }
}
