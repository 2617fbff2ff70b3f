//! Any record that a run can come to, with its samples and counters.

use proptest::prelude::*;
use scalemark::ops::{
    Attention, Cache, Case, DType, Groups, Matmul, Pass, Precision, Probe, ProbeKind, Problem,
    Regime, Rule, Transpose, Update,
};
use scalemark::record::{Check, Counter, Outcome, Record, Sample, StopReason, Timing};
use scalemark::throttle::Throttle;
use scalemark::units::{ByteRate, Bytes, FlopRate, Nanos};

/// One record and what belongs to it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub record: Record,
    pub samples: Vec<Sample>,
    pub counters: Vec<Counter>,
}

fn text(least: usize) -> impl Strategy<Value = String> {
    let awkward = prop::sample::select(vec![',', '"', '\n', '\r', '\\', 'n', ' ', '#', '\u{0}']);
    prop::collection::vec(prop_oneof![any::<char>(), awkward], least..12)
        .prop_map(|chars| chars.into_iter().collect())
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..10, 1usize..20_000]
}

fn positive() -> impl Strategy<Value = f64> {
    use prop::num::f64::{NORMAL, POSITIVE};
    prop_oneof![(1.0..1e12f64).boxed(), (POSITIVE | NORMAL).boxed()]
}

fn matmul() -> impl Strategy<Value = Problem> {
    let groups = prop::option::of((1usize..300, 0.0..4.0f64));
    let transpose = prop::sample::select(vec![Transpose::Nn, Transpose::Nt, Transpose::Tn]);
    (0usize..5000, 0usize..5000, 0usize..5000, 1usize..64, transpose, groups).prop_map(
        |(m, n, k, batch, transpose, groups)| {
            let groups = groups.filter(|_| transpose != Transpose::Tn);
            let groups = groups.map(|(experts, skew)| Groups { experts, skew });
            let batch = if groups.is_some() { 1 } else { batch };
            Problem::Matmul(Matmul { m, n, k, batch, transpose, groups })
        },
    )
}

fn attention() -> impl Strategy<Value = Problem> {
    (1usize..8, 1usize..8, 1usize..8, size(), 0usize..2000, 1usize..256, 1usize..256, any::<bool>())
        .prop_map(|(batch, kv_heads, share, seq_q, more, head_dim_qk, head_dim_v, causal)| {
            let (heads, seq_kv) = (kv_heads * share, seq_q + more);
            Problem::Attention(Attention {
                batch,
                heads,
                kv_heads,
                seq_q,
                seq_kv,
                head_dim_qk,
                head_dim_v,
                causal,
            })
        })
}

