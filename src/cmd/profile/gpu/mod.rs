//! A kernel on a GPU: what the GPU did in its launches, and what it counted, as CUPTI tells; then how NVIDIA's own profilers are asked.

mod activity;
mod counted;
mod roofs;
mod trace;

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::memory;
use super::roofs::placement;
use super::tools;
use crate::device::cpu::detect_capabilities;
use crate::device::cuda::cupti::metrics::METRICS;
use crate::device::cuda::cupti::{Activities, Counted, Profiler};
use crate::device::name::Which;
use crate::device::{Device, DeviceName, DriverName, GpuDevice, Gpus};
use crate::error::{Error, Result};
use crate::kernels::{Kernel, Prepared};
use crate::nvrtc::Compiler;
use crate::ops::Case;
use crate::units::Nanos;

/// Launches ahead of those that are told, and those that are told one by one.
const FEW: usize = 4;
/// Launches between two resets of operands that they change.
const LAUNCHES_A_RESET: usize = 64;

/// What a profile on a GPU is asked for.
pub struct Options<'a> {
    /// Launches in a row.
    pub launches: usize,
    /// Where to write what happened, for a trace viewer.
    pub trace: Option<&'a Path>,
    /// Whether to measure roofs beside it.
    pub peaks: bool,
    /// Seed of operands.
    pub seed: u64,
    /// Where NVRTC is.
    pub nvrtc: Option<&'a Path>,
}

/// Why a case is refused, if so.
pub type Refuses<'a> = &'a dyn Fn(&Case) -> Option<String>;

/// What was told of the launches.
struct Told {
    /// Launches in a row.
    row: Activities,
    /// Launches that each found the GPU idle.
    single: Activities,
    /// Counters, or in words why there are none.
    counted: std::result::Result<Counted, String>,
}

