//! The f64 reference of a product: register tiles over blocks of widened operands, or single entries by one dot each.

use half::{bf16, f16};

use super::{Matmul, Product};
use crate::ops::random::Stream;
use crate::ops::{DType, Expected, ExpectedPart, Inputs, Precision, Role, Tensor};

/// Up to this many flops every entry is computed.
const WHOLE: u64 = 1_000_000_000;
/// Seeded random entries of a larger product; the borders come on top.
const SAMPLES: u64 = 2048;
/// Seeded entries of the last row, and of the last column.
const BORDER: u64 = 256;
/// Stands for Σ|a||b| where that is 0 or nearly so.
const TINY: f64 = 1e-30;

/// The part of the tolerance that comes from operands and sums, not from rounding the result.
pub(super) fn sum_roundoff(k: usize, precision: Precision) -> f64 {
    let root = (k as f64).sqrt();
    // Tf32 cuts each operand by up to 2u; over long sums of normals these errors average out.
    let operands = match precision.inputs {
        DType::Tf32 => 4.0 * DType::Tf32.unit_roundoff() * (6.0 / root.max(1.0)).min(1.0),
        _ => 0.0,
    };
    precision.accumulate.unit_roundoff() * (4.0 + root) + operands
}

/// See [`Matmul::expected`].
pub(super) fn expected(
    p: &Matmul,
    precision: Precision,
    inputs: &Inputs,
    threads: usize,
) -> Expected {
    let (a, b) = (inputs.get(Role::A), inputs.get(Role::B));
    let tolerance = p.tolerance(precision);
    let (entries, values, mut scales) = if p.cost(precision).flops.0 <= WHOLE {
        let (values, sums) = whole(p, a, b, threads);
        (None, values, sums)
    } else {
        let entries = sample(p, inputs.seed);
        let (values, sums) = entries.iter().map(|&entry| dot(p, a, b, entry)).unzip();
        (Some(entries), values, sums)
    };
    let sum = sum_roundoff(p.k, precision);
    let output = precision.output.unit_roundoff();
    for (scale, value) in scales.iter_mut().zip(&values) {
        *scale = if tolerance == 0.0 || p.k == 0 {
            1.0
        } else {
            // Σ|a||b| for the sum, |c| for the rounding of the result, each with its part of the tolerance.
            ((sum * *scale + output * f64::abs(*value)) / tolerance).max(TINY)
        };
    }
    Expected { tolerance, parts: vec![ExpectedPart { role: Role::C, entries, values, scales }] }
}

/// Flat indices, in order and without repetition, of the entries that are computed of a large product: the corners of every
/// product of the batch or group, seeded ones in the last row and column, and anywhere.
fn sample(p: &Matmul, seed: u64) -> Vec<u64> {
    let stream = Stream::new(seed, 0xc0de);
    let (n, rows) = (p.n as u64, (p.m * p.batch) as u64);
    let mut entries = Vec::new();
    for product in p.products().iter().filter(|product| product.rows > 0) {
        let (first, last) = (product.c as u64, (product.c + (product.rows - 1) * p.n) as u64);
        entries.extend([first, first + n - 1, last, last + n - 1]);
    }
    let mut index = 0;
    let mut below = |bound| {
        index += 1;
        stream.below(index, bound)
    };
    for _ in 0..BORDER {
        entries.push((rows - 1) * n + below(n));
        entries.push(below(rows) * n + n - 1);
    }
    entries.sort_unstable();
    entries.dedup();
    let wanted = entries.len() + SAMPLES.min(rows * n / 2) as usize;
    while entries.len() < wanted {
        let missing = wanted - entries.len();
        entries.extend((0..missing).map(|_| below(rows * n)));
        entries.sort_unstable();
        entries.dedup();
    }
    entries
}

