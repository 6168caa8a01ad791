//! What is legal in a scenario and still wrong: for `proclab lint`, and for the scenarios that ship.
//!
//! Everything that can be found without running belongs here; what cannot be run at all is refused
//! by [`parse`](super::parse) already.

use std::path::Path;

use kdl::{KdlDocument, KdlNode};
use unicode_width::UnicodeWidthStr;

use super::parse::{Spanned, string, walk, with_document};
use super::{HANDLER, Op, Problem, RETURNED, Scenario, Statement, StatementId, Turn, Until, Value, words};

/// How many lines a story may have.
const STORY_LINES: usize = 8;
/// How many columns a line of a story may have.
const STORY_COLUMNS: usize = 88;

/// What could be better about a scenario that parses. `path` is the file, if there is one: its
/// folder must bear the name of the topic.
pub fn lint(scenario: &Scenario, path: Option<&Path>) -> Vec<Problem> {
    let text = scenario.source.as_str();
    let mut problems = match with_document(text, |document| described(scenario, path, document)) {
        Ok(problems) | Err(problems) => problems,
    };
    let mut linter = Linter { scenario, problems: Vec::new() };
    for root in &scenario.program.roots {
        linter.flow(&root.body);
    }
    linter.ends();
    linter.never_made();
    linter.barriers();
    problems.append(&mut linter.problems);
    problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
    problems
}

/// Nodes of the document, by their word.
struct Nodes<'a> {
    text: &'a str,
    top: &'a [KdlNode],
}

impl<'a> Nodes<'a> {
    fn named(&self, word: &'static str) -> impl Iterator<Item = &'a KdlNode> {
        self.top.iter().filter(move |node| node.name().value() == word)
    }

    fn warning(&self, node: &KdlNode, message: impl Into<String>) -> Problem {
        Problem::warning(self.text, node.name().range(), message)
    }
}

fn described(scenario: &Scenario, path: Option<&Path>, document: &KdlDocument) -> Vec<Problem> {
    let nodes = Nodes { text: &scenario.source, top: document.nodes() };
    let mut problems = Vec::new();
    for (word, help) in [
        ("title", "say in one line what it shows: title \"…\""),
        ("topic", "name the folder that it stands in: topic pipes"),
        ("level", "1 first week to 3 last week: level 1"),
        ("story", "say in two to eight lines what to watch for: story \"\"\" … \"\"\""),
        ("see", "name the manual pages to read on: see \"pipe(7)\""),
        ("expect", "say what must hold at the end: expect { clean }"),
    ] {
        let given = nodes.named(word).next();
        let empty = given.is_some_and(|node| {
            let blank = node.entries().first().and_then(string).is_some_and(|text| text.trim().is_empty());
            blank || (word == "expect" && scenario.expect.is_empty())
        });
        match given {
            None => problems.push(Problem::warning(nodes.text, 0..0, format!("there is no `{word}`")).help(help)),
            Some(node) if empty => problems.push(nodes.warning(node, format!("`{word}` is empty")).help(help)),
            Some(_) => {}
        }
    }
    let folder = match path {
        Some(path) => path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()),
        None => scenario.name.rsplit_once('/').map(|(folder, _)| folder.to_owned()),
    };
    if let (Some(folder), Some(node)) = (folder, nodes.named("topic").next())
        && folder != scenario.topic
    {
        let said = format!("the topic is `{}` but the folder is `{folder}`", scenario.topic);
        problems.push(nodes.warning(node, said).help("give both the same name"));
    }
    problems.extend(nodes.named("story").flat_map(|node| story(&nodes, node)));
    problems.extend(nodes.named("see").flat_map(|node| sections(&nodes, node)));
    predictions(scenario, &nodes, &mut problems);
    labels(&nodes, &mut problems);
    turns(scenario, &nodes, &mut problems);
    problems
}

