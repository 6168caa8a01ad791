//! ptrace(2) as types: what is stopped can be looked into, and resuming it consumes the proof.
//!
//! A [`Stopped`] comes from [`wait`] only. Every operation may find that SIGKILL has struck
//! meanwhile; that is `ESRCH`, and the end is about to be reported by [`wait`]
//! ([`Error::is_gone`]).

use std::mem::MaybeUninit;

use super::detour::Missed;
use super::error::{Error, Result, check};
use crate::model::{Carries, Queue, Signal, SignalSet, Status};

/// `PTRACE_PEEKSIGINFO_SHARED` of linux/ptrace.h, which the libc crate has for some architectures only.
const PEEKSIGINFO_SHARED: u32 = 1;

/// The options that every tracee is seized with; children inherit them.
const OPTIONS: i32 = libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_TRACEVFORKDONE
    | libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_EXITKILL;

const PTRACE_GET_SYSCALL_INFO: u32 = 0x420e;

pub(super) fn request(request: u32, pid: i32, addr: usize, data: usize) -> Result<i64> {
    // SAFETY: callers pass either plain numbers or the address of a live buffer of the size that the
    // request fills; the tracee's memory is not ours, so nothing of this process is aliased.
    let result = unsafe { libc::ptrace(request as _, pid, addr, data) };
    check(result, "ptrace", || format!("process {pid}"))
}

/// Starts to trace a running process, without stopping it, and with it all that it will make.
pub fn seize(pid: i32) -> Result<()> {
    request(libc::PTRACE_SEIZE, pid, 0, OPTIONS as usize).map(drop)
}

/// Makes a running tracee stop soon, with [`Why::Interrupted`].
pub fn interrupt(pid: i32) -> Result<()> {
    request(libc::PTRACE_INTERRUPT, pid, 0, 0).map(drop)
}

/// What [`wait`] came back with.
#[derive(Debug)]
pub enum Wait {
    /// A tracee stopped.
    Stopped(Stopped, Why),
    /// A tracee is gone. It was reaped with this.
    Ended(i32, Status),
    /// Nothing has happened; only without blocking.
    Nothing,
    /// A signal came to this thread.
    Interrupted,
    /// There is nobody to wait for.
    Nobody,
}

/// Why a tracee stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is about to enter a call that the filter marks.
    Seccomp,
    /// At the end of a call that was resumed with [`Resume::ToCallExit`]. (At its start, only if
    /// somebody else asks for it.)
    Call,
    /// A signal is about to be delivered.
    Signal(Signal),
    /// Job control stopped it, by this signal.
    GroupStop(Signal),
    /// It starts to be traced, was interrupted, or was woken from a group-stop.
    Interrupted,
    /// It made a task: fork, vfork or clone, as the number says.
    Made(i32),
    /// The child that it waited for after a vfork has let it go.
    VforkDone,
    /// It has loaded another program.
    Exec,
    /// It is about to end; its memory and descriptors are still there.
    Exit,
}

/// How to resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Until something that the filter or the options mark.
    Continue,
    /// The same, and until the end of the present call.
    ToCallExit,
    /// One instruction.
    OneInstruction,
}

/// Waits for any tracee or child of this thread.
pub fn wait(block: bool) -> Result<Wait> {
    wait_for(-1, block)
}

/// Waits for one tracee of this thread, or with -1 for any.
pub fn wait_for(pid: i32, block: bool) -> Result<Wait> {
    let mut status = 0;
    let flags = libc::__WALL | libc::__WNOTHREAD | if block { 0 } else { libc::WNOHANG };
    // SAFETY: `status` is a live i32, the last argument may be null.
    let pid = unsafe { libc::wait4(pid, &raw mut status, flags, std::ptr::null_mut()) };
    match pid {
        0 => Ok(Wait::Nothing),
        -1 => match Error::last("wait4", "any tracee") {
            Error { errno: libc::ECHILD, .. } => Ok(Wait::Nobody),
            Error { errno: libc::EINTR, .. } => Ok(Wait::Interrupted),
            error => Err(error),
        },
        _ => Ok(decode(pid, status)),
    }
}

