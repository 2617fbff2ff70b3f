//! Conversions: cvt.

use super::shapes::{Rows, multiversion, operations};
use crate::ast::Instruction;
use crate::error::Result;
use crate::exec::Registers;
use crate::num::Rounding;
use crate::num::convert::{
    Float, Modifiers, bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16, f32_to_tf32,
};
use crate::num::integer::Integer;
use crate::num::packed::{Narrow, from_ue8m0, to_ue8m0};
use crate::program::{Lowering, R32, R64, Reg, Type};

/// A resolved conversion.
#[derive(Debug)]
pub(crate) enum Op {
    /// One of the common ones.
    Fast(Kind, Rows),
    /// Any other.
    Any(Box<Any>),
}

/// A conversion of any types between registers of any width.
#[derive(Debug)]
pub(crate) struct Any {
    d: Reg,
    /// Bits of the destination that are kept.
    bits: u32,
    a: Reg,
    /// Second source of packing conversions.
    b: Option<R32>,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Integers(Integer, Integer, bool),
    Floats(Float, Float, Modifiers),
    ToInteger(Float, Integer, Rounding, bool),
    FromInteger(Integer, Float, Rounding, bool),
    /// Two floats of 32 bits to a packed pair of 16 bits: high, low.
    PackFloats(Float, Modifiers),
    PackNarrow(Narrow, bool),
    /// A packed pair of `.f16` to narrow.
    Narrow(Narrow, bool),
    Unpack(Narrow, bool),
    PackPowers(Rounding, bool),
    /// A packed pair of `.bf16` to powers of two.
    Powers(Rounding, bool),
    UnpackPowers,
}

operations! {
    N_N {
        F32S32 |a, _| (a as i32 as f32).to_bits(),
        F32U32 |a, _| (a as f32).to_bits(),
        S32F32 |a, _| f32::from_bits(a) as i32 as u32,
        U32F32 |a, _| f32::from_bits(a) as u32,
        F16F32 |a, _| f32_to_f16(a, Rounding::Nearest) as u32,
        F32F16 |a, _| f16_to_f32(a as u16),
        Bf16F32 |a, _| f32_to_bf16(a, Rounding::Nearest) as u32,
        F32Bf16 |a, _| bf16_to_f32(a as u16),
        Tf32F32 |a, _| f32_to_tf32(a, Rounding::NearestAway, false),
        Low16 |a, _| a & 0xFFFF,
        Low8 |a, _| a & 0xFF,
        Same |a, _| a,
        S32S16 |a, _| a as i16 as u32,
        S32S8 |a, _| a as i8 as u32,
    }
    NN_N {
        F16x2F32 |a, b, _| {
            (f32_to_f16(a, Rounding::Nearest) as u32) << 16 | f32_to_f16(b, Rounding::Nearest) as u32
        },
        Bf16x2F32 |a, b, _| {
            (f32_to_bf16(a, Rounding::Nearest) as u32) << 16 | f32_to_bf16(b, Rounding::Nearest) as u32
        },
    }
    W_N {
        Low32 |a, _| a as u32,
    }
    N_W {
        U64U32 |a, _| a as u64,
        S64S32 |a, _| a as i32 as u64,
        F64F32 |a, _| crate::num::convert::f32_to_f64(a),
    }
}

#[inline(always)]
fn one(what: What, a: u64, b: u32) -> u64 {
    let float = |bits: u32| f32::from_bits(bits) as f64;
    let half = |bits: u64| Float::F16.widen(bits & 0xFFFF);
    match what {
        What::Integers(from, to, false) => to.wrap(from.value(a)),
        What::Integers(from, to, true) => to.saturate(from.value(a)),
        What::Floats(from, to, modifiers) => from.convert(to, a, modifiers),
        What::ToInteger(from, to, rounding, ftz) => from.to_integer(to, a, rounding, ftz),
        What::FromInteger(from, to, rounding, sat) => {
            let bits = to.from_integer(from.value(a), rounding);
            let limit = Modifiers { sat: true, ..Modifiers::default() };
            if sat { to.convert(to, bits, limit) } else { bits }
        }
        What::PackFloats(to, m) => {
            Float::F32.convert(to, a, m) << 16 | Float::F32.convert(to, b as u64, m)
        }
        What::PackNarrow(to, relu) => to.pack(float(a as u32), float(b), relu) as u64,
        What::Narrow(to, relu) => to.pack(half(a >> 16), half(a), relu) as u64,
        What::Unpack(from, relu) => from.unpack_f16x2(a as u16, relu) as u64,
        What::PackPowers(rounding, sat) => {
            let power = |bits: u32| to_ue8m0(f32::from_bits(bits), rounding, sat) as u64;
            power(a as u32) << 8 | power(b)
        }
        What::Powers(rounding, sat) => {
            let power = |bits: u64| {
                to_ue8m0(f32::from_bits(bf16_to_f32(bits as u16)), rounding, sat) as u64
            };
            power(a >> 16) << 8 | power(a)
        }
        What::UnpackPowers => {
            (from_ue8m0((a >> 8) as u8) as u64) << 16 | from_ue8m0(a as u8) as u64
        }
    }
}

