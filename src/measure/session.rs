//! One case, all its kernels, several processes: who is measured when, and when it is enough.
//!
//! The process is the unit of replication: the same binary runs at another level in every process. So the loop over
//! processes is the outer one; within a process the kernels of a case take turns in ABBA order, own kernels and baselines
//! alike, so that a drift of the machine meets all of them. After the least number of processes a kernel is settled as soon
//! as its interval is as narrow as was asked for; the others go on with further processes until their budget is spent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::track::{RESAMPLES, SEED, Track, faster_halves, worse};
use crate::ops::Case;
use crate::record::{Check, Outcome, StopReason};
use crate::stats::stopping::{Stop, Stopping};
use crate::units::{Bytes, Nanos};
use crate::worker::protocol::{Reply, Timed, Visit};

/// One kernel on one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// `family/name`.
    pub kernel: String,
    /// Who provides it: jobs of one provider share a worker process.
    pub provider: String,
    /// What it computes.
    pub case: Case,
}

/// When it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// Relative half-width of the 95 % interval.
    pub precision: f64,
    /// Time for one kernel on one case, all processes and preparations together.
    pub budget: Nanos,
    /// Processes before a kernel can be settled.
    pub min_processes: usize,
    /// Processes after which it is given up.
    pub max_processes: usize,
    /// Samples that a process takes at least, unless its share of the budget is spent.
    pub samples: usize,
    /// Aimed length of a sample.
    pub slice: Nanos,
    /// Whether samples while something held a GPU's clock down are left out.
    #[serde(default)]
    pub exclude_throttled: bool,
}

/// The worker processes of a run, as a session sees them. An error means that the process is lost.
pub trait Crew {
    /// Does what is no kernel's work: starts process number `process` where there is none, and lays out operands.
    fn start(&mut self, _process: usize, _job: &Job) {}
    /// Makes a job ready in process number `process`; the answer is checked there.
    fn prepare(&mut self, process: usize, job: &Job) -> crate::Result<Reply>;
    /// Takes samples of a job that was prepared there.
    fn sample(
        &mut self,
        process: usize,
        job: &Job,
        iterations: u64,
        count: usize,
    ) -> crate::Result<Visit>;
    /// Frees a job; the largest resident set since it was prepared, where known.
    fn release(&mut self, process: usize, job: &Job) -> crate::Result<Option<Bytes>>;
}

/// Everything that a session found out about one job.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What came of it; `None` when the user interrupted before anything was measured.
    pub outcome: Option<Outcome>,
    /// The check of its answer, where it got that far.
    pub check: Option<Check>,
    /// Buffers and workspace.
    pub allocated: Option<Bytes>,
    /// Largest resident set of a worker.
    pub peak_resident: Option<Bytes>,
    /// Every sample, by process.
    pub samples: Vec<Vec<Timed>>,
    /// Named numbers, medians over visits.
    pub counters: BTreeMap<String, f64>,
}

impl Goal {
    /// The rule by which processes are added, whose intervals keep what they claim although it looks after each.
    fn stopping(&self) -> Stopping {
        Stopping {
            precision: self.precision,
            min_processes: self.min_processes,
            max_processes: self.max_processes,
        }
    }
}

impl Finding {
    /// Of a kernel that was never started.
    pub fn without_timing(outcome: Outcome) -> Self {
        Finding {
            outcome: Some(outcome),
            check: None,
            allocated: None,
            peak_resident: None,
            samples: Vec::new(),
            counters: BTreeMap::new(),
        }
    }
}

/// Measures `jobs`, all of one case, and returns a finding for each, in order.
///
/// `now` is a monotonic clock in nanoseconds; `interrupted` is asked before every visit.
pub fn measure(
    crew: &mut dyn Crew,
    jobs: &[Job],
    goal: &Goal,
    now: &dyn Fn() -> u64,
    interrupted: &dyn Fn() -> bool,
) -> Vec<Finding> {
    let track = |job| Track { exclude_throttled: goal.exclude_throttled, ..Track::new(job) };
    let mut session =
        Session { crew, goal, now, interrupted, tracks: jobs.iter().map(track).collect() };
    for process in 0..goal.max_processes {
        if !session.tracks.iter().any(Track::is_open) || interrupted() {
            break;
        }
        session.run_process(process);
        session.settle(process + 1);
    }
    let stopped = interrupted();
    session.tracks.into_iter().map(|track| track.finish(&goal.stopping(), stopped)).collect()
}

struct Session<'a> {
    crew: &'a mut dyn Crew,
    goal: &'a Goal,
    now: &'a dyn Fn() -> u64,
    interrupted: &'a dyn Fn() -> bool,
    tracks: Vec<Track<'a>>,
}

