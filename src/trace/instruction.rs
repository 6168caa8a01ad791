//! How many bytes an instruction reads or writes in memory, and whether it does both.
//!
//! Only what programs use to reach memory is known here. Of anything else the size is not known, and
//! then what has changed says how much was stored. "Intel 64 and IA-32 Architectures Software Developer's
//! Manual", volume 2, appendix A has the tables.

/// An access to memory, as the instruction has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// How many bytes; none if the instruction is not known.
    pub bytes: Option<usize>,
    /// Whether one that writes also reads what was there: `xadd`, `add`.
    pub reads: bool,
    /// Whether it writes only under a condition: `cmpxchg`.
    pub conditional: bool,
    /// Whether it does that again and again: `rep movs`.
    pub repeats: bool,
}

#[cfg(target_arch = "x86_64")]
impl Shape {
    const fn of(bytes: usize) -> Self {
        Self { bytes: Some(bytes), reads: false, conditional: false, repeats: false }
    }

    const fn both(bytes: usize) -> Self {
        Self { bytes: Some(bytes), reads: true, conditional: false, repeats: false }
    }
}

/// What the instruction does that `code` begins with.
#[cfg(target_arch = "x86_64")]
pub fn shape(code: &[u8]) -> Shape {
    x86::shape(code).unwrap_or_default()
}

/// Whether the instruction that `code` begins with stores (and does not load) or loads; `None` if that is
/// not known, or if it reaches two places.
#[cfg(target_arch = "x86_64")]
pub fn stores(code: &[u8]) -> Option<bool> {
    x86::stores(code)
}

/// Memory is watched on x86-64 only ([`crate::sys::detour::POSSIBLE`]).
#[cfg(not(target_arch = "x86_64"))]
pub fn stores(_code: &[u8]) -> Option<bool> {
    None
}

/// Memory is watched on x86-64 only ([`crate::sys::detour::POSSIBLE`]).
#[cfg(not(target_arch = "x86_64"))]
pub fn shape(_code: &[u8]) -> Shape {
    Shape::default()
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::match_same_arms, reason = "the order is that of the opcode map")]
mod x86 {
    use super::Shape;

    /// The prefixes that change the size of an operand.
    #[derive(Debug, Clone, Copy, Default)]
    struct Prefixes {
        /// 66.
        short: bool,
        /// F2 or F3.
        repeat: Option<u8>,
        /// REX.W.
        wide: bool,
    }

    impl Prefixes {
        const fn word(self) -> usize {
            match (self.wide, self.short) {
                (true, _) => 8,
                (false, true) => 2,
                (false, false) => 4,
            }
        }

        /// Operands whose size is 8 unless 66 says otherwise: `push`, `call`.
        const fn stack(self) -> usize {
            if self.short { 2 } else { 8 }
        }
    }

    pub(super) fn shape(code: &[u8]) -> Option<Shape> {
        let mut prefixes = Prefixes::default();
        let mut bytes = code.iter().copied();
        let mut first = bytes.next()?;
        loop {
            match first {
                0x66 => prefixes.short = true,
                0xf2 | 0xf3 => prefixes.repeat = Some(first),
                0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65 | 0x67 | 0xf0 => {}
                _ => break,
            }
            first = bytes.next()?;
        }
        if first & 0xf0 == 0x40 {
            prefixes.wide = first & 8 != 0;
            first = bytes.next()?;
        }
        match first {
            0x0f => match bytes.next()? {
                0x38 => vector(0x38, bytes.next()?, 16, prefixes),
                0x3a => vector(0x3a, bytes.next()?, 16, prefixes),
                second => two_bytes(second, bytes.next(), prefixes),
            },
            0xc5 => {
                let (payload, opcode) = (bytes.next()?, bytes.next()?);
                vector(0x0f, opcode, length(payload >> 2 & 1), pp(payload & 3, false))
            }
            0xc4 => {
                let (map, payload, opcode) = (bytes.next()?, bytes.next()?, bytes.next()?);
                vector(escape(map & 0x1f), opcode, length(payload >> 2 & 1), pp(payload & 3, payload & 0x80 != 0))
            }
            0x62 => {
                let (map, payload, last, opcode) = (bytes.next()?, bytes.next()?, bytes.next()?, bytes.next()?);
                vector(escape(map & 7), opcode, length(last >> 5 & 3), pp(payload & 3, payload & 0x80 != 0))
            }
            _ => one_byte(first, bytes.next(), prefixes),
        }
    }

    /// Prefixes of the legacy kind, and the first byte behind them.
    const fn is_prefix(byte: u8) -> bool {
        matches!(byte, 0x66 | 0xf2 | 0xf3 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65 | 0x67 | 0xf0)
    }

