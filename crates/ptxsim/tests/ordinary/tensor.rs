//! `corpus/src/{gemm_mma,gemm_wgmma,matrix_gemm,matrix_wmma,tma_store}.cu`: products on tensor cores, and tiles by TMA.

use ptxsim::tensor::map::{ElementType, Tiled};
use ptxsim::tensor::swizzle::Swizzle;
use ptxsim::{Pointer, TensorMap};

use crate::ladder::{assert_product, halves, wide};
use crate::{Kernel, Source, vary};

#[test]
pub(crate) fn a_product_fed_by_cp_async() {
    let [m, n, k] = [128, 128, vary([320, 352, 64])];
    let mut source = Source::new(1);
    let (a, b) = (halves(&source.floats(m * k)), halves(&source.floats(n * k)));
    let kernel = Kernel::new("gemm_mma", "gemm_mma").grid(n / 128, m / 128).block(256, 1);
    let kernel = kernel.shared(3 * 128 * 32 * 2 * 2).input(&a).input(&b).output::<u16>(m * n);
    let kernel = [m, n, k].iter().fold(kernel, |kernel, size| kernel.scalar(*size as i32));
    let (out, b) = (kernel.run().get::<u16>(0), wide(&b));
    assert_product(&wide(&out), [m, n, k], &wide(&a), |p, j| b[j * k + p], 7);
}

/// A map of bf16 in rows, in tiles of 64 columns.
fn map(
    columns: usize,
    rows: usize,
    tile_rows: u32,
    swizzle: Swizzle,
) -> impl Fn(Pointer) -> TensorMap {
    move |address| {
        TensorMap::encode(&Tiled {
            element: ElementType::Bf16,
            address,
            dims: vec![columns as u64, rows as u64],
            strides: vec![2 * columns as u64],
            tile: vec![64, tile_rows],
            element_strides: Vec::new(),
            swizzle,
            fill_nan: false,
        })
        .unwrap()
    }
}

fn by_wgmma(entry: &'static str, blocks: u32, [n, k]: [usize; 2]) {
    let m = 128 * blocks as usize;
    let mut source = Source::new(2);
    let (a, b) = (halves(&source.floats(m * k)), halves(&source.floats(n * k)));
    let kernel = Kernel::new("gemm_wgmma", entry).grid(m / 128, n / 128).block(384, 1);
    let kernel = kernel.shared(4 * 32768 + 1024).input(&a).hidden().input(&b).hidden();
    let kernel = kernel.map(0, map(k, m, 128, Swizzle::B128));
    let kernel = kernel.map(1, map(k, n, 128 / blocks, Swizzle::B128)).output::<u16>(m * n);
    let (out, b) = (kernel.scalar(n as i32).scalar(k as i32).run().get::<u16>(0), wide(&b));
    assert_product(&wide(&out), [m, n, k], &wide(&a), |p, j| b[j * k + p], 7);
}

#[test]
pub(crate) fn a_product_by_warpgroups_fed_by_tma() {
    by_wgmma("gemm_wgmma", 1, [128, vary([832, 704, 896])]);
    by_wgmma("gemm_wgmma", 1, [256, 128]);
}

#[test]
pub(crate) fn a_product_by_clusters_that_share_tiles() {
    by_wgmma("gemm_wgmma_cl2", 2, [128, vary([832, 704, 896])]);
    by_wgmma("gemm_wgmma_cl2", 2, [256, 64]);
}

#[test]
pub(crate) fn tiles_that_tma_stores() {
    let kernel = Kernel::new("tma_store", "tma_store").grid(2, 1).block(128, 1);
    let kernel = kernel.output::<u16>(128 * 64).hidden().map(0, map(64, 128, 64, Swizzle::None));
    let out = wide(&kernel.scalar(2f32).run().get::<u16>(0));
    assert!(out.iter().enumerate().all(|(at, found)| *found == 2.0 * (at % 64) as f32));
}

#[test]
pub(crate) fn a_product_by_ldmatrix_and_mma() {
    let [m, n, k] = [64, 96, vary([80, 16, 160])];
    let mut source = Source::new(3);
    let (a, b) = (halves(&source.floats(m * k)), halves(&source.floats(k * n)));
    let kernel = Kernel::new("matrix_gemm", "matrix_gemm").grid(n / 32, m / 32).block(128, 1);
    let kernel = kernel.input(&a).input(&b).output::<f32>(m * n);
    let kernel = [m, n, k].iter().fold(kernel, |kernel, size| kernel.scalar(*size as i32));
    let (out, b) = (kernel.run().get::<f32>(0), wide(&b));
    assert_product(&out, [m, n, k], &wide(&a), |p, j| b[p * n + j], 23);
}

#[test]
pub(crate) fn a_product_by_the_wmma_interface() {
    let [m, n, k] = [32, 48, vary([64, 16, 112])];
    let mut source = Source::new(4);
    // Halves of f16 between 0.5 and 2, either sign.
    let mut matrix = |len| -> Vec<u16> {
        source.words(len).iter().map(|x| *x as u16 & 0x83ff | 0x3800).collect()
    };
    let (a, b) = (matrix(m * k), matrix(k * n));
    let float = |x: u16| {
        let size = (1.0 + (x & 0x3ff) as f32 / 1024.0) * 2f32.powi((x >> 10 & 31) as i32 - 15);
        if x >> 15 == 0 { size } else { -size }
    };
    let kernel = Kernel::new("matrix_wmma", "matrix_wmma").grid(n / 16, m / 16).block(32, 1);
    let kernel = kernel.input(&a).input(&b).output::<f32>(m * n);
    let kernel = [m, n, k].iter().fold(kernel, |kernel, size| kernel.scalar(*size as i32));
    let out = kernel.scalar(0.5f32).run().get::<f32>(0);
    let a: Vec<f32> = a.iter().map(|x| float(*x)).collect();
    assert_product(&out, [m, n, k], &a, |p, j| 0.5 * float(b[j * k + p]), 23);
}
