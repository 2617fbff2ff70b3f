//! The gate on this machine, of a build with a copy of itself or with another that should be as fast, idle and under load.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::decisions::{Decision, Gates, Scene, copy_of_this};
use crate::cmd::{interrupt, show};
use crate::stats::binomial::clopper_pearson;

/// Options of `prove machine`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark prove machine                                              3000 decisions: hours
  scalemark prove machine --decisions 40 --load 0 -- -m 64..256
  scalemark prove machine --head other/scalemark --name link-order     another build of the same source")]
pub struct Machine {
    /// Decisions on kernels in all; those that the file has already count
    #[arg(long, default_value_t = 3000)]
    decisions: usize,
    /// Other gates at the same time, each on one CPU; decisions are spread evenly over these loads
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 2, 4])]
    load: Vec<usize>,
    /// Another build of the same source, e.g. linked in another order [default: a copy of this build]
    #[arg(long, value_name = "BIN")]
    head: Option<PathBuf>,
    /// What files are called, and with --head what differs: link-order
    #[arg(long, default_value = "machine", value_name = "NAME")]
    name: String,
    /// Folder that the results go to
    #[arg(long, default_value = "results/proof", value_name = "DIR")]
    out: PathBuf,
    /// Options of `gate pair` for every gate, after --
    #[arg(last = true)]
    gate: Vec<String>,
}

/// Runs gates until there are as many decisions as were asked for, each gate's rows being written when it ends.
///
/// # Errors
/// On usage errors, and when a gate cannot be run or the file is none of ours.
pub fn run(args: &Machine) -> anyhow::Result<ExitCode> {
    if args.load.is_empty() || args.decisions == 0 {
        bail!("nothing to do; use --decisions 3000 --load 0,1,2,4");
    }
    if args.name.is_empty() || args.name.contains(['/', '\\']) {
        bail!("--name {} is no name of a file; use e.g. link-order", args.name);
    }
    if args.head.is_some() && args.name == "machine" {
        bail!(
            "--head compares another build than a copy: say what differs, e.g. --name link-order"
        );
    }
    interrupt::catch();
    fs::create_dir_all(&args.out)
        .with_context(|| format!("failed to create {}", args.out.display()))?;
    let scratch = tempfile::tempdir().context("failed to create a temporary folder")?;
    let (this, copy) = copy_of_this(scratch.path())?;
    let head = args.head.as_ref().unwrap_or(&copy);
    let gates = Gates { base: &this, head, options: &args.gate };
    let scenes: Vec<Scene> =
        args.load.iter().map(|&load| Scene { extra_percent: None, load }).collect();
    let wanted = args.decisions.div_ceil(scenes.len());
    let file = format!("{}.csv", args.name);
    let Some(decisions) = gates.until(&args.out.join(&file), &scenes, wanted)? else {
        return Ok(interrupt::exit_code());
    };
    let what = match &args.head {
        None => "of a build with its copy",
        Some(_) => "of two builds of one source",
    };
    let text = summary(&decisions, what, &file);
    let page = args.out.join(format!("{}.md", args.name));
    fs::write(&page, &text).with_context(|| format!("failed to write {}", page.display()))?;
    show(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A table by load. Kernels of one gate share its hour, so the interval of the rate of alarms is that of gates.
fn summary(decisions: &[Decision], what: &str, file: &str) -> String {
    let mut text = format!(
        "# The gate on a machine, {what}\n\nMade by `scalemark prove machine`; every decision stands in \
         [{file}]({file}). Nothing changed, so `slower` is a false alarm; its interval is of gates (Clopper–Pearson, 95 %). \
         A load of n are n other gates at the same time, each on one CPU.\n\n\
         | load | gates | decisions | same | undecided | unfit | faster | slower | gates with an alarm | seconds a gate |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut loads: BTreeMap<usize, Vec<&Decision>> = BTreeMap::new();
    for decision in decisions {
        loads.entry(decision.load).or_default().push(decision);
    }
    for (load, rows) in &loads {
        text.push_str(&row(&load.to_string(), rows));
    }
    if loads.len() > 1 {
        text.push_str(&row("all", &decisions.iter().collect::<Vec<_>>()));
    }
    text
}

/// A line of the table.
fn row(load: &str, rows: &[&Decision]) -> String {
    let count = |verdict: &str| rows.iter().filter(|d| d.verdict == verdict).count();
    let mut gates: BTreeMap<usize, (bool, f64)> = BTreeMap::new();
    for row in rows {
        let gate = gates.entry(row.gate).or_insert((false, row.gate_seconds));
        gate.0 |= row.verdict == "slower";
    }
    let alarms = gates.values().filter(|gate| gate.0).count();
    let (low, high) =
        clopper_pearson(alarms as u64, gates.len() as u64, 0.95).unwrap_or((0.0, 1.0));
    let seconds = gates.values().map(|gate| gate.1).sum::<f64>() / gates.len() as f64;
    format!(
        "| {load} | {} | {} | {:.1} % | {} | {} | {} | {} | {alarms} ({:.1} to {:.1} %) | {seconds:.0} |\n",
        gates.len(),
        rows.len(),
        100.0 * count("same") as f64 / rows.len() as f64,
        count("undecided"),
        count("unfit"),
        count("faster"),
        count("slower"),
        100.0 * low,
        100.0 * high
    )
}

#[cfg(test)]
mod tests {
    use super::super::decisions::tests::decision;
    use super::*;

    #[test]
    fn alarms_are_counted_by_gate() {
        let rows = [
            decision(1, 0, None, "slower"),
            decision(1, 0, None, "slower"),
            decision(2, 0, None, "same"),
            decision(3, 4, None, "same"),
        ];
        let text = summary(&rows, "of a build with its copy", "machine.csv");
        assert!(
            text.contains("| 0 | 2 | 3 | 33.3 % | 0 | 0 | 0 | 2 | 1 (1.3 to 98.7 %) | 20 |"),
            "{text}"
        );
        assert!(text.contains("| 4 | 1 | 1 | 100.0 % |"), "{text}");
        assert!(
            text.contains("| all | 3 | 4 | 50.0 % | 0 | 0 | 0 | 2 | 1 (0.8 to 90.6 %) | 20 |"),
            "{text}"
        );
    }
}
