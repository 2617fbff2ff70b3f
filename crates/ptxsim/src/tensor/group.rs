//! The part of a warpgroup's product that one of its warps computes: 16 rows of D.
//!
//! Multiplicands in shared memory come as chunks of 16 bytes in the order of [`chunks`]; each covers what one row of 32 bytes of
//! k holds (all types have such a k).

use super::descriptor::{Descriptor, Major};
use super::element::Element;
use super::form::Form;
use super::fragment::Layout;
use super::product::{BitOp, Size, multiply_portable, vectorize};
use super::tile::{Lanes, accumulate, gather_accumulator, gather_rows, scatter};
use super::transpose::transpose;

/// A chunk of shared memory.
pub type Chunk = [u8; 16];

/// How many chunks `lines` rows of A or columns of B have.
pub const fn chunks(lines: usize) -> usize {
    2 * lines
}

vectorize! {
    /// Addresses of the chunks of rows (of A) or columns (of B) `first..first + lines`.
    ///
    /// With [`Major::K`] chunks 2i and 2i + 1 are the halves of line i; with [`Major::Mn`] the chunks of k = 0 come first, each
    /// of eight lines.
    pub fn addresses(
        descriptor: &Descriptor,
        major: Major,
        first: usize,
        lines: usize,
        out: &mut Vec<u32>,
    ) = find;
}

#[inline(always)]
fn find(descriptor: &Descriptor, major: Major, first: usize, lines: usize, out: &mut Vec<u32>) {
    out.resize(chunks(lines), 0);
    let (first, steps) = (first as u32, descriptor.steps(major));
    match major {
        Major::K => {
            for (i, pair) in out.chunks_exact_mut(2).enumerate() {
                pair[0] = steps.address(descriptor, first + i as u32, 0);
                pair[1] = steps.address(descriptor, first + i as u32, 1);
            }
        }
        Major::Mn => {
            for (k, row) in out.chunks_exact_mut(lines / 8).enumerate() {
                for (i, at) in row.iter_mut().enumerate() {
                    *at = steps.address(descriptor, k as u32, first / 8 + i as u32);
                }
            }
        }
    }
}

/// A multiplicand widened to a row-major tile: A as 16×k, B as k×n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Rows of the tile are lines.
    A,
    /// Columns of the tile are lines.
    B,
}

vectorize! {
    /// Widens `lines` lines from their chunks; entries are negated where `negate` says so. `flat` is room for a tile.
    ///
    /// # Panics
    /// If there are too few chunks, or the tile is too short.
    pub fn widen(
        side: Side,
        element: Element,
        major: Major,
        lines: usize,
        negate: bool,
        raw: &[Chunk],
        flat: &mut Vec<f32>,
        tile: &mut Vec<f32>,
    ) = widen_lines;
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn widen_lines(
    side: Side,
    element: Element,
    major: Major,
    lines: usize,
    negate: bool,
    raw: &[Chunk],
    flat: &mut Vec<f32>,
    tile: &mut Vec<f32>,
) {
    let raw = &raw[..chunks(lines)];
    let k = 256 / element.bits();
    tile.resize(lines * k, 0.0);
    // In memory's own order the tile is lines×k for K-major, k×lines for MN-major.
    if (side == Side::A) == (major == Major::K) {
        widen_flat(element, negate, raw, tile);
    } else {
        flat.resize(lines * k, 0.0);
        widen_flat(element, negate, raw, flat);
        let rows = if major == Major::K { lines } else { k };
        transpose(rows, flat, tile);
    }
}

#[inline(always)]
fn widen_flat(element: Element, negate: bool, raw: &[Chunk], out: &mut [f32]) {
    match element {
        // The element is a constant in the copies for the usual types.
        Element::Bf16 => widen_chunks::<8>(Element::Bf16, raw, out),
        Element::F16 => widen_chunks::<8>(Element::F16, raw, out),
        Element::Tf32 => widen_chunks::<4>(Element::Tf32, raw, out),
        Element::S8 => widen_chunks::<16>(Element::S8, raw, out),
        Element::E4m3 => widen_chunks::<16>(Element::E4m3, raw, out),
        _ => widen_chunks::<16>(element, raw, out),
    }
    if negate {
        out.iter_mut().for_each(|x| *x = -*x);
    }
}

#[inline(always)]
fn widen_chunks<const EACH: usize>(element: Element, raw: &[Chunk], out: &mut [f32]) {
    for (chunk, out) in raw.iter().zip(out.chunks_exact_mut(EACH)) {
        element.widen_16_bytes(words(chunk), out);
    }
}

/// The little-endian words of a chunk.
#[inline(always)]
pub fn words(chunk: &Chunk) -> [u32; 4] {
    std::array::from_fn(|w| {
        u32::from_le_bytes([chunk[4 * w], chunk[4 * w + 1], chunk[4 * w + 2], chunk[4 * w + 3]])
    })
}

/// Widens A from the four registers of a warp to a tile of 16×k.
///
/// # Panics
/// If the tile is too short.
pub fn widen_registers(form: &Form, negate: bool, registers: &[&Lanes], tile: &mut [f32]) {
    gather_rows(form.a, Layout::a(form.a, 16, form.k), registers, negate, tile);
}

vectorize! {
    /// D = A · B + C from widened A (16×k) and B (k×n), or D = A · B where there is no C; `sums` is room for 16×n numbers.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn multiply_rows(
        form: &Form,
        a: &[f32],
        b: &[f32],
        c: Option<&[&Lanes]>,
        sums: &mut [f32],
        d: &mut [Lanes],
    ) = rows;
}

