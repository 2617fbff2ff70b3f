//! Rungs 1 to 4: on the ordinary pipes of any GPU.

use super::{block_a_tile, plan, product, refuses, variants};
use crate::kernels::cuda::{Architecture, CudaKernel, Needs};
use crate::ops::{Precision, Transpose};

const ALL: [Precision; 4] = [Precision::F32, Precision::BF16, Precision::BF16_F32, Precision::INT8];
const ANY: Needs = Needs::From(Architecture::plain(75));

/// Threads of a block of the first two rungs.
const THREADS: u32 = 256;
const WARPS: usize = THREADS as usize / 32;

/// `matmul/naive`.
pub(super) static NAIVE: CudaKernel = CudaKernel {
    id: "matmul/naive",
    about: "one thread an entry, lanes down a column of C: what everyone writes first",
    file: "kernels/matmul/naive.cu",
    text: include_str!("../../../../kernels/matmul/naive.cu"),
    needs: ANY,
    refuses: |case| refuses(case, &ALL),
    plan: |case, _| {
        let steps = block_a_tile(case, "matmul_naive", [32, WARPS], THREADS, 0);
        plan(case, &[("THREADS", THREADS)], steps)
    },
    variants: || variants(&ALL),
    claims: &[],
    registers: 64,
    shared: 0,
};

/// `matmul/coalesced`.
pub(super) static COALESCED: CudaKernel = CudaKernel {
    id: "matmul/coalesced",
    about: "one entry at a time, lanes where memory is contiguous: along n, for nt along k",
    file: "kernels/matmul/coalesced.cu",
    text: include_str!("../../../../kernels/matmul/coalesced.cu"),
    needs: ANY,
    refuses: |case| refuses(case, &ALL),
    plan: |case, _| {
        let shared_by_a_warp = product(case).transpose == Transpose::Nt;
        let tile = if shared_by_a_warp { [1, WARPS] } else { [WARPS, 32] };
        let steps = block_a_tile(case, "matmul_coalesced", tile, THREADS, 0);
        plan(case, &[("THREADS", THREADS)], steps)
    },
    variants: || variants(&ALL),
    claims: &[],
    registers: 64,
    shared: 0,
};

/// `matmul/tiled`.
pub(super) static TILED: CudaKernel = CudaKernel {
    id: "matmul/tiled",
    about: "32×32 tiles in shared memory, one thread an entry",
    file: "kernels/matmul/tiled.cu",
    text: include_str!("../../../../kernels/matmul/tiled.cu"),
    needs: ANY,
    refuses: |case| refuses(case, &ALL),
    plan: |case, _| {
        let steps = block_a_tile(case, "matmul_tiled", [32, 32], 32 * 32, 0);
        plan(case, &[("TILE", 32)], steps)
    },
    variants: || variants(&ALL),
    claims: &[],
    registers: 64,
    shared: 2 * 32 * 33 * 4,
};

/// `matmul/register-tiled`.
pub(super) static REGISTER_TILED: CudaKernel = CudaKernel {
    id: "matmul/register-tiled",
    about: "128×128 tiles, 8×8 entries a thread in registers, 16-byte accesses, two buffers",
    file: "kernels/matmul/register_tiled.cu",
    text: include_str!("../../../../kernels/matmul/register_tiled.cu"),
    needs: ANY,
    refuses: |case| refuses(case, &[Precision::F32]),
    plan: |case, _| {
        let steps = block_a_tile(case, "matmul_register_tiled", [128, 128], 256, 0);
        plan(case, &[("BM", 128), ("BN", 128), ("BK", 8)], steps)
    },
    variants: || variants(&[Precision::F32]),
    claims: &["FFMA", "LDG.E.128"],
    registers: 128,
    shared: 2 * 8 * (128 + 128 + 8) * 4,
};