impl Session<'_> {
    /// All open jobs in one process: prepare, take turns, release.
    fn run_process(&mut self, process: usize) {
        for i in 0..self.tracks.len() {
            if self.tracks[i].is_open() && !(self.interrupted)() {
                self.prepare(process, i);
            }
        }
        let mut forward = true;
        let mut rounds = 0;
        while !(self.interrupted)() {
            let due: Vec<usize> =
                (0..self.tracks.len()).filter(|&i| self.is_due(process, i, rounds)).collect();
            if due.is_empty() {
                break;
            }
            let order: Box<dyn Iterator<Item = usize>> =
                if forward { Box::new(due.into_iter()) } else { Box::new(due.into_iter().rev()) };
            for i in order {
                if (self.interrupted)() {
                    break;
                }
                self.visit(process, i);
            }
            forward = !forward;
            rounds += 1;
        }
        for i in 0..self.tracks.len() {
            if std::mem::take(&mut self.tracks[i].ready) {
                let released = self.crew.release(process, self.tracks[i].job);
                let track = &mut self.tracks[i];
                match released {
                    Ok(resident) => track.peak_resident = track.peak_resident.max(resident),
                    Err(error) if !(self.interrupted)() => track.fail(error),
                    Err(_) => {}
                }
            }
        }
    }

    /// Whether a job takes part in this round: until a process has its samples or a job's share of the budget is spent. A job
    /// of short launches gets half of its samples in any case: what making ready has cost is not won back by going without.
    fn is_due(&self, process: usize, i: usize, rounds: usize) -> bool {
        const SHORT: f64 = 2e7;
        let track = &self.tracks[i];
        if !track.is_open() || !(track.ready || track.has_begun(process)) {
            return false;
        }
        let taken = track.samples.get(process).map_or(0, Vec::len);
        let share = self.goal.budget.0 * (process + 1) as f64 / self.goal.min_processes as f64;
        let has_time = track.spent < share.min(self.goal.budget.0);
        let wants = if has_time || rounds == 0 {
            self.goal.samples
        } else if track.launch_ns < SHORT {
            self.goal.samples.div_ceil(2)
        } else {
            0
        };
        rounds == 0 || taken < wants || (has_time && rounds < 2)
    }

    fn prepare(&mut self, process: usize, i: usize) {
        self.crew.start(process, self.tracks[i].job);
        let start = (self.now)();
        let reply = self.crew.prepare(process, self.tracks[i].job);
        let spent = (self.now)() - start;
        let track = &mut self.tracks[i];
        track.spent += spent as f64;
        match reply {
            Ok(Reply::Prepared {
                check,
                launch_ns,
                allocated,
                slots,
                counters,
                most_iterations,
                driven,
            }) => {
                track.check = Some(worse(track.check, check));
                track.allocated = Some(Bytes(allocated));
                track.launch_ns = launch_ns;
                track.slots = slots;
                track.most_iterations = most_iterations.unwrap_or(u64::MAX).max(1);
                track.counters.extend(counters);
                if let Some(driven) = driven {
                    *track.driven.entry(driven).or_default() += 1;
                }
                track.ready = true;
                if track.samples.len() <= process {
                    track.samples.resize(process + 1, Vec::new());
                }
            }
            Ok(Reply::Wrong { reason, check }) => {
                track.check = check.or(track.check);
                track.ended = Some(Outcome::Wrong(reason.into()));
            }
            Ok(Reply::Refused { reason }) => track.ended = Some(Outcome::Refused(reason.into())),
            Ok(Reply::Failed { reason }) => track.ended = Some(Outcome::Failed(reason.into())),
            Ok(other) => {
                track.ended = Some(Outcome::Failed(
                    format!("the worker answered out of turn: {other:?}").into(),
                ))
            }
            Err(error) => self.broke(i, error),
        }
    }

    /// One turn of one job: a few samples of about the aimed length.
    fn visit(&mut self, process: usize, i: usize) {
        if !self.tracks[i].ready {
            self.prepare(process, i);
            if !self.tracks[i].ready {
                return;
            }
        }
        let track = &self.tracks[i];
        let iterations = (self.goal.slice.0 / track.launch_ns).ceil().clamp(1.0, 1e9) as u64;
        let iterations = iterations.min(track.most_iterations);
        let sample_ns = track.launch_ns * iterations as f64;
        // A turn of about two slices: many short turns meet more of what the machine goes through than one long one.
        let count = (2.0 * self.goal.slice.0 / sample_ns)
            .round()
            .clamp(1.0, self.goal.samples as f64) as usize;
        let start = (self.now)();
        let visit = self.crew.sample(process, track.job, iterations, count);
        let spent = (self.now)() - start;
        let track = &mut self.tracks[i];
        track.spent += spent as f64;
        match visit {
            Ok(visit) => {
                track.anchors.extend(visit.anchor);
                track.allocations += visit.allocations;
                track.involuntary_switches += visit.involuntary_switches;
                track.energies.extend(visit.energy_mj);
                track.energy_refused = visit.energy_refused.or(track.energy_refused.take());
                track.samples[process].extend(visit.samples);
            }
            Err(error) => self.broke(i, error),
        }
    }

    /// Job `i` lost its process. That fails the job, unless the user is ending the run: then what broke may well be what was
    /// given up, and the samples taken before stand.
    fn broke(&mut self, i: usize, error: crate::Error) {
        if !(self.interrupted)() {
            self.tracks[i].fail(error);
        }
        self.lost(i);
    }

    /// A process died under job `i`: its neighbours in that process must be made ready again, through no fault of theirs.
    fn lost(&mut self, i: usize) {
        let provider = self.tracks[i].job.provider.clone();
        for track in self.tracks.iter_mut().filter(|t| t.job.provider == provider) {
            track.ready = false;
        }
    }

    /// After `processes` processes: which jobs are done, and why.
    fn settle(&mut self, processes: usize) {
        for track in self.tracks.iter_mut().filter(|t| t.is_open()) {
            let rule = self.goal.stopping();
            let level = rule.interval(&faster_halves(&track.clean()), RESAMPLES, SEED);
            let begun = level.as_ref().map_or(0, |level| level.processes);
            // One more process costs about what those so far did on average.
            let next = track.spent / begun.max(1) as f64;
            track.stop = match level.and_then(|level| rule.should_stop(&level)) {
                Some(Stop::Precision) => Some(StopReason::Precision),
                Some(Stop::Exhausted) => Some(StopReason::Budget),
                None if begun >= rule.min_processes && track.spent + next > self.goal.budget.0 => {
                    Some(StopReason::Budget)
                }
                None => (processes == rule.max_processes).then_some(StopReason::Budget),
            };
        }
    }
}

#[cfg(test)]
mod tests;
