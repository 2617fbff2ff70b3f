//! Results on disk, across the public interface: what is written reads back, what is damaged is one clear error, what
//! was interrupted goes on.

mod crash;
mod damage;
mod readme;
mod round_trip;
mod strategy;

use std::path::{Path, PathBuf};

use scalemark::ops::{Attention, Case, Matmul, Precision, Problem, Rule, Update};
use scalemark::record::{Check, Counter, Outcome, Record, StopReason, Timing};
use scalemark::store::{Run, RunWriter};
use scalemark::units::{Bytes, Nanos};
use serde_json::{Value, json};
use strategy::{Entry, samples_of};

fn machine() -> Value {
    json!({ "cpu": "a processor", "cores": 2 })
}

/// A measured record of `case`, with twelve samples of three processes and two counters.
fn measured(record_id: u64, case: Case) -> Entry {
    let median = 1234.5 * record_id as f64;
    let timing = Timing {
        processes: 3,
        samples: 12,
        stop: StopReason::Precision,
        median: Nanos(median),
        low: Nanos(median * 0.99),
        high: Nanos(median * 1.01),
        min: Nanos(median * 0.95),
        p95: Nanos(median * 1.1),
        p99: Nanos(median * 1.2),
        note: "".into(),
    };
    let record = Record {
        record_id,
        case,
        kernel: format!("{}/simd", case.problem.family().name()).into(),
        provider: "own".into(),
        device: "cpu".into(),
        model: "bert-base:qkv;bert-base:out".into(),
        placement: None,
        outcome: Outcome::Measured(timing),
        check: Some(Check { full: true, deviation: 3.25e-7, tolerance: 1e-6 }),
        allocated: Some(Bytes(4096)),
        peak_resident: None,
        peak_flops: None,
        peak_bytes: None,
        source_hash: "1f0c9ab".into(),
    };
    let counter = |name: &str, value| Counter { record_id, name: name.into(), value };
    let counters = vec![counter("frequency_mhz", 4012.5), counter("load", 0.25)];
    Entry { samples: samples_of(&record, record_id), record, counters }
}

/// Four records: three measured ones of three families, one refused with an awkward reason.
fn four() -> Vec<Entry> {
    let product = Case::new(Problem::Matmul(Matmul::new(512, 768, 256)), Precision::F32);
    let attention = Problem::Attention(Attention::new(12, 128, 64, true));
    let attention = Case::new(attention, Precision::BF16);
    let step = Problem::Update(Update { rule: Rule::Adamw, params: 1_000_000 });
    let step = Case::new(step, Precision::F32.with_state(scalemark::ops::DType::F32));
    let mut refused = measured(4, Case { threads: 2, ..product });
    refused.record.outcome = Outcome::Refused("needs 3 GiB, \"too much\",\nhere".into());
    refused.record.check = None;
    refused.samples.clear();
    vec![measured(1, product), measured(2, attention), measured(3, step), refused]
}

/// Writes a run and leaves it unfinished.
fn write(folder: &Path, entries: &[Entry]) -> RunWriter {
    let mut writer = RunWriter::create_at(folder, &machine()).unwrap();
    for entry in entries {
        writer.append(&entry.record, &entry.samples, &entry.counters).unwrap();
    }
    writer
}

/// A run of four records in a temporary folder, finished or not.
fn run_of_four(finished: bool) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let writer = write(&folder, &four());
    if finished {
        writer.finish().unwrap();
    }
    (dir, folder)
}

/// All that a run holds, as text in which NaN equals NaN and every digit of a number counts.
fn contents(run: &Run) -> String {
    format!("{:#?}\n{:#?}\n{:#?}", run.records, run.counters, run.samples().unwrap())
}

fn contents_of(entries: &[Entry]) -> String {
    let records: Vec<_> = entries.iter().map(|e| &e.record).collect();
    let counters: Vec<_> = entries.iter().flat_map(|e| &e.counters).collect();
    let samples: Vec<_> = entries.iter().flat_map(|e| &e.samples).collect();
    format!("{records:#?}\n{counters:#?}\n{samples:#?}")
}
