//! The linear layers of a model: the one list that parameter counts and matrix products are both derived from.

use super::{LmHead, MAX_PARAMETERS, Model};

/// A linear layer, or one for each expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Linear {
    /// What it is called in a step.
    pub name: &'static str,
    /// How many layers of the model have one.
    pub layers: usize,
    /// Inputs.
    pub inputs: usize,
    /// Outputs; layers that read the same input (QKV; gate and up) are one product, as engines fuse them.
    pub outputs: usize,
    /// Whether it has a bias for each output.
    pub bias: bool,
    /// Experts, and how many of them a token goes to.
    pub experts: Option<(usize, usize)>,
    /// Whether the weight is another's.
    pub tied: bool,
}

impl Linear {
    /// Parameters of all layers together, counting `copies` experts of each.
    fn parameters(&self, copies: usize) -> u128 {
        if self.tied {
            return 0;
        }
        let one = self.inputs as u128 * self.outputs as u128
            + if self.bias { self.outputs as u128 } else { 0 };
        one * self.layers as u128 * copies as u128
    }
}

impl Model {
    /// The linear layers, in the order in which a token passes through them.
    pub(super) fn linears(&self) -> Vec<Linear> {
        let mut all = self.attention_linears();
        all.extend(self.mlp_linears());
        if self.lm_head != LmHead::None {
            let head = linear("lm-head", 1, self.hidden, self.vocab, false);
            all.push(Linear { tied: self.tied(), ..head });
        }
        all
    }

    fn attention_linears(&self) -> Vec<Linear> {
        let (layers, hidden, heads) = (self.layers, self.hidden, self.heads);
        let bias = self.biases;
        let out = linear("attn-out", layers, heads * self.head_dim_v, hidden, bias.attn_out);
        let Some(mla) = self.mla else {
            let qkv = heads * self.head_dim + self.kv_heads * (self.head_dim + self.head_dim_v);
            return vec![linear("qkv", layers, hidden, qkv, bias.qkv), out];
        };
        let queries = heads * self.head_dim;
        let mut all = match mla.q_lora_rank {
            Some(rank) => vec![
                linear("q-a", layers, hidden, rank, bias.qkv),
                linear("q-b", layers, rank, queries, false),
            ],
            None => vec![linear("q", layers, hidden, queries, false)],
        };
        let latent = mla.kv_lora_rank + mla.qk_rope_head_dim;
        let expanded = heads * (mla.qk_nope_head_dim + self.head_dim_v);
        all.push(linear("kv-a", layers, hidden, latent, bias.qkv));
        all.push(linear("kv-b", layers, mla.kv_lora_rank, expanded, false));
        all.push(out);
        all
    }

    fn mlp_linears(&self) -> Vec<Linear> {
        let (hidden, bias) = (self.hidden, self.biases.mlp);
        let dense_layers = self.moe.map_or(self.layers, |moe| moe.dense_layers);
        let mut all = Vec::new();
        if dense_layers > 0 {
            all.push(if self.family.gated() {
                linear("mlp-gate-up", dense_layers, hidden, 2 * self.ffn, bias)
            } else {
                linear("mlp-up", dense_layers, hidden, self.ffn, bias)
            });
            all.push(linear("mlp-down", dense_layers, self.ffn, hidden, bias));
        }
        let Some(moe) = self.moe.filter(|moe| moe.dense_layers < self.layers) else { return all };
        let sparse = self.layers - moe.dense_layers;
        let experts = Some((moe.experts, moe.active));
        all.push(linear("router", sparse, hidden, moe.experts, moe.router_bias));
        let up = linear("experts-up", sparse, hidden, 2 * moe.ffn, false);
        all.push(Linear { experts, ..up });
        let down = linear("experts-down", sparse, moe.ffn, hidden, false);
        all.push(Linear { experts, ..down });
        if moe.shared_ffn > 0 {
            all.push(linear("shared-up", sparse, hidden, 2 * moe.shared_ffn, false));
            all.push(linear("shared-down", sparse, moe.shared_ffn, hidden, false));
            if moe.shared_gate {
                all.push(linear("shared-gate", sparse, hidden, 1, false));
            }
        }
        all
    }

