//! The session against workers that exist only in time.

use super::*;
use crate::error::Error;
use crate::ops::{Matmul, Precision, Problem};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// Workers that exist only in time: launches take what is scripted, and the clock moves by that.
struct Scripted<'a> {
    now: &'a Cell<u64>,
    log: &'a RefCell<Vec<String>>,
    /// Launch time by kernel and process.
    launch: &'a dyn Fn(&str, usize) -> u64,
    /// Kernels that kill their worker when sampled.
    deadly: &'a [&'a str],
    prepared: HashMap<(usize, String), bool>,
}

impl Crew for Scripted<'_> {
    fn prepare(&mut self, process: usize, job: &Job) -> crate::Result<Reply> {
        self.log.borrow_mut().push(format!("prepare {} {process}", job.kernel));
        self.now.set(self.now.get() + 1_000_000);
        self.prepared.insert((process, job.kernel.clone()), true);
        if job.kernel == "wrong" {
            return Ok(Reply::Wrong { reason: "C[0] is NaN".into(), check: None });
        }
        Ok(Reply::Prepared {
            most_iterations: None,
            check: Check { full: true, deviation: 0.0, tolerance: 1.0 },
            launch_ns: (self.launch)(&job.kernel, process) as f64,
            allocated: 64,
            slots: 1,
            counters: BTreeMap::new(),
            driven: match job.kernel.as_str() {
                "steady" => Some("algorithm 1".into()),
                "wavering" => Some(format!("algorithm {}", process / 2)),
                _ => None,
            },
        })
    }

    fn sample(
        &mut self,
        process: usize,
        job: &Job,
        iterations: u64,
        count: usize,
    ) -> crate::Result<Visit> {
        self.log.borrow_mut().push(format!("sample {} {process}", job.kernel));
        assert!(self.prepared[&(process, job.kernel.clone())], "sampled before prepared");
        if self.deadly.contains(&job.kernel.as_str()) {
            // Who shares the worker loses what it held.
            let neighbours = ["a", "bad"];
            self.prepared.retain(|(p, k), _| *p != process || !neighbours.contains(&k.as_str()));
            return Err(Error::Worker("the worker process died of signal 11".into()));
        }
        let launch = (self.launch)(&job.kernel, process);
        self.now.set(self.now.get() + launch * iterations * count as u64);
        let timed = Timed {
            wall_ns: launch * iterations,
            run_queue_ns: Some(0),
            iterations,
            ..Timed::default()
        };
        Ok(Visit { samples: vec![timed; count], ..Visit::default() })
    }

    fn release(&mut self, process: usize, job: &Job) -> crate::Result<Option<Bytes>> {
        self.log.borrow_mut().push(format!("release {} {process}", job.kernel));
        Ok(Some(Bytes(100 + process as u64)))
    }
}

const GOAL: Goal = Goal {
    exclude_throttled: false,
    precision: 0.05,
    budget: Nanos(1e9),
    min_processes: 3,
    max_processes: 6,
    samples: 8,
    slice: Nanos(1e6),
};

fn jobs(kernels: &[(&str, &str)]) -> Vec<Job> {
    let case = Case::new(Problem::Matmul(Matmul::new(4, 4, 4)), Precision::F32);
    let job = |&(kernel, provider): &(&str, &str)| Job {
        kernel: kernel.into(),
        provider: provider.into(),
        case,
    };
    kernels.iter().map(job).collect()
}

fn run(
    kernels: &[(&str, &str)],
    goal: &Goal,
    launch: &dyn Fn(&str, usize) -> u64,
    deadly: &[&str],
    interrupt_after: usize,
) -> (Vec<Finding>, Vec<String>, u64) {
    let (now, log) = (Cell::new(0), RefCell::new(Vec::new()));
    let mut crew = Scripted { now: &now, log: &log, launch, deadly, prepared: HashMap::new() };
    let findings = measure(&mut crew, &jobs(kernels), goal, &|| now.get(), &|| {
        log.borrow().len() >= interrupt_after
    });
    (findings, log.into_inner(), now.get())
}

#[test]
fn kernels_take_turns_there_and_back() {
    let (_, log, _) = run(&[("a", "own"), ("b", "blas")], &GOAL, &|_, _| 1000, &[], usize::MAX);
    let turns: Vec<&str> =
        log.iter().filter(|l| l.starts_with("sample")).take(4).map(String::as_str).collect();
    assert_eq!(turns, ["sample a 0", "sample b 0", "sample b 0", "sample a 0"]);
}

#[test]
fn equal_processes_stop_after_the_least_number_by_precision() {
    let (findings, log, _) = run(&[("a", "own")], &GOAL, &|_, _| 1000, &[], usize::MAX);
    let Some(Outcome::Measured(timing)) = &findings[0].outcome else {
        panic!("{:?}", findings[0].outcome)
    };
    assert_eq!(timing.stop, StopReason::Precision);
    assert_eq!(timing.processes, 3);
    assert!((timing.median.0 - 1000.0).abs() < 1e-6, "{timing:?}");
    assert_eq!(log.iter().filter(|l| l.starts_with("prepare")).count(), 3);
    assert_eq!(findings[0].peak_resident, Some(Bytes(102)));
    assert_eq!(timing.samples, findings[0].samples.iter().map(Vec::len).sum::<usize>());
}

