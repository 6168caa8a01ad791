//! Sockets (socket(7), unix(7), ip(7)).

use super::{Answer, answer};

/// A socket's address, ready to be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketAddress {
    /// `sockaddr_un` is the longest: 2 bytes of family, 108 of path.
    bytes: [u8; Self::MOST],
    length: usize,
}

impl SocketAddress {
    /// The most bytes that an address has.
    pub const MOST: usize = 110;

    fn of(family: i32, rest: &[&[u8]]) -> Self {
        let mut bytes = [0; Self::MOST];
        let family = (family as u16).to_ne_bytes();
        let mut length = 0;
        for byte in family.iter().chain(rest.iter().copied().flatten()).take(Self::MOST) {
            bytes[length] = *byte;
            length += 1;
        }
        Self { bytes, length }
    }

    /// A path; what does not fit is cut.
    pub fn path(path: &[u8]) -> Self {
        Self::of(libc::AF_UNIX, &[&path[..path.len().min(107)], &[0]])
    }

    /// A name in the abstract namespace; what does not fit is cut.
    pub fn hidden(name: &[u8]) -> Self {
        Self::of(libc::AF_UNIX, &[&[0], name])
    }

    /// A port of 127.0.0.1.
    pub fn loopback(port: u16) -> Self {
        Self::of(libc::AF_INET, &[&port.to_be_bytes(), &[127, 0, 0, 1], &[0; 8]])
    }

    /// As bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// From bytes; what does not fit is cut.
    pub fn from_bytes(bytes: impl Iterator<Item = u8>) -> Self {
        let mut address = Self { bytes: [0; Self::MOST], length: 0 };
        for byte in bytes.take(Self::MOST) {
            address.bytes[address.length] = byte;
            address.length += 1;
        }
        address
    }

    fn pointer(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        (self.bytes.as_ptr().cast(), self.length as libc::socklen_t)
    }
}

calls! {
    /// socket(2)
    fn socket(domain: i32, kind: i32) => libc::socket(domain, kind, 0);
    /// listen(2)
    fn listen(fd: i32, backlog: i32) => libc::listen(fd, backlog);
    /// accept(2), without asking who it is
    fn accept(fd: i32) => libc::accept(fd, std::ptr::null_mut(), std::ptr::null_mut());
    /// bind(2)
    fn bind(fd: i32, address: &SocketAddress) => libc::bind(fd, address.pointer().0, address.pointer().1);
    /// connect(2)
    fn connect(fd: i32, address: &SocketAddress) => libc::connect(fd, address.pointer().0, address.pointer().1);
    /// send(2)
    fn send(fd: i32, bytes: &[u8], flags: i32) =>
        libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) as i64;
    /// sendto(2)
    fn sendto(fd: i32, bytes: &[u8], flags: i32, address: &SocketAddress) =>
        libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), flags, address.pointer().0, address.pointer().1) as i64;
    /// recv(2)
    fn recv(fd: i32, buffer: &mut [u8], flags: i32) =>
        libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), flags) as i64;
    /// shutdown(2)
    fn shutdown(fd: i32, how: i32) => libc::shutdown(fd, how);
}

/// socketpair(2): its two ends.
pub fn socketpair(kind: i32) -> Result<[i32; 2], i32> {
    let mut ends = [0; 2];
    // SAFETY: the array is live and has the two elements that are written.
    answer(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) }).map(|_| ends)
}

/// setsockopt(2) with a number, at `SOL_SOCKET`.
pub fn set_option(fd: i32, option: i32, value: i32) -> Answer {
    set_option_at(fd, libc::SOL_SOCKET, option, value)
}

/// `TCP_NODELAY` (tcp(7)): a small segment does not wait until what was sent before is acknowledged.
pub fn send_at_once(fd: i32) -> Answer {
    set_option_at(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)
}

fn set_option_at(fd: i32, level: i32, option: i32, value: i32) -> Answer {
    let (value, size) = ((&raw const value).cast(), size_of::<i32>() as libc::socklen_t);
    // SAFETY: the number is live and its size is passed.
    answer(unsafe { libc::setsockopt(fd, level, option, value, size) })
}

/// The domain of a socket (socket(7), `SO_DOMAIN`).
pub fn domain(fd: i32) -> Answer {
    let (mut domain, mut size) = (0_i32, size_of::<i32>() as libc::socklen_t);
    let place = (&raw mut domain).cast();
    // SAFETY: both numbers are live, and the size of the first is passed.
    answer(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_DOMAIN, place, &raw mut size) })?;
    Ok(i64::from(domain))
}

/// getsockname(2): where the socket is bound.
pub fn name(fd: i32) -> Result<SocketAddress, i32> {
    let mut bytes = [0_u8; SocketAddress::MOST];
    let mut length = SocketAddress::MOST as libc::socklen_t;
    // SAFETY: the buffer is live and its size is passed; the kernel cuts what does not fit.
    answer(unsafe { libc::getsockname(fd, bytes.as_mut_ptr().cast(), &raw mut length) })?;
    Ok(SocketAddress { bytes, length: (length as usize).min(SocketAddress::MOST) })
}

/// How many bytes the control message of one descriptor takes (cmsg(3)); words keep it aligned.
const CONTROL: usize = 4;

/// A message of one byte with room for a descriptor beside it.
fn with_message<T>(with: impl FnOnce(&mut libc::msghdr) -> T) -> T {
    let mut byte = *b"!";
    let mut control = [0_u64; CONTROL];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: an all-zero msghdr is valid: no address, no parts, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: it computes with a number.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<i32>() as u32) } as usize;
    with(&mut message)
}

/// sendmsg(2): one byte, and `sent` with it (unix(7), `SCM_RIGHTS`).
pub fn send_fd(fd: i32, sent: i32) -> Answer {
    with_message(|message| {
        // SAFETY: the control data is live, aligned and longer than one header with a descriptor, so
        // the first header and its data lie inside; the kernel only reads it.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const *message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as usize;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(sent);
            answer(libc::sendmsg(fd, &raw const *message, 0) as i64)
        }
    })
}

/// recvmsg(2): takes one byte and the descriptor beside it. EBADMSG says that none came.
pub fn recv_fd(fd: i32) -> Answer {
    with_message(|message| {
        // SAFETY: the parts and the control data are live and their sizes are in the header; after the
        // call a first header lies inside the control data if there is one.
        unsafe {
            answer(libc::recvmsg(fd, &raw mut *message, 0) as i64)?;
            let header = libc::CMSG_FIRSTHDR(&raw const *message);
            if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
                return Err(libc::EBADMSG);
            }
            Ok(i64::from(libc::CMSG_DATA(header).cast::<i32>().read_unaligned()))
        }
    })
}
