//! Kernels: the ways to do an op, behind one trait and in one registry.
//!
//! A CPU kernel is one function, a [`CpuKernel`] row beside it, and its name in [`BUILTIN`]. `list`, `verify`, `run`, the
//! benches and the tests all iterate the registry, so that nothing else needs to change.

pub mod attention;
pub mod baseline;
pub mod cpu;
pub mod cuda;
pub mod matmul;
pub mod optimizer;
pub mod peak;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use cpu::{Args, Body, CpuKernel, Prologue};
pub use cuda::CudaKernel;

use baseline::external::ExternalKernel;

use crate::device::{Capabilities, Device};
use crate::error::Result;
use crate::ops::{Case, Inputs, Tensor};
use crate::units::Bytes;

/// A unique name of the form `family/name`, e.g. `matmul/simd`; owned, for external programs take part too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KernelId(pub String);

impl KernelId {
    /// Whether a faster kernel of our own stands above it on the ladder of a CPU: `naive` and `blocked`.
    pub fn is_lower_rung(&self) -> bool {
        matches!(self.0.split_once('/'), Some((_, "naive" | "blocked")))
    }
}

impl fmt::Display for KernelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for KernelId {
    fn from(name: &str) -> Self {
        KernelId(name.to_owned())
    }
}

/// Reads counters that a kernel or the simulator kept, by name.
pub type Counters = Vec<(String, f64)>;

/// One way to do one op.
pub trait Kernel: Sync {
    /// Its unique name.
    fn id(&self) -> KernelId;

    /// One line on what it does, for `list` and the reports.
    fn about(&self) -> &str;

    /// Who provides it: `own`, or the name of a library. A worker process holds the kernels of one provider.
    fn provider(&self) -> &str;

    /// Why this kernel cannot or will not do `case` on a device with these capabilities; `None` when it takes it.
    ///
    /// Needs no live hardware: `list` and `--dry-run` ask it as well as `run`.
    fn refuses(&self, on: &Capabilities, case: &Case) -> Option<Cow<'static, str>>;

    /// The row that it is, where it is a function of the CPU: those that give it tensors of their own need its body.
    fn as_cpu(&self) -> Option<&CpuKernel> {
        None
    }

    /// The row that it is, where it is device code: those that compile, simulate or tabulate need more than launches.
    fn as_cuda(&self) -> Option<&CudaKernel> {
        None
    }

    /// Does everything that is not the launch: allocates, uploads, packs constants, loads libraries. Never timed.
    fn prepare<'d>(
        &self,
        device: &'d Device,
        case: &Case,
        inputs: &Inputs,
    ) -> Result<Box<dyn Prepared + 'd>>;
}

/// A kernel with its buffers: only the launch is left to pay for.
pub trait Prepared {
    /// Runs once on buffer set `slot` (modulo the number of sets): no allocation, no waiting for more than the launch.
    fn launch(&mut self, slot: usize) -> Result<()>;

    /// The number of buffer sets that launches rotate through.
    fn slots(&self) -> usize;

    /// Restores operands that are updated in place, and poisons results, in every set; outside the clock.
    fn reset(&mut self) -> Result<()>;

    /// What the last launch on set 0 left behind: results and operands updated in place. Borrowed where the host can read
    /// them where they are: a copy of a large model's state would be memory touched for the first time.
    fn outputs(&mut self) -> Result<Cow<'_, [Tensor]>>;

    /// Bytes of one set of buffers plus workspace: what the kernel needs, without the copies that keep caches cold.
    fn allocated(&self) -> Bytes;

    /// Counters that the kernel or its device kept.
    fn counters(&self) -> Option<Counters> {
        None
    }

    /// How a library was driven, in words, where that was chosen for this very case; it stands beside the times.
    fn driven(&self) -> Option<String> {
        None
    }
}

/// Every CPU kernel of this build, in the order of reports: by family, up each ladder, baselines last.
pub static BUILTIN: &[&[&dyn Kernel]] =
    &[matmul::ROWS, baseline::ROWS, attention::ROWS, optimizer::ROWS, peak::ROWS];

/// The kernels of one kind of device: names are unique among them, and `matmul/naive` is both a CPU's and a GPU's.
#[derive(Clone, Copy)]
pub struct Registry {
    families: &'static [&'static [&'static dyn Kernel]],
    external: &'static [&'static dyn Kernel],
}

impl Default for Registry {
    fn default() -> Self {
        Registry { families: BUILTIN, external: &[] }
    }
}

impl Registry {
    /// The CUDA kernels, which a GPU and the simulator run.
    pub fn cuda() -> Self {
        Registry { families: cuda::ROWS, external: &[] }
    }

    /// All kernels, in the order of reports.
    pub fn kernels(&self) -> impl Iterator<Item = &'static dyn Kernel> + use<> {
        self.families
            .iter()
            .flat_map(|rows| rows.iter().copied())
            .chain(self.external.iter().copied())
    }

    /// With the kernels of external programs after all others. They live as long as the process, which asks for them once.
    pub fn with_external(self, kernels: impl Iterator<Item = ExternalKernel>) -> Self {
        let leak = |kernel: ExternalKernel| -> &'static dyn Kernel { Box::leak(Box::new(kernel)) };
        let added = self.external.iter().copied().chain(kernels.map(leak)).collect::<Vec<_>>();
        Registry { external: Box::leak(added.into_boxed_slice()), ..self }
    }

    /// The kernel with this name.
    pub fn get(&self, id: &str) -> Option<&'static dyn Kernel> {
        self.kernels().find(|k| k.id().0 == id)
    }

    /// Kernels that do the op of `case` at all, whether or not they refuse it: those of its family, or of its op.
    pub fn for_case(&self, case: &Case) -> impl Iterator<Item = &'static dyn Kernel> + use<> {
        let family = case.problem.family().name();
        self.kernels().filter(move |k| k.id().0.split('/').next() == Some(family))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn kernel_names_are_unique_and_start_with_their_family() {
        for registry in [Registry::default(), Registry::cuda()] {
            let mut seen = HashSet::new();
            for kernel in registry.kernels() {
                let id = kernel.id();
                let family = id.0.split('/').next().unwrap().to_owned();
                assert!(crate::ops::Family::ALL.iter().any(|f| f.name() == family), "{id}");
                assert!(seen.insert(id.clone()), "{id} stands twice");
                assert!(!kernel.about().is_empty());
            }
        }
    }
}