/// The wait status is decoded by hand: nix refuses real-time signals.
fn decode(pid: i32, status: i32) -> Wait {
    if libc::WIFEXITED(status) {
        return Wait::Ended(pid, Status::Code(libc::WEXITSTATUS(status)));
    }
    if libc::WIFSIGNALED(status) {
        let signal = Signal::new(libc::WTERMSIG(status)).unwrap_or(Signal::KILL);
        return Wait::Ended(pid, Status::Signal { signal, core: libc::WCOREDUMP(status) });
    }
    let number = libc::WSTOPSIG(status);
    let signal = Signal::new(number & 0x7f).unwrap_or(Signal::TRAP);
    let why = match status >> 16 {
        0 if number == libc::SIGTRAP | 0x80 => Why::Call,
        0 => Why::Signal(signal),
        libc::PTRACE_EVENT_SECCOMP => Why::Seccomp,
        event @ (libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE) => Why::Made(event),
        libc::PTRACE_EVENT_VFORK_DONE => Why::VforkDone,
        libc::PTRACE_EVENT_EXEC => Why::Exec,
        libc::PTRACE_EVENT_EXIT => Why::Exit,
        _ if signal == Signal::TRAP => Why::Interrupted,
        _ => Why::GroupStop(signal),
    };
    Wait::Stopped(Stopped { pid, missed: Missed::default() }, why)
}

/// A tracee that is stopped and belongs to this thread.
#[derive(Debug)]
pub struct Stopped {
    pid: i32,
    /// What came while it was on a detour.
    pub(super) missed: Missed,
}

/// A call as it is at a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallInfo {
    /// Before it: number and arguments.
    Entry {
        /// Its number on this architecture.
        number: u64,
        /// Its arguments as passed.
        args: [u64; 6],
        /// `AUDIT_ARCH_*`: whether it is a call of this machine's own kind.
        arch: u32,
        /// The stack pointer.
        sp: u64,
        /// What the filter that asked for the stop says (`SECCOMP_RET_DATA` of seccomp(2)).
        data: u16,
    },
    /// After it: what it returns.
    Exit {
        /// The value, `-errno` on failure.
        value: i64,
    },
    /// Not at a call.
    None,
}

/// What a signal carries (sigaction(2), `siginfo_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo {
    /// `si_code`.
    pub code: i32,
    /// `si_pid`, in the PID namespace of the receiver, for codes that have it; else 0.
    pub pid: i32,
    /// What it carries ([`Signal::carries`]); else 0.
    pub value: i64,
    /// `si_timerid`, the kernel's number of a timer, for `SI_TIMER`; else 0.
    pub timer: i32,
    /// Where it was queued; of a signal that was taken out, where its code says that it must have been.
    pub queue: Queue,
}

impl SignalInfo {
    /// What is said of a signal of which only number and queue are known: the kernel's own (`SI_KERNEL`).
    pub const fn unknown(queue: Queue) -> Self {
        Self { code: libc::SI_KERNEL, pid: 0, value: 0, timer: 0, queue }
    }

    pub(super) fn of(info: &libc::siginfo_t) -> Self {
        let from_process = matches!(info.si_code, libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL | libc::SI_MESGQ)
            || (info.si_signo == libc::SIGCHLD && info.si_code > 0);
        // SAFETY: for these codes the kernel fills the member with `si_pid` (sigaction(2)).
        let pid = if from_process { unsafe { info.si_pid() } } else { 0 };
        let carries = Signal::new(info.si_signo).map_or(Carries::Nothing, |signal| signal.carries(info.si_code));
        // SAFETY: the kernel fills the member of the union that belongs to the code (sigaction(2)), and
        // `carries` says which that is.
        let value = unsafe {
            match carries {
                Carries::Nothing => 0,
                Carries::Value => info.si_value().sival_ptr as i64,
                Carries::Status => i64::from(info.si_status()),
                Carries::Address => info.si_addr() as i64,
            }
        };
        // SAFETY: of timers `si_timerid` stands where others have `si_pid` (sigaction(2)).
        let timer = if info.si_code == libc::SI_TIMER { unsafe { info.si_pid() } } else { 0 };
        let own = info.si_code == libc::SI_TKILL || carries == Carries::Address;
        let queue = if own { Queue::Thread } else { Queue::Process };
        Self { code: info.si_code, pid, value, timer, queue }
    }
}

impl Stopped {
    /// Its TID as this process sees it.
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Resumes it, delivering `signal` if it stopped for one.
    pub fn resume(self, how: Resume, signal: Option<Signal>) -> Result<()> {
        let how = match how {
            Resume::Continue => libc::PTRACE_CONT,
            Resume::ToCallExit => libc::PTRACE_SYSCALL,
            Resume::OneInstruction => libc::PTRACE_SINGLESTEP,
        };
        request(how, self.pid, 0, signal.map_or(0, Signal::number) as usize).map(drop)
    }

