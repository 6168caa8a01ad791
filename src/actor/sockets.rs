//! What the statements about sockets do.

use super::machine::Machine;
use crate::model::Access;
use crate::scenario::{Address, DescriptorId, Domain, Op, SocketKind, Statement, Value};
use crate::sys::call::sockets::{self, SocketAddress};
use crate::sys::call::{self, Answer};

const fn kind_of(kind: SocketKind) -> i32 {
    match kind {
        SocketKind::Stream => libc::SOCK_STREAM,
        SocketKind::Dgram => libc::SOCK_DGRAM,
        SocketKind::Seqpacket => libc::SOCK_SEQPACKET,
    }
}

impl Machine {
    /// The statements about sockets that leave something behind.
    pub(super) fn socket_statement(&self, statement: &Statement) {
        match &statement.op {
            Op::Socketpair { a, b, kind, .. } => {
                let ends = sockets::socketpair(kind_of(*kind));
                self.settle_pair(statement, ends, [*a, *b]);
            }
            Op::Socket { fd, .. } => self.settle_fd(statement, self.socket(statement), *fd),
            Op::Accept { fd, conn, .. } => self.settle_fd(statement, sockets::accept(self.fd(*fd)), *conn),
            Op::RecvFd { fd, into, .. } => self.settle_fd(statement, sockets::recv_fd(self.fd(*fd)), *into),
            Op::Recv { fd, bytes, until_eof, into, nowait } => {
                let flags = if *nowait { libc::MSG_DONTWAIT } else { 0 };
                self.receive(statement, bytes.as_ref(), *until_eof, *into, |buffer| {
                    sockets::recv(self.fd(*fd), buffer, flags)
                });
            }
            _ => {
                let answer = self.socket_answer(statement);
                self.settle(statement, answer);
            }
        }
    }

    fn socket_answer(&self, statement: &Statement) -> Answer {
        match &statement.op {
            Op::Bind { fd, .. } => self.bind(statement, *fd),
            Op::Listen { fd, backlog } => {
                sockets::listen(self.fd(*fd), i32::try_from(self.number(backlog)).unwrap_or(i32::MAX))
            }
            Op::Connect { fd, address } => sockets::connect(self.fd(*fd), &self.address(statement, *fd, address)),
            Op::Send { fd, address, text, bytes, nowait, nosignal } => {
                let flags = if *nowait { libc::MSG_DONTWAIT } else { 0 };
                let flags = flags | if *nosignal { libc::MSG_NOSIGNAL } else { 0 };
                let address = address.as_ref().map(|address| self.address(statement, *fd, address));
                self.with_padded(text, bytes.as_ref(), |bytes| match &address {
                    Some(address) => sockets::sendto(self.fd(*fd), bytes, flags, address),
                    None => sockets::send(self.fd(*fd), bytes, flags),
                })
            }
            Op::Shutdown { fd, access } => {
                let how = match access {
                    Access::Read => libc::SHUT_RD,
                    Access::Write => libc::SHUT_WR,
                    Access::ReadWrite | Access::None => libc::SHUT_RDWR,
                };
                sockets::shutdown(self.fd(*fd), how)
            }
            Op::SendFd { fd, sent } => sockets::send_fd(self.fd(*fd), self.fd(*sent)),
            _ => Ok(0),
        }
    }

    fn socket(&self, statement: &Statement) -> Answer {
        let Op::Socket { domain, kind, rcvbuf, sndbuf, reuseaddr, nonblock, .. } = &statement.op else {
            return Ok(-1);
        };
        let domain = match domain {
            Domain::Unix => libc::AF_UNIX,
            Domain::Inet => libc::AF_INET,
        };
        let fd = sockets::socket(domain, kind_of(*kind) | if *nonblock { libc::SOCK_NONBLOCK } else { 0 })?;
        // What is sent goes at once: a run shall not hang on the kernel's timers (tcp(7), TCP_NODELAY).
        if domain == libc::AF_INET && *kind == SocketKind::Stream {
            sockets::send_at_once(fd as i32)?;
        }
        let bytes =
            |value: &Option<Value>| value.as_ref().map(|value| i32::try_from(self.number(value)).unwrap_or(i32::MAX));
        let options = [
            (libc::SO_RCVBUF, bytes(rcvbuf)),
            (libc::SO_SNDBUF, bytes(sndbuf)),
            (libc::SO_REUSEADDR, reuseaddr.then_some(1)),
        ];
        for (option, value) in options {
            if let Some(value) = value
                && let Err(errno) = sockets::set_option(fd as i32, option, value)
            {
                let _ = call::close(fd as i32);
                return Err(errno);
            }
        }
        Ok(fd)
    }

    fn bind(&self, statement: &Statement, fd: DescriptorId) -> Answer {
        let prepared = self.prepared.get(statement.id.index()).and_then(Option::as_ref);
        let Some(address) = prepared.and_then(|prepared| prepared.address) else { return Err(libc::EINVAL) };
        let answer = sockets::bind(self.fd(fd), &address)?;
        // Which port the kernel chose, only the kernel knows.
        let bound = if address == SocketAddress::loopback(0) { sockets::name(self.fd(fd))? } else { address };
        self.book.enter(fd, &bound);
        Ok(answer)
    }

    /// Where the socket `fd` shall send to. A name that nobody has bound leads to where nobody listens,
    /// so that the kernel gives its own answer.
    fn address(&self, statement: &Statement, fd: DescriptorId, address: &Address) -> SocketAddress {
        let prepared = self.prepared.get(statement.id.index()).and_then(Option::as_ref);
        let known = match address {
            Address::Name(name) => self.book.address(*name),
            _ => prepared.and_then(|prepared| prepared.address),
        };
        known.unwrap_or_else(|| match sockets::domain(self.fd(fd)) {
            Ok(domain) if domain == i64::from(libc::AF_INET) => SocketAddress::loopback(0),
            _ => SocketAddress::hidden(b"proclab/nobody"),
        })
    }
}
