//! `check`: judged, and printed for people and programs.

use super::{GOOD, Place, bad};

#[test]
fn what_holds_is_marked_line_by_line() {
    let place = Place::new();
    place.write("mine/good.kdl", GOOD);
    let ran = place.run(&["check", "mine/good.kdl"]).code(0);
    let expected = "✓ mine/good  Good  (seed 0)\n  ✓ exited child code=3\n  ✓ output parent \"hello\\n\"\n\n1 run, every \
                    expectation held\n";
    assert_eq!(ran.text(), expected);
    assert_eq!(ran.stderr, "");
}

#[test]
fn what_does_not_hold_says_why_and_how_to_see_it_again() {
    let place = Place::new();
    place.write("mine/bad.kdl", bad());
    let ran = place.run(&["check", "mine/bad.kdl", "--seed", "3"]).code(1);
    let lines: Vec<&str> = ran.text().lines().collect();
    assert_eq!(lines[0], "✗ mine/bad  Good  (seed 3)");
    assert_eq!(lines[1], "  ✗ exited child code=4");
    assert!(lines[2].starts_with("      line 12: ") && lines[2].contains('3'), "{}", lines[2]);
    let schedule = lines.iter().find_map(|line| line.strip_prefix("    schedule: ")).expect("a schedule");
    let again = format!("    again: proclab run mine/bad.kdl --seed 3 --schedule '{schedule}'");
    assert!(lines.contains(&again.as_str()), "{}", ran.text());
    let same = place.run(&["check", "mine/bad.kdl", "--schedule", schedule]).code(1);
    assert!(same.text().contains(&format!("schedule: {schedule}\n")), "{}", same.text());
}

#[test]
fn a_run_over_its_limit_fails() {
    let place = Place::new();
    place.write("mine/long.kdl", "title \"Long\"\nlimit events=50\nprocess a { forever { note \"x\" } }\n");
    let ran = place.run(&["check", "mine/long.kdl"]).code(1);
    assert!(ran.text().contains("✗ the end: the run has reached its limit of 50 events"), "{}", ran.text());
}

#[test]
fn without_utf8_marks_are_words() {
    let place = Place::new();
    place.write("mine/bad.kdl", bad());
    let ran = super::finish(place.proclab(&["check", "mine/bad.kdl"]).env("LC_ALL", "C")).code(1);
    assert!(ran.text().starts_with("NO mine/bad"), "{}", ran.text());
    assert!(ran.text().contains("\n  ok output parent"), "{}", ran.text());
}

#[test]
fn several_seeds_of_several_scenarios() {
    let place = Place::new();
    place.write("mine/good.kdl", GOOD);
    place.write("mine/bad.kdl", bad());
    let ran = place.run(&["check", "--seeds", "3", "mine/good.kdl"]).code(0);
    assert_eq!(ran.text(), "✓ mine/good  Good  (3 seeds)\n\n3 runs, every expectation held\n");
    let ran = place.run(&["check", "--seeds", "2", "mine/good.kdl", "mine/bad.kdl"]).code(1);
    assert!(ran.text().contains("  2 of 2 seeds failed\n\n4 runs, 2 failed\n"), "{}", ran.text());
}

#[test]
fn json_is_an_array_of_runs() {
    let place = Place::new();
    place.write("mine/good.kdl", GOOD);
    place.write("mine/bad.kdl", bad());
    let ran = place.run(&["check", "--format", "json", "mine/good.kdl", "mine/bad.kdl"]).code(1);
    let runs: serde_json::Value = serde_json::from_str(ran.text()).expect("JSON");
    assert_eq!(runs.as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&runs[0]["scenario"], &runs[0]["held"], &runs[0]["mode"]),
        (&"mine/good".into(), &true.into(), &"serial".into())
    );
    assert_eq!(runs[1]["expectations"][0]["held"], false);
    assert_eq!(runs[1]["expectations"][1]["text"], "output parent \"hello\\n\"");
    assert!(runs[1]["schedule"].as_str().is_some_and(|text| text.starts_with("parent:")));
}

#[test]
fn junit_is_well_formed() {
    let place = Place::new();
    place.write("mine/good.kdl", GOOD);
    place.write("mine/bad.kdl", bad().replace("\"Good\"", "\"<&>' \\\"\""));
    let ran = place.run(&["check", "--format", "junit", "mine/good.kdl", "mine/bad.kdl", "nosuch"]).code(2);
    let tags = well_formed(ran.text());
    let count = |name: &str| tags.iter().filter(|tag| tag.as_str() == name).count();
    assert_eq!((count("testsuites"), count("testsuite")), (1, 3));
    assert_eq!((count("testcase"), count("failure"), count("error")), (7, 1, 1));
    assert!(ran.text().contains("value=\"&lt;&amp;&gt;&apos; &quot;\""), "{}", ran.text());
    assert!(ran.stderr.contains("there is no scenario `nosuch`"), "{}", ran.stderr);
}

#[test]
fn the_rest_is_checked_although_one_is_not_there() {
    let place = Place::new();
    place.write("mine/good.kdl", GOOD);
    let ran = place.run(&["check", "nosuch", "mine/good.kdl"]).code(2);
    assert!(ran.text().contains("✗ nosuch  cannot be run\n✓ mine/good"), "{}", ran.text());
}