fn problem() -> impl Strategy<Value = Problem> {
    let rule = prop::sample::select(Rule::ALL.to_vec());
    let kind = prop::sample::select(ProbeKind::ALL.to_vec());
    prop_oneof![
        matmul(),
        attention(),
        (rule, 0usize..1 << 40).prop_map(|(rule, params)| Problem::Update(Update { rule, params })),
        // Streams hold whole numbers of f32.
        (kind, 1usize..1 << 28)
            .prop_map(|(kind, size)| Problem::Peak(Probe { kind, size: 4 * size })),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let dtype = || prop::sample::select(DType::ALL.to_vec());
    let precision = (dtype(), dtype(), dtype(), prop::option::of(dtype()));
    let pass = prop::sample::select(vec![Pass::Forward, Pass::Backward, Pass::Decode]);
    (problem(), precision, pass, 1usize..300, any::<bool>(), any::<bool>()).prop_map(
        |(mut problem, (inputs, accumulate, output, state), mut pass, threads, cold, burst)| {
            match &mut problem {
                Problem::Attention(p) if pass == Pass::Decode => p.seq_q = 1,
                Problem::Update(_) | Problem::Peak(_) => pass = Pass::Forward,
                _ => {}
            }
            let mut precision = Precision { inputs, accumulate, output, state };
            if matches!(problem, Problem::Update(_)) {
                // A rule with moments needs a state, and updates are of floats of 16 bits or more.
                let float = |d: DType| if d.size() < 2 || d.is_integer() { DType::F32 } else { d };
                precision.inputs = float(inputs);
                precision.output = float(output);
                precision.state = Some(float(state.unwrap_or(DType::F32)));
            }
            Case {
                problem,
                precision,
                pass,
                threads,
                cache: if cold { Cache::Cold } else { Cache::Warm },
                regime: if burst { Regime::Burst } else { Regime::Sustained },
            }
        },
    )
}

fn timing() -> impl Strategy<Value = Timing> {
    let stop = vec![StopReason::Precision, StopReason::Budget, StopReason::Interrupted];
    let times = prop::collection::vec(positive(), 6);
    (1usize..4, 0usize..8, prop::sample::select(stop), times, text(0)).prop_map(
        |(processes, more, stop, mut times, note)| {
            times.sort_by(f64::total_cmp);
            let [min, low, median, high, p95, p99] = times[..] else { unreachable!("six times") };
            Timing {
                processes,
                samples: processes + more,
                stop,
                median: Nanos(median),
                low: Nanos(low),
                high: Nanos(high),
                min: Nanos(min),
                p95: Nanos(p95),
                p99: Nanos(p99),
                note: note.into(),
            }
        },
    )
}

fn outcome_and_check() -> impl Strategy<Value = (Outcome, Option<Check>)> {
    let check = |deviation: BoxedStrategy<f64>| {
        prop::option::of(
            (any::<bool>(), deviation, 0.0..1e3f64)
                .prop_map(|(full, deviation, tolerance)| Check { full, deviation, tolerance }),
        )
    };
    let wild = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), positive(), Just(0.0)].boxed();
    prop_oneof![
        (timing(), check((0.0..1.0f64).boxed())).prop_map(|(timing, check)| {
            // A measured answer is within its tolerance.
            let within = |c: Check| Check { tolerance: c.tolerance + c.deviation, ..c };
            (Outcome::Measured(timing), check.map(within))
        }),
        (text(1), check(wild)).prop_map(|(why, check)| (Outcome::Wrong(why.into()), check)),
        text(1).prop_map(|why| (Outcome::Refused(why.into()), None)),
        (text(1), check(positive().boxed()))
            .prop_map(|(why, check)| (Outcome::Failed(why.into()), check)),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let texts = (text(1), text(1), text(1), text(0), prop::option::of(text(1)), text(0));
    let bytes = || prop::option::of(any::<u64>());
    let rate = || prop::option::of(positive());
    (case(), texts, outcome_and_check(), bytes(), bytes(), rate(), rate()).prop_map(
        |(case, texts, (outcome, check), allocated, resident, flops, bytes)| {
            let (kernel, provider, device, model, placement, source_hash) = texts;
            let kernel = format!("{}/{kernel}", case.problem.family().name());
            Record {
                record_id: 1,
                case,
                kernel: kernel.into(),
                provider: provider.into(),
                device: device.into(),
                model: model.into(),
                placement: placement.map(Into::into),
                outcome,
                check,
                allocated: allocated.map(Bytes),
                peak_resident: resident.map(Bytes),
                peak_flops: flops.map(FlopRate),
                peak_bytes: bytes.map(ByteRate),
                source_hash: source_hash.into(),
            }
        },
    )
}

/// The samples that a record was computed from, dealt out to its processes.
pub fn samples_of(record: &Record, seed: u64) -> Vec<Sample> {
    let Some(timing) = record.timing() else { return Vec::new() };
    let sample = |i: usize| Sample {
        record_id: record.record_id,
        process: i % timing.processes,
        index: i / timing.processes,
        wall_ns: seed.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(i as u64) >> 20,
        cpu_ns: (seed & 1 == 0).then_some(seed >> 8),
        run_queue_ns: (seed & 2 == 0).then_some(i as u64 % 3),
        core_share: (seed & 4 == 0).then_some(0.5 + i as f64 / 64.0),
        iterations: 1 + i as u64,
        sm_mhz: (seed & 8 == 0).then_some(1410.5 + i as f64),
        power_mw: (seed & 16 == 0).then_some(300_000 + i as u64),
        temperature_c: (seed & 32 == 0).then_some(40 + i as u32 % 50),
        throttle: (seed & 64 == 0).then_some(Throttle(seed >> 40 & 0x3ff)),
    };
    (0..timing.samples).map(sample).collect()
}

/// Records of one run, with numbers and identities of their own.
pub fn entries(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Entry>> {
    let counters = prop::collection::btree_map(text(1), prop::num::f64::NORMAL, 0..4);
    let entry = (record(), any::<u64>(), counters, 1u64..1000);
    prop::collection::vec(entry, count).prop_map(|parts| {
        let mut entries = Vec::new();
        let (mut last, mut seen) = (0, std::collections::HashSet::new());
        for (mut record, seed, counters, step) in parts {
            let identity = (record.case.key(), record.kernel.clone(), record.device.clone());
            if !seen.insert(identity) {
                continue;
            }
            last += step;
            record.record_id = last;
            let samples = samples_of(&record, seed);
            let counter = |(name, value): (String, f64)| Counter {
                record_id: last,
                name: name.into(),
                value,
            };
            let counters = counters.into_iter().map(counter).collect();
            entries.push(Entry { record, samples, counters });
        }
        entries
    })
}
