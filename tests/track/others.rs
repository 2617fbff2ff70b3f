//! What comes from other tools and goes to them, the page, the proof, and builds of suspects.

use std::fs;
use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::cargo_bin;

use crate::runs::{Run, write};
use crate::{expect, report, series, text, thirty, track};

#[test]
fn results_of_other_tools_go_in_beside_a_pinned_build_and_come_out_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, seconds: f64| {
        let text = format!(
            "{{\"results\":[{{\"command\":\"./a <1>\",\"mean\":{seconds},\"median\":{seconds},\"times\":[{seconds}]}}]}}"
        );
        fs::write(dir.path().join(name), text).unwrap();
    };
    for i in 0..20 {
        let machine = 1.0 + 0.1 * f64::from(i % 3) + 0.0001 * f64::from(i * 37 % 11);
        file("now.json", machine * if i >= 12 { 1.1 } else { 1.0 });
        file("pinned.json", machine);
        let time = format!("2026-03-{:02}T00:00:00Z", i + 1);
        let commit = format!("{i:010x}");
        let beside = ["--reference", "pinned.json", "--reference-name", "v1"];
        let args = ["import", "hyperfine", "now.json", "--commit", &commit, "--time", &time];
        expect(dir.path(), 0, &[&args[..], &beside[..]].concat());
    }
    let found = report(dir.path(), 1);
    let finding = &series(&found, "./a <1>")["findings"][0];
    assert_eq!(finding["first_after"], format!("{:010x}", 12), "{finding}");
    let bmf = expect(dir.path(), 0, &["export", "bmf"]).0;
    let bmf: serde_json::Value = serde_json::from_str(&bmf).unwrap();
    let newest = bmf["./a <1>"]["latency"]["value"].as_f64().unwrap();
    assert!((newest / 1.1e9 - 1.1).abs() < 0.01, "{bmf}");
    assert!(expect(dir.path(), 0, &["export", "openmetrics"]).0.ends_with("# EOF\n"));
    let list = expect(dir.path(), 0, &["export", "github-action-benchmark"]).0;
    assert!(serde_json::from_str::<serde_json::Value>(&list).unwrap().is_array());

    expect(dir.path(), 0, &["page", "--out", "page.html", "--title", "A & B"]);
    let page = fs::read_to_string(dir.path().join("page.html")).unwrap();
    assert!(page.contains("A &amp; B") && page.contains("./a &lt;1&gt;"), "{page}");
    assert_eq!(page.matches("<svg").count(), 1);
}

#[test]
fn a_folder_of_criterion_is_imported_whole_and_another_tools_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["fib/10", "fib/20"] {
        for run in ["new", "base"] {
            let place = dir.path().join("criterion").join(name).join(run);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("estimates.json"), "{\"median\":{\"point_estimate\":20.5}}")
                .unwrap();
            fs::write(place.join("benchmark.json"), format!("{{\"full_id\":\"{name}\"}}")).unwrap();
        }
    }
    let said = expect(dir.path(), 0, &["import", "criterion", "criterion", "--commit", "a"]).0;
    assert!(said.contains("2 times of a"), "{said}");
    let refused = |args: &[&str], says: &str| {
        let complaint = expect(dir.path(), 2, args).1;
        assert!(complaint.contains(says), "{args:?}: {complaint}");
    };
    let estimates = "criterion/fib/10/new/estimates.json";
    refused(&["import", "hyperfine", estimates, "--commit", "a"], ":1: not an export of hyperfine");
    refused(&["import", "criterion", "criterion"], "give --commit");
    refused(&["import", "criterion", "nowhere", "--commit", "a"], "failed to read nowhere");
}

#[test]
fn a_small_proof_leaves_its_tables() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = assert_cmd::Command::new(cargo_bin("scalemark"));
    let out =
        command.args(["prove", "history", "--series", "10", "--out"]).arg(dir.path()).output();
    let out = out.unwrap();
    // Ten series are too few to keep any promise by.
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    let page = fs::read_to_string(dir.path().join("history.md")).unwrap();
    for noise in ["independent", "spikes", "autocorrelated", "bimodal", "pool"] {
        assert!(page.contains(&format!("| {noise} | reference | 10 |")), "{page}");
    }
    assert!(dir.path().join("history-null.csv").is_file());
    assert!(dir.path().join("history-power.csv").is_file());
}

fn git(folder: &Path, args: &[&str]) -> String {
    let config = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"];
    let out = Command::new("git").current_dir(folder).args(config).args(args).output().unwrap();
    assert!(out.status.success(), "git {args:?}: {}", text(&out.stderr));
    text(&out.stdout).trim().to_owned()
}

/// A stand-in for cargo "builds" this very binary for every commit: so the suspects cannot be slower.
#[cfg(unix)]
#[test]
fn suspects_are_built_and_compared_and_builds_that_are_alike_confirm_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("repository");
    fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "-q"]);
    for i in 0..30 {
        git(&repository, &["commit", "-q", "--allow-empty", "-m", &format!("commit {i}")]);
        let commit = git(&repository, &["rev-parse", "HEAD"]);
        let slow = if i >= 15 { 1.2 } else { 1.0 };
        write(&repository, &Run { name: "run", at: i, time: 1000.0 * slow, ..Run::default() });
        write(&repository, &Run { name: "pinned", at: i, ..Run::default() });
        let (run, pinned) = (format!("run{i}"), format!("pinned{i}"));
        let args =
            ["add", &run, "--reference", &pinned, "--reference-name", "v1", "--commit", &commit];
        expect(&repository, 0, &args);
    }
    let cargo = dir.path().join("cargo");
    let script = format!(
        "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = --target-dir ] && to=$2; shift; done\n\
         mkdir -p \"$to/release\" && cp '{}' \"$to/release/scalemark\"\n",
        cargo_bin("scalemark").display()
    );
    fs::write(&cargo, script).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = assert_cmd::Command::new(cargo_bin("scalemark"));
    command.current_dir(&repository).env("CARGO", &cargo).args(["track", "check", "--confirm"]);
    let out = command.args(["--max-pairs", "8", "--series", "matmul/simd"]).output().unwrap();
    let (said, complaint) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(1), "{said}{complaint}");
    assert!(complaint.contains("building "), "{complaint}");
    let line = said.lines().find(|line| line.contains("not confirmed: ")).unwrap();
    // On a machine as busy as that of a test it may stay undecided.
    assert!(line.contains("is not slower than") || line.contains("undecided between"), "{line}");
    assert_eq!(git(&repository, &["worktree", "list"]).lines().count(), 1, "trees are removed");
}

#[test]
fn confirming_without_the_commits_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    thirty(dir.path());
    let out = track(dir.path(), &["check", "--confirm"]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stdout));
    assert!(text(&out.stderr).contains("--confirm needs the commits"), "{}", text(&out.stderr));
}
