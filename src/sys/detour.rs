//! Short ways that a stopped tracee is sent on, and from which it comes straight back: one instruction,
//! or one system call that the program did not ask for.
//!
//! Meanwhile signals are held back, apart from those of faults: the kernel resets the disposition of a
//! fault that comes while its signal is blocked. A tracee that does not come back has been struck by
//! SIGKILL.

use super::error::Result;
use super::memory;
use super::ptrace::{self, Resume, Stopped, Wait, Why};
use crate::model::{Signal, SignalSet};

/// `PTRACE_SETSIGMASK` of linux/ptrace.h.
const PTRACE_SETSIGMASK: u32 = 0x420b;
/// `SEGV_ACCERR` of sigaction(2): mapped, but not for this.
const SEGV_ACCERR: i32 = 2;
/// How often a tracee is sent on again that stopped for something else.
const ATTEMPTS: usize = 64;

/// Whether calls can be made in a tracee of this architecture.
pub const POSSIBLE: bool = cfg!(target_arch = "x86_64");

/// Where a tracee is after a detour.
#[derive(Debug)]
pub enum Detour<T> {
    /// Back where it was, with the result.
    Back(Stopped, T),
    /// It is about to end, or has ended; this is what is to be taken in.
    Gone(Wait),
}

/// What a fault was about.
#[derive(Clone, Copy)]
pub struct Fault {
    info: libc::siginfo_t,
    /// The address that could not be reached.
    pub address: u64,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fault").field("address", &self.address).finish_non_exhaustive()
    }
}

/// How one instruction went.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// It was executed.
    Done,
    /// It could not reach memory that is there.
    Fault(Fault),
    /// It raises another signal.
    Signal(Signal, Fault),
}

/// How far a repeated string instruction is.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// How many rounds it has left.
    pub left: u64,
    /// Whether it goes from higher addresses to lower ones.
    pub backward: bool,
}

/// The signals that an instruction can raise.
pub const FAULTS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];

impl Stopped {
    /// Changes its signal mask.
    pub fn set_signal_mask(&self, mask: SignalSet) -> Result<()> {
        let mask = mask.0;
        ptrace::request(PTRACE_SETSIGMASK, self.pid(), size_of::<u64>(), &raw const mask as usize).map(drop)
    }

    /// The fault that it stopped for, if it is one of access to memory that is there.
    pub fn fault(&self) -> Result<Option<Fault>> {
        let info = self.raw_signal_info()?;
        if info.si_signo != libc::SIGSEGV || info.si_code != SEGV_ACCERR {
            return Ok(None);
        }
        // SAFETY: for SIGSEGV with a positive code the kernel fills the member with `si_addr`
        // (sigaction(2)).
        let address = unsafe { info.si_addr() } as u64;
        Ok(Some(Fault { info, address }))
    }

    /// Makes the signal that it stopped for be this fault.
    pub fn set_fault(&self, fault: &Fault) -> Result<()> {
        ptrace::request(libc::PTRACE_SETSIGINFO, self.pid(), 0, &raw const fault.info as usize).map(drop)
    }

    /// Throws away the next `count` signals of `set` that are queued for it, and gives it `mask`. It must be on its
    /// way back into its own code: at the end of a call, or at a stop that is about no signal any more. A call
    /// that it has left cannot be interrupted by that. What stops it instead, if something does, is handed on.
    pub fn throw_away(self, set: SignalSet, count: usize, mask: SignalSet) -> Result<Detour<()>> {
        let pid = self.pid();
        let mut at = self;
        let faults: SignalSet = FAULTS.into_iter().filter_map(Signal::new).collect();
        at.set_signal_mask(SignalSet(!(set.0 | faults.0)))?;
        for _ in 0..count {
            // Should another thread have been faster, it is back after one instruction.
            at.resume(Resume::OneInstruction, None)?;
            at = loop {
                match ptrace::wait_for(pid, true)? {
                    Wait::Stopped(back, Why::Signal(signal)) if set.contains(signal) => break back,
                    Wait::Stopped(back, Why::Signal(Signal::TRAP)) => {
                        back.set_signal_mask(mask)?;
                        return Ok(Detour::Back(back, ()));
                    }
                    Wait::Stopped(back, why) => {
                        back.set_signal_mask(mask)?;
                        return Ok(Detour::Gone(Wait::Stopped(back, why)));
                    }
                    Wait::Interrupted | Wait::Nothing => {}
                    gone @ (Wait::Ended(..) | Wait::Nobody) => return Ok(Detour::Gone(gone)),
                }
            };
        }
        at.set_signal_mask(mask)?;
        Ok(Detour::Back(at, ()))
    }

    /// Makes it go back to the call that it is leaving, with other arguments.
    pub fn call_again(&self, number: u64, args: [u64; 6]) -> Result<()> {
        let mut registers = self.registers()?;
        let gate = instruction(&registers).wrapping_sub(GATE_LENGTH);
        set_call(&mut registers, number as i64, args);
        go_to(&mut registers, gate, number as i64);
        self.set_registers(&mut registers)
    }

