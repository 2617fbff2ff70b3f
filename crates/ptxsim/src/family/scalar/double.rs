//! Arithmetic of `.f64`.

use super::shapes::{Rows, operations};
use super::single::{pack, rounding};
use crate::ast::Instruction;
use crate::error::Result;
use crate::exec::Registers;
use crate::num::double::{add, div, fma, mul, rcp, sqrt, sub};
use crate::num::select::select_f64;
use crate::num::special::{rcp_f64, rsqrt_f64, rsqrt_ftz_f64};
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

const NEAREST: Rounding = Rounding::Nearest;
const SIGN: u64 = 1 << 63;

operations! {
    W_W {
        Neg |a, _| a ^ SIGN,
        Abs |a, _| a & !SIGN,
        Rcp |a, x| rcp(a, rounding(x)),
        Sqrt |a, x| sqrt(a, rounding(x)),
        RcpApprox |a, _| rcp_f64(a),
        RsqrtApprox |a, _| rsqrt_f64(a),
        RsqrtApproxFtz |a, _| rsqrt_ftz_f64(a),
    }
    WW_W {
        Add |a, b, _| add(a, b, NEAREST),
        AddMode |a, b, x| add(a, b, rounding(x)),
        Sub |a, b, _| sub(a, b, NEAREST),
        SubMode |a, b, x| sub(a, b, rounding(x)),
        Mul |a, b, _| mul(a, b, NEAREST),
        MulMode |a, b, x| mul(a, b, rounding(x)),
        Div |a, b, x| div(a, b, rounding(x)),
        Min |a, b, _| select_f64(a, b, false),
        Max |a, b, _| select_f64(a, b, true),
        CopySign |a, b, _| b & !SIGN | a & SIGN,
    }
    WWW_W {
        Fma |a, b, c, _| fma(a, b, c, NEAREST),
        FmaMode |a, b, c, x| fma(a, b, c, rounding(x)),
    }
}

/// Resolves an instruction whose type is `.f64`.
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
            | "copysign"
    );
    if !known || !l.flag("f64") {
        return Ok(None);
    }
    let round = l.take(|m| Rounding::parse(m).filter(|_| matches!(m, "rn" | "rz" | "rm" | "rp")));
    let nearest = round.is_none_or(|r| r == NEAREST);
    let (approx, ftz) = (l.flag("approx"), l.flag("ftz"));
    let kind = match (name, round, approx, ftz) {
        ("add", _, false, false) => {
            if nearest {
                Kind::Add
            } else {
                Kind::AddMode
            }
        }
        ("sub", _, false, false) => {
            if nearest {
                Kind::Sub
            } else {
                Kind::SubMode
            }
        }
        ("mul", _, false, false) => {
            if nearest {
                Kind::Mul
            } else {
                Kind::MulMode
            }
        }
        ("fma" | "mad", Some(_), false, false) => {
            if nearest {
                Kind::Fma
            } else {
                Kind::FmaMode
            }
        }
        ("div", Some(_), false, false) => Kind::Div,
        ("rcp", Some(_), false, false) => Kind::Rcp,
        ("sqrt", Some(_), false, false) => Kind::Sqrt,
        ("rcp", None, true, true) => Kind::RcpApprox,
        ("rsqrt", None, true, false) => Kind::RsqrtApprox,
        ("rsqrt", None, true, true) => Kind::RsqrtApproxFtz,
        ("min", None, false, false) => Kind::Min,
        ("max", None, false, false) => Kind::Max,
        ("abs", None, false, false) => Kind::Abs,
        ("neg", None, false, false) => Kind::Neg,
        ("copysign", None, false, false) => Kind::CopySign,
        _ => return Err(l.unsupported("this combination of modifiers")),
    };
    let rows = kind.shape().rows(l, [Type::F64; 4])?;
    let x = pack(Mode { rounding: round.unwrap_or_default(), ..Mode::default() });
    Ok(Some(Op { kind, rows: Rows { x, ..rows } }))
}
