//! A CUDA row made ready on a GPU: compiled for it, with its buffers filled, so that only launches are left.
//!
//! Each buffer of a case is an allocation of its own, as long as all sets that launches rotate through, so that where there is
//! one set (warm caches, checks) an access beyond its end leaves the allocation.

use std::borrow::Cow;

use ptxsim::conformance::Map;

use super::device::GpuDevice;
use super::driver::{Address, Handle, Image, Shape};
use super::owned::{Buffer, Module};
use crate::device::sim::{footprint, taken, tiled};
use crate::error::{Error, Result};
use crate::kernels::cuda::plan::Word;
use crate::kernels::cuda::{self, CudaKernel, Init, Plan, Scalar, Step};
use crate::kernels::{Counters, Prepared};
use crate::nvrtc::Built;
use crate::ops::{Case, Inputs, Tensor, TensorSpec};
use crate::units::Bytes;

/// Buffers begin at multiples of this, as allocations do.
const ALIGNMENT: u64 = 256;

/// One buffer in all sets.
struct Slots {
    buffer: Buffer,
    len: u64,
    stride: u64,
}

impl Slots {
    fn new(device: &GpuDevice, len: u64, sets: usize) -> Result<Self> {
        let stride = len.max(1).next_multiple_of(ALIGNMENT);
        // The last one ends where it ends.
        let all = Bytes(stride * (sets as u64 - 1) + len);
        Ok(Slots { buffer: Buffer::new(&device.context, all)?, len, stride })
    }

    fn at(&self, slot: usize) -> Address {
        self.buffer.address.offset(self.stride * slot as u64)
    }

    /// Copies the first set to all others, twice as many at a time.
    fn spread(&self, device: &GpuDevice, sets: usize) -> Result<()> {
        let mut done = 1;
        while done < sets {
            let more = done.min(sets - done);
            let bytes = self.stride * (more as u64 - 1) + self.len;
            if bytes > 0 {
                device.context.copy(self.at(done), self.at(0), Bytes(bytes))?;
            }
            done += more;
        }
        Ok(())
    }
}

/// What a launch passes, but for addresses.
struct Ready {
    step: Step,
    function: Handle,
    shape: Shape,
}

/// A row with its buffers on a GPU.
pub struct GpuPrepared<'d> {
    device: &'d GpuDevice,
    sets: usize,
    read: Vec<Slots>,
    written: Vec<Slots>,
    workspace: Vec<Slots>,
    /// What the written buffers begin as: in-out operands with their values, results as NaN.
    pristine: Vec<Buffer>,
    /// What is in the written buffers, in order.
    specs: Vec<TensorSpec>,
    steps: Vec<Ready>,
    /// Sets that were launched on since they were restored.
    dirty: Vec<bool>,
    /// Room for the bytes of a launch's arguments: launches allocate nothing but a list of pointers.
    scratch: Vec<[u8; 128]>,
    allocated: Bytes,
    counters: Counters,
    _module: Module,
}

