//! The work of a step: the kernels that it launches and the memory that it streams besides, on one device.
//!
//! Products, attention and updates are the problems that [`crate::models`] derives. What stands between them (norms, residuals,
//! activations, rotary positions, embeddings, the loss) is not measured by any kernel of this project: it is listed as
//! bytes read and written, each tensor once an operation, to be priced by the measured bandwidth as an assumption.

use serde::Serialize;

use super::setup::{Recompute, Setup};
use super::shard::Stage;
use crate::models::{LmHead, Model, Step};
use crate::ops::{Case, Pass, Precision, Problem, Update};

/// The part of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Forward.
    Forward,
    /// Forward once more, for activations that were not kept.
    Recompute,
    /// The gradients.
    Backward,
    /// The optimizer's update.
    Update,
    /// One new token a sequence.
    Decode,
}

impl Phase {
    /// The word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Forward => "forward",
            Phase::Recompute => "recompute",
            Phase::Backward => "backward",
            Phase::Update => "update",
            Phase::Decode => "decode",
        }
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum What {
    /// A case that kernels are measured on; cache and regime are for the records to say.
    Kernel(Case),
    /// So many bytes are read and written.
    Stream(f64),
}

/// A thing that a step does `count` times on one device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// The part of the step.
    pub phase: Phase,
    /// What it is in the model, as in [`crate::models::Part`], or what is streamed.
    pub name: &'static str,
    /// How often in a step.
    pub count: f64,
    /// What is done.
    pub what: What,
}

/// The work of a training step on a device of `stage`, all its micro-batches together, with `threads` for CPU cases.
pub fn training(setup: &Setup, stage: &Stage, threads: usize) -> Vec<Item> {
    let micro = setup.micro_batches() as f64;
    let (batch, seq) = (setup.micro_batch, setup.seq);
    let tokens = batch as f64 * seq as f64;
    let step = |pass| Step { rule: setup.rule, ..Step::new(pass, batch, seq) };
    let kernels = |pass, phase| kernels(&stage.model, &step(pass), phase, setup.precision, threads);

    let forward = kernels(Pass::Forward, Phase::Forward);
    let mut items = forward.clone();
    items.extend(streams(setup, stage, Phase::Forward, tokens));
    let again = |item: &Item| match setup.recompute {
        Recompute::None => false,
        // Kernels of FlashAttention's kind never kept the scores: their backward pass, as measured, recomputes them.
        Recompute::Selective => setup.keeps_scores && item.name == "attention",
        Recompute::Full => item.name != "lm-head",
    };
    items.extend(
        forward.iter().filter(|i| again(i)).map(|i| Item { phase: Phase::Recompute, ..*i }),
    );
    if setup.recompute == Recompute::Full {
        let layers = Stage { first: false, last: false, ..stage.clone() };
        items.extend(streams(setup, &layers, Phase::Recompute, tokens));
    }
    items.extend(kernels(Pass::Backward, Phase::Backward));
    items.extend(streams(setup, stage, Phase::Backward, tokens));
    items.iter_mut().for_each(|item| item.count *= micro);
    items.extend(update(setup, stage, micro, threads));
    items
}

/// The work of a decode step on a device of `stage`.
pub fn decode(setup: &Setup, stage: &Stage, threads: usize) -> Vec<Item> {
    let step = Step::new(Pass::Decode, setup.decode_batch, setup.context);
    // A cache in the format of the operands is no state of its own; so measured cases are keyed.
    let kv = (setup.kv != setup.precision.inputs).then_some(setup.kv);
    let precision = Precision { state: kv, ..setup.precision };
    let mut items = kernels(&stage.model, &step, Phase::Decode, precision, threads);
    items.extend(streams(setup, stage, Phase::Decode, setup.decode_batch as f64));
    items
}

fn kernels(
    model: &Model,
    step: &Step,
    phase: Phase,
    precision: Precision,
    threads: usize,
) -> Vec<Item> {
    let parts = model.parts(step).into_iter();
    let parts = parts.filter(|part| !matches!(part.problem, Problem::Update(_)) && part.layers > 0);
    let item = |part: crate::models::Part| {
        let case = Case::new(part.problem, part.precision(precision));
        let what = What::Kernel(Case { pass: part.pass, threads, ..case });
        Item { phase, name: part.name, count: part.layers as f64, what }
    };
    parts.map(item).collect()
}

