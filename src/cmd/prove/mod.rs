//! `scalemark prove`: how often gate and history err, and what they find.

mod history;
mod machine;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};

use super::interrupt;
use crate::gate::simulate::{plan, summary};
use crate::report::draw;

/// Options of `prove`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark prove simulate                  10 000 gates for each of five kinds of noise, and the power
  scalemark prove simulate --series 500     a smaller one
  scalemark prove history                   10 000 histories without a change for each kind of noise, and the power
  scalemark prove machine                   3000 decisions on this machine, idle and under load: hours
  scalemark prove machine --decisions 40 --load 0 -- -m 64..256

Interrupted, it goes on where it was. Exit codes: 0 every promised bound is kept, 1 one is not, 2 usage or input error, 130 interrupted")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Put whole gates through simulated machines whose noise is known
    Simulate(Simulate),
    /// Put histories through simulated machines whose noise is known
    History(history::History),
    /// Put a build and its copy through gates on this machine, idle and under load
    Machine(machine::Machine),
}

/// Options of `prove simulate`.
#[derive(Debug, clap::Args)]
struct Simulate {
    /// Gates for each kind of noise, where nothing changed; a tenth of them for each point of power
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
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Simulate(args) => simulate(&args),
        What::History(args) => history::run(&args),
        What::Machine(args) => machine::run(&args),
    }
}

fn simulate(args: &Simulate) -> anyhow::Result<ExitCode> {
    if !(1..=10_000_000).contains(&args.series) {
        bail!("--series {} makes no sense; use 1 to 10000000", args.series);
    }
    interrupt::catch();
    let out = &args.out;
    std::fs::create_dir_all(out).with_context(|| format!("failed to create {}", out.display()))?;
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let start = Instant::now();
    let plan = plan::Plan::new(args.series, args.seed);
    let progress = |done: usize, of: usize| {
        if done.is_multiple_of(100) {
            super::note(&format!("{done} of {of} shards, {:.0} s", start.elapsed().as_secs_f64()));
        }
    };
    let counts = plan.run(out, args.threads.unwrap_or(all), &interrupt::is_asked, &progress)?;
    let Some(counts) = counts else {
        super::note("interrupted; the same command goes on");
        return Ok(interrupt::exit_code());
    };
    let results: Vec<_> = plan.scenes.iter().map(|scene| scene.0).zip(counts).collect();
    let command = format!("scalemark prove simulate --series {} --seed {}", args.series, args.seed);
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
    };
    write("null.csv", &summary::null_csv(&results))?;
    write("p-values.csv", &summary::p_values_csv(&results))?;
    write("power.csv", &summary::power_csv(&results))?;
    write("simulation.md", &summary::markdown(&results, &command))?;
    if let Some(chart) = summary::chart(&results) {
        write("power.svg", &draw::render(&chart)?)?;
    }
    plan::forget(out)?;
    let holds = summary::holds(&results);
    let said =
        if holds { "every promised bound is kept" } else { "not every promised bound is kept" };
    super::show(&format!("{said}: {}\n", out.join("simulation.md").display()))?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
