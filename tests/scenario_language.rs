//! The scenario language from outside: files in, programs or messages out.

use std::fs;
use std::path::{Path, PathBuf};

use proclab::scenario::library::{Library, Origin, load_file};
use proclab::scenario::{Scenario, lint, parse, render_all, words};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(ROOT).join("scenarios"))
        .expect("scenarios")
        .flat_map(|topic| fs::read_dir(topic.expect("a topic").path()).expect("a folder"))
        .map(|file| file.expect("a file").path())
        .collect();
    files.sort();
    files
}

fn scenarios() -> Vec<(PathBuf, Scenario)> {
    files()
        .into_iter()
        .map(|path| {
            let scenario = load_file(&path).unwrap_or_else(|error| panic!("{error}"));
            (path, scenario)
        })
        .collect()
}

#[test]
fn every_scenario_that_ships_is_without_fault() {
    let all = scenarios();
    assert!(all.len() >= 96, "{}", all.len());
    for (path, scenario) in all {
        let problems = lint(&scenario, Some(&path));
        assert!(problems.is_empty(), "{}", render_all(&problems, &path.display().to_string(), &scenario.source));
    }
}

#[test]
fn the_binary_holds_what_the_folder_holds() {
    let library = Library::embedded();
    let names: Vec<&str> = library.entries().map(|entry| entry.name.as_str()).collect();
    for (path, scenario) in scenarios() {
        assert!(names.contains(&scenario.name.as_str()), "{}: build again", scenario.name);
        assert_eq!(library.find(&scenario.name).map(|embedded| embedded.source), Ok(scenario.source), "{path:?}");
    }
    assert_eq!(names.len(), files().len());
    assert!(library.entries().all(|entry| entry.origin == Origin::Embedded));
}

/// The `kdl` blocks of the reference, each with its line.
fn examples() -> Vec<(usize, String)> {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/scenario-language.md")).expect("the reference");
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match &mut open {
            None if line == "```kdl" => open = Some((index + 2, String::new())),
            Some(_) if line == "```" => found.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
            None => {}
        }
    }
    found
}

/// Whole files stay as they are; statements are put into a process.
fn as_file(block: &str) -> String {
    let first = block.split_whitespace().next().unwrap_or_default();
    if words::TOP.iter().any(|word| word.name == first) {
        block.to_owned()
    } else {
        format!("process demo {{\n{block}\n}}\n")
    }
}

#[test]
fn every_example_of_the_reference_is_understood() {
    let examples = examples();
    assert!(examples.len() > 20, "{}", examples.len());
    for (line, block) in examples {
        let text = as_file(&block);
        let file = format!("docs/scenario-language.md, the example at line {line}");
        if let Err(problems) = parse("docs/example", &file, &text) {
            panic!("{}", render_all(&problems, &file, &text));
        }
    }
}

#[test]
fn the_reference_shows_every_word() {
    let reference = fs::read_to_string(Path::new(ROOT).join("docs/scenario-language.md")).expect("the reference");
    let shown: Vec<String> = examples().into_iter().map(|(_, block)| block).collect();
    let in_examples = |word: &str| {
        shown.iter().any(|block| block.split(|c: char| c.is_whitespace() || matches!(c, ';' | '{')).any(|w| w == word))
    };
    for word in words::STATEMENTS {
        assert!(in_examples(word.name), "no example of `{}`", word.name);
        for option in word.options {
            assert!(shown.iter().any(|block| block.contains(&format!("{option}="))), "no example of `{option}=`");
        }
    }
    for word in words::EXPECTATIONS {
        assert!(reference.contains(&format!("| `{}", word.name)), "`{}` is not in the table", word.name);
        assert!(in_examples(word.name), "no example of `{}`", word.name);
    }
    for word in words::TOP {
        assert!(reference.contains(&format!("| `{}", word.name)), "`{}` is not in the table", word.name);
    }
    for rule in proclab::scenario::RULES {
        assert!(reference.contains(&format!("`{rule}`")), "`{rule}` is not listed");
    }
}
