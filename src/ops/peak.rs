//! Probes of what the machine can reach: arithmetic per dtype, memory traffic per access pattern.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cost, DType, Expected, Inputs, Precision, Role, TensorSpec, random};
use crate::units::{Bytes, Flops};

/// What a probe exercises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// Multiply-accumulate in registers, in the case's input dtype.
    Fma,
    /// One stream read.
    Read,
    /// One stream written.
    Write,
    /// One stream read, one written.
    Copy,
    /// Two streams read, one written: `a = b + s·c`.
    Triad,
    /// Two streams read, the first written back in place: the traffic of SGD.
    Update2r1w,
    /// Three streams read, the first two written back: momentum, Nesterov, Adagrad, RMSprop, Lion.
    Update3r2w,
    /// Four streams read, the first three written back: Adam, AdamW.
    Update4r3w,
}

impl ProbeKind {
    /// Every kind.
    pub const ALL: [ProbeKind; 8] = [
        ProbeKind::Fma,
        ProbeKind::Read,
        ProbeKind::Write,
        ProbeKind::Copy,
        ProbeKind::Triad,
        ProbeKind::Update2r1w,
        ProbeKind::Update3r2w,
        ProbeKind::Update4r3w,
    ];

    /// The name used in keys and tables.
    pub fn name(self) -> &'static str {
        match self {
            ProbeKind::Fma => "fma",
            ProbeKind::Read => "read",
            ProbeKind::Write => "write",
            ProbeKind::Copy => "copy",
            ProbeKind::Triad => "triad",
            ProbeKind::Update2r1w => "update-2r1w",
            ProbeKind::Update3r2w => "update-3r2w",
            ProbeKind::Update4r3w => "update-4r3w",
        }
    }
}

/// A probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Probe {
    /// What it exercises.
    pub kind: ProbeKind,
    /// Bytes of each stream; for [`ProbeKind::Fma`] the thousands of operations of a launch.
    pub size: usize,
}

impl Probe {
    /// HELPER: complete.
    pub fn cost(&self, _precision: Precision) -> Cost {
        Cost { flops: Flops(0), bytes: Bytes(0) }
    }

    /// Why the sizes make no sense, if so.
    pub fn invalid(&self) -> Option<String> {
        (self.size == 0).then(|| "a probe of size 0 measures nothing".into())
    }

    /// The streams: read-only ones first, then those written or updated.
    pub fn operands(&self, _precision: Precision) -> Vec<TensorSpec> {
        vec![TensorSpec::in_out(Role::Stream, DType::F32, &[self.size / 4])]
    }

    /// Random operands.
    pub fn inputs(&self, precision: Precision, seed: u64) -> Inputs {
        let make = |(i, spec): (u32, TensorSpec)| random::normal(spec, seed, i, 1.0);
        let tensors = (0..).zip(self.operands(precision)).map(make).collect();
        Inputs { seed, tensors: std::sync::Arc::new(tensors) }
    }

    /// See [`super::Case::expected`].
    pub fn expected(&self, _inputs: &Inputs) -> Expected {
        unreachable!("HELPER: peak")
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name(), self.size)
    }
}
