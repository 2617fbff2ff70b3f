//! Probes of what the machine can reach, as kernels: a roof is the fastest of them.
//!
//! | kernel | does |
//! |---|---|
//! | portable | every probe in the instructions that every target of the build has |
//! | simd | every probe in vectors that suit the processor and the size, with dot-product instructions where there are any |
//! | amx | arithmetic in bf16 and int8 by products of tiles |
//! | non-temporal | the probes that write without having read, by stores around the caches |

pub mod anchor;
mod cuda;
mod fma;
#[cfg(target_arch = "x86_64")]
mod fma_amx;
#[cfg(target_arch = "x86_64")]
mod fma_x86;
mod streams;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use cuda::{CUDA_ROWS, tensor_precision};

use super::optimizer::lanes::streaming_isa;
use super::{Body, CpuKernel, Kernel};
use crate::device::{Capabilities, Isa, Pool};
use crate::error::{Error, Result};
use crate::ops::{Case, DType, Probe, ProbeKind, Problem};

/// The peak kernels, up the ladder, baselines last.
pub static ROWS: &[&dyn Kernel] = &[&PORTABLE, &SIMD, &AMX, &NON_TEMPORAL];

static PORTABLE: CpuKernel = CpuKernel {
    id: "peak/portable",
    about: "arithmetic and plain streams without vector intrinsics",
    provider: "own",
    prologue: None,
    refuses,
    build: |_, case, pool| build(&Isa::PORTABLE, case, pool, false),
};

static SIMD: CpuKernel = CpuKernel {
    id: "peak/simd",
    about: "arithmetic and plain streams in AVX-512, AVX2 or portable vectors",
    provider: "own",
    prologue: None,
    refuses,
    build: |on, case, pool| match probe(case)?.kind {
        ProbeKind::Fma => build(&on.isa, case, pool, false),
        _ => build(&streaming_isa(on, case), case, pool, false),
    },
};

static AMX: CpuKernel = CpuKernel {
    id: "peak/amx",
    about: "bf16 and int8 arithmetic by products of tiles (AMX)",
    provider: "own",
    prologue: None,
    refuses: |on, case| refuses(on, case).or_else(|| without_tiles(on, case)),
    build: |_, case, pool| {
        #[cfg(target_arch = "x86_64")]
        if let Some(body) = fma_amx::build(&probe(case)?, case.precision.inputs, pool.threads()) {
            return Ok(body);
        }
        let _ = pool;
        Err(Error::Usage(format!("no products of tiles for the case {case}")))
    },
};

/// Why tiles do not take a probe that others do.
fn without_tiles(on: &Capabilities, case: &Case) -> Option<Cow<'static, str>> {
    let kind = probe(case).ok()?.kind;
    let (inputs, isa) = (case.precision.inputs, on.isa);
    match (kind, inputs) {
        (ProbeKind::Fma, DType::Bf16 | DType::I8) if !isa.amx_bf16 && !isa.amx_int8 => {
            Some("this processor has no AMX, or the system keeps it from programs".into())
        }
        (ProbeKind::Fma, DType::Bf16) if isa.amx_bf16 => None,
        (ProbeKind::Fma, DType::I8) if isa.amx_int8 => None,
        (ProbeKind::Fma, _) => {
            Some(format!("this processor's tiles do not multiply {inputs}").into())
        }
        _ => Some("tiles multiply; they have no streams".into()),
    }
}

static NON_TEMPORAL: CpuKernel = CpuKernel {
    id: "peak/non-temporal",
    about: "write, copy and triad with streaming stores around the caches",
    provider: "own",
    prologue: None,
    refuses: |on, case| {
        refuses(on, case).or_else(|| {
            let written = matches!(
                probe(case).map(|p| p.kind),
                Ok(ProbeKind::Write | ProbeKind::Copy | ProbeKind::Triad)
            );
            if !written {
                return Some("streaming stores are for write, copy and triad only".into());
            }
            (!on.isa.avx2).then(|| "this processor has no vector stores around the caches".into())
        })
    },
    build: |on, case, pool| build(&on.isa, case, pool, true),
};

/// Streams in f32; arithmetic in f32, in bf16 with f32 sums, in int8 with i32 sums.
fn refuses(_: &Capabilities, case: &Case) -> Option<Cow<'static, str>> {
    let Ok(probe) = probe(case) else { return Some("does probes only".into()) };
    let p = case.precision;
    let takes = match probe.kind {
        ProbeKind::Fma => matches!(
            (p.inputs, p.accumulate),
            (DType::F32 | DType::Bf16, DType::F32) | (DType::I8, DType::I32)
        ),
        _ => p.inputs == DType::F32,
    };
    (!takes).then(|| match probe.kind {
        ProbeKind::Fma => format!("probes f32, bf16 and int8 arithmetic, not {p}").into(),
        kind => format!("streams are f32, not {p}: give {} the dtype f32", kind.name()).into(),
    })
}

/// The probe of a case that was not refused.
fn probe(case: &Case) -> Result<Probe> {
    match &case.problem {
        Problem::Peak(probe) => Ok(*probe),
        _ => Err(Error::Usage(format!("a peak kernel was given the case {case}"))),
    }
}

fn build(isa: &Isa, case: &Case, pool: &Pool, non_temporal: bool) -> Result<Body> {
    let probe = probe(case)?;
    Ok(match probe.kind {
        ProbeKind::Fma => fma::build(isa, &probe, case.precision.inputs, pool.threads()),
        kind => streams::build(isa, kind, non_temporal),
    })
}
