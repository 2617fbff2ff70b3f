//! Bits: logic, shifts, fields, permutations, counts.

use super::shapes::{Rows, operations};
use crate::ast::Instruction;
use crate::error::Result;
use crate::exec::Registers;
use crate::program::{Lowering, Type};

/// A resolved operation.
#[derive(Debug)]
pub(crate) struct Op {
    kind: Kind,
    rows: Rows,
}

impl Op {
    /// Executes it.
    #[inline(always)]
    pub fn execute(&self, registers: &mut Registers, mask: u32) {
        run(self.kind, registers, &self.rows, mask);
    }
}

/// Any function of three bits: bit `a << 2 | b << 1 | c` of `table`, bit by bit.
#[inline(always)]
pub(crate) fn lop3(a: u32, b: u32, c: u32, table: u32) -> u32 {
    let mut out = 0;
    for k in 0..8 {
        let term = (if k & 4 != 0 { a } else { !a })
            & (if k & 2 != 0 { b } else { !b })
            & (if k & 1 != 0 { c } else { !c });
        out |= if table >> k & 1 == 1 { term } else { 0 };
    }
    out
}

/// `{b, a}` shifted as a whole; `left` gives the high half of it.
#[inline(always)]
fn funnel(a: u32, b: u32, n: u32, left: bool) -> u32 {
    let both = (b as u64) << 32 | a as u64;
    if left { ((both << n) >> 32) as u32 } else { (both >> n) as u32 }
}

/// `bfe`: `len` bits of `a` from `pos` on; what is beyond bit `width - 1` is `sign`'s or 0.
#[inline(always)]
fn extract(a: u64, pos: u32, len: u32, width: u32, signed: bool) -> u64 {
    let (pos, len) = (pos & 0xFF, len & 0xFF);
    if len == 0 {
        return 0;
    }
    let sign = signed && a >> (pos + len - 1).min(width - 1) & 1 == 1;
    let shifted = if pos >= 64 { 0 } else { a >> pos };
    let kept = len.min(width.saturating_sub(pos));
    let low = if kept >= 64 { !0 } else { (1u64 << kept) - 1 };
    shifted & low | if sign { !low } else { 0 }
}

/// `bfi`: `b` with `len` bits of `a` put in at `pos`.
#[inline(always)]
fn insert(a: u64, b: u64, pos: u32, len: u32, width: u32) -> u64 {
    let (pos, len) = (pos & 0xFF, len & 0xFF);
    if pos >= width {
        return b;
    }
    let low = if len >= 64 { !0 } else { (1u64 << len) - 1 };
    b & !(low << pos) | (a & low) << pos
}

/// `fns`: the position of the `offset`-th set bit from `base` on, or all ones.
#[inline(always)]
fn nth_set(mask: u32, base: u32, offset: i32) -> u32 {
    if offset == 0 {
        return if base < 32 && mask >> base & 1 == 1 { base } else { !0 };
    }
    let (mut at, mut left) = (base as i64, offset.unsigned_abs());
    while (0..32).contains(&at) {
        if mask >> at & 1 == 1 {
            left -= 1;
            if left == 0 {
                return at as u32;
            }
        }
        at += offset.signum() as i64;
    }
    !0
}

#[inline(always)]
fn highest(a: u64) -> u32 {
    if a == 0 { !0 } else { 63 - a.leading_zeros() }
}

/// For negative numbers the highest zero counts.
#[inline(always)]
fn magnitude(a: i64) -> u64 {
    (if a < 0 { !a } else { a }) as u64
}

#[inline(always)]
fn shift_amount(position: u32, width: u32) -> u32 {
    if position == !0 { !0 } else { width - 1 - position }
}

#[inline(always)]
fn ones(start: u32, len: u32) -> u32 {
    let from = |n: u32| if n >= 32 { 0 } else { !0u32 << n };
    from(start) & !from(start.saturating_add(len))
}

#[inline(always)]
fn extend(a: u32, len: u32, signed: bool) -> u32 {
    match len {
        0 => 0,
        32.. => a,
        _ if signed => ((a << (32 - len)) as i32 >> (32 - len)) as u32,
        _ => a & ((1 << len) - 1),
    }
}

#[inline(always)]
fn shl(a: u32, n: u32) -> u32 {
    if n > 31 { 0 } else { a << n }
}

#[inline(always)]
fn shr(a: u32, n: u32) -> u32 {
    if n > 31 { 0 } else { a >> n }
}

/// `prmt`: byte `k` of the result is byte `index(k)` of `{b, a}`.
#[inline(always)]
fn permute(a: u32, b: u32, index: impl Fn(u32) -> u32) -> u32 {
    let both = (b as u64) << 32 | a as u64;
    (0..4).fold(0, |out, k| out | ((both >> (8 * index(k)) & 0xFF) as u32) << (8 * k))
}

