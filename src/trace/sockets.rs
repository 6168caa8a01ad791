//! What the tracer knows of sockets besides what stands in the log: which object of the kernel is
//! which end of a connection, who is bound where, and which descriptors are under way.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustc_hash::FxHashMap as HashMap;

use crate::model::{ChannelId, ChannelKind, End, TaskId};

/// An address as programs pass it (`struct sockaddr`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Host and port (ip(7), ipv6(7)).
    Inet(SocketAddr),
    /// A path (unix(7)).
    Path(Vec<u8>),
    /// A name in the abstract namespace, without the zero byte that it begins with.
    Abstract(Vec<u8>),
    /// None: a Unix socket that is bound nowhere, or `AF_UNSPEC`.
    Unnamed,
    /// One of another family.
    Other,
}

impl Address {
    /// Reads one. An IPv4 address that stands in an IPv6 one is itself.
    pub fn parse(raw: &[u8]) -> Self {
        let family = raw.get(..2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_ne_bytes);
        let port = || raw.get(2..4).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes);
        match i32::from(family) {
            libc::AF_UNSPEC => Self::Unnamed,
            libc::AF_INET => {
                let host = raw.get(4..8).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(Ipv4Addr::from);
                host.zip(port()).map_or(Self::Other, |(host, port)| Self::Inet(SocketAddr::new(host.into(), port)))
            }
            libc::AF_INET6 => {
                let host = raw.get(8..24).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()).map(Ipv6Addr::from);
                let host = host.map(|host| IpAddr::from(host).to_canonical());
                host.zip(port()).map_or(Self::Other, |(host, port)| Self::Inet(SocketAddr::new(host, port)))
            }
            libc::AF_UNIX => match &raw[2..] {
                [] => Self::Unnamed,
                [0, name @ ..] => Self::Abstract(name.to_vec()),
                path => Self::Path(path.iter().copied().take_while(|byte| *byte != 0).collect()),
            },
            _ => Self::Other,
        }
    }

    /// Whether it is a port that the kernel is asked to choose.
    pub fn asks_for_a_port(&self) -> bool {
        matches!(self, Self::Inet(address) if address.port() == 0)
    }
}

/// Where a socket is found by others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Spot {
    /// At a port; none is every host of this machine.
    Inet(ChannelKind, u16, Option<IpAddr>),
    /// By an abstract name.
    Abstract(Vec<u8>),
    /// By a file: device and inode.
    File(u64, u64),
}

impl Spot {
    /// A host and port; the unspecified host is every one.
    pub fn inet(kind: ChannelKind, address: SocketAddr) -> Self {
        Self::Inet(kind, address.port(), Some(address.ip()).filter(|host| !host.is_unspecified()))
    }
}

/// A descriptor that was sent and has not been received (`SCM_RIGHTS`).
#[derive(Debug, Clone, Copy)]
pub struct Flight {
    /// Who sent it.
    pub from: TaskId,
    /// What it leads to.
    pub channel: ChannelId,
    /// Which end of that.
    pub end: End,
    /// Its open file description.
    pub description: u64,
}

/// A socket of the run.
#[derive(Debug, Default)]
pub struct Known {
    /// Whether its end is connected to one other socket and moves bytes or records, not datagrams to
    /// whomever they are addressed.
    pub paired: bool,
    /// The inode numbers of its ends.
    pub inodes: [Option<u64>; 2],
    /// To whom datagrams without an address go.
    pub peer: Option<Address>,
    /// How many datagrams the kernel is known to have thrown away.
    pub drops: u32,
    /// Whether it is being connected by a call that did not wait (`EINPROGRESS`).
    pub connecting: bool,
    spots: Vec<Spot>,
    pair: Option<(SocketAddr, SocketAddr)>,
}