/// One entry and its Σ|a||b|.
fn dot(p: &Matmul, a: &Tensor, b: &Tensor, entry: u64) -> (f64, f64) {
    let (row, column) = (entry as usize / p.n, entry as usize % p.n);
    let products = p.products();
    let product = products
        .iter()
        .rfind(|product| product.rows > 0 && product.c <= entry as usize)
        .expect("an entry lies in a product");
    let row = row - product.c / p.n;
    let ((a_row, a_k), (b_k, b_column)) = (p.a_strides(), p.b_strides());
    (0..p.k).fold((0.0, 0.0), |(sum, scale), i| {
        let x = a.get(product.a + row * a_row + i * a_k);
        let y = b.get(product.b + i * b_k + column * b_column);
        (sum + x * y, scale + (x * y).abs())
    })
}

/// All entries and their Σ|a||b|; the rows are shared out to `threads` threads.
fn whole(p: &Matmul, a: &Tensor, b: &Tensor, threads: usize) -> (Vec<f64>, Vec<f64>) {
    let entries = p.m * p.batch * p.n;
    let (mut values, mut sums) = (vec![0.0; entries], vec![0.0; entries]);
    if entries == 0 || p.k == 0 {
        return (values, sums);
    }
    let products = p.products();
    let per_thread = (p.m * p.batch).div_ceil(threads.max(1));
    std::thread::scope(|scope| {
        let chunks =
            values.chunks_mut(per_thread * p.n).zip(sums.chunks_mut(per_thread * p.n)).enumerate();
        for (t, (values, sums)) in chunks {
            let products = &products;
            scope.spawn(move || rows(p, products, a, b, t * per_thread, values, sums));
        }
    });
    (values, sums)
}

/// The rows of C (counted over all products) from `first` on that `values` and `sums` hold.
fn rows(
    p: &Matmul,
    products: &[Product],
    a: &Tensor,
    b: &Tensor,
    first: usize,
    values: &mut [f64],
    sums: &mut [f64],
) {
    let end = first + values.len() / p.n;
    for product in products {
        let start = product.c / p.n;
        let (from, to) = (start.max(first), (start + product.rows).min(end));
        if from < to {
            let part = (from - first) * p.n..(to - first) * p.n;
            let (values, sums) = (&mut values[part.clone()], &mut sums[part]);
            block(p, product, from - start, a, b, values, sums);
        }
    }
}

/// Rows and columns of a register tile, and of a block of widened operands.
const TILE: (usize, usize) = (4, 8);
const BLOCK: (usize, usize) = (256, 256);

/// Rows `first..` of one product, block by block: B is widened to `[k block, columns]`, A to `[k block, 4]`.
fn block(
    p: &Matmul,
    product: &Product,
    first: usize,
    a: &Tensor,
    b: &Tensor,
    values: &mut [f64],
    sums: &mut [f64],
) {
    let (n, rows) = (p.n, values.len() / p.n);
    let (a_strides, b_strides) = (p.a_strides(), p.b_strides());
    let mut wide_b = vec![0.0; BLOCK.0 * BLOCK.1];
    let mut wide_a = vec![0.0; BLOCK.0 * TILE.0];
    for k0 in (0..p.k).step_by(BLOCK.0) {
        let depth = BLOCK.0.min(p.k - k0);
        for j0 in (0..n).step_by(BLOCK.1) {
            let columns = BLOCK.1.min(n - j0);
            let from = product.b + k0 * b_strides.0 + j0 * b_strides.1;
            gather(b, from, b_strides, (depth, columns), BLOCK.1, &mut wide_b);
            for i0 in (0..rows).step_by(TILE.0) {
                let height = TILE.0.min(rows - i0);
                let from = product.a + (first + i0) * a_strides.0 + k0 * a_strides.1;
                let along_k = (a_strides.1, a_strides.0);
                gather(a, from, along_k, (depth, height), TILE.0, &mut wide_a);
                for j in (0..columns).step_by(TILE.1) {
                    let (c, s) = tile_on_this_cpu(&wide_a[..depth * TILE.0], &wide_b[j..]);
                    for i in 0..height {
                        for (jj, (c, s)) in c[i].iter().zip(&s[i]).enumerate().take(columns - j) {
                            values[(i0 + i) * n + j0 + j + jj] += c;
                            sums[(i0 + i) * n + j0 + j + jj] += s;
                        }
                    }
                }
            }
        }
    }
}