    /// Makes it execute again, when it goes on without its signal, what that signal came from. A fault does so by
    /// itself; what comes after its instruction, a breakpoint or a forbidden call, does not.
    pub fn fail_again(&self, signal: Signal) -> Result<()> {
        let back = match signal {
            Signal::TRAP => BREAKPOINT_BEHIND,
            signal if signal.number() == libc::SIGSYS => CALL_BEHIND,
            _ => 0,
        };
        if back == 0 {
            return Ok(());
        }
        let mut registers = self.registers()?;
        let again = instruction_pointer(&registers).wrapping_sub(back);
        set_instruction_pointer(&mut registers, again);
        self.set_registers(&mut registers)
    }

    /// Lets it go for good: nobody traces it any more. What it stopped for is gone.
    pub fn detach(self) -> Result<()> {
        request(libc::PTRACE_DETACH, self.pid, 0, 0).map(drop)
    }

    /// Leaves it in its group-stop, to be told when it ends. Anything else would undo the stop.
    pub fn listen(self) -> Result<()> {
        request(libc::PTRACE_LISTEN, self.pid, 0, 0).map(drop)
    }

    /// The call that it is at (needs Linux 5.3).
    pub fn call_info(&self) -> Result<CallInfo> {
        let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
        let size = size_of::<libc::ptrace_syscall_info>();
        request(PTRACE_GET_SYSCALL_INFO, self.pid, size, info.as_mut_ptr() as usize)?;
        // SAFETY: it was zeroed, and the kernel wrote a prefix of it; every bit pattern is valid.
        let info = unsafe { info.assume_init() };
        Ok(match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY | libc::PTRACE_SYSCALL_INFO_SECCOMP => {
                // SAFETY: the members of the union for these two begin alike with number and
                // arguments, and what lies behind was zeroed; `op` says that one of them was written.
                let entry = unsafe { info.u.seccomp };
                CallInfo::Entry {
                    number: entry.nr,
                    args: entry.args,
                    arch: info.arch,
                    sp: info.stack_pointer,
                    data: entry.ret_data as u16,
                }
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                // SAFETY: `op` says that this member was written.
                let exit = unsafe { info.u.exit };
                CallInfo::Exit { value: exit.sval }
            }
            _ => CallInfo::None,
        })
    }

    /// The message of its event: the new task's TID, the old TID at an exec, the status at an exit.
    pub fn message(&self) -> Result<u64> {
        let mut message: libc::c_ulong = 0;
        request(libc::PTRACE_GETEVENTMSG, self.pid, 0, &raw mut message as usize)?;
        Ok(message)
    }

    /// What the signal that it stopped for carries.
    pub fn signal_info(&self) -> Result<SignalInfo> {
        self.raw_signal_info().map(|info| SignalInfo::of(&info))
    }

    /// The signals that are queued for it, or with `shared` for its process, in the order in which they
    /// were queued (`PTRACE_PEEKSIGINFO`). One that comes from an instruction is in no queue.
    pub fn queued_signals(&self, shared: bool) -> Result<Vec<(Signal, SignalInfo)>> {
        const AT_ONCE: usize = 128;
        let mut queued = Vec::new();
        loop {
            let which = libc::ptrace_peeksiginfo_args {
                off: queued.len() as u64,
                flags: if shared { PEEKSIGINFO_SHARED } else { 0 },
                nr: AT_ONCE as i32,
            };
            let mut infos = [const { MaybeUninit::<libc::siginfo_t>::zeroed() }; AT_ONCE];
            let address = &raw const which as usize;
            let count = request(libc::PTRACE_PEEKSIGINFO, self.pid, address, infos.as_mut_ptr() as usize)?;
            for info in infos.iter().take(count as usize) {
                // SAFETY: it was zeroed, then filled by the kernel; every bit pattern is valid.
                let info = unsafe { info.assume_init_ref() };
                if let Some(signal) = Signal::new(info.si_signo) {
                    let queue = if shared { Queue::Process } else { Queue::Thread };
                    queued.push((signal, SignalInfo { queue, ..SignalInfo::of(info) }));
                }
            }
            if (count as usize) < AT_ONCE {
                return Ok(queued);
            }
        }
    }

    pub(super) fn raw_signal_info(&self) -> Result<libc::siginfo_t> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        request(libc::PTRACE_GETSIGINFO, self.pid, 0, info.as_mut_ptr() as usize)?;
        // SAFETY: it was zeroed, then filled by the kernel; every bit pattern is valid.
        Ok(unsafe { info.assume_init() })
    }

    /// Makes the signal that it stopped for look as if the kernel had sent it.
    pub fn set_signal_from_kernel(&self) -> Result<()> {
        let sent = self.raw_signal_info()?;
        // SAFETY: an all-zero siginfo is valid: every member is a number.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        info.si_signo = sent.si_signo;
        info.si_code = libc::SI_KERNEL;
        request(libc::PTRACE_SETSIGINFO, self.pid, 0, &raw const info as usize).map(drop)
    }

    /// Its signal mask.
    pub fn signal_mask(&self) -> Result<SignalSet> {
        let mut mask = 0_u64;
        request(libc::PTRACE_GETSIGMASK, self.pid, size_of::<u64>(), &raw mut mask as usize)?;
        Ok(SignalSet(mask))
    }

    /// Its general registers.
    pub(super) fn registers(&self) -> Result<libc::user_regs_struct> {
        let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
        let mut area =
            libc::iovec { iov_base: registers.as_mut_ptr().cast(), iov_len: size_of::<libc::user_regs_struct>() };
        request(libc::PTRACE_GETREGSET, self.pid, NT_PRSTATUS, &raw mut area as usize)?;
        // SAFETY: it was zeroed, then filled by the kernel; every bit pattern is valid.
        Ok(unsafe { registers.assume_init() })
    }

    pub(super) fn set_registers(&self, registers: &mut libc::user_regs_struct) -> Result<()> {
        let mut area = libc::iovec {
            iov_base: std::ptr::from_mut(registers).cast(),
            iov_len: size_of::<libc::user_regs_struct>(),
        };
        request(libc::PTRACE_SETREGSET, self.pid, NT_PRSTATUS, &raw mut area as usize).map(drop)
    }

    /// Changes an argument of the call that it is about to enter.
    pub fn set_argument(&self, index: usize, value: u64) -> Result<()> {
        let mut registers = self.registers()?;
        set_argument(&mut registers, index, value);
        self.set_registers(&mut registers)
    }

    /// Changes all arguments of the call that it is leaving back to what they were.
    pub fn set_arguments(&self, args: [u64; 6]) -> Result<()> {
        let mut registers = self.registers()?;
        // The return value may stand where the first one does.
        let returned = first_return(&registers) as i64;
        for (index, value) in args.into_iter().enumerate() {
            set_argument(&mut registers, index, value);
        }
        set_return(&mut registers, returned);
        self.set_registers(&mut registers)
    }

    /// Changes what the call that it is leaving returns.
    pub fn set_return(&self, value: i64) -> Result<()> {
        let mut registers = self.registers()?;
        set_return(&mut registers, value);
        self.set_registers(&mut registers)
    }

    /// Keeps it from making the call that it stands before, which returns `value` instead.
    pub fn refuse_call(&self, value: i64) -> Result<()> {
        let mut registers = self.registers()?;
        set_return(&mut registers, value);
        set_call_number(self, &mut registers, -1)?;
        self.set_registers(&mut registers)
    }

    /// Puts another call, with one argument, in the place of the one that it stands before.
    pub fn replace_call(&self, number: i64, argument: u64) -> Result<()> {
        let mut registers = self.registers()?;
        set_argument(&mut registers, 0, argument);
        set_call_number(self, &mut registers, number)?;
        self.set_registers(&mut registers)
    }

    /// Changes the first argument of a call of the other architecture ([`super::seccomp::FOREIGN_CLONE`]).
    pub fn set_foreign_first_argument(&self, value: u32) -> Result<()> {
        let mut registers = self.registers()?;
        set_foreign_first_argument(&mut registers, u64::from(value));
        self.set_registers(&mut registers)
    }

    /// Gives the register of the first argument back to the program, whose call the lab has made with another one.
    pub fn restore_first_argument(&self, value: u64) -> Result<()> {
        // What a call returns has taken its place on aarch64.
        if cfg!(target_arch = "x86_64") { self.set_argument(0, value) } else { Ok(()) }
    }

    /// The call that it has just come back from, on its way into its own code: number, arguments, and what it
    /// returns.
    pub fn left_call(&self) -> Result<Option<(u64, [u64; 6], i64)>> {
        Ok(left_call(&self.registers()?))
    }

    /// Its stack pointer.
    pub fn stack_pointer(&self) -> Result<u64> {
        Ok(stack_pointer(&self.registers()?))
    }

    /// The address of its next instruction.
    pub fn instruction_pointer(&self) -> Result<u64> {
        Ok(instruction_pointer(&self.registers()?))
    }
}

