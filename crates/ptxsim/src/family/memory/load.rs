//! ld, ldu and st, of one value or a vector.

use super::modifiers::{hints, request};
use crate::ast::Operand;
use crate::error::{Fault, Result};
use crate::exec::{AccessKind, Context, Order, Registers, Request};
use crate::program::{Address, Lowering, R32, R64, Reg, Type};

/// A load.
#[derive(Debug)]
pub(crate) struct Load {
    request: Request,
    address: Address,
    to: To,
}

/// What a load fills.
#[derive(Debug)]
enum To {
    B32(R32),
    B64(R64),
    V2(R32, R32),
    V4([R32; 4]),
    W2(R64, R64),
    Any(Box<Elements>),
}

/// Elements of any width, in registers that may be wider.
#[derive(Debug)]
struct Elements {
    ty: Type,
    registers: Vec<Reg>,
    /// Bits of each register that a load fills: signed values are extended to all of them.
    bits: Vec<u32>,
}

/// A store.
#[derive(Debug)]
pub(crate) struct Store {
    request: Request,
    address: Address,
    from: From,
}

/// What a store writes.
#[derive(Debug)]
enum From {
    B32(R32),
    B64(R64),
    V2(R32, R32),
    V4([R32; 4]),
    W2(R64, R64),
    Any(Box<Elements>),
}

fn vector(l: &mut Lowering) -> usize {
    l.one_of(&[("v2", 2), ("v4", 4), ("v8", 8)]).unwrap_or(1)
}

fn elements<'a>(l: &Lowering, operand: &'a Operand, n: usize, ty: Type) -> Result<&'a [Operand]> {
    let parts = match operand {
        Operand::Vector(parts) => parts.as_slice(),
        single => std::slice::from_ref(single),
    };
    if ty == Type::Pred || !matches!(n as u32 * ty.bytes(), 1 | 2 | 4 | 8 | 16 | 32) {
        return Err(l.unsupported("its width"));
    }
    if parts.len() != n {
        Err(l.unsupported(format!("{} registers for {n} elements", parts.len())))
    } else {
        Ok(parts)
    }
}

/// Resolves `ld` and `ldu`.
pub(super) fn lower_load(l: &mut Lowering) -> Result<Load> {
    let policy = hints(l);
    let request = request(l, AccessKind::Read, Order::Weak)?;
    let n = vector(l);
    let ty = l.ty()?;
    let address = l.address(1)?;
    if policy {
        l.source64(2, Type::B64)?;
    }
    let operand = l.operand(0)?;
    let parts = elements(l, operand, n, ty)?;
    let registers = parts.iter().map(|part| l.write(part, ty)).collect::<Result<Vec<Reg>>>()?;
    let to = match (ty.bits(), registers.as_slice()) {
        (32, [Reg::R32(a)]) => To::B32(*a),
        (64, [Reg::R64(a)]) => To::B64(*a),
        (32, [Reg::R32(a), Reg::R32(b)]) => To::V2(*a, *b),
        (32, [Reg::R32(a), Reg::R32(b), Reg::R32(c), Reg::R32(d)]) => To::V4([*a, *b, *c, *d]),
        (64, [Reg::R64(a), Reg::R64(b)]) => To::W2(*a, *b),
        _ => {
            let bits: Vec<u32> = registers.iter().map(|r| l.register_bits(*r)).collect();
            if bits.iter().any(|b| *b < ty.bits()) {
                return Err(l.unsupported("a register narrower than the type"));
            }
            To::Any(Box::new(Elements { ty, registers, bits }))
        }
    };
    Ok(Load { request, address, to })
}

