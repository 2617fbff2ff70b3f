//! `scalemark profile`: where the work of a CUDA kernel is, line by line, from the simulator.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::simulate::{self, Pace};
use crate::device::{Device, DeviceName};
use crate::kernels::Registry;
use crate::ops::Case;
use crate::plan::select::Selection;
use crate::report::listing::{self, Listing, Shown};

/// Options of `profile`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark profile matmul/tiled -m 256
  scalemark profile attention/flash-mma --seq 256 --dtype bf16 --pass fwd --device sim:sm_80 --html flash.html
  scalemark profile optimizer/vectorized --op adamw --params 100000 --all

Counts are exact and no times: instructions, lanes that executed them, sectors of global memory, conflicts in shared memory, lanes
apart, operations of tensor cores. What is inlined counts where it is written. Any other kernel: scalemark sim FILE.cu --lines")]
pub struct Args {
    /// The kernel, as `scalemark list --device sim` names it
    #[arg(value_name = "KERNEL")]
    of: String,
    #[command(flatten)]
    selection: Selection,
    /// The simulator's architecture
    #[arg(long, value_name = "DEVICE", default_value = "sim")]
    device: DeviceName,
    /// Show every line, not only those about what was executed
    #[arg(long)]
    all: bool,
    /// Write it as a page too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Seed of operands
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The library NVRTC, or the folder that it is in [default: searched for]
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
}

/// Simulates one launch and prints its source with counts.
///
/// # Errors
/// On usage errors, where there is no NVRTC, and where the kernel does not take the case or is found to be wrong.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let DeviceName::Sim(architecture) = args.device else {
        bail!("--device {}: lines are counted on the simulator only; use sim:sm_90a", args.device);
    };
    if !args.selection.kernel.is_empty() {
        bail!("the kernel is {} already; leave --kernel out", args.of);
    }
    let registry = Registry::cuda();
    let mut selection = Selection { kernel: vec![args.of.clone()], ..args.selection };
    let kernels = selection.kernels(&registry)?;
    let [kernel] = kernels[..] else { bail!("{} is not one kernel; name one", args.of) };
    let Some(row) = kernel.as_cuda() else {
        bail!("{} has no source of ours; `scalemark kernels` names those that have", args.of);
    };
    selection.kernel.clear();
    let device = simulate::device(architecture, args.nvrtc.as_deref())?;
    let Device::Sim(sim) = &device else { unreachable!("made by `simulate::device`") };
    let cases = selection.cases(1)?;
    let takes = |case: &Case| Pace::default().refuses(sim, row, case);
    let taken: Vec<Case> =
        cases.iter().map(|planned| planned.case).filter(|case| takes(case).is_none()).collect();
    let case = match taken[..] {
        [case] => case,
        [] => {
            let reason = cases.first().and_then(|planned| takes(&planned.case));
            bail!("{} takes none of these cases: {}", row.id, reason.unwrap_or_default());
        }
        _ => {
            let keys: Vec<String> = taken.iter().take(8).map(Case::key).collect();
            let more = if taken.len() > 8 { ", …" } else { "" };
            bail!(
                "{} takes {} of these cases; choose one by --op, --dtype, --pass or its sizes: {}{more}",
                row.id,
                taken.len(),
                keys.join(", ")
            );
        }
    };
    let (counted, ptx) = sim.profile(row, &case, &case.inputs(args.seed))?;
    let source = row.source();
    let sources: Vec<listing::Source> =
        source.headers.iter().copied().chain([(source.name, source.text)]).collect();
    let title = format!("{} on {}, {architecture}", row.id, case.key());
    let listing = Listing::new(&title, &counted, &sources, ("PTX", &ptx));
    show(
        &listing,
        if args.all { Shown::Everything } else { Shown::Executed },
        args.html.as_deref(),
    )?;
    Ok(ExitCode::SUCCESS)
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
