//! The filter that decides which calls stop: everything else runs at full speed.
//!
//! The program is written by hand, because the crates for it kill a process that makes a call of
//! another architecture; a 32-bit program must run under the lab as it does without it.

use super::error::{Result, check};

/// What a stop says that the lab's own filter has asked for (`SECCOMP_RET_DATA` of seccomp(2)). Of two filters that
/// both ask for a stop the kernel passes on what the younger one says: a stop that says anything else is asked for by
/// a filter of the program, for a tracer that it has not got.
pub const OF_THE_LAB: u16 = 0xb5d1;
/// The same of a call that is forbidden in strict mode, as [`Filter::strict`] has it.
pub const STRICT: u16 = 0xb5d3;

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
/// Calls that stop only for some values of their first argument: those that ask for a mode of seccomp or set it.
const CHOSEN: [(i64, &[u32]); 2] = [
    (libc::SYS_prctl, &[libc::PR_GET_SECCOMP as u32, libc::PR_SET_SECCOMP as u32]),
    (libc::SYS_seccomp, &[libc::SECCOMP_SET_MODE_STRICT, libc::SECCOMP_SET_MODE_FILTER]),
];
/// Calls that may bring a signal mask along, and in which argument.
const MASKED: [(i64, u32); 3] = [(libc::SYS_pselect6, 5), (libc::SYS_epoll_pwait, 4), (libc::SYS_epoll_pwait2, 4)];

const fn op(code: u32, k: u32, jump_true: u8, jump_false: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: jump_true, jf: jump_false, k }
}

const fn is(value: u32, then: u8, otherwise: u8) -> libc::sock_filter {
    op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, then, otherwise)
}

const STOP: libc::sock_filter = op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_TRACE | OF_THE_LAB as u32, 0, 0);
const ALLOW: libc::sock_filter = op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0);

/// The other architecture whose programs this kernel runs, and the numbers of what strict mode lets them call: read,
/// write, exit, sigreturn.
#[cfg(target_arch = "x86_64")]
const FOREIGN_ARCH: u32 = 0x4000_0003;
#[cfg(target_arch = "aarch64")]
const FOREIGN_ARCH: u32 = 0x4000_0028;
const FOREIGN_STRICT: [u32; 4] = [3, 4, 1, 119];
/// Its clone(2).
pub const FOREIGN_CLONE: u32 = 120;
/// Its clone3(2).
pub const FOREIGN_CLONE3: u32 = 435;

/// Its calls that change what is done about signals, or depend on the mask: signal, sgetmask, ssetmask, sigaction,
/// sigsuspend, sigpending, sigprocmask, rt_sigaction, rt_sigprocmask, rt_sigpending, rt_sigtimedwait, rt_sigsuspend,
/// pselect6, ppoll, epoll_pwait, signalfd, signalfd4, pselect6_time64, ppoll_time64, rt_sigtimedwait_time64,
/// epoll_pwait2.
const FOREIGN_SIGNALS: [u32; 21] =
    [48, 68, 69, 67, 72, 73, 126, 174, 175, 176, 177, 179, 308, 309, 319, 321, 327, 413, 414, 421, 441];

/// Whether a call of the other architecture has to do with signals.
pub fn is_about_signals(number: u64) -> bool {
    FOREIGN_SIGNALS.iter().any(|known| u64::from(*known) == number)
}

