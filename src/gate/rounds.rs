//! Drives the processes of base, head and twin through the worker protocol.
//!
//! A round is one fresh process of each, in an order that a coin decides, with the same kernels in the same shuffled order. Each gets an
//! environment of another size, which moves its stack. (Operands begin at page boundaries in every build, so there is no offset to
//! shuffle.) Both sides launch a kernel equally often in a sample.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::pair::{Judge, Levels};
use crate::error::{Error, Result};
use crate::ops::Case;
use crate::stats::order;
use crate::stats::random::Random;
use crate::units::Nanos;
use crate::worker::protocol::{Reply, Request, Timed};
use crate::worker::{Client, Spawn};

/// Variable whose length differs from process to process.
const PADDING: &str = "SCALEMARK_PADDING";
/// Longest wait for a preparation.
const PREPARE_LIMIT: Duration = Duration::from_secs(180);

/// Which build a process is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// The base.
    Base,
    /// The head.
    Head,
    /// A copy of the base.
    Twin,
}

impl Arm {
    /// All three.
    pub const ALL: [Arm; 3] = [Arm::Base, Arm::Head, Arm::Twin];
}

/// A kernel on a case, as both sides are asked for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// `family/name`.
    pub kernel: String,
    /// What to compute.
    pub case: Case,
}

/// How a process measures a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Aimed length of a sample.
    pub slice: Nanos,
    /// Samples of a kernel in a process.
    pub samples: usize,
    /// Times that a process comes back to a kernel.
    pub sweeps: usize,
}

impl Default for Effort {
    /// 24 samples of 2 ms in three sweeps: about 50 ms of a kernel in a process.
    fn default() -> Self {
        Effort { slice: Nanos(2e6), samples: 24, sweeps: 3 }
    }
}

/// A sample as it is kept: a row of the gate's `samples.csv.gz`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row<'a> {
    /// The round, from 0.
    pub round: usize,
    /// The place of its process in the round, from 0.
    pub position: usize,
    /// Which build.
    pub arm: Arm,
    /// `family/name`.
    pub kernel: &'a str,
    /// The case's key.
    pub case_key: String,
    /// The sample's number in its process, from 0.
    pub index: usize,
    /// Wall time of the batch.
    pub wall_ns: u64,
    /// CPU time of all threads.
    pub cpu_ns: Option<u64>,
    /// Time waited in run queues.
    pub run_queue_ns: Option<u64>,
    /// Launches in the batch.
    pub iterations: u64,
    /// The share of its core that the measuring thread had.
    pub core_share: Option<f64>,
}

/// What broke a kernel, and in which build.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// Its place among the jobs.
    pub job: usize,
    /// In which build.
    pub arm: Arm,
    /// How.
    pub reason: String,
}

/// The pairs of a gate under way.
pub struct Rounds<'a> {
    /// How to start a process of each arm, in the order of [`Arm::ALL`].
    pub spawns: [Spawn; 3],
    /// What is measured; the judge's subjects are these.
    pub jobs: Vec<Job>,
    /// How much of it a process does.
    pub effort: Effort,
    /// Seed of operands.
    pub seed: u64,
    /// Decides orders and sizes of environments.
    pub random: Random,
    /// Launches in a sample, by job, once known.
    pub iterations: Vec<Option<u64>>,
    /// Bytes that each arm said it allocates, by job.
    pub allocated: Vec<[Option<u64>; 3]>,
    /// Whether to stop before the next process, with the reason.
    pub stop: &'a dyn Fn() -> Option<String>,
    /// Takes every sample.
    pub keep: &'a mut dyn FnMut(&Row) -> Result<()>,
    /// Kernels that broke.
    pub broken: Vec<Broken>,
}

type Process = Vec<(usize, Vec<Timed>)>;

