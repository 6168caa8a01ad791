//! The claims of an `expect` block. What they name must exist.

use kdl::{KdlEntry, KdlNode};

use super::Report;
use super::document::process;
use super::names::Names;
use super::node::{Node, Spanned, one_line, string, written};
use super::ops::errno_help;
use crate::model::Signal;
use crate::scenario::words::{self, EXPECTATIONS};
use crate::scenario::{Claim, Expectation, ObjectKind, RULES, errno};

/// The claims of the block.
pub(super) fn block(report: &mut Report<'_>, names: &Names, node: &Node<'_>) -> Vec<Expectation> {
    node.children().iter().filter_map(|child| expectation(report, names, child)).collect()
}

fn expectation(report: &mut Report<'_>, names: &Names, kdl: &KdlNode) -> Option<Expectation> {
    let node = report.shape(kdl, EXPECTATIONS, "expectation")?;
    let line = report.line(node.span().start);
    let text = one_line(report.text, kdl);
    let what = Judge { report, names }.claim(&node)?;
    Some(Expectation { line, text, what })
}

struct Judge<'r, 't> {
    report: &'r mut Report<'t>,
    names: &'r Names,
}

impl Judge<'_, '_> {
    fn claim(&mut self, node: &Node<'_>) -> Option<Claim> {
        let Some(first) = node.args.first().copied() else {
            return Some(Claim::Clean);
        };
        let second = node.args.get(1).copied();
        Some(match node.word.name {
            "exited" => {
                let code = self.required(node, "code", 0..256);
                Claim::Exited { name: self.process(first)?, code: code? as i32 }
            }
            "killed" => {
                let signal = self.signal(second?);
                Claim::Killed { name: self.process(first)?, signal: signal? }
            }
            "moved" => {
                let bytes = self.required(node, "bytes", 0..i64::MAX);
                Claim::Moved { channel: self.channel(first)?, bytes: bytes?.unsigned_abs() }
            }
            "output" => Claim::Output { name: self.process(first)?, text: self.text(second?)? },
            "printed" => Claim::Printed { name: self.process(first)?, text: self.text(second?)? },
            "received" => {
                let messages: Vec<_> = node.args[1..].iter().map(|entry| self.text(entry)).collect();
                Claim::Received { channel: self.queue(first)?, messages: messages.into_iter().collect::<Option<_>>()? }
            }
            "delivered" => {
                let (name, signal, times) = self.signalled(node)?;
                Claim::Delivered { name, signal, times }
            }
            "handled" => {
                let (name, signal, times) = self.signalled(node)?;
                Claim::Handled { name, signal, times }
            }
            "errno" => {
                let (call, errno) = (self.call(second?), self.errno(node.args[2]));
                Claim::Errno { name: self.process(first)?, call: call?, errno: errno? }
            }
            "blocked" => self.blocked(node)?,
            "value" => {
                let offset = self.report.integer(second?, "the offset", 0..i64::MAX);
                let value = self.report.integer(node.args[2], "the value", i64::MIN..i64::MAX);
                Claim::Value { segment: self.segment(first)?, offset: offset?.unsigned_abs(), value: value? }
            }
            "before" => {
                let second = self.label(second?);
                Claim::Before { first: self.label(first)?, second: second? }
            }
            "diagnosed" => Claim::Diagnosed { rule: self.rule(first)? },
            "noted" => Claim::Noted { rule: self.rule(first)? },
            _ => Claim::NotDiagnosed { rule: self.rule(first)? },
        })
    }

    fn blocked(&mut self, node: &Node<'_>) -> Option<Claim> {
        let name = self.process(node.args[0]);
        let call = self.call(node.args[1]);
        let waits = matches!(string(node.args[1]), Some("wait" | "wait4" | "waitpid" | "waitid"));
        let on = match node.args.get(2) {
            Some(entry) if waits => Some(self.process(entry)?),
            Some(entry) => Some(self.channel(entry)?),
            None => None,
        };
        Some(Claim::Blocked { name: name?, call: call?, on })
    }

    fn signalled(&mut self, node: &Node<'_>) -> Option<(String, Signal, Option<u64>)> {
        let name = self.process(node.args[0]);
        let signal = self.signal(node.args[1]);
        let times = match node.option("times") {
            Some(entry) => Some(self.report.integer(entry, "`times`", 0..i64::MAX)?.unsigned_abs()),
            None => None,
        };
        Some((name?, signal?, times))
    }

