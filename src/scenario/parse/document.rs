//! The nodes at the top of a file.

use kdl::{KdlDocument, KdlNode, KdlValue};

use super::names::Names;
use super::node::{Node, Spanned, children, key_range, string, written};
use super::statement::Compiler;
use super::{MAX_DEPTH, Problem, Report, expect, walk};
use crate::scenario::words::{self, TOP};
use crate::scenario::{Limit, Prediction, Program, Scenario, Terminal, Turn, Until};

/// The most nodes of a file; more than any scenario needs, and less than a statement's number can be.
const MAX_NODES: usize = 10_000;

/// The scenario as far as it is understood, and what is wrong with it.
pub(super) fn compile(name: &str, text: &str, document: &KdlDocument) -> (Scenario, Vec<Problem>) {
    let mut report = Report::new(text);
    let mut scenario = Scenario {
        name: name.to_owned(),
        topic: name.split_once('/').map_or("", |(topic, _)| topic).to_owned(),
        level: 1,
        source: text.to_owned(),
        ..Scenario::default()
    };
    let top = document.nodes();
    if !fits(&mut report, top) {
        return (scenario, report.problems);
    }
    let names = Names::collect(&mut report, top);
    let mut compiler = Compiler { report: &mut report, names: &names, statements: Vec::new() };
    let mut roots = Vec::new();
    let mut described: Vec<Node<'_>> = Vec::new();
    for node in top {
        let Some(node) = top_node(compiler.report, node) else { continue };
        if node.word.name == "process" {
            roots.extend(compiler.root(&node));
        } else {
            described.push(node);
        }
    }
    let statements = compiler.statements;
    if !top.iter().any(|node| node.name().value() == "process") {
        let help = Some("what runs stands in `process NAME { … }`".to_owned());
        report.error(0..0, "the scenario has no process", help);
    }
    describe(&mut report, &names, &described, &mut scenario);
    let Names { processes, descriptors, variables, barriers, objects, .. } = names;
    scenario.program = Program { roots, statements, processes, descriptors, variables, barriers, objects };
    (scenario, report.problems)
}

fn fits(report: &mut Report<'_>, top: &[KdlNode]) -> bool {
    let mut nodes = 0;
    walk(top, &mut |_| nodes += 1);
    if nodes > MAX_NODES {
        report.error(0..0, format!("the file has more than {MAX_NODES} statements"), None);
        return false;
    }
    let mut level: Vec<&KdlNode> = top.iter().collect();
    for _ in 0..MAX_DEPTH {
        level = level.into_iter().flat_map(children).collect();
    }
    if let Some(node) = level.first() {
        report.error(node.name().range(), format!("blocks nest more than {MAX_DEPTH} deep"), None);
        return false;
    }
    true
}

fn top_node<'a>(report: &mut Report<'_>, node: &'a KdlNode) -> Option<Node<'a>> {
    let name = node.name().value();
    let statement = words::find(words::STATEMENTS, name).is_some();
    if words::find(TOP, name).is_none() && statement {
        let help = Some("statements stand in `process NAME { … }`".to_owned());
        report.error(node.name().range(), format!("`{name}` belongs into a process"), help);
        return None;
    }
    report.shape(node, TOP, "node")
}

fn describe(report: &mut Report<'_>, names: &Names, nodes: &[Node<'_>], scenario: &mut Scenario) {
    let mut seen: Vec<&str> = Vec::new();
    for node in nodes {
        let word = node.word.name;
        if seen.contains(&word) && !matches!(word, "see" | "hint" | "predict") {
            report.error(node.span(), format!("a second `{word}`"), Some("a file has one at most".to_owned()));
            continue;
        }
        seen.push(word);
        match word {
            "schedule" => scenario.schedule = schedule(report, names, node),
            "predict" => scenario.predictions.extend(prediction(report, node)),
            "limit" => scenario.limit = limit(report, node),
            "terminal" => scenario.terminal = Some(terminal(report, node)),
            "expect" => scenario.expect = expect::block(report, names, node),
            _ => plain(report, node, scenario),
        }
    }
}

fn plain(report: &mut Report<'_>, node: &Node<'_>, scenario: &mut Scenario) {
    let Some(first) = node.args.first().copied() else {
        match node.word.name {
            "real-time" => scenario.real_time = true,
            _ => scenario.free = true,
        }
        return;
    };
    match node.word.name {
        "title" => {
            let title = report.text(first, "a title").unwrap_or_default();
            if title.contains('\n') {
                report.error(first.range(), "a title is one line", None);
            }
            title.clone_into(&mut scenario.title);
        }
        "topic" => report.name(first, "a topic").unwrap_or_default().clone_into(&mut scenario.topic),
        "level" => scenario.level = report.integer(first, "a level", 1..4).unwrap_or(1) as u8,
        "story" => report.text(first, "a story").unwrap_or_default().clone_into(&mut scenario.story),
        "see" => {
            for entry in &node.args {
                scenario.see.extend(page(report, entry));
            }
        }
        "hint" => scenario.hints.extend(report.text(first, "a hint").map(str::to_owned)),
        _ => scenario.seed = seed(report, first),
    }
}

