//! `corpus/{matmul,optimizer,peak}_*.ptx`: kernels that climb from what everyone writes first to tensor cores, as they are
//! measured on GPUs; one variant of each.

use ptxsim::tensor::map::{ElementType, Tiled};
use ptxsim::tensor::swizzle::Swizzle;
use ptxsim::{Pointer, TensorMap};

use crate::{Kernel, Source, Word, assert_close, vary};

/// The upper half of each float.
pub(crate) fn halves(x: &[f32]) -> Vec<u16> {
    x.iter().map(|x| (x.to_bits() >> 16) as u16).collect()
}

pub(crate) fn wide(x: &[u16]) -> Vec<f32> {
    x.iter().map(|x| f32::from_bits((*x as u32) << 16)).collect()
}

/// Compares C = A·B, in rows, with sums in `f64`: A is m×k in rows, `b` gives entry (p, j); an entry of C is rounded to
/// `bits` of mantissa; what vanishes below the least normal float may do so at every step.
pub(crate) fn assert_product(
    c: &[f32],
    [m, n, k]: [usize; 3],
    a: &[f32],
    b: impl Fn(usize, usize) -> f32,
    bits: i32,
) {
    assert_eq!(c.len(), m * n);
    for (at, found) in c.iter().enumerate() {
        let (i, j) = (at / n, at % n);
        let products = (0..k).map(|p| a[i * k + p] as f64 * b(p, j) as f64);
        let (sum, size) = products.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
        let rounding = k as f64 * 2f64.powi(-23) * size + sum.abs() * 2f64.powi(-bits - 1);
        let allowed = rounding + k as f64 * f32::MIN_POSITIVE as f64;
        let error = (*found as f64 - sum).abs();
        assert!(error <= allowed, "({i}, {j}): {found} instead of {sum}");
    }
}

/// Two products of f32, both operands in rows: every entry is a chain of fused multiply-adds in order of k, exactly.
fn single(entry: &'static str, [m, n, k]: [usize; 3], tile: [usize; 2], threads: usize) {
    let mut source = Source::new(1);
    let (a, b) = (source.floats(2 * m * k), source.floats(2 * k * n));
    let tiles = 2 * m.div_ceil(tile[0]) * n.div_ceil(tile[1]);
    let kernel = Kernel::new(entry, entry).grid(tiles, 1).block(threads, 1);
    let kernel = kernel.input(&a).input(&b).output::<f32>(2 * m * n);
    let out = kernel.scalar(m as u32).scalar(n as u32).scalar(k as u32).run().get::<f32>(0);
    for (at, found) in out.into_iter().enumerate() {
        let (row, column) = (at / n, at / (m * n) * k * n + at % n);
        let chain = (0..k).fold(0f32, |sum, p| a[row * k + p].mul_add(b[p * n + column], sum));
        assert_eq!(found, chain, "({row}, {column})");
    }
}

#[test]
pub(crate) fn a_product_by_one_thread_an_entry() {
    single("matmul_naive", [37, 19, 23], [32, 8], 256);
    single("matmul_naive", [3, 260, 300], [32, 8], 256);
}

#[test]
pub(crate) fn a_product_by_tiles_in_shared_memory() {
    single("matmul_tiled", vary([[45, 37, 50], [64, 32, 96], [33, 5, 257]]), [32, 32], 1024);
}

#[test]
pub(crate) fn a_product_by_tiles_in_registers() {
    single(
        "matmul_register_tiled",
        vary([
            [150, 132, 20],
            [128, 128, 40],
            [132, 256, 12],
            [4, 128, 16],
            [129, 132, 4],
            [256, 124, 28],
        ]),
        [128, 128],
        256,
    );
    single(
        "matmul_register_tiled",
        vary([[20, 135, 19], [129, 3, 33], [7, 273, 9], [131, 130, 5], [1, 1, 1], [127, 129, 15]]),
        [128, 128],
        256,
    );
    single("matmul_register_tiled", [260, 8, 268], [128, 128], 256);
}

/// Two products of bf16, both operands contiguous in k.
fn half(entry: &'static str, [m, n, k]: [usize; 3], tile: [usize; 2], threads: usize, ring: usize) {
    let mut source = Source::new(2);
    let (a, b) = (halves(&source.floats(2 * m * k)), halves(&source.floats(2 * n * k)));
    let tiles = 2 * m.div_ceil(tile[0]) * n.div_ceil(tile[1]);
    let kernel = Kernel::new(entry, entry).grid(tiles, 1).block(threads, 1).shared(ring);
    let kernel = kernel.input(&a).input(&b).output::<u16>(2 * m * n);
    let out = kernel.scalar(m as u32).scalar(n as u32).scalar(k as u32).run().get::<u16>(0);
    let (a, b, c) = (wide(&a), wide(&b), wide(&out));
    for (second, c) in c.chunks(m * n).enumerate() {
        let (a, b) = (&a[second * m * k..], &b[second * n * k..]);
        assert_product(c, [m, n, k], a, |p, j| b[j * k + p], 7);
    }
}

