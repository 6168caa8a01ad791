//! The filter that decides which calls stop: everything else runs at full speed.
//!
//! The program is written by hand, because the crates for it kill a process that makes a call of
//! another architecture; a 32-bit program must run under the lab as it does without it.

use super::error::{Result, check};

/// A compiled filter, ready to be installed between fork and exec.
#[derive(Debug, Clone)]
pub struct Filter {
    program: Vec<libc::sock_filter>,
}

/// The architecture that calls are filtered for, as `AUDIT_ARCH_*` of linux/audit.h.
#[cfg(target_arch = "x86_64")]
pub const NATIVE_ARCH: u32 = 0xc000_003e;
/// The architecture that calls are filtered for, as `AUDIT_ARCH_*` of linux/audit.h.
#[cfg(target_arch = "aarch64")]
pub const NATIVE_ARCH: u32 = 0xc000_00b7;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
/// The low half of the fourth argument of a call (linux/seccomp.h, `seccomp_data`).
const OFFSET_FOURTH: u32 = 16 + 3 * 8;

/// Where the arguments begin.
const OFFSET_ARGUMENTS: u32 = 16;
/// Calls that may bring a signal mask along, and in which argument.
const MASKED: [(i64, u32); 3] = [(libc::SYS_pselect6, 5), (libc::SYS_epoll_pwait, 4), (libc::SYS_epoll_pwait2, 4)];

const fn op(code: u32, k: u32, jump_true: u8, jump_false: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: jump_true, jf: jump_false, k }
}

impl Filter {
    /// A filter under which the calls with these numbers stop; of mmap(2), those that map shared memory.
    pub fn stopping(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut program = Self::prologue();
        for number in numbers {
            if i64::from(number) == libc::SYS_mmap {
                program.extend(Self::shared_mapping(number));
                continue;
            }
            if let Some((_, index)) = MASKED.iter().find(|(call, _)| *call == i64::from(number)) {
                program.extend(Self::with_argument(number, *index));
                continue;
            }
            program.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 1));
            program.push(op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_TRACE, 0, 0));
        }
        program.push(op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0));
        Self { program }
    }

    /// A filter under which every call stops.
    pub fn stopping_at_all() -> Self {
        let mut program = Self::prologue();
        program.push(op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_TRACE, 0, 0));
        Self { program }
    }

    /// Libraries are mapped privately, a dozen times in every program: that must not stop.
    fn shared_mapping(number: u32) -> [libc::sock_filter; 5] {
        [
            op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 4),
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, OFFSET_FOURTH, 0, 0),
            op(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, libc::MAP_SHARED as u32, 0, 1),
            op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_TRACE, 0, 0),
            op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
        ]
    }

    /// A call that stops only if an argument is not null.
    fn with_argument(number: u32, index: u32) -> [libc::sock_filter; 7] {
        let low = OFFSET_ARGUMENTS + index * 8;
        [
            op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 6),
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, low, 0, 0),
            op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 0, 2),
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, low + 4, 0, 0),
            op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, 0),
            op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_TRACE, 0, 0),
            op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
        ]
    }

    /// Calls of another architecture never stop: their numbers mean something else.
    fn prologue() -> Vec<libc::sock_filter> {
        vec![
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, OFFSET_ARCH, 0, 0),
            op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, NATIVE_ARCH, 1, 0),
            op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, OFFSET_NUMBER, 0, 0),
        ]
    }

    /// Installs it for the calling thread and all that it will make. It allocates nothing.
    ///
    /// A process that lacks CAP_SYS_ADMIN must first give up gaining rights by exec
    /// (seccomp(2)); under ptrace it would not gain them anyway.
    pub fn install(&self) -> Result<()> {
        let program = libc::sock_fprog { len: self.program.len() as u16, filter: self.program.as_ptr().cast_mut() };
        let set = || {
            // SAFETY: `program` and the instructions it points to outlive the call, which only reads them.
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) }
        };
        if set() == 0 {
            return Ok(());
        }
        // SAFETY: this prctl takes numbers only.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        check(set(), "seccomp", String::new).map(drop)
    }
}
