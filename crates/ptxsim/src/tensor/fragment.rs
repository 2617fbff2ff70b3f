//! Which lane holds which element of a matrix: fragments of `mma`, `wmma` and `wgmma` as data.
//!
//! PTX ISA 9.7.14.5.2–13 (`mma`) and 9.7.15.5.1.1 (`wgmma`) draw one figure a shape. They share one pattern: with
//! `groupID = lane / 4` and `threadID_in_group = lane % 4`, an 8-row slice of the matrix gives each lane a run of elements
//! that lie side by side, four lanes make a row of `4 · run` columns, and slices follow each other first down the rows,
//! then along the columns. A [`Layout`] says how long a run is, how many slices there are each way, and how many elements
//! share a register. Multiplicand B is the same with rows and columns exchanged. `mma.m8n8k4` on `.f16` is apart: [`quad`].

use super::element::Element;

/// A fragment: where each lane's elements lie in the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Elements that a lane holds side by side.
    pub run: usize,
    /// Slices of 8 rows.
    pub row_slices: usize,
    /// Slices of `4 · run` columns.
    pub column_slices: usize,
    /// Elements in a register.
    pub per_register: usize,
}

impl Layout {
    /// Multiplicand A of m×k elements, row-major slices; `wgmma` has the layout of m = 16 in each of its four warps.
    pub const fn a(element: Element, m: usize, k: usize) -> Layout {
        let run = packed(element);
        Layout { run, row_slices: m / 8, column_slices: k / (4 * run), per_register: run }
    }

    /// Multiplicand B of k×n elements, as its transpose: rows of the layout are columns of B.
    pub const fn b(element: Element, n: usize, k: usize) -> Layout {
        Layout::a(element, n, k)
    }

    /// Accumulator C or D of m×n elements.
    pub const fn c(element: Element, m: usize, n: usize) -> Layout {
        let per_register = if element.bits() == 16 { 2 } else { 1 };
        Layout { run: 2, row_slices: m / 8, column_slices: n / 8, per_register }
    }

    /// Registers of a lane.
    pub const fn registers(self) -> usize {
        self.run * self.row_slices * self.column_slices / self.per_register
    }

    /// Rows of the matrix.
    pub const fn rows(self) -> usize {
        8 * self.row_slices
    }

    /// Columns of the matrix.
    pub const fn columns(self) -> usize {
        4 * self.run * self.column_slices
    }

    /// First row and column of a slice.
    #[inline(always)]
    pub const fn origin(self, slice: usize) -> (usize, usize) {
        (8 * (slice % self.row_slices), 4 * self.run * (slice / self.row_slices))
    }

    /// Row and column of element `index` (registers in order, within one from its lowest bits) of a lane.
    #[inline(always)]
    pub const fn place(self, lane: usize, index: usize) -> (usize, usize) {
        let (slice, within) = (index / self.run, index % self.run);
        let (row, column) = self.origin(slice);
        (row + lane / 4, column + lane % 4 * self.run + within)
    }
}

/// Elements of a multiplicand in a register: `.f64` has 64-bit registers, all others 32-bit ones.
const fn packed(element: Element) -> usize {
    match element {
        Element::F64 => 1,
        _ => 32 / element.bits(),
    }
}

/// `mma.m8n8k4` with `.f16` multiplicands (PTX ISA 9.7.14.5.1): the warp computes four products, product `q` by lanes
/// `4q..4q+4` and `16+4q..16+4q+4`. All functions give row and column in a product's 8×4, 4×8 or 8×8 matrix.
pub mod quad {
    /// The product in which a lane takes part.
    pub const fn product(lane: usize) -> usize {
        lane % 16 / 4
    }

    const fn half(lane: usize) -> usize {
        4 * (lane / 16)
    }

    /// Element `index` (of 4) of A, stored by rows or by columns.
    pub const fn a(lane: usize, index: usize, by_columns: bool) -> (usize, usize) {
        if by_columns { (index + half(lane), lane % 4) } else { (lane % 4 + half(lane), index) }
    }

    /// Element `index` (of 4) of B, stored by rows or by columns.
    pub const fn b(lane: usize, index: usize, by_columns: bool) -> (usize, usize) {
        if by_columns { (index, lane % 4 + half(lane)) } else { (lane % 4, index + half(lane)) }
    }

    /// Element `index` (of 8) of C or D in `.f16`.
    pub const fn c_f16(lane: usize, index: usize) -> (usize, usize) {
        (lane % 4 + half(lane), index)
    }

    /// Element `index` (of 8) of C or D in `.f32`.
    pub const fn c_f32(lane: usize, index: usize) -> (usize, usize) {
        ((lane & 1) + (index & 2) + half(lane), (index & 4) + (lane & 2) + (index & 1))
    }
}

#[cfg(test)]
#[path = "fragment_tests.rs"]
mod tests;
