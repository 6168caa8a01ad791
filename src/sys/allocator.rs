//! When there is no memory left the lab says so and ends with the status of a machine that cannot do it, instead of
//! aborting. What is on the bench is killed by the kernel then (`PTRACE_O_EXITKILL`).

use std::alloc::{GlobalAlloc, Layout, System};

/// The C library's allocator, without null pointers.
#[derive(Debug)]
pub struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn checked(place: *mut u8) -> *mut u8 {
    if place.is_null() {
        give_up();
    }
    place
}

#[cold]
fn give_up() -> ! {
    let said = "proclab: malloc: ENOMEM (Cannot allocate memory); the limit on memory is too low: see `ulimit -v`\n";
    // SAFETY: the text is live; the process then ends without running anything else.
    unsafe {
        libc::write(2, said.as_ptr().cast(), said.len());
        libc::_exit(3)
    }
}

// SAFETY: every call is passed on to the system's allocator as it is, and what that returns is returned.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps what `GlobalAlloc` asks for.
        checked(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) };
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.realloc(place, layout, size) })
    }
}