#[test]
fn how_a_library_was_driven_is_told_and_how_often_where_processes_chose_otherwise() {
    let kernels = [("steady", "blas"), ("wavering", "blas"), ("a", "own")];
    let (findings, _, _) = run(&kernels, &GOAL, &|_, _| 1000, &[], usize::MAX);
    let note = |i: usize| findings[i].outcome.as_ref().unwrap().detail().to_owned();
    assert_eq!(note(0), "algorithm 1");
    assert_eq!(note(1), "algorithm 0 (in 2 processes); algorithm 1 (in 1 process)");
    assert_eq!(note(2), "");
}

#[test]
fn processes_that_differ_call_for_more_of_them_until_the_limit() {
    let uneven = |_: &str, process: usize| 1000 + 400 * (process as u64 % 2);
    let (findings, _, _) = run(&[("a", "own")], &GOAL, &uneven, &[], usize::MAX);
    let Some(Outcome::Measured(timing)) = &findings[0].outcome else { panic!() };
    assert_eq!((timing.stop, timing.processes), (StopReason::Budget, 6));
    assert!(timing.low.0 < 1100.0 && timing.high.0 > 1200.0, "{timing:?}");
}

#[test]
fn a_settled_kernel_takes_no_part_in_further_processes() {
    let uneven = |kernel: &str, process: usize| {
        1000 + if kernel == "b" { 400 * (process as u64 % 2) } else { 0 }
    };
    let (_, log, _) = run(&[("a", "own"), ("b", "own")], &GOAL, &uneven, &[], usize::MAX);
    assert!(log.contains(&"prepare b 3".to_owned()));
    assert!(!log.contains(&"prepare a 3".to_owned()));
}

#[test]
fn a_long_launch_ends_by_budget_and_not_far_beyond_it() {
    let goal = Goal { budget: Nanos(2e9), ..GOAL };
    let uneven = |_: &str, process: usize| 100_000_000 + 30_000_000 * (process as u64 % 2);
    let (findings, _, now) = run(&[("a", "own")], &goal, &uneven, &[], usize::MAX);
    let Some(Outcome::Measured(timing)) = &findings[0].outcome else { panic!() };
    assert_eq!(timing.stop, StopReason::Budget);
    assert!(now < 3_000_000_000, "{now}");
}

#[test]
fn a_crash_costs_one_record_and_its_neighbours_go_on_in_a_new_process() {
    let (findings, log, _) = run(
        &[("a", "own"), ("bad", "own"), ("c", "blas")],
        &GOAL,
        &|_, _| 1000,
        &["bad"],
        usize::MAX,
    );
    assert!(matches!(&findings[0].outcome, Some(Outcome::Measured(_))));
    assert!(
        matches!(&findings[1].outcome, Some(Outcome::Failed(why)) if why.contains("signal 11"))
    );
    assert!(matches!(&findings[2].outcome, Some(Outcome::Measured(_))));
    assert_eq!(
        log.iter().filter(|l| *l == "prepare a 0").count(),
        2,
        "a is made ready again after the crash"
    );
    assert_eq!(log.iter().filter(|l| *l == "prepare c 0").count(), 1, "c lives in another process");
}

#[test]
fn a_wrong_answer_is_never_timed() {
    let (findings, log, _) = run(&[("wrong", "own")], &GOAL, &|_, _| 1000, &[], usize::MAX);
    assert_eq!(findings[0].outcome, Some(Outcome::Wrong("C[0] is NaN".into())));
    assert!(!log.iter().any(|l| l.starts_with("sample")));
}

#[test]
fn an_interrupt_keeps_what_was_measured_and_nothing_else() {
    let (findings, _, _) = run(&[("a", "own"), ("b", "own")], &GOAL, &|_, _| 1000, &[], 3);
    let Some(Outcome::Measured(timing)) = &findings[0].outcome else { panic!("{:?}", findings[0]) };
    assert_eq!(timing.stop, StopReason::Interrupted);
    assert_eq!(findings[1].outcome, None);
}

#[test]
fn a_burst_of_disturbance_does_not_move_the_level() {
    let job = &jobs(&[("a", "own")])[0];
    let mut track = Track::new(job);
    let timed =
        |ns| Timed { wall_ns: ns, run_queue_ns: Some(0), iterations: 1, ..Timed::default() };
    let process = |slow: usize| (0..8).map(|i| timed(if i < slow { 1300 } else { 1000 })).collect();
    track.samples = vec![process(0), process(4), process(5)];
    let timing = track.timing(&GOAL.stopping()).unwrap();
    assert!((timing.median.0 - 1000.0).abs() < 1e-6, "{timing:?}");
    assert_eq!((timing.p99.0, timing.samples), (1300.0, 24));
}

#[test]
fn samples_that_waited_for_a_cpu_are_kept_but_left_out_of_the_level() {
    let job = &jobs(&[("a", "own")])[0];
    let mut track = Track::new(job);
    let timed = |ns, wait| Timed {
        wall_ns: ns,
        run_queue_ns: Some(wait),
        iterations: 1,
        ..Timed::default()
    };
    track.samples = vec![vec![timed(1000, 0), timed(1000, 0), timed(5000, 4000)]; 3];
    let timing = track.timing(&GOAL.stopping()).unwrap();
    assert!((timing.median.0 - 1000.0).abs() < 1e-6 && timing.samples == 9, "{timing:?}");
    assert!(timing.note.contains("3 of 9"), "{}", timing.note);
}
