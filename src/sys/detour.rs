//! Short ways that a stopped tracee is sent on, and from which it comes straight back: one instruction,
//! or one system call that the program did not ask for.
//!
//! Meanwhile signals are held back, apart from those of faults: the kernel resets the disposition of a
//! fault that comes while its signal is blocked. What somebody sends of these is taken out and kept in
//! [`Missed`], to be put back into the queue; it is told from a fault by its code. SIGSTOP cannot be held back
//! at all: it is delivered at once, so that job control is the kernel's as ever, and the tracee is sent on out of
//! the stop until the detour is over. A tracee that does not come back has been struck by SIGKILL.

use super::error::Result;
use super::memory;
use super::ptrace::SignalInfo;
use super::ptrace::{self, Resume, Stopped, Wait, Why};
use crate::model::{Queue, Signal, SignalSet};

/// `PTRACE_SETSIGMASK` of linux/ptrace.h.
const PTRACE_SETSIGMASK: u32 = 0x420b;
/// `SEGV_ACCERR` of sigaction(2): mapped, but not for this.
const SEGV_ACCERR: i32 = 2;
/// How often a tracee is sent on again that stopped for something else. Each time somebody must have sent a
/// signal.
const ATTEMPTS: usize = 100_000;

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

/// What came while a tracee was on a detour, and has to be made good.
#[derive(Debug, Default)]
pub struct Missed {
    /// The signals that were taken out: SIGSTOP, which has been delivered, and others, which have not.
    pub signals: Vec<Sent>,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Whether job control has stopped it, and has not let it go on.
    pub stopped: bool,
}

/// A signal that somebody sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Which.
    pub signal: Signal,
    /// What it carries.
    pub info: SignalInfo,
    raw: Fault,
}

impl Sent {
    /// What tgkill(2) sends to a thread.
    pub fn by_tgkill(signal: Signal, pid: i32, uid: u32) -> Self {
        // SAFETY: an all-zero siginfo is valid: every member is a number.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        (info.si_signo, info.si_code) = (signal.number(), libc::SI_TKILL);
        let words = (&raw mut info).cast::<i32>();
        // SAFETY: the structure has 32 words; those of the sender stand behind the first three and one that aligns
        // them (sigaction(2)).
        unsafe {
            words.add(4).write(pid);
            words.add(5).write(uid as i32);
        }
        Self { signal, info: SignalInfo::of(&info), raw: Fault { info, address: 0 } }
    }

