//! The ladder of attention kernels: textbook, online softmax in plain Rust, register tiles.

mod blocked;
mod cuda;
mod io;
mod naive;
mod simd;
mod team;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::Kernel;
use crate::device::Capabilities;
use crate::ops::{Case, DType, Pass, Problem};
pub use cuda::CUDA_ROWS;

/// The attention kernels, up the ladder, baselines last.
pub static ROWS: &[&dyn Kernel] = &[&naive::NAIVE, &blocked::BLOCKED, &simd::SIMD];

/// What none of our kernels does: other problems, and number formats other than f32 and bf16 with f32 sums.
fn refuses(_: &Capabilities, case: &Case) -> Option<Cow<'static, str>> {
    if !matches!(case.problem, Problem::Attention(_)) {
        return Some("does attention only".into());
    }
    let p = case.precision;
    let cache = if case.pass == Pass::Decode { p.state } else { None };
    let stored = [Some(p.inputs), Some(p.output), cache];
    if let Some(dtype) =
        stored.into_iter().flatten().find(|d| !matches!(d, DType::F32 | DType::Bf16))
    {
        return Some(format!("does f32 and bf16, not {dtype}").into());
    }
    (p.accumulate != DType::F32).then(|| format!("sums in f32, not in {}", p.accumulate).into())
}
