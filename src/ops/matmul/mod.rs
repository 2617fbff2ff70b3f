//! Matrix products: `C[m, n] = op(A) · op(B)`, dense, batched, or grouped by experts.

mod freivalds;
mod reference;

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::{Cost, Expected, Inputs, Precision, Role, Tensor, TensorSpec, random};
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
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Groups {
    /// The number of groups; B is `[experts, …]`.
    pub experts: usize,
    /// Routing skew: expert e gets a share proportional to (e + 1)^−skew; 0 is even.
    pub skew: f64,
}

impl Groups {
    /// What two of them are compared by: a skew by its bits, so that each equals itself.
    fn identity(&self) -> (usize, u64) {
        (self.experts, self.skew.to_bits())
    }
}

impl PartialEq for Groups {
    fn eq(&self, other: &Groups) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Groups {}

impl Hash for Groups {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// A matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

    /// The independent products that this one consists of: its batch, or its groups (also those without rows).
    pub fn products(&self) -> Vec<Product> {
        let (m, n, k) = (self.m, self.n, self.k);
        if self.groups.is_some() {
            let mut first = 0;
            let deal = |(e, rows): (usize, usize)| {
                let product = Product { rows, a: first * k, b: e * k * n, c: first * n };
                first += rows;
                product
            };
            return self.group_rows().into_iter().enumerate().map(deal).collect();
        }
        let nth = |i| Product { rows: m, a: i * m * k, b: i * k * n, c: i * m * n };
        (0..self.batch).map(nth).collect()
    }

    /// The distance in elements between neighbouring rows, and between neighbouring k, of A.
    pub fn a_strides(&self) -> (usize, usize) {
        match self.transpose {
            Transpose::Nn | Transpose::Nt => (self.k, 1),
            Transpose::Tn => (1, self.m),
        }
    }

    /// The distance in elements between neighbouring k, and between neighbouring columns, of B.
    pub fn b_strides(&self) -> (usize, usize) {
        match self.transpose {
            Transpose::Nn | Transpose::Tn => (self.n, 1),
            Transpose::Nt => (1, self.k),
        }
    }

    /// The right answer in f64 (see [`super::Case::expected`]): whole up to 10⁹ flops, at seeded entries above.
    ///
    /// The scale of an entry is Σ|a||b|, in the part that rounding of the result has in the tolerance |c| itself (see
    /// [`Matmul::tolerance`]).
    pub fn expected(&self, precision: Precision, inputs: &Inputs, threads: usize) -> Expected {
        reference::expected(self, precision, inputs, threads)
    }

    /// The largest accepted scaled error of an entry; 0 for integers.
    ///
    /// A sum of k rounded terms, in any order, is off by at most k·u·Σ|a||b|, u being the roundoff of the accumulator; as
    /// rounding errors are nearly independent, √k·u is what occurs even where all terms have one sign (Higham and Mary, A New
    /// Approach to Probabilistic Rounding Error Analysis, 2019), and 4·u more cover the last operations and short sums. The
    /// result is then rounded to its own format, which adds that format's roundoff times |c|. Tf32 operands are rounded, or
    /// cut, as they are read. On normal operands a single term is about Σ|a||b|/k, which at every k in use is far more.
    pub fn tolerance(&self, precision: Precision) -> f64 {
        if precision.output.is_integer() {
            return 0.0;
        }
        reference::sum_roundoff(self.k, precision) + precision.output.unit_roundoff()
    }

    /// Freivalds' check of a whole result `c`: compares C·r with A·(B·r) in f64 for a seeded vector r of ±1 (R. Freivalds,
    /// Probabilistic Machines Can Use Less Running Time, 1977).
    ///
    /// Returns the largest deviation of a row, comparable with [`Matmul::tolerance`]: errors of the n entries of a row add
    /// up like a random walk, so that they are divided by |A|·(|B|·1)/√n. NaN where `c` holds one. A single wrong entry always
    /// shows, in proportion to its error over √n times the scale of an entry.
    pub fn freivalds(&self, precision: Precision, inputs: &Inputs, c: &Tensor, seed: u64) -> f64 {
        freivalds::deviation(self, precision, inputs, c, seed)
    }
}

/// One of the independent products of a [`Matmul`]: its rows, and where its operands and its result start, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// Rows of A and C.
    pub rows: usize,
    /// Offset of A.
    pub a: usize,
    /// Offset of B.
    pub b: usize,
    /// Offset of C.
    pub c: usize,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(m: usize, experts: usize, skew: f64) -> Matmul {
        Matmul { groups: Some(Groups { experts, skew }), ..Matmul::new(m, 5, 7) }
    }

