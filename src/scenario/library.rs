//! Where scenarios come from: the ones that ship inside the binary, and folders of files.
//!
//! The one place of this module that reads directories and files; understanding a text is pure.
//! A folder holds one folder a topic, and that one file a scenario: `DIR/pipes/one-pipe.kdl`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use etcetera::BaseStrategy as _;
use include_dir::{Dir, include_dir};

use super::{MAX_FILE, Problem, Scenario, parse, render_all, words};

/// What is said of a file that is no text.
const NOT_UTF8: &str = "it is not UTF-8 text";

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// Where a scenario was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the binary.
    Embedded,
    /// In this file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("built in"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why there is no scenario to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// None bears the name.
    NotFound {
        /// What was asked for.
        name: String,
        /// What may have been meant.
        help: Option<String>,
    },
    /// Several topics have one of that name.
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Their full names.
        candidates: Vec<String>,
    },
    /// A file or a folder cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The file is not a scenario.
    Invalid {
        /// What messages call the file.
        file: String,
        /// Its text.
        text: String,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { name, help } => {
                write!(f, "there is no scenario `{name}`")?;
                let help = help.as_deref().unwrap_or("`proclab list` shows what there is");
                write!(f, ": {help}")
            }
            Self::Ambiguous { name, candidates } => {
                write!(f, "`{name}` could be {}: give the topic too", candidates.join(" or "))
            }
            Self::Unreadable { path, why } => write!(f, "cannot read {}: {why}", path.display()),
            Self::Invalid { file, text, problems } => f.write_str(&render_all(problems, file, text)),
        }
    }
}

impl std::error::Error for Error {}

/// A scenario of the library. Its file is understood when somebody asks: that takes a millisecond, and
/// there may be hundreds.
#[derive(Debug, Clone)]
pub struct Entry {
    /// `topic/file-stem`.
    pub name: String,
    /// Its topic: the folder.
    pub topic: String,
    /// Where it was found.
    pub origin: Origin,
    /// What messages call its file.
    file: String,
    text: Result<Cow<'static, str>, Error>,
    scenario: OnceLock<Result<Scenario, Error>>,
}

impl Entry {
    fn new(name: String, file: String, origin: Origin, text: Result<Cow<'static, str>, Error>) -> Self {
        let topic = name.rsplit_once('/').map_or("", |(topic, _)| topic).to_owned();
        Self { name, topic, origin, file, text, scenario: OnceLock::new() }
    }

    /// The scenario, or what is wrong with its file.
    pub fn scenario(&self) -> Result<&Scenario, &Error> {
        let understand = || {
            let text = self.text.as_ref().map_err(Clone::clone)?;
            understood(&self.name, &self.file, text)
        };
        self.scenario.get_or_init(understand).as_ref()
    }

    /// Its title; the file's stem where it has none. Read off its line where that is a plain one, so that
    /// a list of hundreds is there at once.
    pub fn title(&self) -> String {
        let plain = self.line("title ").and_then(|rest| rest.strip_prefix('"')?.strip_suffix('"'));
        let title = match plain.filter(|title| !title.contains(['"', '\\'])) {
            Some(title) => title.to_owned(),
            None => self.scenario().map(|scenario| scenario.title.clone()).unwrap_or_default(),
        };
        if title.is_empty() { stem(&self.name).to_owned() } else { title }
    }

    /// 1 to 3; read off like the title.
    pub fn level(&self) -> u8 {
        let plain = self.line("level ").and_then(|rest| rest.parse().ok()).filter(|level| (1..=3).contains(level));
        plain.unwrap_or_else(|| self.scenario().map_or(1, |scenario| scenario.level))
    }

    /// What follows `word` on the first line that begins with it.
    fn line(&self, word: &str) -> Option<&str> {
        self.text.as_ref().ok()?.lines().find_map(|line| line.strip_prefix(word)).map(str::trim)
    }
}

/// All scenarios that can be found.
#[derive(Debug, Clone, Default)]
pub struct Library {
    entries: BTreeMap<String, Entry>,
    errors: Vec<Error>,
}

impl Library {
    /// The scenarios of the binary and of `dirs`. A later folder's scenario takes the place of an
    /// earlier one of the same name. A folder that cannot be read is among the [`errors`](Self::errors).
    pub fn load(dirs: &[PathBuf]) -> Self {
        let mut library = Self::embedded();
        for dir in dirs {
            library.add_dir(dir);
        }
        library
    }

    /// The scenarios of the binary alone.
    pub fn embedded() -> Self {
        let mut library = Self::default();
        for file in EMBEDDED.dirs().flat_map(Dir::files) {
            if !is_scenario(file.path()) {
                continue;
            }
            let name = name_of(file.path());
            let shown = Path::new("scenarios").join(file.path()).display().to_string();
            let text = file.contents_utf8().map(Cow::Borrowed);
            let unreadable = || Error::Unreadable { path: file.path().to_owned(), why: NOT_UTF8.to_owned() };
            library.add(Entry::new(name, shown, Origin::Embedded, text.ok_or_else(unreadable)));
        }
        library
    }