#[inline(always)]
fn convert(op: &Any, registers: &mut Registers, mask: u32) {
    let a: [u64; 32] = match op.a {
        Reg::R32(r) => registers.get32(r).map(u64::from),
        Reg::R64(r) | Reg::R128(r) => *registers.get64(r),
        Reg::P(_) => unreachable!("lowering takes no predicate"),
    };
    let b = op.b.map_or([0; 32], |r| *registers.get32(r));
    let keep = if op.bits == 64 { !0 } else { (1u64 << op.bits) - 1 };
    let mut out = [0; 32];
    for lane in 0..32 {
        out[lane] = one(op.what, a[lane], b[lane]) & keep;
    }
    match op.d {
        Reg::R32(r) => registers.set32(r, out.map(|v| v as u32), mask),
        Reg::R64(r) | Reg::R128(r) => registers.set64(r, out, mask),
        Reg::P(_) => unreachable!("lowering takes no predicate"),
    }
}

multiversion! {
    fn any(op: &Any, registers: &mut Registers, mask: u32,) = convert
}

impl Op {
    /// Executes it.
    #[inline(always)]
    pub fn execute(&self, registers: &mut Registers, mask: u32) {
        match self {
            Op::Fast(kind, rows) => run(*kind, registers, rows, mask),
            Op::Any(op) => any(op, registers, mask),
        }
    }
}

fn integer(ty: Type) -> Option<Integer> {
    let plain = ty.is_integer() || ty.is_bits() && ty.bits() <= 64;
    plain.then(|| Integer { bits: ty.bits(), signed: ty.is_signed() })
}

fn float(ty: Type) -> Option<Float> {
    Some(match ty {
        Type::F16 => Float::F16,
        Type::Bf16 => Float::Bf16,
        Type::Tf32 => Float::Tf32,
        Type::F32 => Float::F32,
        Type::F64 => Float::F64,
        _ => return None,
    })
}

fn narrow(ty: Type) -> Option<Narrow> {
    Some(match ty {
        Type::E4m3x2 => Narrow::E4m3,
        Type::E5m2x2 => Narrow::E5m2,
        Type::E2m3x2 => Narrow::E2m3,
        Type::E3m2x2 => Narrow::E3m2,
        Type::E2m1x2 => Narrow::E2m1,
        _ => return None,
    })
}

/// Types of one value but `.tf32` and mere bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Int(Integer),
    Half,
    Brain,
    Single,
    Double,
}

fn scalar(ty: Type) -> Option<Scalar> {
    Some(match ty {
        Type::F16 => Scalar::Half,
        Type::Bf16 => Scalar::Brain,
        Type::F32 => Scalar::Single,
        Type::F64 => Scalar::Double,
        _ if ty.is_integer() => Scalar::Int(integer(ty)?),
        _ => return None,
    })
}

/// Whether PTX has a conversion with these modifiers, as `ptxas` 13.0 has it for `sm_90a`.
fn exists(to: Scalar, from: Scalar, round: Option<(Rounding, bool)>, m: Modifiers) -> bool {
    use Scalar::*;
    let integral = matches!(round, Some((_, true)));
    let plain = matches!(round, Some((rounding, false)) if rounding != Rounding::NearestAway);
    let brain = to == Brain || from == Brain;
    if m.relu || m.satfinite {
        let near = matches!(round, Some((Rounding::Nearest | Rounding::Zero, false)));
        let alone = !m.ftz && !m.sat && m.relu != m.satfinite;
        return near && alone && from == Single && matches!(to, Half | Brain);
    }
    let rounded = match (to, from) {
        (Int(_), Int(_)) => round.is_none(),
        (Brain, Int(Integer { bits: 8, .. })) | (Int(Integer { bits: 8, .. }), Brain) => false,
        (Int(_), _) => integral,
        (_, Int(_)) => plain,
        _ if to == from => integral || round.is_none(),
        (Half, Single | Double) | (Brain, Single | Double) | (Single, Double) => plain,
        (Half | Single | Double, Brain) | (Brain, Half) => plain || round.is_none(),
        _ => round.is_none(),
    };
    let limited = match (to, from) {
        (Int(to), Int(from)) => {
            to.bits < from.bits || to.signed != from.signed && (from.signed || to.bits == from.bits)
        }
        _ => !brain,
    };
    rounded && (!m.sat || limited) && (!m.ftz || to == Single || from == Single)
}

