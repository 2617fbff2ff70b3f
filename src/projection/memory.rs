//! What a device must hold: parameters, gradients, optimizer state, activations, caches.
//!
//! - Parameters, gradients, state: Rajbhandari et al. 2020, ZeRO, section 3: 2 + 2 + 12 bytes a parameter for Adam in mixed
//!   precision; stage 1 spreads the 12 over the copies of the model, stage 2 the gradients too, stage 3 everything.
//! - Activations: Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models", section 4, whose
//!   count of `sbh(34 + 5as/h)` bytes a layer stands here tensor by tensor, so that gated MLPs, grouped KV heads, experts
//!   and other number formats come out too. Attention of FlashAttention's kind keeps no scores, but one f32 a row.
//! - A pipeline of p stages keeps up to p micro-batches alive in its first stage (1F1B), p − 1 in its second, and so on.

use serde::Serialize;

use super::setup::{Recompute, Setup};
use super::shard::Stage;
use crate::models::{LmHead, Model};

/// One thing that takes memory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// Bytes on one device.
    pub bytes: f64,
}

/// The memory of a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Memory {
    /// The stage whose devices need most, from 0.
    pub stage: usize,
    /// What takes it.
    pub parts: Vec<Part>,
}

impl Memory {
    /// All parts together, in bytes.
    pub fn total(&self) -> f64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The bytes of a part; 0 where there is none.
    pub fn of(&self, name: &str) -> f64 {
        self.parts.iter().filter(|part| part.name == name).map(|part| part.bytes).sum()
    }

