//! Arithmetic of `.f32` and `.f32x2`.

use super::shapes::{Rows, operations};
use crate::ast::Instruction;
use crate::error::Result;
use crate::exec::Registers;
use crate::num::format::F32;
use crate::num::select::{Select, select, select3};
use crate::num::single::{add, div, flush, fma, mul, pair, rcp, sqrt, sub};
use crate::num::special::{Function, div_approx, div_full};
use crate::num::{Mode, Rounding};
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

const NEAREST: Mode = Mode { rounding: Rounding::Nearest, ftz: false, sat: false };
const FLUSHED: Mode = Mode { rounding: Rounding::Nearest, ftz: true, sat: false };

/// A [`Mode`] as the constant of an operation.
pub(crate) fn pack(mode: Mode) -> u32 {
    let rounding = match mode.rounding {
        Rounding::Nearest => 0,
        Rounding::Zero => 1,
        Rounding::Down => 2,
        Rounding::Up => 3,
        Rounding::NearestAway => 4,
    };
    rounding | (mode.ftz as u32) << 3 | (mode.sat as u32) << 4
}

/// The rounding in a packed [`Mode`].
#[inline(always)]
pub(crate) fn rounding(x: u32) -> Rounding {
    match x & 7 {
        0 => Rounding::Nearest,
        1 => Rounding::Zero,
        2 => Rounding::Down,
        3 => Rounding::Up,
        _ => Rounding::NearestAway,
    }
}

#[inline(always)]
fn mode(x: u32) -> Mode {
    Mode { rounding: rounding(x), ftz: x & 8 != 0, sat: x & 16 != 0 }
}

/// A [`Select`] as the constant of an operation.
pub(crate) fn pack_select(s: Select) -> u32 {
    s.max as u32
        | (s.ftz as u32) << 1
        | (s.nan as u32) << 2
        | (s.abs as u32) << 3
        | (s.xorsign as u32) << 4
}

/// The other way.
#[inline(always)]
pub(crate) fn selection(x: u32) -> Select {
    Select {
        max: x & 1 != 0,
        ftz: x & 2 != 0,
        nan: x & 4 != 0,
        abs: x & 8 != 0,
        xorsign: x & 16 != 0,
    }
}

const MIN: Select = Select { max: false, ftz: false, nan: false, abs: false, xorsign: false };
const MAX: Select = Select { max: true, ..MIN };

operations! {
    N_N {
        Neg |a, _| a ^ 0x8000_0000,
        NegFtz |a, _| flush(a) ^ 0x8000_0000,
        Abs |a, _| a & 0x7FFF_FFFF,
        AbsFtz |a, _| flush(a) & 0x7FFF_FFFF,
        Rcp |a, x| rcp(a, mode(x)),
        Sqrt |a, x| sqrt(a, mode(x)),
        RcpApprox |a, x| Function::Reciprocal.single(a, x != 0),
        SqrtApprox |a, x| Function::SquareRoot.single(a, x != 0),
        RsqrtApprox |a, x| Function::ReciprocalSquareRoot.single(a, x != 0),
        Ex2Approx |a, x| Function::Exp2.single(a, x != 0),
        Lg2Approx |a, x| Function::Log2.single(a, x != 0),
        SinApprox |a, x| Function::Sine.single(a, x != 0),
        CosApprox |a, x| Function::Cosine.single(a, x != 0),
        TanhApprox |a, x| Function::Tanh.single(a, x != 0),
    }
    NN_N {
        Add |a, b, _| add(a, b, NEAREST),
        AddFtz |a, b, _| add(a, b, FLUSHED),
        AddMode |a, b, x| add(a, b, mode(x)),
        Sub |a, b, _| sub(a, b, NEAREST),
        SubFtz |a, b, _| sub(a, b, FLUSHED),
        SubMode |a, b, x| sub(a, b, mode(x)),
        Mul |a, b, _| mul(a, b, NEAREST),
        MulFtz |a, b, _| mul(a, b, FLUSHED),
        MulMode |a, b, x| mul(a, b, mode(x)),
        Div |a, b, _| div(a, b, NEAREST),
        DivMode |a, b, x| div(a, b, mode(x)),
        DivFull |a, b, x| div_full(a, b, x != 0),
        DivApprox |a, b, x| div_approx(a, b, x != 0),
        Min |a, b, _| select::<F32>(a, b, MIN),
        Max |a, b, _| select::<F32>(a, b, MAX),
        Select |a, b, x| select::<F32>(a, b, selection(x)),
        CopySign |a, b, _| b & 0x7FFF_FFFF | a & 0x8000_0000,
    }
    NNN_N {
        Fma |a, b, c, _| fma(a, b, c, NEAREST),
        FmaFtz |a, b, c, _| fma(a, b, c, FLUSHED),
        FmaMode |a, b, c, x| fma(a, b, c, mode(x)),
        Select3 |a, b, c, x| select3::<F32>(a, b, c, selection(x)),
    }
    WW_W {
        AddX2 |a, b, x| pair([a, b], |[a, b]| add(a, b, mode(x))),
        SubX2 |a, b, x| pair([a, b], |[a, b]| sub(a, b, mode(x))),
        MulX2 |a, b, x| pair([a, b], |[a, b]| mul(a, b, mode(x))),
    }
    WWW_W {
        FmaX2 |a, b, c, x| pair([a, b, c], |[a, b, c]| fma(a, b, c, mode(x))),
    }
}

