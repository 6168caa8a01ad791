//! Where scenarios come from: the ones that ship inside the binary, and folders of files.
//!
//! The one place of this module that reads directories and files; understanding a text is pure.
//! A folder holds one folder a topic, and that one file a scenario: `DIR/pipes/one-pipe.kdl`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use etcetera::BaseStrategy as _;
use include_dir::{Dir, include_dir};

use super::{MAX_FILE, Problem, Scenario, parse, render_all, words};
use crate::sys::directory::{Directory, Facts};
use crate::text;

/// What is said of a file that is no text.
const NOT_UTF8: &str = "it is not UTF-8 text";

/// The user's own folder in the data directory (XDG Base Directory Specification).
const YOURS: &str = "proclab/scenarios";

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// Whose a scenario is: what is told of it wherever it is offered, because a scenario can run any program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Source {
    /// It came with the program.
    #[default]
    BuiltIn,
    /// It stands in the user's data directory.
    Yours,
    /// It stands in a folder that was asked for.
    Asked,
    /// It stands in `./scenarios` of a directory that may be anybody's.
    Here,
}

impl Source {
    /// As it is shown: `built in`, `yours` …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built in",
            Self::Yours => "yours",
            Self::Asked => "--dir",
            Self::Here => "this directory",
        }
    }
}

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
            Self::File(path) => f.write_str(&text::path(path)),
        }
    }
}

/// A scenario that was looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// It.
    pub scenario: Scenario,
    /// Whose it is; `None` for the path of a file.
    pub source: Option<Source>,
    /// The file that it came from, if it came from one.
    pub file: Option<PathBuf>,
}

/// A folder of scenarios.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is.
    pub source: Source,
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
                write!(f, "there is no scenario `{}`", text::clean(name))?;
                let help = help.as_deref().unwrap_or("`proclab list` shows what there is");
                write!(f, ": {}", text::clean(help))
            }
            Self::Ambiguous { name, candidates } => {
                let (name, candidates) = (text::clean(name), text::clean(&candidates.join(" or ")));
                write!(f, "`{name}` could be {candidates}: give the topic too")
            }
            Self::Unreadable { path, why } => write!(f, "cannot read {}: {why}", text::path(path)),
            Self::Invalid { file, text, problems } => f.write_str(&render_all(problems, file, text)),
        }
    }
}

impl std::error::Error for Error {}

/// A scenario of the library. Its file is understood when somebody asks: that takes a millisecond, and
/// there may be hundreds.
#[derive(Debug, Clone)]
pub struct Entry {
    /// `topic/file-stem`; with `./` before it where it is one of this directory.
    pub name: String,
    /// Its topic: the folder.
    pub topic: String,
    /// Whose it is.
    pub source: Source,
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
        Self { name, topic, source: Source::BuiltIn, origin, file, text, scenario: OnceLock::new() }
    }

    /// The same as one of a folder. One of this directory bears another name than any other.
    fn of(mut self, source: Source) -> Self {
        self.source = source;
        if source == Source::Here {
            self.name = format!("./{}", self.name);
        }
        self
    }

    fn found(&self) -> Result<Found, Error> {
        let file = match &self.origin {
            Origin::Embedded => None,
            Origin::File(path) => Some(path.clone()),
        };
        self.scenario().cloned().map_err(Clone::clone).map(|scenario| Found {
            scenario,
            source: Some(self.source),
            file,
        })
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
    /// Those of this directory come last.
    entries: BTreeMap<(bool, String), Entry>,
    errors: Vec<Error>,
}

