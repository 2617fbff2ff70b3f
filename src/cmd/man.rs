//! `scalemark man`: the manual's pages.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;

/// Options of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  scalemark man | man -l -                           read it
  scalemark man --out ~/.local/share/man/man1        install a page for each command")]
pub struct Args {
    /// Folder to write a page for each command to [default: the main page, on standard output]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints the main page, or writes all.
///
/// # Errors
/// When the folder or standard output cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let command = super::Cli::command();
    match args.out {
        Some(folder) => {
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("failed to create {}", folder.display()))?;
            clap_mangen::generate_to(command, &folder)
                .with_context(|| format!("failed to write pages to {}", folder.display()))?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            super::show(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
