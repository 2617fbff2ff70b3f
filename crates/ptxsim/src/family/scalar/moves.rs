//! Moves: between registers, from constants and addresses, and in and out of vectors.

use super::shapes::{Rows, multiversion, operations};
use crate::ast::{Instruction, Operand};
use crate::error::Result;
use crate::exec::Registers;
use crate::program::{Lowering, R32, R64, Reg, Type};

/// A resolved move.
#[derive(Debug)]
pub(crate) enum Op {
    /// One value, or one part of a vector.
    One(Kind, Rows),
    /// Parts of a vector, one after another.
    Parts(Box<[(Kind, Rows)]>),
    /// Parts into one register: bits of each.
    Pack(Box<[Reg]>, Reg, u32),
    /// One register into parts.
    Unpack(Box<[Reg]>, Reg, u32),
}

operations! {
    N_N {
        Copy |a, _| a,
        Low16 |a, _| a & 0xFFFF,
        High16 |a, _| a >> 16,
    }
    NN_N {
        Pack16 |a, b, _| a | b << 16,
    }
    NN_W {
        Pack32 |a, b, _| (b as u64) << 32 | a as u64,
    }
    W_N {
        Low32 |a, _| a as u32,
        High32 |a, _| (a >> 32) as u32,
    }
    W_W {
        Copy64 |a, _| a,
    }
}

#[inline(always)]
fn parts(op: &Op, registers: &mut Registers, mask: u32) {
    match op {
        Op::One(..) => unreachable!("it has a path of its own"),
        Op::Parts(parts) => parts.iter().for_each(|(kind, rows)| run(*kind, registers, rows, mask)),
        Op::Pack(parts, whole, bits) => {
            let mut out = [0u128; 32];
            for (k, part) in parts.iter().enumerate() {
                let value = read(registers, *part);
                for lane in 0..32 {
                    out[lane] |= value[lane] << (k as u32 * bits);
                }
            }
            write(registers, *whole, out, mask);
        }
        Op::Unpack(parts, whole, bits) => {
            let value = read(registers, *whole);
            for (k, part) in parts.iter().enumerate() {
                let keep = (1u128 << bits) - 1;
                write(registers, *part, value.map(|v| v >> (k as u32 * bits) & keep), mask);
            }
        }
    }
}

multiversion! {
    fn many(op: &Op, registers: &mut Registers, mask: u32,) = parts
}

fn read(registers: &Registers, reg: Reg) -> [u128; 32] {
    match reg {
        Reg::R32(r) => registers.get32(r).map(u128::from),
        Reg::R64(r) => registers.get64(r).map(u128::from),
        Reg::R128(r) => {
            let (low, high) = (registers.get64(r), registers.get64(R64(r.0 + 1)));
            std::array::from_fn(|k| (high[k] as u128) << 64 | low[k] as u128)
        }
        Reg::P(_) => unreachable!("lowering takes no predicate"),
    }
}

fn write(registers: &mut Registers, reg: Reg, value: [u128; 32], mask: u32) {
    match reg {
        Reg::R32(r) => registers.set32(r, value.map(|v| v as u32), mask),
        Reg::R64(r) => registers.set64(r, value.map(|v| v as u64), mask),
        Reg::R128(r) => {
            registers.set64(r, value.map(|v| v as u64), mask);
            registers.set64(R64(r.0 + 1), value.map(|v| (v >> 64) as u64), mask);
        }
        Reg::P(_) => unreachable!("lowering takes no predicate"),
    }
}

impl Op {
    /// Executes it.
    #[inline(always)]
    pub fn execute(&self, registers: &mut Registers, mask: u32) {
        match self {
            Op::One(kind, rows) => run(*kind, registers, rows, mask),
            op => many(op, registers, mask),
        }
    }
}

/// Resolves a move.
pub(crate) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Option<Op>> {
    if i.opcode != "mov" {
        return Ok(None);
    }
    let ty = l.ty()?;
    let (d, a) = (l.operand(0)?, l.operand(1)?);
    match (d, a) {
        (Operand::Vector(parts), a) => unpack(parts, a, ty, l).map(Some),
        (d, Operand::Vector(parts)) => pack(d, parts, ty, l).map(Some),
        (d, a) => {
            let rows = |d: u16, a: u16| Rows { d, a, ..Rows::default() };
            Ok(Some(match ty.bits() {
                8..=32 => Op::One(Kind::Copy, rows(l.write32(d)?.0, l.read32(a, ty)?.0)),
                64 => Op::One(Kind::Copy64, rows(l.write64(d)?.0, l.read64(a, ty)?.0)),
                128 => match (l.write(d, ty)?, l.read(a, ty)?) {
                    (Reg::R128(d), Reg::R128(a)) => Op::Parts(
                        [(Kind::Copy64, rows(d.0, a.0)), (Kind::Copy64, rows(d.0 + 1, a.0 + 1))]
                            .into(),
                    ),
                    _ => return Err(l.unsupported("these registers")),
                },
                _ => return Err(l.unsupported("its type")),
            }))
        }
    }
}

/// Bits of a part of a value of type `ty` that is made of `n`.
fn part(l: &Lowering, ty: Type, n: usize) -> Result<(u32, Type)> {
    let bits = ty.bits() / n as u32;
    let part = match bits {
        8 => Type::B8,
        16 => Type::B16,
        32 => Type::B32,
        64 => Type::B64,
        _ => return Err(l.unsupported(format!("{n} parts"))),
    };
    if n as u32 * bits != ty.bits() {
        Err(l.unsupported(format!("{n} parts")))
    } else {
        Ok((bits, part))
    }
}

fn pack(d: &Operand, parts: &[Operand], ty: Type, l: &mut Lowering) -> Result<Op> {
    let (bits, part) = part(l, ty, parts.len())?;
    let sources = parts.iter().map(|p| l.read(p, part)).collect::<Result<Vec<Reg>>>()?;
    let d = l.write(d, ty)?;
    Ok(match (sources.as_slice(), d, bits) {
        ([Reg::R32(a), Reg::R32(b)], Reg::R32(d), 16) => {
            Op::One(Kind::Pack16, Rows { d: d.0, a: a.0, b: b.0, ..Rows::default() })
        }
        ([Reg::R32(a), Reg::R32(b)], Reg::R64(d), 32) => {
            Op::One(Kind::Pack32, Rows { d: d.0, a: a.0, b: b.0, ..Rows::default() })
        }
        _ => Op::Pack(sources.into(), d, bits),
    })
}

fn unpack(parts: &[Operand], a: &Operand, ty: Type, l: &mut Lowering) -> Result<Op> {
    let (bits, part) = part(l, ty, parts.len())?;
    let a = l.read(a, ty)?;
    let written = parts.iter().map(|p| l.write(p, part)).collect::<Result<Vec<Reg>>>()?;
    let one = |kind: Kind, d: R32, a: u16| (kind, Rows { d: d.0, a, ..Rows::default() });
    Ok(match (written.as_slice(), a, bits) {
        ([Reg::R32(x), Reg::R32(y)], Reg::R32(a), 16) => {
            Op::Parts([one(Kind::Low16, *x, a.0), one(Kind::High16, *y, a.0)].into())
        }
        ([Reg::R32(x), Reg::R32(y)], Reg::R64(a), 32) => {
            Op::Parts([one(Kind::Low32, *x, a.0), one(Kind::High32, *y, a.0)].into())
        }
        _ => Op::Unpack(written.into(), a, bits),
    })
}
