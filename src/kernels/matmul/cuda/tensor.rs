//! Rungs 5 and 6: on tensor cores.

use std::borrow::Cow;

use super::{block_a_tile, plan, product, refuses, tiles, variants};
use crate::kernels::cuda::{
    Architecture, Buffer, CudaKernel, MapType, Needs, Plan, Scalar, Step, Swizzle, TensorMap,
};
use crate::ops::{Case, DType, Matmul, Precision, Transpose};

const BF16: [Precision; 2] = [Precision::BF16, Precision::BF16_F32];
const MMA_TYPES: [Precision; 3] = [Precision::BF16, Precision::BF16_F32, Precision::INT8];

/// `matmul/mma`.
pub(super) static MMA: CudaKernel = CudaKernel {
    id: "matmul/mma",
    about: "128×128 tiles by mma.sync, a ring of cp.async copies 3 steps ahead, ldmatrix",
    file: "kernels/matmul/mma.cu",
    text: include_str!("../../../../kernels/matmul/mma.cu"),
    needs: Needs::From(Architecture::plain(80)),
    refuses: mma_refuses,
    plan: |case, _| {
        // 64 bytes of k a step, whatever the type.
        let depth = 64 / case.precision.inputs.size() as u32;
        let ring = 4 * (128 + 128) * 64;
        let result = 128 * 128 * case.precision.output.size() as u32;
        let steps = block_a_tile(case, "matmul_mma", [128, 128], 128, ring.max(result));
        let warps = [("WARPS_M", 2), ("WARPS_N", 2)];
        let sizes = [("BM", 128), ("BN", 128), ("BK", depth), ("STAGES", 4), warps[0], warps[1]];
        plan(case, &sizes, steps)
    },
    variants: || variants(&MMA_TYPES).into_iter().filter(|c| mma_refuses(c).is_none()).collect(),
    claims: &["HMMA.16816", "LDSM", "LDGSTS"],
    registers: 255,
    shared: 0,
};

fn mma_refuses(case: &Case) -> Option<Cow<'static, str>> {
    refuses(case, &MMA_TYPES).or_else(|| {
        let p = product(case);
        (case.precision.inputs == DType::I8 && p.transpose != Transpose::Nt).then(|| {
            format!("{}: ldmatrix does not transpose 8-bit elements; choose nt", p.transpose.name())
                .into()
        })
    })
}

/// `matmul/wgmma-tma`.
pub(super) static WGMMA_TMA: CudaKernel = CudaKernel {
    id: "matmul/wgmma-tma",
    about: "128×256 tiles by wgmma, one thread fetching by TMA for two warpgroups; blocks stay",
    plan: |case, _| wgmma_tma(case, 1),
    ..WGMMA_TMA_CLUSTER
};

/// `matmul/wgmma-tma-cluster`.
pub(super) static WGMMA_TMA_CLUSTER: CudaKernel = CudaKernel {
    id: "matmul/wgmma-tma-cluster",
    about: "wgmma-tma with two blocks of a cluster sharing B by multicast",
    file: "kernels/matmul/wgmma_tma.cu",
    text: include_str!("../../../../kernels/matmul/wgmma_tma.cu"),
    needs: Needs::Exactly(Architecture::specific(90)),
    refuses: wgmma_refuses,
    plan: |case, _| wgmma_tma(case, 2),
    variants: || variants(&BF16),
    claims: &["HGMMA.64x256x16", "UTMALDG.3D", "UTMASTG.3D", "USETMAXREG"],
    registers: 168,
    shared: 1024,
};

/// Multiprocessors of an H100 SXM and an H200, and so how many blocks stay. Any number is right; this one leaves none idle.
const MULTIPROCESSORS: u32 = 132;
const BM: u32 = 128;
const BN: u32 = 256;
const BK: u32 = 64;
const STAGES: u32 = 4;

fn wgmma_refuses(case: &Case) -> Option<Cow<'static, str>> {
    refuses(case, &BF16).or_else(|| {
        let p = product(case);
        let (a, b) = rows(p);
        let c_bytes = p.n * case.precision.output.size();
        let odd = [("A", a[0] * 2), ("B", b[0] * 2), ("C", c_bytes)]
            .into_iter()
            .find(|(_, bytes)| bytes % 16 != 0);
        match odd {
            _ if p.k == 0 => Some("a tensor map cannot be empty, and k is 0".into()),
            Some((name, bytes)) => Some(
                format!("TMA needs rows of multiples of 16 bytes; those of {name} have {bytes}")
                    .into(),
            ),
            None => None,
        }
    })
}

/// The sizes of A and B as stored, innermost first.
fn rows(p: Matmul) -> ([usize; 2], [usize; 2]) {
    let a = if p.transpose == Transpose::Tn { [p.m, p.k] } else { [p.k, p.m] };
    let b = if p.transpose == Transpose::Nt { [p.k, p.n] } else { [p.n, p.k] };
    (a, b)
}

fn wgmma_tma(case: &Case, cluster: u32) -> Plan {
    let p = product(case);
    let (a, b) = rows(p);
    let out_bytes = case.precision.output.size();
    let out_type = if out_bytes == 2 { MapType::Bf16 } else { MapType::F32 };
    let map =
        |buffer, dtype, bytes: usize, [inner, outer]: [usize; 2], box_dims: [u32; 2]| TensorMap {
            buffer,
            dtype,
            dims: [inner, outer, p.batch].map(|x| x as u64).to_vec(),
            strides: [inner * bytes, inner * outer * bytes].map(|x| x as u64).to_vec(),
            box_dims: vec![box_dims[0], box_dims[1], 1],
            swizzle: Swizzle::B128,
        };
    // Operands contiguous in k come in one box a step, others in boxes of 64 of their rows or columns.
    let a_rows = if p.transpose == Transpose::Tn { BK } else { BM };
    let b_rows = if p.transpose == Transpose::Nt { BN / cluster } else { BK };
    let maps = vec![
        map(Buffer::Read(0), MapType::Bf16, 2, a, [64, a_rows]),
        map(Buffer::Read(1), MapType::Bf16, 2, b, [64, b_rows]),
        map(Buffer::Written(0), out_type, out_bytes, [p.n, p.m], [128 / out_bytes as u32, 64]),
    ];
    let ring = STAGES * (BM + BN) * BK * 2;
    let result = 2 * 2 * 64 * 128;
    let clusters = tiles(p, (BM * cluster) as usize, BN as usize).min(MULTIPROCESSORS / cluster);
    let step = Step {
        entry: "matmul_wgmma_tma",
        grid: [clusters * cluster, 1, 1],
        block: [384, 1, 1],
        cluster: None,
        shared: 1024 + ring + result,
        buffers: Vec::new(),
        scalars: [p.m, p.n, p.k, p.batch].map(|size| Scalar::U32(size as u32)).to_vec(),
        maps,
    };
    let sizes = [("BM", BM), ("BN", BN), ("BK", BK), ("STAGES", STAGES), ("CLUSTER", cluster)];
    plan(case, &sizes, if clusters == 0 { Vec::new() } else { vec![step] })
}
