//! How long work on a GPU takes, by its events, with the host's pace left out.
//!
//! The order of a sample is nvbench's (`measure_cold.cuh` of NVIDIA/nvbench): flush the cache, block the stream, start event,
//! launches, stop event, unblock, wait. What the host enqueues while the stream is blocked runs back to back. A probe of the
//! multiprocessors' clock follows the stop event, before anything can cool down.

use std::sync::Arc;

use crate::device::GpuDevice;
use crate::device::cuda::driver::{Context, Handle, Shape};
use crate::device::cuda::owned::{Buffer, Event, Word};
use crate::device::cuda::probes::Probes;
use crate::error::{Error, Result};
use crate::units::Bytes;

/// After so long a blocked stream goes on by itself: the host has died, or the driver waits for what is behind the block.
const PATIENCE_NS: u64 = 10_000_000_000;

/// The stretch over which the clock is probed.
const PROBE_NS: u64 = 20_000;

/// A launch of one thread.
const ONE: Shape = Shape { grid: [1; 3], block: [1; 3], cluster: None, shared: 0 };

/// What a sample showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lap {
    /// Time between the events.
    pub ns: f64,
    /// The clock of a multiprocessor right behind it.
    pub sm_mhz: Option<f64>,
}

/// How a sample begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With nothing of earlier launches in the second-level cache.
    Flushed,
    /// With what is there.
    AsIs,
}

/// Events, the block, and what the cache is flushed with.
#[derive(Debug)]
pub struct Stopwatch {
    context: Arc<dyn Context>,
    /// The measuring kernels.
    pub probes: Probes,
    go: Word,
    gave_up: Word,
    start: Event,
    stop: Event,
    flush: Buffer,
    clocks: Buffer,
}

impl Stopwatch {
    /// Makes one on a GPU.
    ///
    /// # Errors
    /// When there is no memory for it, or the measuring kernels cannot be loaded.
    pub fn new(device: &GpuDevice) -> Result<Self> {
        let context = &device.context;
        let watch = Stopwatch {
            context: Arc::clone(context),
            probes: Probes::load(context, &device.compiler)?,
            go: Word::new(context)?,
            gave_up: Word::new(context)?,
            start: Event::new(context)?,
            stop: Event::new(context)?,
            // Twice the cache: which lines a fill replaces is not told.
            flush: Buffer::new(context, Bytes(2 * device.capabilities.last_level_cache.0))?,
            clocks: Buffer::new(context, Bytes(16))?,
        };
        // Once each outside of everything: the first launch of a kernel loads its code, for which a driver may wait for the stream.
        watch.go.store(1);
        watch.probe_clock()?;
        for kernel in [watch.probes.empty, watch.probes.spin] {
            watch.launch(kernel, if kernel == watch.probes.spin { &[0] } else { &[] })?;
        }
        watch.block()?;
        context.synchronize()?;
        Ok(watch)
    }

    /// Enqueues one of the measuring kernels, whose arguments are all 64-bit.
    pub fn launch(&self, kernel: Handle, arguments: &[u64]) -> Result<()> {
        let bytes: Vec<[u8; 8]> = arguments.iter().map(|word| word.to_le_bytes()).collect();
        let arguments: Vec<&[u8]> = bytes.iter().map(|bytes| bytes.as_slice()).collect();
        // SAFETY: callers pass what `kernels/measure/measure.cu` declares; the words and the buffer live as long as this, which
        // waits for its kernels before it is dropped.
        unsafe { self.context.launch(kernel, &ONE, &arguments) }
    }

    fn block(&self) -> Result<()> {
        let (go, gave_up) = (self.go.address().0, self.gave_up.address().0);
        self.launch(self.probes.block, &[go, gave_up, PATIENCE_NS])
    }

    fn probe_clock(&self) -> Result<()> {
        self.launch(self.probes.clock, &[self.clocks.address.0, PROBE_NS])
    }

    /// Cycles over nanoseconds of the last probe.
    fn probed_mhz(&self) -> Result<Option<f64>> {
        let bytes = self.clocks.download()?;
        let word = |i: usize| {
            u64::from_le_bytes(bytes[8 * i..][..8].try_into().expect("it has two words"))
        };
        Ok((word(0) > 0).then(|| word(1) as f64 / word(0) as f64 * 1e3))
    }

    /// Times what `enqueue` enqueues: few launches, for a blocked stream takes some hundred before the host must wait.
    ///
    /// # Errors
    /// When the context is lost, or the stream was not unblocked in time.
    pub fn blocked(&self, start: Start, enqueue: &mut dyn FnMut() -> Result<()>) -> Result<Lap> {
        if start == Start::Flushed {
            self.context.fill(self.flush.address, 0, self.flush.len)?;
        }
        self.go.store(0);
        self.gave_up.store(0);
        self.block()?;
        let enqueued = self
            .start
            .record()
            .and_then(|()| enqueue())
            .and_then(|()| self.stop.record())
            .and_then(|()| self.probe_clock());
        // Unblocked whatever happened, or the stream would be lost for as long as its patience lasts.
        self.go.store(1);
        enqueued?;
        self.context.synchronize()?;
        if self.gave_up.read() != 0 {
            return Err(Error::Worker(format!(
                "the stream was blocked for more than {} s: the host could not enqueue a sample in time",
                PATIENCE_NS / 1_000_000_000
            )));
        }
        self.lap()
    }

    /// Times what `enqueue` enqueues, however many launches: the GPU starts on the first while the host enqueues the next.
    ///
    /// # Errors
    /// When the context is lost.
    pub fn running(&self, enqueue: &mut dyn FnMut() -> Result<()>) -> Result<Lap> {
        self.start.record()?;
        enqueue()?;
        self.stop.record()?;
        self.probe_clock()?;
        self.context.synchronize()?;
        self.lap()
    }

    fn lap(&self) -> Result<Lap> {
        Ok(Lap { ns: self.stop.since_ns(&self.start)?, sm_mhz: self.probed_mhz()? })
    }
}
