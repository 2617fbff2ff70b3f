//! Warpgroup matrix products: wgmma.

use crate::ast::Instruction;
use crate::error::{Fault, Result};
use crate::exec::{Context, Flow, Machine, Place};
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

/// What a group waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {}

/// Whether it has come.
pub(crate) fn ready(wait: &Wait, _context: &mut Context, _lanes: u32) -> bool {
    match *wait {}
}

/// What it is, in words.
pub(crate) fn describe(wait: &Wait, _machine: &Machine, _place: Place) -> String {
    match *wait {}
}

/// What is kept for a warp.
#[derive(Debug, Default)]
pub(crate) struct WarpState;

/// A cluster has ended.
pub(crate) fn end(_machine: &mut Machine, _cluster: usize) -> Result<(), (Place, Fault)> {
    Ok(())
}
