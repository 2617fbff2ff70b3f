//! atom and red: all operations, types and vectors.
//!
//! Lanes of a warp take their turns in order.

use super::load::get;
use super::modifiers::{hints, request};
use super::reduction::{Reduction, What};
use crate::ast::Operand;
use crate::error::{Fault, Result};
use crate::exec::{AccessKind, Context, Order, Request};
use crate::program::{Address, Lowering, R64, Reg, Space, Type};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) struct Op {
    request: Request,
    address: Address,
    reduction: Reduction,
    /// Where old values go; `red` has none.
    d: Vec<Reg>,
    /// Operands, one an element.
    b: Vec<Reg>,
    /// The new value of a compare-and-swap.
    c: Option<Reg>,
}

/// Resolves `atom` and `red`.
pub(super) fn lower(returns: bool, l: &mut Lowering) -> Result<Op> {
    let what = l.take(What::parse).ok_or_else(|| l.unsupported("its operation"))?;
    let policy = hints(l);
    let request = request(l, AccessKind::Atomic, Order::Relaxed)?;
    let n = l.one_of(&[("v2", 2), ("v4", 4), ("v8", 8)]).unwrap_or(1);
    let noftz = l.flag("noftz");
    let ty = l.ty()?;
    if !allowed(what, ty, noftz, n) || !returns && matches!(what, What::Exch | What::Cas) {
        return Err(l.unsupported(format!("{what:?} of {n} {ty:?}")));
    }
    let first = returns as usize;
    let mut d = Vec::new();
    if returns {
        for operand in elements(l, 0, n)? {
            d.push(l.write(operand, ty)?);
        }
    }
    let address = l.address(first)?;
    let mut b = Vec::new();
    for operand in elements(l, first + 1, n)? {
        b.push(l.read(operand, ty)?);
    }
    let c = if what == What::Cas { Some(l.source(first + 2, ty)?) } else { None };
    if policy {
        l.source64(first + 2 + c.is_some() as usize, Type::B64)?;
    }
    if d.iter().chain(&b).chain(&c).any(|r| l.register_bits(*r) < ty.bits()) {
        return Err(l.unsupported("a register narrower than the type"));
    }
    Ok(Op { request, address, reduction: Reduction { what, ty }, d, b, c })
}

fn elements<'a>(l: &mut Lowering<'a, '_>, k: usize, n: usize) -> Result<&'a [Operand]> {
    let parts = l.vector(k)?;
    if parts.len() == n {
        Ok(parts)
    } else {
        Err(l.unsupported(format!("{} registers for {n} elements", parts.len())))
    }
}

/// Which operation goes with which type, and in which vectors.
fn allowed(what: What, ty: Type, noftz: bool, n: usize) -> bool {
    use Type::*;
    let half = matches!(ty, F16 | Bf16 | F16x2 | Bf16x2);
    let scalar = match what {
        What::And | What::Or | What::Xor => matches!(ty, B32 | B64),
        What::Exch => matches!(ty, B32 | B64 | B128 | U32 | S32 | F32 | U64),
        What::Cas => matches!(ty, B16 | B32 | B64 | B128 | U32 | S32 | U64),
        What::Add => matches!(ty, U32 | S32 | U64 | S64 | F32 | F64) || half,
        What::Inc | What::Dec => ty == U32,
        What::Min | What::Max => matches!(ty, U32 | S32 | U64 | S64) || half && n > 1,
    };
    let vector = match ty {
        F32 => n <= 4,
        F16 | Bf16 => n <= 8,
        F16x2 | Bf16x2 => n <= 4,
        _ => n == 1,
    };
    scalar && vector && noftz == half
}

/// Executes it.
pub(super) fn execute(op: &Op, context: &mut Context, mask: u32) -> Result<(), Fault> {
    match op.reduction.ty.bytes() as usize * op.b.len() {
        2 => run::<2>(op, context, mask),
        4 => run::<4>(op, context, mask),
        8 => run::<8>(op, context, mask),
        _ => run::<16>(op, context, mask),
    }
}

fn run<const N: usize>(op: &Op, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let registers = &context.warp.registers;
    let addresses = registers.addresses(&op.address);
    let bytes = op.reduction.ty.bytes() as usize;
    let mut operands = [[0u128; 8]; 32];
    let mut swaps = [0u128; 32];
    for lane in crate::exec::lanes(mask) {
        for (k, b) in op.b.iter().enumerate() {
            operands[lane][k] = get(registers, *b, lane);
        }
        swaps[lane] = op.c.map_or(0, |c| get(registers, c, lane));
    }
    let old = context.atomic::<N>(&op.request, &addresses, mask, |lane, old| {
        let global = match op.request.space {
            Space::Global => true,
            Space::Generic => addresses[lane] >> 60 == 0,
            _ => false,
        };
        let mut new = old;
        for (k, slot) in new.chunks_mut(bytes).enumerate() {
            let mut wide = [0; 16];
            wide[..bytes].copy_from_slice(slot);
            let old = u128::from_le_bytes(wide);
            let value = op.reduction.apply(old, operands[lane][k], swaps[lane], global)?;
            slot.copy_from_slice(&value.to_le_bytes()[..bytes]);
        }
        Some(new)
    })?;
    let registers = &mut context.warp.registers;
    for (k, d) in op.d.iter().enumerate() {
        let value = |lane: usize| {
            let mut wide = [0; 16];
            wide[..bytes].copy_from_slice(&old[lane][k * bytes..(k + 1) * bytes]);
            u128::from_le_bytes(wide)
        };
        match *d {
            Reg::R32(r) => registers.set32(r, std::array::from_fn(|k| value(k) as u32), mask),
            Reg::R64(r) => registers.set64(r, std::array::from_fn(|k| value(k) as u64), mask),
            Reg::R128(r) => {
                registers.set64(r, std::array::from_fn(|k| value(k) as u64), mask);
                registers.set64(
                    R64(r.0 + 1),
                    std::array::from_fn(|k| (value(k) >> 64) as u64),
                    mask,
                );
            }
            Reg::P(_) => {}
        }
    }
    Ok(())
}
