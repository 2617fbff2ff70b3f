//! The messages between a run and its workers: one JSON object a line, requests down standard input, replies up standard
//! output, strictly in turn.
//!
//! The protocol is versioned: a worker is started with the version that is asked of it, and says in its [`Hello`] which it
//! speaks, so that a newer binary can drive an older one. Fields may be added within a version; readers ignore what they
//! do not know. `workers/README.md` describes it for authors of other workers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::device::cuda::nvml::Reading;
use crate::measure::gpu::Calibration;
use crate::ops::{Case, DType, Hyper, Role};
use crate::record::Check;

/// The version that this build speaks.
pub const VERSION: u32 = 1;

/// What a worker says first, unasked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The version of the protocol that it speaks.
    pub protocol: u32,
    /// The program.
    pub program: String,
    /// Its version.
    pub version: String,
    /// The provider whose kernels it holds.
    pub provider: String,
    /// The names of those kernels.
    pub kernels: Vec<String>,
    /// Where its launches run: `cpu`, or a GPU as `cuda:0`. One that does not say so, as none did once, runs on the CPU.
    #[serde(default = "on_cpu")]
    pub device: String,
    /// Facts about libraries that it drives: name → version, core type, path's last component.
    #[serde(default)]
    pub libraries: BTreeMap<String, String>,
}

fn on_cpu() -> String {
    "cpu".into()
}

/// What a run asks of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Request {
    /// Make a kernel ready for a case, launch it once, check the answer, and time a launch roughly.
    Prepare {
        /// How later requests name it; unique in this worker until released.
        handle: u64,
        /// Which kernel.
        kernel: String,
        /// What to compute.
        case: Box<Case>,
        /// The seed of the operands.
        seed: u64,
        /// A file with the expected answer (native format of the same binary); absent: compute it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<String>,
        /// Where operands and results lie, for a program that is no build of scalemark; it answers [`Reply::Ready`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exchange: Option<Box<Exchange>>,
    },
    /// Take `count` samples of `iterations` launches each.
    Sample {
        /// Which prepared kernel.
        handle: u64,
        /// Launches in a sample.
        iterations: u64,
        /// Samples to take.
        count: usize,
    },
    /// Free a prepared kernel.
    Release {
        /// Which one.
        handle: u64,
    },
    /// Measure what measuring itself comes to: of a worker that has a GPU.
    Calibrate,
    /// End.
    Exit,
}

/// How an external program gets operands and hands over results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// The operands, to be read.
    pub operands: Shared,
    /// What the first launch must leave, to be written: results and operands updated in place. They start as NaN.
    pub results: Shared,
    /// Buffer sets that launches are to rotate through, so that caches are as the case says.
    pub slots: usize,
    /// The constants of an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hyper: Option<Hyper>,
}

/// Tensors in one file, in memory where the system has such a place; native byte order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shared {
    /// The file.
    pub path: String,
    /// What is where in it.
    pub tensors: Vec<Placed>,
}

/// A tensor, dense and row-major, in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// What it is to its op.
    pub role: Role,
    /// Its number format.
    pub dtype: DType,
    /// Its sizes, outermost first.
    pub shape: Vec<usize>,
    /// Whether launches update it in place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_out: bool,
    /// Where it starts, in bytes; a multiple of 64.
    #[serde(default)]
    pub offset: u64,
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Reply {
    /// The first line.
    Hello(Hello),
    /// The kernel is ready and its answer right.
    Prepared {
        /// How far its answer was checked.
        check: Check,
        /// A rough time of one launch, in nanoseconds.
        launch_ns: f64,
        /// Bytes of one set of buffers and workspace.
        allocated: u64,
        /// Buffer sets that launches rotate through.
        slots: usize,
        /// Named numbers about preparation.
        #[serde(default)]
        counters: BTreeMap<String, f64>,
        /// Launches that a sample can have at most, where the worker sets a limit: 1 where each is behind a flush of the cache.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most_iterations: Option<u64>,
        /// How a library was driven for this very case, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driven: Option<String>,
    },
    /// The kernel of an external program is ready, and the results of its first launch lie where they were asked for: the
    /// run checks them.
    Ready {
        /// A rough time of one launch, in nanoseconds.
        launch_ns: f64,
        /// Bytes of one set of buffers and workspace; 0 where the program cannot tell.
        #[serde(default)]
        allocated: u64,
        /// Buffer sets that launches rotate through.
        slots: usize,
        /// What was written, as the program sees it: anything but what was asked for is wrong.
        results: Vec<Placed>,
        /// Named numbers about preparation.
        #[serde(default)]
        counters: BTreeMap<String, f64>,
        /// As in [`Reply::Prepared`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most_iterations: Option<u64>,
        /// As in [`Reply::Prepared`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driven: Option<String>,
    },
    /// The answer is wrong.
    Wrong {
        /// What is wrong.
        reason: String,
        /// How far it was checked; absent when it could not be.
        check: Option<Check>,
    },
    /// The kernel declines the case.
    Refused {
        /// Why.
        reason: String,
    },
    /// The kernel broke, but the worker lives.
    Failed {
        /// How.
        reason: String,
    },
    /// What was asked by [`Request::Calibrate`].
    Calibrated(Box<Calibration>),
    /// What was asked by [`Request::Sample`].
    Samples(Visit),
    /// The kernel is gone.
    Released {
        /// Largest resident set of the process since the kernel was prepared, where the system says.
        peak_resident: Option<u64>,
    },
}

