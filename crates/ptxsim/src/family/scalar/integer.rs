//! Integer arithmetic: add, sub, mul, mad, div, rem, min, max, sad, dp4a, dp2a and their kin.

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

/// The low 16 bits, sign-extended.
#[inline(always)]
fn s16(a: u32) -> i32 {
    a as i16 as i32
}

/// The low 24 bits, sign-extended.
#[inline(always)]
fn s24(a: u32) -> i64 {
    ((a << 8) as i32 >> 8) as i64
}

/// The low 24 bits.
#[inline(always)]
fn u24(a: u32) -> u64 {
    (a & 0xFF_FFFF) as u64
}

/// The halves of two packed operands, one after the other.
#[inline(always)]
fn halves(a: u32, b: u32, f: impl Fn(u32, u32) -> u32) -> u32 {
    f(a & 0xFFFF, b & 0xFFFF) & 0xFFFF | f(a >> 16, b >> 16) << 16
}

#[inline(always)]
fn hi_s32(a: u32, b: u32) -> u32 {
    ((a as i32 as i64 * b as i32 as i64) >> 32) as u32
}

#[inline(always)]
fn hi_u32(a: u32, b: u32) -> u32 {
    ((a as u64 * b as u64) >> 32) as u32
}

#[inline(always)]
fn hi_s64(a: u64, b: u64) -> u64 {
    ((a as i64 as i128 * b as i64 as i128) >> 64) as u64
}

#[inline(always)]
fn hi_u64(a: u64, b: u64) -> u64 {
    ((a as u128 * b as u128) >> 64) as u64
}

/// The dot product of 4 bytes each, or of the halves of `a` with 2 bytes of `b` from byte `at` on, plus `c`.
#[inline(always)]
fn dot(a: u32, b: u32, c: u32, signed_a: bool, signed_b: bool, halves: Option<u32>) -> u32 {
    let part = |v: u32, bits: u32, k: u32, signed: bool| {
        let shifted = v << (32 - bits * (k + 1));
        if signed { shifted as i32 >> (32 - bits) } else { (shifted >> (32 - bits)) as i32 }
    };
    let mut sum = c as i32;
    match halves {
        None => {
            for k in 0..4 {
                sum =
                    sum.wrapping_add(part(a, 8, k, signed_a).wrapping_mul(part(b, 8, k, signed_b)));
            }
        }
        Some(first) => {
            for k in 0..2 {
                let product =
                    part(a, 16, k, signed_a).wrapping_mul(part(b, 8, first + k, signed_b));
                sum = sum.wrapping_add(product);
            }
        }
    }
    sum as u32
}

