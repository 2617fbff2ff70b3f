//! A CUDA row made ready on a GPU: compiled for it, with its buffers filled, so that only launches are left.

use std::borrow::Cow;

use ptxsim::conformance::Map;

use super::device::GpuDevice;
use super::driver::{Address, Handle, Image, MOST_ARGUMENTS, Shape};
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

/// A launch with its arguments, packed for each set: what is left to do is to hand them over.
struct Ready {
    function: Handle,
    shape: Shape,
    /// Bytes of each argument.
    lens: Vec<usize>,
    /// The arguments of one set behind another's, each at whole words.
    packed: Vec<u64>,
}

impl Ready {
    /// Words of one set's arguments.
    fn stride(&self) -> usize {
        self.lens.iter().map(|len| len.div_ceil(8)).sum()
    }
}

/// A row with its buffers on a GPU.
pub struct GpuPrepared<'d> {
    device: &'d GpuDevice,
    operands: Operands<'d>,
    workspace: Vec<Slots>,
    steps: Vec<Ready>,
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
            allocated: case.buffer_bytes() + Bytes(plan.workspace_bytes()),
            counters: resources(device, &built, &plan),
            _module: module,
        };
        prepared.fill(&plan)?;
        prepared.steps = prepared.ready(&plan.steps, sets)?;
        for step in &prepared.ready(&plan.prologue, 1)? {
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

    fn ready(&self, steps: &[Step], sets: usize) -> Result<Vec<Ready>> {
        let one = |step: &Step| {
            let &Step { grid, block, cluster, shared, .. } = step;
            let mut ready = Ready {
                function: self._module.function(step.entry, shared)?,
                shape: Shape { grid, block, cluster, shared },
                lens: Vec::new(),
                packed: Vec::new(),
            };
            for slot in 0..sets {
                ready.lens.clear();
                self.pack(step, slot, &mut ready)?;
            }
            Ok(ready)
        };
        steps.iter().map(one).collect()
    }

    /// Adds what a step passes on one set.
    fn pack(&self, step: &Step, slot: usize, into: &mut Ready) -> Result<()> {
        let mut put = |bytes: &[u8]| {
            into.lens.push(bytes.len());
            into.packed.extend(bytes.chunks(8).map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_ne_bytes(word)
            }));
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
        Ok(())
    }

    /// Enqueues one launch on one set.
    fn enqueue(&self, ready: &Ready, slot: usize) -> Result<()> {
        let stride = ready.stride();
        let mut rest: &[u8] = bytemuck::cast_slice(&ready.packed[stride * slot..][..stride]);
        let mut arguments: [&[u8]; MOST_ARGUMENTS] = [&[]; MOST_ARGUMENTS];
        for (argument, &len) in arguments.iter_mut().zip(&ready.lens) {
            let whole;
            (whole, rest) = rest.split_at(len.next_multiple_of(8));
            *argument = &whole[..len];
        }
        let arguments = &arguments[..ready.lens.len()];
        // SAFETY: the row's plan lists the arguments of this entry in order, as `Plan::check` and every test of the row on the
        // simulator hold it to, and the buffers, as long as the case says, live as long as this.
        unsafe { self.device.context.launch(ready.function, &ready.shape, arguments) }
    }
}

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
        self.steps.iter().try_for_each(|step| self.enqueue(step, slot))
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
