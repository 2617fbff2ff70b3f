//! The built-in models, and the sweep in which only the size grows.

use std::sync::LazyLock;

use super::{Architecture, Biases, LmHead, Mla, Model, Moe};

/// Other names that models go by.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("bert-base-uncased", "bert-base"),
    ("bert-large-uncased", "bert-large"),
    ("gpt2-small", "gpt2"),
    ("gpt-2", "gpt2"),
    ("gpt-2-small", "gpt2"),
    ("gpt-2-medium", "gpt2-medium"),
    ("gpt-2-large", "gpt2-large"),
    ("gpt-2-xl", "gpt2-xl"),
    ("gpt3", "gpt3-175b"),
    ("gpt-3", "gpt3-175b"),
    ("gpt-3-175b", "gpt3-175b"),
    ("llama3-8b", "llama-3-8b"),
    ("meta-llama-3-8b", "llama-3-8b"),
    ("llama3-70b", "llama-3-70b"),
    ("meta-llama-3-70b", "llama-3-70b"),
    ("llama-3-405b", "llama-3.1-405b"),
    ("llama3.1-405b", "llama-3.1-405b"),
    ("meta-llama-3.1-405b", "llama-3.1-405b"),
    ("mixtral", "mixtral-8x7b"),
    ("mixtral-8x7b-v0.1", "mixtral-8x7b"),
    ("deepseek", "deepseek-v3"),
    ("deepseekv3", "deepseek-v3"),
    ("deepseek-r1", "deepseek-v3"),
    ("qwen3-30b", "qwen3-30b-a3b"),
];

static BUILTIN: LazyLock<Vec<Model>> = LazyLock::new(|| {
    const GPT2: &str = "Radford et al. 2019";
    vec![
        bert("bert-base", 12, 768, 12),
        bert("bert-large", 24, 1024, 16),
        gpt("gpt2", GPT2, [12, 768, 12], 1024),
        gpt("gpt2-medium", GPT2, [24, 1024, 16], 1024),
        gpt("gpt2-large", GPT2, [36, 1280, 20], 1024),
        gpt("gpt2-xl", GPT2, [48, 1600, 25], 1024),
        gpt("gpt3-175b", "Brown et al. 2020, table 2.1", [96, 12288, 96], 2048),
        llama("llama-3-8b", "Llama 3 model card", [32, 4096, 32], 14336, 8192),
        llama("llama-3-70b", "Llama 3 model card", [80, 8192, 64], 28672, 8192),
        llama("llama-3.1-405b", "Llama 3.1 model card", [126, 16384, 128], 53248, 131_072),
        mixtral(),
        deepseek_v3(),
        Model { lm_head: LmHead::Tied, ..qwen3("qwen3-0.6b", [28, 1024, 16], 8, 3072) },
        qwen3("qwen3-8b", [36, 4096, 32], 8, 12288),
        qwen3("qwen3-32b", [64, 5120, 64], 8, 25600),
        qwen3_30b_a3b(),
    ]
});

static SWEEP: LazyLock<Vec<Model>> = LazyLock::new(|| {
    const WIDTHS: [(&str, usize); 10] = [
        ("16m", 256),
        ("51m", 512),
        ("125m", 768),
        ("350m", 1024),
        ("760m", 1536),
        ("1.3b", 2048),
        ("2.7b", 2560),
        ("6.7b", 4096),
        ("13b", 5120),
        ("175b", 12288),
    ];
    let source = "depths of Brown et al. 2020, table 2.1";
    let model = |(size, hidden)| {
        gpt(&format!("sweep-{size}"), source, [sweep_depth(hidden), hidden, hidden / 64], 2048)
    };
    WIDTHS.map(model).to_vec()
});

/// The built-in models, small to large within each family.
pub fn builtin() -> &'static [Model] {
    &BUILTIN
}

/// Every model that has a name: the built-in ones and the sweep.
pub(super) fn all() -> impl Iterator<Item = &'static Model> {
    BUILTIN.iter().chain(SWEEP.iter())
}

/// GPT-like models in which only the hidden size grows, from 256 to 12288: for scaling curves.
///
/// Everything else follows from the hidden size: the depth is that of GPT-3's models of the same width (Brown et al.
/// 2020, table 2.1; below 768 it keeps the 64:1 of the smallest), heads are 64 long, the MLP is four times as wide,
/// vocabulary (50257) and context (2048) stay. The names carry the sizes of GPT-3's table, which rounds.
pub fn size_sweep() -> Vec<Model> {
    SWEEP.clone()
}

/// Layers of a GPT-3 model of this width.
fn sweep_depth(hidden: usize) -> usize {
    match hidden {
        0..1024 => hidden / 64,
        1024..2560 => 24,
        2560..5120 => 32,
        5120..12288 => 40,
        _ => 96,
    }
}

