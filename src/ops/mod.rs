//! What is computed: problems, precisions and cases.
//!
//! An op owns its sizes, least work ([`Cost`]), seeded inputs, f64 reference and tolerance; a kernel (elsewhere) is one
//! way to do it. A [`Case`] is everything that must agree for two measurements to be comparable; its [`Case::key`] is
//! what runs, samples and histories are matched by.

pub mod attention;
pub mod dtype;
pub mod matmul;
pub mod optimizer;
pub mod peak;
pub mod random;
pub mod sample;
pub mod tensor;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use attention::Attention;
pub use dtype::{DType, Precision};
pub use matmul::{Groups, Matmul, Transpose};
pub use optimizer::{Hyper, Rule, Update};
pub use peak::{Probe, ProbeKind};
pub use tensor::{Expected, ExpectedPart, Inputs, Role, Tensor, TensorSpec};

use crate::units::{Bytes, Flops};

/// The least work that a problem can be done with: every operand read once, every result written once, no
/// recomputation. The convention of each op stands at its `cost` function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Arithmetic operations; a fused multiply-add counts as two.
    pub flops: Flops,
    /// Memory traffic.
    pub bytes: Bytes,
}

/// A group of ops that share their shape of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Matrix products.
    Matmul,
    /// Scaled dot-product attention.
    Attention,
    /// Parameter updates.
    Optimizer,
    /// What the machine can reach at most.
    Peak,
}

impl Family {
    /// Every family, in the order of reports.
    pub const ALL: [Family; 4] =
        [Family::Matmul, Family::Attention, Family::Optimizer, Family::Peak];

    /// The name used in files and options.
    pub fn name(self) -> &'static str {
        match self {
            Family::Matmul => "matmul",
            Family::Attention => "attention",
            Family::Optimizer => "optimizer",
            Family::Peak => "peak",
        }
    }
}

/// The part of a training or inference step that a case belongs to.
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
pub enum Pass {
    /// Forward over a whole sequence (also prefill).
    #[serde(rename = "fwd")]
    #[value(name = "fwd")]
    Forward,
    /// The gradients.
    #[serde(rename = "bwd")]
    #[value(name = "bwd")]
    Backward,
    /// One new token a sequence, against a KV cache.
    Decode,
}

impl Pass {
    /// `fwd`, `bwd` or `decode`.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "fwd",
            Pass::Backward => "bwd",
            Pass::Decode => "decode",
        }
    }
}

/// What the caches hold when a launch starts; the two are different measurements.
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
pub enum Cache {
    /// Operands were last touched more than twice the last-level cache ago.
    Cold,
    /// The same buffers, again and again.
    Warm,
}

impl Cache {
    /// `cold` or `warm`.
    pub fn name(self) -> &'static str {
        match self {
            Cache::Cold => "cold",
            Cache::Warm => "warm",
        }
    }
}

/// Whether the machine had time to settle under load.
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
pub enum Regime {
    /// Short, from a cool machine.
    Burst,
    /// After at least three seconds of the same work.
    Sustained,
}

impl Regime {
    /// `burst` or `sustained`.
    pub fn name(self) -> &'static str {
        match self {
            Regime::Burst => "burst",
            Regime::Sustained => "sustained",
        }
    }
}

/// One op with concrete sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Problem {
    /// A matrix product, possibly batched or grouped by experts.
    Matmul(Matmul),
    /// Scaled dot-product attention.
    Attention(Attention),
    /// One optimizer step over a flat parameter vector.
    Update(Update),
    /// A probe of what the machine can reach.
    Peak(Probe),
}

impl Problem {
    /// The family that it belongs to.
    pub fn family(&self) -> Family {
        match self {
            Problem::Matmul(_) => Family::Matmul,
            Problem::Attention(_) => Family::Attention,
            Problem::Update(_) => Family::Optimizer,
            Problem::Peak(_) => Family::Peak,
        }
    }

    /// The op's name: `matmul`, `attention`, `adamw`, …, `peak`.
    pub fn op(&self) -> &'static str {
        match self {
            Problem::Matmul(_) => "matmul",
            Problem::Attention(_) => "attention",
            Problem::Update(u) => u.rule.name(),
            Problem::Peak(_) => "peak",
        }
    }

    /// Every op's name with its family, in the order of reports.
    pub fn ops() -> Vec<(&'static str, Family)> {
        let mut ops = vec![("matmul", Family::Matmul), ("attention", Family::Attention)];
        ops.extend(Rule::ALL.iter().map(|rule| (rule.name(), Family::Optimizer)));
        ops.push(("peak", Family::Peak));
        ops
    }
}

