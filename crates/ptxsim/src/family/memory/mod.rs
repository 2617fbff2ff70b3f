//! Memory: ld, ldu, st, atom, red, prefetch and hints, cvta, isspacep.

mod atomic;
mod load;
mod modifiers;
mod reduction;
mod spaces;

use crate::ast::Instruction;
use crate::error::{Fault, Result};
use crate::exec::{Context, Flow};
use crate::program::Lowering;

pub(crate) use load::get;
pub(crate) use reduction::{Reduction, What};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    Load(load::Access),
    Store(load::Access),
    Atomic(Box<atomic::Op>),
    Space(spaces::Op),
}

/// Resolves an instruction of this family; asynchronous and bulk forms are others'.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    if i.modifiers.iter().any(|m| matches!(m.as_str(), "async" | "bulk" | "tensormap")) {
        return Ok(None);
    }
    Ok(Some(match i.opcode.as_str() {
        "ld" | "ldu" => Op::Load(load::lower_load(l)?),
        "st" => Op::Store(load::lower_store(l)?),
        "atom" | "red" => Op::Atomic(Box::new(atomic::lower(i.opcode == "atom", l)?)),
        _ => return Ok(spaces::lower(i, l)?.map(Op::Space)),
    }))
}

/// Executes it.
#[inline(always)]
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    match op {
        Op::Load(op) => load::load(op, context, mask)?,
        Op::Store(op) => load::store(op, context, mask)?,
        Op::Atomic(op) => atomic::execute(op, context, mask)?,
        Op::Space(op) => spaces::execute(op, context, mask)?,
    }
    Ok(Flow::Next)
}
