//! Standard streams that were closed when this program began.
//!
//! Rust's runtime opens `/dev/null` in their place before `main`, so that no other file gets their numbers. A command
//! that is started shall find them closed, as without the lab. So it is looked before the runtime does.

use std::sync::atomic::{AtomicU8, Ordering};

static CLOSED: AtomicU8 = AtomicU8::new(0);

// SAFETY: the C library calls what stands in this section once, before `main`; it has the type that is expected there.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    for fd in 0..3 {
        // SAFETY: a system call on a number; nothing of the runtime is needed.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
        }
    }
}

/// Whether standard stream `fd` was closed.
pub fn was_closed(fd: usize) -> bool {
    CLOSED.load(Ordering::Relaxed) >> fd & 1 == 1
}
