//! `scalemark track page`: the history as a page.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::Place;
use super::check::Judging;
use crate::cmd::show;
use crate::history::page;

/// Options of `track page`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  scalemark track page --out history.html")]
pub struct Page {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    judging: Judging,
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "history.html")]
    out: PathBuf,
    /// Its title
    #[arg(long, default_value = "Performance history")]
    title: String,
    /// Charts of steady series, at most; those that something was found in all have one
    #[arg(long, value_name = "N", default_value_t = 100)]
    steady: usize,
}

/// Judges the history, and writes the page.
///
/// # Errors
/// When the history cannot be read, or the page not be written.
pub fn run(args: &Page) -> anyhow::Result<ExitCode> {
    let report = args.judging.judge(&args.place)?;
    let text = page::render(&report, &args.title, args.steady)?;
    let out = &args.out;
    std::fs::write(out, text).with_context(|| format!("failed to write {}", out.display()))?;
    show(&format!("{}\n{}\n", report.headline(), out.display()))?;
    Ok(ExitCode::SUCCESS)
}
