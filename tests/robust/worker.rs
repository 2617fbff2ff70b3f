//! Workers that die, and workers whose run dies.

use super::{count, ends_with, is_alive, rows, run, scalemark, signal, wait_for_a_record};
use super::{text, wait_until, workers};

#[test]
fn a_worker_that_is_killed_costs_one_record_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let child = run(&out, "24,32,40", "matmul/naive,matmul/gemm", "800ms").spawn().unwrap();
    wait_for_a_record(&out);
    let [(worker, _)] = workers(child.id(), "own")[..] else { panic!("not one worker") };
    signal(worker, libc::SIGKILL);
    let ended = ends_with(1, child.wait_with_output().unwrap());
    assert!(text(&ended.stdout).contains("1 failed"), "{}", text(&ended.stdout));
    let rows = rows(&out);
    assert_eq!((rows.len(), count(&rows, "measured"), count(&rows, "failed")), (6, 5, 1));
    let failed = rows.iter().find(|row| row["status"] == "failed").unwrap();
    assert_eq!(failed["kernel"], "matmul/naive");
    assert!(failed["detail"].contains("died of signal 9 (killed"), "{failed:?}");
    let report = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains("died of signal 9"), "{report}");
}

#[test]
fn a_run_that_is_killed_leaves_no_worker_behind() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = run(&out, "24", "matmul/naive,matmul/gemm", "50s").spawn().unwrap();
    let mut all = Vec::new();
    wait_until("a worker that is stopped and another that measures", || {
        all = ["own", "gemm"].iter().flat_map(|name| workers(child.id(), name)).collect();
        let stopped = all.iter().filter(|(_, state)| *state == 'T').count();
        out.join("records.csv").exists() && all.len() == 2 && stopped == 1
    });
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the workers to end", || all.iter().all(|&(worker, _)| !is_alive(worker)));
}

#[test]
fn a_worker_ends_with_its_input() {
    let worker = scalemark(&["worker", "--protocol", "1", "--provider", "own"]).output().unwrap();
    let said = text(&ends_with(0, worker).stdout);
    assert!(said.starts_with(r#"{"is":"hello""#) && said.lines().count() == 1, "{said}");
}
