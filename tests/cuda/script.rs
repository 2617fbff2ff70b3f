//! `scripts/gpu.sh` in its dry mode: every step is gone through, and what is broken on purpose is found.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the script on the fake driver.
fn gpu_sh(out: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = Command::new("bash")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/gpu.sh"))
        .args([out.to_str().unwrap(), "quick"])
        .env("SCALEMARK", env!("CARGO_BIN_EXE_scalemark"))
        .env("SCALEMARK_GPU", "fake:sm_80")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code(), text(&stdout) + &text(&stderr))
}

/// A copy of the kernels' sources with some text of each of these files replaced.
fn kernels_with(folder: &Path, edits: &[(&str, &str, &str)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    for (file, from, to) in edits {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no `{from}`");
        let at = folder.join(file);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        // The last one: of two barriers, the one that ends a turn.
        let (before, after) = text.rsplit_once(from).unwrap();
        std::fs::write(at, format!("{before}{to}{after}")).unwrap();
    }
}

#[test]
fn a_dry_run_goes_through_every_step_and_finds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (code, said) = gpu_sh(&out, &[]);
    assert_eq!(code, Some(0), "{said}");
    for step in [
        "environment",
        "calibration",
        "verify",
        "conform",
        "simulator",
        "run-burst",
        "verify-attention",
        "verify-optimizer",
        "cupti-1",
        "profile-1",
        "run-sustained",
        "counters",
    ] {
        assert!(said.contains(&format!("- **{step}**: exit 0")), "{step}: {said}");
    }
    assert!(said.contains("- **sanitizer**: not done: "), "{said}");
    for file in [
        "summary.md",
        "environment.json",
        "run-burst/report.md",
        "run-sustained/records.csv",
        "profiles/1.trace.json",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let profile = std::fs::read_to_string(out.join("profiles/1.txt")).unwrap();
    assert!(profile.contains("told by the fake driver, whose times are made up"), "{profile}");
}

#[test]
fn a_dry_run_finds_kernels_that_are_broken_on_purpose() {
    let dir = tempfile::tempdir().unwrap();
    let kernels = dir.path().join("kernels");
    kernels_with(
        &kernels,
        &[
            // Answers that are off: seen by the reference.
            ("matmul/coalesced.cu", "narrow<OUT>(sum)", "narrow<OUT>(sum * 2)"),
            // A race that hardware hides: seen by the simulator.
            ("matmul/tiled.cu", "    __syncthreads();\n", ""),
        ],
    );
    let variables = [("SCALEMARK_KERNELS", kernels.to_str().unwrap())];
    let (code, said) = gpu_sh(&dir.path().join("out"), &variables);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("- **verify**: exit 1"), "{said}");
    assert!(said.contains("wrong: matmul/coalesced on"), "{said}");
    assert!(said.contains("wrong: matmul/tiled on") && said.contains("Race"), "{said}");
}

#[test]
fn a_dry_run_tells_of_illegal_addresses_throttling_and_times_that_cannot_be_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let conditions = [("SCALEMARK_FAKE", "illegal=matmul_tiled,throttle=thermal@3,skew=cold")];
    let out = dir.path().join("out");
    let (code, said) = gpu_sh(&out, &conditions);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("failed: matmul/tiled on") && said.contains("(700)"), "{said}");
    assert!(said.contains("unfit: fake:sm_80:0: an empty kernel"), "{said}");
    let records = std::fs::read_to_string(out.join("run-burst/records.csv")).unwrap();
    assert!(records.contains("while the GPU was slowed down (thermal)"), "{records}");
}

#[test]
fn without_a_gpu_it_ends_early_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = gpu_sh(&dir.path().join("out"), &[("SCALEMARK_FAKE", "no-driver")]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("error: there is no CUDA driver"), "{said}");
    assert!(!said.contains("**verify**"), "{said}");
}