impl Rounds<'_> {
    /// Rounds until every kernel is decided or the last look is over; `between` is told how far it is. Returns why it was cut short, if it was.
    ///
    /// # Errors
    /// When a process cannot be started, or a sample not be kept.
    pub fn run(
        &mut self,
        judge: &mut Judge,
        between: &mut dyn FnMut(&Judge, usize),
    ) -> Result<Option<String>> {
        let (mut round, mut pairs) = (0, 0);
        while let Some(next) = judge.rule().next_look(pairs) {
            for _ in pairs..next {
                let open = judge.open();
                if open.is_empty() {
                    return Ok(None);
                }
                match self.round(round, &open)? {
                    Ok(levels) => judge.add(&levels),
                    Err(reason) => return Ok(Some(reason)),
                }
                round += 1;
                self.broken.iter().for_each(|broken| judge.give_up(broken.job));
            }
            pairs = next;
            judge.look();
            between(judge, round);
        }
        Ok(None)
    }

    /// One process of each arm on the open jobs; `Err` within is the reason to stop.
    fn round(
        &mut self,
        round: usize,
        open: &[usize],
    ) -> Result<Result<Vec<(usize, Levels)>, String>> {
        let mut order = Arm::ALL;
        let mut jobs = open.to_vec();
        self.shuffle(&mut order);
        self.shuffle(&mut jobs);
        let mut levels = vec![[None; 3]; self.jobs.len()];
        for (position, arm) in order.into_iter().enumerate() {
            if let Some(reason) = (self.stop)() {
                return Ok(Err(reason));
            }
            let process = self.process(arm, &jobs)?;
            for (job, samples) in process {
                self.keep_all(round, position, arm, job, &samples)?;
                let threads = self.jobs[job].case.threads;
                levels[job][arm as usize] = level(&samples, threads);
            }
        }
        let whole = |&job: &usize| match levels[job] {
            [Some(base), Some(head), Some(twin)] => Some((job, Levels { base, head, twin })),
            _ => None,
        };
        Ok(Ok(open.iter().filter_map(whole).collect()))
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.random.below(i + 1));
        }
    }

    fn process(&mut self, arm: Arm, jobs: &[usize]) -> Result<Process> {
        let mut spawn = self.spawns[arm as usize].clone();
        let padding = "x".repeat(self.random.below(4096));
        spawn.env.push((PADDING.to_owned(), padding));
        let mut client = Client::start(&spawn)?;
        let ready: Vec<usize> =
            jobs.iter().copied().filter(|&job| self.prepare(&mut client, arm, job)).collect();
        let mut samples: Process = ready.iter().map(|&job| (job, Vec::new())).collect();
        let turn = self.effort.samples.div_ceil(self.effort.sweeps);
        for sweep in 0..self.effort.sweeps {
            for i in 0..samples.len() {
                // There and back, so that no kernel always follows the same one.
                let at = if sweep % 2 == 0 { i } else { samples.len() - 1 - i };
                let job = samples[at].0;
                if !self.broken.iter().any(|broken| broken.job == job) {
                    samples[at].1.extend(self.sample(&mut client, arm, job, turn));
                }
            }
        }
        // The end of a process frees what it holds.
        samples.retain(|(job, _)| !self.broken.iter().any(|broken| broken.job == *job));
        Ok(samples)
    }

    fn breaks(&mut self, job: usize, arm: Arm, reason: String) {
        if !self.broken.iter().any(|broken| broken.job == job) {
            self.broken.push(Broken { job, arm, reason });
        }
    }

    fn prepare(&mut self, client: &mut Client, arm: Arm, job: usize) -> bool {
        if self.broken.iter().any(|broken| broken.job == job) {
            return false;
        }
        let Job { kernel, case } = &self.jobs[job];
        let request = Request::Prepare {
            handle: job as u64 + 1,
            kernel: kernel.clone(),
            case: Box::new(*case),
            seed: self.seed,
            // Each build answers for itself: a file of answers is of one build's format.
            expected: None,
            exchange: None,
        };
        let reason = match client.ask(&request, PREPARE_LIMIT) {
            Ok(Reply::Prepared { launch_ns, allocated, .. }) => {
                let wanted = (self.effort.slice.0 / launch_ns).ceil().clamp(1.0, 1e9) as u64;
                self.iterations[job].get_or_insert(wanted);
                self.allocated[job][arm as usize] = Some(allocated);
                return true;
            }
            Ok(Reply::Wrong { reason, .. }) => format!("wrong: {reason}"),
            Ok(Reply::Refused { reason }) => format!("refused: {reason}"),
            Ok(Reply::Failed { reason }) => format!("failed: {reason}"),
            Ok(other) => format!("answered out of turn: {other:?}"),
            Err(error) => format!("failed: {error}"),
        };
        self.breaks(job, arm, reason);
        false
    }

    fn sample(&mut self, client: &mut Client, arm: Arm, job: usize, count: usize) -> Vec<Timed> {
        let iterations = self.iterations[job].unwrap_or(1);
        let request = Request::Sample { handle: job as u64 + 1, iterations, count };
        let reason = match client.ask(&request, Duration::from_secs(60)) {
            Ok(Reply::Samples(visit)) => return visit.samples,
            Ok(Reply::Failed { reason }) => format!("failed: {reason}"),
            Ok(other) => format!("answered a request for samples with {other:?}"),
            Err(error) => format!("failed: {error}"),
        };
        self.breaks(job, arm, reason);
        Vec::new()
    }

    fn keep_all(
        &mut self,
        round: usize,
        position: usize,
        arm: Arm,
        job: usize,
        samples: &[Timed],
    ) -> Result<()> {
        let Job { kernel, case } = &self.jobs[job];
        let case_key = case.key();
        for (index, timed) in samples.iter().enumerate() {
            let &Timed { wall_ns, cpu_ns, run_queue_ns, iterations, core_share, .. } = timed;
            let case_key = case_key.clone();
            (self.keep)(&Row {
                round,
                position,
                arm,
                kernel,
                case_key,
                index,
                wall_ns,
                cpu_ns,
                run_queue_ns,
                iterations,
                core_share,
            })?;
        }
        Ok(())
    }
}