/// Profiles a kernel on one GPU, by the case that `chosen` picks.
///
/// # Errors
/// On usage errors, and when the kernel cannot be prepared or is ended by an error. No GPU is told, with exit code 3.
pub fn run(
    kernel: &dyn Kernel,
    gpus: Gpus,
    chosen: &dyn Fn(Refuses<'_>) -> anyhow::Result<Case>,
    options: &Options<'_>,
) -> anyhow::Result<ExitCode> {
    let Which::Listed(bits) = gpus.which else { bail!("a profile is of one GPU, as cuda:0") };
    if bits.count_ones() != 1 {
        bail!("a profile is of one GPU, as cuda:{}", bits.trailing_zeros());
    }
    let device = DeviceName::Gpus(gpus).to_string();
    match open(gpus.driver, bits.trailing_zeros(), options.nvrtc) {
        Ok(gpu) => {
            let gpu = Device::Gpu(gpu);
            let on = gpu.capabilities();
            let case = chosen(&|case| Some(kernel.refuses(on, case)?.into_owned()))?;
            let profiled = profile(kernel, &case, &gpu, options);
            // The command lines stay of use where the kernel fails.
            super::super::show(profiled.as_deref().unwrap_or_default())?;
            super::super::show(&tools::commands(kernel, &case, &device))?;
            let error = match profiled {
                Ok(_) => return Ok(ExitCode::SUCCESS),
                Err(error) => error,
            };
            match error.downcast_ref() {
                Some(Error::Lost(reason)) => {
                    super::super::note(&format!("error: {} failed: {reason}", kernel.id()));
                    Ok(ExitCode::from(1))
                }
                _ => Err(error),
            }
        }
        Err(error @ (Error::Library(_) | Error::Refused(_) | Error::Lost(_))) => {
            // The machine that has the GPU need not be this one.
            let here = detect_capabilities();
            let case = chosen(&|case| Some(kernel.refuses(&here, case)?.into_owned()))?;
            super::super::show(&tools::commands(kernel, &case, &device))?;
            super::super::note(&format!("error: {error}"));
            Ok(ExitCode::from(3))
        }
        Err(error) => Err(error.into()),
    }
}

fn open(driver: DriverName, ordinal: u32, nvrtc: Option<&Path>) -> Result<GpuDevice> {
    let driver = crate::device::cuda::driver_of(driver)?;
    GpuDevice::on(&*driver, ordinal, Compiler::find(nvrtc)?)
}

/// The text of a profile.
fn profile(
    kernel: &dyn Kernel,
    case: &Case,
    device: &Device,
    options: &Options<'_>,
) -> anyhow::Result<String> {
    let Device::Gpu(gpu) = device else { unreachable!("opened as a GPU") };
    let mut text = format!("{} on {}, {}: ", kernel.id(), case.key(), gpu.name);
    let told = match gpu.context.profiler() {
        Ok(profiler) => {
            // Ahead of the kernel: both take memory, and counters, which some drivers do not let go of, are the kernel's alone.
            let roofs = options.peaks.then(|| roofs::reached(&*profiler, device, case)).transpose();
            match roofs {
                Ok(roofs) => told(kernel, case, device, &*profiler, options)
                    .map(|(told, workspace)| (profiler.source(), roofs, told, workspace)),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    };
    let (source, roofs, told, workspace) = match told {
        Ok(told) => told,
        // Without a profiler there is still the rest.
        Err(Error::Refused(reason)) => {
            let _ = write!(text, "not profiled: {reason}\n\n{}\n", memory::buffers(case, &[]));
            return Ok(text);
        }
        Err(error) => return Err(error.into()),
    };
    let attributes = gpu.context.attributes();
    let launch = activity::launch_ns(&told.row, options.launches).map(Nanos);
    match launch {
        Some(launch) => {
            let _ = writeln!(
                text,
                "{launch} a launch, the median of {} in a row, its kernels alone\non {}, told by {source}\n",
                options.launches, attributes.name
            );
            text += &placement(case, launch, roofs);
        }
        None => {
            let _ =
                writeln!(text, "no time of a launch\non {}, told by {source}\n", attributes.name);
        }
    }
    text += &activity::text(&told.row, &told.single);
    text += &counted::text(&told.single.kernels, FEW, &told.counted, case);
    text += "\n";
    text += &memory::buffers(case, &[("workspace", workspace)]);
    text += "\n";
    if let Some(path) = options.trace {
        let title =
            trace::Title { kernel: &kernel.id().0, case, device: &gpu.name, source: &source };
        let json = trace::json(&title, [&told.row, &told.single], counted::named(&told));
        std::fs::write(path, json)
            .with_context(|| format!("failed to write {}", path.display()))?;
        let _ = writeln!(text, "trace: {}\n", path.display());
    }
    Ok(text)
}

/// Launches the kernel while the profiler looks; what it told, and the bytes of workspace.
fn told(
    kernel: &dyn Kernel,
    case: &Case,
    device: &Device,
    profiler: &dyn Profiler,
    options: &Options<'_>,
) -> Result<(Told, u64)> {
    let Device::Gpu(gpu) = device else { unreachable!("opened as a GPU") };
    let mut prepared = kernel.prepare(device, case, &case.inputs(options.seed))?;
    let workspace = prepared.allocated().0.saturating_sub(case.buffer_bytes().0);
    let mut slot = 0;
    let mut launch = |prepared: &mut dyn Prepared| {
        slot += 1;
        prepared.launch(slot)
    };
    // The first launches load code, and find the clock low.
    (0..FEW).try_for_each(|_| launch(&mut *prepared))?;
    gpu.context.synchronize()?;
    let mut row = Activities::default();
    let mut left = options.launches;
    while left > 0 {
        prepared.reset()?;
        gpu.context.synchronize()?;
        profiler.begin()?;
        let some = left.min(LAUNCHES_A_RESET);
        let launched = (0..some).try_for_each(|_| launch(&mut *prepared));
        row.extend(profiler.end()?);
        launched?;
        left -= some;
    }
    prepared.reset()?;
    gpu.context.synchronize()?;
    profiler.begin()?;
    let launched = (0..FEW).try_for_each(|_| {
        launch(&mut *prepared)?;
        gpu.context.synchronize()
    });
    let single = profiler.end()?;
    launched?;
    prepared.reset()?;
    let metrics: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let counted = match profiler.count(&metrics, &mut || prepared.launch(0)) {
        Ok(counted) => Ok(counted),
        Err(Error::Refused(reason)) => Err(reason),
        Err(error) => return Err(error),
    };
    Ok((Told { row, single, counted }, workspace))
}
