//! `corpus/src/sgemm.cu`

use crate::{Kernel, Source, vary};

/// Every entry is a chain of fused multiply-adds in order of k, exactly.
fn multiply(entry: &'static str, sizes: [usize; 3], grid: [usize; 2], block: [usize; 2]) {
    let [m, n, k] = sizes;
    let mut source = Source::new(m as u64);
    let (a, b) = (source.floats(m * k), source.floats(k * n));
    let kernel = Kernel::new("sgemm", entry).grid(grid[0], grid[1]).block(block[0], block[1]);
    let kernel = kernel.input(&a).input(&b).output::<f32>(m * n);
    let kernel = kernel.scalar(m as i32).scalar(n as i32).scalar(k as i32);
    for (at, found) in kernel.run().get::<f32>(0).into_iter().enumerate() {
        let chain = (0..k).fold(0f32, |sum, p| a[at / n * k + p].mul_add(b[p * n + at % n], sum));
        assert_eq!(found, chain, "({}, {})", at / n, at % n);
    }
}

#[test]
pub(crate) fn one_thread_an_entry() {
    multiply("sgemm_entry", [19, 37, 23], [2, 3], [32, 8]);
    multiply("sgemm_entry", [2, 260, 300], [9, 1], [32, 8]);
}

#[test]
pub(crate) fn tiles_in_shared_memory_of_odd_sizes() {
    multiply("sgemm_tiled", vary([[33, 29, 41], [48, 32, 64], [5, 3, 100]]), [2, 3], [16, 16]);
}

#[test]
pub(crate) fn tiles_in_registers_from_two_buffers() {
    multiply("sgemm_registers", [128, 64, vary([40, 96, 8])], [1, 2], [256, 1]);
}

#[test]
pub(crate) fn bytes_by_dp4a_are_exact() {
    let (m, n, k) = (9, 13, vary([24, 100, 4]));
    let mut source = Source::new(8);
    let (a, b) = (source.words(m * k / 4), source.words(n * k / 4));
    let kernel = Kernel::new("sgemm", "igemm_dp4a").grid(2, 2).block(8, 8);
    let kernel = kernel.input(&a).input(&b).output::<i32>(m * n);
    let kernel = kernel.scalar(m as i32).scalar(n as i32).scalar(k as i32 / 4);
    let byte = |words: &[u32], i: usize| (words[i / 4] >> (8 * (i % 4))) as u8 as i8 as i32;
    for (i, found) in kernel.run().get::<i32>(0).into_iter().enumerate() {
        let (row, column) = (i / n, i % n);
        let sum: i32 = (0..k).map(|p| byte(&a, row * k + p) * byte(&b, column * k + p)).sum();
        assert_eq!(found, sum);
    }
}
