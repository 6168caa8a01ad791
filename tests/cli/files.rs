//! `list`, `lint`, `new`, `doctor`, `completions` and `man`.

use super::{GOOD, Place};

#[test]
fn the_list_has_topics_levels_and_titles() {
    let place = Place::new();
    place.write("scenarios/mine/good.kdl", GOOD);
    place.write("more/mine/other.kdl", GOOD.replace("Good", "Other"));
    let ran = place.run(&["list", "--dir", "more"]).code(0);
    let lines: Vec<&str> = ran.text().lines().collect();
    let topic = lines.iter().position(|line| *line == "mine").expect("the topic");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[topic + 1]), ["other", "1", "--dir", "Other"]);
    // What lies in this directory comes last, and has names of its own.
    assert_eq!(lines[lines.len() - 2], "mine");
    assert_eq!(words(lines[lines.len() - 1]), ["./good", "1", "this", "directory", "Good"]);
    let built_in = lines.iter().find(|line| line.starts_with("  one-pipe ")).expect("those of the binary");
    assert_eq!(words(built_in)[..4], ["one-pipe", "1", "built", "in"]);
}

#[test]
fn the_list_as_json_says_where_each_comes_from() {
    let place = Place::new();
    place.write("scenarios/mine/bad.kdl", "process a { wirte stdout \"x\" }");
    let ran = place.run(&["list", "--format", "json"]).code(2);
    let items: serde_json::Value = serde_json::from_str(ran.text()).expect("JSON");
    let find = |name: &str| items.as_array().expect("an array").iter().find(|item| item["name"] == name).cloned();
    let built_in = find("pipes/one-pipe").expect("there");
    assert_eq!((&built_in["origin"], &built_in["problem"]), (&"built in".into(), &serde_json::Value::Null));
    assert_eq!(built_in["source"], "built in");
    let bad = find("./mine/bad").expect("there");
    assert_eq!((&bad["source"], &bad["topic"]), (&"this directory".into(), &"mine".into()));
    assert_eq!(bad["origin"], "scenarios/mine/bad.kdl");
    assert!(bad["problem"].as_str().is_some_and(|text| text.contains("did you mean `write`?")));
    assert!(ran.stderr.contains("--> scenarios/mine/bad.kdl"), "{}", ran.stderr);
}

#[test]
fn lint_finds_errors_and_warnings_in_files_and_folders() {
    let place = Place::new();
    place.write("scenarios/mine/good.kdl", GOOD);
    let ran = place.run(&["lint"]).code(0);
    assert_eq!(ran.text(), "1 file, nothing to complain about\n");
    place.write("scenarios/mine/bad.kdl", "process a { wirte stdout \"x\" }");
    place.write("scenarios/mine/poor.kdl", "process a { exit 0 }");
    place.write("scenarios/mine/notes.txt", "no scenario");
    let ran = place.run(&["lint"]).code(2);
    assert!(ran.text().contains("error: ") && ran.text().contains("--> scenarios/mine/bad.kdl:1:13"), "{}", ran.text());
    assert!(ran.text().contains("warning: there is no `story`"), "{}", ran.text());
    assert!(ran.text().lines().last().is_some_and(|line| line.starts_with("3 files, ")), "{}", ran.text());
    place.run(&["lint", "scenarios/mine/good.kdl"]).code(0);
    let ran = place.run(&["lint", "none", "scenarios/mine/good.kdl"]).code(2);
    assert!(ran.stderr.contains("cannot read none: No such file or directory"), "{}", ran.stderr);
}

#[test]
fn lint_without_a_folder_says_so() {
    let ran = Place::new().run(&["lint"]).code(2);
    assert!(ran.stderr.contains("cannot read scenarios: No such file or directory"), "{}", ran.stderr);
}

#[test]
fn a_new_scenario_is_without_fault_and_is_never_overwritten() {
    let place = Place::new();
    for (name, path) in [("first", "scenarios/mine/first.kdl"), ("pipes/two", "scenarios/pipes/two.kdl")] {
        let ran = place.run(&["new", name]).code(0);
        assert!(ran.text().starts_with(&format!("wrote {path}\n")), "{}", ran.text());
        let ran = place.run(&["new", name]).code(2);
        assert!(ran.stderr.contains(&format!("{path} is there already")), "{}", ran.stderr);
    }
    assert_eq!(place.run(&["lint"]).code(0).text(), "2 files, nothing to complain about\n");
    place.run(&["check", "./mine/first", "./pipes/two"]).code(0);
    place.run(&["new", "own/third.kdl"]).code(0);
    assert!(place.path("own/third.kdl").is_file());
    place.run(&["new", "../x"]).code(2);
    assert!(place.run(&["new", "a/b/c"]).code(2).stderr.contains("letters, digits"));
}

#[test]
fn the_doctor_says_a_line_about_each_thing() {
    let ran = Place::new().run(&["doctor"]).code(0);
    assert!(ran.text().lines().all(|line| line.starts_with(['✓', '✗', '–'])), "{}", ran.text());
    for what in ["kernel", "ptrace", "seccomp", "yama", "namespaces", "machine", "terminal", "UTF-8", "leftovers"] {
        let named = |line: &str| line[line.find(' ').unwrap_or(0) + 1..].starts_with(&format!("{what}: "));
        assert!(ran.text().lines().any(named), "{what}: {}", ran.text());
    }
    assert!(ran.text().contains("✓ ptrace: a process was seized"), "{}", ran.text());
}

#[test]
fn the_doctor_knows_that_namespaces_can_be_done_without() {
    let place = Place::new();
    let ran = super::finish(place.proclab(&["doctor"]).env("PROCLAB_NO_NAMESPACES", "1")).code(0);
    assert!(ran.text().contains("– namespaces: PROCLAB_NO_NAMESPACES is set"), "{}", ran.text());
}

#[test]
fn completions_exist_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = place.run(&["completions", shell]).code(0);
        assert!(ran.text().contains("replay") && ran.text().len() > 1000, "{shell}");
    }
}

#[test]
fn the_manual_page_is_roff() {
    let ran = Place::new().run(&["man"]).code(0);
    assert!(ran.text().contains(".TH proclab 1"), "{}", &ran.text()[..200]);
    for heading in ["COMMANDS", "KEYS", "SCENARIOS", "\"EXIT STATUS\"", "FILES", "ENVIRONMENT", "EXAMPLES"] {
        assert!(ran.text().contains(heading), "{heading}");
    }
}
