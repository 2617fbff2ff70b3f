//! What must not be lost when things break: workers that die, libraries that misbehave, disks that are full, users who end a
//! run or close the pipe, terminals that are to be given back.
#![cfg(target_os = "linux")]

mod baseline;
mod interrupt;
mod output;
mod pipe;
mod terminal;
mod worker;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A record by the names of its columns.
type Row = BTreeMap<String, String>;

/// The binary, with these arguments, its output kept for later.
fn scalemark(args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("scalemark"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `scalemark run` of f32 products on one thread into `folder`: a record for each of these sizes and kernels, each measured
/// for the whole `budget`.
fn run(folder: &Path, sizes: &str, kernels: &str, budget: &str) -> Command {
    let mut command = scalemark(&["run", "-m", sizes, "--kernel", kernels, "--budget", budget]);
    command.args(["--dtype", "f32", "--threads", "1", "--processes", "1", "--precision", "0.01%"]);
    command.args(["--no-peaks", "--out"]).arg(folder);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The output of a program that must end with this exit code.
fn ends_with(code: i32, out: Output) -> Output {
    let (printed, complaints) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(code), "{:?}\n{printed}{complaints}", out.status);
    assert!(!complaints.contains("panicked"), "{complaints}");
    out
}

/// The one error, in one line, of a program that must end with exit code 2.
fn one_error(out: Output) -> String {
    let complaints = text(&ends_with(2, out).stderr);
    let errors: Vec<&str> = complaints.lines().filter(|l| l.starts_with("error: ")).collect();
    let [error] = errors[..] else { panic!("not one error:\n{complaints}") };
    assert_eq!(complaints.lines().last(), Some(error), "more follows the error");
    error.to_owned()
}

/// The records of a run that must be readable as it is: `scalemark report` reads it first.
fn rows(folder: &Path) -> Vec<Row> {
    ends_with(0, scalemark(&["report", folder.to_str().unwrap()]).output().unwrap());
    let mut csv = csv::Reader::from_path(folder.join("records.csv")).unwrap();
    csv.deserialize().map(Result::unwrap).collect()
}

/// How many records are of this status.
fn count(rows: &[Row], status: &str) -> usize {
    rows.iter().filter(|row| row["status"] == status).count()
}

/// Waits until `done`, however slow the machine is; a minute is for ever.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a run has written its first record.
fn wait_for_a_record(folder: &Path) {
    let lines = || std::fs::read_to_string(folder.join("records.csv")).map(|s| s.lines().count());
    wait_until("the first record", || lines().is_ok_and(|n| n >= 2));
}

/// Every file of a folder and what is in it.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    files
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect()
}

/// Sends a signal.
fn signal(process: u32, number: i32) {
    // SAFETY: `process` is a child of this test or of its child that has not been waited for.
    assert_eq!(unsafe { libc::kill(process as libc::pid_t, number) }, 0, "no process {process}");
}

/// Sends a signal to a program that handles it, and waits until it was delivered: two that are pending are one. Says whether
/// the program was still there.
fn signal_and_wait(child: &mut Child, number: i32) -> bool {
    if child.try_wait().unwrap().is_some() {
        return false;
    }
    signal(child.id(), number);
    let status = format!("/proc/{}/status", child.id());
    let pending = |status: String| {
        let bits = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"))?;
        let bits = u64::from_str_radix(bits.trim(), 16).ok()?;
        Some(bits & (1 << (number - 1)) != 0)
    };
    wait_until("a signal to be delivered", || {
        !std::fs::read_to_string(&status).ok().and_then(pending).unwrap_or(false)
    });
    true
}

/// The state of a process as one letter, and its parent; none once it is gone.
fn state_and_parent(process: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Whether a process runs, sleeps or is stopped; one that only waits for being counted is none.
fn is_alive(process: u32) -> bool {
    state_and_parent(process).is_some_and(|(state, _)| !"ZX".contains(state))
}

/// The workers that `parent` has started, with the letter of their state, by provider.
fn workers(parent: u32, provider: &str) -> Vec<(u32, char)> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id: u32| {
        let (state, of) = state_and_parent(id)?;
        let arguments = std::fs::read_to_string(format!("/proc/{id}/cmdline")).ok()?;
        let asked = format!("worker\0--protocol\x001\0--provider\0{provider}\0");
        (of == parent && arguments.ends_with(&asked)).then_some((id, state))
    })
    .collect()
}