fn story(nodes: &Nodes<'_>, node: &KdlNode) -> Vec<Problem> {
    let story = node.entries().first().and_then(string).unwrap_or_default();
    let mut problems = Vec::new();
    let lines = story.trim().lines().count();
    if lines > STORY_LINES {
        let said = format!("the story has {lines} lines");
        problems.push(nodes.warning(node, said).help(format!("students read {STORY_LINES} at most")));
    }
    for line in story.lines().filter(|line| line.width() > STORY_COLUMNS) {
        let said = format!("a line of the story is {} columns wide", line.width());
        let from = node.range().start;
        let at = nodes.text[from..].find(line).map_or(node.range(), |at| from + at..from + at + line.len());
        problems.push(Problem::warning(nodes.text, at, said).help(format!("break it before column {STORY_COLUMNS}")));
    }
    problems
}

fn sections(nodes: &Nodes<'_>, node: &KdlNode) -> Vec<Problem> {
    let known = |page: &str| {
        let section = page.rsplit_once('(').map_or("", |(_, section)| section.trim_end_matches(')'));
        let mut chars = section.chars();
        chars.next().is_some_and(|c| matches!(c, '1'..='8')) && chars.all(|c| c.is_ascii_lowercase())
    };
    node.entries()
        .iter()
        .filter(|entry| !string(entry).is_some_and(known))
        .map(|entry| {
            let said = format!("the manual has no section as in `{}`", string(entry).unwrap_or_default());
            Problem::warning(nodes.text, entry.range(), said).help("man(1) lists the sections, 1 to 8")
        })
        .collect()
}

fn predictions(scenario: &Scenario, nodes: &Nodes<'_>, problems: &mut Vec<Problem>) {
    for (node, prediction) in nodes.named("predict").zip(&scenario.predictions) {
        let right = prediction.choices.iter().filter(|(_, right)| *right).count();
        if right != 1 {
            let said = format!("the question has {right} right answers");
            problems.push(nodes.warning(node, said).help("mark exactly one with `right=#true`"));
        }
        if prediction.choices.len() < 2 {
            problems.push(nodes.warning(node, "the question leaves no choice").help("offer at least two"));
        }
        if prediction.because.trim().is_empty() {
            problems.push(nodes.warning(node, "the answer is not explained").help("say why: because \"…\""));
        }
        if let Some(at) = &prediction.at
            && !label_names(nodes).iter().any(|(_, name)| name == at)
        {
            let mut known: Vec<&str> = label_names(nodes).into_iter().map(|(_, name)| name).collect();
            known.dedup();
            let said = format!("`at` names the label `{at}`, which does not exist");
            problems.push(nodes.warning(node, said).maybe_help(words::suggest(at, known)));
        }
    }
}

fn label_names<'a>(nodes: &Nodes<'a>) -> Vec<(&'a KdlNode, &'a str)> {
    let mut found = Vec::new();
    walk(nodes.top, &mut |node| {
        if node.name().value() == "label"
            && let Some(name) = node.entries().first().and_then(string)
        {
            found.push((node, name));
        }
    });
    found
}

fn labels(nodes: &Nodes<'_>, problems: &mut Vec<Problem>) {
    let all = label_names(nodes);
    for (index, (node, name)) in all.iter().enumerate() {
        if all[..index].iter().any(|(_, before)| before == name) {
            let said = format!("a second label `{name}`");
            problems.push(nodes.warning(node, said).help("`until`, `at` and `before` would mean either"));
        }
    }
}

/// Complains of turns that are never taken, and of places that are never reached.
fn turns(scenario: &Scenario, nodes: &Nodes<'_>, problems: &mut Vec<Problem>) {
    let labels: Vec<&str> = label_names(nodes).into_iter().map(|(_, name)| name).collect();
    let children = nodes.named("schedule").filter_map(KdlNode::children).flat_map(KdlDocument::nodes);
    let mut all = false;
    for (child, turn) in children.zip(&scenario.schedule) {
        if all {
            let said = "this turn is never taken: it comes after `run all`";
            problems.push(nodes.warning(child, said).help("let `run all` be the last"));
            break;
        }
        all = *turn == Turn::All;
        let Turn::Run { until: Until::Reaches(place), .. } = turn else { continue };
        let phase = matches!(place.as_str(), HANDLER | RETURNED)
            || (place.starts_with("SIG") && crate::model::Signal::parse(place).is_some());
        if !labels.contains(&place.as_str()) && !words::is_call(place) && !phase {
            let mut known = labels.clone();
            words::call_names().for_each(|call| known.push(call));
            let said = format!("`until={place}` names no label, no call and no signal");
            let at = child.entries().last().map_or(child.range(), Spanned::range);
            problems.push(Problem::warning(nodes.text, at, said).maybe_help(words::suggest(place, known)));
        }
    }
}

