//! The ladder of attention kernels on GPUs: how each file in `kernels/attention/` is compiled and launched for a case.

mod decode;
mod flash;
mod plain;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::kernels::Kernel;
use crate::kernels::cuda::{Buffer, Init, Scalar, Step, Workspace};
use crate::ops::{Attention, Case, DType, Pass, Precision, Problem};

/// The CUDA kernels, up the ladder.
pub static CUDA_ROWS: &[&dyn Kernel] =
    &[&plain::NAIVE, &plain::ONLINE_SOFTMAX, &flash::FLASH_MMA, &decode::DECODE];

/// The operands' places among the read buffers.
const Q: Buffer = Buffer::Read(0);
const K: Buffer = Buffer::Read(1);
const V: Buffer = Buffer::Read(2);
const DOUT: Buffer = Buffer::Read(3);

/// Refuses what no row does: other ops, numbers other than f32 and bf16 with f32 sums, sizes beyond the index arithmetic.
fn refuses(case: &Case) -> Option<Cow<'static, str>> {
    let Problem::Attention(shape) = case.problem else {
        return Some(format!("does attention, not {}", case.problem.op()).into());
    };
    let p = case.precision;
    let stored = [p.inputs, p.output, cache(case)];
    if let Some(dtype) = stored.iter().find(|d| !matches!(d, DType::F32 | DType::Bf16)) {
        return Some(format!("does f32 and bf16, not {dtype}").into());
    }
    if p.accumulate != DType::F32 {
        return Some(format!("sums in f32, not in {}", p.accumulate).into());
    }
    // Rows and blocks are numbered in 31 bits.
    let rows = (shape.batch * shape.heads) as u128 * shape.seq_q.max(shape.seq_kv) as u128;
    let width = shape.head_dim_qk.max(shape.head_dim_v) as u128;
    (rows.max(rows * width / 256) >= 1 << 31)
        .then(|| format!("{shape} is beyond its 31-bit numbers").into())
}

/// The shape of a case that was not refused.
fn problem(case: &Case) -> Attention {
    match case.problem {
        Problem::Attention(shape) => shape,
        _ => unreachable!("`refuses` lets attention through only"),
    }
}

/// What K and V are stored as.
fn cache(case: &Case) -> DType {
    match case.pass {
        Pass::Decode => case.precision.state.unwrap_or(case.precision.inputs),
        Pass::Forward | Pass::Backward => case.precision.inputs,
    }
}

/// `-DIN=… -DCACHE=… -DOUT=…`.
fn types(case: &Case) -> Vec<String> {
    let named =
        [("IN", case.precision.inputs), ("CACHE", cache(case)), ("OUT", case.precision.output)];
    let c_type = |dtype: DType| if dtype == DType::Bf16 { "bf16" } else { "float" };
    named.iter().map(|&(name, dtype)| format!("-D{name}={}", c_type(dtype))).collect()
}

/// `-DNAME=VALUE` of each.
fn defines(sizes: &[(&str, usize)]) -> impl Iterator<Item = String> {
    sizes.iter().map(|(name, size)| format!("-D{name}={size}"))
}

/// Query rows of all sequences and heads.
fn query_rows(shape: &Attention) -> usize {
    shape.batch * shape.heads * shape.seq_q
}

/// Memory that nobody has written yet, and that launches write.
fn unwritten(name: &'static str, bytes: usize) -> Workspace {
    Workspace { name, init: Init::Unwritten(bytes as u64), written: true }
}

/// A launch of `blocks` × `threads` with these 32-bit sizes, and a last number.
fn step(
    entry: &'static str,
    blocks: usize,
    threads: usize,
    buffers: Vec<Buffer>,
    sizes: &[usize],
    factor: Option<f64>,
) -> Step {
    let blocks = u32::try_from(blocks).expect("sizes beyond 31 bits were refused");
    let sizes = sizes.iter().map(|&size| Scalar::U32(size as u32));
    let factor = factor.map(|x| Scalar::F32(x as f32));
    Step::flat(entry, blocks, threads as u32, buffers, sizes.chain(factor).collect())
}

/// A case of two heads for each KV head, with edges that no tile fits.
fn sample(precision: Precision, pass: Pass, head_dim: usize) -> Case {
    let square = Attention { kv_heads: 1, ..Attention::new(2, 67, head_dim, true) };
    let shape = if pass == Pass::Decode { Attention { seq_q: 1, ..square } } else { square };
    Case { pass, ..Case::new(Problem::Attention(shape), precision) }
}
