//! What the kernel says of a socket that was borrowed from another process, and who is across from it.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::error::{Result, check};

/// The longest address of a socket (`sockaddr_storage`).
pub const MAX_ADDRESS: usize = 128;

/// An option of a socket that is a number (socket(7)).
pub fn option(fd: &OwnedFd, option: i32) -> Result<i32> {
    let mut value = [0; 4];
    let length = options(fd, libc::SOL_SOCKET, option, &mut value)?;
    Ok(if length == value.len() { i32::from_ne_bytes(value) } else { 0 })
}

/// Fills `bytes` with an option; returns how many were filled.
fn options(fd: &OwnedFd, level: i32, option: i32, bytes: &mut [u8]) -> Result<usize> {
    let mut length = bytes.len() as libc::socklen_t;
    // SAFETY: the buffer is live and its size is passed; the kernel writes no more than that.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), level, option, bytes.as_mut_ptr().cast(), &raw mut length) };
    check(result, "getsockopt", || "a socket".into()).map(|_| (length as usize).min(bytes.len()))
}

/// Whether an option that is a time (`SO_RCVTIMEO`, `SO_SNDTIMEO` of socket(7)) is set to one; 0 is for ever.
pub fn has_timeout(fd: &OwnedFd, option: i32) -> Result<bool> {
    let mut time = [0; 16];
    options(fd, libc::SOL_SOCKET, option, &mut time)?;
    Ok(time != [0; 16])
}

type Ask = unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

fn ask(fd: &OwnedFd, ask: Ask, call: &'static str) -> Result<Vec<u8>> {
    let mut bytes = [0_u8; MAX_ADDRESS];
    let mut length = MAX_ADDRESS as libc::socklen_t;
    // SAFETY: the buffer is live and its size is passed; the kernel cuts what does not fit.
    let result = unsafe { ask(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), &raw mut length) };
    check(result, call, || "a socket".into())?;
    Ok(bytes[..(length as usize).min(MAX_ADDRESS)].to_vec())
}

/// Its own address, as `struct sockaddr` (getsockname(2)).
pub fn own_address(fd: &OwnedFd) -> Result<Vec<u8>> {
    ask(fd, libc::getsockname, "getsockname")
}

/// The address of the one that it is connected to (getpeername(2)).
pub fn peer_address(fd: &OwnedFd) -> Result<Vec<u8>> {
    ask(fd, libc::getpeername, "getpeername")
}

/// How many datagrams the kernel has thrown away that were sent to it (`SO_MEMINFO`, `SK_MEMINFO_DROPS`).
pub fn drops(fd: &OwnedFd) -> Result<u32> {
    const SO_MEMINFO: i32 = 55;
    const DROPS: usize = 8;
    let mut bytes = [0; 36];
    options(fd, libc::SOL_SOCKET, SO_MEMINFO, &mut bytes)?;
    Ok(number_at(&bytes, DROPS * 4))
}

/// What has passed through a TCP socket, in bytes (tcp(7), `TCP_INFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// What programs have written to it, sent or still waiting to be.
    pub written: u64,
    /// What has arrived for its reader, read or still waiting to be; the end of the stream counts as one
    /// byte.
    pub arrived: u64,
}

/// Asks a TCP socket what has passed.
pub fn passed(fd: &OwnedFd) -> Result<Passed> {
    // Offsets in `struct tcp_info` of linux/tcp.h; what an older kernel does not fill stays 0.
    const BYTES_RECEIVED: usize = 128;
    const NOTSENT_BYTES: usize = 144;
    const BYTES_SENT: usize = 200;
    const BYTES_RETRANS: usize = 208;
    let mut info = [0; 256];
    options(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info)?;
    let long = |at: usize| info[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
    let sent = long(BYTES_SENT).saturating_sub(long(BYTES_RETRANS));
    Ok(Passed { written: sent + u64::from(number_at(&info, NOTSENT_BYTES)), arrived: long(BYTES_RECEIVED) })
}

fn number_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// A copy of what comes out of a socket next, at most `limit` bytes; it stays there (`MSG_PEEK`). Only
/// where something waits: an error that waits would be taken out.
pub fn next(fd: &OwnedFd, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; limit];
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the buffer is live and its size is passed.
    let read = unsafe { libc::recv(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), limit, flags) };
    let read = check(read as i64, "recv", || "a socket".into())?;
    bytes.truncate(read as usize);
    Ok(bytes)
}

/// How many connections wait to be accepted by the listening TCP socket (`tcpi_unacked`).
pub fn tcp_backlog(fd: &OwnedFd) -> Result<u32> {
    const UNACKED: usize = 24;
    let mut info = [0; 64];
    options(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info)?;
    Ok(number_at(&info, UNACKED))
}

