//! What the simulator counts of two builds' CUDA kernels, and what the compiler says of them: compared exactly, on any machine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::measure::programs;
use super::under_way::keep_report;
use super::{Pair, folders};
use crate::cmd::{interrupt, note};
use crate::device::DeviceName;
use crate::gate::{Finding, Report, Rule};
use crate::kernels::Registry;
use crate::nvrtc::Compiler;
use crate::plan::select::Selection;
use crate::worker;

/// Compares two builds by counters alone: nothing is timed.
///
/// # Errors
/// Where there is no NVRTC, options ask for what nothing counts, or a build cannot simulate.
pub fn compare(args: &Pair, rule: &Rule) -> anyhow::Result<Report> {
    interrupt::catch();
    ready()?;
    args.selection.kernels(&Registry::cuda())?;
    if args.slow_head.is_some() || args.budget.is_some() || args.max_pairs.is_some() {
        bail!(
            "a simulator has no times: --slow-head, --budget and --max-pairs are for a processor or a GPU"
        );
    }
    let rest = Selection { kernel: Vec::new(), op: Vec::new(), ..args.selection.clone() };
    if serde_json::to_value(&rest)? != serde_json::to_value(Selection::default())? {
        bail!(
            "what is counted are the cases of suite `sim`, of which --kernel and --op choose; leave other options out"
        );
    }
    let (base, head, [base_side, head_side]) = programs(args)?;
    let folder = args.folder()?;
    let mut report = simulate(&base, &head, args.device, &args.selection, rule)?;
    report.base.label = base_side.label;
    report.head.label = head_side.label;
    keep_report(&folder, &report)?;
    Ok(report)
}

/// What is compared beside times.
///
/// # Errors
/// When a build cannot simulate.
pub fn beside(
    base: &Path,
    head: &Path,
    selection: &Selection,
    rule: &Rule,
) -> anyhow::Result<Vec<Finding>> {
    Ok(simulate(base, head, DeviceName::SIM, selection, rule)?.findings)
}

/// Whether anything can be counted here, which is asked before anything is built.
///
/// # Errors
/// Where there is no NVRTC.
pub fn ready() -> anyhow::Result<()> {
    Compiler::find(None).context("counters come from simulated CUDA kernels")?;
    Ok(())
}

/// `selection` for the processor's kernels and for CUDA's: each takes the patterns of `--kernel` that match one of its own.
///
/// # Errors
/// When a pattern matches neither, or one of them is left without a kernel.
pub fn split(selection: &Selection) -> anyhow::Result<(Selection, Selection)> {
    let (cpu, cuda) = (Registry::default(), Registry::cuda());
    let of = |registry: &Registry| {
        let one =
            |pattern: &String| Selection { kernel: vec![pattern.clone()], ..selection.clone() };
        let fits = |pattern: &&String| one(pattern).kernels(registry).is_ok();
        let kernel: Vec<String> = selection.kernel.iter().filter(fits).cloned().collect();
        Selection { kernel, ..selection.clone() }
    };
    let (on_cpu, on_cuda) = (of(&cpu), of(&cuda));
    if let Some(unknown) =
        selection.kernel.iter().find(|k| !on_cpu.kernel.contains(k) && !on_cuda.kernel.contains(k))
    {
        Selection { kernel: vec![unknown.clone()], ..Selection::default() }.kernels(&cpu)?;
    }
    if !selection.kernel.is_empty() && on_cuda.kernel.is_empty() {
        bail!(
            "--counters: none of --kernel {} is a CUDA kernel; name one, as in 'matmul/*'",
            selection.kernel.join(",")
        );
    }
    if !selection.kernel.is_empty() && on_cpu.kernel.is_empty() {
        bail!(
            "--kernel {} names CUDA kernels only; --device sim compares their counters alone",
            selection.kernel.join(",")
        );
    }
    Ok((on_cpu, on_cuda))
}

/// Both builds' runs of suite `sim`, compared.
fn simulate(
    base: &Path,
    head: &Path,
    device: DeviceName,
    selection: &Selection,
    rule: &Rule,
) -> anyhow::Result<Report> {
    let scratch = worker::scratch()?;
    let count = |program: &Path, name: &str| -> anyhow::Result<_> {
        note(&format!("simulating the {name}'s CUDA kernels"));
        let folder = scratch.path().join(name);
        let mut command = Command::new(program);
        command.args(["run", "--device", &device.to_string(), "--out"]).arg(&folder);
        for (option, values) in [("--kernel", &selection.kernel), ("--op", &selection.op)] {
            if !values.is_empty() {
                command.args([option, &values.join(",")]);
            }
        }
        let out = command.output().context("failed to start a build")?;
        if !matches!(out.status.code(), Some(0 | 1)) {
            bail!("the {name} cannot simulate: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(folder)
    };
    let report = folders::compare(&count(base, "base")?, &count(head, "head")?, rule)?;
    // Counters have no noise that pairs would take out.
    Ok(Report { paired: true, ..report })
}
