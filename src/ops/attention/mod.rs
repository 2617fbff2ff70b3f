//! Scaled dot-product attention: `softmax(Q·Kᵀ / √head_dim_qk) · V`, forward, backward and decode.

mod reference;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cost, DType, Expected, Inputs, Pass, Precision, Role, TensorSpec, random};
use crate::units::{Bytes, Flops};

/// Multi-head or grouped-query attention. Tensors are row-major `[batch, heads, seq, head_dim]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attention {
    /// Sequences.
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads` (equal: multi-head; fewer: grouped-query).
    pub kv_heads: usize,
    /// Queries a sequence; 1 in a decode.
    pub seq_q: usize,
    /// Keys a sequence; in a decode the filled length of the KV cache.
    pub seq_kv: usize,
    /// Length of a query and a key.
    pub head_dim_qk: usize,
    /// Length of a value.
    pub head_dim_v: usize,
    /// Whether query i sees only keys up to `i + seq_kv − seq_q` (aligned to the end).
    pub causal: bool,
}

impl Attention {
    /// Multi-head attention of one sequence with equal lengths and head sizes.
    pub fn new(heads: usize, seq: usize, head_dim: usize, causal: bool) -> Self {
        Attention {
            batch: 1,
            heads,
            kv_heads: heads,
            seq_q: seq,
            seq_kv: seq,
            head_dim_qk: head_dim,
            head_dim_v: head_dim,
            causal,
        }
    }

    /// The number of keys that query `row` attends to.
    pub fn visible(&self, row: usize) -> usize {
        if self.causal {
            (row + 1 + self.seq_kv).saturating_sub(self.seq_q).min(self.seq_kv)
        } else {
            self.seq_kv
        }
    }

    /// Query–key pairs of all heads and sequences.
    ///
    /// Causal counts half of the rectangle: exactly `seq_q·seq_kv/2` where the lengths agree (the convention of the
    /// FlashAttention papers), and in general the rectangle less half of the square that the mask cuts.
    pub fn pairs(&self) -> u64 {
        let (q, kv) = (self.seq_q as u64, self.seq_kv as u64);
        let all = self.batch as u64 * self.heads as u64;
        if !self.causal || q <= 1 {
            return all * q * kv;
        }
        let square = q.min(kv);
        let below = if q > kv { 0 } else { q * (kv - q) };
        all * (2 * below + square * square) / 2
    }

    /// Least work.
    ///
    /// Forward and decode: `2·pairs·(head_dim_qk + head_dim_v)` flops (the softmax is not counted); Q, K, V and the output
    /// once. Backward: five products where the forward has two — `2·pairs·(3·head_dim_qk + 2·head_dim_v)`; Q, K, V, the
    /// output, its gradient and the f32 log-sum-exp read once, dQ, dK and dV written once.
    pub fn cost(&self, precision: Precision, pass: Pass) -> Cost {
        let pairs = self.pairs();
        let (qk, v) = (self.head_dim_qk as u64, self.head_dim_v as u64);
        let flops = match pass {
            Pass::Forward | Pass::Decode => 2 * pairs * (qk + v),
            Pass::Backward => 2 * pairs * (3 * qk + 2 * v),
        };
        let mut moved = self.operands(precision, pass);
        moved.extend(self.results(precision, pass));
        if pass == Pass::Backward {
            moved.extend(self.saved(precision));
        }
        let bytes = moved.iter().fold(Bytes(0), |sum, spec| sum + spec.bytes());
        Cost { flops: Flops(flops), bytes }
    }

    /// Why the sizes make no sense, if so.
    pub fn invalid(&self, pass: Pass) -> Option<String> {
        let sizes = [
            ("batch", self.batch),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("seq_q", self.seq_q),
            ("seq_kv", self.seq_kv),
            ("head_dim_qk", self.head_dim_qk),
            ("head_dim_v", self.head_dim_v),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Some(format!("{name} is 0; attention needs at least 1"));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Some(format!(
                "{} query heads cannot share {} KV heads evenly",
                self.heads, self.kv_heads
            ));
        }
        if self.causal && self.seq_q > self.seq_kv {
            return Some(format!(
                "causal attention with {} queries and only {} keys",
                self.seq_q, self.seq_kv
            ));
        }
        if pass == Pass::Decode && self.seq_q != 1 {
            return Some(format!("a decode has one query a sequence, not {}", self.seq_q));
        }
        let product = sizes
            .iter()
            .filter(|(n, _)| *n != "kv_heads")
            .fold(10u128, |p, (_, s)| p.saturating_mul(*s as u128));
        (product > u128::from(u64::MAX))
            .then(|| format!("the attention {self} is too large to describe"))
    }

    /// Q `[batch, heads, seq_q, head_dim_qk]`, K and V `[batch, kv_heads, seq_kv, …]` (a decode's cache in the state dtype
    /// where one is given); backward also the gradient of the output `[batch, heads, seq_q, head_dim_v]`.
    ///
    /// The output and the log-sum-exp that a backward pass starts from are a forward pass's results: kernels compute
    /// them when they are prepared.
    pub fn operands(&self, precision: Precision, pass: Pass) -> Vec<TensorSpec> {
        let cache = match pass {
            Pass::Decode => precision.state.unwrap_or(precision.inputs),
            _ => precision.inputs,
        };
        let mut specs = vec![
            TensorSpec::new(
                Role::Q,
                precision.inputs,
                &[self.batch, self.heads, self.seq_q, self.head_dim_qk],
            ),
            TensorSpec::new(
                Role::K,
                cache,
                &[self.batch, self.kv_heads, self.seq_kv, self.head_dim_qk],
            ),
            TensorSpec::new(
                Role::V,
                cache,
                &[self.batch, self.kv_heads, self.seq_kv, self.head_dim_v],
            ),
        ];
        if pass == Pass::Backward {
            let out = [self.batch, self.heads, self.seq_q, self.head_dim_v];
            specs.push(TensorSpec::new(Role::DOut, precision.inputs, &out));
        }
        specs
    }

    /// Forward and decode: the output `[batch, heads, seq_q, head_dim_v]`; backward: dQ, dK and dV, shaped as Q, K and V.
    pub fn results(&self, precision: Precision, pass: Pass) -> Vec<TensorSpec> {
        let (b, h, kv) = (self.batch, self.heads, self.kv_heads);
        let output = precision.output;
        match pass {
            Pass::Forward | Pass::Decode => {
                vec![TensorSpec::new(Role::Out, output, &[b, h, self.seq_q, self.head_dim_v])]
            }
            Pass::Backward => vec![
                TensorSpec::new(Role::DQ, output, &[b, h, self.seq_q, self.head_dim_qk]),
                TensorSpec::new(Role::DK, output, &[b, kv, self.seq_kv, self.head_dim_qk]),
                TensorSpec::new(Role::DV, output, &[b, kv, self.seq_kv, self.head_dim_v]),
            ],
        }
    }

    /// What a forward pass saves for the backward pass: the output in the precision's output dtype and the natural
    /// log-sum-exp of each row's scaled scores, f32 `[batch, heads, seq_q]`.
    pub fn saved(&self, precision: Precision) -> [TensorSpec; 2] {
        let rows = [self.batch, self.heads, self.seq_q];
        [
            TensorSpec::new(
                Role::Out,
                precision.output,
                &[rows[0], rows[1], rows[2], self.head_dim_v],
            ),
            TensorSpec::new(Role::Lse, DType::F32, &rows),
        ]
    }

    /// Query heads that share one KV head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// The factor of the scores, `1/√head_dim_qk`.
    pub fn scale(&self) -> f64 {
        1.0 / (self.head_dim_qk as f64).sqrt()
    }

    /// Standard normal operands, as of activations after a normalization.
    pub fn inputs(&self, precision: Precision, pass: Pass, seed: u64) -> Inputs {
        let make = |(i, spec)| random::normal(spec, seed, i, 1.0);
        let tensors = (0..).zip(self.operands(precision, pass)).map(make).collect();
        Inputs { seed, tensors: std::sync::Arc::new(tensors) }
    }

    /// See [`super::Case::expected`].
    pub fn expected(
        &self,
        precision: Precision,
        pass: Pass,
        inputs: &Inputs,
        threads: usize,
    ) -> Expected {
        reference::expected(self, precision, pass, inputs, threads)
    }
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}-h{}", self.batch, self.heads)?;
        if self.kv_heads != self.heads {
            write!(f, "-kv{}", self.kv_heads)?;
        }
        write!(f, "-q{}-s{}-d{}", self.seq_q, self.seq_kv, self.head_dim_qk)?;
        if self.head_dim_v != self.head_dim_qk {
            write!(f, "x{}", self.head_dim_v)?;
        }
        write!(f, "-{}", if self.causal { "causal" } else { "full" })
    }
}