type Tile = [[f64; TILE.1]; TILE.0];

/// A tile of the product and of the product of absolute values; `b` has rows of `BLOCK.1`.
#[inline(always)]
fn tile(a: &[f64], b: &[f64]) -> (Tile, Tile) {
    let (mut c, mut s) = ([[0.0; TILE.1]; TILE.0], [[0.0; TILE.1]; TILE.0]);
    for (x, y) in a.chunks_exact(TILE.0).zip(b.chunks(BLOCK.1)) {
        let y: &[f64; TILE.1] = y[..TILE.1].try_into().expect("a row of a tile");
        for i in 0..TILE.0 {
            for j in 0..TILE.1 {
                let term = x[i] * y[j];
                c[i][j] += term;
                s[i][j] += term.abs();
            }
        }
    }
    (c, s)
}

/// [`tile`], compiled for wider vectors where this processor has them.
fn tile_on_this_cpu(a: &[f64], b: &[f64]) -> (Tile, Tile) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2")]
        fn wide(a: &[f64], b: &[f64]) -> (Tile, Tile) {
            tile(a, b)
        }
        // SAFETY: the feature was detected on the line above.
        return unsafe { wide(a, b) };
    }
    tile(a, b)
}

/// Widens a `[rows, columns]` part that starts at `from` into `out`, whose rows are `width` apart; the rest of each row
/// becomes 0.
fn gather(
    t: &Tensor,
    from: usize,
    strides: (usize, usize),
    (rows, columns): (usize, usize),
    width: usize,
    out: &mut [f64],
) {
    fn copy<T: bytemuck::Pod>(
        t: &[T],
        (row, column): (usize, usize),
        shape: (usize, usize),
        width: usize,
        out: &mut [f64],
        wide: impl Fn(T) -> f64,
    ) {
        for (r, out) in out.chunks_mut(width).take(shape.0).enumerate() {
            if column == 1 {
                let line = &t[r * row..][..shape.1];
                out.iter_mut().zip(line).for_each(|(out, &x)| *out = wide(x));
            } else {
                let line = (0..shape.1).map(|c| t[r * row + c * column]);
                out.iter_mut().zip(line).for_each(|(out, x)| *out = wide(x));
            }
            out[shape.1..].fill(0.0);
        }
    }
    let shape = (rows, columns);
    match t.spec.dtype {
        DType::F32 | DType::Tf32 => {
            copy(&t.as_ref::<f32>()[from..], strides, shape, width, out, f64::from)
        }
        DType::Bf16 => {
            copy(&t.as_ref::<bf16>()[from..], strides, shape, width, out, |x| x.to_f32().into())
        }
        DType::F16 => copy(&t.as_ref::<f16>()[from..], strides, shape, width, out, f16::to_f64),
        DType::I8 => copy(&t.as_ref::<i8>()[from..], strides, shape, width, out, f64::from),
        _ => {
            for (r, out) in out.chunks_mut(width).take(rows).enumerate() {
                let element = |c| t.get(from + r * strides.0 + c * strides.1);
                out.iter_mut().enumerate().take(columns).for_each(|(c, out)| *out = element(c));
                out[columns..].fill(0.0);
            }
        }
    }
}

