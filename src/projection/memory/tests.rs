//! The formulas against the worked examples of the papers that they come from.

use super::super::shard::stages;
use super::super::testing::megatron;
use super::*;
use crate::models::find;
use crate::ops::{DType, Precision, Rule};

/// Name, layers, hidden size, heads, tensor and pipeline parallel size, micro-batch: table 3.
const TABLE_3: [(&str, usize, usize, usize, usize, usize, usize); 4] = [
    ("22B", 48, 6144, 64, 8, 1, 4),
    ("175B", 96, 12288, 96, 8, 8, 1),
    ("530B", 105, 20480, 128, 8, 35, 1),
    ("1T", 128, 25600, 160, 8, 64, 1),
];

fn setup(model: Model) -> Setup {
    Setup { seq: 2048, keeps_scores: true, ..Setup::new(model, Precision::F16) }
}

#[test]
fn a_layer_keeps_the_bytes_of_korthikanti_2022_section_4() {
    for (name, layers, hidden, heads, tp, _, micro_batch) in TABLE_3 {
        let (s, b, h, a, t) = (2048.0, micro_batch as f64, hidden as f64, heads as f64, tp as f64);
        let one = Setup { micro_batch, ..setup(megatron(layers, hidden, heads)) };
        let bytes = |setup: &Setup| layer_bytes(setup, &stages(setup)[0].model, setup.recompute);
        let close = |got: f64, want: f64| {
            assert!((got / want - 1.0).abs() < 1e-9, "{name}: {got} against {want}");
        };
        // Equation 1, table 2: without parallelism, with tensor parallelism, with sequence parallelism too.
        close(bytes(&one), s * b * h * (34.0 + 5.0 * a * s / h));
        let tensor = Setup { tp, gpus: tp, ..one.clone() };
        close(bytes(&tensor), s * b * h * (10.0 + 24.0 / t + 5.0 * a * s / (h * t)));
        let sequence = Setup { sequence_parallel: true, ..tensor };
        close(bytes(&sequence), s * b * h / t * (34.0 + 5.0 * a * s / h));
        let selective = Setup { recompute: Recompute::Selective, ..sequence.clone() };
        close(bytes(&selective), s * b * h / t * 34.0);
        let full = Setup { recompute: Recompute::Full, ..one.clone() };
        close(bytes(&full), 2.0 * s * b * h);
        // FlashAttention keeps one f32 a row and head in place of the scores.
        let flash = Setup { keeps_scores: false, ..sequence };
        close(bytes(&flash), s * b * h / t * 34.0 + 4.0 * a / t * s * b);
    }
}

#[test]
fn selective_recomputation_saves_what_korthikanti_2022_section_5_says() {
    // "GPT-3 … 5as/h = 80", "MT-NLG … 5as/h = 64": 70 % and 65 % of the activations.
    for (hidden, heads, ratio, saved) in [(12288, 96, 80.0, 0.70), (20480, 128, 64.0, 0.65)] {
        assert_eq!(5.0 * heads as f64 * 2048.0 / hidden as f64, ratio);
        let all = setup(megatron(96, hidden, heads));
        let share = &stages(&all)[0].model;
        let kept = layer_bytes(&all, share, Recompute::Selective)
            / layer_bytes(&all, share, Recompute::None);
        assert!((1.0 - kept - saved).abs() < 0.005, "{kept}");
    }
}

#[test]
fn the_first_stage_of_a_pipeline_keeps_as_many_layers_as_the_model_has() {
    // Korthikanti et al. 2022, section 4.2.3: L/p layers times p micro-batches.
    let (_, layers, hidden, heads, tp, pp, micro_batch) = TABLE_3[2];
    let model = megatron(layers, hidden, heads);
    let setup = Setup {
        tp,
        pp,
        gpus: tp * pp,
        micro_batch,
        batch: 280,
        sequence_parallel: true,
        ..setup(model)
    };
    let stages = stages(&setup);
    let first = activations(&setup, &stages[0], stages.len());
    let layer = layer_bytes(&setup, &stages[0].model, Recompute::None);
    assert!((first[0].1 / layer - layers as f64).abs() < 1e-9);
    let last = activations(&setup, &stages[pp - 1], stages.len());
    assert!(last[0].1 / layer < 3.1, "one micro-batch through three layers");
}

