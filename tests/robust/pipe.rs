//! Readers that have seen enough: `scalemark list | head -1` ends quietly.

use std::process::Stdio;

use super::baseline::library;
use super::{count, ends_with, rows, run, scalemark, text};

/// The writing end of a pipe that nobody reads any more.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn every_command_ends_quietly_when_nobody_reads_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    ends_with(0, run(&out, "24", "matmul/naive", "30ms").output().unwrap());
    for args in [
        &["list"][..],
        &["list", "--json"],
        &["models"],
        &["models", "--json"],
        &["machine"],
        &["completions", "bash"],
        &["run", "--dry-run"],
        &["report", out.to_str().unwrap()],
        &["verify", "-m", "3", "--kernel", "matmul/naive"],
        &["verify", "-m", "3", "--kernel", "matmul/naive", "--json"],
        &["--help"],
        &["--version"],
    ] {
        let ended = ends_with(0, scalemark(args).stdout(closed()).output().unwrap());
        assert!(!text(&ended.stderr).contains("error"), "{args:?}: {}", text(&ended.stderr));
    }
}

#[test]
fn a_run_that_nobody_watches_any_more_is_measured_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = run(&out, "24,40", "matmul/naive", "30ms");
    ends_with(0, command.stdout(closed()).stderr(closed()).output().unwrap());
    assert!(out.join("report.md").is_file() && out.join("seal.json").is_file());
    assert_eq!(count(&rows(&out), "measured"), 2);
}

#[test]
fn the_exit_code_tells_of_a_wrong_answer_although_nobody_reads_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = run(&out, "24", "matmul/openblas", "30ms");
    command.env("SCALEMARK_OPENBLAS", library("WRONG", folder.path())).stdout(closed());
    ends_with(1, command.output().unwrap());
    assert_eq!(count(&rows(&out), "wrong"), 1);
}

#[test]
fn a_usage_error_keeps_its_exit_code_although_nobody_reads_it() {
    let mut command = scalemark(&["run", "--model", "nobody-knows-it"]);
    ends_with(2, command.stderr(closed()).output().unwrap());
}
