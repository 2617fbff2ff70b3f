//! `scalemark track` as a CI meets it: runs go in, verdicts with commits and exit codes come out.

mod damage;
mod others;
mod runs;

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use runs::{Run, write};

fn track(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::cargo_bin("scalemark").unwrap();
    // Outside of any repository, so that commits are what the runs say.
    command.current_dir(folder).env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap());
    command.arg("track").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A command that must exit with `code`; its standard output and error.
fn expect(folder: &Path, code: i32, args: &[&str]) -> (String, String) {
    let out = track(folder, args);
    let (said, complaint) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(code), "{args:?}: {said}{complaint}");
    (said, complaint)
}

fn report(folder: &Path, code: i32) -> serde_json::Value {
    let (said, _) = expect(folder, code, &["check", "--json", "-"]);
    serde_json::from_str(&said).unwrap()
}

/// The series of a kernel's times.
fn series<'a>(report: &'a serde_json::Value, kernel: &str) -> &'a serde_json::Value {
    let is_meant = |s: &&serde_json::Value| s["kernel"] == kernel && s["metric"] == "time";
    report["series"].as_array().unwrap().iter().find(is_meant).unwrap()
}

/// Thirty runs beside a reference, on a machine that is up to 20 % slow; both kernels take 4 % more from commit 20 on.
fn thirty(folder: &Path) {
    for i in 0..30 {
        let machine = 1.0 + 0.1 * f64::from((i * 7) % 3);
        let slow = if i >= 20 { 1.04 } else { 1.0 };
        write(folder, &Run { name: "run", at: i, time: 1000.0 * machine * slow, ..Run::default() });
        write(folder, &Run { name: "pinned", at: i, time: 1000.0 * machine, ..Run::default() });
        let (run, pinned) = (format!("run{i}"), format!("pinned{i}"));
        expect(folder, 0, &["add", &run, "--reference", &pinned, "--reference-name", "v1"]);
    }
}

#[test]
fn a_commit_that_slows_everything_is_found_then_blessed_and_the_history_is_fine_again() {
    let dir = tempfile::tempdir().unwrap();
    thirty(dir.path());
    let found = report(dir.path(), 1);
    for kernel in ["matmul/simd", "matmul/blocked"] {
        let series = series(&found, kernel);
        let finding = &series["findings"][0];
        assert_eq!(series["basis"]["reference"], "v1", "{series}");
        assert_eq!(finding["first_after"], runs::commit(20), "{finding}");
        assert!((finding["ratio"].as_f64().unwrap() - 1.04).abs() < 0.01, "{finding}");
        assert_eq!(finding["state"], "open");
    }
    let (table, _) = expect(dir.path(), 1, &["check"]);
    assert!(table.contains("slower") && table.contains("matmul/simd on "), "{table}");

    let id = series(&found, "matmul/simd")["id"].as_str().unwrap().to_owned();
    expect(dir.path(), 0, &["bless", &id, "--reason", "checks bounds now"]);
    expect(dir.path(), 1, &["check"]);
    expect(dir.path(), 0, &["bless", "matmul/blocked", "--reason", "as well"]);
    let (table, _) = expect(dir.path(), 0, &["check"]);
    // However narrow the terminal is.
    assert!(table.contains("(blessed:") && table.contains("bounds now"), "{table}");
}

#[test]
fn runs_without_a_reference_or_too_few_cannot_be_judged_and_it_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let missing = expect(dir.path(), 2, &["check"]).1;
    assert!(missing.contains("there is no history in history"), "{missing}");
    for i in 0..12 {
        write(dir.path(), &Run { name: "run", at: i, ..Run::default() });
        expect(dir.path(), 0, &["add", &format!("run{i}")]);
    }
    let why = series(&report(dir.path(), 0), "matmul/simd")["unjudged"].to_string();
    assert!(why.contains("--reference or --canary"), "{why}");
    let raw = expect(dir.path(), 0, &["check", "--raw", "--all"]).0;
    assert!(raw.contains("steady"), "{raw}");

    let few = tempfile::tempdir().unwrap();
    write(few.path(), &Run { name: "run", at: 0, ..Run::default() });
    expect(few.path(), 0, &["add", "run0", "--canary", "matmul/blocked"]);
    let out = expect(few.path(), 3, &["check"]).0;
    assert!(
        out.contains("1 commit; 2 are needed") && out.contains("nothing could be judged"),
        "{out}"
    );
}

#[test]
fn the_same_run_again_changes_nothing_and_concurrent_appends_all_arrive() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..8 {
        write(dir.path(), &Run { name: "run", at: i, ..Run::default() });
    }
    let (said, _) = expect(dir.path(), 0, &["add", "run0"]);
    assert!(!said.contains("already"), "{said}");
    assert!(expect(dir.path(), 0, &["add", "run0"]).0.contains("it was there already"));
    std::thread::scope(|scope| {
        for i in 0..8 {
            let folder = dir.path();
            scope.spawn(move || expect(folder, 0, &["add", &format!("run{i}")]));
        }
    });
    let files = std::fs::read_dir(dir.path().join("history")).unwrap();
    let names: Vec<_> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    assert!(names.iter().all(|name| name.ends_with(".csv")), "{names:?}");
    let history = scalemark::store::history::read(&dir.path().join("history")).unwrap();
    assert_eq!(history.entries.len(), 8 * 4, "two times and two allocations a run");
}

#[test]
fn what_makes_no_sense_exits_2_with_the_way_out_and_leaves_the_history_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Run { name: "run", at: 0, ..Run::default() });
    let other = Run { name: "other", at: 0, model_name: "Another Processor", ..Run::default() };
    write(dir.path(), &other);
    let refused = |args: &[&str], says: &str| {
        let complaint = expect(dir.path(), 2, args).1;
        assert!(complaint.contains(says), "{args:?}: {complaint}");
    };
    refused(&["add", "nowhere"], "is not the folder of a run");
    refused(&["add", "run0", "--reference", "other0"], "must come from the same machine");
    refused(&["add", "run0", "nowhere"], "is not the folder of a run");
    refused(&["add", "run0", "--canary", "["], "is no pattern");
    refused(&["add", "run0", "--canary", "attention/*"], "no measured kernel is a canary");
    assert!(!dir.path().join("history").exists(), "nothing was written");
    expect(dir.path(), 0, &["add", "run0"]);
    refused(&["bless", "nobody", "--reason", "x"], "no series is called `nobody`");
    refused(&["bless", "matmul/simd", "--reason", " "], "needs a reason");
    refused(&["check", "--false-discovery", "2"], "makes no sense");
}