/// The general form of `prmt`: a selector of 4 bits a byte, the highest replicates the byte's sign.
#[inline(always)]
fn select_bytes(a: u32, b: u32, c: u32) -> u32 {
    let both = (b as u64) << 32 | a as u64;
    let mut out = 0;
    for k in 0..4 {
        let selector = c >> (4 * k);
        let byte = (both >> (8 * (selector & 7)) & 0xFF) as u32;
        let byte = if selector & 8 == 0 { byte } else { (byte >> 7) * 0xFF };
        out |= byte << (8 * k);
    }
    out
}

operations! {
    N_N {
        Not |a, _| !a,
        Not16 |a, _| !a & 0xFFFF,
        Cnot |a, _| (a == 0) as u32,
        Popc |a, _| a.count_ones(),
        Clz |a, _| a.leading_zeros(),
        Brev |a, _| a.reverse_bits(),
        BfindU |a, _| highest(a as u64),
        BfindS |a, _| highest(magnitude(a as i32 as i64)),
        BfindShiftU |a, _| shift_amount(highest(a as u64), 32),
        BfindShiftS |a, _| shift_amount(highest(magnitude(a as i32 as i64)), 32),
    }
    NN_N {
        And |a, b, _| a & b,
        Or |a, b, _| a | b,
        Xor |a, b, _| a ^ b,
        Shl |a, b, _| shl(a, b),
        Shl16 |a, b, _| shl(a, b) & 0xFFFF,
        ShrU |a, b, _| shr(a, b),
        ShrS |a, b, _| (a as i32 >> b.min(31)) as u32,
        ShrS16 |a, b, _| (a as i16 as i32 >> b.min(31)) as u32 & 0xFFFF,
        BmskClamp |a, b, _| ones(a, b),
        BmskWrap |a, b, _| ones(a & 31, b & 31),
        SzextClampU |a, b, _| extend(a, b.min(32), false),
        SzextClampS |a, b, _| extend(a, b.min(32), true),
        SzextWrapU |a, b, _| extend(a, b & 31, false),
        SzextWrapS |a, b, _| extend(a, b & 31, true),
    }
    NNN_N {
        Lop3 |a, b, c, x| lop3(a, b, c, x),
        ShfLWrap |a, b, c, _| funnel(a, b, c & 31, true),
        ShfLClamp |a, b, c, _| funnel(a, b, c.min(32), true),
        ShfRWrap |a, b, c, _| funnel(a, b, c & 31, false),
        ShfRClamp |a, b, c, _| funnel(a, b, c.min(32), false),
        Prmt |a, b, c, _| select_bytes(a, b, c),
        PrmtF4e |a, b, c, _| permute(a, b, |k| (c & 3) + k),
        PrmtB4e |a, b, c, _| permute(a, b, |k| (c & 3).wrapping_sub(k) & 7),
        PrmtRc8 |a, b, c, _| permute(a, b, |_| c & 3),
        PrmtEcl |a, b, c, _| permute(a, b, |k| k.max(c & 3)),
        PrmtEcr |a, b, c, _| permute(a, b, |k| k.min(c & 3)),
        PrmtRc16 |a, b, c, _| permute(a, b, |k| (c & 1) * 2 + (k & 1)),
        BfeU |a, b, c, _| extract(a as u64, b, c, 32, false) as u32,
        BfeS |a, b, c, _| extract(a as u64, b, c, 32, true) as u32,
        Fns |a, b, c, _| nth_set(a, b, c as i32),
    }
    NNNN_N {
        Bfi |a, b, c, e, _| insert(a as u64, b as u64, c, e, 32) as u32,
    }
    W_W {
        Not64 |a, _| !a,
        Cnot64 |a, _| (a == 0) as u64,
        Brev64 |a, _| a.reverse_bits(),
    }
    W_N {
        Popc64 |a, _| a.count_ones(),
        Clz64 |a, _| a.leading_zeros(),
        BfindU64 |a, _| highest(a),
        BfindS64 |a, _| highest(magnitude(a as i64)),
        BfindShiftU64 |a, _| shift_amount(highest(a), 64),
        BfindShiftS64 |a, _| shift_amount(highest(magnitude(a as i64)), 64),
    }
    WW_W {
        And64 |a, b, _| a & b,
        Or64 |a, b, _| a | b,
        Xor64 |a, b, _| a ^ b,
    }
    WN_W {
        Shl64 |a, b, _| if b > 63 { 0 } else { a << b },
        ShrU64 |a, b, _| if b > 63 { 0 } else { a >> b },
        ShrS64 |a, b, _| (a as i64 >> b.min(63)) as u64,
    }
    WNN_W {
        BfeU64 |a, b, c, _| extract(a, b, c, 64, false),
        BfeS64 |a, b, c, _| extract(a, b, c, 64, true),
    }
    WWNN_W {
        Bfi64 |a, b, c, e, _| insert(a, b, c, e, 64),
    }
}

