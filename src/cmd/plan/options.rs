//! The options of `scalemark plan`, by heading.

use crate::cmd::price::Price;
use crate::ops::{Cache, DType, Precision, Regime};
use crate::projection::Recompute;
use crate::projection::quantity::{Count, Memory, Rate, Seconds};

/// A step that is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mode {
    /// Forward, backward and update
    Train,
    /// One token for each sequence
    Decode,
}

// Sizes, and how a model is spread over devices.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Sizes and split")]
pub(super) struct Split {
    /// Devices; lists `8,64` and ranges `1..1024` (powers of two) are compared
    #[arg(long, default_value = "1", value_name = "SIZES")]
    pub(super) gpus: String,
    /// Sequences of a training step, all devices together [default: one micro-batch for each copy of the model]
    #[arg(long, value_name = "N")]
    pub(super) batch: Option<usize>,
    /// Tokens a sequence [default: the model's context, 2048 at most]
    #[arg(long, value_name = "N")]
    pub(super) seq: Option<usize>,
    /// Sequences that a device takes at once
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) micro_batch: usize,
    /// Devices that share each product (tensor parallelism)
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) tp: usize,
    /// Stages that share the layers (pipeline parallelism)
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) pp: usize,
    /// Stage of ZeRO: 1 spreads optimizer state over the copies of the model, 2 gradients too, 3 parameters too
    #[arg(long, default_value_t = 0, value_name = "0..3")]
    pub(super) zero: u8,
    /// Split norms over the sequence as well, within a tensor-parallel group
    #[arg(long)]
    pub(super) sequence_parallel: bool,
    /// Activations that are computed again instead of kept
    #[arg(long, value_enum, default_value = "none")]
    pub(super) recompute: Recompute,
    /// Attention keeps its scores, as no kernel of FlashAttention's kind does
    #[arg(long)]
    pub(super) keep_scores: bool,
    /// Sequences of a decode step [default: as --micro-batch]
    #[arg(long, value_name = "N")]
    pub(super) decode_batch: Option<usize>,
    /// Tokens in a sequence's KV cache, in a decode step [default: as --seq]
    #[arg(long, value_name = "N")]
    pub(super) context: Option<usize>,
}

// Number formats and the update rule.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Number formats")]
pub(super) struct Formats {
    /// Of products and attention: f32, bf16, … [default: the one that the run measured most products in]
    #[arg(long, value_name = "DTYPE")]
    pub(super) dtype: Option<Precision>,
    /// The update rule
    #[arg(long, default_value = "adamw", value_name = "RULE")]
    pub(super) optimizer: String,
    /// Of the optimizer's moments
    #[arg(long, default_value = "f32", value_name = "DTYPE")]
    pub(super) moments: DType,
    /// Of the KV cache [default: as --dtype]
    #[arg(long, value_name = "DTYPE")]
    pub(super) kv: Option<DType>,
    /// Keep no f32 parameters beside those of 16 bits
    #[arg(long)]
    pub(super) no_master_weights: bool,
}

// Which records of a run count.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Records that count")]
pub(super) struct Records {
    /// Device of the run [default: the one with most records]
    #[arg(long)]
    pub(super) device: Option<String>,
    /// CPU threads [default: as many as were measured]
    #[arg(long)]
    pub(super) threads: Option<usize>,
    /// Cache state [default: warm]
    #[arg(long, value_enum)]
    pub(super) cache: Option<Cache>,
    /// Burst or sustained [default: sustained, where it was measured]
    #[arg(long, value_enum)]
    pub(super) regime: Option<Regime>,
    /// Only these kernels; * and ? match anything [default: the fastest of all]
    #[arg(long, value_delimiter = ',', value_name = "GLOB")]
    pub(super) kernel: Vec<String>,
    /// Memory of a device, such as 80GiB [default: by the run's machine.json]
    #[arg(long, value_name = "BYTES")]
    pub(super) memory: Option<Memory>,
}

// What is wished for, and what is assumed.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Training, price, and what is assumed")]
pub(super) struct Asked {
    /// Tokens to train on, such as 15T
    #[arg(long, value_name = "COUNT")]
    pub(super) tokens: Option<Count>,
    /// Price of a device and hour: 2.49/h, or NAME=2.49/h for the run whose folder's name holds NAME
    #[arg(long, value_name = "PRICE")]
    pub(super) price: Vec<Price>,
    /// Of several runs and --gpus, name the cheapest that trains in this time, such as 30d
    #[arg(long, value_name = "TIME", requires = "tokens", requires = "price")]
    pub(super) deadline: Option<Seconds>,
    /// Assumed bandwidth of a device's link, one direction, such as 450GB/s or 400Gb/s [default: 50GB/s]
    #[arg(long, value_name = "RATE")]
    pub(super) link_bandwidth: Option<Rate>,
    /// Assumed latency of a message, such as 5us [default: 10us]
    #[arg(long, value_name = "TIME")]
    pub(super) link_latency: Option<Seconds>,
    /// Assumed bandwidth within a tensor-parallel group [default: as --link-bandwidth]
    #[arg(long, value_name = "RATE")]
    pub(super) tp_bandwidth: Option<Rate>,
    /// Assumed latency within a tensor-parallel group [default: as --link-latency]
    #[arg(long, value_name = "TIME")]
    pub(super) tp_latency: Option<Seconds>,
    /// Assumed share of the exchanges between copies of the model that computation hides, 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(super) overlap: f64,
    /// Write a checkpoint every so many steps
    #[arg(long, value_name = "STEPS")]
    pub(super) checkpoint_every: Option<Count>,
    /// Assumed bandwidth of the storage for checkpoints
    #[arg(long, default_value = "2GB/s", value_name = "RATE")]
    pub(super) storage_bandwidth: Rate,
}
