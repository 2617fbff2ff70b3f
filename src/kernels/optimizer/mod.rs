//! The ladder of optimizer kernels; each does every rule.
//!
//! | kernel | how | what it costs |
//! |---|---|---|
//! | naive | one pass over the vectors for each statement of the formula | every statement's traffic goes to memory |
//! | blocked | the same passes, over blocks that stay in the L1 cache | least traffic, but each element is loaded again and again |
//! | simd | one fused pass in registers | least traffic, at the speed of memory |

mod constants;
mod cuda;
pub(in crate::kernels) mod lanes;
#[cfg(target_arch = "x86_64")]
pub(in crate::kernels) mod lanes_x86;
mod passes;
mod simd;
#[cfg(test)]
mod tests;
mod vectors;

use std::borrow::Cow;

pub use cuda::CUDA_ROWS;

use super::{CpuKernel, Kernel};
use crate::device::Capabilities;
use crate::error::{Error, Result};
use crate::ops::{Case, DType, Problem, Update};

/// The optimizer kernels, up the ladder, baselines last.
pub static ROWS: &[&dyn Kernel] = &[&NAIVE, &BLOCKED, &SIMD];

static NAIVE: CpuKernel = CpuKernel {
    id: "optimizer/naive",
    about: "one pass over the vectors for each statement, as frameworks do without fusion",
    provider: "own",
    prologue: None,
    refuses,
    build: passes::build_naive,
};

static BLOCKED: CpuKernel = CpuKernel {
    id: "optimizer/blocked",
    about: "the passes of naive, over blocks that stay in the L1 cache",
    provider: "own",
    prologue: None,
    refuses,
    build: passes::build_blocked,
};

static SIMD: CpuKernel = CpuKernel {
    id: "optimizer/simd",
    about: "one fused streaming pass in AVX-512, AVX2 or portable vectors",
    provider: "own",
    prologue: None,
    refuses,
    build: simd::build,
};

/// f32 throughout, or bf16 parameters and gradients with f32 moments.
fn refuses(_: &Capabilities, case: &Case) -> Option<Cow<'static, str>> {
    let Problem::Update(update) = &case.problem else {
        return Some("does optimizer steps only".into());
    };
    let p = case.precision;
    let takes =
        matches!((p.inputs, p.output), (DType::F32, DType::F32) | (DType::Bf16, DType::Bf16))
            && p.accumulate == DType::F32
            && p.state.unwrap_or(DType::F32) == DType::F32;
    (!takes).then(|| {
        format!("does f32, and bf16 with f32 state; not {p} for {}", update.rule.name()).into()
    })
}

/// The update of a case that was not refused.
fn update(case: &Case) -> Result<Update> {
    match &case.problem {
        Problem::Update(update) => Ok(*update),
        _ => Err(Error::Usage(format!("an optimizer kernel was given the case {case}"))),
    }
}
