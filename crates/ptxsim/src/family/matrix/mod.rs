//! Matrices in registers: `ldmatrix`, `stmatrix`, `movmatrix`, `mma.sync` and the `wmma` instructions (PTX ISA 9.7.14).
//!
//! Refused by name: sparse and block-scaled products, 4- and 6-bit floats, `ldmatrix` and `stmatrix` of 8-bit and smaller
//! elements.

mod eight;
mod mma;
mod wmma;

use crate::ast::Instruction;
use crate::error::{Fault, Kind, Result};
use crate::exec::{Context, Flow, Wait};
use crate::program::Lowering;
use crate::tensor::form::Form;

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// 8×8 matrices between shared memory and registers, or transposed in them.
    Eight(Box<eight::Op>),
    /// A product.
    Multiply(Box<mma::Op>),
    /// A fragment from or to memory.
    Fragment(Box<wmma::Op>),
}

impl Op {
    /// The product that it computes, and its operations.
    pub fn product(&self) -> Option<(&Form, u64)> {
        match self {
            Op::Multiply(op) => Some(op.product()),
            _ => None,
        }
    }
}

/// Resolves an instruction of this family.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    Ok(Some(match i.opcode.as_str() {
        "ldmatrix" | "stmatrix" | "movmatrix" => Op::Eight(Box::new(eight::lower(i, l)?)),
        "mma" => Op::Multiply(Box::new(mma::lower(l)?)),
        "wmma" if l.flag("mma") => Op::Multiply(Box::new(wmma::lower_mma(l)?)),
        "wmma" => Op::Fragment(Box::new(wmma::lower(l)?)),
        _ => return Ok(None),
    }))
}

/// Executes it.
#[inline]
pub(crate) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<Flow, Fault> {
    if let Some(flow) = gather_warp(context, mask)? {
        return Ok(flow);
    }
    match op {
        Op::Eight(op) => eight::execute(op, context)?,
        Op::Multiply(op) => mma::execute(op, context),
        Op::Fragment(op) => wmma::execute(op, context)?,
    }
    Ok(Flow::Next)
}

/// What `.sync.aligned` asks for: all 32 lanes at this instruction together. `None` where they are; otherwise the group waits
/// for the others, and if they never come, that is a deadlock.
///
/// # Errors
/// Where lanes do not exist or have exited: no result is defined then.
pub(crate) fn gather_warp(context: &Context, mask: u32) -> Result<Option<Flow>, Fault> {
    if mask == !0 {
        return Ok(None);
    }
    let warp = &context.warp;
    if warp.lanes != !0 {
        let message =
            format!("the warp has {} threads; all 32 must execute this", warp.lanes.count_ones());
        return Err(Fault::new(Kind::Undefined, message));
    }
    if warp.alive != !0 {
        let message = format!(
            "lanes {:#010x} of the warp have exited; all 32 must execute this",
            !warp.alive
        );
        return Err(Fault::new(Kind::Undefined, message));
    }
    Ok(Some(Flow::Wait(Wait::Converge(!0))))
}
