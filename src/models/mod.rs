//! Models as data: a table of named networks, a reader for a user's own `config.json`, and what both are made of.
//!
//! A [`Model`] holds the sizes that decide its work; [`Model::parameters`] counts from its structure, and
//! [`Model::parts`] lists the problems that a step of it is made of. A model is one row in `table.rs`, or no code at
//! all: `--model path/to/config.json`.

pub mod config;
pub mod derive;
mod fields;
mod structure;
pub mod table;

use std::path::Path;

use crate::error::{Error, Result};
use crate::ops::DType;
use crate::units::Bytes;

pub use derive::{Part, Step};
pub use table::{builtin, size_sweep};

/// The most parameters that a model may have: those that one flat optimizer update can describe.
pub const MAX_PARAMETERS: u64 = 1 << 48;

/// How the layers of a model are built: everything that its sizes do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Encoder, learned positions, LayerNorm, all biases, GELU MLP, pooler.
    Bert,
    /// Decoder, learned positions, LayerNorm, all biases, GELU MLP.
    Gpt2,
    /// Decoder, rotary positions, RMSNorm, gated MLP, grouped-query attention.
    Llama,
    /// As Llama; attention may be limited to a sliding window.
    Mistral,
    /// As Mistral, with experts in every layer.
    Mixtral,
    /// As Llama, with biases on queries, keys and values.
    Qwen2,
    /// As Qwen2, with routed experts and a gated shared one.
    Qwen2Moe,
    /// As Llama, with an RMSNorm over each query and key.
    Qwen3,
    /// As Qwen3, with routed experts.
    Qwen3Moe,
    /// Latent attention, leading dense layers, then routed and shared experts.
    DeepseekV3,
}

impl Architecture {
    /// Every architecture.
    pub const ALL: [Architecture; 10] = [
        Architecture::Bert,
        Architecture::Gpt2,
        Architecture::Llama,
        Architecture::Mistral,
        Architecture::Mixtral,
        Architecture::Qwen2,
        Architecture::Qwen2Moe,
        Architecture::Qwen3,
        Architecture::Qwen3Moe,
        Architecture::DeepseekV3,
    ];

    /// The `model_type` of its `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Bert => "bert",
            Architecture::Gpt2 => "gpt2",
            Architecture::Llama => "llama",
            Architecture::Mistral => "mistral",
            Architecture::Mixtral => "mixtral",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen2Moe => "qwen2_moe",
            Architecture::Qwen3 => "qwen3",
            Architecture::Qwen3Moe => "qwen3_moe",
            Architecture::DeepseekV3 => "deepseek_v3",
        }
    }

    /// Whether a token attends only to those before it; an encoder's attends to all.
    pub fn causal(self) -> bool {
        self != Architecture::Bert
    }

    /// The older shape: learned positions, LayerNorm with a bias, an MLP without a gate.
    fn classic(self) -> bool {
        matches!(self, Architecture::Bert | Architecture::Gpt2)
    }

    /// Whether the MLP multiplies its hidden layer with a gate of the same width (SwiGLU).
    pub fn gated(self) -> bool {
        !self.classic()
    }

    /// Whether positions are a learned table, which no sequence can exceed.
    pub fn learned_positions(self) -> bool {
        self.classic()
    }

    /// Parameters of a norm for each element that it normalizes: 2 in LayerNorm, 1 in RMSNorm.
    pub fn norm_vectors(self) -> usize {
        if self.classic() { 2 } else { 1 }
    }

    /// Whether queries and keys are normalized head by head.
    pub fn qk_norm(self) -> bool {
        matches!(self, Architecture::Qwen3 | Architecture::Qwen3Moe)
    }

    /// Whether a dense layer over the first token follows the last layer.
    pub fn pooler(self) -> bool {
        self == Architecture::Bert
    }
}

/// The projection from the last hidden state to the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LmHead {
    /// There is none (an encoder, which is counted without its masked-language-model head).
    None,
    /// Its weight is the token embedding's.
    Tied,
    /// A weight of its own.
    Separate,
}

/// Which linear layers have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Biases {
    /// Queries, keys and values (latent attention: the projections down to the latents).
    pub qkv: bool,
    /// The attention's output.
    pub attn_out: bool,
    /// The MLP.
    pub mlp: bool,
}

/// A mixture of experts in place of the MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Moe {
    /// Routed experts of a layer.
    pub experts: usize,
    /// Routed experts that each token goes to.
    pub active: usize,
    /// Width of one routed expert.
    pub ffn: usize,
    /// Width of the shared experts together, which every token passes through; 0 for none.
    pub shared_ffn: usize,
    /// Whether a learned gate of one output scales the shared expert.
    pub shared_gate: bool,
    /// Whether the router has a bias for each expert (DeepSeek-V3's `e_score_correction_bias`).
    pub router_bias: bool,
    /// Layers that have a dense MLP instead.
    pub dense_layers: usize,
}

/// Multi-head latent attention: queries, keys and values are projected down to latents and up again (DeepSeek-V2,
/// section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mla {
    /// Size of the query latent; `None`: queries are projected directly.
    pub q_lora_rank: Option<usize>,
    /// Size of the latent that keys and values share.
    pub kv_lora_rank: usize,
    /// The part of a query and key that carries no position.
    pub qk_nope_head_dim: usize,
    /// The part that does; its key is shared by all heads.
    pub qk_rope_head_dim: usize,
}

