//! Matrix products: `C[m, n] = op(A) · op(B)`, dense, batched, or grouped by experts.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cost, DType, Expected, Inputs, Precision, Role, TensorSpec, random};
use crate::units::{Bytes, Flops};

/// Which operands are stored transposed (row-major storage throughout).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Transpose {
    /// A is `[m, k]`, B is `[k, n]`.
    Nn,
    /// A is `[m, k]`, B is `[n, k]`: a linear layer with its weight stored `[out, in]`, forward.
    Nt,
    /// A is `[k, m]`, B is `[k, n]`: the gradient of a weight.
    Tn,
}

impl Transpose {
    /// `nn`, `nt` or `tn`.
    pub fn name(self) -> &'static str {
        match self {
            Transpose::Nn => "nn",
            Transpose::Nt => "nt",
            Transpose::Tn => "tn",
        }
    }
}

/// The rows of a grouped product (mixture of experts): `m` rows in all are dealt to `experts` groups, each of which is
/// multiplied with a B of its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Groups {
    /// The number of groups; B is `[experts, …]`.
    pub experts: usize,
    /// Routing skew: expert e gets a share proportional to (e + 1)^−skew; 0 is even.
    pub skew: f64,
}

/// A matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Matmul {
    /// Rows of C (of all groups together where there are groups).
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// Independent products of these sizes.
    pub batch: usize,
    /// Storage of the operands.
    pub transpose: Transpose,
    /// Present for a grouped product (then `batch` is 1 and the transpose `nn` or `nt`).
    pub groups: Option<Groups>,
}

impl Matmul {
    /// A single dense product of row-major `[m, k]` and `[k, n]`.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        Matmul { m, n, k, batch: 1, transpose: Transpose::Nn, groups: None }
    }

    /// Least work: `2·m·n·k` flops a product; A, B and C once each (each expert's B once, if it has any rows).
    pub fn cost(&self, precision: Precision) -> Cost {
        let (m, n, k, batch) = (self.m as u64, self.n as u64, self.k as u64, self.batch as u64);
        let b_copies = match self.groups {
            Some(_) => self.group_rows().iter().filter(|&&rows| rows > 0).count() as u64,
            None => batch,
        };
        let (input, output) = (precision.inputs.size() as u64, precision.output.size() as u64);
        Cost {
            flops: Flops(2 * m * n * k * batch),
            bytes: Bytes(input * (m * k * batch + k * n * b_copies) + output * m * n * batch),
        }
    }

    /// The rows of A that each group gets (largest remainders; sums to `m`); the whole of `m` without groups.
    pub fn group_rows(&self) -> Vec<usize> {
        let Some(groups) = self.groups else { return vec![self.m] };
        let weights: Vec<f64> =
            (0..groups.experts).map(|e| ((e + 1) as f64).powf(-groups.skew)).collect();
        let total: f64 = weights.iter().sum();
        let ideal: Vec<f64> = weights.iter().map(|w| w / total * self.m as f64).collect();
        let mut rows: Vec<usize> = ideal.iter().map(|x| x.floor() as usize).collect();
        let mut by_remainder: Vec<usize> = (0..groups.experts).collect();
        by_remainder
            .sort_by(|&a, &b| ideal[b].fract().total_cmp(&ideal[a].fract()).then(a.cmp(&b)));
        let missing = self.m - rows.iter().sum::<usize>();
        for &e in by_remainder.iter().cycle().take(missing) {
            rows[e] += 1;
        }
        rows
    }

    /// Why the sizes make no sense, if so. Zero is allowed for m, n and k: an empty product is a right answer.
    pub fn invalid(&self) -> Option<String> {
        let wide =
            2u128 * self.m as u128 * self.n as u128 * self.k.max(1) as u128 * self.batch as u128;
        let elements =
            |x: usize, y: usize, z: usize| (x as u128 * y as u128 * z as u128) >> 40 != 0;
        let experts = self.groups.map_or(1, |g| g.experts);
        if self.batch == 0 || experts == 0 {
            return Some("batch and experts must be at least 1".into());
        }
        if wide > u128::from(u64::MAX)
            || elements(self.m, self.k, self.batch)
            || elements(self.k, self.n, self.batch.max(experts))
            || elements(self.m, self.n, self.batch)
        {
            return Some(format!(
                "the product {self} is too large to describe (over 2⁴⁰ elements in a tensor)"
            ));
        }
        match self.groups {
            Some(g) if !(0.0..=4.0).contains(&g.skew) => {
                Some(format!("routing skew {} is not within 0..=4", g.skew))
            }
            Some(_) if self.batch != 1 || self.transpose == Transpose::Tn => {
                Some("a grouped product has batch 1 and transpose nn or nt".into())
            }
            _ => None,
        }
    }

    /// A `[batch, m, k]` (tn: `[batch, k, m]`) and B `[batch or experts, k, n]` (nt: `[…, n, k]`).
    pub fn operands(&self, precision: Precision) -> Vec<TensorSpec> {
        let (m, n, k) = (self.m, self.n, self.k);
        let a =
            if self.transpose == Transpose::Tn { [self.batch, k, m] } else { [self.batch, m, k] };
        let copies = self.groups.map_or(self.batch, |g| g.experts);
        let b = if self.transpose == Transpose::Nt { [copies, n, k] } else { [copies, k, n] };
        vec![
            TensorSpec::new(Role::A, precision.inputs, &a),
            TensorSpec::new(Role::B, precision.inputs, &b),
        ]
    }

    /// C `[batch, m, n]`.
    pub fn results(&self, precision: Precision) -> Vec<TensorSpec> {
        vec![TensorSpec::new(Role::C, precision.output, &[self.batch, self.m, self.n])]
    }

    /// Standard normal operands.
    pub fn inputs(&self, precision: Precision, seed: u64) -> Inputs {
        let make = |(i, spec)| random::normal(spec, seed, i, 1.0);
        let tensors = (0..).zip(self.operands(precision)).map(make).collect();
        Inputs { seed, tensors: std::sync::Arc::new(tensors) }
    }

    /// See [`super::Case::expected`].
    pub fn expected(&self, _precision: Precision, _inputs: &Inputs, _threads: usize) -> Expected {
        let _ = DType::F64;
        unreachable!("HELPER: matmul")
    }
}

impl fmt::Display for Matmul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.transpose.name())?;
        if self.batch != 1 {
            write!(f, "b{}-", self.batch)?;
        }
        write!(f, "m{}-n{}-k{}", self.m, self.n, self.k)?;
        if let Some(groups) = self.groups {
            write!(f, "-e{}-skew{}", groups.experts, groups.skew)?;
        }
        Ok(())
    }
}
