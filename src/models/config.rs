//! A model from a Hugging Face `config.json`.
//!
//! Fields keep the meaning that the `transformers` library gives them, with its default where published files leave one
//! out. What would change the work and is not modelled (cross-attention, relative positions) is an error, never ignored.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::fields::{Fields, MAX_LAYERS, MAX_SIZE};
use super::{Architecture, Biases, LmHead, MAX_PARAMETERS, Mla, Model, Moe};
use crate::error::{Error, Result};

/// Published files have a few kilobytes.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a `config.json`, or that of a folder. The model is named after the file, or after its folder when the file's
/// own name is `config.json`.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Format`] with the field's name when a field is missing, absurd
/// or not supported.
pub fn read(path: &Path) -> Result<Model> {
    if path.is_dir() {
        return read(&path.join("config.json"));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(Error::io("read", path))?;
    parse(&bytes, path)
}

/// The model that the bytes of a `config.json` describe; `path` names it, and the file in errors.
///
/// # Errors
/// [`Error::Format`], as in [`read`].
pub fn parse(bytes: &[u8], path: &Path) -> Result<Model> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::format(path, None, "larger than 4 MiB, so not a model's config.json"));
    }
    let value = serde_json::from_slice(bytes).map_err(|error| {
        let line = (error.line() > 0).then_some(error.line() as u64);
        Error::format(path, line, format!("not JSON: {error}"))
    })?;
    let fields = Fields::new(path, &value)?;
    let family = architecture(&fields)?;
    let mut model = match family {
        Architecture::Bert => bert(&fields)?,
        Architecture::Gpt2 => gpt2(&fields)?,
        _ => modern(&fields, family)?,
    };
    model.name = name_of(path, family);
    if model.is_too_large() {
        let reason = format!(
            "its sizes multiply to {:.3e} parameters, more than the supported {MAX_PARAMETERS:.3e}; \
             look at `num_hidden_layers`, `hidden_size`, `intermediate_size` and `vocab_size`",
            model.exact_parameters() as f64
        );
        return Err(Error::format(path, None, reason));
    }
    Ok(model)
}

fn architecture(fields: &Fields<'_>) -> Result<Architecture> {
    let name = fields.text("model_type")?;
    Architecture::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| {
        let known = Architecture::ALL.map(Architecture::name).join(", ");
        fields.error(format!("`model_type` {name:?} is not supported; supported are {known}"))
    })
}

/// The file's name, or that of its folder, as a word that is safe in file names, CSV cells and `;`-separated lists.
fn name_of(path: &Path, family: Architecture) -> String {
    let stem = path.file_stem().filter(|stem| *stem != "config");
    let part = stem.or_else(|| path.parent().and_then(Path::file_name));
    let name = part.map_or(String::new(), |p| p.to_string_lossy().to_ascii_lowercase());
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' };
    let name: String = name.trim().chars().map(safe).take(64).collect();
    if name.chars().any(char::is_alphanumeric) { name } else { family.name().into() }
}

/// Sizes that all families have, and the names that their fields go by.
struct Names {
    layers: &'static [&'static str],
    hidden: &'static [&'static str],
    heads: &'static [&'static str],
    context: &'static [&'static str],
}

const COMMON: Names = Names {
    layers: &["num_hidden_layers"],
    hidden: &["hidden_size"],
    heads: &["num_attention_heads"],
    context: &["max_position_embeddings"],
};

/// GPT-2's names come first; `transformers` takes the common ones too, and old files say `n_ctx`.
const GPT2: Names = Names {
    layers: &["n_layer", "num_hidden_layers"],
    hidden: &["n_embd", "hidden_size"],
    heads: &["n_head", "num_attention_heads"],
    context: &["n_positions", "max_position_embeddings", "n_ctx"],
};

/// A multi-head model with a four-fold MLP, all biases and heads of `hidden / heads`, to be completed.
fn base(fields: &Fields<'_>, family: Architecture, names: &Names, tied: bool) -> Result<Model> {
    let hidden = fields.size(names.hidden, MAX_SIZE)?;
    let heads = fields.size(names.heads, MAX_SIZE)?;
    let lm_head =
        if fields.flag("tie_word_embeddings", tied)? { LmHead::Tied } else { LmHead::Separate };
    Ok(Model {
        name: String::new(),
        family,
        source: fields.path.display().to_string(),
        layers: fields.size(names.layers, MAX_LAYERS)?,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        head_dim_v: hidden / heads,
        ffn: 4 * hidden,
        vocab: fields.size(&["vocab_size"], MAX_SIZE)?,
        context: fields.size(names.context, 1 << 40)?,
        token_types: 0,
        window: None,
        lm_head,
        biases: Biases { qkv: true, attn_out: true, mlp: true },
        moe: None,
        mla: None,
    })
}

