//! What is planned: a model, how a step of it is computed, and over how many devices it is spread.

use std::fmt;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::models::{Model, Step};
use crate::ops::{DType, Pass, Precision, Rule};

/// More devices, sequences or tokens than this are a slip of the pen.
const MOST: usize = 1 << 40;

/// Which activations are computed again in the backward pass instead of being kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// Everything is kept.
    None,
    /// The scores of attention are computed again (Korthikanti et al. 2022, section 5).
    Selective,
    /// Only the input of each layer is kept, and each layer runs forward again.
    Full,
}

impl fmt::Display for Recompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Recompute::None => "none",
            Recompute::Selective => "selective",
            Recompute::Full => "full",
        })
    }
}

/// A model and how a step of it is computed on how many devices.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// The network.
    pub model: Model,
    /// Devices: `data parallel · tp · pp`.
    pub gpus: usize,
    /// Sequences of a training step, all devices together.
    pub batch: usize,
    /// Tokens a sequence.
    pub seq: usize,
    /// Sequences that a device takes through its layers at once.
    pub micro_batch: usize,
    /// Number formats of products and attention, without a state.
    pub precision: Precision,
    /// The format of the optimizer's moments.
    pub moments: DType,
    /// The format of the KV cache.
    pub kv: DType,
    /// The update rule.
    pub rule: Rule,
    /// Whether the optimizer keeps f32 parameters beside those of 16 bits.
    pub master_weights: bool,
    /// What is computed again.
    pub recompute: Recompute,
    /// Whether attention keeps its scores, as kernels that are not of FlashAttention's kind do.
    pub keeps_scores: bool,
    /// ZeRO's stage, 0 to 3.
    pub zero: u8,
    /// Devices that share each product (Megatron's tensor parallelism).
    pub tp: usize,
    /// Stages that share the layers.
    pub pp: usize,
    /// Whether norms and dropouts are split over the sequence as well (Korthikanti et al. 2022, section 4.2.2).
    pub sequence_parallel: bool,
    /// Sequences of a decode step.
    pub decode_batch: usize,
    /// Tokens in the KV cache of a sequence, in a decode.
    pub context: usize,
}

impl Setup {
    /// One device, one sequence, AdamW, nothing recomputed; f32 parameters are kept beside those of 16 bits.
    pub fn new(model: Model, precision: Precision) -> Setup {
        let seq = model.context.min(2048);
        Setup {
            model,
            gpus: 1,
            batch: 1,
            seq,
            micro_batch: 1,
            precision: Precision { state: None, ..precision },
            moments: precision.state.unwrap_or(DType::F32),
            // Where weights are integers, attention runs in bf16.
            kv: precision.state.unwrap_or(match precision.inputs {
                DType::I8 => DType::Bf16,
                other => other,
            }),
            rule: Rule::Adamw,
            master_weights: precision.inputs.size() == 2,
            recompute: Recompute::None,
            keeps_scores: false,
            zero: 0,
            tp: 1,
            pp: 1,
            sequence_parallel: false,
            decode_batch: 1,
            context: seq,
        }
    }

    /// Copies of the model that each see other sequences.
    pub fn data_parallel(&self) -> usize {
        (self.gpus / self.tp / self.pp).max(1)
    }

    /// Micro-batches that each copy of the model goes through in a step.
    pub fn micro_batches(&self) -> usize {
        (self.batch / self.data_parallel() / self.micro_batch).max(1)
    }

    /// Tokens of a step, all devices together.
    pub fn tokens(&self) -> f64 {
        self.batch as f64 * self.seq as f64
    }

    /// The bytes of a parameter, of its gradient and of an activation.
    pub fn element(&self) -> u64 {
        self.precision.output.size().min(4) as u64
    }

