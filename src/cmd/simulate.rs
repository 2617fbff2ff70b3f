//! CUDA kernels on the simulator: what `--device sim` means to the commands.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use ptxsim::Options;

use crate::check::{self, Checked};
use crate::device::{Device, SimDevice};
use crate::error::{Error, Result};
use crate::kernels::cuda::Architecture;
use crate::kernels::{Counters, CudaKernel, Kernel};
use crate::nvrtc::Compiler;
use crate::ops::{Case, Expected, Inputs};
use crate::units::Bytes;

/// What came of one kernel on one case.
pub struct Simulated {
    /// The check of its answer, with what is wrong, if anything.
    pub checked: Checked,
    /// What it executed, and what it was compiled to.
    pub counters: Counters,
    /// Buffers and workspace.
    pub allocated: Bytes,
    /// Seconds that the launch took; compiling and checking are not in it.
    pub seconds: f64,
}

/// A case with what its kernels share.
pub struct Job {
    /// What to compute.
    pub case: Case,
    inputs: Inputs,
    expected: Expected,
}

impl Job {
    /// Makes operands, and the answer.
    pub fn new(case: Case, seed: u64) -> Self {
        let inputs = case.inputs(seed);
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let expected = case.expected(&inputs, threads);
        Job { case, inputs, expected }
    }
}

/// The simulator of an architecture, with NVRTC from where the user says, or found.
///
/// # Errors
/// Where there is no NVRTC, or one that does not know the architecture.
pub fn device(architecture: Architecture, nvrtc: Option<&Path>) -> Result<Device> {
    Ok(Device::Sim(SimDevice::new(architecture, Compiler::find(nvrtc)?)?))
}

/// The schedule of a seed: another order of warps and of asynchronous work, and with each odd one waits at an mbarrier that give
/// up early, as hardware may.
pub fn schedule(seed: u64) -> Options {
    Options { seed, give_up: seed % 2 == 1, ..Options::default() }
}

/// Longest simulation of one kernel on one case.
pub const LONGEST_S: f64 = 30.0;

/// How long simulations take here: a guess that every kernel's own runs correct.
#[derive(Debug, Default)]
pub struct Pace {
    /// Measured time over the guess, for kernels that have run.
    found: HashMap<&'static str, f64>,
}

impl Pace {
    /// Why a case is refused before it is tried, if so: its architecture, its form, or its size.
    pub fn refuses(&self, sim: &SimDevice, kernel: &CudaKernel, case: &Case) -> Option<String> {
        if let Some(reason) = sim.refuses(kernel, case) {
            return Some(reason.into_owned());
        }
        let seconds = self.estimate(kernel, case);
        (seconds > LONGEST_S).then(|| {
            format!("would take about {seconds:.0} s to simulate, and {LONGEST_S:.0} s is the most")
        })
    }

    /// Seconds that a launch takes to simulate: from the kernel's last run here, where it had one, else within a factor of a few.
    pub fn estimate(&self, kernel: &CudaKernel, case: &Case) -> f64 {
        guess(kernel, case) * self.found.get(kernel.id).unwrap_or(&1.0)
    }

    /// Takes note of a launch; short ones, most of which is making ready, say nothing.
    pub fn learn(&mut self, kernel: &CudaKernel, case: &Case, seconds: f64) {
        /// A guess that is further off than this was of a launch that is nothing like others.
        const FURTHEST: f64 = 30.0;
        if seconds > 0.5 {
            let off = seconds / guess(kernel, case);
            self.found.insert(kernel.id, off.clamp(1.0 / FURTHEST, FURTHEST));
        }
    }
}

/// Lane instructions that a case should need, over what a core executes of them in a second.
fn guess(kernel: &CudaKernel, case: &Case) -> f64 {
    /// Warp instructions a second, checks on.
    const RATE: f64 = 3e6;
    let cost = case.cost();
    let tensor = kernel.claims.iter().any(|claim| claim.contains("MMA"));
    // Lane instructions a flop: a load or two beside each FMA; a tensor-core instruction does some thousand of them.
    let each = if tensor { 0.2 } else { 2.0 };
    let lanes = cost.flops.0 as f64 * each + cost.bytes.0 as f64;
    lanes / 32.0 / RATE
}

/// Compiles, simulates and checks.
///
/// # Errors
/// What keeps a kernel from running: it does not compile, or the simulator does not execute an instruction. A finding is a
/// wrong answer with the finding as its reason.
pub fn simulate(device: &Device, kernel: &dyn Kernel, job: &Job) -> Result<Simulated> {
    let mut prepared = kernel.prepare(device, &job.case, &job.inputs)?;
    let start = Instant::now();
    let launched = prepared.launch(0);
    let seconds = start.elapsed().as_secs_f64();
    match launched {
        Ok(()) => {}
        Err(Error::Finding(finding)) => {
            let check = crate::record::Check {
                full: job.expected.is_full(),
                deviation: f64::NAN,
                tolerance: job.expected.tolerance,
            };
            let checked = Checked { check, wrong: Some(finding) };
            let allocated = prepared.allocated();
            return Ok(Simulated { checked, counters: Counters::new(), allocated, seconds });
        }
        Err(other) => return Err(other),
    }
    let checked = check::check(&job.case, &job.inputs, &job.expected, &prepared.outputs()?);
    let mut counters = prepared.counters().unwrap_or_default();
    counters.retain(|(_, value)| value.is_finite());
    Ok(Simulated { checked, counters, allocated: prepared.allocated(), seconds })
}

/// As [`simulate`], where a panic costs that kernel only.
///
/// # Errors
/// As [`simulate`], and of a panic.
pub fn simulate_guarded(device: &Device, kernel: &dyn Kernel, job: &Job) -> Result<Simulated> {
    let outcome = catch_unwind(AssertUnwindSafe(|| simulate(device, kernel, job)));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Error::Worker(format!("the simulator panicked: {text}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Registry;
    use crate::ops::{Matmul, Precision, Problem};

    #[test]
    fn an_estimate_follows_what_a_kernel_took_and_no_other_kernel() {
        let product = |n| Case::new(Problem::Matmul(Matmul::new(n, n, n)), Precision::F32);
        let row = |id| Registry::cuda().get(id).and_then(|k| k.as_cuda()).unwrap();
        let (naive, tiled) = (row("matmul/naive"), row("matmul/tiled"));
        let mut pace = Pace::default();
        let before = pace.estimate(tiled, &product(128));
        let first = guess(naive, &product(512));
        pace.learn(naive, &product(512), 0.1);
        assert_eq!(pace.estimate(naive, &product(512)), first, "too short a launch");
        pace.learn(naive, &product(512), 2.0 * first);
        assert!((pace.estimate(naive, &product(512)) / first - 2.0).abs() < 1e-9);
        assert_eq!(pace.estimate(tiled, &product(128)), before);
        pace.learn(naive, &product(8), 3.0);
        assert!(
            pace.estimate(naive, &product(8)) < 0.1,
            "one odd launch does not refuse all others"
        );
    }
}
