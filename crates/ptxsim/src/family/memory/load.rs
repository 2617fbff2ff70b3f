//! ld, ldu and st, of one value or a vector.

use super::modifiers::{hints, request};
use crate::error::{Fault, Result};
use crate::exec::{AccessKind, Context, Order, Registers, Request};
use crate::program::{Address, Lowering, R32, R64, Reg, Type};

/// A load or a store.
#[derive(Debug)]
pub(crate) struct Access {
    request: Request,
    address: Address,
    fields: Fields,
}

/// The registers that a load fills or a store writes, the usual forms by themselves.
#[derive(Debug)]
enum Fields {
    B32(R32),
    B64(R64),
    V2(R32, R32),
    V4([R32; 4]),
    W2(R64, R64),
    /// One of 8 or 16 bits in a row of 32.
    Narrow(R32, Narrow),
    Any(Box<Elements>),
}

/// A value narrower than the row that holds it.
#[derive(Debug, Clone, Copy)]
struct Narrow {
    ty: Type,
    /// Bits of the register.
    bits: u32,
}

impl Narrow {
    /// What the register gets of the bits that were read.
    #[inline(always)]
    fn extend(self, raw: u32) -> u32 {
        let shift = 32 - self.ty.bits();
        let value = if self.ty.is_signed() { ((raw << shift) as i32 >> shift) as u32 } else { raw };
        value & !0 >> (32 - self.bits)
    }
}

/// Elements of any width, in registers that may be wider.
#[derive(Debug)]
struct Elements {
    ty: Type,
    registers: Vec<Reg>,
    /// Bits of each register: a load extends signed values to all of them.
    bits: Vec<u32>,
}

impl Elements {
    /// Bytes of all of them.
    fn bytes(&self) -> usize {
        self.registers.len() * self.ty.bytes() as usize
    }
}

/// Resolves `ld` and `ldu`.
pub(super) fn lower_load(l: &mut Lowering) -> Result<Access> {
    lower(l, AccessKind::Read)
}

/// Resolves `st`.
pub(super) fn lower_store(l: &mut Lowering) -> Result<Access> {
    lower(l, AccessKind::Write)
}

fn lower(l: &mut Lowering, kind: AccessKind) -> Result<Access> {
    let store = kind == AccessKind::Write;
    let policy = hints(l);
    let request = request(l, kind, Order::Weak)?;
    let n = l.one_of(&[("v2", 2), ("v4", 4), ("v8", 8)]).unwrap_or(1);
    let ty = l.ty()?;
    let address = l.address(if store { 0 } else { 1 })?;
    if policy {
        l.source64(2, Type::B64)?;
    }
    let parts = l.vector(if store { 1 } else { 0 })?;
    if ty == Type::Pred || !matches!(n as u32 * ty.bytes(), 1 | 2 | 4 | 8 | 16 | 32) {
        return Err(l.unsupported("its width"));
    }
    if parts.len() != n {
        return Err(l.unsupported(format!("{} registers for {n} elements", parts.len())));
    }
    let mut register = |part| if store { l.read(part, ty) } else { l.write(part, ty) };
    let registers = parts.iter().map(&mut register).collect::<Result<Vec<Reg>>>()?;
    let fields = match (ty.bits(), registers.as_slice()) {
        (32, [Reg::R32(a)]) => Fields::B32(*a),
        (64, [Reg::R64(a)]) => Fields::B64(*a),
        (32, [Reg::R32(a), Reg::R32(b)]) => Fields::V2(*a, *b),
        (32, [Reg::R32(a), Reg::R32(b), Reg::R32(c), Reg::R32(d)]) => Fields::V4([*a, *b, *c, *d]),
        (64, [Reg::R64(a), Reg::R64(b)]) => Fields::W2(*a, *b),
        _ => {
            let bits: Vec<u32> = registers.iter().map(|r| l.register_bits(*r)).collect();
            if bits.iter().any(|b| *b < ty.bits()) {
                return Err(l.unsupported("a register narrower than the type"));
            }
            match (registers.as_slice(), ty.bits()) {
                ([Reg::R32(a)], 8 | 16) => Fields::Narrow(*a, Narrow { ty, bits: bits[0] }),
                _ => Fields::Any(Box::new(Elements { ty, registers, bits })),
            }
        }
    };
    Ok(Access { request, address, fields })
}

