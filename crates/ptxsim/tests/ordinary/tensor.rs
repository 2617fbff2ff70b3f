//! `corpus/src/{gemm_mma,gemm_wgmma,matrix_gemm,matrix_wmma,tma_store}.cu`: products on tensor cores, and tiles by TMA.

use ptxsim::tensor::map::{ElementType, Tiled};
use ptxsim::tensor::swizzle::Swizzle;
use ptxsim::{Pointer, TensorMap};

use crate::ladder::{assert_product, halves, wide};
use crate::{Kernel, Source, vary};

#[test]
pub(crate) fn a_product_fed_by_cp_async() {
    let [m, n, k] = [256, 128, vary([320, 352, 64])];
    let mut source = Source::new(1);
    let (a, b) = (halves(&source.floats(m * k)), halves(&source.floats(n * k)));
    let kernel = Kernel::new("gemm_mma", "gemm_mma").grid(n / 128, m / 128).block(256, 1);
    let kernel = kernel.shared(3 * 128 * 32 * 2 * 2).input(&a).input(&b).output::<u16>(m * n);
    let kernel = [m, n, k].iter().fold(kernel, |kernel, size| kernel.scalar(*size as i32));
    let (ran, b) = (kernel.run(), wide(&b));
    let out = wide(&ran.get::<u16>(0));
    assert_product(&out, [m, n, k], &wide(&a), |p, j| b[j * k + p], 7);
    let [flops, products] = [2 * m * n * k, m / 16 * n / 8 * k / 16].map(|x| x as u64);
    // Each block of 128×128 copies its rows of A and of B, 16 bytes a lane, whole sectors.
    let copied = (m / 128 * n / 128 * (128 + 128) * k * 2) as u64;
    ran.counts(|of| {
        assert_eq!(of("tensor_flops"), flops);
        assert_eq!(of("tensor_flops_m16n8k16.f32.bf16.bf16.f32"), flops);
        assert_eq!(of("tensor_instructions_m16n8k16.f32.bf16.bf16.f32"), products);
        assert_eq!(of("warp_tensor"), products);
        assert_eq!(of("cp_async_bytes"), copied);
        assert_eq!(of("cp_async_shared_bytes"), copied);
        assert_eq!(of("cp_async_sectors"), copied / 32);
        assert_eq!(of("cp_async_ideal_sectors"), copied / 32);
        // A line of 64 bytes in shared memory takes half a line of 128 in global memory.
        assert!(of("cp_async_lines") >= copied / 128);
        assert_eq!(of("cp_async_conflicts"), 0, "its tiles are swizzled");
        assert_eq!(of("shared_load_conflicts"), 0, "so ldmatrix has none either");
        assert_eq!(of("global_store_bytes"), 2 * (m * n) as u64);
        assert_eq!(of("global_load_bytes"), 0, "nothing is loaded by lanes");
    });
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
    let (ran, b) = (kernel.scalar(n as i32).scalar(k as i32).waits().run(), wide(&b));
    let out = wide(&ran.get::<u16>(0));
    assert_product(&out, [m, n, k], &wide(&a), |p, j| b[j * k + p], 7);
    // A block has 128 rows of A and of B; those of B come to all blocks of a cluster, and are read once.
    let row = 2 * k as u64;
    let tiles = (m / 128 * n / 128) as u64;
    ran.counts(|of| {
        assert_eq!(of("tensor_flops"), 2 * (m * n * k) as u64);
        assert_eq!(of("tma_load_bytes"), tiles * (128 + 128 / u64::from(blocks)) * row);
        assert_eq!(of("tma_shared_write_bytes"), tiles * (128 + 128) * row);
        assert_eq!(of("tma_store_bytes") + of("bulk_load_bytes"), 0);
        // Products of 64 rows read their A once, and 128 rows of B.
        assert_eq!(of("wgmma_shared_bytes"), 2 * tiles * (64 + 128) * row);
        assert_eq!(of("cluster_barriers") > 0, blocks == 2);
        assert!(of("mbarrier_waits") > 0 && of("mbarrier_arrivals") > 0);
    });
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
    let ran = kernel.scalar(2f32).run();
    ran.counts(|of| {
        assert_eq!(of("tma_store_bytes"), 2 * 128 * 64);
        assert_eq!(of("tma_shared_read_bytes"), 2 * 128 * 64);
    });
    let out = wide(&ran.get::<u16>(0));
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
