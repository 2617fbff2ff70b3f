//! A CUDA row made ready on a GPU: compiled for it, with its buffers filled, so that only launches are left.

use std::borrow::Cow;

use ptxsim::conformance::Map;

use super::device::GpuDevice;
use super::driver::{Address, Handle, Image, Shape};
use super::operands::{Operands, Slots, rounded};
use super::owned::Module;
use crate::device::sim::{footprint, taken, tiled};
use crate::error::{Error, Result};
use crate::kernels::cuda::plan::Word;
use crate::kernels::cuda::{self, CudaKernel, Init, Plan, Scalar, Step};
use crate::kernels::{Counters, Prepared};
use crate::nvrtc::Built;
use crate::ops::{Case, Inputs, Tensor};
use crate::units::Bytes;

/// What a launch passes, but for addresses.
struct Ready {
    step: Step,
    function: Handle,
    shape: Shape,
}

/// A row with its buffers on a GPU.
pub struct GpuPrepared<'d> {
    device: &'d GpuDevice,
    operands: Operands<'d>,
    workspace: Vec<Slots>,
    steps: Vec<Ready>,
    /// Room for the bytes of a launch's arguments: launches allocate nothing but a list of pointers.
    scratch: Vec<[u8; 128]>,
    allocated: Bytes,
    counters: Counters,
    _module: Module,
}

impl<'d> GpuPrepared<'d> {
    /// Compiles a row for a case, and puts its operands into the GPU's memory.
    ///
    /// # Errors
    /// [`Error::Refused`] with numbers where memory is short, before anything is allocated.
    pub fn new(
        device: &'d GpuDevice,
        row: &CudaKernel,
        case: &Case,
        inputs: &Inputs,
    ) -> Result<Self> {
        if let Some(reason) = row.refuses_on(device.architecture, case) {
            return Err(Error::Refused(format!("{} refuses {case}: {reason}", row.id)));
        }
        let plan = (row.plan)(case, device.architecture);
        let sets = device.capabilities.buffer_sets(case);
        let workspace = plan.workspace.iter().map(|one| rounded(one.init.bytes())).sum::<u64>();
        let before = device.context.room()?;
        let operands = Operands::new(device, case, inputs, Bytes(workspace * sets as u64))?;
        let built = device.compile(row, &plan.defines)?;
        let module =
            Module::load(&device.context, &Image { cubin: &built.cubin, ptx: &built.ptx })?;
        let mut prepared = GpuPrepared {
            device,
            operands,
            workspace: Vec::new(),
            steps: Vec::new(),
            scratch: Vec::new(),
            allocated: case.buffer_bytes() + Bytes(plan.workspace_bytes()),
            counters: resources(device, &built, &plan),
            _module: module,
        };
        prepared.fill(&plan)?;
        let prologue = prepared.ready(&plan.prologue)?;
        prepared.steps = prepared.ready(&plan.steps)?;
        let longest = prepared.steps.iter().chain(&prologue).map(|s| s.step.arguments()).max();
        prepared.scratch = vec![[0; 128]; longest.unwrap_or(0)];
        for step in &prologue {
            prepared.enqueue(step, 0)?;
        }
        prepared.spread(&plan)?;
        device.context.synchronize()?;
        let after = device.context.room()?;
        let delta = before.free.0.saturating_sub(after.free.0);
        prepared.counters.push(("device_memory_delta_bytes".into(), delta as f64));
        Ok(prepared)
    }

    /// Allocates the workspace, and fills its first set.
    fn fill(&mut self, plan: &Plan) -> Result<()> {
        let (device, sets) = (self.device, self.operands.sets());
        for one in &plan.workspace {
            self.workspace.push(Slots::new(device, one.init.bytes(), sets)?);
        }
        for (i, one) in plan.workspace.iter().enumerate() {
            let bytes = match &one.init {
                Init::Unwritten(_) => continue,
                Init::Bytes(bytes) => Cow::Borrowed(bytes.as_slice()),
                Init::Words(words) => Cow::Owned(self.table(words, 0)),
            };
            if !bytes.is_empty() {
                device.context.upload(self.workspace[i].at(0), &bytes)?;
            }
        }
        Ok(())
    }

    /// Makes all sets as the first is; tables of addresses are each their own.
    fn spread(&self, plan: &Plan) -> Result<()> {
        // A prologue's results may stand where those of the launches will.
        self.operands.spread()?;
        for slots in &self.workspace {
            slots.spread(self.device, self.operands.sets())?;
        }
        for (i, one) in plan.workspace.iter().enumerate() {
            let Init::Words(words) = &one.init else { continue };
            for slot in 1..self.operands.sets() {
                let bytes = self.table(words, slot);
                self.device.context.upload(self.workspace[i].at(slot), &bytes)?;
            }
        }
        Ok(())
    }

