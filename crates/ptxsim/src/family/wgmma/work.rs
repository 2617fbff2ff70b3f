//! Computing a warp's part of a product.

use super::state::Scratch;
use super::{A, Multiply};
use crate::error::{Fault, Kind};
use crate::exec::access::{Pattern, Region};
use crate::exec::{Access, AccessKind, Context, Request};
use crate::program::Space;
use crate::tensor::descriptor::{Descriptor, Major};
use crate::tensor::group::{
    Chunk, Side, addresses, multiply_bits, multiply_rows, widen, widen_registers, words,
};
use crate::tensor::tile::Lanes;

/// Reads of multiplicands.
const READ: Request = Request::new(Space::Shared, AccessKind::Read).asynchronous();

/// Most registers of D.
const MOST: usize = 128;

/// Computes 16 rows of D: `a` and `b` are the descriptors, `scale` whether D is added to.
pub(super) fn compute(
    op: &Multiply,
    context: &mut Context,
    a: u64,
    b: u64,
    scale: bool,
) -> Result<(), Fault> {
    let group = context.place.warp / 4;
    let mut scratch = std::mem::take(&mut context.block().state.wgmma.groups[group].scratch);
    let result = compute_in(op, context, &mut scratch, (a, b), scale);
    context.block().state.wgmma.groups[group].scratch = scratch;
    result
}

fn compute_in(
    op: &Multiply,
    context: &mut Context,
    scratch: &mut Scratch,
    (a, b): (u64, u64),
    scale: bool,
) -> Result<(), Fault> {
    let form = &op.form;
    let first = context.place.warp % 4 * 16;
    scratch.sums.resize(16 * form.n, 0.0);
    scratch.d.resize(op.d.len(), [0; 32]);
    // B first, for the room for raw chunks is used for A afterwards.
    fetch(context, scratch, b, op.majors[1], 0, form.n)?;
    let mut bits_b = Vec::new();
    if form.bit_op.is_some() {
        bits_b = lines(&scratch.raw);
    } else if scratch.b_of != Some(context.place.pc) || scratch.b_raw != scratch.raw {
        widen(
            Side::B,
            form.b,
            op.majors[1],
            form.n,
            op.negate[1],
            &scratch.raw,
            &mut scratch.flat,
            &mut scratch.b,
        );
        std::mem::swap(&mut scratch.b_raw, &mut scratch.raw);
        scratch.b_of = Some(context.place.pc);
    }
    if let A::Shared(_) = op.a {
        fetch(context, scratch, a, op.majors[0], first, 16)?;
    }
    let registers = &context.warp.registers;
    let refer = |k: usize| registers.get32(op.d[k.min(op.d.len() - 1)]);
    let accumulators: [&Lanes; MOST] = std::array::from_fn(refer);
    let c = scale.then_some(&accumulators[..op.d.len()]);
    let Scratch { a: tile, flat, raw, b, sums, d, .. } = scratch;
    if let Some(bit_op) = form.bit_op {
        let rows = match &op.a {
            A::Shared(_) => lines(raw),
            // Lane 4r + q of register 2h + v holds word 4h + q of row r + 8v.
            A::Registers(a) => (0..16)
                .map(|row| {
                    std::array::from_fn(|w| {
                        registers.get32(a[w / 4 * 2 + row / 8])[row % 8 * 4 + w % 4]
                    })
                })
                .collect(),
        };
        multiply_bits(form, bit_op, &rows, &bits_b, c, sums, d);
    } else {
        tile.resize(16 * form.k, 0.0);
        match &op.a {
            A::Shared(_) => widen(Side::A, form.a, op.majors[0], 16, op.negate[0], raw, flat, tile),
            A::Registers(a) => {
                widen_registers(form, op.negate[0], &a.map(|r| registers.get32(r)), tile)
            }
        }
        multiply_rows(form, tile, b, c, sums, d);
    }
    for (r, value) in op.d.iter().zip(&scratch.d) {
        context.warp.registers.set32(*r, *value, !0);
    }
    Ok(())
}

/// Lines of 256 bits as eight words each.
fn lines(raw: &[Chunk]) -> Vec<[u32; 8]> {
    raw.chunks_exact(2).map(|line| std::array::from_fn(|w| words(&line[w / 4])[w % 4])).collect()
}

/// Reads the chunks of lines `first..first + lines` into `scratch.raw`.
fn fetch(
    context: &mut Context,
    scratch: &mut Scratch,
    descriptor: u64,
    major: Major,
    first: usize,
    lines: usize,
) -> Result<(), Fault> {
    let base = (context.place.block as u64) << 24;
    addresses(&Descriptor::decode(descriptor), major, first, lines, &mut scratch.addresses);
    scratch.raw.clear();
    for batch in scratch.addresses.chunks(32) {
        let (at, mask) = rows(batch);
        let read = context.read::<16>(&READ, &at.map(|a| base | a), mask)?;
        scratch.raw.extend_from_slice(&read[..batch.len()]);
    }
    Ok(())
}

fn rows(batch: &[u32]) -> ([u64; 32], u32) {
    let mut at = [batch[0] as u64; 32];
    for (at, address) in at.iter_mut().zip(batch) {
        *at = *address as u64;
    }
    (at, !0 >> (32 - batch.len()))
}

/// Lets the checker see at the time of issue what the product may read from then on.
pub(super) fn look(op: &Multiply, context: &mut Context, a: u64, b: u64) -> Result<(), Fault> {
    let first = context.place.warp % 4 * 16;
    let region = Region::Shared(context.place.block);
    let size = context.block().shared.len() as u64;
    let mut at = Vec::new();
    let mut parts = vec![(b, op.majors[1], 0, op.form.n)];
    if let A::Shared(_) = op.a {
        parts.push((a, op.majors[0], first, 16));
    }
    for (descriptor, major, first, lines) in parts {
        addresses(&Descriptor::decode(descriptor), major, first, lines, &mut at);
        if let Some(outside) = at.iter().find(|a| **a as u64 + 16 > size) {
            let message = format!(
                "the descriptor {descriptor:#x} leads to {outside:#x}, outside of shared memory"
            );
            return Err(Fault::new(Kind::Invalid, message));
        }
        for batch in at.chunks(32) {
            let (offsets, lanes) = rows(batch);
            let pattern = Pattern::Any;
            let access =
                Access { request: &READ, region, bytes: 16, lanes, offsets: &offsets, pattern };
            context.machine.look(context.place, &access);
        }
    }
    Ok(())
}
