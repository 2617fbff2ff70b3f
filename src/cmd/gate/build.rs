//! Builds of commits, kept by commit.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::cmd::git::git;

/// The repository that the current folder is in.
fn root() -> anyhow::Result<PathBuf> {
    let root = git(Path::new("."), &["rev-parse", "--show-toplevel"])
        .context("--base-ref needs a git repository in the current folder")?;
    Ok(PathBuf::from(root))
}

/// What is built.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// scalemark itself.
    Scalemark,
    /// A benchmark of any project whose Cargo.toml stands at the root of its repository.
    Bench(&'a str),
}

impl Target<'_> {
    /// The file that is kept of it.
    fn file_name(self) -> String {
        let name = match self {
            Target::Scalemark => "scalemark",
            Target::Bench(name) => name,
        };
        format!("{name}{}", std::env::consts::EXE_SUFFIX)
    }
}

/// A release build of the commit `reference`, and the commit. Built once, in a git worktree below target/gate; compilations of dependencies are
/// shared by all of them.
///
/// # Errors
/// When there is no such commit, or it does not build.
pub fn of_reference(reference: &str, what: Target) -> anyhow::Result<(PathBuf, String)> {
    let root = root()?;
    let name = format!("{reference}^{{commit}}");
    let commit = git(&root, &["rev-parse", "--verify", "--end-of-options", &name])
        .with_context(|| format!("--base-ref {reference} is no commit; `git fetch` it first"))?;
    let place = root.join("target/gate");
    let kept = place.join("builds").join(&commit);
    let program = kept.join(what.file_name());
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
    let built = build(&tree, &place.join("target"), what);
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
pub fn of_working_tree(what: Target) -> anyhow::Result<PathBuf> {
    let root = root()?;
    build(&root, &root.join("target/gate/target"), what)
}

fn build(tree: &Path, target: &Path, what: Target) -> anyhow::Result<PathBuf> {
    crate::cmd::note(&format!("building {}", tree.display()));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    match what {
        Target::Scalemark => cargo.args(["build", "--release", "--locked", "--bin", "scalemark"]),
        Target::Bench(name) => cargo.args(["bench", "--no-run", "--bench", name]),
    };
    cargo.args(["--message-format", "json-render-diagnostics", "--target-dir"]).arg(target);
    let out = cargo.current_dir(tree).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let out = out.context("failed to start cargo; give binaries with --base and --head")?;
    if !out.status.success() {
        bail!("{} does not build; cargo says why above", tree.display());
    }
    let name = match what {
        Target::Scalemark => "scalemark",
        Target::Bench(name) => name,
    };
    let messages = String::from_utf8_lossy(&out.stdout);
    executable(&messages, name)
        .with_context(|| format!("cargo built no program {name} of {}", tree.display()))
}

/// The program of the target `name` among cargo's messages, of which each is a line of JSON.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let of = |line: &str| -> Option<PathBuf> {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == name).then(|| message["executable"].as_str())?.map(Into::into)
    };
    messages.lines().rev().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_target_is_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"mine","kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"mine","kind":["bench"]},"executable":"release/deps/mine-1f0c"}
{"reason":"compiler-artifact","target":{"name":"other","kind":["bench"]},"executable":"release/deps/other-77"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(messages, "mine"), Some("release/deps/mine-1f0c".into()));
        assert_eq!(executable(messages, "none"), None);
    }
}