    pub(super) fn stores(code: &[u8]) -> Option<bool> {
        let skip = code.iter().take_while(|byte| is_prefix(**byte)).count();
        let rest = code.get(skip..)?;
        let rest = if rest.first()? & 0xf0 == 0x40 { rest.get(1..)? } else { rest };
        let short = code[..skip].contains(&0x66);
        match *rest.first()? {
            0x0f => two_byte_stores(*rest.get(1)?, short || code[..skip].contains(&0xf3)),
            0xc5 => two_byte_stores(*rest.get(2)?, rest.get(1)? & 3 != 0),
            0xc4 => two_byte_stores(*rest.get(3)?, rest.get(2)? & 3 != 0).filter(|_| rest[1] & 0x1f == 1),
            0x62 => two_byte_stores(*rest.get(4)?, rest.get(2)? & 3 != 0).filter(|_| rest[1] & 7 == 1),
            opcode => match opcode {
                0x88 | 0x89 | 0x8f | 0xc6 | 0xc7 | 0xa2 | 0xa3 | 0xaa | 0xab => Some(true),
                0x8a | 0x8b | 0x63 | 0x69 | 0x6b | 0x84 | 0x85 | 0xa0 | 0xa1 | 0xac..=0xaf => Some(false),
                0x38..=0x3b => Some(false),
                0x00..=0x3b if opcode & 6 == 2 => Some(false),
                0x80..=0x83 if operation(rest.get(1).copied()) == 7 => Some(false),
                0xf6 | 0xf7 if !matches!(operation(rest.get(1).copied()), 2 | 3) => Some(false),
                _ => None,
            },
        }
    }

    /// With 0F before them: those that move, and those that everybody uses.
    const fn two_byte_stores(opcode: u8, prefixed: bool) -> Option<bool> {
        match opcode {
            0x11 | 0x13 | 0x17 | 0x29 | 0x2b | 0x7f | 0x90..=0x9f | 0xc3 | 0xd6 | 0xe7 => Some(true),
            // With F3 it is `movq` from memory; that is rare enough to be left open.
            0x7e if !prefixed => Some(true),
            0x10
            | 0x12
            | 0x16
            | 0x28
            | 0x2a..=0x2f
            | 0x40..=0x4f
            | 0x51..=0x6f
            | 0xa3
            | 0xaf
            | 0xb6..=0xb8
            | 0xbc..=0xbf
            | 0xd0..=0xd5
            | 0xd8..=0xe6
            | 0xe8..=0xfe => Some(false),
            _ => None,
        }
    }

    const fn length(l: u8) -> usize {
        16 << l
    }

    const fn escape(map: u8) -> u8 {
        match map {
            2 => 0x38,
            3 => 0x3a,
            _ => 0x0f,
        }
    }

    const fn pp(pp: u8, wide: bool) -> Prefixes {
        let repeat = match pp {
            2 => Some(0xf3),
            3 => Some(0xf2),
            _ => None,
        };
        Prefixes { short: pp == 1, repeat, wide }
    }

    const fn operation(modrm: Option<u8>) -> u8 {
        match modrm {
            Some(modrm) => modrm >> 3 & 7,
            None => 0,
        }
    }

    fn one_byte(opcode: u8, modrm: Option<u8>, prefixes: Prefixes) -> Option<Shape> {
        let word = prefixes.word();
        let sized = if opcode & 1 == 0 { 1 } else { word };
        Some(match opcode {
            // Arithmetic: with a register either way, or (80 to 83) with a constant; 7 is `cmp`.
            0x38..=0x3b => Shape::of(sized),
            // Into a register memory is only read.
            0x00..=0x3b if opcode & 7 < 4 && opcode & 2 != 0 => Shape::of(sized),
            0x00..=0x3b if opcode & 7 < 4 => Shape::both(sized),
            0x80..=0x83 if operation(modrm) == 7 => Shape::of(sized),
            0x80..=0x83 => Shape::both(sized),
            0x63 => Shape::of(4),
            0x69 | 0x6b => Shape::of(word),
            0x84 | 0x85 | 0x88..=0x8b | 0xc6 | 0xc7 => Shape::of(sized),
            0x86 | 0x87 => Shape::both(sized),
            0x8f => Shape::of(prefixes.stack()),
            0xa4..=0xa7 | 0xaa..=0xaf => Shape { repeats: prefixes.repeat.is_some(), ..Shape::of(sized) },
            0xa0..=0xa3 => Shape::of(sized),
            0xc0 | 0xc1 | 0xd0..=0xd3 => Shape::both(sized),
            // The x87: the size of what is loaded and stored stands in the opcode.
            0xd8..=0xda if operation(modrm) < 4 || opcode != 0xd9 => Shape::of(4),
            0xdc | 0xdd if operation(modrm) < 4 => Shape::of(8),
            0xdb if matches!(operation(modrm), 5 | 7) => Shape::of(10),
            0xdf if matches!(operation(modrm), 5 | 7) => Shape::of(8),
            0xdf if operation(modrm) > 3 => Shape::of(10),
            0xdb if operation(modrm) < 4 => Shape::of(4),
            0xd9 if matches!(operation(modrm), 5 | 7) => Shape::of(2),
            0xde | 0xdf => Shape::of(2),
            0xf6 | 0xf7 if matches!(operation(modrm), 2 | 3) => Shape::both(sized),
            0xf6 | 0xf7 => Shape::of(sized),
            0xfe => Shape::both(1),
            0xff if operation(modrm) < 2 => Shape::both(word),
            0xff => Shape::of(prefixes.stack()),
            _ => return None,
        })
    }

