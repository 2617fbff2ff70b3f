//! `corpus/src/transpose.cu`

use crate::{Kernel, Source, vary};

fn transpose(entry: &'static str, m: usize, n: usize) {
    let a = Source::new(7).floats(m * n);
    let kernel = Kernel::new("transpose", entry).grid(n.div_ceil(32), m.div_ceil(32)).block(32, 8);
    let kernel = if entry == "transpose_strided" {
        kernel.grid(n.div_ceil(32), m.div_ceil(8))
    } else {
        kernel
    };
    let kernel = kernel.input(&a).output::<f32>(m * n).scalar(m as i32).scalar(n as i32);
    let out = kernel.run().get::<f32>(0);
    for (i, found) in out.into_iter().enumerate() {
        assert_eq!(found, a[i % m * n + i / m]);
    }
}

#[test]
pub(crate) fn strided_stores_transpose() {
    let (m, n) = vary([(45, 33), (64, 64), (9, 300)]);
    transpose("transpose_strided", m, n);
}

#[test]
pub(crate) fn a_padded_tile_transposes_odd_sizes() {
    let (m, n) = vary([(45, 70), (64, 96), (33, 300)]);
    transpose("transpose_padded", m, n);
}

#[test]
pub(crate) fn a_permuted_tile_transposes() {
    let (m, n) = vary([(64, 96), (32, 128), (160, 32)]);
    transpose("transpose_swizzled", m, n);
}

#[test]
pub(crate) fn bytes_transpose_four_by_four() {
    let (m, n) = vary([(20, 36), (52, 64), (32, 32)]);
    let a: Vec<u8> = Source::new(9).words(m * n).iter().map(|x| *x as u8).collect();
    let kernel = Kernel::new("transpose", "transpose_bytes").grid(2, 2).block(8, 8);
    let kernel = kernel.input(&a).output::<u8>(m * n).scalar(m as i32).scalar(n as i32);
    for (i, found) in kernel.run().get::<u8>(0).into_iter().enumerate() {
        assert_eq!(found, a[i % m * n + i / m]);
    }
}
