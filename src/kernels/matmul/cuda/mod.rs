//! The ladder of matmul kernels on GPUs: how each file in `kernels/matmul/` is compiled and launched for a case.

mod cublaslt;
mod plain;
mod tensor;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::kernels::Kernel;
use crate::kernels::cuda::{Buffer, Plan, Scalar, Step};
use crate::ops::{Case, DType, Matmul, Precision, Problem, Transpose};

/// The CUDA kernels, up the ladder, and NVIDIA's library behind them.
pub static CUDA_ROWS: &[&dyn Kernel] = &[
    &plain::NAIVE,
    &plain::COALESCED,
    &plain::TILED,
    &plain::REGISTER_TILED,
    &tensor::MMA,
    &tensor::WGMMA_TMA,
    &tensor::WGMMA_TMA_CLUSTER,
    &cublaslt::CublasLt,
];

const TRANSPOSES: [Transpose; 3] = [Transpose::Nn, Transpose::Nt, Transpose::Tn];

/// Refuses what no row does: other ops, other precisions than `known`, groups, and sizes beyond the index arithmetic.
fn refuses(case: &Case, known: &[Precision]) -> Option<Cow<'static, str>> {
    let Problem::Matmul(p) = case.problem else {
        return Some(format!("does products, not {}", case.problem.op()).into());
    };
    if !known.contains(&case.precision) {
        let names: Vec<_> = known.iter().map(ToString::to_string).collect();
        let reason =
            format!("does {}, not {}; choose one of these", names.join(", "), case.precision);
        return Some(reason.into());
    }
    if p.groups.is_some() {
        return Some("does dense and batched products, not groups".into());
    }
    // Blocks are numbered in 31 bits; the smallest tile is 8 entries.
    let blocks = (p.m as u128 * p.n.div_ceil(8) as u128) * p.batch as u128;
    let most = [p.m, p.n, p.k].into_iter().max().unwrap_or(0) as u128;
    (most.max(blocks) >= 1 << 31).then(|| format!("{p} is beyond its 31-bit numbers").into())
}

/// The product of a case that was not refused.
fn product(case: &Case) -> Matmul {
    match case.problem {
        Problem::Matmul(p) => p,
        _ => panic!("a matmul kernel was handed {case}"),
    }
}

/// `-DTRANS_A=… -DTRANS_B=… -DIN=… -DOUT=…`: what every file of the ladder is told (register-tiled has no use for types).
fn defines(case: &Case) -> Vec<String> {
    let p = product(case);
    let c_type = |dtype| match dtype {
        DType::Bf16 => "bf16",
        DType::I8 => "i8",
        DType::I32 => "i32",
        _ => "float",
    };
    vec![
        format!("-DTRANS_A={}", u8::from(p.transpose == Transpose::Tn)),
        format!("-DTRANS_B={}", u8::from(p.transpose == Transpose::Nt)),
        format!("-DIN={}", c_type(case.precision.inputs)),
        format!("-DOUT={}", c_type(case.precision.output)),
    ]
}

/// Tiles of `rows` × `columns` entries that a batch of products has.
fn tiles(p: Matmul, rows: usize, columns: usize) -> u32 {
    let tiles = p.m.div_ceil(rows) * p.n.div_ceil(columns) * p.batch;
    u32::try_from(tiles).expect("sizes beyond 31 bits were refused")
}

/// One block of `threads` for each tile of `rows` × `columns`, with A, B, C and m, n, k; nothing for an empty result.
fn block_a_tile(
    case: &Case,
    entry: &'static str,
    [rows, columns]: [usize; 2],
    threads: u32,
    shared: u32,
) -> Vec<Step> {
    let p = product(case);
    let buffers = vec![Buffer::Read(0), Buffer::Read(1), Buffer::Written(0)];
    let scalars = [p.m, p.n, p.k].map(|size| Scalar::U32(size as u32)).to_vec();
    match tiles(p, rows, columns) {
        0 => Vec::new(),
        blocks => vec![Step { shared, ..Step::flat(entry, blocks, threads, buffers, scalars) }],
    }
}

/// A plan without workspace; `sizes` are defined for the compiler.
fn plan(case: &Case, sizes: &[(&str, u32)], steps: Vec<Step>) -> Plan {
    let mut defines = defines(case);
    defines.extend(sizes.iter().map(|(name, size)| format!("-D{name}={size}")));
    Plan { defines, steps, ..Plan::default() }
}

/// One case of each storage in each precision.
fn variants(precisions: &[Precision]) -> Vec<Case> {
    let case = |transpose, precision| {
        let p = Matmul { transpose, ..Matmul::new(256, 256, 128) };
        Case::new(Problem::Matmul(p), precision)
    };
    precisions.iter().flat_map(|&q| TRANSPOSES.map(|t| case(t, q))).collect()
}
