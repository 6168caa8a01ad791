//! The statements about sockets, and the addresses that they take.

use kdl::{KdlEntry, KdlValue};

use super::node::{Node, Spanned, is_bare, string, written};
use super::ops::TRANSFER;
use super::scope::Resolver;
use crate::model::Access;
use crate::scenario::{Address, Domain, Op, SocketKind, Value, words};

/// The longest path of a socket (unix(7)): `sun_path` has room for it and a zero byte.
const MAX_PATH: usize = 107;
/// The longest abstract name, so that there is room to make it the run's own.
const MAX_ABSTRACT: usize = 80;

impl Resolver<'_, '_> {
    /// The operation of a statement about sockets.
    pub(super) fn socket_op(&mut self, node: &Node<'_>) -> Option<Op> {
        let first = node.args[0];
        Some(match node.word.name {
            "socketpair" => {
                let kind = self.socket_kind(node.args.get(1).copied())?;
                let (name, [a, b]) = self.new_pair(first, ["a", "b"])?;
                Op::Socketpair { name, a, b, kind }
            }
            "socket" => self.socket(node)?,
            "bind" => {
                let (fd, address) = (self.descriptor(first), self.address(node.args[1], false));
                Op::Bind { fd: fd?, address: address? }
            }
            "listen" => {
                let fd = self.descriptor(first);
                Op::Listen { backlog: self.number(node.args[1], "the length of the queue", 0..65_536)?, fd: fd? }
            }
            "accept" => {
                let fd = self.descriptor(first);
                let (name, conn) = self.new_descriptor(node.args[1])?;
                Op::Accept { fd: fd?, name, conn }
            }
            "connect" => {
                let (fd, address) = (self.descriptor(first), self.address(node.args[1], true));
                Op::Connect { fd: fd?, address: address? }
            }
            "send" | "sendto" => self.send(node)?,
            "recv" | "recvfrom" => self.recv(node)?,
            "shutdown" => {
                let fd = self.descriptor(first);
                Op::Shutdown { access: self.access(node.args[1])?, fd: fd? }
            }
            "send-fd" => {
                let (fd, sent) = (self.descriptor(first), self.descriptor(node.args[1]));
                Op::SendFd { fd: fd?, sent: sent? }
            }
            _ => {
                let fd = self.descriptor(first);
                let (name, into) = self.new_descriptor(node.args[1])?;
                Op::RecvFd { fd: fd?, name, into }
            }
        })
    }

    fn socket(&mut self, node: &Node<'_>) -> Option<Op> {
        let domain = self.choice(node.args[1], "domain", &[("unix", Domain::Unix), ("inet", Domain::Inet)]);
        let kind = self.socket_kind(node.args.get(2).copied());
        let rcvbuf = self.number_option(node, "rcvbuf", 0..i64::from(i32::MAX)).ok()?;
        let sndbuf = self.number_option(node, "sndbuf", 0..i64::from(i32::MAX)).ok()?;
        let (reuseaddr, nonblock) = (self.report.flag(node, "reuseaddr"), self.report.flag(node, "nonblock"));
        let (name, fd) = self.new_descriptor(node.args[0])?;
        Some(Op::Socket { name, fd, domain: domain?, kind: kind?, rcvbuf, sndbuf, reuseaddr, nonblock })
    }

    fn socket_kind(&mut self, entry: Option<&KdlEntry>) -> Option<SocketKind> {
        let known =
            [("stream", SocketKind::Stream), ("dgram", SocketKind::Dgram), ("seqpacket", SocketKind::Seqpacket)];
        entry.map_or(Some(SocketKind::Stream), |entry| self.choice(entry, "kind of socket", &known))
    }

    fn send(&mut self, node: &Node<'_>) -> Option<Op> {
        let fd = self.descriptor(node.args[0]);
        let address = match node.args.as_slice() {
            [_, entry, _] => Some(self.address(entry, true)),
            _ => None,
        };
        let (text, bytes) = self.padded(node, node.args[node.args.len() - 1])?;
        let (nowait, nosignal) = (self.report.flag(node, "nowait"), self.report.flag(node, "nosignal"));
        let address = match address {
            Some(address) => Some(address?),
            None => None,
        };
        Some(Op::Send { fd: fd?, address, text, bytes, nowait, nosignal })
    }

