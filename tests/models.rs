//! `config.json` files, as published and as broken as they come.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use scalemark::models::{self, LmHead, MAX_PARAMETERS, Model, Step, config};
use scalemark::ops::Pass;
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/configs/{name}.json"))
}

fn fixture_value(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

fn parse(value: &Value) -> scalemark::Result<Model> {
    config::parse(value.to_string().as_bytes(), Path::new("some/config.json"))
}

/// The fixture with one field changed, or removed.
fn with(name: &str, field: &str, value: Option<Value>) -> Value {
    let mut config = fixture_value(name);
    let map = config.as_object_mut().unwrap();
    match value {
        Some(value) => map.insert(field.into(), value),
        None => map.shift_remove(field),
    };
    config
}

fn error(config: &Value) -> String {
    parse(config).unwrap_err().to_string()
}

/// Every fixture, with the fields that it needs and those that it may leave out; all are sizes of at least 1.
const FIELDS: &[(&str, &[&str], &[&str])] = &[
    (
        "bert-base",
        &[
            "num_hidden_layers",
            "hidden_size",
            "num_attention_heads",
            "intermediate_size",
            "vocab_size",
            "max_position_embeddings",
        ],
        &["type_vocab_size"],
    ),
    ("gpt2", &["n_layer", "n_embd", "n_head", "vocab_size"], &["n_positions", "n_inner"]),
    (
        "llama-3-8b",
        &[
            "num_hidden_layers",
            "hidden_size",
            "num_attention_heads",
            "intermediate_size",
            "vocab_size",
            "max_position_embeddings",
        ],
        &["num_key_value_heads", "head_dim"],
    ),
    ("mistral-7b", &["num_key_value_heads", "hidden_size"], &["sliding_window", "head_dim"]),
    ("mixtral-8x7b", &["num_local_experts", "num_experts_per_tok", "num_key_value_heads"], &[]),
    ("qwen2-0.5b", &["num_key_value_heads", "intermediate_size"], &["head_dim"]),
    (
        "qwen1.5-moe-a2.7b",
        &[
            "num_experts",
            "num_experts_per_tok",
            "moe_intermediate_size",
            "shared_expert_intermediate_size",
        ],
        &["decoder_sparse_step"],
    ),
    ("qwen3-8b", &["head_dim", "num_key_value_heads", "vocab_size"], &[]),
    (
        "qwen3-30b-a3b",
        &["num_experts", "num_experts_per_tok", "moe_intermediate_size", "head_dim"],
        &["decoder_sparse_step"],
    ),
    (
        "deepseek-v3",
        &[
            "kv_lora_rank",
            "qk_nope_head_dim",
            "qk_rope_head_dim",
            "v_head_dim",
            "n_routed_experts",
            "num_experts_per_tok",
            "moe_intermediate_size",
            "intermediate_size",
        ],
        &["moe_layer_freq", "num_key_value_heads"],
    ),
];

#[test]
fn the_table_and_the_published_config_of_a_model_agree() {
    for model in models::builtin() {
        if model.name == "gpt3-175b" {
            continue; // Has no published config: its row stands for the table of its paper.
        }
        let read = models::resolve(fixture(&model.name).to_str().unwrap()).unwrap();
        assert!(read.source.ends_with(&format!("{}.json", model.name)), "{}", read.source);
        assert_eq!(Model { source: model.source.clone(), ..read }, *model, "{}", model.name);
    }
}

#[test]
fn families_without_a_built_in_model_count_the_published_parameters() {
    // From the model cards' safetensors totals.
    for (name, total) in [
        ("mistral-7b", 7_241_732_096),
        ("qwen2-0.5b", 494_032_768),
        ("qwen1.5-moe-a2.7b", 14_315_784_192),
    ] {
        let model = config::read(&fixture(name)).unwrap();
        assert_eq!(model.parameters(), total, "{name}");
    }
    let moe = config::read(&fixture("qwen1.5-moe-a2.7b")).unwrap();
    assert_eq!(moe.active_parameters(), 2_689_173_504);
}

#[test]
fn a_required_field_that_is_missing_is_named_with_the_file() {
    for (name, required, _) in FIELDS {
        for field in *required {
            for value in [None, Some(Value::Null)] {
                let message = error(&with(name, field, value));
                let start = format!("some/config.json: `{field}`");
                assert!(message.starts_with(&start), "{name}: {message}");
                assert!(message.ends_with("is missing"), "{name}: {message}");
            }
        }
    }
}

#[test]
fn an_absurd_or_mistyped_field_is_named_with_the_file() {
    let absurd = [json!(0), json!(-1), json!(1e300), json!(u64::MAX), json!(1u64 << 50)];
    let mistyped = [json!("768"), json!(1.5), json!(true), json!([1]), json!({"a": 1})];
    for (name, required, optional) in FIELDS {
        for field in required.iter().chain(*optional) {
            for value in absurd.iter().chain(&mistyped) {
                let message = error(&with(name, field, Some(value.clone())));
                let start = format!("some/config.json: `{field}` is ");
                assert!(message.starts_with(&start), "{name}, {field} = {value}: {message}");
            }
        }
    }
    assert!(error(&with("gpt2", "n_layer", Some(json!(2_000_000_000)))).contains("`n_layer`"));
}

#[test]
fn switches_and_words_of_the_wrong_type_are_named() {
    for (name, field) in [
        ("llama-3-8b", "tie_word_embeddings"),
        ("llama-3-8b", "attention_bias"),
        ("llama-3-8b", "mlp_bias"),
        ("qwen2-0.5b", "use_sliding_window"),
        ("bert-base", "is_decoder"),
        ("bert-base", "position_embedding_type"),
        ("deepseek-v3", "topk_method"),
        ("deepseek-v3", "first_k_dense_replace"),
        ("deepseek-v3", "n_shared_experts"),
        ("deepseek-v3", "q_lora_rank"),
        ("qwen3-30b-a3b", "mlp_only_layers"),
        ("gpt2", "model_type"),
    ] {
        let message = error(&with(name, field, Some(json!({}))));
        assert!(message.contains(&format!("`{field}` is")), "{name}: {message}");
    }
}

#[test]
fn sizes_that_do_not_fit_each_other_are_named() {
    let message = |name, field, value| error(&with(name, field, Some(value)));
    assert_eq!(
        message("gpt2", "n_head", json!(11)),
        "some/config.json: `n_head` is 11, which does not divide `n_embd` (768)"
    );
    assert!(message("llama-3-8b", "num_attention_heads", json!(33)).contains("`hidden_size`"));
    assert!(message("llama-3-8b", "num_key_value_heads", json!(5)).contains("does not divide"));
    assert!(message("mixtral-8x7b", "num_experts_per_tok", json!(9)).contains("more than"));
    assert!(message("deepseek-v3", "first_k_dense_replace", json!(62)).contains("more than"));
    assert!(message("deepseek-v3", "num_key_value_heads", json!(8)).contains("latent attention"));
    assert!(message("qwen3-30b-a3b", "mlp_only_layers", json!([48])).contains("below 48"));
    let huge = message("mixtral-8x7b", "num_local_experts", json!(1 << 24));
    assert!(huge.contains("parameters, more than the supported"), "{huge}");
}

#[test]
fn what_is_not_modelled_is_refused_by_name() {
    let message = |name, field, value| error(&with(name, field, Some(value)));
    let unknown = message("llama-3-8b", "model_type", json!("mamba"));
    assert!(unknown.contains("`model_type` \"mamba\" is not supported"), "{unknown}");
    assert!(unknown.contains("llama, ") && unknown.contains("deepseek_v3"), "{unknown}");
    assert!(error(&with("llama-3-8b", "model_type", None)).contains("`model_type` is missing"));
    assert!(message("bert-base", "is_decoder", json!(true)).contains("`is_decoder`"));
    assert!(message("gpt2", "add_cross_attention", json!(true)).contains("`add_cross_attention`"));
    let relative = message("bert-base", "position_embedding_type", json!("relative_key"));
    assert!(relative.contains("`position_embedding_type`"), "{relative}");
    assert!(message("deepseek-v3", "topk_method", json!("greedy")).contains("`topk_method`"));
    assert!(error(&with("deepseek-v3", "q_lora_rank", None)).contains("`q_lora_rank` is missing"));
}

#[test]
fn what_is_not_a_json_object_is_an_error_with_its_line() {
    let message =
        |text: &str| config::parse(text.as_bytes(), Path::new("c.json")).unwrap_err().to_string();
    assert!(message("{\n\"a\": 1,\n!").starts_with("c.json:3: not JSON"), "{}", message("{\n!"));
    assert!(message("").starts_with("c.json:1: not JSON"), "{}", message(""));
    assert_eq!(message("[1, 2]"), "c.json: a list of 2 is not a JSON object");
    assert!(message(&"[".repeat(100_000)).contains("not JSON"), "deep nesting must not overflow");
    assert!(message(&" ".repeat(5 << 20)).contains("larger than 4 MiB"));
}

#[test]
fn other_names_and_defaults_are_those_of_transformers() {
    let renamed = json!({
        "model_type": "gpt2", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "n_ctx": 1024, "vocab_size": 50257, "n_inner": null
    });
    assert_eq!(parse(&renamed).unwrap().parameters(), 124_439_808);
    let wide = parse(&with("gpt2", "n_inner", Some(json!(1000)))).unwrap();
    assert_eq!(wide.ffn, 1000);
    let untied = parse(&with("gpt2", "tie_word_embeddings", Some(json!(false)))).unwrap();
    assert_eq!(untied.parameters(), 124_439_808 + 50257 * 768);
    let default = parse(&with("llama-3-8b", "tie_word_embeddings", None)).unwrap();
    assert_eq!(default.lm_head, LmHead::Separate);
    let multi_head = parse(&with("llama-3-8b", "num_key_value_heads", None)).unwrap();
    assert_eq!(multi_head.kv_heads, 32);
    // head_dim apart from hidden / heads, as in Mistral NeMo.
    let narrow = parse(&with("mistral-7b", "head_dim", Some(json!(96)))).unwrap();
    assert_eq!((narrow.head_dim, narrow.heads), (96, 32));
    // Biases: Llama's attention_bias is on all four projections; Qwen2's are on three, without being asked for.
    let biased = parse(&with("llama-3-8b", "attention_bias", Some(json!(true)))).unwrap();
    assert_eq!(biased.parameters(), 8_030_261_248 + 32 * (4096 + 2 * 1024 + 4096));
    let direct = parse(&with("deepseek-v3", "q_lora_rank", Some(Value::Null))).unwrap();
    let names: Vec<_> =
        direct.parts(&Step::new(Pass::Forward, 1, 1)).iter().map(|part| part.name).collect();
    assert_eq!(names[..3], ["q", "kv-a", "kv-b"]);
}

#[test]
fn dense_and_sparse_layers_alternate_as_the_config_says() {
    let qwen = |field, value| parse(&with("qwen3-30b-a3b", field, Some(value))).unwrap();
    let dense = |model: &Model| model.moe.unwrap().dense_layers;
    let listed = qwen("mlp_only_layers", json!([0, 7, 7]));
    assert_eq!((dense(&listed), listed.ffn), (2, 6144));
    assert_eq!(dense(&qwen("decoder_sparse_step", json!(2))), 24);
    assert_eq!(dense(&qwen("decoder_sparse_step", json!(5))), 39);
    let deepseek = |field, value| parse(&with("deepseek-v3", field, Some(value))).unwrap();
    // Layers 4, 6, … 60 are sparse.
    assert_eq!(dense(&deepseek("moe_layer_freq", json!(2))), 61 - 29);
    assert_eq!(dense(&deepseek("first_k_dense_replace", json!(0))), 0);
    assert_eq!(deepseek("n_shared_experts", json!(0)).moe.unwrap().shared_ffn, 0);
    // All layers dense: no router, no experts in a step.
    let all_dense = deepseek("first_k_dense_replace", json!(61));
    let parts = all_dense.parts(&Step::new(Pass::Forward, 1, 8));
    assert!(parts.iter().all(|part| part.layers > 0), "{parts:?}");
}

/// Uses a model in every way; must not panic.
fn exercise(model: &Model) {
    assert!(model.active_parameters() <= model.parameters());
    assert!(model.parameters() <= MAX_PARAMETERS);
    for pass in [Pass::Forward, Pass::Backward, Pass::Decode] {
        model.parts(&Step::new(pass, 3, 17));
    }
    model.kv_cache_bytes(3, 17, scalemark::ops::DType::Bf16);
}

fn any_fixture() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(FIELDS.iter().map(|(name, ..)| *name).collect::<Vec<_>>())
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0u64..300).prop_map(Value::from),
        (0u32..26).prop_map(|bits| Value::from(1u64 << bits)),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,60}".prop_map(Value::from),
        proptest::collection::vec(any::<u64>().prop_map(Value::from), 0..4).prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = config::parse(&bytes, Path::new("x.json"));
    }

    #[test]
    fn no_damage_to_the_bytes_of_a_config_makes_it_panic(
        name in any_fixture(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut bytes = fixture_value(name).to_string().into_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(model) = config::parse(&bytes, Path::new("x.json")) {
            exercise(&model);
        }
    }

    #[test]
    fn a_config_with_fields_changed_at_will_is_a_model_or_an_error_that_names_the_file(
        name in any_fixture(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any_value()), 1..4),
    ) {
        let mut config = fixture_value(name);
        let map = config.as_object_mut().unwrap();
        let keys: Vec<String> = map.keys().cloned().collect();
        for (key, value) in changes {
            map.insert(key.get(&keys).clone(), value);
        }
        match parse(&config) {
            Ok(model) => exercise(&model),
            Err(error) => prop_assert!(error.to_string().starts_with("some/config.json: "), "{error}"),
        }
    }

    #[test]
    fn a_required_field_broken_at_will_is_named(
        name in any_fixture(),
        field in any::<prop::sample::Index>(),
        value in prop_oneof![
            Just(Value::Null),
            Just(json!(0)),
            (i64::MIN..0).prop_map(Value::from),
            ".*".prop_map(Value::from),
        ],
    ) {
        let (_, required, _) = FIELDS.iter().find(|(n, ..)| *n == name).unwrap();
        let field = field.get(required);
        let message = error(&with(name, field, Some(value)));
        prop_assert!(message.contains(&format!("`{field}`")), "{message}");
    }
}