operations! {
    N_N {
        NegN |a, _| a.wrapping_neg(),
        Neg16 |a, _| a.wrapping_neg() & 0xFFFF,
        AbsS32 |a, _| (a as i32).wrapping_abs() as u32,
        Abs16 |a, _| s16(a).wrapping_abs() as u32 & 0xFFFF,
    }
    NN_N {
        Add |a, b, _| a.wrapping_add(b),
        Add16 |a, b, _| a.wrapping_add(b) & 0xFFFF,
        Add16x2 |a, b, _| halves(a, b, |a, b| a.wrapping_add(b)),
        AddSat |a, b, _| (a as i32).saturating_add(b as i32) as u32,
        Sub |a, b, _| a.wrapping_sub(b),
        Sub16 |a, b, _| a.wrapping_sub(b) & 0xFFFF,
        Sub16x2 |a, b, _| halves(a, b, |a, b| a.wrapping_sub(b)),
        SubSat |a, b, _| (a as i32).saturating_sub(b as i32) as u32,
        Mul |a, b, _| a.wrapping_mul(b),
        Mul16 |a, b, _| a.wrapping_mul(b) & 0xFFFF,
        MulHiS |a, b, _| hi_s32(a, b),
        MulHiU |a, b, _| hi_u32(a, b),
        MulHiS16 |a, b, _| (s16(a) * s16(b)) as u32 >> 16,
        MulHiU16 |a, b, _| a.wrapping_mul(b) >> 16,
        MulWideS16 |a, b, _| (s16(a) * s16(b)) as u32,
        MulWideU16 |a, b, _| a.wrapping_mul(b),
        Mul24LoS |a, b, _| s24(a).wrapping_mul(s24(b)) as u32,
        Mul24LoU |a, b, _| (u24(a) * u24(b)) as u32,
        Mul24HiS |a, b, _| (s24(a).wrapping_mul(s24(b)) >> 16) as u32,
        Mul24HiU |a, b, _| ((u24(a) * u24(b)) >> 16) as u32,
        MinS |a, b, _| (a as i32).min(b as i32) as u32,
        MinU |a, b, _| a.min(b),
        MinS16 |a, b, _| s16(a).min(s16(b)) as u32 & 0xFFFF,
        MinS16x2 |a, b, _| halves(a, b, |a, b| s16(a).min(s16(b)) as u32),
        MinU16x2 |a, b, _| halves(a, b, |a, b| a.min(b)),
        MinSRelu |a, b, _| (a as i32).min(b as i32).max(0) as u32,
        MinS16x2Relu |a, b, _| halves(a, b, |a, b| s16(a).min(s16(b)).max(0) as u32),
        MaxS |a, b, _| (a as i32).max(b as i32) as u32,
        MaxU |a, b, _| a.max(b),
        MaxS16 |a, b, _| s16(a).max(s16(b)) as u32 & 0xFFFF,
        MaxS16x2 |a, b, _| halves(a, b, |a, b| s16(a).max(s16(b)) as u32),
        MaxU16x2 |a, b, _| halves(a, b, |a, b| a.max(b)),
        MaxSRelu |a, b, _| (a as i32).max(b as i32).max(0) as u32,
        MaxS16x2Relu |a, b, _| halves(a, b, |a, b| s16(a).max(s16(b)).max(0) as u32),
        DivS |a, b, _| if b == 0 { !0 } else { (a as i32).wrapping_div(b as i32) as u32 },
        DivU |a, b, _| a.checked_div(b).unwrap_or(!0),
        DivS16 |a, b, _| if b == 0 { 0xFFFF } else { s16(a).wrapping_div(s16(b)) as u32 & 0xFFFF },
        DivU16 |a, b, _| a.checked_div(b).unwrap_or(0xFFFF),
        RemS |a, b, _| if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u32 },
        RemU |a, b, _| a.checked_rem(b).unwrap_or(a),
        RemS16 |a, b, _| if b == 0 { a } else { s16(a).wrapping_rem(s16(b)) as u32 & 0xFFFF },
    }
    NNN_N {
        Mad |a, b, c, _| a.wrapping_mul(b).wrapping_add(c),
        Mad16 |a, b, c, _| a.wrapping_mul(b).wrapping_add(c) & 0xFFFF,
        MadHiS |a, b, c, _| hi_s32(a, b).wrapping_add(c),
        MadHiU |a, b, c, _| hi_u32(a, b).wrapping_add(c),
        MadHiSat |a, b, c, _| (hi_s32(a, b) as i32).saturating_add(c as i32) as u32,
        MadHiS16 |a, b, c, _| ((s16(a) * s16(b)) as u32 >> 16).wrapping_add(c) & 0xFFFF,
        MadHiU16 |a, b, c, _| (a.wrapping_mul(b) >> 16).wrapping_add(c) & 0xFFFF,
        MadWideS16 |a, b, c, _| ((s16(a) * s16(b)) as u32).wrapping_add(c),
        Mad24LoS |a, b, c, _| (s24(a).wrapping_mul(s24(b)) as u32).wrapping_add(c),
        Mad24LoU |a, b, c, _| ((u24(a) * u24(b)) as u32).wrapping_add(c),
        Mad24HiS |a, b, c, _| ((s24(a).wrapping_mul(s24(b)) >> 16) as u32).wrapping_add(c),
        Mad24HiSat |a, b, c, _| ((s24(a).wrapping_mul(s24(b)) >> 16) as i32).saturating_add(c as i32) as u32,
        Mad24HiU |a, b, c, _| (((u24(a) * u24(b)) >> 16) as u32).wrapping_add(c),
        SadS |a, b, c, _| (a as i32).abs_diff(b as i32).wrapping_add(c),
        SadU |a, b, c, _| a.abs_diff(b).wrapping_add(c),
        SadS16 |a, b, c, _| s16(a).abs_diff(s16(b)).wrapping_add(c) & 0xFFFF,
        SadU16 |a, b, c, _| a.abs_diff(b).wrapping_add(c) & 0xFFFF,
        Dp4a |a, b, c, x| dot(a, b, c, x & 1 != 0, x & 2 != 0, None),
        Dp2aLo |a, b, c, x| dot(a, b, c, x & 1 != 0, x & 2 != 0, Some(0)),
        Dp2aHi |a, b, c, x| dot(a, b, c, x & 1 != 0, x & 2 != 0, Some(2)),
    }
    NN_W {
        MulWideS |a, b, _| (a as i32 as i64).wrapping_mul(b as i32 as i64) as u64,
        MulWideU |a, b, _| a as u64 * b as u64,
    }
    NNW_W {
        MadWideS |a, b, c, _| ((a as i32 as i64).wrapping_mul(b as i32 as i64) as u64).wrapping_add(c),
        MadWideU |a, b, c, _| (a as u64 * b as u64).wrapping_add(c),
    }
    W_W {
        Neg64 |a, _| a.wrapping_neg(),
        Abs64 |a, _| (a as i64).wrapping_abs() as u64,
    }
    WW_W {
        Add64 |a, b, _| a.wrapping_add(b),
        Sub64 |a, b, _| a.wrapping_sub(b),
        Mul64 |a, b, _| a.wrapping_mul(b),
        MulHiS64 |a, b, _| hi_s64(a, b),
        MulHiU64 |a, b, _| hi_u64(a, b),
        MinS64 |a, b, _| (a as i64).min(b as i64) as u64,
        MinU64 |a, b, _| a.min(b),
        MaxS64 |a, b, _| (a as i64).max(b as i64) as u64,
        MaxU64 |a, b, _| a.max(b),
        DivS64 |a, b, _| if b == 0 { !0 } else { (a as i64).wrapping_div(b as i64) as u64 },
        DivU64 |a, b, _| a.checked_div(b).unwrap_or(!0),
        RemS64 |a, b, _| if b == 0 { a } else { (a as i64).wrapping_rem(b as i64) as u64 },
        RemU64 |a, b, _| a.checked_rem(b).unwrap_or(a),
    }
    WWW_W {
        Mad64 |a, b, c, _| a.wrapping_mul(b).wrapping_add(c),
        MadHiS64 |a, b, c, _| hi_s64(a, b).wrapping_add(c),
        MadHiU64 |a, b, c, _| hi_u64(a, b).wrapping_add(c),
        SadS64 |a, b, c, _| (a as i64).abs_diff(b as i64).wrapping_add(c),
        SadU64 |a, b, c, _| a.abs_diff(b).wrapping_add(c),
    }
}

