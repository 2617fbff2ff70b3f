//! `scalemark prove history`: how often a history errs, and what it finds.

use std::process::ExitCode;

use super::Simulation;
use crate::cmd::{interrupt, note};
use crate::history::simulate::{simulate, summary};

/// Simulates, and writes what came of it.
///
/// # Errors
/// On usage errors, and when the folder cannot be written.
pub fn run(args: &Simulation) -> anyhow::Result<ExitCode> {
    args.begin()?;
    let plan = summary::plan(args.series);
    let Some(counts) = simulate(&plan, args.seed, args.threads(), &interrupt::is_asked) else {
        note("interrupted; nothing was written");
        return Ok(interrupt::exit_code());
    };
    let results: Vec<_> = plan.iter().map(|scene| scene.0).zip(counts).collect();
    let files = [
        ("history.md", summary::markdown(&results, &args.command("history"))),
        ("history-null.csv", summary::null_csv(&results)),
        ("history-power.csv", summary::power_csv(&results)),
    ];
    args.conclude(summary::holds(&results), &files)
}
