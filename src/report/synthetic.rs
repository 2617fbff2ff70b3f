//! Made-up records for the tests of reports.

use crate::ops::{
    Attention, Cache, Case, DType, Matmul, Pass, Precision, Problem, Rule, Transpose, Update,
};
use crate::record::{Check, Counter, Outcome, Record, StopReason, Timing};
use crate::units::{ByteRate, FlopRate, Nanos};

use super::{Law, ReportInput};

/// The kernels of a matmul, with provider and share of peak on large sizes.
pub const KERNELS: [(&str, &str, f64); 8] = [
    ("naive", "own", 0.006),
    ("blocked", "own", 0.09),
    ("simd", "own", 0.93),
    ("gemm", "gemm", 0.92),
    ("gemmkit", "gemmkit", 0.90),
    ("openblas-skylakex-prefixed-64", "openblas", 0.94),
    ("blis", "blis", 0.85),
    ("mkl", "mkl", 0.40),
];

/// Sixteen models and their parameters.
pub const MODELS: [(&str, f64); 16] = [
    ("bert-base", 109.48e6),
    ("bert-large", 335.14e6),
    ("gpt2", 124.44e6),
    ("gpt2-medium", 354.82e6),
    ("gpt2-large", 774.03e6),
    ("gpt2-xl", 1557.6e6),
    ("gpt3-175b", 174.6e9),
    ("llama3-8b", 8.03e9),
    ("llama3-70b", 70.55e9),
    ("llama3.1-405b", 405.85e9),
    ("mixtral-8x7b", 46.7e9),
    ("deepseek-v3", 671.03e9),
    ("qwen3-0.6b", 0.596e9),
    ("qwen3-8b", 8.19e9),
    ("qwen3-32b", 32.76e9),
    ("qwen3-30b-a3b", 30.53e9),
];

/// A record of 1 ms.
pub fn record(case: Case, kernel: &str, provider: &str) -> Record {
    timed(case, kernel, provider, 1e-3)
}

/// A record that took `secs`, with limits of 272 GFLOP/s and 44 GB/s a thread.
pub fn timed(case: Case, kernel: &str, provider: &str, secs: f64) -> Record {
    let at = |factor: f64| Nanos::from_secs(secs * factor);
    let threads = case.threads as f64;
    let wide = if case.precision.inputs == DType::Bf16 { 2.0 } else { 1.0 };
    let bytes = match case.problem {
        Problem::Update(update) => [57e9, 76e9, 70e9][update.rule.moments()],
        _ => 44e9,
    };
    Record {
        record_id: 1,
        case,
        kernel: kernel.into(),
        provider: provider.into(),
        device: "cpu".into(),
        model: "".into(),
        placement: None,
        outcome: Outcome::Measured(Timing {
            processes: 3,
            samples: 60,
            stop: StopReason::Precision,
            median: at(1.0),
            low: at(0.992),
            high: at(1.011),
            min: at(0.98),
            p95: at(1.05),
            p99: at(1.1),
            note: "".into(),
        }),
        check: Some(Check { full: secs < 0.1, deviation: 0.3, tolerance: 1.0 }),
        allocated: Some(case.buffer_bytes()),
        peak_resident: Some(crate::units::Bytes(case.buffer_bytes().0 * 2 + (20 << 20))),
        peak_flops: Some(FlopRate(272e9 * threads * wide)),
        peak_bytes: Some(ByteRate(bytes * threads)),
        source_hash: "0".into(),
    }
}

/// A product in f32 on one thread.
pub fn matmul(m: usize, n: usize, k: usize, kernel: &str, provider: &str, secs: f64) -> Record {
    let problem = Problem::Matmul(Matmul::new(m, n, k));
    timed(Case::new(problem, Precision::F32), kernel, provider, secs)
}

/// A square product in f32 on one thread.
pub fn square(n: usize, kernel: &str, provider: &str, secs: f64) -> Record {
    matmul(n, n, n, kernel, provider, secs)
}

/// The time at a share of the nearer roof, plus 2 µs.
fn at_share(case: Case, kernel: &str, provider: &str, share: f64) -> Record {
    let mut record = timed(case, kernel, provider, 1.0);
    let floor = record.share_of_peak().unwrap_or(1.0);
    let shown = timed(case, kernel, provider, floor / share + 2e-6);
    record.outcome = shown.outcome;
    record.check = shown.check;
    record
}