/// Which half of a product is meant.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Lo,
    Hi,
    Wide,
}

/// Resolves an instruction whose type is an integer.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    use Type::*;
    let name = i.opcode.as_str();
    let known = matches!(
        name,
        "add"
            | "sub"
            | "mul"
            | "mad"
            | "mul24"
            | "mad24"
            | "div"
            | "rem"
            | "abs"
            | "neg"
            | "min"
            | "max"
            | "sad"
            | "dp4a"
            | "dp2a"
    );
    let integer = |m: &str| Type::parse(m).filter(|t| t.is_integer() || matches!(t, U16x2 | S16x2));
    if !known || i.modifiers.iter().any(|m| m == "cc") || !l.rest().any(|m| integer(m).is_some()) {
        return Ok(None);
    }
    if name.starts_with("dp") {
        return dot_product(name, l).map(Some);
    }
    let part = l.one_of(&[("lo", Part::Lo), ("hi", Part::Hi), ("wide", Part::Wide)]);
    let (sat, relu) = (l.flag("sat"), l.flag("relu"));
    let Some(ty) = l.take(integer) else { return Ok(None) };
    let kind = plain(name, part, ty)
        .and_then(|kind| Some(if sat { saturating(kind, ty)? } else { kind }))
        .and_then(|kind| Some(if relu { rectified(kind)? } else { kind }));
    let Some(kind) = kind else { return Err(l.unsupported("this combination of modifiers")) };
    // A shift or a wide addend has a type of its own, but constants are taken as wide as their row.
    let last = if part == Some(Part::Wide) { if ty.bits() == 16 { B32 } else { B64 } } else { ty };
    let rows = kind.shape().rows(l, [ty, ty, last, ty])?;
    Ok(Some(Op { kind, rows }))
}

fn dot_product(name: &str, l: &mut Lowering) -> Result<Op> {
    let high = if name == "dp2a" { l.one_of(&[("lo", false), ("hi", true)]) } else { Some(false) };
    let (a, b) = (l.ty()?, l.ty()?);
    let kind = match (name, high) {
        ("dp4a", _) => Kind::Dp4a,
        (_, Some(false)) => Kind::Dp2aLo,
        (_, Some(true)) => Kind::Dp2aHi,
        _ => return Err(l.unsupported(".lo or .hi is missing")),
    };
    let mut rows = kind.shape().rows(l, [Type::B32; 4])?;
    rows.x = (a == Type::S32) as u32 | ((b == Type::S32) as u32) << 1;
    Ok(Op { kind, rows })
}

fn saturating(kind: Kind, ty: Type) -> Option<Kind> {
    Some(match (kind, ty) {
        (Kind::Add, Type::S32) => Kind::AddSat,
        (Kind::Sub, Type::S32) => Kind::SubSat,
        (Kind::MadHiS, Type::S32) => Kind::MadHiSat,
        (Kind::Mad24HiS, Type::S32) => Kind::Mad24HiSat,
        _ => return None,
    })
}

fn rectified(kind: Kind) -> Option<Kind> {
    Some(match kind {
        Kind::MinS => Kind::MinSRelu,
        Kind::MaxS => Kind::MaxSRelu,
        Kind::MinS16x2 => Kind::MinS16x2Relu,
        Kind::MaxS16x2 => Kind::MaxS16x2Relu,
        _ => return None,
    })
}

