//! Programs that crash, lie, hang or talk: each costs its own record, with its reason, and nothing else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use scalemark::device::cpu::detect_capabilities;
use scalemark::measure::{Goal, Job, measure};
use scalemark::ops::{Case, Matmul, Precision, Problem};
use scalemark::record::Outcome;
use scalemark::units::Nanos;
use scalemark::worker::Processes;
use scalemark::worker::external::ExternalWorker;

use super::{Row, bad_worker, ends_with, repository, rows, run, scalemark};

const KERNELS: [&str; 2] = ["--kernel", "matmul/naive,matmul/bad"];

/// Runs our naive kernel beside a worker with this fault; naive must be measured in both cases. The worker's records.
fn beside(fault: &str, code: i32) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let worker = bad_worker(fault, folder.path());
    let mut command = run(&out, &["-m", "3,4", "--worker", &worker]);
    ends_with(code, command.args(KERNELS).output().unwrap());
    let (own, theirs): (Vec<Row>, Vec<Row>) =
        rows(&out).into_iter().partition(|row| row["kernel"] == "matmul/naive");
    assert!(own.len() == 2 && own.iter().all(|row| row["status"] == "measured"), "{own:?}");
    assert_eq!(theirs.len(), 2, "{theirs:?}");
    let report = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains("matmul/bad") || code == 0, "{report}");
    theirs
}

/// A worker of this fault gets this status in each of two cases, for a reason that says so.
fn comes_to(fault: &str, status: &str, reason: &str) {
    for row in beside(fault, if status == "measured" { 0 } else { 1 }) {
        assert_eq!(row["status"], status, "{fault}: {row:?}");
        assert_eq!(row["provider"], "bad");
        assert!(row["detail"].contains(reason), "{fault}: {}", row["detail"]);
    }
}

#[test]
fn a_worker_that_does_its_work_is_measured_and_checked_by_us() {
    for row in beside("none", 0) {
        assert_eq!(
            (row["status"].as_str(), row["check"].as_str()),
            ("measured", "full"),
            "{row:?}"
        );
        assert!(row["allocated_bytes"].parse::<u64>().unwrap() >= 3 * 9 * 4, "{row:?}");
    }
}

#[test]
fn a_worker_that_is_killed_fails_alone() {
    comes_to("killed", "failed", "died of signal 9 (killed");
    comes_to("later_killed", "failed", "died of signal 9 (killed");
}

#[test]
fn a_worker_that_exits_fails_alone_with_what_it_said_last() {
    comes_to("exits", "failed", "exit code 1: no more of this");
}

#[test]
fn a_worker_that_lies_about_shapes_and_formats_is_wrong() {
    comes_to("dtype", "wrong", "says that C is bf16");
    comes_to("shape", "wrong", "says that C is f32 [");
}

#[test]
fn a_worker_that_cuts_its_results_short_is_wrong() {
    comes_to("cut", "wrong", "cannot be read");
}

#[test]
fn a_worker_that_writes_nan_one_wrong_number_or_nothing_is_wrong() {
    comes_to("nan", "wrong", "NaN");
    comes_to("nothing", "wrong", "NaN");
    comes_to("wrong", "wrong", "C[1] is 3.2768e4");
}

#[test]
fn a_worker_that_prints_garbage_fails_with_what_it_printed() {
    comes_to("garbage", "failed", "only a progress bar: 42 %");
    comes_to("endless", "failed", "more than 4 MiB");
}

#[test]
fn a_worker_that_runs_out_of_memory_fails_alone() {
    comes_to("memory", "failed", "out of memory");
}

#[test]
fn a_worker_that_answers_out_of_turn_fails() {
    comes_to("out_of_turn", "failed", "answered out of turn");
}

#[test]
fn a_worker_is_not_believed_in_its_own_check() {
    comes_to("own_check", "failed", "answered out of turn");
}

#[test]
fn a_worker_with_incredible_times_fails() {
    comes_to("no_time", "failed", "a launch takes 0 ns");
    comes_to("few", "failed", "samples, not ");
    comes_to("zero", "failed", "took 0 ns");
    comes_to("long", "failed", "it answered within");
    comes_to("share", "failed", "a share of -1 of a core");
}

#[test]
fn a_worker_that_writes_much_and_no_text_to_standard_error_is_measured() {
    comes_to("talks", "measured", "");
}

#[test]
fn a_worker_that_speaks_another_protocol_from_its_second_start_on_fails() {
    comes_to("protocol", "failed", "speaks protocol 7, this build speaks 1");
}

#[test]
fn a_program_that_is_no_worker_is_a_usage_error_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for worker in ["true", "echo hello", "no-such-program-anywhere"] {
        let said = ends_with(2, run(&out, &["-m", "3", "--worker", worker]).output().unwrap());
        assert!(said.contains(&format!("--worker '{worker}'")), "{said}");
        assert!(!out.exists());
    }
}

