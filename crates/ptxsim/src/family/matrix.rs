//! Matrices in registers: ldmatrix, stmatrix, movmatrix, mma.

use crate::ast::Instruction;
use crate::error::{Fault, Result};
use crate::exec::{Context, Flow};
use crate::program::Lowering;

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {}

/// Resolves an instruction of this family.
pub(crate) fn lower(_i: &Instruction, _l: &mut Lowering) -> Result<Option<Op>> {
    Ok(None)
}

/// Executes it.
pub(crate) fn execute(op: &Op, _context: &mut Context, _mask: u32) -> Result<Flow, Fault> {
    match *op {}
}