impl Library {
    /// The scenarios of the binary and of `folders`. A later folder's scenario takes the place of an earlier
    /// one of the same name, but one of this directory never does: it has a name of its own. A folder that
    /// cannot be read is among the [`errors`](Self::errors).
    pub fn load(folders: &[Folder]) -> Self {
        let mut library = Self::embedded();
        for folder in folders {
            library.add_folder(folder);
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

    /// The entries, sorted by name; those of this directory at the end.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.values()
    }

    /// Folders that could not be read.
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// The scenario that `what` means: `pipes/one-pipe`, `one-pipe`, `./one-pipe` of this directory, or the
    /// path of a file.
    pub fn find(&self, what: &str) -> Result<Scenario, Error> {
        self.look_up(what).map(|found| found.scenario)
    }

    /// The same, with whose it is.
    pub fn look_up(&self, what: &str) -> Result<Found, Error> {
        let path = Path::new(what);
        if is_scenario(path) || path.is_absolute() || what.starts_with("../") {
            return of_file(path);
        }
        if let Some(name) = what.strip_prefix("./") {
            return match self.named(name, true) {
                Err(Error::NotFound { .. }) if path.exists() => of_file(path),
                other => other?.found(),
            };
        }
        // What lies in this directory anybody may have put there: it runs only for who says that he means it.
        match self.named(what, false) {
            Err(Error::NotFound { .. }) => Err(self.only_here(what).unwrap_or_else(|| self.not_found(what))),
            other => other?.found(),
        }
    }

    /// The one of this directory, or of anywhere else, that bears the name, with its topic or without.
    fn named(&self, name: &str, here: bool) -> Result<&Entry, Error> {
        let full = if here { format!("./{name}") } else { name.to_owned() };
        if let Some(entry) = self.entries.get(&(here, full)) {
            return Ok(entry);
        }
        let all = self.entries.values().filter(|entry| (entry.source == Source::Here) == here);
        match all.filter(|entry| stem(&entry.name) == name).collect::<Vec<_>>().as_slice() {
            [one] => Ok(one),
            [] => Err(self.not_found(if here { Cow::from(format!("./{name}")) } else { name.into() }.as_ref())),
            several => {
                let candidates = several.iter().map(|entry| entry.name.clone()).collect();
                Err(Error::Ambiguous { name: name.to_owned(), candidates })
            }
        }
    }

    /// That a scenario of this name lies in this directory, if one does.
    fn only_here(&self, what: &str) -> Option<Error> {
        let entry = self.named(what, true).ok()?;
        let help = Some(format!("one of this directory is called `{}`", entry.name));
        Some(Error::NotFound { name: what.to_owned(), help })
    }

    fn not_found(&self, what: &str) -> Error {
        let known = self.entries.values().map(|entry| entry.name.as_str());
        let near = if what.contains('/') {
            words::nearest(what, known)
        } else {
            let near = words::nearest(what, known.clone().map(stem));
            near.and_then(|near| known.clone().find(|name| stem(name) == near))
        };
        let help = near.map(|name| format!("did you mean `{name}`?"));
        Error::NotFound { name: what.to_owned(), help }
    }

    fn add_folder(&mut self, folder: &Folder) {
        match files_of(folder) {
            Ok(files) => {
                for (path, text) in files {
                    let text = text.map(Cow::Owned).map_err(|why| Error::Unreadable { path: path.clone(), why });
                    let shown = path.display().to_string();
                    self.add(Entry::new(name_of(&path), shown, Origin::File(path), text).of(folder.source));
                }
            }
            // Nobody has asked for what lies in this directory.
            Err(_) if folder.source == Source::Here => {}
            Err(error) => self.errors.push(error),
        }
    }

    fn add(&mut self, entry: Entry) {
        self.entries.insert((entry.source == Source::Here, entry.name.clone()), entry);
    }
}

/// The folders that are looked through besides the binary, in the order of their weight: the user's
/// data directory and `./scenarios` where they exist, then `extra`, which the user asked for.
pub fn standard_folders(extra: &[PathBuf]) -> Vec<Folder> {
    let yours = etcetera::choose_base_strategy().ok().map(|base| base.data_dir().join(YOURS));
    let yours = yours.filter(|path| is_yours(path)).map(|path| Folder { path, source: Source::Yours });
    let asked = extra.iter().map(|path| Folder { path: path.clone(), source: Source::Asked });
    let mut folders: Vec<Folder> = yours.into_iter().collect();
    folders.extend(asked);
    let here = PathBuf::from("scenarios");
    // Who asks for this very folder means what is in it.
    let same = |folder: &Folder| matches!((folder.path.canonicalize(), here.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if here.is_dir() && !folders.iter().any(same) {
        folders.push(Folder { path: here, source: Source::Here });
    }
    folders
}

/// Whether a folder is there and the user's own, or the administrator's: with the variables of somebody else,
/// as after `sudo -E`, it can be another's, and so can one that everybody may write to.
pub fn is_yours(path: &Path) -> bool {
    open_yours(path).is_ok()
}

/// Opens the user's folder. Each directory from the data directory on is looked at when it is open: who may write to
/// one of them could lead two looks to different places.
fn open_yours(path: &Path) -> io::Result<Directory> {
    let checked = |directory: Directory| -> io::Result<Directory> {
        let is_safe = directory.facts()?.is_safe() && !directory.is_served()?;
        is_safe.then_some(directory).ok_or_else(|| io::Error::from_raw_os_error(libc::EPERM))
    };
    let steps = Path::new(YOURS).components().count();
    let base = path.ancestors().nth(steps).unwrap_or(path);
    let mut directory = checked(Directory::open(base, true)?)?;
    for part in Path::new(YOURS) {
        directory = checked(directory.enter(part, true)?)?;
    }
    Ok(directory)
}

fn of_file(path: &Path) -> Result<Found, Error> {
    load_file(path).map(|scenario| Found { scenario, source: None, file: Some(path.to_owned()) })
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
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file =
        fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| text::io_error(&error))?;
    read_open(file)
}

/// Reads a file that may turn out to be anything.
fn read_open(file: fs::File) -> Result<String, String> {
    let meta = file.metadata().map_err(|error| text::io_error(&error))?;
    if meta.is_dir() {
        return Err("it is a directory".to_owned());
    }
    if !meta.is_file() {
        return Err("it is no ordinary file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(|error| text::io_error(&error))?;
    if bytes.len() > MAX_FILE {
        return Err(format!("it is larger than {MAX_FILE} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| NOT_UTF8.to_owned())
}

/// The text of a file, or why there is none.
type Text = Result<String, String>;

/// The scenario files of a folder and of the folders in it, sorted, with their texts. Of the user's own folder only
/// what nobody else can have written.
fn files_of(folder: &Folder) -> Result<Vec<(PathBuf, Text)>, Error> {
    let unreadable =
        |path: &Path, error: &io::Error| Error::Unreadable { path: path.to_owned(), why: text::io_error(error) };
    let is_trusted = |facts: io::Result<Facts>| folder.source != Source::Yours || facts.is_ok_and(|it| it.is_safe());
    let opened =
        if folder.source == Source::Yours { open_yours(&folder.path) } else { Directory::open(&folder.path, true) };
    let directory = opened.map_err(|error| unreadable(&folder.path, &error))?;
    let mut files = Vec::new();
    let mut add = |directory: &Directory, path: PathBuf, name: &OsStr| match directory.file(name) {
        Ok(file) if is_trusted(Facts::of(&file)) => files.push((path, read_open(file))),
        Ok(_) => {}
        Err(error) => files.push((path, Err(text::io_error(&error)))),
    };
    for name in sorted(&directory).map_err(|error| unreadable(&folder.path, &error))? {
        let path = folder.path.join(&name);
        let Ok(topic) = directory.enter(&name, true) else {
            if is_scenario(Path::new(&name)) {
                add(&directory, path, &name);
            }
            continue;
        };
        if !is_trusted(topic.facts()) {
            continue;
        }
        for name in sorted(&topic).map_err(|error| unreadable(&path, &error))? {
            if is_scenario(Path::new(&name)) {
                add(&topic, path.join(&name), &name);
            }
        }
    }
    Ok(files)
}

fn sorted(directory: &Directory) -> io::Result<Vec<OsString>> {
    let mut names = directory.names()?;
    names.sort();
    Ok(names)
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
mod tests;
