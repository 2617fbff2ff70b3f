//! The operands and results of a case on a GPU, in as many sets as launches rotate through.
//!
//! Each buffer of a case is an allocation of its own, as long as all sets together, so that where there is one set (warm caches,
//! checks) an access beyond its end leaves the allocation.

use super::device::GpuDevice;
use super::driver::Address;
use super::owned::Buffer;
use crate::error::{Error, Result};
use crate::ops::{Case, Inputs, Tensor, TensorSpec};
use crate::units::Bytes;

/// Buffers begin at multiples of this, as allocations do.
const ALIGNMENT: u64 = 256;

/// What a buffer of `len` bytes takes, with what the next one's start leaves free.
pub fn rounded(len: u64) -> u64 {
    len.max(1).next_multiple_of(ALIGNMENT)
}

/// One buffer in all sets.
pub struct Slots {
    buffer: Buffer,
    /// Bytes of one set.
    pub len: u64,
    stride: u64,
}

impl Slots {
    /// Takes memory for `sets` of `len` bytes.
    ///
    /// # Errors
    /// When there is not enough.
    pub fn new(device: &GpuDevice, len: u64, sets: usize) -> Result<Self> {
        let stride = rounded(len);
        // The last one ends where it ends.
        let all = Bytes(stride * (sets as u64 - 1) + len);
        Ok(Slots { buffer: Buffer::new(&device.context, all)?, len, stride })
    }

    /// With these bytes in the first set.
    fn of(device: &GpuDevice, bytes: &[u8], sets: usize) -> Result<Self> {
        let slots = Slots::new(device, bytes.len() as u64, sets)?;
        if !bytes.is_empty() {
            device.context.upload(slots.at(0), bytes)?;
        }
        Ok(slots)
    }

    /// Where one set begins.
    pub fn at(&self, slot: usize) -> Address {
        self.buffer.address.offset(self.stride * slot as u64)
    }

    /// Enqueues copies of the first set to all others, twice as many at a time.
    ///
    /// # Errors
    /// When the context is lost.
    pub fn spread(&self, device: &GpuDevice, sets: usize) -> Result<()> {
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

/// Operands and results of a case.
pub struct Operands<'d> {
    device: &'d GpuDevice,
    sets: usize,
    /// Operands that are only read, in the order of [`Case::operands`].
    pub read: Vec<Slots>,
    /// Operands that are updated in place, then results.
    pub written: Vec<Slots>,
    /// What the written buffers begin as: in-out operands with their values, results as NaN.
    pristine: Vec<Buffer>,
    /// What is in the written buffers, in order.
    specs: Vec<TensorSpec>,
    /// Sets that were launched on since they were restored.
    pub(super) dirty: Vec<bool>,
}

impl<'d> Operands<'d> {
    /// Puts operands into the GPU's memory, in the first set; `beside` is what the caller will take.
    ///
    /// # Errors
    /// [`Error::Refused`] with numbers where memory is short, before anything is allocated.
    pub fn new(device: &'d GpuDevice, case: &Case, inputs: &Inputs, beside: Bytes) -> Result<Self> {
        let sets = device.capabilities.buffer_sets(case);
        let (operands, results) = (case.operands(), case.results());
        let one_set: u64 = operands.iter().chain(&results).map(|s| rounded(s.bytes().0)).sum();
        let kept = operands.iter().filter(|s| s.in_out).chain(&results);
        let pristine: u64 = kept.map(|s| s.bytes().0).sum();
        let needs = Bytes(one_set * sets as u64 + pristine + beside.0);
        let room = device.context.room()?;
        if needs > room.free {
            return Err(Error::Refused(device.short_of(needs, room)));
        }
        let mut all = Operands {
            device,
            sets,
            read: Vec::new(),
            written: Vec::new(),
            pristine: Vec::new(),
            specs: Vec::new(),
            dirty: vec![false; sets],
        };
        for tensor in inputs.tensors.iter() {
            if tensor.spec.in_out {
                all.keep(tensor)?;
            } else {
                let bytes = &tensor.bytes[..tensor.spec.bytes().0 as usize];
                all.read.push(Slots::of(device, bytes, sets)?);
            }
        }
        for spec in results {
            all.keep(&Tensor::poisoned(spec))?;
        }
        Ok(all)
    }

    /// Adds a buffer that launches write, and what it is restored from.
    fn keep(&mut self, tensor: &Tensor) -> Result<()> {
        let bytes = &tensor.bytes[..tensor.spec.bytes().0 as usize];
        self.written.push(Slots::of(self.device, bytes, self.sets)?);
        self.pristine.push(Buffer::of(&self.device.context, bytes)?);
        self.specs.push(tensor.spec.clone());
        Ok(())
    }

    /// The number of sets.
    pub fn sets(&self) -> usize {
        self.sets
    }

    /// The set that launch number `slot` is on, which is then to be restored.
    pub fn take(&mut self, slot: usize) -> usize {
        let slot = slot % self.sets;
        self.dirty[slot] = true;
        slot
    }

    /// Restores the first set, and makes all others as it is.
    ///
    /// # Errors
    /// When the context is lost.
    pub fn spread(&self) -> Result<()> {
        self.restore(0)?;
        let all = self.read.iter().chain(&self.written);
        all.into_iter().try_for_each(|slots| slots.spread(self.device, self.sets))
    }

    /// Restores the sets that were launched on.
    ///
    /// # Errors
    /// When the context is lost.
    pub fn reset(&mut self) -> Result<()> {
        for slot in 0..self.sets {
            if std::mem::take(&mut self.dirty[slot]) {
                self.restore(slot)?;
            }
        }
        Ok(())
    }

    fn restore(&self, slot: usize) -> Result<()> {
        for (slots, pristine) in self.written.iter().zip(&self.pristine) {
            if pristine.len.0 > 0 {
                self.device.context.copy(slots.at(slot), pristine.address, pristine.len)?;
            }
        }
        Ok(())
    }

    /// What the last launch on the first set left behind.
    ///
    /// # Errors
    /// When the context is lost.
    pub fn outputs(&self) -> Result<Vec<Tensor>> {
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
        Ok(outputs)
    }
}
