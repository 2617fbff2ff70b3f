//! Builds of commits, kept by commit.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::cmd::git::git;

/// The repository that the current folder is in.
fn root() -> anyhow::Result<PathBuf> {
    let root = git(Path::new("."), &["rev-parse", "--show-toplevel"])
        .context("--base-ref needs a git repository in the current folder")?;
    Ok(PathBuf::from(root))
}

/// A release build of the commit `reference`, and the commit. Built once, in a git worktree below target/gate; compilations of dependencies are
/// shared by all of them.
///
/// # Errors
/// When there is no such commit, or it does not build.
pub fn of_reference(reference: &str) -> anyhow::Result<(PathBuf, String)> {
    let root = root()?;
    let name = format!("{reference}^{{commit}}");
    let commit = git(&root, &["rev-parse", "--verify", "--end-of-options", &name])
        .with_context(|| format!("--base-ref {reference} is no commit; `git fetch` it first"))?;
    let place = root.join("target/gate");
    let kept = place.join("builds").join(&commit);
    let program = kept.join(program_name());
    if program.is_file() {
        return Ok((program, commit));
    }
    let tree = place.join("trees").join(&commit);
    if !tree.join("Cargo.toml").is_file() {
        let path = tree.to_string_lossy().into_owned();
        // One that was removed by hand is still in git's list.
        git(&root, &["worktree", "prune"])?;
        git(&root, &["worktree", "add", "--detach", "--force", &path, &commit])?;
    }
    let built = build(&tree, &place.join("target"));
    let removed = git(&root, &["worktree", "remove", "--force", &tree.to_string_lossy()]);
    let built = built?;
    removed?;
    std::fs::create_dir_all(&kept)
        .with_context(|| format!("failed to create {}", kept.display()))?;
    // Under another name first: what an interruption leaves half done is never taken for a build.
    let half = kept.join("half");
    std::fs::copy(&built, &half)
        .and_then(|_| std::fs::rename(&half, &program))
        .with_context(|| format!("failed to keep {}", program.display()))?;
    Ok((program, commit))
}

/// A release build of the working tree.
///
/// # Errors
/// When it does not build.
pub fn of_working_tree() -> anyhow::Result<PathBuf> {
    let root = root()?;
    build(&root, &root.join("target/gate/target"))
}

fn build(tree: &Path, target: &Path) -> anyhow::Result<PathBuf> {
    crate::cmd::note(&format!("building {}", tree.display()));
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "--bin", "scalemark", "--target-dir"])
        .arg(target)
        .current_dir(tree)
        .status()
        .context("failed to start cargo; give a binary with --base in place of --base-ref")?;
    if !status.success() {
        bail!("{} does not build; cargo says why above", tree.display());
    }
    Ok(target.join("release").join(program_name()))
}

fn program_name() -> String {
    format!("scalemark{}", std::env::consts::EXE_SUFFIX)
}
