//! CUDA kernels as data: a row names a source file, what it needs, and how a case is launched.
//!
//! The same row runs on a GPU and on the simulator: a [`Plan`] says with plain numbers what to compile and launch, and each
//! device encodes it in its way. Nothing here needs a GPU, a driver or NVRTC.

mod architecture;
pub mod plan;
mod sources;

use std::borrow::Cow;

pub use architecture::{Architecture, Needs};
pub use plan::{Buffer, Init, MapType, Plan, Scalar, Step, Swizzle, TensorMap, Workspace};
pub use sources::HEADERS;

use super::{Kernel, KernelId, Prepared};
use crate::device::{Capabilities, Device, GpuFacts};
use crate::error::{Error, Result};
use crate::nvrtc::Source;
use crate::ops::{Case, Inputs};
use crate::units::Bytes;

/// A CUDA kernel: what it is called, where it runs, and how its launches are planned.
pub struct CudaKernel {
    /// `family/name`.
    pub id: &'static str,
    /// One line: what it does and its place on the ladder.
    pub about: &'static str,
    /// Path from the repository's root, which logs and findings name.
    pub file: &'static str,
    /// What stands in that file.
    pub text: &'static str,
    /// The architectures that it compiles for.
    pub needs: Needs,
    /// See [`Kernel::refuses`]; cases that make no sense are refused before it is asked.
    pub refuses: fn(&Case) -> Option<Cow<'static, str>>,
    /// What to compile and launch for a case that was not refused.
    pub plan: fn(&Case, Architecture) -> Plan,
    /// Cases whose plans together show every variant (by defines) that the row has.
    pub variants: fn() -> Vec<Case>,
    /// Instructions that its machine code must hold, such as `HMMA` or `UTMALDG`.
    pub claims: &'static [&'static str],
    /// Most registers that a thread may take, on any architecture.
    pub registers: u32,
    /// Most bytes of static shared memory that a block may take.
    pub shared: u32,
}

impl CudaKernel {
    /// The source with its headers: of this build, or of the folder that `SCALEMARK_KERNELS` names.
    pub fn source(&self) -> Source<'static> {
        sources::source_of(self)
    }

    /// FNV-1a of the kernel's file and every header that it may include: the same for every build, so that runs can be compared.
    pub fn source_hash(&self) -> String {
        let source = self.source();
        let headers = source.headers.iter().flat_map(|(name, text)| [*name, *text]);
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for text in [source.name, source.text].into_iter().chain(headers) {
            // A byte that no text has tells where one ends.
            for byte in text.bytes().chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        format!("{hash:016x}")
    }

    /// Why it cannot do `case` on `architecture`, if so.
    pub fn refuses_on(&self, architecture: Architecture, case: &Case) -> Option<Cow<'static, str>> {
        case.invalid()
            .map(Cow::from)
            .or_else(|| (self.refuses)(case))
            .or_else(|| self.needs.refuses(architecture).map(Cow::from))
    }

    /// What of a GPU a case that is not refused otherwise needs more of than there is, in numbers.
    fn does_not_fit(&self, on: &Capabilities, gpu: &GpuFacts, case: &Case) -> Option<String> {
        let plan = (self.plan)(case, gpu.architecture);
        let sets = on.buffer_sets(case) as u64;
        let needs = Bytes((case.buffer_bytes().0 + plan.workspace_bytes()) * sets);
        if needs > on.memory {
            return Some(format!(
                "needs {needs} of the GPU's memory, of which {} are free",
                on.memory
            ));
        }
        let shared = plan.steps.iter().map(|step| step.shared).max().unwrap_or(0);
        (shared > gpu.shared_per_block).then(|| {
            format!(
                "needs {shared} bytes of shared memory a block, and the GPU gives {}",
                gpu.shared_per_block
            )
        })
    }
}

impl Kernel for CudaKernel {
    fn id(&self) -> KernelId {
        self.id.into()
    }

    fn about(&self) -> &str {
        self.about
    }

    fn provider(&self) -> &str {
        "own"
    }

    fn refuses(&self, on: &Capabilities, case: &Case) -> Option<Cow<'static, str>> {
        match &on.gpu {
            None => case.invalid().map(Cow::from).or_else(|| (self.refuses)(case)),
            Some(gpu) => self
                .refuses_on(gpu.architecture, case)
                .or_else(|| self.does_not_fit(on, gpu, case).map(Cow::from)),
        }
    }

    fn as_cuda(&self) -> Option<&CudaKernel> {
        Some(self)
    }

    fn prepare<'d>(
        &self,
        device: &'d Device,
        case: &Case,
        inputs: &Inputs,
    ) -> Result<Box<dyn Prepared + 'd>> {
        match device {
            Device::Cpu(_) => {
                Err(Error::Usage(format!("{} is a CUDA kernel; use --device cuda or sim", self.id)))
            }
            Device::Sim(sim) => sim.prepare(self, case, inputs),
            Device::Gpu(gpu) => gpu.prepare(self, case, inputs),
        }
    }
}

/// Every CUDA kernel of this build, in the order of reports.
pub static ROWS: &[&[&dyn Kernel]] = &[
    super::matmul::CUDA_ROWS,
    super::attention::CUDA_ROWS,
    super::optimizer::CUDA_ROWS,
    super::peak::CUDA_ROWS,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Registry;

    fn rows() -> impl Iterator<Item = &'static CudaKernel> {
        Registry::cuda().kernels().filter_map(|k| k.as_cuda())
    }

    #[test]
    fn every_row_has_a_variant_that_it_takes_and_names_its_own_file() {
        for row in rows() {
            let variants = (row.variants)();
            assert!(!variants.is_empty(), "{}", row.id);
            for case in variants {
                assert_eq!((row.refuses)(&case), None, "{} refuses {case}", row.id);
            }
            let name = row.id.split('/').next_back().unwrap().replace('-', "_");
            assert!(row.file.starts_with("kernels/") && row.file.ends_with(".cu"), "{}", row.file);
            assert!(!row.text.is_empty() && !name.is_empty());
        }
    }

    #[test]
    fn every_argument_of_a_plan_exists() {
        for row in rows() {
            for case in (row.variants)() {
                let architecture = row.needs.least();
                let plan = (row.plan)(&case, architecture);
                assert_eq!(plan.check(&case), None, "{} on {case}", row.id);
            }
        }
    }
}
