//! Arithmetic of `.f16`, `.bf16` and their packed forms.

use super::shapes::{Rows, operations};
use super::single::{pack_select, selection};
use crate::ast::Instruction;
use crate::error::Result;
use crate::exec::Registers;
use crate::num::format::{Bf16, F16, Format};
use crate::num::half::{HalfMode, add, flush, fma, mul, pair, sub};
use crate::num::select::{Select, select};
use crate::num::special::Function;
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

#[inline(always)]
fn mode(x: u32) -> HalfMode {
    HalfMode { ftz: x & 1 != 0, sat: x & 2 != 0, relu: x & 4 != 0 }
}

#[inline(always)]
fn flushed<F: Format>(a: u16, x: u32) -> u16 {
    if x & 1 != 0 { flush::<F>(a) } else { a }
}

#[inline(always)]
fn one(f: impl Fn(u16) -> u16, a: u32) -> u32 {
    f(a as u16) as u32
}

#[inline(always)]
fn two(f: impl Fn(u16, u16) -> u16, a: u32, b: u32) -> u32 {
    f(a as u16, b as u16) as u32
}

#[inline(always)]
fn choose<F: Format>(a: u16, b: u16, x: u32) -> u16 {
    select::<F>(a as u32, b as u32, selection(x)) as u16
}

operations! {
    N_N {
        NegF16 |a, x| one(|a| flushed::<F16>(a, x) ^ 0x8000, a),
        NegF16x2 |a, x| pair([a], |[a]| flushed::<F16>(a, x) ^ 0x8000),
        NegBf16 |a, x| one(|a| flushed::<Bf16>(a, x) ^ 0x8000, a),
        NegBf16x2 |a, x| pair([a], |[a]| flushed::<Bf16>(a, x) ^ 0x8000),
        AbsF16 |a, x| one(|a| flushed::<F16>(a, x) & 0x7FFF, a),
        AbsF16x2 |a, x| pair([a], |[a]| flushed::<F16>(a, x) & 0x7FFF),
        AbsBf16 |a, x| one(|a| flushed::<Bf16>(a, x) & 0x7FFF, a),
        AbsBf16x2 |a, x| pair([a], |[a]| flushed::<Bf16>(a, x) & 0x7FFF),
        Ex2F16 |a, x| one(|a| Function::Exp2.half::<F16>(a, x & 1 != 0), a),
        Ex2F16x2 |a, x| pair([a], |[a]| Function::Exp2.half::<F16>(a, x & 1 != 0)),
        Ex2Bf16 |a, x| one(|a| Function::Exp2.half::<Bf16>(a, x & 1 != 0), a),
        Ex2Bf16x2 |a, x| pair([a], |[a]| Function::Exp2.half::<Bf16>(a, x & 1 != 0)),
        TanhF16 |a, _| one(|a| Function::Tanh.half::<F16>(a, false), a),
        TanhF16x2 |a, _| pair([a], |[a]| Function::Tanh.half::<F16>(a, false)),
        TanhBf16 |a, _| one(|a| Function::Tanh.half::<Bf16>(a, false), a),
        TanhBf16x2 |a, _| pair([a], |[a]| Function::Tanh.half::<Bf16>(a, false)),
    }
    NN_N {
        AddF16 |a, b, x| two(|a, b| add::<F16>(a, b, mode(x)), a, b),
        AddF16x2 |a, b, x| pair([a, b], |[a, b]| add::<F16>(a, b, mode(x))),
        AddBf16 |a, b, x| two(|a, b| add::<Bf16>(a, b, mode(x)), a, b),
        AddBf16x2 |a, b, x| pair([a, b], |[a, b]| add::<Bf16>(a, b, mode(x))),
        SubF16 |a, b, x| two(|a, b| sub::<F16>(a, b, mode(x)), a, b),
        SubF16x2 |a, b, x| pair([a, b], |[a, b]| sub::<F16>(a, b, mode(x))),
        SubBf16 |a, b, x| two(|a, b| sub::<Bf16>(a, b, mode(x)), a, b),
        SubBf16x2 |a, b, x| pair([a, b], |[a, b]| sub::<Bf16>(a, b, mode(x))),
        MulF16 |a, b, x| two(|a, b| mul::<F16>(a, b, mode(x)), a, b),
        MulF16x2 |a, b, x| pair([a, b], |[a, b]| mul::<F16>(a, b, mode(x))),
        MulBf16 |a, b, x| two(|a, b| mul::<Bf16>(a, b, mode(x)), a, b),
        MulBf16x2 |a, b, x| pair([a, b], |[a, b]| mul::<Bf16>(a, b, mode(x))),
        SelectF16 |a, b, x| two(|a, b| choose::<F16>(a, b, x), a, b),
        SelectF16x2 |a, b, x| pair([a, b], |[a, b]| choose::<F16>(a, b, x)),
        SelectBf16 |a, b, x| two(|a, b| choose::<Bf16>(a, b, x), a, b),
        SelectBf16x2 |a, b, x| pair([a, b], |[a, b]| choose::<Bf16>(a, b, x)),
    }
    NNN_N {
        FmaF16 |a, b, c, x| fma::<F16>(a as u16, b as u16, c as u16, mode(x)) as u32,
        FmaF16x2 |a, b, c, x| pair([a, b, c], |[a, b, c]| fma::<F16>(a, b, c, mode(x))),
        FmaBf16 |a, b, c, x| fma::<Bf16>(a as u16, b as u16, c as u16, mode(x)) as u32,
        FmaBf16x2 |a, b, c, x| pair([a, b, c], |[a, b, c]| fma::<Bf16>(a, b, c, mode(x))),
    }
}