/// The inode number of the Unix socket across from the one with inode number `inode` (`sock_diag(7)`).
/// `None` if it has none, if the one across is closed, or if the kernel does not tell.
pub fn unix_peer(inode: u64) -> Option<u64> {
    const UDIAG_SHOW_PEER: u32 = 4;
    const UNIX_DIAG_PEER: u16 = 2;
    unix_diag(inode, UDIAG_SHOW_PEER, UNIX_DIAG_PEER).map(u64::from).filter(|inode| *inode != 0)
}

/// How many connections wait to be accepted by the listening Unix socket with this inode number.
pub fn unix_backlog(inode: u64) -> Option<u32> {
    const UDIAG_SHOW_RQLEN: u32 = 16;
    const UNIX_DIAG_RQLEN: u16 = 4;
    unix_diag(inode, UDIAG_SHOW_RQLEN, UNIX_DIAG_RQLEN)
}

/// Asks for one attribute of a Unix socket; the first number of the answer.
fn unix_diag(inode: u64, show: u32, attribute: u16) -> Option<u32> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const HEADER: usize = 16;
    const ANSWER: usize = 16;
    // SAFETY: a system call on numbers; the result is checked before it is owned.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_SOCK_DIAG);
        OwnedFd::from_raw_fd(check(fd, "socket", || "netlink".into()).ok()? as i32)
    };
    let mut request = Vec::with_capacity(40);
    // struct nlmsghdr: length, type, flags, sequence, port.
    request.extend(40_u32.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    request.extend([0; 8]);
    // struct unix_diag_req: family, protocol, padding, states, inode, what to show, cookie.
    request.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(u32::try_from(inode).ok()?.to_ne_bytes());
    request.extend(show.to_ne_bytes());
    request.extend([0xff; 8]);
    let mut answer = [0_u8; 512];
    // SAFETY: both buffers are live and their sizes are passed. The kernel answers during the send, so
    // that the receive need not wait.
    let length = unsafe {
        let sent = libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0);
        check(sent as i64, "send", || "netlink".into()).ok()?;
        let (place, room) = (answer.as_mut_ptr().cast(), answer.len());
        check(libc::recv(socket.as_raw_fd(), place, room, libc::MSG_DONTWAIT) as i64, "recv", || "netlink".into())
            .ok()?
    };
    let answer = answer.get(..length as usize)?;
    let short = |at: usize| answer.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    if short(4)? != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let mut at = HEADER + ANSWER;
    while let (Some(length @ 4..), Some(kind)) = (short(at), short(at + 2)) {
        if kind == attribute {
            return Some(number_at(answer, at + 4));
        }
        at += usize::from(length).next_multiple_of(4);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn inode(fd: &OwnedFd) -> u64 {
        std::fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("a descriptor").ino()
    }

    #[test]
    fn the_two_ends_of_a_pair_know_each_other() {
        let (a, b) = UnixStream::pair().expect("a pair");
        let (a, b) = (OwnedFd::from(a), OwnedFd::from(b));
        assert_eq!((unix_peer(inode(&a)), unix_peer(inode(&b))), (Some(inode(&b)), Some(inode(&a))));
        drop(b);
        assert_eq!(unix_peer(inode(&a)), None);
        assert_eq!(option(&a, libc::SO_DOMAIN), Ok(libc::AF_UNIX));
        assert_eq!(option(&a, libc::SO_TYPE), Ok(libc::SOCK_STREAM));
    }

    #[test]
    fn what_passed_through_tcp_is_counted_exactly() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let mut client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
        let (mut server, _) = listener.accept().expect("accept");
        client.write_all(&[7; 10_000]).expect("write");
        let mut some = [0; 4000];
        server.read_exact(&mut some).expect("read");
        let (client, server) = (OwnedFd::from(client), OwnedFd::from(server));
        assert_eq!(passed(&client), Ok(Passed { written: 10_000, arrived: 0 }));
        assert_eq!(passed(&server), Ok(Passed { written: 0, arrived: 10_000 }));
        assert_eq!(own_address(&client), peer_address(&server));
    }

    #[test]
    fn lost_datagrams_are_counted() {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let address = receiver.local_addr().expect("an address");
        let receiver = OwnedFd::from(receiver);
        assert_eq!(drops(&receiver), Ok(0));
        let mut sent = 0;
        while drops(&receiver) == Ok(0) && sent < 100_000 {
            sender.send_to(&[0; 8000], address).expect("send");
            sent += 1;
        }
        assert_eq!(drops(&receiver), Ok(1));
        assert_eq!(super::super::peek::waiting(&receiver), Ok(8000));
    }
}