/// The update of the device's share of the parameters, and what surrounds it.
fn update(setup: &Setup, stage: &Stage, micro: f64, threads: usize) -> Vec<Item> {
    let share = if setup.zero >= 1 { setup.data_parallel() as u64 } else { 1 };
    let params = stage.params.div_ceil(share);
    let base = if setup.master_weights { Precision::F32 } else { setup.precision };
    let precision = match setup.rule.moments() {
        0 => base,
        _ => base.with_state(setup.moments),
    };
    let problem = Problem::Update(Update { rule: setup.rule, params: params as usize });
    let case = Case { threads, ..Case::new(problem, precision) };
    let phase = Phase::Update;
    let mut items = vec![Item { phase, name: "update", count: 1.0, what: What::Kernel(case) }];
    let element = setup.element() as f64;
    if setup.master_weights {
        let bytes = 2.0 * (4.0 + element) * params as f64;
        items.push(Item {
            phase,
            name: "casts to and from f32",
            count: 1.0,
            what: What::Stream(bytes),
        });
    }
    if micro > 1.0 {
        let what = What::Stream(3.0 * element * stage.params as f64);
        items.push(Item { phase, name: "gradient accumulation", count: micro - 1.0, what });
    }
    items
}

/// Elements that move for each token in operations between kernels: (name, times a step, elements).
fn streams(setup: &Setup, stage: &Stage, phase: Phase, tokens: f64) -> Vec<Item> {
    let m = &stage.model;
    let (hidden, layers) = (m.hidden as f64, m.layers as f64);
    let back = phase == Phase::Backward;
    let pick = |forward: f64, backward: f64| if back { backward } else { forward };
    // With sequence parallelism each device normalizes its share of the tokens.
    let split = if setup.sequence_parallel { setup.tp as f64 } else { 1.0 };
    let (queries, keys) = ((m.heads * m.head_dim) as f64, (m.kv_heads * m.head_dim) as f64);
    let values = (m.kv_heads * m.head_dim_v) as f64;
    let out = (m.heads * m.head_dim_v) as f64;
    let norm = pick(2.0, 3.0);

    let mut list = vec![
        ("norms", layers, 2.0 * norm * hidden / split),
        ("residuals", layers, 6.0 * hidden / split),
        ("heads apart and together", layers, 2.0 * (queries + keys + values + out)),
    ];
    if !m.family.learned_positions() {
        let rotated =
            m.mla.map_or(queries + keys, |mla| ((m.heads + 1) * mla.qk_rope_head_dim) as f64);
        list.push(("rotary positions", layers, 2.0 * rotated));
    }
    if m.family.qk_norm() {
        list.push(("norms of queries and keys", layers, norm * (queries + keys)));
    }
    let width =
        pick(if m.family.gated() { 3.0 } else { 2.0 }, if m.family.gated() { 5.0 } else { 3.0 });
    let dense = m.moe.map_or(m.layers, |moe| moe.dense_layers) as f64;
    list.push(("activations", dense, width * m.ffn as f64));
    if let Some(moe) = m.moe {
        let active = (moe.active * moe.ffn + moe.shared_ffn) as f64;
        list.push(("activations of experts", layers - dense, width * active));
        list.push(("tokens to experts and back", layers - dense, 4.0 * moe.active as f64 * hidden));
    }
    if stage.first {
        list.push(("embedding", 1.0, pick(2.0, 3.0) * hidden));
    }
    if stage.last {
        list.push(("last norm", 1.0, norm * hidden / split));
        if m.lm_head != LmHead::None {
            list.push(("loss", 1.0, pick(1.0, 2.0) * m.vocab as f64));
        }
    }
    let element = setup.element() as f64;
    let item = |(name, count, elements): (&'static str, f64, f64)| {
        let name = if phase == Phase::Decode && name == "loss" { "sampling" } else { name };
        Item { phase, name, count, what: What::Stream(elements * element * tokens) }
    };
    list.into_iter().filter(|(_, count, _)| *count > 0.0).map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::super::shard::stages;
    use super::*;
    use crate::models::find;

    fn gpt2(recompute: Recompute) -> Vec<Item> {
        let model = find("gpt2").unwrap().clone();
        let setup = Setup { batch: 4, seq: 512, recompute, ..Setup::new(model, Precision::F32) };
        training(&setup, &stages(&setup)[0], 1)
    }

    fn flops(items: &[Item]) -> f64 {
        let one = |i: &Item| match i.what {
            What::Kernel(case) => case.cost().flops.0 as f64 * i.count,
            What::Stream(_) => 0.0,
        };
        items.iter().filter(|i| i.phase != Phase::Update).map(one).sum()
    }

    #[test]
    fn a_step_multiplies_six_times_a_token_and_weight_and_seven_and_a_half_for_attention() {
        let items = gpt2(Recompute::None);
        let model = find("gpt2").unwrap();
        let weights: f64 = 12.0 * 12.0 * 768.0 * 768.0 + model.vocab as f64 * 768.0;
        let tokens = 4.0 * 512.0;
        // Attention: 4·s·h/2 flops a token and layer forward, five products for two backward.
        let attention = 12.0 * 3.5 * 2.0 * 512.0 * 768.0 * tokens;
        let expected = 6.0 * weights * tokens + attention;
        assert!((flops(&items) / expected - 1.0).abs() < 1e-9, "{} {expected}", flops(&items));
    }

    #[test]
    fn full_recomputation_is_the_layers_forward_once_more_and_selective_nothing_for_flash_kernels()
    {
        let (none, full) = (gpt2(Recompute::None), gpt2(Recompute::Full));
        let head = 2.0 * 768.0 * 50257.0 * 2048.0;
        let forward: f64 =
            flops(&none.iter().copied().filter(|i| i.phase == Phase::Forward).collect::<Vec<_>>());
        assert!((flops(&full) - flops(&none) - (forward - head)).abs() < 1e-3 * head);
        assert_eq!(gpt2(Recompute::Selective), none);
        let model = find("gpt2").unwrap().clone();
        let kept = Setup {
            keeps_scores: true,
            recompute: Recompute::Selective,
            seq: 512,
            ..Setup::new(model, Precision::F32)
        };
        let again: Vec<_> = training(&kept, &stages(&kept)[0], 1)
            .into_iter()
            .filter(|i| i.phase == Phase::Recompute)
            .collect();
        assert_eq!(
            again.iter().map(|i| (i.name, i.count)).collect::<Vec<_>>(),
            [("attention", 12.0)]
        );
    }

    #[test]
    fn a_split_over_devices_does_the_same_products_together() {
        let model = find("llama-3-8b").unwrap().clone();
        let one = Setup { seq: 256, ..Setup::new(model, Precision::BF16) };
        let split = Setup { tp: 4, pp: 2, gpus: 8, ..one.clone() };
        let whole = flops(&training(&one, &stages(&one)[0], 1));
        let parts: f64 =
            stages(&split).iter().map(|stage| 4.0 * flops(&training(&split, stage, 1))).sum();
        assert!((parts / whole - 1.0).abs() < 1e-9, "{parts} {whole}");
    }

    #[test]
    fn zero_updates_a_share_and_micro_batches_accumulate() {
        let model = find("llama-3-8b").unwrap().clone();
        let setup = Setup { gpus: 4, batch: 16, zero: 1, ..Setup::new(model, Precision::BF16) };
        let items = training(&setup, &stages(&setup)[0], 1);
        let update = items.iter().find(|i| i.name == "update").unwrap();
        let What::Kernel(case) = update.what else { panic!("an update is a kernel") };
        assert_eq!(case.key(), "adamw/p2007565312/f32+f32/t1/warm/burst");
        let count = |name| items.iter().find(|i| i.name == name).map(|i| i.count);
        assert_eq!((count("gradient accumulation"), count("qkv")), (Some(3.0), Some(4.0 * 32.0)));
    }
}
