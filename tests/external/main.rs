//! External programs beside our kernels: the documented protocol, a well-behaved worker, and every way to break it.
#![cfg(target_os = "linux")]

mod faults;
mod numpy;
mod readings;
mod transcript;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A record by the names of its columns.
type Row = BTreeMap<String, String>;

/// The binary, with these arguments, its output kept for later.
fn scalemark(args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("scalemark"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `scalemark run` into `folder`, with these options: in one process a kernel and for a short time,
/// unless they say otherwise.
fn run(folder: &Path, options: &[&str]) -> Command {
    let mut command = scalemark(&["run", "--threads", "1", "--no-peaks", "--out"]);
    command.arg(folder).args(options);
    for (option, value) in [("--processes", "1"), ("--budget", "40ms")] {
        if !options.contains(&option) {
            command.args([option, value]);
        }
    }
    command
}

/// The output of a program that must end with this exit code.
fn ends_with(code: i32, out: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, complaints) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(code), "{:?}\n{printed}{complaints}", out.status);
    assert!(!complaints.contains("panicked"), "{complaints}");
    printed + &complaints
}

/// The records of a run that must be readable as it is: `scalemark report` reads it first.
fn rows(folder: &Path) -> Vec<Row> {
    ends_with(0, scalemark(&["report", folder.to_str().unwrap()]).output().unwrap());
    let mut csv = csv::Reader::from_path(folder.join("records.csv")).unwrap();
    csv.deserialize().map(Result::unwrap).collect()
}

/// A file of this repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The command of the minimal worker with this fault.
fn bad_worker(fault: &str, folder: &Path) -> String {
    let script = repository("tests/external/misbehave.py");
    format!("python3 {} {fault} {}", script.display(), folder.join("mark").display())
}