    fn two_bytes(opcode: u8, modrm: Option<u8>, prefixes: Prefixes) -> Option<Shape> {
        let word = prefixes.word();
        Some(match opcode {
            0xb6 | 0xbe => Shape::of(1),
            0xb7 | 0xbf => Shape::of(2),
            0x40..=0x4f | 0xa3 | 0xaf | 0xbc | 0xbd | 0xb8 | 0xc3 => Shape::of(word),
            0x90..=0x9f => Shape::of(1),
            0xb0 => Shape { conditional: true, ..Shape::both(1) },
            0xb1 => Shape { conditional: true, ..Shape::both(word) },
            0xc0 => Shape::both(1),
            0xc1 | 0xab | 0xb3 | 0xbb => Shape::both(word),
            0xba if operation(modrm) == 4 => Shape::of(word),
            0xba => Shape::both(word),
            0xc7 if operation(modrm) == 1 => {
                Shape { conditional: true, ..Shape::both(if prefixes.wide { 16 } else { 8 }) }
            }
            _ => return vector(0x0f, opcode, 16, prefixes),
        })
    }

    /// SSE and AVX: a whole vector, or as much as the opcode says.
    fn vector(escape: u8, opcode: u8, length: usize, prefixes: Prefixes) -> Option<Shape> {
        let scalar = match prefixes.repeat {
            Some(0xf3) => 4,
            Some(_) => 8,
            None => length,
        };
        let word = if prefixes.wide { 8 } else { 4 };
        Some(Shape::of(match (escape, opcode) {
            (0x0f, 0x12 | 0x13 | 0x16 | 0x17) if prefixes.repeat.is_none() => 8,
            (0x0f, 0x10 | 0x11 | 0x51..=0x53 | 0x58..=0x5f) => scalar,
            (0x0f, 0x2a) => word,
            (0x0f, 0x2c | 0x2d) => scalar,
            (0x0f, 0x2e | 0x2f) => {
                if prefixes.short {
                    8
                } else {
                    4
                }
            }
            (0x0f, 0x6e) => word,
            (0x0f, 0x7e) => {
                if prefixes.repeat == Some(0xf3) {
                    8
                } else {
                    word
                }
            }
            (0x0f, 0xd6) => 8,
            (0x0f, 0xc4) => 2,
            (0x0f, 0x14..=0x15 | 0x28 | 0x29 | 0x2b | 0x54..=0x57 | 0x60..=0x70 | 0x74..=0x76 | 0x7f) => length,
            (0x0f, 0xc2 | 0xc6 | 0xd0..=0xfe) => length,
            (0x38, 0x18 | 0x58) => 4,
            (0x38, 0x19 | 0x59) => 8,
            (0x38, 0x1a | 0x5a) => 16,
            (0x38, 0x00..=0x0b | 0x17 | 0x1c..=0x1e | 0x28..=0x2b | 0x37..=0x40) => length,
            (0x38, 0xf0 | 0xf1) => prefixes.word(),
            (0x38, 0xf2..=0xf7) => word,
            (0x3a, 0x14) => 1,
            (0x3a, 0x16 | 0x22) => word,
            (0x3a, 0x39) => 16,
            (0x3a, 0x0f | 0x44 | 0x60..=0x63) => length,
            _ => return None,
        }))
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Instructions as an assembler makes them (`as`, `objdump -d`).
    #[test]
    fn sizes_are_those_of_the_assembler() {
        let of = |code: &[u8]| shape(code);
        assert_eq!(of(&[0x48, 0x8b, 0x07]), Shape::of(8), "mov (%rdi),%rax");
        assert_eq!(of(&[0x8b, 0x07]), Shape::of(4), "mov (%rdi),%eax");
        assert_eq!(of(&[0x66, 0x89, 0x07]), Shape::of(2), "mov %ax,(%rdi)");
        assert_eq!(of(&[0x88, 0x07]), Shape::of(1), "mov %al,(%rdi)");
        assert_eq!(of(&[0x41, 0xc6, 0x00, 0x05]), Shape::of(1), "movb $5,(%r8)");
        assert_eq!(of(&[0x48, 0xc7, 0x07, 1, 0, 0, 0]), Shape::of(8), "movq $1,(%rdi)");
        assert_eq!(of(&[0x0f, 0xb6, 0x07]), Shape::of(1), "movzbl (%rdi),%eax");
        assert_eq!(of(&[0x48, 0x63, 0x07]), Shape::of(4), "movslq (%rdi),%rax");
        assert_eq!(of(&[0xf0, 0x48, 0x0f, 0xc1, 0x07]), Shape::both(8), "lock xadd %rax,(%rdi)");
        assert_eq!(of(&[0xf0, 0x83, 0x07, 0x01]), Shape::both(4), "lock addl $1,(%rdi)");
        assert_eq!(of(&[0x83, 0x3f, 0x00]), Shape::of(4), "cmpl $0,(%rdi)");
        assert_eq!(of(&[0x48, 0xff, 0x07]), Shape::both(8), "incq (%rdi)");
        let cmpxchg = Shape { conditional: true, ..Shape::both(8) };
        assert_eq!(of(&[0xf0, 0x48, 0x0f, 0xb1, 0x17]), cmpxchg, "lock cmpxchg %rdx,(%rdi)");
        let repeated = |bytes| Shape { repeats: true, ..Shape::of(bytes) };
        assert_eq!(of(&[0xf3, 0x48, 0xa5]), repeated(8), "rep movsq");
        assert_eq!(of(&[0xf3, 0xa4]), repeated(1), "rep movsb");
        assert_eq!(of(&[0xa4]), Shape::of(1), "movsb");
        assert_eq!(of(&[0x0f, 0x11, 0x07]), Shape::of(16), "movups %xmm0,(%rdi)");
        assert_eq!(of(&[0xf2, 0x0f, 0x10, 0x07]), Shape::of(8), "movsd (%rdi),%xmm0");
        assert_eq!(of(&[0xc5, 0xfe, 0x6f, 0x06]), Shape::of(32), "vmovdqu (%rsi),%ymm0");
        assert_eq!(of(&[0xc5, 0xf8, 0x11, 0x07]), Shape::of(16), "vmovups %xmm0,(%rdi)");
        assert_eq!(of(&[0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x06]), Shape::of(64), "vmovdqu64 (%rsi),%zmm0");
        assert_eq!(of(&[0x66, 0x0f, 0xd6, 0x07]), Shape::of(8), "movq %xmm0,(%rdi)");
        assert_eq!(of(&[0xdb, 0x3f]), Shape::of(10), "fstpt (%rdi)");
        assert_eq!(of(&[0xdf, 0x3f]), Shape::of(8), "fistpll (%rdi)");
        assert_eq!(of(&[0xd9, 0x3f]), Shape::of(2), "fnstcw (%rdi)");
        assert_eq!(of(&[0x03, 0x07]), Shape::of(4), "add (%rdi),%eax");
        assert_eq!(of(&[0x01, 0x07]), Shape::both(4), "add %eax,(%rdi)");
        assert_eq!(of(&[0x0f, 0x05]), Shape::default(), "syscall");
        assert_eq!(of(&[]), Shape::default());
    }

    #[test]
    fn what_stores_and_what_loads() {
        assert_eq!(stores(&[0x48, 0x8b, 0x07]), Some(false), "mov (%rdi),%rax");
        assert_eq!(stores(&[0x66, 0x89, 0x07]), Some(true), "mov %ax,(%rdi)");
        assert_eq!(stores(&[0x48, 0xc7, 0x07, 1, 0, 0, 0]), Some(true), "movq $1,(%rdi)");
        assert_eq!(stores(&[0x83, 0x3f, 0x00]), Some(false), "cmpl $0,(%rdi)");
        assert_eq!(stores(&[0x03, 0x07]), Some(false), "add (%rdi),%eax");
        assert_eq!(stores(&[0x0f, 0xb6, 0x07]), Some(false), "movzbl (%rdi),%eax");
        assert_eq!(stores(&[0x0f, 0x11, 0x07]), Some(true), "movups %xmm0,(%rdi)");
        assert_eq!(stores(&[0xc5, 0xfe, 0x6f, 0x06]), Some(false), "vmovdqu (%rsi),%ymm0");
        assert_eq!(stores(&[0xc5, 0xfe, 0x7f, 0x06]), Some(true), "vmovdqu %ymm0,(%rsi)");
        assert_eq!(stores(&[0xf3, 0xa4]), None, "rep movsb");
        assert_eq!(stores(&[]), None);
    }
}
