//! `scalemark models`: which models there are, and what a `config.json` is read as.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, TableComponent, presets};
use serde::Serialize;

use crate::models::{self, Model};

/// List the built-in models, or show chosen ones.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "Examples:
  scalemark models
  scalemark models --model gpt2-xl --model llama-3-8b
  scalemark models --model path/to/config.json
  scalemark models --json

A config.json is Hugging Face's, of model_type llama, mistral, mixtral, qwen2, qwen2_moe, qwen3, qwen3_moe,
deepseek_v3, gpt2 or bert. Parameters of BERT include the pooler and exclude the masked-language-model head; those of
DeepSeek-V3 exclude the multi-token-prediction module. Active parameters include embeddings and head. With experts,
ffn reads `width in dense layers, active/all experts × width + width of shared experts`.

The sweep in which only the size grows is not listed: sweep-16m, sweep-51m, sweep-125m, sweep-350m, sweep-760m,
sweep-1.3b, sweep-2.7b, sweep-6.7b, sweep-13b, sweep-175b.")]
pub struct Args {
    /// Show this model: a name, or a Hugging Face config.json; may be given more than once
    #[arg(long, value_name = "NAME|FILE", num_args = 1..)]
    pub model: Vec<String>,
    /// Print a JSON array with raw numbers
    #[arg(long)]
    pub json: bool,
}

/// Prints the models as a table or as JSON.
///
/// # Errors
/// An unknown name, or a file that cannot be read as a model: the usage or input errors of the library.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let models = chosen(&args.model)?;
    let text = if args.json { json(&models)? } else { table(&models) };
    match writeln!(io::stdout().lock(), "{text}") {
        // `scalemark models | head` is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.context("failed to write to the standard output")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(names: &[String]) -> crate::Result<Vec<Model>> {
    if names.is_empty() {
        return Ok(models::builtin().to_vec());
    }
    names.iter().map(|name| models::resolve(name)).collect()
}

/// A model as an object of the JSON array; null where it does not apply.
#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    family: &'static str,
    parameters: u64,
    active_parameters: u64,
    layers: usize,
    hidden: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    head_dim_v: usize,
    ffn: usize,
    vocab: usize,
    context: usize,
    experts: Option<usize>,
    active_experts: Option<usize>,
    expert_ffn: Option<usize>,
    shared_ffn: Option<usize>,
    dense_layers: Option<usize>,
    tied: bool,
    source: &'a str,
}

impl<'a> From<&'a Model> for Row<'a> {
    fn from(m: &'a Model) -> Self {
        Row {
            name: &m.name,
            family: m.family.name(),
            parameters: m.parameters(),
            active_parameters: m.active_parameters(),
            layers: m.layers,
            hidden: m.hidden,
            heads: m.heads,
            kv_heads: m.kv_heads,
            head_dim: m.head_dim,
            head_dim_v: m.head_dim_v,
            ffn: m.ffn,
            vocab: m.vocab,
            context: m.context,
            experts: m.moe.map(|moe| moe.experts),
            active_experts: m.moe.map(|moe| moe.active),
            expert_ffn: m.moe.map(|moe| moe.ffn),
            shared_ffn: m.moe.map(|moe| moe.shared_ffn),
            dense_layers: m.moe.map(|moe| moe.dense_layers),
            tied: m.tied(),
            source: &m.source,
        }
    }
}

fn json(models: &[Model]) -> anyhow::Result<String> {
    let rows: Vec<Row<'_>> = models.iter().map(Row::from).collect();
    serde_json::to_string_pretty(&rows).context("failed to write the models as JSON")
}

