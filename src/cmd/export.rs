//! `scalemark export`: runs in one file, for tools that read large sets.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;

use crate::store::{Run, parquet};

/// Options of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark export results/runs/* --parquet runs.parquet
  scalemark report runs.parquet --html runs.html           reports read it too

A row is a record: its run, the columns of records.csv, typed, and its counters as JSON. docs/report.md has queries for DuckDB,
ClickHouse and pandas")]
pub struct Args {
    /// The folders of runs, or files of an earlier export
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    parquet: PathBuf,
}

/// Reads all runs, and writes the file.
///
/// # Errors
/// When a folder holds no whole run, two have one name, or the file cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.parquet.is_dir() {
        bail!("--parquet {} is a folder; name a file in it", args.parquet.display());
    }
    let runs = Run::read_all(&args.runs)?;
    let records = parquet::write(&args.parquet, &runs)?;
    let (count, file) = (runs.len(), args.parquet.display());
    super::show(&format!("{records} records of {count} runs: {file}\n"))?;
    Ok(ExitCode::SUCCESS)
}
