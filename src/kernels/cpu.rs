//! CPU kernels as data: a row names a function that builds the body of a launch.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Kernel, KernelId, Prepared};
use crate::device::{Capabilities, Device, Pool};
use crate::error::{Error, Result};
use crate::ops::{Case, Inputs, Tensor};
use crate::units::Bytes;

/// The buffers of one launch. The order is that of the op: read operands first, then everything that is written.
pub struct Args<'a> {
    /// Operands that are only read, in the order of [`Case::operands`], then what [`CpuKernel::prologue`] made.
    pub read: &'a [Tensor],
    /// Operands updated in place, in the order of [`Case::operands`], then results, in the order of [`Case::results`].
    pub written: &'a mut [Tensor],
    /// The threads to use; its size is the case's `threads`.
    pub pool: &'a Pool,
}

/// The work of one launch, with the workspace that it needs, allocated when it was built.
pub type Body = Box<dyn FnMut(&mut Args<'_>)>;

/// Computes tensors that launches start from and that are not operands; see [`CpuKernel::prologue`].
pub type Prologue = fn(&Capabilities, &Case, &Inputs, &Pool) -> Result<Vec<Tensor>>;

/// A CPU kernel: what it is called, what it refuses, and how its body is built.
pub struct CpuKernel {
    /// `family/name`.
    pub id: &'static str,
    /// One line: what it does and its place on the ladder.
    pub about: &'static str,
    /// `own`, or the library's name.
    pub provider: &'static str,
    /// See [`Kernel::refuses`]; sizes that make no sense and memory that does not fit are refused before it is asked.
    pub refuses: fn(&Capabilities, &Case) -> Option<Cow<'static, str>>,
    /// Chooses the path for this case and allocates workspace. Its allocations are counted as the kernel's own.
    pub build: fn(&Capabilities, &Case, &Pool) -> Result<Body>,
    /// What an earlier pass leaves for this one (a backward attention starts from the output and log-sum-exp of its forward
    /// pass): computed once, outside the clock, and appended to [`Args::read`] of every buffer set.
    pub prologue: Option<Prologue>,
}

impl Kernel for CpuKernel {
    fn id(&self) -> KernelId {
        self.id.into()
    }

    fn about(&self) -> &str {
        self.about
    }

    fn provider(&self) -> &str {
        self.provider
    }

    fn as_cpu(&self) -> Option<&CpuKernel> {
        Some(self)
    }

    fn refuses(&self, on: &Capabilities, case: &Case) -> Option<Cow<'static, str>> {
        if let Some(reason) = case.invalid() {
            return Some(reason.into());
        }
        if let Some(reason) = (self.refuses)(on, case) {
            return Some(reason);
        }
        let needs = on.case_bytes(case);
        (needs > on.memory)
            .then(|| format!("needs {needs} of memory, this machine has {} free", on.memory).into())
    }

    fn prepare<'d>(
        &self,
        device: &'d Device,
        case: &Case,
        inputs: &Inputs,
    ) -> Result<Box<dyn Prepared + 'd>> {
        let Device::Cpu(cpu) = device else {
            return Err(Error::Usage(format!("{} is a kernel of the CPU", self.id)));
        };
        let pool = cpu.pool(case.threads);
        let earlier = match self.prologue {
            Some(prologue) => prologue(&cpu.capabilities, case, inputs, &pool)?,
            None => Vec::new(),
        };
        let earlier_bytes = earlier.iter().fold(Bytes(0), |sum, t| sum + t.spec.bytes());
        let before = crate::device::memory::AllocatorReading::now().live;
        let body = (self.build)(&cpu.capabilities, case, &pool)?;
        let workspace =
            Bytes(crate::device::memory::AllocatorReading::now().live.0.saturating_sub(before.0));
        let slots = cpu.capabilities.buffer_sets(case);
        let sets = (0..slots).map(|slot| Set::new(case, inputs, &earlier, slot)).collect();
        let allocated = case.buffer_bytes() + earlier_bytes + workspace;
        Ok(Box::new(CpuPrepared { pool, body, sets, inputs: inputs.clone(), allocated }))
    }
}

/// One set of buffers.
struct Set {
    read: Arc<Vec<Tensor>>,
    written: Vec<Tensor>,
}

impl Set {
    /// Set number `slot`. The first shares operands that are only read with the other kernels of the case: memory is dear
    /// to touch for the first time, and rivals then read the very same pages.
    fn new(case: &Case, inputs: &Inputs, earlier: &[Tensor], slot: usize) -> Self {
        let (in_out, read): (Vec<&Tensor>, Vec<_>) =
            inputs.tensors.iter().partition(|t| t.spec.in_out);
        let read = if slot == 0 && in_out.is_empty() && earlier.is_empty() {
            Arc::clone(&inputs.tensors)
        } else {
            Arc::new(read.into_iter().chain(earlier).cloned().collect())
        };
        let mut written: Vec<Tensor> = in_out.into_iter().cloned().collect();
        written.extend(case.results().into_iter().map(Tensor::poisoned));
        Set { read, written }
    }
}

struct CpuPrepared {
    pool: Pool,
    body: Body,
    sets: Vec<Set>,
    inputs: Inputs,
    allocated: Bytes,
}

impl Prepared for CpuPrepared {
    fn launch(&mut self, slot: usize) -> Result<()> {
        let slots = self.sets.len();
        let set = &mut self.sets[slot % slots];
        (self.body)(&mut Args { read: &set.read, written: &mut set.written, pool: &self.pool });
        Ok(())
    }

    fn slots(&self) -> usize {
        self.sets.len()
    }

    fn reset(&mut self) -> Result<()> {
        for set in &mut self.sets {
            let mut written = set.written.iter_mut();
            for (pristine, tensor) in
                self.inputs.tensors.iter().filter(|t| t.spec.in_out).zip(&mut written)
            {
                tensor.bytes.copy_from_slice(&pristine.bytes);
            }
            written.for_each(Tensor::poison);
        }
        Ok(())
    }

    fn outputs(&mut self) -> Result<Cow<'_, [Tensor]>> {
        Ok(Cow::Borrowed(&self.sets[0].written))
    }

    fn allocated(&self) -> Bytes {
        self.allocated
    }
}