    /// Holds back everything but faults; returns the mask that was set.
    fn hold_signals(&self) -> Result<SignalSet> {
        let mask = self.signal_mask()?;
        let faults: SignalSet = FAULTS.into_iter().filter_map(Signal::new).collect();
        self.set_signal_mask(SignalSet(!faults.0))?;
        Ok(mask)
    }

    /// Executes one instruction.
    pub fn step_alone(self) -> Result<Detour<Step>> {
        let mask = self.hold_signals()?;
        let (stopped, why) = match self.excursion(Resume::OneInstruction, |why| matches!(why, Why::Signal(_)))? {
            Detour::Back(stopped, why) => (stopped, why),
            Detour::Gone(wait) => return Ok(Detour::Gone(wait)),
        };
        stopped.set_signal_mask(mask)?;
        let step = match why {
            Why::Signal(Signal::TRAP) => Step::Done,
            Why::Signal(signal) => match stopped.fault()? {
                Some(fault) => Step::Fault(fault),
                None => Step::Signal(signal, Fault { info: stopped.raw_signal_info()?, address: 0 }),
            },
            _ => Step::Done,
        };
        Ok(Detour::Back(stopped, step))
    }

    /// Resumes until it stops for what is `wanted`.
    fn excursion(self, how: Resume, wanted: impl Fn(Why) -> bool) -> Result<Detour<Why>> {
        let pid = self.pid();
        let mut interrupted = false;
        let mut stopped = self;
        for _ in 0..ATTEMPTS {
            stopped.resume(how, None)?;
            let (back, why) = loop {
                match ptrace::wait_for(pid, true)? {
                    Wait::Stopped(back, why) => break (back, why),
                    Wait::Interrupted | Wait::Nothing => {}
                    gone @ (Wait::Ended(..) | Wait::Nobody) => return Ok(Detour::Gone(gone)),
                }
            };
            if why == Why::Exit {
                return Ok(Detour::Gone(Wait::Stopped(back, why)));
            }
            if wanted(why) {
                // Whoever asked it to stop still waits for that.
                if interrupted {
                    ptrace::interrupt(pid)?;
                }
                return Ok(Detour::Back(back, why));
            }
            interrupted |= why == Why::Interrupted;
            stopped = back;
        }
        Err(super::Error::new("ptrace", format!("process {pid}"), libc::EBUSY))
    }

    /// What the signal that it stopped for carries, to give it back later.
    pub fn carried(&self) -> Result<Fault> {
        Ok(Fault { info: self.raw_signal_info()?, address: 0 })
    }

    /// The address of the instruction that makes a call, if it stands behind one.
    pub fn gate(&self) -> Result<Option<u64>> {
        let gate = self.instruction_pointer()?.wrapping_sub(GATE_LENGTH);
        let code = memory::read_array::<{ GATE.len() }>(self.pid(), gate);
        Ok(code.filter(|code| *code == GATE).map(|_| gate))
    }

    /// Whether the kernel will have to look at robust mutexes when the task ends (get_robust_list(2)).
    pub fn holds_robust_mutexes(&self) -> bool {
        /// Where `list_op_pending` stands in the kernel's `struct robust_list_head`.
        const PENDING: u64 = 16;
        let (mut head, mut length) = (0_u64, 0_usize);
        // SAFETY: both places are live and as large as what the kernel writes: a pointer and a size.
        let asked = unsafe { libc::syscall(libc::SYS_get_robust_list, self.pid(), &raw mut head, &raw mut length) };
        // An empty list leads back to its head.
        let word = |at: u64| memory::read_u64(self.pid(), at);
        asked == 0 && head != 0 && (word(head) != Some(head) || word(head.wrapping_add(PENDING)) != Some(0))
    }

    /// How a repeated string instruction stands that it is before or in.
    pub fn rounds(&self) -> Result<Rounds> {
        Ok(rounds(&self.registers()?))
    }

    /// The address of some bytes that the program does not use: on the stack, beyond what a function may
    /// use below the stack pointer (System V ABI, "The red zone").
    pub fn scratch(&self) -> Result<u64> {
        Ok(stack_pointer(&self.registers()?).wrapping_sub(1024) & !15)
    }

    /// Makes a call at `gate`; not before a call of its own.
    pub fn call_at(self, gate: u64, number: i64, args: [u64; 6]) -> Result<Detour<i64>> {
        let mut saved = self.registers()?;
        let mask = self.hold_signals()?;
        let mut registers = saved;
        set_call(&mut registers, number, args);
        go_to(&mut registers, gate, number);
        self.set_registers(&mut registers)?;
        // Where all calls stop, so does this one.
        let (stopped, _) = match self.excursion(Resume::OneInstruction, |why| matches!(why, Why::Signal(_)))? {
            Detour::Back(stopped, why) => (stopped, why),
            Detour::Gone(wait) => return Ok(Detour::Gone(wait)),
        };
        let value = returned(&stopped.registers()?);
        stopped.set_registers(&mut saved)?;
        stopped.set_signal_mask(mask)?;
        Ok(Detour::Back(stopped, value))
    }

