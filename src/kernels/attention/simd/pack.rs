//! Packing of operands into the panels that the register tile reads.

use super::vector::{Elem, Format};
use crate::kernels::attention::team::Shared;

/// Rows that one packing job covers; a multiple of every tile's sides, and even.
pub const CHUNK: usize = 96;

/// A row-major operand: `rows` rows of `width` numbers.
#[derive(Clone, Copy)]
pub struct Rows<'a, E> {
    /// Its numbers.
    pub data: &'a [E],
    /// Its row length.
    pub width: usize,
}

impl<'a, E: Elem> Rows<'a, E> {
    /// The matrix number `index` of a tensor of matrices of `rows` × `width`.
    pub fn of(tensor: &'a [E], index: usize, rows: usize, width: usize) -> Self {
        Rows { data: &tensor[index * rows * width..][..rows * width], width }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.width
    }

    fn row(&self, index: usize) -> &'a [E] {
        &self.data[index * self.width..][..self.width]
    }
}

/// Words that a row of `width` numbers takes.
pub const fn words<F: Format>(width: usize) -> usize {
    width.div_ceil(F::PER_WORD)
}

/// The f32 that [`across`] takes for `rows` rows.
pub const fn across_len<F: Format>(rows: usize, width: usize) -> usize {
    rows.next_multiple_of(CHUNK) * words::<F>(width)
}

/// The f32 that [`along`] takes for `rows` rows, in panels of `side` columns.
pub const fn along_len<F: Format>(rows: usize, width: usize, side: usize) -> usize {
    width.next_multiple_of(side) * words::<F>(rows.next_multiple_of(CHUNK))
}

/// Packs rows `CHUNK·chunk …` so that a product runs along a row: panels of `side` rows, word by word, the words of the
/// panel's rows beside each other. Rows beyond the end are zero. `to` is the chunk's part of the packed operand, `CHUNK`
/// times the words of a row.
#[inline(always)]
pub fn across<F: Format>(from: Rows<'_, F::Elem>, chunk: usize, side: usize, to: &mut [f32]) {
    let words = words::<F>(from.width);
    for (p, panel) in to.chunks_exact_mut(side * words).enumerate() {
        for j in 0..side {
            let index = chunk * CHUNK + p * side + j;
            let column = panel[j..].iter_mut().step_by(side);
            if index >= from.len() {
                column.for_each(|x| *x = 0.0);
                continue;
            }
            let row = from.row(index);
            if F::PER_WORD == 1 {
                column.zip(row).for_each(|(x, &e)| *x = F::word(e, F::Elem::ZERO));
            } else {
                for (x, pair) in column.zip(row.chunks(2)) {
                    *x = F::word(pair[0], pair.get(1).copied().unwrap_or(F::Elem::ZERO));
                }
            }
        }
    }
}

/// Packs rows `CHUNK·chunk …` so that a product runs across the rows: panels of `side` columns, one row (or pair of rows) of
/// the panel after the other. Rows and columns beyond the end are zero. `to` is the start of the whole packed operand.
///
/// # Safety
/// `to` has [`along_len`] elements, of which nobody else uses those of this chunk.
#[inline(always)]
pub unsafe fn along<F: Format>(
    from: Rows<'_, F::Elem>,
    chunk: usize,
    side: usize,
    to: Shared<f32>,
) {
    let all = words::<F>(from.len().next_multiple_of(CHUNK));
    let mine = CHUNK / F::PER_WORD;
    for p in 0..from.width.div_ceil(side) {
        // SAFETY: the chunk's part of a panel is contiguous, and the caller vouches for it.
        let to = unsafe { to.slice((p * all + chunk * mine) * side, mine * side) };
        let columns = p * side..((p + 1) * side).min(from.width);
        for (w, line) in to.chunks_exact_mut(side).enumerate() {
            let index = chunk * CHUNK + w * F::PER_WORD;
            if index >= from.len() {
                line.fill(0.0);
                continue;
            }
            let first = &from.row(index)[columns.clone()];
            if F::PER_WORD == 2 && index + 1 < from.len() {
                let second = &from.row(index + 1)[columns.clone()];
                for ((x, &a), &b) in line.iter_mut().zip(first).zip(second) {
                    *x = F::word(a, b);
                }
            } else {
                line.iter_mut().zip(first).for_each(|(x, &a)| *x = F::word(a, F::Elem::ZERO));
            }
            line[columns.len()..].fill(0.0);
        }
    }
}
