//! A product that was made ready by trying every algorithm of the library.

use std::borrow::Cow;

use super::super::product;
use super::WORKSPACE;
use super::layout::gemm;
use crate::device::GpuDevice;
use crate::device::cuda::blas::{Algorithm, Blas};
use crate::device::cuda::driver::Handle;
use crate::device::cuda::operands::Operands;
use crate::device::cuda::owned::{Buffer, Event};
use crate::error::{Error, Result};
use crate::kernels::{Counters, Prepared};
use crate::ops::{Case, DType, Inputs, Tensor};
use crate::units::Bytes;

/// Algorithms that are asked for; the library has some dozens for a product.
const MOST: usize = 64;
/// Launches of an algorithm between two events, at least and at most.
const LAUNCHES: (f64, f64) = (2.0, 50.0);
/// Aimed time between two events: long beside their own grain of half a microsecond.
const STRETCH_NS: f64 = 2e6;
/// Turns that the algorithms take; the fastest of each counts, so that a clock that moves meets all of them.
const TURNS: usize = 3;

/// An algorithm with its shortest time.
struct Tried {
    algorithm: Algorithm,
    ns: f64,
}

/// A product with its operands on a GPU, and the algorithm that was the fastest on it.
pub(super) struct Tuned<'d> {
    device: &'d GpuDevice,
    blas: Box<dyn Blas + 'd>,
    gemm: Handle,
    operands: Operands<'d>,
    workspace: Buffer,
    chosen: Algorithm,
    driven: String,
    allocated: Bytes,
    counters: Counters,
}

impl<'d> Tuned<'d> {
    /// Puts the operands into the GPU's memory, and tries all algorithms.
    ///
    /// # Errors
    /// [`Error::Refused`] where the library is missing, has no algorithm for the case, or memory is short.
    pub(super) fn new(device: &'d GpuDevice, case: &Case, inputs: &Inputs) -> Result<Self> {
        let blas = device.context.blas()?;
        let before = device.context.room()?;
        let operands = Operands::new(device, case, inputs, WORKSPACE)?;
        operands.spread()?;
        let gemm = blas.describe(&gemm(&product(case), case.precision))?;
        let mut tuned = Tuned {
            device,
            blas,
            gemm,
            operands,
            workspace: Buffer::new(&device.context, Bytes(0))?,
            chosen: Algorithm {
                opaque: [0; 8],
                config: Default::default(),
                workspace: Bytes(0),
                waves: 0.0,
            },
            driven: String::new(),
            allocated: case.buffer_bytes(),
            counters: Counters::new(),
        };
        let found = tuned.blas.algorithms(gemm, WORKSPACE, MOST)?;
        if found.is_empty() {
            return Err(Error::Refused(no_algorithm(case)));
        }
        let most = found.iter().map(|one| one.workspace).max_by_key(|b| b.0).unwrap_or(Bytes(0));
        tuned.workspace = Buffer::new(&device.context, most)?;
        tuned.choose(found)?;
        tuned.operands.reset()?;
        device.context.synchronize()?;
        let after = device.context.room()?;
        let delta = before.free.0.saturating_sub(after.free.0);
        tuned.counters.push(("device_memory_delta_bytes".into(), delta as f64));
        Ok(tuned)
    }