/// `NT_PRSTATUS` of elf(5): the general registers.
const NT_PRSTATUS: usize = 1;

#[cfg(target_arch = "x86_64")]
fn set_argument(registers: &mut libc::user_regs_struct, index: usize, value: u64) {
    match index {
        0 => registers.rdi = value,
        1 => registers.rsi = value,
        2 => registers.rdx = value,
        3 => registers.r10 = value,
        4 => registers.r8 = value,
        _ => registers.r9 = value,
    }
}

#[cfg(target_arch = "x86_64")]
fn set_foreign_first_argument(registers: &mut libc::user_regs_struct, value: u64) {
    registers.rbx = value;
}

#[cfg(target_arch = "aarch64")]
fn set_foreign_first_argument(registers: &mut libc::user_regs_struct, value: u64) {
    registers.regs[0] = value;
}

#[cfg(target_arch = "x86_64")]
fn set_return(registers: &mut libc::user_regs_struct, value: i64) {
    registers.rax = value as u64;
}

/// How many bytes the instruction pointer is behind a breakpoint that was hit, and behind a call.
#[cfg(target_arch = "x86_64")]
const BREAKPOINT_BEHIND: u64 = 1;
#[cfg(target_arch = "x86_64")]
const CALL_BEHIND: u64 = 2;
#[cfg(target_arch = "aarch64")]
const BREAKPOINT_BEHIND: u64 = 0;
#[cfg(target_arch = "aarch64")]
const CALL_BEHIND: u64 = 4;