/// How a block goes on after a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Never,
}

struct Linter<'a> {
    scenario: &'a Scenario,
    problems: Vec<Problem>,
}

impl Linter<'_> {
    /// Complains of what cannot be reached; how the block ends.
    fn flow(&mut self, body: &[Statement]) -> Flow {
        let mut flow = Flow::Next;
        for (index, statement) in body.iter().enumerate() {
            let next = self.after(statement);
            if flow == Flow::Next && next != Flow::Next {
                flow = next;
                if let Some(unreachable) = body.get(index + 1) {
                    let word = self.scenario.program.statements[statement.id.index()].word;
                    let said = format!("this is never reached: it comes after `{word}`");
                    self.at(unreachable.id, said, None);
                }
            }
        }
        flow
    }

    fn after(&mut self, statement: &Statement) -> Flow {
        match &statement.op {
            Op::Exit { .. } => Flow::Never,
            Op::Exec { .. } if statement.fails.is_none() && statement.errno.is_none() => Flow::Never,
            Op::Break => Flow::Break,
            Op::Fork { body: Some(body), .. } | Op::On { body, .. } => {
                self.flow(body);
                Flow::Next
            }
            Op::Repeat { times, body } => {
                let runs = matches!(times, Value::Number(times) if *times > 0);
                let flow = self.flow(body);
                if runs && flow == Flow::Never && !breaks(body) { Flow::Never } else { Flow::Next }
            }
            Op::Forever { body } => {
                self.flow(body);
                if breaks(body) { Flow::Next } else { Flow::Never }
            }
            Op::If { then, otherwise, .. } => match (self.flow(then), self.flow(otherwise)) {
                (Flow::Next, _) | (_, Flow::Next) => Flow::Next,
                (Flow::Never, Flow::Never) => Flow::Never,
                _ => Flow::Break,
            },
            _ => Flow::Next,
        }
    }

    fn at(&mut self, id: StatementId, message: String, help: Option<String>) {
        let text = &self.scenario.source;
        let Some(info) = self.scenario.program.statements.get(id.index()) else { return };
        let start = text.split_inclusive('\n').take(info.line.saturating_sub(1) as usize).map(str::len).sum::<usize>();
        let line = text[start..].lines().next().unwrap_or_default();
        let span = match line.find(&info.text) {
            Some(at) => start + at..start + at + info.text.len(),
            None => start + (line.len() - line.trim_start().len())..start + line.len(),
        };
        self.problems.push(Problem::warning(text, span, message).maybe_help(help));
    }

    fn barriers(&mut self) {
        for statement in statements(self.scenario) {
            if let Op::Barrier { barrier } = statement.op
                && let Some(barrier) = self.scenario.program.barriers.get(barrier.index())
                && barrier.parties < 2
            {
                let said = format!("only one process comes to the barrier `{}`", barrier.name);
                self.at(statement.id, said, Some("it holds nobody up".to_owned()));
            }
        }
    }
}

/// Whether a `break` inside `body` leaves the loop around it.
fn breaks(body: &[Statement]) -> bool {
    body.iter().any(|statement| match &statement.op {
        Op::Break => true,
        Op::If { then, otherwise, .. } => breaks(then) || breaks(otherwise),
        _ => false,
    })
}

/// Every statement, in the order of the text.
fn statements(scenario: &Scenario) -> Vec<&Statement> {
    fn collect<'a>(body: &'a [Statement], found: &mut Vec<&'a Statement>) {
        for statement in body {
            found.push(statement);
            statement.op.bodies().for_each(|body| collect(body, found));
        }
    }
    let mut found = Vec::new();
    scenario.program.roots.iter().for_each(|root| collect(&root.body, &mut found));
    found
}

#[cfg(test)]
mod tests;
mod uses;
