//! Run folders of made-up builds.

use std::path::Path;

use scalemark::ops::{Case, Matmul, Precision, Problem};
use scalemark::record::{Check, Outcome, Record, Sample, StopReason, Timing};
use scalemark::stats::random::Random;
use scalemark::store::RunWriter;
use scalemark::units::{Bytes, Nanos};
use serde_json::{Value, json};

const MACHINE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/results/runs/20261124T071541Z-xeon-sapphirerapids-d441142aea/machine.json"
);

/// What differs from run to run.
pub struct Run<'a> {
    /// The folder is this with the number behind it.
    pub name: &'a str,
    /// The number of its commit and hour.
    pub at: u32,
    /// Nanoseconds of a launch.
    pub time: f64,
    /// The processor.
    pub model_name: &'a str,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Run { name: "run", at: 0, time: 1000.0, model_name: "A Processor" }
    }
}

/// The name of commit `i`.
pub fn commit(i: u32) -> String {
    format!("{:010x}", 0xc0_0000_0000u64 + u64::from(i))
}

/// Writes `<name><at>` below `folder`: two kernels in three processes, each with a deviation of its own.
pub fn write(folder: &Path, run: &Run) {
    let mut machine: Value =
        serde_json::from_str(&std::fs::read_to_string(MACHINE).unwrap()).unwrap();
    machine.as_object_mut().unwrap().remove("schema_version");
    machine["started"] = json!(format!("2026-02-{:02}T{:02}:00:00Z", 1 + run.at / 24, run.at % 24));
    machine["hardware"]["model_name"] = json!(run.model_name);
    machine["software"]["git_commit"] = json!(commit(run.at));
    machine["software"]["git_dirty"] = json!(false);
    let place = folder.join(format!("{}{}", run.name, run.at));
    let mut writer = RunWriter::create_at(&place, &machine).unwrap();
    for (kernel, record_id) in [("matmul/simd", 1), ("matmul/blocked", 2)] {
        let case = Case::new(Problem::Matmul(Matmul::new(64, 64, 64)), Precision::F32);
        let at = |factor: f64| Nanos(run.time * factor);
        let timing = Timing {
            processes: 3,
            samples: 12,
            stop: StopReason::Precision,
            median: at(1.0),
            low: at(0.99),
            high: at(1.01),
            min: at(0.98),
            p95: at(1.1),
            p99: at(1.2),
            note: "".into(),
        };
        let record = Record {
            record_id,
            case,
            kernel: kernel.into(),
            provider: "own".into(),
            device: "cpu".into(),
            model: "".into(),
            placement: None,
            outcome: Outcome::Measured(timing),
            check: Some(Check { full: true, deviation: 0.1, tolerance: 1.0 }),
            allocated: Some(Bytes(4096)),
            peak_resident: None,
            peak_flops: None,
            peak_bytes: None,
            source_hash: "0".into(),
        };
        // A deviation of two per mille, other in each run, kernel and process.
        let seed = u64::from(run.at) << 16 | record_id << 8 | run.name.len() as u64;
        let mut random = Random::new(seed);
        let off: Vec<f64> = (0..3).map(|_| 1.0 + 0.002 * random.normal()).collect();
        let sample = |i: usize| Sample {
            record_id,
            process: i / 4,
            index: i % 4,
            wall_ns: (1000.0 * run.time * off[i / 4]) as u64,
            cpu_ns: Some((1000.0 * run.time * off[i / 4]) as u64),
            run_queue_ns: Some(0),
            iterations: 1000,
            core_share: Some(1.0),
            sm_mhz: None,
            power_mw: None,
            temperature_c: None,
            throttle: None,
        };
        let samples: Vec<Sample> = (0..12).map(sample).collect();
        writer.append(&record, &samples, &[]).unwrap();
    }
    writer.finish().unwrap();
}
