//! Measuring on a GPU: what a worker does with a kernel that is ready there.
//!
//! - A cold sample is one launch behind a flush of the second-level cache, on the next of buffer sets that fill it twice.
//! - A warm sample is a batch of launches on the same buffers; of kernels shorter than 20 µs a CUDA graph, replayed: the host
//!   cannot enqueue single launches as fast as they end.
//! - A sustained sample comes behind at least three seconds and a thousand launches of the same work.
//!
//! Beside each sample stand the clock that was probed on the GPU right behind it, and power, temperature and what slows the clock
//! down, as NVML tells them.

pub mod calibrate;
mod energy;
pub mod stopwatch;

pub use calibrate::Calibration;
pub use stopwatch::{Lap, Start, Stopwatch};

use crate::device::GpuDevice;
use crate::device::cuda::nvml::Reading;
use crate::device::cuda::owned::Graph;
use crate::error::{Error, Result};
use crate::kernels::Prepared;
use crate::ops::{Cache, Case, Regime};
use crate::units::Bytes;
use crate::worker::protocol::{Timed, Visit};

/// Kernels shorter than this are replayed as a graph.
pub const GRAPH_BELOW_NS: f64 = 20_000.0;
/// Launches in a graph at most.
const GRAPH_LAUNCHES: u64 = 64;
/// What may wait behind a block: a driver's queue holds 1024.
const BLOCKED_MOST: u64 = 256;
/// What a sustained regime starts with.
const SETTLE_NS: f64 = 3e9;
const SETTLE_LAUNCHES: u64 = 1000;
/// The same in later visits of a process, whose neighbours have kept the GPU at work.
const RESETTLE_NS: f64 = 3e8;
/// Nobody waits longer than this for a thousand launches of a slow kernel.
const SETTLE_MOST_NS: f64 = 30e9;

/// Memory without which nothing can be measured, beside what flushes the cache.
const LEAST_FREE: Bytes = Bytes(16 << 20);

/// A GPU with what it is measured by.
#[derive(Debug)]
pub struct Bench<'d> {
    device: &'d GpuDevice,
    watch: Stopwatch,
}

/// What is kept of a kernel between visits.
#[derive(Debug, Default)]
pub struct Kept {
    graph: Option<(u64, Graph)>,
    settled: bool,
    energy: bool,
}

impl<'d> Bench<'d> {
    /// Makes ready to measure on a GPU.
    ///
    /// # Errors
    /// As [`Stopwatch::new`], and with numbers where memory is short.
    pub fn new(device: &'d GpuDevice) -> Result<Self> {
        let room = device.context.room()?;
        let needs = LEAST_FREE + device.capabilities.last_level_cache * 10;
        if room.free < needs {
            return Err(Error::Refused(device.short_of(needs, room)));
        }
        Ok(Bench { device, watch: Stopwatch::new(device)? })
    }

    /// What the measuring itself comes to on this GPU, now.
    ///
    /// # Errors
    /// When the context is lost.
    pub fn calibrate(&self) -> Result<Calibration> {
        calibrate::calibrate(self.device, &self.watch)
    }

    /// The rough time of a launch: the shortest of three, behind an untimed one.
    ///
    /// # Errors
    /// What ended the kernel.
    pub fn rough(&self, prepared: &mut dyn Prepared, slot: &mut usize) -> Result<f64> {
        let mut shortest = f64::INFINITY;
        for _ in 0..4 {
            let lap = self.watch.blocked(Start::AsIs, &mut || prepared.launch(*slot))?;
            *slot += 1;
            // The last of the four, whose first is the untimed one.
            shortest = shortest.min(lap.ns);
        }
        Ok(shortest.max(1.0))
    }