/// Bytes of one set, each buffer as the GPU rounds it up.
fn set_bytes(case: &Case, plan: &Plan) -> u64 {
    let round = |len: u64| len.max(1).next_multiple_of(ALIGNMENT);
    let tensors =
        case.operands().iter().chain(&case.results()).map(|s| round(s.bytes().0)).sum::<u64>();
    tensors + plan.workspace.iter().map(|w| round(w.init.bytes())).sum::<u64>()
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
        let pristine: u64 = case.results().iter().map(|s| s.bytes().0).sum::<u64>()
            + case.operands().iter().filter(|s| s.in_out).map(|s| s.bytes().0).sum::<u64>();
        let needs = Bytes(set_bytes(case, &plan) * sets as u64 + pristine);
        let before = device.context.room()?;
        if needs > before.free {
            return Err(Error::Refused(device.short_of(needs, before)));
        }
        let built = device.compile(row, &plan.defines)?;
        let module =
            Module::load(&device.context, &Image { cubin: &built.cubin, ptx: &built.ptx })?;
        let mut prepared = GpuPrepared {
            device,
            sets,
            read: Vec::new(),
            written: Vec::new(),
            workspace: Vec::new(),
            pristine: Vec::new(),
            specs: Vec::new(),
            steps: Vec::new(),
            dirty: vec![false; sets],
            scratch: Vec::new(),
            allocated: case.buffer_bytes() + Bytes(plan.workspace_bytes()),
            counters: resources(device, &built, &plan),
            _module: module,
        };
        prepared.fill(case, inputs, &plan)?;
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

    /// Allocates all buffers, and fills the first set.
    fn fill(&mut self, case: &Case, inputs: &Inputs, plan: &Plan) -> Result<()> {
        let (device, sets) = (self.device, self.sets);
        let context = &device.context;
        for tensor in inputs.tensors.iter() {
            let bytes = &tensor.bytes[..tensor.spec.bytes().0 as usize];
            let slots = Slots::new(device, bytes.len() as u64, sets)?;
            if !bytes.is_empty() {
                context.upload(slots.at(0), bytes)?;
            }
            if tensor.spec.in_out {
                self.pristine.push(Buffer::of(context, bytes)?);
                self.specs.push(tensor.spec.clone());
                self.written.push(slots);
            } else {
                self.read.push(slots);
            }
        }
        for spec in case.results() {
            let poison = Tensor::poisoned(spec.clone());
            let bytes = &poison.bytes[..spec.bytes().0 as usize];
            let slots = Slots::new(device, bytes.len() as u64, sets)?;
            if !bytes.is_empty() {
                context.upload(slots.at(0), bytes)?;
            }
            self.pristine.push(Buffer::of(context, bytes)?);
            self.specs.push(spec);
            self.written.push(slots);
        }
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
                context.upload(self.workspace[i].at(0), &bytes)?;
            }
        }
        Ok(())
    }

    /// Makes all sets as the first is; tables of addresses are each their own.
    fn spread(&self, plan: &Plan) -> Result<()> {
        // A prologue's results may stand where those of the launches will.
        for (slots, pristine) in self.written.iter().zip(&self.pristine) {
            self.copy(slots.at(0), pristine)?;
        }
        let all = self.read.iter().chain(&self.written).chain(&self.workspace);
        for slots in all {
            slots.spread(self.device, self.sets)?;
        }
        for (i, one) in plan.workspace.iter().enumerate() {
            let Init::Words(words) = &one.init else { continue };
            for slot in 1..self.sets {
                let bytes = self.table(words, slot);
                self.device.context.upload(self.workspace[i].at(slot), &bytes)?;
            }
        }
        Ok(())
    }

    fn copy(&self, to: Address, pristine: &Buffer) -> Result<()> {
        match pristine.len {
            Bytes(0) => Ok(()),
            len => self.device.context.copy(to, pristine.address, len),
        }
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
            cuda::Buffer::Read(i) => self.read[i].at(slot),
            cuda::Buffer::Written(i) => self.written[i].at(slot),
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
        let slot = slot % self.sets;
        self.dirty[slot] = true;
        let steps = std::mem::take(&mut self.steps);
        let launched = steps.iter().try_for_each(|step| self.enqueue(step, slot));
        self.steps = steps;
        launched
    }

    fn slots(&self) -> usize {
        self.sets
    }

    fn reset(&mut self) -> Result<()> {
        for slot in 0..self.sets {
            if std::mem::take(&mut self.dirty[slot]) {
                for (slots, pristine) in self.written.iter().zip(&self.pristine) {
                    self.copy(slots.at(slot), pristine)?;
                }
            }
        }
        Ok(())
    }

    fn outputs(&mut self) -> Result<Cow<'_, [Tensor]>> {
        let mut outputs = Vec::new();
        for (spec, slots) in self.specs.iter().zip(&self.written) {
            let mut tensor = Tensor::zeroed(spec.clone());
            let len = slots.len as usize;
            if len > 0 {
                self.device.context.download(slots.at(0), &mut tensor.bytes[..len])?;
            }
            outputs.push(tensor);
        }
        self.device.context.synchronize()?;
        Ok(outputs.into())
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