/// A named network: the sizes that decide its work.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Lower-case name, e.g. `llama-3-8b`.
    pub name: String,
    /// How its layers are built.
    pub family: Architecture,
    /// Where the sizes come from: a paper, a model card, or the user's file.
    pub source: String,
    /// Transformer layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Length of a query and a key; not always `hidden / heads`.
    pub head_dim: usize,
    /// Length of a value; differs from `head_dim` in latent attention.
    pub head_dim_v: usize,
    /// Width of the dense MLP; of one routed expert where no layer is dense.
    pub ffn: usize,
    /// Tokens in the vocabulary, as embedded.
    pub vocab: usize,
    /// Longest sequence that the model was made for.
    pub context: usize,
    /// Rows of the token type table (BERT's segments); 0 for none.
    pub token_types: usize,
    /// Tokens that attention looks back over, where it is limited.
    pub window: Option<usize>,
    /// The projection to the vocabulary.
    pub lm_head: LmHead,
    /// Which linear layers have a bias.
    pub biases: Biases,
    /// Experts, where it has them.
    pub moe: Option<Moe>,
    /// Latent attention, where it has it.
    pub mla: Option<Mla>,
}

impl Model {
    /// Whether the projection to the vocabulary uses the embedding's weight.
    pub fn tied(&self) -> bool {
        self.lm_head == LmHead::Tied
    }

    /// Memory of a KV cache with `seq` tokens for each of `batch` sequences, all layers together; none for an encoder.
    ///
    /// Keys and values of every KV head, as the decode in [`Model::parts`] reads them. For latent attention too: that
    /// is the form in which it is published; caching the latent instead is another kernel.
    pub fn kv_cache_bytes(&self, batch: usize, seq: usize, dtype: DType) -> Bytes {
        if !self.family.causal() {
            return Bytes(0);
        }
        let token = self.layers * self.kv_heads * (self.head_dim + self.head_dim_v) * dtype.size();
        Bytes((batch as u64).saturating_mul(seq as u64).saturating_mul(token as u64))
    }
}

/// The built-in model of this name or alias, upper or lower case; also one of [`size_sweep`].
///
/// # Errors
/// [`Error::Usage`] with the nearest name, when there is none.
pub fn find(name: &str) -> Result<&'static Model> {
    let wanted = name.trim().to_ascii_lowercase().replace([' ', '_'], "-");
    let canonical = table::ALIASES
        .iter()
        .find(|(alias, _)| *alias == wanted)
        .map_or(wanted.as_str(), |(_, canonical)| canonical);
    table::all().find(|m| m.name == canonical).ok_or_else(|| {
        let names = table::all().map(|m| (m.name.as_str(), m.name.as_str()));
        let nearest = names
            .chain(table::ALIASES.iter().copied())
            .map(|(known, canonical)| (strsim::jaro_winkler(known, &wanted), canonical))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness > 0.75)
            .map_or(String::new(), |(_, name)| format!("did you mean `{name}`? "));
        Error::Usage(format!("unknown model `{name}`; {nearest}`scalemark models` lists them"))
    })
}

/// The model that an argument of `--model` means: a `config.json` (or a folder that holds one) if it looks like a path
/// or is one, a built-in model otherwise.
///
/// # Errors
/// [`Error::Usage`] for an unknown name, [`Error::Io`] or [`Error::Format`] for a file that cannot be used.
pub fn resolve(name_or_path: &str) -> Result<Model> {
    let path = Path::new(name_or_path);
    let is_path = name_or_path.contains(std::path::MAIN_SEPARATOR)
        || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    match find(name_or_path) {
        Ok(model) if !is_path => Ok(model.clone()),
        Err(unknown) if !is_path && !path.exists() => Err(unknown),
        _ => config::read(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_name_alias_and_in_any_case() {
        assert_eq!(find("gpt2").unwrap().hidden, 768);
        assert_eq!(find("BERT-Base-Uncased").unwrap().name, "bert-base");
        assert_eq!(find("Llama 3 8B").unwrap().name, "llama-3-8b");
        assert_eq!(find("sweep-125m").unwrap().layers, 12);
    }

    #[test]
    fn an_unknown_model_is_answered_with_the_nearest_name() {
        let message = |name| find(name).unwrap_err().to_string();
        assert_eq!(
            message("bert-bse"),
            "unknown model `bert-bse`; did you mean `bert-base`? `scalemark models` lists them"
        );
        assert!(message("qwen3-30b-a3").contains("`qwen3-30b-a3b`"));
        assert!(message("lama-3-70b").contains("`llama-3-70b`"));
        assert_eq!(message("zzz"), "unknown model `zzz`; `scalemark models` lists them");
        assert_eq!(message(""), "unknown model ``; `scalemark models` lists them");
    }

    #[test]
    fn what_looks_like_a_path_is_read_as_one() {
        let error = resolve("no/such/config.json").unwrap_err().to_string();
        assert!(error.starts_with("failed to read no/such/config.json"), "{error}");
        assert!(resolve("gpt2.json").unwrap_err().to_string().contains("gpt2.json"));
        assert_eq!(resolve("gpt2").unwrap(), *find("gpt2").unwrap());
    }

    #[test]
    fn a_kv_cache_holds_keys_and_values_of_every_kv_head() {
        // Llama-3-8B: 2 · 32 layers · 8 heads · 128 · 2 bytes = 128 KiB a token.
        let llama = find("llama-3-8b").unwrap();
        assert_eq!(llama.kv_cache_bytes(1, 1, DType::Bf16), Bytes(128 << 10));
        assert_eq!(llama.kv_cache_bytes(4, 8192, DType::I8), Bytes(2 << 30));
        assert_eq!(find("bert-base").unwrap().kv_cache_bytes(1, 512, DType::F32), Bytes(0));
        assert_eq!(llama.kv_cache_bytes(usize::MAX, 2, DType::F32), Bytes(u64::MAX));
    }
}
