//! What git says of the repository in the current folder.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use jiff::Timestamp;

/// The trimmed output of a git command.
///
/// # Errors
/// When git is missing, or says no.
pub fn git(folder: &Path, args: &[&str]) -> anyhow::Result<String> {
    let out = Command::new("git").arg("-C").arg(folder).args(args).output();
    let out = out.context("failed to start git")?;
    if !out.status.success() {
        bail!("git {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// The full name of a commit, and when it was made; `None` where git does not know it, or is not there.
pub fn commit(reference: &str) -> Option<(String, Timestamp)> {
    let name = format!("{reference}^{{commit}}");
    let here = Path::new(".");
    let full = git(here, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name]).ok()?;
    let time = git(here, &["show", "--no-patch", "--format=%cI", &full]).ok()?;
    Some((full, time.parse().ok()?))
}