#[test]
pub(crate) fn a_product_by_one_warp_an_entry() {
    half("matmul_coalesced", [5, 19, vary([70, 33, 300])], [1, 8], 256, 0);
}

#[test]
pub(crate) fn a_product_by_mma_fed_by_a_ring_of_copies() {
    half(
        "matmul_mma",
        vary([
            [100, 72, 264],
            [64, 64, 328],
            [65, 192, 40],
            [128, 8, 104],
            [63, 65, 72],
            [1, 200, 8],
        ]),
        [64, 64],
        128,
        4 * 128 * 64,
    );
    half(
        "matmul_mma",
        vary([
            [70, 67, 45],
            [66, 129, 31],
            [3, 5, 170],
            [130, 66, 33],
            [65, 130, 63],
            [64, 63, 97],
        ]),
        [64, 64],
        128,
        4 * 128 * 64,
    );
}

/// A map of a batch of one matrix of bf16 in rows, in boxes of 64 columns.
fn map(columns: usize, rows: usize, box_rows: u32) -> impl Fn(Pointer) -> TensorMap {
    move |address| {
        TensorMap::encode(&Tiled {
            element: ElementType::Bf16,
            address,
            dims: vec![columns as u64, rows as u64, 1],
            strides: vec![2 * columns as u64, 2 * (columns * rows) as u64],
            tile: vec![64, box_rows, 1],
            element_strides: Vec::new(),
            swizzle: Swizzle::B128,
            fill_nan: false,
        })
        .unwrap()
    }
}

#[test]
pub(crate) fn a_product_by_wgmma_in_clusters_that_stay() {
    let [m, n, k] = vary([
        [150, 264, 584],
        [256, 256, 704],
        [40, 512, 328],
        [129, 8, 64],
        [384, 264, 72],
        [128, 256, 1096],
    ]);
    let mut source = Source::new(3);
    let (a, b) = (halves(&source.floats(m * k)), halves(&source.floats(n * k)));
    let kernel = Kernel::new("matmul_wgmma_tma", "matmul_wgmma_tma").grid(2, 1).block(384, 1);
    let kernel = kernel.shared(1024 + 4 * (128 + 256) * 64 * 2 + 2 * 2 * 64 * 128);
    let kernel = kernel.input(&a).hidden().input(&b).hidden().output::<u16>(m * n).hidden();
    let kernel = [m, n, k, 1].iter().fold(kernel, |kernel, size| kernel.scalar(*size as u32));
    let kernel = kernel.map(0, map(k, m, 128)).map(1, map(k, n, 128)).map(2, map(n, m, 64));
    let (out, b) = (kernel.run().get::<u16>(0), wide(&b));
    assert_product(&wide(&out), [m, n, k], &wide(&a), |p, j| b[j * k + p], 7);
}

/// rate, kept, beta1, 1 - beta1, beta2, 1 - beta2, eps, correction.
const STEP: [f32; 8] = [0.01, 0.999, 0.9, 0.1, 0.95, 0.05, 1e-6, 1.25];

fn constants(kernel: Kernel) -> Kernel {
    STEP.iter().fold(kernel, |kernel, x| kernel.scalar(*x))
}

#[test]
pub(crate) fn a_step_of_lion_by_one_thread_a_parameter() {
    let n = vary([700, 768, 513]);
    let mut source = Source::new(4);
    let (g, p, m) = (source.floats(n), source.floats(n), source.floats(n));
    let kernel = Kernel::new("optimizer_scalar", "optimizer_scalar").grid(3, 1).block(256, 1);
    let kernel = kernel.input(&g).in_out(&p).in_out(&m).scalar(n as u64);
    let out = constants(kernel).run();
    let [rate, kept, beta1, fresh1, beta2, fresh2, ..] = STEP.map(f64::from);
    let at = |x: &[f32], i: usize| x[i] as f64;
    let sign = |i| (beta1 * at(&m, i) + fresh1 * at(&g, i)).signum();
    assert_close(&out.get::<f32>(0), (0..n).map(|i| kept * at(&p, i) - rate * sign(i)), 1e-6);
    let moment = |i| beta2 * at(&m, i) + fresh2 * at(&g, i);
    assert_close(&out.get::<f32>(1), (0..n).map(moment), 1e-6);
}

#[test]
pub(crate) fn a_step_of_adamw_by_vectors() {
    let n = vary([9003, 4096, 2100]);
    let mut source = Source::new(5);
    let (g, p, m) = (source.floats(n), source.floats(n), source.floats(n));
    let v: Vec<f32> = source.floats(n).iter().map(|x| x.abs()).collect();
    let kernel = Kernel::new("optimizer_vectorized", "optimizer_vectorized").grid(2, 1);
    let kernel = kernel.block(256, 1).input(&g).in_out(&p).in_out(&m).in_out(&v).scalar(n as u64);
    let out = constants(kernel).run();
    let [rate, kept, beta1, fresh1, beta2, fresh2, eps, correction] = STEP.map(f64::from);
    let at = |x: &[f32], i: usize| x[i] as f64;
    let first = |i| beta1 * at(&m, i) + fresh1 * at(&g, i);
    let second = |i| beta2 * at(&v, i) + fresh2 * at(&g, i).powi(2);
    let step = |i| kept * at(&p, i) - rate * first(i) / (second(i).sqrt() * correction + eps);
    assert_close(&out.get::<f32>(0), (0..n).map(step), 1e-6);
    assert_close(&out.get::<f32>(1), (0..n).map(first), 1e-6);
    assert_close(&out.get::<f32>(2), (0..n).map(second), 1e-6);
}