    fn table(&self, words: &[Word], slot: usize) -> Vec<u8> {
        let bytes = |word: &Word| match *word {
            Word::Number(number) => number.to_le_bytes(),
            Word::Address(buffer, at) => self.address(buffer, slot).offset(at).0.to_le_bytes(),
        };
        words.iter().flat_map(bytes).collect()
    }

    fn address(&self, buffer: cuda::Buffer, slot: usize) -> Address {
        match buffer {
            cuda::Buffer::Read(i) => self.operands.read[i].at(slot),
            cuda::Buffer::Written(i) => self.operands.written[i].at(slot),
            cuda::Buffer::Workspace(i) => self.workspace[i].at(slot),
        }
    }

    fn ready(&self, steps: &[Step]) -> Result<Vec<Ready>> {
        let one = |step: &Step| {
            let &Step { grid, block, cluster, shared, .. } = step;
            Ok(Ready {
                function: self._module.function(step.entry, shared)?,
                shape: Shape { grid, block, cluster, shared },
                step: step.clone(),
            })
        };
        steps.iter().map(one).collect()
    }

    /// Enqueues one launch on one set.
    fn enqueue(&mut self, ready: &Ready, slot: usize) -> Result<()> {
        let Ready { step, function, shape } = ready;
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut lens = [0; MOST_ARGUMENTS];
        let mut count = 0;
        let mut put = |bytes: &[u8]| {
            scratch[count][..bytes.len()].copy_from_slice(bytes);
            lens[count] = bytes.len();
            count += 1;
        };
        for &buffer in &step.buffers {
            put(&self.address(buffer, slot).0.to_le_bytes());
        }
        for scalar in &step.scalars {
            match *scalar {
                Scalar::U32(x) => put(&x.to_le_bytes()),
                Scalar::U64(x) => put(&x.to_le_bytes()),
                Scalar::F32(x) => put(&x.to_le_bytes()),
            }
        }
        for map in &step.maps {
            let buffer = self.address(map.buffer, slot);
            put(&self.device.context.tensor_map(&Map::Tiled(tiled(map)), buffer)?);
        }
        let mut arguments: [&[u8]; MOST_ARGUMENTS] = [&[]; MOST_ARGUMENTS];
        for (argument, (bytes, len)) in arguments.iter_mut().zip(scratch.iter().zip(lens)) {
            *argument = &bytes[..len];
        }
        // SAFETY: the row's plan lists the arguments of this entry in order, as `Plan::check` and every test of the row on the
        // simulator hold it to, and the buffers, as long as the case says, live as long as this.
        let launched = unsafe { self.device.context.launch(*function, shape, &arguments[..count]) };
        self.scratch = scratch;
        launched
    }
}

/// More arguments than any kernel here has.
const MOST_ARGUMENTS: usize = 40;

/// What each entry takes of a multiprocessor, by its largest launch.
fn resources(device: &GpuDevice, built: &Built, plan: &Plan) -> Counters {
    let mut counters = Counters::new();
    for one in &built.resources {
        let steps = plan.steps.iter().filter(|step| step.entry == one.entry);
        let largest = steps.max_by_key(|s| (s.block.iter().product::<u32>(), s.shared));
        let Some(step) = largest else { continue };
        let values = taken(one, footprint(one, step.block, step.shared), device.architecture);
        counters.extend(values.map(|(what, value)| (format!("{}.{what}", one.entry), value)));
    }
    counters
}

impl Prepared for GpuPrepared<'_> {
    /// Enqueues, and waits for nothing.
    fn launch(&mut self, slot: usize) -> Result<()> {
        let slot = self.operands.take(slot);
        let steps = std::mem::take(&mut self.steps);
        let launched = steps.iter().try_for_each(|step| self.enqueue(step, slot));
        self.steps = steps;
        launched
    }

    fn slots(&self) -> usize {
        self.operands.sets()
    }

    fn reset(&mut self) -> Result<()> {
        self.operands.reset()
    }

    fn outputs(&mut self) -> Result<Cow<'_, [Tensor]>> {
        Ok(self.operands.outputs()?.into())
    }

    fn allocated(&self) -> Bytes {
        self.allocated
    }

    fn counters(&self) -> Option<Counters> {
        Some(self.counters.clone())
    }
}

#[cfg(test)]
mod tests;
