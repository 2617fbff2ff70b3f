//! Comparisons and choices: setp, set, selp, slct, testp.

use super::shapes::multiversion;
use crate::ast::{Instruction, Operand};
use crate::error::Result;
use crate::exec::Registers;
use crate::num::convert::{bf16_to_f32, f16_to_f32};
use crate::num::single::flush;
use crate::program::{Lowering, P, PSource, R32, R64, Type};

/// What of "less, equal, greater, unordered" makes a comparison true, as all ones or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relation {
    less: u32,
    equal: u32,
    greater: u32,
    unordered: u32,
}

impl Relation {
    fn parse(name: &str) -> Option<Relation> {
        let (less, equal, greater, unordered) = match name {
            "eq" => (0, 1, 0, 0),
            "ne" => (1, 0, 1, 0),
            "lt" | "lo" => (1, 0, 0, 0),
            "le" | "ls" => (1, 1, 0, 0),
            "gt" | "hi" => (0, 0, 1, 0),
            "ge" | "hs" => (0, 1, 1, 0),
            "equ" => (0, 1, 0, 1),
            "neu" => (1, 0, 1, 1),
            "ltu" => (1, 0, 0, 1),
            "leu" => (1, 1, 0, 1),
            "gtu" => (0, 0, 1, 1),
            "geu" => (0, 1, 1, 1),
            "num" => (1, 1, 1, 0),
            "nan" => (0, 0, 0, 1),
            _ => return None,
        };
        let all = |bit: u32| if bit == 1 { !0 } else { 0 };
        Some(Relation {
            less: all(less),
            equal: all(equal),
            greater: all(greater),
            unordered: all(unordered),
        })
    }
}

/// How operands are read for a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    S16,
    S32,
    U32,
    S64,
    U64,
    F16,
    Bf16,
    F32,
    F32Ftz,
    F64,
    /// The upper halves of packed operands.
    F16High,
    Bf16High,
}

/// `setp`: boxed, for it has more rows than others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compare {
    relation: Relation,
    kind: As,
    a: u16,
    b: u16,
    combine: Combine,
    c: PSource,
}

/// How a comparison is combined with a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Combine {
    None,
    And,
    Or,
    Xor,
}

impl Combine {
    #[inline(always)]
    fn with(self, t: u32, c: u32) -> u32 {
        match self {
            Combine::None => t,
            Combine::And => t & c,
            Combine::Or => t | c,
            Combine::Xor => t ^ c,
        }
    }
}

/// A resolved operation.
#[derive(Debug)]
pub(crate) enum Op {
    /// `setp` with one destination.
    One(Box<Compare>, P),
    /// With the second, which gets the opposite.
    Two(Box<Compare>, P, P),
    /// Packed: low halves to the first destination, high halves to the second.
    Packed(Box<[Compare; 2]>, P, P),
    /// `set`: true and false as values of the destination.
    Set(Box<Compare>, R32, u32),
    /// `set` of packed halves.
    SetPacked(Box<[Compare; 2]>, R32, u32),
    /// `selp`
    Select32(R32, R32, R32, PSource),
    /// …
    Select64(R64, R64, R64, PSource),
    /// `slct`: by the sign of an integer or a float.
    Sign32(R32, R32, R32, R32, As2),
    /// …
    Sign64(R64, R64, R64, R32, As2),
    /// `testp`
    Test32(P, R32, Class),
    /// …
    Test64(P, R64, Class),
}

/// How `slct` reads its third source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As2 {
    S32,
    F32,
    F32Ftz,
}

/// What `testp` asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Finite,
    Infinite,
    Number,
    NotANumber,
    Normal,
    Subnormal,
}

#[inline(always)]
fn gather<T: Copy + PartialOrd, S: Copy>(
    a: &[S; 32],
    b: &[S; 32],
    r: Relation,
    f: impl Fn(S) -> T,
) -> u32 {
    let mut bits = [0u32; 32];
    for lane in 0..32 {
        let (a, b) = (f(a[lane]), f(b[lane]));
        let all = |t: bool| if t { !0 } else { 0 };
        let (less, equal, greater) = (all(a < b), all(a == b), all(a > b));
        let unordered = !(less | equal | greater);
        let some = less & r.less | equal & r.equal | greater & r.greater | unordered & r.unordered;
        bits[lane] = some & 1 << lane;
    }
    bits.iter().fold(0, |all, bit| all | bit)
}

#[inline(always)]
fn compare(registers: &Registers, op: &Compare) -> u32 {
    let (n, w) = (|r: u16| registers.get32(R32(r)), |r: u16| registers.get64(R64(r)));
    let Compare { relation: r, a, b, .. } = *op;
    let half = |bits: u32| f32::from_bits(f16_to_f32(bits as u16));
    let brain = |bits: u32| f32::from_bits(bf16_to_f32(bits as u16));
    match op.kind {
        As::S32 => gather(n(a), n(b), r, |v| v as i32),
        As::U32 => gather(n(a), n(b), r, |v| v),
        As::F32 => gather(n(a), n(b), r, f32::from_bits),
        As::F32Ftz => gather(n(a), n(b), r, |v| f32::from_bits(flush(v))),
        As::S64 => gather(w(a), w(b), r, |v| v as i64),
        As::U64 => gather(w(a), w(b), r, |v| v),
        As::F64 => gather(w(a), w(b), r, f64::from_bits),
        As::S16 => gather(n(a), n(b), r, |v| v as i16),
        As::F16 => gather(n(a), n(b), r, half),
        As::Bf16 => gather(n(a), n(b), r, brain),
        As::F16High => gather(n(a), n(b), r, |v| half(v >> 16)),
        As::Bf16High => gather(n(a), n(b), r, |v| brain(v >> 16)),
    }
}