/// Problem × precision × pass × threads × cache × regime: what must agree for two measurements to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Case {
    /// The op and its sizes.
    pub problem: Problem,
    /// The types of inputs, accumulation, output and state.
    pub precision: Precision,
    /// The part of a step; optimizers and peaks ignore it (always [`Pass::Forward`]).
    pub pass: Pass,
    /// CPU threads (1 on other devices).
    pub threads: usize,
    /// Cold or warm.
    pub cache: Cache,
    /// Burst or sustained.
    pub regime: Regime,
}

impl Case {
    /// A warm, one-threaded, short forward case: the starting point that others are made from with struct update.
    pub fn new(problem: Problem, precision: Precision) -> Self {
        Case {
            problem,
            precision,
            pass: Pass::Forward,
            threads: 1,
            cache: Cache::Warm,
            regime: Regime::Burst,
        }
    }

    /// Whether passes mean something for this op.
    pub fn has_pass(&self) -> bool {
        matches!(self.problem, Problem::Matmul(_) | Problem::Attention(_))
    }

    /// The identity of this case as one word, e.g. `matmul/nn/m512-n512-k512/f32/fwd/t1/warm/burst`.
    pub fn key(&self) -> String {
        let pass = if self.has_pass() { format!("{}/", self.pass.name()) } else { String::new() };
        format!(
            "{}/{}/{}/{pass}t{}/{}/{}",
            self.problem.op(),
            self.sizes(),
            self.precision,
            self.threads,
            self.cache.name(),
            self.regime.name()
        )
    }

    /// The sizes as a short word for tables and keys, e.g. `nn/m512-n512-k512` or `p1000000`.
    pub fn sizes(&self) -> String {
        match &self.problem {
            Problem::Matmul(p) => p.to_string(),
            Problem::Attention(p) => p.to_string(),
            Problem::Update(p) => p.to_string(),
            Problem::Peak(p) => p.to_string(),
        }
    }

    /// The least work; see the op's own `cost` for its convention.
    pub fn cost(&self) -> Cost {
        match &self.problem {
            Problem::Matmul(p) => p.cost(self.precision),
            Problem::Attention(p) => p.cost(self.precision, self.pass),
            Problem::Update(p) => p.cost(self.precision),
            Problem::Peak(p) => p.cost(self.precision),
        }
    }

    /// One clear reason why the sizes make no sense (zero, overflow, heads that do not divide), if so.
    pub fn invalid(&self) -> Option<String> {
        match &self.problem {
            Problem::Matmul(p) => p.invalid(),
            Problem::Attention(p) => p.invalid(self.pass),
            Problem::Update(p) => p.invalid(self.precision),
            Problem::Peak(p) => p.invalid(),
        }
    }

    /// The operands: which are only read, which are updated in place.
    pub fn operands(&self) -> Vec<TensorSpec> {
        match &self.problem {
            Problem::Matmul(p) => p.operands(self.precision),
            Problem::Attention(p) => p.operands(self.precision, self.pass),
            Problem::Update(p) => p.operands(self.precision),
            Problem::Peak(p) => p.operands(self.precision),
        }
    }

    /// The tensors that are only written.
    pub fn results(&self) -> Vec<TensorSpec> {
        match &self.problem {
            Problem::Matmul(p) => p.results(self.precision),
            Problem::Attention(p) => p.results(self.precision, self.pass),
            Problem::Update(_) => Vec::new(),
            Problem::Peak(p) => p.results(self.precision),
        }
    }

    /// The bytes of one set of operands and results.
    pub fn buffer_bytes(&self) -> Bytes {
        self.operands().iter().chain(&self.results()).fold(Bytes(0), |sum, spec| sum + spec.bytes())
    }

    /// Seeded random operands: approximately normal, never constant; the same bytes for the same case sizes and seed on
    /// every machine and at every thread count.
    pub fn inputs(&self, seed: u64) -> Inputs {
        match &self.problem {
            Problem::Matmul(p) => p.inputs(self.precision, seed),
            Problem::Attention(p) => p.inputs(self.precision, self.pass, seed),
            Problem::Update(p) => p.inputs(self.precision, seed),
            Problem::Peak(p) => p.inputs(self.precision, seed),
        }
    }

    /// The right answer in f64, whole up to about 10⁹ flops, at seeded random entries above; `threads` workers share the
    /// computation.
    pub fn expected(&self, inputs: &Inputs, threads: usize) -> Expected {
        match &self.problem {
            Problem::Matmul(p) => p.expected(self.precision, inputs, threads),
            Problem::Attention(p) => p.expected(self.precision, self.pass, inputs, threads),
            Problem::Update(p) => p.expected(self.precision, inputs, threads),
            Problem::Peak(p) => p.expected(inputs),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.key())
    }
}