    fn new(stage: &Stage, parts: Vec<(&'static str, f64)>) -> Memory {
        let parts = parts.into_iter().filter(|(_, bytes)| *bytes > 0.0);
        let parts = parts.map(|(name, bytes)| Part { name, bytes }).collect();
        Memory { stage: stage.index, parts }
    }
}

/// The memory of the devices that need most in a training step; `workspace` is what kernels take beside their operands.
pub fn training(setup: &Setup, stages: &[Stage], workspace: f64) -> Memory {
    let of = |stage: &Stage| {
        let mut parts = states(setup, stage.params as f64);
        parts.extend(activations(setup, stage, stages.len()));
        parts.push(("workspace", workspace));
        Memory::new(stage, parts)
    };
    most(stages.iter().map(of))
}

/// The memory of the devices that need most in a decode step.
pub fn decode(setup: &Setup, stages: &[Stage], workspace: f64) -> Memory {
    let of = |stage: &Stage| {
        let element = setup.precision.inputs.size() as f64;
        let cache = stage.model.kv_cache_bytes(setup.decode_batch, setup.context, setup.kv);
        let tokens = setup.decode_batch as f64;
        // One layer's tensors are reused by the next.
        let mut alive = tokens * layer_elements(&stage.model).all() * element;
        if stage.last && stage.model.lm_head != LmHead::None {
            alive += tokens * stage.model.vocab as f64 * 4.0;
        }
        let parts = vec![
            ("parameters", element * stage.params as f64),
            ("KV cache", cache.0 as f64),
            ("activations", alive),
            ("workspace", workspace),
        ];
        Memory::new(stage, parts)
    };
    most(stages.iter().map(of))
}

fn most(all: impl Iterator<Item = Memory>) -> Memory {
    let none = Memory { stage: 0, parts: Vec::new() };
    all.max_by(|a, b| a.total().total_cmp(&b.total())).unwrap_or(none)
}

/// Bytes of `params` parameters, of their gradients and of the optimizer's state, on one device.
pub fn states(setup: &Setup, params: f64) -> Vec<(&'static str, f64)> {
    let copies = setup.data_parallel() as f64;
    let share = |stage| if setup.zero >= stage { copies } else { 1.0 };
    let element = setup.element() as f64;
    let moments = (setup.rule.moments() * setup.moments.size()) as f64;
    let master = if setup.master_weights { 4.0 } else { 0.0 };
    vec![
        ("parameters", element * params / share(3)),
        ("gradients", element * params / share(2)),
        ("optimizer state", (moments + master) * params / share(1)),
    ]
}

/// Elements that a layer keeps for each token, by what tensor parallelism does with them.
struct Elements {
    /// Inputs of norms and of the products behind them: whole on every device, unless the sequence is split too.
    copied: f64,
    /// Heads and the hidden layer of the MLP: already a device's share.
    split: f64,
    /// Of `copied`, masks of one byte (dropout).
    masks: f64,
}

impl Elements {
    fn all(&self) -> f64 {
        self.copied + self.split
    }
}

/// The tensors of one layer, averaged over dense ones and those with experts; [`Model`] is a device's share.
///
/// Per token: both norms' inputs, the inputs of the first product of attention and of the MLP (h each); queries, keys, values,
/// and the output of attention; the MLP's hidden layer before and after its activation (gated: gate, up and product).
fn layer_elements(m: &Model) -> Elements {
    let hidden = m.hidden as f64;
    let (queries, out) = ((m.heads * m.head_dim) as f64, (m.heads * m.head_dim_v) as f64);
    let kv = (m.kv_heads * (m.head_dim + m.head_dim_v)) as f64;
    let latents = m
        .mla
        .map_or(0, |mla| mla.q_lora_rank.unwrap_or(0) + mla.kv_lora_rank + mla.qk_rope_head_dim);
    let wide = if m.family.gated() { 3.0 } else { 2.0 };
    let layers = m.layers.max(1) as f64;
    let dense = m.moe.map_or(m.layers, |moe| moe.dense_layers.min(m.layers)) as f64;
    let mlp = dense / layers * m.ffn as f64;
    let experts = m.moe.map_or((0.0, 0.0), |moe| {
        let sparse = 1.0 - dense / layers;
        // Each expert reads a row of its own.
        let rows = sparse * (moe.active as f64) * hidden;
        (sparse * (moe.active * moe.ffn + moe.shared_ffn) as f64, rows)
    });
    // The older families are trained with dropout behind attention and MLP.
    let masks = if m.family.gated() { 0.0 } else { 2.0 * hidden };
    Elements {
        copied: 4.0 * hidden + latents as f64 + experts.1,
        split: queries + kv + out + wide * (mlp + experts.0),
        masks,
    }
}

/// Bytes that one layer keeps of one micro-batch on one device; `recompute` as in [`Recompute`].
pub fn layer_bytes(setup: &Setup, share: &Model, recompute: Recompute) -> f64 {
    let (batch, seq) = (setup.micro_batch as f64, setup.seq as f64);
    let tokens = batch * seq;
    let element = setup.element() as f64;
    let split = if setup.sequence_parallel { setup.tp as f64 } else { 1.0 };
    if recompute == Recompute::Full {
        return tokens * share.hidden as f64 * element / split;
    }
    let elements = layer_elements(share);
    let copied = (element * elements.copied + elements.masks) / split;
    let rows = batch * share.heads as f64 * seq;
    let scores = match (setup.keeps_scores, recompute) {
        // Softmax's output, its dropout's mask of a byte, and what dropout leaves.
        (true, Recompute::None) => rows * seq * (2.0 * element + 1.0),
        (true, _) => 0.0,
        // The log-sum-exp of each row.
        (false, _) => 4.0 * rows,
    };
    tokens * (copied + element * elements.split) + scores
}

/// Activations, and what is alive while a step runs.
fn activations(setup: &Setup, stage: &Stage, stages: usize) -> Vec<(&'static str, f64)> {
    let share = &stage.model;
    let tokens = setup.micro_batch as f64 * setup.seq as f64;
    let element = setup.element() as f64;
    let split = if setup.sequence_parallel { setup.tp as f64 } else { 1.0 };
    let alive = setup.micro_batches().min(stages - stage.index) as f64;
    let layers = share.layers as f64;
    let mut kept = alive * layers * layer_bytes(setup, share, setup.recompute);
    if setup.recompute == Recompute::Full {
        // The layer that is being computed again, in whole.
        kept += layer_bytes(setup, share, Recompute::None);
    }
    let hidden = share.hidden as f64;
    let mut head = 0.0;
    if stage.last {
        // The input of the last norm and of the head.
        kept += 2.0 * tokens * hidden * element / split;
        if share.lm_head != LmHead::None {
            // Logits and their gradient, in f32: losses are not computed in 16 bits.
            head = 4.0 * tokens * share.vocab as f64;
        }
    }
    vec![("activations", kept), ("logits", head)]
}

#[cfg(test)]
mod tests;