/// Resolves an instruction on bits; predicates are elsewhere.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    use Type::*;
    let name = i.opcode.as_str();
    let known = matches!(
        name,
        "and"
            | "or"
            | "xor"
            | "not"
            | "cnot"
            | "shl"
            | "shr"
            | "shf"
            | "lop3"
            | "prmt"
            | "popc"
            | "clz"
            | "brev"
            | "bfind"
            | "bfe"
            | "bfi"
            | "fns"
            | "bmsk"
            | "szext"
    );
    if !known
        || l.rest().any(|m| m == "pred")
        || name == "lop3" && l.rest().any(|m| m == "and" || m == "or")
    {
        return Ok(None);
    }
    let mode = l.take(|m| matches!(m, "clamp" | "wrap" | "l" | "r" | "shiftamt").then_some(m));
    let second =
        if name == "shf" { l.take(|m| matches!(m, "clamp" | "wrap").then_some(m)) } else { None };
    let ty = l.ty()?;
    let permutation =
        l.take(|m| matches!(m, "f4e" | "b4e" | "rc8" | "ecl" | "ecr" | "rc16").then_some(m));
    let kind = match (name, ty, mode, second, permutation) {
        ("shf", B32, Some("l"), Some("wrap"), None) => Some(Kind::ShfLWrap),
        ("shf", B32, Some("l"), Some("clamp"), None) => Some(Kind::ShfLClamp),
        ("shf", B32, Some("r"), Some("wrap"), None) => Some(Kind::ShfRWrap),
        ("shf", B32, Some("r"), Some("clamp"), None) => Some(Kind::ShfRClamp),
        ("bmsk", B32, Some("clamp"), None, None) => Some(Kind::BmskClamp),
        ("bmsk", B32, Some("wrap"), None, None) => Some(Kind::BmskWrap),
        ("szext", U32, Some("clamp"), None, None) => Some(Kind::SzextClampU),
        ("szext", S32, Some("clamp"), None, None) => Some(Kind::SzextClampS),
        ("szext", U32, Some("wrap"), None, None) => Some(Kind::SzextWrapU),
        ("szext", S32, Some("wrap"), None, None) => Some(Kind::SzextWrapS),
        ("bfind", U32, Some("shiftamt"), None, None) => Some(Kind::BfindShiftU),
        ("bfind", S32, Some("shiftamt"), None, None) => Some(Kind::BfindShiftS),
        ("bfind", U64, Some("shiftamt"), None, None) => Some(Kind::BfindShiftU64),
        ("bfind", S64, Some("shiftamt"), None, None) => Some(Kind::BfindShiftS64),
        ("prmt", B32, None, None, Some("f4e")) => Some(Kind::PrmtF4e),
        ("prmt", B32, None, None, Some("b4e")) => Some(Kind::PrmtB4e),
        ("prmt", B32, None, None, Some("rc8")) => Some(Kind::PrmtRc8),
        ("prmt", B32, None, None, Some("ecl")) => Some(Kind::PrmtEcl),
        ("prmt", B32, None, None, Some("ecr")) => Some(Kind::PrmtEcr),
        ("prmt", B32, None, None, Some("rc16")) => Some(Kind::PrmtRc16),
        (_, _, None, None, None) => plain(name, ty),
        _ => None,
    };
    let Some(kind) = kind else { return Err(l.unsupported("this combination of modifiers")) };
    let types = if matches!(name, "shl" | "shr" | "bfe") {
        [ty, U32, U32, U32]
    } else {
        [ty, ty, U32, U32]
    };
    let mut rows = kind.shape().rows(l, types)?;
    if name == "lop3" {
        rows.x = l.constant(4)? as u32;
    }
    Ok(Some(Op { kind, rows }))
}

fn plain(name: &str, ty: Type) -> Option<Kind> {
    use Kind::*;
    use Type::{B16, B32, B64, S16, S32, S64, U16, U32, U64};
    Some(match (name, ty) {
        ("and", B16 | B32) => And,
        ("and", B64) => And64,
        ("or", B16 | B32) => Or,
        ("or", B64) => Or64,
        ("xor", B16 | B32) => Xor,
        ("xor", B64) => Xor64,
        ("not", B16) => Not16,
        ("not", B32) => Not,
        ("not", B64) => Not64,
        ("cnot", B16 | B32) => Cnot,
        ("cnot", B64) => Cnot64,
        ("shl", B16) => Shl16,
        ("shl", B32) => Shl,
        ("shl", B64) => Shl64,
        ("shr", B16 | B32 | U16 | U32) => ShrU,
        ("shr", S16) => ShrS16,
        ("shr", S32) => ShrS,
        ("shr", B64 | U64) => ShrU64,
        ("shr", S64) => ShrS64,
        ("lop3", B32) => Lop3,
        ("prmt", B32) => Prmt,
        ("popc", B32) => Popc,
        ("popc", B64) => Popc64,
        ("clz", B32) => Clz,
        ("clz", B64) => Clz64,
        ("brev", B32) => Brev,
        ("brev", B64) => Brev64,
        ("bfind", U32) => BfindU,
        ("bfind", S32) => BfindS,
        ("bfind", U64) => BfindU64,
        ("bfind", S64) => BfindS64,
        ("bfe", U32) => BfeU,
        ("bfe", S32) => BfeS,
        ("bfe", U64) => BfeU64,
        ("bfe", S64) => BfeS64,
        ("bfi", B32) => Bfi,
        ("bfi", B64) => Bfi64,
        ("fns", B32) => Fns,
        _ => return None,
    })
}
