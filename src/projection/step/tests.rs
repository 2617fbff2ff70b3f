//! Steps by a run that measured every kernel of them.

use super::super::network::Link;
use super::super::setup::Recompute;
use super::super::source::Source;
use super::super::testing;
use super::super::times::Choice;
use super::*;
use crate::models::{Model, find};
use crate::ops::Precision;
use crate::record::{Counter, Record};

/// Nanoseconds of a case: twice what 100 Gflop/s take, or a byte a nanosecond for an update.
fn ns(case: &Case) -> f64 {
    let cost = case.cost();
    (cost.flops.0 as f64 / 50.0).max(cost.bytes.0 as f64 / 10.0)
}

fn model() -> Model {
    Model { layers: 4, ..find("gpt2").unwrap().clone() }
}

fn setup() -> Setup {
    Setup { seq: 64, batch: 4, ..Setup::new(model(), Precision::F32) }
}

const LINKS: Links = Links {
    tensor: Link { bandwidth: 1e9, latency: 1e-6 },
    data: Link { bandwidth: 1e9, latency: 1e-6 },
    overlap: 0.0,
};

/// Records of every case that the stages of a setup need, and energies of one joule each.
fn run(setup: &Setup) -> (Vec<Record>, Vec<Counter>) {
    let mut records: Vec<Record> = testing::records().into_iter().take(3).collect();
    let mut keys = std::collections::HashSet::new();
    for stage in stages(setup) {
        let items =
            work::training(setup, &stage, 1).into_iter().chain(work::decode(setup, &stage, 1));
        for item in items {
            if let What::Kernel(case) = item.what
                && keys.insert(case.key())
            {
                records.push(testing::record(case, "made-up/kernel", ns(&case)));
            }
        }
    }
    for (i, record) in records.iter_mut().enumerate() {
        record.record_id = i as u64 + 1;
    }
    let energy = |r: &Record| Counter {
        record_id: r.record_id,
        name: "energy_mj_per_launch".into(),
        value: 1000.0,
    };
    let counters = records.iter().skip(3).map(energy).collect();
    (records, counters)
}

fn planned(setup: &Setup, keep: impl Fn(&Record) -> bool) -> Result<Step> {
    let (mut records, counters) = run(setup);
    records.retain(|record| keep(record));
    let source = Source { records: &records, counters: &counters, ..testing::source() };
    let times = Times::of(source, &Choice::default())?;
    training(setup, &times, &LINKS)
}

#[test]
fn a_step_is_the_sum_of_its_launches_and_streams_and_of_their_intervals() {
    let step = planned(&setup(), |_| true).unwrap();
    let setup = setup();
    let mut expected = 0.0;
    for item in work::training(&setup, &stages(&setup)[0], 1) {
        expected += item.count
            * match item.what {
                What::Kernel(case) => ns(&case) / 1e9,
                What::Stream(bytes) => bytes / 10e9,
            };
    }
    assert!((step.total.median / expected - 1.0).abs() < 1e-9, "{} {expected}", step.total.median);
    let measured = step.seconds_of(Basis::Measured);
    assert!((step.total.high - step.total.median - 0.02 * measured).abs() < 1e-9 * expected);
    assert_eq!((step.missing, step.idle, step.exchanging), (0, Span::default(), 0.0));
    // A joule a launch. A layer launches twelve products and two attentions, the head three products, each for four
    // micro-batches; one update follows.
    let (joules, share) = step.joules.unwrap();
    assert_eq!(joules, 4.0 * (4.0 * 14.0 + 3.0) + 1.0);
    assert!(share > 0.5 && share <= 1.0);
}

#[test]
fn what_is_not_measured_is_left_out_named_and_never_guessed() {
    let all = planned(&setup(), |_| true).unwrap();
    let attention = |r: &Record| !r.case.key().starts_with("attention");
    let step = planned(&setup(), attention).unwrap();
    assert_eq!(step.missing, 2);
    let gone: f64 =
        all.lines.iter().filter(|l| l.name == "attention").map(|l| l.seconds.unwrap().median).sum();
    assert!((all.total.median - step.total.median - gone).abs() < 1e-12);
    let line = step.lines.iter().find(|l| l.basis == Basis::NotMeasured).unwrap();
    assert_eq!(
        line.command.as_deref(),
        Some(
            "scalemark run --seq 64 --batch 1 --heads 12 --kv-heads 12 --head-dim 64 --causal true --pass fwd --dtype f32 --threads 1"
        )
    );
}

#[test]
fn a_pipeline_waits_as_long_as_its_bubble_and_devices_exchange() {
    let one = Setup { batch: 8, ..setup() };
    let setup = Setup { pp: 2, gpus: 2, ..one };
    let step = planned(&setup, |_| true).unwrap();
    assert_eq!(step.stages, 2);
    // The stage with the head is the slower one.
    assert_eq!(step.stage, 1);
    let paced: f64 = step
        .lines
        .iter()
        .filter(|l| l.phase != Phase::Update)
        .map(|l| l.seconds.unwrap().median)
        .sum();
    let beat: f64 = step.exchanges.iter().filter(|e| e.each_micro_batch).map(|e| e.seconds).sum();
    // One stage more than itself, eight micro-batches: an eighth.
    assert!((step.idle.median / ((paced + beat) / 8.0) - 1.0).abs() < 1e-9);
    let sum = step.busy.median + step.idle.median + step.exchanging;
    assert!((step.total.median / sum - 1.0).abs() < 1e-12);
}

#[test]
fn computation_hides_the_share_of_exchanges_that_it_is_said_to() {
    let setup = Setup { gpus: 4, ..setup() };
    let (records, _) = run(&setup);
    let source = Source { records: &records, ..testing::source() };
    let times = Times::of(source, &Choice::default()).unwrap();
    let exchanging =
        |overlap| training(&setup, &times, &Links { overlap, ..LINKS }).unwrap().exchanging;
    let whole = exchanging(0.0);
    let weights = 4.0 * setup.model.parameters() as f64;
    assert!((whole - (2.0 * 0.75 * weights / 1e9 + 6e-6)).abs() < 1e-9);
    assert!((exchanging(0.75) / whole - 0.25).abs() < 1e-9);
}

#[test]
fn recomputing_in_full_costs_the_layers_forward_pass_and_saves_most_activations() {
    let kept = planned(&setup(), |_| true).unwrap();
    let again = planned(&Setup { recompute: Recompute::Full, ..setup() }, |_| true).unwrap();
    let forward: f64 = kept
        .lines
        .iter()
        .filter(|l| {
            l.phase == Phase::Forward
                && !["lm-head", "embedding", "last norm", "loss"].contains(&l.name)
        })
        .map(|l| l.seconds.unwrap().median)
        .sum();
    assert!((again.total.median - kept.total.median - forward).abs() < 1e-12);
    assert!(again.memory.of("activations") < 0.5 * kept.memory.of("activations"));
}

#[test]
fn a_token_of_a_decode_passes_every_stage() {
    let setup = Setup { decode_batch: 2, context: 128, pp: 2, gpus: 2, ..setup() };
    let (records, _) = run(&setup);
    let source = Source { records: &records, ..testing::source() };
    let times = Times::of(source, &Choice::default()).unwrap();
    let split = decode(&setup, &times, &LINKS).unwrap();
    let whole = decode(&Setup { pp: 1, gpus: 1, ..setup.clone() }, &times, &LINKS).unwrap();
    let message = 2.0 * 768.0 * 4.0 / 1e9 + 1e-6;
    assert!((split.total.median - whole.total.median - message).abs() < 1e-12);
}