#[cfg(target_arch = "x86_64")]
fn set_instruction_pointer(registers: &mut libc::user_regs_struct, address: u64) {
    registers.rip = address;
}

#[cfg(target_arch = "aarch64")]
fn set_instruction_pointer(registers: &mut libc::user_regs_struct, address: u64) {
    registers.pc = address;
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it is a request of its own")]
fn set_call_number(_stopped: &Stopped, registers: &mut libc::user_regs_struct, number: i64) -> Result<()> {
    registers.orig_rax = number as u64;
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn instruction_pointer(registers: &libc::user_regs_struct) -> u64 {
    registers.rip
}

#[cfg(target_arch = "x86_64")]
fn stack_pointer(registers: &libc::user_regs_struct) -> u64 {
    registers.rsp
}

#[cfg(target_arch = "x86_64")]
fn first_return(registers: &libc::user_regs_struct) -> u64 {
    registers.rax
}

#[cfg(target_arch = "x86_64")]
fn left_call(registers: &libc::user_regs_struct) -> Option<(u64, [u64; 6], i64)> {
    let args = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
    let number = registers.orig_rax;
    (number as i64 >= 0).then_some((number, args, registers.rax as i64))
}

#[cfg(target_arch = "aarch64")]
fn first_return(registers: &libc::user_regs_struct) -> u64 {
    registers.regs[0]
}

/// What the first argument was, the kernel keeps to itself there.
#[cfg(target_arch = "aarch64")]
fn left_call(_registers: &libc::user_regs_struct) -> Option<(u64, [u64; 6], i64)> {
    None
}

#[cfg(target_arch = "aarch64")]
fn set_argument(registers: &mut libc::user_regs_struct, index: usize, value: u64) {
    registers.regs[index.min(5)] = value;
}

#[cfg(target_arch = "aarch64")]
fn set_return(registers: &mut libc::user_regs_struct, value: i64) {
    registers.regs[0] = value as u64;
}

/// The number is no register of its own there: `NT_ARM_SYSTEM_CALL` of elf(5).
#[cfg(target_arch = "aarch64")]
fn set_call_number(stopped: &Stopped, _registers: &mut libc::user_regs_struct, number: i64) -> Result<()> {
    const NT_ARM_SYSTEM_CALL: usize = 0x404;
    let mut number = number as i32;
    let mut area = libc::iovec { iov_base: (&raw mut number).cast(), iov_len: size_of::<i32>() };
    request(libc::PTRACE_SETREGSET, stopped.pid(), NT_ARM_SYSTEM_CALL, &raw mut area as usize).map(drop)
}

#[cfg(target_arch = "aarch64")]
fn instruction_pointer(registers: &libc::user_regs_struct) -> u64 {
    registers.pc
}

#[cfg(target_arch = "aarch64")]
fn stack_pointer(registers: &libc::user_regs_struct) -> u64 {
    registers.sp
}
