//! `scalemark report RUN`: report and charts from the CSV alone.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::device::cuda::Attributes;
use crate::measure::gpu::Calibration;
use crate::models;
use crate::report::{self, Law, ReportInput, profiled};
use crate::stats::bends::bends;
use crate::stats::fit::power_law;
use crate::store::Run;
use crate::units::Bytes;

/// Options of `report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  scalemark report results/runs/20261123T120000Z-epyc-zen4-1f0c9ab

Reads machine.json, records.csv and samples.csv.gz of the folder, wherever it was measured, and writes report.md and
charts/*.svg into it")]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    /// What `ncu --csv` wrote about a verify of the same options on a GPU: beside the counters of a simulated run
    #[arg(long, value_name = "FILE")]
    ncu: Option<PathBuf>,
}

/// Makes report and charts again, and prints the table.
///
/// # Errors
/// When the folder holds no whole run, or cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let records = make(&args.run)?;
    let table = report::terminal(&records, super::width());
    let path = args.run.join("report.md");
    super::show(&format!("{table}\n{} records: {}\n", records.len(), path.display()))?;
    if let Some(ncu) = &args.ncu {
        super::show(&beside_hardware(&args.run, ncu)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The simulator's counters beside a GPU's, and how far they differ.
fn beside_hardware(folder: &Path, ncu: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(ncu)
        .with_context(|| format!("failed to read {}", ncu.display()))?;
    let launches = profiled::parse(&text).map_err(|e| anyhow!("{}: {e}", ncu.display()))?;
    let run = Run::read(folder)?;
    let (compared, left_out) = profiled::compare(&run.records, &run.counters, &launches);
    let mut table = Table::new();
    let header = ["kernel", "case", "counter", "simulated", "hardware", "difference"];
    table.load_preset(presets::NOTHING).set_header(header);
    for one in &compared {
        let difference = one.difference().map(|d| format!("{:+.1} %", 100.0 * d));
        table.add_row([
            one.kernel.clone(),
            one.case_key.clone(),
            one.counter.to_owned(),
            one.simulated.to_string(),
            one.hardware.map_or("-".into(), |count| count.to_string()),
            difference.unwrap_or_else(|| "-".into()),
        ]);
    }
    let mut out = format!("{}\n", table.trim_fmt());
    for reason in &left_out {
        out += &format!("not compared: {reason}\n");
    }
    let equal = compared.iter().filter(|one| one.difference() == Some(0.0)).count();
    out += &format!("{} counters compared, {equal} of them equal\n", compared.len());
    Ok(out)
}

/// Writes report and charts of a run folder; returns its records.
///
/// # Errors
/// As [`run`].
pub fn make(folder: &Path) -> anyhow::Result<Vec<crate::record::Record>> {
    let run = Run::read(folder)?;
    let params = |name: &str| models::find(name).ok().map(|m| m.parameters() as f64);
    let law = |points: &[(f64, f64)]| {
        let fit = power_law(points)?;
        let (a, b, p, p_low, p_high) = (fit.a, fit.b, fit.p, fit.p_low, fit.p_high);
        Some(Law { a, b, p, p_low, p_high, max_relative_error: fit.max_relative_error })
    };
    let bends = |points: &[(f64, f64)]| {
        bends(points).iter().map(|bend| (bend.n_left, bend.n_right)).collect()
    };
    let facts = facts(&run.machine);
    let command = run.machine["software"]["command"].as_str().unwrap_or("scalemark run").to_owned();
    let input = ReportInput {
        records: &run.records,
        counters: &run.counters,
        command: &command,
        machine: &facts,
        params: &params,
        law: &law,
        bends: &bends,
    };
    report::write(folder, &input)?;
    Ok(run.records)
}

/// The lines on the machine that a report begins with, as far as `machine.json` has them.
fn facts(machine: &Value) -> Vec<(String, String)> {
    let (hardware, software) = (&machine["hardware"], &machine["software"]);
    let text = |value: &Value| match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(if *b { "yes" } else { "no" }.to_owned()),
        _ => None,
    };
    let mut rows = Vec::new();
    let mut add = |label: &str, value: Option<String>| {
        rows.extend(value.filter(|v| !v.is_empty()).map(|v| (label.to_owned(), v)));
    };
    add("measured", text(&machine["started"]));
    let architecture =
        text(&hardware["microarchitecture"]).map_or(String::new(), |a| format!(" ({a})"));
    add("processor", text(&hardware["model_name"]).map(|name| name + &architecture));
    add("CPUs", text(&hardware["logical_cpus"]));
    add("memory", hardware["memory"].as_u64().map(|b| Bytes(b).to_string()));
    add("virtual machine", text(&hardware["hypervisor"]));
    add("system", text(&software["os"]));
    add("kernel", text(&software["kernel"]));
    add("governor", text(&software["governor"]));
    add("compiler", text(&software["rustc"]));
    let commit = text(&software["git_commit"])
        .map_or(String::new(), |commit| format!(" at commit {commit}"));
    let dirty =
        if software["git_dirty"].as_bool() == Some(true) { ", with local changes" } else { "" };
    add(
        "scalemark",
        text(&software["scalemark"]).map(|version| format!("{version}{commit}{dirty}")),
    );
    for gpu in machine["gpus"].as_array().into_iter().flatten() {
        let device = gpu["device"].as_str().unwrap_or("GPU");
        let attributes: Option<Attributes> = serde_json::from_value(gpu["attributes"].clone()).ok();
        add(device, attributes.map(|attributes| attributes.line()));
        let calibration: Option<Calibration> =
            serde_json::from_value(gpu["calibration"].clone()).ok();
        let Some(calibration) = calibration else { continue };
        add(&format!("{device} calibration"), Some(calibration.line()));
        let unfit = calibration.unfit.join("; ");
        let unfit = (!unfit.is_empty()).then(|| format!("{unfit}; its times cannot be trusted"));
        add(&format!("{device} is unfit"), unfit);
    }
    let lost = machine["run"]["lost_share"].as_f64().filter(|lost| *lost > 0.01);
    add(
        "lost time",
        lost.map(|lost| format!("{:.0} % of a busy thread's time, before the run", lost * 100.0)),
    );
    for (provider, facts) in software["libraries"].as_object().into_iter().flatten() {
        add(&format!("library {provider}"), text(facts));
    }
    rows
}
