//! Arithmetic, comparisons, choices, conversions, bits: all that works on each lane by itself.

mod bits;
mod carry;
mod compare;
mod convert;
mod double;
mod half;
mod integer;
mod moves;
mod predicate;
pub(crate) mod shapes;
mod single;

use crate::ast::Instruction;
use crate::error::{Fault, Result};
use crate::exec::{Context, Flow};
use crate::program::Lowering;

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    Integer(integer::Op),
    Bits(bits::Op),
    Single(single::Op),
    Double(double::Op),
    Half(half::Op),
    Compare(compare::Op),
    Convert(convert::Op),
    Move(moves::Op),
    Predicate(predicate::Op),
    Carry(carry::Op),
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    macro_rules! ask {
        ($($module:ident => $variant:ident),*) => {$(
            if let Some(op) = $module::lower(i, l)? {
                return Ok(Some(Op::$variant(op)));
            }
        )*};
    }
    ask!(
        carry => Carry, predicate => Predicate, single => Single, double => Double, half => Half,
        integer => Integer, bits => Bits, compare => Compare, convert => Convert, moves => Move
    );
    Ok(None)
}

/// Executes it.
#[inline(always)]
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    let registers = &mut context.warp.registers;
    match op {
        Op::Integer(op) => op.execute(registers, mask),
        Op::Bits(op) => op.execute(registers, mask),
        Op::Single(op) => op.execute(registers, mask),
        Op::Double(op) => op.execute(registers, mask),
        Op::Half(op) => op.execute(registers, mask),
        Op::Compare(op) => compare::run(op, registers, mask),
        Op::Convert(op) => op.execute(registers, mask),
        Op::Move(op) => op.execute(registers, mask),
        Op::Predicate(op) => op.execute(registers, mask),
        Op::Carry(op) => op.execute(registers, mask),
    }
    Ok(Flow::Next)
}