fn seed(report: &mut Report<'_>, entry: &kdl::KdlEntry) -> Option<u64> {
    let number = match entry.value() {
        KdlValue::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    if number.is_none() {
        report.error(entry.range(), format!("a seed is a whole number from 0 on, not `{}`", written(entry)), None);
    }
    number
}

/// A manual page, as `pipe(7)`.
fn page(report: &mut Report<'_>, entry: &kdl::KdlEntry) -> Option<String> {
    let text = report.text(entry, "a manual page")?;
    let section = text.strip_suffix(')').and_then(|rest| rest.split_once('('));
    if section.is_none_or(|(name, section)| name.is_empty() || section.is_empty() || text.contains(' ')) {
        let help = Some("write it with its section, as \"pipe(7)\"".to_owned());
        report.error(entry.range(), format!("`{text}` is no manual page"), help);
        return None;
    }
    Some(text.to_owned())
}

fn limit(report: &mut Report<'_>, node: &Node<'_>) -> Limit {
    let mut limit = Limit::default();
    if let Some(entry) = node.option("seconds") {
        limit.seconds = report.integer(entry, "`seconds`", 1..86_401).map_or(limit.seconds, i64::unsigned_abs);
    }
    if let Some(entry) = node.option("processes") {
        limit.processes = report.integer(entry, "`processes`", 1..1001).map_or(limit.processes, |n| n as u32);
    }
    if let Some(entry) = node.option("events") {
        limit.events = report.integer(entry, "`events`", 1..100_000_001).map_or(limit.events, i64::unsigned_abs);
    }
    limit
}

fn terminal(report: &mut Report<'_>, node: &Node<'_>) -> Terminal {
    let mut terminal = Terminal { rows: 24, columns: 80, input: String::new() };
    if let Some(entry) = node.option("rows") {
        terminal.rows = report.integer(entry, "`rows`", 1..501).map_or(terminal.rows, |n| n as u16);
    }
    if let Some(entry) = node.option("columns") {
        terminal.columns = report.integer(entry, "`columns`", 1..501).map_or(terminal.columns, |n| n as u16);
    }
    if let Some(entry) = node.option("input") {
        report.text(entry, "`input`").unwrap_or_default().clone_into(&mut terminal.input);
    }
    terminal
}

fn schedule(report: &mut Report<'_>, names: &Names, node: &Node<'_>) -> Vec<Turn> {
    let mut turns = Vec::new();
    for child in node.children() {
        let Some(turn) = report.shape(child, words::TURNS, "turn") else { continue };
        let Some(entry) = turn.args.first().copied() else {
            turns.push(Turn::Clock);
            continue;
        };
        if turn.word.name == "run" && string(entry) == Some("all") {
            if let Some(until) = turn.option("until") {
                let help = Some("it is the seeded scheduler from here on".to_owned());
                report.error(key_range(until), "`run all` has no end", help);
            }
            turns.push(Turn::All);
            continue;
        }
        let Some(name) = process(report, names, entry) else { continue };
        if turn.word.name == "step" {
            let count =
                turn.args.get(1).map_or(Some(1), |entry| report.integer(entry, "a number of steps", 1..1_000_001));
            turns.extend(count.map(|count| Turn::Step { name, count: count as u32 }));
        } else {
            turns.extend(until(report, &turn).map(|until| Turn::Run { name, until }));
        }
    }
    turns
}

fn until(report: &mut Report<'_>, turn: &Node<'_>) -> Option<Until> {
    let Some(entry) = turn.option("until") else {
        let help = Some("say `until=blocked`, `until=exit`, or until which label, call or signal".to_owned());
        report.error(turn.span(), "`run` of one process lacks its `until`", help);
        return None;
    };
    Some(match report.text(entry, "`until`")? {
        "blocked" => Until::Blocked,
        "exit" => Until::Exit,
        place => Until::reaches(place),
    })
}

/// A process that a schedule or an expectation names.
pub(super) fn process(report: &mut Report<'_>, names: &Names, entry: &kdl::KdlEntry) -> Option<String> {
    let name = report.text(entry, "a process")?;
    if names.resolve_process(name).is_some() {
        return Some(name.to_owned());
    }
    let help = words::suggest(name, names.processes.iter().map(String::as_str));
    report.error(entry.range(), format!("unknown process `{name}`"), help);
    None
}

fn prediction(report: &mut Report<'_>, node: &Node<'_>) -> Option<Prediction> {
    let question = report.text(node.args[0], "a question")?.to_owned();
    let at = node.option("at").and_then(|entry| report.text(entry, "a label")).map(str::to_owned);
    let mut prediction = Prediction { question, choices: Vec::new(), because: String::new(), at };
    for child in node.children() {
        let Some(part) = report.shape(child, words::PREDICT, "part of a prediction") else { continue };
        let Some(text) = report.text(part.args[0], "it") else { continue };
        if part.word.name == "choice" {
            let right = report.flag(&part, "right");
            prediction.choices.push((text.to_owned(), right));
        } else if prediction.because.is_empty() {
            text.clone_into(&mut prediction.because);
        } else {
            report.error(part.span(), "a second `because`", None);
        }
    }
    Some(prediction)
}