#[test]
pub(crate) fn a_step_of_momentum_over_a_list_of_tensors() {
    let n = 5300;
    let mut source = Source::new(6);
    let (g, p) = (halves(&source.floats(n)), halves(&source.floats(n)));
    let m = source.floats(n);
    // First parameter and length; the second does not begin at 16 bytes.
    let tensors: [(i64, u64); 2] = [(0, 4991), (4991, 309)];
    let words = tensors.iter().flat_map(|&(first, len)| {
        let at = |of, size| Word::Address(of, first * size);
        [at(0, 2), at(1, 2), at(2, 4), Word::Number(0), Word::Number(len)]
    });
    let chunks = [0, 0, 0, 4096, 1, 0].map(Word::Number).to_vec();
    let kernel = Kernel::new("optimizer_multi_tensor", "optimizer_multi_tensor").grid(3, 1);
    let kernel = kernel.block(256, 1).input(&g).hidden().in_out(&p).hidden().in_out(&m).hidden();
    let out = constants(kernel.table(words.collect()).table(chunks)).run();
    let [rate, _, beta1, ..] = STEP.map(f64::from);
    let (g, p) = (wide(&g), wide(&p));
    let moment = |i: usize| beta1 * m[i] as f64 + g[i] as f64;
    assert_close(&out.get::<f32>(1), (0..n).map(moment), 1e-6);
    for (i, found) in wide(&out.get::<u16>(0)).iter().enumerate() {
        let step = p[i] as f64 - rate * moment(i);
        assert!((*found as f64 - step).abs() <= step.abs() / 256.0 + 1e-7, "{i}: {found} {step}");
    }
}

#[test]
pub(crate) fn streams_are_read_written_copied_and_added() {
    let n = vary([4 * 600 + 3, 5000, 21]);
    let kernel = |entry| Kernel::new("peak_streams", entry).block(256, 1);
    let x = Source::new(7).words(n);
    let partial = kernel("peak_read").grid(2, 1).input(&x).output::<u32>(2).scalar(n as u64);
    let partial = partial.run().get::<u32>(0);
    let all = kernel("peak_read_end").output::<u32>(1).input(&partial).scalar(2u32);
    assert_eq!(all.run().get::<u32>(0), [x.iter().fold(0, |all, x| all ^ x)]);

    let written = kernel("peak_write").grid(2, 1).input(&x[..16]).output::<u32>(n).scalar(n as u64);
    let written = written.run().get::<u32>(0);
    assert!(written.iter().enumerate().all(|(i, found)| *found == x[i % 16]));
    let copied = kernel("peak_copy").grid(2, 1).input(&x).output::<u32>(n).scalar(n as u64);
    assert_eq!(copied.run().get::<u32>(0), x);

    let (a, b) = (Source::new(8).floats(n), Source::new(9).floats(n));
    let triad = kernel("peak_triad").grid(2, 1).input(&a).input(&b).output::<f32>(n);
    let triad = triad.scalar(n as u64).run().get::<f32>(0);
    assert_close(&triad, a.iter().zip(&b).map(|(a, b)| *a as f64 + 3.0 * *b as f64), 1e-6);
}

#[test]
pub(crate) fn multiply_adds_are_chains_in_registers() {
    let mut source = Source::new(10);
    let (x, a, b) = (source.floats(384), source.floats(8), source.floats(8));
    for pairs in [0, vary([8, 9, 11]), vary([21, 32, 18u32])] {
        let kernel = Kernel::new("peak_fma", "peak_fma").grid(2, 1).block(384, 1);
        let kernel = kernel.input(&x).input(&a).input(&b).output::<f32>(8 * 384).scalar(pairs);
        let sets = kernel.run().get::<f32>(0);
        let expected = |i: usize| {
            let (a, b) = (a[i % 96 % 8], b[i % 96 % 8]);
            a.mul_add(b, (0..pairs).fold(x[i], |sum, _| a.mul_add(-b, a.mul_add(b, sum))))
        };
        assert!(sets.iter().enumerate().all(|(i, found)| *found == expected(i % 384)));
        for count in [3, 8u32] {
            let mean = Kernel::new("peak_fma", "peak_fma_mean").block(384, 1).output::<f32>(384);
            let mean = mean.input(&sets).scalar(count).run().get::<f32>(0);
            let sum = |i| (0..count as usize).fold(0f32, |sum, set| sum + sets[384 * set + i]);
            assert!(mean.iter().enumerate().all(|(i, found)| *found == sum(i) / count as f32));
        }
    }
}
