//! Logic of predicates, 32 lanes in a word.

use super::bits::lop3;
use crate::ast::{Instruction, Operand};
use crate::error::Result;
use crate::exec::Registers;
use crate::program::{Lowering, P, PSource, R32};

/// A resolved operation.
#[derive(Debug)]
pub(crate) enum Op {
    /// Any function of two predicates: bit `a << 1 | b` of the table.
    Logic { table: u8, d: P, a: PSource, b: PSource },
    /// `lop3` with a predicate: whether the result is not 0, combined with another; boxed, for it is rare.
    Lop3(Box<Lop3>),
}

/// `lop3.and.b32 d|p, a, b, c, table, q`
#[derive(Debug)]
pub(crate) struct Lop3 {
    and: bool,
    d: R32,
    p: P,
    sources: [R32; 3],
    table: u32,
    q: PSource,
}

/// Resolves an instruction on predicates.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    let name = i.opcode.as_str();
    if name == "lop3" {
        let Some(and) = l.one_of(&[("and", true), ("or", false)]) else { return Ok(None) };
        l.require("b32")?;
        let (d, p) = l.pair(0)?;
        let Some(p) = p else { return Err(l.unsupported("its predicate is missing")) };
        let sources = [1, 2, 3].map(|k| l.source32(k, crate::program::Type::B32));
        let [a, b, c] = sources;
        let op = Lop3 {
            and,
            sources: [a?, b?, c?],
            table: l.constant(4)? as u32,
            q: l.source_predicate(5)?,
            d: l.write32(d)?,
            p: l.write_predicate(p)?,
        };
        return Ok(Some(Op::Lop3(Box::new(op))));
    }
    if !matches!(name, "and" | "or" | "xor" | "not" | "mov") || !l.rest().any(|m| m == "pred") {
        return Ok(None);
    }
    l.require("pred")?;
    let table = match name {
        "and" => 0b1000,
        "or" => 0b1110,
        "xor" => 0b0110,
        "not" => 0b0011,
        _ => 0b1100,
    };
    let a = l.source_predicate(1)?;
    let unary = matches!(name, "not" | "mov");
    let b = if unary { a } else { l.source_predicate(2)? };
    // With both sources the same only the outer bits of the table matter.
    let table = if unary { if name == "not" { 0b0001 } else { 0b1000 } } else { table };
    let d = match l.operand(0)? {
        Operand::Pair(..) => return Err(l.unsupported("two destinations")),
        operand => l.write_predicate(operand)?,
    };
    Ok(Some(Op::Logic { table, d, a, b }))
}

impl Op {
    /// Executes it.
    #[inline(always)]
    pub fn execute(&self, registers: &mut Registers, mask: u32) {
        match self {
            Op::Logic { table, d, a, b } => {
                let (a, b) = (registers.predicate(*a), registers.predicate(*b));
                let bit = |k: u32| if table >> k & 1 == 1 { !0 } else { 0 };
                let value = a & b & bit(3) | a & !b & bit(2) | !a & b & bit(1) | !a & !b & bit(0);
                registers.set_predicate(*d, value, mask);
            }
            Op::Lop3(op) => {
                let [a, b, c] = op.sources.map(|r| *registers.get32(r));
                let q = registers.predicate(op.q);
                let out: [u32; 32] = std::array::from_fn(|k| lop3(a[k], b[k], c[k], op.table));
                let some = (0..32).fold(0, |bits, k| bits | ((out[k] != 0) as u32) << k);
                registers.set32(op.d, out, mask);
                registers.set_predicate(op.p, if op.and { some & q } else { some | q }, mask);
            }
        }
    }
}