/// Widens `out.len()` neighbouring elements from `from` on.
pub(super) fn widen(t: &Tensor, from: usize, out: &mut [f64]) {
    let columns = out.len();
    if columns > 0 {
        gather(t, from, (columns, 1), (1, columns), columns, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Groups, Transpose};

    const PRECISIONS: [Precision; 4] =
        [Precision::F32, Precision::BF16, Precision::BF16_F32, Precision::INT8];

    fn shapes() -> Vec<Matmul> {
        let mut shapes = Vec::new();
        for (m, n, k) in [(1, 1, 1), (5, 9, 3), (13, 300, 270), (4, 8, 256), (7, 5, 513)] {
            for transpose in [Transpose::Nn, Transpose::Nt, Transpose::Tn] {
                shapes.push(Matmul { transpose, batch: 2, ..Matmul::new(m, n, k) });
            }
        }
        let groups = Some(Groups { experts: 5, skew: 2.0 });
        shapes.push(Matmul { groups, ..Matmul::new(7, 11, 5) });
        shapes.push(Matmul { groups, transpose: Transpose::Nt, ..Matmul::new(33, 11, 5) });
        shapes
    }

    #[test]
    fn blocks_and_single_dots_give_the_same_entries_at_any_thread_count() {
        for p in shapes() {
            let inputs = p.inputs(Precision::BF16, 1);
            let (a, b) = (inputs.get(Role::A), inputs.get(Role::B));
            let one = whole(&p, a, b, 1);
            assert_eq!(one, whole(&p, a, b, 3), "{p}");
            for entry in 0..one.0.len() {
                let (value, sum) = dot(&p, a, b, entry as u64);
                assert!((value - one.0[entry]).abs() <= 1e-12 * sum, "{p} entry {entry}");
                assert!((sum - one.1[entry]).abs() <= 1e-12 * sum, "{p} entry {entry}");
            }
        }
    }

    #[test]
    fn a_hand_counted_product_comes_out() {
        let p = Matmul { transpose: Transpose::Nt, ..Matmul::new(1, 2, 3) };
        let mut inputs = p.inputs(Precision::F32, 1);
        let tensors = std::sync::Arc::get_mut(&mut inputs.tensors).unwrap();
        tensors[0].as_mut::<f32>().copy_from_slice(&[1.0, -2.0, 3.0]);
        tensors[1].as_mut::<f32>().copy_from_slice(&[4.0, 5.0, 6.0, 1.0, 1.0, 1.0]);
        let (values, sums) = whole(&p, &inputs.tensors[0], &inputs.tensors[1], 2);
        assert_eq!(values, [12.0, 2.0]);
        assert_eq!(sums, [32.0, 6.0]);
    }

    #[test]
    fn empty_sums_are_zero_and_empty_results_are_empty() {
        let p = Matmul::new(3, 2, 0);
        let part = &p.expected(Precision::F32, &p.inputs(Precision::F32, 1), 2).parts[0];
        assert_eq!((&part.values[..], &part.scales[..]), (&[0.0; 6][..], &[1.0; 6][..]));
        for p in [Matmul::new(0, 2, 3), Matmul::new(2, 0, 3)] {
            assert!(p.expected(Precision::F32, &p.inputs(Precision::F32, 1), 2).is_full());
        }
    }

    #[test]
    fn zero_operands_have_a_positive_scale() {
        let p = Matmul::new(2, 2, 2);
        let mut inputs = p.inputs(Precision::F32, 1);
        std::sync::Arc::get_mut(&mut inputs.tensors).unwrap()[0].bytes.fill(0);
        assert!(p.expected(Precision::F32, &inputs, 1).parts[0].scales.iter().all(|&s| s > 0.0));
    }

    #[test]
    fn large_products_are_sampled_with_corners_and_borders() {
        let p = Matmul { batch: 2, ..Matmul::new(1025, 1023, 513) };
        let expected = p.expected(Precision::F32, &p.inputs(Precision::F32, 3), 2);
        let entries = expected.parts[0].entries.as_ref().expect("sampled");
        assert!(entries.len() >= 2048 && entries.is_sorted_by(|a, b| a < b));
        let (m, n) = (1025, 1023);
        for corner in [0, n - 1, (m - 1) * n, m * n - 1, m * n, 2 * m * n - n, 2 * m * n - 1] {
            assert!(entries.binary_search(&corner).is_ok(), "{corner}");
        }
        assert!(entries.iter().filter(|&&e| e / n == 2 * m - 1).count() > 100);
        assert!(entries.iter().filter(|&&e| e % n == n - 1).count() > 100);
    }

    #[test]
    fn integers_are_compared_exactly() {
        let p = Matmul::new(3, 4, 50);
        let expected = p.expected(Precision::INT8, &p.inputs(Precision::INT8, 3), 1);
        assert_eq!(expected.tolerance, 0.0);
        assert!(expected.parts[0].scales.iter().all(|&s| s == 1.0));
        assert!(expected.parts[0].values.iter().all(|v| v.fract() == 0.0));
    }

    /// The largest scaled error of a plain one-accumulator loop, with `weight(i)` for the i-th term.
    fn plain(p: &Matmul, precision: Precision, weight: impl Fn(usize) -> f32) -> (f64, f64) {
        let inputs = p.inputs(precision, 5);
        let (a, b) = (inputs.get(Role::A), inputs.get(Role::B));
        let expected = p.expected(precision, &inputs, 2);
        let part = &expected.parts[0];
        let mut worst = 0f64;
        for (entry, (want, scale)) in part.values.iter().zip(&part.scales).enumerate() {
            let (i, j) = (entry / p.n, entry % p.n);
            let mut sum = 0f32;
            for x in 0..p.k {
                sum += a.get(i * p.k + x) as f32 * b.get(x * p.n + j) as f32 * weight(x);
            }
            let sum = match precision.output {
                DType::Bf16 => bf16::from_f32(sum).to_f64(),
                _ => sum.into(),
            };
            worst = worst.max((sum - want).abs() / scale);
        }
        (worst, expected.tolerance)
    }

    #[test]
    fn a_plain_loop_passes_and_one_missing_or_doubled_term_does_not() {
        for k in [1, 2, 17, 256, 1024, 16384] {
            for precision in [Precision::F32, Precision::BF16_F32, Precision::BF16] {
                let p = Matmul::new(9, 31, k);
                let (right, tolerance) = plain(&p, precision, |_| 1.0);
                assert!(right <= tolerance, "k {k} {precision}: {right:e} > {tolerance:e}");
                for factor in [0.0, 2.0] {
                    let (wrong, _) =
                        plain(&p, precision, |i| if i == k / 2 { factor } else { 1.0 });
                    assert!(wrong > tolerance, "k {k} {precision}: {wrong:e} <= {tolerance:e}");
                }
            }
        }
    }

    #[test]
    fn sums_of_one_sign_pass_too() {
        let p = Matmul::new(5, 7, 16384);
        let mut inputs = p.inputs(Precision::F32, 5);
        for t in std::sync::Arc::get_mut(&mut inputs.tensors).unwrap() {
            t.as_mut::<f32>().iter_mut().for_each(|x| *x = x.abs());
        }
        let part = &p.expected(Precision::F32, &inputs, 1).parts[0];
        let (a, b) = (inputs.get(Role::A).as_ref::<f32>(), inputs.get(Role::B).as_ref::<f32>());
        for (entry, (want, scale)) in part.values.iter().zip(&part.scales).enumerate() {
            let sum = (0..p.k).fold(0f32, |s, x| s + a[entry / 7 * p.k + x] * b[x * 7 + entry % 7]);
            let deviation = (f64::from(sum) - want).abs() / scale;
            assert!(deviation <= p.tolerance(Precision::F32), "{deviation:e}");
        }
    }

    #[test]
    fn every_precision_has_a_finite_tolerance() {
        for precision in PRECISIONS {
            for k in [0, 1, 1 << 20] {
                let tolerance = Matmul::new(1, 1, k).tolerance(precision);
                assert!(tolerance.is_finite() && tolerance >= 0.0);
            }
        }
    }
}
