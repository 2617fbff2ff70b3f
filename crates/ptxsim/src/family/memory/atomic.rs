//! atom and red: all operations, types and vectors.
//!
//! Lanes of a warp take their turns in order. `.f32` additions to global memory flush subnormals, those to shared memory
//! do not (PTX ISA, "atom").

use super::load::get;
use super::modifiers::{hints, request};
use crate::ast::Operand;
use crate::error::{Fault, Result};
use crate::exec::{AccessKind, Context, Order, Request};
use crate::num::format::{Bf16, F16};
use crate::num::half::{self, HalfMode};
use crate::num::{Mode, Rounding, double, single};
use crate::program::{Address, Lowering, R64, Reg, Space, Type};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) struct Op {
    request: Request,
    address: Address,
    what: What,
    ty: Type,
    /// Where old values go; `red` has none.
    d: Vec<Reg>,
    /// Operands, one an element.
    b: Vec<Reg>,
    /// The new value of a compare-and-swap.
    c: Option<Reg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    And,
    Or,
    Xor,
    Exch,
    Cas,
    Add,
    Inc,
    Dec,
    Min,
    Max,
}

/// Resolves `atom` and `red`.
pub(super) fn lower(returns: bool, l: &mut Lowering) -> Result<Op> {
    let what = l.one_of(&[
        ("and", What::And),
        ("or", What::Or),
        ("xor", What::Xor),
        ("exch", What::Exch),
        ("cas", What::Cas),
        ("add", What::Add),
        ("inc", What::Inc),
        ("dec", What::Dec),
        ("min", What::Min),
        ("max", What::Max),
    ]);
    let Some(what) = what else { return Err(l.unsupported("its operation")) };
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
    Ok(Op { request, address, what, ty, d, b, c })
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
    match op.ty.bytes() as usize * op.b.len() {
        2 => run::<2>(op, context, mask),
        4 => run::<4>(op, context, mask),
        8 => run::<8>(op, context, mask),
        _ => run::<16>(op, context, mask),
    }
}

fn run<const N: usize>(op: &Op, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let registers = &context.warp.registers;
    let addresses = registers.addresses(&op.address);
    let bytes = op.ty.bytes() as usize;
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
            let value =
                change(op, u128::from_le_bytes(wide), operands[lane][k], swaps[lane], global)?;
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

/// The new value, or nothing where the old one stays.
fn change(op: &Op, old: u128, b: u128, c: u128, global: bool) -> Option<u128> {
    use Type::*;
    let mode = HalfMode::default();
    let keep = if op.ty.bits() == 128 { !0 } else { (1 << op.ty.bits()) - 1 };
    let b = b & keep;
    let signed = |v: u128| {
        let shift = 128 - op.ty.bits();
        (v << shift) as i128 >> shift
    };
    let less = if op.ty.is_signed() { signed(old) < signed(b) } else { old < b };
    let new = match (op.what, op.ty) {
        (What::And, _) => old & b,
        (What::Or, _) => old | b,
        (What::Xor, _) => old ^ b,
        (What::Exch, _) => b,
        (What::Cas, _) if old == b => c,
        (What::Cas, _) => return None,
        (What::Inc, _) => {
            if old >= b {
                0
            } else {
                old + 1
            }
        }
        (What::Dec, _) => {
            if old == 0 || old > b {
                b
            } else {
                old - 1
            }
        }
        (What::Add, F32) => {
            let mode = Mode { rounding: Rounding::Nearest, ftz: global, sat: false };
            single::add(old as u32, b as u32, mode) as u128
        }
        (What::Add, F64) => double::add(old as u64, b as u64, Rounding::Nearest) as u128,
        (What::Add, F16) => {
            half::add::<crate::num::format::F16>(old as u16, b as u16, mode) as u128
        }
        (What::Add, Bf16) => {
            half::add::<crate::num::format::Bf16>(old as u16, b as u16, mode) as u128
        }
        (What::Add, F16x2) => half::pair([old as u32, b as u32], |[a, b]| {
            half::add::<crate::num::format::F16>(a, b, mode)
        }) as u128,
        (What::Add, Bf16x2) => half::pair([old as u32, b as u32], |[a, b]| {
            half::add::<crate::num::format::Bf16>(a, b, mode)
        }) as u128,
        (What::Add, _) => old.wrapping_add(b),
        (What::Min | What::Max, ty) if matches!(ty, F16 | Bf16 | F16x2 | Bf16x2) => {
            extreme(ty, old as u32, b as u32, op.what == What::Max) as u128
        }
        (What::Min, _) => {
            if less {
                old
            } else {
                b
            }
        }
        (What::Max, _) => {
            if less {
                b
            } else {
                old
            }
        }
    };
    Some(new & keep)
}

fn extreme(ty: Type, a: u32, b: u32, max: bool) -> u32 {
    use crate::num::select::{Select, select};
    let how = Select { max, ..Select::default() };
    match ty {
        Type::F16 => select::<F16>(a, b, how),
        Type::Bf16 => select::<Bf16>(a, b, how),
        Type::F16x2 => half::pair([a, b], |[a, b]| select::<F16>(a as u32, b as u32, how) as u16),
        _ => half::pair([a, b], |[a, b]| select::<Bf16>(a as u32, b as u32, how) as u16),
    }
}
