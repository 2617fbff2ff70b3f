//! `scalemark profile`: where the work of a kernel is: a CPU kernel's by sampling it, a CUDA kernel's line by line on the simulator, or
//! as a GPU tells it through CUPTI.

#[cfg(unix)]
mod cpu;
mod gpu;
#[cfg(unix)]
mod hardware;
mod memory;
mod roofs;
#[cfg(unix)]
mod samples;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::simulate::{self, Pace};
use crate::device::cpu::detect_capabilities;
use crate::device::{Device, DeviceName, Gpus};
use crate::kernels::cuda::Architecture;
use crate::kernels::{Kernel, Registry};
use crate::ops::Case;
use crate::plan::select::Selection;
use crate::report::listing::{self, Listing, Shown};

/// Options of `profile`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark profile matmul/simd -m 1024 --threads 1 --svg flame.svg
  scalemark profile attention/simd --seq 64 --dtype f32 --pass fwd --threads 1 --instructions
  scalemark profile matmul/tiled -m 256
  scalemark profile attention/flash-mma --seq 256 --dtype bf16 --pass fwd --device sim:sm_80 --html flash.html
  scalemark profile optimizer/vectorized --op adamw --params 100000 --all
  scalemark profile matmul/mma -m 4096 --dtype bf16 --device cuda:0 --trace mma.json

A CPU kernel is launched over and over and sampled: time by phase, file and line, a flame graph, its place under the roofs that
probes reach, its memory, and what the processor counts where it may. Of a CUDA kernel counts are shown, exact and no times: instructions, lanes that executed them, sectors of global memory,
conflicts in shared memory, lanes apart, operations of tensor cores. What is inlined counts where it is written. Any other CUDA
kernel: scalemark sim FILE.cu --lines

On a GPU NVIDIA's CUPTI tells what it did: kernels with their times and sizes, copies and fills with their rates, what lies between them,
what a launch costs; and, where the driver lets users count, hardware counters. Command lines for ncu, nsys and compute-sanitizer follow.
SCALEMARK_CUPTI names the library, which is searched for otherwise; without it, without a right to count, or without a GPU (exit code 3)
that is said and the rest stays. No GPU has run this yet: it was tested against the headers of CUPTI 12.4 and 13.0 and a pretended library")]
pub struct Args {
    /// The kernel, as `scalemark list` and `scalemark kernels` name it
    #[arg(value_name = "KERNEL")]
    of: String,
    #[command(flatten)]
    selection: Selection,
    /// Where: cpu, the simulator as sim:sm_90a, or a GPU as cuda:0 [default: cpu or the simulator, as the kernel]
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceName>,
    /// On the simulator: show every line, not only those about what was executed
    #[arg(long)]
    all: bool,
    /// On the simulator: write it as a page too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// On the CPU: draw a flame graph
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// On the CPU: how long to launch
    #[arg(long, value_name = "TIME", default_value = "3s")]
    time: humantime::Duration,
    /// On the CPU: count instructions, and misses of modelled caches, under valgrind
    #[arg(long)]
    instructions: bool,
    /// On a GPU: launches in a row [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    launches: Option<u32>,
    /// On a GPU: write what happened when, for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// On a GPU: leave out the probes that give the roofs
    #[arg(long)]
    no_peaks: bool,
    /// Seed of operands
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The library NVRTC, or the folder that it is in [default: searched for]
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
}

/// Profiles one kernel on one case.
///
/// # Errors
/// On usage errors, where there is no NVRTC, and where the kernel does not take the case or is found to be wrong.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if !args.selection.kernel.is_empty() {
        bail!("the kernel is {} already; leave --kernel out", args.of);
    }
    let is_of_cpu = Registry::default().get(&args.of).is_some();
    let default = if is_of_cpu { DeviceName::Cpu } else { DeviceName::SIM };
    let device = args.device.unwrap_or(default);
    let of_gpu = args.launches.is_some() || args.trace.is_some() || args.no_peaks;
    if of_gpu && !matches!(device, DeviceName::Gpus(_)) {
        bail!("--launches, --trace and --no-peaks are of kernels on a GPU, as --device cuda:0");
    }
    match device {
        DeviceName::Sim(architecture) => simulated(&args, architecture),
        DeviceName::Cpu => sampled(&args),
        DeviceName::Gpus(gpus) => on_gpu(&args, gpus),
    }
}

/// The one kernel of a registry that is asked for.
fn kernel(args: &Args, registry: &Registry) -> anyhow::Result<&'static dyn Kernel> {
    let selection = Selection { kernel: vec![args.of.clone()], ..args.selection.clone() };
    let kernels = selection.kernels(registry)?;
    let [kernel] = kernels[..] else { bail!("{} is not one kernel; name one", args.of) };
    Ok(kernel)
}