    /// The same for the queue of the thread.
    #[must_use]
    pub const fn of_thread(mut self) -> Self {
        self.info.queue = Queue::Thread;
        self
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

/// Whether the kernel will have to look at robust mutexes when the task ends (get_robust_list(2)).
pub fn holds_robust_mutexes(tid: i32) -> bool {
    /// Where `list_op_pending` stands in the kernel's `struct robust_list_head`.
    const PENDING: u64 = 16;
    let (mut head, mut length) = (0_u64, 0_usize);
    // SAFETY: both places are live and as large as what the kernel writes: a pointer and a size.
    let asked = unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut length) };
    // An empty list leads back to its head.
    let word = |at: u64| memory::read_u64(tid, at);
    asked == 0 && head != 0 && (word(head) != Some(head) || word(head.wrapping_add(PENDING)) != Some(0))
}

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

    /// Holds back everything, or everything but faults; returns the mask that was set.
    fn hold_signals(&self, faults: bool) -> Result<SignalSet> {
        let mask = self.signal_mask()?;
        let faults: SignalSet = FAULTS.into_iter().filter(|_| faults).filter_map(Signal::new).collect();
        self.set_signal_mask(SignalSet(!faults.0))?;
        Ok(mask)
    }

    /// What came during its detours; from here on it is the caller's to make that good.
    pub fn take_missed(&mut self) -> Missed {
        std::mem::take(&mut self.missed)
    }

    /// The signal that it stopped for, if somebody has sent it: no instruction makes it, or its code is none
    /// that the kernel gives to a fault (sigaction(2)).
    fn sent(&self, why: Why) -> Result<Option<Sent>> {
        let Why::Signal(signal) = why else { return Ok(None) };
        let info = self.raw_signal_info()?;
        let sent = info.si_code <= 0 || !FAULTS.contains(&signal.number());
        Ok(sent.then(|| Sent { signal, info: SignalInfo::of(&info), raw: Fault { info, address: 0 } }))
    }

    /// Executes one instruction.
    pub fn step_alone(self) -> Result<Detour<Step>> {
        let mask = self.hold_signals(true)?;
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

    /// Resumes until it stops for what is `wanted`, which no signal is that somebody sends.
    fn excursion(mut self, how: Resume, wanted: impl Fn(Why) -> bool) -> Result<Detour<Why>> {
        let pid = self.pid();
        let before = if how == Resume::OneInstruction { Some(progress(&self.registers()?)) } else { None };
        let mut missed = self.take_missed();
        let (mut stopped, mut delivered) = (self, None);
        for _ in 0..ATTEMPTS {
            stopped.resume(how, delivered.take())?;
            let (mut back, why) = loop {
                match ptrace::wait_for(pid, true)? {
                    Wait::Stopped(back, why) => break (back, why),
                    Wait::Interrupted | Wait::Nothing => {}
                    gone @ (Wait::Ended(..) | Wait::Nobody) => return Ok(Detour::Gone(gone)),
                }
            };
            if why == Why::Exit {
                return Ok(Detour::Gone(Wait::Stopped(back, why)));
            }
            let sent = back.sent(why)?;
            // Of two signals of the same kind only the first is queued: that of the step came second, if it did.
            let merged = match (&sent, before) {
                (Some(Sent { signal: Signal::TRAP, .. }), Some(before)) => progress(&back.registers()?) != before,
                _ => false,
            };
            missed.signals.extend(sent);
            if merged || (sent.is_none() && wanted(why)) {
                back.missed = missed;
                return Ok(Detour::Back(back, why));
            }
            delivered = sent.map(|sent| sent.signal).filter(|signal| *signal == Signal::STOP);
            missed.interrupted |= why == Why::Interrupted;
            missed.stopped = match why {
                Why::GroupStop(_) => true,
                Why::Interrupted => false,
                _ => missed.stopped,
            };
            stopped = back;
        }
        Err(super::Error::new("ptrace", format!("process {pid}"), libc::EBUSY))
    }

    /// Has it put a signal back into the queue of its thread, or of its process (rt_tgsigqueueinfo(2)), which only
    /// it may do with all that the signal carries. `ids` are those of process and thread in its own namespace.
    /// Its scratch space is used. As [`Self::call_before_call`] with no `gate`.
    pub fn queue_again(self, gate: Option<u64>, sent: &Sent, ids: (i32, i32), shared: bool) -> Result<Detour<i64>> {
        let place = self.scratch()?;
        let info = std::ptr::from_ref(&sent.raw.info).cast::<u8>();
        // SAFETY: the structure is live and as large as said; the kernel has filled it, and what it has not
        // was zeroed.
        let info = unsafe { std::slice::from_raw_parts(info, size_of::<libc::siginfo_t>()) };
        let mut kept = vec![0; info.len()];
        let (pid, number) = (self.pid(), sent.signal.number() as u64);
        let read = memory::read(pid, place, &mut kept).unwrap_or(0);
        memory::write(pid, place, info)?;
        let (process, thread) = (ids.0 as u64, ids.1 as u64);
        let (call, args) = if shared {
            (libc::SYS_rt_sigqueueinfo, [process, number, place, 0, 0, 0])
        } else {
            (libc::SYS_rt_tgsigqueueinfo, [process, thread, number, place, 0, 0])
        };
        let back = match gate {
            Some(gate) => self.call_at_without_steps(gate, call, args)?,
            None => self.call_before_call(call, args)?,
        };
        if matches!(back, Detour::Back(..)) {
            memory::write(pid, place, &kept[..read])?;
        }
        Ok(back)
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
        let mask = self.hold_signals(true)?;
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
    /// no signal then. Meanwhile nothing can come but SIGSTOP.
    pub fn call_at_without_steps(self, gate: u64, number: i64, args: [u64; 6]) -> Result<Detour<i64>> {
        let mut saved = self.registers()?;
        let mask = self.hold_signals(false)?;
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
        let mask = self.hold_signals(false)?;
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

    /// What no instruction leaves alone: where it stands, and how far a repeated one is.
    pub(super) fn progress(registers: &Registers) -> (u64, u64) {
        (registers.rip, registers.rcx)
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

    pub(super) fn progress(registers: &Registers) -> (u64, u64) {
        (registers.pc, 0)
    }

    pub(super) fn stack_pointer(registers: &Registers) -> u64 {
        registers.sp
    }
}

use registers::{
    GATE, GATE_LENGTH, call_number, go_to, instruction, progress, returned, rounds, set_call, stack_pointer,
};