fn bert(fields: &Fields<'_>) -> Result<Model> {
    fields.must_be_off("is_decoder", "as an encoder")?;
    fields.must_be_off("add_cross_attention", "without cross-attention")?;
    let positions = fields.optional_text("position_embedding_type")?.unwrap_or("absolute");
    if positions != "absolute" {
        return Err(fields.error(format!(
            "`position_embedding_type` {positions:?} is not supported; only \"absolute\" is"
        )));
    }
    let model = base(fields, Architecture::Bert, &COMMON, true)?;
    fields.divides(COMMON.hidden, model.hidden, COMMON.heads, model.heads)?;
    Ok(Model {
        ffn: fields.size(&["intermediate_size"], MAX_SIZE)?,
        token_types: fields.optional_size(&["type_vocab_size"], MAX_SIZE)?.unwrap_or(2),
        lm_head: LmHead::None,
        ..model
    })
}

fn gpt2(fields: &Fields<'_>) -> Result<Model> {
    fields.must_be_off("add_cross_attention", "without cross-attention")?;
    let model = base(fields, Architecture::Gpt2, &GPT2, true)?;
    fields.divides(GPT2.hidden, model.hidden, GPT2.heads, model.heads)?;
    let ffn = fields.optional_size(&["n_inner"], MAX_SIZE)?.unwrap_or(4 * model.hidden);
    Ok(Model { ffn, ..model })
}

/// Decoders with rotary positions, RMSNorm and a gated MLP.
fn modern(fields: &Fields<'_>, family: Architecture) -> Result<Model> {
    let model = base(fields, family, &COMMON, false)?;
    let mut model = Model {
        ffn: fields.size(&["intermediate_size"], MAX_SIZE)?,
        window: window(fields, family)?,
        biases: biases(fields, family)?,
        ..model
    };
    if family == Architecture::DeepseekV3 {
        latent_attention(fields, &mut model)?;
    } else {
        grouped_query_attention(fields, &mut model)?;
    }
    model.moe = match family {
        Architecture::Mixtral => Some(mixtral_experts(fields, &model)?),
        Architecture::Qwen2Moe | Architecture::Qwen3Moe => Some(qwen_experts(fields, &model)?),
        Architecture::DeepseekV3 => Some(deepseek_experts(fields, &model)?),
        _ => None,
    };
    if let Some(moe) = model.moe.filter(|moe| moe.dense_layers == 0) {
        model.ffn = moe.ffn;
    }
    Ok(model)
}

fn grouped_query_attention(fields: &Fields<'_>, model: &mut Model) -> Result<()> {
    const HEAD_DIM: &str = "head_dim";
    const KV_HEADS: &[&str] = &["num_key_value_heads"];
    // The class defaults of these two are a particular model's sizes, not derived ones: guessing would be wrong.
    let head_dim = match model.family.qk_norm() {
        true => Some(fields.size(&[HEAD_DIM], MAX_SIZE)?),
        false => fields.optional_size(&[HEAD_DIM], MAX_SIZE)?,
    };
    match head_dim {
        Some(head_dim) => (model.head_dim, model.head_dim_v) = (head_dim, head_dim),
        None => fields.divides(COMMON.hidden, model.hidden, COMMON.heads, model.heads)?,
    }
    if model.family == Architecture::Llama {
        model.kv_heads = fields.optional_size(KV_HEADS, MAX_SIZE)?.unwrap_or(model.heads);
    } else {
        model.kv_heads = fields.size(KV_HEADS, MAX_SIZE)?;
    }
    fields.divides(COMMON.heads, model.heads, KV_HEADS, model.kv_heads)
}

fn latent_attention(fields: &Fields<'_>, model: &mut Model) -> Result<()> {
    let mla = Mla {
        q_lora_rank: fields.optional_size(&["q_lora_rank"], MAX_SIZE)?,
        kv_lora_rank: fields.size(&["kv_lora_rank"], MAX_SIZE)?,
        qk_nope_head_dim: fields.size(&["qk_nope_head_dim"], MAX_SIZE)?,
        qk_rope_head_dim: fields.size(&["qk_rope_head_dim"], MAX_SIZE)?,
    };
    if !fields.has("q_lora_rank") {
        return Err(fields.error("`q_lora_rank` is missing (null: queries without a latent)"));
    }
    let kv_heads = fields.optional_size(&["num_key_value_heads"], MAX_SIZE)?;
    if kv_heads.is_some_and(|kv| kv != model.heads) {
        return Err(fields.error(format!(
            "`num_key_value_heads` is not `num_attention_heads` ({}), as latent attention expands to",
            model.heads
        )));
    }
    model.head_dim = mla.qk_nope_head_dim + mla.qk_rope_head_dim;
    model.head_dim_v = fields.size(&["v_head_dim"], MAX_SIZE)?;
    model.mla = Some(mla);
    Ok(())
}