    #[test]
    fn a_dense_product_costs_two_mnk_flops_and_each_operand_once() {
        let cost = Matmul::new(2, 3, 5).cost(Precision::F32);
        assert_eq!(cost.flops, Flops(60));
        assert_eq!(cost.bytes, Bytes(4 * (10 + 15 + 6)));
    }

    #[test]
    fn transposes_change_the_storage_and_not_the_cost() {
        for transpose in [Transpose::Nt, Transpose::Tn] {
            let p = Matmul { transpose, ..Matmul::new(2, 3, 5) };
            assert_eq!(p.cost(Precision::BF16), Matmul::new(2, 3, 5).cost(Precision::BF16));
            // bf16: 2·(10 + 15) for the operands, 2·6 for the result.
            assert_eq!(p.cost(Precision::BF16).bytes, Bytes(62));
            // f32 results of bf16 operands: 50 + 4·6.
            assert_eq!(p.cost(Precision::BF16_F32).bytes, Bytes(74));
        }
    }

    #[test]
    fn a_batch_multiplies_work_and_traffic() {
        let cost = Matmul { batch: 4, ..Matmul::new(2, 3, 5) }.cost(Precision::INT8);
        assert_eq!(cost.flops, Flops(240));
        // int8 operands 10 + 15, i32 results 4·6, four times.
        assert_eq!(cost.bytes, Bytes(4 * (25 + 24)));
    }

    #[test]
    fn experts_without_rows_are_not_read() {
        // 2 rows on 3 even experts: two get one row each.
        let p = grouped(2, 3, 0.0);
        assert_eq!(p.group_rows(), [1, 1, 0]);
        let cost = p.cost(Precision::F32);
        assert_eq!(cost.flops, Flops(2 * 2 * 5 * 7));
        assert_eq!(cost.bytes, Bytes(4 * (2 * 7 + 2 * 5 * 7 + 2 * 5)));
    }

    #[test]
    fn rows_are_dealt_by_share_and_largest_remainder() {
        assert_eq!(Matmul::new(9, 1, 1).group_rows(), [9]);
        assert_eq!(grouped(10, 4, 0.0).group_rows(), [3, 3, 2, 2]);
        // Skew 1 on 3 experts: shares 6/11, 3/11, 2/11 of 11.
        assert_eq!(grouped(11, 3, 1.0).group_rows(), [6, 3, 2]);
        // Of 4: 2.18, 1.09, 0.73: the last has the largest remainder.
        assert_eq!(grouped(4, 3, 1.0).group_rows(), [2, 1, 1]);
        assert_eq!(grouped(0, 3, 1.0).group_rows(), [0, 0, 0]);
        for (m, experts, skew) in [(1, 8, 4.0), (1000, 7, 1.3), (4096, 128, 1.0)] {
            let rows = grouped(m, experts, skew).group_rows();
            assert_eq!(rows.iter().sum::<usize>(), m);
            assert!(rows.is_sorted_by(|a, b| a >= b), "{rows:?}");
        }
    }

    #[test]
    fn products_tile_the_operands() {
        let p = Matmul { batch: 2, ..Matmul::new(2, 3, 5) };
        assert_eq!(p.products()[1], Product { rows: 2, a: 10, b: 15, c: 6 });
        let g = grouped(4, 3, 1.0).products();
        assert_eq!(g[0], Product { rows: 2, a: 0, b: 0, c: 0 });
        assert_eq!(g[2], Product { rows: 1, a: 3 * 7, b: 2 * 35, c: 3 * 5 });
    }
}
