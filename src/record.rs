//! The outcome of one kernel on one case on one device, and its row in `records.csv`.
//!
//! Facts are stored; rates are derived from them. The columns, their units and meaning stand in `results/README.md`, which
//! a test holds to this file.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use crate::ops::Case;
use crate::throttle::Throttle;
use crate::units::{ByteRate, Bytes, FlopRate, Nanos};

/// Words that many records have in common, held once.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(Arc<str>);

impl Text {
    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl From<&str> for Text {
    fn from(words: &str) -> Text {
        Text(words.into())
    }
}

impl From<String> for Text {
    fn from(words: String) -> Text {
        Text(words.into())
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<Text> for &str {
    fn eq(&self, other: &Text) -> bool {
        **self == *other.0
    }
}

impl PartialEq<Text> for String {
    fn eq(&self, other: &Text) -> bool {
        **self == *other.0
    }
}

/// Words that were met before, so that each is held once.
#[derive(Debug, Default)]
pub struct Words(HashSet<Text, RandomState>);

impl Words {
    /// These words, held with those that are like them.
    pub fn share(&mut self, words: &str) -> Text {
        if let Some(known) = self.0.get(words) {
            return known.clone();
        }
        let new = Text::from(words);
        self.0.insert(new.clone());
        new
    }
}

/// What came of it, with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Right answer, timed.
    Measured(Timing),
    /// Right answer on the simulator, without a time; its counters are what it is for.
    Simulated,
    /// The answer deviates by more than the tolerance, or is not a number.
    Wrong(Text),
    /// The kernel or the planner declined, with a reason.
    Refused(Text),
    /// It crashed, hung or broke.
    Failed(Text),
}

impl Outcome {
    /// `measured`, `simulated`, `wrong`, `refused` or `failed`.
    pub fn status(&self) -> &'static str {
        match self {
            Outcome::Measured(_) => "measured",
            Outcome::Simulated => "simulated",
            Outcome::Wrong(_) => "wrong",
            Outcome::Refused(_) => "refused",
            Outcome::Failed(_) => "failed",
        }
    }

    /// The reason, where there is one.
    pub fn detail(&self) -> &str {
        match self {
            Outcome::Measured(timing) => &timing.note,
            Outcome::Simulated => "",
            Outcome::Wrong(reason) | Outcome::Refused(reason) | Outcome::Failed(reason) => reason,
        }
    }
}

/// Why sampling ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopReason {
    /// The interval is as narrow as was asked for.
    Precision,
    /// The time or process budget ran out first.
    Budget,
    /// The user interrupted.
    Interrupted,
}

impl StopReason {
    /// `precision`, `budget` or `interrupted`.
    pub fn name(self) -> &'static str {
        match self {
            StopReason::Precision => "precision",
            StopReason::Budget => "budget",
            StopReason::Interrupted => "interrupted",
        }
    }
}

/// The times of one launch, from samples of several processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Worker processes that contributed.
    pub processes: usize,
    /// Samples, all processes together.
    pub samples: usize,
    /// Why sampling ended.
    pub stop: StopReason,
    /// The typical time of a launch: geometric mean over processes of the median of the faster half of each process's
    /// samples (what else happens on a machine only ever adds time).
    pub median: Nanos,
    /// Lower end of the 95 % interval of `median`.
    pub low: Nanos,
    /// Upper end of the 95 % interval of `median`.
    pub high: Nanos,
    /// Fastest sample.
    pub min: Nanos,
    /// 95th percentile of samples.
    pub p95: Nanos,
    /// 99th percentile of samples.
    pub p99: Nanos,
    /// A remark on these numbers (above the measured peak, contaminated samples), or empty.
    pub note: Text,
}

impl Timing {
    /// Half the interval's width relative to the median.
    pub fn relative_half_width(&self) -> f64 {
        (self.high.0 - self.low.0) / 2.0 / self.median.0
    }
}

/// How far the answer was checked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Every entry (`full`) or seeded random ones (`sampled`).
    pub full: bool,
    /// Largest scaled error; NaN where the answer holds one (as JSON: null).
    #[serde(deserialize_with = "nan_if_null")]
    pub deviation: f64,
    /// Largest accepted one.
    pub tolerance: f64,
}