/// Resolves a conversion.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    if i.opcode != "cvt" || l.rest().any(|m| m == "pack") {
        return Ok(None);
    }
    let integral = |m: &str| m.ends_with('i');
    let round = l.take(|m| Some((Rounding::parse(m)?, integral(m))));
    let (ftz, sat, relu) = (l.flag("ftz"), l.flag("sat"), l.flag("relu"));
    let satfinite = l.flag("satfinite");
    let (to, from) = (l.ty()?, l.ty()?);
    let rounding = round.map_or(Rounding::Nearest, |(r, _)| r);
    let modifiers = Modifiers {
        rounding,
        integral: round.filter(|(_, integral)| *integral).map(|(r, _)| r),
        ftz,
        sat,
        relu,
        satfinite,
    };
    if let (Some(to), Some(from)) = (scalar(to), scalar(from))
        && !exists(to, from, round, modifiers)
    {
        return Err(l.unsupported(
            "a conversion of these types, or with these modifiers, that ptxas takes neither",
        ));
    }
    let mut second = false;
    let what = if let (Some(from), Some(to)) = (integer(from), integer(to)) {
        if round.is_some() || ftz || relu || satfinite {
            return Err(l.unsupported("a modifier of floats between integers"));
        }
        What::Integers(from, to, sat)
    } else if let (Some(from), Some(to)) = (float(from), integer(to)) {
        // `.sat` says what happens anyway: results are limited to the destination's range.
        match modifiers.integral {
            Some(r) if !relu && !satfinite => What::ToInteger(from, to, r, ftz),
            _ => return Err(l.unsupported("this combination of modifiers")),
        }
    } else if let (Some(from), Some(to)) = (integer(from), float(to)) {
        if round.is_none_or(|(_, integral)| integral) || relu || satfinite {
            return Err(l.unsupported("this combination of modifiers"));
        }
        What::FromInteger(from, to, rounding, sat)
    } else if let (Some(from), Some(to)) = (float(from), float(to)) {
        What::Floats(from, to, modifiers)
    } else {
        second = from == Type::F32;
        let plain = !ftz && !sat && modifiers.integral.is_none();
        let nearest = plain && rounding == Rounding::Nearest && round.is_some();
        match (to, from) {
            (Type::F16x2, Type::F32) if plain => What::PackFloats(Float::F16, modifiers),
            (Type::Bf16x2, Type::F32) if plain => What::PackFloats(Float::Bf16, modifiers),
            (Type::Ue8m0x2, Type::F32) if plain && !relu => What::PackPowers(rounding, satfinite),
            (Type::Ue8m0x2, Type::Bf16x2) if plain && !relu => What::Powers(rounding, satfinite),
            (Type::Bf16x2, Type::Ue8m0x2) if nearest && !relu => What::UnpackPowers,
            (to, Type::F32) if nearest && satfinite && narrow(to).is_some() => {
                What::PackNarrow(narrow(to).expect("asked in the guard"), relu)
            }
            (to, Type::F16x2) if nearest && satfinite && narrow(to).is_some() => {
                What::Narrow(narrow(to).expect("asked in the guard"), relu)
            }
            (Type::F16x2, from) if nearest && narrow(from).is_some() => {
                What::Unpack(narrow(from).expect("asked in the guard"), relu)
            }
            _ => return Err(l.unsupported(format!("{from:?} to {to:?} with these modifiers"))),
        }
    };
    let a = l.source(1, from)?;
    let b = if second { Some(l.source32(2, Type::F32)?) } else { None };
    let operand = l.operand(0)?;
    let d = l.write(operand, to)?;
    if matches!(d, Reg::P(_) | Reg::R128(_)) || matches!(a, Reg::P(_) | Reg::R128(_)) {
        return Err(l.unsupported("these registers"));
    }
    if from.bits() == 64 && !matches!(a, Reg::R64(_))
        || to.bits() == 64 && !matches!(d, Reg::R64(_))
    {
        return Err(l.unsupported("a register that is too narrow for the type"));
    }
    let bits = if to.is_signed() { l.register_bits(d) } else { to.bits() };
    if let Some((kind, rows)) = fast(what, modifiers, a, b, d, bits) {
        return Ok(Some(Op::Fast(kind, rows)));
    }
    Ok(Some(Op::Any(Box::new(Any { d, bits, a, b, what }))))
}