/// Resolves an instruction whose type is `.f16`, `.f16x2`, `.bf16` or `.bf16x2`.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    use Type::{Bf16, Bf16x2, F16, F16x2};
    let name = i.opcode.as_str();
    let known = matches!(
        name,
        "add" | "sub" | "mul" | "fma" | "min" | "max" | "abs" | "neg" | "ex2" | "tanh"
    );
    let half = |m: &str| Type::parse(m).filter(|t| matches!(t, F16 | F16x2 | Bf16 | Bf16x2));
    let first = i.modifiers.iter().find_map(|m| Type::parse(m));
    if !known || !first.is_some_and(|t| matches!(t, F16 | F16x2 | Bf16 | Bf16x2)) {
        return Ok(None);
    }
    let Some(ty) = l.take(half) else { return Ok(None) };
    let at = match ty {
        F16 => 0,
        F16x2 => 1,
        Bf16 => 2,
        _ => 3,
    };
    let ftz = l.flag("ftz");
    let mut x = ftz as u32;
    if matches!(name, "add" | "sub" | "mul" | "fma") {
        l.flag("rn");
        x |= (l.flag("sat") as u32) << 1 | (l.flag("relu") as u32) << 2;
        if x & 4 != 0 && name != "fma" || x & 3 != 0 && at >= 2 {
            return Err(l.unsupported("this combination of modifiers"));
        }
    }
    let table = match name {
        "add" => [Kind::AddF16, Kind::AddF16x2, Kind::AddBf16, Kind::AddBf16x2],
        "sub" => [Kind::SubF16, Kind::SubF16x2, Kind::SubBf16, Kind::SubBf16x2],
        "mul" => [Kind::MulF16, Kind::MulF16x2, Kind::MulBf16, Kind::MulBf16x2],
        "fma" => [Kind::FmaF16, Kind::FmaF16x2, Kind::FmaBf16, Kind::FmaBf16x2],
        "neg" => [Kind::NegF16, Kind::NegF16x2, Kind::NegBf16, Kind::NegBf16x2],
        "abs" => [Kind::AbsF16, Kind::AbsF16x2, Kind::AbsBf16, Kind::AbsBf16x2],
        "ex2" | "tanh" => {
            l.require("approx")?;
            if name == "ex2" {
                [Kind::Ex2F16, Kind::Ex2F16x2, Kind::Ex2Bf16, Kind::Ex2Bf16x2]
            } else {
                [Kind::TanhF16, Kind::TanhF16x2, Kind::TanhBf16, Kind::TanhBf16x2]
            }
        }
        _ => {
            let (nan, xorsign, abs) = (l.flag("NaN"), l.flag("xorsign"), l.flag("abs"));
            x = pack_select(Select { max: name == "max", ftz, nan, abs, xorsign });
            [Kind::SelectF16, Kind::SelectF16x2, Kind::SelectBf16, Kind::SelectBf16x2]
        }
    };
    let kind = table[at];
    let rows = kind.shape().rows(l, [ty; 4])?;
    Ok(Some(Op { kind, rows: Rows { x, ..rows } }))
}