#[test]
fn without_a_name_every_scenario_of_the_list_is_checked() {
    let place = Place::new();
    place.write(".local/share/proclab/scenarios/mine/good.kdl", GOOD);
    let listed: serde_json::Value =
        serde_json::from_str(place.run(&["list", "--format", "json"]).code(0).text()).expect("JSON");
    let checked = place.run(&["check", "--format", "json"]);
    let runs: serde_json::Value = serde_json::from_str(checked.text()).expect("JSON");
    let names = |value: &serde_json::Value, key: &str| -> Vec<String> {
        value.as_array().expect("an array").iter().map(|item| item[key].to_string()).collect()
    };
    assert_eq!(names(&runs, "scenario"), names(&listed, "name"));
    let failed: Vec<&serde_json::Value> =
        runs.as_array().expect("an array").iter().filter(|run| run["held"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(checked.status.success());
}

/// In a directory of strangers: what they have put there runs when it is named as theirs, and never else.
#[test]
fn what_lies_in_this_directory_is_run_only_by_name() {
    let place = Place::new();
    let hostile = |title: &str| {
        let text = format!("title \"{title}\"\nlevel 1\nprocess a {{ exec sh -c \"touch TOUCHED\" }}\n");
        text.replace("TOUCHED", place.path("touched").to_str().expect("text"))
    };
    place.write("scenarios/pipes/one-pipe.kdl", hostile("Theirs"));
    place.write("scenarios/evil/deaf.kdl", hostile("Theirs too"));
    let was_run = || std::fs::remove_file(place.path("touched")).is_ok();
    let checked = place.run(&["check"]).code(0);
    assert!(!was_run() && !checked.text().contains("Theirs"), "{}", checked.text());
    assert!(
        checked.text().contains("✓ pipes/one-pipe  One pipe, two processes  (seed 0), built in\n"),
        "{}",
        checked.text()
    );
    assert!(
        checked.stderr.contains("2 scenarios were left out") && checked.stderr.contains("./NAME"),
        "{}",
        checked.stderr
    );
    for name in ["one-pipe", "pipes/one-pipe"] {
        let named = place.run(&["check", name]).code(0);
        assert!(!was_run() && named.text().contains("One pipe, two processes"), "{}", named.text());
        place.run(&["record", "-o", "log", name]).code(0);
        assert!(!was_run());
    }
    for name in ["./one-pipe", "./pipes/one-pipe", "./scenarios/pipes/one-pipe.kdl", "scenarios/pipes/one-pipe.kdl"] {
        let named = place.run(&["check", name]).code(0);
        assert!(was_run() && named.text().contains("Theirs"), "{}", named.text());
    }
    let asked = place.run(&["check", "--dir", "scenarios", "--format", "json", "pipes/one-pipe"]).code(0);
    let runs: serde_json::Value = serde_json::from_str(asked.text()).expect("JSON");
    assert!(was_run() && runs[0]["source"] == "--dir" && runs[0]["title"] == "Theirs", "{runs}");
}

#[test]
fn free_mode_leaves_out_what_shows_a_schedule() {
    let place = Place::new();
    let scheduled = GOOD.replace("expect {", "schedule { run all }\nexpect {");
    assert_ne!(scheduled, GOOD);
    place.write(".local/share/proclab/scenarios/mine/good.kdl", GOOD);
    place.write(".local/share/proclab/scenarios/mine/scheduled.kdl", &scheduled);
    let checked = place.run(&["check", "--free", "--format", "json"]);
    let runs: serde_json::Value = serde_json::from_str(checked.text()).expect("JSON");
    let names: Vec<_> = runs.as_array().expect("an array").iter().map(|run| run["scenario"].as_str()).collect();
    assert!(names.contains(&Some("mine/good")) && !names.contains(&Some("mine/scheduled")), "{names:?}");
    assert!(checked.stderr.contains("show a schedule, which free mode does not follow"), "{}", checked.stderr);
    let asked_for = place.run(&["check", "--free", "mine/scheduled"]).code(0);
    assert!(asked_for.text().contains("mine/scheduled"), "{}", asked_for.text());
}

/// The names of all elements of a document; panics if it is not well formed.
fn well_formed(xml: &str) -> Vec<String> {
    let body = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("a declaration");
    let (mut open, mut all) = (Vec::new(), Vec::new());
    let mut rest = body;
    while let Some(at) = rest.find('<') {
        assert!(rest[..at].trim().is_empty(), "text between elements: {}", &rest[..at]);
        let end = end_of_tag(&rest[at..]);
        let tag = &rest[at + 1..at + end];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed in order");
        } else {
            let name = tag.split([' ', '/']).next().expect("a name").to_owned();
            all.push(name.clone());
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        rest = &rest[at + end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty());
    all
}

/// Where a tag ends; its attributes hold no `<` and only known entities.
fn end_of_tag(text: &str) -> usize {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '>' if !quoted => return at,
            '<' => assert!(at == 0, "< in a tag"),
            '&' => {
                let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&#"];
                assert!(known.iter().any(|entity| text[at..].starts_with(entity)), "{}", &text[at..]);
            }
            _ => {}
        }
    }
    panic!("a tag does not end: {text}");
}