/// The mode of seccomp that this process is in, and so what it starts (`PR_GET_SECCOMP` of prctl(2)).
pub fn mode() -> i32 {
    // SAFETY: this prctl takes numbers only.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) }
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
            if let Some((_, values)) = CHOSEN.iter().find(|(call, _)| *call == i64::from(number)) {
                program.extend(Self::with_first_argument(number, values));
                continue;
            }
            program.extend([is(number, 0, 1), STOP]);
        }
        program.push(ALLOW);
        Self { program }
    }

    /// A filter under which every call stops.
    pub fn stopping_at_all() -> Self {
        let mut program = Self::prologue();
        program.push(STOP);
        Self { program }
    }

    /// What a thread in strict mode may do, as seccomp(2) says: read, write, end, and come back from a handler. With
    /// anything else the kernel stops it, and only the lab could let it go on; without the lab it fails with ENOSYS.
    ///
    /// `SECCOMP_RET_KILL_THREAD` would end it by SIGSYS, and strict mode does by SIGKILL.
    pub fn strict() -> Self {
        const NATIVE: [i64; 4] = [libc::SYS_read, libc::SYS_write, libc::SYS_exit, libc::SYS_rt_sigreturn];
        let forbidden = op(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_TRACE | u32::from(STRICT), 0, 0);
        let mut program = vec![op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, OFFSET_ARCH, 0, 0)];
        for (arch, allowed) in [(NATIVE_ARCH, NATIVE.map(|number| number as u32)), (FOREIGN_ARCH, FOREIGN_STRICT)] {
            let [a, b, c, d] = allowed;
            program.extend([
                is(arch, 0, 7),
                op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, OFFSET_NUMBER, 0, 0),
                is(a, 4, 0),
                is(b, 3, 0),
                is(c, 2, 0),
                is(d, 1, 0),
                forbidden,
                ALLOW,
            ]);
        }
        program.push(forbidden);
        Self { program }
    }

    /// It as the kernel reads it at `address`, where a `struct sock_fprog` stands before its instructions.
    pub fn at(&self, address: u64) -> Vec<u8> {
        const HEAD: u64 = size_of::<libc::sock_fprog>() as u64;
        let mut bytes = (self.program.len() as u64).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&(address + HEAD).to_ne_bytes());
        for op in &self.program {
            bytes.extend_from_slice(&op.code.to_ne_bytes());
            bytes.extend_from_slice(&[op.jt, op.jf]);
            bytes.extend_from_slice(&op.k.to_ne_bytes());
        }
        bytes
    }

    /// Libraries are mapped privately, a dozen times in every program: that must not stop.
    fn shared_mapping(number: u32) -> [libc::sock_filter; 5] {
        [
            op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 4),
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, OFFSET_FOURTH, 0, 0),
            op(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, libc::MAP_SHARED as u32, 0, 1),
            STOP,
            ALLOW,
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
            STOP,
            ALLOW,
        ]
    }

    /// A call that stops only for these values of its first argument, an `int`.
    fn with_first_argument(number: u32, values: &[u32]) -> Vec<libc::sock_filter> {
        let count = values.len() as u8;
        let mut program =
            vec![is(number, 0, count + 3), op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, OFFSET_ARGUMENTS, 0, 0)];
        program.extend((1..).zip(values).map(|(place, value)| is(*value, count - place + 1, 0)));
        program.extend([ALLOW, STOP]);
        program
    }

    /// Calls of another architecture do not stop, because their numbers mean something else; but those do that could
    /// make a child which nobody traces, or have to do with signals.
    fn prologue() -> Vec<libc::sock_filter> {
        const SIGNALS: u8 = FOREIGN_SIGNALS.len() as u8;
        let mut program = vec![
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, OFFSET_ARCH, 0, 0),
            is(NATIVE_ARCH, 8 + SIGNALS, 0),
            is(FOREIGN_ARCH, 0, 5 + SIGNALS),
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, OFFSET_NUMBER, 0, 0),
        ];
        program.extend((0..SIGNALS).zip(FOREIGN_SIGNALS).map(|(index, number)| is(number, 4 + SIGNALS - index, 0)));
        program.extend([
            is(FOREIGN_CLONE3, 4, 0),
            is(FOREIGN_CLONE, 0, 2),
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, OFFSET_ARGUMENTS, 0, 0),
            op(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, libc::CLONE_UNTRACED as u32, 1, 0),
            ALLOW,
            STOP,
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, OFFSET_NUMBER, 0, 0),
        ]);
        program
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
