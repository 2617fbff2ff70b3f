//! Parameter updates: one optimizer step over a flat vector, in place.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cost, DType, Expected, Inputs, Precision, Role, TensorSpec, random};
use crate::units::{Bytes, Flops};

/// An update rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Plain gradient descent.
    Sgd,
    /// Heavy-ball momentum.
    Momentum,
    /// Nesterov's momentum in the form of common frameworks.
    Nesterov,
    /// Adagrad.
    Adagrad,
    /// RMSprop.
    Rmsprop,
    /// Adam with L2-free update.
    Adam,
    /// Adam with decoupled weight decay.
    Adamw,
    /// Lion.
    Lion,
}

impl Rule {
    /// Every rule, in the order of reports.
    pub const ALL: [Rule; 8] = [
        Rule::Sgd,
        Rule::Momentum,
        Rule::Nesterov,
        Rule::Adagrad,
        Rule::Rmsprop,
        Rule::Adam,
        Rule::Adamw,
        Rule::Lion,
    ];

    /// The op's name.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Sgd => "sgd",
            Rule::Momentum => "momentum",
            Rule::Nesterov => "nesterov",
            Rule::Adagrad => "adagrad",
            Rule::Rmsprop => "rmsprop",
            Rule::Adam => "adam",
            Rule::Adamw => "adamw",
            Rule::Lion => "lion",
        }
    }

    /// State vectors that the rule keeps: 0, 1 or 2.
    pub fn moments(self) -> usize {
        match self {
            Rule::Sgd => 0,
            Rule::Adam | Rule::Adamw => 2,
            _ => 1,
        }
    }

    /// Arithmetic operations a parameter, counted from the textbook formula (square root and division count one each;
    /// bias corrections are per step, not per parameter).
    pub fn flops(self) -> u64 {
        match self {
            Rule::Sgd => 2,
            Rule::Momentum => 4,
            Rule::Nesterov => 6,
            Rule::Adagrad => 7,
            Rule::Rmsprop => 9,
            Rule::Adam => 13,
            Rule::Adamw => 14,
            Rule::Lion => 10,
        }
    }
}

/// One step of an optimizer over `params` parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Update {
    /// The rule.
    pub rule: Rule,
    /// The number of parameters.
    pub params: usize,
}

impl Update {
    /// Least work: [`Rule::flops`] a parameter; parameters and moments read and written once, gradients read once. In f32
    /// that is 12 bytes a parameter for SGD, 20 with one moment, 28 with two.
    pub fn cost(&self, precision: Precision) -> Cost {
        let moved = self.operands(precision).into_iter();
        let bytes =
            moved.fold(Bytes(0), |sum, spec| sum + spec.bytes() * if spec.in_out { 2 } else { 1 });
        Cost { flops: Flops(self.rule.flops() * self.params as u64), bytes }
    }

    /// Why the sizes make no sense, if so.
    pub fn invalid(&self, precision: Precision) -> Option<String> {
        if self.params >> 48 != 0 {
            return Some(format!("{} parameters are too many to describe", self.params));
        }
        (self.rule.moments() > 0 && precision.state.is_none())
            .then(|| format!("{} keeps state: its precision needs a state dtype", self.rule.name()))
    }

    /// Gradients (read), then parameters, first and second moment (in place), each `[params]`.
    pub fn operands(&self, precision: Precision) -> Vec<TensorSpec> {
        let shape = [self.params];
        let state = precision.state.unwrap_or(DType::F32);
        let mut specs = vec![
            TensorSpec::new(Role::Grads, precision.inputs, &shape),
            TensorSpec::in_out(Role::Params, precision.output, &shape),
        ];
        let moments = [Role::Moment1, Role::Moment2];
        specs.extend(
            moments[..self.rule.moments()]
                .iter()
                .map(|&role| TensorSpec::in_out(role, state, &shape)),
        );
        specs
    }

    /// Gradients and parameters N(0, 1)·0.02 and N(0, 1)·0.05; first moments small and signed, second moments positive, as
    /// some way into a training run.
    pub fn inputs(&self, precision: Precision, seed: u64) -> Inputs {
        let make = |(i, spec): (u32, TensorSpec)| random::normal(spec, seed, i, 0.05);
        let tensors = (0..).zip(self.operands(precision)).map(make).collect();
        Inputs { seed, tensors: std::sync::Arc::new(tensors) }
    }

    /// See [`super::Case::expected`].
    pub fn expected(&self, _precision: Precision, _inputs: &Inputs, _threads: usize) -> Expected {
        unreachable!("HELPER: optimizer")
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.params)
    }
}