    /// Makes a call at `gate` without a single step, which would end in a SIGTRAP; the tracee is left at
    /// no signal then.
    pub fn call_at_without_steps(self, gate: u64, number: i64, args: [u64; 6]) -> Result<Detour<i64>> {
        let mut saved = self.registers()?;
        let mask = self.hold_signals()?;
        let mut registers = saved;
        set_call(&mut registers, number, args);
        go_to(&mut registers, gate, number);
        self.set_registers(&mut registers)?;
        // At its entry and at its exit.
        let mut at = self;
        for _ in 0..2 {
            at = match at.excursion(Resume::ToCallExit, |why| why == Why::Call)? {
                Detour::Back(stopped, _) => stopped,
                Detour::Gone(wait) => return Ok(Detour::Gone(wait)),
            };
        }
        let value = returned(&at.registers()?);
        at.set_registers(&mut saved)?;
        at.set_signal_mask(mask)?;
        Ok(Detour::Back(at, value))
    }

    /// Makes a call of a tracee that stands before another one, and comes back to there.
    pub fn call_before_call(self, number: i64, args: [u64; 6]) -> Result<Detour<i64>> {
        let saved = self.registers()?;
        let mask = self.hold_signals()?;
        let mut registers = saved;
        set_call(&mut registers, number, args);
        self.set_registers(&mut registers)?;
        let stopped = match self.excursion(Resume::ToCallExit, |why| why == Why::Call)? {
            Detour::Back(stopped, _) => stopped,
            Detour::Gone(wait) => return Ok(Detour::Gone(wait)),
        };
        let value = returned(&stopped.registers()?);
        let mut again = saved;
        let (own, gate) = (call_number(&saved), instruction(&saved).wrapping_sub(GATE_LENGTH));
        go_to(&mut again, gate, own);
        stopped.set_registers(&mut again)?;
        match stopped.excursion(Resume::Continue, |why| why == Why::Seccomp)? {
            Detour::Back(stopped, _) => {
                stopped.set_signal_mask(mask)?;
                Ok(Detour::Back(stopped, value))
            }
            Detour::Gone(wait) => Ok(Detour::Gone(wait)),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use libc::user_regs_struct as Registers;

    /// `syscall`.
    pub(super) const GATE: [u8; 2] = [0x0f, 0x05];
    pub(super) const GATE_LENGTH: u64 = 2;
    /// The direction flag.
    const BACKWARD: u64 = 1 << 10;

    pub(super) fn rounds(registers: &Registers) -> super::Rounds {
        super::Rounds { left: registers.rcx, backward: registers.eflags & BACKWARD != 0 }
    }

    pub(super) fn set_call(registers: &mut Registers, number: i64, args: [u64; 6]) {
        registers.orig_rax = number as u64;
        [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9] = args;
    }

    /// Before the instruction that makes a call; no call is to be restarted.
    pub(super) fn go_to(registers: &mut Registers, gate: u64, number: i64) {
        registers.rip = gate;
        registers.rax = number as u64;
        registers.orig_rax = u64::MAX;
    }

    pub(super) fn returned(registers: &Registers) -> i64 {
        registers.rax as i64
    }

    pub(super) fn call_number(registers: &Registers) -> i64 {
        registers.orig_rax as i64
    }

    pub(super) fn instruction(registers: &Registers) -> u64 {
        registers.rip
    }

    pub(super) fn stack_pointer(registers: &Registers) -> u64 {
        registers.rsp
    }
}

/// The lab does not watch memory there ([`POSSIBLE`]); these only keep it compiling.
#[cfg(target_arch = "aarch64")]
mod registers {
    use libc::user_regs_struct as Registers;

    /// `svc #0`.
    pub(super) const GATE: [u8; 4] = [0x01, 0x00, 0x00, 0xd4];
    pub(super) const GATE_LENGTH: u64 = 4;

    /// There are no such instructions.
    pub(super) fn rounds(_registers: &Registers) -> super::Rounds {
        super::Rounds { left: 0, backward: false }
    }

    pub(super) fn set_call(registers: &mut Registers, number: i64, args: [u64; 6]) {
        registers.regs[8] = number as u64;
        registers.regs[..6].copy_from_slice(&args);
    }

    pub(super) fn go_to(registers: &mut Registers, gate: u64, _number: i64) {
        registers.pc = gate;
    }

    pub(super) fn returned(registers: &Registers) -> i64 {
        registers.regs[0] as i64
    }

    pub(super) fn call_number(registers: &Registers) -> i64 {
        registers.regs[8] as i64
    }

    pub(super) fn instruction(registers: &Registers) -> u64 {
        registers.pc
    }

    pub(super) fn stack_pointer(registers: &Registers) -> u64 {
        registers.sp
    }
}

use registers::{GATE, GATE_LENGTH, call_number, go_to, instruction, returned, rounds, set_call, stack_pointer};