/// A model with four-fold MLP, heads of `hidden / heads`, one KV head a head, and all biases; `shape` is layers, hidden
/// size and heads.
pub(crate) fn dense(name: &str, family: Architecture, source: &str, shape: [usize; 3]) -> Model {
    let [layers, hidden, heads] = shape;
    Model {
        name: name.into(),
        family,
        source: source.into(),
        layers,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        head_dim_v: hidden / heads,
        ffn: 4 * hidden,
        vocab: 50257,
        context: 1024,
        token_types: 0,
        window: None,
        lm_head: LmHead::Tied,
        biases: Biases { qkv: true, attn_out: true, mlp: true },
        moe: None,
        mla: None,
    }
}

fn bert(name: &str, layers: usize, hidden: usize, heads: usize) -> Model {
    Model {
        vocab: 30522,
        context: 512,
        token_types: 2,
        lm_head: LmHead::None,
        ..dense(name, Architecture::Bert, "Devlin et al. 2018", [layers, hidden, heads])
    }
}

fn gpt(name: &str, source: &str, shape: [usize; 3], context: usize) -> Model {
    Model { context, ..dense(name, Architecture::Gpt2, source, shape) }
}

fn llama(name: &str, source: &str, shape: [usize; 3], ffn: usize, context: usize) -> Model {
    Model {
        kv_heads: 8,
        ffn,
        vocab: 128_256,
        context,
        lm_head: LmHead::Separate,
        biases: Biases::default(),
        ..dense(name, Architecture::Llama, source, shape)
    }
}

fn mixtral() -> Model {
    Model {
        family: Architecture::Mixtral,
        vocab: 32000,
        moe: Some(Moe {
            experts: 8,
            active: 2,
            ffn: 14336,
            shared_ffn: 0,
            shared_gate: false,
            router_bias: false,
            dense_layers: 0,
        }),
        ..llama("mixtral-8x7b", "Jiang et al. 2024", [32, 4096, 32], 14336, 32768)
    }
}

fn qwen3(name: &str, shape: [usize; 3], kv_heads: usize, ffn: usize) -> Model {
    Model {
        kv_heads,
        head_dim: 128,
        head_dim_v: 128,
        vocab: 151_936,
        family: Architecture::Qwen3,
        ..llama(name, "Qwen3 model card", shape, ffn, 40960)
    }
}

fn qwen3_30b_a3b() -> Model {
    Model {
        family: Architecture::Qwen3Moe,
        moe: Some(Moe {
            experts: 128,
            active: 8,
            ffn: 768,
            shared_ffn: 0,
            shared_gate: false,
            router_bias: false,
            dense_layers: 0,
        }),
        ..qwen3("qwen3-30b-a3b", [48, 2048, 32], 4, 768)
    }
}

fn deepseek_v3() -> Model {
    Model {
        family: Architecture::DeepseekV3,
        kv_heads: 128,
        head_dim: 192,
        head_dim_v: 128,
        vocab: 129_280,
        moe: Some(Moe {
            experts: 256,
            active: 8,
            ffn: 2048,
            shared_ffn: 2048,
            shared_gate: false,
            router_bias: true,
            dense_layers: 3,
        }),
        mla: Some(Mla {
            q_lora_rank: Some(1536),
            kv_lora_rank: 512,
            qk_nope_head_dim: 128,
            qk_rope_head_dim: 64,
        }),
        ..llama("deepseek-v3", "DeepSeek-AI 2024", [61, 7168, 128], 18432, 163_840)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::models::find;

    #[test]
    fn names_are_unique_and_aliases_lead_to_models() {
        let mut seen = HashSet::new();
        for name in all().map(|m| m.name.as_str()).chain(ALIASES.iter().map(|(alias, _)| *alias)) {
            assert!(seen.insert(name), "{name} stands twice");
            assert_eq!(name, name.to_lowercase(), "names are lower case");
        }
        for (alias, name) in ALIASES {
            assert_eq!(find(alias).unwrap().name, *name);
        }
    }

    #[test]
    fn the_sweep_grows_in_hidden_size_alone_and_spans_four_decades() {
        let sweep = size_sweep();
        assert!(sweep.windows(2).all(|w| w[0].hidden < w[1].hidden && w[0].layers <= w[1].layers));
        for m in &sweep {
            assert_eq!((m.head_dim, m.ffn, m.kv_heads), (64, 4 * m.hidden, m.heads), "{}", m.name);
        }
        let span = sweep.last().unwrap().parameters() as f64 / sweep[0].parameters() as f64;
        assert!(span > 1e4, "{span}");
    }

    #[test]
    fn sweep_names_tell_the_size() {
        for m in size_sweep() {
            let size = m.name.trim_start_matches("sweep-");
            let (number, unit) = size.split_at(size.len() - 1);
            let scale = if unit == "b" { 1e9 } else { 1e6 };
            let named = number.parse::<f64>().unwrap() * scale;
            let ratio = m.parameters() as f64 / named;
            assert!((0.93..1.07).contains(&ratio), "{}: {}", m.name, m.parameters());
        }
    }
}
