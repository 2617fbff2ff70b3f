//! A made-up run on a machine of 100 Gflop/s and 10 GB/s, for tests.

use std::sync::LazyLock;

use serde_json::Value;

use super::source::Source;
use crate::models::table::dense;
use crate::models::{Architecture, Model};
use crate::ops::{Case, Matmul, Precision, Probe, ProbeKind, Problem, Rule, Transpose, Update};
use crate::record::{Outcome, Record, StopReason, Timing};
use crate::units::{Bytes, Nanos};

/// The time of a million parameters.
pub const UPDATE_NS: f64 = 2.8e6;

/// The time of a product of m × 512 × 512 at 80 % of the peak, and what a launch costs.
pub fn matmul_ns(m: f64) -> f64 {
    2.0 * m * 512.0 * 512.0 / 100.0 / 0.8 + 2000.0
}

/// A GPT in the sizes of Korthikanti et al. 2022, table 3 (s = 2048, v = 51200).
pub fn megatron(layers: usize, hidden: usize, heads: usize) -> Model {
    let source = "Korthikanti et al. 2022, table 3";
    let model = dense("megatron", Architecture::Gpt2, source, [layers, hidden, heads]);
    Model { vocab: 51200, context: 2048, ..model }
}

/// A record of `ns`, with an interval of 2 % to each side.
pub fn record(case: Case, kernel: &str, ns: f64) -> Record {
    let timing = Timing {
        processes: 3,
        samples: 24,
        stop: StopReason::Precision,
        median: Nanos(ns),
        low: Nanos(0.98 * ns),
        high: Nanos(1.02 * ns),
        min: Nanos(ns),
        p95: Nanos(ns),
        p99: Nanos(ns),
        note: "".into(),
    };
    Record {
        record_id: 0,
        case,
        kernel: kernel.into(),
        provider: "own".into(),
        device: "cpu".into(),
        model: "".into(),
        placement: None,
        outcome: Outcome::Measured(timing),
        check: None,
        allocated: Some(Bytes(case.buffer_bytes().0 + 4096)),
        peak_resident: None,
        peak_flops: None,
        peak_bytes: None,
        source_hash: "".into(),
    }
}

/// Probes, products of one width on two kernels, one update.
pub fn records() -> Vec<Record> {
    let mut records = Vec::new();
    let probe = |kind, size| Case::new(Problem::Peak(Probe { kind, size }), Precision::F32);
    let fma = probe(ProbeKind::Fma, 100_000);
    records.push(record(fma, "peak/simd", 1e6));
    let copy = probe(ProbeKind::Copy, 5_000_000);
    records.push(record(copy, "peak/streams", 1e6));
    records.push(record(copy, "peak/naive", 2e6));
    for (i, m) in [64, 128, 256, 512, 1024, 2048, 4096].into_iter().enumerate() {
        let matmul = Matmul { transpose: Transpose::Nt, ..Matmul::new(m, 512, 512) };
        let case = Case::new(Problem::Matmul(matmul), Precision::F32);
        let wobble = if i % 2 == 0 { 1.01 } else { 0.99 };
        let ns = matmul_ns(m as f64) * wobble;
        records.push(record(case, "matmul/simd", ns));
        records.push(record(case, "matmul/naive", 30.0 * ns));
    }
    let update = Update { rule: Rule::Adamw, params: 1_000_000 };
    let case = Case::new(Problem::Update(update), Rule::Adamw.precision(Precision::F32));
    records.push(record(case, "optimizer/simd", UPDATE_NS));
    for (i, record) in records.iter_mut().enumerate() {
        record.record_id = i as u64 + 1;
    }
    records
}

/// [`records`] as a run.
pub fn source() -> Source<'static> {
    static RECORDS: LazyLock<Vec<Record>> = LazyLock::new(records);
    static MACHINE: LazyLock<Value> = LazyLock::new(
        || serde_json::json!({ "schema_version": 3, "hardware": { "memory": 16u64 << 30 } }),
    );
    Source { name: "a-run", machine: &MACHINE, records: &RECORDS, counters: &[] }
}