    /// Parameters outside the layers of [`Model::linears`]: embeddings, norms, and the pooler.
    fn other_parameters(&self) -> u128 {
        let family = self.family;
        let positions = if family.learned_positions() { self.context } else { 0 };
        let tables = (self.vocab + positions + self.token_types) as u128 * self.hidden as u128;
        // Two norms a layer, and one after the last (BERT: after the embedding).
        let norms = (2 * self.layers + 1) as u128 * (self.hidden * family.norm_vectors()) as u128;
        let qk_norms = if family.qk_norm() { 2 * self.head_dim } else { 0 };
        let latent_norms =
            self.mla.map_or(0, |mla| mla.q_lora_rank.unwrap_or(0) + mla.kv_lora_rank);
        let pooler =
            if family.pooler() { (self.hidden as u128 + 1) * self.hidden as u128 } else { 0 };
        tables + norms + self.layers as u128 * (qk_norms + latent_norms) as u128 + pooler
    }

    /// All parameters, in a width that no sizes overflow.
    pub(super) fn exact_parameters(&self) -> u128 {
        let linears = self.linears();
        let own = linears.iter().map(|l| l.parameters(l.experts.map_or(1, |(all, _)| all)));
        own.sum::<u128>() + self.other_parameters()
    }

    /// Parameters: embeddings, layers, norms, and the head unless it is tied. BERT with its pooler and without its
    /// masked-language-model head; DeepSeek-V3 without its multi-token-prediction module.
    pub fn parameters(&self) -> u64 {
        self.exact_parameters().min(u128::from(u64::MAX)) as u64
    }

    /// Parameters that one token passes through: all, but for the routed experts that it does not go to. Embeddings and
    /// head are included.
    pub fn active_parameters(&self) -> u64 {
        let linears = self.linears();
        let own = linears.iter().map(|l| l.parameters(l.experts.map_or(1, |(_, active)| active)));
        (own.sum::<u128>() + self.other_parameters()).min(u128::from(u64::MAX)) as u64
    }

    /// Whether the sizes multiply to more than [`MAX_PARAMETERS`].
    pub(super) fn is_too_large(&self) -> bool {
        self.exact_parameters() > u128::from(MAX_PARAMETERS)
    }
}

fn linear(name: &'static str, layers: usize, inputs: usize, outputs: usize, bias: bool) -> Linear {
    Linear { name, layers, inputs, outputs, bias, experts: None, tied: false }
}

#[cfg(test)]
mod tests {
    use crate::models::find;

    /// Exact totals and active ones: `sum(p.numel() for p in model.parameters())` of the published checkpoints. GPT-3
    /// has none; its number is that of GPT-2's layers in the shape that its paper tells.
    const TOTALS: [(&str, u64, u64); 16] = [
        ("bert-base", 109_482_240, 109_482_240),
        ("bert-large", 335_141_888, 335_141_888),
        ("gpt2", 124_439_808, 124_439_808),
        ("gpt2-medium", 354_823_168, 354_823_168),
        ("gpt2-large", 774_030_080, 774_030_080),
        ("gpt2-xl", 1_557_611_200, 1_557_611_200),
        ("gpt3-175b", 174_604_259_328, 174_604_259_328),
        ("llama-3-8b", 8_030_261_248, 8_030_261_248),
        ("llama-3-70b", 70_553_706_496, 70_553_706_496),
        ("llama-3.1-405b", 405_853_388_800, 405_853_388_800),
        ("mixtral-8x7b", 46_702_792_704, 12_879_925_248),
        ("deepseek-v3", 671_026_419_200, 37_552_297_472),
        ("qwen3-0.6b", 596_049_920, 596_049_920),
        ("qwen3-8b", 8_190_735_360, 8_190_735_360),
        ("qwen3-32b", 32_762_123_264, 32_762_123_264),
        ("qwen3-30b-a3b", 30_532_122_624, 3_353_032_704),
    ];

    #[test]
    fn parameters_are_exactly_those_of_the_published_models() {
        for (name, total, active) in TOTALS {
            let model = find(name).unwrap();
            assert_eq!(model.parameters(), total, "{name}");
            assert_eq!(model.active_parameters(), active, "{name}, active");
        }
        assert_eq!(TOTALS.len(), crate::models::builtin().len());
    }
}