/// Resolves an instruction whose type is `.f32` or `.f32x2`.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    let name = i.opcode.as_str();
    let known = matches!(
        name,
        "add"
            | "sub"
            | "mul"
            | "fma"
            | "mad"
            | "div"
            | "min"
            | "max"
            | "abs"
            | "neg"
            | "rcp"
            | "sqrt"
            | "rsqrt"
            | "ex2"
            | "lg2"
            | "sin"
            | "cos"
            | "tanh"
            | "copysign"
    );
    let float = |m: &str| match m {
        "f32" => Some(Type::F32),
        "f32x2" => Some(Type::F32x2),
        _ => None,
    };
    let first = i.modifiers.iter().find_map(|m| Type::parse(m));
    if !known || !matches!(first, Some(Type::F32 | Type::F32x2)) {
        return Ok(None);
    }
    let Some(ty) = l.take(float) else { return Ok(None) };
    let (ftz, sat) = (l.flag("ftz"), l.flag("sat"));
    let round = l.take(|m| Rounding::parse(m).filter(|_| matches!(m, "rn" | "rz" | "rm" | "rp")));
    let how = l.take(|m| matches!(m, "approx" | "full").then_some(m));
    let mode = Mode { rounding: round.unwrap_or_default(), ftz, sat };
    let (plain, flushed) = (mode == NEAREST, mode == FLUSHED);
    let pick = |fast: Kind, ftz: Kind, other: Kind| {
        if plain {
            (fast, 0)
        } else if flushed {
            (ftz, 0)
        } else {
            (other, pack(mode))
        }
    };
    let kind = match (name, ty, how) {
        ("add", Type::F32, None) => pick(Kind::Add, Kind::AddFtz, Kind::AddMode),
        ("sub", Type::F32, None) => pick(Kind::Sub, Kind::SubFtz, Kind::SubMode),
        ("mul", Type::F32, None) => pick(Kind::Mul, Kind::MulFtz, Kind::MulMode),
        ("fma" | "mad", Type::F32, None) => pick(Kind::Fma, Kind::FmaFtz, Kind::FmaMode),
        ("add", Type::F32x2, None) if !sat => (Kind::AddX2, pack(mode)),
        ("sub", Type::F32x2, None) if !sat => (Kind::SubX2, pack(mode)),
        ("mul", Type::F32x2, None) if !sat => (Kind::MulX2, pack(mode)),
        ("fma", Type::F32x2, None) if !sat => (Kind::FmaX2, pack(mode)),
        (_, Type::F32x2, _) => return Err(l.unsupported("this operation on .f32x2")),
        _ if sat => return Err(l.unsupported(".sat here")),
        ("min" | "max", _, None) if round.is_none() => {
            let s = Select {
                max: name == "max",
                ftz,
                nan: l.flag("NaN"),
                xorsign: l.flag("xorsign"),
                abs: l.flag("abs"),
            };
            match l.operand_count() {
                4 => (Kind::Select3, pack_select(s)),
                _ if s == MIN => (Kind::Min, 0),
                _ if s == MAX => (Kind::Max, 0),
                _ => (Kind::Select, pack_select(s)),
            }
        }
        ("abs", _, None) if round.is_none() => (if ftz { Kind::AbsFtz } else { Kind::Abs }, 0),
        ("neg", _, None) if round.is_none() => (if ftz { Kind::NegFtz } else { Kind::Neg }, 0),
        ("copysign", _, None) if round.is_none() && !ftz => (Kind::CopySign, 0),
        ("div", _, None) if plain && round.is_some() => (Kind::Div, 0),
        ("div", _, None) if round.is_some() => (Kind::DivMode, pack(mode)),
        ("div", _, Some("full")) if round.is_none() => (Kind::DivFull, ftz as u32),
        ("div", _, Some("approx")) if round.is_none() => (Kind::DivApprox, ftz as u32),
        ("rcp", _, None) if round.is_some() => (Kind::Rcp, pack(mode)),
        ("sqrt", _, None) if round.is_some() => (Kind::Sqrt, pack(mode)),
        ("rcp", _, Some("approx")) if round.is_none() => (Kind::RcpApprox, ftz as u32),
        ("sqrt", _, Some("approx")) if round.is_none() => (Kind::SqrtApprox, ftz as u32),
        ("rsqrt", _, Some("approx")) if round.is_none() => (Kind::RsqrtApprox, ftz as u32),
        ("ex2", _, Some("approx")) if round.is_none() => (Kind::Ex2Approx, ftz as u32),
        ("lg2", _, Some("approx")) if round.is_none() => (Kind::Lg2Approx, ftz as u32),
        ("sin", _, Some("approx")) if round.is_none() => (Kind::SinApprox, ftz as u32),
        ("cos", _, Some("approx")) if round.is_none() => (Kind::CosApprox, ftz as u32),
        ("tanh", _, Some("approx")) if round.is_none() && !ftz => (Kind::TanhApprox, 0),
        _ => return Err(l.unsupported("this combination of modifiers")),
    };
    let (kind, x) = kind;
    let rows = kind.shape().rows(l, [ty; 4])?;
    Ok(Some(Op { kind, rows: Rows { x, ..rows } }))
}