    /// The entries, sorted by name.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.values()
    }

    /// Folders that could not be read.
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// The scenario that `what` means: `pipes/one-pipe`, `one-pipe`, or the path of a file.
    pub fn find(&self, what: &str) -> Result<Scenario, Error> {
        if let Some(entry) = self.entries.get(what) {
            return entry.scenario().cloned().map_err(Clone::clone);
        }
        let path = Path::new(what);
        if is_scenario(path) || path.is_absolute() || what.starts_with("./") || what.starts_with("../") {
            return load_file(path);
        }
        let named: Vec<&Entry> = self.entries.values().filter(|entry| stem(&entry.name) == what).collect();
        match named.as_slice() {
            [one] => one.scenario().cloned().map_err(Clone::clone),
            [] => {
                let known = self.entries.keys().map(String::as_str);
                let near = if what.contains('/') {
                    words::nearest(what, known)
                } else {
                    let near = words::nearest(what, known.clone().map(stem));
                    near.and_then(|near| known.clone().find(|name| stem(name) == near))
                };
                let help = near.map(|name| format!("did you mean `{name}`?"));
                Err(Error::NotFound { name: what.to_owned(), help })
            }
            several => {
                let candidates = several.iter().map(|entry| entry.name.clone()).collect();
                Err(Error::Ambiguous { name: what.to_owned(), candidates })
            }
        }
    }

    fn add_dir(&mut self, dir: &Path) {
        let files = match files_of(dir) {
            Ok(files) => files,
            Err(error) => return self.errors.push(error),
        };
        for path in files {
            let text = read(&path).map(Cow::Owned).map_err(|why| Error::Unreadable { path: path.clone(), why });
            self.add(Entry::new(name_of(&path), path.display().to_string(), Origin::File(path), text));
        }
    }

    fn add(&mut self, entry: Entry) {
        self.entries.insert(entry.name.clone(), entry);
    }
}

/// The folders that are looked through besides the binary, in the order of their weight: the user's
/// data directory and `./scenarios` where they exist, then `extra`, which the user asked for.
pub fn standard_dirs(extra: &[PathBuf]) -> Vec<PathBuf> {
    let own = etcetera::choose_base_strategy().ok().map(|base| base.data_dir().join("proclab/scenarios"));
    let found = own.into_iter().chain([PathBuf::from("scenarios")]).filter(|dir| dir.is_dir());
    found.chain(extra.iter().cloned()).collect()
}

/// Reads and understands one file. Its scenario is named after the folder and the file.
pub fn load_file(path: &Path) -> Result<Scenario, Error> {
    let text = read(path).map_err(|why| Error::Unreadable { path: path.to_owned(), why })?;
    understood(&name_of(path), &path.display().to_string(), &text)
}

fn understood(name: &str, file: &str, text: &str) -> Result<Scenario, Error> {
    parse(name, file, text).map_err(|problems| Error::Invalid {
        file: file.to_owned(),
        text: text.to_owned(),
        problems,
    })
}

fn read(path: &Path) -> Result<String, String> {
    let meta = fs::metadata(path).map_err(|error| plain(&error))?;
    if meta.is_dir() {
        return Err("it is a directory".to_owned());
    }
    if !meta.is_file() {
        return Err("it is no ordinary file".to_owned());
    }
    let file = fs::File::open(path).map_err(|error| plain(&error))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(|error| plain(&error))?;
    if bytes.len() > MAX_FILE {
        return Err(format!("it is larger than {MAX_FILE} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| NOT_UTF8.to_owned())
}

/// What an error says, without the number that Rust adds.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// The scenario files of `dir` and of the folders in it, sorted.
fn files_of(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let list = |dir: &Path| -> Result<Vec<PathBuf>, Error> {
        let unreadable = |error: &std::io::Error| Error::Unreadable { path: dir.to_owned(), why: plain(error) };
        let entries = fs::read_dir(dir).map_err(|error| unreadable(&error))?;
        let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut paths = paths.map_err(|error| unreadable(&error))?;
        paths.sort();
        Ok(paths)
    };
    let mut files = Vec::new();
    for path in list(dir)? {
        if path.is_dir() {
            files.extend(list(&path)?.into_iter().filter(|path| is_scenario(path)));
        } else if is_scenario(&path) {
            files.push(path);
        }
    }
    Ok(files)
}

fn is_scenario(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "kdl")
}

/// `topic/stem`, from the folder and the file.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let folder = |path: &Path| path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let topic = folder(path).or_else(|| folder(&std::path::absolute(path).ok()?));
    topic.map_or_else(|| stem.to_string(), |topic| format!("{topic}/{stem}"))
}

fn stem(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, stem)| stem)
}

#[cfg(test)]
mod tests {
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
        let library = Library::load(&[dir.path().to_owned(), dir.path().join("none")]);
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
        assert_eq!(
            load_file(Path::new("/tmp")).expect_err("a folder").to_string(),
            "cannot read /tmp: it is a directory"
        );
    }
}
