//! Stamps the binary with the commit that it was built from, so that a run can name it.

use std::process::Command;

fn git(args: &[&str]) -> Option<String> {
    let out = Command::new("git").args(args).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn main() {
    for path in
        ["src", "benches", "Cargo.toml", "Cargo.lock", "build.rs", ".git/HEAD", ".git/refs/heads"]
    {
        println!("cargo:rerun-if-changed={path}");
    }
    // Results are data, not source: writing a run must not make the next one look modified.
    let commit = git(&["rev-parse", "--short=10", "HEAD"]).unwrap_or_default();
    let dirty =
        git(&["status", "--porcelain", "--", ".", ":!results"]).is_some_and(|s| !s.is_empty());
    println!("cargo:rustc-env=SCALEMARK_GIT_COMMIT={commit}");
    println!("cargo:rustc-env=SCALEMARK_GIT_DIRTY={dirty}");
    println!("cargo:rustc-env=SCALEMARK_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    println!("cargo:rustc-env=SCALEMARK_RUSTC={}", version.unwrap_or_default());
}
