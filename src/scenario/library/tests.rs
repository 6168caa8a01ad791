use super::*;

const SMALL: &str = "title \"Mine\"\nlevel 2\nprocess a { note \"x\" }\n";

fn dir_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    dir
}

#[test]
fn built_in_scenarios_are_found_by_either_name() {
    let library = Library::embedded();
    let long = library.find("pipes/one-pipe").expect("there");
    assert_eq!(library.find("one-pipe"), Ok(long.clone()));
    assert_eq!((long.name.as_str(), long.topic.as_str()), ("pipes/one-pipe", "pipes"));
    let names: Vec<&String> = library.entries().map(|entry| &entry.name).collect();
    assert!(names.is_sorted());
}

#[test]
fn titles_and_levels_are_those_of_the_scenarios() {
    for entry in Library::embedded().entries() {
        let scenario = entry.scenario().expect("valid");
        assert_eq!((entry.title(), entry.level()), (scenario.title.clone(), scenario.level), "{}", entry.name);
    }
    let odd = |text| Entry::new("a/b".into(), "b".into(), Origin::Embedded, Ok(Cow::Borrowed(text)));
    assert_eq!(odd("title \"say \\\"a\\\"\"; level 3\nprocess p { pause }\n").title(), "say \"a\"");
    assert_eq!(odd("level 3 // late\nprocess p { pause }\n").level(), 3);
    assert_eq!((odd("no scenario").title(), odd("no scenario").level()), ("b".to_owned(), 1));
}

#[test]
fn what_is_not_there_is_guessed_at() {
    let library = Library::embedded();
    for (wrong, said) in [
        ("one-pip", "there is no scenario `one-pip`: did you mean `pipes/one-pipe`?"),
        ("pipe/one-pipe", "there is no scenario `pipe/one-pipe`: did you mean `pipes/one-pipe`?"),
        ("xyzzy", "there is no scenario `xyzzy`: `proclab list` shows what there is"),
        ("./none.kdl", "cannot read ./none.kdl: No such file or directory"),
    ] {
        assert_eq!(library.find(wrong).expect_err(wrong).to_string(), said);
    }
}

#[test]
fn folders_override_and_bad_files_are_named() {
    let dir = dir_with(&[
        ("pipes/one-pipe.kdl", SMALL.as_bytes()),
        ("mine/bad.kdl", b"process a { wirte stdout \"x\" }"),
        ("mine/binary.kdl", b"\xff\xfe"),
        ("mine/one-pipe.kdl", SMALL.as_bytes()),
        ("mine/notes.txt", b"no scenario"),
        ("top.kdl", SMALL.as_bytes()),
    ]);
    let folder = |path: PathBuf| Folder { path, source: Source::Asked };
    let library = Library::load(&[folder(dir.path().to_owned()), folder(dir.path().join("none"))]);
    assert_eq!(library.find("pipes/one-pipe").map(|scenario| scenario.title), Ok("Mine".to_owned()));
    let error = library.find("one-pipe").expect_err("two");
    assert_eq!(error.to_string(), "`one-pipe` could be mine/one-pipe or pipes/one-pipe: give the topic too");
    assert!(library.find("bad").expect_err("bad").to_string().contains("did you mean `write`?"));
    assert!(library.find("binary").expect_err("binary").to_string().contains("mine/binary.kdl: it is not UTF-8"));
    assert!(library.find("top").is_ok());
    let path = dir.path().join("top.kdl");
    assert!(library.find(&path.to_string_lossy()).is_ok());
    assert!(library.errors()[0].to_string().ends_with("none: No such file or directory"));
    let mine = library.entries().find(|entry| entry.name == "pipes/one-pipe").expect("there");
    assert_eq!((mine.level(), &mine.origin), (2, &Origin::File(dir.path().join("pipes/one-pipe.kdl"))));
}

#[test]
fn what_is_no_ordinary_file_is_not_read() {
    let error = load_file(Path::new("/dev/zero")).expect_err("a device");
    assert_eq!(error.to_string(), "cannot read /dev/zero: it is no ordinary file");
    assert_eq!(load_file(Path::new("/tmp")).expect_err("a folder").to_string(), "cannot read /tmp: it is a directory");
}

#[test]
fn what_lies_in_this_directory_takes_no_other_ones_place() {
    let other = SMALL.replace("Mine", "Here");
    let here = dir_with(&[
        ("pipes/one-pipe.kdl", other.as_bytes()),
        ("evil/forgotten-write-end.kdl", other.as_bytes()),
        ("mine/own.kdl", other.as_bytes()),
    ]);
    let yours = dir_with(&[("proclab/scenarios/mine/own.kdl", SMALL.as_bytes())]);
    let yours = Folder { path: yours.path().join(YOURS), source: Source::Yours };
    let here = Folder { path: here.path().to_owned(), source: Source::Here };
    let library = Library::load(&[yours, here]);
    let found = |what: &str| library.look_up(what).map(|found| (found.source, found.scenario.title));
    let of_here = || Ok((Some(Source::Here), "Here".to_owned()));
    for name in ["pipes/one-pipe", "one-pipe", "forgotten-write-end"] {
        assert_eq!(found(name).expect(name).0, Some(Source::BuiltIn), "{name}");
    }
    assert_eq!(found("own"), Ok((Some(Source::Yours), "Mine".to_owned())));
    for name in ["./pipes/one-pipe", "./one-pipe", "./forgotten-write-end", "./own"] {
        assert_eq!(found(name), of_here(), "{name}");
    }
    let help = Some("one of this directory is called `./evil/forgotten-write-end`".to_owned());
    let name = "evil/forgotten-write-end".to_owned();
    assert_eq!(found(&name), Err(Error::NotFound { name, help }), "nobody has said that this one is meant");
    let names: Vec<&str> = library.entries().map(|entry| entry.name.as_str()).collect();
    let last = ["./evil/forgotten-write-end", "./mine/own", "./pipes/one-pipe"];
    assert!(names.ends_with(&last) && names.contains(&"pipes/one-pipe") && names.contains(&"mine/own"), "{names:?}");
    assert_eq!(library.find("./pipes/one-pipe").map(|scenario| scenario.name), Ok("./pipes/one-pipe".to_owned()));
}

#[test]
fn a_folder_that_others_may_write_to_is_not_yours() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = dir_with(&[("proclab/scenarios/mine/own.kdl", SMALL.as_bytes()), ("proclab/scenarios/a.kdl", b"")]);
    let path = dir.path().join(YOURS);
    assert!(is_yours(&path) && !is_yours(dir.path()));
    let files = |path: &Path| files_of(&Folder { path: path.to_owned(), source: Source::Yours }).map(|it| it.len());
    assert_eq!(files(&path), Ok(2));
    // Whoever may write to the folder around it could put another in its place.
    for (part, left) in [("", None), ("proclab", None), (YOURS, None), ("proclab/scenarios/mine", Some(1))] {
        let set = |mode| fs::set_permissions(dir.path().join(part), fs::Permissions::from_mode(mode)).expect("chmod");
        set(0o777);
        assert_eq!((is_yours(&path), files(&path).ok()), (left.is_some(), left), "{part}");
        set(0o700);
    }
    fs::set_permissions(path.join("a.kdl"), fs::Permissions::from_mode(0o666)).expect("chmod");
    assert_eq!(files(&path), Ok(1));
}
