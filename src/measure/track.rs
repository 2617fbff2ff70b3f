//! What a session knows of one job while it is measured, and the finding that this becomes.

use std::collections::BTreeMap;

use super::session::{Finding, Job};
use crate::record::{Check, Outcome, StopReason, Timing};
use crate::stats::order;
use crate::stats::stopping::Stopping;
use crate::throttle::Throttle;
use crate::units::{Bytes, Nanos};
use crate::worker::protocol::Timed;

/// Bootstrap resamples behind an interval.
pub(super) const RESAMPLES: usize = 400;
/// Seed of the resampling: the same samples give the same interval.
pub(super) const SEED: u64 = 1;

/// A job while it is measured.
pub(super) struct Track<'a> {
    pub job: &'a Job,
    pub check: Option<Check>,
    pub allocated: Option<Bytes>,
    pub peak_resident: Option<Bytes>,
    pub samples: Vec<Vec<Timed>>,
    pub anchors: Vec<f64>,
    pub allocations: u64,
    pub involuntary_switches: u64,
    pub counters: BTreeMap<String, f64>,
    /// How its library was driven, and in how many processes.
    pub driven: BTreeMap<String, usize>,
    pub spent: f64,
    pub launch_ns: f64,
    pub slots: usize,
    /// Launches that a sample can have.
    pub most_iterations: u64,
    /// Energy of a launch, in millijoules, by process.
    pub energies: Vec<f64>,
    /// Why there is none.
    pub energy_refused: Option<String>,
    /// Whether samples of a GPU that was slowed down are left out.
    pub exclude_throttled: bool,
    /// Prepared in the current process.
    pub ready: bool,
    /// Decided before or without a timing.
    pub ended: Option<Outcome>,
    pub stop: Option<StopReason>,
}

impl<'a> Track<'a> {
    pub fn new(job: &'a Job) -> Self {
        Track {
            job,
            check: None,
            allocated: None,
            peak_resident: None,
            samples: Vec::new(),
            anchors: Vec::new(),
            allocations: 0,
            involuntary_switches: 0,
            counters: BTreeMap::new(),
            driven: BTreeMap::new(),
            spent: 0.0,
            launch_ns: 1.0,
            slots: 1,
            most_iterations: u64::MAX,
            energies: Vec::new(),
            energy_refused: None,
            exclude_throttled: false,
            ready: false,
            ended: None,
            stop: None,
        }
    }

    pub fn is_open(&self) -> bool {
        self.ended.is_none() && self.stop.is_none()
    }

    /// Whether it was prepared in this process, even if that process has died since.
    pub fn has_begun(&self, process: usize) -> bool {
        self.samples.len() > process
    }

    pub fn fail(&mut self, error: crate::Error) {
        self.ended = Some(Outcome::Failed(error.to_string().into()));
    }

    /// Times of a launch by process. Samples that waited in a run queue or shared their core are left out where at least half of
    /// the process's samples did not; all of them are kept in the files. So are, where that was asked for, samples while a GPU was
    /// slowed down.
    pub fn clean(&self) -> Vec<Vec<f64>> {
        let clean = |samples: &Vec<Timed>| {
            let good: Vec<f64> =
                samples.iter().filter(|s| !self.leaves_out(s)).map(Timed::launch_ns).collect();
            let all = || samples.iter().map(Timed::launch_ns).collect();
            if good.len() * 2 >= samples.len() { good } else { all() }
        };
        self.samples.iter().filter(|s| !s.is_empty()).map(clean).collect()
    }

    fn leaves_out(&self, sample: &Timed) -> bool {
        sample.is_contaminated() || (self.exclude_throttled && sample.is_slowed())
    }

    /// What held a GPU's clock down during how many samples, and what became of these; nothing where nothing did.
    fn slowed(&self, left_out: usize) -> Option<String> {
        let all = self.samples.iter().map(Vec::len).sum::<usize>();
        let slowed = self.samples.iter().flatten().filter(|s| s.is_slowed());
        let reasons = slowed.clone().filter_map(|s| s.gpu?.throttle);
        let reasons = Throttle(reasons.fold(0, |all, one| all | one.0));
        let count = slowed.count();
        let fate = match (self.exclude_throttled, left_out) {
            _ if count == 0 => return None,
            (false, _) => "",
            (true, 0) => ", which were too many to leave out",
            (true, _) => ", which were left out",
        };
        Some(format!("{count} of {all} samples while the GPU was slowed down ({reasons}){fate}"))
    }