#[test]
fn zero_spreads_7_5_billion_parameters_over_64_devices_as_in_its_paper() {
    // Rajbhandari et al. 2020, figure 1: 120, 31.4, 16.6 and 1.9 GB.
    let model = find("gpt2").unwrap().clone();
    for (zero, gigabytes) in [(0, 120.0), (1, 31.4), (2, 16.6), (3, 1.9)] {
        let setup = Setup {
            zero,
            gpus: 64,
            batch: 64,
            rule: Rule::Adam,
            ..Setup::new(model.clone(), Precision::F16)
        };
        let bytes: f64 = states(&setup, 7.5e9).iter().map(|part| part.1).sum();
        assert!((bytes / 1e9 - gigabytes).abs() < 0.05, "stage {zero}: {bytes}");
    }
}

#[test]
fn an_optimizers_state_follows_its_rule_and_formats() {
    let model = find("gpt2").unwrap().clone();
    let bytes = |rule, precision: Precision, master_weights, moments| {
        let setup = Setup { rule, master_weights, moments, ..Setup::new(model.clone(), precision) };
        states(&setup, 1.0).iter().map(|part| part.1).sum::<f64>()
    };
    assert_eq!(bytes(Rule::Adamw, Precision::F32, false, DType::F32), 16.0);
    assert_eq!(bytes(Rule::Adamw, Precision::BF16, true, DType::F32), 16.0);
    assert_eq!(bytes(Rule::Adamw, Precision::BF16, false, DType::F32), 12.0);
    assert_eq!(bytes(Rule::Lion, Precision::BF16, true, DType::Bf16), 10.0);
    assert_eq!(bytes(Rule::Sgd, Precision::F32, false, DType::F32), 8.0);
}

#[test]
fn a_model_of_megatrons_has_the_parameters_that_narayanan_2021_counts() {
    // Equation 2: P = 12·l·h²·(1 + 13/(12·h) + (V + s)/(12·l·h)).
    for (name, layers, hidden, heads, ..) in TABLE_3 {
        let (l, h) = (layers as f64, hidden as f64);
        let formula =
            12.0 * l * h * h * (1.0 + 13.0 / (12.0 * h) + (51200.0 + 2048.0) / (12.0 * l * h));
        let counted = megatron(layers, hidden, heads).parameters() as f64;
        assert!((counted / formula - 1.0).abs() < 1e-6, "{name}: {counted} against {formula}");
    }
    let gpt3 = find("gpt3-175b").unwrap().parameters() as f64;
    assert!((gpt3 / 175e9 - 1.0).abs() < 0.005, "Brown et al. 2020, table 2.1: {gpt3}");
}

#[test]
fn a_decode_holds_weights_and_cache() {
    let model = find("llama-3-8b").unwrap().clone();
    let setup = Setup { decode_batch: 4, context: 8192, ..Setup::new(model, Precision::BF16) };
    let memory = decode(&setup, &stages(&setup), 0.0);
    assert_eq!(memory.of("parameters"), 2.0 * 8_030_261_248.0);
    // 128 KiB a token.
    assert_eq!(memory.of("KV cache"), 4.0 * 8192.0 * 131_072.0);
    assert!(memory.of("activations") < 10e6, "{memory:?}");
    let halved = Setup { tp: 8, gpus: 8, kv: DType::I8, ..setup };
    let memory = decode(&halved, &stages(&halved), 0.0);
    assert_eq!(memory.of("KV cache"), 4.0 * 8192.0 * 131_072.0 / 16.0);
}