/// The common conversions, between registers as wide as their types.
fn fast(
    what: What,
    m: Modifiers,
    a: Reg,
    b: Option<R32>,
    d: Reg,
    bits: u32,
) -> Option<(Kind, Rows)> {
    let plain = !m.ftz && !m.sat && !m.relu && !m.satfinite;
    let nearest = plain && m.rounding == Rounding::Nearest && m.integral.is_none();
    let truncated = plain && m.integral == Some(Rounding::Zero);
    let signed = |i: Integer, bits: u32| i.signed && i.bits == bits;
    let unsigned = |i: Integer, bits: u32| !i.signed && i.bits == bits;
    let rows = |d: u16, a: u16| Rows { d, a, b: b.map_or(0, |b| b.0), ..Rows::default() };
    let kind = match (what, a, d) {
        (What::FromInteger(i, Float::F32, ..), Reg::R32(_), Reg::R32(_))
            if nearest && signed(i, 32) =>
        {
            Kind::F32S32
        }
        (What::FromInteger(i, Float::F32, ..), Reg::R32(_), Reg::R32(_))
            if nearest && unsigned(i, 32) =>
        {
            Kind::F32U32
        }
        (What::ToInteger(Float::F32, i, ..), _, Reg::R32(_)) if truncated && signed(i, 32) => {
            Kind::S32F32
        }
        (What::ToInteger(Float::F32, i, ..), _, Reg::R32(_)) if truncated && unsigned(i, 32) => {
            Kind::U32F32
        }
        (What::Floats(Float::F32, Float::F16, _), ..) if nearest => Kind::F16F32,
        (What::Floats(Float::F32, Float::Bf16, _), ..) if nearest => Kind::Bf16F32,
        (What::Floats(Float::F16, Float::F32, _), ..) if nearest => Kind::F32F16,
        (What::Floats(Float::Bf16, Float::F32, _), ..) if nearest => Kind::F32Bf16,
        (What::Floats(Float::F32, Float::F64, _), _, Reg::R64(_)) if nearest => Kind::F64F32,
        (What::Floats(Float::F32, Float::Tf32, _), ..)
            if plain && m.rounding == Rounding::NearestAway =>
        {
            Kind::Tf32F32
        }
        (What::PackFloats(Float::F16, _), ..) if nearest => Kind::F16x2F32,
        (What::PackFloats(Float::Bf16, _), ..) if nearest => Kind::Bf16x2F32,
        (What::Integers(from, to, false), Reg::R32(_), Reg::R64(_))
            if from.bits == 32 && to.bits == 64 =>
        {
            if from.signed {
                Kind::S64S32
            } else {
                Kind::U64U32
            }
        }
        (What::Integers(_, to, false), Reg::R64(_), Reg::R32(_)) if to.bits == 32 => Kind::Low32,
        (What::Integers(from, to, false), Reg::R32(_), Reg::R32(_)) => match (from.bits, to.bits) {
            (16, 32) if from.signed => Kind::S32S16,
            (8, 32) if from.signed => Kind::S32S8,
            (32, 32) => Kind::Same,
            (16, 32) => Kind::Low16,
            (_, 16) if from.bits >= 16 && bits == 16 => Kind::Low16,
            (8, 16 | 32) if !from.signed => Kind::Low8,
            (_, 8) if bits == 8 => Kind::Low8,
            _ => return None,
        },
        _ => return None,
    };
    let index = |reg: Reg| match reg {
        Reg::R32(R32(r)) | Reg::R64(R64(r)) => Some(r),
        Reg::R128(_) | Reg::P(_) => None,
    };
    let wide = |reg: Reg| matches!(reg, Reg::R64(_));
    let fits = match kind {
        Kind::Low32 => wide(a) && !wide(d),
        Kind::U64U32 | Kind::S64S32 | Kind::F64F32 => !wide(a) && wide(d),
        _ => !wide(a) && !wide(d),
    };
    fits.then_some((kind, rows(index(d)?, index(a)?)))
}
