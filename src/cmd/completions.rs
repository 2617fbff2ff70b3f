//! `scalemark completions SHELL`.

use std::process::ExitCode;

use clap::CommandFactory;

/// Options of `completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  scalemark completions bash > ~/.local/share/bash-completion/completions/scalemark"
)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the completion script.
///
/// # Errors
/// When standard output is closed.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "scalemark", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)?;
    Ok(ExitCode::SUCCESS)
}