    /// One clear reason why a training step of this kind cannot be, with the numbers.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self) -> Result<()> {
        self.check_split()?;
        let Setup { batch, micro_batch, seq, .. } = *self;
        for (name, value) in [("--micro-batch", micro_batch), ("--batch", batch), ("--seq", seq)] {
            self.sensible(name, value)?;
        }
        let dp = self.data_parallel();
        if !batch.is_multiple_of(dp) {
            return usage(format!(
                "--batch {batch} does not spread evenly over {dp} copies of the model (--gpus {} / --tp {} / --pp {}); take \
                 a multiple of {dp}",
                self.gpus, self.tp, self.pp
            ));
        }
        if !(batch / dp).is_multiple_of(micro_batch) {
            return usage(format!(
                "--micro-batch {micro_batch} does not divide the {} sequences of each copy of the model",
                batch / dp
            ));
        }
        if self.precision.inputs.is_integer() {
            return usage(format!("a model is not trained in {}; use f32 or bf16", self.precision));
        }
        let step = Step { rule: self.rule, ..Step::new(Pass::Backward, micro_batch, seq) };
        self.model.refuses(&step).map_or(Ok(()), usage)
    }

    /// As [`Setup::check`], of a decode step.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check_decode(&self) -> Result<()> {
        self.check_split()?;
        self.sensible("--decode-batch", self.decode_batch)?;
        self.sensible("--context", self.context)?;
        let step = Step::new(Pass::Decode, self.decode_batch, self.context);
        self.model.refuses(&step).map_or(Ok(()), usage)
    }

    fn sensible(&self, name: &str, value: usize) -> Result<()> {
        match value {
            0 => usage(format!("{name} is 0, which leaves nothing to plan; use at least 1")),
            _ if value > MOST => usage(format!("{name} {value} is absurdly large")),
            _ => Ok(()),
        }
    }

    fn check_split(&self) -> Result<()> {
        let (m, tp, pp) = (&self.model, self.tp, self.pp);
        for (name, value) in [("--gpus", self.gpus), ("--tp", tp), ("--pp", pp)] {
            self.sensible(name, value)?;
        }
        if self.zero > 3 {
            return usage(format!("--zero {} is no stage of ZeRO; use 0 to 3", self.zero));
        }
        if tp > m.heads || !m.heads.is_multiple_of(tp) {
            return usage(format!(
                "--tp {tp} does not divide the {} heads of {}; {}",
                m.heads,
                m.name,
                divisors(m.heads)
            ));
        }
        if !(m.kv_heads.is_multiple_of(tp) || tp.is_multiple_of(m.kv_heads)) {
            return usage(format!(
                "--tp {tp} shares the {} KV heads of {} unevenly; {}",
                m.kv_heads,
                m.name,
                divisors(m.kv_heads)
            ));
        }
        let widths =
            [m.ffn, m.moe.map_or(tp, |moe| moe.ffn), m.moe.map_or(0, |moe| moe.shared_ffn)];
        if let Some(width) = widths.iter().find(|width| !width.is_multiple_of(tp)) {
            return usage(format!(
                "--tp {tp} does not divide the MLP's width {width} of {}",
                m.name
            ));
        }
        if pp > m.layers {
            return usage(format!("--pp {pp} is more than the {} layers of {}", m.layers, m.name));
        }
        let together = tp.saturating_mul(pp);
        if !self.gpus.is_multiple_of(together) {
            return usage(format!(
                "--gpus {} is no multiple of --tp {tp} times --pp {pp}, which is {together}",
                self.gpus
            ));
        }
        if self.precision.inputs == DType::F64 {
            return usage("no op of a model is measured in f64; use f32 or bf16".to_owned());
        }
        Ok(())
    }
}

fn usage<T>(reason: String) -> Result<T> {
    Err(Error::Usage(reason))
}

fn divisors(of: usize) -> String {
    let all: Vec<String> =
        (1..=of.min(1024)).filter(|d| of.is_multiple_of(*d)).map(|d| d.to_string()).collect();
    format!("its divisors are {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::find;

    fn llama() -> Setup {
        Setup::new(find("llama-3-8b").unwrap().clone(), Precision::BF16)
    }

    fn reason(setup: Setup) -> String {
        setup.check().unwrap_err().to_string()
    }

    #[test]
    fn splits_that_do_not_come_out_even_are_refused_with_the_numbers() {
        assert!(llama().check().is_ok());
        assert!(
            reason(Setup { tp: 3, gpus: 3, ..llama() }).contains("does not divide the 32 heads")
        );
        assert!(reason(Setup { pp: 33, gpus: 33, ..llama() }).contains("more than the 32 layers"));
        assert!(reason(Setup { gpus: 6, tp: 4, ..llama() }).contains("no multiple of --tp 4"));
        assert!(reason(Setup { gpus: 8, batch: 12, ..llama() }).contains("a multiple of 8"));
        assert!(reason(Setup { batch: 8, micro_batch: 3, ..llama() }).contains("--micro-batch 3"));
        assert!(reason(Setup { zero: 4, ..llama() }).contains("0 to 3"));
        // The batch that follows from it is 0 as well.
        let none = Setup { micro_batch: 0, batch: 0, ..llama() };
        assert!(reason(none).contains("--micro-batch is 0"));
        assert!(reason(Setup { gpus: 0, ..llama() }).contains("--gpus is 0"));
        assert!(reason(Setup { batch: usize::MAX, ..llama() }).contains("absurdly"));
        assert!(
            reason(Setup { precision: Precision::INT8, ..llama() }).contains("not trained in int8")
        );
        let gpt2 = Setup::new(find("gpt2").unwrap().clone(), Precision::F32);
        assert!(reason(Setup { seq: 4096, ..gpt2 }).contains("1024 learned positions"));
    }

    #[test]
    fn kv_heads_are_shared_or_copied_but_never_torn() {
        assert!(
            Setup { tp: 16, gpus: 16, batch: 1, ..llama() }.check().is_ok(),
            "8 KV heads, each twice"
        );
        let odd = Model { heads: 12, kv_heads: 4, head_dim: 64, ffn: 3072, ..llama().model };
        assert!(
            reason(Setup { tp: 6, gpus: 6, ..Setup::new(odd, Precision::F32) })
                .contains("unevenly")
        );
    }
}
