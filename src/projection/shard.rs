//! What one device holds of a model that is spread by tensor and pipeline parallelism.
//!
//! The share of a tensor-parallel device is a model by itself: fewer heads, a narrower MLP, a part of the vocabulary
//! (Shoeybi et al. 2019). So its products and its parameters are those that [`crate::models`] derives.

use super::setup::Setup;
use crate::models::{LmHead, Model, Moe};

/// Neighbouring layers on one device of each tensor-parallel group.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The device's share of the stage's layers: head only in the last stage.
    pub model: Model,
    /// From 0.
    pub index: usize,
    /// Whether it holds the embedding.
    pub first: bool,
    /// Whether it holds the final norm, the head and the loss.
    pub last: bool,
    /// Parameters on the device; a tied head's weight stands in the first stage and in the last.
    pub params: u64,
}

/// The stages of a setup, first to last; layers that do not come out even go to the early ones.
pub fn stages(setup: &Setup) -> Vec<Stage> {
    let (model, pp) = (tensor_share(&setup.model, setup.tp), setup.pp.max(1));
    let mut from = 0;
    let stage = |index| {
        let layers = model.layers / pp + usize::from(index < model.layers % pp);
        let (first, last) = (index == 0, index + 1 == pp);
        let dense = |moe: Moe| moe.dense_layers.clamp(from, from + layers) - from;
        let moe = model.moe.map(|moe| Moe { dense_layers: dense(moe), ..moe });
        let lm_head = if last { model.lm_head } else { LmHead::None };
        from += layers;
        let share = Model { layers, moe, lm_head, ..model.clone() };
        let params = parameters(&share, first, last);
        Stage { model: share, index, first, last, params }
    };
    (0..pp).map(stage).collect()
}

/// The share of one of `tp` devices. KV heads that are fewer than devices are copied; the vocabulary is padded.
fn tensor_share(model: &Model, tp: usize) -> Model {
    let moe =
        model.moe.map(|moe| Moe { ffn: moe.ffn / tp, shared_ffn: moe.shared_ffn / tp, ..moe });
    Model {
        heads: model.heads / tp,
        kv_heads: (model.kv_heads / tp).max(1),
        ffn: model.ffn / tp,
        vocab: model.vocab.div_ceil(tp),
        moe,
        ..model.clone()
    }
}

/// [`Model::parameters`] counts a whole network; a stage in the middle has neither embedding nor final norm.
fn parameters(share: &Model, first: bool, last: bool) -> u64 {
    let all = share.parameters();
    let hidden = share.hidden as u64;
    let family = share.family;
    let positions = if family.learned_positions() { share.context } else { 0 } as u64;
    let words = share.vocab as u64 * hidden;
    let others = (positions + share.token_types as u64) * hidden;
    let final_norm = hidden * family.norm_vectors() as u64;
    let pooler = if family.pooler() { (hidden + 1) * hidden } else { 0 };
    let mut gone = 0;
    if !first {
        gone += others + if last && share.tied() { 0 } else { words };
    }
    if !last {
        gone += final_norm + pooler;
    }
    all.saturating_sub(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{builtin, find};
    use crate::ops::Precision;

    fn split(name: &str, tp: usize, pp: usize) -> (Setup, Vec<Stage>) {
        let model = find(name).unwrap().clone();
        let setup = Setup { tp, pp, gpus: tp * pp, ..Setup::new(model, Precision::BF16) };
        let stages = stages(&setup);
        (setup, stages)
    }

    #[test]
    fn the_stages_of_every_model_hold_all_its_layers_and_parameters() {
        for model in builtin() {
            for pp in [1, 2, 5, model.layers] {
                let setup = Setup { pp, gpus: pp, ..Setup::new(model.clone(), Precision::F32) };
                let stages = stages(&setup);
                assert_eq!(stages.iter().map(|s| s.model.layers).sum::<usize>(), model.layers);
                let copied = if model.tied() && pp > 1 { model.vocab * model.hidden } else { 0 };
                let sum: u64 = stages.iter().map(|s| s.params).sum();
                assert_eq!(sum, model.parameters() + copied as u64, "{} in {pp}", model.name);
            }
        }
    }

    #[test]
    fn a_tensor_parallel_share_is_a_part_and_what_cannot_be_split_is_copied() {
        let (setup, stages) = split("gpt3-175b", 8, 1);
        let (whole, share) = (setup.model.parameters() as f64, stages[0].params as f64);
        // Norms, positions and the biases behind row-parallel layers are copied: little.
        assert!(share * 8.0 > whole && share * 8.0 < 1.003 * whole, "{share} of {whole}");
        assert_eq!((stages[0].model.heads, stages[0].model.ffn), (12, 6144));
        let (_, stages) = split("llama-3-8b", 16, 1);
        assert_eq!((stages[0].model.heads, stages[0].model.kv_heads), (2, 1));
    }

    #[test]
    fn leading_dense_layers_of_deepseek_stand_in_the_first_stage() {
        let (_, stages) = split("deepseek-v3", 1, 4);
        let layers: Vec<_> =
            stages.iter().map(|s| (s.model.layers, s.model.moe.unwrap().dense_layers)).collect();
        assert_eq!(layers, [(16, 3), (15, 0), (15, 0), (15, 0)]);
    }
}