    fn recv(&mut self, node: &Node<'_>) -> Option<Op> {
        let Op::Read { fd, bytes, until_eof, into } = self.read(node)? else { return None };
        Some(Op::Recv { fd, bytes, until_eof, into, nowait: self.report.flag(node, "nowait") })
    }

    /// `r`, `w` or `rw`.
    pub(super) fn access(&mut self, entry: &KdlEntry) -> Option<Access> {
        self.choice(entry, "access", &[("r", Access::Read), ("w", Access::Write), ("rw", Access::ReadWrite)])
    }

    /// One of several words, each of which means something.
    pub(super) fn choice<T: Copy>(&mut self, entry: &KdlEntry, what: &str, known: &[(&'static str, T)]) -> Option<T> {
        let word = string(entry).map_or_else(|| written(entry), str::to_owned);
        if let Some((_, meaning)) = known.iter().find(|(name, _)| *name == word) {
            return Some(*meaning);
        }
        let names: Vec<String> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
        let help = match names.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("it is {} or {last}", first.join(", ")),
            _ => format!("it is {}", names.concat()),
        };
        let shown = if string(entry).is_some() { word } else { written(entry) };
        self.report.error(entry.range(), format!("unknown {what} `{shown}`"), Some(help));
        None
    }

    /// Where a socket is found, or with `peer` whom it talks to: then a bare word names a socket.
    fn address(&mut self, entry: &KdlEntry, peer: bool) -> Option<Address> {
        if let KdlValue::Integer(_) = entry.value() {
            return self.report.integer(entry, "the port", 0..65_536).map(|port| Address::Inet(port as u16));
        }
        let text = self.report.path(entry, "the address")?;
        if let Some(name) = text.strip_prefix('@') {
            return self.short(entry, "an abstract name", name, MAX_ABSTRACT).map(Address::Abstract);
        }
        if let Some((host, port)) = text.rsplit_once(':').filter(|(host, _)| !host.contains('/')) {
            return self.inet(entry, host, port);
        }
        if peer && is_bare(entry) && !self.names.bound.contains(&text) {
            if self.names.sockets.contains(&text) {
                return self.names.descriptor_id(&text).map(Address::Name);
            }
            let known = self.names.sockets.iter().chain(&self.names.bound).map(String::as_str);
            let help = words::suggest(&text, known)
                .unwrap_or_else(|| format!("name a socket that is bound, or quote the path: \"{text}\""));
            self.report.error(entry.range(), format!("no socket is called or bound to `{text}`"), Some(help));
            return None;
        }
        self.short(entry, "the path of a socket", &text, MAX_PATH).map(Address::Path)
    }

    fn inet(&mut self, entry: &KdlEntry, host: &str, port: &str) -> Option<Address> {
        if !matches!(host, "127.0.0.1" | "localhost") {
            let help = Some("scenarios stay on this machine: write \"127.0.0.1:PORT\", or the port alone".to_owned());
            self.report.error(entry.range(), format!("`{host}` is not the loopback address"), help);
            return None;
        }
        let number = port.parse().ok();
        if number.is_none() {
            let help = Some("it is a number from 0 to 65535; with 0 the kernel chooses".to_owned());
            self.report.error(entry.range(), format!("`{port}` is no port"), help);
        }
        number.map(Address::Inet)
    }

    fn short(&mut self, entry: &KdlEntry, what: &str, text: &str, most: usize) -> Option<String> {
        if text.is_empty() || text.len() > most {
            self.report.error(entry.range(), format!("{what} has 1 to {most} bytes"), None);
            return None;
        }
        Some(text.to_owned())
    }

    /// A text and the length that `bytes=` cuts or repeats it to.
    pub(super) fn padded(&mut self, node: &Node<'_>, entry: &KdlEntry) -> Option<(Value, Option<Value>)> {
        let text = self.value(entry);
        let bytes = self.number_option(node, "bytes", TRANSFER).ok()?;
        if let (Some(Value::Text(text)), Some(count)) = (&text, &bytes)
            && text.is_empty()
            && *count != Value::Number(0)
        {
            self.report.error(entry.range(), "an empty text cannot be repeated", None);
        }
        Some((text?, bytes))
    }
}
