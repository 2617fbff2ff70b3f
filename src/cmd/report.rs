//! `scalemark report RUN…`: report and charts of a run from the CSV alone, or several runs side by side.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use serde_json::Value;

use crate::cmd::price::Price;
use crate::device::cuda::Attributes;
use crate::measure::gpu::Calibration;
use crate::models;
use crate::report::{self, Law, ReportInput};
use crate::stats::bends::bends;
use crate::stats::fit::power_law;
use crate::store::Run;
use crate::units::Bytes;

mod across;
mod hardware;
mod price;
mod site;

/// Options of `report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark report results/runs/20261123T120000Z-epyc-zen4-1f0c9ab
  scalemark report results/runs/*                          machines side by side, against the first
  scalemark report A B C --base B --out comparison.md      against B, into a file
  scalemark report A B C --html comparison.html            one page with search and filters, which needs no network
  scalemark report A B --price A=2.49/h --price B=3.1/h    and the work that each does for its price
  scalemark report runs.parquet --html all.html            what `scalemark export` wrote
  scalemark report --site public                           every run below results/runs as pages with stable links

Reads machine.json and the CSV files of each folder, wherever it was measured. Of one run, writes report.md and charts/*.svg into
it; of several, prints one comparison as Markdown and leaves the folders as they are; --out writes it with its pictures beside it")]
pub struct Args {
    /// The folders of runs, or files of `scalemark export`
    #[arg(required_unless_present = "site")]
    runs: Vec<PathBuf>,
    /// Of several runs, the one that the others are compared with [default: the first]
    #[arg(long, value_name = "RUN")]
    base: Option<PathBuf>,
    /// Of several runs, the file to write the comparison to, as Markdown
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Of several runs, the file to write the comparison to, as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Of several runs, what an hour of a machine costs, in any one currency: work for money is compared (again for each machine)
    #[arg(long, value_name = "NAME=2.49/h")]
    price: Vec<Price>,
    /// Write a static site of the runs (of all below results/runs, if none is named) into this folder: an index, a page for each
    /// run, the comparison. Removes pages of runs that are gone, and touches nothing that it did not write
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "html", "ncu"])]
    site: Option<PathBuf>,
    /// Of one run, what `ncu --csv` wrote about a verify of the same options on a GPU: beside the counters of a simulated run
    #[arg(long, value_name = "FILE")]
    ncu: Option<PathBuf>,
}

/// Makes report and charts of one run again and prints its table, or compares several.
///
/// # Errors
/// When a folder holds no whole run, or a file cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let plain = [&args.base, &args.out, &args.html].iter().all(|option| option.is_none());
    if let Some(folder) = &args.site {
        site::publish(&args, folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    match &args.runs[..] {
        [run] if plain && args.price.is_empty() && !run.is_file() => {
            let records = make(run)?;
            let table = report::terminal(&records, super::width());
            let path = run.join("report.md");
            super::show(&format!("{table}\n{} records: {}\n", records.len(), path.display()))?;
            if let Some(ncu) = &args.ncu {
                super::show(&hardware::beside(run, ncu)?)?;
            }
        }
        [run] if !run.is_file() => bail!(
            "--base, --out, --html and --price are of comparisons; name the runs to compare with as well"
        ),
        _ if args.ncu.is_some() => bail!("--ncu is of one run; name only that one"),
        _ => across::compare(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The parameters of a model that has a name.
fn params(name: &str) -> Option<f64> {
    models::find(name).ok().map(|m| m.parameters() as f64)
}

/// Writes report and charts of a run folder; returns its records.
///
/// # Errors
/// As [`run`].
pub fn make(folder: &Path) -> anyhow::Result<Vec<crate::record::Record>> {
    let run = Run::read(folder)?;
    let facts = facts(&run.machine);
    with_input(&run, &facts, |input| report::write(folder, input))?;
    Ok(run.records)
}

/// Does something with what a report of a run is made from.
fn with_input<T>(
    run: &Run,
    machine: &[(String, String)],
    body: impl FnOnce(&ReportInput) -> T,
) -> T {
    let bends = |points: &[(f64, f64)]| {
        bends(points).iter().map(|bend| (bend.n_left, bend.n_right)).collect()
    };
    body(&ReportInput {
        records: &run.records,
        counters: &run.counters,
        command: run.machine["software"]["command"].as_str().unwrap_or("scalemark run"),
        machine,
        params: &params,
        law: &|points| power_law(points).map(Law::from),
        bends: &bends,
    })
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