#[inline(always)]
fn rows(
    form: &Form,
    a: &[f32],
    b: &[f32],
    c: Option<&[&Lanes]>,
    sums: &mut [f32],
    d: &mut [Lanes],
) {
    let layout = Layout::c(form.d, 16, form.n);
    let sums = &mut sums[..16 * form.n];
    match c {
        Some(c) if form.d != Element::S32 => gather_accumulator(form.d, layout, c, sums),
        _ => sums.fill(0.0),
    }
    let size = Size { m: 16, n: form.n, k: form.k };
    match form.k {
        16 => multiply_portable(Size { k: 16, ..size }, a, b, sums),
        _ => multiply_portable(size, a, b, sums),
    }
    store(form, sums, c, d);
}

/// Binary products: A as 16 rows and B as n columns of 8 words along k.
///
/// # Panics
/// If a slice is too short.
pub fn multiply_bits(
    form: &Form,
    op: BitOp,
    a: &[[u32; 8]],
    b: &[[u32; 8]],
    c: Option<&[&Lanes]>,
    sums: &mut [f32],
    d: &mut [Lanes],
) {
    for (i, line) in sums[..16 * form.n].chunks_exact_mut(form.n).enumerate() {
        for (sum, b) in line.iter_mut().zip(b) {
            *sum = a[i].iter().zip(b).map(|(a, b)| op.count(*a, *b)).sum::<u32>() as f32;
        }
    }
    store(form, sums, c, d);
}

#[inline(always)]
fn store(form: &Form, sums: &[f32], c: Option<&[&Lanes]>, d: &mut [Lanes]) {
    let layout = Layout::c(form.d, 16, form.n);
    match (form.d, c) {
        (Element::S32, Some(c)) => accumulate(layout, sums, c, form.saturate, d),
        (Element::S32, None) => accumulate(layout, sums, &[&[0; 32]; 128], false, d),
        _ => scatter(form.d, layout, sums, d),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks of a matrix whose element (line, k) of 16 bits is the number 256 line + k.
    fn raw(descriptor: &Descriptor, major: Major, lines: usize) -> Vec<Chunk> {
        let mut memory = vec![0u8; 1 << 16];
        for line in 0..lines {
            for k in 0..16 {
                let at = match major {
                    Major::K => descriptor.chunk(major, line as u32, k / 8) + k % 8 * 2,
                    Major::Mn => descriptor.chunk(major, k, line as u32 / 8) + line as u32 % 8 * 2,
                } as usize;
                memory[at..at + 2].copy_from_slice(&(256 * line as u16 + k as u16).to_le_bytes());
            }
        }
        let mut at = Vec::new();
        addresses(descriptor, major, 0, lines, &mut at);
        assert_eq!(at.len(), chunks(lines));
        at.iter().map(|a| memory[*a as usize..*a as usize + 16].try_into().unwrap()).collect()
    }

    #[test]
    fn chunks_become_rows_of_a_and_columns_of_b() {
        for mode in 0..4u64 {
            let descriptor = Descriptor::decode(64 << 16 | 256 << 32 | mode << 62);
            for major in [Major::K, Major::Mn] {
                for (side, lines) in [(Side::A, 16), (Side::B, 48)] {
                    let raw = raw(&descriptor, major, lines);
                    let (mut flat, mut tile) = (Vec::new(), Vec::new());
                    widen(side, Element::Bf16, major, lines, true, &raw, &mut flat, &mut tile);
                    for line in 0..lines {
                        for k in 0..16 {
                            let at = if side == Side::A { line * 16 + k } else { k * lines + line };
                            let bits = 256 * line as u32 + k as u32;
                            assert_eq!(tile[at].to_bits(), bits << 16 ^ 1 << 31);
                        }
                    }
                }
            }
        }
    }
}
