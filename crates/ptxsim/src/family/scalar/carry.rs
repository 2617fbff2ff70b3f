//! Chains through the carry flag: add.cc, addc, sub.cc, subc, mad.cc, madc.

use super::shapes::Rows;
use crate::ast::Instruction;
use crate::error::Result;
use crate::exec::Registers;
use crate::program::{Lowering, R32, R64, Type};

/// A resolved operation.
#[derive(Debug)]
pub(crate) struct Op {
    kind: Kind,
    wide: bool,
    /// Whether the flag goes in.
    takes: bool,
    /// Whether it is set.
    gives: bool,
    rows: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Add,
    Sub,
    MadLo,
    MadHiU,
    MadHiS,
}

/// Resolves an instruction of a chain.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    let name = i.opcode.as_str();
    let takes = matches!(name, "addc" | "subc" | "madc");
    if !(takes || matches!(name, "add" | "sub" | "mad") && l.rest().any(|m| m == "cc")) {
        return Ok(None);
    }
    let hi = name.starts_with("mad")
        && l.one_of(&[("lo", false), ("hi", true)])
            .ok_or_else(|| l.unsupported(".lo or .hi is missing"))?;
    let gives = l.flag("cc");
    let ty = l.ty()?;
    if !matches!(ty, Type::S32 | Type::U32 | Type::S64 | Type::U64) {
        return Err(l.unsupported(format!("type {ty:?}")));
    }
    let kind = match &name[..3] {
        "add" => Kind::Add,
        "sub" => Kind::Sub,
        _ if !hi => Kind::MadLo,
        _ if ty.is_signed() => Kind::MadHiS,
        _ => Kind::MadHiU,
    };
    let wide = ty.bits() == 64;
    let mut sources = [0; 3];
    for (k, source) in
        sources.iter_mut().enumerate().take(if name.starts_with("mad") { 3 } else { 2 })
    {
        *source = if wide { l.source64(k + 1, ty)?.0 } else { l.source32(k + 1, ty)?.0 };
    }
    let d = if wide { l.destination64(0)?.0 } else { l.destination32(0)?.0 };
    let [a, b, c] = sources;
    Ok(Some(Op { kind, wide, takes, gives, rows: Rows { d, a, b, c, e: 0, x: 0 } }))
}

impl Op {
    /// Executes it; the flag of a subtraction is its borrow.
    pub fn execute(&self, registers: &mut Registers, mask: u32) {
        let Rows { d, a, b, c, .. } = self.rows;
        let flags = if self.takes { registers.carry } else { 0 };
        let mut given = 0;
        /// The operation on words `$word`, whose products are `$double`; the same with signs.
        macro_rules! chain {
            ($get:ident $set:ident $row:ident $word:ty, $double:ty, $signed:ty, $long:ty) => {{
                let [a, b, c] = [a, b, c].map(|r| *registers.$get($row(r)));
                let out = std::array::from_fn(|k| {
                    let product = a[k] as $double * b[k] as $double;
                    let signed = a[k] as $signed as $long * b[k] as $signed as $long;
                    let (x, y) = match self.kind {
                        Kind::Add | Kind::Sub => (a[k], b[k]),
                        Kind::MadLo => (product as $word, c[k]),
                        Kind::MadHiU => ((product >> <$word>::BITS) as $word, c[k]),
                        Kind::MadHiS => ((signed >> <$word>::BITS) as $word, c[k]),
                    };
                    let flag = flags >> k & 1 == 1;
                    let (value, flag) = match self.kind {
                        Kind::Sub => x.borrowing_sub(y, flag),
                        _ => x.carrying_add(y, flag),
                    };
                    given |= (flag as u32) << k;
                    value
                });
                registers.$set($row(d), out, mask);
            }};
        }
        match self.wide {
            true => chain!(get64 set64 R64 u64, u128, i64, i128),
            false => chain!(get32 set32 R32 u32, u64, i32, i64),
        }
        if self.gives {
            registers.carry = registers.carry & !mask | given & mask;
        }
    }
}