/// Resolves `st`.
pub(super) fn lower_store(l: &mut Lowering) -> Result<Store> {
    let policy = hints(l);
    let request = request(l, AccessKind::Write, Order::Weak)?;
    let n = vector(l);
    let ty = l.ty()?;
    let address = l.address(0)?;
    if policy {
        l.source64(2, Type::B64)?;
    }
    let operand = l.operand(1)?;
    let parts = elements(l, operand, n, ty)?;
    let registers = parts.iter().map(|part| l.read(part, ty)).collect::<Result<Vec<Reg>>>()?;
    let from = match (ty.bits(), registers.as_slice()) {
        (32, [Reg::R32(a)]) => From::B32(*a),
        (64, [Reg::R64(a)]) => From::B64(*a),
        (32, [Reg::R32(a), Reg::R32(b)]) => From::V2(*a, *b),
        (32, [Reg::R32(a), Reg::R32(b), Reg::R32(c), Reg::R32(d)]) => From::V4([*a, *b, *c, *d]),
        (64, [Reg::R64(a), Reg::R64(b)]) => From::W2(*a, *b),
        _ => {
            if registers.iter().any(|r| l.register_bits(*r) < ty.bits()) {
                return Err(l.unsupported("a register narrower than the type"));
            }
            From::Any(Box::new(Elements { ty, registers, bits: Vec::new() }))
        }
    };
    Ok(Store { request, address, from })
}

/// Part `k` of `P` bytes of what each lane has.
#[inline(always)]
fn words<const N: usize>(lanes: &[[u8; N]; 32], k: usize) -> [u32; 32] {
    std::array::from_fn(|lane| {
        u32::from_le_bytes(lanes[lane][4 * k..4 * k + 4].try_into().expect("4 bytes"))
    })
}

#[inline(always)]
fn doubles<const N: usize>(lanes: &[[u8; N]; 32], k: usize) -> [u64; 32] {
    std::array::from_fn(|lane| {
        u64::from_le_bytes(lanes[lane][8 * k..8 * k + 8].try_into().expect("8 bytes"))
    })
}

/// Executes a load.
#[inline(always)]
pub(super) fn load(op: &Load, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let addresses = context.warp.registers.addresses(&op.address);
    match &op.to {
        To::B32(d) => {
            let lanes = context.read::<4>(&op.request, &addresses, mask)?;
            context.warp.registers.set32(*d, words(&lanes, 0), mask);
        }
        To::B64(d) => {
            let lanes = context.read::<8>(&op.request, &addresses, mask)?;
            context.warp.registers.set64(*d, doubles(&lanes, 0), mask);
        }
        To::V2(a, b) => {
            let lanes = context.read::<8>(&op.request, &addresses, mask)?;
            for (k, d) in [a, b].into_iter().enumerate() {
                context.warp.registers.set32(*d, words(&lanes, k), mask);
            }
        }
        To::V4(d) => {
            let lanes = context.read::<16>(&op.request, &addresses, mask)?;
            for (k, d) in d.iter().enumerate() {
                context.warp.registers.set32(*d, words(&lanes, k), mask);
            }
        }
        To::W2(a, b) => {
            let lanes = context.read::<16>(&op.request, &addresses, mask)?;
            for (k, d) in [a, b].into_iter().enumerate() {
                context.warp.registers.set64(*d, doubles(&lanes, k), mask);
            }
        }
        To::Any(elements) => {
            let registers = elements.registers.len() as u32 * elements.ty.bytes();
            match registers {
                1 => load_any::<1>(op, elements, context, &addresses, mask)?,
                2 => load_any::<2>(op, elements, context, &addresses, mask)?,
                4 => load_any::<4>(op, elements, context, &addresses, mask)?,
                8 => load_any::<8>(op, elements, context, &addresses, mask)?,
                16 => load_any::<16>(op, elements, context, &addresses, mask)?,
                _ => load_any::<32>(op, elements, context, &addresses, mask)?,
            }
        }
    }
    Ok(())
}

fn load_any<const N: usize>(
    op: &Load,
    elements: &Elements,
    context: &mut Context,
    addresses: &[u64; 32],
    mask: u32,
) -> Result<(), Fault> {
    let lanes = context.read::<N>(&op.request, addresses, mask)?;
    let bytes = elements.ty.bytes() as usize;
    for (k, (register, bits)) in elements.registers.iter().zip(&elements.bits).enumerate() {
        let value = |lane: usize| {
            let mut wide = [0; 16];
            wide[..bytes].copy_from_slice(&lanes[lane][k * bytes..(k + 1) * bytes]);
            let shift = 128 - 8 * bytes as u32;
            let raw = u128::from_le_bytes(wide);
            let value = if elements.ty.is_signed() {
                ((raw << shift) as i128 >> shift) as u128
            } else {
                raw
            };
            if *bits == 128 { value } else { value & ((1 << bits) - 1) }
        };
        put(&mut context.warp.registers, *register, value, mask);
    }
    Ok(())
}

