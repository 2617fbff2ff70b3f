//! Libraries that crash, lie, hang, or are none: each costs its own record, and nothing else.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use scalemark::ops::{Case, Matmul, Precision, Problem};
use scalemark::worker::protocol::Request;
use scalemark::worker::{Client, Spawn};

use super::{Row, count, ends_with, rows, run, scalemark, signal_and_wait, wait_until, workers};

const KERNELS: &str = "matmul/naive,matmul/openblas";

/// Compiles `blas.c` so that it misbehaves in this way.
pub fn library(mode: &str, folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/robust/blas.c");
    let made = folder.join(format!("lib{}.so", mode.to_lowercase()));
    let out = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", &format!("-DMODE={mode}"), "-o"])
        .args([&made, &source])
        .output()
        .unwrap_or_else(|e| panic!("this test needs the C compiler that Rust links with: cc: {e}"));
    assert!(out.status.success(), "cc failed: {}", String::from_utf8_lossy(&out.stderr));
    made
}

/// Runs our naive kernel beside this library in place of OpenBLAS; naive must be measured in every case.
fn beside(library: &Path, sizes: &str) -> (Output, Vec<Row>) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("run");
    let command = &mut run(&folder, sizes, KERNELS, "30ms");
    let out = command.env("SCALEMARK_OPENBLAS", library).output().unwrap();
    let (own, theirs): (Vec<Row>, Vec<Row>) =
        rows(&folder).into_iter().partition(|row| row["kernel"] == "matmul/naive");
    let cases = sizes.split(',').count();
    assert_eq!(count(&own, "measured"), cases, "{own:?}\n{out:?}");
    assert_eq!(theirs.len(), cases, "{theirs:?}");
    (out, theirs)
}

/// A library of this mode gets this status in each of two cases, for a reason that says so; returns the reason.
fn comes_to(mode: &str, code: i32, status: &str, reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (out, theirs) = beside(&library(mode, folder.path()), "24,40");
    ends_with(code, out);
    for row in theirs {
        assert_eq!(row["status"], status, "{mode}: {row:?}");
        assert!(row["detail"].contains(reason), "{mode}: {}", row["detail"]);
    }
}

#[test]
fn a_library_that_does_its_work_is_measured() {
    comes_to("RIGHT", 0, "measured", "");
}

#[test]
fn a_library_that_crashes_fails_alone() {
    comes_to("CRASHES", 1, "failed", "died of signal 11 (segmentation fault)");
}

#[test]
fn a_library_that_crashes_while_it_is_loaded_fails_alone() {
    comes_to("CRASHES_WHEN_LOADED", 1, "failed", "died of signal 11 (segmentation fault)");
}

#[test]
fn a_library_that_ends_the_process_fails_alone() {
    comes_to("EXITS", 1, "failed", "ended without a reply");
}

#[test]
fn a_library_with_wrong_numbers_is_wrong() {
    comes_to("WRONG", 1, "wrong", "");
}

#[test]
fn a_library_with_one_wrong_number_is_wrong() {
    comes_to("ONE_WRONG", 1, "wrong", "");
}

#[test]
fn a_library_that_writes_nan_is_wrong() {
    comes_to("NOT_A_NUMBER", 1, "wrong", "NaN");
}

#[test]
fn a_library_that_writes_nothing_is_wrong() {
    comes_to("NOTHING", 1, "wrong", "NaN");
}

#[test]
fn a_library_that_prints_does_not_get_between_the_replies() {
    comes_to("TALKS", 0, "measured", "");
}

#[test]
fn a_library_without_the_function_is_refused() {
    comes_to("LACKS_IT", 0, "refused", "has no cblas_sgemm");
}

#[test]
fn what_is_no_library_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("libnote.so");
    std::fs::write(&note, "not a library\n").unwrap();
    for path in [&note, folder.path(), &folder.path().join("nowhere.so")] {
        let (out, theirs) = beside(path, "24");
        ends_with(0, out);
        assert_eq!(theirs[0]["status"], "refused", "{theirs:?}");
        assert!(theirs[0]["detail"].contains("cannot be loaded"), "{theirs:?}");
    }
}

#[test]
fn a_library_that_hangs_is_killed_at_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = library("HANGS", folder.path()).to_str().unwrap().to_owned();
    let program = assert_cmd::cargo::cargo_bin("scalemark");
    let mark = folder.path().join("hangs").to_str().unwrap().to_owned();
    let environment = vec![("SCALEMARK_OPENBLAS".into(), path), ("BLAS_MARK".into(), mark)];
    let mut client = Client::start(&Spawn::scalemark(program, "openblas", environment)).unwrap();
    let here = std::process::id();
    assert_eq!(workers(here, "openblas").len(), 1);
    let request = Request::Prepare {
        handle: 1,
        kernel: "matmul/openblas".into(),
        case: Box::new(Case::new(Problem::Matmul(Matmul::new(40, 40, 40)), Precision::F32)),
        seed: 1,
        expected: None,
        exchange: None,
    };
    // A limit of its own: a run waits for minutes before it calls a launch a hang.
    let error = client.ask(&request, Duration::from_millis(700)).unwrap_err().to_string();
    assert_eq!(error, "hung: no reply within 0.7 s, killed");
    assert_eq!(workers(here, "openblas"), []);
}

#[test]
fn a_second_interrupt_gives_up_a_launch_that_hangs_and_keeps_the_rest_of_its_case() {
    let folder = tempfile::tempdir().unwrap();
    let (mark, out) = (folder.path().join("hangs"), folder.path().join("run"));
    // A budget that no load of the machine lets a kernel spend before it is interrupted.
    let mut command = run(&out, "40", KERNELS, "60s");
    command.env("SCALEMARK_OPENBLAS", library("HANGS_LATER", folder.path()));
    let mut child = command.env("BLAS_MARK", &mark).spawn().unwrap();
    wait_until("the library to hang", || mark.exists());
    assert!(signal_and_wait(&mut child, libc::SIGINT));
    assert_eq!(child.try_wait().unwrap(), None, "the first one waits for the launch");
    assert!(signal_and_wait(&mut child, libc::SIGINT));
    ends_with(130, child.wait_with_output().unwrap());
    let kept = rows(&out);
    assert_eq!(count(&kept, "measured"), 2, "each has the samples of a first process: {kept:?}");
    for row in kept {
        assert_eq!(row["stop_reason"], "interrupted");
    }
    let mut resume = scalemark(&["run", "--resume", out.to_str().unwrap()]);
    resume.env("SCALEMARK_OPENBLAS", library("RIGHT", folder.path()));
    ends_with(0, resume.output().unwrap());
    assert_eq!(count(&rows(&out), "measured"), 2);
}
