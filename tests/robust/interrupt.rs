//! Ctrl-C and SIGTERM: exit code 130, nothing of what was measured is lost, and a resume finishes the run.

use std::path::Path;
use std::process::Child;

use super::{count, ends_with, rows, run, scalemark, signal_and_wait, text, wait_for_a_record};

/// A run of six records that has written some of them.
fn under_way(folder: &Path) -> Child {
    let child = run(folder, "24,32,40", "matmul/naive,matmul/gemm", "600ms").spawn().unwrap();
    wait_for_a_record(folder);
    child
}

/// The rows of `records.csv`, as they stand there.
fn lines(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("records.csv")).unwrap()
}

/// Interrupts a run by these signals, each as soon as the one before was delivered, and finishes it.
fn is_kept_and_finished(signals: &[i32]) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = under_way(&out);
    let before = lines(&out);
    for &number in signals {
        signal_and_wait(&mut child, number);
    }
    let ended = ends_with(130, child.wait_with_output().unwrap());
    let kept = lines(&out);
    assert!(kept.starts_with(&before), "{kept}");
    if signals.len() <= 2 {
        assert!(
            out.join("report.md").is_file() && out.join("seal.json").is_file(),
            "it did not end in order"
        );
    }
    let measured = rows(&out);
    assert!((2..6).contains(&measured.len()), "not in the middle: {}", text(&ended.stderr));
    assert_eq!(count(&measured, "measured"), measured.len(), "{measured:?}");
    let resume = scalemark(&["run", "--resume", out.to_str().unwrap()]).output().unwrap();
    ends_with(0, resume);
    assert!(lines(&out).starts_with(&kept), "what was measured stays as it was");
    assert_eq!(count(&rows(&out), "measured"), 6);
}

#[test]
fn an_interrupt_in_the_middle_keeps_what_was_measured() {
    is_kept_and_finished(&[libc::SIGINT]);
}

#[test]
fn a_request_to_terminate_does_so_too() {
    is_kept_and_finished(&[libc::SIGTERM]);
}

#[test]
fn a_second_interrupt_while_it_ends_loses_nothing() {
    is_kept_and_finished(&[libc::SIGINT, libc::SIGINT]);
}

#[test]
fn any_number_of_interrupts_leaves_a_run_that_can_be_read_and_finished() {
    is_kept_and_finished(&[libc::SIGINT; 12]);
}

#[test]
fn an_interrupted_run_says_how_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = under_way(&out);
    signal_and_wait(&mut child, libc::SIGINT);
    let ended = ends_with(130, child.wait_with_output().unwrap());
    let said = text(&ended.stdout);
    assert!(said.contains(&format!("scalemark run --resume {}", out.display())), "{said}");
    assert!(out.join("report.md").is_file());
}