/// Calls a function of as many bytes as elements have.
macro_rules! by_bytes {
    ($elements:expr, $function:ident $arguments:tt) => {
        match $elements.bytes() {
            1 => $function::<1> $arguments,
            2 => $function::<2> $arguments,
            4 => $function::<4> $arguments,
            8 => $function::<8> $arguments,
            16 => $function::<16> $arguments,
            _ => $function::<32> $arguments,
        }
    };
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
pub(super) fn load(op: &Access, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let addresses = context.warp.registers.addresses(&op.address);
    match &op.fields {
        Fields::B32(d) => {
            let lanes = context.read::<4>(&op.request, &addresses, mask)?;
            context.warp.registers.set32(*d, words(&lanes, 0), mask);
        }
        Fields::B64(d) => {
            let lanes = context.read::<8>(&op.request, &addresses, mask)?;
            context.warp.registers.set64(*d, doubles(&lanes, 0), mask);
        }
        Fields::V2(a, b) => {
            let lanes = context.read::<8>(&op.request, &addresses, mask)?;
            for (k, d) in [a, b].into_iter().enumerate() {
                context.warp.registers.set32(*d, words(&lanes, k), mask);
            }
        }
        Fields::V4(d) => {
            let lanes = context.read::<16>(&op.request, &addresses, mask)?;
            for (k, d) in d.iter().enumerate() {
                context.warp.registers.set32(*d, words(&lanes, k), mask);
            }
        }
        Fields::W2(a, b) => {
            let lanes = context.read::<16>(&op.request, &addresses, mask)?;
            for (k, d) in [a, b].into_iter().enumerate() {
                context.warp.registers.set64(*d, doubles(&lanes, k), mask);
            }
        }
        Fields::Narrow(d, narrow) => {
            let values = match narrow.ty.bits() {
                8 => context.read::<1>(&op.request, &addresses, mask)?.map(|[b]| b as u32),
                _ => {
                    let lanes = context.read::<2>(&op.request, &addresses, mask)?;
                    lanes.map(|half| u16::from_le_bytes(half) as u32)
                }
            };
            let narrow = *narrow;
            context.warp.registers.set32(*d, values.map(|raw| narrow.extend(raw)), mask);
        }
        Fields::Any(elements) => {
            by_bytes!(elements, load_any(op, elements, context, &addresses, mask))?;
        }
    }
    Ok(())
}

fn load_any<const N: usize>(
    op: &Access,
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
pub(crate) fn get(registers: &Registers, reg: Reg, lane: usize) -> u128 {
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
pub(super) fn store(op: &Access, context: &mut Context, mask: u32) -> Result<(), Fault> {
    let registers = &context.warp.registers;
    let addresses = registers.addresses(&op.address);
    match &op.fields {
        Fields::B32(a) => {
            let values = registers.get32(*a).map(u32::to_le_bytes);
            context.write(&op.request, &addresses, mask, &values)
        }
        Fields::B64(a) => {
            let values = registers.get64(*a).map(u64::to_le_bytes);
            context.write(&op.request, &addresses, mask, &values)
        }
        Fields::V2(a, b) => {
            let parts = [registers.get32(*a), registers.get32(*b)];
            context.write(&op.request, &addresses, mask, &join::<2, 8>(parts))
        }
        Fields::V4(a) => {
            let parts = a.map(|a| registers.get32(a));
            context.write(&op.request, &addresses, mask, &join::<4, 16>(parts))
        }
        Fields::W2(a, b) => {
            let (a, b) = (registers.get64(*a), registers.get64(*b));
            let values =
                std::array::from_fn(|k| ((b[k] as u128) << 64 | a[k] as u128).to_le_bytes());
            context.write::<16>(&op.request, &addresses, mask, &values)
        }
        Fields::Narrow(a, narrow) => {
            let row = registers.get32(*a);
            match narrow.ty.bits() {
                8 => {
                    let values = row.map(|value| [value as u8]);
                    context.write(&op.request, &addresses, mask, &values)
                }
                _ => {
                    let values = row.map(|value| (value as u16).to_le_bytes());
                    context.write(&op.request, &addresses, mask, &values)
                }
            }
        }
        Fields::Any(elements) => {
            by_bytes!(elements, store_any(op, elements, context, &addresses, mask))
        }
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
    op: &Access,
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
