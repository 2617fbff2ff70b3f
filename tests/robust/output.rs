//! Places that cannot be written, or are in use: one clear error, and what was there stays.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::{contents, count, ends_with, one_error, rows, run, scalemark, text, wait_for_a_record};

/// Files of the program and its workers may have this many bytes.
fn limit_files(command: &mut Command, bytes: u64) -> &mut Command {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: setrlimit is async-signal-safe, which is all that may be called between fork and exec.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        })
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_one_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "kept").unwrap();
    for out in [file.clone(), file.join("run"), "/proc/no/such/run".into()] {
        let error = one_error(run(&out, "24", "matmul/naive", "30ms").output().unwrap());
        assert!(error.contains(out.to_str().unwrap()), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"kept");
    assert_eq!(contents(folder.path()).len(), 1);
}

#[test]
fn a_folder_that_holds_anything_stays_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    ends_with(0, run(&out, "24", "matmul/naive", "30ms").output().unwrap());
    let before = contents(&out);
    let error = one_error(run(&out, "40", "matmul/blocked", "30ms").output().unwrap());
    assert!(error.contains("--resume") && error.contains("already holds a run"), "{error}");
    assert_eq!(contents(&out), before);

    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.txt"), "years of work").unwrap();
    let error = one_error(run(&other, "24", "matmul/naive", "30ms").output().unwrap());
    assert!(error.contains("not empty"), "{error}");
    assert_eq!(contents(&other).len(), 1);
    assert_eq!(fs::read(other.join("thesis.txt")).unwrap(), b"years of work");
}

#[test]
fn a_folder_that_another_run_writes_to_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let first = run(&out, "24,40", "matmul/naive", "2s").spawn().unwrap();
    wait_for_a_record(&out);
    let error = one_error(run(&out, "32", "matmul/naive", "30ms").output().unwrap());
    assert!(error.contains("already holds a run"), "{error}");
    let resume = scalemark(&["run", "--resume", out.to_str().unwrap()]).output().unwrap();
    let error = one_error(resume);
    assert!(error.contains("is being written by another scalemark"), "{error}");
    ends_with(0, first.wait_with_output().unwrap());
    let rows = rows(&out);
    let sizes: Vec<&str> = rows.iter().map(|row| row["m"].as_str()).collect();
    assert_eq!(sizes, ["24", "40"]);
}

#[test]
fn of_runs_that_start_in_one_folder_at_once_one_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deep/below/run");
    let start = |_| run(&out, "24", "matmul/naive", "300ms").spawn().unwrap();
    let all: Vec<_> = (0..5).map(start).collect();
    let ended: Vec<_> = all.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let (won, lost): (Vec<_>, Vec<_>) = ended.into_iter().partition(|out| out.status.success());
    assert_eq!(won.len(), 1, "{lost:?}");
    for out in lost {
        let error = one_error(out);
        assert!(error.contains("already holds a run") || error.contains("is being"), "{error}");
    }
    assert_eq!(count(&rows(&out), "measured"), 1);
}

#[test]
fn a_disk_that_fills_up_in_the_middle_is_one_error_and_the_run_can_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let sizes = "3,4,5,6,7,8,9,10,11,12,13,14";
    let mut command = run(&out, sizes, "matmul/naive,matmul/blocked,matmul/simd", "20ms");
    let error = one_error(limit_files(&mut command, 11_000).output().unwrap());
    assert!(error.contains("File too large"), "{error}");
    assert!(error.contains(&format!("scalemark run --resume {}", out.display())), "{error}");
    let kept = fs::read_to_string(out.join("records.csv")).unwrap();
    let measured = rows(&out);
    assert!((1..36).contains(&measured.len()), "{kept}");
    ends_with(0, scalemark(&["run", "--resume", out.to_str().unwrap()]).output().unwrap());
    assert!(fs::read_to_string(out.join("records.csv")).unwrap().starts_with(&kept));
    assert_eq!(rows(&out).len(), 36);
}

#[test]
fn a_disk_that_is_full_from_the_start_is_one_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = run(&out, "24", "matmul/naive", "30ms");
    let error = one_error(limit_files(&mut command, 100).output().unwrap());
    assert!(error.contains("File too large") && error.contains("machine.json"), "{error}");
    assert!(!out.exists());
}

#[test]
fn a_report_that_finds_the_disk_full_leaves_the_run_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    ends_with(0, run(&out, "24", "matmul/naive", "30ms").output().unwrap());
    let before = contents(&out);
    let mut report = scalemark(&["report", out.to_str().unwrap()]);
    let error = one_error(limit_files(&mut report, 100).output().unwrap());
    assert!(error.contains("File too large"), "{error}");
    assert_eq!(contents(&out), before);
}

#[test]
fn standard_output_on_a_full_disk_is_an_error() {
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    for args in [&["list", "-m", "24"][..], &["run", "-m", "24", "--dry-run"]] {
        let error = one_error(scalemark(args).stdout(full()).output().unwrap());
        assert!(error.contains("standard output") && error.contains("No space left"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let ended = run(&out, "24", "matmul/naive", "30ms").stdout(full()).output().unwrap();
    let error = text(&ended.stderr);
    assert!(error.contains("No space left"), "{error}");
    one_error(ended);
    assert_eq!(count(&rows(&out), "measured"), 1);
}