#[inline(always)]
fn body(op: &Op, registers: &mut Registers, mask: u32) {
    let both = |registers: &Registers, c: &Compare| {
        let (t, q) = (compare(registers, c), registers.predicate(c.c));
        (c.combine.with(t, q), c.combine.with(!t, q))
    };
    match op {
        Op::One(c, p) => {
            let (yes, _) = both(registers, c);
            registers.set_predicate(*p, yes, mask);
        }
        Op::Two(c, p, q) => {
            let (yes, no) = both(registers, c);
            registers.set_predicate(*p, yes, mask);
            registers.set_predicate(*q, no, mask);
        }
        Op::Packed(c, p, q) => {
            let (low, high) = (both(registers, &c[0]).0, both(registers, &c[1]).0);
            registers.set_predicate(*p, low, mask);
            registers.set_predicate(*q, high, mask);
        }
        Op::Set(c, d, truth) => {
            let (yes, _) = both(registers, c);
            registers.set32(
                *d,
                std::array::from_fn(|k| if yes >> k & 1 == 1 { *truth } else { 0 }),
                mask,
            );
        }
        Op::SetPacked(c, d, truth) => {
            let (low, high) = (both(registers, &c[0]).0, both(registers, &c[1]).0);
            let pick = |bits: u32, k: usize| if bits >> k & 1 == 1 { *truth } else { 0 };
            registers.set32(*d, std::array::from_fn(|k| pick(low, k) | pick(high, k) << 16), mask);
        }
        Op::Select32(d, a, b, p) => {
            let p = registers.predicate(*p);
            let (a, b) = (registers.get32(*a), registers.get32(*b));
            let mut out = [0; 32];
            for k in 0..32 {
                out[k] = if p >> k & 1 == 1 { a[k] } else { b[k] };
            }
            registers.set32(*d, out, mask);
        }
        Op::Select64(d, a, b, p) => {
            let p = registers.predicate(*p);
            let (a, b) = (registers.get64(*a), registers.get64(*b));
            let mut out = [0; 32];
            for k in 0..32 {
                out[k] = if p >> k & 1 == 1 { a[k] } else { b[k] };
            }
            registers.set64(*d, out, mask);
        }
        Op::Sign32(d, a, b, c, how) => {
            let (a, b, c) = (registers.get32(*a), registers.get32(*b), registers.get32(*c));
            let out = std::array::from_fn(|k| if positive(c[k], *how) { a[k] } else { b[k] });
            registers.set32(*d, out, mask);
        }
        Op::Sign64(d, a, b, c, how) => {
            let (a, b, c) = (registers.get64(*a), registers.get64(*b), registers.get32(*c));
            let out = std::array::from_fn(|k| if positive(c[k], *how) { a[k] } else { b[k] });
            registers.set64(*d, out, mask);
        }
        Op::Test32(p, a, class) => {
            let a = registers.get32(*a);
            let bits = (0..32)
                .fold(0, |m, k| m | (test(f32::from_bits(a[k]).classify(), *class) as u32) << k);
            registers.set_predicate(*p, bits, mask);
        }
        Op::Test64(p, a, class) => {
            let a = registers.get64(*a);
            let bits = (0..32)
                .fold(0, |m, k| m | (test(f64::from_bits(a[k]).classify(), *class) as u32) << k);
            registers.set_predicate(*p, bits, mask);
        }
    }
}

multiversion! {
    /// Executes it.
    pub(crate) fn run(op: &Op, registers: &mut Registers, mask: u32,) = body
}

#[inline(always)]
fn positive(c: u32, how: As2) -> bool {
    match how {
        As2::S32 => c as i32 >= 0,
        As2::F32 => f32::from_bits(c) >= 0.0,
        As2::F32Ftz => f32::from_bits(flush(c)) >= 0.0,
    }
}

/// Zero is a normal number to `testp`.
fn test(category: std::num::FpCategory, class: Class) -> bool {
    use std::num::FpCategory::*;
    match class {
        Class::Finite => !matches!(category, Nan | Infinite),
        Class::Infinite => category == Infinite,
        Class::Number => category != Nan,
        Class::NotANumber => category == Nan,
        Class::Normal => matches!(category, Normal | Zero),
        Class::Subnormal => category == Subnormal,
    }
}

