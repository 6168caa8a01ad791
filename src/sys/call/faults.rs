//! Instructions that the processor refuses, for lessons on the signals that come from oneself
//! (signal(7): SIGSEGV, SIGBUS, SIGFPE, SIGILL).

use super::Answer;

/// Executes an instruction for which the kernel sends `signal` to this very thread. Comes back only
/// where a handler has led around it, or with ENOSYS where no instruction does that.
pub fn fault(signal: i32) -> Answer {
    match signal {
        libc::SIGSEGV => {
            // SAFETY: the page at 0 is never mapped (vm.mmap_min_addr): the read faults, which is what
            // this function is for, and nothing is done with what it does not read.
            unsafe { std::ptr::null::<u8>().wrapping_add(8).read_volatile() };
            Ok(0)
        }
        libc::SIGBUS => beyond_the_end(),
        #[cfg(target_arch = "x86_64")]
        libc::SIGFPE => {
            // SAFETY: a division by zero, which the processor refuses; the registers it names are given up.
            unsafe { std::arch::asm!("xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _) };
            Ok(0)
        }
        #[cfg(target_arch = "x86_64")]
        libc::SIGILL => {
            // SAFETY: an instruction that is defined to be undefined; it has no other effect.
            unsafe { std::arch::asm!("ud2") };
            Ok(0)
        }
        #[cfg(target_arch = "aarch64")]
        libc::SIGILL => {
            // SAFETY: an instruction that is defined to be undefined; it has no other effect.
            unsafe { std::arch::asm!("udf #0") };
            Ok(0)
        }
        _ => Err(libc::ENOSYS),
    }
}

/// Reads from a page that is mapped from an empty file.
fn beyond_the_end() -> Answer {
    // SAFETY: a new file without a name, and a new mapping of it that nothing else knows of. Reading it
    // faults, because the file has no byte there; nothing is done with what is not read.
    unsafe {
        let file = libc::memfd_create(c"empty".as_ptr(), libc::MFD_CLOEXEC);
        let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_PRIVATE, file, 0);
        if page == libc::MAP_FAILED {
            return Err(nix::errno::Errno::last_raw());
        }
        page.cast::<u8>().read_volatile();
    }
    Ok(0)
}
