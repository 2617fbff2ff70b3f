//! `scalemark track bless`: a level is accepted.

use std::process::ExitCode;

use anyhow::bail;

use super::{Place, is_meant, pattern};
use crate::cmd::show;
use crate::history::Blessing;
use crate::history::series::assemble;
use crate::store;

/// Options of `track bless`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  scalemark track bless 'matmul/simd*' --reason 'checks bounds now'")]
pub struct Bless {
    /// The short name that `check` shows, or a pattern of kernels, or of `kernel on case`
    series: String,
    /// Why: it is shown wherever the change is
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    place: Place,
    /// What happened up to this commit is accepted [default: the newest of each series]
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
}

/// Accepts all that happened in the series so far.
///
/// # Errors
/// When no series is meant, one lacks the commit, or the history cannot be written.
pub fn run(args: &Bless) -> anyhow::Result<ExitCode> {
    let history = args.place.read()?;
    let series = pattern(&args.series)?;
    let mut blessings = Vec::new();
    let time = jiff::Timestamp::now();
    for one in assemble(&history.entries, true) {
        if !is_meant(&args.series, &series, &one.key) {
            continue;
        }
        let commits = || one.points.iter().map(|point| &point.commit);
        let commit = match &args.commit {
            None => commits().next_back(),
            Some(wanted) => commits().rfind(|commit| commit.starts_with(wanted.as_str())),
        };
        let Some(commit) = commit else {
            bail!("{} has no commit {}", one.key, args.commit.as_deref().unwrap_or_default());
        };
        let (commit, reason) = (commit.clone(), args.reason.clone());
        blessings.push(Blessing { time, key: one.key.clone(), commit, reason });
    }
    if blessings.is_empty() {
        bail!("no series is called `{}`; `scalemark track check --all` lists them", args.series);
    }
    let appended = store::history::bless(&args.place.history, &blessings)?;
    let count = blessings.len();
    let s = if count == 1 { "its level" } else { "their levels" };
    show(&format!("{count} series blessed with {s}: {}\n", appended.path.display()))?;
    Ok(ExitCode::SUCCESS)
}