/// All sockets of the run.
#[derive(Debug, Default)]
pub struct Sockets {
    places: HashMap<u64, (ChannelId, End)>,
    known: HashMap<ChannelId, Known>,
    spots: HashMap<Spot, ChannelId>,
    pairs: HashMap<(SocketAddr, SocketAddr), ChannelId>,
    ports: HashMap<(ChannelKind, u16), String>,
    flights: HashMap<(ChannelId, End), VecDeque<Vec<Flight>>>,
}

impl Sockets {
    /// Which end of which channel the socket with this inode number is.
    pub fn place(&self, inode: u64) -> Option<(ChannelId, End)> {
        self.places.get(&inode).copied()
    }

    /// Notes that the socket with this inode number is that end of a channel.
    pub fn put(&mut self, inode: u64, channel: ChannelId, end: End) {
        self.places.insert(inode, (channel, end));
        self.known.entry(channel).or_default().inodes[end.index()] = Some(inode);
    }

    /// What is known of a channel that is a socket.
    pub fn known(&self, channel: ChannelId) -> Option<&Known> {
        self.known.get(&channel)
    }

    /// The same, to change it.
    pub fn known_mut(&mut self, channel: ChannelId) -> &mut Known {
        self.known.entry(channel).or_default()
    }

    /// Notes where a socket is bound. One that was there before is not found any more.
    pub fn bind(&mut self, channel: ChannelId, spot: Spot) {
        self.spots.insert(spot.clone(), channel);
        self.known_mut(channel).spots.push(spot);
    }

    /// Who is found there.
    pub fn at(&self, spot: &Spot) -> Option<ChannelId> {
        let found = self.spots.get(spot).copied();
        match spot {
            Spot::Inet(kind, port, Some(_)) => found.or_else(|| self.at(&Spot::Inet(*kind, *port, None))),
            _ => found,
        }
    }

    /// Notes the two addresses of a connection, the connecting socket's first.
    pub fn pair(&mut self, channel: ChannelId, own: SocketAddr, peer: SocketAddr) {
        self.pairs.insert((own, peer), channel);
        self.known_mut(channel).pair = Some((own, peer));
    }

    /// The connection between two addresses, the connecting socket's first.
    pub fn between(&self, own: SocketAddr, peer: SocketAddr) -> Option<ChannelId> {
        self.pairs.get(&(own, peer)).copied()
    }

    /// Notes what stands for a port that the kernel chose.
    pub fn name_port(&mut self, kind: ChannelKind, port: u16, name: &str) {
        self.ports.insert((kind, port), name.to_owned());
    }

    /// An address as text. In a scenario a port that the kernel chose goes by the name of the socket
    /// that it was chosen for, and an abstract name by the name that the scenario gives it: the run's
    /// own numbers would differ from run to run.
    pub fn text(&self, kind: ChannelKind, address: &Address) -> String {
        match address {
            Address::Inet(address) => match self.ports.get(&(kind, address.port())) {
                Some(name) if address.is_ipv6() => format!("[{}]:{name}", address.ip()),
                Some(name) => format!("{}:{name}", address.ip()),
                None => address.to_string(),
            },
            Address::Path(path) => String::from_utf8_lossy(path).into_owned(),
            Address::Abstract(name) => {
                // Many programs pass the whole field with the zero bytes behind the name.
                let name = String::from_utf8_lossy(name).trim_end_matches('\0').replace('\0', "@");
                let own = name.strip_prefix("proclab/").and_then(|rest| rest.split_once('/'));
                format!("@{}", own.filter(|(run, _)| run.parse::<u64>().is_ok()).map_or(&*name, |(_, own)| own))
            }
            Address::Unnamed | Address::Other => String::new(),
        }
    }

    /// Notes that descriptors are under way to an end.
    pub fn send(&mut self, channel: ChannelId, end: End, flights: Vec<Flight>) {
        self.flights.entry((channel, end)).or_default().push_back(flights);
    }

    /// The descriptors that arrive at an end next.
    pub fn receive(&mut self, channel: ChannelId, end: End) -> Vec<Flight> {
        self.flights.get_mut(&(channel, end)).and_then(VecDeque::pop_front).unwrap_or_default()
    }

