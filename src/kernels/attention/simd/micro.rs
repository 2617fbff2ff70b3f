//! The register tile that all products of attention go through.

use super::vector::{Format, Simd};

/// The left operand lies packed: M words of a tile together, one group for each step of the inner dimension.
pub const PACKED: usize = 0;
/// The left operand lies in rows of LD words, the inner dimension along a row.
pub const ROWS: usize = 1;
/// The left operand lies in rows of LD words, the inner dimension across the rows.
pub const ACROSS: usize = 2;

/// C is overwritten.
pub const SET: usize = 0;
/// The product is added to C.
pub const ADD: usize = 1;
/// Row i of C is multiplied by `alpha[i]` before the product is added.
pub const RESCALE: usize = 2;

/// The operands of a register tile.
#[derive(Clone, Copy)]
pub struct Tile {
    /// Words of the inner dimension.
    pub depth: usize,
    /// Left operand, in the layout of the call.
    pub a: *const f32,
    /// Right operand: NR words for each step of the inner dimension.
    pub b: *const f32,
    /// Result, in rows of `ldc`.
    pub c: *mut f32,
    /// Distance of the rows of C.
    pub ldc: usize,
    /// Factors of the rows of C, for [`RESCALE`] alone.
    pub alpha: *const f32,
}

/// `C (+)= A·B` for M rows and NV registers of columns, all sums in registers.
///
/// # Safety
/// `a` is valid for M × `depth` words in its layout, `b` for `depth`·NV·LANES words, `c` for reads (unless [`SET`]) and
/// writes of M rows of NV·LANES f32 at distance `ldc`, and `alpha` for M numbers in mode [`RESCALE`].
#[inline(always)]
pub unsafe fn micro<
    S: Simd,
    F: Format,
    const M: usize,
    const NV: usize,
    const LAYOUT: usize,
    const LD: usize,
    const MODE: usize,
>(
    s: S,
    t: Tile,
) {
    let (row, step) = match LAYOUT {
        PACKED => (1, M),
        ROWS => (LD, 1),
        _ => (1, LD),
    };
    let mut sums = [[s.splat(0.0); NV]; M];
    let (mut a, mut b) = (t.a, t.b);
    for _ in 0..t.depth {
        // SAFETY: `a` and `b` are inside the operands for `depth` steps, which the caller vouches for.
        unsafe {
            // A loop, for a library function might be left out of line, where it lacks the instruction set.
            let mut columns = [s.splat(0.0); NV];
            for (n, column) in columns.iter_mut().enumerate() {
                *column = s.load(b.add(n * S::LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = s.splat(*a.add(i * row));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = F::dot(s, x, column, *sum);
                }
            }
            a = a.add(step);
            b = b.add(NV * S::LANES);
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (n, &sum) in sums.iter().enumerate() {
            // SAFETY: the caller vouches for M rows of NV registers of C, and for M factors where they are used.
            unsafe {
                let at = t.c.add(i * t.ldc + n * S::LANES);
                let value = match MODE {
                    SET => sum,
                    ADD => s.add(s.load(at), sum),
                    _ => s.fma(s.load(at), s.splat(*t.alpha.add(i)), sum),
                };
                s.store(at, value);
            }
        }
    }
}
