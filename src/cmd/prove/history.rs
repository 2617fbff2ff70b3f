//! `scalemark prove history`: how often a history errs, and what it finds.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::cmd::{interrupt, note, show};
use crate::history::simulate::{simulate, summary};

/// Options of `prove history`.
#[derive(Debug, clap::Args)]
pub struct History {
    /// Series without a change for each kind of noise; a tenth of them for each point of power
    #[arg(long, default_value_t = 10_000)]
    series: u64,
    /// Seed: the same gives the same files
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder that the results go to
    #[arg(long, default_value = "results/proof", value_name = "DIR")]
    out: PathBuf,
    /// Threads [default: all]
    #[arg(long)]
    threads: Option<usize>,
}

/// Simulates, and writes what came of it.
///
/// # Errors
/// On usage errors, and when the folder cannot be written.
pub fn run(args: &History) -> anyhow::Result<ExitCode> {
    if !(1..=10_000_000).contains(&args.series) {
        bail!("--series {} makes no sense; use 1 to 10000000", args.series);
    }
    interrupt::catch();
    let out = &args.out;
    std::fs::create_dir_all(out).with_context(|| format!("failed to create {}", out.display()))?;
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = summary::plan(args.series);
    let threads = args.threads.unwrap_or(all);
    let Some(counts) = simulate(&plan, args.seed, threads, &interrupt::is_asked) else {
        note("interrupted; nothing was written");
        return Ok(interrupt::exit_code());
    };
    let results: Vec<_> = plan.iter().map(|scene| scene.0).zip(counts).collect();
    let command = format!("scalemark prove history --series {} --seed {}", args.series, args.seed);
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
    };
    write("history-null.csv", &summary::null_csv(&results))?;
    write("history-power.csv", &summary::power_csv(&results))?;
    write("history.md", &summary::markdown(&results, &command))?;
    let holds = summary::holds(&results);
    let said =
        if holds { "every promised bound is kept" } else { "not every promised bound is kept" };
    show(&format!("{said}: {}\n", out.join("history.md").display()))?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