    /// Nothing is under way to an end any more; returns what was thrown away.
    pub fn discard(&mut self, channel: ChannelId, end: End) -> Vec<ChannelId> {
        let lost = self.flights.remove(&(channel, end)).unwrap_or_default();
        lost.into_iter().flatten().map(|flight| flight.channel).collect()
    }

    /// Whether any descriptor is under way.
    pub fn awaits_descriptors(&self) -> bool {
        !self.flights.is_empty()
    }

    /// Whether a descriptor that leads to an end is under way (or, with none, to any).
    pub fn is_under_way(&self, channel: ChannelId, end: Option<End>) -> bool {
        let leads = |flight: &Flight| flight.channel == channel && end.is_none_or(|end| flight.end == end);
        self.flights.values().flatten().flatten().any(leads)
    }

    /// Forgets a channel that is gone: its numbers and addresses may come back as others'. Returns
    /// where descriptors led that were under way to it.
    pub fn forget(&mut self, channel: ChannelId) -> Vec<ChannelId> {
        if let Some(known) = self.known.remove(&channel) {
            for inode in known.inodes.into_iter().flatten() {
                self.places.remove(&inode);
            }
            for spot in known.spots {
                if self.spots.get(&spot) == Some(&channel) {
                    self.spots.remove(&spot);
                }
            }
            if let Some(pair) = known.pair.filter(|pair| self.pairs.get(pair) == Some(&channel)) {
                self.pairs.remove(&pair);
            }
        }
        let mut lost = self.discard(channel, End::First);
        lost.extend(self.discard(channel, End::Second));
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(host: [u8; 4], port: u16) -> Vec<u8> {
        [&(libc::AF_INET as u16).to_ne_bytes()[..], &port.to_be_bytes(), &host, &[0; 8]].concat()
    }

    #[test]
    fn addresses_are_read_and_written() {
        let sockets = Sockets::default();
        let text = |raw: &[u8]| sockets.text(ChannelKind::Tcp, &Address::parse(raw));
        let unix = |rest: &[u8]| [&(libc::AF_UNIX as u16).to_ne_bytes()[..], rest].concat();
        assert_eq!(text(&inet([127, 0, 0, 1], 80)), "127.0.0.1:80");
        assert_eq!(text(&unix(b"dir/name\0rest")), "dir/name");
        assert_eq!(text(&unix(b"\0bus\0x\0\0")), "@bus@x");
        assert_eq!(text(&unix(b"\0proclab/4026531836/mine")), "@mine");
        assert_eq!((Address::parse(&unix(b"")), Address::parse(b"")), (Address::Unnamed, Address::Unnamed));
        let mut six = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
        six.extend([0, 80, 0, 0, 0, 0]);
        six.extend(Ipv6Addr::LOCALHOST.octets());
        assert_eq!(text(&six), "[::1]:80");
        assert_eq!(text(&six[..20]), "");
    }

    #[test]
    fn a_port_is_found_at_its_host_or_at_every_one() {
        let mut sockets = Sockets::default();
        let channel = ChannelId::from_index;
        let Address::Inet(local) = Address::parse(&inet([127, 0, 0, 1], 80)) else { panic!("another family") };
        let Address::Inet(every) = Address::parse(&inet([0, 0, 0, 0], 81)) else { panic!("another family") };
        sockets.bind(channel(1), Spot::inet(ChannelKind::Tcp, local));
        sockets.bind(channel(2), Spot::inet(ChannelKind::Udp, every));
        assert_eq!(sockets.at(&Spot::inet(ChannelKind::Tcp, local)), Some(channel(1)));
        assert_eq!(sockets.at(&Spot::inet(ChannelKind::Udp, local)), None);
        let local = SocketAddr::new(local.ip(), 81);
        assert_eq!(sockets.at(&Spot::inet(ChannelKind::Udp, local)), Some(channel(2)));
        sockets.forget(channel(2));
        assert_eq!(sockets.at(&Spot::inet(ChannelKind::Udp, local)), None);
    }
}
