//! `proclab lint`: what is wrong with scenario files, or could be better.

use std::path::{Path, PathBuf};

use super::out::{print, say_lines};
use super::{Exit, Failure};
use crate::scenario::{self, library};
use crate::text;

/// Find what is wrong with scenario files without running them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, or folders of files
    #[arg(value_name = "PATH", default_value = "scenarios")]
    paths: Vec<PathBuf>,
}

/// Runs the command.
pub fn lint(args: &Args) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    crate::sys::needs::check_for_files()?;
    let mut unreadable = Vec::new();
    for path in &args.paths {
        if let Err(failure) = gather(path, &mut files) {
            unreadable.push(failure.message);
        }
    }
    let mut findings = Vec::new();
    for path in &files {
        match check(path) {
            Ok(found) => findings.extend(found),
            Err(why) => unreadable.push(why),
        }
    }
    let shown = findings.join("\n");
    let gap = if shown.is_empty() { "" } else { "\n" };
    print(&format!("{shown}{gap}{}\n", summary(files.len(), findings.len(), unreadable.len())))?;
    for sentence in &unreadable {
        say_lines(sentence);
    }
    Ok(if findings.is_empty() && unreadable.is_empty() { Exit::DONE } else { Exit::INVALID })
}

fn summary(files: usize, findings: usize, unreadable: usize) -> String {
    let plural = |count: usize, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    let read = plural(files, "file");
    match (findings, unreadable) {
        (0, 0) => format!("{read}, nothing to complain about"),
        (_, 0) => format!("{read}, {}", plural(findings, "finding")),
        _ => format!("{read}, {}, {unreadable} could not be read", plural(findings, "finding")),
    }
}

/// The findings in one file, ready to be shown; why it cannot be read, if so.
fn check(path: &Path) -> Result<Vec<String>, String> {
    match library::load_file(path) {
        Ok(scenario) => {
            let shown = text::path(path);
            let problems = scenario::lint(&scenario, Some(&std::path::absolute(path).unwrap_or_else(|_| path.into())));
            Ok(problems.iter().map(|problem| problem.render(&shown, &scenario.source)).collect())
        }
        Err(library::Error::Invalid { file, text, problems }) => {
            Ok(problems.iter().map(|problem| problem.render(&file, &text)).collect())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The scenario files at and below a path, sorted.
fn gather(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|error| Failure::file("read", path, &error))?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let is_scenario = path.extension().is_some_and(|extension| extension == "kdl");
        let is_folder = path.is_dir() && !path.is_symlink();
        if is_scenario || is_folder {
            gather(&path, files)?;
        }
    }
    Ok(())
}