fn table(models: &[Model]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_header([
        "name",
        "family",
        "parameters",
        "active",
        "layers",
        "hidden",
        "heads",
        "KV heads",
        "head_dim",
        "ffn",
        "vocab",
        "source",
    ]);
    for m in models {
        table.add_row([
            m.name.clone(),
            m.family.name().into(),
            short(m.parameters()),
            short(m.active_parameters()),
            m.layers.to_string(),
            m.hidden.to_string(),
            m.heads.to_string(),
            m.kv_heads.to_string(),
            head_dim(m),
            ffn(m),
            m.vocab.to_string(),
            m.source.clone(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let last = table.column_count() - 1;
    for column in table.column_iter_mut().take(last).skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// One number, or that of queries and keys and that of values.
fn head_dim(m: &Model) -> String {
    match m.head_dim == m.head_dim_v {
        true => m.head_dim.to_string(),
        false => format!("{}/{}", m.head_dim, m.head_dim_v),
    }
}

/// The width of the MLP; with experts, of the dense layers if there are any, and `active/experts × width`.
fn ffn(m: &Model) -> String {
    let Some(moe) = m.moe else { return m.ffn.to_string() };
    let mut text = if moe.dense_layers > 0 { format!("{}, ", m.ffn) } else { String::new() };
    text += &format!("{}/{} × {}", moe.active, moe.experts, moe.ffn);
    if moe.shared_ffn > 0 {
        text += &format!(" + {}", moe.shared_ffn);
    }
    text
}

/// Four or five digits with a unit: `109.48M`, `8.030B`.
fn short(parameters: u64) -> String {
    let (value, unit) = match parameters as f64 {
        p if p >= 1e12 => (p / 1e12, "T"),
        p if p >= 1e9 => (p / 1e9, "B"),
        p if p >= 1e6 => (p / 1e6, "M"),
        p => return format!("{p:.0}"),
    };
    let decimals = if value < 10.0 { 3 } else { 2 };
    format!("{value:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_every_built_in_model_and_stays_narrow() {
        let text = table(models::builtin());
        for model in models::builtin() {
            assert!(text.contains(&model.name));
        }
        assert!(text.contains("109.48M") && text.contains("8.030B") && text.contains("671.03B"));
        assert!(text.contains("192/128") && text.contains("18432, 8/256 × 2048 + 2048"));
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 160, "{widest} columns");
    }

    #[test]
    fn the_command_line_takes_several_models_and_its_help_names_the_sweep() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let line = ["models", "--model", "gpt2", "x/config.json", "--model", "bert-base", "--json"];
        let line = <Line as clap::Parser>::try_parse_from(line).unwrap();
        assert_eq!(line.args.model, ["gpt2", "x/config.json", "bert-base"]);
        assert!(line.args.json);
        let help = <Line as clap::CommandFactory>::command().render_help().to_string();
        for model in models::size_sweep() {
            assert!(help.contains(&model.name), "{} is not in {help}", model.name);
        }
    }

    #[test]
    fn json_holds_the_same_fields_as_raw_numbers() {
        let models = chosen(&["mixtral".into(), "gpt2".into()]).unwrap();
        let rows: serde_json::Value = serde_json::from_str(&json(&models).unwrap()).unwrap();
        assert_eq!(rows[0]["name"], "mixtral-8x7b");
        assert_eq!(rows[0]["parameters"], 46_702_792_704u64);
        assert_eq!(rows[0]["experts"], 8);
        assert_eq!(rows[1]["parameters"], 124_439_808);
        assert_eq!(rows[1]["experts"], serde_json::Value::Null);
    }

    #[test]
    fn an_unknown_model_is_an_input_error() {
        let error = run(Args { model: vec!["lama-3-8b".into()], json: false }).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(crate::Error::Usage(_))), "{error:#}");
        assert!(error.to_string().contains("did you mean `llama-3-8b`?"));
    }

    #[test]
    fn parameter_counts_are_short_with_a_unit() {
        assert_eq!(
            [999, 16_550_000, 1_557_611_200, 2_000_000_000_000].map(short),
            ["999", "16.55M", "1.558B", "2.000T"]
        );
    }
}
