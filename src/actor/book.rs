//! Where each socket name was bound last: what `connect` and `sendto` mean by the name of a socket.
//!
//! The book is in memory that all processes of the scenario share. A page holds the length of the
//! address and then its bytes, one to a number; the length is written last.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::scenario::{DescriptorId, MAX_DESCRIPTORS};
use crate::sys::call;
use crate::sys::call::sockets::SocketAddress;

/// How many numbers a page has.
const PAGE: usize = SocketAddress::MOST + 1;

/// The addresses by the socket's name.
#[derive(Debug)]
pub struct Book(&'static [AtomicI32]);

impl Book {
    /// An empty one.
    pub fn new() -> Self {
        Self(call::shared_table(MAX_DESCRIPTORS * PAGE))
    }

    fn page(&self, name: DescriptorId) -> Option<(&AtomicI32, &[AtomicI32])> {
        self.0.get(name.index() * PAGE..(name.index() + 1) * PAGE)?.split_first()
    }

    /// A socket of this name is bound there.
    pub fn enter(&self, name: DescriptorId, address: &SocketAddress) {
        let Some((length, bytes)) = self.page(name) else { return };
        length.store(0, Ordering::SeqCst);
        for (slot, byte) in bytes.iter().zip(address.bytes()) {
            slot.store(i32::from(*byte), Ordering::SeqCst);
        }
        length.store(address.bytes().len() as i32, Ordering::SeqCst);
    }

    /// Where the socket of this name was bound last; `None` if it never was.
    pub fn address(&self, name: DescriptorId) -> Option<SocketAddress> {
        let (length, bytes) = self.page(name)?;
        let length = usize::try_from(length.load(Ordering::SeqCst)).ok().filter(|length| *length > 0)?;
        Some(SocketAddress::from_bytes(bytes.iter().take(length).map(|slot| slot.load(Ordering::SeqCst) as u8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_counts() {
        let book = Book::new();
        let (one, other) = (DescriptorId(0), DescriptorId(MAX_DESCRIPTORS as u16 - 1));
        assert_eq!(book.address(one), None);
        let longest = SocketAddress::path(&[b'x'; 200]);
        book.enter(other, &longest);
        book.enter(one, &longest);
        book.enter(one, &SocketAddress::loopback(7));
        assert_eq!(book.address(one), Some(SocketAddress::loopback(7)));
        assert_eq!(book.address(other), Some(longest));
        assert_eq!(book.address(DescriptorId(1)), None);
        assert_eq!(book.address(DescriptorId(u16::MAX)), None);
    }
}