    fn required(&mut self, node: &Node<'_>, option: &str, bounds: std::ops::Range<i64>) -> Option<i64> {
        let Some(entry) = node.option(option) else {
            let help = Some(format!("it is used as: {}", node.word.usage));
            self.report.error(node.span(), format!("`{}` lacks `{option}=`", node.word.name), help);
            return None;
        };
        self.report.integer(entry, &format!("`{option}`"), bounds)
    }

    fn process(&mut self, entry: &KdlEntry) -> Option<String> {
        process(self.report, self.names, entry)
    }

    fn text(&mut self, entry: &KdlEntry) -> Option<String> {
        self.report.text(entry, "what is expected").map(str::to_owned)
    }

    fn signal(&mut self, entry: &KdlEntry) -> Option<Signal> {
        super::signals::signal(self.report, entry)
    }

    fn channel(&mut self, entry: &KdlEntry) -> Option<String> {
        let name = self.report.text(entry, "a channel")?;
        if self.names.channels.iter().any(|known| known == name) {
            return Some(name.to_owned());
        }
        self.no_channel(entry, name);
        None
    }

    /// Something that messages come out of.
    fn queue(&mut self, entry: &KdlEntry) -> Option<String> {
        let name = self.report.text(entry, "a queue")?;
        if self.names.queues.iter().any(|known| known == name) {
            return Some(name.to_owned());
        }
        let help = words::suggest(name, self.names.queues.iter().map(String::as_str));
        self.report.error(entry.range(), format!("`{name}` is not a message queue"), help);
        None
    }

    /// Memory that has cells.
    fn segment(&mut self, entry: &KdlEntry) -> Option<String> {
        let name = self.report.text(entry, "a segment")?;
        let known = self.names.objects_of(ObjectKind::Segment);
        if known.clone().any(|known| known == name) {
            return Some(name.to_owned());
        }
        let help = words::suggest(name, known);
        self.report.error(entry.range(), format!("`{name}` is not a segment of memory"), help);
        None
    }

    /// Says that a name is no channel's.
    fn no_channel(&mut self, entry: &KdlEntry, name: &str) {
        let pipe = name.rsplit_once('.').map(|(pipe, _)| pipe);
        let help = match pipe.filter(|pipe| self.names.channels.iter().any(|known| known == pipe)) {
            Some(pipe) => Some(format!("the channel is `{pipe}`, `{name}` is one of its ends")),
            None => words::suggest(name, self.names.channels.iter().map(String::as_str)),
        };
        self.report.error(entry.range(), format!("unknown channel `{name}`"), help);
    }

    fn call(&mut self, entry: &KdlEntry) -> Option<String> {
        let name = self.report.text(entry, "a call")?;
        if words::is_call(name) {
            return Some(name.to_owned());
        }
        self.report.error(entry.range(), format!("unknown call `{name}`"), words::suggest(name, words::call_names()));
        None
    }

    fn errno(&mut self, entry: &KdlEntry) -> Option<String> {
        let name = self.report.text(entry, "an error")?;
        if let Some(number) = errno::number(name) {
            return errno::name(number);
        }
        self.report.error(entry.range(), format!("unknown error `{name}`"), Some(errno_help(name)));
        None
    }

    fn label(&mut self, entry: &KdlEntry) -> Option<String> {
        let name = self.report.text(entry, "a label")?;
        if self.names.labels.iter().any(|known| known == name) {
            return Some(name.to_owned());
        }
        let help = words::suggest(name, self.names.labels.iter().map(String::as_str))
            .unwrap_or_else(|| format!("mark the place with `label {name}`"));
        self.report.error(entry.range(), format!("unknown label `{}`", written(entry).trim_matches('"')), Some(help));
        None
    }

    fn rule(&mut self, entry: &KdlEntry) -> Option<String> {
        let name = self.report.text(entry, "a diagnosis")?;
        if RULES.contains(&name) {
            return Some(name.to_owned());
        }
        let help = words::suggest(name, RULES.iter().copied());
        self.report.error(entry.range(), format!("unknown diagnosis `{name}`"), help);
        None
    }
}
