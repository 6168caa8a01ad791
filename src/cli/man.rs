//! `proclab man`: the manual page, from the same tables as the commands themselves.

use std::fmt::Write as _;

use super::out::print_bytes;
use super::{Exit, Failure, command};
use crate::tui::keymap::{self, Group};

/// Print the manual page
///
/// To read it: proclab man | man -l -
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn man(_args: &Args) -> Result<Exit, Failure> {
    let page = page().map_err(|error| Failure::machine(format!("cannot write the manual page: {error}")))?;
    print_bytes(&page).map(|()| Exit::DONE)
}

fn page() -> std::io::Result<Vec<u8>> {
    let mut command = command();
    command.build();
    let man = clap_mangen::Man::new(command.clone()).section("1").manual("proclab");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    page.extend(commands(&command).bytes());
    page.extend(shared(&command).bytes());
    page.extend(keys().bytes());
    for (heading, paragraphs) in SECTIONS {
        page.extend(section(heading, paragraphs).bytes());
    }
    Ok(page)
}

/// A section of entries, each a term and what it means; a term that is empty begins a paragraph.
fn section(heading: &str, entries: &[(&str, &str)]) -> String {
    let mut text = format!(".SH {}\n", quoted(heading));
    for (term, said) in entries {
        let _ = if term.is_empty() {
            writeln!(text, ".PP\n{}", escaped(said))
        } else {
            writeln!(text, ".TP\n\\fB{}\\fR\n{}", escaped(term), escaped(said))
        };
    }
    text
}

/// Every command with the options that it alone has; others stand in a section of their own.
fn commands(root: &clap::Command) -> String {
    let mut text = ".SH COMMANDS\n".to_owned();
    for command in root.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        let usage = command.clone().render_usage().to_string();
        let _ = writeln!(text, ".SS {}", quoted(usage.trim_start_matches("Usage: ")));
        let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "{}", escaped(&about));
        let own = command.get_arguments().filter(|arg| !is_help(arg));
        own.filter(|arg| arg.get_help_heading().is_none()).for_each(|arg| text.push_str(&option(arg)));
        let mut headings: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_help_heading).collect();
        headings.dedup();
        if !headings.is_empty() {
            let _ = writeln!(text, ".PP\nAlso: {}.", escaped(&headings.join("; ").to_lowercase()));
        }
    }
    text
}

/// The options that several commands have, a section for each of their headings.
fn shared(root: &clap::Command) -> String {
    let mut text = String::new();
    let mut seen = Vec::new();
    let mut headings = Vec::new();
    let all = || root.get_subcommands().flat_map(clap::Command::get_arguments);
    for heading in all().filter_map(clap::Arg::get_help_heading) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        let _ = writeln!(text, ".SH {}", quoted(&heading.to_uppercase()));
        for arg in all().filter(|arg| arg.get_help_heading() == Some(heading)) {
            if !seen.contains(&arg.get_id()) {
                seen.push(arg.get_id());
                text.push_str(&option(arg));
            }
        }
    }
    text
}

fn is_help(arg: &clap::Arg) -> bool {
    arg.is_hide_set() || arg.get_id() == "help"
}

fn option(arg: &clap::Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    format!(".TP\n\\fB{}\\fR\n{}{}\n", escaped(&format!("{short}{arg}")), escaped(&help), escaped(&values(arg)))
}

/// What an option may be, and what it is by default.
fn values(arg: &clap::Arg) -> String {
    let mut text = String::new();
    let possible = arg.get_possible_values();
    let names: Vec<&str> = possible.iter().map(clap::builder::PossibleValue::get_name).collect();
    if arg.get_action().takes_values() && !names.is_empty() {
        let _ = write!(text, " ({})", names.join(", "));
    }
    let defaults = arg.get_default_values();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        let shown: Vec<_> = defaults.iter().map(|value| value.to_string_lossy()).collect();
        let _ = write!(text, " [default: {}]", shown.join(" "));
    }
    text
}

/// The keys of the screen, and what can be typed after a colon.
fn keys() -> String {
    let mut text =
        section("KEYS", &[("", "In the lab, ? shows the help of the focused pane; : runs a command by its name.")]);
    for group in Group::ALL {
        let _ = writeln!(text, ".SS {}", quoted(group.title()));
        for info in keymap::commands().iter().filter(|info| info.group == group) {
            let labels: Vec<&str> = info.keys.iter().map(|key| keymap::key_label(key)).collect();
            let (id, about) = (escaped(info.id), escaped(info.about));
            let _ = writeln!(text, ".TP\n\\fB{}\\fR ({id})\n{about}", escaped(&labels.join(", ")));
        }
    }
    let _ = writeln!(text, ".SS {}", quoted("After a colon"));
    for (begin, rest, about) in keymap::PHRASES {
        let _ = writeln!(text, ".TP\n\\fB{}\\fR{}\n{}", escaped(begin), escaped(rest), escaped(about));
    }
    text
}

