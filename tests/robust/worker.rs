//! Workers that die, and workers whose run dies.

use std::collections::HashMap;

use scalemark::measure::{Crew, Job};
use scalemark::ops::{Case, Matmul, Precision, Problem};
use scalemark::worker::protocol::Reply;
use scalemark::worker::{Processes, Spawn};

use super::baseline::library;
use super::{count, ends_with, is_alive, rows, run, scalemark, signal};
use super::{text, wait_until, workers};

#[test]
fn a_worker_that_is_killed_costs_one_record_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mark = folder.path().join("in a launch");
    let mut command = run(&out, "24,40,48", "matmul/naive,matmul/openblas", "1s");
    command.env("SCALEMARK_OPENBLAS", library("HANGS_LATER", folder.path()));
    let child = command.env("BLAS_MARK", &mark).spawn().unwrap();
    wait_until("a launch that lasts", || mark.exists());
    let mut all = workers(child.id(), "openblas").into_iter();
    let (at_work, _) = all.find(|&(_, state)| state != 'T').unwrap();
    signal(at_work, libc::SIGKILL);
    let ended = ends_with(1, child.wait_with_output().unwrap());
    assert!(text(&ended.stdout).contains("1 failed"), "{}", text(&ended.stdout));
    let rows = rows(&out);
    assert_eq!((rows.len(), count(&rows, "measured"), count(&rows, "failed")), (6, 5, 1));
    let failed = rows.iter().find(|row| row["status"] == "failed").unwrap();
    assert_eq!((failed["kernel"].as_str(), failed["m"].as_str()), ("matmul/openblas", "40"));
    assert!(failed["detail"].contains("died of signal 9 (killed"), "{failed:?}");
    let report = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains("died of signal 9"), "{report}");
}

#[test]
fn a_worker_that_dies_idle_costs_nothing_and_one_that_holds_a_kernel_says_how_it_died() {
    let program = assert_cmd::cargo::cargo_bin("scalemark");
    let spawn = Spawn::scalemark(program, "gemmkit", Vec::new());
    let mut processes = Processes::new(HashMap::from([("gemmkit".to_owned(), spawn)]), 1);
    let case = Case::new(Problem::Matmul(Matmul::new(24, 24, 24)), Precision::F32);
    let job = Job { kernel: "matmul/gemmkit".into(), provider: "gemmkit".into(), case };
    let kill = || {
        let [(worker, _)] = workers(std::process::id(), "gemmkit")[..] else { panic!("not one") };
        signal(worker, libc::SIGKILL);
        // Its last thread has ended when it can be waited for; that is left to its owner.
        // SAFETY: a `siginfo_t` of zeros is a valid value, which the call fills.
        let rc = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, worker, &mut info, libc::WEXITED | libc::WNOWAIT)
        };
        assert_eq!(rc, 0);
    };
    let is_prepared = |reply| matches!(reply, Ok(Reply::Prepared { .. }));
    assert!(is_prepared(processes.prepare(0, &job)));
    processes.release(0, &job).unwrap();
    kill();
    assert!(is_prepared(processes.prepare(0, &job)), "a new worker takes its place");
    kill();
    let error = processes.sample(0, &job, 1, 1).unwrap_err().to_string();
    assert!(error.contains("died of signal 9"), "{error}");
    assert!(is_prepared(processes.prepare(0, &job)));
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