fn reading(ty: Type, ftz: bool) -> Option<As> {
    use Type::*;
    Some(match (ty, ftz) {
        (S16, false) => As::S16,
        (S32, false) => As::S32,
        (B16 | U16 | B32 | U32, false) => As::U32,
        (S64, false) => As::S64,
        (B64 | U64, false) => As::U64,
        (F16 | F16x2, false) => As::F16,
        (Bf16 | Bf16x2, false) => As::Bf16,
        (F32, false) => As::F32,
        (F32, true) => As::F32Ftz,
        (F64, false) => As::F64,
        _ => return None,
    })
}

/// Resolves a comparison or choice.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    match i.opcode.as_str() {
        "setp" | "set" => comparison(i.opcode == "setp", l).map(Some),
        "selp" => {
            let ty = l.ty()?;
            let p = l.source_predicate(3)?;
            Ok(Some(match ty.bits() {
                16 | 32 => {
                    Op::Select32(l.destination32(0)?, l.source32(1, ty)?, l.source32(2, ty)?, p)
                }
                64 => Op::Select64(l.destination64(0)?, l.source64(1, ty)?, l.source64(2, ty)?, p),
                _ => return Err(l.unsupported("its type")),
            }))
        }
        "slct" => {
            let ftz = l.flag("ftz");
            let (ty, by) = (l.ty()?, l.ty()?);
            let how = match by {
                Type::S32 if !ftz => As2::S32,
                Type::F32 if ftz => As2::F32Ftz,
                Type::F32 => As2::F32,
                _ => return Err(l.unsupported("its types")),
            };
            let c = l.source32(3, by)?;
            Ok(Some(match ty.bits() {
                16 | 32 => {
                    Op::Sign32(l.destination32(0)?, l.source32(1, ty)?, l.source32(2, ty)?, c, how)
                }
                _ => {
                    Op::Sign64(l.destination64(0)?, l.source64(1, ty)?, l.source64(2, ty)?, c, how)
                }
            }))
        }
        "testp" => {
            let class = l.one_of(&[
                ("finite", Class::Finite),
                ("infinite", Class::Infinite),
                ("number", Class::Number),
                ("notanumber", Class::NotANumber),
                ("normal", Class::Normal),
                ("subnormal", Class::Subnormal),
            ]);
            let Some(class) = class else { return Err(l.unsupported("what it tests")) };
            let p = l.destination_predicate(0)?;
            Ok(Some(match l.ty()? {
                Type::F32 => Op::Test32(p, l.source32(1, Type::F32)?, class),
                Type::F64 => Op::Test64(p, l.source64(1, Type::F64)?, class),
                _ => return Err(l.unsupported("its type")),
            }))
        }
        _ => Ok(None),
    }
}

fn comparison(predicate: bool, l: &mut Lowering) -> Result<Op> {
    let Some(relation) = l.take(Relation::parse) else {
        return Err(l.unsupported("its comparison"));
    };
    let combine = l.one_of(&[("and", Combine::And), ("or", Combine::Or), ("xor", Combine::Xor)]);
    let ftz = l.flag("ftz");
    let result = if predicate { None } else { Some(l.ty()?) };
    let ty = l.ty()?;
    let Some(kind) = reading(ty, ftz) else { return Err(l.unsupported(format!("type {ty:?}"))) };
    let (a, b) = match ty.bits() {
        64 => (l.source64(1, ty)?.0, l.source64(2, ty)?.0),
        _ => (l.source32(1, ty)?.0, l.source32(2, ty)?.0),
    };
    let c = match combine {
        Some(_) => l.source_predicate(3)?,
        None => crate::program::FALSE,
    };
    let op = Compare { relation, kind, a, b, combine: combine.unwrap_or(Combine::None), c };
    let packed = matches!(ty, Type::F16x2 | Type::Bf16x2);
    let high = if kind == As::F16 { As::F16High } else { As::Bf16High };
    if let Some(result) = result {
        let truth = match result {
            Type::U32 | Type::S32 => !0,
            Type::U16 | Type::S16 => 0xFFFF,
            Type::F32 => 1.0f32.to_bits(),
            Type::F16 | Type::F16x2 => 0x3C00,
            Type::Bf16 | Type::Bf16x2 => 0x3F80,
            _ => return Err(l.unsupported(format!("result {result:?}"))),
        };
        let d = l.destination32(0)?;
        return match (packed, result.bits()) {
            (true, 32) => {
                let truth = if truth == !0 { 0xFFFF } else { truth };
                Ok(Op::SetPacked(Box::new([op, Compare { kind: high, ..op }]), d, truth))
            }
            (false, _) if !matches!(result, Type::F16x2 | Type::Bf16x2) => {
                Ok(Op::Set(Box::new(op), d, truth))
            }
            _ => Err(l.unsupported("these types")),
        };
    }
    let (p, q) = l.pair(0)?;
    let p = l.write_predicate(p)?;
    Ok(match (packed, q) {
        (true, Some(q)) => {
            Op::Packed(Box::new([op, Compare { kind: high, ..op }]), p, l.write_predicate(q)?)
        }
        (false, Some(Operand::Sink)) | (false, None) => Op::One(Box::new(op), p),
        (false, Some(q)) => Op::Two(Box::new(op), p, l.write_predicate(q)?),
        (true, None) => return Err(l.unsupported("one destination for two halves")),
    })
}