/// JSON has no NaN: serde writes null, and this reads it back.
fn nan_if_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The outcome of one kernel on one case on one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Unique in its run: the number of the record, from 1.
    pub record_id: u64,
    /// What was computed.
    pub case: Case,
    /// `family/name`.
    pub kernel: Text,
    /// `own`, or a library's name.
    pub provider: Text,
    /// `cpu`, `sim`, or a GPU as `cuda:0`.
    pub device: Text,
    /// The models that the case stands for, as `model:part` joined by `;`; empty for sizes given by hand or in a sweep.
    pub model: Text,
    /// Where the threads were while it ran (`one-core`, `same-chiplet`, `two-chiplets`, `one-core-smt`), where known.
    pub placement: Option<Text>,
    /// What came of it.
    pub outcome: Outcome,
    /// The check of its answer, where it got that far.
    pub check: Option<Check>,
    /// Buffers of one set and workspace, where it got that far.
    pub allocated: Option<Bytes>,
    /// Largest resident set of the worker process while it ran.
    pub peak_resident: Option<Bytes>,
    /// The machine's measured arithmetic peak at this dtype and thread count.
    pub peak_flops: Option<FlopRate>,
    /// The machine's measured bandwidth for this access pattern and thread count, beyond the caches.
    pub peak_bytes: Option<ByteRate>,
    /// Hash of the kernel's source (device code) or of the build (CPU code).
    pub source_hash: Text,
}

impl Record {
    /// The timing, if it was measured.
    pub fn timing(&self) -> Option<&Timing> {
        match &self.outcome {
            Outcome::Measured(timing) => Some(timing),
            _ => None,
        }
    }

    /// Arithmetic rate, if it was measured.
    pub fn flop_rate(&self) -> Option<FlopRate> {
        self.timing().map(|t| self.case.cost().flops / t.median)
    }

    /// Least-traffic rate, if it was measured.
    pub fn byte_rate(&self) -> Option<ByteRate> {
        self.timing().map(|t| self.case.cost().bytes / t.median)
    }

    /// What a probe of the machine was seen to reach: its rates in its fastest sample. A disturbance only ever takes from a
    /// probe, and a roof that was measured too low lets everything else look too good.
    pub fn reached(&self) -> Option<(FlopRate, ByteRate)> {
        let cost = self.case.cost();
        self.timing().map(|t| (cost.flops / t.min, cost.bytes / t.min))
    }

    /// The time that the nearer of the two roofs allows over the time taken: 1 is the machine's limit.
    pub fn share_of_peak(&self) -> Option<f64> {
        let cost = self.case.cost();
        let arithmetic = self.peak_flops.map(|rate| cost.flops / rate);
        let memory = self.peak_bytes.map(|rate| cost.bytes / rate);
        let floor = match (arithmetic, memory) {
            (Some(a), Some(b)) => a.0.max(b.0),
            (Some(one), None) | (None, Some(one)) => one.0,
            (None, None) => return None,
        };
        self.timing().map(|t| floor / t.median.0)
    }
}

/// One timed batch of launches in one worker process: a row of `samples.csv.gz`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The record that it belongs to.
    pub record_id: u64,
    /// The worker process, from 0.
    pub process: usize,
    /// The sample's number in that process, from 0.
    pub index: usize,
    /// Wall time of the batch.
    pub wall_ns: u64,
    /// CPU time of all threads during the batch, where the system says.
    pub cpu_ns: Option<u64>,
    /// Time that threads waited in a run queue during the batch, where the system says; more than 0 is contamination.
    pub run_queue_ns: Option<u64>,
    /// Launches in the batch.
    pub iterations: u64,
    /// The share of its core that the measuring thread had to itself, the less of just before and just after the batch;
    /// `None` where it was not probed. Runs of schema version 1 lack it.
    #[serde(default)]
    pub core_share: Option<f64>,
    /// Clock of a GPU's multiprocessors right behind the sample. Runs before schema version 3 lack this and what follows.
    #[serde(default)]
    pub sm_mhz: Option<f64>,
    /// Power of the GPU.
    #[serde(default)]
    pub power_mw: Option<u64>,
    /// Temperature of the GPU.
    #[serde(default)]
    pub temperature_c: Option<u32>,
    /// What held the GPU's clock down.
    #[serde(default)]
    pub throttle: Option<Throttle>,
}

/// A named number that belongs to a record: a row of `counters.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    /// The record that it belongs to.
    pub record_id: u64,
    /// Its name, with the unit as a suffix.
    pub name: Text,
    /// Its value.
    pub value: f64,
}