fn biases(fields: &Fields<'_>, family: Architecture) -> Result<Biases> {
    let (qkv, attn_out) = match family {
        Architecture::Qwen2 => (true, false),
        Architecture::Qwen2Moe => (fields.flag("qkv_bias", true)?, false),
        Architecture::Mistral | Architecture::Mixtral => (false, false),
        _ => {
            let all = fields.flag("attention_bias", false)?;
            (all, all)
        }
    };
    let mlp = family == Architecture::Llama && fields.flag("mlp_bias", false)?;
    Ok(Biases { qkv, attn_out, mlp })
}

/// The sliding window: Mistral's field is its own switch; Qwen's counts only when switched on.
fn window(fields: &Fields<'_>, family: Architecture) -> Result<Option<usize>> {
    let on = match family {
        Architecture::Mistral | Architecture::Mixtral => true,
        Architecture::Llama | Architecture::DeepseekV3 => false,
        _ => fields.flag("use_sliding_window", false)?,
    };
    if on { fields.optional_size(&["sliding_window"], 1 << 40) } else { Ok(None) }
}

/// Routed experts and how many of them a token goes to, with the width given.
fn experts(fields: &Fields<'_>, count: &'static str, ffn: usize) -> Result<Moe> {
    let experts = fields.size(&[count], MAX_SIZE)?;
    let active = fields.size(&["num_experts_per_tok"], MAX_SIZE)?;
    if active > experts {
        let reason = format!("`num_experts_per_tok` is {active}, more than `{count}` ({experts})");
        return Err(fields.error(reason));
    }
    Ok(Moe {
        experts,
        active,
        ffn,
        shared_ffn: 0,
        shared_gate: false,
        router_bias: false,
        dense_layers: 0,
    })
}

fn mixtral_experts(fields: &Fields<'_>, model: &Model) -> Result<Moe> {
    experts(fields, "num_local_experts", model.ffn)
}

fn qwen_experts(fields: &Fields<'_>, model: &Model) -> Result<Moe> {
    let width = fields.size(&["moe_intermediate_size"], MAX_SIZE)?;
    let moe = experts(fields, "num_experts", width)?;
    let step = fields.optional_size(&["decoder_sparse_step"], MAX_LAYERS)?.unwrap_or(1);
    let dense = fields.indices("mlp_only_layers", model.layers)?;
    let sparse = |layer: &usize| (layer + 1).is_multiple_of(step) && !dense.contains(layer);
    let dense_layers = model.layers - (0..model.layers).filter(sparse).count();
    let shared = model.family == Architecture::Qwen2Moe;
    let shared_ffn =
        if shared { fields.size(&["shared_expert_intermediate_size"], MAX_SIZE)? } else { 0 };
    Ok(Moe { shared_ffn, shared_gate: shared, dense_layers, ..moe })
}

fn deepseek_experts(fields: &Fields<'_>, model: &Model) -> Result<Moe> {
    const DENSE: &str = "first_k_dense_replace";
    let method = fields.optional_text("topk_method")?.unwrap_or("noaux_tc");
    if method != "noaux_tc" {
        let reason = format!("`topk_method` {method:?} is not supported; only \"noaux_tc\" is");
        return Err(fields.error(reason));
    }
    let width = fields.size(&["moe_intermediate_size"], MAX_SIZE)?;
    let moe = experts(fields, "n_routed_experts", width)?;
    let shared = fields.count("n_shared_experts", MAX_LAYERS)?.unwrap_or(0);
    let first = fields.count(DENSE, MAX_LAYERS)?;
    let first = first.ok_or_else(|| fields.error(format!("`{DENSE}` is missing")))?;
    if first > model.layers {
        let layers = model.layers;
        let reason = format!("`{DENSE}` is {first}, more than `num_hidden_layers` ({layers})");
        return Err(fields.error(reason));
    }
    let step = fields.optional_size(&["moe_layer_freq"], MAX_LAYERS)?.unwrap_or(1);
    let sparse = (first..model.layers).filter(|layer| layer.is_multiple_of(step)).count();
    Ok(Moe {
        shared_ffn: shared * width,
        router_bias: true,
        dense_layers: model.layers - sparse,
        ..moe
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_after_its_file_or_folder_in_safe_letters() {
        let name = |path| name_of(Path::new(path), Architecture::Llama);
        assert_eq!(name("models/Qwen3-8B/config.json"), "qwen3-8b");
        assert_eq!(name("My Model;v2:x.json"), "my-model-v2-x");
        assert_eq!(name("config.json"), "llama");
        assert_eq!(name("…/config.json"), "llama");
    }
}
