//! A CPU kernel's time by file and line, from samples of the running program, and where it stands under the roofs.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use pprof::ProfilerGuardBuilder;

use super::hardware::Hardware;
use super::memory::{self, Stages};
use super::roofs::{Roofs, placement};
use super::samples::Samples;
use crate::cmd::prove::callgrind::{self, Events};
use crate::device::{CpuDevice, Device};
use crate::gate::workers::Job;
use crate::kernels::{Kernel, Prepared, Registry};
use crate::ops::{Case, DType, Precision, Probe, ProbeKind, Problem};
use crate::units::Nanos;

/// Samples a second of CPU time; a prime, so that no loop keeps step with it.
const RATE: i32 = 997;
/// Launches between two resets of operands that they change.
const LAUNCHES_A_RESET: usize = 64;
/// Launches that are counted under valgrind, where each takes some hundred times as long.
const COUNTED: u64 = 2;
/// How long a probe of a roof runs.
const PROBE: Duration = Duration::from_millis(200);

/// What to do beside sampling.
pub struct Options<'a> {
    /// How long to launch.
    pub time: Duration,
    /// Where to draw the flame graph.
    pub svg: Option<&'a Path>,
    /// Whether to count instructions under valgrind.
    pub instructions: bool,
    /// Seed of operands.
    pub seed: u64,
}

/// Launches the kernel over and over while it is sampled; the text to print.
///
/// # Errors
/// When the kernel cannot be prepared, sampling not be started, or a file not be written.
pub fn run(kernel: &dyn Kernel, case: &Case, options: &Options) -> anyhow::Result<String> {
    // Counters are of threads that begin after them.
    let mut counted = Hardware::open();
    let device = Device::Cpu(CpuDevice::detect(true));
    let mut stages = Stages::start();
    let inputs = case.inputs(options.seed);
    stages.end("operands");
    let mut prepared = kernel.prepare(&device, case, &inputs)?;
    stages.end("prepared");
    stretch(&mut *prepared, LAUNCHES_A_RESET.min(4))?;
    prepared.reset()?;
    stages.end("first launches");
    let workspace = prepared.allocated().0.saturating_sub(case.buffer_bytes().0);
    // Unwinding from within these can hang.
    let builder = ProfilerGuardBuilder::default().frequency(RATE);
    let builder = builder.blocklist(&["libc", "libgcc", "pthread", "vdso"]);
    let guard = builder.build().context("failed to start the sampling of this process")?;
    stages.forget();
    let (start, mut launched, mut fastest) = (Instant::now(), 0, f64::INFINITY);
    while start.elapsed() < options.time {
        counted.start()?;
        let before = Instant::now();
        let count = stretch(&mut *prepared, LAUNCHES_A_RESET)?;
        fastest = fastest.min(before.elapsed().as_nanos() as f64 / count as f64);
        counted.stop()?;
        launched += count;
        prepared.reset()?;
    }
    stages.end(format!("{launched} launches"));
    drop(prepared);
    stages.end("kernel freed");
    let report = guard.report().build().context("failed to take the samples apart")?;
    drop(guard);
    let samples = Samples::of(&report);
    if samples.all == 0 {
        bail!("no sample was taken in {:?}; ask for more by --time", options.time);
    }
    let mut text = format!(
        "{} on {}: {} a launch, the best {LAUNCHES_A_RESET} of {launched} in a row\n\n",
        kernel.id(),
        case.key(),
        Nanos(fastest)
    );
    text += &placement(case, Nanos(fastest), Some(reached(&device, case)?));
    text += &samples.text();
    text += "\n";
    text += &memory::buffers(case, &[("workspace", workspace)]);
    text += &stages.text();
    text += &counted.text(launched, options.instructions)?;
    if options.instructions {
        text += &instructions(kernel, case)?;
    }
    if let Some(path) = options.svg {
        let file =
            File::create(path).with_context(|| format!("failed to create {}", path.display()))?;
        report.flamegraph(file).context("failed to draw the flame graph")?;
        text += &format!("\nflame graph: {}\n", path.display());
    }
    Ok(text)
}

/// What samples of the calling thread must be within to count: resets are not.
#[inline(never)]
fn stretch(prepared: &mut dyn Prepared, launches: usize) -> crate::Result<usize> {
    let (start, slots) = (Instant::now(), prepared.slots());
    for slot in 0..launches {
        prepared.launch(slot % slots)?;
        // A long kernel need not be launched so often.
        if start.elapsed() > Duration::from_secs(1) {
            return Ok(slot + 1);
        }
    }
    Ok(launches)
}

/// What probes reach here and now.
fn reached(device: &Device, case: &Case) -> anyhow::Result<Roofs> {
    let arithmetic = Probe::arithmetic(case.threads);
    let cache = match device {
        Device::Cpu(cpu) => cpu.capabilities.last_level_cache,
        _ => unreachable!("this profiles the CPU"),
    };
    let precision = match case.precision.inputs {
        DType::Bf16 => Precision::BF16_F32,
        DType::I8 => Precision::INT8,
        _ => Precision::F32,
    };
    let probe = |probe, precision| Case {
        threads: case.threads,
        ..Case::new(Problem::Peak(probe), precision)
    };
    let fma = probe(arithmetic, precision);
    let read = probe(Probe::beyond_cache(ProbeKind::Read, cache), Precision::F32);
    let (flops, bytes) =
        (fma.cost().flops / shortest(device, &fma)?, read.cost().bytes / shortest(device, &read)?);
    Ok(Roofs { flops: Some(flops), bytes: Some(bytes) })
}

/// The shortest launch of a probe, by whichever kernel is fastest.
fn shortest(device: &Device, probe: &Case) -> anyhow::Result<Nanos> {
    let Device::Cpu(cpu) = device else { unreachable!("this profiles the CPU") };
    let inputs = probe.inputs(1);
    let mut shortest = f64::INFINITY;
    let registry = Registry::default();
    for kernel in registry.for_case(probe) {
        let slow = cpu.capabilities.isa.avx2 && kernel.id().0 == "peak/portable";
        if slow || kernel.refuses(&cpu.capabilities, probe).is_some() {
            continue;
        }
        let mut prepared = kernel.prepare(device, probe, &inputs)?;
        let start = Instant::now();
        while start.elapsed() < PROBE {
            let before = Instant::now();
            prepared.launch(0)?;
            shortest = shortest.min(before.elapsed().as_nanos() as f64);
        }
    }
    Ok(Nanos(shortest))
}

/// What the kernel executes in a launch, and how it meets caches like this processor's, under valgrind.
fn instructions(kernel: &dyn Kernel, case: &Case) -> anyhow::Result<String> {
    let scratch = tempfile::tempdir().context("failed to create a temporary folder")?;
    let job = Job { kernel: kernel.id().0, case: *case };
    let totals = callgrind::totals(&job, 0, COUNTED, Events::Caches, scratch.path())?;
    let of = |names: &[&str]| {
        let sum: u64 = names.iter().filter_map(|name| totals.get(*name)).sum();
        sum as f64 / COUNTED as f64
    };
    Ok(format!(
        "\ncounted under valgrind, a launch (it has no AVX-512: of the AVX2 path where there is one; its caches are a model)\n\
         \x20 {:<28} {:>12.0}\n  {:<28} {:>12.0}\n  {:<28} {:>12.0}\n  {:<28} {:>12.0}\n",
        "instructions",
        of(&["Ir"]),
        "reads and writes",
        of(&["Dr", "Dw"]),
        "L1 misses",
        of(&["D1mr", "D1mw"]),
        "last-level misses",
        of(&["DLmr", "DLmw"])
    ))
}