/// Text in which nothing is an order to roff.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if !out.is_empty() {
            out.push('\n');
        }
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        for c in line.chars() {
            match c {
                '\\' => out.push_str("\\e"),
                '-' => out.push_str("\\-"),
                c => out.push(c),
            }
        }
    }
    out.replace("\n\n", "\n.PP\n")
}

/// An argument of a request.
fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('"', "\\(dq").replace('\n', " "))
}

const SECTIONS: [(&str, &[(&str, &str)]); 7] = [
    (
        "SCENARIOS",
        &[
            (
                "",
                "A scenario is a file of the KDL language, version 2: what it shows, which processes run, and what \
                  must hold at the end. Statements bear the names of the calls that they make. It is named by its \
                  topic and its file: pipes/one-pipe, or one-pipe where no other topic has one.",
            ),
            (
                "",
                "Scenarios come with the program, from proclab/scenarios in the user's data directory and from every \
                  --dir; the later take the place of the earlier of the same name. Those of ./scenarios, which may be \
                  anybody's, take no other's place: they are called ./pipes/one-pipe, or ./one-pipe, and run only \
                  where they are named. A scenario can run any program with the rights of the user, and namespaces \
                  are no sandbox.",
            ),
            (
                "",
                "By default one process moves at a time, chosen by a scheduler with a seed: the same seed gives the \
                  same run. The schedule that was followed is a string that --schedule takes.",
            ),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "done"),
            ("1", "an expectation failed, or the run reached its limit"),
            ("2", "usage, or an invalid file"),
            ("3", "the machine cannot do it; the message says what to change, and so does proclab doctor"),
            ("128+N", "signal N ended the lab in the middle of a run"),
            ("", "record -- CMD ends with the status of the program, or by the signal that ended it."),
            (
                "",
                "When CMD has ended and processes that it has started go on, they are waited for; on a terminal it is \
                  said which. Ctrl-C, SIGTERM and --timeout end them, and --wait=no does so at once; the status is \
                  that of CMD all the same.",
            ),
        ],
    ),
    (
        "FILES",
        &[
            ("./scenarios/TOPIC/NAME.kdl", "the scenarios of a course, called ./TOPIC/NAME"),
            (
                "$XDG_DATA_HOME/proclab/scenarios",
                "the user's own; ~/.local/share where the variable is not set. A folder that belongs to somebody \
                  else, or that everybody may write to, is left out",
            ),
            (
                "$XDG_RUNTIME_DIR/proclab, $XDG_STATE_HOME/proclab/run",
                "directories of runs without namespaces; they are gone \
              when the run is, or when proclab is started the next time. The second one is used where the first \
              belongs to somebody else or others may write to it; ~/.local/state where the variable is not set",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("NO_COLOR", "if it is set and not empty, nothing is coloured"),
            ("LC_ALL, LC_CTYPE, LANG", "without UTF-8 in the locale, ASCII is drawn"),
            ("PROCLAB_NO_NAMESPACES", "if it is set, scenarios run without namespaces of their own"),
            ("PATH", "where programs are found"),
        ],
    ),
    (
        "EXAMPLES",
        &[
            ("proclab run pipes/one-pipe", "watch a pipe"),
            ("proclab trace -- sh -c 'ls | wc -l'", "put a pipeline on the bench"),
            ("proclab record -o run.jsonl -- make", "record a build; its output and its exit status are its own"),
            ("proclab replay run.jsonl", "look at it later"),
            ("proclab check --format junit > report.xml", "check every scenario in continuous integration"),
            ("proclab check mine/race --seeds 100", "look for a seed that breaks a scenario"),
        ],
    ),
    (
        "BUGS",
        &[(
            "",
            "Tracer and tracees share a CPU unless --cpus all is given, so nproc(1) says 1. Programs on the \
                     bench cannot gain rights by exec: set-user-ID bits are without effect.",
        )],
    ),
    ("SEE ALSO", &[("", "ptrace(2), strace(1), pipe(7), signal(7), fork(2), namespaces(7), seccomp(2)")]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_an_order() {
        assert_eq!(escaped(".SH x\n'y\\z"), "\\&.SH x\n\\&'y\\ez");
        assert_eq!(quoted("a \"b\" --c"), "\"a \\(dqb\\(dq \\-\\-c\"");
    }

    #[test]
    fn every_command_and_section_is_there() {
        let page = String::from_utf8(page().expect("a page")).expect("text");
        for command in command().get_subcommands() {
            assert!(page.contains(&format!(".SS \"proclab {}", command.get_name())), "{}", command.get_name());
        }
        for heading in ["NAME", "SYNOPSIS", "KEYS", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"] {
            assert!(page.lines().any(|line| line.starts_with(".SH") && line.contains(heading)), "{heading}");
        }
    }
}