fn put(registers: &mut Registers, reg: Reg, value: impl Fn(usize) -> u128, mask: u32) {
    match reg {
        Reg::R32(r) => registers.set32(r, std::array::from_fn(|k| value(k) as u32), mask),
        Reg::R64(r) => registers.set64(r, std::array::from_fn(|k| value(k) as u64), mask),
        Reg::R128(r) => {
            registers.set64(r, std::array::from_fn(|k| value(k) as u64), mask);
            registers.set64(R64(r.0 + 1), std::array::from_fn(|k| (value(k) >> 64) as u64), mask);
        }
        Reg::P(_) => {}
    }
}

/// Lane `k` of a register.
pub(super) fn get(registers: &Registers, reg: Reg, lane: usize) -> u128 {
    match reg {
        Reg::R32(r) => registers.get32(r)[lane] as u128,
        Reg::R64(r) => registers.get64(r)[lane] as u128,
        Reg::R128(r) => {
            (registers.get64(R64(r.0 + 1))[lane] as u128) << 64 | registers.get64(r)[lane] as u128
        }
        Reg::P(_) => 0,
    }
}

/// Executes a store.
#[inline(always)]
pub(super) fn store(op: &Store, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let registers = &context.warp.registers;
    let addresses = registers.addresses(&op.address);
    match &op.from {
        From::B32(a) => {
            let values = registers.get32(*a).map(u32::to_le_bytes);
            context.write(&op.request, &addresses, mask, &values)
        }
        From::B64(a) => {
            let values = registers.get64(*a).map(u64::to_le_bytes);
            context.write(&op.request, &addresses, mask, &values)
        }
        From::V2(a, b) => {
            let parts = [registers.get32(*a), registers.get32(*b)];
            context.write(&op.request, &addresses, mask, &join::<2, 8>(parts))
        }
        From::V4(a) => {
            let parts = a.map(|a| registers.get32(a));
            context.write(&op.request, &addresses, mask, &join::<4, 16>(parts))
        }
        From::W2(a, b) => {
            let (a, b) = (registers.get64(*a), registers.get64(*b));
            let values =
                std::array::from_fn(|k| ((b[k] as u128) << 64 | a[k] as u128).to_le_bytes());
            context.write::<16>(&op.request, &addresses, mask, &values)
        }
        From::Any(elements) => match elements.registers.len() as u32 * elements.ty.bytes() {
            1 => store_any::<1>(op, elements, context, &addresses, mask),
            2 => store_any::<2>(op, elements, context, &addresses, mask),
            4 => store_any::<4>(op, elements, context, &addresses, mask),
            8 => store_any::<8>(op, elements, context, &addresses, mask),
            16 => store_any::<16>(op, elements, context, &addresses, mask),
            _ => store_any::<32>(op, elements, context, &addresses, mask),
        },
    }
}

#[inline(always)]
fn join<const P: usize, const N: usize>(parts: [&[u32; 32]; P]) -> [[u8; N]; 32] {
    let mut values = [[0; N]; 32];
    for lane in 0..32 {
        for (k, part) in parts.iter().enumerate() {
            values[lane][4 * k..4 * k + 4].copy_from_slice(&part[lane].to_le_bytes());
        }
    }
    values
}

fn store_any<const N: usize>(
    op: &Store,
    elements: &Elements,
    context: &mut Context,
    addresses: &[u64; 32],
    mask: u32,
) -> Result<(), Fault> {
    let bytes = elements.ty.bytes() as usize;
    let mut values = [[0; N]; 32];
    for (k, register) in elements.registers.iter().enumerate() {
        for lane in 0..32 {
            let value = get(&context.warp.registers, *register, lane).to_le_bytes();
            values[lane][k * bytes..(k + 1) * bytes].copy_from_slice(&value[..bytes]);
        }
    }
    context.write(&op.request, addresses, mask, &values)
}