    /// Takes `count` samples of `iterations` launches each; one launch each where caches are cold.
    ///
    /// # Errors
    /// What ended the kernel.
    pub fn take(
        &self,
        case: &Case,
        prepared: &mut dyn Prepared,
        slot: &mut usize,
        kept: &mut Kept,
        launch_ns: f64,
        (iterations, count): (u64, usize),
    ) -> Result<Visit> {
        let mut visit = Visit::default();
        let graph = case.cache == Cache::Warm && launch_ns < GRAPH_BELOW_NS;
        if graph && kept.graph.is_none() {
            let launches = iterations.clamp(1, GRAPH_LAUNCHES);
            let mut enqueue = || (0..launches).try_for_each(|i| prepared.launch(i as usize));
            let graph = Graph::of(&self.device.context, &mut enqueue)?;
            // Once outside of everything: the first launch of a graph makes room for it on the GPU.
            graph.launch()?;
            self.device.context.synchronize()?;
            kept.graph = Some((launches, graph));
        }
        if case.regime == Regime::Sustained {
            self.settle(case, prepared, slot, kept, launch_ns)?;
        }
        // What a reset or another kernel left behind is not the first sample's burden.
        self.batch(prepared, slot, kept, graph, 1)?;
        for _ in 0..count {
            let (lap, iterations) = match case.cache {
                Cache::Cold => {
                    let lap = self.watch.blocked(Start::Flushed, &mut || prepared.launch(*slot))?;
                    *slot += 1;
                    (lap, 1)
                }
                Cache::Warm => self.batch(prepared, slot, kept, graph, iterations)?,
            };
            let told = self.reading();
            visit.samples.push(Timed {
                wall_ns: lap.ns.round().max(1.0) as u64,
                iterations,
                // What was probed on the GPU right behind the sample is of the sample; what NVML tells is of some time before.
                gpu: Some(Reading { sm_mhz: lap.sm_mhz.or(told.sm_mhz), ..told }),
                ..Timed::default()
            });
        }
        if case.regime == Regime::Sustained && !std::mem::replace(&mut kept.energy, true) {
            match self.energy(prepared, slot, kept, graph, launch_ns)? {
                Ok(energy) => visit.energy_mj = Some(energy),
                Err(reason) => visit.energy_refused = Some(reason),
            }
        }
        Ok(visit)
    }

    /// A look at the GPU; nothing of it where nobody tells.
    fn reading(&self) -> Reading {
        self.device.monitor.as_ref().map(|monitor| monitor.read()).unwrap_or_default()
    }

    /// Times about `iterations` launches, a whole number of graphs; returns how many they were.
    fn batch(
        &self,
        prepared: &mut dyn Prepared,
        slot: &mut usize,
        kept: &Kept,
        graph: bool,
        iterations: u64,
    ) -> Result<(Lap, u64)> {
        let (launches, pieces) = match &kept.graph {
            Some((each, _)) if graph => {
                let graphs = iterations.div_ceil(*each).max(1);
                (graphs * each, graphs)
            }
            _ => (iterations, iterations),
        };
        let first = *slot;
        let mut enqueue = || match &kept.graph {
            Some((_, graph_of)) if graph => (0..pieces).try_for_each(|_| graph_of.launch()),
            _ => (0..pieces).try_for_each(|i| prepared.launch(first + i as usize)),
        };
        let lap = match pieces <= BLOCKED_MOST {
            true => self.watch.blocked(Start::AsIs, &mut enqueue)?,
            false => self.watch.running(&mut enqueue)?,
        };
        *slot += launches as usize;
        Ok((lap, launches))
    }

    /// Keeps the GPU at this work until it has settled: by its own time, however fast the host is.
    fn settle(
        &self,
        case: &Case,
        prepared: &mut dyn Prepared,
        slot: &mut usize,
        kept: &mut Kept,
        launch_ns: f64,
    ) -> Result<()> {
        let first = !std::mem::replace(&mut kept.settled, true);
        let (least_ns, least) = if first { (SETTLE_NS, SETTLE_LAUNCHES) } else { (RESETTLE_NS, 0) };
        let each = (1e8 / launch_ns).clamp(1.0, 1e5) as u64;
        let (mut busy, mut launches) = (0.0, 0);
        while (busy < least_ns || launches < least) && busy < SETTLE_MOST_NS {
            let (lap, done) = self.batch(prepared, slot, kept, kept.graph.is_some(), each)?;
            busy += lap.ns;
            launches += done;
            // Hundreds of thousands of updates would lead operands far from those of a training run.
            if case.operands().iter().any(|operand| operand.in_out) {
                prepared.reset()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