#[test]
fn a_worker_that_hangs_is_killed_with_all_that_it_has_started_and_its_neighbour_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    for (fault, patience) in [("hangs", 0.7), ("later_hangs", 0.6)] {
        // Behind a shell that does not make way for it.
        let command = format!("sh -c '{}; true'", bad_worker(fault, folder.path()));
        let worker = ExternalWorker::program(&command, "cpu").unwrap();
        let own = scalemark::worker::Spawn::scalemark(
            assert_cmd::cargo::cargo_bin("scalemark"),
            "own",
            Vec::new(),
        );
        let mut processes = Processes::new(HashMap::from([("own".to_owned(), own)]), 1)
            .with_external([(worker.provider, worker.spawn)], &detect_capabilities())
            .unwrap()
            .with_patience(Duration::from_secs_f64(patience));
        let case = Case::new(Problem::Matmul(Matmul::new(3, 3, 3)), Precision::F32);
        let job = |kernel: &str, provider: &str| Job {
            kernel: kernel.into(),
            provider: provider.into(),
            case,
        };
        let jobs = [job("matmul/bad", "bad"), job("matmul/naive", "own")];
        let goal = Goal {
            exclude_throttled: false,
            precision: 0.5,
            budget: Nanos(1e8),
            min_processes: 1,
            max_processes: 1,
            samples: 2,
            slice: Nanos(1e6),
        };
        let start = Instant::now();
        let now = move || start.elapsed().as_nanos() as u64;
        let findings = measure(&mut processes, &jobs, &goal, &now, &|| false);
        let outcome = |i: usize| findings[i].outcome.clone().unwrap();
        let Outcome::Failed(reason) = outcome(0) else { panic!("{:?}", outcome(0)) };
        assert!(reason.contains("hung: no reply within"), "{reason}");
        assert!(matches!(outcome(1), Outcome::Measured(_)), "{:?}", outcome(1));
        let mark = folder.path().join("mark").display().to_string();
        while !alive(&mark).is_empty() {
            assert!(start.elapsed() < Duration::from_secs(60), "{:?}", alive(&mark));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Processes with this text in their command line.
fn alive(text: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(text)).collect()
}

#[test]
fn an_interrupted_run_goes_on_with_the_worker_that_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let worker = bad_worker("none", folder.path());
    let precision = ["--precision", "0.01%", "--budget", "500ms"];
    let options = [&["-m", "3,4,5", "--worker", &worker], &precision[..]].concat();
    let mut child = run(&out, &options).args(KERNELS).spawn().unwrap();
    let lines =
        || std::fs::read_to_string(out.join("records.csv")).map_or(0, |s| s.lines().count());
    let start = Instant::now();
    while lines() < 2 && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    // SAFETY: sends a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) }, 0);
    child.wait().unwrap();
    assert!(lines() < 7, "it was not interrupted in the middle");
    let resume = ["run", "--resume", out.to_str().unwrap()];
    // Its files leave out the folders of programs.
    let said = ends_with(2, scalemark(&resume).output().unwrap());
    assert!(said.contains("--worker 'python3 misbehave.py none mark'"), "{said}");
    let again = [&resume[..], &["--worker", &worker]].concat();
    ends_with(0, scalemark(&again).output().unwrap());
    let rows = rows(&out);
    assert_eq!(rows.iter().filter(|row| row["kernel"] == "matmul/bad").count(), 3, "{rows:?}");
    assert!(rows.len() == 6 && rows.iter().all(|row| row["status"] == "measured"), "{rows:?}");
}

#[test]
fn list_verify_and_a_dry_run_know_the_worker_too() {
    let folder = tempfile::tempdir().unwrap();
    let worker = bad_worker("none", folder.path());
    let options = ["-m", "3", "--threads", "1", "--kernel", "matmul/bad", "--worker", &worker];
    let with = |command: &[&str]| scalemark(&[command, &options].concat()).output().unwrap();
    assert!(ends_with(0, with(&["list"])).contains("bad"));
    assert!(ends_with(0, with(&["list", "--json"])).contains("external: minimal_worker.py 1"));
    assert!(ends_with(0, with(&["run", "--dry-run"])).contains("matmul/bad"));
    assert!(ends_with(0, with(&["verify"])).contains("1 right, 0 wrong, 0 failed, 0 refused"));
    let minimal = format!("python3 {}", repository("workers/minimal_worker.py").display());
    let twice = ["list", "-m", "3", "--worker", &minimal, "--worker", &minimal];
    let said = ends_with(2, scalemark(&twice).output().unwrap());
    assert!(said.contains("two providers named `minimal`"), "{said}");
}

#[test]
fn what_a_worker_refuses_is_refused_in_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let worker = bad_worker("none", folder.path());
    let options = ["-m", "3", "--dtype", "bf16", "--worker", &worker, "--kernel", "matmul/bad"];
    ends_with(0, run(&out, &options).output().unwrap());
    let rows = rows(&out);
    assert_eq!(rows[0]["status"], "refused");
    assert_eq!(rows[0]["detail"], "computes f32 on one thread with warm caches");
}