fn plain(name: &str, part: Option<Part>, ty: Type) -> Option<Kind> {
    use Kind::*;
    use Type::{S16, S16x2, S32, S64, U16, U16x2, U32, U64};
    let (lo, hi, wide) = (Some(Part::Lo), Some(Part::Hi), Some(Part::Wide));
    Some(match (name, part, ty) {
        ("add", None, S32 | U32) => Add,
        ("add", None, S16 | U16) => Add16,
        ("add", None, S16x2 | U16x2) => Add16x2,
        ("add", None, S64 | U64) => Add64,
        ("sub", None, S32 | U32) => Sub,
        ("sub", None, S16 | U16) => Sub16,
        ("sub", None, S16x2 | U16x2) => Sub16x2,
        ("sub", None, S64 | U64) => Sub64,
        ("mul", p, S32 | U32) if p == lo => Mul,
        ("mul", p, S16 | U16) if p == lo => Mul16,
        ("mul", p, S64 | U64) if p == lo => Mul64,
        ("mul", p, S32) if p == hi => MulHiS,
        ("mul", p, U32) if p == hi => MulHiU,
        ("mul", p, S16) if p == hi => MulHiS16,
        ("mul", p, U16) if p == hi => MulHiU16,
        ("mul", p, S64) if p == hi => MulHiS64,
        ("mul", p, U64) if p == hi => MulHiU64,
        ("mul", p, S16) if p == wide => MulWideS16,
        ("mul", p, U16) if p == wide => MulWideU16,
        ("mul", p, S32) if p == wide => MulWideS,
        ("mul", p, U32) if p == wide => MulWideU,
        ("mul24", p, S32) if p == lo => Mul24LoS,
        ("mul24", p, U32) if p == lo => Mul24LoU,
        ("mul24", p, S32) if p == hi => Mul24HiS,
        ("mul24", p, U32) if p == hi => Mul24HiU,
        ("mad", p, S32 | U32) if p == lo => Mad,
        ("mad", p, S16 | U16) if p == lo => Mad16,
        ("mad", p, S64 | U64) if p == lo => Mad64,
        ("mad", p, S32) if p == hi => MadHiS,
        ("mad", p, U32) if p == hi => MadHiU,
        ("mad", p, S16) if p == hi => MadHiS16,
        ("mad", p, U16) if p == hi => MadHiU16,
        ("mad", p, S64) if p == hi => MadHiS64,
        ("mad", p, U64) if p == hi => MadHiU64,
        ("mad", p, S16) if p == wide => MadWideS16,
        ("mad", p, U16) if p == wide => Mad,
        ("mad", p, S32) if p == wide => MadWideS,
        ("mad", p, U32) if p == wide => MadWideU,
        ("mad24", p, S32) if p == lo => Mad24LoS,
        ("mad24", p, U32) if p == lo => Mad24LoU,
        ("mad24", p, S32) if p == hi => Mad24HiS,
        ("mad24", p, U32) if p == hi => Mad24HiU,
        ("div", None, S32) => DivS,
        ("div", None, U32) => DivU,
        ("div", None, S16) => DivS16,
        ("div", None, U16) => DivU16,
        ("div", None, S64) => DivS64,
        ("div", None, U64) => DivU64,
        ("rem", None, S32) => RemS,
        ("rem", None, U32 | U16) => RemU,
        ("rem", None, S16) => RemS16,
        ("rem", None, S64) => RemS64,
        ("rem", None, U64) => RemU64,
        ("abs", None, S32) => AbsS32,
        ("abs", None, S16) => Abs16,
        ("abs", None, S64) => Abs64,
        ("neg", None, S32) => NegN,
        ("neg", None, S16) => Neg16,
        ("neg", None, S64) => Neg64,
        ("min", None, S32) => MinS,
        ("min", None, U32 | U16) => MinU,
        ("min", None, S16) => MinS16,
        ("min", None, S64) => MinS64,
        ("min", None, U64) => MinU64,
        ("min", None, S16x2) => MinS16x2,
        ("min", None, U16x2) => MinU16x2,
        ("max", None, S32) => MaxS,
        ("max", None, U32 | U16) => MaxU,
        ("max", None, S16) => MaxS16,
        ("max", None, S64) => MaxS64,
        ("max", None, U64) => MaxU64,
        ("max", None, S16x2) => MaxS16x2,
        ("max", None, U16x2) => MaxU16x2,
        ("sad", None, S32) => SadS,
        ("sad", None, U32) => SadU,
        ("sad", None, S16) => SadS16,
        ("sad", None, U16) => SadU16,
        ("sad", None, S64) => SadS64,
        ("sad", None, U64) => SadU64,
        _ => return None,
    })
}