/// What a run on two cores may look like: squares, layers of sixteen models, attention and all optimizers.
pub fn records() -> Vec<Record> {
    let mut records = Vec::new();
    for threads in [1, 2] {
        for precision in [Precision::F32, Precision::BF16] {
            for (name, provider, share) in KERNELS {
                let kernel = format!("matmul/{name}");
                for n in [64, 128, 256, 512, 1024, 2048, 4096] {
                    if name == "naive" && n > 1024 {
                        continue;
                    }
                    let problem = Problem::Matmul(Matmul::new(n, n, n));
                    let case = Case { threads, ..Case::new(problem, precision) };
                    records.push(at_share(case, &kernel, provider, share * wobble(n, name)));
                }
                for (i, (model, _)) in MODELS.iter().enumerate() {
                    for part in ["qkv", "out"] {
                        let n = 768 + 256 * i + if part == "out" { 64 } else { 0 };
                        let mut product = Matmul::new(512, n, 768 + 128 * i);
                        product.transpose = Transpose::Nt;
                        let case =
                            Case { threads, ..Case::new(Problem::Matmul(product), precision) };
                        let share = share * wobble(n, name);
                        let mut record = at_share(case, &kernel, provider, share);
                        record.model = format!("{model}:{part}").into();
                        if name == "naive" && (i > 5 || i > 3 && part == "qkv") {
                            let text = format!("would take {i}.5 s, over the budget of 5 s");
                            record.outcome = Outcome::Refused(text.into());
                        }
                        records.push(record);
                    }
                }
            }
        }
        for pass in [Pass::Forward, Pass::Decode] {
            for (name, share) in [("naive", 0.01), ("blocked", 0.12), ("simd", 0.6)] {
                for seq in [128, 256, 512, 1024, 2048, 4096] {
                    let mut problem = Attention::new(12, seq, 64, pass == Pass::Forward);
                    if pass == Pass::Decode {
                        problem.seq_q = 1;
                    }
                    let base = Case::new(Problem::Attention(problem), Precision::F32);
                    let case = Case { threads, pass, ..base };
                    let kernel = format!("attention/{name}");
                    records.push(at_share(case, &kernel, "own", share * wobble(seq, name)));
                }
            }
        }
        for rule in Rule::ALL {
            for (name, share) in [("naive", 0.4), ("fused", 0.8), ("simd", 0.97)] {
                for params in [1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 109_482_240] {
                    let mut precision = Precision::F32;
                    precision.state = (rule.moments() > 0).then_some(DType::F32);
                    let base = Case::new(Problem::Update(Update { rule, params }), precision);
                    let case = Case { threads, cache: Cache::Cold, ..base };
                    let kernel = format!("optimizer/{name}");
                    records.push(at_share(case, &kernel, "own", share * wobble(params, name)));
                }
            }
        }
    }
    for (id, record) in (1..).zip(&mut records) {
        record.record_id = id;
    }
    records
}

/// Simulated products of reduced models, with their counters.
pub fn simulated() -> (Vec<Record>, Vec<Counter>) {
    let (mut records, mut counters) = (Vec::new(), Vec::new());
    let cases =
        [(64, "gpt2/16:qkv;gpt2/16:mlp-up;bert-base/16:qkv", 2.0), (32, "gpt2/16:out", 1.0)];
    for kernel in ["matmul/naive", "matmul/tiled"] {
        for (n, parts, scale) in cases {
            let record_id = records.len() as u64 + 1;
            let mut record = record(square(n, kernel, "own", 1.0).case, kernel, "own");
            (record.record_id, record.model) = (record_id, parts.into());
            (record.device, record.outcome) = ("sim".into(), Outcome::Simulated);
            records.push(record);
            let values = [
                ("warp_instructions", 500.0 * scale),
                ("global_load_sectors", 30.0 * scale * scale),
                ("global_load_ideal_sectors", 20.0 * scale),
                ("global_store_sectors", 10.0 * scale),
                ("global_store_ideal_sectors", 10.0 * scale),
                ("shared_load_wavefronts", 8.0),
                ("shared_load_conflicts", 2.0),
                ("main.registers", 32.0 + 4.0 * scale),
                ("main.spill_bytes", 0.0),
            ];
            let counter =
                |(name, value): (&str, f64)| Counter { record_id, name: name.into(), value };
            counters.extend(values.map(counter));
        }
    }
    (records, counters)
}

/// A repeatable factor between 0.9 and 1.
fn wobble(n: usize, name: &str) -> f64 {
    let mixed =
        name.bytes().fold(n as u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    0.9 + 0.1 * ((mixed >> 20) % 1000) as f64 / 1000.0
}

/// A straight line through the logarithms, without a constant part.
pub fn law(points: &[(f64, f64)]) -> Option<Law> {
    let n = points.len() as f64;
    let (sx, sy) = points.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0.ln(), s.1 + p.1.ln()));
    let (mx, my) = (sx / n, sy / n);
    let sxx: f64 = points.iter().map(|p| (p.0.ln() - mx).powi(2)).sum();
    let sxy: f64 = points.iter().map(|p| (p.0.ln() - mx) * (p.1.ln() - my)).sum();
    let p = sxy / sxx;
    let b = (my - p * mx).exp();
    let error = |q: &(f64, f64)| (b * q.0.powf(p) / q.1 - 1.0).abs();
    let max_relative_error = points.iter().map(error).fold(0.0, f64::max);
    Some(Law { a: 0.0, b, p, p_low: p - 0.02, p_high: p + 0.02, max_relative_error })
}

/// The parameters of the made-up models.
pub fn params(model: &str) -> Option<f64> {
    MODELS.iter().find(|(name, _)| *name == model).map(|(_, count)| *count)
}

/// A bend from 512 to 1024.
pub fn bends(_: &[(f64, f64)]) -> Vec<(f64, f64)> {
    vec![(512.0, 1024.0)]
}

/// An input of these records, on a made-up machine.
pub fn input<'a>(records: &'a [Record], machine: &'a [(String, String)]) -> ReportInput<'a> {
    ReportInput {
        records,
        counters: &[],
        command: "scalemark run --suite quick",
        machine,
        params: &params,
        law: &law,
        bends: &bends,
    }
}
