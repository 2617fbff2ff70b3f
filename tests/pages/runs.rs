//! Runs of made-up machines, as many and as large as a test wants them.

use std::path::{Path, PathBuf};

use scalemark::ops::{Attention, Case, Matmul, Precision, Problem, Regime, Rule, Update};
use scalemark::record::{Check, Counter, Outcome, Record, Sample, StopReason, Timing};
use scalemark::store::RunWriter;
use scalemark::units::{ByteRate, Bytes, FlopRate, Nanos};
use serde_json::json;

/// The cases of a run, the same in every one: squares, layers of a model, attention by length and updates, burst and sustained.
fn cases(count: usize) -> Vec<(Case, &'static str, String)> {
    let mut cases = Vec::new();
    for i in 0.. {
        let round = i / 4;
        let (problem, kernels, model) = match i % 4 {
            0 => {
                let n = 32 * (round + 1);
                (Problem::Matmul(Matmul::new(n, n, n)), "matmul", String::new())
            }
            1 => {
                let models = ["gpt2", "gpt2-medium", "gpt2-large", "bert-large", "gpt2-xl"];
                let n = 768 + 64 * round;
                let model = format!("{}:qkv", models[round % 5]);
                (Problem::Matmul(Matmul::new(512, n, 768)), "matmul", model)
            }
            2 => {
                let attention = Attention::new(8, 64 * (round + 1), 64, true);
                (Problem::Attention(attention), "attention", String::new())
            }
            _ => {
                let params = 4096 * (round + 1);
                (Problem::Update(Update { rule: Rule::Sgd, params }), "optimizer", String::new())
            }
        };
        for (kernel, precision) in [("simd", Precision::F32), ("blocked", Precision::F32)] {
            let regime = if round % 3 == 2 { Regime::Sustained } else { Regime::Burst };
            let case = Case { regime, ..Case::new(problem, precision) };
            cases.push((case, kernel, format!("{kernels}/{kernel}|{model}")));
            if cases.len() == count {
                return cases;
            }
        }
    }
    cases
}

/// Writes a run of `count` records that took `factor` times as long as those of a machine of factor 1.
pub fn write(folder: &Path, machine: &str, count: usize, factor: f64) -> PathBuf {
    let facts = json!({
        "started": "2026-11-28T00:00:00Z",
        "hardware": { "model_name": machine, "logical_cpus": 2, "memory": 64u64 << 30 },
        "software": { "os": "Linux", "scalemark": "0.1.0" },
    });
    let mut writer = RunWriter::create_at(folder, &facts).unwrap();
    for (i, (case, kernel, names)) in cases(count).into_iter().enumerate() {
        let record_id = i as u64 + 1;
        let (name, model) = names.split_once('|').unwrap();
        let slow = if kernel == "blocked" { 5.0 } else { 1.0 };
        let cost = case.cost();
        let work = (cost.flops.0 as f64 / 200.0).max(cost.bytes.0 as f64 / 40.0);
        let median = (500.0 + work) * factor * slow * (1.0 + 0.01 * (i % 7) as f64);
        // One of a hundred failed, with words that a page must not obey.
        let failed = i % 100 == 99;
        let measured = Outcome::Measured(Timing {
            processes: 3,
            samples: 3,
            stop: StopReason::Precision,
            median: Nanos(median),
            low: Nanos(median * 0.99),
            high: Nanos(median * 1.01),
            min: Nanos(median * 0.98),
            p95: Nanos(median * (1.0 + 0.02 * (1 + i % 5) as f64)),
            p99: Nanos(median * 1.2),
            note: "".into(),
        });
        let awkward = "</script><img src=x onerror=alert(1)> \"quoted\" & more";
        let record = Record {
            record_id,
            case,
            kernel: name.into(),
            provider: "own".into(),
            device: "cpu".into(),
            model: model.into(),
            placement: None,
            outcome: if failed { Outcome::Failed(awkward.into()) } else { measured },
            check: (!failed).then_some(Check { full: true, deviation: 0.1, tolerance: 1.0 }),
            allocated: Some(Bytes(case.buffer_bytes().0.max(64))),
            peak_resident: None,
            peak_flops: Some(FlopRate(272e9 / factor)),
            peak_bytes: Some(ByteRate(44e9 / factor)),
            source_hash: "1f0c9ab".into(),
        };
        let sample = |process: usize| Sample {
            record_id,
            process,
            index: 0,
            wall_ns: median as u64 + 1,
            cpu_ns: None,
            run_queue_ns: None,
            iterations: 1,
            core_share: None,
            sm_mhz: None,
            power_mw: None,
            temperature_c: None,
            throttle: None,
        };
        let samples: Vec<Sample> = if failed { Vec::new() } else { (0..3).map(sample).collect() };
        let name = "energy_mj_per_launch";
        let value = median * 1e-4 / factor.sqrt();
        let energy = (case.regime == Regime::Sustained && !failed).then_some(value);
        let counters: Vec<Counter> = energy
            .into_iter()
            .map(|value| Counter { record_id, name: name.into(), value })
            .collect();
        writer.append(&record, &samples, &counters).unwrap();
    }
    writer.finish().unwrap();
    folder.to_owned()
}

/// Runs of `count` machines, one of whose names holds markup, in `folder`.
pub fn machines(folder: &Path, count: usize, records: usize) -> Vec<String> {
    let write = |i: usize| {
        let name = if i == 1 { "a <b>bold & 'machine'".to_owned() } else { format!("machine-{i}") };
        let path = folder.join(&name);
        write(&path, &format!("{name} <i>of</i> \"some\" kind"), records, 1.0 + 0.1 * i as f64);
        path.to_str().unwrap().to_owned()
    };
    (0..count).map(write).collect()
}
