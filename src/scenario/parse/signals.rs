//! The statements about signals, and the names of signals wherever they stand.

use kdl::{KdlEntry, KdlValue};

use super::Report;
use super::node::{Node, Spanned, key_range, string, written};
use super::scope::Resolver;
use crate::model::{Signal, SignalSet};
use crate::scenario::{Op, Value, words};

impl Resolver<'_, '_> {
    pub(super) fn signal(&mut self, entry: &KdlEntry) -> Option<Signal> {
        signal(self.report, entry)
    }

    pub(super) fn signals(&mut self, entries: &[&KdlEntry]) -> Option<SignalSet> {
        let found: Vec<Option<Signal>> = entries.iter().map(|entry| self.signal(entry)).collect();
        found.into_iter().collect()
    }

    /// The signal or signals of a `sigaction`, which fails for SIGKILL and SIGSTOP and never else.
    fn disposition(&mut self, node: &Node<'_>) -> Option<SignalSet> {
        let set = self.signals(&node.args)?;
        let meant = ["fails", "errno"].into_iter().find_map(|name| node.option(name));
        let fixed = node.args.iter().find(|entry| is_fixed(entry));
        match (fixed, meant) {
            (Some(entry), None) => {
                let help =
                    format!("the kernel answers EINVAL: if that is meant, say `{} … fails=EINVAL`", node.word.name);
                let said = format!("{} cannot be caught, blocked or ignored", written(entry));
                self.report.error(entry.range(), said, Some(help));
                None
            }
            (None, Some(option)) => {
                let said = format!("`{}` cannot fail here: only SIGKILL and SIGSTOP are refused", node.word.name);
                self.report.error(key_range(option), said, None);
                None
            }
            _ => Some(set),
        }
    }

    /// A signal that an instruction can cause.
    fn fault(&mut self, entry: &KdlEntry) -> Option<Signal> {
        let signal = self.signal(entry)?;
        let caused = ["SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"].contains(&signal.to_string().as_str());
        if !caused {
            let help = "it is SIGSEGV, SIGBUS, SIGFPE or SIGILL; `raise` sends any".to_owned();
            self.report.error(entry.range(), format!("no instruction causes {signal}"), Some(help));
        }
        caused.then_some(signal)
    }

    /// The operation of a statement about signals that has no block.
    pub(super) fn signal_op(&mut self, node: &Node<'_>) -> Option<Op> {
        Some(match node.word.name {
            "ignore" => Op::Ignore { signals: self.disposition(node)? },
            "default" => Op::Default { signals: self.disposition(node)? },
            "block" => Op::Block { signals: self.signals(&node.args)? },
            "unblock" => Op::Unblock { signals: self.signals(&node.args)? },
            "kill" => {
                let group = self.report.flag(node, "group");
                let target = self.target(node.args[0]);
                let asks = written(node.args[1]) == "0";
                let signal = if asks { None } else { Some(self.signal(node.args[1])?) };
                Op::Kill { target: target?, signal, group }
            }
            "raise" => Op::Raise { signal: self.signal(node.args[0])? },
            "fault" => Op::Fault { signal: self.fault(node.args[0])? },
            "sigqueue" => {
                let (target, signal) = (self.target(node.args[0]), self.signal(node.args[1]));
                let value = self.number_option(node, "value", i64::from(i32::MIN)..i64::from(i32::MAX) + 1).ok()?;
                Op::Sigqueue { target: target?, signal: signal?, value: value.unwrap_or(Value::Number(0)) }
            }
            "sigwait" => {
                let signals = self.signals(&node.args);
                let (into, value) =
                    (self.assigned_option(node, "into").ok()?, self.assigned_option(node, "value").ok()?);
                Op::Sigwait { signals: signals?, into, value }
            }
            "signalfd" => {
                let signals = self.signals(&node.args[1..]);
                let (name, fd) = self.new_descriptor(node.args[0])?;
                Op::Signalfd { name, fd, signals: signals?, nonblock: self.report.flag(node, "nonblock") }
            }
            "setitimer" => {
                let every = node.option("every").map_or(Some(0), |entry| self.report.seconds(entry, "`every`"));
                Op::Setitimer { time: self.report.seconds(node.args[0], "the time")?, every: every? }
            }
            "pause" => Op::Pause,
            _ => Op::Alarm { seconds: self.alarm(node.args[0])?, into: self.assigned_option(node, "into").ok()? },
        })
    }

    fn alarm(&mut self, entry: &KdlEntry) -> Option<Value> {
        if let KdlValue::Float(seconds) = entry.value() {
            if seconds.fract() == 0.0 && (0.0..=1e6).contains(seconds) {
                return Some(Value::Number(*seconds as i64));
            }
            self.report.error(entry.range(), "alarm(2) counts whole seconds", None);
            return None;
        }
        self.number(entry, "the time", 0..1_000_001)
    }

    /// The operation of `on`, without its block.
    pub(super) fn on(&mut self, node: &Node<'_>) -> Option<Op> {
        self.disposition(node)?;
        let signal = self.signal(node.args[0])?;
        let mask = node.option("mask").map_or(Some(SignalSet::EMPTY), |entry| self.mask(entry))?;
        Some(Op::On {
            signal,
            restart: self.report.flag(node, "restart"),
            nodefer: self.report.flag(node, "nodefer"),
            resethand: self.report.flag(node, "resethand"),
            keep_errno: self.report.flag(node, "keep-errno"),
            mask,
            body: Vec::new(),
        })
    }

    fn mask(&mut self, entry: &KdlEntry) -> Option<SignalSet> {
        let text = self.report.text(entry, "the mask")?;
        let mut set = SignalSet::EMPTY;
        for word in text.split_whitespace() {
            let Some(signal) = Signal::parse(word) else {
                let help = Some("write mask=\"USR1 USR2\"".to_owned());
                self.report.error(entry.range(), format!("unknown signal `{word}`"), help);
                return None;
            };
            set.insert(signal);
        }
        Some(set)
    }
}

/// Whether it is SIGKILL or SIGSTOP.
fn is_fixed(entry: &KdlEntry) -> bool {
    let text = string(entry).map_or_else(|| written(entry), str::to_owned);
    Signal::parse(&text).is_some_and(|signal| !signal.is_catchable())
}

/// A signal by name or number.
pub(super) fn signal(report: &mut Report<'_>, entry: &KdlEntry) -> Option<Signal> {
    let text = string(entry).map_or_else(|| written(entry), str::to_owned);
    let signal = Signal::parse(&text);
    if signal.is_none() {
        let names: Vec<String> = Signal::all().map(|signal| signal.to_string()).collect();
        let full = if text.to_uppercase().starts_with("SIG") { text.clone() } else { format!("SIG{text}") };
        let help = words::suggest(&full, names.iter().map(String::as_str))
            .unwrap_or_else(|| "signal(7) lists the names".to_owned());
        report.error(entry.range(), format!("unknown signal `{text}`"), Some(help));
    }
    signal
}
