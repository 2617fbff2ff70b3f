//! `scalemark track export`: the newest commit for other tools.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::Place;
use crate::cmd::show;
use crate::history::export::{Format, export};
use crate::history::series::assemble;

/// Options of `track export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  scalemark track export bmf --out bmf.json")]
pub struct Export {
    /// For whom
    #[arg(value_enum)]
    format: Format,
    #[command(flatten)]
    place: Place,
    /// Write to a file [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes the newest numbers.
///
/// # Errors
/// When the history cannot be read, or the file not be written.
pub fn run(args: &Export) -> anyhow::Result<ExitCode> {
    let text = export(args.format, &assemble(&args.place.read()?.entries, true));
    match args.out.as_deref().filter(|path| *path != Path::new("-")) {
        None => show(&text)?,
        Some(path) => std::fs::write(path, text)
            .with_context(|| format!("failed to write {}", path.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}