/// The level of a process on a kernel of `threads` threads: the lower twentieth of its samples' times of a launch, those left out whose threads
/// waited or shared their core where at least half did not. Whatever else happens on a machine only adds time.
///
/// Of one thread it is CPU time, to which others that run add the least: with six builds on two cores it differed by 3 % from
/// process to process where wall time did by 30 %. Threads that wait for each other spin, so of several it is wall time.
pub fn level(samples: &[Timed], threads: usize) -> Option<f64> {
    let has_cpu = threads == 1 && samples.iter().all(|timed| timed.cpu_ns.is_some_and(|ns| ns > 0));
    let time = |timed: &Timed| match timed.cpu_ns {
        Some(cpu) if has_cpu => cpu as f64 / timed.iterations as f64,
        _ => timed.launch_ns(),
    };
    let times = |clean: bool| {
        let kept = samples.iter().filter(|timed| !clean || !timed.is_contaminated());
        kept.map(time).collect::<Vec<f64>>()
    };
    let clean = times(true);
    let mut used = if clean.len() * 2 >= samples.len() { clean } else { times(false) };
    used.sort_by(f64::total_cmp);
    order::quantile(&used, 0.05)
}

/// A worker of `program` with an environment of its own.
pub fn spawn(program: PathBuf, provider: &str, environment: Vec<(String, String)>) -> Spawn {
    Spawn::scalemark(program, provider, environment)
}

/// The kernels that a build has.
///
/// # Errors
/// When it cannot be started, or speaks another protocol.
pub fn introduce(spawn: &Spawn) -> Result<(String, Vec<String>)> {
    let client = Client::start(spawn)?;
    let hello = client.hello();
    if hello.program != env!("CARGO_PKG_NAME") {
        let program = spawn.program.display();
        return Err(Error::Usage(format!("{program} is {}, not scalemark", hello.program)));
    }
    Ok((hello.version.clone(), hello.kernels.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_of_clean_samples_where_there_are_enough() {
        let timed = |wall_ns, core_share| Timed {
            wall_ns,
            cpu_ns: Some(wall_ns / 2),
            iterations: 10,
            core_share: Some(core_share),
            ..Timed::default()
        };
        let samples = [timed(1000, 1.0), timed(1100, 1.0), timed(900, 0.5)];
        assert_eq!(level(&samples, 2), Some(100.5));
        assert_eq!(level(&samples, 1), Some(50.25), "of one thread it is CPU time");
        let shared = [timed(1000, 0.5), timed(1100, 0.5), timed(900, 1.0)];
        assert_eq!(level(&shared, 2), Some(91.0));
        assert_eq!(level(&[], 1), None);
        let mut blind = samples;
        blind[1].cpu_ns = None;
        assert_eq!(level(&blind, 1), Some(100.5), "where one lacks it, none uses it");
    }
}
