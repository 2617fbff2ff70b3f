//! From fragments in registers to dense tiles and back.

use super::element::Element;
use super::fragment::Layout;
use crate::num::Rounding;
use crate::num::convert::f32_to_f16;

/// A register of every lane of a warp.
pub type Lanes = [u32; 32];

/// What a NaN of a float product reads as: tensor cores give one pattern, whatever went in.
pub const CANONICAL_NAN: u32 = 0x7fff_ffff;

/// Widens a multiplicand with 32-bit registers into a tile of `rows × columns`, row-major; entries are negated where `negate`
/// says so.
///
/// # Panics
/// If `tile` is shorter than the matrix.
#[inline(always)]
pub fn gather_rows(
    element: Element,
    layout: Layout,
    registers: &[&Lanes],
    negate: bool,
    tile: &mut [f32],
) {
    let columns = layout.columns();
    each_slice_row(element, layout, registers, negate, |row, column, values| {
        tile[row * columns + column..][..values.len()].copy_from_slice(values);
    });
}

/// The same for multiplicand B: the layout is that of the transpose, the tile is k×n.
#[inline(always)]
pub fn gather_columns(
    element: Element,
    layout: Layout,
    registers: &[&Lanes],
    negate: bool,
    tile: &mut [f32],
) {
    let n = layout.rows();
    each_slice_row(element, layout, registers, negate, |row, column, values| {
        for (i, &value) in values.iter().enumerate() {
            tile[(column + i) * n + row] = value;
        }
    });
}

/// Calls `put(row, first column, values)` for the four lanes that make a row of a slice.
#[inline(always)]
fn each_slice_row(
    element: Element,
    layout: Layout,
    registers: &[&Lanes],
    negate: bool,
    mut put: impl FnMut(usize, usize, &[f32]),
) {
    debug_assert_eq!(layout.run, layout.per_register);
    let sign = if negate { 1 << 31 } else { 0 };
    let mut values = [0f32; 32];
    let slices = layout.row_slices * layout.column_slices;
    for (slice, words) in registers[..slices].iter().enumerate() {
        let (first, column) = layout.origin(slice);
        for group in 0..8 {
            let row = first + group;
            let four = std::array::from_fn(|lane| words[4 * group + lane]);
            element.widen_16_bytes(four, &mut values);
            let values = &mut values[..4 * layout.run];
            if negate {
                values.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits() ^ sign));
            }
            put(row, column, values);
        }
    }
}

/// Reads an accumulator in `.f32` or `.f16` into a tile of m×n.
///
/// # Panics
/// If `tile` is shorter than the matrix.
#[inline(always)]
pub fn gather_accumulator(
    element: Element,
    layout: Layout,
    registers: &[&Lanes],
    tile: &mut [f32],
) {
    if element == Element::F16 {
        return gather_rows(element, layout, registers, false, tile);
    }
    let columns = layout.columns();
    for slice in 0..layout.row_slices * layout.column_slices {
        let (low, high) = (registers[2 * slice], registers[2 * slice + 1]);
        let (first, column) = layout.origin(slice);
        for group in 0..8 {
            let row = first + group;
            let out: &mut [f32] = &mut tile[row * columns + column..][..8];
            for lane in 0..4 {
                out[2 * lane] = f32::from_bits(low[4 * group + lane]);
                out[2 * lane + 1] = f32::from_bits(high[4 * group + lane]);
            }
        }
    }
}

/// Writes the registers of a result in `.f32` or `.f16` from a tile of m×n.
///
/// # Panics
/// If `tile` is shorter than the matrix.
#[inline(always)]
pub fn scatter(element: Element, layout: Layout, tile: &[f32], out: &mut [Lanes]) {
    for slice in 0..layout.row_slices * layout.column_slices {
        let [even, odd] = pair(layout, slice, tile);
        if element == Element::F16 {
            for lane in 0..32 {
                out[slice][lane] = half(even[lane]) | half(odd[lane]) << 16;
            }
        } else {
            for lane in 0..32 {
                out[2 * slice][lane] = canonical(even[lane]);
                out[2 * slice + 1][lane] = canonical(odd[lane]);
            }
        }
    }
}

#[inline(always)]
fn canonical(x: f32) -> u32 {
    if x.is_nan() { CANONICAL_NAN } else { x.to_bits() }
}

#[inline(always)]
fn half(x: f32) -> u32 {
    f32_to_f16(x.to_bits(), Rounding::Nearest) as u32
}