/// The samples of one [`Request::Sample`], with what was noticed around them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Visit {
    /// One for each sample, in order.
    pub samples: Vec<Timed>,
    /// The rate of a burst of FMA on the same thread just before, in operations per second: tracks the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<f64>,
    /// Allocations inside the clock; more than 0 is a fault of the kernel.
    #[serde(default)]
    pub allocations: u64,
    /// Times that the system took a thread off its CPU against its will.
    #[serde(default)]
    pub involuntary_switches: u64,
    /// Energy of a launch in millijoules, where it was measured over a window of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_mj: Option<f64>,
    /// Why it was not, where it should have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_refused: Option<String>,
}

/// From this share of a core on it counts as the measuring thread's own: a neighbour on the core takes about half of it, the
/// clock's drift a twentieth.
pub const OWN: f64 = 0.8;

/// One timed batch of launches.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Timed {
    /// Wall time of the batch.
    pub wall_ns: u64,
    /// CPU time of all threads of the process.
    pub cpu_ns: Option<u64>,
    /// Time that its threads waited in run queues.
    pub run_queue_ns: Option<u64>,
    /// Launches in it.
    pub iterations: u64,
    /// The share of its core that the measuring thread had to itself: see [`crate::device::core_share`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_share: Option<f64>,
    /// What the GPU told of itself right behind the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Reading>,
}

impl Timed {
    /// Wall time of one launch.
    pub fn launch_ns(&self) -> f64 {
        self.wall_ns as f64 / self.iterations as f64
    }

    /// Whether threads waited for a CPU for more than 1 % of the batch, where the system says.
    pub fn waited(&self) -> bool {
        self.run_queue_ns.is_some_and(|wait| wait * 100 > self.wall_ns)
    }

    /// Whether something held the GPU's clock down that nobody chose, where it tells.
    pub fn is_slowed(&self) -> bool {
        self.gpu.and_then(|gpu| gpu.throttle).is_some_and(|throttle| throttle.is_slowed())
    }

    /// Whether threads waited, or something else ran on the measuring thread's core, where that can be told.
    pub fn is_contaminated(&self) -> bool {
        self.waited() || self.core_share.is_some_and(|share| share < OWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Matmul, Precision, Problem};

    #[test]
    fn requests_and_replies_read_back_as_written() {
        let case = Case::new(Problem::Matmul(Matmul::new(3, 5, 7)), Precision::BF16);
        let request = Request::Prepare {
            handle: 1,
            kernel: "matmul/simd".into(),
            case: Box::new(case),
            seed: 9,
            expected: None,
            exchange: None,
        };
        let line = serde_json::to_string(&request).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        let timed = Timed { wall_ns: 10, run_queue_ns: Some(0), iterations: 2, ..Timed::default() };
        let reply = Reply::Samples(Visit { samples: vec![timed], ..Visit::default() });
        assert_eq!(
            serde_json::from_str::<Reply>(&serde_json::to_string(&reply).unwrap()).unwrap(),
            reply
        );
    }

    #[test]
    fn unknown_fields_of_a_newer_worker_are_ignored() {
        let line = r#"{"is":"released","peak_resident":5,"mood":"good"}"#;
        assert_eq!(
            serde_json::from_str::<Reply>(line).unwrap(),
            Reply::Released { peak_resident: Some(5) }
        );
    }

    #[test]
    fn a_sample_that_waited_in_a_run_queue_is_contaminated() {
        let timed = |wait| Timed { wall_ns: 1000, run_queue_ns: wait, ..Timed::default() };
        assert!(!timed(None).is_contaminated());
        assert!(!timed(Some(10)).is_contaminated());
        assert!(timed(Some(11)).is_contaminated());
        let shared = |share| Timed { core_share: share, ..timed(Some(0)) };
        assert!(!shared(None).is_contaminated() && !shared(Some(0.95)).is_contaminated());
        assert!(shared(Some(0.5)).is_contaminated());
    }
}