    /// How its library was driven: in words, with the number of processes where they did not all choose alike.
    fn driven(&self) -> Vec<String> {
        let one = |(driven, processes): (&String, &usize)| match self.driven.len() {
            1 => driven.clone(),
            _ if *processes == 1 => format!("{driven} (in 1 process)"),
            _ => format!("{driven} (in {processes} processes)"),
        };
        self.driven.iter().map(one).collect()
    }

    pub fn timing(&self, rule: &Stopping) -> Option<Timing> {
        let processes = self.clean();
        let level = rule.interval(&faster_halves(&processes), RESAMPLES, SEED)?;
        let mut all: Vec<f64> = processes.iter().flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        let samples = self.samples.iter().map(Vec::len).sum::<usize>();
        let clean = all.len();
        let mut notes = Vec::new();
        let slowed = self.slowed(samples - clean);
        if clean < samples && slowed.is_none() {
            notes.push(format!(
                "{} of {samples} samples waited for a CPU or shared a core, and were left out",
                samples - clean
            ));
        }
        notes.extend(slowed);
        notes.extend(self.energy_refused.as_ref().map(|reason| format!("no energy: {reason}")));
        if self.allocations > 0 {
            notes.push(format!("{} allocations inside the clock", self.allocations));
        }
        notes.extend(self.driven());
        Some(Timing {
            processes: level.processes,
            samples,
            stop: self.stop.unwrap_or(StopReason::Interrupted),
            median: Nanos(level.estimate),
            low: Nanos(level.low),
            high: Nanos(level.high),
            min: Nanos(*all.first()?),
            p95: Nanos(order::quantile(&all, 0.95)?),
            p99: Nanos(order::quantile(&all, 0.99)?),
            note: notes.join("; ").into(),
        })
    }

    pub fn finish(mut self, rule: &Stopping, interrupted: bool) -> Finding {
        if self.ended.is_none() && self.stop.is_none() {
            self.stop =
                Some(if interrupted { StopReason::Interrupted } else { StopReason::Budget });
        }
        let outcome = self.ended.take().or_else(|| self.timing(rule).map(Outcome::Measured));
        let outcome = match outcome {
            None if !interrupted => {
                Some(Outcome::Failed("no sample was taken within the budget".into()))
            }
            other => other,
        };
        let mut counters = std::mem::take(&mut self.counters);
        if let Some(anchor) = order::median(&mut self.anchors.clone()) {
            counters.insert("anchor_flop_per_s".into(), anchor);
        }
        if let Some(energy) = order::median(&mut self.energies.clone()) {
            counters.insert("energy_mj_per_launch".into(), energy);
        }
        if !self.samples.is_empty() {
            counters.insert("allocations_in_clock".into(), self.allocations as f64);
            counters.insert("involuntary_switches".into(), self.involuntary_switches as f64);
            counters.insert("buffer_sets".into(), self.slots as f64);
            counters.insert("measuring_s".into(), self.spent / 1e9);
        }
        Finding {
            outcome,
            check: self.check,
            allocated: self.allocated,
            peak_resident: self.peak_resident,
            samples: self.samples,
            counters,
        }
    }
}

/// The faster half of each process's samples, which its level is the median of.
///
/// What else happens on a shared machine (a neighbour on the same core or memory, an interrupt) only ever adds time, and
/// comes in bursts of many samples: on a virtual machine the median of a process moved by 20 % where its lower quartile stayed
/// within 2 %.
pub(super) fn faster_halves(processes: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let half = |samples: &Vec<f64>| {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        // A single process (an interrupted run) has its samples alone to tell an interval from.
        let keep = if processes.len() > 1 { samples.len().div_ceil(2) } else { samples.len() };
        sorted.truncate(keep);
        sorted
    };
    processes.iter().map(half).collect()
}

/// The check with the larger deviation; NaN counts as largest.
pub(super) fn worse(a: Option<Check>, b: Check) -> Check {
    match a {
        Some(a) if !(a.deviation <= b.deviation) => a,
        _ => b,
    }
}