/// The one case that the kernel takes of those that are asked for.
fn case(
    args: &Args,
    threads: usize,
    refuses: &dyn Fn(&Case) -> Option<String>,
) -> anyhow::Result<Case> {
    let cases = args.selection.cases(threads)?;
    let all = || cases.iter().map(|planned| planned.case);
    let taken: Vec<Case> = all().filter(|case| refuses(case).is_none()).collect();
    match taken[..] {
        [case] => Ok(case),
        [] => {
            let reason = all().next().and_then(|case| refuses(&case)).unwrap_or_default();
            bail!("{} takes none of these cases: {reason}", args.of)
        }
        _ => {
            let keys: Vec<String> = taken.iter().take(8).map(Case::key).collect();
            let more = if taken.len() > 8 { ", …" } else { "" };
            bail!(
                "{} takes {} of these cases; choose one by --op, --dtype, --pass, --threads or its sizes: {}{more}",
                args.of,
                taken.len(),
                keys.join(", ")
            )
        }
    }
}

/// Profiles on a GPU, and prints how NVIDIA's profilers are asked about the kernel.
fn on_gpu(args: &Args, gpus: Gpus) -> anyhow::Result<ExitCode> {
    if args.svg.is_some() || args.instructions || args.html.is_some() || args.all {
        bail!(
            "--svg and --instructions are of kernels on the CPU, --html and --all of the simulator; on a GPU use --trace"
        );
    }
    let kernel = kernel(args, &Registry::cuda())?;
    let options = gpu::Options {
        launches: args.launches.unwrap_or(20) as usize,
        trace: args.trace.as_deref(),
        peaks: !args.no_peaks,
        seed: args.seed,
        nvrtc: args.nvrtc.as_deref(),
    };
    gpu::run(kernel, gpus, &|refuses| case(args, 1, refuses), &options)
}

fn simulated(args: &Args, architecture: Architecture) -> anyhow::Result<ExitCode> {
    if args.svg.is_some() || args.instructions {
        bail!("--svg and --instructions are of kernels on the CPU; on the simulator use --html");
    }
    let kernel = kernel(args, &Registry::cuda())?;
    let Some(row) = kernel.as_cuda() else {
        bail!("{} has no source of ours; `scalemark kernels` names those that have", args.of);
    };
    let device = simulate::device(architecture, args.nvrtc.as_deref())?;
    let Device::Sim(sim) = &device else { unreachable!("made by `simulate::device`") };
    let case = case(args, 1, &|case| Pace::default().refuses(sim, row, case))?;
    let (counted, ptx) = sim.profile(row, &case, &case.inputs(args.seed))?;
    let source = row.source();
    let sources: Vec<listing::Source> =
        source.headers.iter().copied().chain([(source.name, source.text)]).collect();
    let title = format!("{} on {}, {architecture}", row.id, case.key());
    let listing = Listing::new(&title, &counted, &sources, ("PTX", &ptx));
    let shown = if args.all { Shown::Everything } else { Shown::Executed };
    show(&listing, shown, args.html.as_deref())?;
    let plan = (row.plan)(&case, architecture);
    let workspace: Vec<(&str, u64)> =
        plan.workspace.iter().map(|w| (w.name, w.init.bytes())).collect();
    super::show(&format!("\n{}", memory::buffers(&case, &workspace)))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(unix)]
fn sampled(args: &Args) -> anyhow::Result<ExitCode> {
    if args.html.is_some() || args.all {
        bail!("--html and --all are of kernels on the simulator; on the CPU use --svg");
    }
    let kernel = kernel(args, &Registry::default())?;
    if kernel.provider() != "own" {
        let provider = kernel.provider();
        bail!(
            "{} is {provider}'s, which runs as told before a process starts; `perf record scalemark run --kernel {}` sees into it",
            args.of,
            args.of
        );
    }
    let capabilities = detect_capabilities();
    let registry = Registry::default();
    let refuses = |case: &Case| match registry.for_case(case).any(|k| k.id() == kernel.id()) {
        true => Some(kernel.refuses(&capabilities, case)?.into_owned()),
        false => Some(format!("does no {}", case.problem.op())),
    };
    let case = case(args, capabilities.threads, &refuses)?;
    let options = cpu::Options {
        time: args.time.into(),
        svg: args.svg.as_deref(),
        instructions: args.instructions,
        seed: args.seed,
    };
    super::show(&cpu::run(kernel, &case, &options)?)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(unix))]
fn sampled(args: &Args) -> anyhow::Result<ExitCode> {
    bail!("{}: kernels are sampled on Unix only", args.of)
}

/// Prints a listing, and writes its page where one is asked for.
///
/// # Errors
/// When the page cannot be written.
pub fn show(listing: &Listing, shown: Shown, html: Option<&Path>) -> anyhow::Result<()> {
    if let Some(path) = html {
        std::fs::write(path, listing::page(listing))
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    super::show(&listing::text(listing, shown))
}