    /// Times all algorithms and keeps the fastest, with workspace as it needs.
    fn choose(&mut self, found: Vec<Algorithm>) -> Result<()> {
        let asked = found.len();
        let mut tried = Vec::new();
        let mut declined = None;
        for algorithm in found {
            // The first launch loads code, the second tells how many are to be timed.
            match self.stretch(&algorithm, 1).and_then(|_| self.stretch(&algorithm, 1)) {
                Ok(ns) => tried.push(Tried { algorithm, ns }),
                Err(error @ Error::Lost(_)) => return Err(error),
                Err(error) => declined = Some(error),
            }
        }
        for _ in 0..TURNS {
            for one in &mut tried {
                let launches = (STRETCH_NS / one.ns).clamp(LAUNCHES.0, LAUNCHES.1) as usize;
                one.ns = one.ns.min(self.stretch(&one.algorithm, launches)?);
            }
        }
        let first = tried.first().map(|one| one.ns);
        let best = tried.iter().min_by(|a, b| a.ns.total_cmp(&b.ns));
        let (Some(Tried { algorithm, ns }), Some(first)) = (best, first) else {
            let reason = declined.map_or("no algorithm".to_owned(), |error| error.to_string());
            return Err(Error::Library(format!("none of {asked} algorithms runs: {reason}")));
        };
        self.driven = format!(
            "cuBLASLt {}: {algorithm}, the fastest of {} tried",
            self.blas.version(),
            tried.len(),
        );
        let config = algorithm.config;
        self.counters = [
            ("algorithm_id", f64::from(config.id)),
            ("tile_id", f64::from(config.tile)),
            ("stages_id", f64::from(config.stages)),
            ("cluster_shape_id", f64::from(config.cluster)),
            ("split_k", f64::from(config.split_k)),
            ("reduction_scheme", f64::from(config.reduction)),
            ("cta_swizzle", f64::from(config.swizzle)),
            ("custom_option", f64::from(config.custom)),
            ("waves", f64::from(algorithm.waves)),
            ("workspace_bytes", algorithm.workspace.0 as f64),
            ("algorithms_found", asked as f64),
            ("algorithms_run", tried.len() as f64),
            ("chosen_ns", *ns),
            ("first_guess_ns", first),
        ]
        .map(|(name, value)| (format!("cublaslt.{name}"), value))
        .to_vec();
        self.chosen = algorithm.clone();
        self.workspace = Buffer::new(&self.device.context, self.chosen.workspace)?;
        self.allocated = self.allocated + self.chosen.workspace;
        Ok(())
    }

    /// Nanoseconds of a launch, over so many of them, each on the next of the sets.
    fn stretch(&mut self, algorithm: &Algorithm, launches: usize) -> Result<f64> {
        let (start, stop) = (Event::new(&self.device.context)?, Event::new(&self.device.context)?);
        start.record()?;
        for slot in 0..launches {
            self.multiply(algorithm, slot)?;
        }
        stop.record()?;
        self.device.context.synchronize()?;
        Ok((stop.since_ns(&start)? / launches as f64).max(1.0))
    }

    fn multiply(&mut self, algorithm: &Algorithm, slot: usize) -> Result<()> {
        let slot = self.operands.take(slot);
        let Operands { read, written, .. } = &self.operands;
        let operands = [read[1].at(slot), read[0].at(slot), written[0].at(slot)];
        // SAFETY: B, A and C of the case, whose layouts `gemm` tells, live as long as this; the workspace is as long as the largest
        // that any algorithm of this product needs, or as the chosen one does.
        unsafe { self.blas.multiply(self.gemm, algorithm, operands, self.workspace.address) }
    }
}

/// Why the library may have none, where that is known.
fn no_algorithm(case: &Case) -> String {
    let p = product(case);
    let why = match case.precision.inputs {
        DType::E4m3 => {
            "; before sm_100 e4m3 products are nt, from sm_89 on, with sizes that are multiples of 16"
        }
        DType::I8 => "; int8 products are nt, with sizes that are multiples of 4",
        DType::Bf16 => "; bf16 products are from sm_80 on",
        _ => "",
    };
    format!("cuBLASLt has no algorithm for {p} in {} on this GPU{why}", case.precision)
}

impl Drop for Tuned<'_> {
    fn drop(&mut self) {
        self.blas.forget(self.gemm);
    }
}

impl Prepared for Tuned<'_> {
    /// Enqueues, and waits for nothing.
    fn launch(&mut self, slot: usize) -> Result<()> {
        let chosen = self.chosen.clone();
        self.multiply(&chosen, slot)
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

    fn driven(&self) -> Option<String> {
        Some(self.driven.clone())
    }
}
