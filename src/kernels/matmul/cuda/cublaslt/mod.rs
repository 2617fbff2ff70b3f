//! `matmul/cublaslt`: NVIDIA's library, driven at its best.
//!
//! It is asked for every algorithm that it would consider with 64 MiB of workspace, each is timed on the GPU with the case's own
//! operands, and the fastest is what is measured. The record says which one that was.

mod layout;
#[cfg(test)]
mod tests;
mod tuned;

use std::borrow::Cow;

use super::{product, refuses};
use crate::device::{Capabilities, Device};
use crate::error::{Error, Result};
use crate::kernels::{Kernel, KernelId, Prepared};
use crate::ops::{Case, DType, Inputs, Precision};
use crate::units::Bytes;
use tuned::Tuned;

/// Workspace that algorithms may ask for: below 32 MiB the library leaves out some of its best on large GPUs.
const WORKSPACE: Bytes = Bytes(64 << 20);

/// What it computes; sums of 8-bit floats are not taken in the library's faster, rougher way.
const PRECISIONS: [Precision; 9] = [
    Precision::F32,
    Precision::TF32,
    Precision::BF16,
    Precision::BF16_F32,
    Precision::F16,
    Precision { output: DType::F32, ..Precision::F16 },
    Precision::E4M3,
    Precision { output: DType::F32, ..Precision::E4M3 },
    Precision::INT8,
];

/// The row.
pub(super) struct CublasLt;

impl Kernel for CublasLt {
    fn id(&self) -> KernelId {
        "matmul/cublaslt".into()
    }

    fn about(&self) -> &str {
        "NVIDIA cuBLASLt, the fastest of all its algorithms by measurement, 64 MiB of workspace"
    }

    fn provider(&self) -> &str {
        "cublaslt"
    }

    /// Whether the library is there, and has an algorithm, only a worker on the GPU knows.
    fn refuses(&self, on: &Capabilities, case: &Case) -> Option<Cow<'static, str>> {
        if let Some(reason) = case.invalid() {
            return Some(reason.into());
        }
        if let Some(reason) = refuses(case, &PRECISIONS) {
            return Some(reason);
        }
        let p = product(case);
        if [p.m, p.n, p.k].contains(&0) {
            return Some("cuBLASLt takes no empty operands".into());
        }
        if on.gpu.is_none() {
            return Some("a library for GPUs, no device code; use --device cuda".into());
        }
        let needs = on.case_bytes(case) + WORKSPACE;
        (needs > on.memory).then(|| {
            format!("needs {needs} of the GPU's memory, of which {} are free", on.memory).into()
        })
    }

    fn prepare<'d>(
        &self,
        device: &'d Device,
        case: &Case,
        inputs: &Inputs,
    ) -> Result<Box<dyn Prepared + 'd>> {
        match device {
            Device::Gpu(gpu) => Ok(Box::new(Tuned::new(gpu, case, inputs)?)),
            _ => Err(Error::Usage("matmul/cublaslt needs a GPU; use --device cuda".into())),
        }
    }
}