/// Writes `c` plus a tile of exact integer sums; `saturate` clamps to the range of `s32`, otherwise sums wrap.
///
/// # Panics
/// If `tile` is shorter than the matrix.
#[inline(always)]
pub fn accumulate(layout: Layout, tile: &[f32], c: &[&Lanes], saturate: bool, out: &mut [Lanes]) {
    for slice in 0..layout.row_slices * layout.column_slices {
        for (half, sums) in pair(layout, slice, tile).iter().enumerate() {
            let (c, out) = (c[2 * slice + half], &mut out[2 * slice + half]);
            for lane in 0..32 {
                // Below 2^24, see `product`: the conversion is exact and never clamps.
                let (c, sum) = (c[lane] as i32, sums[lane] as i32);
                out[lane] =
                    if saturate { c.saturating_add(sum) } else { c.wrapping_add(sum) } as u32;
            }
        }
    }
}

/// The two entries that each lane holds of a slice of an accumulator: those in even and in odd columns.
#[inline(always)]
fn pair(layout: Layout, slice: usize, tile: &[f32]) -> [[f32; 32]; 2] {
    let mut pair = [[0.0; 32]; 2];
    let (first, column) = layout.origin(slice);
    for group in 0..8 {
        let line = &tile[(first + group) * layout.columns() + column..][..8];
        for lane in 0..4 {
            pair[0][4 * group + lane] = line[2 * lane];
            pair[1][4 * group + lane] = line[2 * lane + 1];
        }
    }
    pair
}

#[cfg(test)]
mod tests {
    use super::*;
    use Element::*;

    fn registers(count: usize) -> Vec<Lanes> {
        let mut state = 88172645463325252u64;
        (0..count)
            .map(|_| {
                std::array::from_fn(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 16) as u32
                })
            })
            .collect()
    }

    fn refer(words: &[Lanes]) -> Vec<&Lanes> {
        words.iter().collect()
    }

    #[test]
    fn multiplicands_go_where_the_layout_says() {
        for (element, m, k) in
            [(F16, 16, 16), (Bf16, 16, 8), (Tf32, 16, 8), (S8, 8, 16), (U4, 16, 64)]
        {
            let (a, b) = (Layout::a(element, m, k), Layout::b(element, m, k));
            let words = registers(a.registers());
            let (mut rows, mut columns) = (vec![0.0; m * k], vec![0.0; m * k]);
            gather_rows(element, a, &refer(&words), false, &mut rows);
            gather_columns(element, b, &refer(&words), true, &mut columns);
            for i in 0..a.registers() * a.per_register {
                let shift = element.bits() * (i % a.per_register);
                for (lane, word) in words[i / a.per_register].iter().enumerate() {
                    let (row, column) = a.place(lane, i);
                    let want = element.widen(word >> shift);
                    assert_eq!(rows[row * k + column].to_bits(), want.to_bits());
                    assert_eq!(columns[column * m + row].to_bits(), (-want).to_bits());
                }
            }
        }
    }

    #[test]
    fn an_accumulator_comes_back_as_it_went_with_one_pattern_for_nan() {
        for (element, n) in [(F32, 8), (F16, 8), (F32, 256), (F16, 40)] {
            let layout = Layout::c(element, 16, n);
            let words = registers(layout.registers());
            let mut tile = vec![0.0; 16 * n];
            gather_accumulator(element, layout, &refer(&words), &mut tile);
            let mut back = vec![[0; 32]; words.len()];
            scatter(element, layout, &tile, &mut back);
            for (word, back) in words.iter().zip(back) {
                for (back, &word) in back.into_iter().zip(word) {
                    let want = match element {
                        F32 if f32::from_bits(word).is_nan() => CANONICAL_NAN,
                        F32 => word,
                        _ => [0, 16].iter().fold(0, |all, shift| {
                            let half = word >> shift & 0xffff;
                            let nan = half & 0x7fff > 0x7c00;
                            all | if nan { 0x7fff } else { half } << shift
                        }),
                    };
                    assert_eq!(back, want);
                }
            }
        }
    }

    #[test]
    fn integer_sums_wrap_or_saturate() {
        let layout = Layout::c(S32, 8, 8);
        let tile = [5.0; 64];
        let c = [i32::MAX as u32; 32];
        for (saturate, want) in [(true, i32::MAX), (false, i32::MIN + 4)] {
            let mut out = [[0; 32]; 2];
            accumulate(layout, &tile, &[&c; 2], saturate, &mut out);
            assert_eq!(out, [[want as u32; 32]; 2]);
        }
    }
}
