//! `ldmatrix`, `stmatrix` and `movmatrix` on 8×8 matrices of 16-bit elements (PTX ISA 9.7.14.5.15–17).
//!
//! A matrix is eight rows of 16 bytes; lane `8i + r` gives the address of row r of matrix i. In registers lane `4r + q` holds
//! elements 2q and 2q + 1 of row r, or of column r with `.trans`.

use crate::ast::Instruction;
use crate::error::{Fault, Kind, Result};
use crate::exec::access::SHARED_WINDOW;
use crate::exec::{AccessKind, Context, Request};
use crate::program::{Address, Lowering, R32, Space, Type};

/// A resolved instruction.
#[derive(Debug)]
pub(crate) enum Op {
    /// `ldmatrix`, `stmatrix`.
    Memory { store: bool, transpose: bool, request: Request, address: Address, registers: Vec<R32> },
    /// `movmatrix`: transposes.
    Move { d: R32, a: R32 },
}

pub(super) fn lower(i: &Instruction, l: &mut Lowering) -> Result<Op> {
    l.require("sync")?;
    l.require("aligned")?;
    if !l.flag("m8n8") {
        return Err(l.unsupported("only matrices of 8×8 elements of 16 bits are executed"));
    }
    if i.opcode == "movmatrix" {
        l.require("trans")?;
        l.require("b16")?;
        let a = l.source32(1, Type::B32)?;
        return Ok(Op::Move { d: l.destination32(0)?, a });
    }
    let store = i.opcode == "stmatrix";
    let count = l.one_of(&[("x1", 1), ("x2", 2), ("x4", 4)]);
    let count = count.ok_or_else(|| l.unsupported("the number of matrices is missing"))?;
    let transpose = l.flag("trans");
    let space = l.space();
    l.require("b16")?;
    if !matches!(space, Space::Shared | Space::Generic) {
        return Err(l.unsupported("matrices lie in shared memory of the own block"));
    }
    let kind = if store { AccessKind::Write } else { AccessKind::Read };
    let address = l.address(if store { 0 } else { 1 })?;
    let operands = l.vector(if store { 1 } else { 0 })?;
    if operands.len() != count {
        return Err(l.unsupported(format!("{count} matrices in {} registers", operands.len())));
    }
    let mut register = |o| if store { l.read32(o, Type::B32) } else { l.write32(o) };
    let registers = operands.iter().map(&mut register).collect::<Result<_>>()?;
    Ok(Op::Memory { store, transpose, request: Request::new(space, kind), address, registers })
}

pub(super) fn execute(op: &Op, context: &mut Context) -> Result<(), Fault> {
    match op {
        Op::Move { d, a } => {
            let transposed = columns(&rows(context.warp.registers.get32(*a)));
            context.warp.registers.set32(*d, transposed, !0);
        }
        Op::Memory { store, transpose, request, address, registers } => {
            let addresses = context.warp.registers.addresses(address);
            let mask = !0 >> (32 - 8 * registers.len());
            if request.space == Space::Generic && addresses[0] >> 60 != SHARED_WINDOW >> 60 {
                let message = format!("{:#x} is no address of shared memory", addresses[0]);
                return Err(Fault::new(Kind::OutOfBounds, message));
            }
            if *store {
                let mut lines = [[0; 16]; 32];
                for (lines, r) in lines.chunks_exact_mut(8).zip(registers) {
                    let register = context.warp.registers.get32(*r);
                    let matrix =
                        if *transpose { rows(&columns(&rows(register))) } else { rows(register) };
                    lines.copy_from_slice(&matrix);
                }
                return context.write(request, &addresses, mask, &lines);
            }
            let lines = context.read::<16>(request, &addresses, mask)?;
            for (lines, r) in lines.chunks_exact(8).zip(registers) {
                let lines: &[[u8; 16]; 8] = lines.try_into().expect("eight rows");
                let register = if *transpose { columns(lines) } else { words(lines) };
                context.warp.registers.set32(*r, register, !0);
            }
        }
    }
    Ok(())
}

/// Rows of the matrix that a register holds.
#[inline(always)]
fn rows(register: &[u32; 32]) -> [[u8; 16]; 8] {
    std::array::from_fn(|row| {
        std::array::from_fn(|byte| (register[4 * row + byte / 4] >> (8 * (byte % 4))) as u8)
    })
}

/// The register that holds a matrix row by row.
#[inline(always)]
fn words(rows: &[[u8; 16]; 8]) -> [u32; 32] {
    std::array::from_fn(|lane| {
        let row = &rows[lane / 4];
        u32::from_le_bytes(std::array::from_fn(|byte| row[lane % 4 * 4 + byte]))
    })
}

/// The register that holds a matrix column by column.
#[inline(always)]
fn columns(rows: &[[u8; 16]; 8]) -> [u32; 32] {
    std::array::from_fn(|lane| {
        let column = lane / 4 * 2;
        let element =
            |row: usize| u16::from_le_bytes([rows[row][column], rows[row][column + 1]]) as u32;
        let first = lane % 4 * 2;
        element(first) | element(first + 1) << 16
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lane_4r_plus_q_holds_elements_2q_and_2q_plus_1_of_row_or_column_r() {
        // Element (r, c) is 16 r + c.
        let matrix: [[u8; 16]; 8] = std::array::from_fn(|r| {
            std::array::from_fn(|b| if b % 2 == 0 { (16 * r + b / 2) as u8 } else { 0 })
        });
        for lane in 0..32u32 {
            let (r, q) = (lane / 4, lane % 4);
            let by_rows = (16 * r + 2 * q) | (16 * r + 2 * q + 1) << 16;
            assert_eq!(words(&matrix)[lane as usize], by_rows);
            let by_columns = (16 * 2 * q + r) | (16 * (2 * q + 1) + r) << 16;
            assert_eq!(columns(&matrix)[lane as usize], by_columns);
        }
        assert_eq!(rows(&words(&matrix)), matrix);
        assert_eq!(columns(&rows(&columns(&matrix))), words(&matrix));
    }
}
